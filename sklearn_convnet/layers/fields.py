"""Receptive fields: the positions of the input that a unit sees, from geometry alone.

# Design:
# * A layer says what a unit sees of its own input: a `Window` for each axis, or all of it. What it
#   sees of the network's input follows, layer by layer from the first, for all units at once.
# * A field is kept in two forms. That of each unit of the map, between its first and its last
#   position: what lies outside of a map, here or between layers, is not there. And that of units of
#   an endless map, for the size of a field as such: n units further on it is the same, m positions
#   further on. After layers that enlarge maps n is more than one.
# * First and last are exact, also where a field has holes: they are the smallest and the largest of
#   those of the positions that are really seen, one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd, inf, lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Beyond the last position of every map: where a unit begins that sees nothing.
NOWHERE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Window:
    """The input positions that a unit of a layer sees along one axis.

    Unit ``o`` sees ``(o stride + start + j dilation) / divisor`` for ``j = 0, ..., size - 1``, as
    far as that is a whole number and a position of the map. The default is the position of the
    unit itself.

    Parameters
    ----------
    size : int, default=1
        Number of taps.
    stride : int, default=1
        Step from one unit to the next.
    start : int, default=0
        Where the first unit begins: minus the padding before the map.
    dilation : int, default=1
        Distance between neighbouring taps.
    divisor : int, default=1
        By how much the layer enlarges maps.
    clamped : bool, default=False
        Whether the nearest position of the map stands for one outside.

    Examples
    --------
    A filter of five taps with a padding of two, and a transposed one of three with stride 2:

    >>> from sklearn_convnet.layers import Window
    >>> Window(5, stride=2, start=-2).positions(3).tolist()
    [4, 5, 6, 7, 8]
    >>> Window(3, start=-2, divisor=2).positions(3).tolist()
    [1]
    """

    size: int = 1
    stride: int = 1
    start: int = 0
    dilation: int = 1
    divisor: int = 1
    clamped: bool = False

    def positions(self, unit: int) -> NDArray[Any]:
        """The positions that a unit sees, as if the map had no end.

        Parameters
        ----------
        unit : int
            Its position.

        Returns
        -------
        ndarray of int64
        """
        places = unit * self.stride + self.start + self.dilation * np.arange(self.size)
        return places[places % self.divisor == 0] // self.divisor


def pointwise(input_shape: tuple[int, ...]) -> tuple[Window, ...]:
    """The windows of a layer whose units see their own position alone.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one sample, channels last.

    Returns
    -------
    tuple of Window
        One for each axis besides the channels.

    Examples
    --------
    >>> from sklearn_convnet.layers import pointwise
    >>> len(pointwise((28, 28, 3)))
    2
    """
    return (Window(),) * (len(input_shape) - 1)


@dataclass(frozen=True)
class AxisField:
    """The fields of units along one axis.

    Parameters
    ----------
    first, last : int64 ndarray of shape (n_units,)
        Of each unit of the map; NOWHERE and -1 of one that sees nothing.
    lows, highs : list of int
        The same of the first units of an endless map; inf and -inf of one that sees nothing.
    shift : int
        How much further on the next ``len(lows)`` units see.
    """

    first: np.ndarray
    last: np.ndarray
    lows: list
    highs: list
    shift: int

    @classmethod
    def of_input(cls, size):
        """That of the input itself."""
        places = np.arange(size)
        return cls(places, places, [0], [0], 1)

    @property
    def size(self):
        """The most positions that a unit sees from its first to its last, padding included."""
        return max(0, *(h - low + 1 for low, h in zip(self.lows, self.highs, strict=True)))

    @property
    def stride(self):
        """How much further on the next unit sees, in the mean."""
        return Fraction(self.shift, len(self.lows))

    @property
    def start(self):
        """Where the field of the first unit begins; negative in the padding."""
        return next((low for low in self.lows if low != inf), 0)

    def ends(self, unit):
        """First and last position that a unit of an endless map sees."""
        turns, i = divmod(unit, len(self.lows))
        return self.lows[i] + turns * self.shift, self.highs[i] + turns * self.shift

    def through(self, window, n_units):
        """That of a layer on this map."""
        if window == Window() and n_units == len(self.first):
            return self
        units = np.arange(n_units)
        first, last = np.full(n_units, NOWHERE), np.full(n_units, -1)
        for j in range(window.size):
            places = units * window.stride + window.start + j * window.dilation
            places, rest = np.divmod(places, window.divisor)
            if window.clamped:
                places = places.clip(0, len(self.first) - 1)
            seen = (rest == 0) & (places >= 0) & (places < len(self.first))
            places = np.where(seen, places, 0)
            first = np.minimum(first, np.where(seen, self.first[places], NOWHERE))
            last = np.maximum(last, np.where(seen, self.last[places], -1))
        whole = window.divisor * len(self.lows)
        n = whole // gcd(window.stride, whole)
        seen = [[self.ends(place) for place in window.positions(i).tolist()] for i in range(n)]
        lows = [min((low for low, _ in ends), default=inf) for ends in seen]
        highs = [max((high for _, high in ends), default=-inf) for ends in seen]
        return AxisField(first, last, lows, highs, n * window.stride * self.shift // whole)

    def union(self, other):
        """That of maps of the same size side by side, or of their sum."""
        first = np.minimum(self.first, other.first)
        last = np.maximum(self.last, other.last)
        if self.stride == other.stride:
            n = lcm(len(self.lows), len(other.lows))
            shift = int(n * self.stride)
        else:  # no unit sees what another does: the whole map takes turns with itself
            n = len(first)
            shift = int(-(-n * max(self.stride, other.stride) // 1))
        pairs = [(*self.ends(i), *other.ends(i)) for i in range(n)]
        lows = [min(low, low_2) for low, _, low_2, _ in pairs]
        highs = [max(high, high_2) for _, high, _, high_2 in pairs]
        return AxisField(first, last, lows, highs, shift)

    def whole(self):
        """That of a unit that sees all of this map, with nothing beyond the input."""
        first, last = int(self.first.min()), int(self.last.max())
        return AxisField(np.array([first]), np.array([last]), [first], [last], 0)


@dataclass(frozen=True)
class Field:
    """The fields of the units of a map in the network's input.

    Parameters
    ----------
    shape : tuple of int
        Shape of the map, channels last.
    axes : tuple of AxisField
        One for each axis of the input.
    is_whole : bool
        Whether all units see the same: as much as there is to be seen.
    """

    shape: tuple
    axes: tuple
    is_whole: bool = False

    @classmethod
    def of_input(cls, shape):
        """That of the input itself."""
        return cls(tuple(shape), tuple(map(AxisField.of_input, shape[:-1])))

    def through(self, windows, shape):
        """That of a layer on this map: its windows, None for all, and the shape of its output."""
        if self.is_whole:
            return Field(shape, self.axes, True)
        if windows is None:
            return Field(shape, tuple(axis.whole() for axis in self.axes), True)
        steps = zip(self.axes, windows, shape[:-1], strict=True)
        return Field(shape, tuple(axis.through(window, n) for axis, window, n in steps))

    def union(self, other):
        """That of both side by side, or of their sum."""
        if self.is_whole != other.is_whole:  # who sees all sees what the other does
            return self if self.is_whole else other
        axes = (a.union(b) for a, b in zip(self.axes, other.axes, strict=True))
        return Field(self.shape, tuple(axes), self.is_whole)

    def ends(self, unit):
        """First and last position of a unit of the map along each axis, or None of one that sees
        nothing."""
        at = (0,) * len(self.axes) if self.is_whole else unit
        ends = [(int(a.first[i]), int(a.last[i])) for a, i in zip(self.axes, at, strict=True)]
        return None if any(last < first for first, last in ends) else ends


def fields_of(parts, field):
    """The fields of all layers of a network.

    Parameters
    ----------
    parts : list of Part
        Of the network.
    field : Field
        That of its input.

    Returns
    -------
    dict of str to Field
        By path.
    """
    fields = {}
    _through_chain(parts, field, fields)
    return fields


def _through_chain(parts, field, fields):
    for part in parts:
        if part.chains:
            field = _through_block(part, field, fields)
        else:
            field = field.through(part.layer.windows(part.input_shape), part.output_shape)
        fields[part.path] = field
    return field


def _through_block(part, field, fields):
    """That of chains side by side."""
    seen = [field] if part.layer.accumulates else []
    for chain in part.chains:
        below = _union(seen) if part.layer.accumulates else field
        seen.append(_through_chain(chain, below, fields))
    if part.layer.passes_on:
        return field
    field = _union(seen)
    return Field(part.output_shape, field.axes, field.is_whole)


def _union(fields):
    union, *others = fields
    for field in others:
        union = union.union(field)
    return union
