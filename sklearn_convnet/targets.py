"""From what a user calls y to what a loss needs, and back."""

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, column_or_1d


class ClassTarget:
    """One label a sample; the network has an output for each class.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    """

    several_labels = False

    def __init__(self, classes):
        self.classes = classes
        self.n_outputs = len(classes)

    def encode(self, y, dtype):
        """Codes of the labels, as int64.

        Raises
        ------
        ValueError
            If a label is none of the classes, or y is an indicator.
        """
        if y.ndim != 1:
            raise ValueError(
                f"y has shape {y.shape}, expected one label a sample, as before: one of "
                f"{self.classes.tolist()}"
            )
        unknown = np.setdiff1d(y, self.classes)
        if unknown.size:
            raise ValueError(
                f"y holds labels that are no classes: {unknown[:5].tolist()}; the classes "
                f"are {self.classes.tolist()}. Name all of them in the first call."
            )
        return np.searchsorted(self.classes, y).astype(np.int64)

    def decode(self, P):
        """The label of the largest probability, the first of equal ones."""
        return self.classes[np.argmax(P, axis=1)]

    def right(self, Z, target):
        """Which outputs Z are largest where they should be."""
        return np.argmax(Z, axis=1) == target


class MultilabelTarget:
    """A row of labels that are there (1) or not (0); an output for each."""

    several_labels = True

    def __init__(self, classes):
        self.classes = classes
        self.n_outputs = len(classes)

    def encode(self, y, dtype):
        if y.shape[1:] != (self.n_outputs,):
            raise ValueError(
                f"y has shape {y.shape}, expected a 0/1 indicator with {self.n_outputs} "
                "columns, as before"
            )
        return np.ascontiguousarray(y, dtype=dtype)

    def decode(self, P):
        return (P > 0.5).astype(int)

    def right(self, Z, target):
        """The share of each sample's labels that Z has on the right side of 0."""
        return np.mean((Z > 0) == (target > 0.5), axis=1)


def check_labels(y):
    """y as labels (n,) or as a label indicator (n, n_labels).

    Raises
    ------
    ValueError
        If y holds no labels, with scikit-learn's words for the kind that it is.
    """
    assert_all_finite(y if issparse(y) else np.asarray(y), input_name="y")
    check_classification_targets(y)
    kind = type_of_target(y, input_name="y")
    if kind == "multilabel-indicator":
        y = check_array(y, accept_sparse=True, input_name="y", dtype=None)
        return np.asarray(y.todense() if hasattr(y, "todense") else y)
    if kind == "multiclass-multioutput":
        raise ValueError(
            "Unknown label type: y has several columns of classes; fit one classifier a "
            "column (sklearn.multioutput.MultiOutputClassifier), or give a 0/1 indicator"
        )
    return column_or_1d(y, warn=True)


def label_target(y, classes=None):
    """The target for labels `y`, as `check_labels` returns them."""
    if y.ndim == 2:
        columns = np.arange(y.shape[1])
        if classes is not None and not np.array_equal(np.unique(classes), columns):
            raise ValueError(
                f"classes={classes!r} does not number the {len(columns)} columns of y: "
                f"give {columns.tolist()}"
            )
        return MultilabelTarget(columns)
    return ClassTarget(np.unique(y if classes is None else classes))


def check_values(y, dtype):
    """y as numbers, of shape (n,) or (n, n_outputs).

    Raises
    ------
    ValueError
        If y is not numeric, not finite, or has more than two axes.
    """
    y = check_array(
        y,
        dtype="numeric",
        ensure_2d=False,
        allow_nd=True,
        ensure_min_features=0,
        input_name="y",
    )
    if y.ndim > 2:
        raise ValueError(
            f"y has shape {y.shape}: give one row of values a sample, (n_samples,) or "
            "(n_samples, n_outputs)"
        )
    if y.ndim == 2 and y.shape[1] == 0:
        raise ValueError(f"y has shape {y.shape}: at least one output is needed")
    return np.ascontiguousarray(y, dtype=dtype)
