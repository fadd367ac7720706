"""Every kernel in numpy: the slow, exact twin of the compiled modules.

Same names, same signatures, same errors. The compiled kernels are tested against
these functions, and ``SKLEARN_CONVNET_KERNELS=reference`` runs whole networks on them.

# Design:
# - A function says what it computes in the comment above its code, and its derivative
#   is its neighbour. Nothing here is tuned.
# - All work is done in float64 and rounded once, when the result is stored. So the
#   twin is an oracle for float32 as well: its answer is the rounded float64 answer.
# - Convolution and pooling loop over the taps of the filter or window. The rest, all
#   pixels that one tap meets, is a strided view of the padded maps; there is no
#   im2col and no index arithmetic beyond `_taps`. Windows that differ among the maps
#   (`group_maxpool_forward`) are cut out one by one.
# - Shapes are checked by letter: `_match` binds every axis letter once and compares
#   it wherever it comes up again, so a signature and its check read alike.
# - `n_threads` is checked and ignored. The matrix products are those of BLAS, hence
#   the promise that bits do not depend on the batch is that of the compiled kernels.

The letters are those of `sklearn_convnet.kernels`: maps are ``(n, D, H, W, C)``,
filters ``(KD, KH, KW, C / groups, F)``.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from functools import wraps
from inspect import signature
from math import prod
from numbers import Integral

import numpy as np
from scipy.special import erfc, expit, log_softmax, softmax


def view(x):
    """An array as these functions take it faster than as it is: there is no such thing here."""
    return x


# ---------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------


def _kernel(*optional):
    """Decorate a kernel: only arrays with these names may be None, and there is a thread."""

    def decorate(function):
        names = list(signature(function).parameters)

        @wraps(function)
        def call(*args, **kwargs):
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            for name, value in given.items():
                if value is None and name not in optional:
                    raise ValueError(f"{name} is None, expected an array")
            if given.get("n_threads", 1) < 1:
                raise ValueError(f"n_threads is {given['n_threads']}, expected at least 1")
            return function(*args, **kwargs)

        return call

    return decorate


def _match(**arrays):
    """Compare the shapes of all arrays of a call, axis letter by axis letter.

    Parameters
    ----------
    **arrays : tuple (array, axes) or (array, axes, dtype)
        `axes` are the letters of the axes, such as ``"n I"``; a number is a size that
        is known. Without `dtype` an array has the dtype of the first one. An array
        that is None is left out.

    Returns
    -------
    sizes : dict
        Size of every letter.
    """
    sizes = {}
    real = None
    for name, (array, axes, *dtype) in arrays.items():
        if array is None:
            continue
        axes = axes.split()
        sizes.update((axis, int(axis)) for axis in axes if axis.isdigit())
        expected = tuple(sizes.get(axis, axis) for axis in axes)
        fits = len(array.shape) == len(axes) and all(
            sizes.setdefault(axis, size) == size
            for axis, size in zip(axes, array.shape, strict=True)
        )
        if not fits:
            raise ValueError(
                f"{name} has shape {array.shape}, expected "
                f"({', '.join(axes)}) = ({', '.join(map(str, expected))})"
            )
        if real is None and not dtype:
            real = array.dtype
            if real.kind != "f":
                raise ValueError(f"{name} has dtype {real}, expected a float dtype")
        wanted = np.dtype(dtype[0]) if dtype else real
        if array.dtype != wanted:
            raise ValueError(f"{name} has dtype {array.dtype}, expected {wanted}")
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} has strides {array.strides}, expected a C-contiguous array")
    return sizes


def _check_not_empty(sizes, axes):
    """Check that there is something along the axes without which nothing is defined."""
    for axis in axes.split():
        if sizes[axis] < 1:
            raise ValueError(f"the axis {axis} has length 0, expected at least 1")


#: The largest size, stride or window: a place in a map is 32 bits wide.
MAX_SIZE = 2**31 - 1
#: And the most numbers that a map of one sample may have.
MAX_NUMBERS = 2**40


def _check_sizes(name, values, n, lowest):
    """Check a tuple of n integers, such as one for each of the axes (D, H, W)."""
    fits = isinstance(values, (tuple, list)) and len(values) == n
    if not fits or not all(isinstance(v, Integral) and lowest <= v <= MAX_SIZE for v in values):
        raise ValueError(f"{name} is {values}, expected {n} integers from {lowest} to {MAX_SIZE}")


def _check_padding(padding, n=3):
    """Check that padding is ((before, after), ...) for n axes."""
    if not isinstance(padding, (tuple, list)) or len(padding) != n:
        raise ValueError(f"padding is {padding}, expected {n} pairs (before, after)")
    for pair in padding:
        _check_sizes("a pair of padding", pair, 2, 0)


def _check_numbers(what, shape):
    """Check that a map is not larger than any memory."""
    if prod(map(int, shape)) > MAX_NUMBERS:
        raise ValueError(f"{what} has shape {shape}, expected at most {MAX_NUMBERS} numbers")


def _check_places(shape):
    """Check that the positions of a map can be told apart by 32 bits."""
    if prod(map(int, shape)) > MAX_SIZE:
        raise ValueError(f"a map has shape {shape}, expected at most {MAX_SIZE} positions")


def _check_output_size(what, shape, size, kernel, stride, padding, dilation=(1, 1, 1)):
    """Check the shape (n, OD, OH, OW, C) of an output against the windows that fit.

    A window reaches over `dilation * (kernel - 1) + 1` pixels, and one fits at every
    `stride`-th pixel of the padded axis.
    """
    for axis, (s, k, b, (before, after), d) in enumerate(
        zip(size, kernel, stride, padding, dilation, strict=True)
    ):
        letter = "DHW"[axis]
        padded = s + before + after
        extent = d * (k - 1) + 1
        if extent > padded:
            raise ValueError(
                f"the {what} reaches over {extent} pixels along {letter}, expected "
                f"at most the {padded} pixels of the padded map"
            )
        expected = (padded - extent) // b + 1
        if shape[1 + axis] != expected:
            raise ValueError(
                f"Y has shape {shape}, expected an output of {expected} pixels along {letter}"
            )


def check_conv(X, W, b, Y, stride, padding, dilation, groups, **like):
    """Raise ValueError unless the arrays and the geometry of a convolution fit.

    `like` holds arrays of the backward pass as (array, axes), see `_match`.
    """
    sizes = _match(
        X=(X, "n D H W C"),
        W=(W, "KD KH KW C/groups F"),
        b=(b, "F"),
        Y=(Y, "n OD OH OW F"),
        **like,
    )
    _check_not_empty(sizes, "C F KD KH KW")
    _check_sizes("stride", stride, 3, 1)
    _check_sizes("dilation", dilation, 3, 1)
    _check_padding(padding)
    C, F = sizes["C"], sizes["F"]
    if groups < 1 or C % groups or F % groups:
        raise ValueError(f"groups is {groups}, expected a divisor of {C} input and {F} output maps")
    if sizes["C/groups"] * groups != C:
        raise ValueError(
            f"W has {sizes['C/groups']} input maps a group, expected {C} / {groups} = {C // groups}"
        )
    _check_sizes("the filter", W.shape[:3], 3, 1)
    padded = [size + sum(pair) for size, pair in zip(X.shape[1:4], padding, strict=True)]
    _check_numbers("an image with its padding", (*padded, C))
    _check_output_size("filter", Y.shape, X.shape[1:4], W.shape[:3], stride, padding, dilation)
    _check_numbers("the output", Y.shape[1:])


def check_depthwise(X, W, b, Y, stride, padding, dilation, **like):
    """Raise ValueError unless a depth-wise convolution fits: one map is one group."""
    check_conv(X, W, b, Y, stride, padding, dilation, groups=X.shape[-1], **like)


def check_pool(X, Y, pool_size, stride, padding, index=None, **like):
    """Raise ValueError unless the arrays and the geometry of a pooling fit."""
    sizes = _match(
        X=(X, "n D H W C"),
        Y=(Y, "n OD OH OW C"),
        index=(index, "n OD OH OW C", np.int32),
        **like,
    )
    _check_not_empty(sizes, "D H W")
    if index is not None:
        _check_places(X.shape[1:4])
    _check_sizes("pool_size", pool_size, 3, 1)
    _check_sizes("stride", stride, 3, 1)
    _check_padding(padding)
    for size, pair in zip(pool_size, padding, strict=True):
        if max(pair) >= size:
            raise ValueError(
                f"padding is {padding}, expected less than the pool_size {pool_size} "
                "on every axis: a window without a true pixel has no value"
            )
    _check_output_size("window", Y.shape, X.shape[1:4], pool_size, stride, padding)


def check_index(index, n_positions):
    """Raise ValueError unless remembered locations lie within the map."""
    if index.size and not (0 <= index.min() and index.max() < n_positions):
        raise ValueError(
            f"index holds values from {index.min()} to {index.max()}, expected "
            f"positions from 0 to {n_positions - 1}"
        )


def check_index_rows(index, size, pool_size):
    """Raise ValueError unless remembered locations lie in the rows of their windows, which lie side
    by side, or in the planes where a window has several."""
    D, H, W = np.ogrid[: index.shape[1], : index.shape[2], :1]
    if pool_size[0] == 1:
        first, n_places = (D * size[1] + H * pool_size[1]) * size[2], pool_size[1] * size[2]
    else:
        n_places = pool_size[0] * size[1] * size[2]
        first = D * n_places + 0 * H
    place = index - (first + 0 * W)[..., np.newaxis]
    if np.any((place < 0) | (place >= n_places)):
        raise ValueError("index holds positions that are not in the rows of their windows")


def check_activation(activation, names):
    """Raise ValueError unless the activation is one of the names."""
    if activation not in names:
        raise ValueError(f"activation is {activation!r}, expected one of {', '.join(names)}")


def check_segments(n_params, segments):
    """Raise ValueError unless every segment lies within the parameters."""
    for start, stop in segments.tolist():
        if not 0 <= start <= stop <= n_params:
            raise ValueError(
                f"a segment reads [{start}, {stop}), expected 0 <= start <= stop <= {n_params}"
            )


def check_step(params, grads, segments, decay, velocity=None, momentum=0.0, **like):
    """Raise ValueError unless the arrays of a step fit; `like` are as long as params."""
    _match(
        params=(params, "p"),
        grads=(grads, "p"),
        velocity=(velocity, "p"),
        segments=(segments, "s 2", np.int64),
        decay=(decay, "s"),
        **{name: (array, "p") for name, array in like.items()},
    )
    check_segments(params.size, segments)
    if velocity is None and momentum != 0:
        raise ValueError(f"momentum is {momentum}, expected 0 without a velocity")


def _double(array):
    """The array in float64, in which all work is done."""
    return np.asarray(array, dtype=np.float64)


# ---------------------------------------------------------------------------
# Activations
# ---------------------------------------------------------------------------

# name: (f(x), f'). The derivative is a function of the output y = f(x), so that the
# input need not be kept; GELU is not monotonous, its derivative is one of the input.
# relu'(0) = 0, and comparisons are such that NaN passes through.
_ACTIVATIONS = {
    "identity": (
        lambda x, alpha: x,
        lambda y, alpha: np.ones_like(y),
    ),
    "relu": (
        lambda x, alpha: np.maximum(x, 0),
        lambda y, alpha: np.where(y > 0, 1, 0),
    ),
    "leaky_relu": (
        lambda x, alpha: np.where(x > 0, x, alpha * x),
        lambda y, alpha: np.where(y > 0, 1, alpha),
    ),
    "tanh": (
        lambda x, alpha: np.tanh(x),
        lambda y, alpha: 1 - y * y,
    ),
    "logistic": (
        lambda x, alpha: expit(x),
        lambda y, alpha: y * (1 - y),
    ),
    # alpha (exp(x) - 1) below 0, hence the slope alpha exp(x) = y + alpha
    "elu": (
        lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda y, alpha: np.where(y > 0, 1, y + alpha),
    ),
    # log(1 + exp(x)), hence the slope logistic(x) = 1 - exp(-y); exp(-|x|) is at most 1
    "softplus": (
        lambda x, alpha: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
        lambda y, alpha: -np.expm1(-y),
    ),
    # x Phi(x), hence the slope Phi(x) + x phi(x), with the normal distribution
    # Phi(x) = (1 + erf(x / sqrt 2)) / 2 = erfc(-x / sqrt 2) / 2 and its density phi
    "gelu": (
        lambda x, alpha: x * erfc(-x / np.sqrt(2)) / 2,
        lambda x, alpha: erfc(-x / np.sqrt(2)) / 2 + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
    ),
}

# Those that convolution and dense kernels apply on their way out.
FUSED_ACTIVATIONS = tuple(name for name in _ACTIVATIONS if name != "gelu")
ALL_ACTIVATIONS = tuple(_ACTIVATIONS)


@_kernel()
def activation_forward(X, Y, activation, alpha, n_threads):
    """Apply an activation to every element of a 1-D array.

    Parameters
    ----------
    X : array of shape (m,)  # IN
    Y : array of shape (m,)  # OUT
    activation : str
    alpha : float
        Slope of leaky_relu below 0, scale of elu.
    n_threads : int
    """
    _match(X=(X, "m"), Y=(Y, "m"))
    check_activation(activation, ALL_ACTIVATIONS)
    f, _ = _ACTIVATIONS[activation]

    # Y(i) = f(X(i))
    Y[:] = f(_double(X), alpha)


@_kernel()
def activation_backward(S, dY, dX, activation, alpha, n_threads):
    """Take the gradient at the output of an activation to its input.

    Parameters
    ----------
    S : array of shape (m,)  # IN
        The output of the activation, for "gelu" its input.
    dY : array of shape (m,)  # IN
    dX : array of shape (m,)  # OUT
    activation : str
    alpha : float
    n_threads : int
    """
    _match(S=(S, "m"), dY=(dY, "m"), dX=(dX, "m"))
    check_activation(activation, ALL_ACTIVATIONS)
    _, slope = _ACTIVATIONS[activation]

    # dX(i) = dY(i) f'
    dX[:] = _double(dY) * slope(_double(S), alpha)


@_kernel()
def softmax_forward(X, Y, n_threads):
    """Softmax over the last axis.

    Parameters
    ----------
    X : array of shape (m, C)  # IN
    Y : array of shape (m, C)  # OUT
    n_threads : int
    """
    sizes = _match(X=(X, "m C"), Y=(Y, "m C"))
    _check_not_empty(sizes, "C")

    # Y(i,c) = exp(X(i,c)) / Σ_c' exp(X(i,c')); scipy takes the row's maximum off first
    Y[:] = softmax(_double(X), axis=1)


@_kernel()
def softmax_backward(Y, dY, dX, n_threads):
    """Take the gradient at the output of a softmax to its input.

    Parameters
    ----------
    Y : array of shape (m, C)  # IN
    dY : array of shape (m, C)  # IN
    dX : array of shape (m, C)  # OUT
    n_threads : int
    """
    sizes = _match(Y=(Y, "m C"), dY=(dY, "m C"), dX=(dX, "m C"))
    _check_not_empty(sizes, "C")
    Y, dY = _double(Y), _double(dY)

    # dX(i,c) = Y(i,c) (dY(i,c) - Σ_c' Y(i,c') dY(i,c'))
    dX[:] = Y * (dY - np.sum(Y * dY, axis=1, keepdims=True))


# ---------------------------------------------------------------------------
# Convolution
# ---------------------------------------------------------------------------


def _pad(X, padding, value=0.0):
    """Pad the axes (D, H, W) of maps."""
    return np.pad(X, ((0, 0), *padding, (0, 0)), constant_values=value)


def _crop(padded, padding, size):
    """Undo `_pad`: the view of the true pixels."""
    inner = (slice(before, before + s) for (before, _), s in zip(padding, size, strict=True))
    return padded[(slice(None), *inner)]


def _taps(padded, kernel, stride, output, dilation=(1, 1, 1)):
    """Walk through the taps of a filter or window in scan order.

    Yields
    ------
    tap : tuple of 3 ints
        Position in the filter.
    view : array of shape (n, OD, OH, OW, C)
        The pixels of the padded maps that the tap meets, one for every output pixel.
    """
    for tap in np.ndindex(*kernel):
        start = [t * d for t, d in zip(tap, dilation, strict=True)]
        window = (
            slice(t, t + (o - 1) * s + 1, s) for t, o, s in zip(start, output, stride, strict=True)
        )
        yield tap, padded[(slice(None), *window)]


def _by_group(A, groups):
    """Arrange (..., C) as (groups, rows, C / groups): one matrix a group."""
    return A.reshape(-1, groups, A.shape[-1] // groups).transpose(1, 0, 2)


def _ungroup(A, shape):
    """Undo `_by_group`."""
    return A.transpose(1, 0, 2).reshape(shape)


@_kernel("b")
def conv_forward(X, W, b, Y, stride, padding, dilation, groups, activation, alpha,
                 n_threads):  # fmt: skip
    """Convolution, bias and activation.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    W : array of shape (KD, KH, KW, C / groups, F)  # IN
    b : array of shape (F,) or None  # IN
    Y : array of shape (n, OD, OH, OW, F)  # OUT
    stride, dilation : tuple of 3 ints
    padding : tuple of 3 pairs (before, after)
    groups : int
    activation : str
    alpha : float
    n_threads : int
    """
    check_conv(X, W, b, Y, stride, padding, dilation, groups)
    check_activation(activation, FUSED_ACTIVATIONS)
    f, _ = _ACTIVATIONS[activation]
    X, W = _pad(_double(X), padding), _double(W)

    # z(n,x,y,j) = b(j) + Σ_x' Σ_y' Σ_i X(n, x·s + x'·d, y·s + y'·d, i) W(x',y',i,j)
    # with s the stride and d the dilation; i runs over the input maps of j's group
    Z = np.zeros(Y.shape)
    for tap, view in _taps(X, W.shape[:3], stride, Y.shape[1:4], dilation):
        Z += _ungroup(_by_group(view, groups) @ _by_group(W[tap], groups), Y.shape)
    if b is not None:
        Z += _double(b)

    # Y = f(z)
    Y[:] = f(Z, alpha)


@_kernel("dX", "dW", "db")
def conv_backward(X, W, Y, dY, dX, dW, db, stride, padding, dilation, groups,
                  activation, alpha, n_threads):  # fmt: skip
    """Take the gradient at the output of a convolution to input, weights and bias.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    W : array of shape (KD, KH, KW, C / groups, F)  # IN
    Y : array of shape (n, OD, OH, OW, F)  # IN
        The output of the forward pass, after the activation.
    dY : array of shape (n, OD, OH, OW, F)  # IN
    dX : array like X or None  # OUT
    dW : array like W or None  # OUT
    db : array of shape (F,) or None  # OUT
    stride, padding, dilation, groups, activation, alpha, n_threads
        As in `conv_forward`.
    """
    check_conv(
        X, W, None, Y, stride, padding, dilation, groups,
        dY=(dY, "n OD OH OW F"),
        dX=(dX, "n D H W C"),
        dW=(dW, "KD KH KW C/groups F"),
        db=(db, "F"),
    )  # fmt: skip
    check_activation(activation, FUSED_ACTIVATIONS)
    _, slope = _ACTIVATIONS[activation]
    size, kernel, output = X.shape[1:4], W.shape[:3], Y.shape[1:4]
    X, W = _pad(_double(X), padding), _double(W)

    # dz = dY f'(z)
    dZ = _double(dY) * slope(_double(Y), alpha)

    # db(j) = Σ_n Σ_x Σ_y dz(n,x,y,j)
    if db is not None:
        db[:] = dZ.sum(axis=(0, 1, 2, 3))

    # dW(x',y',i,j) = Σ_n Σ_x Σ_y X(n, x·s + x'·d, y·s + y'·d, i) dz(n,x,y,j)
    dZ = _by_group(dZ, groups)
    if dW is not None:
        for tap, view in _taps(X, kernel, stride, output, dilation):
            dW[tap] = _ungroup(_by_group(view, groups).transpose(0, 2, 1) @ dZ, dW[tap].shape)

    # dX(n, x·s + x'·d, y·s + y'·d, i) += Σ_j dz(n,x,y,j) W(x',y',i,j)
    if dX is not None:
        padded = np.zeros(X.shape)
        for tap, view in _taps(padded, kernel, stride, output, dilation):
            W_group = _by_group(W[tap], groups)
            view += _ungroup(dZ @ W_group.transpose(0, 2, 1), view.shape)
        dX[:] = _crop(padded, padding, size)


# ---------------------------------------------------------------------------
# Depth-wise convolution
# ---------------------------------------------------------------------------


@_kernel("b")
def depthwise_forward(X, W, b, Y, stride, padding, dilation, activation, alpha,
                      n_threads):  # fmt: skip
    """Convolution of every map with filters of its own, bias and activation.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    W : array of shape (KD, KH, KW, 1, C * multiplier)  # IN
    b : array of shape (C * multiplier,) or None  # IN
    Y : array of shape (n, OD, OH, OW, C * multiplier)  # OUT
    stride, padding, dilation, activation, alpha, n_threads
        As in `conv_forward`.
    """
    check_depthwise(X, W, b, Y, stride, padding, dilation)
    check_activation(activation, FUSED_ACTIVATIONS)
    f, _ = _ACTIVATIONS[activation]
    multiplier = W.shape[-1] // X.shape[-1]
    X, W = _pad(_double(X), padding), _double(W)

    # z(n,x,y,c·m+j) =
    #     b(c·m+j) + Σ_x' Σ_y' X(n, x·s + x'·d, y·s + y'·d, c) W(x',y',c·m+j)
    # with m the multiplier: map c has the filters j = 0 ... m - 1
    Z = np.zeros(Y.shape)
    for tap, view in _taps(X, W.shape[:3], stride, Y.shape[1:4], dilation):
        Z += np.repeat(view, multiplier, axis=-1) * W[tap]
    if b is not None:
        Z += _double(b)

    # Y = f(z)
    Y[:] = f(Z, alpha)


@_kernel("dX", "dW", "db")
def depthwise_backward(X, W, Y, dY, dX, dW, db, stride, padding, dilation, activation,
                       alpha, n_threads):  # fmt: skip
    """Take the gradient at the output of a depth-wise convolution to its arguments.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    W : array of shape (KD, KH, KW, 1, C * multiplier)  # IN
    Y : array of shape (n, OD, OH, OW, C * multiplier)  # IN
        The output of the forward pass, after the activation.
    dY : array like Y  # IN
    dX : array like X or None  # OUT
    dW : array like W or None  # OUT
    db : array of shape (C * multiplier,) or None  # OUT
    stride, padding, dilation, activation, alpha, n_threads
        As in `conv_forward`.
    """
    check_depthwise(
        X, W, None, Y, stride, padding, dilation,
        dY=(dY, "n OD OH OW F"),
        dX=(dX, "n D H W C"),
        dW=(dW, "KD KH KW C/groups F"),
        db=(db, "F"),
    )  # fmt: skip
    check_activation(activation, FUSED_ACTIVATIONS)
    _, slope = _ACTIVATIONS[activation]
    size, kernel, output = X.shape[1:4], W.shape[:3], Y.shape[1:4]
    multiplier = W.shape[-1] // X.shape[-1]
    X, W = _pad(_double(X), padding), _double(W)

    # dz = dY f'(z)
    dZ = _double(dY) * slope(_double(Y), alpha)

    # db(c·m+j) = Σ_n Σ_x Σ_y dz(n,x,y,c·m+j)
    if db is not None:
        db[:] = dZ.sum(axis=(0, 1, 2, 3))

    # dW(x',y',c·m+j) = Σ_n Σ_x Σ_y X(n, x·s + x'·d, y·s + y'·d, c) dz(n,x,y,c·m+j)
    if dW is not None:
        for tap, view in _taps(X, kernel, stride, output, dilation):
            product = np.repeat(view, multiplier, axis=-1) * dZ
            dW[tap] = product.sum(axis=(0, 1, 2, 3))

    # dX(n, x·s + x'·d, y·s + y'·d, c) += Σ_j dz(n,x,y,c·m+j) W(x',y',c·m+j)
    if dX is not None:
        padded = np.zeros(X.shape)
        for tap, view in _taps(padded, kernel, stride, output, dilation):
            view += (dZ * W[tap]).reshape(*view.shape, multiplier).sum(axis=-1)
        dX[:] = _crop(padded, padding, size)


# ---------------------------------------------------------------------------
# Dense
# ---------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------
# Pooling
# ---------------------------------------------------------------------------


@_kernel("index")
def maxpool_forward(X, Y, index, pool_size, stride, padding, n_threads):
    """Largest value of every window, and where it was found.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    Y : array of shape (n, OD, OH, OW, C)  # OUT
    index : int32 array like Y or None  # OUT
        Flat position ``(d * H + h) * W + w`` of the first maximum in scan order.
    pool_size, stride : tuple of 3 ints
    padding : tuple of 3 pairs (before, after)
        Counts as minus infinity.
    n_threads : int
    """
    check_pool(X, Y, pool_size, stride, padding, index)
    size, output = X.shape[1:4], Y.shape[1:4]
    X = _pad(_double(X), padding)
    position = np.arange(np.prod(size)).reshape(1, *size, 1)
    position = _pad(position, padding, value=-1)

    # Y(n,x,y,c) = max over x', y' of X(n, x·s + x', y·s + y', c)
    # The first of a tie stays, NaN counts as the largest, and a true pixel beats the
    # padding even if it is minus infinity.
    best = np.full(Y.shape, -np.inf)
    where = np.full(Y.shape, -1)
    for (_, value), (_, here) in zip(
        _taps(X, pool_size, stride, output),
        _taps(position, pool_size, stride, output),
        strict=True,
    ):
        larger = (value > best) | (np.isnan(value) & ~np.isnan(best)) | (where < 0)
        larger &= here >= 0
        best = np.where(larger, value, best)
        where = np.where(larger, here, where)

    Y[:] = best
    if index is not None:
        index[:] = where


@_kernel()
def maxpool_backward(dY, index, dX, n_threads):
    """Take the gradient of a max pooling to the remembered locations.

    Parameters
    ----------
    dY : array of shape (n, OD, OH, OW, C)  # IN
    index : int32 array like dY  # IN
    dX : array of shape (n, D, H, W, C)  # OUT
    n_threads : int
    """
    _match(
        dY=(dY, "n OD OH OW C"),
        index=(index, "n OD OH OW C", np.int32),
        dX=(dX, "n D H W C"),
    )
    n, *size, C = dX.shape
    _check_places(size)
    check_index(index, np.prod(size))

    # dX(n, index(n,x,y,c), c) += dY(n,x,y,c)
    total = np.zeros((n, np.prod(size), C))
    sample, *_, channel = np.indices(dY.shape, sparse=True)
    np.add.at(total, (sample, index, channel), _double(dY))
    dX[:] = total.reshape(dX.shape)


# ---------------------------------------------------------------------------
# A convolution and a max pool in one, and Winograd's form: the same numbers, in the plainest way
# ---------------------------------------------------------------------------


def _conv_output(X, W, stride, padding):
    """The shape of the output of a convolution, as far as there is one."""
    _check_sizes("stride", stride, 3, 1)
    _check_padding(padding)
    size = (
        (s + sum(pads) - k) // b + 1
        for s, k, b, pads in zip(X.shape[1:4], W.shape, stride, padding, strict=False)
    )
    size = [max(n, 0) for n in size]
    _check_numbers("the output of the convolution", (*size, W.shape[-1]))
    _check_places(size)
    return (len(X), *size, W.shape[-1])


@_kernel("b", "index")
def conv_pool_forward(X, W, b, Y, index, stride, padding, pool_size, activation, alpha,
                      n_threads):  # fmt: skip
    """Convolution, bias, activation, and the largest value of every window of that.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    W : array of shape (KD, KH, KW, C, F)  # IN
    b : array of shape (F,) or None  # IN
    Y : array of shape (n, OD, OH, OW, F)  # OUT
    index : int32 array like Y or None  # OUT
        Flat position of the first maximum in the output of the convolution.
    stride, padding
        Of the convolution, as in `conv_forward`.
    pool_size : tuple of 3 ints
        Of the windows, which lie side by side.
    activation, alpha, n_threads
        As in `conv_forward`.
    """
    _match(X=(X, "n D H W C"), W=(W, "KD KH KW C F"), Y=(Y, "n OD OH OW F"))
    A = np.empty(_conv_output(X, W, stride, padding), X.dtype)
    conv_forward(X, W, b, A, stride, padding, (1, 1, 1), 1, activation, alpha, n_threads)
    maxpool_forward(A, Y, index, pool_size, pool_size, ((0, 0),) * 3, n_threads)


@_kernel("dX", "dW", "db")
def conv_pool_backward(X, W, Y, index, dY, dX, dW, db, stride, padding, pool_size,
                       activation, alpha, n_threads):  # fmt: skip
    """Take the gradient at the pooled output of a convolution to input, weights and bias.

    Parameters
    ----------
    X, W, Y, index, stride, padding, pool_size, activation, alpha, n_threads
        As in `conv_pool_forward`.
    dY : array like Y  # IN
    dX : array like X or None  # OUT
    dW : array like W or None  # OUT
    db : array of shape (F,) or None  # OUT
    """
    _match(
        X=(X, "n D H W C"),
        W=(W, "KD KH KW C F"),
        Y=(Y, "n OD OH OW F"),
        dY=(dY, "n OD OH OW F"),
        index=(index, "n OD OH OW F", np.int32),
    )
    check_activation(activation, FUSED_ACTIVATIONS)
    dZ = np.empty(_conv_output(X, W, stride, padding))
    check_pool(dZ, _double(Y), pool_size, pool_size, ((0, 0),) * 3, index)
    check_index_rows(index, dZ.shape[1:4], pool_size)
    _, slope = _ACTIVATIONS[activation]

    # dz(index) = dY f'(z(index)), and 0 elsewhere; f' follows from Y
    maxpool_backward(_double(dY) * slope(_double(Y), alpha), index, dZ, n_threads)
    dZ = dZ.astype(X.dtype)
    conv_backward(
        X, W, dZ, dZ, dX, dW, db, stride, padding, (1, 1, 1), 1, "identity", 0.0, n_threads
    )


def _check_winograd(W, padding, m, pool_size):
    if m not in (2, 4):
        raise ValueError(f"tiles make 2 or 4 positions on an axis, got {m}")
    if W.shape[:2] != (3, 3):
        raise ValueError(f"filters must be 3 x 3, got {W.shape[0]} x {W.shape[1]}")
    _check_padding(padding, 2)
    _check_sizes("pool_size", pool_size, 2, 1)
    if not all(0 <= pad <= 2 for pads in padding for pad in pads):
        raise ValueError(f"padding must be 0, 1 or 2 on each side, got {padding}")
    if any(m % size for size in pool_size):
        raise ValueError(f"windows of {pool_size} do not divide tiles of {m} x {m}")


def _check_axes(*arrays):
    for A in arrays:
        if A is not None and A.ndim != 4:
            raise ValueError(f"an array has {A.ndim} axes, expected 4")


def _with_depth(axis, *arrays):
    """The arrays with an axis of length 1 for depth: 0 in filters, 1 in maps."""
    return (None if A is None else np.expand_dims(A, axis) for A in arrays)


def _after_norm(X, affine, activation, alpha):
    """f((X - affine[0]) affine[1] + affine[2]), and X where there is no affine map."""
    _match(X=(X, "n H W C"), affine=(affine, "3 C"))
    check_activation(activation, FUSED_ACTIVATIONS)
    if affine is None:
        return _double(X)
    centre, factor, shift = _double(affine)
    return _ACTIVATIONS[activation][0]((_double(X) - centre) * factor + shift, alpha)


def _strips(maps, m):
    """The rows of pixels of each strip: of m rows of an image, fewer at its end."""
    for image in maps:
        for top in range(0, len(image), m):
            yield image[top : top + m].reshape(-1, maps.shape[-1])


def _strip_axes(maps, m, width):
    """The axes of an array of so many numbers for each strip."""
    return f"{len(maps) * -(-maps.shape[1] // m)} {width}"


@_kernel("affine", "b", "index")
def winograd_pool_forward(X, affine, W, b, Y, index, padding, m, pool_size, input_activation,
                          input_alpha, activation, alpha, n_threads):  # fmt: skip
    """Convolution with 3 x 3 filters and stride 1, by tiles of m x m positions, and a max pool.

    Parameters
    ----------
    X : array of shape (n, H, W, C)  # IN
    affine : array of shape (3, C) or None  # IN
        Of `batchnorm_statistics`: what is convolved is
        f((X - affine[0]) affine[1] + affine[2]), with the input's activation, instead of X.
    W : array of shape (3, 3, C, F)  # IN
    b : array of shape (F,) or None  # IN
    Y : array of shape (n, OH, OW, F)  # OUT
    index : int32 array like Y or None  # OUT
        As in `conv_pool_forward`.
    padding : tuple of 2 pairs (before, after), none above 2
    m : {2, 4}
    pool_size : tuple of 2 ints
        Divisors of m; for (1, 1), which is no pool, there is no index.
    input_activation : str
    input_alpha : float
    activation : str
    alpha : float
    n_threads : int
    """
    _check_axes(X, W, Y)
    _check_winograd(W, padding, m, pool_size)
    if index is not None and max(pool_size) == 1:
        raise ValueError("an index needs windows larger than 1 x 1")
    _match(X=(X, "n H W C"), W=(W, "3 3 C F"), b=(b, "F"), Y=(Y, "n OH OW F"))
    A = _after_norm(X, affine, input_activation, input_alpha)
    P = np.empty(Y.shape)
    A, Z, index = _with_depth(1, A, P, index)
    conv_pool_forward(
        A, _double(W)[None], None if b is None else _double(b), Z, index, (1, 1, 1),
        ((0, 0), *padding), (1, *pool_size), activation, alpha, n_threads,
    )  # fmt: skip
    Y[:] = P


@_kernel("affine", "index", "addend", "normed", "centre", "dX", "sums", "dW", "db")
def winograd_pool_backward(X, affine, W, Y, index, dY, addend, normed, centre, dX, sums, dW, db,
                           padding, m, pool_size, input_activation, input_alpha, activation,
                           alpha, n_threads):  # fmt: skip
    """Take the gradient at the pooled output of a convolution to input, weights and bias.

    Parameters
    ----------
    X, affine, W, Y, index, padding, m, pool_size, activation, alpha, n_threads
        As in `winograd_pool_forward`.
    dY : array like Y  # IN
    addend : array like X or None  # IN
        Added to the gradient at the input, A = f(z).
    normed : array like X or None  # IN
        What a norm made z of, or a part of z.
    centre : array of shape (C,) or None  # IN
        What its sums are taken about.
    dX : array like X or None  # OUT
        The gradient at z.
    sums : float64 array of shape (strips, 2 C) or None  # OUT
        Those of `batchnorm_backward`, a strip being m rows of an image.
    dW : array like W or None  # OUT
    db : array of shape (F,) or None  # OUT
    input_activation, input_alpha
        f; without an affine map, X itself is f(z).
    """
    _check_axes(X, W, Y, dY, dX, dW)
    if len({sums is None, normed is None, centre is None}) > 1:
        raise ValueError("normed, its centre and the sums are needed together")
    if sums is not None and dX is None:
        raise ValueError("sums need dX")
    _match(
        X=(X, "n H W C"), W=(W, "3 3 C F"), Y=(Y, "n OH OW F"), dY=(dY, "n OH OW F"),
        addend=(addend, "n H W C"), normed=(normed, "n H W C"), centre=(centre, "C"),
        dX=(dX, "n H W C"), dW=(dW, "3 3 C F"), db=(db, "F"),
    )  # fmt: skip
    _check_winograd(W, padding, m, pool_size)
    if (index is not None) != (max(pool_size) > 1):
        raise ValueError("an index is needed for windows larger than 1 x 1, and for them alone")
    A = _after_norm(X, affine, input_activation, input_alpha)
    dA, dW64, db64 = (None if a is None else np.empty(a.shape) for a in (dX, dW, db))
    filters, d_filters = _with_depth(0, _double(W), dW64)
    maps = _with_depth(1, A, _double(Y), index, _double(dY), dA)
    geometry = ((1, 1, 1), ((0, 0), *padding))
    end = (activation, alpha, n_threads)
    A_3d, Y_3d, index, dY_3d, dA_3d = maps
    gradients = (dA_3d, d_filters, db64)
    if index is None:
        conv_backward(A_3d, filters, Y_3d, dY_3d, *gradients, *geometry, (1, 1, 1), 1, *end)
    else:
        conv_pool_backward(
            A_3d, filters, Y_3d, index, dY_3d, *gradients, *geometry, (1, *pool_size), *end
        )
    for array, values in ((dW, dW64), (db, db64)):
        if array is not None:
            array[:] = values
    if dX is None:
        return

    # dX(i) = f'(z(i)) (dA(i) + addend(i))
    if addend is not None:
        dA += _double(addend)
    dX[:] = dA * _ACTIVATIONS[input_activation][1](A, input_alpha)
    if sums is not None:
        _match(sums=(sums, _strip_axes(X, m, 2 * X.shape[3]), np.float64))
        for row, dz, x in zip(sums, _strips(_double(dX), m), _strips(normed, m), strict=True):
            row[:] = *dz.sum(axis=0), *(dz * (_double(x) - _double(centre))).sum(axis=0)


@_kernel("affine", "b", "moments", "addend")
def winograd_forward(X, affine, W, b, Y, moments, addend, padding, m, input_activation,
                     input_alpha, activation, alpha, n_threads):  # fmt: skip
    """Convolution with 3 x 3 filters and stride 1, by tiles of m x m positions, and a sum.

    Parameters
    ----------
    X, affine, W, b, Y, padding, m, input_activation, input_alpha, activation, alpha, n_threads
        As in `winograd_pool_forward`.
    moments : float64 array of shape (strips, 1 + 2 F) or None  # OUT
        Those of `batchnorm_statistics` of Y, a strip being m rows of an image.
    addend : array like Y or None  # IN
        Added before the activation.
    """
    check_activation(activation, FUSED_ACTIVATIONS)
    _match(
        X=(X, "n H W C"), affine=(affine, "3 C"), W=(W, "3 3 C F"), b=(b, "F"),
        Y=(Y, "n OH OW F"), addend=(addend, "n OH OW F"),
    )  # fmt: skip
    f, _ = _ACTIVATIONS[activation]
    Z = np.empty(Y.shape)
    arrays = (X, affine, W, b)
    X, affine, W, b = (None if array is None else _double(array) for array in arrays)
    winograd_pool_forward(
        X, affine, W, b, Z, None, padding, m, (1, 1), input_activation, input_alpha, "identity",
        0.0, n_threads,
    )  # fmt: skip
    Y[:] = f(Z if addend is None else Z + _double(addend), alpha)
    if moments is not None:
        _match(moments=(moments, _strip_axes(Y, m, 1 + 2 * Y.shape[3]), np.float64))
        for row, y in zip(moments, _strips(_double(Y), m), strict=True):
            row[:] = len(y), *y.mean(axis=0), *((y - y.mean(axis=0)) ** 2).sum(axis=0)


@_kernel("affine", "addend", "normed", "centre", "dX", "sums", "dW", "db")
def winograd_backward(X, affine, W, Y, dY, addend, normed, centre, dX, sums, dW, db, padding, m,
                      input_activation, input_alpha, activation, alpha, n_threads):  # fmt: skip
    """Take the gradient at the output of a convolution to input, weights and bias.

    Parameters
    ----------
    X, affine, W, Y, dY, addend, normed, centre, dX, sums, dW, db, padding, m
        As in `winograd_pool_backward`.
    input_activation, input_alpha, activation, alpha, n_threads
        As in `winograd_pool_backward`.
    """
    winograd_pool_backward(
        X, affine, W, Y, None, dY, addend, normed, centre, dX, sums, dW, db, padding, m, (1, 1),
        input_activation, input_alpha, activation, alpha, n_threads,
    )  # fmt: skip


# ---------------------------------------------------------------------------
# Pooling by other rules
# ---------------------------------------------------------------------------


def _count_true_pixels(size, output, pool_size, stride, padding):
    """Number of true pixels in every window, of shape (1, OD, OH, OW, 1)."""
    ones = _pad(np.ones((1, *size, 1)), padding)
    return sum(view for _, view in _taps(ones, pool_size, stride, output))


@_kernel()
def avgpool_forward(X, Y, pool_size, stride, padding, n_threads):
    """Mean over the true pixels of every window.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    Y : array of shape (n, OD, OH, OW, C)  # OUT
    pool_size, stride : tuple of 3 ints
    padding : tuple of 3 pairs (before, after)
    n_threads : int
    """
    check_pool(X, Y, pool_size, stride, padding)
    size, output = X.shape[1:4], Y.shape[1:4]
    count = _count_true_pixels(size, output, pool_size, stride, padding)
    X = _pad(_double(X), padding)

    # Y(n,x,y,c) = 1 / count(x,y) Σ_x' Σ_y' X(n, x·s + x', y·s + y', c)
    Y[:] = sum(view for _, view in _taps(X, pool_size, stride, output)) / count


@_kernel()
def avgpool_backward(dY, dX, pool_size, stride, padding, n_threads):
    """Share the gradient of a mean pooling among the pixels of the window.

    Parameters
    ----------
    dY : array of shape (n, OD, OH, OW, C)  # IN
    dX : array of shape (n, D, H, W, C)  # OUT
    pool_size, stride, padding, n_threads
        As in `avgpool_forward`.
    """
    check_pool(dX, dY, pool_size, stride, padding)
    size, output = dX.shape[1:4], dY.shape[1:4]
    share = _double(dY) / _count_true_pixels(size, output, pool_size, stride, padding)
    padded = _pad(np.zeros(dX.shape), padding)

    # dX(n, x·s + x', y·s + y', c) += dY(n,x,y,c) / count(x,y)
    for _, view in _taps(padded, pool_size, stride, output):
        view += share
    dX[:] = _crop(padded, padding, size)


@_kernel("index")
def globalmax_forward(X, Y, index, n_threads):
    """Largest value of every map, and where it was found.

    Parameters
    ----------
    X : array of shape (n, P, C)  # IN
    Y : array of shape (n, C)  # OUT
    index : int32 array of shape (n, C) or None  # OUT
    n_threads : int
    """
    sizes = _match(X=(X, "n P C"), Y=(Y, "n C"), index=(index, "n C", np.int32))
    _check_not_empty(sizes, "P")
    _check_places([sizes["P"]])

    # Y(n,c) = max over p of X(n,p,c): the first of a tie, NaN counts as the largest
    where = np.argmax(X, axis=1)
    Y[:] = np.take_along_axis(X, where[:, np.newaxis], axis=1)[:, 0]
    if index is not None:
        index[:] = where


@_kernel()
def globalmax_backward(dY, index, dX, n_threads):
    """Take the gradient of a global max pooling to the remembered locations.

    Parameters
    ----------
    dY : array of shape (n, C)  # IN
    index : int32 array of shape (n, C)  # IN
    dX : array of shape (n, P, C)  # OUT
    n_threads : int
    """
    sizes = _match(dY=(dY, "n C"), index=(index, "n C", np.int32), dX=(dX, "n P C"))
    _check_not_empty(sizes, "P")
    _check_places([sizes["P"]])
    check_index(index, dX.shape[1])

    # dX(n, index(n,c), c) = dY(n,c), and 0 elsewhere
    dX[:] = 0
    np.put_along_axis(dX, index[:, np.newaxis], dY[:, np.newaxis], axis=1)


@_kernel()
def globalavg_forward(X, Y, n_threads):
    """Mean of every map.

    Parameters
    ----------
    X : array of shape (n, P, C)  # IN
    Y : array of shape (n, C)  # OUT
    n_threads : int
    """
    sizes = _match(X=(X, "n P C"), Y=(Y, "n C"))
    _check_not_empty(sizes, "P")
    _check_places([sizes["P"]])

    # Y(n,c) = 1/P Σ_p X(n,p,c)
    Y[:] = _double(X).mean(axis=1)


@_kernel()
def globalavg_backward(dY, dX, n_threads):
    """Share the gradient of a global mean pooling among all pixels.

    Parameters
    ----------
    dY : array of shape (n, C)  # IN
    dX : array of shape (n, P, C)  # OUT
    n_threads : int
    """
    sizes = _match(dY=(dY, "n C"), dX=(dX, "n P C"))
    _check_not_empty(sizes, "P")
    _check_places([sizes["P"]])

    # dX(n,p,c) = dY(n,c) / P
    dX[:] = _double(dY)[:, np.newaxis] / dX.shape[1]


def _check_exponent(p):
    """Check the exponent of Lp pooling: below 1 there is no norm."""
    if not p >= 1:
        raise ValueError(f"p is {p}, expected a number of at least 1")


@_kernel()
def lppool_forward(X, Y, pool_size, stride, padding, p, n_threads):
    """Lp norm of every window.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    Y : array of shape (n, OD, OH, OW, C)  # OUT
    pool_size, stride : tuple of 3 ints
    padding : tuple of 3 pairs (before, after)
    p : float of at least 1
    n_threads : int
    """
    check_pool(X, Y, pool_size, stride, padding)
    _check_exponent(p)
    X = _pad(_double(X), padding)

    # Y(n,x,y,c) = (Σ_x' Σ_y' |X(n, x·s + x', y·s + y', c)|ᵖ)^(1/p)
    # in units of the largest |X| of a window, so that no power overflows before the norm
    sizes = [np.abs(view) for _, view in _taps(X, pool_size, stride, Y.shape[1:4])]
    unit = np.fmax.reduce(sizes)
    unit = np.where((unit > 0) & (unit < np.inf), unit, 1.0)
    Y[:] = unit * sum((size / unit) ** p for size in sizes) ** (1 / p)


@_kernel()
def lppool_backward(X, Y, dY, dX, pool_size, stride, padding, p, n_threads):
    """Take the gradient of an Lp pooling to the pixels of the windows.

    Parameters
    ----------
    X : array of shape (n, D, H, W, C)  # IN
    Y : array of shape (n, OD, OH, OW, C)  # IN
        The output of the forward pass.
    dY : array like Y  # IN
    dX : array like X  # OUT
    pool_size, stride, padding, p, n_threads
        As in `lppool_forward`.
    """
    check_pool(
        X, Y, pool_size, stride, padding,
        dY=(dY, "n OD OH OW C"), dX=(dX, "n D H W C"),
    )  # fmt: skip
    _check_exponent(p)
    size, output = X.shape[1:4], Y.shape[1:4]
    X, Y, dY = _pad(_double(X), padding), _double(Y), _double(dY)
    padded = np.zeros(X.shape)

    # dX(n, x·s + x', y·s + y', c) += dY(n,x,y,c) sign(X) (|X| / Y(n,x,y,c))^(p-1)
    # and 0 where X = 0
    for (_, x), (_, total) in zip(
        _taps(X, pool_size, stride, output),
        _taps(padded, pool_size, stride, output),
        strict=True,
    ):
        share = np.divide(np.abs(x), Y, out=np.zeros(Y.shape), where=x != 0)
        total += dY * np.sign(x) * share ** (p - 1)
    dX[:] = _crop(padded, padding, size)


def _group_span(o, stride, window, size):
    """Pixels [start, stop) of the window of output o along one axis.

    Windows of all sizes have their centre in the middle of the `stride` pixels of o.
    They are clipped to the map; if nothing remains, the nearest pixel does.
    """
    start = o * stride + (stride - window) // 2
    stop = start + window
    start = max(0, min(start, size - 1))
    return start, max(start + 1, min(stop, size))


@_kernel("index")
def group_maxpool_forward(X, Y, index, pool_sizes, stride, n_threads):
    """Largest value of every window, each group of maps having windows of its own size.

    The backward pass is `maxpool_backward`.

    Parameters
    ----------
    X : array of shape (n, H, W, C)  # IN
    Y : array of shape (n, ceil(H / stride), ceil(W / stride), C)  # OUT
    index : int32 array like Y or None  # OUT
        Flat position ``h * W + w`` of the first maximum in scan order.
    pool_sizes : int64 array of shape (groups, 2)  # IN
        Height and width of the windows of every group.
    stride : tuple of 2 ints
    n_threads : int
    """
    sizes = _match(
        X=(X, "n H W C"),
        Y=(Y, "n OH OW C"),
        index=(index, "n OH OW C", np.int32),
        pool_sizes=(pool_sizes, "groups 2", np.int64),
    )
    _check_not_empty(sizes, "H W C groups")
    _check_sizes("stride", stride, 2, 1)
    for window in pool_sizes.tolist():
        _check_sizes("a row of pool_sizes", window, 2, 1)
    _check_places(X.shape[1:3])
    n, *size, C = X.shape
    if C % len(pool_sizes):
        raise ValueError(f"there are {len(pool_sizes)} pool_sizes, expected a divisor of {C} maps")
    expected = tuple(-(-s // step) for s, step in zip(size, stride, strict=True))
    if Y.shape[1:3] != expected:
        raise ValueError(
            f"Y has shape {Y.shape}, expected maps of the size {expected}, one pixel "
            f"for {stride} of X"
        )

    # Y(n,x,y,c) = max of X(n,x',y',c) over the window of c's group at (x, y)
    # The first of a tie stays, NaN counts as the largest.
    width = C // len(pool_sizes)
    for group, window in enumerate(pool_sizes.tolist()):
        maps = slice(group * width, (group + 1) * width)
        for o_h, o_w in np.ndindex(*expected):
            top, bottom = _group_span(o_h, stride[0], window[0], size[0])
            left, right = _group_span(o_w, stride[1], window[1], size[1])
            pixels = X[:, top:bottom, left:right, maps]
            pixels = pixels.reshape(n, (bottom - top) * (right - left), width)
            where = np.argmax(pixels, axis=1)
            Y[:, o_h, o_w, maps] = np.take_along_axis(pixels, where[:, np.newaxis], axis=1)[:, 0]
            if index is not None:
                h, w = np.divmod(where, right - left)
                index[:, o_h, o_w, maps] = (top + h) * size[1] + left + w


# ---------------------------------------------------------------------------
# Normalisation and dropout
# ---------------------------------------------------------------------------


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
    X : array of shape (m, C)  # IN
    affine : array of shape (3, C)  # IN
        Of `batchnorm_statistics`.
    Y : array of shape (m, C)  # OUT
    addend : array of shape (m, C) or None  # IN
        Added before the activation.
    activation : str
    alpha : float
    n_threads : int
    """
    _match(X=(X, "m C"), affine=(affine, "3 C"), Y=(Y, "m C"), addend=(addend, "m C"))
    check_activation(activation, FUSED_ACTIVATIONS)
    f, _ = _ACTIVATIONS[activation]
    centre, factor, shift = _double(affine)

    # Y(i,c) = f((X(i,c) - affine(0,c)) affine(1,c) + affine(2,c) + addend(i,c))
    Z = (_double(X) - centre) * factor + shift
    Y[:] = f(Z if addend is None else Z + _double(addend), alpha)


