"""Values, and points among them."""

from math import prod

import numpy as np

from ...augmentation.moves import check_flip_pairs
from ...moments import RunningMoments
from ...scores import RunningR2, weight_of_pixels
from ..checks import blocks_of, check_range, pieces
from .base import Target, move_points, warn_of_pixels
from .views import mean_of, moved_back


class ValueTarget(Target):
    """Numbers, which stay what they are when the image moves.

    Encoded, `mean` is taken off and the rest divided by `deviation`. These are of the first y
    that is seen, or belong to the output layer that was taken from another network. NaN is a
    value that is missing.

    Attributes
    ----------
    sample_shape : tuple of int
        Shape of y without its first axis.
    normalize : bool
        Whether the network learns normalised values.
    mean, deviation : ndarray of shape (n_outputs,)
        Of each output, in float64.
    """

    windows_vote = True
    own_weights = ("output/target_mean", "output/target_deviation")
    #: True if the outputs share a unit, so that one that hardly varies counts little.
    shares_unit = False

    def __init__(self, sample_shape, normalize=False):
        self.sample_shape = sample_shape
        self.n_outputs = prod(sample_shape)
        self.normalize = normalize
        self.mean, self.deviation = np.zeros(self.n_outputs), np.ones(self.n_outputs)

    def _columns(self, y):
        """Values of shape (n, n_outputs), or for maps (n, *map_size, n_outputs)."""
        if y[0].size != self.n_outputs:
            raise ValueError(
                f"y has {y[0].size} outputs, but the network was begun with {self.n_outputs}"
            )
        return y.reshape(len(y), -1)

    def begin(self, network, y, weight, loss):
        """Statistics of y. The output begins at its mean, where the loss knows what that is
        before the link: what first weights would make of X has to be unlearnt again."""
        moments = self._moments(self._columns(y), weight)
        first = 0.0
        if self.normalize:
            self.mean, self.deviation = moments.mean, self._deviation(moments)
            if not np.isfinite(self.deviation).all():
                raise ValueError("y holds values too large to take their deviation: scale y")
        else:
            first = loss.first_output(moments.mean)
        arrays = network.parameters()
        if first is not None and "output/weight" in arrays:
            arrays["output/weight"][...], arrays["output/bias"][...] = 0, first

    def _moments(self, values, weight):
        moments = RunningMoments()
        for block in blocks_of(values):
            moments.add(*columns_of(values[block], weight[block]))
        return moments

    def _deviation(self, moments):
        """That of each output; 1 where it is constant."""
        deviation = np.sqrt(moments.variance)
        return np.where(deviation == 0, 1.0, deviation)

    def weights(self):
        if not self.normalize:
            return {}
        return dict(zip(self.own_weights, (self.mean, self.deviation), strict=True))

    def take_weights(self, weights, copied, loss):
        if not {"output/weight", "output/bias"} <= copied:
            return
        self.normalize = set(self.own_weights) <= set(weights)
        if self.normalize and not loss.takes_normalized:
            raise ValueError(
                "they have the output layer of a network that learnt normalised values, which "
                f"is none for {type(loss).__name__}: leave out what begins with 'output/'"
            )
        mean, deviation = np.zeros(self.n_outputs), np.ones(self.n_outputs)
        if self.normalize:
            mean, deviation = (np.array(weights[path], np.float64) for path in self.own_weights)
        right = mean.shape == deviation.shape == (self.n_outputs,)
        if not (
            right and np.isfinite(mean).all() and np.all((deviation > 0) & (deviation < np.inf))
        ):
            raise ValueError(
                f"{' and '.join(self.own_weights)} must be a finite mean and a positive "
                f"deviation for each of {self.n_outputs} outputs"
            )
        self.mean, self.deviation = mean, deviation

    def share_that_is_there(self, target, weight):
        return share_of(target, weight, lambda values: ~np.isnan(values))

    def _dtype_of_y(self, dtype):
        """The dtype in which values of y are computed: a network's, if that tells them apart."""
        limits = np.finfo(dtype)
        wide = np.abs(self.mean) * limits.eps * TOLD_APART > self.deviation
        wide |= (self.deviation < limits.tiny) | (self.deviation > limits.max / TOLD_APART)
        return np.dtype(np.float64) if wide.any() else dtype

    def encode(self, y, dtype):
        """Normalised values of shape (n, n_outputs)."""
        check_range(y, dtype, "y")
        values = self._columns(y)
        encoded = np.empty(values.shape, dtype)
        for block in blocks_of(values):
            with np.errstate(over="ignore"):
                encoded[block] = (values[block] - self.mean) / self.deviation
            if np.isinf(encoded[block]).any():
                raise ValueError(
                    f"y holds values too large for {np.dtype(dtype)!r}: use dtype='float64', or "
                    "other units"
                )
        return encoded

    def objective(self, loss, target, weight, class_weight=None, box_weight=None, relative=True):
        return loss.of_normalized(self.mean, self.deviation, self._dtype_of_y)

    def decode(self, values):
        """Values in the shape and the units of y; in float64 where float32 would round too much."""
        dtype = self._dtype_of_y(values.dtype)
        mean, deviation = self.mean.astype(dtype), self.deviation.astype(dtype)
        return self._in_shape(values * deviation + mean)

    def _in_shape(self, values):
        """Values (n, n_outputs), or of maps, in the shape of y."""
        return values.reshape(len(values), *self.sample_shape)

    def new_score(self, loss):
        return RunningR2(loss.inverse_link, self.deviation if self.shares_unit else None)

    def score(self, y, predicted, sample_weight):
        """R^2: of outputs averaged; of points and maps, which share a unit, weighted by their
        variances."""
        y = np.asarray(y)
        if y.shape[:1] != predicted.shape[:1] or y.size != predicted.size:
            raise ValueError(f"y has shape {y.shape}, expected {predicted.shape}, as predicted")
        y = y if y.dtype.kind in "biuf" else y.astype(np.float64)
        if y.dtype.kind == "f" and np.isinf(y).any():
            raise ValueError("Input y contains infinity")
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        values, predicted = (self._columns(a) for a in (y.reshape(predicted.shape), predicted))
        if weight.ndim == 1 and not (values.dtype.kind == "f" and np.isnan(values).any()):
            from sklearn.metrics import r2_score  # slow to import

            rows = (len(y), -1)
            return r2_score(
                values.reshape(rows),
                predicted.reshape(rows),
                sample_weight=sample_weight,
                multioutput="variance_weighted" if self.shares_unit else "uniform_average",
            )
        score = RunningR2(scale=np.ones(1) if self.shares_unit else None)
        for block in blocks_of(values):
            score.add(predicted[block], values[block].astype(np.float64), weight[block])
        return score.value()


