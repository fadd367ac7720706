"""Looking at training and at what was trained."""

from .activations import activations
from .displays import LearningRateDisplay
from .features import FeatureExtractor
from .localization import weakly_supervised_box
from .maximize import maximize_unit
from .neighbors import nearest_samples
from .saliency import saliency

__all__ = [
    "FeatureExtractor",
    "LearningRateDisplay",
    "activations",
    "maximize_unit",
    "nearest_samples",
    "saliency",
    "weakly_supervised_box",
]
