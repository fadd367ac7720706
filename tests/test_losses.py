"""Losses: values by the book, and gradients by central differences."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.base import clone

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet import losses as losses_module
from sklearn_convnet import objectives as objectives_module
from sklearn_convnet.kernels import loader
from sklearn_convnet.layers import Dense
from sklearn_convnet.losses import (
    AbsoluteError,
    CrossEntropy,
    Focal,
    FunctionLoss,
    Huber,
    Poisson,
    Quantile,
    SquaredError,
)
from sklearn_convnet.objectives import (
    ClassAndBox,
    Outline,
    SummedSquaredError,
    SumOverColumns,
    WeightedPixels,
    WithHeads,
)
from sklearn_convnet.optimizers import Adam

KERNELS = loader.kernels("float64")
PIXEL_WEIGHTS = np.array([0.5, 1.0, 0.0, 3.0])


# ---------------------------------------------------------------------------
# Targets, and what the losses of single samples are, from the definitions
# ---------------------------------------------------------------------------


def labels(rng):
    return rng.randint(4, size=7)


def indicator(rng):
    return rng.randint(2, size=(7, 4)).astype(float)


def label_maps(rng):
    return rng.randint(4, size=(7, 2, 3)).astype(np.uint8)


def values(rng):
    return rng.normal(size=(7, 4))


def counts(rng):
    return rng.poisson(2.0, size=(7, 4)).astype(float)


def value_maps(rng):
    return rng.normal(size=(7, 2, 3, 4))


def columns(rng):
    """Codes of one label of three classes and one of two: with 5 outputs."""
    return np.column_stack([rng.randint(3, size=7), rng.randint(2, size=7)])


def boxes(rng):
    """Codes of two classes and four coordinates, some of them missing: with 6 outputs."""
    target = np.column_stack([rng.randint(2, size=7), rng.normal(size=(7, 4))])
    target[[1, 4], 1:] = np.nan
    return target


def outlines(rng):
    """Boxes of four corners in any numbering, some of them missing."""
    target = rng.normal(size=(7, 8))
    target[[1, 4]] = np.nan
    return target


def with_outlines(rng):
    """Codes of two classes and four corners: with 10 outputs."""
    return np.column_stack([rng.randint(2, size=7), outlines(rng)])


def some_labels(rng):
    """Maps of labels, some of them ignored."""
    return label_maps(rng).astype(np.int8) - 1


def some_counts(rng):
    return np.where(rng.uniform(size=(7, 4)) < 0.5, np.nan, counts(rng))


def true_log_p(Z, y):
    return np.take_along_axis(log_softmax(Z, axis=-1), y[..., None].astype(int), -1)[..., 0]


def smoothed(Z, y, share):
    log_p = log_softmax(Z, axis=-1)
    return -(1 - share) * true_log_p(Z, y) - share * log_p.mean(axis=-1)


def binary(Z, y):
    return -(y * np.log(expit(Z)) + (1 - y) * np.log(expit(-Z))).sum(axis=1)


def focal(Z, y, gamma):
    log_p = true_log_p(Z, y)
    return -((1 - np.exp(log_p)) ** gamma) * log_p


def binary_focal(Z, y, gamma):
    p = np.where(y == 1, expit(Z), expit(-Z))
    return np.sum(-((1 - p) ** gamma) * np.log(p), axis=1)


def over_outputs(value):
    return value.reshape(len(value), -1).mean(axis=1)


def huber(Z, y, delta=1.0):
    r = np.abs(Z - y)
    return over_outputs(np.where(r <= delta, r**2 / 2, delta * (r - delta / 2)))


def pinball(Z, y, quantile):
    return over_outputs(np.maximum(quantile * (y - Z), (quantile - 1) * (y - Z)))


def class_and_box(Z, target):
    residual = np.nan_to_num(Z[:, 2:] - target[:, 1:])
    return -true_log_p(Z[:, :2], target[:, 0]) + 3 * np.sum(residual**2, axis=1) / 2


def outline(Z, y):
    """The smallest over all orders of the corners that go round."""
    corners, Z = y.reshape(-1, 4, 2), Z.reshape(-1, 4, 2)
    round_ = [list(np.roll(order, k)) for order in ([0, 1, 2, 3], [3, 2, 1, 0]) for k in range(4)]
    each = [np.sum((Z - corners[:, order]) ** 2, axis=(1, 2)) / 2 for order in round_]
    return np.nan_to_num(np.min(each, axis=0))


def of_columns(Z, y):
    return -true_log_p(Z[:, :3], y[:, 0]) - true_log_p(Z[:, 3:], y[:, 1])


def quartic(y_true, y_pred):
    """A loss of the user's."""
    residual = y_pred - y_true
    return np.sum(residual**4, axis=1), 4 * residual**3