@_kernel("weight", "sums", "dscale", "doffset")
def batchnorm_backward(X, weight, scale, mean, variance, affine, dY, sums, dX, dscale, doffset,
                       epsilon, activation, alpha, n_threads):  # fmt: skip
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
    dX : array of shape (m, C)  # OUT
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
        dscale=(dscale, "C"),
        doffset=(doffset, "C"),
    )
    check_activation(activation, FUSED_ACTIVATIONS)
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
    through_statistics = w / np.sum(w) * (offset_sum + normalized * scale_sum)
    dX[:] = _double(scale) / deviation * (dZ - through_statistics)


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


# ---------------------------------------------------------------------------
# Enlarging
# ---------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------
# The samples of a batch
# ---------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------
# Moving images
# ---------------------------------------------------------------------------


def check_resample(**arrays):
    """Raise ValueError unless images, matrices and results fit."""
    sizes = _match(**arrays)
    _check_not_empty(sizes, "H W C")
    _check_numbers("an image", [sizes[axis] for axis in "HWC"])
    _check_places([max(sizes["H"], sizes["W"]) + 3])  # with a frame


def _sources(matrices, H, W):
    """x(n,h,w) and y(n,h,w): where the maps take the pixels of an image."""
    h, w = np.mgrid[:H, :W]
    return np.einsum("nij,jhw->inhw", matrices, np.stack([w, h, np.ones_like(w)]))


