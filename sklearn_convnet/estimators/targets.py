"""From what a user calls y to what a loss needs, and back: a class for each kind of y.

# Design:
# * y takes three forms. What the user gave is checked (checks.py), which makes it an array
#   whose first axis is samples. A target, made of the first such y, encodes it for the loss:
#   again one array, samples first, so that a batch is ``target[rows]``. From the network's
#   output it decodes what the user gets, which looks as y did.
# * A target also says which output layers it needs and where they begin, what is to be made
#   small, how a prediction is scored, and what of it moves with an augmented image.
# * Maps have many labels: whatever is done to all of them goes in blocks of samples.
"""

from functools import reduce
from math import prod

import numpy as np

from ..layers import Conv1D, Conv2D, Conv3D, Dense
from ..layers.shapes import AXIS_NAMES
from ..losses import (
    ClassAndBox,
    FunctionLoss,
    SumOverColumns,
    WeightedPixels,
    log_logistic,
    log_softmax,
    logistic,
    softmax,
)
from ..messages import warn_caller
from ..moments import RunningMoments
from ..scores import RunningAccuracy, RunningR2, weight_of_pixels
from .checks import blocks_of, check_range, is_indicator
from .class_weight import counts_of, product_over_columns, weights_of_classes
from .weights import in_range


class Target:
    """Base class of the targets: what y holds, learnt when training begins.

    Attributes
    ----------
    n_outputs : int
        Outputs of the layer called "output".
    votings : tuple of str
        How several crops of an image can vote.
    """

    votings = ()
    #: Name of what makes probabilities of the network's output; None asks the loss.
    out_activation = None
    #: Number of pixels along each axis, where y holds maps.
    map_size = None
    #: Whether the output layers have what they begin with.
    has_begun = True
    #: Paths of what `weights` returns.
    own_weights = ()

    def share_that_is_there(self, target, weight):
        """Which share of an encoded target is not missing, by weights (n,) or (n, *map_size)."""
        return 1.0

    def weight_of_loss(self, weight):
        """Weights (n,), or those of pixels as (n, *map_size).

        Raises
        ------
        ValueError
            If there are others.
        """
        if weight.ndim == 1:
            return weight
        if self.map_size is None or weight.shape[1:] not in (self.map_size, (*self.map_size, 1)):
            expected = "(n_samples,)"
            if self.map_size is not None:
                expected += f", or for pixels (n_samples, {', '.join(map(str, self.map_size))})"
            raise ValueError(f"sample_weight has shape {weight.shape}, expected {expected}")
        return weight.reshape(len(weight), *self.map_size)

    def output_layers(self, input_shape):
        """`(name, layer)` pairs of the output layers, side by side on the last maps.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of these maps.
        """
        return [("output", Dense(self.n_outputs, activation="identity"))]

    def encode(self, y, dtype):
        """Checked y as the loss takes it.

        Raises
        ------
        ValueError
            If y is of another kind than the target was made of.
        """
        raise NotImplementedError(type(self))

    def begin(self, network, y, weight, loss):
        """Gives the output layers of a new network the values that they begin with.

        Parameters
        ----------
        network : Network
            Its weights have been drawn.
        y : ndarray
            Checked.
        weight : ndarray of shape (n,) or (n, *map_size)
        loss : Loss
        """

    def weights(self):
        """What belongs to the weights of the output layers: arrays by path."""
        return {}

    def take_weights(self, weights, copied, loss):
        """Takes what `weights` returned of another target from a dict of weights, whose arrays
        of the paths `copied` the network has taken."""

    def objective(self, loss, target, weight, class_weight=None, box_weight=None, relative=True):
        """What training makes small, for a loss and all encoded samples with their weights.

        Where classes of pixels have weights, `relative` ones have a mean of 1.
        """
        return loss

    def new_score(self, loss):
        """What gathers the score of a pass from the network's outputs, batch by batch."""
        raise NotImplementedError(type(self))

    def score(self, y, predicted, sample_weight):
        """How well a prediction fits y, larger is better."""
        raise NotImplementedError(type(self))

    def stratify(self, y):
        """What a validation split of checked y is stratified by, or None."""
        return None

    def check_voting(self, voting):
        """Raises ValueError if the predictions of several crops have no such vote."""
        if not self.votings:
            raise ValueError(
                "multi_crop votes over labels or values, but y holds what has a place in the "
                "image, or several columns of classes: leave it out"
            )
        if voting not in self.votings:
            raise ValueError(
                f"multi_crop: voting={voting!r} needs one label a sample, use voting='soft'"
            )

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        """A batch after an augmentation; what of the target lies in the image moves along.

        Parameters
        ----------
        augmentation : object with a method `augment`
        X : array of shape (n, *sample_shape)
        target : array
            Encoded.
        random_state : RandomState
        n_threads : int or None, default=None

        Returns
        -------
        X, target : arrays
        """
        X, _, _ = augmentation.augment(X, random_state=random_state, n_threads=n_threads)
        return X, target

    def moved(self, augmentation, X, maps, random_state, n_threads):
        """Maps, such as weights of pixels, after the augmentation of a batch."""
        return augmentation.augment(
            X, label_maps=maps, random_state=random_state, n_threads=n_threads
        )[2]


