"""What all specs are, and names and parameters of layers inside layers."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import pickle
import re

import layer_cases as cases
import numpy as np
import pytest
from sklearn.base import clone

from sklearn_convnet.layers import (
    Conv1D,
    Conv2D,
    Conv3D,
    Dense,
    Dropout,
    Layer,
    MaxPool2D,
    Parallel,
    Residual,
    Sequential,
    Upsample2D,
)
from sklearn_convnet.layers.composition import (
    LayerComposition,
    ShapeError,
    check_layers,
    named_layers,
)
from sklearn_convnet.network import compile_network

# ---------------------------------------------------------------------------
# All layers
# ---------------------------------------------------------------------------


@cases.every_layer
def test_is_hashable_and_picklable(case):
    for layer in case.layer_list:
        assert isinstance(layer, Layer)
        assert len({layer, layer}) == 1
        assert layer != clone(layer)  # as estimators, equal only to itself
        assert repr(pickle.loads(pickle.dumps(layer))) == repr(layer)


@cases.every_layer
def test_is_no_container(case):
    """Else numpy, scikit-learn and `bool` would take a Sequential apart."""
    for layer in case.layer_list:
        for name in ("__len__", "__iter__", "__getitem__", "__contains__", "__bool__"):
            assert not hasattr(layer, name)
        assert layer


@cases.every_layer
def test_parameters(case):
    for layer in case.layer_list:
        params = layer.get_params(deep=False)
        assert all(getattr(layer, name) is value for name, value in params.items())
        assert layer.set_params(**params) is layer
        other = type(layer)(**params)
        assert repr(other) == repr(layer)
        with pytest.raises(ValueError, match="Invalid parameter 'flters'"):
            layer.set_params(flters=3)


@cases.every_layer
def test_init_only_stores(case):
    """No parameter is checked or converted before a shape is asked for."""
    for layer in case.layer_list:
        values = {name: object() for name in layer.get_params(deep=False)}
        other = type(layer)(**values)
        assert vars(other) == values


def test_repr():
    assert repr(Conv2D(6, 5)) == "Conv2D(filters=6, kernel_size=5)"
    assert repr(Dense(3, activation=None)) == "Dense(activation=None, units=3)"
    assert repr(Sequential([("a", Dense(3))])) == "Sequential(layers=[('a', Dense(units=3))])"


# ---------------------------------------------------------------------------
# Names
# ---------------------------------------------------------------------------


def names(layers):
    return [name for name, _ in named_layers(layers)]


def test_names_are_counted():
    layers = [Conv2D(2, 3), MaxPool2D(2), Conv2D(2, 3), "passthrough", Dense(2)]
    assert names(layers) == [
        "conv2d1",
        "maxpool2d1",
        "conv2d2",
        "passthrough1",
        "dense1",
    ]


def test_names_avoid_those_given():
    layers = [Dense(2), ("dense1", Dense(3)), Dense(4), ("x", Dense(5)), Dense(6)]
    assert names(layers) == ["dense2", "dense1", "dense3", "x", "dense4"]


@pytest.mark.parametrize("layers", [None, 3, "layers", Dense(2), {"a": Dense(2)}])
def test_reading_tolerates_anything(layers):
    assert named_layers(layers) == []
    assert Sequential(layers).get_params(deep=False) == {"layers": layers}
    with pytest.raises(TypeError, match="layers must be a list or tuple"):
        Sequential(layers).output_shape((4,))


@pytest.mark.parametrize("item", [None, 3, "dense", Dense, ("a", 3), ("a", Dense(2), 1), (1,)])
def test_what_is_no_layer(item):
    layers = [Dense(2), item, ("b", Dense(3))]
    assert names(layers) == ["dense1", "b"]
    with pytest.raises(TypeError, match="must be a layer, 'passthrough' or a"):
        check_layers(layers)


@pytest.mark.parametrize("name", ["", "a__b", "a/b", "__"])
def test_names_not_allowed(name):
    with pytest.raises(ValueError, match="not allowed"):
        check_layers([(name, Dense(2))])


def test_reserved_and_repeated_names():
    assert check_layers([("output", Dense(2))])
    with pytest.raises(ValueError, match=r"'output'.*not allowed"):
        check_layers([("output", Dense(2))], reserved=("output",))
    with pytest.raises(ValueError, match="'a' occurs twice"):
        check_layers([("a", Dense(2)), ("a", Dense(3))])


def test_passthrough_is_left_out():
    pairs = check_layers(["passthrough", ("a", Dense(2)), ("b", "passthrough")])
    assert [name for name, _ in pairs] == ["a"]


# ---------------------------------------------------------------------------
# Parameters
# ---------------------------------------------------------------------------


@pytest.fixture
def block():
    inner = Sequential([("conv", Conv2D(4, 3)), Dropout(0.1)])
    return Sequential([("inner", inner), MaxPool2D(2), ("out", Dense(5))])


def test_get_params(block):
    params = block.get_params()
    assert params["layers"] is block.layers
    assert params["inner"] is block.layers[0][1]
    assert params["inner__conv__filters"] == 4
    assert params["inner__dropout1__rate"] == 0.1
    assert params["maxpool2d1__pool_size"] == 2
    assert params["out__units"] == 5
    assert block.get_params(deep=False) == {"layers": block.layers}


def test_set_params_at_any_depth(block):
    given = block.layers
    assert block.set_params(inner__conv__filters=7, maxpool2d1__stride=1, out__units=2) is block
    assert block.layers is given
    assert block.get_params()["inner__conv__filters"] == 7
    assert block.output_shape((6, 6, 1)) == (2,)


def test_replacing_a_layer(block):
    given = block.layers
    before = list(given)
    new = Conv2D(3, 2)
    block.set_params(maxpool2d1=new)
    assert given == before  # the user's list is as it was
    assert names(block.layers) == ["inner", "maxpool2d1", "out"]
    assert block.get_params()["maxpool2d1"] is new
    block.set_params(inner__conv="passthrough", maxpool2d1="passthrough")
    assert block.output_shape((6, 6, 1)) == (5,)
    assert names(block.layers[0][1].layers) == ["conv", "dropout1"]


def test_replacing_and_setting_at_once(block):
    block.set_params(out=Dense(3), out__activation="tanh")
    assert repr(block.get_params()["out"]) == "Dense(activation='tanh', units=3)"
    block.set_params(layers=[("only", Dense(2))], only__units=9)
    assert block.output_shape((4,)) == (9,)


def test_tuples_stay_tuples():
    block = Sequential((Dense(2), Dense(3)))
    block.set_params(dense1=Dense(4))
    assert isinstance(block.layers, tuple)


@pytest.mark.parametrize(
    "wrong",
    [
        {"outer": Dense(2)},
        {"inner__con__filters": 2},
        {"inner__conv__flters": 2},
        {"out": 3},
        {"out": None},
        {"maxpool2d2__stride": 2},
        {"layers__units": 3},
        {"out": "passthrough", "out__units": 3},
    ],
    ids=repr,
)
def test_nothing_is_set_if_a_key_is_wrong(block, wrong):
    before = repr(block)
    with pytest.raises(ValueError):
        block.set_params(inner__conv__filters=99, **wrong)
    assert repr(block) == before


def test_clone_is_deep(block):
    other = clone(block)
    other.set_params(inner__conv__filters=9)
    assert block.get_params()["inner__conv__filters"] == 4
    other = copy.deepcopy(block)
    other.set_params(out__units=9)
    assert block.get_params()["out__units"] == 5


# ---------------------------------------------------------------------------
# Errors inside
# ---------------------------------------------------------------------------


def test_path_of_an_error(block):
    outer = Sequential([("first", block)])
    with pytest.raises(ShapeError, match=r"layer 'first/inner/conv'.*shape \(2, 2, 1\)"):
        outer.output_shape((2, 2, 1))
    block.set_params(inner__dropout1__rate=2.0)
    with pytest.raises(ShapeError, match=r"layer 'first/inner/dropout1'.*'rate'"):
        outer.output_shape((9, 9, 1))


def halved(factors):
    """Maps beside themselves, made smaller by whole factors and larger again."""
    return Parallel(["passthrough", [MaxPool2D(factors), Upsample2D(factors)]])


@pytest.mark.parametrize(
    ("layers", "shape", "needs"),
    [
        ([halved(2)], (9, 8, 1), {"height": 2, "width": 2}),
        ([halved((1, 3))], (9, 8, 1), {"width": 3}),
        ([halved((2, 5))], (8, 7, 1), {"height": 2, "width": 5}),
        ([Conv2D(2, 1), halved(6)], (10, 12, 1), {"height": 6, "width": 6}),
        (
            [MaxPool2D(3), ("block", Sequential([halved(4)]))],
            (35, 37, 1),
            {"height": 12, "width": 12},
        ),
        ([Residual([halved((2, 1)), Conv2D(3, 1)])], (5, 5, 3), {"height": 2}),
        (
            [Residual([MaxPool2D(2), Upsample2D(2)], shortcut="identity")],
            (6, 5, 2),
            {"height": 2, "width": 2},
        ),
    ],
)
def test_what_must_divide_sizes_that_meet(layers, shape, needs):
    with pytest.raises(ShapeError) as caught:
        compile_network(layers, shape)
    text = str(caught.value)
    told = dict(re.findall(r"the (\w+) must be a multiple of (\d+)", text))
    assert told == {name: str(divisor) for name, divisor in needs.items()}
    sizes = tuple(map(int, re.search(r"as in \((\d+), (\d+)\)", text).groups()))
    compile_network(layers, (*sizes, shape[-1]))
    for axis, name in enumerate(("height", "width")):
        assert 0 <= sizes[axis] - shape[axis] < needs.get(name, 1)
    assert str(pickle.loads(pickle.dumps(caught.value))) == text


@pytest.mark.parametrize(
    "block",
    [
        Parallel([Conv2D(2, 3), Conv2D(2, 1)]),
        Residual([Conv2D(3, 3)], shortcut="identity"),
        Residual([Dense(4)], shortcut="identity"),
    ],
)
def test_where_no_size_would_do(block):
    with pytest.raises(ShapeError) as caught:
        compile_network([block], (9, 9, 3))
    assert "multiple" not in str(caught.value)


@pytest.mark.parametrize("conv", [Conv1D, Conv2D, Conv3D])
def test_a_residual_of_a_valid_convolution(conv):
    shape = (*[9] * conv.n_axes, 2)
    with pytest.raises(ValueError, match=r"no stride explains.*padding='same'"):
        Residual([conv(2, 3)]).output_shape(shape)
    assert Residual([conv(2, 3, padding="same")]).output_shape(shape) == shape
    halved = Residual([conv(4, 3, stride=2, padding="same")]).output_shape(shape)
    assert halved == (*[5] * conv.n_axes, 4)


def test_shape_error_is_picklable():
    error = ShapeError("a/b", "too small")
    other = pickle.loads(pickle.dumps(error))
    assert (str(other), other.path) == (str(error), "a/b")
    assert isinstance(other, ValueError)


def sizes_of(layer):
    """The parameters that hold a number for each axis."""
    return {
        name: value
        for name, value in layer.get_params(deep=False).items()
        if isinstance(value, tuple) or (isinstance(value, list) and isinstance(value[0], tuple))
    }


def as_arrays(sizes):
    """An array, or a tuple of arrays and integers for a padding of both."""
    if len({np.shape(size) for size in sizes}) == 1:
        return np.array(sizes)
    return tuple(map(np.array, sizes))


WITH_SIZES = {
    name: case
    for name, case in cases.CASES.items()
    if isinstance(case.layers, Layer)
    and not isinstance(case.layers, LayerComposition)
    and sizes_of(case.layers)
}


@pytest.mark.parametrize("name", WITH_SIZES)
def test_sizes_may_be_arrays(name):
    case = WITH_SIZES[name]
    arrays = {key: as_arrays(value) for key, value in sizes_of(case.layers).items()}
    layer = clone(case.layers).set_params(**arrays)
    expected = case.layers.output_shape(case.shape)
    copied = clone(layer)
    assert copied.output_shape(case.shape) == expected
    assert all(type(size) is int for size in copied.output_shape(case.shape))
    assert "array(" in repr(copied)
    X = case.batch()
    networks = (compile_network([one], case.shape, random_state=0) for one in (case.layers, copied))
    plain, of_arrays = (network.forward(X) for network in networks)
    np.testing.assert_array_equal(plain, of_arrays)


@pytest.mark.parametrize("wrong", [[3.0, 3.0], [[3, 3]], [3, 3, 3], [True, True]])
def test_arrays_that_are_no_sizes(wrong):
    for layer in (Conv2D(2, np.array(wrong)), MaxPool2D(2, stride=np.array(wrong))):
        with pytest.raises(ValueError, match="must be an integer of at least 1 or a tuple of 2"):
            layer.output_shape((8, 8, 1))
