"""Networks from ONNX models: what `to_onnx` writes is read back, and predicts the same."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
from io import BytesIO

import layer_cases as cases
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_runs import assert_close, run, shake
from random_networks import random_network
from sklearn.base import clone
from test_architectures import SMALL, every_small

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.interchange import from_onnx, to_onnx
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    DenseBlock,
    DepthwiseConv2D,
    GlobalAvgPool,
    MaxPool2D,
    Parallel,
    Residual,
    Sequential,
    SqueezeExcite,
)
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.network import compile_network
from sklearn_convnet.onnx_import import views

TOLERANCE = {"float32": 1e-5, "float64": 1e-7}  # constants of ONNX's attributes are in float32


def network_of(layers, weights, input_shape, dtype):
    """A network with these weights, all of them and no others."""
    network = compile_network(layers, input_shape, dtype=dtype, random_state=0)
    own = {**network.parameters(), **network.buffers()}
    assert set(own) == set(weights)
    for path, array in weights.items():
        assert own[path].shape == array.shape
        own[path][...] = array
    return network


def sample_shape(model, shape):
    """The shape of a sample in the order of the model's input."""
    axes = model.graph.input[0].type.tensor_type.shape.dim[1:]
    return tuple(axis.dim_value or size for axis, size in zip(axes, shape, strict=True))


def assert_reads_back(network, X):
    """What is read of a network's ONNX model makes the same outputs; returns the layers."""
    shake(network)
    model = to_onnx(network)
    layers, weights = from_onnx(model, input_shape=sample_shape(model, network.input_shape))
    found = network_of(layers, weights, network.input_shape, network.dtype.name).forward(X)
    expected = network.forward(X)
    tolerance = TOLERANCE[network.dtype.name]
    np.testing.assert_allclose(
        found.reshape(expected.shape), expected, tolerance, tolerance * np.abs(expected).max()
    )
    return layers


# ---------------------------------------------------------------------------
# What to_onnx writes
# ---------------------------------------------------------------------------


@cases.every_case
@cases.every_dtype
def test_every_layer_is_read_back(case, dtype):
    assert_reads_back(case.network(dtype=dtype), case.batch(3, 0).astype(dtype))


@pytest.mark.parametrize("seed", range(40))
def test_networks_of_random_layers(seed):
    layers, shape = random_network(seed)
    dtype = ("float32", "float64")[seed % 2]
    network = compile_network(layers, shape, dtype=dtype, random_state=seed)
    assert_reads_back(network, np.random.RandomState(0).normal(size=(3, *shape)).astype(dtype))


@every_small
def test_architectures(name):
    make, shape = SMALL[name]
    network = compile_network(make(), shape, random_state=0)
    assert_reads_back(network, np.random.RandomState(0).normal(size=(2, *shape)).astype("float32"))


@pytest.mark.parametrize(
    "layers",
    [
        [Conv2D(4, 3, padding="same"), BatchNorm(), Activation("silu"), MaxPool2D(2), Dense(3)],
        [Residual([Conv2D(4, 3, padding="same"), BatchNorm()]), Residual([Conv2D(6, 1)])],
        [Parallel([[Conv2D(3, 1), Conv2D(2, 3, padding="same")], "passthrough", Conv2D(5, 1)])],
        [DenseBlock([Sequential([BatchNorm(), Conv2D(2, 3, padding="same")])] * 3)],
        [DepthwiseConv2D(3, activation="relu6"), SqueezeExcite(2), GlobalAvgPool(), Dense(2)],
    ],
)
def test_blocks_are_the_same(layers):
    """But for what a layer was given and a shortcut that is made by itself."""

    def kinds(layer):
        inside = getattr(layer, "layers", None) or getattr(layer, "branches", None) or []
        return type(layer).__name__, [kinds(one) for one in inside if one != "passthrough"]

    network = compile_network(layers, (6, 8, 4), random_state=0)
    shake(network)
    model = to_onnx(network, fold_batch_norms=False)
    found, _ = from_onnx(model, input_shape=sample_shape(model, network.input_shape))
    assert [kinds(one) for one in found] == [kinds(one) for one in layers]


# ---------------------------------------------------------------------------
# Estimators
# ---------------------------------------------------------------------------


LAYERS = [Conv2D(4, 3), BatchNorm(), MaxPool2D(2)]


