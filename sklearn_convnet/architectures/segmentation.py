"""A label for every pixel: FCN and U-Net."""

from __future__ import annotations

from typing import Literal

from ..layers import Conv2D, ConvTranspose2D, Dropout, MaxPool2D, Parallel, Residual, Upsample2D
from ..layers.base import Layer
from .chains import _vgg_stages
from .parts import _chosen, _convolution, _scaled


def fcn(
    n_maps: int = 21,
    stride: Literal[8, 16, 32] = 8,
    width: float = 1.0,
    units: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
    activation: str = "relu",
) -> list[tuple[str, Layer]]:
    """Fully convolutional network: VGG-16 whose scores are enlarged to the image [1]_.

    Parameters
    ----------
    n_maps : int, default=21
        Number of output maps: in the paper one for each label.
    stride : {8, 16, 32}, default=8
        Factor of the last enlargement: FCN-8s, FCN-16s or FCN-32s. For 16 the scores of pool 4 are
        added, for 8 also those of pool 3.
    width : float, default=1.0
        Factor on the number of filters.
    units : tuple of int, default=(4096, 4096)
        Number of maps of the two convolutions that were VGG's dense layers.
    dropout : float, default=0.5
        Share of these maps that is dropped in training.
    activation : str, default="relu"
        Of all convolutions but those that make scores.

    Returns
    -------
    list of (str, Layer)
        For images whose sides are multiples of 32. The output has their size.

    Notes
    -----
    The maps are padded so that sizes fit, where the paper pads the image by 100 pixels
    and crops. As in the paper, the last enlargement is bilinear and fixed, and those
    before are trained; these begin with random weights.

    References
    ----------
    .. [1] Long, Shelhamer and Darrell, "Fully convolutional networks for semantic
       segmentation", 2015.

    Examples
    --------
    >>> from sklearn_convnet.architectures import fcn
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(fcn(n_maps=2)).output_shape((96, 64, 3))
    (96, 64, 2)
    """
    _chosen("stride", stride, dict.fromkeys((8, 16, 32)))
    stages = _vgg_stages("D", width, activation, batch_norm=False)
    head = []
    for i, (size, maps) in enumerate(zip((7, 1), units, strict=True), start=6):
        head += _convolution(str(i), maps, size, activation)
        head.append((f"dropout{i}", Dropout(dropout)))
    head.append(("score", Conv2D(n_maps, 1, activation=None)))

    def doubled():
        return ConvTranspose2D(n_maps, 4, stride=2, padding="same", activation=None, use_bias=False)

    def scores_added(stage, body):
        """The scores of a stage are added to those of all that follows it."""
        score = Conv2D(n_maps, 1, activation=None)
        return [(f"skip{stage}", Residual([*body, ("double", doubled())], score))]

    body = [*stages[4], *head]
    if stride <= 16:
        body = scores_added(4, body)
    body = [*stages[3], *body]
    if stride <= 8:
        body = scores_added(3, body)
    body = [*stages[0], *stages[1], *stages[2], *body]
    return [*body, ("enlarge", Upsample2D(stride, interpolation="bilinear"))]


def unet(
    width: float = 1.0,
    depth: int = 4,
    dropout: float = 0.5,
    activation: str = "relu",
    batch_norm: bool = False,
) -> list[tuple[str, Layer]]:
    """U-net: down to small maps and up again, with skip connections at each level [1]_.

    Parameters
    ----------
    width : float, default=1.0
        Factor on the number of filters: 64 at the top, twice as many at each level
        below.
    depth : int, default=4
        Number of times that the maps are halved.
    dropout : float, default=0.5
        Share of the lowest maps that is dropped in training.
    activation : str, default="relu"
        Of all convolutions but the transposed ones.
    batch_norm : bool, default=False
        Whether a batch norm follows each of these convolutions, which the paper does
        not have.

    Returns
    -------
    list of (str, Layer)
        For images whose sides are multiples of ``2 ** depth``. The output has their
        size, and 64 maps.

    Notes
    -----
    The maps are padded so that the output has the size of the image, where the paper
    loses a margin. A level is the layer ``level``: a `Parallel` of the maps themselves
    and of all that lies below, ``level__branch2``.

    References
    ----------
    .. [1] Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical
       image segmentation", 2015.

    Examples
    --------
    >>> from sklearn_convnet.architectures import unet
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(unet()).output_shape((64, 96, 1))
    (64, 96, 64)
    >>> [name for name, _ in unet()]
    ['conv1', 'conv2', 'level', 'conv3', 'conv4']
    """
    if depth < 0:
        raise ValueError(f"depth must be at least 0, got {depth!r}")

    def pair_of_convolutions(first, filters):
        pairs = []
        for i in (first, first + 1):
            pairs += _convolution(str(i), filters, 3, activation, batch_norm)
        return pairs

    layers = []
    for i in reversed(range(depth + 1)):
        filters = _scaled(64, width) * 2**i
        down = pair_of_convolutions(1, filters)
        if i == depth:
            layers = [*down, ("dropout", Dropout(dropout))]
            continue
        below = [
            ("pool", MaxPool2D(2)),
            *layers,
            ("double", ConvTranspose2D(filters, 2, stride=2, activation=None)),
        ]
        level = Parallel(["passthrough", below])
        layers = [*down, ("level", level), *pair_of_convolutions(3, filters)]
    return layers
