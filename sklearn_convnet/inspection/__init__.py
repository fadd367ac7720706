"""Looking at training and at what was trained."""

from .displays import (
    AugmentationDisplay,
    BoxesDisplay,
    FiltersDisplay,
    HardestSamplesDisplay,
    HistoryDisplay,
    KeypointsDisplay,
    LabelMapsDisplay,
    LearningRateDisplay,
    LearningRateRangeDisplay,
    TopClassesDisplay,
)

__all__ = [
    "AugmentationDisplay",
    "BoxesDisplay",
    "FiltersDisplay",
    "HardestSamplesDisplay",
    "HistoryDisplay",
    "KeypointsDisplay",
    "LabelMapsDisplay",
    "LearningRateDisplay",
    "LearningRateRangeDisplay",
    "TopClassesDisplay",
]
