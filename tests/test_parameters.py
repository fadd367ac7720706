"""Parameters: names that reach into layers at any depth, and what is done to them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
import re

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_convnet import (
    ConvNetClassifier,
    ConvNetRegressor,
    augmentation,
    layers,
    losses,
    multi_crop,
    optimizers,
    schedules,
)
from sklearn_convnet.layers import (
    Conv2D,
    Dense,
    Dropout,
    MaxPool2D,
    Sequential,
)
from sklearn_convnet.losses import CrossEntropy, Huber
from sklearn_convnet.network import compile_network
from sklearn_convnet.optimizers import OPTIMIZERS, SGD, Adam
from sklearn_convnet.parameters import Parametrized

ESTIMATORS = (ConvNetClassifier, ConvNetRegressor)


def nested():
    """A block in a block, with and without names."""
    inner = Sequential([Conv2D(4, 3), ("last", Conv2D(5, 1)), Conv2D(6, 1)])
    block = Sequential((("deep", inner), MaxPool2D(2)))
    return [Conv2D(2, 3), ("block", block), Conv2D(3, 1), Dense(7), Dense(8)]


# ---------------------------------------------------------------------------
# Names
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_unnamed_layers_are_called_after_their_class_and_counted():
    names = ConvNetClassifier(nested()).get_params()
    assert [names[f"{name}__filters"] for name in ("conv2d1", "conv2d2")] == [2, 3]
    assert [names[f"{name}__units"] for name in ("dense1", "dense2")] == [7, 8]
    assert names["block__deep__conv2d1__filters"] == 4
    assert names["block__deep__last__filters"] == 5
    assert names["block__deep__conv2d2__filters"] == 6
    assert names["block__maxpool2d1__pool_size"] == 2


def test_counting_steps_over_names_that_are_taken():
    clf = ConvNetClassifier([Dense(1), ("dense1", Dense(2)), Dense(3)])
    params = clf.get_params()
    assert {k: params[k] for k in params if k.endswith("__units")} == {
        "dense2__units": 1,
        "dense1__units": 2,
        "dense3__units": 3,
    }


def test_reading_names_writes_nothing():
    given = nested()
    copy = list(given)
    clf = ConvNetClassifier(given)
    clf.get_params()
    assert clf.layers is given
    assert all(a is b for a, b in zip(given, copy, strict=True))


def test_names_of_the_fitted_network_are_those_of_the_parameters(maps):
    clf = ConvNetClassifier(nested(), max_iter=1, random_state=0).fit(*maps)
    assert [name for name, _ in clf.layers_] == [
        "conv2d1", "block", "conv2d2", "dense1", "dense2", "output",
    ]  # fmt: skip
    assert "block/deep/conv2d2/weight" in clf.get_weights()


@pytest.mark.parametrize("name", ["output", "box", "a__b", "a/b", "", "loss", "layers"])
def test_names_that_are_not_allowed(name, maps):
    with pytest.raises(ValueError, match=f"name '{name}' in layers is not allowed"):
        ConvNetClassifier([(name, Dense(2))]).fit(*maps)


def test_a_name_must_be_unique(maps):
    with pytest.raises(ValueError, match="name 'a' occurs twice in layers"):
        ConvNetClassifier([("a", Dense(2)), ("a", Dense(2))]).fit(*maps)


def test_inside_a_block_the_names_of_the_estimator_are_free(maps):
    block = Sequential([("loss", Dense(3)), ("output", Dense(2))])
    clf = ConvNetClassifier([("b", block)], max_iter=1).fit(*maps)
    assert {"b/loss/weight", "b/output/weight"} <= set(clf.get_weights())
    with pytest.raises(ValueError, match=r"name 'layers' in .* is not allowed"):
        clf.set_params(b__layers=[("layers", Dense(2))]).fit(*maps)


# ---------------------------------------------------------------------------
# Setting
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_keys_at_every_depth_can_be_set():
    clf = ConvNetClassifier(nested(), optimizer=Adam())
    keys = {
        "conv2d1__filters": 20,
        "block__deep__conv2d2__filters": 21,
        "block__maxpool2d1__stride": 1,
        "dense2__units": 22,
        "optimizer__learning_rate": 0.5,
        "max_iter": 23,
    }
    assert clf.set_params(**keys) is clf
    assert {key: clf.get_params()[key] for key in keys} == keys


def test_set_params_takes_what_get_params_gives():
    clf = ConvNetRegressor(nested(), loss=Huber(2.0), optimizer=SGD(0.1))
    other = ConvNetRegressor().set_params(**clf.get_params())
    assert repr(other) == repr(clf)
    assert other.set_params(**other.get_params()).layers is clf.layers


@pytest.mark.parametrize("container", [list, tuple])
@pytest.mark.parametrize("value", [Dense(99), "passthrough"])
def test_a_layer_is_replaced_by_its_name(container, value):
    given = container(nested())
    clf = ConvNetClassifier(given)
    clf.set_params(dense1=value)
    assert type(clf.layers) is container
    assert [name for name, _ in clf.layers] == [
        "conv2d1", "block", "conv2d2", "dense1", "dense2",
    ]  # fmt: skip
    assert clf.get_params()["dense1"] is value
    assert clf.get_params()["dense2__units"] == 8
    assert isinstance(given[3], Dense)
    assert given[3].units == 7
    assert "dense1" not in vars(clf)


@pytest.mark.parametrize("container", [list, tuple])
def test_a_layer_inside_a_block_is_replaced(container):
    block = Sequential(container([Conv2D(4, 3), Conv2D(5, 3)]))
    clf = ConvNetClassifier([("block", block)])
    clf.set_params(block__conv2d1="passthrough")
    assert clf.get_params()["block__conv2d2__filters"] == 5
    assert type(clf.layers[0][1].layers) is container


def test_what_is_passed_through_is_not_in_the_network(maps):
    clf = ConvNetClassifier(nested(), max_iter=1, random_state=0)
    clf.set_params(dense1="passthrough", block__deep="passthrough").fit(*maps)
    paths = {path.split("/")[0] for path in clf.get_weights()}
    assert paths == {"conv2d1", "conv2d2", "dense2", "output"}


def test_a_passed_through_layer_can_come_back(maps):
    clf = ConvNetClassifier([("a", Dense(3)), Dense(4)], max_iter=1)
    clf.set_params(a="passthrough").set_params(a=Dense(5), a__use_bias=False)
    assert clf.fit(*maps).get_weights()["a/weight"].shape == (72, 5)
    assert "a/bias" not in clf.get_weights()


@pytest.mark.parametrize("order", [1, -1])
def test_layers_are_set_before_their_children(order):
    keys = {"layers": [("new", Dense(3)), Dropout()], "new__units": 4}
    keys |= {"dropout1__rate": 0.1, "optimizer__beta_1": 0.8, "optimizer": Adam()}
    clf = ConvNetClassifier(nested())
    clf.set_params(**dict(list(keys.items())[::order]))
    params = clf.get_params()
    assert (params["new__units"], params["dropout1__rate"]) == (4, 0.1)
    assert params["optimizer__beta_1"] == 0.8
    assert "block__deep" not in params


def test_a_child_of_a_layer_that_comes_with_it():
    clf = ConvNetClassifier(nested())
    clf.set_params(block__deep__last__filters=9, block__deep__last=Conv2D(1, 7))
    assert clf.get_params()["block__deep__last__kernel_size"] == 7
    assert clf.get_params()["block__deep__last__filters"] == 9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"conv9__filters": 1}, "Invalid parameter 'conv9'.*conv2d1"),
        ({"conv2d1__filter": 1}, "Invalid parameter 'conv2d1__filter'.*'filters'"),
        (
            {"block__deep__last__size": 1},
            "Invalid parameter 'block__deep__last__size'.*Conv2D.*'kernel_size'",
        ),
        ({"conv2d1": 3}, "conv2d1 can be replaced by a layer or 'passthrough', got 3"),
        ({"block__deep": "x"}, "block__deep can be replaced by a layer"),
        ({"learning_rate": 1}, "Invalid parameter 'learning_rate'.*'optimizer'"),
        ({"layers": [Dense(2)], "conv2d1__filters": 1}, "Invalid parameter 'conv2d1'"),
        ({"dense1": "passthrough", "dense1__units": 3}, "dense1__units cannot be set"),
    ],
)
def test_a_wrong_key_changes_nothing(wrong, message):
    clf = ConvNetClassifier(nested())
    before = repr(clf), clf.layers
    keys = {"max_iter": 7, "conv2d2__filters": 99, "dense2": "passthrough", **wrong}
    if "layers" in wrong:
        keys = {"max_iter": 7, **wrong}
    with pytest.raises(ValueError, match=message):
        clf.set_params(**keys)
    assert repr(clf) == before[0]
    assert clf.layers is before[1]


# ---------------------------------------------------------------------------
# Parameters of what is given by name
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("order", [1, -1])
def test_a_name_becomes_an_instance_when_its_parameter_is_set(name, order):
    clf = ConvNetClassifier(optimizer="sgd" if name == "adam" else "adam")
    keys = {"optimizer": name, "optimizer__learning_rate": 0.5}
    clf.set_params(**dict(list(keys.items())[::order]))
    assert type(clf.optimizer) is OPTIMIZERS[name]
    expected = OPTIMIZERS[name](learning_rate=0.5)
    assert repr(clf.optimizer) == repr(clone(clf).optimizer) == repr(expected)
    assert clf.get_params()["optimizer__learning_rate"] == 0.5
    assert repr(ConvNetClassifier().set_params(**clf.get_params())) == repr(clf)


def test_reading_and_cloning_leave_names_alone(maps):
    clf = clone(ConvNetClassifier([Dense(2)], loss="focal", optimizer="sgd", max_iter=1))
    params = clf.get_params()
    assert (params["optimizer"], params["loss"]) == ("sgd", "focal")
    assert not [key for key in params if key.startswith(("optimizer__", "loss__"))]
    clf.fit(*maps)
    assert (clf.optimizer, clf.loss) == ("sgd", "focal")
    before = clf.predict_proba(maps[0])
    clf.set_params(optimizer__momentum=0.0, loss__gamma=2.0, warm_start=True)  # the defaults
    np.testing.assert_array_equal(clf.predict_proba(maps[0]), before)
    assert len(clf.fit(*maps).loss_curve_) == 2


@pytest.mark.parametrize(
    ("estimator", "loss", "key", "value"),
    [
        (ConvNetRegressor, "huber", "delta", 0.5),
        (ConvNetRegressor, "quantile", "quantile", 0.9),
        (ConvNetClassifier, "focal", "gamma", 1.0),
        (ConvNetClassifier, "cross_entropy", "label_smoothing", 0.1),
        (ConvNetClassifier, "auto", "label_smoothing", 0.1),
    ],
)
def test_parameters_of_losses_that_are_named(estimator, loss, key, value):
    model = estimator(loss=loss).set_params(**{f"loss__{key}": value})
    assert model.get_params()[f"loss__{key}"] == value
    assert type(model.loss) is model._losses[loss]


def test_a_search_over_parameters_of_names(maps):
    X, y = maps
    grid = [
        {"optimizer": ["sgd"], "optimizer__momentum": [0.0, 0.9]},
        {"optimizer__learning_rate": [1e-3, 1e-2], "loss__label_smoothing": [0.0, 0.1]},
    ]
    clf = ConvNetClassifier([Dense(3)], max_iter=3, random_state=0)
    search = GridSearchCV(clf, grid, cv=2, error_score="raise").fit(X, y)
    for params, score in zip(
        search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
    ):
        optimizer = SGD if "optimizer" in params else Adam
        rates = {k.removeprefix("optimizer__"): v for k, v in params.items() if "mizer__" in k}
        loss = CrossEntropy(params.get("loss__label_smoothing", 0.0))
        same = clone(clf).set_params(optimizer=optimizer(**rates), loss=loss)
        assert score == cross_val_score(same, X, y, cv=2).mean()
    pipe = Pipeline([("net", clf)]).set_params(net__optimizer__beta_1=0.8)
    assert repr(pipe["net"].optimizer) == repr(Adam(beta_1=0.8))


@pytest.mark.parametrize(
    ("optimizer", "key", "message"),
    [
        ("adam", "optimizer__momentum", "Invalid parameter 'optimizer__momentum'.*Adam.*'beta_1'"),
        ("lbfgs", "optimizer__momentum", "cannot be set: optimizer='lbfgs'.*Adam()"),
        (Adam, "optimizer__beta_1", "cannot be set: .*pass an instance.*Adam()"),
        ("adam", "loss__delta", "Invalid parameter 'loss__delta'.*CrossEntropy.*'label_smoothing'"),
        ("adam", "tol__x", "tol__x cannot be set: tol=0.0001 has no parameters"),
    ],
)
def test_parameters_that_a_name_does_not_have(optimizer, key, message):
    clf = ConvNetClassifier(optimizer=optimizer)
    before = clf.get_params()
    with pytest.raises(ValueError, match=message):
        clf.set_params(**{"max_iter": 3, key: 0.1})
    assert clf.get_params() == before


# ---------------------------------------------------------------------------
# Copies and text
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_a_clone_shares_no_layer():
    clf = ConvNetClassifier(nested(), optimizer=SGD(0.3))
    copy = clone(clf)
    copy.set_params(block__deep__last__filters=50, optimizer__learning_rate=9.0)
    copy.set_params(conv2d1="passthrough")
    params = clf.get_params()
    assert params["block__deep__last__filters"] == 5
    assert params["optimizer__learning_rate"] == 0.3
    assert params["conv2d1__filters"] == 2


def test_a_fitted_network_does_not_follow_its_parameters(maps):
    X, y = maps
    clf = ConvNetClassifier(nested(), max_iter=1, random_state=0).fit(X, y)
    before = clf.predict_proba(X)
    clf.set_params(dense1__units=70, conv2d1__activation="tanh")
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    assert dict(clf.layers_)["dense1"].units == 7


def test_repr_tells_the_layers():
    clf = ConvNetClassifier([("conv1", Conv2D(6, 5)), Dense(3)], max_iter=5)
    text = " ".join(repr(clf).split())
    assert text == (
        "ConvNetClassifier(layers=[('conv1', Conv2D(filters=6, kernel_size=5)), "
        "Dense(units=3)], max_iter=5)"
    )


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_constructor_stores_its_arguments(estimator):
    names = list(inspect.signature(estimator.__init__).parameters)[1:]
    values = {name: object() for name in names}
    made = estimator(**values)
    assert all(getattr(made, name) is value for name, value in values.items())
    assert set(vars(made)) == set(names)
    with pytest.raises(TypeError, match="positional"):
        estimator(None, (8, 8))  # only `layers` may come without its name


def test_layers_take_any_value_until_they_are_used():
    kinds = [getattr(layers, name) for name in layers.__all__]
    kinds = [kind for kind in kinds if inspect.isclass(kind) and issubclass(kind, layers.Layer)]
    assert len(kinds) > 15
    for kind in kinds:
        names = list(inspect.signature(kind).parameters)
        made = kind(**dict.fromkeys(names, "no such value"))
        assert set(made.get_params()) == set(names)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    "value", [None, -1, "helloworld", np.ones(2), [1], {}, [], (), [("a", 1)], [[]]]
)
def test_wrong_layers_can_be_read_and_replaced(estimator, value):
    made = estimator(value)
    params = made.get_params()
    assert params["layers"] is value
    assert set(params) == set(estimator().get_params())
    assert repr(made).startswith(estimator.__name__)
    made.set_params(layers=[("dense", Dense(2))], dense__units=3)
    assert made.get_params()["dense__units"] == 3


def test_unknown_parameters_are_listed_with_those_that_exist():
    with pytest.raises(ValueError, match="'b'") as caught:
        ConvNetClassifier([("conv1", Conv2D(1, 1))]).set_params(b=1)
    listed = re.findall(r"'(\w+)'", str(caught.value))
    assert {"conv1", "max_iter", "layers", "random_state"} <= set(listed)


def test_messages_name_options_in_one_order(run_python):
    script = """
        import inspect, importlib, pkgutil
        import sklearn_convnet
        for module in pkgutil.walk_packages(sklearn_convnet.__path__, "sklearn_convnet."):
            if ".kernels._" in module.name:  # those of another CPU cannot be imported
                continue
            for name, kind in vars(importlib.import_module(module.name)).items():
                for parameter, allowed in getattr(kind, "_parameter_constraints", {}).items():
                    if isinstance(allowed, list):
                        shown = [str(one) for one in allowed if not inspect.isclass(one)]
                        print(name, parameter, shown)
        try:
            sklearn_convnet.ConvNetClassifier(loss="mse").fit([[0.0], [1.0]], [0, 1])
        except ValueError as error:
            print(error)
    """
    printed = {run_python(script, PYTHONHASHSEED=seed) for seed in "012"}
    assert len(printed) == 1
    assert "among {'auto', 'cross_entropy', 'focal'}" in printed.pop()


# ---------------------------------------------------------------------------
# Signatures and constraints are read once
# ---------------------------------------------------------------------------

MODULES = (layers, losses, optimizers, schedules, augmentation, multi_crop)
KINDS = {
    kind
    for module in MODULES
    for kind in vars(module).values()
    if inspect.isclass(kind) and issubclass(kind, Parametrized) and kind._parameter_constraints
} - {optimizers.Optimizer}  # the base class


@pytest.mark.oldest
@pytest.mark.parametrize("kind", sorted(KINDS, key=lambda kind: kind.__name__))
def test_wrong_parameters_are_told_in_the_words_of_scikit_learn(kind):
    """Each parameter alone: a subclass of the same name checks no other."""
    names, wrong = list(inspect.signature(kind).parameters), object()
    assert set(kind._parameter_constraints) == set(names)
    for constraints in kind._parameter_constraints.items():
        only = type(kind.__name__, (kind,), {"_parameter_constraints": dict([constraints])})
        made = only(**dict.fromkeys(names, wrong))
        if constraints[1] == "no_validation":
            Parametrized._validate_params(made)
            continue
        with pytest.raises(InvalidParameterError) as expected:
            BaseEstimator._validate_params(made)
        with pytest.raises(InvalidParameterError) as seen:
            Parametrized._validate_params(made)
        assert str(seen.value) == str(expected.value)


def test_a_subclass_has_parameters_and_constraints_of_its_own():
    class Narrow(Dense):
        _parameter_constraints = {"width": ["boolean"]}

        def __init__(self, width):
            self.width = width

    assert Dense(3).get_params().keys() > {"units", "activation"}
    assert Narrow(True).get_params() == {"width": True}
    Narrow(True)._validate_params()
    with pytest.raises(InvalidParameterError, match="'width' parameter of Narrow"):
        Narrow("no")._validate_params()


def test_a_list_of_names_may_be_changed():
    Dense._get_param_names().clear()
    assert "units" in Dense(3).get_params()


def test_a_network_reads_no_signature_twice(monkeypatch):
    read = []
    signature = inspect.signature
    monkeypatch.setattr(
        inspect, "signature", lambda f, **how: read.append(f) or signature(f, **how)
    )
    compile_network(nested(), (8, 8, 2), random_state=0)
    read.clear()
    compile_network(nested(), (8, 8, 2), random_state=0)
    assert not read
