"""Steps of the optimisers, and the norm of the gradients."""

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
# Name of the kernel, its options, and what it keeps: one letter a vector, "s" for squares,
# "v" for anything else and "-" for None.
STEPS = {
    "sgd": ("sgd_step", (0.1, 1.0, 0.0, False), "-"),
    "sgd, nesterov": ("sgd_step", (0.1, 0.5, 0.0, True), "-"),
    "sgd with a velocity": ("sgd_step", (0.1, 1.0, 0.0, False), "v"),
    "momentum": ("sgd_step", (0.1, 0.3, 0.9, False), "v"),
    "nesterov": ("sgd_step", (0.1, 1.0, 0.9, True), "v"),
    "adagrad": ("adagrad_step", (0.1, 0.4, 1e-3), "s"),
    "rmsprop": ("rmsprop_step", (0.01, 1.0, 0.9, 1e-3, 0.0), "s--"),
    "rmsprop, momentum": ("rmsprop_step", (0.01, 0.2, 0.8, 1e-3, 0.9), "s-v"),
    "rmsprop, centered": ("rmsprop_step", (0.01, 0.7, 0.9, 1e-1, 0.0), "sv-"),
    "rmsprop, all": ("rmsprop_step", (0.01, 1.0, 0.95, 1e-1, 0.5), "svv"),
    "adam": ("adam_step", (0.01, 1.0, 0.9, 0.999, 1e-8, 1, False), "vs"),
    "adam, later": ("adam_step", (0.01, 0.6, 0.8, 0.95, 1e-3, 1000, False), "vs"),
    "adamw": ("adam_step", (0.01, 1.0, 0.9, 0.999, 1e-8, 3, True), "vs"),
    "adamw, scaled": ("adam_step", (0.01, 0.5, 0.9, 0.999, 1e-8, 1, True), "vs"),
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
    params, grads = (cases.random_input(rng, size, dtype) for _ in range(2))
    # As far above the square of a mean as a mean of squares is.
    state = [
        cases.random_input(rng, size, dtype, *{"v": (-1, 1), "s": (1, 2)}[kind])
        for kind in STEPS[step][2].replace("-", "")
    ]
    decay = cases.random_input(rng, len(segments), dtype, 0.0, 0.2)
    return params, grads, state, segments, decay


def run(kernels, step, params, grads, state, segments, decay, n_threads=1):
    """The new params and state."""
    name, options, kinds = STEPS[step]
    params, state = params.copy(), [s.copy() for s in state]
    kept = iter(state)
    kept = [None if kind == "-" else next(kept) for kind in kinds]
    getattr(kernels, name)(params, grads, *kept, segments, decay, *options, n_threads)
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


# Segments of several pieces, and many small ones.
LARGE = np.array([[0, 7], [16, 30_003], *([s, s + 20] for s in range(30_010, 60_000, 30))])


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


@cases.every_compiled
@cases.quick
@given(segments=segment_tables(), seed=cases.seeds, n_threads=cases.thread_counts)
def test_norm_like_reference(kernels, dtype, segments, seed, n_threads):
    x = cases.random_input(np.random.default_rng(seed), 150, dtype)
    actual = kernels.global_norm(x, segments, n_threads)
    # In double, whatever the dtype.
    assert actual == pytest.approx(reference.global_norm(x, segments, 1), rel=1e-14)


@cases.every_compiled
def test_threads_do_not_matter_to_the_norm(kernels, dtype):
    x = cases.random_input(np.random.default_rng(0), 60_001, dtype)
    cases.assert_threads_do_not_matter(
        lambda n_threads: [np.array(kernels.global_norm(x, LARGE, n_threads))]
    )


# ---------------------------------------------------------------------------
# All kernels
# ---------------------------------------------------------------------------


@cases.every_variant
def test_norm(kernels, dtype):
    # What would overflow in float32, and what lies outside the segments.
    x = np.array([3, np.nan, 4, np.inf], dtype) * dtype.type(1e30)
    norm = kernels.global_norm(x, np.array([[0, 1], [2, 3]]), 1)
    assert norm == pytest.approx(5e30)


@cases.every_variant
def test_a_gradient_that_stays_the_same_has_no_deviation(kernels, dtype):
    # The centred square may be rounded to less than 0, whose root is no number.
    grads = np.linspace(0.1, 7, 500).astype(dtype)
    params, square, mean = (np.zeros(500, dtype) for _ in range(3))
    segments, decay = np.array([[0, 500]]), np.zeros(1, dtype)
    for _ in range(200):
        kernels.rmsprop_step(
            params, grads, square, mean, None, segments, decay,
            0.1, 1.0, 0.5, 1e-3, 0.0, 1,
        )  # fmt: skip
    assert np.all(np.isfinite(params))
    below = (square - mean * mean) < 0
    assert np.any(below) or kernels is reference


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
@pytest.mark.parametrize("step", [name for name, (_, _, kinds) in STEPS.items() if "v" in kinds])
def test_what_is_kept_never_becomes_denormal(kernels, dtype, step):
    # Arithmetic with denormal numbers takes a hundred times as long.
    segments = np.array([[0, 100]])
    params, grads, state, _, decay = arrays(step, 100, segments, dtype)
    tiny = np.finfo(dtype).tiny
    state = [(s * 40 * tiny).astype(dtype) for s in state]
    for _ in range(200):
        params, *state = run(kernels, step, params, 0 * grads, state, segments, 0 * decay)
        for kept in state:
            assert np.all((kept == 0) | (np.abs(kept) >= tiny))
    assert np.all(np.isfinite(params))


@cases.every_variant
@every_step
def test_parameters_never_become_denormal(kernels, dtype, step):
    # Those of units that are dead decay until nothing is left.
    segments, tiny = np.array([[0, 100]]), np.finfo(dtype).tiny
    params, grads, state, _, decay = arrays(step, 100, segments, dtype)
    params, state = (params * 40 * tiny).astype(dtype), [0 * s for s in state]
    assert np.any((params != 0) & (np.abs(params) < tiny))
    for _ in range(200):
        params, *state = run(kernels, step, params, 0 * grads, state, segments, decay)
        assert np.all((params == 0) | (np.abs(params) >= tiny))


@cases.every_variant
@every_step
def test_not_a_number_stays_in_what_is_kept(kernels, dtype, step):
    segments = np.array([[0, 9]])
    params, grads, state, _, decay = arrays(step, 9, segments, dtype)
    grads = grads.copy()
    grads[5] = np.nan
    for after in run(kernels, step, params, grads, state, segments, decay):
        assert np.isnan(after[5])
        assert np.isfinite(np.delete(after, 5)).all()


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
        0.01, 1.0, 0.9, 0.999, 1e-12, 1, False, 1,
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


def adagrad(p, grads, decay, rate, epsilon):
    """Duchi et al. (2011), with the diagonal matrix."""
    squares = []
    for grad in grads:
        g = grad + decay * p
        squares.append(g**2)
        p -= rate * g / (math.sqrt(math.fsum(squares)) + epsilon)
    return p


def rmsprop(p, grads, decay, rate, alpha, epsilon, momentum, centered):
    """Equations 38 to 41 of Graves (2013), as PyTorch has them."""
    n = m = v = 0.0
    for grad in grads:
        g = grad + decay * p
        n = alpha * n + (1 - alpha) * g**2
        m = alpha * m + (1 - alpha) * g
        deviation = math.sqrt(n - m**2 if centered else n)
        v = momentum * v + g / (deviation + epsilon)
        p -= rate * v
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


def assert_is_algorithm(step, algorithm):
    """`step(params, grads, segments, decay, scale, t)` is `algorithm(p, grads, decay)` for
    each number; some are decayed, and gradients are scaled."""
    rng = np.random.default_rng(0)
    start, grads = rng.normal(size=6), rng.normal(size=(5, 6))
    params = start.copy()
    segments, decay = np.array([[0, 2], [2, 6]]), np.array([0.0, 0.3])
    for t, g in enumerate(grads, start=1):
        step(params, g / 0.7, segments, decay, 0.7, t)

    expected = [algorithm(start[i], grads[:, i], 0.0 if i < 2 else 0.3) for i in range(6)]
    np.testing.assert_allclose(params, expected, rtol=1e-13)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_the_algorithm(momentum, nesterov):
    velocity = np.zeros(6) if momentum else None

    def step(params, grads, segments, decay, scale, t):
        reference.sgd_step(
            params, grads, velocity, segments, decay, 0.1, scale, momentum, nesterov, 1
        )

    assert_is_algorithm(step, lambda *p: sgd(*p, 0.1, momentum, nesterov))


def test_adagrad_is_the_algorithm():
    square = np.zeros(6)

    def step(params, grads, segments, decay, scale, t):
        reference.adagrad_step(params, grads, square, segments, decay, 0.1, scale, 1e-2, 1)

    assert_is_algorithm(step, lambda *p: adagrad(*p, 0.1, 1e-2))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("centered", [False, True])
def test_rmsprop_is_the_algorithm(momentum, centered):
    square = np.zeros(6)
    mean = np.zeros(6) if centered else None
    velocity = np.zeros(6) if momentum else None

    def step(params, grads, segments, decay, scale, t):
        reference.rmsprop_step(
            params, grads, square, mean, velocity, segments, decay, 0.1, scale, 0.9, 1e-2,
            momentum, 1,
        )  # fmt: skip

    assert_is_algorithm(step, lambda *p: rmsprop(*p, 0.1, 0.9, 1e-2, momentum, centered))


@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_is_the_algorithm(decoupled):
    m, v = np.zeros(6), np.zeros(6)

    def step(params, grads, segments, decay, scale, t):
        reference.adam_step(
            params, grads, m, v, segments, decay, 0.1, scale, 0.9, 0.99, 1e-8, t, decoupled, 1
        )

    assert_is_algorithm(step, lambda *p: adam(*p, 0.1, 0.9, 0.99, 1e-8, decoupled))