def _pixels(X, rows, columns, fill_value):
    """X(n,rows(n,h,w),columns(n,h,w),c), or the fill value where there is no such pixel."""
    n, H, W, _ = X.shape
    inside = (rows >= 0) & (rows < H) & (columns >= 0) & (columns < W)
    rows, columns = (np.where(inside, axis, 0).astype(int) for axis in (rows, columns))
    found = X[np.arange(n)[:, np.newaxis, np.newaxis], rows, columns]
    return np.where(inside[..., np.newaxis], found, fill_value)


@_kernel()
def affine_resample(X, matrices, Y, fill_value, n_threads):
    """Take the pixels of images from where affine maps say, by bilinear interpolation.

    Parameters
    ----------
    X : array of shape (n, H, W, C)  # IN
        Finite: a neighbour of weight 0 counts as well.
    matrices : float64 array of shape (n, 2, 3)  # IN
        From places ``(x, y, 1)`` in Y to places ``(x, y)`` in X, in pixels.
    Y : array of shape (n, H, W, C)  # OUT
    fill_value : float
        X goes on with it beyond its border.
    n_threads : int
    """
    check_resample(X=(X, "n H W C"), matrices=(matrices, "n 2 3", np.float64), Y=(Y, "n H W C"))
    _, H, W, _ = X.shape
    x, y = _sources(matrices, H, W)
    left, top = np.floor(x), np.floor(y)

    # Y(n,h,w,c) = Σ_i Σ_j (1 - |y - i|) (1 - |x - j|) X(n,i,j,c), over the four pixels around
    total = np.zeros(X.shape)
    for i in (top, top + 1):
        for j in (left, left + 1):
            weight = (1 - np.abs(y - i)) * (1 - np.abs(x - j))
            total += weight[..., np.newaxis] * _pixels(_double(X), i, j, fill_value)
    Y[:] = total


