"""Writes the model files that every later version must read, with what they predict.

``SKLEARN_CONVNET_KERNELS=avx2 python tests/interchange/write_golden.py`` writes those of one
variant of the kernels. Files of a released version stay as they are: a later one adds its own.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from pathlib import Path

import numpy as np
from safetensors.numpy import save

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.interchange import save_model
from sklearn_convnet.kernels import loader
from sklearn_convnet.layers import (
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool,
    MaxPool2D,
    Parallel,
    Residual,
    Standardize,
)
from sklearn_convnet.optimizers import SGD, Adam
from sklearn_convnet.schedules import ReduceOnPlateau

FOLDER = Path(__file__).parent / "golden"


def fitted_models():
    """Small estimators by name, fitted to X and y; what else `fit` was given stands beside."""
    rng = np.random.RandomState(0)
    codes = np.arange(18) % 3
    images = rng.normal(size=(18, 6, 6)).astype(np.float32) + codes[:, None, None]
    series = rng.normal(size=(18, 9, 2)).astype(np.float32)
    boxes = rng.uniform(0.2, 0.8, size=(18, 4))
    same = {"max_iter": 2, "random_state": 0, "batch_size": 6}
    plain = {**same, "optimizer": SGD(0.05)}
    normed = [Conv2D(2, 3, activation=None), BatchNorm(), Dropout(0.2), Dense(4)]
    branches = Parallel([[Conv2D(2, 1)], "passthrough"])
    residual = Residual([("conv", Conv2D(3, 3, padding="same")), BatchNorm()])
    models = {
        "classifier": (ConvNetClassifier([Conv2D(2, 3), Dense(4)], **same), images, codes),
        "regressor": (
            ConvNetRegressor([Standardize(), Conv1D(2, 3), GlobalAvgPool()], **plain),
            series,
            np.stack([codes * 100.0, series[:, 0, 0]], axis=1),
        ),
        "boxes": (
            ConvNetClassifier([Conv2D(2, 3), MaxPool2D(2), Dense(3)], **plain),
            images,
            np.array(["cat", "dog", "zebra"])[codes],
            {"boxes": boxes},
        ),
        "batch_norm": (
            ConvNetClassifier(normed, **{**same, "optimizer": Adam(0.01)}),
            images,
            codes,
        ),
        "text": (
            ConvNetClassifier(
                [branches, residual, GlobalAvgPool()],
                optimizer=SGD(ReduceOnPlateau(0.1, patience=1), momentum=0.9),
                dtype="float64",
                **same,
            ),
            images,
            np.array(["nein", "ja", "vielleicht: ä"], object)[codes],
        ),
    }
    for name, (model, X, y, *beside) in models.items():
        yield name, model.fit(X, y, **(beside[0] if beside else {})), X


def outputs(model, X):
    """What a model predicts as numbers, by method."""
    if isinstance(model, ConvNetRegressor):
        return {"predict": model.predict(X)}
    found = {"predict_proba": model.predict_proba(X)}
    if hasattr(model._target, "n_coordinates"):
        found["predict_box"] = model.predict_box(X)
    return found


def main():
    """Writes a model and its numbers for each."""
    variant = loader.default_variant()
    for name, model, X in fitted_models():
        stem = FOLDER / f"{name}-{variant}"
        save_model(model, stem.with_suffix(".model"))
        stem.with_suffix(".safetensors").write_bytes(save({"X": X, **outputs(model, X)}))


if __name__ == "__main__":
    main()
