"""Losses."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
from scipy.special import expit, log_softmax, softmax

from .checks import _check_not_empty, _double, _kernel, _match


@_kernel("weight", "dZ")
def softmax_cross_entropy(Z, target, weight, dZ, n_threads):
    """Softmax and cross-entropy of one label a row.

    Parameters
    ----------
    Z : array of shape (m, K)  # IN
        Logits.
    target : int64 array of shape (m,)  # IN
        Labels from 0 to K - 1.
    weight : array of shape (m,) or None  # IN
    dZ : array of shape (m, K) or None  # OUT
        Gradient of the loss.
    n_threads : int

    Returns
    -------
    loss : float
        The sum over all rows.
    """
    sizes = _match(
        Z=(Z, "m K"),
        target=(target, "m", np.int64),
        weight=(weight, "m"),
        dZ=(dZ, "m K"),
    )
    _check_not_empty(sizes, "K")
    m, K = sizes["m"], sizes["K"]
    if m and not (0 <= target.min() and target.max() < K):
        raise ValueError(
            f"target holds labels from {target.min()} to {target.max()}, expected 0 to {K - 1}"
        )
    Z = _double(Z)
    weight = np.ones(m) if weight is None else _double(weight)
    rows = np.arange(m)

    # dZ(i,k) = w(i) (softmax(Z)(i,k) - [k = target(i)])
    if dZ is not None:
        gradient = softmax(Z, axis=1)
        gradient[rows, target] -= 1
        dZ[:] = weight[:, np.newaxis] * gradient

    # loss = -Σ_i w(i) log softmax(Z)(i, target(i))
    return -float(weight @ log_softmax(Z, axis=1)[rows, target])


@_kernel("weight", "dZ")
def logistic_cross_entropy(Z, target, weight, dZ, n_threads):
    """Logistic function and cross-entropy of every element on its own.

    Parameters
    ----------
    Z : array of shape (m, K)  # IN
        Logits.
    target : array of shape (m, K)  # IN
        0 or 1.
    weight : array of shape (m, K) or None  # IN
    dZ : array of shape (m, K) or None  # OUT
        Gradient of the loss.
    n_threads : int

    Returns
    -------
    loss : float
        The sum over all elements.
    """
    _match(Z=(Z, "m K"), target=(target, "m K"), weight=(weight, "m K"), dZ=(dZ, "m K"))
    Z, target = _double(Z), _double(target)
    weight = np.ones(Z.shape) if weight is None else _double(weight)

    # dZ = w (logistic(Z) - t)
    if dZ is not None:
        dZ[:] = weight * (expit(Z) - target)

    # loss = -Σ w (t log p + (1 - t) log(1 - p)) with p = logistic(Z)
    #      = Σ w (max(Z, 0) - t Z + log(1 + exp(-|Z|))), which cannot overflow
    divergence = np.maximum(Z, 0) - target * Z + np.log1p(np.exp(-np.abs(Z)))
    return float(np.sum(weight * divergence))


#: The corners of a box in the order of each numbering: 4 starts, then 4 that go back.
OUTLINE_NUMBERINGS = np.array(
    [(start + step * np.arange(4)) % 4 for step in (1, -1) for start in range(4)]
)


@_kernel("dZ")
def outline_loss(Z, boxes, weight, dZ, n_threads):
    """Squared distance to the outline of a box, whose corners may be numbered in 8 ways.

    Parameters
    ----------
    Z : array of shape (n, 8)  # IN
        Corners x1, y1, ..., x4, y4, going round.
    boxes : array of shape (n, 8)  # IN
        Likewise; a row of NaN is missing.
    weight : array of shape (n,)  # IN
    dZ : array of shape (n, 8) or None  # OUT
        Gradient of the loss.
    n_threads : int

    Returns
    -------
    loss : float
        The sum over the boxes.
    """
    _match(Z=(Z, "n 8"), boxes=(boxes, "n 8"), weight=(weight, "n"), dZ=(dZ, "n 8"))
    corners, weight = _double(boxes).reshape(-1, 4, 2), _double(weight)

    # r(n,k,j) = z(n,j) - b(n, numbering(k, j))
    residual = _double(Z).reshape(-1, 1, 4, 2) - corners[:, OUTLINE_NUMBERINGS]
    residual[np.isnan(corners[:, 0, 0])] = 0
    square = (residual**2).sum(axis=(2, 3))

    # loss = Σ_n w_n min_k Σ_j |r(n,k,j)|² / 2; dZ is w r of the first k that has it
    best = square.argmin(axis=1)
    rows = np.arange(len(best))
    if dZ is not None:
        dZ[:] = weight[:, None] * residual[rows, best].reshape(-1, 8)
    return float(weight @ square[rows, best]) / 2
