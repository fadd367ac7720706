"""What a convolution in every transform is for: maps that turn with the input, and scores that do
not see that it is turned."""

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Dense,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    Residual,
    TransformConv1D,
    TransformConv2D,
    TransformConv3D,
    TransformPool,
    rotation,
)
from sklearn_convnet.layers.transforms import transform_matrices
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.node import walk

TURNS = [lambda X, k=k: np.rot90(X, k, axes=(1, 2)) for k in range(4)]
MIRRORS = [lambda X, turn=turn: turn(X)[:, :, ::-1] for turn in TURNS]
HEADS = {"average": GlobalAvgPool, "maximum": GlobalMaxPool}


def scores_of(X, transforms, head, dtype="float64"):
    layers = [
        TransformConv2D(5, 3, transforms=transforms, pool="max", padding=1),
        TransformConv2D(4, 5, transforms=transforms, pool="max", padding="same"),
        head(),
        Dense(3, activation="identity"),
    ]
    network = compile_network(layers, X.shape[1:], dtype=dtype, random_state=0)
    return network.forward(X)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("turn", TURNS)
def test_right_angles_do_not_matter(turn, head):
    X = np.random.RandomState(0).normal(size=(6, 9, 9, 2))

    scores = scores_of(X, "p4", head)

    np.testing.assert_allclose(scores_of(turn(X), "p4", head), scores, rtol=1e-12, atol=1e-13)
    assert np.ptp(scores, axis=0).min() > 1e-3  # they do tell images apart


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("transform", [*TURNS, *MIRRORS])
def test_right_angles_and_reflections_do_not_matter(transform, head):
    X = np.random.RandomState(0).normal(size=(6, 9, 9, 2))

    scores = scores_of(X, "p4m", head)

    moved = scores_of(transform(X), "p4m", head)
    np.testing.assert_allclose(moved, scores, rtol=1e-12, atol=1e-13)


def test_reflections_matter_to_rotations_alone():
    X = np.random.RandomState(0).normal(size=(6, 9, 9, 2))
    mirrored = scores_of(X[:, :, ::-1], "p4", GlobalAvgPool)
    assert np.abs(mirrored - scores_of(X, "p4", GlobalAvgPool)).max() > 1e-3


def test_a_fitted_classifier_sees_no_right_angles():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(40, 8, 8)), rng.randint(3, size=40)
    clf = ConvNetClassifier(
        [TransformConv2D(6, 3, pool="max", padding="same"), GlobalMaxPool()],
        max_iter=3,
        random_state=0,
    ).fit(X, y)
    P = clf.predict_proba(X)
    for k in range(1, 4):
        turned = np.rot90(X, k, axes=(1, 2))
        np.testing.assert_allclose(clf.predict_proba(turned), P, rtol=1e-10)


# ---------------------------------------------------------------------------
# At depth: maps turn with the input, and change places among the transforms
# ---------------------------------------------------------------------------

CONV = {1: TransformConv1D, 2: TransformConv2D, 3: TransformConv3D}
POOL = {1: MaxPool1D, 2: MaxPool2D, 3: MaxPool3D}
QUARTERS_ABOUT_Y = [rotation(90 * k, axis="y") for k in range(4)]
#: Transforms, the number of axes, and the size of all of them, which strides and pools divide.
DEEP = {
    "pm": ("pm", 1, 18),
    "p4": ("p4", 2, 18),
    "p4m": ("p4m", 2, 18),
    "O": ("O", 3, 10),
    "about y": (QUARTERS_ABOUT_Y, 3, 10),
}


def moved(maps, matrix):
    """Maps in a transform: what was at p, counted from the centre, is at ``matrix p``."""
    sizes = maps.shape[1:-1]
    n_axes = len(sizes)
    centre = (np.array(sizes[::-1]) - 1) / 2
    points = np.indices(sizes).reshape(n_axes, -1).T[:, ::-1] - centre
    source = np.rint(points @ np.linalg.inv(matrix).T + centre).astype(int)[:, ::-1]
    return maps[:, *source.T].reshape(maps.shape)


def moved_groups(maps, matrix, matrices):
    """The same for maps of all transforms: those of transform t are where ``matrix t`` is."""
    parts = np.split(moved(maps, matrix), len(matrices), axis=-1)
    places = [[np.allclose(matrix @ T, S) for T in matrices].index(True) for S in matrices]
    return np.concatenate([parts[place] for place in places], axis=-1)


