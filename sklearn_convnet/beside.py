"""Samples with numbers beside each, in the place of an array of them.

# Design:
# * What belongs to a sample travels with it: rows of samples that have features are samples that
#   have features, so who takes rows, batches or parts of X need not know of them.
# * An array has them by `WithFeatures`; `OnDemand` and `Ragged`, which stand for arrays already,
#   have an attribute. Who needs the array itself takes both `apart`, and puts what it makes of the
#   array `beside` the features again.
"""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray


class WithFeatures:
    """An array of samples, and the features of each.

    Estimators make one of what `fit` and `predict` are given; a `Network` is given it itself.

    Parameters
    ----------
    X : ndarray of shape (n, *sample_shape)
        The samples.
    features : ndarray of shape (n, n_features)
        Numbers beside each, in the same order.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.beside import WithFeatures
    >>> from sklearn_convnet.layers import ConcatFeatures, Conv2D, Dense, GlobalAvgPool
    >>> from sklearn_convnet.network import compile_network
    >>> layers = [Conv2D(4, 3), GlobalAvgPool(), ConcatFeatures(2), Dense(3)]
    >>> network = compile_network(layers, (8, 8, 1), random_state=0)
    >>> network.forward(WithFeatures(np.zeros((5, 8, 8, 1)), np.ones((5, 2)))).shape
    (5, 3)
    """

    def __init__(self, X: NDArray[Any], features: NDArray[Any]) -> None:
        self.X, self.features = X, features

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows: int | slice | NDArray[Any]) -> NDArray[Any] | WithFeatures:
        """Those of a slice or an array, or one sample without its features."""
        if isinstance(rows, (int, np.integer)):
            return self.X[rows]
        return WithFeatures(self.X[rows], self.features[rows])

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the array of samples."""
        return self.X.shape

    @property
    def ndim(self) -> int:
        """Number of axes of the array of samples."""
        return self.X.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the array of samples."""
        return self.X.dtype


def beside(X, features):
    """Samples with their features, which may be None.

    Parameters
    ----------
    X : ndarray, OnDemand or Ragged
    features : ndarray of shape (n, n_features) or None
    """
    if features is None:
        return X
    if hasattr(X, "features"):  # what stands for an array
        X = copy(X)
        X.features = features
        return X
    return WithFeatures(X, features)


def apart(X):
    """Samples as they are without features, and the features or None; the inverse of `beside`."""
    if isinstance(X, WithFeatures):
        return X.X, X.features
    features = getattr(X, "features", None)
    if features is None:
        return X, None
    X = copy(X)
    X.features = None
    return X, features
