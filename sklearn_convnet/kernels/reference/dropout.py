"""Dropout."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .checks import _double, _kernel, _match


def dropout_mask(seed, size, rate):
    """Elements that dropout keeps, a function of the seed and the position alone.

    The bits are those of splitmix64 (Steele, Lea and Flood, 2014) started at `seed`.

    Returns
    -------
    keep : bool array of shape (size,)
    """
    # h(j) = mix(seed + (j + 1) · γ), all modulo 2⁶⁴; of 64 elements, those 32 apart share one
    i = np.arange(size, dtype=np.uint64)
    j = i // np.uint64(64) * np.uint64(32) + i % np.uint64(32)
    h = np.array([seed], dtype=np.uint64) + (j + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h = h ^ (h >> np.uint64(31))

    # 24 bits are a uniform integer, which both float dtypes hold exactly.
    shift = np.where(i % np.uint64(64) < 32, np.uint64(40), np.uint64(8))
    return ((h >> shift) & np.uint64(0xFFFFFF)).astype(np.float64) >= rate * 2.0**24


@_kernel()
def dropout(X, Y, rate, seed, n_threads):
    """Set a share of the elements to 0 and scale the others up.

    The backward pass is the same kernel, with the gradient for X.

    Parameters
    ----------
    X : array of shape (m,)  # IN
    Y : array of shape (m,)  # OUT
    rate : float in [0, 1)
        Probability that an element is dropped.
    seed : int in [0, 2**64)
    n_threads : int
    """
    _match(X=(X, "m"), Y=(Y, "m"))
    if not 0 <= rate < 1:
        raise ValueError(f"rate is {rate}, expected a number in [0, 1)")

    # Y(i) = X(i) mask(seed, i) / (1 - rate)
    keep = dropout_mask(seed, X.size, rate)
    Y[:] = np.where(keep, _double(X) / (1 - rate), 0)
