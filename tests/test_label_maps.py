"""Labels and values for each position: of signals, with weights, ignored, and in little memory."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import tracemalloc

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import RandomAffine
from sklearn_convnet.layers import Conv1D, Conv2D, Conv3D, Dense, Flatten
from sklearn_convnet.losses import Focal
from sklearn_convnet.optimizers import SGD, Adam


def quick(layers, estimator=ConvNetClassifier, **params):
    fast = dict(optimizer=Adam(0.03), batch_size=20, max_iter=12, random_state=0)
    return estimator(layers, **{**fast, **params})


@pytest.fixture(scope="module")
def signals():
    """Signals (20, 2), a label for each step, and a value."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(80, 20, 2))
    change = np.diff(X[..., 0], axis=1, prepend=0)
    return X, np.where(change > 0, "up", "down"), change


@pytest.fixture(scope="module")
def scenes():
    """Images (8, 8) and which of their pixels are dark, grey or bright."""
    X = np.random.RandomState(0).normal(size=(60, 8, 8)).astype(np.float32)
    return X, np.digitize(X, [-0.5, 0.5]).astype(np.uint8)


SIGNAL_LAYERS = [Conv1D(8, 3, padding="same")]
IMAGE_LAYERS = [Conv2D(8, 1)]


# ---------------------------------------------------------------------------
# Steps of signals
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_labels_of_steps(signals):
    X, labels, _ = signals
    clf = quick(SIGNAL_LAYERS, target="maps").fit(X, labels)
    assert clf.predict(X).shape == (80, 20)
    assert clf.predict_proba(X).shape == (80, 20, 2)
    assert isinstance(clf.layers_[-1][1], Conv1D)
    assert clf.score(X, labels) == np.mean(clf.predict(X) == labels)
    assert clf.score(X, labels) > 0.9
    with pytest.warns(UserWarning, match=r"y of shape \(80, 20\) is taken for maps.*Flatten"):
        same = quick(SIGNAL_LAYERS).fit(X, labels)
    np.testing.assert_array_equal(same.predict_proba(X), clf.predict_proba(X))


@pytest.mark.oldest
def test_values_of_steps(signals):
    X, _, values = signals
    reg = quick(SIGNAL_LAYERS, ConvNetRegressor, target="maps").fit(X, values)
    assert reg.predict(X).shape == (80, 20)
    assert reg.n_outputs_ == 1
    assert reg.score(X, values) > 0.8
    with pytest.warns(UserWarning, match="is taken for maps"):
        same = quick(SIGNAL_LAYERS, ConvNetRegressor).fit(X, values)
    np.testing.assert_array_equal(same.predict(X), reg.predict(X))
    two = quick(SIGNAL_LAYERS, ConvNetRegressor).fit(X, X[..., ::-1])
    assert two.predict(X).shape == X.shape
    assert two.n_outputs_ == 2


def test_columns_of_signals(signals):
    """As many as there are steps, but of the whole signal."""
    X, labels, values = signals
    layers = [*SIGNAL_LAYERS, Flatten()]
    assert quick(layers, max_iter=1).fit(X, labels).predict(X).shape == (80, 20)
    assert isinstance(quick(layers, max_iter=1).fit(X, labels).classes_, list)
    reg = quick(layers, ConvNetRegressor, max_iter=1).fit(X, values)
    assert reg.n_outputs_ == 20
    labels = quick(SIGNAL_LAYERS, max_iter=1, target="labels").fit(X, labels)
    assert [len(classes) for classes in labels.classes_] == 20 * [2]


@pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])
def test_columns_that_may_be_meant_for_steps(signals, estimator):
    """Two steps are lost at the ends: a dense layer of 20 outputs, but not in silence."""
    X, _, values = signals
    y = (values > 0).astype(int)
    layers = [Conv1D(8, 3)]
    with pytest.warns(UserWarning, match=r"each of the 20 steps.*end in 18 positions.*'same'"):
        model = quick(layers, estimator, max_iter=1).fit(X, y)
    assert isinstance(model.layers_[-1][1], Dense)
    quick([*layers, Flatten()], estimator, max_iter=1).fit(X, y)  # this one is meant so
    quick([Dense(4)], estimator, max_iter=1).fit(X, y)


