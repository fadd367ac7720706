"""Callbacks, which follow a fit while it runs, in scikit-learn's protocol.

# Design:
# * They are told of the tasks of a fit (`estimators/tasks.py`), and need nothing of
#   `sklearn.callback` themselves.
# * `clone` shares callbacks between estimators, so ours keep nothing of a fit: what they
#   have to know of earlier epochs is in `history_`, or in the fit's `Progress`, which a
#   checkpoint saves along.
"""

from __future__ import annotations

import copy
import hashlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from numbers import Integral, Real
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import joblib
import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._param_validation import Interval

from ._typing import PathLike
from .estimators import checkpoint_file
from .estimators.transfer import weights_of
from .parameters import Parametrized

__all__ = ["Checkpoint", "EarlyStopping", "LearningRateLogger", "LivePlot"]


class _NetworkCallback(Parametrized):
    """The base of our callbacks: they hear of epochs, on the estimators of this package."""

    _parameter_constraints: dict = {}

    def setup(self, estimator: Any, context: Any) -> None:
        """Hear that a fit begins.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            The one that is fitted.
        context : CallbackContext
            scikit-learn's, of the fit.

        Raises
        ------
        TypeError, ValueError
            If it is no estimator of this package, or a parameter is invalid.
        """
        if not hasattr(estimator, "get_weights"):
            raise TypeError(
                f"{type(self).__name__} must be set on a ConvNetClassifier or ConvNetRegressor, "
                f"not on a {type(estimator).__name__}"
            )
        self._validate_params()

    def teardown(self, estimator: Any, context: Any) -> None:
        """Hear that a fit has ended, be it by an error.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            The one that was fitted.
        context : CallbackContext
            scikit-learn's, of the fit.
        """

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Hear that the fit, or an epoch of it, begins.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            The one that is fitted.
        context : CallbackContext
            scikit-learn's, of the fit or the epoch.
        """

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool | None:
        """Hear that the fit, or an epoch of it, has ended.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            The one that is fitted.
        context : CallbackContext
            scikit-learn's, of the fit or the epoch.

        Returns
        -------
        bool or None
            True ends training after this epoch.
        """
        return context.task_name == "epoch" and self._after_epoch(estimator, context.task_id + 1)

    def _after_epoch(self, estimator, epoch):
        """Called after an epoch of this fit, numbered from 1; True stops training."""


class EarlyStopping(_NetworkCallback):
    """Stops training when a curve of `history_` no longer improves.

    For the validation score alone, ``early_stopping=True`` of the estimator does the same.

    Parameters
    ----------
    monitor : str, default="validation_loss"
        Name of a curve in `history_`. For names that end in "score" larger is better, for all
        others smaller.
    patience : int, default=10
        Training stops after this many epochs in a row without an improvement.
    min_delta : float, default=0.0
        Smallest change that counts as an improvement.
    restore_best_weights : bool, default=True
        Whether to go back to the weights of the last epoch that improved. The estimator's own
        ``early_stopping`` must then be False, since it does that too.

    Raises
    ------
    ValueError
        From `fit`, if there is no such curve.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.callbacks import EarlyStopping
    >>> clf = ConvNetClassifier().set_callbacks(EarlyStopping("validation_loss", patience=5))
    """

    _parameter_constraints = {
        "monitor": [str],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "min_delta": [Interval(Real, 0, None, closed="left")],
        "restore_best_weights": ["boolean"],
    }

    def __init__(
        self,
        monitor: str = "validation_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        restore_best_weights: bool = True,
    ) -> None:
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.restore_best_weights = restore_best_weights

    def setup(self, estimator: Any, context: Any) -> None:
        super().setup(estimator, context)
        if self.restore_best_weights and estimator.early_stopping:
            raise ValueError(
                "EarlyStopping(restore_best_weights=True) and early_stopping=True both choose "
                "the weights to go back to: use one of them"
            )

    def _after_epoch(self, estimator, epoch):
        if self.monitor not in estimator.history_:
            raise ValueError(
                f"EarlyStopping(monitor={self.monitor!r}): history_ has "
                f"{list(estimator.history_)}; validation data, as X_val and y_val of fit, add "
                "'validation_loss' and 'validation_score'"
            )
        sign = 1 if self.monitor.endswith("score") else -1
        best, n_waited = -np.inf, 0
        for value in estimator.history_[self.monitor][-epoch:]:
            if sign * value > best + self.min_delta:
                best, n_waited = sign * value, 0
            else:
                n_waited += 1
        if n_waited == 0 and self.restore_best_weights:
            estimator._progress.best_state = estimator.network_.snapshot()
        return n_waited >= self.patience


class Checkpoint(_NetworkCallback):
    """Saves a fit while it runs, so that it can resume if it is killed.

    The file holds the estimator with all that training needs to continue: weights, state of the
    optimiser and of the generator, curves, best weights. `fit` with the same parameters and the
    same data begins where the file ends, and ends with the same bits as a fit that was never
    killed; with a file of a finished fit it trains no further. To begin anew, delete the file.
    ``joblib.load(path)`` is the estimator as of the last epoch that was saved.

    The file is written as a whole or not at all: first as ``path.partial``, which is then renamed.
    If `path` is a symbolic link, its target is replaced. A checksum at the end shows whether the
    file is intact. Each fit needs a path of its own, and holds it by a lock on ``path.lock`` while
    it runs, so this is not for an estimator inside a search. As with any pickle, use only files
    from a source that you trust.

    Parameters
    ----------
    path : str or path-like
        The file.
    every : int, default=1
        Number of epochs from one save to the next.

    Raises
    ------
    ValueError
        From `fit`, if the file is that of a fit with other parameters or data, if it is
        damaged or no checkpoint, or if another fit is writing it. Parameters that change no
        bit, `n_threads` and `verbose`, may differ.
    FileNotFoundError
        From `fit`, before the first epoch, if there is no such folder.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.callbacks import Checkpoint
    >>> clf = ConvNetClassifier().set_callbacks(Checkpoint("digits.joblib", every=5))
    """

    _parameter_constraints = {
        "path": [str, os.PathLike],
        "every": [Interval(Integral, 1, None, closed="left")],
    }

    def __init__(self, path: PathLike, every: int = 1) -> None:
        self.path = path
        self.every = every

    def setup(self, estimator: Any, context: Any) -> None:
        super().setup(estimator, context)
        path = os.fspath(self.path)
        if os.path.isdir(path):
            raise self._error("is a folder", "give the path of a file")
        if not os.path.basename(path) or "\0" in path:
            raise self._error("names no file", "give the path of a file")
        folder = os.path.dirname(os.path.realpath(path))
        if not os.path.isdir(folder):
            raise FileNotFoundError(
                f"Checkpoint: {str(self.path)!r} cannot be written, there is no folder "
                f"{folder!r}: make it first"
            )
        for name in checkpoint_file.beside(path):
            if os.path.isdir(name):
                raise self._error(f"cannot be written, {name!r} is a folder", "give another path")
        try:
            _LOCKS.setdefault(context, []).append(checkpoint_file.Lock(self.path))
        except checkpoint_file.CheckpointError as error:
            raise self._error(error, "wait for its end, or give another path") from None
        except OSError as error:
            raise self._error(f"cannot be written ({error})", "give another path") from error

    def teardown(self, estimator: Any, context: Any) -> None:
        for lock in _LOCKS.pop(context, []):
            lock.release()

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        if context.task_name != "fit":
            return
        origin = _origin(estimator, *estimator._progress.given)
        if os.path.exists(self.path):
            vars(estimator).update(_of_the_fit(self._saved(origin)))
        estimator._progress.origin = origin

    def _error(self, what, advice):
        return ValueError(f"Checkpoint: {str(self.path)!r} {what}: {advice}")

    def _saved(self, origin):
        """The estimator in the file; ValueError if it is not of the fit that `origin` tells of."""
        advice = "give another path, or delete the file to begin anew"
        try:
            saved = checkpoint_file.load(self.path)
        except checkpoint_file.CheckpointError as error:
            raise self._error(error, advice) from error.__cause__
        before = saved._progress.origin
        names = [name for name in {**before, **origin} if before.get(name) != origin.get(name)]
        if names:
            raise self._error(f"is of a fit with another {', '.join(names)}", advice)
        return saved

    def _after_epoch(self, estimator, epoch):
        if epoch % self.every:
            return
        saved = copy.copy(estimator)
        for name in [name for name in vars(saved) if "callback" in name]:
            delattr(saved, name)
        checkpoint_file.save(saved, self.path)


#: The locks of the fits that run, by their context: a callback keeps nothing of a fit.
_LOCKS = WeakKeyDictionary()


def _of_the_fit(estimator):
    """The attributes that a fit has set, without what scikit-learn keeps for callbacks."""
    params = estimator.get_params(deep=False)
    return {
        name: value
        for name, value in vars(estimator).items()
        if name not in params and "callback" not in name
    }


def _origin(estimator, X, y, metadata):
    """Hashes of what decides the bits of a fit, by name."""
    decides = estimator.get_params(deep=False)
    for name in estimator._changes_no_bit:
        del decides[name]
    if decides["init_from"] is not None:
        decides["init_from"] = dict(weights_of(decides["init_from"]))
    decides.update(metadata, X=X, y=y, t_=estimator.t_, estimator=type(estimator))
    contents = {name: estimator._contents(value) for name, value in decides.items()}
    return {name: _hash(value) for name, value in contents.items() if value is not None}


def _hash(value):
    """A hash of the contents; an array, which may lie in a file, is read in parts."""
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        return joblib.hash(value)
    digest = hashlib.blake2b(f"{value.dtype.str} {value.shape}".encode())
    for start in range(0, len(value), 1024):
        digest.update(np.ascontiguousarray(value[start : start + 1024]))
    return digest.hexdigest()


class LearningRateLogger(_NetworkCallback):
    """Writes the learning rate of each epoch to a logger of Python's `logging`.

    `history_` has the same numbers, as "learning_rate". They are those of the last step of
    the epoch, at the level INFO.

    Parameters
    ----------
    logger : str, default="sklearn_convnet"
        Name of the logger.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.callbacks import LearningRateLogger
    >>> clf = ConvNetClassifier().set_callbacks(LearningRateLogger())
    """

    _parameter_constraints = {"logger": [str]}

    def __init__(self, logger: str = "sklearn_convnet") -> None:
        self.logger = logger

    def _after_epoch(self, estimator, epoch):
        rate = estimator.history_["learning_rate"][-1]
        logging.getLogger(self.logger).info(
            "%s, epoch %d: learning rate %g", type(estimator).__name__, epoch, rate
        )


class LivePlot(_NetworkCallback):
    """Draws the curves of a fit in a notebook, and again after each epoch.

    There is one picture, which changes while the fit runs, as `HistoryDisplay` draws it: loss,
    score and learning rate, those of validation data dashed. Outside of a notebook nothing is
    drawn, so that the same code runs in a script and in the processes of a search.

    Parameters
    ----------
    panels : tuple of {"loss", "score", "learning_rate"}, default=all of them
        What to draw.
    interval : float, default=0.5
        Minimum number of seconds between two drawings, so that short epochs are not slowed down. It
        is always drawn at the end of the fit.

    Raises
    ------
    ImportError
        From `fit` in a notebook, if matplotlib is not installed.
    ValueError
        From `fit`, if a panel is unknown.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.callbacks import LivePlot
    >>> clf = ConvNetClassifier().set_callbacks(LivePlot(panels=("loss", "score")))
    """

    _parameter_constraints = {
        "panels": [tuple, list],
        "interval": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self, panels: Sequence[str] = ("loss", "score", "learning_rate"), interval: float = 0.5
    ) -> None:
        self.panels = panels
        self.interval = interval

    def setup(self, estimator: Any, context: Any) -> None:
        super().setup(estimator, context)
        known = ("loss", "score", "learning_rate")
        if not self.panels or not set(self.panels) <= set(known):
            raise ValueError(f"LivePlot: panels must be some of {known}, got {self.panels!r}")
        if _in_notebook():
            check_matplotlib_support("LivePlot")
            _PICTURES[context] = _LivePicture()

    def teardown(self, estimator: Any, context: Any) -> None:
        _PICTURES.pop(context, None)

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        is_epoch = context.task_name == "epoch"
        picture = _PICTURES.get(context.parent if is_epoch else context)
        if picture is None or (is_epoch and monotonic() < picture.drawn + self.interval):
            return
        picture.show(_curves_as_png(estimator.history_, self.panels))


class _LivePicture:
    """A picture in the output of a notebook's cell, which can be replaced."""

    def __init__(self):
        self.handle, self.drawn = None, -np.inf

    def show(self, png):
        from IPython.display import Image, display

        picture = Image(data=png, format="png")
        if self.handle is None:
            self.handle = display(picture, display_id=True)
        else:
            self.handle.update(picture)
        self.drawn = monotonic()


#: The pictures of the fits that run, by their context.
_PICTURES = WeakKeyDictionary()


def _in_notebook():
    """True if there is a notebook that shows pictures. Where there is, IPython is imported."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def _curves_as_png(history, panels):
    """The curves of a fit as bytes; pyplot hears nothing of them, and shows none a second time."""
    from matplotlib.figure import Figure

    from .inspection import HistoryDisplay

    figure = Figure(figsize=(4 * len(panels), 3.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)
    HistoryDisplay({"": history}).plot(axes, panels=tuple(panels))
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=80)
    return file.getvalue()
