"""X as the user gave it: its checks, which axis has the channels, and what a sample is.

# Design:
# * `Inputs` is learnt from the first X and kept, so that a later X is read as the first was,
#   whatever the parameters say by then.
# * Channels that come first are turned by a view, never by a copy of X: whoever takes a batch
#   of it gets channels last, in memory or in a file.
"""

import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from numbers import Integral

import numpy as np
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_array

from ..beside import apart
from ..layers.composition import ShapeError, first_n_axes
from ..layers.shapes import AXIS_NAMES, plain
from ..messages import BEGIN_ANEW, warn_caller
from ..on_demand import OnDemand
from ..ragged import Ragged

#: Parameters that say how X comes in.
INPUT_PARAMS = ("layers", "input_shape", "data_format", "input_kind")

#: Number of axes besides the channels; "flat" may be a signal or the columns of a table.
KINDS = {"table": 0, "flat": 1, "signal": 1, "image": 2, "volume": 3}

#: Two axes are taken for a signal of several channels if it has no more channels than this,
#: and is so many times as long: few images are such narrow strips.
SIGNAL_CHANNELS, SIGNAL_LENGTH = 16, 4

#: Numbers of channels that images and volumes most often have, and hardly of rows or columns.
USUAL_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Inputs:
    """How X comes in.

    Attributes
    ----------
    shape : tuple of int or None
        Of one sample, in the order of X; None where samples differ.
    kind : str
        What a sample is, one of `KINDS`.
    channels_first : bool
        What `data_format` said.
    largest, smallest : tuple of int
        Where samples differ: the shape of the one with the most values, which the network is
        compiled for, and the smallest length of each axis if the first fit has seen some.
    """

    shape: tuple
    kind: str
    channels_first: bool
    largest: tuple = ()
    smallest: tuple = ()

    @property
    def differ(self):
        """True if samples differ in size."""
        return None in self.shape

    @property
    def concrete(self):
        """The shape of a sample, in the order of X: the largest, where they differ."""
        return self.largest or self.shape

    @property
    def network_shape(self):
        """The shape that the network is compiled for, channels last."""
        return replace(self, shape=self.concrete).sample_shape

    def order_of(self, shape):
        """A shape with the channels last, in the order of X."""
        return (shape[-1], *shape[:-1]) if self.turned else shape

    def allows(self, shape):
        """True if one of several samples of unequal sizes may have this shape."""
        if len(shape) != len(self.shape) or self.kind in ("flat", "table"):
            return shape == self.shape
        axis = 0 if self.channels_first else -1
        return not self.has_channels or shape[axis] == self.shape[axis]

    @property
    def has_channels(self):
        """True if a sample has an axis of channels."""
        return len(self.shape) == KINDS[self.kind] + 1 > 1

    @property
    def turned(self):
        """True if the channels have to be put last."""
        return self.channels_first and self.has_channels

    @property
    def sample_shape(self):
        """The shape of a sample as the network sees it, channels last."""
        return (*self.shape[1:], self.shape[0]) if self.turned else self.shape

    def fits(self, shape):
        """True if samples of this shape are meant: an axis of one channel may be left out or
        added, and all values may be in a row."""
        if self.differ:
            return self.allows(shape)
        if shape in (self.shape, (prod(self.shape),)):
            return True
        return same_but_one_channel(shape, self.shape, self.channels_first) and not (
            self.has_channels and len(shape) > len(self.shape)
        )

    def resizes(self, shape):
        """True if samples of this shape are of another size, with as many axes and channels; flat
        samples have features, whose number does not change."""
        if self.differ:
            return self.allows(shape)
        if self.fits(shape) or len(self.shape) == 1 or len(shape) != len(self.shape):
            return False
        axis = 0 if self.channels_first else -1
        return not self.has_channels or shape[axis] == self.shape[axis]

    def turn(self, X):
        """X with the channels last, a view."""
        return X.transpose(0, *range(2, X.ndim), 1) if self.turned else X

    def view(self, X, name="the estimator"):
        """X with the channels last, without a copy.

        Raises
        ------
        ValueError
            If its samples are of another shape; `name` is who was fitted.
        """
        if X.shape[1:] != self.shape:
            if not self.fits(X.shape[1:]):
                raise ValueError(
                    f"X has samples of shape {X.shape[1:]}, but {name} was fitted with samples "
                    f"of shape {self.shape}"
                )
            X = X.reshape(len(X), *self.shape)
        return self.turn(X)

    def as_given(self, X):
        """The inverse of `view`: in the order of the user's X again; a list of samples, where they
        differ in size; or X itself, where it is `OnDemand`. Without features."""
        X, _ = apart(X)
        if isinstance(X, OnDemand):
            return X.stored
        if isinstance(X, Ragged):
            return [self.as_given(sample[np.newaxis])[0] for sample in X.samples]
        return X.transpose(0, X.ndim - 1, *range(1, X.ndim - 1)) if self.turned else X


