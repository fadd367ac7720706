"""Moving images."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .checks import _check_not_empty, _check_numbers, _check_places, _double, _kernel, _match


def check_resample(**arrays):
    """Raise ValueError unless images, matrices and results fit."""
    sizes = _match(**arrays)
    _check_not_empty(sizes, "H W C")
    _check_numbers("an image", [sizes[axis] for axis in "HWC"])
    _check_places([max(sizes["H"], sizes["W"]) + 3])  # with a frame


def _sources(matrices, H, W):
    """x(n,h,w) and y(n,h,w): where the maps take the pixels of an image."""
    h, w = np.mgrid[:H, :W]
    return np.einsum("nij,jhw->inhw", matrices, np.stack([w, h, np.ones_like(w)]))


def _pixels(X, rows, columns, fill_value):
    """X(n,rows(n,h,w),columns(n,h,w),c), or the fill value where there is no such pixel."""
    n, H, W, _ = X.shape
    inside = (rows >= 0) & (rows < H) & (columns >= 0) & (columns < W)
    rows, columns = (np.where(inside, axis, 0).astype(int) for axis in (rows, columns))
    found = X[np.arange(n)[:, np.newaxis, np.newaxis], rows, columns]
    return np.where(inside[..., np.newaxis], found, fill_value)


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
    _, H, W, _ = X.shape
    x, y = _sources(matrices, H, W)
    left, top = np.floor(x), np.floor(y)

    # Y(n,h,w,c) = Σ_i Σ_j (1 - |y - i|) (1 - |x - j|) X(n,i,j,c), over the four pixels around
    total = np.zeros(X.shape)
    for i in (top, top + 1):
        for j in (left, left + 1):
            weight = (1 - np.abs(y - i)) * (1 - np.abs(x - j))
            total += weight[..., np.newaxis] * _pixels(_double(X), i, j, fill_value)
    Y[:] = total


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
    _, H, W, _ = X.shape
    x, y = _sources(matrices, H, W)

    # Y(n,h,w,c) = X(n, ⌊y + 1/2⌋, ⌊x + 1/2⌋, c)
    Y[:] = _pixels(X, np.floor(y + 0.5 + 1e-9), np.floor(x + 0.5 + 1e-9), 0)
