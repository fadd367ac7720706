"""How much predictions change where samples are turned, mirrored or moved."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.inspection import check_invariance
from sklearn_convnet.inspection.invariance import moved, name_of
from sklearn_convnet.layers import (
    Conv2D,
    Dense,
    GlobalAvgPool,
    TransformConv1D,
    TransformConv2D,
    TransformConv3D,
    reflection,
    rotation,
    scaling,
)
from sklearn_convnet.layers.transforms import GROUPS, filter_transform, transform_matrices
from sklearn_convnet.network import compile_network

PLAIN = [Conv2D(4, 3), GlobalAvgPool()]
TURNS = ["rotation 90", "rotation 180", "rotation 270"]
MIRRORS = ["reflection", *[f"reflection, {turn}" for turn in TURNS]]


def invariant(conv, transforms="auto", pool="max"):
    return [conv(3, 2, transforms), conv(3, 2, transforms, pool, group_input=True)]


def fitted(layers, X, y, model=ConvNetClassifier, fit=None, **options):
    model = model(layers, max_iter=2, random_state=0, dtype="float64", **options)
    return model.fit(X, y, **(fit or {}))


def samples(*shape, n=12, seed=0):
    rng = np.random.RandomState(seed)
    return rng.normal(size=(n, *shape)), np.arange(n) % 3


def names(table):
    return [row[0] for row in table.rows]


def largest(table):
    return max(row[1] for row in table.rows)


# --- what it tells ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_axes", GROUPS)
def test_moved_as_filters_are(n_axes):
    """With what layers do to a cubic filter, and back again."""
    maps = np.random.RandomState(0).normal(size=(2, *[3] * n_axes, 2))
    for matrix in transform_matrices(GROUPS[n_axes][-1], n_axes):
        T = filter_transform(matrix, (3,) * n_axes)
        expected = np.stack([T @ sample for sample in maps.reshape(2, -1, 2)])
        turned = moved(maps, matrix)
        np.testing.assert_array_equal(turned.reshape(expected.shape), expected)
        np.testing.assert_array_equal(moved(turned, matrix.T), maps)


def test_the_numbers_of_a_classifier():
    X, y = samples(7, 7)
    clf = fitted(PLAIN, X, y)
    table = check_invariance(clf, X)
    assert table.columns == ["transform", "largest change", "mean change", "changed labels"]
    assert names(table) == TURNS + MIRRORS
    mirrored = X[:, :, ::-1]
    turned = [
        np.rot90(A, k, (1, 2)) for A, ks in ((X, (1, 2, 3)), (mirrored, range(4))) for k in ks
    ]
    for (_, most, mean, changed), A in zip(table.rows, turned, strict=True):
        change = np.abs(clf.predict_proba(A) - clf.predict_proba(X))
        assert most == change.max() > 1e-3
        assert mean == change.mean()
        assert changed == np.mean(clf.predict(A) != clf.predict(X))
    assert "rotation 90" in str(table)


def test_the_numbers_of_a_regressor_are_in_the_units_of_y():
    X, y = samples(6, 6)
    one, thousand = (fitted(PLAIN, X, y * u, ConvNetRegressor) for u in (1.0, 1000.0))
    table = check_invariance(one, X, "p4")
    assert table.columns == ["transform", "largest change", "mean change"]
    changes = [row[1] for row in table.rows]
    of_thousand = [row[1] for row in check_invariance(thousand, X, "p4").rows]
    np.testing.assert_allclose(of_thousand, 1000 * np.array(changes), rtol=1e-6)
    assert changes[1] == np.abs(one.predict(X[:, ::-1, ::-1]) - one.predict(X)).max()


CASES = {
    "signals": (TransformConv1D, "pm", (9, 2), 1),
    "images": (TransformConv2D, "p4m", (7, 7), 7),
    "volumes": (TransformConv3D, "O", (4, 4, 4), 23),
}


@pytest.mark.parametrize(("conv", "group", "shape", "n_rows"), CASES.values(), ids=CASES)
def test_networks_that_do_not_change(conv, group, shape, n_rows):
    X, y = samples(*shape)
    clf = fitted([*invariant(conv, group), GlobalAvgPool()], X, y)
    before = pickle.dumps(clf)
    table = check_invariance(clf, X, group, atol=1e-12)
    assert pickle.dumps(clf) == before
    assert len(table.rows) == n_rows
    assert [row[3] for row in table.rows] == [0] * n_rows
    changed = fitted([conv(3, 3, [np.eye(len(shape[:3]) - (conv is TransformConv1D))])], X, y)
    assert largest(check_invariance(changed, X, group)) > 1e-3


def test_what_changes_more_than_is_allowed_is_an_error():
    X, y = samples(7, 7)
    clf = fitted([*invariant(TransformConv2D), GlobalAvgPool()], X, y)
    check_invariance(clf, X, "p4", atol=1e-12)
    with pytest.raises(AssertionError, match=r"change by 0\.\d+ under 'reflection', .* atol=0.001"):
        check_invariance(clf, X, atol=1e-3)
    clf.network_.params[:] = np.nan
    with pytest.raises(AssertionError, match="nan under 'rotation 90'"):
        check_invariance(clf, X, "p4", atol=1e-3)


# --- how samples and transforms are given ----------------------------------------------------


def test_forms_of_X():
    X, y = samples(6, 6, 2)
    expected = check_invariance(fitted(PLAIN, X, y), X).rows
    first = np.moveaxis(X, -1, 1)
    clf = fitted(PLAIN, first, y, data_format="channels_first")
    assert check_invariance(clf, first).rows == expected
    flat = X.reshape(len(X), -1)
    assert check_invariance(fitted(PLAIN, flat, y, input_shape=(6, 6, 2)), flat).rows == expected


def test_samples_that_are_not_square():
    X, y = samples(5, 7)
    clf = fitted(PLAIN, X, y)
    kept = ["rotation 180", "reflection", "reflection, rotation 180"]
    assert names(check_invariance(clf, X)) == kept
    with pytest.raises(ValueError, match=r"'rotation 90' makes samples of shape \(7, 5\) of"):
        check_invariance(clf, X, "p4")


def test_functions_by_name():
    X, y = samples(6, 6)
    clf = fitted(PLAIN, X, y)
    functions = {"shift": lambda X: np.roll(X, 1, axis=2), "brighter": lambda X: X + 1}
    table = check_invariance(clf, X, functions)
    assert names(table) == ["shift", "brighter"]
    change = np.abs(clf.predict_proba(X + 1) - clf.predict_proba(X))
    assert table.rows[1][1:3] == (change.max(), change.mean())
    with pytest.raises(ValueError, match="'fewer' makes 3 samples of 12"):
        check_invariance(clf, X, {"fewer": lambda X: X[:3]})


def test_matrices():
    X, y = samples(6, 6)
    clf = fitted(PLAIN, X, y)
    table = check_invariance(clf, X, [np.eye(2), rotation(270), rotation(90) @ reflection()])
    assert names(table) == ["rotation 270", "reflection, rotation 90"]
    assert name_of(rotation(90, axis="z")) == "(y, -x, z)"


def test_several_columns_of_labels():
    X, y = samples(6, 6)
    y = np.column_stack([y, y % 2])
    clf = fitted(PLAIN, X, y)
    (row,) = check_invariance(clf, X, [rotation(180)]).rows
    turned = X[:, ::-1, ::-1]
    pairs = zip(clf.predict_proba(turned), clf.predict_proba(X), strict=True)
    assert row[1] == max(np.abs(a - b).max() for a, b in pairs)
    assert row[3] == np.mean(clf.predict(turned) != clf.predict(X))


def test_boxes_are_not_compared():
    X, y = samples(6, 6)
    boxes = np.random.RandomState(0).uniform(size=(12, 4))
    beside = fitted(PLAIN, X, y, fit=dict(boxes=boxes))
    behind = fitted(PLAIN, X, np.column_stack([y, boxes]), box_weight=1.0)
    turned = X[:, :, ::-1]
    assert not np.array_equal(behind.predict(turned)[:, 1:], behind.predict(X)[:, 1:])
    for clf in (beside, behind):
        (row,) = check_invariance(clf, X, [reflection()]).rows
        assert row[1] == np.abs(clf.predict_proba(turned) - clf.predict_proba(X)).max()
        assert row[3] == np.mean(beside.predict(turned) != beside.predict(X))


# --- maps move with the sample ---------------------------------------------------------------


def of_maps():
    same = {"padding": "same"}
    turning = TransformConv2D(3, 3, "p4m", **same)
    return {
        "turning": [turning, TransformConv2D(2, 3, "p4m", "mean", group_input=True, **same)],
        "plain": [Conv2D(3, 3, **same)],
    }


@pytest.mark.parametrize("kind", ["labels", "values"])
def test_maps(kind):
    X, _ = samples(5, 5)
    y = (X > 0).astype(int) if kind == "labels" else X**2
    model = ConvNetClassifier if kind == "labels" else ConvNetRegressor
    clf = fitted(of_maps()["turning"], X, y, model, target="maps")
    assert largest(check_invariance(clf, X, atol=1e-12)) <= 1e-12
    plain = fitted(of_maps()["plain"], X, y, model, target="maps")
    assert largest(check_invariance(plain, X)) > 1e-3
    with pytest.raises(ValueError, match="predictions are maps, which have to be moved back"):
        check_invariance(clf, X, {"shift": lambda X: np.roll(X, 1, axis=2)})


def test_a_network():
    X, _ = samples(5, 5, 1)
    network = compile_network(of_maps()["turning"], X.shape[1:], dtype="float64", random_state=0)
    assert len(check_invariance(network, X, atol=1e-12).rows) == 7
    head = [Conv2D(4, 3), Dense(2, activation=None)]
    network = compile_network(head, X.shape[1:], random_state=0)
    (row,) = check_invariance(network, X, [rotation(180)]).rows
    X = X.astype(np.float32)
    change = np.abs(network.forward(X[:, ::-1, ::-1].copy()) - network.forward(X))
    assert row == ("rotation 180", change.max(), change.mean())


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transforms", "message"),
    [
        ("O", "transforms must be one of 'auto', 'p4', 'p4m' or a list of 2 x 2 matrices"),
        ([rotation(45)], "moves pixels between pixels: give right angles and reflections"),
        ([scaling(2)], "moves pixels between pixels"),
        ([np.array([[1, 1], [0, 1]])], "moves pixels between pixels"),
        ({}, "transforms has no function"),
        ([np.eye(2)], "nothing but the identity"),
    ],
)
def test_transforms_that_are_refused(transforms, message):
    X, y = samples(5, 5)
    with pytest.raises(ValueError, match=message):
        check_invariance(fitted(PLAIN, X, y), X, transforms)


@pytest.mark.parametrize("atol", [-1, "small", np.nan])
def test_a_tolerance_that_is_none(atol):
    X, y = samples(5, 5)
    with pytest.raises(ValueError, match="atol must be a number of at least 0 or None"):
        check_invariance(fitted(PLAIN, X, y), X, atol=atol)


def test_estimators_that_are_refused():
    X, y = samples(5, 5)
    with pytest.raises(TypeError, match="expected a fitted ConvNetClassifier"):
        check_invariance(LogisticRegression(), X)
    with pytest.raises(NotFittedError):
        check_invariance(ConvNetClassifier(PLAIN), X)
    points = fitted(PLAIN, X, np.zeros((12, 2, 2)), ConvNetRegressor, target="points")
    with pytest.raises(ValueError, match="y holds points, which move with the sample"):
        check_invariance(points, X)
    table = fitted(None, X[:, 0], y, input_kind="table")
    with pytest.raises(ValueError, match="columns of a table, which have no order"):
        check_invariance(table, X[:, 0])
