"""Transforms of filters: matrices, the groups that have names, and what they do to a filter.

# Design:
# * A transform of a filter is one sparse matrix of interpolation weights over its positions. It is
#   linear in the filter, and its transpose is the exact adjoint.
# * Right angles and reflections move the positions of a square filter, or a cubic one, onto
#   positions: their matrices are permutations, without rounding.
# * A layer over maps of all transforms needs a group: the product of two of its matrices is one of
#   them. `group_order` finds which, and says what is missing.
"""

from __future__ import annotations

from itertools import permutations, product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

#: The groups that have names, by the number of axes, and the one that "auto" is.
GROUPS = {1: ("pm",), 2: ("p4", "p4m"), 3: ("O", "Oh")}
AUTO = {1: "pm", 2: "p4", 3: "O"}
GROUP_NAMES = tuple(name for names in GROUPS.values() for name in names)

#: Entries of matrices that differ by less are the same: the rounding of a few products.
_SAME = 1e-9

#: The two axes that a rotation about one turns, the first towards the second.
_PLANES = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}


def _check_axes(n_axes):
    if n_axes not in GROUPS:
        raise ValueError(f"n_axes must be 1, 2 or 3, got {n_axes!r}")


def rotation(degrees: float, axis: Literal["x", "y", "z"] | None = None) -> NDArray[Any]:
    """The matrix that turns an image, or a volume about an axis.

    Parameters
    ----------
    degrees : float
        The angle. An image is turned anticlockwise, as it is seen.
    axis : {"x", "y", "z"} or None, default=None
        The axis of rotation of a volume: its columns lie along x, its rows along y and its layers
        along z, so that "z" turns each layer as an image. None is for images.

    Returns
    -------
    ndarray of shape (2, 2) or (3, 3)
        It acts on ``(x, y)`` or ``(x, y, z)``: columns to the right, rows down, layers to the back.

    Raises
    ------
    ValueError
        If there is no such axis.

    Examples
    --------
    >>> from sklearn_convnet.layers import rotation
    >>> rotation(90).astype(int).tolist()
    [[0, 1], [-1, 0]]
    >>> rotation(180, axis="x").astype(int).tolist()
    [[1, 0, 0], [0, -1, 0], [0, 0, -1]]
    """
    if axis is not None and axis not in _PLANES:
        raise ValueError(f"axis must be 'x', 'y', 'z' or None, got {axis!r}")
    quarter, rest = divmod(degrees, 90)
    if rest == 0:  # exact
        c, s = [(1, 0), (0, 1), (-1, 0), (0, -1)][int(quarter) % 4]
    else:
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    plane = (0, 1) if axis is None else _PLANES[axis]
    matrix = np.eye(2 if axis is None else 3)
    matrix[np.ix_(plane, plane)] = [[c, s], [-s, c]]
    return matrix


def reflection(n_axes: Literal[1, 2, 3] = 2) -> NDArray[Any]:
    """The matrix that mirrors left and right, or reverses a signal.

    Parameters
    ----------
    n_axes : {1, 2, 3}, default=2
        Number of axes of the maps.

    Returns
    -------
    ndarray of shape (n_axes, n_axes)

    Raises
    ------
    ValueError
        If there is no such number of axes.

    Examples
    --------
    >>> from sklearn_convnet.layers import reflection
    >>> reflection().astype(int).tolist()
    [[-1, 0], [0, 1]]
    """
    _check_axes(n_axes)
    return np.diag([-1.0, *[1.0] * (n_axes - 1)])


def scaling(factor: float, n_axes: Literal[1, 2, 3] = 2) -> NDArray[Any]:
    """The matrix that enlarges maps.

    Parameters
    ----------
    factor : float
        Above 1 enlarges; a signal becomes slower.
    n_axes : {1, 2, 3}, default=2
        Number of axes of the maps.

    Returns
    -------
    ndarray of shape (n_axes, n_axes)

    Raises
    ------
    ValueError
        If there is no such number of axes.

    Examples
    --------
    >>> from sklearn_convnet.layers import rotation, scaling
    >>> transforms = [scaling(s) @ rotation(a) for s in (1, 1.5) for a in (0, 45, 90)]
    >>> len(transforms)
    6
    """
    _check_axes(n_axes)
    return np.diag([float(factor)] * n_axes)


def _rotations(n_axes):
    """All rotations by right angles: signed permutations of the axes with determinant 1."""
    if n_axes == 2:
        return [rotation(90 * k) for k in range(4)]
    matrices = []
    for order in permutations(range(n_axes)):
        for signs in product((1.0, -1.0), repeat=n_axes):
            matrix = np.zeros((n_axes, n_axes))
            matrix[range(n_axes), order] = signs
            if np.linalg.det(matrix) > 0:
                matrices.append(matrix)
    return matrices


