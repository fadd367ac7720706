"""`TopClassesDisplay` and `HardestSamplesDisplay`: samples, and the most probable classes below."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from ...estimators.classifier import ConvNetClassifier
from ._pictures import (
    CELL,
    TRUE_COLOR,
    Samples,
    first_of,
    fitted_samples,
    grid_of_axes,
    numbers,
    same_length,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class TopClassesDisplay:
    """Samples, and bars of their most probable classes.

    Bars are grey. Where the true class is known, its bar is green, and the title is the true
    class, in red if another one is more probable.

    Parameters
    ----------
    X : array-like of shape (n_samples, *sample_shape)
        Images, signals or volumes, channels last.
    proba : array-like of shape (n_samples, n_classes)
        Probabilities, as `predict_proba` returns them.
    classes : array-like of shape (n_classes,)
        The labels, in the order of the columns of `proba`.
    y : array-like of shape (n_samples,), default=None
        True labels.
    display_labels : array-like of str of shape (n_classes,), default=None
        What to write for the classes; None writes the labels.
    kind : {"auto", "signal", "image", "volume"}, default="auto"
        What a sample is; "auto" goes by its shape.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_samples, 2)
        The axes of each sample and those of its bars.
    figure_ : matplotlib Figure
        Their figure.
    bars_ : list of BarContainer
        The bars of each sample.
    top_ : ndarray of shape (n_samples, k)
        Columns of `proba`, the most probable first.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.inspection import TopClassesDisplay
    >>> X = np.zeros((2, 8, 8))
    >>> proba = [[0.7, 0.1, 0.2], [0.0, 0.6, 0.4]]
    >>> display = TopClassesDisplay.from_predictions(X, proba, classes=["cat", "dog", "fox"], k=2)
    >>> display.top_
    array([[0, 2],
           [1, 2]])
    """

    #: Whether all samples are needed to know which of them to draw.
    _needs_all = False

    def __init__(
        self,
        X: ArrayLike,
        proba: ArrayLike,
        classes: ArrayLike,
        *,
        y: ArrayLike | None = None,
        display_labels: Sequence[str] | NDArray[Any] | None = None,
        kind: Literal["auto", "signal", "image", "volume"] = "auto",
    ) -> None:
        self.X = X
        self.proba = proba
        self.classes = classes
        self.y = y
        self.display_labels = display_labels
        self.kind = kind

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        k: int = 5,
        n_samples: int | None = 8,
        display_labels: Sequence[str] | NDArray[Any] | None = None,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the most probable classes of samples, as a fitted classifier predicts them.

        Parameters
        ----------
        estimator : ConvNetClassifier
            A fitted one, of one label a sample.
        X : array-like of shape (n_samples, *sample_shape)
            Samples, as for `predict_proba`.
        y : array-like of shape (n_samples,), default=None
            True labels.
        k : int, default=5
            Number of bars, at most one for each class.
        n_samples : int or None, default=8
            Number of samples to draw, the first ones; None draws all.
        display_labels : array-like of str of shape (n_classes,), default=None
            What to write for the classes; None writes the labels.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        axes : array-like of matplotlib Axes of shape (n_samples, 2), default=None
            Axes for each sample and its bars; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        TopClassesDisplay
        """
        shown, kind = fitted_samples(estimator, X)
        same_length(X=shown, y=y)
        n = len(shown) if cls._needs_all else first_of(n_samples, shown)
        proba, y = probabilities_of(estimator, X[:n]), None if y is None else y[:n]
        display = cls._of(shown[:n], y, proba, estimator.classes_, display_labels, kind)
        return display.plot(k=k, n_samples=n_samples, channel=channel, axes=axes, im_kw=im_kw)

    @classmethod
    def _of(cls, X, y, proba, classes, display_labels, kind):
        return cls(X, proba, classes, y=y, display_labels=display_labels, kind=kind)

    @classmethod
    def from_predictions(
        cls,
        X: ArrayLike,
        proba: ArrayLike,
        y: ArrayLike | None = None,
        *,
        classes: ArrayLike | None = None,
        k: int = 5,
        n_samples: int | None = 8,
        display_labels: Sequence[str] | NDArray[Any] | None = None,
        kind: Literal["auto", "signal", "image", "volume"] = "auto",
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw given probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Images, signals or volumes, channels last.
        proba : array-like of shape (n_samples, n_classes)
            Probabilities.
        y : array-like of shape (n_samples,), default=None
            True labels.
        classes : array-like of shape (n_classes,), default=None
            The labels, in the order of the columns of `proba`; None are their numbers, 0, 1, ...
        k : int, default=5
            Number of bars, at most one for each class.
        n_samples : int or None, default=8
            Number of samples to draw, the first ones; None draws all.
        display_labels : array-like of str of shape (n_classes,), default=None
            What to write for the classes; None writes the labels.
        kind : {"auto", "signal", "image", "volume"}, default="auto"
            What a sample is; "auto" goes by its shape.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        axes : array-like of matplotlib Axes of shape (n_samples, 2), default=None
            Axes for each sample and its bars; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        TopClassesDisplay
        """
        display = cls._of(X, y, proba, numbered(classes, proba), display_labels, kind)
        return display.plot(k=k, n_samples=n_samples, channel=channel, axes=axes, im_kw=im_kw)

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        k: int = 5,
        n_samples: int | None = 8,
        channel: int | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the samples and their bars.

        Parameters
        ----------
        axes : array-like of matplotlib Axes of shape (n_samples, 2), default=None
            Axes for each sample and its bars; None makes a new figure.
        k : int, default=5
            Number of bars, at most one for each class.
        n_samples : int or None, default=8
            Number of samples to draw, the first ones; None draws all.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        TopClassesDisplay

        Raises
        ------
        ValueError
            If shapes do not fit each other, or a label is none of the classes.
        ImportError
            If matplotlib is not installed.
        """
        proba, names, codes = self._checked()
        order = self._order(proba, codes)
        order = order[: first_of(n_samples, order)]
        check_scalar(k, "k", Integral, min_val=1)
        samples = Samples(np.asarray(self.X)[order], self.kind, channel, im_kw)
        proba, codes = proba[order], None if codes is None else codes[order]
        self.top_ = np.argsort(-proba, axis=1, kind="stable")[:, :k]
        self.figure_, self.axes_ = pairs_of_axes(self, axes, len(order), self.top_.shape[1])
        self.bars_ = []
        for i, (ax, below) in enumerate(self.axes_):
            samples.draw(ax, i)
            true = None if codes is None else codes[i]
            if true is not None:
                wrong = true != self.top_[i, 0]
                ax.set_title(
                    shortened(names[true]), fontsize=9, color="tab:red" if wrong else "black"
                )
            self.bars_.append(draw_bars(below, proba[i, self.top_[i]], self.top_[i], names, true))
        return self

    def _checked(self):
        """Probabilities, names of the classes and codes of the true labels (or None), checked."""
        if isinstance(self.proba, list) and np.ndim(self.proba[0]) == 2:
            raise ValueError(
                "proba is a list, of several columns of labels: give the array of one column"
            )
        proba = numbers(self.proba, "proba", ndim=2)
        same_length(X=np.asarray(self.X), proba=proba, y=self.y)
        names = self.classes if self.display_labels is None else self.display_labels
        for name, values in (("classes", self.classes), ("display_labels", names)):
            if len(values) != proba.shape[1]:
                raise ValueError(
                    f"{name} has {len(values)} entries, but proba has {proba.shape[1]} columns: "
                    "give one for each"
                )
        names = [str(name) for name in names]
        return proba, names, None if self.y is None else codes_of(self.y, self.classes)

    def _order(self, proba, codes):
        """Which samples to draw, one after the other."""
        return np.arange(len(proba))


class HardestSamplesDisplay(TopClassesDisplay):
    """The samples that a classifier finds hardest, and its most probable classes.

    First come those that are taken for another class, the least probable true class first; then
    the others, likewise.

    Parameters
    ----------
    X : array-like of shape (n_samples, *sample_shape)
        See `TopClassesDisplay`; `y` must be given.
    proba : array-like of shape (n_samples, n_classes)
        See `TopClassesDisplay`; `y` must be given.
    classes : array-like of shape (n_classes,)
        See `TopClassesDisplay`; `y` must be given.
    y : array-like of shape (n_samples,), default=None
        See `TopClassesDisplay`; `y` must be given.
    display_labels : array-like of str of shape (n_classes,), default=None
        See `TopClassesDisplay`; `y` must be given.
    kind : {"auto", "signal", "image", "volume"}, default="auto"
        See `TopClassesDisplay`; `y` must be given.

    Attributes
    ----------
    indices_ : ndarray of shape (n_drawn,)
        Which samples were drawn.
    axes_, figure_, bars_, top_
        See `TopClassesDisplay`, in the order of `indices_`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.inspection import HardestSamplesDisplay
    >>> X, y = np.zeros((3, 8, 8)), [0, 0, 1]
    >>> proba = [[0.9, 0.1], [0.3, 0.7], [0.4, 0.6]]
    >>> HardestSamplesDisplay.from_predictions(X, y, proba, n_samples=2).indices_
    array([1, 2])
    """

    _needs_all = True

    @classmethod
    def from_estimator(  # type: ignore[override]  # y is needed
        cls,
        estimator: ConvNetClassifier,
        X: ArrayLike,
        y: ArrayLike,
        *,
        k: int = 5,
        n_samples: int | None = 8,
        display_labels: Sequence[str] | NDArray[Any] | None = None,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the samples that a fitted classifier finds hardest.

        Parameters
        ----------
        estimator : ConvNetClassifier
            A fitted one, of one label a sample.
        X : array-like of shape (n_samples, *sample_shape)
            Samples, as for `predict_proba`.
        y : array-like of shape (n_samples,)
            True labels.
        k : int, default=5
            Number of bars, at most one for each class.
        n_samples : int or None, default=8
            Number of samples to draw, the hardest ones; None draws all.
        display_labels : array-like of str of shape (n_classes,), default=None
            What to write for the classes; None writes the labels.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        axes : array-like of matplotlib Axes of shape (n_samples, 2), default=None
            Axes for each sample and its bars; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        HardestSamplesDisplay
        """
        return super().from_estimator(
            estimator,
            X,
            y,
            k=k,
            n_samples=n_samples,
            display_labels=display_labels,
            channel=channel,
            axes=axes,
            im_kw=im_kw,
        )

    @classmethod
    def from_predictions(  # type: ignore[override]
        cls,
        X: ArrayLike,
        y: ArrayLike,
        proba: ArrayLike,
        *,
        classes: ArrayLike | None = None,
        k: int = 5,
        n_samples: int | None = 8,
        display_labels: Sequence[str] | NDArray[Any] | None = None,
        kind: Literal["auto", "signal", "image", "volume"] = "auto",
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the hardest samples by given probabilities.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Images, signals or volumes, channels last.
        y : array-like of shape (n_samples,)
            True labels.
        proba : array-like of shape (n_samples, n_classes)
            Probabilities.
        classes : array-like of shape (n_classes,), default=None
            The labels, in the order of the columns of `proba`; None are their numbers, 0, 1, ...
        k : int, default=5
            Number of bars, at most one for each class.
        n_samples : int or None, default=8
            Number of samples to draw, the hardest ones; None draws all.
        display_labels : array-like of str of shape (n_classes,), default=None
            What to write for the classes; None writes the labels.
        kind : {"auto", "signal", "image", "volume"}, default="auto"
            What a sample is; "auto" goes by its shape.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        axes : array-like of matplotlib Axes of shape (n_samples, 2), default=None
            Axes for each sample and its bars; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        HardestSamplesDisplay
        """
        display = cls._of(X, y, proba, numbered(classes, proba), display_labels, kind)
        return display.plot(k=k, n_samples=n_samples, channel=channel, axes=axes, im_kw=im_kw)

    def _order(self, proba, codes):
        if codes is None:
            raise ValueError("y is None, but hard samples are known by their true labels: give y")
        self.indices_ = hardest(proba, codes)
        return self.indices_

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        k: int = 5,
        n_samples: int | None = 8,
        channel: int | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the samples and their bars.

        Parameters
        ----------
        axes : array-like of matplotlib Axes of shape (n_samples, 2), default=None
            Axes for each sample and its bars; None makes a new figure.
        k : int, default=5
            Number of bars, at most one for each class.
        n_samples : int or None, default=8
            Number of samples to draw, the hardest ones; None draws all.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        HardestSamplesDisplay
        """
        super().plot(axes, k=k, n_samples=n_samples, channel=channel, im_kw=im_kw)
        self.indices_ = self.indices_[: len(self.axes_)]
        return self


def hardest(proba, codes):
    """All samples, the hardest first: those taken for another class, then by the probability of
    the true class."""
    right = proba.argmax(axis=1) == codes
    return np.lexsort((proba[np.arange(len(proba)), codes], right))


def numbered(classes, proba):
    """The classes, or the numbers of the columns."""
    return np.arange(np.shape(proba)[-1]) if classes is None else np.asarray(classes)


def probabilities_of(estimator, X):
    """`predict_proba` of a classifier with one label a sample."""
    if not hasattr(estimator, "predict_proba"):
        raise TypeError(
            "estimator must be a classifier, which has probabilities, got "
            f"{type(estimator).__name__}"
        )
    return estimator.predict_proba(X)


def codes_of(y, classes):
    """Positions of labels in the classes; ValueError for one that is not there."""
    y, classes = np.asarray(y), np.asarray(classes)
    if y.ndim != 1:
        raise ValueError(f"y must hold one label a sample, got shape {y.shape}")
    positions = {label: i for i, label in enumerate(classes.tolist())}
    unknown = [label for label in y.tolist() if label not in positions]
    if unknown:
        raise ValueError(
            f"y holds the label {unknown[0]!r}, which is none of the classes {classes.tolist()}"
        )
    return np.array([positions[label] for label in y.tolist()])


def pairs_of_axes(display, axes, n, n_bars):
    """Axes of shape (n, 2): for each sample, and below it for its bars."""
    if axes is not None:
        return grid_of_axes(display, axes, (n, 2))
    rows, columns = wrapped(n, 4)
    heights = [CELL, 0.2 * n_bars + 0.2] * rows
    figure, axes = grid_of_axes(
        display,
        None,
        (2 * rows, columns),
        (CELL + 0.4, sum(heights[:2]) / 2),
        height_ratios=heights,
    )
    return figure, np.stack([axes[::2].ravel(), axes[1::2].ravel()], axis=1)[:n]


def draw_bars(ax, values, which, names, true):
    """Bars of probabilities, the largest on top; that of the true class is green."""
    ax.set_axis_on()
    colors = [TRUE_COLOR if i == true else "tab:gray" for i in which]
    bars = ax.barh(range(len(which)), values, color=colors)
    ax.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=7)
    ax.set_yticks(range(len(which)), [shortened(names[i]) for i in which], fontsize=7)
    ax.set(xlim=(0, 1.35), xticks=[])
    ax.tick_params(left=False)
    ax.invert_yaxis()
    ax.spines[:].set_visible(False)
    return bars


def shortened(name, most=16):
    """A name that fits beside a bar, or above a sample."""
    return name if len(name) <= most else name[: most - 1] + "…"
