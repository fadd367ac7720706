"""The calls that a prediction is made of, the constants that they read, and where maps lie.

# Design:
# * A program is a list of calls of the functions in `library.py`. Values are maps in memory; a
#   value in another shape is the same memory.
# * Memory is one static array. What lives at the same time does not overlap, as in the networks of
#   this package (`place`); a function of single numbers writes over its input where nothing else
#   reads that. The last value lies in y.
"""

import re
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from ...network.program import place
from .library import FUNCTIONS


@dataclass(frozen=True)
class Value:
    """Maps of a sample.

    Parameters
    ----------
    memory : int
        Number of the memory that they lie in; 0 is x, what is given.
    shape : tuple of int
        Channels last.
    """

    memory: int
    shape: tuple

    @property
    def size(self):
        """The number of numbers."""
        return prod(self.shape)

    def reshaped(self, shape):
        """The same memory in another shape."""
        return replace(self, shape=tuple(shape))


@dataclass(frozen=True)
class Call:
    """A call of a function: values among its arguments, and constants as they are written."""

    function: str
    args: tuple
    reads: tuple
    writes: tuple
    in_place: bool = False


class Program:
    """Calls and constants.

    Parameters
    ----------
    input_shape : tuple of int

    Attributes
    ----------
    x : Value
        What is given.
    dtype : dtype
        Of the weights, before they are written in float32.
    folded : dict
        The batch norm that lies in the weights of a node.
    absorbed : set of Node
        These batch norms.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, input_shape, folded=None):
        self.x = Value(0, tuple(input_shape))
        self.folded = folded or {}
        self.absorbed = set(self.folded.values())
        self.calls, self.constants = [], {}
        self._sizes = [0]

    # --- writing -------------------------------------------------------------------------

    def memory(self, *shape):
        """A new value, in memory of its own."""
        self._sizes.append(prod(shape))
        return Value(len(self._sizes) - 1, shape)

    def call(self, function, x, *args, shape=None, in_place=False):
        """A call with an input, an output, and arguments; returns the output, which may lie where
        the input does if `in_place`."""
        y = self.memory(*(x.shape if shape is None else shape))
        values = [arg for arg in args if isinstance(arg, Value)]
        self.add(function, (x, y, *args), (x, *values), (y,), in_place)
        return y

    def add(self, function, args, reads, writes, in_place=False):
        """A call with its arguments in order."""
        args = tuple(_number(arg) for arg in args)
        self.calls.append(Call(function, args, tuple(reads), tuple(writes), in_place))

    def constant(self, array, name):
        """The name of an array of floats, or of ints; "NULL" for None.

        Raises
        ------
        ValueError
            If a number is not finite as a float.
        """
        if array is None:
            return "NULL"
        array = np.asarray(array)
        with np.errstate(over="ignore"):
            array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32).ravel()
        if not np.isfinite(array).all():
            raise ValueError(
                f"{name} has numbers that are not finite in float32: C has no constants for them"
            )
        begin = "@" + re.sub(r"\W", "_", name, flags=re.ASCII)
        found, n = begin, 1
        while found in self.constants:
            n += 1
            found = f"{begin}_{n}"
        self.constants[found] = array
        return found

    # --- what is written -----------------------------------------------------------------

    def end(self, z):
        """Let z be what the program returns: it lies in y."""
        if z.memory == 0:  # nothing is computed
            z = self.call("copy", z, 1, 0, 0, z.size, z.size, z.size)
        self._place(z)

    def functions(self):
        """The functions that are called, in the order of the library."""
        called = {call.function for call in self.calls}
        return [name for name in FUNCTIONS if name in called]

    def lines(self):
        """The calls in C."""
        for call in self.calls:
            args = ", ".join(self._text(arg) for arg in call.args)
            yield f"@{call.function}({args});"

    def _text(self, arg):
        if not isinstance(arg, Value):
            return arg
        memory = self._merged[arg.memory]
        if memory == 0:
            return "x"
        if memory == self._last:
            return "y"
        offset = self._offsets[memory]
        return f"@work + {offset}" if offset else "@work"

    def _place(self, z):
        """Where all memory lies."""
        last_use = {z.memory: len(self.calls)}
        for i, call in enumerate(self.calls):
            last_use.update((value.memory, i) for value in (*call.reads, *call.writes))
        last_use[z.memory] = len(self.calls)
        self._merged = list(range(len(self._sizes)))
        lives = {}
        for i, call in enumerate(self.calls):
            if call.in_place and call.reads[0].memory and last_use[call.reads[0].memory] == i:
                (y,) = call.writes
                self._merged[y.memory] = self._merged[call.reads[0].memory]
            for value in (*call.reads, *call.writes):
                memory = self._merged[value.memory]
                start, _ = lives.get(memory, (i, i))
                lives[memory] = (start, i + 1)
        self._last = self._merged[z.memory]
        inside = [memory for memory in lives if memory not in (0, self._last)]
        starts = np.array([lives[memory][0] for memory in inside], np.intp)
        stops = np.array([lives[memory][1] for memory in inside], np.intp)
        sizes = np.array([self._sizes[memory] for memory in inside], np.intp)
        offsets, self.work_size = place(starts, stops, sizes)
        self._offsets = dict(zip(inside, offsets.tolist(), strict=True))


def _number(arg):
    """An argument as it stands in C."""
    if isinstance(arg, (Value, str)):
        return arg
    if isinstance(arg, (int, np.integer)):
        return str(int(arg))
    return float_text(arg)


def float_text(value):
    """A number as a float constant in C, with all digits that a float has."""
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"
