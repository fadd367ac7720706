"""`KeypointsDisplay`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...estimators.regressor import ConvNetRegressor
from ._pictures import (
    PREDICTED_COLOR,
    TRUE_COLOR,
    add_legend,
    check_units,
    first_of,
    fitted_samples,
    in_pixels,
    keep_in_view,
    numbers,
    same_length,
    samples_on_grid,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class KeypointsDisplay:
    """Images with points in them, such as joints: true ones green, predicted ones orange.

    Edges join points to a skeleton. The title of an image is the mean distance between true and
    predicted points.

    Parameters
    ----------
    X : array-like of shape (n_samples, height, width) or (n_samples, height, width, n_channels)
        Images.
    points_true, points_pred : array-like of shape (n_samples, 2 * n_points) or \
(n_samples, n_points, 2), default=None
        Places ``(x, y)``, or ``x1, y1, x2, y2, ...``; NaN is a point that is missing. One of the
        two may be None.
    point_units : {"share", "pixels"}, default="share"
        Units of the coordinates, as in `ConvNetRegressor`.
    edges : array-like of shape (n_edges, 2), default=None
        Numbers of points that a line joins.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_drawn,)
        The axes, an image on each.
    figure_ : matplotlib Figure
        Their figure.
    true_, predicted_ : list of PathCollection or None
        The points drawn on each, None if there are none.
    errors_ : ndarray of shape (n_drawn,) or None
        Mean distances in pixels, NaN where no point has both places; None if `points_true` or
        `points_pred` is.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.inspection import KeypointsDisplay
    >>> display = KeypointsDisplay.from_predictions(
    ...     np.zeros((1, 9, 9)), [[2, 2, 6, 6]], [[2, 3, 6, 6]],
    ...     point_units="pixels", edges=[(0, 1)],
    ... )
    >>> display.errors_
    array([0.5])
    """

    def __init__(
        self,
        X: ArrayLike,
        points_true: ArrayLike | None = None,
        points_pred: ArrayLike | None = None,
        *,
        point_units: Literal["share", "pixels"] = "share",
        edges: ArrayLike | None = None,
    ) -> None:
        self.X = X
        self.points_true = points_true
        self.points_pred = points_pred
        self.point_units = point_units
        self.edges = edges

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetRegressor,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        edges: ArrayLike | None = None,
        n_samples: int | None = 12,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the points that a fitted regressor predicts.

        Parameters
        ----------
        estimator : ConvNetRegressor
            One with ``target="points"``, fitted.
        X : array-like of shape (n_samples, *sample_shape)
            Images, as for `predict`.
        y : array-like of shape (n_samples, 2 * n_points) or (n_samples, n_points, 2), default=None
            True points, in the estimator's `point_units`.
        edges : array-like of shape (n_edges, 2), default=None
            Numbers of points that a line joins.
        n_samples : int or None, default=12
            Number of images to draw, the first ones; None draws all.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        axes : array-like of matplotlib Axes, default=None
            One for each image that is drawn; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        KeypointsDisplay
        """
        shown, _ = fitted_samples(estimator, X)
        if getattr(estimator, "target", None) != "points":
            raise ValueError(
                "estimator must be a ConvNetRegressor with target='points', got "
                f"{type(estimator).__name__} with target={estimator.target!r}"
            )
        same_length(X=shown, y=y)
        n, units = first_of(n_samples, shown), estimator._fitted["point_units"]
        y = None if y is None else y[:n]
        display = cls(shown[:n], y, estimator.predict(X[:n]), point_units=units, edges=edges)
        return display.plot(n_samples=n_samples, channel=channel, axes=axes, im_kw=im_kw)

    @classmethod
    def from_predictions(
        cls,
        X: ArrayLike,
        points_true: ArrayLike | None = None,
        points_pred: ArrayLike | None = None,
        *,
        point_units: Literal["share", "pixels"] = "share",
        edges: ArrayLike | None = None,
        n_samples: int | None = 12,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw given points.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width) or (n_samples, height, width, n_channels)
            Images.
        points_true : array-like of shape (n_samples, 2 * n_points) or (n_samples, n_points, 2), \
default=None
            Places ``(x, y)``, or ``x1, y1, x2, y2, ...``; NaN is a point that is missing. One of
            the two may be None.
        points_pred : array-like of shape (n_samples, 2 * n_points) or (n_samples, n_points, 2), \