@_kernel()
def affine_resample_nearest(X, matrices, Y, n_threads):
    """Take the labels of pixels from where affine maps say, from the nearest pixel.

    Parameters
    ----------
    X : int64 array of shape (n, H, W, C)  # IN
    matrices : float64 array of shape (n, 2, 3)  # IN
        As in `affine_resample`.
    Y : int64 array of shape (n, H, W, C)  # OUT
        0 where X does not reach. Halfway, up to rounding, it is the pixel behind.
    n_threads : int
    """
    check_resample(
        X=(X, "n H W C", np.int64),
        matrices=(matrices, "n 2 3", np.float64),
        Y=(Y, "n H W C", np.int64),
    )
    _, H, W, _ = X.shape
    x, y = _sources(matrices, H, W)

    # Y(n,h,w,c) = X(n, ⌊y + 1/2⌋, ⌊x + 1/2⌋, c)
    Y[:] = _pixels(X, np.floor(y + 0.5 + 1e-9), np.floor(x + 0.5 + 1e-9), 0)


# ---------------------------------------------------------------------------
# Sums of maps, and maps side by side
# ---------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------
# Attention
# ---------------------------------------------------------------------------


def check_attention(**arrays):
    """Raise ValueError unless the arrays of an attention fit."""
    sizes = _match(**arrays)
    _check_not_empty(sizes, "L heads d")


