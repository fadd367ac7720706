"""Well-known networks, as functions that return `(name, layer)` pairs.

::

    ConvNetClassifier(lenet5(pool="max"))
    GridSearchCV(clf, {"layers": [vgg("A"), resnet(18)]})
    GridSearchCV(clf, {"stage1__block1__conv1__filters": [32, 64]})

The defaults are those of the papers; where something differs, the notes of a function
say so. None has the output layer, which an estimator adds. Names do not depend on
arguments that are not about depth, so that they can stand in a grid: a dropout of rate
0 stays in the list.

# Design:
# * A call makes new layers: nothing is shared between two networks.
# * `width` is a factor on the filters, so that one argument makes every network small.
# * A convolution before a batch norm has no bias, and starts as before a rectifier (He
#   et al., 2015), though its own activation is the identity.
"""

from itertools import chain

from .layers import (
    Activation,
    AvgPool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    DenseBlock,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    HeterogeneousMaxPool,
    LocalResponseNorm,
    MaxPool2D,
    Parallel,
    Rescale,
    Residual,
    Sequential,
    Upsample2D,
)

__all__ = [
    "alexnet",
    "box_localizer",
    "densenet",
    "fcn",
    "googlenet",
    "lenet5",
    "pose_net",
    "resnet",
    "resnet_cifar",
    "speech_cnn",
    "tdnn",
    "unet",
    "vgg",
    "zfnet",
]


# ---------------------------------------------------------------------------
# Parts
# ---------------------------------------------------------------------------


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


def _dense(units, dropout, activation):
    """Dense layers, each with dropout after it."""
    pairs = []
    for i, size in enumerate(units, start=1):
        pairs.append((f"dense{i}", Dense(size, activation=activation)))
        pairs.append((f"dropout{i}", Dropout(dropout)))
    return pairs


def _response_norm():
    """That of AlexNet: ``x / (2 + 1e-4 sum x^2)^0.75`` over 5 maps.

    The paper does not divide the sum by the number of maps, the layer does.
    """
    return LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, bias=2.0)


# ---------------------------------------------------------------------------
# Chains
# ---------------------------------------------------------------------------


