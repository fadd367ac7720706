"""Which output of a network is explained, for each kind of y."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re

import numpy as np
import pandas as pd
import pytest

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.estimators.targets.base import Target
from sklearn_convnet.inspection import saliency
from sklearn_convnet.inspection.targets import output_index
from sklearn_convnet.layers import Conv1D, Conv2D, Dense, Standardize

N = 24


@pytest.fixture
def images():
    return np.random.RandomState(0).normal(size=(N, 5, 4, 1))


def layers(*last):
    return [Standardize(), Conv2D(4, 3, padding="same", activation="tanh"), *last]


def fitted(model, X, y, **options):
    model.set_params(max_iter=3, random_state=0, batch_size=8)
    return model.fit(X, y, **options)


def check(model, X, target, function, scale=None):
    """The gradient of a function of X, which may have one entry a sample, by differences."""
    X, step = X[:2], 1e-5
    expected = np.empty(X.shape)
    for i in np.ndindex(X.shape[1:]):
        move = np.zeros(X.shape)
        move[(slice(None), *i)] = step
        expected[(slice(None), *i)] = (function(X + move) - function(X - move)) / (2 * step)
    found = saliency(model, X, target=target)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max())


def refused(model, X, target, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        saliency(model, X[:2], target=target)


@pytest.mark.parametrize(
    "labels", [[3, 5, 9], ["a", "b", "c"], [False, True], [1.0, 2.0]], ids=lambda x: str(x[0])
)
def test_labels(images, labels):
    y = np.array(labels)[np.arange(N) % len(labels)]
    model = fitted(ConvNetClassifier(layers(Dense(6))), images, y)
    for i, label in enumerate(labels):
        for wanted in (label, y.dtype.type(label)):
            check(model, images, wanted, lambda X, i=i: model.network_.forward(X)[:, i])
    codes = model.network_.forward(images[:2]).argmax(axis=1)
    check(model, images, None, lambda X: model.network_.forward(X)[np.arange(2), codes])
    refused(model, images, "zebra", f"target='zebra' is no class: the classes are {labels}")
    refused(model, images, (1, 2), "target=(1, 2) is no class")
    refused(model, images, [labels[0]], "target has 1 entries for 2 samples: give a list with one")


def test_targets_of_each_sample_in_any_sequence(images):
    labels = np.array(["a", "b", "c"])[np.arange(N) % 3]
    model = fitted(ConvNetClassifier(layers(Dense(6))), images, labels)
    expected = saliency(model, images[:3], target=["a", "b", "c"])
    for wanted in (labels[:3], pd.Series(labels[:3], index=[7, 8, 9]), pd.Index(labels[:3])):
        np.testing.assert_array_equal(saliency(model, images[:3], target=wanted), expected)


def test_several_labels_at_once(images):
    y = np.random.RandomState(0).randint(2, size=(N, 3))
    model = fitted(ConvNetClassifier(layers(Dense(6))), images, y)

    def log_odds(X):
        P = model.predict_proba(X)
        return np.log(P / (1 - P))

    check(model, images, 2, lambda X: log_odds(X)[:, 2])
    best = model.predict_proba(images[:2]).argmax(axis=1)
    check(model, images, None, lambda X: log_odds(X)[np.arange(2), best])
    refused(model, images, 3, "target=3 is no class: the classes are [0, 1, 2]")


def test_columns_of_labels(images):
    y = np.stack([np.arange(N) % 2, np.arange(N) % 3 + 7], axis=1)
    model = fitted(ConvNetClassifier(layers(Dense(6))), images, y)
    outputs = model.network_.forward
    check(model, images, (0, 1), lambda X: outputs(X)[:, 1])
    check(model, images, (1, 9), lambda X: outputs(X)[:, 4])
    check(model, images, [(1, 7), (0, 0)], lambda X: outputs(X)[[0, 1], [2, 0]])
    check(model, images, np.array([(1, 7), (0, 0)]), lambda X: outputs(X)[[0, 1], [2, 0]])
    best = 2 + outputs(images[:2])[:, 2:].argmax(axis=1)
    check(model, images, (1,), lambda X: outputs(X)[np.arange(2), best])
    refused(model, images, None, "target=None names no label of a column, of which y has 2")
    refused(model, images, 1, "give (column, label), or (column,) for the predicted one")
    refused(model, images, (2, 0), "2 lies outside the columns of y, of shape (2,)")
    refused(model, images, (1, 0), "target=0 is no class: the classes are [7, 8, 9]")


def test_a_label_of_a_pixel(images):
    y = np.array(["sky", "sea"])[(images[..., 0] > 0).astype(int)]
    model = fitted(ConvNetClassifier(layers()), images, y)
    outputs = model.network_.forward
    check(model, images, (3, 2, "sky"), lambda X: outputs(X)[:, 3, 2, 1])
    check(model, images, (-1, 0, "sea"), lambda X: outputs(X)[:, 4, 0, 0])
    best = outputs(images[:2])[:, 1, 1].argmax(axis=1)
    check(model, images, (1, 1), lambda X: outputs(X)[np.arange(2), 1, 1, best])
    refused(model, images, None, "give (row, column, label), or (row, column) for the predicted")
    refused(model, images, "sky", "target='sky' names no label of a position")
    refused(model, images, (5, 0, "sky"), "(5, 0) lies outside the maps, of shape (5, 4)")
    refused(model, images, (1, 0, "sand"), "target='sand' is no class: the classes are ['sea', 's")
    refused(model, images, (1.0, 0, "sky"), "is no place in the maps, of shape (5, 4): give a")


def test_a_label_of_a_step(images):
    X = images.reshape(N, 20, 1)
    y = (X[..., 0] > 0).astype(int)
    model = ConvNetClassifier([Conv1D(3, 3, padding="same", activation="tanh")], target="maps")
    model = fitted(model, X, y)
    outputs = model.network_.forward
    check(model, X, (7, 1), lambda X: outputs(X)[:, 7, 1])
    best = outputs(X[:2])[:, 7].argmax(axis=1)
    check(model, X, (7,), lambda X: outputs(X)[np.arange(2), 7, best])
    refused(model, X, 7, "give (step, label), or (step,) for the predicted one")


@pytest.mark.parametrize("units", ["share", "pixels"])
def test_a_coordinate_of_a_box(images, units):
    rng, labels = np.random.RandomState(0), np.array(["a", "b"])[np.arange(N) % 2]
    boxes = rng.uniform(size=(N, 4)) * (1 if units == "share" else 4)
    model = fitted(
        ConvNetClassifier(layers(Dense(6)), box_units=units), images, labels, boxes=boxes
    )
    for i in range(4):
        check(model, images, ("box", i), lambda X, i=i: model.predict_box(X)[:, i])
    check(model, images, "b", lambda X: model.network_.forward(X)[:, 1])
    codes = model.network_.forward(images[:2])[:, :2].argmax(axis=1)
    check(model, images, None, lambda X: model.network_.forward(X)[np.arange(2), codes])
    check(
        model,
        images,
        ["a", ("box", 3)],
        lambda X: np.array([model.network_.forward(X)[0, 0], model.predict_box(X)[1, 3]]),
    )
    refused(model, images, ("box", 4), "4 lies outside a box, of shape (4,)")
    refused(model, images, ("corner", 1), "give one of ['a', 'b'], or ('box', i) for the i-th")


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)], ids=str)
def test_values_in_their_own_units(images, shape):
    y = np.random.RandomState(0).normal(100, 50, size=(N, *shape))
    kind = "points" if len(shape) == 2 else "values"
    model = ConvNetRegressor(layers(Dense(6)), target=kind, point_units="pixels")
    model = fitted(model, images, y)
    for place in np.ndindex(shape):
        wanted = {0: None, 1: place[0] if place else 0, 2: place}[len(shape)]
        check(model, images, wanted, lambda X, place=place: model.predict(X)[(..., *place)])
    if shape:
        refused(model, images, None, f"y has values of shape {shape} a sample: give the place of")
    refused(model, images, 9 if len(shape) < 2 else (9, 0), "lies outside y of a sample, of shape")
    refused(model, images, "b", "'b' is no place in y of a sample")
    refused(model, images, True, "True is no place in y of a sample")


def test_values_of_a_pixel(images):
    y = np.concatenate([images * 10, images - 5], axis=-1)
    model = fitted(ConvNetRegressor(layers(), target="maps"), images, y)
    check(model, images, (2, 1, 0), lambda X: model.predict(X)[:, 2, 1, 0])
    check(model, images, (2, 1, 1), lambda X: model.predict(X)[:, 2, 1, 1])
    refused(model, images, (2, 1), "(2, 1) is no place in y of a sample, of shape (5, 4, 2): give")


def test_counts_are_explained_before_the_exponential_function(images):
    y = np.random.RandomState(0).poisson(3, size=N)
    model = fitted(ConvNetRegressor(layers(Dense(6)), loss="poisson"), images, y)
    check(model, images, None, lambda X: np.log(model.predict(X)))


def test_every_target_has_places_in_the_output():
    def below(kind):
        for one in kind.__subclasses__():
            yield one
            yield from below(one)

    kinds, default = list(below(Target)), output_index.dispatch(object)
    assert len(kinds) > 7
    assert not [kind for kind in kinds if output_index.dispatch(kind) is default]
