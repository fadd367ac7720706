"""Saliency maps: each method against a computation of its own."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import re

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.datasets import make_digit_scenes
from sklearn_convnet.inspection import gradients, saliency
from sklearn_convnet.inspection.saliency import METHODS
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv1D,
    Conv2D,
    Conv3D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool2D,
    Parallel,
    Rescale,
    Residual,
    Standardize,
)
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.network import compile_network
from sklearn_convnet.optimizers import Adam

GRADIENT_METHODS = [name for name in METHODS if name not in ("grad_cam", "occlusion")]


def smooth_layers():
    """Layers without a kink, all of which do something else at a prediction or in training."""
    return [
        Standardize(),
        Conv2D(4, 3, padding="same", activation="tanh"),
        BatchNorm(),
        Residual([Conv2D(4, 3, padding="same", activation="softplus"), Dropout(0.3)]),
        GlobalAvgPool(),
        Dense(5, activation="tanh"),
    ]


@pytest.fixture(scope="module")
def images():
    """Images in float64, far from zero, and labels as text."""
    rng = np.random.RandomState(0)
    return rng.normal(20, 3, size=(40, 6, 5, 2)), np.array(["ant", "bee", "cat"])[np.arange(40) % 3]


@pytest.fixture(scope="module")
def classifier(images):
    return ConvNetClassifier(smooth_layers(), max_iter=3, random_state=0).fit(*images)


def differences(function, X, step=1e-4):
    """The gradient of one number a sample at a batch, by central differences."""
    gradient = np.empty(X.shape)
    for i in np.ndindex(X.shape[1:]):
        move = np.zeros(X.shape)
        move[(slice(None), *i)] = step
        gradient[(slice(None), *i)] = (function(X + move) - function(X - move)) / (2 * step)
    return gradient


def logits(model, X):
    return model.network_.forward(X)


# --- the gradient --------------------------------------------------------------------------


def test_the_gradient_is_that_of_the_predicted_class_before_softmax(classifier, images):
    X = images[0][:4]
    codes = logits(classifier, X).argmax(axis=1)
    expected = differences(lambda X: logits(classifier, X)[np.arange(4), codes], X)
    np.testing.assert_allclose(saliency(classifier, X), expected, rtol=1e-6, atol=1e-9)


def test_differences_of_scores_are_those_of_log_probabilities(classifier, images):
    X = images[0][:3]

    def margin(X):
        log_P = classifier.predict_log_proba(X)
        return log_P[:, 2] - log_P[:, 0]

    found = saliency(classifier, X, target="cat") - saliency(classifier, X, target="ant")
    np.testing.assert_allclose(found, differences(margin, X), rtol=1e-6, atol=1e-9)


def test_each_sample_has_its_own_target(classifier, images):
    X, wanted = images[0][:3], ["cat", "ant", "cat"]
    found = saliency(classifier, X, target=wanted)
    for one in (wanted, np.array(wanted)):
        np.testing.assert_array_equal(saliency(classifier, X, target=one), found)
    for i, label in enumerate(wanted):
        alone = saliency(classifier, X[i : i + 1], target=label)[0]
        np.testing.assert_allclose(found[i], alone, rtol=1e-10)


def test_gradient_times_input(classifier, images):
    X = images[0][:3]
    found = saliency(classifier, X, "gradient_x_input", target="bee")
    np.testing.assert_allclose(found, X * saliency(classifier, X, target="bee"), rtol=1e-12)


# --- how X comes in ------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_channels_may_come_first_or_all_in_a_row(classifier, images, method):
    X, y = images
    layers = smooth_layers()
    expected = saliency(classifier, X[:3], method, random_state=0)
    options = dict(max_iter=3, random_state=0)
    first = ConvNetClassifier(layers, data_format="channels_first", **options)
    turned = X.transpose(0, 3, 1, 2)
    found = saliency(first.fit(turned, y), turned[:3], method, random_state=0)
    flat = X.reshape(len(X), -1)
    rows = ConvNetClassifier(layers, input_shape=(6, 5, 2), **options).fit(flat, y)
    found_flat = saliency(rows, flat[:3], method, random_state=0)
    if method in GRADIENT_METHODS:
        assert expected.shape == X[:3].shape
        np.testing.assert_array_equal(found.transpose(0, 2, 3, 1), expected)
        np.testing.assert_array_equal(found_flat, expected.reshape(3, -1))
    else:
        assert expected.shape == X[:3].shape[:-1]
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(found_flat, expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("first", [Standardize(), Rescale(1 / 255)])
def test_bytes_are_samples_as_well(method, first):
    rng = np.random.RandomState(0)
    X = rng.randint(256, size=(30, 6, 6), dtype=np.uint8)
    layers = [first, Conv2D(3, 3, padding="same"), MaxPool2D(2), Dense(8)]
    model = ConvNetClassifier(layers, max_iter=2, random_state=0).fit(X, np.arange(30) % 3)
    found = saliency(model, X[:4], method, random_state=0)
    assert found.dtype == np.float32
    assert found.shape == (4, 6, 6)
    assert np.abs(found).max() > 0
    as_floats = saliency(model, X[:4].astype(np.float32), method, random_state=0)
    np.testing.assert_array_equal(found, as_floats)


@pytest.mark.parametrize("method", ["gradient", "integrated", "smooth"])
def test_large_numbers_keep_what_tells_them_apart(method):
    """In float32 all of X would be the same number."""
    X = np.random.RandomState(0).normal(size=(40, 6, 6))
    y = X[:, 2, 3] + X[:, 1, 1] ** 2
    found = {}
    for offset in (0.0, 1e9):
        layers = [Standardize(), Conv2D(4, 3, activation="tanh"), Dense(8, activation="tanh")]
        model = ConvNetRegressor(layers, dtype="float32", max_iter=5, random_state=0)
        model.fit(X + offset, y)
        options = dict(baseline=offset, random_state=0, n_points=20)
        found[offset] = saliency(model, X[:5] + offset, method, **options)
        assert found[offset].dtype == np.float32
    scale = np.abs(found[0.0]).max()
    np.testing.assert_allclose(found[1e9], found[0.0], rtol=1e-3, atol=1e-3 * scale)


def test_columns_of_a_table():
    X = pd.DataFrame(np.random.RandomState(0).normal(size=(50, 4)), columns=list("abcd"))
    model = ConvNetRegressor(input_kind="table", max_iter=5, random_state=0)
    model.fit(X, X["b"] * 3)

    def predict(values):
        return model.predict(pd.DataFrame(values, columns=X.columns))

    expected = differences(predict, X[:2].to_numpy())
    np.testing.assert_allclose(saliency(model, X[:2]), expected, rtol=1e-5, atol=1e-7)
    covered = saliency(model, X[:2], "occlusion", window=1)
    for i in range(4):
        without = X[:2].to_numpy(copy=True)
        without[:, i] = 0
        lost = model.predict(X[:2]) - predict(without)
        np.testing.assert_allclose(covered[:, i], lost, rtol=1e-9, atol=1e-12)


def test_a_list_of_samples_or_cells_that_hold_them(classifier, images):
    X = images[0][:3]
    expected = saliency(classifier, X)
    np.testing.assert_array_equal(saliency(classifier, list(X)), expected)
    cells = pd.Series(list(X))
    np.testing.assert_array_equal(saliency(classifier, cells), expected)


@pytest.mark.parametrize("method", METHODS)
def test_with_crops_the_one_in_the_middle_is_explained(images, method):
    X, y = images
    crop = MultiCrop((4, 3))
    model = ConvNetClassifier(smooth_layers(), multi_crop=crop, max_iter=2, random_state=0)
    model.fit(X, y)
    inner = X[:3, 1:5, 1:4]
    options = dict(random_state=0, target="bee")
    found = saliency(model, X[:3], method, **options)
    assert found.shape == (X[:3].shape if method in GRADIENT_METHODS else X[:3].shape[:-1])
    network = saliency(model.network_, inner, method, target=1, random_state=0)
    np.testing.assert_array_equal(found[:, 1:5, 1:4], network)
    found[:, 1:5, 1:4] = 0
    assert not found.any()


def test_a_network_alone():
    network = compile_network([Conv2D(3, 3), Dense(4, activation=None)], (5, 5, 1), dtype="float64")
    X = np.random.RandomState(0).normal(size=(3, 5, 5, 1))
    expected = differences(lambda X: network.forward(X)[:, 2], X)
    np.testing.assert_allclose(saliency(network, X, target=2), expected, atol=1e-7)
    best = network.forward(X).argmax(axis=1)
    np.testing.assert_array_equal(saliency(network, X), saliency(network, X, target=best))


def test_batches_change_nothing(classifier, images, monkeypatch):
    X = images[0][:7]
    before = {name: saliency(classifier, X, name, random_state=0) for name in METHODS}
    for name in ("gradients.gradient_rows", "occlusion.chunk_rows"):
        monkeypatch.setattr(f"sklearn_convnet.inspection.{name}", lambda network: 3)
    for name in METHODS:
        after = saliency(classifier, X, name, random_state=0)
        np.testing.assert_allclose(after, before[name], rtol=1e-9, atol=1e-12)


def test_batches_hold_fewer_samples_of_deeper_networks():
    shape, rows = (64, 64, 1), []
    for n in (1, 20):
        network = compile_network([Conv2D(64, 3, padding="same") for _ in range(n)], shape)
        rows.append(gradients.gradient_rows(network))
    assert 256 > rows[0] > 10 * rows[1] > 0


@pytest.mark.parametrize("method", METHODS)
def test_the_estimator_is_left_as_it_is(images, method):
    X, y = images
    model = ConvNetClassifier(smooth_layers(), max_iter=1, random_state=0).fit(X, y)
    before, attributes = pickle.dumps(model), set(vars(model))
    P = model.predict_proba(X)
    saliency(model, X[:2], method)
    assert pickle.dumps(model) == before
    assert set(vars(model)) == attributes
    np.testing.assert_array_equal(model.predict_proba(X), P)


# --- integrated ----------------------------------------------------------------------------


def relu_network(dtype="float64"):
    layers = [
        Conv2D(6, 3, padding="same"),
        MaxPool2D(2),
        Parallel([[Conv2D(4, 3, padding="same")], [Conv2D(4, 1), Activation("relu")]]),
        Dense(12),
        Dense(3, activation=None),
    ]
    network = compile_network(layers, (8, 8, 2), dtype=dtype, random_state=0)
    rng = np.random.RandomState(1)
    for path, values in network.parameters().items():
        if path.endswith("bias"):  # without, a score would be proportional to X
            values[...] = rng.normal(size=values.shape)
    return network


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("from_zero", [True, False])
def test_integrated_gradients_sum_to_the_difference_of_the_scores(dtype, from_zero):
    network, rng = relu_network(dtype), np.random.RandomState(0)
    X = rng.normal(size=(12, 8, 8, 2)).astype(dtype)
    baseline = 0.0 if from_zero else rng.normal(size=(8, 8, 2)).astype(dtype)
    start = np.broadcast_to(baseline, X.shape)
    gain = (network.forward(X) - network.forward(start))[:, 1]
    found = saliency(network, X, "integrated", target=1, baseline=baseline)
    counted = np.abs(gain) > 0.05  # of less, one per cent is not much more than rounding
    assert counted.sum() >= 8
    sums = found.reshape(12, -1).sum(axis=1)
    np.testing.assert_allclose(sums[counted], gain[counted], rtol=0.01)


def test_integrated_gradients_of_a_smooth_network_are_the_integral(classifier, images):
    X = images[0][:2]
    baseline = np.full(X.shape[1:], 18.0)
    shares = (np.arange(400) + 0.5) / 400
    expected = np.zeros(X.shape)
    for share in shares:
        at = baseline + share * (X - baseline)
        expected += saliency(classifier, at, target="ant") * (X - baseline) / 400
    found = saliency(classifier, X, "integrated", target="ant", baseline=baseline, n_points=200)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_integrated_gradients_refine_where_few_points_are_too_few(monkeypatch):
    network = relu_network()
    X = np.random.RandomState(0).normal(size=(6, 8, 8, 2))
    rough = {}
    for refinements in (0, 2):
        monkeypatch.setattr(gradients, "MOST_REFINEMENTS", refinements)
        found = saliency(network, X, "integrated", target=0, n_points=3)
        gain = (network.forward(X) - network.forward(np.zeros(X.shape)))[:, 0]
        rough[refinements] = np.abs(found.reshape(6, -1).sum(axis=1) - gain)
    assert rough[2].mean() < 0.5 * rough[0].mean()


# --- smooth --------------------------------------------------------------------------------


def test_smooth_is_the_mean_over_noisy_copies(classifier, images):
    X = images[0][:2]
    expected = []
    for x in X:
        rng = np.random.RandomState(np.random.RandomState(3).randint(2**31 - 1))
        width = 0.2 * (x.max() - x.min())
        noisy = np.stack([x + rng.normal(scale=width, size=x.shape) for _ in range(9)])
        expected.append(saliency(classifier, noisy, target="bee").mean(axis=0))
    options = dict(target="bee", noise=0.2, n_points=9)
    found = saliency(classifier, X, "smooth", random_state=3, **options)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    again = saliency(classifier, X, "smooth", random_state=np.random.RandomState(3), **options)
    np.testing.assert_array_equal(again, found)
    # Whatever lies beside a sample.
    alone = saliency(classifier, X[1:], "smooth", random_state=3, **options)
    np.testing.assert_array_equal(alone, found[1:])
    other = saliency(classifier, X, "smooth", random_state=4, **options)
    assert np.abs(other - found).max() > 0


def test_smooth_without_noise_is_the_gradient(classifier, images):
    X = images[0][:3]
    found = saliency(classifier, X, "smooth", noise=0, n_points=2)
    np.testing.assert_allclose(found, saliency(classifier, X), rtol=1e-12)


# --- guided and deconvnet ------------------------------------------------------------------


@pytest.mark.parametrize("method", ["guided", "deconvnet"])
def test_what_is_negative_does_not_pass_a_rectifier(method):
    layers = [Dense(20), Dense(30, activation="tanh"), Dense(9), Dense(2, activation=None)]
    network = compile_network(layers, (6,), dtype="float64", random_state=0)
    parameters = network.parameters()
    W = [parameters[f"dense{i}/weight"] for i in range(1, 5)]
    X = np.random.RandomState(0).normal(size=(7, 6))
    A1 = np.maximum(X @ W[0], 0)
    A2 = np.tanh(A1 @ W[1])
    A3 = np.maximum(A2 @ W[2], 0)
    d3 = np.maximum(np.tile(W[3][:, 0], (7, 1)), 0)
    d3 = d3 * (A3 > 0) if method == "guided" else d3
    d1 = np.maximum(((d3 @ W[2].T) * (1 - A2**2)) @ W[1].T, 0)
    d1 = d1 * (A1 > 0) if method == "guided" else d1
    found = saliency(network, X, method, target=0)
    np.testing.assert_allclose(found, d1 @ W[0].T, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "activation", ["leaky_relu", "elu", "gelu", "softplus", "silu", "hard_swish"]
)
def test_other_rectifiers_have_their_own_derivative(activation):
    layers = [Dense(20, activation=activation), Dense(1, activation=None)]
    network = compile_network(layers, (6,), dtype="float64", random_state=0)
    X = np.random.RandomState(0).normal(size=(5, 6))
    W, v = (network.parameters()[f"dense{i}/weight"] for i in (1, 2))
    kept = v.copy()
    v[...] = np.maximum(v, 0)  # a network in which nothing is negative on the way back
    expected = saliency(network, X)
    v[...] = kept
    np.testing.assert_allclose(saliency(network, X, "guided"), expected, rtol=1e-10)
    passed = np.tile(np.maximum(v[:, 0], 0), (5, 1)) @ W.T
    np.testing.assert_allclose(saliency(network, X, "deconvnet"), passed, rtol=1e-10)


@pytest.mark.parametrize("method", ["guided", "deconvnet"])
@pytest.mark.parametrize(
    "activation", ["identity", "tanh", "logistic", "hard_logistic", "softsign"]
)
def test_other_activations_are_left_as_they_are(method, activation):
    layers = [Conv2D(4, 3, activation=activation), Residual([Conv2D(4, 1, activation="tanh")])]
    network = compile_network([*layers, Dense(3, activation=None)], (6, 6, 1), dtype="float64")
    X = np.random.RandomState(0).normal(size=(3, 6, 6, 1))
    np.testing.assert_allclose(saliency(network, X, method), saliency(network, X), rtol=1e-9)


# --- Grad-CAM ------------------------------------------------------------------------------


def enlarged_by_hand(maps, size):
    """Linear interpolation between centres, one axis after the other."""
    for axis, n in enumerate(size):
        old = (np.arange(maps.shape[axis]) + 0.5) / maps.shape[axis]
        new = (np.arange(n) + 0.5) / n
        maps = np.apply_along_axis(
            lambda row, new=new, old=old: np.interp(new, old, row), axis, maps
        )
    return maps


CONV = {1: Conv1D, 2: Conv2D, 3: Conv3D}


@pytest.mark.parametrize("size", [(13,), (11, 9), (6, 7, 5)], ids=len)
@pytest.mark.parametrize("name", ["conv", "deep/inner", 1])
def test_grad_cam_is_what_the_paper_says(size, name):
    conv = CONV[len(size)]
    before = [("first", conv(3, 2)), ("conv", conv(5, 3, stride=2))]
    deep = ("deep", Residual([("inner", conv(5, 1, activation="tanh"))]))
    after = [deep, Dense(8, activation="tanh"), Dense(4, activation=None)]
    options = dict(dtype="float64", random_state=0)
    network = compile_network([*before, *after], (*size, 2), **options)
    head = compile_network(before, (*size, 2), **options)
    tail = compile_network(after, head.output_shape, **options)
    inner = compile_network(
        [("inner", conv(5, 1, activation="tanh"))], head.output_shape, **options
    )
    for part in (head, tail, inner):
        for path, values in part.parameters().items():
            values[...] = network.parameters()[path if part is not inner else f"deep/{path}"]
    X = np.random.RandomState(0).normal(size=(3, *size, 2))
    maps = head.forward(X)
    if name == "deep/inner":
        # The block adds its input to these: the same gradient as at what leaves it.
        rest = compile_network(after[1:], head.output_shape, **options)
        for path, values in rest.parameters().items():
            values[...] = network.parameters()[path]
        added, maps = maps, inner.forward(maps)
        slopes = differences(lambda maps: rest.forward(added + maps)[:, 3], maps)
    else:
        slopes = differences(lambda maps: tail.forward(maps)[:, 3], maps)
    importance = slopes.mean(axis=tuple(range(1, slopes.ndim - 1)))
    sums = np.stack([np.maximum(a @ w, 0) for a, w in zip(maps, importance, strict=True)])
    expected = np.stack([enlarged_by_hand(one, size) for one in sums])
    found = saliency(network, X, "grad_cam", target=3, layer=name)
    assert found.shape == (3, *size)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)


def test_grad_cam_takes_the_last_layer_with_maps(images):
    X, y = images
    layers = [
        ("one", Conv2D(3, 3)),
        ("two", Conv2D(3, 2)),
        ("point", Conv2D(4, (3, 2))),
        ("flat", Flatten()),
    ]
    model = ConvNetClassifier(layers, max_iter=1, random_state=0).fit(X, y)
    found = saliency(model, X[:3], "grad_cam")
    expected = saliency(model, X[:3], "grad_cam", layer="two")
    np.testing.assert_array_equal(found, expected)
    assert np.abs(found - saliency(model, X[:3], "grad_cam", layer="one")).max() > 0


def test_grad_cam_of_one_pixel_does_not_take_the_output(images):
    X, _ = images
    maps = (X[..., 0] > 20).astype(int)
    layers = [("conv", Conv2D(4, 3, padding="same"))]
    model = ConvNetClassifier(layers, max_iter=1, random_state=0).fit(X, maps)
    found = saliency(model, X[:2], "grad_cam", target=(1, 2, 1))
    expected = saliency(model, X[:2], "grad_cam", target=(1, 2, 1), layer=0)
    np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def scenes():
    """A classifier of digit scenes that has seen labels alone, and scenes that are new to it."""
    X, y, _, _ = make_digit_scenes(800, digits=slice(None, 1200), random_state=0)
    layers = [
        Standardize(),
        *(Conv2D(8, 3, padding="same"), BatchNorm(), MaxPool2D(2)),
        *(Conv2D(16, 3, padding="same"), BatchNorm()),
        *(Conv2D(32, 3, padding="same"), BatchNorm(), GlobalAvgPool()),
    ]
    options = dict(optimizer=Adam(5e-3), batch_size=32, max_iter=6, random_state=0)
    model = ConvNetClassifier(layers, **options).fit(X, y)
    return model, make_digit_scenes(100, digits=slice(1200, None), random_state=1)


def test_the_peak_of_grad_cam_lies_on_the_digit(scenes):
    model, (X, y, boxes, _) = scenes
    maps = saliency(model, X, "grad_cam", target=y)
    peaks = np.stack(np.unravel_index(maps.reshape(len(X), -1).argmax(axis=1), (32, 32)), axis=1)
    x, y = ((peaks[:, ::-1] + 0.5) / 32).T
    corners = boxes.reshape(-1, 4, 2)
    # Inside of a box that is turned: on the same side of all four edges.
    edges = np.roll(corners, -1, axis=1) - corners
    side = edges[..., 0] * (y[:, None] - corners[..., 1]) - edges[..., 1] * (
        x[:, None] - corners[..., 0]
    )
    inside = (side > 0).all(axis=1) | (side < 0).all(axis=1)
    assert inside.mean() >= 0.8


# --- occlusion -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(9,), (7, 6), (4, 5, 3)], ids=len)
@pytest.mark.parametrize("of_sample", [False, True])
def test_occlusion_is_the_mean_loss_over_windows(size, of_sample):
    conv, rng = CONV[len(size)], np.random.RandomState(0)
    network = compile_network([conv(3, 2), Dense(2, activation=None)], (*size, 2), dtype="float64")
    X = rng.normal(size=(2, *size, 2))
    fill = rng.normal(size=(*size, 2)) if of_sample else 0.5
    lost, n = np.zeros((2, *size)), np.zeros(size)
    starts = [[*range(0, length - 3, 2), length - 3] for length in size]
    for corner in np.stack(np.meshgrid(*starts, indexing="ij"), -1).reshape(-1, len(size)):
        hole = tuple(slice(a, a + 3) for a in corner)
        covered = X.copy()
        covered[(slice(None), *hole)] = np.broadcast_to(fill, X.shape[1:])[hole]
        drop = (network.forward(X) - network.forward(covered))[:, 1]
        for i in range(2):
            lost[i][hole] += drop[i]
        n[hole] += 1
    found = saliency(network, X, "occlusion", target=1, window=3, stride=2, baseline=fill)
    np.testing.assert_allclose(found, lost / n, rtol=1e-10, atol=1e-12)


def test_occlusion_by_default_covers_a_quarter_by_halves():
    network = compile_network([Conv2D(2, 3), Dense(1, activation=None)], (16, 8, 1))
    X = np.random.RandomState(0).normal(size=(2, 16, 8, 1))
    found = saliency(network, X, "occlusion")
    expected = saliency(network, X, "occlusion", window=(4, 2), stride=(2, 1))
    np.testing.assert_array_equal(found, expected)


def test_occlusion_asks_for_predictions_only(monkeypatch, classifier, images):
    def refuse(*args, **options):
        raise AssertionError

    for name in ("input_gradient", "probe", "backward"):
        monkeypatch.setattr(type(classifier.network_), name, refuse)
    assert saliency(classifier, images[0][:2], "occlusion").shape == (2, 6, 5)


# --- what is wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(method="grad"), "The 'method' parameter of saliency must be a str among"),
        (dict(layer="conv2d1"), "layer='conv2d1' is for method='grad_cam', but method='gradient'"),
        (dict(method="grad_cam", layer="conv2d9"), "there is no layer 'conv2d9': did you mean"),
        (dict(method="grad_cam", layer=9), "layer=9 does not exist"),
        (dict(method="grad_cam", layer="dense1"), "puts out arrays of shape (5,), which are no"),
        (dict(method="grad_cam", layer=1.5), "The 'layer' parameter of saliency must be"),
        (dict(method="integrated", baseline=np.zeros((6, 5))), "baseline has shape (6, 5)"),
        (dict(method="integrated", baseline="black"), "The 'baseline' parameter of saliency"),
        (dict(method="integrated", baseline=np.nan), "contains NaN"),
        (dict(method="integrated", n_points=0), "The 'n_points' parameter of saliency"),
        (dict(method="smooth", n_points=2.5), "The 'n_points' parameter of saliency"),
        (dict(method="smooth", noise=-1), "The 'noise' parameter of saliency"),
        (dict(method="smooth", random_state="one"), "The 'random_state' parameter of saliency"),
        (dict(method="occlusion", window=0), "window must be an integer of at least 1"),
        (dict(method="occlusion", window=(2, 2, 2)), "a tuple of 2 of them"),
        (dict(method="occlusion", window=(7, 1)), "window=(7, 1) is larger than a sample"),
        (dict(method="occlusion", window=2, stride=3), "leaves out positions between windows"),
        (dict(method="occlusion", window=2, stride=0), "stride must be an integer of at least 1"),
    ],
)
def test_a_wrong_option_is_named(classifier, images, options, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        saliency(classifier, images[0][:2], **options)


def test_wrong_samples_are_refused_as_by_predict(classifier, images):
    X = images[0]
    for wrong in (np.stack([X[:2]] * 3, axis=-1), np.full(X[:1].shape, np.nan), X[0], "text"):
        with pytest.raises(ValueError) as predicted:
            classifier.predict(wrong)
        with pytest.raises(ValueError, match=re.escape(str(predicted.value))):
            saliency(classifier, wrong)


def test_grad_cam_without_maps():
    X = np.random.RandomState(0).normal(size=(20, 5))
    model = ConvNetClassifier(input_kind="table", max_iter=1, random_state=0)
    model.fit(X, np.arange(20) % 2)
    with pytest.raises(ValueError, match="needs a layer with maps of several positions"):
        saliency(model, X, "grad_cam")


def test_what_is_no_fitted_network(images):
    X, _ = images
    with pytest.raises(TypeError, match=r"or a Network, got Pipeline: of a pipeline, give the"):
        saliency(make_pipeline(StandardScaler(), ConvNetClassifier()), X)
    with pytest.raises(TypeError, match=r"or a Network, got StandardScaler$"):
        saliency(StandardScaler(), X)
    with pytest.raises(ValueError, match="not fitted"):
        saliency(ConvNetClassifier(), X)
    network = compile_network([Conv2D(2, 3), Dense(2)], (5, 5, 1))
    with pytest.raises(ValueError, match=r"X has samples of shape \(6, 5, 2\), the network is for"):
        saliency(network, X)
