"""Networks for signals."""

from __future__ import annotations

from typing import Literal

from ..layers import (
    Activation,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dropout,
    GlobalAvgPool,
    GlobalMaxPool,
    HeterogeneousMaxPool,
    MaxPool1D,
    Parallel,
    Residual,
    Sequential,
)
from ..layers.base import Layer
from .parts import _KERAS_EPSILON, _chosen, _dense, _equally_many


def tdnn(
    filters: tuple[int, ...] = (8, 3),
    kernel_sizes: tuple[int, ...] = (3, 5),
    dilations: tuple[int, ...] = (1, 1),
    dropout: float = 0.0,
    activation: str = "logistic",
    pool: Literal["mean", "max"] = "mean",
) -> list[tuple[str, Layer]]:
    """Time-delay neural network: convolutions along time, then a pool over all times [1]_.

    Parameters
    ----------
    filters : tuple of int, default=(8, 3)
        Number of units of each layer.
    kernel_sizes : tuple of int, default=(3, 5)
        Number of time steps that a unit of each layer sees.
    dilations : tuple of int, default=(1, 1)
        Distance between these time steps; growing distances see far [2]_.
    dropout : float, default=0.0
        Share of the outputs of each layer that is dropped in training.
    activation : str, default="logistic"
        Of all layers.
    pool : {"mean", "max"}, default="mean"
        How the outputs at all times are pooled.

    Returns
    -------
    list of (str, Layer)
        For signals ``(length, channels)``. 15 frames of 16 channels become 13 x 8, 9 x 3 and,
        pooled, 3 numbers.

    Notes
    -----
    In the paper the last 3 units are those of the classes; here an output layer
    follows.

    References
    ----------
    .. [1] Waibel, Hanazawa, Hinton, Shikano and Lang, "Phoneme recognition using
       time-delay neural networks", 1989.
    .. [2] Peddinti, Povey and Khudanpur, "A time delay neural network architecture for
       efficient modeling of long temporal contexts", 2015.

    Examples
    --------
    >>> from sklearn_convnet.architectures import tdnn
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(tdnn()).output_shape((15, 16))
    (3,)
    """
    _equally_many(filters=filters, kernel_sizes=kernel_sizes, dilations=dilations)
    pool_layer = _chosen("pool", pool, {"mean": GlobalAvgPool, "max": GlobalMaxPool})
    layers = []
    for i, (n, size, dilation) in enumerate(
        zip(filters, kernel_sizes, dilations, strict=True), start=1
    ):
        conv = Conv1D(n, size, dilation=dilation, activation=activation)
        layers += [(f"conv{i}", conv), (f"dropout{i}", Dropout(dropout))]
    return [*layers, ("pool", pool_layer())]


