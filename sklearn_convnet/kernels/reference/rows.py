"""The samples of a batch."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .checks import _kernel, _match


def _take(X, rows, Y, dtype):
    """Y(i,p) = X(rows(i),p), where X has the dtype, or that of Y if it is None."""
    dtypes = () if dtype is None else (dtype,)
    N = _match(X=(X, "N P", *dtypes), rows=(rows, "m", np.int64), Y=(Y, "m P"))["N"]
    if len(rows) and not (0 <= rows.min() and rows.max() < N):
        raise ValueError(f"rows are {rows.min()} to {rows.max()}, expected 0 to {N - 1}")
    Y[:] = X[rows]


@_kernel()
def take_rows(X, rows, Y, n_threads):
    """Copy some samples.

    Parameters
    ----------
    X : array of shape (N, P)  # IN
    rows : int64 array of shape (m,)  # IN
        Which samples, from 0 to N - 1, in their order.
    Y : array of shape (m, P)  # OUT
    n_threads : int
    """
    _take(X, rows, Y, None)


@_kernel()
def take_bytes(X, rows, Y, n_threads):
    """Copy some samples whose numbers are bytes.

    Parameters
    ----------
    X : uint8 array of shape (N, P)  # IN
    rows : int64 array of shape (m,)  # IN
        Which samples, from 0 to N - 1, in their order.
    Y : array of shape (m, P)  # OUT
        The same values, from 0 to 255.
    n_threads : int
    """
    _take(X, rows, Y, np.uint8)
