"""Networks inside of models that skl2onnx converts: pipelines, ensembles, searches.

# Design:
# * skl2onnx asks all models for the types of their outputs first, and then for nodes. Where the
#   input is of doubles, the network computes in float64, otherwise in float32.
# * The nodes are those of `to_onnx`, under names that are new in the whole model.
# * Models that hold networks expect a label and a row of probabilities of a classifier, and columns
#   of a regressor. Other kinds of y are for `to_onnx` alone.
"""

from __future__ import annotations

import numpy as np

from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ...estimators.targets import BoxTarget
from ...estimators.targets.labels import ClassTarget, ColumnsTarget
from ...estimators.targets.maps import LabelMapTarget, ValueMapTarget
from .targets import labels_in_onnx
from .write import write_graph

#: Options of classifiers, as skl2onnx has them. It asks for "nocl", labels by their numbers.
CLASSIFIER_OPTIONS = {"zipmap": [True, False, "columns"], "nocl": [False]}


def register_skl2onnx() -> None:
    """Let skl2onnx convert models that hold networks.

    `skl2onnx.to_onnx` then converts pipelines, ensembles, calibrated classifiers and searches with
    `ConvNetClassifier` and `ConvNetRegressor` in them. y may be classes, several labels at once, or
    numbers. X is flat, so networks of images need `input_shape`. Calling it again does no harm.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.interchange import register_skl2onnx
    >>> from sklearn_convnet.layers import Conv2D
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier([Conv2D(4, 3)], input_shape=(8, 8), max_iter=1, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), clf).fit(X, y)
    >>> register_skl2onnx()
    >>> import skl2onnx
    >>> model = skl2onnx.to_onnx(pipeline, X[:1].astype(np.float32), options={"zipmap": False})
    >>> [output.name for output in model.graph.output]
    ['label', 'probabilities']
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError(
            "register_skl2onnx needs the package skl2onnx: pip install 'sklearn_convnet[onnx]'"
        ) from error
    update_registered_converter(
        ConvNetClassifier,
        "SklearnConvNetClassifier",
        _classifier_shapes,
        _convert,
        options=CLASSIFIER_OPTIONS,
    )
    update_registered_converter(
        ConvNetRegressor, "SklearnConvNetRegressor", _regressor_shapes, _convert
    )


def _dtype_of(operator):
    """The dtype that a network computes in: float64 where its input is of doubles."""
    from skl2onnx.common.data_types import guess_numpy_type

    wide = guess_numpy_type(operator.inputs[0].type) == np.float64
    return np.dtype("float64" if wide else "float32")


def _tensor_type(dtype, shape):
    from skl2onnx.common import data_types

    names = {np.float64: "Double", np.float32: "Float", np.int64: "Int64", np.object_: "String"}
    name = names[dtype.type]
    return getattr(data_types, f"{name}TensorType")(shape)


def _check(operator, others):
    """Raises NotImplementedError for a kind of y that what holds a network does not know."""
    if operator.raw_operator.network_.n_features:
        raise NotImplementedError(
            "skl2onnx knows one table of numbers, but this network takes features beside its "
            "samples: convert the network by sklearn_convnet.interchange.to_onnx"
        )
    target = operator.raw_operator._target
    if isinstance(target, others):
        raise NotImplementedError(
            f"skl2onnx has no models for the y that {type(operator.raw_operator).__name__} was "
            "fitted with: convert the network by sklearn_convnet.interchange.to_onnx"
        )


def _classifier_shapes(operator):
    _check(operator, (BoxTarget, ColumnsTarget, LabelMapTarget))
    estimator = operator.raw_operator
    n = operator.inputs[0].get_first_dimension()
    label, probabilities = operator.outputs
    n_classes = len(estimator.classes_)
    is_one = type(estimator._target) is ClassTarget
    dtype = labels_in_onnx(estimator.classes_).dtype if is_one else np.dtype(np.int64)
    if dtype.kind == "b":
        dtype = np.dtype(np.int64)
    if dtype.kind not in "iO":
        raise NotImplementedError(
            f"skl2onnx has labels that are integers or strings, but those of "
            f"{type(estimator).__name__} are of dtype {dtype}"
        )
    label.set_type(_tensor_type(dtype, [n] if is_one else [n, n_classes]))
    probabilities.set_type(_tensor_type(_dtype_of(operator), [n, n_classes]))


def _regressor_shapes(operator):
    _check(operator, ValueMapTarget)
    n = operator.inputs[0].get_first_dimension()
    n_outputs = operator.raw_operator.n_outputs_
    operator.outputs[0].set_type(_tensor_type(_dtype_of(operator), [n, n_outputs]))


def _convert(scope, operator, container):
    """Adds the nodes of a network to those of the model."""
    from skl2onnx.common.data_types import guess_numpy_type

    estimator, dtype = operator.raw_operator, _dtype_of(operator)
    graph = write_graph(
        estimator.network_,
        estimator,
        layout="flat",
        input_dtype=np.dtype(guess_numpy_type(operator.inputs[0].type)),
        dtype=dtype,
        opset=container.target_opset_any_domain(""),
    )
    names = [name for name, *_ in graph.outputs]
    if graph.outputs[0][1] == np.bool_:  # skl2onnx has integers for them
        names[0] = graph.cast_name("label", np.int64)
    if names == ["variable"]:
        shape = graph.constant(np.array([-1, estimator.n_outputs_], np.int64), "shape")
        names = [graph.node("Reshape", graph.cast_name("variable", dtype), shape)]
    renamed = {name: scope.get_unique_variable_name(name) for name in graph.names}
    renamed["X"] = operator.inputs[0].onnx_name
    renamed.update(zip(names, (one.onnx_name for one in operator.outputs), strict=True))
    nodes, tensors = graph.to_nodes(renamed)
    for node in nodes:
        node.name = scope.get_unique_operator_name(node.name)
    container.nodes.extend(nodes)
    container.initializers.extend(tensors)
    container.node_domain_version_pair_sets.add(("", graph.opset))
