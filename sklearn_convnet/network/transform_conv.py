"""Convolution with filters in every transform of a set.

The bank of all transformed filters is made for each call, by sparse matrices over the positions of
a filter, and an order of its channels where these are maps of all transforms too; then it is a
convolution, an activation, and a pool over the transforms.
"""

from functools import cached_property
from math import prod

import numpy as np

from ..layers.transform_conv import (
    TransformConv1D,
    TransformConv2D,
    TransformConv3D,
    TransformPool,
)
from ..layers.transforms import filter_transform
from .activation import ActivationNode
from .node import Node, Weight, executes


def turned(weight, transforms, orders):
    """All filters in each transform, one transform after the other.

    Parameters
    ----------
    weight : ndarray of shape (*kernel, channels, filters)
    transforms : list of sparse array of shape (positions, positions)
        What each transform does to the positions of a filter.
    orders : list of array-like of shape (n_parts,)
        And to the channels of each part of them: from which part they come.

    Returns
    -------
    ndarray of shape (*kernel, channels, n_transforms * filters)
    """
    n_positions = prod(weight.shape[:-2])
    parts = weight.reshape(n_positions, len(orders[0]), -1)
    found = [
        (T @ parts[:, order].reshape(n_positions, -1)).reshape(weight.shape)
        for T, order in zip(transforms, orders, strict=True)
    ]
    return np.concatenate(found, axis=-1)


def turn(weight, transforms, orders, bank):
    """The bank of filters in each transform."""
    bank[...] = turned(weight, transforms, orders).reshape(bank.shape)


