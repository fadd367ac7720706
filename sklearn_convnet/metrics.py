"""Scores for boxes and joints.

What scikit-learn has is not here: the top-k error is one minus
:func:`sklearn.metrics.top_k_accuracy_score`, and the Jaccard index of each class of label maps is
:func:`sklearn.metrics.jaccard_score`, which takes them as one long row of pixels::

    jaccard_score(maps_true.ravel(), maps_pred.ravel(), average=None)
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_sample_weight

from .constraints import validate_params

__all__ = [
    "box_iou",
    "detection_average_precision",
    "localization_accuracy",
    "percentage_of_correct_keypoints",
]

_SHARE = [Interval(Real, 0, 1, closed="both")]

# ---------------------------------------------------------------------------
# Boxes
# ---------------------------------------------------------------------------


def box_iou(boxes_true: ArrayLike, boxes_pred: ArrayLike) -> NDArray[Any]:
    """Intersection over union of boxes, one pair a row.

    Parameters
    ----------
    boxes_true, boxes_pred : array-like of shape (n_samples, 8) or (n_samples, 4)
        Four corners ``x1, y1, ..., x4, y4``, whose convex hull is the box: they may begin
        anywhere and go round either way. Or two opposite corners ``x1, y1, x2, y2`` of a box that
        is not turned. In any unit that both share; shares of width and height give what pixels
        give.

    Returns
    -------
    ndarray of shape (n_samples,)
        From 0, also where both boxes have no area, to 1 for equal boxes; NaN where a coordinate
        is NaN.

    Raises
    ------
    ValueError
        If the two differ in their number of rows, or have another number of columns.

    Notes
    -----
    Areas are those of polygons (the shoelace formula), and the intersection is clipped as in
    Sutherland and Hodgman, "Reentrant polygon clipping", 1974.

    Examples
    --------
    A unit square, beside one that is moved by half, and within one that is turned by 45 degrees:

    >>> from sklearn_convnet.metrics import box_iou
    >>> box_iou([[0, 0, 1, 1]], [[0.5, 0, 1.5, 1]]).round(3)
    array([0.333])
    >>> box_iou([[0, 0, 1, 1]], [[-0.5, 0.5, 0.5, -0.5, 1.5, 0.5, 0.5, 1.5]])
    array([0.5])
    """
    A = _hulls(_corners(boxes_true, "boxes_true"))
    B = _hulls(_corners(boxes_pred, "boxes_pred"))
    check_consistent_length(A, B)
    common = A
    for i in range(4):
        common = _clipped(common, B[:, i], B[:, (i + 1) % 4])
    areas = _areas(A), _areas(B)
    # Rounding leaves a little less than nothing, or a little more than there is.
    intersection = np.minimum(_areas(common).clip(min=0), np.minimum(*areas))
    union = sum(areas) - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union != 0)


def _corners(boxes, name):
    """Boxes as corners (n_samples, 4, 2)."""
    boxes = check_array(boxes, dtype=np.float64, ensure_all_finite="allow-nan", input_name=name)
    if boxes.shape[1] == 4:
        boxes = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    if boxes.shape[1] != 8:
        raise ValueError(
            f"{name} has {boxes.shape[1]} columns: expected 8, the corners x1, y1, ..., x4, y4, or "
            "4, two opposite corners x1, y1, x2, y2"
        )
    return boxes.reshape(-1, 4, 2)


def _hulls(corners):
    """Convex hulls of 4 points each, in the order of increasing angle.

    A point within the triangle of the others is replaced by the one before it.
    """
    centred = corners - corners.mean(axis=1, keepdims=True)
    order = np.argsort(np.arctan2(centred[..., 1], centred[..., 0]), axis=1)
    points = np.take_along_axis(corners, order[..., np.newaxis], axis=1)
    before, after = np.roll(points, 1, axis=1), np.roll(points, -1, axis=1)
    reflex = _cross(points - before, after - points) < 0
    return np.where(reflex[..., np.newaxis], before, points)


def _clipped(polygons, start, stop):
    """The part of each polygon to the left of the line from `start` to `stop`.

    Each edge becomes its part to the left, and an end that is cut off moves onto the line. Edges
    along the line add nothing to what is enclosed, wherever they lead; so all polygons keep the
    same number of points, and the right area.

    Parameters
    ----------
    polygons : ndarray of shape (n_samples, n_points, 2)
    start, stop : ndarray of shape (n_samples, 2)

    Returns
    -------
    ndarray of shape (n_samples, 2 * n_points, 2)
    """
    along = stop - start
    height = _cross(along[:, np.newaxis], polygons - start[:, np.newaxis])[..., np.newaxis]
    left = height >= 0
    ahead, height_ahead, left_ahead = (np.roll(x, -1, axis=1) for x in (polygons, height, left))
    crosses = left != left_ahead
    t = np.divide(height, height - height_ahead, where=crosses, out=np.zeros_like(height))
    on_line = np.where(crosses, polygons + t * (ahead - polygons), start[:, np.newaxis])
    ends = np.where(left, polygons, on_line), np.where(left_ahead, ahead, on_line)
    return np.stack(ends, axis=2).reshape(len(polygons), -1, 2)


def _cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _areas(polygons):
    """Areas by the shoelace formula, positive for polygons that go round by increasing angle."""
    points = polygons - polygons[:, :1]  # large coordinates would cost digits
    return _cross(points, np.roll(points, -1, axis=1)).sum(axis=1) / 2


@validate_params(
    {
        "y_true": ["array-like"],
        "y_pred": ["array-like"],
        "iou": _SHARE,
        "missing_box": [Real],
        "sample_weight": ["array-like", None],
    }
)
def localization_accuracy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    iou: float = 0.5,
    *,
    missing_box: float = np.nan,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of samples with the right class and a box about where it should be.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples, 9) or (n_samples, 5)
        The label, followed by the coordinates of the box, as :func:`box_iou` takes them.
    iou : float, default=0.5
        The intersection over union has to be above it.
    missing_box : float, default=nan
        Coordinates of a sample that has no object, in `y_true`: all of them have this value, or
        NaN. Such a sample is right if its class is.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    float
        From 0 to 1.

    Examples
    --------
    The second box is elsewhere, the third label is wrong:

    >>> from sklearn_convnet.metrics import localization_accuracy
    >>> y_true = [[3, 0, 0, 1, 1], [5, 0, 0, 1, 1], [7, 0, 0, 1, 1], [9, 0, 0, 1, 1]]
    >>> y_pred = [[3, 0, 0, 1, 1], [5, 1, 1, 2, 2], [6, 0, 0, 1, 1], [9, 0, 0, 1, 0.9]]
    >>> localization_accuracy(y_true, y_pred)
    0.5

    As a score to search by:

    >>> from sklearn.metrics import make_scorer
    >>> scoring = make_scorer(localization_accuracy, iou=0.7, missing_box=-1)
    """
    true, pred = (
        check_array(y, dtype=np.float64, ensure_all_finite="allow-nan") for y in (y_true, y_pred)
    )
    check_consistent_length(true, pred, sample_weight)
    missing = (true[:, 1:] == missing_box).all(axis=1) | np.isnan(true[:, 1:]).any(axis=1)
    overlaps = box_iou(true[:, 1:], pred[:, 1:]) > iou
    right = (true[:, 0] == pred[:, 0]) & (missing | overlaps)
    return float(np.average(right, weights=_check_sample_weight(sample_weight, true)))


