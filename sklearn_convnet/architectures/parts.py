"""Parts from which the networks are put together."""

from ..layers import Activation, BatchNorm, Conv2D, Dense, Dropout, LocalResponseNorm

#: What batch norms of TensorFlow and Keras add to variances; some networks were written there.
_KERAS_EPSILON = 1e-3


def _chosen(name, value, table):
    """`table[value]`, or an error that lists what there is."""
    if value not in list(table):
        known = ", ".join(repr(key) for key in table)
        raise ValueError(f"{name} must be one of {known}, got {value!r}")
    return table[value]


def _scaled(filters, width):
    """So many filters times a factor, at least one."""
    if not width > 0:
        raise ValueError(f"width must be above 0, got {width!r}")
    return max(1, round(filters * width))


def _equally_many(**tuples):
    """Raises unless all tuples are equally long."""
    if len({len(values) for values in tuples.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(v)}" for name, v in tuples.items())
        raise ValueError(f"one entry a layer is needed in each, but {lengths}")


def _bare(filters, kernel_size, stride=1, padding="valid"):
    """A convolution before a batch norm or after both, as in residual networks."""
    return Conv2D(
        filters,
        kernel_size,
        stride=stride,
        padding=padding,
        activation=None,
        use_bias=False,
        kernel_initializer="he_normal",
    )


def _convolution(suffix, filters, kernel_size, activation, batch_norm=False):
    """A convolution that keeps the size of the maps, with or without a batch norm."""
    if not batch_norm:
        conv = Conv2D(filters, kernel_size, padding="same", activation=activation)
        return [(f"conv{suffix}", conv)]
    return [
        (f"conv{suffix}", _bare(filters, kernel_size, padding="same")),
        (f"norm{suffix}", BatchNorm()),
        (f"activation{suffix}", Activation(activation)),
    ]


def _normed(name, conv, suffix, activation, epsilon=_KERAS_EPSILON):
    """A convolution, a batch norm and an activation."""
    return [
        (name, conv),
        (f"norm{suffix}", BatchNorm(epsilon=epsilon)),
        (f"activation{suffix}", Activation(activation)),
    ]


def _dense(units, dropout, activation, dropout_first=False):
    """Dense layers, each with dropout after it or before it."""
    pairs = []
    for i, size in enumerate(units, start=1):
        pair = [
            (f"dense{i}", Dense(size, activation=activation)),
            (f"dropout{i}", Dropout(dropout)),
        ]
        pairs += reversed(pair) if dropout_first else pair
    return pairs


def _response_norm():
    """That of AlexNet: ``x / (2 + 1e-4 sum x^2)^0.75`` over 5 maps.

    The paper does not divide the sum by the number of maps, the layer does.
    """
    return LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, bias=2.0)
