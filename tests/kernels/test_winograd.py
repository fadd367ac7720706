"""Winograd's form of convolutions with 3 x 3 and 5 x 5 filters, and its gradients."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from dataclasses import replace

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_convnet.kernels import reference

every_case = pytest.mark.parametrize("case", cases.WINOGRAD_CASES)
every_undilated = pytest.mark.parametrize("case", cases.WINOGRAD_POOL_CASES)
every_tile = pytest.mark.parametrize("m", [2, 4])
ANY = {"case": cases.winograd_cases(), "seed": cases.seeds, "n_threads": cases.thread_counts}

#: By the points of a tile on an axis: 6 lose about two bits more than the direct form, 8 four bits.
FACTORS = {4: 1, 6: 3, 8: 5}


def factor(case, m):
    return FACTORS[m + case.kernel[1] - 1]


def arrays(case, dtype, seed=0):
    """X, W, b and dY, without an axis for depth."""
    X, W, b, dY = case.arrays(dtype, seed)
    return X[:, 0], W[0], b, dY[:, 0]


NO_NORM = (None, "identity", 0.0)


def forward(
    kernels, case, m, X, W, b, n_threads=1, addend=None, before=NO_NORM, moments=None, scale=None
):  # fmt: skip
    Y = cases.output((len(X), *case.output_shape[2:]), X.dtype)
    affine, *f = before
    options = (case.padding[1:], case.dilation[1:], m, *f, case.activation, case.alpha, (1, 1))
    arrays = (X, affine, W, scale, b, Y, None, moments, addend)
    kernels.winograd_forward(*arrays, *options, n_threads)
    return Y


def backward(
    kernels, case, m, X, W, Y, dY, n_threads=1, skip=(), addend=None, before=NO_NORM,
    norm_back=None, normed=None, centre=None, sums=None,
):  # fmt: skip
    """dX, dW and db, those in `skip` as None."""
    shapes = {"dX": X.shape, "dW": W.shape, "db": W.shape[-1:]}
    dX, dW, db = (
        None if name in skip else cases.output(shape, X.dtype) for name, shape in shapes.items()
    )
    affine, *f = before
    options = (case.padding[1:], case.dilation[1:], m, *f, case.activation, case.alpha, (1, 1))
    kernels.winograd_backward(
        X, affine, W, Y, None, dY, norm_back, addend, normed, centre, dX, sums, dW, db, *options,
        n_threads,
    )  # fmt: skip
    return dX, dW, db


@cases.every_variant
@every_tile
@cases.quick
@given(case=cases.winograd_cases(), seed=cases.seeds)
def test_filters_are_scaled_as_if_beforehand(kernels, dtype, m, case, seed):
    X, W, b, _ = arrays(case, dtype, seed)
    scale = np.random.default_rng(seed).uniform(-2, 2, W.shape[-1]).astype(dtype)

    Y = forward(kernels, case, m, X, W, b, scale=scale)

    expected = forward(kernels, case, m, X, scale * W, b)
    cases.assert_close(Y, expected, floor=1.0)
    if kernels is not reference:
        cases.assert_same_bits(Y, expected)


def strips(maps, m):
    """How many, and the number of channels."""
    return len(maps) * -(-maps.shape[1] // m), maps.shape[-1]


def size_of_sums(case, m, X, W, b):
    """The largest number before the activation, which may hide how large the sums were."""
    Z = forward(reference, replace(case, activation="identity"), m, X, W, b)
    return max(1.0, np.abs(Z).max())


def assert_like_reference(kernels, case, m, dtype, seed=0, n_threads=1, skip=()):
    X, W, b, dY = arrays(case, dtype, seed)
    Y = forward(reference, case, m, X, W, b)
    options = {"floor": size_of_sums(case, m, X, W, b), "factor": factor(case, m)}
    cases.assert_close(forward(kernels, case, m, X, W, b, n_threads), Y, **options)
    options["floor"] = 1.0
    for actual, expected in zip(
        backward(kernels, case, m, X, W, Y, dY, n_threads, skip),
        backward(reference, case, m, X, W, Y, dY, skip=skip),
        strict=True,
    ):
        if expected is not None:
            cases.assert_close(actual, expected, **options)
        else:
            assert actual is None


@cases.every_compiled
@every_tile
@cases.quick
@given(
    **ANY,
    skip=st.sampled_from([(), (), ("dX",), ("dW",), ("db",), ("dX", "db")]),
)
def test_like_reference(kernels, dtype, m, case, seed, n_threads, skip):
    assert_like_reference(kernels, case, m, dtype, seed, n_threads, skip)


@cases.every_compiled
@every_tile
@every_case
def test_larger_like_reference(kernels, dtype, m, case):
    assert_like_reference(kernels, cases.WINOGRAD_CASES[case], m, dtype, n_threads=2)


@cases.every_variant
@every_tile
@every_case
def test_sum_before_the_activation(kernels, dtype, m, case):
    case = cases.WINOGRAD_CASES[case]
    X, W, b, addend = arrays(case, dtype)
    Z = forward(kernels, replace(case, activation="identity"), m, X, W, b)
    expected = cases.output(Z.shape, dtype)
    flat = (array.reshape(-1) for array in (Z, addend, expected))
    kernels.add(*flat, case.activation, case.alpha, 1)
    actual = forward(kernels, case, m, X, W, b, n_threads=2, addend=addend)

    if kernels is reference:  # rounds once, not twice
        cases.assert_close(actual, expected, floor=1.0)
    else:
        cases.assert_same_bits(actual, expected)


@cases.every_compiled
@every_tile
def test_another_part_of_the_input_gradient(kernels, dtype, m):
    case = cases.WINOGRAD_CASES["wide"]
    X, W, _, dY = arrays(case, dtype)
    Y = dY
    addend = X + 1
    expected = backward(kernels, case, m, X, W, Y, dY)
    actual = backward(kernels, case, m, X, W, Y, dY, n_threads=2, addend=addend)
    cases.assert_same_bits(actual[0], expected[0] + addend)
    for a, e in zip(actual[1:], expected[1:], strict=True):
        cases.assert_same_bits(a, e)


#: The largest errors in float32, in shares of the largest number, by points of a tile on an axis.
ROUNDING = {4: 1e-6, 6: 4e-6, 8: 1.6e-5}


@cases.every_compiled
@every_tile
@pytest.mark.parametrize("taps", [3, 5])
def test_rounding(kernels, dtype, m, taps):
    """What the docs say of it, in all passes, and in double as much better as that is."""
    pads = ((0, 0), *[(taps // 2, taps // 2)] * 2)
    case = cases.ConvCase(9, (1, 14, 14), 64, 64, (1, taps, taps), padding=pads)
    X, W, b, dY = arrays(case, dtype)
    options = {"factor": ROUNDING[m + taps - 1] / cases.TOLERANCES[np.dtype(np.float32)]}

    Y = forward(reference, case, m, X, W, b)
    cases.assert_close(forward(kernels, case, m, X, W, b), Y, **options)
    expected = backward(reference, case, m, X, W, Y, dY)
    for array, other in zip(backward(kernels, case, m, X, W, Y, dY), expected, strict=True):
        cases.assert_close(array, other, **options)


@cases.every_compiled
@every_tile
@every_case
def test_threads_do_not_matter(kernels, dtype, m, case):
    case = cases.WINOGRAD_CASES[case]
    X, W, b, dY = arrays(case, dtype)
    Y = forward(kernels, case, m, X, W, b)

    cases.assert_threads_do_not_matter(
        lambda n_threads: [
            forward(kernels, case, m, X, W, b, n_threads),
            *backward(kernels, case, m, X, W, Y, dY, n_threads),
        ]
    )


@cases.every_compiled
@every_tile
@every_case
def test_batch_does_not_matter(kernels, dtype, m, case):
    case = cases.WINOGRAD_CASES[case]
    X, W, b, _ = arrays(case, dtype)

    cases.assert_batch_does_not_matter(lambda X: forward(kernels, case, m, X, W, b, n_threads=2), X)


@cases.every_compiled
def test_filters_too_large_to_be_kept(kernels, dtype):
    """They go by for a group of strips after the other: here there are two or more."""
    case = cases.ConvCase(9, (1, 14, 14), 344, 341, (1, 3, 3), padding=cases.pad_image(1))
    X, W, b, dY = arrays(case, dtype)
    assert_like_reference(kernels, case, 4, dtype, n_threads=2)

    Y = forward(kernels, case, 4, X, W, b)
    cases.assert_same_bits(forward(kernels, case, 4, X[-1:], W, b, n_threads=2), Y[-1:])
    threads = [backward(kernels, case, 4, X, W, Y, dY, n_threads) for n_threads in (1, 3)]
    for one, other in zip(*threads, strict=True):
        cases.assert_same_bits(one, other)


@cases.every_compiled
@every_tile
@pytest.mark.parametrize("n", [1, 2, 7, 128])
def test_a_block_over_several_images_mixes_nothing(kernels, dtype, m, n):
    case = replace(cases.WINOGRAD_CASES["deep"], n=n, channels=9, filters=10)
    X, W, b, _ = arrays(case, dtype)
    alone = [forward(kernels, case, m, X[i : i + 1], W, b)[0] for i in range(n)]

    cases.assert_same_bits(forward(kernels, case, m, X, W, b, n_threads=2), np.array(alone))


@cases.every_compiled
@every_tile
@pytest.mark.parametrize("dilation", [1, 2])
def test_maps_from_memory_are_like_those_in_a_cache(kernels, dtype, m, dilation):
    """Rows of large batches are prefetched."""
    case = cases.WINOGRAD_CASES["deep"]
    case = replace(case, n=7, size=(1, 90, 90), channels=17, filters=18)
    case = replace(case, activation="relu", dilation=(1, dilation, dilation))
    X, W, b, dY = arrays(case, dtype)
    assert X.nbytes + dY.nbytes > 6 << 20

    def run(X, dY):
        Y = forward(kernels, case, m, X, W, b, n_threads=2)
        return Y, backward(kernels, case, m, X, W, Y, dY, n_threads=2)

    Y, (dX, dW, db) = run(X, dY)
    alone = [run(X[i : i + 1], dY[i : i + 1]) for i in range(len(X))]

    cases.assert_same_bits(Y, np.concatenate([Y for Y, _ in alone]))
    cases.assert_same_bits(dX, np.concatenate([gradients[0] for _, gradients in alone]))
    rtol = 1e-3 if dtype == np.float32 else 1e-10
    for total, i in ((dW, 1), (db, 2)):
        expected = sum(gradients[i].astype(np.float64) for _, gradients in alone)
        np.testing.assert_allclose(total, expected, rtol=rtol, atol=rtol * np.abs(total).max())


@cases.every_compiled
@every_tile
@every_case
def test_input_gradient_does_not_see_its_batch(kernels, dtype, m, case):
    case = replace(cases.WINOGRAD_CASES[case], activation="identity")
    X, W, _, dY = arrays(case, dtype)

    cases.assert_batch_does_not_matter(
        lambda dY: backward(kernels, case, m, X[: len(dY)], W, dY, dY, n_threads=2)[0], dY
    )


@cases.every_compiled
@every_tile
@settings(cases.quick, max_examples=15)
@given(case=cases.winograd_cases(), seed=cases.seeds)
def test_adjoint(kernels, dtype, m, case, seed):
    case = replace(case, activation="identity", use_bias=False)
    X, W, b, dY = arrays(case, np.float64, seed)
    if dtype != np.float64:
        X, W, dY = (array.astype(dtype) for array in (X, W, dY))
    Y = forward(kernels, case, m, X, W, b)
    dX, dW, _ = backward(kernels, case, m, X, W, Y, dY)

    product = np.vdot(Y.astype(float), dY)
    terms = np.vdot(np.abs(Y).astype(float), np.abs(dY)) + np.abs(product)
    tolerance = 10 * factor(case, m) * cases.TOLERANCES[dtype] * terms
    assert abs(np.vdot(X.astype(float), dX) - product) <= tolerance
    assert abs(np.vdot(W.astype(float), dW) - product) <= tolerance


# ---------------------------------------------------------------------------
# A norm before, and one after
# ---------------------------------------------------------------------------

ALPHA = 0.3


def norm_before(X, seed=0):
    """Rows of an affine map, and another map that a norm was made of."""
    rng = np.random.default_rng(seed)
    affine = cases.random_input(rng, (3, X.shape[-1]), X.dtype, 0.5, 1.5)
    return affine, cases.random_input(rng, X.shape, X.dtype)


@cases.every_variant
@every_tile
@every_case
@pytest.mark.parametrize("activation", ["identity", "relu", "elu"])
def test_input_through_a_norm(kernels, dtype, m, case, activation):
    """As if the input had been normalised and activated by other kernels."""
    case = cases.WINOGRAD_CASES[case]
    X, W, b, dY = arrays(case, dtype)
    affine, _ = norm_before(X)
    rows = (-1, X.shape[-1])
    A = cases.output(X.shape, dtype)
    kernels.batchnorm_forward(
        X.reshape(rows), affine, A.reshape(rows), None, activation, ALPHA, 1
    )  # fmt: skip
    before = (affine, activation, ALPHA)
    Y = forward(kernels, case, m, X, W, b, n_threads=2, before=before)
    expected = forward(kernels, case, m, A, W, b)
    cases.assert_close(Y, expected, floor=1.0, factor=factor(case, m))

    dA, dW, db = backward(kernels, case, m, A, W, Y, dY)
    dZ = cases.output(X.shape, dtype)
    flat = (array.reshape(-1) for array in (A, dA, dZ))
    kernels.activation_backward(*flat, activation, ALPHA, 1)
    actual = backward(kernels, case, m, X, W, Y, dY, n_threads=2, before=before)
    for one, other in zip(actual, (dZ, dW, db), strict=True):
        cases.assert_close(one, other, floor=1.0, factor=factor(case, m))


@cases.every_compiled
@every_tile
@cases.quick
@given(
    **ANY | {"case": cases.winograd_cases(most_dilation=1)},
    activation=st.sampled_from(cases.FUSED_ACTIVATIONS),
    through=st.booleans(),
)
def test_norms_like_reference(kernels, dtype, m, case, seed, n_threads, activation, through):
    X, W, b, dY = arrays(case, dtype, seed)
    affine, normed = norm_before(X, seed)
    before = (affine if through else None, activation, ALPHA)
    addend = X + 1
    options = {"floor": size_of_sums(case, m, X, W, b), "factor": factor(case, m)}
    results = []
    for module in (kernels, reference):
        Y = cases.output((len(X), *case.output_shape[2:]), dtype)
        n_strips, filters = strips(Y, m)
        moments = cases.output((n_strips, 1 + 2 * filters), np.float64)
        Y = forward(
            module, case, m, X, W, b, n_threads, before=before, moments=moments
        )  # fmt: skip
        if module is kernels:
            Y_seen = Y
        n_strips, channels = strips(X, m)
        sums = cases.output((n_strips, 2 * channels), np.float64)
        gradients = backward(
            module, case, m, X, W, Y_seen, dY, n_threads, addend=addend, before=before,
            normed=normed, centre=affine[0], sums=sums,
        )  # fmt: skip
        results.append((Y, *gradients, moments, sums))
    *arrays_, moments, sums = zip(*results, strict=True)
    for actual, expected in arrays_:
        cases.assert_close(actual, expected, **options)
    for actual, expected in (moments, sums):
        scale = np.abs(expected).max()
        cases.assert_close(actual, expected, floor=max(1.0, scale), factor=8, dtype=dtype)


@cases.every_compiled
@every_tile
@cases.quick
@given(**ANY, activation=st.sampled_from(cases.FUSED_ACTIVATIONS))
def test_gradient_before_an_activation(kernels, dtype, m, case, seed, n_threads, activation):
    """Of an input that is f(z), without a norm: of dilated filters too."""
    X, W, _, dY = arrays(case, dtype, seed)
    before = (None, activation, ALPHA)
    dA, *_ = backward(kernels, case, m, X, W, dY, dY)
    expected = cases.output(X.shape, dtype)
    flat = (array.reshape(-1) for array in (X, dA, expected))
    kernels.activation_backward(*flat, activation, ALPHA, 1)

    dX, *_ = backward(kernels, case, m, X, W, dY, dY, n_threads, before=before)
    cases.assert_same_bits(dX, expected)


@cases.every_compiled
@every_tile
@every_undilated
def test_threads_do_not_matter_to_norms(kernels, dtype, m, case):
    case = cases.WINOGRAD_CASES[case]
    X, W, b, dY = arrays(case, dtype)
    affine, normed = norm_before(X)
    before = (affine, "relu", 0.0)

    def run(n_threads):
        Y = cases.output((len(X), *case.output_shape[2:]), dtype)
        n_strips, filters = strips(Y, m)
        moments = cases.output((n_strips, 1 + 2 * filters), np.float64)
        Y = forward(kernels, case, m, X, W, b, n_threads, before=before, moments=moments)
        n_strips, channels = strips(X, m)
        sums = cases.output((n_strips, 2 * channels), np.float64)
        gradients = backward(
            kernels, case, m, X, W, Y, dY, n_threads, before=before, normed=normed,
            centre=affine[0], sums=sums,
        )  # fmt: skip
        return [Y, moments, *gradients, sums]

    cases.assert_threads_do_not_matter(run)


@cases.every_variant
@every_tile
@every_case
def test_gradient_behind_a_norm(kernels, dtype, m, case):
    """As if that had been taken through the norm before."""
    case = cases.WINOGRAD_CASES[case]
    X, W, b, dY = arrays(case, dtype)
    Y = forward(kernels, case, m, X, W, b)
    back = cases.random_input(np.random.default_rng(1), (4, W.shape[-1]), dtype, 0.5, 1.5)
    times, level, slope, centre = back
    dZ = (times * dY - (level + slope * (Y - centre))).astype(dtype)
    expected = backward(kernels, case, m, X, W, Y, dZ)

    actual = backward(kernels, case, m, X, W, Y, dY, n_threads=2, norm_back=back)

    for one, other in zip(actual, expected, strict=True):
        cases.assert_close(one, other, floor=1.0, factor=2 * factor(case, m))


@cases.every_compiled
@every_tile
@pytest.mark.parametrize(("channels", "filters"), [(16, 16), (5, 19)])
def test_both_gradients_at_once_have_the_bits_of_each(kernels, dtype, m, channels, filters):
    """Of a batch with pieces for all threads, strips of dz are made for both together."""
    case = cases.ConvCase(17, (1, 32, 30), channels, filters, (1, 3, 3), padding=cases.pad_image(1))
    X, W, b, dY = arrays(case, dtype)
    affine, normed = norm_before(X)
    back, _ = norm_before(dY)
    back = np.vstack([back, back[:1]])
    Y = forward(kernels, case, m, X, W, b, before=(affine, "relu", 0.0))

    def run(n_threads, skip=()):
        n_strips, channels = strips(X, m)
        sums = cases.output((n_strips, 2 * channels), np.float64)
        options = {"normed": normed, "centre": affine[0], "sums": sums}
        gradients = backward(
            kernels, case, m, X, W, Y, dY, n_threads, skip, X + 1, (affine, "relu", 0.0), back,
            **(options if "dX" not in skip else {}),
        )  # fmt: skip
        return [*gradients, sums]

    together = run(2)
    for others in (run(1), run(16)):
        for one, other in zip(together, others, strict=True):
            cases.assert_same_bits(one, other)
    dX, *_ = run(2, skip=("dW", "db"))
    _, dW, db, _ = run(2, skip=("dX",))
    for one, other in zip(together, (dX, dW, db), strict=False):
        cases.assert_same_bits(one, other)
