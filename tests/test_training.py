"""Training: validation data, curves and their table, augmentation, and memory."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import pickle
import re

import numpy as np
import pytest
import sklearn
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor, scores
from sklearn_convnet.batches import Samples, batches_of, row_taker, shares_of
from sklearn_convnet.estimators import history
from sklearn_convnet.estimators.history import History
from sklearn_convnet.estimators.targets import ClassTarget, MultilabelTarget
from sklearn_convnet.layers import Conv2D, Dense, Dropout
from sklearn_convnet.losses import SquaredError
from sklearn_convnet.network import compile_network
from sklearn_convnet.optimizers import SGD, Adam
from sklearn_convnet.scores import RunningAccuracy, RunningR2
from sklearn_convnet.training import Trainer


@pytest.fixture
def quick(small_layers):
    """Makes a classifier for digits that fits in a moment."""

    def make(**params):
        fast = dict(optimizer=Adam(0.01), batch_size=50, max_iter=4, random_state=0)
        return ConvNetClassifier(small_layers(), **{**fast, **params})

    return make


@pytest.fixture
def split(digits):
    """Digits to train on and to validate with."""
    X, y = digits
    return X[:200], y[:200], X[200:], y[200:]


@pytest.fixture
def sums(digits):
    """A regressor, images and two numbers for each: its brightness left and right."""
    X, _ = digits
    Y = np.stack([X[:, :, :4].mean(axis=(1, 2)), X[:, :, 4:].mean(axis=(1, 2))], axis=1)
    reg = ConvNetRegressor([Dense(8)], optimizer=Adam(0.01), max_iter=4, random_state=0)
    return reg, X, Y


def same_weights(a, b):
    a, b = a.get_weights(), b.get_weights()
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


# ---------------------------------------------------------------------------
# Validation data
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_validation_data_are_only_watched(split, quick):
    X, y, X_val, y_val = split
    clf = quick().fit(X, y, X_val=X_val, y_val=y_val)
    assert same_weights(clf, quick().fit(X, y))
    assert list(clf.history_) == [
        "loss",
        "score",
        "validation_loss",
        "validation_score",
        "learning_rate",
    ]
    assert {len(curve) for curve in clf.history_.values()} == {4}
    assert clf.validation_scores_ == clf.history_["validation_score"]
    assert clf.validation_scores_[-1] == clf.score(X_val, y_val)
    assert clf.best_validation_score_ == max(clf.validation_scores_)
    assert clf.best_loss_ == min(clf.loss_curve_)
    expected = log_loss(y_val, clf.predict_proba(X_val), labels=clf.classes_)
    np.testing.assert_allclose(clf.history_["validation_loss"][-1], expected, rtol=1e-12)


def test_validation_data_of_a_regressor(sums):
    reg, X, Y = sums
    reg.fit(X[:200], Y[:200], X_val=X[200:], y_val=Y[200:])
    Z = reg.predict(X[200:])
    np.testing.assert_allclose(reg.validation_scores_[-1], r2_score(Y[200:], Z), rtol=1e-10)
    expected = np.mean((Z - Y[200:]) ** 2 / Y[:200].var(axis=0)) / 2
    np.testing.assert_allclose(reg.history_["validation_loss"][-1], expected, rtol=1e-12)


def test_weights_of_validation_samples(split, quick):
    X, y, X_val, y_val = split
    weight = np.arange(100) % 3.0
    given = dict(X_val=X_val, y_val=y_val, sample_weight_val=weight)
    clf = quick(class_weight={0: 5.0, 1: 0.0}).fit(X, y, **given)
    expected = clf.score(X_val, y_val, sample_weight=weight)
    np.testing.assert_allclose(clf.validation_scores_[-1], expected, rtol=1e-12)
    P = clf.predict_proba(X_val)
    expected = log_loss(y_val, P, labels=clf.classes_, sample_weight=weight)
    np.testing.assert_allclose(clf.history_["validation_loss"][-1], expected, rtol=1e-12)
    plain = quick(class_weight={0: 5.0, 1: 0.0}).fit(X, y)
    assert same_weights(clf, plain)


def test_validation_data_stop_training_and_choose_the_weights(split, quick):
    X, y, X_val, y_val = split
    clf = quick(early_stopping=True, max_iter=60, n_iter_no_change=3)
    clf.fit(X, y, X_val=X_val, y_val=y_val)
    assert clf.n_iter_ < 60
    assert clf.t_ == clf.n_iter_ * 200  # nothing was held out
    assert clf.score(X_val, y_val) == clf.best_validation_score_
    best = int(np.argmax(clf.validation_scores_)) + 1
    assert best < clf.n_iter_
    assert same_weights(clf, quick(max_iter=best).fit(X, y))
    assert clf.best_loss_ is None


def test_the_split_is_stratified_and_seeded(maps, monkeypatch):
    X, y = maps
    names = np.array(["a", "b", "c"])[y]
    seen = []
    evaluate = Trainer.evaluate

    def watched(self, samples, score):
        seen.append(samples)
        return evaluate(self, samples, score)

    monkeypatch.setattr(Trainer, "evaluate", watched)
    for _ in range(2):
        clf = ConvNetClassifier(
            [], max_iter=1, early_stopping=True, validation_fraction=0.2, random_state=0
        )
        clf.fit(X, names)
    assert np.bincount(seen[0].target).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(seen[0].rows, seen[1].rows)
    np.testing.assert_array_equal(y[seen[0].rows], seen[0].target)


def test_samples_are_never_copied_as_a_whole(maps, monkeypatch):
    X, y = maps
    X = X.view()
    weight = np.arange(60) % 4 > 0
    seen = []
    take = Samples.take
    monkeypatch.setattr(Samples, "take", lambda self, *how: seen.append(self) or take(self, *how))
    clf = ConvNetClassifier([Dense(2)], max_iter=1, early_stopping=True, class_weight={0: 0, 1: 2})
    clf.fit(X, y, sample_weight=weight)
    assert all(np.shares_memory(samples.X, X) for samples in seen)
    assert all(weight[samples.rows].all() for samples in seen)
    assert len(seen[-1]) == 5  # of the 45 that count, for validation
    trained = next(samples for samples in seen if len(samples) > 5)
    assert set(y[trained.rows]) == {1, 2}


WRONG = {
    "no labels": (dict(X_val=True), "X_val is provided, but y_val was not provided"),
    "no samples": (dict(y_val=True), "y_val is provided, but X_val was not provided"),
    "weights alone": (
        dict(sample_weight_val=True),
        "sample_weight_val is provided, but X_val was not provided",
    ),
    "shape": (
        dict(X_val=np.zeros((100, 8, 7)), y_val=True),
        r"X_val: X has samples of shape \(8, 7\).*fitted with samples of shape \(8, 8\)",
    ),
    "not finite": (dict(X_val=np.full((100, 8, 8), np.nan), y_val=True), "X_val: .*NaN"),
    "number": (dict(X_val=True, y_val=[1, 2]), "y_val: X has 100 samples, but y has 2"),
    "labels": (dict(X_val=True, y_val=np.full(100, 77)), "y_val: .*no classes: .77.*classes are"),
    "weights": (
        dict(X_val=True, y_val=True, sample_weight_val=np.zeros(100)),
        "sample_weight_val: .*zero",
    ),
    "negative weights": (
        dict(X_val=True, y_val=True, sample_weight_val=np.full(100, -1.0)),
        "sample_weight_val: .*[Nn]egative",
    ),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_validation_data(split, quick, given, message):
    X, y, X_val, y_val = split
    right = {"X_val": X_val, "y_val": y_val, "sample_weight_val": np.ones(100)}
    given = {name: right[name] if value is True else value for name, value in given.items()}
    clf = quick()
    with pytest.raises(ValueError, match=f"(?s){message}"):
        clf.fit(X, y, **given)
    assert not hasattr(clf, "network_")


@pytest.mark.oldest
@pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])
def test_a_pipeline_transforms_validation_data(split, estimator):
    X, y, X_val, y_val = split
    X, X_val = X.reshape(200, 64), X_val.reshape(100, 64)
    net = estimator([Conv2D(2, 3)], input_shape=(8, 8), max_iter=2, random_state=0)
    scaler = StandardScaler().fit(X)
    weights = dict(sample_weight=np.arange(200) % 2, sample_weight_val=np.arange(100) % 3)
    transformed = {"X_val": scaler.transform(X_val), "y_val": y_val, **weights}
    weighted = StandardScaler().fit(X)
    plain = copy.deepcopy(net).fit(weighted.transform(X), y, **transformed)
    with sklearn.config_context(enable_metadata_routing=True):
        net.set_fit_request(
            X_val=True, y_val=True, sample_weight=True, sample_weight_val=True
        ).set_score_request(sample_weight=True)
        scale = StandardScaler().set_fit_request(sample_weight=False)
        pipe = Pipeline([("scale", scale), ("net", net)], transform_input=["X_val"])
        pipe.fit(X, y, X_val=X_val, y_val=y_val, **weights)
    assert pipe[-1].history_ == plain.history_


def test_validation_data_in_a_search(split, quick):
    X, y, X_val, y_val = split
    search = GridSearchCV(quick(max_iter=2), {"conv1__filters": [2, 3]}, cv=2)
    search.fit(X, y, X_val=X_val, y_val=y_val)  # of another length than X, so not cut
    best = search.best_estimator_
    assert best.validation_scores_[-1] == best.score(X_val, y_val)


# ---------------------------------------------------------------------------
# Curves
# ---------------------------------------------------------------------------


def test_the_training_score_is_that_before_the_step(digits, quick):
    X, y = digits
    clf = quick(batch_size=300, max_iter=3).fit(X, y)
    for epoch in (1, 2):
        before = quick(batch_size=300, max_iter=epoch).fit(X, y)
        assert clf.history_["score"][epoch] == before.score(X, y)


def test_the_training_score_of_a_regressor(sums):
    reg, X, Y = sums
    weight = np.arange(300) % 3
    reg.set_params(batch_size=300).fit(X, Y, sample_weight=weight)
    before = copy.deepcopy(reg).set_params(max_iter=3).fit(X, Y, sample_weight=weight)
    expected = before.score(X, Y, sample_weight=weight)
    np.testing.assert_allclose(reg.history_["score"][3], expected, rtol=1e-6)


@pytest.fixture(params=[1, 60, scores.AT_ONCE], ids="at_once={}".format)
def counted_at_once(request, monkeypatch):
    """Batches are counted one by one, some at a time, or all in the end."""
    monkeypatch.setattr(scores, "AT_ONCE", request.param)


def gathered(score, Z, target, weight, batch_size=7):
    for start, stop in batches_of(len(Z), batch_size):
        score.add(Z[start:stop], target[start:stop], weight[start:stop])
    return score.value()


@pytest.mark.usefixtures("counted_at_once")
def test_running_accuracy():
    rng = np.random.RandomState(0)
    Z, target, weight = rng.normal(size=(50, 3)), rng.randint(3, size=50), rng.uniform(size=50)
    weight[7:14] = 0  # a whole batch
    value = gathered(RunningAccuracy(ClassTarget(np.arange(3)).right), Z, target, weight)
    expected = accuracy_score(target, Z.argmax(axis=1), sample_weight=weight)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    labels = rng.randint(2, size=(50, 3)).astype(float)
    value = gathered(RunningAccuracy(MultilabelTarget(np.arange(3)).right), Z, labels, weight)
    expected = np.average(((Z > 0) == labels).mean(axis=1), weights=weight)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    assert np.isnan(RunningAccuracy(None).value())


@pytest.mark.usefixtures("counted_at_once")
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_running_r2(offset):
    rng = np.random.RandomState(0)
    target, weight = rng.normal(size=(50, 2)) + offset, rng.uniform(size=50)
    Z = target + 0.3 * rng.normal(size=(50, 2))
    weight[7:14] = 0
    value = gathered(RunningR2(), Z, target, weight)
    expected = r2_score(target, Z, sample_weight=weight)
    np.testing.assert_allclose(value, expected, rtol=1e-8)
    one = gathered(RunningR2(), Z[:, :1], target[:, 0], weight)
    expected = r2_score(target[:, 0], Z[:, 0], sample_weight=weight)
    np.testing.assert_allclose(one, expected, rtol=1e-8)
    constant = np.full_like(target, 0.1)
    assert gathered(RunningR2(), constant, constant, weight) == 1
    assert gathered(RunningR2(), Z, constant, weight) == 0
    assert np.isnan(RunningR2().value())


@pytest.mark.parametrize("layout", ["contiguous", "read-only", "with gaps", "Fortran's order"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16"])
@pytest.mark.parametrize("rows", [None, [5, 1, 0, 4, 2]])
def test_batches_of_samples(layout, dtype, rows):
    X = np.arange(6 * 2 * 3, dtype=dtype).reshape(6, 2, 3)
    if layout == "with gaps":
        X = np.repeat(X, 2, axis=1)[:, ::2]
    elif layout == "Fortran's order":
        X = np.asfortranarray(X)
    X.flags.writeable = layout != "read-only"
    rows = np.arange(6) if rows is None else np.array(rows)
    all_samples = Samples(X, rows.astype(float), 0.5 * rows, rows)
    network = compile_network([Dense(1)], X.shape[1:])
    take_rows = row_taker(X, network, n_threads=1)
    taken = take_rows(np.array([1]))
    by_kernel = layout in ("contiguous", "read-only") and dtype in ("float32", "uint8")
    assert taken.dtype == (network.dtype if by_kernel else dtype)
    for which in (slice(1, 4), np.array([3, 0, 3])):
        batch = all_samples.take(which, take_rows)
        np.testing.assert_array_equal(batch.X, X[rows[which]])
        np.testing.assert_array_equal(batch.target, rows[which])
        np.testing.assert_array_equal(batch.weight, 0.5 * rows[which])


def test_curves_of_several_fits_have_one_entry_an_epoch(split, quick):
    X, y, X_val, y_val = split
    clf = quick(warm_start=True, max_iter=2).fit(X, y)
    assert clf.validation_scores_ is None
    clf.fit(X, y, X_val=X_val, y_val=y_val)
    assert np.isnan(clf.history_["validation_score"][:2]).all()
    assert clf.best_validation_score_ == max(clf.validation_scores_[2:])
    clf.partial_fit(X, y)
    assert clf.validation_scores_ is clf.best_validation_score_ is None
    assert {len(curve) for curve in clf.history_.values()} == {5}
    assert clf.n_iter_ == 1
    assert np.isnan(clf.history_["validation_loss"][4])


def test_a_curve_that_others_hold_stays():
    first = History().with_epoch({"loss": 2.0})
    second = first.with_epoch({"loss": 1.0, "score": 0.5})
    other = first.with_epoch({"loss": 3.0})
    third = second.with_epoch({"loss": 0.5})
    assert first.curves == {"loss": [2.0]}
    assert second.curves["loss"] == [2.0, 1.0]
    np.testing.assert_array_equal(second.curves["score"], [np.nan, 0.5])
    assert other.curves == {"loss": [2.0, 3.0]}
    assert third.curves["score"] == [np.nan, 0.5, np.nan]
    assert [len(history) for history in (History(), first, second, other, third)] == [0, 1, 2, 2, 3]


def test_histories_are_as_lists_would_be():
    """Of each of many, drawn from any that were made before, some of them pickled."""
    rng = np.random.RandomState(0)
    made, expected = [History()], [[]]
    for _ in range(300):
        i = rng.randint(max(0, len(made) - 4), len(made))
        row = {"loss": rng.uniform()}
        if rng.uniform() < 0.5:
            made[i] = pickle.loads(pickle.dumps(made[i]))
        made.append(made[i].with_epoch(row))
        expected.append([*expected[i], row["loss"]])
    for one, curve in zip(made, expected, strict=True):
        assert one.curves.get("loss", []) == curve


def test_an_epoch_costs_no_more_than_those_before(monkeypatch):
    """No row is copied twice for each that is written."""
    n_copied = 0

    class Counting(history._Table):
        def __init__(self, names, n_rows):
            nonlocal n_copied
            super().__init__(names, n_rows)
            n_copied += n_rows

    monkeypatch.setattr(history, "_Table", Counting)
    curves = History().with_epoch({"loss": 0.0, "score": 0.0})
    n_copied = 0
    for i in range(10_000):
        curves = curves.with_epoch({"loss": float(i), "score": 0.0})
    assert len(curves) == 10_001
    assert 0 < n_copied <= 4 * len(curves) + 10_000


def test_what_partial_fit_leaves_alone(split, quick):
    """Curves that are held, those of a copy, and those before a call that failed."""
    X, y, _, _ = split
    clf = quick(max_iter=2).fit(X, y)
    held, copied, before = clf.history_, copy.copy(clf), copy.deepcopy(clf.history_)
    clf.partial_fit(X, y)
    assert held == copied.history_ == before
    assert len(clf.loss_curve_) == 3
    after = copy.deepcopy(clf.history_)
    copied.partial_fit(X[:50], y[:50])
    assert clf.history_ == after
    assert copied.loss_curve_[:2] == before["loss"]
    assert copied.loss_curve_[2] != after["loss"][2]


def test_curves_of_what_is_not_fitted(quick):
    clf = quick()
    for name in ("history_", "loss_curve_", "loss_", "best_loss_", "validation_scores_"):
        assert not hasattr(clf, name)
    assert not hasattr(clf, "best_validation_score_")


@pytest.mark.parametrize("verbose", [True, 1, 2])
def test_verbose_prints_a_table(split, quick, capsys, verbose):
    X, y, X_val, y_val = split
    clf = quick(verbose=verbose, max_iter=2).fit(X, y, X_val=X_val, y_val=y_val)
    head, *rows = capsys.readouterr().out.splitlines()
    columns = ["epoch", *(name.replace("_", " ") for name in clf.history_), "seconds"]
    assert re.split(" {2,}", head) == columns
    assert {len(row) for row in rows} == {len(head)}
    for i, row in enumerate(rows):
        cells = row.split()
        assert cells[0] == str(i + 1)
        expected = [f"{curve[i]:.6g}" for curve in clf.history_.values()]
        assert cells[1:-1] == expected
        assert float(cells[-1]) >= 0
    assert len(rows) == 2
    clf.partial_fit(X, y)
    clf.partial_fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["epoch", "3", "epoch", "4"]
    online = quick(verbose=verbose)
    for _ in range(3):
        online.partial_fit(X, y, classes=np.arange(10))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["epoch", "1", "2", "3"]
    quick(verbose=0).fit(X, y)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("shuffle", [False, True])
def test_shares_of_an_epoch_are_those_of_its_batches(shuffle):
    rng = np.random.RandomState(0)
    weight = rng.uniform(0.1, 3, 23).astype(np.float32)
    order = rng.permutation(23) if shuffle else None
    edges = batches_of(23, 5)
    shares = shares_of(weight, order, edges)
    assert len({stop - start for start, stop in edges}) > 1
    for start, stop in edges:
        rows = slice(start, stop) if order is None else order[start:stop]
        batch = Samples(weight, weight[rows], weight[rows])
        assert batch.share.dtype == np.float32
        assert shares[start:stop].tobytes() == batch.share.tobytes()


# ---------------------------------------------------------------------------
# Augmentation, as the trainer knows it
# ---------------------------------------------------------------------------


def run_epochs(augment, X, y, *, shuffle=True, seed=0):
    network = compile_network([Dense(1, activation=None)], X.shape[1:], random_state=0)
    random_state = np.random.RandomState(seed)
    trainer = Trainer(
        network, SquaredError(), SGD(0.001), 4, shuffle, random_state, 1, augment=augment
    )
    samples = Samples(X, y, np.ones(len(X), np.float32))
    for _ in range(2):
        trainer.run_epoch(samples, RunningR2())
    return network.params.copy(), trainer, samples


@pytest.mark.parametrize("shuffle", [False, True])
def test_training_batches_are_augmented(shuffle):
    X = np.arange(10, dtype=np.uint8).reshape(10, 1)
    y = X.astype(np.float32)
    draws = []

    def augment(batch, target, pixel_weight, random_state):
        assert batch.dtype == np.float32
        np.testing.assert_array_equal(batch, target)
        draws.append(random_state.randint(2**31 - 1))
        batch += 1  # it is a copy
        return batch, target * 2, pixel_weight

    params, trainer, samples = run_epochs(augment, X, y, shuffle=shuffle)
    assert len(set(draws)) == len(draws) == 6  # a generator for each of 2 x 3 batches
    np.testing.assert_array_equal(X[:, 0], range(10))
    twin, *_ = run_epochs(lambda X, target, *_: (X + 1, target * 2, None), X, y, shuffle=shuffle)
    np.testing.assert_array_equal(params, twin)
    first = draws.copy()
    run_epochs(augment, X, y, shuffle=shuffle, seed=1)
    run_epochs(augment, X, y, shuffle=shuffle)
    assert draws[12:] == first
    assert not set(draws[6:12]) & set(first)
    draws.clear()
    trainer.evaluate(samples, RunningR2())
    assert draws == []


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_an_augmentation_may_write_to_its_batch(shuffle, dtype, tmp_path):
    def in_place(X, target, pixel_weight, random_state):
        X *= 2
        return X, target, pixel_weight

    X = np.ones((10, 1), dtype)
    in_a_file = np.memmap(tmp_path / "X", dtype, "w+", shape=(10, 1))
    in_a_file[:] = X
    y = np.zeros((10, 1), np.float32)
    params = [run_epochs(in_place, given, y, shuffle=shuffle)[0] for given in (X, in_a_file)]
    np.testing.assert_array_equal(*params)
    assert (X == 1).all()
    assert (in_a_file == 1).all()


def test_the_score_is_that_of_what_was_augmented():
    X = np.arange(8, dtype=np.float32).reshape(8, 1)
    network = compile_network([Dense(1, activation=None)], (1,), random_state=0)
    network.params[:] = 0
    trainer = Trainer(
        network,
        SquaredError(),
        SGD(1e-6),
        8,
        False,
        np.random.RandomState(0),
        1,
        augment=lambda X, target, *_: (X, np.zeros_like(target), None),
    )
    score = RunningR2()
    trainer.run_epoch(Samples(X, X, np.ones(8, np.float32)), score)
    assert score.value() == 1.0


# ---------------------------------------------------------------------------
# Data that do not fit, and fits in parts
# ---------------------------------------------------------------------------

MEMORY = """
    import numpy as np
    from sklearn_convnet import ConvNetClassifier
    from sklearn_convnet.layers import Conv2D, Standardize

    def peak():
        # Not ru_maxrss, to which a new process inherits its parent's memory.
        with open("/proc/self/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["VmHWM"].split()[0]) / 1024

    def net(**params):
        layers = [Standardize(), Conv2D(1, 4, stride=4)]
        return ConvNetClassifier(layers, max_iter=1, random_state=0, **params)

    X = np.empty((100_000, 28, 28), np.uint8)
    y = np.arange(len(X)) % 3
    X[:] = 50 * y[:, None, None]
    X[::7, ::3] += 1
    net(early_stopping=True).fit(X[:300], y[:300]).predict(X[:300])  # imports what is slow to
    before = peak()
    weight = (y != 2) * 1.0
    net(early_stopping=True, class_weight={0: 0.0}).fit(X, y, sample_weight=weight)
    net().fit(X, y, X_val=X, y_val=y, sample_weight_val=weight).predict(X)
    print(peak() - before)
"""


def test_memory_does_not_grow_with_the_data(run_python):
    """Of 100,000 images in bytes, 75 MiB, a copy would show."""
    assert float(run_python(MEMORY)) < 40


@pytest.mark.oldest
@pytest.mark.parametrize("early_stopping", [False, True])
def test_bytes_in_a_file_are_fitted_like_an_array(digits, quick, tmp_path, early_stopping):
    X, y = digits
    np.save(tmp_path / "X.npy", X.astype(np.uint8))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    weight = np.arange(300) % 4
    validation = {} if early_stopping else dict(X_val=X[:50], y_val=y[:50])
    mapped = quick(early_stopping=early_stopping, dtype="float64")
    mapped.fit(X, y, sample_weight=weight, **validation)
    X = np.array(X, dtype=np.float64)
    validation = {} if early_stopping else dict(X_val=X[:50], y_val=y[:50])
    plain = quick(early_stopping=early_stopping)
    plain.fit(X, y, sample_weight=weight, **validation)
    assert same_weights(mapped, plain)
    assert mapped.history_ == plain.history_


@pytest.mark.parametrize("optimizer", [Adam(0.01), SGD(0.01, momentum=0.9)])
def test_copies_between_calls_of_partial_fit(digits, optimizer):
    """As dask_ml and Optuna do: the classes in each call, and a copy before it."""
    X, y = digits
    layers = [Conv2D(4, 3), Dropout(0.2), Dense(12)]
    clf = ConvNetClassifier(layers, optimizer=optimizer, batch_size=32, random_state=0)
    copied, kept, scores = copy.deepcopy(clf), [], []
    for _ in range(2):
        for start in range(0, 300, 100):
            block = slice(start, start + 100)
            clf.partial_fit(X[block], y[block], classes=np.unique(y))
            kept.append(copied)
            copied = copy.deepcopy(copied)
            copied.partial_fit(X[block], y[block], classes=np.unique(y))
            scores.append(copied.score(X, y))
    assert same_weights(copied, clf)
    assert copied.history_ == clf.history_
    assert (copied.n_iter_, len(copied.loss_curve_)) == (1, 6)
    # The copies that were left behind are as they were.
    assert [model.score(X, y) for model in kept[1:]] == scores[:-1]
