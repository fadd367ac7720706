"""One output of the network for each sample: the one that is to be explained.

# Design:
# * What may be asked for follows from the kind of y: a label, a column and its label, a pixel and
#   its label, the place of a value in y, a coordinate of a box. Each kind of target says where that
#   is in the network's output, one function a kind.
# * Scores are those before softmax and logistic function, as in the papers: a probability hardly
#   changes once it is near 1. Values and coordinates are in the units of y.
"""

from dataclasses import dataclass
from functools import singledispatch
from math import prod
from numbers import Integral

import numpy as np

from ..estimators.targets.boxes import BoxTarget
from ..estimators.targets.labels import ClassTarget, ColumnsTarget
from ..estimators.targets.maps import LabelMapTarget
from ..estimators.targets.values import ValueTarget


@dataclass(frozen=True)
class Chosen:
    """One output for each sample.

    Attributes
    ----------
    index : ndarray of shape (n,)
        Where it is in the output of a sample, laid out in a row.
    scale : ndarray of shape (n,)
        The unit of the score, in those of the network's output.
    """

    index: np.ndarray
    scale: np.ndarray

    def __getitem__(self, rows):
        return Chosen(self.index[rows], self.scale[rows])

    def repeated(self, n):
        """Those of one sample, for n of its kind."""
        return Chosen(np.repeat(self.index, n), np.repeat(self.scale, n))

    def scores(self, Z):
        """The scores in an output of the network, but for a constant."""
        return Z.reshape(len(Z), -1)[np.arange(len(Z)), self.index] * self.scale

    def gradient(self, Z):
        """The gradient of the scores at this output."""
        dY = np.zeros_like(Z)
        dY.reshape(len(Z), -1)[np.arange(len(Z)), self.index] = self.scale
        return dY


def is_one_each(target):
    """True if it is a list or an array, which holds a target for each sample."""
    if isinstance(target, (list, tuple, str)):
        return isinstance(target, list)
    return np.ndim(target) > 0


def wanted_of(target, n):
    """A target for each of n samples, as a list.

    Raises
    ------
    ValueError
        If there are several targets, but not one for each sample.
    """
    if not is_one_each(target):
        return [plain(target)] * n
    if len(target) != n:
        raise ValueError(
            f"target has {len(target)} entries for {n} samples: give a list with one for each "
            "sample, or a single one for all, a tuple if it is several numbers"
        )
    if not isinstance(target, list):
        target = np.asarray(target)
    return list(map(plain, target))


def plain(wanted):
    """A target in Python's own types: rows of an array are tuples."""
    if isinstance(wanted, (np.generic, np.ndarray)):
        wanted = wanted.tolist()
    if isinstance(wanted, (list, tuple)):
        return tuple(map(plain, wanted))
    return wanted


def choose(kind, wanted, Z):
    """The outputs that are asked for.

    Parameters
    ----------
    kind : Target or None
        What y holds; None for a network without an estimator.
    wanted : list
        What is wanted of each sample, as `wanted_of` returns it.
    Z : ndarray of shape (n, *output_shape)
        The network's output.

    Returns
    -------
    Chosen

    Raises
    ------
    ValueError
        If there is no such output.
    """
    pairs = zip(wanted, Z, strict=True)
    index = np.array([output_index(kind, one, z) for one, z in pairs], np.intp)
    return Chosen(index, output_scale(kind, index).astype(Z.dtype))


# --- where it is ---------------------------------------------------------------------------


@singledispatch
def output_index(kind, wanted, z):
    """The place of what is wanted in the output of a sample, laid out in a row.

    `kind` is a `Target`, or None for a network alone. `z` is that output; None if there is no
    sample, so that a label has to be named.
    """
    raise NotImplementedError(type(kind))


@output_index.register
def _(kind: None, wanted, z):
    return int(z.argmax()) if wanted is None else place(wanted, z.shape, "the network's output")


@output_index.register
def _(kind: ClassTarget, wanted, z):
    return _place_of_label(kind.classes, wanted, z)


