"""`MaximizedUnitsDisplay`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ..maximize import is_several, maximize_unit, pairs_of
from ._pictures import (
    CELL,
    Samples,
    channels_last,
    check_estimator_kind,
    grid_of_axes,
    kind_of_samples,
    numbers,
    same_length,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class MaximizedUnitsDisplay:
    """Samples that excite units most, one for each unit.

    Each is drawn in a range of its own: what counts is the pattern, not how strong it is.

    Parameters
    ----------
    X : array-like of shape (n_units, *sample_shape)
        Images, signals or volumes, channels last.
    names : list of str of shape (n_units,), default=None
        What to write above each.
    kind : {"auto", "signal", "image", "volume"}, default="auto"
        What a sample is; "auto" goes by its shape.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_units,)
        The axes, a unit on each.
    figure_ : matplotlib Figure
        Their figure.
    artists_ : list
        What was drawn of each: an image, or a list of lines.

    See Also
    --------
    sklearn_convnet.inspection.maximize_unit : The samples alone.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.inspection import MaximizedUnitsDisplay
    >>> display = MaximizedUnitsDisplay(np.eye(8)[np.newaxis], ["a diagonal"]).plot()
    >>> display.axes_[0].get_title()
    'a diagonal'
    """

    def __init__(
        self,
        X: ArrayLike,
        names: Sequence[str] | None = None,
        *,
        kind: Literal["auto", "signal", "image", "volume"] = "auto",
    ) -> None:
        self.X = X
        self.names = names
        self.kind = kind

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier | ConvNetRegressor,
        layer: str | int | Sequence[str | int],
        units: Any,
        *,
        maximize_kw: dict[str, Any] | None = None,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Learn and draw what units of a fitted estimator look for.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            A fitted one.
        layer : str, int, or list of these
            The layer of all units, or of each.
        units : int, tuple of int, label or list
            A unit or several, as for :func:`sklearn_convnet.inspection.maximize_unit`.
        maximize_kw : dict, default=None
            Other arguments of that function, such as ``{"blur": 0.5, "random_state": 0}``.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        axes : array-like of matplotlib Axes, default=None
            One for each unit; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        MaximizedUnitsDisplay
        """
        check_estimator_kind(estimator)
        names = [f"{one} {unit}" for one, unit in pairs_of(layer, units)]
        X = maximize_unit(estimator, layer, units, **(maximize_kw or {}))
        X = X if is_several(layer) or is_several(units) else X[np.newaxis]
        display = cls(channels_last(estimator, X), names, kind=kind_of_samples(estimator))
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
            One for each unit; None makes a new figure.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        MaximizedUnitsDisplay

        Raises
        ------
        ValueError
            If there are no samples, or not a name for each.
        ImportError
            If matplotlib is not installed.
        """
        X = numbers(self.X, "X")
        same_length(X=X, names=self.names)
        samples = [Samples(one[np.newaxis], self.kind, channel, im_kw) for one in X]
        width = 2.5 if samples[0].kind == "signal" else CELL
        shape = wrapped(len(X), 6) if axes is None else (1, len(X))
        self.figure_, axes = grid_of_axes(self, axes, shape, (width, CELL))
        self.axes_ = axes.ravel()[: len(X)]
        self.artists_ = [one.draw(ax, 0) for one, ax in zip(samples, self.axes_, strict=True)]
        for ax, name in zip(self.axes_, self.names or (), strict=False):
            ax.set_title(name, fontsize=8)
        return self
