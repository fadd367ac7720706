"""Geometries, calls and tolerances that all tests of the kernels share.

The tables of larger geometries are also what the benchmarks of the kernels time.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from sklearn_convnet.kernels import loader

FUSED_ACTIVATIONS = (
    "identity", "relu", "leaky_relu", "tanh", "logistic", "elu", "softplus",
)  # fmt: skip
ALL_ACTIVATIONS = (*FUSED_ACTIVATIONS, "gelu")

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
THREADS = (1, 2, 3)

# ---------------------------------------------------------------------------
# Which kernels
# ---------------------------------------------------------------------------


def _kernels(variants):
    return pytest.mark.parametrize(
        ("kernels", "dtype"),
        [
            pytest.param(loader.kernels(dtype, variant), dtype, id=f"{variant}-{dtype}")
            for variant, dtype in product(variants, DTYPES)
        ],
    )


every_compiled = _kernels([v for v in loader.variants() if v != "reference"])
every_variant = _kernels(loader.variants())

# Enough examples for a bug that one geometry in ten has; nothing is left on the disk.
quick = settings(max_examples=40, deadline=None, database=None)
seeds = st.integers(0, 2**32 - 1)
thread_counts = st.sampled_from(THREADS)

# ---------------------------------------------------------------------------
# Arrays
# ---------------------------------------------------------------------------


def random_input(rng, shape, dtype, low=-1.0, high=1.0):
    """Uniform numbers in an array that cannot be written to."""
    array = rng.uniform(low, high, shape).astype(dtype)
    array.flags.writeable = False
    return array


def output(shape, dtype):
    """An array to fill; what a kernel forgets to fill shows as NaN."""
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else -1, dtype=dtype)


# ---------------------------------------------------------------------------
# Comparisons
# ---------------------------------------------------------------------------

TOLERANCES = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}


def assert_close(actual, expected, *, floor=0.0, dtype=None, factor=1):
    """Compare relative to the largest expected number.

    `floor` is the size of a term where the numbers are sums: if a sum happens to
    cancel, its error is measured against the terms. `factor` times the usual tolerance.
    """
    dtype = actual.dtype if dtype is None else dtype
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    scale = max(np.max(np.abs(expected), initial=0.0), floor)
    error = np.max(np.abs(actual - expected), initial=0.0)
    # Not `error > tolerance`: NaN must fail.
    assert error <= factor * TOLERANCES[dtype] * scale, f"off by {error} at a scale of {scale}"


def assert_same_bits(actual, expected):
    """Compare bytes, so that NaN equals itself and -0 differs from 0."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    actual, expected = (
        np.ascontiguousarray(array).reshape(-1).view(np.uint8) for array in (actual, expected)
    )
    np.testing.assert_array_equal(actual, expected)


def assert_threads_do_not_matter(run):
    """`run(n_threads)` returns arrays: the same bits for any number of threads."""
    expected = run(THREADS[0])
    for n_threads in THREADS[1:]:
        for one, other in zip(expected, run(n_threads), strict=True):
            assert_same_bits(other, one)


