"""Saliency maps against PyTorch's autograd, with its hooks for other ways back."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from sklearn_convnet.inspection import saliency  # noqa: E402
from sklearn_convnet.layers import Activation, BatchNorm, Conv2D, Dense, MaxPool2D  # noqa: E402
from sklearn_convnet.network import compile_network  # noqa: E402

SHAPE = (13, 10, 3)


class Rectified(torch.autograd.Function):
    """ReLU with the backward of a method."""

    @staticmethod
    def forward(ctx, Z, method):
        ctx.save_for_backward(Z)
        ctx.method = method
        return Z.clamp(min=0)

    @staticmethod
    def backward(ctx, dY):
        (Z,) = ctx.saved_tensors
        if ctx.method != "deconvnet":
            dY = dY * (Z > 0)
        return (dY if ctx.method == "gradient" else dY.clamp(min=0)), None


class Twin(nn.Module):
    """Two convolutions with a pool and a norm, and two dense layers."""

    def __init__(self, network, method):
        super().__init__()
        self.method = method
        arrays = {**network.parameters(), **network.buffers()}
        self.arrays = {path: torch.tensor(array) for path, array in arrays.items()}

    def conv(self, X, name, **options):
        weight = self.arrays[f"{name}/weight"].permute(3, 2, 0, 1)
        return F.conv2d(X, weight, self.arrays[f"{name}/bias"], **options)

    def forward(self, X):
        X = Rectified.apply(self.conv(X, "one", padding=1), self.method)
        X = F.max_pool2d(X, 2)
        norm = [self.arrays[f"norm/{name}"] for name in ("mean", "variance", "scale", "offset")]
        X = F.batch_norm(self.conv(X, "two"), *norm, training=False, eps=1e-5)
        self.maps = Rectified.apply(X, self.method)
        self.maps.retain_grad()
        flat = self.maps.movedim(1, -1).flatten(1)
        H = Rectified.apply(
            flat @ self.arrays["three/weight"] + self.arrays["three/bias"], self.method
        )
        return H @ self.arrays["four/weight"] + self.arrays["four/bias"]


@pytest.fixture
def network():
    layers = [
        ("one", Conv2D(6, 3, padding="same")),
        ("pool", MaxPool2D(2)),
        *(("two", Conv2D(8, 2, activation=None)), ("norm", BatchNorm())),
        ("relu", Activation("relu")),
        *(("three", Dense(12)), ("four", Dense(4, activation=None))),
    ]
    network = compile_network(layers, SHAPE, dtype="float64", random_state=0)
    rng = np.random.RandomState(1)
    for path, array in [*network.parameters().items(), *network.buffers().items()]:
        if not path.endswith("weight"):
            array[...] = rng.uniform(0.1, 0.6, array.shape)
    return network


def scored(network, X, method):
    """PyTorch's network after a backward of each sample's second output, and its input."""
    twin = Twin(network, method)
    X = torch.tensor(X.transpose(0, 3, 1, 2), requires_grad=True)
    twin(X)[:, 1].sum().backward()
    return twin, X


@pytest.mark.parametrize("method", ["gradient", "guided", "deconvnet"])
def test_gradients_and_other_ways_back(network, method):
    X = np.random.RandomState(0).normal(size=(5, *SHAPE))
    _, given = scored(network, X, method)
    expected = given.grad.numpy().transpose(0, 2, 3, 1)
    assert np.abs(expected).max() > 0
    found = saliency(network, X, method, target=1)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_grad_cam(network):
    X = np.random.RandomState(0).normal(size=(5, *SHAPE))
    twin, _ = scored(network, X, "gradient")
    importance = twin.maps.grad.mean(dim=(2, 3), keepdim=True)
    cam = (twin.maps.detach() * importance).sum(dim=1, keepdim=True).clamp(min=0)
    expected = F.interpolate(cam, SHAPE[:2], mode="bilinear", align_corners=False)[:, 0].numpy()
    assert np.abs(expected).max() > 0
    found = saliency(network, X, "grad_cam", target=1)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
