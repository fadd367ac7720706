"""Model files of earlier versions: they load, and predict what they did."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from sklearn_convnet import ConvNetRegressor
from sklearn_convnet.interchange import load_model
from sklearn_convnet.kernels import loader

FILES = sorted((Path(__file__).parent / "golden").glob("*.model"))

LABELS = {
    "classifier": [0, 1, 2],
    "boxes": ["cat", "dog", "zebra"],
    "batch_norm": [0, 1, 2],
    "text": ["ja", "nein", "vielleicht: ä"],
}

#: Variants of the kernels and later versions round differently.
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}


def about(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("model.json"))


def test_each_variant_that_is_usual_has_files():
    variants = {path.stem.partition("-")[2] for path in FILES}
    names = {path.stem.partition("-")[0] for path in FILES}
    assert {"baseline", "avx2", "avx512"} <= variants
    assert names == {*LABELS, "regressor"}
    assert all(about(path)["kernels"] == path.stem.partition("-")[2] for path in FILES)


@pytest.mark.oldest
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_predicts_what_it_did(path):
    model = load_model(path)
    arrays = safetensors.numpy.load_file(path.with_suffix(".safetensors"))
    X = arrays.pop("X")
    for method, expected in arrays.items():
        found = getattr(model, method)(X)
        assert found.dtype == expected.dtype
        tolerance = TOLERANCE[model.network_.dtype.name]
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
    if not isinstance(model, ConvNetRegressor):
        assert model.classes_.tolist() == LABELS[path.stem.partition("-")[0]]
        labels = model.classes_[arrays["predict_proba"].argmax(axis=1)]
        np.testing.assert_array_equal(model.predict(X), labels)
    boxes = {"boxes": np.full((len(X), 4), 0.5)} if "predict_box" in arrays else {}
    y = model.predict(X) if boxes or not isinstance(model, ConvNetRegressor) else arrays["predict"]
    assert np.isfinite(model.partial_fit(X, y, **boxes).loss_)


@pytest.mark.parametrize("variant", loader.variants())
def test_the_same_variant_has_the_same_bits(run_python, variant):
    """Of the same version: kernels of another may round otherwise."""
    script = f"""
        import json
        import zipfile
        from pathlib import Path
        import numpy as np
        import safetensors.numpy
        import sklearn_convnet
        from sklearn_convnet.interchange import load_model
        for path in sorted(Path({str(FILES[0].parent)!r}).glob("*-{variant}.model")):
            with zipfile.ZipFile(path) as archive:
                version = json.loads(archive.read("model.json"))["sklearn_convnet"]
            if version != sklearn_convnet.__version__:
                continue
            model = load_model(path)
            arrays = safetensors.numpy.load_file(path.with_suffix(".safetensors"))
            X = arrays.pop("X")
            for method, expected in arrays.items():
                np.testing.assert_array_equal(getattr(model, method)(X), expected, strict=True)
            print(model.network_.kernels.__name__)
    """
    names = run_python(script, SKLEARN_CONVNET_KERNELS=variant).split()
    assert all(f"_{variant}_" in name for name in names)
