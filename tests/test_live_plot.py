"""Curves that are drawn in a notebook while a fit runs."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import struct
import sys
import types

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

from matplotlib import pyplot as plt

from sklearn_convnet import ConvNetClassifier, callbacks
from sklearn_convnet.callbacks import EarlyStopping, LivePlot
from sklearn_convnet.layers import Conv2D, Dense


@pytest.fixture
def quick():
    """Makes a classifier for digits that fits in a moment."""

    def make(*callbacks, **params):
        layers = [Conv2D(4, 3, stride=2), Dense(16)]
        fast = dict(batch_size=50, max_iter=5, random_state=0)
        return ConvNetClassifier(layers, **{**fast, **params}).set_callbacks(*callbacks)

    return make


@pytest.fixture
def split(digits):
    """Digits to train on, and keywords to validate with."""
    X, y = digits
    return X[:200], y[:200], dict(X_val=X[200:], y_val=y[200:])


class FakeNotebook:
    """Stands for IPython in a notebook: pictures by the handle that they were shown with."""

    def __init__(self, monkeypatch, **shell):
        self.shown = []
        package, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
        package.version_info = (9, 0)  # matplotlib asks for it
        package.get_ipython = lambda: types.SimpleNamespace(**shell) if shell else None
        display.Image = lambda data, format: (format, data)
        display.display = self.display
        monkeypatch.setitem(sys.modules, "IPython", package)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def display(self, picture, display_id):
        assert display_id is True
        pictures = [picture]
        self.shown.append(pictures)
        return types.SimpleNamespace(update=pictures.append)


@pytest.fixture
def notebook(monkeypatch):
    return FakeNotebook(monkeypatch, kernel=object())


def size_of_png(data):
    assert data.startswith(b"\x89PNG")
    return struct.unpack(">II", data[16:24])


def test_a_live_plot_is_one_picture_that_changes(quick, split, notebook):
    X, y, val = split
    before = plt.get_fignums()
    clf = quick(LivePlot(interval=0), max_iter=3).fit(X, y, **val)
    (pictures,) = notebook.shown
    assert len(pictures) == 4  # each epoch, and the end
    assert {format for format, _ in pictures} == {"png"}
    assert len({data for _, data in pictures[:3]}) == 3
    assert pictures[2] == pictures[3]
    width, height = size_of_png(pictures[0][1])
    assert width > 3 * height
    assert plt.get_fignums() == before
    other = quick(max_iter=3).fit(X, y, **val)
    assert other.history_ == clf.history_
    for path, weight in other.get_weights().items():
        np.testing.assert_array_equal(weight, clf.get_weights()[path])
    clf.fit(X, y)
    assert len(notebook.shown) == 2  # a fit more, a picture more
    quick(LivePlot(["loss"], interval=0)).fit(X, y)
    assert size_of_png(notebook.shown[2][-1][1])[0] == pytest.approx(width / 3, abs=1)


def test_a_live_plot_does_not_hold_up_short_epochs(quick, split, notebook):
    X, y, _ = split
    quick(LivePlot(interval=1e6), max_iter=8).fit(X, y)
    (pictures,) = notebook.shown
    assert len(pictures) == 2  # the first epoch, and the end


def test_a_callback_keeps_nothing_of_a_fit(quick, split, notebook):
    X, y, _ = split
    with pytest.raises(ValueError, match="history_ has"):
        quick(LivePlot(), EarlyStopping("nothing")).fit(X, y)
    assert len(callbacks._PICTURES) == 0
    callback = LivePlot()
    quick(callback).fit(X, y)
    assert vars(pickle.loads(pickle.dumps(callback))) == vars(LivePlot())


@pytest.mark.parametrize("shell", [{}, {"execution_count": 1}], ids=["plain", "terminal"])
def test_without_a_notebook_nothing_is_drawn(quick, split, monkeypatch, shell):
    X, y, _ = split
    elsewhere = FakeNotebook(monkeypatch, **shell)
    quick(LivePlot(interval=0)).fit(X, y)
    assert elsewhere.shown == []


def test_without_ipython_and_matplotlib_a_live_plot_does_nothing(run_python):
    printed = run_python(
        """
        import sys, warnings
        warnings.simplefilter("ignore")
        sys.modules["matplotlib"] = None
        import numpy as np
        from sklearn_convnet import ConvNetClassifier
        from sklearn_convnet.callbacks import LivePlot
        from sklearn_convnet.layers import Dense
        clf = ConvNetClassifier([Dense(2)], max_iter=2).set_callbacks(LivePlot())
        clf.fit(np.eye(8)[:, :, None], np.arange(8) % 2)
        print(clf.n_iter_, "IPython" in sys.modules)
        """
    )
    assert printed.split() == ["2", "False"]


def test_a_live_plot_that_cannot_draw_says_so(quick, split, notebook, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="LivePlot requires matplotlib"):
        quick(LivePlot()).fit(*split[:2])


@pytest.mark.parametrize(
    ("callback", "match"),
    [
        (LivePlot(panels=()), "panels must be some of .*, got \\(\\)"),
        (LivePlot(panels=["loss", "accuracy"]), "panels must be some of .*'accuracy'"),
        (LivePlot(panels="loss"), "The 'panels' parameter of LivePlot"),
        (LivePlot(interval=-1), "The 'interval' parameter of LivePlot"),
    ],
)
def test_wrong_parameters_of_a_live_plot(quick, split, callback, match):
    with pytest.raises(ValueError, match=match):
        quick(callback).fit(*split[:2])
