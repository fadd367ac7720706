"""A step of a network with two auxiliary heads, against PyTorch."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402, N812

from sklearn_convnet import ConvNetClassifier  # noqa: E402
from sklearn_convnet.layers import (  # noqa: E402
    AuxiliaryHead,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    GlobalAvgPool,
    MaxPool2D,
)
from sklearn_convnet.optimizers import SGD  # noqa: E402

RATE, WEIGHTS = 0.05, (0.3, 0.7)


def layers():
    first = [("pool", AvgPool2D(3, stride=2)), ("conv", Conv2D(4, 1)), ("dense", Dense(6))]
    return [
        ("conv1", Conv2D(5, 3, padding=1)),
        ("aux1", AuxiliaryHead(first, weight=WEIGHTS[0])),
        ("norm", BatchNorm(epsilon=1e-5)),
        ("pool", MaxPool2D(2)),
        ("conv2", Conv2D(7, 3, activation="tanh")),
        ("aux2", AuxiliaryHead([("average", GlobalAvgPool())], weight=WEIGHTS[1])),
        ("average", GlobalAvgPool()),
    ]


def convolve(X, w, path, **options):
    return F.conv2d(X, w[f"{path}/weight"].permute(3, 2, 0, 1), w[f"{path}/bias"], **options)


def dense(X, w, path):
    return X @ w[f"{path}/weight"] + w[f"{path}/bias"]


def outputs(X, w):
    """Those of the network and of its heads."""
    maps = F.relu(convolve(X, w, "conv1", padding=1))
    flat = F.relu(convolve(F.avg_pool2d(maps, 3, 2), w, "aux1/conv")).permute(0, 2, 3, 1)
    first = dense(F.relu(dense(flat.flatten(1), w, "aux1/dense")), w, "aux1/output")
    mean = maps.mean(dim=(0, 2, 3), keepdim=True)
    variance = maps.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    normed = (maps - mean) / torch.sqrt(variance + 1e-5)
    normed = normed * w["norm/scale"][:, None, None] + w["norm/offset"][:, None, None]
    average = torch.tanh(convolve(F.max_pool2d(normed, 2), w, "conv2")).mean(dim=(2, 3))
    return dense(average, w, "output"), first, dense(average, w, "aux2/output")


def test_one_step():
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(12, 9, 8, 2)), np.arange(12) % 3
    clf = ConvNetClassifier(
        layers(), optimizer=SGD(RATE), batch_size=12, shuffle=False, random_state=0
    )
    # The weights before the step are those of a network that has the same seed.
    begun = ConvNetClassifier(**{**clf.get_params(deep=False), "optimizer": SGD(1e-300)})
    before = begun.partial_fit(X, y, classes=[0, 1, 2]).get_weights()
    clf.partial_fit(X, y, classes=[0, 1, 2])
    own = clf.network_.parameters()
    w = {path: torch.tensor(before[path], requires_grad=True) for path in own}
    found = outputs(torch.tensor(X).permute(0, 3, 1, 2), w)
    losses = [F.cross_entropy(Z, torch.tensor(y)) for Z in found]
    loss = sum(c * one for c, one in zip((1.0, *WEIGHTS), losses, strict=True))
    loss.backward()
    assert clf.loss_ == pytest.approx(loss.item(), rel=1e-9)
    for path, value in own.items():
        expected = (w[path] - RATE * w[path].grad).detach().numpy()
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12, err_msg=path)
