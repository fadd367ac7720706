"""Enlarging."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .checks import _check_not_empty, _double, _kernel, _match


def check_upsample(**arrays):
    """Raise ValueError unless the larger maps are whole multiples of the others.

    Returns
    -------
    k_h, k_w : int
        Factors of height and width.
    """
    sizes = _match(**arrays)
    _check_not_empty(sizes, "H W C OH OW")
    for small, large in (("H", "OH"), ("W", "OW")):
        if sizes[large] % sizes[small]:
            raise ValueError(
                f"the larger maps have {sizes[large]} pixels along {small}, expected a "
                f"multiple of {sizes[small]}"
            )
    return sizes["OH"] // sizes["H"], sizes["OW"] // sizes["W"]


def _interpolation(size, factor):
    """A(x,i) = share of pixel i in pixel x of the axis `factor` times as long."""
    # Pixel x has its centre at (x + 1/2) / factor - 1/2 on the smaller axis, between
    # two pixels; beyond the outermost centres the map goes on as it ends.
    at = (np.arange(size * factor) + 0.5) / factor - 0.5
    at = np.clip(at, 0, size - 1)
    return np.maximum(0, 1 - np.abs(at[:, np.newaxis] - np.arange(size)))


@_kernel()
def upsample_forward(X, Y, bilinear, n_threads):
    """Enlarge images by whole factors.

    Parameters
    ----------
    X : array of shape (n, H, W, C)  # IN
    Y : array of shape (n, H * k_h, W * k_w, C)  # OUT
    bilinear : bool
        False: every pixel is repeated.
    n_threads : int
    """
    k_h, k_w = check_upsample(X=(X, "n H W C"), Y=(Y, "n OH OW C"))
    _, H, W, _ = X.shape

    if bilinear:
        # Y(n,x,y,c) = Σ_i Σ_j A(x,i) A(y,j) X(n,i,j,c)
        rows = np.einsum("xi,nijc->nxjc", _interpolation(H, k_h), _double(X))
        Y[:] = np.einsum("yj,nxjc->nxyc", _interpolation(W, k_w), rows)
    else:
        # Y(n,x,y,c) = X(n, x // k_h, y // k_w, c)
        Y[:] = X.repeat(k_h, axis=1).repeat(k_w, axis=2)


@_kernel()
def upsample_backward(dY, dX, bilinear, n_threads):
    """Take the gradient at the enlarged images to the images.

    Parameters
    ----------
    dY : array of shape (n, H * k_h, W * k_w, C)  # IN
    dX : array of shape (n, H, W, C)  # OUT
    bilinear, n_threads
        As in `upsample_forward`.
    """
    k_h, k_w = check_upsample(dX=(dX, "n H W C"), dY=(dY, "n OH OW C"))
    n, H, W, C = dX.shape
    dY = _double(dY)

    if bilinear:
        # dX(n,i,j,c) = Σ_x Σ_y A(x,i) A(y,j) dY(n,x,y,c)
        rows = np.einsum("xi,nxyc->niyc", _interpolation(H, k_h), dY)
        dX[:] = np.einsum("yj,niyc->nijc", _interpolation(W, k_w), rows)
    else:
        # dX(n,i,j,c) = Σ_x' Σ_y' dY(n, i·k_h + x', j·k_w + y', c)
        dX[:] = dY.reshape(n, H, k_h, W, k_w, C).sum(axis=(2, 4))
