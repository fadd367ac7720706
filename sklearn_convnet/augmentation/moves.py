"""Affine maps, as arrays (n, n_axes, n_axes + 1): a place p goes to M (p, 1).

A place is (x, y) in an image, (x, y, z) in a volume and (x,) in a signal: x along the width or the
length, y along the height, z along the depth.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels import loader


def work_dtype(dtype):
    """The dtype in which samples of a dtype are changed."""
    return np.dtype("float64" if dtype.newbyteorder("=") == "f8" else "float32")


def about_centre(linear, shift, shape):
    """Maps that apply (n, n_axes, n_axes) matrices about the centre of samples, then shift."""
    size = shape[1 : 1 + linear.shape[1]]
    centre = (np.array(size[::-1]) - 1) / 2
    offset = centre - np.einsum("nij,j->ni", linear, centre) + shift
    return np.concatenate([linear, offset[:, :, np.newaxis]], axis=2)


def compose(maps):
    """One map that does them all, the first one first."""
    first, *rest = maps
    for then in rest:
        linear = np.einsum("nij,njk->nik", then[:, :, :-1], first)
        linear[:, :, -1] += then[:, :, -1]
        first = linear
    return first


def _adjugate(linear):
    """The inverses of matrices, times their determinants."""
    n_axes = linear.shape[1]
    if n_axes == 1:
        return np.ones_like(linear)
    if n_axes == 2:
        (a, b), (c, d) = linear.transpose(1, 2, 0)
        return np.array([[d, -b], [-c, a]]).transpose(2, 0, 1)
    a, b, c = linear.transpose(1, 0, 2)
    return np.stack([np.cross(b, c), np.cross(c, a), np.cross(a, b)], axis=2)


def determinants(maps):
    """By which factor maps enlarge what they move; below 0 they mirror it."""
    linear = maps[:, :, :-1]
    return np.sum(linear[:, 0] * _adjugate(linear)[:, :, 0], axis=1)


def inverse(maps):
    """Maps that lead back."""
    linear = _adjugate(maps[:, :, :-1])
    offset = -np.einsum("nij,nj->ni", linear, maps[:, :, -1])
    whole = np.concatenate([linear, offset[:, :, np.newaxis]], axis=2)
    return np.ascontiguousarray(whole / determinants(maps)[:, np.newaxis, np.newaxis])


def check_flip_pairs(pairs, n_points):
    """Raises ValueError if these are no pairs of different points."""
    try:
        pairs = np.asarray(pairs)
        flat = pairs.ravel().tolist()
        right = pairs.ndim == 2 and pairs.shape[1] == 2 and pairs.dtype.kind in "iu"
    except ValueError:
        right = False
    if not right or len(set(flat)) < len(flat) or not all(0 <= i < n_points for i in flat):
        raise ValueError(
            f"flip_pairs must be pairs of different points, numbered from 0 to {n_points - 1}, "
            f"none of them twice, got {pairs!r}"
        )


def moved_points(points, maps, flip_pairs=None) -> NDArray[Any]:
    """Where points (n, n_points, n_axes) go; those of pairs change places where maps mirror."""
    moved = np.einsum("nij,npj->npi", maps[:, :, :-1], points) + maps[:, np.newaxis, :, -1]
    if flip_pairs is not None:
        mirrored = np.flatnonzero(determinants(maps) < 0)[:, np.newaxis]
        pairs = np.asarray(flip_pairs, np.intp)
        left, right = pairs.ravel(), pairs[:, ::-1].ravel()
        moved[mirrored, left] = moved[mirrored, right]
    return moved.astype(points.dtype)


def resampled(samples, sources, fill_value, n_threads) -> NDArray[Any]:
    """Samples whose pixels are those at `sources` of their places: of integers the nearest ones,
    of floats what lies between the pixels around."""
    exact = samples.dtype.kind in "biu"
    dtype = np.dtype(np.int64) if exact else work_dtype(samples.dtype)
    n_axes = sources.shape[1]
    shape = samples.shape if samples.ndim == 2 + n_axes else (*samples.shape, 1)
    if n_axes == 1:  # a signal is an image of one row
        shape, sources = (shape[0], 1, *shape[1:]), _in_one_row(sources)
    X = np.ascontiguousarray(samples, dtype).reshape(shape)
    Y = np.empty_like(X)
    kernels = loader.kernels(np.float64 if exact else dtype)
    if exact:
        kernel = (
            kernels.affine_resample_3d_nearest if n_axes == 3 else kernels.affine_resample_nearest
        )
        kernel(X, sources, Y, n_threads)
    else:
        kernel = kernels.affine_resample_3d if n_axes == 3 else kernels.affine_resample
        kernel(X, sources, Y, fill_value, n_threads)
    return Y.reshape(samples.shape).astype(samples.dtype, copy=False)


def _in_one_row(maps):
    """Maps of a line, as maps of images that leave the height alone."""
    of_images = np.zeros((len(maps), 2, 3))
    of_images[:, 0, 0], of_images[:, 0, 2] = maps[:, 0, 0], maps[:, 0, 1]
    of_images[:, 1, 1] = 1
    return of_images
