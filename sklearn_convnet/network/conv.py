"""Convolutions: one node for any number of axes; signals and images have axes of length 1."""

import os
from itertools import pairwise
from math import ceil, prod

import numpy as np

from ..layers.conv import Conv1D, Conv2D, Conv3D
from .activation import ActivationNode
from .node import Node, Weight, executes
from .norm import BatchNormNode, folded
from .pool import MaxPoolNode

#: The largest tile of Winograd's form, 4, 2 or 0 for none: smaller ones round less.
ENVIRONMENT = "SKLEARN_CONVNET_WINOGRAD"

# Time of a tile of m x m outputs, in multiply-adds of the direct form: so many for each
# channel and filter, and so many for each channel and each filter. Fitted to times of all
# three passes on AVX2, 3 to 256 channels and maps of 2 x 2 to 32 x 32.
_TILE_COSTS = {2: (19, 80), 4: (43, 300)}
#: Time of a multiply-add of the direct form's gradients that leave out the zeros between maxima.
_SPARSE_COST = 1.75


def largest_tile():
    """The largest tile that the environment allows."""
    value = os.environ.get(ENVIRONMENT, "4")
    if value not in ("0", "2", "4"):
        raise ValueError(f"{ENVIRONMENT} must be 4, 2 or 0, got {value!r}")
    return int(value)


def winograd_tile(kernel, out, channels, filters, direct_cost=1.0):
    """The tile with which a convolution of stride 1 takes least time; 0 is the direct form, whose
    multiply-adds take `direct_cost` each."""
    if kernel != (3, 3):
        return 0
    times = {0: direct_cost * 9 * prod(out) * channels * filters}
    for m, (product, transform) in _TILE_COSTS.items():
        tile = product * channels * filters + transform * (channels + filters)
        times[m] = prod(ceil(size / m) for size in out) * tile
    allowed = [m for m in times if m <= largest_tile()]
    return min(allowed, key=times.get)


def of_strips(maps, tile, width, run):
    """An array of so many numbers for each strip, a row of tiles of an image."""
    return run.empty((len(maps) * ceil(maps.shape[1] / tile), width), np.float64)


def use_winograd(nodes):
    """Convolutions take Winograd's form where it is faster, in float32."""
    for node in nodes:
        if isinstance(node, ConvNode):
            node.choose_form()
    return nodes


def fuse_norms(nodes):
    """In training, a convolution in Winograd's form normalises what it reads, so that the output of
    a batch norm before it is never stored, and measures what it writes for one after it."""
    for before, node in pairwise(nodes):
        if isinstance(before, BatchNormNode) and isinstance(node, ConvNode):
            node.take_norm(before)
        if isinstance(before, ConvNode) and isinstance(node, BatchNormNode):
            before.measure_for(node)
    return nodes


def fuse_pools(nodes):
    """A convolution takes the maxima of its output while it is in cache."""
    fused = []
    for node in nodes:
        before = fused[-1] if fused else None
        is_pool = isinstance(node, MaxPoolNode) and isinstance(before, ConvNode)
        if not (is_pool and not before.pools and before.take_pool(node)):
            fused.append(node)
    return fused


