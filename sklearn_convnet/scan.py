"""Find objects in samples that are larger than those that a network was trained on.

`ConvNetClassifier.scan` moves a network over them; `find_objects` turns its maps into objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp
from sklearn.base import is_classifier
from sklearn.utils import Bunch, check_scalar
from sklearn.utils.validation import check_is_fitted

from ._typing import PerAxis
from .estimators.classifier import ConvNetClassifier
from .estimators.scanning import fitted_window, scans
from .estimators.targets.boxes import BoxTarget
from .metrics import box_iou

__all__ = ["find_objects"]


def find_objects(
    estimator: ConvNetClassifier,
    X: ArrayLike,
    *,
    threshold: float = 0.5,
    overlap: float = 0.3,
    scales: Sequence[float] = (1.0,),
    stride: PerAxis | None = None,
    background: Any = None,
    max_objects: int = 100,
) -> list[Bunch]:
    """Find objects in images that are larger than those that a classifier was trained on.

    Its network is moved over the images (`scan`). Windows in which the probability of a class is
    at least `threshold`, and its odds are larger than in the windows around, are candidates. Of two
    candidates whose boxes overlap by more than `overlap`, the one with the larger odds stays
    (non-maximum suppression).

    Parameters
    ----------
    estimator : ConvNetClassifier
        Fitted on images of one object each, with boxes or without.
    X : array-like of shape (n_samples, height, width) or (n_samples, height, width, n_channels), \