def digits(*shape):
    rng = np.random.RandomState(0)
    y = rng.randint(3, size=40)
    X = rng.normal(size=(40, 8, 8)) + y[:, None, None]
    return X.reshape(40, *shape).astype(np.float32), y


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((8, 8), {}),
        ((8, 8, 1), {}),
        ((1, 8, 8), {"data_format": "channels_first"}),
        ((64,), {"input_shape": (8, 8)}),
        ((64,), {"input_shape": (4, 4, 4)}),
    ],
)
def test_classifiers_predict_and_go_on(shape, options):
    X, y = digits(*shape)
    names = np.array(["a", "b", "c"])
    clf = ConvNetClassifier(LAYERS, max_iter=3, random_state=0, **options).fit(X, names[y])
    own = {name: value for name, value in options.items() if name == "data_format"}
    given = None if "input_shape" in options else shape
    found = ConvNetClassifier.from_onnx(to_onnx(clf), input_shape=given, random_state=0, **own)
    np.testing.assert_allclose(found.predict_proba(X), clf.predict_proba(X), atol=1e-6)
    assert (found.predict(X) == clf.predict(X)).all()
    assert found.classes_.tolist() == ["a", "b", "c"]
    assert found.output == "auto"
    copy = pickle.loads(pickle.dumps(found))
    for one in (found, copy):
        one.partial_fit(X, names[y])
        one.set_params(warm_start=True, max_iter=2).fit(X, names[y])
    assert np.array_equal(found.predict_proba(X), copy.predict_proba(X))
    assert found.n_iter_ == 2
    assert "output" in found.summary().__str__()
    new = clone(found).set_params(init_from=found.get_weights(), warm_start=False)
    assert new.fit(X, names[y]).n_iter_ == 2


@pytest.mark.parametrize("layers", [None, [Conv1D(4, 3)], [Conv1D(4, 3), GlobalAvgPool()]])
@pytest.mark.parametrize("n_columns", [3, 64])
def test_flat_rows_that_are_signals(layers, n_columns):
    X, y = digits(64)
    X = np.ascontiguousarray(X[:, :n_columns])
    kind = "signal" if layers is None else "auto"
    reg = ConvNetRegressor(layers, input_kind=kind, max_iter=2, random_state=0).fit(X, y)
    found = ConvNetRegressor.from_onnx(to_onnx(reg), input_shape=(n_columns,))
    assert found.network_.input_shape == reg.network_.input_shape == (n_columns, 1)
    np.testing.assert_allclose(found.predict(X), reg.predict(X), rtol=1e-5, atol=1e-6)
    assert found.partial_fit(X, y).n_features_in_ == n_columns


def test_several_labels_and_maps():
    X, y = digits(8, 8)
    indicator = np.stack([y > 0, y > 1], axis=1).astype(int)
    clf = ConvNetClassifier(LAYERS, max_iter=3, random_state=0).fit(X, indicator)
    found = ConvNetClassifier.from_onnx(to_onnx(clf), input_shape=(8, 8))
    np.testing.assert_allclose(found.predict_proba(X), clf.predict_proba(X), atol=1e-6)
    assert found.partial_fit(X, indicator).predict(X).shape == (40, 2)
    with pytest.raises(ValueError, match="leave classes out"):
        ConvNetClassifier.from_onnx(to_onnx(clf), [1, 2], input_shape=(8, 8))
    maps = (X > 0.5).astype(int)
    same = [Conv2D(4, 3, padding="same")]
    clf = ConvNetClassifier(same, max_iter=2, random_state=0).fit(X, maps)
    found = ConvNetClassifier.from_onnx(to_onnx(clf), input_shape=(8, 8))
    assert np.array_equal(found.predict(X), clf.predict(X))
    reg = ConvNetRegressor(same, max_iter=2, random_state=0).fit(X, 100 + 3 * X)
    found = ConvNetRegressor.from_onnx(to_onnx(reg), input_shape=(8, 8))
    np.testing.assert_allclose(found.predict(X), reg.predict(X), rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (1,), (2,), (3, 2)])
