"""Filters of several sizes side by side: GoogLeNet and SqueezeNet."""

from __future__ import annotations

from typing import Literal

from ..layers import (
    AuxiliaryHead,
    AvgPool2D,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool,
    MaxPool2D,
    Parallel,
    Sequential,
)
from ..layers.base import Layer
from .parts import _bare, _chosen, _normed, _response_norm, _scaled

#: Filters of each module: 1x1; 3x3 reduced, 3x3; 5x5 reduced, 5x5; after the pool.
_INCEPTION = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}

#: The auxiliary classifiers, by the module whose maps they see.
_BEFORE_HEADS = {"4a": "aux1", "4d": "aux2"}


class _Paper:
    """The parts of the network of the paper."""

    #: Size of the larger filters of a module, and of the fourth pool.
    larger, fourth_pool = 5, 3

    def __init__(self, width, activation):
        self.width = width
        self.activation = activation

    def conv(self, prefix, suffix, filters, size, stride=1, padding="same"):
        """A convolution and what stands after it."""
        options = dict(stride=stride, padding=padding, activation=self.activation)
        return [(f"{prefix}{suffix}", Conv2D(_scaled(filters, self.width), size, **options))]

    def response(self, i):
        return [(f"response{i}", _response_norm())]

    def pool(self, size=3):
        return MaxPool2D(size, stride=2, padding="same")


class _Torchvision(_Paper):
    """Those of torchvision, which come from TensorFlow."""

    larger, fourth_pool = 3, 2

    def conv(self, prefix, suffix, filters, size, stride=1, padding="same"):
        conv = _bare(_scaled(filters, self.width), size, stride, padding)
        end = f"_reduce{suffix}" if prefix == "reduce" else suffix
        return _normed(f"{prefix}{suffix}", conv, end, self.activation)

    def response(self, i):
        return []

    def pool(self, size=3):
        # Windows that begin inside of the maps are clipped, and count.
        return MaxPool2D(size, stride=2, padding=((0, 1), (0, 1)))


_GOOGLENET = {"paper": _Paper, "torchvision": _Torchvision}


def _inception(filters, parts):
    """Four branches: 1x1, 3x3, 5x5, and a pool."""
    one, reduce3, three, reduce5, five, project = filters
    conv = parts.conv
    return Parallel(
        [
            conv("conv", "", one, 1),
            [*conv("reduce", "", reduce3, 1), *conv("conv", "", three, 3)],
            [*conv("reduce", "", reduce5, 1), *conv("conv", "", five, parts.larger)],
            [("pool", MaxPool2D(3, stride=1, padding=1)), *conv("conv", "", project, 1)],
        ]
    )


def _auxiliary_head(parts):
    """A second classifier, on the maps of the middle."""
    return AuxiliaryHead(
        [
            ("pool", AvgPool2D(5, stride=3)),
            *parts.conv("conv", "", 128, 1),
            ("dense", Dense(_scaled(1024, parts.width), activation=parts.activation)),
            ("dropout", Dropout(0.7)),
        ],
        weight=0.3,
    )


