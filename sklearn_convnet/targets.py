"""From what a user calls y to what a loss needs, and back: a class for each kind of y.

# Design:
# * y takes three forms. What the user gave is checked (checks.py), which makes it an array
#   whose first axis is samples. A target, made of the first such y, encodes it for the loss:
#   again one array, samples first, so that a batch is ``target[rows]``. From the network's
#   output it decodes what the user gets, which looks as y did.
# * A target also says which output layers it needs, what is to be made small, how a
#   prediction is scored, and what of it moves with an augmented image.
"""

from math import prod

import numpy as np

from .checks import check_range, is_indicator
from .class_weight import product_over_columns, weights_of_classes
from .layers import Conv2D, Conv3D, Dense
from .losses import (
    ClassAndBox,
    FunctionLoss,
    SumOverColumns,
    WeightedPixels,
    logistic,
    softmax,
)


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

    def objective(self, loss, target, weight, class_weight=None, box_weight=None):
        """What training makes small, for a loss and all encoded samples with their weights."""
        return loss

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


# --- labels ------------------------------------------------------------------------------


class ClassTarget(Target):
    """One label a sample; the network has an output for each class.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    """

    votings = ("soft", "hard")

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
        return weights_of_classes(class_weight, self.classes, target, weight)[target]

    def probabilities(self, Z, kernels):
        """What `predict_proba` returns, from the network's output."""
        return softmax(Z, kernels, 1)

    def decode(self, P):
        """The label of the largest probability, the first of equal ones."""
        return self.classes[np.argmax(P, axis=-1)]

    def predict(self, Z, kernels):
        """What `predict` returns, from the network's output."""
        return self.decode(self.probabilities(Z, kernels))

    def right(self, Z, target):
        """Which share of each sample's labels the network's output has right."""
        return Z.argmax(axis=-1) == target

    def score(self, y, predicted, sample_weight):
        return accuracy(y, predicted, sample_weight)

    def stratify(self, y):
        return y


