"""X, y and weights of a fit: as they were given, checked, and as the trainer takes them."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    check_array,
)

from ..batches import Samples
from ..layers.composition import ShapeError
from ..messages import about
from ..on_demand import OnDemand, Stored
from ..ragged import Ragged, as_ragged
from .checks import check_range, pieces
from .features import FeaturesMixin
from .inputs import (
    INPUT_PARAMS,
    as_array,
    learn_inputs,
    refuse_single,
    renewed_inputs,
    split_table,
    stacked_cells,
)
from .unequal import UnequalMixin, refuse_unequal
from .weights import in_range, is_counted, of_samples


@dataclass(frozen=True, eq=False)
class Given:
    """Samples to train on, or to validate with, as a user gave them; None is what was not given."""

    X: object
    y: object
    weight: object = None
    boxes: object = None
    features: object = None

    def named(self, suffix=""):
        """The arrays that were given, by the names of the arguments of `fit`."""
        arguments = {
            "X": self.X,
            "y": self.y,
            "sample_weight": self.weight,
            "boxes": self.boxes,
            "features": self.features,
        }
        return {name + suffix: value for name, value in arguments.items() if value is not None}

    def parted(self, suffix=""):
        """The same with the features of a table that has a column of samples apart."""
        if self.X is None:
            return self
        with about(f"X{suffix}") if suffix else nullcontext():
            X, features = split_table(self.X, self.features)
        return replace(self, X=X, features=features)


@dataclass(frozen=True, eq=False)
class Checked:
    """Checked samples, and which of them count.

    Attributes
    ----------
    X : ndarray of shape (n_samples, *sample_shape), or OnDemand, or Ragged, or WithFeatures
        All of them, channels last: rows are taken batch by batch, never all at once.
    rows : ndarray of shape (n,)
        Those that count.
    y : ndarray of shape (n, ...)
        Of these.
    weight : ndarray of shape (n,) or (n, *map_size)
        Of these, or of their pixels.
    """

    X: np.ndarray
    rows: np.ndarray
    y: np.ndarray
    weight: np.ndarray

    def __len__(self):
        return len(self.rows)

    def take(self, which):
        """Some of those that count."""
        return Checked(self.X, self.rows[which], self.y[which], self.weight[which])


class SamplesMixin(FeaturesMixin, UnequalMixin):
    """X, y and weights: checked, and as the trainer takes them."""

    def _check_X(self, X, reset, renewed=frozenset(), sizes="one"):
        """X as an array, in its own dtype, with the channels last, or `OnDemand`, or `Ragged`.

        Parameters
        ----------
        X : array-like or list of array-like
        reset : bool
            Whether how X comes in is learnt, or compared.
        renewed : set of str
            Parameters that were changed since the last fit.
        sizes : {"one", "unequal", "any"}, default="one"
            Whether all samples must have the size of the fit; or may differ in size, but an array
            has that of the fit unless that had unequal ones; or may have any size that the layers
            can do with.
        """
        if isinstance(X, Stored):
            in_cells, X = False, OnDemand(X)
        elif type(X) is not np.ndarray or X.dtype.kind not in "biuf":
            in_cells, X = True, stacked_cells(X)
        else:
            in_cells = False
        if isinstance(X, Ragged):
            if sizes == "one":
                refuse_unequal(X)
            X = self._check_unequal(X, reset)
            return self._of_training(X, reset, renewed) if sizes == "unequal" else X
        if reset or hasattr(self, "feature_names_in_") or not isinstance(X, np.ndarray):
            _check_feature_names(self, X, reset=reset)  # takes as long as a small forward
        if not isinstance(X, OnDemand):
            X = as_array(X, self)
            check_range(X, self._work_dtype(X) if reset else self.network_.dtype, "X")
        if not reset and X.shape[1:] != self._inputs.shape:
            other = self._of_other_size(X, sizes, in_cells)
            if other is not None:
                return self._of_training(other, reset, renewed) if sizes == "unequal" else other
        if X.ndim == 2 and (not reset or self.input_shape is None):
            _check_n_features(self, X, reset=reset)
        if reset:
            self._inputs = learn_inputs(X.shape, *self._input_params())
            self.input_shape_ = self._inputs.sample_shape
            self.n_features_in_ = prod(self.input_shape_)
        self._of_training(X, reset, renewed)
        return self._inputs.view(X, type(self).__name__)

    def _seen(self, X, features=None):
        """X of a prediction, and what is beside it, checked."""
        X, features = split_table(X, features)
        return self._beside(self._check_X(X, reset=False, sizes="any"), features)

    def _of_training(self, X, reset, renewed):
        """X; parameters that say how it comes in may have been changed."""
        if not reset and not renewed.isdisjoint(INPUT_PARAMS):
            self._inputs = renewed_inputs(self._inputs, *self._input_params())
        return X

    def _of_other_size(self, X, sizes, in_cells):
        """Checked X of another size than that of the fit, channels last, or None if it has none;
        raises ValueError if the network cannot see it."""
        inputs = self._inputs
        if len(inputs.shape) > 1:
            refuse_single(X.shape, inputs.fits)
        if inputs.differ and sizes == "one":
            raise ValueError(
                f"{type(self).__name__} was fitted with samples of unequal sizes, {inputs.shape}; "
                "this takes networks that were fitted with samples of one size"
            )
        may_differ = sizes == "any" or (sizes == "unequal" and (in_cells or inputs.differ))
        if not may_differ or not inputs.resizes(X.shape[1:]):
            return None
        turned = inputs.turn(X)
        try:
            self._network_for(turned)
        except ShapeError as error:
            if inputs.differ:
                shape = turned.shape[1:]
                raise ValueError(self._not_any_size("each sample of X", shape, error)) from None
            raise ValueError(
                f"X has samples of shape {X.shape[1:]}, but {type(self).__name__} was fitted with "
                f"samples of shape {inputs.shape}, and not all of its layers can do with "
                f"another size: {error}. Resize X, or let scan move the network over larger samples"
            ) from None
        return turned

    def _input_params(self):
        return self.layers, self.input_shape, self.data_format, self.input_kind

    def _work_dtype(self, X):
        if self.dtype != "auto":
            return np.dtype(self.dtype)
        dtypes = {sample.dtype for sample in X.samples} if isinstance(X, Ragged) else {X.dtype}
        wide = all(dtype.newbyteorder("=") == "f8" for dtype in dtypes)
        return np.dtype("float64" if wide else "float32")

    def _check_weight(self, sample_weight, X):
        """Weights of samples (n,), or of pixels (n, *map_size)."""
        if sample_weight is None:
            return np.ones(len(X))
        if as_ragged(sample_weight) is not None:
            raise ValueError(
                "sample_weight holds maps of unequal sizes: give a weight for each sample, and let "
                "pixels that do not count have ignore_label, or be NaN"
            )
        if np.asarray(sample_weight).ndim < 2:
            return _check_sample_weight(
                sample_weight, np.empty(len(X)), dtype=np.float64, ensure_non_negative=True
            )
        weight = check_array(
            sample_weight,
            dtype=[np.float64, np.float32],
            allow_nd=True,
            ensure_non_negative=True,
            input_name="sample_weight",
        )
        if len(weight) != len(X):
            raise ValueError(
                f"sample_weight has {len(weight)} samples, but X has {len(X)}: give as many"
            )
        return weight

    def _score_weight(self, sample_weight, y):
        """Checked weights for a score, in range; None where none were given."""
        if sample_weight is None:
            return None
        weight = self._target.weight_of_loss(self._check_weight(sample_weight, y))
        return in_range(weight)

    def _checked(self, X, given, relative=True):
        """Which samples of checked X have a weight above zero, with their y and weights, checked.

        Of weights that are `relative` only the proportions count.
        """
        if given.y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        y = self._check_y(given.y, given.boxes)
        if isinstance(y, Ragged) and not isinstance(X, Ragged):
            raise ValueError(
                f"y holds entries of unequal sizes, such as {y[0].shape} and {y.largest}, but the "
                "samples of X have one size: give maps of the sizes that the layers end in"
            )
        if len(X) != len(y):
            fix = ", or X[np.newaxis] if X is one sample" if len(y) == 1 else ""
            raise ValueError(f"X has {len(X)} samples, but y has {len(y)}: give as many{fix}")
        weight = self._check_weight(given.weight, X)
        dtype = self.network_.dtype if hasattr(self, "network_") else self._work_dtype(X)
        counted = is_counted(weight, dtype, relative)
        if not counted.any():
            raise ValueError("sample_weight: all weights are zero, so nothing is left to fit")
        counted &= ~self._absent(y)
        if not counted.any():
            raise ValueError("y has no value or label for any sample whose weight is above zero")
        rows = np.flatnonzero(counted)
        if len(rows) < len(X):
            y, weight = y[rows], weight[rows]
        return Checked(X, rows, y, weight)

    def _with_class_weights(self, target, weight, relative):
        """Weights times those of the classes, and which of them count."""
        weight = in_range(weight) if relative else weight
        factors = self._weights_of_classes(target, of_samples(weight))
        if np.ndim(factors):
            weight = weight * factors.reshape(-1, *[1] * (weight.ndim - 1))
        weight = in_range(weight) if relative else weight
        counted = is_counted(weight, self.network_.dtype, relative)
        if not counted.any():
            raise ValueError("class_weight leaves every sample with a weight of zero")
        weight = weight if counted.all() else weight[counted]
        return weight / weight.mean() if relative else weight, counted

    def _validation(self, given):
        """Samples to validate with from what `fit` was given, or None."""
        named = given.named("_val")
        if not named:
            return None
        lacking = [name for name in ("X_val", "y_val") if name not in named]
        if lacking:
            raise ValueError(f"{next(iter(named))} is provided, but {lacking[0]} was not provided.")
        with about("X_val"):
            X = self._check_X(given.X, reset=False, sizes="unequal")
        with about("features_val"):
            X = self._beside(X, given.features)
        with about("y_val"):
            checked = self._checked(X, replace(given, weight=None))
        if given.weight is not None:
            with about("sample_weight_val"):
                checked = self._checked(X, given)
        with about("sample_weight_val"):
            self._target.weight_of_loss(checked.weight)
        with about("y_val"):
            samples = self._encoded(checked)
            for (some,) in pieces(samples.target):
                self._loss().check_target(some)
            return samples

    def _encoded(self, checked):
        """Samples to validate with, as the network and the loss take them."""
        weight = in_range(checked.weight)
        weight = weight / weight.mean()
        target = self._target_in_view(checked, self._encode(checked))
        return self._weighted(checked.X, checked.rows, target, weight)

    def _encode(self, checked):
        """y as the loss takes it."""
        if self._target.any_size:
            self._check_maps(checked)
        return self._target.encode(checked.y, self.network_.dtype)

    def _weighted(self, X, rows, target, weight, relative=True):
        """Samples with weights, their own or those of their pixels."""
        weight = self._target.weight_of_loss(weight)
        scale = 1 / self._target.share_that_is_there(target, weight) if relative else 1.0
        dtype = self.network_.dtype
        pixel_weight = None if weight.ndim == 1 else weight.astype(dtype)
        return Samples(X, target, of_samples(weight).astype(dtype), rows, pixel_weight, scale)

    def _split(self, checked):
        """Samples to train on, and to validate with, for early stopping."""
        from sklearn.model_selection import train_test_split  # slow to import

        try:
            kept, held_out = train_test_split(
                np.arange(len(checked)),
                test_size=self.validation_fraction,
                random_state=self._split_seed,
                stratify=self._target.stratify(checked.y),
            )
        except ValueError as error:
            raise ValueError(f"{self._cannot_split(len(checked))}: {error}") from None
        if len(held_out) < 2:
            raise ValueError(
                f"{self._cannot_split(len(checked))}: {len(held_out)} is too few to score"
            )
        if self.n_shards > 1:  # so that the rows of a shard lie next to each other
            kept, held_out = np.sort(kept), np.sort(held_out)
        return checked.take(kept), self._encoded(checked.take(held_out))

    def _cannot_split(self, n):
        return (
            f"early_stopping=True cannot hold out validation_fraction={self.validation_fraction} "
            f"of {n} samples (set another fraction, give X_val and y_val, or set "
            "early_stopping=False)"
        )
