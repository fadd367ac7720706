"""`FiltersDisplay`."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted

from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ...network.conv import ConvNode
from ...network.conv_transpose import ConvTransposeNode
from ...network.dense import DenseNode
from ...network.depthwise import DepthwiseNode
from ...network.node import walk
from ...network.transform_conv import TransformConvNode
from ..targets import is_number
from ._pictures import (
    MAX_SLICES,
    SIGNED,
    bare,
    check_estimator_kind,
    draw_signal,
    first_of,
    grid_of_axes,
    montage,
    numbers,
    show_image,
    signed_range,
    slices_of,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Nodes whose weights are filters, each of the size of a window.
CONVOLUTIONS = (ConvNode, ConvTransposeNode, DepthwiseNode, TransformConvNode)


class FiltersDisplay:
    """The filters of a layer, as pictures.

    All filters of a picture share one range around zero. A filter over one channel is drawn by a
    diverging colour map: red is positive, blue negative, white zero. One over three channels is a
    picture in colour, grey where all three are zero. Over any other number of channels it is a row
    of slices, one for each of the first nine channels. Filters of signals are lines, one for each
    channel.

    Parameters
    ----------
    filters : array-like of shape (n_filters, *kernel_size, n_channels)
        The filters, of one to three axes besides the channels.
    layer : str, default=None
        Name of the layer, for the title.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_rows, n_columns)
        The axes, a filter on each, row by row.
    figure_ : matplotlib Figure
        Their figure.
    artists_ : list
        What was drawn of each filter: an image, or a list of lines.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.inspection import FiltersDisplay
    >>> from sklearn_convnet.layers import Conv2D
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier([Conv2D(6, 3)], max_iter=1).fit(X[:50].reshape(-1, 8, 8), y[:50])
    >>> display = FiltersDisplay.from_estimator(clf)
    >>> display.layer, display.filters.shape
    ('conv2d1', (6, 3, 3, 1))
    """

    def __init__(self, filters: ArrayLike, *, layer: str | None = None) -> None:
        self.filters = filters
        self.layer = layer

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier | ConvNetRegressor,
        layer: str | int | None = None,
        *,
        n_filters: int | None = 32,
        channel: int | None = None,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw filters of a fitted network.

        Filters of a `DepthwiseConv2D` are those of its channels, one after the other;
        of a `TransformConv2D` all filters in the first transform come first, as its maps do.
        A `Dense` layer that reads maps has a filter for each unit, of the size of these maps.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            A fitted one.
        layer : str or int, default=None
            Path of a layer, such as ``"conv2d1"`` or ``"residual1/conv2d1"``, or its place in
            `layers_`; None is the first convolution.
        n_filters : int or None, default=32
            Number of filters to draw, the first ones; None draws all.
        channel : int, default=None
            Draws this channel of each filter alone.
        axes : array-like of matplotlib Axes, default=None
            One for each filter that is drawn; None makes a new figure.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        FiltersDisplay

        Raises
        ------
        ValueError
            If there is no such layer, or it has no filters.
        """
        check_estimator_kind(estimator)
        check_is_fitted(estimator)
        node = node_with_filters(estimator.network_, layer)
        display = cls(filters_of(node), layer=node.path)
        return display.plot(n_filters=n_filters, channel=channel, axes=axes, im_kw=im_kw)

    def plot(
        self,
        axes: Sequence[Axes] | NDArray[Any] | None = None,
        *,
        n_filters: int | None = 32,
        channel: int | None = None,
        im_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the filters.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            One for each filter that is drawn; None makes a new figure.
        n_filters : int or None, default=32
            Number of filters to draw, the first ones; None draws all.
        channel : int, default=None
            Draws this channel of each filter alone.
        im_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.imshow`.

        Returns
        -------
        FiltersDisplay

        Raises
        ------
        ValueError
            If the filters are none, or a parameter is out of range.
        ImportError
            If matplotlib is not installed.
        """
        filters = numbers(self.filters, "filters", ndim=(3, 4, 5))
        filters = filters[: first_of(n_filters, filters, "n_filters")]
        if channel is not None:
            check_scalar(channel, "channel", Integral, min_val=0, max_val=filters.shape[-1] - 1)
            filters = filters[..., [channel]]
        limits = signed_range(filters)
        pictures = [laid_out(one) for one in filters]
        rows, columns = wrapped(len(filters), 8 if filters.shape[-1] in (1, 3) else 2)
        size = (1.0, 1.0)
        if filters.ndim == 3:
            rows, columns = wrapped(len(filters), 6)
            size = (1.8, 1.3)
        elif columns == 2 or filters.ndim == 5:
            height, width = pictures[0].shape[:2]
            size = (3.5, max(0.5, 3.5 * height / width))
        self.figure_, self.axes_ = grid_of_axes(self, axes, (rows, columns), size)
        self.artists_ = [
            self._draw(ax, picture, limits, im_kw)
            for ax, picture in zip(self.axes_.flat, pictures, strict=False)
        ]
        n_all = len(np.asarray(self.filters))
        if axes is None:
            some = "" if len(filters) == n_all else f"{len(filters)} of "
            where = f" of {self.layer}" if self.layer else ""
            self.figure_.suptitle(f"{some}{n_all} filters{where}", fontsize=10)
        return self

    def _draw(self, ax, picture, limits, im_kw):
        ax.set_axis_on()
        if picture.ndim == 2 and np.ndim(self.filters) == 3:
            ax.set_ylim(1.05 * limits[0], 1.05 * limits[1])
            ax.axhline(0, color="0.8", linewidth=0.8, zorder=0)
            return draw_signal(ax, picture)
        bare(ax)
        ax.set_facecolor("0.85")  # between slices
        return show_image(ax, picture, limits, im_kw, cmap=SIGNED)


def laid_out(one):
    """A filter (*kernel_size, n_channels) as what is drawn: (length, n_channels) of a signal's;
    else (height, width) or (height, width, 3), its channels and slices side by side."""
    if one.ndim == 2:
        return one
    if one.ndim == 3 and one.shape[-1] == 3:
        return one
    channels = np.moveaxis(one, -1, 0)[:MAX_SLICES]
    if one.ndim == 4:  # a row for each channel, its slices side by side
        pictures = np.concatenate([slices_of(channel) for channel in channels])
        return montage(pictures, n_columns=len(pictures) // len(channels))
    return channels[0] if len(channels) == 1 else montage(channels, n_columns=len(channels))


def node_with_filters(network, layer):
    """The node of a network that has the filters of a layer.

    Raises
    ------
    ValueError
        If there is no such layer, or it has none.
    """
    nodes = {node.path: node for node in walk(network.nodes) if has_filters(node)}
    if layer is None:
        found = [node for node in nodes.values() if isinstance(node, CONVOLUTIONS)]
        if not found and not nodes:
            raise ValueError("the network has no layer with filters: give it a convolution")
        return [*found, *nodes.values()][0]
    if is_number(layer):
        layer = network.probe().path(layer)
    if layer not in nodes:
        raise ValueError(
            f"layer must be one with filters, {', '.join(map(repr, nodes))}, got {layer!r}"
        )
    return nodes[layer]


def has_filters(node):
    """True if a node's weights are pictures: of a convolution, or a dense layer that reads maps."""
    return isinstance(node, CONVOLUTIONS) or (
        isinstance(node, DenseNode) and len(node.input_shape) > 1
    )


def filters_of(node):
    """The filters of a node, of shape (n_filters, *kernel_size, n_channels)."""
    weight = node.params["weight"]
    if isinstance(node, DenseNode):
        return np.moveaxis(weight.reshape(*node.input_shape, -1), -1, 0)
    if isinstance(node, DepthwiseNode):
        by_channel = weight.reshape(*weight.shape[:-2], -1)
        return np.moveaxis(by_channel, -1, 0)[..., np.newaxis]
    if isinstance(node, TransformConvNode):
        weight = node.filters()
    return np.moveaxis(weight, -1, 0).copy()
