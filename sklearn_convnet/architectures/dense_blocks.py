"""Dense blocks: DenseNet."""

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
from .parts import _bare, _chosen

#: Number of layers in each dense block.
_DENSENET = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
}


def densenet(depth=121, growth_rate=32, compression=0.5, dropout=0.0, activation="relu"):
    """Densely connected network: each layer sees the maps of all before it [1]_.

    Parameters
    ----------
    depth : {121, 169, 201}, default=121
        Number of layers with weights, the output layer included.
    growth_rate : int, default=32
        Number of maps that each layer adds. All other widths follow from it.
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

    def before(suffix, conv):
        """Batch norm, activation, convolution."""
        return [
            (f"norm{suffix}", BatchNorm()),
            (f"activation{suffix}", Activation(activation)),
            (f"conv{suffix}", conv),
        ]

    def layer():
        return Sequential(
            [
                *before(1, _bare(4 * growth_rate, 1)),
                *before(2, _bare(growth_rate, 3, padding=1)),
                ("dropout", Dropout(dropout)),
            ]
        )

    sizes = _chosen("depth", depth, _DENSENET)
    channels = 2 * growth_rate
    layers = [
        ("conv1", _bare(channels, 7, stride=2, padding=3)),
        ("norm1", BatchNorm()),
        ("activation1", Activation(activation)),
        ("pool1", MaxPool2D(3, stride=2, padding=1)),
    ]
    for i, n_layers in enumerate(sizes, start=1):
        block = [(f"layer{j}", layer()) for j in range(1, n_layers + 1)]
        layers.append((f"block{i}", DenseBlock(block)))
        channels += n_layers * growth_rate
        if i < len(sizes):
            channels = max(1, int(channels * compression))
            transition = [*before("", _bare(channels, 1)), ("pool", AvgPool2D(2))]
            layers.append((f"transition{i}", Sequential(transition)))
    return [
        *layers,
        ("norm2", BatchNorm()),
        ("activation2", Activation(activation)),
        ("average", GlobalAvgPool()),
    ]
