"""Layers: descriptions that know parameters and shapes, and hold no arrays.

Maps are channels-last: a sample is ``(length, channels)``, ``(height, width, channels)`` or
``(depth, height, width, channels)``.
"""

from .activation import Activation
from .base import Layer
from .composition import Sequential
from .conv import Conv1D, Conv2D, Conv3D
from .dense import Dense, Flatten
from .dropout import Dropout
from .norm import Rescale, Standardize
from .pool import (
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
)

__all__ = [
    "Activation",
    "AvgPool1D",
    "AvgPool2D",
    "AvgPool3D",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "Layer",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPool3D",
    "Rescale",
    "Sequential",
    "Standardize",
]
