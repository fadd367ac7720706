"""A function for each kind of node, which writes its calls."""

import numpy as np

from ...network.activation import ActivationNode
from ...network.attention import NonLocalNode, SelfAttentionNode
from ...network.auxiliary import AuxiliaryHeadNode
from ...network.blocks import DenseBlockNode, OutputsNode, ParallelNode, ResidualNode
from ...network.conv import ConvNode
from ...network.conv_transpose import ConvTransposeNode
from ...network.dense import DenseNode, FlattenNode
from ...network.depthwise import DepthwiseNode
from ...network.dropout import DropoutNode
from ...network.gate import GateNode
from ...network.group_norm import GroupNormNode, LayerNormNode
from ...network.layer_scale import LayerScaleNode
from ...network.maxout import MaxoutNode
from ...network.node import IdentityNode, ViewNode
from ...network.norm import (
    LocalResponseNormNode,
    MomentsNode,
    RescaleNode,
    ScaleNode,
    StandardizeNode,
)
from ...network.padding import CroppingNode, ZeroPaddingNode
from ...network.pool import (
    AvgPoolNode,
    GlobalAvgPoolNode,
    GlobalMaxPoolNode,
    HeterogeneousMaxPoolNode,
    LpPoolNode,
    MaxPoolNode,
)
from ...network.position import PositionNode
from ...network.transform_conv import TransformConvNode, TransformPoolNode
from ...network.upsample import UpsampleNode
from ..folding import ARRAYS, affine_of, weights_of
from .convert import write_chain, writer_of, writes_c
from .library import EXPRESSIONS

ONES, NONE = (1, 1, 1), (0, 0, 0)


def sizes_of(shape):
    """The sizes of maps on three axes."""
    *sizes, _ = shape
    return [1] * (3 - len(sizes)) + sizes


# --- weights -------------------------------------------------------------------------------------


def _conv(function, node, x, program, weight, bias, geometry):
    """A convolution, or its adjoint; geometry is that of three axes."""
    stride, pads, dilation, groups = geometry
    kernel = sizes_of(weight.shape[:-1])
    before = [before for before, _ in pads]
    sizes = (*sizes_of(x.shape), *sizes_of(node.output_shape))
    steps = (*kernel, *stride, *before, *dilation)
    g = np.array([*sizes, *steps, x.shape[-1], node.output_shape[-1], groups])
    constants = [
        program.constant(weight, f"{node.path}_weight"),
        program.constant(bias, f"{node.path}_bias"),
        program.constant(g, f"{node.path}_geometry"),
    ]
    return program.call(function, x, *constants, shape=node.output_shape)


@writes_c(ConvNode)
def conv(node, x, program):
    return _conv("conv", node, x, program, *weights_of(node, program), node.geometry)


@writes_c(DepthwiseNode)
def depthwise(node, x, program):
    """A group for each map."""
    geometry = (*node.geometry, x.shape[-1])
    return _conv("conv", node, x, program, *weights_of(node, program), geometry)


@writes_c(TransformConvNode)
def transform_conv(node, x, program):
    """The bank of filters in all transforms, as they are now."""
    bank = node._bank(ARRAYS)
    return _conv("conv", node, x, program, bank, node._bank_bias(ARRAYS), node.geometry)


@writes_c(ConvTransposeNode)
def conv_transpose(node, x, program):
    weight, bias = node.params["weight"], node.params.get("bias")
    return _conv("conv_transpose", node, x, program, weight, bias, node.adjoint[:4])


def _dense(x, weight, bias, name, program):
    """A product of each row of x and a matrix: a convolution of single pixels."""
    rows, (inputs, outputs) = x.size // weight.shape[0], weight.shape
    plain = (*ONES, *ONES, *NONE, *ONES, inputs, outputs, 1)
    g = np.array([1, 1, rows, 1, 1, rows, *plain])
    constants = [
        program.constant(weight, f"{name}_weight"),
        program.constant(bias, f"{name}_bias"),
        program.constant(g, f"{name}_geometry"),
    ]
    return program.call("conv", x, *constants, shape=(rows, outputs))


@writes_c(DenseNode)
def dense(node, x, program):
    weight, bias = weights_of(node, program)
    return _dense(x, weight, bias, node.path, program).reshaped(node.output_shape)