def test_regressors_predict_in_units(shape):
    X, y = digits(8, 8)
    Y = (
        1000
        + 50 * np.random.RandomState(1).normal(size=(40, *shape))
        + y.reshape(-1, *[1] * len(shape))
    )
    kind = {"target": "points", "point_units": "pixels"} if len(shape) == 2 else {}
    reg = ConvNetRegressor(LAYERS, max_iter=3, random_state=0, **kind).fit(X, Y)
    found = ConvNetRegressor.from_onnx(to_onnx(reg), input_shape=(8, 8), **kind)
    assert found.predict(X).shape == Y.shape
    np.testing.assert_allclose(found.predict(X), reg.predict(X), rtol=1e-5)
    assert found.partial_fit(X, Y).n_iter_ == 1


@pytest.mark.parametrize("output", [{}, {"output": None}])
def test_counts(output):
    X, y = digits(8, 8)
    layers = [*LAYERS, Dense(1, activation=None)] if output else LAYERS
    reg = ConvNetRegressor(layers, max_iter=3, loss="poisson", random_state=0, **output).fit(X, y)
    model = to_onnx(reg)
    found = ConvNetRegressor.from_onnx(model)
    assert found.loss == "poisson"
    np.testing.assert_allclose(found.predict(X), reg.predict(X), rtol=1e-5)
    assert found.partial_fit(X, y).out_activation_ == "exp"
    with pytest.raises(ValueError, match="'huber' has the output activation 'identity', but the"):
        ConvNetRegressor.from_onnx(model, loss="huber")
    plain = to_onnx(ConvNetRegressor(LAYERS, max_iter=1, random_state=0).fit(X, y))
    with pytest.raises(ValueError, match="'poisson' has the output activation 'exp', but the"):
        ConvNetRegressor.from_onnx(plain, loss="poisson")
    with pytest.raises(NotImplementedError, match="the function exp is a part of no layer"):
        from_onnx(model)


def test_a_network_without_weights():
    network = compile_network([MaxPool2D(2)], (4, 6, 2))
    X = np.random.RandomState(0).normal(size=(3, 4, 6, 2)).astype(np.float32)
    found = ConvNetRegressor.from_onnx(to_onnx(network), input_shape=(4, 6, 2))
    np.testing.assert_array_equal(found.predict(X), network.forward(X))


def test_classes_that_are_not_sorted():
    X, y = digits(8, 8)
    clf = ConvNetClassifier(LAYERS, max_iter=3, random_state=0).fit(X, y)
    found = ConvNetClassifier.from_onnx(to_onnx(clf), ["z", "x", "y"], input_shape=(8, 8))
    assert found.classes_.tolist() == ["x", "y", "z"]
    P = clf.predict_proba(X)[:, [1, 2, 0]]
    np.testing.assert_allclose(found.predict_proba(X), P, atol=1e-6)
    with pytest.raises(ValueError, match="classes must be 3 different labels"):
        ConvNetClassifier.from_onnx(to_onnx(clf), [1, 2], input_shape=(8, 8))


def test_one_score_with_a_logistic_function_is_two():
    network = compile_network([Dense(1, activation="logistic")], (5,), random_state=0)
    shake(network)
    X = np.random.RandomState(0).normal(size=(6, 5)).astype(np.float32)
    clf = ConvNetClassifier.from_onnx(to_onnx(network), ["no", "yes"])
    np.testing.assert_allclose(clf.predict_proba(X)[:, 1:], network.forward(X), atol=1e-6)


@pytest.mark.parametrize("activation", ["logistic", None])
@pytest.mark.parametrize("use_bias", [True, False])
def test_one_score_of_each_pixel_is_two(activation, use_bias):
    last = Conv2D(1, 1, activation=activation, use_bias=use_bias)
    network = compile_network([Conv2D(3, 3, padding="same"), last], (4, 6, 1), random_state=0)
    X = np.random.RandomState(0).normal(size=(3, 4, 6)).astype(np.float32)
    clf = ConvNetClassifier.from_onnx(to_onnx(network), input_shape=(4, 6, 1))
    Z = network.forward(X[..., None])[..., 0]
    expected = Z if activation else 1 / (1 + np.exp(-Z))
    np.testing.assert_allclose(clf.predict_proba(X)[..., 1], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([Conv2D(1, 3), GlobalAvgPool()], "one score, which is two here"),
        ([Conv2D(1, 3), GlobalAvgPool(), Activation("logistic")], "one score, which is two here"),
        ([Conv2D(3, 3, activation="logistic")], "several labels of a pixel at once"),
    ],
)
def test_scores_that_no_labels_have(layers, message):
    network = compile_network(layers, (4, 6, 1), random_state=0)
    with pytest.raises(ValueError, match=message):
        ConvNetClassifier.from_onnx(to_onnx(network), input_shape=(4, 6, 1))


