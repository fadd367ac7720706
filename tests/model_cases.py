"""Estimators of every kind, for tests of files."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pandas as pd
from sklearn.base import clone

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import (
    Compose,
    GaussianNoise,
    MixUp,
    RandomAffine,
    RandomAffine1D,
    RandomFlip,
    TestTimeAugmentation,
)
from sklearn_convnet.layers import (
    AuxiliaryHead,
    BatchNorm,
    Conv1D,
    Conv2D,
    Dense,
    DenseBlock,
    Dropout,
    Flatten,
    Gate,
    GlobalAvgPool,
    GroupNorm,
    MaxPool2D,
    NonLocal,
    Parallel,
    PositionEmbedding,
    Rescale,
    Residual,
    SelfAttention,
    Sequential,
    SqueezeExcite,
    Standardize,
    TransformConv2D,
    TransformerBlock,
    TransformPool,
    rotation,
)
from sklearn_convnet.losses import CrossEntropy, Huber, Quantile
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from sklearn_convnet.schedules import CosineDecay, LinearWarmup, ReduceOnPlateau

N = 24
RNG = np.random.RandomState(0)
X = RNG.normal(size=(N, 6, 6)).astype(np.float32)
CODES = np.arange(N) % 3
BOXES = RNG.uniform(0.2, 0.8, size=(N, 4))


def named(*labels, dtype=None):
    return np.array(labels, dtype)[CODES]


def small():
    return [Conv2D(2, 3), ("norm", BatchNorm()), Dropout(0.2), Dense(4)]


def same_size():
    return [Conv2D(3, 3, padding="same")]


def classifier(layers=None, **params):
    layers = small() if layers is None else layers
    return ConvNetClassifier(layers, **{"max_iter": 2, "random_state": 0, **params})


def regressor(layers=None, **params):
    layers = small() if layers is None else layers
    return ConvNetRegressor(layers, **{"max_iter": 2, "random_state": 0, **params})


def blocks():
    half = Sequential([Conv2D(2, 3, padding="same"), BatchNorm(momentum=0.5)])
    return (
        Rescale(np.float64(0.5)),
        Residual([half], shortcut=Conv2D(2, 1)),
        Parallel([[Conv2D(1, 1)], "passthrough", TransformConv2D(2, 1, [rotation(30)])]),
        "passthrough",
        ("dense", DenseBlock([Conv2D(2, np.array([3, 3]), padding="same")])),
        SelfAttention(relative_position=True),
        MaxPool2D(2, padding=((0, 1), (1, 0))),
        Flatten(),
    )


def ragged(*shape):
    return [RNG.normal(size=(5 + i % 3, *shape)) for i in range(N)]


#: An estimator, X, y and what else `fit` is given.
CASES = {
    "integers": (classifier(), X, CODES),
    "small integers": (classifier(), X, CODES.astype(np.int8)),
    "unsigned": (classifier(), X, CODES.astype(np.uint16) + 40000),
    "large integers": (classifier(), X, CODES + 2**62),
    "truth": (classifier(), X, CODES > 1),
    "text": (classifier(), X, named("no", "yes", "perhaps: äöü 😀")),
    "wide text": (classifier(), X, named("a", "b", "c", dtype="<U9")),
    "floats": (classifier(), X, named(1.0, 2.0, 7.0)),
    "short floats": (classifier(), X, named(1.0, 2.0, 7.0, dtype=np.float16)),
    "objects": (classifier(), X, named("a", "b", "c d", dtype=object)),
    "days": (classifier(), X, CODES.astype("M8[D]")),
    "times": (classifier(), X, CODES.astype("m8[10ms]")),
    "foreign byte order": (classifier(), X, CODES.astype(">i4")),
    "pandas": (
        classifier([Dense(3)]),
        pd.DataFrame(X.reshape(N, -1)[:, :4], columns=["a", "b", "ü", "d"]),
        pd.Series(named("x", "y", "z"), dtype="category"),
    ),
    "indicator": (classifier(), X, np.eye(3, dtype=int)[CODES]),
    "columns": (classifier(), X, np.stack([CODES, CODES[::-1] * 2 + 1], axis=1)),
    "columns of text": (
        classifier(),
        X,
        np.stack([named("a", "b", "c"), named("u", "v", "v")], axis=1).astype(object),
    ),
    "boxes": (classifier(), X, named("a", "b", "c"), {"boxes": BOXES}),
    "boxes in y": (
        classifier(box_weight=0.5, missing_box=-1.0, box_units="pixels"),
        X,
        np.column_stack([CODES, BOXES, BOXES]),
    ),
    "label maps": (
        classifier(same_size(), ignore_label=9, class_weight={0: 1, 1: 2.5}),
        X,
        np.where(X > 1, 9, (X > 0).astype(int)),
    ),
    "text maps": (classifier(same_size()), X, np.where(X > 0, "up", "down")[..., None]),
    "values": (regressor(), X, 100.0 + CODES),
    "several values": (regressor(loss="huber"), X, RNG.normal(size=(N, 4))),
    "plain values": (regressor(normalize_y=False, loss=Quantile(0.7)), X, CODES * 1.0),
    "counts": (regressor(loss="poisson"), X, CODES),
    "points": (
        regressor(target="points", flip_pairs=[(0, 1)], augmentation=RandomFlip()),
        X,
        BOXES.reshape(N, 2, 2),
    ),
    "value maps": (regressor(same_size(), target="maps"), X, X[..., None] * [1, 2]),
    "series": (classifier([Conv1D(3, 2), GlobalAvgPool()]), ragged(2), CODES),
    "unequal images": (
        regressor([Conv2D(3, 3, padding="same")], target="maps"),
        [x[:, :5] for x in ragged(5)],
        [x[:, :5] for x in ragged(5)],
    ),
    "unequal crops": (classifier(multi_crop=MultiCrop(4, n_crops=5)), ragged(6), CODES),
    "crops": (classifier(multi_crop=MultiCrop((4, 5), voting="hard")), X, CODES),
    "augmented": (
        classifier(
            augmentation=Compose([RandomAffine(rotation=(-9, 9)), ("noise", GaussianNoise(0.1))]),
            optimizer=AdamW(CosineDecay(1e-2, period=3)),
        ),
        X,
        CODES,
    ),
    "channels first": (
        classifier(same_size(), data_format="channels_first", input_shape=(1, 6, 6)),
        X.reshape(N, -1),
        CODES,
    ),
    "no layers": (classifier(layers=None, input_kind="image"), X, CODES),
    "no output layer": (classifier([Conv2D(3, 3, activation=None)], output=None), X, CODES),
    "blocks": (classifier(blocks()), X, CODES),
    "wide": (classifier([Standardize(), *small()]), X.astype(np.float64) + 1e6, CODES),
    "schedule": (
        classifier(
            optimizer=SGD(LinearWarmup(ReduceOnPlateau(0.01, patience=1), 3), momentum=0.9),
            loss=CrossEntropy(label_smoothing=0.1),
        ),
        X,
        CODES,
    ),
    "rmsprop": (regressor(optimizer=RMSprop(centered=True, momentum=0.5)), X, CODES),
    "adagrad": (regressor(optimizer=Adagrad(clip_norm=1.0), loss=Huber(2.0)), X, CODES),
    "early stopping": (classifier(early_stopping=True, n_iter_no_change=np.inf), X, CODES),
    "weights of classes": (
        classifier(class_weight={np.int64(0): 2, 1: np.float32(0.1), 2: 1.0}),
        X,
        CODES,
    ),
    "weights of columns": (
        classifier(class_weight=[{"a": 1, "b": 2, "c": 3}, {"u": 1.5, "v": 1}]),
        X,
        np.stack([named("a", "b", "c"), named("u", "v", "v")], axis=1),
    ),
    "averaged": (classifier(average_weights=0.9, optimizer=SGD(0.05, momentum=0.9)), X, CODES),
    "heads": (
        classifier([Conv2D(2, 3), AuxiliaryHead([("hidden", Dense(3))], 0.5), MaxPool2D(2)]),
        X,
        CODES,
    ),
    "mixed, and views": (
        classifier(
            augmentation=Compose([RandomFlip(), MixUp(0.5)]),
            test_time_augmentation=TestTimeAugmentation([RandomFlip(1.0)], voting="hard"),
        ),
        X,
        CODES,
    ),
    "points in time": (
        regressor([Conv1D(3, 2), Dense(4)], target="points", augmentation=RandomAffine1D((-1, 1))),
        X,
        BOXES.reshape(N, 4, 1),
    ),
    "gates and norms": (
        classifier(
            [
                TransformConv2D(2, 3, padding=1, activation=None),
                BatchNorm(n_transforms=4),
                TransformConv2D(2, 3, group_input=True, padding=1),
                SqueezeExcite(2),
                Gate([Conv2D(1, 1, activation="hard_logistic")]),
                PositionEmbedding(),
                TransformerBlock(2, stochastic_depth=0.2),
                NonLocal(),
                GroupNorm(2),
                TransformPool(4),
            ]
        ),
        X,
        CODES,
    ),
    "a generator": (classifier(random_state=np.random.RandomState(7)), X, CODES),
    "no seed": (classifier(random_state=None), X, CODES),
    "float64": (classifier(dtype="float64", optimizer=Adam(1e-2)), X, CODES),
}


def fitted(name):
    """A fitted estimator, X and y, and what else it was given."""
    estimator, X, y, beside = (*CASES[name], {})[:4]
    return clone(estimator).fit(X, y, **beside), (X, y), beside