def lenet5(width=1.0, units=(120, 84), activation="tanh", pool="mean"):
    """LeNet-5, the reader of digits [1]_.

    Parameters
    ----------
    width : float, default=1.0
        Factor on the number of filters.
    units : tuple of int, default=(120, 84)
        Sizes of the dense layers.
    activation : str, default="tanh"
        Of all convolutions and dense layers.
    pool : {"mean", "max"}, default="mean"
        What the pools take of their windows.

    Returns
    -------
    list of (str, Layer)
        For images of 32 x 32 pixels: 28 x 28 x 6, pooled to 14 x 14 x 6, then 10 x 10 x
        16, pooled to 5 x 5 x 16.

    Notes
    -----
    As it is taught: the second convolution joins all maps (the paper leaves out some
    connections), the pools have no trained coefficients, and tanh is not scaled.

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


def _alexnet_maps(width, activation, groups, padding):
    """The convolutions and pools of AlexNet."""
    return [
        (
            "conv1",
            Conv2D(_scaled(96, width), 11, stride=4, padding=padding, activation=activation),
        ),
        ("response1", _response_norm()),
        ("pool1", MaxPool2D(3, stride=2)),
        (
            "conv2",
            Conv2D(
                _scaled(256, width),
                5,
                padding="same",
                groups=groups,
                activation=activation,
            ),
        ),
        ("response2", _response_norm()),
        ("pool2", MaxPool2D(3, stride=2)),
        *_convolution("3", _scaled(384, width), 3, activation),
        *(
            (
                f"conv{i}",
                Conv2D(
                    _scaled(filters, width),
                    3,
                    padding="same",
                    groups=groups,
                    activation=activation,
                ),
            )
            for i, filters in ((4, 384), (5, 256))
        ),
        ("pool3", MaxPool2D(3, stride=2)),
    ]


def alexnet(width=1.0, units=(4096, 4096), dropout=0.5, activation="relu", groups=1):
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
        Into how many parts convolutions 2, 4 and 5 are cut. The paper has 2, one for
        each of its graphics processors.

    Returns
    -------
    list of (str, Layer)
        For images of 227 x 227 pixels: 55 x 55 x 96, 27 x 27 x 256, 13 x 13 x 384, and
        6 x 6 x 256 before the dense layers.

    Notes
    -----
    With an output of 1000 classes it has 62,378,344 parameters, with ``groups=2``
    60,965,224: both are the "60 million" of the paper. One group is the default, as
    every map is then a function of all maps before. The second convolution has stride
    1.

    References
    ----------
    .. [1] Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep
       convolutional neural networks", 2012.

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
    return [
        *_alexnet_maps(width, activation, groups, "valid"),
        *_dense(units, dropout, activation),
    ]


def zfnet(width=1.0, units=(4096, 4096), dropout=0.5, activation="relu"):
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
    config="D",
    width=1.0,
    units=(4096, 4096),
    dropout=0.5,
    activation="relu",
    batch_norm=False,
):
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


# ---------------------------------------------------------------------------
# Inception
# ---------------------------------------------------------------------------

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


def googlenet(width=1.0, dropout=0.4, activation="relu"):
    """GoogLeNet: filters of several sizes side by side, nine times over [1]_.

    Parameters
    ----------
    width : float, default=1.0
        Factor on the number of filters.
    dropout : float, default=0.4
        Share of the last averages that is dropped in training.
    activation : str, default="relu"
        Of all convolutions.

    Returns
    -------
    list of (str, Layer)
        224 x 224 pixels become 56 x 56 x 64, 28 x 28 x 192, 14 x 14 x 480, 7 x 7 x 832
        and, averaged, 1024 numbers.

    Notes
    -----
    The two auxiliary classifiers, which helped to train it, are left out.

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


# ---------------------------------------------------------------------------
# Residual networks
# ---------------------------------------------------------------------------


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


#: Whether the blocks are bottlenecks, and how many there are in each stage.
_RESNET = {
    18: (False, (2, 2, 2, 2)),
    34: (False, (3, 4, 6, 3)),
    50: (True, (3, 4, 6, 3)),
    101: (True, (3, 4, 23, 3)),
    152: (True, (3, 8, 36, 3)),
}


