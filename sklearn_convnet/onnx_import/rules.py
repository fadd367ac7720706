"""Terms that are one layer together, in whichever way a graph writes it.

# Design:
# * Affine maps next to each other are one, and limits are written with the activation that has
#   them, so that there are few forms of each function. What is left is compared with those of the
#   activations and norms of this package.
"""

from math import prod, sqrt

import numpy as np
from sklearn.base import clone

from ..layers.activation import Activation
from ..layers.group_norm import GroupNorm, LayerNorm
from ..layers.maxout import Maxout
from ..layers.norm import LocalResponseNorm
from ..layers.pool import GlobalAvgPool, LpPool1D, LpPool2D, LpPool3D
from .attention import attended, attention_layer, projected, shifted_output
from .borders import centred_pool, pools_side_by_side
from .terms import Term
from .views import CHANNELS, Atom

LP_POOL = {"AvgPool1D": LpPool1D, "AvgPool2D": LpPool2D, "AvgPool3D": LpPool3D}

#: Constants of a graph in float32 differ by so much, relatively, from what they stand for.
CLOSE = 1e-6


def simplified(terms):
    """A chain of terms with as few of them as are known to mean the same."""
    done = []
    for term in terms:
        found = [term]
        if term.chains:
            term.chains = [simplified(chain) for chain in term.chains]
            found = _BLOCKS.get(term.kind, lambda block: [block])(term)
        for one in found:
            _push(done, one)
    return done


def _push(done, term):
    """Puts a term behind others, and together with them where they are one."""
    if is_affine(term) and done and is_affine(done[-1]):
        term = _composed(done.pop(), term)
    if is_affine(term) and _is_identity(term):
        return
    done.append(term)
    for n, rule in _TAILS:
        if len(done) >= n:
            found = rule(*done[-n:])
            if found is not None:
                del done[-n:]
                for one in found:
                    _push(done, one)
                return


# --- affine maps ---------------------------------------------------------------------------------


def is_affine(term):
    """True for X scale + shift."""
    return term.kind == "affine"


def affine_term(like, scale, shift=0.0):
    """The term of X scale + shift, in the place of another."""
    data = (np.asarray(scale, np.float64), np.asarray(shift, np.float64))
    return Term("affine", like.shape, like.operator, data=data)


def numbers(term):
    """Scale and shift of an affine map if they are one number each, else None."""
    if not is_affine(term) or any(array.ndim for array in term.data):
        return None
    return tuple(float(array) for array in term.data)


def _is_identity(term):
    scale, shift = term.data
    return bool((np.abs(scale - 1) < 1e-12).all() and (shift == 0).all())


def _composed(first, second):
    """(X a + b) c + d, with numbers for each channel or for each value."""
    (a, b), (c, d) = first.data, second.data
    return affine_term(second, a * c, b * c + d)


def _near(a, b):
    return abs(a - b) <= CLOSE * max(abs(b), 1e-30)


def _scales(term, by=None):
    """The number by which a term multiplies, or None; of `by` if it is given."""
    found = numbers(term)
    if found is None or found[1] != 0 or (by is not None and not _near(found[0], by)):
        return None
    return found[0]


# --- what a term is ------------------------------------------------------------------------------


def is_activation(term, name):
    """True for an activation of this name."""
    return (
        term.kind == "layer"
        and isinstance(term.layer, Activation)
        and (term.layer.activation == name)
    )


def activation_term(like, name, alpha=None):
    """The term of an activation, in the place of another."""
    return Term("layer", like.shape, like.operator, Activation(name, alpha))


def is_function(term, *data):
    """True for a function of single numbers."""
    return term.kind == "function" and term.data in data


def _powers(terms, *exponents):
    """True if terms are these powers, one after the other."""
    return len(terms) == len(exponents) and all(
        term.kind == "function" and isinstance(term.data, tuple) and _near(term.data[1], e)
        for term, e in zip(terms, exponents, strict=True)
    )


# --- neighbours ----------------------------------------------------------------------------------


def _hard_logistic(line, bounded):
    """min(max(a z + 3, 0), 6) = 6 hard_logistic(a z)"""
    found = numbers(line)
    if found is None or not _near(found[1], 3) or not is_activation(bounded, "relu6"):
        return None
    return [
        affine_term(line, 1.0 if _near(found[0], 1) else found[0]),
        activation_term(bounded, "hard_logistic"),
        affine_term(bounded, 6.0),
    ]


