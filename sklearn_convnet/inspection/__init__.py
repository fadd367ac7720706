"""Looking at training and at what was trained."""

from .displays import LearningRateDisplay

__all__ = [
    "LearningRateDisplay",
]
