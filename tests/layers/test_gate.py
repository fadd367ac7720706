"""Shapes of gates and maxout, their names, and what they refuse."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pytest

from sklearn_convnet.layers import (
    Conv2D,
    Dense,
    Flatten,
    Gate,
    GlobalAvgPool,
    Maxout,
    MaxPool2D,
    Sequential,
    SqueezeExcite,
    Upsample2D,
)
from sklearn_convnet.network import compile_network

MAPS = (6, 4, 8)


@pytest.mark.parametrize(
    "layers",
    [
        [Conv2D(8, 3, padding="same")],
        [Conv2D(1, 3, padding="same")],
        [GlobalAvgPool(), Dense(8)],
        [GlobalAvgPool(), Dense(1)],
        [MaxPool2D(2), Upsample2D(2)],
        [],
    ],
)
def test_a_gate_keeps_the_shape(layers):
    assert Gate(layers).output_shape(MAPS) == MAPS


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ([Conv2D(8, 3)], MAPS, r"make \(4, 2, 8\) of \(6, 4, 8\).*\(8,\) or \(6, 4, 1\): .*same"),
        ([Conv2D(3, 1)], MAPS, r"make \(6, 4, 3\) .* no factor .* 8 filters, or 1"),
        ([GlobalAvgPool(), Dense(4)], MAPS, r"make \(4,\) .* GlobalAvgPool\(\) and Dense\(8\)"),
        ([Flatten()], MAPS, r"make \(192,\)"),
        ([Dense(3)], (8,), r"make \(3,\) of \(8,\), .* that is \(8,\) or \(1,\)"),
        ([Conv2D(8, 9)], MAPS, "layer 'conv2d1': "),
    ],
)
def test_other_shapes_are_no_factors(layers, shape, message):
    with pytest.raises(ValueError, match=message):
        Gate(layers).output_shape(shape)


def test_a_gate_that_halves_says_what_must_divide():
    gate = Gate([MaxPool2D(2), Conv2D(8, 3, padding="same"), Upsample2D(2)])
    with pytest.raises(ValueError, match=r"'gate1'.*the height must be a multiple of 2.*\(8, 6\)"):
        compile_network([gate], (7, 5, 8))


@pytest.mark.parametrize("wrong", [None, Dense(3), [Dense], [("a", 1)]])
def test_layers_must_be_layers(wrong):
    with pytest.raises(TypeError, match="layers"):
        Gate(wrong).output_shape(MAPS)


def test_names_reach_inside():
    network = [Conv2D(8, 3), Gate([GlobalAvgPool(), Dense(8), ("last", Dense(8))])]
    block = Sequential(network)
    block.set_params(gate1__dense1__units=2, gate1__last__activation="hard_logistic")
    assert block.get_params()["gate1__dense1__units"] == 2
    parameters = compile_network([("block", block)], (8, 6, 1)).parameters()
    assert parameters["block/gate1/dense1/weight"].shape == (8, 2)
    assert parameters["block/gate1/last/bias"].shape == (8,)
    assert block.set_params(gate1__dense1="passthrough").output_shape((8, 6, 1)) == (6, 4, 8)


# --- squeeze and excitation ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "units"),
    [
        (SqueezeExcite(), 2),
        (SqueezeExcite(3), 2),  # rounded down
        (SqueezeExcite(16), 1),  # at least one
        (SqueezeExcite(squeeze_channels=5), 5),
    ],
)
def test_units_between(layer, units):
    parameters = compile_network([("se", layer)], MAPS).parameters()
    shapes = {path: array.shape for path, array in parameters.items()}
    assert shapes == {
        "se/reduce/weight": (8, units),
        "se/reduce/bias": (units,),
        "se/expand/weight": (units, 8),
        "se/expand/bias": (8,),
    }
    bare = SqueezeExcite(**{**layer.get_params(), "use_bias": False})
    assert list(compile_network([bare], MAPS).parameters()) == [
        "squeezeexcite1/reduce/weight",
        "squeezeexcite1/expand/weight",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduction": 0}, "reduction"),
        ({"reduction": 1.5}, "reduction"),
        ({"squeeze_channels": 0}, "squeeze_channels"),
        ({"activation": "swish"}, "activation"),
        ({"scale_activation": "sigmoid"}, "scale_activation"),
        ({"use_bias": "no"}, "use_bias"),
        ({"kernel_initializer": "he"}, "kernel_initializer"),
        ({"trainable": None}, "trainable"),
    ],
)
def test_parameters_of_squeeze_and_excitation(options, message):
    with pytest.raises(ValueError, match=message):
        SqueezeExcite(**options).output_shape(MAPS)


def test_squeeze_and_excitation_needs_maps():
    with pytest.raises(ValueError, match="layer 'squeeze': GlobalAvgPool needs"):
        SqueezeExcite().output_shape((8,))


# --- maxout --------------------------------------------------------------------------------


def test_shapes_of_maxout():
    assert Maxout().output_shape((6,)) == (3,)
    assert Maxout(3).output_shape((5, 6)) == (5, 2)
    assert Maxout(8).output_shape(MAPS) == (6, 4, 1)
    assert Maxout(1).output_shape((2, 2, 2, 5)) == (2, 2, 2, 5)


@pytest.mark.parametrize(
    ("n_pieces", "message"),
    [
        (3, "n_pieces=3 does not divide its 8 channels: .* multiple, such as 9"),
        (16, "such as 16"),
        (0, "n_pieces"),
        (2.0, "n_pieces"),
        (True, "n_pieces"),
    ],
)
def test_pieces_that_do_not_fit(n_pieces, message):
    with pytest.raises(ValueError, match=message):
        Maxout(n_pieces).output_shape(MAPS)
