"""A trained network moved over samples that are larger than those that it was trained on.

# Design:
# * What a network makes of each window of a larger sample is computed layer by layer, each value
#   once, by the layers that `network/scan.py` makes of its own; no weight is copied.
# * Windows lie as far apart as all strides together. A finer grid is put together of several scans,
#   each of the sample without its first few rows and columns ("shift and stitch": Sermanet et al.,
#   "OverFeat", 2014).
# * Large samples are scanned in tiles of few sizes, so that memory does not grow with them. A layer
#   with padding would see zeros at the border of a tile: its networks see samples as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from .._typing import PerAxis
from ..layers.shapes import per_axis
from ..network.scan import scanning
from ..on_demand import Samples
from ..threads import effective_n_threads
from ..training import PREDICT_ROWS, chunk_rows
from .checks import check_range
from .inputs import KINDS, as_array
from .targets.boxes import BoxTarget
from .targets.values import PointTarget

#: The longest side of a tile, unless four windows are longer, by the number of axes.
TILE = {1: 2**14, 2: 384, 3: 64}

OUTPUTS = {
    "classifier": ("auto", "proba", "decision", "box"),
    "regressor": ("auto", "values"),
}


@dataclass(frozen=True)
class Scan:
    """The outputs of a network for all windows of larger samples; `scan` returns it.

    Window ``(i, j)`` of a map begins ``i * stride[0]`` rows and ``j * stride[1]`` columns from the
    corner of the sample at its scale.

    Attributes
    ----------
    maps : list of ndarray of shape (n_samples, *grid, n_outputs)
        One for each scale: the outputs for each window. Where samples differ in size, each is a
        list of an array ``(*grid, n_outputs)`` for each sample.
    window, stride : tuple of int
        Size of a window and the step to the next, along each axis, in positions of a sample at its
        scale.
    sizes : list of tuple of int
        Size of each sample along each axis.
    scales : list of list of tuple of float
        For each scale and sample how many times as large along each axis as the sample that was
        scanned was, after sizes were rounded to whole numbers.
    is_exact : bool
        Whether each output is what the network makes of the window by itself, up to rounding: it
        has no layer with padding, for which what lies around a window is not zero here.
    """

    maps: list[Any]
    window: tuple[int, ...]
    stride: tuple[int, ...]
    sizes: list[tuple[int, ...]]
    scales: list[list[tuple[float, ...]]]
    is_exact: bool

    def windows(self, scale: int = 0, sample: int = 0) -> NDArray[Any]:
        """Where the windows are in a sample.

        Parameters
        ----------
        scale : int, default=0
            Index of a scale.
        sample : int, default=0
            Index of a sample.

        Returns
        -------
        ndarray of shape (*grid, 2 * n_axes)
            The corner with the smallest coordinates and the one opposite: of images
            ``x1, y1, x2, y2`` in pixels of the sample itself, whose pixel centres are at whole
            numbers, so that its left edge is at -1/2.
        """
        grid = self.maps[scale][sample].shape[:-1]
        corners = np.moveaxis(np.indices(grid)[::-1], 0, -1).astype(float)  # x before y
        corners *= self.stride[::-1]
        factor = np.array(self.scales[scale][sample][::-1])
        low, high = corners / factor - 0.5, (corners + self.window[::-1]) / factor - 0.5
        return np.concatenate([low, high], axis=-1)

    def __repr__(self):
        grids = [
            " x ".join(map(str, maps[0].shape[:-1])) if len(maps) else "no" for maps in self.maps
        ]
        return (
            f"<Scan of {len(self.sizes)} samples: windows of {' x '.join(map(str, self.window))}, "
            f"{' x '.join(map(str, self.stride))} apart; of the first {' and '.join(grids)}>"
        )


class ScanMixin:
    """Scanning: `scan`, and predictions for samples of another size."""

    def scan(
        self,
        X: Samples,
        *,
        stride: PerAxis | None = None,
        scales: Sequence[float] = (1.0,),
        output: Literal["auto", "proba", "decision", "values", "box"] = "auto",
        batch: int | None = None,
    ) -> Scan:
        """Move the network over samples that are larger than those that it was trained on.

        The result is what predicting each window by itself would give, but each value of each map
        is computed once: dense layers become convolutions of the size of the map that they flatten,
        global pools become windows of that size. Nothing is trained again.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples at least as large as a window along each axis, with as many channels as in
            `fit`; those in a list may differ in size.
        stride : int, tuple of int or None, default=None
            Step from one window to the next, along each axis. None is the product of the strides of
            the network's layers, which costs least; others must divide it, or be multiples of it.
        scales : sequence of float, default=(1.0,)
            Factors by which samples are enlarged, with one scan for each, so that larger and
            smaller objects than those of the training data are found.
        output : {"auto", "proba", "decision", "values", "box"}, default="auto"
            "proba" are the probabilities of the classes, "decision" the scores before softmax or
            logistic function, "box" the coordinates of the boxes; of a regressor, "values" are what
            it predicts. Coordinates of boxes and points are in the units of `fit`, but of the
            larger sample. "auto" is "proba" or "values".
        batch : int or None, default=None
            Number of samples at a time; None is as many as a prediction takes.

        Returns
        -------
        Scan

        Raises
        ------
        ValueError
            If a parameter is invalid, a sample is smaller than a window, or a layer cannot be moved
            over a larger sample; the message names it.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_digits
        >>> from sklearn_convnet import ConvNetClassifier
        >>> from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D
        >>> X, y = load_digits(return_X_y=True)
        >>> layers = [Conv2D(8, 3), MaxPool2D(2), Dense(32)]
        >>> clf = ConvNetClassifier(layers, batch_size=32, max_iter=10, random_state=0)
        >>> clf = clf.fit(X.reshape(-1, 8, 8)[:500], y[:500])
        >>> scene = np.zeros((1, 20, 30))
        >>> scene[0, 6:14, 16:24] = X[0].reshape(8, 8)
        >>> scan = clf.scan(scene)
        >>> scan.maps[0].shape, scan.stride
        ((1, 7, 12, 10), (2, 2))
        >>> int(scan.maps[0][0, 3, 8].argmax()), scan.windows()[3, 8].tolist()
        (0, [15.5, 5.5, 23.5, 13.5])
        """
        check_is_fitted(self)
        return scans(self, X, [output], stride, scales, batch)[0]

    def _mean_over_windows(self, X, finish, mean):
        """The mean over all windows of checked X of what `finish` makes of the network's output."""
        scanner = _Scanner(self, finish, None, None)
        n_axes = len(scanner.window)
        X = X if X.ndim == n_axes + 2 else X[..., np.newaxis]
        axes = tuple(range(1, n_axes + 1))
        means = [
            mean(scanner.maps(X[start : start + PREDICT_ROWS]), axis=axes)
            for start in range(0, len(X), PREDICT_ROWS)
        ]
        return np.concatenate(means).reshape(len(X), *scanner.output_shape)


