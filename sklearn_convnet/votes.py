"""How several views of a sample vote."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .parameters import Parametrized


class Vote(Parametrized):
    """Base class of what shows a network several views of a sample; `voting` says how they vote.

    A subclass has a method `draw(sample_shape)`, which returns the views. Each has `of(X,
    n_threads)`, which makes it of samples, and `move`, the map (1, n_axes, n_axes + 1) from places
    in a sample to where they are in the view, or None.
    """

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a view of a sample: its own, unless a subclass says otherwise.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample.

        Returns
        -------
        tuple of int
        """
        return input_shape

    def vote(self, P: ArrayLike) -> NDArray[Any]:
        """The result that the views agree on.

        Parameters
        ----------
        P : array-like of shape (n_views, n, n_classes)
            Probabilities, view by view.

        Returns
        -------
        ndarray of shape (n, n_classes)
            Its largest entries are the vote, its rows sum to 1. "hard": the share of the views
            whose most probable class it is, in which the mean counts as one view more; so it
            decides where views are tied. Otherwise the mean over the views.
        """
        P = np.asarray(P)
        n_views, _, n_classes = P.shape
        mean = sum(P) / n_views  # one by one: a sum that does not depend on n
        if self.voting != "hard":
            return mean
        votes = sum(np.eye(n_classes, dtype=P.dtype)[view.argmax(axis=1)] for view in P)
        return (votes + mean) / (n_views + 1)

    def log_vote(self, log_P: ArrayLike) -> NDArray[Any]:
        """The logarithms of what `vote` returns, which may be too small for the dtype.

        Parameters
        ----------
        log_P : array-like of shape (n_views, n, n_classes)
            Logarithms of probabilities, view by view.

        Returns
        -------
        ndarray of shape (n, n_classes)
        """
        log_P = np.asarray(log_P)
        n_views, _, n_classes = log_P.shape
        log = np.log(np.arange(1, n_views + 2, dtype=log_P.dtype))
        log_mean = reduce(np.logaddexp, log_P) - log[n_views - 1]
        if self.voting != "hard":
            return log_mean
        votes = sum(np.eye(n_classes, dtype=int)[view.argmax(axis=1)] for view in log_P)
        log_votes = np.where(votes > 0, log[votes - 1], -np.inf).astype(log_P.dtype)
        return np.logaddexp(log_votes, log_mean) - log[n_views]
