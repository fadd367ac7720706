"""Layers of users take part in everything, and `check_layer` finds what is wrong with them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import functools
import pickle
import re

import numpy as np
import pytest
from own_layers import ChannelScale, ChannelScaleNode, Swish, SwishNode, swish, swish_backward
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.layers import (
    BatchNorm,
    Conv2D,
    DenseBlock,
    Layer,
    MaxPool2D,
    Parallel,
    Residual,
    Sequential,
)
from sklearn_convnet.network import Node, Weight, compile_network, executes
from sklearn_convnet.testing import check_layer, differences

SHAPE = (4, 3, 2)

# ---------------------------------------------------------------------------
# Layers that are right
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [Swish(), Swish(-0.7), ChannelScale(), ChannelScale(False)])
@pytest.mark.parametrize("shape", [SHAPE, (5,), (1,), (6, 2)])
def test_own_layers_pass(layer, shape):
    check_layer(layer, shape)


def test_own_layers_pass_with_newer_pickles(monkeypatch):
    """CPython 3.14 writes protocol 5 by default, in which a read-only array has other bytes."""
    monkeypatch.setattr(pickle, "dumps", functools.partial(pickle.dumps, protocol=5))
    check_layer(ChannelScale(), (5,))


@pytest.mark.parametrize(
    "block",
    [
        Sequential([Swish(), ("scale", ChannelScale())]),
        Residual([("swish", Swish(2.0)), ChannelScale()]),
        Residual([Conv2D(3, 1, activation=None), ChannelScale()], shortcut=Conv2D(3, 1)),
        Parallel([Swish(), [Conv2D(2, 1), ChannelScale()], "passthrough"]),
        DenseBlock([ChannelScale(), Sequential([BatchNorm(0.3), Swish()])]),
    ],
    ids=lambda block: type(block).__name__,
)
def test_own_layers_in_blocks(block):
    check_layer(block, SHAPE)


def test_own_layer_is_the_function():
    X = np.linspace(-3, 3, 24).reshape(1, *SHAPE)
    network = compile_network([Swish(2.0), ChannelScale()], SHAPE, dtype="float64")
    network.parameters()["channelscale1/scale"][:] = [2, -1]
    expected = X / (1 + np.exp(-2 * X)) * [2, -1]
    np.testing.assert_allclose(network.forward(X), expected, rtol=1e-14)


def own_classifier(**options):
    layers = [
        ("conv", Conv2D(4, 3, activation=None)),
        ("block", Residual([("swish", Swish()), ("scale", ChannelScale())])),
        MaxPool2D(2),
    ]
    return ConvNetClassifier(layers, max_iter=3, random_state=0, **options)


def test_own_layers_in_a_classifier(maps):
    X, y = maps
    clf = own_classifier().fit(X, y)
    scale = clf.get_weights()["block/scale/scale"]
    assert scale.shape == (4,)
    assert np.abs(scale - 1).max() > 1e-4  # it has learnt
    other = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    np.testing.assert_array_equal(
        other.partial_fit(X, y).predict_proba(X), clf.partial_fit(X, y).predict_proba(X)
    )
    again = clone(own_classifier()).fit(X, y)
    np.testing.assert_array_equal(again.get_weights()["block/scale/scale"], scale)


def test_own_layers_in_a_regressor(maps):
    X, y = maps
    layers = [ChannelScale(), Conv2D(4, 3, activation=None), Swish(), MaxPool2D(2)]
    predicted = ConvNetRegressor(layers, max_iter=2, random_state=0).fit(X, y).predict(X)
    assert predicted.shape == y.shape
    assert np.isfinite(predicted).all()


def test_parameters_of_own_layers(maps):
    X, y = maps
    clf = own_classifier()
    clf.set_params(block__swish__beta=3.0, block__scale__trainable=False)
    assert clf.get_params()["block__swish__beta"] == 3.0
    clf.fit(X, y)
    np.testing.assert_array_equal(clf.get_weights()["block/scale/scale"], np.ones(4))
    other = own_classifier().set_params(block__scale="passthrough", block__swish=Swish(3.0))
    np.testing.assert_array_equal(other.fit(X, y).predict_proba(X), clf.predict_proba(X))
    with pytest.raises(ValueError, match=r"layer 'block/swish': .*'beta' parameter of Swish"):
        own_classifier().set_params(block__swish__beta="large").fit(X, y)


def test_searches_over_own_layers(maps):
    X, y = maps
    grid = {"block__swish__beta": [0.5, 2.0], "block__scale": ["passthrough", ChannelScale()]}
    search = GridSearchCV(own_classifier(), grid, cv=2).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_params_.keys() == grid.keys()
    assert set(search.predict(X)) <= set(y)


# ---------------------------------------------------------------------------
# Layers that are not
# ---------------------------------------------------------------------------


class Wrong(Layer):
    """A layer whose node is one of those below, wrong each in its way."""

    _parameter_constraints = {"node": [str]}

    def __init__(self, node):
        self.node = node


@executes(Wrong)
class WrongNode(Node):
    """Swish of beta 1, as a start."""

    @classmethod
    def build(cls, layer, path, input_shape):
        return [globals()[layer.node](layer, path, input_shape)]

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))

    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(swish, X, 1.0, Y)
        run.save(self, X)
        return Y

    def backward(self, dY, need_input, run):
        (X,) = run.recall(self)
        if not need_input:
            return None
        dX = run.empty(X.shape, X.dtype)
        run.call(swish_backward, X, dY, 1.0, dX)
        return dX


class WrongScaleNode(Node):
    """The same with a weight for each channel."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.weights["scale"] = Weight(input_shape[-1:], "ones")

    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(np.multiply, X, self.params["scale"], Y)
        run.save(self, X)
        return Y

    def backward(self, dY, need_input, run):
        (X,) = run.recall(self)
        run.call(self.fill, X, dY, self.gradient("scale"))
        if not need_input:
            return None
        dX = run.empty(X.shape, X.dtype)
        run.call(np.multiply, dY, self.params["scale"], dX)
        return dX

    @staticmethod
    def fill(X, dY, d_scale):
        d_scale[...] = (X * dY).sum(axis=tuple(range(X.ndim - 1)))


