"""Sums and products, with constants and with each other, and functions of single numbers."""

import numpy as np

from ..layers.activation import Activation
from .attention import are_scores, shifted
from .model import UnreadableError
from .reader import reads
from .steps import Step, Value

#: Operators that are activations without parameters.
ACTIVATIONS = {
    "Relu": "relu",
    "Tanh": "tanh",
    "Sigmoid": "logistic",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "HardSwish": "hard_swish",
}

#: Operators that are a part of activations and norms or the end of a network, and no layer by
#: themselves.
FUNCTIONS = {
    "Erf": "erf",
    "Exp": "exp",
    "Abs": "abs",
    "Sqrt": ("power", 0.5),
    "Reciprocal": ("power", -1.0),
}


# --- with constants ------------------------------------------------------------------------------


def affine(reader, operator, value, scale=1.0, shift=0.0):
    """X scale + shift, each a constant that is broadcast."""
    shape = value.step.shape
    if are_scores(value) and np.size(shift) > 1:
        return shifted(reader, operator, value, shift)
    found = []
    for array in (scale, shift):
        array = np.asarray(array)
        if not np.isfinite(array).all():
            raise UnreadableError(operator, "its constant, or 1 by it, is no finite number")
        if array.size == 1 and array.ndim <= value.view.ndim:
            array = array.reshape(())
        else:
            array = value.view.to_layer(array, shape)
            if array is None:
                raise UnreadableError(
                    operator, "its constant is not one number for all samples, channel or position"
                )
            only_channels = all(n == 1 for n in array.shape[:-1])
            array = array.reshape(-1) if only_channels else np.broadcast_to(array, shape)
        found.append(array.astype(np.float64))
    return reader.pointwise(operator, value, "affine", data=tuple(found))


@reads("Add", "Sub", "Mul", "Div")
def binary(reader, operator):
    """Two values, or a value and a constant."""
    a, b = reader.given(operator, 0), reader.given(operator, 1)
    op = operator.op
    if isinstance(a, Value) and isinstance(b, Value):
        if op == "Sub":
            b = affine(reader, operator, b, scale=-1.0)
        elif op == "Div":
            b = raised(reader, operator, b, -1.0)
        return together(reader, operator, "add" if op in ("Add", "Sub") else "mul", a, b)
    if isinstance(a, Value):
        if op in ("Add", "Sub"):
            return affine(reader, operator, a, shift=b if op == "Add" else -b)
        with np.errstate(divide="ignore"):
            return affine(
                reader, operator, a, scale=b if op == "Mul" else 1 / np.asarray(b, np.float64)
            )
    if op in ("Add", "Sub"):
        return affine(reader, operator, b, 1.0 if op == "Add" else -1.0, a)
    if op == "Div":
        b = raised(reader, operator, b, -1.0)
    return affine(reader, operator, b, scale=a)


@reads("Neg")
def negative(reader, operator):
    """-X"""
    return affine(reader, operator, reader.value(operator), scale=-1.0)


@reads("Sum")
def total(reader, operator):
    """Several values, one by one."""
    values = [reader.given(operator, i) for i in range(len(operator.inputs))]
    result = next(value for value in values if isinstance(value, Value))
    values.remove(result)
    for value in values:
        if isinstance(value, Value):
            result = together(reader, operator, "add", result, value)
        else:
            result = affine(reader, operator, result, shift=value)
    return result


def together(reader, operator, kind, a, b):
    """A sum or a product of two values, of which one may be the same along some axes."""
    pair = _aligned(a, b)
    if pair is None:
        pair = _aligned(reader.in_order(operator, a), reader.in_order(operator, b))
    if pair is None:
        raise UnreadableError(
            operator,
            f"its inputs have axes {a.view} and {b.view}, of which neither is a part of the other",
        )
    large, small = pair
    step = Step(kind, [large.step, small.step], large.step.shape, operator)
    return Value(step, large.view, large.dtype)


def _aligned(a, b):
    """The larger one first, if the other has its axes or 1; else None."""
    for large, small in ((a, b), (b, a)):
        missing = large.view.ndim - small.view.ndim
        groups = ((),) * missing + small.view.groups
        if missing >= 0 and all(
            own == other or not own for own, other in zip(groups, large.view.groups, strict=True)
        ):
            return large, small
    return None


@reads("Pow")
def power(reader, operator):
    """Powers, which are parts of norms and pools."""
    value, exponent = reader.value(operator), reader.constant(operator, 1)
    if np.size(exponent) != 1:
        raise UnreadableError(operator, "there is a power for all values only")
    exponent = float(np.ravel(exponent)[0])
    return value if exponent == 1 else raised(reader, operator, value, exponent)


def raised(reader, operator, value, exponent):
    """A power of each value."""
    return reader.pointwise(operator, value, data=("power", exponent))


# --- functions -----------------------------------------------------------------------------------


def activation(reader, operator, value, name, alpha=None):
    """An activation of each number."""
    if alpha is not None and alpha < 0:
        raise UnreadableError(operator, f"alpha is {alpha:g}, and no activation has one below 0")
    return reader.pointwise(operator, value, "layer", layer=Activation(name, alpha))


