"""Moving images and volumes."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import product

import numpy as np

from .checks import _check_not_empty, _check_numbers, _check_places, _double, _kernel, _match


def check_resample(**arrays):
    """Raise ValueError unless images, matrices and results fit."""
    _check_sizes(_match(**arrays), "HWC", "an image")


def check_resample_3d(**arrays):
    """Raise ValueError unless volumes, matrices and results fit."""
    sizes = _match(**arrays)
    _check_sizes(sizes, "DHWC", "a volume")
    framed = [sizes[axis] + 3 for axis in "DHW"]
    _check_numbers("a volume in its frame", [*framed, sizes["C"]])


def _check_sizes(sizes, axes, what):
    _check_not_empty(sizes, " ".join(axes))
    _check_numbers(what, [sizes[axis] for axis in axes])
    _check_places([max(sizes[axis] for axis in axes[:-1]) + 3])  # with a frame


def _sources(matrices, *size):
    """x(n,h,w) and y(n,h,w), or x, y and z(n,d,h,w): where the maps take the pixels from."""
    places = np.stack([*np.indices(size)[::-1], np.ones(size)])
    return np.einsum("nij,j...->in...", matrices, places)


def _pixels(X, places, fill_value):
    """X(n,y,x,c) or X(n,z,y,x,c) at places (x, y) or (x, y, z), or the fill value where there is
    no such pixel."""
    n, *size, _ = X.shape
    limits = zip(places, size[::-1], strict=True)
    inside = np.all([(0 <= place) & (place < limit) for place, limit in limits], axis=0)
    numbers = np.arange(n).reshape(-1, *[1] * len(size))
    found = X[numbers, *[np.where(inside, place, 0).astype(int) for place in places[::-1]]]
    return np.where(inside[..., np.newaxis], found, fill_value)


def _interpolated(X, matrices, fill_value):
    """Y(n,h,w,c) = Σ_i Σ_j (1 - |y - i|) (1 - |x - j|) X(n,i,j,c), over the four pixels around; of
    volumes over the eight, with a factor (1 - |z - k|)."""
    places = _sources(matrices, *X.shape[1:-1])
    total = np.zeros(X.shape)
    for around in product((0, 1), repeat=len(places)):
        pixels = [np.floor(place) + step for place, step in zip(places, around, strict=True)]
        pairs = zip(places, pixels, strict=True)
        weight = np.prod([1 - np.abs(place - pixel) for place, pixel in pairs], axis=0)
        total += weight[..., np.newaxis] * _pixels(X, pixels, fill_value)
    return total


def _nearest(X, matrices):
    """Y(n,h,w,c) = X(n, ⌊y + 1/2⌋, ⌊x + 1/2⌋, c)"""
    places = _sources(matrices, *X.shape[1:-1])
    return _pixels(X, [np.floor(place + 0.5 + 1e-9) for place in places], 0)


@_kernel()
def affine_resample(X, matrices, Y, fill_value, n_threads):
    """Take the pixels of images from where affine maps say, by bilinear interpolation.

    Parameters
    ----------
    X : array of shape (n, H, W, C)  # IN
        Finite: a neighbour of weight 0 counts as well.
    matrices : float64 array of shape (n, 2, 3)  # IN
        From places ``(x, y, 1)`` in Y to places ``(x, y)`` in X, in pixels.
    Y : array of shape (n, H, W, C)  # OUT
    fill_value : float
        X goes on with it beyond its border.
    n_threads : int
    """
    check_resample(X=(X, "n H W C"), matrices=(matrices, "n 2 3", np.float64), Y=(Y, "n H W C"))
    Y[:] = _interpolated(_double(X), matrices, fill_value)


@_kernel()
def affine_resample_nearest(X, matrices, Y, n_threads):
    """Take the labels of pixels from where affine maps say, from the nearest pixel.

    Parameters
    ----------
    X : int64 array of shape (n, H, W, C)  # IN
    matrices : float64 array of shape (n, 2, 3)  # IN
        As in `affine_resample`.
    Y : int64 array of shape (n, H, W, C)  # OUT
        0 where X does not reach. Halfway, up to rounding, it is the pixel behind.
    n_threads : int
    """
    check_resample(
        X=(X, "n H W C", np.int64),
        matrices=(matrices, "n 2 3", np.float64),
        Y=(Y, "n H W C", np.int64),
    )
    Y[:] = _nearest(X, matrices)


@_kernel()
def affine_resample_3d(X, matrices, Y, fill_value, n_threads):
    """Take the voxels of volumes from where affine maps say, by trilinear interpolation.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
        Finite: a neighbour of weight 0 counts as well.
    matrices : float64 array of shape (n, 3, 4)  # IN
        From places ``(x, y, z, 1)`` in Y to places ``(x, y, z)`` in X, in voxels, z along D.
    Y : array of shape (n, D, H, W, C)  # OUT
    fill_value : float
        X goes on with it beyond its border.
    n_threads : int
    """
    check_resample_3d(
        X=(X, "n D H W C"), matrices=(matrices, "n 3 4", np.float64), Y=(Y, "n D H W C")
    )
    Y[:] = _interpolated(_double(X), matrices, fill_value)


@_kernel()
def affine_resample_3d_nearest(X, matrices, Y, n_threads):
    """Take the labels of voxels from where affine maps say, from the nearest voxel.

    Parameters
    ----------
    X : int64 array of shape (n, D, H, W, C)  # IN
    matrices : float64 array of shape (n, 3, 4)  # IN
        As in `affine_resample_3d`.
    Y : int64 array of shape (n, D, H, W, C)  # OUT
        0 where X does not reach. Halfway, up to rounding, it is the voxel behind.
    n_threads : int
    """
    check_resample_3d(
        X=(X, "n D H W C", np.int64),
        matrices=(matrices, "n 3 4", np.float64),
        Y=(Y, "n D H W C", np.int64),
    )
    Y[:] = _nearest(X, matrices)