def first_row(X):
    """The first row of a table or Series of pandas, as an array; anything else as it is."""
    return X.iloc[:1].to_numpy() if hasattr(X, "iloc") else X


def split_table(X, features=None):
    """Samples and features of a table that has both: one column whose cells are arrays, beside
    others; of anything else what is given.

    Raises
    ------
    ValueError
        If features are given as well, or several columns hold arrays.
    """
    row = first_row(X)
    if not isinstance(row, np.ndarray) or row.dtype.kind != "O" or row.ndim != 2 or not row.size:
        return X, features
    holds_array = [_is_cell(value) and not _is_text(value) for value in row[0]]
    if len(holds_array) == 1 or not any(holds_array):
        return X, features
    if sum(holds_array) > 1:
        raise ValueError(
            f"X has {sum(holds_array)} columns whose cells are arrays: give one of them as X"
        )
    if features is not None:
        raise ValueError(
            "features are given twice, by features= and in columns of X: leave out one of them"
        )
    rows = getattr(X, "iloc", X)
    return rows[:, holds_array.index(True)], rows[:, ~np.array(holds_array)]


def stacked_cells(X):
    """X, or the samples that a list, a Series, the one column of a table or an array of objects
    holds, as one array, or `Ragged` where they differ in size.

    Raises
    ------
    ValueError
        If they are text, or differ in their number of axes, or there are several columns of them.
    """
    if _is_text(X):
        return _stacked([X])
    if isinstance(X, (list, tuple)):
        try:
            X = np.asarray(X)
        except ValueError:
            return _stacked(X)
    one = first_row(X)
    if not isinstance(one, np.ndarray) or one.dtype.kind not in "OUS" or not 1 <= one.ndim <= 2:
        return X
    if one.size == 0 or not _is_cell(one.flat[0]):
        return X
    if one.ndim == 2 and one.shape[1] > 1:
        if _is_text(one[0, 0]):
            return X  # mixed columns, of which scikit-learn says more
        raise ValueError(
            f"X has {one.shape[1]} columns whose cells are arrays: give one of them as X"
        )
    return _stacked(np.asarray(X).ravel())


def _is_text(value):
    return isinstance(value, (str, bytes, os.PathLike))


def _is_cell(value):
    """True if it is text, or a sample with axes of its own."""
    return _is_text(value) or np.ndim(value) > 0


def _stacked(cells):
    """Samples as one array, or `Ragged`; raises ValueError if they are text or no such samples."""
    if _is_text(cells[0]):
        raise ValueError(
            f"X holds text, such as {cells[0]!r}, but must be an array of numbers. If these are "
            "names of images, read them first, with sklearn_convnet.preprocessing.ImageReader"
        )
    samples = [np.asarray(cell) for cell in cells]
    n_axes = samples[0].ndim
    for i, sample in enumerate(samples):
        if sample.ndim != n_axes or n_axes == 0:
            raise ValueError(
                f"X must hold samples with the same axes, but X[0] has shape {samples[0].shape} "
                f"and X[{i}] {sample.shape}"
            )
    if len({sample.shape for sample in samples}) > 1:
        return Ragged(samples)
    return np.stack(samples)


def refuse_single(shape, fits):
    """Raises ValueError if X of this shape is one sample, and no array of them; `fits` says of
    a shape whether it is that of a sample."""
    if len(shape) > 1 and not fits(shape[1:]) and fits(shape):
        raise ValueError(
            f"X has shape {shape}, which is that of one sample: give an array of samples, "
            "X[np.newaxis]"
        )


def as_array(X, estimator):
    """X as an array of real numbers with at least two axes, in its own dtype."""
    if type(X) is np.ndarray and X.ndim > 1 and X.size and X.dtype.kind in "biuf":
        # All that is left to check; the rest takes as long as a small forward as well.
        assert_all_finite(X, estimator_name=type(estimator).__name__, input_name="X")
        return X
    X = check_array(X, dtype="numeric", allow_nd=True, estimator=estimator, input_name="X")
    if X.dtype.kind not in "biuf":
        raise ValueError(f"X must hold real numbers, got dtype {X.dtype}")
    return X


def same_but_one_channel(a, b, channels_first):
    """True if one of two shapes is the other with an axis of one channel."""
    if channels_first:
        return a == (1, *b) or b == (1, *a)
    return a == (*b, 1) or b == (*a, 1)


