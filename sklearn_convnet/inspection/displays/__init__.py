"""Pictures, in the convention of scikit-learn's displays.

What is drawn is kept, `plot` draws it, and where it was drawn stands in attributes with a trailing
underscore. matplotlib is imported by whoever draws.
"""

from .augmentation import AugmentationDisplay
from .boxes import BoxesDisplay
from .feature_maps import FeatureMapsDisplay
from .filters import FiltersDisplay
from .history import HistoryDisplay
from .keypoints import KeypointsDisplay
from .label_maps import LabelMapsDisplay
from .learning_rate import LearningRateDisplay
from .learning_rate_range import LearningRateRangeDisplay
from .maximized_units import MaximizedUnitsDisplay
from .nearest_samples import NearestSamplesDisplay
from .network import NetworkDisplay
from .receptive_field import ReceptiveFieldDisplay
from .saliency import SaliencyDisplay
from .top_classes import HardestSamplesDisplay, TopClassesDisplay

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
    "ReceptiveFieldDisplay",
    "SaliencyDisplay",
    "TopClassesDisplay",
]
