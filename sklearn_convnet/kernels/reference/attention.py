"""Attention."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import softmax

from .checks import _check_not_empty, _double, _kernel, _match


def check_attention(**arrays):
    """Raise ValueError unless the arrays of an attention fit."""
    sizes = _match(**arrays)
    _check_not_empty(sizes, "L heads d")


@_kernel("bias")
def attention_forward(Q, K, V, bias, P, Y, n_threads):
    """Self-attention over positions (Vaswani et al., 2017), for every image and head.

    Parameters
    ----------
    Q, K, V : array of shape (n, L, heads, d)  # IN
    bias : array of shape (heads, L, L) or None  # IN
    P : array of shape (n, heads, L, L)  # OUT
        How much position i attends to position j.
    Y : array of shape (n, L, heads, d)  # OUT
    n_threads : int
    """
    check_attention(
        Q=(Q, "n L heads d"),
        K=(K, "n L heads d"),
        V=(V, "n L heads d"),
        bias=(bias, "heads L L"),
        P=(P, "n heads L L"),
        Y=(Y, "n L heads d"),
    )
    d = Q.shape[-1]

    # S(n,h,i,j) = Σ_d Q(n,i,h,d) K(n,j,h,d) / sqrt(d) + bias(h,i,j)
    S = np.einsum("nihd,njhd->nhij", _double(Q), _double(K)) / np.sqrt(d)
    if bias is not None:
        S += _double(bias)

    # P = softmax(S) over j
    attention = softmax(S, axis=-1)
    P[:] = attention

    # Y(n,i,h,d) = Σ_j P(n,h,i,j) V(n,j,h,d)
    Y[:] = np.einsum("nhij,njhd->nihd", attention, _double(V))


@_kernel("dbias")
def attention_backward(Q, K, V, P, dY, dS, dQ, dK, dV, dbias, n_threads):
    """Take the gradient at the output of an attention to its arguments.

    Parameters
    ----------
    Q, K, V : array of shape (n, L, heads, d)  # IN
    P : array of shape (n, heads, L, L)  # IN
        That of the forward pass.
    dY : array like Q  # IN
    dS : array like P  # OUT
        The gradient at the argument of the softmax.
    dQ, dK, dV : array like Q  # OUT
    dbias : array of shape (heads, L, L) or None  # OUT
    n_threads : int
    """
    check_attention(
        Q=(Q, "n L heads d"),
        K=(K, "n L heads d"),
        V=(V, "n L heads d"),
        P=(P, "n heads L L"),
        dY=(dY, "n L heads d"),
        dS=(dS, "n heads L L"),
        dQ=(dQ, "n L heads d"),
        dK=(dK, "n L heads d"),
        dV=(dV, "n L heads d"),
        dbias=(dbias, "heads L L"),
    )
    Q, K, V, P, dY = (_double(A) for A in (Q, K, V, P, dY))
    root = np.sqrt(Q.shape[-1])

    # dV(n,j,h,d) = Σ_i P(n,h,i,j) dY(n,i,h,d)
    dV[:] = np.einsum("nhij,nihd->njhd", P, dY)

    # dP(n,h,i,j) = Σ_d dY(n,i,h,d) V(n,j,h,d)
    # dS(n,h,i,j) = P(n,h,i,j) (dP(n,h,i,j) - Σ_j' P(n,h,i,j') dP(n,h,i,j'))
    dP = np.einsum("nihd,njhd->nhij", dY, V)
    gradient = P * (dP - np.sum(P * dP, axis=-1, keepdims=True))
    dS[:] = gradient

    # dQ(n,i,h,d) = Σ_j dS(n,h,i,j) K(n,j,h,d) / sqrt(d)
    # dK(n,j,h,d) = Σ_i dS(n,h,i,j) Q(n,i,h,d) / sqrt(d)
    dQ[:] = np.einsum("nhij,njhd->nihd", gradient, K) / root
    dK[:] = np.einsum("nhij,nihd->njhd", gradient, Q) / root

    # dbias(h,i,j) = Σ_n dS(n,h,i,j)
    if dbias is not None:
        dbias[:] = gradient.sum(axis=0)