@pytest.mark.parametrize("ends", [["Gemm"], ["MatMul", "Add"]])
@pytest.mark.parametrize("logistic", [True, False])
def test_one_score_of_other_programs(ends, logistic):
    X = np.random.RandomState(0).normal(size=(6, 5)).astype(np.float32)
    weight, bias = X[0, :, None], np.array([0.5], np.float32)
    given = {"Gemm": ["X", "w", "b"], "MatMul": ["X", "w"], "Add": ["MatMul", "b"]}
    nodes = [node(op, *given[op], outputs=[op]) for op in ends]
    nodes.append(node("Sigmoid" if logistic else "Identity", ends[-1]))
    inputs = [("X", (None, 5))]
    model = graph_of(*nodes, inputs=inputs, output=("Y", (None, 1)), w=weight, b=bias)
    clf = ConvNetClassifier.from_onnx(model, ["no", "yes"])
    expected = 1 / (1 + np.exp(-X @ weight - bias))
    np.testing.assert_allclose(clf.predict_proba(X)[:, 1:], expected, rtol=1e-5)
    assert clf.partial_fit(X, ["no", "yes"] * 3).n_outputs_ == 2


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------


def test_parameters_that_change_the_network():
    X, y = digits(8, 8)
    model = to_onnx(ConvNetClassifier(LAYERS, max_iter=1, random_state=0).fit(X, y))
    with pytest.raises(ValueError, match=r"such as multi_crop must .* 'output/weight' of"):
        ConvNetClassifier.from_onnx(model, multi_crop=MultiCrop(6))
    free = [*LAYERS, GlobalAvgPool()]
    clf = ConvNetClassifier(free, max_iter=1, random_state=0, multi_crop=MultiCrop(6)).fit(X, y)
    model = to_onnx(clf.network_)
    found = ConvNetClassifier.from_onnx(model, input_shape=(8, 8, 1), multi_crop=MultiCrop(6))
    np.testing.assert_allclose(found.predict_proba(X), clf.predict_proba(X), atol=1e-6)


def graph_of(*nodes, inputs=(("X", (None, 2, 4, 4)),), output=("Y", None), **constants):
    """A model of nodes, whose inputs and outputs are named."""
    helper = onnx.helper
    infos = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in inputs]
    outputs = [helper.make_tensor_value_info(output[0], onnx.TensorProto.FLOAT, output[1])]
    tensors = [onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    graph = helper.make_graph(list(nodes), "graph", infos, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def node(op, *inputs, outputs=("Y",), **attributes):
    return onnx.helper.make_node(op, inputs, outputs, name=f"the_{op}", **attributes)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (graph_of(node("Sin", "X")), "no layer for this operator"),
        (graph_of(node("MaxPool", "X", kernel_shape=[2, 2], dilations=[2, 2])), "dilation"),
        (graph_of(node("Softmax", "X", axis=2)), "softmax over channels"),
        (graph_of(node("Add", "X", "c"), c=np.ones((1, 2, 4, 5), np.float32)), "constant"),
        (graph_of(node("Erf", "X")), "function erf"),
        (graph_of(node("Pow", "X", "c"), c=np.float32(3)), "power"),
        (graph_of(node("ReduceMean", "X", "c"), c=np.array([2])), "some axes"),
        (graph_of(node("Slice", "X", "s", "e", "a", "t"), s=[0], e=[4], a=[2], t=[2]), "other"),
        (graph_of(node("Concat", "X", "X", axis=2)), "channels of maps"),
        (graph_of(node("Cast", "X", to=onnx.TensorProto.INT64)), "int64"),
        (graph_of(node("Resize", "X", "", "c"), c=np.array([1, 1, 1.5, 2], np.float32)), "whole"),
        (graph_of(node("Reshape", "X", "c"), c=[3, -1]), "no axes that make"),
        (graph_of(node("LRN", "X", size=2)), "even"),
        (graph_of(node("Div", "X", "c"), c=np.float32(0)), "no finite number"),
        (graph_of(node("Add", "X", "c"), c=np.float32(np.inf)), "no finite number"),
        (graph_of(node("LeakyRelu", "X", alpha=-0.5)), "alpha is -0.5"),
        (graph_of(node("Clip", "X", "a"), a=np.float32(np.inf)), "no finite number"),
    ],
)
def test_what_cannot_be_said_names_its_node(model, words):
    name = model.graph.node[0].name
    with pytest.raises(NotImplementedError, match=f"ONNX node '{name}' .*{words}"):
        from_onnx(model)