CASES = {
    "classes": (CrossEntropy(), labels, lambda Z, y: -true_log_p(Z, y)),
    "classes smoothed": (CrossEntropy(0.2), labels, lambda Z, y: smoothed(Z, y, 0.2)),
    "several labels": (CrossEntropy(), indicator, binary),
    "several labels smoothed": (
        CrossEntropy(0.2),
        indicator,
        lambda Z, y: binary(Z, 0.8 * y + 0.1),
    ),
    "maps of labels": (
        CrossEntropy(),
        label_maps,
        lambda Z, y: over_outputs(-true_log_p(Z, y)),
    ),
    "maps of labels smoothed": (
        CrossEntropy(0.2),
        label_maps,
        lambda Z, y: over_outputs(smoothed(Z, y, 0.2)),
    ),
    "focal": (Focal(), labels, lambda Z, y: focal(Z, y, 2.0)),
    "focal 0.5": (Focal(gamma=0.5), labels, lambda Z, y: focal(Z, y, 0.5)),
    "focal several labels": (Focal(gamma=1.5), indicator, lambda Z, y: binary_focal(Z, y, 1.5)),
    "focal maps": (Focal(), label_maps, lambda Z, y: over_outputs(focal(Z, y, 2.0))),
    "squared error": (SquaredError(), values, lambda Z, y: over_outputs((Z - y) ** 2 / 2)),
    "squared error of maps": (
        SquaredError(),
        value_maps,
        lambda Z, y: over_outputs((Z - y) ** 2 / 2),
    ),
    "absolute error": (AbsoluteError(), values, lambda Z, y: over_outputs(np.abs(Z - y))),
    "Huber": (Huber(), values, huber),
    "Huber 0.3": (Huber(delta=0.3), values, lambda Z, y: huber(Z, y, 0.3)),
    "quantile": (Quantile(0.8), values, lambda Z, y: pinball(Z, y, 0.8)),
    "quantile of maps": (Quantile(0.3), value_maps, lambda Z, y: pinball(Z, y, 0.3)),
    "Poisson": (Poisson(), counts, lambda Z, y: over_outputs(np.exp(Z) - y * Z)),
    "function": (FunctionLoss(quartic), values, lambda Z, y: quartic(y, Z)[0]),
    "columns": (SumOverColumns(CrossEntropy(), [3, 2]), columns, of_columns),
    "class and box": (ClassAndBox(CrossEntropy(), 2, 3.0), boxes, class_and_box),
    "box": (
        SummedSquaredError(),
        outlines,
        lambda Z, y: np.nan_to_num(np.sum((Z - y) ** 2, axis=1) / 2),
    ),
    "outline": (Outline(), outlines, outline),
    "class and outline": (
        ClassAndBox(CrossEntropy(), 2, 3.0, outline=True),
        with_outlines,
        lambda Z, y: -true_log_p(Z[:, :2], y[:, 0]) + 3 * outline(Z[:, 2:], y[:, 1:]),
    ),
    "a network and a head": (
        WithHeads(CrossEntropy(), 2, [0.3]),
        lambda rng: rng.randint(2, size=7),
        lambda Z, y: -true_log_p(Z[:, :2], y) - 0.3 * true_log_p(Z[:, 2:], y),
    ),
    "missing values": (
        SquaredError(),
        outlines,
        lambda Z, y: over_outputs(np.nan_to_num((Z - y) ** 2 / 2)),
    ),
    "missing counts": (
        Poisson(),
        some_counts,
        lambda Z, y: over_outputs(np.nan_to_num(np.exp(Z) - y * Z)),
    ),
    "maps of labels, some ignored": (
        CrossEntropy(),
        some_labels,
        lambda Z, y: over_outputs(np.where(y < 0, 0, -true_log_p(Z, np.maximum(y, 0)))),
    ),
    "weighted pixels": (
        WeightedPixels(CrossEntropy(), PIXEL_WEIGHTS),
        label_maps,
        lambda Z, y: over_outputs(-PIXEL_WEIGHTS[y] * true_log_p(Z, y)),
    ),
}
OUTPUT_SHAPES = {
    label_maps: (7, 2, 3, 4),
    value_maps: (7, 2, 3, 4),
    columns: (7, 5),
    boxes: (7, 6),
    outlines: (7, 8),
    with_outlines: (7, 10),
    some_labels: (7, 2, 3, 4),
}


