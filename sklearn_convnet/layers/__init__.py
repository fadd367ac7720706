"""Layers: descriptions that know parameters and shapes, and hold no arrays.

Maps are channels-last: a sample is ``(length, channels)``, ``(height, width, channels)`` or
``(depth, height, width, channels)``.
"""

from .activation import Activation
from .attention import NonLocal, SelfAttention
from .auxiliary import AuxiliaryHead
from .base import Chain, Layer
from .blocks import DenseBlock, Parallel, Residual
from .composition import Sequential
from .conv import Conv1D, Conv2D, Conv3D
from .conv_transpose import ConvTranspose1D, ConvTranspose2D, ConvTranspose3D
from .dense import Dense, Flatten
from .depthwise import (
    DepthwiseConv1D,
    DepthwiseConv2D,
    DepthwiseConv3D,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConv3D,
)
from .dropout import Dropout, StochasticDepth
from .features import ConcatFeatures
from .fields import Window, pointwise
from .gate import Gate, SqueezeExcite
from .group_norm import GroupNorm, LayerNorm
from .layer_scale import LayerScale
from .maxout import Maxout
from .norm import BatchNorm, LocalResponseNorm, Rescale, Standardize
from .padding import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from .pool import (
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAvgPool,
    GlobalMaxPool,
    HeterogeneousMaxPool,
    LpPool1D,
    LpPool2D,
    LpPool3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
)
from .position import PositionEmbedding
from .transform_conv import TransformConv1D, TransformConv2D, TransformConv3D, TransformPool
from .transformer import TransformerBlock
from .transforms import reflection, rotation, scaling
from .upsample import Upsample1D, Upsample2D, Upsample3D

__all__ = [
    "Activation",
    "AuxiliaryHead",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNorm",
    "Chain",
    "ConcatFeatures",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "ConvTranspose1D",
    "ConvTranspose2D",
    "ConvTranspose3D",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Dense",
    "DenseBlock",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "DepthwiseConv3D",
    "Dropout",
    "Flatten",
    "Gate",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "HeterogeneousMaxPool",
    "Layer",
    "LayerNorm",
    "LayerScale",
    "LocalResponseNorm",
    "LpPool1D",
    "LpPool2D",
    "LpPool3D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "Maxout",
    "NonLocal",
    "Parallel",
    "PositionEmbedding",
    "Rescale",
    "Residual",
    "SelfAttention",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConv3D",
    "Sequential",
    "SqueezeExcite",
    "Standardize",
    "StochasticDepth",
    "TransformConv1D",
    "TransformConv2D",
    "TransformConv3D",
    "TransformPool",
    "TransformerBlock",
    "Upsample1D",
    "Upsample2D",
    "Upsample3D",
    "Window",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
    "pointwise",
    "reflection",
    "rotation",
    "scaling",
]
