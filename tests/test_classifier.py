"""`ConvNetClassifier`: targets, weights, the course of a fit, and kinds of X."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from scipy.special import log_expit, log_softmax, logsumexp
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.model_selection import cross_val_score

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.batches import Samples, batches_of
from sklearn_convnet.layers import Conv1D, Conv2D, Conv3D, Dense, Dropout
from sklearn_convnet.losses import CrossEntropy
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.optimizers import SGD, Adam
from sklearn_convnet.training import Trainer


@pytest.fixture
def quick(small_layers):
    """Makes a classifier for digits that fits in a moment."""

    def make(**params):
        fast = dict(optimizer=Adam(0.01), batch_size=50, max_iter=12, random_state=0)
        return ConvNetClassifier(small_layers(), **{**fast, **params})

    return make


def same_weights(a, b):
    a, b = a.get_weights(), b.get_weights()
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


# ---------------------------------------------------------------------------
# Targets
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_labels_of_several_classes(digits, quick):
    X, y = digits
    names = np.array([f"digit {label}" for label in y])
    clf = quick().fit(X[:200], names[:200])
    assert list(clf.classes_) == [f"digit {i}" for i in range(10)]
    P = clf.predict_proba(X)
    assert P.shape == (300, 10)
    assert P.dtype == X.dtype
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(clf.predict(X), clf.classes_[P.argmax(axis=1)])
    np.testing.assert_allclose(clf.predict_log_proba(X), np.log(P), atol=1e-12)
    assert clf.score(X[200:], names[200:]) > 0.8
    right = clf.predict(X) == names
    assert clf.score(X, names, sample_weight=right + 0.0) == 1.0


@pytest.mark.oldest
@pytest.mark.parametrize("labels", [(0, 1), (-1, 1), ("no", "yes"), (False, True)])
def test_two_classes(digits, quick, labels):
    X, digit = digits
    y = np.where(digit > 4, labels[1], labels[0])
    clf = quick().fit(X, y)
    assert clf.predict_proba(X).shape == (300, 2)
    assert clf.predict(X).dtype == y.dtype
    assert clf.score(X, y) > 0.9


def test_one_class(maps):
    X, _ = maps
    clf = ConvNetClassifier(max_iter=1).fit(X, ["a"] * len(X))
    assert (clf.predict(X) == "a").all()
    assert (clf.predict_proba(X) == 1).all()


@pytest.mark.oldest
@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_several_labels_at_once(digits, quick, container):
    X, digit = digits
    Y = np.stack([digit % 2 == 0, digit > 4, digit == 0], axis=1).astype(int)
    clf = quick(max_iter=20, loss=CrossEntropy()).fit(X, container(Y))
    predicted = clf.predict(X)
    assert predicted.shape == Y.shape
    assert predicted.dtype == int
    assert list(clf.classes_) == [0, 1, 2]
    P = clf.predict_proba(X)
    np.testing.assert_array_equal(P > 0.5, predicted)
    assert clf.score(X, container(Y)) == pytest.approx(np.mean(predicted == Y))
    assert clf.score(X, Y) > 0.9
    wrong = np.ones(len(X))
    wrong[(predicted != Y).any(axis=1)] = 0
    assert clf.score(X, Y, sample_weight=wrong) == 1
    clf.partial_fit(X, Y, classes=[0, 1, 2])


# ---------------------------------------------------------------------------
# Logarithms of probabilities
# ---------------------------------------------------------------------------


def far_apart(X, y, layers=(), scale=1e4, **params):
    """A classifier and samples whose outputs lie so far apart that probabilities are 0."""
    boxes = {"boxes": params.pop("boxes")} if "boxes" in params else {}
    clf = ConvNetClassifier(list(layers), max_iter=5, random_state=0, **params)
    return clf.fit(X, y, **boxes), scale * X


KINDS_OF_Y = {
    "label": lambda X, y: far_apart(X, y),
    "labels": lambda X, y: far_apart(X, np.stack([y == 0, y > 0], axis=1).astype(int)),
    "box": lambda X, y: far_apart(X, y, boxes=np.tile([0.1, 0.1, 0.9, 0.9], (len(y), 1))),
    "columns": lambda X, y: far_apart(X, np.stack([y, y + 1], axis=1)),
    "maps": lambda X, y: far_apart(X, np.tile(y[:, None, None], (6, 6)), [Conv2D(4, 1)]),
    "float64": lambda X, y: far_apart(X, y, dtype="float64"),
}


def parts_of(P):
    return P if isinstance(P, list) else [P]


@pytest.mark.oldest
@pytest.mark.parametrize("kind", KINDS_OF_Y)
def test_logarithms_of_probabilities_are_finite(maps, kind):
    clf, X = KINDS_OF_Y[kind](*maps)
    Z = clf.network_.forward(X).astype(np.float64)
    if kind == "labels":
        expected = [log_expit(Z)]
    else:
        sizes = [len(classes) for classes in parts_of(clf.classes_)]
        edges = np.cumsum([0, *sizes])
        expected = [log_softmax(Z[..., a:b], axis=-1) for a, b in pairwise(edges)]
    P, logs = parts_of(clf.predict_proba(X)), parts_of(clf.predict_log_proba(X))
    alone = [clf.predict_log_proba(X[i : i + 1]) for i in range(4)]
    for j, (p, log_p, log_q) in enumerate(zip(P, logs, expected, strict=True)):
        assert (p == 0).any()
        assert log_p.dtype == p.dtype
        assert np.isfinite(log_p).all()
        np.testing.assert_allclose(log_p, log_q, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.exp(log_p), p, rtol=1e-3, atol=1e-6)
        np.testing.assert_array_equal(
            np.concatenate([parts_of(one)[j] for one in alone]), log_p[:4]
        )


@pytest.mark.parametrize("voting", ["soft", "hard"])
@pytest.mark.parametrize("n_crops", [1, 5])
def test_logarithms_of_votes(maps, voting, n_crops):
    crops = MultiCrop(5, n_crops=n_crops, voting=voting)
    clf, X = far_apart(*maps, multi_crop=crops)
    P, log_p = clf.predict_proba(X), clf.predict_log_proba(X)
    assert (P == 0).any()
    assert np.isfinite(log_p).all()
    np.testing.assert_allclose(np.exp(log_p), P, rtol=1e-3, atol=1e-6)
    Z = np.stack([clf.network_.forward(view) for view in crops.views(X)]).astype(np.float64)
    logs = log_softmax(Z, axis=-1)
    mean = logsumexp(logs, axis=0) - np.log(n_crops)
    if voting == "soft":
        np.testing.assert_allclose(log_p, mean, rtol=1e-5, atol=1e-6)
    else:
        votes = np.eye(3)[logs.argmax(axis=-1)].sum(axis=0)
        share = np.where(votes > 0, votes + np.exp(mean), 1)
        expected = np.where(votes > 0, np.log(share), mean) - np.log(n_crops + 1)
        np.testing.assert_allclose(log_p, expected, rtol=1e-5, atol=1e-6)
    labels = clf.classes_[log_p.argmax(axis=1)]
    np.testing.assert_array_equal(labels, clf.predict(X))


# ---------------------------------------------------------------------------
# Weights
# ---------------------------------------------------------------------------


@pytest.fixture
def weighted():
    """Samples, labels and small integer weights, some of them zero."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(24, 5, 5))
    y = np.arange(24) % 3
    return X, y, rng.randint(4, size=24)


