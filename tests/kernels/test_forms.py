"""The forms of a convolution: each computes the same, and one of them is chosen."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import kernel_cases as cases
import numpy as np
import pytest
from hypothesis import given, settings

from sklearn_convnet.kernels import loader, reference
from sklearn_convnet.kernels.reference.forms import FORM_NAMES, PASSES

#: The forms of each pass, without and with a max pool.
FORMS = {
    "forward": {"direct", "widened", "interleaved"},
    "input_gradient": {"scatter", "pointwise", "phases", "turned"},
    "weight_gradient": {"direct", "widened", "interleaved"},
}
POOL_FORMS = {
    "forward": {"direct", "widened", "narrow", "interleaved"},
    "input_gradient": {"sparse", "unpooled"},
    "weight_gradient": {"sparse", "unpooled"},
}

every_form = pytest.mark.parametrize("form", FORM_NAMES)
every_pool_form = pytest.mark.parametrize("form", sorted(set.union(*POOL_FORMS.values())))
every_pass = pytest.mark.parametrize("step", PASSES)


@contextmanager
def forced(kernels, form):
    before = kernels.force_form(form)
    try:
        yield
    finally:
        kernels.force_form(before)


def chosen(kernels, step, case, n=None):
    """What `conv_form` says of a case."""
    return kernels.conv_form(
        step, n or case.n, case.input_shape[1:], case.weight_shape, case.stride, case.padding,
        case.dilation, case.groups, case.pool_size,
    )  # fmt: skip


def results(kernels, case, dtype, n_threads=1, seed=0):
    """Y and the gradients, of a pool also the index, all from the same Y; dX is shifted."""
    X, W, b, dY = case.arrays(dtype, seed)
    shift = np.random.default_rng(seed).standard_normal(X.shape[-1]).astype(dtype)
    made, saved = ([cases.output(case.output_shape, dtype), None] for _ in range(2))
    if max(case.pool_size) > 1:
        made[1], saved[1] = (cases.output(case.output_shape, np.int32) for _ in range(2))
    kernels.conv_forward(X, W, None, b, *made, None, *case.options, n_threads)
    reference.conv_forward(X, W, None, b, *saved, None, *case.options, 1)
    gradients = [cases.output(shape, dtype) for shape in (X.shape, W.shape, W.shape[-1:])]
    kernels.conv_backward(X, W, *saved, dY, shift, *gradients, *case.options, n_threads)
    return [array for array in (*made, *gradients) if array is not None]


def assert_like_reference(kernels, case, dtype, n_threads=1, seed=0):
    actual = results(kernels, case, dtype, n_threads, seed)
    expected = results(reference, case, dtype, seed=seed)
    for a, e in zip(actual, expected, strict=True):
        if a.dtype.kind == "f":
            cases.assert_close(a, e, floor=1.0)


# ---------------------------------------------------------------------------
# Every form computes the same
# ---------------------------------------------------------------------------


@cases.every_compiled
@every_form
@settings(cases.quick, max_examples=15)
@given(case=cases.conv_cases() | cases.conv_pool_cases(), seed=cases.seeds)
def test_filters_are_scaled_as_if_beforehand(kernels, dtype, form, case, seed):
    X, W, b, _ = case.arrays(dtype, seed)
    scale = np.random.default_rng(seed).uniform(-2, 2, W.shape[-1]).astype(dtype)
    Y, expected = (cases.output(case.output_shape, dtype) for _ in range(2))
    with forced(kernels, form):
        kernels.conv_forward(X, W, scale, b, Y, None, None, *case.options, 1)
        kernels.conv_forward(X, scale * W, None, b, expected, None, None, *case.options, 1)

    cases.assert_same_bits(Y, expected)


@cases.every_compiled
@every_form
@settings(cases.quick, max_examples=15)
@given(case=cases.conv_cases(), seed=cases.seeds, n_threads=cases.thread_counts)
def test_a_sum_is_done_before_the_activation(kernels, dtype, form, case, seed, n_threads):
    X, W, b, addend = case.arrays(dtype, seed)
    Y, Z, expected = (cases.output(case.output_shape, dtype) for _ in range(3))
    linear = replace(case, activation="identity")
    with forced(kernels, form):
        kernels.conv_forward(X, W, None, b, Y, None, addend, *case.options, n_threads)
        kernels.conv_forward(X, W, None, b, Z, None, None, *linear.options, 1)
    flat = (array.reshape(-1) for array in (Z, addend, expected))
    kernels.add(*flat, case.activation, case.alpha, 1)

    cases.assert_same_bits(Y, expected)


@settings(cases.quick, max_examples=15)
@given(case=cases.conv_cases() | cases.conv_pool_cases(), seed=cases.seeds)
def test_scale_of_the_reference(case, seed):
    X, W, b, _ = case.arrays(np.dtype(np.float64), seed)
    scale = np.random.default_rng(seed).uniform(-2, 2, W.shape[-1])
    Y, expected = (cases.output(case.output_shape, X.dtype) for _ in range(2))
    reference.conv_forward(X, W, scale, b, Y, None, None, *case.options, 1)
    reference.conv_forward(X, scale * W, None, b, expected, None, None, *case.options, 1)

    cases.assert_same_bits(Y, expected)


@cases.every_compiled
@every_form
@settings(cases.quick, max_examples=15)
@given(case=cases.conv_cases(), seed=cases.seeds, n_threads=cases.thread_counts)
def test_like_reference(kernels, dtype, form, case, seed, n_threads):
    with forced(kernels, form):
        assert_like_reference(kernels, case, dtype, n_threads, seed)


@cases.every_compiled
@every_pool_form
@settings(cases.quick, max_examples=15)
@given(case=cases.conv_pool_cases(), seed=cases.seeds, n_threads=cases.thread_counts)
def test_pools_like_reference(kernels, dtype, form, case, seed, n_threads):
    with forced(kernels, form):
        assert_like_reference(kernels, case, dtype, n_threads, seed)


@cases.every_compiled
@every_form
@pytest.mark.parametrize("case", cases.CONV_CASES)
def test_larger_like_reference(kernels, dtype, form, case):
    case = cases.CONV_CASES[case]
    if any(form in FORMS[step] and applies(kernels, form, step, case) for step in FORMS):
        with forced(kernels, form):
            assert_like_reference(kernels, case, dtype, n_threads=2)


@cases.every_compiled
@every_pool_form
@pytest.mark.parametrize("case", cases.CONV_POOL_CASES)
def test_larger_pools_like_reference(kernels, dtype, form, case):
    case = cases.CONV_POOL_CASES[case]
    steps = [step for step in POOL_FORMS if form in POOL_FORMS[step]]
    if any(applies(kernels, form, step, case) for step in steps):
        with forced(kernels, form):
            assert_like_reference(kernels, case, dtype, n_threads=2)


# ---------------------------------------------------------------------------
# The choice
# ---------------------------------------------------------------------------


def applies(kernels, form, step, case):
    """True if a form is chosen, or is only slower."""
    name, others = chosen(kernels, step, case)
    return name == form or "estimated" in dict(others)[form]


@cases.every_compiled
@every_pass
@cases.quick
@given(case=cases.conv_cases())
def test_one_form_is_chosen_and_the_others_have_reasons(kernels, dtype, step, case):
    name, others = chosen(kernels, step, case)
    assert {name, *dict(others)} == FORMS[step]
    assert len(others) == len(FORMS[step]) - 1
    for reason in dict(others).values():
        if "estimated" in reason:
            assert float(reason.split()[-4]) >= 1
        else:
            assert reason


@cases.every_compiled
@every_pass
@cases.quick
@given(case=cases.conv_pool_cases())
def test_one_form_is_chosen_before_a_pool(kernels, dtype, step, case):
    name, others = chosen(kernels, step, case)
    assert {name, *dict(others)} == POOL_FORMS[step]


@cases.every_compiled
@every_form
@every_pass
@settings(cases.quick, max_examples=15)
@given(case=cases.conv_cases())
def test_a_form_is_forced_where_it_applies(kernels, dtype, form, step, case):
    free, _ = chosen(kernels, step, case)
    does = form in FORMS[step] and applies(kernels, form, step, case)
    with forced(kernels, form):
        assert chosen(kernels, step, case)[0] == (form if does else free)


@cases.every_compiled
def test_each_form_is_chosen_for_what_it_is_for(kernels, dtype):
    def form(step, n, size, channels, filters, kernel, pad=0, **options):
        case = cases.ConvCase(
            n, (1, size, size), channels, filters, (1, kernel, kernel),
            padding=((0, 0), (pad, pad), (pad, pad)), **options,
        )  # fmt: skip
        return chosen(kernels, step, case)[0]

    assert form("forward", 128, 28, 1, 6, 5, 2) == "interleaved"
    assert form("forward", 1, 28, 1, 1, 5, 2) == "widened"
    assert form("forward", 1, 14, 64, 64, 3, 1) == "direct"
    assert form("weight_gradient", 128, 28, 1, 6, 5, 2) == "interleaved"
    assert form("weight_gradient", 1, 14, 64, 64, 3, 1) == "direct"
    assert form("input_gradient", 8, 14, 64, 64, 1) == "pointwise"
    assert form("input_gradient", 8, 14, 64, 64, 2, stride=(1, 2, 2)) == "phases"
    assert form("input_gradient", 8, 15, 64, 64, 3, 1, stride=(1, 2, 2)) == "phases"
    assert form("input_gradient", 8, 14, 64, 8, 3, 1) == "turned"
    assert form("input_gradient", 8, 15, 3, 64, 3, stride=(1, 2, 2)) == "scatter"


@cases.every_compiled
def test_windows_of_few_positions_are_unpooled(kernels, dtype):
    """Half of the numbers of dz are zero with windows of two positions, seven eighths of eight."""
    signal = cases.ConvPoolCase(32, (1, 1, 62), 64, 128, (1, 1, 5), pool_size=(1, 1, 2))
    volume = replace(signal, size=(8, 8, 8), kernel=(3, 3, 3), pool_size=(2, 2, 2))
    for step in ("input_gradient", "weight_gradient"):
        assert chosen(kernels, step, signal)[0] == "unpooled"
        assert chosen(kernels, step, volume)[0] == "sparse"
    long = replace(signal, size=(1, 1, 2**18 // 128 + 5))
    assert dict(chosen(kernels, "input_gradient", long)[1])["unpooled"] == "dz of an image is large"


@cases.every_compiled
def test_few_filters_before_a_pool_are_narrow(kernels, dtype):
    case = cases.ConvPoolCase(1, (1, 28, 28), 1, 5, (1, 5, 5), padding=((0, 0), (2, 2), (2, 2)))
    assert chosen(kernels, "forward", case)[0] == "narrow"
    assert (
        "2 x 2" in dict(chosen(kernels, "forward", replace(case, pool_size=(1, 3, 3)))[1])["narrow"]
    )


@cases.every_compiled
@cases.quick
@given(case=cases.conv_cases())
def test_the_number_of_images_does_not_choose(kernels, dtype, case):
    """Shapes of one image choose, once there are images enough for a vector."""
    case = replace(case, groups=1, channels=case.channels // case.groups)
    names = {chosen(kernels, "input_gradient", case, n)[0] for n in (1, 2, 17, 64)}
    assert len(names) == 1
    names = {chosen(kernels, "forward", case, n)[0] for n in (64, 77, 640)}
    assert len(names) == 1


@cases.every_compiled
@cases.quick
@given(case=cases.conv_pool_cases())
def test_the_number_of_images_does_not_choose_behind_a_pool(kernels, dtype, case):
    names = {chosen(kernels, "input_gradient", case, n)[0] for n in (1, 2, 17, 64)}
    assert len(names) == 1


@cases.every_compiled
def test_a_forced_form_computes_in_another_order(kernels, dtype):
    case = cases.ConvCase(64, (1, 9, 9), 3, 5, (1, 3, 3), padding=((0, 0), (1, 1), (1, 1)))
    found = {}
    for form in ("direct", "interleaved", "scatter", "turned"):
        with forced(kernels, form):
            _, dX, dW, _ = results(kernels, case, dtype)
        found[form] = dX.tobytes(), dW.tobytes()
    assert found["scatter"][0] != found["turned"][0]
    assert found["direct"][1] != found["interleaved"][1]


@cases.every_compiled
@every_form
@pytest.mark.parametrize("case", ["lenet1", "vgg", "few", "signal"])
def test_threads_do_not_matter(kernels, dtype, form, case):
    case = replace(cases.CONV_CASES[case], n=18)
    with forced(kernels, form):
        cases.assert_threads_do_not_matter(
            lambda n_threads: results(kernels, case, dtype, n_threads)
        )


@cases.every_compiled
@every_pool_form
@pytest.mark.parametrize("case", cases.CONV_POOL_CASES)
def test_threads_do_not_matter_to_pools(kernels, dtype, form, case):
    case = replace(cases.CONV_POOL_CASES[case], n=18)
    with forced(kernels, form):
        cases.assert_threads_do_not_matter(
            lambda n_threads: results(kernels, case, dtype, n_threads)
        )


@cases.every_compiled
def test_chunks_of_phases_do_not_matter(kernels, dtype):
    case = cases.CONV_CASES["strided, in chunks"]
    with forced(kernels, "phases"):
        cases.assert_threads_do_not_matter(
            lambda n_threads: results(kernels, case, dtype, n_threads)
        )


# ---------------------------------------------------------------------------
# What is asked
# ---------------------------------------------------------------------------


@cases.every_compiled
def test_all_threads_see_a_forced_form(kernels, dtype):
    with ThreadPoolExecutor(1) as pool:
        assert kernels.force_form("scatter") is None
        try:
            assert pool.submit(kernels.force_form, "turned").result() == "scatter"
            assert kernels.force_form("turned") == "turned"
        finally:
            kernels.force_form(None)
    assert kernels.force_form(None) is None


@cases.every_variant
def test_bad_arguments(kernels, dtype):
    with pytest.raises(ValueError, match=r"form must be None or one of direct, .*, got 'fast'"):
        kernels.force_form("fast")
    good = (
        "forward",
        2,
        (1, 5, 5, 3),
        (1, 3, 3, 3, 4),
        cases.ONES,
        cases.NO_PADDING,
        cases.ONES,
        1,
    )
    assert kernels.conv_form(*good)
    with pytest.raises(ValueError, match=r"step must be one of forward, .*, got 'backward'"):
        kernels.conv_form("backward", *good[1:])
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        kernels.conv_form("forward", 0, *good[2:])


@cases.every_compiled
@pytest.mark.parametrize(
    "changes",
    [
        {"maps": (5, 5, 3)},
        {"maps": (1, 2, 5, 3)},
        {"weight": (1, 3, 3, 2, 4)},
        {"stride": (1, 0, 1)},
        {"padding": ((0, 0), (0, -1), (0, 0))},
        {"dilation": (1, 3, 1)},
        {"groups": 2},
        {"pool_size": (1, 0, 2)},
        {"pool_size": (1, 4, 2)},
        {"pool_size": (2, 2)},
    ],
)
def test_geometries_that_do_not_fit(kernels, dtype, changes):
    good = {
        "step": "forward", "n": 2, "maps": (1, 5, 5, 3), "weight": (1, 3, 3, 3, 4),
        "stride": cases.ONES, "padding": cases.NO_PADDING, "dilation": cases.ONES, "groups": 1,
    }  # fmt: skip
    assert kernels.conv_form(**good, pool_size=(1, 2, 2))
    with pytest.raises(ValueError):
        kernels.conv_form(**{**good, **changes})


def test_the_twin_has_one_form():
    case = cases.CONV_CASES["vgg"]
    assert chosen(reference, "forward", case) == ("reference", [])
    assert reference.force_form("direct") is None


def test_names_are_those_of_the_kernels():
    kernels = loader.kernels(np.float32, loader.COMPILED[-1])
    assert (kernels.FORM_NAMES, kernels.PASSES) == (FORM_NAMES, PASSES)
