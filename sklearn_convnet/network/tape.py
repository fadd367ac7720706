"""Passes that repeat themselves: kernel calls that are made again without the nodes.

# Design:
# * A pass that follows a memory plan has its arrays where the last one had them. If all that the
#   nodes do is to call kernels (`Node.repeats`), the calls are those of the last one too, but
#   for the arrays that come from outside: input, output, and the gradient at the output.
# * So the first pass that follows a plan is recorded, and later ones play the tape. Nodes take
#   longer than they look: kernels empty the caches between them.
# * A backward for which there is no tape gets what the nodes saved in the pass that was recorded.
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

    def tape(self, given, saved=None, taken=0):
        """The tape of the calls so far, or None if they cannot be repeated: if arrays from outside
        share memory, or if only a part of one is an argument, it is not known what is what."""
        if not self._calls or any(_overlap(a, b) for a, b in combinations(given.values(), 2)):
            return None
        saved = {path: list(arrays) for path, arrays in (saved or {}).items()}
        places = {name: [] for name in given}
        for arguments in (*(args for _, args in self._calls), *saved.values()):
            for i, arg in enumerate(arguments):
                for name, array in given.items():
                    if _overlap(arg, array):
                        if arg.size != array.size:
                            return None
                        places[name].append((arguments, i, arg.shape))
        return Tape(self._calls, places, saved, taken)


def _overlap(arg, array):
    return isinstance(arg, np.ndarray) and np.may_share_memory(arg, array)


class Tape:
    """The kernel calls of a pass.

    Parameters
    ----------
    calls : list of (kernel, list of arguments)
    places : dict of str to list of (list, index, shape)
        Where the arrays from outside are among the arguments and in what is saved. None of them
        is kept.
    saved : dict of str to list
        What the nodes saved for backward, by path.
    taken : int
        How many arrays of the memory plan they had then.
    """

    def __init__(self, calls, places, saved, taken):
        self._calls, self._places, self._saved = calls, places, saved
        self.taken = taken
        self._fill(None)

    def _fill(self, given):
        for name, places in self._places.items():
            for arguments, i, shape in places:
                arguments[i] = None if given is None else given[name].reshape(shape)

    def play(self, given):
        """Make the calls with other arrays from outside, contiguous and as large."""
        try:
            self._fill(given)
            for kernel, args in self._calls:
                kernel(*args)
        finally:
            self._fill(None)

    def saved(self, given):
        """What the nodes would have saved, had they made the calls."""
        self._fill(given)
        saved = {path: tuple(arrays) for path, arrays in self._saved.items()}
        self._fill(None)
        return saved
