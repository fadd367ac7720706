"""Receptive fields, against what changes when the input does."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from fractions import Fraction
from math import prod

import layer_cases
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.pipeline import make_pipeline

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import alexnet, resnet, unet, vgg
from sklearn_convnet.inspection import ReceptiveField, receptive_field
from sklearn_convnet.layers import (
    Activation,
    AvgPool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    ConvTranspose1D,
    ConvTranspose2D,
    Cropping2D,
    Dense,
    DenseBlock,
    DepthwiseConv1D,
    DepthwiseConv2D,
    DepthwiseConv3D,
    Flatten,
    Gate,
    GlobalAvgPool,
    HeterogeneousMaxPool,
    Layer,
    LocalResponseNorm,
    LpPool1D,
    LpPool2D,
    LpPool3D,
    Maxout,
    MaxPool1D,
    MaxPool2D,
    Parallel,
    Rescale,
    Residual,
    SelfAttention,
    SeparableConv1D,
    SeparableConv2D,
    SeparableConv3D,
    Sequential,
    SqueezeExcite,
    Standardize,
    TransformConv2D,
    TransformPool,
    Upsample1D,
    Upsample2D,
    Upsample3D,
    Window,
    ZeroPadding2D,
    pointwise,
)
from sklearn_convnet.layers.fields import Field, fields_of
from sklearn_convnet.layers.tree import parts_of_network
from sklearn_convnet.network import Node, compile_network, executes

# ---------------------------------------------------------------------------
# Perturbation
# ---------------------------------------------------------------------------


def positive_network(layers, shape):
    """A network whose weights are positive: what a unit sees cannot cancel."""
    network = compile_network(layers, shape, dtype="float64", random_state=0)
    rng = np.random.RandomState(0)
    for weight in network.parameters().values():
        weight[...] = rng.uniform(0.5, 1, weight.shape)
    return network


def influence(network, change):
    """Whether a change of all channels at a position of the input changes a unit: an array of
    shape (*input sizes, *output sizes)."""
    shape = network.input_shape
    X = np.random.RandomState(1).uniform(0.1, 1, shape)
    n = prod(shape[:-1])
    changed = np.repeat(X[None], n, axis=0)
    changed.reshape(n, n, shape[-1])[np.arange(n), np.arange(n)] += change
    differs = (network.forward(changed) != network.forward(X[None])).any(axis=-1)
    return differs.reshape(*shape[:-1], *network.output_shape[:-1])


def hull(seen):
    """The slices that hold all that is True."""
    if not seen.any():
        return (slice(0, 0),) * seen.ndim
    return tuple(slice(int(p.min()), int(p.max()) + 1) for p in np.nonzero(seen))


def check(network, *, exact=True, change=1e3, limit=25):
    """Compares slices of units of the last layer with what is seen to change them."""
    changes = influence(network, change)
    field = receptive_field(network, -1)
    units = list(np.ndindex(network.output_shape[:-1]))
    picked = np.random.RandomState(2).permutation(len(units))[:limit]
    for unit in [units[i] for i in picked]:
        seen = changes[(..., *unit)]
        slices = receptive_field(network, -1, unit).slices
        if exact:
            assert slices == hull(seen), unit
        seen[slices] = False
        assert not seen.any(), unit
        assert all(s.stop - s.start <= n for s, n in zip(slices, field.size, strict=True))


def sees_nothing(network):
    """Whether along some axis some unit sees nothing."""
    parts = parts_of_network(network.layers, network.input_shape)
    fields = fields_of(parts, Field.of_input(network.input_shape))
    return any((axis.last < 0).any() for field in fields.values() for axis in field.axes)


CONVOLUTIONS = {
    "conv": [Conv2D(2, 3, activation=None)],
    "stride": [Conv2D(2, 3, stride=2), Conv2D(2, (2, 3), stride=(1, 2))],
    "same": [Conv2D(2, 4, padding="same", stride=2), Conv2D(2, 3, padding="same")],
    "a row is left off, and padding after it": [MaxPool2D(2), Conv2D(2, 3, padding=1)],
    "dilation": [Conv2D(2, 3, dilation=(2, 3))],
    "dilation of pools": [MaxPool2D(2, stride=1), Conv2D(2, 2, dilation=4)],
    "padding beyond the filter": [Conv2D(2, 1, padding=2)],
    "uneven padding": [Conv2D(2, 3, padding=((2, 0), (0, 3)), stride=2), AvgPool2D(2)],
    "groups": [Conv2D(4, 1), Conv2D(4, 3, groups=2)],
    "depthwise": [DepthwiseConv2D(3, stride=2, multiplier=2)],
    "separable": [SeparableConv2D(3, 3, stride=2, padding="same"), MaxPool2D(2)],
    "transforms": [TransformConv2D(2, 3, stride=2), Conv2D(1, 2)],
    "transforms at depth": [
        TransformConv2D(2, 3, stride=2),
        BatchNorm(n_transforms=4),
        TransformConv2D(1, 2, group_input=True),
        TransformPool(4, "mean"),
    ],
    "pools": [MaxPool2D(3, stride=2), AvgPool2D(2, stride=1), LpPool2D(2)],
    "pool that leaves rows out": [MaxPool2D(2, stride=3), Conv2D(2, 2)],
    "heterogeneous": [Conv2D(4, 1), HeterogeneousMaxPool([1, (4, 3)], stride=2), Conv2D(2, 2)],
    "small heterogeneous": [Conv2D(2, 1), HeterogeneousMaxPool([1, 2], stride=5)],
    "transposed": [MaxPool2D(2), ConvTranspose2D(2, 3, stride=2), Conv2D(2, 3, padding="same")],
    "transposed with gaps": [MaxPool2D(3), ConvTranspose2D(2, 1, stride=3), Conv2D(2, 2)],
    "gaps and dilation": [ConvTranspose2D(2, 1, stride=2), Conv2D(2, 2, dilation=2)],
    "transposed, cut": [
        AvgPool2D(2),
        ConvTranspose2D(2, 4, stride=3, padding=(1, (2, 0)), output_padding=(0, 2)),
    ],
    "transposed, dilated": [
        AvgPool2D(2),
        ConvTranspose2D(2, 3, stride=(1, 2), dilation=(2, 3), padding=(1, 0)),
        Conv2D(2, 2),
    ],
    "nearest": [AvgPool2D(2), Upsample2D((2, 3)), Conv2D(2, 3)],
    "bilinear": [AvgPool2D(2), Upsample2D((3, 2), interpolation="bilinear"), Conv2D(2, 2)],
    "borders": [
        ZeroPadding2D((1, (2, 0))), Conv2D(2, 3, stride=2), Cropping2D(((0, 1), 1)), Conv2D(2, 2),
    ],
    "more zeros than the filter sees": [ZeroPadding2D(3), Conv2D(2, 2, stride=2)],
    "pointwise": [
        Rescale(0.5), Standardize(), BatchNorm(), LocalResponseNorm(), Activation("softplus"),
        Conv2D(2, 3),
    ],
    "dense after rows that nobody sees": [Conv2D(2, 3, stride=3), Dense(3, activation=None)],
    "global": [Conv2D(2, 2, stride=3), GlobalAvgPool(), Dense(2)],
    "residual": [MaxPool2D(2), Residual([Conv2D(3, 3, padding="same")] * 2), Conv2D(2, 2)],
    "projection": [Residual([Conv2D(3, 3, stride=2, padding="same"), Conv2D(3, 1)])],
    "parallel": [
        Parallel([
            Conv2D(2, (1, 5), padding="same"),
            [Conv2D(1, 1), Conv2D(2, (5, 1), padding="same")],
            "passthrough",
        ]),
        AvgPool2D(2),
    ],
    "branches of two strides": [
        Parallel([Conv2D(2, 2, stride=3), Sequential([MaxPool2D(2), Conv2D(1, (2, 3))])]),
        Conv2D(2, 2, padding=1),
    ],
    "dense block": [DenseBlock([Conv2D(2, 3, padding="same")] * 3), MaxPool2D(2)],
    "gate of positions": [MaxPool2D(2), Gate([Conv2D(1, 3, padding="same")]), Conv2D(2, 2)],
    "gate of channels": [Conv2D(4, 3), SqueezeExcite(), Maxout(), Conv2D(2, 2)],
    "one sees all": [
        Parallel([
            Conv2D(2, 3, padding="same"),
            [Conv2D(2, (8, 3), padding=((7, 7), 2), dilation=2, stride=1)],
        ])
    ],
}  # fmt: skip
SHAPES = {"branches of two strides": (9, 10, 1)}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_slices_are_what_changes_a_unit(name):
    check(positive_network(CONVOLUTIONS[name], SHAPES.get(name, (11, 10, 2))), limit=10**4)


@pytest.mark.parametrize(
    "layers",
    [
        [Conv1D(2, 3, stride=2), MaxPool1D(2), ConvTranspose1D(2, 3, stride=3)],
        [MaxPool1D(4), ConvTranspose1D(3, 4, stride=4, padding="same")],
        [DepthwiseConv1D(3, stride=2), LpPool1D(3), Upsample1D(3, interpolation="linear")],
        [SeparableConv1D(4, 3, dilation=2), HeterogeneousMaxPool([2, 5], stride=3), Upsample1D(2)],
    ],
    ids=["down and up", "down and up again", "one of each", "and others"],
)
def test_slices_of_signals(layers):
    check(positive_network(layers, (31, 2)))


def test_slices_of_volumes():
    layers = [
        DepthwiseConv3D((1, 2, 2)), LpPool3D((2, 1, 2)), Upsample3D((1, 2, 3), "linear"),
        SeparableConv3D(4, 2), HeterogeneousMaxPool([(1, 2, 1), (2, 1, 3)], stride=(1, 2, 2)),
    ]  # fmt: skip
    check(positive_network(layers, (6, 5, 5, 2)), limit=10**3)


@pytest.mark.parametrize(
    "layers",
    [[SelfAttention(), Conv2D(2, 3)], [Conv2D(2, 3, stride=3), SelfAttention(2), MaxPool2D(2)]],
    ids=["at the begin", "later"],
)
def test_attention_sees_all(layers):
    network = positive_network(layers, (8, 8, 2))
    check(network, exact=False, change=0.1)
    field = receptive_field(network, -1)
    assert field.stride == (0, 0)
    assert field.slices == ((slice(0, 8),) * 2 if len(layers) == 2 else (slice(0, 6),) * 2)


@layer_cases.every_case
def test_what_any_layer_sees_is_inside(case):
    network = case.network()
    if len(network.input_shape) > 1:
        check(network, exact=False, change=0.3)
    else:
        assert receptive_field(network, -1).slices == ()


PADDINGS = st.sampled_from(["valid", "same"])


@st.composite
def layers(draw, depth=2, keeps_size=False):
    kinds = ["conv", "pool", "dilated", "point"]
    if not keeps_size:
        kinds += ["transposed", "up"]
    if depth:
        kinds += ["residual", "parallel", "dense", "sequential"]
    kind = draw(st.sampled_from(kinds))
    size = draw(st.integers(1, 3))
    options = {"stride": 1, "padding": "same"}
    if not keeps_size:
        options = {"stride": draw(st.integers(1, 3)), "padding": draw(PADDINGS)}
    inner = layers(depth - 1, True)
    match kind:
        case "conv":
            return Conv2D(2, size, activation=None, **options)
        case "dilated":
            return Conv2D(2, size, activation=None, dilation=2, **options)
        case "pool":
            return draw(st.sampled_from([MaxPool2D, AvgPool2D]))(size, **options)
        case "transposed":
            return ConvTranspose2D(2, draw(st.integers(1, 4)), stride=draw(st.integers(1, 3)))
        case "up":
            how = draw(st.sampled_from(["nearest", "bilinear"]))
            return Upsample2D(draw(st.integers(1, 3)), interpolation=how)
        case "residual":
            return Residual([*draw(st.lists(inner, max_size=2)), Conv2D(2, 1)], shortcut="auto")
        case "parallel":
            return Parallel(draw(st.lists(st.lists(inner, max_size=2), min_size=1, max_size=3)))
        case "dense":
            return DenseBlock(draw(st.lists(inner, min_size=1, max_size=2)))
        case "sequential":
            return Sequential(draw(st.lists(layers(depth - 1, keeps_size), max_size=2)))
        case _:
            return BatchNorm()


@settings(max_examples=120, deadline=None)
@given(stack=st.lists(layers(), min_size=1, max_size=5), height=st.integers(4, 12))
def test_random_networks(stack, height):
    try:
        network = positive_network(stack, (height, 9, 1))
    except ValueError:  # a shape that does not fit
        assume(False)
    assume(len(network.table) > 0 and prod(network.output_shape) < 10_000)
    # A branch that sees nothing but padding along one axis counts along the others.
    check(network, exact=not sees_nothing(network), limit=8)


# ---------------------------------------------------------------------------
# Numbers that are known
# ---------------------------------------------------------------------------


def network_of(layers, shape):
    return compile_network(layers, shape, random_state=0)


@pytest.mark.parametrize(
    ("layers", "shape", "layer", "size", "stride"),
    [  # from "Computing receptive fields of convolutional neural networks"
        (alexnet(), (227, 227, 3), "pool3", 195, 32),
        (vgg("D"), (224, 224, 3), "pool5", 212, 32),
        (resnet(50), (224, 224, 3), "stage4", 483, 32),
        (resnet(101), (224, 224, 3), "stage4", 1027, 32),
    ],
    ids=["alexnet", "vgg16", "resnet50", "resnet101"],
)
def test_sizes_in_the_literature(layers, shape, layer, size, stride):
    layers = [pair for pair in layers if not isinstance(pair[1], Dense)]
    field = receptive_field(network_of(layers, shape), layer)
    assert (field.size, field.stride) == ((size,) * 2, (stride,) * 2)
    assert field.slices is None


def test_whole_strides_and_starts():
    network = network_of([Conv2D(2, (5, 3), padding=(2, 0)), MaxPool2D((2, 3))], (28, 28))
    assert receptive_field(network, "conv2d1") == ReceptiveField((5, 3), (1, 1), (-2, 0))
    assert receptive_field(network, "maxpool2d1", unit=(0, 2)) == ReceptiveField(
        (6, 5), (2, 3), (-2, 0), (slice(0, 4), slice(6, 11))
    )


def test_strides_after_enlarging_are_fractions():
    network = network_of([ConvTranspose2D(2, 3, stride=2), Upsample2D((1, 3))], (6, 6))
    field = receptive_field(network, -1)
    assert field.stride == (Fraction(1, 2), Fraction(1, 6))
    assert all(isinstance(s, Fraction) for s in field.stride)
    assert field.size == (2, 2)
    back = network_of([ConvTranspose2D(2, 3, stride=2), Conv2D(2, 1, stride=2)], (6, 6))
    assert receptive_field(back, -1).stride == (1, 1)
    assert {type(s) for s in receptive_field(back, -1).stride} == {int}


def test_a_unet_sees_both_ways():
    network = network_of(unet(0.1, 3), (32, 32, 1))
    field = receptive_field(network, -1)
    assert field.stride == (1, 1)
    assert field.size[0] > 40


def test_layers_at_any_depth():
    inner = Sequential([("a", Conv2D(2, 3, padding="same")), ("b", Conv2D(2, 3, padding="same"))])
    block = Residual([("two", inner), Conv2D(3, 3, padding="same")])
    network = network_of([("first", MaxPool2D(2)), ("block", block)], (12, 12, 1))
    sizes = {
        path: receptive_field(network, path).size[0]
        for path in (
            "first", "block/two/a", "block/two/b", "block/two", "block/conv2d1",
            "block/shortcut/conv", "block/shortcut/norm", "block",
        )
    }  # fmt: skip
    assert list(sizes.values()) == [2, 6, 10, 10, 14, 2, 2, 14]
    shortcut = Residual([Conv2D(3, 3, padding="same")], shortcut=Conv2D(3, 1))
    network = network_of([Parallel([shortcut, [Conv2D(1, 1)]])], (6, 6))
    for path in ("parallel1/branch1/shortcut", "parallel1/branch2/conv2d1"):
        assert receptive_field(network, path).size == (1, 1)


def test_estimators_and_output_layers(digits):
    X, y = digits
    layers = [("conv", Conv2D(4, 3)), ("block", Sequential([MaxPool2D(2)])), Flatten(), Dense(8)]
    boxes = np.tile([0.0, 0.0, 4.0, 4.0], (len(y), 1))
    clf = ConvNetClassifier(layers, max_iter=1, random_state=0).fit(X, y, boxes=boxes)
    whole = ReceptiveField((8, 8), (0, 0), (0, 0), (slice(0, 8),) * 2)
    for layer in ("output", "box", "dense1", -1, -2, -3):
        assert receptive_field(clf, layer) == whole
    assert receptive_field(clf, 1) == receptive_field(clf, "block")
    assert receptive_field(clf, "block/maxpool2d1").size == (4, 4)
    assert receptive_field(clf.network_, "conv", (1, 2)).slices == (slice(1, 4), slice(2, 5))
    with pytest.raises(ValueError, match="layer=6 does not exist: the network has 6 layers"):
        receptive_field(clf, 6)


def test_flat_samples_have_no_axes():
    network = network_of([Standardize(), Dense(3)], (5,))
    for layer in ("standardize1", "dense1"):
        assert receptive_field(network, layer, ()) == ReceptiveField((), (), (), ())


def test_layers_of_ones_own():
    class Own(Layer):
        pass

    class Pointwise(Layer):
        def windows(self, input_shape):
            return pointwise(input_shape)

    @executes(Own, Pointwise)
    class OwnNode(Node):
        def __init__(self, layer, path, input_shape):
            super().__init__(path, input_shape, input_shape)

    network = network_of([Conv2D(2, 3), Pointwise(), Own(), Conv2D(1, 1)], (6, 6))
    assert receptive_field(network, "pointwise1").size == (3, 3)
    assert receptive_field(network, "own1").slices == (slice(0, 6),) * 2
    assert receptive_field(network, "conv2d2", (1, 1)).stride == (0, 0)


def test_windows():
    assert Window().positions(3).tolist() == [3]
    assert Window(3, stride=2, start=-1, dilation=2).positions(1).tolist() == [1, 3, 5]
    assert Window(4, start=-3, divisor=2).positions(4).tolist() == [1, 2]
    assert Window(1, divisor=3).positions(4).tolist() == []


# ---------------------------------------------------------------------------
# Wrong calls
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["conv", "block", "block/conv2d3"])
def test_a_layer_that_is_not_there(layer):
    network = network_of([Residual([Conv2D(1, 3, padding="same")])], (6, 6))
    with pytest.raises(
        ValueError, match=f"there is no layer '{layer}': the layers are 'residual1'"
    ):
        receptive_field(network, layer)


@pytest.mark.parametrize("layer", [None, 1.0, True, ()])
def test_what_is_no_layer(layer):
    with pytest.raises(TypeError, match="a layer must be given by its path"):
        receptive_field(network_of([Conv2D(1, 3)], (6, 6)), layer)


def test_the_whole_network():
    network = network_of([Conv2D(1, 3), MaxPool2D(2)], (6, 6))
    assert receptive_field(network, "") == receptive_field(network, -1)


@pytest.mark.parametrize("index", [-2, 1])
def test_an_index_that_is_not_there(index):
    with pytest.raises(ValueError, match=f"layer={index} does not exist: the network has 1"):
        receptive_field(network_of([Conv2D(1, 3)], (6, 6)), index)


@pytest.mark.parametrize("unit", [0, (0,), (0, 4), (-1, 0), (0, 0, 0), (0.0, 1), (True, 0), "ab"])
def test_a_unit_that_is_not_there(unit):
    network = network_of([Conv2D(1, 3), Dense(2)], (6, 6))
    with pytest.raises(
        ValueError, match=r"unit of layer 'conv2d1' must be a position on its \(4, 4"
    ):
        receptive_field(network, "conv2d1", unit)
    with pytest.raises(ValueError, match=r"unit of layer 'dense1' must be .* no positions"):
        receptive_field(network, "dense1", 1)


def test_units_may_be_arrays():
    network = network_of([Conv1D(1, 3)], (9, 1))
    for unit in (2, np.int64(2), (2,), np.array([2])):
        assert receptive_field(network, "conv1d1", unit).slices == (slice(2, 5),)


def test_what_is_no_network(digits):
    X, y = digits
    clf = ConvNetClassifier([Dense(2)], max_iter=1)
    with pytest.raises(TypeError, match="of a pipeline, give the last step"):
        receptive_field(make_pipeline(clf).fit(X, y), "dense1")
    with pytest.raises(ValueError, match="not fitted yet"):
        receptive_field(ConvNetClassifier(), "dense1")


def test_every_path_of_a_probe_has_a_field():
    shortcut = Residual([Conv2D(2, 5, padding="same", stride=2)])  # of a projection
    network = network_of([("conv", Conv2D(2, 3)), shortcut, DenseBlock([Conv2D(1, 1)])], (12, 12))
    fields = {path: receptive_field(network, path) for path in network.probe().paths}
    assert fields["conv/activation"] == fields["conv"]
    assert fields["residual1/shortcut"] == fields["residual1/shortcut/conv"]
    assert fields["residual1/shortcut"].size < fields["residual1"].size
