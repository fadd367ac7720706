"""Auxiliary heads of the estimators: their output layers, the objective, and what ignores them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import pickle

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor, testing
from sklearn_convnet.architectures import googlenet
from sklearn_convnet.estimators.heads import OUTPUT_SCALE, whole_objective
from sklearn_convnet.inspection import maximize_unit, receptive_field, saliency
from sklearn_convnet.layers import (
    AuxiliaryHead,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    MaxPool2D,
    Residual,
    Sequential,
)
from sklearn_convnet.losses import CrossEntropy, Huber
from sklearn_convnet.optimizers import SGD, Adam

N_OUTPUTS = 3


def head(**params):
    return AuxiliaryHead([GlobalAvgPool(), ("hidden", Dense(5, activation="tanh"))], **params)


def layers(**params):
    return [
        ("conv1", Conv2D(4, 3, padding="same", activation="tanh")),
        ("aux1", head(**params)),
        ("norm", BatchNorm()),
        ("body", Sequential([("conv2", Conv2D(6, 3, activation="tanh")), ("aux2", head())])),
        ("pool", GlobalAvgPool()),
    ]


def without(pairs):
    return [
        pairs[0], pairs[2], ("body", Sequential(pairs[3][1].layers[:1])), pairs[4],
    ]  # fmt: skip


def model(kind=ConvNetClassifier, **params):
    fast = dict(max_iter=2, batch_size=20, random_state=0, optimizer=Adam(0.01))
    return kind(**{"layers": layers(), **fast, **params})


BOXES = np.tile([0.1, 0.2, 0.8, 0.9], (60, 1)) + np.linspace(0, 0.1, 60)[:, None]

#: y of each kind that is flat, made of labels 0 to 2, and the widths of the output layers.
TARGETS = {
    "classes": (ConvNetClassifier, lambda y: y, {}, [3]),
    "two classes": (ConvNetClassifier, lambda y: y % 2, {}, [2]),
    "labels": (ConvNetClassifier, lambda y: np.eye(3, dtype=int)[y], {}, [3]),
    "columns": (ConvNetClassifier, lambda y: np.stack([y, y % 2], axis=1), {}, [5]),
    "boxes": (ConvNetClassifier, lambda y: y, {"boxes": BOXES}, [3, 4]),
    "values": (ConvNetRegressor, lambda y: 100.0 + 7 * y, {}, [1]),
    "several values": (ConvNetRegressor, lambda y: np.stack([y, -y], axis=1) * 1.5, {}, [2]),
}

every_target = pytest.mark.parametrize("name", TARGETS)


def fitted(name, maps, **params):
    X, y = maps
    kind, make, given, _ = TARGETS[name]
    return model(kind, **params).fit(X, make(y), **given)


# ---------------------------------------------------------------------------
# Output layers
# ---------------------------------------------------------------------------


@every_target
def test_a_head_has_the_output_layers_of_the_network(maps, name):
    widths = TARGETS[name][3]
    weights = fitted(name, maps).get_weights()
    for path in ("aux1", "body/aux2"):
        found = [
            w.shape for p, w in weights.items() if p.startswith(f"{path}/output") and w.ndim > 1
        ]
        assert found == [(5, width) for width in widths]
    own = [w.shape[1] for p, w in weights.items() if p in ("output/weight", "box/weight")]
    assert own == widths


@every_target
def test_predictions_are_those_without_heads(maps, name):
    X, _ = maps
    clf = fitted(name, maps)
    weights = {k: v for k, v in clf.get_weights().items() if "aux" not in k}
    bare = model(type(clf), layers=without(layers()), init_from=weights, max_iter=1)
    _, make, given, _ = TARGETS[name]
    bare.set_params(optimizer=SGD(1e-30), conv1__trainable=False, norm__trainable=False)
    bare.fit(X, make(maps[1]), **given)
    np.testing.assert_array_equal(bare.predict(X), clf.predict(X))


def test_without_an_output_layer_heads_have_none(maps):
    X, y = maps
    aux = AuxiliaryHead([Conv2D(3, 1, activation=None)])
    made = [Conv2D(4, 3), ("aux", aux), Conv2D(3, 2, activation=None)]
    clf = model(layers=made, output=None).fit(X, y)
    assert [path for path in clf.get_weights() if path.startswith("aux")] == [
        "aux/conv2d1/weight", "aux/conv2d1/bias",
    ]  # fmt: skip
    wrong = [Conv2D(4, 3), ("aux", AuxiliaryHead([Conv2D(2, 1, activation=None)])), made[2]]
    with pytest.raises(ValueError, match="y needs 3 outputs, but the layers end in shape"):
        model(layers=wrong, output=None).fit(X, y)


@pytest.mark.parametrize(
    ("kind", "params"), [(ConvNetClassifier, {}), (ConvNetRegressor, {"target": "maps"})]
)
def test_maps_are_refused(maps, kind, params):
    X, _ = maps
    made = [Conv2D(4, 3, padding="same"), ("aux", AuxiliaryHead([Conv2D(2, 1)]))]
    with pytest.raises(ValueError, match=r"'aux'.*y holds maps.*\(6, 6, \d\).*leave the head out"):
        model(kind, layers=made, **params).fit(X, (X[..., 0] > 0).astype(int))


def test_the_users_layers_stay_as_they_are(maps):
    X, y = maps
    clf = model()
    before = repr(clf)
    clf.fit(X, y)
    assert repr(clf) == before
    assert [name for name, _ in clf.layers_] == ["conv1", "aux1", "norm", "body", "pool", "output"]


def test_a_head_of_values_begins_with_their_mean(maps):
    X, y = maps
    kind, make, _, _ = TARGETS["values"]
    still = dict(loss="poisson", optimizer=SGD(1e-30), max_iter=1)
    weights = model(kind, **still).fit(X, make(y)).get_weights()
    for path in ("aux1/output", "body/aux2/output"):
        np.testing.assert_allclose(weights[f"{path}/bias"], np.log(make(y).mean()), rtol=1e-5)
        assert abs(weights[f"{path}/weight"]).max() < 1e-20


def test_a_head_of_boxes_begins_with_the_mean_box(maps):
    weights = fitted("boxes", maps, optimizer=SGD(1e-30), max_iter=1).get_weights()
    np.testing.assert_array_equal(weights["aux1/output/branch2/bias"], weights["box/bias"])
    assert abs(weights["aux1/output/branch2/weight"]).max() < 1e-20
    assert abs(weights["aux1/output/branch1/weight"]).max() > 0.01


@pytest.mark.parametrize(
    ("name", "part"), [("classes", ""), ("labels", ""), ("columns", ""), ("boxes", "/branch1")]
)
def test_output_layers_of_classes_begin_with_small_weights(maps, name, part):
    still = fitted(name, maps, optimizer=SGD(1e-30), max_iter=1).get_weights()
    for path in ("output", f"aux1/output{part}", f"body/aux2/output{part}"):
        W = still[f"{path}/weight"]
        limit = OUTPUT_SCALE * np.sqrt(6 / sum(W.shape))  # Glorot's uniform distribution
        assert 0.7 * limit < abs(W).max() <= limit * (1 + 1e-6)
        assert abs(still[f"{path}/bias"]).max() < 1e-20


def test_first_weights_are_those_of_both_precisions(maps):
    still = dict(optimizer=SGD(1e-30), max_iter=1)
    narrow, wide = (
        fitted("classes", maps, dtype=dtype, **still).get_weights()
        for dtype in ("float32", "float64")
    )
    for path in ("output/weight", "aux1/output/weight"):
        np.testing.assert_array_equal(narrow[path], wide[path].astype(np.float32))


# ---------------------------------------------------------------------------
# The objective
# ---------------------------------------------------------------------------


@every_target
def test_its_gradient_is_right(maps, name):
    """Central differences of the loss of a whole batch, at each parameter of a network."""
    X, _ = maps
    clf = fitted(name, maps, dtype="float64")
    _, make, given, _ = TARGETS[name]
    network, target = clf.network_, clf._target
    y = clf._check_y(make(maps[1]), given.get("boxes"))[:6]
    code = target.encode(y, network.dtype)
    weight = np.random.RandomState(0).uniform(0.5, 2, 6)
    objective = whole_objective(clf._objective(code, weight, True), network)

    def loss(Z):
        dZ = np.full_like(Z, np.nan)
        return objective.value_and_gradient(Z, code, weight, dZ, network.kernels, 1), dZ

    X = X[:6].astype(np.float64)
    testing.require_gradients(testing.compare_gradients(network, X, loss, most=20))


@pytest.mark.parametrize("name", ["classes", "values"])
def test_history_has_the_whole_and_validation_the_output_alone(maps, name):
    X, y = maps
    kind, make, _, _ = TARGETS[name]
    y = make(y)
    # The loss of a pass whose steps move nothing is that of the first weights.
    still = dict(optimizer=SGD(1e-30), max_iter=1, dtype="float64")
    losses = []
    for weight in (1e-12, 0.3, 0.6):
        clf = model(kind, layers=layers(weight=weight), **still).fit(X, y, X_val=X, y_val=y)
        losses.append((clf.loss_, clf.history_["validation_loss"][0], clf.history_["score"][0]))
    low, middle, high = losses
    assert low[0] < middle[0] < high[0]
    assert high[0] - middle[0] == pytest.approx(middle[0] - low[0], rel=1e-9)
    assert low[1:] == middle[1:] == high[1:]


def test_weights_of_samples_count_in_heads_too(maps):
    X, y = maps
    w = np.repeat([2.0, 1.0], 30)
    twice = np.concatenate([np.arange(30), np.arange(60)])
    options = dict(
        layers=[layers()[0], layers()[1], GlobalAvgPool()], batch_size=200, shuffle=False,
        dtype="float64",
    )  # fmt: skip
    weighted = model(**options).fit(X, y, sample_weight=w).get_weights()
    repeated = model(**options).fit(X[twice], y[twice]).get_weights()
    for path, value in weighted.items():
        np.testing.assert_allclose(value, repeated[path], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        (ConvNetClassifier, CrossEntropy(label_smoothing=0.1)),
        (ConvNetClassifier, "focal"),
        (ConvNetRegressor, Huber(0.5)),
        (ConvNetRegressor, lambda y, p: (((y - p) ** 2).sum(axis=1), 2 * (p - y))),
    ],
)
def test_losses(maps, kind, loss):
    X, y = maps
    clf = model(kind, loss=loss, max_iter=20).fit(X, y)
    assert clf.loss_curve_[-1] < clf.loss_curve_[0]


def test_heads_teach_the_layers_before_them(maps):
    """What lies behind the output's gradient alone learns from the head."""
    X, y = maps
    made = [("conv", Conv2D(4, 3)), ("aux", head()), Flatten(), Dense(3, trainable=False)]
    clf = model(layers=made, max_iter=1)
    before = clf.set_params(optimizer=SGD(1e-30)).fit(X, y).get_weights()
    after = clf.set_params(optimizer=SGD(0.1)).fit(X, y).get_weights()
    for path in ("conv/weight", "aux/hidden/weight", "aux/output/weight"):
        assert not np.allclose(before[path], after[path])