class MultilabelTarget(ClassTarget):
    """A row of labels that are there (1) or not (0); an output for each."""

    votings = ("soft",)

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

    def objective(self, loss, target, weight, class_weight=None, box_weight=None):
        return SumOverColumns(loss, self.n_classes)

    def class_factors(self, class_weight, target, weight):
        return product_over_columns(class_weight, self.classes, target, weight)

    def probabilities(self, Z, kernels):
        """A list with an array for each column."""
        parts = np.split(Z, np.cumsum(self.n_classes)[:-1], axis=1)
        return [softmax(np.ascontiguousarray(part), kernels, 1) for part in parts]

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
    """

    votings = ()

    def __init__(self, classes, map_size):
        super().__init__(classes)
        self.map_size = map_size

    def output_layers(self, input_shape):
        return map_output(self.n_outputs, self.map_size, input_shape)

    def encode(self, y, dtype):
        """Codes of the labels, in the smallest dtype: there are many."""
        refuse_boxes(y)
        if y.shape[1:] != self.map_size:
            raise ValueError(
                f"y has shape {y.shape}, expected maps of {pixels(self.map_size)} labels, as before"
            )
        codes = codes_of(y.reshape(-1), self.classes).reshape(y.shape)
        return codes.astype(np.min_scalar_type(len(self.classes) - 1))

    def class_factors(self, class_weight, target, weight):
        return 1.0  # pixels have them, in `objective`

    def objective(self, loss, target, weight, class_weight=None, box_weight=None):
        if class_weight is None:
            return loss
        if isinstance(loss, FunctionLoss):
            raise ValueError(
                "class_weight weighs the pixels of maps, but the function given as loss "
                "returns one loss a sample: let it weigh the pixels, and leave class_weight out"
            )
        codes, of_pixels = target.reshape(-1), np.repeat(weight, prod(self.map_size))
        weights = weights_of_classes(class_weight, self.classes, codes, of_pixels)
        mean = np.average(weights, weights=np.bincount(codes, of_pixels, len(weights)))
        if mean == 0:
            raise ValueError("class_weight leaves every pixel with a weight of zero")
        return WeightedPixels(loss, weights / mean)

    def right(self, Z, target):
        return super().right(Z, target).reshape(len(Z), -1).mean(axis=1)

    def score(self, y, predicted, sample_weight):
        y = np.asarray(y)
        if y.shape != predicted.shape:
            raise ValueError(f"y has shape {y.shape}, expected {predicted.shape}, as predicted")
        right = (y == predicted).reshape(len(y), -1).mean(axis=1)
        return float(np.average(right, weights=sample_weight))

    def stratify(self, y):
        return None

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        X, _, target = augmentation.augment(
            X, label_maps=target, random_state=random_state, n_threads=n_threads
        )
        return X, target


class BoxTarget(ClassTarget):
    """A label and a box a sample: two output layers, one for the class, one for coordinates.

    Checked y has fields "label" and "box"; encoded it has the code of the class in column 0
    and the coordinates after it, NaN for a box that is missing.

    Attributes
    ----------
    n_coordinates : int
        8 for four corners (x1, y1, ..., x4, y4), 4 for two of them (x1, y1, x2, y2).
    """

    votings = ()

    def __init__(self, classes, n_coordinates, units, in_y):
        super().__init__(classes)
        self.n_coordinates = n_coordinates
        self.units = units
        self.in_y = in_y  # the boxes were columns of y

    def output_layers(self, input_shape):
        box = ("box", Dense(self.n_coordinates, activation="identity"))
        return [*super().output_layers(input_shape), box]

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
        return np.column_stack([codes, y["box"]]).astype(dtype)

    def objective(self, loss, target, weight, class_weight=None, box_weight=None):
        return ClassAndBox(loss, self.n_outputs, 1.0 if box_weight is None else box_weight)

    def class_factors(self, class_weight, target, weight):
        return super().class_factors(class_weight, target[:, 0].astype(np.int64), weight)

    def probabilities(self, Z, kernels):
        return super().probabilities(np.ascontiguousarray(Z[:, : self.n_outputs]), kernels)

    def boxes(self, Z):
        """The coordinates, from the network's output."""
        return Z[:, self.n_outputs :].copy()

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
        X, corners = move_points(augmentation, X, corners, self.units, random_state, n_threads)
        if self.n_coordinates == 4:
            # What is turned no longer stands upright: the smallest box around it.
            corners = np.stack([corners.min(axis=1), corners.max(axis=1)], axis=1)
        moved = target.copy()
        moved[:, 1:] = corners.reshape(len(corners), -1)
        return X, moved


def corners_of(boxes):
    """The four corners of boxes, of shape (n, 4, 2), going round."""
    if boxes.shape[1] == 4:
        boxes = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    return boxes.reshape(len(boxes), 4, 2)


