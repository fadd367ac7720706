"""Looking at training and at what was trained."""

from .displays import LearningRateDisplay
from .localization import weakly_supervised_box
from .maximize import maximize_unit
from .saliency import saliency

__all__ = [
    "LearningRateDisplay",
    "maximize_unit",
    "saliency",
    "weakly_supervised_box",
]