# --- labels ------------------------------------------------------------------------------


class ClassTarget(Target):
    """One label a sample; the network has an output for each class.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    """

    votings = ("soft", "hard")
    out_activation = "softmax"

    def __init__(self, classes):
        self.classes = classes
        self.n_outputs = len(classes)

    def encode(self, y, dtype):
        """Codes of the labels, as int64."""
        refuse_boxes(y)
        if y.ndim != 1:
            raise ValueError(
                f"y has shape {y.shape}, expected one label a sample, as before: one of "
                f"{self.classes.tolist()}"
            )
        return codes_of(y, self.classes)

    def class_factors(self, class_weight, target, weight):
        """A factor on the weight of each sample, from `class_weight`."""
        if class_weight is None:
            return 1.0
        counts = counts_of(target, weight, len(self.classes))
        return weights_of_classes(class_weight, self.classes, counts)[target]

    def probabilities(self, Z, kernels):
        """What `predict_proba` returns, from the network's output."""
        return softmax(Z, kernels, 1)

    def log_probabilities(self, Z):
        """What `predict_log_proba` returns, from the network's output."""
        return log_softmax(Z)

    def decode(self, P):
        """The label of the largest probability, the first of equal ones."""
        return self.classes[np.argmax(P, axis=-1)]

    def predict(self, Z, kernels):
        """What `predict` returns, from the network's output."""
        return self.decode(self.probabilities(Z, kernels))

    def right(self, Z, target):
        """Which share of each sample's labels the network's output has right."""
        return Z.argmax(axis=-1) == target

    def new_score(self, loss):
        return RunningAccuracy(self.right)

    def score(self, y, predicted, sample_weight):
        return accuracy(y, predicted, sample_weight)

    def stratify(self, y):
        return y


class MultilabelTarget(ClassTarget):
    """A row of labels that are there (1) or not (0); an output for each."""

    votings = ("soft",)
    out_activation = "logistic"

    def encode(self, y, dtype):
        refuse_boxes(y)
        if y.shape[1:] != (self.n_outputs,):
            raise ValueError(
                f"y has shape {y.shape}, expected a 0/1 indicator with {self.n_outputs} "
                "columns, as before"
            )
        if not is_indicator(y):
            raise ValueError("y holds values other than 0 and 1, expected an indicator, as before")
        return np.ascontiguousarray(y, dtype=dtype)

    def class_factors(self, class_weight, target, weight):
        both = np.array([0, 1])
        return product_over_columns(
            class_weight, [both] * self.n_outputs, target.astype(np.int64), weight
        )

    def probabilities(self, Z, kernels):
        return logistic(Z, kernels, 1)

    def log_probabilities(self, Z):
        return log_logistic(Z)

    def decode(self, P):
        return (P > 0.5).astype(int)

    def right(self, Z, target):
        """The share of each sample's labels that Z has on the right side of 0."""
        return np.mean((Z > 0) == (target > 0.5), axis=1)

    def stratify(self, y):
        return None