@output_index.register
def _(kind: BoxTarget, wanted, z):
    if isinstance(wanted, tuple) and len(wanted) == 2 and wanted[0] == "box":
        return kind.n_outputs + place(wanted[1], (kind.n_coordinates,), "a box")
    if isinstance(wanted, tuple):
        raise ValueError(
            f"target={wanted!r} is neither a label nor a coordinate: give one of "
            f"{kind.classes.tolist()}, or ('box', i) for the i-th coordinate of the box"
        )
    return _place_of_label(kind.classes, wanted, z)


@output_index.register
def _(kind: ColumnsTarget, wanted, z):
    if not isinstance(wanted, tuple) or len(wanted) not in (1, 2):
        raise ValueError(
            f"target={wanted!r} names no label of a column, of which y has {len(kind.classes)}: "
            "give (column, label), or (column,) for the predicted one"
        )
    column = place(wanted[0], (len(kind.classes),), "the columns of y")
    start = sum(kind.n_classes[:column])
    return _place_of_label(kind.classes[column], _label_of(wanted, 1), z, start)


@output_index.register
def _(kind: LabelMapTarget, wanted, z):
    n_axes = len(kind.map_size)
    if not isinstance(wanted, tuple) or len(wanted) not in (n_axes, n_axes + 1):
        position = {1: "step", 2: "row, column", 3: "plane, row, column"}[n_axes]
        predicted = f"({position},)" if n_axes == 1 else f"({position})"
        raise ValueError(
            f"target={wanted!r} names no label of a position: give ({position}, label), or "
            f"{predicted} for the predicted one"
        )
    start = place(wanted[:n_axes], kind.map_size, "the maps") * kind.n_outputs
    return _place_of_label(kind.classes, _label_of(wanted, n_axes), z, start)


@output_index.register
def _(kind: ValueTarget, wanted, z):
    if wanted is None:
        if prod(kind.sample_shape) > 1:
            raise ValueError(
                f"target=None is for a single value, but y has values of shape "
                f"{kind.sample_shape} a sample: give the place of one of them"
            )
        return 0
    return place(wanted, kind.sample_shape or (1,), "y of a sample")


def _label_of(wanted, n):
    """The label behind n numbers, or None."""
    return wanted[n] if len(wanted) > n else None


def _place_of_label(classes, label, z, start=0):
    """The place of a label, or of the largest output, where the classes begin at `start`."""
    labels = classes.tolist()
    if label is None and z is not None:
        return start + int(z.reshape(-1)[start : start + len(labels)].argmax())
    if label not in labels:
        raise ValueError(f"target={label!r} is no class: the classes are {labels}")
    return start + labels.index(label)


def place(wanted, shape, what):
    """A number or a tuple of numbers as the place in an array of this shape, laid out in a row.

    Raises
    ------
    ValueError
        If it is no such place; `what` is the name of the array.
    """
    numbers = wanted if isinstance(wanted, tuple) else (wanted,)
    if len(numbers) != len(shape) or not all(map(is_number, numbers)):
        form = "a number" if len(shape) == 1 else f"a tuple of {len(shape)} numbers"
        raise ValueError(f"{wanted!r} is no place in {what}, of shape {shape}: give {form}")
    if not all(-size <= i < size for i, size in zip(numbers, shape, strict=True)):
        raise ValueError(f"{wanted!r} lies outside {what}, of shape {shape}")
    return int(np.ravel_multi_index([i % n for i, n in zip(numbers, shape, strict=True)], shape))


def is_number(value):
    """True if it is an integer, which True and False are not."""
    return isinstance(value, Integral) and not isinstance(value, bool)


# --- and in which unit ---------------------------------------------------------------------


@singledispatch
def output_scale(kind, index):
    """The unit of scores, in those of the network's output, for places in that."""
    return np.ones(len(index))


@output_scale.register
def _(kind: ValueTarget, index):
    return kind.deviation[index % kind.n_outputs]


@output_scale.register
def _(kind: BoxTarget, index):
    scale = np.ones(kind.n_outputs + kind.n_coordinates)
    if kind.units == "pixels" and kind.image_size is not None:
        scale[kind.n_outputs :] = np.resize(kind.image_size, kind.n_coordinates)
    return scale[index]
