"""Models in files: what is saved is loaded, to the bit, and nothing else is."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import json
import os
import re
import zipfile
from datetime import date
from inspect import isclass

import numpy as np
import pytest
import sklearn
from model_cases import CASES, CODES, X, classifier, fitted, regressor
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import sklearn_convnet
from sklearn_convnet import ConvNetClassifier, callbacks, interchange
from sklearn_convnet.interchange import load_model, save_model, save_weights
from sklearn_convnet.interchange.classes import spec_classes
from sklearn_convnet.interchange.fitted import attributes_of
from sklearn_convnet.layers import BatchNorm, Dense, Layer
from sklearn_convnet.losses import Loss
from sklearn_convnet.optimizers import SGD
from sklearn_convnet.parameters import Parametrized
from sklearn_convnet.schedules import Schedule


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.model"


def copied(model, path):
    save_model(model, path)
    return load_model(path)


def outputs(model, X):
    """All that an estimator predicts, as one list of arrays."""
    names = ("predict", "predict_proba", "predict_box")
    found = []
    for name in names:
        if not hasattr(model, name) or (name == "predict_box" and not has_boxes(model)):
            continue
        result = getattr(model, name)(X)
        found += result if isinstance(result, list) else [result]
    return found


def has_boxes(model):
    return hasattr(model._target, "n_coordinates")


def shown(estimator):
    """The words for an estimator, without the place in memory of a generator."""
    return re.sub(r"RandomState\(MT19937\) at 0x\w+", "", repr(estimator))


def assert_same(a, b, where="it"):
    """The same state, down to the bits of each array."""
    assert type(a) is type(b), where
    if isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, strict=True, err_msg=where)
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (one, other) in enumerate(zip(a, b, strict=True)):
            assert_same(one, other, f"{where}[{i}]")
    elif isinstance(a, np.random.RandomState):
        assert_same(a.get_state(legacy=False), b.get_state(legacy=False), where)
    elif hasattr(a, "__getstate__") and type(a).__module__.startswith("sklearn_convnet"):
        assert_same(a.__getstate__(), b.__getstate__(), where)
    else:
        assert a == b or (a != a and b != b), where


# ---------------------------------------------------------------------------
# There and back
# ---------------------------------------------------------------------------


def test_arrays_come_back_in_their_order(path):
    layers = [(f"norm{i}", BatchNorm()) for i in range(9)]
    model = ConvNetClassifier(layers, max_iter=1).fit(X, CODES)
    assert list(copied(model, path).get_weights()) == list(model.get_weights())


@pytest.mark.parametrize("name", CASES)
def test_what_was_saved_predicts_and_goes_on_with_the_same_bits(path, name):
    model, (A, y), beside = fitted(name)
    loaded = copied(model, path)
    assert_same(outputs(model, A), outputs(loaded, A))
    assert loaded.history_ == model.history_
    for _ in range(2):
        for one in (model, loaded):
            if model.early_stopping:
                one.set_params(warm_start=True, max_iter=1).fit(A, y, **beside)
            else:
                one.partial_fit(A, y, **beside)
        assert_same(outputs(model, A), outputs(loaded, A))
    assert_same(model._training_state, loaded._training_state)
    assert_same(model._random_state, loaded._random_state)


@pytest.mark.parametrize("name", CASES)
def test_all_that_a_fit_has_left_is_there(path, name):
    model, _, _ = fitted(name)
    loaded = copied(model, path)
    for key, value in vars(model).items():
        if key not in model.get_params(deep=False) and key != "_fitted":
            assert_same(value, vars(loaded)[key], key)
    assert vars(model).keys() == vars(loaded).keys()
    assert shown(loaded) == shown(model)


@pytest.mark.parametrize("name", CASES)
def test_unfitted_estimators_are_saved_too(path, name):
    estimator = CASES[name][0]
    loaded = copied(estimator, path)
    assert shown(loaded) == shown(estimator)
    assert vars(loaded).keys() == vars(estimator).keys()
    with pytest.raises(NotFittedError):
        loaded.predict(X)


def test_an_unfitted_estimator_fits_to_the_same_bits(path):
    for estimator in (classifier(), classifier(random_state=np.random.RandomState(5))):
        loaded = copied(estimator, path)
        assert_same(outputs(estimator.fit(X, CODES), X), outputs(loaded.fit(X, CODES), X))


def test_loaded_models_can_be_saved_and_copied(path, tmp_path):
    model, _, _ = fitted("boxes")
    loaded = copied(model, path)
    save_model(loaded, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
    clone(loaded).fit(X, CODES)
    assert_same(outputs(loaded.trim(), X), outputs(copied(loaded, path), X))
    assert load_model(path)._training_state is None


def test_parameters_that_were_changed_since_the_fit(path):
    model, _, _ = fitted("integers")
    model.set_params(layers=[Dense(3)], loss="focal", max_iter=7)
    loaded = copied(model, path)
    assert_same(outputs(model, X), outputs(loaded, X))
    assert loaded.max_iter == 7
    assert_same(model._fitted, loaded._fitted)
    for one in (model, loaded):
        with pytest.raises(ValueError, match="parameters were changed so that the weights"):
            one.partial_fit(X, CODES)


def test_weights_to_begin_with(path, tmp_path):
    source = classifier([("norm", Dense(2))]).fit(X, CODES)
    save_weights(source, tmp_path / "source.safetensors")
    given = {
        "dict": source.get_weights(),
        "frozen": FrozenEstimator(source),
        "file": tmp_path / "source.safetensors",
        "name": str(tmp_path / "source.safetensors"),
    }
    for init_from in given.values():
        model = clone(source).set_params(init_from=init_from).fit(X, CODES)
        loaded = copied(model, path)
        for method in ("partial_fit", "fit"):
            for one in (model, loaded):
                getattr(one, method)(X, CODES)
            assert_same(outputs(model, X), outputs(loaded, X))


def test_labels_keep_their_dtype(path):
    for name in ("small integers", "wide text", "truth", "days", "foreign byte order", "objects"):
        model, _, _ = fitted(name)
        classes = copied(model, path).classes_
        assert classes.dtype == model.classes_.dtype
        assert classes.dtype.str == model.classes_.dtype.str


def test_names_of_columns_are_compared_again(path):
    model, (A, _), _ = fitted("pandas")
    loaded = copied(model, path)
    assert list(loaded.feature_names_in_) == ["a", "b", "ü", "d"]
    with pytest.raises(ValueError, match="feature names should match"):
        loaded.predict(A[["b", "a", "ü", "d"]])


def test_requests_for_routing_are_kept(path):
    with sklearn.config_context(enable_metadata_routing=True):
        model = classifier().set_fit_request(sample_weight=True, X_val="other")
        model.set_score_request(sample_weight=False)
    loaded = copied(model, path)
    assert loaded.get_metadata_routing()._serialize() == model.get_metadata_routing()._serialize()
    assert "_metadata_request" not in vars(copied(classifier(), path))


def test_callbacks_are_left_out_with_a_word(path):
    model = classifier().set_callbacks(callbacks.LearningRateLogger()).fit(X, CODES)
    with pytest.warns(UserWarning, match="save_model leaves out the callbacks") as seen:
        save_model(model, path)
    assert seen[0].filename == __file__
    model.note = "mine"
    with pytest.warns(UserWarning, match="leaves out the callbacks, the attribute 'note'"):
        save_model(model, path)
    assert_same(outputs(load_model(path), X), outputs(model, X))


def test_every_attribute_of_a_fit_is_known():
    """Whoever adds one must say how it is saved."""
    for name in CASES:
        model, _, _ = fitted(name)
        assert set(vars(model)) <= {*model.get_params(deep=False), *attributes_of(model)}


def test_every_class_of_the_package_has_a_name():
    modules = ("augmentation", "layers", "losses", "multi_crop", "optimizers", "schedules")
    for name in modules:
        module = getattr(sklearn_convnet, name)
        for public in module.__all__:
            value = getattr(module, public)
            bases = ("Layer", "Loss", "FunctionLoss", "Optimizer", "Schedule", "Transform")
            if isclass(value) and issubclass(value, Parametrized) and public not in bases:
                assert spec_classes()[f"{name}.{public}"] is value
    assert not any(getattr(cls, "__abstractmethods__", None) for cls in spec_classes().values())


def test_the_same_model_is_the_same_bytes(path):
    model, _, _ = fitted("blocks")
    save_model(model, path)
    first = path.read_bytes()
    save_model(model, path)
    assert path.read_bytes() == first


def test_what_a_file_says_of_itself(path):
    model, _, _ = fitted("integers")
    save_model(model, path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["model.json", "arrays.safetensors"]
        content = json.loads(archive.read("model.json"))
    assert content["format"] == "sklearn_convnet model"
    assert content["format_version"] == 1
    assert content["sklearn_convnet"] == sklearn_convnet.__version__
    assert model.network_.kernels.__name__.endswith(f"_{content['kernels']}_float32")


def test_a_name_may_be_text_and_a_link_stays_one(path, tmp_path):
    (tmp_path / "link").symlink_to(path)
    save_model(classifier(), str(tmp_path / "link"))
    assert (tmp_path / "link").is_symlink()
    assert repr(load_model(str(path))) == repr(classifier())


def test_what_cannot_be_written_leaves_the_old_file(path, monkeypatch):
    save_model(classifier(), path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        save_model(regressor(), path)
    assert os.listdir(path.parent) == [path.name]
    assert path.read_bytes() == before


# ---------------------------------------------------------------------------
# What has no place in a file
# ---------------------------------------------------------------------------


class OwnLayer(Layer):
    """A layer of somebody's."""


