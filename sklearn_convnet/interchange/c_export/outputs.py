"""The prediction: what y is, by what a network was fitted to.

# Design:
# * y holds what `predict_proba` returns of a sample, or, of values, what `predict` returns, in
#   their units; of class and box, probabilities, and then the box.
# * One function for each kind of target; the most special one is asked.
"""

import numpy as np

from ...estimators.targets import BoxTarget
from ...estimators.targets.labels import ClassTarget, ColumnsTarget, MultilabelTarget
from ...estimators.targets.values import ValueTarget
from ..by_class import ByClass
from .nodes import affine, columns, joined, softmax

_OUTPUTS = ByClass()
_gives = _OUTPUTS.enters


def write_output(estimator, z, program):
    """The prediction, of the network's output, and what it holds, in words."""
    return _OUTPUTS.of(estimator._target)(estimator, z, program)


def labels_of(estimator):
    """The classes of an estimator as text, those of all columns one after the other."""
    classes = getattr(estimator._target, "classes", None)
    if classes is None:
        return []
    parts = classes if isinstance(classes, list) else [classes]
    return [str(label) for part in parts for label in np.asarray(part).tolist()]


@_gives(ClassTarget)
def classes(estimator, z, program):
    """Also of each pixel."""
    return softmax(z, program), "the probability of each class"


@_gives(MultilabelTarget)
def labels_at_once(estimator, z, program):
    found = program.call("logistic", z, z.size, in_place=True)
    return found, "the probability of each label"


@_gives(ColumnsTarget)
def columns_of_labels(estimator, z, program):
    """The probabilities of a column after those of the one before."""
    parts, first = [], 0
    for n in estimator._target.n_classes:
        parts.append(softmax(columns(z, first, first + n, program), program))
        first += n
    return joined(parts, program), "the probability of each class, column after column"


@_gives(BoxTarget)
def class_and_box(estimator, z, program):
    target = estimator._target
    n = target.n_outputs
    P = softmax(columns(z, 0, n, program), program)
    box = columns(z, n, n + target.n_coordinates, program)
    if target.units == "pixels" and target.image_size is not None:
        size = np.resize(target.image_size, target.n_coordinates).astype(np.float64)
        half = np.full(len(size), -0.5)
        box = affine(box, np.zeros(len(size)), size, half, "box", program)
    return joined([P, box], program), f"the probability of each class, and a box in {target.units}"


@_gives(ValueTarget)
def values(estimator, z, program):
    """Numbers, points and maps."""
    target, link = estimator._target, estimator.out_activation_
    if link == "exp":
        z = program.call("exp", z, z.size, in_place=True)
    elif link != "identity":
        raise NotImplementedError(f"the output activation {link!r} has no form in C here")
    n = z.shape[-1]
    deviation, mean = (np.resize(v, n) for v in (target.deviation, target.mean))
    if (deviation != 1).any() or (mean != 0).any():
        z = affine(z, np.zeros(n), deviation, mean, "units", program)
    return z, "values in the units of y"
