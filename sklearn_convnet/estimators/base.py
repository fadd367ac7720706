"""What the two estimators share: parameters, validation of X, and the course of a fit."""

import warnings
from contextlib import contextmanager
from copy import copy, deepcopy
from math import prod
from numbers import Integral, Real

import numpy as np
from sklearn.exceptions import ConvergenceWarning, InconsistentVersionWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_parameter_constraints
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    check_array,
    check_is_fitted,
)

from .._version import package_version
from ..augmentation import Transform
from ..constraints import Options, StrOptions
from ..layers import Sequential
from ..layers.blocks import Outputs
from ..layers.composition import (
    LayerComposition,
    check_layers,
    first_n_axes,
    hint_of_divisor,
    with_channels,
)
from ..losses import FunctionLoss
from ..messages import about, warn_caller
from ..multi_crop import MultiCrop
from ..network import compile_network
from ..network.summary import network_summary
from ..optimizers import OPTIMIZERS, Optimizer
from ..parameters import Parametrized
from ..threads import effective_n_threads
from ..training import (
    PREDICT_ROWS,
    Progress,
    Samples,
    Trainer,
    batches_of,
    predict_in_chunks,
    train,
)
from .checks import check_range
from .history import EpochTable, History
from .inputs import (
    as_array,
    default_layers,
    hint_of_format,
    learn_inputs,
    refuse_single,
    renewed_inputs,
    stacked_cells,
    warn_if_turned,
)
from .tasks import CallbackSupportMixin, NoTasks, fit_tasks, with_callbacks
from .transfer import copy_weights, weights_of
from .warm_start import (
    carry_over,
    changed,
    check_dtype,
    check_loss,
    kept,
    refuse,
    state_for,
)
from .weights import in_range, is_counted, of_samples

#: Parameters that say how X comes in, and those that the network is compiled with.
INPUT_PARAMS = ("layers", "input_shape", "data_format", "input_kind")
NETWORK_PARAMS = (*INPUT_PARAMS, "augmentation", "multi_crop")


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


