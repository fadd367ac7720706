"""Operators that move no number, or take a shape apart."""

from math import prod

import numpy as np

from ..onnx_package import import_onnx
from .model import UnreadableError
from .reader import reads
from .steps import Value
from .views import View


@reads("Identity", "Dropout")
def identity(reader, operator):
    """Operators that a prediction leaves out."""
    return reader.value(operator)


@reads("Cast", "CastLike")
def cast(reader, operator):
    """Another dtype: real numbers stay what they are."""
    value = reader.value(operator)
    if operator.op == "CastLike":
        other = reader.given(operator, 1)
        dtype = np.dtype(other.dtype)
    else:
        dtype = np.dtype(import_onnx().helper.tensor_dtype_to_np_dtype(operator.get("to")))
    if dtype.kind != "f":
        raise UnreadableError(operator, f"layers make no numbers of dtype {dtype}")
    return Value(value.step, value.view, dtype)


@reads("Shape")
def shape(reader, operator):
    """The lengths of the axes."""
    lengths = reader.value(operator).shape
    return np.array(lengths[operator.get("start", 0) : operator.get("end")], np.int64)


@reads("Size")
def size(reader, operator):
    """The number of values."""
    return np.array(prod(reader.value(operator).shape), np.int64)


@reads("Transpose")
def transpose(reader, operator):
    """Axes in another order."""
    value = reader.value(operator)
    perm = operator.get("perm", list(range(value.view.ndim))[::-1])
    return Value(value.step, value.view.transposed(perm), value.dtype)


@reads("Flatten")
def flatten(reader, operator):
    """All axes behind one as one."""
    value = reader.value(operator)
    axis = reader.axis(operator, value, default=1)
    return _reshaped(operator, value, (prod(value.shape[:axis]), prod(value.shape[axis:])))


@reads("Reshape")
def reshape(reader, operator):
    """0 takes over a length, -1 is what is left."""
    value = reader.value(operator)
    target = reader.integers(operator, 1, "shape")
    if not operator.get("allowzero", 0):
        target = [
            value.shape[i] if n == 0 and i < value.view.ndim else n for i, n in enumerate(target)
        ]
    known = prod(n for n in target if n != -1)
    target = [prod(value.shape) // known if n == -1 else n for n in target]
    return _reshaped(operator, value, target)


def _reshaped(operator, value, target):
    view = value.view.reshaped(target)
    if view is None:
        raise UnreadableError(
            operator, f"its input of shape {value.shape} has no axes that make {tuple(target)}"
        )
    return Value(value.step, view, value.dtype)


@reads("Squeeze")
def squeeze(reader, operator):
    """Axes of length 1 go."""
    value = reader.value(operator)
    axes = reader.integers(operator, 1, "axes")
    if axes is None:
        axes = [i for i, n in enumerate(value.shape) if n == 1]
    axes = {axis % value.view.ndim for axis in axes}
    groups = [group for i, group in enumerate(value.view.groups) if i not in axes]
    return Value(value.step, View(groups), value.dtype)


@reads("Unsqueeze")
def unsqueeze(reader, operator):
    """Axes of length 1 come."""
    value = reader.value(operator)
    axes = reader.integers(operator, 1, "axes")
    n = value.view.ndim + len(axes)
    axes = {axis % n for axis in axes}
    left = iter(value.view.groups)
    groups = [() if i in axes else next(left) for i in range(n)]
    return Value(value.step, View(groups), value.dtype)


@reads("Expand")
def expand(reader, operator):
    """A shape that it has already."""
    value = reader.value(operator)
    target = reader.integers(operator, 1, "shape")
    if any(n not in (1, own) for n, own in zip(target[::-1], value.shape[::-1], strict=False)):
        raise UnreadableError(operator, "there is no layer that repeats values")
    return value
