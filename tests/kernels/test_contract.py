"""What all kernels promise: names, arguments, and what they raise."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import inspect

import kernel_cases as cases
import numpy as np
import pytest

from sklearn_convnet.kernels import loader, reference

FLUSHES = getattr(loader.kernels(np.float32), "_flushes_denormals", False)

every_kernel = pytest.mark.parametrize("name", cases.GOOD_CALLS)


@cases.every_variant
@every_kernel
def test_signature(name, kernels, dtype):
    kernel = getattr(kernels, name)
    assert list(inspect.signature(kernel).parameters) == list(cases.GOOD_CALLS[name].arguments)


@cases.every_compiled
def test_nothing_but_the_listed_kernels_is_public(kernels, dtype):
    public = {
        name
        for name, value in vars(kernels).items()
        if callable(value) and not name.startswith("_")
    }
    assert public == {*cases.GOOD_CALLS, "view"}


@cases.every_variant
@every_kernel
def test_fills_every_output_and_takes_read_only_inputs(name, kernels, dtype):
    call = cases.GOOD_CALLS[name]
    arguments = call.make(dtype)
    for array, kind in call.arrays.items():
        if not kind.is_read:
            value = arguments[array]
            value.fill(np.nan if value.dtype.kind == "f" else -1)
    before = {k: v.copy() for k, v in arguments.items() if k in call.arrays}

    getattr(kernels, name)(**arguments)

    for array in call.arrays:
        if arguments[array].flags.writeable:
            assert np.all(np.isfinite(arguments[array]))
            assert np.all(arguments[array] >= 0) or arguments[array].dtype.kind == "f"
        else:
            cases.assert_same_bits(arguments[array], before[array])


@cases.every_variant
@pytest.mark.parametrize(
    ("name", "optional"),
    [(name, one) for name, call in cases.GOOD_CALLS.items() for one in call.optional],
)
def test_optional_array_changes_nothing_else(name, optional, kernels, dtype):
    call = cases.GOOD_CALLS[name]
    with_all, without = call.make(dtype), call.make(dtype)
    is_input = not call.arrays[optional].writeable
    if is_input:
        # None as an input is a bias of 0, or a weight of 1.
        neutral = 1.0 if optional == "weight" else 0.0
        with_all[optional] = np.full_like(with_all[optional], neutral)
    without[optional] = None

    results = [getattr(kernels, name)(**with_all), getattr(kernels, name)(**without)]

    assert results[0] == results[1]
    for array in call.arrays:
        if array != optional:
            cases.assert_same_bits(without[array], with_all[array])


@cases.every_variant
@pytest.mark.parametrize(
    "name", [name for name, call in cases.GOOD_CALLS.items() if not call.needs_batch]
)
def test_empty_batch(name, kernels, dtype):
    call = cases.GOOD_CALLS[name]
    batch = next(axis for axis in ("n", "m", "s") if axis in call.sizes)
    changes = {
        key: cases.IN(array.axes, array.dtype)
        for key, array in call.arrays.items()
        if array.values is not None and batch in array.axes.split()
    }
    call = call.replace(**{batch: 0}, **changes)
    arguments = call.make(dtype)
    before = {k: v.copy() for k, v in arguments.items() if k in call.arrays}

    result = getattr(kernels, name)(**arguments)

    assert result is None or result == 0
    for array in call.arrays:
        is_sum = array in ("dW", "db", "dbias")
        expected = 0 * before[array] if is_sum else before[array]
        np.testing.assert_array_equal(arguments[array], expected)


@cases.every_variant
@pytest.mark.parametrize(
    ("name", "changes"),
    [pytest.param(name, changes, id=f"{name}: {what}") for name, what, changes in cases.BAD_CALLS],
)
def test_bad_geometry(name, changes, kernels, dtype):
    arguments = cases.GOOD_CALLS[name].replace(**changes).make(dtype)
    with pytest.raises(ValueError):
        getattr(kernels, name)(**arguments)


@cases.every_variant
@every_kernel
def test_bad_arrays(name, kernels, dtype):
    for what, arguments in cases.bad_arrays(cases.GOOD_CALLS[name], dtype):
        try:
            getattr(kernels, name)(**arguments)
        except ValueError:
            continue
        pytest.fail(f"accepted {what}")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "conv_forward",
            cases.named(Y=cases.OUT("n OD OH OD F")),
            r"Y has shape \(2, 4, 5, 4, 6\), expected an output of 7 pixels along W",
        ),
        (
            "conv_forward",
            cases.named(KH=8, OH=1),
            "the filter reaches over 8 pixels along H, expected at most the 7 pixels",
        ),
        (
            "conv_forward",
            cases.named(C=5),
            "groups is 2, expected a divisor of 5 input and 6 output maps",
        ),
        (
            "dense_forward",
            cases.named(W=cases.IN("U I")),
            r"W has shape \(4, 5\), expected \(I, U\) = \(5, U\)",
        ),
        (
            "avgpool_forward",
            cases.named(padding=((0, 1), (2, 0), (1, 1)), OH=6),
            r"expected less than the pool_size \(2, 2, 2\) on every axis",
        ),
        (
            "sgd_step",
            cases.named(segments=cases.IN("s two", "int64", ((0, 5), (7, 12)))),
            r"a segment reads \[7, 12\), expected 0 <= start <= stop <= 11",
        ),
        (
            "maxpool_backward",
            cases.named(index=cases.IN("n OD OH OW C")),
            "index has dtype float64, expected int32",
        ),
    ],
)
def test_reference_says_what_it_saw_and_expected(name, changes, message):
    arguments = cases.GOOD_CALLS[name].replace(**changes).make(np.dtype(np.float64))
    with pytest.raises(ValueError, match=message):
        getattr(reference, name)(**arguments)


def test_reference_refuses_an_index_outside_the_map():
    for name, largest in (("maxpool_backward", 3 * 5 * 6), ("globalmax_backward", 5)):
        for value in (-1, largest):
            arguments = cases.GOOD_CALLS[name].make(np.dtype(np.float64))
            arguments["index"] = np.full_like(arguments["index"], value)
            with pytest.raises(ValueError, match="index holds values"):
                getattr(reference, name)(**arguments)


def with_few(call, dtype, few):
    """The arguments of a call in half of whose inputs denormal numbers stand, or zeros, and which
    of them are outputs. Weights of samples stay: their sum divides."""
    rng = np.random.default_rng(0)
    arguments = call.make(dtype)
    for name, kind in call.arrays.items():
        array = arguments[name]
        if not kind.is_read:
            array.fill(0)
        elif array.dtype.kind == "f" and name != "weight":
            tiny = np.finfo(array.dtype).tiny
            values = tiny * rng.uniform(-0.9, 0.9, array.shape).astype(array.dtype)
            values[rng.random(array.shape) < 0.5] = 0
            arguments[name] = np.where(values != 0, few * values, array)
    return arguments, {name for name, kind in call.arrays.items() if kind.writeable}


@pytest.mark.skipif(not FLUSHES, reason="this build leaves denormal numbers to the processor")
@cases.every_compiled
@every_kernel
def test_denormal_numbers_are_zero(name, kernels, dtype):
    """What tells the results apart is as small itself, whatever is divided by what."""
    call = cases.GOOD_CALLS[name]
    (arguments, outputs), (zeros, _) = (with_few(call, dtype, few) for few in (1, 0))
    results = [getattr(kernels, name)(**one) for one in (arguments, zeros)]
    assert results[0] == results[1]
    for array in outputs:
        if arguments[array].dtype.kind == "f":
            tolerance = 8 * np.finfo(dtype).tiny
            np.testing.assert_allclose(arguments[array], zeros[array], rtol=0, atol=tolerance)
        else:
            np.testing.assert_array_equal(arguments[array], zeros[array])


@cases.every_compiled
@every_kernel
def test_the_caller_goes_on_with_denormal_numbers(name, kernels, dtype):
    x = np.full(9, 0.5 * np.finfo(dtype).tiny, dtype)
    expected = x * dtype.type(0.5)
    getattr(kernels, name)(**cases.GOOD_CALLS[name].make(dtype))
    cases.assert_same_bits(x * dtype.type(0.5), expected)
    assert np.all(expected > 0)