def _norm(centre, over):
    """(X - mean) / sqrt(variance + epsilon)"""
    if centre.kind != "centre" or over.kind != "over" or centre.data != over.data[0]:
        return None
    channels, epsilon = over.shape[-1], float(f"{over.data[1]:.6g}")
    parts = [atom for atom in centre.data if atom.axis == CHANNELS]
    if epsilon <= 0 or len(parts) > 1 or (parts and parts[0].stride != 1):
        return None
    others = centre.data - set(parts)
    sizes = [size for size in over.shape[:-1] if size > 1]
    if not centre.data:
        layer = GroupNorm(channels, epsilon=epsilon)
    elif not parts:
        return None
    elif not others and parts == [Atom(CHANNELS, channels)]:
        layer = LayerNorm(epsilon=epsilon)
    elif len(others) == len(sizes) and prod(a.size for a in others) == prod(sizes):
        layer = GroupNorm(channels // parts[0].size, epsilon=epsilon)
    else:
        return None
    weights = {"scale": np.ones(channels), "offset": np.zeros(channels)}
    return [Term("layer", over.shape, over.operator, layer, weights)]


def _scaled_norm(norm, line):
    """A norm, and then a scale and offset for each channel that it has not got itself."""
    if norm.kind != "layer" or not isinstance(norm.layer, (LayerNorm, GroupNorm)):
        return None
    if not is_affine(line) or any(array.ndim > 1 for array in line.data):
        return None
    scale, shift = (np.broadcast_to(array, norm.shape[-1:]) for array in line.data)
    scaled = (norm.weights["scale"] != 1).any()
    if (norm.weights["offset"] != 0).any() or (scaled and (scale != 1).any()):
        return None
    norm.weights = {"scale": norm.weights["scale"] if scaled else scale, "offset": shift}
    return [norm]


def with_bias(last, line):
    """A layer that has no bias, and what is added to its channels, or None."""
    scale, shift = line.data if is_affine(line) else (0.0, 0.0)
    takes_one = (
        last.kind == "layer"
        and getattr(last.layer, "use_bias", True) is False
        and last.layer.activation is None
        and last.layer.trainable
    )
    if not takes_one or np.ndim(shift) > 1 or (np.asarray(scale) != 1).any():
        return None
    last.layer.use_bias = True
    last.weights["bias"] = np.broadcast_to(shift, last.shape[-1:])
    return [last]


def _biased(last, line):
    """The same for a number for each channel: one number for all may begin an activation."""
    return with_bias(last, line) if is_affine(line) and line.data[1].ndim == 1 else None


def _lp_pool(absolute, *rest):
    """(n mean |x|^p)^(1/p)"""
    power, pool, line, root = rest if len(rest) == 4 else (None, *rest, None)
    p = 1.0
    if not is_function(absolute, "abs") or pool.kind != "layer":
        return None
    if power is not None:
        if power.kind != "function" or not isinstance(power.data, tuple):
            return None
        p = power.data[1]
        if not _powers([root], 1 / p):
            return None
    name = type(pool.layer).__name__
    if name not in LP_POOL or pool.layer.padding != "valid":
        return None
    n = prod(np.broadcast_to(pool.layer.pool_size, len(pool.shape) - 1))
    if _scales(line, n) is None:
        return None
    p = int(p) if p == int(p) else p
    layer = LP_POOL[name](pool.layer.pool_size, pool.layer.stride, p)
    return [Term("layer", pool.shape, pool.operator, layer)]


#: Rules for so many neighbours at the end of a chain: what they are together, or None.
_TAILS = (
    (2, _hard_logistic),
    (2, _norm),
    (2, _scaled_norm),
    (2, _biased),
    (2, projected),
    (2, shifted_output),
    (2, centred_pool),
    (3, centred_pool),
    (3, lambda a, pool, line: _lp_pool(a, pool, line)),
    (5, _lp_pool),
)


# --- sums ----------------------------------------------------------------------------------------


def _add(block):
    """A sum of two: a block, or a function that a graph writes as one."""
    a, b = block.chains
    if not a and not b:
        return [affine_term(block, 2.0)]
    if not a:
        a, b = b, a
    block.chains = [a, b]
    if not b and len(a) == 2 and _mean_of(a[0]) is not None and _scales(a[1], -1) is not None:
        return [Term("centre", block.shape, block.operator, data=_mean_of(a[0]))]
    if not b and len(a) == 1 and a[0].kind == "attention":
        layer, weights = attention_layer(a[0], residual=True)
        return [Term("layer", block.shape, block.operator, layer, weights)]
    if _is_choice(a) and _is_choice(b):
        (a,), (b,) = a, b
        a.weights = {"weight": a.weights["weight"] + b.weights["weight"]}
        return [a]
    for positive, negative in ((a, b), (b, a)):
        if len(positive) == 1 and is_activation(positive[0], "relu"):
            found = _below_zero(block, negative)
            if found is not None:
                return [found]
    return [block]


def _mean_of(term):
    """The axes that a mean is over, none in particular for all positions; None if it is no mean."""
    if term.kind == "layer" and isinstance(term.layer, GlobalAvgPool):
        return frozenset()
    return term.data if term.kind == "mean" else None


def _is_choice(terms):
    """True for channels that are picked, or sums of them."""
    return (
        len(terms) == 1
        and terms[0].kind == "layer"
        and (
            getattr(terms[0].layer, "trainable", True) is False
            and set(terms[0].weights) == {"weight"}
        )
    )


def _below_zero(block, terms):
    """The activation that is z above 0 and what terms are below, or None."""
    if len(terms) < 3 or _scales(terms[0], -1) is None or not is_activation(terms[1], "relu"):
        return None
    scale = _scales(terms[-1])
    if len(terms) == 3 and scale is not None and scale <= 0:
        return activation_term(block, "leaky_relu", -scale)
    is_elu = (
        len(terms) == 5 and is_activation(terms[3], "elu") and terms[3].layer.alpha in (None, 1)
    )
    if is_elu and _scales(terms[2], -1) is not None and scale is not None and scale >= 0:
        return activation_term(block, "elu", scale)
    return None


# --- products ------------------------------------------------------------------------------------


def _multiply(block):
    """A product of two, and the number that both may be multiplied with besides."""
    factor = 1.0
    for chain in block.chains:
        scale = _scales(chain[-1]) if chain else None
        if scale is not None:
            factor *= scale
            chain.pop()
    a, b = block.chains
    found = block
    if not a and not b:
        found = Term("function", block.shape, block.operator, data=("power", 2.0))
    elif not a or not b:
        block.chains = [a or b, []]
        found, more = _gated(block, a or b)
        factor *= more
    return [found, affine_term(block, factor)]


def _gated(block, gate):
    """The term that X gate(X) is, and a number that it is multiplied with."""
    if len(gate) == 1 and is_activation(gate[0], "logistic"):
        return activation_term(block, "silu"), 1.0
    if len(gate) == 1 and is_activation(gate[0], "hard_logistic"):
        return activation_term(block, "hard_swish"), 1.0
    if len(gate) == 3 and _scales(gate[0], 1 / sqrt(2)) is not None and is_function(gate[1], "erf"):
        line = numbers(gate[2])
        if line is not None and _near(*line):
            return activation_term(block, "gelu"), 2 * line[0]
    if (
        len(gate) == 5
        and _mean_of(gate[1]) is not None
        and _powers([gate[0], *gate[3:]], 2, 0.5, -1)
    ):
        line = numbers(gate[2])
        if line is not None and line[0] == 1:
            return Term("over", block.shape, block.operator, data=(_mean_of(gate[1]), line[1])), 1.0
    norm = _response_norm(block, gate)
    return (block, 1.0) if norm is None else (norm, 1.0)


def _response_norm(block, gate):
    """X / (bias + alpha / size sum X^2)^beta, the sum being over neighbouring maps."""
    if len(gate) != 5 or not _powers([gate[0], gate[4]], 2, -1) or numbers(gate[2]) is None:
        return None
    line, power = numbers(gate[2]), gate[3]
    weight = gate[1].weights.get("weight")
    is_matrix = weight is not None and set(gate[1].weights) == {"weight"}
    if not is_matrix or power.kind != "function" or not isinstance(power.data, tuple):
        return None
    weight = weight.reshape(weight.shape[-2:])
    n = len(weight)
    if weight.shape != (n, n) or not line[0] == 1:
        return None
    before = max((int(j - i) for i, j in zip(*np.nonzero(weight), strict=True)), default=0)
    after = max((int(i - j) for i, j in zip(*np.nonzero(weight), strict=True)), default=0)
    # `after` maps lie behind the one in the middle, and `before` before it.
    channel = np.arange(n)
    offset = channel[:, None] - channel
    near = (offset >= -before) & (offset <= after)
    share = float(weight[0, 0])
    if not np.array_equal(weight, (near * share).astype(weight.dtype)):
        return None
    size = before + after + 1
    if before != size // 2:
        size += 1  # of more maps than there are, only those that are there can be told
        if before > size // 2:
            return None
    layer = LocalResponseNorm(size, share * size, float(power.data[1]), line[1])
    return Term("layer", block.shape, block.operator, layer)


# --- the largest of several, and attention -------------------------------------------------------


def _largest(block):
    """The largest of channels that are picked from the same maps."""
    if not all(_is_choice(chain) for chain in block.chains):
        return [block]
    weights = [chain[0].weights["weight"] for chain in block.chains]
    picked = np.stack(weights, axis=-1).reshape(*weights[0].shape[:-1], -1)
    n_maps, first = picked.shape[-2], block.chains[0][0]
    maxout = Term("layer", block.shape, block.operator, Maxout(len(weights)))
    if np.array_equal(picked.reshape(n_maps, -1), np.eye(n_maps, dtype=picked.dtype)):
        return [maxout]
    layer = clone(first.layer)
    layer.set_params(**{"units" if hasattr(layer, "units") else "filters": picked.shape[-1]})
    shape = (*first.shape[:-1], picked.shape[-1])
    return [Term("layer", shape, first.operator, layer, {"weight": picked}), maxout]


def _attend(block):
    return [attended(block, numbers)]


_BLOCKS = {
    "add": _add,
    "mul": _multiply,
    "max": _largest,
    "attend": _attend,
    "concat": pools_side_by_side,
}
