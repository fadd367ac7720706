"""Losses and their gradients, against PyTorch."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402, N812

from sklearn_convnet.kernels import loader  # noqa: E402
from sklearn_convnet.losses import (  # noqa: E402
    AbsoluteError,
    CrossEntropy,
    Focal,
    Huber,
    Poisson,
    Quantile,
    SquaredError,
)
from sklearn_convnet.objectives import (  # noqa: E402
    ClassAndBox,
    SumOverColumns,
    WeightedPixels,
)

N, K = 9, 5
CLASS_WEIGHT = np.array([0.5, 2.0, 1.0, 0.0, 3.0])


def labels(rng):
    return rng.randint(K, size=N)


def indicator(rng):
    return rng.randint(2, size=(N, K)).astype(float)


def label_maps(rng):
    return rng.randint(K, size=(N, 3, 4))


def values(rng):
    return rng.normal(size=(N, K))


def value_maps(rng):
    return rng.normal(size=(N, 3, 4, K))


def counts(rng):
    return rng.poisson(3.0, size=(N, K)).astype(float)


def columns(rng):
    return np.column_stack([rng.randint(3, size=N), rng.randint(2, size=N)])


def boxes(rng):
    target = np.column_stack([rng.randint(K - 4, size=N), rng.normal(size=(N, 4))])
    target[::3, 1:] = np.nan
    return target


def cross_entropy(Z, y, smoothing=0.0, weight=None):
    """Of samples, or the mean over the pixels of each."""
    value = F.cross_entropy(
        Z.movedim(-1, 1), y.long(), weight=weight, reduction="none", label_smoothing=smoothing
    )
    return value.reshape(len(Z), -1).mean(dim=1)


def binary(Z, y):
    return F.binary_cross_entropy_with_logits(Z, y, reduction="none").sum(dim=1)


def focal(Z, y, gamma):
    log_p = F.log_softmax(Z, dim=1).gather(1, y[:, None])[:, 0]
    return (1 - log_p.exp()) ** gamma * -log_p


def binary_focal(Z, y, gamma):
    p = torch.where(y > 0.5, torch.sigmoid(Z), torch.sigmoid(-Z))
    return ((1 - p) ** gamma * -p.log()).sum(dim=1)


def pinball(Z, y, quantile):
    return torch.maximum(quantile * (y - Z), (quantile - 1) * (y - Z))


def over_outputs(value):
    return value.flatten(1).mean(dim=1)


def of_columns(Z, y):
    return cross_entropy(Z[:, :3], y[:, 0]) + cross_entropy(Z[:, 3:], y[:, 1])


def class_and_box(Z, target):
    there = ~target[:, 1].isnan()
    squares = 0.5 * ((Z[:, 1:] - target[:, 1:].nan_to_num()) ** 2).sum(dim=1)
    return cross_entropy(Z[:, :1], target[:, 0]) + 4.0 * squares * there


CASES = {
    # ours, target, PyTorch's of each sample
    "classes": (CrossEntropy(), labels, cross_entropy),
    "classes smoothed": (CrossEntropy(0.3), labels, lambda Z, y: cross_entropy(Z, y, 0.3)),
    "several labels": (CrossEntropy(), indicator, binary),
    "several labels smoothed": (
        CrossEntropy(0.3),
        indicator,
        lambda Z, y: binary(Z, 0.7 * y + 0.15),
    ),
    "maps of labels": (CrossEntropy(), label_maps, cross_entropy),
    "maps smoothed": (CrossEntropy(0.3), label_maps, lambda Z, y: cross_entropy(Z, y, 0.3)),
    "weighted pixels": (
        WeightedPixels(CrossEntropy(), CLASS_WEIGHT),
        label_maps,
        lambda Z, y: cross_entropy(Z, y, weight=torch.tensor(CLASS_WEIGHT)),
    ),
    "focal": (Focal(), labels, lambda Z, y: focal(Z, y, 2.0)),
    "focal several labels": (Focal(0.7), indicator, lambda Z, y: binary_focal(Z, y, 0.7)),
    "squared error": (
        SquaredError(),
        values,
        lambda Z, y: over_outputs(F.mse_loss(Z, y, reduction="none")) / 2,
    ),
    "squared error of maps": (
        SquaredError(),
        value_maps,
        lambda Z, y: over_outputs(F.mse_loss(Z, y, reduction="none")) / 2,
    ),
    "absolute error": (
        AbsoluteError(),
        values,
        lambda Z, y: over_outputs(F.l1_loss(Z, y, reduction="none")),
    ),
    "Huber": (
        Huber(delta=0.7),
        values,
        lambda Z, y: over_outputs(F.huber_loss(Z, y, reduction="none", delta=0.7)),
    ),
    "quantile": (Quantile(0.9), values, lambda Z, y: over_outputs(pinball(Z, y, 0.9))),
    "Poisson": (
        Poisson(),
        counts,
        lambda Z, y: over_outputs(F.poisson_nll_loss(Z, y, log_input=True, reduction="none")),
    ),
    "columns": (SumOverColumns(CrossEntropy(), [3, 2]), columns, of_columns),
    "class and box": (ClassAndBox(CrossEntropy(), 1, 4.0), boxes, class_and_box),
}


@pytest.mark.parametrize("spread", [0.1, 3.0])
@pytest.mark.parametrize("name", CASES)
def test_loss(name, spread):
    loss, make_target, torch_loss = CASES[name]
    rng = np.random.RandomState(0)
    target, weight = make_target(rng), rng.uniform(0.2, 2.0, N)
    Z = spread * rng.normal(
        size=(N, 3, 4, K) if make_target in (label_maps, value_maps) else (N, K)
    )
    dZ = np.full_like(Z, np.nan)
    kernels = loader.kernels("float64")
    value = loss.value_and_gradient(Z, target, weight, dZ, kernels, 1)

    Z_torch = torch.tensor(Z, requires_grad=True)
    total = (torch_loss(Z_torch, torch.tensor(target)) * torch.tensor(weight)).sum()
    total.backward()
    assert value == pytest.approx(total.item(), rel=1e-11)
    np.testing.assert_allclose(dZ, Z_torch.grad.numpy(), rtol=1e-9, atol=1e-13)
