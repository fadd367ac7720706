"""Residual networks."""

from __future__ import annotations

from typing import Literal

from ..layers import (
    Activation,
    AvgPool2D,
    BatchNorm,
    GlobalAvgPool,
    MaxPool2D,
    Parallel,
    Rescale,
    Residual,
    Sequential,
)
from ..layers.base import Layer
from .parts import _bare, _chosen, _scaled


def _residual(i, convolutions, activation, pre_activation, shortcut="auto"):
    """Block `i` of a stage, and the activation after it in the original form."""
    body = []
    for j, conv in enumerate(convolutions, start=1):
        norm = (f"norm{j}", BatchNorm())
        act = (f"activation{j}", Activation(activation))
        if pre_activation:
            body += [norm, act, (f"conv{j}", conv)]
        else:
            body += [(f"conv{j}", conv), norm, act]
    if pre_activation:
        return [(f"block{i}", Residual(body, shortcut))]
    return [
        (f"block{i}", Residual(body[:-1], shortcut)),
        (f"activation{i}", Activation(activation)),
    ]


def _residual_network(stem, stages, activation, pre_activation):
    """Stem and stages, averaged; batch norms and activations where they belong."""
    first, *rest = stem
    normed = [("norm1", BatchNorm()), ("activation1", Activation(activation))]
    last = [("norm2", BatchNorm()), ("activation2", Activation(activation))]
    return [
        first,
        *([] if pre_activation else normed),
        *rest,
        *((f"stage{i}", Sequential(stage)) for i, stage in enumerate(stages, start=1)),
        *(last if pre_activation else []),
        ("average", GlobalAvgPool()),
    ]


#: True if the blocks are bottlenecks, and how many there are in each stage.
_RESNET = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}


def resnet(
    depth: Literal[18, 34, 50, 101, 152] = 50,
    width: float = 1.0,
    activation: str = "relu",
    pre_activation: bool = False,
    stride_in: Literal["1x1", "3x3"] = "1x1",
) -> list[tuple[str, Layer]]:
    """Residual network, winner of ImageNet 2015 [1]_.

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}, default=50
        Number of layers with weights, the output layer included. From 50 on the blocks
        are bottlenecks: 1 x 1, 3 x 3 and 1 x 1.
    width : float, default=1.0
        Factor on the number of filters.
    activation : str, default="relu"
        Of all blocks.
    pre_activation : bool, default=False
        Whether batch norm and activation come before each convolution and nothing after
        the sum [2]_.
    stride_in : {"1x1", "3x3"}, default="1x1"
        The convolution of a bottleneck that halves the maps: the first, as in the paper, or the
        one in the middle, as in later implementations, such as PyTorch's, which then see all
        pixels and take about a tenth more multiplications. Weights fit both.

    Returns
    -------
    list of (str, Layer)
        224 x 224 pixels become 56 x 56 at the first stage and 7 x 7 at the last, whose
        512 or 2048 maps are averaged.

    Notes
    -----
    Where shapes differ, the shortcut is a 1 x 1 convolution with a batch norm (option B of the
    paper).

    References
    ----------
    .. [1] He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016.
    .. [2] He, Zhang, Ren and Sun, "Identity mappings in deep residual networks", 2016.

    Examples
    --------
    >>> from sklearn_convnet.architectures import resnet
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(resnet(18)).output_shape((224, 224, 3))
    (512,)
    >>> [name for name, _ in resnet(50)]
    ['conv1', 'norm1', 'activation1', 'pool1', 'stage1', 'stage2', 'stage3', 'stage4', \
'average']
    """
    bottleneck, sizes = _chosen("depth", depth, _RESNET)
    in_the_middle = _chosen("stride_in", stride_in, {"1x1": False, "3x3": True})
    stages = []
    for i, n_blocks in enumerate(sizes):
        filters = _scaled(64, width) * 2**i
        stage = []
        for j in range(n_blocks):
            stride = 2 if i > 0 and j == 0 else 1
            if bottleneck:
                first, middle = (1, stride) if in_the_middle else (stride, 1)
                convolutions = [
                    _bare(filters, 1, first),
                    _bare(filters, 3, middle, padding=1),
                    _bare(4 * filters, 1),
                ]
            else:
                convolutions = [
                    _bare(filters, 3, stride, padding=1),
                    _bare(filters, 3, padding=1),
                ]
            stage += _residual(j + 1, convolutions, activation, pre_activation)
        stages.append(stage)
    stem = [
        ("conv1", _bare(_scaled(64, width), 7, stride=2, padding=3)),
        ("pool1", MaxPool2D(3, stride=2, padding=1)),
    ]
    return _residual_network(stem, stages, activation, pre_activation)


def _padded_shortcut():
    """Every other pixel, with as many maps of zeros after the maps; no weights."""
    return Sequential(
        [
            ("subsample", AvgPool2D(1, stride=2)),
            ("pad", Parallel(["passthrough", [("zeros", Rescale(0.0))]])),
        ]
    )


def resnet_cifar(
    depth: int = 20,
    width: float = 1.0,
    activation: str = "relu",
    pre_activation: bool = False,
    projection: bool = False,
) -> list[tuple[str, Layer]]:
    """Residual network for small images, such as those of CIFAR [1]_.

    Parameters
    ----------
    depth : int, default=20
        Number of layers with weights, the output layer included: ``6 n + 2`` for `n`
        blocks in each of three stages. The paper has 20, 32, 44, 56 and 110.
    width : float, default=1.0
        Factor on the number of filters, which are 16, 32 and 64. More of them are the
        wide residual networks of Zagoruyko and Komodakis (2016).
    activation : str, default="relu"
        Of all blocks.
    pre_activation : bool, default=False
        Whether batch norm and activation come before each convolution and nothing after
        the sum: see :func:`resnet`.
    projection : bool, default=False
        Whether the shortcut of a block that halves the maps has weights: a 1 x 1 convolution
        (option B of the paper) in place of every other pixel and maps of zeros (option A).

    Returns
    -------
    list of (str, Layer)
        32 x 32 pixels become 32 x 32 x 16, 16 x 16 x 32, 8 x 8 x 64 and, averaged, 64
        numbers.

    References
    ----------
    .. [1] He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016,
       section 4.2.

    Examples
    --------
    >>> from sklearn_convnet.architectures import resnet_cifar
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(resnet_cifar(20)).output_shape((32, 32, 3))
    (64,)
    """
    n_blocks, rest = divmod(depth - 2, 6)
    if rest or n_blocks < 1:
        raise ValueError(f"depth must be 6 n + 2, such as 20, 32 or 110, got {depth!r}")
    stages = []
    for i in range(3):
        filters = _scaled(16, width) * 2**i
        stage = []
        for j in range(n_blocks):
            halves = i > 0 and j == 0
            convolutions = [
                _bare(filters, 3, 2 if halves else 1, padding=1),
                _bare(filters, 3, padding=1),
            ]
            padded = halves and not projection
            stage += _residual(
                j + 1,
                convolutions,
                activation,
                pre_activation,
                _padded_shortcut() if padded else "auto",
            )
        stages.append(stage)
    stem = [("conv1", _bare(_scaled(16, width), 3, padding=1))]
    return _residual_network(stem, stages, activation, pre_activation)
