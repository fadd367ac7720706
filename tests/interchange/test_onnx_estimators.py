"""ONNX models of estimators: what they predict, for every kind of y and of X."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import sys

import numpy as np
import onnx
import pytest
from onnx_runs import assert_close, assert_same_predictions, input_shape, run
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
from sklearn_convnet.augmentation import RandomFlip, TestTimeAugmentation
from sklearn_convnet.interchange import to_onnx
from sklearn_convnet.layers import (
    ConcatFeatures,
    Conv1D,
    Conv2D,
    Dense,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool2D,
    Rescale,
)
from sklearn_convnet.multi_crop import MultiCrop


def axes(info):
    return [axis.dim_param or axis.dim_value for axis in info.type.tensor_type.shape.dim]


def outputs_of(model):
    return [output.name for output in model.graph.output]


every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])

# ---------------------------------------------------------------------------
# y
# ---------------------------------------------------------------------------

LABELS = {
    "integers": np.arange(3) * 5,
    "small": np.arange(3, dtype=np.uint8),
    "negative": np.array([-7, 2, 3], np.int16),
    "floats": np.array([1.0, 2.0, 5.0]),
    "strings": np.array(["a", "bcd", "größer"]),
    "objects": np.array(["x", "y", "zz"], object),
    "binary": np.array([3, 9]),
    "truth": np.array([False, True]),
}


@pytest.mark.parametrize("name", LABELS)
@every_dtype
def test_classes(name, dtype):
    y = LABELS[name][np.arange(N) % len(LABELS[name])]
    clf = classifier().fit(images(dtype=dtype), y)
    model = assert_same_predictions(clf, images(dtype=dtype))
    assert outputs_of(model) == ["label", "probabilities"]
    assert axes(model.graph.output[0]) == ["n_samples"]
    assert axes(model.graph.output[1]) == ["n_samples", len(clf.classes_)]


@every_dtype
def test_several_labels_at_once(dtype):
    X, y = images(dtype=dtype), rng().randint(2, size=(N, 4))
    assert_same_predictions(classifier().fit(X, y), X)


@pytest.mark.parametrize("letters", [False, True])
def test_columns_of_labels(letters):
    X, y = images(), rng().randint(3, size=(N, 2)) + np.array([0, 7])
    y = np.array(list("abcdefghij"))[y] if letters else y
    model = assert_same_predictions(classifier().fit(X, y), X)
    assert axes(model.graph.output[0]) == ["n_samples", 2]


@pytest.mark.parametrize("n_coordinates", [4, 8])
@pytest.mark.parametrize("units", ["share", "pixels"])
def test_boxes(n_coordinates, units):
    X, boxes = images(), rng().uniform(size=(N, n_coordinates))
    if units == "pixels":
        boxes = boxes * np.resize([6, 8], n_coordinates) - 0.5
    clf = classifier(box_units=units).fit(X, three_classes(), boxes=boxes)
    model = assert_same_predictions(clf, X)
    assert outputs_of(model) == ["label", "probabilities", "box"]


def test_boxes_in_the_columns_of_y():
    X, boxes = images(), rng().uniform(size=(N, 4))
    clf = classifier(box_weight=1.0).fit(X, np.column_stack([three_classes(), boxes]))
    assert_same_predictions(clf, X)


def test_boxes_in_pixels_fix_the_size_of_images():
    layers = [Conv2D(3, 3), GlobalAvgPool()]
    boxes = rng().uniform(0, 6, size=(N, 4))
    for units, size in [("share", ["height", "width"]), ("pixels", [8, 6])]:
        clf = classifier(layers, box_units=units, box_weight=0.0)
        model = to_onnx(clf.fit(images(), three_classes(), boxes=boxes))
        assert input_shape(model) == ["n_samples", *size]


@pytest.mark.parametrize("last_axis", [False, True])
@pytest.mark.parametrize("letters", [False, True])
def test_label_maps(last_axis, letters):
    y = rng().randint(3, size=(N, 8, 6))
    y = np.array(list("abc"))[y] if letters else y
    clf = classifier(map_layers()).fit(images(), y[..., None] if last_axis else y)
    assert_same_predictions(clf, images())
    model = assert_same_predictions(clf, images(11, 13))
    assert input_shape(model) == ["n_samples", "height", "width"]


def test_a_label_for_each_step_of_a_signal():
    X, y = images(20, 2), rng().randint(3, size=(N, 20))
    clf = classifier([Conv1D(3, 3, padding="same")], target="maps").fit(X, y)
    model = assert_same_predictions(clf, X)
    assert input_shape(model) == ["n_samples", "length", 2]


def test_last_maps_as_outputs():
    layers = [Conv2D(4, 3), Conv2D(3, 2, activation=None)]
    for end in ([], [GlobalMaxPool()]):
        clf = classifier([*layers, *end], output=None).fit(images(), three_classes())
        assert_same_predictions(clf, images())


VALUES = {
    "one": rng().normal(3, 7, size=N),
    "several": rng().normal(3, [1, 100], size=(N, 2)),
    "far": rng().normal(1e9, 1, size=N),
    "constant": np.full(N, 4.0),
}


@pytest.mark.parametrize("name", VALUES)
@every_dtype
def test_values(name, dtype):
    reg = regressor().fit(images(dtype=dtype), VALUES[name])
    model = assert_same_predictions(reg, images(dtype=dtype))
    assert outputs_of(model) == ["variable"]
    assert axes(model.graph.output[0]) == ["n_samples", *VALUES[name].shape[1:]]


@pytest.mark.filterwarnings("ignore:The fit ends")
def test_values_that_are_not_normalized():
    reg = regressor(normalize_y=False).fit(images(), rng().normal(3, 7, size=N))
    assert_same_predictions(reg, images())


def test_poisson():
    reg = regressor(loss="poisson").fit(images(), rng().poisson(4, size=N))
    assert reg.out_activation_ == "exp"
    assert_same_predictions(reg, images())


@pytest.mark.parametrize("shape", [(6,), (3, 2)])
def test_points(shape):
    reg = regressor(target="points").fit(images(), rng().uniform(size=(N, *shape)))
    assert_same_predictions(reg, images())


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 1), (8, 6, 2)])
@every_dtype
def test_maps_of_values(shape, dtype):
    X, y = images(dtype=dtype), rng().normal(5, 2, size=(N, *shape))
    reg = regressor(map_layers(), target="maps").fit(X, y)
    assert_same_predictions(reg, X)
    assert_same_predictions(reg, images(9, 12, dtype=dtype))


# ---------------------------------------------------------------------------
# X
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layout", "shape"),
    [
        ("auto", (8, 6, 2)),
        ("channels_last", (8, 6, 2)),
        ("channels_first", (2, 8, 6)),
        ("flat", (96,)),
    ],
)
@pytest.mark.parametrize("fitted", ["channels_last", "channels_first", "flat", "flat_first"])
def test_layouts(layout, shape, fitted):
    """Every order of X in the model, whatever the order in which it was fitted."""
    last = images(8, 6, 2)
    first = np.ascontiguousarray(last.transpose(0, 3, 1, 2))
    as_first, is_flat = fitted.endswith("first"), fitted.startswith("flat")
    given = first if as_first else last
    params = {"data_format": "channels_first"} if as_first else {}
    if is_flat:
        params["input_shape"] = given.shape[1:]
        given = given.reshape(N, -1)
    clf = classifier(**params).fit(given, three_classes())
    orders = {"channels_last": last, "channels_first": first, "auto": given}
    X = orders.get(layout, (first if as_first else last).reshape(N, -1))
    model = to_onnx(clf, layout=layout)
    expected = X.shape[1:] if layout == "auto" else shape
    assert input_shape(model) == ["n_samples", *expected]
    assert_close(run(model, X)["probabilities"], clf.predict_proba(given))


def test_an_axis_of_one_channel():
    X = images()
    clf = classifier().fit(X, three_classes())
    orders = {
        "auto": X,
        "channels_last": X[..., None],
        "channels_first": X[:, None],
        "flat": X.reshape(N, -1),
    }
    for layout, given in orders.items():
        found = run(to_onnx(clf, layout=layout), given)
        assert_close(found["probabilities"], clf.predict_proba(X))


@pytest.mark.parametrize("shape", [(9,), (20,), (8, 6), (40, 2), (4, 5, 6, 1)])
@pytest.mark.parametrize("kind", ["auto", "table"])
def test_networks_of_their_own_choosing(shape, kind):
    if kind == "table" and len(shape) > 1:
        shape = (12,)
    X = images(*shape)
    clf = classifier(None, input_kind=kind).fit(X, three_classes())
    model = assert_same_predictions(clf, X)
    any_length = shape == (40, 2)  # a signal, of which the means over time are taken
    assert input_shape(model) == ["n_samples", *(("length", 2) if any_length else shape)]


def test_bytes():
    X = rng().randint(256, size=(N, 8, 6)).astype(np.uint8)
    clf = classifier([Rescale(1 / 255), *layers()]).fit(X, three_classes())
    model = assert_same_predictions(clf, X, input_dtype="uint8")
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_large_numbers_that_float32_does_not_tell_apart():
    X = images(dtype="float64") + 1e9
    clf = classifier(dtype="float32").fit(X, three_classes())
    model = to_onnx(clf, input_dtype="float64")
    session_X = run_in_float32(model, X)
    assert_close(session_X["probabilities"], clf.predict_proba(X))
    assert session_X["probabilities"].std() > 1e-3


def run_in_float32(model, X):
    """A model with an input of doubles that computes in floats."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"X": X}), strict=True))


