"""How samples are drawn: ranges, channels, slices, grids and colours."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from sklearn_convnet.inspection.displays import _pictures as pictures


def drawn(X, **options):
    """The artist of the first sample, and its axes."""
    _, ax = plt.subplots()
    return pictures.Samples(X, **options).draw(ax, 0), ax


# ---------------------------------------------------------------------------
# Ranges
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([0, 255], np.uint8), (0, 255)),
        (np.array([3, 200], np.uint8), (0, 255)),
        (np.array([0, 16], np.uint8), (0, 16)),
        (np.array([0.0, 1.0]), (0, 1)),
        (np.array([0.2, 0.6]), (0, 1)),
        (np.array([0.0, 0.3]), (0, 0.3)),
        (np.array([0, 65535], np.uint16), (0, 65535)),
        (np.array([-2.0, 1.5]), (-2, 1.5)),
        (np.array([-3, 4], np.int8), (-3, 4)),
        (np.array([False, True]), (0, 1)),
        (np.array([0.1, np.nan, 0.9, np.inf]), (0, 1)),
        (np.array([np.nan, -np.inf]), (0, 1)),
        (np.zeros(3), (0, 1)),
        (np.full(3, 7.0), (0, 7)),
        (np.full(3, -7.0), (-7, -6)),
    ],
)
def test_range(values, expected):
    assert pictures.value_range(values) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "expected"), [([-2.0, 1.0], 2), ([0.0, 3.0], 3), ([0.0], 1), ([np.nan, -4.0], 4)]
)
def test_signed_range_is_around_zero(values, expected):
    assert pictures.signed_range(np.array(values)) == (-expected, expected)


def test_all_samples_share_a_range():
    X = np.stack([np.full((4, 4), 0.2), np.full((4, 4), 5.0)])
    image, _ = drawn(X)
    assert image.get_clim() == (0, 5)


def test_options_of_imshow():
    image, _ = drawn(np.ones((1, 4, 4)), im_kw={"cmap": "viridis", "vmin": -3, "vmax": 3})
    assert image.get_cmap().name == "viridis"
    assert image.get_clim() == (-3, 3)
    image, _ = drawn(np.ones((1, 4, 4)), im_kw={"norm": "log"})
    assert type(image.norm).__name__ == "LogNorm"


# ---------------------------------------------------------------------------
# Channels
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1)])
def test_one_channel_is_grey(shape):
    X = np.random.RandomState(0).uniform(size=(2, *shape))
    image, _ = drawn(X, kind="image")
    np.testing.assert_array_equal(image.get_array(), X[0].reshape(4, 5))
    assert image.get_cmap().name == "gray"


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.float32, 1)])
def test_three_channels_are_colours(dtype, top):
    X = np.zeros((1, 2, 2, 3), dtype)
    X[0, 0, 1] = top, 0, 0
    X[0, 1, 0] = 0, top, top
    image, _ = drawn(X)
    rgba = np.asarray(image.get_array())
    np.testing.assert_allclose(rgba[0, 1], [1, 0, 0, 1])
    np.testing.assert_allclose(rgba[1, 0], [0, 1, 1, 1])
    np.testing.assert_allclose(rgba[1, 1], [0, 0, 0, 1])


def test_colours_with_negative_values_are_brought_into_range():
    X = np.full((1, 2, 2, 3), -1.0)
    X[0, 0, 0] = 3, 1, -1
    image, _ = drawn(X)
    np.testing.assert_allclose(np.asarray(image.get_array())[0, 0], [1, 0.5, 0, 1])


@pytest.mark.parametrize("n_channels", [2, 4, 7])
def test_other_numbers_of_channels_are_drawn_by_their_mean(n_channels):
    X = np.random.RandomState(0).uniform(size=(1, 4, 5, n_channels))
    image, _ = drawn(X)
    np.testing.assert_allclose(image.get_array(), X[0].mean(axis=-1))
    image, _ = drawn(X, channel=1)
    np.testing.assert_array_equal(image.get_array(), X[0, :, :, 1])


def test_a_mean_of_bytes_does_not_overflow():
    image, _ = drawn(np.full((1, 4, 4, 2), 200, np.uint8))
    assert image.get_array().max() == 200


@pytest.mark.parametrize("n_channels", [1, 3])
def test_pixels_that_are_not_finite_show_what_is_behind(n_channels):
    X = np.ones((2, 4, 4, n_channels))
    X[0, 1, 2, 0] = np.nan
    X[0, 3, 3, 0] = np.inf
    image, ax = drawn(X, kind="image")
    array = image.get_array()
    hidden = np.ma.getmaskarray(array) if n_channels == 1 else np.asarray(array)[..., 3] == 0
    assert np.argwhere(hidden).tolist() == [[1, 2], [3, 3]]
    assert to_rgb(ax.get_facecolor()) == to_rgb(pictures.BAD_COLOR)
    samples = pictures.Samples(X, "image")
    samples.draw(ax, 1)
    assert ax.get_facecolor()[3] == 0


# ---------------------------------------------------------------------------
# Signals and volumes
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_channels", [1, 3, 14])
def test_signals_are_lines(n_channels):
    X = np.random.RandomState(0).normal(size=(2, 60, n_channels))
    lines, _ = drawn(X, kind="signal")
    assert len(lines) == n_channels
    for line, channel in zip(lines, X[0].T, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), channel)
    assert len({to_rgb(line.get_color()) for line in lines}) == n_channels
    lines, _ = drawn(X, kind="signal", channel=n_channels - 1)
    np.testing.assert_array_equal(lines[0].get_ydata(), X[0, :, -1])


def test_volumes_are_slices_side_by_side():
    X = np.random.RandomState(0).uniform(size=(1, 4, 3, 2))
    image, _ = drawn(X, kind="volume")
    array = image.get_array()
    assert array.shape == (7, 5)  # two by two, with a line between them
    np.testing.assert_array_equal(array[:3, :2], X[0, 0])
    np.testing.assert_array_equal(array[:3, 3:], X[0, 1])
    np.testing.assert_array_equal(array[4:, :2], X[0, 2])
    np.testing.assert_array_equal(array[4:, 3:], X[0, 3])
    assert np.ma.getmaskarray(array)[3].all()
    assert np.ma.getmaskarray(array)[:, 2].all()


def test_of_many_slices_some_are_drawn_with_the_first_and_the_last():
    volume = np.arange(50)[:, None, None] * np.ones((50, 2, 2))
    slices = pictures.slices_of(volume)[:, 0, 0]
    assert len(slices) == pictures.MAX_SLICES
    assert slices[0] == 0
    assert slices[-1] == 49
    assert np.ptp(np.diff(slices)) <= 1


@pytest.mark.parametrize(
    ("shape", "kind"),
    [((8, 8), "image"), ((60, 2), "signal"), ((4, 5, 6, 1), "volume"), ((9,), "signal")],
)
def test_kind_by_shape(shape, kind):
    assert pictures.Samples(np.ones((2, *shape))).kind == kind


# ---------------------------------------------------------------------------
# Axes and colours
# ---------------------------------------------------------------------------


def test_a_new_grid():
    figure, axes = pictures.grid_of_axes(SimpleNamespace(), None, (2, 3))
    assert axes.shape == (2, 3)
    assert all(ax.figure is figure and not ax.axison for ax in axes.flat)


def test_a_given_grid_may_have_more():
    _, given = plt.subplots(2, 4)
    figure, axes = pictures.grid_of_axes(SimpleNamespace(), given, (3, 2))
    assert axes.ravel().tolist() == given.ravel()[:6].tolist()
    assert figure is given[0, 0].figure
    with pytest.raises(ValueError, match="axes has 8 axes, but SimpleNamespace draws on 3 rows"):
        pictures.grid_of_axes(SimpleNamespace(), given, (3, 3))


@pytest.mark.parametrize(("n", "expected"), [(1, (1, 1)), (4, (1, 4)), (5, (2, 4)), (9, (3, 4))])
def test_wrapped(n, expected):
    assert pictures.wrapped(n, 4) == expected


@pytest.mark.parametrize("n", [1, 2, 10, 11, 20, 21, 150])
def test_colours_differ(n):
    colors = pictures.colors_of(n)
    assert colors.shape == (n, 3)
    assert colors.min() >= 0
    assert colors.max() <= 1
    distances = np.linalg.norm(colors[:, None] - colors, axis=2)
    neighbours = np.diagonal(distances, 1)
    assert neighbours.min(initial=1) > 0.2  # those of similar codes are easy to tell
    assert len(np.unique(colors.round(3), axis=0)) == n


def test_a_long_legend_says_how_many_more():
    figure = plt.figure(layout="constrained")
    handles = [plt.Line2D([], []) for _ in range(30)]
    legend = pictures.legend_beside(figure, handles, range(30))
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == [*map(str, range(20)), "and 10 more"]


# ---------------------------------------------------------------------------
# Places
# ---------------------------------------------------------------------------


def test_shares_in_pixels():
    places = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 0.25]])
    expected = [[-0.5, -0.5], [9.5, 7.5], [4.5, 1.5]]
    np.testing.assert_allclose(pictures.in_pixels(places, "share", (8, 10)), expected)
    np.testing.assert_array_equal(pictures.in_pixels(places, "pixels", (8, 10)), places)


@pytest.mark.parametrize(
    ("places", "x", "y"),
    [
        ([[2, 2]], (-0.5, 9.5), (7.5, -0.5)),
        ([[-2, 3], [11, 3]], (-2.5, 11.5), (7.5, -0.5)),
        ([[3, 1000]], (-0.5, 9.5), (11.5, -0.5)),
        ([[np.nan, 3]], (-0.5, 9.5), (7.5, -0.5)),
    ],
)
def test_what_lies_beyond_the_border_is_in_view(places, x, y):
    _, ax = plt.subplots()
    ax.imshow(np.zeros((8, 10)))
    pictures.keep_in_view(ax, (8, 10), [np.array(places, float)])
    assert ax.get_xlim() == x
    assert ax.get_ylim() == y


# ---------------------------------------------------------------------------
# Bad input
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (np.ones((2, 4, 4)), {"kind": "picture"}, "kind must be one of 'auto', 'signal'"),
        (np.array([["a"]]), {}, "X must hold real numbers, got dtype"),
        (np.ones(4), {}, "X must hold samples .* got shape .4,.: of one sample give"),
        (np.ones((0, 4, 4)), {}, "holds nothing to draw"),
        (np.ones((2, 4, 4)), {"kind": "volume"}, "are no volumes of 3 axes"),
        (np.ones((2, 4, 4, 3)), {"channel": 3}, "channel == 3, must be <= 2"),
        (np.ones((2, 4, 4)), {"channel": -1}, "channel == -1, must be >= 0"),
    ],
)
def test_bad_samples(X, options, message):
    with pytest.raises(ValueError, match=message):
        pictures.Samples(X, **options)


def test_bad_numbers_of_samples():
    with pytest.raises(ValueError, match="n_samples == 0, must be >= 1"):
        pictures.first_of(0, np.ones(3))
    with pytest.raises(TypeError, match="n_samples must be an instance of"):
        pictures.first_of(1.5, np.ones(3))
    assert [pictures.first_of(n, np.ones(3)) for n in (None, 2, 9)] == [3, 2, 3]
    with pytest.raises(ValueError, match="number of samples: X has 3, y has 2"):
        pictures.same_length(X=np.ones(3), proba=None, y=[1, 2])