def resnet(depth=50, width=1.0, activation="relu", pre_activation=False):
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

    Returns
    -------
    list of (str, Layer)
        224 x 224 pixels become 56 x 56 at the first stage and 7 x 7 at the last, whose
        512 or 2048 maps are averaged.

    Notes
    -----
    Where shapes differ, the shortcut is a convolution of single pixels with a batch
    norm (option B of the paper). The first 1 x 1 of a bottleneck has the stride; later
    implementations give it to the 3 x 3, which
    ``set_params(stage2__block1__conv1__stride=1, stage2__block1__conv2__stride=2)`` and
    so on do here.

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
    stages = []
    for i, n_blocks in enumerate(sizes):
        filters = _scaled(64, width) * 2**i
        stage = []
        for j in range(n_blocks):
            stride = 2 if i > 0 and j == 0 else 1
            if bottleneck:
                convolutions = [
                    _bare(filters, 1, stride),
                    _bare(filters, 3, padding=1),
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


def resnet_cifar(depth=20, width=1.0, activation="relu", pre_activation=False, projection=False):
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
        Whether the shortcut of a block that halves the maps has weights: a convolution
        of single pixels (option B of the paper) in place of every other pixel and maps
        of zeros (option A).

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


# ---------------------------------------------------------------------------
# Dense blocks
# ---------------------------------------------------------------------------

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


# ---------------------------------------------------------------------------
# Signals
# ---------------------------------------------------------------------------


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


# ---------------------------------------------------------------------------
# A label for every pixel
# ---------------------------------------------------------------------------


def fcn(n_maps=21, stride=8, width=1.0, units=(4096, 4096), dropout=0.5, activation="relu"):
    """Fully convolutional network: VGG-16 whose scores are enlarged to the image [1]_.

    Parameters
    ----------
    n_maps : int, default=21
        Number of maps that come out: in the paper one for each label.
    stride : {8, 16, 32}, default=8
        Size of the steps in which the last enlargement is made: FCN-8s, FCN-16s or
        FCN-32s. For 16 the scores of pool 4 are added, for 8 also those of pool 3.
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


def unet(width=1.0, depth=4, dropout=0.5, activation="relu", batch_norm=False):
    """U-net: down to small maps and up again, each level with those from above [1]_.

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


# ---------------------------------------------------------------------------
# Where things are
# ---------------------------------------------------------------------------


def box_localizer(
    filters=(32, 64, 128), kernel_size=3, units=(256,), dropout=0.5, activation="relu"
):
    """A network whose maps tell both what is in an image and where.

    The maps are unrolled, not averaged, so that places are kept; what reads the class
    and what reads the box share all layers [1]_.

    Parameters
    ----------
    filters : tuple of int, default=(32, 64, 128)
        Number of maps of each convolution; each is followed by a pool that halves them.
    kernel_size : int, default=3
        Size of the filters.
    units : tuple of int, default=(256,)
        Sizes of the dense layers.
    dropout : float, default=0.5
        Share of the outputs of each dense layer that is dropped in training.
    activation : str, default="relu"
        Of all convolutions and dense layers.

    Returns
    -------
    list of (str, Layer)
        For images whose sides are at least ``2 ** len(filters)``.

    Notes
    -----
    The idea is that of the paper, the sizes are for small images. For large ones take
    the maps of :func:`alexnet` or :func:`vgg`.

    References
    ----------
    .. [1] Sermanet et al., "OverFeat: integrated recognition, localization and
       detection using convolutional networks", 2014.

    Examples
    --------
    >>> from sklearn_convnet.architectures import box_localizer
    >>> from sklearn_convnet.layers import Sequential
    >>> layers = box_localizer()
    >>> Sequential(layers[:6]).output_shape((64, 64, 1))
    (8, 8, 128)
    >>> Sequential(layers).output_shape((64, 64, 1))
    (256,)
    """
    layers = []
    for i, n in enumerate(filters, start=1):
        layers += _convolution(str(i), n, kernel_size, activation)
        layers.append((f"pool{i}", MaxPool2D(2)))
    return [*layers, ("flatten", Flatten()), *_dense(units, dropout, activation)]


def pose_net(width=1.0, units=(4096, 4096), dropout=0.6, activation="relu", groups=1):
    """DeepPose: the maps of AlexNet, read as the joints of a body [1]_.

    Parameters
    ----------
    width : float, default=1.0
        Factor on the number of filters.
    units : tuple of int, default=(4096, 4096)
        Sizes of the dense layers.
    dropout : float, default=0.6
        Share of the outputs of each dense layer that is dropped in training.
    activation : str, default="relu"
        Of all convolutions and dense layers.
    groups : int, default=1
        See :func:`alexnet`.

    Returns
    -------
    list of (str, Layer)
        For images of 220 x 220 pixels: 55 x 55 x 96, 27 x 27 x 256, 13 x 13 x 384, and
        6 x 6 x 256 before the dense layers.

    Notes
    -----
    This is the first stage of the paper, which sees the whole image. Its output layer
    has two numbers for each joint.

    References
    ----------
    .. [1] Toshev and Szegedy, "DeepPose: human pose estimation via deep neural
       networks", 2014.

    Examples
    --------
    >>> from sklearn_convnet.architectures import pose_net
    >>> from sklearn_convnet.layers import Sequential
    >>> layers = pose_net()
    >>> Sequential(layers[:10]).output_shape((220, 220, 3))
    (6, 6, 256)
    """
    return [
        *_alexnet_maps(width, activation, groups, "same"),
        *_dense(units, dropout, activation),
    ]
