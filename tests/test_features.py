"""`features=`: numbers beside the samples of a fit."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import (
    CutMix,
    MixUp,
    RandomAffine,
    RandomFlip,
    TestTimeAugmentation,
)
from sklearn_convnet.beside import WithFeatures
from sklearn_convnet.layers import (
    AuxiliaryHead,
    ConcatFeatures,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool,
    MaxPool2D,
    Sequential,
    Standardize,
)
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.optimizers import SGD, Adam

N = 60


@pytest.fixture(scope="module")
def data():
    """Images (6, 6), numbers beside them, and labels and values that follow from both."""
    rng = np.random.RandomState(0)
    X, T = rng.normal(size=(N, 6, 6)), rng.normal(size=(N, 3))
    value = X[:, :3].mean(axis=(1, 2)) + T[:, 0]
    return X, T, value > np.median(value), value


def end():
    return [("hidden", Dense(5, activation="tanh")), ("drop", Dropout(0.2))]


def beside(kind=ConvNetClassifier, **params):
    fast = dict(batch_size=20, max_iter=3, random_state=0, optimizer=Adam(0.01))
    return kind(**{"layers": [ConcatFeatures(), *end()], **fast, **params})


def same_weights(a, b):
    a, b = a.get_weights(), b.get_weights()
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


# ---------------------------------------------------------------------------
# A network that appends features to a sample is one of the columns of both
# ---------------------------------------------------------------------------

FITS = {
    "plain": {},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "shards": {"n_shards": 2},
    "no shuffling": {"shuffle": False},
    "mixtures": {"augmentation": MixUp()},
    "averaged weights": {"average_weights": 0.9},
    "float32": {"dtype": "float32"},
    "auxiliary head": {
        "layers": [ConcatFeatures(), ("aux", AuxiliaryHead([Dense(3)])), ("hidden", Dense(5))]
    },
    "standardised": {"layers": [ConcatFeatures(), Standardize(per="value"), ("hidden", Dense(5))]},
}


@pytest.mark.oldest
@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("kind", [ConvNetClassifier, ConvNetRegressor])
def test_a_fit_is_that_to_columns(data, kind, name):
    X, T, label, value = data
    y = label if kind is ConvNetClassifier else value
    columns = np.hstack([X.reshape(N, -1), T])
    params = FITS[name]
    layers = params.get("layers", [ConcatFeatures(), *end()])
    weight = np.arange(N) % 4 + 0.0  # some of them are left out
    found = beside(kind, **params).fit(X, y, weight, features=T)
    of_columns = beside(kind, **{**params, "layers": layers[1:], "input_kind": "table"})
    expected = of_columns.fit(columns, y, weight)
    assert same_weights(found, expected)
    np.testing.assert_array_equal(found.predict(X, T), expected.predict(columns))
    assert found.score(X, y, features=T) == expected.score(columns, y)
    assert found.loss_curve_ == expected.loss_curve_
    draws = found.predict_draws(X, 2, 0, T) if "layers" not in params else None
    if draws is not None:
        np.testing.assert_array_equal(draws, expected.predict_draws(columns, 2, 0))


@pytest.mark.oldest
def test_other_ways_to_fit(data):
    X, T, y, _ = data
    columns = np.hstack([X.reshape(N, -1), T])

    def both(fit, **params):
        table = {"layers": end(), "input_kind": "table"}
        found, expected = beside(**params), beside(**{**params, **table})
        fit(found, X, T)
        fit(expected, columns, None)
        assert same_weights(found, expected)
        np.testing.assert_array_equal(
            found.predict_proba(X, features=T), expected.predict_proba(columns)
        )
        np.testing.assert_array_equal(
            found.predict_log_proba(X, features=T), expected.predict_log_proba(columns)
        )

    def part(T, rows):
        return None if T is None else T[rows]

    def validated(clf, X, T):
        val = dict(X_val=X[40:], y_val=y[40:], features_val=part(T, slice(40, None)))
        clf.fit(X[:40], y[:40], features=part(T, slice(40)), **val)
        assert len(clf.validation_scores_) == clf.n_iter_

    def in_parts(clf, X, T):
        for rows in (slice(0, 30), slice(30, 60), slice(7, 8)):
            clf.partial_fit(X[rows], y[rows], classes=[False, True], features=part(T, rows))

    def warm(clf, X, T):
        clf.fit(X, y, features=T).set_params(hidden__kernel_initializer="he_normal", max_iter=2)
        clf.fit(X, y, features=T)

    both(validated)
    both(validated, early_stopping=True)
    both(in_parts)
    both(warm, warm_start=True)
    both(lambda clf, X, T: clf.fit(X, y, features=T), class_weight={False: 1, True: 3})
    both(lambda clf, X, T: clf.fit(X, y, features=T), class_weight={False: 0, True: 3})


def test_boxes_and_features(data):
    X, T, y, _ = data
    boxes = np.abs(T[:, [0, 1, 2, 0]]) / 9
    found = beside().fit(X, y, boxes=boxes, features=T)
    columns = np.hstack([X.reshape(N, -1), T])
    expected = beside(layers=end(), input_kind="table").fit(columns, y, boxes=boxes)
    np.testing.assert_array_equal(found.predict_box(X, T), expected.predict_box(columns))


# ---------------------------------------------------------------------------
# Where they are appended
# ---------------------------------------------------------------------------


def digits_and_a_sign():
    """Images of 0 and 1, a sign beside each, and whether both are the same: neither tells alone."""
    X, digit = load_digits(n_class=2, return_X_y=True)
    sign = np.random.RandomState(0).choice([-1.0, 1.0], size=(len(X), 1))
    return X.reshape(-1, 8, 8), sign, (digit == 1) == (sign[:, 0] > 0)


@pytest.mark.oldest
def test_default_layers_learn_from_both():
    X, T, y = digits_and_a_sign()
    fast = ConvNetClassifier(max_iter=30, batch_size=20, random_state=0)
    clf = clone(fast).fit(X[:200], y[:200], features=T[:200])
    assert clf.score(X[200:], y[200:], features=T[200:]) > 0.8
    alone = fast.fit(X[:200], y[:200])
    assert alone.score(X[200:], y[200:]) < 0.65
    names = [name for name, _ in clf.layers_]
    assert names.index("concatfeatures1") == names.index("dense1") - 1
    assert [name for name in names if name != "concatfeatures1"] == [n for n, _ in alone.layers_]
    assert "ConcatFeatures" in str(clf.summary())
    assert clf.layers is None


def test_default_layers_of_each_kind(data):
    X, T, y, _ = data
    for kind, shape in {
        "table": (36,), "signal": (36, 1), "image": (6, 6), "volume": (3, 3, 4)
    }.items():  # fmt: skip
        clf = ConvNetClassifier(input_kind=kind, max_iter=1).fit(
            X.reshape(N, *shape), y, features=T
        )
        names = [name for name, _ in clf.layers_]
        assert names.index("concatfeatures1") == names.index("dense1") - 1


def test_layers_stay_as_they_were_given(data):
    X, T, y, _ = data
    layers = [Sequential([Conv2D(2, 3), ("add", ConcatFeatures())]), Dense(3), ConcatFeatures()]
    clf = beside(layers=layers).fit(X, y, features=T)
    assert clf.layers is layers
    assert layers[0].layers[1][1].n_features is layers[2].n_features is None
    assert dict(clf.layers_)["concatfeatures1"].n_features == 3
    shapes = {path: w.shape for path, w in clf.get_weights().items()}
    assert shapes["dense1/weight"] == (2 * 16 + 3, 3)
    assert shapes["output/weight"] == (6, 2)
    assert clf.n_features_in_ == 36
    again = clone(clf).set_params(concatfeatures1__n_features=3).fit(X, y, features=T)
    assert same_weights(clf, again)


def test_search_where_they_are_appended():
    X, T, y = digits_and_a_sign()
    with sklearn.config_context(enable_metadata_routing=True):
        clf = beside(layers=[("first", ConcatFeatures()), Dense(3), ("last", "passthrough")])
        clf.set_fit_request(features=True).set_score_request(features=True)
        grid = [{}, {"first": ["passthrough"], "last": [ConcatFeatures()]}]
        search = GridSearchCV(clf, grid, cv=2, error_score="raise").fit(X, y, features=T)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        found = cross_validate(
            clf, X, y, cv=2, params={"features": T}, return_estimator=True, error_score="raise"
        )
    assert [e.network_.n_features for e in found["estimator"]] == [1, 1]


# ---------------------------------------------------------------------------
# X as people have it
# ---------------------------------------------------------------------------


def deep(**params):
    layers = [Conv2D(3, 3), GlobalAvgPool(), ConcatFeatures(), Dense(4)]
    return beside(**{"layers": layers, **params})


def test_forms_of_features(data):
    X, T, y, _ = data
    expected = deep().fit(X, y, features=T)
    frame = pd.DataFrame(T, columns=["a", "b", "c"])
    for given in (T.tolist(), np.asfortranarray(T), frame):
        assert same_weights(deep().fit(X, y, features=given), expected)
    whole = np.arange(N * 3).reshape(N, 3) % 5
    assert same_weights(
        deep().fit(X, y, features=whole), deep().fit(X, y, features=whole.astype(float))
    )


def test_forms_of_X(data):
    X, T, y, _ = data
    X = (40 * X).clip(-100, 100).astype(np.int8).view(np.uint8)
    expected = deep().fit(X[..., np.newaxis], y, features=T)
    first = deep(data_format="channels_first").fit(X[:, np.newaxis], y, features=T)
    flat = deep(input_shape=(6, 6)).fit(X.reshape(N, -1), y, features=T)
    for found, given in ((first, X[:, np.newaxis]), (flat, X.reshape(N, -1))):
        assert same_weights(found, expected)
        np.testing.assert_array_equal(found.predict(given, T), expected.predict(X, T))


def test_samples_in_files(data, tmp_path):
    from PIL import Image

    from sklearn_convnet.preprocessing import ImageFiles

    _, T, y, _ = data
    X = np.random.RandomState(0).randint(256, size=(N, 6, 6)).astype(np.uint8)
    paths = [tmp_path / f"{i}.png" for i in range(N)]
    for path, image in zip(paths, X, strict=True):
        Image.fromarray(image).save(path)
    files = ImageFiles(paths, (6, 6), mode="L")
    for params in ({}, {"augmentation": RandomFlip()}, {"n_shards": 2}, {"early_stopping": True}):
        expected = deep(**params).fit(X.reshape(files.shape), y, features=T)
        found = deep(**params).fit(files, y, features=T)
        assert same_weights(found, expected)
        np.testing.assert_array_equal(found.predict(files, T), expected.predict(X, T))


@pytest.mark.parametrize("params", [{}, {"n_shards": 2}, {"augmentation": MixUp()}])
def test_samples_of_unequal_sizes(data, params):
    X, T, y, _ = data
    unequal = [x[: 4 + i % 3] for i, x in enumerate(X)]
    clf = deep(**params).fit(unequal, y, features=T)
    P = clf.predict_proba(unequal, T)
    for i in (0, 1, 17):
        np.testing.assert_array_equal(clf.predict_proba(unequal[i : i + 1], T[i : i + 1])[0], P[i])
    order = np.random.RandomState(0).permutation(N)
    turned = clf.predict_proba([unequal[i] for i in order], T[order])
    np.testing.assert_array_equal(turned, P[order])
    assert np.abs(clf.predict_proba(unequal, T + 1) - P).max() > 1e-3


def test_unequal_sizes_of_one_size_are_an_array(data):
    X, T, y, _ = data
    clf = deep().fit(X, y, features=T)
    np.testing.assert_array_equal(clf.predict_proba(list(X), T), clf.predict_proba(X, T))
    larger = np.pad(X, [(0, 0), (0, 2), (0, 0)])
    assert clf.predict(larger, T).shape == (N,)


# ---------------------------------------------------------------------------
# Tables that have a column of samples
# ---------------------------------------------------------------------------


def table_of(X, T):
    a, b, c = T.T
    return pd.DataFrame({"a": a, "image": list(X), "b": b, "c": c})


@pytest.mark.oldest
def test_a_table_with_a_column_of_images(data):
    X, T, y, value = data
    frame = table_of(X, T)
    expected = deep().fit(X, y, features=T)
    as_objects = frame.to_numpy()
    for table in (frame, as_objects, frame[["image", "a", "b", "c"]]):
        clf = deep().fit(table, y)
        assert same_weights(clf, expected)
        np.testing.assert_array_equal(clf.predict_proba(table), expected.predict_proba(X, T))
        np.testing.assert_array_equal(clf.predict(X, T), clf.predict(table))
        assert clf.score(table, y) == expected.score(X, y, features=T)
    assert clf.n_features_in_ == 36
    val = dict(X_val=frame[40:], y_val=y[40:])
    found = deep(early_stopping=True).fit(frame[:40], y[:40], **val)
    val = dict(X_val=X[40:], y_val=y[40:], features_val=T[40:])
    assert same_weights(
        found, deep(early_stopping=True).fit(X[:40], y[:40], features=T[:40], **val)
    )
    reg = deep(kind=ConvNetRegressor).partial_fit(frame, value)
    assert same_weights(reg, deep(kind=ConvNetRegressor).partial_fit(X, value, features=T))


def test_a_table_whose_images_differ_in_size(data):
    X, T, y, _ = data
    unequal = [x[: 4 + i % 3] for i, x in enumerate(X)]
    clf = deep().fit(table_of(unequal, T), y)
    assert same_weights(clf, deep().fit(unequal, y, features=T))


def test_a_pipeline_with_a_column_transformer(data):
    X, T, y, _ = data
    frame = table_of(X, T).assign(kind=np.where(T[:, 2] > 0, "over", "under"))

    def columns():
        return ColumnTransformer(
            [
                ("numbers", StandardScaler(), ["a", "b"]),
                ("images", "passthrough", ["image"]),
                ("kinds", OneHotEncoder(sparse_output=False), ["kind"]),
            ]
        )

    made = columns().fit_transform(frame)[:, [0, 1, 3, 4]].astype(float)
    np.testing.assert_array_equal(made[:, 2:], np.eye(2)[(T[:, 2] <= 0) * 1])
    expected = deep().fit(X, y, features=made)
    for transformer in (columns(), columns().set_output(transform="pandas")):
        model = make_pipeline(transformer, deep()).fit(frame, y)
        assert same_weights(model[-1], expected)
        assert len(cross_val_predict(model, frame, y, cv=2)) == N
        grid = {"columntransformer__numbers__with_mean": [True, False]}
        search = GridSearchCV(model, grid, scoring="roc_auc", cv=2, error_score="raise")
        assert search.fit(frame, y).predict(frame).shape == (N,)
    with pytest.raises(ValueError, match="column 0 of features is 'b', but was 'numbers__a'"):
        model[-1].predict(frame.assign(kind=0)[["image", "b", "a", "c", "kind"]])


def test_tables_that_are_none(data):
    X, T, y, _ = data
    frame = table_of(X, T)
    with pytest.raises(ValueError, match=r"given twice, by features= and in columns of X"):
        deep().fit(frame, y, features=T)
    with pytest.raises(ValueError, match=r"X_val: features are given twice"):
        deep().fit(frame, y, X_val=frame, y_val=y, features_val=T)
    with pytest.raises(ValueError, match="X has 2 columns whose cells are arrays"):
        deep().fit(frame.assign(other=list(X)), y)
    with pytest.raises(ValueError, match=r"features must be numbers, but .* 'm': encode"):
        deep().fit(frame.assign(b="m"), y)
    with pytest.raises(ValueError, match=r"features must have the shape .* but have \(\d+,\)"):
        deep().fit(X, y, features=T[:, 0])
    clf = deep().fit(frame, y)
    with pytest.raises(ValueError, match="3 features beside each sample, but here there are none"):
        clf.predict(frame[["image"]])
    with pytest.raises(ValueError, match="features has 2 columns, but ConvNetClassifier"):
        clf.predict(frame[["image", "a", "b"]])


# ---------------------------------------------------------------------------
# Augmentation, and views that vote
# ---------------------------------------------------------------------------


def test_augmented_images_keep_their_features(data):
    X, T, y, _ = data
    moves = RandomAffine(rotation=(-20, 20))
    clf = deep(augmentation=moves, shuffle=False, max_iter=2)
    found = clf.fit(X, y, features=np.zeros_like(T))
    # Zeros beside the images are as if there were none: rows of weights that nothing reaches.
    bare = clone(clf).set_params(concatfeatures1="passthrough")
    weights = found.get_weights()
    fixed = {k: v[:3] if k == "dense1/weight" else v for k, v in weights.items()}
    bare.set_params(init_from=fixed, optimizer=SGD(1e-300)).fit(X, y)
    np.testing.assert_allclose(
        bare.predict_proba(X), found.predict_proba(X, np.zeros_like(T)), rtol=1e-12
    )
    assert not same_weights(found, clone(clf).fit(X, y, features=T))


def test_cutmix_mixes_features_by_area(data):
    X, T, y, _ = data
    # Of images that are all alike nothing is seen to be pasted, so the mixture is that of MixUp's
    # shares: features and labels have the same.
    clf = deep(augmentation=CutMix(), shuffle=False, max_iter=1, batch_size=N)
    seen = []
    from sklearn_convnet.network import Network

    forward = Network.forward

    def spy(self, X, training=False, **options):
        if training:
            seen.append(X)
        return forward(self, X, training, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network, "forward", spy)
        clf.fit(X, y, features=T)
    (batch,) = seen
    assert isinstance(batch, WithFeatures)
    # Each image is made of the pixels of two samples; their shares are those of the features.
    flat, own = batch.X.reshape(N, -1), X.reshape(N, -1)
    kept = (flat == own).mean(axis=1)
    assert ((0 < kept) & (kept < 1)).any()
    for i in np.flatnonzero(kept < 1):
        partner = np.argmax((flat[i] == own).mean(axis=1) - (np.arange(N) == i))
        expected = kept[i] * T[i] + (1 - kept[i]) * T[partner]
        np.testing.assert_allclose(batch.features[i], expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_views_have_the_features_of_their_sample(data, voting):
    X, T, y, _ = data
    vote = TestTimeAugmentation([RandomFlip(horizontal=1.0)], voting)
    clf = deep().fit(X, y, features=T).set_params(test_time_augmentation=vote)
    P = clf.predict_proba(X, T)
    np.testing.assert_array_equal(clf.predict(X, T), clf.classes_[P.argmax(axis=1)])
    np.testing.assert_array_equal(clf.predict_proba(X[5:9], T[5:9]), P[5:9])
    mirrored = X[:, :, ::-1]
    clf.test_time_augmentation = None
    one, other = clf.predict_proba(X, T), clf.predict_proba(mirrored, T)
    if voting == "soft":
        low, high = np.minimum(one, other), np.maximum(one, other)
        assert ((P >= low - 1e-12) & (P <= high + 1e-12)).all()


def test_crops_have_the_features_of_their_image(data):
    X, T, y, _ = data
    layers = [Conv2D(3, 3), MaxPool2D(2), ConcatFeatures(), Dense(4)]
    clf = deep(layers=layers, multi_crop=MultiCrop(5), early_stopping=True)
    clf.fit(X, y, features=T)
    P = clf.predict_proba(X, T)
    np.testing.assert_array_equal(clf.predict_proba(X[5:9], T[5:9]), P[5:9])
    assert np.abs(clf.predict_proba(X, T + 1) - P).max() > 1e-4
    with pytest.raises(ValueError, match="voting='dense' needs that"):
        clone(clf).set_params(multi_crop__voting="dense").fit(X, y, features=T)


# ---------------------------------------------------------------------------
# The same bits
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_and_batches_change_no_bit(data, dtype):
    X, T, y, _ = data
    fits = [deep(dtype=dtype, n_threads=n).fit(X, y, features=T) for n in (1, 2, 3)]
    assert all(same_weights(fits[0], other) for other in fits[1:])
    P = fits[0].predict_proba(X, T)
    for rows in (slice(0, 1), slice(59, 60), slice(3, 40)):
        np.testing.assert_array_equal(fits[0].predict_proba(X[rows], T[rows]), P[rows])


@pytest.mark.oldest
def test_pickles(data):
    X, T, y, _ = data
    clf = deep().fit(X, y, features=pd.DataFrame(T, columns=["a", "b", "c"]))
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X, T), clf.predict_proba(X, T))
    for one in (clf, again):
        one.partial_fit(X, y, features=T)
    assert same_weights(clf, again)
    with pytest.raises(ValueError, match="column 0 of features is 'b', but was 'a'"):
        again.predict(X, pd.DataFrame(T, columns=["b", "a", "c"]))


@pytest.mark.parametrize("names", [["a", "b", "c"], None])
def test_model_files(data, tmp_path, names):
    from sklearn_convnet.interchange import load_model, save_model

    X, T, y, _ = data
    given = T if names is None else pd.DataFrame(T, columns=names)
    clf = deep().fit(X, y, features=given)
    with sklearn.config_context(enable_metadata_routing=True):
        clf.set_fit_request(features=True).set_predict_request(features=True)
        save_model(clf, tmp_path / "model")
        again = load_model(tmp_path / "model")
        requests = again.get_metadata_routing()
    assert requests.fit.requests["features"] is requests.predict.requests["features"] is True
    np.testing.assert_array_equal(again.predict_proba(X, T), clf.predict_proba(X, T))
    for one in (clf, again):
        one.partial_fit(X, y, features=given)
    assert same_weights(clf, again)
    if names is not None:
        with pytest.raises(ValueError, match="column 2 of features is 'd', but was 'c'"):
            again.predict(X, pd.DataFrame(T, columns=["a", "b", "d"]))


def test_a_killed_fit_is_resumed_with_the_same_features(data, tmp_path):
    callbacks = pytest.importorskip("sklearn_convnet.callbacks")
    X, T, y, _ = data

    class Killed(BaseException):
        pass

    def model():
        return deep(max_iter=4).set_callbacks(callbacks.Checkpoint(tmp_path / "fit"))

    expected = deep(max_iter=4).fit(X, y, features=T)
    dying, n_epochs = model(), []
    from sklearn_convnet.training import Trainer

    run_epoch = Trainer.run_epoch

    def until_the_third(self, *args):
        n_epochs.append(1)
        if len(n_epochs) == 3:
            raise Killed
        return run_epoch(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "run_epoch", until_the_third)
        with pytest.raises(Killed):
            dying.fit(X, y, features=T)
    with pytest.raises(ValueError, match="features"):
        model().fit(X, y, features=T + 1)
    assert same_weights(model().fit(X, y, features=T), expected)


def test_displays_of_a_fit_that_begins(data):
    pytest.importorskip("matplotlib")
    from sklearn_convnet.inspection import AugmentationDisplay, LearningRateRangeDisplay

    X, T, y, _ = data
    display = LearningRateRangeDisplay.from_estimator(deep(), X, y, features=T, n_steps=5)
    other = LearningRateRangeDisplay.from_estimator(deep(), X, y, features=T + 1, n_steps=5)
    assert not np.array_equal(display.losses, other.losses)
    augmented = deep(augmentation=[RandomFlip(), MixUp()][0])
    for given in ({"y": y}, {}):
        batches = AugmentationDisplay.from_estimator(
            augmented, X, **given, features=T, random_state=0
        ).batches
        assert batches[0].shape[0] == 4


def test_what_looks_at_X_alone_says_so(data, tmp_path):
    from sklearn.frozen import FrozenEstimator

    from sklearn_convnet import inspection
    from sklearn_convnet.interchange import export_c

    X, T, y, _ = data
    clf = deep().fit(X, y, features=T)
    extractor = inspection.FeatureExtractor(FrozenEstimator(clf), "dense1")
    for look in (
        lambda: inspection.saliency(clf, X),
        lambda: inspection.nearest_samples(clf, X),
        lambda: inspection.maximize_unit(clf, "conv2d1", 0),
        lambda: inspection.check_invariance(clf, X),
        lambda: extractor.fit(X),
    ):
        with pytest.raises(ValueError, match="ConvNetClassifier takes 3 features beside each"):
            look()
    assert inspection.receptive_field(clf, "conv2d1").size == (3, 3)
    with pytest.raises(ValueError, match="'concatfeatures1': ConcatFeatures cannot be moved"):
        clf.scan(np.zeros((2, 12, 12)))
    with pytest.raises(NotImplementedError, match=r"'concatfeatures1': .* has no form in C"):
        export_c(clf, tmp_path / "network")


# ---------------------------------------------------------------------------
# What is wrong is told
# ---------------------------------------------------------------------------


def with_bad(T, value):
    T = T.copy()
    T[7, 1] = value
    return T


BAD = {
    "another number": (lambda T: T[:, :2], "features has 2 columns, but ConvNetClassifier .* 3"),
    "another length": (lambda T: T[:9], "X has 60 samples, but features has 9"),
    "NaN": (lambda T: with_bad(T, np.nan), "Input features contains NaN"),
    "infinity": (lambda T: with_bad(T, np.inf), "Input features contains infinity"),
    "one axis": (lambda T: T[:, 0], r"must have the shape .* have \(60,\)"),
    "three axes": (lambda T: T[..., np.newaxis], "dim 3"),
    "text": (
        lambda T: np.full(T.shape, "a"),
        r"features must be numbers, but .* of bytes/strings: encode",
    ),
    "none": (lambda T: None, "fitted with 3 features beside each sample.* give features="),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_features(data, name):
    X, T, y, _ = data
    make, message = BAD[name]
    clf = deep().fit(X, y, features=T)
    before = clf.get_weights()
    for method in (
        clf.predict, clf.predict_proba, clf.predict_log_proba, clf.predict_draws,
    ):  # fmt: skip
        if method == clf.predict_draws:
            clf = clone(clf).set_params(dense1=Dropout(0.5)).fit(X, y, features=T)
            method = clf.predict_draws
            before = clf.get_weights()
        with pytest.raises(ValueError, match=message):
            method(X, features=make(T))
    for call in (
        lambda: clf.score(X, y, features=make(T)),
        lambda: clf.partial_fit(X, y, features=make(T)),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    found = clf.get_weights()
    assert all(np.array_equal(found[path], before[path]) for path in before)
    if name != "none":
        val = dict(X_val=X, y_val=y, features_val=make(T))
        with pytest.raises(ValueError, match=f"features_val: .*{message}"):
            clf.fit(X, y, features=T, **val)
    if name not in ("none", "another number"):
        with pytest.raises(ValueError, match=message):
            deep().fit(X, y, features=make(T))


def test_layers_and_features_go_together(data):
    X, T, y, _ = data
    with pytest.raises(ValueError, match=r"put ConcatFeatures\(\) among layers, before a Dense"):
        beside(layers=[Dense(3)]).fit(X, y, features=T)
    with pytest.raises(ValueError, match=r"'sequential1/add' appends .* there are none"):
        beside(layers=[Sequential([("add", ConcatFeatures())])]).fit(X, y)
    with pytest.raises(ValueError, match="'add': it has n_features=2, but features has 3 columns"):
        beside(layers=[("add", ConcatFeatures(2))]).fit(X, y, features=T)
    clf = beside(layers=[Dense(3)]).fit(X, y)
    with pytest.raises(ValueError, match=r"features has 3 columns, but .* none"):
        clf.predict(X, features=T)
    with pytest.raises(ValueError, match="X_val was not provided"):
        beside().fit(X, y, features=T, features_val=T)
    with pytest.raises(ValueError, match="features_val: ConvNetClassifier was fitted with 3"):
        beside().fit(X, y, features=T, X_val=X, y_val=y)


def test_too_large_for_the_network(data):
    X, T, y, _ = data
    with pytest.raises(ValueError, match=r"Input features contains .* too large"):
        deep(dtype="float32").fit(X, y, features=with_bad(T, 1e300))


def test_a_failed_fit_changes_nothing(data):
    X, T, y, _ = data
    frame = pd.DataFrame(T, columns=["a", "b", "c"])
    clf = deep().fit(X, y, features=frame)
    before = clf.predict_proba(X, T)
    with pytest.raises(ValueError, match="NaN"):
        clf.fit(X, y, features=pd.DataFrame(with_bad(T, np.nan), columns=["d", "e", "f"]))
    np.testing.assert_array_equal(clf.predict_proba(X, frame), before)


def test_features_that_were_not_scaled(data):
    X, T, _, value = data
    reg = deep(kind=ConvNetRegressor, optimizer=SGD(1e-30), max_iter=40)
    with pytest.warns(ConvergenceWarning, match=r"scale of features: column 2 .* StandardScaler"):
        reg.fit(X, value, features=T * [1, 10, 1e6])


def test_a_later_fit_may_have_others(data):
    X, T, y, _ = data
    clf = deep().fit(X, y, features=pd.DataFrame(T, columns=["a", "b", "c"]))
    clf.fit(X, y, features=pd.DataFrame(T[:, :2], columns=["d", "e"]))
    assert clf.network_.n_features == 2
    assert clf.set_params(concatfeatures1="passthrough").fit(X, y).network_.n_features == 0
    assert clf.predict(X).shape == (N,)
