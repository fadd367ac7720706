"""The outputs of a graph: what a prediction is, by the kind of y.

# Design:
# * They have the names that skl2onnx gives them, and the shapes and units of `predict` and
#   `predict_proba`.
# * One function for each kind of target; `LabelMapTarget` is a `ClassTarget`, and the most special
#   one is asked.
"""

from dataclasses import replace

import numpy as np

from ...estimators.targets import BoxTarget
from ...estimators.targets.labels import ClassTarget, ColumnsTarget, MultilabelTarget
from ...estimators.targets.maps import LabelMapTarget, ValueMapTarget
from ...estimators.targets.values import ValueTarget
from ...onnx_package import ML_DOMAIN
from ..by_class import ByClass
from .inputs import SAMPLES

_WRITERS = ByClass()
_writes = _WRITERS.enters


def give_outputs(estimator, z, graph, views=1, zipmap=False):
    """Let the graph tell what an estimator predicts.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor
    z : Value
        The network's output.
    graph : Graph
    views : int, default=1
        Number of crops of each sample, one after the other on the axis of samples.
    zipmap : bool, default=False
        Whether probabilities are maps from labels.
    """
    write, outputs = _WRITERS.of(estimator._target), Outputs(graph, views, zipmap)
    write(estimator, graph.channels_last(z), graph, outputs)


class Outputs:
    """Steps that several kinds of targets share."""

    def __init__(self, graph, views, zipmap):
        self.graph, self.views, self.zipmap = graph, views, zipmap

    def sizes(self, x):
        """The axes of a value in the graph but for its channels."""
        named = [None] * (len(x.shape) - 1)
        return [SAMPLES, *(named if self.graph.free else x.shape[:-1])]

    def mean_of_views(self, x):
        """The mean over the crops of a sample."""
        if self.views == 1:
            return x
        stacked = self.stacked(x.name, x.shape)
        return replace(x, name=self.over_views("ReduceMean", stacked))

    def stacked(self, name, shape):
        """An array (views, n_samples, ...)."""
        target = np.array([self.views, -1, *shape], np.int64)
        return self.graph.node("Reshape", name, self.graph.constant(target, "shape"))

    def over_views(self, op, name):
        """A reduction over the crops."""
        axes = self.graph.constant(np.array([0], np.int64), "axes")
        return self.graph.node(op, name, axes, keepdims=0)

    def most_probable(self, name):
        """The number of the largest probability, the first of equal ones."""
        return self.graph.node("ArgMax", name, axis=-1, keepdims=0)

    def labels(self, P, classes):
        """The labels of the largest probabilities, and their dtype."""
        classes = labels_in_onnx(classes)
        constant = self.graph.constant(classes, "classes")
        return self.graph.node("Gather", constant, self.most_probable(P.name)), classes.dtype

    def probabilities(self, P, classes):
        """The output "probabilities"."""
        sizes, graph = self.sizes(P), self.graph
        if not self.zipmap:
            graph.give("probabilities", P.name, P.dtype, [*sizes, P.shape[-1]])
            return
        if len(P.shape) > 1:
            refuse_zipmap("labels for each pixel")
        classes = labels_in_onnx(classes)
        if classes.dtype.kind not in "iO":
            raise ValueError(
                f"zipmap=True has labels that are integers or strings, but they are of dtype "
                f"{classes.dtype}: leave it out"
            )
        is_text = classes.dtype.kind == "O"
        name = "classlabels_strings" if is_text else "classlabels_int64s"
        found = graph.node(
            "ZipMap",
            graph.cast(P, np.float32).name,
            domain=ML_DOMAIN,
            **{name: classes.tolist()},
        )
        graph.give("probabilities", found, [{classes.dtype: np.float32}], [])


def refuse_zipmap(what):
    """Raises ValueError where there is no map from labels to probabilities."""
    raise ValueError(f"zipmap=True is for one row of probabilities a sample, not for {what}")


def labels_in_onnx(classes):
    """Labels in a dtype that ONNX has: int64, bool, a float, or strings.

    Raises
    ------
    ValueError
        If they are of another kind.
    """
    kind = classes.dtype.kind
    if kind in "iu" and (kind == "i" or classes.max() <= np.iinfo(np.int64).max):
        return classes.astype(np.int64)
    if kind == "b" or classes.dtype in (np.float32, np.float64):
        return classes
    if kind in "UO" and all(isinstance(label, str) for label in classes.tolist()):
        return classes.astype(object)
    raise ValueError(
        f"ONNX has no labels such as {classes[0]!r} of dtype {classes.dtype}: let y hold "
        "integers, floats or strings"
    )


# --- labels ----------------------------------------------------------------------------------


@_writes(ClassTarget)
def classes(estimator, z, graph, outputs):
    """The most probable class, and all probabilities; several crops vote."""
    target = estimator._target
    P = outputs.mean_of_views(graph.apply("Softmax", z, axis=-1))
    multi_crop = estimator._fitted["multi_crop"]
    if multi_crop is not None and multi_crop.voting == "hard":
        P = _majority(graph.apply("Softmax", z, axis=-1), P, outputs)
    labels, dtype = outputs.labels(P, target.classes)
    graph.give("label", labels, dtype, outputs.sizes(P))
    outputs.probabilities(P, target.classes)


