"""What a pass will do, and how long its steps take."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from math import prod

import layer_cases as cases
import numpy as np
import pytest

from sklearn_convnet.architectures import lenet5, resnet_cifar
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    SelfAttention,
    Standardize,
)
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.node import walk
from sklearn_convnet.tables import Table


def column(table, name):
    i = table.columns.index(name)
    return [row[i] for row in table.rows]


def lenet(**options):
    return compile_network([*lenet5(), ("out", Dense(10))], (28, 28, 1), random_state=0, **options)


@pytest.mark.parametrize("training", [False, True])
def test_a_plan_is_what_happens(training):
    network = lenet()
    plan = network.plan(8, training=training)
    assert network.peak_memory() == {}  # nothing has
    Y = network.forward(np.zeros((8, 28, 28, 1)), training=training)
    if training:
        network.backward(Y, need_input=False)
    peak = network.peak_memory()["training" if training else "prediction"][1]
    assert f"{peak / 2**20:.1f} MiB" in plan.notes[0]
    assert max(column(plan, "MiB live")) <= peak / 2**20
    assert column(plan, "MiB live")[-1] * 2**20 >= Y.nbytes
    profile = network.profile(np.zeros((8, 28, 28, 1)), training=training, n_rounds=1)
    for name in ("layer", "step"):
        assert column(profile, name) == column(plan, name)
    assert sum(column(profile, "share")) == pytest.approx(1)
    assert min(column(profile, "microseconds")) > 0


def test_multiply_adds():
    """Of a prediction those of the layers; of a step three times as many, but for the gradient
    at the input."""
    network = lenet()
    expected = sum(node.multiply_adds for node in network.nodes)
    once = sum(filter(None, column(network.plan(4), "multiply-adds")))
    assert once == 4 * expected
    first = network.nodes[0].multiply_adds
    step = sum(filter(None, column(network.plan(4, training=True), "multiply-adds")))
    assert step == 4 * (3 * expected - first)


@cases.every_case
def test_every_layer_has_a_plan(case):
    network = case.network()
    for training in (False, True):
        plan = network.plan(3, training=training)
        paths = {"", *column(plan, "layer")}
        known = {node.path for node in walk(network.nodes)}
        assert paths <= known | {""}
        assert min([0.0, *column(plan, "MiB live")]) == 0


def test_forms_and_why():
    def forms(*layers, shape=(32, 32, 64), **options):
        plan = compile_network(layers, shape, **options).plan(4, training=True)
        pairs = zip(column(plan, "form"), column(plan, "why"), strict=True)
        return {pair for pair in pairs if pair[0]}

    assert forms(Conv2D(64, 3, padding=1)) == {("Winograd 4 x 4", "takes least time")}

    def reason(*layers, **options):
        (why,) = {why for _, why in forms(*layers, **options)}
        return why

    assert reason(Conv2D(64, 3, padding=1), dtype="float64") == "no Winograd: float64"
    assert reason(Conv2D(64, 3, stride=2)) == "no Winograd: strided"
    assert reason(Conv2D(64, 3, groups=2)) == "no Winograd: in groups"
    assert reason(Conv2D(64, 7)) == "no Winograd: neither 3 x 3 nor 5 x 5"
    assert reason(Conv2D(2, 3), shape=(6, 6, 1)) == "takes least time"
    assert forms(DepthwiseConv2D(3), Dense(2)) == set()


def test_forms_are_those_that_kernels_take():
    network = compile_network([Conv2D(8, 3), Conv2D(64, 1)], (16, 16, 8), random_state=0)
    plan = network.plan(4, training=True)
    where = ((1, 16, 16, 8), (1, 3, 3, 8, 8), (1, 1, 1), ((0, 0),) * 3, (1, 1, 1), 1)
    of_first = [
        network.kernels.conv_form(step, 4, *where)[0] for step in ("forward", "weight_gradient")
    ]
    steps = zip(column(plan, "layer"), column(plan, "step"), column(plan, "form"), strict=True)
    found = {(layer, step.rpartition("_")[2]): form for layer, step, form in steps if form}
    if not network.fused(True)[0].tile:
        assert [found["conv2d1", "forward"], found["conv2d1", "backward"]] == of_first
    assert len(found["conv2d2", "backward"].split(", ")) == 2  # at the input, and the weights


def test_a_form_is_forced(run_python):
    """By what the environment says when kernels are loaded."""
    script = """
        import os
        from sklearn_convnet.kernels import loader
        from sklearn_convnet.layers import Conv2D
        from sklearn_convnet.network import compile_network

        for name in ("winograd4", "winograd2", "fast", "direct"):
            os.environ["SKLEARN_CONVNET_FORMS"] = name
            loader._load.cache_clear()
            try:
                network = compile_network([Conv2D(64, 3), Conv2D(64, 3, stride=2)], (20, 20, 64))
                table = network.plan(4, training=True)
                print(next(row[table.columns.index("form")] for row in table.rows if row[2]))
            except ValueError as error:
                print(error)
    """
    printed = run_python(script).splitlines()
    assert "SKLEARN_CONVNET_FORMS must be one of winograd4, winograd2, direct" in printed.pop(2)
    assert printed == ["Winograd 4 x 4", "Winograd 2 x 2", "direct"]


def test_steps_belong_to_their_layers():
    network = compile_network(resnet_cifar(20), (32, 32, 3), random_state=0)
    plan = network.plan(2, training=True)
    work = dict.fromkeys(column(plan, "layer"), 0)
    for path, products in zip(column(plan, "layer"), column(plan, "multiply-adds"), strict=True):
        work[path] += products or 0
    convolutions = [node for node in walk(network.fused(True)) if hasattr(node, "form")]
    assert all(work[node.path] >= 2 * 2 * node.multiply_adds for node in convolutions)


def test_a_profile_leaves_the_network_as_it_was():
    layers = [
        Standardize(),
        Conv2D(8, 3, activation=None),
        BatchNorm(),
        Activation("relu"),
        SelfAttention(2),
        Dense(3),
    ]
    network = compile_network(layers, (12, 12, 1), random_state=0)
    X = np.random.RandomState(0).normal(size=(4, 12, 12, 1))
    network.forward(X, training=True)
    before, step = network.snapshot(), network.step
    network.profile(X, training=True, n_threads=2, n_rounds=2)
    np.testing.assert_array_equal(network.params, before[0])
    for path, value in network.buffers().items():
        np.testing.assert_array_equal(value, before[1][path])
    assert network.step == step


def test_tables():
    table = Table(
        ["layer", "form", "share"],
        [("<conv1>", None, 0.5), ("dense1", "direct", 0.25)],
        {"share": ".0%"},
        ["two rows"],
    )
    assert str(table).split("\n") == [
        "layer    form    share",
        "----------------------",
        "<conv1>            50%",
        "dense1   direct    25%",
        "two rows",
    ]
    html = table._repr_html_()
    assert "&lt;conv1&gt;" in html
    assert html.count("<tr>") == 3
    assert '<td style="text-align:right">50%</td>' in html
    frame = table.to_frame()
    assert list(frame.columns) == table.columns
    assert frame["share"].tolist() == [0.5, 0.25]
    assert prod(frame.shape) == 6


def test_a_table_with_a_total():
    table = Table(
        ["layer", "shape", "n"],
        [("a", (2, 3), 1000), ("b", None, None)],
        {"shape": lambda shape: "x".join(map(str, shape)), "n": ","},
        ["note"],
        ("total", None, 12_345_678),
    )
    assert str(table).split("\n") == [
        "layer  shape           n",
        "------------------------",
        "a      2x3         1,000",
        "b",
        "------------------------",
        "total         12,345,678",
        "note",
    ]
    assert '<tfoot><tr><th style="text-align:left">total</th>' in table._repr_html_()
    frame = table.to_frame()
    assert len(frame) == 2
    assert str(frame["n"].dtype) == "Int64"
    assert frame["n"].tolist()[0] == 1000
