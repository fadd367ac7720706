"""Source in C of estimators: what they predict, for every kind of y and of X."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import ctypes

import numpy as np
import pandas as pd
import pytest
from c_runs import compiled, run, run_tests
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from small_estimators import (
    N,
    classifier,
    images,
    layers,
    map_layers,
    regressor,
    rng,
    three_classes,
)

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import lenet5
from sklearn_convnet.augmentation import RandomFlip, TestTimeAugmentation
from sklearn_convnet.interchange import export_c
from sklearn_convnet.layers import Conv1D, Conv2D, Dense, Rescale
from sklearn_convnet.multi_crop import MultiCrop


def header(estimator, folder, X, **options):
    """The text of the header, once the test program has passed."""
    file, *_ = export_c(estimator, folder, name="net", X=X[:5], **options)
    assert "5 of 5 samples" in run_tests(folder, ["net"])
    return file.read_text()


def classes_of(folder):
    _, text = (folder / "net.c").read_text().split("net_classes[")
    return [line.strip().rstrip(",") for line in text.split("{", 1)[1].split("}")[0].split("\n")][
        1:-1
    ]


# ---------------------------------------------------------------------------
# y
# ---------------------------------------------------------------------------

LABELS = {
    "integers": (np.arange(3) * 5, ['"0"', '"5"', '"10"']),
    "floats": (np.array([1.0, 2.0]), ['"1.0"', '"2.0"']),
    "strings": (np.array(['a"b\\', "b@%d?", "größer"]), None),
    "truth": (np.array([False, True]), ['"False"', '"True"']),
}


@pytest.mark.parametrize("name", LABELS)
def test_classes(name, tmp_path):
    labels, wanted = LABELS[name]
    clf = classifier().fit(images(), labels[np.arange(N) % len(labels)])
    text = header(clf, tmp_path, images())
    assert f"#define NET_N_CLASSES {len(labels)}\n" in text
    assert f"#define NET_OUTPUT_SIZE {len(labels)}\n" in text
    if wanted is not None:
        assert classes_of(tmp_path) == wanted


def test_labels_in_a_program(tmp_path):
    labels, _ = LABELS["strings"]
    clf = classifier().fit(images(), labels[np.arange(N) % 3])
    export_c(clf, tmp_path, name="net")
    (tmp_path / "main.c").write_text(
        '#include "net.h"\n#include <stdio.h>\nint main(void)\n{\n    int i;\n'
        "    for (i = 0; i < NET_N_CLASSES; i++)\n        puts(net_classes[i]);\n    return 0;\n}\n"
    )
    program = compiled([tmp_path / "main.c", tmp_path / "net.c"], tmp_path / "main")
    assert run(program)[1].splitlines() == clf.classes_.tolist()


def test_several_labels_at_once(tmp_path):
    text = header(classifier().fit(images(), rng().randint(2, size=(N, 4))), tmp_path, images())
    assert "the probability of each label" in text
    assert "#define NET_N_CLASSES 4\n" in text


def test_columns_of_labels(tmp_path):
    y = rng().randint(3, size=(N, 2)) + np.array([0, 7])
    header(classifier().fit(images(), y), tmp_path, images())
    assert classes_of(tmp_path) == [f'"{label}"' for label in (0, 1, 2, 7, 8, 9)]


def test_maps_of_labels(tmp_path):
    y = rng().randint(3, size=(N, 8, 6))
    text = header(classifier(map_layers()).fit(images(), y), tmp_path, images())
    assert "/* y: 8 x 6 x 3, the probability of each class. */" in text


@pytest.mark.parametrize("units", ["pixels", "share"])
def test_class_and_box(units, tmp_path):
    boxes = np.sort(rng().uniform(0, 5, size=(N, 2, 2)), axis=1).reshape(N, 4)
    boxes = boxes / (1 if units == "pixels" else 5)
    clf = classifier(box_units=units).fit(images(), three_classes(), boxes=boxes)
    text = header(clf, tmp_path, images())
    assert f"/* y: 7, the probability of each class, and a box in {units}. */" in text


VALUES = {
    "numbers": (rng().normal(5, 3, size=N), {}),
    "several": (rng().normal([1, 100], [1, 50], size=(N, 2)), {}),
    "counts": (rng().poisson(3, size=N).astype(float), {"loss": "poisson"}),
    "points": (rng().uniform(size=(N, 6)), {"target": "points"}),
    "pixels": (rng().uniform(0, 5, size=(N, 6)), {"target": "points", "point_units": "pixels"}),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_in_units_of_y(name, tmp_path):
    y, params = VALUES[name]
    text = header(regressor(**params).fit(images(), y), tmp_path, images())
    assert "values in the units of y" in text
    assert "N_CLASSES" not in text


def test_maps_of_values(tmp_path):
    y = rng().normal(10, 2, size=(N, 8, 6))
    header(regressor(map_layers(), target="maps").fit(images(), y), tmp_path, images())


# ---------------------------------------------------------------------------
# X
# ---------------------------------------------------------------------------


def test_channels_first(tmp_path):
    X = images(2, 8, 6)
    clf = classifier(data_format="channels_first").fit(X, three_classes())
    text = header(clf, tmp_path, X)
    assert "/* x: 2 x 8 x 6, floats. */" in text
    assert "net_channels_last(x, " in (tmp_path / "net.c").read_text()


def test_rows_of_values(tmp_path):
    X = images(48)
    header(classifier(input_shape=(8, 6)).fit(X, three_classes()), tmp_path, X)


def test_signals(tmp_path):
    X = images(20, 2)
    header(classifier([Conv1D(3, 3), Dense(4)]).fit(X, three_classes()), tmp_path, X)


def test_doubles(tmp_path):
    X = images(dtype="float64")
    header(classifier().fit(X, three_classes()), tmp_path, X)


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_bytes(channels, data_format, tmp_path):
    shape = (*channels, 8, 6) if data_format == "channels_first" else (8, 6, *channels)
    X = rng().randint(256, size=(N, *shape)).astype(np.uint8)
    chain = [Rescale(1 / 255), *layers()[1:]]
    clf = classifier(chain, data_format=data_format).fit(X, three_classes())
    text = header(clf, tmp_path, X, input_dtype="uint8")
    assert "void net_predict(const unsigned char *x, float *y);" in text


# ---------------------------------------------------------------------------
# Digits
# ---------------------------------------------------------------------------


def test_lenet_on_digits(tmp_path):
    """The same probabilities of each digit, and the same label."""
    X, y = load_digits(return_X_y=True)
    X = np.pad(X.reshape(-1, 8, 8).repeat(3, axis=1).repeat(3, axis=2), [(0, 0), (4, 4), (4, 4)])
    X = (X[:300] / 16).astype(np.float32)
    clf = ConvNetClassifier(lenet5(), max_iter=3, random_state=0).fit(X, y[:300])
    _, source, _ = export_c(clf, tmp_path, name="lenet")
    found = predictions(source, "lenet_predict", X, n_outputs=10)
    expected = clf.predict_proba(X)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


def predictions(source, function, X, n_outputs):
    """What a function in C returns of samples, one after the other."""
    library = compiled([source], source.with_suffix(".so"), "-shared", "-fPIC", optimize="-O2")
    predict, found = ctypes.CDLL(str(library))[function], np.empty((len(X), n_outputs), np.float32)
    for x, y in zip(np.ascontiguousarray(X), found, strict=True):
        predict(x.ctypes.data_as(ctypes.c_void_p), y.ctypes.data_as(ctypes.c_void_p))
    return found


def test_another_prediction_fails(tmp_path):
    """The test program tells."""
    _, source, test = export_c(classifier().fit(images(), three_classes()), tmp_path, name="net")
    text = test.read_text()
    begin, numbers = text.split("net_test_y[9] = {\n")
    test.write_text(f"{begin}net_test_y[9] = {{\n    0.5f,{numbers.split(',', 1)[1]}")
    status, printed = run(compiled([source, test], tmp_path / "test"))
    assert (status, printed[:12]) == (1, "net: 2 of 3 ")


# ---------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------


def test_what_it_takes(tmp_path):
    with pytest.raises(TypeError, match=r"export_c takes a fitted .*, got LogisticRegression"):
        export_c(LogisticRegression(), tmp_path)
    with pytest.raises(NotFittedError):
        export_c(classifier(), tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "1net"}, "name must be a letter, .* got '1net'"),
        ({"name": "a-b"}, "name must be a letter, .* got 'a-b'"),
        ({"name": None}, "name must be a letter, .* got None"),
        ({"input_dtype": "int8"}, "input_dtype must be 'float32' or 'uint8', got 'int8'"),
        ({"X": np.zeros((2, 6, 8))}, r"X must be samples of shape \(8, 6\), at least one, .* 6, 8"),
        ({"X": np.zeros((0, 8, 6))}, r"X must be samples of shape \(8, 6\), at least one"),
        ({"X": np.full((1, 8, 6), np.nan)}, "X must be finite"),
        ({"X": np.full((1, 8, 6), 0.5), "input_dtype": "uint8"}, "X must hold whole numbers"),
        ({"X": np.full((1, 8, 6), -1), "input_dtype": "uint8"}, "X must hold whole numbers"),
    ],
)
def test_invalid_parameters(options, message, tmp_path):
    clf = classifier().fit(images(), three_classes())
    with pytest.raises(ValueError, match=message):
        export_c(clf, tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "params",
    [
        {"multi_crop": MultiCrop(5)},
        {"test_time_augmentation": TestTimeAugmentation([RandomFlip()])},
    ],
)
def test_votes(params, tmp_path):
    clf = classifier([Conv2D(3, 3)], **params).fit(images(), three_classes())
    (name,) = params
    with pytest.raises(NotImplementedError, match=f"{name} has no form in C here"):
        export_c(clf, tmp_path)


def test_columns_with_names(tmp_path, recwarn):
    X = pd.DataFrame(images().reshape(N, -1)).add_prefix("x")
    clf = classifier(input_shape=(8, 6)).fit(X, three_classes())
    recwarn.clear()
    files = [file.read_text() for file in export_c(clf, tmp_path, X=X[:2])]
    assert not recwarn.list
    assert clf.feature_names_in_.tolist() == list(X)
    clf.fit(X.to_numpy(), three_classes())
    assert [file.read_text() for file in export_c(clf, tmp_path, X=X.to_numpy()[:2])] == files


def test_crops_are_those_of_the_last_fit(tmp_path):
    clf = classifier([Conv2D(3, 3)], multi_crop=MultiCrop(5)).fit(images(), three_classes())
    with pytest.raises(NotImplementedError, match="multi_crop has no form in C here"):
        export_c(clf.set_params(multi_crop=None), tmp_path)
    clf.fit(images(), three_classes())
    before = [file.read_text() for file in export_c(clf, tmp_path)]
    clf.set_params(multi_crop=MultiCrop(5))
    assert [file.read_text() for file in export_c(clf, tmp_path)] == before