@pytest.mark.parametrize(("low", "high"), [(-1, 2), (0.5, 0.5), (1, -3)])
def test_limits(low, high):
    """Where the upper one is not above the lower one, it is all that is left."""
    a, b = np.float32(low), np.float32(high)
    model = graph_of(node("Clip", "X", "a", "b"), output=("Y", (None, 2, 4, 4)), a=a, b=b)
    X = 2 * np.random.RandomState(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    X[0, 0, 0, 0] = np.inf
    (expected,) = run(model, X).values()
    network = network_of(*from_onnx(model), (4, 4, 2), "float32")
    found = network.forward(np.ascontiguousarray(X.transpose(0, 2, 3, 1)))
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2), expected, atol=1e-6)


def test_a_value_times_itself():
    """x * x is a gate of nothing."""
    layers, weights = from_onnx(graph_of(node("Mul", "X", "X")))
    assert [type(layer).__name__ for layer in layers] == ["Gate"]
    assert not weights


@pytest.mark.parametrize(
    ("model", "options", "error", "words"),
    [
        (graph_of(node("Relu", "X")), {"task": "ranking"}, ValueError, "task must be one of"),
        (graph_of(node("Relu", "X")), {"input_shape": (2, 4, 5)}, ValueError, "input_shape="),
        (graph_of(node("Relu", "X"), inputs=[("X", ())]), {}, ValueError, "samples come first"),
        (
            graph_of(node("Relu", "X"), inputs=[("X", (None, 2, None))]),
            {},
            ValueError,
            "give input_shape",
        ),
        (
            graph_of(node("Add", "X", "Z"), inputs=[("X", (None, 2)), ("Z", (None, 2))]),
            {},
            ValueError,
            "one input",
        ),
        (graph_of(node("Identity", "c"), c=np.ones(3, np.float32)), {}, ValueError, "constant"),
        (3, {}, TypeError, "path of an ONNX file"),
    ],
)
def test_wrong_parameters(model, options, error, words):
    with pytest.raises(error, match=words):
        from_onnx(model, **options)


def test_files(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(graph_of(node("Relu", "X")).SerializeToString())
    with path.open("rb") as file:
        for source in (path, str(path), file):
            (layer,), _ = from_onnx(source)
            assert layer.activation == "relu"
    path.write_bytes(b"no model" * 10)
    with path.open("rb") as file:
        for source in (path, str(path), file):
            with pytest.raises(ValueError, match=r"net\.onnx is no ONNX model, or is damaged"):
                from_onnx(source)
        file.seek(0, 2)
        with pytest.raises(ValueError, match=r"net\.onnx is empty, or .* read to its end"):
            from_onnx(file)
    with path.open(encoding="utf-8") as file, pytest.raises(TypeError, match="with mode 'rb'"):
        from_onnx(file)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"net\.onnx is empty$"):
        from_onnx(path)
    with pytest.raises(ValueError, match="model: what was read is no ONNX model"):
        from_onnx(BytesIO(b"no model" * 10))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        from_onnx(path)


def test_old_operators_and_own_parameters():
    model = graph_of(node("Relu", "X"))
    model.opset_import[0].version = 6
    with pytest.raises(ValueError, match="opset 6, which is older"):
        from_onnx(model)
    with pytest.raises(TypeError, match="from_onnx sets layers itself"):
        ConvNetClassifier.from_onnx(model, layers=[])


def test_values_on_the_way_and_boxes():
    X, y = digits(8, 8)
    boxes = np.random.RandomState(0).uniform(size=(40, 4))
    clf = ConvNetClassifier(LAYERS, max_iter=2, random_state=0).fit(X, y, boxes=boxes)
    model = to_onnx(clf)
    with pytest.raises(ValueError, match="boxes beside classes"):
        ConvNetClassifier.from_onnx(model, input_shape=(8, 8))
    layers, weights = from_onnx(model, input_shape=(8, 8), output="box")
    network = network_of(layers, weights, (8, 8, 1), "float32")
    np.testing.assert_allclose(network.forward(X[..., None]), clf.predict_box(X), atol=1e-5)
    layers, _ = from_onnx(model, input_shape=(8, 8), output=model.graph.node[1].output[0])
    assert [type(layer).__name__ for layer in layers] == ["Conv2D"]
    with pytest.raises(ValueError, match="no value 'other'"):
        from_onnx(model, input_shape=(8, 8), output="other")


