"""`HistoryDisplay`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ._pictures import check_estimator_kind, colors_of, grid_of_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = ("loss", "score", "learning_rate")


class HistoryDisplay:
    """The curves of one fit or several: loss, score and learning rate, epoch by epoch.

    Each panel has a kind of curves; a fit has the same colour in all of them. Curves of training
    are drawn through, those of validation data dashed.

    Parameters
    ----------
    histories : dict of str to dict
        What `history_` holds, by the name of the fit.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_panels,)
        The axes of the panels.
    figure_ : matplotlib Figure
        Their figure.
    lines_ : dict
        The curves, by name of the fit and of the curve: ``lines_["fit"]["validation_loss"]``.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.inspection import HistoryDisplay
    >>> from sklearn_convnet.layers import Dense
    >>> X, y = np.eye(20)[:, :, None], np.arange(20) % 2
    >>> fits = {
    ...     f"{units} units": ConvNetClassifier(
    ...         [Dense(units)], max_iter=5, n_iter_no_change=5, random_state=0
    ...     ).fit(X, y, X_val=X, y_val=y)
    ...     for units in (2, 8)
    ... }
    >>> display = HistoryDisplay.from_estimators(fits)
    >>> [ax.get_ylabel() for ax in display.axes_]
    ['loss', 'score', 'learning rate']
    >>> sorted(display.lines_["2 units"])
    ['learning_rate', 'loss', 'score', 'validation_loss', 'validation_score']
    """

    def __init__(self, histories: Mapping[str, Mapping[str, ArrayLike]]) -> None:
        self.histories = histories

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier | ConvNetRegressor,
        *,
        name: str | None = None,
        panels: Sequence[str] = PANELS,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        log_loss: bool | Literal["auto"] = "auto",
    ) -> Self:
        """Draw the curves of one fit.

        To compare it with another, draw that on the same axes (``axes=display.axes_``), or both at
        once by `from_estimators`.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            A fitted one.
        name : str, default=None
            What the legend says before the names of the curves; None says nothing.
        panels : tuple of {"loss", "score", "learning_rate"}, default=all of them
            What to draw.
        axes : array-like of matplotlib Axes, default=None
            One for each panel; None makes a new figure.
        log_loss : bool or "auto", default="auto"
            Whether the axis of the loss is logarithmic. "auto": where all losses are positive, and
            the largest is at least ten times the smallest.

        Returns
        -------
        HistoryDisplay
        """
        return cls.from_estimators(
            {name or "": estimator}, panels=panels, axes=axes, log_loss=log_loss
        )

    @classmethod
    def from_estimators(
        cls,
        estimators: Mapping[str, ConvNetClassifier | ConvNetRegressor],
        *,
        panels: Sequence[str] = PANELS,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        log_loss: bool | Literal["auto"] = "auto",
    ) -> Self:
        """Draw the curves of several fits.

        Parameters
        ----------
        estimators : dict of str to ConvNetClassifier or ConvNetRegressor
            Fitted ones, by the names that the legend gives them.
        panels : tuple of {"loss", "score", "learning_rate"}, default=all of them
            What to draw.
        axes : array-like of matplotlib Axes, default=None
            One for each panel; None makes a new figure.
        log_loss : bool or "auto", default="auto"
            Whether the axis of the loss is logarithmic. "auto": where all losses are positive, and
            the largest is at least ten times the smallest.

        Returns
        -------
        HistoryDisplay
        """
        if not isinstance(estimators, Mapping):
            raise TypeError(
                "estimators must be a dict of fitted estimators by name, got "
                f"{type(estimators).__name__}: of one, use from_estimator"
            )
        for estimator in estimators.values():
            check_estimator_kind(estimator)
        histories = {name: estimator.history_ for name, estimator in estimators.items()}
        return cls(histories).plot(panels=panels, axes=axes, log_loss=log_loss)

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        panels: Sequence[str] = PANELS,
        log_loss: bool | Literal["auto"] = "auto",
    ) -> Self:
        """Draw the curves.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            One for each panel; None makes a new figure.
        panels : tuple of {"loss", "score", "learning_rate"}, default=all of them
            What to draw.
        log_loss : bool or "auto", default="auto"
            Whether the axis of the loss is logarithmic. "auto": where all losses are positive, and
            the largest is at least ten times the smallest.

        Returns
        -------
        HistoryDisplay

        Raises
        ------
        ValueError
            If there is no history, or a panel is unknown.
        ImportError
            If matplotlib is not installed.
        """
        panels = (panels,) if isinstance(panels, str) else tuple(panels)
        if not panels or not set(panels) <= set(PANELS):
            raise ValueError(f"panels must be some of {PANELS}, got {panels!r}")
        if log_loss not in (True, False, "auto"):
            raise ValueError(f"log_loss must be True, False or 'auto', got {log_loss!r}")
        if not self.histories:
            raise ValueError("histories is empty: give at least one fit")
        self.figure_, axes = grid_of_axes(self, axes, (1, len(panels)), (4, 3.2))
        self.axes_ = axes[0]
        self.lines_ = {name: {} for name in self.histories}
        for ax, panel in zip(self.axes_, panels, strict=True):
            self._draw(ax, panel)
            values = [y for line in ax.get_lines() for y in line.get_ydata()]
            logarithmic = {"score": False, "loss": log_loss}.get(panel, "auto")
            if logarithmic is True or (logarithmic == "auto" and spans_a_decade(values)):
                ax.set_yscale("log")
        return self

    def _draw(self, ax, panel):
        ax.set_axis_on()
        several = len(self.histories) > 1
        validated = any(f"validation_{panel}" in one for one in self.histories.values())
        colors = colors_of(len(self.histories)) if several else [None]
        for (name, history), color in zip(self.histories.items(), colors, strict=True):
            for curve, style in ((panel, "-"), (f"validation_{panel}", "--")):
                if curve in history:
                    values = np.asarray(history[curve], dtype=np.float64)
                    (self.lines_[name][curve],) = ax.plot(
                        np.arange(1, len(values) + 1),
                        values,
                        style,
                        drawstyle="steps-mid" if panel == "learning_rate" else "default",
                        color=color,
                        label=label_of(name, curve, validated or not name),
                        marker="." if len(values) <= 20 else None,
                    )
        ax.set(xlabel="epoch", ylabel=panel.replace("_", " "))
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        if len(ax.get_lines()) > 1:
            ax.legend(fontsize=8)


def label_of(name, curve, told_apart):
    """A curve's label in the legend, such as "LeNet, validation", or without what it is a curve of,
    where all are of the same."""
    part = "validation" if curve.startswith("validation") else "training"
    if curve == "learning_rate" or not told_apart:
        part = ""
    return ", ".join(filter(None, [name, part]))


def spans_a_decade(values):
    """True if all finite values are positive, and the largest is ten times the smallest."""
    values = np.asarray(values)[np.isfinite(values)]
    return values.size > 0 and values.min() > 0 and values.max() >= 10 * values.min()
