"""Passes that repeat themselves: kernel calls that are made again without the nodes.

# Design:
# * A pass that follows a memory plan has its arrays where the last one had them. If all that the
#   nodes do is to call kernels (`Node.repeats`), the calls are those of the last one too, but
#   for the arrays that come from outside: input, output, and the gradient at the output.
# * So the first pass that follows a plan is recorded, and later ones play the tape. Nodes take
#   longer than they look: kernels empty the caches between them.
# * Tapes belong to the plan: they end when its arrays do.
"""

from itertools import combinations

import numpy as np


class Recorder:
    """Stands for the kernels during a pass, and notes the calls."""

    def __init__(self, kernels):
        self._kernels = kernels
        self._calls = []

    def __getattr__(self, name):
        kernel = getattr(self._kernels, name)

        def call(*args):
            self._calls.append((kernel, list(args)))
            return kernel(*args)

        return call

    def tape(self, given):
        """The tape of the calls so far, or None if they cannot be repeated: if arrays from outside
        share memory, or if only a part of one is an argument, it is not known what is what."""
        if not self._calls or any(_overlap(a, b) for a, b in combinations(given.values(), 2)):
            return None
        places = {name: [] for name in given}
        for _, args in self._calls:
            for i, arg in enumerate(args):
                for name, array in given.items():
                    if _overlap(arg, array):
                        if arg.size != array.size:
                            return None
                        places[name].append((args, i, arg.shape))
        return Tape(self._calls, places)


def _overlap(arg, array):
    return isinstance(arg, np.ndarray) and np.may_share_memory(arg, array)


class Tape:
    """The kernel calls of a pass.

    Parameters
    ----------
    calls : list of (kernel, list of arguments)
    places : dict of str to list of (list of arguments, index, shape)
        Where the arrays from outside are among the arguments. None is kept.
    """

    def __init__(self, calls, places):
        self._calls, self._places = calls, places
        self._forget()

    def _forget(self):
        for places in self._places.values():
            for args, i, _ in places:
                args[i] = None

    def play(self, given):
        """Make the calls with other arrays from outside, contiguous and as large."""
        for name, places in self._places.items():
            for args, i, shape in places:
                args[i] = given[name].reshape(shape)
        try:
            for kernel, args in self._calls:
                kernel(*args)
        finally:
            self._forget()
