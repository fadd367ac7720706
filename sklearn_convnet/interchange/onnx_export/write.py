"""The graph of a network, or of the estimator that has fitted it."""

from numbers import Integral

from ...estimators.targets import BoxTarget, PointTarget
from ...estimators.targets.labels import ClassTarget
from ...onnx_package import import_onnx
from . import blocks, conv, pointwise, pool  # noqa: F401, which enter their converters
from .convert import graph_of, takes_any_size, to_chain
from .crops import take_crops
from .inputs import SAMPLES, layout_of, take_features, take_input
from .targets import give_outputs, refuse_zipmap

#: The oldest opset that has all operators in the form in which they are written here.
MIN_OPSET = 18
#: Names that outputs may have.
OUTPUTS = ("label", "probabilities", "box", "variable", "output")


def write_graph(
    network, estimator, *, layout, input_dtype, dtype, opset, zipmap=False, fold_batch_norms=True
):
    """The `Graph` of a network, or of the estimator that has fitted it.

    Raises
    ------
    ValueError
        If the opset or the layout is not known, or zipmap has no meaning.
    NotImplementedError
        If a prediction is the vote of changed samples, or a layer has no form in ONNX.
    """
    _check_opset(opset)
    target = getattr(estimator, "_target", None)
    if zipmap and not isinstance(target, ClassTarget):
        refuse_zipmap("what has no labels")
    if getattr(estimator, "test_time_augmentation", None) is not None:
        raise NotImplementedError(
            "test_time_augmentation has no form in ONNX here: set it to None, and let several "
            "predictions vote outside of the model"
        )
    layout = layout_of(network, estimator, layout)
    multi_crop = None if estimator is None else estimator._fitted["multi_crop"]
    in_pixels = isinstance(target, BoxTarget) and target.units == "pixels"
    free = not (layout.flat or multi_crop or in_pixels) and takes_any_size(network)
    graph = graph_of(network, dtype, opset, free, fold_batch_norms)
    graph.reserve(*OUTPUTS)
    x = take_input(graph, layout, input_dtype, network._takes_wide)
    views = 1
    if multi_crop is not None:
        if isinstance(target, (BoxTarget, PointTarget)):
            raise NotImplementedError(
                "multi_crop: the vote over boxes and points has no form in ONNX here: fit without "
                "it, or let predictions of crops vote outside of the model"
            )
        x, views = take_crops(multi_crop, x, graph)
    graph.features = take_features(graph, network.n_features, views)
    z = to_chain(network.nodes, x, graph)
    if estimator is None:
        z = graph.channels_last(z)
        sizes = [None] * (len(z.shape) - 1) if free else z.shape[:-1]
        graph.give("output", z.name, z.dtype, [SAMPLES, *sizes, z.shape[-1]])
    else:
        give_outputs(estimator, z, graph, views, zipmap)
    return graph


def _check_opset(opset):
    newest = import_onnx().defs.onnx_opset_version()
    is_integer = isinstance(opset, Integral) and not isinstance(opset, bool)
    if not is_integer or not MIN_OPSET <= opset <= newest:
        raise ValueError(
            f"opset must be an integer from {MIN_OPSET} to {newest}, the newest of the installed "
            f"package onnx, got {opset!r}"
        )
