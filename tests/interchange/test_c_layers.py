"""Source in C of all layers: what a network computes, it computes."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re

import layer_cases as cases
import numpy as np
import pytest
from c_runs import run_tests
from onnx_runs import shake
from random_networks import random_network

from sklearn_convnet.interchange import export_c
from sklearn_convnet.interchange.c_export import convert
from sklearn_convnet.interchange.c_export.library import EXPRESSIONS
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPool2D,
    Rescale,
    Residual,
    Standardize,
)
from sklearn_convnet.network import Node, compile_network, executes
from sklearn_convnet.network.node import walk

N_PROGRAMS = 4
#: Those that a layer may have; "exp" is what becomes of counts.
ACTIVATIONS = sorted({*EXPRESSIONS, "softmax"} - {"exp"})


def written(network, folder, name):
    shake(network)
    export_c(network, folder, name=name)
    return name


def source(layers, shape, folder):
    network = compile_network(layers, shape)
    shake(network)
    export_c(network, folder, name="net")
    run_tests(folder, ["net"])
    return (folder / "net.c").read_text()


def calls(text):
    _, body = text.split("void net_predict")
    return re.findall(r"net_(\w+)\(", body)


def has_form(node):
    known = any(kind in convert._WRITERS for kind in type(node).__mro__)
    return known and getattr(node, "activation", None) in (None, "identity", *ACTIVATIONS)


def written_or_refused(networks, folder):
    """The names of those all of whose nodes have a form; others are refused."""
    names = []
    for i, network in enumerate(networks):
        if all(has_form(node) for node in walk(network.nodes)):
            names.append(written(network, folder, f"net_{i}"))
        else:
            with pytest.raises(NotImplementedError, match=r"layer '.*has no form in C here"):
                export_c(network, folder)
    return names


@pytest.mark.parametrize("part", range(N_PROGRAMS))
def test_all_layers(part, tmp_path):
    chosen = list({**cases.CASES, **cases.NETWORKS}.values())[part::N_PROGRAMS]
    names = written_or_refused([case.network(dtype="float32") for case in chosen], tmp_path)
    assert len(names) > 60
    run_tests(tmp_path, names)


def test_networks_of_random_layers(tmp_path):
    made = (random_network(seed) for seed in range(25))
    networks = [compile_network(layers, shape, random_state=0) for layers, shape in made]
    names = written_or_refused(networks, tmp_path)
    assert len(names) > 15
    run_tests(tmp_path, names)


def test_activations(tmp_path):
    for name in ACTIVATIONS:
        written(compile_network([Dense(7, activation=name)], (5,)), tmp_path, name)
    run_tests(tmp_path, ACTIVATIONS)


def test_a_batch_norm_lies_in_the_weights(tmp_path):
    text = source([Conv2D(4, 3, activation=None), BatchNorm(), MaxPool2D(2)], (8, 8, 2), tmp_path)
    assert calls(text) == ["conv", "max_pool"]


def test_functions_that_are_not_called_are_not_written(tmp_path):
    text = source([Dense(3)], (4,), tmp_path)
    assert re.findall(r"^static void net_(\w+)", text, re.MULTILINE) == ["conv", "relu"]


def test_layers_that_do_nothing(tmp_path):
    text = source([Dropout(), Activation(None), Flatten()], (2, 3, 2), tmp_path)
    assert calls(text) == ["copy"]


def test_maps_share_memory(tmp_path):
    """A chain needs its two largest neighbours, and activations none."""
    layers = [Conv2D(4, 3, padding="same")] * 5 + [Dense(2)]
    text = source(layers, (6, 6, 1), tmp_path)
    (size,) = re.findall(r"static float net_work\[(\d+)\]", text)
    assert int(size) == 2 * 6 * 6 * 4


def test_a_shortcut_is_kept_until_it_is_added(tmp_path):
    body = [Conv2D(3, 3, padding="same"), Conv2D(3, 3, padding="same")]
    source([Conv2D(3, 1), Residual(body), Residual([Activation("tanh")])], (5, 4, 2), tmp_path)


def test_a_large_mean_does_not_round(tmp_path):
    """The part of a mean that a float does not hold goes into the shift."""
    network = compile_network([Standardize()], (40, 1))
    network.buffers()["standardize1/mean"][...] = 2.0**24 / 3
    X = np.round(np.linspace(-8, 8, 40)).reshape(1, 40, 1) + 2.0**24 // 3
    export_c(network, tmp_path, name="net", X=X)
    text = (tmp_path / "net_test.c").read_text()
    exact = (X - 2.0**24 / 3).ravel()
    wanted = re.search(r"net_test_y\[\d+\] = \{(.*?)\}", text, re.DOTALL).group(1)
    wanted = np.array([float(one) for one in wanted.replace("f", "").split(",")[:-1]])
    np.testing.assert_allclose(wanted, exact, rtol=1e-6)
    assert "1 of 1 samples" in run_tests(tmp_path, ["net"])


def test_weights_that_are_not_finite(tmp_path):
    network = compile_network([Dense(3)], (4,), dtype="float64")
    network.parameters()["dense1/weight"][0, 0] = 1e200
    with pytest.raises(ValueError, match="dense1_weight has numbers that are not finite"):
        export_c(network, tmp_path)


def test_predictions_that_are_not_finite(tmp_path):
    network = compile_network([Dense(3, activation=None)], (4,))
    network.parameters()["dense1/weight"][...] = 3e38
    with pytest.raises(ValueError, match="predictions of the samples X are not finite"):
        export_c(network, tmp_path, X=np.full((1, 4), 1e3))


def test_the_same_network_makes_the_same_bytes(tmp_path):
    layers = [Rescale(2), Conv2D(3, 3), BatchNorm(), Dense(4)]
    for folder in ("a", "b"):
        export_c(compile_network(layers, (6, 6, 1), random_state=0), tmp_path / folder)
    for file in ("network.h", "network.c", "network_test.c"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_names_of_layers_that_are_alike_in_c(tmp_path):
    layers = [("a-b", Dense(3)), ("a_b", Dense(3)), ("größe", Dense(2))]
    text = source(layers, (4,), tmp_path)
    assert "net_a_b_weight[" in text
    assert "net_a_b_weight_2[" in text


class Doubled(Layer):
    """A layer that has no form in C."""


@executes(Doubled)
class DoubledNode(Node):
    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))

    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(np.add, X, X, Y)
        return Y


def test_a_layer_without_a_form_is_named_and_nothing_is_written(tmp_path):
    network = compile_network([Dense(3), ("mine", Doubled())], (4,))
    with pytest.raises(NotImplementedError, match="layer 'mine': DoubledNode has no form in C"):
        export_c(network, tmp_path / "new")
    assert not (tmp_path / "new").exists()