@pytest.mark.parametrize("rule", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("strides", "kernel"), [([2, 3], 4), ([2, 2], 3), ([3, 2], 2)])
def test_transposed_convolutions_padded_by_a_rule(rule, strides, kernel):
    weight = np.random.RandomState(0).normal(size=(2, 3, kernel, kernel)).astype(np.float32)
    how = dict(auto_pad=rule, strides=strides, output_padding=[1, 1])
    model = graph_of(node("ConvTranspose", "X", "w", **how), w=weight)
    model.ir_version = 9
    X = np.random.RandomState(1).normal(size=(3, 2, 4, 4)).astype(np.float32)
    network = network_of(*from_onnx(model), (4, 4, 2), "float32")
    found = np.moveaxis(network.forward(np.moveaxis(X, 1, -1).copy()), -1, 1)
    assert_close(found, run(model, X)["Y"])


def test_attributes_that_do_not_fit():
    """A kernel of two axes and strides of three."""
    pool = node("MaxPool", "X", kernel_shape=[2, 2], strides=[1, 2, 1])
    with pytest.raises(NotImplementedError, match=r"the_MaxPool.*stride"):
        from_onnx(graph_of(pool))


def test_operators_without_what_they_need():
    with pytest.raises(NotImplementedError, match=r"the_MaxPool.*not as expected"):
        from_onnx(graph_of(node("MaxPool", "X")))


def test_constants_of_no_size_are_not_made():
    nodes = [
        node("Shape", "X", outputs=["shape"]),
        node("ConstantOfShape", "large", outputs=["zeros"]),
        node("Add", "X", "zeros"),
    ]
    with pytest.raises(NotImplementedError, match=r"the_ConstantOfShape.*values"):
        from_onnx(graph_of(*nodes, large=np.array([10**6, 10**6, 10**6])))


def test_files_are_read(tmp_path):
    X, y = digits(8, 8)
    clf = ConvNetClassifier(LAYERS, max_iter=1, random_state=0).fit(X, y)
    to_onnx(clf, tmp_path / "model.onnx")
    found = ConvNetClassifier.from_onnx(tmp_path / "model.onnx", input_shape=(8, 8))
    np.testing.assert_allclose(found.predict_proba(X), clf.predict_proba(X), atol=1e-6)


# ---------------------------------------------------------------------------
# Views
# ---------------------------------------------------------------------------


@given(st.data())
def test_views_are_what_numpy_does(data):
    """An array of samples, transposed and reshaped at random, and numbers added to it."""
    shape = tuple(data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3)))
    X = np.arange(5 * np.prod(shape)).reshape(5, *shape)
    view = views.channels_last(shape, 5)
    A = X
    for _ in range(data.draw(st.integers(0, 4))):
        if data.draw(st.booleans()):
            perm = [0, *(1 + i for i in data.draw(st.permutations(range(A.ndim - 1))))]
            A, view = A.transpose(perm), view.transposed(perm)
        else:
            size = data.draw(st.sampled_from([1, 2, 3]))
            target = (5, size, -1) if A[0].size % size == 0 else (5, -1)
            target = tuple(n if n != -1 else A.size // -np.prod(target) for n in target)
            changed = view.reshaped(target)
            if changed is not None:
                A, view = A.reshape(target), changed
    assert view.shape == A.shape
    lengths = [data.draw(st.sampled_from([1, n])) for n in A.shape[1:]]
    constant = np.random.RandomState(0).randint(99, size=(1, *lengths))
    found = view.to_layer(constant, shape)
    # Where the sum of both lies, by the number that each place of X has.
    placed = np.empty(X.size, int)
    placed[A.ravel()] = (A + constant).ravel()
    assert np.array_equal(placed.reshape(X.shape), X + found)
    flat = view.flattened(shape)
    for i in range(view.ndim):
        order = flat.order(i, X[0].size)
        if order is not None:
            assert np.array_equal(np.moveaxis(A, i, -1)[0].ravel(), X[0].ravel()[order])
