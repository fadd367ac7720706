"""Pictures of samples, and axes to draw them on, for all displays.

# Design:
# * `Samples` draws the samples of one batch, all in the same range of values, so that they can be
#   compared: images in grey or colour, signals as lines, volumes as slices.
# * What lies over a sample (a box, a map) is drawn by the display, in the coordinates of pixels:
#   the centre of the first pixel is (0, 0). `flat_map` lays a map out as its sample is laid out.
# * Nothing here imports matplotlib before something is drawn.
"""

from collections import namedtuple
from math import ceil, prod, sqrt
from numbers import Integral

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

from ...estimators.base import BaseConvNet
from ...estimators.inputs import KINDS, likely_kind

#: Colour of pixels that are NaN or infinite.
BAD_COLOR = "tab:pink"
#: Colour maps for images of one channel, and for signed values.
GRAY, SIGNED = "gray", "RdBu_r"
#: Colours of what is true and of what was predicted.
TRUE_COLOR, PREDICTED_COLOR = "tab:green", "tab:orange"
#: Most slices of a volume that are drawn.
MAX_SLICES = 9
#: Size of the axes of one sample, in inches.
CELL = 1.8

Grid = namedtuple("Grid", "figure axes")


# ---------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------


def check_kind(kind):
    """Raises ValueError if `kind` says nothing of samples."""
    allowed = ("auto", "signal", "image", "volume")
    if kind not in allowed:
        raise ValueError(f"kind must be one of {', '.join(map(repr, allowed))}, got {kind!r}")


def numbers(values, name, *, ndim=None):
    """Values as an array of real numbers, or bool; a ValueError tells `name` and what was seen."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}")
    if array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}, which holds nothing to draw")
    if ndim is not None and array.ndim not in np.atleast_1d(ndim):
        axes = " or ".join(map(str, np.atleast_1d(ndim)))
        raise ValueError(f"{name} must have {axes} axes, got shape {array.shape}")
    return array


def same_length(**arrays):
    """Raises ValueError if arrays (None is left out) differ in their number of samples."""
    lengths = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise ValueError(f"give the same number of samples: {counts}")


def first_of(n, X, name="n_samples"):
    """The number of samples to draw: all if it is None, and no more than there are."""
    if n is None:
        return len(X)
    return min(len(X), check_scalar(n, name, Integral, min_val=1))


def fitted_samples(estimator, X):
    """X as the network of a fitted estimator sees it, channels last, and what a sample is.

    Raises
    ------
    NotFittedError, TypeError, ValueError
        If the estimator is not fitted, is none of this package, or X does not fit it.
    """
    check_estimator_kind(estimator)
    check_is_fitted(estimator)
    X = estimator._check_X(X, reset=False)
    return X, kind_of_samples(estimator)


def channels_last(estimator, values):
    """Values in the order of a fitted estimator's X, of its samples or of crops of them, with the
    channels last."""
    inputs = estimator._inputs
    if values[0].size == prod(inputs.shape):
        values = values.reshape(len(values), *inputs.shape)
    return np.moveaxis(values, 1, -1) if inputs.turned else values


def kind_of_samples(estimator):
    """The kind of a sample of a fitted estimator; flat ones are drawn as signals."""
    kind = estimator._inputs.kind
    return "signal" if KINDS[kind] < 2 else kind


def check_estimator_kind(estimator):
    """Raises TypeError if it is no estimator of this package."""
    if not isinstance(estimator, BaseConvNet):
        raise TypeError(
            "estimator must be a ConvNetClassifier or ConvNetRegressor, got "
            f"{type(estimator).__name__}: of a Pipeline or a search give the network itself, "
            "pipeline[-1] or search.best_estimator_"
        )


# ---------------------------------------------------------------------------
# Axes and colours
# ---------------------------------------------------------------------------


def pyplot(display):
    """`matplotlib.pyplot`, or an ImportError that names the display."""
    check_matplotlib_support(f"{type(display).__name__}.plot")
    import matplotlib.pyplot as plt

    return plt


def wrapped(n, n_columns):
    """Rows and columns for so many axes, at most `n_columns` side by side."""
    n_columns = min(n, n_columns)
    return ceil(n / n_columns), n_columns


def grid_of_axes(display, axes, shape, size=(CELL, CELL), **options):
    """Axes to draw on: those given, or those of a new figure, all switched off.

    Parameters
    ----------
    display : object
        Whoever draws, for messages.
    axes : matplotlib Axes or array-like of Axes, default=None
        At least as many as the grid has.
    shape : (int, int)
        Rows and columns.
    size : (float, float)
        Width and height of each, in inches.
    **options
        Passed on to `matplotlib.pyplot.subplots`.

    Returns
    -------
    Grid
        The figure, and an array of axes of this shape.
    """
    plt = pyplot(display)
    rows, columns = shape
    if axes is None:
        width, height = size
        figure, axes = plt.subplots(
            rows,
            columns,
            figsize=(max(columns * width, 2.5), rows * height + 0.5),
            squeeze=False,
            layout="constrained",
            **options,
        )
    else:
        axes = np.atleast_1d(np.asarray(axes, dtype=object)).ravel()
        if len(axes) < rows * columns:
            raise ValueError(
                f"axes has {len(axes)} axes, but {type(display).__name__} draws on {rows} rows of "
                f"{columns}: give {rows * columns}, or None"
            )
        axes = axes[: rows * columns].reshape(rows, columns)
        figure = axes[0, 0].figure
    for ax in axes.flat:
        ax.set_axis_off()
    return Grid(figure, axes)


def add_legend(figure, labels):
    """A legend below a figure: labels by the colour of their line."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=color, label=label) for label, color in labels.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8)


