"""Borders of maps: zeros around them, and less of them."""

from __future__ import annotations

from .._typing import Borders
from .base import Layer
from .fields import Window
from .shapes import AXIS_NAMES, pairs_per_axis, split_shape


class _ZeroPadding(Layer):
    """The base of layers that put zeros around maps."""

    _parameter_constraints = {"padding": "no_validation"}

    def __init__(self, padding: Borders = 1) -> None:
        self.padding = padding

    def borders(self) -> tuple[tuple[int, int], ...]:
        """A (before, after) pair for each axis.

        Returns
        -------
        tuple of (int, int)
        """
        return pairs_per_axis(self.padding, self.n_axes, "padding")

    def _output_shape(self, input_shape):
        sizes, channels = split_shape(input_shape, self.n_axes, type(self).__name__)
        return (*(s + sum(pair) for s, pair in zip(sizes, self.borders(), strict=True)), channels)

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return tuple(Window(start=-before) for before, _ in self.borders())


class ZeroPadding1D(_ZeroPadding):
    """Adds zeros around signals ``(length, channels)``: see :class:`ZeroPadding2D`.

    Parameters
    ----------
    padding : int or tuple, default=1
        See :class:`ZeroPadding2D`.

    Examples
    --------
    >>> from sklearn_convnet.layers import ZeroPadding1D
    >>> ZeroPadding1D(((2, 0),)).output_shape((10, 8))
    (12, 8)
    """

    n_axes = 1


class ZeroPadding2D(_ZeroPadding):
    """Adds zeros around images.

    Pools need it to see zeros: the `padding` of a max pool counts as minus infinity, and that of a
    mean pool does not count at all. For a convolution, its own `padding` does the same in less
    time.

    Parameters
    ----------
    padding : int or tuple, default=1
        Rows of zeros on all sides, or for each axis an int or a ``(before, after)`` pair.

    Examples
    --------
    >>> from sklearn_convnet.layers import ZeroPadding2D
    >>> ZeroPadding2D(3).output_shape((224, 224, 3))
    (230, 230, 3)
    >>> ZeroPadding2D(((0, 1), (0, 2))).output_shape((8, 8, 16))
    (9, 10, 16)
    """

    n_axes = 2


class ZeroPadding3D(_ZeroPadding):
    """Adds zeros around volumes ``(depth, height, width, channels)``: see :class:`ZeroPadding2D`.

    Parameters
    ----------
    padding : int or tuple, default=1
        See :class:`ZeroPadding2D`.

    Examples
    --------
    >>> from sklearn_convnet.layers import ZeroPadding3D
    >>> ZeroPadding3D((0, 1, 1)).output_shape((4, 8, 8, 2))
    (4, 10, 10, 2)
    """

    n_axes = 3


class _Cropping(Layer):
    """The base of layers that cut off the borders of maps."""

    _parameter_constraints = {"cropping": "no_validation"}

    def __init__(self, cropping: Borders = 1) -> None:
        self.cropping = cropping

    def borders(self) -> tuple[tuple[int, int], ...]:
        """A (before, after) pair for each axis.

        Returns
        -------
        tuple of (int, int)
        """
        return pairs_per_axis(self.cropping, self.n_axes, "cropping")

    def _output_shape(self, input_shape):
        sizes, channels = split_shape(input_shape, self.n_axes, type(self).__name__)
        pairs = self.borders()
        for name, size, pair in zip(AXIS_NAMES[self.n_axes], sizes, pairs, strict=True):
            if sum(pair) >= size:
                raise ValueError(
                    f"cropping {pair} leaves nothing of the {size} rows along the {name}: use less"
                )
        return (*(size - sum(pair) for size, pair in zip(sizes, pairs, strict=True)), channels)

    def windows(self, input_shape: tuple[int, ...]) -> tuple[Window, ...]:
        return tuple(Window(start=before) for before, _ in self.borders())


class Cropping1D(_Cropping):
    """Removes the ends of signals ``(length, channels)``: see :class:`Cropping2D`.

    Parameters
    ----------
    cropping : int or tuple, default=1
        See :class:`Cropping2D`.

    Examples
    --------
    >>> from sklearn_convnet.layers import Cropping1D
    >>> Cropping1D(((0, 2),)).output_shape((10, 8))
    (8, 8)
    """

    n_axes = 1


class Cropping2D(_Cropping):
    """Removes the borders of images.

    The inverse of :class:`ZeroPadding2D`. It also brings maps to the size of others with which they
    are to be concatenated.

    Parameters
    ----------
    cropping : int or tuple, default=1
        Rows to remove on all sides, or for each axis an int or a ``(before, after)`` pair.

    Examples
    --------
    >>> from sklearn_convnet.layers import Cropping2D
    >>> Cropping2D((2, (1, 0))).output_shape((8, 8, 16))
    (4, 7, 16)
    """

    n_axes = 2


class Cropping3D(_Cropping):
    """Removes the borders of volumes ``(depth, height, width, channels)``: see :class:`Cropping2D`.

    Parameters
    ----------
    cropping : int or tuple, default=1
        See :class:`Cropping2D`.

    Examples
    --------
    >>> from sklearn_convnet.layers import Cropping3D
    >>> Cropping3D((0, 1, 1)).output_shape((4, 8, 8, 2))
    (4, 6, 6, 2)
    """

    n_axes = 3
