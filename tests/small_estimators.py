"""Small estimators and what they are fitted to, for tests of what models predict elsewhere."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, MaxPool2D, Standardize

N = 24


def rng():
    return np.random.RandomState(0)


def images(*shape, dtype="float32"):
    return rng().normal(size=(N, *(shape or (8, 6)))).astype(dtype)


def layers():
    return [Standardize(), Conv2D(3, 3), BatchNorm(), MaxPool2D(2), Dense(5)]


def map_layers():
    return [Conv2D(3, 3, padding="same"), BatchNorm()]


def classifier(*args, **params):
    return ConvNetClassifier(*args or [layers()], **{"max_iter": 2, "random_state": 0, **params})


def regressor(*args, **params):
    return ConvNetRegressor(*args or [layers()], **{"max_iter": 2, "random_state": 0, **params})


def three_classes():
    return np.arange(N) % 3
