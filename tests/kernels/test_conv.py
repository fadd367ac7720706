"""Convolution and its gradients."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import ConvCase
from scipy.signal import correlate

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
every_case = pytest.mark.parametrize("case", cases.CONV_CASES)


def forward(kernels, case, X, W, b, n_threads=1, scale=None, addend=None):
    Y = cases.output((len(X), *case.output_shape[1:]), X.dtype)
    kernels.conv_forward(X, W, scale, b, Y, None, addend, *case.options, n_threads)
    return Y


def backward(kernels, case, X, W, Y, dY, n_threads=1, skip=()):
    """dX, dW and db, those in `skip` as None."""
    shapes = {"dX": X.shape, "dW": W.shape, "db": W.shape[-1:]}
    gradients = [
        None if name in skip else cases.output(shape, X.dtype) for name, shape in shapes.items()
    ]
    kernels.conv_backward(X, W, Y, None, dY, None, *gradients, *case.options, n_threads)
    return gradients


def assert_like_reference(kernels, case, dtype, seed=0, n_threads=1, skip=()):
    X, W, b, dY = case.arrays(dtype, seed)
    Y = forward(reference, case, X, W, b)
    cases.assert_close(forward(kernels, case, X, W, b, n_threads), Y, floor=1.0)
    for actual, expected in zip(
        backward(kernels, case, X, W, Y, dY, n_threads, skip),
        backward(reference, case, X, W, Y, dY, skip=skip),
        strict=True,
    ):
        if expected is not None:
            cases.assert_close(actual, expected, floor=1.0)
        else:
            assert actual is None


# ---------------------------------------------------------------------------
# Compiled kernels
# ---------------------------------------------------------------------------


@cases.every_compiled
@cases.quick
@given(
    case=cases.conv_cases(),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
    skip=st.sampled_from([(), (), ("dX",), ("dW",), ("db",), ("dX", "db")]),
)
def test_like_reference(kernels, dtype, case, seed, n_threads, skip):
    assert_like_reference(kernels, case, dtype, seed, n_threads, skip)


@cases.every_compiled
@every_case
def test_larger_like_reference(kernels, dtype, case):
    assert_like_reference(kernels, cases.CONV_CASES[case], dtype, n_threads=2)


@cases.every_compiled
@every_case
def test_threads_do_not_matter(kernels, dtype, case):
    case = cases.CONV_CASES[case]
    X, W, b, dY = case.arrays(dtype)
    Y = forward(kernels, case, X, W, b)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            forward(kernels, case, X, W, b, n_threads),
            *backward(kernels, case, X, W, Y, dY, n_threads),
        ]
    )


@cases.every_compiled
@every_case
def test_batch_does_not_matter(kernels, dtype, case):
    case = replace(cases.CONV_CASES[case], n=19)
    X, W, b, _ = case.arrays(dtype)

    cases.assert_batch_does_not_matter(lambda X: forward(kernels, case, X, W, b, n_threads=2), X)


@cases.every_compiled
@every_case
def test_sum_like_reference(kernels, dtype, case):
    case = replace(cases.CONV_CASES[case], n=19)
    X, W, b, addend = case.arrays(dtype)
    actual, expected = (
        forward(one, case, X, W, b, n_threads=2, addend=addend) for one in (kernels, reference)
    )

    cases.assert_close(actual, expected, floor=1.0)


@cases.every_compiled
@every_case
def test_input_gradient_does_not_see_its_batch(kernels, dtype, case):
    case = replace(cases.CONV_CASES[case], n=19, activation="identity")
    X, W, _, dY = case.arrays(dtype)

    cases.assert_batch_does_not_matter(
        lambda dY: backward(kernels, case, X[: len(dY)], W, dY, dY, n_threads=2)[0],
        dY,
        beside_nan=False,
    )


@cases.every_compiled
@settings(cases.quick, max_examples=15)
@given(case=cases.conv_cases(), seed=cases.seeds)
def test_small_threads_and_batch_do_not_matter(kernels, dtype, case, seed):
    case = replace(case, n=18)
    X, W, b, dY = case.arrays(dtype, seed)
    Y = forward(kernels, case, X, W, b)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            forward(kernels, case, X, W, b, n_threads),
            *backward(kernels, case, X, W, Y, dY, n_threads),
        ]
    )
    cases.assert_batch_does_not_matter(lambda X: forward(kernels, case, X, W, b), X)


@cases.every_compiled
@pytest.mark.parametrize("activation", cases.FUSED_ACTIVATIONS)
def test_fused_activation_is_the_activation(kernels, dtype, activation):
    case = ConvCase(3, (1, 9, 8), 5, 21, (1, 3, 3), activation=activation)
    X, W, b, dY = case.arrays(dtype)
    Y = forward(kernels, case, X, W, b)
    unfused = replace(case, activation="identity")
    Z = forward(kernels, unfused, X, W, b)
    activated, dZ = np.empty_like(Z), np.empty_like(Z)
    kernels.activation_forward(Z.ravel(), activated.ravel(), activation, case.alpha, 1)
    kernels.activation_backward(Y.ravel(), dY.ravel(), dZ.ravel(), activation, case.alpha, 1)

    cases.assert_same_bits(Y, activated)
    for fused, separate in zip(
        backward(kernels, case, X, W, Y, dY),
        backward(kernels, unfused, X, W, Z, dZ),
        strict=True,
    ):
        cases.assert_same_bits(fused, separate)


def where_not_a_number(kernels, dtype, case, pixel):
    """Where Y is not a number if a pixel of X is not."""
    X, W, b, _ = case.arrays(dtype)
    X = X.copy()
    X[pixel] = np.nan
    return np.isnan(forward(kernels, case, X, W, b))


@cases.every_variant
def test_not_a_number_passes_through(kernels, dtype):
    case = ConvCase(1, (1, 6, 6), 2, 64, (1, 3, 3), activation="relu")

    is_nan = where_not_a_number(kernels, dtype, case, (0, 0, 0, 0, 0))

    assert is_nan[0, 0, 0, 0].all()
    assert is_nan.sum() == 64


@cases.every_variant
def test_not_a_number_beside_few_filters(kernels, dtype):
    """It may reach the positions taken together with its own, but no other row."""
    case = ConvCase(1, (1, 6, 8), 2, 3, (1, 3, 3))

    is_nan = where_not_a_number(kernels, dtype, case, (0, 0, 0, 0, 0))

    assert is_nan[0, 0, 0, 0].all()
    assert not is_nan[0, 0, 1:].any()


@cases.every_compiled
def test_not_a_number_in_one_of_many_images(kernels, dtype):
    """Interleaved, as these are, images are multiplied by no zeros but those of padding."""
    case = ConvCase(16, (1, 6, 8), 2, 3, (1, 3, 3))

    is_nan = where_not_a_number(kernels, dtype, case, (5, 0, 0, 1, 0))

    assert is_nan[5, 0, 0, :2].all()
    assert is_nan.sum() == 2 * 3


# ---------------------------------------------------------------------------
# The twin, against its definition
# ---------------------------------------------------------------------------

TINY = {
    "plain": ConvCase(2, (1, 5, 6), 3, 2, (1, 2, 3), activation="tanh"),
    "strided": ConvCase(2, (1, 7, 8), 2, 3, (1, 3, 2), stride=(1, 2, 3)),
    "stride beyond the filter": ConvCase(
        1, (1, 7, 9), 1, 2, (1, 2, 2), stride=(1, 3, 4), activation="elu"
    ),
    "padded": ConvCase(
        2, (1, 4, 5), 2, 2, (1, 3, 3), stride=(1, 2, 1),
        padding=((0, 0), (1, 2), (0, 1)), activation="softplus",
    ),
    "padding beyond the filter": ConvCase(
        1, (1, 3, 2), 2, 1, (1, 1, 2), padding=((0, 0), (2, 1), (3, 2))
    ),
    "as large as the map": ConvCase(3, (1, 3, 4), 2, 4, (1, 3, 4), use_bias=False),
    "signal": ConvCase(
        2, (1, 1, 9), 3, 2, (1, 1, 4), stride=(1, 1, 2), activation="logistic"
    ),
}  # fmt: skip

# Those that the formulas of the lecture do not speak of.
TINY_BEYOND = {
    "dilated": ConvCase(
        2, (1, 6, 7), 2, 3, (1, 2, 3), dilation=(1, 3, 2), stride=(1, 1, 2),
        activation="leaky_relu",
    ),
    "grouped": ConvCase(2, (1, 4, 5), 4, 6, (1, 2, 2), groups=2, activation="relu"),
    "depthwise": ConvCase(1, (1, 4, 4), 3, 6, (1, 3, 2), groups=3, dilation=(1, 1, 2)),
    "volume": ConvCase(
        2, (3, 4, 3), 2, 3, (2, 2, 3), stride=(1, 2, 1),
        padding=((1, 0), (1, 1), (0, 2)), activation="tanh",
    ),
}  # fmt: skip
TINY_ALL = TINY | TINY_BEYOND


def definition(case, X, W, b):
    """Row A1, with stride, padding, dilation and groups, one product at a time."""
    Z = np.zeros(case.output_shape)
    C = case.channels // case.groups
    F = case.filters // case.groups
    for n, d, h, w, f in np.ndindex(Z.shape):
        Z[n, d, h, w, f] = 0 if b is None else b[f]
        for *tap, c in np.ndindex(*W.shape[:4]):
            pixel = [
                o * s + t * dilation - before
                for o, s, t, dilation, (before, _) in zip(
                    (d, h, w), case.stride, tap, case.dilation, case.padding,
                    strict=True,
                )
            ]  # fmt: skip
            if all(0 <= p < s for p, s in zip(pixel, case.size, strict=True)):
                Z[n, d, h, w, f] += X[(n, *pixel, f // F * C + c)] * W[(*tap, c, f)]
    return Z


@pytest.mark.parametrize("case", TINY_ALL)
def test_forward_is_the_definition(case):
    case = replace(TINY_ALL[case], activation="identity")
    X, W, b, _ = case.arrays(float64)

    np.testing.assert_allclose(
        forward(reference, case, X, W, b), definition(case, X, W, b), atol=1e-14
    )


@pytest.mark.parametrize("case", ["plain", "strided", "as large as the map", "signal"])
def test_forward_is_scipy_correlate(case):
    case = replace(TINY[case], activation="identity", use_bias=False)
    X, W, _, _ = case.arrays(float64)
    Y = forward(reference, case, X, W, None)
    _, s, t = case.stride

    for n, f in np.ndindex(case.n, case.filters):
        expected = correlate(X[n, 0], W[0, ..., f], mode="valid", method="direct")
        np.testing.assert_allclose(Y[n, 0, ..., f], expected[::s, ::t, 0], atol=1e-14)


@pytest.mark.parametrize("case", TINY)
def test_input_gradient_is_the_flipped_convolution(case):
    # dz is dilated by the stride, zero-padded by K - 1, convolved with the flipped
    # filters; pixels that no window reaches get zero; padding is cropped away.
    case = replace(TINY[case], activation="identity")
    X, W, _, dY = case.arrays(float64)
    (n, _, OH, OW, F), (_, KH, KW, C, _) = case.output_shape, case.weight_shape
    _, (top, bottom), (left, right) = case.padding
    _, H, W_ = case.size
    height, width = H + top + bottom, W_ + left + right
    dz = np.zeros((n, height + KH - 1, width + KW - 1, F))
    _, s, t = case.stride
    rows, columns = KH - 1 + s * np.arange(OH), KW - 1 + t * np.arange(OW)
    dz[:, rows[:, np.newaxis], columns] = dY[:, 0]
    expected = np.zeros((n, height, width, C))
    for i, x, y, m in np.ndindex(expected.shape):
        for j, x_, y_ in np.ndindex(F, KH, KW):
            flipped = W[0, KH - 1 - x_, KW - 1 - y_, m, j]
            expected[i, x, y, m] += flipped * dz[i, x + x_, y + y_, j]

    dX, _, _ = backward(reference, case, X, W, dY, dY)

    np.testing.assert_allclose(dX[:, 0], expected[:, top : top + H, left : left + W_], atol=1e-14)


@pytest.mark.parametrize("case", TINY_ALL)
def test_shift_is_added_to_each_pixel(case):
    case = TINY_ALL[case]
    X, W, b, dY = case.arrays(float64)
    Y = forward(reference, case, X, W, b)
    shift = np.arange(1.0, 1 + X.shape[-1])
    dX = cases.output(X.shape, X.dtype)
    reference.conv_backward(X, W, Y, None, dY, shift, dX, None, None, *case.options, 1)

    np.testing.assert_array_equal(dX, backward(reference, case, X, W, Y, dY)[0] + shift)


@pytest.mark.parametrize("case", TINY)
def test_weight_gradient_is_the_definition(case):
    case = replace(TINY[case], activation="identity")
    X, W, _, dY = case.arrays(float64)
    padded = np.pad(X, ((0, 0), *case.padding, (0, 0)))[:, 0]
    _, s, t = case.stride
    expected = np.zeros(W.shape)
    for _, x, y, m, j in np.ndindex(W.shape):
        for i, x_, y_ in np.ndindex(dY.shape[0], *dY.shape[2:4]):
            expected[0, x, y, m, j] += dY[i, 0, x_, y_, j] * padded[i, x_ * s + x, y_ * t + y, m]

    _, dW, db = backward(reference, case, X, W, dY, dY)

    np.testing.assert_allclose(dW, expected, atol=1e-13)
    np.testing.assert_allclose(db, dY.sum(axis=(0, 1, 2, 3)), atol=1e-13)


@cases.quick
@given(case=cases.conv_cases(), seed=cases.seeds)
def test_adjoint(case, seed):
    case = replace(case, activation="identity", use_bias=False)
    X, W, _, dY = case.arrays(float64, seed)
    Y = forward(reference, case, X, W, None)
    dX, dW, _ = backward(reference, case, X, W, Y, dY)
    # 1 is the size of a term, for sums that cancel.
    scale = 1 + np.linalg.norm(Y) * np.linalg.norm(dY)

    assert abs(np.vdot(Y, dY) - np.vdot(X, dX)) <= 1e-12 * scale
    assert abs(np.vdot(Y, dY) - np.vdot(W, dW)) <= 1e-12 * scale


@pytest.mark.parametrize(
    "case",
    [
        *(replace(case, use_bias=True) for case in TINY_ALL.values()),
        *(
            replace(TINY["strided"], activation=activation)
            for activation in cases.FUSED_ACTIVATIONS
        ),
    ],
    ids=[*TINY_ALL, *cases.FUSED_ACTIVATIONS],
)
def test_gradients_are_central_differences(case):
    # A seed at which no unit is so close to the kink of a ReLU that a step crosses it.
    for seed in range(100):
        X, W, b, dY = case.arrays(float64, seed)
        linear = replace(case, activation="identity")
        if np.abs(forward(reference, linear, X, W, b)).min() > 0.004:
            break
    else:
        pytest.fail("no such seed")

    def loss(X=X, W=W, b=b):
        return np.vdot(forward(reference, case, X, W, b), dY)

    Y = forward(reference, case, X, W, b)
    dX, dW, db = backward(reference, case, X, W, Y, dY)

    cases.assert_gradient(dX, lambda X: loss(X=X), X)
    cases.assert_gradient(dW, lambda W: loss(W=W), W)
    cases.assert_gradient(db, lambda b: loss(b=b), b)


def test_reference_in_float32_is_the_rounded_float64_result():
    for case in TINY_ALL.values():
        X, W, b, dY = case.arrays(np.dtype(np.float32))
        wide = [None if a is None else a.astype(np.float64) for a in (X, W, b, dY)]
        Y = forward(reference, case, X, W, b)
        cases.assert_same_bits(Y, forward(reference, case, *wide[:3]).astype(np.float32))
        for narrow, full in zip(
            backward(reference, case, X, W, Y, dY),
            backward(reference, case, *wide[:2], Y.astype(np.float64), wide[3]),
            strict=True,
        ):
            cases.assert_same_bits(narrow, full.astype(np.float32))
