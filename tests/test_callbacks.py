"""Callbacks, scikit-learn's and ours; fits that are killed and go on."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import errno
import logging
import os
import pickle
import subprocess
import sys
import textwrap
import tracemalloc

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import RandomFlip, TestTimeAugmentation
from sklearn_convnet.callbacks import Checkpoint, EarlyStopping, LearningRateLogger
from sklearn_convnet.estimators import checkpoint_file
from sklearn_convnet.layers import Conv2D, Dense, Dropout
from sklearn_convnet.optimizers import SGD, Adam
from sklearn_convnet.training import Trainer


@pytest.fixture
def quick():
    """Makes a classifier for digits that fits in a moment."""

    def make(*callbacks, **params):
        layers = [("conv1", Conv2D(4, 3, stride=2)), Dropout(0.1), ("dense1", Dense(16))]
        fast = dict(optimizer=Adam(0.01), batch_size=50, max_iter=5, random_state=0)
        params = {"layers": layers, **fast, **params}
        return ConvNetClassifier(**params).set_callbacks(*callbacks)

    return make


@pytest.fixture
def split(digits):
    """Digits to train on, and keywords to validate with."""
    X, y = digits
    return X[:200], y[:200], dict(X_val=X[200:], y_val=y[200:])


def same_fit(a, b):
    weights, others = a.get_weights(), b.get_weights()
    return (
        weights.keys() == others.keys()
        and all(np.array_equal(weights[path], others[path]) for path in weights)
        and a.history_ == b.history_
        and (a.n_iter_, a.t_) == (b.n_iter_, b.t_)
    )


class Recorder:
    """Writes down what it is told; `log` is shared by copies."""

    def __init__(self, stop_after=None):
        self.log, self.stop_after = [], stop_after

    def setup(self, estimator, context):
        self.log.append("setup")

    def teardown(self, estimator, context):
        self.log.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.log.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None):
        self.log.append(("end", context.task_name, context.task_id))
        self.data = X, y, metadata
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


class Snapshots(Recorder):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.seen.append(fitted_estimator)


# ---------------------------------------------------------------------------
# The protocol
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])
def test_a_fit_is_a_task_and_its_epochs_are_subtasks(digits, estimator):
    X, y = digits
    recorder = Recorder()
    model = estimator([Dense(2)], max_iter=2, random_state=0).set_callbacks(recorder).fit(X, y)
    epochs = [(hook, "epoch", i) for i in (0, 1) for hook in ("begin", "end")]
    expected = ["setup", ("begin", "fit", 0), *epochs, ("end", "fit", 0), "teardown"]
    assert recorder.log == expected
    assert not [name for name in vars(model) if "callback" in name and name != "_skl_callbacks"]
    plain = clone(model).set_callbacks().fit(X, y)
    assert same_fit(model, plain)
    recorder.log.clear()
    model.partial_fit(X, y)
    assert recorder.log == []


def test_a_callback_sees_the_samples_that_are_trained_on(digits, quick):
    X, y = digits
    recorder = Recorder()
    quick(recorder, max_iter=1).fit(X, y)
    assert np.shares_memory(recorder.data[0], X)
    assert recorder.data[2] is None
    weight = np.arange(300) % 3
    quick(recorder, max_iter=1, early_stopping=True).fit(X, y, sample_weight=weight)
    seen_X, seen_y, metadata = recorder.data
    assert len(seen_X) == len(seen_y) == 180
    assert metadata["sample_weight"].tolist().count(2) == 90
    # Each of them is a sample with its label and weight.
    where = [int(np.flatnonzero((X == x).all(axis=(1, 2)))[0]) for x in seen_X]
    np.testing.assert_array_equal(y[where], seen_y)
    np.testing.assert_array_equal(weight[where], metadata["sample_weight"])


def test_a_callback_stops_training(digits, quick):
    clf = quick(Recorder(stop_after=2)).fit(*digits)
    assert same_fit(clf, quick(max_iter=2).fit(*digits))


def test_teardown_follows_a_failure_and_nothing_changes(digits, quick, monkeypatch):
    recorder = Recorder()
    clf = quick(recorder).fit(*digits)
    before = set(vars(clf)), clf.get_weights()["dense1/bias"]

    def fails(self, batch):
        raise MemoryError

    monkeypatch.setattr(Trainer, "run_step", fails)
    recorder.log.clear()
    with pytest.raises(MemoryError):
        clf.fit(*digits)
    assert recorder.log[0] == "setup"
    assert recorder.log[-1] == "teardown"
    assert set(vars(clf)) == before[0]
    np.testing.assert_array_equal(clf.get_weights()["dense1/bias"], before[1])


class Setter(Recorder):
    """Sets weights at the end of a task."""

    def __init__(self, task):
        super().__init__()
        self.task = task

    def on_fit_task_end(self, estimator, context):
        if context.task_name == self.task:
            estimator.set_weights({path: a * 0 for path, a in estimator.get_weights().items()})


def test_weights_are_not_set_where_training_goes_on(digits, quick):
    clf = quick().fit(*digits)
    before = clf.get_weights()
    with pytest.raises(RuntimeError, match="call set_weights before a fit or after it"):
        clf.set_callbacks(Setter("epoch")).fit(*digits)
    assert all(np.array_equal(before[path], array) for path, array in clf.get_weights().items())
    clf.set_callbacks(Setter("fit")).fit(*digits)
    assert not any(array.any() for array in clf.get_weights().values())


def test_the_estimator_as_of_an_epoch(digits, quick):
    X, y = digits
    snapshots = Snapshots()
    clf = quick(snapshots, max_iter=3).fit(X, y)
    *epochs, final = snapshots.seen
    for epoch, model in enumerate(epochs, start=1):
        assert same_fit(model, quick(max_iter=epoch).fit(X, y))
        np.testing.assert_array_equal(model.predict(X), quick(max_iter=epoch).fit(X, y).predict(X))
    assert same_fit(final, clf)
    clf.partial_fit(X, y)
    assert not same_fit(final, clf)


def test_a_warning_points_at_the_call_of_fit(digits, quick):
    clf = quick(Recorder(), optimizer=SGD(1e200))
    with pytest.warns(ConvergenceWarning, match="last finite weights") as seen:
        clf.fit(*digits)
    assert seen[0].filename == __file__


def test_scoring_monitor(split, quick):
    from sklearn.callback import ScoringMonitor

    X, y, validation = split
    monitor = ScoringMonitor(scoring="accuracy")
    weight = np.arange(200) % 2 + 1.0
    clf = quick(monitor, max_iter=3).fit(X, y, sample_weight=weight, **validation)
    rows = monitor.get_logs().data
    scores = [row["accuracy"] for row in rows if row["task_name"] == "epoch"]
    expected = [
        quick(max_iter=epoch).fit(X, y, sample_weight=weight).score(X, y, sample_weight=weight)
        for epoch in (1, 2, 3)
    ]
    assert scores == expected
    (final,) = [row["accuracy"] for row in rows if row["task_name"] == "fit"]
    assert final == clf.score(X, y, sample_weight=weight)


def test_progress_of_a_search_over_its_epochs(digits, quick, capsys):
    from sklearn.callback import ProgressBar

    search = GridSearchCV(quick(max_iter=3), {"conv1__filters": [2, 3]}, cv=2)
    search.set_callbacks(ProgressBar()).fit(*digits)
    lines = capsys.readouterr().out.splitlines()
    bars = [line for line in lines if "ConvNetClassifier - fit" in line]
    assert len(bars) == 5  # 2 candidates x 2 folds, and the best
    assert all("100%" in bar for bar in bars)


def test_callbacks_of_an_estimator_in_a_search(digits, quick):
    recorder = Recorder()
    search = GridSearchCV(quick(recorder, max_iter=2), {"conv1__filters": [2, 3]}, cv=2)
    search.fit(*digits)
    assert recorder.log.count("setup") == recorder.log.count("teardown") == 5
    assert [entry[1] for entry in recorder.log if entry[0] == "end"].count("epoch") == 10


@pytest.mark.oldest
def test_without_callbacks_in_scikit_learn(run_python):
    printed = run_python(
        """
        import sys
        sys.modules["sklearn.callback"] = None  # as if it were older than 1.9
        import numpy as np
        from sklearn_convnet import ConvNetClassifier
        from sklearn_convnet.callbacks import EarlyStopping
        from sklearn_convnet.layers import Dense
        X, y = np.eye(8), np.arange(8) % 2
        clf = ConvNetClassifier([Dense(2)], max_iter=2, early_stopping=True, random_state=0)
        clf.set_params(validation_fraction=0.5).fit(X, y, X_val=X, y_val=y)
        print(clf.n_iter_)
        try:
            clf.set_callbacks(EarlyStopping())
        except ImportError as error:
            print(error)
        """
    )
    assert printed.startswith("2\ncallbacks need sklearn.callback, which scikit-learn has from")


# ---------------------------------------------------------------------------
# EarlyStopping
# ---------------------------------------------------------------------------


def with_curve(monkeypatch, values):
    """Makes these the validation losses of the epochs, and their negatives the scores."""
    coming = iter(values)

    def evaluate(self, samples, score):
        value = next(coming)
        return value, -value

    monkeypatch.setattr(Trainer, "evaluate", evaluate)


@pytest.mark.parametrize("monitor", ["validation_loss", "validation_score"])
@pytest.mark.parametrize(
    ("patience", "min_delta", "losses", "best"),
    [
        (2, 0.0, [5, 4, 4, 4], 2),  # what is equal is no improvement
        (2, 0.25, [5, 4, 3.875, 3.75], 2),  # nor is one by no more than min_delta
        (2, 0.25, [5, 4, 3.875, 3.5, 3.5, 3.5], 4),
        (1, 0.0, [5, 6], 1),
        (3, 0.0, [5, 6, 7, 4, 5, 6, 7], 4),
    ],
)
def test_early_stopping(split, quick, monkeypatch, monitor, patience, min_delta, losses, best):
    X, y, validation = split
    with_curve(monkeypatch, [*losses, -9, -9])
    stopping = EarlyStopping(monitor, patience=patience, min_delta=min_delta)
    clf = quick(stopping, max_iter=50).fit(X, y, **validation)
    assert clf.history_["validation_loss"] == losses
    expected = quick(max_iter=best).fit(X, y).get_weights()
    for path, array in clf.get_weights().items():
        np.testing.assert_array_equal(array, expected[path])


def test_early_stopping_may_keep_the_last_weights(split, quick, monkeypatch):
    X, y, validation = split
    with_curve(monkeypatch, [1, 2, 3])
    stopping = EarlyStopping(patience=2, restore_best_weights=False)
    clf = quick(stopping, max_iter=50).fit(X, y, **validation)
    assert clf.n_iter_ == 3
    assert np.array_equal(clf.predict_proba(X), quick(max_iter=3).fit(X, y).predict_proba(X))


def test_early_stopping_counts_the_epochs_of_one_fit(split, quick, monkeypatch):
    X, y, validation = split
    clf = quick(EarlyStopping(patience=2), max_iter=50, warm_start=True)
    with_curve(monkeypatch, [1, 2, 3])
    clf.fit(X, y, **validation)
    with_curve(monkeypatch, [9, 8, 9, 9])
    assert clf.fit(X, y, **validation).n_iter_ == 4
    assert len(clf.loss_curve_) == 7


def test_early_stopping_of_the_training_loss(digits, quick):
    clf = quick(EarlyStopping("loss", patience=1, min_delta=0.5), max_iter=50).fit(*digits)
    drops = -np.diff(clf.loss_curve_)
    assert (drops[:-1] > 0.5).all()
    assert drops[-1] <= 0.5


@pytest.mark.parametrize(
    ("callback", "params", "message"),
    [
        (EarlyStopping(), {}, r"monitor='validation_loss'.*history_ has \['loss'.*X_val"),
        (EarlyStopping(patience=0), {}, r"'patience' parameter of EarlyStopping.*\[1, inf\)"),
        (EarlyStopping(), {"early_stopping": True}, "restore_best_weights=True.*use one of"),
        (Checkpoint(3), {}, "'path' parameter of Checkpoint"),
        (Checkpoint("x", every=0), {}, "'every' parameter of Checkpoint"),
        (LearningRateLogger(logger=None), {}, "'logger' parameter of LearningRateLogger"),
    ],
)
def test_wrong_callbacks(digits, quick, callback, params, message):
    with pytest.raises(ValueError, match=message):
        quick(callback, **params).fit(*digits)


def test_ours_are_for_our_estimators(digits, quick):
    X, y = digits
    pipe = make_pipeline(FunctionTransformer(), quick()).set_callbacks(EarlyStopping())
    with pytest.raises(TypeError, match=r"must be set on a ConvNet.+ not on a Pipeline"):
        pipe.fit(X, y)


def test_learning_rates_are_logged(digits, quick, caplog):
    with caplog.at_level(logging.INFO):
        clf = quick(LearningRateLogger(), LearningRateLogger("mine"), max_iter=2).fit(*digits)
    rates = clf.history_["learning_rate"]
    expected = [f"ConvNetClassifier, epoch {i + 1}: learning rate {rates[i]:g}" for i in (0, 1)]
    for name in ("sklearn_convnet", "mine"):
        assert [r.getMessage() for r in caplog.records if r.name == name] == expected


@pytest.mark.parametrize("callback", [EarlyStopping("loss"), Checkpoint("x"), LearningRateLogger()])
def test_callbacks_are_pickled_and_shown(callback):
    copied = pickle.loads(pickle.dumps(callback))
    assert repr(copied) == repr(callback)
    assert copied.get_params() == callback.get_params()


# ---------------------------------------------------------------------------
# Checkpoint
# ---------------------------------------------------------------------------


class Killed(BaseException):
    """Ends a fit as a kill would: nothing of it is left but the file."""


class Killer(Recorder):
    """Kills at the end of an epoch, before or after the callbacks beside it."""

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.task_id + 1 == self.stop_after:
            raise Killed


FITS = {
    "plain": ({}, {}),
    "momentum": ({"optimizer": SGD(0.05, momentum=0.9)}, {}),
    "no layers": ({"layers": None, "optimizer": "auto"}, {}),
    "early stopping": ({"early_stopping": True, "max_iter": 9, "n_iter_no_change": 2}, {}),
    "validation data": ({"early_stopping": True, "n_iter_no_change": 2}, {"X_val": slice(90, 160)}),
    "weights": ({"class_weight": {0: 2.0}}, {"sample_weight": np.arange(300) % 3}),
}


@pytest.mark.parametrize("killed_first", [False, True])
@pytest.mark.parametrize("killed_after", [1, 2, 3])
@pytest.mark.parametrize(("params", "given"), FITS.values(), ids=FITS.keys())
def test_a_fit_goes_on(digits, quick, tmp_path, params, given, killed_after, killed_first):
    X, y = digits
    given = dict(given)
    if "X_val" in given:
        rows = given["X_val"]
        given.update(X_val=X[rows], y_val=y[rows])
    plain = quick(**params).fit(X, y, **given)
    checkpoint, killer = Checkpoint(tmp_path / "fit"), Killer(killed_after)
    callbacks = (killer, checkpoint) if killed_first else (checkpoint, killer)
    with pytest.raises(Killed):
        quick(*callbacks, **params).fit(X, y, **given)
    resumed = quick(checkpoint, **params).fit(X, y, **given)
    assert same_fit(resumed, plain)
    assert vars(resumed).keys() - {"_skl_callbacks"} == vars(plain).keys()
    for model in (resumed, plain):  # also what comes later
        model.set_params(early_stopping=False).partial_fit(X, y)
    assert same_fit(resumed, plain)


def test_a_finished_fit_trains_no_further(digits, quick, tmp_path, monkeypatch):
    X, y = digits
    checkpoint = Checkpoint(str(tmp_path / "fit"))
    clf = quick(checkpoint).fit(X, y)
    monkeypatch.setattr(Trainer, "run_epoch", None)
    assert same_fit(quick(checkpoint).fit(X, y), clf)


def test_only_some_epochs_are_saved(digits, quick, tmp_path):
    X, y = digits
    path = tmp_path / "fit"
    checkpoint = Checkpoint(path, every=2)
    with pytest.raises(Killed):
        quick(checkpoint, Killer(1)).fit(X, y)
    assert not path.exists()
    with pytest.raises(Killed):
        quick(checkpoint, Killer(3)).fit(X, y)
    assert same_fit(joblib.load(path), quick(max_iter=2).fit(X, y))
    assert same_fit(quick(checkpoint).fit(X, y), quick().fit(X, y))
    assert joblib.load(path).n_iter_ == 4
    assert os.listdir(tmp_path) == ["fit"]


def test_the_file_is_an_estimator(digits, quick, tmp_path):
    X, y = digits
    clf = quick(Checkpoint(tmp_path / "fit"), Recorder()).fit(X, y)
    saved = joblib.load(tmp_path / "fit")
    np.testing.assert_array_equal(saved.predict_proba(X), clf.predict_proba(X))
    assert not [name for name in vars(saved) if "callback" in name]


def test_a_callback_that_stopped_stops_again(split, quick, tmp_path, monkeypatch):
    """Whether the kill came before or after it was asked."""
    X, y, validation = split
    losses = [5, 4, 3, 4, 5, 1, 1, 1]
    stopping, checkpoint = EarlyStopping(patience=2), Checkpoint(tmp_path / "fit")
    with_curve(monkeypatch, losses)
    plain = quick(stopping, max_iter=50).fit(X, y, **validation)
    assert plain.n_iter_ == 5
    for killed_after in (3, 5):
        for order in ([checkpoint, Killer(killed_after), stopping],
                      [stopping, checkpoint, Killer(killed_after)]):  # fmt: skip
            with_curve(monkeypatch, losses)
            with pytest.raises(Killed):
                quick(*order, max_iter=50).fit(X, y, **validation)
            with_curve(monkeypatch, losses[killed_after:])
            resumed = quick(stopping, checkpoint, max_iter=50).fit(X, y, **validation)
            assert same_fit(resumed, plain)
            os.remove(tmp_path / "fit")


def test_epochs_keep_their_numbers(digits, quick, tmp_path):
    checkpoint, recorder = Checkpoint(tmp_path / "fit"), Recorder()
    with pytest.raises(Killed):
        quick(checkpoint, Killer(3)).fit(*digits)
    quick(checkpoint, recorder).fit(*digits)
    ended = [entry[2] for entry in recorder.log if entry[:2] == ("end", "epoch")]
    assert ended == [2, 3, 4]  # the end of the one that was saved may not have been told


@pytest.mark.parametrize(("random_state", "seed"), [(None, 1), (np.random.RandomState(3), None)])
def test_a_fit_without_a_seed_goes_on(digits, quick, tmp_path, random_state, seed):
    X, y = digits
    checkpoint = Checkpoint(tmp_path / "fit")
    params = dict(early_stopping=True, n_iter_no_change=50)

    def model(*callbacks):
        np.random.seed(seed)  # noqa: NPY002
        return quick(*callbacks, random_state=copy.deepcopy(random_state), **params)

    plain = model().fit(X, y)
    with pytest.raises(Killed):
        model(checkpoint, Killer(2)).fit(X, y)
    resumed = model(checkpoint)
    if random_state is None:
        np.random.seed(77)  # noqa: NPY002
    assert same_fit(resumed.fit(X, y), plain)


OTHERS = {
    "optimizer": (dict(optimizer=Adam(0.02)), {}),
    "layers": (dict(conv1__filters=5), {}),
    "random_state": (dict(random_state=1), {}),
    "max_iter": (dict(max_iter=6), {}),
    "init_from": (dict(init_from={"dense1/bias": np.zeros(16)}), {}),
    "X": ({}, {"X": lambda X: X + 1}),
    "y": ({}, {"y": lambda y: y[::-1]}),
    "sample_weight": ({}, {"sample_weight": lambda _: np.ones(300)}),
}


@pytest.mark.parametrize(
    ("name", "params", "data"), [(k, *v) for k, v in OTHERS.items()], ids=OTHERS
)
def test_the_file_of_another_fit_is_refused(digits, quick, tmp_path, name, params, data):
    X, y = digits
    checkpoint = Checkpoint(tmp_path / "fit")
    clf = quick(checkpoint, max_iter=1).fit(X, y)
    before = (tmp_path / "fit").read_bytes()
    given = {"X": X, "y": y}
    for key, change in data.items():
        given[key] = change(given.get(key))
    message = rf"of a fit with another {name}: give another path, or delete the file"
    with pytest.raises(ValueError, match=message):
        clone(clf).set_params(**params).fit(**given)
    assert (tmp_path / "fit").read_bytes() == before


def test_what_changes_no_bit_may_differ(digits, quick, tmp_path):
    X, y = digits
    checkpoint = Checkpoint(tmp_path / "fit")
    clf = quick(checkpoint, max_iter=1).fit(X, y)
    X, y = np.asfortranarray(X), y.tolist()
    votes = TestTimeAugmentation([RandomFlip(horizontal=1.0)])
    free = dict(n_threads=2, verbose=True, test_time_augmentation=votes)
    again = quick(checkpoint, max_iter=1, **free).fit(X, y)
    assert same_fit(clf, again)
    assert again.n_threads == 2


def test_labels_of_any_type_are_known_again(digits, quick, tmp_path):
    X, y = digits
    for i, names in enumerate([y.astype(str), y.astype(str).astype(object), y.astype("int8")]):
        checkpoint = Checkpoint(tmp_path / f"fit{i}")
        clf = quick(checkpoint, max_iter=1).fit(X, names)
        again = pickle.loads(pickle.dumps(names))  # other objects of equal value
        assert same_fit(quick(checkpoint, max_iter=1).fit(X, again), clf)
        names[0] = names[1]
        with pytest.raises(ValueError, match="of a fit with another y:"):
            quick(checkpoint, max_iter=1).fit(X, names)


def test_other_files_are_refused(digits, quick, tmp_path):
    X, y = digits
    for thing in ([1, 2], quick().fit(X, y)):
        joblib.dump(thing, tmp_path / "fit")
        with pytest.raises(ValueError, match=r"fit' holds no checkpoint, or.*: give another path"):
            quick(Checkpoint(tmp_path / "fit")).fit(X, y)
    checkpoint = Checkpoint(tmp_path / "regressor")
    ConvNetRegressor([Dense(2)], max_iter=1).set_callbacks(checkpoint).fit(X, y)
    with pytest.raises(ValueError, match=r"of a fit with another .*estimator"):
        ConvNetClassifier([Dense(2)], max_iter=1).set_callbacks(checkpoint).fit(X, y)


@pytest.mark.filterwarnings("ignore:The network has learnt nothing from X")
@pytest.mark.parametrize("params", [{"early_stopping": True}, {}], ids=["held out", "one weight 0"])
def test_our_callbacks_never_copy_X(split, quick, tmp_path, params):
    X, y, _ = split
    np.save(tmp_path / "X.npy", np.tile(X, (20, 8, 8)).astype(np.uint8))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    y = np.tile(y, 20)
    weight = np.ones(len(y))
    weight[7] = 0
    peaks = []
    for callbacks in (
        [],
        [Checkpoint(tmp_path / "fit"), LearningRateLogger(), EarlyStopping("loss", patience=9)],
    ):
        if params:
            callbacks = callbacks[:2]
        clf = quick(*callbacks, max_iter=2, **params).set_params(layers=[Dense(2)])
        tracemalloc.start()
        clf.fit(X, y, sample_weight=weight)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < X.nbytes / 4


class Asks:
    """Only stands for a callback of others that asks for X."""

    def setup(self, estimator, context):
        self.seen = []

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.seen.append(X)

    def on_fit_task_end(self, estimator, context):
        pass


def test_a_callback_that_asks_for_X_is_given_it(digits, quick, tmp_path):
    X, y = digits
    asks = Asks()
    quick(asks, Checkpoint(tmp_path / "fit"), max_iter=2).fit(X, y, sample_weight=y)
    assert np.shares_memory(asks.seen[0], X)
    assert [len(seen) for seen in asks.seen[1:]] == [np.count_nonzero(y)] * 2


# ---------------------------------------------------------------------------
# The file of a checkpoint
# ---------------------------------------------------------------------------


def test_damaged_files_are_noticed(digits, quick, tmp_path):
    """Wherever a byte is flipped, and wherever the file ends."""
    X, y = digits
    path = tmp_path / "fit"
    quick(Checkpoint(path), max_iter=1).fit(X, y)
    whole = path.read_bytes()
    places = np.linspace(0, len(whole) - 1, 60).astype(int)
    files = [whole[:place] for place in places]
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        files.append(bytes(flipped))
    files.append(whole + b"0")
    message = "fit' (is damaged: |holds no checkpoint, ).*: give another path, or delete the file"
    for content in files:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            quick(Checkpoint(path), max_iter=1).fit(X, y)
    assert sorted(os.listdir(tmp_path)) == ["fit"]


def test_a_file_whose_classes_are_gone(digits, quick, tmp_path, monkeypatch):
    X, y = digits
    checkpoint_file.save(Gone(), tmp_path / "fit")
    monkeypatch.delattr(sys.modules[__name__], "Gone")
    message = r"fit' is whole, but cannot be loaded here.*\(AttributeError: .*Gone.*: give another"
    with pytest.raises(ValueError, match=message):
        quick(Checkpoint(tmp_path / "fit")).fit(X, y)


class Gone:
    """Taken away by a test."""


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("folder/fit", FileNotFoundError, r"folder/fit' cannot be written, there is no folder"),
        (".", ValueError, "is a folder: give the path of a file"),
        ("fit/", ValueError, "fit/' names no file: give the path of a file"),
        ("", ValueError, "names no file: give the path of a file"),
        ("fit\0", ValueError, "names no file: give the path of a file"),
        ("fit" * 100, ValueError, "cannot be written .*: give another path"),
    ],
)
def test_a_path_that_cannot_be_written(digits, quick, tmp_path, monkeypatch, path, error, message):
    monkeypatch.setattr(Trainer, "run_epoch", None)  # there is none
    with pytest.raises(error, match=message):
        quick(Checkpoint(os.path.join(tmp_path, path) if path else "")).fit(*digits)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["fit.partial", "fit.lock"])
def test_a_folder_beside_a_checkpoint_in_its_way(digits, quick, tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=f"{name}' is a folder: give another path"):
        quick(Checkpoint(tmp_path / "fit")).fit(*digits)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("failing", ["dump", "fsync"])
def test_a_disk_that_is_full(digits, quick, tmp_path, monkeypatch, failing):
    """Nothing is left of what was begun, and what was there stays."""
    X, y = digits
    path = tmp_path / "fit"
    with pytest.raises(Killed):
        quick(Checkpoint(path), Killer(1)).fit(X, y)
    before = path.read_bytes()

    def fails(*args):
        if failing == "dump":
            args[1].write(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr({"dump": joblib, "fsync": os}[failing], failing, fails)
        with pytest.raises(OSError, match="No space left"):
            quick(Checkpoint(path)).fit(X, y)
    assert os.listdir(tmp_path) == ["fit"]
    assert path.read_bytes() == before
    assert same_fit(quick(Checkpoint(path)).fit(X, y), quick().fit(X, y))


def test_a_symbolic_link_is_followed(digits, quick, tmp_path):
    X, y = digits
    (tmp_path / "store").mkdir()
    link, target = tmp_path / "fit", tmp_path / "store" / "real"
    try:
        link.symlink_to(target)
    except OSError:
        pytest.skip("the system makes no links here")
    with pytest.raises(Killed):
        quick(Checkpoint(link), Killer(2)).fit(X, y)
    assert link.is_symlink()
    assert joblib.load(target).n_iter_ == 2
    assert same_fit(quick(Checkpoint(link)).fit(X, y), quick().fit(X, y))
    assert link.is_symlink()
    assert os.listdir(tmp_path / "store") == ["real"]
    assert sorted(os.listdir(tmp_path)) == ["fit", "store"]


class FitsToo(Recorder):
    """Begins another fit in the middle of one."""

    def __init__(self, other):
        super().__init__()
        self.other = other

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.other()


def test_two_fits_on_one_path(digits, quick, tmp_path):
    X, y = digits
    path = tmp_path / "fit"
    (tmp_path / "link").symlink_to(path)

    def other():
        for other_path in (path, tmp_path / "link"):
            message = "is being written by another fit: wait for its end, or give another path"
            with pytest.raises(ValueError, match=message):
                quick(Checkpoint(other_path)).fit(X, y)

    clf = quick(Checkpoint(path), FitsToo(other), max_iter=2).fit(X, y)
    assert same_fit(clf, quick(max_iter=2).fit(X, y))
    assert sorted(os.listdir(tmp_path)) == ["fit", "link"]


def test_a_lock_ends_with_the_process(tmp_path, run_python):
    """Of a process that is killed the file stays, and the lock does not."""
    script = f"""
        import os, signal, sys
        from sklearn_convnet.estimators.checkpoint_file import CheckpointError, Lock

        path = {str(tmp_path / "fit")!r}
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            lock = Lock(path)
            os.write(writer, b"locked")
            signal.pause()
        os.read(reader, 6)
        try:
            Lock(path)
        except CheckpointError as error:
            print(error)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(os.path.exists(path + ".lock"))
        Lock(path).release()
        print(os.path.exists(path + ".lock"))
        """
    assert run_python(script).splitlines() == ["is being written by another fit", "True", "False"]


def test_a_lock_whose_file_is_gone_is_taken_again(tmp_path, monkeypatch):
    """Who held it may remove the file between our opening it and locking it."""
    n_locked = 0
    lock_file = checkpoint_file._lock

    def lock(file):
        nonlocal n_locked
        n_locked += 1
        if n_locked == 1:
            os.remove(file.name)
        lock_file(file)

    monkeypatch.setattr(checkpoint_file, "_lock", lock)
    held = checkpoint_file.Lock(tmp_path / "fit")
    assert n_locked == 2
    with pytest.raises(checkpoint_file.CheckpointError, match="another fit"):
        checkpoint_file.Lock(tmp_path / "fit")
    held.release()
    assert os.listdir(tmp_path) == []


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def lock(file):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(checkpoint_file, "_lock", lock)
    checkpoint_file.Lock(tmp_path / "fit").release()
    assert os.listdir(tmp_path) == []


def test_many_small_arrays(digits, quick, tmp_path):
    X, y = digits
    params = dict(layers=[Dense(3 + i % 2) for i in range(40)])
    checkpoint = Checkpoint(tmp_path / "fit")
    with pytest.raises(Killed):
        quick(checkpoint, Killer(2)).set_params(**params).fit(X, y)
    resumed = quick(checkpoint).set_params(**params).fit(X, y)
    plain = quick().set_params(**params).fit(X, y)
    assert same_fit(resumed, plain)
    assert same_fit(resumed.partial_fit(X, y), plain.partial_fit(X, y))


def test_a_warm_start_is_a_fit_of_its_own(digits, quick, tmp_path):
    X, y = digits
    first, second = Checkpoint(tmp_path / "first"), Checkpoint(tmp_path / "second")
    clf = quick(first, warm_start=True, max_iter=2).fit(X, y)
    with pytest.raises(ValueError, match="another t_"):
        clf.fit(X, y)
    with pytest.raises(Killed):
        copy.deepcopy(clf).set_callbacks(second, Killer(1)).fit(X, y)
    resumed = copy.deepcopy(clf).set_callbacks(second).fit(X, y)
    assert same_fit(resumed, clf.set_callbacks().fit(X, y))


KILLED = """
    import hashlib, os, signal, sys, time
    import numpy as np
    import sklearn.model_selection
    from sklearn_convnet import ConvNetClassifier
    from sklearn_convnet.callbacks import Checkpoint
    from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Dropout, Standardize

    folder = sys.argv[1]
    checkpoint = os.path.join(folder, "fit")
    rng = np.random.RandomState(0)
    y = np.arange(400) % 3
    X = (rng.normal(size=(400, 8, 8)) + y[:, None, None]).astype("float32")

    def fit(result, *callbacks):
        layers = [Standardize(), Conv2D(4, 3), BatchNorm(), Dropout(0.2), Dense(400)]
        clf = ConvNetClassifier(
            layers, max_iter=25, batch_size=20, early_stopping=True, n_iter_no_change=25,
            random_state=0,
        )
        clf.set_callbacks(*callbacks).fit(X, y)
        bits = b"".join(array.tobytes() for array in clf.get_weights().values())
        with open(os.path.join(folder, result), "w") as file:
            file.write(repr(clf.history_) + hashlib.sha256(bits).hexdigest())

    def start(*args):
        pid = os.fork()
        if pid == 0:
            fit(*args)
            os._exit(0)
        return pid

    def saves():
        try:
            return os.stat(checkpoint).st_ino, os.stat(checkpoint).st_mtime_ns
        except FileNotFoundError:
            return None

    os.waitpid(start("expected"), 0)
    moments = np.random.RandomState()
    n_killed = 0
    while True:
        before, ended = saves(), (0, 0)
        pid = start("result", Checkpoint(checkpoint))
        if n_killed < 8:
            while saves() == before and ended[0] == 0:  # until an epoch has been saved
                ended = os.waitpid(pid, os.WNOHANG)
            if ended[0] == 0:
                time.sleep(moments.uniform(0, 0.05))
                os.kill(pid, signal.SIGKILL)
        status = ended[1] if ended[0] else os.waitpid(pid, 0)[1]
        if not os.WIFSIGNALED(status):
            break
        n_killed += 1
    print(status, n_killed)
"""


def test_a_process_that_is_killed(tmp_path):
    """Again and again, at moments that are drawn, also while the file is written."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(KILLED))
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    command = [sys.executable, str(script), str(tmp_path)]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    status, n_killed = map(int, printed.stdout.split())
    assert status == 0
    assert n_killed > 0
    assert (tmp_path / "result").read_text() == (tmp_path / "expected").read_text()
