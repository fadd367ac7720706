"""What training makes small: a divergence of each sample, averaged over the samples.

# Design:
# * A loss sees the last layer's output Z before any link function, and returns the gradient
#   there: softmax with cross-entropy is one formula, not a product of two Jacobians.
# * It returns the sum over the samples, weighted; the trainer divides.
"""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval


class Loss(BaseEstimator):
    """Base class of the losses."""

    _parameter_constraints: dict = {}

    def value_and_gradient(self, Z, target, weight, dZ, kernels, n_threads):
        """The loss of a batch and its gradient.

        Parameters
        ----------
        Z : array of shape (n, n_outputs)
            Output of the last layer.
        target : array
            What it should be: class codes (n,), or values (n, n_outputs).
        weight : array of shape (n,)
            Weights of the samples.
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

    def predict(self, Z, kernels, n_threads):
        """What the network says, from the output of its last layer."""
        return Z


class CrossEntropy(Loss):
    """``-log p(true class)``, with softmax; for several labels, summed over them.

    Where the target is a class, ``p = softmax(Z)``. Where it is a row of labels that are
    there or not, ``p = logistic(Z)`` for each of them.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.losses import CrossEntropy
    >>> ConvNetClassifier(loss=CrossEntropy()).loss
    CrossEntropy()
    """

    def value_and_gradient(self, Z, target, weight, dZ, kernels, n_threads):
        if target.ndim == 1:
            return kernels.softmax_cross_entropy(Z, target, weight, dZ, n_threads)
        weights = np.repeat(weight[:, None], Z.shape[1], axis=1)
        return kernels.logistic_cross_entropy(Z, target, weights, dZ, n_threads)

    def predict(self, Z, kernels, n_threads, several_labels=False):
        P = np.empty_like(Z)
        if several_labels:
            flat = (Z.reshape(-1), P.reshape(-1))
            kernels.activation_forward(*flat, "logistic", 0.0, n_threads)
        else:
            kernels.softmax_forward(Z, P, n_threads)
        return P


class _Pointwise(Loss):
    """The mean over the outputs of a function of the residual ``Z - target``."""

    def pointwise(self, residual):
        """Divergence and derivative of each residual."""
        raise NotImplementedError(type(self))

    def value_and_gradient(self, Z, target, weight, dZ, kernels, n_threads):
        share = (weight / Z.shape[1])[:, None]
        # Training tells of divergence itself.
        with np.errstate(over="ignore", invalid="ignore"):
            value, slope = self.pointwise(Z - target)
            if dZ is not None:
                np.multiply(slope, share, out=dZ)
            return float(np.sum(value * share, dtype=np.float64))


class SquaredError(_Pointwise):
    """``(z - y)^2 / 2``, averaged over the outputs.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetRegressor
    >>> ConvNetRegressor(loss="squared_error").loss
    'squared_error'
    """

    def pointwise(self, residual):
        return 0.5 * residual**2, residual


class AbsoluteError(_Pointwise):
    """``|z - y|``, averaged over the outputs; the derivative at 0 is 0.

    Examples
    --------
    >>> from sklearn_convnet.losses import AbsoluteError
    >>> AbsoluteError()
    AbsoluteError()
    """

    def pointwise(self, residual):
        return np.abs(residual), np.sign(residual)


class Huber(_Pointwise):
    """Quadratic for small residuals, linear for large ones, averaged over the outputs.

    ``r^2 / 2`` for ``|r| <= delta`` and ``delta (|r| - delta / 2)`` beyond: Huber, 1964.

    Parameters
    ----------
    delta : float, default=1.0
        Where it becomes linear.

    Examples
    --------
    >>> from sklearn_convnet.losses import Huber
    >>> Huber(delta=0.5)
    Huber(delta=0.5)
    """

    _parameter_constraints = {"delta": [Interval(Real, 0, None, closed="neither")]}

    def __init__(self, delta=1.0):
        self.delta = delta

    def pointwise(self, residual):
        slope = np.clip(residual, -self.delta, self.delta)
        return slope * (residual - 0.5 * slope), slope


CLASSIFICATION_LOSSES = {"auto": CrossEntropy, "cross_entropy": CrossEntropy}
REGRESSION_LOSSES = {
    "auto": SquaredError,
    "squared_error": SquaredError,
    "absolute_error": AbsoluteError,
    "huber": Huber,
}