# ---------------------------------------------------------------------------
# A fit as a whole
# ---------------------------------------------------------------------------


def test_copies_go_on_with_the_same_bits(maps):
    X, y = maps
    clf = model().partial_fit(X, y, classes=[0, 1, 2])
    others = copy.deepcopy(clf), pickle.loads(pickle.dumps(clf))
    for one in (clf, *others):
        one.partial_fit(X, y)
    for other in others:
        for path, value in clf.get_weights().items():
            np.testing.assert_array_equal(other.get_weights()[path], value)


def test_threads_do_not_matter(maps):
    X, y = maps
    one, three = (model(n_threads=n).fit(X, y).get_weights() for n in (1, 3))
    for path, value in one.items():
        np.testing.assert_array_equal(three[path], value)


def test_a_warm_start_goes_on_and_takes_another_weight(maps):
    X, y = maps
    clf = model(warm_start=True).fit(X, y)
    clf.set_params(aux1__weight=0.1, aux1__hidden__activation="relu").fit(X, y)
    assert clf.network_.heads[0].weight == 0.1
    with pytest.raises(ValueError, match=r"'aux1/hidden/weight'.*is gone"):
        clf.set_params(aux1="passthrough").fit(X, y)


def test_a_search_over_weights(maps):
    X, y = maps
    search = GridSearchCV(model(), {"aux1__weight": [0.1, 0.3]}, cv=2).fit(X, y)
    assert set(search.best_params_) == {"aux1__weight"}


