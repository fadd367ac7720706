"""Attention."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import softmax

from .checks import _check_not_empty, _double, _kernel, _match


def check_attention(**arrays):
    """Raise ValueError unless the arrays of an attention fit."""
    sizes = _match(**arrays)
    _check_not_empty(sizes, "L M heads d")


@_kernel("bias")
def attention_forward(Q, K, V, bias, P, Y, factor, n_threads):
    """Attention of positions to positions (Vaswani et al., 2017), for every image and head.

    Parameters
    ----------
    Q : array of shape (n, L, heads, d)  # IN
    K, V : array of shape (n, M, heads, d)  # IN
    bias : array of shape (heads, L, M) or None  # IN
    P : array of shape (n, heads, L, M)  # OUT
        How much position i attends to position j.
    Y : array of shape (n, L, heads, d)  # OUT
    factor : float
        Of the scores, most often 1 / sqrt(d).
    n_threads : int
    """
    check_attention(
        Q=(Q, "n L heads d"),
        K=(K, "n M heads d"),
        V=(V, "n M heads d"),
        bias=(bias, "heads L M"),
        P=(P, "n heads L M"),
        Y=(Y, "n L heads d"),
    )

    # S(n,h,i,j) = factor Σ_d Q(n,i,h,d) K(n,j,h,d) + bias(h,i,j)
    S = factor * np.einsum("nihd,njhd->nhij", _double(Q), _double(K))
    if bias is not None:
        S += _double(bias)

    # P = softmax(S) over j
    attention = softmax(S, axis=-1)
    P[:] = attention

    # Y(n,i,h,d) = Σ_j P(n,h,i,j) V(n,j,h,d)
    Y[:] = np.einsum("nhij,njhd->nihd", attention, _double(V))


@_kernel("dbias")
def attention_backward(Q, K, V, P, dY, dS, dQ, dK, dV, dbias, factor, n_threads):
    """Take the gradient at the output of an attention to its arguments.

    Parameters
    ----------
    Q : array of shape (n, L, heads, d)  # IN
    K, V : array of shape (n, M, heads, d)  # IN
    P : array of shape (n, heads, L, M)  # IN
        That of the forward pass.
    dY : array like Q  # IN
    dS : array like P  # OUT
        The gradient at the argument of the softmax.
    dQ : array like Q  # OUT
    dK, dV : array like K  # OUT
    dbias : array of shape (heads, L, M) or None  # OUT
    factor, n_threads
        As in `attention_forward`.
    """
    check_attention(
        Q=(Q, "n L heads d"),
        K=(K, "n M heads d"),
        V=(V, "n M heads d"),
        P=(P, "n heads L M"),
        dY=(dY, "n L heads d"),
        dS=(dS, "n heads L M"),
        dQ=(dQ, "n L heads d"),
        dK=(dK, "n M heads d"),
        dV=(dV, "n M heads d"),
        dbias=(dbias, "heads L M"),
    )
    Q, K, V, P, dY = (_double(A) for A in (Q, K, V, P, dY))

    # dV(n,j,h,d) = Σ_i P(n,h,i,j) dY(n,i,h,d)
    dV[:] = np.einsum("nhij,nihd->njhd", P, dY)

    # dP(n,h,i,j) = Σ_d dY(n,i,h,d) V(n,j,h,d)
    # dS(n,h,i,j) = P(n,h,i,j) (dP(n,h,i,j) - Σ_j' P(n,h,i,j') dP(n,h,i,j'))
    dP = np.einsum("nihd,njhd->nhij", dY, V)
    gradient = P * (dP - np.sum(P * dP, axis=-1, keepdims=True))
    dS[:] = gradient

    # dQ(n,i,h,d) = factor Σ_j dS(n,h,i,j) K(n,j,h,d)
    # dK(n,j,h,d) = factor Σ_i dS(n,h,i,j) Q(n,i,h,d)
    dQ[:] = factor * np.einsum("nhij,njhd->nihd", gradient, K)
    dK[:] = factor * np.einsum("nhij,nihd->njhd", gradient, Q)

    # dbias(h,i,j) = Σ_n dS(n,h,i,j)
    if dbias is not None:
        dbias[:] = gradient.sum(axis=0)