class BaseConvNet(CallbackSupportMixin, LayerComposition, Parametrized):
    """Base class of `ConvNetClassifier` and `ConvNetRegressor`."""

    _parameter_constraints: dict = {
        "layers": [list, tuple, None],
        "input_shape": [tuple, list, np.ndarray, None],
        "data_format": [StrOptions({"channels_last", "channels_first"})],
        "input_kind": [StrOptions({"auto", "table", "signal", "image", "volume"})],
        "optimizer": [StrOptions(set(OPTIMIZERS)), Optimizer],
        "batch_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "augmentation": [Transform, None],
        "multi_crop": [MultiCrop, None],
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

    #: Parameters that must not change where training goes on.
    _fixed = ("init_from",)

    def _check_y(self, y, boxes=None):
        """y, with the boxes beside it, in the form that a target is made of and encodes."""
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
        """What training makes small, for encoded y. Weights are `relative` to a mean of 1."""
        loss = self._loss()
        loss.check_target(target)
        return self._target.objective(loss, target, weight)

    # --- X and weights -------------------------------------------------------------------

    def _check_X(self, X, reset, renewed=frozenset()):
        """X as an array, in its own dtype, with the channels last; how it comes in is learnt if
        `reset`, or compared. `renewed` are parameters that were changed since the last fit."""
        if type(X) is not np.ndarray or X.dtype.kind not in "biuf":
            X = stacked_cells(X)
        if reset or hasattr(self, "feature_names_in_") or not isinstance(X, np.ndarray):
            _check_feature_names(self, X, reset=reset)  # takes as long as a small forward
        X = as_array(X, self)
        check_range(X, self._work_dtype(X) if reset else self.network_.dtype, "X")
        if not reset and X.shape[1:] != self._inputs.shape and len(self._inputs.shape) > 1:
            refuse_single(X.shape, self._inputs.fits)
        if X.ndim == 2 and (not reset or self.input_shape is None):
            _check_n_features(self, X, reset=reset)
        if reset:
            self._inputs = learn_inputs(X.shape, *self._input_params())
            self.input_shape_ = self._inputs.sample_shape
            self.n_features_in_ = prod(self.input_shape_)
        elif not renewed.isdisjoint(INPUT_PARAMS):
            self._inputs = renewed_inputs(self._inputs, *self._input_params())
        return self._inputs.view(X, type(self).__name__)

    def _input_params(self):
        return self.layers, self.input_shape, self.data_format, self.input_kind

    def _check_weight(self, sample_weight, X):
        """Weights of samples (n,), or of pixels (n, *map_size)."""
        if sample_weight is None:
            return np.ones(len(X))
        if np.asarray(sample_weight).ndim < 2:
            return _check_sample_weight(
                sample_weight, X, dtype=np.float64, ensure_non_negative=True
            )
        weight = check_array(
            sample_weight,
            dtype=[np.float64, np.float32],
            allow_nd=True,
            ensure_non_negative=True,
            input_name="sample_weight",
        )
        if len(weight) != len(X):
            raise ValueError(
                f"sample_weight has {len(weight)} samples, but X has {len(X)}: give as many"
            )
        return weight

    def _work_dtype(self, X):
        if self.dtype != "auto":
            return np.dtype(self.dtype)
        return np.dtype("float64" if X.dtype.newbyteorder("=") == "f8" else "float32")

    # --- fit -----------------------------------------------------------------------------

    def _validate(self):
        constraints = dict(self._parameter_constraints)
        losses = dict.fromkeys(self._losses.values())
        constraints["loss"] = [StrOptions(set(self._losses)), *losses]
        if not isinstance(self.loss, type):  # such as Huber in the place of Huber()
            constraints["loss"].append(callable)
        params = {name: getattr(self, name) for name in self._get_param_names()}
        validate_parameter_constraints(constraints, params, type(self).__name__)
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

    def _samples(self, X, y, sample_weight, boxes=None, relative=True):
        """The rows of weight above zero, and y in checked form and weights of these.

        Of weights that are `relative` only the proportions count.
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        y = self._check_y(y, boxes)
        if len(X) != len(y):
            fix = ", or X[np.newaxis] if X is one sample" if len(y) == 1 else ""
            raise ValueError(f"X has {len(X)} samples, but y has {len(y)}: give as many{fix}")
        weight = self._check_weight(sample_weight, X)
        dtype = self.network_.dtype if hasattr(self, "network_") else self._work_dtype(X)
        counted = is_counted(weight, dtype, relative)
        if not counted.any():
            raise ValueError("sample_weight: all weights are zero, so nothing is left to fit")
        counted &= ~self._absent(y)
        if not counted.any():
            raise ValueError("y has no value or label for any sample whose weight is above zero")
        rows = np.flatnonzero(counted)
        if len(rows) < len(X):
            y, weight = y[rows], weight[rows]
        return rows, y, weight

    def _with_class_weights(self, target, weight, relative):
        """Weights times those of the classes, and which of them count."""
        weight = in_range(weight) if relative else weight
        factors = self._weights_of_classes(target, of_samples(weight))
        if np.ndim(factors):
            weight = weight * factors.reshape(-1, *[1] * (weight.ndim - 1))
        weight = in_range(weight) if relative else weight
        counted = is_counted(weight, self.network_.dtype, relative)
        if not counted.any():
            raise ValueError("class_weight leaves every sample with a weight of zero")
        weight = weight if counted.all() else weight[counted]
        return weight / weight.mean() if relative else weight, counted

    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
        boxes=None,
        boxes_val=None,
    ):
        """Fit the network to data.

        Training that is interrupted (Ctrl-C) ends with the weights so far and a warning, and
        training that diverges with the last finite ones. If anything else goes wrong, the
        estimator is as it was before.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Samples, with the channels where `data_format` says, or flat with `input_shape`.
            Bytes and memory maps are converted batch by batch.
        y : array-like of shape (n_samples,), (n_samples, n_outputs) or (n_samples, *map_shape)
            Values, as `target` says.
        sample_weight : array-like of shape (n_samples,) or (n_samples, *map_size), default=None
            Weights, of which only the proportions count; those of pixels where y is maps. Samples
            of weight zero are left out.
        X_val : array-like of shape (n_val, *sample_shape), default=None
            Samples to validate with after each epoch. Their loss and score are in `history_`;
            with ``early_stopping=True`` they decide when to stop and whose weights are kept,
            and nothing is held out of X. In a `Pipeline`, ``transform_input=["X_val"]``
            transforms them as it does X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their labels or values.
        sample_weight_val : array-like of shape (n_val,) or (n_val, *map_size), default=None
            Their weights; `class_weight` does not count here.
        boxes, boxes_val : None
            For `ConvNetClassifier`: coordinates are y here, with ``target="points"``.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val, boxes, boxes_val)

    def _fit(
        self, X, y, sample_weight, X_val, y_val, sample_weight_val, boxes=None, boxes_val=None
    ):
        with unchanged_on_error(self):
            return self._run_fit(
                X, y, sample_weight, X_val, y_val, sample_weight_val, boxes, boxes_val
            )

    @with_callbacks
    def _run_fit(self, X, y, sample_weight, X_val, y_val, sample_weight_val, boxes, boxes_val):
        metadata = {
            "sample_weight": sample_weight,
            "boxes": boxes,
            "X_val": X_val,
            "y_val": y_val,
            "sample_weight_val": sample_weight_val,
            "boxes_val": boxes_val,
        }
        metadata = {name: value for name, value in metadata.items() if value is not None}
        self._validate()
        warm = self.warm_start and hasattr(self, "network_")
        news = self._news() if warm else frozenset()
        X = self._check_X(X, not warm, news)
        rows, y, weight = self._samples(X, y, sample_weight, boxes)
        copied = None
        if warm:
            self._training_state = None
            self._go_on(news)
        else:
            copied = self._begin(X, y, weight)
        validation = self._validation(X_val, y_val, sample_weight_val, boxes_val)
        holds_out = self.early_stopping and validation is None
        self._split_seed = self._random_state.randint(2**31 - 1) if holds_out else None
        self._progress = Progress()
        tasks = fit_tasks(self)
        given = self._inputs.as_given(X)
        tasks.begin(given, y, metadata)  # where a checkpoint puts back what was done before
        if holds_out:
            rows, y, weight, validation = self._split(X, rows, y, weight)
        tasks.train_on(
            given if len(rows) == len(X) else lambda: given[rows],
            y,
            None if sample_weight is None else {"sample_weight": weight},
        )
        self._learn(X, rows, y, weight, validation, self.max_iter, copied, self._progress, tasks)
        del self._progress, self._split_seed
        tasks.end()
        return self

    def _partial_fit(self, X, y, sample_weight, classes=None, boxes=None):
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True: what it is given is one "
                "pass, and nothing is held out of it"
            )
        with unchanged_on_error(self):
            self._validate()
            first = not hasattr(self, "network_")
            news = frozenset() if first else self._news()
            X = self._check_X(X, first, news)
            rows, y, weight = self._samples(X, y, sample_weight, boxes, relative=False)
            copied = None
            if first:
                copied = self._begin(X, y, weight, classes)
            else:
                self._go_on(news)
            self._learn(X, rows, y, weight, None, 1, copied, Progress(), NoTasks(), partial=True)
        return self

    def _begin(self, X, y, weight, classes=None):
        """The network before the first step; returns the paths of what `init_from` filled."""
        self._random_state = check_random_state(self.random_state)
        if self._random_state is self.random_state or self.random_state is None:
            # What the user or numpy owns is drawn from once; the rest is ours to pickle.
            seed = self._random_state.randint(2**31 - 1)
            self._random_state = np.random.RandomState(seed)
        self._fitted = self._kept()
        pairs, shape, last_shape = self._own_layers()
        self._target = self._make_target(y, last_shape, classes)
        weight = self._target.weight_of_loss(weight)
        warn_if_turned(self._inputs, self.layers is None and self.input_kind == "auto")
        dtype = self._work_dtype(X)
        self.network_ = self._compile(pairs, shape, last_shape, dtype, self._random_state)
        self._begin_outputs(y, in_range(weight))
        self._training_state = None
        self.n_iter_ = self.t_ = 0
        self._history = History()
        if self.init_from is None:
            return set()
        weights = weights_of(self.init_from)
        own = self._target.own_weights
        copied = copy_weights(self.network_, {k: v for k, v in weights.items() if k not in own})
        self._target.take_weights(weights, copied, self._loss())
        return copied

    def _begin_outputs(self, y, weight):
        """Gives the output layers of a new network the values that they begin with."""
        self._target.begin(self.network_, y, weight, self._loss())

    def _kept(self):
        """Copies of the parameters that a prediction reads, or a fit that goes on compares."""
        return kept(self, (*NETWORK_PARAMS, "loss", "optimizer", "random_state", *self._fixed))

    def _news(self):
        """The parameters that were changed since the last fit and mean something to its network.

        Raises
        ------
        ValueError
            If one of them must not change.
        """
        news, before = frozenset(changed(self._fitted, self)), self._fitted
        check_dtype(self.dtype, self.network_)
        for name in self._fixed:
            if name in news:
                refuse(name, before[name], getattr(self, name))
        if "loss" in news:
            check_loss(self._loss(before["loss"]), self._loss())
        return news

    def _go_on(self, news):
        """What the last fit left, as copies, with the parameters that were changed since."""
        last, state = self.network_, self._training_state
        self.n_iter_ = 0
        if news.isdisjoint(NETWORK_PARAMS):
            self.network_, self._random_state, self._training_state = deepcopy(
                (last, self._random_state, state)
            )
        else:
            self._random_state, self._training_state = deepcopy((self._random_state, state))
            self.network_ = self._compile(*self._own_layers(), last.dtype, np.random.RandomState(0))
            before = {name: self._fitted[name] for name in NETWORK_PARAMS}
            now = {name: getattr(self, name) for name in NETWORK_PARAMS}
            carry_over(self.network_, last, before, now)
        self._target = copy(self._target)
        if "random_state" in news:
            self._random_state = check_random_state(self.random_state)
        if "optimizer" in news and state is not None:
            optimizers = (
                self._resolved(one, OPTIMIZERS)
                for one in (self.optimizer, self._fitted["optimizer"])
            )
            self._training_state = state_for(*optimizers, self._training_state)
        if news:
            self._fitted = self._kept()

    def _own_layers(self):
        """Pairs of the user's layers, the shape of what they are given, and that of what they end
        in."""
        layers, shape = self.layers, self.input_shape_
        with hint_of_format(self._inputs):
            if self.multi_crop is not None:
                shape = self.multi_crop.output_shape(shape)
        if layers is None:
            layers = default_layers(shape, self._inputs.kind)
        pairs = check_layers(layers, reserved=("output", "box", *self._get_param_names()))
        self._check_images(pairs)
        seen = with_channels(pairs, shape)
        with hint_of_format(self._inputs), hint_of_divisor(pairs, seen):
            return pairs, shape, Sequential(pairs).output_shape(seen)

    def _image_size(self):
        """(width, height) where X is images, else None."""
        return self.input_shape_[1::-1] if self._inputs.kind == "image" else None

    def _n_steps(self):
        """The length of a sample where X is signals, else None."""
        return self.input_shape_[0] if self._inputs.kind == "signal" else None

    def _compile(self, pairs, shape, last_shape, dtype, random_state):
        """The network for the user's layers and the output layers of the target."""
        if self.multi_crop is not None:
            self._target.check_voting(self.multi_crop.voting)
        with hint_of_format(self._inputs):
            outputs = self._target.output_layers(last_shape)
        if len(outputs) > 1:
            outputs = [("output", Outputs(outputs))]
        return compile_network([*pairs, *outputs], shape, dtype=dtype, random_state=random_state)

    def _check_images(self, pairs):
        """Raises ValueError if what is for images alone is asked of other samples."""
        n_axes = first_n_axes(pairs)
        for name, needed in (
            ("augmentation", getattr(self.augmentation, "needs_images", False)),
            ("multi_crop", self.multi_crop is not None),
        ):
            if needed and n_axes not in (None, 2):
                fix = "; input_kind='image' makes them so" if self.layers is None else ""
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is for images, but the layers are for "
                    f"samples of {n_axes} axes and channels{fix}"
                )

    def _augment(self):
        """What is done to a training batch, or None: see `Trainer`."""
        if self.augmentation is None and self.multi_crop is None:
            return None

        def augment(X, target, pixel_weight, random_state):
            if self.augmentation is not None:
                how = self.augmentation, X
                if pixel_weight is not None:
                    same = deepcopy(random_state)
                    pixel_weight = self._target.moved(*how, pixel_weight, same, self.n_threads)
                X, target = self._target.augmented(*how, target, random_state, self.n_threads)
            if self.multi_crop is not None:
                X = self.multi_crop.random_crops(X, random_state)
            return X, target, pixel_weight

        return augment

    def _view(self):
        """What the network sees of X where it does not train, or None for all of it."""
        return None if self.multi_crop is None else self.multi_crop.centre

    def _validation(self, X_val, y_val, sample_weight_val, boxes_val=None):
        """Samples to validate with from what `fit` was given, or None."""
        given = {
            "X_val": X_val,
            "y_val": y_val,
            "sample_weight_val": sample_weight_val,
            "boxes_val": boxes_val,
        }
        lacking = [name for name in ("X_val", "y_val") if given[name] is None]
        if all(value is None for value in given.values()):
            return None
        if lacking:
            name = next(name for name, value in given.items() if value is not None)
            raise ValueError(f"{name} is provided, but {lacking[0]} was not provided.")
        with about("X_val"):
            X_val = self._check_X(X_val, reset=False)
        with about("y_val"):
            rows, y_checked, weight = self._samples(X_val, y_val, None, boxes_val)
        if sample_weight_val is not None:
            with about("sample_weight_val"):
                rows, y_checked, weight = self._samples(X_val, y_val, sample_weight_val, boxes_val)
        with about("sample_weight_val"):
            self._target.weight_of_loss(weight)
        with about("y_val"):
            samples = self._encoded(X_val, rows, y_checked, weight)
            self._loss().check_target(samples.target)
            return samples

    def _encoded(self, X, rows, y, weight):
        """Samples to validate with, as the network and the loss take them."""
        weight = in_range(weight)
        weight = weight / weight.mean()
        return self._weighted(X, rows, self._target.encode(y, self.network_.dtype), weight)

    def _weighted(self, X, rows, target, weight, relative=True):
        """Samples with weights, their own or those of their pixels."""
        weight = self._target.weight_of_loss(weight)
        scale = 1 / self._target.share_that_is_there(target, weight) if relative else 1.0
        dtype = self.network_.dtype
        pixel_weight = None if weight.ndim == 1 else weight.astype(dtype)
        return Samples(X, target, of_samples(weight).astype(dtype), rows, pixel_weight, scale)

    def _split(self, X, rows, y, weight):
        """Samples to train on, and to validate with, for early stopping."""
        from sklearn.model_selection import train_test_split  # slow to import

        try:
            kept, held_out = train_test_split(
                np.arange(len(rows)),
                test_size=self.validation_fraction,
                random_state=self._split_seed,
                stratify=self._target.stratify(y),
            )
        except ValueError as error:
            raise ValueError(f"{self._cannot_split(len(rows))}: {error}") from None
        if len(held_out) < 2:
            raise ValueError(
                f"{self._cannot_split(len(rows))}: {len(held_out)} is too few to score"
            )
        validation = self._encoded(X, rows[held_out], y[held_out], weight[held_out])
        return rows[kept], y[kept], weight[kept], validation

    def _cannot_split(self, n):
        return (
            f"early_stopping=True cannot hold out validation_fraction={self.validation_fraction} "
            f"of {n} samples (set another fraction, give X_val and y_val, or set "
            "early_stopping=False)"
        )

    def _learn(
        self,
        X,
        rows,
        y,
        weight,
        validation,
        max_iter,
        copied,
        progress,
        tasks,
        partial=False,
    ):
        """Statistics if training begins, epochs, and the attributes that tell of them.

        `copied` is what `_begin` returned, or None where training goes on. `partial`: a call may
        be of a single sample, of which there are no statistics, and a step is as long as its
        weights say; in a fit only their proportions count.
        """
        network, loss = self.network_, self._loss()
        if not self._target.has_begun:
            self._begin_outputs(y, in_range(self._target.weight_of_loss(weight)))
        target = self._target.encode(y, network.dtype)
        weight, counted = self._with_class_weights(target, weight, not partial)
        if not counted.all():  # of a class without weight
            rows, target = rows[counted], target[counted]
        samples = self._weighted(X, rows, target, weight, not partial)
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = min(200, len(samples))
        trainer = Trainer(
            network,
            self._objective(target, self._target.weight_of_loss(weight), not partial),
            self._resolved(self.optimizer, OPTIMIZERS),
            batch_size,
            self.shuffle,
            self._random_state,
            effective_n_threads(self.n_threads),
            self._training_state,
            self._augment(),
            self._view(),
            use_running=partial and len(samples) == 1,
        )
        self._training_state = trainer.state
        if copied is not None and progress.epoch == 0:
            shares = of_samples(weight)
            network.fit_statistics(
                lambda: (
                    (trainer.seen(samples.take(slice(start, stop)).X), shares[start:stop])
                    for start, stop in batches_of(len(samples), PREDICT_ROWS)
                ),
                copied,
            )
        self._early_stopped, self._validated = self.early_stopping, validation is not None
        table = EpochTable([] if progress.epoch else self._history.names)

        def after_epoch(row, seconds):
            self._history = self._history.with_epoch(row)
            self.n_iter_ += 1
            self.t_ += len(samples)
            if self.verbose:
                table.print(len(self.loss_curve_), row, seconds)
            return tasks.end_epoch()

        progress.stopped = tasks.repeat(progress.epoch)
        train(
            trainer,
            samples,
            progress,
            max_iter=max_iter,
            new_score=lambda: self._target.new_score(loss),
            validation=validation,
            early_stopping=self.early_stopping,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            before_epoch=tasks.begin_epoch,
            after_epoch=after_epoch,
        )
        self._training_state = trainer.state
        if not partial:
            self._warn_of_the_end(progress)

    def _warn_of_the_end(self, progress):
        """Warns if training has not ended by itself."""
        if progress.ran_out(self.max_iter, self.n_iter_no_change):
            warn_caller(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the "
                "optimization hasn't converged yet.",
                ConvergenceWarning,
            )

    def _loss(self, loss=None):
        """An instance for a loss, which is the parameter unless it is given."""
        loss = self.loss if loss is None else loss
        if callable(loss):
            return FunctionLoss(loss)
        return self._resolved(loss, self._losses)

    # --- afterwards ----------------------------------------------------------------------

    # Curves are made when somebody asks for them: an epoch must not cost more than those before.

    @property
    def history_(self):
        """Curves by name, one entry an epoch."""
        check_is_fitted(self)
        return self._history.curves

    @property
    def loss_curve_(self):
        """Mean training loss of each epoch."""
        return self.history_.get("loss", [])

    @property
    def loss_(self):
        """That of the last epoch."""
        return self.loss_curve_[-1] if self.loss_curve_ else np.nan

    @property
    def best_loss_(self):
        """The smallest of them, or None with early stopping."""
        curve = self.loss_curve_
        return None if self._early_stopped else min(curve, default=np.nan)

    @property
    def validation_scores_(self):
        """Score of the validation data after each epoch, or None if the last call had none."""
        curves = self.history_
        return curves.get("validation_score", []) if self._validated else None

    @property
    def best_validation_score_(self):
        """The largest of them, or None."""
        scores = self.validation_scores_
        if scores is None:
            return None
        return max((score for score in scores if not np.isnan(score)), default=np.nan)

    @property
    def n_layers_(self):
        """Number of layers, with the input and the output."""
        check_is_fitted(self)
        return 1 + len(self.network_.layers)

    @property
    def out_activation_(self):
        """Name of the function that makes predictions of the network's output."""
        check_is_fitted(self)
        return self._target.out_activation or self._loss(self._fitted["loss"]).out_activation

    @property
    def layers_(self):
        """`(name, layer)` pairs of the fitted network, with the output layers."""
        check_is_fitted(self)
        pairs = []
        for name, layer in self.network_.layers:
            pairs += layer.branches if isinstance(layer, Outputs) else [(name, layer)]
        return pairs

    def _raw_predict(self, X, finish=None):
        """The output of the last layer, for X as `_check_X` returns it, or what `finish` makes of
        that, chunk by chunk."""
        return predict_in_chunks(self.network_, X, effective_n_threads(self.n_threads), finish)

    def _views(self, X):
        """What the network is shown of X: all of it, or several crops."""
        multi_crop = self._fitted["multi_crop"]
        return [X] if multi_crop is None else multi_crop.views(X)

    def _outputs(self, X, finish=None):
        """The output of the last layer, for any X, or what `finish` makes of it."""
        check_is_fitted(self)
        return self._raw_predict(self._check_X(X, reset=False), finish)

    def _score_weight(self, sample_weight, y):
        """Checked weights for a score, in range; None where none were given."""
        if sample_weight is None:
            return None
        weight = self._target.weight_of_loss(self._check_weight(sample_weight, y))
        return in_range(weight)

    def get_weights(self):
        """Copies of the trained arrays and the statistics of the fitted network.

        Returns
        -------
        dict of str to ndarray
            By path, such as "conv1/weight". A regressor that normalises y has the statistics of
            y beside the output's weights: "output/target_mean", "output/target_deviation".
        """
        check_is_fitted(self)
        network = self.network_
        arrays = {**network.parameters(), **network.buffers(), **self._target.weights()}
        return {path: array.copy() for path, array in arrays.items()}

    def trim(self):
        """Give up what only further training needs, so that a pickle holds little but weights.

        That is the state of the optimiser, as large as the weights for momentum and twice as
        large for Adam, and in memory the gradients. Predictions stay the same. `partial_fit`
        goes on from the same weights, with an optimiser and a schedule that begin anew, as they
        do in each `fit` with ``warm_start=True``.

        Returns
        -------
        self : object
            The estimator.
        """
        check_is_fitted(self)
        self._training_state = None
        self.network_.trim()
        return self

    def summary(self):
        """A table of the fitted network: output shapes, parameters and multiply-adds.

        Returns
        -------
        str
            One row a layer; multiply-adds are those of one sample. Then the memory that a
            training step and a prediction of a batch take for maps, if there was one since
            the network was made or loaded.
        """
        check_is_fitted(self)
        return network_summary(self.network_)

    def __getstate__(self):
        state = super().__getstate__()
        return {**state, "_sklearn_convnet_version": package_version()}

    def __setstate__(self, state):
        state = dict(state)
        seen = state.pop("_sklearn_convnet_version", "unknown")
        if seen != package_version():
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=f"sklearn_convnet {package_version()}",
                    original_sklearn_version=f"sklearn_convnet {seen}",
                ),
                stacklevel=2,
            )
        super().__setstate__(state)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "network_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags
