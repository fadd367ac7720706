"""`TopClassesDisplay` and `HardestSamplesDisplay`: bars, names, and who comes first."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgba

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.inspection import HardestSamplesDisplay, TopClassesDisplay
from sklearn_convnet.layers import Dense

PROBA = np.array([[0.1, 0.6, 0.3], [0.5, 0.2, 0.3], [0.2, 0.0, 0.8], [0.4, 0.35, 0.25]])
X = np.arange(4)[:, None, None] * np.ones((4, 5, 5))


def names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def widths(bars):
    return [bar.get_width() for bar in bars]


def colors(bars):
    return [bar.get_facecolor() for bar in bars]


def test_bars_of_the_most_probable_classes():
    display = TopClassesDisplay.from_predictions(X, PROBA, classes=["a", "b", "c"], k=2)
    np.testing.assert_array_equal(display.top_, [[1, 2], [0, 2], [2, 0], [0, 1]])
    assert display.axes_.shape == (4, 2)
    for i, (above, below) in enumerate(display.axes_):
        np.testing.assert_array_equal(above.images[0].get_array(), X[i])
        assert names(below) == ["abc"[j] for j in display.top_[i]]
        assert widths(display.bars_[i]) == PROBA[i, display.top_[i]].tolist()
        assert display.bars_[i][0].axes is below
        bottom, top = below.get_ylim()
        assert bottom > top  # the first on top
    assert set(map(tuple, colors(display.bars_[0]))) == {to_rgba("tab:gray")}


def test_true_classes():
    display = TopClassesDisplay.from_predictions(
        X, PROBA, ["b", "c", "c", "b"], classes=["a", "b", "c"], display_labels=["x", "y", "z"]
    )
    titles = [ax.get_title() for ax in display.axes_[:, 0]]
    assert titles == ["y", "z", "z", "y"]
    assert [ax.title.get_color() for ax in display.axes_[:, 0]] == [
        "black", "tab:red", "black", "tab:red"
    ]  # fmt: skip
    green = [colors(bars).index(to_rgba("tab:green")) for bars in display.bars_]
    assert green == [0, 1, 0, 1]
    assert names(display.axes_[1, 1]) == ["x", "z", "y"]


def test_of_an_estimator(fitted, digits):
    samples, y = digits
    display = TopClassesDisplay.from_estimator(fitted, samples, y, n_samples=3)
    P = fitted.predict_proba(samples[:3])
    np.testing.assert_array_equal(display.top_, np.argsort(-P, axis=1, kind="stable")[:, :5])
    assert [ax.get_title() for ax in display.axes_[:, 0]] == [str(label) for label in y[:3]]


def test_long_names_are_shortened_and_classes_fewer_than_bars():
    labels = ["a name that is far too long for a bar", "b", "c"]
    display = TopClassesDisplay.from_predictions(X[:1], PROBA[:1], classes=labels, k=9)
    assert names(display.axes_[0, 1]) == ["b", "c", "a name that is …"]


def test_hardest_begins_with_what_is_misread_worst():
    y = [1, 1, 2, 0]  # right, wrong, right, right
    display = HardestSamplesDisplay.from_predictions(X, y, PROBA)
    assert display.indices_.tolist() == [1, 3, 0, 2]
    order = [ax.images[0].get_array().mean() for ax in display.axes_[:, 0]]
    assert order == [1, 3, 0, 2]
    assert [ax.get_title() for ax in display.axes_[:, 0]] == ["1", "0", "1", "2"]
    display = HardestSamplesDisplay.from_predictions(X, y, PROBA, n_samples=2)
    assert display.indices_.tolist() == [1, 3]
    assert len(display.axes_) == 2


def test_hardest_of_an_estimator(fitted, digits):
    samples, y = digits
    display = HardestSamplesDisplay.from_estimator(fitted, samples, y, n_samples=4)
    P = fitted.predict_proba(samples)
    true = P[np.arange(len(y)), y]  # the classes are 0 to 9
    wrong = P.argmax(axis=1) != y
    assert wrong.sum() >= 4
    worst = np.flatnonzero(wrong)[np.argsort(true[wrong], kind="stable")]
    assert display.indices_.tolist() == worst[:4].tolist()


def test_given_axes():
    _, axes = plt.subplots(4, 2)
    display = TopClassesDisplay.from_predictions(X, PROBA, axes=axes)
    assert display.axes_.tolist() == axes.tolist()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X, PROBA[:3]), {}, "number of samples: X has 4, proba has 3"),
        ((X, PROBA[0]), {}, "proba must have 2 axes"),
        ((X, [PROBA, PROBA]), {}, "proba is a list, of several columns"),
        ((X, PROBA, [0, 1]), {}, "y has 2"),
        ((X, PROBA, [0, 1, 2, 3]), {}, "y holds the label 3, which is none of the classes"),
        ((X, PROBA, np.zeros((4, 2))), {}, "one label a sample, got shape"),
        ((X, PROBA), {"classes": ["a"]}, "classes has 1 entries, but proba has 3 columns"),
        ((X, PROBA), {"display_labels": ["a"]}, "display_labels has 1 entries"),
        ((X, PROBA), {"k": 0}, "k == 0, must be >= 1"),
        ((X, PROBA), {"n_samples": 0}, "n_samples == 0, must be >= 1"),
    ],
)
def test_bad_input(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        TopClassesDisplay.from_predictions(*arguments, **options)


def test_hardest_needs_labels():
    with pytest.raises(ValueError, match="y is None, but hard samples"):
        HardestSamplesDisplay.from_predictions(X, None, PROBA)


def test_estimators_without_probabilities_of_one_label(pointer, scenes):
    with pytest.raises(TypeError, match=r"must be a classifier, .* got ConvNetRegressor"):
        TopClassesDisplay.from_estimator(pointer, scenes[0])
    columns = np.arange(8).reshape(4, 2) % 3
    several = ConvNetClassifier([Dense(2)], max_iter=1).fit(X, columns)
    with pytest.raises(ValueError, match="of several columns of labels"):
        TopClassesDisplay.from_estimator(several, X)
