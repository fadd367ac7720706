"""Pooling nodes."""

from math import prod

import numpy as np

from ..layers.pool import (
    AvgPool1D,
    AvgPool2D,
    AvgPool3D,
    GlobalAvgPool,
    GlobalMaxPool,
    HeterogeneousMaxPool,
    LpPool1D,
    LpPool2D,
    LpPool3D,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
)
from .node import Node, executes


class _PoolNode(Node):
    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        window, stride, pads = layer.geometry(input_shape)
        lead = 3 - len(window)
        ones, none = (1,) * lead, ((0, 0),) * lead
        self.geometry = (ones + window, ones + stride, none + pads)
        self.maps_in = (*ones, *self.input_shape)
        self.maps_out = (*ones, *self.output_shape)


class _MaxNode(Node):
    """Pools that save the places of their maxima."""

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        (index,) = run.recall(self)
        n = len(dY)
        dX = run.empty((n, *self.maps_in), dY.dtype)
        run.kernels.maxpool_backward(dY.reshape(n, *self.maps_out), index, dX, run.n_threads)
        return dX.reshape(n, *self.input_shape)


@executes(MaxPool1D, MaxPool2D, MaxPool3D)
class MaxPoolNode(_MaxNode, _PoolNode):
    def forward(self, X, run):
        n = len(X)
        Y = run.empty((n, *self.maps_out), X.dtype)
        index = None
        if run.training:
            index = run.empty(Y.shape, np.int32)
        run.kernels.maxpool_forward(
            X.reshape(n, *self.maps_in), Y, index, *self.geometry, run.n_threads
        )
        run.save(self, index)
        return Y.reshape(n, *self.output_shape)


@executes(AvgPool1D, AvgPool2D, AvgPool3D)
class AvgPoolNode(_PoolNode):
    def forward(self, X, run):
        n = len(X)
        Y = run.empty((n, *self.maps_out), X.dtype)
        run.kernels.avgpool_forward(X.reshape(n, *self.maps_in), Y, *self.geometry, run.n_threads)
        return Y.reshape(n, *self.output_shape)

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        n = len(dY)
        dX = run.empty((n, *self.maps_in), dY.dtype)
        run.kernels.avgpool_backward(
            dY.reshape(n, *self.maps_out), dX, *self.geometry, run.n_threads
        )
        return dX.reshape(n, *self.input_shape)


@executes(LpPool1D, LpPool2D, LpPool3D)
class LpPoolNode(_PoolNode):
    def __init__(self, layer, path, input_shape):
        super().__init__(layer, path, input_shape)
        self.geometry = (*self.geometry, float(layer.p))

    def forward(self, X, run):
        n = len(X)
        Y = run.empty((n, *self.maps_out), X.dtype)
        X = X.reshape(n, *self.maps_in)
        run.kernels.lppool_forward(X, Y, *self.geometry, run.n_threads)
        run.save(self, X, Y)
        return Y.reshape(n, *self.output_shape)

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        X, Y = run.recall(self)
        dX = run.empty(X.shape, X.dtype)
        run.kernels.lppool_backward(X, Y, dY.reshape(Y.shape), dX, *self.geometry, run.n_threads)
        return dX.reshape(len(X), *self.input_shape)


@executes(HeterogeneousMaxPool)
class HeterogeneousMaxPoolNode(_MaxNode):
    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        sizes, stride = layer.geometry(input_shape)
        lead = 3 - len(stride)
        ones = (1,) * lead
        self.geometry = (np.pad(sizes, ((0, 0), (lead, 0)), constant_values=1), ones + stride)
        self.maps_in = (*ones, *self.input_shape)
        self.maps_out = (*ones, *self.output_shape)

    def forward(self, X, run):
        n = len(X)
        Y = run.empty((n, *self.maps_out), X.dtype)
        index = None
        if run.training:
            index = run.empty(Y.shape, np.int32)
        run.kernels.group_maxpool_forward(
            X.reshape(n, *self.maps_in), Y, index, *self.geometry, run.n_threads
        )
        run.save(self, index)
        return Y.reshape(n, *self.output_shape)


class _GlobalPoolNode(Node):
    @classmethod
    def build(cls, layer, path, input_shape):
        return [cls(path, input_shape, layer.output_shape(input_shape))]

    def pixels(self, X):
        """(n, pixels, channels)"""
        return X.reshape(len(X), prod(self.input_shape[:-1]), X.shape[-1])


@executes(GlobalMaxPool)
class GlobalMaxPoolNode(_GlobalPoolNode):
    def forward(self, X, run):
        Y = run.empty((len(X), *self.output_shape), X.dtype)
        index = None
        if run.training:
            index = run.empty(Y.shape, np.int32)
        run.kernels.globalmax_forward(self.pixels(X), Y, index, run.n_threads)
        run.save(self, index)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        (index,) = run.recall(self)
        dX = run.empty((len(dY), *self.input_shape), dY.dtype)
        run.kernels.globalmax_backward(dY, index, self.pixels(dX), run.n_threads)
        return dX


@executes(GlobalAvgPool)
class GlobalAvgPoolNode(_GlobalPoolNode):
    def forward(self, X, run):
        Y = run.empty((len(X), *self.output_shape), X.dtype)
        run.kernels.globalavg_forward(self.pixels(X), Y, run.n_threads)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        dX = run.empty((len(dY), *self.input_shape), dY.dtype)
        run.kernels.globalavg_backward(dY, self.pixels(dX), run.n_threads)
        return dX
