"""The network of a fit: a new one, or that of the last fit, with what was changed since."""

from copy import copy, deepcopy
from dataclasses import dataclass, replace

import numpy as np
from sklearn.utils import check_random_state

from ..augmentation.base import KIND_NAMES
from ..augmentation.mixing import CutMix, mean_of_pairs, mixed_samples, parted
from ..beside import apart, beside
from ..layers import GlobalAvgPool, GlobalMaxPool, Sequential
from ..layers.blocks import Outputs
from ..layers.composition import (
    ShapeError,
    check_layers,
    first_n_axes,
    hint_of_divisor,
    with_channels,
)
from ..messages import about, warn_caller
from ..multi_crop import CentreCrop
from ..network import compile_network
from ..network.scan import scanning
from ..optimizers import OPTIMIZERS
from ..ragged import Ragged
from .defaults import default_layers
from .features import before_dense, complete_features
from .fitted import VOTES_TWICE
from .heads import begin_heads, complete_heads, shrink_outputs
from .history import History
from .inputs import INPUT_PARAMS, KINDS, hint_of_format, warn_if_turned
from .scanning import window_of
from .transfer import copy_weights, weights_of
from .warm_start import carry_over, changed, check_dtype, check_loss, kept, refuse, state_for
from .weights import in_range

#: Parameters that the network is compiled with.
NETWORK_PARAMS = (*INPUT_PARAMS, "augmentation", "multi_crop")


def warn_of_last_activation(layers):
    """Warns if the last layer has an activation, and what it makes are the outputs."""
    name, layer = layers[-1] if layers else ("", None)
    if isinstance(layer, Sequential):
        warn_of_last_activation(check_layers(layer.layers))
    elif isinstance(layer, (GlobalAvgPool, GlobalMaxPool)):
        warn_of_last_activation(layers[:-1])
    elif getattr(layer, "activation", None) not in (None, "identity"):
        warn_caller(
            f"layer {name!r} has activation={layer.activation!r}, but with output=None it makes "
            "the outputs of the network, which should not be bounded: set activation=None",
            UserWarning,
        )


def check_dense_voting(network, kind):
    """Raises ShapeError before training if the network cannot be moved over whole images."""
    try:
        scanning(network, window_of(network, kind))
    except ShapeError as error:
        raise ShapeError(
            error.path, f"{error.problem}. voting='dense' needs that: use voting='soft'"
        ) from None


@dataclass
class Augment:
    """Changes a training batch: see `Trainer`. It can be pickled without the estimator."""

    target: object
    augmentation: object
    multi_crop: object
    n_threads: int | None

    def __call__(self, X, target, pixel_weight, random_state):
        if self.augmentation is not None:
            how = self.augmentation, X
            if pixel_weight is not None:
                same = deepcopy(random_state)
                pixel_weight = self.target.moved(*how, pixel_weight, same, self.n_threads)
            X, target = self.target.augmented(*how, target, random_state, self.n_threads)
        if self.multi_crop is not None:
            how = self.multi_crop, X, target, random_state
            X, target = self.target.augmented(*how, self.n_threads)
        return X, target, pixel_weight


@dataclass
class Mix:
    """Mixes a training batch: see `Trainer`."""

    mixing: object
    n_axes: int
    lies_in_sample: bool

    def __call__(self, samples, random_state):
        X, features = apart(samples.X)
        mixture = self.mixing.mix(X, self.n_axes, random_state)
        mixed = mixed_samples(samples, mixture, self.lies_in_sample)
        if features is not None:
            features = mean_of_pairs(features, mixture.partner, mixture.share)
        mixed.X = beside(mixed.X, features)
        return mixed