def googlenet(
    width: float = 1.0,
    dropout: float = 0.4,
    activation: str = "relu",
    auxiliary: bool = False,
    version: Literal["paper", "torchvision"] = "paper",
) -> list[tuple[str, Layer]]:
    """GoogLeNet: filters of several sizes side by side, nine times over [1]_.

    Parameters
    ----------
    width : float, default=1.0
        Factor on the number of filters.
    dropout : float, default=0.4
        Share of the last averages that is dropped in training.
    activation : str, default="relu"
        Of all convolutions.
    auxiliary : bool, default=False
        Whether the two auxiliary classifiers of the paper are there, ``aux1`` after the module 4a
        and ``aux2`` after 4d: `AuxiliaryHead`, whose loss counts 0.3 in training. With 1000 classes
        they have 6.4 million parameters, beside the 7.0 million of the network.
    version : {"paper", "torchvision"}, default="paper"
        The network of the paper, or that of torchvision: with a batch norm after each convolution
        and without response norms, with 3 x 3 pixels in place of 5 x 5, and with a fourth pool of
        2 x 2. See :func:`sklearn_convnet.interchange.load_torch`.

    Returns
    -------
    list of (str, Layer)
        224 x 224 pixels become 56 x 56 x 64, 28 x 28 x 192, 14 x 14 x 480, 7 x 7 x 832
        and, averaged, 1024 numbers.

    Notes
    -----
    With an output of 1000 classes it has 6,998,552 parameters, that of torchvision 6,624,904.

    References
    ----------
    .. [1] Szegedy et al., "Going deeper with convolutions", 2015.

    Examples
    --------
    >>> from sklearn_convnet.architectures import googlenet
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(googlenet()).output_shape((224, 224, 3))
    (1024,)
    """
    parts = _chosen("version", version, _GOOGLENET)(width, activation)
    modules = {"3": [], "4": [], "5": []}
    for name, filters in _INCEPTION.items():
        modules[name[0]].append((f"inception{name}", _inception(filters, parts)))
        if auxiliary and name in _BEFORE_HEADS:
            modules[name[0]].append((_BEFORE_HEADS[name], _auxiliary_head(parts)))
    return [
        *parts.conv("conv", "1", 64, 7, stride=2, padding=3),
        ("pool1", parts.pool()),
        *parts.response(1),
        *parts.conv("reduce", "2", 64, 1),
        *parts.conv("conv", "2", 192, 3),
        *parts.response(2),
        ("pool2", parts.pool()),
        *modules["3"],
        ("pool3", parts.pool()),
        *modules["4"],
        ("pool4", parts.pool(parts.fourth_pool)),
        *modules["5"],
        ("pool5", GlobalAvgPool()),
        ("dropout1", Dropout(dropout)),
    ]


#: Filters and size of the first convolution, and the modules after which maps are pooled.
_SQUEEZENET = {"1.0": ((96, 7), (3, 7)), "1.1": ((64, 3), (2, 4))}
#: Maps of each fire module between its two parts, a fourth of those that each size of filter makes.
_SQUEEZED = (16, 16, 32, 32, 48, 48, 64, 64)


def _fire(squeezed, activation):
    """To few maps by single pixels, and to many by filters of two sizes."""
    sizes = [Conv2D(4 * squeezed, k, padding="same", activation=activation) for k in (1, 3)]
    squeeze = Conv2D(squeezed, 1, activation=activation)
    return Sequential([("squeeze", squeeze), ("expand", Parallel(sizes))])


def squeezenet(
    version: Literal["1.0", "1.1"] = "1.1",
    width: float = 1.0,
    dropout: float = 0.5,
    activation: str = "relu",
) -> list[tuple[str, Layer]]:
    """SqueezeNet: the accuracy of AlexNet with a fiftieth of its parameters [1]_.

    Parameters
    ----------
    version : {"1.0", "1.1"}, default="1.1"
        The network of the paper, or that of its authors from a few weeks later, which is as good
        and takes less than half the time.
    width : float, default=1.0
        Factor on the number of filters.
    dropout : float, default=0.5
        Share of the last maps that is dropped in training.
    activation : str, default="relu"
        Of all convolutions.

    Returns
    -------
    list of (str, Layer)
        224 x 224 pixels become 13 x 13 x 512 and, averaged, 512 numbers.

    Notes
    -----
    With an output of 1000 classes it has 1,235,496 parameters, version 1.0 1,248,424. In the paper
    the last convolution makes a map for each class, which is rectified and averaged; here the
    output layer, with as many weights, sees the averages of the maps before it.

    References
    ----------
    .. [1] Iandola, Han, Moskewicz, Ashraf, Dally and Keutzer, "SqueezeNet: AlexNet-level accuracy
       with 50x fewer parameters and < 0.5 MB model size", 2016.

    Examples
    --------
    >>> from sklearn_convnet.architectures import squeezenet
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(squeezenet()).output_shape((224, 224, 3))
    (512,)
    """
    (filters, size), pooled_after = _chosen("version", version, _SQUEEZENET)

    def pool():
        # Where no window would begin at the last pixel, it is clipped there.
        return MaxPool2D(3, stride=2, padding=((0, 1), (0, 1)))

    conv = Conv2D(_scaled(filters, width), size, stride=2, activation=activation)
    layers = [("conv1", conv), ("pool1", pool())]
    n_pools = 1
    for i, squeezed in enumerate(_SQUEEZED, start=1):
        layers.append((f"fire{i}", _fire(_scaled(squeezed, width), activation)))
        if i in pooled_after:
            n_pools += 1
            layers.append((f"pool{n_pools}", pool()))
    return [*layers, ("dropout", Dropout(dropout)), ("average", GlobalAvgPool())]
