"""`NearestSamplesDisplay`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ..neighbors import nearest_samples
from ._pictures import (
    CELL,
    Samples,
    first_of,
    fitted_samples,
    grid_of_axes,
    numbers,
    same_length,
)
from .top_classes import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class NearestSamplesDisplay:
    """Samples, each with those of a reference that are most like it to the network.

    A row has a sample, then its neighbours, the nearest first, with their distances. Where labels
    are known, those of neighbours are green if they are the sample's and red if not.

    Parameters
    ----------
    X : array-like of shape (n_samples, *sample_shape)
        Images, signals or volumes, channels last.
    X_reference : array-like of shape (n_reference, *sample_shape)
        The samples among which the neighbours are.
    distances, indices : array-like of shape (n_samples, n_neighbors)
        As `nearest_samples` returns them.
    y : array-like of shape (n_samples,), default=None
        Labels of X.
    y_reference : array-like of shape (n_reference,), default=None
        Labels of the reference.
    kind : {"auto", "signal", "image", "volume"}, default="auto"
        What a sample is; "auto" goes by its shape.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_drawn, 1 + n_neighbors)
        The axes, a sample and its neighbours in each row.
    figure_ : matplotlib Figure
        Their figure.

    See Also
    --------
    sklearn_convnet.inspection.nearest_samples : The numbers alone.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.inspection import NearestSamplesDisplay
    >>> X, X_reference = np.ones((1, 8, 8)), np.ones((3, 8, 8))
    >>> display = NearestSamplesDisplay(X, X_reference, [[0.0, 0.5]], [[2, 0]]).plot()
    >>> [ax.get_title() for ax in display.axes_[0]]
    ['', '0', '0.5']
    """

    def __init__(
        self,
        X: ArrayLike,
        X_reference: ArrayLike,
        distances: ArrayLike,
        indices: ArrayLike,
        *,
        y: ArrayLike | None = None,
        y_reference: ArrayLike | None = None,
        kind: Literal["auto", "signal", "image", "volume"] = "auto",
    ) -> None:
        self.X = X
        self.X_reference = X_reference
        self.distances = distances
        self.indices = indices
        self.y = y
        self.y_reference = y_reference
        self.kind = kind

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier | ConvNetRegressor,
        X_reference: ArrayLike,
        X: Samples,
        *,
        y: ArrayLike | None = None,
        y_reference: ArrayLike | None = None,
        n_neighbors: int = 5,
        layer: str | int = -2,
        n_samples: int | None = 6,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Find and draw the nearest samples.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            A fitted one.
        X_reference : array-like of shape (n_reference, *sample_shape)
            Samples among which to look, most often the training data.
        X : array-like of shape (n_samples, *sample_shape)
            Samples, as for `predict`.
        y, y_reference : array-like, default=None
            Labels of both.
        n_neighbors : int, default=5
            Number of neighbours of each sample.
        layer : str or int, default=-2
            See :func:`sklearn_convnet.inspection.nearest_samples`.
        n_samples : int or None, default=6
            Number of samples to draw, the first ones; None draws all.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        axes : array-like of matplotlib Axes, default=None
            As many as `axes_` has; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        NearestSamplesDisplay
        """
        shown, kind = fitted_samples(estimator, X)
        reference, _ = fitted_samples(estimator, X_reference)
        same_length(X=shown, y=y)
        n = first_of(n_samples, shown)
        distances, indices = nearest_samples(
            estimator, X_reference, X[:n], n_neighbors=n_neighbors, layer=layer
        )
        y = None if y is None else np.asarray(y)[:n]
        display = cls(
            shown[:n], reference, distances, indices, y=y, y_reference=y_reference, kind=kind
        )
        return display.plot(n_samples=n_samples, channel=channel, axes=axes, im_kw=im_kw)

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        n_samples: int | None = 6,
        channel: int | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the samples and their neighbours.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            As many as `axes_` has; None makes a new figure.
        n_samples : int or None, default=6
            Number of samples to draw, the first ones; None draws all.
        channel : int, default=None
            The channel to draw; None draws three channels in colour, and the mean of any other
            number.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        NearestSamplesDisplay

        Raises
        ------
        ValueError
            If shapes do not fit each other, or an index is none of the reference.
        ImportError
            If matplotlib is not installed.
        """
        X, X_reference = numbers(self.X, "X"), numbers(self.X_reference, "X_reference")
        distances = numbers(self.distances, "distances", ndim=2)
        indices = numbers(self.indices, "indices", ndim=2)
        same_length(X=X, distances=distances, indices=indices, y=self.y)
        same_length(X_reference=X_reference, y_reference=self.y_reference)
        if distances.shape != indices.shape:
            raise ValueError(
                f"distances has shape {distances.shape}, indices {indices.shape}: give the same"
            )
        if indices.dtype.kind not in "iu" or indices.min() < 0 or indices.max() >= len(X_reference):
            raise ValueError(
                f"indices must be positions in X_reference, from 0 to {len(X_reference) - 1}"
            )
        n = first_of(n_samples, X)
        rows = zip(X[:n], indices, strict=False)
        together = np.concatenate([[one, *X_reference[near]] for one, near in rows])
        samples = Samples(together, self.kind, channel, im_kw)
        width = 2.2 if samples.kind == "signal" else CELL - 0.4
        shape = (n, 1 + indices.shape[1])
        self.figure_, self.axes_ = grid_of_axes(self, axes, shape, (width, CELL - 0.3))
        for i, ax in enumerate(self.axes_.flat):
            samples.draw(ax, i)
        for i, row in enumerate(self.axes_):
            self._write(i, row)
        return self

    def _write(self, i, row):
        """Writes labels and distances above a row."""
        label = None if self.y is None else np.asarray(self.y)[i]
        row[0].set_title("" if label is None else short(label), fontsize=9, fontweight="bold")
        near = np.asarray(self.distances)[i], np.asarray(self.indices)[i]
        for ax, distance, index in zip(row[1:], *near, strict=True):
            if self.y_reference is None:
                ax.set_title(f"{distance:.3g}", fontsize=8)
                continue
            other = np.asarray(self.y_reference)[index]
            color = "black" if label is None else "tab:green" if other == label else "tab:red"
            ax.set_title(f"{short(other)}, {distance:.3g}", fontsize=8, color=color)


def short(label):
    """A label that fits above a sample, beside a distance."""
    return shortened(str(label), 12)