class ColumnsTarget(ClassTarget):
    """Several labels a sample, each with classes of its own.

    Attributes
    ----------
    classes : list of ndarray
        The labels of each column, sorted.
    """

    votings = ()

    def __init__(self, classes):
        self.classes = classes
        self.n_classes = [len(labels) for labels in classes]
        self.n_outputs = sum(self.n_classes)

    def encode(self, y, dtype):
        """Codes of the labels, as int64 of shape (n, n_columns)."""
        refuse_boxes(y)
        if y.shape[1:] != (len(self.classes),):
            raise ValueError(
                f"y has shape {y.shape}, expected {len(self.classes)} columns of labels, as before"
            )
        columns = zip(y.T, self.classes, strict=True)
        return np.stack([codes_of(*column) for column in columns], axis=1)

    def objective(self, loss, target, weight, class_weight=None, box_weight=None, relative=True):
        return SumOverColumns(loss, self.n_classes)

    def class_factors(self, class_weight, target, weight):
        return product_over_columns(class_weight, self.classes, target, weight)

    def probabilities(self, Z, kernels):
        """A list with an array for each column."""
        return [softmax(part, kernels, 1) for part in self._parts(Z)]

    def log_probabilities(self, Z):
        return [log_softmax(part) for part in self._parts(Z)]

    def _parts(self, Z):
        """The outputs for each column."""
        parts = np.split(Z, np.cumsum(self.n_classes)[:-1], axis=1)
        return [np.ascontiguousarray(part) for part in parts]

    def decode(self, P):
        pairs = zip(self.classes, P, strict=True)
        return np.stack([labels[np.argmax(p, axis=1)] for labels, p in pairs], axis=1)

    def right(self, Z, target):
        parts = np.split(Z, np.cumsum(self.n_classes)[:-1], axis=1)
        codes = np.stack([np.argmax(part, axis=1) for part in parts], axis=1)
        return np.mean(codes == target, axis=1)

    def stratify(self, y):
        return None


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

    votings = ()

    def __init__(self, classes, map_size, ignored=None, last_axis=False):
        super().__init__(classes)
        self.map_size = map_size
        self.ignored = ignored
        self.last_axis = last_axis

    def output_layers(self, input_shape):
        return map_output(self.n_outputs, self.map_size, input_shape)

    def _maps(self, y):
        """y without the last axis that it may have, or refused."""
        if y.shape[1:] == (*self.map_size, 1):
            y = y[..., 0]
        if y.shape[1:] != self.map_size:
            raise ValueError(
                f"y has shape {y.shape}, expected maps of {pixels(self.map_size)} labels, as before"
            )
        return y

    def encode(self, y, dtype):
        """Codes of the labels, in the smallest dtype: there are many."""
        refuse_boxes(y)
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
        counts = sum(
            counts_of(target[block], weight[block], self.n_outputs) for block in blocks_of(target)
        )
        weights = weights_of_classes(class_weight, self.classes, counts)
        if relative:
            weights = in_range(weights) if weights.any() else weights
            weights = weights / (np.average(weights, weights=counts) or np.inf)
        if not weights.any():
            raise ValueError("class_weight leaves every pixel with a weight of zero")
        return WeightedPixels(loss, weights)

    def decode(self, P):
        labels = super().decode(P)
        return labels[..., np.newaxis] if self.last_axis else labels

    def score(self, y, predicted, sample_weight):
        """Share of right pixels, of those that are not ignored."""
        y, predicted = np.asarray(y), self._maps(predicted)
        if y.shape not in (predicted.shape, (*predicted.shape, 1)):
            raise ValueError(f"y has shape {y.shape}, expected {predicted.shape}, as predicted")
        y = self._maps(y)
        weight = np.ones(len(y)) if sample_weight is None else sample_weight
        right = total = 0.0
        for block in blocks_of(y):
            w = weight_of_pixels(weight[block], y[block].shape)
            if self.ignored is not None:
                w = w * (y[block] != self.ignored)
            right += float(np.sum(w * (y[block] == predicted[block])))
            total += float(np.sum(w))
        return right / total if total else np.nan

    def stratify(self, y):
        return None

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        # What comes from beyond an image has the label 0: the first class, or none.
        shift = target.dtype.type(self.ignored is not None)
        X, _, target = augmentation.augment(
            X, label_maps=target + shift, random_state=random_state, n_threads=n_threads
        )
        return X, target - shift