def transform_matrices(transforms, n_axes):
    """Matrices, from "auto", the name of a group or from matrices.

    Parameters
    ----------
    transforms : str or list of array-like
    n_axes : int
        Number of axes of the maps.

    Returns
    -------
    list of ndarray of shape (n_axes, n_axes)

    Raises
    ------
    ValueError
        If one is no invertible matrix of finite numbers, of that size.
    """
    if isinstance(transforms, str) and transforms == "auto":
        transforms = AUTO[n_axes]
    if isinstance(transforms, str) and transforms in GROUPS[n_axes]:
        turns = _rotations(n_axes)
        with_reflections = transforms in ("pm", "p4m", "Oh")
        return [*turns, *(turn @ reflection(n_axes) for turn in turns if with_reflections)]
    if isinstance(transforms, str) or not len(transforms):
        names = ", ".join(map(repr, ("auto", *GROUPS[n_axes])))
        raise ValueError(
            f"transforms must be one of {names} or a list of {n_axes} x {n_axes} matrices, "
            f"got {transforms!r}"
        )
    matrices = [np.asarray(matrix, np.float64) for matrix in transforms]
    for matrix in matrices:
        if matrix.shape != (n_axes, n_axes) or not np.isfinite(matrix).all():
            raise ValueError(
                f"a transform must be a {n_axes} x {n_axes} matrix of finite numbers, got "
                f"{matrix.tolist()}"
            )
        if np.linalg.det(matrix) == 0:
            raise ValueError(f"a transform must be invertible, got {matrix.tolist()}")
    return matrices


def group_order(matrices):
    """Which element of a group leads from one to another.

    Parameters
    ----------
    matrices : list of ndarray of shape (n_axes, n_axes)

    Returns
    -------
    ndarray of shape (n_transforms, n_transforms)
        At ``[t, s]`` the number of the transform ``t^-1 s``.

    Raises
    ------
    ValueError
        If they are no group; the message names the product that is missing, or two that are equal.
    """
    known = np.array(matrices)
    order = np.empty((len(known),) * 2, np.intp)
    for t, matrix in enumerate(known):
        for u, after in enumerate(known):
            moved = matrix @ after  # the one that u leads to, from t
            (found,) = np.nonzero(np.abs(known - moved).max(axis=(1, 2)) < _SAME)
            if not len(found):
                raise ValueError(
                    "with group_input=True transforms must be a group: the product of transforms "
                    f"{t} and {u}, {moved.tolist()}, is missing"
                )
            if len(found) > 1:
                raise ValueError(
                    "with group_input=True transforms must be a group, each of its elements once: "
                    f"transforms {' and '.join(map(str, found))} are equal"
                )
            order[t, found[0]] = u
    return order


def check_transforms(n_transforms, channels, what):
    """Raises ValueError unless the channels are those of so many transforms."""
    if channels % n_transforms:
        raise ValueError(
            f"{what} needs as many maps for each of {n_transforms} transforms, but its input has "
            f"{channels} channels: put an unpooled transform convolution with {n_transforms} "
            "transforms before it"
        )


def filter_transform(matrix, kernel):
    """The effect of a transform on a filter, as a matrix over the filter's positions.

    The new filter at position p is the old one at ``matrix^-1 p``, positions counted from
    the centre, by linear interpolation along each axis; the old filter is zero outside.

    Parameters
    ----------
    matrix : ndarray of shape (n_axes, n_axes)
        Acts on ``(x, y, z)``, as far as there are so many axes.
    kernel : tuple of int
        Size of the filter along each axis, that of x last.

    Returns
    -------
    scipy sparse array of shape (positions, positions)
    """
    n_positions, n_axes = int(np.prod(kernel)), len(kernel)
    sizes = np.array(kernel[::-1])
    steps = np.cumprod([1, *sizes[:-1]])  # from a position to the next, along each axis
    centre = (sizes - 1) / 2
    points = np.indices(kernel).reshape(n_axes, -1).T[:, ::-1] - centre
    source = points @ np.linalg.inv(matrix).T + centre
    snapped = np.round(source)
    source = np.where(np.abs(source - snapped) < _SAME, snapped, source)
    low = np.floor(source).astype(int)
    share = source - low
    rows, columns, values = [], [], []
    for corner in product((0, 1), repeat=n_axes):
        place = low + corner
        weight = np.abs(1 - np.array(corner) - share).prod(axis=1)
        kept = ((0 <= place) & (place < sizes)).all(axis=1) & (weight > 0)
        rows.append(np.flatnonzero(kept))
        columns.append((place * steps).sum(axis=1)[kept])
        values.append(weight[kept])
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array(entries, shape=(n_positions, n_positions))
