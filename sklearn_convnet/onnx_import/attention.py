"""Attention: products of values with each other.

# Design:
# * Scores have axes that no layer has, those of the keys. They are called "k0", "k1", ... for
#   positions "s0", "s1", ... that are seen.
"""

from dataclasses import replace
from math import prod, sqrt

import numpy as np

from ..layers.attention import NonLocal, SelfAttention
from ..network.attention import offset_index
from .model import UnreadableError
from .steps import Step, Value
from .terms import Term
from .views import CHANNELS, View

#: Weights of projections, in the order of the chains that lead to them.
PARTS = ("query", "key", "value", "output")


def _as_keys(group):
    return tuple(replace(atom, axis="k" + atom.axis[1:]) for atom in group)


def are_scores(value):
    """True for numbers for each pair of positions."""
    step = value.step
    while step.kind in ("affine", "function", "position"):
        (step,) = step.inputs
    return step.kind == "scores"


def product(reader, operator, a, b):
    """Scores of queries and keys, or what of values is seen with them."""
    if a.view.ndim < 3 or a.view.ndim != b.view.ndim or a.view.groups[:-2] != b.view.groups[:-2]:
        raise UnreadableError(operator, "it is no product that an attention layer has")
    rows, inner = a.view.groups[-2:]
    if are_scores(a):
        if inner != _as_keys(b.view.groups[-2]):
            raise UnreadableError(operator, "scores and values are not of the same positions")
        kind, shape = "attend", (*a.step.shape[:-1], b.step.shape[-1])
        last = b.view.groups[-1]
    else:
        keys = b.view.groups[-1]
        seen = {atom.axis for atom in (*rows, *keys)}
        if inner != b.view.groups[-2] or CHANNELS in seen or "n" in seen:
            raise UnreadableError(operator, "it is no product of queries and keys over channels")
        kind, shape, last = "scores", a.step.shape, _as_keys(keys)
    n_heads = prod(value for value in a.view.shape[1:-2])
    step = Step(kind, [a.step, b.step], shape, operator, data=n_heads)
    return Value(step, View((*a.view.groups[:-1], last)), a.dtype)


def shifted(reader, operator, value, array):
    """Scores, and a constant that is added for each pair of positions."""
    array = np.broadcast_to(array, (1, *value.shape[1:]))[0]
    return reader.pointwise(operator, value, "position", data=np.asarray(array, np.float64))


# --- terms ---------------------------------------------------------------------------------------


def attended(block, numbers):
    """The term of softmax(factor Q K' + bias) V of a block, or the block itself.

    Parameters
    ----------
    block : Term
        Of what is seen with scores.
    numbers : callable
        Of a term, scale and shift, if it is affine and they are numbers.
    """
    scores, seen = block.chains
    kinds = [term.kind for term in scores]
    if not kinds or kinds[0] != "scores" or kinds[-1] != "function" or scores[-1].data != "softmax":
        return block
    factor, bias = 1.0, None
    for term in scores[1:-1]:
        line = numbers(term)
        if term.kind == "position" and bias is None:
            bias = term.data
        elif line is not None and bias is None:  # a number that all scores have changes no share
            factor *= line[0]
        else:
            return block
    query, key = scores[0].chains
    parts = [_projection(chain) for chain in (query, key, seen)]
    if any(part is None for part in parts):
        return block
    pools = [pool for _, _, pool in parts]
    if pools[0] is not None or not _same(*pools[1:]):
        return block
    weights = {}
    for name, (weight, shift, _) in zip(PARTS, parts, strict=False):
        weights[name], weights[f"{name}_bias"] = weight, shift
    data = {"factor": factor, "bias": bias, "pool": pools[1], "n_heads": scores[0].data}
    return Term("attention", block.shape, block.operator, weights=weights, data=data)


def _same(a, b):
    if a is None or b is None:
        return a is b
    return type(a) is type(b) and a.get_params() == b.get_params()


def _projection(chain):
    """Weight, bias and the pool before of a chain that mixes channels, or None."""
    pool = None
    if chain and type(chain[0].layer).__name__.startswith("MaxPool"):
        pool, chain = chain[0].layer, chain[1:]
    if not chain or chain[0].kind != "layer" or "weight" not in chain[0].weights:
        return None
    first, *rest = chain
    weight = first.weights["weight"]
    if prod(weight.shape[:-2]) != 1 or getattr(first.layer, "groups", 1) != 1:
        return None
    weight = weight.reshape(weight.shape[-2:])
    bias = first.weights.get("bias", np.zeros(weight.shape[1]))
    if rest:
        if len(rest) > 1 or rest[0].kind != "affine":
            return None
        scale, shift = rest[0].data
        if (scale != 1).any() or shift.ndim > 1:
            return None
        bias = bias + shift
    return weight, bias, pool


def projected(attention, *rest):
    """Attention and what its output is multiplied with, or None."""
    if attention.kind != "attention" or "output" in attention.weights:
        return None
    found = _projection(list(rest))
    if found is None or found[2] is not None:
        return None
    attention.weights["output"], attention.weights["output_bias"], _ = found
    attention.shape = rest[0].shape
    return [attention]


def shifted_output(attention, line):
    """Attention and what is added to its output, or None."""
    if attention.kind != "attention" or line.kind != "affine" or "output" not in attention.weights:
        return None
    scale, shift = line.data
    if (scale != 1).any() or shift.ndim > 1:
        return None
    attention.weights["output_bias"] = attention.weights["output_bias"] + shift
    return [attention]


def attention_layer(term, residual):
    """The layer of a term, and its weights.

    Raises
    ------
    UnreadableError
        If there is none.
    """
    data, weights = term.data, dict(term.weights)
    if "output" not in weights:
        raise UnreadableError(term.operator, "nothing is multiplied with what is seen")
    channels, inner = weights["query"].shape
    n_heads, pool = data["n_heads"], data["pool"]
    bias = data["bias"]
    scaled = abs(data["factor"] * sqrt(inner // n_heads) - 1) < 1e-6
    if channels == inner and pool is None and scaled:
        layer = SelfAttention(n_heads, relative_position=bias is not None, residual=residual)
        if bias is not None:
            weights["position"] = _table(term, bias)
        return layer, weights
    if n_heads > 1 or bias is not None or not residual or not (scaled or data["factor"] == 1):
        raise UnreadableError(term.operator, "there is no attention layer with such scores")
    size = None if pool is None else pool.pool_size
    if pool is not None and (pool.stride is not None or pool.padding != "valid"):
        raise UnreadableError(term.operator, "keys and values see pools that overlap")
    return NonLocal(inner, size, scaled), weights


def _table(term, bias):
    """A number for each offset and head, from those of pairs."""
    offsets = offset_index(term.shape[:-1] or (1,))
    table = np.zeros((offsets.max() + 1, len(bias)))
    table[offsets] = np.moveaxis(bias, 0, -1)
    if not np.array_equal(np.moveaxis(table[offsets], -1, 0), bias):
        raise UnreadableError(term.operator, "what is added to scores is no number for each offset")
    return table
