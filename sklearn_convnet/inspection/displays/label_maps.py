"""`LabelMapsDisplay`."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from ...estimators.classifier import ConvNetClassifier
from ._pictures import (
    CELL,
    Samples,
    colors_of,
    first_of,
    fitted_samples,
    flat_map,
    grid_of_axes,
    legend_beside,
    numbers,
    same_length,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colour of pixels whose label is ignored.
IGNORED_COLOR = (0.6, 0.6, 0.6)


class LabelMapsDisplay:
    """Samples with their maps of labels over them: true ones, predicted ones, or both.

    A row has the sample, its true and its predicted labels. Each class has a colour, and the legend
    names those that occur. Where labels are ignored it is grey. The title of a prediction is the
    share of pixels that are right, of those that are not ignored.

    Parameters
    ----------
    X : array-like of shape (n_samples, *sample_shape)
        Images, signals or volumes, channels last.
    maps_true, maps_pred : array-like of shape (n_samples, *map_size), default=None
        Labels, one for each pixel, perhaps with a last axis of length 1. One of the two may be
        None.
    classes : array-like of shape (n_classes,), default=None
        All labels; None are those that occur.
    ignore_label : label, default=None
        The label of pixels that do not count.
    display_labels : array-like of str of shape (n_classes,), default=None
        What the legend says for the classes; None are the labels.
    kind : {"auto", "signal", "image", "volume"}, default="auto"
        What a sample is; "auto" goes by the maps, which have an axis for each of its axes.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_drawn, 2) or (n_drawn, 3)
        The axes: of each sample, of its true labels and of its predicted ones.
    figure_ : matplotlib Figure
        Their figure.
    overlays_ : ndarray of AxesImage of shape (n_drawn, 1) or (n_drawn, 2)
        The maps.
    accuracies_ : ndarray of shape (n_drawn,) or None
        Share of right pixels of each sample, NaN where all are ignored; None if `maps_true` or
        `maps_pred` is.
    legend_ : matplotlib Legend
        The legend.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.inspection import LabelMapsDisplay
    >>> X = np.zeros((1, 2, 2))
    >>> true, predicted = [[["sea", "sea"], ["sky", "?"]]], [[["sea", "sky"], ["sky", "sky"]]]
    >>> display = LabelMapsDisplay.from_predictions(X, true, predicted, ignore_label="?")
    >>> display.accuracies_.round(2)
    array([0.67])
    >>> [text.get_text() for text in display.legend_.get_texts()]
    ['sea', 'sky', 'ignored']
    """

    def __init__(
        self,
        X: ArrayLike,
        maps_true: ArrayLike | None = None,
        maps_pred: ArrayLike | None = None,
        *,
        classes: ArrayLike | None = None,
        ignore_label: Any = None,
        display_labels: Sequence[str] | NDArray[Any] | None = None,
        kind: Literal["auto", "signal", "image", "volume"] = "auto",
    ) -> None:
        self.X = X
        self.maps_true = maps_true
        self.maps_pred = maps_pred
        self.classes = classes
        self.ignore_label = ignore_label
        self.display_labels = display_labels
        self.kind = kind

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        display_labels: Sequence[str] | NDArray[Any] | None = None,
        n_samples: int | None = 4,
        alpha: float = 0.5,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the maps that a fitted classifier predicts.

        Parameters
        ----------
        estimator : ConvNetClassifier
            One that was fitted with maps of labels.
        X : array-like of shape (n_samples, *sample_shape)
            Samples, as for `predict`.
        y : array-like of shape (n_samples, *map_size), default=None
            True labels. Pixels of the estimator's `ignore_label` do not count.
        display_labels : array-like of str of shape (n_classes,), default=None
            What the legend says for the classes; None are the labels.
        n_samples : int or None, default=4
            Number of samples to draw, the first ones; None draws all.
        alpha : float, default=0.5
            Opacity of the maps over the samples, from 0 to 1.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        axes : array-like of matplotlib Axes, default=None
            As many as `axes_` has; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow` for the samples.

        Returns
        -------
        LabelMapsDisplay
        """
        shown, kind = fitted_samples(estimator, X)
        if not hasattr(estimator, "classes_") or estimator._target.map_size is None:
            raise ValueError(
                "estimator must be a ConvNetClassifier that was fitted with maps of labels: "
                f"this {type(estimator).__name__} was not"
            )
        same_length(X=shown, y=y)
        n = first_of(n_samples, shown)
        display = cls(
            shown[:n],
            None if y is None else np.asarray(y)[:n],
            estimator.predict(X[:n]),
            classes=estimator.classes_,
            ignore_label=estimator._fitted["ignore_label"],
            display_labels=display_labels,
            kind=kind,
        )
        return display.plot(
            n_samples=n_samples, alpha=alpha, channel=channel, axes=axes, im_kw=im_kw
        )

    @classmethod
    def from_predictions(
        cls,
        X: ArrayLike,
        maps_true: ArrayLike | None = None,
        maps_pred: ArrayLike | None = None,
        *,
        classes: ArrayLike | None = None,
        ignore_label: Any = None,
        display_labels: Sequence[str] | NDArray[Any] | None = None,
        kind: Literal["auto", "signal", "image", "volume"] = "auto",
        n_samples: int | None = 4,
        alpha: float = 0.5,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw given maps.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Images, signals or volumes, channels last.
        maps_true : array-like of shape (n_samples, *map_size), default=None
            Labels, one for each pixel, perhaps with a last axis of length 1. One of the two may be
            None.
        maps_pred : array-like of shape (n_samples, *map_size), default=None
            Labels, one for each pixel, perhaps with a last axis of length 1. One of the two may be
            None.
        classes : array-like of shape (n_classes,), default=None
            All labels; None are those that occur.
        ignore_label : label, default=None
            The label of pixels that do not count.
        display_labels : array-like of str of shape (n_classes,), default=None
            What the legend says for the classes; None are the labels.
        kind : {"auto", "signal", "image", "volume"}, default="auto"
            What a sample is; "auto" goes by the maps, which have an axis for each of its axes.
        n_samples : int or None, default=4
            Number of samples to draw, the first ones; None draws all.
        alpha : float, default=0.5
            Opacity of the maps over the samples, from 0 to 1.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        axes : array-like of matplotlib Axes, default=None
            As many as `axes_` has; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow` for the samples.

        Returns
        -------
        LabelMapsDisplay
        """
        display = cls(
            X,
            maps_true,
            maps_pred,
            classes=classes,
            ignore_label=ignore_label,
            display_labels=display_labels,
            kind=kind,
        )
        return display.plot(
            n_samples=n_samples, alpha=alpha, channel=channel, axes=axes, im_kw=im_kw
        )

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        n_samples: int | None = 4,
        alpha: float = 0.5,
        channel: int | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the maps over the samples.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            As many as `axes_` has; None makes a new figure.
        n_samples : int or None, default=4
            Number of samples to draw, the first ones; None draws all.
        alpha : float, default=0.5
            Opacity of the maps over the samples, from 0 to 1.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow` for the samples.

        Returns
        -------
        LabelMapsDisplay

        Raises
        ------
        ValueError
            If there are no maps, shapes do not fit each other, or a label is none of the classes.
        ImportError
            If matplotlib is not installed.
        """
        check_scalar(alpha, "alpha", Real, min_val=0, max_val=1)
        X = numbers(self.X, "X")
        n = first_of(n_samples, X)
        given = {"maps_true": self.maps_true, "maps_pred": self.maps_pred}
        maps = {name: np.asarray(m) for name, m in given.items() if m is not None}
        if not maps:
            raise ValueError("there are no maps to draw: give maps_true or maps_pred")
        same_length(X=X, **maps)
        kind = self.kind if self.kind != "auto" else kind_by_maps(X, maps)
        samples = Samples(X[:n], kind, channel, im_kw)
        maps = {name: of_size(m[:n], samples.size, name) for name, m in maps.items()}
        classes = self._classes(maps)
        codes = {name: codes_of_maps(m, classes, self.ignore_label) for name, m in maps.items()}
        width = 2.5 if kind == "signal" else CELL
        self.figure_, self.axes_ = grid_of_axes(self, axes, (n, 1 + len(codes)), (width, CELL))
        colors = colors_of(len(classes))
        self.overlays_ = np.empty((n, len(codes)), dtype=object)
        for i, row in enumerate(self.axes_):
            for ax in row:
                samples.draw(ax, i)
            for j, (ax, values) in enumerate(zip(row[1:], codes.values(), strict=True)):
                self.overlays_[i, j] = draw_label_map(ax, values[i], colors, kind, alpha)
        for ax, name in zip(self.axes_[0, 1:], codes, strict=True):
            ax.set_title({"maps_true": "true", "maps_pred": "predicted"}[name], fontsize=9)
        self._score(codes)
        names = classes if self.display_labels is None else self.display_labels
        self.legend_ = legend_of_classes(self.figure_, codes, names, colors)
        return self

    def _classes(self, maps):
        """The classes, those that are given or those that occur, checked."""
        labels = self.classes
        if labels is None:
            labels = np.unique(np.concatenate([m.ravel() for m in maps.values()]))
        classes = [label for label in np.asarray(labels).tolist() if label != self.ignore_label]
        names = self.display_labels
        if names is not None and len(names) != len(classes):
            raise ValueError(
                f"display_labels has {len(names)} entries, but there are {len(classes)} classes: "
                "give one for each"
            )
        return np.array(classes)

    def _score(self, codes):
        self.accuracies_ = None
        if len(codes) < 2:
            return
        true, predicted = (c.reshape(len(c), -1) for c in codes.values())
        counts = (true >= 0).sum(axis=1)
        right = ((true == predicted) & (true >= 0)).sum(axis=1)
        accuracies = np.divide(right, counts, out=np.full(len(true), np.nan), where=counts > 0)
        self.accuracies_ = accuracies
        for i, ax in enumerate(self.axes_[:, -1]):
            head = "predicted, " if i == 0 else ""
            if counts[i]:
                ax.set_title(f"{head}{accuracies[i]:.0%} right", fontsize=9)


def kind_by_maps(X, maps):
    """The kind of a sample, by the number of axes of its map, without a last one of length 1."""
    (first, *_) = maps.values()
    n_axes = first.ndim - 1
    if n_axes > 1 and first.shape[-1] == 1 and X.ndim == first.ndim:
        n_axes -= first.shape[:-1] == X.shape[:-1]
    kinds = {1: "signal", 2: "image", 3: "volume"}
    if n_axes not in kinds:
        raise ValueError(
            f"maps must have one to three axes besides that of samples, got shape {first.shape}"
        )
    return kinds[n_axes]


def of_size(maps, size, name):
    """Maps of the size of the samples, without a last axis of length 1."""
    if maps.shape[1:] == (*size, 1):
        maps = maps[..., 0]
    if maps.shape[1:] != tuple(size):
        raise ValueError(
            f"{name} has maps of shape {maps.shape[1:]}, but samples are of size {tuple(size)}"
        )
    return maps


def codes_of_maps(maps, classes, ignored=None):
    """Positions of labels in the classes, -1 where they are ignored."""
    labels, inverse = np.unique(maps, return_inverse=True)
    positions = {label: i for i, label in enumerate(classes.tolist())} | {ignored: -1}
    unknown = [label for label in labels.tolist() if label not in positions]
    if unknown:
        raise ValueError(
            f"the maps hold the label {unknown[0]!r}, which is none of the classes "
            f"{classes.tolist()}"
        )
    codes = np.array([positions[label] for label in labels.tolist()])
    return codes[inverse].reshape(maps.shape)


def draw_label_map(ax, codes, colors, kind, alpha):
    """Draws codes in the colours of their classes over a sample; -1 is grey."""
    flat = flat_map(codes.astype(np.float64), kind)
    there = np.isfinite(flat)
    palette = np.concatenate([colors, [IGNORED_COLOR]])  # its last is that of -1
    picture = np.zeros((*flat.shape, 4))
    picture[there, :3] = palette[flat[there].astype(int)]
    picture[there, 3] = alpha
    if kind != "signal":
        return ax.imshow(picture, interpolation="nearest")
    low, high = ax.get_ylim()
    extent = (-0.5, len(codes) - 0.5, low, high)
    image = ax.imshow(picture[np.newaxis], extent=extent, aspect="auto", zorder=0)
    ax.set(xlim=extent[:2], ylim=extent[2:])
    return image


def legend_of_classes(figure, codes, names, colors):
    """A legend of the classes that occur, those of most pixels first where there are too many."""
    from matplotlib.patches import Patch

    counts = np.bincount(np.concatenate([c.ravel() for c in codes.values()]) + 1)
    present = np.flatnonzero(counts[1:])
    if len(present) > 20:
        present = present[np.argsort(-counts[1:][present], kind="stable")]
    handles = [Patch(color=colors[i]) for i in present]
    labels = [names[i] for i in present]
    if counts[0]:
        handles, labels = [*handles, Patch(color=IGNORED_COLOR)], [*labels, "ignored"]
    return legend_beside(figure, handles, labels)