def fitted_window(estimator):
    """The shape of a window of a fitted estimator, with its channels.

    Raises
    ------
    ValueError
        If it was fitted with samples of unequal sizes.
    """
    inputs = estimator._inputs
    if inputs.differ and estimator._fitted["multi_crop"] is None:
        raise ValueError(
            f"the network was fitted with samples of unequal sizes, {inputs.shape}, so there is no "
            "window to move over larger ones: predict takes samples of any size"
        )
    return window_of(estimator.network_, inputs.kind)


def window_of(network, kind):
    """The shape of a window, with its channels, of a network for samples of one of `KINDS`."""
    shape = network.input_shape
    return shape if len(shape) > KINDS[kind] else (*shape, 1)


def scans(estimator, X, outputs, stride=None, scales=(1.0,), batch=None):
    """A `Scan` for each of several outputs, which the network computes once.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor
        Fitted.
    X, stride, scales, batch
        As of `ScanMixin.scan`.
    outputs : list of str
        Each as `output` there.

    Returns
    -------
    list of Scan
    """
    outputs = [_check_output(estimator, output) for output in outputs]
    scales, batch = _check_scales(scales), _check_batch(batch)
    window = fitted_window(estimator)[:-1]
    finish, moves = zip(*(_finish(estimator, output, window) for output in outputs), strict=True)
    scanner = _Scanner(estimator, finish, stride, batch)
    X, is_array = _samples(estimator, X)
    blocks = [X] if is_array else [sample[np.newaxis] for sample in X]
    sizes = [block.shape[1:-1] for block in blocks for _ in block]
    maps, factors = [[] for _ in outputs], []
    for scale in scales:
        parts, of_scale = [[] for _ in outputs], []
        for block in blocks:
            made, factor = scanner.scan(block, scale)
            of_scale += [factor] * len(block)
            for part, values, move in zip(parts, made, moves, strict=True):
                if move is not None:
                    values = move(values, scanner.stride, factor, block.shape[1:-1])
                part.append(values if is_array else values[0])
        factors.append(of_scale)
        for of_output, part in zip(maps, parts, strict=True):
            of_output.append(part[0] if is_array else part)
    is_exact = not scanner.scanning.padded
    return [Scan(m, scanner.window, scanner.stride, sizes, factors, is_exact) for m in maps]