def turn_back(d_bank, transforms, orders, dW):
    """The adjoint of `turn`."""
    n_positions = prod(dW.shape[:-2])
    parts = np.split(d_bank.reshape(n_positions, *dW.shape[-2:-1], -1), len(transforms), axis=-1)
    total = np.zeros((n_positions, len(orders[0]), dW.size // (n_positions * len(orders[0]))))
    for T, order, part in zip(transforms, orders, parts, strict=True):
        total[:, order] += (T.T @ part.reshape(n_positions, -1)).reshape(total.shape)
    dW[...] = total.reshape(dW.shape)


def repeat(bias, tiled):
    """The same bias for each transform."""
    tiled.reshape(-1, len(bias))[...] = bias


def add_repeats(d_tiled, db):
    """The adjoint of `repeat`."""
    db[...] = d_tiled.reshape(-1, len(db)).sum(axis=0)


@executes(TransformConv1D, TransformConv2D, TransformConv3D)
class TransformConvNode(Node):
    """Y = f(conv(X, bank of T(W)) + b); see ConvNode for `activation`."""

    @classmethod
    def build(cls, layer, path, input_shape):
        node = cls(layer, path, input_shape)
        nodes = [node, *ActivationNode.after(layer.activation, path, node.output_shape)]
        if layer.pool is not None:
            shape = layer.output_shape(input_shape)
            pool = TransformPoolNode(layer.pool, f"{path}/pool", node.output_shape, shape)
            nodes.append(pool)
        return nodes

    def __init__(self, layer, path, input_shape):
        conv = layer.as_conv()
        super().__init__(path, input_shape, conv.output_shape(input_shape))
        kernel, stride, pads, dilation = conv.geometry(input_shape)
        lead = 3 - len(kernel)
        ones, none = (1,) * lead, ((0, 0),) * lead
        self.geometry = (ones + stride, none + pads, ones + dilation, 1)
        self.maps_in = (*ones, *self.input_shape)
        self.maps_out = (*ones, *self.output_shape)
        self._of_transforms = layer.matrices(), kernel
        self.orders = layer.input_order()
        shape = layer.weight_shape(input_shape)
        self.bank_shape = (*ones, *conv.weight_shape(input_shape))
        self.weights["weight"] = Weight(
            shape,
            layer.kernel_initializer,
            fan_in=prod(shape[:-1]),
            # A map of the input counts in as many transforms as it is one of.
            fan_out=prod(kernel) * layer.filters * len(self.orders[0]),
            activation=layer.activation,
            decayed=True,
            trainable=layer.trainable,
        )
        if layer.use_bias:
            self.weights["bias"] = Weight(shape[-1:], trainable=layer.trainable)
        self.multiply_adds = layer.multiply_adds(input_shape)
        self.activation, self.alpha = "identity", 0.0

    @cached_property
    def transforms(self):
        """Sparse matrices; not made before the first pass."""
        matrices, kernel = self._of_transforms
        return [filter_transform(matrix, kernel) for matrix in matrices]

    def filters(self):
        """The filters in all transforms, of shape (*kernel, channels, n_transforms * filters)."""
        return turned(self.params["weight"], self.transforms, self.orders)

    def _bank(self, run):
        """Filter `j` in transform `t` is filter ``t * filters + j`` of the bank."""
        weight = self.params["weight"]
        bank = run.empty(self.bank_shape, weight.dtype)
        run.call(turn, weight, self.transforms, self.orders, bank)
        return bank

    def _bank_bias(self, run):
        bias = self.params.get("bias")
        if bias is None:
            return None
        tiled = run.empty((len(self.transforms) * len(bias),), bias.dtype)
        run.call(repeat, bias, tiled)
        return tiled

    def forward(self, X, run):
        n = len(X)
        Y = run.empty((n, *self.output_shape), X.dtype)
        run.kernels.conv_forward(
            X.reshape(n, *self.maps_in),
            self._bank(run),
            None,
            self._bank_bias(run),
            Y.reshape(n, *self.maps_out),
            None,
            None,
            *self.geometry,
            self.activation,
            self.alpha,
            (1, 1, 1),
            run.n_threads,
        )
        run.save(self, X, Y)
        return Y

    def backward(self, dY, need_input, run):
        X, Y = run.recall(self)
        n = len(X)
        dX = run.empty(X.shape, X.dtype) if need_input else None
        dW, db = self.gradient("weight"), self.gradient("bias")
        d_bank = None if dW is None else run.empty(self.bank_shape, X.dtype)
        d_bank_bias = None if db is None else run.empty(self.bank_shape[-1:], X.dtype)
        run.kernels.conv_backward(
            X.reshape(n, *self.maps_in),
            self._bank(run),
            Y.reshape(n, *self.maps_out),
            None,
            dY.reshape(n, *self.maps_out),
            None,
            None if dX is None else dX.reshape(n, *self.maps_in),
            d_bank,
            d_bank_bias,
            *self.geometry,
            self.activation,
            self.alpha,
            (1, 1, 1),
            run.n_threads,
        )
        if dW is not None:
            run.call(turn_back, d_bank, self.transforms, self.orders, dW)
        if db is not None:
            run.call(add_repeats, d_bank_bias, db)
        return dX


@executes(TransformPool)
class TransformPoolNode(Node):
    """The maximum or mean over the transforms of each filter: a global pool, place by place."""

    @classmethod
    def build(cls, layer, path, input_shape):
        return [cls(layer.pool, path, input_shape, layer.output_shape(input_shape))]

    def __init__(self, pool, path, input_shape, output_shape):
        super().__init__(path, input_shape, output_shape)
        self.pool = pool

    def _pixels(self, X):
        """(places, transforms, filters)"""
        filters = self.output_shape[-1]
        return X.reshape(-1, self.input_shape[-1] // filters, filters)

    def forward(self, X, run):
        Y = run.empty((len(X), *self.output_shape), X.dtype)
        pooled = Y.reshape(-1, Y.shape[-1])
        if self.pool == "mean":
            run.kernels.globalavg_forward(self._pixels(X), pooled, run.n_threads)
            return Y
        index = None
        if run.training:
            index = run.empty(pooled.shape, np.int32)
        run.kernels.globalmax_forward(self._pixels(X), pooled, index, run.n_threads)
        run.save(self, index)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        dX = run.empty((len(dY), *self.input_shape), dY.dtype)
        pooled = dY.reshape(-1, dY.shape[-1])
        if self.pool == "mean":
            run.kernels.globalavg_backward(pooled, self._pixels(dX), run.n_threads)
        else:
            (index,) = run.recall(self)
            run.kernels.globalmax_backward(pooled, index, self._pixels(dX), run.n_threads)
        return dX