def one_axes(display, ax, size=None):
    """The axes given, or those of a new figure."""
    plt = pyplot(display)
    return plt.subplots(figsize=size, layout="constrained")[1] if ax is None else ax


def colors_of(n):
    """An RGB colour for each of `n` classes, shape (n, 3).

    Those of matplotlib's "tab10" and "tab20" as far as they go. Of more classes, neighbours differ
    in hue by the golden angle, and by turns in lightness.
    """
    from matplotlib import colormaps
    from matplotlib.colors import hsv_to_rgb

    if n <= 20:
        name = "tab10" if n <= 10 else "tab20"
        return np.array(colormaps[name].colors[:n]).reshape(-1, 3)
    i = np.arange(n)
    hue = i * (3 - sqrt(5)) / 2 % 1
    value = np.choose(i % 3, [0.95, 0.7, 0.45])
    return hsv_to_rgb(np.stack([hue, np.choose(i % 2, [0.85, 0.5]), value], axis=1))


def legend_beside(figure, handles, labels, title=None, most=20):
    """A legend at the right of a figure; of many entries the first ones, and how many more."""
    from matplotlib.patches import Patch

    handles, labels = list(handles), [str(label) for label in labels]
    if len(labels) > most:
        more = f"and {len(labels) - most} more"
        handles, labels = [*handles[:most], Patch(alpha=0)], [*labels[:most], more]
    return figure.legend(handles, labels, loc="outside right upper", title=title, fontsize=8)


# ---------------------------------------------------------------------------
# Ranges of values
# ---------------------------------------------------------------------------


def value_range(values):
    """The values that are drawn darkest and brightest.

    Without negative values it begins at 0, and ends at 1 or 255 if the largest value is in the
    upper half of that range, else at the largest value. So bytes are drawn from 0 to 255, shares
    from 0 to 1, and images that use little of such a range as bright as they can be. With negative
    values it is from the smallest to the largest. What is not finite does not count.
    """
    low, high = finite_range(values)
    if low >= 0:
        low, usual = 0.0, [top for top in (1.0, 255.0) if top / 2 <= high <= top]
        high = usual[0] if usual else high
    return (low, high) if high > low else (low, low + 1.0)


def signed_range(values):
    """A range around zero that holds all finite values."""
    largest = max(map(abs, finite_range(values)))
    return (-largest, largest) if largest > 0 else (-1.0, 1.0)


def finite_range(values):
    """The smallest and the largest finite value, as floats; zeros if there is none."""
    values = np.asarray(values)
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


# ---------------------------------------------------------------------------
# Samples
# ---------------------------------------------------------------------------


def n_axes_of(kind):
    """The number of axes of a sample besides its channels."""
    return KINDS[kind]


