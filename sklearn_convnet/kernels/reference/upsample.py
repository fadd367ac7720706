"""Enlarging."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .checks import _check_not_empty, _double, _kernel, _match


def check_upsample(**arrays):
    """Raise ValueError unless the larger maps are whole multiples of the others.

    Returns
    -------
    k_d, k_h, k_w : int
        Factors of depth, height and width.
    """
    sizes = _match(**arrays)
    _check_not_empty(sizes, "D H W C OD OH OW")
    for axis in "DHW":
        if sizes[f"O{axis}"] % sizes[axis]:
            raise ValueError(
                f"the larger maps have {sizes[f'O{axis}']} pixels along {axis}, expected a "
                f"multiple of {sizes[axis]}"
            )
    return tuple(sizes[f"O{axis}"] // sizes[axis] for axis in "DHW")


def _interpolation(size, factor):
    """A(x,i) = share of pixel i in pixel x of the axis `factor` times as long."""
    # Pixel x has its centre at (x + 1/2) / factor - 1/2 on the smaller axis, between
    # two pixels; beyond the outermost centres the map goes on as it ends.
    at = (np.arange(size * factor) + 0.5) / factor - 0.5
    at = np.clip(at, 0, size - 1)
    return np.maximum(0, 1 - np.abs(at[:, np.newaxis] - np.arange(size)))


def _product(A, maps, axis):
    """Σ_i A(x,i) maps(.., i, ..) along an axis."""
    return np.moveaxis(np.einsum("xi,...i->...x", A, np.moveaxis(maps, axis, -1)), -1, axis)


@_kernel()
def upsample_forward(X, Y, linear, n_threads):
    """Enlarge maps by whole factors.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    Y : array of shape (n, D * k_d, H * k_h, W * k_w, C)  # OUT
    linear : bool
        False: every pixel is repeated.
    n_threads : int
    """
    factors = check_upsample(X=(X, "n D H W C"), Y=(Y, "n OD OH OW C"))
    mixed = _double(X)

    # Y(n,x,c) = Σ_i A(x,i) X(n,i,c), or X(n, x // k, c), along each axis
    for axis, factor in enumerate(factors, start=1):
        if linear:
            mixed = _product(_interpolation(X.shape[axis], factor), mixed, axis)
        else:
            mixed = mixed.repeat(factor, axis=axis)
    Y[:] = mixed


@_kernel()
def upsample_backward(dY, dX, linear, n_threads):
    """Take the gradient at the enlarged maps to the maps.

    Parameters
    ----------
    dY : array of shape (n, D * k_d, H * k_h, W * k_w, C)  # IN
    dX : array of shape (n, D, H, W, C)  # OUT
    linear, n_threads
        As in `upsample_forward`.
    """
    k_d, k_h, k_w = factors = check_upsample(dX=(dX, "n D H W C"), dY=(dY, "n OD OH OW C"))
    n, D, H, W, C = dX.shape
    total = _double(dY)

    if linear:
        # dX(n,i,c) = Σ_x A(x,i) dY(n,x,c), along each axis
        for axis, factor in enumerate(factors, start=1):
            total = _product(_interpolation(dX.shape[axis], factor).T, total, axis)
        dX[:] = total
    else:
        # dX(n,i,c) = Σ_x' dY(n, i·k + x', c), along each axis
        dX[:] = total.reshape(n, D, k_d, H, k_h, W, k_w, C).sum(axis=(2, 4, 6))
