"""`SaliencyDisplay`."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ...on_demand import Samples
from ..saliency import saliency
from ..targets import is_one_each, wanted_of
from ._pictures import (
    channels_last,
    first_of,
    fitted_samples,
    flat_map,
    numbers,
    same_length,
    samples_on_grid,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours of signed maps, from negative to positive. None is white, which would look like a bright
#: part of the sample: where the map is near zero it is transparent.
SIGNED = ("#0050ff", "#80a8ff", "#ff8080", "#ff0000")
#: Colour map of maps without a sign.
UNSIGNED = "inferno"


class SaliencyDisplay:
    """Samples with saliency maps over them, which show what matters for a prediction.

    A map with negative values is signed: red raises the score, blue lowers it. Any other is drawn
    from dark to bright. Where a map is near zero it is transparent, so that the sample shows. Each
    sample has its own range.

    Parameters
    ----------
    X : array-like of shape (n_samples, *sample_shape)
        Images, signals or volumes, channels last.
    maps : array-like of shape (n_samples, *size) or (n_samples, *size, n_channels)
        Saliency maps, of the size of the samples.
    titles : list of str of shape (n_samples,), default=None
        What to write above each.
    kind : {"auto", "signal", "image", "volume"}, default="auto"
        What a sample is; "auto" goes by its shape.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_drawn,)
        The axes, a sample on each.
    figure_ : matplotlib Figure
        Their figure.
    overlays_ : list of AxesImage
        The maps.

    See Also
    --------
    sklearn_convnet.inspection.saliency : The numbers alone.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.inspection import SaliencyDisplay
    >>> maps = np.zeros((1, 8, 8))
    >>> maps[0, 2, 3], maps[0, 5, 5] = 2.0, -1.0
    >>> display = SaliencyDisplay(np.ones((1, 8, 8)), maps, titles=["cat"]).plot(percentile=100)
    >>> display.overlays_[0].get_clim()
    (-2.0, 2.0)
    """

    def __init__(
        self,
        X: ArrayLike,
        maps: ArrayLike,
        *,
        titles: Sequence[str] | None = None,
        kind: Literal["auto", "signal", "image", "volume"] = "auto",
    ) -> None:
        self.X = X
        self.maps = maps
        self.titles = titles
        self.kind = kind

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier | ConvNetRegressor,
        X: Samples,
        *,
        method: str = "gradient",
        target: Any = None,
        layer: str | int | None = None,
        saliency_kw: dict[str, Any] | None = None,
        n_samples: int | None = 12,
        reduce: Literal["sum", "max"] = "sum",
        percentile: float = 99.0,
        alpha: float = 0.9,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw what matters for the predictions of a fitted estimator.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            A fitted one.
        X : array-like of shape (n_samples, *sample_shape)
            Samples, as for `predict`.
        method : str, default="gradient"
            What counts as important: see :func:`sklearn_convnet.inspection.saliency`.
        target : object, default=None
            What is explained, as for that function.
        layer : str or int, default=None
            For "grad_cam": the path of a layer, or its place in `layers_`.
        saliency_kw : dict, default=None
            Other arguments of that function.
        n_samples : int or None, default=12
            Number of samples to draw, the first ones; None draws all.
        reduce : {"sum", "max"}, default="sum"
            How to combine several channels: their sum, which keeps the sign, or their largest
            magnitude.
        percentile : float, default=99.0
            The strongest colour is that of this percentile of a map's magnitudes, so that a few
            large values do not hide the others; 100 is the largest.
        alpha : float, default=0.9
            Opacity of the strongest colour, from 0 to 1.
        axes : array-like of matplotlib Axes, default=None
            One for each sample that is drawn; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow` for the samples.

        Returns
        -------
        SaliencyDisplay
        """
        shown, kind = fitted_samples(estimator, X)
        n = first_of(n_samples, shown)
        if is_one_each(target):
            same_length(X=shown, target=target)
            target = wanted_of(target, len(shown))[:n]
        options = {"method": method, "target": target, "layer": layer, **(saliency_kw or {})}
        maps = saliency(estimator, X[:n], **options)
        if np.shape(maps) == np.shape(X[:n]):
            maps = channels_last(estimator, maps)
        display = cls(shown[:n], maps, titles=titles_of(estimator, X[:n], target), kind=kind)
        return display.plot(
            n_samples=n_samples,
            reduce=reduce,
            percentile=percentile,
            alpha=alpha,
            axes=axes,
            im_kw=im_kw,
        )

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        n_samples: int | None = 12,
        reduce: Literal["sum", "max"] = "sum",
        percentile: float = 99.0,
        alpha: float = 0.9,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the maps over the samples.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            One for each sample that is drawn; None makes a new figure.
        n_samples : int or None, default=12
            Number of samples to draw, the first ones; None draws all.
        reduce : {"sum", "max"}, default="sum"
            How to combine several channels: their sum, which keeps the sign, or their largest
            magnitude.
        percentile : float, default=99.0
            The strongest colour is that of this percentile of a map's magnitudes, so that a few
            large values do not hide the others; 100 is the largest.
        alpha : float, default=0.9
            Opacity of the strongest colour, from 0 to 1.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow` for the samples.

        Returns
        -------
        SaliencyDisplay

        Raises
        ------
        ValueError
            If maps do not fit the samples, or a parameter is out of range.
        ImportError
            If matplotlib is not installed.
        """
        check_scalar(alpha, "alpha", Real, min_val=0, max_val=1)
        check_scalar(percentile, "percentile", Real, min_val=0, max_val=100)
        if reduce not in ("sum", "max"):
            raise ValueError(f"reduce must be 'sum' or 'max', got {reduce!r}")
        maps = numbers(self.maps, "maps")
        same_length(X=np.asarray(self.X), maps=maps, titles=self.titles)
        samples, self.figure_, self.axes_ = samples_on_grid(
            self, axes, self.X, self.kind, n_samples, None, im_kw
        )
        maps = of_size(maps[: len(samples)], samples.size, reduce)
        self.overlays_ = [
            draw_saliency(ax, one, samples.kind, percentile, alpha)
            for ax, one in zip(self.axes_, maps, strict=True)
        ]
        for ax, title in zip(self.axes_, self.titles or (), strict=False):
            ax.set_title(title, fontsize=9)
        return self


def titles_of(estimator, X, target):
    """The target of each sample, where that is one label or number; else None."""
    classes = getattr(estimator, "classes_", None)
    if target is None and isinstance(classes, np.ndarray) and estimator._target.map_size is None:
        predicted = estimator.predict(X)
        return [str(label) for label in predicted] if predicted.ndim == 1 else None
    wanted = wanted_of(target, len(X))
    if any(one is None or isinstance(one, tuple) for one in wanted):
        return None
    return [str(one) for one in wanted]


def of_size(maps, size, reduce):
    """Maps (n, *size), without channels."""
    if maps.shape[1:] == tuple(size):
        return maps
    if maps.shape[1:-1] != tuple(size):
        raise ValueError(
            f"maps are of shape {maps.shape[1:]}, but samples are of size {tuple(size)}"
        )
    return maps.sum(axis=-1) if reduce == "sum" else np.abs(maps).max(axis=-1)


def draw_saliency(ax, values, kind, percentile, alpha):
    """Draws a map over a sample, the more opaque the larger its values are."""
    from matplotlib.colors import LinearSegmentedColormap

    finite = np.abs(values[np.isfinite(values)])
    limit = float(np.percentile(finite, percentile)) if finite.size else 0.0
    limit = limit or float(finite.max(initial=0.0)) or 1.0
    signed = np.nanmin(values, initial=0.0) < 0
    flat = np.nan_to_num(flat_map(values, kind))
    options = {
        "cmap": LinearSegmentedColormap.from_list("signed", SIGNED) if signed else UNSIGNED,
        "vmin": -limit if signed else 0.0,
        "vmax": limit,
        "interpolation": "nearest",
        "alpha": alpha * np.minimum(np.abs(flat) / limit, 1),
    }
    if kind != "signal":
        return ax.imshow(flat, **options)
    low, high = ax.get_ylim()
    extent = (-0.5, len(flat) - 0.5, low, high)
    options["alpha"] = options["alpha"][np.newaxis]
    image = ax.imshow(flat[np.newaxis], extent=extent, aspect="auto", zorder=0, **options)
    ax.set(xlim=extent[:2], ylim=extent[2:])
    return image
