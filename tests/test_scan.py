"""Scanning: each window's output as if it were predicted by itself, and samples of another size."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet import layers as all_layers
from sklearn_convnet.estimators import scanning
from sklearn_convnet.layers import (
    Activation,
    AuxiliaryHead,
    AvgPool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Conv3D,
    Cropping1D,
    Cropping2D,
    Cropping3D,
    Dense,
    DenseBlock,
    DepthwiseConv1D,
    DepthwiseConv2D,
    DepthwiseConv3D,
    Dropout,
    Flatten,
    Gate,
    GlobalAvgPool,
    GlobalMaxPool,
    GroupNorm,
    LayerNorm,
    LayerScale,
    LocalResponseNorm,
    LpPool1D,
    LpPool2D,
    LpPool3D,
    Maxout,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    NonLocal,
    Parallel,
    PositionEmbedding,
    Rescale,
    Residual,
    SelfAttention,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConv3D,
    Sequential,
    SqueezeExcite,
    Standardize,
    StochasticDepth,
    TransformConv1D,
    TransformConv2D,
    TransformConv3D,
    TransformerBlock,
    TransformPool,
    Upsample2D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from sklearn_convnet.metrics import box_iou
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.scan import scanning as scanning_of
from sklearn_convnet.scan import find_objects, suppressed


def fitted(layers, shape, *, n_classes=3, seed=0, **params):
    """A classifier in float64 after an epoch, with statistics that are not those of the begin."""
    rng = np.random.RandomState(seed)
    X, y = rng.normal(1, 2, (12, *shape)), np.arange(12) % n_classes
    params = {"random_state": seed, "max_iter": 1, "dtype": "float64", **params}
    clf = ConvNetClassifier(layers, batch_size=6, **params)
    with pytest.warns(match="Maximum iterations"):
        return clf.fit(X, y)


def larger(clf, *sizes, n=2, seed=1):
    channels = clf.network_.input_shape[-1]
    return np.random.RandomState(seed).normal(1, 2, (n, *sizes, channels))


def one_by_one(clf, X, stride):
    """The probabilities of each window, predicted by itself."""
    n_axes = X.ndim - 2
    window = clf.network_.input_shape[:-1]
    axes = tuple(range(1, n_axes + 1))
    views = np.lib.stride_tricks.sliding_window_view(X, window, axis=axes)
    views = views[(slice(None), *(slice(None, None, s) for s in stride))]
    views = np.moveaxis(views, n_axes + 1, -1)  # channels last
    grid = views.shape[: n_axes + 1]
    P = clf.predict_proba(np.ascontiguousarray(views).reshape(-1, *window, X.shape[-1]))
    return P.reshape(*grid, -1)


IMAGES = {
    "lenet": [Conv2D(4, 3), MaxPool2D(2), Conv2D(6, 3), MaxPool2D(2), Dense(9), Dense(7)],
    "a pool that leaves a row over": [Conv2D(4, 4), MaxPool2D(2), Conv2D(5, 2), Dense(6)],
    "norms": [
        Standardize(),
        Conv2D(4, 3, activation=None),
        BatchNorm(),
        Activation("elu"),
        LocalResponseNorm(3),
        AvgPool2D(2),
        Dense(5, activation=None),
        BatchNorm(),
        Activation("tanh"),
    ],
    "global average": [Rescale(0.5), Conv2D(4, 3, stride=2), Conv2D(5, 2), GlobalAvgPool()],
    "global maximum": [Conv2D(4, 3), MaxPool2D(2), GlobalMaxPool(), Dense(6)],
    "flattened": [Conv2D(4, 3), Flatten(), Dropout(0.5), Activation("tanh"), Dense(5)],
    "overlapping pools": [Conv2D(4, 3), MaxPool2D(3, stride=2), LpPool2D(2, stride=1), Dense(5)],
    "dilated, in groups": [Conv2D(4, 3, dilation=2), Conv2D(6, 2, groups=2), Dense(5)],
    "depth-wise": [DepthwiseConv2D(3, stride=2), SeparableConv2D(4, 2), Dense(5)],
    "transforms": [TransformConv2D(3, 3, pool="max"), MaxPool2D(2), Dense(5)],
    "transforms at depth": [
        TransformConv2D(2, 3, activation=None),
        BatchNorm(n_transforms=4),
        Activation("relu"),
        TransformConv2D(2, 2, group_input=True, stride=2),
        TransformPool(4),
        Dense(5),
    ],
    "transforms pooled to a pixel": [
        TransformConv2D(3, (13, 12)),
        TransformPool(4),
        SqueezeExcite(),
        Dense(5),
    ],
    "branches": [
        Conv2D(4, 3),
        Parallel([Conv2D(3, 1), [Conv2D(3, 1), Conv2D(2, 1)], "passthrough"]),
        Residual([Conv2D(9, 1), Conv2D(9, 1, activation=None)]),
        Residual([Conv2D(5, 1, stride=2)]),
        DenseBlock([Conv2D(3, 1), Sequential([Conv2D(2, 1), Activation("tanh")])]),
        Sequential([MaxPool2D(2), Dense(5)]),
    ],
    "maxout": [Conv2D(6, 3, activation=None), Maxout(3), Dense(8), Maxout(), Dense(5)],
    "gates": [
        Conv2D(4, 3),
        Gate([Conv2D(2, 1), Conv2D(1, 1, activation="logistic")]),
        Gate([Conv2D(4, 1, activation="tanh")]),
        MaxPool2D(2),
        Dense(6),
        Gate([Dense(6, activation="logistic")]),
        Dense(5),
    ],
    "gates of one pixel": [
        Conv2D(4, (13, 12)),
        SqueezeExcite(),
        Gate([GlobalAvgPool(), Dense(4)]),
        Dense(5),
    ],
    "cropped": [Conv2D(4, 3), Cropping2D(((1, 0), (0, 2))), MaxPool2D(2), Dense(5)],
    "norms of samples": [
        Conv2D(4, 3, activation=None),
        LayerNorm(),
        Residual([Conv2D(4, 1), LayerScale(0.5), StochasticDepth(0.3)]),
        MaxPool2D(2),
        Dense(5, activation=None),
        LayerNorm(),
    ],
    "heads": [Conv2D(4, 3), AuxiliaryHead([Dense(3)]), MaxPool2D(2), Dense(5)],
    "rectangular": [Conv2D(4, (2, 3), stride=(1, 2)), MaxPool2D((2, 1)), Dense(5)],
}


@pytest.mark.parametrize("name", IMAGES)
def test_every_window_as_if_by_itself(name):
    clf = fitted(IMAGES[name], (13, 12, 2))
    X = larger(clf, 27, 31)
    scan = clf.scan(X)
    assert scan.is_exact
    expected = one_by_one(clf, X, scan.stride)
    assert scan.maps[0].shape == expected.shape
    assert_allclose(scan.maps[0], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_random_networks(seed):
    rng = np.random.RandomState(100 + seed)
    layers, size = [], 17
    while size > 4 and len(layers) < 5:
        kernel, stride = rng.randint(1, min(5, size)), rng.randint(1, 3)
        kind = [Conv2D(rng.randint(2, 5), kernel, stride=stride, activation="tanh")]
        kind += [MaxPool2D(kernel, stride=stride), AvgPool2D(kernel, stride=stride)]
        layers.append(kind[rng.randint(3)])
        size = (size - kernel) // stride + 1
    layers.append([Dense(5), GlobalAvgPool(), GlobalMaxPool()][rng.randint(3)])
    clf = fitted(layers, (17, 17, 2), seed=seed)
    step = scanning_of(clf.network_).stride
    X = larger(clf, 17 + 2 * step[0] + rng.randint(3), 17 + step[1] + rng.randint(5), n=1)
    for stride in {step, (1, 1), (step[0], 1), (2 * step[0], step[1])}:
        scan = clf.scan(X, stride=stride)
        expected = one_by_one(clf, X, stride)
        assert_allclose(scan.maps[0], expected, rtol=0, atol=1e-12)


OTHER_AXES = [
    ([Conv1D(4, 3), MaxPool1D(2), Dense(5)], (11, 2), (40,)),
    ([Conv1D(4, 3, stride=2), GlobalAvgPool()], (11,), (40,)),
    ([Conv3D(3, 2), MaxPool3D(2), Dense(5)], (5, 7, 6, 1), (9, 8, 11)),
    ([DepthwiseConv1D(3, multiplier=2), LpPool1D(2), SeparableConv1D(4, 2)], (8, 2), (19,)),
    ([SeparableConv3D(4, 2), LpPool3D(2), DepthwiseConv3D(2), Dense(5)], (5, 7, 6, 1), (7, 8, 9)),
    ([Cropping1D(((1, 0),)), Conv1D(4, 3), Cropping1D(), Dense(5)], (9, 2), (19,)),
    ([Conv3D(3, 2, stride=2), Cropping3D((0, (1, 0), 1)), Dense(5)], (5, 7, 9, 1), (9, 8, 12)),
    ([TransformConv1D(2, 3), TransformConv1D(2, 3, group_input=True)], (5, 2), (19,)),
    ([TransformConv3D(1, 2, pool="max"), MaxPool3D(2), Dense(5)], (4, 3, 3, 1), (6, 6, 5)),
]


@pytest.mark.parametrize(("layers", "shape", "sizes"), OTHER_AXES)
def test_signals_and_volumes(layers, shape, sizes):
    clf = fitted(layers, shape)
    X = larger(clf, *sizes)
    scan = clf.scan(X, stride=1)
    assert_allclose(scan.maps[0], one_by_one(clf, X, scan.stride), rtol=0, atol=1e-12)
    assert scan.windows().shape == (*scan.maps[0].shape[1:-1], 2 * len(sizes))


def test_tiles_are_put_together(monkeypatch):
    clf = fitted(IMAGES["lenet"], (13, 12, 2))
    X = larger(clf, 90, 61)
    whole = clf.scan(X).maps[0]
    monkeypatch.setattr(scanning, "TILE", {2: 20})  # four windows are longer
    scanner = scanning._Scanner(clf, clf._target.log_probabilities, None, None)
    assert_allclose(np.exp(scanner.maps(X)), whole, rtol=0, atol=1e-12)
    assert list(scanner._networks) == [(10, 10)]
    assert_allclose(clf.scan(X, batch=1).maps[0], whole, rtol=0, atol=1e-12)


def test_samples_of_several_sizes():
    clf = fitted(IMAGES["lenet"], (13, 12, 2))
    one, other = larger(clf, 30, 20, n=1)[0], larger(clf, 17, 40, n=1)[0]
    scan = clf.scan([one, other], scales=(1, 1.5))
    for maps in scan.maps:
        assert [len(maps), maps[0].ndim] == [2, 3]
    for i, sample in enumerate((one, other)):
        alone = clf.scan(sample[np.newaxis], scales=(1, 1.5))
        for maps, expected in zip(scan.maps, alone.maps, strict=True):
            assert_array_equal(maps[i], expected[0])
        for scale in range(2):
            assert_array_equal(scan.windows(scale, i), alone.windows(scale))
    assert scan.sizes == [(30, 20), (17, 40)]
    as_objects = np.empty(2, object)
    as_objects[:] = [one, other]
    assert_array_equal(clf.scan(as_objects).maps[0][1], scan.maps[0][1])


def test_threads_and_float32_bits():
    clf = fitted(IMAGES["lenet"], (13, 12, 2), dtype="float32")
    X = larger(clf, 60, 60).astype(np.float32)
    first = clf.set_params(n_threads=1).scan(X, stride=2).maps[0]
    assert first.dtype == np.float32
    assert_array_equal(clf.set_params(n_threads=3).scan(X, stride=2).maps[0], first)


def test_the_estimator_is_left_alone():
    clf = fitted(IMAGES["norms"], (13, 12, 2))
    before, keys = clf.get_weights(), set(vars(clf))
    X = larger(clf, 20, 20)
    clf.scan(X)
    assert set(vars(clf)) == keys
    for path, array in clf.get_weights().items():
        assert_array_equal(array, before[path])


def test_scores_before_the_softmax():
    clf = fitted(IMAGES["lenet"], (13, 12, 2))
    X = larger(clf, 20, 20)
    Z, P = clf.scan(X, output="decision").maps[0], clf.scan(X, output="proba").maps[0]
    Z = np.exp(Z - Z.max(axis=-1, keepdims=True))
    assert_allclose(Z / Z.sum(axis=-1, keepdims=True), P, atol=1e-12)


def test_several_labels():
    rng = np.random.RandomState(0)
    X, Y = rng.normal(size=(12, 9, 9, 1)), rng.randint(2, size=(12, 3))
    clf = ConvNetClassifier([Conv2D(3, 3), Dense(5)], max_iter=1, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        clf.fit(X, Y)
    big = rng.normal(size=(1, 12, 12, 1))
    assert_allclose(clf.scan(big).maps[0], one_by_one(clf, big, (1, 1)), atol=1e-12)


@pytest.mark.parametrize("normalize_y", [False, True])
def test_values(normalize_y):
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(12, 9, 9)), rng.normal(5, 3, size=(12, 2))
    reg = ConvNetRegressor([Conv2D(3, 3), Dense(5)], max_iter=1, normalize_y=normalize_y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        reg.fit(X, y)
    big = rng.normal(size=(1, 12, 12))
    scan = reg.scan(big)
    assert scan.maps[0].shape == (1, 4, 4, 2)
    for i in range(4):
        for j in range(4):
            expected = reg.predict(big[:, i : i + 9, j : j + 9])
            assert_allclose(scan.maps[0][:, i, j], expected, rtol=1e-10)


# ---------------------------------------------------------------------------
# Geometry
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("units", ["share", "pixels"])
@pytest.mark.parametrize("n_coordinates", [4, 8])
def test_boxes_lie_where_they_are(units, n_coordinates):
    """A network whose box is always the left upper quarter of the window."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(12, 8, 10)), np.arange(12) % 2
    share = {4: [0, 0, 0.5, 0.5], 8: [0, 0, 0.5, 0, 0.5, 0.5, 0, 0.5]}[n_coordinates]
    box = np.array(share) if units == "share" else np.resize([10, 8], n_coordinates) * share - 0.5
    clf = ConvNetClassifier([Conv2D(3, 3), Dense(4)], max_iter=1, box_units=units, box_weight=1e-9)
    with pytest.warns(match="Maximum iterations"):
        clf.fit(X, y, boxes=np.tile(box, (12, 1)))
    weights = clf.network_.parameters()
    weights["box/weight"][...] = 0
    weights["box/bias"][...] = share
    big = rng.normal(size=(2, 24, 20))
    scan = clf.scan(big, output="box", scales=(1, 2), stride=1)
    corners = np.array([0, 1, 4, 5] if n_coordinates == 8 else [0, 1, 2, 3])
    for scale in range(2):
        boxes, windows = scan.maps[scale][1], scan.windows(scale, 1)
        assert boxes.shape == (*windows.shape[:2], n_coordinates)
        expected = windows.copy()
        expected[..., 2:] = (windows[..., :2] + windows[..., 2:]) / 2
        found = boxes[..., corners]
        if units == "share":
            found = found * [20, 24, 20, 24] - 0.5
        assert_allclose(found, expected, atol=1e-5)
    assert_array_equal(scan.windows(0)[0, 0], [-0.5, -0.5, 9.5, 7.5])
    assert_array_equal(scan.windows(1)[0, 1], [0, -0.5, 5, 3.5])


