"""How X comes in: the axis of channels, and what a sample is where no layers are given."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import pathlib
import pickle
import re
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import RandomAffine, RandomFlip
from sklearn_convnet.callbacks import Checkpoint
from sklearn_convnet.inspection import saliency
from sklearn_convnet.layers import (
    Conv1D,
    Conv2D,
    Conv3D,
    Dense,
    GlobalAvgPool,
    MaxPool2D,
    Sequential,
    Standardize,
)
from sklearn_convnet.multi_crop import MultiCrop

# By what a sample is: a convolution, and sizes of the axes besides the channels.
RANKS = {"signal": (Conv1D, (9,)), "image": (Conv2D, (8, 7)), "volume": (Conv3D, (5, 6, 4))}


def layers_for(kind):
    return [Standardize(), RANKS[kind][0](4, 3, stride=2), Dense(6)]


def samples(shape, n=24, dtype=np.float32):
    rng = np.random.RandomState(0)
    return rng.normal(size=(n, *shape)).astype(dtype), np.arange(n) % 2


def quick(layers=None, kind=ConvNetClassifier, **params):
    fast = dict(max_iter=2, batch_size=8, random_state=0)
    return kind(layers, **{**fast, **params})


def last(X):
    """X with the channels last, in memory of its own."""
    return np.ascontiguousarray(np.moveaxis(X, 1, -1))


def same_fit(a, b):
    a_weights, b_weights = a.get_weights(), b.get_weights()
    return (
        a_weights.keys() == b_weights.keys()
        and all(np.array_equal(a_weights[path], b_weights[path]) for path in a_weights)
        and a.history_ == b.history_
    )


# ---------------------------------------------------------------------------
# One channel, with its axis or without
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("kind", RANKS)
@pytest.mark.parametrize("with_axis", [False, True])
def test_one_channel_is_the_same_with_an_axis_or_without(kind, with_axis, first):
    X, y = samples(RANKS[kind][1])
    forms = [X, X[:, None] if first else X[..., None]]
    fitted, other = forms[::-1] if with_axis else forms
    data_format = "channels_first" if first else "channels_last"
    clf = quick(layers_for(kind), warm_start=True, data_format=data_format)
    clf.fit(fitted, y, X_val=other, y_val=y)
    assert clf.input_shape_ == (*X.shape[1:], *([1] if with_axis else []))
    assert clf.validation_scores_[-1] == clf.score(fitted, y) == clf.score(other, y)
    np.testing.assert_array_equal(clf.predict_proba(other), clf.predict_proba(fitted))
    again = copy.deepcopy(clf)
    for method in ("fit", "partial_fit"):
        getattr(clf, method)(other, y)
        getattr(again, method)(fitted, y)
    assert same_fit(clf, again)
    assert clf.input_shape_ == again.input_shape_


def test_one_channel_and_input_shape():
    X, y = samples((8, 7))
    plain = quick(layers_for("image")).fit(X, y)
    for shape, forms in [((8, 7), X[..., None]), ((8, 7, 1), X)]:
        clf = quick(layers_for("image"), input_shape=shape).fit(forms, y)
        assert clf.input_shape_ == shape
        assert same_fit(clf, plain)
        for form in (X, X[..., None], X.reshape(len(X), -1)):
            np.testing.assert_array_equal(clf.predict_proba(form), plain.predict_proba(X))


def test_only_one_channel_may_be_left_out():
    X, y = samples((8, 7, 2))
    clf = quick(layers_for("image")).fit(X, y)
    for wrong in (X[..., 0], X[:, None], X[..., None], X[:, :, :, :1]):
        with pytest.raises(ValueError, match=r"was fitted with samples of shape \(8, 7, 2\)"):
            clf.predict(wrong)
    one = quick(layers_for("image")).fit(X[..., :1], y)
    with pytest.raises(ValueError, match=r"samples of shape \(1, 8, 7\)"):
        one.predict(X[:, None, :, :, 0])
    with pytest.raises(ValueError, match=r"expected input_shape=\(8, 7\)"):
        quick(layers_for("image"), input_shape=(8, 7)).fit(X, y)


# ---------------------------------------------------------------------------
# Channels first
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int32])
@pytest.mark.parametrize("kind", RANKS)
def test_channels_first_is_the_same_network(kind, dtype):
    X, y = samples((2, *RANKS[kind][1]))
    X = (8 * np.abs(X)).astype(dtype)
    params = dict(layers=layers_for(kind), warm_start=True)
    first = quick(data_format="channels_first", **params).fit(X, y, X_val=X[:9], y_val=y[:9])
    expected = quick(**params).fit(last(X), y, X_val=last(X)[:9], y_val=y[:9])
    assert same_fit(first, expected)
    assert first.input_shape_ == expected.input_shape_ == (*RANKS[kind][1], 2)
    for _ in range(2):
        np.testing.assert_array_equal(first.predict_proba(X), expected.predict_proba(last(X)))
        first.partial_fit(X[:13], y[:13]).fit(X, y)
        expected.partial_fit(last(X)[:13], y[:13]).fit(last(X), y)
        assert same_fit(first, expected)


def test_flat_samples_are_in_the_order_of_input_shape():
    X, y = samples((3, 6, 5))
    flat = X.reshape(len(X), -1)
    params = dict(layers=layers_for("image"), data_format="channels_first")
    clf = quick(input_shape=(3, 6, 5), **params).fit(flat, y)
    assert clf.input_shape_ == (6, 5, 3)
    assert same_fit(clf, quick(**params).fit(X, y))
    np.testing.assert_array_equal(clf.predict_proba(flat), clf.predict_proba(X))


@pytest.mark.parametrize("kind", RANKS)
def test_without_an_axis_of_channels_there_is_nothing_to_turn(kind):
    X, y = samples(RANKS[kind][1])
    clf = quick(layers_for(kind), data_format="channels_first").fit(X, y)
    assert same_fit(clf, quick(layers_for(kind)).fit(X, y))
    assert clf.input_shape_ == X.shape[1:]


@pytest.mark.parametrize("shuffle", [False, True])
def test_augmentation_and_crops_see_channels_last(shuffle):
    X, y = samples((3, 12, 10))
    params = dict(
        layers=layers_for("image"),
        augmentation=RandomAffine(rotation=(-20, 20)),
        multi_crop=MultiCrop((8, 7)),
        shuffle=shuffle,
    )
    first = quick(data_format="channels_first", **params)
    first.fit(X, y, X_val=X[:9], y_val=y[:9])
    expected = quick(**params).fit(last(X), y, X_val=last(X)[:9], y_val=y[:9])
    assert same_fit(first, expected)
    np.testing.assert_array_equal(first.predict_proba(X), expected.predict_proba(last(X)))


def test_maps_and_held_out_samples_with_channels_first():
    X, _ = samples((2, 6, 5))
    maps, weight = X[:, 0] + X[:, 1], np.arange(24) % 3
    params = dict(
        layers=[Conv2D(4, 3, padding="same")], kind=ConvNetRegressor, target="maps",
        augmentation=RandomFlip(), early_stopping=True, max_iter=3,
    )  # fmt: skip
    first = quick(data_format="channels_first", **params).fit(X, maps, sample_weight=weight)
    expected = quick(**params).fit(last(X), maps, sample_weight=weight)
    assert same_fit(first, expected)
    np.testing.assert_array_equal(first.predict(X), expected.predict(last(X)))
    assert first.score(X, maps) == expected.score(last(X), maps)


def test_a_file_with_channels_first_is_not_read_at_once(tmp_path):
    shape = (4000, 3, 24, 24)  # 6.6 MiB
    X = np.memmap(tmp_path / "X", np.uint8, "w+", shape=shape)
    X[:] = np.random.RandomState(0).randint(256, size=shape)
    y = np.arange(len(X)) % 2
    X[y == 1, 0, :4] //= 4
    X = np.memmap(tmp_path / "X", np.uint8, "r", shape=shape)
    layers = [Conv2D(2, 3, stride=4), GlobalAvgPool()]
    clf = quick(layers, data_format="channels_first", max_iter=1, batch_size=50)
    tracemalloc.start()
    try:
        clf.fit(X, y, X_val=X, y_val=y).predict(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A chunk of a prediction is 256 samples: as bytes, and in float32 for the network.
    assert peak < X.nbytes
    turned = last(np.asarray(X))
    assert same_fit(
        clf, quick(layers, max_iter=1, batch_size=50).fit(turned, y, X_val=turned, y_val=y)
    )


def test_callbacks_get_X_as_it_was_given(tmp_path):
    X, y = samples((3, 8, 7))
    seen = []

    class Watch:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, *, X=None):
            seen.append(X)

        def on_fit_task_end(self, estimator, context, *, X=None):
            seen.append(X)
            if context.task_name == "epoch":
                estimator.predict(X)

    params = dict(layers=layers_for("image"), data_format="channels_first")
    path = tmp_path / "fit"
    weight = (np.arange(len(X)) > 3).astype(float)
    clf = quick(**params).set_callbacks(Watch(), Checkpoint(path))
    clf.fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(seen[0], X)
    for given in seen[1:]:
        np.testing.assert_array_equal(given, X[4:])
    again = quick(**params).set_callbacks(Checkpoint(path)).fit(X, y, sample_weight=weight)
    assert same_fit(again, clf)
    with pytest.raises(ValueError, match="of a fit with another data_format"):
        quick(layers_for("image")).set_callbacks(Checkpoint(path)).fit(
            last(X), y, sample_weight=weight
        )


def test_a_fitted_network_reads_X_as_it_was_fitted():
    X, y = samples((3, 8, 7))
    clf = quick(layers_for("image"), data_format="channels_first").fit(X, y)
    P = clf.predict_proba(X)
    copied = pickle.loads(pickle.dumps(clf))
    for model in (clf, copied):
        model.set_params(data_format="channels_last", input_shape=(4, 6, 7), input_kind="image")
        np.testing.assert_array_equal(model.predict_proba(X), P)


# ---------------------------------------------------------------------------
# Channels where they hardly are
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "shape", "first"),
    [
        ([Conv2D(2, 1)], (3, 32, 32), False),
        ([Conv2D(2, 1)], (1, 28, 28), False),
        ([Conv2D(2, 1)], (4, 64, 48), False),
        ([Conv2D(2, 1)], (32, 32, 3), True),
        ([Conv3D(2, 1)], (1, 20, 18, 17), False),
        ([Conv1D(2, 1)], (1, 50), False),
        ([Conv1D(2, 1)], (50, 1), True),
        (None, (6, 100), False),
        (None, (1, 40), False),
        (None, (100, 6), True),
        (None, (3, 32, 32), False),
    ],
)
def test_channels_at_the_other_end_are_noticed(layers, shape, first):
    X, y = samples(shape, n=4)
    formats = ["channels_last", "channels_first"]
    chosen, other = formats[::-1] if first else formats
    clf = quick(layers, max_iter=1, data_format=chosen)
    with pytest.warns(UserWarning, match=f"data_format='{other}'") as caught:
        clf.fit(X, y)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=f"data_format='{other}'"):
        quick(layers, data_format=chosen).partial_fit(X, y, classes=[0, 1])
    clf.predict(X)
    clf.set_params(data_format=other)
    clf.fit(X, y)


@pytest.mark.parametrize(
    ("layers", "shape", "params"),
    [
        ([Conv2D(2, 1)], (3, 3, 64), {}),  # small maps of many channels
        ([Conv2D(2, 1)], (1, 1, 512), {}),
        ([Conv2D(2, 1)], (3, 8, 8), {}),
        ([Conv2D(2, 1)], (5, 32, 32), {}),
        ([Conv2D(2, 1)], (6, 100), {}),  # the layers say that it is an image
        ([Conv1D(2, 1)], (6, 100), {}),  # six words
        ([Conv1D(2, 1)], (1, 6), {}),
        ([Dense(2)], (3, 32, 32), {"input_kind": "table"}),
        (None, (6, 100), {"input_kind": "image"}),
        (None, (6, 100), {"input_kind": "signal"}),
        (None, (28, 28), {}),
        (None, (40, 15), {}),
    ],
)
def test_shapes_that_may_well_be_meant(layers, shape, params):
    X, y = samples(shape, n=4)
    quick(layers, max_iter=1, **params).fit(X, y)


@pytest.mark.parametrize(
    ("layers", "shape", "params"),
    [
        ([Conv2D(2, 5)], (3, 8, 8), {}),
        ([Conv1D(2, 7)], (6, 100), {}),
        ([Conv2D(2, 3)], (8, 8, 2), {"data_format": "channels_first"}),
        ([Conv2D(2, 1)], (3, 9, 9), {"multi_crop": MultiCrop(8)}),
    ],
)
def test_an_error_of_shape_tells_of_the_other_format(layers, shape, params):
    X, y = samples(shape, n=4)
    other = "channels_last" if params.get("data_format") else "channels_first"
    with pytest.raises(ValueError, match=f"set data_format='{other}'"):
        quick(layers, **params).fit(X, y)


def test_an_error_of_shape_that_has_other_reasons_does_not():
    X, y = samples((8, 8, 3), n=4)
    with pytest.raises(ValueError, match="layer 'conv2d1'") as caught:
        quick([Conv2D(2, 9)]).fit(X, y)
    assert "data_format" not in str(caught.value)


def test_wrong_names(maps):
    for params in ({"data_format": "NCHW"}, {"input_kind": "images"}):
        with pytest.raises(ValueError, match=f"The '{next(iter(params))}' parameter"):
            quick([Dense(2)], **params).fit(*maps)


# ---------------------------------------------------------------------------
# What a sample is
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "params", "expected"),
    [
        ((100, 6), {}, Conv1D),
        ((64, 16), {}, Conv1D),
        ((40, 1), {}, Conv1D),
        ((64, 17), {}, Conv2D),  # too many channels
        ((63, 16), {}, Conv2D),  # too short
        ((100, 6), {"input_kind": "image"}, Conv2D),
        ((28, 28), {"input_kind": "signal"}, Conv1D),
        ((6, 100), {"data_format": "channels_first"}, Conv1D),
        ((28, 28), {"data_format": "channels_first"}, Conv2D),
        ((8, 7, 3), {}, Conv2D),
        ((8, 7, 9), {"input_kind": "volume"}, Conv3D),
        ((50,), {}, None),
        ((50,), {"input_kind": "signal"}, Conv1D),
        ((50,), {"input_kind": "image", "input_shape": (10, 5)}, Conv2D),
    ],
)
def test_what_a_sample_is(shape, params, expected):
    X, y = samples(shape, n=6)
    clf = quick(max_iter=1, **params).fit(X, y)
    inside = {type(value) for value in Sequential(clf.layers_).get_params().values()}
    assert inside & {Conv1D, Conv2D, Conv3D} == ({expected} if expected else set())
    assert clf.predict(X).shape == (6,)


def test_series_of_several_channels_are_signals():
    """What tells the classes is the delay between two channels, wherever it happens."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(300, 80, 3)), np.arange(300) % 2
    X[y == 1, 1:, 1] += X[y == 1, :-1, 0]
    X[y == 0, :-1, 1] += X[y == 0, 1:, 0]
    clf = quick(max_iter=15, batch_size=25).fit(X[:200], y[:200])
    assert clf.score(X[200:], y[200:]) > 0.9


