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
from .localization import weakly_supervised_box
from .maximize import maximize_unit
from .saliency import saliency

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
    "maximize_unit",
    "saliency",
    "weakly_supervised_box",
]
