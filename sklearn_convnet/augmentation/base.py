"""The base of all transforms.

# Design:
# * A transform is a spec, as a layer is: it holds its parameters, and no state. What it draws
#   comes from the random state of the call, in one go for the batch, before any kernel runs.
# * Geometric transforms say by a matrix where the pixels of a sample go. The matrices of a
#   `Compose` are multiplied, so that a batch is resampled once, however many there are; points
#   take the same matrix, and label maps are resampled with it.
# * Photometric transforms come after that, in their order; they see only X.
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from .._typing import RandomState
from ..layers.shapes import AXIS_NAMES
from ..parameters import Parametrized
from ..threads import effective_n_threads
from .moves import check_flip_pairs, compose, inverse, moved_points, resampled, work_dtype

PROBABILITY = Interval(Real, 0, 1, closed="both")
FINITE = [Interval(Real, None, None, closed="neither")]
#: What samples are called, by their number of axes besides the channels.
KIND_NAMES = {1: "signals", 2: "images", 3: "volumes"}


class Transform(Parametrized):
    """Base class of the transforms.

    It follows scikit-learn's parameter contract, as layers do: `__init__` checks nothing.
    """

    _parameter_constraints: dict = {}

    #: How many axes samples must have besides the channels: 1 for signals, 2 for images, 3 for
    #: volumes. None is any number.
    n_axes: int | None = None
    #: True if samples are mixed with others of their batch, and so have two targets.
    mixes = False

    def augment(
        self,
        X: ArrayLike,
        *,
        points: ArrayLike | None = None,
        label_maps: ArrayLike | None = None,
        random_state: RandomState = None,
        n_threads: int | None = None,
        flip_pairs: ArrayLike | None = None,
    ) -> tuple[NDArray[Any], NDArray[Any] | None, NDArray[Any] | None]:
        """Change a batch at random, each sample in its own way.

        Parameters
        ----------
        X : array-like of shape (n, *size) or (n, *size, n_channels)
            Samples of any real dtype, their size being (height, width) of images, (depth, height,
            width) of volumes and (length,) of signals. What moves pixels is for one of these;
            what changes values alone takes all.
        points : array-like of shape (n, n_points, n_axes), default=None
            Places ``(x, y)`` in pixels, the centre of the first pixel being ``(0, 0)``; in volumes
            ``(x, y, z)``, z along the depth, and in signals ``(x,)``. They move with the sample,
            also beyond its border; NaN stays NaN.
        label_maps : array-like of shape (n, *size) or (n, *size, K), default=None
            They move with the sample and are 0 where it does not reach: integers to the nearest
            pixel, floats by linear interpolation. Their values are not changed otherwise.
        random_state : int, RandomState or None, default=None
            The same seed gives the same changes.
        n_threads : int or None, default=None
            Number of threads; it does not change the result.
        flip_pairs : array-like of shape (n_pairs, 2), default=None
            Numbers of points, such as those of a left and a right wrist, that change places in
            the samples that become mirror images.

        Returns
        -------
        X : ndarray like X
            float64 if X is, otherwise float32. No input is changed.
        points : ndarray or None
            Floats.
        label_maps : ndarray or None
            Of the dtype that they had.

        Raises
        ------
        ValueError
            If a parameter is invalid, or a shape does not fit.
        """
        steps = self._steps()
        for step in steps:
            if step.mixes:
                raise ValueError(
                    f"{type(step).__name__} mixes samples with their targets, which augment does "
                    "not see: give it to an estimator, or call its method mix"
                )
        X = real_array(X, "X")
        n_axes = check_axes(steps, X.shape)
        random_state = check_random_state(random_state)
        X = np.ascontiguousarray(X, work_dtype(X.dtype))
        points = _check_points(points, X, n_axes)
        label_maps = _check_label_maps(label_maps, X, n_axes)
        if points is not None and flip_pairs is not None:
            check_flip_pairs(flip_pairs, points.shape[1])
        geometric = [step for step in steps if isinstance(step, Geometric)]
        if geometric:
            moves = compose(step._moves(X.shape, random_state) for step in geometric)
            sources = inverse(moves)
            threads = effective_n_threads(n_threads)
            X = resampled(X, sources, shared_fill_value(geometric), threads)
            if points is not None:
                points = moved_points(points, moves, flip_pairs)
            if label_maps is not None:
                label_maps = resampled(label_maps, sources, 0.0, threads)
        for step in steps:
            if isinstance(step, Photometric):
                X = step._change(X, random_state)
        return X, points, label_maps

    def _steps(self):
        """The single transforms, their parameters checked."""
        self._validate_params()
        return [self]


class Geometric(Transform):
    """Base class of the transforms that move pixels.

    A subclass defines `_moves`.
    """

    n_axes = 2

    def _moves(self, shape, random_state) -> NDArray[Any]:
        """The maps (n, n_axes, n_axes + 1) from places in the samples to where they go."""
        raise NotImplementedError(type(self))


class Photometric(Transform):
    """Base class of the transforms that change values, but move nothing.

    A subclass defines `_change`.
    """

    def _change(self, X, random_state) -> NDArray[Any]:
        """Changed samples, in a new array."""
        raise NotImplementedError(type(self))


# ---------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------


def real_array(values, name) -> NDArray[Any]:
    """An array of samples; raises ValueError if it holds no real numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        raise ValueError(
            f"{name} must be an array of real numbers, one sample a row, got dtype "
            f"{array.dtype} and shape {array.shape}"
        )
    return array


