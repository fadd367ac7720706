"""One table of layers, which all tests of layers and networks run through.

A new layer gets its rows in `CASES`; nothing else has to be written for it to have its
shapes, gradients, adjoints, pickles and threads tested. Networks in `NETWORKS` are made
of several layers and are tested in the same way.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import dataclass

import numpy as np
import pytest

from sklearn_convnet.layers import (
    Activation,
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Conv3D,
    ConvTranspose1D,
    ConvTranspose2D,
    ConvTranspose3D,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Dense,
    DenseBlock,
    DepthwiseConv1D,
    DepthwiseConv2D,
    DepthwiseConv3D,
    Dropout,
    Flatten,
    Gate,
    GlobalAvgPool,
    GlobalMaxPool,
    GroupNorm,
    HeterogeneousMaxPool,
    LayerNorm,
    LayerScale,
    LocalResponseNorm,
    LpPool1D,
    LpPool2D,
    LpPool3D,
    Maxout,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    NonLocal,
    Parallel,
    PositionEmbedding,
    Rescale,
    Residual,
    SelfAttention,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConv3D,
    Sequential,
    SqueezeExcite,
    Standardize,
    StochasticDepth,
    TransformConv1D,
    TransformConv2D,
    TransformConv3D,
    TransformerBlock,
    TransformPool,
    Upsample1D,
    Upsample2D,
    Upsample3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
    reflection,
    rotation,
    scaling,
)
from sklearn_convnet.layers.activation import ACTIVATIONS
from sklearn_convnet.testing import (
    DTYPES,
    Subject,
    assert_close,
    assert_same,
    assert_same_bits,
    compare_gradients,
    random_functional,
    require_gradients,
)

__all__ = ["assert_close", "assert_same_bits", "random_functional"]  # for the tests as well


@dataclass(frozen=True)
class LayerCase(Subject):
    """A layer, or a list of them, and the shape of a sample.

    `linear`: in training its output is a linear function of its input, plus a constant.
    `kinks`: it is differentiable almost everywhere only.
    `training_differs`: a training forward is not an inference forward.
    """

    linear: bool = False
    kinks: bool = False
    training_differs: bool = False


def _kinks(activation):
    # ELU and softsign have a derivative at 0, but no second one.
    kinks = ("relu", "leaky_relu", "elu", "relu6", "hard_swish", "hard_logistic", "softsign")
    return activation in kinks


def _linear(activation):
    return activation == "identity"


def _conv(layer_type, shape, filters=4, kernel_size=3, **options):
    layer = layer_type(filters, kernel_size, **{"activation": "identity", **options})
    activation = layer.activation
    return LayerCase(layer, shape, _linear(activation), _kinks(activation))


def _max(layer, shape):
    return LayerCase(layer, shape, kinks=True)


def _linear_case(layers, shape):
    return LayerCase(layers, shape, linear=True)


CASES = {
    # Convolutions: every option, each number of axes.
    "conv1d": _conv(Conv1D, (9, 3)),
    "conv1d-stride": _conv(Conv1D, (10, 2), stride=2),
    "conv1d-stride-beyond-filter": _conv(Conv1D, (11, 2), kernel_size=2, stride=4),
    "conv1d-same": _conv(Conv1D, (9, 2), kernel_size=4, padding="same"),
    "conv1d-dilation": _conv(Conv1D, (11, 2), dilation=3),
    "conv1d-groups": _conv(Conv1D, (7, 4), filters=6, groups=2),
    "conv1d-whole": _conv(Conv1D, (7, 2), kernel_size=7),
    "conv2d": _conv(Conv2D, (6, 5, 2)),
    "conv2d-1x1": _conv(Conv2D, (4, 3, 5), kernel_size=1),
    "conv2d-rectangular": _conv(Conv2D, (6, 7, 2), kernel_size=(2, 5), stride=(1, 2)),
    "conv2d-same": _conv(Conv2D, (5, 4, 2), kernel_size=(3, 2), padding="same"),
    "conv2d-same-stride": _conv(
        Conv2D, (7, 6, 2), kernel_size=5, stride=2, padding="same"
    ),
    "conv2d-int-padding": _conv(Conv2D, (4, 5, 2), padding=2),
    "conv2d-pair-padding": _conv(Conv2D, (4, 5, 2), padding=((0, 2), (3, 1)), stride=2),
    "conv2d-tuple-padding": _conv(Conv2D, (4, 5, 2), padding=(1, 0)),
    "conv2d-dilation": _conv(Conv2D, (7, 8, 2), dilation=(2, 3)),
    "conv2d-dilation-same": _conv(
        Conv2D, (6, 7, 1), dilation=2, stride=3, padding="same"
    ),
    "conv2d-depthwise": _conv(Conv2D, (5, 5, 4), groups=4),
    "conv2d-groups": _conv(Conv2D, (5, 4, 6), filters=4, groups=2, padding=1),
    "conv2d-no-bias": _conv(Conv2D, (5, 5, 2), use_bias=False),
    "conv2d-many": _conv(Conv2D, (4, 4, 9), filters=19),
    "conv2d-tiles": _conv(Conv2D, (9, 6, 8), filters=9, padding=1, activation="relu"),
    "conv2d-all": _conv(
        Conv2D, (9, 8, 4), kernel_size=(3, 2), stride=(2, 3), padding=((1, 2), 1),
        dilation=(1, 2), groups=2, activation="tanh",
    ),
    "conv3d": _conv(Conv3D, (4, 4, 3, 2), kernel_size=2),
    "conv3d-options": _conv(
        Conv3D, (4, 5, 3, 2), kernel_size=(1, 3, 2), stride=(2, 1, 2),
        padding=(0, (1, 1), (1, 0)), groups=2,
    ),
    "conv3d-same": _conv(
        Conv3D, (3, 4, 4, 2), filters=2, kernel_size=(3, 2, 2), stride=(1, 2, 3),
        padding="same", dilation=(1, 2, 1),
    ),
    **{
        f"conv2d-{name}": _conv(Conv2D, (5, 4, 2), activation=name)
        for name in ACTIVATIONS
        if name != "identity"
    },
    "conv2d-None": LayerCase(Conv2D(2, 2, activation=None), (4, 4, 1), linear=True),
    # Other convolutions
    "transpose1d": _conv(ConvTranspose1D, (6, 3), stride=2),
    "transpose1d-beyond": _conv(ConvTranspose1D, (5, 2), kernel_size=2, stride=4),
    "transpose2d": _conv(ConvTranspose2D, (4, 3, 2)),
    "transpose2d-stride": _conv(
        ConvTranspose2D, (3, 4, 2), kernel_size=4, stride=(2, 3)
    ),
    "transpose2d-same": _conv(ConvTranspose2D, (3, 4, 2), stride=2, padding="same"),
    "transpose2d-padding": _conv(
        ConvTranspose2D, (4, 3, 2), stride=2, padding=((1, 0), (0, 1)), output_padding=1
    ),
    "transpose2d-relu": _conv(ConvTranspose2D, (3, 3, 2), stride=2, activation="relu"),
    "transpose2d-gelu": _conv(ConvTranspose2D, (3, 3, 2), activation="gelu"),
    "transpose2d-no-bias": _conv(ConvTranspose2D, (3, 3, 2), use_bias=False),
    "transpose1d-groups": _conv(ConvTranspose1D, (6, 4), filters=6, groups=2),
    "transpose2d-dilation": _conv(
        ConvTranspose2D, (3, 4, 2), kernel_size=(3, 2), stride=(2, 3), dilation=(2, 3),
        padding=((1, 0), 2), output_padding=(1, 2),
    ),
    "transpose2d-dilation-same": _conv(
        ConvTranspose2D, (3, 4, 2), stride=2, dilation=2, padding="same"
    ),
    "transpose2d-groups": _conv(
        ConvTranspose2D, (3, 4, 6), filters=3, groups=3, stride=2, activation="tanh"
    ),
    "transpose3d": _conv(ConvTranspose3D, (2, 3, 2, 2), kernel_size=2, stride=2),
    "transpose3d-options": _conv(
        ConvTranspose3D, (2, 2, 3, 4), kernel_size=(1, 2, 3), stride=(2, 1, 2),
        dilation=(1, 3, 1), groups=2, padding=(0, 1, (1, 0)),
    ),
    "depthwise": _linear_case(DepthwiseConv2D(3, activation=None), (5, 6, 3)),
    "depthwise-options": _linear_case(
        DepthwiseConv2D(
            (2, 3), stride=(2, 1), padding="same", multiplier=3, dilation=2,
            activation=None, use_bias=False,
        ),
        (6, 5, 2),
    ),
    "depthwise1d": _linear_case(DepthwiseConv1D(3, activation=None), (9, 3)),
    "depthwise1d-options": LayerCase(
        DepthwiseConv1D(
            3, stride=2, padding=((2, 1),), multiplier=2, dilation=2, activation="tanh"
        ),
        (9, 3),
    ),
    "depthwise3d": _linear_case(DepthwiseConv3D(2, activation=None), (3, 4, 3, 3)),
    "depthwise3d-options": LayerCase(
        DepthwiseConv3D(
            (1, 3, 2), stride=(2, 1, 2), padding="same", multiplier=2, dilation=(1, 2, 1),
            activation="tanh", use_bias=False,
        ),
        (4, 4, 3, 2),
    ),
    "depthwise-relu": LayerCase(DepthwiseConv2D(3, padding=1), (4, 4, 3), kinks=True),
    "separable": _linear_case(SeparableConv2D(4, 3, activation=None), (5, 6, 3)),
    "separable-options": LayerCase(
        SeparableConv2D(
            4, 3, stride=2, padding="same", dilation=2, multiplier=2, activation="tanh",
            use_bias=False,
        ),
        (6, 5, 2),
    ),
    "separable1d": LayerCase(
        SeparableConv1D(4, 3, stride=2, dilation=2, multiplier=2, activation="tanh"), (9, 3)
    ),
    "separable3d": LayerCase(
        SeparableConv3D(4, (1, 3, 2), padding="same", activation="tanh"), (2, 4, 3, 2)
    ),
    "transform-p4": _linear_case(TransformConv2D(2, 3, activation=None), (5, 4, 2)),
    "transform-p4m-max": LayerCase(
        TransformConv2D(2, 3, transforms="p4m", pool="max", activation="tanh"),
        (5, 4, 2),
        kinks=True,
    ),
    "transform-p4-mean": LayerCase(
        TransformConv2D(2, 2, pool="mean", stride=2, padding="same"),
        (4, 5, 2),
        kinks=True,
    ),
    "transform-p4m-mean": LayerCase(
        TransformConv2D(2, 3, transforms="p4m", pool="mean", activation="tanh"), (4, 5, 2)
    ),
    "transform-matrices-max": LayerCase(
        TransformConv2D(
            2, 3, transforms=[rotation(30), scaling(0.7)], pool="max", activation="tanh"
        ),
        (4, 5, 1),
        kinks=True,
    ),
    "transform-matrices": _linear_case(
        TransformConv2D(
            2, (3, 4), transforms=[rotation(30), scaling(0.7) @ rotation(45)],
            activation=None, use_bias=False,
        ),
        (5, 6, 2),
    ),
    "transform-p4-group": _linear_case(
        TransformConv2D(2, 3, group_input=True, padding=1, stride=2, activation=None), (3, 5, 8)
    ),
    "transform-p4m-group-max": LayerCase(
        TransformConv2D(
            1, (2, 3), transforms="p4m", pool="max", group_input=True, activation="tanh"
        ),
        (3, 4, 8),
        kinks=True,
    ),
    "transform-matrices-group": LayerCase(
        TransformConv2D(
            1, 3, transforms=[rotation(60 * k) for k in range(6)], group_input=True,
            activation="tanh", use_bias=False,
        ),
        (4, 3, 6),
    ),
    "transform1d": _linear_case(TransformConv1D(2, 3, activation=None), (6, 2)),
    "transform1d-group": LayerCase(
        TransformConv1D(2, 4, "pm", "mean", group_input=True, stride=2, activation="tanh"), (7, 4)
    ),
    "transform1d-paces": LayerCase(
        TransformConv1D(
            2, 5, [scaling(s, n_axes=1) for s in (1, 1.5, 0.6)], activation="tanh", padding="same"
        ),
        (6, 1),
    ),
    "transform3d": _linear_case(TransformConv3D(1, 2, activation=None), (3, 2, 3, 1)),
    "transform3d-Oh-max": LayerCase(
        TransformConv3D(1, 3, "Oh", "max", padding=1, activation="tanh"), (2, 2, 1, 1), kinks=True
    ),
    "transform3d-group": LayerCase(
        TransformConv3D(
            1, (2, 3, 2), [np.eye(3), reflection(3)], group_input=True, activation="tanh"
        ),
        (3, 3, 2, 4),
    ),
    "transform-pool-max": _max(TransformPool(3), (3, 2, 6)),
    "transform-pool-mean": _linear_case(TransformPool(2, "mean"), (5, 6)),
    "upsample-nearest": _linear_case(Upsample2D((2, 3)), (3, 4, 2)),
    "upsample-bilinear": _linear_case(
        Upsample2D((3, 2), interpolation="bilinear"), (3, 4, 2)
    ),
    "upsample1d-nearest": _linear_case(Upsample1D(3), (5, 2)),
    "upsample1d-linear": _linear_case(Upsample1D(3, interpolation="linear"), (5, 2)),
    "upsample3d-nearest": _linear_case(Upsample3D((2, 1, 3)), (2, 3, 2, 2)),
    "upsample3d-linear": _linear_case(
        Upsample3D((2, 3, 2), interpolation="linear"), (3, 2, 3, 2)
    ),
    # Dense
    "dense-one-unit": _linear_case(Dense(1, activation="identity"), (5,)),
    "dense-no-bias": _linear_case(Dense(4, activation=None, use_bias=False), (6,)),
    "dense-of-maps": _linear_case(Dense(5, activation=None), (3, 2, 2)),
    "dense-of-one": _linear_case(Dense(3, activation=None), (1,)),
    "dense-wide": _linear_case(Dense(33, activation=None), (17,)),
    **{
        f"dense-{name}": LayerCase(
            Dense(5, activation=name), (7,), _linear(name), _kinks(name)
        )
        for name in ACTIVATIONS
    },
    "flatten": _linear_case(Flatten(), (3, 2, 2)),
    "flatten-flat": _linear_case(Flatten(), (4,)),
    # Activations
    **{
        f"{name}-{len(shape) - 1}d": LayerCase(
            Activation(name), shape, _linear(name), _kinks(name)
        )
        for name in ACTIVATIONS
        for shape in [(6,), (4, 3, 5)]
    },
    "activation-None": _linear_case(Activation(None), (4, 2)),
    "leaky_relu-0.3": LayerCase(Activation("leaky_relu", 0.3), (5, 2), kinks=True),
    "leaky_relu-0": LayerCase(Activation("leaky_relu", alpha=0), (5, 2), kinks=True),
    "elu-0.4": LayerCase(Activation("elu", alpha=0.4), (5, 2), kinks=True),
    **{
        f"{name}-wide": LayerCase(Activation(name), (5, 2), kinks=True, bounds=(-9, 9))
        for name in ("relu6", "hard_swish", "hard_logistic")  # beyond all kinks
    },
    "softmax-of-1": LayerCase(Activation("softmax"), (3, 1)),
    # Maxout
    "maxout-flat": _max(Maxout(), (6,)),
    "maxout-1d": _max(Maxout(3), (4, 6)),
    "maxout-2d": _max(Maxout(4), (3, 2, 8)),
    "maxout-3d": _max(Maxout(2), (2, 2, 3, 2)),
    "maxout-1": _linear_case(Maxout(1), (3, 2)),
    # Pools
    "maxpool1d": _max(MaxPool1D(2), (9, 3)),
    "maxpool1d-overlap": _max(MaxPool1D(4, stride=1, padding="same"), (8, 2)),
    "maxpool2d": _max(MaxPool2D(2), (6, 5, 3)),
    "maxpool2d-overlap": _max(MaxPool2D(3, stride=2), (7, 7, 2)),
    "maxpool2d-overlap-more": _max(MaxPool2D((3, 4), stride=(1, 2)), (6, 8, 2)),
    "maxpool2d-beyond": _max(MaxPool2D(2, stride=3), (8, 9, 2)),
    "maxpool2d-same": _max(MaxPool2D(3, stride=2, padding="same"), (6, 5, 2)),
    "maxpool2d-padding": _max(
        MaxPool2D(4, stride=3, padding=((3, 1), (0, 2))), (5, 6, 2)
    ),
    "maxpool2d-1": _max(MaxPool2D(1), (3, 3, 2)),
    "maxpool3d": _max(MaxPool3D((1, 2, 2)), (3, 4, 4, 2)),
    "maxpool3d-overlap": _max(
        MaxPool3D(2, stride=1, padding=(0, (1, 0), 1)), (3, 3, 2, 2)
    ),
    "avgpool1d": _linear_case(AvgPool1D(4), (9, 3)),
    "avgpool1d-same": _linear_case(AvgPool1D(3, stride=2, padding="same"), (8, 2)),
    "avgpool2d": _linear_case(AvgPool2D(2), (6, 5, 3)),
    "avgpool2d-overlap": _linear_case(AvgPool2D(3, stride=(1, 2)), (5, 7, 2)),
    "avgpool2d-beyond": _linear_case(AvgPool2D(2, stride=3), (8, 9, 2)),
    "avgpool2d-padding": _linear_case(
        AvgPool2D(4, stride=3, padding=((3, 1), (0, 2))), (5, 6, 2)
    ),
    "avgpool3d": _linear_case(AvgPool3D(2, padding="same"), (3, 4, 3, 2)),
    "lppool2d": LayerCase(LpPool2D(2), (5, 4, 3)),
    "lppool2d-overlap": LayerCase(LpPool2D((3, 2), stride=1, p=3.5), (4, 5, 2)),
    "lppool2d-1": LayerCase(LpPool2D(2, p=1), (4, 4, 2), kinks=True),
    "lppool1d": LayerCase(LpPool1D(3, stride=2, p=3), (9, 3)),
    "lppool3d": LayerCase(LpPool3D((1, 2, 3), stride=(1, 2, 1)), (2, 4, 4, 2)),
    "heterogeneous1d": _max(HeterogeneousMaxPool([1, 3, 4], stride=2), (9, 6)),
    "heterogeneous3d": _max(
        HeterogeneousMaxPool([(1, 2, 3), 2], stride=(1, 2, 2)), (3, 4, 5, 4)
    ),
    "heterogeneous": _max(
        HeterogeneousMaxPool([(2, 1), (4, 1), (5, 3)], stride=(2, 1)), (7, 4, 6)
    ),
    "globalmax-1d": _max(GlobalMaxPool(), (7, 3)),
    "globalmax-2d": _max(GlobalMaxPool(), (4, 5, 3)),
    "globalmax-3d": _max(GlobalMaxPool(), (2, 3, 2, 2)),
    "globalavg-1d": _linear_case(GlobalAvgPool(), (7, 3)),
    "globalavg-2d": _linear_case(GlobalAvgPool(), (4, 5, 3)),
    "globalavg-3d": _linear_case(GlobalAvgPool(), (2, 3, 2, 2)),
    # Borders
    "zeropadding1d": _linear_case(ZeroPadding1D(((0, 3),)), (4, 2)),
    "zeropadding2d": _linear_case(ZeroPadding2D(2), (3, 4, 2)),
    "zeropadding2d-pairs": _linear_case(ZeroPadding2D(((2, 0), (0, 1))), (3, 4, 2)),
    "zeropadding2d-none": _linear_case(ZeroPadding2D(0), (3, 4, 2)),
    "zeropadding3d": _linear_case(ZeroPadding3D((1, (0, 2), 0)), (2, 3, 4, 2)),
    "cropping1d": _linear_case(Cropping1D(((0, 3),)), (7, 2)),
    "cropping2d": _linear_case(Cropping2D(1), (5, 4, 2)),
    "cropping2d-pairs": _linear_case(Cropping2D(((2, 0), (0, 1))), (5, 4, 2)),
    "cropping3d": _linear_case(Cropping3D((1, (0, 2), 0)), (4, 5, 3, 2)),
    "padded-pools": LayerCase(
        [ZeroPadding2D(((0, 1), (0, 1))), MaxPool2D(2), Cropping2D(((1, 0), 0))],
        (5, 5, 2),
        kinks=True,
    ),
    # Scales
    "rescale": _linear_case(Rescale(0.3, offset=-0.2), (3, 3, 2)),
    "rescale-channels": _linear_case(Rescale((0.3, -2.0), offset=[-0.2, 0.4]), (3, 3, 2)),
    "standardize-flat": _linear_case(Standardize(), (4,)),
    "standardize-channel": _linear_case(Standardize(), (4, 3, 2)),
    "standardize-value": _linear_case(Standardize(per="value"), (3, 2, 2)),
    "batchnorm": LayerCase(BatchNorm(0.3), (3, 3, 2), training_differs=True),
    "batchnorm-flat": LayerCase(BatchNorm(0.3, 0.1), (5,), training_differs=True),
    "batchnorm-transforms": LayerCase(
        BatchNorm(0.3, 0.1, n_transforms=2), (3, 2, 4), training_differs=True
    ),
    "response-norm": LayerCase(LocalResponseNorm(alpha=0.5), (3, 2, 7)),
    "response-norm-even": LayerCase(LocalResponseNorm(4, 2.0, 0.6, 0.5), (3, 5)),
    "layer-norm": LayerCase(LayerNorm(), (4, 3, 5)),
    "layer-norm-flat": LayerCase(LayerNorm(0.1), (7,)),
    "layer-norm-wide": LayerCase(LayerNorm(), (2, 37)),
    "group-norm": LayerCase(GroupNorm(2), (3, 4, 6)),
    "group-norm-1d": LayerCase(GroupNorm(1, epsilon=0.1), (6, 3)),
    "group-norm-3d": LayerCase(GroupNorm(4), (2, 3, 2, 4)),
    "group-norm-flat": LayerCase(GroupNorm(3), (12,)),
    "layer-scale": LayerCase(LayerScale(0.3), (3, 4, 5), linear=True),
    "layer-scale-flat": LayerCase(LayerScale(-0.7), (6,), linear=True),
    "dropout": LayerCase(Dropout(0.4), (7, 5), linear=True, training_differs=True),
    "dropout-0": _linear_case(Dropout(0.0), (4, 3)),
    "depth": LayerCase(StochasticDepth(0.4), (3, 4, 2), linear=True, training_differs=True),
    "depth-flat": LayerCase(StochasticDepth(0.3), (5,), linear=True, training_differs=True),
    "depth-0": _linear_case(StochasticDepth(0.0), (4, 3)),
    # Composition
    "sequential": _linear_case(
        Sequential([Conv2D(2, 2, activation=None), AvgPool2D(2)]), (5, 5, 2)
    ),
    "sequential-nested": LayerCase(
        Sequential(
            [
                ("scale", Rescale(0.5)),
                ("inner", Sequential([Conv1D(3, 2, activation="tanh"), "passthrough"])),
                ("again", Sequential([("conv", Conv1D(2, 3, activation="softplus"))])),
            ]
        ),
        (8, 2),
    ),
    "residual": LayerCase(
        Residual([Conv2D(2, 3, padding="same"), Conv2D(2, 1, activation=None)]),
        (4, 3, 2),
        kinks=True,
    ),
    "residual-projection": LayerCase(
        Residual([Conv2D(3, 3, stride=2, padding="same", activation="tanh")]),
        (5, 4, 2),
        training_differs=True,  # by the batch norm of the projection
    ),
    "residual-shortcut": LayerCase(
        Residual([Dense(3, activation="tanh")], shortcut=Dense(3, activation=None)),
        (4,),
    ),
    "parallel": LayerCase(
        Parallel(
            [Conv2D(2, 1, activation=None), [AvgPool2D(3, 1, "same")], "passthrough"]
        ),
        (4, 3, 2),
        linear=True,
    ),
    "parallel-inception": LayerCase(
        Parallel(
            [
                Conv2D(2, 1, activation="tanh"),
                [Conv2D(2, 1), Conv2D(3, 3, padding="same")],
                [MaxPool2D(3, stride=1, padding="same"), Conv2D(1, 1)],
            ]
        ),
        (4, 4, 2),
        kinks=True,
    ),
    "dense-block": LayerCase(
        DenseBlock(
            [
                Conv2D(2, 3, padding="same", activation="tanh"),
                Sequential([BatchNorm(0.3), Conv2D(3, 1, activation="softplus")]),
            ]
        ),
        (3, 4, 2),
        training_differs=True,
    ),
    "gate-flat": LayerCase(Gate([Dense(5, activation="logistic")]), (5,)),
    "gate-flat-one": LayerCase(Gate([Dense(1, activation="logistic")]), (5,)),
    "gate-values": LayerCase(
        Gate([Conv2D(3, 3, padding="same", activation="tanh")]), (4, 3, 3)
    ),
    "gate-channels": LayerCase(
        Gate([("mean", GlobalAvgPool()), ("out", Dense(3, activation="logistic"))]),
        (3, 4, 3),
    ),
    "gate-channels-1d": LayerCase(
        Gate([GlobalAvgPool(), Dense(2, activation="tanh")]), (7, 2)
    ),
    "gate-positions": LayerCase(
        Gate([Conv2D(1, 3, padding="same", activation="logistic")]), (3, 4, 3)
    ),
    "gate-positions-3d": LayerCase(
        Gate([Conv3D(1, 1, activation="tanh")]), (2, 3, 2, 2)
    ),
    "gate-one": LayerCase(Gate([Dense(1, activation="logistic")]), (3, 2, 2)),
    "gate-of-one-pixel": LayerCase(
        Gate([Conv2D(1, 1, activation="logistic")]), (1, 1, 3)
    ),
    "gate-itself": LayerCase(Gate([]), (4, 2)),
    "gate-nested": LayerCase(
        Gate(
            [
                Gate([Conv1D(1, 1, activation="tanh")]),
                BatchNorm(0.3),
                Activation("logistic"),
            ]
        ),
        (6, 3),
        training_differs=True,
    ),
    "squeeze-excite": LayerCase(SqueezeExcite(2, activation="tanh"), (3, 4, 4)),
    "squeeze-excite-1d": LayerCase(
        SqueezeExcite(squeeze_channels=3, activation="silu", use_bias=False), (6, 2)
    ),
    "squeeze-excite-hard": LayerCase(
        SqueezeExcite(8, scale_activation="hard_logistic"), (2, 3, 2, 4), kinks=True
    ),
    "squeeze-excite-frozen": LayerCase(
        SqueezeExcite(activation="tanh", trainable=False), (3, 2, 4)
    ),
    "attention": LayerCase(SelfAttention(), (5, 3)),
    "attention-heads": LayerCase(SelfAttention(2, residual=False), (3, 2, 4)),
    "attention-position": LayerCase(
        SelfAttention(2, relative_position=True), (3, 2, 4)
    ),
    "non-local": LayerCase(NonLocal(), (3, 2, 4)),
    "non-local-channels": LayerCase(NonLocal(3, scaled=True), (5, 2)),
    "non-local-pool": LayerCase(NonLocal(pool_size=(2, 1)), (4, 3, 4), kinks=True),
    "non-local-3d": LayerCase(NonLocal(2, pool_size=2), (2, 4, 2, 3), kinks=True),
    "position-learned": _linear_case(PositionEmbedding(), (3, 2, 4)),
    "position-sinusoidal": _linear_case(PositionEmbedding("sinusoidal"), (3, 4, 8)),
    "position-sinusoidal-1d": _linear_case(PositionEmbedding("sinusoidal"), (6, 4)),
    "transformer": LayerCase(TransformerBlock(2), (3, 2, 4)),
    "transformer-options": LayerCase(
        TransformerBlock(
            1, mlp_units=5, activation="tanh", dropout=0.2, stochastic_depth=0.3,
            relative_position=True, kernel_initializer="lecun_normal",
        ),
        (6, 3),
        training_differs=True,
    ),
    "transformer-3d": LayerCase(TransformerBlock(3, 4), (2, 2, 2, 3)),
    "sequential-empty": _linear_case(Sequential([]), (3, 2)),
}  # fmt: skip

#: Whole networks.
NETWORKS = {
    "lenet": LayerCase(
        [
            Conv2D(3, 3, activation="relu"),
            MaxPool2D(2),
            Conv2D(4, 2, activation="relu"),
            MaxPool2D(2, stride=1),
            Dense(6, activation="relu"),
            Dense(3, activation="identity"),
        ],
        (10, 10, 1),
        kinks=True,
    ),
    "deep-and-smooth": LayerCase(
        [
            Standardize(),
            Conv2D(4, 3, padding="same", activation="gelu"),
            Sequential(
                [
                    Conv2D(4, 3, padding=1, groups=4, activation="identity"),
                    Conv2D(6, 1, activation="softplus"),
                ]
            ),
            AvgPool2D(2),
            Conv2D(3, 2, dilation=2, activation="elu"),
            GlobalAvgPool(),
            Dropout(0.3),
            Dense(4, activation="logistic"),
            Dense(3, activation="identity"),
        ],
        (8, 7, 2),
        kinks=True,
        training_differs=True,
    ),
    "time-delay": LayerCase(
        [
            Conv1D(4, 3, activation="tanh"),
            Conv1D(3, 5, stride=2, activation="leaky_relu"),
            GlobalMaxPool(),
            Dense(3, activation=None),
        ],
        (15, 3),
        kinks=True,
    ),
    "volumes": LayerCase(
        [
            Rescale(0.5),
            Conv3D(2, 2, activation="relu"),
            MaxPool3D(2, stride=1, padding="same"),
            Flatten(),
            Dense(3, activation="tanh"),
            Activation("softmax"),
        ],
        (4, 3, 3, 2),
        kinks=True,
    ),
    "residual-network": LayerCase(
        [
            Conv2D(3, 3, activation=None),
            BatchNorm(0.3),
            Activation("relu"),
            Residual(
                [
                    Conv2D(4, 3, stride=2, padding="same", activation=None),
                    BatchNorm(0.3),
                    Residual([DepthwiseConv2D(3, padding="same", activation="elu")]),
                ]
            ),
            Parallel([Conv2D(2, 1), [MaxPool2D(2, stride=1, padding="same")]]),
            GlobalAvgPool(),
            Dense(3, activation=None),
        ],
        (7, 7, 2),
        kinks=True,
        training_differs=True,
    ),
    "mobile": LayerCase(
        [
            Conv2D(4, 3, padding="same", activation="hard_swish"),
            Residual(
                [
                    Conv2D(8, 1, activation="silu"),
                    DepthwiseConv2D(3, padding="same", activation="relu6"),
                    SqueezeExcite(scale_activation="hard_logistic"),
                    Conv2D(4, 1, activation=None),
                ]
            ),
            Gate([Conv2D(1, 3, padding="same", activation="logistic")]),
            Conv2D(6, 2, activation=None),
            Maxout(2),
            GlobalAvgPool(),
            Dense(3, activation=None),
        ],
        (6, 5, 2),
        kinks=True,
    ),
    "perceptron": LayerCase(
        [
            Standardize(per="value"),
            Dense(8, activation="relu"),
            Dense(3, activation=None),
        ],
        (6,),
        kinks=True,
    ),
}

every_layer = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
every_network = pytest.mark.parametrize("case", NETWORKS.values(), ids=NETWORKS.keys())
every_case = pytest.mark.parametrize(
    "case", [*CASES.values(), *NETWORKS.values()], ids=[*CASES, *NETWORKS]
)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


# ---------------------------------------------------------------------------
# What is on a network
# ---------------------------------------------------------------------------


def contents(network):
    """Copies of all arrays on a network, by name, and what else a pass may change."""
    arrays = {"parameters": network.params.copy()}
    if network.grads is not None:
        arrays["gradients"] = network.grads.copy()
    arrays.update((path, array.copy()) for path, array in network.buffers().items())
    return arrays, (network.step, network._seed, network._pending)


def assert_unchanged(network, before):
    """Whether all is as `contents` had it."""
    arrays, others = contents(network)
    assert_same(arrays, before[0])
    assert others == before[1]


# ---------------------------------------------------------------------------
# Gradients
# ---------------------------------------------------------------------------


class KinkError(Exception):
    """A central difference reached over a kink, where it says nothing."""


def check_gradients(network, X, loss, seed, kinks, most=10**9):
    """Backward against central differences, at the input and at every parameter.

    Parameters
    ----------
    loss : callable
        `loss(Y)` returns a number and its gradient at Y.
    kinks : bool
        Whether there may be kinks; KinkError if a difference reaches over one. Where there are
        none, not a place may be left out.
    most : int
        Of a larger array, so many elements drawn at random are compared.
    """
    found = compare_gradients(network, X, loss, seed, most)
    over_kinks = [comparison for comparison in found if comparison.n_kinks]
    if kinks and over_kinks:
        raise KinkError
    assert not over_kinks
    require_gradients(found)


def without_kinks(check, n_seeds=30):
    """Run `check(seed)` with the first seed whose differences reach over no kink.

    What decides is the course of the differences, not whether the gradients agree; having no
    such seed is a failure.
    """
    for seed in range(n_seeds):
        try:
            return check(seed)
        except KinkError:
            continue
    raise AssertionError(f"none of {n_seeds} seeds stays clear of the kinks")
