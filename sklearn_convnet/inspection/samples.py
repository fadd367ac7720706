"""Samples as a network sees them, and the way back to how they were given."""

from dataclasses import dataclass
from math import prod

import numpy as np
from sklearn.utils.validation import check_array, check_is_fitted

from ..estimators.base import BaseConvNet
from ..estimators.inputs import KINDS
from ..layers.composition import first_n_axes
from ..network import Network
from ..threads import effective_n_threads


def network_of(estimator):
    """The network of a fitted estimator, or the network that is given.

    Raises
    ------
    TypeError
        If it is neither.
    NotFittedError
        If the estimator is not fitted.
    """
    if isinstance(estimator, Network):
        return estimator
    if not isinstance(estimator, BaseConvNet):
        hint = ""
        if hasattr(estimator, "steps"):
            hint = ": of a pipeline, give the last step, and X as the steps before leave it"
        raise TypeError(
            "expected a fitted ConvNetClassifier or ConvNetRegressor, or a Network, got "
            f"{type(estimator).__name__}{hint}"
        )
    check_is_fitted(estimator)
    return estimator.network_


def network_of_samples(estimator):
    """The same, of what sees nothing but samples.

    Raises
    ------
    ValueError
        If features of each sample belong to its input.
    """
    network = network_of(estimator)
    if network.n_features:
        raise ValueError(
            f"this looks at samples alone, but {type(estimator).__name__} takes "
            f"{network.n_features} features beside each: fit it without features"
        )
    return network


def target_of(estimator):
    """The target of a fitted estimator, which knows what y holds; None for a network."""
    return getattr(estimator, "_target", None)


def n_axes_of(estimator):
    """The number of axes of a sample besides the channels; columns of a table are one."""
    if isinstance(estimator, BaseConvNet):
        return max(KINDS[estimator._inputs.kind], 1)
    return first_n_axes(estimator.layers) or max(len(estimator.input_shape) - 1, 1)


def _multi_crop(estimator):
    return getattr(estimator, "_fitted", {}).get("multi_crop")


# --- one sample, made up ---------------------------------------------------------------------


def sample_like_X(estimator, X):
    """Samples of the shape that a network sees, in the shape and order of the user's."""
    if isinstance(estimator, Network):
        return X
    shape, crop = estimator.input_shape_, _multi_crop(estimator)
    if crop is not None:
        shape = crop.output_shape(shape)
    return np.ascontiguousarray(estimator._inputs.as_given(X.reshape(len(X), *shape)))


def sample_of(estimator, value, name):
    """The way back, for one sample.

    Raises
    ------
    ValueError
        If it is of another shape.
    """
    shape = network_of(estimator).input_shape
    expected = sample_like_X(estimator, np.empty((1, *shape))).shape[1:]
    if value.shape != expected:
        raise ValueError(f"{name} has shape {value.shape}, but a sample has {expected}")
    turned = getattr(getattr(estimator, "_inputs", None), "turned", False)
    return (np.moveaxis(value, 0, -1) if turned else value).reshape(shape)


# --- X ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """Samples as a network sees them.

    Attributes
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or Network
    network : Network
    X : ndarray of shape (n, *sample_shape)
        Checked as for a prediction, in its own dtype, with the channels last.
    given_shape : tuple of int
        The shape that X was given in.
    """

    estimator: object
    network: Network
    X: np.ndarray
    given_shape: tuple

    @classmethod
    def of(cls, estimator, X):
        """X as the network of an estimator sees it; raises what `predict` would."""
        network = network_of_samples(estimator)
        if estimator is network:
            X = check_array(X, dtype="numeric", allow_nd=True, input_name="X")
            return cls(estimator, network, X, X.shape)
        checked = estimator._check_X(X, reset=False)
        shape = X.shape if hasattr(X, "shape") else np.asarray(X).shape
        if prod(shape) != checked.size:  # cells that hold samples
            shape = (len(checked), *estimator._inputs.shape)
        return cls(estimator, network, checked, shape)

    def __len__(self):
        return len(self.X)

    @property
    def target(self):
        """The target, which knows what y holds; None for a network."""
        return target_of(self.estimator)

    @property
    def n_threads(self):
        return effective_n_threads(getattr(self.estimator, "n_threads", None))

    @property
    def axes(self):
        """The sizes of a sample without its channels, as the network sees it."""
        return self.network.input_shape[: n_axes_of(self.estimator)]

    def _crop(self, X):
        """A view of what the network sees of X: with `multi_crop`, the crop in the middle."""
        crop = _multi_crop(self.estimator)
        return X if crop is None else crop.centre(X)

    def rows(self, rows):
        """Some samples, in a dtype in which the network may see them, as it sees them."""
        X = self._crop(self.X[rows])
        X = np.ascontiguousarray(X, self.network.input_dtype(X.dtype))
        shape = self.network.input_shape
        if X.size != len(X) * prod(shape):
            raise ValueError(f"X has samples of shape {X.shape[1:]}, the network is for {shape}")
        return X.reshape(len(X), *shape)

    def one(self, value, name):
        """A number, or an array of a sample's shape, as the network sees that.

        Raises
        ------
        ValueError
            If it is neither, or not finite.
        """
        options = dict(ensure_2d=False, allow_nd=True, ensure_min_samples=0, input_name=name)
        value = check_array(value, dtype="numeric", **options)
        if value.ndim == 0:
            return value
        if value.shape != self.given_shape[1:]:
            raise ValueError(
                f"{name} has shape {value.shape}: give a number, or an array of the shape of a "
                f"sample, {self.given_shape[1:]}"
            )
        if isinstance(self.estimator, BaseConvNet):
            value = self.estimator._inputs.view(value[np.newaxis])[0]
        value = self._crop(value[np.newaxis])
        return value.reshape(self.network.input_shape)

    def like_X(self, values):
        """Numbers for each value that the network sees, in the shape and order of the user's X; 0
        for what it does not see."""
        whole = np.zeros(self.X.shape, values.dtype)
        seen = self._crop(whole)
        seen[...] = values.reshape(seen.shape)
        if isinstance(self.estimator, BaseConvNet):
            whole = self.estimator._inputs.as_given(whole)
        return np.ascontiguousarray(whole).reshape(self.given_shape)

    def like_positions(self, maps):
        """Numbers for each position that the network sees, for each position of X; 0 for what it
        does not see."""
        whole = np.zeros((len(maps), *self.X.shape[1 : 1 + len(self.axes)]), maps.dtype)
        self._crop(whole)[...] = maps
        return whole