def test_points_lie_where_they_are():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(12, 8, 10)), rng.uniform(0.3, 0.7, (12, 4))
    for units, in_window in (("share", y), ("pixels", y * [10, 8, 10, 8] - 0.5)):
        reg = ConvNetRegressor([Conv2D(3, 3), Dense(4)], max_iter=1, target="points")
        reg.set_params(point_units=units, random_state=0)
        with pytest.warns(match="Maximum iterations"):
            reg.fit(X, in_window)
        big = rng.normal(size=(1, 16, 20))
        found = reg.scan(big).maps[0][0, 3, 4].reshape(2, 2)
        alone = reg.predict(big[:, 3:11, 4:14])[0].reshape(2, 2)
        if units == "share":
            assert_allclose(found * [20, 16], alone * [10, 8] + [4, 3], rtol=1e-6)
        else:
            assert_allclose(found, alone + np.array([4, 3]), rtol=1e-6)


def test_scales_find_what_is_larger():
    """A detector of a bright square of 4 x 4 peaks at the scale at which a square has that size."""
    clf = ConvNetClassifier([Conv2D(1, 4, activation=None, use_bias=False)], max_iter=1)
    rng = np.random.RandomState(0)
    with pytest.warns(match="Maximum iterations"):
        clf.fit(rng.normal(size=(12, 6, 6)), np.arange(12) % 2)
    weights = clf.network_.parameters()
    weights["conv2d1/weight"][...] = 1.0
    weights["output/weight"][...] = np.outer([0.02] * 4 + [1] + [0.02] * 4, [0, 1])
    scene = -np.ones((1, 48, 48))
    scene[:, 20:32, 12:24] = 1  # three times as large
    scan = clf.scan(scene, scales=(1 / 3, 1.0), output="decision")
    maps = scan.maps[0][0, ..., 1]
    place = np.unravel_index(maps.argmax(), maps.shape)
    x1, y1, x2, y2 = scan.windows()[place]
    assert abs((x1 + x2) / 2 - 17.5) <= 1.5
    assert abs((y1 + y2) / 2 - 25.5) <= 1.5


