"""Networks of inverted residuals, for small devices: MobileNetV2, MobileNetV3, EfficientNet."""

from __future__ import annotations

from math import ceil
from typing import Literal

from ..layers import (
    BatchNorm,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalAvgPool,
    Residual,
    Sequential,
    SqueezeExcite,
    StochasticDepth,
)
from ..layers.base import Layer
from .parts import _KERAS_EPSILON, _bare, _chosen, _normed

#: Of the first convolution and of each stage, in MobileNetV2 and EfficientNet.
_STRIDES = (2, 1, 2, 2, 2, 1, 2, 1)
#: Numbers of filters are multiples of it.
_DIVISOR = 8


def _divisible(filters, width=1.0):
    """So many filters times a factor, rounded to a multiple, but not to less than nine tenths."""
    if not width > 0:
        raise ValueError(f"width must be above 0, got {width!r}")
    wanted = filters * width
    near = max(_DIVISOR, int(wanted + _DIVISOR / 2) // _DIVISOR * _DIVISOR)
    return near + _DIVISOR if near < 0.9 * wanted else near


def _inverted_residual(
    channels,
    hidden,
    filters,
    kernel_size,
    stride,
    activation,
    inner=(),
    end=(),
    epsilon=_KERAS_EPSILON,
):
    """Expands by single pixels, convolves each map by itself, and projects without activation.

    The input is added where it has the shape of the output. `hidden` is None where nothing is
    expanded, `inner` are the layers before the projection, and `end` those after it in a sum.
    """
    layers = []
    if hidden is not None:
        layers += _normed("expand", _bare(hidden, 1), 1, activation, epsilon)
    depthwise = DepthwiseConv2D(
        kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        activation=None,
        use_bias=False,
        kernel_initializer="he_normal",
    )
    layers += [
        *_normed("depthwise", depthwise, 2, activation, epsilon),
        *inner,
        ("project", _bare(filters, 1)),
        ("norm3", BatchNorm(epsilon=epsilon)),
    ]
    if stride == 1 and channels == filters:
        return Residual([*layers, *end])
    return Sequential(layers)


def _mobile_network(first, first_stride, blocks, last, activation, rest, epsilon=_KERAS_EPSILON):
    """First convolution, blocks, last convolution of single pixels, average, and the rest."""
    return [
        *_normed("conv1", _bare(first, 3, first_stride, padding=1), 1, activation, epsilon),
        *blocks,
        *_normed("conv2", _bare(last, 1), 2, activation, epsilon),
        ("average", GlobalAvgPool()),
        *rest,
    ]


def _eight_strides(strides):
    if len(strides) != len(_STRIDES):
        raise ValueError(
            f"strides must have {len(_STRIDES)} entries, of the first convolution and of seven "
            f"stages, got {len(strides)}"
        )
    return strides


#: Factor of the hidden maps, filters, and number of blocks of each stage.
_MOBILENET_V2 = (
    (1, 16, 1),
    (6, 24, 2),
    (6, 32, 3),
    (6, 64, 4),
    (6, 96, 3),
    (6, 160, 3),
    (6, 320, 1),
)


def mobilenet_v2(
    width: float = 1.0,
    last_filters: int = 1280,
    strides: tuple[int, ...] = _STRIDES,
    dropout: float = 0.2,
    activation: str = "relu6",
    epsilon: float = _KERAS_EPSILON,
) -> list[tuple[str, Layer]]:
    """MobileNetV2, a network for mobile devices, of inverted residuals [1]_.

    A block expands its few maps to many, convolves each of these by itself, and projects them to
    few again, without an activation. It adds its input where the shapes agree.

    Parameters
    ----------
    width : float, default=1.0
        Factor on the number of filters, which are rounded to multiples of 8.
    last_filters : int, default=1280
        Number of filters of the last convolution. As in the paper, a `width` below 1 leaves them
        alone.
    strides : tuple of int, default=(2, 1, 2, 2, 2, 1, 2, 1)
        Of the first convolution, and of the first block of each of the seven stages. Small images
        need less: 32 x 32 pixels become 4 x 4 with ``(1, 1, 1, 2, 2, 1, 2, 1)``.
    dropout : float, default=0.2
        Share of the last averages that is dropped in training.
    activation : str, default="relu6"
        Of all convolutions but the projections.
    epsilon : float, default=0.001
        What batch norms add to the variance. The default is that of the authors' code; PyTorch's
        weights are for 0.00001.

    Returns
    -------
    list of (str, Layer)
        224 x 224 pixels become 112 x 112 x 16 at the first stage, 7 x 7 x 320 at the last, and
        1280 numbers.

    Notes
    -----
    With an output of 1000 classes it has 3,504,872 parameters. The momentum of its batch norms is
    that of :class:`BatchNorm`, which suits trainings of fewer steps than the authors'.

    References
    ----------
    .. [1] Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: inverted residuals and linear
       bottlenecks", 2018.

    Examples
    --------
    >>> from sklearn_convnet.architectures import mobilenet_v2
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(mobilenet_v2()).output_shape((224, 224, 3))
    (1280,)

    For small images:

    >>> small = mobilenet_v2(width=0.5, last_filters=256, strides=(1, 1, 1, 2, 2, 1, 2, 1))
    >>> Sequential(small[:-2]).output_shape((32, 32, 3))
    (4, 4, 256)
    """
    first_stride, *stage_strides = _eight_strides(strides)
    first = channels = _divisible(32, width)
    stages = []
    for (factor, filters, n_blocks), stride in zip(_MOBILENET_V2, stage_strides, strict=True):
        filters = _divisible(filters, width)
        stage = []
        for j in range(n_blocks):
            hidden = None if factor == 1 else factor * channels
            block = _inverted_residual(
                channels,
                hidden,
                filters,
                3,
                stride if j == 0 else 1,
                activation,
                epsilon=epsilon,
            )
            stage.append((f"block{j + 1}", block))
            channels = filters
        stages.append((f"stage{len(stages) + 1}", Sequential(stage)))
    last = _divisible(last_filters, max(width, 1.0))
    rest = [("dropout", Dropout(dropout))]
    return _mobile_network(first, first_stride, stages, last, activation, rest, epsilon)


#: Of each block: kernel size, hidden maps, filters, squeeze, rectifier, stride.
_MOBILENET_V3 = {
    "small": (
        (3, 16, 16, True, True, 2),
        (3, 72, 24, False, True, 2),
        (3, 88, 24, False, True, 1),
        (5, 96, 40, True, False, 2),
        (5, 240, 40, True, False, 1),
        (5, 240, 40, True, False, 1),
        (5, 120, 48, True, False, 1),
        (5, 144, 48, True, False, 1),
        (5, 288, 96, True, False, 2),
        (5, 576, 96, True, False, 1),
        (5, 576, 96, True, False, 1),
    ),
    "large": (
        (3, 16, 16, False, True, 1),
        (3, 64, 24, False, True, 2),
        (3, 72, 24, False, True, 1),
        (5, 72, 40, True, True, 2),
        (5, 120, 40, True, True, 1),
        (5, 120, 40, True, True, 1),
        (3, 240, 80, False, False, 2),
        (3, 200, 80, False, False, 1),
        (3, 184, 80, False, False, 1),
        (3, 184, 80, False, False, 1),
        (3, 480, 112, True, False, 1),
        (3, 672, 112, True, False, 1),
        (5, 672, 160, True, False, 2),
        (5, 960, 160, True, False, 1),
        (5, 960, 160, True, False, 1),
    ),
}
#: Filters of the last convolution and units of the dense layer.
_MOBILENET_V3_END = {"small": (576, 1024), "large": (960, 1280)}


def mobilenet_v3(
    size: Literal["small", "large"] = "large",
    width: float = 1.0,
    units: int | None = None,
    dropout: float = 0.2,
    activation: str = "hard_swish",
) -> list[tuple[str, Layer]]:
    """MobileNetV3: MobileNetV2's blocks with squeeze and excitation, found by a search [1]_.

    Parameters
    ----------
    size : {"small", "large"}, default="large"
        The network of the paper: 11 or 15 blocks.
    width : float, default=1.0
        Factor on the number of filters and of `units`, which are rounded to multiples of 8.
    units : int or None, default=None
        Size of the dense layer at the end; None is that of `size`, 1024 or 1280.
    dropout : float, default=0.2
        Share of the outputs of the dense layer that is dropped in training.
    activation : str, default="hard_swish"
        Of the convolutions at both ends, of the deeper blocks and of the dense layer. The first
        blocks have rectifiers.

    Returns
    -------
    list of (str, Layer)
        224 x 224 pixels become 7 x 7 x 160 in the last block of "large", 7 x 7 x 96 in that of
        "small".

    Notes
    -----
    With an output of 1000 classes it has 5,483,032 parameters, "small" 2,542,856. The dense layers
    of a gate have a fourth of the hidden maps between them; the second has a hard logistic
    function. For batch norms see :func:`mobilenet_v2`.

    References
    ----------
    .. [1] Howard et al., "Searching for MobileNetV3", 2019.

    Examples
    --------
    >>> from sklearn_convnet.architectures import mobilenet_v3
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(mobilenet_v3("small")).output_shape((224, 224, 3))
    (1024,)
    """
    rows = _chosen("size", size, _MOBILENET_V3)
    last, usual = _MOBILENET_V3_END[size]
    units = _divisible(usual if units is None else units, width)
    wanted, channels = 16, _divisible(16, width)
    first, blocks = channels, []
    for i, (kernel_size, hidden, filters, squeezes, rectifies, stride) in enumerate(rows, start=1):
        # Where the paper expands nothing, no width does.
        expanded = _divisible(hidden, width)
        gate = SqueezeExcite(
            squeeze_channels=_divisible(expanded // 4), scale_activation="hard_logistic"
        )
        block = _inverted_residual(
            channels,
            None if hidden == wanted else expanded,
            _divisible(filters, width),
            kernel_size,
            stride,
            "relu" if rectifies else activation,
            inner=[("squeeze", gate)] if squeezes else [],
        )
        blocks.append((f"block{i}", block))
        wanted, channels = filters, _divisible(filters, width)
    rest = [("dense1", Dense(units, activation=activation)), ("dropout1", Dropout(dropout))]
    return _mobile_network(first, 2, blocks, _divisible(last, width), activation, rest)


#: Factor of the hidden maps, kernel size, filters, and number of blocks of each stage of B0.
_EFFICIENTNET = (
    (1, 3, 16, 1),
    (6, 3, 24, 2),
    (6, 5, 40, 2),
    (6, 3, 80, 3),
    (6, 5, 112, 3),
    (6, 5, 192, 4),
    (6, 3, 320, 1),
)
#: Factors on filters and on blocks, and dropout.
_EFFICIENTNET_SIZES = {
    "b0": (1.0, 1.0, 0.2),
    "b1": (1.0, 1.1, 0.2),
    "b2": (1.1, 1.2, 0.3),
    "b3": (1.2, 1.4, 0.3),
    "b4": (1.4, 1.8, 0.4),
    "b5": (1.6, 2.2, 0.4),
    "b6": (1.8, 2.6, 0.5),
    "b7": (2.0, 3.1, 0.5),
}


def efficientnet(
    size: Literal["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"] = "b0",
    width: float = 1.0,
    last_filters: int = 1280,
    strides: tuple[int, ...] = _STRIDES,
    dropout: float | None = None,
    stochastic_depth: float = 0.2,
    activation: str = "silu",
) -> list[tuple[str, Layer]]:
    """EfficientNet: inverted residuals with squeeze and excitation, in eight sizes [1]_.

    Parameters
    ----------
    size : {"b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7"}, default="b0"
        Each is wider and deeper than the one before, and meant for larger images: 224, 240, 260,
        300, 380, 456, 528 and 600 pixels.
    width : float, default=1.0
        Factor on the number of filters, which are rounded to multiples of 8, beside that of
        `size`.
    last_filters : int, default=1280
        Number of filters of the last convolution of "b0", before these factors.
    strides : tuple of int, default=(2, 1, 2, 2, 2, 1, 2, 1)
        Of the first convolution, and of the first block of each of the seven stages: see
        :func:`mobilenet_v2`.
    dropout : float or None, default=None
        Share of the last averages that is dropped in training; None is that of `size`, from 0.2 to
        0.5.
    stochastic_depth : float, default=0.2
        Rate of the stochastic depth, which grows linearly from 0 in the first block to nearly this.
    activation : str, default="silu"
        Of all convolutions but the projections, and of the first dense layer of each gate.

    Returns
    -------
    list of (str, Layer)
        With "b0", 224 x 224 pixels become 112 x 112 x 16 at the first stage, 7 x 7 x 320 at the
        last, and 1280 numbers.

    Notes
    -----
    With an output of 1000 classes "b0" has 5,288,548 parameters, "b7" 66,347,960. A gate has a
    fourth of the maps between its dense layers that its block begins with. For batch norms see
    :func:`mobilenet_v2`.

    References
    ----------
    .. [1] Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks",
       2019.

    Examples
    --------
    >>> from sklearn_convnet.architectures import efficientnet
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(efficientnet("b0")).output_shape((224, 224, 3))
    (1280,)
    """
    wider, deeper, usual = _chosen("size", size, _EFFICIENTNET_SIZES)
    wider *= width
    first_stride, *stage_strides = _eight_strides(strides)
    first = channels = _divisible(32, wider)
    depths = [ceil(n_blocks * deeper) for *_, n_blocks in _EFFICIENTNET]
    stages, number = [], 0
    for (factor, kernel_size, filters, _), n_blocks, stride in zip(
        _EFFICIENTNET, depths, stage_strides, strict=True
    ):
        filters = _divisible(filters, wider)
        stage = []
        for j in range(n_blocks):
            gate = SqueezeExcite(squeeze_channels=max(1, channels // 4), activation=activation)
            block = _inverted_residual(
                channels,
                None if factor == 1 else factor * channels,
                filters,
                kernel_size,
                stride if j == 0 else 1,
                activation,
                inner=[("squeeze", gate)],
                end=[("drop", StochasticDepth(stochastic_depth * number / sum(depths)))],
            )
            stage.append((f"block{j + 1}", block))
            channels, number = filters, number + 1
        stages.append((f"stage{len(stages) + 1}", Sequential(stage)))
    rest = [("dropout", Dropout(usual if dropout is None else dropout))]
    last = _divisible(last_filters, wider)
    return _mobile_network(first, first_stride, stages, last, activation, rest)
