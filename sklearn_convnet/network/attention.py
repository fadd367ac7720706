"""Attention over positions."""

from functools import cached_property
from math import prod, sqrt

import numpy as np

from ..layers.attention import NonLocal, SelfAttention
from .blocks import sum_of
from .node import Node, Weight, executes
from .pool import MaxPoolNode

PROJECTIONS = ("query", "key", "value", "output")


def spread(position, offsets, bias):
    """bias[h, i, j] = position[offsets[i, j], h]"""
    np.copyto(bias, position[offsets].transpose(2, 0, 1))


def gather(d_bias, offsets, d_position):
    """The adjoint of `spread`."""
    for head, of_pairs in enumerate(d_bias):
        d_position[:, head] = np.bincount(
            offsets.ravel(), weights=of_pairs.ravel(), minlength=len(d_position)
        )


def offset_index(shape):
    """For each pair of positions the number of their offset."""
    grid = np.stack([axis.ravel() for axis in np.indices(shape)])
    index = np.zeros((grid.shape[1],) * 2, np.intp)
    for positions, size in zip(grid, shape, strict=True):
        index = index * (2 * size - 1)
        index += positions[:, None] - positions[None, :] + size - 1
    return index


class _AttentionNode(Node):
    """Y = softmax(factor Q K' + bias) V W_o + b_o, and X added if `residual`.

    Queries are affine in X, keys and values in what `_keys` makes of it.

    Parameters
    ----------
    inner : int
        Channels of queries, keys and values.
    n_keys : int
        Number of positions of keys and values.
    output_initializer : str
        Of W_o.
    """

    residual, n_heads = True, 1

    def __init__(self, layer, path, input_shape, inner, n_keys, output_initializer):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        channels = self.input_shape[-1]
        self.inner, self.n_queries, self.n_keys = inner, prod(self.input_shape[:-1]), n_keys
        for name in PROJECTIONS:
            shape = (inner, channels) if name == "output" else (channels, inner)
            self.weights[name] = Weight(
                shape,
                output_initializer if name == "output" else layer.kernel_initializer,
                fan_in=shape[0],
                fan_out=shape[1],
                decayed=True,
                trainable=layer.trainable,
            )
            self.weights[f"{name}_bias"] = Weight(shape[1:], trainable=layer.trainable)
        self.multiply_adds = layer.multiply_adds(input_shape)

    def _project(self, name, rows, run):
        weight = self.params[name]
        Y = run.empty((len(rows), weight.shape[1]), rows.dtype)
        run.kernels.dense_forward(
            rows, weight, self.params[f"{name}_bias"], Y, "identity", 0.0, run.n_threads
        )
        return Y

    def _project_back(self, name, rows, dY, run):
        dX = run.empty(rows.shape, rows.dtype)
        run.kernels.dense_backward(
            rows, self.params[name], dY, dY, dX, self.gradient(name),
            self.gradient(f"{name}_bias"), "identity", 0.0, run.n_threads,
        )  # fmt: skip
        return dX

    def _heads(self, Q, K, V):
        """Rows as (samples, positions, heads, width)."""
        n, split = len(Q) // self.n_queries, (self.n_heads, self.inner // self.n_heads)
        return [
            rows.reshape(n, positions, *split)
            for rows, positions in ((Q, self.n_queries), (K, self.n_keys), (V, self.n_keys))
        ]

    def _keys(self, X, run):
        """The input of keys and values."""
        return X

    def _keys_back(self, d_keys, run):
        """Its gradient at X."""
        return d_keys

    def _position_bias(self, run):
        """(heads, queries, keys), or None."""
        return None

    def _position_gradient(self, P, run):
        """An array for the gradient at that, or None."""
        return None

    def _position_back(self, d_bias, run):
        """Fills what follows from it."""

    def forward(self, X, run):
        rows, keys = (A.reshape(-1, X.shape[-1]) for A in (X, self._keys(X, run)))
        Q = self._project("query", rows, run)
        K, V = (self._project(name, keys, run) for name in ("key", "value"))
        P = run.empty((len(X), self.n_heads, self.n_queries, self.n_keys), X.dtype)
        seen = run.empty(Q.shape, X.dtype)
        run.kernels.attention_forward(
            *self._heads(Q, K, V), self._position_bias(run), P, self._heads(seen, K, V)[0],
            self.factor, run.n_threads,
        )  # fmt: skip
        Y = self._project("output", seen, run)
        run.save(self, rows, keys, Q, K, V, P, seen)
        if self.residual:
            Y = sum_of(rows, Y, run)
        return Y.reshape(X.shape)

    def backward(self, dY, need_input, run):
        rows, keys, Q, K, V, P, seen = run.recall(self)
        d_rows = dY.reshape(rows.shape)
        d_seen = self._project_back("output", seen, d_rows, run)
        dQ, dK, dV = (run.empty(A.shape, A.dtype) for A in (Q, K, V))
        dS = run.empty(P.shape, P.dtype)
        d_bias = self._position_gradient(P, run)
        run.kernels.attention_backward(
            *self._heads(Q, K, V), P, self._heads(d_seen, K, V)[0], dS, *self._heads(dQ, dK, dV),
            d_bias, self.factor, run.n_threads,
        )  # fmt: skip
        self._position_back(d_bias, run)
        total = self._project_back("query", rows, dQ, run)
        if self.residual:
            total = sum_of(d_rows, total, run)
        d_keys = self._project_back("key", keys, dK, run)
        d_keys = sum_of(d_keys, self._project_back("value", keys, dV, run), run)
        if not need_input:
            return None
        d_keys = self._keys_back(d_keys.reshape(len(dY), *self.key_shape), run)
        return sum_of(total.reshape(dY.shape), d_keys, run)


