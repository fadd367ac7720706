"""Losses, which training minimises: a divergence of each sample, averaged over the samples.

# Design:
# * A loss sees the last layer's output Z before any link function, and returns the gradient
#   there: softmax with cross-entropy is one formula, not a product of two Jacobians.
# * It returns the sum over the samples, weighted; the trainer divides.
# * Where the output has parts, such as a class and a box, a sum of losses over the parts is
#   a loss as well (objectives.py), and the trainer knows of no parts.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from sklearn.utils._param_validation import Interval

from .parameters import Parametrized
from .scores import weight_of_pixels

__all__ = [
    "AbsoluteError",
    "CrossEntropy",
    "Focal",
    "FunctionLoss",
    "Huber",
    "Loss",
    "Poisson",
    "Quantile",
    "SquaredError",
]


class Loss(Parametrized):
    """Base class of the losses."""

    _parameter_constraints: dict = {}
    #: True if values may be shifted and scaled before the network learns them.
    takes_normalized = True
    #: Name of the inverse of the link function.
    out_activation = "identity"
    #: True if its minimum lies in the middle of the values, where their mean is.
    is_central = False

    def value_and_gradient(
        self,
        Z: NDArray[Any],
        target: NDArray[Any],
        weight: NDArray[Any],
        dZ: NDArray[Any] | None,
        kernels: ModuleType,
        n_threads: int,
    ) -> float:
        """The loss of a batch and its gradient.

        Parameters
        ----------
        Z : array of shape (n, n_outputs) or (n, *map_size, n_outputs)
            Output of the last layer.
        target : array
            What the output should be: class codes (n,) or (n, *map_size) of an integer dtype, or
            values like Z. Codes below 0 and values that are NaN are missing: they have no loss.
        weight : array of shape (n,) or (n, *map_size)
            Weights of the samples, or of the pixels of maps.
        dZ : array like Z, or None
            Filled with the gradient of the returned sum.
        kernels : module
            The kernels for the dtype of Z.
        n_threads : int
            Number of threads.

        Returns
        -------
        float
            The weighted sum of the divergences of the samples.
        """
        raise NotImplementedError(type(self))

    def check_target(self, target: NDArray[Any]) -> None:
        """Raise ValueError if the loss is not defined for a target.

        Parameters
        ----------
        target : array
            As for `value_and_gradient`.
        """

    def inverse_link(self, Z: NDArray[Any]) -> NDArray[Any]:
        """The prediction of a regressor.

        Parameters
        ----------
        Z : array of shape (n, n_outputs) or (n, *map_size, n_outputs)
            Output of the last layer.

        Returns
        -------
        array like Z
        """
        return Z

    def first_output(self, mean: NDArray[Any]) -> NDArray[Any] | None:
        """The output of the last layer before the first step.

        Parameters
        ----------
        mean : array of shape (n_outputs,)
            That of values that are not normalised.

        Returns
        -------
        array of shape (n_outputs,) or None
            None is whatever the first weights make of X.
        """
        return None

    def of_normalized(
        self,
        mean: NDArray[Any],
        deviation: NDArray[Any],
        dtype_of_y: Callable[[DTypeLike], DTypeLike],
    ) -> Loss:
        """The loss for values that are normalised.

        Parameters
        ----------
        mean : array of shape (n_outputs,)
            What was taken off the values.
        deviation : array of shape (n_outputs,)
            What they were then divided by.
        dtype_of_y : callable
            ``dtype_of_y(dtype)`` is the dtype in which a network of that dtype has values of y.

        Returns
        -------
        Loss
        """
        return self


# --- classes -----------------------------------------------------------------------------


class _ClassLoss(Loss):
    """The loss of class codes, one a sample or a pixel, or of labels, there (1) or not (0)."""

    def of_classes(
        self,
        Z: NDArray[Any],
        codes: NDArray[Any],
        weight: NDArray[Any],
        dZ: NDArray[Any] | None,
        kernels: ModuleType,
        n_threads: int,
    ) -> float:
        """The loss where each row has one class; all arrays have a row for each."""
        raise NotImplementedError(type(self))

    def of_labels(
        self,
        Z: NDArray[Any],
        target: NDArray[Any],
        weight: NDArray[Any],
        dZ: NDArray[Any] | None,
        kernels: ModuleType,
        n_threads: int,
    ) -> float:
        """The loss where each column is a label by itself; weight is like Z."""
        raise NotImplementedError(type(self))

    def value_and_gradient(
        self,
        Z: NDArray[Any],
        target: NDArray[Any],
        weight: NDArray[Any],
        dZ: NDArray[Any] | None,
        kernels: ModuleType,
        n_threads: int,
    ) -> float:
        if target.dtype.kind == "f":
            weights = np.repeat(weight[:, None], Z.shape[1], axis=1)
            return self.of_labels(Z, target, weights, dZ, kernels, n_threads)
        if target.ndim > 1:  # pixels
            n_pixels = target[0].size
            weight = weight_of_pixels(weight, target.shape).reshape(-1) / n_pixels
            rows, target = (-1, Z.shape[-1]), target.reshape(-1)
            Z, dZ = Z.reshape(rows), None if dZ is None else dZ.reshape(rows)
            if target.min(initial=0) < 0:
                weight[target < 0] = 0
                target = np.maximum(target, 0)
        target = target.astype(np.int64, copy=False)
        return self.of_classes(Z, target, weight, dZ, kernels, n_threads)


class CrossEntropy(_ClassLoss):
    """Cross-entropy, ``-log p(true class)``; for several labels, summed over them.

    Where the target is a class, ``p = softmax(Z)``. Where it is a row of labels that are
    there or not, ``p = logistic(Z)`` for each of them. Maps of labels are averaged over
    their pixels.

    Parameters
    ----------
    label_smoothing : float, default=0.0
        Share of the target that is spread over all classes evenly (over "there" and "not
        there" for each of several labels): Szegedy et al., "Rethinking the Inception
        architecture for computer vision", 2016.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.losses import CrossEntropy
    >>> ConvNetClassifier(loss=CrossEntropy(label_smoothing=0.1)).loss
    CrossEntropy(label_smoothing=0.1)
    """

    _parameter_constraints = {"label_smoothing": [Interval(Real, 0, 1, closed="left")]}

    def __init__(self, label_smoothing: float = 0.0) -> None:
        self.label_smoothing = label_smoothing

    def of_classes(
        self,
        Z: NDArray[Any],
        codes: NDArray[Any],
        weight: NDArray[Any],
        dZ: NDArray[Any] | None,
        kernels: ModuleType,
        n_threads: int,
    ) -> float:
        total = kernels.softmax_cross_entropy(Z, codes, weight, dZ, n_threads)
        if not self.label_smoothing:
            return total
        # -(1 - e) log p_t - e/K sum_c log p_c = -log p_t + e (z_t - mean_c z_c)
        rows, share = np.arange(len(Z)), float(self.label_smoothing) * weight
        total += float(np.sum(share * (Z[rows, codes] - Z.mean(axis=1)), dtype=np.float64))
        if dZ is not None:
            dZ -= (share / Z.shape[1])[:, None]
            dZ[rows, codes] += share
        return total

    def of_labels(
        self,
        Z: NDArray[Any],
        target: NDArray[Any],
        weight: NDArray[Any],
        dZ: NDArray[Any] | None,
        kernels: ModuleType,
        n_threads: int,
    ) -> float:
        if self.label_smoothing:
            smoothing = float(self.label_smoothing)
            target = (1 - smoothing) * target + 0.5 * smoothing
        return kernels.logistic_cross_entropy(Z, target, weight, dZ, n_threads)


class Focal(_ClassLoss):
    """Focal loss, ``-(1 - p)^gamma log p``: cross-entropy with less weight on easy samples.

    Lin et al., "Focal loss for dense object detection", 2017; their factor alpha is
    `class_weight`. Classes and labels are as in `CrossEntropy`, which it is with gamma = 0.

    Parameters
    ----------
    gamma : float, default=2.0
        The larger, the less do samples count that are classified well.

    Examples
    --------
    >>> from sklearn_convnet.losses import Focal
    >>> Focal(gamma=1.0)
    Focal(gamma=1.0)
    """

    _parameter_constraints = {"gamma": [Interval(Real, 0, None, closed="left")]}

    def __init__(self, gamma: float = 2.0) -> None:
        self.gamma = gamma

    def _of_probability(self, log_p, q):
        """Loss and its derivative by log p, for ``q = 1 - p``, which may be tiny."""
        # log p / q, which is -1 in the limit
        ratio = np.divide(log_p, q, out=np.full_like(q, -1), where=q > 0)
        gamma = float(self.gamma)
        power = q**gamma
        return -power * log_p, power * (gamma * np.exp(log_p) * ratio - 1)

    def of_classes(
        self,
        Z: NDArray[Any],
        codes: NDArray[Any],
        weight: NDArray[Any],
        dZ: NDArray[Any] | None,
        kernels: ModuleType,
        n_threads: int,
    ) -> float:
        rows = np.arange(len(Z))
        others = Z - Z.max(axis=1, keepdims=True)
        log_p = others[rows, codes] - np.log(np.exp(others).sum(axis=1))
        P = softmax(Z, kernels, n_threads)
        P[rows, codes] = 0
        q = P.sum(axis=1)  # not 1 - p, which would lose the digits of a small q
        log_p = np.where(q < 0.5, np.log1p(-np.minimum(q, 0.5)), log_p)
        value, slope = self._of_probability(log_p, q)
        if dZ is not None:
            # dlog p_t / dz_c = (c = t) - p_c
            slope *= weight
            np.multiply(P, -slope[:, None], out=dZ)
            dZ[rows, codes] = slope * q
        return float(np.sum(value * weight, dtype=np.float64))

    def of_labels(
        self,
        Z: NDArray[Any],
        target: NDArray[Any],
        weight: NDArray[Any],
        dZ: NDArray[Any] | None,
        kernels: ModuleType,
        n_threads: int,
    ) -> float:
        sign = np.where(target > 0.5, 1, -1).astype(Z.dtype)
        q = logistic(-sign * Z, kernels, n_threads)
        value, slope = self._of_probability(-np.logaddexp(0, -sign * Z), q)
        if dZ is not None:
            np.multiply(slope * q, sign * weight, out=dZ)
        return float(np.sum(value * weight, dtype=np.float64))


def softmax(Z, kernels, n_threads):
    """Probabilities of classes: softmax over the last axis."""
    P = np.empty_like(Z)
    rows = (-1, Z.shape[-1])
    kernels.softmax_forward(Z.reshape(rows), P.reshape(rows), n_threads)
    return P


def logistic(Z, kernels, n_threads):
    """Probabilities of labels, each by itself."""
    P = np.empty_like(Z)
    kernels.activation_forward(Z.reshape(-1), P.reshape(-1), "logistic", 0.0, n_threads)
    return P


def log_softmax(Z):
    """Logarithms of `softmax`, also of probabilities that are too small for the dtype."""
    others = Z - Z.max(axis=-1, keepdims=True)
    return others - np.log(np.exp(others).sum(axis=-1, keepdims=True))


def log_logistic(Z):
    """Logarithms of `logistic`, likewise."""
    return -np.logaddexp(0, -Z)


# --- values ------------------------------------------------------------------------------


class _Pointwise(Loss):
    """The mean over outputs and pixels of a function of output and target.

    What is missing counts in the mean as 0, so that each value that is there counts as much.
    """

    def pointwise(self, Z: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Divergence and derivative of each output."""
        raise NotImplementedError(type(self))

    def value_and_gradient(
        self,
        Z: NDArray[Any],
        target: NDArray[Any],
        weight: NDArray[Any],
        dZ: NDArray[Any] | None,
        kernels: ModuleType,
        n_threads: int,
    ) -> float:
        share = (weight / Z[0].size).reshape(*weight.shape, *[1] * (Z.ndim - weight.ndim))
        # Training tells of divergence itself.
        with np.errstate(over="ignore", invalid="ignore"):
            value, slope = self.pointwise(Z, target)
            missing = np.isnan(target)
            if missing.any():
                value[missing] = slope[missing] = 0
            if dZ is not None:
                np.multiply(slope, share, out=dZ)
            return float(np.sum(value * share, dtype=np.float64))


class SquaredError(_Pointwise):
    """Squared error: ``(z - y)^2 / 2``, averaged over outputs and pixels.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetRegressor
    >>> ConvNetRegressor(loss="squared_error").loss
    'squared_error'
    """

    is_central = True

    def pointwise(self, Z: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        residual = Z - target
        return 0.5 * residual**2, residual


class AbsoluteError(_Pointwise):
    """Absolute error: ``|z - y|``, averaged over outputs and pixels; the derivative at 0 is 0.

    Examples
    --------
    >>> from sklearn_convnet.losses import AbsoluteError
    >>> AbsoluteError()
    AbsoluteError()
    """

    is_central = True

    def pointwise(self, Z: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        residual = Z - target
        return np.abs(residual), np.sign(residual)


class Huber(_Pointwise):
    """Huber loss: quadratic for small residuals, linear for large ones.

    ``r^2 / 2`` for ``|r| <= delta`` and ``delta (|r| - delta / 2)`` beyond, averaged over outputs
    and pixels: Huber, 1964.

    Parameters
    ----------
    delta : float, default=1.0
        The residual from which on it is linear, in the units of y.

    Examples
    --------
    >>> from sklearn_convnet.losses import Huber
    >>> Huber(delta=0.5)
    Huber(delta=0.5)
    """

    _parameter_constraints = {"delta": [Interval(Real, 0, None, closed="neither")]}
    is_central = True

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = delta

    def pointwise(self, Z: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        residual = Z - target
        delta = np.asarray(self.delta, Z.dtype)
        slope = np.clip(residual, -delta, delta)
        return slope * (residual - 0.5 * slope), slope

    def of_normalized(
        self,
        mean: NDArray[Any],
        deviation: NDArray[Any],
        dtype_of_y: Callable[[DTypeLike], DTypeLike],
    ) -> Loss:
        return Huber(self.delta / deviation)  # type: ignore[arg-type]  # one of each output


class Quantile(_Pointwise):
    """The pinball loss, whose minimum is a quantile: Koenker and Bassett, 1978.

    ``quantile (y - z)`` where y is larger, ``(1 - quantile) (z - y)`` where it is smaller,
    averaged over outputs and pixels; the derivative at 0 is 0.

    Parameters
    ----------
    quantile : float, default=0.5
        Share of the targets that should lie below the prediction.

    Examples
    --------
    >>> from sklearn_convnet.losses import Quantile
    >>> Quantile(0.9)
    Quantile(quantile=0.9)
    """

    _parameter_constraints = {"quantile": [Interval(Real, 0, 1, closed="neither")]}

    def __init__(self, quantile: float = 0.5) -> None:
        self.quantile = quantile

    def pointwise(self, Z: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        residual = Z - target
        sign = np.sign(residual)
        slope = 0.5 * sign + (0.5 - float(self.quantile)) * sign**2
        return slope * residual, slope


class Poisson(_Pointwise):
    """Poisson loss of counts, ``exp(z) - y z``, averaged over outputs and pixels.

    The negative log-likelihood of a Poisson distribution of mean ``exp(z)`` (a logarithmic link),
    without the terms of y alone. The regressor predicts ``exp(z)``; before the first step z is
    about the logarithm of the mean of y, which is not normalised.

    Examples
    --------
    >>> from sklearn_convnet.losses import Poisson
    >>> Poisson()
    Poisson()
    """

    out_activation = "exp"

    def pointwise(self, Z: NDArray[Any], target: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        mean = np.exp(Z)
        return mean - target * Z, mean - target

    takes_normalized = False

    def check_target(self, target: NDArray[Any]) -> None:
        if np.nanmin(target) < 0:
            raise ValueError(
                f"loss='poisson' is for counts, but y holds {np.nanmin(target):g}: give values "
                "of at least 0"
            )

    def first_output(self, mean: NDArray[Any]) -> NDArray[Any]:
        """The logarithm of the mean.

        Parameters
        ----------
        mean : array of shape (n_outputs,)
            That of values that are not normalised.

        Returns
        -------
        array of shape (n_outputs,)
            0 for a mean of 0.
        """
        return np.log(np.where(mean > 0, mean, 1.0))

    def inverse_link(self, Z: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(over="ignore"):
            return np.exp(Z)


# --- the user's own ----------------------------------------------------------------------


class FunctionLoss(Loss):
    """A loss of one's own, given as a function.

    Parameters
    ----------
    function : callable
        ``function(y_true, y_pred)`` returns the loss of each sample, of shape (n,), and its
        gradient with respect to `y_pred`, of the shape of `y_pred`. That is the output of the
        network before any link function, of shape (n, n_outputs), or (n, *map_size, n_outputs) for
        maps; for values in the units of y. `y_true` is alike, with NaN where a value is missing, or
        class codes (n,) or (n, *map_size), which are positions in ``classes_``, and -1 for a pixel
        that is ignored. Weights of samples and the mean over them are applied afterwards. With
        ``normalize_y=True`` the loss is divided by the mean variance of the outputs in y.

    Examples
    --------
    Estimators make one of a function that is given as `loss`:

    >>> import numpy as np
    >>> from sklearn_convnet import ConvNetRegressor
    >>> def log_cosh(y_true, y_pred):
    ...     residual = y_pred - y_true
    ...     loss = np.logaddexp(residual, -residual) - np.log(2)
    ...     return loss.mean(axis=1), np.tanh(residual) / y_pred.shape[1]
    >>> reg = ConvNetRegressor([], loss=log_cosh, max_iter=2, random_state=0)
    >>> reg.fit([[0.0], [1.0]], [3.0, 5.0]).predict([[2.0]]).shape
    (1,)
    """

    def __init__(
        self, function: Callable[[NDArray[Any], NDArray[Any]], tuple[ArrayLike, ArrayLike]]
    ) -> None:
        self.function = function

    def of_normalized(
        self,
        mean: NDArray[Any],
        deviation: NDArray[Any],
        dtype_of_y: Callable[[DTypeLike], DTypeLike],
    ) -> Loss:
        # Divided by the mean variance, which changes no minimum: what is a square in the units of y
        # is one of normalised values again.
        variance = np.mean(deviation**2)

        def function(y_true, y_pred):
            dtype = dtype_of_y(y_pred.dtype)
            shift, factor = mean.astype(dtype), deviation.astype(dtype)
            result = self.function(y_true * factor + shift, y_pred * factor + shift)
            losses, gradient = self._checked(result)
            gradient = gradient * (deviation / variance).astype(dtype)
            return losses / float(variance), gradient.astype(y_pred.dtype, copy=False)

        return FunctionLoss(function)

    @staticmethod
    def _checked(result):
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            seen = f"{len(result)} of them" if isinstance(result, (tuple, list)) else "one value"
            raise ValueError(
                "the function given as loss must return two arrays, the loss of each sample and "
                f"its gradient with respect to y_pred, got {seen} of type {type(result).__name__}"
            )
        return [np.asarray(array) for array in result]

    def value_and_gradient(
        self,
        Z: NDArray[Any],
        target: NDArray[Any],
        weight: NDArray[Any],
        dZ: NDArray[Any] | None,
        kernels: ModuleType,
        n_threads: int,
    ) -> float:
        if weight.ndim > 1:
            raise ValueError(
                "sample_weight weighs pixels, but the function given as loss returns one loss a "
                "sample: give weights of samples, and let the function weigh the pixels"
            )
        losses, gradient = self._checked(self.function(target, Z))
        if losses.shape != weight.shape or gradient.shape != Z.shape:
            raise ValueError(
                f"the function given as loss returned shapes {losses.shape} and "
                f"{gradient.shape}, expected {weight.shape}, the loss of each sample, and "
                f"{Z.shape}, its gradient with respect to y_pred"
            )
        if dZ is not None:
            np.multiply(gradient, weight.reshape(-1, *[1] * (Z.ndim - 1)), out=dZ)
        return float(np.sum(losses * weight, dtype=np.float64))


CLASSIFICATION_LOSSES = {
    "auto": CrossEntropy,
    "cross_entropy": CrossEntropy,
    "focal": Focal,
}
REGRESSION_LOSSES = {
    "auto": SquaredError,
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
    "quantile": Quantile,
    "poisson": Poisson,
}