def test_padding_is_that_of_a_window():
    """With 'same', the maps are aligned as in a window, but padded windows see zeros."""
    clf = fitted([Conv2D(3, 4, padding="same", stride=2), MaxPool2D(2), Dense(5)], (12, 12, 1))
    X = np.zeros((1, 20, 24, 1))
    X[:, 4:16, 8:20] = larger(clf, 12, 12, n=1)
    scan = clf.scan(X)
    assert not scan.is_exact
    assert scan.stride == (4, 4)
    assert_allclose(scan.maps[0][:, 1, 2], clf.predict_proba(X[:, 4:16, 8:20]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("zeros", "shape"),
    [
        (ZeroPadding1D(((1, 2),)), (9, 1)),
        (ZeroPadding2D((1, (0, 2))), (9, 8, 1)),
        (ZeroPadding3D(1), (5, 4, 6, 1)),
    ],
)
def test_zeros_are_those_around_the_scene(zeros, shape):
    layers = [zeros, GlobalAvgPool(), Dense(5)]
    clf = fitted(layers, shape)
    X = larger(clf, *[size + 2 for size in shape[:-1]], n=1)
    scan = clf.scan(X)
    assert not scan.is_exact
    assert scan.maps[0].shape == (1, *[3] * (len(shape) - 1), 3)
    padded = np.zeros((1, *zeros.output_shape(X.shape[1:])))
    inside = [slice(before, size - after) for size, (before, after) in
              zip(padded.shape[1:], zeros.borders(), strict=False)]  # fmt: skip
    padded[(0, *inside)] = X[0]
    window = zeros.output_shape(shape)[:-1]
    mean = padded[(0, *[slice(size) for size in window])].mean()
    weights = clf.network_.parameters()
    dense = np.maximum(mean * weights["dense1/weight"][0] + weights["dense1/bias"], 0)
    Z = dense @ weights["output/weight"] + weights["output/bias"]
    first = clf.scan(X, output="decision").maps[0][(0, *[0] * (len(shape) - 1))]
    assert_allclose(first, Z, rtol=0, atol=1e-12)
    assert scanning_of(clf.network_).padded == [f"{type(zeros).__name__.lower()}1"]


# ---------------------------------------------------------------------------
# What stands in the way
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Conv2D(3, 3), SelfAttention(1), Dense(4)], "'selfattention1': SelfAttention cannot be"),
        ([Conv2D(3, 3), Upsample2D(2), Dense(4)], "'upsample2d1': Upsample2D cannot be moved"),
        ([Conv2D(3, 3), GroupNorm(3), Dense(4)], "'groupnorm1': GroupNorm cannot be moved"),
        ([Conv2D(3, 3), NonLocal(), Dense(4)], "'nonlocal1': NonLocal cannot be moved"),
        ([PositionEmbedding(), Dense(4)], "'positionembedding1': PositionEmbedding cannot be"),
        ([TransformerBlock(), Dense(4)], "'transformerblock1': TransformerBlock cannot be"),
        ([Conv2D(3, 3), Flatten(), LayerNorm(), Dense(4)], "'layernorm1': LayerNorm after Flatten"),
        ([Standardize(per="value"), Conv2D(3, 3), Dense(4)], "'standardize1': .* per='channel'"),
        ([Conv2D(3, 3), SqueezeExcite(), Dense(4)], "'squeezeexcite1': SqueezeExcite multiplies"),
        (
            [Conv2D(3, 3), Gate([GlobalMaxPool(), Dense(3)]), Dense(4)],
            "'gate1': Gate multiplies a window with what it is as a whole",
        ),
        ([Conv2D(3, 3), Gate([Dense(1)]), Dense(4)], "'gate1': Gate multiplies"),
        ([Conv2D(4, 3), Flatten(), Maxout(), Dense(4)], "'maxout1': Maxout after Flatten"),
        ([Conv2D(3, 3), Flatten(), BatchNorm(), Dense(4)], "'batchnorm1': BatchNorm after Flatten"),
        ([Conv2D(3, 3), Flatten(), Activation("softmax"), Dense(4)], "'activation1': Activation"),
        (
            [Conv2D(1, 7), Flatten(), Rescale([1] * 4), Dense(4)],
            "'rescale1': Rescale after Flatten",
        ),
        (
            [Conv2D(3, 3), Parallel([[Flatten()], [Flatten()]]), Dense(4)],
            "'parallel1': its branch 'branch1' ends in a row",
        ),
        (
            [Sequential([Conv2D(3, 3), Residual([SelfAttention(1)])]), Dense(4)],
            "'sequential1/residual1/selfattention1'",
        ),
    ],
)
def test_layers_that_cannot_be_moved(layers, message):
    clf = fitted(layers, (8, 8, 1))
    with pytest.raises(ValueError, match=message):
        clf.scan(np.zeros((1, 12, 12, 1)))


