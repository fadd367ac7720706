"""How much predictions change where samples are turned, mirrored or moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier

from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..estimators.targets.boxes import BoxTarget
from ..estimators.targets.maps import LabelMapTarget, ValueMapTarget
from ..estimators.targets.values import PointTarget
from ..layers.transforms import GROUPS, reflection, rotation, transform_matrices
from ..network import Network
from ..on_demand import Samples
from ..tables import Table
from .samples import Seen, n_axes_of

_LARGEST_GROUP = {n_axes: names[-1] for n_axes, names in GROUPS.items()}


def check_invariance(
    estimator: ConvNetClassifier | ConvNetRegressor | Network,
    X: Samples,
    transforms: str
    | Sequence[ArrayLike]
    | Mapping[str, Callable[[NDArray[Any]], NDArray[Any]]] = "auto",
    *,
    atol: float | None = None,
) -> Table:
    """Measure how much predictions change under exact transforms of the samples.

    Quarter turns and mirror images move pixels onto pixels, so any change is due to the network
    alone. Of maps, labels or values for each position, it is their change once they are moved back.
    Boxes, which move with the sample, are not compared, but their classes are.

    Parameters
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or Network
        Fitted. It is left as it is.
    X : array-like of shape (n_samples, *sample_shape)
        Samples of one size, in every form that `predict` takes.
    transforms : str, list of array-like or dict, default="auto"
        - "pm", "p4", "p4m", "O" or "Oh": a group of :class:`TransformConv2D` and its relatives for
          signals and volumes.
        - "auto": all right angles and reflections that leave the size of a sample as it is.
        - Matrices of right angles and reflections, such as ``rotation(90) @ reflection()``.
        - Functions by name, such as ``{"shift": lambda X: np.roll(X, 1, axis=2)}``, which are given
          X and return as many samples, for predictions that are no maps.
    atol : float or None, default=None
        The largest change that is allowed.

    Returns
    -------
    Table
        A row for each transform but the identity: its name, the largest and the mean absolute
        difference of probabilities, of values in the units of y, or of a network's output, and, of
        a classifier, the share of predicted labels that change. ``print(table)`` shows it, `rows`
        and ``to_frame()`` have the numbers.

    Raises
    ------
    AssertionError
        If a difference is larger than `atol`; the message names the transform.
    TypeError
        If `estimator` is none of this package.
    ValueError
        If a transform is no exact one, or makes samples of another shape; if y holds points, which
        move with the sample, or X the columns of a table, which have no order.
    NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    TransformConv2D : Convolutions of networks whose predictions do not change.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.inspection import check_invariance
    >>> from sklearn_convnet.layers import GlobalMaxPool, TransformConv2D
    >>> X, y = load_digits(return_X_y=True)
    >>> layers = [TransformConv2D(8, 3), TransformConv2D(8, 3, group_input=True, pool="max"),
    ...           GlobalMaxPool()]
    >>> clf = ConvNetClassifier(layers, input_shape=(8, 8), max_iter=2, random_state=0)
    >>> table = check_invariance(clf.fit(X[:500], y[:500]), X[500:600], "p4", atol=1e-4)
    >>> [row[0] for row in table.rows]
    ['rotation 90', 'rotation 180', 'rotation 270']
    """
    if not (atol is None or (isinstance(atol, Real) and atol >= 0)):
        raise ValueError(f"atol must be a number of at least 0 or None, got {atol!r}")
    seen = Seen.of(estimator, X)
    moves = _moves(seen, X, transforms)
    before, labels = _predictions(seen, _as_given(estimator, seen.X))
    rows = []
    for name, samples, back in moves:
        after, moved_labels = _predictions(seen, samples)
        if len(after[0]) != len(seen):
            raise ValueError(
                f"transform {name!r} makes {len(after[0])} samples of {len(seen)}: it must return "
                "one for each"
            )
        pairs = zip(before, after, strict=True)
        changes = np.concatenate([np.abs(a - back(b)).ravel() for a, b in pairs])
        row = [name, float(changes.max()), float(changes.mean())]
        if labels is not None:
            row.append(float(np.mean(back(moved_labels) != labels)))
        rows.append(row)
    if atol is not None:
        _require(rows, atol)
    columns = ["transform", "largest change", "mean change", "changed labels"]
    columns = columns if labels is not None else columns[:-1]
    return Table(columns, rows, dict(zip(columns[1:], (".2g", ".2g", ".1%"), strict=False)))


def moved(maps, matrix):
    """Maps in a transform of right angles and reflections: a view of them.

    Parameters
    ----------
    maps : ndarray of shape (n, *sizes, ...)
    matrix : ndarray of shape (n_axes, n_axes)
        Acts on ``(x, y, z)``, x along the last axis of positions. What was at p is at ``matrix p``.
    """
    n_axes = len(matrix)
    source = n_axes - np.abs(matrix).argmax(axis=1)  # the axis that x, y and z come from
    reverse = [n_axes - i for i in range(n_axes) if matrix[i].sum() < 0]
    order = [0, *source[::-1].tolist(), *range(1 + n_axes, maps.ndim)]
    return np.flip(maps.transpose(order), reverse)


def name_of(matrix):
    """The name of a transform of right angles and reflections; of a volume, where x, y and z go."""
    n_axes = len(matrix)
    if n_axes == 1:
        return "reflection"
    if n_axes == 3:
        letters = np.array(["x", "y", "z"])[np.abs(matrix).argmax(axis=1)]
        signs = np.where(matrix.sum(axis=1) < 0, "-", "")
        return f"({', '.join(map(''.join, zip(signs, letters, strict=True)))})"
    is_mirrored = np.linalg.det(matrix) < 0
    turn = matrix @ reflection() if is_mirrored else matrix  # what follows the reflection
    (angle,) = (a for a in range(0, 360, 90) if np.array_equal(rotation(a), turn))
    parts = ["reflection" if is_mirrored else "", f"rotation {angle}" if angle else ""]
    return ", ".join(part for part in parts if part)


def _moves(seen, X, transforms):
    """For each transform its name, the samples in it, and what moves predictions back."""
    estimator, n_axes = seen.estimator, n_axes_of(seen.estimator)
    if isinstance(seen.target, PointTarget):
        raise ValueError(
            "y holds points, which move with the sample: their predictions cannot stay as they are"
        )
    if getattr(getattr(estimator, "_inputs", None), "kind", None) == "table":
        raise ValueError("X has the columns of a table, which have no order to be turned")
    if isinstance(transforms, dict):
        if not transforms:
            raise ValueError("transforms has no function: give at least one")
        return _moves_of_functions(X, transforms, _predicts_maps(seen))
    return _moves_of_matrices(seen, _matrices(seen, transforms, n_axes))


def _moves_of_functions(X, functions, predicts_maps):
    if predicts_maps:
        raise ValueError(
            "predictions are maps, which have to be moved back: give matrices of right angles and "
            "reflections, not functions"
        )
    return ((name, function(X), lambda Y: Y) for name, function in functions.items())


def _moves_of_matrices(seen, matrices):
    def keep(Y):
        return Y

    for matrix in matrices:
        samples = _as_given(seen.estimator, np.ascontiguousarray(moved(seen.X, matrix)))
        back = (lambda Y, T=matrix.T: moved(Y, T)) if _predicts_maps(seen) else keep
        yield name_of(matrix), samples, back


def _matrices(seen, transforms, n_axes):
    """The matrices but the identity.

    Raises
    ------
    ValueError
        If one is no exact transform, or makes samples of another shape.
    """
    is_auto = isinstance(transforms, str) and transforms == "auto"
    given = transform_matrices(_LARGEST_GROUP[n_axes] if is_auto else transforms, n_axes)
    matrices = []
    for matrix in given:
        if not np.isin(matrix, (-1, 0, 1)).all() or not np.array_equal(
            np.abs(matrix @ matrix.T), np.eye(n_axes)
        ):
            raise ValueError(
                f"{matrix.tolist()} moves pixels between pixels: give right angles and "
                "reflections, or a dict of functions"
            )
        shape = moved(seen.X[:1], matrix).shape
        if shape == seen.X[:1].shape:
            matrices.append(matrix)
        elif not is_auto:
            raise ValueError(
                f"{name_of(matrix)!r} makes samples of shape {shape[1:]} of those of shape "
                f"{seen.X.shape[1:]}: give transforms that keep it, or transforms='auto', which "
                "leaves out the others"
            )
    matrices = [matrix for matrix in matrices if not np.array_equal(matrix, np.eye(n_axes))]
    if not matrices:
        raise ValueError("transforms has nothing but the identity, which changes no sample")
    return matrices


def _as_given(estimator, X):
    """Samples with the channels last, in the order of the user's X."""
    return X if isinstance(estimator, Network) else estimator._inputs.as_given(X)


def _predicts_maps(seen):
    """True if predictions are for each position."""
    if isinstance(seen.estimator, Network):
        return len(seen.network.output_shape) > 1
    return isinstance(seen.target, (LabelMapTarget, ValueMapTarget))


def _predictions(seen, X):
    """A list of arrays of numbers, a row for each sample, and the labels of a classifier."""
    estimator = seen.estimator
    if isinstance(estimator, Network):
        return [estimator.forward(np.asarray(X, estimator.dtype))], None
    if not is_classifier(estimator):
        return [np.asarray(estimator.predict(X))], None
    P, labels = estimator.predict_proba(X), estimator.predict(X)
    if isinstance(seen.target, BoxTarget) and seen.target.in_y:
        labels = labels[:, 0]  # the box is behind it
    return P if isinstance(P, list) else [P], labels


def _require(rows, atol):
    """Raises AssertionError where a change is larger than is allowed."""
    wrong = [f"{row[1]:.3g} under {row[0]!r}" for row in rows if not row[1] <= atol]
    if wrong:
        raise AssertionError(
            f"predictions change by {', '.join(wrong)}: more than atol={atol} allows"
        )
