"""Geometries of the kernels: larger ones by name, and small ones by hypothesis.

The tables are also what the benchmarks of the kernels time.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from .comparisons import FUSED_ACTIVATIONS, random_input

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

    #: Windows of one position, which are no pool.
    pool_size = ONES

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
            self.alpha, self.pool_size,
        )  # fmt: skip

    def arrays(self, dtype, seed=0):
        """X, W, b and dY."""
        rng = np.random.default_rng(seed)
        X = random_input(rng, self.input_shape, dtype)
        W = random_input(rng, self.weight_shape, dtype)
        b = random_input(rng, (self.filters,), dtype) if self.use_bias else None
        return X, W, b, random_input(rng, self.output_shape, dtype)


def pad_image(pixels):
    return ((0, 0), (pixels, pixels), (pixels, pixels))


# Beyond every block of the loops: more output maps than a panel holds, hundreds of
# values in a sum, batches of more than 16 samples, several small images in one block,
# and enough to do for several threads.
CONV_CASES = {
    "lenet1": ConvCase(
        9, (1, 28, 28), 1, 6, (1, 5, 5), padding=pad_image(2), activation="relu"
    ),
    "lenet2": ConvCase(19, (1, 14, 14), 6, 16, (1, 5, 5), activation="tanh"),
    "lenet3": ConvCase(67, (1, 5, 5), 16, 120, (1, 5, 5), activation="relu"),
    "vgg": ConvCase(
        19, (1, 9, 10), 64, 64, (1, 3, 3), padding=pad_image(1), activation="relu"
    ),
    "resnet-strided": ConvCase(
        5, (1, 13, 12), 16, 70, (1, 3, 3), stride=(1, 2, 2),
        padding=((0, 0), (0, 1), (0, 1)), use_bias=False,
    ),
    "pointwise": ConvCase(5, (1, 7, 6), 100, 130, (1, 1, 1), activation="softplus"),
    "pointwise, whole vectors": ConvCase(9, (1, 13, 12), 64, 200, (1, 1, 1), activation="relu"),
    # Many filters are more than one step of a sum.
    "side by side": ConvCase(9, (1, 14, 12), 16, 700, (1, 2, 2), stride=(1, 2, 2)),
    "side by side, volume": ConvCase(
        5, (4, 3, 10), 32, 20, (2, 1, 5), stride=(2, 1, 5), activation="relu"
    ),
    "projection": ConvCase(17, (1, 8, 9), 32, 65, (1, 1, 1), stride=(1, 2, 2)),
    "strided, in chunks": ConvCase(  # of a large image, phase by phase
        1, (1, 70, 66), 24, 20, (1, 4, 3), stride=(1, 2, 2), padding=pad_image(1),
        activation="relu",
    ),
    "alexnet": ConvCase(2, (1, 35, 35), 3, 96, (1, 11, 11), stride=(1, 4, 4)),
    "depthwise": ConvCase(
        19, (1, 10, 11), 70, 70, (1, 3, 3), padding=pad_image(1), groups=70
    ),
    "grouped": ConvCase(
        6, (1, 9, 8), 48, 99, (1, 3, 3), padding=pad_image(1), groups=3,
        activation="elu",
    ),
    "dilated": ConvCase(
        3, (1, 15, 14), 16, 65, (1, 3, 3), padding=pad_image(3), dilation=(1, 3, 3)
    ),
    "deep": ConvCase(33, (1, 4, 4), 130, 20, (1, 3, 3), activation="logistic"),
    "signal": ConvCase(
        18, (1, 1, 50), 40, 70, (1, 1, 9), stride=(1, 1, 3),
        padding=((0, 0), (0, 0), (8, 0)), activation="leaky_relu",
    ),
    # Windows are rows of a matrix; those of short signals, several of which are a block, are not.
    "long signal": ConvCase(
        5, (1, 1, 301), 3, 32, (1, 1, 5), stride=(1, 1, 2), padding=((0, 0), (0, 0), (2, 1)),
        activation="relu",
    ),
    "short signal": ConvCase(
        18, (1, 1, 40), 1, 48, (1, 1, 7), padding=((0, 0), (0, 0), (3, 3)), activation="tanh"
    ),
    "volume": ConvCase(
        3, (5, 6, 7), 8, 20, (3, 3, 3), padding=((1, 1), (1, 1), (1, 1))
    ),
    # Few filters, of whole vectors of images and some that are left over: interleaved.
    "few": ConvCase(  # images of outputs lie 10 KiB apart
        41, (1, 16, 20), 3, 8, (1, 3, 3), padding=pad_image(1), activation="relu"
    ),
    "few, many taps": ConvCase(
        27, (1, 9, 8), 12, 5, (1, 5, 6), padding=pad_image(2), activation="tanh"
    ),
    "few, long signal": ConvCase(
        21, (1, 1, 2600), 2, 3, (1, 1, 7), stride=(1, 1, 2), dilation=(1, 1, 3),
        padding=((0, 0), (0, 0), (0, 9)),
    ),
    "few, dilated": ConvCase(
        31, (1, 15, 14), 3, 6, (1, 3, 3), padding=pad_image(4), dilation=(1, 3, 4),
        activation="leaky_relu",
    ),
    "few, grouped": ConvCase(
        18, (1, 7, 8), 6, 21, (1, 3, 2), padding=pad_image(1), groups=3, activation="elu"
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
    "halve with a rest": PoolCase(3, (1, 7, 9), 32, (1, 2, 2), (1, 2, 2)),
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
        17, (1, 12, 11), 70, 1, (1, 3, 3), padding=pad_image(1), activation="relu"
    ),
    "strided": DepthwiseCase.of(
        5, (1, 25, 24), 33, 1, (1, 3, 3), stride=(1, 2, 2),
        padding=((0, 0), (0, 1), (1, 0)), use_bias=False,
    ),
    "whole vectors": DepthwiseCase.of(
        19, (1, 13, 12), 64, 1, (1, 3, 3), padding=((0, 0), (3, 0), (1, 2)), activation="relu"
    ),
    "multiplied": DepthwiseCase.of(
        18, (1, 11, 12), 11, 3, (1, 5, 5), padding=pad_image(2), activation="elu"
    ),
    "one map": DepthwiseCase.of(
        19, (1, 20, 19), 1, 8, (1, 5, 5), activation="leaky_relu"
    ),
    "multiplied, whole vectors": DepthwiseCase.of(
        3, (1, 12, 11), 64, 2, (1, 3, 3), padding=pad_image(2), dilation=(1, 2, 2),
        activation="tanh",
    ),
    "signal": DepthwiseCase.of(
        67, (1, 1, 60), 21, 2, (1, 1, 9), stride=(1, 1, 2), activation="softplus"
    ),
    # Blocks that are a part of a row; phases that see no tap; windows far outside of the input.
    "long signal": DepthwiseCase.of(
        3, (1, 1, 300), 16, 1, (1, 1, 7), stride=(1, 1, 3), padding=((0, 0), (0, 0), (3, 3))
    ),
    "wide": DepthwiseCase.of(
        2, (1, 20, 30), 192, 1, (1, 5, 5), padding=pad_image(2), activation="relu6"
    ),
    "gaps": DepthwiseCase.of(
        5, (1, 23, 22), 32, 1, (1, 2, 3), stride=(1, 4, 5), dilation=(1, 2, 1),
        padding=((0, 0), (1, 9), (8, 2)), activation="relu",
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
        return np.array(self.pool_sizes, np.int64).reshape(-1, 3), self.stride


GROUP_POOL_CASES = {
    "one group": GroupPoolCase(19, (1, 14, 14), 16, ((1, 2, 2),), (1, 2, 2)),
    "growing": GroupPoolCase(5, (1, 17, 15), 66, ((1, 1, 1), (1, 3, 3), (1, 5, 5)), (1, 2, 2)),
    "rectangular": GroupPoolCase(3, (1, 9, 20), 70, ((1, 1, 8), (1, 6, 2)), (1, 3, 1)),
    "one pixel apart": GroupPoolCase(19, (1, 11, 12), 8, ((1, 2, 2), (1, 7, 7)), (1, 1, 1)),
    "signals": GroupPoolCase(19, (1, 1, 200), 33, ((1, 1, 1), (1, 1, 4), (1, 1, 9)), (1, 1, 2)),
    "volumes": GroupPoolCase(3, (5, 9, 8), 34, ((3, 2, 1), (2, 3, 4)), (2, 2, 1)),
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

# n, positions, channels, groups
GROUPNORM_CASES = {
    "image": (19, 784, 32, 8),
    "one group": (19, 600, 35, 1),
    "each channel": (19, 130, 33, 33),
    "one map": (19, 2000, 1, 1),
    "layer norm": (1100, 1, 67, 1),
    "long rows": (19, 1, 2500, 1),
    "rows in groups": (700, 1, 30, 6),
}

# n, size, channels, factors
UPSAMPLE_CASES = {
    "double": (7, (1, 9, 8), 16, (1, 2, 2)),
    "unequal": (3, (1, 7, 10), 35, (1, 3, 2)),
    "one map": (19, (1, 14, 14), 1, (1, 2, 4)),
    "one pixel": (19, (1, 1, 1), 33, (1, 5, 6)),
    "signals": (19, (1, 1, 50), 19, (1, 1, 3)),
    "volumes": (3, (4, 5, 6), 18, (2, 3, 2)),
}

# n, height, width, channels
RESAMPLE_CASES = {
    "mnist": (19, 28, 28, 1),
    "colour": (9, 32, 31, 3),
    "many maps": (7, 9, 20, 35),
    "one pixel": (40, 1, 1, 2),
}

# n, depth, height, width, channels
VOLUME_CASES = {
    "scan": (5, 9, 16, 15, 1),
    "colour": (3, 4, 12, 13, 3),
    "one image": (6, 1, 9, 8, 2),
    "one voxel": (40, 1, 1, 1, 2),
}

# n, queries, keys, heads, width of a head: more positions than a block of rows, more channels
# than a panel, more terms than a sum takes at a time.
ATTENTION_CASES = {
    "image": (3, 64, 64, 4, 17),
    "long": (2, 130, 130, 2, 33),
    "one head": (19, 49, 49, 1, 70),
    "wide": (2, 20, 20, 1, 300),
    "narrow": (5, 70, 70, 9, 3),
    "one position": (19, 1, 1, 3, 8),
    "few keys": (3, 100, 25, 2, 17),
    "many keys": (3, 5, 90, 2, 33),
    "one key": (19, 40, 1, 1, 8),
}

# n, inputs, units, activation
DENSE_CASES = {
    "one": (1, 300, 130, "relu"),
    "large": (1, 460, 301, "tanh"),
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
        19, (1, 32, 32), 16, 16, (1, 3, 3), padding=pad_image(1), use_bias=False
    ),
    "wide": ConvCase(
        19, (1, 30, 5), 7, 9, (1, 3, 3), padding=((0, 0), (2, 1), (0, 2)), activation="tanh"
    ),
    "deep": ConvCase(
        21, (1, 4, 4), 210, 70, (1, 3, 3), padding=pad_image(1), activation="relu"
    ),
    "larger filters": ConvCase(
        19, (1, 14, 13), 24, 40, (1, 5, 5), padding=pad_image(2), activation="relu"
    ),
    "dilated": ConvCase(
        19, (1, 15, 16), 32, 24, (1, 3, 3), padding=pad_image(3), dilation=(1, 3, 3),
        activation="tanh",
    ),
    "larger, dilated": ConvCase(
        5, (1, 21, 18), 9, 17, (1, 5, 5), padding=((0, 0), (4, 0), (1, 6)), dilation=(1, 1, 2)
    ),
}  # fmt: skip
WINOGRAD_POOL_CASES = {
    name: ConvPoolCase(**vars(case))
    for name, case in WINOGRAD_CASES.items()
    if max(case.dilation) == 1
}  # fmt: skip
CONV_POOL_CASES = {
    "first layer": ConvPoolCase(
        19, (1, 28, 28), 1, 6, (1, 5, 5), padding=pad_image(2), activation="relu"
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
        21, (1, 4, 4), 16, 35, (1, 3, 3), padding=pad_image(1), activation="elu"
    ),
    # Few filters again: made wide, they would have more taps than one tile sums at once.
    "many taps": ConvPoolCase(15, (1, 32, 32), 7, 4, (1, 5, 5), padding=pad_image(2)),
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
    case = draw(conv_cases().filter(lambda case: max(case.output_shape[1:4]) > 1))
    case = ConvPoolCase(
        case.n, case.size, draw(st.integers(1, 20)), draw(st.integers(1, 20)), case.kernel,
        stride=case.stride, padding=case.padding, activation=case.activation,
        use_bias=case.use_bias,
    )  # fmt: skip
    sizes = case.maps_shape[1:4]
    windows = st.tuples(*(st.integers(1, min(s, 4)) for s in sizes))
    return replace(case, pool_size=draw(windows.filter(lambda sizes: max(sizes) > 1)))


@st.composite
def winograd_pool_cases(draw):
    """Convolutions in Winograd's form, with windows that divide tiles of 4 x 4."""
    cases = winograd_cases(most_dilation=1)
    case = draw(cases.filter(lambda case: min(case.output_shape[2:4]) > 1))
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
def winograd_cases(draw, most_dilation=3):
    """Convolutions with 3 x 3 or 5 x 5 filters and stride 1, and any padding within their reach."""
    taps = draw(st.sampled_from([3, 3, 5]))
    padding, size, dilation = [], [], []
    for _ in range(2):
        dilation.append(draw(st.integers(1, most_dilation)))
        reach = dilation[-1] * (taps - 1)
        pads = draw(st.tuples(st.integers(0, reach), st.integers(0, reach)))
        padding.append(pads)
        size.append(draw(st.integers(max(1, reach + 1 - sum(pads)), 14)))
    return ConvCase(
        n=draw(st.integers(1, 5)),
        size=(1, *size),
        channels=draw(st.integers(1, 35)),
        filters=draw(st.integers(1, 35)),
        kernel=(1, taps, taps),
        padding=((0, 0), *padding),
        dilation=(1, *dilation),
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
    lead = (1,) * draw(st.integers(0, 2))

    def axes(largest):
        return st.tuples(*[st.integers(1, largest)] * (3 - len(lead))).map(lead.__add__)

    pool_sizes = tuple(draw(st.lists(axes(9), min_size=1, max_size=4)))
    return GroupPoolCase(
        n=draw(st.integers(1, 4)),
        size=draw(axes(9 if lead else 5)),
        channels=len(pool_sizes) * draw(st.integers(1, 9)),
        pool_sizes=pool_sizes,
        stride=draw(axes(6)),
    )
