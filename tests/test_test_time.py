"""Votes over changed samples: against predictions that are moved back by hand."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import (
    Compose,
    GaussianNoise,
    MixUp,
    RandomAffine,
    RandomAffine1D,
    RandomAffine3D,
    RandomBrightness,
    RandomFlip,
    TestTimeAugmentation,
    Transform,
)
from sklearn_convnet.layers import Conv1D, Conv2D, Conv3D, Dense, GlobalAvgPool
from sklearn_convnet.multi_crop import MultiCrop

MIRROR = RandomFlip(horizontal=1.0)
TURN = RandomAffine(rotation=(90, 90))
RIGHT = RandomAffine(translation=(2, 2))  # to the right, and down
LAYERS = [Conv2D(3, 3), Dense(6)]
SAME = [Conv2D(4, 3, padding="same")]


def images(n=20, size=6, seed=0):
    return np.random.RandomState(seed).normal(size=(n, size, size))


def fitted(model, X, y, transforms=None, voting="soft", **given):
    """A model that votes, and the same network without a vote."""
    model = clone(model).set_params(max_iter=3, dtype="float64", random_state=0).fit(X, y, **given)
    voting = TestTimeAugmentation(transforms, voting) if transforms is not None else None
    single = pickle.loads(pickle.dumps(model))
    return model.set_params(test_time_augmentation=voting), single


# ---------------------------------------------------------------------------
# Views
# ---------------------------------------------------------------------------


def test_views():
    X = images(3)
    voting = TestTimeAugmentation([MIRROR, TURN, Compose([MIRROR, TURN]), RIGHT])
    views = list(voting.views(X))
    shifted = np.zeros_like(X)
    shifted[:, 2:, 2:] = X[:, :-2, :-2]
    expected = [
        X,
        X[:, :, ::-1],
        np.rot90(X, axes=(1, 2)),
        np.rot90(X[:, :, ::-1], axes=(1, 2)),
        shifted,
    ]
    np.testing.assert_array_equal(views, expected)
    np.testing.assert_array_equal(list(voting.views(X, n_threads=2)), expected)
    assert [view.dtype for view in voting.views(X.astype(np.uint8))] == 5 * [np.float32]


def test_what_is_random_is_drawn_once_for_each_view():
    random = Compose([RandomAffine(rotation=(-20, 20)), GaussianNoise(0.1), RandomBrightness()])
    X = np.broadcast_to(images(1), (5, 6, 6))
    voting = TestTimeAugmentation([random, random], random_state=3)
    _, one, two = voting.views(X)
    for view in (one, two):
        np.testing.assert_array_equal(view, np.broadcast_to(view[:1], view.shape))
    assert not np.allclose(one, two)
    _, again, _ = voting.views(X[:2])
    np.testing.assert_array_equal(again, one[:2])
    _, other, _ = clone(voting).set_params(random_state=4).views(X)
    assert not np.allclose(one, other)


def test_names_and_searches():
    voting = TestTimeAugmentation([MIRROR, ("turn", TURN)])
    assert voting.get_params()["randomflip1__horizontal"] == 1.0
    clone(voting).set_params(turn__rotation=(180, 180), randomflip1="passthrough")
    X, y = images(30), np.arange(30) % 2
    clf = ConvNetClassifier(LAYERS, max_iter=2, test_time_augmentation=voting, random_state=0)
    grid = {"test_time_augmentation__turn": [TURN, "passthrough"], "test_time_augmentation": [None]}
    search = GridSearchCV(clf, {k: grid[k] for k in list(grid)[:1]}, cv=2).fit(X, y)
    assert search.predict(X).shape == (30,)


# ---------------------------------------------------------------------------
# Predictions, moved back by hand
# ---------------------------------------------------------------------------

BACK = {  # transforms, what they do to images, and what leads maps back
    "mirror": (MIRROR, lambda X: X[:, :, ::-1], lambda X: X[:, :, ::-1]),
    "turn": (
        TURN,
        lambda X: np.rot90(X, axes=(1, 2)),
        lambda X: np.rot90(X, -1, axes=(1, 2)),
    ),
}
every_move = pytest.mark.parametrize("name", BACK)


@pytest.mark.parametrize("voting", ["soft", "hard"])
@every_move
def test_classes(name, voting):
    transform, there, _ = BACK[name]
    X, y = images(), np.arange(20) % 3
    model, single = fitted(ConvNetClassifier(LAYERS), X, y, [transform], voting)
    P = [single.predict_proba(view) for view in (X, np.ascontiguousarray(there(X)))]
    expected = sum(P) / 2
    if voting == "hard":
        votes = sum(np.eye(3)[p.argmax(axis=1)] for p in P)
        expected = (votes + expected) / 3
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    np.testing.assert_array_equal(model.predict(X), expected.argmax(axis=1))
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), expected, rtol=1e-12)
    assert model.score(X, y) == np.mean(expected.argmax(axis=1) == y)


def test_several_labels_and_columns():
    rng = np.random.RandomState(0)
    X, mirrored = images(), images()[:, :, ::-1].copy()
    y = rng.randint(2, size=(20, 3))
    model, single = fitted(ConvNetClassifier(LAYERS), X, y, [MIRROR])
    expected = (single.predict_proba(X) + single.predict_proba(mirrored)) / 2
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    np.testing.assert_array_equal(model.predict(X), expected > 0.5)

    y = rng.randint(1, 4, size=(20, 2))
    for voting in ("soft", "hard"):
        model, single = fitted(ConvNetClassifier(LAYERS), X, y, [MIRROR], voting)
        pairs = zip(single.predict_proba(X), single.predict_proba(mirrored), strict=True)
        expected = [TestTimeAugmentation([], voting).vote(pair) for pair in pairs]
        for found, column in zip(model.predict_proba(X), expected, strict=True):
            np.testing.assert_array_equal(found, column)
        logs = model.predict_log_proba(X)
        np.testing.assert_allclose(np.exp(logs[1]), expected[1], rtol=1e-12)
        labels = np.stack([p.argmax(axis=1) + 1 for p in expected], axis=1)
        np.testing.assert_array_equal(model.predict(X), labels)


@pytest.mark.parametrize("in_y", [False, True])
@pytest.mark.parametrize("units", ["share", "pixels"])
@pytest.mark.parametrize("corners", ["outline", "ordered", "upright"])
def test_boxes(corners, units, in_y):
    rng = np.random.RandomState(0)
    X, y = images(), np.arange(20) % 2
    low, high = rng.uniform(0, 0.4, (20, 2)), rng.uniform(0.6, 1, (20, 2))
    boxes = np.hstack([low, high])
    if corners != "upright":
        boxes = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]]
    if units == "pixels":
        boxes = boxes * 6 - 0.5
    order = "ordered" if corners == "ordered" else "outline"
    clf = ConvNetClassifier(LAYERS, box_units=units, box_corners=order)
    if in_y:
        clf.set_params(box_weight=1.0)
        model, single = fitted(clf, X, np.column_stack([y, boxes]), [MIRROR])
    else:
        model, single = fitted(clf, X, y, [MIRROR], boxes=boxes)
    seen, mirrored = (single.predict_box(view) for view in (X, X[:, :, ::-1].copy()))
    back = mirrored.copy()
    back[:, ::2] = 1 - back[:, ::2] if units == "share" else 5 - back[:, ::2]
    if corners == "upright":
        back = back[:, [2, 1, 0, 3]]  # left of the mirror image is right
    elif corners == "outline":
        back = back.reshape(20, 4, 2)[:, [1, 0, 3, 2]].reshape(20, 8)
    np.testing.assert_allclose(model.predict_box(X), (seen + back) / 2, rtol=1e-12)
    labels = model.predict_proba(X).argmax(axis=1)
    if in_y:
        np.testing.assert_array_equal(model.predict(X)[:, 0], labels)
        np.testing.assert_array_equal(model.predict(X)[:, 1:], model.predict_box(X))
    else:
        np.testing.assert_array_equal(model.predict(X), labels)


@pytest.mark.parametrize("pairs", [None, [(0, 2)]])
@pytest.mark.parametrize("units", ["share", "pixels"])
def test_points(units, pairs):
    X = images()
    y = np.random.RandomState(1).uniform(0, 1, (20, 3, 2))
    if units == "pixels":
        y = y * 6 - 0.5
    reg = ConvNetRegressor(LAYERS, target="points", point_units=units, flip_pairs=pairs)
    model, single = fitted(reg, X, y, [MIRROR, TURN, RIGHT])
    extent = 1 if units == "share" else 5
    views = [X, X[:, :, ::-1].copy(), np.rot90(X, axes=(1, 2)).copy(), np.zeros_like(X)]
    views[3][:, 2:, 2:] = X[:, :-2, :-2]
    seen, mirrored, turned, moved = (single.predict(view).reshape(20, 3, 2) for view in views)
    mirrored[..., 0] = extent - mirrored[..., 0]
    if pairs:
        mirrored = mirrored[:, [2, 1, 0]]
    turned = np.stack([extent - turned[..., 1], turned[..., 0]], axis=-1)
    moved -= 2 / 6 if units == "share" else 2
    expected = (seen + mirrored + turned + moved) / 4
    np.testing.assert_allclose(model.predict(X), expected.reshape(y.shape), rtol=1e-10)
    flat = clone(model).set_params(test_time_augmentation=model.test_time_augmentation)
    flat.fit(X, y.reshape(20, -1))
    np.testing.assert_allclose(flat.predict(X), model.predict(X).reshape(20, -1), rtol=1e-12)


@every_move
def test_maps_of_labels(name):
    transform, there, back = BACK[name]
    X = images()
    y = (X > 0).astype(int) + (X > 1)
    model, single = fitted(ConvNetClassifier(SAME), X, y, [transform])
    expected = single.predict_proba(X)
    expected = (expected + back(single.predict_proba(np.ascontiguousarray(there(X))))) / 2
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-14)
    np.testing.assert_array_equal(model.predict(X), expected.argmax(axis=-1))
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(expected), rtol=1e-10)
    assert model.score(X, y) == np.mean(expected.argmax(axis=-1) == y)


def test_a_pixel_is_averaged_over_the_views_that_reach_it():
    X = images()
    y = (X > 0).astype(int)
    model, single = fitted(ConvNetClassifier(SAME), X, y, [RIGHT])
    moved = np.zeros_like(X)
    moved[:, 2:, 2:] = X[:, :-2, :-2]
    seen, shifted = single.predict_proba(X), single.predict_proba(moved)
    expected = seen.copy()
    expected[:, :-2, :-2] = (seen[:, :-2, :-2] + shifted[:, 2:, 2:]) / 2
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-14)
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=-1), 1)


@pytest.mark.parametrize("n_values", [None, 2])
def test_maps_of_values(n_values):
    X = images()
    y = X if n_values is None else np.stack([X, 2 * X], axis=-1)
    for target in ("maps", "values"):
        reg = ConvNetRegressor(SAME, target=target)
        model, single = fitted(reg, X, y, [MIRROR])
        mirrored = single.predict(X[:, :, ::-1].copy())
        if target == "maps":
            mirrored = mirrored[:, :, ::-1]
        expected = (single.predict(X) + mirrored) / 2
        np.testing.assert_allclose(model.predict(X), expected, rtol=1e-13)


def test_values():
    X = images()
    model, single = fitted(ConvNetRegressor(LAYERS), X, X[:, 0, 0], [MIRROR, TURN])
    views = [X, X[:, :, ::-1].copy(), np.rot90(X, axes=(1, 2)).copy()]
    expected = sum(single.predict(view) for view in views) / 3
    np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.filterwarnings("ignore:points should be shares", "ignore:The fit ends with")
def test_signals_and_volumes():
    rng = np.random.RandomState(0)
    X = rng.normal(size=(20, 30, 2))
    later = TestTimeAugmentation([RandomAffine1D(translation=(3, 3))])
    y = (X[..., 0] > 0).astype(int)
    clf = ConvNetClassifier([Conv1D(4, 3, padding="same")], target="maps")
    model, single = fitted(clf, X, y)
    model.set_params(test_time_augmentation=later)
    moved = np.zeros_like(X)
    moved[:, 3:] = X[:, :-3]
    expected = single.predict_proba(X)
    expected[:, :-3] = (expected[:, :-3] + single.predict_proba(moved)[:, 3:]) / 2
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-14)

    X = rng.normal(size=(10, 4, 5, 6, 1))
    y = X[:, 0, 0, :3, 0]
    reg = ConvNetRegressor([Conv3D(2, 3), Dense(4)], target="points", normalize_y=False)
    model, single = fitted(reg, X, y, [RandomAffine3D(flip=[1, 0, 0])])
    back = single.predict(X[:, ::-1].copy())
    back[:, 2] = 1 - back[:, 2]
    np.testing.assert_allclose(model.predict(X), (single.predict(X) + back) / 2, rtol=1e-12)


# ---------------------------------------------------------------------------
# What it does not depend on
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_batch_and_threads_do_not_matter(dtype):
    X, y = images(300), np.arange(300) % 2
    random = [RandomAffine(rotation=(-20, 20)), Compose([GaussianNoise(0.3), MIRROR])]
    voting = TestTimeAugmentation(random)
    clf = ConvNetClassifier(
        LAYERS, test_time_augmentation=voting, max_iter=1, dtype=dtype, random_state=0
    ).fit(X, y)
    whole = clf.predict_proba(X)
    assert whole.dtype == dtype
    np.testing.assert_array_equal(clf.set_params(n_threads=3).predict_proba(X), whole)
    for rows in (slice(0, 1), slice(250, 290)):
        np.testing.assert_array_equal(clf.predict_proba(X[rows]), whole[rows])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(clf)).predict_proba(X), whole)
    flat = clone(clf).set_params(input_shape=(6, 6)).fit(X.reshape(300, -1), y)
    np.testing.assert_array_equal(flat.predict_proba(X.reshape(300, -1)), whole)


def test_it_may_be_changed_after_a_fit():
    X, y = images(), np.arange(20) % 2
    clf = ConvNetClassifier(LAYERS, max_iter=2, random_state=0).fit(X, y)
    alone = clf.predict_proba(X)
    voted = clf.set_params(test_time_augmentation=TestTimeAugmentation([MIRROR])).predict_proba(X)
    assert not np.allclose(voted, alone)
    np.testing.assert_array_equal(clone(clf).fit(X, y).predict_proba(X), voted)
    np.testing.assert_array_equal(
        clf.set_params(test_time_augmentation=None).predict_proba(X), alone
    )
    nothing = TestTimeAugmentation([])
    np.testing.assert_array_equal(
        clf.set_params(test_time_augmentation=nothing).predict_proba(X), alone
    )


def test_samples_of_unequal_sizes():
    rng = np.random.RandomState(0)
    X = [rng.normal(size=(6 + i % 3, 7, 1)) for i in range(12)]
    y = np.arange(12) % 2
    pooled = [Conv2D(4, 3), GlobalAvgPool()]
    model, single = fitted(ConvNetClassifier(pooled), X, y, [MIRROR])
    expected = single.predict_proba(X) + single.predict_proba([x[:, ::-1] for x in X])
    np.testing.assert_allclose(model.predict_proba(X), expected / 2, rtol=1e-14)
    maps = [(x[..., 0] > 0).astype(int) for x in X]
    model, single = fitted(ConvNetClassifier(SAME), X, maps, [MIRROR])
    other = single.predict_proba([x[:, ::-1] for x in X])
    expected = [(a + b[:, ::-1]) / 2 for a, b in zip(single.predict_proba(X), other, strict=True)]
    for found, P, labels in zip(model.predict_proba(X), expected, model.predict(X), strict=True):
        np.testing.assert_allclose(found, P, rtol=1e-14)
        np.testing.assert_array_equal(labels, P.argmax(axis=-1))
    boxes = rng.uniform(0, 1, (12, 8))
    model, single = fitted(ConvNetClassifier(pooled), X, y, [MIRROR], boxes=boxes)
    assert model.predict_box(X).shape == (12, 8)


# ---------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------


class Unknown(Transform):
    """A transform of which nobody knows what it does."""


@pytest.mark.parametrize(
    ("voting", "message"),
    [
        (TestTimeAugmentation(3), "transforms must be a list or tuple of transforms"),
        (TestTimeAugmentation([3]), "an item of transforms must be a transform"),
        (TestTimeAugmentation([MIRROR], "mean"), "'voting' parameter of TestTimeAugmentation"),
        (TestTimeAugmentation([MIRROR], random_state=None), "'random_state' parameter of TestTime"),
        (TestTimeAugmentation([MIRROR], random_state=2**32), "'random_state' parameter of TestTim"),
        (TestTimeAugmentation([MixUp()]), "MixUp is no view of one sample"),
        (TestTimeAugmentation([Unknown()]), "Unknown is no view of one sample"),
        (TestTimeAugmentation([RandomAffine(flip=2)]), "'flip' parameter of RandomAffine"),
        (TestTimeAugmentation([RandomAffine3D()]), "is for volumes, but the layers are for"),
        (MIRROR, "'test_time_augmentation' parameter of ConvNetClassifier"),
    ],
)
def test_bad_parameters(voting, message):
    X, y = images(), np.arange(20) % 2
    clf = ConvNetClassifier(LAYERS, max_iter=1).fit(X, y)
    before = clf.predict(X)
    clf.set_params(test_time_augmentation=voting)
    for use in (clf.predict, clf.predict_proba, clf.predict_log_proba):
        with pytest.raises((ValueError, TypeError), match=message):
            use(X)
    np.testing.assert_array_equal(clf.set_params(test_time_augmentation=None).predict(X), before)


def test_what_does_not_fit():
    X, y = images(), np.arange(20) % 2
    mirror, hard = TestTimeAugmentation([MIRROR]), TestTimeAugmentation([MIRROR], "hard")
    clf = ConvNetClassifier(LAYERS, max_iter=1, random_state=0)
    with pytest.raises(ValueError, match="multi_crop and test_time_augmentation both say"):
        clone(clf).set_params(multi_crop=MultiCrop(5), test_time_augmentation=mirror).fit(X, y)
    crops = clone(clf).set_params(multi_crop=MultiCrop(5)).fit(X, y)
    with pytest.raises(ValueError, match="multi_crop and test_time_augmentation both say"):
        crops.set_params(test_time_augmentation=mirror).predict(X)
    for model, target in (
        (ConvNetRegressor(LAYERS, max_iter=1), X[:, 0, 0]),
        (ConvNetClassifier(SAME, max_iter=1), (X > 0).astype(int)),
        (clf, np.random.RandomState(0).randint(2, size=(20, 3))),
    ):
        with pytest.raises(ValueError, match="voting='hard' needs one label a sample"):
            clone(model).set_params(test_time_augmentation=hard).fit(X, target)
        later = clone(model).fit(X, target).set_params(test_time_augmentation=hard)
        with pytest.raises(ValueError, match="voting='hard' needs one label a sample"):
            later.predict(X)
    signals = ConvNetClassifier([Conv1D(2, 3)], test_time_augmentation=mirror)
    with pytest.raises(ValueError, match="is for images, but the layers are for samples of 1 axes"):
        signals.fit(X, y)
    halved = ConvNetClassifier([Conv2D(2, 2, stride=2)], test_time_augmentation=mirror, max_iter=1)
    halved.fit(X, (X[:, ::2, ::2] > 0).astype(int))
    with pytest.raises(ValueError, match=r"maps have size \(3, 3\) and samples \(6, 6\)"):
        halved.predict(X)
    volumes = TestTimeAugmentation([RandomAffine3D(flip=1)])
    colours = images(60).reshape(20, 6, 6, 3)  # four axes, as volumes of one channel have
    later = clone(clf).fit(colours, y).set_params(test_time_augmentation=volumes)
    with pytest.raises(ValueError, match="is for volumes, but the layers are for samples of 2"):
        later.predict(colours)
    later.set_params(test_time_augmentation=TestTimeAugmentation([MIRROR, *volumes.transforms]))
    with pytest.raises(ValueError, match="RandomFlip needs images and RandomAffine3D needs vol"):
        later.predict(colours)
    back = TestTimeAugmentation([RandomAffine1D(flip=1)])
    table = ConvNetClassifier(input_kind="table", max_iter=1)
    with pytest.raises(ValueError, match="is for signals, but the columns of a table are no plac"):
        clone(table).set_params(test_time_augmentation=back).fit(X.reshape(20, -1), y)
    table.fit(X.reshape(20, -1), y).set_params(test_time_augmentation=back)
    with pytest.raises(ValueError, match="is for signals, but the columns of a table are no plac"):
        table.predict(X.reshape(20, -1))
    flat = ConvNetRegressor([Dense(4)], target="points", max_iter=1).fit(X, X[:, 0, :4])
    flat.set_params(test_time_augmentation=TestTimeAugmentation([RandomAffine1D(flip=1)]))
    with pytest.raises(ValueError, match="moves samples along 1 axes, but points lie on 2"):
        flat.predict(X)