class BoxTarget(ClassTarget):
    """A label and a box a sample: two output layers, one for the class, one for coordinates.

    Checked y has fields "label" and "box"; encoded it has the code of the class in column 0
    and the coordinates after it, NaN for a box that is missing. Where X is images, encoded
    coordinates are shares of width and height, whatever they are in y: so the weight of a box
    does not depend on the units.

    Attributes
    ----------
    n_coordinates : int
        8 for four corners (x1, y1, ..., x4, y4), 4 for two of them (x1, y1, x2, y2).
    units : {"share", "pixels"}
        Of the coordinates in y.
    in_y : bool
        Whether the boxes were columns of y.
    outline : bool
        Whether it is all the same which corner is the first, and which way they go round.
    image_size : tuple of int or None
        (width, height) of the images, None for other samples.
    """

    votings = ()

    def __init__(self, classes, n_coordinates, units, in_y, outline=True, image_size=None):
        super().__init__(classes)
        self.n_coordinates = n_coordinates
        self.units = units
        self.in_y = in_y
        self.outline = outline
        self.image_size = image_size
        self.has_begun = False

    def output_layers(self, input_shape):
        box = ("box", Dense(self.n_coordinates, activation="identity"))
        return [*super().output_layers(input_shape), box]

    def begin(self, network, y, weight, loss):
        """Boxes begin as the mean box, without weights: noise in the place of a shape would let
        samples disagree about which corner is the first. Until there is a box, it is put off."""
        present = ~np.isnan(y["box"][:, 0])
        arrays = network.parameters()
        arrays["box/weight"][...] = 0
        if present.any():
            check_range(y["box"], network.dtype, "boxes")
            boxes = self._shares(y["box"][present])
            if self.outline and self.n_coordinates == 8:
                boxes = numbered_alike(boxes)
            arrays["box/bias"][...] = np.average(boxes, axis=0, weights=weight[present])
            self.has_begun = True

    def _shares(self, boxes):
        if self.outline and self.n_coordinates == 4:
            boxes = upright(boxes.reshape(-1, 2, 2))
        if self.units == "pixels" and self.image_size is not None:
            boxes = (boxes + 0.5) / np.resize(self.image_size, self.n_coordinates)
        return boxes

    def encode(self, y, dtype):
        if not y.dtype.names:
            raise ValueError(
                "training began with boxes: give them again, in rows of NaN where there are none"
            )
        if y["box"].shape[1] != self.n_coordinates:
            raise ValueError(
                f"boxes have {y['box'].shape[1]} coordinates, expected {self.n_coordinates}, "
                "as before"
            )
        check_range(y["box"], dtype, "boxes")
        codes = codes_of(y["label"], self.classes)
        return np.column_stack([codes, self._shares(y["box"])]).astype(dtype)

    def objective(self, loss, target, weight, class_weight=None, box_weight=None, relative=True):
        outline = self.outline and self.n_coordinates == 8
        return ClassAndBox(loss, self.n_outputs, 1.0 if box_weight is None else box_weight, outline)

    def class_factors(self, class_weight, target, weight):
        return super().class_factors(class_weight, target[:, 0].astype(np.int64), weight)

    def probabilities(self, Z, kernels):
        return super().probabilities(self._of_class(Z), kernels)

    def log_probabilities(self, Z):
        return super().log_probabilities(self._of_class(Z))

    def _of_class(self, Z):
        return np.ascontiguousarray(Z[:, : self.n_outputs])

    def boxes(self, Z):
        """The coordinates, from the network's output."""
        boxes = Z[:, self.n_outputs :]
        if self.units == "pixels" and self.image_size is not None:
            size = np.resize(self.image_size, self.n_coordinates).astype(Z.dtype)
            return boxes * size - Z.dtype.type(0.5)
        return boxes.copy()

    def predict(self, Z, kernels):
        labels = super().predict(Z, kernels)
        return np.column_stack([labels, self.boxes(Z)]) if self.in_y else labels

    def right(self, Z, target):
        return super().right(Z[:, : self.n_outputs], target[:, 0])

    def score(self, y, predicted, sample_weight):
        return super().score(labels_alone(y), labels_alone(predicted), sample_weight)

    def stratify(self, y):
        return y["label"]

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        corners = corners_of(target[:, 1:])
        units = self.units if self.image_size is None else "share"
        X, corners = move_points(augmentation, X, corners, units, random_state, n_threads)
        if self.n_coordinates == 4:
            corners = upright(corners)  # what is turned no longer stands so
        moved = target.copy()
        moved[:, 1:] = corners.reshape(len(corners), -1)
        return X, moved


