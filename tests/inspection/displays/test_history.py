"""`HistoryDisplay`: which curves are drawn, and where."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from matplotlib import pyplot as plt

from sklearn_convnet.inspection import HistoryDisplay

HISTORY = {"loss": [4.0, 2.0, 0.3], "score": [0.1, 0.5, 0.9], "learning_rate": [0.1, 0.1, 0.01]}
VALIDATED = {**HISTORY, "validation_loss": [3.0, 2.5, 2.0], "validation_score": [0.2, 0.4, 0.5]}


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_curves_of_a_fit(fitted):
    display = HistoryDisplay.from_estimator(fitted)
    assert display.histories == {"": fitted.history_}
    assert [ax.get_ylabel() for ax in display.axes_] == ["loss", "score", "learning rate"]
    assert {ax.get_xlabel() for ax in display.axes_} == {"epoch"}
    for curve, values in fitted.history_.items():
        line = display.lines_[""][curve]
        np.testing.assert_array_equal(line.get_xdata(), [1, 2])
        np.testing.assert_array_equal(line.get_ydata(), values)
        panel = ["loss", "score", "learning_rate"].index(curve.removeprefix("validation_"))
        assert line.axes is display.axes_[panel]
        assert line.get_linestyle() == ("--" if curve.startswith("validation") else "-")
    assert labels(display.axes_[0]) == ["training", "validation"]
    assert display.axes_[2].get_legend() is None


def test_several_fits_have_a_colour_each():
    display = HistoryDisplay({"a": VALIDATED, "b": HISTORY}).plot()
    assert labels(display.axes_[1]) == ["a, training", "a, validation", "b, training"]
    assert labels(display.axes_[2]) == ["a", "b"]
    colors = {
        name: {tuple(line.get_color()) for line in lines.values()}
        for name, lines in display.lines_.items()
    }
    assert len(colors["a"]) == len(colors["b"]) == 1
    assert colors["a"] != colors["b"]


def test_a_second_fit_on_the_same_axes(fitted):
    first = HistoryDisplay.from_estimator(fitted, name="one")
    second = HistoryDisplay.from_estimator(fitted, name="two", axes=first.axes_)
    assert second.axes_.tolist() == first.axes_.tolist()
    assert len(first.axes_[0].get_lines()) == 4
    assert labels(first.axes_[0])[::2] == ["one, training", "two, training"]
    assert len({line.get_color() for line in first.axes_[0].get_lines()}) == 4


def test_some_panels():
    _, ax = plt.subplots()
    display = HistoryDisplay({"": VALIDATED}).plot(ax, panels="score")
    assert display.axes_.tolist() == [ax]
    assert set(display.lines_[""]) == {"score", "validation_score"}


@pytest.mark.parametrize(
    ("losses", "log_loss", "scale"),
    [
        ([4.0, 0.3], "auto", "log"),
        ([4.0, 1.0], "auto", "linear"),
        ([4.0, -0.3], "auto", "linear"),
        ([4.0, np.nan, 0.3], "auto", "log"),
        ([4.0, 0.3], False, "linear"),
        ([4.0, 1.0], True, "log"),
    ],
)
def test_scale_of_the_loss(losses, log_loss, scale):
    display = HistoryDisplay({"": {"loss": losses}}).plot(panels=["loss"], log_loss=log_loss)
    assert display.axes_[0].get_yscale() == scale


def test_a_learning_rate_that_spans_decades_is_logarithmic():
    axes = HistoryDisplay({"": HISTORY}).plot().axes_
    assert [ax.get_yscale() for ax in axes] == ["log", "linear", "log"]


def test_bad_input(fitted):
    with pytest.raises(ValueError, match="histories is empty"):
        HistoryDisplay({}).plot()
    with pytest.raises(TypeError, match="estimators must be a dict of fitted estimators by"):
        HistoryDisplay.from_estimators([fitted])
    with pytest.raises(ValueError, match=r"panels must be some of .*got \('accuracy',\)"):
        HistoryDisplay({"": HISTORY}).plot(panels="accuracy")
    with pytest.raises(ValueError, match="log_loss must be"):
        HistoryDisplay({"": HISTORY}).plot(log_loss="yes")
    with pytest.raises(
        ValueError, match="axes has 1 axes, but HistoryDisplay draws on 1 rows of 3"
    ):
        HistoryDisplay({"": HISTORY}).plot(plt.subplots()[1])
