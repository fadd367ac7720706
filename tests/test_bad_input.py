"""What is wrong is refused, with words that help, and leaves the estimator usable."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import re

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.layers import (
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    HeterogeneousMaxPool,
    MaxPool2D,
    Sequential,
)
from sklearn_convnet.losses import CrossEntropy, Focal, Huber, Quantile
from sklearn_convnet.optimizers import SGD, Adam
from sklearn_convnet.training import Trainer


def small(**params):
    layers = [("conv1", Conv2D(3, 3)), ("dense1", Dense(5))]
    return ConvNetClassifier(**{"layers": layers, "max_iter": 2, "random_state": 0, **params})


def with_layer(layer):
    return small(layers=[Conv2D(2, 1), Sequential([("odd", layer)])])


def spoiled(X, value):
    X = X.copy()
    X[3, 2, 1, 0] = value
    return X


def says(*parts):
    """A pattern: all parts, in this order."""
    return "(?s)" + ".*".join(map(re.escape, parts))


# ---------------------------------------------------------------------------
# Each case: a message that names what it is about, what was seen, what to do
# ---------------------------------------------------------------------------

BAD_PARAMETERS = {
    "filters negative": (
        with_layer(Conv2D(-2, 3)),
        says("layer 'sequential1/odd'", "'filters'", "Conv2D", "[1, inf)", "-2"),
    ),
    "filters not integer": (
        with_layer(Conv2D(2.5, 3)),
        says("layer 'sequential1/odd'", "'filters'", "int", "2.5"),
    ),
    "filter size not integer": (
        with_layer(Conv2D(2, 2.5)),
        says("layer 'sequential1/odd'", "kernel_size must be an integer", "2.5"),
    ),
    "filter size zero": (
        with_layer(Conv2D(2, 0)),
        says("layer 'sequential1/odd'", "kernel_size", "at least 1", "0"),
    ),
    "filter size of another rank": (
        with_layer(Conv2D(2, (1, 2, 3))),
        says("layer 'sequential1/odd'", "kernel_size", "tuple of 2", "(1, 2, 3)"),
    ),
    "filter larger than its map": (
        with_layer(Conv2D(2, (3, 7))),
        says(
            "layer 'sequential1/odd'",
            "7 along the width",
            "map has 6",
            "use a smaller kernel_size",
            "(6, 6, 2)",
        ),
    ),
    "pool larger than its map": (
        with_layer(MaxPool2D(9)),
        says("layer 'sequential1/odd'", "9 along the height", "6", "smaller pool_size"),
    ),
    "pool that may hold padding only": (
        with_layer(MaxPool2D(2, padding=2)),
        says("layer 'sequential1/odd'", "padding (2, 2) must be smaller", "pool_size"),
    ),
    "stride negative": (
        with_layer(Conv2D(2, 3, stride=-1)),
        says("layer 'sequential1/odd'", "stride must be", "at least 1", "-1"),
    ),
    "padding unknown": (
        with_layer(Conv2D(2, 3, padding="full")),
        says("layer 'sequential1/odd'", "padding must be 'valid', 'same'", "'full'"),
    ),
    "groups that do not divide": (
        with_layer(Conv2D(3, 3, groups=2)),
        says("layer 'sequential1/odd'", "groups=2 must divide", "3 filters"),
    ),
    "units negative": (
        with_layer(Dense(-1)),
        says("layer 'sequential1/odd'", "'units'", "Dense", "[1, inf)", "-1"),
    ),
    "activation unknown": (
        with_layer(Dense(3, activation="swish")),
        says("layer 'sequential1/odd'", "'activation'", "'relu'", "'swish'"),
    ),
    "dropout of everything": (
        with_layer(Dropout(1.0)),
        says("layer 'sequential1/odd'", "'rate'", "[0.0, 1.0)", "1.0"),
    ),
    "layer for another rank": (
        small(layers=[Conv1D(2, 3)]),
        says("layer 'conv1d1'", "(length, channels)", "(6, 6, 2)"),
    ),
    "optimizer unknown": (
        small(optimizer="lbfgs"),
        says("'optimizer'", "ConvNetClassifier", "'adam'", "'lbfgs'"),
    ),
    "optimizer without brackets": (small(optimizer=Adam), says("'optimizer'", "Adam")),
    "learning rate negative": (
        small(optimizer=SGD(-0.1)),
        says("'learning_rate'", "SGD", "(0.0, inf)", "-0.1"),
    ),
    "momentum of one": (small(optimizer=SGD(momentum=1.0)), says("'momentum'", "1.0")),
    "loss unknown": (small(loss="mse"), says("'loss'", "'cross_entropy'", "'mse'")),
    "loss for values": (small(loss=Huber()), says("'loss'", "CrossEntropy", "Huber()")),
    "loss without brackets": (small(loss=CrossEntropy), says("'loss'", "losses.CrossEntropy'>")),
    "label_smoothing": (
        small(loss=CrossEntropy(1.0)),
        says("'label_smoothing'", "[0.0, 1.0)", "1.0"),
    ),
    "gamma": (small(loss=Focal(-1.0)), says("'gamma'", "[0.0, inf)", "-1.0")),
    "loss that returns one number": (
        small(loss=lambda y, p: (0.0, p)),
        says("loss returned shapes ()", "expected (60,)", "(60, 3)"),
    ),
    "a truth value for a number": (
        with_layer(Conv2D(True, 3)),
        says("'filters'", "[1, inf)", "True"),
    ),
    "pool_sizes without an axis": (
        with_layer(HeterogeneousMaxPool(np.array(3), 2)),
        says("pool_sizes must be a list of sizes, got array(3)"),
    ),
    "pool_sizes of nothing": (
        with_layer(HeterogeneousMaxPool([])),
        says("pool_sizes must be a list of sizes, got []"),
    ),
    "output_padding of the stride": (
        with_layer(ConvTranspose2D(2, 3, stride=(2, 1), output_padding=1)),
        says("output_padding=1 must be smaller than the stride of 1 along the width"),
    ),
    "loss that returns an array": (
        small(loss=lambda y, p: (p - p) ** 2),
        says("loss must return two arrays", "got one value of type ndarray"),
    ),
    "loss that returns a tuple of three": (
        small(loss=lambda y, p: (p, p, p)),
        says("loss must return two arrays", "got 3 of them of type tuple"),
    ),
    "box_weight negative": (small(box_weight=-1.0), says("'box_weight'", "[0.0, inf)", "-1.0")),
    "box_weight without boxes": (
        small(box_weight=1.0),
        says("box_weight is set", "(60,)", "boxes=", "column 0"),
    ),
    "missing_box not finite": (small(missing_box=np.nan), says("'missing_box'", "nan")),
    "box_units": (small(box_units="percent"), says("'box_units'", "'share'", "'percent'")),
    "max_iter zero": (small(max_iter=0), says("'max_iter'", "[1, inf)", "0")),
    "max_iter not integer": (small(max_iter=2.5), says("'max_iter'", "int", "2.5")),
    "batch_size zero": (small(batch_size=0), says("'batch_size'", "'auto'", "0")),
    "average_weights": (
        small(average_weights=1.0),
        says("'average_weights'", "(0.0, 1.0)", "None", "1.0"),
    ),
    "tol negative": (small(tol=-1.0), says("'tol'", "[0.0, inf)", "-1.0")),
    "validation_fraction": (
        small(validation_fraction=1.0),
        says("'validation_fraction'", "(0.0, 1.0)", "1.0"),
    ),
    "n_iter_no_change": (small(n_iter_no_change=0), says("'n_iter_no_change'", "0")),
    "dtype": (small(dtype="float16"), says("'dtype'", "'float32'", "'float16'")),
    "n_threads zero": (small(n_threads=0), says("n_threads", "other than 0", "got 0")),
    "random_state": (small(random_state="x"), says("'random_state'", "'x'")),
    "layers no list": (small(layers=Dense(3)), says("'layers'", "list", "Dense")),
    "input_shape no tuple": (small(input_shape=72), says("'input_shape'", "72")),
    "input_shape negative": (
        small(input_shape=(6, -6, 2)),
        says("input_shape", "positive integers", "(6, -6, 2)"),
    ),
    "input_shape of other samples": (
        small(input_shape=(6, 6, 3)),
        says("X has samples of shape (6, 6, 2)", "input_shape=(6, 6, 3)", "108"),
    ),
    "class_weight of no class": (
        small(class_weight={0: 1, 7: 1}),
        says("[1, 2]", "class_weight"),
    ),
    "class_weight negative": (
        small(class_weight={0: 1, 1: -1, 2: 1}),
        says("class_weight={0: 1, 1: -1, 2: 1}", "negative", "at least 0"),
    ),
    "class_weight of columns": (
        small(class_weight=[{0: 1}, {0: 1}]),
        says("class_weight=[", "several columns", "give a dict or 'balanced'"),
    ),
    "class_weight zero": (
        small(class_weight={0: 0, 1: 0, 2: 0}),
        says("class_weight leaves every sample with a weight of zero"),
    ),
}


@pytest.mark.oldest
@pytest.mark.parametrize(("clf", "message"), BAD_PARAMETERS.values(), ids=BAD_PARAMETERS.keys())
def test_bad_parameters(maps, clf, message):
    before = set(vars(clf))
    with pytest.raises(ValueError, match=message):
        clf.fit(*maps)
    assert set(vars(clf)) == before
    with pytest.raises(NotFittedError):
        clf.predict(maps[0])


def test_an_item_of_layers_that_is_none(maps):
    message = says("an item of layers must be a layer", "pair, got 7")
    with pytest.raises(TypeError, match=message):
        small(layers=[Dense(3), 7]).fit(*maps)


BAD_DATA = {
    "NaN": (lambda X, y: (spoiled(X, np.nan), y), says("X contains NaN")),
    "inf": (lambda X, y: (spoiled(X, np.inf), y), says("X contains infinity")),
    "empty": (lambda X, y: (X[:0], y[:0]), says("0 sample(s)", "minimum of 1")),
    "no values": (lambda X, y: (X[:, :0], y), says("X has", "(0, 6, 2)")),
    "complex": (lambda X, y: (X * 1j, y), says("Complex data not supported")),
    "dates": (lambda X, y: (X.astype("M8[s]"), y), says("X must hold real numbers")),
    "lengths": (lambda X, y: (X, y[:7]), says("X has 60 samples", "y has 7")),
    "no y": (lambda X, y: (X, None), says("requires y", "None")),
    "NaN in y": (lambda X, y: (X, np.where(y, y, np.nan)), says("y contains NaN")),
    "values": (lambda X, y: (X, y + 0.5), says("Unknown label type: continuous")),
    "columns of values": (
        lambda X, y: (X, np.column_stack([y, y + 0.5])),
        says("Unknown label type: continuous-multioutput", "box_weight", "ConvNetRegressor"),
    ),
    "maps of values": (
        lambda X, y: (X, np.full((60, 6, 6), 0.5)),
        says("Unknown label type: continuous"),
    ),
    "maps of NaN": (lambda X, y: (X, np.full((60, 6, 6), np.nan)), says("y contains NaN")),
    "empty maps": (
        lambda X, y: (X, np.zeros((60, 6, 0), int)),
        says("y has shape (60, 6, 0)", "no labels"),
    ),
    "flat values": (lambda X, y: (X[0, 0, 0], y), says("Reshape your data")),
}


@pytest.mark.parametrize(("spoil", "message"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data(maps, spoil, message):
    clf = small()
    with pytest.raises(ValueError, match=message):
        clf.fit(*spoil(*maps))
    assert not hasattr(clf, "n_features_in_")


def test_sparse_data(maps):
    with pytest.raises(TypeError, match=says("Sparse data was passed for X", "toarray")):
        small().fit(csr_array(np.eye(60)), maps[1])


BAD_WEIGHTS = {
    "negative": (-np.ones(60), says("Negative values", "sample_weight")),
    "all zero": (np.zeros(60), says("weight", "zero")),
    "NaN": (np.full(60, np.nan), says("sample_weight contains NaN")),
    "too few": (np.ones(7), says("sample_weight.shape == (7,)", "(60,)")),
}


@pytest.mark.parametrize(("weight", "message"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS.keys())
@pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])
def test_bad_weights(maps, estimator, weight, message):
    X, y = maps
    with pytest.raises(ValueError, match=message):
        estimator([]).fit(X, y, sample_weight=weight)


BAD_PREDICTIONS = {
    "other size": (np.zeros((2, 6, 7, 2)), says("(6, 7, 2)", "fitted", "(6, 6, 2)")),
    "other axes": (np.zeros((2, 6, 6)), says("X has samples of shape (6, 6)")),
    "other features": (np.zeros((2, 71)), says("X has 71 features", "expecting 72")),
    "one sample": (np.zeros(72), says("Reshape your data")),
    "NaN": (np.full((2, 6, 6, 2), np.nan), says("X contains NaN")),
    "empty": (np.zeros((0, 6, 6, 2)), says("0 sample(s)")),
}


@pytest.mark.oldest
@pytest.mark.parametrize(("X", "message"), BAD_PREDICTIONS.values(), ids=BAD_PREDICTIONS.keys())
def test_bad_predictions(maps, X, message):
    clf = small().fit(*maps)
    for method in (clf.predict, clf.predict_proba, clf.predict_log_proba):
        with pytest.raises(ValueError, match=message):
            method(X)
    with pytest.raises(ValueError, match=message):
        clf.score(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, np.zeros(len(X), int))


def test_before_fit(maps):
    clf = small()
    for method in ("predict", "predict_proba", "predict_log_proba"):
        with pytest.raises(NotFittedError, match=r"ConvNetClassifier.*not fitted"):
            getattr(clf, method)(maps[0])
    for method in ("summary", "get_weights"):
        with pytest.raises(NotFittedError, match=r"ConvNetClassifier.*not fitted"):
            getattr(clf, method)()


def test_labels_that_are_no_classes(maps):
    X, y = maps
    clf = small()
    message = says("labels that are no classes: [2]", "classes are [0, 1]", "first call")
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, y, classes=[0, 1])
    assert not hasattr(clf, "network_")
    clf.fit(X, y).set_params(warm_start=True)
    with pytest.raises(ValueError, match=says("no classes: ['x']", "[0, 1, 2]")):
        clf.fit(X, ["x"] * 60)


def test_labels_of_another_kind_than_before(maps):
    X, y = maps
    Y = np.stack([y == 0, y == 1], axis=1).astype(int)
    with pytest.raises(ValueError, match=says("(60, 2)", "one label a sample")):
        small().fit(X, y).partial_fit(X, Y)
    several = small().fit(X, Y)
    for wrong in (y > 0, Y[:, [0, 1, 1]]):
        with pytest.raises(ValueError, match=says("y has shape", "with 2 columns")):
            several.partial_fit(X, wrong)
    with pytest.raises(ValueError, match=says("classes=[0, 1, 2]", "2 columns", "[0, 1]")):
        small().partial_fit(X, Y, classes=[0, 1, 2])


def test_bad_values(maps):
    X, y = maps
    reg = ConvNetRegressor([("conv1", Conv2D(2, 3))], max_iter=1)
    for wrong, message in [
        (np.full(60, np.nan), says("y contains NaN")),
        (np.full(60, np.inf), says("y contains infinity")),
        (
            np.zeros((60, 3, 3)),
            says("maps of 3 x 3", "end in maps of 4 x 4", "or give y in the size of the maps"),
        ),
        (
            np.zeros((60, 2, 3, 4, 1)),
            says("maps of 2 x 3 x 4", "shape (4, 4, 2)", "no such maps"),
        ),
        (np.zeros((60, 2, 2)), says("maps of 2 x 2", "set target='points'")),
        (np.zeros((60, 0)), says("y has shape (60, 0)", "at least one output")),
        (y[:3], says("X has 60 samples", "y has 3")),
    ]:
        with pytest.raises(ValueError, match=message):
            reg.fit(X, wrong)
    assert not hasattr(reg, "network_")
    with pytest.raises(ValueError, match=says("y has 3 outputs", "begun with 1")):
        reg.fit(X, y).partial_fit(X, np.zeros((60, 3)))
    reg.fit(X, np.zeros((60, 4, 4)))
    with pytest.raises(ValueError, match=says("(60, 4, 4, 1)", "begun with (4, 4) a sample")):
        reg.partial_fit(X, np.zeros((60, 4, 4, 1)))
    with pytest.raises(ValueError, match=says("y has shape (60,)", "(60, 4, 4), as predicted")):
        reg.score(X, y)
    for target, wrong, message in [
        ("points", np.zeros((60, 3)), says("(60, 3)", "2 * n_points", "(n_samples, n_points, 2)")),
        ("points", np.zeros((60, 2, 3)), says("(60, 2, 3)", "target='points'")),
        ("points", np.zeros(60), says("(60,)", "target='points'")),
        ("maps", np.zeros((60, 16)), says("(60, 16)", "target='maps'", "n_values")),
        ("joints", y, says("'target'", "'points'", "'joints'")),
    ]:
        with pytest.raises(ValueError, match=message):
            ConvNetRegressor([], target=target).fit(X, wrong)
    with pytest.raises(ValueError, match=says("'point_units'", "'share'", "'mm'")):
        ConvNetRegressor([], point_units="mm").fit(X, y)
    with pytest.raises(ValueError, match=says("'quantile'", "(0.0, 1.0)", "1.0")):
        ConvNetRegressor([], loss=Quantile(1.0)).fit(X, y)
    with pytest.raises(ValueError, match=says("'loss'", "'huber'", "CrossEntropy()")):
        reg.set_params(loss=CrossEntropy()).fit(X, y)


def test_kinds_of_labels_that_change(maps):
    X, y = maps
    columns = np.column_stack([y, y + 1])
    label_maps = np.repeat(y, 36).reshape(60, 6, 6)
    layers = [Conv2D(2, 1)]
    boxes = np.zeros((60, 4))
    for first, then, message in [
        (columns, y, says("(60,)", "2 columns of labels, as before")),
        (columns, columns + 5, says("labels that are no classes: [5, 6, 7]", "[0, 1, 2]")),
        (label_maps, y, says("(60,)", "maps of 6 x 6 labels, as before")),
        (label_maps, label_maps[:, 1:], says("(60, 5, 6)", "maps of 6 x 6 labels")),
        (columns > 1, columns[:, :1] * [1, 2], says("values other than 0 and 1")),
    ]:
        clf = small(layers=layers).fit(X, first)
        with pytest.raises(ValueError, match=message):
            clf.partial_fit(X, then)
        with pytest.raises(ValueError, match=says("training began without")):
            clf.partial_fit(X, y, boxes=boxes)
    with pytest.raises(ValueError, match=says("(60, 6, 6)", "as predicted")):
        small(layers=layers).fit(X, label_maps).score(X, label_maps[:, 1:])
    with pytest.raises(ValueError, match=says("classes=[", "(60,)", "each column")):
        small().partial_fit(X, y, classes=[[0, 1], [0, 1, 2]])
    with pytest.raises(ValueError, match=says("classes=array([0, 1, 2])", "(60, 2)")):
        small().partial_fit(X, columns, classes=[0, 1, 2])


def test_weights_of_classes_that_do_not_fit(maps):
    X, y = maps
    columns = np.column_stack([y, y + 1])
    for class_weight in ({0: 1}, [{0: 1}]):
        clf = small(class_weight=class_weight)
        with pytest.raises(ValueError, match=says("class_weight=", "2 columns", "a dict for each")):
            clf.fit(X, columns)
    label_maps = np.repeat(y, 36).reshape(60, 6, 6)
    clf = small(layers=[Conv2D(2, 1)], class_weight={0: 0, 1: 0, 2: 0})
    with pytest.raises(ValueError, match=says("every pixel", "weight of zero")):
        clf.fit(X, label_maps)
    clf.set_params(class_weight="balanced", loss=lambda y, p: (p[..., 0].mean(axis=(1, 2)), p))
    with pytest.raises(ValueError, match=says("class_weight", "one loss a sample")):
        clf.fit(X, label_maps)


BAD_BOXES = {
    "columns": (np.zeros((60, 6)), says("boxes has shape (60, 6)", "8", "x1, y1, x2, y2")),
    "rows": (np.zeros((59, 4)), says("y has 60 samples, but boxes 59", "NaN")),
    "one axis": (np.zeros(60), says("boxes has shape (60,)", "(n_samples, 8)")),
    "inf": (np.full((60, 4), np.inf), says("boxes contains infinity")),
    "partly NaN": (
        np.where(np.eye(60, 4), np.nan, 1.0)[::-1],
        says("row 56 of boxes", "NaN beside numbers", "row of NaN"),
    ),
}


@pytest.mark.parametrize(("boxes", "message"), BAD_BOXES.values(), ids=BAD_BOXES.keys())
def test_bad_boxes(maps, boxes, message):
    X, y = maps
    with pytest.raises(ValueError, match=message):
        small().fit(X, y, boxes=boxes)


def test_boxes_of_a_regressor(maps):
    X, y = maps
    boxes = np.tile([0.0, 0.0, 1.0, 1.0], (60, 1))
    reg = ConvNetRegressor([Dense(2)], max_iter=1, random_state=0)
    message = says("boxes= goes with ConvNetClassifier", "y, with target='points'")
    for fit in (reg.fit, reg.partial_fit):
        with pytest.raises(ValueError, match=message):
            fit(X, y, boxes=boxes)
    with pytest.raises(ValueError, match=says("y_val: boxes= goes with")):
        reg.fit(X, y, X_val=X, y_val=y, boxes_val=boxes)
    assert not hasattr(reg, "network_")
    requests = reg.get_metadata_routing()
    assert not {"boxes", "boxes_val"} & {*requests.fit.requests, *requests.partial_fit.requests}
    reg.set_params(target="points").fit(X, boxes)
    assert reg.predict(X).shape == boxes.shape


def test_boxes_and_labels_that_do_not_fit(maps):
    X, y = maps
    boxes = np.zeros((60, 4))
    Y = np.column_stack([y, boxes])
    with pytest.raises(ValueError, match=says("one label a sample", "boxes are given once")):
        small(box_weight=1.0).fit(X, Y, boxes=boxes)
    for wrong in (Y[:, :4], Y.astype(str)):
        with pytest.raises(ValueError, match=says("box_weight is set", "numeric y", "column 0")):
            small(box_weight=1.0).fit(X, wrong)
    with pytest.raises(ValueError, match=says("Unknown label type: continuous")):
        small(box_weight=1.0).fit(X, Y + 0.5)
    clf = small().fit(X, y, boxes=boxes)
    with pytest.raises(ValueError, match=says("training began with boxes", "rows of NaN")):
        clf.partial_fit(X, y)
    with pytest.raises(ValueError, match=says("boxes have 8 coordinates, expected 4")):
        clf.partial_fit(X, y, boxes=np.zeros((60, 8)))
    with pytest.raises(ValueError, match=says("training began without", "leave them out")):
        small().fit(X, y).partial_fit(X, y, boxes=boxes)


# ---------------------------------------------------------------------------
# What a failure leaves behind
# ---------------------------------------------------------------------------


def fails(estimator, call, monkeypatch):
    """Makes the third step of training fail."""
    step, n_steps = Trainer.run_step, iter(range(99))

    def run_step(self, batch):
        if next(n_steps) == 2:
            raise MemoryError("no room")
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run_step", run_step)
        with pytest.raises(MemoryError):
            call(estimator)


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_failed_fit_changes_nothing(maps, monkeypatch, warm_start, early_stopping):
    X, y = maps
    clf = small(batch_size=10, warm_start=warm_start, early_stopping=early_stopping)
    fails(clf, lambda clf: clf.fit(X, y), monkeypatch)
    assert not hasattr(clf, "network_")
    clf.fit(X, y)
    twin = copy.deepcopy(clf)
    before, state = clf.predict_proba(X), set(vars(clf))
    fails(clf, lambda clf: clf.fit(X + 1, y), monkeypatch)
    with pytest.raises(ValueError, match="NaN"):
        clf.fit(spoiled(X, np.nan), y)
    np.testing.assert_array_equal(clf.predict_proba(X), before)
    assert set(vars(clf)) == state
    # It goes on as if nothing had been.
    for model in (clf, twin):
        model.fit(X, y).set_params(early_stopping=False).partial_fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), twin.predict_proba(X))


def test_a_failed_partial_fit_changes_nothing(maps, monkeypatch):
    X, y = maps
    clf = small(batch_size=10)
    fails(clf, lambda clf: clf.partial_fit(X, y, classes=[0, 1, 2]), monkeypatch)
    assert not hasattr(clf, "network_")
    clf.partial_fit(X, y, classes=[0, 1, 2])
    twin = copy.deepcopy(clf)
    fails(clf, lambda clf: clf.partial_fit(X, y), monkeypatch)
    with pytest.raises(ValueError, match="no classes"):
        clf.partial_fit(X, y + 1)
    for model in (clf, twin):
        model.partial_fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), twin.predict_proba(X))


@pytest.mark.parametrize("where", ["run_step", "evaluate"])
def test_an_interrupted_fit_keeps_the_weights_so_far(maps, monkeypatch, where):
    X, y = maps
    plain = small(batch_size=20, max_iter=2).fit(X, y)
    original, calls = getattr(Trainer, where), iter(range(99))
    last = {"run_step": 7, "evaluate": 2}[where]

    def interrupted(self, *args):
        if next(calls) == last:
            raise KeyboardInterrupt
        return original(self, *args)

    monkeypatch.setattr(Trainer, where, interrupted)
    clf = small(batch_size=20, max_iter=50, early_stopping=where == "evaluate")
    with pytest.warns(ConvergenceWarning, match="interrupted in epoch 3.*weights") as seen:
        clf.fit(X, y)
    assert seen[0].filename == __file__
    assert clf.n_iter_ == len(clf.loss_curve_) == 2
    assert clf.predict(X).shape == (60,)
    if where == "run_step":  # one step of the third epoch was done
        assert clf.loss_curve_ == plain.loss_curve_
        assert not np.array_equal(clf.predict_proba(X), plain.predict_proba(X))
    monkeypatch.undo()
    clf.set_params(early_stopping=False).partial_fit(X, y)
    assert (clf.n_iter_, len(clf.loss_curve_)) == (1, 3)


def test_an_interrupted_first_epoch(maps, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "run_epoch", interrupted)
    with pytest.warns(ConvergenceWarning, match="interrupted in epoch 1"):
        clf = small().fit(*maps)
    assert clf.n_iter_ == 0
    assert np.isfinite(clf.predict_proba(maps[0])).all()


@pytest.mark.oldest
@pytest.mark.parametrize("optimizer", [SGD(1e200), Adam(1e200), SGD(1e200, momentum=0.9)])
@pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divergence_stops_with_the_last_finite_weights(maps, optimizer, estimator, dtype):
    X, y = maps
    model = estimator([Conv2D(3, 3), Dense(5)], optimizer=optimizer, random_state=0, dtype=dtype)
    # The last loss is that before the step, and in float32 the weights are infinite after it.
    what = "The weights of layer" if dtype == "float32" else "The loss became"
    message = says(what, "epoch", "last finite weights", "learning rate")
    with pytest.warns(ConvergenceWarning, match=message) as seen:
        model.fit(X, y)
    assert [warning.category for warning in seen] == [ConvergenceWarning]
    assert seen[0].filename == __file__
    assert model.n_iter_ == len(model.loss_curve_) < 200
    assert np.isfinite(model.loss_curve_).all()
    weights = model.get_weights().values()
    assert all(np.isfinite(array).all() for array in weights)


def test_after_divergence_a_smaller_rate_can_go_on(maps):
    X, y = maps
    clf = small(optimizer=Adam(1e-3)).fit(X, y)
    good = clf.predict_proba(X)
    clf.set_params(optimizer__learning_rate=1e38, warm_start=True, max_iter=5)
    with pytest.warns(ConvergenceWarning, match="smaller learning rate"):
        clf.set_params(layers=clf.layers, batch_size=20).fit(X, y)
    np.testing.assert_array_equal(clf.predict_proba(X), good)
    clf.set_params(optimizer__learning_rate=1e-3)
    losses = [clf.partial_fit(X, y).loss_ for _ in range(20)]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


# ---------------------------------------------------------------------------
# Early stopping on few samples
# ---------------------------------------------------------------------------

FEW = {
    "one sample": (ConvNetClassifier, [0], {}, "n_samples=1"),
    "one held out": (ConvNetRegressor, [0, 1, 2], {}, "1 is too few to score"),
    "a rare class": (ConvNetClassifier, [0] * 30 + [1], {}, "only 1 member"),
    "fewer than classes": (ConvNetClassifier, list(range(5)) * 4, {}, "number of classes = 5"),
    "fewer to train on": (
        ConvNetClassifier,
        [0, 1, 2] * 4,
        {"validation_fraction": 0.9},
        "number of classes = 3",
    ),
    "columns": (ConvNetClassifier, [[0, 1, 2], [2, 1, 0]], {}, "1 is too few to score"),
}


@pytest.mark.oldest
@pytest.mark.parametrize("name", FEW)
def test_early_stopping_on_few_samples(name):
    estimator, y, params, reason = FEW[name]
    model = estimator([Dense(2)], early_stopping=True, max_iter=2, **params)
    fraction = model.validation_fraction
    message = says(
        f"early_stopping=True cannot hold out validation_fraction={fraction} of {len(y)} samples",
        "X_val and y_val",
        "early_stopping=False",
        reason,
    )
    X = np.arange(3.0 * len(y)).reshape(len(y), 3)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "network_")
    fits = [(clone(model).set_params(early_stopping=False), {}), (model, {"X_val": X, "y_val": y})]
    for fit, validation in fits:
        assert fit.fit(X, y, **validation).n_iter_ == 2


# ---------------------------------------------------------------------------
# Processes
# ---------------------------------------------------------------------------


def test_a_forked_child_does_not_hang(run_python):
    printed = run_python(
        """
        import os
        import numpy as np
        from sklearn_convnet import ConvNetClassifier
        from sklearn_convnet.layers import Conv2D, Dense

        rng = np.random.RandomState(0)
        X, y = rng.normal(size=(128, 24, 24, 4)), np.arange(128) % 2
        clf = ConvNetClassifier(
            [Conv2D(32, 3), Dense(64)], max_iter=1, n_threads=2, random_state=0
        ).fit(X, y)
        expected = clf.predict_proba(X)
        child = os.fork()
        if child == 0:
            same = np.array_equal(clf.fit(X, y).predict_proba(X), expected)
            os._exit(0 if same else 3)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print(np.array_equal(clf.predict_proba(X), expected))
        """,
        timeout=60,
    )
    assert printed.split() == ["0", "True"]
