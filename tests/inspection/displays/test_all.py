"""What all displays share: matplotlib only when drawn, and messages that name the way out."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_convnet import ConvNetClassifier, inspection
from sklearn_convnet.inspection import displays
from sklearn_convnet.layers import Dense

DOCS = Path(__file__).parents[3] / "docs"
DISPLAYS = {name: getattr(displays, name) for name in displays.__all__}
X, Y = np.ones((2, 4, 4)), [0, 1]

#: Those that look at a fitted estimator, with what they are given besides.
OF_FITTED = {
    "BoxesDisplay": (X,),
    "FeatureMapsDisplay": (X,),
    "FiltersDisplay": (),
    "HardestSamplesDisplay": (X, Y),
    "HistoryDisplay": (),
    "KeypointsDisplay": (X,),
    "LabelMapsDisplay": (X,),
    "NearestSamplesDisplay": (X, X),
    "SaliencyDisplay": (X,),
    "TopClassesDisplay": (X,),
}


@pytest.mark.parametrize("name", displays.__all__)
def test_names_are_public_and_documented(name):
    assert name in inspection.__all__
    display = DISPLAYS[name]
    documented = display.__doc__
    assert "Examples\n    --------" in documented
    for parameter in list(inspect.signature(display.__init__).parameters)[1:]:
        assert parameter in documented
    for attribute in ("figure_", "ax"):
        assert attribute in documented


@pytest.mark.parametrize("name", displays.__all__)
def test_the_docs_have_a_section_and_a_picture_of_each(name):
    page = (DOCS / "displays.md").read_text()
    assert f"### {name}\n" in page
    assert f"(figures/displays/{name}.png)" in page
    assert (DOCS / "figures" / "displays" / f"{name}.png").exists()


def test_matplotlib_is_needed_only_to_draw(run_python):
    printed = run_python(
        """
        import sys
        sys.modules["matplotlib"] = None
        import numpy as np
        from sklearn_convnet import inspection
        X = np.ones((2, 4, 4))
        for display in (
            inspection.BoxesDisplay(X, np.ones((2, 4))),
            inspection.FiltersDisplay(np.ones((2, 3, 3, 1))),
            inspection.HistoryDisplay({"": {"loss": [1.0]}}),
            inspection.LearningRateDisplay([0.1]),
            inspection.LearningRateRangeDisplay([0.1, 0.2], [1.0, 2.0]),
            inspection.TopClassesDisplay(X, np.eye(2), [0, 1]),
        ):
            try:
                display.plot()
            except ImportError as error:
                print(error)
        """
    )
    lines = [line for line in printed.splitlines() if "requires matplotlib" in line]
    assert len(lines) == 6
    assert lines[0].startswith("BoxesDisplay.plot requires matplotlib.")


@pytest.mark.parametrize("name", OF_FITTED)
def test_estimators_of_another_kind(name, fitted):
    given = OF_FITTED[name]
    with pytest.raises(TypeError, match="must be a ConvNetClassifier or ConvNetRegressor, got Pip"):
        DISPLAYS[name].from_estimator(make_pipeline(FunctionTransformer(), fitted), *given)
    with pytest.raises(NotFittedError):
        DISPLAYS[name].from_estimator(ConvNetClassifier(), *given)


def test_x_comes_in_as_the_estimator_takes_it():
    rng = np.random.RandomState(0)
    images = rng.uniform(size=(6, 3, 5, 4))
    first = ConvNetClassifier([Dense(2)], data_format="channels_first", max_iter=1)
    first.fit(images, [0, 1] * 3)
    display = displays.TopClassesDisplay.from_estimator(first, images)
    rgba = np.asarray(display.axes_[0, 0].images[0].get_array())
    np.testing.assert_allclose(rgba[..., :3], images[0].transpose(1, 2, 0))
    flat = ConvNetClassifier([Dense(2)], input_shape=(5, 4), input_kind="image", max_iter=1)
    rows = images[:, 0].reshape(6, 20)
    display = displays.TopClassesDisplay.from_estimator(flat.fit(rows, [0, 1] * 3), rows)
    np.testing.assert_allclose(display.axes_[1, 0].images[0].get_array(), images[1, 0])


def test_what_is_not_drawn_has_to_fit_as_well(
    fitted, digits, localizer, pointer, segmenter, scenes
):
    images, _, masks = scenes
    for display, estimator, X, given in (
        (displays.BoxesDisplay, localizer, images, (np.ones((11, 4)),)),
        (displays.KeypointsDisplay, pointer, images, (np.ones((11, 4)),)),
        (displays.LabelMapsDisplay, segmenter, images, (masks[:11],)),
        (displays.TopClassesDisplay, fitted, digits[0], (digits[1][:250],)),
    ):
        with pytest.raises(ValueError, match="give the same number of samples: X has"):
            display.from_estimator(estimator, X, *given, n_samples=2)


def test_looking_changes_nothing(fitted, digits):
    samples, y = digits
    before = pickle.dumps(fitted)
    displays.HistoryDisplay.from_estimator(fitted)
    displays.FiltersDisplay.from_estimator(fitted)
    displays.HardestSamplesDisplay.from_estimator(fitted, samples, y, n_samples=1)
    assert pickle.dumps(fitted) == before