def repeated(X, y, weight):
    order = np.random.RandomState(1).permutation(weight.sum())
    return np.repeat(X, weight, axis=0)[order], np.repeat(y, weight, axis=0)[order]


@pytest.mark.parametrize("class_weight", [None, {0: 1, 1: 3, 2: 0.5}, "balanced"])
@pytest.mark.parametrize("loss", ["cross_entropy", "focal", CrossEntropy(label_smoothing=0.1)])
@pytest.mark.parametrize("kind", ["labels", "indicator", "columns"])
def test_a_weight_is_a_repetition(weighted, class_weight, loss, kind):
    X, y, weight = weighted
    if kind == "indicator":
        y = np.stack([y == 0, y < 2], axis=1).astype(int)
    elif kind == "columns":
        y = np.stack([y, y < 2], axis=1).astype(int)
    if kind != "labels" and isinstance(class_weight, dict):
        class_weight = [{0: 1, 1: 2}, {0: 0.5, 1: 1}]
        class_weight[0].update({2: 3} if kind == "columns" else {})
    clf = ConvNetClassifier(
        [Conv2D(4, 3), Dense(8)],
        loss=loss,
        batch_size=1000,
        max_iter=10,
        random_state=0,
        class_weight=class_weight,
    )
    a = clf.fit(X, y, sample_weight=weight).get_weights()
    b = clf.fit(*repeated(X, y, weight)).get_weights()
    for path in a:
        np.testing.assert_allclose(a[path], b[path], rtol=1e-7, atol=1e-9, err_msg=path)


