"""Products of maps with gates."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .checks import _check_not_empty, _double, _kernel, _match


@_kernel()
def gate_forward(X, G, Y, n_threads):
    """Multiply maps with a gate, which may have one position for all, or one channel.

    Parameters
    ----------
    X : array of shape (n, P, C)  # IN
    G : array of shape (n, P or 1, C or 1)  # IN
    Y : array of shape (n, P, C)  # OUT
    n_threads : int
    """
    _check_gate(X, G, Y=Y)

    # Y(n,i,c) = X(n,i,c) G(n,i,c)
    Y[:] = _double(X) * _double(G)


@_kernel("dX")
def gate_backward(X, G, dY, dX, dG, n_threads):
    """Take the gradient at a product to both factors.

    Parameters
    ----------
    X : array of shape (n, P, C)  # IN
    G : array of shape (n, P or 1, C or 1)  # IN
    dY : array of shape (n, P, C)  # IN
    dX : array of shape (n, P, C) or None  # OUT
        Without what X does to G.
    dG : array like G  # OUT
    n_threads : int
    """
    _check_gate(X, G, dY=dY, dX=dX)
    _match(G=(G, "n GP GC"), dG=(dG, "n GP GC"))

    # dX(n,i,c) = dY(n,i,c) G(n,i,c)
    if dX is not None:
        dX[:] = _double(dY) * _double(G)

    # dG(n,i,c) = dY(n,i,c) X(n,i,c), summed over the axes that G has one of
    shared = tuple(axis for axis in (1, 2) if G.shape[axis] == 1)
    dG[:] = np.sum(_double(dY) * _double(X), axis=shared, keepdims=True)


def _check_gate(X, G, **others):
    """Check that a gate goes with maps, and that other arrays are like these."""
    sizes = _match(X=(X, "n P C"), **{name: (a, "n P C") for name, a in others.items()})
    _check_not_empty(sizes, "P C")
    fits = G.ndim == 3 and all(G.shape[axis] in (1, X.shape[axis]) for axis in (1, 2))
    if not fits:
        raise ValueError(f"G has shape {G.shape}, expected {X.shape}, or 1 along the last axes")
    _match(X=(X, "n P C"), G=(G, f"n {G.shape[1]} {G.shape[2]}"))