def _majority(P, mean, outputs):
    """The share of the views whose most probable class it is, the mean being one more."""
    graph, n_classes = outputs.graph, P.shape[-1]
    depth = graph.constant(np.array(n_classes, np.int64), "depth")
    values = graph.number([0, 1], name="values")
    codes = outputs.most_probable(outputs.stacked(P.name, P.shape))
    votes = outputs.over_views("ReduceSum", graph.node("OneHot", codes, depth, values, axis=-1))
    total = graph.node("Add", votes, mean.name)
    return replace(mean, name=graph.node("Div", total, graph.number(outputs.views + 1)))


@_writes(MultilabelTarget)
def labels_at_once(estimator, z, graph, outputs):
    """Each label whose probability is above one half."""
    P = outputs.mean_of_views(graph.apply("Sigmoid", z))
    above = graph.node("Greater", P.name, graph.number(0.5))
    shape = [*outputs.sizes(P), P.shape[-1]]
    graph.give("label", graph.cast_name(above, np.int64), np.dtype(np.int64), shape)
    outputs.probabilities(P, estimator._target.classes)


@_writes(ColumnsTarget)
def columns(estimator, z, graph, outputs):
    """A label for each column, and a sequence with the probabilities of each."""
    if outputs.zipmap:
        refuse_zipmap("several columns of labels")
    target = estimator._target
    sizes = graph.constant(np.array(target.n_classes, np.int64), "split")
    parts = [z.name]
    if len(target.n_classes) > 1:
        parts = graph.node("Split", z.name, sizes, n_outputs=len(target.n_classes), axis=1)
    found, probabilities = [], []
    axes = graph.constant(np.array([1], np.int64), "axes")
    for part, labels in zip(parts, target.classes, strict=True):
        P = replace(z, name=graph.node("Softmax", part, axis=-1), shape=(len(labels),))
        P = outputs.mean_of_views(P)
        names, dtype = outputs.labels(P, labels)
        found.append(graph.node("Unsqueeze", names, axes))
        probabilities.append(P.name)
    label = graph.node("Concat", *found, axis=1)
    graph.give("label", label, dtype, [SAMPLES, len(found)])
    sequence = graph.node("SequenceConstruct", *probabilities)
    graph.give("probabilities", sequence, [z.dtype], [SAMPLES, None])


@_writes(LabelMapTarget)
def label_maps(estimator, z, graph, outputs):
    """A label for each pixel, with the last axis that y may have had."""
    target = estimator._target
    P = graph.apply("Softmax", z, axis=-1)
    labels, dtype = outputs.labels(P, target.classes)
    shape = outputs.sizes(P)
    if target.last_axis:
        labels = graph.node("Unsqueeze", labels, graph.constant(np.array([-1], np.int64), "axes"))
        shape = [*shape, 1]
    graph.give("label", labels, dtype, shape)
    outputs.probabilities(P, target.classes)


@_writes(BoxTarget)
def boxes(estimator, z, graph, outputs):
    """The class as for labels alone, and the coordinates of the box in their units."""
    target = estimator._target
    split = graph.constant(np.array([target.n_outputs, target.n_coordinates], np.int64), "split")
    of_class, of_box = graph.node("Split", z.name, split, n_outputs=2, axis=1)
    classes(estimator, replace(z, name=of_class, shape=(target.n_outputs,)), graph, outputs)
    if target.units == "pixels" and target.image_size is not None:
        size = np.resize(target.image_size, target.n_coordinates)
        of_box = graph.node("Mul", of_box, graph.number(size))
        of_box = graph.node("Sub", of_box, graph.number(0.5))
    graph.give("box", of_box, z.dtype, [SAMPLES, target.n_coordinates])


# --- values ----------------------------------------------------------------------------------


def _in_units(estimator, z, graph):
    """Values in the units of y, in the dtype that `predict` has."""
    target, link = estimator._target, estimator.out_activation_
    if link == "exp":
        z = graph.apply("Exp", z)
    elif link != "identity":
        raise NotImplementedError(f"the output activation {link!r} has no form in ONNX here")
    z = graph.cast(z, target._dtype_of_y(z.dtype))
    if (target.deviation != 1).any():
        z = graph.apply("Mul", z, graph.number(target.deviation, z.dtype, "deviation"))
    if (target.mean != 0).any():
        z = graph.apply("Add", z, graph.number(target.mean, z.dtype, "mean"))
    return z


@_writes(ValueTarget)
def values(estimator, z, graph, outputs):
    """Numbers and points, in the shape of y; several crops have their mean."""
    shape = estimator._target.sample_shape
    z = outputs.mean_of_views(_in_units(estimator, z, graph))
    target = graph.constant(np.array([0, *shape], np.int64), "shape")
    graph.give("variable", graph.node("Reshape", z.name, target), z.dtype, [SAMPLES, *shape])


@_writes(ValueMapTarget)
def value_maps(estimator, z, graph, outputs):
    """Maps of values, in the shape of y."""
    target = estimator._target
    z, sizes = _in_units(estimator, z, graph), outputs.sizes(z)
    of_pixel = target.sample_shape[len(target.map_size) :]
    name = z.name
    if not of_pixel:
        name = graph.node("Squeeze", name, graph.constant(np.array([-1], np.int64), "axes"))
    graph.give("variable", name, z.dtype, [*sizes, *of_pixel])
