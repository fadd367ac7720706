"""Separable convolutions throughout: Xception."""

from __future__ import annotations

from ..layers import (
    Activation,
    BatchNorm,
    Dropout,
    GlobalAvgPool,
    MaxPool2D,
    Residual,
    SeparableConv2D,
    Sequential,
)
from ..layers.base import Layer
from .parts import _KERAS_EPSILON, _bare, _scaled

#: Filters of the blocks before the middle ones, each of which halves the maps.
_ENTRY = (128, 256, 728)
_MIDDLE = 728
_EXIT = (728, 1024)
_LAST = (1536, 2048)


def _separable(filters):
    """A separable convolution before a batch norm."""
    return SeparableConv2D(
        filters,
        3,
        padding="same",
        activation=None,
        use_bias=False,
        kernel_initializer="he_normal",
    )


def _norm():
    return BatchNorm(epsilon=_KERAS_EPSILON)


def _separables(filters, activation, activation_first=True):
    """An activation, a separable convolution and a batch norm, for each of some filters."""
    layers = []
    for i, n in enumerate(filters, start=1):
        if i > 1 or activation_first:
            layers.append((f"activation{i}", Activation(activation)))
        layers += [(f"conv{i}", _separable(n)), (f"norm{i}", _norm())]
    return layers


def _reducing(layers, filters, stride):
    """A block whose maps are pooled, beside a convolution of single pixels with the stride."""
    pool = MaxPool2D(3, stride=stride, padding="same")
    shortcut = Sequential([("conv", _bare(filters, 1, stride)), ("norm", _norm())])
    return Residual([*layers, ("pool", pool)], shortcut)


def xception(
    width: float = 1.0,
    n_middle_blocks: int = 8,
    strides: tuple[int, ...] = (2, 2, 2, 2, 2),
    dropout: float = 0.5,
    activation: str = "relu",
) -> list[tuple[str, Layer]]:
    """Xception: residual blocks of separable convolutions [1]_.

    Parameters
    ----------
    width : float, default=1.0
        Factor on the number of filters.
    n_middle_blocks : int, default=8
        Number of blocks in the middle, of three convolutions each.
    strides : tuple of int, default=(2, 2, 2, 2, 2)
        Of the first convolution and of the four blocks that halve the maps, three of them before
        the middle and one after it. Small images need less: 32 x 32 pixels become 4 x 4 with
        ``(1, 1, 2, 2, 2)``.
    dropout : float, default=0.5
        Share of the last averages that is dropped in training.
    activation : str, default="relu"
        Of all convolutions.

    Returns
    -------
    list of (str, Layer)
        299 x 299 pixels become 147 x 147 x 64, 74 x 74 x 128, 37 x 37 x 256, 19 x 19 x 728, 10 x 10
        x 1024 and, averaged, 2048 numbers.

    Notes
    -----
    With an output of 1000 classes it has 22,855,952 parameters, as in Keras, where the author's
    code is; from there is also what batch norms add to the variance, 0.001. As there,
    the two convolutions at the beginning are not padded.

    References
    ----------
    .. [1] Chollet, "Xception: deep learning with depthwise separable convolutions", 2017.

    Examples
    --------
    >>> from sklearn_convnet.architectures import xception
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(xception()).output_shape((299, 299, 3))
    (2048,)
    """
    if n_middle_blocks < 0:
        raise ValueError(f"n_middle_blocks must be at least 0, got {n_middle_blocks!r}")
    if len(strides) != 2 + len(_ENTRY):
        raise ValueError(
            "strides must have 5 entries, of the first convolution and of four blocks, got "
            f"{len(strides)}"
        )
    first, *entry_strides, exit_stride = strides
    blocks = []
    for filters, stride in zip(_ENTRY, entry_strides, strict=True):
        n = _scaled(filters, width)
        # The maps before the first block are those of an activation.
        body = _separables((n, n), activation, activation_first=bool(blocks))
        blocks.append(_reducing(body, n, stride))
    middle = (_scaled(_MIDDLE, width),) * 3
    blocks += [Residual(_separables(middle, activation)) for _ in range(n_middle_blocks)]
    narrow, wide = (_scaled(filters, width) for filters in _EXIT)
    blocks.append(_reducing(_separables((narrow, wide), activation), wide, exit_stride))
    layers = []
    for i, filters in enumerate((32, 64), start=1):
        conv = _bare(_scaled(filters, width), 3, first if i == 1 else 1)
        layers += [(f"conv{i}", conv), (f"norm{i}", _norm())]
        layers.append((f"activation{i}", Activation(activation)))
    layers += [(f"block{i}", block) for i, block in enumerate(blocks, start=1)]
    for i, filters in enumerate(_LAST, start=3):
        layers += [(f"conv{i}", _separable(_scaled(filters, width))), (f"norm{i}", _norm())]
        layers.append((f"activation{i}", Activation(activation)))
    return [*layers, ("average", GlobalAvgPool()), ("dropout", Dropout(dropout))]
