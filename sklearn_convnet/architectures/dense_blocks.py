"""Dense blocks: DenseNet."""

from __future__ import annotations

from typing import Literal

from ..layers import (
    Activation,
    AvgPool2D,
    BatchNorm,
    DenseBlock,
    Dropout,
    GlobalAvgPool,
    MaxPool2D,
    Sequential,
)
from ..layers.base import Layer
from .parts import _bare, _chosen

#: Usual growth rate, and number of layers in each dense block.
_DENSENET = {
    121: (32, (6, 12, 24, 16)),
    161: (48, (6, 12, 36, 24)),
    169: (32, (6, 12, 32, 32)),
    201: (32, (6, 12, 48, 32)),
    264: (32, (6, 12, 64, 48)),
}


def _before(suffix, conv, activation):
    """Batch norm, activation, convolution."""
    return [
        (f"norm{suffix}", BatchNorm()),
        (f"activation{suffix}", Activation(activation)),
        (f"conv{suffix}", conv),
    ]


def _dense_layer(growth_rate, bottleneck, dropout, activation):
    """A layer of a dense block, with or without a convolution of single pixels at its begin."""
    widths = [(4 * growth_rate, 1)] if bottleneck else []
    layers = []
    for i, (filters, size) in enumerate([*widths, (growth_rate, 3)], start=1):
        layers += _before(i, _bare(filters, size, padding=size // 2), activation)
    return Sequential([*layers, ("dropout", Dropout(dropout))])


def _dense_blocks(channels, sizes, growth_rate, bottleneck, compression, dropout, activation):
    """Blocks with transitions between them, up to the averages of the last maps."""
    layers = []
    for i, n_layers in enumerate(sizes, start=1):
        block = [
            (f"layer{j}", _dense_layer(growth_rate, bottleneck, dropout, activation))
            for j in range(1, n_layers + 1)
        ]
        layers.append((f"block{i}", DenseBlock(block)))
        channels += n_layers * growth_rate
        if i < len(sizes):
            channels = max(1, int(channels * compression))
            transition = [*_before("", _bare(channels, 1), activation), ("pool", AvgPool2D(2))]
            layers.append((f"transition{i}", Sequential(transition)))
    return [
        *layers,
        ("norm2", BatchNorm()),
        ("activation2", Activation(activation)),
        ("average", GlobalAvgPool()),
    ]


def densenet(
    depth: Literal[121, 161, 169, 201, 264] = 121,
    growth_rate: int | None = None,
    compression: float = 0.5,
    dropout: float = 0.0,
    activation: str = "relu",
) -> list[tuple[str, Layer]]:
    """Densely connected network: each layer sees the maps of all before it [1]_.

    Parameters
    ----------
    depth : {121, 161, 169, 201, 264}, default=121
        Number of layers with weights, the output layer included; "264" has 265 of them, by the
        sizes of its blocks in the paper.
    growth_rate : int or None, default=None
        Number of maps that each layer adds. All other widths follow from it. None is 48 for a
        depth of 161 and 32 for all others.
    compression : float, default=0.5
        Share of the maps that is left between two blocks.
    dropout : float, default=0.0
        Share of the new maps of each layer that is dropped in training. The paper has
        0.2 where data are not augmented.
    activation : str, default="relu"
        Before each convolution.

    Returns
    -------
    list of (str, Layer)
        224 x 224 pixels become 56 x 56 in the first of four blocks and 7 x 7 in the
        last, whose maps are averaged: 1024 of them for a depth of 121.

    See Also
    --------
    densenet_cifar : Of any depth, for small images.

    References
    ----------
    .. [1] Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional
       networks", 2017.

    Examples
    --------
    >>> from sklearn_convnet.architectures import densenet
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(densenet(121)).output_shape((224, 224, 3))
    (1024,)
    """
    usual, sizes = _chosen("depth", depth, _DENSENET)
    growth_rate = usual if growth_rate is None else growth_rate
    channels = 2 * growth_rate
    return [
        ("conv1", _bare(channels, 7, stride=2, padding=3)),
        ("norm1", BatchNorm()),
        ("activation1", Activation(activation)),
        ("pool1", MaxPool2D(3, stride=2, padding=1)),
        *_dense_blocks(channels, sizes, growth_rate, True, compression, dropout, activation),
    ]


def densenet_cifar(
    depth: int = 100,
    growth_rate: int = 12,
    bottleneck: bool = True,
    compression: float = 0.5,
    dropout: float = 0.0,
    activation: str = "relu",
) -> list[tuple[str, Layer]]:
    """Densely connected network for small images, such as those of CIFAR [1]_.

    Parameters
    ----------
    depth : int, default=100
        Number of layers with weights, the output layer included: ``6 n + 4`` for `n` layers in
        each of three blocks, ``3 n + 4`` without `bottleneck`. The paper has 100, 190 and 250, and
        40 and 100 without.
    growth_rate : int, default=12
        Number of maps that each layer adds; the paper also has 24 and, with 190 layers, 40.
    bottleneck : bool, default=True
        Whether each layer has a 1 x 1 convolution to ``4 * growth_rate`` maps before the one of 3 x
        3.
    compression : float, default=0.5
        Share of the maps that is left between two blocks; 1.0 in the paper's networks without
        `bottleneck`.
    dropout : float, default=0.0
        Share of the new maps of each layer that is dropped in training. The paper has 0.2 where
        data are not augmented.
    activation : str, default="relu"
        Before each convolution.

    Returns
    -------
    list of (str, Layer)
        32 x 32 pixels become 32 x 32, 16 x 16 and 8 x 8 in the three blocks and, averaged, 342
        numbers.

    Notes
    -----
    The defaults are DenseNet-BC of the paper, which begins with ``2 * growth_rate`` maps; others
    begin with 16. With an output of 10 classes it has 769,162 parameters, DenseNet of 40 layers
    (``depth=40, bottleneck=False, compression=1.0``) 1,019,722, and DenseNet-BC with 250 layers
    and a growth rate of 24 15,324,406: 0.8, 1.0 and 15.3 million in the paper.

    References
    ----------
    .. [1] Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional
       networks", 2017.

    Examples
    --------
    >>> from sklearn_convnet.architectures import densenet_cifar
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(densenet_cifar()).output_shape((32, 32, 3))
    (342,)
    """
    step = 6 if bottleneck else 3
    n_layers, rest = divmod(depth - 4, step)
    if rest or n_layers < 1:
        raise ValueError(
            f"depth must be {step} n + 4 with bottleneck={bottleneck}, such as 40 or 100, got "
            f"{depth!r}"
        )
    channels = 2 * growth_rate if bottleneck and compression < 1 else 16
    sizes = (n_layers,) * 3
    return [
        ("conv1", _bare(channels, 3, padding=1)),
        *_dense_blocks(channels, sizes, growth_rate, bottleneck, compression, dropout, activation),
    ]