@pytest.fixture(params=CASES)
def case(request):
    """A loss, outputs, targets, weights, and what it should be for each sample."""
    loss, make_target, expected = CASES[request.param]
    rng = np.random.RandomState(0)
    Z = 2 * rng.normal(size=OUTPUT_SHAPES.get(make_target, (7, 4)))
    return loss, Z, make_target(rng), rng.uniform(0.2, 2, size=7), expected


def value(loss, Z, target, weight, dZ=None, kernels=KERNELS):
    return loss.value_and_gradient(Z, target, weight, dZ, kernels, 1)


def test_every_loss_has_a_case():
    cases = {type(loss) for loss, *_ in CASES.values()}
    public = {
        kind
        for module in (losses_module, objectives_module)
        for name, kind in vars(module).items()
        if isinstance(kind, type)
        and issubclass(kind, losses_module.Loss)
        and kind is not losses_module.Loss
        and not name.startswith("_")
    }
    assert cases == public


@pytest.mark.oldest
def test_value(case):
    loss, Z, target, weight, expected = case
    found = value(loss, Z, target, weight)
    assert isinstance(found, float)
    assert found == pytest.approx(weight @ expected(Z, target), rel=1e-12)


@pytest.mark.oldest
def test_gradient(case):
    """Differences of fourth order."""
    loss, Z, target, weight, _ = case
    dZ = np.full_like(Z, np.nan)
    value(loss, Z, target, weight, dZ)
    h = 1e-3
    numeric = np.empty_like(Z)
    for place in np.ndindex(Z.shape):
        at = {}
        for k in (-2, -1, 1, 2):
            moved = Z.copy()
            moved[place] += k * h
            at[k] = value(loss, moved, target, weight)
        numeric[place] = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * h)
    np.testing.assert_allclose(dZ, numeric, rtol=5e-6, atol=1e-10)


def test_gradient_is_a_sum_over_samples(case):
    loss, Z, target, weight, _ = case
    whole, one = np.empty_like(Z), np.empty_like(Z[:1])
    total = value(loss, Z, target, weight, whole)
    parts = 0.0
    for i in range(7):
        rows = slice(i, i + 1)
        parts += value(loss, Z[rows], target[rows], weight[rows], one)
        np.testing.assert_allclose(one, whole[rows], rtol=1e-12, atol=1e-15)
    assert parts == pytest.approx(total, rel=1e-12)


