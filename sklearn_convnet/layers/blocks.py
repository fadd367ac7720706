"""Blocks: layers that run side by side, and what becomes of their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from ..constraints import StrOptions
from .base import Chain, Layer, Layers
from .composition import (
    PASSTHROUGH,
    LayerComposition,
    Sequential,
    ShapeError,
    SizeMismatchError,
    check_layers,
    shape_at,
)
from .conv import Conv1D, Conv2D, Conv3D
from .norm import BatchNorm


def chain_shape(layers, input_shape, where="layers"):
    """The shape after layers one after the other."""
    for name, layer in check_layers(layers, where):
        input_shape = shape_at(name, layer, input_shape)
    return input_shape


class Residual(LayerComposition, Layer):
    """A residual block: adds its input to the output of its layers.

    ``Y = F(X) + S(X)``: He et al., "Deep residual learning", 2016. Nothing follows the sum:
    for the original form put ``Activation("relu")`` after the block; for the pre-activation
    form begin the block with ``BatchNorm()`` and ``Activation("relu")``.

    Parameters
    ----------
    layers : list or tuple
        Layers or `(name, layer)` pairs: F.
    shortcut : {"auto", "identity"} or Layer, default="auto"
        S. "auto" is the identity where the shapes agree, and otherwise a pointwise (1 x 1)
        convolution with the stride that is needed, without bias, and a batch norm.

    Examples
    --------
    >>> from sklearn_convnet.layers import BatchNorm, Conv2D, Residual
    >>> block = Residual([
    ...     Conv2D(32, 3, stride=2, padding="same", activation=None, use_bias=False),
    ...     BatchNorm(),
    ... ])
    >>> block.output_shape((16, 16, 16))
    (8, 8, 32)
    """

    _parameter_constraints = {
        "layers": "no_validation",
        "shortcut": [StrOptions({"auto", "identity"}), Layer],
    }

    def __init__(
        self, layers: Layers, shortcut: Literal["auto", "identity"] | Layer = "auto"
    ) -> None:
        self.layers = layers
        self.shortcut = shortcut

    def outline(self) -> list[list[tuple[str, Any]]]:
        return [self.named_children(), [("shortcut", self.shortcut)]]

    def shortcut_layers(self, input_shape: tuple[int, ...]) -> list[tuple[str, Layer]]:
        """Layers of the shortcut, with their names.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        list of (str, Layer)
            An empty list for the identity.

        Raises
        ------
        ValueError
            If the shortcut does not lead from `input_shape` to the shape of the sum.
        """
        return self._shortcut_and_shape(input_shape)[0]

    def _shortcut_and_shape(self, input_shape):
        out = chain_shape(self.layers, input_shape)
        pairs = []
        if isinstance(self.shortcut, Layer):
            pairs = [("shortcut", self.shortcut)]
        elif self.shortcut == "auto" and out != input_shape:
            pairs = _projection(input_shape, out)
        seen = chain_shape(pairs, input_shape)
        if seen != out:
            raise SizeMismatchError(
                f"its layers make {out} of {input_shape}, but its shortcut makes {seen}: "
                "use padding='same' and the same strides and filters, or shortcut='auto'"
            )
        return pairs, out

    def _output_shape(self, input_shape):
        return self._shortcut_and_shape(input_shape)[1]

    def chains(self, input_shape: tuple[int, ...]) -> list[Chain]:
        pairs = self.shortcut_layers(input_shape)
        prefix = "shortcut/" if len(pairs) > 1 else ""
        return [
            Chain(check_layers(self.layers), input_shape),
            Chain(pairs, input_shape, prefix),
        ]


def _projection(shape, out):
    """A strided convolution of single pixels and a batch norm, from one shape to another."""
    if len(shape) != len(out) or not 2 <= len(shape) <= 4:
        raise ValueError(f"no projection leads from {shape} to {out}: give a layer as shortcut")
    conv = {2: Conv1D, 3: Conv2D, 4: Conv3D}[len(shape)]
    pairs = list(zip(shape[:-1], out[:-1], strict=True))
    # The smallest stride that leaves `b` positions of `a`.
    strides = [-(-a // b) for a, b in pairs]
    if any(-(-a // stride) != b for (a, b), stride in zip(pairs, strides, strict=True)):
        raise SizeMismatchError(
            f"its layers make {out} of {shape}, which no stride explains: give convolutions "
            "padding='same', or a layer as shortcut that makes the same"
        )
    layer = conv(
        out[-1],
        1,
        stride=tuple(strides),
        activation=None,
        use_bias=False,
        kernel_initializer="he_normal",
    )
    return [("conv", layer), ("norm", BatchNorm())]


class Parallel(LayerComposition, Layer):
    """Applies branches to the same input and concatenates their maps.

    The inception block of Szegedy et al., "Going deeper with convolutions", 2015.

    Parameters
    ----------
    branches : list or tuple
        Each is a list of layers, a layer, or "passthrough" for the input itself. They are
        called ``branch1``, ``branch2`` and so on.

    Examples
    --------
    >>> from sklearn_convnet.layers import Conv2D, MaxPool2D, Parallel
    >>> block = Parallel([
    ...     [Conv2D(8, 1)],
    ...     [Conv2D(4, 1), Conv2D(16, 3, padding="same")],
    ...     "passthrough",
    ... ])
    >>> block.output_shape((8, 8, 3))
    (8, 8, 27)
    >>> block.set_params(branch2__conv2d1__filters=6).output_shape((8, 8, 3))
    (8, 8, 27)
    """

    _parameter_constraints = {"branches": [list, tuple]}

    def __init__(self, branches: Sequence[Layers | Layer | Literal["passthrough"]]) -> None:
        self.branches = branches

    _list_name = "branches"
    _makes_children = True

    @staticmethod
    def _named(branches):
        if not isinstance(branches, (list, tuple)):
            return []
        return [(f"branch{i}", _as_layer(b)) for i, b in enumerate(branches, start=1)]

    def _store(self, pairs):
        # A branch that is a list stays one: its Sequential was made to read it.
        branches = [
            layer.layers
            if isinstance(old, (list, tuple)) and isinstance(layer, Sequential)
            else layer
            for old, (_, layer) in zip(self.branches, pairs, strict=True)
        ]
        self.branches = type(self.branches)(branches)

    def outline(self) -> list[list[tuple[str, Any]]]:
        return [[pair] for pair in self.named_children()]

    def branch_layers(self) -> list[tuple[str, Layer | Literal["passthrough"]]]:
        """Branches, with their names.

        Returns
        -------
        list of (str, Layer or "passthrough")
        """
        if not self.branches:
            raise ValueError("branches is empty: at least one is needed")
        pairs = self._named(self.branches)
        for name, branch in pairs:
            if not isinstance(branch, Layer) and branch != PASSTHROUGH:
                raise ValueError(
                    f"{name} must be a list of layers, a layer or 'passthrough', got {branch!r}"
                )
        return pairs

    def _output_shape(self, input_shape):
        shapes = {
            name: input_shape if branch == PASSTHROUGH else shape_at(name, branch, input_shape)
            for name, branch in self.branch_layers()
        }
        sizes = {shape[:-1] for shape in shapes.values()}
        if len(sizes) > 1:
            raise SizeMismatchError(
                f"its branches make maps of different sizes, {shapes}: "
                "use padding='same' and equal strides"
            )
        return (*sizes.pop(), sum(shape[-1] for shape in shapes.values()))

    def chains(self, input_shape: tuple[int, ...]) -> list[Chain]:
        return [
            Chain([(name, branch)] if isinstance(branch, Layer) else [], input_shape)
            for name, branch in self.branch_layers()
        ]


class Outputs(Parallel):
    """Output layers side by side, each under its own name instead of the block's.

    What an estimator puts last where a network tells two things, such as a class and a box.

    Parameters
    ----------
    branches : list of (str, Layer)
        The output layers with their names.
    """

    @staticmethod
    def _named(branches):
        return list(branches)

    def path_inside(self, path):
        return ""

    def own_path(self, path):
        # Not the path of the output layer that is called as the block is.
        return f"{path}/outputs"


def _as_layer(branch):
    return Sequential(branch) if isinstance(branch, (list, tuple)) else branch


class DenseBlock(LayerComposition, Layer):
    """A dense block: each layer sees the input and the outputs of all layers before it.

    The block returns all of them, concatenated: Huang et al., "Densely connected
    convolutional networks", 2017.

    Parameters
    ----------
    layers : list or tuple
        Layers or `(name, layer)` pairs, each of which keeps the size of the maps; most
        often a `Sequential` of batch norm, activation and convolution.

    Notes
    -----
    The maps that a layer sees are concatenated when it runs, and again when gradients pass through
    it, where its outputs are recomputed: memory grows linearly with the number of layers, not
    quadratically.

    Examples
    --------
    >>> from sklearn_convnet.layers import Conv2D, DenseBlock
    >>> DenseBlock([Conv2D(12, 3, padding="same")] * 4).output_shape((8, 8, 16))
    (8, 8, 64)
    """

    _parameter_constraints = {"layers": "no_validation"}

    accumulates = True

    def __init__(self, layers: Layers) -> None:
        self.layers = layers

    def layer_shapes(
        self, input_shape: tuple[int, ...]
    ) -> list[tuple[str, Layer, tuple[int, ...], tuple[int, ...]]]:
        """Shapes of the maps around each layer.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        list of (str, Layer, tuple of int, tuple of int)
            Name, layer, shape of its input and of its output.
        """
        rows = []
        for name, layer in check_layers(self.layers):
            out = shape_at(name, layer, input_shape)
            if out[:-1] != input_shape[:-1]:
                raise ShapeError(
                    name,
                    f"makes {out} of {input_shape}, but a layer of a DenseBlock must keep "
                    "the size of the maps: use padding='same' and stride 1",
                )
            rows.append((name, layer, input_shape, out))
            input_shape = (*input_shape[:-1], input_shape[-1] + out[-1])
        return rows

    def _output_shape(self, input_shape):
        if len(input_shape) < 2:
            raise ValueError(f"DenseBlock needs maps, got the flat shape {input_shape}")
        new = sum(out[-1] for *_, out in self.layer_shapes(input_shape))
        return (*input_shape[:-1], input_shape[-1] + new)

    def chains(self, input_shape: tuple[int, ...]) -> list[Chain]:
        return [
            Chain([(name, layer)], shape)
            for name, layer, shape, _ in self.layer_shapes(input_shape)
        ]