#: The coordinates of four corners in each of their 8 numberings, 4 clockwise and 4 back.
NUMBERINGS = np.array(
    [
        [2 * ((start + step * j) % 4) + axis for j in range(4) for axis in range(2)]
        for step in (1, -1)
        for start in range(4)
    ]
)


def numbered_alike(boxes):
    """Boxes (n, 8) with their corners numbered as fits their mean best.

    The numbering of the first box decides where that begins.
    """
    reference = boxes[0]
    for _ in range(2):
        # |b(k) - r|^2 is smallest where b(k) r = b r(k^-1) is largest.
        fits = boxes @ np.stack([reference[np.argsort(k)] for k in NUMBERINGS], axis=1)
        alike = np.take_along_axis(boxes, NUMBERINGS[fits.argmax(axis=1)], axis=1)
        reference = alike.mean(axis=0)
    return alike


def upright(corners):
    """The smallest upright boxes (n, 4) around corners (n, n_corners, 2)."""
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def corners_of(boxes):
    """The four corners of boxes, of shape (n, 4, 2), going round."""
    if boxes.shape[1] == 4:
        boxes = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    return boxes.reshape(len(boxes), 4, 2)


def move_points(augmentation, X, points, units, random_state, n_threads, flip_pairs=None):
    """A batch and the points (n, n_points, 2) in it after an augmentation, in their units.

    A share `x` of the width is at pixel ``x * width - 1/2``: pixel centres are at integers,
    so the left edge of the image is at -1/2. In mirror images the points of each of `flip_pairs`
    change places.
    """
    pairs = {} if flip_pairs is None else {"flip_pairs": flip_pairs}
    if units == "share":
        points = points * image_size(X, points.dtype) - 0.5
    X, points, _ = augmentation.augment(
        X, points=points, random_state=random_state, n_threads=n_threads, **pairs
    )
    if units == "share":
        points = (points + 0.5) / image_size(X, points.dtype)
    return X, points


def image_size(X, dtype):
    """(width, height) of images."""
    return np.array([X.shape[2], X.shape[1]], dtype)


def refuse_boxes(y):
    """Raises ValueError if checked y has boxes beside its labels."""
    if y.dtype.names:
        raise ValueError("boxes were given, but training began without: leave them out")


def labels_alone(y):
    """The labels in y, whatever the boxes are beside them."""
    y = np.asarray(y)
    if y.dtype.names:
        return y["label"]
    return y[:, 0] if y.ndim == 2 else y


