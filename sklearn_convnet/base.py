"""What the two estimators share: parameters, validation of X, and the course of a fit."""

import warnings
from contextlib import contextmanager
from copy import deepcopy
from math import prod
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils import assert_all_finite, check_random_state
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    check_array,
    check_is_fitted,
)

from ._version import package_version
from .augmentation import Transform
from .callbacks import CallbackSupportMixin, NoTasks, fit_tasks, with_callbacks
from .history import EpochTable, History
from .layers import (
    Conv1D,
    Conv2D,
    Conv3D,
    Dense,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    Sequential,
    Standardize,
)
from .layers.blocks import Outputs
from .layers.composition import LayerComposition, check_layers
from .losses import FunctionLoss
from .messages import about
from .multi_crop import MultiCrop
from .network import compile_network
from .network.compile import first_n_axes, with_channels
from .optimizers import OPTIMIZERS, Optimizer
from .summary import network_summary
from .threads import effective_n_threads
from .training import (
    PREDICT_ROWS,
    Progress,
    Samples,
    Trainer,
    batches_of,
    predict_in_chunks,
    train,
)
from .transfer import copy_weights, weights_of


def default_layers(sample_shape):
    """A network that does well without tuning, for samples of this shape.

    Standardised input; convolutions over 3 (signals: 5) neighbours that keep the size, each
    with a max pool by 2 while the maps are at least 4 long, the number of filters growing
    from 32 to 128; then a dense layer. Flat samples, which may be columns of a table, are
    standardised column by column.
    """
    n_axes = {1: 1, 2: 2, 3: 2}.get(len(sample_shape), 3)
    conv = {1: Conv1D, 2: Conv2D, 3: Conv3D}[n_axes]
    pool = {1: MaxPool1D, 2: MaxPool2D, 3: MaxPool3D}[n_axes]
    kernel_size = 5 if n_axes == 1 else 3
    layers = [Standardize(per="value" if len(sample_shape) == 1 else "channel")]
    size, filters = min(sample_shape[:n_axes]), 32
    while True:
        layers.append(conv(filters, kernel_size, padding="same"))
        if size < 4:
            break
        layers.append(pool(2))
        size //= 2
        if size < 4:
            break
        filters = min(2 * filters, 128)
    return [*layers, Dense(128)]


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


