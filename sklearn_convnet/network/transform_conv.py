"""Convolution with filters in every transform of a set.

The bank of all transformed filters is made for each call, by sparse matrices; then it is a
convolution, an activation, and a pool over the transforms.
"""

from functools import cached_property
from math import prod

import numpy as np

from ..layers.transform_conv import (
    TransformConv2D,
    filter_transform,
    transform_matrices,
)
from .activation import ActivationNode
from .node import Node, Weight, executes


def turn(weight, transforms, bank):
    """The bank of filters in each transform."""
    flat = weight.reshape(prod(weight.shape[:2]), -1)
    turned = [(T @ flat).reshape(weight.shape) for T in transforms]
    np.concatenate(turned, axis=-1, out=bank.reshape(*weight.shape[:-1], -1), casting="same_kind")


def turn_back(d_bank, transforms, dW):
    """The adjoint of `turn`."""
    parts = np.split(d_bank[0], len(transforms), axis=-1)
    flat = (prod(dW.shape[:2]), -1)
    turned_back = [T.T @ part.reshape(flat) for T, part in zip(transforms, parts, strict=True)]
    dW[...] = np.sum(turned_back, axis=0).reshape(dW.shape)


def repeat(bias, tiled):
    """The same bias for each transform."""
    tiled.reshape(-1, len(bias))[...] = bias


def add_repeats(d_tiled, db):
    """The adjoint of `repeat`."""
    db[...] = d_tiled.reshape(-1, len(db)).sum(axis=0)


@executes(TransformConv2D)
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
        self.geometry = ((1, *stride), ((0, 0), *pads), (1, *dilation), 1)
        self._of_transforms = transform_matrices(layer.transforms), kernel
        shape = layer.weight_shape(input_shape)
        self.bank_shape = (1, *conv.weight_shape(input_shape))
        self.weights["weight"] = Weight(
            shape,
            layer.kernel_initializer,
            fan_in=prod(shape[:-1]),
            fan_out=prod(kernel) * layer.filters,
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

    def _bank(self, run):
        """Filter `j` in transform `t` is filter ``t * filters + j`` of the bank."""
        weight = self.params["weight"]
        bank = run.empty(self.bank_shape, weight.dtype)
        run.call(turn, weight, self.transforms, bank)
        return bank

    def _bank_bias(self, run):
        bias = self.params.get("bias")
        if bias is None:
            return None
        tiled = run.empty((len(self.transforms) * len(bias),), bias.dtype)
        run.call(repeat, bias, tiled)
        return tiled

    def forward(self, X, run):
        Y = run.empty((len(X), *self.output_shape), X.dtype)
        run.kernels.conv_forward(
            X[:, None],
            self._bank(run),
            self._bank_bias(run),
            Y[:, None],
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
        dX = run.empty(X.shape, X.dtype) if need_input else None
        dW, db = self.gradient("weight"), self.gradient("bias")
        d_bank = None if dW is None else run.empty(self.bank_shape, X.dtype)
        d_bank_bias = None if db is None else run.empty(self.bank_shape[-1:], X.dtype)
        run.kernels.conv_backward(
            X[:, None],
            self._bank(run),
            Y[:, None],
            None,
            dY[:, None],
            None if dX is None else dX[:, None],
            d_bank,
            d_bank_bias,
            *self.geometry,
            self.activation,
            self.alpha,
            (1, 1, 1),
            run.n_threads,
        )
        if dW is not None:
            run.call(turn_back, d_bank, self.transforms, dW)
        if db is not None:
            run.call(add_repeats, d_bank_bias, db)
        return dX


class TransformPoolNode(Node):
    """The maximum or mean over the transforms of each filter: a global pool, place by place."""

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
        dX = run.empty((len(dY), *self.input_shape), dY.dtype)
        pooled = dY.reshape(-1, dY.shape[-1])
        if self.pool == "mean":
            run.kernels.globalavg_backward(pooled, self._pixels(dX), run.n_threads)
        else:
            (index,) = run.recall(self)
            run.kernels.globalmax_backward(pooled, index, self._pixels(dX), run.n_threads)
        return dX
