"""Optimisers and schedules, step by step, against PyTorch."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402, N812
from torch.optim import lr_scheduler  # noqa: E402

from sklearn_convnet.batches import Samples  # noqa: E402
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense  # noqa: E402
from sklearn_convnet.losses import CrossEntropy  # noqa: E402
from sklearn_convnet.network import compile_network  # noqa: E402
from sklearn_convnet.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop  # noqa: E402
from sklearn_convnet.schedules import (  # noqa: E402
    Constant,
    CosineDecay,
    ExponentialDecay,
    LinearWarmup,
    OneCycle,
    ReduceOnPlateau,
    StepDecay,
)
from sklearn_convnet.training import Trainer  # noqa: E402

torch.set_num_threads(1)

N_STEPS, STEPS_PER_EPOCH = 20, 2
# Of each epoch: improvements, a plateau, less than `tol`, and worse ones.
SCORES = [0.1, 0.5, 0.5, 0.5, 0.51, 0.4, 0.8, 0.7, 0.7, 0.7]
EPSILON, BETAS = {"epsilon": 1e-4}, {"beta_1": 0.7, "beta_2": 0.95}

# Our class and its parameters, PyTorch's and its own.
OPTIMIZERS = {
    "sgd": (SGD, {}, torch.optim.SGD, {}),
    "momentum": (SGD, {"momentum": 0.9}, torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (
        SGD, {"momentum": 0.8, "nesterov": True},
        torch.optim.SGD, {"momentum": 0.8, "nesterov": True},
    ),
    "adagrad": (Adagrad, {}, torch.optim.Adagrad, {}),
    "adagrad, options": (Adagrad, {"epsilon": 0.1}, torch.optim.Adagrad, {"eps": 0.1}),
    "rmsprop": (RMSprop, {}, torch.optim.RMSprop, {}),
    "rmsprop, options": (
        RMSprop, {"alpha": 0.8, "momentum": 0.5, **EPSILON},
        torch.optim.RMSprop, {"alpha": 0.8, "momentum": 0.5, "eps": 1e-4},
    ),
    "rmsprop, centered": (
        RMSprop, {"momentum": 0.5, "centered": True},
        torch.optim.RMSprop, {"momentum": 0.5, "centered": True},
    ),
    "adam": (Adam, {}, torch.optim.Adam, {}),
    "adam, options": (
        Adam, BETAS | EPSILON, torch.optim.Adam, {"betas": (0.7, 0.95), "eps": 1e-4}
    ),
    "adamw": (AdamW, {}, torch.optim.AdamW, {}),
    "adamw, options": (
        AdamW, BETAS | EPSILON, torch.optim.AdamW, {"betas": (0.7, 0.95), "eps": 1e-4}
    ),
}  # fmt: skip

CLIPPING = {"clip_norm": 0.3}
DECAYING = {"weight_decay": 0.1}
PLATEAU = {"learning_rate": ReduceOnPlateau(0.05, factor=0.3, patience=2, tol=0.05)}
# What is asked of each optimiser, besides its options.
EXTRAS = {
    "alone": {},
    "clipping": CLIPPING,
    "decaying": DECAYING,
    "decaying all": {**DECAYING, "decay_all": True},
    "scheduling steps": {"learning_rate": OneCycle(0.05, N_STEPS)},
    "scheduling epochs": PLATEAU,
    "all": {**CLIPPING, **DECAYING, **PLATEAU},
}


def torch_schedule(schedule, optimizer):
    """PyTorch's schedule for ours, and whether it is moved by steps."""
    if isinstance(schedule, OneCycle):
        return lr_scheduler.OneCycleLR(
            optimizer,
            schedule.peak,
            total_steps=schedule.length,
            pct_start=schedule.rise,
            div_factor=schedule.div_factor,
            final_div_factor=schedule.final_div_factor,
            cycle_momentum=False,
        )
    return lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode="max",
        factor=schedule.factor,
        patience=schedule.patience - 1,  # PyTorch waits for one epoch more
        threshold=schedule.tol,
        threshold_mode="abs",
        min_lr=schedule.min_rate,
        eps=0,
    )