@validate_params({"objects_true": [list, tuple], "objects_pred": [list, tuple], "iou": _SHARE})
def detection_average_precision(
    objects_true: Sequence[dict[str, Any]], objects_pred: Sequence[dict[str, Any]], iou: float = 0.5
) -> float:
    """Mean average precision (mAP) of found objects, over the classes.

    Found objects of a class, by falling score, are right if they overlap with an object of that
    class in the same image that none before them has found. The average precision of a class is the
    area under the largest precision that there is at each recall or a higher one.

    Parameters
    ----------
    objects_true : list of dict
        For each image "labels" (n_objects,) and "boxes" (n_objects, 4 or 8), as :func:`box_iou`
        takes them.
    objects_pred : list of dict
        For each image "labels", "boxes" and "scores" (n_objects,), as
        :func:`~sklearn_convnet.scan.find_objects` returns them.
    iou : float, default=0.5
        The intersection over union has to be above it.

    Returns
    -------
    float
        From 0 to 1; NaN if there is no true object.

    Raises
    ------
    ValueError
        If the two have another number of images, or an image has other numbers of labels and boxes,
        or lacks one of them.

    References
    ----------
    M. Everingham et al., "The PASCAL visual object classes (VOC) challenge", 2010, with the area as
    it was computed from that year on.

    Examples
    --------
    One of two objects is found, after something that is none:

    >>> import numpy as np
    >>> from sklearn_convnet.metrics import detection_average_precision
    >>> true = [{"labels": [3, 3], "boxes": [[0, 0, 9, 9], [20, 0, 29, 9]]}]
    >>> found = [{"labels": [3, 3], "boxes": [[50, 0, 59, 9], [1, 0, 9, 9]], "scores": [0.9, 0.8]}]
    >>> detection_average_precision(true, found)
    0.25
    """
    if len(objects_true) != len(objects_pred):
        raise ValueError(
            f"objects_true has {len(objects_true)} images, but objects_pred has "
            f"{len(objects_pred)}: give as many"
        )
    true = [_objects(one, "objects_true", ()) for one in objects_true]
    found = [_objects(one, "objects_pred", ("scores",)) for one in objects_pred]
    labels = np.unique(np.concatenate([one["labels"] for one in true] or [[]]))
    if len(labels) == 0:
        return np.nan
    return float(np.mean([_average_precision(label, true, found, iou) for label in labels]))


