"""Sums of maps, and maps side by side; filters the other way round."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from .activation import _ACTIVATIONS, FUSED_ACTIVATIONS
from .checks import _double, _kernel, _match, check_activation


@_kernel()
def add(A, B, Y, activation, alpha, n_threads):
    """Add two arrays, and apply an activation to the sum.

    Parameters
    ----------
    A, B : array of shape (m,)  # IN
    Y : array of shape (m,)  # OUT
        May be A or B.
    activation : str
        One whose derivative follows from its output.
    alpha : float
    n_threads : int
    """
    _match(A=(A, "m"), B=(B, "m"), Y=(Y, "m"))
    check_activation(activation, FUSED_ACTIVATIONS)
    f, _ = _ACTIVATIONS[activation]

    # Y(i) = f(A(i) + B(i))
    Y[:] = f(_double(A) + _double(B), alpha)


@_kernel()
def copy_channels(X, Y, x_start, y_start, width, accumulate, n_threads):
    """Copy neighbouring maps to a place among others: concatenation, and its adjoint.

    Parameters
    ----------
    X : array of shape (m, C)  # IN
    Y : array of shape (m, F)  # INOUT
        What lies outside the `width` maps stays as it is.
    x_start, y_start, width : int
    accumulate : bool
        Add to Y.
    n_threads : int
    """
    sizes = _match(X=(X, "m C"), Y=(Y, "m F"))
    for name, start, axis in (("x_start", x_start, "C"), ("y_start", y_start, "F")):
        if width < 0 or not 0 <= start <= sizes[axis] - width:
            raise ValueError(
                f"{name} is {start} and width {width}, expected a range within {sizes[axis]} maps"
            )
    source = _double(X[:, x_start : x_start + width])
    target = Y[:, y_start : y_start + width]

    # Y(i, y_start + c) = X(i, x_start + c), plus what was there
    target[:] = _double(target) + source if accumulate else source


@_kernel()
def exchange_maps(W, T, n_threads):
    """Exchange input and output maps of filters.

    Parameters
    ----------
    W : array of shape (taps, C, F)  # IN
    T : array of shape (taps, F, C)  # OUT
    n_threads : int
    """
    _match(W=(W, "t C F"), T=(T, "t F C"))
    T[:] = W.transpose(0, 2, 1)
