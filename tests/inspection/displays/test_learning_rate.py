"""`LearningRateDisplay`: what is drawn, where, and what is needed for it."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from matplotlib import pyplot as plt

from sklearn_convnet.inspection import LearningRateDisplay
from sklearn_convnet.schedules import (
    CosineDecay,
    LinearWarmup,
    OneCycle,
    ReduceOnPlateau,
)


def test_a_schedule_is_drawn():
    schedule = CosineDecay(0.1, period=5)
    display = LearningRateDisplay.from_schedule(schedule, 8)
    x, y = display.line_.get_data()
    np.testing.assert_array_equal(x, np.arange(8))
    np.testing.assert_array_equal(y, schedule.simulate(8))
    np.testing.assert_array_equal(display.learning_rates, schedule.simulate(8))
    assert display.figure_ is display.ax_.figure
    assert display.ax_.get_ylabel() == "learning rate"
    assert [text.get_text() for text in display.ax_.get_legend().get_texts()] == ["CosineDecay"]


@pytest.mark.parametrize(
    ("schedule", "options", "per"),
    [
        (CosineDecay(0.1, 5), {}, "epoch"),
        (CosineDecay(0.1, 5, per="step"), {}, "step"),
        (OneCycle(0.1, 9), {}, "step"),
        (LinearWarmup(CosineDecay(0.1, 5), 4, per="epoch"), {}, "epoch"),
        (LinearWarmup(CosineDecay(0.1, 5), 4), {"steps_per_epoch": 3}, "step"),
        (CosineDecay(0.1, 5), {"steps_per_epoch": 3}, "step"),
        (ReduceOnPlateau(0.1, patience=2), {"scores": np.zeros(9)}, "epoch"),
        (0.1, {}, "epoch"),
    ],
    ids=repr,
)
def test_the_axis_says_what_is_counted(schedule, options, per):
    display = LearningRateDisplay.from_schedule(schedule, 9, **options)
    assert display.ax_.get_xlabel() == per
    if not isinstance(schedule, float):
        expected = schedule.simulate(9, **options)
        np.testing.assert_array_equal(display.line_.get_ydata(), expected)


def test_into_given_axes_with_a_given_look():
    _, ax = plt.subplots()
    first, second = (
        LearningRateDisplay.from_schedule(
            CosineDecay(0.1, 5), 6, ax=ax, name=name, line_kw={"color": "red", "drawstyle": style}
        )
        for name, style in (("one", "default"), ("two", "steps"))
    )
    assert first.ax_ is second.ax_ is ax
    assert ax.get_lines() == [first.line_, second.line_]
    assert first.line_.get_color() == "red"
    assert second.line_.get_drawstyle() == "steps"
    assert [line.get_label() for line in ax.get_lines()] == ["one", "two"]


def test_the_rates_of_a_fit():
    display = LearningRateDisplay([0.1, 0.1, 0.01])
    assert not hasattr(display, "ax_")
    assert display.plot() is display
    np.testing.assert_array_equal(display.line_.get_ydata(), [0.1, 0.1, 0.01])
    assert display.ax_.get_legend() is None