def test_samples_without_axes():
    clf = fitted([Dense(4)], (6,), input_kind="table")
    with pytest.raises(ValueError, match="without an axis to move along"):
        clf.scan(np.zeros((1, 12)))


def test_maps_are_predicted_at_any_size():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(6, 8, 8, 1)), rng.randint(2, size=(6, 8, 8))
    clf = ConvNetClassifier([Conv2D(3, 3, padding="same")], max_iter=1, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        clf.fit(X, y)
    big, labels = rng.normal(size=(2, 11, 14, 1)), rng.randint(2, size=(2, 11, 14))
    with pytest.raises(ValueError, match="predict takes X of another size"):
        clf.scan(big)
    P = clf.predict_proba(big)
    assert P.shape == (2, 11, 14, 2)
    assert_array_equal(clf.predict(big), P.argmax(axis=-1))
    assert clf.score(big, labels) == np.mean(clf.predict(big) == labels)
    assert_allclose(P[:, :4, :4], clf.predict_proba(big[:, :8, :8])[:, :4, :4], atol=1e-12)
    with pytest.raises(ValueError, match="as predicted"):
        clf.score(big, labels[:, :8])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"stride": 3}, "stride=3 must divide the product .*, 4 x 4"),
        ({"stride": 0}, "stride must be an integer of at least 1"),
        ({"stride": (1, 1, 1)}, "stride must be .* tuple of 2"),
        ({"scales": ()}, "scales must be numbers above 0"),
        ({"scales": (1, -1)}, "scales must be numbers above 0"),
        ({"scales": None}, r"scales must be numbers above 0, .* got None"),
        ({"scales": "all"}, "scales must be numbers above 0"),
        ({"scales": 0.5}, "sample of 10 x 10 at scale 0.5, which is smaller than the 13 x 12"),
        ({"output": "values"}, "output must be one of 'auto', 'proba', .* for a classifier"),
        ({"output": "box"}, "needs a network for images that was fitted with boxes"),
        ({"batch": 0}, "batch must be an integer of at least 1, or None, got 0"),
        ({"batch": True}, "batch must be"),
    ],
)
def test_invalid_parameters(params, message):
    clf = fitted(IMAGES["lenet"], (13, 12, 2))
    with pytest.raises(ValueError, match=message):
        clf.scan(np.zeros((1, 20, 20, 2)), **params)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((20, 20, 2)), "expected samples of 2 axes and 2 channels: of one sample"),
        (np.zeros((1, 20, 20, 3)), "X has 3 channels"),
        (np.zeros((1, 9, 20, 2)), "sample of 9 x 20, which is smaller than the 13 x 12"),
        ([], "X is an empty list"),
        ([np.zeros((20, 20, 2)), np.zeros((9, 20, 2))], "sample of 9 x 20"),
        (np.full((1, 20, 20, 2), np.nan), "NaN"),
        (np.full((1, 20, 20, 2), "a"), "dtype|numeric|convert"),
    ],
)
def test_invalid_samples(X, message):
    clf = fitted(IMAGES["lenet"], (13, 12, 2))
    with pytest.raises(ValueError, match=message):
        clf.scan(X)