def move_points(augmentation, X, points, units, random_state, n_threads):
    """A batch and the points (n, n_points, 2) in it after an augmentation, in their units.

    A share `x` of the width is at pixel ``x * width - 1/2``: pixel centres are at integers,
    so the left edge of the image is at -1/2.
    """
    if units == "share":
        points = points * image_size(X, points.dtype) - 0.5
    X, points, _ = augmentation.augment(
        X, points=points, random_state=random_state, n_threads=n_threads
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
    """Positions of labels (n,) in the classes, as int64.

    Raises
    ------
    ValueError
        If a label is none of the classes.
    """
    unknown = np.setdiff1d(y, classes)
    if unknown.size:
        raise ValueError(
            f"y holds labels that are no classes: {unknown[:5].tolist()}; the classes "
            f"are {classes.tolist()}. Name all of them in the first call."
        )
    return np.searchsorted(classes, y).astype(np.int64)


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
    conv = {2: Conv2D, 3: Conv3D}.get(len(map_size))
    fix = (
        "use padding='same' and enlarge again what strides and pools made smaller "
        "(ConvTranspose2D, Upsample2D; see architectures.unet), or give y in the size of the maps"
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


def sorted_classes(classes):
    """Classes as they are kept: sorted, in a list for each column if there are several."""
    if any(np.ndim(item) for item in classes):
        return [np.unique(column) for column in classes]
    return np.unique(classes)


def same_classes(a, b):
    """Whether two results of `sorted_classes` are the same."""
    a, b = (value if isinstance(value, list) else [value] for value in (a, b))
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def label_target(y, classes=None, box_units="share", boxes_in_y=False):
    """The target for labels, with boxes or without.

    Parameters
    ----------
    y : ndarray
        Checked.
    classes : array-like or list of array-like, default=None
        All classes, or those of each column; None are those in y.
    box_units : {"share", "pixels"}, default="share"
        What the coordinates of boxes are in.
    boxes_in_y : bool, default=False
        Whether the user gave boxes in the columns of y.
    """
    if classes is not None:
        classes = sorted_classes(classes)
    if isinstance(classes, list) or (y.ndim == 2 and not is_indicator(y)):
        return ColumnsTarget(classes_of_columns(y, classes))
    if y.ndim == 2:
        return MultilabelTarget(numbers_of_columns(y, classes))
    if classes is None:
        classes = np.unique(y["label"] if y.dtype.names else y)
    if y.dtype.names:
        return BoxTarget(classes, y["box"].shape[1], box_units, boxes_in_y)
    return ClassTarget(classes) if y.ndim == 1 else LabelMapTarget(classes, y.shape[1:])


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

    Attributes
    ----------
    sample_shape : tuple of int
        Shape of y without its first axis.
    """

    votings = ("soft",)

    def __init__(self, sample_shape):
        self.sample_shape = sample_shape
        self.n_outputs = prod(sample_shape)

    def encode(self, y, dtype):
        """Values of shape (n, n_outputs)."""
        if y[0].size != self.n_outputs:
            raise ValueError(
                f"y has {y[0].size} outputs, but the network was begun with {self.n_outputs}"
            )
        check_range(y, dtype, "y")
        return y.reshape(len(y), -1).astype(dtype, copy=False)

    def decode(self, values):
        """Values in the shape of y."""
        return values.reshape(len(values), *self.sample_shape)

    def score(self, y, predicted, sample_weight):
        """R^2, averaged over outputs, coordinates and pixels."""
        from sklearn.metrics import r2_score  # slow to import

        y = np.asarray(y)
        if y.shape[:1] != predicted.shape[:1] or y.size != predicted.size:
            raise ValueError(f"y has shape {y.shape}, expected {predicted.shape}, as predicted")
        rows = (len(y), -1)
        return r2_score(y.reshape(rows), predicted.reshape(rows), sample_weight=sample_weight)


class PointTarget(ValueTarget):
    """Points in the image, such as joints: (x, y) of each, side by side or on an axis."""

    votings = ()

    def __init__(self, sample_shape, units):
        super().__init__(sample_shape)
        self.units = units

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        points = target.reshape(len(target), -1, 2)
        X, points = move_points(augmentation, X, points, self.units, random_state, n_threads)
        return X, points.reshape(target.shape).astype(target.dtype, copy=False)


class ValueMapTarget(ValueTarget):
    """Maps of values of the size of the last maps, one value or several a pixel.

    Attributes
    ----------
    moves : bool
        Whether they move with the image.
    """

    votings = ()

    def __init__(self, sample_shape, moves):
        self.sample_shape = sample_shape
        self.map_size = sample_shape[:2] if len(sample_shape) == 2 else sample_shape[:-1]
        self.n_outputs = 1 if len(sample_shape) == 2 else sample_shape[-1]
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

    def encode(self, y, dtype):
        """Values of shape (n, *map_size, n_outputs)."""
        if y.shape[1:] != self.sample_shape:
            raise ValueError(
                f"y has shape {y.shape}, but the network was begun with {self.sample_shape} a "
                "sample"
            )
        check_range(y, dtype, "y")
        maps = y.reshape(len(y), *self.map_size, self.n_outputs)
        return maps.astype(dtype, copy=False)

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        if not self.moves:
            return super().augmented(augmentation, X, target, random_state, n_threads)
        X, _, target = augmentation.augment(
            X, label_maps=target, random_state=random_state, n_threads=n_threads
        )
        return X, target


def value_target(y, kind="values", point_units="share"):
    """The target for checked values."""
    if kind == "points":
        return PointTarget(y.shape[1:], point_units)
    if y.ndim > 2:
        return ValueMapTarget(y.shape[1:], moves=kind == "maps")
    return ValueTarget(y.shape[1:])
