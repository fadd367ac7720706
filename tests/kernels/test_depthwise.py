"""Depth-wise convolution and its gradients."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_cases import DepthwiseCase
from scipy.signal import correlate

from sklearn_convnet.kernels import reference

float64 = np.dtype(np.float64)
every_case = pytest.mark.parametrize("case", cases.DEPTHWISE_CASES)


def forward(kernels, case, X, W, b, n_threads=1, scale=None):
    Y = cases.output((len(X), *case.output_shape[1:]), X.dtype)
    kernels.depthwise_forward(X, W, scale, b, Y, *case.options, n_threads)
    return Y


def backward(kernels, case, X, W, Y, dY, n_threads=1, skip=()):
    """dX, dW and db, those in `skip` as None."""
    shapes = {"dX": X.shape, "dW": W.shape, "db": W.shape[-1:]}
    gradients = [
        None if name in skip else cases.output(shape, X.dtype) for name, shape in shapes.items()
    ]
    kernels.depthwise_backward(X, W, Y, dY, *gradients, *case.options, n_threads)
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
    case=cases.depthwise_cases(),
    seed=cases.seeds,
    n_threads=cases.thread_counts,
    skip=st.sampled_from([(), (), ("dX",), ("dW",), ("db",), ("dX", "db")]),
)
def test_like_reference(kernels, dtype, case, seed, n_threads, skip):
    assert_like_reference(kernels, case, dtype, seed, n_threads, skip)


@cases.every_compiled
@every_case
def test_larger_like_reference(kernels, dtype, case):
    assert_like_reference(kernels, cases.DEPTHWISE_CASES[case], dtype, n_threads=2)


@cases.every_compiled
@every_case
def test_threads_do_not_matter(kernels, dtype, case):
    case = cases.DEPTHWISE_CASES[case]
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
    case = replace(cases.DEPTHWISE_CASES[case], n=9)
    X, W, b, _ = case.arrays(dtype)

    cases.assert_batch_does_not_matter(lambda X: forward(kernels, case, X, W, b, n_threads=2), X)


@cases.every_compiled
@pytest.mark.parametrize("stride", [1, 2])
def test_rows_of_large_maps_are_fetched_without_a_trace(kernels, dtype, stride):
    """Together these maps are larger than a cache; alone they are not."""
    case = DepthwiseCase.of(
        20, (1, 45, 44), 40, 1, (1, 3, 3), stride=(1, stride, stride),
        padding=((0, 0), (1, 1), (1, 1)), activation="relu6",
    )  # fmt: skip
    X, W, b, _ = case.arrays(dtype)

    whole = forward(kernels, case, X, W, b, n_threads=2)

    assert X.nbytes > 6 << 20
    cases.assert_close(whole, forward(reference, case, X, W, b), floor=1.0)
    for i in range(len(X)):
        cases.assert_same_bits(forward(kernels, case, X[i : i + 1], W, b), whole[i : i + 1])


@cases.every_compiled
@every_case
def test_rows_of_one_image_are_shared_among_threads(kernels, dtype, case):
    case = replace(cases.DEPTHWISE_CASES[case], n=1)
    X, W, b, _ = case.arrays(dtype)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [forward(kernels, case, X, W, b, n_threads)]
    )


@cases.every_compiled
@every_case
def test_filters_are_scaled_as_if_beforehand(kernels, dtype, case):
    case = cases.DEPTHWISE_CASES[case]
    X, W, b, _ = case.arrays(dtype)
    scale = np.random.default_rng(0).uniform(-2, 2, W.shape[-1]).astype(dtype)

    scaled = forward(kernels, case, X, W, b, scale=scale)

    cases.assert_same_bits(scaled, forward(kernels, case, X, scale * W, b))
    cases.assert_close(scaled, forward(reference, case, X, W, b, scale=scale), floor=1.0)


@cases.every_compiled
@every_case
def test_place_in_memory_does_not_matter(kernels, dtype, case):
    """Maps that begin at the bound of a vector are read as they lie, others copied."""
    case = replace(cases.DEPTHWISE_CASES[case], n=2)
    X, W, b, _ = case.arrays(dtype)
    memory = np.empty(X.nbytes + 128, np.uint8)
    bound = -memory.ctypes.data % 64

    def placed(start):
        array = memory[start : start + X.nbytes].view(dtype).reshape(X.shape)
        array[...] = X
        return array

    at_bound = forward(kernels, case, placed(bound), W, b)
    behind_it = forward(kernels, case, placed(bound + dtype.itemsize), W, b)
    cases.assert_same_bits(behind_it, at_bound)


@cases.every_compiled
@every_case
def test_input_gradient_does_not_see_its_batch(kernels, dtype, case):
    case = replace(cases.DEPTHWISE_CASES[case], n=19, activation="identity")
    X, W, _, dY = case.arrays(dtype)

    cases.assert_batch_does_not_matter(
        lambda dY: backward(kernels, case, X[: len(dY)], W, dY, dY, n_threads=2)[0],
        dY,
        beside_nan=False,
    )


@cases.every_compiled
@settings(cases.quick, max_examples=15)
@given(case=cases.depthwise_cases(), seed=cases.seeds)
def test_input_gradient_of_a_sample_does_not_depend_on_the_batch(kernels, dtype, case, seed):
    case = replace(case, n=8)
    X, W, b, dY = case.arrays(dtype, seed)
    Y = forward(kernels, case, X, W, b)
    whole, _, _ = backward(kernels, case, X, W, Y, dY, n_threads=2)

    for i in (0, 5):
        part = slice(i, i + 1)
        dX, _, _ = backward(kernels, case, X[part], W, Y[part], dY[part])
        cases.assert_same_bits(dX, whole[part])


@cases.every_compiled
@pytest.mark.parametrize("activation", cases.FUSED_ACTIVATIONS)
def test_fused_activation_is_the_activation(kernels, dtype, activation):
    case = DepthwiseCase.of(3, (1, 9, 8), 7, 3, (1, 3, 3), activation=activation)
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


@cases.every_variant
def test_maps_do_not_mix(kernels, dtype):
    case = DepthwiseCase.of(1, (1, 6, 6), 21, 2, (1, 3, 3), activation="relu")
    X, W, b, dY = case.arrays(dtype)
    X = X.copy()
    X[..., 4] = np.nan

    Y = forward(kernels, case, X, W, b)
    dX, dW, db = backward(kernels, case, X, W, np.zeros_like(Y), dY)

    for array in (Y, dW):
        is_nan = np.isnan(array)
        assert is_nan[..., 8:10].all()
        assert is_nan.sum() == is_nan[..., 8:10].size
    assert np.isfinite(dX).all()
    assert np.isfinite(db).all()


# ---------------------------------------------------------------------------
# After a convolution of single pixels
# ---------------------------------------------------------------------------

BEFORE = ("leaky_relu", 0.25)


def pixel_arrays(case, dtype, seed=0):
    """X, and filters, scale and bias of both convolutions."""
    _, W2, b2, _ = case.arrays(dtype, seed)
    rng = np.random.default_rng(seed)
    X = cases.random_input(rng, (*case.input_shape[:-1], 5), dtype)
    W1 = cases.random_input(rng, (1, 1, 1, 5, case.channels), dtype)
    scale1, b1 = (cases.random_input(rng, (case.channels,), dtype, 0.5, 1.5) for _ in range(2))
    scale2 = cases.random_input(rng, (case.filters,), dtype, 0.5, 1.5)
    return X, W1, scale1, b1, W2, scale2, b2


def after_pixels(kernels, case, X, *filters, n_threads=1):
    Y = cases.output((len(X), *case.output_shape[1:]), X.dtype)
    *geometry, activation, alpha = case.options
    kernels.pointwise_depthwise_forward(
        X, *filters, Y, *geometry, *BEFORE, activation, alpha, n_threads
    )
    return Y


def one_after_the_other(kernels, case, X, W1, scale1, b1, W2, scale2, b2):
    maps = cases.output((*X.shape[:-1], case.channels), X.dtype)
    pixels = (cases.ONES, cases.NO_PADDING, cases.ONES, 1, *BEFORE, cases.ONES)
    kernels.conv_forward(X, W1, scale1, b1, maps, None, None, *pixels, 1)
    return forward(kernels, case, maps, W2, b2, scale=scale2)


@cases.every_compiled
@cases.quick
@given(case=cases.depthwise_cases(), seed=cases.seeds, n_threads=cases.thread_counts)
def test_after_pixels_like_reference(kernels, dtype, case, seed, n_threads):
    arrays = pixel_arrays(case, dtype, seed)
    actual = after_pixels(kernels, case, *arrays, n_threads=n_threads)

    cases.assert_close(actual, after_pixels(reference, case, *arrays), floor=1.0)
    cases.assert_same_bits(actual, one_after_the_other(kernels, case, *arrays))


@cases.every_compiled
@every_case
def test_after_pixels_threads_and_batch_do_not_matter(kernels, dtype, case):
    case = cases.DEPTHWISE_CASES[case]
    X, *filters = pixel_arrays(case, dtype)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [after_pixels(kernels, case, X, *filters, n_threads=n_threads)]
    )
    cases.assert_batch_does_not_matter(
        lambda X: after_pixels(kernels, case, X, *filters, n_threads=2), X
    )
    expected = one_after_the_other(kernels, case, X, *filters)
    cases.assert_same_bits(after_pixels(kernels, case, X, *filters), expected)


# ---------------------------------------------------------------------------
# The twin, against its definition
# ---------------------------------------------------------------------------

TINY = {
    "plain": DepthwiseCase.of(2, (1, 5, 6), 3, 1, (1, 2, 3), activation="tanh"),
    "multiplied": DepthwiseCase.of(
        2, (1, 4, 5), 2, 3, (1, 2, 2), activation="logistic"
    ),
    "strided": DepthwiseCase.of(1, (1, 7, 8), 2, 2, (1, 3, 2), stride=(1, 2, 3)),
    "padded": DepthwiseCase.of(
        2, (1, 4, 5), 2, 2, (1, 3, 3), stride=(1, 2, 1),
        padding=((0, 0), (1, 2), (0, 1)), activation="softplus",
    ),
    "as large as the map": DepthwiseCase.of(
        3, (1, 3, 4), 2, 1, (1, 3, 4), use_bias=False
    ),
    "dilated": DepthwiseCase.of(
        2, (1, 6, 7), 2, 1, (1, 2, 3), dilation=(1, 3, 2), stride=(1, 1, 2),
        activation="elu",
    ),
    "volume": DepthwiseCase.of(
        1, (3, 4, 3), 2, 2, (2, 2, 3), stride=(1, 2, 1),
        padding=((1, 0), (1, 1), (0, 2)), activation="tanh",
    ),
}  # fmt: skip


def definition(case, X, W, b):
    """One product at a time."""
    Z = np.zeros(case.output_shape)
    multiplier = case.filters // case.channels
    for n, d, h, w, f in np.ndindex(Z.shape):
        Z[n, d, h, w, f] = 0 if b is None else b[f]
        for tap in np.ndindex(*W.shape[:3]):
            pixel = [
                o * s + t * dilation - before
                for o, s, t, dilation, (before, _) in zip(
                    (d, h, w), case.stride, tap, case.dilation, case.padding,
                    strict=True,
                )
            ]  # fmt: skip
            if all(0 <= p < s for p, s in zip(pixel, case.size, strict=True)):
                Z[n, d, h, w, f] += X[(n, *pixel, f // multiplier)] * W[(*tap, 0, f)]
    return Z


@pytest.mark.parametrize("case", TINY)
def test_forward_is_the_definition(case):
    case = replace(TINY[case], activation="identity")
    X, W, b, _ = case.arrays(float64)

    np.testing.assert_allclose(
        forward(reference, case, X, W, b), definition(case, X, W, b), atol=1e-14
    )


@pytest.mark.parametrize("case", ["plain", "multiplied", "strided"])
def test_forward_is_scipy_correlate(case):
    case = replace(TINY[case], activation="identity", use_bias=False)
    X, W, _, _ = case.arrays(float64)
    Y = forward(reference, case, X, W, None)
    _, s, t = case.stride

    for n, f in np.ndindex(case.n, case.filters):
        image = X[n, 0, ..., f * case.channels // case.filters]
        expected = correlate(image, W[0, ..., 0, f], mode="valid", method="direct")
        np.testing.assert_allclose(Y[n, 0, ..., f], expected[::s, ::t], atol=1e-14)


@cases.quick
@given(case=cases.depthwise_cases(), seed=cases.seeds)
def test_is_the_convolution_whose_groups_are_the_maps(case, seed):
    X, W, b, dY = case.arrays(float64, seed)
    geometry = case.stride, case.padding, case.dilation, case.channels
    options = (*geometry, case.activation, case.alpha, cases.ONES, 1)
    Y = forward(reference, case, X, W, b)
    expected = np.empty_like(Y)
    reference.conv_forward(X, W, None, b, expected, None, None, *options)
    gradients = [np.empty_like(X), np.empty_like(W), np.empty(case.filters)]
    reference.conv_backward(X, W, Y, None, dY, None, *gradients, *options)

    cases.assert_close(Y, expected, floor=1.0)
    for one, other in zip(backward(reference, case, X, W, Y, dY), gradients, strict=True):
        cases.assert_close(one, other, floor=1.0)


@cases.quick
@given(case=cases.depthwise_cases(), seed=cases.seeds)
def test_adjoint(case, seed):
    case = replace(case, activation="identity", use_bias=False)
    X, W, _, dY = case.arrays(float64, seed)
    Y = forward(reference, case, X, W, None)
    dX, dW, _ = backward(reference, case, X, W, Y, dY)
    scale = 1 + np.linalg.norm(Y) * np.linalg.norm(dY)

    assert abs(np.vdot(Y, dY) - np.vdot(X, dX)) <= 1e-12 * scale
    assert abs(np.vdot(Y, dY) - np.vdot(W, dW)) <= 1e-12 * scale


@pytest.mark.parametrize("case", TINY)
def test_gradients_are_central_differences(case):
    case = replace(TINY[case], use_bias=True)
    linear = replace(case, activation="identity")
    # A seed at which no unit is so close to the kink of an ELU that a step crosses it.
    for seed in range(100):
        X, W, b, dY = case.arrays(float64, seed)
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
