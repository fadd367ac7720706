"""Self-attention."""

from functools import cached_property
from math import prod

import numpy as np

from ..layers.attention import SelfAttention
from .blocks import sum_of
from .node import Node, Weight, executes

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


@executes(SelfAttention)
class SelfAttentionNode(Node):
    """Y = X + softmax(Q K' / sqrt(d) + bias) V W_o + b_o."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.length, channels = prod(input_shape[:-1]), input_shape[-1]
        self.heads = (self.length, layer.n_heads, channels // layer.n_heads)
        self.residual = layer.residual
        for name in PROJECTIONS:
            self.weights[name] = Weight(
                (channels, channels),
                layer.kernel_initializer,
                fan_in=channels,
                fan_out=channels,
                decayed=True,
                trainable=layer.trainable,
            )
            self.weights[f"{name}_bias"] = Weight((channels,), trainable=layer.trainable)
        self.relative_position = layer.relative_position
        if layer.relative_position:
            n_offsets = prod(2 * size - 1 for size in input_shape[:-1])
            self.weights["position"] = Weight((n_offsets, layer.n_heads), trainable=layer.trainable)
        self.multiply_adds = layer.multiply_adds(input_shape)

    @cached_property
    def offsets(self):
        """The numbers of the offsets, or None; not made before the first pass."""
        return offset_index(self.input_shape[:-1]) if self.relative_position else None

    def _project(self, name, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.kernels.dense_forward(
            X, self.params[name], self.params[f"{name}_bias"], Y, "identity", 0.0,
            run.n_threads,
        )  # fmt: skip
        return Y

    def _project_back(self, name, X, dY, run):
        dX = run.empty(X.shape, X.dtype)
        run.kernels.dense_backward(
            X, self.params[name], dY, dY, dX, self.gradient(name),
            self.gradient(f"{name}_bias"), "identity", 0.0, run.n_threads,
        )  # fmt: skip
        return dX

    def _position_bias(self, run):
        """(heads, length, length), or None."""
        if self.offsets is None:
            return None
        position = self.params["position"]
        bias = run.empty((position.shape[1], *self.offsets.shape), position.dtype)
        run.call(spread, position, self.offsets, bias)
        return bias

    def forward(self, X, run):
        n = len(X)
        rows = X.reshape(n * self.length, X.shape[-1])
        Q, K, V = (self._project(name, rows, run) for name in PROJECTIONS[:3])
        split = (n, *self.heads)
        P = run.empty((n, self.heads[1], self.length, self.length), X.dtype)
        seen = run.empty(rows.shape, X.dtype)
        run.kernels.attention_forward(
            Q.reshape(split), K.reshape(split), V.reshape(split), self._position_bias(run),
            P, seen.reshape(split), run.n_threads,
        )  # fmt: skip
        Y = self._project("output", seen, run)
        run.save(self, rows, Q, K, V, P, seen)
        if self.residual:
            Y = sum_of(rows, Y, run)
        return Y.reshape(X.shape)

    def backward(self, dY, need_input, run):
        rows, Q, K, V, P, seen = run.recall(self)
        n = len(dY)
        split = (n, *self.heads)
        d_rows = dY.reshape(rows.shape)
        d_seen = self._project_back("output", seen, d_rows, run)
        dQ, dK, dV = (run.empty(Q.shape, Q.dtype) for i in range(3))
        dS = run.empty(P.shape, P.dtype)
        d_position = self.gradient("position")
        d_bias = None if d_position is None else run.empty(P.shape[1:], P.dtype)
        run.kernels.attention_backward(
            Q.reshape(split), K.reshape(split), V.reshape(split), P,
            d_seen.reshape(split), dS, dQ.reshape(split), dK.reshape(split),
            dV.reshape(split), d_bias, run.n_threads,
        )  # fmt: skip
        if d_position is not None:
            run.call(gather, d_bias, self.offsets, d_position)
        total = d_rows if self.residual else None
        for name, d in zip(PROJECTIONS[:3], (dQ, dK, dV), strict=True):
            dX = self._project_back(name, rows, d, run)
            total = dX if total is None else sum_of(total, dX, run)
        return total.reshape(dY.shape) if need_input else None