def test_float32_is_float64_rounded(case):
    """Also with parameters that a search made of numpy's numbers."""
    loss, Z, target, weight, _ = case
    numbers = {k: np.float64(v) for k, v in loss.get_params().items() if isinstance(v, float)}
    single = clone(loss).set_params(**numbers)
    exact, dZ = np.empty_like(Z), np.empty(Z.shape, np.float32)
    expected = value(loss, Z, target, weight, exact)
    if target.dtype.kind == "f":
        target = target.astype(np.float32)
    kernels = loader.kernels("float32")
    Z, weight = Z.astype(np.float32), weight.astype(np.float32)
    assert value(single, Z, target, weight, dZ, kernels) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(dZ, exact, rtol=1e-4, atol=1e-6)


# ---------------------------------------------------------------------------
# Corners
# ---------------------------------------------------------------------------


def test_kinks_have_a_derivative():
    Z, y, weight = np.array([[1.0, 2.0]]), np.array([[1.0, 1.0]]), np.ones(1)
    dZ = np.empty_like(Z)
    assert value(AbsoluteError(), Z, y, weight, dZ) == 0.5
    np.testing.assert_array_equal(dZ, [[0.0, 0.5]])
    assert value(Huber(delta=1.0), Z, y, weight, dZ) == 0.25
    np.testing.assert_array_equal(dZ, [[0.0, 0.5]])
    assert value(Quantile(0.75), Z, y, weight, dZ) == 0.125
    np.testing.assert_array_equal(dZ, [[0.0, 0.125]])


def test_large_outputs_are_no_overflow():
    Z, weight = np.array([[1e4, -1e4]]), np.ones(1)
    dZ = np.empty_like(Z)
    for loss in (CrossEntropy(), Focal(), Focal(gamma=0.5)):
        assert value(loss, Z, np.array([1]), weight, dZ) == 2e4
        np.testing.assert_array_equal(dZ, [[1.0, -1.0]])
        assert value(loss, Z, np.array([[0.0, 1.0]]), weight, dZ) == 2e4
        np.testing.assert_array_equal(dZ, [[1.0, -1.0]])
        # and what is right beyond doubt costs nothing
        assert value(loss, Z, np.array([0]), weight, dZ) == 0
        np.testing.assert_array_equal(dZ, 0)


def test_focal_keeps_the_digits_of_a_small_loss():
    """-(1-p)^gamma log p = q^(1 + gamma) for p = 1 - q, q tiny; its derivative likewise."""
    Z, weight, dZ = np.array([[40.0, 0.0]]), np.ones(1), np.empty((1, 2))
    q = np.exp(-40.0)
    assert value(Focal(gamma=1.0), Z, np.array([0]), weight, dZ) == pytest.approx(q**2, rel=1e-12)
    np.testing.assert_allclose(dZ, [[-2 * q**2, 2 * q**2]], rtol=1e-12)


@pytest.mark.parametrize("make_target", [labels, indicator, label_maps])
def test_focal_with_gamma_zero_is_cross_entropy(make_target):
    rng = np.random.RandomState(0)
    Z = 3 * rng.normal(size=OUTPUT_SHAPES.get(make_target, (7, 4)))
    target, weight = make_target(rng), rng.uniform(size=7)
    found, expected = np.empty_like(Z), np.empty_like(Z)
    total = value(CrossEntropy(), Z, target, weight, expected)
    assert value(Focal(gamma=0), Z, target, weight, found) == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-15)


def test_half_of_the_absolute_error_is_the_median():
    rng = np.random.RandomState(0)
    Z, y, weight = rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), np.ones(5)
    half = value(AbsoluteError(), Z, y, weight) / 2
    assert value(Quantile(), Z, y, weight) == pytest.approx(half, rel=1e-12)


