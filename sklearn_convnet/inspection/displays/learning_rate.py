"""`LearningRateDisplay`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

from numpy.typing import ArrayLike, NDArray
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ...schedules import Schedule, as_schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LearningRateDisplay:
    """A curve of learning rates.

    `from_schedule` shows what a schedule will do; the learning rates of a fit are in
    ``history_["learning_rate"]``.

    Parameters
    ----------
    learning_rates : array-like of shape (n,)
        The learning rates, one after the other.
    per : {"epoch", "step"}, default="epoch"
        What there is a learning rate for.
    name : str, default=None
        What the legend says.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the picture.
    figure_ : matplotlib Figure
        Its figure.
    line_ : matplotlib Line2D
        The curve.

    Examples
    --------
    >>> from sklearn_convnet.inspection import LearningRateDisplay
    >>> from sklearn_convnet.schedules import CosineDecay
    >>> schedule = CosineDecay(0.1, period=10, growth=2)
    >>> display = LearningRateDisplay.from_schedule(schedule, 70)
    >>> display.ax_.get_xlabel()
    'epoch'
    """

    def __init__(
        self,
        learning_rates: ArrayLike,
        *,
        per: Literal["epoch", "step"] = "epoch",
        name: str | None = None,
    ) -> None:
        self.learning_rates = learning_rates
        self.per = per
        self.name = name

    @classmethod
    def from_schedule(
        cls,
        schedule: float | Schedule,
        n: int,
        *,
        scores: Sequence[float] | NDArray[Any] | None = None,
        steps_per_epoch: int = 1,
        name: str | None = None,
        ax: Axes | None = None,
        line_kw: dict[str, Any] | None = None,
    ) -> Self:
        """Draw the first learning rates of a schedule.

        Parameters
        ----------
        schedule : Schedule or float
            The schedule, or a number.
        n : int
            Number of learning rates.
        scores : array-like of shape (n_epochs,), default=None
            Scores that the schedule observes, as for `Schedule.simulate`.
        steps_per_epoch : int, default=1
            Number of batches in an epoch. If it is not 1, there is a learning rate for each
            step; otherwise for each of what the schedule counts.
        name : str, default=None
            What the legend says; None is the class of the schedule.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        line_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.plot`.

        Returns
        -------
        LearningRateDisplay
        """
        schedule = as_schedule(schedule)
        rates = schedule.simulate(n, scores=scores, steps_per_epoch=steps_per_epoch)
        per = getattr(schedule, "per", "epoch") if steps_per_epoch == 1 else "step"
        name = type(schedule).__name__ if name is None else name
        return cls(rates, per=per, name=name).plot(ax=ax, line_kw=line_kw)

    def plot(self, ax: Axes | None = None, *, line_kw: dict[str, Any] | None = None) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a new figure.
        line_kw : dict, default=None
            Passed on to `matplotlib.axes.Axes.plot`.

        Returns
        -------
        LearningRateDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots()
        # A rate is in force until the next one.
        options = {"drawstyle": "steps-post", "label": self.name, **(line_kw or {})}
        (self.line_,) = ax.plot(self.learning_rates, **options)
        ax.set(xlabel=self.per, ylabel="learning rate")
        if self.name is not None:
            ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self