def codes_of(y, classes):
    """Positions of labels in the classes, as int64.

    Raises
    ------
    ValueError
        If a label is none of the classes.
    """
    codes = np.searchsorted(classes, y).astype(np.int64, copy=False)
    known = classes.take(codes, mode="clip") == y if len(classes) else np.zeros(y.shape, bool)
    if not known.all():
        unknown = np.unique(y[~known])
        raise ValueError(
            f"y holds labels that are no classes: {unknown[:5].tolist()}; the classes "
            f"are {classes.tolist()}. Name all of them in the first call."
        )
    return codes


def classes_of(y, ignored=None):
    """The labels that occur in y, sorted."""
    found = reduce(np.union1d, (np.unique(y[block]) for block in blocks_of(y)))
    return without(ignored, found)


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
    larger = {1: "ConvTranspose1D", 3: "ConvTranspose3D"}.get(
        len(map_size), "ConvTranspose2D, Upsample2D; see architectures.unet"
    )
    fix = (
        f"use padding='same' and enlarge again what strides and pools made smaller ({larger}), "
        "or give y in the size of the maps"
    )
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


def accuracy(y, predicted, sample_weight):
    """Share of right labels, averaged over the columns where there are several."""
    from sklearn.metrics import accuracy_score  # slow to import

    if predicted.ndim == 1:
        return accuracy_score(y, predicted, sample_weight=sample_weight)
    y = np.asarray(y.todense() if hasattr(y, "todense") else y)
    if y.shape != predicted.shape:
        raise ValueError(f"y has shape {y.shape}, expected {predicted.shape}, as predicted")
    columns = zip(y.T, predicted.T, strict=True)
    scores = [accuracy_score(a, b, sample_weight=sample_weight) for a, b in columns]
    return float(np.mean(scores))


def sorted_classes(classes, ignored=None):
    """Classes as they are kept: sorted, in a list for each column if there are several."""
    if any(np.ndim(item) for item in classes):
        return [np.unique(column) for column in classes]
    return without(ignored, np.unique(classes))


def without(ignored, classes):
    """Classes but for the label that is ignored, or None."""
    return classes if ignored is None else classes[classes != ignored]


def same_classes(a, b):
    """Whether two results of `sorted_classes` are the same."""
    a, b = (value if isinstance(value, list) else [value] for value in (a, b))
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def label_target(
    y,
    classes=None,
    *,
    last_shape=(),
    n_steps=None,
    kind="auto",
    ignored=None,
    box_units="share",
    boxes_in_y=False,
    box_corners="outline",
    image_size=None,
):
    """The target for labels, with boxes or without.

    Parameters
    ----------
    y : ndarray
        Checked.
    classes : array-like or list of array-like, default=None
        All classes, or those of each column; None are those in y.
    last_shape : tuple of int, default=()
        What the user's layers end in.
    n_steps : int, default=None
        The length of a sample where X is signals.
    kind : {"auto", "labels", "maps"}, default="auto"
        What y is.
    ignored : label, default=None
        What pixels without a label have.
    box_units : {"share", "pixels"}, default="share"
        What the coordinates of boxes are in.
    boxes_in_y : bool, default=False
        Whether the user gave boxes in the columns of y.
    box_corners : {"outline", "ordered"}, default="outline"
        Whether it matters which corner is the first.
    image_size : tuple of int, default=None
        (width, height) where X is images.
    """
    if classes is not None:
        classes = sorted_classes(classes, ignored)
    if kind == "maps" and y.ndim < 2:
        raise ValueError(
            f"y has shape {y.shape}, but target='maps' takes labels for each position, such as "
            "(n_samples, height, width)"
        )
    if kind == "maps" or (kind == "auto" and holds_maps(y, last_shape, n_steps, classes)):
        map_size, last_axis = size_of_maps(y.shape[1:], len(last_shape) - 1)
        if classes is None:
            classes = classes_of(y, ignored)
        return LabelMapTarget(classes, map_size, ignored, last_axis)
    if ignored is not None:
        raise ValueError(
            f"ignore_label={ignored!r} is for maps of labels, but y has shape {y.shape}: leave "
            "samples without a label out, or give them sample_weight 0"
        )
    if y.ndim > 2:
        raise ValueError(
            f"y has shape {y.shape}, but target='labels' takes (n_samples,) or (n_samples, "
            "n_columns)"
        )
    if isinstance(classes, list) or (y.ndim == 2 and not is_indicator(y)):
        return ColumnsTarget(classes_of_columns(y, classes))
    if y.ndim == 2:
        return MultilabelTarget(numbers_of_columns(y, classes))
    if classes is None:
        classes = np.unique(y["label"] if y.dtype.names else y)
    if y.dtype.names:
        outline = box_corners == "outline"
        n_coordinates = y["box"].shape[1]
        return BoxTarget(classes, n_coordinates, box_units, boxes_in_y, outline, image_size)
    return ClassTarget(classes)