def test_probabilities_and_links():
    Z = np.random.RandomState(0).normal(size=(6, 3)) * 10
    P = losses_module.softmax(Z, KERNELS, 1)
    np.testing.assert_allclose(P, softmax(Z, axis=1), rtol=1e-12)
    np.testing.assert_allclose(losses_module.logistic(Z, KERNELS, 1), expit(Z), rtol=1e-12)
    assert SquaredError().inverse_link(Z) is Z
    np.testing.assert_array_equal(Poisson().inverse_link(Z), np.exp(Z))
    assert Poisson().inverse_link(np.float32([1e3])) == np.inf  # without a warning


# ---------------------------------------------------------------------------
# In the estimators
# ---------------------------------------------------------------------------


@pytest.fixture
def rates():
    """Samples whose counts are Poisson with a mean that grows exponentially."""
    rng = np.random.RandomState(0)
    X = rng.uniform(-1, 1, size=(400, 3))
    mean = np.exp(1 + 1.5 * X[:, 0] - X[:, 1])
    return X, rng.poisson(mean).astype(float), mean


def linear(**params):
    """A linear model."""
    fast = dict(optimizer=Adam(0.03), batch_size=50, max_iter=40, random_state=0)
    return ConvNetRegressor([], **{**fast, **params})


def test_poisson_predicts_means(rates):
    X, y, mean = rates
    reg = linear(loss="poisson").fit(X, y)
    np.testing.assert_array_equal(reg.predict(X), np.exp(reg.network_.forward(X)[:, 0]))
    assert np.corrcoef(reg.predict(X), mean)[0, 1] > 0.98
    assert reg.score(X, mean) > 0.9
    with pytest.raises(ValueError, match=r"poisson.*y holds -1.*at least 0"):
        reg.fit(X, y - 1)


@pytest.mark.filterwarnings("ignore:The network has learnt nothing from X")
@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
def test_quantile_is_the_quantile(quantile):
    y = np.random.RandomState(0).normal(size=400)
    reg = linear(loss=Quantile(quantile)).fit(np.zeros((400, 1)), y)  # learns a constant
    assert reg.predict([[0.0]])[0] == pytest.approx(np.quantile(y, quantile), abs=0.1)


def test_a_function_is_the_loss_that_it_computes(rates):
    X, y, _ = rates
    seen = []

    def squared(y_true, y_pred):
        seen.append((y_true.shape, y_pred.shape))
        residual = y_pred - y_true
        return 0.5 * np.mean(residual**2, axis=1), residual / y_pred.shape[1]

    weight = np.arange(400) % 3
    own = linear(loss=squared, max_iter=5).fit(X, y, sample_weight=weight)
    named = linear(max_iter=5).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(own.predict(X), named.predict(X), rtol=1e-12)
    np.testing.assert_allclose(own.loss_curve_, named.loss_curve_, rtol=1e-12)
    assert all(a == b and a[1:] == (1,) for a, b in seen)


def test_a_function_sees_codes_of_classes(maps):
    X, y = maps

    def cross_entropy(y_true, y_pred):
        gradient = softmax(y_pred, axis=1)
        gradient[np.arange(len(y_true)), y_true] -= 1
        return -true_log_p(y_pred, y_true), gradient

    params = dict(layers=[Dense(5)], max_iter=3, random_state=0)
    names = np.array(["x", "y", "z"])[y]
    own = ConvNetClassifier(loss=cross_entropy, **params).fit(X, names)
    named = ConvNetClassifier(**params).fit(X, names)
    np.testing.assert_allclose(own.predict_proba(X), named.predict_proba(X), rtol=1e-4)
    assert list(own.predict(X)) == list(named.predict(X))


def test_the_name_focal_is_the_class(maps):
    X, y = maps
    params = dict(layers=[Dense(5)], max_iter=2, random_state=0)
    curves = [
        ConvNetClassifier(loss=loss, **params).fit(X, y).loss_curve_
        for loss in ("focal", Focal(), "cross_entropy", CrossEntropy(), CrossEntropy(0.1))
    ]
    assert curves[0] == curves[1]
    assert curves[2] == curves[3]
    assert curves[0] != curves[2] != curves[4]
