"""Convolutions after the manner of transformers: ConvNeXt."""

from __future__ import annotations

from typing import Literal

from .._typing import PerAxis
from ..layers import (
    Conv2D,
    DepthwiseConv2D,
    GlobalAvgPool,
    LayerNorm,
    LayerScale,
    Residual,
    Sequential,
    StochasticDepth,
)
from ..layers.base import Layer
from .parts import _chosen, _scaled

#: Filters of the first stage, number of blocks of each stage, and rate of the stochastic depth.
_CONVNEXT = {
    "tiny": (96, (3, 3, 9, 3), 0.1),
    "small": (96, (3, 3, 27, 3), 0.4),
    "base": (128, (3, 3, 27, 3), 0.5),
    "large": (192, (3, 3, 27, 3), 0.5),
}
_EPSILON = 1e-6


def _block(filters, activation, layer_scale, drop):
    """A filter of 7 x 7 for each map, and two dense layers at each position."""
    return Residual(
        [
            ("depthwise", DepthwiseConv2D(7, padding=3, activation=None)),
            ("norm", LayerNorm(_EPSILON)),
            ("expand", Conv2D(4 * filters, 1, activation=activation)),
            ("project", Conv2D(filters, 1, activation=None)),
            ("scale", LayerScale(layer_scale)),
            ("drop", StochasticDepth(drop)),
        ]
    )


def convnext(
    size: Literal["tiny", "small", "base", "large"] = "tiny",
    width: float = 1.0,
    patch_size: PerAxis = 4,
    layer_scale: float = 1e-6,
    stochastic_depth: float | None = None,
    activation: str = "gelu",
) -> list[tuple[str, Layer]]:
    """ConvNeXt: a residual network with ideas from transformers [1]_.

    Parameters
    ----------
    size : {"tiny", "small", "base", "large"}, default="tiny"
        96, 96, 128 or 192 filters in the first of four stages, each of which has twice as many as
        the one before, and 18 blocks, 36 from "small" on.
    width : float, default=1.0
        Factor on the number of filters.
    patch_size : int or tuple of int, default=4
        Height and width of the patches into which an image is cut. Small images need smaller ones:
        32 x 32 pixels become 4 x 4 with 1.
    layer_scale : float, default=1e-6
        Factor that each block begins with: see :class:`LayerScale`.
    stochastic_depth : float or None, default=None
        Rate of the stochastic depth of the last block; it grows linearly from 0 in the first. None
        is that of `size`: 0.1, 0.4, 0.5 and 0.5.
    activation : str, default="gelu"
        Between the two dense layers of each block.

    Returns
    -------
    list of (str, Layer)
        With "tiny", 224 x 224 pixels become 56 x 56 x 96, 28 x 28 x 192, 14 x 14 x 384, 7 x 7 x 768
        and, averaged, 768 numbers.

    Notes
    -----
    With an output of 1000 classes "tiny" has 28,589,128 parameters, "small" 50,223,688, "base"
    88,591,464 and "large" 197,767,336. Weights begin as those of other layers of this package do,
    where the paper draws all with a deviation of 0.02: `layer_scale` makes each block nearly the
    identity at first, and norms stand before the convolutions between the stages.

    The paper trains it with :class:`AdamW` and a learning rate that rises from a small one, as
    :func:`vit` is.

    References
    ----------
    .. [1] Liu, Mao, Wu, Feichtenhofer, Darrell and Xie, "A ConvNet for the 2020s", 2022.

    Examples
    --------
    >>> from sklearn_convnet.architectures import convnext
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(convnext("tiny")).output_shape((224, 224, 3))
    (768,)
    >>> [name for name, _ in convnext()][:5]
    ['patches', 'norm1', 'stage1', 'norm2', 'conv2']
    """
    first, depths, usual = _chosen("size", size, _CONVNEXT)
    rate = usual if stochastic_depth is None else stochastic_depth
    first, last_block = _scaled(first, width), sum(depths) - 1
    layers = [
        ("patches", Conv2D(first, patch_size, stride=patch_size, activation=None)),
        ("norm1", LayerNorm(_EPSILON)),
    ]
    number = 0
    for i, n_blocks in enumerate(depths, start=1):
        filters = first * 2 ** (i - 1)
        if i > 1:
            layers.append((f"norm{i}", LayerNorm(_EPSILON)))
            layers.append((f"conv{i}", Conv2D(filters, 2, stride=2, activation=None)))
        stage = []
        for j in range(1, n_blocks + 1):
            block = _block(filters, activation, layer_scale, rate * number / last_block)
            stage.append((f"block{j}", block))
            number += 1
        layers.append((f"stage{i}", Sequential(stage)))
    return [*layers, ("average", GlobalAvgPool()), ("norm5", LayerNorm(_EPSILON))]