@writes_c(SelfAttentionNode, NonLocalNode)
def attention(node, x, program):
    """softmax(factor Q K' + bias) V W_o + b_o, with the positions in a row, and X added."""
    keys = x
    if getattr(node, "pool", None) is not None:
        keys = writer_of(node.pool)(node.pool, x, program)

    def projected(name, values):
        weight, bias = node.params[name], node.params[f"{name}_bias"]
        return _dense(values, weight, bias, f"{node.path}_{name}", program)

    q, k, v = projected("query", x), projected("key", keys), projected("value", keys)
    seen, scores = program.memory(*q.shape), program.memory(node.n_keys)
    bias = program.constant(node._position_bias(ARRAYS), f"{node.path}_position")
    sizes = (node.n_queries, node.n_keys, node.n_heads, node.inner // node.n_heads)
    args = (q, k, v, seen, scores, bias, *sizes, float(node.factor))
    program.add("attend", args, (q, k, v), (seen, scores))
    found = projected("output", seen).reshaped(x.shape)
    return _sum(found, x, program) if node.residual else found


# --- pools and places ----------------------------------------------------------------------------


def _pool(function, node, x, program, window, stride, before, *args):
    sizes = (*sizes_of(x.shape), *sizes_of(node.output_shape))
    channels = x.shape[-1]
    g = np.array([*sizes, *window, *stride, *before, channels, 0, channels])
    g = program.constant(g, f"{node.path}_geometry")
    return program.call(function, x, g, *args, shape=node.output_shape)


def _windows(node):
    window, stride, pads = node.geometry[:3]
    return window, stride, [before for before, _ in pads]


@writes_c(MaxPoolNode)
def max_pool(node, x, program):
    return _pool("max_pool", node, x, program, *_windows(node))


@writes_c(AvgPoolNode)
def avg_pool(node, x, program):
    return _pool("avg_pool", node, x, program, *_windows(node))


@writes_c(LpPoolNode)
def lp_pool(node, x, program):
    return _pool("lp_pool", node, x, program, *_windows(node), node.geometry[-1])


@writes_c(HeterogeneousMaxPoolNode)
def heterogeneous_max_pool(node, x, program):
    """A call for each group of channels; they write side by side."""
    windows, stride = node.geometry
    y = program.memory(*node.output_shape)
    sizes = (*sizes_of(x.shape), *sizes_of(node.output_shape))
    width = x.shape[-1] // len(windows)
    for i, window in enumerate(np.asarray(windows).tolist()):
        before = [-((step - size) // 2) for size, step in zip(window, stride, strict=True)]
        g = [*sizes, *window, *stride, *before, x.shape[-1], i * width, width]
        g = program.constant(np.array(g), f"{node.path}_geometry")
        program.add("max_pool", (x, y, g), (x,), (y,))
    return y


@writes_c(GlobalMaxPoolNode)
def global_max_pool(node, x, program):
    return program.call("max_of_parts", x, *_over_positions(x), shape=node.output_shape)


@writes_c(GlobalAvgPoolNode)
def global_avg_pool(node, x, program):
    return program.call("mean_of_parts", x, *_over_positions(x), shape=node.output_shape)


def _over_positions(x):
    channels = x.shape[-1]
    return 1, channels, x.size // channels, 1, channels


@writes_c(TransformPoolNode)
def transform_pool(node, x, program):
    """The maps of one transform after the other, place by place."""
    columns = node.output_shape[-1]
    n = x.shape[-1] // columns
    args = (x.size // x.shape[-1], columns, n, 1, columns)
    return program.call(f"{node.pool}_of_parts", x, *args, shape=node.output_shape)


@writes_c(MaxoutNode)
def maxout(node, x, program):
    """The maximum of neighbouring channels."""
    columns = node.output_shape[-1]
    args = (x.size // x.shape[-1], columns, node.n_pieces, node.n_pieces, 1)
    return program.call("max_of_parts", x, *args, shape=node.output_shape)


def _shift(node, x, program, sign):
    first = [sign * part.start for part in node.inside[1:]]
    shift = [0] * (3 - len(first)) + first
    g = np.array([*sizes_of(x.shape), *sizes_of(node.output_shape), *shift, x.shape[-1]])
    g = program.constant(g, f"{node.path}_geometry")
    return program.call("shift", x, g, shape=node.output_shape)


@writes_c(ZeroPaddingNode)
def zero_padding(node, x, program):
    return _shift(node, x, program, -1)


@writes_c(CroppingNode)
def cropping(node, x, program):
    return _shift(node, x, program, 1)


@writes_c(UpsampleNode)
def upsample(node, x, program):
    g = np.array([*sizes_of(x.shape), *sizes_of(node.output_shape), x.shape[-1]])
    g = program.constant(g, f"{node.path}_geometry")
    function = "mix_pixels" if node.linear else "repeat_pixels"
    return program.call(function, x, g, shape=node.output_shape)


# --- single numbers ------------------------------------------------------------------------------


@writes_c(IdentityNode, DropoutNode, AuxiliaryHeadNode)
def identity(node, x, program):
    """Nothing is computed at a prediction."""
    return x


@writes_c(ViewNode, ScaleNode, FlattenNode)
def view(node, x, program):
    """The same numbers: what a scale node computes, its moments node has written."""
    return x.reshaped(node.output_shape)


@writes_c(ActivationNode)
def activation(node, x, program):
    name = node.activation
    if name == "softmax":
        return softmax(x, program)
    if name not in EXPRESSIONS:
        raise NotImplementedError(f"layer {node.path!r}: activation={name!r} has no form in C here")
    alpha = [float(node.alpha)] if "alpha" in EXPRESSIONS[name] else []
    return program.call(name, x, x.size, *alpha, in_place=True)


def softmax(x, program):
    """Over the channels."""
    columns = x.shape[-1]
    return program.call("softmax", x, x.size // columns, columns, in_place=True)


def affine(x, centre, scale, shift, name, program):
    """(X - centre) scale + shift; what a float does not hold of the centre goes into the shift."""
    rest = np.float32(centre) - np.asarray(centre, np.float64)
    constants = [
        program.constant(centre, f"{name}_centre"),
        program.constant(scale, f"{name}_scale"),
        program.constant(shift + rest * scale, f"{name}_shift"),
    ]
    args = (x.size // len(scale), len(scale), *constants)
    return program.call("affine", x, *args, in_place=True)


@writes_c(RescaleNode, StandardizeNode)
def fixed_affine(node, x, program):
    return affine(x, *node.centred(ARRAYS), node.path, program)


@writes_c(MomentsNode)
def batch_norm(node, x, program):
    """By the running statistics, where no weights take it in."""
    scale, _ = affine_of(node)
    return affine(x, node.state["mean"], scale, node.params["offset"], node.path, program)


@writes_c(LayerScaleNode)
def layer_scale(node, x, program):
    scale = program.constant(node.params["scale"], f"{node.path}_scale")
    args = (x.size // x.shape[-1], x.shape[-1], "NULL", scale, "NULL")
    return program.call("affine", x, *args, in_place=True)


def _norm(node, x, program, parts):
    names = ("scale", "offset")
    constants = [program.constant(node.params[name], f"{node.path}_{name}") for name in names]
    channels = x.shape[-1]
    sizes = (parts, x.size // channels // parts, channels, node.n_groups)
    return program.call("norm", x, *sizes, float(node.epsilon), *constants, in_place=True)


@writes_c(GroupNormNode)
def group_norm(node, x, program):
    return _norm(node, x, program, 1)


@writes_c(LayerNormNode)
def layer_norm(node, x, program):
    """Each position is a part."""
    return _norm(node, x, program, x.size // x.shape[-1])


@writes_c(LocalResponseNormNode)
def response_norm(node, x, program):
    size, *numbers = node.constants
    args = (x.size // x.shape[-1], x.shape[-1], size, *map(float, numbers))
    return program.call("response_norm", x, *args)


@writes_c(PositionNode)
def position(node, x, program):
    table = node.params["position"] if node.one_size else node.table
    return _sum(x, program.constant(table, f"{node.path}_position"), program)


# --- blocks --------------------------------------------------------------------------------------


def _sum(x, other, program):
    """x + other, another value or the name of a constant."""
    y = program.memory(*x.shape)
    reads = (x, other) if not isinstance(other, str) else (x,)
    program.add("add", (x, other, y, x.size), reads, (y,), in_place=True)
    return y


@writes_c(ResidualNode)
def residual(node, x, program):
    body, shortcut = (write_chain(chain, x, program) for chain in node.chains)
    return _sum(body, shortcut, program)


def joined(values, program):
    """Maps side by side."""
    channels = sum(value.shape[-1] for value in values)
    y, to = program.memory(*values[0].shape[:-1], channels), 0
    for value in values:
        width = value.shape[-1]
        args = (value, y, value.size // width, 0, to, width, channels, width)
        program.add("copy", args, (value,), (y,))
        to += width
    return y


def columns(x, first, stop, program):
    """Some of the channels."""
    width, channels = stop - first, x.shape[-1]
    args = (x.size // channels, first, 0, channels, width, width)
    return program.call("copy", x, *args, shape=(*x.shape[:-1], width))


@writes_c(ParallelNode, OutputsNode)
def parallel(node, x, program):
    return joined([write_chain(chain, x, program) for chain in node.chains], program)


@writes_c(DenseBlockNode)
def dense_block(node, x, program):
    """Each layer sees all maps before it."""
    for chain in node.chains:
        x = joined([x, write_chain(chain, x, program)], program)
    return x


@writes_c(GateNode)
def gate(node, x, program):
    """X G(X); what has no positions, or one channel, is for all of them."""
    found = write_chain(node.chains[0], x, program)
    y, channels, width = program.memory(*x.shape), x.shape[-1], found.shape[-1]
    positions = x.size // channels
    step = width if found.size // width == positions else 0
    args = (x, found, y, positions, channels, step, int(width == channels))
    program.add("gate", args, (x, found), (y,), in_place=True)
    return y
