"""Weights in safetensors files, and in the place of others."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import json
import os
import re
import struct

import numpy as np
import pytest
import safetensors.numpy
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor, tensor_files
from sklearn_convnet.interchange import ModelFileError, load_weights, save_weights
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Standardize


def layers():
    return [
        ("scale", Standardize()),
        ("conv1", Conv2D(4, 3)),
        ("norm1", BatchNorm()),
        ("dense1", Dense(6)),
    ]


@pytest.fixture(scope="module")
def images():
    rng = np.random.RandomState(0)
    return rng.normal(size=(40, 8, 8)), np.arange(40) % 3


@pytest.fixture
def fitted(images):
    return ConvNetClassifier(layers(), max_iter=2, random_state=0).fit(*images)


@pytest.fixture
def regressor(images):
    X, y = images
    return ConvNetRegressor(layers(), max_iter=2, random_state=0).fit(X, 100.0 + 7 * y)


# ---------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("estimator", [ConvNetClassifier, ConvNetRegressor])
def test_what_is_saved_is_loaded(images, tmp_path, estimator, dtype):
    X, y = images
    model = estimator(layers(), max_iter=1, dtype=dtype, random_state=0).fit(X, y)
    path = tmp_path / "model.safetensors"
    save_weights(model, path)
    expected, found = model.get_weights(), load_weights(str(path))
    assert found.keys() == expected.keys()
    assert {"scale/mean", "norm1/variance", "conv1/weight"} < found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert found[name].flags.writeable


def test_any_reader_reads_it(fitted, tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(fitted, path)
    with safetensors.safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == set(fitted.get_weights())
        about = json.loads(file.metadata()["sklearn_convnet"])
    assert about["format_version"] == 1
    assert about["estimator"] == "ConvNetClassifier"
    assert about["dtype"] == "float64"
    assert set(about) == {"format_version", "estimator", "dtype", "sklearn_convnet"}


def test_the_same_weights_are_the_same_bytes(fitted, tmp_path):
    for name in "ab":
        save_weights(fitted, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_files_of_others_are_read(tmp_path):
    arrays = {"a.weight": np.arange(6, dtype=np.float16).reshape(2, 3), "n": np.array(3)}
    safetensors.numpy.save_file(arrays, tmp_path / "other.safetensors", {"format": "pt"})
    found = load_weights(tmp_path / "other.safetensors")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    plain = tmp_path / "plain.safetensors"
    safetensors.numpy.save_file(arrays, plain)
    assert load_weights(plain).keys() == arrays.keys()


def test_an_unfitted_estimator_has_no_weights(tmp_path):
    with pytest.raises(NotFittedError):
        save_weights(ConvNetClassifier(), tmp_path / "no")
    assert not os.listdir(tmp_path)


def with_header(header, numbers=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


WRONG = {
    "empty": (b"", "no safetensors file"),
    "text": (b"hello, this is no such file", "no safetensors file"),
    "cut short": (with_header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}), ""),
    "a long header": (struct.pack("<Q", 2**62) + b"{}", "no safetensors file"),
    "a huge shape": (
        with_header(
            {"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, b"1234"
        ),
        "no safetensors file",
    ),
    "a dtype that numpy lacks": (
        with_header({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"12"),
        "dtype 'BF16', which numpy lacks: save them as F32",
    ),
    "a newer format": (
        with_header({"__metadata__": {"sklearn_convnet": '{"format_version": 2}'}}),
        r"version 2 of the format of weights, but sklearn_convnet .* knows versions up to 1",
    ),
    "no version": (
        with_header({"__metadata__": {"sklearn_convnet": '{"format_version": "x"}'}}),
        "its format_version is 'x'",
    ),
    "a damaged note": (
        with_header({"__metadata__": {"sklearn_convnet": "[[["}}),
        "what it says of itself under 'sklearn_convnet' is damaged",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_files_that_are_none(tmp_path, images, name):
    data, message = WRONG[name]
    path = tmp_path / "wrong.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=f"wrong.safetensors: .*{message}"):
        load_weights(path)
    with pytest.raises(ValueError, match=f"init_from: .*wrong.safetensors: .*{message}"):
        ConvNetClassifier(layers(), init_from=path).fit(*images)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_weights(tmp_path / "none")


def test_what_cannot_be_written_leaves_the_old_file(fitted, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_weights(fitted, path)
    before = path.read_bytes()

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        save_weights(fitted.set_weights({k: a + 1 for k, a in fitted.get_weights().items()}), path)
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == before


def test_a_link_keeps_pointing_at_its_file(fitted, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "model.safetensors")
    save_weights(fitted, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert load_weights(tmp_path / "model.safetensors").keys() == fitted.get_weights().keys()


def test_without_the_package_it_says_what_to_install(fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn_convnet\[safetensors\]'"):
        save_weights(fitted, tmp_path / "model")


def test_nothing_is_loaded_before_it_is_asked_for(run_python):
    script = """
        import sys
        import sklearn_convnet
        print("sklearn_convnet.interchange" in sys.modules, "safetensors" in sys.modules)
        sklearn_convnet.interchange.load_weights
        print("safetensors" in sys.modules, "skops" in sys.modules, "onnx" in sys.modules)
    """
    assert run_python(script).split() == 5 * ["False"]


# ---------------------------------------------------------------------------
# set_weights
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fitted", "regressor"])
def test_weights_of_another_fit_make_its_predictions(images, request, name):
    X, y = images
    model = request.getfixturevalue(name)
    other = (
        clone(model)
        .set_params(random_state=1, max_iter=5)
        .fit(X + 3, 5 * y - 200.0 * (name[0] == "r"))
    )
    assert not np.array_equal(other.predict(X), model.predict(X))
    network = model.network_
    assert model.set_weights(other.get_weights()) is model
    for path, array in other.get_weights().items():
        np.testing.assert_array_equal(model.get_weights()[path], array, strict=True)
    if name == "regressor":
        np.testing.assert_array_equal(model.predict(X), other.predict(X))
    else:
        np.testing.assert_array_equal(model.predict_proba(X), other.predict_proba(X))
    assert model.network_ is not network
    model.partial_fit(X, y)


def test_weights_are_copied_and_cast(images, fitted):
    X, _ = images
    weights = {path: array.astype(np.float32) for path, array in fitted.get_weights().items()}
    fitted.set_weights(weights)
    before = fitted.predict_proba(X)
    for array in weights.values():
        array[...] = 0
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    assert {a.dtype for a in fitted.network_.parameters().values()} == {np.dtype("float64")}


def test_a_frozen_network_in_memory_that_may_not_be_written(images, fitted, tmp_path):
    import joblib

    joblib.dump(fitted, tmp_path / "clf")
    mapped = joblib.load(tmp_path / "clf", mmap_mode="r")
    assert not mapped.network_.params.flags.writeable
    weights = {path: array + 1 for path, array in fitted.get_weights().items()}
    mapped.set_weights(weights)
    np.testing.assert_array_equal(mapped.get_weights()["conv1/weight"], weights["conv1/weight"])


def test_all_or_nothing(images, fitted):
    X, _ = images
    weights = fitted.get_weights()
    before = fitted.predict_proba(X)
    del weights["conv1/bias"]
    weights["conv1/weight"] = weights["conv1/weight"].transpose(3, 2, 0, 1) + 1
    weights["dense1/bias"] = weights["dense1/bias"] * np.nan
    weights["other"] = np.zeros(3)
    weights["norm1/mean"] = np.array(["a"] * 4)
    with pytest.raises(ValueError, match="weights do not fit this network: ") as caught:
        fitted.set_weights(weights)
    problems = str(caught.value).partition(": ")[2]
    assert "'conv1/bias' is missing; " in problems
    assert (
        "'conv1/weight' of shape (4, 1, 3, 3), which is (3, 3, 1, 4) here (if it is PyTorch's, "
        "give array.transpose(2, 3, 1, 0)" in problems
    )
    assert "'dense1/bias' must be an array of finite numbers" in problems
    assert "'norm1/mean' must be an array of finite numbers" in problems
    assert problems.endswith("'other' is none of its weights")
    np.testing.assert_array_equal(fitted.predict_proba(X), before)


def test_many_problems_are_counted(fitted):
    n = len(fitted.get_weights())
    with pytest.raises(ValueError, match=f"'conv1/weight' is missing; .*; and {n - 10} more"):
        fitted.set_weights({})


def test_numbers_that_the_dtype_does_not_hold(images):
    X, y = images
    clf = ConvNetClassifier([Dense(2)], max_iter=1, dtype="float32").fit(X, y)
    weights = {**clf.get_weights(), "dense1/bias": np.array([1e300, 0])}
    with pytest.raises(ValueError, match="'dense1/bias' contains infinity or a value too large"):
        clf.set_weights(weights)


@pytest.mark.parametrize("deviation", [0.0, -1.0])
def test_units_that_are_none(regressor, deviation):
    weights = {**regressor.get_weights(), "output/target_deviation": np.array([deviation])}
    before = regressor.get_weights()
    with pytest.raises(ValueError, match="output/target_mean and output/target_deviation must be"):
        regressor.set_weights(weights)
    for path, array in regressor.get_weights().items():
        np.testing.assert_array_equal(array, before[path])


def test_what_is_no_dict(fitted):
    for wrong in ("model.safetensors", None, [np.zeros(3)]):
        with pytest.raises(TypeError, match=r"weights must be a dict of arrays by path, got "):
            fitted.set_weights(wrong)
    with pytest.raises(NotFittedError):
        clone(fitted).set_weights({})


# ---------------------------------------------------------------------------
# init_from
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "path"])
@pytest.mark.parametrize("name", ["fitted", "regressor"])
def test_a_file_is_what_its_weights_are(images, request, tmp_path, name, kind):
    X, y = images
    model = request.getfixturevalue(name)
    path = tmp_path / "model.safetensors"
    save_weights(model, path)
    of_file, of_dict, of_model = (
        clone(model).set_params(init_from=given, max_iter=1).fit(X, y)
        for given in (kind(path), model.get_weights(), FrozenEstimator(model))
    )
    for other in (of_dict, of_model):
        for where, array in other.get_weights().items():
            np.testing.assert_array_equal(of_file.get_weights()[where], array)
    assert clone(of_file).init_from == kind(path)
    of_file.set_params(warm_start=True).fit(X, y)


def test_another_suffix_is_refused(fitted, images):
    with pytest.raises(TypeError, match=re.escape("the path of a .safetensors file")):
        clone(fitted).set_params(init_from="model.pt").fit(*images)


def test_versions_are_numbers():
    for wrong in (True, 0, -1, 1.0, None):
        with pytest.raises(ValueError, match="which is none"):
            tensor_files.check_version(wrong, 1, "weights")
