"""Samples that look alike to a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import ArrayLike, NDArray

from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..network.network import Network
from ..on_demand import Samples
from .activations import features


def nearest_samples(
    estimator: ConvNetClassifier | ConvNetRegressor | Network,
    X_reference: ArrayLike,
    X: Samples | None = None,
    n_neighbors: int = 5,
    layer: str | int = -2,
    *,
    metric: str | Callable[..., float] = "euclidean",
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Find the reference samples that are nearest in the outputs of a layer.

    Two samples are near if the layer has similar outputs for them, however different their pixels
    are. Where a network errs, they show what it confuses a sample with: Krizhevsky, Sutskever and
    Hinton, "ImageNet classification with deep convolutional neural networks", 2012, figure 4.

    Parameters
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or Network
        Fitted.
    X_reference : array-like of shape (n_reference, *sample_shape)
        Samples among which to find neighbours, most often the training data.
    X : array-like of shape (n_samples, *sample_shape), default=None
        Samples whose neighbours are wanted. None are the reference samples, none of which is a
        neighbour of itself.
    n_neighbors : int, default=5
        Number of neighbours of each sample.
    layer : str or int, default=-2
        The path of a layer or its place in `layers_`, as for `activations`: -2 is the last hidden
        one.
    metric : str or callable, default="euclidean"
        A distance of `sklearn.neighbors.NearestNeighbors`, such as "cosine", which ignores how
        strong outputs are.

    Returns
    -------
    distances : ndarray of shape (n_samples, n_neighbors)
        Distances of the neighbours, the nearest first.
    indices : ndarray of shape (n_samples, n_neighbors)
        Their rows in `X_reference`.

    Raises
    ------
    TypeError
        If `estimator` is none of this package, or `layer` neither a path nor a place.
    ValueError
        If there is no such layer or metric, there are fewer reference samples than
        `n_neighbors`, or X is not like the training data.
    NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    FeatureExtractor : The outputs of a layer as a transformer, for any estimator of neighbours.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.inspection import nearest_samples
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(input_shape=(8, 8), max_iter=5, random_state=0)
    >>> distances, indices = nearest_samples(clf.fit(X[:900], y[:900]), X[:900], X[900:1000])
    >>> float((y[indices] == y[900:1000, None]).mean()) > 0.9
    True
    """
    from sklearn.neighbors import NearestNeighbors  # takes long to import

    if metric == "precomputed":
        raise ValueError(
            "metric='precomputed' takes distances, but these are computed from outputs of the "
            "layer: give another metric, such as 'euclidean'"
        )
    finder = NearestNeighbors(n_neighbors=n_neighbors, metric=metric)
    finder._validate_params()
    finder.fit(features(estimator, X_reference, layer))
    return finder.kneighbors(None if X is None else features(estimator, X, layer))