def test_flat_samples_of_a_kind():
    X, y = samples((40,))
    X *= np.arange(1, 41)
    auto, signal, table = (quick(input_kind=kind).fit(X, y) for kind in ("auto", "signal", "table"))
    names = [type(layer).__name__ for _, layer in table.layers_]
    assert names == ["Standardize", "Dense", "Dense"]
    per = [model.layers_[0][1].per for model in (auto, signal, table)]
    assert per == ["value", "channel", "value"]
    mean = table.network_.buffers()["standardize1/mean"]
    np.testing.assert_allclose(mean, X.mean(axis=0), rtol=1e-5)


def test_a_table_may_have_more_axes():
    X, y = samples((5, 4, 3))
    clf = quick(input_kind="table").fit(X, y)
    flat = quick(input_kind="table").fit(X.reshape(len(X), -1), y)
    np.testing.assert_array_equal(clf.predict_proba(X), flat.predict_proba(X.reshape(len(X), -1)))


def test_crops_have_the_layers_of_the_whole():
    X, y = samples((30, 30))
    clf = quick(multi_crop=MultiCrop((28, 7)), max_iter=1).fit(X, y)
    assert any(isinstance(layer, Conv2D) for _, layer in clf.layers_)
    long, y = samples((100, 6))
    with pytest.raises(ValueError, match="input_kind='image' makes them so"):
        quick(multi_crop=MultiCrop(5)).fit(long, y)
    quick(multi_crop=MultiCrop(5), input_kind="image", max_iter=1).fit(long, y)


