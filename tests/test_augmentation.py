"""Augmentation: what moves where, what is drawn, and what is refused."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform
from scipy.stats import kstest
from sklearn.base import clone

from sklearn_convnet import ConvNetRegressor
from sklearn_convnet.augmentation import (
    Compose,
    Cutout,
    GaussianNoise,
    RandomAffine,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
)
from sklearn_convnet.layers import Conv2D, Dense
from sklearn_convnet.optimizers import Adam

FULL = RandomAffine(
    rotation=(0, 360),
    translation=(-10, 10),
    scale=(1 / 1.6, 1.6),
    flip=0.5,
    shear=(-20, 20),
    stretch=(1 / 1.3, 1.3),
)
GEOMETRIC = {
    "affine": FULL,
    "filled": RandomAffine(rotation=(-30, 30), scale=(0.5, 0.9), fill_value=7.0),
    "flip": RandomFlip(0.5, 0.5),
    "crop": RandomCrop((2, 3), fill_value=1.0),
}
PHOTOMETRIC = {
    "brightness": RandomBrightness(),
    "contrast": RandomContrast(),
    "noise": GaussianNoise(0.3),
    "noises": GaussianNoise((0.1, 0.5)),
}
TRANSFORMS = {
    **GEOMETRIC,
    **PHOTOMETRIC,
    "cutout": Cutout((3, 2), fill_value=5.0),
    "compose": Compose([GaussianNoise(0.1), FULL, ("flip", RandomFlip()), Cutout(2)]),
}
every_transform = pytest.mark.parametrize("name", TRANSFORMS)
every_geometric = pytest.mark.parametrize("name", GEOMETRIC)
every_photometric = pytest.mark.parametrize("name", PHOTOMETRIC)


def images(*shape, dtype=np.float32, seed=0):
    """Random numbers in an array that cannot be written to."""
    X = np.random.default_rng(seed).uniform(1, 100, shape).astype(dtype)
    X.flags.writeable = False
    return X


def augmented(transform, X, seed=0, **options):
    return transform.augment(X, random_state=seed, **options)[0]


def matrices(transform, shape, seed=0):
    """The maps (n, 2, 3) from places in the images to where they go."""
    corner = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    points = np.broadcast_to(corner, (shape[0], 3, 2))
    _, moved, _ = transform.augment(np.zeros(shape), points=points, random_state=seed)
    origin = moved[:, 0]
    return np.stack([moved[:, 1] - origin, moved[:, 2] - origin, origin], axis=2)


def same_bits(actual, expected):
    return actual.dtype == expected.dtype and actual.tobytes() == expected.tobytes()


# ---------------------------------------------------------------------------
# All transforms
# ---------------------------------------------------------------------------


@every_transform
def test_is_a_spec(name):
    transform = TRANSFORMS[name]
    params = transform.get_params(deep=False)
    assert repr(type(transform)(**params)) == repr(transform)
    assert repr(clone(transform)) == repr(transform)
    assert repr(pickle.loads(pickle.dumps(transform))) == repr(transform)
    values = {key: object() for key in params}
    assert vars(type(transform)(**values)) == values
    with pytest.raises(ValueError, match="Invalid parameter 'rotatoin'"):
        transform.set_params(rotatoin=3)


@pytest.mark.oldest
@every_transform
def test_the_seed_decides(name):
    X = images(20, 9, 12, 2)
    one, same, other = (augmented(TRANSFORMS[name], X, seed) for seed in (1, 1, 2))
    assert same_bits(same, one)
    assert not np.array_equal(other, one)
    random_state = np.random.RandomState(1)
    first = augmented(TRANSFORMS[name], X, random_state)
    second = augmented(TRANSFORMS[name], X, random_state)
    assert same_bits(first, one)
    assert not np.array_equal(second, one)


@every_transform
def test_images_are_changed_each_in_its_own_way(name):
    X = np.repeat(images(1, 9, 12, 2), 20, axis=0)
    changed = augmented(TRANSFORMS[name], X)
    assert len({image.tobytes() for image in changed}) > 2


@every_transform
def test_threads_do_not_matter(name):
    X, points = images(60, 28, 28), images(60, 3, 2)
    labels = images(60, 28, 28, dtype=np.int32)
    one, two = (
        TRANSFORMS[name].augment(
            X, points=points, label_maps=labels, random_state=0, n_threads=n_threads
        )
        for n_threads in (1, 2)
    )
    assert all(same_bits(a, b) for a, b in zip(one, two, strict=True))


@every_transform
@settings(max_examples=10, deadline=None, database=None)
@given(
    shape=st.tuples(st.integers(0, 3), st.integers(1, 9), st.integers(1, 9)),
    channels=st.sampled_from([(), (1,), (2,), (3,)]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_shape(name, shape, channels, seed):
    X, points, labels = TRANSFORMS[name].augment(
        images(*shape, *channels),
        points=np.zeros((shape[0], 4, 2)),
        label_maps=np.ones(shape, np.uint8),
        random_state=seed,
    )
    assert X.shape == (*shape, *channels)
    assert np.isfinite(X).all()
    assert points.shape == (shape[0], 4, 2)
    assert labels.shape == shape


@every_transform
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("uint8", "float32"),
        ("bool", "float32"),
        ("int64", "float32"),
        ("float16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
        (">f8", "float64"),
    ],
)
def test_dtypes(name, dtype, expected):
    X = images(5, 8, 8, dtype=dtype)
    before = X.copy()
    changed = augmented(TRANSFORMS[name], X)
    assert changed.dtype == np.dtype(expected)
    assert changed.dtype.isnative
    assert same_bits(changed, augmented(TRANSFORMS[name], X.astype(expected)))
    np.testing.assert_array_equal(X, before)


@every_transform
def test_a_missing_axis_is_one_channel(name):
    X = images(5, 8, 7)
    alone = augmented(TRANSFORMS[name], X)
    assert same_bits(augmented(TRANSFORMS[name], X[..., np.newaxis])[..., 0], alone)


# ---------------------------------------------------------------------------
# Where pixels go
# ---------------------------------------------------------------------------

NEUTRAL = RandomAffine(
    rotation=(0, 0), translation=(0, 0), scale=(1, 1), flip=0, shear=(0, 0), stretch=(1, 1)
)


@pytest.mark.parametrize(
    "transform",
    [
        RandomAffine(),
        NEUTRAL,
        RandomFlip(0.0),
        RandomCrop(0),
        Compose([]),
        Compose(["passthrough"]),
        Compose([RandomAffine(translation=(0.3, 0.3)), RandomAffine(translation=(-0.3, -0.3))]),
        Compose([RandomAffine(translation=(9, 9)), RandomAffine(translation=(-9, -9))]),
    ],
)
def test_the_identity_changes_no_bit(transform):
    """The last two show that a Compose is one resampling, which loses nothing between."""
    X = images(3, 5, 6, dtype=np.float64).copy()
    X[0, 0, :3] = -0.0, np.nan, np.inf
    points = images(3, 2, 2)
    changed, moved, maps = transform.augment(X, points=points, label_maps=X, random_state=0)
    assert same_bits(changed, X)
    assert same_bits(maps, X)
    np.testing.assert_allclose(moved, points, rtol=1e-6)


@pytest.mark.parametrize("quarters", [-1, 0, 1, 2, 3, 4, 7])
def test_right_angles_are_permutations(quarters):
    X, labels = images(3, 7, 7, 2), images(3, 7, 7, dtype=np.int16)
    turn = RandomAffine(rotation=(90 * quarters, 90 * quarters))
    turned, _, maps = turn.augment(X, label_maps=labels)
    np.testing.assert_array_equal(turned, np.rot90(X, quarters, axes=(1, 2)))
    np.testing.assert_array_equal(maps, np.rot90(labels, quarters, axes=(1, 2)))


@pytest.mark.parametrize(
    ("transform", "mirrored"),
    [
        (RandomAffine(flip=1), lambda X: X[:, :, ::-1]),
        (RandomFlip(1), lambda X: X[:, :, ::-1]),
        (RandomFlip(0, 1), lambda X: X[:, ::-1]),
        (RandomFlip(1, 1), lambda X: X[:, ::-1, ::-1]),
        (RandomAffine(rotation=(180, 180)), lambda X: X[:, ::-1, ::-1]),
        (RandomAffine(rotation=(180, 180), flip=1), lambda X: X[:, ::-1]),
    ],
)
def test_mirrors_are_permutations(transform, mirrored):
    X, labels = images(3, 4, 7, 2), images(3, 4, 7, dtype=np.int64)
    changed, _, maps = transform.augment(X, label_maps=labels)
    np.testing.assert_array_equal(changed, mirrored(X))
    np.testing.assert_array_equal(maps, mirrored(labels))


def test_whole_pixels_are_moved_as_they_are():
    X = images(2, 5, 6)
    moved = augmented(RandomAffine(translation=(2, 2), fill_value=-1), X)
    np.testing.assert_array_equal(moved[:, 2:, 2:], X[:, :-2, :-2])
    np.testing.assert_array_equal(moved[:, :2], -1)
    np.testing.assert_array_equal(moved[:, :, :2], -1)


@pytest.mark.parametrize(
    ("parameter", "value", "goes_to"),
    [
        # The place (2, 1) right of and below the centre.
        ("rotation", (90, 90), (1, -2)),
        ("rotation", (-45, -45), (np.sqrt(0.5), 3 * np.sqrt(0.5))),
        ("translation", (5, 5), (7, 6)),
        ("scale", (3, 3), (6, 3)),
        ("flip", 1, (-2, 1)),
        ("shear", (45, 45), (3, 1)),
        ("stretch", (2, 2), (4, 0.5)),
    ],
)
def test_what_a_parameter_means(parameter, value, goes_to):
    centre = np.array([(11 - 1) / 2, (8 - 1) / 2])
    transform = RandomAffine(**{parameter: value})
    points = np.array([[centre, centre + np.array([2, 1])]])
    _, moved, _ = transform.augment(np.zeros((1, 8, 11)), points=points)
    shift = 5 if parameter == "translation" else 0
    np.testing.assert_allclose(moved[0, 0], centre + shift, atol=1e-12)
    np.testing.assert_allclose(moved[0, 1], centre + goes_to, atol=1e-12)


def test_the_order_of_the_parts():
    """Mirrored, stretched, scaled, sheared, turned, moved."""
    fixed = {
        "stretch": (1.2, 1.2),
        "scale": (1.5, 1.5),
        "shear": (15, 15),
        "rotation": (70, 70),
        "translation": (3, 3),
    }
    parts = [RandomAffine(flip=1), *(RandomAffine(**{key: fixed[key]}) for key in fixed)]
    shape = (1, 8, 11)
    np.testing.assert_allclose(
        matrices(RandomAffine(flip=1, **fixed), shape), matrices(Compose(parts), shape), atol=1e-12
    )


@every_geometric
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_is_scipys_affine_transform(name, dtype):
    X = images(8, 20, 13, dtype=dtype)
    transform = TRANSFORMS[name]
    for image, result, move in zip(
        X, augmented(transform, X), matrices(transform, X.shape), strict=True
    ):
        source = np.linalg.inv(np.vstack([move, [0, 0, 1]]))[1::-1]  # rows first
        expected = affine_transform(
            image.astype(np.float64),
            source[:, 1::-1],
            source[:, 2],
            order=1,
            mode="grid-constant",
            cval=getattr(transform, "fill_value", 0.0),
        )
        np.testing.assert_allclose(
            result, expected, rtol=0, atol=1e-4 if dtype == "float32" else 1e-9
        )


# ---------------------------------------------------------------------------
# What moves with the image
# ---------------------------------------------------------------------------


def blobs(points, height, width):
    """An image for each point: a bell, two pixels wide."""
    y, x = np.mgrid[:height, :width]
    squares = (x - points[:, 0, np.newaxis, np.newaxis]) ** 2
    squares += (y - points[:, 1, np.newaxis, np.newaxis]) ** 2
    return np.exp(-squares / 8)


def centres_of_mass(maps):
    y, x = np.mgrid[: maps.shape[1], : maps.shape[2]]
    mass = maps.sum(axis=(1, 2))
    return (
        np.stack([(x * maps).sum(axis=(1, 2)), (y * maps).sum(axis=(1, 2))], axis=1) / mass[:, None]
    )


@pytest.mark.parametrize(("height", "width"), [(60, 60), (48, 80), (81, 47)])
@pytest.mark.parametrize("name", [*GEOMETRIC, "compose"])
def test_points_and_label_maps_move_with_the_pixels(name, height, width):
    n = 400
    rng = np.random.default_rng(0)
    points = rng.uniform(0.3, 0.7, (n, 2)) * (width - 1, height - 1)
    X = blobs(points, height, width)
    labels = 3 * (X > 0.05).astype(np.int64)
    transform = clone(TRANSFORMS[name])
    if name == "compose":
        transform.set_params(gaussiannoise1="passthrough", cutout1="passthrough")
    for fill in ("fill_value", "randomaffine1__fill_value"):
        if fill in transform.get_params():
            transform.set_params(**{fill: 0.0})
    changed, moved, maps = transform.augment(
        X, points=points[:, np.newaxis], label_maps=labels, random_state=1
    )
    moved = moved[:, 0]
    # A blob at the border is cut off, and its centre of mass is another.
    whole = ((moved > 12) & (moved < (width - 13, height - 13))).all(axis=1)
    assert whole.sum() > n / 4
    assert np.abs(moved - points).max() > 1
    for seen in (changed, maps):
        error = np.linalg.norm(centres_of_mass(seen[whole]) - moved[whole], axis=1)
        assert error.max() < 0.5


def test_points_keep_what_they_are():
    X = images(2, 9, 9)
    points = np.array([[[0, 0], [np.nan, np.nan]], [[30, -40], [2, 2]]], np.float32)
    points.flags.writeable = False
    _, moved, _ = RandomAffine(translation=(1, 1)).augment(X, points=points)
    assert moved.dtype == np.float32
    np.testing.assert_array_equal(moved, points + 1)  # also NaN, and beyond the border
    _, moved, _ = RandomFlip(1).augment(X, points=np.array([[[3, 4]], [[8, 0]]]))
    np.testing.assert_array_equal(moved, [[[5, 4]], [[0, 0]]])


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64"])
@pytest.mark.parametrize("channels", [(), (2,)])
def test_label_maps_of_integers_hold_no_new_labels(dtype, channels):
    labels = (images(30, 12, 9, *channels) > 50).astype(dtype)
    maps = labels * np.array(1 if dtype == "bool" else 9, dtype) + np.array(1, dtype)
    _, _, moved = FULL.augment(images(30, 12, 9), label_maps=maps, random_state=0)
    assert moved.dtype == maps.dtype
    assert moved.shape == maps.shape
    assert set(np.unique(moved)) == {0, *np.unique(maps)}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("channels", [(), (2,)])
def test_label_maps_of_floats_move_as_images_do(dtype, channels):
    X = images(30, 12, 9, *channels, dtype=dtype)
    filled = clone(FULL).set_params(fill_value=50.0)
    expected = augmented(FULL, X)
    _, _, moved = Compose([filled, RandomBrightness((2, 2)), Cutout(5)]).augment(
        X, label_maps=X, random_state=0
    )
    assert same_bits(moved, expected.astype(dtype))


@every_photometric
def test_what_moves_nothing_leaves_the_rest_alone(name):
    points, labels = images(4, 3, 2), images(4, 8, 8)
    _, moved, maps = TRANSFORMS[name].augment(
        images(4, 8, 8), points=points, label_maps=labels, random_state=0
    )
    assert same_bits(moved, points)
    assert same_bits(maps, labels)


def test_nothing_comes_of_nothing():
    _, points, label_maps = FULL.augment(images(2, 5, 5))
    assert points is None
    assert label_maps is None


# ---------------------------------------------------------------------------
# What is drawn
# ---------------------------------------------------------------------------

N_DRAWS = 2000
MANY = (N_DRAWS, 1, 1)  # the centre of an image of one pixel is (0, 0)


def assert_uniform(values, low, high):
    assert values.min() >= low
    assert values.max() <= high
    assert kstest(values, "uniform", args=(low, high - low)).pvalue > 0.01


def test_rotations_are_uniform():
    linear = matrices(RandomAffine(rotation=(-30, 60)), MANY)[:, :, :2]
    np.testing.assert_allclose(np.linalg.det(linear), 1)
    assert_uniform(np.rad2deg(np.arctan2(-linear[:, 1, 0], linear[:, 0, 0])), -30, 60)


def test_translations_are_uniform_and_independent():
    moves = matrices(RandomAffine(translation=(-3, 8)), MANY)
    for shift in moves[:, :, 2].T:
        assert_uniform(shift, -3, 8)
    assert abs(np.corrcoef(moves[:, :, 2].T)[0, 1]) < 0.1


def test_factors_are_uniform_by_their_logarithm():
    scale = matrices(RandomAffine(scale=(0.5, 4)), MANY)
    np.testing.assert_array_equal(scale[:, 0, 0], scale[:, 1, 1])
    assert_uniform(np.log2(scale[:, 0, 0]), -1, 2)
    stretch = matrices(RandomAffine(stretch=(0.5, 2)), MANY)
    np.testing.assert_allclose(stretch[:, 0, 0] * stretch[:, 1, 1], 1)
    assert_uniform(np.log2(stretch[:, 0, 0]), -1, 1)


def test_shears_are_uniform():
    shear = matrices(RandomAffine(shear=(-20, 10)), MANY)
    assert_uniform(np.rad2deg(np.arctan(shear[:, 0, 1])), -20, 10)
    np.testing.assert_array_equal(shear[:, 1, 0], 0)


@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_flips_have_their_probability(probability):
    tolerance = 4 * np.sqrt(probability * (1 - probability) / N_DRAWS)
    for transform, axis in (
        (RandomAffine(flip=probability), 0),
        (RandomFlip(probability), 0),
        (RandomFlip(0, probability), 1),
    ):
        share = np.mean(matrices(transform, MANY)[:, axis, axis] == -1)
        assert abs(share - probability) < tolerance


def test_crops_are_pads_and_crops():
    X = images(300, 5, 6, 2)
    padded = np.pad(X, ((0, 0), (1, 1), (2, 2), (0, 0)), constant_values=9)
    seen = set()
    for crop, image in zip(augmented(RandomCrop((1, 2), fill_value=9), X), padded, strict=True):
        seen |= {
            (i, j)
            for i in range(3)
            for j in range(5)
            if np.array_equal(crop, image[i : i + 5, j : j + 6])
        }
    assert len(seen) == 15


def test_brightness_multiplies():
    X = images(N_DRAWS, 3, 2)
    ratio = augmented(RandomBrightness((0.5, 2)), X) / X
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], X.shape), rtol=1e-5)
    assert_uniform(np.log2(ratio[:, 0, 0]), -1, 1)


def test_contrast_keeps_the_mean():
    X = images(N_DRAWS, 3, 2, dtype=np.float64)
    changed = augmented(RandomContrast((0.5, 2)), X)
    np.testing.assert_allclose(changed.mean(axis=(1, 2)), X.mean(axis=(1, 2)))
    ratio = changed.std(axis=(1, 2)) / X.std(axis=(1, 2))
    assert_uniform(np.log2(ratio), -1, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_noise_is_normal(dtype):
    X = images(50, 10, 10, dtype=dtype)
    noise = (augmented(GaussianNoise(3), X).astype(np.float64) - X).ravel()
    assert kstest(noise, "norm", args=(0, 3)).pvalue > 0.01
    assert same_bits(augmented(GaussianNoise(0), X), X)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_image_has_a_deviation_of_its_own(dtype):
    X = np.zeros((N_DRAWS, 3, 2), dtype)
    ratio = augmented(GaussianNoise((0.5, 2.5)), X) / augmented(GaussianNoise(1.0), X)
    assert ratio.dtype == dtype
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1, :1], X.shape), rtol=1e-5)
    assert_uniform(ratio[:, 0, 0], 0.5, 2.5)


def test_a_range_of_one_deviation_is_that_number():
    X = images(5, 6, 6)
    noise = augmented(GaussianNoise(0.7), X)
    assert same_bits(augmented(GaussianNoise((0.7, 0.7)), X), noise)
    assert same_bits(augmented(GaussianNoise(np.array([0.7, 0.7])), X), noise)


def test_the_noise_of_a_number_stays_what_it_was():
    X, _, _ = GaussianNoise(0.5).augment(np.zeros((1, 2, 2)), random_state=0)
    expected = [-0.17427161686957457, 0.9155256196486047, -0.04687469998857775, -1.1577635205688404]
    np.testing.assert_allclose(X.ravel(), expected, rtol=1e-12)


@pytest.mark.parametrize(("size", "height", "width"), [(3, 3, 3), ((2, 5), 2, 5)])
def test_cutout_erases_a_rectangle(size, height, width):
    X = np.ones((500, 6, 7, 2))
    erased = augmented(Cutout(size, fill_value=-2), X) == -2
    assert np.array_equal(erased[..., 0], erased[..., 1])
    rows, columns = erased[..., 0].any(axis=2), erased[..., 0].any(axis=1)
    np.testing.assert_array_equal(erased[..., 0], rows[:, :, None] & columns[:, None])
    for line, length in ((rows, height), (columns, width)):
        assert (np.abs(np.diff(line.astype(int), axis=1)).sum(axis=1) <= 2).all()  # in one piece
        # The centre is anywhere, so some are cut off; none is outside.
        assert set(line.sum(axis=1)) == set(range((length + 1) // 2, length + 1))
    assert erased.any(axis=(0, 3)).all()


# ---------------------------------------------------------------------------
# Several
# ---------------------------------------------------------------------------


def test_matrices_of_a_compose_are_those_of_its_parts_one_after_the_other():
    parts = [FULL, RandomCrop(3), RandomFlip(), Compose([RandomAffine(rotation=(-9, 9))])]
    X, points = images(20, 9, 14), images(20, 5, 2, dtype=np.float64)
    _, together, _ = Compose(parts).augment(X, points=points, random_state=0)
    random_state, one_by_one = np.random.RandomState(0), points
    for part in parts:
        _, one_by_one, _ = part.augment(X, points=one_by_one, random_state=random_state)
    np.testing.assert_allclose(together, one_by_one)


def test_permutations_one_after_the_other():
    X = images(20, 8, 8, 3)
    turn, flip = RandomAffine(rotation=(90, 90)), RandomFlip(0.5, 0.5)
    random_state = np.random.RandomState(0)
    expected = augmented(flip, augmented(turn, X, random_state), random_state)
    assert same_bits(augmented(Compose([turn, flip]), X, 0), expected)


def test_values_change_after_places_and_in_their_order():
    X = np.ones((4, 6, 6))
    move, double = RandomAffine(translation=(2, 2), fill_value=1.0), RandomBrightness((2, 2))
    np.testing.assert_allclose(augmented(Compose([double, move]), X), 2)  # the filled part too
    noise = GaussianNoise(1.0)
    before = augmented(Compose([noise, double]), 0 * X)
    after = augmented(Compose([double, noise]), 0 * X)
    assert before.std() > 1.5 > after.std()


@pytest.mark.oldest
def test_names_of_a_compose():
    both = Compose([RandomAffine(flip=0.5), ("light", RandomBrightness()), RandomAffine()])
    given = list(both.transforms)
    params = both.get_params()
    assert params["randomaffine1__flip"] == 0.5
    assert params["randomaffine2__flip"] is None
    both.set_params(randomaffine2__rotation=(0, 5), light__factor=(1, 3))
    assert both.transforms == given  # names stay computed
    assert both.transforms[2].rotation == (0, 5)
    assert clone(both).get_params()["light__factor"] == (1, 3)
    both.set_params(light="passthrough", randomaffine1=RandomFlip(1.0))
    assert [name for name, _ in both.transforms] == ["randomaffine1", "light", "randomaffine2"]
    assert both.get_params()["randomaffine1__horizontal"] == 1.0


def test_names_reach_through_a_compose_in_a_compose():
    nested = Compose([("inner", Compose([RandomCrop(4)])), RandomFlip()])
    nested.set_params(inner__randomcrop1__padding=2)
    assert nested.get_params()["inner__randomcrop1__padding"] == 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"randomaffine2__flip": 1}, "Invalid parameter 'randomaffine2'.*'randomflip1'"),
        ({"randomflip1__flip": 1}, "Invalid parameter 'randomflip1__flip'.*'horizontal'"),
        ({"randomflip1": 3}, "randomflip1 can be replaced by a transform or 'passthrough', got 3"),
    ],
)
def test_a_wrong_key_changes_nothing(wrong, message):
    both = Compose([RandomAffine(), RandomFlip()])
    before = repr(both)
    with pytest.raises(ValueError, match=message):
        both.set_params(randomaffine1__flip=0.3, **wrong)
    assert repr(both) == before


# ---------------------------------------------------------------------------
# What is no image, and what is refused
# ---------------------------------------------------------------------------


@every_photometric
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 2), (5, 3, 4, 5, 2)])
def test_values_of_signals_and_volumes_change_too(name, shape):
    X = images(*shape)
    changed = augmented(TRANSFORMS[name], X)
    assert changed.shape == shape
    assert not np.array_equal(changed, X)


def test_what_needs_images_says_so():
    needs = {name for name, transform in TRANSFORMS.items() if transform.n_axes == 2}
    assert needs == {*GEOMETRIC, "cutout", "compose"}
    assert Compose(list(PHOTOMETRIC.values())).n_axes is None
    assert Compose(None).n_axes is None


@pytest.mark.parametrize("name", [*GEOMETRIC, "cutout", "compose"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 3, 4, 5, 2)])
def test_what_is_no_image_is_not_moved(name, shape):
    with pytest.raises(ValueError, match=r"needs images, X of shape .* got shape \(5, "):
        TRANSFORMS[name].augment(np.zeros(shape))


BAD_PARAMETERS = [
    (RandomAffine(rotation=30), r"rotation must be None or a \(low, high\) range.* got 30"),
    (RandomAffine(rotation=(30, 10)), "rotation must be .* got"),
    (RandomAffine(rotation=(0, np.inf)), "rotation must be .* finite"),
    (RandomAffine(rotation="all"), "rotation must be .* got 'all'"),
    (RandomAffine(translation=(0, 1, 2)), "translation must be"),
    (RandomAffine(translation=(np.nan, 1)), "translation must be"),
    (RandomAffine(scale=(0, 2)), "scale must be .* numbers above 0, got"),
    (RandomAffine(stretch=(-1, 2)), "stretch must be .* numbers above 0, got"),
    (RandomAffine(shear=(-90, 0)), "shear must be .* above -90 and below 90, got"),
    (RandomAffine(flip=1.5), "'flip' parameter of RandomAffine"),
    (RandomAffine(flip=(0, 1)), "'flip' parameter of RandomAffine"),
    (RandomAffine(fill_value=None), "'fill_value' parameter of RandomAffine"),
    (RandomFlip(-0.1), "'horizontal' parameter of RandomFlip"),
    (RandomFlip(0, None), "'vertical' parameter of RandomFlip"),
    (RandomCrop(-1), "padding must be an integer of at least 0"),
    (RandomCrop(1.5), "padding must be an integer of at least 0"),
    (RandomCrop((1, 2, 3)), "padding must be an integer of at least 0 or a tuple of 2"),
    (RandomBrightness((0, 1)), "factor must be"),
    (RandomContrast(1.2), "factor must be"),
    (GaussianNoise(-1), "'stddev' parameter of GaussianNoise"),
    (GaussianNoise("much"), "'stddev' parameter of GaussianNoise"),
    (GaussianNoise(None), "'stddev' parameter of GaussianNoise"),
    (GaussianNoise((-0.1, 1)), r"stddev must be a number or a \(low, high\).* of at least 0, got"),
    (GaussianNoise((0.2, 0.1)), "stddev must be .* got"),
    (GaussianNoise((0, np.inf)), "stddev must be .* finite"),
    (GaussianNoise((0, np.nan)), "stddev must be .* finite"),
    (GaussianNoise([0.1]), "stddev must be .* got"),
    (GaussianNoise((0, 0.1, 0.2)), "stddev must be .* got"),
    (GaussianNoise((0, "x")), "stddev must be .* got"),
    (Cutout(0), "size must be an integer of at least 1"),
    (Cutout(4, fill_value="x"), "'fill_value' parameter of Cutout"),
    (Compose(None), "transforms must be a list or tuple of transforms"),
    (Compose([RandomFlip(), 3]), "an item of transforms must be a transform, 'passthrough' or"),
    (Compose([("a__b", RandomFlip())]), "the name 'a__b' in transforms is not allowed"),
    (Compose([("transforms", RandomFlip())]), "the name 'transforms' in transforms is not allowed"),
    (Compose([("a", RandomFlip()), ("a", RandomFlip())]), "'a' occurs twice in transforms"),
    (Compose([RandomFlip(), RandomCrop(-1)]), "padding must be"),
    (
        Compose([RandomCrop(4), RandomFlip(), RandomAffine(fill_value=1)]),
        r"one fill_value, but theirs are \[0.0, 1.0\]: give them all the same",
    ),
]  # fmt: skip


@pytest.mark.oldest
@pytest.mark.parametrize(("transform", "message"), BAD_PARAMETERS)
def test_bad_parameters(transform, message):
    with pytest.raises((ValueError, TypeError), match=message):
        transform.augment(images(3, 8, 8))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": np.zeros((2, 4, 4), complex)}, "X must be an array of real numbers.*complex"),
        ({"X": np.array([["a", "b"]])}, "X must be an array of real numbers.*<U1"),
        ({"X": np.zeros(5)}, r"X must be .* shape \(5,\)"),
        ({"points": np.zeros((2, 5, 3))}, r"points must have shape .* got shape \(2, 5, 3\)"),
        ({"points": np.zeros((3, 5, 2))}, "points must have shape .* for the 2 images"),
        ({"points": np.zeros((2, 2))}, "points must have shape"),
        ({"points": np.full((2, 1, 2), None)}, "points must be .* got dtype object"),
        ({"label_maps": np.zeros((2, 4, 5))}, r"height and width \(2, 4, 4\).* \(2, 4, 5\)"),
        ({"label_maps": np.zeros((2, 4))}, r"label_maps must .* got shape \(2, 4\)"),
        ({"label_maps": np.zeros((2, 4, 4, 1, 1))}, "label_maps must have"),
        ({"label_maps": np.full((2, 4, 4), "a")}, "label_maps must be an array of real"),
        ({"n_threads": 0}, "n_threads must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        FULL.augment(**{"X": np.zeros((2, 4, 4)), **arguments})


def test_points_of_a_pair_change_places_in_a_mirror_image():
    rng = np.random.RandomState(0)
    X, points = rng.normal(size=(40, 8, 10)), rng.uniform(1, 6, size=(40, 5, 2))
    points[3, 1] = np.nan
    pairs = [(0, 3), (4, 1)]
    for augmentation, mirrors in [
        (RandomAffine(flip=0.5, rotation=(-30, 30)), None),
        (RandomFlip(1.0), True),
        (RandomFlip(0.0, 1.0), True),
        (RandomFlip(1.0, 1.0), False),  # a turn by 180 degrees
        (RandomAffine(rotation=(0, 360)), False),
        (RandomBrightness(), False),
    ]:
        given = dict(points=points, random_state=0)
        _, plain, _ = augmentation.augment(X, **given)
        _, paired, _ = augmentation.augment(X, flip_pairs=pairs, **given)
        swapped = plain[:, [3, 4, 2, 0, 1]]
        is_swapped = [
            np.array_equal(a, b, equal_nan=True) for a, b in zip(paired, swapped, strict=True)
        ]
        is_plain = [
            np.array_equal(a, b, equal_nan=True) for a, b in zip(paired, plain, strict=True)
        ]
        assert np.all(np.logical_xor(is_swapped, is_plain))
        if mirrors is None:
            assert 5 < np.sum(is_swapped) < 35
        else:
            assert all(is_swapped) == mirrors


def test_a_side_stays_a_side():
    """Of two spots the brighter one is the first point, wherever it lies: with `flip_pairs` their
    names change with the image, and are told by their place."""
    rng = np.random.RandomState(0)
    X, places = np.zeros((200, 8, 8), np.float32), np.empty((200, 2, 2))
    for i in range(200):
        left, right = rng.randint(0, 3), rng.randint(5, 8)
        rows = rng.randint(8, size=2)
        X[i, rows[0], left] = X[i, rows[1], right] = 1
        places[i] = [[left, rows[0]], [right, rows[1]]]
    reg = ConvNetRegressor(
        [Conv2D(8, 3, padding="same"), Dense(32)],
        target="points",
        point_units="pixels",
        augmentation=RandomFlip(0.5),
        optimizer=Adam(0.01),
        batch_size=20,
        max_iter=30,
        random_state=0,
    )
    error = {}
    for pairs in (None, [(0, 1)]):
        reg.set_params(flip_pairs=pairs).fit(X[:160], places[:160])
        error[pairs is None] = np.abs(reg.predict(X[160:]) - places[160:])[..., 0].mean()
    assert error[False] < 0.8
    assert error[True] > 2  # in the middle between left and right


@pytest.mark.parametrize(
    "pairs", [[(0, 2)], [(0, 0)], [(0, 1), (1, 0)], [0, 1], [(0.0, 1.0)], [(0, 1, 2)]]
)
def test_bad_flip_pairs(pairs):
    X, points = np.zeros((4, 8, 8)), np.zeros((4, 2, 2))
    reg = ConvNetRegressor([Dense(2)], target="points", flip_pairs=pairs)
    with pytest.raises(ValueError, match=r"flip_pairs must be pairs of different points.* 0 to 1"):
        reg.fit(X, points)
    with pytest.raises(ValueError, match=r"flip_pairs=.* is for points"):
        ConvNetRegressor([Dense(2)], flip_pairs=[(0, 1)]).fit(X, points[:, 0])