class WrongGradient(WrongNode):
    def backward(self, dY, need_input, run):
        dX = super().backward(dY, need_input, run)
        if dX is not None:
            run.call(np.multiply, dX, 1.0001, dX)
        return dX


class WrongGradientOfAWeight(WrongScaleNode):
    @staticmethod
    def fill(X, dY, d_scale):
        d_scale[...] = 0


class AddsGradients(WrongScaleNode):
    @staticmethod
    def fill(X, dY, d_scale):
        d_scale += (X * dY).sum(axis=tuple(range(X.ndim - 1)))


class SkipsGradients(WrongScaleNode):
    def backward(self, dY, need_input, run):
        return super().backward(dY, need_input, run) if need_input else None


class SeesTheBatch(WrongNode):
    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(lambda X, Y: np.subtract(X, X.sum(axis=0), out=Y), X, Y)
        run.save(self, X)
        return Y

    def backward(self, dY, need_input, run):
        run.recall(self)
        dX = run.empty(dY.shape, dY.dtype)
        run.call(lambda dY, dX: np.subtract(dY, dY.sum(axis=0), out=dX), dY, dX)
        return dX


class KeepsAnAttribute(WrongNode):
    def forward(self, X, run):
        self.X = X
        return super().forward(X, run)


class KeepsAnArray(WrongNode):
    """Out of sight, in a list."""

    def __init__(self, layer, path, input_shape):
        super().__init__(layer, path, input_shape)
        self.kept = []

    def forward(self, X, run):
        self.kept[:] = [X]
        return super().forward(X, run)

    def backward(self, dY, need_input, run):
        run.recall(self)
        dX = run.empty(dY.shape, dY.dtype)
        run.call(swish_backward, *self.kept, dY, 1.0, dX)
        return dX


class ComputesAtOnce(WrongNode):
    def forward(self, X, run):
        return X * 2


class AsksForNumbers(WrongNode):
    def forward(self, X, run):
        self.scale = X.max()
        return super().forward(X, run)


class Reshapes(WrongNode):
    def forward(self, X, run):
        return super().forward(X, run).reshape(len(X), -1)


class WritesItsInput(WrongNode):
    def forward(self, X, run):
        run.call(swish, X, 1.0, X)
        run.save(self, X)
        return X