def learn_inputs(shape, layers, input_shape, data_format, input_kind):
    """The `Inputs` for a first X of this shape.

    Raises
    ------
    ValueError
        If the shape, `input_shape` and `input_kind` do not fit each other or the layers.
    """
    channels_first = data_format == "channels_first"
    shape = given_shape(shape, input_shape, channels_first)
    return Inputs(shape, kind_of(shape, layers, channels_first, input_kind), channels_first)


def learn_unequal(X, layers, input_shape, data_format, input_kind):
    """The `Inputs` for a first X whose samples differ in size.

    Raises
    ------
    ValueError
        If `input_shape` is given, the samples are rows of a table, differ in their channels, or
        `input_kind` does not fit them or the layers.
    """
    if input_shape is not None:
        raise ValueError(
            f"input_shape={input_shape!r} is the shape of all samples, but those of X differ in "
            "size: leave it out"
        )
    channels_first = data_format == "channels_first"
    shape, largest = X.shape[1:], X.largest
    if input_kind == "auto" and first_n_axes(layers) is None:
        kind = _kind_of_unequal(shape, channels_first)
    else:
        kind = kind_of(largest, layers, channels_first, input_kind)
    if kind in ("table", "flat"):
        raise ValueError("X has rows of different lengths, but a table has as many columns in each")
    inputs = Inputs(shape, kind, channels_first, largest, X.smallest)
    if KINDS[kind] not in (len(shape), len(shape) - 1):
        kind_of(largest, layers, channels_first, kind)  # says so
    if inputs.has_channels and shape[0 if channels_first else -1] is None:
        numbers = [sample.shape[0 if channels_first else -1] for sample in X.samples]
        i = next(i for i, number in enumerate(numbers) if number != numbers[0])
        raise ValueError(
            f"X[0] has {numbers[0]} channels and X[{i}] {numbers[i]}: samples may differ in size, "
            f"not in their channels; {advice(inputs)}"
        )
    return inputs


def _kind_of_unequal(shape, channels_first):
    """The kind of samples, by the axes along which they differ."""
    if len(shape) == 2 and shape[0 if channels_first else -1] is not None:
        return "signal"
    return {1: "signal", 2: "image", 3: "image"}.get(len(shape), "volume")


def renewed_inputs(before, layers, input_shape, data_format, input_kind):
    """The `Inputs` of a network that goes on, after some of the parameters were changed.

    Raises
    ------
    ValueError
        If the network would no longer see samples of the same shape.
    """
    channels_first = data_format == "channels_first"
    if before.differ:
        return _renewed_unequal(before, layers, input_shape, data_format, input_kind)
    shape = before.sample_shape
    if channels_first and before.has_channels:
        shape = (shape[-1], *shape[:-1])
    now = Inputs(shape, kind_of(shape, layers, channels_first, input_kind), channels_first)
    if input_shape is not None and not now.fits(checked_shape(input_shape)):
        raise ValueError(
            f"input_shape={input_shape!r} does not fit the last fit, which had samples of shape "
            f"{shape}: {BEGIN_ANEW}"
        )
    if now.sample_shape != before.sample_shape:
        raise ValueError(
            f"data_format={data_format!r} makes samples of shape {now.sample_shape} of what was "
            f"{before.sample_shape} in the last fit: {BEGIN_ANEW}"
        )
    return now


def _renewed_unequal(before, layers, input_shape, data_format, input_kind):
    """`renewed_inputs` where samples differ in size."""
    if input_shape is not None or (data_format == "channels_first") != before.channels_first:
        raise ValueError(
            f"input_shape={input_shape!r} and data_format={data_format!r} must stay what they were "
            f"where samples differ in size: {BEGIN_ANEW}"
        )
    if input_kind != "auto" or first_n_axes(layers) is not None:
        kind = kind_of(before.concrete, layers, before.channels_first, input_kind)
        if kind != before.kind:
            raise ValueError(
                f"samples were {before.kind}s in the last fit, are {kind}s: {BEGIN_ANEW}"
            )
    return before


def checked_shape(input_shape):
    """`input_shape` as a tuple; raises ValueError if it is no shape."""
    wanted = plain(input_shape)
    if not np.iterable(wanted) or not all(isinstance(n, Integral) and n >= 1 for n in wanted):
        raise ValueError(f"input_shape must hold positive integers, got {input_shape!r}")
    return tuple(map(int, wanted))


