"""A step of a network with features beside its images, against PyTorch."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402, N812

from sklearn_convnet import ConvNetClassifier  # noqa: E402
from sklearn_convnet.layers import ConcatFeatures, Conv2D, Dense, MaxPool2D  # noqa: E402
from sklearn_convnet.optimizers import SGD  # noqa: E402

RATE = 0.05
LAYERS = [
    ("conv", Conv2D(4, 3, activation="tanh")),
    ("pool", MaxPool2D(2)),
    ("early", ConcatFeatures()),
    ("hidden", Dense(6, activation="tanh")),
    ("late", ConcatFeatures()),
]


def outputs(X, features, w):
    maps = torch.tanh(F.conv2d(X, w["conv/weight"].permute(3, 2, 0, 1), w["conv/bias"]))
    flat = F.max_pool2d(maps, 2).permute(0, 2, 3, 1).flatten(1)
    hidden = torch.cat([flat, features], dim=1) @ w["hidden/weight"] + w["hidden/bias"]
    last = torch.cat([torch.tanh(hidden), features], dim=1)
    return last @ w["output/weight"] + w["output/bias"]


def test_one_step():
    rng = np.random.RandomState(0)
    X, features, y = rng.normal(size=(12, 8, 7, 2)), rng.normal(size=(12, 3)), np.arange(12) % 3
    clf = ConvNetClassifier(
        LAYERS, optimizer=SGD(RATE), batch_size=12, shuffle=False, random_state=0
    )
    # The weights before the step are those of a network that has the same seed.
    begun = ConvNetClassifier(**{**clf.get_params(deep=False), "optimizer": SGD(1e-300)})
    before = begun.partial_fit(X, y, classes=[0, 1, 2], features=features).get_weights()
    clf.partial_fit(X, y, classes=[0, 1, 2], features=features)
    w = {path: torch.tensor(array, requires_grad=True) for path, array in before.items()}
    Z = outputs(torch.tensor(X).permute(0, 3, 1, 2), torch.tensor(features), w)
    loss = F.cross_entropy(Z, torch.tensor(y))
    loss.backward()
    assert clf.loss_ == pytest.approx(loss.item(), rel=1e-12)
    for path, value in clf.get_weights().items():
        expected = (w[path] - RATE * w[path].grad).detach().numpy()
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)
    proba = torch.softmax(Z, dim=1).detach().numpy()
    np.testing.assert_allclose(begun.predict_proba(X, features), proba, rtol=1e-12)
