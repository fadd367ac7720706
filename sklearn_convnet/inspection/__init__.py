"""Tools to look at training and at trained networks."""

from .activations import activations
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
from .features import FeatureExtractor
from .invariance import check_invariance
from .localization import weakly_supervised_box
from .maximize import maximize_unit
from .neighbors import nearest_samples
from .receptive_field import ReceptiveField, receptive_field
from .saliency import saliency

__all__ = [
    "AugmentationDisplay",
    "BoxesDisplay",
    "FeatureExtractor",
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
    "activations",
    "check_invariance",
    "maximize_unit",
    "nearest_samples",
    "receptive_field",
    "saliency",
    "weakly_supervised_box",
]