class NetworkMixin:
    """The network of a fit that begins, or goes on."""

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

    def _begin(self, checked, classes=None):
        """The network before the first step; returns the paths of what `init_from` filled."""
        self._random_state = check_random_state(self.random_state)
        if self._random_state is self.random_state or self.random_state is None:
            # A generator of the user or numpy is drawn from once; the rest is ours to pickle.
            seed = self._random_state.randint(2**31 - 1)
            self._random_state = np.random.RandomState(seed)
        self._fitted = self._kept()
        tells_places = self._tells_places(checked.y)
        pairs, shape, last_shape = self._own_layers(tells_places, checked.X)
        self._target = self._make_target(checked.y, last_shape, classes)
        weight = self._target.weight_of_loss(checked.weight)
        warn_if_turned(self._inputs, self.layers is None and self.input_kind == "auto")
        dtype = self._work_dtype(checked.X)
        self.network_ = self._compile(pairs, shape, last_shape, dtype, self._random_state)
        shrink_outputs(self.network_)
        self._begin_outputs(checked.y, in_range(weight))
        self._training_state = self._average = None
        self.n_iter_ = self.t_ = 0
        self._history = History()
        if self.init_from is None:
            return set()
        weights = weights_of(self.init_from)
        own = self._target.own_weights
        copied = copy_weights(self.network_, {k: v for k, v in weights.items() if k not in own})
        with about("init_from"):
            self._target.take_weights(weights, copied, self._loss())
        return copied

    def _begin_outputs(self, y, weight):
        """Gives the output layers of a new network the values that they begin with."""
        self._target.begin(self.network_, y, weight, self._loss())
        begin_heads(self.network_)

    def _go_on(self, news):
        """The state of the last fit, as copies, with the parameters that were changed since."""
        last, state = self.network_, self._training_state
        self.n_iter_ = 0
        self._average = deepcopy(self._average)
        if news.isdisjoint(NETWORK_PARAMS):
            self.network_, self._random_state, self._training_state = deepcopy(
                (last, self._random_state, state)
            )
        else:
            self._random_state, self._training_state = deepcopy((self._random_state, state))
            own = self._own_layers(self._target.tells_places)
            self.network_ = self._compile(*own, last.dtype, np.random.RandomState(0))
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

    def _own_layers(self, tells_places, X=None):
        """Pairs of the user's layers, the shape of what they are given, and that of what they end
        in; checked X is looked at where its samples differ in size."""
        layers, shape = self.layers, self._inputs.network_shape
        n_features = self._n_features(X)
        self._check_crops(X)
        with hint_of_format(self._inputs):
            if self.multi_crop is not None:
                shape = self.multi_crop.output_shape(shape)
        if layers is None:
            smallest = replace(self._inputs, shape=self._inputs.smallest).sample_shape
            layers = default_layers(shape, self._inputs.kind, smallest, tells_places)
            layers = before_dense(layers) if n_features else layers
        pairs = check_layers(layers, reserved=("output", "box", *self._get_param_names()))
        pairs = complete_features(pairs, n_features)
        self._check_kind(pairs)
        self._check_layers(X, pairs)
        seen = with_channels(pairs, shape)
        with hint_of_format(self._inputs), hint_of_divisor(pairs, seen):
            return pairs, shape, Sequential(pairs).output_shape(seen)

    def _compile(self, pairs, shape, last_shape, dtype, random_state):
        """The network for the user's layers and the output layers of the target."""
        votes = {name: getattr(self, name) for name in ("multi_crop", "test_time_augmentation")}
        if None not in votes.values():
            raise ValueError(VOTES_TWICE)
        for name, vote in votes.items():
            if vote is not None:
                vote._validate_params()
                self._target.check_vote(name, vote.voting)
        target, auto = self._target, self.output is not None
        output_layers = target.output_layers if auto else target.pool_of_outputs
        with hint_of_format(self._inputs):
            outputs = output_layers(last_shape)
            if not auto:
                warn_of_last_activation(pairs)
        if len(outputs) > 1:
            outputs = [("output", Outputs(outputs))]
        output_shape = Sequential(outputs).output_shape(last_shape)
        pairs = complete_heads(pairs, shape, output_shape, output_layers)
        layers = [*pairs, *outputs]
        network = compile_network(layers, shape, dtype=dtype, random_state=random_state)
        if self.multi_crop is not None and self.multi_crop.voting == "dense":
            check_dense_voting(network, self._inputs.kind)
        return network

    def _check_kind(self, pairs):
        """Raises ValueError if what is for one kind of samples is asked of another."""
        _, mixing = parted(self.augmentation)
        if isinstance(mixing, CutMix) and self._inputs.kind == "table":
            raise ValueError(
                f"augmentation={self.augmentation!r} pastes parts of samples, but the columns of a "
                "table are no places: use MixUp"
            )
        for name, needed in (
            ("augmentation", getattr(self.augmentation, "n_axes", None)),
            ("multi_crop", None if self.multi_crop is None else 2),
            ("test_time_augmentation", getattr(self.test_time_augmentation, "n_axes", None)),
        ):
            if needed is not None:
                self._check_axes(name, needed, pairs)

    def _check_axes(self, name, needed, layers):
        """Raises ValueError if what a parameter says is for samples of other axes."""
        n_axes, kind = first_n_axes(layers), KIND_NAMES[needed]
        if self._inputs.kind == "table":
            raise ValueError(
                f"{name}={getattr(self, name)!r} is for {kind}, but the columns of a table are no "
                "places"
            )
        if n_axes not in (None, needed):
            fix = f"; input_kind={kind[:-1]!r} makes them so" if self.layers is None else ""
            raise ValueError(
                f"{name}={getattr(self, name)!r} is for {kind}, but the layers are for "
                f"samples of {n_axes} axes and channels{fix}"
            )

    def _image_size(self):
        """(width, height) where X is images of one size, else None."""
        is_image = self._inputs.kind == "image" and not self._inputs.differ
        return self.input_shape_[1::-1] if is_image else None

    def _point_axes(self):
        """The number of coordinates of a point in a sample."""
        return KINDS[self._inputs.kind] if self._inputs.kind in ("signal", "volume") else 2

    def _n_steps(self):
        """The length of a sample where X is signals, else None."""
        return self.input_shape_[0] if self._inputs.kind == "signal" else None

    def _augment(self):
        """The change that is made to a training batch, or None: see `Trainer`."""
        augmentation, _ = parted(self.augmentation)
        if augmentation is None and self.multi_crop is None:
            return None
        return Augment(self._target, augmentation, self.multi_crop, self.n_threads)

    def _mix(self):
        """The mixing of a training batch, or None: see `Trainer`."""
        _, mixing = parted(self.augmentation)
        if mixing is None:
            return None
        return Mix(mixing, KINDS[self._inputs.kind], self._target.lies_in_sample)

    def _view(self):
        """The part of X that the network sees where it does not train, or None for all of it."""
        return None if self.multi_crop is None else self.multi_crop.centre

    def _target_in_view(self, checked, target):
        """Encoded targets of checked samples, as they lie in that part."""
        if self.multi_crop is None:
            return target
        X, rows = checked.X, checked.rows
        parts = X[rows].parts() if isinstance(X, Ragged) else [np.arange(len(rows))]
        moved, centre = target.copy(), CentreCrop(self.multi_crop)
        for part in parts:
            shape = X[int(rows[part[0]])].shape if isinstance(X, Ragged) else X.shape[1:]
            blank = np.broadcast_to(np.zeros((), target.dtype), (len(part), *shape))
            moved[part] = self._target.augmented(centre, blank, target[part], None)[1]
        return moved
