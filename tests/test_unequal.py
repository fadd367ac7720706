"""Samples that differ in size: fits, predictions, searches, and what stands in the way."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.architectures import unet
from sklearn_convnet.augmentation import RandomAffine, RandomFlip
from sklearn_convnet.batches import Samples
from sklearn_convnet.callbacks import Checkpoint
from sklearn_convnet.inspection import LearningRateRangeDisplay, saliency
from sklearn_convnet.layers import (
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    DenseBlock,
    Dropout,
    Flatten,
    Gate,
    GlobalAvgPool,
    GlobalMaxPool,
    Maxout,
    MaxPool1D,
    Parallel,
    Residual,
    SelfAttention,
    SqueezeExcite,
    Standardize,
)
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.network import compile_network
from sklearn_convnet.optimizers import SGD, Adam
from sklearn_convnet.ragged import Ragged, each_size
from sklearn_convnet.training import Trainer

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


def series(n=24, seed=0, channels=2, dtype=np.float64):
    """Series of 5 to 9 steps, whose class is the sign of their mean."""
    rng = np.random.RandomState(seed)
    y = np.arange(n) % 2
    lengths = rng.randint(5, 10, n)
    lengths[:2] = 5, 9
    pairs = zip(lengths, y, strict=True)
    X = [(rng.normal(size=(length, channels)) + 2 * k - 1).astype(dtype) for length, k in pairs]
    return X, y


def images(n=16, seed=0, sizes=((8, 10), (9, 7), (12, 9))):
    rng = np.random.RandomState(seed)
    y = np.arange(n) % 2
    X = [rng.normal(size=(*sizes[i % len(sizes)], 1)) + 2 * y[i] for i in range(n)]
    return X, y


def quick(layers=None, kind=ConvNetClassifier, **params):
    if layers is None:
        layers = [Conv1D(4, 3), GlobalMaxPool()]
    return kind(layers, **{"max_iter": 3, "random_state": 0, "batch_size": 8, **params})


def in_objects(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


# ---------------------------------------------------------------------------
# Samples in the place of an array
# ---------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(lengths=st.lists(st.integers(1, 4), min_size=1, max_size=12), most=st.integers(1, 5))
def test_parts_hold_each_sample_once(lengths, most):
    X = Ragged([np.full((length, 2), i) for i, length in enumerate(lengths)])
    assert len(X) == len(lengths)
    for limit in (None, most):
        parts = list(X.parts(limit))
        assert sorted(np.concatenate(parts)) == list(range(len(lengths)))
        sizes = [X.stacked(rows).shape[1] for rows in parts]
        assert sizes == sorted(sizes)
        assert limit is None or max(map(len, parts)) <= limit
        assert limit is not None or len(parts) == len(set(lengths))
    some = X[np.array(lengths) > 2]
    assert [len(sample) for sample in some.samples] == [n for n in lengths if n > 2]
    means = each_size(X, lambda part: part.mean(axis=(1, 2)), most)
    assert_array_equal(means, np.arange(len(lengths)))
    firsts = X.first_of_sizes()
    assert firsts == {(n, 2): lengths.index(n) for n in lengths}


def test_shape_and_dtype_of_ragged_samples():
    X = Ragged([np.zeros((3, 2), np.float32), np.zeros((5, 2), np.float32)])
    assert (X.shape, X.ndim, X.dtype) == ((2, None, 2), 3, np.float32)
    assert (X.largest, X.smallest) == ((5, 2), (3, 2))
    assert X[1].shape == (5, 2)


# ---------------------------------------------------------------------------
# Predictions
# ---------------------------------------------------------------------------

NETWORKS = {
    "max": [Conv1D(4, 3), GlobalMaxPool()],
    "padded": [Standardize(), Conv1D(4, 3, padding="same"), BatchNorm(), GlobalAvgPool()],
    "deep": [Conv1D(4, 2), MaxPool1D(2), Conv1D(5, 2), GlobalAvgPool(), Dropout(0.3), Dense(4)],
}


@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS.keys())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_prediction_is_that_of_the_sample_alone(layers, dtype):
    X, y = series(dtype=dtype)
    clf = quick(layers).fit(X, y)
    assert clf.network_.dtype == dtype
    P = clf.predict_proba(X)
    for i, x in enumerate(X):
        own = compile_network(clf.layers_, x.shape, dtype=dtype.__name__, random_state=0)
        own.restore(clf.network_.snapshot())
        Z = own.forward(x[np.newaxis])
        assert_allclose(P[i], np.exp(Z[0]) / np.exp(Z).sum(), rtol=1e-5)
        assert_array_equal(clf.predict_proba(x[np.newaxis])[0], P[i])
    assert_array_equal(clf.predict_proba(X[::-1]), P[::-1])
    assert_array_equal(clf.predict(X), P.argmax(axis=1))
    assert_allclose(np.exp(clf.predict_log_proba(X)), P, rtol=1e-5)
    assert clf.score(X, y) == np.mean(P.argmax(axis=1) == y)
    weight = np.arange(len(X))
    expected = np.average(P.argmax(axis=1) == y, weights=weight)
    assert clf.score(X, y, sample_weight=weight) == pytest.approx(expected)


def test_equal_sizes_predict_unequal_ones():
    X, y = series()
    equal = np.random.RandomState(1).normal(size=(12, 7, 2))
    clf = quick(batch_size=4).fit(equal, y[:12])
    assert clf.input_shape_ == (7, 2)
    one_by_one = [clf.predict_proba(x[np.newaxis])[0] for x in X]
    assert_array_equal(clf.predict_proba(X), one_by_one)
    assert_array_equal(clf.predict_proba(list(equal)), clf.predict_proba(equal))
    with pytest.raises(ValueError, match=r"X\[1\] has shape \(8, 3\)"):
        clf.predict([np.zeros((7, 2)), np.zeros((8, 3))])


def test_a_list_of_equal_sizes_is_an_array():
    X, y = series()
    equal = [x[:5] for x in X]
    a, b = quick().fit(equal, y), quick().fit(np.stack(equal), y)
    assert a.input_shape_ == b.input_shape_ == (5, 2)
    assert_array_equal(a.network_.params, b.network_.params)


def test_unequal_sizes_predict_arrays_of_any_size():
    X, y = series()
    clf = quick().fit(X, y)
    assert clf.input_shape_ == (None, 2)
    assert not hasattr(clf, "n_features_in_")
    for length in (3, 9, 20):
        assert clf.predict(np.zeros((2, length, 2))).shape == (2,)
    with pytest.raises(ValueError, match=r"samples of shape \(4, 3\).*\(None, 2\)"):
        clf.predict(np.zeros((2, 4, 3)))
    with pytest.raises(ValueError, match="'conv1d1': its window covers 3"):
        clf.predict(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match=r"which is that of one sample"):
        clf.predict(np.zeros((2, 2)))
    refit = clf.fit(np.stack([x[:5] for x in X]), y)
    assert (refit.input_shape_, refit.n_features_in_) == ((5, 2), 10)


def test_many_samples_are_predicted_in_chunks():
    X, y = series()
    clf = quick().fit(X, y)
    many = [X[i % 24] for i in range(700)]
    assert_array_equal(clf.predict_proba(many), np.resize(clf.predict_proba(X), (700, 2)))


FORMS = {
    "list": list,
    "tuple": tuple,
    "objects": in_objects,
    "column": lambda X: in_objects(X)[:, np.newaxis],
    "Series": pd.Series,
    "DataFrame": lambda X: pd.DataFrame({"series": X}),
    "nested lists": lambda X: [x.tolist() for x in X],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_forms_of_x(form):
    X, y = series()
    expected = quick().fit(X, y).predict_proba(X)
    assert_array_equal(quick().fit(form(X), y).predict_proba(form(X)), expected)


def test_channels_first():
    X, y = series()
    turned = [x.T for x in X]
    a = quick().fit(X, y)
    b = quick(data_format="channels_first").fit(turned, y)
    assert b.input_shape_ == (None, 2)
    assert_array_equal(a.predict_proba(X), b.predict_proba(turned))
    with pytest.raises(ValueError, match="set data_format='channels_first'"):
        quick().fit(turned, y)


def test_one_channel_may_have_no_axis():
    X, y = series(channels=1)
    flat = [x[:, 0] for x in X]
    for layers in (None, [Conv1D(4, 3), GlobalMaxPool()]):
        clf = ConvNetClassifier(layers, max_iter=2, random_state=0).fit(flat, y)
        assert clf.input_shape_ == (None,)
        assert_array_equal(clf.predict(flat), [clf.predict([x])[0] for x in flat])


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("f8", "f8"), "float64"),
        (("f4", "f8"), "float32"),
        (("u1", "u1"), "float32"),
        (("i8", "f4"), "float32"),
    ],
)
def test_dtypes(dtypes, expected):
    X, y = series()
    mixed = [(9 * x).astype(dtypes[i % 2]) for i, x in enumerate(np.abs(x) for x in X)]
    clf = quick([Standardize(), *NETWORKS["max"]]).fit(mixed, y)
    assert clf.network_.dtype == expected
    alone = [clf.predict_proba(x[np.newaxis])[0] for x in mixed]
    assert_array_equal(clf.predict_proba(mixed), alone)


# ---------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------


def gradients_sample_by_sample(clf, X, codes, share):
    """Those of the cross-entropy, from a network for each sample."""
    total = dict.fromkeys(clf.network_.parameters(), 0)
    for x, k, s in zip(X, codes, share, strict=True):
        own = compile_network(clf.layers_, x.shape, dtype="float64", random_state=0)
        own.restore(clf.network_.snapshot())
        Z = own.forward(x[np.newaxis], training=True)
        P = np.exp(Z) / np.exp(Z).sum()
        P[0, k] -= 1
        own.backward(s * P, need_input=False)
        for path, gradient in own.gradients().items():
            total[path] = total[path] + gradient
    return total


SMOOTH = {
    "convolution": [Conv1D(4, 2, activation="tanh"), GlobalAvgPool(), Dense(3)],
    "frozen": [Conv1D(4, 2, trainable=False), GlobalMaxPool(), Dense(3)],
    "residual": [Conv1D(4, 1), Residual([Conv1D(4, 3, padding="same")]), GlobalAvgPool()],
    "dense block": [DenseBlock([Conv1D(3, 3, padding="same")] * 2), GlobalAvgPool()],
    "branches": [Parallel([Conv1D(2, 1), Conv1D(3, 3, padding="same")]), GlobalMaxPool()],
    "attention": [SelfAttention(2), GlobalAvgPool()],
    "gates": [SqueezeExcite(1), Gate([Conv1D(1, 3, padding="same")]), Maxout(), GlobalAvgPool()],
}


@pytest.mark.parametrize("layers", SMOOTH.values(), ids=SMOOTH.keys())
@pytest.mark.parametrize("weighted", [False, True])
def test_a_step_is_the_sum_over_all_samples(layers, weighted):
    X, y = series()
    weight = np.random.RandomState(3).uniform(0.5, 2, len(X)) if weighted else np.ones(len(X))
    clf = quick(layers, optimizer=SGD(0.1, momentum=0), batch_size=24, shuffle=False)
    clf.partial_fit(X, y, classes=[0, 1])
    before = clf.get_weights()
    expected = gradients_sample_by_sample(clf, X, y, weight / len(X))
    frozen = {segment.path for segment in clf.network_.segments if not segment.trainable}
    clf.partial_fit(X, y, sample_weight=weight)
    for path, value in clf.get_weights().items():
        step = 0 if path in frozen else 0.1 * expected[path]
        assert_allclose(value, before[path] - step, atol=1e-12)


def test_running_statistics_are_means_over_the_parts():
    X, y = series()
    clf = quick([BatchNorm(momentum=0.9), GlobalAvgPool()], batch_size=24)
    clf.partial_fit(X, y, classes=[0, 1])
    mean, variance = np.zeros(2), np.zeros(2)
    for length in {len(x) for x in X}:
        part = np.concatenate([x for x in X if len(x) == length])
        share = sum(len(x) == length for x in X) / len(X)
        mean += share * part.mean(axis=0)
        variance += share * part.var(axis=0)
    seen = clf.network_.buffers()
    assert_allclose(seen["batchnorm1/mean"], 0.1 * mean)
    assert_allclose(seen["batchnorm1/variance"], 0.9 + 0.1 * variance)


def test_standardize_sees_all_values():
    X, y = series()
    weight = np.arange(1.0, 25)
    clf = quick([Standardize(), *NETWORKS["max"]]).fit(X, y, sample_weight=weight)
    values, weights = np.concatenate(X), np.repeat(weight, [len(x) for x in X])
    mean = np.average(values, axis=0, weights=weights)
    seen = clf.network_.buffers()
    assert_allclose(seen["standardize1/mean"], mean)
    deviation = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    assert_allclose(seen["standardize1/deviation"], deviation)


def test_the_curves_are_those_of_all_samples():
    X, y = series()
    clf = quick(batch_size=24, optimizer=SGD(1e-12), shuffle=False)
    clf.fit(X, y, X_val=X[:9], y_val=y[:9])
    P = clf.predict_proba(X)
    losses, right = -np.log(P[np.arange(24), y]), P.argmax(axis=1) == y
    assert_allclose(clf.loss_curve_, losses.mean(), rtol=1e-9)
    assert_allclose(clf.history_["score"], right.mean())
    assert_allclose(clf.history_["validation_loss"], losses[:9].mean(), rtol=1e-9)
    assert_allclose(clf.history_["validation_score"], right[:9].mean())


def test_weights_are_numbers_of_samples():
    X, y = series()
    params = dict(optimizer=SGD(0.1), shuffle=False, batch_size=48)
    weight = np.arange(24) % 3
    repeated = [i for i in range(24) for _ in range(weight[i])]
    a = quick(**params).fit(X, y, sample_weight=weight)
    b = quick(**params).fit([X[i] for i in repeated], y[repeated])
    assert_allclose(a.network_.params, b.network_.params, rtol=1e-9, atol=1e-12)
    c = quick(**params, class_weight={0: 1, 1: 3}).fit(X, y)
    d = quick(**params).fit(X, y, sample_weight=np.where(y, 3.0, 1.0))
    assert_array_equal(c.network_.params, d.network_.params)


def trainer_of(X, batch_size, shuffle=True):
    network = compile_network(
        [Conv1D(2, 1), GlobalAvgPool()], X[0].shape, dtype="float64", random_state=0
    )
    rng = np.random.RandomState(0)
    return Trainer(network, None, SGD(), batch_size, shuffle, rng, n_threads=1)


def test_batches_are_of_like_sizes():
    rng = np.random.RandomState(0)
    lengths = rng.randint(5, 30, 200)
    X = Ragged([np.full((length, 1), float(i)) for i, length in enumerate(lengths)])
    weight = rng.uniform(1, 2, 200)
    samples = Samples(X, np.arange(200), weight)
    trainer = trainer_of(X.samples, 20)
    orders = []
    for _ in range(2):
        rows, parts = [], []
        for batch in trainer.batches(samples):
            assert sum(map(len, batch)) == 20
            for part in batch:
                parts.append(part)
                rows += part.target.tolist()
                assert_array_equal(part.X[:, 0, 0], part.target)
                assert_allclose(part.share, weight[part.target] / 20)
        assert sorted(rows) == list(range(200))
        assert len(parts) < len(set(lengths)) + 10  # sorted: a batch more has one part more
        orders.append(rows)
    assert orders[0] != orders[1]
    firsts = [lengths[row] for row in orders[0][::20]]
    assert firsts != sorted(firsts)  # batches are shuffled
    same = [p.target.tolist() for b in trainer_of(X.samples, 20).batches(samples) for p in b]
    assert np.concatenate(same).tolist() == orders[0]
    kept = [p.target for b in trainer_of(X.samples, 20, False).batches(samples) for p in b]
    for i in range(10):
        assert sorted(np.concatenate(kept)[20 * i : 20 * i + 20]) == list(
            range(20 * i, 20 * i + 20)
        )


def test_parts_of_a_step_have_masks_of_their_own():
    network = compile_network([Dropout(0.5)], (40, 2), dtype="float64", random_state=0)
    X = np.ones((1, 30, 2))
    masks = []
    for network.part in (0, 1):
        masks.append(network.resized((30, 2)).forward(X, training=True))
    assert not np.array_equal(*masks)
    network.part = 0
    assert_array_equal(network.resized((30, 2)).forward(X, training=True), masks[0])


def test_one_pass_at_a_time_waits_for_its_backward():
    network = compile_network(
        [Conv1D(2, 3, activation=None)], (9, 1), dtype="float64", random_state=0
    )
    network.forward(np.zeros((1, 9, 1)), training=True)
    other = network.resized((7, 1))
    other.forward(np.zeros((1, 7, 1)), training=True)
    with pytest.raises(RuntimeError, match="needs a forward"):
        network.backward(np.zeros((1, 7, 2)))
    other.backward(np.ones((1, 5, 2)))
    assert_array_equal(network.gradients()["conv1d1/bias"], [5, 5])


@pytest.mark.parametrize("layers", NETWORKS.values(), ids=NETWORKS.keys())
def test_bits_depend_on_the_seed_alone(layers):
    X, y = series()
    one, two, again = (quick(layers, n_threads=n).fit(X, y) for n in (1, 2, 1))
    assert_array_equal(one.network_.params, two.network_.params)
    assert_array_equal(one.network_.params, again.network_.params)
    other = quick(layers, random_state=1).fit(X, y)
    assert not np.array_equal(one.network_.params, other.network_.params)


def test_it_learns():
    X, y = series(60)
    X_test, y_test = series(60, seed=1)
    clf = ConvNetClassifier(max_iter=60, batch_size=10, random_state=0).fit(X, y)
    ends = ["globalavgpool1", "dropout1", "dense1", "dropout2", "output"]
    assert [name for name, _ in clf.layers_][-5:] == ends
    assert clf.score(X_test, y_test) > 0.95
    assert clf.summary().rows[0][2] == (9, 2)  # of the longest


def test_the_network_of_its_own_choosing_sees_small_and_large_samples():
    X, y = images(12, sizes=((5, 40), (40, 30), (5, 5)))
    clf = ConvNetClassifier(max_iter=1, random_state=0).fit(X, y)
    assert clf.predict(X).shape == (12,)
    kinds = [name.rstrip("0123456789") for name, _ in clf.layers_]
    assert kinds.count("conv2d") == 3  # of sides of 30, 15 and 7
    assert kinds.count("maxpool2d") == 1  # of 5


def test_targets():
    X, y = series()
    rng = np.random.RandomState(0)
    several = np.column_stack([y, rng.randint(0, 3, 24)])
    columns = quick().fit(X, several)
    assert columns.predict(X).shape == (24, 2)
    assert [P.shape for P in columns.predict_proba(X)] == [(24, 2), (24, 3)]
    assert_array_equal(columns.predict(X)[:1], columns.predict(X[:1]))
    assert quick().fit(X, rng.randint(0, 2, (24, 3))).predict(X).shape == (24, 3)
    values = np.array([x.mean() for x in X])
    layers = [Conv1D(8, 1), GlobalAvgPool()]
    reg = quick(layers, ConvNetRegressor, max_iter=80, optimizer="adam").fit(X, values)
    assert reg.score(X, values) > 0.9
    assert reg.history_["score"][-1] > 0.8
    assert reg.predict(X[:3]).shape == (3,)
    two = quick(kind=ConvNetRegressor).fit(X, np.column_stack([values, values]))
    assert two.predict(X).shape == (24, 2)


def test_partial_fit_goes_through_a_stream():
    X, y = series()
    stream = quick()
    for i in range(12):
        stream.partial_fit(X[i : i + 1], y[i : i + 1], classes=[0, 1])
    assert stream.input_shape_ == (None, 2)
    assert not hasattr(stream, "n_features_in_")
    stream.partial_fit(X[12:], y[12:])
    stream.partial_fit(np.zeros((2, 11, 2)), [0, 1])
    assert stream.t_ == 26
    with pytest.raises(ValueError, match=r"X\[0\] has shape \(4, 3\)"):
        stream.partial_fit([np.zeros((4, 3)), np.zeros((5, 3))], [0, 1])
    with pytest.raises(ValueError, match="samples of shape"):  # an array of another size
        quick().fit(np.zeros((2, 7, 2)), [0, 1]).partial_fit(np.zeros((2, 8, 2)), [0, 1])


def test_warm_start_goes_on():
    X, y = series()
    clf = quick(warm_start=True).fit(X, y)
    before = clf.network_.params.copy()
    clf.fit(X[:10], y[:10])
    assert not np.array_equal(before, clf.network_.params)
    assert len(clf.loss_curve_) == 6
    clf.set_params(conv1d1__trainable=False)
    kernel = clf.get_weights()["conv1d1/weight"]
    clf.fit(X, y)
    assert_array_equal(clf.get_weights()["conv1d1/weight"], kernel)
    with pytest.raises(ValueError, match="data_format='channels_first' must stay"):
        clf.set_params(data_format="channels_first").fit(X, y)


@pytest.mark.filterwarnings("ignore:The network predicts the same class")
def test_early_stopping_holds_out_rows():
    X, y = series(60)
    clf = quick(early_stopping=True, n_iter_no_change=2, max_iter=30).fit(X, y)
    assert len(clf.validation_scores_) == len(clf.loss_curve_)
    assert clf.best_validation_score_ >= 0.5
    given = quick(early_stopping=True).fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    assert given.best_validation_score_ == given.score(X[40:], y[40:])
    arrays = quick().fit(X, y, X_val=np.zeros((4, 6, 2)), y_val=[0, 1, 0, 1])
    assert len(arrays.validation_scores_) == 3


# ---------------------------------------------------------------------------
# scikit-learn
# ---------------------------------------------------------------------------


def test_searches_and_cross_validation():
    X, y = series(30)
    for samples in (X, in_objects(X)):
        scores = cross_val_score(quick(), samples, y, cv=3)
        expected = []
        for fold in range(3):
            held = np.flatnonzero(np.arange(30) // 10 == fold)
            kept = np.setdiff1d(np.arange(30), held)
            clf = quick().fit([X[i] for i in kept], y[kept])
            expected.append(clf.score([X[i] for i in held], y[held]))
        assert scores == pytest.approx(expected)  # folds of y in turn are blocks
    search = GridSearchCV(quick(), {"conv1d1__filters": [2, 3]}, cv=2).fit(X, y)
    assert search.predict(X).shape == (30,)
    assert cross_val_predict(quick(), X, y, cv=2, method="predict_proba").shape == (30, 2)


def test_pipelines_clones_and_pickles():
    X, y = series()
    double = FunctionTransformer(lambda X: [2 * x for x in X])
    pipe = make_pipeline(double, quick()).fit(X, y)
    clf = quick().fit([2 * x for x in X], y)
    assert_array_equal(pipe.predict_proba(X), clf.predict_proba([2 * x for x in X]))
    loaded = pickle.loads(pickle.dumps(clf))
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    loaded.partial_fit(X, y)
    clf.partial_fit(X, y)
    assert_array_equal(loaded.network_.params, clf.network_.params)
    assert_array_equal(clone(clf).fit(X, y).predict(X), quick().fit(X, y).predict(X))


class Seen:
    """Notes what an epoch is given."""

    def setup(self, estimator, context):
        self.X = None

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.X = X if context.task_name == "epoch" else self.X

    def on_fit_task_end(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass


class Killed(BaseException):
    pass


class Killer(Seen):
    """Ends a fit after its second epoch, as a kill would."""

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch" and context.task_id == 1:
            raise Killed


def test_callbacks_get_lists():
    pytest.importorskip("sklearn.callback")
    X, y = series()
    turned = [x.T for x in X]
    weight = np.arange(24) % 2
    seen = Seen()
    clf = quick(data_format="channels_first").set_callbacks(seen)
    clf.fit(turned, y, sample_weight=weight)
    for given_back, x in zip(seen.X, turned[1::2], strict=True):
        assert_array_equal(given_back, x)


def test_a_checkpoint_goes_on(tmp_path):
    pytest.importorskip("sklearn.callback")
    X, y = series()
    whole = quick(NETWORKS["deep"], max_iter=5).fit(X, y)
    checkpoint = Checkpoint(tmp_path / "fit")
    with pytest.raises(Killed):
        quick(NETWORKS["deep"], max_iter=5).set_callbacks(checkpoint, Killer()).fit(X, y)
    resumed = quick(NETWORKS["deep"], max_iter=5).set_callbacks(checkpoint)
    with pytest.raises(ValueError, match="another X"):
        resumed.fit([2 * x for x in X], y)
    resumed.fit(X, y)
    assert_array_equal(resumed.network_.params, whole.network_.params)
    assert resumed.history_ == whole.history_


def test_the_range_of_learning_rates():
    X, y = series()
    display = LearningRateRangeDisplay.from_estimator(quick(), X, y, n_steps=6)
    assert len(display.losses) >= 2


# ---------------------------------------------------------------------------
# Images
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("augmentation", [RandomFlip(), RandomAffine(rotation=(-20, 20))])
def test_augmentation(augmentation):
    X, y = images()
    layers = [Conv2D(3, 3), GlobalAvgPool()]
    clf = quick(layers, augmentation=augmentation).fit(X, y)
    again = quick(layers, augmentation=augmentation, n_threads=2).fit(X, y)
    plain = quick(layers).fit(X, y)
    assert_array_equal(clf.network_.params, again.network_.params)
    assert not np.array_equal(clf.network_.params, plain.network_.params)


@pytest.mark.parametrize("voting", ["soft", "hard", "dense"])
def test_crops_have_one_size(voting):
    X, y = images()
    crops = MultiCrop(6, n_crops=5, voting=voting)
    clf = quick([Conv2D(3, 3), Flatten(), BatchNorm(), Dense(4)], multi_crop=crops)
    if voting == "dense":
        clf.set_params(layers=[Conv2D(3, 3), Dense(4)])
    clf.fit(X, y, X_val=X, y_val=y)
    assert clf.network_.input_shape == (6, 6, 1)
    P = clf.predict_proba(X)
    assert_array_equal(P, [clf.predict_proba(x[np.newaxis])[0] for x in X])
    assert_array_equal(clf.predict(X), P.argmax(axis=1))
    with pytest.raises(ValueError, match=r"X\[\d+\].*12"):
        quick([Conv2D(3, 3)], multi_crop=MultiCrop(12)).fit(X, y)


def test_boxes_are_shares():
    X, y = images()
    boxes = np.tile([0.2, 0.3, 0.6, 0.7], (16, 1))
    layers = [Conv2D(3, 3), GlobalAvgPool()]
    clf = quick(layers, augmentation=RandomFlip()).fit(X, y, boxes=boxes)
    assert clf.predict_box(X).shape == (16, 4)
    assert_array_equal(clf.predict_box(X)[:1], clf.predict_box(X[:1]))
    with pytest.raises(ValueError, match="box_units='pixels' needs images of one size"):
        quick(layers, box_units="pixels").fit(X, y, boxes=boxes)


# ---------------------------------------------------------------------------
# What stands in the way is told before training
# ---------------------------------------------------------------------------


def with_value(value):
    X, _ = series()
    X[3] = X[3].copy()
    X[3][0, 0] = value
    return X


X, Y = series()
REFUSED = {
    "a dense layer on maps": ([Conv1D(4, 3)], X, {}, r"'output'.*GlobalAvgPool\(\)"),
    "a named dense layer": ([("head", Dense(4)), Dense(2)], X, {}, r"X\[\d+\].*'head'"),
    "statistics of values": (
        [Standardize(per="value"), *NETWORKS["max"]],
        X,
        {},
        "'standardize1'.*standardise channels",
    ),
    "a variance of one value": (
        [Conv1D(4, 3), GlobalAvgPool(), ("norm", BatchNorm())],
        X,
        {},
        "'norm'.*one value of each channel.*before the global pool",
    ),
    "a small sample": (
        [Conv1D(4, 6), GlobalAvgPool()],
        X,
        {},
        r"X\[0\] of shape \(5, 2\): layer 'conv1d1': its window covers 6",
    ),
    "a small sample, turned": (
        [Conv1D(4, 6), GlobalAvgPool()],
        [x.T for x in X],
        {"data_format": "channels_first"},
        r"X\[0\] of shape \(2, 5\)",
    ),
    "an empty sample": (None, [np.zeros((0, 2)), *X[1:]], {}, r"X\[0\].*\(0, 2\).*no values"),
    "NaN": (None, with_value(np.nan), {}, r"X\[3\].*NaN"),
    "infinity": (None, with_value(np.inf), {}, r"X\[3\].*infinity"),
    "too large": (None, with_value(1e300), {"dtype": "float32"}, r"X\[3\].*too large"),
    "text": (None, [*X[:-1], np.full((3, 2), "a")], {}, r"X\[23\]"),
    "complex": (None, [*X[:-1], np.full((3, 2), 1j)], {}, r"X\[23\].*[Cc]omplex"),
    "other axes": (None, [*X[:-1], np.zeros(3)], {}, r"X\[0\] has shape \(5, 2\) and X\[23\] \(3,"),
    "other channels": (
        None,
        [*X[:-1], np.zeros((3, 4))],
        {},
        r"2 channels and X\[23\] 4: samples may differ in size, not in their channels",
    ),
    "a shape": (None, X, {"input_shape": (9, 2)}, "input_shape.*leave it out"),
    "a table": (None, [x[:, 0] for x in X], {"input_kind": "table"}, "rows of different lengths"),
    "too few": (None, X[:-1], {}, "X has 23 samples, but y has 24"),
}


@pytest.mark.parametrize(("layers", "X", "params", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refused(layers, X, params, message):
    if layers is None:
        layers = None if "input_kind" in params else [Conv1D(4, 3), GlobalMaxPool()]
    clf = ConvNetClassifier(layers, max_iter=1, random_state=0, **params)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        clf.fit(X, Y)
    assert not hasattr(clf, "network_")


def test_what_takes_one_size_says_so():
    X, y = series()
    clf = quick().fit(X, y)
    with pytest.raises(ValueError, match="fitted with samples of unequal sizes"):
        clf.scan(np.zeros((1, 30, 2)))
    with pytest.raises(ValueError, match="fitted with samples of unequal sizes"):
        saliency(clf, np.zeros((1, 9, 2)))
    with pytest.raises(ValueError, match="X must be an array of samples of one size"):
        saliency(clf, X)
    with pytest.raises(ValueError, match=re.escape("X has samples of shape (4, 3)")):
        clf.predict(np.zeros((1, 4, 3)))


# ---------------------------------------------------------------------------
# Maps: a label or values for each pixel
# ---------------------------------------------------------------------------

MAPPING = [Conv2D(6, 3, padding="same"), Conv2D(6, 3, padding="same")]


def scenes(n=12, seed=0):
    """Images of three sizes, and which of their pixels are bright."""
    X, _ = images(n, seed)
    return X, [(x[..., 0] > 0.5).astype(int) for x in X]


def test_maps_of_labels():
    X, y = scenes()
    clf = quick(MAPPING, max_iter=60, batch_size=4, optimizer="adam").fit(X, y)
    assert clf.input_shape_ == (None, None, 1)
    assert_array_equal(clf.classes_, [0, 1])
    found, P = clf.predict(X), clf.predict_proba(X)
    for i, x in enumerate(X):
        assert found[i].shape == y[i].shape
        assert_array_equal(P[i], clf.predict_proba(x[np.newaxis])[0])
        assert_array_equal(found[i], P[i].argmax(axis=-1))
    weight = np.arange(1.0, 13)
    pixels = np.repeat(weight, [m.size for m in y])
    right = np.concatenate([(a == b).ravel() for a, b in zip(found, y, strict=True)])
    assert clf.score(X, y) == pytest.approx(right.mean())
    assert clf.score(X, y) > 0.9
    assert clf.score(X, y, sample_weight=weight) == pytest.approx(np.average(right, weights=pixels))
    turned = [m[..., np.newaxis] for m in y]
    assert quick(MAPPING).fit(X, turned).predict(X)[0].shape == turned[0].shape


def test_curves_and_gradients_of_maps():
    X, y = scenes()
    clf = quick(MAPPING, batch_size=12, shuffle=False, optimizer=SGD(0.1, momentum=0))
    clf.partial_fit(X, y, classes=[0, 1])
    P = clf.predict_proba(X)
    pairs = list(zip(P, y, strict=True))
    losses = [-np.log(np.take_along_axis(p, m[..., None], -1)).mean() for p, m in pairs]
    total = {}
    before = clf.get_weights()
    for x, m in zip(X, y, strict=True):
        own = compile_network(clf.layers_, x.shape, dtype="float64", random_state=0)
        own.restore(clf.network_.snapshot())
        Z = own.forward(x[np.newaxis], training=True)
        gradient = np.exp(Z) / np.exp(Z).sum(axis=-1, keepdims=True) - np.eye(2)[m]
        own.backward(gradient / m.size / 12)
        for path, value in own.gradients().items():
            total[path] = total.get(path, 0) + value
    clf.partial_fit(X, y)
    for path, value in clf.get_weights().items():
        assert_allclose(value, before[path] - 0.1 * total[path], atol=1e-12)
    assert clf.loss_curve_[-1] == pytest.approx(np.mean(losses))
    right = np.concatenate([(p.argmax(-1) == m).ravel() for p, m in pairs])
    assert clf.history_["score"][-1] == pytest.approx(right.mean())


def test_ignored_pixels_and_class_weights():
    X, y = scenes()
    masked = [np.where(np.arange(m.shape[1]) % 3 == 0, -1, m) for m in y]
    params = dict(ignore_label=-1, class_weight={0: 1, 1: 2}, early_stopping=True)
    clf = quick(MAPPING, **params).fit(X, masked)
    assert_array_equal(clf.classes_, [0, 1])
    seen = np.concatenate([m.ravel() for m in masked])
    found = np.concatenate([m.ravel() for m in clf.predict(X)])
    assert clf.score(X, masked) == pytest.approx(np.mean((found == seen)[seen >= 0]))
    # What is ignored does not matter.
    other = [np.where(m < 0, -1, m) for m in masked]
    assert_array_equal(quick(MAPPING, **params).fit(X, other).network_.params, clf.network_.params)


@pytest.mark.parametrize("channels", [None, 2])
def test_maps_of_values(channels):
    X, _ = scenes()
    y = [x[..., 0] + 3 for x in X]
    if channels:
        y = [np.stack([m, 2 * m], axis=-1) for m in y]
    y[0] = y[0].copy()
    y[0][0, 0] = np.nan
    reg = quick([Conv2D(4, 1)], ConvNetRegressor, target="maps", max_iter=60, optimizer=Adam(0.05))
    reg.fit(X, y, X_val=X[:3], y_val=y[:3])
    found = reg.predict(X)
    assert [m.shape for m in found] == [m.shape for m in y]
    values = np.concatenate([m.reshape(-1, channels or 1) for m in y])
    mean, deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    assert_allclose(reg.get_weights()["output/target_mean"], mean)
    assert_allclose(reg.get_weights()["output/target_deviation"], deviation)
    predicted = np.concatenate([m.reshape(-1, channels or 1) for m in found])
    error, spread = np.nansum((values - predicted) ** 2), np.nansum((values - mean) ** 2)
    assert reg.score(X, y) == pytest.approx(1 - error / spread)
    assert reg.score(X, y) > 0.9
    assert reg.validation_scores_[-1] == pytest.approx(reg.score(X[:3], y[:3]), rel=1e-3)


def test_labels_of_steps():
    X, _ = series()
    y = [(x[:, 0] > 0).astype(int) for x in X]
    clf = quick([Conv1D(8, 1)], max_iter=80, optimizer=Adam(0.05)).fit(X, y)
    assert [m.shape for m in clf.predict(X)] == [m.shape for m in y]
    assert clf.score(X, y) > 0.9
    assert cross_val_score(clf, X, in_objects(y), cv=2).min() > 0.5


def test_maps_move_with_their_images():
    X, y = scenes()
    clf = quick(MAPPING, augmentation=RandomFlip()).fit(X, y)
    assert not np.array_equal(clf.network_.params, quick(MAPPING).fit(X, y).network_.params)
    values = [m.astype(float) for m in y]
    reg = quick(MAPPING, ConvNetRegressor, target="maps", augmentation=RandomFlip())
    assert np.isfinite(reg.fit(X, values).score(X, values))


def test_maps_in_a_stream():
    X, y = scenes()
    clf = quick(MAPPING)
    for i in range(4):
        clf.partial_fit(X[i : i + 1], y[i : i + 1], classes=[0, 1])
    clf.partial_fit(X, y)
    assert clf.t_ == 16
    assert clf.predict(X)[2].shape == y[2].shape


def test_u_nets_say_what_divides_sizes():
    X, _ = images(6, sizes=((16, 8), (8, 24)))
    masks = [(x[..., 0] > 0.5).astype(int) for x in X]
    layers = unet(1 / 16, depth=2)
    clf = quick(layers, max_iter=1).fit(X, masks)
    assert [m.shape for m in clf.predict(X)] == [m.shape for m in masks]
    X[4], masks[4] = X[4][:14], masks[4][:14]
    with pytest.raises(ValueError, match=r"X\[4\] of shape \(14, 8, 1\).*must be a multiple of 4"):
        quick(layers, max_iter=1).fit(X, masks)


def test_refused_maps():
    X, y = scenes()
    wrong = [*y[:5], np.zeros((3, 3), int), *y[6:]]
    with pytest.raises(ValueError, match=r"y\[5\] has shape \(3, 3\).*X\[5\].*12 x 9"):
        quick(MAPPING).fit(X, wrong)
    with pytest.raises(ValueError, match=r"y\[5\] has shape \(3, 3\)"):
        quick(MAPPING).fit(X, y, X_val=X, y_val=wrong)
    with pytest.raises(ValueError, match="samples of X have one size"):
        quick(MAPPING).fit(np.zeros((12, 8, 10, 1)), y)
    with pytest.raises(ValueError, match="sample_weight holds maps of unequal sizes"):
        quick(MAPPING).fit(X, y, sample_weight=[np.ones(m.shape) for m in y])
    with pytest.raises(ValueError, match=r"entries of y have \[1, 2\] axes"):
        quick(MAPPING).fit(X, [*y[:-1], np.zeros(3)])
    with pytest.raises(ValueError, match="target='labels'"):
        quick(MAPPING, target="labels").fit(X, y)
    with pytest.raises(ValueError, match=r"y\[0\] has shape \(0, 3\)"):
        quick(MAPPING).fit(X, [np.zeros((0, 3), int), *y[1:]])
    values = [m.astype(float) for m in y]
    bad = [*values[:3], np.full(y[3].shape, np.inf), *values[4:]]
    with pytest.raises(ValueError, match=r"y\[3\].*infinity"):
        quick(MAPPING, ConvNetRegressor).fit(X, bad)
    with pytest.raises(ValueError, match="as many points"):
        quick(MAPPING, ConvNetRegressor, target="points").fit(X, values)
    with pytest.raises(ValueError, match="NaN alone"):
        quick(MAPPING, ConvNetRegressor).fit(X, [np.full(m.shape, np.nan) for m in values])
    clf = quick(MAPPING).fit(X, y)
    with pytest.raises(ValueError, match="y has 11 samples"):
        clf.score(X, y[:-1])
    with pytest.raises(ValueError, match=r"expected \(1, 12, 9\)"):
        clf.score(X, wrong)