def test_maps_in_parts(signals):
    X, labels, _ = signals
    clf = quick(SIGNAL_LAYERS, target="maps", max_iter=2).fit(X, labels)
    parts = quick(SIGNAL_LAYERS, target="maps")
    for _ in range(2):
        parts.partial_fit(X, labels, classes=["up", "down"])
    np.testing.assert_array_equal(parts.predict_proba(X), clf.predict_proba(X))


def test_values_of_volumes():
    X = np.random.RandomState(0).normal(size=(20, 3, 4, 5, 2))
    for y in (X, X[..., 0]):
        reg = quick([Conv3D(4, 1)], ConvNetRegressor, target="maps").fit(X, y)
        assert reg.predict(X).shape == y.shape
        assert isinstance(reg.layers_[-1][1], Conv3D)


def test_maps_that_do_not_fit(signals, scenes):
    X, labels, values = signals
    with pytest.raises(ValueError, match="maps of 20, but the layers end in maps of 18"):
        quick([Conv1D(4, 3)], target="maps").fit(X, labels)
    with pytest.raises(ValueError, match="target='labels' takes"):
        quick(IMAGE_LAYERS, target="labels").fit(*scenes)
    with pytest.raises(ValueError, match=r"target='maps' takes \(n_samples, height, width\)"):
        quick(IMAGE_LAYERS, ConvNetRegressor, target="maps").fit(scenes[0], values[:60])
    with pytest.raises(ValueError, match=r"y has shape \(80,\), but target='maps' takes labels"):
        quick(SIGNAL_LAYERS, target="maps").fit(X, labels[:, 0])
    with pytest.raises(ValueError, match=r"shape \(5,\), which are no such maps"):
        quick([Dense(5)], target="maps").fit(X, labels)


# ---------------------------------------------------------------------------
# A last axis of length 1
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_masks_with_an_axis_of_channels(scenes):
    X, masks = scenes
    plain = quick(IMAGE_LAYERS).fit(X, masks)
    clf = quick(IMAGE_LAYERS).fit(X, masks[..., None])
    assert clf.predict(X).shape == (60, 8, 8, 1)
    np.testing.assert_array_equal(clf.predict(X)[..., 0], plain.predict(X))
    assert clf.score(X, masks) == clf.score(X, masks[..., None]) == plain.score(X, masks[..., None])
    weight = np.random.RandomState(0).uniform(size=masks.shape)
    a = quick(IMAGE_LAYERS).fit(X, masks[..., None], sample_weight=weight[..., None])
    b = quick(IMAGE_LAYERS).fit(X, masks, sample_weight=weight)
    np.testing.assert_array_equal(a.predict(X)[..., 0], b.predict(X))


# ---------------------------------------------------------------------------
# Ignored labels, weights of pixels
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@pytest.mark.parametrize("loss", ["cross_entropy", Focal()])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 1.0, 1: 5.0, 2: 2.0}])
def test_an_ignored_label_is_a_pixel_of_weight_zero(scenes, loss, class_weight):
    X, masks = scenes
    void = np.random.RandomState(0).uniform(size=masks.shape) < 0.3
    void[:, 0] = True
    params = dict(loss=loss, class_weight=class_weight, dtype="float64", batch_size=60)
    ignoring = quick(IMAGE_LAYERS, ignore_label=255, **params).fit(X, np.where(void, 255, masks))
    assert ignoring.classes_.tolist() == [0, 1, 2]
    weighted = quick(IMAGE_LAYERS, **params)
    weight = np.where(void, 0.0, 1.0)
    weighted.fit(X, masks, sample_weight=weight)
    # Weights have a mean of 1; the mean over the pixels is over those that are there.
    expected = ignoring.loss_curve_[0]
    assert weighted.loss_curve_[0] == pytest.approx(expected, rel=1e-6)
    predicted = ignoring.predict(X)
    right = np.mean((predicted == masks)[~void])
    assert ignoring.score(X, np.where(void, 255, masks)) == pytest.approx(right, rel=1e-12)
    assert ignoring.score(X, masks, sample_weight=weight) == pytest.approx(right, rel=1e-12)


