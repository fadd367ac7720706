"""`BoxesDisplay`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...estimators.classifier import ConvNetClassifier
from ...estimators.targets.boxes import corners_of
from ...metrics import box_iou
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


class BoxesDisplay:
    """Images with their boxes, true ones in green and predicted ones in orange.

    The title of an image is the overlap of the two, their intersection over union.

    Parameters
    ----------
    X : array-like of shape (n_samples, height, width) or (n_samples, height, width, n_channels)
        Images.
    boxes_true, boxes_pred : array-like of shape (n_samples, 8) or (n_samples, 4), default=None
        Four corners ``x1, y1, ..., x4, y4`` going round, or two opposite ones ``x1, y1, x2, y2``.
        A row of NaN is a missing box. One of the two may be None.
    box_units : {"share", "pixels"}, default="share"
        Units of the coordinates, as in `ConvNetClassifier`.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_drawn,)
        The axes, an image on each.
    figure_ : matplotlib Figure
        Their figure.
    true_, predicted_ : list of matplotlib Polygon
        The outlines drawn, None where there is none.
    iou_ : ndarray of shape (n_drawn,) or None
        Overlaps, NaN where a box is missing; None if `boxes_true` or `boxes_pred` is.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.inspection import BoxesDisplay
    >>> X = np.zeros((1, 20, 20))
    >>> display = BoxesDisplay.from_predictions(X, [[0, 0, 1, 1]], [[0, 0, 1, 0.5]])
    >>> display.iou_
    array([0.5])
    """

    def __init__(
        self,
        X: ArrayLike,
        boxes_true: ArrayLike | None = None,
        boxes_pred: ArrayLike | None = None,
        *,
        box_units: Literal["share", "pixels"] = "share",
    ) -> None:
        self.X = X
        self.boxes_true = boxes_true
        self.boxes_pred = boxes_pred
        self.box_units = box_units

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier,
        X: ArrayLike,
        boxes: ArrayLike | None = None,
        *,
        n_samples: int | None = 12,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the boxes that a fitted classifier predicts.

        Parameters
        ----------
        estimator : ConvNetClassifier
            One that was fitted with boxes.
        X : array-like of shape (n_samples, *sample_shape)
            Images, as for `predict_box`.
        boxes : array-like of shape (n_samples, 8) or (n_samples, 4), default=None
            True boxes, as they are given to `fit`, in the estimator's `box_units`.
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
        BoxesDisplay
        """
        shown, _ = fitted_samples(estimator, X)
        if not hasattr(estimator, "predict_box"):
            raise TypeError(
                "estimator must be a ConvNetClassifier that was fitted with boxes, got "
                f"{type(estimator).__name__}; KeypointsDisplay draws points"
            )
        same_length(X=shown, boxes=boxes)
        n, units = first_of(n_samples, shown), estimator._fitted["box_units"]
        boxes = None if boxes is None else boxes[:n]
        display = cls(shown[:n], boxes, estimator.predict_box(X[:n]), box_units=units)
        return display.plot(n_samples=n_samples, channel=channel, axes=axes, im_kw=im_kw)

    @classmethod
    def from_predictions(
        cls,
        X: ArrayLike,
        boxes_true: ArrayLike | None = None,
        boxes_pred: ArrayLike | None = None,
        *,
        box_units: Literal["share", "pixels"] = "share",
        n_samples: int | None = 12,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw given boxes.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width) or (n_samples, height, width, n_channels)
            Images.
        boxes_true : array-like of shape (n_samples, 8) or (n_samples, 4), default=None
            Four corners ``x1, y1, ..., x4, y4`` going round, or two opposite ones ``x1, y1, x2,
            y2``. A row of NaN is a missing box. One of the two may be None.
        boxes_pred : array-like of shape (n_samples, 8) or (n_samples, 4), default=None
            Four corners ``x1, y1, ..., x4, y4`` going round, or two opposite ones ``x1, y1, x2,
            y2``. A row of NaN is a missing box. One of the two may be None.
        box_units : {"share", "pixels"}, default="share"
            Units of the coordinates, as in `ConvNetClassifier`.
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
        BoxesDisplay
        """
        display = cls(X, boxes_true, boxes_pred, box_units=box_units)
        return display.plot(n_samples=n_samples, channel=channel, axes=axes, im_kw=im_kw)

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        n_samples: int | None = 12,
        channel: int | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the boxes.

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
        BoxesDisplay

        Raises
        ------
        ValueError
            If there are no boxes, or shapes do not fit each other.
        ImportError
            If matplotlib is not installed.
        """
        check_units(self.box_units, "box_units")
        given = {"boxes_true": self.boxes_true, "boxes_pred": self.boxes_pred}
        boxes = [None if b is None else checked(b, name) for name, b in given.items()]
        if all(b is None for b in boxes):
            raise ValueError("there are no boxes to draw: give boxes_true or boxes_pred")
        same_length(X=np.asarray(self.X), **dict(zip(given, boxes, strict=True)))
        samples, self.figure_, self.axes_ = samples_on_grid(
            self, axes, self.X, "image", n_samples, channel, im_kw
        )
        n = len(samples)
        corners = [
            None if b is None else in_pixels(corners_of(b[:n]), self.box_units, samples.size)
            for b in boxes
        ]
        self.true_ = outlines(self.axes_, corners[0], TRUE_COLOR, "true")
        self.predicted_ = outlines(self.axes_, corners[1], PREDICTED_COLOR, "predicted", "--")
        self.iou_ = None
        if corners[0] is not None and corners[1] is not None:
            self.iou_ = box_iou(*(c.reshape(n, 8) for c in corners))
            for ax, iou in zip(self.axes_, self.iou_, strict=True):
                ax.set_title("no box" if np.isnan(iou) else f"IoU {iou:.2f}", fontsize=9)
            if axes is None:
                add_legend(self.figure_, {"true": TRUE_COLOR, "predicted": PREDICTED_COLOR})
        for i, ax in enumerate(self.axes_):
            keep_in_view(ax, samples.size, [c[i] for c in corners if c is not None])
        return self


def checked(boxes, name):
    """Boxes as an array (n, 4) or (n, 8)."""
    boxes = numbers(boxes, name, ndim=2).astype(np.float64)
    if boxes.shape[1] not in (4, 8):
        raise ValueError(
            f"{name} has {boxes.shape[1]} columns, expected 4, as x1, y1, x2, y2, or 8, as "
            "x1, y1, ..., x4, y4"
        )
    return boxes


def outlines(axes, corners, color, label, style="-"):
    """Draws a box on each of the axes; None where there is none."""
    from matplotlib.patches import Polygon

    drawn = [None] * len(axes)
    for i, ax in enumerate(axes):
        if corners is not None and np.isfinite(corners[i]).all():
            polygon = Polygon(
                corners[i], fill=False, edgecolor=color, linestyle=style, linewidth=1.8, label=label
            )
            drawn[i] = ax.add_patch(polygon)
    return drawn
