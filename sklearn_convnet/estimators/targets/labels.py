"""Labels: one a sample, several at once, or columns of them."""

from functools import reduce

import numpy as np

from ...losses import log_logistic, log_softmax, logistic, softmax
from ...objectives import SumOverColumns
from ...scores import RunningAccuracy
from ..checks import is_indicator, pieces
from ..class_weight import counts_of, product_over_columns, weights_of_classes
from .base import Target


class ClassTarget(Target):
    """One label a sample; the network has an output for each class.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    """

    votings: tuple[str, ...] = ("soft", "hard")
    windows_vote = True
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
        """The result of `predict_proba`, from the network's output."""
        return softmax(Z, kernels, 1)

    def log_probabilities(self, Z):
        """The result of `predict_log_proba`, from the network's output."""
        return log_softmax(Z)

    def vote_of_views(self, seen, voting):
        """Probabilities, from those for several views: `Seen`. `voting` is a `Vote`."""
        return voting.vote(seen.results)

    def log_vote_of_views(self, seen, voting):
        """Their logarithms, from logarithms."""
        return voting.log_vote(seen.results)

    def decode(self, P):
        """The label of the largest probability, the first of equal ones."""
        return self.classes[np.argmax(P, axis=-1)]

    def predict(self, Z, kernels):
        """The result of `predict`, from the network's output."""
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

    windows_vote = False

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

    def vote_of_views(self, seen, voting):
        return [voting.vote(column) for column in zip(*seen.results, strict=True)]

    def log_vote_of_views(self, seen, voting):
        return [voting.log_vote(column) for column in zip(*seen.results, strict=True)]

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


def refuse_boxes(y):
    """Raises ValueError if checked y has boxes beside its labels."""
    if y.dtype.names:
        raise ValueError("boxes were given, but training began without: leave them out")


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
            f"are {classes.tolist()}. Have all of them in y when training begins, or name them "
            "as classes in the first call of partial_fit."
        )
    return codes


def classes_of(y, ignored=None):
    """The labels that occur in y, sorted."""
    found = reduce(np.union1d, (np.unique(some) for (some,) in pieces(y)))
    return without(ignored, found)


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
    """True if two results of `sorted_classes` are the same."""
    a, b = (value if isinstance(value, list) else [value] for value in (a, b))
    return len(a) == len(b) and all(map(np.array_equal, a, b))


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