def test_few_pixels_with_a_label_teach_as_much(scenes):
    """As pixels of weight zero, whatever the optimiser."""
    X, masks = scenes
    void = np.random.RandomState(0).uniform(size=masks.shape) < 0.95
    params = dict(optimizer=SGD(0.5), dtype="float64", max_iter=30)
    some = quick(IMAGE_LAYERS, ignore_label=9, **params).fit(X, np.where(void, 9, masks))
    assert some.score(X, masks) > 0.8
    given = dict(X_val=X, y_val=np.where(void, 9, masks))
    some.fit(X, np.where(void, 9, masks), **given)
    P = np.take_along_axis(some.predict_proba(X), masks[..., None].astype(int), -1)[..., 0]
    loss = some.history_["validation_loss"][-1]
    assert loss == pytest.approx(-np.log(P)[~void].mean(), rel=1e-6)


def test_scores_of_training_ignore_too(scenes):
    X, masks = scenes
    void = np.where(masks == 1, 9, masks)
    clf = quick(IMAGE_LAYERS, ignore_label=9, early_stopping=True).fit(X, void)
    assert clf.classes_.tolist() == [0, 2]
    clf.set_params(early_stopping=False).fit(X, void, X_val=X, y_val=void)
    score = clf.history_["validation_score"][-1]
    assert score == pytest.approx(clf.score(X, void), rel=1e-9)
    assert score > 0.95
    parts = quick(IMAGE_LAYERS, ignore_label=9)
    for classes in ([0, 2], [0, 2, 9], None):
        parts.partial_fit(X, void, classes=classes)
    assert parts.classes_.tolist() == [0, 2]


@pytest.mark.filterwarnings("ignore:The network has learnt nothing from X")
def test_what_comes_from_beyond_an_image_is_ignored(scenes):
    """Where a label is ignored, turned maps have it at their corners, and not the first class."""
    X, masks = scenes
    everywhere = np.ones_like(masks)
    everywhere[0, 0, 0] = 0
    shift = RandomAffine(translation=(6, 6))
    clf = quick(IMAGE_LAYERS, augmentation=shift, ignore_label=7, max_iter=40).fit(X, everywhere)
    assert np.all(clf.predict(X) == 1)


def test_images_without_any_label_are_left_out(scenes):
    X, masks = scenes
    void = masks.copy()
    void[:20] = 255
    some = quick(IMAGE_LAYERS, ignore_label=255).fit(X, void)
    few = quick(IMAGE_LAYERS, ignore_label=255).fit(X[20:], void[20:])
    np.testing.assert_array_equal(some.predict_proba(X), few.predict_proba(X))


@pytest.mark.oldest
def test_names_may_be_ignored(scenes):
    X, masks = scenes
    names = np.array(["dark", "", "bright"])[masks]
    clf = quick(IMAGE_LAYERS, ignore_label="").fit(X, names)
    assert clf.classes_.tolist() == ["bright", "dark"]
    assert clf.score(X, names) > 0.95


def test_ignored_labels_are_for_maps(scenes):
    X, masks = scenes
    with pytest.raises(ValueError, match=r"ignore_label='255' is a str, but y holds.*uint8"):
        quick(IMAGE_LAYERS, ignore_label="255").fit(X, masks)
    with pytest.raises(ValueError, match="what is there in y has no weight"):
        quick(IMAGE_LAYERS, ignore_label=0).fit(X, masks, sample_weight=(masks == 0) * 1.0)
    with pytest.raises(ValueError, match="ignore_label=255 is for maps of labels"):
        quick([Conv2D(2, 3)], ignore_label=255).fit(X, masks[:, 0, 0])
    with pytest.raises(ValueError, match="no value or label for any sample"):
        quick(IMAGE_LAYERS, ignore_label=0).fit(X, masks * 0)


