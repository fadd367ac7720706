"""Maps: a label or values for each pixel."""

from copy import copy
from math import prod

import numpy as np

from ...layers import Conv1D, Conv2D, Conv3D
from ...losses import FunctionLoss
from ...messages import warn_caller
from ...objectives import WeightedPixels
from ...ragged import Ragged
from ...scores import RunningR2, weight_of_pixels
from ..checks import blocks_of, pieces
from ..class_weight import counts_of, weights_of_classes
from ..weights import in_range, of_samples
from .labels import ClassTarget, codes_of, refuse_boxes
from .values import ValueTarget, share_of
from .views import log_mean_of_maps, mean_of_maps


class LabelMapTarget(ClassTarget):
    """A label for every pixel; an output for each class and pixel.

    Attributes
    ----------
    map_size : tuple of int
        Number of pixels along each axis.
    ignored : label or None
        Pixels of this label carry no loss and no score; their code is -1.
    last_axis : bool
        Whether y has an axis of length 1 after those of the maps.
    """

    votings = ("soft",)
    map_size: tuple[int, ...]
    crops_vote = False
    lies_in_sample = True

    def __init__(self, classes, map_size, ignored=None, last_axis=False):
        super().__init__(classes)
        self.map_size = map_size
        self.ignored = ignored
        self.last_axis = last_axis

    def output_layers(self, input_shape):
        return map_output(self.n_outputs, self.map_size, input_shape)

    def pool_of_outputs(self, last_shape):
        return no_pool(self, last_shape)

    def _maps(self, y, size=None):
        """y without the last axis that it may have, or refused if it is not of a size."""
        if size is None:
            size = y.shape[1 : 1 + len(self.map_size)] if self.any_size else self.map_size
        if y.shape[1:] == (*size, 1):
            y = y[..., 0]
        if y.shape[1:] != size:
            raise ValueError(
                f"y has shape {y.shape}, expected maps of {pixels(size)} labels, as before"
            )
        return y

    def encode(self, y, dtype):
        """Codes of the labels, in the smallest dtype: there are many."""
        refuse_boxes(y)
        if isinstance(y, Ragged):
            return y.map(lambda sample: self.encode(sample[np.newaxis], dtype)[0])
        y = self._maps(y)
        if self.ignored is not None and isinstance(self.ignored, str) != (y.dtype.kind in "USO"):
            raise ValueError(
                f"ignore_label={self.ignored!r} is a {type(self.ignored).__name__}, but y holds "
                f"labels of dtype {y.dtype}"
            )
        codes = np.empty(y.shape, np.min_scalar_type(-len(self.classes) - 1))
        for block in blocks_of(y):
            if self.ignored is None:
                codes[block] = codes_of(y[block], self.classes)
            else:
                counted = y[block] != self.ignored
                codes[block] = -1
                codes[block][counted] = codes_of(y[block][counted], self.classes)
        return codes

    def share_that_is_there(self, target, weight):
        if self.ignored is None:
            return 1.0
        return share_of(target, weight, lambda codes: codes >= 0)

    def class_factors(self, class_weight, target, weight):
        return 1.0  # pixels have them, in `objective`

    def objective(self, loss, target, weight, class_weight=None, box_weight=None, relative=True):
        if class_weight is None:
            return loss
        if isinstance(loss, FunctionLoss):
            raise ValueError(
                "class_weight weighs the pixels of maps, but the function given as loss "
                "returns one loss a sample: let it weigh the pixels, and leave class_weight out"
            )
        counts = sum(counts_of(*some, self.n_outputs) for some in pieces(target, weight))
        weights = weights_of_classes(class_weight, self.classes, counts)
        if relative:
            weights = in_range(weights) if weights.any() else weights
            weights = weights / (np.average(weights, weights=counts) or np.inf)
        if not weights.any():
            raise ValueError("class_weight leaves every pixel with a weight of zero")
        return WeightedPixels(loss, weights)

    def vote_of_views(self, seen, voting):
        return mean_of_maps(seen, len(self.map_size))

    def log_vote_of_views(self, seen, voting):
        return log_mean_of_maps(seen, len(self.map_size))

    def decode(self, P):
        labels = super().decode(P)
        return labels[..., np.newaxis] if self.last_axis else labels

    def score(self, y, predicted, sample_weight):
        """Share of right pixels, of those that are not ignored."""
        right = total = 0.0
        for some, found, weight in scored(y, predicted, sample_weight):
            for a, b, c in pieces(*self._alike(some, found), weight):
                w = weight_of_pixels(c, a.shape)
                if self.ignored is not None:
                    w = w * (a != self.ignored)
                right += float(np.sum(w * (a == b)))
                total += float(np.sum(w))
        return right / total if total else np.nan

    def _alike(self, y, predicted):
        """Labels and predicted ones without the last axis that they may have."""
        size = predicted.shape[1 : 1 + len(self.map_size)]
        y, predicted = np.asarray(y), self._maps(predicted, size)
        if y.shape not in (predicted.shape, (*predicted.shape, 1)):
            raise ValueError(f"y has shape {y.shape}, expected {predicted.shape}, as predicted")
        return self._maps(y, size), predicted

    def stratify(self, y):
        return None

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        # Pixels from beyond an image have the label 0: the first class, or none.
        shift = target.dtype.type(self.ignored is not None)
        X, _, target = augmentation.augment(
            X, label_maps=target + shift, random_state=random_state, n_threads=n_threads
        )
        return X, target - shift


