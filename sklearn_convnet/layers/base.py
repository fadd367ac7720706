"""The base of every layer: a description, without arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from ..parameters import Parametrized
from .fields import Window
from .shapes import check_values


class Chain(NamedTuple):
    """Layers one after the other inside a block.

    Parameters
    ----------
    layers : list of (str, Layer)
        An empty list is the identity.
    input_shape : tuple of int
        Shape of one sample at the first layer.
    prefix : str, default=""
        What stands between the path of the block and the names of the layers.
    """

    layers: list[tuple[str, Layer]]
    input_shape: tuple[int, ...]
    prefix: str = ""


class Layer(Parametrized):
    """Base class of the layers.

    A layer stores its constructor arguments and computes output shapes from input shapes; it holds
    no arrays. It follows scikit-learn's parameter contract: `get_params`, `set_params`, `clone` and
    `repr` work, and `__init__` checks nothing.

    A subclass defines `_parameter_constraints`, in scikit-learn's form, `_output_shape` and, unless
    each of its units sees all of its input, `windows`.
    """

    #: Number of axes besides the channels, or None for any number.
    n_axes: int | None = None
    #: Of a block: whether a chain inside sees the outputs of those before it, beside the input.
    accumulates = False
    #: Of a block: whether its output is its input, whatever the layers inside make of it.
    passes_on = False

    _parameter_constraints: dict = {}

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the layer's output for one sample.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError
            If a parameter is invalid, or the shape does not fit the layer or into any memory.
        """
        self._validate_params()
        shape = self._output_shape(tuple(input_shape))
        check_values(shape)
        return shape

    def _output_shape(self, input_shape):
        return input_shape

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...] | None:
        """The input positions that a unit sees, from which receptive fields follow.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last, which fits.

        Returns
        -------
        tuple of Window or None
            One for each axis besides the channels. None, as here, if a unit sees all positions.
        """
        return None

    def chains(self, input_shape: tuple[int, ...]) -> list[Chain]:
        """Layers inside a block.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        list of Chain
            The chains, side by side; the block has no other layers.
        """
        return []

    def path_inside(self, path: str) -> str:
        """The prefix of the paths of layers inside a block.

        Parameters
        ----------
        path : str
            Path of the block.

        Returns
        -------
        str
        """
        return f"{path}/"

    def own_path(self, path: str) -> str:
        """Path of a layer with this name.

        Parameters
        ----------
        path : str
            The name, with those of the blocks around it.

        Returns
        -------
        str
        """
        return path


#: Layers one after the other: of a pair the first is the name.
Layers = Sequence[
    Layer | Literal["passthrough"] | tuple[str, Layer] | tuple[str, Literal["passthrough"]]
]
