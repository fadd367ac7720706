"""The classes that a model file may name, and no others."""

from functools import cache
from inspect import isclass

from .. import augmentation, layers, losses, multi_crop, optimizers, schedules
from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..estimators.targets import (
    BoxTarget,
    ClassTarget,
    ColumnsTarget,
    LabelMapTarget,
    MultilabelTarget,
    PointTarget,
    ValueMapTarget,
    ValueTarget,
)
from ..layers.blocks import Outputs
from ..parameters import Parametrized

_MODULES = (augmentation, layers, losses, multi_crop, optimizers, schedules)

#: Bases, of which nobody makes an instance, and a loss that holds a function.
_NOT_SAVED = {
    layers.Layer,
    losses.FunctionLoss,
    losses.Loss,
    optimizers.Optimizer,
    schedules.Schedule,
    augmentation.Transform,
}

ESTIMATORS = {cls.__name__: cls for cls in (ConvNetClassifier, ConvNetRegressor)}

#: Targets, and the arguments of their constructors.
TARGETS = {
    ClassTarget: ("classes",),
    MultilabelTarget: ("classes",),
    ColumnsTarget: ("classes",),
    BoxTarget: ("classes", "n_coordinates", "units", "in_y", "outline", "image_size"),
    LabelMapTarget: ("classes", "map_size", "ignored", "last_axis"),
    ValueTarget: ("sample_shape", "normalize"),
    PointTarget: ("sample_shape", "units", "normalize", "flip_pairs", "n_axes"),
    ValueMapTarget: ("sample_shape", "moves", "normalize", "n_axes"),
}


@cache
def spec_classes():
    """Layers, losses, optimisers and the like, by names such as "layers.Conv2D"."""
    found = {"layers.Outputs": Outputs}
    for module in _MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if isclass(value) and issubclass(value, Parametrized) and value not in _NOT_SAVED:
                found[f"{module.__name__.rpartition('.')[2]}.{name}"] = value
    return found


@cache
def spec_names():
    """The names by the classes."""
    return {cls: name for name, cls in spec_classes().items()}