def test_a_mean_that_is_far_from_zero():
    """Large numbers of which a small one is left are added in float64."""
    for mean, n_casts in [(0, 0), (1e4, 2)]:
        X = images() + np.float32(mean)
        model = assert_same_predictions(classifier().fit(X, three_classes()), X)
        assert [node.op_type for node in model.graph.node].count("Cast") == n_casts


def test_a_network_of_float64_in_float32():
    X = images(dtype="float64")
    clf = classifier().fit(X, three_classes())
    found = run(to_onnx(clf, dtype="float32"), X.astype(np.float32))
    assert found["probabilities"].dtype == np.float32
    assert_close(found["probabilities"], clf.predict_proba(X), "float32")


def test_samples_that_differ_in_size():
    X = [rng().normal(size=(8 + i % 3, 9)).astype(np.float32) for i in range(N)]
    clf = classifier([Conv2D(3, 3, padding="same", stride=2), GlobalAvgPool()])
    clf.fit(X, three_classes())
    model = to_onnx(clf)
    assert input_shape(model) == ["n_samples", "height", "width"]
    for sample, expected in zip(X, clf.predict_proba(X), strict=True):
        assert_close(run(model, sample[None])["probabilities"], expected[None])


@pytest.mark.parametrize("n_crops", [1, 5, 10])
@pytest.mark.parametrize("voting", ["soft", "hard"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_crops(n_crops, voting, data_format):
    X = images(8, 7, 2) if data_format == "channels_last" else images(2, 8, 7)
    params = {"data_format": data_format, "multi_crop": MultiCrop((6, 5), n_crops, voting)}
    assert_same_predictions(classifier(**params).fit(X, three_classes()), X)


def test_crops_of_labels_and_values():
    X, crops = images(), MultiCrop(5)
    y = rng().randint(2, size=(N, 3))
    assert_same_predictions(classifier(multi_crop=crops).fit(X, y), X)
    assert_same_predictions(regressor(multi_crop=crops).fit(X, rng().normal(size=(N, 2))), X)
    assert_same_predictions(classifier(multi_crop=crops).fit(X, y[:, :2] + [0, 5]), X)


def test_parameters_that_were_changed_after_the_fit():
    X = images()
    clf = classifier().fit(X, three_classes())
    clf.set_params(multi_crop=MultiCrop(5), data_format="channels_first", input_shape=(48,))
    assert_same_predictions(clf, X)


# ---------------------------------------------------------------------------
# The model
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [np.arange(3), np.array(["a", "b", "c"])])
@every_dtype
def test_zipmap(labels, dtype):
    X, y = images(dtype=dtype), labels[three_classes()]
    clf = classifier().fit(X, y)
    model = to_onnx(clf, dtype="float32", zipmap=True)
    found = run(model, X.astype(np.float32))
    assert found["label"].tolist() == clf.predict(X).tolist()
    for row, expected in zip(found["probabilities"], clf.predict_proba(X), strict=True):
        assert list(row) == labels.tolist()
        assert_close(list(row.values()), expected, "float32")


def test_zipmap_in_float64():
    clf = ConvNetClassifier([Dense(3)], max_iter=1).fit(images(6, dtype="float64"), three_classes())
    found = run_in_float32(to_onnx(clf, zipmap=True), images(6, dtype="float64"))
    expected = clf.predict_proba(images(6, dtype="float64"))
    assert_close([list(row.values()) for row in found["probabilities"]], expected, "float32")


def test_files(tmp_path):
    clf = classifier().fit(images(), three_classes())
    for path in (tmp_path / "model.onnx", str(tmp_path / "other.onnx")):
        model = to_onnx(clf, path)
        onnx.checker.check_model(str(path), full_check=True)
        assert onnx.load(path) == model


def test_where_it_comes_from():
    from sklearn_convnet import __version__

    model = to_onnx(classifier().fit(images(), three_classes()))
    assert (model.producer_name, model.producer_version) == ("sklearn_convnet", __version__)
    assert model.graph.name == "ConvNetClassifier"


def test_same_bytes():
    clf = classifier().fit(images(), three_classes())
    assert to_onnx(clf).SerializeToString() == to_onnx(clf).SerializeToString()


# ---------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ({"layout": "nchw"}, ValueError, "layout must be one of 'auto', .*got 'nchw'"),
        ({"dtype": "int32"}, ValueError, "dtype must be float32 or float64, got 'int32'"),
        ({"dtype": "float16"}, ValueError, "dtype must be float32 or float64"),
        ({"dtype": "number"}, ValueError, "dtype must be float32 or float64, got 'number'"),
        ({"input_dtype": "str"}, ValueError, "input_dtype must be a dtype of real numbers"),
        ({"opset": 17}, ValueError, "opset must be an integer from 18 to"),
        ({"opset": True}, ValueError, "opset must be an integer"),
        ({"opset": 1000}, ValueError, "opset must be an integer"),
        ({"path": 3}, TypeError, "path must be a str or a path, got int"),
    ],
)
def test_bad_parameters(params, error, match):
    clf = classifier().fit(images(), three_classes())
    with pytest.raises(error, match=match):
        to_onnx(clf, **params)


def test_other_estimators():
    with pytest.raises(TypeError, match=r"got LogisticRegression: .*register_skl2onnx\(\)"):
        to_onnx(LogisticRegression())
    with pytest.raises(NotFittedError):
        to_onnx(classifier())


def test_labels_that_onnx_does_not_have():
    clf = classifier().fit(images(), three_classes())
    for classes in (
        np.array([(1, 2), 3, "x"], object),
        np.array([1, 2, 2**64 - 1], np.uint64),
        np.array(["2000-01-01", "2000-01-02", "2000-01-03"], "datetime64[D]"),
    ):
        clf._target.classes = classes
        with pytest.raises(ValueError, match="ONNX has no labels such as"):
            to_onnx(clf)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda X: classifier().fit(X, 1.0 * three_classes()), "labels that are integers or"),
        (lambda X: classifier().fit(X, rng().randint(3, size=(N, 2))), "several columns"),
        (
            lambda X: classifier(map_layers()).fit(X, rng().randint(3, size=(N, 8, 6))),
            "labels for each pixel",
        ),
        (lambda X: regressor().fit(X, VALUES["one"]), "what has no labels"),
        (lambda X: regressor().fit(X, VALUES["one"]).network_, "what has no labels"),
    ],
    ids=["floats", "columns", "maps", "values", "network"],
)
def test_zipmap_of_what_has_none(make, match):
    with pytest.raises(ValueError, match=f"zipmap=True .*{match}"):
        to_onnx(make(images()), zipmap=True)


def test_dense_votes():
    crops = MultiCrop(6, voting="dense")
    layers = [Conv2D(3, 3), GlobalAvgPool()]
    clf = classifier(layers, multi_crop=crops).fit(images(8, 8), three_classes())
    with pytest.raises(NotImplementedError, match="voting='dense' moves the network"):
        to_onnx(clf)


def test_crops_of_places():
    X, crops, places = images(), MultiCrop(5), rng().uniform(size=(N, 4))
    for model in (
        classifier(multi_crop=crops).fit(X, three_classes(), boxes=places),
        regressor(multi_crop=crops, target="points").fit(X, places),
    ):
        with pytest.raises(NotImplementedError, match="vote over boxes and points has no form"):
            to_onnx(model)


def test_votes_of_changed_samples():
    clf = classifier().fit(images(), three_classes())
    clf.set_params(test_time_augmentation=TestTimeAugmentation([RandomFlip()]))
    with pytest.raises(NotImplementedError, match="test_time_augmentation has no form"):
        to_onnx(clf)


def test_averaged_weights():
    clf = classifier(average_weights=0.9).fit(images(), three_classes())
    assert_same_predictions(clf, images())


def test_an_output_activation_that_onnx_does_not_know(monkeypatch):
    reg = regressor().fit(images(), VALUES["one"])
    monkeypatch.setattr(type(reg), "out_activation_", "square")
    with pytest.raises(NotImplementedError, match="output activation 'square'"):
        to_onnx(reg)


