"""Files that are damaged or forged: each is read, or refused with a reason, and nothing else."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import io
import json
import struct
import tracemalloc
import zipfile
from contextlib import suppress

import mutations
import numpy as np
import pytest
from model_cases import CODES, X, classifier, fitted
from mutations import ARRAYS, JSON, mutated, parts_of, split_tensors, tensors, zipped

from sklearn_convnet.interchange import ModelFileError, archive, load_model, save_model
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Standardize

#: What it may take to read a file, beside two copies of its arrays: a program's own objects, some
#: dozens of times as large as the JSON that they are made of.
OBJECTS = 2**22
TIMES_JSON = 64

MUTATED = ("boxes", "values", "blocks", "schedule", "series", "points")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.model"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A model file, by the name of its case."""
    folder, files = tmp_path_factory.mktemp("saved"), {}
    for name in MUTATED:
        save_model(fitted(name)[0], folder / "net")
        files[name] = (folder / "net").read_bytes()
    return files


@pytest.fixture(scope="module")
def whole(saved):
    return saved["schedule"]


def changed(data, change):
    """The file with what a function changes in its JSON."""
    text, arrays = parts_of(data)
    content = json.loads(text)
    change(content)
    return zipped(json.dumps(content).encode(), arrays)


def refused(path, data, message):
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}: ")


# ---------------------------------------------------------------------------
# By chance
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", MUTATED)
def test_what_chance_has_changed_is_read_or_refused(path, saved, name):
    rng = np.random.RandomState(0)
    n_refused = 0
    for _ in range(60):
        data = mutated(saved[name], rng)
        path.write_bytes(data)
        tracemalloc.start()
        try:
            load_model(path)
        except ModelFileError as error:
            n_refused, reason = n_refused + 1, str(error).removeprefix(f"{path}: ")
        else:
            reason = "it is read"
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert len(reason) > 8
        assert peak < 2 * len(data) + TIMES_JSON * len(data) + OBJECTS
    assert n_refused > 30


def test_numbers_that_chance_has_changed_predict_something(path, saved):
    rng = np.random.RandomState(1)
    for _ in range(20):
        path.write_bytes(mutations.of_numbers(saved["schedule"], rng))
        with suppress(ModelFileError), np.errstate(all="ignore"):
            assert load_model(path).predict(X).shape == CODES.shape


# ---------------------------------------------------------------------------
# Zips
# ---------------------------------------------------------------------------


