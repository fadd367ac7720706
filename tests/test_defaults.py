"""No layers given: the network, and the training that comes with it."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_moons
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ShuffleSplit, cross_val_score

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import RandomBrightness
from sklearn_convnet.estimators import defaults
from sklearn_convnet.estimators.defaults import (
    WARM_UP,
    default_batch_size,
    default_layers,
    default_n_epochs,
    default_optimizer,
)
from sklearn_convnet.inspection import activations
from sklearn_convnet.layers import (
    Conv1D,
    Conv2D,
    Conv3D,
    Dense,
    Dropout,
    MaxPool1D,
    Sequential,
    Standardize,
)
from sklearn_convnet.optimizers import Adam, AdamW
from sklearn_convnet.schedules import CosineDecay, LinearWarmup

LIMIT = "ignore:Stochastic Optimizer"
every_estimator = pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])


def samples(*shape, n=12):
    """Noise around a level that tells the class."""
    y = np.arange(n) % 2
    X = np.random.RandomState(0).normal(size=(n, *shape)) + 3 * y.reshape(n, *[1] * len(shape))
    return X.astype(np.float32), y


def rates(n_epochs, n_batches=1, rises=False):
    """The learning rates of the last step of each epoch, of a training of so many."""
    n = n_epochs * n_batches
    schedule = CosineDecay(2e-3, period=n_epochs)
    if rises:
        schedule = LinearWarmup(schedule, length=max(1, n // 10))
    return schedule.simulate(n, steps_per_epoch=n_batches)[n_batches - 1 :: n_batches].tolist()


# ---------------------------------------------------------------------------
# Networks
# ---------------------------------------------------------------------------

SHAPES = [
    (1,), (9,), (1, 1), (2, 2), (3, 2), (5, 4), (9, 7), (28, 28), (1, 1, 1), (1, 9, 3), (2, 2, 3),
    (1, 1, 1, 1), (5, 4, 3, 2), (4, 8, 8),
]  # fmt: skip


@every_estimator
@pytest.mark.filterwarnings(LIMIT, "ignore:X has samples of shape")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n", [1, 6])
def test_samples_of_every_shape(estimator, shape, n):
    X, y = samples(*shape, n=n)
    model = estimator(max_iter=1, random_state=0).fit(X, y)
    assert model.predict(X).shape == (n,)


@every_estimator
@pytest.mark.filterwarnings(LIMIT)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 100])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
@pytest.mark.parametrize("n", [1, 6])
def test_signals_of_every_length(estimator, length, channels, n):
    X, y = samples(length, *channels, n=n)
    model = estimator(input_kind="signal", max_iter=1, random_state=0).fit(X, y)
    assert model.predict(X).shape == (n,)


@every_estimator
@pytest.mark.filterwarnings(LIMIT)
@pytest.mark.parametrize("lengths", [(1, 40), (3, 4), (60, 90)])
def test_signals_of_unequal_lengths(estimator, lengths):
    X = [samples(lengths[i % 2], 2, n=1)[0][0] for i in range(6)]
    model = estimator(input_kind="signal", max_iter=1, random_state=0).fit(X, np.arange(6) % 2)
    assert model.predict(X).shape == (6,)


@pytest.mark.parametrize(
    ("shape", "kind", "conv", "outputs"),
    [
        ((9,), None, None, (128,)), ((9,), "table", None, (128,)), ((100,), "flat", None, (128,)),
        ((100, 1), None, Conv1D, (128,)), ((100, 6), None, Conv1D, (128,)),
        ((100,), "signal", Conv1D, (128,)),
        ((9, 9), None, Conv2D, (128,)), ((9, 9, 3), None, Conv2D, (128,)),
        ((9, 9, 9, 1), None, Conv3D, (128,)),
    ],
)  # fmt: skip
def test_networks_of_kinds(shape, kind, conv, outputs):
    layers = default_layers(shape, kind)
    assert isinstance(layers[0], Standardize)
    assert layers[0].per == ("value" if conv is None else "channel")
    inside = {type(value) for value in Sequential(layers).get_params().values()}
    assert inside & {Conv1D, Conv2D, Conv3D} == ({conv} if conv else set())
    with_channel = shape if conv is None or len(shape) > 1 + (conv is not Conv1D) else (*shape, 1)
    assert Sequential(layers).output_shape(with_channel) == outputs


@pytest.mark.parametrize("length", [1, 3, 4, 24, 63, 64, 127, 128, 500, 2000])
def test_dilations_of_long_signals_take_the_place_of_pools(length, monkeypatch):
    layers = default_layers((length, 1), "signal")
    convs = [layer for layer in layers if isinstance(layer, Conv1D)]
    pools = [layer for layer in layers if isinstance(layer, MaxPool1D)]
    monkeypatch.setattr(defaults, "MOST_POOLS", np.inf)
    of_pools = default_layers((length, 1), "signal")
    before = [layer for layer in of_pools if isinstance(layer, Conv1D)]
    assert [conv.filters for conv in convs] == [conv.filters for conv in before]
    n_halvings = sum(isinstance(layer, MaxPool1D) for layer in of_pools)
    assert len(pools) == min(4, n_halvings)
    dilations = [2 ** max(0, i - 4) for i in range(len(convs))]
    assert [conv.dilation for conv in convs] == dilations
    if length < 64:
        assert repr(layers) == repr(of_pools)
    else:
        end = Sequential(layers).output_shape((length, 1))
        assert end == Sequential(of_pools).output_shape((length, 1))


def pulses(n, seed):
    """Waves whose class is the shape of a period, of any length and phase, which drift in noise."""
    rng, fixed, length = np.random.RandomState(seed), np.random.RandomState(0), 480
    y, multiples = np.arange(n) % 10, np.arange(1, 7)
    heights = fixed.uniform(0.2, 1, size=(10, 6)) / multiples
    phases = fixed.uniform(0, 2 * np.pi, size=(10, 6))
    drifts = rng.normal(scale=0.04, size=(n, length)).cumsum(axis=1)
    X = drifts - drifts.mean(axis=1, keepdims=True) + rng.normal(scale=0.3, size=(n, length))
    for x, label in zip(X, y, strict=True):
        slow = 1 + 0.15 * np.sin(2 * np.pi * (rng.uniform() + np.arange(length) / 150))
        angles = 2 * np.pi * (rng.uniform() + (slow / rng.uniform(50, 80)).cumsum())
        x += (heights[label] * np.sin(np.outer(angles, multiples) + phases[label])).sum(axis=1)
    return X[..., np.newaxis].astype(np.float32), y


def test_dilations_learn_more_than_pools_from_long_signals(monkeypatch):
    X, y = pulses(60, seed=1)
    X_new, y_new = pulses(200, seed=2)
    scores = []
    for most_pools in (defaults.MOST_POOLS, np.inf):
        monkeypatch.setattr(defaults, "MOST_POOLS", most_pools)
        clf = ConvNetClassifier(input_kind="signal", random_state=0).fit(X, y)
        scores.append(clf.score(X_new, y_new))
    assert scores[0] > 0.9 > scores[1]


@pytest.mark.parametrize("shape", [(500, 500, 1), (100, 100, 100, 1)])
def test_pools_of_large_images_and_volumes_go_on(shape):
    layers = default_layers(shape)
    assert all(getattr(layer, "dilation", 1) == 1 for layer in layers)
    ends = layers.index(next(layer for layer in layers if isinstance(layer, Dropout)))
    assert max(Sequential(layers[:ends]).output_shape(shape)[:-1]) < 4


def test_flat_samples_are_rows_of_a_table():
    X, y = samples(9)
    flat, table = (
        ConvNetClassifier(input_kind=kind, random_state=0).fit(X, y) for kind in ("auto", "table")
    )
    assert [type(layer) for _, layer in flat.layers_] == [Standardize, Dense, Dense]
    assert_array_equal(flat.predict_proba(X), table.predict_proba(X))


@pytest.mark.filterwarnings(LIMIT)
def test_no_dropout_among_the_units_that_tell_places():
    X, y = samples(8, 8, n=40)
    corners = np.random.RandomState(0).uniform(size=(40, 8))
    options = dict(input_kind="image", max_iter=1, random_state=0)
    boxes = ConvNetClassifier(warm_start=True, **options).fit(X, y, boxes=corners)
    in_y = ConvNetClassifier(box_weight=1, **options).fit(X, np.column_stack([y, corners]))
    points = ConvNetRegressor(target="points", **options).fit(X, corners)
    labels, numbers = ConvNetClassifier(**options).fit(X, y), ConvNetRegressor(**options).fit(X, y)
    # The network is compiled anew where it goes on with another augmentation.
    boxes.set_params(augmentation=RandomBrightness()).fit(X, y, boxes=corners)
    for model, n_dropouts in [(boxes, 1), (in_y, 1), (points, 1), (labels, 2), (numbers, 2)]:
        kinds = [type(layer) for _, layer in model.layers_]
        assert kinds.count(Dropout) == n_dropouts
        assert kinds[kinds.index(Dense) - 1] is Dropout


@pytest.mark.filterwarnings(LIMIT)
@pytest.mark.parametrize("shape", [(9,), (40, 2), (9, 9, 1), (5, 6, 7, 1)])
def test_threads_change_no_bit(shape):
    X, y = samples(*shape, n=70)
    one, three = (
        ConvNetClassifier(max_iter=3, n_threads=n, random_state=0).fit(X, y) for n in (1, 3)
    )
    assert_array_equal(one.network_.params, three.network_.params)
    assert_array_equal(one.predict_proba(X), three.predict_proba(X))


# ---------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_samples", "batch_size", "n_epochs"),
    [
        (1, 1, 200), (16, 16, 200), (17, 16, 150), (96, 16, 50), (320, 16, 20), (1000, 50, 20),
        (2000, 100, 20), (4000, 200, 20), (60_000, 200, 20),
    ],
)  # fmt: skip
def test_length_of_a_training(n_samples, batch_size, n_epochs):
    assert default_batch_size(n_samples, "image") == batch_size
    assert default_n_epochs(n_samples, batch_size, "image") == n_epochs


@pytest.mark.parametrize("kind", ["table", "flat"])
@pytest.mark.parametrize(
    ("n_samples", "batch_size"), [(20, 20), (300, 32), (1000, 100), (2000, 200), (60_000, 200)]
)
def test_steps_of_tables_have_more_samples(kind, n_samples, batch_size):
    assert default_batch_size(n_samples, kind) == batch_size


@pytest.mark.parametrize(
    ("n_samples", "batch_size"), [(20, 20), (300, 32), (1000, 50), (4000, 200), (60_000, 200)]
)
def test_steps_of_volumes_have_not_too_few_samples(n_samples, batch_size):
    assert default_batch_size(n_samples, "volume") == batch_size


@pytest.mark.parametrize("kind", ["table", "flat"])
def test_tables_take_longer(kind):
    assert default_n_epochs(320, 32, kind) == default_n_epochs(2000, 200, kind) == 90
    assert default_n_epochs(96, 32, kind) == 200
    assert default_n_epochs(60_000, 200, kind) == 20


@pytest.mark.parametrize("kind", ["table", "flat"])
@pytest.mark.parametrize(
    ("n_samples", "decay"), [(1, 9.375), (32, 9.375), (100, 3.0), (60_000, 0.005)]
)
def test_weights_of_tables_decay(kind, n_samples, decay):
    optimizer = default_optimizer(20, n_samples, 32, kind)
    assert isinstance(optimizer, AdamW)
    assert optimizer.weight_decay == decay
    assert default_optimizer(20, n_samples, 32, "signal").weight_decay == 0


def mean_score(estimator, X, y):
    model = estimator(input_kind="table", n_threads=1, random_state=0)
    return cross_val_score(model, X, y, cv=ShuffleSplit(4, random_state=0)).mean()


def test_curved_borders_in_tables_are_learnt(monkeypatch):
    moons = make_moons(300, noise=0.2, random_state=0)
    score = mean_score(ConvNetClassifier, *moons)
    monkeypatch.setattr(defaults, "MANY_STEPS", defaults.N_STEPS)
    assert score > mean_score(ConvNetClassifier, *moons) + 0.02


def test_noise_of_small_tables_is_not_learnt(monkeypatch):
    X, y = (array[:150] for array in load_diabetes(return_X_y=True))
    score = mean_score(ConvNetRegressor, X, y)
    monkeypatch.setattr(defaults, "DECAY", 0)
    assert score > mean_score(ConvNetRegressor, X, y) + 0.02


@pytest.mark.parametrize(
    ("length", "n_epochs"), [(0, 30), (240, 30), (480, 60), (1000, 125), (1200, 150), (9000, 150)]
)
def test_long_signals_take_longer(length, n_epochs):
    assert default_n_epochs(160, 16, "signal", length=length) == n_epochs
    assert default_n_epochs(160, 16, "image", length=length) == 30
    assert default_n_epochs(160, 16, "signal", True, length) == max(90, n_epochs)
    assert default_n_epochs(32, 16, "signal", length=length) == min(200, 5 * n_epochs)


@every_estimator
@pytest.mark.filterwarnings(LIMIT)
@pytest.mark.parametrize("form", ["flat", "channels_last", "channels_first", "unequal"])
def test_the_longest_signal_tells_how_long_training_is(estimator, form):
    for length, n_epochs in [(240, 20), (960, 60)]:
        X, y = samples(length, 2, n=4)
        X = {
            "flat": X[..., 0],
            "channels_last": X,
            "channels_first": X.transpose(0, 2, 1),
            "unequal": [X[0], *X[1:, :200]],
        }[form]
        options = {"data_format": form} if form.startswith("channels") else {}
        model = estimator(input_kind="signal", max_iter=1, random_state=0, **options).fit(X, y)
        assert model._planned_epochs(600) == n_epochs


def test_places_take_longer():
    X, y = samples(8, 8, n=150)
    corners = np.random.RandomState(0).uniform(size=(150, 8))
    options = dict(input_kind="image", n_threads=1, random_state=0)
    boxes = ConvNetClassifier(box_weight=1, **options).fit(X, np.column_stack([y, corners]))
    points = ConvNetRegressor(target="points", **options).fit(X, corners)
    numbers = ConvNetRegressor(**options).fit(X, corners)
    assert boxes.n_iter_ == points.n_iter_ == default_n_epochs(150, 32, tells_places=True) == 180
    assert numbers.n_iter_ == default_n_epochs(150, 16) == 30
    assert default_n_epochs(2048, 64, tells_places=True) == 29


@pytest.mark.parametrize(
    ("n_samples", "batch_size"), [(20, 20), (600, 32), (1000, 50), (1280, 64), (60_000, 64)]
)
def test_steps_that_learn_places_have_fewer_samples(n_samples, batch_size):
    assert default_batch_size(n_samples, "image", tells_places=True) == batch_size
    X, y = np.zeros((n_samples, 1), np.float32), np.zeros(n_samples)
    model = ConvNetRegressor(target="points", input_kind="table", max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, np.column_stack([y, y]))
    assert model._batch_size_for(n_samples) == batch_size


@every_estimator
@pytest.mark.parametrize(
    ("kind", "shape"), [("table", (3,)), ("signal", (5, 1)), ("image", (4, 4))]
)
def test_the_rate_falls_to_zero_and_training_ends(estimator, kind, shape):
    X, y = samples(*shape, n=700)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = estimator(input_kind=kind, random_state=0).fit(X, y)
    rises = kind != "table"
    n_epochs = 20 if rises else 90
    batch_size, n_batches = (35, 20) if rises else (70, 10)
    assert model.n_iter_ == default_n_epochs(700, batch_size, kind) == n_epochs
    assert model.history_["learning_rate"] == rates(n_epochs, n_batches, rises=rises)
    assert np.argmax(model.history_["learning_rate"]) == (1 if rises else 0)


def test_fewer_epochs_are_a_shorter_way_to_zero():
    X, y = samples(3)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(4\) reached"):
        model = ConvNetClassifier(max_iter=4, random_state=0).fit(X, y)
    assert model.history_["learning_rate"] == rates(4)


def test_the_length_goes_by_the_samples_that_are_trained_on():
    X, y = samples(3, n=400)
    options = dict(tol=0, n_iter_no_change=np.inf, random_state=0)
    held_out = ConvNetClassifier(early_stopping=True, validation_fraction=0.5, **options)
    assert held_out.fit(X, y).n_iter_ == default_n_epochs(200, 32, "flat") == 129
    left_out = ConvNetClassifier(**options).fit(X, y, sample_weight=np.arange(400) < 200)
    assert left_out.n_iter_ == 129
    batches = ConvNetClassifier(batch_size=10, **options).fit(X, y)
    assert batches.n_iter_ == default_n_epochs(400, 10, "flat") == 23


def test_patience_counts_with_early_stopping_alone():
    X, y = samples(3, n=400)
    options = dict(tol=1e9, n_iter_no_change=3, random_state=0)
    assert ConvNetClassifier(**options).fit(X, y).n_iter_ == default_n_epochs(400, 40, "flat")
    assert ConvNetClassifier(early_stopping=True, **options).fit(X, y).n_iter_ == 4


@every_estimator
@pytest.mark.filterwarnings(LIMIT)
def test_who_gives_layers_has_the_training_of_mlp(estimator):
    X, y = samples(3, n=250)
    given = estimator([Dense(4)], max_iter=3, random_state=0)
    plain = clone(given).set_params(optimizer=Adam(), batch_size=200)
    assert_array_equal(given.fit(X, y).network_.params, plain.fit(X, y).network_.params)
    assert given.history_["learning_rate"] == [1e-3] * 3


@pytest.mark.filterwarnings(LIMIT)
def test_who_gives_an_optimizer_has_no_plan():
    X, y = samples(3, n=3000)
    for optimizer in ("adam", Adam()):
        clf = ConvNetClassifier(optimizer=optimizer, max_iter=25, tol=0, n_iter_no_change=np.inf)
        assert clf.fit(X, y).history_["learning_rate"] == [1e-3] * 25
    clf = ConvNetClassifier().set_params(optimizer__learning_rate=0.5)
    assert repr(clf.optimizer) == "Adam(learning_rate=0.5)"


@every_estimator
def test_single_passes_have_no_plan(estimator):
    X, y = samples(3)
    classes = {"classes": [0, 1]} if estimator is ConvNetClassifier else {}
    model = estimator(random_state=0)
    for _ in range(3):
        model.partial_fit(X, y, **classes)
    assert model.history_["learning_rate"] == [1e-3] * 3


@pytest.mark.filterwarnings(LIMIT)
def test_a_warm_start_begins_a_plan_of_its_own():
    X, y = samples(3)
    clf = ConvNetClassifier(max_iter=3, warm_start=True, random_state=0).fit(X, y)
    clf.set_params(max_iter=5).fit(X, y)
    assert clf.history_["learning_rate"] == rates(3) + rates(5)


def crossings(n, seed):
    """Volumes of 6 x 20 x 20 in which a square of noise goes to the left or to the right."""
    rng = np.random.RandomState(seed)
    X, y = np.zeros((n, 6, 20, 20, 1), np.float32), rng.randint(2, size=n)
    for frames, label in zip(X, y, strict=True):
        square, (down, right) = rng.uniform(size=(10, 10, 1)), rng.randint(20, size=2)
        for t, frame in enumerate(frames):
            frame[:10, :10] = square
            frame[...] = np.roll(frame, (down, right + t * (2 * label - 1)), axis=(0, 1))
    return X + rng.normal(scale=0.1, size=X.shape).astype(np.float32), y


def test_the_first_steps_silence_fewer_units_of_many_inputs(monkeypatch):
    X, y = crossings(200, seed=0)
    alive = []
    for share in (0, WARM_UP):
        monkeypatch.setattr(defaults, "WARM_UP", share)
        clf = ConvNetClassifier(input_kind="volume", random_state=0).fit(X, y)
        outputs = activations(clf, X, "dense1")["dense1"]
        alive.append(np.mean((outputs > 0).any(axis=0)))
    assert alive[1] > 2 * alive[0]


@pytest.mark.filterwarnings(LIMIT)
def test_shards_of_few_samples():
    X, y = samples(3, n=100)
    clf = ConvNetClassifier(n_shards=40, max_iter=1, random_state=0).fit(X, y)
    assert clf.n_iter_ == 1
