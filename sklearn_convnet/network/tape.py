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
        share memory, or if only a part of one is an argument, it is not known what is what. The
        other arrays become typed views."""
        if not self._calls or any(_overlap(a, b) for a, b in combinations(given.values(), 2)):
            return None
        saved = {path: list(arrays) for path, arrays in (saved or {}).items()}
        holes = _holes((args for _, args in self._calls), given)
        saved_holes = _holes(saved.values(), given)
        if holes is None or saved_holes is None:
            return None
        for _, args in self._calls:
            args[:] = [self._kernels.view(a) if isinstance(a, np.ndarray) else a for a in args]
        return Tape(self._calls, holes, saved, saved_holes, taken)


def _overlap(arg, array):
    return isinstance(arg, np.ndarray) and np.may_share_memory(arg, array)


def _holes(lists, given):
    """Where the given arrays are in lists: (list, index, name, shape) of each, emptied. None if
    only a part of one is there."""
    holes = []
    for arrays in lists:
        for i, arg in enumerate(arrays):
            for name, array in given.items():
                if _overlap(arg, array):
                    if arg.size != array.size:
                        return None
                    holes.append((arrays, i, name, arg.shape))
    _empty(holes)
    return holes


def _fill(holes, given):
    for arrays, i, name, shape in holes:
        array = given[name]
        arrays[i] = array if array.shape == shape else array.reshape(shape)


def _empty(holes):
    for arrays, i, _, _ in holes:
        arrays[i] = None


class Tape:
    """The kernel calls of a pass.

    Parameters
    ----------
    calls : list of (kernel, list of arguments)
    holes : list of (list, index, name, shape)
        Where the arrays from outside belong among the arguments. None of them is kept.
    saved : dict of str to list
        What the nodes saved for backward, by path.
    saved_holes : list of (list, index, name, shape)
        Where they belong there.
    taken : int
        How many arrays of the memory plan they had then.
    """

    def __init__(self, calls, holes, saved, saved_holes, taken):
        self._calls, self._holes = calls, holes
        self._saved, self._saved_holes = saved, saved_holes
        self.taken = taken

    def play(self, given):
        """Make the calls with other arrays from outside, contiguous and as large."""
        try:
            _fill(self._holes, given)
            for kernel, args in self._calls:
                kernel(*args)
        finally:
            _empty(self._holes)

    def saved(self, given):
        """What the nodes would have saved, had they made the calls."""
        _fill(self._saved_holes, given)
        saved = {path: tuple(arrays) for path, arrays in self._saved.items()}
        _empty(self._saved_holes)
        return saved