def test_without_onnx(monkeypatch):
    clf = classifier().fit(images(), three_classes())
    model = to_onnx(clf)
    monkeypatch.setitem(sys.modules, "onnx", None)
    for call in (to_onnx, ConvNetClassifier.from_onnx):
        with pytest.raises(ImportError, match=r"pip install 'sklearn_convnet\[onnx\]'"):
            call(clf if call is to_onnx else model)


def test_onnx_is_imported_when_a_model_is_made(run_python):
    printed = run_python(
        """
        import sys
        from sklearn_convnet.interchange import register_skl2onnx, to_onnx
        print("onnx" in sys.modules, "skl2onnx" in sys.modules)
        """
    )
    assert printed.split() == ["False", "False"]


# ---------------------------------------------------------------------------
# Features beside X
# ---------------------------------------------------------------------------

BESIDE = {
    "flat maps": ([Conv2D(3, 3), MaxPool2D(2), ConcatFeatures(), Dense(5)], {}),
    "twice": ([Conv2D(3, 3), GlobalAvgPool(), ConcatFeatures(), Dense(4), ConcatFeatures()], {}),
    "crops": ([Conv2D(3, 3), ConcatFeatures(), Dense(5)], {"multi_crop": MultiCrop(5)}),
}


@every_dtype
@pytest.mark.parametrize("name", BESIDE)
def test_features_are_an_input(name, dtype):
    made, params = BESIDE[name]
    X, T = images(dtype=dtype), rng().normal(size=(N, 3)).astype(dtype)
    for estimator, y in ((classifier, three_classes()), (regressor, T[:, 0] + X[:, 0, 0])):
        fitted = estimator(made, **params).fit(X, y, features=T)
        model = to_onnx(fitted)
        assert [one.name for one in model.graph.input] == ["X", "features"]
        assert axes(model.graph.input[1]) == ["n_samples", 3]
        for n in (1, 7):
            found = run(model, X[:n], features=T[:n])
            if estimator is regressor:
                assert_close(found["variable"], fitted.predict(X[:n], T[:n]), dtype)
            else:
                assert_close(found["probabilities"], fitted.predict_proba(X[:n], T[:n]), dtype)
                assert (found["label"] == fitted.predict(X[:n], T[:n])).all()


def test_features_beside_images_of_any_size():
    X, T = images(), rng().normal(size=(N, 3)).astype("float32")
    made = [Conv2D(3, 3), GlobalAvgPool(), ConcatFeatures(), Dense(4)]
    fitted = classifier(made).fit(X, three_classes(), features=T)
    model = to_onnx(fitted)
    assert axes(model.graph.input[0]) == ["n_samples", "height", "width"]
    larger = np.pad(X, [(0, 0), (1, 2), (3, 0)])
    found = run(model, larger, features=T)["probabilities"]
    assert_close(found, fitted.predict_proba(larger, T))
    with pytest.raises(ValueError, match=r"must have one input, but it has 2: \['X', 'features'\]"):
        ConvNetClassifier.from_onnx(model)
