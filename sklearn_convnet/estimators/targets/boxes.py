"""Labels with boxes."""

from copy import copy

import numpy as np

from ...layers import Dense
from ...objectives import ClassAndBox
from ..checks import check_range
from .base import move_points, warn_of_pixels
from .labels import ClassTarget, codes_of
from .views import mean_of, moved_back


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

    windows_vote = False
    tells_places = True

    def __init__(self, classes, n_coordinates, units, in_y, outline=True, image_size=None):
        super().__init__(classes)
        self.n_coordinates = n_coordinates
        self.units = units
        self.in_y = in_y
        self.outline = outline
        self.image_size = image_size
        self.has_begun = False

    def of_size(self, sample_shape):
        size = tuple(sample_shape[1::-1])
        if self.image_size in (None, size):
            return self
        other = copy(self)
        other.image_size = size
        return other

    def output_layers(self, input_shape):
        box = ("box", Dense(self.n_coordinates, activation="identity"))
        return [*super().output_layers(input_shape), box]

    def pool_of_outputs(self, last_shape):
        raise ValueError(
            "output=None is for networks whose last maps are the outputs, but labels with boxes "
            "need two layers: leave it at 'auto'"
        )

    def begin(self, network, y, weight, loss):
        """Boxes begin as the mean box, without weights: noise in the place of a shape would let
        samples disagree about which corner is the first. Until there is a box, it is put off."""
        present = ~np.isnan(y["box"][:, 0])
        arrays = network.parameters()
        arrays["box/weight"][...] = 0
        if present.any():
            check_range(y["box"], network.dtype, "boxes")
            if self.units == "share" and self.image_size is not None:
                warn_of_pixels(y["box"], "boxes", "box_units")
            boxes = self._shares(y["box"][present])
            if self.outline and self.n_coordinates == 8:
                boxes = numbered_alike(boxes)
            arrays["box/bias"][...] = np.average(boxes, axis=0, weights=weight[present])
            self.has_begun = True

    def take_weights(self, weights, copied, loss):
        """Boxes have begun where another network has learnt them: its weights are not all zero."""
        own = ("box/weight", "box/bias")
        if set(own) <= copied and any(np.any(weights[path]) for path in own):
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

    def boxes_of_views(self, seen):
        """The coordinates for samples, from those for several views: `Seen`."""
        boxes = []
        for found, move in zip(seen.results, seen.moves, strict=True):
            if move is not None:
                corners = moved_back(corners_of(found), move, seen, self.units)
                upright_again = self.n_coordinates == 4
                found = upright(corners) if upright_again else corners.reshape(found.shape)
                if boxes and self.outline and not upright_again:
                    found = numbered_like(boxes[0], found)
            boxes.append(found)
        return mean_of(boxes)

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


def numbered_like(reference, boxes):
    """Boxes (n, 8) with their corners numbered as fits those of a reference each best."""
    fits = np.stack([np.sum(boxes[:, k] * reference, axis=1) for k in NUMBERINGS], axis=1)
    return np.take_along_axis(boxes, NUMBERINGS[fits.argmax(axis=1)], axis=1)


def upright(corners):
    """The smallest upright boxes (n, 4) around corners (n, n_corners, 2)."""
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def corners_of(boxes):
    """The four corners of boxes, of shape (n, 4, 2), going round."""
    if boxes.shape[1] == 4:
        boxes = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    return boxes.reshape(len(boxes), 4, 2)


def labels_alone(y):
    """The labels in y, whatever the boxes are beside them."""
    y = np.asarray(y)
    if y.dtype.names:
        return y["label"]
    return y[:, 0] if y.ndim == 2 else y