def holds_maps(y, last_shape, n_steps=None, classes=None):
    """Whether checked labels or values are one for each pixel of the last maps.

    Of two axes they may as well be columns. Then the length of the maps decides, and a warning
    says what was decided; also where y has an entry for each step of X, but the maps have not.
    """
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


def size_of_maps(sample_shape, n_axes):
    """The size of maps of labels, and whether there is an axis of length 1 behind it."""
    last_axis = len(sample_shape) == n_axes + 1 and sample_shape[-1] == 1
    return (sample_shape[:-1], True) if last_axis else (sample_shape, False)


def classes_of_columns(y, classes):
    """The classes of each column of labels, which may be given."""
    if y.ndim == 2 and classes is None:
        return [np.unique(column) for column in y.T]
    if not isinstance(classes, list) or y.shape[1:] != (len(classes),):
        raise ValueError(
            f"classes={classes!r} does not fit y of shape {y.shape}: give a list with the "
            "classes of each column of labels"
        )
    return classes


def numbers_of_columns(y, classes):
    """The classes of an indicator: its columns by their numbers, which may be given."""
    numbers = np.arange(y.shape[1])
    if classes is not None and not np.array_equal(classes, numbers):
        raise ValueError(
            f"classes={classes.tolist()!r} does not number the {len(numbers)} columns of y: "
            f"give {numbers.tolist()}"
        )
    return numbers