class _Scanner:
    """Scans blocks of samples of one size.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor
        Fitted.
    finish : callable or tuple of callable
        Make of the network's output ``(n, n_outputs)`` what is put on maps.
    stride : int, tuple of int or None
    batch : int or None
    """

    def __init__(self, estimator, finish, stride, batch):
        self.network, self.batch = estimator.network_, batch
        self.scanning = scanning(self.network, fitted_window(estimator))
        self.window, self.step = self.scanning.window[:-1], self.scanning.stride
        self.stride = _check_stride(stride, self.step)
        self.n_threads = effective_n_threads(estimator.n_threads)
        self.finish = (finish,) if callable(finish) else finish
        self.output_shape = ()  # of what the last of `finish` makes of a sample
        self._widths, self._networks = [], {}

    def scan(self, X, scale):
        """Maps of samples (n, *sizes, channels), one for each of `finish`, and by how much the
        samples were made larger."""
        size = X.shape[1:-1]
        X = resized(X, scale, self.network.input_dtype(X.dtype))
        factor = tuple(a / b for a, b in zip(X.shape[1:-1], size, strict=True))
        self._check_size(X.shape[1:-1], scale)
        maps = self.maps(X)
        return np.split(maps, np.cumsum(self._widths)[:-1], axis=-1), factor

    def _check_size(self, size, scale):
        if any(a < b for a, b in zip(size, self.window, strict=True)):
            at = "" if scale == 1 else f" at scale {scale:g}"
            raise ValueError(
                f"X has a sample of {' x '.join(map(str, size))}{at}, which is smaller than the "
                f"{' x '.join(map(str, self.window))} of a window: pad it, or use larger scales"
            )

    def maps(self, X):
        """The outputs at all windows, put together of scans that begin a little further on."""
        sizes = X.shape[1:-1]
        grid = self._grid(sizes, self.stride)
        finer = [max(1, s // t) for s, t in zip(self.step, self.stride, strict=True)]
        coarser = [max(1, t // s) for s, t in zip(self.step, self.stride, strict=True)]
        maps = None
        for first in product(*(range(min(n, m)) for n, m in zip(finer, grid, strict=True))):
            shift = [i * t for i, t in zip(first, self.stride, strict=True)]
            part = self._tiled(X[(slice(None), *(slice(s, None) for s in shift))])
            part = part[(slice(None), *(slice(None, None, m) for m in coarser))]
            if maps is None:
                maps = np.empty((len(X), *grid, part.shape[-1]), part.dtype)
            places = (slice(i, None, n) for i, n in zip(first, finer, strict=True))
            maps[(slice(None), *places)] = part
        return maps

    def _grid(self, sizes, stride):
        """How many windows fit along each axis."""
        return tuple(
            (size - w) // s + 1 for size, w, s in zip(sizes, self.window, stride, strict=True)
        )

    def _tiled(self, X):
        """The outputs at the windows of the network's own stride, tile by tile."""
        grid = self._grid(X.shape[1:-1], self.step)
        tile = grid if self.scanning.padded else tuple(map(min, grid, self._tile()))
        network = self._network(tile)
        rows = self.batch or chunk_rows(network)
        maps = None
        for start in range(0, max(1, len(X)), rows):
            for corner in product(*(_corners(n, t) for n, t in zip(grid, tile, strict=True))):
                part = self._outputs(X[start : start + rows], network, corner)
                if maps is None:
                    maps = np.empty((len(X), *grid, part.shape[-1]), part.dtype)
                places = (slice(c, c + t) for c, t in zip(corner, tile, strict=True))
                maps[(slice(start, start + rows), *places)] = part
        return maps

    def _tile(self):
        """The most windows of a tile along each axis."""
        longest = TILE[len(self.window)]
        return [
            max(1, (max(longest, 4 * w) - w) // s + 1)
            for w, s in zip(self.window, self.step, strict=True)
        ]

    def _network(self, grid):
        """The network whose input has so many windows."""
        if grid not in self._networks:
            sizes = tuple(
                w + (n - 1) * s for w, n, s in zip(self.window, grid, self.step, strict=True)
            )
            shape = (*sizes, self.scanning.window[-1])
            self._networks[grid] = self.network.sharing(self.scanning.layers, shape)
        return self._networks[grid]

    def _outputs(self, X, network, corner):
        """The outputs at the windows of one tile, which begins at window `corner`."""
        places = (
            slice(c * s, c * s + size)
            for c, s, size in zip(corner, self.step, network.input_shape, strict=False)
        )
        Z = network.forward(X[(slice(None), *places)], n_threads=self.n_threads)
        rows = np.ascontiguousarray(Z.reshape(-1, Z.shape[-1]))
        made = [finish(rows) for finish in self.finish]
        self.output_shape = made[-1].shape[1:]
        self._widths = [prod(values.shape[1:]) for values in made]
        maps = [
            values.reshape(*Z.shape[:-1], width)
            for values, width in zip(made, self._widths, strict=True)
        ]
        return maps[0] if len(maps) == 1 else np.concatenate(maps, axis=-1)


def _corners(n, tile):
    """Where tiles begin; the last ends with the map."""
    return [*range(0, n - tile, tile), n - tile]


def resized(X, scale, dtype):
    """Samples (n, *sizes, channels) in `scale` times their size, by linear interpolation; smaller
    ones are smoothed before, so that no detail is taken for another."""
    if scale == 1:
        return X
    from scipy import ndimage  # slow to import

    sizes = [max(1, round(size * scale)) for size in X.shape[1:-1]]
    factors = [a / b for a, b in zip(sizes, X.shape[1:-1], strict=True)]
    X = X.astype(dtype)
    if scale < 1:
        sigma = [0, *((1 / f - 1) / 2 for f in factors), 0]
        X = ndimage.gaussian_filter(X, sigma, mode="nearest")
    return ndimage.zoom(X, [1, *factors, 1], order=1, mode="nearest", grid_mode=True)


# --- outputs -----------------------------------------------------------------------------


def _finish(estimator, output, window):
    """A function that makes of the network's output (n, n_outputs) what is asked for, and one that
    moves coordinates from windows to the whole, or None."""
    target, kernels = estimator._target, estimator.network_.kernels
    if output == "proba":
        return (lambda Z: target.probabilities(Z, kernels)), None
    if output == "decision":
        return (lambda Z: Z[:, : target.n_outputs]), None
    if output == "box":
        return (lambda Z: Z[:, target.n_outputs :]), _Move("share", target.units, window)

    def values(Z):
        return estimator._values(Z).reshape(len(Z), -1)

    if isinstance(target, PointTarget) and target.n_axes != 2:
        raise ValueError(
            "points are moved from windows to the whole in images alone, but these lie on "
            f"{target.n_axes} axes: cut out windows and predict them"
        )
    if isinstance(target, PointTarget) and len(window) == 2:
        return values, _Move(target.units, target.units, window)
    return values, None


class _Move:
    """Moves coordinates in windows to where they are in the whole image.

    Parameters
    ----------
    before, after : {"share", "pixels"}
        Units in a window, and in the image.
    window : tuple of int
        (height, width) of a window.
    """

    def __init__(self, before, after, window):
        self.before, self.after = before, after
        self.window = np.array(window[::-1])  # x before y

    def __call__(self, maps, stride, factor, size):
        n, *grid, n_outputs = maps.shape
        points = maps.reshape(n, *grid, n_outputs // 2, 2)
        corners = np.stack(np.indices(grid)[::-1], axis=-1) * stride[::-1]
        edges = points * self.window if self.before == "share" else points + 0.5
        edges = (edges + corners[:, :, np.newaxis]) / factor[::-1]
        moved = edges / size[::-1] if self.after == "share" else edges - 0.5
        return moved.reshape(maps.shape).astype(maps.dtype)


# --- checks ------------------------------------------------------------------------------


def _check_output(estimator, output):
    kind = "classifier" if is_classifier(estimator) else "regressor"
    if output not in OUTPUTS[kind]:
        raise ValueError(
            f"output must be one of {', '.join(map(repr, OUTPUTS[kind]))} for a {kind}, "
            f"got {output!r}"
        )
    target = estimator._target
    if isinstance(getattr(target, "n_classes", None), (list, tuple, np.ndarray)):
        raise ValueError("scan tells one label or several of a window, but y has several columns")
    if output == "box" and not (isinstance(target, BoxTarget) and target.image_size is not None):
        raise ValueError("output='box' needs a network for images that was fitted with boxes")
    if output == "auto":
        return "proba" if kind == "classifier" else "values"
    return output


def _check_scales(scales):
    given = list(scales) if np.iterable(scales) else [scales]
    if not given or not all(isinstance(s, Real) and 0 < s < np.inf for s in given):
        raise ValueError(f"scales must be numbers above 0, such as (0.5, 1.0), got {scales!r}")
    return given


def _check_batch(batch):
    valid = isinstance(batch, Integral) and not isinstance(batch, bool) and batch > 0
    if batch is not None and not valid:
        raise ValueError(f"batch must be an integer of at least 1, or None, got {batch!r}")
    return batch


def _check_stride(stride, step):
    """The stride along each axis; raises ValueError if no network with this step makes it."""
    if stride is None:
        return step
    strides = per_axis(stride, len(step), "stride")
    for given, own in zip(strides, step, strict=True):
        if own % given and given % own:
            raise ValueError(
                f"stride={stride!r} must divide the product of the strides of the layers, "
                f"{' x '.join(map(str, step))}, or be a multiple of it"
            )
    return strides


def _samples(estimator, X):
    """Samples with the channels last: an array, or a list of arrays of different sizes; and which
    of the two."""
    if isinstance(X, (list, tuple)) or (isinstance(X, np.ndarray) and X.dtype == object):
        samples = [np.asarray(sample) for sample in X]
        if len({sample.shape for sample in samples}) != 1:
            if not samples:
                raise ValueError("X is an empty list: give at least one sample")
            return [_with_channels(estimator, sample[np.newaxis])[0] for sample in samples], False
        X = np.stack(samples)
    return _with_channels(estimator, np.asarray(X)), True


def _with_channels(estimator, X):
    """Checked samples of one size, channels last."""
    *sizes, channels = fitted_window(estimator)
    n_axes = len(sizes)
    wanted = f"{n_axes} axes" + (f" and {channels} channels" if channels > 1 else "")
    if X.ndim not in (n_axes + 1, n_axes + 2) or (X.ndim == n_axes + 1 and channels > 1):
        raise ValueError(
            f"X has samples of shape {X.shape[1:]}, expected samples of {wanted}: of one sample "
            "give X[np.newaxis]"
        )
    X = as_array(X, estimator)
    check_range(X, estimator.network_.dtype, "X")
    if X.ndim == n_axes + 1:
        return X[..., np.newaxis]
    if estimator._inputs.channels_first:
        X = np.moveaxis(X, 1, -1)
    if X.shape[-1] != channels:
        raise ValueError(f"X has {X.shape[-1]} channels, expected samples of {wanted}")
    return X
