"""Normalisation of each sample by itself."""

from math import prod

import numpy as np

from ..layers.group_norm import GroupNorm, LayerNorm
from .node import Node, Weight, executes


@executes(GroupNorm)
class GroupNormNode(Node):
    """Y = scale (X - mean) / sqrt(variance + epsilon) + offset, by groups of channels."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        channels = self.input_shape[-1]
        self.n_groups = self._groups(layer)
        self.epsilon = float(layer.epsilon)
        self.weights["scale"] = Weight((channels,), "ones", trainable=layer.trainable)
        self.weights["offset"] = Weight((channels,), trainable=layer.trainable)

    def _groups(self, layer):
        return int(layer.n_groups)

    def _maps(self, X):
        """X as (samples, positions, channels)."""
        return X.reshape(len(X), prod(self.input_shape[:-1]), self.input_shape[-1])

    def forward(self, X, run):
        maps = self._maps(X)
        Y = run.empty(maps.shape, X.dtype)
        mean, variance = (run.empty((len(maps), self.n_groups), np.float64) for _ in range(2))
        run.kernels.groupnorm_forward(
            maps, self.params["scale"], self.params["offset"], mean, variance, Y, self.epsilon,
            run.n_threads,
        )  # fmt: skip
        run.save(self, maps, mean, variance)
        return Y.reshape(X.shape)

    def backward(self, dY, need_input, run):
        maps, mean, variance = run.recall(self)
        dX = run.empty(maps.shape, maps.dtype)
        run.kernels.groupnorm_backward(
            maps, self.params["scale"], mean, variance, self._maps(dY), dX,
            self.gradient("scale"), self.gradient("offset"), self.epsilon, run.n_threads,
        )  # fmt: skip
        return dX.reshape(dY.shape) if need_input else None


@executes(LayerNorm)
class LayerNormNode(GroupNormNode):
    """The same with each position as a sample, and one group."""

    def _groups(self, layer):
        return 1

    def _maps(self, X):
        return X.reshape(-1, 1, self.input_shape[-1])
