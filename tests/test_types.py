"""Annotations: every public function has them, and type checkers know what users write.

mypy reads this file as well, which `assert_type` is for.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pytest
from numpy.typing import NDArray

import sklearn_convnet
from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import Compose, RandomFlip
from sklearn_convnet.estimators.scanning import Scan
from sklearn_convnet.layers import Conv2D, Dense, Layer, MaxPool2D, Residual
from sklearn_convnet.losses import Huber
from sklearn_convnet.metrics import box_iou
from sklearn_convnet.network import Network, compile_network
from sklearn_convnet.network.probe import Probe
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.schedules import CosineDecay
from sklearn_convnet.tables import Table

PACKAGE = Path(sklearn_convnet.__file__).parent
NAMES = sorted({*dir(sklearn_convnet), "dask"} - {*sklearn_convnet.__all__})
MODULES = ["sklearn_convnet", *(f"sklearn_convnet.{name}" for name in NAMES)]


def functions_of(kind):
    """`(name, function)` of the constructor, the public methods and properties of a class."""
    for name in dir(kind):
        value = inspect.getattr_static(kind, name)
        value = getattr(value, "__func__", getattr(value, "fget", getattr(value, "func", value)))
        is_public = name == "__init__" or not name.startswith("_")
        if is_public and inspect.isfunction(value):
            yield f"{kind.__name__}.{name}", inspect.unwrap(value)


def public_functions(module):
    """`(name, function)` of all functions and methods that a public module names."""
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value):
            yield from functions_of(value)
        elif callable(value):
            yield name, inspect.unwrap(value)


def missing(function):
    """Arguments of a function of this package without annotation, and "return"."""
    if not (function.__module__ or "").startswith("sklearn_convnet"):
        return []
    parameters = [*inspect.signature(function).parameters][
        1 if "." in function.__qualname__ else 0 :
    ]
    return [name for name in (*parameters, "return") if name not in function.__annotations__]


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_is_annotated(name):
    functions = dict(public_functions(import_module(name)))
    assert functions
    assert not {
        name: missing(function) for name, function in functions.items() if missing(function)
    }


@pytest.mark.parametrize("kind", [Probe, Scan, Table])
def test_what_public_functions_return_is_annotated(kind):
    assert not {name: missing(f) for name, f in functions_of(kind) if missing(f)}


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_has_a_docstring(name):
    module = import_module(name)
    kinds = [getattr(module, public) for public in module.__all__]
    names = [
        (kind, n.rpartition(".")[2])
        for kind in kinds
        if inspect.isclass(kind)
        for n, _ in functions_of(kind)
    ]
    assert not [(kind, n) for kind, n in names if not inspect.getdoc(getattr(kind, n))]


def test_the_package_says_that_it_is_annotated():
    assert (PACKAGE / "py.typed").exists()


def test_estimators() -> None:
    X, y = np.random.RandomState(0).normal(size=(20, 6, 6)), np.arange(20) % 2
    clf = ConvNetClassifier([Conv2D(4, 3), ("hidden", Dense(8))], batch_size=10, max_iter=1)
    clf = clf.set_params(optimizer=Adam(CosineDecay(0.1, period=3)), loss="focal")
    assert_type(clf.fit(X, y), ConvNetClassifier)
    assert_type(clf.predict(X), NDArray[Any])
    assert_type(clf.score(X, y), float)
    assert_type(clf.get_weights(), dict[str, NDArray[Any]])
    assert_type(clf.history_, dict[str, list[float]])
    assert_type(clf.scan(X), Scan)
    reg = ConvNetRegressor(layers=None, loss=Huber(0.5), random_state=0)
    assert_type(reg.partial_fit(X.tolist(), [float(label) for label in y]).predict(X), NDArray[Any])
    with pytest.raises(ValueError, match="'target' parameter"):
        ConvNetRegressor(target="value").fit(X, y)  # type: ignore[arg-type]


def test_layers_and_networks() -> None:
    layers: list[Layer | tuple[str, Layer]] = [
        ("conv", Conv2D(6, (3, 3), padding="same")),
        Residual([Conv2D(6, 3, padding=((1, 1), (1, 1)))]),
        MaxPool2D(2),
        Dense(10, activation=None),
    ]
    network = compile_network(layers, (8, 8, 1), dtype="float64", random_state=0)
    assert_type(network, Network)
    assert_type(network.output_shape, tuple[int, ...])
    assert_type(network.forward([[[[0.0]] * 8] * 8]), NDArray[Any])
    assert network.output_shape == (10,)
    # Where mypy found no mistake, the comment that lets it pass would be one.
    layer = Conv2D(6, 3, padding="some")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="padding must be"):
        layer.output_shape((8, 8, 1))


def test_what_else_users_call() -> None:
    assert_type(box_iou([[0, 0, 1, 1]], [[0, 0, 1, 1]]), NDArray[Any])
    assert_type(CosineDecay(0.1, period=3).simulate(3), NDArray[Any])
    augmentation = Compose([RandomFlip(), ("flip", RandomFlip(vertical=0.5))])
    X, points, label_maps = augmentation.augment(np.zeros((2, 4, 4)), random_state=0)
    assert_type(X, NDArray[Any])
    assert_type(points, NDArray[Any] | None)
    assert X.shape == (2, 4, 4)
    assert points is label_maps is None
