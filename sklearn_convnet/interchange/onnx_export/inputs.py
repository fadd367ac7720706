"""X, as the graph takes it and as its first node sees it."""

from dataclasses import dataclass
from math import prod

import numpy as np

from ...layers.shapes import AXIS_NAMES
from .graph import Value

LAYOUTS = ("auto", "channels_last", "channels_first", "flat")

#: The name of the axis of samples.
SAMPLES = "n_samples"


@dataclass(frozen=True)
class Layout:
    """The shape in which samples come in.

    Parameters
    ----------
    shape : tuple of int
        Of a sample, in the order of X.
    seen : tuple of int
        The same, as the network sees it, channels last.
    axes : str
        Where its channels are: "last", "first", or "none" if it has no axis of them, but the
        network does.
    flat : bool
        Whether all values of a sample are in a row.
    """

    shape: tuple
    seen: tuple
    axes: str = "last"
    flat: bool = False

    def names(self):
        """Names of the axes of a sample but for that of the channels, which is None."""
        n = len(self.shape) - (self.axes != "none")
        sizes = list(AXIS_NAMES[n])
        return {"first": [None, *sizes], "last": [*sizes, None], "none": sizes}[self.axes]


def layout_of(network, estimator, layout):
    """The `Layout` of a network, or of the estimator that has fitted it."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(map(repr, LAYOUTS))}, got {layout!r}")
    if estimator is None:
        given, turned, is_flat = network.input_shape, False, False
    else:
        inputs = estimator._inputs
        given, turned = inputs.network_shape, inputs.turned
        is_flat = estimator._fitted["input_shape"] is not None and not inputs.differ
    n_axes = len(network.input_shape)
    if n_axes == 1:
        return Layout(given, given, "last")
    lacks_channels = len(given) < n_axes
    seen = (*given, 1) if lacks_channels else given
    has_channels = estimator is None or lacks_channels or inputs.has_channels
    turned_shape = (seen[-1], *seen[:-1])
    if layout in ("channels_last", "channels_first") and has_channels:
        is_first = layout == "channels_first"
        return Layout(turned_shape if is_first else seen, seen, "first" if is_first else "last")
    axes = "none" if lacks_channels else "first" if turned else "last"
    shape = {"none": given, "first": turned_shape, "last": seen}[axes]
    return Layout(shape, seen, axes, layout == "flat" or (layout == "auto" and is_flat))


def take_input(graph, layout, dtype, wide):
    """The input X of the graph, as the first node sees it.

    Parameters
    ----------
    graph : Graph
    layout : Layout
    dtype : dtype
        Of X.
    wide : bool
        Whether the first node takes float64 where the dtype of the graph does not hold X.

    Returns
    -------
    Value
    """
    shape = [prod(layout.shape)] if layout.flat else list(layout.shape)
    if graph.free:
        names = layout.names()
        shape = [name or size for name, size in zip(names, shape, strict=True)]
    name = graph.take("X", dtype, [SAMPLES, *shape])
    if layout.flat and len(layout.shape) > 1:
        name = graph.node(
            "Reshape", name, graph.constant(np.array([0, *layout.shape], np.int64), "shape")
        )
    if layout.axes == "none":
        name = graph.node("Unsqueeze", name, graph.constant(np.array([1], np.int64), "axes"))
    x = Value(name, layout.seen, dtype, last=layout.axes == "last")
    is_wide = wide and not np.can_cast(dtype, graph.dtype)
    return graph.cast(x, np.float64 if is_wide else graph.dtype)


def take_features(graph, n_features, views):
    """The input "features" of the graph, in its dtype, for each of several views one after the
    other; None if there are none."""
    if not n_features:
        return None
    name = graph.take("features", graph.dtype, [SAMPLES, n_features])
    return name if views == 1 else graph.node("Concat", *[name] * views, axis=0)