def test_samples_beyond_float32():
    clf = fitted(IMAGES["lenet"], (13, 12, 2), dtype="float32")
    with pytest.raises(ValueError, match=r"too large for dtype.*float32"):
        clf.scan(np.full((1, 20, 20, 2), 1e39))


def test_channels_first():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(12, 2, 9, 8)), np.arange(12) % 2
    first = ConvNetClassifier(
        [Conv2D(3, 3), Dense(4)], data_format="channels_first", max_iter=1, random_state=0
    )
    last = clone(first).set_params(data_format="channels_last")
    with pytest.warns(match="Maximum iterations"):
        first.fit(X, y)
    with pytest.warns(match="Maximum iterations"):
        last.fit(np.moveaxis(X, 1, -1), y)
    big = rng.normal(size=(2, 2, 12, 12))
    expected = last.scan(np.moveaxis(big, 1, -1)).maps[0]
    assert_array_equal(first.scan(big).maps[0], expected)


# ---------------------------------------------------------------------------
# Predictions at another size
# ---------------------------------------------------------------------------


def test_global_pools_predict_at_any_size():
    clf = fitted([Conv2D(4, 3, padding=1), BatchNorm(), GlobalAvgPool(), Dense(5)], (9, 9, 2))
    X = larger(clf, 14, 11)
    network = compile_network(clf.layers_, (14, 11, 2), dtype="float64", random_state=0)
    network.restore(clf.network_.snapshot())
    Z = network.forward(X)
    P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    assert_allclose(clf.predict_proba(X), P, atol=1e-12)
    assert_array_equal(clf.predict(X), P.argmax(axis=1))
    assert_allclose(np.exp(clf.predict_log_proba(X)), P, atol=1e-12)
    # Weights of now, and several sizes in turn.
    clf.network_.parameters()["output/bias"][...] = [9, 0, 0]
    for size in (14, 10, 9, 14):
        assert not clf.predict(larger(clf, size, size)).any()


