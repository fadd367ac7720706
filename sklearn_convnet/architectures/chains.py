"""Chains: LeNet-5, AlexNet, ZFNet and VGG."""

from __future__ import annotations

from itertools import chain
from typing import Literal

from ..layers import AvgPool2D, Conv2D, Dense, MaxPool2D
from ..layers.base import Layer
from .parts import _chosen, _convolution, _dense, _response_norm, _scaled


def lenet5(
    width: float = 1.0,
    units: tuple[int, ...] = (120, 84),
    activation: str = "tanh",
    pool: Literal["mean", "max"] = "mean",
) -> list[tuple[str, Layer]]:
    """LeNet-5, a network for handwritten digits [1]_.

    Parameters
    ----------
    width : float, default=1.0
        Factor on the number of filters.
    units : tuple of int, default=(120, 84)
        Sizes of the dense layers.
    activation : str, default="tanh"
        Of all convolutions and dense layers.
    pool : {"mean", "max"}, default="mean"
        Whether pools take the mean, as in the paper, or the maximum, as the network is mostly
        taught today.

    Returns
    -------
    list of (str, Layer)
        For images of 32 x 32 pixels: 28 x 28 x 6, pooled to 14 x 14 x 6, then 10 x 10 x
        16, pooled to 5 x 5 x 16.

    Notes
    -----
    Pools are means and activations tanh, as in the paper; what courses show under this name is
    often ``lenet5(pool="max", activation="relu")``. Some things are simpler than in the paper: the
    second convolution joins all maps (the paper leaves out some connections), the pools have no
    trained coefficients, and tanh is not scaled.

    References
    ----------
    .. [1] LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to
       document recognition", 1998.

    Examples
    --------
    >>> from sklearn_convnet.architectures import lenet5
    >>> from sklearn_convnet.layers import Sequential
    >>> layers = lenet5()
    >>> Sequential(layers[:4]).output_shape((32, 32, 1))
    (5, 5, 16)
    >>> Sequential(layers).output_shape((32, 32, 1))
    (84,)
    """
    pool_layer = _chosen("pool", pool, {"mean": AvgPool2D, "max": MaxPool2D})
    dense = [
        (f"dense{i}", Dense(size, activation=activation)) for i, size in enumerate(units, start=1)
    ]
    return [
        ("conv1", Conv2D(_scaled(6, width), 5, activation=activation)),
        ("pool1", pool_layer(2)),
        ("conv2", Conv2D(_scaled(16, width), 5, activation=activation)),
        ("pool2", pool_layer(2)),
        *dense,
    ]


#: Of AlexNet: filters, padding of the first convolution, and True if responses are normalised.
_ALEXNET = {
    "paper": ((96, 256, 384, 384, 256), "valid", True),
    "torchvision": ((64, 192, 384, 256, 256), 2, False),
}


def _alexnet_maps(
    width, activation, groups, padding, filters=_ALEXNET["paper"][0], response_norms=True
):
    """The convolutions and pools of AlexNet."""
    first, second, third, *last = filters

    def response(i):
        return [(f"response{i}", _response_norm())] if response_norms else []

    return [
        (
            "conv1",
            Conv2D(_scaled(first, width), 11, stride=4, padding=padding, activation=activation),
        ),
        *response(1),
        ("pool1", MaxPool2D(3, stride=2)),
        (
            "conv2",
            Conv2D(
                _scaled(second, width),
                5,
                padding="same",
                groups=groups,
                activation=activation,
            ),
        ),
        *response(2),
        ("pool2", MaxPool2D(3, stride=2)),
        *_convolution("3", _scaled(third, width), 3, activation),
        *(
            (
                f"conv{i}",
                Conv2D(
                    _scaled(n, width),
                    3,
                    padding="same",
                    groups=groups,
                    activation=activation,
                ),
            )
            for i, n in enumerate(last, start=4)
        ),
        ("pool3", MaxPool2D(3, stride=2)),
    ]


def alexnet(
    width: float = 1.0,
    units: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
    activation: str = "relu",
    groups: int = 1,
    version: Literal["paper", "torchvision"] = "paper",
) -> list[tuple[str, Layer]]:
    """AlexNet, winner of ImageNet 2012 [1]_.

    Parameters
    ----------
    width : float, default=1.0
        Factor on the number of filters.
    units : tuple of int, default=(4096, 4096)
        Sizes of the dense layers.
    dropout : float, default=0.5
        Share of the outputs of each dense layer that is dropped in training.
    activation : str, default="relu"
        Of all convolutions and dense layers.
    groups : int, default=1
        Number of groups of convolutions 2, 4 and 5. The paper has 2, one for each of its graphics
        processors.
    version : {"paper", "torchvision"}, default="paper"
        The network of the paper, or that of torchvision, after [2]_: for images of 224 x 224
        pixels, with fewer filters, without response norms, and with dropout before the dense
        layers. See :func:`sklearn_convnet.interchange.load_torch`.

    Returns
    -------
    list of (str, Layer)
        For images of 227 x 227 pixels: 55 x 55 x 96, 27 x 27 x 256, 13 x 13 x 384, and
        6 x 6 x 256 before the dense layers.

    Notes
    -----
    With an output of 1000 classes it has 62,378,344 parameters, with ``groups=2``
    60,965,224: both are the "60 million" of the paper; the version of torchvision has
    61,100,840. One group is the default, as every map is then a function of all maps before.
    The second convolution has stride 1.

    References
    ----------
    .. [1] Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep
       convolutional neural networks", 2012.
    .. [2] Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.

    Examples
    --------
    >>> from sklearn_convnet.architectures import alexnet
    >>> from sklearn_convnet.layers import Sequential
    >>> layers = alexnet()
    >>> Sequential(layers[:10]).output_shape((227, 227, 3))
    (6, 6, 256)
    >>> Sequential(layers).output_shape((227, 227, 3))
    (4096,)
    """
    filters, padding, response_norms = _chosen("version", version, _ALEXNET)
    return [
        *_alexnet_maps(width, activation, groups, padding, filters, response_norms),
        *_dense(units, dropout, activation, dropout_first=version == "torchvision"),
    ]


