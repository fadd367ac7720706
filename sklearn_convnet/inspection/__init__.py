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
    NetworkDisplay,
    ReceptiveFieldDisplay,
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
    "NetworkDisplay",
    "ReceptiveField",
    "ReceptiveFieldDisplay",
    "SaliencyDisplay",
    "TopClassesDisplay",
    "receptive_field",
]