def test_samples_of_weight_zero_are_not_there(weighted):
    X, y, weight = weighted
    X, y = X.copy(), y.copy()
    y[weight == 0] = 9  # not even their classes count
    clf = ConvNetClassifier(max_iter=3, batch_size=5, random_state=0)
    clf.fit(X, y, sample_weight=weight > 0)
    other = ConvNetClassifier(**clf.get_params()).fit(X[weight > 0], y[weight > 0])
    assert list(clf.classes_) == [0, 1, 2]
    assert same_weights(clf, other)
    assert clf.t_ == 3 * np.count_nonzero(weight)


def test_only_the_ratio_of_weights_counts(weighted):
    X, y, weight = weighted
    clf = ConvNetClassifier(max_iter=3, random_state=0)
    a = clf.fit(X, y, sample_weight=weight).get_weights()
    b = clf.fit(X, y, sample_weight=weight * 8.0).get_weights()
    assert all(np.array_equal(a[path], b[path]) for path in a)


def test_class_weight_is_a_sample_weight(weighted):
    X, y, _ = weighted
    y = np.where(np.arange(24) < 16, "often", "seldom")
    clf = ConvNetClassifier(max_iter=3, batch_size=6, random_state=0)
    for class_weight, ratio in [({"seldom": 5}, 5), ("balanced", 2)]:
        clf.set_params(class_weight=class_weight).fit(X, y)
        other = ConvNetClassifier(max_iter=3, batch_size=6, random_state=0)
        other.fit(X, y, sample_weight=np.where(y == "seldom", ratio, 1))
        for path, array in clf.get_weights().items():
            np.testing.assert_allclose(array, other.get_weights()[path], rtol=1e-9)


def test_class_weight_moves_the_decision(maps):
    X, _ = maps
    rng = np.random.RandomState(0)
    y = rng.randint(2, size=len(X))  # nothing to learn but how often each comes
    counts = [
        np.mean(
            ConvNetClassifier([], optimizer=SGD(0.05), max_iter=20, class_weight=weight)
            .fit(0 * X, y)
            .predict_proba(X * 0)[:, 1]
        )
        for weight in ({0: 9, 1: 1}, None, {0: 1, 1: 9})
    ]
    assert counts[0] < counts[1] - 0.1 < counts[2] - 0.2


def test_a_dict_of_class_weights_may_name_classes_of_other_calls(maps):
    X, y = maps
    clf = ConvNetClassifier([], class_weight={0: 1, 1: 2}, random_state=0)
    some = y != 1
    clf.partial_fit(X[some], y[some], classes=[0, 1, 2])
    plain = ConvNetClassifier([], random_state=0)
    plain.partial_fit(X[some], y[some], classes=[0, 1, 2])
    assert same_weights(clf, plain)


# ---------------------------------------------------------------------------
# The course of a fit
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_partial_fit_is_one_pass(digits, quick):
    X, y = digits
    clf = quick(max_iter=3).fit(X, y)
    parts = quick(max_iter=99)
    for i in range(3):
        assert parts.partial_fit(X, y, classes=range(10) if i == 0 else None) is parts
        assert (parts.n_iter_, parts.t_) == (1, (i + 1) * len(X))
    assert same_weights(clf, parts)
    assert parts.loss_curve_ == clf.loss_curve_
    assert parts.loss_ == clf.loss_curve_[-1]
    assert parts.best_loss_ == min(clf.loss_curve_)


def test_partial_fit_goes_on_from_a_fit(digits, quick):
    X, y = digits
    long = quick(max_iter=3).fit(X, y)
    short = quick(max_iter=2).fit(X, y).partial_fit(X, y)
    assert same_weights(long, short)


def test_partial_fit_sees_classes_one_after_the_other(digits, quick):
    X, y = digits
    clf = quick()
    for _ in range(12):
        for part in np.array_split(np.arange(300), 5):
            clf.partial_fit(X[part], y[part], classes=np.arange(10))
    assert clf.score(X, y) > 0.9
    with pytest.raises(ValueError, match=r"classes.*is not the same as on the first"):
        clf.partial_fit(X, y, classes=[0, 1])


