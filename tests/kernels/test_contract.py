"""What all kernels promise: names, arguments, and what they raise."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import ast
import inspect
import re
import sys
from pathlib import Path

import kernel_cases as cases
import numpy as np
import pytest

from sklearn_convnet.kernels import loader, reference

FLUSHES = getattr(loader.kernels(np.float32), "_flushes_denormals", False)

every_kernel = pytest.mark.parametrize("name", cases.GOOD_CALLS)


@cases.every_variant
@every_kernel
def test_signature(name, kernels, dtype):
    kernel = cases.kernel_of(kernels, name)
    assert list(inspect.signature(kernel).parameters) == list(cases.GOOD_CALLS[name].arguments)


@cases.every_compiled
def test_nothing_but_the_listed_kernels_is_public(kernels, dtype):
    public = {
        name
        for name, value in vars(kernels).items()
        if callable(value) and not name.startswith("_")
    }
    assert public == {*map(cases.kernel_name, cases.GOOD_CALLS), "view", "conv_form", "force_form"}


STUBS = Path(loader.__file__).parent
STUB = ast.parse((STUBS / "_variant.pyi").read_text())


@cases.every_compiled
def test_one_stub_tells_of_all_variants(kernels, dtype):
    named = kernels.__name__.rpartition(".")[2]
    assert (STUBS / f"{named}.pyi").read_text() == "from ._variant import *\n"
    functions = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
    constants = {node.target.id for node in STUB.body if isinstance(node, ast.AnnAssign)}
    public = {name: value for name, value in vars(kernels).items() if not name.startswith("_")}
    assert public.keys() == functions.keys() | constants
    for name, node in functions.items():
        signature = inspect.signature(public[name])
        assert [arg.arg for arg in node.args.args] == list(signature.parameters), name
        assert len(node.args.defaults) == sum(
            parameter.default is not parameter.empty for parameter in signature.parameters.values()
        )


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

    cases.kernel_of(kernels, name)(**arguments)

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
        # None as an input is a bias of 0, or a weight or scale of 1.
        neutral = 1.0 if optional.rstrip("12") in ("weight", "scale") else 0.0
        with_all[optional] = np.full_like(with_all[optional], neutral)
    without[optional] = None

    results = [
        cases.kernel_of(kernels, name)(**with_all),
        cases.kernel_of(kernels, name)(**without),
    ]

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

    result = cases.kernel_of(kernels, name)(**arguments)

    assert result is None or result == 0
    for array in call.arrays:
        is_sum = array in ("dW", "db", "dbias", "dscale", "doffset")
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
        cases.kernel_of(kernels, name)(**arguments)


@cases.every_variant
@every_kernel
def test_bad_arrays(name, kernels, dtype):
    for what, arguments in cases.bad_arrays(cases.GOOD_CALLS[name], dtype):
        try:
            cases.kernel_of(kernels, name)(**arguments)
        except ValueError:
            continue
        pytest.fail(f"accepted {what}")


# Arrays that may be None without being left out: the call is another one then.
NONE_MEANS_ANOTHER_CALL = {
    "winograd_forward": {"affine"},
    "winograd_forward, pool": {"affine"},
    "winograd_backward": {"affine", "normed", "centre", "dX", "sums"},
    "winograd_backward, norm": {"affine", "norm_back", "normed", "centre", "dX", "sums"},
    "winograd_backward, pool": {"affine", "normed", "centre", "dX", "sums"},
    "batchnorm_statistics": {"moments"},
    "batchnorm_backward": {"sums"},
    "batchnorm_backward, map": {"sums"},
    "rmsprop_step": {"mean"},
}


def assert_refused(kernel, arguments, what):
    try:
        kernel(**arguments)
    except ValueError:
        return
    pytest.fail(f"accepted {what}")


@cases.every_variant
@every_kernel
def test_none_for_an_array(name, kernels, dtype):
    call = cases.GOOD_CALLS[name]
    for array in call.arrays:
        if array not in {*call.optional, *NONE_MEANS_ANOTHER_CALL.get(name, ())}:
            arguments = call.make(dtype) | {array: None}
            assert_refused(cases.kernel_of(kernels, name), arguments, f"None for {array}")


@cases.every_variant
@every_kernel
def test_no_threads(name, kernels, dtype):
    for n_threads in (0, -1, -(2**31)):
        arguments = cases.GOOD_CALLS[name].make(dtype) | {"n_threads": n_threads}
        with pytest.raises(ValueError, match="n_threads"):
            cases.kernel_of(kernels, name)(**arguments)


@cases.every_compiled
@every_kernel
def test_more_threads_than_anybody_has(name, kernels, dtype):
    """Their number is bounded, and changes no bit."""
    call = cases.GOOD_CALLS[name]
    few, many = call.make(dtype), call.make(dtype) | {"n_threads": 2**31 - 1}
    assert cases.kernel_of(kernels, name)(**few) == cases.kernel_of(kernels, name)(**many)
    for array in call.arrays:
        cases.assert_same_bits(many[array], few[array])


def wrong_tuples(value):
    """A tuple of integers, or of pairs, made wrong in every way."""
    yield from (value[:-1], (*value, value[0]), (), 1, None, "abc")
    for i in range(len(value)):
        entries = (None, "a", 0.5, 2**31, 2**63, -1)
        if isinstance(value[i], tuple):
            entries = ((), 0, value[i][:1], (*value[i], 0), (0, -1), (2**31, 0), (0, 2**63))
        for entry in (*entries, (1, 2, 3)):
            yield (*value[:i], entry, *value[i + 1 :])


@cases.every_variant
@every_kernel
def test_tuples_that_do_not_fit(name, kernels, dtype):
    call = cases.GOOD_CALLS[name]
    for key, value in call.arguments.items():
        if isinstance(value, tuple):
            for wrong in wrong_tuples(value):
                arguments = call.make(dtype) | {key: wrong}
                assert_refused(cases.kernel_of(kernels, name), arguments, f"{key}={wrong}")


# How many places there are: in the map, or in the window's rows.
INDEXED = {
    "maxpool_backward": lambda a: np.prod(a["dX"].shape[1:4]),
    "globalmax_backward": lambda a: a["dX"].shape[1],
    "maxout_backward": lambda a: a["dX"].shape[1],
    "conv_backward, pool": lambda a: 4 * 5 * 7,
    "winograd_backward, pool": lambda a: 6 * 5,
}


@cases.every_variant
@pytest.mark.parametrize("name", INDEXED)
def test_index_outside_of_the_map(name, kernels, dtype):
    """In whichever place it is, and for either gradient."""
    call = cases.GOOD_CALLS[name]
    end = int(INDEXED[name](call.make(dtype)))
    for wrong in (-1, end, end + 1000, 2**31 - 1, -(2**31)):
        for place in (0, 5, -1):
            arguments = call.make(dtype)
            arguments["index"] = arguments["index"].copy()
            cases.kernel_of(kernels, name)(**arguments)
            arguments["index"].flat[place] = wrong
            with pytest.raises(ValueError, match="index"):
                cases.kernel_of(kernels, name)(**arguments)


@cases.every_variant
@pytest.mark.parametrize("name", ["conv_backward, pool", "winograd_backward, pool"])
def test_index_outside_of_its_window(name, kernels, dtype):
    """Within the map, but in rows that the window does not have."""
    call = cases.GOOD_CALLS[name]
    arguments = call.make(dtype)
    index = arguments["index"].copy()
    index.reshape(len(index), -1)[-1, :3] = index.max()
    arguments["index"] = index
    with pytest.raises(ValueError, match="index"):
        cases.kernel_of(kernels, name)(**arguments)


@cases.every_variant
@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("place", [0, 8191, 8192, -1])
def test_index_anywhere_in_a_large_batch(kernels, dtype, n, place):
    """Whichever thread, and block of places, it falls to."""
    dY = np.ones((n, 1, 30, 30, 5), dtype)
    index = np.zeros(dY.shape, np.int32)
    dX = np.empty((n, 1, 60, 60, 5), dtype)
    kernels.maxpool_backward(dY, index, dX, 3)
    assert dX.sum() == dY.size
    for wrong in (-1, 3600):
        index.flat[place] = wrong
        with pytest.raises(ValueError, match="index"):
            kernels.maxpool_backward(dY, index, dX, 3)


@cases.every_variant
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        # More padding than memory, as much as one call may ask for.
        ("conv_forward", cases.named(padding=((2**30, 2**30), (2**30, 2**30), (0, 1)))),
        ("conv_backward", cases.named(padding=((2**30, 2**30), (2**30, 2**30), (0, 1)))),
        ("depthwise_forward", cases.named(padding=((2**30, 2**30), (2**30, 2**30), (0, 1)))),
        ("conv_forward, pool", cases.named(padding=((2**30, 2**30), (2**30, 2**30), (0, 1)))),
        ("conv_forward", cases.named(dilation=(2**31 - 1, 2**31 - 1, 2**31 - 1))),
        # More pixels than a place can tell apart; of no image, so that they need no memory.
        ("maxpool_forward", cases.named(n=0, W=2**31)),
        ("maxpool_backward", cases.named(n=0, W=2**31)),
        ("globalmax_forward", cases.named(n=0, P=2**31)),
        ("globalmax_backward", cases.named(n=0, P=2**31)),
        ("group_maxpool_forward", cases.named(n=0, W=2**31)),
        ("affine_resample", cases.named(n=0, W=2**31)),
        ("affine_resample", cases.named(n=0, H=2**21, W=2**20)),
        ("affine_resample_3d", cases.named(n=0, D=2**31)),
        ("affine_resample_3d", cases.named(n=0, D=2**14, H=2**14, W=2**14)),
        ("affine_resample_3d", cases.named(n=0, D=2**20, H=2**19, W=1, C=1)),  # with its frame
    ],
)
def test_sizes_that_no_memory_holds(name, changes, kernels, dtype):
    call = cases.GOOD_CALLS[name].replace(**changes)
    with pytest.raises(ValueError):
        cases.kernel_of(kernels, name)(**call.make(dtype))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory")
def test_work_space_that_the_system_does_not_give(run_python):
    printed = run_python(
        """
        import resource
        import numpy as np
        from sklearn_convnet.kernels import loader

        X, W, Y = (np.ones(s, np.float32) for s in [(1, 1, 1, 1, 1)] * 3)
        padding = ((0, 0), (2**14, 2**14), (2**14, 2**14))  # 4 GiB of it
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, hard))
        stride = (1, 2**16, 2**16)
        try:
            loader.kernels(X.dtype).conv_forward(
                X, W, None, None, Y, None, None, stride, padding, (1, 1, 1), 1, "identity", 0.0,
                (1, 1, 1), 1)
        except MemoryError as error:
            print(error)
        """
    )
    n_bytes = int(re.match(r"could not allocate (\d+) bytes of work space", printed)[1])
    assert n_bytes >= (2 * 2**14) ** 2 * 4


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
        cases.kernel_of(reference, name)(**arguments)


def test_reference_refuses_an_index_outside_the_map():
    for name, largest in (("maxpool_backward", 3 * 5 * 6), ("globalmax_backward", 5)):
        for value in (-1, largest):
            arguments = cases.GOOD_CALLS[name].make(np.dtype(np.float64))
            arguments["index"] = np.full_like(arguments["index"], value)
            with pytest.raises(ValueError, match="index holds values"):
                cases.kernel_of(reference, name)(**arguments)


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
    results = [cases.kernel_of(kernels, name)(**one) for one in (arguments, zeros)]
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
    cases.kernel_of(kernels, name)(**cases.GOOD_CALLS[name].make(dtype))
    cases.assert_same_bits(x * dtype.type(0.5), expected)
    assert np.all(expected > 0)
