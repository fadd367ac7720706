"""Files of skops, which loads the types that it is told to trust."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
import skops.io
from model_cases import CASES, CODES, X, classifier, fitted
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_convnet import SKOPS_TRUSTED, callbacks
from sklearn_convnet.layers import Dense


def predictions(model, X):
    found = model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)
    return [np.asarray(part) for part in found] if isinstance(found, list) else [found]


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_estimator(tmp_path, name):
    model, (A, y), beside = fitted(name)
    skops.io.dump(model, tmp_path / "net.skops")
    loaded = skops.io.load(tmp_path / "net.skops", trusted=SKOPS_TRUSTED)
    for _ in range(2):
        for found, expected in zip(predictions(loaded, A), predictions(model, A), strict=True):
            np.testing.assert_array_equal(found, expected, strict=True)
        if not model.early_stopping:
            for one in (model, loaded):
                one.partial_fit(A, y, **beside)


def test_a_pipeline():
    model = make_pipeline(StandardScaler(), classifier([Dense(3)])).fit(
        X.reshape(len(X), -1), CODES
    )
    loaded = skops.io.loads(skops.io.dumps(model), trusted=SKOPS_TRUSTED)
    flat = X.reshape(len(X), -1)
    np.testing.assert_array_equal(loaded.predict_proba(flat), model.predict_proba(flat))


def test_what_is_not_trusted():
    """Nothing of a list that is empty, and no callback, which may read a pickle."""
    model, _, _ = fitted("integers")
    data = skops.io.dumps(model)
    assert set(skops.io.get_untrusted_types(data=data)) <= set(SKOPS_TRUSTED)
    with pytest.raises(TypeError, match="ConvNetClassifier"):
        skops.io.loads(data)
    watched = classifier().set_callbacks(callbacks.LearningRateLogger()).fit(X, CODES)
    with pytest.raises(TypeError, match="LearningRateLogger"):
        skops.io.loads(skops.io.dumps(watched), trusted=SKOPS_TRUSTED)


def test_the_list_has_no_code():
    assert len(set(SKOPS_TRUSTED)) == len(SKOPS_TRUSTED)
    assert all(name.startswith(("sklearn_convnet.", "numpy.dtype")) for name in SKOPS_TRUSTED)
    assert not [name for name in SKOPS_TRUSTED if "Function" in name or "callbacks" in name]
