"""Nodes that scale and shift: with fixed numbers, or with statistics of the data."""

import numpy as np

from ..layers.norm import Rescale, Standardize
from .node import Node, executes


class _AffineNode(Node):
    """Y = X scale + shift, one scale and shift a column of X seen as a matrix."""

    def __init__(self, layer, path, input_shape, n_columns):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.n_columns = n_columns

    def affine(self):
        """Scale and shift."""
        raise NotImplementedError(type(self))

    def forward(self, X, run):
        Y = run.empty(self, "Y", X.shape, X.dtype)
        self._apply(X, Y, *self.affine(), run)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        dX = run.empty(self, "dX", dY.shape, dY.dtype)
        self._apply(dY, dX, self.affine()[0], None, run)
        return dX

    def _apply(self, X, Y, scale, shift, run):
        rows = (-1, self.n_columns)
        scale = np.asarray(scale, X.dtype)
        shift = None if shift is None else np.asarray(shift, X.dtype)
        run.kernels.channel_affine(
            X.reshape(rows), scale, shift, Y.reshape(rows), run.n_threads
        )


@executes(Rescale)
class RescaleNode(_AffineNode):
    @classmethod
    def build(cls, layer, path, input_shape):
        return [cls(layer, path, input_shape)]

    def __init__(self, layer, path, input_shape):
        super().__init__(layer, path, input_shape, input_shape[-1])
        self._scale = np.full(self.n_columns, layer.scale, dtype=np.float64)
        self._shift = np.full(self.n_columns, layer.offset, dtype=np.float64)

    def affine(self):
        return self._scale, self._shift


@executes(Standardize)
class StandardizeNode(_AffineNode):
    """Y = (X - mean) / deviation; `fit_statistics` fills the buffers."""

    @classmethod
    def build(cls, layer, path, input_shape):
        return [cls(layer, path, input_shape)]

    def __init__(self, layer, path, input_shape):
        columns = input_shape[-1] if layer.per == "channel" else np.prod(input_shape)
        super().__init__(layer, path, input_shape, int(columns))
        self.buffers["mean"] = np.zeros(self.n_columns)
        self.buffers["deviation"] = np.ones(self.n_columns)

    def affine(self):
        scale = 1 / self.state["deviation"]
        return scale, -self.state["mean"] * scale

    def fit_statistics(self, batches):
        """Mean and deviation of `(X, weight)` batches, merged batch by batch.

        The update is that of Chan, Golub and LeVeque (1983), in float64.
        """
        total, mean, squares = 0.0, np.zeros(self.n_columns), np.zeros(self.n_columns)
        for X, weight in batches:
            columns = X.reshape(len(X), -1, self.n_columns).astype(np.float64)
            w = np.asarray(weight, np.float64)[:, None, None]
            added = w.sum() * columns.shape[1]
            batch_mean = (w * columns).sum(axis=(0, 1)) / added
            shift = batch_mean - mean
            squares += (w * (columns - batch_mean) ** 2).sum(axis=(0, 1))
            squares += shift**2 * (total * added / (total + added))
            mean += shift * (added / (total + added))
            total += added
        deviation = np.sqrt(squares / total)
        constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)
        self.state["mean"][:] = mean
        self.state["deviation"][:] = np.where(constant, 1.0, deviation)
