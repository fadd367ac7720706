"""Layers: descriptions that know parameters and shapes, and hold no arrays.

Maps are channels-last: a sample is ``(length, channels)``, ``(height, width, channels)`` or
``(depth, height, width, channels)``.
"""

from .activation import Activation
from .attention import SelfAttention
from .auxiliary import AuxiliaryHead
from .base import Chain, Layer
from .blocks import DenseBlock, Parallel, Residual
from .composition import Sequential
from .conv import Conv1D, Conv2D, Conv3D
from .conv_transpose import ConvTranspose1D, ConvTranspose2D, ConvTranspose3D
from .dense import Dense, Flatten
from .depthwise import DepthwiseConv2D, SeparableConv2D
from .dropout import Dropout
from .fields import Window, pointwise
from .norm import BatchNorm, LocalResponseNorm, Rescale, Standardize
from .pool import (
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAvgPool,
    GlobalMaxPool,
    HeterogeneousMaxPool,
    LpPool2D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
)
from .transform_conv import TransformConv2D, reflection, rotation, scaling
from .upsample import Upsample2D

__all__ = [
    "Activation",
    "AuxiliaryHead",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "BatchNorm",
    "Chain",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "ConvTranspose1D",
    "ConvTranspose2D",
    "ConvTranspose3D",
    "Dense",
    "DenseBlock",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "HeterogeneousMaxPool",
    "Layer",
    "LocalResponseNorm",
    "LpPool2D",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "Parallel",
    "Rescale",
    "Residual",
    "SelfAttention",
    "SeparableConv2D",
    "Sequential",
    "Standardize",
    "TransformConv2D",
    "Upsample2D",
    "Window",
    "pointwise",
    "reflection",
    "rotation",
    "scaling",
]