@_kernel("bias")
def attention_forward(Q, K, V, bias, P, Y, n_threads):
    """Self-attention over positions (Vaswani et al., 2017), for every image and head.

    Parameters
    ----------
    Q, K, V : array of shape (n, L, heads, d)  # IN
    bias : array of shape (heads, L, L) or None  # IN
    P : array of shape (n, heads, L, L)  # OUT
        How much position i attends to position j.
    Y : array of shape (n, L, heads, d)  # OUT
    n_threads : int
    """
    check_attention(
        Q=(Q, "n L heads d"),
        K=(K, "n L heads d"),
        V=(V, "n L heads d"),
        bias=(bias, "heads L L"),
        P=(P, "n heads L L"),
        Y=(Y, "n L heads d"),
    )
    d = Q.shape[-1]

    # S(n,h,i,j) = Σ_d Q(n,i,h,d) K(n,j,h,d) / sqrt(d) + bias(h,i,j)
    S = np.einsum("nihd,njhd->nhij", _double(Q), _double(K)) / np.sqrt(d)
    if bias is not None:
        S += _double(bias)

    # P = softmax(S) over j
    attention = softmax(S, axis=-1)
    P[:] = attention

    # Y(n,i,h,d) = Σ_j P(n,h,i,j) V(n,j,h,d)
    Y[:] = np.einsum("nhij,njhd->nihd", attention, _double(V))