# --- values ------------------------------------------------------------------------------


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

    votings = ("soft",)
    own_weights = ("output/target_mean", "output/target_deviation")
    #: Whether the outputs share a unit, so that one that hardly varies counts little.
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
        if first is not None:
            arrays = network.parameters()
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
                "init_from has the output layer of a network that learnt normalised values, which "
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
                f"init_from: {' and '.join(self.own_weights)} must be a finite mean and a positive "
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
        return (values * deviation + mean).reshape(len(values), *self.sample_shape)

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
        values, predicted = self._columns(y.reshape(predicted.shape)), self._columns(predicted)
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
    """Points in the image, such as joints: (x, y) of each, side by side or on an axis.

    Attributes
    ----------
    units : {"share", "pixels"}
        Of the coordinates.
    flip_pairs : list of (int, int) or None
        The points that change places in a mirror image.
    """

    votings = ()
    shares_unit = True

    def __init__(self, sample_shape, units, normalize=False, flip_pairs=None):
        super().__init__(sample_shape, normalize)
        self.units = units
        self.flip_pairs = None
        if flip_pairs is not None and len(flip_pairs):
            check_flip_pairs(flip_pairs, self.n_outputs // 2)
            self.flip_pairs = np.array(flip_pairs)

    def _deviation(self, moments):
        """One for all: a coordinate that hardly varies must not count more than the others."""
        whole = moments.weight > 0
        deviation = np.sqrt(np.mean(moments.variance, where=whole)) if whole.any() else 0.0
        return np.full(self.n_outputs, 1.0 if deviation == 0 else deviation)

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        mean, deviation = self.mean.astype(target.dtype), self.deviation.astype(target.dtype)
        points = (target * deviation + mean).reshape(len(target), -1, 2)
        X, points = move_points(
            augmentation, X, points, self.units, random_state, n_threads, self.flip_pairs
        )
        moved = (points.reshape(target.shape) - mean) / deviation
        return X, moved.astype(target.dtype, copy=False)


class ValueMapTarget(ValueTarget):
    """Maps of values of the size of the last maps, one value or several a pixel.

    Attributes
    ----------
    moves : bool
        Whether they move with the image.
    """

    votings = ()
    shares_unit = True

    def __init__(self, sample_shape, moves, normalize=False, n_axes=2):
        self.sample_shape = sample_shape
        self.map_size = sample_shape[:n_axes]
        has_values = len(sample_shape) == n_axes + 1
        super().__init__(sample_shape[n_axes:] if has_values else (), normalize)
        self.sample_shape = sample_shape
        self.moves = moves

    def output_layers(self, input_shape):
        try:
            return map_output(self.n_outputs, self.map_size, input_shape)
        except ValueError as error:
            if self.sample_shape[-1] != 2:
                raise
            raise ValueError(
                f"{error}. If y is points (n_samples, n_points, 2), set target='points'"
            ) from None

    def _columns(self, y):
        if y.shape[1:] != self.sample_shape:
            raise ValueError(
                f"y has shape {y.shape}, but the network was begun with {self.sample_shape} a "
                "sample"
            )
        return y.reshape(len(y), *self.map_size, self.n_outputs)

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        if not self.moves:
            return super().augmented(augmentation, X, target, random_state, n_threads)
        # What comes from beyond an image has the value 0, of y.
        zero = (-self.mean / self.deviation).astype(target.dtype)
        X, _, target = augmentation.augment(
            X, label_maps=target - zero, random_state=random_state, n_threads=n_threads
        )
        return X, target + zero

    def moved(self, augmentation, X, maps, random_state, n_threads):
        return super().moved(augmentation, X, maps, random_state, n_threads) if self.moves else maps


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
    for block in blocks_of(target):
        seen = is_there(target[block])
        w = weight_of_pixels(weight[block], seen.shape)
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


def check_flip_pairs(pairs, n_points):
    """Raises ValueError if these are no pairs of different points."""
    try:
        pairs = np.asarray(pairs)
        flat = pairs.ravel().tolist()
        right = pairs.ndim == 2 and pairs.shape[1] == 2 and pairs.dtype.kind in "iu"
    except ValueError:
        right = False
    if not right or len(set(flat)) < len(flat) or not all(0 <= i < n_points for i in flat):
        raise ValueError(
            f"flip_pairs must be pairs of different points, numbered from 0 to {n_points - 1}, "
            f"none of them twice, got {pairs!r}"
        )


def value_target(
    y,
    kind="values",
    point_units="share",
    *,
    last_shape=(),
    n_steps=None,
    normalize=False,
    flip_pairs=None,
):
    """The target for checked values."""
    if kind == "points":
        return PointTarget(y.shape[1:], point_units, normalize, flip_pairs)
    if flip_pairs is not None:
        raise ValueError(
            f"flip_pairs={flip_pairs!r} is for points, but target={kind!r}: set target='points'"
        )
    n_axes = len(last_shape) - 1
    if kind == "maps" and y.ndim - 1 < n_axes:
        axes = f"n_samples, {', '.join(AXIS_NAMES[n_axes])}"
        raise ValueError(
            f"y has shape {y.shape}, but target='maps' takes ({axes}), or with several values at "
            f"a position ({axes}, n_values)"
        )
    if kind == "maps" or holds_maps(y, last_shape, n_steps):
        if y.ndim - 1 not in (n_axes, n_axes + 1):  # `output_layers` tells
            n_axes = {2: 1, 3: 2}.get(y.ndim, y.ndim - 2)
        return ValueMapTarget(y.shape[1:], kind == "maps", normalize, n_axes)
    return ValueTarget(y.shape[1:], normalize)
