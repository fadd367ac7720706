"""Numbers beside each sample: checked, and the layers that append them.

# Design:
# * Where they are appended a layer says, `ConcatFeatures`. The fit fills in how many they are, as
#   it does the output layers of an `AuxiliaryHead`. Layers of our own choice have one before the
#   first dense layer.
# * Checked features are cast once, to what the network computes in, and lie `beside` X.
"""

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import _get_feature_names, check_array

from ..beside import beside
from ..layers import ConcatFeatures, Dense
from ..layers.composition import Sequential, ShapeError, check_layers
from ..layers.features import feature_layers
from .checks import check_range


def before_dense(layers):
    """Layers with features appended before the first dense one."""
    first = next(i for i, layer in enumerate(layers) if isinstance(layer, Dense))
    return [*layers[:first], ConcatFeatures(), *layers[first:]]


def complete_features(pairs, n_features):
    """The user's layers, with the number of features wherever they are appended.

    Parameters
    ----------
    pairs : list of (str, Layer)
    n_features : int
        0 if there are none.

    Returns
    -------
    list of (str, Layer)

    Raises
    ------
    ValueError
        If there are features and no layer appends them, or the other way round, or a layer appends
        another number.
    """
    found = feature_layers(pairs)
    if n_features and not found:
        raise ValueError(
            "features are given, but none of the layers appends them: put ConcatFeatures() among "
            "layers, before a Dense"
        )
    for path, layer in found:
        if not n_features:
            raise ValueError(
                f"layer {path!r} appends the features of each sample, but there are none: give "
                "features= to fit, or leave the layer out"
            )
        if layer.n_features not in (None, n_features):
            raise ShapeError(
                path,
                f"it has n_features={layer.n_features}, but features has {n_features} columns: "
                "leave n_features out, or give as many",
            )
    if not found:
        return pairs
    known = {f"{path.replace('/', '__')}__n_features": n_features for path, _ in found}
    return check_layers(clone(Sequential(pairs)).set_params(**known).layers)


def checked_features(features):
    """Features as an array of numbers; raises ValueError if they are none."""
    if np.ndim(features) == 1:
        raise ValueError(
            f"features must have the shape (n_samples, n_features), but have {np.shape(features)}: "
            "if there is one beside each sample, features.reshape(-1, 1)"
        )
    try:
        return check_array(features, dtype="numeric", input_name="features")
    except ValueError as error:
        if not any(words in str(error) for words in ("could not convert", "bytes/strings")):
            raise
        reason = str(error).partition("Convert")[0].rstrip(". ")
        raise ValueError(
            f"features must be numbers, but {reason}: encode categories, such as by scikit-learn's "
            "OneHotEncoder"
        ) from None


class FeaturesMixin:
    """Features beside X."""

    #: Names of the columns of features in the first fit, if they had names.
    _names_of_features = None

    def _beside(self, X, features, reset=False):
        """Checked X with its features, checked, if they are given.

        Parameters
        ----------
        X : ndarray, OnDemand or Ragged
        features : array-like of shape (n_samples, n_features) or None
        reset : bool, default=False
            Whether they are learnt, or compared.

        Raises
        ------
        ValueError
            If they are missing, or no finite numbers, or not as many as X or those of the fit.
        """
        n_features = None if reset else self.network_.n_features
        if reset:
            vars(self).pop("_names_of_features", None)
        name = type(self).__name__
        if features is None:
            if n_features:
                raise ValueError(
                    f"{name} was fitted with {n_features} features beside each sample, but here "
                    "there are none: give features="
                )
            return X
        names = _get_feature_names(features)
        features = checked_features(features)
        if len(features) != len(X):
            raise ValueError(f"X has {len(X)} samples, but features has {len(features)}")
        if reset and names is not None:
            self._names_of_features = names.tolist()
        if not reset and features.shape[1] != n_features:
            raise ValueError(
                f"features has {features.shape[1]} columns, but {name} was fitted with "
                f"{n_features or 'none'}"
            )
        self._check_names(names)
        dtype = self._work_dtype(X) if reset else self.network_.dtype
        check_range(features, dtype, "features")
        return beside(X, features.astype(dtype, order="C"))

    def _n_features(self, X=None):
        """The number of features of a sample of X or, without it, of the fitted network; 0 if there
        are none."""
        if X is None:
            return self.network_.n_features
        features = getattr(X, "features", None)
        return 0 if features is None else features.shape[1]

    def _check_names(self, names):
        """Raises ValueError if columns of features have other names than in the first fit."""
        before = self._names_of_features
        if before is None or names is None:
            return
        for i, (name, expected) in enumerate(zip(names, before, strict=True)):
            if name != expected:
                raise ValueError(
                    f"column {i} of features is {name!r}, but was {expected!r} in fit: give the "
                    "same columns in the same order"
                )
