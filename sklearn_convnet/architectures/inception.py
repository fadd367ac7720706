"""Inception: GoogLeNet."""

from ..layers import (
    AuxiliaryHead,
    AvgPool2D,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool,
    MaxPool2D,
    Parallel,
)
from .parts import _convolution, _response_norm, _scaled

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


def _inception(filters, width, activation):
    """Four branches: 1x1, 3x3, 5x5, and a pool."""
    one, reduce3, three, reduce5, five, project = (_scaled(f, width) for f in filters)

    def conv(n, size):
        return Conv2D(n, size, padding="same", activation=activation)

    return Parallel(
        [
            [("conv", conv(one, 1))],
            [("reduce", conv(reduce3, 1)), ("conv", conv(three, 3))],
            [("reduce", conv(reduce5, 1)), ("conv", conv(five, 5))],
            [("pool", MaxPool2D(3, stride=1, padding=1)), ("conv", conv(project, 1))],
        ]
    )


def _auxiliary_head(width, activation):
    """A second classifier, on the maps of the middle."""
    return AuxiliaryHead(
        [
            ("pool", AvgPool2D(5, stride=3)),
            ("conv", Conv2D(_scaled(128, width), 1, activation=activation)),
            ("dense", Dense(_scaled(1024, width), activation=activation)),
            ("dropout", Dropout(0.7)),
        ],
        weight=0.3,
    )


def googlenet(width=1.0, dropout=0.4, activation="relu", auxiliary=False):
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

    Returns
    -------
    list of (str, Layer)
        224 x 224 pixels become 56 x 56 x 64, 28 x 28 x 192, 14 x 14 x 480, 7 x 7 x 832
        and, averaged, 1024 numbers.

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
    modules = {"3": [], "4": [], "5": []}
    for name, filters in _INCEPTION.items():
        block = _inception(filters, width, activation)
        modules[name[0]].append((f"inception{name}", block))
        if auxiliary and name in _BEFORE_HEADS:
            head = _BEFORE_HEADS[name], _auxiliary_head(width, activation)
            modules[name[0]].append(head)
    return [
        (
            "conv1",
            Conv2D(_scaled(64, width), 7, stride=2, padding=3, activation=activation),
        ),
        ("pool1", MaxPool2D(3, stride=2, padding="same")),
        ("response1", _response_norm()),
        ("reduce2", Conv2D(_scaled(64, width), 1, activation=activation)),
        *_convolution("2", _scaled(192, width), 3, activation),
        ("response2", _response_norm()),
        ("pool2", MaxPool2D(3, stride=2, padding="same")),
        *modules["3"],
        ("pool3", MaxPool2D(3, stride=2, padding="same")),
        *modules["4"],
        ("pool4", MaxPool2D(3, stride=2, padding="same")),
        *modules["5"],
        ("pool5", GlobalAvgPool()),
        ("dropout1", Dropout(dropout)),
    ]
