"""Diagrams of networks, and receptive fields over samples: what is drawn where."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

mpl.use("Agg")

from matplotlib import pyplot as plt

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import lenet5, resnet, resnet_cifar
from sklearn_convnet.inspection import (
    NetworkDisplay,
    ReceptiveFieldDisplay,
    receptive_field,
)
from sklearn_convnet.layers import (
    AuxiliaryHead,
    AvgPool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Conv3D,
    Dense,
    DenseBlock,
    Gate,
    GlobalAvgPool,
    MaxPool1D,
    MaxPool2D,
    MaxPool3D,
    Parallel,
    Residual,
    SeparableConv2D,
    Sequential,
)
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.network import compile_network


@pytest.fixture(autouse=True)
def _no_figures_left():
    yield
    plt.close("all")


BLOCKS = [
    ("same", Residual([("c", Conv2D(3, 3, padding="same")), BatchNorm()])),
    ("half", Residual([("c", Conv2D(8, 3, stride=2, padding="same"))])),
    ("side", Parallel([Conv2D(2, 1), "passthrough", [AvgPool2D(3, 1, "same"), Conv2D(3, 1)]])),
    ("dense", DenseBlock([("a", Conv2D(4, 1)), ("b", Conv2D(4, 1))])),
    ("gate", Gate([("c", Conv2D(1, 1))])),
    ("chain", Sequential([("sep", SeparableConv2D(4, 3))])),
    ("average", GlobalAvgPool()),
]


def network(layers, shape):
    return compile_network(layers, shape, random_state=0)


def bounds(display, path):
    """Left, bottom, right and top of a box."""
    box = display.boxes_[path].get_bbox()
    return box.x0, box.y0, box.x1, box.y1


def is_inside(inner, outer):
    return (
        inner[0] > outer[0] and inner[1] > outer[1] and inner[2] < outer[2] and inner[3] < outer[3]
    )


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


# ---------------------------------------------------------------------------
# The architecture
# ---------------------------------------------------------------------------


def test_layers_stand_one_below_the_other():
    display = NetworkDisplay.from_network(network([*lenet5(), ("out", Dense(10))], (28, 28, 1)))
    assert display.texts_ == {
        "input": "input\n28 x 28 x 1",
        "conv1": "conv1: Conv2D\n24 x 24 x 6, 156 parameters",
        "pool1": "pool1: AvgPool2D\n12 x 12 x 6",
        "conv2": "conv2: Conv2D\n8 x 8 x 16, 2,416 parameters",
        "pool2": "pool2: AvgPool2D\n4 x 4 x 16",
        "dense1": "dense1: Dense\n120 units, 30,840 parameters",
        "dense2": "dense2: Dense\n84 units, 10,164 parameters",
        "out": "out: Dense\n10 units, 850 parameters",
    }
    assert list(display.boxes_) == list(display.texts_)
    written = {text.get_text() for text in display.ax_.texts}
    assert {line for text in display.texts_.values() for line in text.split("\n")} <= written
    boxes = [bounds(display, path) for path in display.boxes_]
    for above, below in pairwise(boxes):
        assert above[1] > below[3]
        assert above[0] + above[2] == pytest.approx(below[0] + below[2])
    colors = {path: box.get_facecolor() for path, box in display.boxes_.items()}
    assert colors["conv1"] == colors["conv2"] != colors["pool1"]
    assert display.figure_ is display.ax_.figure
    assert display.times_ == {}


def test_text_fits_its_box():
    display = NetworkDisplay.from_network(network(BLOCKS, (12, 12, 3)))
    display.figure_.canvas.draw()
    boxes = [patch.get_window_extent() for patch in display.boxes_.values()]
    for text in display.ax_.texts:
        if text.get_text():
            extent = text.get_window_extent()
            assert any(
                box.x0 < extent.x0
                and extent.x1 < box.x1
                and box.y0 < extent.y0
                and extent.y1 < box.y1
                for box in boxes
            ), text.get_text()


def test_branches_stand_side_by_side_in_a_frame():
    display = NetworkDisplay.from_network(network(BLOCKS, (12, 12, 3)), n_columns=1)
    assert "same/c" in display.boxes_
    body, shortcut = bounds(display, "half/c"), bounds(display, "half/shortcut/conv")
    assert body[3] == pytest.approx(shortcut[3])  # they begin at the same height
    assert body[2] < shortcut[0]
    assert bounds(display, "side/branch1")[2] < bounds(display, "side/branch3")[0]
    for path in display.boxes_:
        parent = path.rpartition("/")[0].removesuffix("/shortcut")
        if parent:
            assert is_inside(bounds(display, path), bounds(display, parent)), path
    assert bounds(display, "dense/a")[1] > bounds(display, "dense/b")[3]
    assert "chain/sep/depthwise" not in display.boxes_
    signs = [
        text.get_text()
        for text in display.ax_.texts
        if text.get_text() in ("+", "×", "concatenated")
    ]
    assert signs == ["+", "+", "concatenated", "concatenated", "×"]


def test_a_shortcut_without_layers_is_a_line():
    layers = [("block", Residual([("c", Conv2D(3, 3, padding="same"))]))]
    display = NetworkDisplay.from_network(network(layers, (6, 6, 3)))
    box, frame = bounds(display, "block/c"), bounds(display, "block")
    lines = [np.array(line.get_xydata()) for line in display.ax_.get_lines()]
    beside = [xy for xy in lines if (xy[:, 0].max() > box[2]) and (xy[:, 0].max() < frame[2])]
    assert len(beside) == 2  # from the fork down, and back
    ys = np.concatenate(beside)[:, 1]
    assert ys.max() > box[3]
    assert ys.min() < box[1]


def test_a_head_ends_in_its_frame():
    head = AuxiliaryHead([("c", Conv2D(3, 3)), ("pool", GlobalAvgPool()), ("out", Dense(4))])
    layers = [Conv2D(2, 1), ("aux", head), GlobalAvgPool(), Dense(4)]
    display = NetworkDisplay.from_network(network(layers, (6, 6, 3)))
    last = bounds(display, "aux/out")
    middle = (last[0] + last[2]) / 2
    lines = [np.array(line.get_xydata()) for line in display.ax_.get_lines()]
    below = [xy for xy in lines if xy[0, 0] == pytest.approx(middle) and xy[0, 1] < last[3]]
    assert not below  # nothing leads from the head to the next layer
    frame = bounds(display, "aux")
    across = [y for xy in lines for y in xy[:, 1] if frame[1] < y < last[1]]
    assert min(across) - frame[1] > (last[1] - frame[1]) / 3  # the way around is no border
    assert not {"+", "concatenated"} & {text.get_text() for text in display.ax_.texts}


def test_boxes_do_not_overlap():
    display = NetworkDisplay.from_network(
        network([*resnet_cifar(20), ("out", Dense(10))], (32, 32, 3))
    )
    paths = list(display.boxes_)
    for i, path in enumerate(paths):
        for other in paths[:i]:
            nested = path.startswith(f"{other}/") or other.startswith(f"{path}/")
            assert nested or not overlap(bounds(display, path), bounds(display, other))
    width, height = display.figure_.get_size_inches()
    assert max(width, height) < 16


def test_what_comes_again_is_drawn_once():
    net = network([*resnet_cifar(20), ("out", Dense(10))], (32, 32, 3))
    display = NetworkDisplay.from_network(net)
    assert display.times_ == {"stage1/block1": 3, "stage2/block2": 2, "stage3/block2": 2}
    assert "stage1/block2" not in display.boxes_
    assert "stage2/block3" not in display.boxes_
    assert "3 times" in [text.get_text() for text in display.ax_.texts]
    whole = NetworkDisplay.from_network(net, collapse=False)
    assert whole.times_ == {}
    assert {"stage1/block3", "stage3/block3/norm2"} <= set(whole.boxes_)
    few = NetworkDisplay.from_network(network([Dense(3), Dense(2), Dense(2), Dense(2)], (2,)))
    assert few.times_ == {"dense3": 2}  # the second layer sees three values, not two


def test_depth():
    net = network(BLOCKS, (12, 12, 3))
    closed = NetworkDisplay.from_network(net, depth=0)
    assert list(closed.boxes_) == ["input", *(name for name, _ in BLOCKS)]
    n_parameters = sum(array.size for path, array in net.parameters().items() if path[:4] == "half")
    assert closed.texts_["half"] == f"half: Residual\n6 x 6 x 8, {n_parameters} parameters"
    once = NetworkDisplay.from_network(net, depth=1)
    assert "side/branch3/conv2d1" not in once.boxes_
    assert {"side/branch3", "chain/sep"} <= set(once.boxes_)
    whole = NetworkDisplay.from_network(net)
    assert "side/branch3/conv2d1" in whole.boxes_
    deep = NetworkDisplay.from_network(network(resnet(50), (64, 64, 3)), depth=1)
    assert len(deep.boxes_) < 30


@pytest.mark.parametrize("n_columns", [1, 2, 4, 9])
def test_columns(n_columns):
    net = network([Dense(n) for n in range(3, 10)], (2,))
    display = NetworkDisplay.from_network(net, n_columns=n_columns)
    columns = {
        round(bounds(display, path)[0] + bounds(display, path)[2], 6) for path in display.boxes_
    }
    assert len(columns) == min(n_columns, {9: 8}.get(n_columns, n_columns))
    bottoms = [bounds(display, path)[1] for path in display.boxes_]
    assert min(bottoms) >= display.ax_.get_ylim()[0]


def test_estimators_and_given_axes(digits):
    X, y = digits
    boxes = np.tile([0.0, 0.0, 4.0, 4.0], (len(y), 1))
    clf = ConvNetClassifier([("conv", Conv2D(2, 3))], max_iter=1, random_state=0)
    _, ax = plt.subplots()
    display = NetworkDisplay.from_estimator(clf.fit(X, y, boxes=boxes), ax=ax, depth=1)
    assert display.ax_ is ax
    assert {"conv", "output", "box"} <= set(display.boxes_)
    assert bounds(display, "output")[2] < bounds(display, "box")[0]
    assert display.texts_["box"] == "box: Dense\n4 units, 292 parameters"


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"depth": -1}, ValueError, "depth == -1, must be >= 0"),
        ({"depth": 1.5}, TypeError, "depth must be an instance of int"),
        ({"n_columns": 0}, ValueError, "n_columns == 0, must be >= 1"),
        ({"n_columns": "two"}, TypeError, "n_columns must be an instance of int"),
        ({"collapse": 1}, TypeError, "collapse must be True or False, got 1"),
    ],
)
def test_wrong_options(options, error, match):
    with pytest.raises(error, match=match):
        NetworkDisplay.from_network(network([Dense(2)], (2,)), **options)


def test_what_is_no_network():
    with pytest.raises(TypeError, match="expected a fitted ConvNetClassifier"):
        NetworkDisplay.from_network(lenet5())
    with pytest.raises(ValueError, match="not fitted yet"):
        NetworkDisplay.from_estimator(ConvNetClassifier())
    with pytest.raises(ValueError, match="parts is empty"):
        NetworkDisplay([], {}).plot()


@pytest.mark.parametrize("name", ["NetworkDisplay", "ReceptiveFieldDisplay"])
def test_matplotlib_is_needed_only_to_draw(name, run_python):
    printed = run_python(
        f"""
        import sys
        sys.modules["matplotlib"] = None
        from sklearn_convnet.inspection import NetworkDisplay, ReceptiveFieldDisplay
        from sklearn_convnet.layers import Dense
        from sklearn_convnet.layers.tree import parts_of
        given = {{
            "NetworkDisplay": (parts_of([Dense(2)], (3,)), {{}}),
            "ReceptiveFieldDisplay": ([[1.0, 2.0]], {{"a": (slice(0, 1), slice(0, 1))}}),
        }}
        display = {name}(*given["{name}"])
        try:
            display.plot()
        except ImportError as error:
            print(error)
        """
    )
    assert printed.startswith(f"{name}.plot requires matplotlib.")


# ---------------------------------------------------------------------------
# Receptive fields over a sample
# ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    X = np.random.RandomState(0).uniform(size=(20, 14, 12, 3))
    layers = [
        ("conv", Conv2D(4, 3)), ("norm", BatchNorm()), ("pool", MaxPool2D(2)),
        ("block", Residual([("inner", Conv2D(4, 3, padding="same"))])), Dense(3),
    ]  # fmt: skip
    return ConvNetClassifier(layers, max_iter=1, random_state=0).fit(X, np.arange(20) % 2), X


def corners(patch):
    """Rows and columns that an outline holds."""
    x, y = patch.get_xy()
    rows = slice(round(y + 0.5), round(y + 0.5 + patch.get_height()))
    return rows, slice(round(x + 0.5), round(x + 0.5 + patch.get_width()))


def test_fields_are_drawn_over_the_image(fitted):
    clf, X = fitted
    display = ReceptiveFieldDisplay.from_estimator(clf, X[0])
    assert list(display.patches_) == ["conv: 3 x 3", "pool: 4 x 4", "block: 8 x 8"]
    for name, unit in (("conv: 3 x 3", (6, 5)), ("pool: 4 x 4", (3, 2)), ("block: 8 x 8", (3, 2))):
        (patch,) = display.patches_[name]
        expected = receptive_field(clf, name.split(":")[0], unit).slices
        assert corners(patch) == expected == display.fields[name]
    (image,) = display.ax_.images
    np.testing.assert_allclose(image.get_array()[..., :3], X[0])
    texts = display.ax_.get_legend().get_texts()
    assert [text.get_text() for text in texts] == list(display.patches_)
    assert len({patch.get_edgecolor() for (patch,) in display.patches_.values()}) == 3


def test_chosen_layers_and_units(fitted):
    clf, X = fitted
    _, ax = plt.subplots()
    display = ReceptiveFieldDisplay.from_estimator(
        clf, X[0], ["block/inner", "conv", -1], units={"conv": (0, 1)}, ax=ax, channel=1
    )
    assert display.ax_ is ax
    assert display.fields["conv: 3 x 3"] == (slice(0, 3), slice(1, 4))
    assert display.fields["output: 14 x 12"] == (slice(0, 14), slice(0, 12))
    np.testing.assert_array_equal(ax.images[0].get_array(), X[0, ..., 1])
    more = ReceptiveFieldDisplay.from_estimator(clf, X[0], units={"norm": (0, 0)})
    assert list(more.fields)[-1] == "norm: 3 x 3"
    with pytest.raises(ValueError, match="units has 'pool', but layers does not"):
        ReceptiveFieldDisplay.from_estimator(clf, X[0], ["conv"], units={"pool": (0, 0)})
    with pytest.raises(ValueError, match="there is no layer 'conv9'"):
        ReceptiveFieldDisplay.from_estimator(clf, X[0], ["conv9"])
    with pytest.raises(ValueError, match="samples of shape"):
        ReceptiveFieldDisplay.from_estimator(clf, X[0, :9])


def test_signals_and_volumes():
    rng = np.random.RandomState(0)
    y = np.arange(20) % 2
    S, V = rng.normal(size=(20, 60, 2)), rng.normal(size=(20, 12, 6, 5, 1))
    signal = [("conv", Conv1D(2, 5)), ("pool", MaxPool1D(2))]
    clf = ConvNetClassifier(signal, max_iter=1, random_state=0).fit(S, y)
    display = ReceptiveFieldDisplay.from_estimator(clf, S[0])
    (patch,) = display.patches_["pool: 6"]
    assert (patch.get_x(), patch.get_width()) == (27.5, 6)
    assert len(display.ax_.get_lines()) == 2
    volume = [("conv", Conv3D(2, 3)), ("pool", MaxPool3D(2))]
    clf = ConvNetClassifier(volume, max_iter=1, random_state=0).fit(V, y)
    display = ReceptiveFieldDisplay.from_estimator(clf, V[0], ["pool"], units={"pool": (0, 1, 0)})
    # Slices 0, 1, 3, 4, 6, 7, 8, 10 and 11 of 12 are drawn, in rows of three; 0 to 3 are seen.
    patches = display.patches_["pool: 4 x 4 x 4"]
    assert [patch.get_xy() for patch in patches] == [(-0.5, 1.5), (5.5, 1.5), (11.5, 1.5)]
    assert {(patch.get_width(), patch.get_height()) for patch in patches} == {(4, 4)}


def test_crops_are_what_the_network_sees(digits):
    X, y = digits
    clf = ConvNetClassifier([Conv2D(2, 3)], multi_crop=MultiCrop(5), max_iter=1, random_state=0)
    display = ReceptiveFieldDisplay.from_estimator(clf.fit(X, y), X[0])
    assert display.ax_.images[0].get_array().shape == (5, 5)
    assert corners(display.patches_["conv2d1: 3 x 3"][0]) == (slice(1, 4), slice(1, 4))


def test_fields_that_do_not_fit():
    image = np.eye(6)
    with pytest.raises(ValueError, match="fields is empty"):
        ReceptiveFieldDisplay(image, {}).plot()
    with pytest.raises(ValueError, match="the field 'a' has 1 slices, but the image has 2 axes"):
        ReceptiveFieldDisplay(image, {"a": (slice(0, 3),)}).plot()
    fields = {"nothing": (slice(0, 0), slice(0, 0)), "all": (slice(0, 6), slice(0, 6))}
    display = ReceptiveFieldDisplay(image, fields).plot()
    assert display.patches_["nothing"] == []
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["all"]


def test_receptive_fields_over_a_row_of_a_table():
    X = pd.DataFrame(np.arange(6 * 64.0).reshape(6, 64)).add_prefix("pixel")
    clf = ConvNetClassifier([Conv2D(2, 3)], input_shape=(8, 8), max_iter=1).fit(X, [0, 1] * 3)
    display = ReceptiveFieldDisplay.from_estimator(clf, X.iloc[1])
    shown = display.ax_.images[0].get_array()
    np.testing.assert_array_equal(shown, X.to_numpy()[1].reshape(8, 8))
