"""Dense layers, flattening, activations, dropout and scales as specs."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sklearn_convnet.layers import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    Rescale,
    Standardize,
)
from sklearn_convnet.layers.activation import ACTIVATIONS, ALPHA

SHAPES = [(6,), (3, 2), (4, 3, 2), (2, 4, 3, 2)]


@pytest.mark.parametrize("shape", SHAPES)
def test_dense(shape):
    layer = Dense(7)
    assert layer.output_shape(shape) == (7,)
    assert layer.weight_shape(shape) == (np.prod(shape), 7)
    assert layer.multiply_adds(shape) == np.prod(shape) * 7
    assert Flatten().output_shape(shape) == (np.prod(shape),)


@pytest.mark.parametrize(
    "layer",
    [
        *(Activation(name) for name in [*ACTIVATIONS, None]),
        *(Activation(name, alpha=0.5) for name in ALPHA),
        Dropout(),
        Rescale(2.0),
        Standardize(),
        Standardize(per="value"),
    ],
    ids=repr,
)
def test_shape_stays(layer):
    for shape in SHAPES:
        assert layer.output_shape(shape) == shape


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (Dense(0), "units"),
        (Dense(2.0), "units"),
        (Dense(None), "units"),
        (Dense(2, activation="softmin"), "activation"),
        (Dense(2, use_bias=None), "use_bias"),
        (Dense(2, kernel_initializer="normal"), "kernel_initializer"),
        (Dense(2, trainable="no"), "trainable"),
        (Activation("rely"), "activation"),
        (Activation("relu", alpha=0.1), "alpha"),
        (Activation(None, alpha=0.1), "alpha"),
        (Activation("elu", alpha=-1), "alpha"),
        (Activation("elu", alpha="1"), "alpha"),
        (Dropout(1), "rate"),
        (Dropout(-0.1), "rate"),
        (Dropout("half"), "rate"),
        (Rescale(None), "scale"),
        (Rescale(np.inf), "scale"),
        (Rescale(np.nan), "scale"),
        (Rescale(1.0, offset="0"), "offset"),
        (Rescale([1.0, np.nan]), "scale"),
        (Rescale(1.0, offset=["0", "1"]), "offset"),
        (Standardize(per="row"), "per"),
    ],
    ids=repr,
)
def test_wrong_parameters(layer, name):
    with pytest.raises(ValueError, match=f"'{name}'|{name}="):
        layer.output_shape((4, 2))