def given_shape(shape, input_shape, channels_first):
    """The shape of a sample in the order of X, whose shape this is, or `input_shape`."""
    seen = shape[1:]
    if 0 in seen:
        raise ValueError(f"X has samples of shape {seen}, which hold no values")
    if input_shape is None:
        return seen
    wanted = checked_shape(input_shape)

    def fits(shape):
        flat = (prod(wanted),)
        return shape in (wanted, flat) or same_but_one_channel(shape, wanted, channels_first)

    if not fits(seen):
        refuse_single(shape, fits)
        raise ValueError(
            f"X has samples of shape {seen}, expected input_shape={wanted} or "
            f"{prod(wanted)} values in a row"
        )
    return wanted


def kind_of(shape, layers, channels_first, input_kind):
    """The kind of a sample: as the first layer says that works on a number of axes, or else as
    `input_kind` says, or else as its shape looks.

    Raises
    ------
    ValueError
        If two of these contradict each other.
    """
    n_axes = first_n_axes(layers)
    if input_kind == "auto":
        by_layers = {1: "signal", 2: "image", 3: "volume"}.get(n_axes)
        return by_layers or likely_kind(shape, channels_first)
    expected = KINDS[input_kind]
    if n_axes not in (None, expected):
        raise ValueError(
            f"input_kind={input_kind!r} does not fit the layers, the first of which works on "
            f"{n_axes} axes and channels: set input_kind='auto', or give layers for such samples"
        )
    if expected and len(shape) not in (expected, expected + 1):
        axes = ", ".join(AXIS_NAMES[expected])
        raise ValueError(
            f"input_kind={input_kind!r} needs samples of shape ({axes}), with an axis of channels "
            f"or without, got {shape}: set another input_kind, or input_shape if X is flat"
        )
    return input_kind


def likely_kind(shape, channels_first=False):
    """The kind of samples of a shape, if nobody says so."""
    if len(shape) != 2:
        return {1: "flat", 3: "image"}.get(len(shape), "volume")
    channels, length = shape if channels_first else shape[::-1]
    is_signal = channels <= SIGNAL_CHANNELS and length >= SIGNAL_LENGTH * channels
    return "signal" if is_signal else "image"


# --- channels in the wrong place ---------------------------------------------------------


def advice(inputs):
    """The parameter to set if the channels are at the other end of a sample."""
    end = "last" if inputs.channels_first else "first"
    return f"if the {end} axis is that of the channels, set data_format='channels_{end}'"


def warn_if_turned(inputs, guessed):
    """Warns if the channels are most likely at the other end of a sample.

    Parameters
    ----------
    inputs : Inputs
    guessed : bool
        Whether the kind follows from the shape alone.
    """
    shape = inputs.shape
    if inputs.differ:
        return  # what differs are no channels
    if inputs.has_channels:
        taken = _unlikely_channels(inputs)
    elif guessed and len(shape) == 2 and likely_kind(shape, not inputs.channels_first) == "signal":
        taken = "images of one channel; input_kind='image' says that they are"
    else:
        return
    if taken:
        warn_caller(
            f"X has samples of shape {shape}, which are taken for {taken}. Channels may be at "
            f"the other end: {advice(inputs)}.",
            UserWarning,
        )


def _unlikely_channels(inputs):
    """A kind of sample that has its channels where they hardly are, in words, or None."""
    shape = inputs.shape[::-1] if inputs.channels_first else inputs.shape
    # For signals only a length of 1 is unlikely: few words may have long vectors.
    few = (1,) if inputs.kind == "signal" else USUAL_CHANNELS
    if shape[0] not in few or min(shape[1:]) <= SIGNAL_CHANNELS:
        return None
    return f"{inputs.kind}s of {shape[-1]} channels"


@contextmanager
def hint_of_format(inputs):
    """A shape that does not fit may have one more reason: X is flat, or its channels are at the
    other end."""
    try:
        yield
    except ValueError as error:
        reason = _reason(inputs)
        if reason is None:
            raise
        hint = f". X has samples of shape {inputs.shape}: {reason}"
        if isinstance(error, ShapeError):
            raise type(error)(error.path, error.problem + hint) from None
        raise ValueError(f"{error}{hint}") from None


def _reason(inputs):
    """A guess at what is wrong with the shape of a sample, or None."""
    if inputs.differ:
        return None
    n_axes = KINDS[inputs.kind]
    if len(inputs.shape) == 1 < n_axes:
        sizes = ", ".join(AXIS_NAMES[n_axes])
        return (
            f"set input_shape=({sizes}), or with channels, to what these {inputs.shape[0]} values "
            "are in a row"
        )
    shape = inputs.shape[::-1] if inputs.channels_first else inputs.shape
    if not inputs.has_channels or not shape[0] < shape[-1] or shape[0] > SIGNAL_CHANNELS:
        return None
    return advice(inputs)
