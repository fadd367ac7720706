"""The graph of an ONNX model: its operators in order, with what is constant already computed."""

from dataclasses import dataclass, field
from io import TextIOBase
from os import PathLike

import numpy as np

from ..onnx_package import import_onnx

#: Opsets before this one have operators of other forms.
MIN_OPSET = 7


@dataclass(eq=False)
class Operator:
    """A node of an ONNX graph.

    Parameters
    ----------
    name, op : str
    domain : str
    inputs, outputs : list of str
    attributes : dict
        Numbers, strings, lists and arrays.
    proto : onnx.NodeProto
    """

    name: str
    op: str
    domain: str
    inputs: list
    outputs: list
    attributes: dict
    proto: object = field(repr=False, default=None)

    def __str__(self):
        name = self.name or (self.outputs[0] if self.outputs else "")
        return f"ONNX node {name!r} ({self.op})"

    def get(self, name, default=None):
        return self.attributes.get(name, default)


class UnreadableError(NotImplementedError):
    """Raised for a graph that cannot be said in layers; it names the node and says why."""

    def __init__(self, operator, why):
        super().__init__(f"{operator}: {why}")


@dataclass(eq=False)
class Model:
    """The parts of an ONNX model that are read.

    Parameters
    ----------
    operators : list of Operator
    constants : dict of str to ndarray
    inputs : list of (str, tuple, dtype)
        Name, shape with None for a length that is free, and dtype of what is no constant.
    outputs : list of str
    opset : int
    own : bool
        Whether this package has written it.
    """

    operators: list
    constants: dict
    inputs: list
    outputs: list
    opset: int
    own: bool

    def makers(self):
        """The operator that makes a value, by its name."""
        return {name: operator for operator in self.operators for name in operator.outputs}


def read_model(model):
    """The `Model` of a path, of an open file, or of an `onnx.ModelProto`.

    Raises
    ------
    TypeError
        If it is none of these.
    ValueError
        If the file is damaged, or the opset too old.
    """
    onnx = import_onnx()
    if isinstance(model, (str, PathLike)) or hasattr(model, "read"):
        model = _load(onnx, model)
    elif not isinstance(model, onnx.ModelProto):
        raise TypeError(
            "model must be the path of an ONNX file, such a file opened for reading bytes, or an "
            f"onnx.ModelProto, got {type(model).__name__}"
        )
    versions = {opset.domain: opset.version for opset in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    if opset < MIN_OPSET:
        raise ValueError(
            f"the model has opset {opset}, which is older than {MIN_OPSET}: convert it with "
            "onnx.version_converter.convert_version"
        )
    functions = getattr(model, "functions", ())
    if len(functions):
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    graph = model.graph
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    inputs = [
        (value.name, _shape_of(value), _dtype_of(onnx, value))
        for value in graph.input
        if value.name not in constants
    ]
    operators = [_operator(onnx, node) for node in graph.node]
    outputs = [value.name for value in graph.output]
    own = model.producer_name == "sklearn_convnet"
    return Model(operators, constants, inputs, outputs, opset, own)


def _load(onnx, file):
    from google.protobuf.message import DecodeError  # which onnx needs, too

    if isinstance(file, TextIOBase):
        raise TypeError("model is a file opened for reading text: open it with mode 'rb'")
    is_path = isinstance(file, (str, PathLike))
    name = file if is_path else getattr(file, "name", "what was read")
    try:
        model = onnx.load(file)
    except DecodeError as error:
        raise ValueError(f"model: {name} is no ONNX model, or is damaged") from error
    if not model.ByteSize():
        before = "" if is_path else ", or the file was read to its end before"
        raise ValueError(f"model: {name} is empty{before}")
    return model


def _shape_of(value):
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)


def _dtype_of(onnx, value):
    """That of real numbers; whole ones are cast when they come in."""
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    return dtype if dtype.kind == "f" else np.dtype(np.float32)


def _operator(onnx, node):
    attributes = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, onnx.TensorProto):
            value = onnx.numpy_helper.to_array(value)
        attributes[attribute.name] = value
    domain = "" if node.domain == "ai.onnx" else node.domain
    return Operator(
        node.name, node.op_type, domain, list(node.input), list(node.output), attributes, node
    )


def computed(operator, values, opset):
    """The outputs of an operator all of whose inputs are constants.

    Parameters
    ----------
    operator : Operator
    values : dict of str to ndarray
        The inputs by name.
    opset : int

    Returns
    -------
    list of ndarray
    """
    onnx = import_onnx()
    helper = onnx.helper
    infos = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.asarray(value).dtype), None
        )
        for name, value in values.items()
    ]
    results = [helper.make_value_info(name, onnx.TypeProto()) for name in operator.outputs]
    graph = helper.make_graph([operator.proto], "constants", infos, results)
    opsets = [helper.make_opsetid("", opset)]
    evaluator = onnx.reference.ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets))
    return [np.asarray(array) for array in evaluator.run(None, dict(values))]