@pytest.mark.oldest
@pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])
def test_a_weight_for_all_pixels_is_that_of_the_sample(scenes, estimator):
    X, masks = scenes
    weight = np.arange(60) % 3 + 0.5
    a = quick(IMAGE_LAYERS, estimator).fit(X, masks, sample_weight=weight)
    pixels = np.broadcast_to(weight[:, None, None], masks.shape)
    b = quick(IMAGE_LAYERS, estimator).fit(X, masks, sample_weight=pixels)
    np.testing.assert_allclose(a.loss_curve_, b.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(a.predict(X), b.predict(X), rtol=1e-3, atol=1e-3)
    assert a.score(X, masks, weight) == pytest.approx(a.score(X, masks, pixels), rel=1e-9)


@pytest.mark.filterwarnings("ignore:The fit ends with a training R.2")
def test_weights_of_pixels_are_those_of_the_loss(scenes):
    X, masks = scenes
    weight = np.random.RandomState(0).uniform(size=masks.shape)
    still = dict(optimizer=SGD(1e-12), max_iter=1, dtype="float64")
    clf = quick(IMAGE_LAYERS, **still).fit(X, masks, sample_weight=weight)
    P = np.take_along_axis(clf.predict_proba(X), masks[..., None].astype(int), -1)[..., 0]
    assert clf.loss_ == pytest.approx(np.average(-np.log(P), weights=weight), rel=1e-8)
    reg = quick(IMAGE_LAYERS, ConvNetRegressor, normalize_y=False, **still)
    reg.fit(X, masks, sample_weight=weight, X_val=X, y_val=masks, sample_weight_val=weight)
    square = (reg.predict(X) - masks) ** 2 / 2
    assert reg.loss_ == pytest.approx(np.average(square, weights=weight), rel=1e-8)
    expected = reg.score(X, masks, weight)
    assert reg.history_["validation_score"][0] == pytest.approx(expected, rel=1e-8)


def test_weights_of_pixels_move_with_the_image(scenes):
    """Pixels without weight have none after a mirror image."""
    X, masks = scenes
    weight, other = np.zeros(masks.shape), masks.copy()
    weight[:, :, :4] = 1
    other[:, :, 4:] = 0
    flip = RandomAffine(flip=1.0)
    a = quick(IMAGE_LAYERS, augmentation=flip).fit(X, masks, sample_weight=weight)
    b = quick(IMAGE_LAYERS, augmentation=flip).fit(X, other, sample_weight=weight)
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))


def test_weights_that_are_not_of_pixels(scenes, signals):
    X, masks = scenes
    for layers, y in ((IMAGE_LAYERS, masks), ([Conv2D(2, 3)], masks[:, 0, 0])):
        with pytest.raises(ValueError, match=r"sample_weight has shape \(60, 2\), expected"):
            quick(layers).fit(X, y, sample_weight=np.ones((60, 2)))
    given = dict(X_val=X, y_val=masks, sample_weight_val=np.ones((60, 4, 4)))
    with pytest.raises(ValueError, match="sample_weight_val: sample_weight has shape"):
        quick(IMAGE_LAYERS).fit(X, masks, **given)
    clf = quick(IMAGE_LAYERS, max_iter=1).fit(X, masks)
    for wrong in (np.ones((60, 4, 4)), np.ones(7), np.full(60, np.nan), -np.ones(60)):
        with pytest.raises(ValueError, match=r"[Ss]ample.weight"):
            clf.score(X, masks, wrong)
    with pytest.raises(ValueError, match="sample_weight has 3 samples, but X has 60"):
        quick(IMAGE_LAYERS).fit(X, masks, sample_weight=np.ones((3, 8, 8)))
    with pytest.raises(ValueError, match="function given as loss returns one loss a sample"):
        quick(IMAGE_LAYERS, loss=lambda y, Z: (0, 0)).fit(
            X, masks, sample_weight=np.ones(masks.shape)
        )


# ---------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------


def test_maps_of_labels_need_little_memory():
    """Bytes for each further pixel: a code in a fit, a label in a prediction."""
    X = np.random.RandomState(0).randint(256, size=(1536, 64, 64), dtype=np.uint8)
    masks = (X > 100).astype(np.uint8)
    clf = quick([Conv2D(2, 1)], max_iter=1, batch_size=64).fit(X[:64], masks[:64])

    def peak(call, n):
        tracemalloc.start()
        call(X[:n], masks[:n])
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    for call, n_bytes in [
        (clf.fit, 1),
        (lambda X, _: clf.predict(X), 1),
        (clf.score, 1),
    ]:
        growth = peak(call, 1536) - peak(call, 512)
        assert growth < 1.5 * n_bytes * masks[512:].nbytes
