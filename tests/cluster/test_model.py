"""The formula of a step on many machines, beside a simulation of its messages."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def model(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("cluster")


@pytest.mark.parametrize("gigabits", [1, 10])
@pytest.mark.parametrize("n_workers", [1, 2, 16, 64])
@pytest.mark.parametrize("megabytes", [1.1, 8.7])
def test_the_formula_is_near_the_simulation(model, gigabits, n_workers, megabytes):
    numbers = dict(
        n_bytes=megabytes * 1e6,
        bandwidth=gigabits * 1e9 / 8,
        latency=1e-4,
        compute=1.0 / n_workers,
        update=0.005,
        overhead=1e-3,
    )
    steps = [model.simulated_step(n_workers, **numbers, seed=seed) for seed in range(10)]
    formula = model.modelled_step(n_workers, **numbers)
    np.testing.assert_allclose(formula, np.mean(steps), rtol=0.15)


def test_messages_wait_for_each_other(model):
    """Without anything else, weights and gradients of three workers pass one card."""
    nothing = dict(latency=0.0, compute=0.0, update=0.0, overhead=0.0)
    assert model.simulated_step(4, n_bytes=10.0, bandwidth=5.0, **nothing) == 12.0
    assert model.modelled_step(4, n_bytes=10.0, bandwidth=5.0, **nothing) == 12.0
    slow = model.simulated_step(1, 10.0, 5.0, 0.0, compute=2.0, update=1.0, overhead=0.0)
    assert 2.8 <= slow <= 3.2