def test_averages_and_draws(maps):
    X, y = maps
    made = [Conv2D(4, 3), ("aux", AuxiliaryHead([GlobalAvgPool(), Dropout(0.5)])), GlobalAvgPool()]
    clf = model(layers=made, average_weights=0.9).fit(X, y)
    assert clf.score(X, y) >= 0
    with pytest.raises(ValueError, match="put a Dropout among its layers"):
        clf.predict_draws(X)


def test_samples_that_differ_in_size():
    rng = np.random.RandomState(0)
    X = [rng.normal(size=(n, 6, 2)).astype("float32") for n in (6, 7, 8) * 10]
    y = np.arange(30) % 2
    made = [layers()[0], layers()[1], GlobalAvgPool()]
    clf = model(layers=made).fit(X, y)
    assert clf.predict_proba(X).shape == (30, 2)
    fixed = AuxiliaryHead([Flatten(), Dense(3)])
    with pytest.raises(ValueError, match=r"X\[\d\].*'aux/dense1'"):
        model(layers=[made[0], ("aux", fixed), made[2]]).fit(X, y)


def test_predictions_of_another_size_do_without_heads(maps):
    X, y = maps
    fixed = [Conv2D(4, 3), ("aux", AuxiliaryHead([Flatten(), Dense(3)])), GlobalAvgPool()]
    clf = model(layers=fixed).fit(X, y)
    assert clf.predict(np.zeros((2, 9, 8, 2))).shape == (2,)