def test_boxes_at_another_size():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(12, 8, 10)), np.arange(12) % 2
    clf = ConvNetClassifier([Conv2D(3, 3), GlobalAvgPool()], max_iter=1, box_units="pixels")
    with pytest.warns(match="Maximum iterations"):
        clf.fit(X, y, boxes=np.tile([0.0, 0, 4.5, 3.5], (12, 1)))
    weights = clf.network_.parameters()
    weights["box/weight"][...] = 0
    weights["box/bias"][...] = [0, 0, 0.5, 0.5]
    assert_allclose(clf.predict_box(np.zeros((1, 16, 20))), [[-0.5, -0.5, 9.5, 7.5]], atol=1e-6)
    assert_allclose(clf.predict_box(X[:1]), [[-0.5, -0.5, 4.5, 3.5]], atol=1e-6)


def test_maps_of_values_at_another_size():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(6, 8, 8, 1)), rng.normal(size=(6, 8, 8))
    reg = ConvNetRegressor([Conv2D(3, 3, padding="same")], max_iter=1, target="maps")
    with pytest.warns(match="Maximum iterations"):
        reg.fit(X, y)
    big, values = rng.normal(size=(2, 9, 12, 1)), rng.normal(size=(2, 9, 12))
    assert reg.predict(big).shape == (2, 9, 12)
    assert np.isfinite(reg.score(big, values))


def test_layers_that_stand_in_the_way():
    clf = fitted([Conv2D(4, 3), ("head", Dense(5))], (9, 9, 2))
    message = r"layer 'head': its weight would have the shape \(480, 5\).*scan"
    with pytest.raises(ValueError, match=message):
        clf.predict(larger(clf, 14, 12))
    with pytest.raises(ValueError, match="'conv2d1': its window covers 3"):
        clf.predict(larger(clf, 14, 2))
    with pytest.raises(ValueError, match="samples of shape"):
        clf.predict(np.zeros((1, 14, 12, 3)))
    with pytest.raises(ValueError, match="samples of shape"):  # training has one size
        clf.partial_fit(larger(clf, 14, 12), [0, 1])


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([Conv2D(4, 3), Dense(5)], "dense1"),
        ([Conv2D(4, 3), Flatten(), BatchNorm(), Dense(5)], "flatten1"),
        ([Standardize(per="value"), Conv2D(4, 3), GlobalAvgPool()], "standardize1"),
        ([Conv2D(4, 3), Parallel([Sequential([Dense(5)])])], "parallel1/branch1/dense1"),
        ([SelfAttention(relative_position=True), GlobalAvgPool()], "selfattention1"),
    ],
)
def test_as_many_values_in_other_places(layers, name):
    """Weights of a turned sample have the right size, but not the right places."""
    clf = fitted(layers, (9, 8, 2))
    with pytest.raises(ValueError, match=f"layer '{name}': it would see"):
        clf.predict(larger(clf, 8, 9))


def test_pools_may_hide_another_size():
    clf = fitted([MaxPool2D(2), Dense(5)], (9, 8, 2))
    X = larger(clf, 8, 9)
    padded = np.concatenate([X[:, :, :8], X[:, :1, :8]], axis=1)
    assert_array_equal(clf.predict_proba(X), clf.predict_proba(padded))


def test_standardized_values_have_one_size():
    clf = fitted([Standardize(per="value"), Conv2D(4, 3), GlobalAvgPool()], (9, 9, 2))
    with pytest.raises(ValueError, match="layer 'standardize1': its mean"):
        clf.predict(larger(clf, 14, 12))