def some(matrices):
    """All of a few, of many every fifth."""
    return matrices if len(matrices) < 10 else matrices[1::5]


def deep(transforms, n_axes, group_input=True, n_transforms=None, end=()):
    """Three convolutions with strides, a pool and batch norms."""
    conv = CONV[n_axes]
    n_transforms = n_transforms or len(transform_matrices(transforms, n_axes))
    options = {"group_input": group_input, "activation": None, "padding": 1}
    return [
        conv(2, 3, transforms, activation=None, padding=1),
        BatchNorm(n_transforms=n_transforms),
        Activation("relu"),
        POOL[n_axes](2),
        conv(3, 3, transforms, stride=2, **options),
        BatchNorm(n_transforms=n_transforms),
        Activation("relu"),
        conv(2, 2, transforms, **options),
        *end,
    ]


def compiled(layers, shape):
    """With statistics of some data, and no weight at zero."""
    network = compile_network(layers, shape, dtype="float64", random_state=0)
    rng = np.random.RandomState(1)
    for array in network.parameters().values():
        array += rng.normal(scale=0.1, size=array.shape)
    for _ in range(3):
        network.forward(rng.normal(size=(3, *shape)), training=True)
    return network


def assert_equal_but_for_rounding(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("transforms", "n_axes", "size"), DEEP.values(), ids=DEEP)
def test_maps_turn_with_the_input(transforms, n_axes, size, training):
    matrices = transform_matrices(transforms, n_axes)
    shape = (*[size] * n_axes, 2)
    layers = deep(transforms, n_axes)
    X = np.random.RandomState(0).normal(size=(4, *shape))

    maps = compiled(layers, shape).forward(X, training=training)

    for matrix in some(matrices):
        turned = compiled(layers, shape).forward(moved(X, matrix), training=training)
        assert_equal_but_for_rounding(turned, moved_groups(maps, matrix, matrices))
    in_place = moved(maps, matrices[1])
    assert np.abs(turned - in_place).max() > 0.1 * np.abs(maps).max()  # they do turn


@pytest.mark.parametrize("pool", ["max", "mean"])
@pytest.mark.parametrize(("transforms", "n_axes", "size"), DEEP.values(), ids=DEEP)
def test_scores_stay(transforms, n_axes, size, pool):
    matrices = transform_matrices(transforms, n_axes)
    shape = (*[size] * n_axes, 2)
    end = [TransformPool(len(matrices), pool), GlobalAvgPool(), Dense(3, activation=None)]
    network = compiled(deep(transforms, n_axes, end=end), shape)
    X = np.random.RandomState(0).normal(size=(4, *shape))

    scores = network.forward(X)

    for matrix in some(matrices):
        assert_equal_but_for_rounding(network.forward(moved(X, matrix)), scores)
    assert np.ptp(scores, axis=0).min() > 1e-3  # they do tell samples apart


def test_a_pool_of_the_last_layer_is_a_layer_of_its_own():
    def scores(*layers):
        network = compile_network([TransformConv2D(2, 3), *layers], (8, 8, 1), random_state=0)
        return network.forward(np.random.RandomState(0).normal(size=(2, 8, 8, 1)))

    for pool in ("max", "mean"):
        inside = scores(TransformConv2D(3, 3, pool=pool, group_input=True))
        after = scores(TransformConv2D(3, 3, group_input=True), TransformPool(4, pool))
        np.testing.assert_array_equal(inside, after)


def change_of_scores(layers):
    """How much scores change where the samples are turned by a right angle."""
    end = [TransformPool(4, "mean"), GlobalAvgPool(), Dense(3, activation=None)]
    network = compiled([*layers, *end], (18, 18, 2))
    X = np.random.RandomState(0).normal(size=(4, 18, 18, 2))
    scores = network.forward(X)
    return np.abs(network.forward(np.rot90(X, 1, (1, 2))) - scores).max() / np.abs(scores).max()


def test_what_takes_transforms_for_channels_sees_turns():
    """As the guide says: without `group_input`, and with statistics of each channel."""
    assert change_of_scores(deep("p4", 2)) < 1e-12
    assert change_of_scores(deep("p4", 2, group_input=False)) > 1e-2
    assert change_of_scores(deep("p4", 2, n_transforms=1)) > 1e-2