def test_partial_fit_needs_the_classes_first(digits, quick):
    X, y = digits
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        quick().partial_fit(X, y)
    with pytest.raises(ValueError, match="class_weight='balanced' is not supported"):
        quick(class_weight="balanced").partial_fit(X, y, classes=range(10))
    with pytest.raises(ValueError, match="does not support early_stopping=True"):
        quick(early_stopping=True).partial_fit(X, y, classes=range(10))


def test_warm_start_goes_on(digits, quick):
    X, y = digits
    clf = quick(max_iter=2, warm_start=True).fit(X, y)
    first, loss = clf.get_weights(), clf.loss_
    clf.fit(X, y)
    assert clf.n_iter_ == 2
    assert len(clf.loss_curve_) == 4
    assert clf.t_ == 4 * len(X)
    assert clf.loss_curve_[2] < loss < clf.loss_curve_[0]
    assert not np.array_equal(first["conv1/weight"], clf.get_weights()["conv1/weight"])
    clf.set_params(warm_start=False).fit(X, y)
    assert clf.n_iter_ == 2
    np.testing.assert_array_equal(first["conv1/weight"], clf.get_weights()["conv1/weight"])


def test_warm_start_draws_new_dropout_masks(digits):
    X, y = digits
    clf = ConvNetClassifier(
        [("drop", Dropout(0.5))],
        optimizer=SGD(1e-12),  # so that only the masks tell the losses apart
        batch_size=300,
        max_iter=1,
        warm_start=True,
        random_state=0,
    )
    losses = [clf.fit(X, y).loss_ for _ in range(4)]
    assert len(np.unique(np.round(losses, 6))) == 4


def test_early_stopping_goes_back_to_the_best_weights(digits, quick, monkeypatch):
    X, y = digits
    scores = iter([0.2, 0.7, 0.9, 0.8, 0.9, 0.85, 1.0])
    seen = []

    def evaluate(self, samples, score):
        assert len(samples) == 75
        seen.append(self.network.parameters()["conv1/weight"].copy())
        return 1.0, next(scores)

    monkeypatch.setattr(Trainer, "evaluate", evaluate)
    clf = quick(early_stopping=True, validation_fraction=0.25, n_iter_no_change=3).fit(X, y)
    assert clf.validation_scores_ == [0.2, 0.7, 0.9, 0.8, 0.9, 0.85]
    assert clf.best_validation_score_ == 0.9
    assert clf.best_loss_ is None
    assert clf.n_iter_ == len(clf.loss_curve_) == 6
    assert clf.t_ == 6 * 225
    assert clf.history_["validation_score"] == clf.validation_scores_
    np.testing.assert_array_equal(clf.get_weights()["conv1/weight"], seen[2])


def test_the_validation_score_is_that_of_predict(digits, quick):
    X, y = digits
    clf = quick(early_stopping=True, max_iter=20, n_iter_no_change=5).fit(X, y)
    assert 0.6 < clf.best_validation_score_ <= 1
    assert clf.best_validation_score_ == max(clf.validation_scores_)
    assert np.allclose(np.array(clf.validation_scores_) * 30 % 1, 0)
    n_before = clf.n_iter_
    clf.set_params(warm_start=True, max_iter=2).fit(X, y)
    assert len(clf.validation_scores_) == len(clf.loss_curve_) == n_before + clf.n_iter_


@pytest.mark.parametrize(
    ("tol", "n_iter_no_change", "losses"),
    [
        (0.25, 2, [5, 4, 3.875, 3.8125]),  # the last two improve by less than tol
        (0.25, 2, [5, 4, 3.875, 3.625, 3.5, 3.5]),  # by exactly tol counts
        (0.0, 1, [5, 5, 5, 5.5]),  # so that tol=0 lets equal losses pass
        (0.25, 2, [5, 6, 4, 5, 4.5]),  # compared with the best, not with the last
    ],
)
def test_training_stops_without_improvement(maps, monkeypatch, tol, n_iter_no_change, losses):
    coming = iter([*losses, 0.0, 0.0])
    monkeypatch.setattr("sklearn_convnet.training.Trainer.run_epoch", lambda *_: next(coming))
    clf = ConvNetClassifier([], tol=tol, n_iter_no_change=n_iter_no_change)
    clf.fit(*maps)
    assert clf.loss_curve_ == losses
    assert clf.best_loss_ == min(losses)