@executes(SelfAttention)
class SelfAttentionNode(_AttentionNode):
    """The factor is 1 / sqrt(d), d the width of a head."""

    def __init__(self, layer, path, input_shape):
        positions, channels = prod(input_shape[:-1]), input_shape[-1]
        super().__init__(layer, path, input_shape, channels, positions, layer.kernel_initializer)
        self.key_shape = self.input_shape
        self.residual, self.n_heads = layer.residual, layer.n_heads
        self.factor = 1 / sqrt(channels // layer.n_heads)
        # As many offsets may be others: those of 3 x 8 positions are as many as of 8 x 3.
        self.relative_position = self.one_size = layer.relative_position
        if layer.relative_position:
            n_offsets = prod(2 * size - 1 for size in input_shape[:-1])
            self.weights["position"] = Weight((n_offsets, layer.n_heads), trainable=layer.trainable)

    @cached_property
    def offsets(self):
        """The numbers of the offsets, or None; not made before the first pass."""
        return offset_index(self.input_shape[:-1]) if self.relative_position else None

    def _position_bias(self, run):
        if self.offsets is None:
            return None
        position = self.params["position"]
        bias = run.empty((position.shape[1], *self.offsets.shape), position.dtype)
        run.call(spread, position, self.offsets, bias)
        return bias

    def _position_gradient(self, P, run):
        return None if self.gradient("position") is None else run.empty(P.shape[1:], P.dtype)

    def _position_back(self, d_bias, run):
        if d_bias is not None:
            run.call(gather, d_bias, self.offsets, self.gradient("position"))


@executes(NonLocal)
class NonLocalNode(_AttentionNode):
    """One head; keys and values may see a pool of X."""

    def __init__(self, layer, path, input_shape):
        inner, self.key_shape = layer.inner_channels(input_shape), layer.key_shape(input_shape)
        super().__init__(layer, path, input_shape, inner, prod(self.key_shape[:-1]), "zeros")
        self.factor = 1 / sqrt(inner) if layer.scaled else 1.0
        pool = layer.pool(input_shape)
        self.pool = None if pool is None else MaxPoolNode(pool, f"{path}/pool", input_shape)

    def _keys(self, X, run):
        return X if self.pool is None else self.pool.forward(X, run)

    def _keys_back(self, d_keys, run):
        return d_keys if self.pool is None else self.pool.backward(d_keys, True, run)
