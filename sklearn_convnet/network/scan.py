"""A network moved over larger inputs: the same weights as layers that compute each value once.

# Design:
# * What a layer does to a window, another does to all windows of a larger map: a dense layer is a
#   convolution of the size of the map that it flattens, a global pool one of windows of that size.
#   Their weights have the same values in the same order, so the networks share one vector.
# * Inputs are larger than a window by a multiple of the product of all strides. Then each map is
#   larger by as many whole steps, and no layer rounds where it did not in a window.
# * Padding is that of a window, by its numbers: "same" would mean something else on a larger map.
#   Padded windows see zeros where a scan sees what lies there, so that the two agree only without.
"""

from dataclasses import dataclass, field
from math import prod

from sklearn.base import clone

from ..layers.activation import Activation
from ..layers.auxiliary import AuxiliaryHead
from ..layers.blocks import DenseBlock, Outputs, Parallel, Residual
from ..layers.composition import PASSTHROUGH, Sequential, ShapeError, check_layers
from ..layers.conv import CONV
from ..layers.dense import Dense, Flatten
from ..layers.depthwise import (
    DEPTHWISE,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConv3D,
)
from ..layers.dropout import Dropout, StochasticDepth
from ..layers.gate import Gate, SqueezeExcite
from ..layers.group_norm import LayerNorm
from ..layers.layer_scale import LayerScale
from ..layers.maxout import Maxout
from ..layers.norm import BatchNorm, LocalResponseNorm, Rescale, Standardize
from ..layers.padding import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
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
from ..layers.transform_conv import (
    TransformConv1D,
    TransformConv2D,
    TransformConv3D,
    TransformPool,
)

MAX_POOL = {1: MaxPool1D, 2: MaxPool2D, 3: MaxPool3D}
AVG_POOL = {1: AvgPool1D, 2: AvgPool2D, 3: AvgPool3D}

SEPARABLE = (SeparableConv1D, SeparableConv2D, SeparableConv3D)
LP_POOL = (LpPool1D, LpPool2D, LpPool3D)
ZERO_PADDING = (ZeroPadding1D, ZeroPadding2D, ZeroPadding3D)
CROPPING = (Cropping1D, Cropping2D, Cropping3D)
TRANSFORMED = (TransformConv1D, TransformConv2D, TransformConv3D)

PADDED = (*CONV.values(), *MAX_POOL.values(), *AVG_POOL.values(), *DEPTHWISE.values())
POINTWISE = (
    Activation,
    Dropout,
    LayerNorm,
    LayerScale,
    LocalResponseNorm,
    Rescale,
    StochasticDepth,
)


@dataclass
class Scanning:
    """Layers for larger inputs.

    Attributes
    ----------
    layers : list of (str, Layer)
        With the names of the network's.
    window : tuple of int
        Shape of a sample of the network.
    stride : tuple of int
        Step from one window to the next, along each axis.
    padded : list of str
        Paths of layers with padding, for which a window by itself is not what a scan sees.
    """

    layers: list
    window: tuple
    stride: tuple
    padded: list = field(default_factory=list)


def scanning(network, window=None):
    """The layers of a network for larger inputs.

    Parameters
    ----------
    network : Network
    window : tuple of int, default=None
        Shape of a sample with its channels; None is that of the network's input, which dense layers
        alone take without.

    Returns
    -------
    Scanning

    Raises
    ------
    ShapeError
        If a layer cannot be moved over its input; the message names it.
    """
    window = network.input_shape if window is None else window
    n_axes = len(window) - 1
    if n_axes == 0:
        raise ValueError(
            f"the network sees samples of shape {window}, without an axis to move along: give X "
            "with its axes, or set input_shape"
        )
    maker = _Maker(n_axes)
    layers, shape, stride = maker.chain(network.layers, window, "")
    if len(shape) > 1 and prod(shape[:-1]) > 1:
        raise ValueError(
            f"the network ends in maps of shape {shape}, which are larger where X is: predict "
            "takes X of another size, scan is for networks that tell one thing of a window"
        )
    return Scanning(layers, window, stride, maker.padded)


