"""Batches in shards: gradients are added shard by shard."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import Compose, CutMix, MixUp, RandomAffine
from sklearn_convnet.batches import Samples, ends_of_batches, ends_of_shards
from sklearn_convnet.callbacks import Checkpoint
from sklearn_convnet.inspection import LearningRateRangeDisplay
from sklearn_convnet.interchange import load_model, save_model
from sklearn_convnet.layers import (
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool,
    Standardize,
)
from sklearn_convnet.losses import CrossEntropy, FunctionLoss, SquaredError
from sklearn_convnet.moments import RunningMoments
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.norm import StandardizeNode
from sklearn_convnet.optimizers import SGD, Adam
from sklearn_convnet.scores import RunningAccuracy, RunningR2
from sklearn_convnet.shards import ShardedTrainer, merged_moments
from sklearn_convnet.training import StepSums


@parametrize_with_checks(
    [
        kind([Standardize("value"), Dense(20)], n_shards=2, max_iter=60, optimizer=Adam(0.01))
        for kind in (ConvNetClassifier, ConvNetRegressor)
    ]
)
def test_check(estimator, check):
    check(estimator)


def maps(n=60, seed=0):
    rng = np.random.RandomState(seed)
    return rng.normal(size=(n, 7, 6, 2)), np.arange(n) % 3


def small(layers=None, kind=ConvNetClassifier, **params):
    layers = [Standardize(), Conv2D(4, 3), Dense(5)] if layers is None else layers
    params = {"batch_size": 20, "n_shards": 3, "max_iter": 2, "random_state": 0, **params}
    return kind(layers, **params)


def weights(estimator):
    return np.concatenate([a.ravel() for a in estimator.get_weights().values()])


# ---------------------------------------------------------------------------
# Which samples are in which shard
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_shards", [2, 3, 5])
def test_parts_of_batches(n_shards):
    for n, batch_size, smallest in [(10, 5, 1), (11, 10, 2), (97, 20, 1), (97, 13, 2), (30, 30, 6)]:
        ends = ends_of_batches(n, batch_size, smallest, n_shards)
        lengths = [stop - start for start, stop in ends_of_shards(n, n_shards)]
        assert_array_equal(ends[:, 0], np.zeros(n_shards))
        assert_array_equal(ends[:, -1], lengths)
        sizes = np.diff(ends)
        assert sizes.min() >= smallest
        assert np.ptp(sizes, axis=1).max() <= 1
        if len(sizes[0]) < n // n_shards // smallest:
            assert sizes.sum(axis=0).max() <= batch_size
            assert np.ptp(sizes.sum(axis=0)) <= max(2, n_shards // 2)


def trainer_of(n_shards, layers, X, loss, **params):
    network = compile_network(layers, X.shape[1:], dtype=X.dtype, random_state=0)
    params = {"batch_size": len(X), "shuffle": False, **params}
    return ShardedTrainer(
        n_shards,
        network,
        loss,
        SGD(1.0, momentum=0.0),
        random_state=np.random.RandomState(0),
        n_threads=1,
        **params,
    )


def test_shards_are_next_to_each_other_and_shuffled_within():
    X = np.arange(50.0).reshape(50, 1)
    rows = np.arange(3, 50)  # the first three do not count
    samples = Samples(X, X[rows], np.ones(47), rows)
    trainer = trainer_of(3, [Dense(1)], X, SquaredError(), batch_size=12, shuffle=True)
    orders = []
    for _ in range(2):
        passes = trainer.passes(samples, trainer.epoch_seeds()[0])
        taken = [[p.batch(i, X.__getitem__).X.ravel() for i in range(len(p))] for p in passes]
        for some, (start, stop) in zip(taken, ends_of_shards(47, 3), strict=True):
            assert_array_equal(np.sort(np.concatenate(some)), rows[start:stop])
        assert {sum(map(len, batch)) for batch in zip(*taken, strict=True)} <= {11, 12}
        orders.append(np.concatenate([np.concatenate(some) for some in taken]))
    assert not np.array_equal(*orders)
    positions = [np.argsort(orders[0][:15]), np.argsort(orders[0][15:30])]
    assert not np.array_equal(*positions)  # each has an order of its own


# ---------------------------------------------------------------------------
# A step
# ---------------------------------------------------------------------------


def step_by_hand(network, X, y, weight, loss, n_shards):
    """Gradient and running statistics of a step, by forward and backward alone."""
    n, before = len(X), network.snapshot()
    gradient, buffers, total = 0, {}, 0.0
    for s in range(n_shards):
        rows = slice(n * s // n_shards, n * (s + 1) // n_shards)
        network.restore(before)
        network.part = s
        Z = network.forward(X[rows], training=True, sample_weight=weight[rows])
        dZ = np.empty_like(Z)
        total += loss.value_and_gradient(Z, y[rows], weight[rows] / n, dZ, network.kernels, 1)
        network.backward(dZ)
        gradient = gradient + network.grads
        for path, value in network.buffers().items():
            buffers[path] = buffers.get(path, 0) + weight[rows].sum() * value / weight.sum()
    network.restore(before)
    network.part = 0
    return total, gradient, buffers


@pytest.mark.parametrize("n_shards", [2, 3])
def test_a_step_is_the_sum_over_shards(n_shards):
    """With dropout and the batch norm of each shard, weights, and shards of unequal size."""
    X, y = maps(31)
    weight = np.random.RandomState(1).uniform(0.5, 2, 31)
    layers = [Conv2D(4, 3), BatchNorm(), Dropout(0.4), Dense(3, activation=None)]
    trainer = trainer_of(n_shards, layers, X, CrossEntropy())
    network = trainer.network
    loss, gradient, buffers = step_by_hand(network, X, y, weight, trainer.loss, n_shards)
    before = network.params.copy()
    mean = trainer.run_epoch(Samples(X, y, weight), RunningAccuracy(lambda Z, y: y == y))
    assert_allclose(mean, loss, rtol=1e-12)
    assert_allclose(before - network.params, gradient, rtol=1e-10, atol=1e-13)
    for path, value in network.buffers().items():
        assert_allclose(value, buffers[path], rtol=1e-12, atol=1e-15)
    one = trainer_of(1, layers, X, CrossEntropy())
    one.run_epoch(Samples(X, y, weight), RunningAccuracy(lambda Z, y: y == y))
    assert not np.allclose(one.network.params, network.params)  # batch norm saw other batches


def test_a_step_of_a_network_that_computed_no_shard():
    """Others may have: a worker that takes the place of one that is gone."""
    X, _ = maps(6)
    network = trainer_of(2, [Dense(3, activation=None)], X, CrossEntropy()).network
    assert network.grads is None
    sums = StepSums(network)
    sums.add(0.5, np.arange(float(len(network.params))), network.buffers(), 6.0)
    sums.put(network)
    assert_array_equal(network.grads, np.arange(len(network.params)))


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        (ConvNetClassifier, None),
        (ConvNetRegressor, None),
        (ConvNetRegressor, [Conv2D(3, 3, padding="same")]),
    ],
    ids=["labels", "values", "maps"],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_without_batch_norm_shards_change_nothing_but_rounding(kind, layers, weighted):
    X, y = maps()
    params = {"batch_size": 60, "max_iter": 3, "optimizer": SGD(0.05)}
    if layers is not None:
        y, params["target"] = X[..., 0] + X[..., 1], "maps"
    weight = np.random.RandomState(2).uniform(0.1, 2, 60 if layers is None else y.shape)
    beside = {"sample_weight": weight} if weighted else {}
    beside.update({f"{name}_val": value for name, value in beside.items()})
    fits = [
        small(layers, kind, n_shards=n, **params).fit(X, y, X_val=X, y_val=y, **beside)
        for n in (1, 2, 7)
    ]
    for other in fits[1:]:
        assert_allclose(weights(other), weights(fits[0]), rtol=1e-9, atol=1e-12)
        for name, curve in fits[0].history_.items():
            assert_allclose(other.history_[name], curve, rtol=1e-11, atol=1e-14, err_msg=name)


def test_samples_that_differ_in_size():
    rng = np.random.RandomState(0)
    X = [rng.normal(size=(length, 1)) for length in rng.randint(5, 9, 40)]
    y = np.arange(40) % 2
    layers = [Conv1D(3, 3), GlobalAvgPool()]
    params = {"batch_size": 40, "max_iter": 3, "optimizer": SGD(0.1)}
    one, many = (small(layers, n_shards=n, **params).fit(X, y) for n in (1, 3))
    assert_allclose(weights(many), weights(one), rtol=1e-9, atol=1e-12)
    params["batch_size"] = 9
    layers = [Conv1D(3, 3), BatchNorm(), Dropout(0.2), GlobalAvgPool()]
    fits = [small(layers, n_threads=n, **params).fit(X, y) for n in (1, 2)]
    assert_array_equal(*map(weights, fits))


def test_parts_have_masks_and_draws_of_their_own(monkeypatch):
    """Part j of shard s has the number 3 j + s, whatever the other shards have."""
    rng = np.random.RandomState(0)
    sizes = [5] * 10 + [5, 6] * 5 + [5, 6, 7, 8, 9] * 2
    X = [rng.normal(size=(length, 1)) for length in sizes]
    seen, run_part = [], ShardedTrainer._run_part

    def spy(self, part):
        seen.append(self.network.part)
        return run_part(self, part)

    monkeypatch.setattr(ShardedTrainer, "_run_part", spy)
    small([Conv1D(2, 3), GlobalAvgPool()], batch_size=30, max_iter=1).fit(X, np.arange(30) % 2)
    assert seen == [0, 1, 4, 2, 5, 8, 11, 14]


def test_an_interrupted_step_leaves_the_number_of_its_part_behind():
    def interrupts(y, Z):
        raise KeyboardInterrupt

    X, y = maps()
    trainer = trainer_of(3, [Dense(3, activation=None)], X, FunctionLoss(interrupts))
    one = trainer.passes(Samples(X, y, np.ones(60)), None)[2]
    with pytest.raises(KeyboardInterrupt):
        trainer.result(one, 0, None, X.__getitem__, None)
    assert trainer.network.part == 0


def test_the_draws_of_a_shard_do_not_depend_on_the_others():
    X = np.ones((12, 4))
    draws = []

    def augment(X, target, pixel_weight, random_state):
        draws.append(random_state.randint(2**31 - 1))
        return X, target, pixel_weight

    samples = Samples(X, X[:, :1], np.ones(12))
    trainer = trainer_of(3, [Dense(1)], X, SquaredError(), batch_size=6, augment=augment)
    trainer.run_epoch(samples, RunningR2())
    assert len(set(draws)) == len(draws) == 6  # two batches of three shards
    whole = draws.copy()
    passes = trainer.passes(samples, None)
    seed = np.random.RandomState(0).randint(2**31 - 1)  # the first number of the trainer's
    for one in reversed(passes):
        for i in (1, 0):
            trainer.parts_of(one, i, seed, X.__getitem__)
    assert draws[6:] == [whole[i] for i in (5, 2, 4, 1, 3, 0)]


# ---------------------------------------------------------------------------
# Fits
# ---------------------------------------------------------------------------

FITS = {
    "batch norm": dict(layers=[Conv2D(4, 3), BatchNorm(), Dropout(0.3), Dense(6)]),
    "augmentation": dict(augmentation=Compose([RandomAffine(rotation=(-10, 10)), MixUp()])),
    "pasted": dict(augmentation=CutMix(), average_weights=0.9),
    "held out": dict(early_stopping=True, class_weight={0: 2.0}),
}


@pytest.mark.parametrize("params", FITS.values(), ids=FITS.keys())
def test_bits_do_not_depend_on_threads(params):
    X, y = maps()
    fits = [small(n_threads=n, **params).fit(X, y) for n in (1, 2, 1)]
    for other in fits[1:]:
        assert_array_equal(weights(other), weights(fits[0]))
        assert other.history_ == fits[0].history_
    other = small(**{**params, "n_shards": 4}).fit(X, y)
    assert not np.array_equal(weights(other), weights(fits[0]))


def test_training_goes_on_with_other_shards():
    X, y = maps()
    clf = small(warm_start=True).fit(X, y)
    twin = copy.deepcopy(clf)
    for model, n_shards in ((clf, 1), (twin, 5)):
        model.set_params(n_shards=n_shards).fit(X, y).partial_fit(X, y)
        assert len(model.loss_curve_) == 5
    assert_allclose(clf.loss_curve_, twin.loss_curve_, rtol=0.1)


def test_a_shard_is_what_takes_memory():
    X, y = maps()
    one, many = (small(batch_size=60, n_shards=n).fit(X, y) for n in (1, 6))
    assert "training of 60 samples" in str(one.summary())
    assert "training of 10 samples" in str(many.summary())
    assert many.network_.peak_memory()["training"][0] == 10


def test_a_model_file_keeps_the_number(tmp_path):
    X, y = maps()
    clf = small().fit(X, y)
    save_model(clf, tmp_path / "model")
    other = load_model(tmp_path / "model")
    assert other.n_shards == 3
    assert_array_equal(weights(other.partial_fit(X, y)), weights(clf.partial_fit(X, y)))


def test_a_checkpoint_knows_the_number(tmp_path):
    pytest.importorskip("sklearn.callback")
    X, y = maps()
    clf = small().set_callbacks(Checkpoint(tmp_path / "fit")).fit(X, y)
    with pytest.raises(ValueError, match="another n_shards"):
        small(n_shards=2).set_callbacks(Checkpoint(tmp_path / "fit")).fit(X, y)
    again = small().set_callbacks(Checkpoint(tmp_path / "fit")).fit(X, y)
    assert_array_equal(weights(again), weights(clf))


def test_a_range_of_learning_rates():
    X, y = maps()
    given = dict(n_steps=8, min_rate=1e-4, max_rate=1e-1)
    one, many = (
        LearningRateRangeDisplay.from_estimator(small(n_shards=n, batch_size=60), X, y, **given)
        for n in (1, 4)
    )
    assert_allclose(one.losses, many.losses, rtol=1e-9)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (dict(n_shards=21), "n_shards=21 cuts a batch of 20 samples .* needs 1 or more"),
        (dict(n_shards=61, batch_size="auto"), "n_shards=61 .* n_samples=60: use 61 samples"),
        (
            dict(n_shards=11, layers=[GlobalAvgPool(), BatchNorm()]),
            "n_shards=11 .* needs 2 or more.*use 22 samples",
        ),
        (dict(n_shards=0), "'n_shards' parameter .* must be an int in the range"),
    ],
)
def test_bad_numbers(params, message):
    X, y = maps()
    clf = small(**params)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    assert not hasattr(clf, "network_")


# ---------------------------------------------------------------------------
# Statistics and scores in parts
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_moments_in_parts(offset):
    rng = np.random.RandomState(0)
    values, weight = rng.normal(size=(50, 3)) + offset, rng.uniform(size=50)
    values[:20, 0] = np.nan
    values[:, 1] = offset + 0.1  # constant
    whole = RunningMoments()
    whole.add(values, weight)
    parts = []
    for start, stop in [(0, 0), (0, 9), (9, 30), (30, 50)]:
        parts.append(RunningMoments())
        if stop:
            parts[-1].add(values[start:stop], weight[start:stop])
    merged = merged_moments(parts)
    for name in ("weight", "mean", "variance"):
        assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-9)
    assert merged.spread[1] == 0


def test_statistics_of_layers(monkeypatch):
    X, y = maps()
    X = X * [2, 3] + 7
    one, many = (small(n_shards=n, max_iter=1).fit(X, y) for n in (1, 3))
    names = ["standardize1/mean", "standardize1/deviation"]
    a, b = ([model.get_weights()[name] for name in names] for model in (one, many))
    assert_allclose(a, b, rtol=1e-12)
    assert_allclose(b[0], X.mean(axis=(0, 1, 2)), rtol=1e-12)
    # A layer of the user's own, which knows of no parts.
    monkeypatch.delattr(StandardizeNode, "moments")
    monkeypatch.setattr(StandardizeNode, "fit_statistics", own_statistics)
    own = small(max_iter=1).fit(X, y)
    assert_allclose([own.get_weights()[name] for name in names], b, rtol=1e-12)


def own_statistics(self, batches):
    rows = np.concatenate([X.reshape(-1, self.n_columns) for X, _ in batches])
    self.state["mean"][:], self.state["deviation"][:] = rows.mean(axis=0), rows.std(axis=0)


@pytest.mark.parametrize(
    "new", [lambda: RunningAccuracy(lambda Z, y: Z[:, 0] > 0), RunningR2], ids=["accuracy", "R2"]
)
def test_scores_in_parts(new):
    rng = np.random.RandomState(0)
    Z, target, weight = rng.normal(size=(40, 2)), rng.normal(size=(40, 2)), rng.uniform(size=40)
    whole, merged = new(), new()
    whole.add(Z, target, weight)
    for start, stop in [(0, 7), (7, 8), (8, 40)]:
        part = merged.fresh()
        part.add(Z[start:stop], target[start:stop], weight[start:stop])
        merged.merge(part)
    merged.merge(merged.fresh())
    assert_allclose(merged.value(), whole.value(), rtol=1e-12)
    assert np.isnan(merged.fresh().value())