@_kernel("dbias")
def attention_backward(Q, K, V, P, dY, dS, dQ, dK, dV, dbias, n_threads):
    """Take the gradient at the output of an attention to its arguments.

    Parameters
    ----------
    Q, K, V : array of shape (n, L, heads, d)  # IN
    P : array of shape (n, heads, L, L)  # IN
        That of the forward pass.
    dY : array like Q  # IN
    dS : array like P  # OUT
        The gradient at the argument of the softmax.
    dQ, dK, dV : array like Q  # OUT
    dbias : array of shape (heads, L, L) or None  # OUT
    n_threads : int
    """
    check_attention(
        Q=(Q, "n L heads d"),
        K=(K, "n L heads d"),
        V=(V, "n L heads d"),
        P=(P, "n heads L L"),
        dY=(dY, "n L heads d"),
        dS=(dS, "n heads L L"),
        dQ=(dQ, "n L heads d"),
        dK=(dK, "n L heads d"),
        dV=(dV, "n L heads d"),
        dbias=(dbias, "heads L L"),
    )
    Q, K, V, P, dY = (_double(A) for A in (Q, K, V, P, dY))
    root = np.sqrt(Q.shape[-1])

    # dV(n,j,h,d) = Σ_i P(n,h,i,j) dY(n,i,h,d)
    dV[:] = np.einsum("nhij,nihd->njhd", P, dY)

    # dP(n,h,i,j) = Σ_d dY(n,i,h,d) V(n,j,h,d)
    # dS(n,h,i,j) = P(n,h,i,j) (dP(n,h,i,j) - Σ_j' P(n,h,i,j') dP(n,h,i,j'))
    dP = np.einsum("nihd,njhd->nhij", dY, V)
    gradient = P * (dP - np.sum(P * dP, axis=-1, keepdims=True))
    dS[:] = gradient

    # dQ(n,i,h,d) = Σ_j dS(n,h,i,j) K(n,j,h,d) / sqrt(d)
    # dK(n,j,h,d) = Σ_i dS(n,h,i,j) Q(n,i,h,d) / sqrt(d)
    dQ[:] = np.einsum("nhij,njhd->nihd", gradient, K) / root
    dK[:] = np.einsum("nhij,nihd->njhd", gradient, Q) / root

    # dbias(h,i,j) = Σ_n dS(n,h,i,j)
    if dbias is not None:
        dbias[:] = gradient.sum(axis=0)


