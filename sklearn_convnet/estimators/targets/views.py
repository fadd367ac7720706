"""Predictions for several views of samples, moved back and averaged.

Views are changed samples, of which the first is as it is, or crops. Sums are taken view by view, so
that they do not depend on the number of samples.
"""

from dataclasses import dataclass

import numpy as np

from ...augmentation.moves import inverse, moved_points, resampled


@dataclass(frozen=True)
class Seen:
    """The results of a network for several views of samples.

    Attributes
    ----------
    results : list
        Of each view.
    moves : list
        The map (1, n_axes, n_axes + 1) from places in a sample to where they are in each view, or
        None.
    sample_shape : tuple of int
    view_shape : tuple of int
        Another one, if views are crops.
    n_threads : int
    """

    results: list
    moves: list
    sample_shape: tuple
    view_shape: tuple
    n_threads: int


def mean_of(arrays):
    """The mean of arrays, one by one."""
    return sum(arrays) / len(arrays)


def mean_of_maps(seen, n_axes):
    """The mean of maps, pixel by pixel over the views that reach it."""
    total, weight = _sums_of_maps(seen, n_axes, seen.results[1:])
    return (seen.results[0] + total) / weight


def log_mean_of_maps(seen, n_axes):
    """The same of logarithms: finite, where those of the samples as they are are so."""
    first, *others = seen.results
    total, weight = _sums_of_maps(seen, n_axes, [np.exp(maps) for maps in others])
    with np.errstate(divide="ignore"):
        return np.logaddexp(first, np.log(total)) - np.log(weight)


def _sums_of_maps(seen, n_axes, others):
    """The sum of the maps of all views but the first, and how many reach each pixel, that one
    counted."""
    size = seen.results[0].shape[1 : 1 + n_axes]
    for move in seen.moves:
        check_axes_of(move, n_axes, "maps")
    if size != seen.sample_shape[:n_axes] and any(move is not None for move in seen.moves):
        raise ValueError(
            "test_time_augmentation moves maps back as it moves samples, but maps have size "
            f"{size} and samples {seen.sample_shape[:n_axes]}: let maps be as large, or leave out "
            "what moves pixels"
        )
    total = np.zeros_like(seen.results[0])
    weight = np.ones((1, *size, *[1] * (total.ndim - 1 - n_axes)), total.dtype)
    ones = weight.copy()
    for maps, move in zip(others, seen.moves[1:], strict=True):
        reach = ones
        if move is not None:
            maps = resampled(maps, np.repeat(move, len(maps), axis=0), 0.0, seen.n_threads)
            reach = resampled(ones, move, 0.0, 1)
        total, weight = total + maps, weight + reach
    return total, weight


def moved_back(points, move, seen, units, flip_pairs=None):
    """Points (n, n_points, n_axes) of a view of a `Seen` where they are in the samples, in their
    units."""
    if move is None:
        return points
    check_axes_of(move, points.shape[2], "points")
    of_view, of_sample = (
        np.array(shape[points.shape[2] - 1 :: -1], points.dtype)
        for shape in (seen.view_shape, seen.sample_shape)
    )
    if units == "share":
        points = points * of_view - 0.5
    points = moved_points(points, np.repeat(inverse(move), len(points), axis=0), flip_pairs)
    return (points + 0.5) / of_sample if units == "share" else points


def check_axes_of(move, n_axes, what):
    """Raises ValueError if a view moves samples along another number of axes than `what` has."""
    if move is not None and move.shape[1] != n_axes:
        raise ValueError(
            f"test_time_augmentation moves samples along {move.shape[1]} axes, but {what} lie on "
            f"{n_axes}"
        )