@pytest.mark.parametrize(
    ("layers", "shape", "kind", "words"),
    [
        (None, (64,), "image", "(height, width)"),
        (None, (8, 8), "volume", "(depth, height, width)"),
        (None, (8, 8, 3), "signal", "(length)"),
        ([Conv2D(2, 3)], (8, 8), "signal", "the first of which works on 2 axes"),
        ([Dense(3), Conv1D(2, 3)], (8, 8), "table", "the first of which works on 1 axes"),
        ([Conv1D(2, 3)], (8, 8), "image", "the first of which works on 1 axes"),
    ],
)
def test_a_kind_that_does_not_fit(layers, shape, kind, words):
    X, y = samples(shape)
    with pytest.raises(ValueError, match=f"input_kind='{kind}'") as caught:
        quick(layers, input_kind=kind).fit(X, y)
    assert words in str(caught.value)


def test_a_kind_that_agrees_with_the_layers_changes_nothing(maps):
    X, y = maps
    layers = [Conv2D(3, 3), MaxPool2D(2)]
    assert same_fit(quick(layers, input_kind="image").fit(X, y), quick(layers).fit(X, y))
    quick([Dense(3)], input_kind="table", max_iter=1).fit(X, y)


@pytest.mark.parametrize("shape", [np.array([8, 8]), [np.int64(8), 8], np.array([8, 8, 1])])
def test_input_shape_may_be_an_array(digits, shape):
    X, y = digits
    flat = X.reshape(len(X), -1)
    expected = ConvNetClassifier([Conv2D(2, 3)], input_shape=(8, 8), max_iter=1, random_state=0)
    clf = clone(expected).set_params(input_shape=shape, warm_start=True)
    assert repr(shape) in repr(clone(clf))
    clf.fit(flat, y)
    assert clf.input_shape_ == tuple(map(int, shape))
    P = expected.fit(flat, y).predict_proba(flat)
    np.testing.assert_array_equal(clf.predict_proba(flat), P)
    clf.fit(X, y)
    with pytest.raises(ValueError, match="input_shape must hold positive integers, got array"):
        clone(clf).set_params(input_shape=np.array(64)).fit(flat, y)