@reads(*ACTIVATIONS)
def plain_activation(reader, operator):
    """An activation without parameters."""
    return activation(reader, operator, reader.value(operator), ACTIVATIONS[operator.op])


@reads(*FUNCTIONS)
def function(reader, operator):
    """A part of an activation or a norm."""
    return reader.pointwise(operator, reader.value(operator), data=FUNCTIONS[operator.op])


@reads("Elu")
def elu(reader, operator):
    """alpha (exp(z) - 1) below 0"""
    return activation(
        reader, operator, reader.value(operator), "elu", float(operator.get("alpha", 1.0))
    )


@reads("LeakyRelu")
def leaky_relu(reader, operator):
    """alpha z below 0"""
    return activation(
        reader, operator, reader.value(operator), "leaky_relu", float(operator.get("alpha", 0.01))
    )


@reads("Gelu")
def gelu(reader, operator):
    """z Phi(z)"""
    if operator.get("approximate", "none") != "none":
        raise UnreadableError(operator, "its approximation by tanh is another function than 'gelu'")
    return activation(reader, operator, reader.value(operator), "gelu")


@reads("Swish")
def swish(reader, operator):
    """z / (1 + exp(-z))"""
    if operator.get("alpha", 1.0) != 1:
        raise UnreadableError(operator, "'silu' has a factor of 1 before the exponent")
    return activation(reader, operator, reader.value(operator), "silu")


@reads("HardSigmoid")
def hard_sigmoid(reader, operator):
    """max(0, min(1, alpha z + beta))"""
    alpha, beta = operator.get("alpha", 0.2), operator.get("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6:  # the attribute is in float32
        alpha = 1 / 6
    value = affine(reader, operator, reader.value(operator), alpha, beta)
    return clipped(reader, operator, value, 0.0, 1.0)


@reads("Clip")
def clip(reader, operator):
    """max(min, min(max, z))"""
    low = reader.constant(operator, 1, operator.get("min"))
    high = reader.constant(operator, 2, operator.get("max"))
    low = -np.inf if low is None else float(low)
    high = np.inf if high is None else float(high)
    return clipped(reader, operator, reader.value(operator), low, high)


@reads("Min", "Max")
def limit(reader, operator):
    """One number for all as the bound of a value."""
    values = [reader.given(operator, i) for i in range(len(operator.inputs))]
    if operator.op == "Max" and all(isinstance(value, Value) for value in values):
        return largest(reader, operator, values)
    a, b = values[0], values[-1]
    value, bound = (a, b) if isinstance(a, Value) else (b, a)
    if len(operator.inputs) != 2 or isinstance(bound, Value) or np.size(bound) != 1:
        raise UnreadableError(operator, "only a value and one number can be compared")
    bound = float(np.ravel(bound)[0])
    low, high = (-np.inf, bound) if operator.op == "Min" else (bound, np.inf)
    return clipped(reader, operator, value, low, high)


def largest(reader, operator, values):
    """The largest of several values, number by number."""
    if len(values) == 1:
        return values[0]
    first = values[0]
    if any(v.view != first.view or v.step.shape != first.step.shape for v in values):
        raise UnreadableError(operator, "its inputs do not have the same axes")
    step = Step("max", [value.step for value in values], first.step.shape, operator)
    return Value(step, first.view, first.dtype)


def clipped(reader, operator, value, low, high):
    """A value between two numbers, by the activation that has 0 and no number, or 0 and 6, as its
    limits; the upper one if it is not above the lower one."""
    huge = np.finfo(value.dtype).max
    low = -np.inf if low <= -huge else low
    high = np.inf if high >= huge else high
    if low == -np.inf and high == np.inf:
        return value
    if low >= high:  # the upper limit alone is left, whatever the value
        value = activation(reader, operator, value, "relu6")  # which is finite
        return affine(reader, operator, value, 0.0, high)
    if low == -np.inf:
        scale, shift, name = -1.0, high, "relu"
    elif high == np.inf:
        scale, shift, name = 1.0, -low, "relu"
    else:
        scale, name = 6 / (high - low), "relu6"
        shift = -low * scale
    value = affine(reader, operator, value, scale, shift)
    value = activation(reader, operator, value, name)
    return affine(reader, operator, value, 1 / scale, -shift / scale)


@reads("Softmax")
def softmax(reader, operator):
    """Over the channels of a position."""
    value = reader.value(operator)
    if are_scores(value):
        return reader.pointwise(operator, value, data="softmax")
    old = reader.model.opset < 13
    axis = reader.axis(operator, value, default=1 if old else -1)
    behind = range(axis + 1, value.view.ndim) if old else ()
    only = all(not value.view.groups[i] for i in behind)
    value = reader.flat(operator, value)
    channels = value.step.shape[-1]
    if not only or value.view.order(axis, channels) is None:
        raise UnreadableError(operator, "there is a softmax over channels only")
    return activation(reader, operator, value, "softmax")
