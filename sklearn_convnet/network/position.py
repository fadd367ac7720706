"""Positions as numbers that are added."""

from math import prod

import numpy as np

from ..layers.position import PositionEmbedding
from .node import Node, Weight, executes

#: Of the first weights, that of Dosovitskiy et al. (2021).
DEVIATION = 0.02


def sinusoids(shape):
    """Sines and cosines of the places along each axis, for maps of this shape.

    Parameters
    ----------
    shape : tuple of int
        Sizes of the axes, and channels, a multiple of twice as many as there are axes.

    Returns
    -------
    ndarray of float64 of this shape
    """
    *sizes, channels = shape
    n = channels // (2 * len(sizes))
    frequencies = 10000.0 ** (-np.arange(n) / n)
    table = np.empty(shape)
    parts = np.split(table, 2 * len(sizes), axis=-1)  # views
    for axis, places in enumerate(np.ogrid[tuple(slice(size) for size in sizes)]):
        angles = places[..., None] * frequencies
        parts[2 * axis][...] = np.sin(angles)
        parts[2 * axis + 1][...] = np.cos(angles)
    return table


def sum_samples(dY, total):
    """total = the sum of dY over the samples"""
    np.sum(dY, axis=0, dtype=np.float64, out=total)


@executes(PositionEmbedding)
class PositionNode(Node):
    """Y = X + position."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.one_size = layer.kind == "learned"
        if layer.kind == "learned":
            # A "lecun_normal" weight has the variance 1 / fan_in.
            self.weights["position"] = Weight(
                self.input_shape, "lecun_normal", DEVIATION**-2, trainable=layer.trainable
            )
        else:
            self.table = sinusoids(self.input_shape)

    def forward(self, X, run):
        n_values = prod(self.input_shape)
        position = self.params["position"] if self.one_size else self.table.astype(X.dtype)
        Y = run.empty(X.shape, X.dtype)
        run.kernels.channel_affine(
            X.reshape(len(X), n_values), np.ones(n_values, X.dtype), position.reshape(-1),
            Y.reshape(len(X), n_values), run.n_threads,
        )  # fmt: skip
        return Y

    def backward(self, dY, need_input, run):
        d_position = self.gradient("position")
        if d_position is not None:
            run.call(sum_samples, dY, d_position)
        return dY if need_input else None
