"""Schedules: learning rates that change in the course of training.

# Design:
# * A schedule is a spec, as a layer is. All but `ReduceOnPlateau` are functions of a count,
#   of epochs or of steps, so that nothing has to be kept.
# * What `ReduceOnPlateau` has to keep is in a dict that it is given. It belongs to the
#   trainer's state, so that a pickle or a copy of that goes on exactly.
# * Wherever a learning rate is expected, a number is as good as a schedule (`as_schedule`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_scalar
from sklearn.utils._param_validation import Interval

from .constraints import StrOptions
from .parameters import Parametrized

__all__ = [
    "Constant",
    "CosineDecay",
    "ExponentialDecay",
    "LinearWarmup",
    "OneCycle",
    "ReduceOnPlateau",
    "Schedule",
    "StepDecay",
]

_RATE = [Interval(Real, 0, None, closed="neither")]
_MIN_RATE = [Interval(Real, 0, None, closed="left")]
_FACTOR = [Interval(Real, 0, 1, closed="neither")]
_COUNT = [Interval(Integral, 1, None, closed="left")]
_PER = [StrOptions({"epoch", "step"})]


def as_schedule(learning_rate):
    """A schedule, for a schedule or a number."""
    if isinstance(learning_rate, Schedule):
        return learning_rate
    return Constant(learning_rate)


class Schedule(Parametrized):
    """Base class of the schedules.

    A subclass defines `rate` and, if it looks at scores, `observe`.
    """

    _parameter_constraints: dict = {}
    #: True if the rate depends on what `observe` was told.
    _follows_scores = False

    def rate(self, epoch: int, step: int, state: dict[str, Any]) -> float:
        """The learning rate of the next step.

        Parameters
        ----------
        epoch, step : int
            The number of whole epochs, and of steps, so far.
        state : dict
            What `observe` keeps; empty at the beginning.

        Returns
        -------
        float
        """
        raise NotImplementedError(type(self))

    def observe(self, score: float, state: dict[str, Any]) -> None:
        """Record the score of an epoch.

        Parameters
        ----------
        score : float
            The validation score, or minus the training loss where nothing is held out: the
            higher the better.
        state : dict
            Updated in place.
        """

    def simulate(
        self,
        n: int,
        *,
        scores: Sequence[float] | NDArray[Any] | None = None,
        steps_per_epoch: int = 1,
    ) -> NDArray[Any]:
        """The learning rates of the first steps.

        Parameters
        ----------
        n : int
            Number of steps. With one step an epoch, which is the default, it is the number
            of epochs too.
        scores : array-like of shape (n_epochs,), default=None
            The score of each epoch, the higher the better; needed by `ReduceOnPlateau`.
        steps_per_epoch : int, default=1
            Number of batches in an epoch.

        Returns
        -------
        ndarray of shape (n,)

        Raises
        ------
        ValueError, TypeError
            If a parameter of the schedule or an argument is invalid, or there are fewer
            scores than epochs before the last step.
        """
        self._validate_params()
        check_scalar(n, "n", Integral, min_val=1)
        check_scalar(steps_per_epoch, "steps_per_epoch", Integral, min_val=1)
        n_epochs = (n - 1) // steps_per_epoch
        n_scores = 0 if scores is None else len(scores)
        if self._follows_scores and n_scores < n_epochs:
            raise ValueError(
                f"scores must have the score of each of the {n_epochs} epochs before step {n}, "
                f"got {n_scores}: the learning rate depends on them"
            )
        state: dict[str, Any] = {}
        rates = np.empty(n)
        for step in range(n):
            epoch, in_epoch = divmod(step, steps_per_epoch)
            if scores is not None and self._follows_scores and epoch and not in_epoch:
                self.observe(scores[epoch - 1], state)
            rates[step] = self.rate(epoch, step, state)
        return rates


class Constant(Schedule):
    """A constant learning rate, the same as a plain number.

    Parameters
    ----------
    initial : float
        The learning rate.

    Examples
    --------
    >>> from sklearn_convnet.schedules import Constant
    >>> Constant(0.1).simulate(3)
    array([0.1, 0.1, 0.1])
    """

    _parameter_constraints = {"initial": _RATE}

    def __init__(self, initial: float) -> None:
        self.initial = initial

    def rate(self, epoch: int, step: int, state: dict[str, Any]) -> float:
        return self.initial


class _Counting(Schedule):
    """A function of the number of epochs or steps so far."""

    def rate(self, epoch: int, step: int, state: dict[str, Any]) -> float:
        return self._rate(epoch if self.per == "epoch" else step)

    def _rate(self, count):
        raise NotImplementedError(type(self))


class StepDecay(_Counting):
    """Multiplies the rate by a factor at regular intervals.

    Parameters
    ----------
    initial : float
        The first learning rate.
    every : int
        Number of epochs (or steps) from one change to the next.
    factor : float, default=0.1
        What the rate is multiplied by, between 0 and 1.
    per : {"epoch", "step"}, default="epoch"
        What is counted.

    Examples
    --------
    >>> from sklearn_convnet.schedules import StepDecay
    >>> StepDecay(0.1, every=2, factor=0.5).simulate(6)
    array([0.1  , 0.1  , 0.05 , 0.05 , 0.025, 0.025])
    """

    _parameter_constraints = {"initial": _RATE, "every": _COUNT, "factor": _FACTOR, "per": _PER}

    def __init__(
        self,
        initial: float,
        every: int,
        factor: float = 0.1,
        per: Literal["epoch", "step"] = "epoch",
    ) -> None:
        self.initial = initial
        self.every = every
        self.factor = factor
        self.per = per

    def _rate(self, count):
        return self.initial * self.factor ** (count // self.every)


class ExponentialDecay(_Counting):
    """Multiplies the rate by a factor each time: ``initial * factor ** count``.

    Parameters
    ----------
    initial : float
        The first learning rate.
    factor : float, default=0.95
        What the rate is multiplied by, between 0 and 1.
    per : {"epoch", "step"}, default="epoch"
        What is counted.

    Examples
    --------
    >>> from sklearn_convnet.schedules import ExponentialDecay
    >>> ExponentialDecay(0.1, factor=0.5).simulate(3)
    array([0.1  , 0.05 , 0.025])
    """

    _parameter_constraints = {"initial": _RATE, "factor": _FACTOR, "per": _PER}

    def __init__(
        self, initial: float, factor: float = 0.95, per: Literal["epoch", "step"] = "epoch"
    ) -> None:
        self.initial = initial
        self.factor = factor
        self.per = per

    def _rate(self, count):
        return self.initial * self.factor**count


def _cosine(start, stop, share):
    """From `start` to `stop` as share goes from 0 to 1, level at both ends."""
    return stop + (start - stop) * (1 + math.cos(math.pi * share)) / 2


class CosineDecay(_Counting):
    """Lowers the rate along half a cosine wave, once or with restarts.

    ``min_rate + (initial - min_rate) (1 + cos(pi t)) / 2``, where t goes from 0 to 1 in a
    period: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts",
    2017.

    Parameters
    ----------
    initial : float
        The first learning rate.
    period : int
        Number of epochs (or steps) of one descent.
    growth : int, default=None
        With a number, the rate is `initial` again at the end of a period (a restart), and each
        period is this many times as long as the one before. With None there is one period, and the
        rate stays at `min_rate` afterwards.
    min_rate : float, default=0.0
        The lowest learning rate.
    per : {"epoch", "step"}, default="epoch"
        What is counted.

    Examples
    --------
    >>> from sklearn_convnet.schedules import CosineDecay
    >>> CosineDecay(0.1, period=2).simulate(4)
    array([0.1 , 0.05, 0.  , 0.  ])
    >>> CosineDecay(0.1, period=2, growth=1).simulate(4)
    array([0.1 , 0.05, 0.1 , 0.05])
    """

    _parameter_constraints = {
        "initial": _RATE,
        "period": _COUNT,
        "growth": [*_COUNT, None],
        "min_rate": _MIN_RATE,
        "per": _PER,
    }

    def __init__(
        self,
        initial: float,
        period: int,
        growth: int | None = None,
        min_rate: float = 0.0,
        per: Literal["epoch", "step"] = "epoch",
    ) -> None:
        self.initial = initial
        self.period = period
        self.growth = growth
        self.min_rate = min_rate
        self.per = per

    def _rate(self, count):
        return _cosine(self.initial, self.min_rate, self._share(count))

    def _share(self, count):
        """How much of its period is over."""
        period = self.period
        if self.growth is None:
            return min(count / period, 1)
        if self.growth == 1:
            return count % period / period
        while count >= period:
            count -= period
            period *= self.growth
        return count / period


class OneCycle(_Counting):
    """Raises the rate to a peak, then lowers it to almost nothing.

    Smith and Topin, "Super-convergence: very fast training of neural networks using large learning
    rates", 2018, in the form that PyTorch has: half a cosine wave on either side of the peak.
    Momentum does not change with it.

    Parameters
    ----------
    peak : float
        The highest learning rate.
    length : int
        Number of steps (or epochs) of the cycle, those of the whole training: the number of
        epochs times that of batches in an epoch. The rate stays as it is afterwards.
    rise : float, default=0.3
        Share of the cycle before the peak.
    div_factor : float, default=25.0
        The peak divided by the first rate.
    final_div_factor : float, default=1e4
        The first rate divided by the last.
    per : {"epoch", "step"}, default="step"
        What is counted.

    Examples
    --------
    >>> from sklearn_convnet.schedules import OneCycle
    >>> OneCycle(0.1, length=5, rise=0.6, div_factor=10).simulate(5).round(3)
    array([0.01 , 0.055, 0.1  , 0.05 , 0.   ])
    """

    _parameter_constraints = {
        "peak": _RATE,
        "length": _COUNT,
        "rise": [Interval(Real, 0, 1, closed="left")],
        "div_factor": [Interval(Real, 1, None, closed="left")],
        "final_div_factor": [Interval(Real, 1, None, closed="left")],
        "per": _PER,
    }

    def __init__(
        self,
        peak: float,
        length: int,
        rise: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        per: Literal["epoch", "step"] = "step",
    ) -> None:
        self.peak = peak
        self.length = length
        self.rise = rise
        self.div_factor = div_factor
        self.final_div_factor = final_div_factor
        self.per = per

    def _rate(self, count):
        first = self.peak / self.div_factor
        top, last = self.rise * self.length - 1, self.length - 1
        if count < top:
            return _cosine(first, self.peak, count / top)
        share = (min(count, last) - top) / (last - top)
        return _cosine(self.peak, first / self.final_div_factor, share)


class LinearWarmup(Schedule):
    """Raises the rate linearly to that of another schedule, or to a number.

    Step k of the first `length` has ``k / length`` times that rate (Goyal et al.,
    "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017). The other schedule
    counts from the beginning of training, too.

    Parameters
    ----------
    learning_rate : float or Schedule
        The schedule or rate to rise to.
    length : int
        Number of steps (or epochs) of the rise.
    per : {"epoch", "step"}, default="step"
        What is counted. The other schedule may count something else.

    Examples
    --------
    >>> from sklearn_convnet.schedules import LinearWarmup, StepDecay
    >>> LinearWarmup(0.1, length=4).simulate(5)
    array([0.025, 0.05 , 0.075, 0.1  , 0.1  ])
    >>> schedule = LinearWarmup(StepDecay(0.1, every=1, factor=0.5), length=4)
    >>> schedule.simulate(6, steps_per_epoch=2)
    array([0.025 , 0.05  , 0.0375, 0.05  , 0.025 , 0.025 ])
    """

    _parameter_constraints = {"learning_rate": [*_RATE, Schedule], "length": _COUNT, "per": _PER}

    def __init__(
        self, learning_rate: float | Schedule, length: int, per: Literal["epoch", "step"] = "step"
    ) -> None:
        self.learning_rate = learning_rate
        self.length = length
        self.per = per

    def _validate_params(self):
        super()._validate_params()
        as_schedule(self.learning_rate)._validate_params()

    @property
    def _follows_scores(self):
        return as_schedule(self.learning_rate)._follows_scores

    def rate(self, epoch: int, step: int, state: dict[str, Any]) -> float:
        count = 1 + (epoch if self.per == "epoch" else step)
        share = min(count / self.length, 1)
        return share * as_schedule(self.learning_rate).rate(epoch, step, state)

    def observe(self, score: float, state: dict[str, Any]) -> None:
        as_schedule(self.learning_rate).observe(score, state)


class ReduceOnPlateau(Schedule):
    """Multiplies the rate by a factor when the score has not improved for some epochs.

    The score is that of the validation data, and minus the training loss where there are
    none. "Divide by 10 when the validation error stops improving" is the recipe of
    Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural
    networks", 2012.

    Parameters
    ----------
    initial : float
        The first learning rate.
    factor : float, default=0.1
        What the rate is multiplied by, between 0 and 1.
    patience : int, default=5
        Number of epochs in a row without an improvement after which the rate is reduced.
        It must be smaller than the estimator's `n_iter_no_change`, which ends training.
    tol : float, default=1e-4
        A score is an improvement if it is better than the best by more than this.
    min_rate : float, default=0.0
        The lowest learning rate.

    Examples
    --------
    >>> from sklearn_convnet.schedules import ReduceOnPlateau
    >>> scores = [0.5, 0.8, 0.8, 0.7, 0.9]
    >>> ReduceOnPlateau(0.01, patience=2).simulate(5, scores=scores)
    array([0.01 , 0.01 , 0.01 , 0.01 , 0.001])
    """

    _parameter_constraints = {
        "initial": _RATE,
        "factor": _FACTOR,
        "patience": _COUNT,
        "tol": [Interval(Real, 0, None, closed="left")],
        "min_rate": _MIN_RATE,
    }
    _follows_scores = True

    def __init__(
        self,
        initial: float,
        factor: float = 0.1,
        patience: int = 5,
        tol: float = 1e-4,
        min_rate: float = 0.0,
    ) -> None:
        self.initial = initial
        self.factor = factor
        self.patience = patience
        self.tol = tol
        self.min_rate = min_rate

    def rate(self, epoch: int, step: int, state: dict[str, Any]) -> float:
        return max(self.min_rate, self.initial * self.factor ** state.get("n_reductions", 0))

    def observe(self, score: float, state: dict[str, Any]) -> None:
        if score > state.get("best_score", -math.inf) + self.tol:
            state.update(best_score=score, n_without_improvement=0)
            return
        state["n_without_improvement"] = state.get("n_without_improvement", 0) + 1
        if state["n_without_improvement"] >= self.patience:
            state.update(n_without_improvement=0, n_reductions=state.get("n_reductions", 0) + 1)
