"""Looking at training and at what was trained."""

from .displays import (
    AugmentationDisplay,
    BoxesDisplay,
    FeatureMapsDisplay,
    FiltersDisplay,
    HardestSamplesDisplay,
    HistoryDisplay,
    KeypointsDisplay,
    LabelMapsDisplay,
    LearningRateDisplay,
    LearningRateRangeDisplay,
    MaximizedUnitsDisplay,
    NearestSamplesDisplay,
    SaliencyDisplay,
    TopClassesDisplay,
)

__all__ = [
    "AugmentationDisplay",
    "BoxesDisplay",
    "FeatureMapsDisplay",
    "FiltersDisplay",
    "HardestSamplesDisplay",
    "HistoryDisplay",
    "KeypointsDisplay",
    "LabelMapsDisplay",
    "LearningRateDisplay",
    "LearningRateRangeDisplay",
    "MaximizedUnitsDisplay",
    "NearestSamplesDisplay",
    "SaliencyDisplay",
    "TopClassesDisplay",
]