class OwnSchedule(Schedule):
    """A schedule of somebody's."""

    def rate(self, epoch, step, state):
        return 0.1


class OwnLoss(Loss):
    """A loss of somebody's."""


class OwnEstimator(ConvNetClassifier):
    """An estimator of somebody's."""


def own_loss(y_true, y_pred):
    return np.zeros(len(y_true)), np.zeros_like(y_pred)


REFUSED = {
    "a layer": (
        classifier([("first", Dense(2)), ("own", OwnLayer())]),
        r"layers\[1\]\[1\] is an object of the class .*OwnLayer: a model file holds no code",
    ),
    "a layer in a block": (
        classifier([sklearn_convnet.layers.Residual([OwnLayer()])]),
        r"layers of layers\[0\]\[0\] is .*OwnLayer",
    ),
    "a function": (classifier(loss=own_loss), r"loss is the function own_loss of .*: .* no code"),
    "a lambda": (regressor(loss=lambda y, p: (0, 0)), r"loss is the function <lambda> of"),
    "a schedule": (
        classifier(optimizer=SGD(OwnSchedule())),
        r"learning_rate of optimizer is an object of the class .*OwnSchedule",
    ),
    "another generator": (
        classifier(random_state=np.random.RandomState(np.random.PCG64(0))),
        "random_state is a RandomState of a PCG64: only that of a Mersenne twister",
    ),
    "an estimator": (
        classifier(init_from=FrozenEstimator(FunctionTransformer())),
        "init_from is an object of the class sklearn.*FunctionTransformer: a model file",
    ),
    "a date": (
        classifier(class_weight={date(2020, 1, 1): 1}),
        "a key of class_weight is an object of the class datetime.date",
    ),
    "objects": (
        classifier(init_from={"a": np.array([1, "a"], object)}),
        r"init_from\['a'\] is an array of objects and holds 1, but",
    ),
    "long numbers": (
        classifier(init_from={"a": np.zeros(2, np.longdouble)}),
        r"init_from\['a'\] is an array of dtype .*, which a model file cannot hold",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named(path, name):
    estimator, message = REFUSED[name]
    with pytest.raises(TypeError, match=message):
        save_model(estimator, path)
    assert not os.listdir(path.parent)


def test_other_estimators_are_refused(path):
    own = OwnEstimator()
    for wrong in (
        own,
        make_pipeline(classifier()),
        FrozenEstimator(classifier()),
        ConvNetClassifier,
    ):
        with pytest.raises(TypeError, match="has no place in a model file, which is for ConvNetCl"):
            save_model(wrong, path)


@pytest.mark.parametrize(
    "estimator", [classifier(max_iter=-1), classifier([Dense(0)]), regressor(optimizer=SGD(-1.0))]
)
def test_invalid_parameters_are_refused(path, estimator):
    with pytest.raises(ValueError, match=r"The '(max_iter|units|learning_rate)' parameter"):
        save_model(estimator, path)


def test_labels_that_no_file_holds(path):
    model = classifier().fit(X, CODES.astype(np.longdouble))
    with pytest.raises(TypeError, match=r"classes is an array of dtype .*128"):
        save_model(model, path)


def test_json_that_is_too_long(path, monkeypatch):
    monkeypatch.setattr(interchange.model, "MAX_JSON_BYTES", 100)
    with pytest.raises(ValueError, match="bytes, more than the 100 that a model file may have"):
        save_model(classifier(), path)


def test_passes_of_somebodys_own(path):
    model = classifier().fit(X, CODES)
    model.network_._passes = ()
    with pytest.raises(ValueError, match="compiled with passes of its own, which are code"):
        save_model(model, path)
