"""Depth-wise convolution."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .activation import _ACTIVATIONS, FUSED_ACTIVATIONS
from .checks import _double, _kernel, _match, check_activation, check_depthwise
from .conv import conv_forward
from .taps import _crop, _pad, _taps


@_kernel("scale", "b")
def depthwise_forward(X, W, scale, b, Y, stride, padding, dilation, activation, alpha,
                      n_threads):  # fmt: skip
    """Convolution of every map with filters of its own, bias and activation.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    W : array of shape (KD, KH, KW, 1, C * multiplier)  # IN
    scale : array of shape (C * multiplier,) or None  # IN
        Times the filters.
    b : array of shape (C * multiplier,) or None  # IN
    Y : array of shape (n, OD, OH, OW, C * multiplier)  # OUT
    stride, padding, dilation, activation, alpha, n_threads
        As in `conv_forward`.
    """
    check_depthwise(X, W, b, Y, stride, padding, dilation, scale=(scale, "F"))
    check_activation(activation, FUSED_ACTIVATIONS)
    f, _ = _ACTIVATIONS[activation]
    multiplier = W.shape[-1] // X.shape[-1]
    X, W = _pad(_double(X), padding), _double(W)
    if scale is not None:
        W = W * _double(scale)

    # z(n,x,y,c·m+j) =
    #     b(c·m+j) + Σ_x' Σ_y' X(n, x·s + x'·d, y·s + y'·d, c) W(x',y',c·m+j)
    # with m the multiplier: map c has the filters j = 0 ... m - 1
    Z = np.zeros(Y.shape)
    for tap, view in _taps(X, W.shape[:3], stride, Y.shape[1:4], dilation):
        Z += np.repeat(view, multiplier, axis=-1) * W[tap]
    if b is not None:
        Z += _double(b)

    # Y = f(z)
    Y[:] = f(Z, alpha)


@_kernel("scale1", "b1", "scale2", "b2")
def pointwise_depthwise_forward(X, W1, scale1, b1, W2, scale2, b2, Y, stride, padding, dilation,
                                activation1, alpha1, activation2, alpha2, n_threads):  # fmt: skip
    """Convolution of single pixels, and a depth-wise one of its maps.

    Parameters
    ----------
    X : array of shape (n, D, H, W, B)  # IN
    W1 : array of shape (1, 1, 1, B, C)  # IN
    scale1, b1 : array of shape (C,) or None  # IN
    W2 : array of shape (KD, KH, KW, 1, C * multiplier)  # IN
    scale2, b2 : array of shape (C * multiplier,) or None  # IN
    Y : array of shape (n, OD, OH, OW, C * multiplier)  # OUT
    stride, padding, dilation
        Of the second.
    activation1, alpha1, activation2, alpha2
        Behind each of them.
    n_threads : int
    """
    _match(
        X=(X, "n D H W B"), W1=(W1, "1 1 1 B C"), scale1=(scale1, "C"), b1=(b1, "C"),
        W2=(W2, "KD KH KW 1 F"), Y=(Y, "n OD OH OW F"),
    )  # fmt: skip
    maps = np.empty((*X.shape[:-1], W1.shape[-1]), X.dtype)
    check_depthwise(maps, W2, b2, Y, stride, padding, dilation, scale=(scale2, "F"))
    maps = np.zeros(maps.shape)
    first = (None if a is None else _double(a) for a in (X, W1, scale1, b1))
    ones, none = (1, 1, 1), ((0, 0),) * 3
    conv_forward(
        *first, maps, None, None, ones, none, ones, 1, activation1, alpha1, ones, n_threads
    )
    second = (None if a is None else _double(a) for a in (W2, scale2, b2))
    result = np.empty(Y.shape)
    depthwise_forward(
        maps, *second, result, stride, padding, dilation, activation2, alpha2, n_threads
    )
    Y[:] = result


@_kernel("dX", "dW", "db")
def depthwise_backward(X, W, Y, dY, dX, dW, db, stride, padding, dilation, activation,
                       alpha, n_threads):  # fmt: skip
    """Take the gradient at the output of a depth-wise convolution to its arguments.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    W : array of shape (KD, KH, KW, 1, C * multiplier)  # IN
    Y : array of shape (n, OD, OH, OW, C * multiplier)  # IN
        The output of the forward pass, after the activation.
    dY : array like Y  # IN
    dX : array like X or None  # OUT
    dW : array like W or None  # OUT
    db : array of shape (C * multiplier,) or None  # OUT
    stride, padding, dilation, activation, alpha, n_threads
        As in `conv_forward`.
    """
    check_depthwise(
        X, W, None, Y, stride, padding, dilation,
        dY=(dY, "n OD OH OW F"),
        dX=(dX, "n D H W C"),
        dW=(dW, "KD KH KW C/groups F"),
        db=(db, "F"),
    )  # fmt: skip
    check_activation(activation, FUSED_ACTIVATIONS)
    _, slope = _ACTIVATIONS[activation]
    size, kernel, output = X.shape[1:4], W.shape[:3], Y.shape[1:4]
    multiplier = W.shape[-1] // X.shape[-1]
    X, W = _pad(_double(X), padding), _double(W)

    # dz = dY f'(z)
    dZ = _double(dY) * slope(_double(Y), alpha)

    # db(c·m+j) = Σ_n Σ_x Σ_y dz(n,x,y,c·m+j)
    if db is not None:
        db[:] = dZ.sum(axis=(0, 1, 2, 3))

    # dW(x',y',c·m+j) = Σ_n Σ_x Σ_y X(n, x·s + x'·d, y·s + y'·d, c) dz(n,x,y,c·m+j)
    if dW is not None:
        for tap, view in _taps(X, kernel, stride, output, dilation):
            product = np.repeat(view, multiplier, axis=-1) * dZ
            dW[tap] = product.sum(axis=(0, 1, 2, 3))

    # dX(n, x·s + x'·d, y·s + y'·d, c) += Σ_j dz(n,x,y,c·m+j) W(x',y',c·m+j)
    if dX is not None:
        padded = np.zeros(X.shape)
        for tap, view in _taps(padded, kernel, stride, output, dilation):
            view += (dZ * W[tap]).reshape(*view.shape, multiplier).sum(axis=-1)
        dX[:] = _crop(padded, padding, size)