# ---------------------------------------------------------------------------
# Losses
# ---------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------
# Optimisers
# ---------------------------------------------------------------------------


def _decayed_gradients(params, grads, segments, decay, scale):
    """Of every segment: its range, p, and g = scale · grad + decay · p."""
    for (start, stop), segment_decay in zip(segments, _double(decay), strict=True):
        part = slice(start, stop)
        p = _double(params[part])
        yield part, p, scale * _double(grads[part]) + segment_decay * p


def _keep(array, part, x):
    """Keep x, of the parameters too, for the next step: zero where it is below 16 times the
    smallest normal number."""
    small = np.abs(x) < 16 * np.finfo(array.dtype).tiny
    array[part] = np.where(small, 0, x)


@_kernel()
def global_norm(x, segments, n_threads):
    """The Euclidean norm of all segments together.

    Parameters
    ----------
    x : array of shape (p,)  # IN
    segments : int64 array of shape (s, 2)  # IN
        Ranges [start, stop) that count.
    n_threads : int

    Returns
    -------
    norm : float
    """
    _match(x=(x, "p"), segments=(segments, "s 2", np.int64))
    check_segments(x.size, segments)

    # sqrt(Σ x²)
    return float(np.sqrt(sum(np.sum(_double(x[start:stop]) ** 2) for start, stop in segments)))


