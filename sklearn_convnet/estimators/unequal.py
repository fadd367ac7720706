"""X whose samples differ in size: checked sample by sample, and by what the layers can do with it.

# Design:
# * Samples are a `Ragged`, each as it was given and with the channels last. What works on arrays
#   works on the parts of it that have one size, in `Network.resized`. Nothing is padded, so nothing
#   can depend on what a sample was padded with.
# * The network itself is compiled for the largest sample, which its tables tell of.
# * What cannot be is told before training begins, with the sample and the layer.
"""

from dataclasses import replace

import numpy as np

from ..layers import Sequential
from ..layers.composition import ShapeError, hint_of_divisor, with_channels
from ..messages import about
from ..network.node import walk
from ..ragged import Ragged
from .checks import check_range
from .inputs import as_array, learn_unequal
from .targets.boxes import BoxTarget
from .targets.maps import pixels


def refuse_unequal(X):
    """Raises ValueError for samples that differ in size, where they may not."""
    first = X.samples[0].shape
    i = next(i for i, sample in enumerate(X.samples) if sample.shape != first)
    raise ValueError(
        f"X must be an array of samples of one size, but X[0] has shape {first} and X[{i}] "
        f"{X.samples[i].shape}: crop, pad or resize them; sklearn_convnet.datasets.pad_series "
        "pads series"
    )


class UnequalMixin:
    """Samples that differ in size."""

    def _check_unequal(self, X, reset):
        """Checked `Ragged` X with the channels last, as `_check_X` returns an array."""
        if reset:
            for name in ("feature_names_in_", "n_features_in_"):
                vars(self).pop(name, None)
            self._inputs = learn_unequal(X, *self._input_params())
            self.input_shape_ = self._inputs.sample_shape
        inputs, name = self._inputs, type(self).__name__
        for shape, i in X.first_of_sizes().items():
            if 0 in shape:
                raise ValueError(f"X[{i}] has shape {shape}, which holds no values")
            if not inputs.allows(shape):
                raise ValueError(
                    f"X[{i}] has shape {shape}, but {name} was fitted with samples of shape "
                    f"{inputs.shape}"
                )
        X = Ragged(self._checked_sample(sample, i) for i, sample in enumerate(X.samples))
        dtype = self._work_dtype(X) if reset else self.network_.dtype
        for i, sample in enumerate(X.samples):
            check_range(sample[np.newaxis], dtype, f"X[{i}]")
        X = X.map(lambda sample: inputs.turn(sample[np.newaxis])[0])
        if not reset:
            self._check_sizes(X)
        return X

    def _checked_sample(self, sample, i):
        with about(f"X[{i}]"):
            return as_array(sample[np.newaxis], self)[0]

    def _check_layers(self, X, pairs):
        """Raises ValueError for a sample that the user's layers do not fit, before there is a
        network."""
        if not isinstance(X, Ragged):
            return
        for shape, i in X.first_of_sizes().items():
            with self._about_sample(i, shape):
                seen = with_channels(pairs, self._seen_shape(shape))
                with hint_of_divisor(pairs, seen):
                    Sequential(pairs).output_shape(seen)

    def _check_crops(self, X):
        """Raises ValueError for a sample that is smaller than its crops."""
        if isinstance(X, Ragged) and self.multi_crop is not None:
            for shape, i in X.first_of_sizes().items():
                with self._about_sample(i, shape):
                    self._seen_shape(shape)

    def _about_sample(self, i, shape):
        """A ValueError inside names the sample, of a shape with the channels last."""
        return about(f"X[{i}] of shape {self._inputs.order_of(shape)}")

    def _seen_shape(self, shape):
        """The shape in which the network sees a sample of a shape, channels last."""
        return shape if self.multi_crop is None else self.multi_crop.output_shape(shape)

    def _check_sizes(self, X, training=False):
        """Raises ValueError for a checked sample that the network cannot see, or train on."""
        if self._fitted["multi_crop"] is not None:
            return
        for shape, i in X.first_of_sizes().items():
            try:
                self.network_.resized(shape, training)
            except ShapeError as error:
                raise ValueError(self._not_any_size(f"X[{i}]", shape, error)) from None

    def _not_any_size(self, what, shape, error):
        return (
            f"{what} has shape {self._inputs.order_of(shape)}, but not all layers of this "
            f"{type(self).__name__} can do with another size: {error}. Where samples differ in "
            "size, let what the layers make of them end in GlobalAvgPool() or GlobalMaxPool(), and "
            "standardise channels; or make samples of one size (pad_series, or a crop)"
        )

    def _check_training(self, X):
        """Raises ValueError if the network cannot be trained on checked X; sizes that
        are new are then known."""
        self._widen(self._inputs.order_of(X.shape[1:]))
        if self._inputs.differ and self.multi_crop is None:
            self._target.any_size = self._target.map_size is not None
        if not isinstance(X, Ragged):
            return
        if isinstance(self._target, BoxTarget) and self._target.units == "pixels":
            raise ValueError(
                "box_units='pixels' needs images of one size: give boxes as shares of the width "
                "and height, box_units='share'"
            )
        self._check_sizes(X, training=True)
        if self.multi_crop is None:
            self._check_variances(X)

    def _check_variances(self, X):
        """Raises ValueError for a batch norm that sees one value of each channel of a sample."""
        for shape, i in X.first_of_sizes().items():
            for node in walk(self.network_.resized(shape, training=True).nodes):
                if node.smallest_batch > 1:
                    raise ValueError(
                        f"layer {node.path!r}: of X[{i}] of shape {self._inputs.order_of(shape)} "
                        "it sees one value of each channel, and a batch may hold no second sample "
                        "of that size to take a variance from: put it before the global pool, or "
                        "leave it out"
                    )

    def _check_maps(self, checked):
        """Raises ValueError for a map in y that is not of the size of what the network makes of its
        sample."""
        sizes, n_axes = {}, len(self._target.map_size)
        for row, y in zip(checked.rows, checked.y, strict=True):
            shape = checked.X[int(row)].shape
            if shape not in sizes:
                sizes[shape] = self.network_.resized(shape).output_shape[:-1]
            if y.shape[:n_axes] != sizes[shape]:
                raise ValueError(
                    f"y[{row}] has shape {y.shape}, but of X[{row}], of shape "
                    f"{self._inputs.order_of(shape)}, the layers make maps of "
                    f"{pixels(sizes[shape])}: give y in the size of the maps, or let the layers "
                    "keep that of the samples"
                )

    def _widen(self, shape):
        """Training goes on with samples of another shape too, in the order of X."""
        inputs = self._inputs
        axes = zip(inputs.shape, shape, strict=True)
        both = tuple(a if a == b else None for a, b in axes)
        if both != inputs.shape:
            self._inputs = replace(inputs, shape=both, largest=inputs.concrete)
            self.input_shape_ = self._inputs.sample_shape
            vars(self).pop("n_features_in_", None)
