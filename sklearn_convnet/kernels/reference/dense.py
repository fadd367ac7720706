"""Dense layers."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from .activation import _ACTIVATIONS, FUSED_ACTIVATIONS
from .checks import _check_not_empty, _double, _kernel, _match, check_activation


def check_dense(X, W, b, Y, **like):
    """Raise ValueError unless the arrays of a dense layer fit."""
    sizes = _match(X=(X, "n I"), W=(W, "I U"), b=(b, "U"), Y=(Y, "n U"), **like)
    _check_not_empty(sizes, "I U")


@_kernel("b")
def dense_forward(X, W, b, Y, activation, alpha, n_threads):
    """Product with a matrix, bias and activation.

    Parameters
    ----------
    X : array of shape (n, I)  # IN
    W : array of shape (I, U)  # IN
    b : array of shape (U,) or None  # IN
    Y : array of shape (n, U)  # OUT
    activation : str
    alpha : float
    n_threads : int
    """
    check_dense(X, W, b, Y)
    check_activation(activation, FUSED_ACTIVATIONS)
    f, _ = _ACTIVATIONS[activation]

    # z(n,u) = b(u) + Σ_i X(n,i) W(i,u)
    Z = _double(X) @ _double(W)
    if b is not None:
        Z += _double(b)

    # Y = f(z)
    Y[:] = f(Z, alpha)


@_kernel("dX", "dW", "db")
def dense_backward(X, W, Y, dY, dX, dW, db, activation, alpha, n_threads):
    """Take the gradient at the output of a dense layer to input, weights and bias.

    Parameters
    ----------
    X : array of shape (n, I)  # IN
    W : array of shape (I, U)  # IN
    Y : array of shape (n, U)  # IN
        The output of the forward pass, after the activation.
    dY : array of shape (n, U)  # IN
    dX : array like X or None  # OUT
    dW : array like W or None  # OUT
    db : array of shape (U,) or None  # OUT
    activation : str
    alpha : float
    n_threads : int
    """
    check_dense(
        X, W, None, Y,
        dY=(dY, "n U"), dX=(dX, "n I"), dW=(dW, "I U"), db=(db, "U"),
    )  # fmt: skip
    check_activation(activation, FUSED_ACTIVATIONS)
    _, slope = _ACTIVATIONS[activation]

    # dz = dY f'(z)
    dZ = _double(dY) * slope(_double(Y), alpha)

    # db(u) = Σ_n dz(n,u)
    if db is not None:
        db[:] = dZ.sum(axis=0)

    # dW(i,u) = Σ_n X(n,i) dz(n,u)
    if dW is not None:
        dW[:] = _double(X).T @ dZ

    # dX(n,i) = Σ_u dz(n,u) W(i,u)
    if dX is not None:
        dX[:] = dZ @ _double(W).T