# ---------------------------------------------------------------------------
# Dense voting
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_crops", [1, 5, 10])
def test_dense_voting_is_the_mean_over_all_crops(n_crops):
    crops = MultiCrop((9, 8), n_crops=n_crops, voting="dense")
    clf = fitted([Conv2D(4, 3, stride=2), Dense(5)], (13, 14, 2), multi_crop=crops)
    X = larger(clf, 13, 14)
    single = clone(clf).set_params(multi_crop=None)
    with pytest.warns(match="Maximum iterations"):
        single.fit(np.random.RandomState(0).normal(size=(6, 9, 8, 2)), [0, 1, 2] * 2)
    single.network_.restore(clf.network_.snapshot())
    views = [X, X[:, :, ::-1]] if n_crops == 10 else [X]
    expected = np.mean([one_by_one(single, view, (2, 2)).mean(axis=(1, 2)) for view in views], 0)
    assert_allclose(clf.predict_proba(X), expected, rtol=0, atol=1e-12)
    assert_allclose(np.exp(clf.predict_log_proba(X)), expected, rtol=1e-10)
    assert_array_equal(clf.predict(X), expected.argmax(axis=1))


def test_dense_voting_over_values():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(12, 9, 9)), rng.normal(size=12)
    crops = MultiCrop(7, n_crops=1, voting="dense")
    reg = ConvNetRegressor([Conv2D(3, 3), Dense(4)], max_iter=1, multi_crop=crops)
    with pytest.warns(match="Maximum iterations"):
        reg.fit(X, y)
    Z = [reg.network_.forward(X[:, i : i + 7, j : j + 7]) for i in range(3) for j in range(3)]
    values = [reg._values(z) for z in Z]
    assert_allclose(reg.predict(X), np.mean(values, axis=0), rtol=1e-10)


def test_dense_voting_is_refused_before_training():
    clf = ConvNetClassifier(
        [Conv2D(4, 3), SelfAttention(1), Dense(5)], multi_crop=MultiCrop(7, voting="dense")
    )
    with pytest.raises(ValueError, match=r"'selfattention1': .* use voting='soft'"):
        clf.fit(np.zeros((4, 9, 9)), [0, 1, 0, 1])
    flat = ConvNetClassifier([Dense(3)], multi_crop=MultiCrop(7, voting="dense"), max_iter=1)
    with pytest.warns(match="Maximum iterations"):
        flat.fit(np.random.RandomState(0).normal(size=(4, 9, 8)), [0, 1, 0, 1])


def test_dense_voting_takes_samples_in_parts(monkeypatch):
    clf = fitted([Conv2D(4, 3), Dense(5)], (13, 14, 2), multi_crop=MultiCrop(9, voting="dense"))
    X = larger(clf, 13, 14, n=7)
    whole = clf.predict_proba(X)
    seen = []
    maps = scanning._Scanner.maps

    def spy(self, X):
        seen.append(len(X))
        return maps(self, X)

    monkeypatch.setattr(scanning._Scanner, "maps", spy)
    monkeypatch.setattr(scanning, "PREDICT_ROWS", 3)
    assert_allclose(clf.predict_proba(X), whole, rtol=1e-12)
    assert seen == [3, 3, 1] * 2


# ---------------------------------------------------------------------------
# Objects
# ---------------------------------------------------------------------------


