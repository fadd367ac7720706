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
from .receptive_field import ReceptiveField, receptive_field

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
    "ReceptiveField",
    "SaliencyDisplay",
    "TopClassesDisplay",
    "receptive_field",
]
