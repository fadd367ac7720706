"""Steps of gradient descent and Adam."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import math

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
# Name of the kernel, its options, and the number of vectors that it keeps.
STEPS = {
    "sgd": ("sgd_step", (0.1, 0.0, False), 1),
    "momentum": ("sgd_step", (0.1, 0.9, False), 1),
    "nesterov": ("sgd_step", (0.1, 0.9, True), 1),
    "adam": ("adam_step", (0.01, 0.9, 0.999, 1e-8, 1, False), 2),
    "adam, later": ("adam_step", (0.01, 0.8, 0.95, 1e-3, 1000, False), 2),
    "adamw": ("adam_step", (0.01, 0.9, 0.999, 1e-8, 3, True), 2),
}
every_step = pytest.mark.parametrize("step", STEPS)


@st.composite
def segment_tables(draw):
    """Ranges in ascending order, with gaps; some are empty, and there may be none."""
    cuts = sorted(draw(st.lists(st.integers(0, 150), max_size=10)))
    cuts = cuts[: len(cuts) // 2 * 2]
    return np.array(cuts, dtype=np.int64).reshape(-1, 2)


def arrays(step, size, segments, dtype, seed=0):
    """params, grads, what the optimiser keeps, segments and decay."""
    rng = np.random.default_rng(seed)
    params, grads, *state = (
        cases.random_input(rng, size, dtype) for _ in range(2 + STEPS[step][2])
    )
    if len(state) == 2:
        state[1] = np.abs(state[1])  # a mean of squares
    decay = cases.random_input(rng, len(segments), dtype, 0.0, 0.2)
    return params, grads, state, segments, decay


def run(kernels, step, params, grads, state, segments, decay, n_threads=1):
    """The new params and state."""
    name, options, _ = STEPS[step]
    params, state = params.copy(), [s.copy() for s in state]
    getattr(kernels, name)(
        params, grads, *state, segments, decay, *options, n_threads
    )  # fmt: skip
    return [params, *state]


# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


def assert_like_reference(kernels, step, arguments, n_threads):
    for actual, expected in zip(
        run(kernels, step, *arguments, n_threads),
        run(reference, step, *arguments),
        strict=True,
    ):
        cases.assert_close(actual, expected, floor=0.1)


@cases.every_compiled
@cases.quick
@given(
    step=st.sampled_from(sorted(STEPS)),
    segments=segment_tables(),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
)
def test_like_reference(kernels, dtype, step, segments, seed, n_threads):
    arguments = arrays(step, 150, segments, dtype, seed)
    assert_like_reference(kernels, step, arguments, n_threads)


LARGE = np.array([[0, 7], [16, 40_003], [40_010, 60_000]])


@cases.every_compiled
@every_step
def test_larger_like_reference(kernels, dtype, step):
    assert_like_reference(kernels, step, arrays(step, 60_001, LARGE, dtype), 2)


@cases.every_compiled
@every_step
def test_threads_do_not_matter(kernels, dtype, step):
    arguments = arrays(step, 60_001, LARGE, dtype)
    cases.assert_threads_do_not_matter(lambda n_threads: run(kernels, step, *arguments, n_threads))


@cases.every_compiled
@every_step
def test_position_does_not_matter(kernels, dtype, step):
    # A parameter does not notice where in the vector it lies.
    whole = np.array([[0, 200]])
    params, grads, state, _, decay = arrays(step, 200, whole, dtype)
    expected = run(kernels, step, params, grads, state, whole, decay)
    for start, stop in ((0, 1), (3, 70), (199, 200)):
        actual = run(
            kernels,
            step,
            params[start:stop].copy(),
            grads[start:stop].copy(),
            [s[start:stop].copy() for s in state],
            np.array([[0, stop - start]]),
            decay,
        )
        for one, other in zip(actual, expected, strict=True):
            cases.assert_same_bits(one, other[start:stop])


# ---------------------------------------------------------------------------
# All kernels
# ---------------------------------------------------------------------------


@cases.every_variant
@every_step
def test_what_lies_outside_the_segments_stays(kernels, dtype, step):
    segments = np.array([[3, 20], [25, 25], [30, 99]])
    params, grads, state, _, decay = arrays(step, 100, segments, dtype)
    outside = np.ones(100, dtype=bool)
    for start, stop in segments:
        outside[start:stop] = False
    # Frozen parameters may have any gradient.
    grads = grads.copy()
    grads[outside] = np.nan

    after = run(kernels, step, params, grads, state, segments, decay)

    for old, new in zip([params, *state], after, strict=True):
        cases.assert_same_bits(new[outside], old[outside])
        assert np.all(np.isfinite(new))
    assert np.all(after[0][~outside] != params[~outside])


@cases.every_variant
@every_step
def test_no_segments(kernels, dtype, step):
    none = np.empty((0, 2), dtype=np.int64)
    arguments = arrays(step, 10, none, dtype)
    params, _, state, *_ = arguments
    for old, new in zip([params, *state], run(kernels, step, *arguments), strict=True):
        cases.assert_same_bits(new, old)


@cases.every_variant
def test_first_step_of_adam_is_the_learning_rate(kernels, dtype):
    # Whatever the size of the gradient: that is what the bias corrections are for.
    params, zeros = np.zeros(4, dtype), np.zeros(4, dtype)
    grads = np.array([1e-3, -1, 30, -1e4], dtype)
    segments, decay = np.array([[0, 4]]), np.zeros(1, dtype)
    kernels.adam_step(
        params, grads, zeros, zeros.copy(), segments, decay,
        0.01, 0.9, 0.999, 1e-12, 1, False, 1,
    )  # fmt: skip
    np.testing.assert_allclose(params, [-0.01, 0.01, -0.01, 0.01], rtol=1e-5)


# ---------------------------------------------------------------------------
# The twin, against the published algorithms, several steps in a row
# ---------------------------------------------------------------------------


def sgd(p, grads, decay, rate, momentum, nesterov):
    """The scalar algorithm of Sutskever et al. (2013), as PyTorch has it."""
    v = 0.0
    for grad in grads:
        g = grad + decay * p
        v = momentum * v + g
        p -= rate * (g + momentum * v if nesterov else v)
    return p


def adam(p, grads, decay, rate, beta1, beta2, epsilon, decoupled):
    """Kingma and Ba (2015), algorithm 1; Loshchilov and Hutter (2019), algorithm 2."""
    m = v = 0.0
    for t, grad in enumerate(grads, start=1):
        g = grad if decoupled else grad + decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        shrunk = rate * decay * p if decoupled else 0.0
        p -= rate * m_hat / (math.sqrt(v_hat) + epsilon) + shrunk
    return p


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_the_algorithm(momentum, nesterov):
    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=6), rng.normal(size=(5, 6))
    params, velocity = start.copy(), np.zeros(6)
    segments, decay = np.array([[0, 2], [2, 6]]), np.array([0.0, 0.3])
    for g in grads:
        reference.sgd_step(params, g, velocity, segments, decay, 0.1, momentum, nesterov, 1)

    expected = [
        sgd(start[i], grads[:, i], 0.0 if i < 2 else 0.3, 0.1, momentum, nesterov) for i in range(6)
    ]
    np.testing.assert_allclose(params, expected, rtol=1e-13)


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_is_the_algorithm(decoupled):
    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=6), rng.normal(size=(5, 6))
    params, m, v = start.copy(), np.zeros(6), np.zeros(6)
    segments, decay = np.array([[0, 2], [2, 6]]), np.array([0.0, 0.3])
    for step, g in enumerate(grads, start=1):
        reference.adam_step(
            params, g, m, v, segments, decay, 0.1, 0.9, 0.99, 1e-8, step, decoupled, 1
        )

    expected = [
        adam(start[i], grads[:, i], 0.0 if i < 2 else 0.3, 0.1, 0.9, 0.99, 1e-8,
             decoupled)
        for i in range(6)
    ]  # fmt: skip
    np.testing.assert_allclose(params, expected, rtol=1e-13)
