"""Convolutions: one node for any number of axes; signals and images have axes of length 1."""

import os
from dataclasses import dataclass
from math import ceil, prod

import numpy as np

from ..kernels import loader
from ..layers.conv import Conv1D, Conv2D, Conv3D
from .activation import ActivationNode
from .maps import Activated, Gradient, Measured
from .node import Node, Weight, executes
from .norm import scale_and_bias

#: The largest tile of Winograd's form, 4, 2 or 0 for none: smaller ones round less.
ENVIRONMENT = "SKLEARN_CONVNET_WINOGRAD"

# Time of a tile of m x m outputs of filters with r x r taps, by r and m, in multiply-adds of the
# direct form: so many for each channel and filter, and so many for each channel and each filter.
# Fitted to times of all three passes, 3 to 256 channels and maps of 2 x 2 to 32 x 32.
_TILE_COSTS = {3: {2: (19, 80), 4: (43, 300)}, 5: {2: (43, 330), 4: (96, 1700)}}
#: Time of a multiply-add of the direct form's gradients that leave out the zeros between maxima.
_SPARSE_COST = 1.75


def largest_tile():
    """The largest tile that the environment allows."""
    value = os.environ.get(ENVIRONMENT, "4")
    if value not in ("0", "2", "4"):
        raise ValueError(f"{ENVIRONMENT} must be 4, 2 or 0, got {value!r}")
    return int(value)


def winograd_tile(out, taps, channels, filters, dilation=(1, 1), direct_cost=1.0):
    """The tile with which a convolution of stride 1 and so many taps on an axis takes least time; 0
    is the direct form, whose multiply-adds take `direct_cost` each."""
    times = {0: direct_cost * taps**2 * prod(out) * channels * filters}
    for m, (product, transform) in _TILE_COSTS[taps].items():
        tile = product * channels * filters + transform * (channels + filters)
        counts = (d * ceil(size / (m * d)) for size, d in zip(out, dilation, strict=True))
        times[m] = prod(counts) * tile
    allowed = [m for m in times if m <= largest_tile()]
    return min(allowed, key=times.get)


def of_strips(maps, tile, width, run):
    """An array of so many numbers for each strip, a row of tiles of an image."""
    return run.empty((len(maps) * ceil(maps.shape[1] / tile), width), np.float64)


@dataclass(frozen=True, slots=True)
class Source:
    """The prologue of a convolution: f, and the affine map before it if that is still to be
    applied to the input; the input of a batch norm that has a part in it."""

    affine: object = None
    activation: str = "identity"
    alpha: float = 0.0
    normed: Measured | None = None


