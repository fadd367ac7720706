"""Where the arrays of one way through a network lie.

# Design:
# * Nodes ask for arrays in the same order whenever as many samples pass in the same way. So
#   the first such pass is watched: which array is asked for when, and when nobody holds it any
#   more. Of that a plan is made, which gives arrays that never live at the same time the same
#   bytes of one arena; later passes follow it.
# * An array lives as long as it is referred to. So a node need not say what it keeps for
#   backward, and views of an array keep all of it.
# * What the caller gets is never in the arena. A pass that asks for other arrays than planned
#   gets new ones, and the next is watched again.
"""

import weakref
from dataclasses import dataclass, field
from functools import partial
from math import prod

import numpy as np

ALIGNMENT = 64  # bytes
#: Arenas up to this size are kept between two calls of an estimator.
SMALL_BYTES = 2**20
#: So many plans are kept; the oldest makes way.
MAX_PLANS = 8


def aligned_bytes(size, make=np.empty):
    """`size` bytes, the first of which is at a multiple of ALIGNMENT."""
    raw = make(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


def place(starts, stops, sizes):
    """Offsets of arrays in one arena: arrays that live at the same time do not overlap.

    The largest comes first, each at the lowest place that is free while it lives (Pisarchyk
    and Lee, "Efficient memory management for deep neural net inference", 2020).

    Parameters
    ----------
    starts, stops : ndarray of shape (n,)
        When an array is asked for, and when it is given back.
    sizes : ndarray of shape (n,)
        Multiples of ALIGNMENT.

    Returns
    -------
    offsets : ndarray of shape (n,)
    size : int
        Of the arena.
    """
    offsets = np.zeros(len(sizes), np.intp)
    placed = np.zeros(len(sizes), bool)
    for i in np.argsort(-sizes, kind="stable"):
        beside = np.flatnonzero(placed & (starts < stops[i]) & (stops > starts[i]))
        lowest = 0
        for j in beside[np.argsort(offsets[beside], kind="stable")]:
            if offsets[j] >= lowest + sizes[i]:
                break
            lowest = max(lowest, offsets[j] + sizes[j])
        offsets[i] = lowest
        placed[i] = True
    return offsets, int((offsets + sizes).max(initial=0))


@dataclass
class Plan:
    """What is asked for, and where it lies.

    Attributes
    ----------
    keys : list of tuple
        `(path, role, shape, dtype)` of each array, in order.
    offsets : list of int or None
        Where it begins in the arena; None if it belongs to the caller.
    size : int
        Of the arena.
    peak : int
        Bytes of the arena and of what belongs to the caller.
    views : list of ndarray
        The arrays in the arena of the moment; empty if there is none.
    tapes : dict
        What kernels do with these arrays, by direction, forward or backward, and number of threads.
    """

    keys: list
    offsets: list
    size: int
    peak: int
    views: list = field(default_factory=list)
    tapes: dict = field(default_factory=dict)

    def release(self):
        """Forget the arena; passes under way keep what they have."""
        self.views, self.tapes = [], {}


class Watched:
    """A pass whose arrays are new, and whose plan is made in the end."""

    tapes = None

    def __init__(self, finish):
        self._finish = finish
        self._keys, self._arrays, self._stops, self._kept = [], [], {}, set()

    def take(self, *key):
        i = len(self._keys)
        array = np.empty(key[2], key[3])
        self._keys.append(key)
        self._arrays.append(weakref.ref(array, partial(self._given_back, i)))
        return array

    def _given_back(self, i, _):
        self._stops[i] = len(self._keys)

    def keep(self, array):
        """The caller gets it."""
        owner = array if array.base is None else array.base
        self._kept.update(i for i, ref in enumerate(self._arrays) if ref() is owner)

    def end(self):
        n = len(self._keys)
        nbytes = np.array([prod(k[2]) * np.dtype(k[3]).itemsize for k in self._keys], np.intp)
        sizes = -(-nbytes // ALIGNMENT) * ALIGNMENT
        inside = np.array([i for i in range(n) if i not in self._kept], np.intp)
        stops = np.array([self._stops.get(i, n + 1) for i in range(n)], np.intp)
        places, size = place(inside, stops[inside], sizes[inside])
        offsets = [None] * n
        for i, offset in zip(inside, places, strict=True):
            offsets[i] = int(offset)
        peak = size + int(sizes[list(self._kept)].sum())
        self._finish(Plan(self._keys, offsets, size, peak))


class Planned:
    """A pass that follows a plan."""

    def __init__(self, plan, forget):
        self._keys, self._views, self._forget = plan.keys, plan.views, forget
        self.tapes = plan.tapes
        self.taken = 0  # how many arrays

    def take(self, *key):
        i = self.taken
        self.taken += 1
        if i >= len(self._keys) or self._keys[i] != key:
            self.taken = len(self._keys)  # what is still to come was not planned either
            self.tapes = None
            self._forget()
            return np.empty(key[2], key[3])
        view = self._views[i]
        return np.empty(key[2], key[3]) if view is None else view

    def keep(self, array):
        pass

    def end(self):
        pass


class Arena:
    """Memory for one pass at a time."""

    def __init__(self):
        self.plans = {}
        self._bytes = None

    def begin(self, key):
        """What lends the arrays of a pass: `take`, `keep` and, when it is over, `end`.

        Parameters
        ----------
        key : tuple
            What passes that ask for the same arrays have in common; the number of samples
            is the first of it.
        """
        plan = self.plans.get(key)
        if plan is None:
            return Watched(partial(self._add, key))
        if not plan.views:
            self._make_views(plan)
        return Planned(plan, partial(self.plans.pop, key, None))

    def tapes(self, key):
        """Those of the plan for a pass, by direction and number of threads."""
        plan = self.plans.get(key)
        return {} if plan is None else plan.tapes

    def _add(self, key, plan):
        if len(self.plans) == MAX_PLANS:
            self.plans.pop(next(iter(self.plans)))
        self.plans[key] = plan

    def _make_views(self, plan):
        if self._bytes is None or len(self._bytes) < plan.size:
            self.release(0)
            self._bytes = aligned_bytes(plan.size)
        for (_, _, shape, dtype), offset in zip(plan.keys, plan.offsets, strict=True):
            view = None
            if offset is not None:
                stop = offset + prod(shape) * np.dtype(dtype).itemsize
                view = self._bytes[offset:stop].view(dtype).reshape(shape)
            plan.views.append(view)

    def release(self, largest=SMALL_BYTES):
        """Give the bytes back if they are more than `largest`; plans are kept.

        A pass that is under way keeps its own.
        """
        if self._bytes is not None and len(self._bytes) > largest:
            self._bytes = None
            for plan in self.plans.values():
                plan.release()

    def peaks(self):
        """Number of samples and bytes of each plan."""
        return [(key[0], plan.peak) for key, plan in self.plans.items()]
