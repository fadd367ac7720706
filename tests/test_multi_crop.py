"""Random crops, fixed views, and their vote."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
from sklearn.base import clone

from sklearn_convnet.augmentation.moves import inverse, moved_points
from sklearn_convnet.multi_crop import CentreCrop, MultiCrop

every_number = pytest.mark.parametrize("n_crops", [1, 5, 10])


def numbered(*shape, dtype=np.float32):
    """Images all of whose values differ, that cannot be written to."""
    X = np.arange(np.prod(shape), dtype=dtype).reshape(shape)
    X.flags.writeable = False
    return X


def test_is_a_spec():
    crops = MultiCrop((3, 4), n_crops=5, voting="hard")
    for copy in (clone(crops), pickle.loads(pickle.dumps(crops))):
        assert repr(copy) == repr(crops)
    assert crops.set_params(size=7).get_params() == {"size": 7, "n_crops": 5, "voting": "hard"}


@pytest.mark.parametrize(
    ("size", "shape", "expected"),
    [
        (4, (5, 6), (4, 4)),
        ((4, 6), (5, 6), (4, 6)),
        (5, (5, 6, 3), (5, 5, 3)),
        ((1, 2), (5, 6, 1), (1, 2, 1)),
    ],
)
@every_number
def test_shapes(size, shape, expected, n_crops):
    crops = MultiCrop(size, n_crops=n_crops)
    X = numbered(3, *shape)
    assert crops.output_shape(shape) == expected
    assert crops.random_crops(X, 0).shape == (3, *expected)
    assert [view.shape for view in crops.views(X)] == n_crops * [(3, *expected)]


# ---------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize(("n_crops", "mirrors"), [(1, [1]), (5, [1]), (10, [1, -1])])
def test_random_crops_are_all_there_are(channels, n_crops, mirrors):
    X = numbered(1500, 5, 6, *channels, dtype=np.int32)
    crops = MultiCrop((3, 4), n_crops=n_crops).random_crops(X, random_state=0)
    assert crops.dtype == X.dtype
    seen = []
    for crop, image in zip(crops, X, strict=True):
        found = [
            (top, left, mirror)
            for top in range(3)
            for left in range(3)
            for mirror in mirrors
            if np.array_equal(crop, image[top : top + 3, left : left + 4][:, ::mirror])
        ]
        assert len(found) == 1
        seen += found
    places, counts = np.unique(seen, axis=0, return_counts=True)
    assert len(places) == 9 * len(mirrors)
    expected = len(X) / len(places)
    assert np.abs(counts - expected).max() < 4 * np.sqrt(expected)


def test_the_seed_decides():
    X = numbered(30, 6, 6)
    crops = MultiCrop(3)
    one, same, other = (crops.random_crops(X, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, one)
    assert not np.array_equal(other, one)
    random_state = np.random.RandomState(1)
    np.testing.assert_array_equal(crops.random_crops(X, random_state), one)
    assert not np.array_equal(crops.random_crops(X, random_state), one)


def pixels_at(images, points):
    """The values of images (n, height, width) at whole places (n, n_points, 2), x first."""
    x, y = points.astype(int).transpose(2, 0, 1)
    return images[np.arange(len(images))[:, np.newaxis], y, x]


def test_points_move_with_random_crops():
    X = numbered(200, 7, 8, dtype=np.float64)
    # Rows 2 to 4 and columns 3 and 4 are in each crop.
    points = np.tile([[[3.0, 2.0], [4.0, 4.0], [4.0, 2.0]]], (len(X), 1, 1))
    crops = MultiCrop((5, 5), n_crops=10)
    found, moved, maps = crops.augment(X, points=points, random_state=0)
    np.testing.assert_array_equal(found, crops.random_crops(X, random_state=0))
    np.testing.assert_array_equal(pixels_at(found, moved), pixels_at(X, points))
    assert maps is None
    _, paired, _ = crops.augment(X, points=points, random_state=0, flip_pairs=[(0, 1)])
    mirrored = found[:, 0, 0] > found[:, 0, 1]
    assert 60 < mirrored.sum() < 140
    np.testing.assert_array_equal(paired[~mirrored], moved[~mirrored])
    np.testing.assert_array_equal(paired[mirrored], moved[mirrored][:, [1, 0, 2]])


def test_missing_points_stay_so_and_those_outside_go_on():
    points = np.array([[[np.nan, np.nan], [0.0, 0.0]]])
    _, moved, _ = CentreCrop(MultiCrop(2, 1)).augment(np.zeros((1, 6, 6)), points=points)
    np.testing.assert_array_equal(moved, [[[np.nan, np.nan], [-2.0, -2.0]]])


# ---------------------------------------------------------------------------
# Prediction
# ---------------------------------------------------------------------------


@every_number
def test_moves_of_views_say_where_pixels_are(n_crops):
    X, points = numbered(1, 5, 6), np.array([[[2.0, 2.0], [3.0, 2.0]]])  # in each crop
    drawn = MultiCrop((3, 4), n_crops=n_crops).draw((5, 6))
    assert len(drawn) == n_crops
    for crop in drawn:
        there = moved_points(points, crop.move)
        np.testing.assert_array_equal(pixels_at(crop.of(X), there), pixels_at(X, points))
        np.testing.assert_array_equal(moved_points(there, inverse(crop.move)), points)


@pytest.mark.parametrize(("n_crops", "mirrors"), [(1, [1]), (5, [1]), (10, [1, -1])])
def test_dense_votes_see_whole_images(n_crops, mirrors):
    X = numbered(2, 5, 6)
    views = list(MultiCrop(3, n_crops=n_crops, voting="dense").views(X))
    np.testing.assert_array_equal(views, [X[:, :, ::mirror] for mirror in mirrors])


@pytest.mark.oldest
@pytest.mark.parametrize("channels", [(), (2,)])
def test_views(channels):
    X = numbered(2, 6, 9, *channels)
    corners_and_centre = [
        X[:, :4, :6], X[:, :4, 3:], X[:, 2:, :6], X[:, 2:, 3:], X[:, 1:5, 1:7]
    ]  # fmt: skip
    mirrored = [view[:, :, ::-1] for view in corners_and_centre]
    for n_crops, expected in (
        (1, corners_and_centre[4:]),
        (5, corners_and_centre),
        (10, corners_and_centre + mirrored),
    ):
        views = list(MultiCrop((4, 6), n_crops=n_crops).views(X))
        np.testing.assert_array_equal(views, expected)
        assert all(np.shares_memory(view, X) for view in views)


def test_soft_votes_are_mean_probabilities():
    P = np.random.default_rng(0).dirichlet(np.ones(4), size=(10, 7))
    np.testing.assert_allclose(MultiCrop(3).vote(P), P.mean(axis=0))


def test_hard_votes_are_a_majority():
    sure, unsure = [0.9, 0.1, 0.0], [0.2, 0.5, 0.3]
    P = np.array([sure, unsure, unsure])[:, np.newaxis]
    soft, hard = (MultiCrop(3, voting=voting).vote(P)[0] for voting in ("soft", "hard"))
    assert soft.argmax() == 0
    assert hard.argmax() == 1
    np.testing.assert_allclose(hard, (np.array([1, 2, 0]) + soft) / 4)


def test_the_mean_decides_where_views_are_tied():
    views = [[0.6, 0.4, 0.0], [0.1, 0.9, 0.0]]
    for P in (views, views[::-1]):
        P = np.array(P)[:, np.newaxis]
        assert MultiCrop(3, voting="hard").vote(P).argmax() == 1


def test_the_mean_decides_nothing_else():
    # As lopsided as can be: one view more outweighs any mean.
    P = np.array(51 * [[0.501, 0.499]] + 50 * [[0.0, 1.0]])[:, np.newaxis]
    assert MultiCrop(3, voting="hard").vote(P).argmax() == 0


@pytest.mark.parametrize("voting", ["soft", "hard"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_votes_are_probabilities_and_do_not_depend_on_the_batch(voting, dtype):
    P = np.random.default_rng(0).dirichlet(np.ones(3), size=(10, 40)).astype(dtype)
    crops = MultiCrop(3, voting=voting)
    votes = crops.vote(P)
    assert votes.dtype == dtype
    np.testing.assert_allclose(votes.sum(axis=1), 1, rtol=1e-6)
    for i in range(40):
        np.testing.assert_array_equal(crops.vote(P[:, i : i + 1])[0], votes[i])


# ---------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("crops", "shape", "message"),
    [
        (MultiCrop(9), (8, 12, 3), "cuts out 9 pixels along the height, but images have 8"),
        (MultiCrop((8, 13)), (8, 12), "cuts out 13 pixels along the width, .* 12: use a smaller"),
        (MultiCrop(0), (8, 8), "size must be an integer of at least 1"),
        (MultiCrop(2.5), (8, 8), "size must be an integer of at least 1"),
        (MultiCrop(4, n_crops=3), (8, 8), "'n_crops' parameter of MultiCrop"),
        (MultiCrop(4, voting="mean"), (8, 8), "'voting' parameter of MultiCrop"),
        (MultiCrop(4), (8,), r"needs images of shape .* got shape \(8,\)"),
        (MultiCrop(4), (8, 8, 8, 1), "needs images of shape"),
    ],
)
def test_what_is_refused(crops, shape, message):
    X = np.zeros((2, *shape))
    for use in (
        lambda: crops.output_shape(shape),
        lambda: crops.random_crops(X),
        lambda: list(crops.views(X)),
    ):
        with pytest.raises(ValueError, match=message):
            use()