def speech_cnn(
    filters: int = 96,
    kernel_size: tuple[int, ...] = (5, 11),
    pool_sizes: tuple[int, ...] = (1, 2, 4, 6),
    pool_stride: int = 2,
    units: tuple[int, ...] = (1024, 1024),
    dropout: float = 0.5,
    activation: str = "relu",
) -> list[tuple[str, Layer]]:
    """Network for spectrograms: convolutions, and pools of several sizes along frequency [1]_.

    How far a pattern may be shifted in frequency before it is another sound differs
    from sound to sound; so groups of maps are pooled over ranges of different size.

    Parameters
    ----------
    filters : int, default=96
        Number of maps, a multiple of the number of pools.
    kernel_size : tuple of int, default=(5, 11)
        Number of frequency bands and of frames that a filter sees.
    pool_sizes : tuple of int, default=(1, 2, 4, 6)
        Number of bands in the windows of each group of maps.
    pool_stride : int, default=2
        Step along frequency from one window to the next.
    units : tuple of int, default=(1024, 1024)
        Sizes of the dense layers.
    dropout : float, default=0.5
        Share that is dropped in training, of the pooled maps and of each dense layer.
    activation : str, default="relu"
        Of all convolutions and dense layers.

    Returns
    -------
    list of (str, Layer)
        For spectrograms ``(bands, frames, channels)``; channels may be the energies and
        their first and second differences in time. The number of bands is kept by the
        convolution and divided by `pool_stride`; frames are as many as a filter fits
        in.

    Notes
    -----
    Structure and regularisation are those of the paper, the sizes are not: they suit 40
    bands and 11 frames.

    References
    ----------
    .. [1] Deng, Abdel-Hamid and Yu, "A deep convolutional neural network using
       heterogeneous pooling for trading acoustic invariance with phonetic confusion",
       2013.

    Examples
    --------
    >>> from sklearn_convnet.architectures import speech_cnn
    >>> from sklearn_convnet.layers import Sequential
    >>> layers = speech_cnn()
    >>> Sequential(layers[:2]).output_shape((40, 11, 3))
    (20, 1, 96)
    >>> Sequential(layers).output_shape((40, 11, 3))
    (1024,)
    """
    bands, _ = kernel_size
    pads = (((bands - 1) // 2, bands // 2), (0, 0))
    windows = [(size, 1) for size in pool_sizes]
    return [
        ("conv1", Conv2D(filters, kernel_size, padding=pads, activation=activation)),
        ("pool1", HeterogeneousMaxPool(windows, stride=(pool_stride, 1))),
        ("dropout", Dropout(dropout)),
        *_dense(units, dropout, activation),
    ]


def _bare_over_time(filters, kernel_size):
    """A convolution before a batch norm."""
    return Conv1D(
        filters,
        kernel_size,
        padding="same",
        activation=None,
        use_bias=False,
        kernel_initializer="he_normal",
    )


def _inception_over_time(filters, kernel_sizes, bottleneck_filters, activation):
    """Filters of several lengths and a pool side by side; a bottleneck of None is left out."""
    convolutions = Parallel([_bare_over_time(filters, size) for size in kernel_sizes])
    bottleneck = []
    if bottleneck_filters is not None:
        bottleneck = [("bottleneck", _bare_over_time(bottleneck_filters, 1))]
    pool = MaxPool1D(3, stride=1, padding="same")
    branches = [
        [*bottleneck, ("convolutions", convolutions)],
        [("pool", pool), ("conv", _bare_over_time(filters, 1))],
    ]
    return Sequential(
        [
            ("branches", Parallel(branches)),
            ("norm", BatchNorm(epsilon=_KERAS_EPSILON)),
            ("activation", Activation(activation)),
        ]
    )


def inception_time(
    filters: int = 32,
    kernel_sizes: tuple[int, ...] = (40, 20, 10),
    depth: int = 6,
    bottleneck_filters: int = 32,
    first_bottleneck: bool = False,
    activation: str = "relu",
) -> list[tuple[str, Layer]]:
    """InceptionTime: long filters of several lengths side by side, for series [1]_.

    Parameters
    ----------
    filters : int, default=32
        Number of filters of each length, and of those after the pool of each module.
    kernel_sizes : tuple of int, default=(40, 20, 10)
        Number of time steps that these filters see. They may be longer than the series.
    depth : int, default=6
        Number of modules. A shortcut leads around every three of them.
    bottleneck_filters : int, default=32
        Number of maps to which a module brings its input down before the long filters.
    first_bottleneck : bool, default=False
        Whether the first module does so too, as it does in the paper where a series has several
        channels.
    activation : str, default="relu"
        Of all modules.

    Returns
    -------
    list of (str, Layer)
        For signals ``(length, channels)``: maps of the same length, 128 of them, and 128 averages.

    Notes
    -----
    Without the output layer it has 420,192 parameters for series of one channel. The paper takes
    the average of the probabilities of five of these networks, which differ in `random_state`: see
    :class:`sklearn.ensemble.VotingClassifier` with ``voting="soft"``.

    As in the authors' code, nothing is activated between a bottleneck and the long filters, the
    shortcuts are pointwise convolutions with a batch norm, and batch norms add 0.001 to the
    variance; their momentum is that of :class:`BatchNorm`, which suits trainings of fewer steps.

    References
    ----------
    .. [1] Ismail Fawaz et al., "InceptionTime: finding AlexNet for time series classification",
       2020.

    Examples
    --------
    >>> from sklearn_convnet.architectures import inception_time
    >>> from sklearn_convnet.layers import Sequential
    >>> Sequential(inception_time()).output_shape((251, 1))
    (128,)
    >>> [name for name, _ in inception_time()]
    ['block1', 'activation1', 'block2', 'activation2', 'average']
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth!r}")
    modules = []
    for i in range(depth):
        bottleneck = bottleneck_filters if i or first_bottleneck else None
        module = _inception_over_time(filters, kernel_sizes, bottleneck, activation)
        modules.append((f"module{i + 1}", module))
    layers = []
    for i in range(1, depth // 3 + 1):
        conv = _bare_over_time(filters * (len(kernel_sizes) + 1), 1)
        shortcut = Sequential([("conv", conv), ("norm", BatchNorm(epsilon=_KERAS_EPSILON))])
        layers.append((f"block{i}", Residual(modules[3 * i - 3 : 3 * i], shortcut)))
        layers.append((f"activation{i}", Activation(activation)))
    return [*layers, *modules[depth - depth % 3 :], ("average", GlobalAvgPool())]
