"""Normalisation of each sample by itself."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .checks import _check_not_empty, _double, _kernel, _match


def check_group_norm(**arrays):
    """Raise ValueError unless the arrays of a group normalisation fit.

    Returns
    -------
    shape : tuple of int
        That of X with an axis for the groups: (n, P, groups, C / groups).
    """
    sizes = _match(**arrays)
    _check_not_empty(sizes, "P C groups")
    channels, groups = sizes["C"], sizes["groups"]
    if channels % groups:
        raise ValueError(f"mean is of {groups} groups, expected a divisor of {channels} channels")
    return sizes["n"], sizes["P"], groups, channels // groups


@_kernel()
def groupnorm_forward(X, scale, offset, mean, variance, Y, epsilon, n_threads):
    """Normalise groups of the channels of each sample (Wu and He, 2018).

    Parameters
    ----------
    X : array of shape (n, P, C)  # IN
    scale, offset : array of shape (C,)  # IN
    mean : float64 array of shape (n, groups)  # OUT
    variance : float64 array of shape (n, groups)  # OUT
        The biased one.
    Y : array of shape (n, P, C)  # OUT
    epsilon : float
    n_threads : int
    """
    shape = check_group_norm(
        X=(X, "n P C"),
        scale=(scale, "C"),
        offset=(offset, "C"),
        mean=(mean, "n groups", np.float64),
        variance=(variance, "n groups", np.float64),
        Y=(Y, "n P C"),
    )
    groups = _double(X).reshape(shape)

    # mean(i,g) and variance(i,g) over all positions and the channels of group g
    mean[:] = groups.mean(axis=(1, 3))
    variance[:] = groups.var(axis=(1, 3))

    # Y(i,p,c) = scale(c) (X(i,p,c) - mean(i,g)) / sqrt(variance(i,g) + ε) + offset(c)
    each = (slice(None), None, slice(None), None)
    normalized = (groups - mean[each]) / np.sqrt(variance[each] + epsilon)
    Y[:] = normalized.reshape(X.shape) * _double(scale) + _double(offset)


@_kernel("dscale", "doffset")
def groupnorm_backward(X, scale, mean, variance, dY, dX, dscale, doffset, epsilon, n_threads):
    """Take the gradient at the output of a group normalisation to its arguments.

    Parameters
    ----------
    X : array of shape (n, P, C)  # IN
    scale : array of shape (C,)  # IN
    mean, variance : float64 array of shape (n, groups)  # IN
        Those of the forward pass. They are functions of X, and the gradient knows it.
    dY : array of shape (n, P, C)  # IN
    dX : array of shape (n, P, C)  # OUT
    dscale, doffset : array of shape (C,) or None  # OUT
    epsilon, n_threads
        As in `groupnorm_forward`.
    """
    shape = check_group_norm(
        X=(X, "n P C"),
        scale=(scale, "C"),
        mean=(mean, "n groups", np.float64),
        variance=(variance, "n groups", np.float64),
        dY=(dY, "n P C"),
        dX=(dX, "n P C"),
        dscale=(dscale, "C"),
        doffset=(doffset, "C"),
    )
    dY = _double(dY)
    each = (slice(None), None, slice(None), None)
    deviation = np.sqrt(variance[each] + epsilon)
    normalized = (_double(X).reshape(shape) - mean[each]) / deviation

    # doffset(c) = Σ_i Σ_p dY(i,p,c);  dscale(c) = Σ_i Σ_p dY(i,p,c) x̂(i,p,c)
    if doffset is not None:
        doffset[:] = dY.sum(axis=(0, 1))
    if dscale is not None:
        dscale[:] = np.sum(dY * normalized.reshape(X.shape), axis=(0, 1))

    # g = scale(c) dY(i,p,c);  dX = (g - mean of g - x̂ mean of g x̂) / sqrt(variance + ε)
    g = (dY * _double(scale)).reshape(shape)
    means = [np.mean(a, axis=(1, 3), keepdims=True) for a in (g, g * normalized)]
    dX[:] = ((g - means[0] - normalized * means[1]) / deviation).reshape(X.shape)
