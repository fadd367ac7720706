"""Activations and softmax."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import erfc, expit, softmax

from .checks import _check_not_empty, _double, _kernel, _match, check_activation

_LARGEST = np.finfo(np.float64).max


def _finite(x):
    """The largest number in the place of infinity, so that 0 times it is 0."""
    return np.clip(x, -_LARGEST, _LARGEST)


def _density(x):
    """The density of the normal distribution."""
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


# name: (f(x), f'). The derivative is a function of the output y = f(x), so that the
# input need not be kept; those of INPUT_ACTIVATIONS are not monotonous, their derivative is
# one of the input. relu'(0) = 0, and comparisons are such that NaN passes through.
_ACTIVATIONS = {
    "identity": (
        lambda x, alpha: x,
        lambda y, alpha: np.ones_like(y),
    ),
    "relu": (
        lambda x, alpha: np.maximum(x, 0),
        lambda y, alpha: np.where(y > 0, 1, 0),
    ),
    "leaky_relu": (
        lambda x, alpha: np.where(x > 0, x, alpha * x),
        lambda y, alpha: np.where(y > 0, 1, alpha),
    ),
    "tanh": (
        lambda x, alpha: np.tanh(x),
        lambda y, alpha: 1 - y * y,
    ),
    "logistic": (
        lambda x, alpha: expit(x),
        lambda y, alpha: y * (1 - y),
    ),
    # alpha (exp(x) - 1) below 0, hence the slope alpha exp(x) = y + alpha
    "elu": (
        lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda y, alpha: np.where(y > 0, 1, y + alpha),
    ),
    # log(1 + exp(x)), hence the slope logistic(x) = 1 - exp(-y); exp(-|x|) is at most 1
    "softplus": (
        lambda x, alpha: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
        lambda y, alpha: -np.expm1(-y),
    ),
    "relu6": (
        lambda x, alpha: np.clip(x, 0, 6),
        lambda y, alpha: np.where((y > 0) & (y < 6), 1, 0),
    ),
    "hard_logistic": (
        lambda x, alpha: np.clip(x + 3, 0, 6) / 6,
        lambda y, alpha: np.where((y > 0) & (y < 1), 1 / 6, 0),
    ),
    # x / (1 + |x|), hence the slope 1 / (1 + |x|)^2 = (1 - |y|)^2
    "softsign": (
        lambda x, alpha: _finite(x) / (1 + np.abs(_finite(x))),
        lambda y, alpha: (1 - np.abs(y)) ** 2,
    ),
    # x Phi(x), hence the slope Phi(x) + x phi(x), with the normal distribution
    # Phi(x) = (1 + erf(x / sqrt 2)) / 2 = erfc(-x / sqrt 2) / 2 and its density phi
    "gelu": (
        lambda x, alpha: np.maximum(x, -_LARGEST) * erfc(-x / np.sqrt(2)) / 2,
        lambda x, alpha: erfc(-x / np.sqrt(2)) / 2 + _finite(x) * _density(x),
    ),
    # x s with s = logistic(x), hence the slope s + x s (1 - s)
    "silu": (
        lambda x, alpha: np.maximum(x, -_LARGEST) * expit(x),
        lambda x, alpha: expit(x) * (1 + _finite(x) * expit(-x)),
    ),
    # x (x + 3) / 6 between -3 and 3, hence the slope (2 x + 3) / 6; beyond them 0 and x
    "hard_swish": (
        lambda x, alpha: np.where(x >= 3, x, np.maximum(x, -3) * np.maximum(x + 3, 0) / 6),
        lambda x, alpha: np.where(x >= 3, 1, np.where(x <= -3, 0, x / 3 + 0.5)),
    ),
}


INPUT_ACTIVATIONS = ("gelu", "silu", "hard_swish")


# Those that convolution and dense kernels apply on their way out.
FUSED_ACTIVATIONS = tuple(name for name in _ACTIVATIONS if name not in INPUT_ACTIVATIONS)


ALL_ACTIVATIONS = tuple(_ACTIVATIONS)


@_kernel()
def activation_forward(X, Y, activation, alpha, n_threads):
    """Apply an activation to every element of a 1-D array.

    Parameters
    ----------
    X : array of shape (m,)  # IN
    Y : array of shape (m,)  # OUT
    activation : str
    alpha : float
        Slope of leaky_relu below 0, scale of elu.
    n_threads : int
    """
    _match(X=(X, "m"), Y=(Y, "m"))
    check_activation(activation, ALL_ACTIVATIONS)
    f, _ = _ACTIVATIONS[activation]

    # Y(i) = f(X(i))
    Y[:] = f(_double(X), alpha)


@_kernel()
def activation_backward(S, dY, dX, activation, alpha, n_threads):
    """Take the gradient at the output of an activation to its input.

    Parameters
    ----------
    S : array of shape (m,)  # IN
        The output of the activation, for "gelu", "silu" and "hard_swish" its input.
    dY : array of shape (m,)  # IN
    dX : array of shape (m,)  # OUT
    activation : str
    alpha : float
    n_threads : int
    """
    _match(S=(S, "m"), dY=(dY, "m"), dX=(dX, "m"))
    check_activation(activation, ALL_ACTIVATIONS)
    _, slope = _ACTIVATIONS[activation]

    # dX(i) = dY(i) f'
    dX[:] = _double(dY) * slope(_double(S), alpha)


@_kernel()
def softmax_forward(X, Y, n_threads):
    """Softmax over the last axis.

    Parameters
    ----------
    X : array of shape (m, C)  # IN
    Y : array of shape (m, C)  # OUT
    n_threads : int
    """
    sizes = _match(X=(X, "m C"), Y=(Y, "m C"))
    _check_not_empty(sizes, "C")

    # Y(i,c) = exp(X(i,c)) / Σ_c' exp(X(i,c')); scipy takes the row's maximum off first
    Y[:] = softmax(_double(X), axis=1)


@_kernel()
def softmax_backward(Y, dY, dX, n_threads):
    """Take the gradient at the output of a softmax to its input.

    Parameters
    ----------
    Y : array of shape (m, C)  # IN
    dY : array of shape (m, C)  # IN
    dX : array of shape (m, C)  # OUT
    n_threads : int
    """
    sizes = _match(Y=(Y, "m C"), dY=(dY, "m C"), dX=(dX, "m C"))
    _check_not_empty(sizes, "C")
    Y, dY = _double(Y), _double(dY)

    # dX(i,c) = Y(i,c) (dY(i,c) - Σ_c' Y(i,c') dY(i,c'))
    dX[:] = Y * (dY - np.sum(Y * dY, axis=1, keepdims=True))