# ---------------------------------------------------------------------------
# What is no array of samples
# ---------------------------------------------------------------------------


def says(*parts):
    """A pattern: all parts, in this order."""
    return "(?s)" + ".*".join(map(re.escape, parts))


def object_array(items):
    array = np.empty(len(items), object)
    array[:] = items
    return array


IN_CELLS = {
    "list": list,
    "tuple": tuple,
    "array of objects": object_array,
    "column of objects": lambda items: object_array(items)[:, np.newaxis],
    "Series": lambda items: pd.Series(items, index=np.arange(len(items))[::-1]),
    "DataFrame": lambda items: pd.DataFrame({"image": items}),
    "Series of lists": lambda items: pd.Series([item.tolist() for item in items]),
}


@pytest.mark.parametrize("container", IN_CELLS.values(), ids=IN_CELLS.keys())
@pytest.mark.parametrize("shape", [(8, 8), (6, 5, 3), (20,)])
def test_samples_in_cells(container, shape):
    X, y = samples(shape, dtype=np.float64)
    plain = ConvNetClassifier([Dense(4)], max_iter=2, random_state=0).fit(X, y)
    cells = container(list(X))
    clf = clone(plain).fit(cells, y)
    assert clf.input_shape_ == shape
    assert not hasattr(clf, "feature_names_in_")
    for given in (cells, X):
        np.testing.assert_array_equal(clf.predict_proba(given), plain.predict_proba(X))
    np.testing.assert_array_equal(plain.predict(cells), plain.predict(X))
    parts = clone(plain).partial_fit(cells, y, classes=[0, 1]).partial_fit(cells, y)
    np.testing.assert_array_equal(parts.predict_proba(X), plain.predict_proba(X))
    validated = clone(plain).fit(X, y, X_val=cells, y_val=y)
    assert validated.validation_scores_[-1] == plain.score(cells, y)