class _Maker:
    """Makes layers for larger maps, from the shapes that they see of a window."""

    def __init__(self, n_axes):
        self.n_axes, self.padded = n_axes, []
        self.ones = (1,) * n_axes
        self.flat = False  # whether several positions are one row of values

    def chain(self, layers, shape, prefix):
        """Layers, the shape that they make of that of a window, and the product of their strides.

        A flattened map keeps its shape here: the next dense layer is a convolution of its size.
        """
        made, stride = [], self.ones
        for name, layer in check_layers(layers):
            path = prefix + name
            if isinstance(layer, AuxiliaryHead):
                continue
            if isinstance(layer, Flatten):
                self.flat = prod(self.sizes(shape)) > 1
                continue
            try:
                self.check_flat(layer)
                new, shape, step = self.layer(layer, shape, path)
            except ShapeError:
                raise
            except ValueError as error:
                raise ShapeError(path, str(error)) from None
            made.append((name, new))
            stride = tuple(a * b for a, b in zip(stride, step, strict=True))
        return made, shape, stride

    def layer(self, layer, shape, path):
        """The same for one layer."""
        if isinstance(layer, Dense):
            self.flat = False
            return self.dense(layer, shape), (layer.units,), self.ones
        if isinstance(layer, (GlobalAvgPool, GlobalMaxPool)):
            pool = AVG_POOL if isinstance(layer, GlobalAvgPool) else MAX_POOL
            new = pool[self.n_axes](self.sizes(shape), stride=1)
            return new, (shape[-1],), self.ones
        if isinstance(layer, PADDED):
            return self.window(layer, shape, path, layer.geometry(shape))
        if isinstance(layer, TRANSFORMED):
            return self.window(layer, shape, path, layer.as_conv().geometry(shape))
        if isinstance(layer, SEPARABLE):
            first = layer.stages()[0][1]
            return self.window(layer, shape, path, first.geometry(shape))
        if isinstance(layer, LP_POOL):
            return clone(layer), layer.output_shape(shape), layer.geometry(shape)[1]
        if isinstance(layer, HeterogeneousMaxPool):
            self.padded.append(path)  # windows are cut off at the border
            stride = tuple(window.stride for window in layer.windows(shape))
            return clone(layer), layer.output_shape(shape), stride
        if isinstance(layer, (*ZERO_PADDING, *CROPPING)):
            if isinstance(layer, ZERO_PADDING) and any(map(any, layer.borders())):
                self.padded.append(path)
            return clone(layer), layer.output_shape(shape), self.ones
        if isinstance(layer, (BatchNorm, Standardize)):
            self.check_positions(layer, shape)
            return clone(layer), shape, self.ones
        if isinstance(layer, POINTWISE):
            return clone(layer), shape, self.ones
        if isinstance(layer, (Maxout, TransformPool)):
            return clone(layer), layer.output_shape(shape), self.ones
        if isinstance(layer, (Gate, SqueezeExcite)):
            return self.gate(layer, shape, path), shape, self.ones
        if isinstance(layer, (Sequential, DenseBlock, Parallel, Residual)):
            return self.block(layer, shape, path)
        raise ValueError(
            f"{type(layer).__name__} cannot be moved over a larger input: what it makes of a "
            "window is not a part of what it makes of more"
        )

    def sizes(self, shape):
        """Those of a map; ones for a flat shape, a pixel of a map."""
        return shape[:-1] if len(shape) > 1 else self.ones

    def check_flat(self, layer):
        """Refuses what is not the same of a row of values and of a map."""
        by_value = (
            isinstance(layer, (Dense, Dropout, Sequential, StochasticDepth))
            or (isinstance(layer, Activation) and layer.activation != "softmax")
            or (isinstance(layer, Rescale) and not layer.is_per_channel)
        )
        if self.flat and not by_value:
            raise ValueError(
                f"{type(layer).__name__} after Flatten sees a row of values, which a larger input "
                "has no row for: put it before, or after a Dense"
            )

    def dense(self, layer, shape):
        return CONV[self.n_axes](
            layer.units,
            self.sizes(shape),
            activation=layer.activation,
            use_bias=layer.use_bias,
            kernel_initializer=layer.kernel_initializer,
            trainable=layer.trainable,
        )

    def window(self, layer, shape, path, geometry):
        _, stride, pads, *_ = geometry
        if any(map(any, pads)):
            self.padded.append(path)
        return clone(layer).set_params(padding=pads), layer.output_shape(shape), stride

    def check_positions(self, layer, shape):
        """Refuses statistics of each value of a map."""
        per_value = isinstance(layer, Standardize) and layer.per == "value"
        if per_value and prod(self.sizes(shape)) > 1:
            raise ValueError(
                "Standardize(per='value') has statistics for each place in a window, which a "
                "larger input has more of: use per='channel'"
            )

    def block(self, layer, shape, path):
        if isinstance(layer, Sequential):
            made, shape, stride = self.chain(layer.layers, shape, f"{path}/")
            return Sequential(made), shape, stride
        if isinstance(layer, Residual):
            return self.residual(layer, shape, path)
        if isinstance(layer, DenseBlock):
            made = [
                (name, self.chain([(name, inner)], seen, f"{path}/")[0][0][1])
                for name, inner, seen, _ in layer.layer_shapes(shape)
            ]
            return DenseBlock(made), layer.output_shape(shape), self.ones
        return self.parallel(layer, shape, path)

    def gate(self, layer, shape, path):
        made, out, _ = self.chain(layer.gate_layers(shape), shape, f"{path}/")
        if self.flat or (prod(self.sizes(shape)) > 1 and out[:-1] != shape[:-1]):
            raise ValueError(
                f"{type(layer).__name__} multiplies a window with what it is as a whole, which a "
                "larger input has many of: use a Gate with a factor for each position"
            )
        return Gate(made)

    def residual(self, layer, shape, path):
        body, out, stride = self.chain(layer.layers, shape, f"{path}/")
        shortcut = layer.shortcut
        pairs = layer.shortcut_layers(shape)
        if pairs:
            made, _, _ = self.chain(pairs, shape, f"{path}/")
            shortcut = made[0][1] if len(made) == 1 else "auto"
        return Residual(body, shortcut=shortcut), out, stride

    def parallel(self, layer, shape, path):
        inside = "" if isinstance(layer, Outputs) else f"{path}/"
        branches, strides, outs = [], set(), []
        for name, branch in layer.branch_layers():
            if branch == PASSTHROUGH:
                made, out, stride = PASSTHROUGH, shape, self.ones
            else:
                chain, out, stride = self.chain([(name, branch)], shape, inside)
                if self.flat or not chain:
                    raise ValueError(f"its branch {name!r} ends in a row of values: drop Flatten")
                made = chain[0][1]
            branches.append((name, made) if isinstance(layer, Outputs) else made)
            strides.add(stride)
            outs.append(out)
        if len(strides) > 1:
            raise ValueError(f"its branches have different strides, {sorted(strides)}")
        out = (*outs[0][:-1], sum(out[-1] for out in outs))
        return type(layer)(branches), out, strides.pop()
