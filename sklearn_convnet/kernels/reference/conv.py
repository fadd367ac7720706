"""Convolution, and a max pool behind it."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .activation import _ACTIVATIONS, FUSED_ACTIVATIONS
from .checks import (
    _check_numbers,
    _check_padding,
    _check_places,
    _check_sizes,
    _double,
    _kernel,
    _match,
    check_activation,
    check_conv,
    check_index_rows,
    check_pool,
)
from .pool import maxpool_backward, maxpool_forward
from .taps import _crop, _pad, _taps

NO_PADDING = ((0, 0),) * 3


def _by_group(A, groups):
    """Arrange (..., C) as (groups, rows, C / groups): one matrix a group."""
    return A.reshape(-1, groups, A.shape[-1] // groups).transpose(1, 0, 2)


def _ungroup(A, shape):
    """Undo `_by_group`."""
    return A.transpose(1, 0, 2).reshape(shape)


def _pools(pool_size, dilation, groups):
    """True if there is a max pool, whose windows have more than one position."""
    _check_sizes("pool_size", pool_size, 3, 1)
    _check_sizes("dilation", dilation, 3, 1)
    if max(pool_size) > 1 and (max(dilation) > 1 or groups > 1):
        raise ValueError(
            f"dilation is {dilation} and groups is {groups}, expected 1 in front of a pool"
        )
    return max(pool_size) > 1


def _conv_output(X, W, stride, padding):
    """The shape of the output of a convolution, as far as there is one."""
    _check_sizes("stride", stride, 3, 1)
    _check_padding(padding)
    size = (
        (s + sum(pads) - k) // b + 1
        for s, k, b, pads in zip(X.shape[1:4], W.shape, stride, padding, strict=False)
    )
    size = [max(n, 0) for n in size]
    _check_numbers("the output of the convolution", (*size, W.shape[-1]))
    _check_places(size)
    return (len(X), *size, W.shape[-1])


@_kernel("scale", "b", "index", "addend")
def conv_forward(X, W, scale, b, Y, index, addend, stride, padding, dilation, groups, activation,
                 alpha, pool_size, n_threads):  # fmt: skip
    """Convolution, bias, sum, activation, and the largest value of every window of that.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    W : array of shape (KD, KH, KW, C / groups, F)  # IN
    scale : array of shape (F,) or None  # IN
        Times the filters.
    b : array of shape (F,) or None  # IN
    Y : array of shape (n, OD, OH, OW, F)  # OUT
    index : int32 array like Y or None  # OUT
        Flat position of the first maximum in the output of the convolution.
    addend : array like Y or None  # IN
        Added before the activation, where there is no pool.
    stride, dilation : tuple of 3 ints
    padding : tuple of 3 pairs (before, after)
    groups : int
    activation : str
    alpha : float
    pool_size : tuple of 3 ints
        Of the windows, which lie side by side. For (1, 1, 1), which is no pool, there is no index;
        others need dilation and groups of 1.
    n_threads : int
    """
    geometry = (stride, padding, dilation, groups, activation, alpha)
    if not _pools(pool_size, dilation, groups):
        if index is not None:
            raise ValueError("an index needs windows larger than 1 x 1 x 1")
        _convolve(X, W, scale, b, Y, addend, *geometry)
        return
    if addend is not None:
        raise ValueError("an addend is that of maps that are not pooled")
    _match(X=(X, "n D H W C"), W=(W, "KD KH KW C F"), Y=(Y, "n OD OH OW F"))
    A = np.empty(_conv_output(X, W, stride, padding), X.dtype)
    _convolve(X, W, scale, b, A, None, *geometry)
    maxpool_forward(A, Y, index, pool_size, pool_size, NO_PADDING, n_threads)


def _convolve(X, W, scale, b, Y, addend, stride, padding, dilation, groups, activation, alpha):
    check_conv(X, W, b, Y, stride, padding, dilation, groups)
    check_activation(activation, FUSED_ACTIVATIONS)
    f, _ = _ACTIVATIONS[activation]
    _match(Y=(Y, "n OD OH OW F"), scale=(scale, "F"), addend=(addend, "n OD OH OW F"))
    X, W = _pad(_double(X), padding), _double(W)
    if scale is not None:
        W = W * _double(scale)

    # z(n,x,y,j) = b(j) + Σ_x' Σ_y' Σ_i X(n, x·s + x'·d, y·s + y'·d, i) W(x',y',i,j)
    # with s the stride and d the dilation; i runs over the input maps of j's group
    Z = np.zeros(Y.shape)
    for tap, view in _taps(X, W.shape[:3], stride, Y.shape[1:4], dilation):
        Z += _ungroup(_by_group(view, groups) @ _by_group(W[tap], groups), Y.shape)
    if b is not None:
        Z += _double(b)
    if addend is not None:
        Z += _double(addend)

    # Y = f(z)
    Y[:] = f(Z, alpha)


@_kernel("index", "shift", "dX", "dW", "db")
def conv_backward(X, W, Y, index, dY, shift, dX, dW, db, stride, padding, dilation, groups,
                  activation, alpha, pool_size, n_threads):  # fmt: skip
    """Take the gradient at the output of a convolution, or its pool, to input, weights and bias.

    Parameters
    ----------
    X, W, index, stride, padding, dilation, groups, activation, alpha, pool_size, n_threads
        As in `conv_forward`.
    Y : array of shape (n, OD, OH, OW, F)  # IN
        The output of the forward pass, after activation and pool.
    dY : array like Y  # IN
    shift : array of shape (C,) or None  # IN
        Added to each pixel of dX, as the bias of a transposed convolution is.
    dX : array like X or None  # OUT
    dW : array like W or None  # OUT
    db : array of shape (F,) or None  # OUT
    """
    pools, gradients = _pools(pool_size, dilation, groups), (shift, dX, dW, db)
    if pools != (index is not None):
        raise ValueError("an index is needed for windows larger than 1 x 1 x 1, and for them alone")
    geometry = (stride, padding, dilation, groups)
    if not pools:
        _take_back(X, W, Y, dY, *gradients, *geometry, activation, alpha)
        return
    _match(
        X=(X, "n D H W C"),
        W=(W, "KD KH KW C F"),
        Y=(Y, "n OD OH OW F"),
        dY=(dY, "n OD OH OW F"),
        index=(index, "n OD OH OW F", np.int32),
    )
    check_activation(activation, FUSED_ACTIVATIONS)
    dZ = np.empty(_conv_output(X, W, stride, padding))
    check_pool(dZ, _double(Y), pool_size, pool_size, NO_PADDING, index)
    check_index_rows(index, dZ.shape[1:4], pool_size)
    _, slope = _ACTIVATIONS[activation]

    # dz(index) = dY f'(z(index)), and 0 elsewhere; f' follows from Y
    maxpool_backward(_double(dY) * slope(_double(Y), alpha), index, dZ, n_threads)
    dZ = dZ.astype(X.dtype)
    _take_back(X, W, dZ, dZ, *gradients, *geometry, "identity", 0.0)


def _take_back(
    X, W, Y, dY, shift, dX, dW, db, stride, padding, dilation, groups, activation, alpha
):  # fmt: skip
    check_conv(
        X, W, None, Y, stride, padding, dilation, groups,
        dY=(dY, "n OD OH OW F"),
        shift=(shift, "C"),
        dX=(dX, "n D H W C"),
        dW=(dW, "KD KH KW C/groups F"),
        db=(db, "F"),
    )  # fmt: skip
    check_activation(activation, FUSED_ACTIVATIONS)
    _, slope = _ACTIVATIONS[activation]
    size, kernel, output = X.shape[1:4], W.shape[:3], Y.shape[1:4]
    X, W = _pad(_double(X), padding), _double(W)

    # dz = dY f'(z)
    dZ = _double(dY) * slope(_double(Y), alpha)

    # db(j) = Σ_n Σ_x Σ_y dz(n,x,y,j)
    if db is not None:
        db[:] = dZ.sum(axis=(0, 1, 2, 3))

    # dW(x',y',i,j) = Σ_n Σ_x Σ_y X(n, x·s + x'·d, y·s + y'·d, i) dz(n,x,y,j)
    dZ = _by_group(dZ, groups)
    if dW is not None:
        for tap, view in _taps(X, kernel, stride, output, dilation):
            dW[tap] = _ungroup(_by_group(view, groups).transpose(0, 2, 1) @ dZ, dW[tap].shape)

    # dX(n, x·s + x'·d, y·s + y'·d, i) += Σ_j dz(n,x,y,j) W(x',y',i,j)
    if dX is not None:
        padded = np.zeros(X.shape)
        for tap, view in _taps(padded, kernel, stride, output, dilation):
            W_group = _by_group(W[tap], groups)
            view += _ungroup(dZ @ W_group.transpose(0, 2, 1), view.shape)
        padded = _crop(padded, padding, size)
        dX[:] = padded if shift is None else padded + _double(shift)
