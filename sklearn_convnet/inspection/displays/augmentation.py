"""`AugmentationDisplay`."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state, check_scalar

from ..._typing import RandomState
from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ...estimators.samples import Given
from ...estimators.targets.boxes import BoxTarget, corners_of
from ...estimators.targets.maps import LabelMapTarget
from ...estimators.targets.values import PointTarget
from ._begin import augmented_batches
from ._pictures import (
    CELL,
    TRUE_COLOR,
    Samples,
    colors_of,
    grid_of_axes,
    in_pixels,
    keep_in_view,
    kind_of_samples,
)
from .boxes import outlines
from .keypoints import draw_points
from .label_maps import draw_label_map

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class AugmentationDisplay:
    """Samples as training sees them: as they are, and as augmentation makes them.

    A row has a sample as it is, then as it comes from the estimator's `augmentation` and
    `multi_crop`, each time drawn anew. What lies in the image and moves with it is drawn as well:
    boxes, points and maps of labels. A mixture has the boxes and points of the sample itself, and
    maps as they are pasted. All are drawn in the range of values of the samples as they are.

    Parameters
    ----------
    batches : list of array-like of shape (n_samples, *sample_shape)
        The samples as they are, then changed ones.
    corners : list of array-like of shape (n_samples, 4, 2), default=None
        Corners of a box in each, in pixels.
    points : list of array-like of shape (n_samples, n_points, 2), default=None
        Points in each, in pixels.
    label_maps : list of array-like of shape (n_samples, *map_size), default=None
        Maps of codes, from 0, and -1 for what is ignored.
    kind : {"auto", "signal", "image", "volume"}, default="auto"
        What a sample is; "auto" goes by its shape.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_samples, 1 + n_draws)
        The axes, a sample in each row.
    figure_ : matplotlib Figure
        Their figure.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.augmentation import RandomAffine
    >>> from sklearn_convnet.inspection import AugmentationDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(augmentation=RandomAffine(rotation=(-20, 20)))
    >>> display = AugmentationDisplay.from_estimator(
    ...     clf, X.reshape(-1, 8, 8), n_samples=2, n_draws=3, random_state=0)
    >>> display.axes_.shape
    (2, 4)
    """

    def __init__(
        self,
        batches: Sequence[ArrayLike],
        *,
        corners: Sequence[ArrayLike] | None = None,
        points: Sequence[ArrayLike] | None = None,
        label_maps: Sequence[ArrayLike] | None = None,
        kind: Literal["auto", "signal", "image", "volume"] = "auto",
    ) -> None:
        self.batches = batches
        self.corners = corners
        self.points = points
        self.label_maps = label_maps
        self.kind = kind

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier | ConvNetRegressor,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        boxes: ArrayLike | None = None,
        features: ArrayLike | None = None,
        n_samples: int = 4,
        n_draws: int = 5,
        random_state: RandomState = None,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw what training would see.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            Fitted or not; it stays as it is.
        X : array-like of shape (n_samples, *sample_shape)
            Training samples, as for `fit`.
        y : array-like, default=None
            What `fit` is given. Points and maps of labels are drawn. None draws X alone.
        boxes : array-like of shape (n_samples, 8) or (n_samples, 4), default=None
            Boxes, as for `fit` of a classifier.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside the samples, as for `fit`; they are not drawn.
        n_samples : int, default=4
            Number of samples to draw, the first ones.
        n_draws : int, default=5
            Number of changed versions of each.
        random_state : int, RandomState or None, default=None
            The same one draws the same.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        axes : array-like of matplotlib Axes, default=None
            As many as `axes_` has; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        AugmentationDisplay

        Raises
        ------
        ValueError
            If the estimator has neither augmentation nor crops, or X and y do not fit it.
        """
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        check_scalar(n_draws, "n_draws", Integral, min_val=1)
        if boxes is not None and y is None:
            raise ValueError("boxes are given without y: give the labels beside them")
        twin, batches = augmented_batches(
            estimator,
            Given(X, y, None, boxes, features),
            n_samples,
            n_draws,
            check_random_state(random_state),
        )
        moved = moved_parts(twin, batches)
        display = cls([X for X, _ in batches], kind=kind_of_samples(twin), **moved)
        return display.plot(channel=channel, axes=axes, im_kw=im_kw)

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        channel: int | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the samples.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            As many as `axes_` has; None makes a new figure.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        AugmentationDisplay

        Raises
        ------
        ValueError
            If there are no samples, or shapes do not fit each other.
        ImportError
            If matplotlib is not installed.
        """
        columns = [Samples(X, self.kind, channel, im_kw, "batches") for X in self.batches]
        n = len(columns[0])
        size = (2.5 if columns[0].kind == "signal" else CELL - 0.3, CELL - 0.3)
        self.figure_, self.axes_ = grid_of_axes(self, axes, (n, len(columns)), size)
        for j, samples in enumerate(columns):
            samples.limits = columns[0].limits
            for i, ax in enumerate(self.axes_[:, j]):
                samples.draw(ax, i)
            self._draw_parts(self.axes_[:, j], j, samples)
        self.axes_[0, 0].set_title("as it is", fontsize=9)
        return self

    def _draw_parts(self, axes, j, samples):
        """Draws what moves with the samples of column `j`."""
        if self.label_maps is not None:
            colors = colors_of(1 + max(np.max(maps) for maps in self.label_maps))
            for ax, codes in zip(axes, self.label_maps[j], strict=True):
                draw_label_map(ax, np.asarray(codes), colors, samples.kind, 0.5)
        if self.corners is not None:
            outlines(axes, self.corners[j], TRUE_COLOR, "box")
        if self.points is not None:
            draw_points(axes, self.points[j], (), TRUE_COLOR, "o", "points")
        for places in (self.corners, self.points):
            if places is not None:
                for ax, inside in zip(axes, places[j], strict=True):
                    keep_in_view(ax, samples.size, [inside])


def moved_parts(twin, batches):
    """The parts of targets with a place in the images: corners, points or label maps, by name."""
    target = twin._target
    encoded = [t for _, t in batches]
    sizes = [X.shape[1:3] for X, _ in batches]
    if isinstance(target, BoxTarget) and target.image_size is not None:
        shares = [corners_of(t[:, 1:]) for t in encoded]
        return {"corners": all_in_pixels(shares, "share", sizes)}
    if isinstance(target, PointTarget) and target.n_axes == 2:
        points = [target.decode(t).reshape(len(t), -1, 2) for t in encoded]
        return {"points": all_in_pixels(points, target.units, sizes)}
    return {"label_maps": encoded} if isinstance(target, LabelMapTarget) else {}


def all_in_pixels(places, units, sizes):
    """Places in the images of each batch, in pixels."""
    return [in_pixels(p, units, size) for p, size in zip(places, sizes, strict=True)]