def assert_batch_does_not_matter(forward, X, beside_nan=True):
    """`forward(X)`: the same bits for a sample, whatever batch it comes in; `beside_nan`:
    also if nothing else in the batch is a number."""
    n = len(X)
    whole = forward(X)
    for start, size in ((0, 1), (n - 1, 1), (3, 2), (n - 7, 7), (2, min(15, n - 2))):
        part = np.ascontiguousarray(X[start : start + size])
        assert_same_bits(forward(part), whole[start : start + size])
    assert_same_bits(forward(np.ascontiguousarray(X[::-1])), whole[::-1])

    if not beside_nan:
        return
    X = X.copy()
    X[np.arange(n) != n // 2] = np.nan
    assert_same_bits(forward(X)[n // 2], whole[n // 2])


def numerical_gradient(function, x, step=1e-3):
    """Central differences of fourth order, in float64."""
    assert x.dtype == np.float64
    gradient = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        shifted = []
        for k in (-2, -1, 1, 2):
            y = x.copy()
            y[i] += k * step
            shifted.append(function(y))
        gradient[i] = (shifted[0] - 8 * shifted[1] + 8 * shifted[2] - shifted[3]) / (12 * step)
    return gradient


def assert_gradient(analytic, function, x):
    """Compare a gradient with central differences of `function` at x."""
    np.testing.assert_allclose(analytic, numerical_gradient(function, x), rtol=5e-6, atol=1e-9)


# ---------------------------------------------------------------------------
# Geometries of convolution and pooling
# ---------------------------------------------------------------------------

ONES = (1, 1, 1)
NO_PADDING = ((0, 0), (0, 0), (0, 0))


def output_size(size, kernel, stride, padding, dilation=ONES):
    """Number of windows along each axis."""
    return tuple(
        (s + sum(p) - d * (k - 1) - 1) // b + 1
        for s, k, b, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    )


@dataclass(frozen=True)
class ConvCase:
    """One geometry of a convolution."""

    n: int
    size: tuple
    channels: int
    filters: int
    kernel: tuple
    stride: tuple = ONES
    padding: tuple = NO_PADDING
    dilation: tuple = ONES
    groups: int = 1
    activation: str = "identity"
    alpha: float = 0.3
    use_bias: bool = True

    @property
    def input_shape(self):
        return (self.n, *self.size, self.channels)

    @property
    def weight_shape(self):
        return (*self.kernel, self.channels // self.groups, self.filters)

    @property
    def output_shape(self):
        size = output_size(self.size, self.kernel, self.stride, self.padding, self.dilation)
        return (self.n, *size, self.filters)

    @property
    def options(self):
        """What follows the arrays in a call, without the number of threads."""
        return (
            self.stride, self.padding, self.dilation, self.groups, self.activation,
            self.alpha,
        )  # fmt: skip

    def arrays(self, dtype, seed=0):
        """X, W, b and dY."""
        rng = np.random.default_rng(seed)
        X = random_input(rng, self.input_shape, dtype)
        W = random_input(rng, self.weight_shape, dtype)
        b = random_input(rng, (self.filters,), dtype) if self.use_bias else None
        return X, W, b, random_input(rng, self.output_shape, dtype)


def _pad_image(pixels):
    return ((0, 0), (pixels, pixels), (pixels, pixels))


# Beyond every block of the loops: more output maps than a panel holds, hundreds of
# values in a sum, batches of more than 16 samples, several small images in one block,
# and enough to do for several threads.
CONV_CASES = {
    "lenet1": ConvCase(
        9, (1, 28, 28), 1, 6, (1, 5, 5), padding=_pad_image(2), activation="relu"
    ),
    "lenet2": ConvCase(19, (1, 14, 14), 6, 16, (1, 5, 5), activation="tanh"),
    "lenet3": ConvCase(67, (1, 5, 5), 16, 120, (1, 5, 5), activation="relu"),
    "vgg": ConvCase(
        19, (1, 9, 10), 64, 64, (1, 3, 3), padding=_pad_image(1), activation="relu"
    ),
    "resnet-strided": ConvCase(
        5, (1, 13, 12), 16, 70, (1, 3, 3), stride=(1, 2, 2),
        padding=((0, 0), (0, 1), (0, 1)), use_bias=False,
    ),
    "pointwise": ConvCase(5, (1, 7, 6), 100, 130, (1, 1, 1), activation="softplus"),
    "pointwise, whole vectors": ConvCase(9, (1, 13, 12), 64, 200, (1, 1, 1), activation="relu"),
    "projection": ConvCase(17, (1, 8, 9), 32, 65, (1, 1, 1), stride=(1, 2, 2)),
    "alexnet": ConvCase(2, (1, 35, 35), 3, 96, (1, 11, 11), stride=(1, 4, 4)),
    "depthwise": ConvCase(
        19, (1, 10, 11), 70, 70, (1, 3, 3), padding=_pad_image(1), groups=70
    ),
    "grouped": ConvCase(
        6, (1, 9, 8), 48, 99, (1, 3, 3), padding=_pad_image(1), groups=3,
        activation="elu",
    ),
    "dilated": ConvCase(
        3, (1, 15, 14), 16, 65, (1, 3, 3), padding=_pad_image(3), dilation=(1, 3, 3)
    ),
    "deep": ConvCase(33, (1, 4, 4), 130, 20, (1, 3, 3), activation="logistic"),
    "signal": ConvCase(
        18, (1, 1, 50), 40, 70, (1, 1, 9), stride=(1, 1, 3),
        padding=((0, 0), (0, 0), (8, 0)), activation="leaky_relu",
    ),
    "volume": ConvCase(
        3, (5, 6, 7), 8, 20, (3, 3, 3), padding=((1, 1), (1, 1), (1, 1))
    ),
    # Few filters, of whole vectors of images and some that are left over: interleaved.
    "few": ConvCase(  # images of outputs lie 10 KiB apart
        41, (1, 16, 20), 3, 8, (1, 3, 3), padding=_pad_image(1), activation="relu"
    ),
    "few, many taps": ConvCase(
        27, (1, 9, 8), 12, 5, (1, 5, 6), padding=_pad_image(2), activation="tanh"
    ),
    "few, long signal": ConvCase(
        21, (1, 1, 2600), 2, 3, (1, 1, 7), stride=(1, 1, 2), dilation=(1, 1, 3),
        padding=((0, 0), (0, 0), (0, 9)),
    ),
    "few, dilated": ConvCase(
        31, (1, 15, 14), 3, 6, (1, 3, 3), padding=_pad_image(4), dilation=(1, 3, 4),
        activation="leaky_relu",
    ),
    "few, grouped": ConvCase(
        18, (1, 7, 8), 6, 21, (1, 3, 2), padding=_pad_image(1), groups=3, activation="elu"
    ),
    "few, volume": ConvCase(
        19, (5, 6, 7), 2, 5, (3, 2, 3), stride=(1, 2, 1), padding=((1, 1), (1, 0), (0, 2))
    ),
}  # fmt: skip


@dataclass(frozen=True)
class PoolCase:
    """One geometry of a pooling."""

    n: int
    size: tuple
    channels: int
    pool_size: tuple
    stride: tuple
    padding: tuple = NO_PADDING

    @property
    def input_shape(self):
        return (self.n, *self.size, self.channels)

    @property
    def output_shape(self):
        size = output_size(self.size, self.pool_size, self.stride, self.padding)
        return (self.n, *size, self.channels)

    @property
    def options(self):
        return self.pool_size, self.stride, self.padding


POOL_CASES = {
    "halve": PoolCase(19, (1, 14, 14), 16, (1, 2, 2), (1, 2, 2)),
    "overlapping": PoolCase(3, (1, 17, 17), 70, (1, 3, 3), (1, 2, 2)),
    "same": PoolCase(
        5, (1, 9, 10), 67, (1, 3, 3), (1, 1, 1), ((0, 0), (1, 1), (1, 1))
    ),
    "signal": PoolCase(17, (1, 1, 50), 40, (1, 1, 4), (1, 1, 3)),
    "volume": PoolCase(
        10, (5, 6, 7), 9, (2, 3, 2), (2, 2, 1), ((1, 0), (1, 1), (0, 1))
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ConvPoolCase(ConvCase):
    """One geometry of a convolution and a max pool in one."""

    pool_size: tuple = (1, 2, 2)

    @property
    def maps_shape(self):
        """Of the output of the convolution."""
        return super().output_shape

    @property
    def output_shape(self):
        n, *size, filters = self.maps_shape
        return (n, *(s // p for s, p in zip(size, self.pool_size, strict=True)), filters)

    @property
    def options(self):
        return self.stride, self.padding, self.pool_size, self.activation, self.alpha


@dataclass(frozen=True)
class DepthwiseCase(ConvCase):
    """One geometry of a depth-wise convolution: there, a group is one map."""

    @property
    def options(self):
        return (
            self.stride, self.padding, self.dilation, self.activation, self.alpha,
        )  # fmt: skip

    @classmethod
    def of(cls, n, size, channels, multiplier, kernel, **options):
        return cls(n, size, channels, channels * multiplier, kernel, groups=channels, **options)


# More windows than the weight gradient sums at a time, more samples than partial sums,
# more and fewer lanes than channels, and enough to do for several threads.
DEPTHWISE_CASES = {
    "mobilenet": DepthwiseCase.of(
        17, (1, 12, 11), 70, 1, (1, 3, 3), padding=_pad_image(1), activation="relu"
    ),
    "strided": DepthwiseCase.of(
        5, (1, 25, 24), 33, 1, (1, 3, 3), stride=(1, 2, 2),
        padding=((0, 0), (0, 1), (1, 0)), use_bias=False,
    ),
    "whole vectors": DepthwiseCase.of(
        19, (1, 13, 12), 64, 1, (1, 3, 3), padding=((0, 0), (3, 0), (1, 2)), activation="relu"
    ),
    "multiplied": DepthwiseCase.of(
        18, (1, 11, 12), 11, 3, (1, 5, 5), padding=_pad_image(2), activation="elu"
    ),
    "one map": DepthwiseCase.of(
        19, (1, 20, 19), 1, 8, (1, 5, 5), activation="leaky_relu"
    ),
    "multiplied, whole vectors": DepthwiseCase.of(
        3, (1, 12, 11), 64, 2, (1, 3, 3), padding=_pad_image(2), dilation=(1, 2, 2),
        activation="tanh",
    ),
    "signal": DepthwiseCase.of(
        67, (1, 1, 60), 21, 2, (1, 1, 9), stride=(1, 1, 2), activation="softplus"
    ),
    "volume": DepthwiseCase.of(
        4, (7, 9, 8), 18, 1, (3, 3, 2), padding=((1, 1), (1, 0), (0, 1)),
        activation="logistic",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class GroupPoolCase:
    """One geometry of a max pooling with windows of several sizes."""

    n: int
    size: tuple
    channels: int
    pool_sizes: tuple
    stride: tuple

    @property
    def input_shape(self):
        return (self.n, *self.size, self.channels)

    @property
    def output_shape(self):
        size = (-(-s // step) for s, step in zip(self.size, self.stride, strict=True))
        return (self.n, *size, self.channels)

    @property
    def options(self):
        return np.array(self.pool_sizes, np.int64).reshape(-1, 2), self.stride


GROUP_POOL_CASES = {
    "one group": GroupPoolCase(19, (14, 14), 16, ((2, 2),), (2, 2)),
    "growing": GroupPoolCase(5, (17, 15), 66, ((1, 1), (3, 3), (5, 5)), (2, 2)),
    "rectangular": GroupPoolCase(3, (9, 20), 70, ((1, 8), (6, 2)), (3, 1)),
    "one pixel apart": GroupPoolCase(19, (11, 12), 8, ((2, 2), (7, 7)), (1, 1)),
}

# m, channels, samples with a weight (or None), activation: one row more than a block of
# sums, less than one block, several blocks, and enough to do for several threads.
BATCHNORM_CASES = {
    "one block and a row": (513, 33, None, "relu"),
    "less than a block": (500, 67, 20, "tanh"),
    "several blocks": (2052, 19, 19, "elu"),
    "one map": (20_000, 1, 40, "softplus"),
    "many maps": (70, 300, 70, "identity"),
}

# m, channels, size, alpha, beta, bias
RESPONSE_NORM_CASES = {
    "alexnet": (700, 96, 5, 1e-4, 0.75, 2.0),
    "even": (513, 33, 4, 0.5, 0.5, 1.0),
    "all maps": (1100, 16, 40, 0.9, 1.2, 0.5),
    "one map": (17_000, 1, 1, 1.0, 0.75, 1.0),
}

# n, height, width, channels, factors
UPSAMPLE_CASES = {
    "double": (7, 9, 8, 16, (2, 2)),
    "unequal": (3, 7, 10, 35, (3, 2)),
    "one map": (19, 14, 14, 1, (2, 4)),
    "one pixel": (19, 1, 1, 33, (5, 6)),
}

# n, height, width, channels
RESAMPLE_CASES = {
    "mnist": (19, 28, 28, 1),
    "colour": (9, 32, 31, 3),
    "many maps": (7, 9, 20, 35),
    "one pixel": (40, 1, 1, 2),
}

# n, length, heads, width of a head: more positions than a block of rows, more channels
# than a panel, more terms than a sum takes at a time.
ATTENTION_CASES = {
    "image": (3, 64, 4, 17),
    "long": (2, 130, 2, 33),
    "one head": (19, 49, 1, 70),
    "wide": (2, 20, 1, 300),
    "narrow": (5, 70, 9, 3),
    "one position": (19, 1, 3, 8),
}

# n, inputs, units, activation
DENSE_CASES = {
    "one": (1, 300, 130, "relu"),
    "few": (5, 300, 130, "tanh"),
    "many": (67, 300, 130, "elu"),
    "lenet": (19, 400, 120, "relu"),
    "head": (130, 84, 10, "identity"),
    "single-unit": (33, 200, 1, "logistic"),
    "single-input": (18, 1, 70, "softplus"),
}


@st.composite
def _conv_axis(draw, largest_kernel, largest_slack):
    """Size, kernel, stride, padding and dilation along one axis."""
    kernel = draw(st.integers(1, largest_kernel))
    dilation = draw(st.integers(1, 2 if kernel > 1 else 1))
    extent = dilation * (kernel - 1) + 1
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    # No slack: the filter is as large as the padded map.
    slack = draw(st.integers(0, largest_slack))
    size = max(1, extent - sum(padding)) + slack
    stride = draw(st.integers(1, extent + 2))
    return size, kernel, stride, padding, dilation


# Several images in a block, blocks within an image, more channels than one step of a sum,
# more filters than a panel.
WINOGRAD_CASES = {
    "vgg": CONV_CASES["vgg"],
    "unpadded": ConvCase(19, (1, 26, 26), 32, 64, (1, 3, 3), activation="relu"),
    "resnet": ConvCase(
        19, (1, 32, 32), 16, 16, (1, 3, 3), padding=_pad_image(1), use_bias=False
    ),
    "wide": ConvCase(
        19, (1, 30, 5), 7, 9, (1, 3, 3), padding=((0, 0), (2, 1), (0, 2)), activation="tanh"
    ),
    "deep": ConvCase(
        21, (1, 4, 4), 210, 70, (1, 3, 3), padding=_pad_image(1), activation="relu"
    ),
}  # fmt: skip


WINOGRAD_POOL_CASES = {
    name: ConvPoolCase(**vars(case)) for name, case in WINOGRAD_CASES.items()
}  # fmt: skip
CONV_POOL_CASES = {
    "first layer": ConvPoolCase(
        19, (1, 28, 28), 1, 6, (1, 5, 5), padding=_pad_image(2), activation="relu"
    ),
    "second layer": ConvPoolCase(19, (1, 14, 14), 6, 16, (1, 5, 5), activation="relu"),
    "long rows": ConvPoolCase(
        17, (1, 9, 300), 3, 21, (1, 3, 3), stride=(1, 2, 2), activation="tanh"
    ),
    "few filters": ConvPoolCase(
        21, (2, 19, 37), 3, 5, (1, 3, 3), stride=(1, 1, 2), padding=((1, 0), (2, 1), (0, 3))
    ),
    "signal": ConvPoolCase(17, (1, 1, 90), 3, 20, (1, 1, 5), pool_size=(1, 1, 4)),
    "volume": ConvPoolCase(
        3, (7, 8, 9), 3, 9, (2, 3, 2), padding=((1, 0), (1, 1), (0, 1)), pool_size=(2, 3, 2),
        activation="leaky_relu",
    ),
    "tiny": ConvPoolCase(
        21, (1, 4, 4), 16, 35, (1, 3, 3), padding=_pad_image(1), activation="elu"
    ),
    # Few filters again: made wide, they would have more taps than one tile sums at once.
    "many taps": ConvPoolCase(15, (1, 32, 32), 7, 4, (1, 5, 5), padding=_pad_image(2)),
    # Images with fewer numbers than a vector, so that it reaches over several.
    "single pixels": ConvPoolCase(32, (1, 2, 2), 1, 3, (1, 1, 1)),
    # Of a single image, the order of planes must be that of a block of many.
    "small volume": ConvPoolCase(
        19, (3, 3, 3), 2, 5, (3, 3, 3), padding=((1, 1), (1, 1), (1, 1)), pool_size=(1, 2, 2)
    ),
    "tall": ConvPoolCase(
        18, (1, 20, 9), 2, 17, (1, 13, 2), pool_size=(1, 3, 1), use_bias=False
    ),
}  # fmt: skip


@st.composite
def conv_pool_cases(draw):
    """Convolutions of rank 1 to 3, with any windows that fit."""
    case = draw(conv_cases())
    case = ConvPoolCase(
        case.n, case.size, draw(st.integers(1, 20)), draw(st.integers(1, 20)), case.kernel,
        stride=case.stride, padding=case.padding, activation=case.activation,
        use_bias=case.use_bias,
    )  # fmt: skip
    sizes = case.maps_shape[1:4]
    return replace(case, pool_size=tuple(draw(st.integers(1, min(s, 4))) for s in sizes))


@st.composite
def winograd_pool_cases(draw):
    """Convolutions with 3 x 3 filters and stride 1, with windows that divide tiles of 4 x 4."""
    case = draw(winograd_cases().filter(lambda case: min(case.output_shape[2:4]) > 1))
    windows = st.sampled_from([(2, 2), (1, 2), (2, 1)])
    return ConvPoolCase(**vars(case), pool_size=(1, *draw(windows)))


@st.composite
def conv_cases(draw):
    """Convolutions of rank 1 to 3, over every edge that a geometry can have."""
    rank = draw(st.integers(1, 3))
    axis = _conv_axis(largest_kernel=6 - rank, largest_slack=8 - 2 * rank)
    axes = [(1, 1, 1, (0, 0), 1)] * (3 - rank) + [draw(axis) for _ in range(rank)]
    size, kernel, stride, padding, dilation = zip(*axes, strict=True)
    groups = draw(st.sampled_from([1, 1, 2, 3, 8, 35]))
    return ConvCase(
        n=draw(st.integers(1, 4) | st.integers(8, 19)),
        size=size,
        channels=groups * draw(st.integers(1, 35 // groups)),
        filters=groups * draw(st.integers(1, 35 // groups)),
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        activation=draw(st.sampled_from(FUSED_ACTIVATIONS)),
        use_bias=draw(st.booleans()),
    )


@st.composite
def winograd_cases(draw):
    """Convolutions with 3 x 3 filters and stride 1, and any padding up to 2."""
    padding, size = [], []
    for _ in range(2):
        pads = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
        padding.append(pads)
        size.append(draw(st.integers(max(1, 3 - sum(pads)), 14)))
    return ConvCase(
        n=draw(st.integers(1, 5)),
        size=(1, *size),
        channels=draw(st.integers(1, 35)),
        filters=draw(st.integers(1, 35)),
        kernel=(1, 3, 3),
        padding=((0, 0), *padding),
        activation=draw(st.sampled_from(FUSED_ACTIVATIONS)),
        use_bias=draw(st.booleans()),
    )


@st.composite
def depthwise_cases(draw):
    """Depth-wise convolutions of rank 1 to 3, with up to 4 filters a map."""
    case = draw(conv_cases())
    channels = draw(st.integers(1, 35))
    return DepthwiseCase.of(
        case.n, case.size, channels, draw(st.integers(1, 4)), case.kernel,
        stride=case.stride, padding=case.padding, dilation=case.dilation,
        activation=case.activation, use_bias=case.use_bias,
    )  # fmt: skip


@st.composite
def _pool_axis(draw, largest_slack):
    """Size, pool size, stride and padding along one axis."""
    pool = draw(st.integers(1, 4))
    padding = draw(st.tuples(st.integers(0, pool - 1), st.integers(0, pool - 1)))
    size = max(1, pool - sum(padding)) + draw(st.integers(0, largest_slack))
    return size, pool, draw(st.integers(1, pool + 2)), padding


@st.composite
def pool_cases(draw):
    """Poolings of rank 1 to 3, over every edge that a geometry can have."""
    rank = draw(st.integers(1, 3))
    axis = _pool_axis(largest_slack=8 - 2 * rank)
    axes = [(1, 1, 1, (0, 0))] * (3 - rank) + [draw(axis) for _ in range(rank)]
    size, pool_size, stride, padding = zip(*axes, strict=True)
    channels = draw(st.integers(1, 35))
    n = draw(st.integers(1, 4))
    return PoolCase(n, size, channels, pool_size, stride, padding)


@st.composite
def group_pool_cases(draw):
    """Poolings whose windows are smaller and larger than stride and map."""
    pool_sizes = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4)
    pool_sizes = tuple(draw(pool_sizes))
    return GroupPoolCase(
        n=draw(st.integers(1, 4)),
        size=draw(st.tuples(st.integers(1, 9), st.integers(1, 9))),
        channels=len(pool_sizes) * draw(st.integers(1, 9)),
        pool_sizes=pool_sizes,
        stride=draw(st.tuples(st.integers(1, 6), st.integers(1, 6))),
    )


# ---------------------------------------------------------------------------
# One good call of every kernel, and what makes it bad
# ---------------------------------------------------------------------------


def named(**values):
    """A dict, written as the arguments of a call are."""
    return values


@dataclass(frozen=True)
class Array:
    """An argument that is an array, by the letters of its axes or expressions of them."""

    axes: str
    dtype: str | None = None  # None: the dtype of the kernels
    values: tuple | list | float | None = None  # a number is that of all
    writeable: bool = False
    is_read: bool = True

    def shape(self, sizes):
        return tuple(eval(axis, {}, sizes) for axis in self.axes.split())

    def make(self, sizes, dtype):
        shape = self.shape(sizes)
        if isinstance(self.values, float):
            array = np.full(shape, self.values, dtype=self.dtype)
        elif self.values is not None:
            array = np.array(self.values, dtype=self.dtype)
        elif self.dtype is not None:
            array = np.zeros(shape, dtype=self.dtype)
        else:
            array = np.full(shape, 0.5, dtype=dtype)
        array.flags.writeable = self.writeable
        return array


IN = Array
OUT = partial(Array, writeable=True, is_read=False)
INOUT = partial(Array, writeable=True)


@dataclass(frozen=True)
class Call:
    """A call of a kernel: the sizes of the axes, and the arguments in their order.

    `free` are the axes that no other array knows: they may have any length. `optional`
    are the arrays that may be None. `needs_batch`: without a sample nothing is defined.
    """

    sizes: dict
    arguments: dict
    free: tuple = ()
    optional: tuple = ()
    needs_batch: bool = False

    def make(self, dtype):
        """The arguments, by name."""
        return {
            name: value.make(self.sizes, dtype) if isinstance(value, Array) else value
            for name, value in self.arguments.items()
        }

    def replace(self, **changes):
        """The same call with other sizes, arrays or options."""
        sizes = {key: changes.pop(key) for key in list(changes) if key in self.sizes}
        assert not changes.keys() - self.arguments.keys()
        return replace(
            self,
            sizes={**self.sizes, **sizes},
            arguments={**self.arguments, **changes},
        )

    @property
    def arrays(self):
        return {k: v for k, v in self.arguments.items() if isinstance(v, Array)}


# Batches of all samples: samples, numbers of each, and which are taken.
ROW_CASES = {
    "images": named(
        N=512, P=784, m=128, rows=IN("m", "int64", [(37 * i) % 512 for i in range(128)])
    ),
}

_CONV_SIZES = named(n=2, D=3, H=6, W=7, C=4, KD=2, KH=3, KW=2, c=2, F=6, OD=4, OH=5, OW=7)
_CONV_OPTIONS = named(
    stride=ONES,
    padding=((1, 1), (1, 0), (0, 1)),
    dilation=ONES,
    groups=2,
    activation="relu",
    alpha=0.0,
    n_threads=2,
)
_ROW_SIZES = named(m=3, N=5, P=7)
_WINOGRAD_SIZES = named(n=2, H=6, W=7, C=4, three=3, F=6, OH=6, OW=5)
_WINOGRAD_OPTIONS = named(
    padding=((2, 0), (0, 0)),
    m=4,
    input_activation="tanh",
    input_alpha=0.0,
    activation="relu",
    alpha=0.0,
    n_threads=2,
)
_CONV_POOL_SIZES = named(n=2, D=3, H=6, W=7, C=4, KD=2, KH=3, KW=2, F=6, OD=2, OH=2, OW=3)
_CONV_POOL_OPTIONS = named(
    stride=ONES,
    padding=((1, 1), (1, 0), (0, 1)),
    pool_size=(2, 2, 2),
    activation="relu",
    alpha=0.0,
    n_threads=2,
)
#: Of 4 x 5 x 7 positions, the first in each window.
_FIRST_PLACES = [[[0, 2, 4], [14, 16, 18]], [[70, 72, 74], [84, 86, 88]]]
_CONV_POOL_INDEX = np.broadcast_to(np.array(_FIRST_PLACES)[..., None], (2, 2, 2, 3, 6)).tolist()
#: And of 6 x 5 positions.
_FIRST_OF_PLANE = [[0, 2], [10, 12], [20, 22]]
_WINOGRAD_POOL_INDEX = np.broadcast_to(np.array(_FIRST_OF_PLANE)[..., None], (2, 3, 2, 6)).tolist()
_WINOGRAD_POOL_SIZES = _WINOGRAD_SIZES | named(OH=3, OW=2)
_WINOGRAD_POOL_OPTIONS = {
    **named(padding=((2, 0), (0, 0)), m=4, pool_size=(2, 2)),
    **{k: v for k, v in _WINOGRAD_OPTIONS.items() if k not in ("padding", "m")},
}
_DENSE_SIZES = named(n=3, I=5, U=4)
_DENSE_OPTIONS = named(activation="tanh", alpha=0.0, n_threads=2)
_POOL_SIZES = named(n=2, D=3, H=5, W=6, C=4, OD=3, OH=5, OW=7)
_POOL_OPTIONS = named(
    pool_size=(2, 2, 2), stride=ONES, padding=((0, 1), (1, 0), (1, 1)), n_threads=2
)
_GLOBAL_SIZES = named(n=2, P=5, C=4)
_DEPTHWISE_SIZES = _CONV_SIZES | named(F=8, one=1)
_DEPTHWISE_OPTIONS = {k: v for k, v in _CONV_OPTIONS.items() if k != "groups"}
_LPPOOL_OPTIONS = {
    **{k: v for k, v in _POOL_OPTIONS.items() if k != "n_threads"},
    **named(p=3.0, n_threads=2),
}
_BATCHNORM_SIZES = named(m=8, C=5, n=2, three=3, parts=4)
_RESPONSE_OPTIONS = named(size=3, alpha=0.1, beta=0.75, bias=1.0, n_threads=2)
_UPSAMPLE_SIZES = named(n=2, H=3, W=4, C=5, OH=6, OW=12)
_RESAMPLE_SIZES = named(n=2, H=4, W=5, C=3, two=2, three=3)
_ATTENTION_SIZES = named(n=2, L=6, heads=3, d=4)
_SEGMENTS = IN("s two", "int64", ((0, 5), (7, 11)))

GOOD_CALLS = {
    "conv_forward": Call(
        _CONV_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW c F"), b=IN("F"), Y=OUT("n OD OH OW F"),
            **_CONV_OPTIONS,
        ),
        optional=("b",),
    ),
    "conv_backward": Call(
        _CONV_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW c F"), Y=IN("n OD OH OW F"),
            dY=IN("n OD OH OW F"), dX=OUT("n D H W C"), dW=OUT("KD KH KW c F"),
            db=OUT("F"), **_CONV_OPTIONS,
        ),
        optional=("dX", "dW", "db"),
    ),
    "winograd_forward": Call(
        _WINOGRAD_SIZES,
        named(
            X=IN("n H W C"), affine=IN("three C"), W=IN("three three C F"), b=IN("F"),
            Y=OUT("n OH OW F"), moments=OUT("n*((OH+3)//4) 1+2*F", "float64"),
            addend=IN("n OH OW F"), **_WINOGRAD_OPTIONS,
        ),
        optional=("b", "moments", "addend"),
    ),
    "winograd_backward": Call(
        _WINOGRAD_SIZES,
        named(
            X=IN("n H W C"), affine=IN("three C"), W=IN("three three C F"), Y=IN("n OH OW F"),
            dY=IN("n OH OW F"), addend=IN("n H W C"), normed=IN("n H W C"), centre=IN("C"),
            dX=OUT("n H W C"), sums=OUT("n*((H+3)//4) 2*C", "float64"), dW=OUT("three three C F"),
            db=OUT("F"), **_WINOGRAD_OPTIONS,
        ),
        optional=("addend", "dW", "db"),
    ),
    "conv_pool_forward": Call(
        _CONV_POOL_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW C F"), b=IN("F"), Y=OUT("n OD OH OW F"),
            index=OUT("n OD OH OW F", "int32"), **_CONV_POOL_OPTIONS,
        ),
        optional=("b", "index"),
        free=("D", "H", "W", "KD", "KH", "KW"),  # windows may leave out pixels
    ),
    "conv_pool_backward": Call(
        _CONV_POOL_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW C F"), Y=IN("n OD OH OW F"),
            index=IN("n OD OH OW F", "int32", _CONV_POOL_INDEX), dY=IN("n OD OH OW F"),
            dX=OUT("n D H W C"), dW=OUT("KD KH KW C F"), db=OUT("F"), **_CONV_POOL_OPTIONS,
        ),
        optional=("dX", "dW", "db"),
    ),
    "winograd_pool_forward": Call(
        _WINOGRAD_POOL_SIZES,
        named(
            X=IN("n H W C"), affine=IN("three C"), W=IN("three three C F"), b=IN("F"),
            Y=OUT("n OH OW F"), index=OUT("n OH OW F", "int32"), **_WINOGRAD_POOL_OPTIONS,
        ),
        optional=("b", "index"),
        free=("H", "W"),
    ),
    "winograd_pool_backward": Call(
        _WINOGRAD_POOL_SIZES,
        named(
            X=IN("n H W C"), affine=IN("three C"), W=IN("three three C F"), Y=IN("n OH OW F"),
            index=IN("n OH OW F", "int32", _WINOGRAD_POOL_INDEX), dY=IN("n OH OW F"),
            addend=IN("n H W C"),
            normed=IN("n H W C"), centre=IN("C"), dX=OUT("n H W C"),
            sums=OUT("n*((H+3)//4) 2*C", "float64"), dW=OUT("three three C F"), db=OUT("F"),
            **_WINOGRAD_POOL_OPTIONS,
        ),
        optional=("addend", "dW", "db"),
    ),
    "dense_forward": Call(
        _DENSE_SIZES,
        named(X=IN("n I"), W=IN("I U"), b=IN("U"), Y=OUT("n U"), **_DENSE_OPTIONS),
        optional=("b",),
    ),
    "dense_backward": Call(
        _DENSE_SIZES,
        named(
            X=IN("n I"), W=IN("I U"), Y=IN("n U"), dY=IN("n U"), dX=OUT("n I"),
            dW=OUT("I U"), db=OUT("U"), **_DENSE_OPTIONS,
        ),
        optional=("dX", "dW", "db"),
    ),
    "depthwise_forward": Call(
        _DEPTHWISE_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW one F"), b=IN("F"),
            Y=OUT("n OD OH OW F"), **_DEPTHWISE_OPTIONS,
        ),
        optional=("b",),
    ),
    "depthwise_backward": Call(
        _DEPTHWISE_SIZES,
        named(
            X=IN("n D H W C"), W=IN("KD KH KW one F"), Y=IN("n OD OH OW F"),
            dY=IN("n OD OH OW F"), dX=OUT("n D H W C"), dW=OUT("KD KH KW one F"),
            db=OUT("F"), **_DEPTHWISE_OPTIONS,
        ),
        optional=("dX", "dW", "db"),
    ),
    "maxpool_forward": Call(
        _POOL_SIZES,
        named(
            X=IN("n D H W C"), Y=OUT("n OD OH OW C"),
            index=OUT("n OD OH OW C", "int32"), **_POOL_OPTIONS,
        ),
        optional=("index",),
    ),
    "maxpool_backward": Call(
        _POOL_SIZES,
        named(
            dY=IN("n OD OH OW C"), index=IN("n OD OH OW C", "int32"),
            dX=OUT("n D H W C"), n_threads=2,
        ),
        free=("D", "H", "W"),
    ),
    "avgpool_forward": Call(
        _POOL_SIZES,
        named(X=IN("n D H W C"), Y=OUT("n OD OH OW C"), **_POOL_OPTIONS),
    ),
    "avgpool_backward": Call(
        _POOL_SIZES,
        named(dY=IN("n OD OH OW C"), dX=OUT("n D H W C"), **_POOL_OPTIONS),
    ),
    "globalmax_forward": Call(
        _GLOBAL_SIZES,
        named(X=IN("n P C"), Y=OUT("n C"), index=OUT("n C", "int32"), n_threads=2),
        free=("P",),
        optional=("index",),
    ),
    "globalmax_backward": Call(
        _GLOBAL_SIZES,
        named(dY=IN("n C"), index=IN("n C", "int32"), dX=OUT("n P C"), n_threads=2),
        free=("P",),
    ),
    "globalavg_forward": Call(
        _GLOBAL_SIZES, named(X=IN("n P C"), Y=OUT("n C"), n_threads=2), free=("P",)
    ),
    "globalavg_backward": Call(
        _GLOBAL_SIZES, named(dY=IN("n C"), dX=OUT("n P C"), n_threads=2), free=("P",)
    ),
    "lppool_forward": Call(
        _POOL_SIZES,
        named(X=IN("n D H W C"), Y=OUT("n OD OH OW C"), **_LPPOOL_OPTIONS),
    ),
    "lppool_backward": Call(
        _POOL_SIZES,
        named(
            X=IN("n D H W C"), Y=IN("n OD OH OW C"), dY=IN("n OD OH OW C"),
            dX=OUT("n D H W C"), **_LPPOOL_OPTIONS,
        ),
    ),
    "group_maxpool_forward": Call(
        named(n=2, H=6, W=9, C=4, OH=3, OW=3, groups=2, two=2),
        named(
            X=IN("n H W C"), Y=OUT("n OH OW C"), index=OUT("n OH OW C", "int32"),
            pool_sizes=IN("groups two", "int64", ((2, 1), (3, 5))), stride=(2, 3),
            n_threads=2,
        ),
        optional=("index",),
    ),
    "activation_forward": Call(
        named(m=9),
        named(X=IN("m"), Y=OUT("m"), activation="gelu", alpha=0.0, n_threads=2),
    ),
    "activation_backward": Call(
        named(m=9),
        named(
            S=IN("m"), dY=IN("m"), dX=OUT("m"), activation="gelu", alpha=0.0,
            n_threads=2,
        ),
    ),
    "softmax_forward": Call(
        named(m=3, C=5), named(X=IN("m C"), Y=OUT("m C"), n_threads=2)
    ),
    "softmax_backward": Call(
        named(m=3, C=5), named(Y=IN("m C"), dY=IN("m C"), dX=OUT("m C"), n_threads=2)
    ),
    "channel_affine": Call(
        named(m=3, C=5),
        named(X=IN("m C"), scale=IN("C"), shift=IN("C"), Y=OUT("m C"), n_threads=2),
        optional=("shift",),
    ),
    "standardize": Call(
        named(m=3, C=5),
        named(
            X=IN("m C"),
            mean=IN("C", "float64"),
            deviation=IN("C", "float64", 2.0),
            Y=OUT("m C"),
            n_threads=2,
        ),
    ),
    "centred_affine": Call(
        named(m=3, C=5),
        named(
            X=IN("m C", "float64"), centre=IN("C", "float64"), scale=IN("C", "float64"),
            shift=IN("C", "float64"), Y=OUT("m C"), n_threads=2,
        ),
    ),
    "batchnorm_statistics": Call(
        _BATCHNORM_SIZES,
        named(
            X=IN("m C"), weight=IN("n"), scale=IN("C"), offset=IN("C"),
            moments=IN("parts 1+2*C", "float64", [[2.0, *5 * [0.5], *5 * [0.0]]] * 4),
            mean=OUT("C", "float64"), variance=OUT("C", "float64"), affine=OUT("three C"),
            epsilon=0.1, n_threads=2,
        ),
        free=("parts",),
        optional=("weight",),
        needs_batch=True,
    ),
    "batchnorm_forward": Call(
        named(m=8, C=5, three=3),
        named(
            X=IN("m C"), affine=IN("three C"), Y=OUT("m C"), addend=IN("m C"),
            activation="relu", alpha=0.0, n_threads=2,
        ),
        optional=("addend",),
    ),
    "batchnorm_backward": Call(
        _BATCHNORM_SIZES,
        named(
            X=IN("m C"), weight=IN("n"), scale=IN("C"), mean=IN("C", "float64"),
            variance=IN("C", "float64"), affine=IN("three C"), dY=IN("m C"),
            sums=IN("parts 2*C", "float64"), dX=OUT("m C"), dscale=OUT("C"), doffset=OUT("C"),
            epsilon=0.1, activation="relu", alpha=0.0, n_threads=2,
        ),
        free=("parts",),
        optional=("weight", "dscale", "doffset"),
        needs_batch=True,
    ),
    "response_norm_forward": Call(
        named(m=3, C=5), named(X=IN("m C"), Y=OUT("m C"), **_RESPONSE_OPTIONS)
    ),
    "response_norm_backward": Call(
        named(m=3, C=5),
        named(X=IN("m C"), dY=IN("m C"), dX=OUT("m C"), **_RESPONSE_OPTIONS),
    ),
    "upsample_forward": Call(
        _UPSAMPLE_SIZES,
        named(X=IN("n H W C"), Y=OUT("n OH OW C"), bilinear=True, n_threads=2),
    ),
    "upsample_backward": Call(
        _UPSAMPLE_SIZES,
        named(dY=IN("n OH OW C"), dX=OUT("n H W C"), bilinear=True, n_threads=2),
    ),
    "take_rows": Call(
        _ROW_SIZES,
        named(X=IN("N P"), rows=IN("m", "int64", (4, 0, 4)), Y=OUT("m P"), n_threads=2),
        free=("N",),
    ),
    "take_bytes": Call(
        _ROW_SIZES,
        named(
            X=IN("N P", "uint8"), rows=IN("m", "int64", (4, 0, 4)), Y=OUT("m P"), n_threads=2
        ),
        free=("N",),
    ),
    "affine_resample": Call(
        _RESAMPLE_SIZES,
        named(
            X=IN("n H W C"), matrices=IN("n two three", "float64"), Y=OUT("n H W C"),
            fill_value=0.25, n_threads=2,
        ),
    ),
    "affine_resample_nearest": Call(
        _RESAMPLE_SIZES,
        named(
            X=IN("n H W C", "int64"), matrices=IN("n two three", "float64"),
            Y=OUT("n H W C", "int64"), n_threads=2,
        ),
    ),
    "add": Call(
        named(m=9),
        named(A=IN("m"), B=IN("m"), Y=OUT("m"), activation="tanh", alpha=0.0, n_threads=2),
    ),
    "copy_channels": Call(
        named(m=3, C=5, F=7),
        named(
            X=IN("m C"), Y=INOUT("m F"), x_start=1, y_start=3, width=4,
            accumulate=True, n_threads=2,
        ),
        free=("C", "F"),
    ),
    "attention_forward": Call(
        _ATTENTION_SIZES,
        named(
            Q=IN("n L heads d"), K=IN("n L heads d"), V=IN("n L heads d"),
            bias=IN("heads L L"), P=OUT("n heads L L"), Y=OUT("n L heads d"),
            n_threads=2,
        ),
        optional=("bias",),
    ),
    "attention_backward": Call(
        _ATTENTION_SIZES,
        named(
            Q=IN("n L heads d"), K=IN("n L heads d"), V=IN("n L heads d"),
            P=IN("n heads L L"), dY=IN("n L heads d"), dS=OUT("n heads L L"),
            dQ=OUT("n L heads d"), dK=OUT("n L heads d"), dV=OUT("n L heads d"),
            dbias=OUT("heads L L"), n_threads=2,
        ),
        optional=("dbias",),
    ),
    "dropout": Call(
        named(m=9), named(X=IN("m"), Y=OUT("m"), rate=0.5, seed=1, n_threads=2)
    ),
    "softmax_cross_entropy": Call(
        named(m=3, K=5),
        named(
            Z=IN("m K"), target=IN("m", "int64"), weight=IN("m"), dZ=OUT("m K"),
            n_threads=2,
        ),
        optional=("weight", "dZ"),
    ),
    "logistic_cross_entropy": Call(
        named(m=3, K=5),
        named(
            Z=IN("m K"), target=IN("m K"), weight=IN("m K"), dZ=OUT("m K"), n_threads=2
        ),
        optional=("weight", "dZ"),
    ),
    "outline_loss": Call(
        named(n=3, eight=8),
        named(
            Z=IN("n eight"),
            boxes=IN("n eight"),
            weight=IN("n"),
            dZ=OUT("n eight"),
            n_threads=2,
        ),
        optional=("dZ",),
    ),
    "global_norm": Call(
        named(p=11, s=2, two=2),
        named(x=IN("p"), segments=_SEGMENTS, n_threads=2),
        free=("p", "s"),
    ),
    "sgd_step": Call(
        named(p=11, s=2, two=2),
        named(
            params=INOUT("p"), grads=IN("p"), velocity=INOUT("p"), segments=_SEGMENTS,
            decay=IN("s"), learning_rate=0.1, scale=0.5, momentum=0.0, nesterov=False,
            n_threads=2,
        ),
        optional=("velocity",),
    ),
    "adagrad_step": Call(
        named(p=11, s=2, two=2),
        named(
            params=INOUT("p"), grads=IN("p"), square=INOUT("p"), segments=_SEGMENTS,
            decay=IN("s"), learning_rate=0.1, scale=0.5, epsilon=1e-8, n_threads=2,
        ),
    ),
    "rmsprop_step": Call(
        named(p=11, s=2, two=2),
        named(
            params=INOUT("p"), grads=IN("p"), square=INOUT("p"), mean=INOUT("p"),
            velocity=INOUT("p"), segments=_SEGMENTS, decay=IN("s"), learning_rate=0.1,
            scale=0.5, alpha=0.9, epsilon=1e-8, momentum=0.0, n_threads=2,
        ),
        optional=("velocity",),
    ),
    "adam_step": Call(
        named(p=11, s=2, two=2),
        named(
            params=INOUT("p"), grads=IN("p"), m=INOUT("p"), v=INOUT("p"),
            segments=_SEGMENTS, decay=IN("s"), learning_rate=0.1, scale=0.5, beta1=0.9,
            beta2=0.999, epsilon=1e-8, step=1, decoupled=False, n_threads=2,
        ),
    ),
}  # fmt: skip

# Calls whose arrays agree with one another but not with the geometry, or whose numbers
# do not fit the arrays: kernel, what is wrong, the changes to the good call.
BAD_CALLS = [
    *(
        (kernel, *bad)
        for kernel in (
            "conv_forward", "conv_backward", "depthwise_forward", "depthwise_backward"
        )
        for bad in (
            ("output too low", named(OH=4)),
            ("output too wide", named(OW=8)),
            ("output too deep", named(OD=5)),
            ("filter larger than the padded map", named(KH=8, OH=1)),
            ("filter larger than the padded map, empty output", named(KH=8, OH=0)),
            ("dilated filter larger than the map", named(dilation=(1, 4, 1), OH=1)),
            ("output of another stride", named(stride=(1, 2, 1))),
            ("output of another dilation", named(dilation=(2, 1, 1))),
            ("output of another padding", named(padding=((1, 1), (1, 1), (0, 1)))),
            ("negative padding", named(padding=((1, 1), (1, 0), (2, -1)))),
            ("stride 0", named(stride=(1, 0, 1))),
            ("negative stride", named(stride=(1, 1, -1))),
            ("dilation 0", named(dilation=(0, 1, 1))),
            ("input maps that do not divide the output maps", named(C=5)),
            ("output maps that are no multiple", named(F=7)),
            ("no input maps", named(C=0)),
            ("no filters", named(F=0)),
            ("an empty filter", named(KH=0, OH=8)),
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("conv_forward", "conv_backward")
        for bad in (
            ("groups 0", named(groups=0)),
            ("negative groups", named(groups=-2)),
            ("filters for another number of groups", named(groups=1)),
            ("filters for more maps", named(c=4)),
            ("no input maps a group", named(C=0, c=0)),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("winograd_forward", "winograd_backward")
        for bad in (
            ("tiles of another size", named(m=3)),
            ("larger filters", named(three=4, OH=5, OW=4)),
            ("output too low", named(OH=5)),
            ("output too wide", named(OW=6)),
            ("too much padding", named(padding=((3, 0), (0, 0)), OH=7)),
            ("negative padding", named(padding=((2, 0), (1, -1)))),
            ("filter larger than the padded map", named(H=1, OH=0, padding=((0, 1), (0, 0)))),
            ("no input maps", named(C=0)),
            ("no filters", named(F=0)),
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("conv_pool_forward", "conv_pool_backward")
        for bad in (
            ("output too low", named(OH=3)),
            ("output too wide", named(OW=4)),
            ("output too deep", named(OD=3)),
            ("filter larger than the padded map", named(KH=8)),
            ("windows larger than the map", named(pool_size=(2, 6, 2), OH=1)),
            ("windows of another size", named(pool_size=(2, 3, 2))),
            ("windows of size 0", named(pool_size=(2, 0, 2))),
            ("output of another stride", named(stride=(1, 2, 1))),
            ("negative padding", named(padding=((1, 1), (1, 0), (2, -1)))),
            ("stride 0", named(stride=(1, 0, 1))),
            ("negative stride", named(stride=(1, 1, -1))),
            ("no input maps", named(C=0)),
            ("no filters", named(F=0)),
            ("an empty filter", named(KH=0)),
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("winograd_pool_forward", "winograd_pool_backward")
        for bad in (
            ("tiles of another size", named(m=3)),
            ("larger filters", named(three=4, OH=2)),
            ("output too low", named(OH=2)),
            ("output too wide", named(OW=3)),
            ("windows over the bounds of tiles", named(pool_size=(3, 2), OH=2)),
            ("windows of size 0", named(pool_size=(0, 2))),
            ("an index without windows", named(pool_size=(1, 1), OH=6, OW=5)),
            ("too much padding", named(padding=((3, 0), (0, 0)))),
            ("no input maps", named(C=0)),
            ("no filters", named(F=0)),
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        (kernel, "filters over two maps", named(one=2))
        for kernel in ("depthwise_forward", "depthwise_backward")
    ),
    *(
        (kernel, *bad)
        for kernel in ("dense_forward", "dense_backward")
        for bad in (
            ("no inputs", named(I=0)),
            ("no units", named(U=0)),
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in (
            "maxpool_forward", "avgpool_forward", "avgpool_backward",
            "lppool_forward", "lppool_backward",
        )
        for bad in (
            ("output too low", named(OH=4)),
            ("output too wide", named(OW=8)),
            ("output too deep", named(OD=4)),
            ("window larger than the padded map", named(pool_size=(2, 7, 2), OH=1)),
            ("window as large, no output", named(pool_size=(2, 7, 2), OH=0)),
            ("output of another stride", named(stride=(1, 1, 2))),
            ("padding before as large", named(padding=((0, 1), (2, 0), (1, 1)), OH=6)),
            ("padding after as large", named(padding=((0, 1), (1, 2), (1, 1)), OH=7)),
            ("negative padding", named(padding=((0, 1), (1, 0), (-1, 1)), OW=5)),
            ("stride 0", named(stride=(1, 0, 1))),
            ("negative stride", named(stride=(-1, 1, 1))),
            ("pool size 0", named(pool_size=(2, 0, 2), OH=7)),
            ("no pixels", named(H=0, padding=((0, 1), (1, 1), (1, 1)), OH=1)),
        )
    ),
    *(
        (kernel, "no pixels", named(P=0))
        for kernel in (
            "globalmax_forward", "globalmax_backward",
            "globalavg_forward", "globalavg_backward",
        )
    ),
    *(
        (kernel, "unknown activation", named(activation="swish"))
        for kernel in ("activation_forward", "activation_backward")
    ),
    *(
        (kernel, f"exponent {p}", named(p=p))
        for kernel in ("lppool_forward", "lppool_backward")
        for p in (0.5, 0.0, -2.0, float("nan"))
    ),
    *(
        ("group_maxpool_forward", *bad)
        for bad in (
            ("output too low", named(OH=2)),
            ("output too wide", named(OW=4)),
            ("output of another stride", named(stride=(3, 3))),
            ("stride 0", named(stride=(2, 0))),
            ("negative stride", named(stride=(-2, 3))),
            ("no pixels", named(H=0, OH=0)),
            ("no maps", named(C=0)),
            ("maps not divisible by the groups", named(C=5)),
            ("no groups", named(groups=0, pool_sizes=IN("groups two", "int64"))),
            (
                "pool size 0",
                named(pool_sizes=IN("groups two", "int64", ((2, 1), (3, 0)))),
            ),
            (
                "negative pool size",
                named(pool_sizes=IN("groups two", "int64", ((-2, 1), (3, 3)))),
            ),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("batchnorm_statistics", "batchnorm_backward")
        for bad in (
            ("no samples", named(m=0, n=0)),
            ("no rows", named(m=0)),
            ("no weights", named(n=0)),
            ("no maps", named(C=0)),
            ("rows that are no whole samples", named(n=3)),
            ("more weights than rows", named(n=16)),
        )
    ),
    ("batchnorm_statistics", "parts of half a sample", named(n=8)),
    ("batchnorm_statistics", "no parts", named(moments=IN("parts 1+2*C", "float64"), parts=0)),
    ("batchnorm_backward", "no parts", named(parts=0)),
    *(
        (kernel, *bad)
        for kernel in ("batchnorm_forward", "batchnorm_backward")
        for bad in (
            ("activation that needs its input", named(activation="gelu")),
            ("unknown activation", named(activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in (
            "winograd_forward", "winograd_backward", "winograd_pool_forward",
            "winograd_pool_backward",
        )
        for bad in (
            ("input's activation that needs its input", named(input_activation="gelu")),
            ("unknown activation of the input", named(input_activation="swish")),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("winograd_backward", "winograd_pool_backward")
        for bad in (
            ("sums of nothing", named(normed=None)),
            ("sums about nothing", named(centre=None)),
            ("no sums of a norm", named(sums=None)),
            ("sums of no gradient", named(dX=None)),
        )
    ),
    *(
        (kernel, f"a neighbourhood of {size}", named(size=size))
        for kernel in ("response_norm_forward", "response_norm_backward")
        for size in (0, -3)
    ),
    *(
        (kernel, *bad)
        for kernel in ("upsample_forward", "upsample_backward")
        for bad in (
            ("no multiple of the height", named(OH=7)),
            ("no multiple of the width", named(OW=10)),
            ("smaller", named(OH=2)),
            ("enlarged to nothing", named(OW=0)),
            ("no pixels", named(H=0, OH=0)),
            ("no maps", named(C=0)),
        )
    ),
    *(
        (kernel, f"row {row} of 5", named(rows=IN("m", "int64", (0, 4, row))))
        for kernel in ("take_rows", "take_bytes")
        for row in (5, -1)
    ),
    *(
        (kernel, f"no {what}", named(**{axis: 0}))
        for kernel in ("affine_resample", "affine_resample_nearest")
        for what, axis in (("rows", "H"), ("columns", "W"), ("maps", "C"))
    ),
    *(
        ("copy_channels", *bad)
        for bad in (
            ("beyond the last map of X", named(x_start=2)),
            ("beyond the last map of Y", named(y_start=4)),
            ("before the first map of X", named(x_start=-1)),
            ("before the first map of Y", named(y_start=-1)),
            ("wider than X", named(x_start=0, y_start=0, width=6)),
        )
    ),
    *(
        (kernel, *bad)
        for kernel in ("attention_forward", "attention_backward")
        for bad in (
            ("no positions", named(L=0)),
            ("no heads", named(heads=0)),
            ("no channels", named(d=0)),
        )
    ),
    ("softmax_forward", "no classes", named(C=0)),
    ("softmax_backward", "no classes", named(C=0)),
    ("dropout", "everything dropped", named(rate=1.0)),
    ("dropout", "negative rate", named(rate=-0.1)),
    ("dropout", "rate is not a number", named(rate=float("nan"))),
    ("softmax_cross_entropy", "no classes", named(K=0)),
    *(
        (
            "softmax_cross_entropy",
            f"target {label} of 5 classes",
            named(target=IN("m", "int64", (0, 4, label))),
        )
        for label in (5, -1)
    ),
    *(
        (kernel, f"segment {start}:{stop} of 11", named(segments=segments))
        for kernel in (
            "global_norm", "sgd_step", "adagrad_step", "rmsprop_step", "adam_step"
        )
        for start, stop in ((7, 12), (-1, 3), (7, 6), (12, 12))
        for segments in [IN("s two", "int64", ((0, 5), (start, stop)))]
    ),
    *(
        (kernel, "momentum without a velocity", named(momentum=0.9, velocity=None))
        for kernel in ("sgd_step", "rmsprop_step")
    ),
    ("adam_step", "a step before the first", named(step=0)),
]  # fmt: skip


def bad_arrays(call, dtype):
    """Every array of a call in every shape, dtype and layout that does not fit.

    Yields
    ------
    what, arguments : str, dict
    """
    other = np.float32 if dtype == np.float64 else np.float64
    # The twin serves both dtypes: it is another array that one has to agree with.
    n_real = sum(array.dtype is None for array in call.arrays.values())
    for name, array in call.arrays.items():
        good = call.make(dtype)[name]
        for i, axis in enumerate(array.axes.split()):
            if axis not in call.free:
                longer = np.concatenate([good, np.take(good, [-1], axis=i)], axis=i)
                yield f"{name} longer along {axis}", call.make(dtype) | {name: longer}
        yield f"{name} with one axis more", call.make(dtype) | {name: good[np.newaxis]}
        converted = good.astype("int16" if array.dtype or n_real == 1 else other)
        yield f"{name} of another dtype", call.make(dtype) | {name: converted}
        strided = np.repeat(good, 2, axis=-1)[..., ::2]
        yield f"{name} not contiguous", call.make(dtype) | {name: strided}
        if array.writeable:
            frozen = good.copy()
            frozen.flags.writeable = False
            yield f"{name} not writeable", call.make(dtype) | {name: frozen}
