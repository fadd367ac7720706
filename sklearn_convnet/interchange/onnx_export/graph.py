"""A graph while it is written, as plain data, and the ONNX model that is made of it.

# Design:
# * What is written is plain data, until the package `onnx` makes a model of it.
# * A `Value` says where its channels are. Operations that need them in one place ask for a value
#   in that order; a transpose is written there and only there, and once.
# * A converter writes nodes under the path of its layer, so that names in the graph are those that
#   `summary` shows.
"""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ..._version import package_version
from ...onnx_package import ML_DOMAIN, import_onnx

#: The version of the operators in `ML_DOMAIN`.
ML_OPSET = 3


@dataclass(frozen=True)
class Value:
    """An array in the graph: a batch of maps, or of flat samples.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Of one sample, channels last, as the layers know it; of a network for samples of any size,
        that of those it was compiled for.
    dtype : dtype
    last : bool, default=True
        Whether the channels are the last axis in the graph too, and not the first of a sample.
    """

    name: str
    shape: tuple
    dtype: np.dtype
    last: bool = True

    @property
    def axis(self):
        """The axis of the channels."""
        return -1 if self.last else 1


@dataclass(frozen=True)
class _Node:
    op: str
    inputs: list
    outputs: list
    name: str
    domain: str
    attributes: dict


