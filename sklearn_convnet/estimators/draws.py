"""Predictions of several networks that dropout makes of one: how sure it is."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted

from .._typing import RandomState
from ..on_demand import Samples
from ..ragged import each_size
from ..training import PREDICT_ROWS

#: Draws of a call have seeds that differ in so many of the lowest bits.
DRAW_BITS = 20


class DrawsMixin:
    """Predictions with dropout."""

    def _decoded(self, Z):
        """The prediction that the output of the last layer stands for."""
        raise NotImplementedError(type(self))

    def predict_draws(
        self,
        X: Samples,
        n_draws: int = 50,
        random_state: RandomState = None,
        features: ArrayLike | None = None,
    ) -> NDArray[Any] | Any:
        """Predict with dropout on, several times.

        Where draws differ, the network is uncertain. Their mean is the prediction of Monte Carlo
        dropout, and their spread measures its uncertainty (Gal and Ghahramani, "Dropout as a
        Bayesian approximation", 2016). All else is as in a prediction: batch norms use their
        running statistics. Within a draw the same units are dropped for all samples, so a draw is
        one function of X, and its result for a sample does not depend on other samples (Kirsch, van
        Amersfoort and Gal, "BatchBALD", 2019). The estimator is not changed, and several threads
        may call this at once.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples, as for `predict`.
        n_draws : int, default=50
            Number of draws.
        random_state : int, RandomState or None, default=None
            Seed of what is dropped: the same seed gives the same draws.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside each sample, if `fit` was given some.

        Returns
        -------
        ndarray of shape (n_draws, n_samples, ...), or list of ndarray
            Of a classifier probabilities, as `predict_proba` has them, of a regressor values, as
            `predict` has them, after an axis of the draws. Where those return a list, this is a
            list of arrays that begin with the axis of the draws.

        Raises
        ------
        ValueError
            If the network has no dropout, or with `multi_crop` or `test_time_augmentation`.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from sklearn_convnet import ConvNetClassifier
        >>> from sklearn_convnet.layers import Dense, Dropout, Standardize
        >>> X, y = load_digits(return_X_y=True)
        >>> clf = ConvNetClassifier(
        ...     [Standardize(), Dense(64), Dropout(0.5)], max_iter=20, random_state=0)
        >>> P = clf.fit(X[:1000], y[:1000]).predict_draws(X[1000:], n_draws=20, random_state=0)
        >>> P.shape
        (20, 797, 10)
        >>> right = P.mean(axis=0).argmax(axis=1) == y[1000:]
        >>> spread = P.std(axis=0).mean(axis=1)
        >>> bool(spread[right].mean() < spread[~right].mean())
        True
        """
        check_is_fitted(self)
        check_scalar(n_draws, "n_draws", Integral, min_val=1, max_val=2**DRAW_BITS)
        if not self.network_.is_random:
            raise ValueError(
                f"predict_draws needs a layer that drops something in training, and this "
                f"{type(self).__name__} has none: put a Dropout among its layers"
            )
        if self._fitted["multi_crop"] is not None:
            raise ValueError(
                "predict_draws has no vote over several crops: fit with multi_crop=None"
            )
        if self.test_time_augmentation is not None:
            raise ValueError(
                "predict_draws has no vote over changed samples: set test_time_augmentation=None"
            )
        X = self._seen(X, features)
        first = int(check_random_state(random_state).randint(2**31 - 1)) << DRAW_BITS
        draws = [self._draw(X, first + i) for i in range(n_draws)]
        if isinstance(draws[0], list):
            return [np.stack(parts) for parts in zip(*draws, strict=True)]
        return np.stack(draws)

    def _draw(self, X, seed):
        """That of a seed, for checked X."""

        def drawn(part):
            return self._decoded(self._raw_predict(part, seed=seed))

        return each_size(X, drawn, PREDICT_ROWS)
