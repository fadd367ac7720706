"""The mean of the weights of all steps: what it is, and that it is what predicts."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.averaging import WeightAverage
from sklearn_convnet.callbacks import Checkpoint, EarlyStopping
from sklearn_convnet.inspection import LearningRateRangeDisplay
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Dropout, GlobalAvgPool, Standardize
from sklearn_convnet.network import compile_network
from sklearn_convnet.optimizers import SGD, Adam
from sklearn_convnet.training import Trainer


def layers():
    return [
        ("norm", Standardize()),
        ("conv", Conv2D(4, 3)),
        ("bn", BatchNorm()),
        ("drop", Dropout(0.2)),
        ("pool", GlobalAvgPool()),
    ]


def model(kind=ConvNetClassifier, **params):
    fast = dict(
        layers=layers(), average_weights=0.9, max_iter=3, batch_size=20, random_state=0,
        optimizer=Adam(0.01), n_iter_no_change=np.inf,
    )  # fmt: skip
    return kind(**{**fast, **params})


def raw(clf):
    """The weights and statistics of the last step."""
    copied = copy.deepcopy(clf)
    copied._average.leave(copied.network_)
    return copied.get_weights()


def assert_same(a, b):
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def differs(a, b):
    return any(not np.array_equal(a[path], b[path]) for path in a)


# ---------------------------------------------------------------------------
# What it is
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("decay", [0.3, 0.95])
def test_it_is_the_mean_that_it_should_be(dtype, decay):
    network = compile_network([Dense(3), BatchNorm()], (4,), dtype=dtype, random_state=0)
    rows, _ = network.stretches(0.0, False)
    average = WeightAverage(network, decay)
    rng = np.random.RandomState(0)
    mean = {k: v.copy() for k, v in {**network.parameters(), **network.buffers()}.items()}
    for t in range(1, 31):
        with average.in_training(network):
            now = {**network.parameters(), **network.buffers()}
            for value in now.values():
                value += rng.normal(size=value.shape)
            average.update(network, rows, 2)
            d = min(decay, (1 + t) / (10 + t))
            mean = {path: d * mean[path] + (1 - d) * now[path] for path in now}
        found = {**network.parameters(), **network.buffers()}
        for path, expected in mean.items():
            np.testing.assert_allclose(found[path], expected, rtol=1e-4, atol=1e-5)
    assert average.n_steps == 30


def test_the_steps_are_those_without_it(maps):
    X, y = maps
    averaged, plain = model().fit(X, y), model(average_weights=None).fit(X, y)
    assert averaged.loss_curve_ == plain.loss_curve_
    assert_same(raw(averaged), plain.get_weights())
    assert differs(averaged.get_weights(), plain.get_weights())


def test_statistics_of_batch_norms_are_averaged_and_those_of_standardize_stay(maps):
    X, y = maps
    averaged, plain = model().fit(X, y), model(average_weights=None).fit(X, y)
    a, b = averaged.get_weights(), plain.get_weights()
    for name in ("norm/mean", "norm/deviation"):
        np.testing.assert_array_equal(a[name], b[name])
    assert not np.array_equal(a["bn/mean"], b["bn/mean"])
    assert not np.array_equal(a["bn/variance"], b["bn/variance"])


def test_a_frozen_layer_stays(maps):
    X, y = maps
    first = model(average_weights=None, max_iter=1).fit(X, y).get_weights()
    clf = model(init_from=first).set_params(conv__trainable=False, bn__trainable=False)
    found = clf.fit(X, y).get_weights()
    for path in ("conv/weight", "conv/bias", "bn/scale", "bn/offset", "bn/mean", "bn/variance"):
        np.testing.assert_array_equal(found[path], first[path])


def test_a_short_fit_is_not_ruined(digits):
    X, y = digits
    params = dict(layers=[Standardize(), Dense(32)], max_iter=10, batch_size=50)
    slow = model(average_weights=0.9999, **params).fit(X, y)
    assert slow._average.n_steps == 60
    assert slow.score(X, y) > 0.9


def test_it_evens_out_steps_that_are_too_long():
    """Of a line that noise is added to, averages are nearer to the best one (Polyak and
    Juditsky)."""
    rng = np.random.RandomState(0)
    slope = rng.normal(size=5)
    X = rng.normal(size=(500, 5))
    y = X @ slope + rng.normal(size=500)
    params = dict(
        kind=ConvNetRegressor, layers=[], optimizer=SGD(0.1), batch_size=5, max_iter=10,
        normalize_y=False,
    )  # fmt: skip
    best = np.linalg.lstsq(np.column_stack([X, np.ones(500)]), y, rcond=None)[0][:5]

    def distance(decay):
        reg = model(average_weights=decay, **params).fit(X, y)
        return np.linalg.norm(reg.get_weights()["output/weight"][:, 0] - best)

    assert distance(0.99) < distance(None) / 2


@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_do_not_matter(maps, n_threads):
    X, y = maps
    wide = dict(layers=[Dense(2000), Dense(10)], max_iter=2)  # enough weights to be shared out
    one = model(n_threads=1, **wide).fit(X, y)
    assert_same(model(n_threads=n_threads, **wide).fit(X, y).get_weights(), one.get_weights())


# ---------------------------------------------------------------------------
# What sees it
# ---------------------------------------------------------------------------


def test_validation_and_early_stopping_see_the_mean(maps):
    X, y = maps
    clf = model(early_stopping=True, max_iter=6).fit(X, y, X_val=X, y_val=y)
    assert clf.score(X, y) == clf.best_validation_score_
    one = model(max_iter=1).fit(X, y, X_val=X, y_val=y)
    assert one.score(X, y) == one.validation_scores_[-1]


def test_going_back_to_the_best_trains_on_from_there(maps):
    X, y = maps
    clf = model(early_stopping=True, max_iter=6, warm_start=True).fit(X, y, X_val=X, y_val=y)
    assert_same(raw(clf), clf.get_weights())


def test_callbacks_see_the_mean(maps):
    X, y = maps
    clf = model(max_iter=5).set_callbacks(EarlyStopping("validation_loss", patience=2))
    clf.fit(X, y, X_val=X, y_val=y)
    seen = clf.history_["validation_loss"]
    assert clf.history_["validation_loss"][int(np.argmin(seen))] == pytest.approx(
        -np.log(clf.predict_proba(X)[np.arange(len(y)), y]).mean(), rel=1e-5
    )


def test_a_fit_goes_on_from_a_checkpoint_with_the_same_bits(maps, tmp_path):
    X, y = maps
    whole = model(max_iter=4).fit(X, y)
    path = tmp_path / "fit.joblib"

    class StopError(Exception):
        pass

    class Stop(EarlyStopping):
        def _after_epoch(self, estimator, epoch):
            if epoch == 2:
                raise StopError

    killed = model(max_iter=4).set_callbacks(Checkpoint(path), Stop("loss", patience=9))
    with pytest.raises(StopError):
        killed.fit(X, y)
    resumed = model(max_iter=4).set_callbacks(Checkpoint(path)).fit(X, y)
    assert_same(resumed.get_weights(), whole.get_weights())
    assert_same(raw(resumed), raw(whole))


# ---------------------------------------------------------------------------
# Going on
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("how", [copy.deepcopy, lambda clf: pickle.loads(pickle.dumps(clf))])
def test_copies_go_on_with_the_same_bits(maps, how):
    X, y = maps
    clf = model().partial_fit(X, y, classes=[0, 1, 2])
    other = how(clf)
    assert_same(raw(other), raw(clf))
    for one in (clf, other):
        one.partial_fit(X, y)
    assert_same(other.get_weights(), clf.get_weights())
    assert_same(raw(other), raw(clf))


def test_passes_one_by_one_are_those_of_a_fit(maps):
    X, y = maps
    passes = model()
    for _ in range(3):
        passes.partial_fit(X, y, classes=[0, 1, 2])
    whole = model().fit(X, y)
    assert_same(passes.get_weights(), whole.get_weights())
    assert passes._average.n_steps == whole._average.n_steps == 9


def test_a_warm_start_trains_the_weights_of_the_last_step(maps):
    X, y = maps
    averaged, plain = (model(average_weights=d, warm_start=True) for d in (0.9, None))
    for clf in (averaged, plain):
        clf.fit(X, y).fit(X, y)
    assert_same(raw(averaged), plain.get_weights())
    assert averaged._average.n_steps == 18


def test_it_may_begin_and_end_in_between(maps):
    X, y = maps
    clf = model(average_weights=None, warm_start=True).fit(X, y)
    plain = model(average_weights=None, warm_start=True).fit(X, y)
    clf.set_params(average_weights=0.9).fit(X, y)
    assert_same(raw(clf), plain.fit(X, y).get_weights())
    clf.set_params(average_weights=None).fit(X, y)
    assert clf._average is None
    assert_same(clf.get_weights(), plain.fit(X, y).get_weights())


def test_the_network_may_be_compiled_anew_in_between(maps):
    X, y = maps
    averaged, plain = (model(average_weights=d, warm_start=True) for d in (0.9, None))
    for clf in (averaged, plain):
        clf.fit(X, y).set_params(drop__rate=0.5).fit(X, y)
    assert_same(raw(averaged), plain.get_weights())


@pytest.mark.parametrize("decay", [0.9, None])
def test_a_layer_that_is_frozen_in_between_stays(maps, decay):
    X, y = maps
    clf = model(warm_start=True).fit(X, y)
    before = clf.get_weights()
    clf.set_params(conv__trainable=False, bn__trainable=False, average_weights=decay).fit(X, y)
    for path in ("conv/weight", "conv/bias", "bn/scale", "bn/offset", "bn/mean", "bn/variance"):
        np.testing.assert_array_equal(clf.get_weights()[path], before[path], err_msg=path)
        if decay:  # training sees the same layer as predictions
            np.testing.assert_array_equal(raw(clf)[path], before[path], err_msg=path)


def test_weights_that_are_set_are_trained_on(maps):
    X, y = maps
    clf = model().fit(X, y)
    weights = {path: array / 2 for path, array in clf.get_weights().items()}
    clf.set_weights(weights).set_params(optimizer=Adam(1e-30)).partial_fit(X, y)
    for path in ("conv/weight", "conv/bias", "bn/scale", "output/weight"):
        np.testing.assert_allclose(raw(clf)[path], weights[path], rtol=1e-6, err_msg=path)
        np.testing.assert_allclose(clf.get_weights()[path], weights[path], rtol=1e-6, err_msg=path)


def test_trim_gives_the_other_weights_up(maps):
    X, y = maps
    clf = model().fit(X, y)
    P, before = clf.predict_proba(X), clf.get_weights()
    size = len(pickle.dumps(clf))
    clf.trim()
    assert len(pickle.dumps(clf)) < size
    np.testing.assert_array_equal(clf.predict_proba(X), P)
    clf.partial_fit(X, y)
    assert differs(clf.get_weights(), before)


def test_a_clone_has_none(maps):
    X, y = maps
    assert clone(model().fit(X, y))._average is None


def test_a_failed_fit_leaves_both(maps):
    X, y = maps
    clf = model().fit(X, y)
    before, others = clf.get_weights(), raw(clf)
    with pytest.raises(ValueError, match="labels that are no classes"):
        clf.partial_fit(X, y + 7)
    assert_same(clf.get_weights(), before)
    assert_same(raw(clf), others)


def test_boxes_that_come_late_begin_in_both(maps):
    X, y = maps
    boxes = np.full((len(X), 4), np.nan)
    clf = model(layers=[Dense(4)], optimizer=SGD(1e-9))
    clf.partial_fit(X, y, classes=[0, 1, 2], boxes=boxes)
    boxes[:] = [0.2, 0.3, 0.7, 0.9]
    clf.partial_fit(X, y, boxes=boxes)
    for weights in (clf.get_weights(), raw(clf)):
        np.testing.assert_allclose(weights["box/bias"], boxes[0], rtol=1e-5)


# ---------------------------------------------------------------------------
# What goes wrong
# ---------------------------------------------------------------------------


def test_what_diverges_ends_with_the_last_finite_mean(maps, monkeypatch):
    X, y = maps
    update = Trainer.update

    def explode(self):
        update(self)
        if self.state["t"] == 5:
            self.network.params[:1] = np.inf

    one = model(max_iter=1).fit(X, y)
    monkeypatch.setattr(Trainer, "update", explode)
    clf = model()
    with pytest.warns(ConvergenceWarning, match="epoch 2: training stopped"):
        clf.fit(X, y)
    assert_same(clf.get_weights(), one.get_weights())
    assert_same(raw(clf), one.get_weights())


def test_an_interrupted_fit_ends_with_the_mean_so_far(maps, monkeypatch):
    X, y = maps
    update = Trainer.update

    def interrupt(self):
        if self.state["t"] == 5:
            raise KeyboardInterrupt
        update(self)

    monkeypatch.setattr(Trainer, "update", interrupt)
    averaged, plain = model(), model(average_weights=None)
    for clf in (averaged, plain):
        with pytest.warns(ConvergenceWarning, match="interrupted in epoch 2"):
            clf.fit(X, y)
    assert_same(raw(averaged), plain.get_weights())
    assert differs(averaged.get_weights(), plain.get_weights())


def test_samples_that_differ_in_size():
    rng = np.random.RandomState(0)
    X = [rng.normal(size=(n, 6, 2)).astype("float32") for n in (6, 7, 8) * 10]
    y = np.arange(30) % 2
    averaged, plain = model(), model(average_weights=None)
    for clf in (averaged, plain):
        clf.fit(X, y)
    assert_same(raw(averaged), plain.get_weights())
    assert differs(averaged.get_weights(), plain.get_weights())


def test_a_range_test_begins_with_the_weights_of_the_last_step(maps):
    X, y = maps
    pytest.importorskip("matplotlib").use("agg")
    options = dict(n_steps=5, smoothing=0.0)
    losses = []
    for decay in (0.9, None):
        clf = model(average_weights=decay, warm_start=True).fit(X, y)
        display = LearningRateRangeDisplay.from_estimator(clf, X, y, **options)
        losses.append(display.losses)
    np.testing.assert_array_equal(*losses)