class TorchTrainer:
    """The same network, trained by PyTorch."""

    def __init__(self, network, optimizer, make, options):
        self.arrays = {
            path: torch.tensor(array, requires_grad=True)
            for path, array in network.parameters().items()
        }
        self.clip_norm = optimizer.clip_norm
        decay = optimizer.weight_decay
        others = decay if optimizer.decay_all else 0.0
        groups = [
            {"params": [array], "weight_decay": decay if path.endswith("weight") else others}
            for path, array in self.arrays.items()
        ]
        schedule = optimizer.learning_rate
        is_number = isinstance(schedule, float)
        rate = schedule if is_number else getattr(schedule, "initial", 1.0)
        self.optimizer = make(groups, lr=rate, **options)
        self.schedule = None if is_number else torch_schedule(schedule, self.optimizer)

    def output(self, X):
        a = self.arrays
        weight = a["conv2d1/weight"].permute(3, 2, 0, 1)
        Z = torch.tanh(F.conv2d(X.movedim(-1, 1), weight, a["conv2d1/bias"]))
        scale, offset = a["batchnorm1/scale"], a["batchnorm1/offset"]
        Z = F.batch_norm(Z, None, None, scale, offset, training=True, eps=1e-5)
        return Z.movedim(1, -1).flatten(1) @ a["dense1/weight"] + a["dense1/bias"]

    def run_step(self, X, y):
        """Returns the norm of the gradients before it is clipped."""
        self.optimizer.zero_grad()
        F.cross_entropy(self.output(torch.tensor(X)), torch.tensor(y)).backward()
        limit = np.inf if self.clip_norm is None else self.clip_norm
        norm = torch.nn.utils.clip_grad_norm_(self.arrays.values(), limit)
        self.optimizer.step()
        if isinstance(self.schedule, lr_scheduler.OneCycleLR) and self.schedule.last_epoch < (
            N_STEPS - 1
        ):
            self.schedule.step()
        return norm

    def end_epoch(self, score):
        if isinstance(self.schedule, lr_scheduler.ReduceLROnPlateau):
            self.schedule.step(score)