def as_shown(sample, kind, channel=None):
    """A sample as it is drawn: signals (length, n_channels), images and volumes in grey (*size) or
    in colour (*size, 3).

    One channel is grey and three are colours; of any other number it is the mean, and with
    `channel` that one.
    """
    n_axes = KINDS[kind]
    sample = np.asarray(sample)
    if sample.ndim == n_axes:
        sample = sample[..., np.newaxis]
    if channel is not None:
        return sample[..., [channel]] if kind == "signal" else sample[..., channel]
    n_channels = sample.shape[-1]
    if kind == "signal" or n_channels == 3:
        return sample
    return sample[..., 0] if n_channels == 1 else sample.mean(axis=-1, dtype=np.float64)


def slices_of(volume):
    """At most MAX_SLICES slices of a volume along its first axis, evenly spaced."""
    return volume[_places_of_slices(len(volume))]


def _places_of_slices(depth):
    return np.round(np.linspace(0, depth - 1, min(depth, MAX_SLICES))).astype(int)


def slice_corners(size):
    """`(place, (top, left))` of the slices of a volume: where each is drawn."""
    depth, height, width = size
    places = _places_of_slices(depth).tolist()
    n_columns = ceil(sqrt(len(places)))
    return [
        (place, (i // n_columns * (height + 1), i % n_columns * (width + 1)))
        for i, place in enumerate(places)
    ]


def montage(pictures, n_columns=None):
    """Pictures (n, height, width) or (n, height, width, 3) side by side, NaN between them."""
    n, height, width, *colors = np.shape(pictures)
    n_columns = ceil(sqrt(n)) if n_columns is None else n_columns
    n_rows = ceil(n / n_columns)
    whole = np.full((n_rows * (height + 1) - 1, n_columns * (width + 1) - 1, *colors), np.nan)
    for i, picture in enumerate(pictures):
        top, left = i // n_columns * (height + 1), i % n_columns * (width + 1)
        whole[top : top + height, left : left + width] = picture
    return whole


def flat_map(values, kind):
    """A map of the size of a sample, laid out as the sample is: volumes as slices."""
    return montage(slices_of(np.asarray(values))) if kind == "volume" else np.asarray(values)


def show_image(ax, picture, limits, im_kw=None, cmap=GRAY):
    """Draws (height, width) by a colour map or (height, width, 3) in colour, in a range of values.

    NaN and infinite pixels are left out, so that what is behind shows.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Colormap

    options = {"cmap": cmap, "vmin": limits[0], "vmax": limits[1], "interpolation": "nearest"}
    options |= im_kw or {}
    if picture.ndim == 3:
        low, high = options["vmin"], options["vmax"]
        finite = np.isfinite(picture).all(axis=-1)
        shares = np.nan_to_num((picture.astype(np.float64) - low) / (high - low))
        picture = np.concatenate([shares.clip(0, 1), finite[..., np.newaxis]], axis=-1)
        for name in ("cmap", "vmin", "vmax", "norm"):
            options.pop(name, None)
    else:
        if options.get("norm") is not None:
            del options["vmin"], options["vmax"]
        if not isinstance(options["cmap"], Colormap):
            options["cmap"] = colormaps[options["cmap"] or GRAY]
    return ax.imshow(picture, **options)


class Samples:
    """The samples of a batch, drawn in the same range of values.

    Parameters
    ----------
    X : array-like of shape (n, *sample_shape)
        Channels last; an axis of one channel may be left out.
    kind : {"auto", "signal", "image", "volume"}, default="auto"
        What a sample is; "auto" goes by its shape.
    channel : int, default=None
        Which channel to draw; None draws all channels of a signal; of images and volumes one
        channel in grey, three in colour, and the mean of any other number.
    im_kw : dict, default=None
        Passed on to `matplotlib.axes.Axes.imshow`; signals take no notice of it.

    Attributes
    ----------
    shown : list of ndarray
        What is drawn of each sample.
    limits : (float, float)
        The values that are drawn darkest and brightest.
    size : tuple of int
        The sample's size without channels.
    """

    def __init__(self, X, kind="auto", channel=None, im_kw=None, name="X"):
        check_kind(kind)
        X = numbers(X, name)
        if X.ndim < 2:
            raise ValueError(
                f"{name} must hold samples (n, *sample_shape), got shape {X.shape}: of one sample "
                f"give {name}[np.newaxis]"
            )
        if kind == "auto":
            kind = likely_kind(X.shape[1:])
            kind = "signal" if KINDS[kind] < 2 else kind
        n_axes = KINDS[kind]
        if X.ndim - 1 not in (n_axes, n_axes + 1):
            raise ValueError(
                f"{name} has samples of shape {X.shape[1:]}, which are no {kind}s of {n_axes} "
                "axes, with channels or without: set kind"
            )
        n_channels = X.shape[-1] if X.ndim - 1 > n_axes else 1
        if channel is not None:
            check_scalar(channel, "channel", Integral, min_val=0, max_val=n_channels - 1)
        self.kind, self.im_kw = kind, im_kw
        self.size = X.shape[1 : n_axes + 1]
        self.shown = [as_shown(sample, kind, channel) for sample in X]
        self.limits = value_range(self.shown)

    def __len__(self):
        return len(self.shown)

    def draw(self, ax, i):
        """Draws sample `i`; returns its image, or the list of its lines."""
        sample = self.shown[i]
        ax.set_axis_on()
        if self.kind == "signal":
            return draw_signal(ax, sample)
        picture = flat_map(sample, self.kind)
        image = show_image(ax, picture, self.limits, self.im_kw)
        bare(ax)
        # Behind the image: where it is not finite. Between slices, and for none, it is the page.
        broken = not all(np.isfinite(sample).ravel()) if sample.dtype.kind == "f" else False
        ax.set_facecolor(BAD_COLOR if broken else "none")
        return image


def draw_signal(ax, sample):
    """A line for each channel; more than ten take their colours from dark to bright."""
    from matplotlib import colormaps

    n = sample.shape[1]
    lines = ax.plot(sample, linewidth=1)
    if n > 10:
        for line, color in zip(lines, colormaps["viridis"](np.linspace(0, 0.9, n)), strict=True):
            line.set_color(color)
    ax.margins(x=0)
    ax.tick_params(labelsize=7)
    return lines


def bare(ax):
    """Neither ticks nor a frame."""
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def samples_on_grid(display, axes, X, kind, n_samples, channel, im_kw, n_columns=4):
    """The first samples, each drawn on axes of its own.

    Returns
    -------
    samples : Samples
    figure : matplotlib Figure
    axes : ndarray of matplotlib Axes of shape (n_drawn,)
    """
    X = numbers(X, "X")
    samples = Samples(X[: first_of(n_samples, X)], kind, channel, im_kw)
    n = len(samples)
    shape = wrapped(n, n_columns) if axes is None else (1, n)
    width = 2.5 if samples.kind == "signal" else CELL
    figure, axes = grid_of_axes(display, axes, shape, (width, CELL))
    axes = axes.ravel()[:n]
    for i, ax in enumerate(axes):
        samples.draw(ax, i)
    return samples, figure, axes


# ---------------------------------------------------------------------------
# Places in images
# ---------------------------------------------------------------------------


def check_units(units, name):
    """Raises ValueError if they are no units of places."""
    if units not in ("share", "pixels"):
        raise ValueError(f"{name} must be 'share' or 'pixels', got {units!r}")


def in_pixels(places, units, size):
    """Places (..., 2) as ``(x, y)`` in pixels, of images of ``(height, width)``.

    A share `x` of the width is at pixel ``x * width - 1/2``.
    """
    return places * np.array(size[::-1]) - 0.5 if units == "share" else places


def keep_in_view(ax, size, places):
    """Widens axes over an image so that places beyond its border show, by at most half its size."""
    height, width = size
    places = np.concatenate([np.reshape(p, (-1, 2)) for p in places])
    places = places[np.isfinite(places).all(axis=1)]
    for set_limits, length, values, turned in (
        (ax.set_xlim, width, places[:, 0], False),
        (ax.set_ylim, height, places[:, 1], True),
    ):
        low = min([-0.5, *(values - 0.5)])
        high = max([length - 0.5, *(values + 0.5)])
        limits = max(low, -0.5 - length / 2), min(high, length - 0.5 + length / 2)
        set_limits(*(limits[::-1] if turned else limits))
