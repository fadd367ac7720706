"""Displays of what a network makes of samples: what is drawn of given numbers, and where."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import pairwise

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.inspection import (
    FeatureMapsDisplay,
    MaximizedUnitsDisplay,
    NearestSamplesDisplay,
    SaliencyDisplay,
    activations,
    maximize_unit,
    nearest_samples,
    saliency,
)
from sklearn_convnet.layers import Conv2D, Dense

# ---------------------------------------------------------------------------
# SaliencyDisplay
# ---------------------------------------------------------------------------


def test_a_signed_map_lies_over_the_sample():
    X = np.random.RandomState(0).uniform(size=(2, 4, 5))
    maps = np.zeros((2, 4, 5))
    maps[0, 1, 2], maps[0, 3, 3] = -2, 1
    maps[1, 0, 0] = 3
    display = SaliencyDisplay(X, maps, titles=["a", "b"]).plot(percentile=100, alpha=0.8)
    signed, unsigned = display.overlays_
    for i, overlay in enumerate(display.overlays_):
        assert display.axes_[i].images[1] is overlay
        np.testing.assert_array_equal(display.axes_[i].images[0].get_array(), X[i])
        np.testing.assert_array_equal(overlay.get_array(), maps[i])
    assert signed.get_clim() == (-2, 2)
    assert signed.get_cmap().name == "signed"
    red, _, blue = signed.get_cmap()(1.0)[:3]
    assert red > blue
    assert unsigned.get_clim() == (0, 3)
    assert unsigned.get_cmap().name == "inferno"
    expected = 0.8 * np.abs(maps[0]) / 2
    np.testing.assert_allclose(signed.get_alpha(), expected)
    assert [ax.get_title() for ax in display.axes_] == ["a", "b"]


def test_the_strongest_colour_is_that_of_a_percentile():
    values = np.arange(100.0).reshape(1, 10, 10)
    display = SaliencyDisplay(values, values).plot(percentile=90)
    limit = np.percentile(values, 90)
    assert display.overlays_[0].get_clim() == (0, limit)
    assert display.overlays_[0].get_alpha().max() == 0.9
    few = np.zeros((1, 10, 10))
    few[0, 0, 0] = 4  # the percentile is 0
    display = SaliencyDisplay(few, few).plot(percentile=50)
    assert display.overlays_[0].get_clim() == (0, 4)


@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_channels_of_maps(reduce):
    maps = np.random.RandomState(0).normal(size=(1, 4, 5, 3))
    display = SaliencyDisplay(np.abs(maps), maps).plot(reduce=reduce)
    expected = maps.sum(axis=-1) if reduce == "sum" else np.abs(maps).max(axis=-1)
    np.testing.assert_allclose(display.overlays_[0].get_array(), expected[0])


def test_saliency_of_signals_and_volumes():
    signals = np.random.RandomState(0).normal(size=(1, 30, 2))
    display = SaliencyDisplay(signals, signals).plot()
    overlay = display.overlays_[0]
    np.testing.assert_allclose(overlay.get_array()[0], signals[0].sum(axis=1))
    assert overlay.get_extent()[:2] == [-0.5, 29.5]
    assert len(display.axes_[0].get_lines()) == 2
    volume = np.arange(24.0).reshape(1, 4, 3, 2)
    display = SaliencyDisplay(volume, volume, kind="volume").plot()
    picture = display.overlays_[0].get_array()
    np.testing.assert_array_equal(picture[4:, 3:], volume[0, 3])


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        (np.ones((2, 4, 6)), {}, r"maps are of shape \(4, 6\), but samples are of size \(4, 5\)"),
        (np.ones((1, 4, 5)), {}, "number of samples: X has 2, maps has 1"),
        (np.ones((2, 4, 5)), {"alpha": -1}, "alpha == -1, must be >= 0"),
        (np.ones((2, 4, 5)), {"percentile": 101}, "percentile == 101, must be <= 100"),
        (np.ones((2, 4, 5)), {"reduce": "mean"}, "reduce must be 'sum' or 'max', got 'mean'"),
    ],
)
def test_bad_saliency(maps, options, message):
    with pytest.raises(ValueError, match=message):
        SaliencyDisplay(np.ones((2, 4, 5)), maps).plot(**options)


# ---------------------------------------------------------------------------
# MaximizedUnitsDisplay
# ---------------------------------------------------------------------------


def test_each_unit_has_its_own_range():
    X = np.stack([np.eye(4), 100 * np.eye(4)])
    display = MaximizedUnitsDisplay(X, ["one", "two"]).plot()
    assert [image.get_clim() for image in display.artists_] == [(0, 1), (0, 100)]
    for image, ax, expected in zip(display.artists_, display.axes_, X, strict=True):
        np.testing.assert_array_equal(image.get_array(), expected)
        assert image.axes is ax
    assert [ax.get_title() for ax in display.axes_] == ["one", "two"]


def test_bad_units():
    with pytest.raises(ValueError, match="number of samples: X has 2, names has 1"):
        MaximizedUnitsDisplay(np.ones((2, 4, 4)), ["one"]).plot()
    with pytest.raises(ValueError, match="X must hold real numbers"):
        MaximizedUnitsDisplay([["a"]]).plot()


# ---------------------------------------------------------------------------
# FeatureMapsDisplay
# ---------------------------------------------------------------------------


def test_a_row_of_maps_for_each_layer():
    rng = np.random.RandomState(0)
    maps = {"conv1": rng.normal(size=(6, 6, 10)), "relu": rng.uniform(size=(3, 3, 4))}
    sample = rng.uniform(size=(8, 8))
    display = FeatureMapsDisplay(maps, sample).plot(n_maps=5)
    assert display.axes_.shape == (3, 5)
    np.testing.assert_array_equal(display.axes_[0, 0].images[0].get_array(), sample)
    for row, name, n in ((1, "conv1", 5), (2, "relu", 4)):
        images = display.artists_[name]
        assert [image.axes for image in images] == display.axes_[row, :n].tolist()
        for j, image in enumerate(images):
            np.testing.assert_array_equal(image.get_array(), maps[name][..., j])
        assert len({image.get_clim() for image in images}) == 1
        assert display.axes_[row, 0].get_title(loc="left") == name
    largest = np.abs(maps["conv1"][..., :5]).max()
    assert display.artists_["conv1"][0].get_clim() == (-largest, largest)
    assert display.artists_["relu"][0].get_clim()[0] == 0
    assert not display.axes_[0, 1].axison


def test_maps_of_signals_and_volumes():
    signals = {"conv1": np.random.RandomState(0).uniform(size=(20, 3))}
    display = FeatureMapsDisplay(signals).plot()
    assert display.axes_.shape == (1, 3)
    (line,) = display.artists_["conv1"][2]
    np.testing.assert_array_equal(line.get_ydata(), signals["conv1"][:, 2])
    volumes = {"conv1": np.ones((4, 3, 2, 5))}
    display = FeatureMapsDisplay(volumes, np.ones((6, 5, 4))).plot()
    assert display.artists_["conv1"][0].get_array().shape == (7, 5)


@pytest.mark.parametrize(
    ("maps", "options", "message"),
    [
        ({}, {}, "maps is empty"),
        ({"a": np.ones((4, 4, 2)), "dense1": np.ones(8)}, {}, "dense1 must have 3 axes, got"),
        ({"dense1": np.ones(8)}, {}, "one to three axes and one of maps, got 1"),
        ({"a": np.ones((4, 4, 2))}, {"n_maps": 0}, "n_maps == 0"),
    ],
)
def test_bad_maps(maps, options, message):
    with pytest.raises(ValueError, match=message):
        FeatureMapsDisplay(maps).plot(**options)


# ---------------------------------------------------------------------------
# NearestSamplesDisplay
# ---------------------------------------------------------------------------

X = 10 + np.arange(2)[:, None, None] * np.ones((2, 4, 4))
REFERENCE = np.arange(5)[:, None, None] * np.ones((5, 4, 4))
DISTANCES, INDICES = [[0.25, 1.5], [3.0, 4.0]], [[4, 1], [0, 2]]


def test_neighbours_beside_their_sample():
    display = NearestSamplesDisplay(
        X, REFERENCE, DISTANCES, INDICES, y=["a", "b"], y_reference=list("bbbaa")
    ).plot()
    means = [[ax.images[0].get_array().mean() for ax in row] for row in display.axes_]
    assert means == [[10, 4, 1], [11, 0, 2]]
    titles = [[ax.get_title() for ax in row] for row in display.axes_]
    assert titles == [["a", "a, 0.25", "b, 1.5"], ["b", "b, 3", "b, 4"]]
    colors = [[ax.title.get_color() for ax in row[1:]] for row in display.axes_]
    assert colors == [["tab:green", "tab:red"], ["tab:green", "tab:green"]]
    assert len({ax.images[0].get_clim() for ax in display.axes_.flat}) == 1


def test_neighbours_without_labels():
    display = NearestSamplesDisplay(X, REFERENCE, DISTANCES, INDICES).plot(n_samples=1)
    assert [ax.get_title() for ax in display.axes_[0]] == ["", "0.25", "1.5"]
    display = NearestSamplesDisplay(X, REFERENCE, DISTANCES, INDICES, y_reference=range(5)).plot()
    assert {to_rgb(ax.title.get_color()) for ax in display.axes_.flat} == {to_rgb("black")}


@pytest.mark.parametrize(
    ("numbers", "options", "message"),
    [
        (
            (DISTANCES, [[0, 5], [1, 2]]),
            {},
            "indices must be positions in X_reference, from 0 to 4",
        ),
        ((DISTANCES, [[0.0, 1.0], [1, 2]]), {}, "indices must be positions"),
        ((DISTANCES, [[0], [1]]), {}, r"distances has shape \(2, 2\), indices \(2, 1\)"),
        ((DISTANCES[:1], INDICES[:1]), {}, "number of samples: X has 2, distances has 1"),
        ((DISTANCES, INDICES), {"y": [1]}, "y has 1"),
        ((DISTANCES, INDICES), {"y_reference": [1]}, "y_reference has 1"),
    ],
)
def test_bad_neighbours(numbers, options, message):
    with pytest.raises(ValueError, match=message):
        NearestSamplesDisplay(X, REFERENCE, *numbers, **options).plot()


# ---------------------------------------------------------------------------
# Of estimators
# ---------------------------------------------------------------------------


def test_saliency_of_an_estimator(fitted, digits):
    samples = digits[0]
    display = SaliencyDisplay.from_estimator(fitted, samples, method="integrated", n_samples=3)
    expected = saliency(fitted, samples[:3], "integrated")
    for overlay, values in zip(display.overlays_, expected, strict=True):
        np.testing.assert_array_equal(overlay.get_array(), values)
    titles = [ax.get_title() for ax in display.axes_]
    assert titles == [str(label) for label in fitted.predict(samples[:3])]


def test_arguments_of_saliency(fitted, digits):
    samples = digits[0][:2]
    options = {"baseline": 4.0, "window": 3}
    display = SaliencyDisplay.from_estimator(
        fitted, samples, method="occlusion", target=7, saliency_kw=options
    )
    np.testing.assert_array_equal(
        display.maps, saliency(fitted, samples, "occlusion", target=7, **options)
    )
    assert [ax.get_title() for ax in display.axes_] == ["7", "7"]
    display = SaliencyDisplay.from_estimator(fitted, samples, method="grad_cam", layer="conv1")
    np.testing.assert_array_equal(
        display.maps, saliency(fitted, samples, "grad_cam", layer="conv1")
    )


def test_saliency_of_pixels_and_points_has_no_titles(segmenter, pointer, scenes):
    for estimator, target in ((segmenter, (2, 3, 1)), (pointer, (0, 1))):
        display = SaliencyDisplay.from_estimator(estimator, scenes[0][:1], target=target)
        assert display.axes_[0].get_title() == ""


def test_saliency_of_channels_first():
    X = np.random.RandomState(0).normal(size=(6, 3, 5, 4))
    clf = ConvNetClassifier([Conv2D(2, 3)], data_format="channels_first", max_iter=1)
    display = SaliencyDisplay.from_estimator(clf.fit(X, [0, 1] * 3), X, n_samples=1)
    expected = saliency(clf, X[:1])[0].sum(axis=0)
    np.testing.assert_allclose(display.overlays_[0].get_array(), expected)


def test_units_of_an_estimator(fitted):
    options = {"n_steps": 3, "random_state": 0}
    display = MaximizedUnitsDisplay.from_estimator(
        fitted, ["conv1", "output"], [(1, 2, 3), 4], maximize_kw=options
    )
    expected = maximize_unit(fitted, ["conv1", "output"], [(1, 2, 3), 4], **options)
    np.testing.assert_array_equal(display.X, expected)
    assert [ax.get_title() for ax in display.axes_] == ["conv1 (1, 2, 3)", "output 4"]
    display = MaximizedUnitsDisplay.from_estimator(fitted, "dense1", [0], maximize_kw=options)
    np.testing.assert_array_equal(
        display.artists_[0].get_array(), maximize_unit(fitted, "dense1", 0, **options)
    )


def test_maps_of_an_estimator(fitted, digits):
    samples = digits[0]
    display = FeatureMapsDisplay.from_estimator(fitted, samples, index=2, n_maps=4)
    assert list(display.artists_) == ["rescale1", "conv1", "pool1"]  # what ends in maps
    np.testing.assert_array_equal(display.axes_[0, 0].images[0].get_array(), samples[2])
    maps = activations(fitted, samples[2:3], ["pool1"])["pool1"][0]
    for j, image in enumerate(display.artists_["pool1"]):
        np.testing.assert_array_equal(image.get_array(), maps[..., j])
    with pytest.raises(ValueError, match="dense1 must have 3 axes"):
        FeatureMapsDisplay.from_estimator(fitted, samples, ["dense1"])
    with pytest.raises(ValueError, match="index == 300, must be <= 299"):
        FeatureMapsDisplay.from_estimator(fitted, samples, index=300)


def test_neighbours_of_an_estimator(fitted, digits):
    samples, y = digits
    display = NearestSamplesDisplay.from_estimator(
        fitted, samples[:200], samples[200:], y=y[200:], y_reference=y[:200], n_samples=2
    )
    distances, indices = nearest_samples(fitted, samples[:200], samples[200:202])
    assert display.axes_.shape == (2, 6)
    for i, row in enumerate(display.axes_):
        assert row[0].get_title() == str(y[200 + i])
        for ax, distance, index in zip(row[1:], distances[i], indices[i], strict=True):
            np.testing.assert_array_equal(ax.images[0].get_array(), samples[index])
            assert ax.get_title() == f"{y[index]}, {distance:.3g}"


# ---------------------------------------------------------------------------
# All of them
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("display", "n_axes"),
    [
        (SaliencyDisplay(X, X), 2),
        (MaximizedUnitsDisplay(X), 2),
        (FeatureMapsDisplay({"a": np.ones((4, 4, 2)), "b": np.ones((4, 4, 1))}), 4),
        (NearestSamplesDisplay(X, REFERENCE, DISTANCES, INDICES), 6),
    ],
)
def test_given_axes(display, n_axes):
    figure, axes = plt.subplots(1, n_axes)
    assert display.plot(axes) is display
    assert display.axes_.ravel().tolist() == axes.tolist()
    assert display.figure_ is figure


def test_an_index_may_be_numpy_s_own(fitted, digits):
    display = FeatureMapsDisplay.from_estimator(fitted, digits[0], index=np.argmax(digits[1]))
    np.testing.assert_array_equal(display.sample, digits[0][np.argmax(digits[1])])


def test_a_network_without_maps():
    clf = ConvNetClassifier([Dense(3)], max_iter=1).fit(np.eye(6), [0, 1] * 3)
    with pytest.raises(ValueError, match="no layer of this network puts out maps"):
        FeatureMapsDisplay.from_estimator(clf, np.eye(6))


@pytest.mark.parametrize("kind", [list, np.array])
def test_targets_of_samples_that_are_not_drawn(fitted, digits, kind):
    samples, y = digits[0][:5], digits[1][:5]
    display = SaliencyDisplay.from_estimator(fitted, samples, target=kind(y), n_samples=2)
    np.testing.assert_array_equal(display.maps, saliency(fitted, samples[:2], target=y[:2]))
    assert [ax.get_title() for ax in display.axes_] == [str(label) for label in y[:2]]
    with pytest.raises(ValueError, match="same number of samples: X has 5, target has 4"):
        SaliencyDisplay.from_estimator(fitted, samples, target=kind(y[:4]), n_samples=2)


def test_targets_of_several_kinds(localizer, scenes):
    target = [("box", 0), 1, ("box", 3)]
    display = SaliencyDisplay.from_estimator(localizer, scenes[0][:3], target=target)
    np.testing.assert_array_equal(display.maps, saliency(localizer, scenes[0][:3], target=target))
    assert display.titles is None


@pytest.mark.parametrize(
    ("layer", "units", "titles"),
    [
        ("conv1", 2, ["conv1 2"]),
        ("conv1", (1, 2, 3), ["conv1 (1, 2, 3)"]),
        (["conv1", "output"], 2, ["conv1 2", "output 2"]),
        (np.array(["conv1", "output"]), range(2), ["conv1 0", "output 1"]),
    ],
)
def test_a_unit_or_several(fitted, layer, units, titles):
    options = {"n_steps": 2, "random_state": 0}
    display = MaximizedUnitsDisplay.from_estimator(fitted, layer, units, maximize_kw=options)
    expected = maximize_unit(fitted, layer, units, **options)
    np.testing.assert_array_equal(display.X, expected.reshape(-1, 8, 8))
    assert [ax.get_title() for ax in display.axes_] == titles


def test_long_labels_do_not_run_into_each_other(digits):
    samples, labels = digits[0][:6], np.array([f"a digit with the name {i}" for i in range(6)])
    display = NearestSamplesDisplay(
        samples, samples, np.ones((6, 3)), np.tile([1, 2, 3], (6, 1)), y=labels, y_reference=labels
    ).plot()
    assert display.axes_[0, 1].get_title() == "a digit wit…, 1"
    display.figure_.draw_without_rendering()
    for row in display.axes_:
        boxes = [ax.title.get_window_extent() for ax in row]
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
