"""What a convolution in every transform is for: scores that do not see the transform."""

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import Dense, GlobalAvgPool, GlobalMaxPool, TransformConv2D
from sklearn_convnet.network import compile_network

TURNS = [lambda X, k=k: np.rot90(X, k, axes=(1, 2)) for k in range(4)]
MIRRORS = [lambda X, turn=turn: turn(X)[:, :, ::-1] for turn in TURNS]
HEADS = {"average": GlobalAvgPool, "maximum": GlobalMaxPool}


def scores_of(X, transforms, head, dtype="float64"):
    layers = [
        TransformConv2D(5, 3, transforms=transforms, pool="max", padding=1),
        TransformConv2D(4, 5, transforms=transforms, pool="max", padding="same"),
        head(),
        Dense(3, activation="identity"),
    ]
    network = compile_network(layers, X.shape[1:], dtype=dtype, random_state=0)
    return network.forward(X)


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("turn", TURNS)
def test_right_angles_do_not_matter(turn, head):
    X = np.random.RandomState(0).normal(size=(6, 9, 9, 2))

    scores = scores_of(X, "p4", head)

    np.testing.assert_allclose(scores_of(turn(X), "p4", head), scores, rtol=1e-12, atol=1e-13)
    assert np.ptp(scores, axis=0).min() > 1e-3  # they do tell images apart


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("transform", [*TURNS, *MIRRORS])
def test_right_angles_and_reflections_do_not_matter(transform, head):
    X = np.random.RandomState(0).normal(size=(6, 9, 9, 2))

    scores = scores_of(X, "p4m", head)

    moved = scores_of(transform(X), "p4m", head)
    np.testing.assert_allclose(moved, scores, rtol=1e-12, atol=1e-13)


def test_reflections_matter_to_rotations_alone():
    X = np.random.RandomState(0).normal(size=(6, 9, 9, 2))
    mirrored = scores_of(X[:, :, ::-1], "p4", GlobalAvgPool)
    assert np.abs(mirrored - scores_of(X, "p4", GlobalAvgPool)).max() > 1e-3


def test_a_fitted_classifier_sees_no_right_angles():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(40, 8, 8)), rng.randint(3, size=40)
    clf = ConvNetClassifier(
        [TransformConv2D(6, 3, pool="max", padding="same"), GlobalMaxPool()],
        max_iter=3,
        random_state=0,
    ).fit(X, y)
    P = clf.predict_proba(X)
    for k in range(1, 4):
        turned = np.rot90(X, k, axes=(1, 2))
        np.testing.assert_allclose(clf.predict_proba(turned), P, rtol=1e-10)