@pytest.mark.parametrize("extra", EXTRAS)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training(name, extra):
    ours, options, make_torch, torch_options = OPTIMIZERS[name]
    optimizer = ours(**{"learning_rate": 0.05, **options, **EXTRAS[extra]})
    layers = [Conv2D(4, 3, activation="tanh"), BatchNorm(), Dense(3, activation="identity")]
    network = compile_network(layers, (6, 5, 2), dtype="float64", random_state=0)
    rng = np.random.RandomState(0)
    for array in network.parameters().values():
        array += 0.1 * rng.normal(size=array.shape)  # biases that decay can shrink
    trainer = Trainer(
        network,
        CrossEntropy(),
        optimizer,
        batch_size=8,
        shuffle=False,
        random_state=None,
        n_threads=1,
    )
    expected = TorchTrainer(network, optimizer, make_torch, torch_options)
    first, rates, norms = network.params.copy(), [], []
    for step in range(N_STEPS):
        X, y = rng.normal(size=(8, 6, 5, 2)), rng.randint(3, size=8)
        rate = expected.optimizer.param_groups[0]["lr"]
        trainer.run_step([Samples(X, y, np.ones(8))])
        norms.append(float(expected.run_step(X, y)))
        rates.append(trainer.learning_rate)
        assert rates[-1] == pytest.approx(rate, rel=1e-12)
        for path, array in network.parameters().items():
            np.testing.assert_allclose(
                array,
                expected.arrays[path].detach().numpy(),
                rtol=1e-6,
                atol=1e-9,
                err_msg=f"{path} after {step + 1} steps",
            )
        if step % STEPS_PER_EPOCH == STEPS_PER_EPOCH - 1:
            score = SCORES[step // STEPS_PER_EPOCH]
            trainer.end_epoch(score)
            expected.end_epoch(score)
    # The comparison means something: steps were taken, cut short, and changed in length.
    assert np.abs(network.params - first).max() > 1e-2
    assert optimizer.clip_norm is None or max(norms) > 2 * optimizer.clip_norm
    assert isinstance(optimizer.learning_rate, float) or len(set(rates)) >= 3


def simulate_torch(make, n, initial=0.1, observed=None):
    """Rates of PyTorch's schedule; `observed` are the scores that it sees."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=initial)
    schedule = make(optimizer)
    rates = []
    for i in range(n):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if i < n - 1:
            schedule.step(*([] if observed is None else [observed[i]]))
    return rates


SCHEDULES = {
    "constant": (Constant(0.1), lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    "step": (StepDecay(0.1, every=7), lambda o: lr_scheduler.StepLR(o, 7)),
    "step, factor": (
        StepDecay(0.1, every=1, factor=0.7, per="step"),
        lambda o: lr_scheduler.StepLR(o, 1, gamma=0.7),
    ),
    "exponential": (
        ExponentialDecay(0.1, factor=0.8),
        lambda o: lr_scheduler.ExponentialLR(o, gamma=0.8),
    ),
    "cosine": (
        # PyTorch's goes up again: theirs is as long as the period here.
        CosineDecay(0.1, period=39, min_rate=0.01),
        lambda o: lr_scheduler.CosineAnnealingLR(o, 39, eta_min=0.01),
    ),
    "restarts": (
        CosineDecay(0.1, period=6, growth=1, min_rate=0.001),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 6, eta_min=0.001),
    ),
    "longer restarts": (
        CosineDecay(0.1, period=3, growth=2, per="step"),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, T_mult=2),
    ),
    "one cycle": (OneCycle(0.2, length=40), lambda o: lr_scheduler.OneCycleLR(o, 0.2, 40)),
    "one cycle, only down": (
        OneCycle(0.2, length=40, rise=0.0),
        lambda o: lr_scheduler.OneCycleLR(o, 0.2, 40, pct_start=0.0),
    ),
    "one cycle, options": (
        OneCycle(0.2, length=40, rise=0.6, div_factor=4, final_div_factor=8),
        lambda o: lr_scheduler.OneCycleLR(
            o, 0.2, 40, pct_start=0.6, div_factor=4, final_div_factor=8
        ),
    ),
    "warm-up": (
        LinearWarmup(0.1, length=8),
        lambda o: lr_scheduler.LinearLR(o, start_factor=1 / 8, total_iters=7),
    ),
    "warm-up of a schedule": (
        LinearWarmup(ExponentialDecay(0.1, factor=0.9), length=5),
        lambda o: lr_scheduler.ChainedScheduler(
            [
                lr_scheduler.LinearLR(o, start_factor=1 / 5, total_iters=4),
                lr_scheduler.ExponentialLR(o, gamma=0.9),
            ]
        ),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name):
    schedule, make = SCHEDULES[name]
    expected = simulate_torch(make, 40)
    np.testing.assert_allclose(schedule.simulate(40), expected, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("schedule", [
    ReduceOnPlateau(0.1),
    ReduceOnPlateau(0.1, factor=0.5, patience=1, tol=0.2),
    ReduceOnPlateau(0.1, factor=0.3, patience=3, tol=0.0, min_rate=0.005),
])  # fmt: skip
def test_plateau(schedule):
    # A noisy curve that flattens out.
    scores = np.tanh(np.arange(60) / 10) + 0.05 * np.random.RandomState(0).normal(size=60)
    expected = simulate_torch(
        lambda optimizer: torch_schedule(schedule, optimizer), 60, observed=scores
    )
    np.testing.assert_allclose(schedule.simulate(60, scores=scores), expected, rtol=1e-12)
    assert len(set(expected)) >= 3
