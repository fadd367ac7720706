"""Convolution."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .activation import _ACTIVATIONS, FUSED_ACTIVATIONS
from .checks import _double, _kernel, check_activation, check_conv
from .taps import _crop, _pad, _taps


def _by_group(A, groups):
    """Arrange (..., C) as (groups, rows, C / groups): one matrix a group."""
    return A.reshape(-1, groups, A.shape[-1] // groups).transpose(1, 0, 2)


def _ungroup(A, shape):
    """Undo `_by_group`."""
    return A.transpose(1, 0, 2).reshape(shape)


@_kernel("b")
def conv_forward(X, W, b, Y, stride, padding, dilation, groups, activation, alpha,
                 n_threads):  # fmt: skip
    """Convolution, bias and activation.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    W : array of shape (KD, KH, KW, C / groups, F)  # IN
    b : array of shape (F,) or None  # IN
    Y : array of shape (n, OD, OH, OW, F)  # OUT
    stride, dilation : tuple of 3 ints
    padding : tuple of 3 pairs (before, after)
    groups : int
    activation : str
    alpha : float
    n_threads : int
    """
    check_conv(X, W, b, Y, stride, padding, dilation, groups)
    check_activation(activation, FUSED_ACTIVATIONS)
    f, _ = _ACTIVATIONS[activation]
    X, W = _pad(_double(X), padding), _double(W)

    # z(n,x,y,j) = b(j) + Σ_x' Σ_y' Σ_i X(n, x·s + x'·d, y·s + y'·d, i) W(x',y',i,j)
    # with s the stride and d the dilation; i runs over the input maps of j's group
    Z = np.zeros(Y.shape)
    for tap, view in _taps(X, W.shape[:3], stride, Y.shape[1:4], dilation):
        Z += _ungroup(_by_group(view, groups) @ _by_group(W[tap], groups), Y.shape)
    if b is not None:
        Z += _double(b)

    # Y = f(z)
    Y[:] = f(Z, alpha)


@_kernel("dX", "dW", "db")
def conv_backward(X, W, Y, dY, dX, dW, db, stride, padding, dilation, groups,
                  activation, alpha, n_threads):  # fmt: skip
    """Take the gradient at the output of a convolution to input, weights and bias.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    W : array of shape (KD, KH, KW, C / groups, F)  # IN
    Y : array of shape (n, OD, OH, OW, F)  # IN
        The output of the forward pass, after the activation.
    dY : array of shape (n, OD, OH, OW, F)  # IN
    dX : array like X or None  # OUT
    dW : array like W or None  # OUT
    db : array of shape (F,) or None  # OUT
    stride, padding, dilation, groups, activation, alpha, n_threads
        As in `conv_forward`.
    """
    check_conv(
        X, W, None, Y, stride, padding, dilation, groups,
        dY=(dY, "n OD OH OW F"),
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
        dX[:] = _crop(padded, padding, size)
