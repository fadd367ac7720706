"""Who is compared on the data sets of `data.py`, each with its own defaults.

`CONTENDERS[name].make(problem)` returns something with `fit(X, y)` and `predict(X)`, which takes
and returns y in the form that `data.DataSet` tells. `does(task, kind)` says whether there is a way.

Nobody is tuned. Whatever its own documentation advises is done: scikit-learn's networks and linear
models are given X from 0 to 1, as images are, or standardised; series are shuffled before a
validation part is cut off. Tasks that a tutorial knows nothing of are done with its network and
another output layer.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

OURS = "sklearn_convnet"
MLP = "MLP"
SKORCH = "skorch"


@dataclass(frozen=True)
class Problem:
    """What a contender is told: task and kind of data, see `data.DataSet`; a seed; and threads."""

    task: str
    kind: str
    seed: int
    threads: int


@dataclass(frozen=True)
class Contender:
    """How one is made, what it can do, what it needs, and whether its seed makes a difference."""

    name: str
    make: Callable
    does: Callable
    needs: tuple = ()
    random: bool = True

    def is_here(self):
        return all(find_spec(package) for package in self.needs)


def everything(task, kind):
    return True


def all_but_maps(task, kind):
    return task != "segmentation"


def one_output(task, kind):
    """Boosting would take a model for each coordinate."""
    return task in ("classification", "regression")


def all_but_maps_and_series(task, kind):
    return task != "segmentation" and kind != "signal"


def series(task, kind):
    return kind == "signal"


def maps(task, kind):
    return task == "segmentation"


# %%
# This package


class ClassAndBox(BaseEstimator):
    """Rows of a label and a box, by an estimator that takes boxes beside the labels."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        self.estimator.fit(X, y[:, 0], boxes=y[:, 1:])
        return self

    def predict(self, X):
        return np.column_stack([self.estimator.predict(X), self.estimator.predict_box(X)])


def convnet(problem):
    """All defaults. The guide says to name the kind of X, and for maps there is but a U-net."""
    from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
    from sklearn_convnet.architectures import unet
    from sklearn_convnet.layers import Standardize

    given = dict(input_kind=problem.kind, random_state=problem.seed)
    if problem.task == "segmentation":
        return ConvNetClassifier([Standardize(), *unet(width=1 / 8, depth=2)], **given)
    if problem.task == "boxes":
        return ClassAndBox(ConvNetClassifier(**given))
    if problem.task == "joints":
        return ConvNetRegressor(target="points", **given)
    return (ConvNetClassifier if problem.task == "classification" else ConvNetRegressor)(**given)


# %%
# scikit-learn


class LabelThenBox(BaseEstimator):
    """Rows of a label and a box, by two models that know nothing of each other."""

    def __init__(self, classifier, regressor):
        self.classifier = classifier
        self.regressor = regressor

    def fit(self, X, y):
        self.classifier_ = clone(self.classifier).fit(X, y[:, 0])
        self.regressor_ = clone(self.regressor).fit(X, y[:, 1:])
        return self

    def predict(self, X):
        return np.column_stack([self.classifier_.predict(X), self.regressor_.predict(X)])


def flat(X):
    return X.reshape(len(X), -1)


def of_rows(problem, classifier, regressor, scaled):
    """A model of rows of numbers, for all tasks but maps of labels.

    Brightness is from 0 to 1. To standardise it pixel by pixel would blow up those at the border.
    """
    scaled = scaled and problem.kind not in ("image", "volume")
    steps = [FunctionTransformer(flat), *([StandardScaler()] if scaled else [])]
    if problem.task == "classification":
        return make_pipeline(*steps, classifier)
    if problem.task == "boxes":
        return make_pipeline(*steps, LabelThenBox(classifier, regressor))
    return make_pipeline(*steps, regressor)


def mlp(problem):
    given = dict(random_state=problem.seed)
    return of_rows(problem, MLPClassifier(**given), MLPRegressor(**given), scaled=True)


def boosting(problem):
    given = dict(random_state=problem.seed)
    models = HistGradientBoostingClassifier(**given), HistGradientBoostingRegressor(**given)
    return of_rows(problem, *models, scaled=False)


def linear(problem):
    return of_rows(problem, LogisticRegression(), Ridge(), scaled=True)


# %%
# scikit-image


class PixelForest(BaseEstimator):
    """Trainable segmentation: a random forest on features of each pixel's surroundings.

    As in the example of scikit-image's gallery, "Trainable segmentation using local features and
    random forests", but for the label 0, which is a class here.
    """

    def __init__(self, random_state=None, n_jobs=None):
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X, y):
        from sklearn.ensemble import RandomForestClassifier

        self.forest_ = RandomForestClassifier(
            n_estimators=50,
            max_depth=10,
            max_samples=0.05,
            n_jobs=self.n_jobs,
            random_state=self.random_state,
        )
        self.forest_.fit(np.concatenate([self._features(image) for image in X]), y.ravel())
        return self

    def predict(self, X):
        shape = X.shape[1:3]
        return np.array([self.forest_.predict(self._features(x)).reshape(shape) for x in X])

    def _features(self, image):
        from skimage.feature import multiscale_basic_features

        found = multiscale_basic_features(
            image,
            intensity=True,
            edges=False,
            texture=True,
            sigma_min=1,
            sigma_max=16,
            channel_axis=-1,
        )
        return found.reshape(-1, found.shape[-1])


def pixel_forest(problem):
    return PixelForest(random_state=problem.seed, n_jobs=problem.threads)


# %%
# aeon


class ChannelsFirst(BaseEstimator):
    """Series as aeon has them, `(n, n_channels, length)`."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        self.estimator.fit(self._turned(X), y)
        return self

    def predict(self, X):
        return self.estimator.predict(self._turned(X))

    def _turned(self, X):
        return np.ascontiguousarray(X.swapaxes(1, 2))


def of_series(problem, package, prefix, **given):
    """`prefixClassifier` or `prefixRegressor` of a package of aeon's."""
    task, suffix = (
        ("classification", "Classifier")
        if problem.task == "classification"
        else ("regression", "Regressor")
    )
    module = import_module(f"aeon.{task}.{package}")
    return ChannelsFirst(getattr(module, prefix + suffix)(n_jobs=problem.threads, **given))


def minirocket(problem):
    return of_series(problem, "convolution_based", "MiniRocket", random_state=problem.seed)


def dtw_neighbours(problem):
    return of_series(problem, "distance_based", "KNeighborsTimeSeries")


# %%
# Networks of other packages, which take their time to be imported


def skorch(problem):
    from skorch_networks import make

    return make(problem)


def keras(problem):
    from keras_networks import make

    return make(problem)


CONTENDERS = {
    contender.name: contender
    for contender in (
        Contender(OURS, convnet, everything),
        Contender(MLP, mlp, all_but_maps),
        Contender("boosting", boosting, one_output, random=False),
        Contender("linear", linear, all_but_maps, random=False),
        Contender(SKORCH, skorch, all_but_maps_and_series, ("torch", "skorch")),
        Contender("Keras", keras, everything, ("torch", "keras")),
        Contender("MiniRocket", minirocket, series, ("aeon",)),
        Contender("kNN-DTW", dtw_neighbours, series, ("aeon",), random=False),
        Contender("pixel forest", pixel_forest, maps, ("skimage",)),
    )
}