@pytest.mark.parametrize("container", IN_CELLS.values(), ids=IN_CELLS.keys())
def test_samples_of_different_sizes(container):
    images = [np.ones((8, 8)), np.ones((8, 8)), np.ones((6, 8))]
    clf = ConvNetClassifier([Dense(4)], max_iter=1, random_state=0)
    message = says("X[2] has shape (6, 8)", "layer 'dense1'", "GlobalAvgPool")
    with pytest.raises(ValueError, match=message):
        clf.fit(container(images), [0, 1, 0])
    clf.fit(np.ones((3, 8, 8)), [0, 1, 0])
    with pytest.raises(ValueError, match=message):
        clf.predict(container(images))
    message = says("X must be an array of samples of one size", "X[0]", "(8, 8)", "X[2] (6, 8)")
    with pytest.raises(ValueError, match=message):
        saliency(clf, container(images))
    pooled = ConvNetClassifier([Conv2D(2, 3), GlobalAvgPool()], max_iter=1, random_state=0)
    pooled.fit(container(images), [0, 1, 0])
    assert pooled.input_shape_ == (None, 8)
    assert pooled.predict_proba(container(images)).shape == (3, 2)


NAMES = ["cats/1.png", "cats/2.png", "dogs/1.png"]
OF_TEXT = {
    "list": NAMES,
    "one name": NAMES[0],
    "array": np.array(NAMES),
    "objects": np.array(NAMES, dtype=object),
    "column": np.array(NAMES)[:, np.newaxis],
    "bytes": np.array(NAMES, dtype="S"),
    "paths": [pathlib.Path(name) for name in NAMES],
    "Series": pd.Series(NAMES),
    "DataFrame": pd.DataFrame({"file": NAMES}),
}


