"""Outputs of a trained network as features for other estimators."""

from __future__ import annotations

from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted

from ..estimators.base import BaseConvNet
from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..on_demand import Samples
from ..parameters import Parametrized
from .activations import activations
from .samples import network_of_samples


class FeatureExtractor(TransformerMixin, Parametrized):
    """Transforms samples into the outputs of a layer of a network.

    `fit` fits a clone of the estimator. A network that is fitted already goes in a
    `sklearn.frozen.FrozenEstimator`; then fitting costs nothing, and y is not needed.

    Parameters
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or FrozenEstimator of one
        The network.
    layer : str or int, default=-2
        The path of a layer, such as ``"conv2d1"`` or ``"residual1/conv2d1"``, or its place in
        `layers_`: -1 is the output layer, -2 the last hidden one. Its output includes its own
        activation.
    flatten : bool, default=True
        Whether there is one row of numbers for each sample. If not, they are maps, with the
        channels last.

    Attributes
    ----------
    estimator_ : ConvNetClassifier or ConvNetRegressor
        The fitted estimator.
    layer_ : str
        The path of the layer.
    output_shape_ : tuple of int
        The shape of what is made of one sample.
    n_features_in_ : int
        Number of values of a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of X, if it had names.

    See Also
    --------
    activations : The outputs of several layers.

    Notes
    -----
    In a search over `layer`, each candidate fits the network anew, unless it is frozen. A frozen
    network that was fitted on the samples of the search has seen those that are to be held out: the
    scores are too good, so fit it on others.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.frozen import FrozenEstimator
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.inspection import FeatureExtractor
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(input_shape=(8, 8), max_iter=5, random_state=0)
    >>> knn = make_pipeline(FeatureExtractor(clf), KNeighborsClassifier())
    >>> knn.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.9
    True

    A search over the layers of a network that is fitted already:

    >>> frozen = FrozenEstimator(clf.fit(X[:1000], y[:1000]))
    >>> knn = make_pipeline(FeatureExtractor(frozen), KNeighborsClassifier())
    >>> grid = {"featureextractor__layer": ["conv2d1", "conv2d2", "dense1"]}
    >>> search = GridSearchCV(knn, grid, cv=2).fit(X[1000:], y[1000:])
    >>> bool(search.best_score_ > 0.9)
    True
    """

    _parameter_constraints = {
        "estimator": "no_validation",  # _checked_estimator says more of what is wrong
        "layer": "no_validation",  # the network does
        "flatten": ["boolean"],
    }

    def __init__(
        self,
        estimator: ConvNetClassifier | ConvNetRegressor | FrozenEstimator,
        layer: str | int = -2,
        flatten: bool = True,
    ) -> None:
        self.estimator = estimator
        self.layer = layer
        self.flatten = flatten

    def _checked_estimator(self) -> tuple[Any, bool]:
        """The estimator without its frame, and whether it has one."""
        frozen = isinstance(self.estimator, FrozenEstimator)
        inner = self.estimator.estimator if frozen else self.estimator
        if not isinstance(inner, BaseConvNet):
            raise TypeError(
                "estimator must be a ConvNetClassifier or ConvNetRegressor, or a FrozenEstimator "
                f"of one, got {self.estimator!r}"
            )
        return inner, frozen

    def fit(
        self,
        X: Samples,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        **fit_params: Any,
    ) -> Self:
        """Fit a clone of the estimator, unless it is frozen.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Samples, as for `fit` of the estimator.
        y : array-like of shape (n_samples, ...), default=None
            What the estimator learns. A frozen one needs none.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        **fit_params : dict
            Passed on to `fit` of the estimator, such as `boxes` or `X_val`.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        TypeError
            If `estimator` is none of this package, or `layer` neither a path nor a place.
        ValueError
            If there is no such layer, y is missing, or the estimator does not take what is given.
        NotFittedError
            If a frozen estimator is not fitted.
        """
        self._validate_params()
        estimator, frozen = self._checked_estimator()
        if frozen:
            check_is_fitted(estimator)
            estimator._check_X(X, reset=False)
        else:
            if y is None:
                raise ValueError(
                    "FeatureExtractor requires y to be passed, but the target y is None: its "
                    "estimator is fitted to it. Give y, or a fitted estimator as "
                    "FrozenEstimator(estimator)"
                )
            if sample_weight is not None:
                fit_params["sample_weight"] = sample_weight
            estimator = clone(estimator).fit(X, y, **fit_params)
        probe = network_of_samples(estimator).probe()
        path = probe.path(self.layer)
        shape = probe.output_shape(path)
        self.estimator_, self.layer_ = estimator, path
        self.output_shape_ = (prod(shape),) if self.flatten else shape
        self.n_features_in_ = estimator.n_features_in_
        self.__dict__.pop("feature_names_in_", None)
        if hasattr(estimator, "feature_names_in_"):
            self.feature_names_in_ = estimator.feature_names_in_
        return self

    def transform(self, X: Samples) -> NDArray[Any]:
        """The outputs of the layer.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Samples, in every form that `predict` takes, of the size that `fit` saw.

        Returns
        -------
        ndarray of shape (n_samples, n_features) or (n_samples, *output_shape)
            In the dtype that the network computes in.

        Raises
        ------
        ValueError
            If X is not like the training data, or `set_output` asks for a table of maps.
        """
        check_is_fitted(self)
        if (
            len(self.output_shape_) > 1
            and _get_output_config("transform", self)["dense"] != "default"
        ):
            raise ValueError(
                f"outputs of layer {self.layer_!r} are maps of shape {self.output_shape_}, which "
                "are no columns of a table: set flatten=True, or set_output(transform='default')"
            )
        maps = activations(self.estimator_, X, self.layer_)[self.layer_]
        return maps.reshape(len(maps), *self.output_shape_)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Names of the features: the path of the layer, and a number.

        Parameters
        ----------
        input_features : None
            Ignored: each feature depends on all values of a sample.

        Returns
        -------
        ndarray of str
            Such as ``dense1_0``, ``dense1_1``.

        Raises
        ------
        ValueError
            If they are maps.
        """
        check_is_fitted(self)
        if len(self.output_shape_) > 1:
            raise ValueError(
                f"outputs of layer {self.layer_!r} are maps of shape {self.output_shape_}, which "
                "have no names: set flatten=True"
            )
        names = [f"{self.layer_}_{i}" for i in range(self.output_shape_[0])]
        return np.asarray(names, dtype=object)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "estimator_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        frozen = isinstance(self.estimator, FrozenEstimator)
        tags.target_tags.required = not frozen
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        if isinstance(self.estimator, (BaseConvNet, FrozenEstimator)):
            tags.input_tags = get_tags(self.estimator).input_tags
        return tags
