"""Networks for signals."""

from ..layers import Conv1D, Conv2D, Dropout, GlobalAvgPool, GlobalMaxPool, HeterogeneousMaxPool
from .parts import _chosen, _dense, _equally_many


def tdnn(
    filters=(8, 3),
    kernel_sizes=(3, 5),
    dilations=(1, 1),
    dropout=0.0,
    activation="logistic",
    pool="mean",
):
    """Time-delay network: a scan along time, whose evidence is put together [1]_.

    Parameters
    ----------
    filters : tuple of int, default=(8, 3)
        Number of units of each layer.
    kernel_sizes : tuple of int, default=(3, 5)
        Number of time steps that a unit of each layer sees.
    dilations : tuple of int, default=(1, 1)
        Distance of these time steps; growing ones see far [2]_.
    dropout : float, default=0.0
        Share of the outputs of each layer that is dropped in training.
    activation : str, default="logistic"
        Of all layers.
    pool : {"mean", "max"}, default="mean"
        How the outputs at all times are put together.

    Returns
    -------
    list of (str, Layer)
        For signals ``(length, channels)``. 15 frames of 16 channels become 13 x 8, 9 x
        3 and, put together, 3 numbers.

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
    filters=96,
    kernel_size=(5, 11),
    pool_sizes=(1, 2, 4, 6),
    pool_stride=2,
    units=(1024, 1024),
    dropout=0.5,
    activation="relu",
):
    """Network for spectrograms: a scan over frequency, pools of several sizes [1]_.

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