PLAIN = Source()


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
        self.folded = None  # the moments of a batch norm in its weights
        self.tile = self.gradient_tile = 0  # of Winograd's form, put here by a pass
        self.pool_size = (1, 1, 1)
        self.pools = False  # whether it has taken over a pool
        self.prologue = None  # the scale node whose work is done to the input as it is read
        self.moments = None  # the moments node that goes on with the moments of the output

    @property
    def learns(self):
        return super().learns or (self.moments is not None and self.moments.learns)

    def choose_form(self):
        """Takes Winograd's form if it applies and is faster, or the one that is forced."""
        if self._why_not_winograd() is None:
            self.tile = self.gradient_tile = self._fastest_tile()

    def _fastest_tile(self, direct_cost=1.0):
        forced = loader.forced_form(loader.kernels(self.dtype).FORM_NAMES)
        if forced is not None:
            return loader.WINOGRAD.get(forced, 0)
        _, *shape = self.weights["weight"].shape
        dilation = self.geometry[2][1:]
        return winograd_tile(self.maps_out[1:3], *shape, dilation, direct_cost)

    def _why_not_winograd(self):
        """The reason why Winograd's form does not apply, or None."""
        stride, pads, dilation, groups = self.geometry
        *kernel, _, _ = self.weight_3d
        reach = [d * (size - 1) for size, d in zip(kernel, dilation, strict=True)]
        reasons = {
            "float64": self.dtype != np.float32,
            "no image": len(self.input_shape) != 3,
            "strided": max(stride) > 1,
            "in groups": groups > 1,
            "neither 3 x 3 nor 5 x 5": kernel not in ([1, 3, 3], [1, 5, 5]),
            "wide padding": any(max(pair) > most for pair, most in zip(pads, reach, strict=True)),
        }
        return next((why for why, holds in reasons.items() if holds), None)

    def form(self, step, n_samples, kernels):
        """The form that each pass of a step takes, and why it is not Winograd's, or is.

        Parameters
        ----------
        step : list of {"forward", "input_gradient", "weight_gradient"}
            Passes, without the first or with it alone.
        n_samples : int
        kernels : module
        """
        tile = self.tile if "forward" in step else self.gradient_tile
        if tile:
            return f"Winograd {tile} x {tile}", "takes least time"
        geometry = (self.maps_in, self.weight_3d, *self.geometry, self.pool_size)
        forms = [kernels.conv_form(one, max(1, n_samples), *geometry)[0] for one in step]
        why = self._why_not_winograd()
        return ", ".join(forms), f"no Winograd: {why}" if why else "takes least time"

    @property
    def is_dilated(self):
        return max(self.geometry[2]) > 1

    @property
    def is_pointwise(self):
        """True if it does nothing but to make each pixel of one."""
        stride, pads, _, groups = self.geometry
        plain = max(stride) == 1 and max(map(max, pads)) == 0 and groups == 1
        return plain and prod(self.weight_3d[:3]) == 1 and not self.pools

    def take_pool(self, node):
        """Takes over a max pool of its output if it can; says whether."""
        *_, groups = self.geometry
        window, stride, pads = node.geometry
        if window != stride or max(map(max, pads)) > 0 or self.is_dilated or groups > 1:
            return False
        if self.tile and any(self.tile % size for size in window[1:]):
            return False
        if self.tile and self.prologue is None:
            self.gradient_tile = self._fastest_tile(_SPARSE_COST / prod(window))
        self.pool_size, self.pools = window, max(window) > 1
        self.output_shape, self.maps_out = node.output_shape, node.maps_out
        return True

    @property
    def takes_addend(self):
        """True if its forward adds the other part of a residual sum."""
        return not self.pools and self.activation == "identity"

    @property
    def takes_gradient(self):
        """True if its backward adds the other part of the gradient at the input, and takes that
        through the activation that its input has been through."""
        return bool(self.gradient_tile) and self.prologue is None

    def take_derivative(self):
        """Reads `Activated` maps from now on."""
        self.takes_derivative = True

    def forward(self, X, run, addend=None, after=None):
        """The output; of a residual sum, `addend` is the other part and `after` the activation."""
        given, X = X, getattr(X, "maps", X)
        Y = run.empty((len(X), *self.output_shape), X.dtype)
        index = None
        if self.pools and run.training:
            index = run.empty(Y.shape, np.int32)
        source = self._source(given)
        run.save(self, X, Y, index, source)
        filters = (self.params["weight"], *scale_and_bias(self, run))
        activation = after or (self.activation, self.alpha)
        if self.tile:
            return self._tiled_forward(X, source, filters, Y, index, addend, activation, run)
        self._direct_forward(X, filters, Y, index, addend, activation, run)
        return self._handed_on(Y, run)

    def _source(self, given):
        """The prologue, of what the node before has handed on."""
        if isinstance(given, Measured):
            normed = given if given.of_batch else None
            return Source(given.affine, self.prologue.activation, self.prologue.alpha, normed)
        if isinstance(given, Activated) and self.gradient_tile:
            return Source(None, given.activation, given.alpha, given.normed)
        return PLAIN

    def _handed_on(self, Y, run):
        if run.training and self.activation != "identity":
            return Activated(Y, self.activation, self.alpha)
        return Y

    def _tiled_forward(self, X, source, filters, Y, index, addend, activation, run):
        _, pads, dilation, _ = self.geometry
        strips = None
        if self.moments is not None:
            strips = of_strips(Y, self.tile, 1 + 2 * Y.shape[-1], run)
        arrays = (X, source.affine, *filters, Y, index, strips, addend)
        activations = (source.activation, source.alpha, *activation)
        run.kernels.winograd_forward(
            *arrays, pads[1:], dilation[1:], self.tile, *activations, self.pool_size[1:],
            run.n_threads,
        )  # fmt: skip
        if self.moments is None:
            return self._handed_on(Y, run)
        with run.within(self.moments):
            return self.moments.measure(Y, strips, run)

    def _direct_forward(self, X, filters, Y, index, addend, activation, run):
        Y = Y.reshape(len(X), *self.maps_out)
        index, addend = (None if a is None else a.reshape(Y.shape) for a in (index, addend))
        X, (weight, *rest) = X.reshape(len(X), *self.maps_in), filters
        arrays = (X, weight.reshape(self.weight_3d), *rest, Y, index, addend)
        run.kernels.conv_forward(
            *arrays, *self.geometry, *activation, self.pool_size, run.n_threads
        )

    def backward(self, dY, need_input, run, addend=None):
        """The gradients; `addend`, which only Winograd's form takes, is added to that at the
        input."""
        norm_back = None
        if self.moments is not None:
            with run.within(self.moments):
                dY, norm_back = self.moments.hand_back(dY, run)
        activation = (self.activation, self.alpha)
        if isinstance(dY, Gradient):
            activation, dY = (dY.activation, dY.alpha), dY.maps
        X, Y, index, source = run.recall(self)
        dX = run.empty(X.shape, X.dtype) if need_input else None
        arrays = (X, Y, index, dY, dX, self.gradient("weight"), self.gradient("bias"))
        if self.gradient_tile:
            return self._tiled_backward(source, *arrays, norm_back, addend, activation, run)
        self._direct_backward(*arrays, activation, run)
        return dX

    def _tiled_backward(
        self, source, X, Y, index, dY, dX, dW, db, norm_back, addend, activation, run
    ):
        _, pads, dilation, _ = self.geometry
        normed, sums = (None, None), None
        if source.normed is not None and dX is not None and not self.is_dilated:
            normed = (source.normed.maps, source.normed.affine[0])
            sums = of_strips(dX, self.gradient_tile, 2 * dX.shape[-1], run)
        weight = self.params["weight"]
        given = (X, source.affine, weight, Y, index, dY, norm_back, addend, *normed)
        activations = (source.activation, source.alpha, *activation)
        run.kernels.winograd_backward(
            *given, dX, sums, dW, db, pads[1:], dilation[1:], self.gradient_tile, *activations,
            self.pool_size[1:], run.n_threads,
        )  # fmt: skip
        return dX if source is PLAIN or dX is None else Gradient(dX, sums=sums)

    def _direct_backward(self, X, Y, index, dY, dX, dW, db, activation, run):
        def shaped(array, *shape):
            return None if array is None else array.reshape(*shape)

        n, weight = len(X), self.params["weight"]
        Y, index, dY = (shaped(array, n, *self.maps_out) for array in (Y, index, dY))
        X, dX = (shaped(array, n, *self.maps_in) for array in (X, dX))
        weight, dW = (shaped(array, *self.weight_3d) for array in (weight, dW))
        run.kernels.conv_backward(
            X, weight, Y, index, dY, None, dX, dW, db, *self.geometry, *activation, self.pool_size,
            run.n_threads,
        )  # fmt: skip