def square_detector(boxes=False):
    """Class 1 where a window of 7 x 7 has a bright square of 3 x 3 in the middle, else class 0."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(12, 7, 7)), np.arange(12) % 2
    clf = ConvNetClassifier([], max_iter=1, random_state=0)
    given = {"boxes": np.tile([2 / 7, 2 / 7, 5 / 7, 5 / 7], (12, 1))} if boxes else {}
    with pytest.warns(match="Maximum iterations"):
        clf.fit(X, y, **given)
    weights = clf.network_.parameters()
    square = -np.ones((7, 7))
    square[2:5, 2:5] = 1
    for path in weights:
        weights[path][...] = 0
    weights["output/weight"][:, 1] = square.ravel()
    weights["output/bias"][...] = [0, -8.5]
    if boxes:
        weights["box/bias"][...] = given["boxes"][0]
    return clf


def scene_of(*corners, size=(40, 50)):
    scene = np.zeros((1, *size))
    for row, column in corners:
        scene[0, row : row + 3, column : column + 3] = 1
    return scene


@pytest.mark.parametrize("boxes", [False, True])
def test_objects_are_where_they_are(boxes):
    clf = square_detector(boxes)
    corners = [(5, 5), (20, 30), (30, 9)]
    (found,) = find_objects(clf, scene_of(*corners), background=0)
    assert found.labels.tolist() == [1, 1, 1]
    assert_allclose(found.scores, 1 / (1 + np.exp(-0.5)), rtol=1e-6)
    low = np.array(corners)[:, ::-1] - 0.5
    grown = 0 if boxes else 2
    expected = np.concatenate([low - grown, low + 3 + grown], axis=1)
    assert_allclose(found.boxes[np.lexsort(found.boxes.T[::-1])], expected[[0, 2, 1]], atol=1e-5)
    assert [len(one.labels) for one in find_objects(clf, np.zeros((2, 9, 9)), background=0)] == [
        0,
        0,
    ]
    (few,) = find_objects(clf, scene_of(*corners), background=0, max_objects=2)
    assert len(few.labels) == 2
    (none,) = find_objects(clf, scene_of(*corners), background=0, threshold=0.9)
    assert len(none.boxes) == 0


def test_objects_of_other_sizes():
    clf = square_detector(boxes=True)
    scene = np.zeros((48, 60))
    scene[12:18, 30:36] = 1  # twice as large
    scene[30:33, 10:13] = 1
    images = [scene, scene_of((5, 5))[0]]
    first, second = find_objects(clf, images, background=0, scales=(0.5, 1), threshold=0.01)
    assert_allclose(second.boxes, [[4.5, 4.5, 7.5, 7.5]], atol=1e-5)
    overlaps = box_iou(first.boxes[:, :4], np.tile([29.5, 11.5, 35.5, 17.5], (len(first.boxes), 1)))
    assert overlaps.max() > 0.6
    assert len(first.boxes) == 2


def test_suppression():
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [9, 0, 19, 10], [0, 0, 10, 10.0]])
    scores = np.array([0.8, 0.9, 0.7, 0.9])
    assert suppressed(scores, boxes, 0.5).tolist() == [1, 2]
    assert suppressed(scores, boxes, 1.0).tolist() == [1, 3, 0, 2]
    assert suppressed(scores[:0], boxes[:0], 0.5).tolist() == []
    assert suppressed(scores, boxes, 1.0, 2).tolist() == [1, 3]


@pytest.mark.parametrize("n_coordinates", [4, 8])
@pytest.mark.parametrize("overlap", [0, 0.3, 1])
def test_suppression_of_random_boxes(n_coordinates, overlap):
    """As the definition says, where all pairs are compared."""
    rng = np.random.RandomState(0)
    low = rng.uniform(0, 30, (80, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 9, (80, 2))], axis=1)
    if n_coordinates == 8:
        x1, y1, x2, y2 = boxes.T
        boxes = np.stack([(x1 + x2) / 2, y1, x2, y2, (x1 + x2) / 2, y2 + 3, x1, y2], axis=1)
    scores, expected = rng.uniform(size=80), []
    for i in np.argsort(-scores):
        shared = box_iou(np.broadcast_to(boxes[i], boxes.shape), boxes)
        if all(shared[j] <= overlap + 1e-9 for j in expected):
            expected.append(i)
    assert suppressed(scores, boxes, overlap).tolist() == expected


def test_a_blank_image_compares_few_boxes(monkeypatch):
    """All its windows are candidates; each is compared with those around it."""
    compared = []

    def spy(A, B):
        compared.append(len(A))
        return box_iou(A, B)

    monkeypatch.setattr("sklearn_convnet.scan.box_iou", spy)
    (found,) = find_objects(square_detector(), np.zeros((1, 60, 60)), max_objects=20)
    assert len(found.labels) == 20
    assert len(compared) == 20
    assert max(compared) <= 13**2


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"estimator": ConvNetRegressor()}, TypeError, "must be a ConvNetClassifier"),
        ({"estimator": ConvNetClassifier()}, ValueError, "not fitted"),
        ({"background": 5}, ValueError, r"background=5 is none of the classes \[0, 1\]"),
        ({"threshold": 2}, ValueError, "threshold == 2, must be <= 1"),
        ({"overlap": -1}, ValueError, "overlap == -1, must be >= 0"),
        ({"max_objects": 0}, ValueError, "max_objects == 0"),
        ({"X": np.zeros((1, 4, 9))}, ValueError, "smaller than the 7 x 7"),
    ],
)
def test_objects_of_what_is_wrong(params, error, message):
    params = {"estimator": square_detector(), "X": np.zeros((1, 9, 9)), **params}
    with pytest.raises(error, match=message):
        find_objects(**params)


def test_objects_of_signals():
    with pytest.raises(ValueError, match="needs a network for images"):
        find_objects(fitted([Conv1D(3, 3), Dense(4)], (9, 1)), np.zeros((1, 12, 1)))


def test_every_layer_is_moved_or_says_why():
    """None is forgotten: a new layer has to say whether it can be scanned."""
    moved = {type(layer) for layers in IMAGES.values() for layer in layers}
    moved |= {Conv1D, Conv3D, MaxPool1D, MaxPool3D, all_layers.AvgPool1D, all_layers.AvgPool3D}
    moved |= {all_layers.HeterogeneousMaxPool}  # cut off at the border
    moved |= {type(layer) for layers, _, _ in OTHER_AXES for layer in layers}
    moved |= {ZeroPadding1D, ZeroPadding2D, ZeroPadding3D}  # see the test of padding
    moved |= {LayerScale, StochasticDepth}  # in a residual block
    refused = {
        SelfAttention,
        all_layers.ConcatFeatures,
        all_layers.Upsample1D,
        Upsample2D,
        all_layers.Upsample3D,
        all_layers.GroupNorm,
        all_layers.NonLocal,
        all_layers.PositionEmbedding,
        all_layers.TransformerBlock,
        all_layers.ConvTranspose1D,
        all_layers.ConvTranspose2D,
        all_layers.ConvTranspose3D,
    }
    layers = {getattr(all_layers, name) for name in all_layers.__all__}
    layers = {k for k in layers if isinstance(k, type) and issubclass(k, all_layers.Layer)} - {
        all_layers.Layer
    }
    assert layers == moved | refused
