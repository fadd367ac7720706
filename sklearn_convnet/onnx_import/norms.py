"""Norms."""

import numpy as np

from ..layers.group_norm import GroupNorm, LayerNorm
from ..layers.norm import BatchNorm
from .model import UnreadableError
from .reader import reads
from .steps import Value
from .views import CHANNELS, Atom

#: A batch norm here has an epsilon above 0.
SMALLEST_EPSILON = 1e-5


@reads("BatchNormalization")
def batch_norm(reader, operator):
    """By the running statistics."""
    if operator.get("training_mode", 0) or len([name for name in operator.outputs if name]) > 1:
        raise UnreadableError(
            operator, "it is written for training: export the model for predictions"
        )
    value = reader.flat(operator, reader.value(operator))
    n_transforms = _n_transforms(value)
    names = ("scale", "offset", "mean", "variance")
    arrays = {
        name: np.asarray(reader.constant(operator, i), np.float64)
        for i, name in enumerate(names, start=1)
    }
    if n_transforms == 1:
        arrays = {name: _of_channels(operator, value, a) for name, a in arrays.items()}
    epsilon = float(np.float32(operator.get("epsilon", 1e-5)))
    layer_epsilon = epsilon
    if epsilon <= 0:
        least = arrays["variance"].min(initial=np.inf)
        layer_epsilon = float(min(SMALLEST_EPSILON, least / 2))
        arrays["variance"] = arrays["variance"] + (epsilon - layer_epsilon)
    momentum = float(operator.get("momentum", 0.9))
    layer = BatchNorm(_short(momentum), _short(layer_epsilon), n_transforms=n_transforms)
    return reader.pointwise(operator, value, "layer", layer=layer, weights=arrays)


def _n_transforms(value):
    """How many neighbouring parts of the channels the second axis stands for."""
    channels, group = value.step.shape[-1], value.view.groups[1]
    is_part = len(group) == 1 and (group[0].axis, group[0].stride) == (CHANNELS, 1)
    return channels // group[0].size if is_part else 1


def _short(number):
    """A number whose float32 is an attribute, as it was written."""
    return float(f"{number:.6g}")


def _of_channels(operator, value, array, axis=1):
    """A number for each index of an axis that is all channels, in their order."""
    order = value.view.order(axis, value.step.shape[-1])
    if order is None or len(array) != len(order):
        raise UnreadableError(operator, "its axis is not that of the channels")
    turned = np.empty_like(array)
    turned[order] = array
    return turned


@reads("LayerNormalization")
def layer_norm(reader, operator):
    """Over the channels of a position."""
    value = reader.value(operator)
    axis = reader.axis(operator, value)
    value = reader.flat(operator, value)
    if any(value.view.groups[i] for i in range(axis + 1, value.view.ndim)):
        raise UnreadableError(
            operator, "it is over several axes, and there is one over channels only"
        )
    scale = np.ravel(reader.constant(operator, 1))
    offset = np.ravel(reader.constant(operator, 2, np.zeros_like(scale)))
    weights = {
        "scale": _of_channels(operator, value, scale, axis),
        "offset": _of_channels(operator, value, offset, axis),
    }
    layer = LayerNorm(epsilon=_short(operator.get("epsilon", 1e-5)))
    return reader.pointwise(operator, value, "layer", layer=layer, weights=weights)


@reads("GroupNormalization", "InstanceNormalization")
def group_norm(reader, operator):
    """Over all positions of neighbouring channels. Instance norms are those with a group for each
    channel, or for what of the channels the second axis has."""
    value = reader.value(operator)
    channels = value.step.shape[-1]
    is_instance = operator.op == "InstanceNormalization"
    n_groups = value.view.shape[1] if is_instance else operator.get("num_groups")
    if n_groups is None or channels % n_groups:
        raise UnreadableError(operator, "its groups are not equal parts of the channels")
    width = channels // n_groups
    group = (Atom(CHANNELS, n_groups, width),) if n_groups > 1 else ()
    if is_instance:
        right = value.view.groups[1] == group and _sees_the_rest(value)
    else:
        right = reader.first(operator, value) is value
    if not right:
        raise UnreadableError(operator, "it is not over all positions of neighbouring channels")
    weights = {}
    for i, name in ((1, "scale"), (2, "offset")):
        array = np.asarray(reader.constant(operator, i))
        weights[name] = np.repeat(array, channels // len(array))
    layer = GroupNorm(n_groups, epsilon=_short(operator.get("epsilon", 1e-5)))
    step = reader.step(operator, value, "layer", layer=layer, weights=weights)
    return Value(step, value.view, value.dtype)


def _sees_the_rest(value):
    """True if all but the samples and the groups is behind the second axis."""
    return not value.view.axes(0) - {"n"}