def test_scans_ignore_them(maps):
    X, y = maps
    made = [Conv2D(4, 3), ("aux", head()), MaxPool2D(2), Flatten(), Dense(5)]
    clf = model(layers=made).fit(X, y)
    larger = np.concatenate([X[:4], X[4:8]], axis=1)
    scan = clf.scan(larger)
    np.testing.assert_allclose(scan.maps[0][:, 0, 0], clf.predict_proba(X[:4]), rtol=1e-5)


def test_looks_inside_ignore_them(maps):
    X, y = maps
    clf = model().fit(X, y)
    assert saliency(clf, X[:2]).shape[:3] == (2, 6, 6)
    assert receptive_field(clf, "conv1").size == receptive_field(clf, "aux1").size == (3, 3)
    assert maximize_unit(clf, "conv1", 0, n_steps=2).shape[-1] == 2
    names = [row[0] for row in clf.summary().rows]
    assert {"aux1", "body/aux2"} <= set(names)


def test_a_head_inside_a_block_is_refused(maps):
    X, y = maps
    made = [Residual([Conv2D(2, 1), ("aux", head())]), GlobalAvgPool()]
    with pytest.raises(ValueError, match=r"'residual1/aux'.*inside a block"):
        model(layers=made).fit(X, y)


def test_the_name_output_is_taken(maps):
    X, y = maps
    made = [("aux", AuxiliaryHead([GlobalAvgPool(), ("output", Dense(3))])), Dense(3)]
    with pytest.raises(ValueError, match="the name 'output' in aux is not allowed"):
        model(layers=made).fit(X, y)


def test_googlenet_learns_with_its_heads():
    rng = np.random.RandomState(0)
    y = np.arange(16) % 2
    X = rng.normal(size=(16, 160, 160, 3)).astype("float32") + y[:, None, None, None]
    made = googlenet(width=1 / 16, auxiliary=True)
    clf = ConvNetClassifier(made, max_iter=1, batch_size=8, random_state=0).fit(X, y)
    weights = clf.get_weights()
    assert weights["aux1/output/weight"].shape == weights["aux2/output/weight"].shape == (64, 2)
    assert weights["aux1/conv/weight"].shape == (1, 1, 32, 8)
    assert np.isfinite(clf.loss_)
    assert clf.predict(X).shape == (16,)
