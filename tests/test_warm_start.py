"""Parameters that were changed between two fits: what is honoured, and what is refused."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import pickle

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import RandomAffine, RandomFlip
from sklearn_convnet.estimators.warm_start import same
from sklearn_convnet.layers import (
    Activation,
    AvgPool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool2D,
    Residual,
    Standardize,
)
from sklearn_convnet.losses import Huber, Poisson, SquaredError
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.optimizers import SGD, Adam, AdamW, RMSprop
from sklearn_convnet.schedules import ReduceOnPlateau
from sklearn_convnet.training import Trainer


def layers(**head):
    return [
        ("norm", Standardize()),
        ("conv", Conv2D(4, 3, padding="same")),
        ("bn", BatchNorm()),
        ("pool", MaxPool2D(2)),
        ("drop", Dropout(0.2)),
        ("head", Dense(8, **head)),
    ]


def begun(X, y, kind=ConvNetClassifier, **params):
    fast = dict(
        layers=layers(), max_iter=1, batch_size=20, random_state=0, warm_start=True,
        optimizer=Adam(0.01),
    )  # fmt: skip
    return kind(**{**fast, **params}).fit(X, y)


def by_fit(model, X, y):
    return model.fit(X, y)


def by_partial_fit(model, X, y):
    return model.partial_fit(X, y)


GOING_ON = pytest.mark.parametrize("go_on", [by_fit, by_partial_fit])


def weights(model):
    return np.concatenate([w.ravel() for w in model.get_weights().values()])


def unchanged(model, X, action):
    """Whether an action that fails leaves a model as it was."""
    before, P = vars(model).copy(), model.predict_proba(X)
    with pytest.raises(ValueError) as caught:
        action()
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(model.predict_proba(X), P)
    return str(caught.value)


# ---------------------------------------------------------------------------
# What is honoured
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@GOING_ON
def test_a_layer_is_frozen_and_freed(maps, go_on):
    X, y = maps
    model = begun(X, y)
    first = model.get_weights()
    go_on(model.set_params(conv__trainable=False), X, y)
    second = model.get_weights()
    for name in ("conv/weight", "conv/bias"):
        np.testing.assert_array_equal(second[name], first[name])
    assert not np.array_equal(second["head/weight"], first["head/weight"])
    go_on(model.set_params(conv__trainable=True), X, y)
    assert not np.array_equal(model.get_weights()["conv/weight"], first["conv/weight"])


@GOING_ON
def test_freezing_a_batch_norm_keeps_its_statistics(maps, go_on):
    X, y = maps
    model = begun(X, y)
    first = model.get_weights()
    go_on(model.set_params(bn__trainable=False), X, y)
    for name in ("bn/mean", "bn/variance"):
        np.testing.assert_array_equal(model.get_weights()[name], first[name])


# By what is changed, the parameters of a network that is otherwise the same.
HONOURED = {
    "dropout": {"drop__rate": 0.6},
    "another layer of the same shapes": {"pool": AvgPool2D(2)},
    "a layer without weights goes": {"drop": "passthrough"},
    "activation": {"head__activation": "tanh"},
    "momentum": {"bn__momentum": 0.5},
    "padding and pool": {"conv__padding": 2, "pool__pool_size": 3, "pool__padding": "same"},
    "optimiser": {"optimizer": SGD(0.05)},
    "learning rate": {"optimizer__learning_rate": 0.1},
    "weight decay": {"optimizer__weight_decay": 0.5},
    "loss": {"loss": "focal"},
    "class weight": {"class_weight": {0: 5.0}},
    "batch size": {"batch_size": 7},
    "augmentation": {"augmentation": RandomAffine(rotation=(-90, 90))},
    "shuffle": {"shuffle": False},
    "seed": {"random_state": 1},
}


@GOING_ON
@pytest.mark.parametrize("change", HONOURED.values(), ids=list(HONOURED))
def test_what_keeps_the_shapes_counts(maps, change, go_on):
    X, y = maps
    model = begun(X, y)
    same_params, changed_params = copy.deepcopy(model), copy.deepcopy(model)
    go_on(same_params, X, y)
    go_on(changed_params.set_params(**change), X, y)
    assert not np.array_equal(weights(changed_params), weights(same_params))
    n_epochs = [len(one.loss_curve_) for one in (changed_params, same_params)]
    assert n_epochs == 2 * [len(model.loss_curve_) + 1]
    # It is the parameters that are looked at, not who has them.
    other = pickle.loads(pickle.dumps(model)).set_params(**copy.deepcopy(change))
    np.testing.assert_array_equal(weights(go_on(other, X, y)), weights(changed_params))


@GOING_ON
def test_a_change_and_back_leaves_no_trace(maps, go_on):
    X, y = maps
    model = begun(X, y)
    other = copy.deepcopy(model).set_params(drop__rate=0.5).set_params(drop__rate=0.2)
    np.testing.assert_array_equal(weights(go_on(other, X, y)), weights(go_on(model, X, y)))


@GOING_ON
def test_a_network_compiled_anew_goes_on_with_the_same_bits(maps, go_on):
    """An augmentation that does nothing: all is compiled anew, and nothing is another."""
    X, y = maps
    model = begun(X, y, augmentation=RandomFlip(horizontal=0.0))
    other = copy.deepcopy(model).set_params(augmentation=RandomFlip(horizontal=0.0, vertical=0))
    for _ in range(2):
        go_on(other, X, y)
        go_on(model, X, y)
        np.testing.assert_array_equal(weights(other), weights(model))


def test_nothing_is_compiled_while_nothing_changes(maps, monkeypatch):
    X, y = maps
    model = begun(X, y)
    calls = []
    compiled = ConvNetClassifier._compile
    monkeypatch.setattr(
        ConvNetClassifier, "_compile", lambda *args: calls.append(1) or compiled(*args)
    )
    model.partial_fit(X, y).fit(X, y)
    model.set_params(layers=layers(), optimizer__learning_rate=0.1).partial_fit(X, y)
    assert not calls
    model.set_params(drop__rate=0.5).partial_fit(X, y).partial_fit(X, y)
    assert len(calls) == 1


def test_layers_inside_of_blocks(maps):
    X, y = maps
    block = Residual([("inner", Conv2D(2, 3, padding="same"))])
    model = begun(X, y, layers=[("block", block), ("head", Dense(4))])
    first = model.get_weights()
    model.set_params(block__inner__trainable=False).partial_fit(X, y)
    second = model.get_weights()
    np.testing.assert_array_equal(second["block/inner/weight"], first["block/inner/weight"])
    with pytest.raises(ValueError, match="block__inner__kernel_size was 3, is 5"):
        model.set_params(block__inner__kernel_size=5).partial_fit(X, y)


def test_a_new_size_of_crops_that_keeps_the_shapes(maps):
    X, y = maps
    net = [Conv2D(4, 3), GlobalAvgPool()]
    model = begun(X, y, layers=net, multi_crop=MultiCrop(5))
    P = model.predict_proba(X)
    np.testing.assert_array_equal(model.set_params(multi_crop=None).predict_proba(X), P)
    model.partial_fit(X, y)
    assert model.network_.input_shape == (6, 6, 2)
    assert not np.array_equal(model.predict_proba(X), P)
    model.set_params(multi_crop=MultiCrop(4, n_crops=1)).fit(X, y)
    assert model.network_.input_shape == (4, 4, 2)
    np.testing.assert_array_equal(
        model.predict_proba(X), begun_with(model, model.multi_crop.centre(X))
    )
    grown = begun(X, y, multi_crop=MultiCrop(4)).set_params(multi_crop=MultiCrop(6))
    message = unchanged(grown, X, lambda: grown.fit(X, y))
    assert "'head/weight' had shape (16, 8), now (36, 8)" in message
    assert "multi_crop__size was 4, is 6" in message


def begun_with(model, X):
    """What a model would say of X if it had no crops."""
    kernels = model.network_.kernels
    return model._target.probabilities(model.network_.forward(X), kernels)


@GOING_ON
def test_another_format_of_the_same_samples(maps, go_on):
    X, y = maps
    model = begun(X, y)
    turned = copy.deepcopy(model).set_params(data_format="channels_first")
    np.testing.assert_array_equal(turned.predict_proba(X), model.predict_proba(X))
    go_on(turned, np.moveaxis(X, -1, 1), y)
    go_on(model, X, y)
    np.testing.assert_array_equal(weights(turned), weights(model))
    np.testing.assert_array_equal(
        turned.predict_proba(np.moveaxis(X, -1, 1)), model.predict_proba(X)
    )
    assert turned.input_shape_ == (6, 6, 2)
    flat = np.moveaxis(X, -1, 1).reshape(len(X), -1)
    go_on(turned.set_params(input_shape=(2, 6, 6)), flat, y)
    go_on(model, X, y)
    np.testing.assert_array_equal(weights(turned), weights(model))
    back = turned.set_params(data_format="channels_last", input_shape=None)
    np.testing.assert_array_equal(weights(go_on(back, X, y)), weights(go_on(model, X, y)))


def test_one_channel_and_a_change(digits):
    X, y = digits
    model = begun(X, y, layers=[("conv", Conv2D(3, 3)), ("head", Dense(8))])
    other = copy.deepcopy(model)
    change = dict(conv__activation="tanh", input_shape=(8, 8, 1))
    other.set_params(**change).fit(X[..., None], y)
    model.set_params(conv__activation="tanh").fit(X, y)
    np.testing.assert_array_equal(weights(other), weights(model))
    assert other.input_shape_ == (8, 8)


def test_an_optimiser_of_the_same_rule_keeps_its_state(maps):
    X, y = maps
    model = begun(X, y).partial_fit(X, y)
    others = {
        "same": Adam(0.01),
        "AdamW": AdamW(0.01, weight_decay=0.0),
        "RMSprop": RMSprop(0.01),
    }
    steps = {}
    for name, optimizer in others.items():
        other = copy.deepcopy(model).set_params(optimizer=optimizer).partial_fit(X, y)
        steps[name] = other._training_state["t"]
        others[name] = weights(other)
    # AdamW is Adam where nothing decays; another rule begins with nothing.
    np.testing.assert_array_equal(others["AdamW"], others["same"])
    assert steps["same"] == steps["AdamW"] > steps["RMSprop"] == len(X) // 20
    velocity = copy.deepcopy(model).set_params(optimizer=SGD(0.01)).partial_fit(X, y)
    assert list(velocity._training_state["arrays"]) == []
    velocity.set_params(optimizer__momentum=0.9).partial_fit(X, y)
    assert list(velocity._training_state["arrays"]) == ["velocity"]
    assert velocity._training_state["t"] == 2 * len(X) // 20


def test_a_schedule_of_another_kind_forgets_what_the_last_one_saw(maps):
    X, y = maps
    model = begun(X, y, optimizer=Adam(ReduceOnPlateau(0.01, patience=1, tol=10.0)))
    for _ in range(4):
        model.partial_fit(X, y)
    assert model._training_state["schedule"]["n_reductions"] > 0
    t = model._training_state["t"]
    model.set_params(optimizer__learning_rate=0.01).partial_fit(X, y)
    assert model._training_state["schedule"] == {}
    assert model._training_state["t"] == t + len(X) // 20


def test_a_new_seed_and_a_generator(maps):
    X, y = maps
    orders = []
    for state in (np.random.RandomState(0), 0):
        model = begun(X, y, random_state=state)
        other = pickle.loads(pickle.dumps(model))
        for _ in range(2):  # a generator that was used is no change
            np.testing.assert_array_equal(
                weights(model.partial_fit(X, y)), weights(other.partial_fit(X, y))
            )
        seeded = [copy.deepcopy(model).set_params(random_state=5).partial_fit(X, y)]
        seeded.append(copy.deepcopy(model).set_params(random_state=5).partial_fit(X, y))
        np.testing.assert_array_equal(weights(seeded[0]), weights(seeded[1]))
        orders.append(seeded[0]._random_state.randint(2**31 - 1))
    assert orders[0] == orders[1]


# ---------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------

REFUSED = {
    "units": (
        {"head__units": 64, "conv__trainable": False},
        ["'head/weight' had shape (36, 8), now (36, 64)", "head__units was 8, is 64"],
    ),
    "filters": ({"conv__filters": 5}, ["'conv/weight'", "conv__filters was 4, is 5"]),
    "pool": ({"pool__pool_size": 3}, ["'head/weight'", "pool__pool_size was 2, is 3"]),
    "statistics": ({"norm__per": "value"}, ["'norm/mean'", "norm__per was 'channel', is 'value'"]),
    "bias": ({"conv__use_bias": False}, ["'conv/bias' of shape (4,) is gone"]),
    "a layer goes": ({"bn": "passthrough"}, ["'bn/scale'", "bn was BatchNorm, is 'passthrough'"]),
    "another class": (
        {"bn": Standardize(), "drop__rate": 0.1},
        ["'bn/scale'", "bn was BatchNorm, is Standardize; drop__rate was 0.2, is 0.1"],
    ),
    "layers": (
        {"layers": [*layers(), ("new", Dense(3))]},
        ["'output/weight' had shape (8, 3), now (3, 3)", "new was absent, is Dense"],
    ),
    "no layers": ({"layers": None}, ["conv was Conv2D, is absent"]),
    "dtype": ({"dtype": "float64"}, ["dtype was 'float32' in the last fit, is 'float64'"]),
    "init_from": ({"init_from": {"conv/bias": np.ones(4)}}, ["init_from was changed"]),
    "input_shape": ({"input_shape": (4, 9, 2)}, ["input_shape=(4, 9, 2)", "(6, 6, 2)"]),
    "input_kind": ({"input_kind": "signal"}, ["input_kind='signal'", "works on 2 axes"]),
    "box_units": ({"box_units": "pixels"}, ["box_units was 'share' in the last fit, is 'pixels'"]),
    "data_format": (
        {"data_format": "channels_first"},
        ["X has samples of shape (6, 6, 2)", "fitted with samples of shape (2, 6, 6)"],
    ),
}  # fmt: skip


@GOING_ON
def test_layers_in_another_order_are_refused(maps, go_on):
    X, y = maps
    pairs = [(name, Conv2D(2, 3, padding="same")) for name in ("one", "two")]
    model = begun(X, y, layers=pairs)
    before = weights(model)
    with pytest.raises(ValueError, match="'two/weight' now stands where 'one/weight' did"):
        go_on(model.set_params(layers=pairs[::-1]), X, y)
    np.testing.assert_array_equal(weights(model), before)


@GOING_ON
@pytest.mark.parametrize(("change", "words"), REFUSED.values(), ids=list(REFUSED))
def test_what_does_not_fit_is_refused(maps, change, words, go_on):
    X, y = maps
    model = begun(X, y)
    model.set_params(**copy.deepcopy(change))
    message = unchanged(model, X, lambda: go_on(model, X, y))
    for word in words:
        assert word in message
    if "data_format" not in change and "input_kind" not in change:
        assert "begin anew with warm_start=False or a new estimator" in message


@GOING_ON
def test_a_loss_with_another_link_is_refused(go_on):
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(40, 6, 6)).astype(np.float32), rng.poisson(3, size=40)
    reg = begun(X, y, ConvNetRegressor)
    prediction = reg.predict(X)
    reg.set_params(loss="poisson")
    np.testing.assert_array_equal(reg.predict(X), prediction)
    with pytest.raises(ValueError, match=r"loss was .*SquaredError.* is Poisson"):
        go_on(reg, X, y)
    for fine in ("huber", Huber(delta=0.5), SquaredError(), lambda y, z: (((z - y) ** 2)[:, 0], z)):
        go_on(reg.set_params(loss=fine), X, y)
    for name, value in (("target", "points"), ("point_units", "pixels")):
        old = getattr(reg, name)
        with pytest.raises(ValueError, match=f"{name} was '{old}' in the last fit, is '{value}'"):
            go_on(copy.deepcopy(reg.set_params(loss="auto")).set_params(**{name: value}), X, y)
    counts = begun(X, y, ConvNetRegressor, loss=Poisson())
    go_on(counts.set_params(loss="poisson"), X, y)


def test_input_kind_without_layers():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(20, 12, 9)).astype(np.float32), np.arange(20) % 2
    model = begun(X, y, layers=None)
    model.set_params(input_kind="image").fit(X, y)  # what it was
    for kind in ("signal", "table"):
        model.set_params(input_kind=kind)
        message = unchanged(model, X, lambda: model.partial_fit(X, y))
        assert f"input_kind was 'image', is '{kind}'" in message


def test_an_augmentation_for_images_is_refused_by_signals(maps):
    X, y = maps
    model = begun(X[:, 0], y, layers=[Conv1D(3, 3), GlobalMaxPool()])
    model.set_params(augmentation=RandomFlip())
    message = unchanged(model, X[:, 0], lambda: model.fit(X[:, 0], y))
    assert "is for images" in message


@GOING_ON
def test_a_fit_that_fails_after_a_change_changes_nothing(maps, monkeypatch, go_on):
    X, y = maps
    model = begun(X, y).set_params(drop__rate=0.7, optimizer=SGD(0.01))

    def fail(*args, **kwargs):
        raise ValueError("no")

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "run_epoch", fail)
        assert unchanged(model, X, lambda: go_on(model, X, y)) == "no"
    go_on(model, X, y)
    rates = [layer.rate for name, layer in model.layers_ if name == "drop"]
    assert rates == [0.7]


def test_init_from_is_for_a_beginning(maps):
    X, y = maps
    given = begun(X, y).get_weights()
    model = begun(X, y, init_from=given)
    equal = {path: array.copy() for path, array in given.items()}
    model.set_params(init_from=equal).partial_fit(X, y)
    model.set_params(init_from=None).partial_fit(X, y)
    assert model._fitted["init_from"] is None
    with pytest.raises(ValueError, match="init_from was changed"):
        model.set_params(init_from=given).fit(X, y)
    frozen = FrozenEstimator(begun(X, y))
    with pytest.raises(ValueError, match="init_from was changed"):
        model.set_params(init_from=frozen).fit(X, y)
    model = begun(X, y, init_from=frozen)
    model.fit(X, y).partial_fit(X, y)


def test_weights_to_begin_with_are_not_copied(maps):
    X, y = maps
    given = begun(X, y).get_weights()
    model = begun(X, y, init_from=given)
    assert model._fitted["init_from"] is given
    copied = pickle.loads(pickle.dumps(model))
    assert copied._fitted["init_from"] is copied.init_from


# ---------------------------------------------------------------------------
# After a fit
# ---------------------------------------------------------------------------


@pytest.mark.oldest
def test_parameters_that_change_do_not_change_predictions(maps):
    X, y = maps
    model = begun(X, y, multi_crop=MultiCrop(5, n_crops=5))
    P, score, table = model.predict_proba(X), model.score(X, y), str(model.summary())
    model.set_params(
        layers=[Dense(2)], input_shape=(3, 24), data_format="channels_first", input_kind="table",
        multi_crop=MultiCrop(3), augmentation=RandomFlip(), loss="focal", optimizer="sgd",
        dtype="float64", random_state=9, class_weight="balanced", box_weight=1.0,
        missing_box=-1.0, box_units="pixels", early_stopping=True, init_from={},
    )  # fmt: skip
    np.testing.assert_array_equal(model.predict_proba(X), P)
    np.testing.assert_array_equal(model.predict(X), P.argmax(axis=1))
    assert model.score(X, y) == score
    assert str(model.summary()) == table
    model.set_params(multi_crop=None)
    np.testing.assert_array_equal(model.predict_proba(X), P)


def test_boxes_are_predicted_as_they_were_fitted():
    rng = np.random.RandomState(0)
    X, boxes = rng.normal(size=(20, 6, 6)).astype(np.float32), rng.uniform(size=(20, 4))
    y = np.arange(20) % 2
    inside = begun(X, np.column_stack([y, boxes]), box_weight=1.0)
    beside = ConvNetClassifier(layers(), max_iter=2).fit(X, y, boxes=boxes)
    for model in (inside, beside):
        before = model.predict(X), model.predict_box(X)
        model.set_params(box_weight=None if model is inside else 1.0, box_units="pixels")
        np.testing.assert_array_equal(model.predict(X), before[0])
        np.testing.assert_array_equal(model.predict_box(X), before[1])


def test_values_are_predicted_with_the_link_of_the_fit():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(40, 6, 6)).astype(np.float32), rng.poisson(3, size=40)
    for loss, other in (("poisson", "squared_error"), (SquaredError(), Poisson())):
        reg = begun(X, y, ConvNetRegressor, loss=loss, multi_crop=MultiCrop(5))
        before, score = reg.predict(X), reg.score(X, y)
        reg.set_params(loss=other, multi_crop=None, target="points", point_units="pixels")
        np.testing.assert_array_equal(reg.predict(X), before)
        assert reg.score(X, y) == score


def test_what_means_the_same():
    net = layers()
    assert same(net, copy.deepcopy(net))
    assert same(net, tuple(net))
    assert not same(net, net[:-1])
    assert not same(net, layers(activation="tanh"))
    assert same({"a": np.ones(2)}, {"a": np.ones(2)})
    assert not same({"a": np.ones(2)}, {"b": np.ones(2)})
    assert not same(np.ones(2), np.ones(2, np.float32))
    assert not same(np.ones(1), 1.0)
    assert not same(1.0, np.ones(1))
    assert not same(Activation("relu"), "relu")
    assert same((8, 8), [8, 8])