or list of array-like
        Images at least as large as those of the fit; those in a list may differ in size.
    threshold : float, default=0.5
        The smallest probability of an object.
    overlap : float, default=0.3
        The largest intersection over union of the boxes of two objects.
    scales : sequence of float, default=(1.0,)
        Factors by which images are enlarged, with one scan for each.
    stride : int, tuple of int or None, default=None
        Step from one window to the next: see `scan`.
    background : label, default=None
        The class of images without an object, which is not searched for; None if there is none.
    max_objects : int, default=100
        The most objects of an image: those with the largest probabilities.

    Returns
    -------
    list of :class:`~sklearn.utils.Bunch`
        For each image, objects by falling probability:

        labels : ndarray of shape (n_objects,)
            Their classes.
        scores : ndarray of shape (n_objects,)
            Their probabilities.
        boxes : ndarray of shape (n_objects, n_coordinates)
            The boxes that the network predicts or, without boxes, its windows as ``x1, y1, x2,
            y2``. They are in pixels, whose centres are at whole numbers.

    Raises
    ------
    TypeError
        If the estimator is no classifier with `scan`.
    ValueError
        If a parameter is invalid, or the network cannot be moved over images.

    References
    ----------
    P. Sermanet et al., "OverFeat: Integrated recognition, localization and detection using
    convolutional networks", 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D
    >>> from sklearn_convnet.scan import find_objects
    >>> X, y = load_digits(return_X_y=True)
    >>> X = np.concatenate([X.reshape(-1, 8, 8)[:300], np.zeros((30, 8, 8))])
    >>> y = np.concatenate([y[:300], np.full(30, -1)])
    >>> layers = [Conv2D(16, 3), MaxPool2D(2), Dense(32)]
    >>> clf = ConvNetClassifier(layers, batch_size=32, max_iter=20, random_state=0).fit(X, y)
    >>> scene = np.zeros((1, 20, 30))
    >>> scene[0, 6:14, 16:24] = X[0]
    >>> (objects,) = find_objects(clf, scene, background=-1, threshold=0.9, overlap=0.0)
    >>> objects.labels.tolist(), objects.boxes.tolist()
    ([0], [[15.5, 5.5, 23.5, 13.5]])
    """
    _check_estimator(estimator)
    check_scalar(threshold, "threshold", Real, min_val=0, max_val=1)
    check_scalar(overlap, "overlap", Real, min_val=0, max_val=1)
    check_scalar(max_objects, "max_objects", Integral, min_val=1)
    classes = estimator.classes_
    looked_for = _classes_looked_for(classes, background)
    outputs = ["proba", "decision"]
    has_boxes = isinstance(estimator._target, BoxTarget)
    if has_boxes:
        outputs.append("box")
    proba, decision, *boxes = scans(estimator, X, outputs, stride, scales)
    found = []
    for sample, size in enumerate(proba.sizes):
        candidates = []
        for scale, maps in enumerate(proba.maps):
            odds = _log_odds(decision.maps[scale][sample], estimator)
            places, k = _peaks(maps[sample], odds, threshold, looked_for)
            if has_boxes:
                of_windows = boxes[0].maps[scale][sample].astype(np.float64)
                if estimator._target.units == "share":
                    n_coordinates = of_windows.shape[-1]
                    of_windows = of_windows * np.resize(size[::-1], n_coordinates) - 0.5
            else:
                of_windows = proba.windows(scale, sample)
            at = (*places, k)
            candidates.append((k, maps[sample][at], odds[at], of_windows[places]))
        k, scores, odds, all_boxes = (np.concatenate(p) for p in zip(*candidates, strict=True))
        kept = suppressed(odds, all_boxes, overlap, max_objects)
        found.append(Bunch(labels=classes[k[kept]], scores=scores[kept], boxes=all_boxes[kept]))
    return found


def _check_estimator(estimator):
    if not is_classifier(estimator) or not hasattr(estimator, "scan"):
        raise TypeError(
            f"estimator must be a ConvNetClassifier, got {estimator!r}: of a Pipeline or a search "
            "take the estimator inside"
        )
    check_is_fitted(estimator)
    window = fitted_window(estimator)
    if len(window) != 3:
        raise ValueError(
            f"find_objects needs a network for images, but its samples have shape {window}: scan "
            "moves networks over signals and volumes"
        )


def _classes_looked_for(classes, background):
    """Indices of the classes that are not the background."""
    if background is None:
        return np.arange(len(classes))
    looked_for = np.flatnonzero(classes != background)
    if len(looked_for) == len(classes):
        raise ValueError(f"background={background!r} is none of the classes {classes.tolist()}")
    return looked_for


def _log_odds(Z, estimator):
    """Logarithms of the odds of each class: where probabilities are 1 but for rounding, these still
    tell which window is the best."""
    Z = Z.astype(np.float64)
    if estimator.out_activation_ == "logistic":
        return Z
    others = [logsumexp(np.delete(Z, k, axis=-1), axis=-1) for k in range(Z.shape[-1])]
    return Z - np.stack(others, axis=-1)


def _peaks(P, odds, threshold, classes):
    """Places and classes of probable windows with the largest odds around: rows, columns;
    classes."""
    from scipy.ndimage import maximum_filter  # slow to import

    of_classes = odds[..., classes]
    around = maximum_filter(of_classes, size=(3, 3, 1), mode="nearest")
    is_peak = (of_classes == around) & (P[..., classes] >= threshold)
    rows, columns, k = np.nonzero(is_peak)
    return (rows, columns), classes[k]


def suppressed(scores, boxes, overlap, most=None):
    """Which boxes are left by non-maximum suppression.

    Parameters
    ----------
    scores : ndarray of shape (n,)
    boxes : ndarray of shape (n, 4) or (n, 8)
    overlap : float
        The largest intersection over union of two boxes that both stay.
    most : int or None, default=None
        The most boxes that are left.

    Returns
    -------
    ndarray of int
        By falling score; of equal ones the first.
    """
    points = boxes.reshape(len(boxes), boxes.shape[1] // 2, 2)
    low, high = points.min(axis=1), points.max(axis=1)
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order) and len(kept) != most:
        best, order = order[0], order[1:]
        kept.append(best)
        left = ((low[order] >= high[best]) | (high[order] <= low[best])).any(axis=1)
        near = order[~left]  # a blank image has many boxes, of which few have anything in common
        if len(near):
            shared = box_iou(np.repeat(boxes[best][np.newaxis], len(near), axis=0), boxes[near])
            left[~left] = shared <= overlap + 1e-9  # rounding is no overlap
        order = order[left]
    return np.array(kept, dtype=int)
