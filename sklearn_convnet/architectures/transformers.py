"""Vision transformers."""

from __future__ import annotations

from typing import Literal

from .._typing import PerAxis
from ..layers import (
    Conv2D,
    Dropout,
    GlobalAvgPool,
    LayerNorm,
    PositionEmbedding,
    TransformerBlock,
)
from ..layers.base import Layer
from .parts import _chosen, _scaled

#: Number of heads and of blocks.
_VIT = {"Ti": (3, 12), "S": (6, 12), "B": (12, 12), "L": (16, 24)}
#: Channels of a head.
_HEAD_WIDTH = 64


def vit(
    size: Literal["Ti", "S", "B", "L"] = "S",
    patch_size: PerAxis = 16,
    depth: int | None = None,
    width: float = 1.0,
    activation: str = "gelu",
    position: Literal["sinusoidal", "learned"] = "sinusoidal",
    dropout: float = 0.0,
    stochastic_depth: float = 0.0,
) -> list[tuple[str, Layer]]:
    """Vision transformer [1]_, in the plain form of Beyer, Zhai and Kolesnikov [2]_.

    Parameters
    ----------
    size : {"Ti", "S", "B", "L"}, default="S"
        3, 6, 12 or 16 heads of 64 channels each, in 12 blocks, 24 of "L".
    patch_size : int or tuple of int, default=16
        Height and width of the patches into which an image is cut. Attention takes memory by
        the square of their number.
    depth : int, default=None
        Number of blocks; None is that of `size`.
    width : float, default=1.0
        Factor on the number of channels of a head.
    activation : str, default="gelu"
        Of the hidden units of all blocks.
    position : {"sinusoidal", "learned"}, default="sinusoidal"
        How positions are told apart: see :class:`PositionEmbedding`. With "learned", all
        images have one size.
    dropout : float, default=0.0
        Rate of the dropout after the positions and in all blocks.
    stochastic_depth : float, default=0.0
        Rate of the stochastic depth of the last block; it grows linearly from 0 before the
        first [3]_.

    Returns
    -------
    list of (str, Layer)
        With "S", 224 x 224 pixels become 14 x 14 x 384 and, averaged, 384 numbers.

    Notes
    -----
    As in [2]_, and other than in [1]_, the output layer sees the mean over all positions, not a
    token of its own, and positions are sines and cosines.

    A transformer has to learn what is built into a convolution, from more samples or in more
    epochs. Let the learning rate of :class:`Adam` rise from a small one, as with
    ``LinearWarmup(CosineDecay(0.002, period=20), length=100)``.

    References
    ----------
    .. [1] Dosovitskiy et al., "An image is worth 16x16 words: transformers for image recognition
       at scale", 2021.
    .. [2] Beyer, Zhai and Kolesnikov, "Better plain ViT baselines for ImageNet-1k", 2022.
    .. [3] Huang et al., "Deep networks with stochastic depth", 2016.

    Examples
    --------
    >>> from sklearn_convnet.architectures import vit
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(vit("S")).output_shape((224, 224, 3))
    (384,)
    >>> [name for name, _ in vit("Ti", patch_size=4, depth=2)]
    ['patches', 'position', 'dropout', 'block1', 'block2', 'norm', 'average']
    """
    n_heads, n_blocks = _chosen("size", size, _VIT)
    n_blocks = n_blocks if depth is None else depth
    if n_blocks < 1:
        raise ValueError(f"depth must be at least 1, got {depth!r}")
    channels = n_heads * _scaled(_HEAD_WIDTH, width)
    blocks = [
        TransformerBlock(
            n_heads,
            activation=activation,
            dropout=dropout,
            stochastic_depth=stochastic_depth * i / n_blocks,
        )
        for i in range(1, n_blocks + 1)
    ]
    return [
        ("patches", Conv2D(channels, patch_size, stride=patch_size, activation=None)),
        ("position", PositionEmbedding(position)),
        ("dropout", Dropout(dropout)),
        *((f"block{i}", block) for i, block in enumerate(blocks, start=1)),
        ("norm", LayerNorm()),
        ("average", GlobalAvgPool()),
    ]
