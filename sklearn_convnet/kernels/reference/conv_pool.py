"""A convolution and a max pool in one, in the plainest way: one after the other."""

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
    check_index_rows,
    check_pool,
)
from .conv import conv_backward, conv_forward
from .pool import maxpool_backward, maxpool_forward


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


@_kernel("b", "index")
def conv_pool_forward(X, W, b, Y, index, stride, padding, pool_size, activation, alpha,
                      n_threads):  # fmt: skip
    """Convolution, bias, activation, and the largest value of every window of that.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    W : array of shape (KD, KH, KW, C, F)  # IN
    b : array of shape (F,) or None  # IN
    Y : array of shape (n, OD, OH, OW, F)  # OUT
    index : int32 array like Y or None  # OUT
        Flat position of the first maximum in the output of the convolution.
    stride, padding
        Of the convolution, as in `conv_forward`.
    pool_size : tuple of 3 ints
        Of the windows, which lie side by side.
    activation, alpha, n_threads
        As in `conv_forward`.
    """
    _match(X=(X, "n D H W C"), W=(W, "KD KH KW C F"), Y=(Y, "n OD OH OW F"))
    A = np.empty(_conv_output(X, W, stride, padding), X.dtype)
    conv_forward(X, W, b, A, stride, padding, (1, 1, 1), 1, activation, alpha, n_threads)
    maxpool_forward(A, Y, index, pool_size, pool_size, ((0, 0),) * 3, n_threads)


@_kernel("dX", "dW", "db")
def conv_pool_backward(X, W, Y, index, dY, dX, dW, db, stride, padding, pool_size,
                       activation, alpha, n_threads):  # fmt: skip
    """Take the gradient at the pooled output of a convolution to input, weights and bias.

    Parameters
    ----------
    X, W, Y, index, stride, padding, pool_size, activation, alpha, n_threads
        As in `conv_pool_forward`.
    dY : array like Y  # IN
    dX : array like X or None  # OUT
    dW : array like W or None  # OUT
    db : array of shape (F,) or None  # OUT
    """
    _match(
        X=(X, "n D H W C"),
        W=(W, "KD KH KW C F"),
        Y=(Y, "n OD OH OW F"),
        dY=(dY, "n OD OH OW F"),
        index=(index, "n OD OH OW F", np.int32),
    )
    check_activation(activation, FUSED_ACTIVATIONS)
    dZ = np.empty(_conv_output(X, W, stride, padding))
    check_pool(dZ, _double(Y), pool_size, pool_size, ((0, 0),) * 3, index)
    check_index_rows(index, dZ.shape[1:4], pool_size)
    _, slope = _ACTIVATIONS[activation]

    # dz(index) = dY f'(z(index)), and 0 elsewhere; f' follows from Y
    maxpool_backward(_double(dY) * slope(_double(Y), alpha), index, dZ, n_threads)
    dZ = dZ.astype(X.dtype)
    conv_backward(
        X, W, dZ, dZ, dX, dW, db, stride, padding, (1, 1, 1), 1, "identity", 0.0, n_threads
    )
