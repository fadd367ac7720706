"""`ReceptiveFieldDisplay`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from numpy.typing import ArrayLike

from ...diagram import shape_text
from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ..receptive_field import field_of_layer, receptive_field
from ..samples import network_of
from ._pictures import Samples, colors_of, fitted_samples, grid_of_axes, slice_corners

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ReceptiveFieldDisplay:
    """Receptive fields drawn over a sample: what units of several layers see of it.

    Parameters
    ----------
    sample : array-like of shape (*size, n_channels) or (*size,)
        A signal, an image or a volume.
    fields : dict of str to tuple of slice
        By label, the part of the sample that a unit sees: a slice for each axis besides the
        channels.
    kind : {"auto", "signal", "image", "volume"}, default="auto"
        What the sample is; "auto" goes by its shape.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the picture.
    figure_ : matplotlib Figure
        Their figure.
    patches_ : dict of str to list of matplotlib patch
        The outlines, by label: one, or on a volume one for each slice that the unit sees part of.

    See Also
    --------
    sklearn_convnet.inspection.receptive_field : The numbers alone.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.inspection import ReceptiveFieldDisplay
    >>> fields = {"conv1": (slice(2, 7), slice(3, 8))}
    >>> display = ReceptiveFieldDisplay(np.eye(12), fields).plot()
    >>> outline = display.patches_["conv1"][0]
    >>> outline.get_xy(), outline.get_width()
    ((2.5, 1.5), 5)
    """

    def __init__(
        self,
        sample: ArrayLike,
        fields: Mapping[str, tuple[slice, ...]],
        *,
        kind: Literal["auto", "signal", "image", "volume"] = "auto",
    ) -> None:
        self.sample = sample
        self.fields = fields
        self.kind = kind

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier | ConvNetRegressor,
        sample: ArrayLike,
        layers: Sequence[str | int] | None = None,
        *,
        units: Mapping[str, tuple[int, ...]] | None = None,
        channel: int | None = None,
        ax: Axes | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw what units of a fitted estimator see of a sample.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            A fitted one. With `multi_crop`, what is drawn is the crop in the middle.
        sample : array-like of shape sample_shape
            One sample, as in X.
        layers : list of str or int, default=None
            Paths or indices, as for `receptive_field`; None takes those outside of blocks whose
            units see more than those before them, and not everything.
        units : dict of str to tuple of int, default=None
            Positions of units, by the path of their layer. Of other layers it is the unit in the
            middle of the map.
        channel : int, default=None
            The channel of the sample that is drawn; None draws all of a signal, colours of three,
            and of any other number the mean.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        ReceptiveFieldDisplay

        Raises
        ------
        ValueError
            If a layer or a unit is not there, or the sample does not fit.
        """
        # A row of a table keeps the names of its columns.
        one = sample.to_frame().T if hasattr(sample, "to_frame") else [sample]
        X, kind = fitted_samples(estimator, one)
        view, network = estimator._view(), network_of(estimator)
        X = X if view is None else view(X)
        units = dict(units or {})
        if layers is None:
            layers = _growing(network) + [path for path in units if path not in _growing(network)]
        fields = {}
        for layer in layers:
            path, field = field_of_layer(network, layer)
            middle = tuple(size // 2 for size in field.shape[:-1])
            seen = receptive_field(network, path, units.pop(path, middle))
            fields[f"{path}: {shape_text(seen.size)}"] = seen.slices
        if units:
            raise ValueError(f"units has {', '.join(map(repr, units))}, but layers does not")
        return cls(X[0], fields, kind=kind).plot(ax, channel=channel, im_kw=im_kw)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        channel: int | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the receptive fields.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        channel : int, default=None
            The channel of the sample that is drawn; None draws all of a signal, colours of three,
            and of any other number the mean.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        ReceptiveFieldDisplay

        Raises
        ------
        ValueError
            If there is no field, or one does not fit the sample.
        ImportError
            If matplotlib is not installed.
        """
        if not self.fields:
            raise ValueError("fields is empty: give at least one layer that sees a part of it")
        samples = Samples([self.sample], self.kind, channel, im_kw, "sample")
        for name, slices in self.fields.items():
            if len(slices) != len(samples.size):
                raise ValueError(
                    f"the field {name!r} has {len(slices)} slices, but the {samples.kind} has "
                    f"{len(samples.size)} axes"
                )
        size = (5.5, 2.5) if samples.kind == "signal" else (4.5, 4)
        self.figure_, ((self.ax_,),) = grid_of_axes(self, ax, (1, 1), size)
        samples.draw(self.ax_, 0)
        self.patches_ = {}
        colors = colors_of(len(self.fields))
        for (name, slices), color in zip(self.fields.items(), colors, strict=True):
            self.patches_[name] = _outlines(self.ax_, samples, slices, color)
        handles = [patches[0] for patches in self.patches_.values() if patches]
        names = [name for name, patches in self.patches_.items() if patches]
        self.ax_.legend(handles, names, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
        return self


def _growing(network):
    """Paths of the layers outside of blocks whose units see more than those before them."""
    paths, before = [], None
    for path, _ in network.named_layers:
        _, field = field_of_layer(network, path)
        size = tuple(axis.size for axis in field.axes)
        if not field.is_whole and any(n > 1 for n in size) and size != before:
            paths.append(path)
            before = size
    return paths


def _outlines(ax, samples, slices, color):
    """The outline of a part of the sample; none of an empty one."""
    from matplotlib.patches import Rectangle

    style = {"fill": False, "edgecolor": color, "linewidth": 1.8}
    if any(s.stop <= s.start for s in slices):
        return []
    if samples.kind == "signal":
        (s,) = slices
        return [ax.axvspan(s.start - 0.5, s.stop - 0.5, facecolor=(*color, 0.15), edgecolor=color)]
    *depth, rows, columns = slices
    corners = [(0, 0)]
    if depth:  # volumes are drawn as slices
        places = range(depth[0].start, depth[0].stop)
        corners = [corner for i, corner in slice_corners(samples.size) if i in places]
    return [
        ax.add_patch(
            Rectangle(
                (left + columns.start - 0.5, top + rows.start - 0.5),
                columns.stop - columns.start,
                rows.stop - rows.start,
                **style,
            )
        )
        for top, left in corners
    ]