class Graph:
    """Nodes and constants, in order.

    Parameters
    ----------
    dtype : dtype
        What it computes in.
    opset : int
        Version of the operators.
    free : bool, default=False
        Whether maps may have any size.
    layers : dict of str to Layer, default={}
        By path.

    Attributes
    ----------
    features : str or None
        Name of the features beside the samples, if the network appends some.
    folded : dict of Node to Node
        The batch norm, as its moments node, that lies in the weights of a node.
    absorbed : set of Node
        These batch norms.
    """

    def __init__(self, dtype, opset, free=False, layers=None):
        self.dtype, self.opset, self.free = np.dtype(dtype), opset, free
        self.layers = layers or {}
        self.features = None
        self.folded, self.absorbed = {}, set()
        self.inputs, self.outputs = [], []  # (name, dtype, shape)
        self._nodes, self._constants = [], {}
        self._path, self._names = "", set()
        self._given = {}  # name of a value to that of an output
        self._turned = {}  # name of a value to that of the same with its channels elsewhere

    def fold(self, folded):
        """Let batch norms lie in the weights of the nodes before them."""
        self.folded, self.absorbed = folded, set(folded.values())

    # --- names ---------------------------------------------------------------------------

    @contextmanager
    def within(self, path):
        """Nodes inside belong to a layer."""
        before, self._path = self._path, path
        try:
            yield
        finally:
            self._path = before

    def _name(self, name):
        """A new name for what belongs to the layer at hand."""
        whole = f"{self._path}/{name}" if self._path else name
        unique, n = whole, 1
        while unique in self._names:
            n += 1
            unique = f"{whole}_{n}"
        self._names.add(unique)
        return unique

    # --- writing -------------------------------------------------------------------------

    def constant(self, array, name="constant"):
        """The name of a constant.

        Parameters
        ----------
        array : array-like
            Stored as it is; floats are to be cast before.
        name : str, default="constant"
        """
        name = self._name(name)
        self._constants[name] = np.asarray(array, order="C")
        return name

    def number(self, value, dtype=None, name="constant"):
        """The name of a constant in the dtype of the graph, or another."""
        return self.constant(np.asarray(value, self.dtype if dtype is None else dtype), name)

    def node(self, op, *inputs, n_outputs=1, domain="", **attributes):
        """Write a node.

        Parameters
        ----------
        op : str
            Name of the operator.
        *inputs : str
            Names of values; empty for one that is left out.
        n_outputs : int, default=1
        domain : str, default=""
        **attributes
            Numbers, strings and lists of them.

        Returns
        -------
        str or list of str
            The name of its output, or of several.
        """
        name = self._name(op)
        outputs = [name] if n_outputs == 1 else [self._name(f"{op}_out") for _ in range(n_outputs)]
        self._nodes.append(_Node(op, list(inputs), outputs, name, domain, attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def apply(self, op, x, *inputs, shape=None, **attributes):
        """The value that an operator makes of x and of other inputs by name; it is as x but for
        its shape."""
        name = self.node(op, x.name, *inputs, **attributes)
        return replace(x, name=name, shape=x.shape if shape is None else tuple(shape))

    def cast(self, x, dtype):
        """x in another dtype."""
        dtype = np.dtype(dtype)
        if x.dtype == dtype:
            return x
        return replace(x, name=self.cast_name(x.name, dtype), dtype=dtype)

    def cast_name(self, name, dtype):
        """The value of a name, in another dtype."""
        return self.node("Cast", name, to=np.dtype(dtype))

    # --- where the channels are ----------------------------------------------------------

    def channels_first(self, x):
        """x with the channels before the other axes of a sample, if it has others."""
        return self._turn(x) if x.last and len(x.shape) > 1 else x

    def channels_last(self, x):
        """x with the channels behind the other axes of a sample."""
        return x if x.last else self._turn(x)

    def in_order(self, x, last):
        """x with the channels last, or first."""
        return self.channels_last(x) if last else self.channels_first(x)

    def _turn(self, x):
        if x.name not in self._turned:
            n = len(x.shape) + 1
            perm = [0, n - 1, *range(1, n - 1)] if x.last else [0, *range(2, n), 1]
            turned = self.node("Transpose", x.name, perm=perm)
            self._turned[x.name], self._turned[turned] = turned, x.name
        return replace(x, name=self._turned[x.name], last=not x.last)

    def per_channel(self, array, x, name="constant", dtype=None):
        """A constant with a number for each channel, in the shape that x needs."""
        array = np.asarray(array, x.dtype if dtype is None else dtype)
        if not x.last:
            array = array.reshape(-1, *[1] * (len(x.shape) - 1))
        return self.constant(array, name)

    # --- shapes --------------------------------------------------------------------------

    def reshape(self, x, shape):
        """x with its channels last in another shape of a sample, of the size it is compiled for."""
        if tuple(shape) == x.shape:
            return x
        x = self.channels_last(x)
        # The first axis is taken over, and where maps are of any size nothing but channels is left.
        target = self.constant(np.array([0, *shape], np.int64), "shape")
        return replace(x, name=self.node("Reshape", x.name, target), shape=tuple(shape))

    def flat(self, x):
        """Samples in a row, the channels of a position side by side."""
        return self.reshape(x, (prod(x.shape),))

    # --- the model -----------------------------------------------------------------------

    def give(self, name, inner, dtype, shape):
        """Let a value be an output of the model.

        Parameters
        ----------
        name : str
            Of the output.
        inner : str
            Name of the value.
        dtype : dtype, or list for that of a sequence, or dict for that of maps of labels
        shape : list
            An int, a name or None for each axis.
        """
        made = {output for node in self._nodes for output in node.outputs}
        if inner not in made or inner in self._given:
            inner = self.node("Identity", inner)
        self._given[inner] = name
        self.outputs.append((name, dtype, shape))

    @property
    def names(self):
        """The names of all values that are made here."""
        made = [name for node in self._nodes for name in node.outputs]
        return [*self._constants, *(self._given.get(name, name) for name in made)]

    def take(self, name, dtype, shape):
        """An input of the model."""
        self.inputs.append((name, np.dtype(dtype), shape))
        self._names.add(name)
        return name

    def reserve(self, *names):
        """Names of outputs, which nothing else may have."""
        self._names.update(names)

    def to_nodes(self, renamed=None):
        """The `onnx.NodeProto`s and the `onnx.TensorProto`s of the constants.

        Parameters
        ----------
        renamed : dict of str to str, default=None
            What is called otherwise.
        """
        onnx, renamed = import_onnx(), renamed or {}

        def called(names):
            names = (self._given.get(name, name) for name in names)
            return [renamed.get(name, name) for name in names]

        nodes = []
        for node in self._nodes:
            made = onnx.helper.make_node(
                node.op,
                called(node.inputs),
                called(node.outputs),
                name=renamed.get(node.name, node.name),
                domain=node.domain,
                **{key: _attribute(onnx, value) for key, value in node.attributes.items()},
            )
            nodes.append(made)
        tensors = [
            onnx.numpy_helper.from_array(array, renamed.get(name, name))
            for name, array in self._constants.items()
        ]
        return nodes, tensors

    def to_model(self, name):
        """The `onnx.ModelProto`, checked."""
        onnx = import_onnx()
        helper = onnx.helper
        nodes, tensors = self.to_nodes()
        infos = ([_value_info(onnx, *one) for one in some] for some in (self.inputs, self.outputs))
        graph = helper.make_graph(nodes, name, *infos, tensors)
        domains = {"": self.opset}
        if any(node.domain for node in self._nodes):
            domains[ML_DOMAIN] = ML_OPSET
        opsets = [helper.make_opsetid(*pair) for pair in domains.items()]
        model = helper.make_model(
            graph,
            opset_imports=opsets,
            producer_name="sklearn_convnet",
            producer_version=package_version(),
            ir_version=helper.find_min_ir_version_for(opsets),
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def _attribute(onnx, value):
    return onnx.helper.np_dtype_to_tensor_dtype(value) if isinstance(value, np.dtype) else value


def _value_info(onnx, name, dtype, shape):
    return onnx.helper.make_value_info(name, _type(onnx, dtype, shape))


def _type(onnx, dtype, shape):
    helper = onnx.helper
    if isinstance(dtype, list):
        return helper.make_sequence_type_proto(_type(onnx, dtype[0], shape))
    if isinstance(dtype, dict):
        ((key, value),) = dtype.items()
        of_key = helper.np_dtype_to_tensor_dtype(key)
        return helper.make_map_type_proto(of_key, _type(onnx, value, shape))
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)
