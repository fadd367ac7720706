"""The loss of mixtures and its gradient, against PyTorch's mixed loss."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402, N812

from sklearn_convnet.augmentation import CutMix, MixUp  # noqa: E402
from sklearn_convnet.augmentation.mixing import mixed_samples  # noqa: E402
from sklearn_convnet.batches import Samples  # noqa: E402
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense  # noqa: E402
from sklearn_convnet.losses import CrossEntropy, SquaredError  # noqa: E402
from sklearn_convnet.network import compile_network  # noqa: E402
from sklearn_convnet.optimizers import SGD  # noqa: E402
from sklearn_convnet.training import Trainer  # noqa: E402

torch.set_num_threads(1)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["classes", "labels", "values"])
@pytest.mark.parametrize("mixing", [MixUp(0.5), CutMix()], ids=["mixup", "cutmix"])
def test_gradient_of_a_step(mixing, kind, weighted):
    rng = np.random.RandomState(0)
    n, n_outputs = 12, 4
    X = rng.normal(size=(n, 6, 6, 2))
    target = {
        "classes": rng.randint(n_outputs, size=n),
        "labels": rng.randint(2, size=(n, n_outputs)).astype(float),
        "values": rng.normal(size=(n, n_outputs)),
    }[kind]
    layers = [("conv", Conv2D(3, 3, activation="tanh")), ("out", Dense(4, activation="identity"))]
    network = compile_network(layers, X.shape[1:], dtype="float64", random_state=0)
    weight = rng.uniform(0.5, 2, n) if weighted else np.ones(n)
    loss = SquaredError() if kind == "values" else CrossEntropy()
    trainer = Trainer(network, loss, SGD(0.1), n, False, rng, 1)
    before = {path: array.copy() for path, array in network.parameters().items()}

    mixture = mixing.mix(X, random_state=0)
    part = mixed_samples(Samples(X, target, weight), mixture, pastes=False)
    total, _ = trainer._run_part(part)
    found = {path: array.copy() for path, array in network.gradients().items()}

    tensors = {path: torch.tensor(array, requires_grad=True) for path, array in before.items()}
    maps = torch.tensor(mixture.X).movedim(-1, 1)
    maps = F.conv2d(maps, tensors["conv/weight"].permute(3, 2, 0, 1), tensors["conv/bias"])
    rows = torch.tanh(maps).movedim(1, -1).reshape(n, -1)
    Z = rows @ tensors["out/weight"] + tensors["out/bias"]
    labels = torch.tensor(target)

    def losses(wanted):
        if kind == "classes":
            return F.cross_entropy(Z, wanted, reduction="none")
        if kind == "labels":
            return F.binary_cross_entropy_with_logits(Z, wanted, reduction="none").sum(axis=1)
        return 0.5 * F.mse_loss(Z, wanted, reduction="none").mean(axis=1)

    share, w = torch.tensor(mixture.share), torch.tensor(weight)
    mixed = share * w * losses(labels)
    mixed = mixed + (1 - share) * w[mixture.partner] * losses(labels[mixture.partner])
    expected = mixed.sum() / n
    expected.backward()

    np.testing.assert_allclose(total, expected.item(), rtol=1e-9)
    for path, tensor in tensors.items():
        np.testing.assert_allclose(found[path], tensor.grad.numpy(), rtol=1e-9, atol=1e-12)


def test_cross_entropy_of_two_classes_is_that_of_their_mixture():
    """What mixes labels, as PyTorch's recipes do, is the same for cross-entropy."""
    rng = np.random.RandomState(0)
    X, y = rng.normal(size=(8, 5, 5, 1)), rng.randint(3, size=8)
    layers = [("norm", BatchNorm()), ("out", Dense(3, activation="identity"))]
    network = compile_network(layers, X.shape[1:], dtype="float64", random_state=0)
    trainer = Trainer(network, CrossEntropy(), SGD(0.1), 8, False, rng, 1)
    mixture = MixUp(1.0).mix(X, random_state=0)
    part = mixed_samples(Samples(X, y, np.ones(8)), mixture, pastes=False)
    total, Z = trainer._run_part(part)
    share = mixture.share[:, np.newaxis]
    soft = share * np.eye(3)[y] + (1 - share) * np.eye(3)[y[mixture.partner]]
    expected = F.cross_entropy(torch.tensor(Z), torch.tensor(soft)).item()
    np.testing.assert_allclose(total, expected, rtol=1e-12)