@_kernel("velocity")
def sgd_step(params, grads, velocity, segments, decay, learning_rate, scale, momentum,
             nesterov, n_threads):  # fmt: skip
    """One step of gradient descent with momentum, in the form of PyTorch.

    Parameters
    ----------
    params : array of shape (p,)  # INOUT
    grads : array of shape (p,)  # IN
    velocity : array of shape (p,) or None  # INOUT
        None without momentum.
    segments : int64 array of shape (s, 2)  # IN
        Ranges [start, stop) to update; what lies outside them stays as it is.
    decay : array of shape (s,)  # IN
        Weight decay of every segment.
    learning_rate : float
    scale : float
        What the gradients are multiplied by, before the decay.
    momentum : float
    nesterov : bool
    n_threads : int
    """
    check_step(params, grads, segments, decay, velocity, momentum)

    for part, p, g in _decayed_gradients(params, grads, segments, decay, scale):
        # v = momentum · v + g
        v = g if velocity is None else momentum * _double(velocity[part]) + g

        # p = p - learning_rate · v; Nesterov looks one step ahead: g + momentum · v
        step = g + momentum * v if nesterov else v
        if velocity is not None:
            _keep(velocity, part, v)
        _keep(params, part, p - learning_rate * step)


@_kernel()
def adagrad_step(params, grads, square, segments, decay, learning_rate, scale, epsilon,
                 n_threads):  # fmt: skip
    """One step of Adagrad, in the form of PyTorch.

    Parameters
    ----------
    params : array of shape (p,)  # INOUT
    grads : array of shape (p,)  # IN
    square : array of shape (p,)  # INOUT
        Sum of the squared gradients.
    segments : int64 array of shape (s, 2)  # IN
        Ranges [start, stop) to update; what lies outside them stays as it is.
    decay : array of shape (s,)  # IN
        Weight decay of every segment.
    learning_rate : float
    scale : float
        What the gradients are multiplied by, before the decay.
    epsilon : float
    n_threads : int
    """
    check_step(params, grads, segments, decay, square=square)

    for part, p, g in _decayed_gradients(params, grads, segments, decay, scale):
        # s = s + g²;  p = p - learning_rate · g / (sqrt(s) + ε)
        s = _double(square[part]) + g * g
        _keep(square, part, s)
        _keep(params, part, p - learning_rate * g / (np.sqrt(s) + epsilon))


@_kernel("mean", "velocity")
def rmsprop_step(params, grads, square, mean, velocity, segments, decay, learning_rate,
                 scale, alpha, epsilon, momentum, n_threads):  # fmt: skip
    """One step of RMSprop, in the form of PyTorch.

    Parameters
    ----------
    params : array of shape (p,)  # INOUT
    grads : array of shape (p,)  # IN
    square : array of shape (p,)  # INOUT
        Running mean of the squared gradient.
    mean : array of shape (p,) or None  # INOUT
        Running mean of the gradient; None if the square is not centred.
    velocity : array of shape (p,) or None  # INOUT
        None without momentum.
    segments : int64 array of shape (s, 2)  # IN
        Ranges [start, stop) to update; what lies outside them stays as it is.
    decay : array of shape (s,)  # IN
        Weight decay of every segment.
    learning_rate : float
    scale : float
        What the gradients are multiplied by, before the decay.
    alpha, epsilon, momentum : float
    n_threads : int
    """
    check_step(params, grads, segments, decay, velocity, momentum, square=square, mean=mean)

    for part, p, g in _decayed_gradients(params, grads, segments, decay, scale):
        # s = α s + (1 - α) g²;  m = α m + (1 - α) g
        s = alpha * _double(square[part]) + (1 - alpha) * g * g
        _keep(square, part, s)
        variance = s
        if mean is not None:
            m = alpha * _double(mean[part]) + (1 - alpha) * g
            _keep(mean, part, m)
            variance = np.maximum(s - m * m, 0)  # below zero by rounding only

        # v = momentum · v + g / (sqrt(s - m²) + ε);  p = p - learning_rate · v
        v = g / (np.sqrt(variance) + epsilon)
        if velocity is not None:
            v += momentum * _double(velocity[part])
            _keep(velocity, part, v)
        _keep(params, part, p - learning_rate * v)


@_kernel()
def adam_step(params, grads, m, v, segments, decay, learning_rate, scale, beta1, beta2,
              epsilon, step, decoupled, n_threads):  # fmt: skip
    """One step of Adam or AdamW, in the form of PyTorch.

    Parameters
    ----------
    params : array of shape (p,)  # INOUT
    grads : array of shape (p,)  # IN
    m, v : array of shape (p,)  # INOUT
        Running means of the gradient and of its square.
    segments : int64 array of shape (s, 2)  # IN
        Ranges [start, stop) to update; what lies outside them stays as it is.
    decay : array of shape (s,)  # IN
        Weight decay of every segment.
    learning_rate : float
    scale : float
        What the gradients are multiplied by, before the decay.
    beta1, beta2, epsilon : float
    step : int
        Number of this step, from 1.
    decoupled : bool
        False: decay is added to the gradient (Adam). True: it shrinks the parameters
        first (AdamW).
    n_threads : int
    """
    check_step(params, grads, segments, decay, m=m, v=v)
    if step < 1:
        raise ValueError(f"step is {step}, expected a count from 1")

    for (start, stop), segment_decay in zip(segments, _double(decay), strict=True):
        part = slice(start, stop)
        p, g = _double(params[part]), scale * _double(grads[part])

        # AdamW: p = p - learning_rate · decay · p;  Adam: g = g + decay · p
        if decoupled:
            p = p - learning_rate * segment_decay * p
        else:
            g = g + segment_decay * p

        # m = β₁ m + (1 - β₁) g;  v = β₂ v + (1 - β₂) g²
        mean = beta1 * _double(m[part]) + (1 - beta1) * g
        square = beta2 * _double(v[part]) + (1 - beta2) * g * g

        # p = p - learning_rate · m / (1 - β₁ᵗ) / (sqrt(v / (1 - β₂ᵗ)) + ε)
        size = np.sqrt(square / (1 - beta2**step)) + epsilon
        _keep(m, part, mean)
        _keep(v, part, square)
        _keep(params, part, p - learning_rate * mean / (1 - beta1**step) / size)