def _objects(one, name, more):
    """The arrays of the objects of an image, checked."""
    keys = ("labels", "boxes", *more)
    missing = [key for key in keys if key not in one]
    if missing:
        raise ValueError(f"{name} has an image without {missing}: each is a dict with {list(keys)}")
    arrays = {key: np.asarray(one[key]) for key in keys}
    if more:
        arrays["scores"] = arrays["scores"].astype(np.float64)
    sizes = {key: len(array) for key, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"{name} has an image with other numbers of things: {sizes}")
    return arrays


def _average_precision(label, true, found, iou):
    """That of one class."""
    n_true = sum(np.count_nonzero(one["labels"] == label) for one in true)
    scores, right = [], []
    for of_image, in_image in zip(true, found, strict=True):
        boxes = of_image["boxes"][of_image["labels"] == label]
        chosen = np.flatnonzero(in_image["labels"] == label)
        order = chosen[np.argsort(-in_image["scores"][chosen], kind="stable")]
        is_free = np.ones(len(boxes), bool)
        for i in order:
            scores.append(in_image["scores"][i])
            right.append(_takes_one(in_image["boxes"][i], boxes, is_free, iou))
    if not any(right):
        return 0.0
    order = np.argsort(-np.array(scores), kind="stable")
    hits = np.cumsum(np.array(right)[order])
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return np.sum(np.diff(hits, prepend=0) * best) / n_true


def _takes_one(box, boxes, is_free, iou):
    """True if a box overlaps enough with one of those that are free, which is taken then."""
    if not is_free.any():
        return False
    shared = np.where(is_free, box_iou(boxes, np.repeat(box[np.newaxis], len(boxes), axis=0)), 0)
    best = shared.argmax()
    if shared[best] <= iou:
        return False
    is_free[best] = False
    return True


# ---------------------------------------------------------------------------
# Joints
# ---------------------------------------------------------------------------


@validate_params(
    {
        "y_true": ["array-like"],
        "y_pred": ["array-like"],
        "reference_length": ["array-like", Interval(Real, 0, None, closed="neither")],
        "threshold": [Interval(Real, 0, None, closed="left")],
        "sample_weight": ["array-like", None],
    }
)
def percentage_of_correct_keypoints(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    reference_length: float | ArrayLike,
    *,
    threshold: float = 0.1,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Share of joints within a given distance of their true place (PCK) [1]_.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples, 2 * n_joints) or (n_samples, n_joints, 2)
        ``x1, y1, x2, y2, ...`` of the joints. One that is NaN in `y_true` is not counted, as it
        cannot be seen.
    reference_length : float or array-like of shape (n_samples,)
        Length to which distances are relative, in the unit of the coordinates: the height of each
        figure, or the size of its head or torso.
    threshold : float, default=0.1
        Share of the reference length that a joint may be off.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the samples.

    Returns
    -------
    float
        From 0 to 1, despite the name.

    Raises
    ------
    ValueError
        If shapes do not agree, or no joint can be counted.

    References
    ----------
    .. [1] Yang and Ramanan, "Articulated human detection with flexible mixtures of parts", 2013.

    Examples
    --------
    Two joints in a figure of height 20, of which the second is off by 3:

    >>> from sklearn_convnet.metrics import percentage_of_correct_keypoints
    >>> percentage_of_correct_keypoints([[4, 5, 8, 9]], [[4, 6, 8, 12]], [20])
    0.5
    """
    y_true, y_pred = _points(y_true, "y_true"), _points(y_pred, "y_pred")
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"y_true has {y_true.shape[1]} joints in each of {len(y_true)} samples, but y_pred "
            f"{y_pred.shape[1]} in each of {len(y_pred)}"
        )
    lengths = np.asarray(reference_length, np.float64)
    if lengths.shape not in ((), (len(y_true),)):
        raise ValueError(
            f"reference_length has shape {lengths.shape}: expected one number, or one for each of "
            f"{len(y_true)} samples"
        )
    visible = ~np.isnan(y_true).any(axis=-1)
    weight = visible * _check_sample_weight(sample_weight, y_true)[:, np.newaxis]
    if not weight.any():
        raise ValueError("y_true has no joint to count: all are NaN or have no weight")
    right = np.linalg.norm(y_true - y_pred, axis=-1) <= threshold * lengths[..., np.newaxis]
    return float(np.average(right, weights=weight))


def _points(points, name) -> NDArray[Any]:
    """Points as (n_samples, n_points, 2)."""
    points = check_array(
        points, dtype=np.float64, allow_nd=True, ensure_all_finite="allow-nan", input_name=name
    )
    if points.ndim > 3 or points.shape[-1] % 2 or points.shape[2:] not in ((), (2,)):
        raise ValueError(
            f"{name} has shape {points.shape}: expected (n_samples, 2 * n_joints) or "
            "(n_samples, n_joints, 2)"
        )
    return points.reshape(len(points), -1, 2)