def test_files_of_other_kinds(path, whole):
    refused(path, b"", "it is no model file, or only a part of one")
    refused(path, b"x" * 5000, "it is no model file")
    refused(path, whole[:-1], "it is no model file, or only a part of one")
    refused(path, whole[: len(whole) // 2], "it is no model file")
    refused(path, whole + b"\0", "it is no model file")
    refused(path, b"#!/bin/sh\n" + whole, "bytes before or after its parts")
    with pytest.raises(FileNotFoundError):
        load_model(path.parent / "none")


def test_zips_of_other_kinds(path, whole):
    text, arrays = parts_of(whole)
    other = "it is another zip, with other parts than model.json and arrays.safetensors"
    refused(path, zipped(text, names=[JSON]), other)
    refused(path, zipped(text, arrays, text, names=[JSON, ARRAYS, JSON]), other)
    refused(path, zipped(text, text, names=[JSON, JSON]), other)
    refused(path, zipped(arrays, text, names=[ARRAYS, JSON]), other)
    refused(path, zipped(text, arrays, names=["../model.json", ARRAYS]), other)
    refused(path, zipped(*[b""] * 3000, names=map(str, range(3000))), other)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed_parts(path, whole, compression):
    _, arrays = parts_of(whole)
    bomb = zipped(b" " * 10**7, arrays, compression=compression)
    assert len(bomb) < 10**5
    refused(path, bomb, "model.json is compressed or encrypted, which no model is")


def listed(data, offset, number, form="<L"):
    """The zip with another number in the list entry of its second part."""
    data = bytearray(data)
    struct.pack_into(form, data, data.rindex(b"PK\1\2") + offset, number)
    return bytes(data)


def test_sizes_that_the_file_does_not_have(path, whole):
    compressed, size, flags, start = 20, 24, 8, 42  # places in the entry: APPNOTE.TXT, 4.3.12
    refused(path, listed(whole, size, 2**31), "arrays.safetensors has two sizes")
    both = listed(listed(whole, size, 2**31), compressed, 2**31)
    refused(path, both, "its parts are larger than the file")
    refused(path, listed(whole, flags, 1, "<H"), "is compressed or encrypted")
    refused(path, listed(whole, start, 0), "it is damaged")


def test_a_list_of_the_parts_that_is_elsewhere(path, whole):
    end = len(whole) - archive._END.size
    for offset, form, number in ((12, "<L", 2**31), (16, "<L", 2**31), (20, "<H", 9), (4, "<H", 1)):
        data = bytearray(whole)
        struct.pack_into(form, data, end + offset, number)
        refused(path, bytes(data), "another zip|before or after its parts")


def test_ends_of_large_files(path, whole, monkeypatch):
    """Zips of more than 4 GB have another end, which is written here for a small one."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    text, arrays = parts_of(whole)
    file = io.BytesIO()
    archive.write_archive(file, (text, arrays))
    large = file.getvalue()
    assert b"PK\6\6" in large
    path.write_bytes(large)
    assert load_model(path).predict(X).shape == CODES.shape
    at = large.index(b"PK\6\6")
    for offset in (24, 32, 40, 48):  # numbers of parts, bytes of the list, its start
        data = bytearray(large)
        struct.pack_into("<Q", data, at + offset, 2**40)
        refused(path, bytes(data), "another zip|before or after|damaged")
    data = bytearray(large)
    struct.pack_into("<Q", data, large.index(b"PK\6\7") + 8, 3)
    refused(path, bytes(data), "not where it should be")


def test_bits_of_the_parts_are_summed(path, whole):
    data = bytearray(whole)
    data[len(whole) // 2] ^= 1
    refused(path, bytes(data), "it is damaged: Bad CRC-32 for file")


# ---------------------------------------------------------------------------
# JSON
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "Expecting value"),
        (b"null", "it is no model file"),
        (b"[]", "it is no model file"),
        (b'{"format": NaN}', "it has the number NaN, which is not JSON"),
        (b'{"format": -Infinity}', "it has the number -Infinity"),
        (b'{"format": 1e999}', "it has the number 1e999, which is too large"),
        (b'{"format": ' + b"9" * 5000 + b"}", "(?i)exceeds the limit"),
        (b'{"a": 1, "a": 1}', "an entry occurs twice"),
        (b"[" * 200000, "damaged: RecursionError|Expecting value"),
        (b"\xff\xfe", "damaged|utf|codec|Expecting"),
        (b'{"format": "sklearn_convnet model"}', "its format_version is None, which is none"),
        (
            b'{"format": "sklearn_convnet model", "format_version": 2}',
            r"version 2 of the format of models, but sklearn_convnet \S+ knows versions up to 1: "
            "install a newer one",
        ),
        (b'{"format": "sklearn_convnet model", "format_version": 1}', "it has other entries"),
    ],
)
def test_json_that_is_none(path, whole, text, message):
    refused(path, zipped(text, parts_of(whole)[1]), message)


def test_json_that_is_too_long(path, whole):
    long = b" " * (archive.MAX_JSON_BYTES + 1)
    refused(path, zipped(long, parts_of(whole)[1]), "model.json has 16777217 bytes, more than")


def set_in(*path):
    """A change that puts its last argument where the others lead."""
    *path, key, value = path

    def change(content):
        for step in path:
            content = content[step]
        content[key] = value

    return change


FITTED = ("fitted",)
NETWORK = ("fitted", "network")
DENSE = {"object": "layers.Dense", "params": {"units": 10**12}}

CHANGES = {
    "another estimator": (set_in("estimator", "SVC"), "it has no estimator, but 'SVC'"),
    "a parameter that is none": (
        set_in("params", "n_jobs", 3),
        "has parameters that ConvNetClassifier lacks: n_jobs",
    ),
    "an invalid parameter": (set_in("params", "max_iter", -1), "The 'max_iter' parameter"),
    "an invalid option": (set_in("params", "dtype", "float128"), "The 'dtype' parameter"),
    "another class": (
        set_in("params", "optimizer", {"object": "builtins.exec", "params": {}}),
        "optimizer .* is of the class 'builtins.exec', which is none that a model file may",
    ),
    "an object of another kind": (
        set_in("params", "optimizer", {"object": "layers.Flatten", "params": {}}),
        "The 'optimizer' parameter",
    ),
    "a parameter that is missing": (
        set_in("params", "multi_crop", {"object": "multi_crop.MultiCrop", "params": {}}),
        "multi_crop .* cannot be made: .*missing 1 required positional argument",
    ),
    "an invalid parameter of a layer": (
        set_in("params", "layers", [{"object": "layers.Dense", "params": {"units": -3}}]),
        r"layers of ConvNetClassifier\[0\] cannot be made: The 'units' parameter",
    ),
    "a value of no kind": (set_in("params", "layers", {"pickle": "gASV"}), "of no kind that is kn"),
    "a number that is none": (
        set_in("params", "tol", {"float": "1"}),
        "tol .* is no number",
    ),
    "no dict": (set_in("params", "class_weight", {"dict": [1]}), "class_weight .* is no dict"),
    "a key twice": (
        set_in("params", "class_weight", {"dict": [[1, 2], [1, 3]]}),
        "class_weight .* has the key 1 twice",
    ),
    "a key that is none": (
        set_in("params", "class_weight", {"dict": [[[1], 2]]}),
        "class_weight .* has a key that is none",
    ),
    "an array that is missing": (
        set_in("params", "input_shape", {"array": "values/99", "dtype": "<i8"}),
        "the array of input_shape .* is missing",
    ),
    "an array of two owners": (
        set_in("params", "input_shape", {"array": "values/0", "dtype": "<i8"}),
        "the array of .* is missing",
    ),
    "text that is huge": (
        set_in("params", "input_shape", {"text": ["a"], "shape": [10**12]}),
        "input_shape .* is no array of text",
    ),
    "a route that is none": (set_in("requests", {"__class__": {}}), "'__class__' has no requests"),
    "a network of terabytes": (
        set_in(*NETWORK, "layers", [["dense", DENSE]]),
        "the array 'dense/weight' of shape .* is missing|more than the",
    ),
    "maps of terabytes": (
        set_in(
            *NETWORK,
            "layers",
            [["up", {"object": "layers.Upsample2D", "params": {"size": 10**6}}]],
        ),
        "more than the",
    ),
    "other layers": (
        set_in(*NETWORK, "layers", 0, 1, "params", "filters", 3),
        r"the array 'conv2d1/weight' has shape \(3, 3, 1, 2\) and dtype float32, but the layers "
        r"need shape \(3, 3, 1, 3\)",
    ),
    "a name that is a path": (
        set_in(*NETWORK, "layers", 0, 0, "../conv2d1"),
        r"the name '../conv2d1' in layers is not allowed",
    ),
    "another input": (
        set_in(*NETWORK, "input_shape", [10**9, 10**9]),
        r"the network is for \(1000000000, 1000000000\), but samples are \(6, 6\)",
    ),
    "another dtype": (
        set_in(*NETWORK, "dtype", "float64"),
        "'conv2d1/weight' has shape .* and dtype float32, but the layers need .* dtype float64",
    ),
    "no dtype": (set_in(*NETWORK, "dtype", "object"), "the network has no dtype"),
    "a step that is none": (set_in(*NETWORK, "step", 2**60), "the number of steps is none"),
    "a seed that is none": (set_in(*NETWORK, "seed", -1), "the seed of the masks is none"),
    "samples that are none": (set_in(*FITTED, "inputs", "shape", [0, 6]), "which is no shape"),
    "samples of no kind": (set_in(*FITTED, "inputs", "kind", "film"), "X is of no kind"),
    "samples of unequal axes": (
        set_in(*FITTED, "inputs", "largest", [1]),
        "the shapes of samples have different axes",
    ),
    "a target that is none": (
        set_in(*FITTED, "target", "class", "Target"),
        "the kind of y is not known",
    ),
    "a target of another estimator": (
        set_in(*FITTED, "target", {"class": "ValueTarget", "arguments": {}, "learnt": {}}),
        "ValueTarget has other arguments",
    ),
    "a target that has learnt something": (
        set_in(*FITTED, "target", "learnt", {"has_begun": 3}),
        "ClassTarget has learnt what is not known",
    ),
    "a count that is none": (set_in(*FITTED, "t_", -5), "t_ is -5, which is no number of any"),
    "a flag that is none": (set_in(*FITTED, "_validated", 1), "_validated is 1, not true or false"),
    "boxes that are none": (set_in(*FITTED, "_boxes_in_y", None), "whether boxes were in y is not"),
    "a generator that is none": (
        set_in(*FITTED, "random_state", 3),
        "the generator of the last fit is none",
    ),
    "a place beyond the generator": (
        set_in(*FITTED, "random_state", "RandomState", "pos", 10**6),
        "the generator of the last fit has the place 1000000, which is none of its words",
    ),
    "curves without names": (set_in(*FITTED, "history", "names", []), "the curves have no names"),
    "training of no steps": (set_in(*FITTED, "training", "t", -1), "the steps of training are no"),
    "an array of an optimiser": (
        set_in(*FITTED, "training", "arrays", ["mean"]),
        "the array of optimizer/mean/conv2d1/weight is missing",
    ),
    "an array that nothing needs": (
        set_in(*FITTED, "training", None),
        "it has the array 'optimizer/velocity/.*', which belongs to nothing",
    ),
    "a schedule that remembers code": (
        set_in(*FITTED, "training", "schedule", {"dict": [["n_reductions", 0.5]]}),
        "the state of the schedule is not known",
    ),
    "a parameter of the fit": (
        set_in(*FITTED, "params", {"optimizer": "none"}),
        "The 'optimizer' parameter",
    ),
    "a parameter of no fit": (
        set_in(*FITTED, "params", {"max_iter": 3}),
        "parameters of the fit are unknown",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_json_that_is_forged(path, whole, name):
    change, message = CHANGES[name]
    tracemalloc.start()
    try:
        refused(path, changed(whole, change), message)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(whole) + OBJECTS


def test_units_of_y_that_are_none(path, saved):
    where = ("fitted", "target")
    big = {"tuple": [10**12]}
    message = "the mean of y is no number for each of 1000000000000 outputs"
    refused(
        path, changed(saved["values"], set_in(*where, "arguments", "sample_shape", big)), message
    )
    refused(path, changed(saved["boxes"], set_in(*where, "arguments", "n_coordinates", 5)), "is 5")


def test_outputs_of_another_number(path, saved):
    change = set_in("fitted", "target", "arguments", "n_coordinates", 8)
    refused(path, changed(saved["boxes"], change), r"output has shape \(7,\), which is none for y")


def test_layers_that_take_memory_before_they_run(path):
    """Attention has a number for each two positions, a norm for each value; the file has none."""
    model = classifier([Conv2D(2, 3), BatchNorm(), Dense(3)]).fit(X, CODES)
    save_model(model, path)
    data = path.read_bytes()
    for name, params in (
        ("SelfAttention", {"relative_position": True}),
        ("BatchNorm", {}),
        ("Standardize", {"per": "value"}),
        ("TransformConv2D", {"filters": 1, "kernel_size": 2990}),
        ("Rescale", {"scale": 2.0}),
    ):
        layer = {"object": f"layers.{name}", "params": params}
        shape = [300 if name == "SelfAttention" else 3000] * 2 + [4]

        def change(content, layer=layer, shape=shape):
            fit = content["fitted"]
            fit["network"]["input_shape"] = fit["inputs"]["shape"] = shape
            fit["network"]["layers"].insert(0, ["first", layer])

        tracemalloc.start()
        try:
            refused(path, changed(data, change), "the array '.*'")
            assert tracemalloc.get_traced_memory()[1] < OBJECTS
        finally:
            tracemalloc.stop()


def test_two_copies_of_the_arrays_are_the_most(path):
    model = classifier([Dense(2**16)], optimizer="adam").fit(X, CODES)
    save_model(model, path)
    size = path.stat().st_size
    assert size > 4 * OBJECTS
    tracemalloc.start()
    try:
        loaded = load_model(path)
        assert tracemalloc.get_traced_memory()[1] < 2 * size + OBJECTS
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


# ---------------------------------------------------------------------------
# Arrays
# ---------------------------------------------------------------------------


def with_arrays(data, change):
    """The file with what a function changes in the header of its arrays."""
    text, arrays = parts_of(data)
    header, numbers = split_tensors(arrays)
    return zipped(text, tensors(change(header) or header, numbers))


def test_arrays_that_are_none(path, whole):
    text, arrays = parts_of(whole)
    header, numbers = split_tensors(arrays)
    bias = header["network/conv2d1/bias"]

    def other(**entry):
        return tensors({**header, "network/conv2d1/bias": {**bias, **entry}}, numbers)

    damaged = "it is no safetensors file, or is damaged"
    for wrong in (
        b"",
        arrays[:-4],
        tensors(b"[" * 10**5, numbers),
        other(shape=[2**40, 2**40]),
        other(shape=[-1]),
        other(data_offsets=[0, 2**60]),
        other(dtype="F64"),
        other(dtype="no such"),
    ):
        refused(path, zipped(text, wrong), damaged)
    start = bias["data_offsets"][0]
    assert numbers[start : start + 8] != b"\0" * 8
    not_finite = bytearray(numbers)
    struct.pack_into("<f", not_finite, start, np.nan)
    refused(
        path,
        zipped(text, tensors(header, bytes(not_finite))),
        "the array 'conv2d1/bias' holds numbers that are not finite",
    )
    header["network/conv2d1/other"] = header.pop("network/conv2d1/bias")
    refused(path, zipped(text, tensors(header, numbers)), "the array 'conv2d1/bias' .* is missing")


def test_text_that_is_none(path):
    model = classifier([Standardize(), Dense(2)]).fit(X, np.array(["a", "b", "c"])[CODES])
    save_model(model, path)
    text, arrays = parts_of(path.read_bytes())
    header, numbers = split_tensors(arrays)
    (name,) = (
        value["array"] for value in [json.loads(text)["fitted"]["target"]["arguments"]["classes"]]
    )
    numbers = bytearray(numbers)
    struct.pack_into("<L", numbers, header[name]["data_offsets"][0], 0x110000)
    refused(path, zipped(text, tensors(header, bytes(numbers))), "classes holds what is no text")
    for dtype in ("<U2", "<U1000000000", "|O", "<U1,<U1", "<f8", "<U", "<M8[fortnight]", 3, None):
        change = set_in("fitted", "target", "arguments", "classes", "dtype", dtype)
        refused(path, changed(zipped(text, arrays), change), "classes has (no|another) dtype")
