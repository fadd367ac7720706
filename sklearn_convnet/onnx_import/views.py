"""How the axes of an array in a graph lie in what a layer makes.

# Design:
# * A layer makes samples with their channels last. What a graph calls the same array may be
#   transposed, flattened, or have an axis cut in two. None of that moves a number: a `View` says
#   which part of which axis each axis of the graph is. A layer is only needed where channels have
#   really changed their order.
# * Axes have names, "n" for samples, "c" for channels and "s0", "s1", ... for positions, so that
#   those of maps and of one number for each map are told apart by what they are.
"""

from dataclasses import dataclass
from math import prod

import numpy as np

SAMPLES, CHANNELS = "n", "c"


@dataclass(frozen=True)
class Atom:
    """A part of an axis.

    Parameters
    ----------
    axis : str
    size : int
        At least 2: an axis of length 1 has no atoms.
    stride : int
        From one index of the part to the next, in indices of the axis.
    """

    axis: str
    size: int
    stride: int = 1

    def cut(self, size):
        """The same as two parts, the first of this size."""
        rest = self.size // size
        return Atom(self.axis, size, self.stride * rest), Atom(self.axis, rest, self.stride)


def axis_names(shape):
    """Names of the axes of samples of this shape, channels last."""
    return [f"s{i}" for i in range(len(shape) - 1)] + [CHANNELS]


def sizes_of(shape):
    """The length of each axis of samples of this shape, by name."""
    return dict(zip(axis_names(shape), shape, strict=True))


def _joined(atoms):
    """Parts that lie one inside of the other, as one."""
    found = []
    for atom in atoms:
        last = found[-1] if found else None
        if last and last.axis == atom.axis and last.stride == atom.stride * atom.size:
            found[-1] = Atom(atom.axis, last.size * atom.size, atom.stride)
        else:
            found.append(atom)
    return tuple(found)


def whole(axis, size):
    """All of an axis, as a group of a view."""
    return (Atom(axis, size),) if size > 1 else ()


class View:
    """Axes of an array in a graph.

    Parameters
    ----------
    groups : iterable of iterable of Atom
        For each axis, the parts that it consists of, the slowest first; none where its length is 1.
    """

    def __init__(self, groups):
        self.groups = tuple(_joined(group) for group in groups)

    def __eq__(self, other):
        return self.groups == other.groups

    def __repr__(self):
        words = (
            "".join(f"{a.axis}:{a.size}/{a.stride} " for a in g).strip() or "1" for g in self.groups
        )
        return f"({', '.join(words)})"

    @property
    def shape(self):
        return tuple(prod(atom.size for atom in group) for group in self.groups)

    @property
    def ndim(self):
        return len(self.groups)

    def axes(self, i):
        """Names of the axes that have a part in one of the graph."""
        return {atom.axis for atom in self.groups[i]}

    def transposed(self, perm):
        return View(self.groups[i] for i in perm)

    def reshaped(self, shape):
        """The view of the same array in another shape, or None if parts do not come out even."""
        left = [atom for group in self.groups for atom in group]
        groups = []
        for size in shape:
            group = []
            while size > 1:
                if not left:
                    return None
                atom = left.pop(0)
                if atom.size > size:
                    if atom.size % size:
                        return None
                    atom, rest = atom.cut(size)
                    left.insert(0, rest)
                elif size % atom.size:
                    return None
                group.append(atom)
                size //= atom.size
            groups.append(group)
        return None if left else View(groups)

    def flattened(self, shape):
        """The view when a layer has made one axis of all axes of samples of this shape."""
        names, strides, stride = axis_names(shape), {}, 1
        for name, size in zip(reversed(names), reversed(shape), strict=True):
            strides[name] = stride
            stride *= size

        def moved(atom):
            if atom.axis == SAMPLES:
                return atom
            return Atom(CHANNELS, atom.size, atom.stride * strides[atom.axis])

        return View([moved(atom) for atom in group] for group in self.groups)

    def to_layer(self, array, shape):
        """A constant that the graph broadcasts against the view, with axes as the layer has them.

        Parameters
        ----------
        array : ndarray
            Of the view's shape, where lengths may be 1 and first axes left out.
        shape : tuple of int
            Of a sample, channels last.

        Returns
        -------
        ndarray
            Of this shape, where axes along which it does not change have the length 1; None if it
            changes from sample to sample, or has other axes.
        """
        if array.ndim > self.ndim:
            return None
        array = array.reshape((1,) * (self.ndim - array.ndim) + array.shape)
        atoms, split = [], []
        for group, size, given in zip(self.groups, self.shape, array.shape, strict=True):
            if given not in (1, size):
                return None
            atoms += group
            split += [atom.size if given > 1 else 1 for atom in group]
        array = array.reshape(split)
        names = [SAMPLES, *axis_names(shape)]
        order = sorted(
            range(len(atoms)), key=lambda i: (names.index(atoms[i].axis), -atoms[i].stride)
        )
        array = array.transpose(order)
        result = []
        for name, size in zip(names, (1, *shape), strict=True):
            places = [p for p, i in enumerate(order) if atoms[i].axis == name]
            lengths = [array.shape[p] for p in places]
            if name == SAMPLES:
                if prod(lengths) > 1:
                    return None
            elif prod(lengths) > 1:
                parts = list(array.shape)
                for p in places:
                    parts[p] = atoms[order[p]].size
                array = np.broadcast_to(array, parts)
                result.append(size)
            else:
                result.append(1)
        return array.reshape(result)

    def order(self, i, size):
        """The channel at each index of an axis, if that is all of the channels; else None."""
        group = self.groups[i]
        if self.axes(i) - {CHANNELS} or prod(atom.size for atom in group) != size:
            return None
        places = np.zeros(1, np.int64)
        for atom in group:
            places = (places[:, None] + np.arange(atom.size) * atom.stride).ravel()
        return places


def channels_first(shape, n_samples):
    """The view of samples as most operators have them: (samples, channels, positions ...)."""
    sizes = sizes_of(shape)
    names = axis_names(shape)[:-1]
    groups = [whole(name, sizes[name]) for name in names]
    return View([whole(SAMPLES, n_samples), whole(CHANNELS, shape[-1]), *groups])


def channels_last(shape, n_samples):
    """The view that a layer has: (samples, positions ..., channels)."""
    sizes = sizes_of(shape)
    return View([whole(SAMPLES, n_samples), *(whole(name, sizes[name]) for name in sizes)])
