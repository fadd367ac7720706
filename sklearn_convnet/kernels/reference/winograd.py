"""Winograd's form of a convolution: the same numbers, in the plainest way."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .activation import _ACTIVATIONS, FUSED_ACTIVATIONS
from .checks import _check_padding, _check_sizes, _double, _kernel, _match, check_activation
from .conv import conv_backward, conv_forward


def _check_winograd(W, padding, dilation, m, pool_size):
    if m not in (2, 4):
        raise ValueError(f"tiles make 2 or 4 positions on an axis, got {m}")
    if W.shape[:2] not in ((3, 3), (5, 5)):
        raise ValueError(f"filters must be 3 x 3 or 5 x 5, got {W.shape[0]} x {W.shape[1]}")
    _check_padding(padding, 2)
    _check_sizes("dilation", dilation, 2, 1)
    _check_sizes("pool_size", pool_size, 2, 1)
    for pads, d in zip(padding, dilation, strict=True):
        reach = d * (len(W) - 1)
        if not all(0 <= pad <= reach for pad in pads):
            raise ValueError(f"padding must be at most {reach} on each side, got {padding}")
    if any(m % size for size in pool_size):
        raise ValueError(f"windows of {pool_size} do not divide tiles of {m} x {m}")
    if max(pool_size) > 1 and max(dilation) > 1:
        raise ValueError("filters before a pool must not be dilated")


def _check_axes(*arrays):
    for A in arrays:
        if A is not None and A.ndim != 4:
            raise ValueError(f"an array has {A.ndim} axes, expected 4")


def _with_depth(axis, *arrays):
    """The arrays with an axis of length 1 for depth: 0 in filters, 1 in maps."""
    return (None if A is None else np.expand_dims(A, axis) for A in arrays)


def _after_norm(X, affine, activation, alpha):
    """f((X - affine[0]) affine[1] + affine[2]), and X where there is no affine map."""
    _match(X=(X, "n H W C"), affine=(affine, "3 C"))
    check_activation(activation, FUSED_ACTIVATIONS)
    if affine is None:
        return _double(X)
    centre, factor, shift = _double(affine)
    return _ACTIVATIONS[activation][0]((_double(X) - centre) * factor + shift, alpha)


def _strips(maps, m):
    """The rows of pixels of each strip: of m rows of an image, fewer at its end."""
    for image in maps:
        for top in range(0, len(image), m):
            yield image[top : top + m].reshape(-1, maps.shape[-1])


def _strip_axes(maps, m, width):
    """The axes of an array of so many numbers for each strip."""
    return f"{len(maps) * -(-maps.shape[1] // m)} {width}"


@_kernel("affine", "scale", "b", "index", "moments", "addend")
def winograd_forward(X, affine, W, scale, b, Y, index, moments, addend, padding,
                     dilation, m, input_activation, input_alpha, activation, alpha, pool_size,
                     n_threads):  # fmt: skip
    """Convolution with stride 1, by tiles of m x m positions, a sum and a pool.

    Parameters
    ----------
    X : array of shape (n, H, W, C)  # IN
    affine : array of shape (3, C) or None  # IN
        Of `batchnorm_statistics`: what is convolved is
        f((X - affine[0]) affine[1] + affine[2]), with the input's activation, instead of X.
    W : array of shape (r, r, C, F)  # IN
        r is 3 or 5.
    scale : array of shape (F,) or None  # IN
        Times the filters.
    b : array of shape (F,) or None  # IN
    Y : array of shape (n, OH, OW, F)  # OUT
    index : int32 array like Y or None  # OUT
        As in `conv_forward`.
    moments : float64 array of shape (strips, 1 + 2 F) or None  # OUT
        Those of `batchnorm_statistics` of Y, a strip being m rows of an image; None with
        a pool or dilation.
    addend : array like Y or None  # IN
        Added before the activation; None with a pool.
    padding : tuple of 2 pairs (before, after)
        None reaches over more than the filter does behind its first tap.
    dilation : tuple of 2 ints
        (1, 1) with a pool.
    m : {2, 4}
    input_activation : str
    input_alpha : float
    activation : str
    alpha : float
    pool_size : tuple of 2 ints
        Divisors of m; for (1, 1), which is no pool, there is no index.
    n_threads : int
    """
    _check_axes(X, W, Y)
    _check_winograd(W, padding, dilation, m, pool_size)
    check_activation(activation, FUSED_ACTIVATIONS)
    if index is not None and max(pool_size) == 1:
        raise ValueError("an index needs windows larger than 1 x 1")
    if max(pool_size) > 1 and (moments is not None or addend is not None):
        raise ValueError("moments and an addend are those of maps that are not pooled")
    if moments is not None and max(dilation) > 1:
        raise ValueError("moments are those of filters that are not dilated")
    _match(
        X=(X, "n H W C"), W=(W, "r r C F"), scale=(scale, "F"), b=(b, "F"),
        Y=(Y, "n OH OW F"), addend=(addend, "n OH OW F"),
    )  # fmt: skip
    A = _after_norm(X, affine, input_activation, input_alpha)
    P = np.empty(Y.shape)
    A, Z, index = _with_depth(1, A, P, index)
    # The activation comes last, behind a sum if there is one: so there the convolution has none.
    f = (activation, alpha) if addend is None else ("identity", 0.0)
    conv_forward(
        A, _double(W)[None], *(None if v is None else _double(v) for v in (scale, b)), Z, index,
        None, (1, 1, 1), ((0, 0), *padding), (1, *dilation), 1, *f, (1, *pool_size), n_threads,
    )  # fmt: skip
    Y[:] = P if addend is None else _ACTIVATIONS[activation][0](P + _double(addend), alpha)
    if moments is not None:
        _match(moments=(moments, _strip_axes(Y, m, 1 + 2 * Y.shape[3]), np.float64))
        for row, y in zip(moments, _strips(_double(Y), m), strict=True):
            row[:] = len(y), *y.mean(axis=0), *((y - y.mean(axis=0)) ** 2).sum(axis=0)


@_kernel("affine", "index", "norm_back", "addend", "normed", "centre", "dX", "sums", "dW", "db")
def winograd_backward(X, affine, W, Y, index, dY, norm_back, addend, normed, centre, dX, sums,
                      dW, db, padding, dilation, m, input_activation, input_alpha, activation,
                      alpha, pool_size, n_threads):  # fmt: skip
    """Take the gradient at the output of a convolution, or its pool, to input, weights and bias.

    Parameters
    ----------
    X, affine, W, Y, index, padding, dilation, m, activation, alpha, pool_size, n_threads
        As in `winograd_forward`.
    dY : array like Y  # IN
    norm_back : array of shape (4, F) or None  # IN
        Of `batchnorm_backward`, if dY is the gradient behind a batch norm of Y; None with a
        pool.
    addend : array like X or None  # IN
        Added to the gradient at the input, A = f(z).
    normed : array like X or None  # IN
        What a norm made z of, or a part of z.
    centre : array of shape (C,) or None  # IN
        What its sums are taken about.
    dX : array like X or None  # OUT
        The gradient at z.
    sums : float64 array of shape (strips, 2 C) or None  # OUT
        Those of `batchnorm_backward`, a strip being m rows of an image; None with
        dilation.
    dW : array like W or None  # OUT
    db : array of shape (F,) or None  # OUT
    input_activation, input_alpha
        f; without an affine map, X itself is f(z).
    """
    _check_axes(X, W, Y, dY, dX, dW)
    if len({sums is None, normed is None, centre is None}) > 1:
        raise ValueError("normed, its centre and the sums are needed together")
    if sums is not None and dX is None:
        raise ValueError("sums need dX")
    _match(
        X=(X, "n H W C"), W=(W, "r r C F"), Y=(Y, "n OH OW F"), dY=(dY, "n OH OW F"),
        norm_back=(norm_back, "4 F"), addend=(addend, "n H W C"), normed=(normed, "n H W C"),
        centre=(centre, "C"), dX=(dX, "n H W C"), dW=(dW, "r r C F"), db=(db, "F"),
    )  # fmt: skip
    _check_winograd(W, padding, dilation, m, pool_size)
    if sums is not None and max(dilation) > 1:
        raise ValueError("sums are those of filters that are not dilated")
    if (index is not None) != (max(pool_size) > 1):
        raise ValueError("an index is needed for windows larger than 1 x 1, and for them alone")
    dZ = _double(dY)
    if norm_back is not None:
        if max(pool_size) > 1:
            raise ValueError("a norm is that of maps that are not pooled")
        factor, level, slope, middle = _double(norm_back)
        dZ = factor * dZ - (level + slope * (_double(Y) - middle))
    A = _after_norm(X, affine, input_activation, input_alpha)
    dA, dW64, db64 = (None if a is None else np.empty(a.shape) for a in (dX, dW, db))
    filters, d_filters = _with_depth(0, _double(W), dW64)
    maps = _with_depth(1, A, _double(Y), index, dZ, dA)
    A_3d, Y_3d, index, dY_3d, dA_3d = maps
    conv_backward(
        A_3d, filters, Y_3d, index, dY_3d, None, dA_3d, d_filters, db64, (1, 1, 1),
        ((0, 0), *padding), (1, *dilation), 1, activation, alpha, (1, *pool_size), n_threads,
    )  # fmt: skip
    for array, values in ((dW, dW64), (db, db64)):
        if array is not None:
            array[:] = values
    if dX is None:
        return

    # dX(i) = f'(z(i)) (dA(i) + addend(i))
    if addend is not None:
        dA += _double(addend)
    dX[:] = dA * _ACTIVATIONS[input_activation][1](A, input_alpha)
    if sums is not None:
        _match(sums=(sums, _strip_axes(X, m, 2 * X.shape[3]), np.float64))
        for row, dz, x in zip(sums, _strips(_double(dX), m), _strips(normed, m), strict=True):
            row[:] = *dz.sum(axis=0), *(dz * (_double(x) - _double(centre))).sum(axis=0)