class PointTarget(ValueTarget):
    """Points in the image, such as joints: (x, y) of each, side by side or on an axis; in a volume
    (x, y, z), in a signal (x,).

    Attributes
    ----------
    units : {"share", "pixels"}
        Of the coordinates.
    flip_pairs : list of (int, int) or None
        The points that change places in a mirror image.
    n_axes : int
        The number of coordinates of a point.
    """

    windows_vote = False
    shares_unit = True
    tells_places = True

    def __init__(self, sample_shape, units, normalize=False, flip_pairs=None, n_axes=2):
        super().__init__(sample_shape, normalize)
        self.units = units
        self.n_axes = n_axes
        self.flip_pairs = None
        if flip_pairs is not None and len(flip_pairs):
            check_flip_pairs(flip_pairs, self.n_outputs // self.n_axes)
            self.flip_pairs = np.array(flip_pairs)

    def begin(self, network, y, weight, loss):
        if self.units == "share":
            warn_of_pixels(self._columns(y), "points", "point_units")
        super().begin(network, y, weight, loss)

    def _deviation(self, moments):
        """One for all: a coordinate that hardly varies must not count more than the others."""
        whole = moments.weight > 0
        deviation = np.sqrt(np.mean(moments.variance, where=whole)) if whole.any() else 0.0
        return np.full(self.n_outputs, 1.0 if deviation == 0 else deviation)

    def of_views(self, seen):
        points = [
            moved_back(
                found.reshape(len(found), -1, self.n_axes),
                move,
                seen,
                self.units,
                self.flip_pairs,
            )
            for found, move in zip(seen.results, seen.moves, strict=True)
        ]
        return mean_of(points).reshape(seen.results[0].shape)

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        mean, deviation = self.mean.astype(target.dtype), self.deviation.astype(target.dtype)
        points = (target * deviation + mean).reshape(len(target), -1, self.n_axes)
        X, points = move_points(
            augmentation, X, points, self.units, random_state, n_threads, self.flip_pairs
        )
        moved = (points.reshape(target.shape) - mean) / deviation
        return X, moved.astype(target.dtype, copy=False)


#: A number of steps of rounding that must lie within a deviation for values to be told apart.
TOLD_APART = 2.0**14


def share_of(target, weight, is_there):
    """The share of numbers in a target for which `is_there` says so, by weight.

    Raises
    ------
    ValueError
        If that is none.
    """
    there = total = 0.0
    for some, of_some in pieces(target, weight):
        seen = is_there(some)
        w = weight_of_pixels(of_some, seen.shape)
        there += float(np.sum(w * seen, dtype=np.float64))
        total += float(np.sum(w, dtype=np.float64))
    if there == 0:
        raise ValueError("what is there in y has no weight: all of it is missing or ignored")
    return there / total


def columns_of(values, weight):
    """Values (n, n_outputs) or (n, *map_size, n_outputs), and weights of samples or pixels, as a
    row for each sample or pixel."""
    rows = values.reshape(-1, values.shape[-1])
    return rows, weight_of_pixels(weight, values.shape[:-1]).reshape(-1)
