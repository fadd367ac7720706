"""The types that skops must trust to load a fitted estimator.

Callbacks are not among them: a `Checkpoint` reads a pickle from a path when a fit begins.
"""

from ..averaging import WeightAverage
from ..estimators.history import History
from ..estimators.inputs import Inputs
from ..network import Network
from .classes import ESTIMATORS, TARGETS, spec_classes

_OTHERS = {History, Inputs, Network, WeightAverage}
_CLASSES = {*spec_classes().values(), *ESTIMATORS.values(), *TARGETS, *_OTHERS}

SKOPS_TRUSTED = sorted(
    ["numpy.dtype", *(f"{cls.__module__}.{cls.__qualname__}" for cls in _CLASSES)]
)