def zfnet(
    width: float = 1.0,
    units: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
    activation: str = "relu",
) -> list[tuple[str, Layer]]:
    """ZFNet, winner of ImageNet 2013 [1]_.

    Parameters
    ----------
    width : float, default=1.0
        Factor on the number of filters.
    units : tuple of int, default=(4096, 4096)
        Sizes of the dense layers.
    dropout : float, default=0.5
        Share of the outputs of each dense layer that is dropped in training.
    activation : str, default="relu"
        Of all convolutions and dense layers.

    Returns
    -------
    list of (str, Layer)
        For images of 224 x 224 pixels: maps of 110 x 110, pooled to 55 x 55, 26 x 26,
        pooled to 13 x 13, and pooled to 6 x 6 before the dense layers.

    Notes
    -----
    Its last three convolutions have 512, 1024 and 512 filters, the larger of the two
    models in the paper. The contrast normalisation is that of :func:`alexnet`.

    References
    ----------
    .. [1] Zeiler and Fergus, "Visualizing and understanding convolutional networks",
       2014.

    Examples
    --------
    >>> from sklearn_convnet.architectures import zfnet
    >>> from sklearn_convnet.layers import Sequential
    >>> layers = zfnet()
    >>> Sequential(layers[:10]).output_shape((224, 224, 3))
    (6, 6, 512)
    """
    return [
        (
            "conv1",
            Conv2D(_scaled(96, width), 7, stride=2, padding=1, activation=activation),
        ),
        ("pool1", MaxPool2D(3, stride=2, padding="same")),
        ("response1", _response_norm()),
        ("conv2", Conv2D(_scaled(256, width), 5, stride=2, activation=activation)),
        ("pool2", MaxPool2D(3, stride=2, padding="same")),
        ("response2", _response_norm()),
        *_convolution("3", _scaled(512, width), 3, activation),
        *_convolution("4", _scaled(1024, width), 3, activation),
        *_convolution("5", _scaled(512, width), 3, activation),
        ("pool3", MaxPool2D(3, stride=2)),
        *_dense(units, dropout, activation),
    ]


#: Filter sizes of each stage.
_VGG = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "A-LRN": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}


def _vgg_stages(config, width, activation, batch_norm):
    """The layers of each stage up to its pool."""
    stages = []
    for i, (sizes, filters) in enumerate(
        zip(_VGG[config], (64, 128, 256, 512, 512), strict=True), start=1
    ):
        stage = []
        for j, size in enumerate(sizes, start=1):
            filters_here = _scaled(filters, width)
            stage += _convolution(f"{i}_{j}", filters_here, size, activation, batch_norm)
        if i == 1 and config == "A-LRN":
            stage.append(("response1", _response_norm()))
        stages.append([*stage, (f"pool{i}", MaxPool2D(2))])
    return stages


def vgg(
    config: Literal["A", "A-LRN", "B", "C", "D", "E"] = "D",
    width: float = 1.0,
    units: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.5,
    activation: str = "relu",
    batch_norm: bool = False,
) -> list[tuple[str, Layer]]:
    """The networks of the Visual Geometry Group: small filters, many layers [1]_.

    Parameters
    ----------
    config : {"A", "A-LRN", "B", "C", "D", "E"}, default="D"
        The column of the paper's table: 11, 11, 13, 16, 16 or 19 layers with weights.
        "D" is known as VGG-16, "E" as VGG-19.
    width : float, default=1.0
        Factor on the number of filters.
    units : tuple of int, default=(4096, 4096)
        Sizes of the dense layers.
    dropout : float, default=0.5
        Share of the outputs of each dense layer that is dropped in training.
    activation : str, default="relu"
        Of all convolutions and dense layers.
    batch_norm : bool, default=False
        Whether a batch norm follows each convolution, which the paper did not have yet:
        it trained the deeper networks from the weights of "A".

    Returns
    -------
    list of (str, Layer)
        Five stages, each of which halves the maps: 224 x 224 pixels become 7 x 7 x 512.

    References
    ----------
    .. [1] Simonyan and Zisserman, "Very deep convolutional networks for large-scale
       image recognition", 2015.

    Examples
    --------
    >>> from sklearn_convnet.architectures import vgg
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(vgg("D")[:-4]).output_shape((224, 224, 3))
    (7, 7, 512)
    >>> [name for name, _ in vgg("A")][:4]
    ['conv1_1', 'pool1', 'conv2_1', 'pool2']
    """
    _chosen("config", config, _VGG)
    stages = _vgg_stages(config, width, activation, batch_norm)
    return [*chain(*stages), *_dense(units, dropout, activation)]
