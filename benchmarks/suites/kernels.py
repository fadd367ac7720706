"""Every kernel, in the larger geometries of the tests.

A call is the good call of `kernel_cases`, with the sizes and options of a case.
"""

import kernel_cases as cases
import numpy as np
from kernel_cases import named

from sklearn_convnet.kernels import loader

from . import THREADS

# %%
# Changes that a case of each table makes in the good call


def axes(letters, shape):
    return dict(zip(letters.split(), shape, strict=True))


def convolution(case):
    options = ("stride", "padding", "dilation", "groups", "activation", "alpha", "pool_size")
    return {
        **axes("n D H W C", case.input_shape),
        **axes("n OD OH OW F", case.output_shape),
        **axes("KD KH KW c F", case.weight_shape),
        **{name: getattr(case, name) for name in options},
        **({} if case.use_bias else named(b=None, db=None)),
    }


def winograd(case):
    without_norm = named(affine=None, moments=None, normed=None, centre=None, sums=None)
    taps, names = case.kernel[1], ("padding", "dilation", "pool_size")
    geometry = {name: getattr(case, name)[1:] for name in names}
    return convolution(case) | without_norm | geometry | named(taps=taps)


def pool(case):
    return {
        **axes("n D H W C", case.input_shape),
        **axes("n OD OH OW C", case.output_shape),
        **named(pool_size=case.pool_size, stride=case.stride, padding=case.padding),
    }


def group_pool(case):
    return {
        **axes("n D H W C", case.input_shape),
        **axes("n OD OH OW C", case.output_shape),
        **named(groups=len(case.pool_sizes), stride=case.stride),
        **named(pool_sizes=cases.IN("groups three", "int64", case.pool_sizes)),
    }


def dense(case):
    return axes("n I U activation", case)


def batchnorm(case):
    m, channels, n, activation = case
    weight = named(weight=None) if n is None else named(n=n)
    sizes = named(m=m, A=channels, C=channels)
    return sizes | named(activation=activation, moments=None, sums=None) | weight


def batchnorm_map(case):
    return batchnorm(case) | named(weight=None)


def response_norm(case):
    return axes("m C size alpha beta bias", case)


def group_norm(case):
    return axes("n P C groups", case)


def upsample(case):
    n, size, channels, factors = case
    large = [s * k for s, k in zip(size, factors, strict=True)]
    return axes("n D H W C OD OH OW", (n, *size, channels, *large))


def resample(case):
    return axes("n H W C", case)


def resample_3d(case):
    return axes("n D H W C", case)


def attention(case):
    return axes("n L M heads d", case)


def activation(name):
    return named(m=2**16, activation=name)


TABLES = {
    "conv": (cases.CONV_CASES, convolution),
    "conv, pool": (cases.CONV_POOL_CASES, convolution),
    "winograd": (cases.WINOGRAD_CASES, winograd),
    "winograd, norm": (cases.WINOGRAD_CASES, winograd),
    "winograd, pool": (cases.WINOGRAD_POOL_CASES, winograd),
    "depthwise": (cases.DEPTHWISE_CASES, convolution),
    "dense": (cases.DENSE_CASES, dense),
    "maxpool": (cases.POOL_CASES, pool),
    "avgpool": (cases.POOL_CASES, pool),
    "lppool": (cases.POOL_CASES, pool),
    "group_maxpool": (cases.GROUP_POOL_CASES, group_pool),
    "batchnorm": (cases.BATCHNORM_CASES, batchnorm),
    "batchnorm, map": (cases.BATCHNORM_CASES, batchnorm_map),
    "response_norm": (cases.RESPONSE_NORM_CASES, response_norm),
    "groupnorm": (cases.GROUPNORM_CASES, group_norm),
    "upsample": (cases.UPSAMPLE_CASES, upsample),
    "take_rows": (cases.ROW_CASES, dict),
    "take_bytes": (cases.ROW_CASES, dict),
    "affine_resample": (cases.RESAMPLE_CASES, resample),
    "affine_resample_nearest": (cases.RESAMPLE_CASES, resample),
    "affine_resample_3d": (cases.VOLUME_CASES, resample_3d),
    "affine_resample_3d_nearest": (cases.VOLUME_CASES, resample_3d),
    "attention": (cases.ATTENTION_CASES, attention),
    "activation": ({name: name for name in cases.ALL_ACTIVATIONS}, activation),
}

#: For the kernels without a table: rows of maps, pixels of images.
MAPS = named(m=2**14, C=32, F=64, K=10, width=30, n=64, P=196)
#: For the optimisers: two segments of all parameters.
SEGMENTS = cases.IN("s two", "int64", ((0, 2**16), (2**16, 2**17)))
PARAMETERS = named(p=2**17, segments=SEGMENTS)


# %%
# Calls


def cases_of(name):
    """The cases of a good call by name, and what a case changes."""
    family = name
    for step in ("_forward", "_backward", "_statistics"):
        family = family.replace(step, "")
    large = PARAMETERS if "p" in cases.GOOD_CALLS[name].sizes else MAPS
    return TABLES.get(family, ({"large": large}, dict))


def make_call(name, changes):
    """A good call with those of the changes that it knows."""
    call = cases.GOOD_CALLS[name]
    known = call.sizes.keys() | call.arguments.keys()
    return call.replace(**{key: value for key, value in changes.items() if key in known})


def make_arguments(kernels, of_call, changes):
    """Random numbers, and for a gradient what the forward kernel has saved."""
    call = make_call(of_call, changes)
    arguments = call.make(np.float32)
    rng = np.random.default_rng(0)
    for name, array in call.arrays.items():
        value = arguments[name]
        if value.dtype.kind == "f" and array.is_read:
            arguments[name] = rng.random(value.shape).astype(value.dtype)
    forward = of_call.replace("_backward", "_forward")
    if forward not in cases.GOOD_CALLS:
        forward = cases.kernel_name(forward)
    if forward != of_call:
        saved = make_arguments(kernels, forward, changes)
        cases.kernel_of(kernels, forward)(**saved)
        arrays = cases.GOOD_CALLS[forward].arrays
        arguments |= {
            name: saved[name]
            for name in arrays.keys() & call.arrays.keys()
            if arrays[name].axes == call.arrays[name].axes
        }
    return arguments


class _Kernel:
    param_names = ("case", "threads")

    def setup(self, name, threads):
        kernels = loader.kernels("float32")
        table, change = cases_of(self.name)
        changes = change(table[name]) | named(n_threads=threads)
        self.run = cases.kernel_of(kernels, self.name)
        self.arguments = make_arguments(kernels, self.name, changes)

    def time_call(self, name, threads):
        self.run(**self.arguments)


# A benchmark for each call, under its name: conv_forward, conv_forward_pool ...
for _name in cases.GOOD_CALLS:
    _members = {"name": _name, "params": (list(cases_of(_name)[0]), THREADS)}
    _class = _name.replace(", ", "_")
    globals()[_class] = type(_class, (_Kernel,), _members)
