"""y as the user gave it, made an array whose first axis is samples, or refused; and whether
numbers are too large."""

from math import prod, sqrt

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, column_or_1d

from ..messages import about
from ..ragged import Ragged, as_ragged, rows_of

#: So many labels or values are worked on at a time, where there are many.
BLOCK = 2**18


def blocks_of(array):
    """Slices of samples, of about BLOCK numbers each; at least one."""
    rows = max(1, BLOCK // max(1, prod(array.shape[1:])))
    return [slice(start, start + rows) for start in range(0, max(1, len(array)), rows)]


def pieces(*arrays):
    """Blocks of samples of several arrays, side by side; of `Ragged`, one sample at a time."""
    if not any(isinstance(array, Ragged) for array in arrays):
        for block in blocks_of(arrays[0]):
            yield tuple(array[block] for array in arrays)
        return
    for i in range(len(arrays[0])):
        yield tuple(rows_of(array, slice(i, i + 1)) for array in arrays)


#: Numbers that are checked at a time.
_CHECKED = 2**13
_LARGEST = {4: float(np.finfo(np.float32).max), 8: float(np.finfo(np.float64).max)}  # by bytes


def check_range(array, dtype, name):
    """Raises ValueError if a cast to the dtype would make a finite number infinite.

    It costs one product a number, of samples that lie in cache, and copies nothing: the root of a
    sum of squares is no less than the largest of them.
    """
    dtype = np.dtype(dtype)
    if array.dtype.kind != "f" or array.dtype.itemsize <= dtype.itemsize:
        return
    largest = _LARGEST[dtype.itemsize]
    rows = max(1, _CHECKED // max(1, prod(array.shape[1:])))
    with np.errstate(over="ignore"):
        for start in range(0, len(array), rows):
            some = array[start : start + rows].ravel()
            # Not `norm > largest`: that may be NaN where boxes are missing.
            if not sqrt(np.dot(some, some)) <= largest and np.any(np.abs(some) > largest):
                wider = ", or set dtype='float64'" if dtype == np.float32 else ""
                raise ValueError(
                    f"Input {name} contains infinity or a value too large for {dtype!r}: "
                    f"scale it{wider}"
                )


def check_labels(y):
    """y as labels (n,), columns of labels or a label indicator (n, n_columns), or maps of
    labels (n, *map_size).

    Raises
    ------
    ValueError
        If y holds no labels, with scikit-learn's words for the kind that it is.
    """
    if issparse(y):
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        y = check_array(y, accept_sparse=True, input_name="y", dtype=None)
        return np.asarray(y.todense())
    ragged = as_ragged(y)
    if ragged is not None:
        return Ragged(_label_map(sample, i) for i, sample in enumerate(ragged.samples))
    array = np.asarray(y)
    assert_all_finite(array, input_name="y")
    if array.ndim > 2:
        if 0 in array.shape:
            raise ValueError(f"y has shape {array.shape}, which holds no labels")
        if array.dtype.kind not in "biu":  # of these it is plain, and there are many
            for block in blocks_of(array):
                check_classification_targets(array[block].reshape(-1))
        return array
    kind = type_of_target(y, input_name="y")
    if kind == "continuous-multioutput":
        raise ValueError(
            f"Unknown label type: {kind}. If column 0 of y is the label and the others are "
            "the coordinates of a box, set box_weight; for values use ConvNetRegressor"
        )
    check_classification_targets(y)
    if kind.endswith(("-indicator", "-multioutput")):
        return check_array(y, input_name="y", dtype=None)
    return column_or_1d(y, warn=True)


def _label_map(array, i):
    """One of several maps of labels of unequal sizes."""
    if array.size == 0:
        raise ValueError(f"y[{i}] has shape {array.shape}, which holds no labels")
    with about(f"y[{i}]"):
        assert_all_finite(array, input_name="y")
        if array.dtype.kind not in "biu":
            check_classification_targets(array.reshape(-1))
    return array


def check_labels_and_boxes(y, boxes, missing_box):
    """Labels and the boxes beside them, as one array with the fields "label" and "box".

    Parameters
    ----------
    y : array-like of shape (n,), or (n, 1 + n_coordinates) if `boxes` is None
        Labels; in the second form column 0 is the label, and all is numeric.
    boxes : array-like of shape (n, n_coordinates) or None
        Coordinates; a row of NaN is a missing box.
    missing_box : float or None
        A row that holds nothing else is a missing box as well.

    Raises
    ------
    ValueError
        If labels or boxes are none, or do not fit each other.
    """
    if boxes is None:
        y, boxes = split_boxes(y)
    labels = check_labels(y)
    if labels.ndim != 1:
        raise ValueError(
            f"y has shape {labels.shape}, but with boxes it has one label a sample; boxes are "
            "given once, by boxes= or in the columns of y"
        )
    boxes = check_array(
        boxes,
        dtype=np.float64,
        ensure_2d=False,
        allow_nd=True,
        ensure_all_finite="allow-nan",
        input_name="boxes",
    )
    if boxes.shape[1:] not in ((4,), (8,)):
        raise ValueError(
            f"boxes has shape {boxes.shape}, expected (n_samples, 8), as x1, y1, ..., x4, y4, "
            "four corners going round, or (n_samples, 4), as x1, y1, x2, y2"
        )
    if len(boxes) != len(labels):
        raise ValueError(
            f"y has {len(labels)} samples, but boxes {len(boxes)}: give a row for each, of "
            "NaN where there is no box"
        )
    if missing_box is not None:
        boxes = np.where((boxes == missing_box).all(axis=1, keepdims=True), np.nan, boxes)
    missing = np.isnan(boxes)
    partly = missing.any(axis=1) & ~missing.all(axis=1)
    if partly.any():
        raise ValueError(
            f"row {np.argmax(partly)} of boxes holds NaN beside numbers: a box that is missing "
            "is a row of NaN"
        )
    fields = [("label", labels.dtype), ("box", boxes.dtype, boxes.shape[1:])]
    checked = np.empty(len(labels), fields)
    checked["label"], checked["box"] = labels, boxes
    return checked


def split_boxes(y):
    """Labels and boxes of a y that has both in its columns."""
    y = np.asarray(y)
    if y.ndim != 2 or y.shape[1] not in (5, 9) or y.dtype.kind not in "biuf":
        raise ValueError(
            f"box_weight is set, but y has shape {y.shape} and dtype {y.dtype} and boxes is "
            "None: pass boxes=, or a numeric y with the label in column 0 and 8 or 4 "
            "coordinates after it"
        )
    return y[:, 0], y[:, 1:]


def is_indicator(y):
    """True if a y of two axes is labels that are there (1) or not (0)."""
    return type_of_target(y) == "multilabel-indicator" and bool(np.isin(y, (0, 1)).all())


def check_values(y, kind="values", n_axes=2):
    """y as numbers, NaN where a value is missing.

    Parameters
    ----------
    y : array-like
        Of shape (n,) or (n, n_outputs), of maps (n, *map_size) with or without a last axis of
        several values, or of points (n, n_axes * n_points) or (n, n_points, n_axes).
    kind : {"values", "points", "maps"}, default="values"
    n_axes : int, default=2
        The number of coordinates of a point.

    Raises
    ------
    ValueError
        If y is not numeric, infinite, without any value, or of another shape.
    """
    ragged = as_ragged(y)
    if ragged is not None:
        return _value_maps(ragged, kind)
    y = check_array(
        y,
        dtype="numeric",
        ensure_2d=False,
        allow_nd=True,
        ensure_all_finite="allow-nan",
        ensure_min_features=0,
        input_name="y",
    )
    if y.dtype.kind not in "biuf":  # a list of numbers that numpy has no dtype for
        y = np.asarray(y, np.float64)
    if 0 in y.shape:
        raise ValueError(f"y has shape {y.shape}: at least one output is needed")
    if kind == "points" and not (
        y.ndim in (2, 3) and y[0].size % n_axes == 0 and y.shape[2:] in ((), (n_axes,))
    ):
        columns = "n_points" if n_axes == 1 else f"{n_axes} * n_points"
        names = ", ".join(f"{axis}{i}" for i in (1, 2) for axis in "xyz"[:n_axes])
        raise ValueError(
            f"y has shape {y.shape}, but target='points' takes (n_samples, {columns}), as "
            f"{names}, ..., or (n_samples, n_points, {n_axes})"
        )
    if kind == "maps" and y.ndim < 2:
        raise ValueError(
            f"y has shape {y.shape}, but target='maps' takes (n_samples, height, width), or "
            "with several values a pixel (n_samples, height, width, n_values); likewise for "
            "signals and volumes"
        )
    if is_absent(y).all():
        raise ValueError("Input y contains NaN alone: there is no value to learn")
    return y


def _value_maps(y, kind):
    """Maps of values of unequal sizes; raises ValueError if they are none."""
    if kind == "points":
        raise ValueError("y holds entries of unequal sizes, but each sample has as many points")
    checked = []
    for i, sample in enumerate(y.samples):
        if sample.size == 0:
            raise ValueError(f"y[{i}] has shape {sample.shape}: at least one output is needed")
        with about(f"y[{i}]"):
            checked.append(
                check_array(
                    sample[np.newaxis],
                    dtype="numeric",
                    allow_nd=True,
                    ensure_all_finite="allow-nan",
                    input_name="y",
                )[0]
            )
    y = Ragged(checked)
    if is_absent(y).all():
        raise ValueError("Input y contains NaN alone: there is no value to learn")
    return y


def is_absent(y, ignored=None):
    """Which samples have no value but NaN, or no label but one that is ignored."""
    if ignored is None and y.dtype.kind != "f":
        return np.zeros(len(y), bool)
    absent = []
    for (some,) in pieces(y):
        lacks = np.isnan(some) if ignored is None else some == ignored
        absent.append(lacks.reshape(len(lacks), -1).all(axis=1))
    return np.concatenate(absent)