@executes(Conv1D, Conv2D, Conv3D)
class ConvNode(Node):
    """Y = pool(f(conv(X, W) + b)); passes put `activation` and the max pool here."""

    @classmethod
    def build(cls, layer, path, input_shape):
        node = cls(layer, path, input_shape)
        return [node, *ActivationNode.after(layer.activation, path, node.output_shape)]

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        kernel, stride, pads, dilation = layer.geometry(input_shape)
        lead = 3 - len(kernel)
        ones, none = (1,) * lead, ((0, 0),) * lead
        self.geometry = (ones + stride, none + pads, ones + dilation, layer.groups)
        self.maps_in = (*ones, *self.input_shape)
        self.maps_out = (*ones, *self.output_shape)
        shape = layer.weight_shape(input_shape)
        self.weight_3d = (*ones, *shape)
        positions = prod(kernel)
        self.weights["weight"] = Weight(
            shape,
            layer.kernel_initializer,
            fan_in=positions * shape[-2],
            fan_out=positions * shape[-1] // layer.groups,
            activation=layer.activation,
            decayed=True,
            trainable=layer.trainable,
        )
        if layer.use_bias:
            self.weights["bias"] = Weight(shape[-1:], trainable=layer.trainable)
        self.multiply_adds = layer.multiply_adds(input_shape)
        self.activation, self.alpha = "identity", 0.0
        self.fold = None  # a batch norm to take over at a prediction
        self.tile = self.gradient_tile = 0  # of Winograd's form, put here by a pass
        self.pool_size = (1, 1, 1)
        self.pools = False  # whether it has taken over a pool
        self.norm = None  # a batch norm to take over in training
        self.measured = None  # the batch norm that gets the moments of the output
        # What the input has been through, if its gradient is to be taken through that.
        self.input_activation = ("identity", 0.0)
        self.summed = None  # the batch norm that made the input, as a part of a sum perhaps
        self.takes_over = False  # whether its gradients have work of the node before to do
        self.derived = False  # whether the node after it takes gradients through the activation

    def choose_form(self):
        """Takes Winograd's form if it applies and is faster."""
        stride, pads, dilation, groups = self.geometry
        is_image = len(self.input_shape) == 3 and self.dtype == np.float32
        if is_image and {*stride, *dilation, groups} == {1} and max(map(max, pads)) <= 2:
            self.tile = self.gradient_tile = self._fastest_tile()

    def _fastest_tile(self, direct_cost=1.0):
        *kernel, channels, filters = self.weights["weight"].shape
        return winograd_tile(tuple(kernel), self.maps_out[1:3], channels, filters, direct_cost)

    def form(self, step):
        """The form that a step of a pass takes, and why."""
        tile = self.gradient_tile if step.endswith("backward") else self.tile
        if tile:
            return f"Winograd {tile} x {tile}", "takes least time"
        stride, pads, dilation, groups = self.geometry
        kernel = self.weights["weight"].shape[:-2]
        reasons = {
            "float64": self.dtype != np.float32,
            "no image": len(self.input_shape) != 3,
            "strided": max(stride) > 1,
            "dilated": max(dilation) > 1,
            "in groups": groups > 1,
            "not 3 x 3": kernel != (3, 3),
            "wide padding": max(map(max, pads)) > 2,
        }
        return "direct", next((why for why, holds in reasons.items() if holds), "takes least time")

    def take_pool(self, node):
        """Takes over a max pool of its output if it can; says whether."""
        _, _, dilation, groups = self.geometry
        window, stride, pads = node.geometry
        if window != stride or max(map(max, pads)) > 0 or {*dilation, groups} != {1}:
            return False
        if self.tile and any(self.tile % size for size in window[1:]):
            return False
        if self.tile and not self.takes_over:
            self.gradient_tile = self._fastest_tile(_SPARSE_COST / prod(window))
        self.pool_size, self.pools = window, max(window) > 1
        self.output_shape, self.maps_out = node.output_shape, node.maps_out
        return True

    def take_norm(self, node):
        """Takes over a batch norm of its input if it can."""
        if self.tile and self.gradient_tile and not node.frozen:
            self.norm = self.summed = node
            self.takes_over = True
            self.input_activation = (node.activation, node.alpha)
            node.user = self

    def measure_for(self, node):
        """Gives a batch norm of its output the moments if it can."""
        if self.tile and not self.pools and not node.frozen:
            self.measured = node

    def take_derivative(self, node, norm=None):
        """Takes over the derivative of the activation of a node whose output it reads, if it can,
        and sums the gradient for a norm that makes a part of what is activated."""
        if self.gradient_tile:
            self.input_activation = (node.activation, node.alpha)
            self.summed = norm
            self.takes_over = node.derived = True

    def forward(self, X, run, addend=None, after=None):
        """The output; of a residual sum, `addend` is the other part and `after` the activation."""
        n = len(X)
        Y = run.empty((n, *self.output_shape), X.dtype)
        index = None
        if self.pools and run.training:
            index = run.empty(Y.shape, np.int32)
        run.save(self, X, Y, index)
        weight, bias, *activation = folded(self, run)
        activation = after or activation
        stride, pads, dilation, groups = self.geometry
        end = (*activation, run.n_threads)
        if self.tile:
            affine = self._lent_affine(run) if run.training else None
            tiled, form = (X, affine, weight, bias, Y), (pads[1:], self.tile)
            end = (*self.input_activation, *end)
            if self.pools:
                run.kernels.winograd_pool_forward(*tiled, index, *form, self.pool_size[1:], *end)
            else:
                moments = self._moments(Y, run) if run.training else None
                run.kernels.winograd_forward(*tiled, moments, addend, *form, *end)
            return Y
        maps = (X.reshape((n, *self.maps_in)), weight.reshape(self.weight_3d), bias)
        maps_out = Y.reshape((n, *self.maps_out))
        if self.pools:
            index = None if index is None else index.reshape(maps_out.shape)
            run.kernels.conv_pool_forward(
                *maps, maps_out, index, stride, pads, self.pool_size, *end
            )
        else:
            run.kernels.conv_forward(*maps, maps_out, stride, pads, dilation, groups, *end)
        return Y

    def backward(self, dY, need_input, run, addend=None):
        """The gradients; `addend`, which only Winograd's form takes, is added to that at the
        input."""
        X, Y, index = run.recall(self)
        n = len(X)
        weight = self.params["weight"]
        dX = run.empty(X.shape, X.dtype) if need_input else None
        dW, db = self.gradient("weight"), self.gradient("bias")
        stride, pads, dilation, groups = self.geometry
        activation = ("identity", 0.0) if self.derived else (self.activation, self.alpha)
        end = (*activation, run.n_threads)
        if self.gradient_tile:
            affine, summed, sums = self._lent_affine(run), (None, None), None
            if self.summed is not None and need_input:
                summed, sums = self.summed.lend_input(run), self._sums(dX, run)
            arrays = (X, affine, weight, Y, index, dY, addend, *summed, dX, sums, dW, db)
            geometry = (pads[1:], self.gradient_tile, self.pool_size[1:])
            run.kernels.winograd_pool_backward(*arrays, *geometry, *self.input_activation, *end)
            return dX
        maps = (X.reshape(n, *self.maps_in), weight.reshape(self.weight_3d))
        Y, dY = Y.reshape(n, *self.maps_out), dY.reshape(n, *self.maps_out)
        gradients = (
            None if dX is None else dX.reshape(n, *self.maps_in),
            None if dW is None else dW.reshape(self.weight_3d),
            db,
        )
        if self.pools:
            run.kernels.conv_pool_backward(
                *maps, Y, index.reshape(Y.shape), dY, *gradients, stride, pads, self.pool_size, *end
            )
        else:
            geometry = (stride, pads, dilation, groups)
            run.kernels.conv_backward(*maps, Y, dY, *gradients, *geometry, *end)
        return dX

    def _lent_affine(self, run):
        return None if self.norm is None else self.norm.lend_affine(run)

    def _moments(self, Y, run):
        """Where to put moments of each strip of Y, for the norm after it."""
        if self.measured is None:
            return None
        moments = run.notes[self.measured.path] = of_strips(Y, self.tile, 1 + 2 * Y.shape[-1], run)
        return moments

    def _sums(self, dX, run):
        """Where to put sums over each strip of dX, for the norm before it."""
        sums = run.notes[self.summed.path] = of_strips(
            dX, self.gradient_tile, 2 * dX.shape[-1], run
        )
        return sums
