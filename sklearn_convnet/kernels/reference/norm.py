"""Normalisation."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .activation import _ACTIVATIONS, FUSED_ACTIVATIONS
from .checks import _check_not_empty, _double, _kernel, _match, check_activation


@_kernel("shift")
def channel_affine(X, scale, shift, Y, n_threads):
    """Scale and shift every channel.

    The backward pass is the same kernel, with the gradient for X and no shift.

    Parameters
    ----------
    X : array of shape (m, C)  # IN
    scale : array of shape (C,)  # IN
    shift : array of shape (C,) or None  # IN
    Y : array of shape (m, C)  # OUT
    n_threads : int
    """
    _match(X=(X, "m C"), scale=(scale, "C"), shift=(shift, "C"), Y=(Y, "m C"))

    # Y(i,c) = X(i,c) scale(c) + shift(c)
    Y[:] = _double(X) * _double(scale) + (0 if shift is None else _double(shift))


@_kernel()
def standardize(X, mean, deviation, Y, n_threads):
    """Bring every column to mean 0 and deviation 1, given its statistics.

    Parameters
    ----------
    X : array of shape (m, C)  # IN
    mean : float64 array of shape (C,)  # IN
    deviation : float64 array of shape (C,)  # IN
    Y : array of shape (m, C)  # OUT
    n_threads : int
    """
    statistics = {"mean": (mean, "C", np.float64), "deviation": (deviation, "C", np.float64)}
    _match(X=(X, "m C"), **statistics, Y=(Y, "m C"))

    # Y(i,c) = X(i,c) / deviation(c) - mean(c) / deviation(c), by rounded factors
    scale, shift = ((f / deviation).astype(X.dtype) for f in (1.0, -mean))
    Y[:] = _double(X) * _double(scale) + _double(shift)


@_kernel()
def centred_affine(X, centre, scale, shift, Y, n_threads):
    """Centre, scale and shift every column of numbers that may be large and differ little.

    Parameters
    ----------
    X : float64 array of shape (m, C)  # IN
    centre, scale, shift : float64 array of shape (C,)  # IN
    Y : array of shape (m, C)  # OUT
    n_threads : int
    """
    double = np.float64
    columns = {"centre": centre, "scale": scale, "shift": shift}
    _match(
        X=(X, "m C", double),
        **{name: (array, "C", double) for name, array in columns.items()},
        Y=(Y, "m C"),
    )

    # Y(i,c) = (X(i,c) - centre(c)) scale(c) + shift(c)
    Y[:] = (X - centre) * scale + shift


def _check_batchnorm(**arrays):
    """Check the arrays of a batch normalisation.

    Returns
    -------
    w : array of shape (m, 1)
        The weight of every row, in float64.
    """
    sizes = _match(**arrays)
    _check_not_empty(sizes, "m C")
    weight, _ = arrays["weight"]
    if weight is None:
        return np.ones((sizes["m"], 1))
    _check_not_empty(sizes, "n")
    m, n = sizes["m"], sizes["n"]
    if m % n:
        raise ValueError(f"weight has length {n}, expected a divisor of the {m} rows")
    return np.repeat(_double(weight), m // n)[:, np.newaxis]


def _check_running(mean, variance, scale, offset, **others):
    statistics = {"mean": (mean, "C", np.float64), "variance": (variance, "C", np.float64)}
    _match(**statistics, scale=(scale, "C"), offset=(offset, "C"), **others)


@_kernel()
def batchnorm_running(mean, variance, scale, offset, affine, epsilon, n_threads):
    """The affine map of a batch normalisation whose statistics are known.

    Parameters
    ----------
    mean, variance : float64 array of shape (C,)  # IN
    scale, offset : array of shape (C,)  # IN
    affine : array of shape (3, C)  # OUT
        As of `batchnorm_statistics`.
    epsilon : float
    n_threads : int
    """
    _check_running(mean, variance, scale, offset, affine=(affine, "3 C"))

    affine[0] = mean
    affine[1] = _double(scale) / np.sqrt(variance + epsilon)
    affine[2] = offset


@_kernel("b")
def batchnorm_fold(mean, variance, scale, offset, b, factor, shift, epsilon, n_threads):
    """A batch normalisation in the filters and the bias of the layer before it.

    Parameters
    ----------
    mean, variance : float64 array of shape (C,)  # IN
    scale, offset : array of shape (C,)  # IN
    b : array of shape (C,) or None  # IN
    factor, shift : array of shape (C,)  # OUT
        Z factor + shift is what the normalisation makes of Z + b.
    epsilon : float
    n_threads : int
    """
    vectors = {"b": (b, "C"), "factor": (factor, "C"), "shift": (shift, "C")}
    _check_running(mean, variance, scale, offset, **vectors)

    # scale(c) (Z(c) + b(c) - mean(c)) / sqrt(variance(c) + ε) + offset(c)
    factors = _double(scale) / np.sqrt(variance + epsilon)
    factor[:] = factors
    shift[:] = (0 if b is None else _double(b) * factors) - mean * factors + _double(offset)


@_kernel("weight", "moments")
def batchnorm_statistics(X, weight, scale, offset, moments, mean, variance, affine, epsilon,
                         n_threads):  # fmt: skip
    """Mean and variance of a batch normalisation (Ioffe and Szegedy, 2015).

    Parameters
    ----------
    X : array of shape (m, C)  # IN
        The pixels of all samples, one sample after the other.
    weight : array of shape (n,) or None  # IN
        Weights of the samples, `n` dividing `m`.
    scale, offset : array of shape (C,)  # IN
    moments : float64 array of shape (parts, 1 + 2 C) or None  # IN
        If somebody has them: number of pixels, means and sums of squared deviations of parts of
        X, as many in each sample.
    mean : float64 array of shape (C,)  # OUT
    variance : float64 array of shape (C,)  # OUT
        The biased one.
    affine : array of shape (3, C)  # OUT
        (X - affine[0]) affine[1] + affine[2] is the normalised X.
    epsilon : float
    n_threads : int
    """
    w = _check_batchnorm(
        X=(X, "m C"),
        weight=(weight, "n"),
        scale=(scale, "C"),
        offset=(offset, "C"),
        mean=(mean, "C", np.float64),
        variance=(variance, "C", np.float64),
        affine=(affine, "3 C"),
    )
    if moments is not None:
        _match(moments=(moments, f"parts {1 + 2 * X.shape[1]}", np.float64))
        n_samples = 1 if weight is None else len(weight)
        if len(moments) < 1 or len(moments) % n_samples:
            raise ValueError(
                f"moments are of {len(moments)} parts, expected a multiple of {n_samples}"
            )
    X = _double(X)

    # mean(c) = Σ_i w(i) X(i,c) / Σ_i w(i)
    # variance(c) = Σ_i w(i) (X(i,c) - mean(c))² / Σ_i w(i)
    if moments is None:
        counts, means, squares = w, X, 0.0
    else:
        shares = 1.0 if weight is None else np.repeat(weight, len(moments) // len(weight))
        counts = (moments[:, 0] * shares)[:, np.newaxis]
        means, squares = np.split(moments[:, 1:], 2, axis=1)
        squares = squares * np.reshape(shares, (-1, 1))
    mean[:] = np.sum(counts * means, axis=0) / np.sum(counts)
    variance[:] = np.sum(squares + counts * (means - mean) ** 2, axis=0) / np.sum(counts)

    # scale(c) (X(i,c) - mean(c)) / sqrt(variance(c) + ε) + offset(c)
    affine[0] = mean
    affine[1] = _double(scale) / np.sqrt(variance + epsilon)
    affine[2] = _double(offset) - (mean - _double(affine[0])) * _double(affine[1])


@_kernel("addend")
def batchnorm_forward(X, affine, Y, addend, activation, alpha, n_threads):
    """Normalise by the statistics of a batch or others, and a sum and activation.

    Parameters
    ----------
    X : array of shape (m, at least C)  # IN
        The first C columns are normalised.
    affine : array of shape (3, C)  # IN
        Of `batchnorm_statistics`.
    Y : array of shape (m, C)  # OUT
    addend : array of shape (m, C) or None  # IN
        Added before the activation.
    activation : str
    alpha : float
    n_threads : int
    """
    sizes = _match(X=(X, "m A"), affine=(affine, "3 C"), Y=(Y, "m C"), addend=(addend, "m C"))
    if sizes["A"] < sizes["C"]:
        raise ValueError(f"X has shape {X.shape}, expected at least {sizes['C']} columns")
    check_activation(activation, FUSED_ACTIVATIONS)
    f, _ = _ACTIVATIONS[activation]
    centre, factor, shift = _double(affine)

    # Y(i,c) = f((X(i,c) - affine(0,c)) affine(1,c) + affine(2,c) + addend(i,c))
    Z = (_double(X[:, : sizes["C"]]) - centre) * factor + shift
    Y[:] = f(Z if addend is None else Z + _double(addend), alpha)


@_kernel("weight", "sums", "dX", "back", "dscale", "doffset")
def batchnorm_backward(X, weight, scale, mean, variance, affine, dY, sums, dX, back, dscale,
                       doffset, epsilon, activation, alpha, n_threads):  # fmt: skip
    """Take the gradient at the output of a batch normalisation to its arguments.

    Parameters
    ----------
    X : array of shape (m, C)  # IN
    weight : array of shape (n,) or None  # IN
    scale : array of shape (C,)  # IN
    mean, variance : float64 array of shape (C,)  # IN
        Those of the forward pass. They are functions of X, and the gradient knows it.
    affine : array of shape (3, C)  # IN
    dY : array of shape (m, C)  # IN
        The gradient at the activated output; where there are sums, at that before it.
    sums : float64 array of shape (parts, 2 C) or None  # IN
        If somebody has them: sums over parts of X of dz, and of dz (X - affine[0]).
    dX : array of shape (m, C) or None  # OUT
    back : array of shape (4, C) or None  # OUT
        For somebody who makes dX: it is back[0] dz - (back[1] + back[2] (X - back[3])); None
        with weights. Where dX is None, dY is dz.
    dscale, doffset : array of shape (C,) or None  # OUT
    epsilon, activation, alpha, n_threads
        As in `batchnorm_statistics` and `batchnorm_forward`.
    """
    w = _check_batchnorm(
        X=(X, "m C"),
        weight=(weight, "n"),
        scale=(scale, "C"),
        mean=(mean, "C", np.float64),
        variance=(variance, "C", np.float64),
        affine=(affine, "3 C"),
        dY=(dY, "m C"),
        dX=(dX, "m C"),
        back=(back, "4 C"),
        dscale=(dscale, "C"),
        doffset=(doffset, "C"),
    )
    check_activation(activation, FUSED_ACTIVATIONS)
    if back is not None and weight is not None:
        raise ValueError("one map for all rows is that of rows without weights")
    if dX is None and sums is None and activation != "identity":
        raise ValueError("the gradient before an activation needs sums or dX")
    f, slope = _ACTIVATIONS[activation]
    deviation = np.sqrt(variance + epsilon)
    normalized = (_double(X) - mean) / deviation

    # dz = dY f'(z)
    dZ = _double(dY)
    if sums is not None:
        _check_not_empty(_match(sums=(sums, f"parts {2 * X.shape[1]}", np.float64)), "parts")
    else:
        centre, factor, shift = _double(affine)
        dZ = dZ * slope(f((_double(X) - centre) * factor + shift, alpha), alpha)

    # doffset(c) = Σ_i dz(i,c);  dscale(c) = Σ_i dz(i,c) x̂(i,c)
    if sums is None:
        offset_sum, scale_sum = np.sum(dZ, axis=0), np.sum(dZ * normalized, axis=0)
    else:
        offset_sum, products = np.split(np.sum(sums, axis=0), 2)
        scale_sum = (products - (mean - _double(affine[0])) * offset_sum) / deviation
    if doffset is not None:
        doffset[:] = offset_sum
    if dscale is not None:
        dscale[:] = scale_sum

    # dX(i,c) = scale(c) / sqrt(variance(c) + ε)
    #           (dz(i,c) - w(i) / Σ w (doffset(c) + x̂(i,c) dscale(c)))
    factor = _double(scale) / deviation
    if dX is not None:
        through_statistics = w / np.sum(w) * (offset_sum + normalized * scale_sum)
        dX[:] = factor * (dZ - through_statistics)
    if back is not None:
        share = factor / len(X)
        back[:] = factor, share * offset_sum, share * scale_sum / deviation, mean


def check_response_norm(size, **arrays):
    """Raise ValueError unless arrays and neighbourhood of a response norm fit."""
    _match(**arrays)
    if size < 1:
        raise ValueError(f"size is {size}, expected at least 1")


def _neighbours(n_channels, size):
    """N(c,j) = 1 where map j is one of the `size` neighbours of map c, else 0."""
    c = np.arange(n_channels)
    distance = c - c[:, np.newaxis]
    near = (-(size // 2) <= distance) & (distance <= (size - 1) // 2)
    return near.astype(np.float64)


@_kernel()
def response_norm_forward(X, Y, size, alpha, beta, bias, n_threads):
    """Local response normalisation (Krizhevsky, Sutskever and Hinton, 2012).

    Parameters
    ----------
    X : array of shape (m, C)  # IN
    Y : array of shape (m, C)  # OUT
    size : int
        Number of neighbouring maps; of an even number, one more of those before.
    alpha, beta, bias : float
    n_threads : int
    """
    check_response_norm(size, X=(X, "m C"), Y=(Y, "m C"))
    X = _double(X)

    # s(i,c) = bias + α / size Σ_{j near c} X(i,j)²
    s = bias + alpha / size * (X**2 @ _neighbours(X.shape[1], size).T)

    # Y(i,c) = X(i,c) s(i,c)^-β
    Y[:] = X * s**-beta


@_kernel()
def response_norm_backward(X, dY, dX, size, alpha, beta, bias, n_threads):
    """Take the gradient at the output of a response normalisation to its input.

    Parameters
    ----------
    X : array of shape (m, C)  # IN
    dY : array of shape (m, C)  # IN
    dX : array of shape (m, C)  # OUT
    size, alpha, beta, bias, n_threads
        As in `response_norm_forward`.
    """
    check_response_norm(size, X=(X, "m C"), dY=(dY, "m C"), dX=(dX, "m C"))
    X, dY = _double(X), _double(dY)
    near = _neighbours(X.shape[1], size)
    s = bias + alpha / size * (X**2 @ near.T)

    # dX(i,c) = dY(i,c) s(i,c)^-β
    #           - 2 α β / size X(i,c) Σ_{j with c near j} dY(i,j) X(i,j) s(i,j)^(-β-1)
    through_sums = (dY * X * s ** (-beta - 1)) @ near
    dX[:] = dY * s**-beta - 2 * alpha * beta / size * X * through_sums