class LeavesUnfilled(WrongNode):
    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(np.copyto, Y, np.nan)
        run.save(self, X)
        return Y


class IsOfDoublePrecision(WrongNode):
    def forward(self, X, run):
        Y = run.empty(X.shape, np.float64)
        run.call(swish, X, 1.0, Y)
        run.save(self, X)
        return Y


class DoublesInTraining(WrongNode):
    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(np.multiply, X, 1 + run.training, Y)
        return Y

    def backward(self, dY, need_input, run):
        dX = run.empty(dY.shape, dY.dtype)
        run.call(np.multiply, dY, 2, dX)
        return dX


class NeedsGradients(WrongScaleNode):
    """Right but for the twin, in which nothing has a gradient."""


class DependsOnThreads(WrongNode):
    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(lambda X, n, Y: np.multiply(X, 1 + (n - 1) / 100, out=Y), X, run.n_threads, Y)
        return Y

    def backward(self, dY, need_input, run):
        dX = run.empty(dY.shape, dY.dtype)
        run.call(np.copyto, dX, dY)
        return dX


@pytest.mark.parametrize(
    ("node_type", "check", "problem"),
    [
        (WrongGradient, "gradients", "the gradient of 'input' is off by 9.* at a scale of"),
        (WrongGradientOfAWeight, "gradients", "the gradient of 'wrong1/scale' is off by"),
        (AddsGradients, "shapes", "'wrong1/scale' is not finite: backward must fill it"),
        (DoublesInTraining, "input_gradient", "the gradient of 'input at a prediction' is off by"),
        (NeedsGradients, "input_gradient", "TypeError: 'NoneType'"),
        (SkipsGradients, "need_input", "'wrong1/scale' without the gradient at the input"),
        (SeesTheBatch, "batch", "in float32, the prediction for 1 of 11 samples .* differ, by"),
        (KeepsAnAttribute, "nodes_keep_nothing", r"writes \['X'\] on the node"),
        (KeepsAnArray, "passes_are_apart", "ValueError|same bits"),
        (ComputesAtOnce, "spec_is_not_changed", r"TypeError: .* let run.call\(function, ...\)"),
        (AsksForNumbers, "spec_is_not_changed", "AttributeError: no 'max': while a network is"),
        (Reshapes, "shapes", r"is float32 of shape \(3, 24\), not float32 of shape \(3, 4, 3, 2\)"),
        (WritesItsInput, "spec_is_not_changed", "read-only"),
        (LeavesUnfilled, "shapes", "the prediction for 3 samples has numbers that are not finite"),
        (IsOfDoublePrecision, "shapes", "is float64 of shape .*, not float32"),
        (DependsOnThreads, "threads", "with n_threads=2 does not have the same bits"),
    ],
)
def test_wrong_nodes_are_found(node_type, check, problem):
    with pytest.raises(AssertionError) as caught:
        check_layer(Wrong(node_type.__name__), SHAPE)
    message = str(caught.value)
    assert message.startswith(f"{Wrong(node_type.__name__)!r}, given samples of shape {SHAPE}, ")
    assert f"check_{check}: " in message
    assert re.search(problem, message)


class CopiesItsArgument(Swish):
    def __init__(self, beta=(1.0,)):
        self.beta = list(beta)


class StoresMore(Swish):
    def __init__(self, beta=1.0):
        self.beta = beta
        self.half = beta / 2


class HasNoConstraint(Swish):
    def __init__(self, beta=1.0, other=None):
        self.beta = beta
        self.other = other


class WrongShape(Swish):
    def _output_shape(self, input_shape):
        return [*input_shape[:-1], np.int64(input_shape[-1])]


class OtherShape(Swish):
    def _output_shape(self, input_shape):
        return (*input_shape, 1)


class Remembers(Swish):
    def _output_shape(self, input_shape):
        self.seen = input_shape
        return input_shape


class CannotBeFrozen(ChannelScale):
    pass


@executes(CannotBeFrozen)
class CannotBeFrozenNode(WrongScaleNode):
    pass


class WritesFrozen(ChannelScale):
    pass


@executes(WritesFrozen)
class WritesFrozenNode(ChannelScaleNode):
    def gradient(self, name):
        return self.grads[name]


class HasNoNode(Layer):
    pass


