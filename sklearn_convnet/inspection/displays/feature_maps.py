"""`FeatureMapsDisplay`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ..activations import activations
from ._pictures import (
    SIGNED,
    Samples,
    as_shown,
    bare,
    draw_signal,
    first_of,
    fitted_samples,
    flat_map,
    grid_of_axes,
    numbers,
    show_image,
    signed_range,
    value_range,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class FeatureMapsDisplay:
    """The maps that layers make of one sample: a row for each layer, after the sample itself.

    All maps of a layer share a range. Those with negative values are red where they are positive
    and blue where they are negative; others are drawn from dark to bright.

    Parameters
    ----------
    maps : dict of str to array-like of shape (*size, n_maps)
        The maps of a sample, by the name of the layer.
    sample : array-like of shape sample_shape, default=None
        The sample, channels last. None draws maps alone.
    kind : {"auto", "signal", "image", "volume"}, default="auto"
        What the sample is; "auto" goes by the axes of the maps.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_rows, n_columns)
        The axes. Where a sample is given, it is on the first of row 0.
    figure_ : matplotlib Figure
        Their figure.
    artists_ : dict of str to list
        What was drawn of the maps of each layer: images, or lists of lines.

    See Also
    --------
    sklearn_convnet.inspection.activations : The maps alone.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.inspection import FeatureMapsDisplay
    >>> maps = {"conv1": np.ones((8, 8, 4)), "conv2": np.ones((4, 4, 16))}
    >>> display = FeatureMapsDisplay(maps, np.ones((10, 10))).plot(n_maps=6)
    >>> display.axes_.shape, len(display.artists_["conv1"]), len(display.artists_["conv2"])
    ((3, 6), 4, 6)
    """

    def __init__(
        self,
        maps: Mapping[str, ArrayLike],
        sample: ArrayLike | None = None,
        *,
        kind: Literal["auto", "signal", "image", "volume"] = "auto",
    ) -> None:
        self.maps = maps
        self.sample = sample
        self.kind = kind

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier | ConvNetRegressor,
        X: Samples,
        layers: Sequence[str | int] | None = None,
        *,
        index: int = 0,
        n_maps: int | None = 8,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the maps that a fitted network makes of a sample.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            A fitted one.
        X : array-like of shape (n_samples, *sample_shape)
            Samples, as for `predict`.
        layers : list of str or int, default=None
            Paths of layers, or their places in `layers_`; None are all layers of the network that
            end in maps.
        index : int, default=0
            Which sample.
        n_maps : int or None, default=8
            Number of maps to draw of each layer, the first ones; None draws all.
        channel : int, default=None
            The channel of the sample to draw; None draws three channels in colour, and the mean of
            any other number.
        axes : array-like of matplotlib Axes, default=None
            As many as `axes_` has; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow` for the maps.

        Returns
        -------
        FeatureMapsDisplay
        """
        shown, kind = fitted_samples(estimator, X)
        check_scalar(index, "index", Integral, min_val=0, max_val=len(shown) - 1)
        network = estimator.network_
        if layers is None:
            n_axes = max(len(network.input_shape), 2)
            layers = [path for path, _, _, shape in network.table if len(shape) == n_axes]
            if not layers:
                raise ValueError("no layer of this network puts out maps: it has none to draw")
        found = activations(estimator, X[index : index + 1], layers)
        display = cls({name: maps[0] for name, maps in found.items()}, shown[index], kind=kind)
        return display.plot(n_maps=n_maps, channel=channel, axes=axes, im_kw=im_kw)

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        n_maps: int | None = 8,
        channel: int | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the maps.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            As many as `axes_` has; None makes a new figure.
        n_maps : int or None, default=8
            Number of maps to draw of each layer, the first ones; None draws all.
        channel : int, default=None
            The channel of the sample to draw; None draws three channels in colour, and the mean of
            any other number.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow` for the maps.

        Returns
        -------
        FeatureMapsDisplay

        Raises
        ------
        ValueError
            If there are no maps, or a layer's output is none.
        ImportError
            If matplotlib is not installed.
        """
        if not self.maps:
            raise ValueError("maps is empty: give the maps of at least one layer")
        kind = self._kind()
        n_axes = {"signal": 1, "image": 2, "volume": 3}[kind]
        maps = {}
        for name, array in self.maps.items():
            array = np.moveaxis(numbers(array, name, ndim=n_axes + 1), -1, 0)
            maps[name] = array[: first_of(n_maps, array, "n_maps")]
        n_columns = max(map(len, maps.values()))
        has_sample = self.sample is not None
        shape = (len(maps) + has_sample, n_columns)
        width = 1.8 if kind == "signal" else 1.1
        self.figure_, self.axes_ = grid_of_axes(self, axes, shape, (width, 1.2))
        if has_sample:
            Samples(np.asarray(self.sample)[np.newaxis], kind, channel).draw(self.axes_[0, 0], 0)
            self.axes_[0, 0].set_title("sample", fontsize=8)
        rows = self.axes_[has_sample:]
        self.artists_ = {
            name: draw_maps(row, array, kind, im_kw)
            for row, (name, array) in zip(rows, maps.items(), strict=True)
        }
        for row, name in zip(rows, maps, strict=True):
            row[0].set_title(name, fontsize=8, loc="left")
        return self

    def _kind(self):
        if self.kind != "auto":
            return self.kind
        n_axes = np.ndim(next(iter(self.maps.values()))) - 1
        kinds = {1: "signal", 2: "image", 3: "volume"}
        if n_axes not in kinds:
            raise ValueError(
                f"the maps of a layer must have one to three axes and one of maps, got {n_axes + 1}"
            )
        return kinds[n_axes]


def draw_maps(row, maps, kind, im_kw):
    """Draws maps on the axes of a row, in the same range."""
    signed = float(np.nanmin(maps)) < 0
    limits = signed_range(maps) if signed else value_range(maps)
    drawn = []
    for ax, one in zip(row, maps, strict=False):
        ax.set_axis_on()
        if kind == "signal":
            drawn.append(draw_signal(ax, as_shown(one, kind)))
            ax.set_ylim(*limits)
        else:
            bare(ax)
            cmap = SIGNED if signed else "viridis"
            drawn.append(show_image(ax, flat_map(one, kind), limits, im_kw, cmap))
    return drawn
