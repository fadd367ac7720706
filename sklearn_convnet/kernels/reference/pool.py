"""Pooling."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .checks import (
    _check_not_empty,
    _check_places,
    _check_sizes,
    _double,
    _kernel,
    _match,
    check_index,
    check_pool,
)
from .taps import _crop, _pad, _taps


@_kernel("index")
def maxpool_forward(X, Y, index, pool_size, stride, padding, n_threads):
    """Largest value of every window, and where it was found.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    Y : array of shape (n, OD, OH, OW, C)  # OUT
    index : int32 array like Y or None  # OUT
        Flat position ``(d * H + h) * W + w`` of the first maximum in scan order.
    pool_size, stride : tuple of 3 ints
    padding : tuple of 3 pairs (before, after)
        Counts as minus infinity.
    n_threads : int
    """
    check_pool(X, Y, pool_size, stride, padding, index)
    size, output = X.shape[1:4], Y.shape[1:4]
    X = _pad(_double(X), padding)
    position = np.arange(np.prod(size)).reshape(1, *size, 1)
    position = _pad(position, padding, value=-1)

    # Y(n,x,y,c) = max over x', y' of X(n, x·s + x', y·s + y', c)
    # The first of a tie stays, NaN counts as the largest, and a true pixel beats the
    # padding even if it is minus infinity.
    best = np.full(Y.shape, -np.inf)
    where = np.full(Y.shape, -1)
    for (_, value), (_, here) in zip(
        _taps(X, pool_size, stride, output),
        _taps(position, pool_size, stride, output),
        strict=True,
    ):
        larger = (value > best) | (np.isnan(value) & ~np.isnan(best)) | (where < 0)
        larger &= here >= 0
        best = np.where(larger, value, best)
        where = np.where(larger, here, where)

    Y[:] = best
    if index is not None:
        index[:] = where


@_kernel()
def maxpool_backward(dY, index, dX, n_threads):
    """Take the gradient of a max pooling to the remembered locations.

    Parameters
    ----------
    dY : array of shape (n, OD, OH, OW, C)  # IN
    index : int32 array like dY  # IN
    dX : array of shape (n, D, H, W, C)  # OUT
    n_threads : int
    """
    _match(
        dY=(dY, "n OD OH OW C"),
        index=(index, "n OD OH OW C", np.int32),
        dX=(dX, "n D H W C"),
    )
    n, *size, C = dX.shape
    _check_places(size)
    check_index(index, np.prod(size))

    # dX(n, index(n,x,y,c), c) += dY(n,x,y,c)
    total = np.zeros((n, np.prod(size), C))
    sample, *_, channel = np.indices(dY.shape, sparse=True)
    np.add.at(total, (sample, index, channel), _double(dY))
    dX[:] = total.reshape(dX.shape)


def _count_true_pixels(size, output, pool_size, stride, padding):
    """Number of true pixels in every window, of shape (1, OD, OH, OW, 1)."""
    ones = _pad(np.ones((1, *size, 1)), padding)
    return sum(view for _, view in _taps(ones, pool_size, stride, output))


@_kernel()
def avgpool_forward(X, Y, pool_size, stride, padding, n_threads):
    """Mean over the true pixels of every window.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    Y : array of shape (n, OD, OH, OW, C)  # OUT
    pool_size, stride : tuple of 3 ints
    padding : tuple of 3 pairs (before, after)
    n_threads : int
    """
    check_pool(X, Y, pool_size, stride, padding)
    size, output = X.shape[1:4], Y.shape[1:4]
    count = _count_true_pixels(size, output, pool_size, stride, padding)
    X = _pad(_double(X), padding)

    # Y(n,x,y,c) = 1 / count(x,y) Σ_x' Σ_y' X(n, x·s + x', y·s + y', c)
    Y[:] = sum(view for _, view in _taps(X, pool_size, stride, output)) / count


@_kernel()
def avgpool_backward(dY, dX, pool_size, stride, padding, n_threads):
    """Share the gradient of a mean pooling among the pixels of the window.

    Parameters
    ----------
    dY : array of shape (n, OD, OH, OW, C)  # IN
    dX : array of shape (n, D, H, W, C)  # OUT
    pool_size, stride, padding, n_threads
        As in `avgpool_forward`.
    """
    check_pool(dX, dY, pool_size, stride, padding)
    size, output = dX.shape[1:4], dY.shape[1:4]
    share = _double(dY) / _count_true_pixels(size, output, pool_size, stride, padding)
    padded = _pad(np.zeros(dX.shape), padding)

    # dX(n, x·s + x', y·s + y', c) += dY(n,x,y,c) / count(x,y)
    for _, view in _taps(padded, pool_size, stride, output):
        view += share
    dX[:] = _crop(padded, padding, size)


@_kernel("index")
def globalmax_forward(X, Y, index, n_threads):
    """Largest value of every map, and where it was found.

    Parameters
    ----------
    X : array of shape (n, P, C)  # IN
    Y : array of shape (n, C)  # OUT
    index : int32 array of shape (n, C) or None  # OUT
    n_threads : int
    """
    sizes = _match(X=(X, "n P C"), Y=(Y, "n C"), index=(index, "n C", np.int32))
    _check_not_empty(sizes, "P")
    _check_places([sizes["P"]])

    # Y(n,c) = max over p of X(n,p,c): the first of a tie, NaN counts as the largest
    where = np.argmax(X, axis=1)
    Y[:] = np.take_along_axis(X, where[:, np.newaxis], axis=1)[:, 0]
    if index is not None:
        index[:] = where


@_kernel()
def globalmax_backward(dY, index, dX, n_threads):
    """Take the gradient of a global max pooling to the remembered locations.

    Parameters
    ----------
    dY : array of shape (n, C)  # IN
    index : int32 array of shape (n, C)  # IN
    dX : array of shape (n, P, C)  # OUT
    n_threads : int
    """
    sizes = _match(dY=(dY, "n C"), index=(index, "n C", np.int32), dX=(dX, "n P C"))
    _check_not_empty(sizes, "P")
    _check_places([sizes["P"]])
    check_index(index, dX.shape[1])

    # dX(n, index(n,c), c) = dY(n,c), and 0 elsewhere
    dX[:] = 0
    np.put_along_axis(dX, index[:, np.newaxis], dY[:, np.newaxis], axis=1)


@_kernel()
def globalavg_forward(X, Y, n_threads):
    """Mean of every map.

    Parameters
    ----------
    X : array of shape (n, P, C)  # IN
    Y : array of shape (n, C)  # OUT
    n_threads : int
    """
    sizes = _match(X=(X, "n P C"), Y=(Y, "n C"))
    _check_not_empty(sizes, "P")
    _check_places([sizes["P"]])

    # Y(n,c) = 1/P Σ_p X(n,p,c)
    Y[:] = _double(X).mean(axis=1)


@_kernel()
def globalavg_backward(dY, dX, n_threads):
    """Share the gradient of a global mean pooling among all pixels.

    Parameters
    ----------
    dY : array of shape (n, C)  # IN
    dX : array of shape (n, P, C)  # OUT
    n_threads : int
    """
    sizes = _match(dY=(dY, "n C"), dX=(dX, "n P C"))
    _check_not_empty(sizes, "P")
    _check_places([sizes["P"]])

    # dX(n,p,c) = dY(n,c) / P
    dX[:] = _double(dY)[:, np.newaxis] / dX.shape[1]


def _check_exponent(p):
    """Check the exponent of Lp pooling: below 1 there is no norm."""
    if not p >= 1:
        raise ValueError(f"p is {p}, expected a number of at least 1")


@_kernel()
def lppool_forward(X, Y, pool_size, stride, padding, p, n_threads):
    """Lp norm of every window.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    Y : array of shape (n, OD, OH, OW, C)  # OUT
    pool_size, stride : tuple of 3 ints
    padding : tuple of 3 pairs (before, after)
    p : float of at least 1
    n_threads : int
    """
    check_pool(X, Y, pool_size, stride, padding)
    _check_exponent(p)
    X = _pad(_double(X), padding)

    # Y(n,x,y,c) = (Σ_x' Σ_y' |X(n, x·s + x', y·s + y', c)|ᵖ)^(1/p)
    # in units of the largest |X| of a window, so that no power overflows before the norm
    sizes = [np.abs(view) for _, view in _taps(X, pool_size, stride, Y.shape[1:4])]
    unit = np.fmax.reduce(sizes)
    unit = np.where((unit > 0) & (unit < np.inf), unit, 1.0)
    Y[:] = unit * sum((size / unit) ** p for size in sizes) ** (1 / p)


@_kernel()
def lppool_backward(X, Y, dY, dX, pool_size, stride, padding, p, n_threads):
    """Take the gradient of an Lp pooling to the pixels of the windows.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    Y : array of shape (n, OD, OH, OW, C)  # IN
        The output of the forward pass.
    dY : array like Y  # IN
    dX : array like X  # OUT
    pool_size, stride, padding, p, n_threads
        As in `lppool_forward`.
    """
    check_pool(
        X, Y, pool_size, stride, padding,
        dY=(dY, "n OD OH OW C"), dX=(dX, "n D H W C"),
    )  # fmt: skip
    _check_exponent(p)
    size, output = X.shape[1:4], Y.shape[1:4]
    X, Y, dY = _pad(_double(X), padding), _double(Y), _double(dY)
    padded = np.zeros(X.shape)

    # dX(n, x·s + x', y·s + y', c) += dY(n,x,y,c) sign(X) (|X| / Y(n,x,y,c))^(p-1)
    # and 0 where X = 0
    for (_, x), (_, total) in zip(
        _taps(X, pool_size, stride, output),
        _taps(padded, pool_size, stride, output),
        strict=True,
    ):
        share = np.divide(np.abs(x), Y, out=np.zeros(Y.shape), where=x != 0)
        total += dY * np.sign(x) * share ** (p - 1)
    dX[:] = _crop(padded, padding, size)


def _group_span(o, stride, window, size):
    """Pixels [start, stop) of the window of output o along one axis.

    Windows of all sizes have their centre in the middle of the `stride` pixels of o.
    They are clipped to the map; if nothing remains, the nearest pixel does.
    """
    start = o * stride + (stride - window) // 2
    stop = start + window
    start = max(0, min(start, size - 1))
    return start, max(start + 1, min(stop, size))


@_kernel("index")
def group_maxpool_forward(X, Y, index, pool_sizes, stride, n_threads):
    """Largest value of every window, each group of maps having windows of its own size.

    The backward pass is `maxpool_backward`.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    Y : array of shape (n, *ceil(size / stride), C)  # OUT
    index : int32 array like Y or None  # OUT
        Flat position ``(d * H + h) * W + w`` of the first maximum in scan order.
    pool_sizes : int64 array of shape (groups, 3)  # IN
        Depth, height and width of the windows of every group.
    stride : tuple of 3 ints
    n_threads : int
    """
    sizes = _match(
        X=(X, "n D H W C"),
        Y=(Y, "n OD OH OW C"),
        index=(index, "n OD OH OW C", np.int32),
        pool_sizes=(pool_sizes, "groups 3", np.int64),
    )
    _check_not_empty(sizes, "D H W C groups")
    _check_sizes("stride", stride, 3, 1)
    for window in pool_sizes.tolist():
        _check_sizes("a row of pool_sizes", window, 3, 1)
    _check_places(X.shape[1:4])
    n, *size, C = X.shape
    if C % len(pool_sizes):
        raise ValueError(f"there are {len(pool_sizes)} pool_sizes, expected a divisor of {C} maps")
    expected = tuple(-(-s // step) for s, step in zip(size, stride, strict=True))
    if Y.shape[1:4] != expected:
        raise ValueError(
            f"Y has shape {Y.shape}, expected maps of the size {expected}, one pixel "
            f"for {stride} of X"
        )

    # Y(n,x,y,c) = max of X(n,x',y',c) over the window of c's group at (x, y)
    # The first of a tie stays, NaN counts as the largest.
    positions = np.arange(np.prod(size)).reshape(size)
    width = C // len(pool_sizes)
    for group, window in enumerate(pool_sizes.tolist()):
        maps = slice(group * width, (group + 1) * width)
        for out in np.ndindex(*expected):
            spans = map(_group_span, out, stride, window, size)
            inside = tuple(slice(start, stop) for start, stop in spans)
            here = positions[inside].ravel()
            pixels = X[(slice(None), *inside, maps)].reshape(n, len(here), width)
            where = np.argmax(pixels, axis=1)
            best = np.take_along_axis(pixels, where[:, np.newaxis], axis=1)[:, 0]
            Y[(slice(None), *out, maps)] = best
            if index is not None:
                index[(slice(None), *out, maps)] = here[where]
