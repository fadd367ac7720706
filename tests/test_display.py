"""How estimators and layers look, as text and in a notebook."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re
from collections import Counter
from time import process_time

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.architectures import googlenet, lenet5, resnet, resnet_cifar
from sklearn_convnet.augmentation import Compose, GaussianNoise, RandomFlip
from sklearn_convnet.display import MAX_ROWS
from sklearn_convnet.layers import (
    Conv2D,
    Dense,
    GlobalMaxPool,
    Layer,
    MaxPool2D,
    Residual,
    TransformConv2D,
)
from sklearn_convnet.losses import Huber
from sklearn_convnet.optimizers import SGD
from sklearn_convnet.parameters import Parametrized
from sklearn_convnet.schedules import StepDecay

QUARTER_TURNS = [np.linalg.matrix_power(np.array([[0, -1], [1, 0]]), i) for i in range(4)]


def rich():
    """Everything set: objects with parameters, arrays, a dictionary."""
    return ConvNetClassifier(
        [("conv1", Conv2D(6, 3, stride=np.int64(1))), MaxPool2D(2), ("dense1", Dense(4))],
        optimizer=SGD(StepDecay(0.1, 3), momentum=0.9),
        augmentation=Compose([RandomFlip(), GaussianNoise(0.1)]),
        init_from={"conv1/weight": np.zeros((3, 3, 1, 6)), "conv1/bias": np.arange(6.0)},
        class_weight={0: 1.0, 1: np.float64(2.0)},
        tol=1e-4,
        batch_size=8,
    )


SHOWN = {
    "nothing": ConvNetClassifier(),
    "layer": Conv2D(6, 5, activation=None, padding="same", use_bias=False),
    "small": ConvNetClassifier(lenet5(), max_iter=3),
    "rich": rich(),
    "block": Residual([Conv2D(4, 3, padding="same")] * 3, shortcut=Conv2D(4, 1)),
    "arrays": ConvNetRegressor([TransformConv2D(4, 3, transforms=QUARTER_TURNS), GlobalMaxPool()]),
    "branches": ConvNetClassifier(googlenet()),
    "deep": ConvNetClassifier(resnet_cifar(20), loss="auto"),
    "long": ConvNetRegressor([Dense(n) for n in range(1, 40)], loss=Huber()),
    "wrong": ConvNetRegressor([1, (), [("a", Dense(2))], ("b",), {"c": Dense(3)}], tol=Dense),
}


# ---------------------------------------------------------------------------
# Text
# ---------------------------------------------------------------------------


@pytest.fixture
def written_by_scikit_learn(monkeypatch):
    """What `repr` returns where nothing is done by our printer."""

    def written(shown, *length):
        with monkeypatch.context() as patch:
            patch.setattr(Parametrized, "__repr__", BaseEstimator.__repr__)
            return shown.__repr__(*length)

    return written


@pytest.mark.oldest
@pytest.mark.parametrize("changed_only", [True, False])
@pytest.mark.parametrize("name", SHOWN)
def test_the_text_is_that_of_scikit_learn(name, changed_only, written_by_scikit_learn):
    shown = SHOWN[name]
    with config_context(print_changed_only=changed_only):
        for length in (2, 31, 200, 700, 10**6):
            assert shown.__repr__(N_CHAR_MAX=length) == written_by_scikit_learn(shown, length)


@pytest.mark.oldest
@pytest.mark.parametrize("name", SHOWN)
def test_the_text_inside_of_others_is_that_of_scikit_learn(name, written_by_scikit_learn):
    for shown in (
        Pipeline([("same", FunctionTransformer()), ("net", SHOWN[name])]),
        GridSearchCV(SHOWN[name], {"max_iter": [1, 2], "layers": [[SHOWN["layer"]], None]}),
    ):
        assert repr(shown) == written_by_scikit_learn(shown)


def test_a_list_that_holds_itself_has_a_text():
    layers = [Dense(2)]
    layers.append(layers)
    assert repr(ConvNetClassifier(layers)).startswith("ConvNetClassifier(layers=[Dense(units=2)")


@pytest.mark.parametrize("around", [lambda net: net, lambda net: Pipeline([("net", net)])])
def test_each_layer_is_written_a_few_times_however_many_there_are(around, monkeypatch):
    asked = Counter()
    get_params = Layer.get_params
    monkeypatch.setattr(
        Layer,
        "get_params",
        lambda self, deep=True: asked.update([id(self)]) or get_params(self, deep),
    )

    def most(depth):
        asked.clear()
        shown = around(ConvNetClassifier(resnet(depth)))
        repr(shown)
        return max(asked.values())

    assert most(152) <= most(18)


@pytest.mark.parametrize("layers", [resnet(152), resnet_cifar(20)], ids=["deep", "wide"])
def test_a_deep_network_is_shown_at_once(layers):
    clf = ConvNetClassifier(layers)
    for show in (repr, lambda clf: clf._repr_html_()):
        # The fastest of several: what else the machine does only ever adds.
        seconds = []
        while len(seconds) < 5 and min(seconds, default=1) > 0.2:
            start = process_time()
            text = show(clf)
            seconds.append(process_time() - start)
        assert min(seconds) <= 0.2
        assert len(text) < 100_000


# ---------------------------------------------------------------------------
# Tables
# ---------------------------------------------------------------------------


ROW = re.compile(
    r'"(\S+)">.*?<td class="param">\s*(.*?)\s*</td>\s*<td class="value">(.*?)</td>', re.DOTALL
)


def rows(html):
    """Of each row its kind and the text of its value, by name."""
    found = map(ROW.match, html.replace("&nbsp;", "").split("<tr class=")[1:])
    return {row[2]: (row[1], row[3]) for row in found if row}


def set_by_user(html):
    return {name for name, (kind, _) in rows(html).items() if kind == "user-set"}


@pytest.mark.oldest
def test_defaults_are_not_shown_as_set_by_the_user():
    table = rows(ConvNetClassifier()._repr_html_())
    assert set(table) == set(ConvNetClassifier().get_params(deep=False))
    assert {kind for kind, _ in table.values()} == {"default"}


@pytest.mark.oldest
def test_what_the_user_set_is_shown_so():
    html = rich()._repr_html_()
    own = {"layers", "optimizer", "augmentation", "init_from", "class_weight", "batch_size"}
    nested = {"optimizer__learning_rate", "optimizer__momentum", "augmentation__transforms"}
    deeper = {"optimizer__learning_rate__initial", "optimizer__learning_rate__every"}
    transforms = {"augmentation__randomflip1", "augmentation__gaussiannoise1"}
    assert set_by_user(html) == own | nested | deeper | transforms
    table = rows(html)
    assert table["optimizer__nesterov"] == ("default", "False")
    assert table["augmentation__gaussiannoise1"] == ("user-set", "GaussianNoise(stddev=0.1)")
    assert {"conv1", "conv1__filters"}.isdisjoint(table)  # they are drawn


@pytest.mark.oldest
@pytest.mark.parametrize("name", SHOWN)
def test_everything_has_a_table(name):
    table = rows(SHOWN[name]._repr_html_())
    assert set(table) >= set(SHOWN[name].get_params(deep=False))


def test_the_rows_of_transforms_are_limited():
    augmentation = Compose([RandomFlip()] * (MAX_ROWS + 5))
    table = rows(ConvNetClassifier(augmentation=augmentation)._repr_html_())
    assert f"augmentation__randomflip{MAX_ROWS}" in table
    assert f"augmentation__randomflip{MAX_ROWS + 1}" not in table
    assert table["augmentation__..."][1] == "&#x27;5 more&#x27;"


@pytest.mark.oldest
def test_tables_of_fitted_estimators_and_inside_of_others(maps):
    X, y = maps
    net = rich().set_params(max_iter=1, random_state=0, init_from=None, class_weight=None)
    net.set_params(augmentation=None)
    grid = GridSearchCV(net, {"conv1__filters": [2, 3]}, cv=2).fit(X, y)
    pipe = Pipeline([("net", net)])
    expected = set_by_user(net._repr_html_())
    assert {"optimizer__momentum", "random_state"} <= expected
    for shown in (net.fit(X, y), grid, pipe, pipe.fit(X, y)):
        html = shown._repr_html_()
        if shown is grid:  # of what it has searched it shows text
            assert "momentum=0.9" in html
        else:
            assert expected <= set_by_user(html)
        assert ">conv1: Conv2D<" in html
        assert "conv1__filters" not in rows(html)
        assert len(html) < 100_000
    transforms = SHOWN["arrays"].set_params(max_iter=1).fit(X, y.astype(float))
    assert ">transformconv2d1: TransformConv2D<" in transforms._repr_html_()
