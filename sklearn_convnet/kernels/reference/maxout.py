"""The maximum over pieces side by side."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .checks import _check_not_empty, _double, _kernel, _match, check_index


@_kernel("index")
def maxout_forward(X, Y, index, n_threads):
    """Largest piece of every unit, and which it is.

    Parameters
    ----------
    X : array of shape (m, pieces)  # IN
    Y : array of shape (m,)  # OUT
    index : int32 array like Y or None  # OUT
        The first of the largest pieces; NaN counts as the largest.
    n_threads : int
    """
    sizes = _match(X=(X, "m pieces"), Y=(Y, "m"), index=(index, "m", np.int32))
    _check_not_empty(sizes, "pieces")

    # Y(i) = max over p of X(i, p)
    Y[:] = np.max(_double(X), axis=1)
    if index is not None:
        index[:] = np.argmax(X, axis=1)


@_kernel()
def maxout_backward(dY, index, dX, n_threads):
    """Take the gradient of a maxout to the remembered pieces.

    Parameters
    ----------
    dY : array of shape (m,)  # IN
    index : int32 array like dY  # IN
    dX : array of shape (m, pieces)  # OUT
    n_threads : int
    """
    sizes = _match(dY=(dY, "m"), index=(index, "m", np.int32), dX=(dX, "m pieces"))
    _check_not_empty(sizes, "pieces")
    check_index(index, sizes["pieces"])

    # dX(i, p) = dY(i) if p is index(i), else 0
    dX[:] = np.where(np.arange(sizes["pieces"]) == index[:, np.newaxis], dY[:, np.newaxis], 0)