class ValueMapTarget(ValueTarget):
    """Maps of values of the size of the last maps, one value or several a pixel.

    Attributes
    ----------
    moves : bool
        Whether they move with the image.
    """

    crops_vote = False
    shares_unit = True

    def __init__(self, sample_shape, moves, normalize=False, n_axes=2):
        self.sample_shape = sample_shape
        self.map_size = sample_shape[:n_axes]
        has_values = len(sample_shape) == n_axes + 1
        super().__init__(sample_shape[n_axes:] if has_values else (), normalize)
        self.sample_shape = sample_shape
        self.moves = moves

    @property
    def lies_in_sample(self):
        return self.moves

    def output_layers(self, input_shape):
        try:
            return map_output(self.n_outputs, self.map_size, input_shape)
        except ValueError as error:
            if self.sample_shape[-1] != 2:
                raise
            raise ValueError(
                f"{error}. If y is points (n_samples, n_points, 2), set target='points'"
            ) from None

    def pool_of_outputs(self, last_shape):
        return no_pool(self, last_shape)

    def begin(self, network, y, weight, loss):
        if isinstance(y, Ragged):  # one mean for all pixels, whatever the size
            weight = np.repeat(of_samples(weight), [sample.size // self.n_outputs for sample in y])
            rows = np.concatenate([sample.reshape(-1, self.n_outputs) for sample in y])
            pixels = ValueTarget((self.n_outputs,), self.normalize)
            pixels.begin(network, rows, weight, loss)
            self.mean, self.deviation = pixels.mean, pixels.deviation
        else:
            super().begin(network, y, weight, loss)

    def encode(self, y, dtype):
        if isinstance(y, Ragged):
            return y.map(lambda sample: self.encode(sample[np.newaxis], dtype)[0])
        return super().encode(y, dtype)

    def new_score(self, loss):
        if not self.any_size:
            return super().new_score(loss)
        return RunningR2(loss.inverse_link, self.deviation, pooled=True)

    def score(self, y, predicted, sample_weight):
        if isinstance(predicted, list):
            return self._pooled_score(y, predicted, sample_weight)
        n_axes = len(self.map_size)
        if predicted.shape[1 : 1 + n_axes] == self.map_size:
            return super().score(y, predicted, sample_weight)
        other = copy(self)  # of samples of another size
        other.sample_shape = predicted.shape[1:]
        other.map_size = predicted.shape[1 : 1 + n_axes]
        return other.score(y, predicted, sample_weight)

    def _pooled_score(self, y, predicted, sample_weight):
        """R^2 over the pixels of all maps."""
        score = RunningR2(scale=np.ones(1), pooled=True)
        for some, found, weight in scored(y, predicted, sample_weight):
            if some.size != found.size:
                raise ValueError(f"y has maps of {some.shape[1:]}, expected {found.shape[1:]}")
            shape = (*found.shape[: 1 + len(self.map_size)], self.n_outputs)
            score.add(found.reshape(shape), some.reshape(shape).astype(np.float64), weight)
        return score.value()

    def _in_shape(self, values):
        return values.reshape(*values.shape[:-1], *self.sample_shape[len(self.map_size) :])

    def _columns(self, y):
        size = y.shape[1 : 1 + len(self.map_size)]
        if self.any_size and y[0].size == prod(size) * self.n_outputs:
            return y.reshape(len(y), *size, self.n_outputs)
        if y.shape[1:] != self.sample_shape:
            raise ValueError(
                f"y has shape {y.shape}, but the network was begun with {self.sample_shape} a "
                "sample"
            )
        return y.reshape(len(y), *self.map_size, self.n_outputs)

    def of_views(self, seen):
        if not self.moves:
            return super().of_views(seen)
        return mean_of_maps(seen, len(self.map_size))

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        if not self.moves:
            return super().augmented(augmentation, X, target, random_state, n_threads)
        # Pixels from beyond an image have the value 0, of y.
        zero = (-self.mean / self.deviation).astype(target.dtype)
        X, _, target = augmentation.augment(
            X, label_maps=target - zero, random_state=random_state, n_threads=n_threads
        )
        return X, target + zero

    def moved(self, augmentation, X, maps, random_state, n_threads):
        return super().moved(augmentation, X, maps, random_state, n_threads) if self.moves else maps


def scored(y, predicted, weight):
    """Arrays of y, of what was predicted for it, and of weights: all at once, or where maps differ
    in size sample by sample."""
    weight = np.ones(len(predicted)) if weight is None else weight
    if not isinstance(predicted, list):
        yield y, predicted, weight
        return
    if len(y) != len(predicted):
        raise ValueError(f"y has {len(y)} samples, expected {len(predicted)}, as predicted")
    for i, (some, found) in enumerate(zip(y, predicted, strict=True)):
        yield np.asarray(some)[np.newaxis], found[np.newaxis], weight[i : i + 1]


def no_pool(target, last_shape):
    """No layer behind maps that are the outputs; raises ValueError if they are of another shape."""
    map_output(target.n_outputs, target.map_size, last_shape)
    target._check_channels(last_shape)
    return []


def pixels(size):
    """A size as people write it: 28 x 28."""
    return " x ".join(map(str, size))


def map_output(n_outputs, map_size, input_shape):
    """The output layer for maps: the same dense layer at every pixel.

    Raises
    ------
    ValueError
        If the last maps are none, or of another size.
    """
    conv = {1: Conv1D, 2: Conv2D, 3: Conv3D}.get(len(map_size))
    larger = {
        1: "ConvTranspose1D, Upsample1D",
        3: "ConvTranspose3D, Upsample3D",
    }.get(len(map_size), "ConvTranspose2D, Upsample2D; see architectures.unet")
    fix = (
        f"use padding='same' and enlarge again what strides and pools made smaller ({larger}), "
        "or give y in the size of the maps"
    )
    if len(input_shape) == len(map_size) and input_shape[:-1] == map_size[:-1]:
        fix = f"if the last axis of y is one-hot, give labels, y.argmax(-1); otherwise {fix}"
    if conv is None or len(input_shape) != len(map_size) + 1:
        raise ValueError(
            f"y holds maps of {pixels(map_size)}, but the layers end in shape {input_shape}, "
            f"which are no such maps: let them end in maps of that size: {fix}"
        )
    if input_shape[:-1] != map_size:
        raise ValueError(
            f"y holds maps of {pixels(map_size)}, but the layers end in maps of "
            f"{pixels(input_shape[:-1])}: {fix}"
        )
    return [("output", conv(n_outputs, 1, activation="identity"))]


def holds_maps(y, last_shape, n_steps=None, classes=None):
    """True if checked labels or values are one for each pixel of the last maps.

    Of two axes they may as well be columns. Then the length of the maps decides, and a warning
    says what was decided; also where y has an entry for each step of X, but the maps have not.
    """
    if isinstance(y, Ragged):
        return True
    if y.ndim != 2 or isinstance(classes, list) or len(last_shape) != 2:
        return y.ndim > 2
    n_columns, length = y.shape[1], last_shape[0]
    is_map = n_columns == length > 1
    if is_map:
        warn_caller(
            f"y of shape {y.shape} is taken for maps, with an entry for each of the {length} "
            "positions in which the layers end: target='maps' says so without this warning. For "
            f"{length} entries a sample, let the layers end in Flatten()",
            UserWarning,
        )
    elif n_columns == n_steps and n_steps > 1:
        warn_caller(
            f"y of shape {y.shape} has an entry for each of the {n_steps} steps of X, but the "
            f"layers end in {length} positions, so it is taken for {n_steps} entries a sample. To "
            "have an entry for each step, let the layers end in as many positions, by "
            "padding='same' and without strides or pools. Otherwise let them end in Flatten()",
            UserWarning,
        )
    return is_map


def shape_of_maps(y, last_shape):
    """The shape of an entry of y; where they differ in size, of that for the largest sample, of
    which the layers make `last_shape`."""
    shape = y.shape[1:]
    return (*last_shape[:-1], *shape[len(last_shape) - 1 :]) if isinstance(y, Ragged) else shape


def size_of_maps(sample_shape, n_axes):
    """The size of maps of labels, and whether there is an axis of length 1 behind it."""
    last_axis = len(sample_shape) == n_axes + 1 and sample_shape[-1] == 1
    return (sample_shape[:-1], True) if last_axis else (sample_shape, False)
