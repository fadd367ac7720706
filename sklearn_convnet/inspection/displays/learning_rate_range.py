"""`LearningRateRangeDisplay`."""

from __future__ import annotations

from itertools import chain, count, islice
from math import ceil
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d
from sklearn.utils import check_scalar

from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ...estimators.samples import Given
from ...on_demand import Samples
from ...schedules import Schedule
from ._begin import begun
from ._pictures import numbers, one_axes, same_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LearningRateRangeDisplay:
    """A range test: the loss of training steps whose learning rate grows from one to the next.

    Where the smoothed loss falls most steeply, the learning rate is a good one to begin with; where
    it rises again, the rate is too large. The test is that of Smith, "Cyclical learning rates for
    training neural networks", 2017, with rates that grow exponentially.

    Parameters
    ----------
    learning_rates : array-like of shape (n_steps,)
        The rates, rising.
    losses : array-like of shape (n_steps,)
        Mean loss of each batch, before the step at this rate.
    smoothing : float, default=3.0
        Standard deviation of the Gaussian that smooths the losses, in steps; 0 does not.

    Attributes
    ----------
    suggestion_ : float
        The rate at which the smoothed loss falls most steeply, in the last three quarters of its
        way from the largest to the smallest; NaN if it does not fall.
    smoothed_ : ndarray of shape (n_steps,)
        The smoothed losses.
    ax_ : matplotlib Axes
        The axes of the picture.
    figure_ : matplotlib Figure
        Its figure.
    line_ : matplotlib Line2D
        The smoothed losses.
    suggestion_line_ : matplotlib Line2D or None
        The line at the suggestion.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.inspection import LearningRateRangeDisplay
    >>> from sklearn_convnet.layers import Dense, Standardize
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier([Standardize(), Dense(32)], batch_size=32, random_state=0)
    >>> display = LearningRateRangeDisplay.from_estimator(clf, X, y)
    >>> 1e-4 < display.suggestion_ < 0.1
    True
    >>> _ = clf.set_params(optimizer__learning_rate=display.suggestion_)
    """

    def __init__(
        self, learning_rates: ArrayLike, losses: ArrayLike, *, smoothing: float = 3.0
    ) -> None:
        self.learning_rates = learning_rates
        self.losses = losses
        self.smoothing = smoothing

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier | ConvNetRegressor,
        X: Samples,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        boxes: ArrayLike | None = None,
        features: ArrayLike | None = None,
        min_rate: float = 1e-6,
        max_rate: float = 1.0,
        n_steps: int = 100,
        smoothing: float = 3.0,
        stop_factor: float = 1.0,
        ax: Axes | None = None,
        line_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Run the test for an estimator, fitted or not.

        It begins where `fit` would: with new weights, or those of `init_from`; in a warm start with
        the weights of the last fit. It runs on another network, and leaves the estimator unchanged,
        to the last bit. Batches, augmentation and loss are those of a fit.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            With any optimiser, whose own learning rate does not count.
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Training data, as for `fit`.
        y : array-like of shape (n_samples, ...)
            Labels or values, as for `fit`.
        sample_weight : array-like of shape (n_samples, ...), default=None
            Weights, as for `fit`.
        boxes : array-like of shape (n_samples, 8) or (n_samples, 4), default=None
            Boxes, as for `fit` of a classifier.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside the samples, as for `fit`.
        min_rate, max_rate : float, default=1e-6, 1.0
            The first and the last rate.
        n_steps : int, default=100
            Number of steps, each with another batch; the data are gone through as often as needed.
        smoothing : float, default=3.0
            See the class.
        stop_factor : float, default=1.0
            The test ends when the smoothed loss exceeds its minimum by more than this many times
            the median of the first losses, as many as are smoothed together, or when a loss is not
            finite. With ``np.inf`` only the latter ends it.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        line_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.plot` for the smoothed losses.

        Returns
        -------
        LearningRateRangeDisplay

        Raises
        ------
        ValueError
            If the range is none, or the loss is not finite from the beginning.
        """
        check_scalar(min_rate, "min_rate", Real, min_val=0, include_boundaries="neither")
        check_scalar(max_rate, "max_rate", Real, min_val=min_rate, include_boundaries="neither")
        check_scalar(n_steps, "n_steps", Integral, min_val=3)
        check_scalar(stop_factor, "stop_factor", Real, min_val=0, include_boundaries="neither")
        check_smoothing(smoothing)
        rates = np.geomspace(min_rate, max_rate, n_steps)
        given = Given(X, y, sample_weight, boxes, features)
        trainer, samples = begun(estimator, given, Rates(rates))
        losses = range_test(trainer, samples, n_steps, smoothing, stop_factor)
        display = cls(rates[: len(losses)], losses, smoothing=smoothing)
        return display.plot(ax=ax, line_kw=line_kw)

    def plot(self, ax: Axes | None = None, *, line_kw: dict[str, Any] | None = None) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        line_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.plot` for the smoothed losses.

        Returns
        -------
        LearningRateRangeDisplay

        Raises
        ------
        ValueError
            If rates and losses are none, do not fit each other, or are not finite.
        ImportError
            If matplotlib is not installed.
        """
        rates = numbers(self.learning_rates, "learning_rates", ndim=1).astype(np.float64)
        losses = numbers(self.losses, "losses", ndim=1).astype(np.float64)
        same_length(learning_rates=rates, losses=losses)
        if not (rates > 0).all() or not (np.diff(rates) > 0).all():
            raise ValueError("learning_rates must be positive and rising")
        if not np.isfinite(losses).all():
            raise ValueError("losses must be finite: give those before the first that is not")
        self.smoothed_ = smoothed(losses, self.smoothing)
        # What has exploded at the end must not be smeared over the steps before.
        held = np.minimum(losses, max(losses[0], np.median(losses)))
        self.suggestion_ = steepest(rates, smoothed(held, self.smoothing))
        ax = one_axes(self, ax, (5, 3.5))
        ax.plot(rates, losses, ".", color="0.75", markersize=3)
        (self.line_,) = ax.plot(rates, self.smoothed_, **(line_kw or {}))
        self.suggestion_line_ = None
        if np.isfinite(self.suggestion_):
            self.suggestion_line_ = ax.axvline(
                self.suggestion_,
                color="tab:red",
                linestyle="--",
                linewidth=1,
                label=f"suggestion {self.suggestion_:.1e}",
            )
            ax.legend(fontsize=8)
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
        # What has exploded would make the rest flat.
        bottom, top = self.smoothed_.min(), max(self.smoothed_[0], np.median(self.smoothed_))
        room = 0.3 * (top - bottom) or 0.1 * abs(top) or 1.0
        ax.set_ylim(bottom - room, top + room)
        ax.grid(alpha=0.3)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class Rates(Schedule):
    """Given rates, one a step."""

    def __init__(self, rates):
        self.rates = rates

    def rate(self, epoch, step, state):
        return self.rates[step]


def range_test(trainer, samples, n_steps, smoothing, stop_factor):
    """The loss of each step, until there is no more, or it explodes."""
    steps = chain.from_iterable(trainer.steps(samples) for _ in count())
    losses, n_first = [], 1 + 2 * ceil(smoothing)
    for loss, weight in islice(steps, n_steps):
        if not np.isfinite(loss):
            break
        losses.append(loss / weight)
        curve = smoothed(losses, smoothing)
        begin = float(max(abs(np.median(losses[:n_first])), abs(curve.min())))
        if curve[-1] - curve.min() > float(stop_factor) * begin:
            break
    if len(losses) < 2:
        raise ValueError(
            "the loss is not finite after a step at the smallest rate: use a smaller min_rate, or "
            "scale X (Standardize, Rescale)"
        )
    return np.array(losses)


def check_smoothing(smoothing):
    """Raises ValueError if it is no deviation."""
    check_scalar(smoothing, "smoothing", Real, min_val=0)


def smoothed(losses, deviation):
    """Losses smoothed by a Gaussian of this standard deviation."""
    check_smoothing(deviation)
    losses = np.asarray(losses, dtype=np.float64)
    return gaussian_filter1d(losses, deviation, mode="reflect") if deviation else losses.copy()


def steepest(rates, losses):
    """The rate where the loss falls most steeply over the logarithm of the rate, up to its
    minimum; NaN where it does not fall. At small rates steps differ by their samples alone, so
    the first quarter of the fall, down to where the loss does not come back to, is left out."""
    stop = int(np.argmin(losses)) + 1
    if stop < 2:
        return np.nan
    losses, rates = losses[:stop], rates[:stop]
    high = 0.75 * losses.max() + 0.25 * losses[-1]
    begin = min(np.flatnonzero(losses >= high)[-1], stop - 2)
    slopes = np.gradient(losses, np.log(rates))
    return float(rates[begin + np.argmin(slopes[begin:])])
