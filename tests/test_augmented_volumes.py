"""Augmentation of signals and volumes: what moves where, and what of y moves along."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform
from scipy.stats import kstest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import (
    Compose,
    GaussianNoise,
    RandomAffine,
    RandomAffine1D,
    RandomAffine3D,
    RandomFlip,
)
from sklearn_convnet.augmentation.moves import compose, determinants, inverse
from sklearn_convnet.layers import Conv1D, Conv2D, Conv3D, Dense, GlobalAvgPool
from sklearn_convnet.optimizers import Adam

SIGNAL = RandomAffine1D(translation=(-4, 4), scale=(0.7, 1.5), flip=0.5, fill_value=2.0)
VOLUME = RandomAffine3D(
    rotation=(-180, 180), translation=(-2, 2), scale=(0.7, 1.5), flip=0.5, fill_value=2.0
)
EACH = {"signal": (SIGNAL, (6, 15)), "volume": (VOLUME, (5, 6, 9, 8))}
each = pytest.mark.parametrize(("transform", "shape"), EACH.values(), ids=EACH)


def samples(*shape, seed=0, dtype=np.float32):
    X = np.random.default_rng(seed).uniform(1, 100, shape).astype(dtype)
    X.flags.writeable = False
    return X


def augmented(transform, X, seed=0, **options):
    return transform.augment(X, random_state=seed, **options)[0]


def matrices(transform, shape, seed=0):
    """The maps (n, n_axes, n_axes + 1) from places in the samples to where they go."""
    n_axes = len(shape) - 1
    corners = np.vstack([np.zeros(n_axes), np.eye(n_axes)])
    points = np.broadcast_to(corners, (shape[0], *corners.shape))
    _, moved, _ = transform.augment(np.zeros(shape), points=points, random_state=seed)
    origin = moved[:, :1]
    return np.concatenate([moved[:, 1:] - origin, origin], axis=1).transpose(0, 2, 1)


# ---------------------------------------------------------------------------
# Where samples go
# ---------------------------------------------------------------------------


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_is_scipys_affine_transform(transform, shape, dtype):
    X = samples(*shape, dtype=dtype)
    n_axes = len(shape) - 1
    for sample, result, move in zip(
        X, augmented(transform, X), matrices(transform, shape), strict=True
    ):
        whole = np.vstack([move, np.eye(n_axes + 1)[-1]])
        source = np.linalg.inv(whole)[n_axes - 1 :: -1]  # the depth first
        expected = affine_transform(
            sample.astype(np.float64),
            source[:, n_axes - 1 :: -1],
            source[:, -1],
            order=1,
            mode="grid-constant",
            cval=2.0,
        )
        tolerance = 1e-4 if dtype == "float32" else 1e-9
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance)


def test_shifts_and_mirrors_of_signals():
    X = samples(4, 9, 2)
    later = augmented(RandomAffine1D(translation=(2, 2), fill_value=-1.0), X)
    np.testing.assert_array_equal(later[:, 2:], X[:, :-2])
    np.testing.assert_array_equal(later[:, :2], -1)
    np.testing.assert_array_equal(augmented(RandomAffine1D(flip=1), X), X[:, ::-1])
    longer = augmented(RandomAffine1D(scale=(2, 2)), X)
    np.testing.assert_array_equal(longer[:, ::2], X[:, 2:7])
    np.testing.assert_allclose(longer[:, 1::2], (X[:, 2:6] + X[:, 3:7]) / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"flip": [1, 0, 0]}, lambda X: X[:, ::-1]),
        ({"flip": [0, 1, 0]}, lambda X: X[:, :, ::-1]),
        ({"flip": (0, 0, 1)}, lambda X: X[:, :, :, ::-1]),
        ({"flip": 1}, lambda X: X[:, ::-1, ::-1, ::-1]),
        ({"rotation": [(90, 90), None, None]}, lambda X: np.rot90(X, axes=(2, 3))),
        ({"rotation": [None, (90, 90), None]}, lambda X: np.rot90(X, axes=(1, 3))),
        ({"rotation": [None, None, (90, 90)]}, lambda X: np.rot90(X, axes=(1, 2))),
        (
            {"rotation": (90, 90)},
            lambda X: np.rot90(np.rot90(np.rot90(X, axes=(2, 3)), axes=(1, 3)), axes=(1, 2)),
        ),
        (
            {"rotation": [(90, 90), None, None], "flip": [0, 0, 1]},
            lambda X: np.rot90(X[:, :, :, ::-1], axes=(2, 3)),
        ),
        ({"translation": [(1, 1), None, None]}, lambda X: np.roll(X, 1, axis=1)),
        ({"translation": [None, (1, 1), None]}, lambda X: np.roll(X, 1, axis=2)),
        ({"translation": (1, 1)}, lambda X: np.roll(X, 1, axis=(1, 2, 3))),
    ],
)
def test_exact_moves_of_volumes(options, expected):
    X = samples(2, 7, 7, 7, 3).copy()
    X[:, -1] = X[:, :, -1] = X[:, :, :, -1] = 0  # what is rolled over the border
    if "translation" not in options:
        X = samples(2, 7, 7, 7, 3)
    transform = RandomAffine3D(**options)
    labels = X.astype(np.int64)
    moved, _, maps = transform.augment(X, label_maps=labels)
    np.testing.assert_array_equal(moved, expected(X))
    np.testing.assert_array_equal(maps, expected(labels))


def test_a_turn_about_the_depth_is_that_of_images():
    X = samples(3, 4, 9, 8)
    turn = {"rotation": (-70, 70), "scale": (0.8, 1.2)}
    volumes = RandomAffine3D(rotation=[(-70, 70), None, None]).augment(X, random_state=3)[0]
    images = RandomAffine(rotation=(-70, 70)).augment(X.transpose(0, 2, 3, 1), random_state=3)[0]
    np.testing.assert_allclose(volumes, images.transpose(0, 3, 1, 2), rtol=1e-5, atol=1e-5)
    assert turn["scale"] == clone(RandomAffine3D(**turn)).scale


@each
def test_the_identity_changes_no_bit(transform, shape):
    X = samples(*shape, dtype=np.float64)
    nothing = type(transform)()
    back_and_forth = Compose(
        [type(transform)(translation=(9, 9)), type(transform)(translation=(-9, -9))]
    )
    for same in (nothing, back_and_forth):
        changed, _, maps = same.augment(X, label_maps=X, random_state=0)
        assert changed.tobytes() == maps.tobytes() == X.tobytes()


@settings(max_examples=20, deadline=None)
@given(
    n_axes=st.sampled_from([1, 2, 3]),
    seed=st.integers(0, 2**32 - 1),
)
def test_inverse_leads_back(n_axes, seed):
    maps = np.random.default_rng(seed).normal(size=(5, n_axes, n_axes + 1))
    np.testing.assert_allclose(determinants(maps), np.linalg.det(maps[:, :, :-1]))
    nothing = np.broadcast_to(np.eye(n_axes, n_axes + 1), maps.shape)
    scale = np.abs(maps).max() * np.abs(inverse(maps)).max()
    np.testing.assert_allclose(compose([maps, inverse(maps)]), nothing, atol=1e-13 * scale)


@each
def test_one_channel_and_threads(transform, shape):
    X = samples(*shape)
    alone = augmented(transform, X)
    np.testing.assert_array_equal(augmented(transform, X[..., np.newaxis])[..., 0], alone)
    assert augmented(transform, X, n_threads=3).tobytes() == alone.tobytes()
    assert augmented(transform, X, seed=1).tobytes() != alone.tobytes()
    three = np.stack([X, 2 * X, 3 * X], axis=-1)
    whole = augmented(clone(transform).set_params(fill_value=0.0), three)
    np.testing.assert_allclose(whole[..., 2], 3 * whole[..., 0], rtol=1e-5, atol=1e-3)


# ---------------------------------------------------------------------------
# What moves along
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(200, 80), (150, 30, 34, 28)])
def test_points_and_label_maps_move_with_the_samples(shape):
    n_axes, rng = len(shape) - 1, np.random.default_rng(0)
    size = np.array(shape[1:])
    points = rng.uniform(0.4, 0.6, (shape[0], n_axes)) * (size[::-1] - 1)
    places = np.stack(np.indices(size)[::-1], axis=-1)
    squares = ((places - points.reshape(-1, *[1] * n_axes, n_axes)) ** 2).sum(axis=-1)
    X = np.exp(-squares / 8)
    transform = EACH["signal" if n_axes == 1 else "volume"][0]
    transform = clone(transform).set_params(fill_value=0.0)
    labels = 3 * (X > 0.05).astype(np.uint8)
    changed, moved, maps = transform.augment(
        X, points=points[:, np.newaxis], label_maps=labels, random_state=1
    )
    assert np.abs(moved[:, 0] - points).max() > 2
    assert set(np.unique(maps)) == {0, 3}
    for seen, tolerance in ((changed, 0.05), (maps, 0.8)):  # steps are made up to 1.5 long
        mass = seen.reshape(len(seen), -1).astype(float)
        centres = (mass @ places.reshape(-1, n_axes)) / mass.sum(axis=1, keepdims=True)
        assert np.abs(centres - moved[:, 0]).max() < tolerance


def test_pairs_change_places_in_mirrored_volumes_and_signals():
    points = samples(40, 5, 3)
    X = np.zeros((40, 6, 7, 8))
    swapped = [3, 4, 2, 0, 1]
    for flip, rotation, mirrors in (
        ([1, 0, 0], None, True),
        ([1, 0, 1], None, False),
        (1, (-180, 180), True),
        (None, (-180, 180), False),
    ):
        transform = RandomAffine3D(flip=flip, rotation=rotation)
        given = {"points": points, "random_state": 0}
        _, plain, _ = transform.augment(X, **given)
        _, paired, _ = transform.augment(X, flip_pairs=[(0, 3), (4, 1)], **given)
        np.testing.assert_array_equal(paired, plain[:, swapped] if mirrors else plain)
    times = np.array([[[2.0], [7.0]]])
    back = RandomAffine1D(flip=1)
    _, moved, _ = back.augment(np.zeros((1, 10)), points=times, flip_pairs=[(0, 1)])
    np.testing.assert_array_equal(moved, [[[2.0], [7.0]]])


@pytest.mark.parametrize("pairs", [[(0, 2)], [(0, 0)], [(-1, 0)], [(0, 1), (1, 0)], [0, 1], "ab"])
def test_bad_pairs(pairs):
    with pytest.raises(ValueError, match=r"flip_pairs must be pairs of .* from 0 to 1"):
        RandomFlip(1.0).augment(np.zeros((1, 4, 4)), points=np.zeros((1, 2, 2)), flip_pairs=pairs)


# ---------------------------------------------------------------------------
# What is drawn
# ---------------------------------------------------------------------------


def assert_uniform(values, low, high):
    assert kstest(values, "uniform", args=(low, high - low)).pvalue > 0.01


def test_draws_of_signals():
    shape = (2000, 1)  # the middle of a signal of one step is 0
    assert_uniform(matrices(RandomAffine1D(translation=(-3, 8)), shape)[:, 0, 1], -3, 8)
    assert_uniform(np.log2(matrices(RandomAffine1D(scale=(0.5, 4)), shape)[:, 0, 0]), -1, 2)
    mirrored = matrices(RandomAffine1D(flip=0.2), shape)[:, 0, 0] == -1
    assert abs(mirrored.mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 2000)


def test_draws_of_volumes():
    shape = (2000, 1, 1, 1)
    shift = matrices(RandomAffine3D(translation=[(-3, 8), None, (0, 1)]), shape)[:, :, 3]
    assert_uniform(shift[:, 2], -3, 8)
    assert_uniform(shift[:, 0], 0, 1)
    np.testing.assert_array_equal(shift[:, 1], 0)
    scale = matrices(RandomAffine3D(scale=(0.5, 4)), shape)
    np.testing.assert_array_equal(scale[:, 0, 0], scale[:, 2, 2])
    assert_uniform(np.log2(scale[:, 1, 1]), -1, 2)
    signs = matrices(RandomAffine3D(flip=[0.5, 0, 0.2]), shape)
    shares = [(signs[:, i, i] == -1).mean() for i in range(3)]
    np.testing.assert_allclose(shares, [0.2, 0, 0.5], atol=0.05)
    turned = matrices(RandomAffine3D(rotation=(-30, 60)), shape)[:, :, :3]
    np.testing.assert_allclose(
        turned @ turned.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turned.shape), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(turned), 1)
    about_depth = matrices(RandomAffine3D(rotation=[(-30, 60), None, None]), shape)
    assert_uniform(np.rad2deg(np.arctan2(-about_depth[:, 1, 0], about_depth[:, 0, 0])), -30, 60)


# ---------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transform", "shape", "message"),
    [
        (RandomAffine1D(translation=3), (2, 9), "translation must be None or a"),
        (RandomAffine1D(scale=(0, 1)), (2, 9), "scale must be .* above 0"),
        (RandomAffine1D(flip=2), (2, 9), "'flip' parameter of RandomAffine1D"),
        (RandomAffine1D(), (2, 9, 2, 2), r"needs signals, X of shape \(n, length\) or \(n, len"),
        (RandomAffine3D(rotation=30), (2, 3, 3, 3), "rotation must be None, three of them or a"),
        (RandomAffine3D(rotation=[30, 0, 0]), (2, 3, 3, 3), "rotation must be None, three"),
        (RandomAffine3D(rotation=[(2, 1), None, None]), (2, 3, 3, 3), "rotation must be"),
        (RandomAffine3D(translation="all"), (2, 3, 3, 3), "translation must be"),
        (RandomAffine3D(scale=[(1, 2)] * 3), (2, 3, 3, 3), "scale must be"),
        (RandomAffine3D(flip=1.5), (2, 3, 3, 3), "flip must be None, a probability .* got 1.5"),
        (RandomAffine3D(flip=[0, 1]), (2, 3, 3, 3), "flip must be None, a probability"),
        (RandomAffine3D(flip="yes"), (2, 3, 3, 3), "flip must be None, a probability"),
        (RandomAffine3D(), (2, 9, 9), r"needs volumes, X of shape \(n, depth, height, width\)"),
        (
            Compose([RandomAffine1D(), GaussianNoise(0.1), RandomFlip()]),
            (2, 9, 9),
            "RandomAffine1D needs signals and RandomFlip needs images: no sample is both",
        ),
    ],
)
def test_what_is_refused(transform, shape, message):
    with pytest.raises(ValueError, match=message):
        transform.augment(np.zeros(shape))


def test_bad_parts():
    X = np.zeros((2, 3, 4, 5))
    with pytest.raises(ValueError, match=r"\(n, n_points, 3\) for the 2 volumes, got"):
        VOLUME.augment(X, points=np.zeros((2, 4, 2)))
    with pytest.raises(ValueError, match="volumes' number, depth, height and width"):
        VOLUME.augment(X, label_maps=np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="label_maps must be 2, as X, got 3"):
        GaussianNoise(0.1).augment(X, label_maps=np.zeros((3, 3, 4)))


# ---------------------------------------------------------------------------
# In a fit
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "augmentation", "message"),
    [
        (
            Conv2D(2, 3),
            RandomAffine1D(),
            "is for signals, but the layers are for samples of 2 axes",
        ),
        (
            Conv1D(2, 3),
            RandomAffine3D(),
            "is for volumes, but the layers are for samples of 1 axes",
        ),
        (Conv3D(2, 1), RandomFlip(), "is for images, but the layers are for samples of 3 axes"),
    ],
)
def test_what_does_not_fit_the_layers(layer, augmentation, message):
    shape = (4, 6, 6, 6)[: 2 + layer.n_axes - 1]
    with pytest.raises(ValueError, match=message):
        ConvNetClassifier([layer], augmentation=augmentation).fit(np.zeros(shape), [0, 1, 0, 1])


def test_a_shift_that_the_network_must_not_mind():
    """Two forms of pulses, each at a place of its own; those to predict come anywhere."""
    rng = np.random.RandomState(0)
    forms = np.array([[0, 1, 2, 3], [3, 2, 1, 0]])
    y = rng.randint(2, size=300)
    starts = np.where(np.arange(300) < 200, 4 + 26 * y, rng.randint(36, size=300))
    X = np.zeros((300, 40), np.float32)
    for x, label, start in zip(X, y, starts, strict=True):
        x[start : start + 4] = forms[label]
    accuracy = {}
    for augmentation in (None, RandomAffine1D(translation=(-30, 30))):
        clf = ConvNetClassifier(
            [Conv1D(8, 4), Dense(16)],
            augmentation=augmentation,
            optimizer=Adam(0.01),
            batch_size=20,
            max_iter=60,
            n_iter_no_change=60,
            random_state=0,
        )
        with pytest.warns(ConvergenceWarning):
            clf.fit(X[:200], y[:200])
        accuracy[augmentation is None] = clf.score(X[200:], y[200:])
    assert accuracy[True] < 0.7
    assert accuracy[False] > 0.9


@pytest.mark.filterwarnings("ignore:The fit ends with a training")
@pytest.mark.parametrize("units", ["share", "pixels"])
@pytest.mark.parametrize("n_axes", [1, 3])
def test_points_in_signals_and_volumes_move(n_axes, units):
    """Training on mirror images is training on mirrored points."""
    size = (6, 7, 8)[-n_axes:]
    rng = np.random.RandomState(0)
    X = rng.normal(size=(20, *size, 1))
    y = rng.uniform(0, 1, size=(20, 2, n_axes))
    extent = np.array(size[::-1])
    if units == "pixels":
        y = y * extent - 0.5
    transform = RandomAffine1D(flip=1) if n_axes == 1 else RandomAffine3D(flip=1)
    layers = [{1: Conv1D, 3: Conv3D}[n_axes](3, 3), Dense(4)]
    fast = dict(
        target="points", point_units=units, max_iter=3, dtype="float64", random_state=0,
        flip_pairs=[(0, 1)], normalize_y=False,
    )  # fmt: skip
    mirrored = X[(slice(None), *[slice(None, None, -1)] * n_axes)]
    back = y[:, ::-1]
    back = 1 - back if units == "share" else extent - 1 - back
    fitted = ConvNetRegressor(layers, augmentation=transform, **fast)
    # The bias of the output begins at the mean of y, so y is that of the mirror images here too.
    begun = ConvNetRegressor(layers, **{**fast, "flip_pairs": None, "max_iter": 1})
    start = begun.fit(X, y).get_weights()
    a = fitted.set_params(init_from=start).fit(X, y)
    b = ConvNetRegressor(layers, init_from=start, **fast).fit(mirrored, back)
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-9)
    flat = clone(a).fit(X, y.reshape(20, -1))
    np.testing.assert_allclose(flat.predict(X), a.predict(X).reshape(20, -1))


def test_bad_points_in_volumes():
    X = np.zeros((4, 5, 5, 5, 1))
    reg = ConvNetRegressor([Conv3D(2, 3), Dense(2)], target="points", max_iter=1)
    with pytest.raises(ValueError, match=r"3 \* n_points\), as x1, y1, z1, x2, y2, z2, ..., or"):
        reg.fit(X, np.zeros((4, 4)))


@pytest.mark.parametrize("n_axes", [1, 3])
def test_maps_of_labels_and_values_move(n_axes):
    size = (4, 5, 6)[-n_axes:]
    rng = np.random.RandomState(0)
    X = rng.normal(size=(20, *size, 1))
    conv = {1: Conv1D, 3: Conv3D}[n_axes]
    transform = RandomAffine1D(flip=1) if n_axes == 1 else RandomAffine3D(flip=1)
    back = (slice(None), *[slice(None, None, -1)] * n_axes)
    fast = dict(max_iter=3, dtype="float64", random_state=0)
    for kind, y in (
        (ConvNetClassifier, rng.randint(3, size=(20, *size))),
        (ConvNetRegressor, rng.normal(size=(20, *size))),
    ):
        net = kind([conv(3, 3, padding="same")], target="maps", **fast)
        a = clone(net).set_params(augmentation=transform).fit(X, y)
        b = clone(net).fit(X[back], y[back])
        np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, rtol=1e-9)
        noisy = clone(net).set_params(augmentation=GaussianNoise(0.1))
        assert noisy.fit(X, y).n_iter_ == 3


def test_scans_refuse_points_of_signals():
    X = np.random.RandomState(0).normal(size=(10, 20, 1))
    reg = ConvNetRegressor([Conv1D(2, 3), GlobalAvgPool()], target="points", max_iter=1)
    reg.fit(X, np.full((10, 1), 0.5) + 0.1 * X[:, :1, 0])
    with pytest.raises(ValueError, match=r"points are moved .* in images alone"):
        reg.scan(np.zeros((1, 50, 1)))