@pytest.mark.parametrize(
    ("layer", "check", "problem"),
    [
        (CopiesItsArgument((2.0,)), "parameters", "beta as it is"),
        (StoresMore(), "parameters", r"nothing else: \['beta'\], but .* \['beta', 'half'\]"),
        (HasNoConstraint(), "parameters", r"\['other'\] are not in _parameter_constraints"),
        (WrongShape(), "shapes", "must return a tuple of int, got"),
        (OtherShape(), "shapes", r"is float32 of shape \(3, 4, 3, 2\), not .* \(3, 4, 3, 2, 1\)"),
        (Remembers(), "spec_is_not_changed", r"sets \['seen'\] of Remembers"),
        (CannotBeFrozen(), "frozen", r"does not reach \['cannotbefrozen1/scale'\]: hand it on"),
        (WritesFrozen(), "frozen", "writes the gradient of 'writesfrozen1/scale', which is frozen"),
        (HasNoNode(), "spec_is_not_changed", "no node is known for HasNoNode: decorate"),
        (
            Swish("large"),
            "spec_is_not_changed",
            "InvalidParameterError: The 'beta' parameter of Swish",
        ),
        (Residual([HasNoNode()]), "spec_is_not_changed", "layer 'residual1/hasnonode1': no node"),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, Layer) else None,
)
def test_wrong_layers_are_found(layer, check, problem):
    with pytest.raises(AssertionError) as caught:
        check_layer(layer, SHAPE)
    message = str(caught.value)
    assert f"check_{check}: " in message
    assert re.search(problem, message, re.DOTALL)


def test_a_class_that_cannot_be_imported():
    class Local(Swish):
        pass

    with pytest.raises(AssertionError, match=r"check_copies: .*Local"):
        check_layer(Local(), SHAPE)


def test_what_is_no_layer():
    with pytest.raises(TypeError, match="layer must be an instance of Layer, got 'relu'"):
        check_layer("relu", SHAPE)


def test_the_layer_is_not_changed():
    layer = Residual([Conv2D(2, 1), ChannelScale()])
    before = dict(vars(layer))
    check_layer(layer, SHAPE)
    assert vars(layer).keys() == before.keys()
    assert all(vars(layer)[name] is value for name, value in before.items())


# ---------------------------------------------------------------------------
# Kinks, and numbers in bounds
# ---------------------------------------------------------------------------


def test_places_next_to_a_kink_are_told_by_the_differences():
    x = np.array([1.0, 1e-5, -1.5e-4, 3e-4, -1.0])
    gradient, spread = differences(lambda: float(np.abs(x).sum()), x, range(5))
    assert (spread > 1e-3).tolist() == [False, True, True, False, False]
    np.testing.assert_allclose(gradient[spread < 1e-3], [1, 1, -1], rtol=1e-9)
    np.testing.assert_array_equal(x, [1.0, 1e-5, -1.5e-4, 3e-4, -1.0])


def test_differences_are_of_fourth_order():
    x = np.array([0.3, -0.8])
    gradient, _ = differences(lambda: float(np.sin(3 * x).sum()), x, [1])
    np.testing.assert_allclose(gradient, [3 * np.cos(3 * x[1])], rtol=1e-10)


class Sawtooth(Swish):
    """Of 3,000 teeth: no place is far from a kink."""


@executes(Sawtooth)
class SawtoothNode(SwishNode):
    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(lambda X, Y: np.abs((X * 3e3) % 1 - 0.5, out=Y), X, Y)
        run.save(self, X)
        return Y


def test_nothing_but_kinks():
    with pytest.raises(AssertionError, match="cannot be compared: 40 of 40 places"):
        check_layer(Sawtooth(), SHAPE)


class Log(Swish):
    pass


@executes(Log)
class LogNode(SwishNode):
    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(np.log, X, Y)
        run.save(self, X)
        return Y

    def backward(self, dY, need_input, run):
        (X,) = run.recall(self)
        dX = run.empty(X.shape, X.dtype)
        run.call(np.divide, dY, X, dX)
        return dX


def test_bounds():
    check_layer(Log(), SHAPE, bounds=(0.5, 2))
    with pytest.raises(AssertionError, match=r"check_\w+: .*log"):
        check_layer(Log(), SHAPE)