def test_residual_blocks_of_maps_that_turn():
    def block(filters, stride, **options):
        conv = {"padding": "same", "group_input": True, "activation": None}
        body = [
            TransformConv2D(filters, 3, **{**conv, "padding": 1}, stride=stride),
            BatchNorm(n_transforms=4),
            Activation("relu"),
            TransformConv2D(filters, 3, **conv),
            BatchNorm(n_transforms=4),
        ]
        return [Residual(body, **options), Activation("relu")]

    shortcut = TransformConv2D(3, 1, stride=2, group_input=True, activation=None)
    layers = [
        TransformConv2D(2, 3, padding=1),
        *block(2, 1),
        MaxPool2D(2),
        *block(3, 2, shortcut=shortcut),
    ]
    X = np.random.RandomState(0).normal(size=(3, 18, 18, 2))
    matrices = transform_matrices("p4", 2)
    maps = compiled(layers, X.shape[1:]).forward(X, training=True)
    turned = compiled(layers, X.shape[1:]).forward(moved(X, matrices[1]), training=True)
    assert_equal_but_for_rounding(turned, moved_groups(maps, matrices[1], matrices))


def test_another_size_has_the_same_weights():
    network = compiled(deep("p4", 2), (18, 18, 2))
    X = np.random.RandomState(0).normal(size=(3, 14, 22, 2))
    other = compile_network(deep("p4", 2), X.shape[1:], dtype="float64")
    for own, given in (
        (other.parameters(), network.parameters()),
        (other.buffers(), network.buffers()),
    ):
        for path, array in given.items():
            own[path][...] = array
    np.testing.assert_array_equal(network.resized(X.shape[1:]).forward(X), other.forward(X))


def test_transforms_share_statistics():
    X = np.random.RandomState(0).normal(size=(5, 3, 4, 6)) * [1, 2, 3, 4, 5, 6] + 1
    weight = np.random.RandomState(1).uniform(0.5, 2, 5)
    network = compile_network([BatchNorm(n_transforms=3)], X.shape[1:], dtype="float64")
    assert network.parameters()["batchnorm1/scale"].shape == (2,)
    parts = X.reshape(5, 12, 3, 2)

    Y = network.forward(X, training=True, sample_weight=weight)

    weights = np.broadcast_to(weight[:, None, None], parts.shape[:-1])
    mean = np.average(parts, axis=(0, 1, 2), weights=weights)
    variance = np.average((parts - mean) ** 2, axis=(0, 1, 2), weights=weights)
    expected = (parts - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(Y.reshape(parts.shape), expected, rtol=1e-12)
    np.testing.assert_allclose(network.buffers()["batchnorm1/mean"], 0.1 * mean, rtol=1e-12)


def test_no_convolution_takes_over_shared_statistics(monkeypatch):
    """Where Winograd's form would take over those of each channel."""
    monkeypatch.setenv("SKLEARN_CONVNET_WINOGRAD", "4")

    def conv():
        return Conv2D(8, 3, padding=1, activation=None, use_bias=False)

    layers = [
        *(conv(), BatchNorm(n_transforms=4), Activation("relu")),
        Residual([conv(), BatchNorm(n_transforms=2)]),
        *(Activation("relu"), conv(), BatchNorm(n_transforms=8)),
        conv(),
    ]
    rng = np.random.RandomState(0)
    X, dY = rng.normal(size=(2, 4, 16, 16, 8)).astype(np.float32)
    found = []
    for options in ({}, {"passes": ()}):
        network = compile_network(layers, X.shape[1:], dtype="float32", random_state=0, **options)
        Y = network.forward(X, training=True)
        dX = network.backward(dY)
        found.append([Y, dX, network.forward(X), *network.gradients().values()])
        tiles = [getattr(node, "tile", 0) for node in walk(network.fused(True))]
        assert any(tiles) == (not options)
    for fused, alone in zip(*found, strict=True):
        np.testing.assert_allclose(fused, alone, rtol=0, atol=2e-5 * np.abs(alone).max())


def test_a_fitted_deep_classifier_sees_no_right_angles():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(40, 10, 10)), rng.randint(3, size=40)
    layers = [*deep("p4m", 2), TransformPool(8), GlobalMaxPool()]
    clf = ConvNetClassifier(layers, max_iter=3, random_state=0).fit(X, y)
    P = clf.predict_proba(X)
    for k in range(1, 4):
        np.testing.assert_allclose(clf.predict_proba(np.rot90(X, k, (1, 2))), P, rtol=1e-10)
        mirrored = np.rot90(X[:, ::-1], k, (1, 2))
        np.testing.assert_allclose(clf.predict_proba(mirrored), P, rtol=1e-10)