def check_axes(steps, shape):
    """The number of axes that transforms need, or None.

    Raises
    ------
    ValueError
        If they need different ones, or X of this shape has others.
    """
    needed = {step.n_axes: step for step in steps if step.n_axes is not None}
    if len(needed) > 1:
        parts = [f"{type(step).__name__} needs {KIND_NAMES[n]}" for n, step in needed.items()]
        raise ValueError(f"{' and '.join(parts)}: no sample is both, so leave one out")
    for n_axes, step in needed.items():
        if len(shape) not in (n_axes + 1, n_axes + 2):
            axes = ", ".join(("n", *AXIS_NAMES[n_axes]))
            raise ValueError(
                f"{type(step).__name__} needs {KIND_NAMES[n_axes]}, X of shape ({axes}) or "
                f"({axes}, n_channels), got shape {shape}"
            )
    return next(iter(needed), None)


def _check_points(points, X, n_axes) -> NDArray[Any] | None:
    if points is None:
        return None
    points = real_array(points, "points")
    allowed = tuple(KIND_NAMES) if n_axes is None else (n_axes,)
    if points.ndim != 3 or len(points) != len(X) or points.shape[2] not in allowed:
        raise ValueError(
            f"points must have shape (n, n_points, {n_axes or 'n_axes'}) for the {len(X)} "
            f"{KIND_NAMES.get(n_axes, 'samples')}, got shape {points.shape}"
        )
    return points.astype(np.result_type(points.dtype, np.float32), copy=False)


def _check_label_maps(label_maps, X, n_axes) -> NDArray[Any] | None:
    if label_maps is None:
        return None
    label_maps = real_array(label_maps, "label_maps")
    if n_axes is None:  # they stay as they are
        if len(label_maps) != len(X):
            raise ValueError(f"label_maps must be {len(X)}, as X, got {len(label_maps)}")
        return label_maps
    shape = X.shape[: 1 + n_axes]
    if label_maps.shape[: 1 + n_axes] != shape or label_maps.ndim > 2 + n_axes:
        names = " and ".join(
            [", ".join(["number", *AXIS_NAMES[n_axes][:-1]]), AXIS_NAMES[n_axes][-1]]
        )
        raise ValueError(
            f"label_maps must have the {KIND_NAMES[n_axes]}' {names} {shape}, and at "
            f"most one axis more, got shape {label_maps.shape}"
        )
    return label_maps


def shared_fill_value(steps):
    """The fill value of geometric transforms; raises ValueError if it is not one."""
    values = {float(step.fill_value) for step in steps if hasattr(step, "fill_value")}
    if len(values) > 1:
        raise ValueError(
            "geometric transforms are one resampling, which has one fill_value, but theirs are "
            f"{sorted(values)}: give them all the same"
        )
    return values.pop() if values else 0.0


def checked_range(value, name, low, high, *, closed=False, instead="None"):
    """The ends of a ``(low, high)`` parameter, both within an open interval.

    A `closed` one has its lower end; `instead` is what else the parameter may be.
    """
    try:
        ends = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        ends = np.array(np.nan)
    inside = ends.shape == (2,) and (low < ends[0] or (closed and low == ends[0]))
    if not inside or not ends[0] <= ends[1] < high:
        limits = f" {'of at least' if closed else 'above'} {low:g}" if low > -np.inf else ""
        limits += f" and below {high:g}" if high < np.inf else ""
        raise ValueError(
            f"{name} must be {instead} or a (low, high) range of finite numbers{limits}, got "
            f"{value!r}"
        )
    return ends


# ---------------------------------------------------------------------------
# What is drawn
# ---------------------------------------------------------------------------


def uniform(random_state, value, name, size, limit=np.inf):
    """Numbers from a ``(low, high)`` range; 0 for None."""
    if value is None:
        return np.zeros(size)
    return random_state.uniform(*checked_range(value, name, -limit, limit), size)


def log_uniform(random_state, value, name, size):
    """Factors from a ``(low, high)`` range, their logarithms uniform; 1 for None."""
    if value is None:
        return np.ones(size)
    return np.exp(random_state.uniform(*np.log(checked_range(value, name, 0, np.inf)), size))


def signs(random_state, probability, size):
    """-1 with a probability, otherwise 1."""
    return np.where(random_state.uniform(size=size) < probability, -1.0, 1.0)


def cos_sin(degrees):
    """Cosine and sine, exact at right angles."""
    angle = np.deg2rad(degrees)
    right = degrees % 90 == 0
    return tuple(np.where(right, np.round(f), f) for f in (np.cos(angle), np.sin(angle)))
