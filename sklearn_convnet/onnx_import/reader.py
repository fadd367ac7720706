"""From the operators of a graph to steps.

# Design:
# * What depends on no sample is computed at once, by the reference implementation that comes with
#   ONNX, so that an operator's parameters are constants however they are written.
# * The number of samples is free in most graphs. In its place stands a large prime number, so that
#   shapes which a graph computes can be computed, and the axis of samples is told from all others.
"""

import numpy as np

from ..layers.conv import CONV
from ..layers.dense import Dense, Flatten
from ..onnx_package import ML_DOMAIN
from .model import UnreadableError, computed
from .steps import Step, Value
from .views import CHANNELS, SAMPLES, View, channels_first, whole

#: Stands for a number of samples that is free.
ANY_SAMPLES = 7919

#: A constant may have so many values if it is one number many times.
MAX_VALUES = 2**26

_READERS = {}


def reads(*ops):
    """Enters a function from a reader and an operator as the one that reads operators."""

    def register(function):
        _READERS.update(dict.fromkeys(ops, function))
        return function

    return register


class Reader:
    """Reads operators, one after the other.

    Parameters
    ----------
    model : Model
    given : Value
        The input.
    n_samples : int
        The length of the axis of samples.

    Attributes
    ----------
    values : dict of str to Value or ndarray
        By the names in the graph.
    n_read : int
        The number of operators that have been read.
    """

    def __init__(self, model, given, n_samples):
        self.model, self.n_samples, self.n_read = model, n_samples, 0
        self.values = {**model.constants, model.inputs[0][0]: given}

    def read(self, output):
        """The value of an output of the model."""
        for operator in _needed(self.model, output):
            self._read_one(operator)
            self.n_read += 1
        return self.values[output]

    def _read_one(self, operator):
        inputs = [name for name in operator.inputs if name]
        missing = [name for name in inputs if name not in self.values]
        if missing:
            raise UnreadableError(operator, f"its input {missing[0]!r} is not known")
        if operator.domain not in ("", ML_DOMAIN) or operator.op not in _READERS:
            constants = {name: self.values[name] for name in inputs}
            if operator.domain or any(isinstance(v, Value) for v in constants.values()):
                raise UnreadableError(operator, "there is no layer for this operator")
            self._compute(operator, constants)
            return
        constants = {name: self.values[name] for name in inputs}
        if not any(isinstance(v, Value) for v in constants.values()):
            self._compute(operator, constants)
            return
        try:
            found = _READERS[operator.op](self, operator)
        except UnreadableError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise UnreadableError(operator, f"it is not as expected: {error}") from error
        found = found if isinstance(found, list) else [found]
        self.values.update(zip(operator.outputs, found, strict=False))

    def _compute(self, operator, constants):
        if operator.op in ("ConstantOfShape", "Expand", "Tile"):
            shape = self.given(operator, len(operator.inputs) - 1)
            if np.prod(np.asarray(shape, np.float64)) > MAX_VALUES:
                raise UnreadableError(operator, f"it makes {shape} values that no sample changes")
        try:
            found = computed(operator, constants, self.model.opset)
        except Exception as error:  # of the package, for whatever a file may hold
            raise UnreadableError(operator, f"it could not be computed: {error}") from error
        self.values.update(zip(operator.outputs, found, strict=False))

    # --- inputs of an operator -----------------------------------------------------------

    def has(self, operator, i):
        """True if the operator is given its input number `i`."""
        return i < len(operator.inputs) and operator.inputs[i] != ""

    def given(self, operator, i=0):
        """Its input number `i`, a value or a constant."""
        return self.values[operator.inputs[i]]

    def value(self, operator, i=0):
        """Its input number `i`, which is no constant."""
        found = self.given(operator, i)
        if not isinstance(found, Value):
            raise UnreadableError(operator, f"its input {operator.inputs[i]!r} is a constant")
        return found

    def constant(self, operator, i, default=None):
        """Its input number `i`, which is a constant, or what it is if it is not given."""
        if not self.has(operator, i):
            return default
        found = self.given(operator, i)
        if isinstance(found, Value):
            raise UnreadableError(operator, f"its input {operator.inputs[i]!r} must be a constant")
        return found

    def integers(self, operator, i, name, default=None):
        """A list of integers, which is an input in newer opsets and an attribute in older ones."""
        if self.has(operator, i):
            return np.atleast_1d(self.constant(operator, i)).tolist()
        found = operator.get(name, default)
        return [found] if isinstance(found, int) else found

    def axis(self, operator, value, name="axis", default=-1):
        """An axis of the value, counted from the first."""
        axis = operator.get(name, default)
        return axis + value.view.ndim if axis < 0 else axis

    # --- steps ---------------------------------------------------------------------------

    def step(self, operator, value, kind, shape=None, **more):
        """A step on one value."""
        shape = value.step.shape if shape is None else tuple(shape)
        return Step(kind, [value.step], shape, operator, **more)

    def pointwise(self, operator, value, kind="function", **more):
        """A step that keeps the place of every number."""
        return Value(self.step(operator, value, kind, **more), value.view, value.dtype)

    def layer(self, operator, value, layer, weights=None):
        """A layer on maps; what it makes has the channels first."""
        try:
            shape = layer.output_shape(value.step.shape)
        except ValueError as error:
            raise UnreadableError(operator, str(error)) from error
        step = self.step(operator, value, "layer", shape, layer=layer, weights=weights or {})
        return Value(step, channels_first(shape, self.n_samples), value.dtype)

    def first(self, operator, value):
        """A value with its channels first, which are put in order where they are not."""
        expected = channels_first(value.step.shape, self.n_samples)
        value = self.in_order(operator, value)
        if value.view != expected:
            raise UnreadableError(
                operator,
                f"its input has axes {value.view} of a layer's {value.step.shape}, but channels "
                "behind the samples and before the positions are needed",
            )
        return value

    def in_order(self, operator, value):
        """A value whose channels are where the layer has them, along the one axis that they are."""
        value = self.flat(operator, value)
        for i in range(value.view.ndim):
            order = value.view.order(i, value.step.shape[-1])
            if order is not None and value.step.shape[-1] > 1:
                if (order == np.arange(len(order))).all():
                    return value
                return self.selected(operator, value, i, order)
        return value

    def flat(self, operator, value):
        """A value whose axes are not two of the layer's side by side, if it can be had by a
        `Flatten`."""
        if all(len(value.view.axes(i)) <= 1 for i in range(value.view.ndim)):
            return value
        busy = [group for group in value.view.groups if group]
        if len(busy) > 2:
            return value
        shape = value.step.shape
        layer = Flatten()
        step = self.step(operator, value, "layer", layer.output_shape(shape), layer=layer)
        return Value(step, value.view.flattened(shape), value.dtype)

    def selected(self, operator, value, i, channels):
        """Some of the channels, which are axis `i`, in another order: a layer whose weights are
        zeros and ones, and stay so."""
        shape = value.step.shape
        weight = np.zeros((shape[-1], len(channels)), value.dtype)
        weight[channels, np.arange(len(channels))] = 1
        layer, weight = self.mixing(weight, shape, trainable=False)
        step = self.step(
            operator,
            value,
            "layer",
            (*shape[:-1], len(channels)),
            layer=layer,
            weights={"weight": weight},
        )
        return Value(step, self.with_channels(value.view, i, len(channels)), value.dtype)

    def mixing(self, weight, shape, **how):
        """A layer that multiplies the channels of each position with a matrix, and its weights."""
        n_axes, how = len(shape) - 1, {"activation": None, "use_bias": False, **how}
        if n_axes == 0:
            return Dense(weight.shape[1], **how), weight
        return CONV[n_axes](weight.shape[1], 1, **how), weight.reshape(*[1] * n_axes, *weight.shape)

    @staticmethod
    def with_channels(view, i, n):
        """A view with other channels along axis `i`."""
        groups = list(view.groups)
        groups[i] = whole(CHANNELS, n)
        return View(groups)

    def is_whole(self, value, i, axis):
        """True if axis `i` is one axis of the layer, as a whole."""
        shape = value.step.shape
        names = dict(zip([f"s{k}" for k in range(len(shape) - 1)] + [CHANNELS], shape, strict=True))
        return value.view.groups[i] == whole(axis, names[axis])

    def is_samples(self, value, i):
        """True if axis `i` is that of the samples, and nothing else."""
        return value.view.axes(i) <= {SAMPLES} and (i == 0 or bool(value.view.axes(i)))


def _needed(model, output):
    """The operators that an output depends on, in order."""
    wanted, needed = {output}, []
    for operator in reversed(model.operators):
        if wanted & set(operator.outputs):
            needed.append(operator)
            wanted.update(name for name in operator.inputs if name)
    return needed[::-1]
