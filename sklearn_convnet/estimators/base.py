"""The base of the two estimators: parameters, and the course of a fit."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial as bound
from numbers import Integral, Real
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, validate_parameter_constraints

from ..augmentation import TestTimeAugmentation, Transform
from ..averaging import next_average
from ..collapse import ENOUGH_STEPS, warn_of_collapse
from ..constraints import Options, StrOptions
from ..layers.composition import LayerComposition
from ..losses import FunctionLoss
from ..messages import warn_caller
from ..multi_crop import MultiCrop
from ..on_demand import Samples
from ..optimizers import OPTIMIZERS, Optimizer
from ..parameters import Parametrized
from ..shards import ShardedTrainer
from ..threads import effective_n_threads
from ..training import Progress, Trainer, train
from .checks import pieces
from .defaults import default_batch_size, default_n_epochs, default_optimizer
from .draws import DrawsMixin
from .fitted import FittedMixin
from .heads import whole_objective
from .history import EpochTable
from .imported import ImportMixin
from .networks import NetworkMixin
from .samples import Given, SamplesMixin
from .scanning import ScanMixin
from .tasks import CallbackSupportMixin, NoTasks, fit_tasks, with_callbacks
from .weights import in_range, of_samples


@contextmanager
def unchanged_on_error(estimator):
    """Gives an estimator its attributes back if what is done to it fails."""
    before = estimator.__dict__.copy()
    try:
        yield
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        raise


class BaseConvNet(
    CallbackSupportMixin,
    SamplesMixin,
    NetworkMixin,
    FittedMixin,
    DrawsMixin,
    ScanMixin,
    ImportMixin,
    LayerComposition,
    Parametrized,
):
    """Base class of `ConvNetClassifier` and `ConvNetRegressor`."""

    _parameter_constraints: dict = {
        "layers": [list, tuple, None],
        "input_shape": [tuple, list, np.ndarray, None],
        "data_format": [StrOptions({"channels_last", "channels_first"})],
        "input_kind": [StrOptions({"auto", "table", "signal", "image", "volume"})],
        "optimizer": [StrOptions(set(OPTIMIZERS)), Optimizer],
        "average_weights": [Interval(Real, 0, 1, closed="neither"), None],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "n_shards": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "augmentation": [Transform, None],
        "multi_crop": [MultiCrop, None],
        "test_time_augmentation": [TestTimeAugmentation, None],
        "output": [StrOptions({"auto"}), None],
        "init_from": "no_validation",  # transfer.py says more of what is wrong
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "tol": [Interval(Real, 0, None, closed="left")],
        "shuffle": ["boolean"],
        "warm_start": ["boolean"],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "n_threads": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # --- what a subclass says ------------------------------------------------------------

    #: name: Loss class, for `loss`.
    _losses: dict = {}

    #: Parameters that change no bit of a fit.
    _changes_no_bit: tuple[str, ...] = ("n_threads", "verbose", "test_time_augmentation")

    #: The mean of the weights, and those of the last step; None if there is no mean.
    _average = None

    #: Parameters that must not change where training goes on.
    _fixed: tuple[str, ...] = ("init_from", "output")

    def _check_y(self, y, boxes=None):
        """y, with the boxes beside it, in the form that a target is made of and encodes."""
        raise NotImplementedError(type(self))

    def _tells_places(self, y):
        """If checked y tells where something lies: boxes, points."""
        raise NotImplementedError(type(self))

    def _absent(self, y):
        """Which samples of checked y have nothing to learn from."""
        raise NotImplementedError(type(self))

    def _make_target(self, y, last_shape, classes=None):
        """The `Target` that says what is to be predicted, from checked y and what the layers end
        in."""
        raise NotImplementedError(type(self))

    def _weights_of_classes(self, target, weight):
        """A factor on the weight of each sample; `weight` is what it has already."""
        return 1.0

    def _objective(self, target, weight, relative):
        """The objective of training, for encoded y. Weights are `relative` to a mean of 1."""
        loss = self._loss()
        for (some,) in pieces(target):
            loss.check_target(some)
        return self._target.objective(loss, target, weight)

    # --- fit -----------------------------------------------------------------------------

    def _contents(self, value):
        """The form in which a checkpoint knows a parameter, or something that `fit` was given."""
        return value

    def _validate(self):
        self._validate_params()
        losses = dict.fromkeys(self._losses.values())
        allowed = [StrOptions(set(self._losses)), *losses]
        if not isinstance(self.loss, type):  # such as Huber in the place of Huber()
            allowed.append(callable)
        validate_parameter_constraints({"loss": allowed}, {"loss": self.loss}, type(self).__name__)
        effective_n_threads(self.n_threads)

    def _instance_of(self, param, value):
        """An instance in the place of a name, such as `Adam()` for "adam"."""
        table = {"optimizer": OPTIMIZERS, "loss": self._losses}.get(param, {})
        return table[value]() if isinstance(value, str) and value in table else value

    def _resolved(self, value, table):
        """An instance for a name or an instance, its parameters checked."""
        instance = table[value]() if isinstance(value, str) else value
        instance._validate_params()
        return instance

    def fit(
        self,
        X: Samples,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Samples | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        boxes: ArrayLike | None = None,
        boxes_val: ArrayLike | None = None,
        features: ArrayLike | None = None,
        features_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the network to data.

        Training that is interrupted (Ctrl-C) ends with the current weights and a warning; training
        that diverges ends with the last finite ones. If anything else goes wrong, the estimator
        stays as it was.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples, with the channels where `data_format` says, or flat with `input_shape`. Bytes
            and memory maps are converted batch by batch. Samples in a list may differ in size, if
            the layers allow it. A table with one column of arrays beside columns of numbers holds
            samples and `features`.
        y : array-like of shape (n_samples,), (n_samples, n_outputs) or (n_samples, *map_shape)
            Values, as `target` says; a list of maps where samples differ in size.
        sample_weight : array-like of shape (n_samples,) or (n_samples, *map_size), default=None
            Weights, of which only the proportions count; weights of pixels where y is maps.
            Samples of weight zero are left out.
        X_val : array-like of shape (n_val, *sample_shape), or list of array-like, default=None
            Samples to validate with after each epoch. Their loss and score are in `history_`;
            with ``early_stopping=True`` they decide when to stop and whose weights are kept,
            and nothing is held out of X. In a `Pipeline`, ``transform_input=["X_val"]``
            transforms them as it does X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Labels or values of `X_val`.
        sample_weight_val : array-like of shape (n_val,) or (n_val, *map_size), default=None
            Weights of `X_val`; `class_weight` does not apply to them.
        boxes, boxes_val : None
            For `ConvNetClassifier`: coordinates are y here, with ``target="points"``.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside each sample. A `ConcatFeatures` among the layers appends them to the
            output of the layers before it. If `layers` is None, it stands before the first dense
            layer, or at the end with a dense layer after it. Features are used as they are: scale
            them before.
        features_val : array-like of shape (n_val, n_features), default=None
            Features of `X_val`.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(
            Given(X, y, sample_weight, boxes, features),
            Given(X_val, y_val, sample_weight_val, boxes_val, features_val),
        )

    def _fit(self, given, given_val):
        with unchanged_on_error(self):
            return self._run_fit(given.parted(), given_val.parted("_val"))

    @with_callbacks
    def _run_fit(self, given, given_val):
        beside = replace(given, X=None, y=None)
        metadata = {**beside.named(), **given_val.named("_val")}
        self._validate()
        warm = self.warm_start and hasattr(self, "network_")
        news = self._news() if warm else frozenset()
        X = self._check_X(given.X, not warm, news, sizes="unequal")
        X = self._beside(X, given.features, not warm)
        checked = self._checked(X, given)
        copied = None
        if warm:
            self._training_state = None
            self._go_on(news)
        else:
            copied = self._begin(checked)
        self._check_training(X)
        validation = self._validation(given_val)
        holds_out = self.early_stopping and validation is None
        self._split_seed = self._random_state.randint(2**31 - 1) if holds_out else None
        self._progress = Progress()
        tasks = fit_tasks(self)
        X_given = self._inputs.as_given(X)
        # Here a checkpoint puts back what was done before.
        tasks.begin(X_given, checked.y, metadata)
        if holds_out:
            checked, validation = self._split(checked)
        tasks.train_on(
            X_given if len(checked) == len(X) else lambda: self._inputs.as_given(X[checked.rows]),
            checked.y,
            None if given.weight is None else {"sample_weight": checked.weight},
        )
        self._learn(checked, validation, copied, self._progress, tasks)
        del self._progress, self._split_seed
        tasks.end()
        return self

    def _partial_fit(self, given, classes=None):
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True: what it is given is one "
                "pass, and nothing is held out of it"
            )
        given = given.parted()
        with unchanged_on_error(self):
            self._validate()
            first = not hasattr(self, "network_")
            news = frozenset() if first else self._news()
            X = self._check_X(given.X, first, news, sizes="unequal")
            X = self._beside(X, given.features, first)
            checked = self._checked(X, given, relative=False)
            copied = None
            if first:
                copied = self._begin(checked, classes)
            else:
                self._go_on(news)
            self._check_training(X)
            self._learn(checked, None, copied, Progress(), NoTasks(), partial=True)
        return self

    def _learn(self, checked, validation, copied, progress, tasks, partial=False):
        """Statistics if training begins, epochs, and the attributes that tell of them.

        `copied` is what `_begin` returned, or None where training goes on. `partial`: a call may
        be of a single sample, of which there are no statistics, and a step is as long as its
        weights say; in a fit only their proportions count.
        """
        loss = self._loss()
        trainer, samples = self._ready(checked, copied, partial, progress.epoch == 0)
        self._early_stopped, self._validated = self.early_stopping, validation is not None
        table = EpochTable([] if progress.epoch else self._history.names)

        def after_epoch(row, seconds):
            self._history = self._history.with_epoch(row)
            self.n_iter_ += 1
            self.t_ += len(samples)
            if self.verbose:
                table.print(len(self.loss_curve_), row, seconds)
            stops = tasks.end_epoch()
            if self.network_ is not trainer.network:
                raise RuntimeError(
                    "a callback has put another network in the place of the one that is trained: "
                    "call set_weights before a fit or after it"
                )
            return stops

        progress.n_planned = self._planned_epochs(len(samples))
        # A training with a plan has its best weights at the end, where its rate is zero.
        has_patience = self.early_stopping or progress.n_planned == np.inf
        progress.stopped = tasks.repeat(progress.epoch)
        train(
            trainer,
            samples,
            progress,
            max_iter=1 if partial else self.max_iter,
            new_score=lambda: self._target.new_score(loss),
            validation=validation,
            early_stopping=self.early_stopping,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change if has_patience else np.inf,
            before_epoch=tasks.begin_epoch,
            after_epoch=after_epoch,
        )
        self._training_state = trainer.state
        if not partial:
            self._warn_of_the_end(progress, trainer, samples)

    def _ready(self, checked, copied, partial=False, begins=True):
        """The trainer and its samples, before the next epoch; if training `begins`, the network has
        what it begins with. `copied` and `partial` are those of `_learn`."""
        network = self.network_
        if not self._target.has_begun:
            self._begin_outputs(checked.y, in_range(self._target.weight_of_loss(checked.weight)))
            if self._average is not None:
                self._average.begin(network)
        rows, target = checked.rows, self._encode(checked)
        weight, counted = self._with_class_weights(target, checked.weight, not partial)
        if not counted.all():  # of a class without weight
            rows, target = rows[counted], target[counted]
        samples = self._weighted(checked.X, rows, target, weight, not partial)
        trainer = self._trainer(samples, weight, partial)
        self._training_state = trainer.state
        if copied is not None and begins:
            trainer.fit_statistics(samples, of_samples(weight), copied)
        self._average = trainer.average = next_average(self._average, self.average_weights, network)
        return trainer, samples

    def _trainer(self, samples, weight, partial):
        """The trainer of the steps; `weight` is that of the samples, or of their pixels."""
        weight = self._target.weight_of_loss(weight)
        trainer = self._trainer_class()(
            self.network_,
            whole_objective(self._objective(samples.target, weight, not partial), self.network_),
            self._optimizer_for(len(samples), partial),
            self._batch_size_for(len(samples)),
            self.shuffle,
            self._random_state,
            effective_n_threads(self.n_threads),
            self._training_state,
            self._augment(),
            self._view(),
            use_running=partial and len(samples) == 1,
            mix=self._mix(),
        )
        self._n_of_batch = trainer.largest_pass(len(samples))
        return trainer

    def _batch_size_for(self, n_samples):
        """Samples of a step, of so many."""
        if self.batch_size != "auto":
            return self.batch_size
        if self.layers is not None:
            return min(200, n_samples)
        tells_places = self._target.tells_places
        return max(self.n_shards, default_batch_size(n_samples, self._inputs.kind, tells_places))

    def _planned_epochs(self, n_samples):
        """Length of a fit with a training of our own choosing; inf if it is the user's."""
        if self.layers is not None or self.optimizer != "auto":
            return np.inf
        batch_size, inputs = self._batch_size_for(n_samples), self._inputs
        length = inputs.network_shape[0]
        tells_places = self._target.tells_places
        return default_n_epochs(n_samples, batch_size, inputs.kind, tells_places, length)

    def _optimizer_for(self, n_samples, partial):
        """The optimiser of a fit; that of a single pass, which may be one of many, has no plan."""
        n_epochs = self._planned_epochs(n_samples)
        if partial or n_epochs == np.inf:
            return self._resolved(self.optimizer, OPTIMIZERS)
        batch_size = self._batch_size_for(n_samples)
        n_epochs = min(self.max_iter, n_epochs)
        return default_optimizer(n_epochs, n_samples, batch_size, self._inputs.kind)

    def _trainer_class(self):
        """A function that makes the trainer."""
        return Trainer if self.n_shards == 1 else bound(ShardedTrainer, self.n_shards)

    def _warn_of_the_end(self, progress, trainer, samples):
        """Warns if training has not ended by itself, or has made nothing of X."""
        ran_out = progress.ran_out(self.max_iter, self.n_iter_no_change)
        if ran_out:
            warn_caller(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
            )
        if self._warn_of_units():
            return
        n_steps = trainer.state["t"]
        if n_steps >= ENOUGH_STEPS or (n_steps and not ran_out and not progress.stopped):
            warn_of_collapse(trainer, samples)

    def _warn_of_units(self):
        """Warns if nothing was learnt because of the units of y; says whether it did."""
        return False

    def _loss(self, loss=None):
        """An instance for a loss, which is the parameter unless it is given."""
        loss = self.loss if loss is None else loss
        if callable(loss):
            return FunctionLoss(loss)
        return self._resolved(loss, self._losses)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