@pytest.mark.parametrize("X", OF_TEXT.values(), ids=OF_TEXT.keys())
def test_names_of_files_have_to_be_read(X):
    clf = ConvNetClassifier([Dense(4)], max_iter=1, random_state=0)
    message = says("X holds text", "1.png", "read them first", "preprocessing.ImageReader")
    with pytest.raises(ValueError, match=message):
        clf.fit(X, [0, 1, 0])
    clf.fit(np.ones((3, 8, 8)), [0, 1, 0])
    with pytest.raises(ValueError, match=message):
        clf.predict(X)


def test_columns_of_images():
    X, y = samples((5, 5))
    table = pd.DataFrame({"left": list(X), "right": list(X)})
    with pytest.raises(ValueError, match=says("2 columns whose cells are arrays", "one of them")):
        ConvNetClassifier([Dense(2)]).fit(table, y)


@pytest.mark.parametrize(
    ("shape", "data_format", "single"),
    [
        ((8, 8), "channels_last", (8, 8)),
        ((8, 8), "channels_last", (8, 8, 1)),
        ((8, 7, 3), "channels_last", (8, 7, 3)),
        ((8, 7, 1), "channels_last", (8, 7)),
        ((1, 8, 7), "channels_first", (8, 7)),
        ((4, 5, 6, 1), "channels_last", (4, 5, 6)),
        ((20, 2), "channels_last", (20, 2)),
    ],
)
def test_one_sample_without_the_axis_of_samples(shape, data_format, single):
    X, y = samples(shape)
    layers = [Dense(3)]
    clf = ConvNetClassifier(layers, data_format=data_format, max_iter=1, random_state=0).fit(X, y)
    one = X[0].reshape(single)
    message = says(f"X has shape {single}, which is that of one sample", "X[np.newaxis]")
    for method in (clf.predict, clf.predict_proba):
        with pytest.raises(ValueError, match=message):
            method(one)
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(one, y[:1])
    np.testing.assert_array_equal(clf.predict_proba(one[np.newaxis]), clf.predict_proba(X[:1]))
    with pytest.raises(ValueError, match=message):
        clone(clf).set_params(input_shape=shape).fit(one, y[:1])
    with pytest.raises(ValueError, match=says("but y has 1", "X[np.newaxis] if X is one sample")):
        clone(clf).fit(one, y[:1])


def test_flat_samples_for_layers_of_images(digits):
    X, y = digits
    flat = X.reshape(len(X), -1)
    for layers in ([Conv2D(2, 3)], [Standardize(), MaxPool2D(2)]):
        clf = ConvNetClassifier(layers, max_iter=1)
        message = says("(64,)", "set input_shape=(height, width)", "64 values")
        with pytest.raises(ValueError, match=message):
            clf.fit(flat, y)
        assert clf.set_params(input_shape=(8, 8)).fit(flat, y).input_shape_ == (8, 8)
    with pytest.raises(ValueError, match=says("input_shape=(depth, height, width)")):
        ConvNetClassifier([Conv3D(2, 3)]).fit(flat, y)