default=None
            Places ``(x, y)``, or ``x1, y1, x2, y2, ...``; NaN is a point that is missing. One of
            the two may be None.
        point_units : {"share", "pixels"}, default="share"
            Units of the coordinates, as in `ConvNetRegressor`.
        edges : array-like of shape (n_edges, 2), default=None
            Numbers of points that a line joins.
        n_samples : int or None, default=12
            Number of images to draw, the first ones; None draws all.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        axes : array-like of matplotlib Axes, default=None
            One for each image that is drawn; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        KeypointsDisplay
        """
        display = cls(X, points_true, points_pred, point_units=point_units, edges=edges)
        return display.plot(n_samples=n_samples, channel=channel, axes=axes, im_kw=im_kw)

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        n_samples: int | None = 12,
        channel: int | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the points.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            One for each image that is drawn; None makes a new figure.
        n_samples : int or None, default=12
            Number of images to draw, the first ones; None draws all.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        KeypointsDisplay

        Raises
        ------
        ValueError
            If there are no points, or shapes do not fit each other.
        ImportError
            If matplotlib is not installed.
        """
        check_units(self.point_units, "point_units")
        given = {"points_true": self.points_true, "points_pred": self.points_pred}
        points = [None if p is None else checked(p, name) for name, p in given.items()]
        there = [p for p in points if p is not None]
        if not there:
            raise ValueError("there are no points to draw: give points_true or points_pred")
        same_length(X=np.asarray(self.X), **dict(zip(given, points, strict=True)))
        if there[0].shape != there[-1].shape:
            raise ValueError(
                f"points_true has {there[0].shape[1]} points a sample, points_pred "
                f"{there[-1].shape[1]}: give as many"
            )
        edges = checked_edges(self.edges, there[0].shape[1])
        samples, self.figure_, self.axes_ = samples_on_grid(
            self, axes, self.X, "image", n_samples, channel, im_kw
        )
        n = len(samples)
        true, predicted = (
            None if p is None else in_pixels(p[:n], self.point_units, samples.size) for p in points
        )
        self.true_ = draw_points(self.axes_, true, edges, TRUE_COLOR, "o", "true")
        self.predicted_ = draw_points(
            self.axes_, predicted, edges, PREDICTED_COLOR, "X", "predicted"
        )
        self.errors_ = None
        if true is not None and predicted is not None:
            self.errors_ = mean_distances(true, predicted)
            for ax, error in zip(self.axes_, self.errors_, strict=True):
                ax.set_title("" if np.isnan(error) else f"{error:.2g} pixels off", fontsize=9)
            if axes is None:
                add_legend(self.figure_, {"true": TRUE_COLOR, "predicted": PREDICTED_COLOR})
        for i, ax in enumerate(self.axes_):
            keep_in_view(ax, samples.size, [p[i] for p in (true, predicted) if p is not None])
        return self


def checked(points, name):
    """Points as an array (n, n_points, 2)."""
    points = numbers(points, name, ndim=(2, 3)).astype(np.float64)
    if points.shape[2:] not in ((), (2,)) or points[0].size % 2:
        raise ValueError(
            f"{name} has shape {points.shape}, expected (n_samples, 2 * n_points), as "
            "x1, y1, x2, y2, ..., or (n_samples, n_points, 2)"
        )
    return points.reshape(len(points), -1, 2)


def checked_edges(edges, n_points):
    """Edges as an array (n_edges, 2), perhaps of none."""
    edges = np.asarray([] if edges is None else edges)
    if edges.size == 0:
        return np.empty((0, 2), int)
    right = edges.ndim == 2 and edges.shape[1] == 2 and edges.dtype.kind in "iu"
    if not right or edges.min() < 0 or edges.max() >= n_points:
        raise ValueError(
            f"edges must be pairs of points, numbered from 0 to {n_points - 1}, got "
            f"{edges.tolist()}"
        )
    return edges


def mean_distances(true, predicted):
    """The mean distance in each image, of the points that have both places; NaN without any."""
    distances = np.linalg.norm(true - predicted, axis=2)
    there = ~np.isnan(distances)
    counts = there.sum(axis=1)
    sums = np.where(there, distances, 0).sum(axis=1)
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)


def draw_points(axes, points, edges, color, marker, label):
    """Draws points and the edges between them on each of the axes."""
    if points is None:
        return [None] * len(axes)
    drawn = []
    for ax, places in zip(axes, points, strict=True):
        for edge in edges:
            ax.plot(*places[edge].T, color=color, linewidth=1.2, alpha=0.7)
        scatter = ax.scatter(
            *places.T, s=22, c=color, marker=marker, edgecolors="white", linewidths=0.5, zorder=3
        )
        scatter.set_label(label)
        drawn.append(scatter)
    return drawn
