"""The boxes that a classifier predicts."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from ..on_demand import Samples
from ..ragged import each_size
from ..training import PREDICT_ROWS
from .targets import BoxTarget


class BoxesMixin:
    """Predictions of boxes beside those of classes."""

    def predict_box(self, X: Samples, features: ArrayLike | None = None) -> NDArray[Any]:
        """Predict boxes, whatever the class.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples of the shape of the training data; an axis of one channel may be left out. They
            may have another size, and samples in a list different sizes, if the layers allow it.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside each sample, if `fit` was given some.

        Returns
        -------
        ndarray of shape (n_samples, n_coordinates)
            Coordinates as they were given, in `box_units`.

        Raises
        ------
        ValueError
            If the estimator was fitted without boxes.
        """
        check_is_fitted(self)
        if not isinstance(self._target, BoxTarget):
            raise ValueError(
                "predict_box needs a network that was fitted with boxes: give them to fit, as "
                "boxes= or in the columns of y with box_weight"
            )
        X, vote = self._seen(X, features), self._vote()

        def boxes(part):
            shape = part.shape[1:]
            if vote is None:
                return self._target.of_size(shape).boxes(self._raw_predict(part))
            target = self._target.of_size(vote.output_shape(shape))
            return self._of_views(part, vote, target.boxes, target.boxes_of_views)

        return each_size(X, boxes, PREDICT_ROWS)
