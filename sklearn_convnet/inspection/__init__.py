"""Looking at training and at what was trained."""

from .displays import LearningRateDisplay
from .receptive_field import ReceptiveField, receptive_field

__all__ = [
    "LearningRateDisplay",
    "ReceptiveField",
    "receptive_field",
]