def test_batches_are_nearly_equal():
    for n, batch_size in [(1, 1), (200, 200), (201, 200), (999, 100), (5, 1000)]:
        edges = batches_of(n, batch_size)
        sizes = [stop - start for start, stop in edges]
        assert [start for start, _ in edges] == [0, *np.cumsum(sizes)[:-1]]
        assert sum(sizes) == n
        assert max(sizes) <= batch_size
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == -(-n // batch_size)


@pytest.mark.parametrize(
    ("batch_size", "expected"),
    [("auto", {150}), (128, {100}), (7, {6, 7}), (500, {300})],
)
def test_batches_of_a_fit(digits, quick, monkeypatch, batch_size, expected):
    sizes = []
    step = Trainer.run_step
    monkeypatch.setattr(
        Trainer, "run_step", lambda self, parts: sizes.append(len(*parts)) or step(self, parts)
    )
    quick(max_iter=1, batch_size=batch_size).fit(*digits)
    assert set(sizes) == expected
    assert sum(sizes) == 300


def test_shuffle(digits, quick, monkeypatch):
    X, y = digits
    seen = []
    step = Trainer.run_step

    def run_step(self, parts):
        (part,) = parts
        seen.extend(part.target)
        return step(self, parts)

    monkeypatch.setattr(Trainer, "run_step", run_step)
    quick(max_iter=2, shuffle=False).fit(X, y)
    np.testing.assert_array_equal(seen, np.tile(y, 2))
    seen.clear()
    quick(max_iter=2).fit(X, y)
    assert sorted(seen[:300]) == sorted(y)
    assert seen[:300] != seen[300:]


# ---------------------------------------------------------------------------
# The network by default
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@pytest.mark.parametrize(
    ("load", "max_iter", "least"),
    [
        (load_iris, 200, 0.89),  # 100 samples a fold, and a short training: 135 of 150 are right
        (load_wine, 60, 0.93),
        (load_breast_cancer, 20, 0.93),
    ],
)
def test_default_network_on_tables(load, max_iter, least):
    X, y = load(return_X_y=True)
    clf = ConvNetClassifier(max_iter=max_iter, random_state=0)
    assert cross_val_score(clf, X, y, cv=3).mean() >= least


def test_default_network_on_signals():
    rng = np.random.RandomState(0)
    y = rng.randint(3, size=400)
    phase = rng.uniform(0, 6, size=(400, 1))
    X = np.sin(phase + np.arange(40) * (0.3 + 0.25 * y[:, None]))
    X = (X + 0.5 * rng.normal(size=X.shape))[..., np.newaxis]
    clf = ConvNetClassifier(max_iter=20, random_state=0).fit(X[:300], y[:300])
    assert clf.score(X[300:], y[300:]) > 0.9


def test_default_network_on_images(digits):
    X, y = digits
    clf = ConvNetClassifier(max_iter=25, random_state=0).fit(X[:200], y[:200])
    assert clf.score(X[200:], y[200:]) > 0.85


# ---------------------------------------------------------------------------
# Kinds of X
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_flat_samples_are_images_with_input_shape(digits, quick):
    X, y = digits
    flat = X.reshape(300, 64)
    clf = quick(input_shape=(8, 8), max_iter=2).fit(flat, y)
    images = quick(max_iter=2).fit(X, y)
    assert same_weights(clf, images)
    assert clf.n_features_in_ == images.n_features_in_ == 64
    assert clf.input_shape_ == images.input_shape_ == (8, 8)
    for model in (clf, images):  # either form will do
        P = model.predict_proba(flat)
        np.testing.assert_array_equal(P, model.predict_proba(X))
    with_list = quick(input_shape=[8, 8, 1], max_iter=2).fit(X[..., None], y)
    assert same_weights(with_list, images)


def test_a_missing_channel_axis_is_one_channel(digits, quick):
    X, y = digits
    without = quick(max_iter=2).fit(X, y)
    with_axis = quick(max_iter=2).fit(X[..., None], y)
    assert same_weights(without, with_axis)
    assert without.input_shape_ == (8, 8)
    assert with_axis.input_shape_ == (8, 8, 1)


def test_the_first_layer_with_a_rank_decides(digits):
    X, y = digits
    signals = ConvNetClassifier([Dropout(0.1), Conv1D(3, 2)], max_iter=1).fit(X, y)
    images = ConvNetClassifier([Dropout(0.1), Conv2D(3, 2)], max_iter=1).fit(X, y)
    volumes = ConvNetClassifier([Conv3D(3, 2)], max_iter=1, input_shape=(4, 4, 4))
    volumes.fit(X.reshape(300, 64), y)
    shapes = [m.get_weights() for m in (signals, images, volumes)]
    assert shapes[0]["conv1d1/weight"].shape == (2, 8, 3)
    assert shapes[1]["conv2d1/weight"].shape == (2, 2, 1, 3)
    assert shapes[2]["conv3d1/weight"].shape == (2, 2, 2, 1, 3)


@pytest.mark.oldest
def test_data_frames(digits, quick):
    X, y = digits
    names = [f"pixel{i}" for i in range(64)]
    frame = pd.DataFrame(X.reshape(300, 64), columns=names)
    labels = pd.Series(y).map(str)
    clf = quick(input_shape=(8, 8), max_iter=2).fit(frame, labels)
    assert list(clf.feature_names_in_) == names
    with pytest.raises(ValueError, match="feature names should match"):
        clf.predict(frame[names[::-1]])
    other = quick(input_shape=(8, 8), max_iter=2).fit(X, y.astype(str))
    np.testing.assert_array_equal(clf.predict(frame), other.predict(X))
    np.testing.assert_array_equal(clf.predict_proba(frame), other.predict_proba(X))


@pytest.mark.parametrize(
    ("given", "dtype", "computed"),
    [
        ("uint8", "auto", "float32"),
        ("int64", "auto", "float32"),
        ("bool", "auto", "float32"),
        ("float16", "auto", "float32"),
        ("float32", "auto", "float32"),
        ("float64", "auto", "float64"),
        (">f8", "auto", "float64"),
        (">f4", "auto", "float32"),
        ("uint8", "float64", "float64"),
        ("float64", "float32", "float32"),
    ],
)
def test_dtypes(digits, quick, given, dtype, computed):
    X, y = digits
    clf = quick(max_iter=2, dtype=dtype).fit(X.astype(given), y)
    assert clf.get_weights()["conv1/weight"].dtype == computed
    assert clf.predict_proba(X.astype(given)).dtype == computed
    # The values are what counts, not their type.
    plain = quick(max_iter=2).fit(X.astype(given).astype(computed), y)
    assert same_weights(clf, plain)


def in_a_file(X, tmp_path, mode):
    np.save(tmp_path / "X.npy", X)
    return np.load(tmp_path / "X.npy", mmap_mode=mode)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("kind", ["memory map", "fortran", "strided", "list"])
def test_layouts_of_x(digits, quick, tmp_path, dtype, kind):
    X, y = digits
    X = X.astype(dtype)
    given = {
        "memory map": lambda: in_a_file(X, tmp_path, "r"),
        "fortran": lambda: np.asfortranarray(X),
        "strided": lambda: np.repeat(X, 2, axis=2)[:, :, ::2],
        "list": lambda: X.tolist(),
    }[kind]()
    clf = quick(max_iter=2, dtype="float64").fit(given, y)
    plain = quick(max_iter=2, dtype="float64").fit(X, y)
    assert same_weights(clf, plain)
    np.testing.assert_array_equal(clf.predict_proba(given), plain.predict_proba(X))


@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_x_is_never_converted_as_a_whole(digits, quick, tmp_path, monkeypatch, dtype):
    X, y = digits
    X = in_a_file(np.asfortranarray(X.astype(dtype)).copy("C"), tmp_path, "r")
    seen = []
    take = Samples.take
    monkeypatch.setattr(Samples, "take", lambda self, *how: seen.append(self.X) or take(self, *how))
    quick(max_iter=1).fit(X, y)
    assert all(np.shares_memory(held, X) for held in seen)
    assert {held.dtype for held in seen} == {X.dtype}


def test_fit_changes_neither_data_nor_parameters(digits, quick):
    X, y = (array.copy() for array in digits)
    clf = quick(max_iter=1)
    before = repr(clf), clf.layers, [id(layer) for _, layer in clf.layers]
    clf.fit(X, y)
    assert (repr(clf), clf.layers, [id(layer) for _, layer in clf.layers]) == before
    np.testing.assert_array_equal(X, digits[0])
    np.testing.assert_array_equal(y, digits[1])


def test_layers_and_weights_of_the_fitted_network(digits, quick):
    clf = quick(max_iter=1).fit(*digits)
    names = [name for name, _ in clf.layers_]
    assert names == ["scale", "conv1", "pool1", "dense1", "output"]
    assert isinstance(clf.layers_[-1][1], Dense)
    weights = clf.get_weights()
    assert weights["output/weight"].shape == (24, 10)
    weights["output/weight"][:] = 0  # a copy
    assert clf.get_weights()["output/weight"].any()