class BaseConvNet(CallbackSupportMixin, LayerComposition, BaseEstimator):
    """Base class of `ConvNetClassifier` and `ConvNetRegressor`."""

    _parameter_constraints: dict = {
        "layers": [list, tuple, None],
        "input_shape": [tuple, list, None],
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
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
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

    def _check_y(self, y, dtype, boxes=None):
        """y, with the boxes beside it, in the form that a target is made of and encodes."""
        raise NotImplementedError(type(self))

    def _make_target(self, y, classes=None):
        """The `Target` that says what is to be predicted, from checked y."""
        raise NotImplementedError(type(self))

    def _weights_of_classes(self, target, weight):
        """A factor on the weight of each sample; `weight` is what it has already."""
        return 1.0

    def _objective(self, target, weight):
        """What training makes small, for encoded y."""
        loss = self._loss()
        loss.check_target(target)
        return self._target.objective(loss, target, weight)

    def _new_score(self):
        """What gathers the score of a pass, batch by batch."""
        raise NotImplementedError(type(self))

    # --- X and weights -------------------------------------------------------------------

    def _check_X(self, X, reset):
        """X as an array, in its own dtype; its shape is learnt if `reset`, or compared."""
        if reset or hasattr(self, "feature_names_in_") or not isinstance(X, np.ndarray):
            _check_feature_names(self, X, reset=reset)  # takes as long as a small forward
        X = self._as_array(X)
        if X.ndim == 2 and (not reset or self.input_shape is None):
            _check_n_features(self, X, reset=reset)
        shape = X.shape[1:]
        if reset:
            self.input_shape_ = self._sample_shape(shape)
            self.n_features_in_ = prod(self.input_shape_)
        elif shape != self.input_shape_ and shape != (self.n_features_in_,):
            raise ValueError(
                f"X has samples of shape {shape}, but {type(self).__name__} was fitted "
                f"with samples of shape {self.input_shape_}"
            )
        return X.reshape(len(X), *self.input_shape_)

    def _as_array(self, X):
        """X as an array of real numbers with at least two axes, in its own dtype."""
        if type(X) is np.ndarray and X.ndim > 1 and X.size and X.dtype.kind in "biuf":
            # All that is left to check; the rest takes as long as a small forward as well.
            assert_all_finite(X, estimator_name=type(self).__name__, input_name="X")
            return X
        X = check_array(X, dtype="numeric", allow_nd=True, estimator=self, input_name="X")
        if X.dtype.kind not in "biuf":
            raise ValueError(f"X must hold real numbers, got dtype {X.dtype}")
        return X

    def _sample_shape(self, shape):
        """The shape of a sample: that of X, or `input_shape`."""
        if 0 in shape:
            raise ValueError(f"X has samples of shape {shape}, which hold no values")
        if self.input_shape is None:
            return shape
        wanted = tuple(self.input_shape)
        if not all(isinstance(size, Integral) and size >= 1 for size in wanted):
            raise ValueError(f"input_shape must hold positive integers, got {self.input_shape!r}")
        if shape != wanted and shape != (prod(wanted),):
            raise ValueError(
                f"X has samples of shape {shape}, expected input_shape={wanted} or "
                f"{prod(wanted)} values in a row"
            )
        return wanted

    def _check_weight(self, sample_weight, X):
        """Weights as float64, or None."""
        if sample_weight is None:
            return np.ones(len(X))
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        if not weight.any():
            raise ValueError("sample_weight: all weights are zero, so nothing is left to fit")
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

    def _resolved(self, value, table):
        """An instance for a name or an instance, its parameters checked."""
        instance = table[value]() if isinstance(value, str) else value
        instance._validate_params()
        return instance

    def _samples(self, X, y, sample_weight, boxes=None):
        """The rows of weight above zero, and y in checked form and weights of these."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        y = self._check_y(y, self._work_dtype(X), boxes)
        if len(X) != len(y):
            raise ValueError(f"X has {len(X)} samples, but y has {len(y)}: give as many")
        weight = self._check_weight(sample_weight, X)
        rows = np.flatnonzero(weight)
        if len(rows) < len(X):
            y, weight = y[rows], weight[rows]
        return rows, y, weight

    def _with_class_weights(self, target, weight):
        weight = weight * self._weights_of_classes(target, weight)
        if not weight.any():
            raise ValueError("class_weight leaves every sample with a weight of zero")
        return weight / weight.mean()

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit the network to data.

        Training that is interrupted (Ctrl-C) ends with the weights so far and a warning, and
        training that diverges with the last finite ones. If anything else goes wrong, the
        estimator is as it was before.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Samples, channels last, or flat with `input_shape`. Bytes and memory maps are
            converted batch by batch.
        y : array-like of shape (n_samples,), (n_samples, n_outputs) or (n_samples, *map_shape)
            Values, as `target` says.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights; samples of weight zero are left out.
        X_val : array-like of shape (n_val, *sample_shape), default=None
            Samples to validate with after each epoch. Their loss and score are in `history_`;
            with ``early_stopping=True`` they decide when to stop and whose weights are kept,
            and nothing is held out of X. In a `Pipeline`, ``transform_input=["X_val"]``
            transforms them as it does X.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their labels or values.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights; `class_weight` does not count here.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)

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
        X = self._check_X(X, reset=not warm)
        rows, y, weight = self._samples(X, y, sample_weight, boxes)
        copied = None
        if warm:
            self.network_, self._random_state = deepcopy((self.network_, self._random_state))
            self._training_state = None
        else:
            copied = self._begin(X, y)
        validation = self._validation(X_val, y_val, sample_weight_val, boxes_val)
        holds_out = self.early_stopping and validation is None
        self._split_seed = self._random_state.randint(2**31 - 1) if holds_out else None
        self._progress = Progress()
        tasks = fit_tasks(self)
        tasks.begin(X, y, metadata)  # where a checkpoint puts back what was done before
        if holds_out:
            rows, y, weight, validation = self._split(X, rows, y, weight)
        tasks.train_on(
            X if len(rows) == len(X) else lambda: X[rows],
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
            X = self._check_X(X, reset=first)
            rows, y, weight = self._samples(X, y, sample_weight, boxes)
            copied = None
            if first:
                copied = self._begin(X, y, classes)
            else:
                self.network_, self._random_state, self._training_state = deepcopy(
                    (self.network_, self._random_state, self._training_state)
                )
            self._learn(X, rows, y, weight, None, 1, copied, Progress(), NoTasks())
        return self

    def _begin(self, X, y, classes=None):
        """The network before the first step; returns the paths of what `init_from` filled."""
        self._random_state = check_random_state(self.random_state)
        if self._random_state is self.random_state or self.random_state is None:
            # What the user or numpy owns is drawn from once; the rest is ours to pickle.
            seed = self._random_state.randint(2**31 - 1)
            self._random_state = np.random.RandomState(seed)
        self._target = self._make_target(y, classes)
        self.network_ = self._compile(self._work_dtype(X))
        self._training_state = None
        self.n_iter_ = self.t_ = 0
        self._history = History()
        if self.init_from is None:
            return set()
        return copy_weights(self.network_, weights_of(self.init_from))

    def _compile(self, dtype):
        """The network for the user's layers and the output layers of the target."""
        layers, shape = self.layers, self.input_shape_
        if self.multi_crop is not None:
            shape = self.multi_crop.output_shape(shape)
        if layers is None:
            layers = default_layers(shape)
        pairs = check_layers(layers, reserved=("output", "box", *self._get_param_names()))
        self._check_images(pairs)
        last_shape = Sequential(pairs).output_shape(with_channels(pairs, shape))
        outputs = self._target.output_layers(last_shape)
        if len(outputs) > 1:
            outputs = [("output", Outputs(outputs))]
        return compile_network(
            [*pairs, *outputs],
            shape,
            dtype=dtype,
            random_state=self._random_state,
        )

    def _check_images(self, pairs):
        """Raises ValueError if what is for images alone is asked of other samples, or votes
        of what is no class or value."""
        n_axes = first_n_axes(pairs)
        for name, needed in (
            ("augmentation", getattr(self.augmentation, "needs_images", False)),
            ("multi_crop", self.multi_crop is not None),
        ):
            if needed and n_axes not in (None, 2):
                raise ValueError(
                    f"{name}={getattr(self, name)!r} is for images, but the layers are for "
                    f"samples of {n_axes} axes and channels"
                )
        if self.multi_crop is not None:
            self._target.check_voting(self.multi_crop.voting)

    def _augment(self):
        """What is done to a training batch, or None: see `Trainer`."""
        if self.augmentation is None and self.multi_crop is None:
            return None

        def augment(X, target, random_state):
            if self.augmentation is not None:
                X, target = self._target.augmented(
                    self.augmentation, X, target, random_state, self.n_threads
                )
            if self.multi_crop is not None:
                X = self.multi_crop.random_crops(X, random_state)
            return X, target

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
        with about("y_val"):
            return self._encoded(X_val, rows, y_checked, weight)

    def _encoded(self, X, rows, y, weight):
        """Samples as the network and the loss take them."""
        dtype = self.network_.dtype
        return Samples(X, self._target.encode(y, dtype), weight.astype(dtype), rows)

    def _split(self, X, rows, y, weight):
        """Samples to train on, and to validate with, for early stopping."""
        from sklearn.model_selection import train_test_split  # slow to import

        kept, held_out = train_test_split(
            np.arange(len(rows)),
            test_size=self.validation_fraction,
            random_state=self._split_seed,
            stratify=self._target.stratify(y),
        )
        if len(held_out) < 2:
            raise ValueError(
                f"early_stopping holds out {len(held_out)} of {len(rows)} samples, which is "
                "too few to score: use a larger validation_fraction"
            )
        validation = self._encoded(X, rows[held_out], y[held_out], weight[held_out])
        return rows[kept], y[kept], weight[kept], validation

    def _learn(self, X, rows, y, weight, validation, max_iter, copied, progress, tasks):
        """Statistics if training begins, epochs, and the attributes that tell of them.

        `copied` is what `_begin` returned, or None where training goes on.
        """
        network = self.network_
        target = self._target.encode(y, network.dtype)
        weight = self._with_class_weights(target, weight)
        if not weight.all():  # of a class without weight
            kept = np.flatnonzero(weight)
            rows, target, weight = rows[kept], target[kept], weight[kept]
            weight = weight / weight.mean()
        samples = Samples(X, target, weight.astype(network.dtype), rows)
        batch_size = self.batch_size
        if batch_size == "auto":
            batch_size = min(200, len(samples))
        trainer = Trainer(
            network,
            self._objective(target, weight),
            self._resolved(self.optimizer, OPTIMIZERS),
            batch_size,
            self.shuffle,
            self._random_state,
            effective_n_threads(self.n_threads),
            self._training_state,
            self._augment(),
            self._view(),
        )
        self._training_state = trainer.state
        if copied is not None and progress.epoch == 0:
            network.fit_statistics(
                lambda: (
                    (trainer.seen(samples.take(slice(start, stop)).X), weight[start:stop])
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
                table.print(self.n_iter_, row, seconds)
            return tasks.end_epoch()

        progress.stopped = tasks.repeat(progress.epoch)
        train(
            trainer,
            samples,
            progress,
            max_iter=max_iter,
            new_score=self._new_score,
            validation=validation,
            early_stopping=self.early_stopping,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            before_epoch=tasks.begin_epoch,
            after_epoch=after_epoch,
        )
        self._training_state = trainer.state

    def _loss(self):
        if callable(self.loss):
            return FunctionLoss(self.loss)
        return self._resolved(self.loss, self._losses)

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
    def layers_(self):
        """`(name, layer)` pairs of the fitted network, with the output layers."""
        check_is_fitted(self)
        pairs = []
        for name, layer in self.network_.layers:
            pairs += layer.branches if isinstance(layer, Outputs) else [(name, layer)]
        return pairs

    def _raw_predict(self, X):
        """The output of the last layer, for X as `_check_X` returns it."""
        return predict_in_chunks(self.network_, X, effective_n_threads(self.n_threads))

    def _views(self, X):
        """What the network is shown of X: all of it, or several crops."""
        return [X] if self.multi_crop is None else self.multi_crop.views(X)

    def _outputs(self, X):
        """The output of the last layer, for any X."""
        check_is_fitted(self)
        return self._raw_predict(self._check_X(X, reset=False))

    def get_weights(self):
        """Copies of the trained arrays and the statistics of the fitted network.

        Returns
        -------
        dict of str to ndarray
            By path, such as "conv1/weight".
        """
        check_is_fitted(self)
        arrays = {**self.network_.parameters(), **self.network_.buffers()}
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
