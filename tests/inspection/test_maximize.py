"""Inputs that excite units: what comes out where the answer is known."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import re

import numpy as np
import pytest
from scipy import ndimage
from sklearn.preprocessing import StandardScaler

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.inspection import maximize, maximize_unit
from sklearn_convnet.layers import (
    Activation,
    Conv1D,
    Conv2D,
    Conv3D,
    Dense,
    GlobalAvgPool,
    MaxPool2D,
    Rescale,
    Residual,
    Standardize,
)
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.network import compile_network


def cosine(a, b):
    return np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b)


def compiled(layers, shape, **options):
    return compile_network(layers, shape, **{"dtype": "float64", "random_state": 0, **options})


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    y = np.array(["left", "right"])[np.arange(40) % 2]
    X = rng.normal(100, 20, size=(40, 6, 8))
    X[y == "left", :, :4] += 60
    X[y == "right", :, 4:] += 60
    return X, y


@pytest.fixture(scope="module")
def classifier(data):
    layers = [Standardize(), Conv2D(6, 3, padding="same"), MaxPool2D(2), Dense(10)]
    return ConvNetClassifier(layers, max_iter=20, random_state=0).fit(*data)


# --- where the answer is known -------------------------------------------------------------


CONV = {1: Conv1D, 2: Conv2D, 3: Conv3D}


@pytest.mark.parametrize("size", [(9,), (5, 6), (3, 4, 5)], ids=len)
@pytest.mark.parametrize("activation", [None, "relu", "tanh", "logistic"])
def test_a_filter_finds_itself(size, activation):
    conv = CONV[len(size)](3, size, activation=activation)
    network = compiled([("conv", conv)], (*size, 2))
    filters = network.parameters()["conv/weight"]
    for i in range(3):
        found = maximize_unit(network, "conv", (*[0] * len(size), i), random_state=i)
        assert found.shape == (*size, 2)
        assert cosine(found, filters[..., i]) >= 0.99


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("first", [Standardize(), Standardize("value"), Rescale(-1 / 255, 0.5)])
def test_a_filter_finds_itself_in_the_units_of_the_data(first, dtype):
    X = np.random.RandomState(0).normal(120, 40, size=(30, 5, 4, 2)).astype(dtype)
    X[..., 1] *= 10
    model = ConvNetRegressor([first], max_iter=2, random_state=0).fit(X, X[:, 0, 0, 0])
    weight = model.network_.parameters()["output/weight"][:, 0].reshape(5, 4, 2)
    weight[...] = np.random.RandomState(1).normal(size=weight.shape)
    found = maximize_unit(model, "output", 0, random_state=0)
    assert found.dtype == dtype
    normal = compiled([first], (5, 4, 2))
    for path, values in normal.buffers().items():
        values[...] = model.network_.buffers()[path]
    assert cosine(normal.forward(found[np.newaxis])[0], weight) >= 0.99


def test_mean_and_deviation_of_the_layers_at_the_begin():
    network = compiled(
        [Rescale(2.0, 3.0), Standardize(), Rescale([0.5, 2.0], [-1.0, 1.0]), Conv2D(2, 3)],
        (4, 4, 2),
    )
    statistics = network.buffers()
    statistics["standardize1/mean"][...] = [4.0, -5.0]
    statistics["standardize1/deviation"][...] = [6.0, 7.0]
    mean, deviation = maximize.normal_form(network)
    U = np.random.RandomState(0).normal(size=(3, 4, 4, 2))
    seen = network.probe().forward(mean + deviation * U, ["rescale2"])["rescale2"]
    np.testing.assert_allclose(seen, U, rtol=1e-12)


def test_a_unit_is_excited_by_its_receptive_field_only():
    network = compiled([("conv", Conv2D(2, 3)), MaxPool2D(2), ("two", Conv2D(3, 2))], (12, 10, 1))
    start = np.zeros((12, 10, 1))
    found = maximize_unit(network, "conv", (4, 5, 1), init=start, n_steps=20)
    assert np.argwhere(found[..., 0]).min(axis=0).tolist() == [4, 5]
    assert np.argwhere(found[..., 0]).max(axis=0).tolist() == [6, 7]
    start = np.random.RandomState(0).normal(size=(12, 10, 1))
    found = maximize_unit(network, "two", (1, 1, 0), init=start, n_steps=3, l2=0.0)
    changed = np.argwhere((found != start)[..., 0])
    assert len(changed) > 0
    assert changed.min() >= 2
    assert changed.max() < 8


def test_steps_follow_the_formula():
    network = compiled([("dense", Dense(3, activation="tanh"))], (7,))
    W = network.parameters()["dense/weight"][:, 1]
    x = np.random.RandomState(0).normal(size=7)
    found = maximize_unit(network, "dense", 1, init=x, n_steps=4, learning_rate=0.3, l2=0.1)
    for _ in range(4):
        x = 0.9 * (x + 0.3 * W / np.abs(W).max())
    np.testing.assert_allclose(found, x, rtol=1e-12)


def test_values_stay_within_their_bound(classifier):
    found = maximize_unit(classifier, "conv2d1", 0, learning_rate=0.2, l2=0.1, random_state=0)
    mean, deviation = maximize.normal_form(classifier.network_)
    assert np.abs((found[..., np.newaxis] - mean) / deviation).max() <= 2 + 1e-9


# --- which units ---------------------------------------------------------------------------


def test_a_class_is_asked_for_by_its_label(classifier, data):
    X, _ = data
    for code, label in enumerate(classifier.classes_):
        # With this decay a sample may lie as far off the mean as those of the data do.
        found = maximize_unit(classifier, "output", label, l2=0.02, random_state=0)
        assert found.shape == (6, 8)
        assert classifier.predict(found[np.newaxis]) == label
        scores = classifier.network_.forward(np.concatenate([X, found[np.newaxis]]))[:, code]
        assert scores[-1] > scores[:-1].max()
    both = maximize_unit(classifier, -1, ["left", "right"], random_state=0)
    assert classifier.predict(both).tolist() == ["left", "right"]
    # The halves that are bright in the data are bright here.
    assert both[0, :, :4].mean() > both[0, :, 4:].mean()
    assert both[1, :, 4:].mean() > both[1, :, :4].mean()


def test_several_units_of_several_depths_at_once(classifier):
    layers, units = ["conv2d1", "dense1", -1, 1], [(2, 3, 4), 7, "right", 0]
    start = np.random.RandomState(0).normal(100, 20, size=(6, 8))
    options = dict(init=start, n_steps=12)
    found = maximize_unit(classifier, layers, units, **options)
    assert found.shape == (4, 6, 8)
    for i, pair in enumerate(zip(layers, units, strict=True)):
        alone = maximize_unit(classifier, *pair, **options)
        np.testing.assert_allclose(found[i], alone, rtol=1e-9)
    for same in ([0, 3], np.array([0, 3]), range(0, 4, 3)):
        maps = maximize_unit(classifier, "conv2d1", same, **options)
        np.testing.assert_allclose(maps[0], found[3], rtol=1e-9)
        assert maps.shape == (2, 6, 8)


def test_more_units_than_go_at_once(classifier, monkeypatch):
    options = dict(n_steps=5, random_state=0)
    found = maximize_unit(classifier, "dense1", list(range(10)), **options)
    monkeypatch.setattr(maximize, "gradient_rows", lambda network: 3)
    again = maximize_unit(classifier, "dense1", list(range(10)), **options)
    np.testing.assert_allclose(again, found, rtol=1e-9)


def test_the_mean_of_a_map_and_layers_inside_blocks():
    inner = [("one", Conv2D(3, 3, padding="same", activation=None))]
    network = compiled([("block", Residual(inner)), GlobalAvgPool()], (6, 6, 3))
    start = np.random.RandomState(0).normal(size=(6, 6, 3))
    options = dict(init=start, n_steps=5)
    # The gradient of a mean is that of the global average pool after it.
    of_map = maximize_unit(network, "block", 2, **options)
    np.testing.assert_allclose(of_map, maximize_unit(network, -1, 2, **options), rtol=1e-9)
    of_inner = maximize_unit(network, "block/one", (2, 2, 0), n_steps=80, random_state=0)
    patch, weight = of_inner[1:4, 1:4], network.parameters()["block/one/weight"][..., 0]
    assert cosine(patch, weight) >= 0.99


def test_targets_of_other_outputs(data):
    X = data[0][..., np.newaxis]
    rng = np.random.RandomState(0)
    boxes = rng.uniform(size=(40, 4))
    model = ConvNetClassifier([Standardize(), Dense(5)], max_iter=2, random_state=0)
    model.fit(X, np.arange(40) % 2, boxes=boxes)
    options = dict(random_state=0, n_steps=50)
    by_output = maximize_unit(model, "output", ("box", 2), **options)
    np.testing.assert_allclose(by_output, maximize_unit(model, "box", 2, **options), rtol=1e-9)
    maps = (X[..., 0] > 100).astype(int) * 5
    model = ConvNetClassifier(
        [Standardize(), Conv2D(3, 3, padding="same")], max_iter=2, random_state=0
    ).fit(X, maps)
    found = maximize_unit(model, "output", (3, 4, 5), **options)
    assert model.network_.forward(found[None])[0, 3, 4, 1] > 0
    with pytest.raises(ValueError, match="target=None is no class"):
        maximize_unit(model, "output", (3, 4))


# --- how it goes ---------------------------------------------------------------------------


@pytest.mark.parametrize("own", [True, False])
def test_a_silent_unit_learns_all_the_same(own):
    layers = [("dense", Dense(4))]
    if not own:
        layers = [("one", Dense(4, activation=None)), ("dense", Activation("relu"))]
    network = compiled(layers, (6,))
    parameters = network.parameters()
    parameters["dense/bias" if own else "one/bias"][...] = -0.1
    start = np.zeros(6)
    assert network.forward(start[np.newaxis])[0, 2] == 0
    found = maximize_unit(network, "dense", 2, init=start, n_steps=1)
    weight = parameters["dense/weight" if own else "one/weight"][:, 2]
    assert cosine(found, weight) >= 0.99


def test_where_nothing_has_a_gradient_noise_goes_on():
    network = compiled([("dead", Dense(3)), ("last", Dense(2, activation=None))], (5,))
    network.parameters()["dead/bias"][...] = -0.5
    start = np.zeros(5)
    options = dict(init=start, random_state=0)
    found = maximize_unit(network, "last", 0, **options)
    assert np.isfinite(found).all()
    assert found.any()
    np.testing.assert_array_equal(found, maximize_unit(network, "last", 0, **options))


def test_no_step_returns_what_it_begins_with(classifier, data):
    start = data[0][0]
    found = maximize_unit(classifier, "dense1", [0, 1], n_steps=0, init=start)
    np.testing.assert_allclose(found, [start, start], rtol=1e-12)
    noise = maximize_unit(classifier, "dense1", 0, n_steps=0, random_state=0)
    mean, deviation = maximize.normal_form(classifier.network_)
    assert 0 < np.abs((noise[..., np.newaxis] - mean) / deviation).max() < 0.6


def test_the_seed_decides(classifier):
    options = dict(n_steps=6, jitter=2)
    first = maximize_unit(classifier, "dense1", 3, random_state=5, **options)
    rng = np.random.RandomState(5)
    np.testing.assert_array_equal(
        first, maximize_unit(classifier, "dense1", 3, random_state=rng, **options)
    )
    other = maximize_unit(classifier, "dense1", 3, random_state=6, **options)
    assert np.abs(first - other).max() > 0


def test_blur_is_gaussian_after_each_step():
    network = compiled([("dense", Dense(2))], (7, 5, 2))
    W = network.parameters()["dense/weight"][:, 0].reshape(7, 5, 2)
    x = np.zeros((7, 5, 2))
    found = maximize_unit(network, "dense", 0, init=x, n_steps=3, blur=0.8)
    for _ in range(3):
        x = 0.95 * (x + 0.1 * W / np.abs(W).max())
        x = np.stack(
            [ndimage.gaussian_filter(x[..., c], 0.8, mode="nearest") for c in (0, 1)], axis=-1
        )
    np.testing.assert_allclose(found, x, rtol=1e-10)


def test_jitter_moves_the_sample_along_each_axis():
    network = compiled([("dense", Dense(2))], (9, 8, 2))
    W = network.parameters()["dense/weight"][:, 0].reshape(9, 8, 2)
    options = dict(init=np.zeros((9, 8, 2)), learning_rate=1.0, l2=0.0, jitter=2)
    found = maximize_unit(network, "dense", 0, n_steps=1, random_state=3, **options)
    moved = [
        (a, b)
        for a in range(-4, 5)
        for b in range(-4, 5)
        if np.allclose(found, np.roll(W, (a, b), (0, 1)) / np.abs(W).max())
    ]
    assert len(moved) == 1
    assert max(map(abs, moved[0])) <= 2
    shifts = {
        maximize_unit(network, "dense", 0, n_steps=1, random_state=i, **options).tobytes()
        for i in range(200)
    }
    assert len(shifts) == 25


@pytest.mark.parametrize("channels_first", [False, True])
def test_samples_are_in_the_order_of_the_data(channels_first):
    X = np.random.RandomState(0).normal(size=(30, 6, 5, 3))
    y = (X[:, 0, 0, 2] > 0).astype(int)
    layers = [Standardize(), Dense(6)]
    expected = ConvNetClassifier(layers, max_iter=2, input_kind="image", random_state=0).fit(X, y)
    options = dict(n_steps=5, random_state=0, init=X[0])
    found = maximize_unit(expected, "dense1", 2, **options)
    assert found.shape == (6, 5, 3)
    model = ConvNetClassifier(
        layers, max_iter=2, input_kind="image", random_state=0, data_format="channels_first"
    ).fit(X.transpose(0, 3, 1, 2), y)
    options["init"] = X[0].transpose(2, 0, 1)
    turned = maximize_unit(model, "dense1", 2, **options)
    np.testing.assert_array_equal(turned, found.transpose(2, 0, 1))


def test_of_crops_the_sample_is_one(data):
    model = ConvNetClassifier(
        [Standardize(), Conv2D(4, 3), Dense(5)],
        multi_crop=MultiCrop((5, 4)),
        max_iter=1,
        random_state=0,
    ).fit(*data)
    assert maximize_unit(model, "dense1", 0, n_steps=2).shape == (5, 4)


def test_the_estimator_is_left_as_it_is(data):
    model = ConvNetClassifier([Standardize(), Dense(5)], max_iter=1, random_state=0).fit(*data)
    before, attributes = pickle.dumps(model), set(vars(model))
    maximize_unit(model, ["dense1", "output"], [0, "left"], n_steps=3, jitter=1, blur=0.5)
    assert pickle.dumps(model) == before
    assert set(vars(model)) == attributes


# --- what is wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "unit", "options", "said"),
    [
        ("conv2d7", 0, {}, "there is no layer 'conv2d7': did you mean 'conv2d1'"),
        (9, 0, {}, "layer=9 does not exist"),
        ("conv2d1", 6, {}, "6 lies outside the maps of layer 'conv2d1', of shape (6,)"),
        ("conv2d1", (0, 0), {}, "(0, 0) is no place in the output of layer 'conv2d1', of shape"),
        ("conv2d1", (6, 0, 0), {}, "(6, 0, 0) lies outside the output of layer 'conv2d1'"),
        ("conv2d1", "left", {}, "'left' is no place in the output of layer 'conv2d1'"),
        ("dense1", 1.5, {}, "1.5 is no place in the output of layer 'dense1', of shape (10,)"),
        ("output", "up", {}, "target='up' is no class: the classes are ['left', 'right']"),
        ("output", None, {}, "target=None is no class"),
        (["conv2d1", "dense1"], [0, 1, 2], {}, "there are 2 layers, but 3 units"),
        ("conv2d1", [], {}, "there are no units"),
        ("dense1", 0, dict(n_steps=-1), "The 'n_steps' parameter of maximize_unit"),
        ("dense1", 0, dict(learning_rate=0), "The 'learning_rate' parameter of maximize_unit"),
        ("dense1", 0, dict(l2=1.0), "The 'l2' parameter of maximize_unit"),
        ("dense1", 0, dict(blur=-0.1), "The 'blur' parameter of maximize_unit"),
        ("dense1", 0, dict(jitter=0.5), "The 'jitter' parameter of maximize_unit"),
        ("dense1", 0, dict(random_state="one"), "The 'random_state' parameter of maximize_unit"),
        (
            "dense1",
            0,
            dict(init=np.zeros((8, 6))),
            "init has shape (8, 6), but a sample has (6, 8)",
        ),
        ("dense1", 0, dict(init=np.full((6, 8), np.inf)), "Input init contains infinity"),
        ("dense1", 0, dict(init="noise"), "The 'init' parameter of maximize_unit"),
    ],
)
def test_a_wrong_argument_is_named(classifier, layer, unit, options, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        maximize_unit(classifier, layer, unit, **options)


def test_what_is_no_fitted_network():
    with pytest.raises(TypeError, match="or a Network, got StandardScaler"):
        maximize_unit(StandardScaler(), 0, 0)
    with pytest.raises(ValueError, match="not fitted"):
        maximize_unit(ConvNetClassifier(), 0, 0)
