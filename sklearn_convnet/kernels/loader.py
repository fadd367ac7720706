"""Chooses the kernels: the best variant that is built and that this CPU can run."""

import functools
import importlib.util
import os
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import numpy as np

try:
    from . import _cpu
except ImportError as error:
    if importlib.util.find_spec(f"{__package__}._cpu") is not None:
        raise  # it is there, but does not load
    raise ImportError(
        f"no kernels are built in {Path(__file__).parent}. If this is the source tree, it hides "
        "the package that 'pip install .' installed: run Python from another folder, or install "
        "the tree itself with 'pip install --editable .'"
    ) from error

# The one table of variants, best first. `reference` is the numpy twin.
COMPILED = ("avx512", "avx2", "baseline")
VARIANTS = (*COMPILED, "reference")
DTYPES = ("float32", "float64")
ENVIRONMENT = "SKLEARN_CONVNET_KERNELS"
#: The form that convolutions take wherever it applies, for tests.
FORM_ENVIRONMENT = "SKLEARN_CONVNET_FORMS"
#: Winograd's form, by the size of its tiles; networks choose between it and those of the kernels.
WINOGRAD = {"winograd4": 4, "winograd2": 2}


def _is_built(variant):
    spec = importlib.util.find_spec(f"{__package__}._{variant}_float32")
    return variant == "reference" or spec is not None


@functools.cache
def why_not(variant):
    """Why a variant cannot be used here, or None if it can."""
    if variant not in VARIANTS:
        return f"unknown, choose one of {', '.join(VARIANTS)}"
    if not _is_built(variant):
        return "not built"
    if not _cpu.supports(variant):
        return "not supported by this CPU"
    return None


def variants():
    """The variants that can be used here, best first."""
    return [variant for variant in VARIANTS if why_not(variant) is None]


@functools.cache
def _best_variant():
    return variants()[0]


#: The variant that `using` has chosen, or None.
_CHOSEN = ContextVar("variant", default=None)


@contextmanager
def using(variant):
    """Inside, in this thread, kernels are those of a variant; a network keeps its first ones."""
    token = _CHOSEN.set(variant)
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def default_variant():
    """The variant in use: that of `using`, the one that the environment forces, or the best."""
    return forced_variant() or _best_variant()


def forced_variant():
    """The variant that `using` or the environment chooses, or None."""
    return _CHOSEN.get() or os.environ.get(ENVIRONMENT) or None


def forced_form(names):
    """The form that the environment forces, one of `names` or of `WINOGRAD`, or None."""
    name = os.environ.get(FORM_ENVIRONMENT) or None
    allowed = (*WINOGRAD, *names)
    if name is not None and name not in allowed:
        raise ValueError(f"{FORM_ENVIRONMENT} must be one of {', '.join(allowed)}, got {name!r}")
    return name


@functools.cache
def _load(dtype, variant):
    reason = why_not(variant)
    if reason is not None:
        raise ImportError(f"The kernels {variant!r} are {reason}.")
    if dtype.name not in DTYPES:
        raise ValueError(f"There are kernels for {' and '.join(DTYPES)}, not {dtype.name}.")
    name = "reference" if variant == "reference" else f"_{variant}_{dtype.name}"
    # A variant's module initialisation is itself compiled for its CPU: import it only now.
    module = importlib.import_module(f"{__package__}.{name}")
    form = forced_form(module.FORM_NAMES)
    if form in module.FORM_NAMES:
        module.force_form(form)
    return module


def kernels(dtype, variant=None):
    """The module of kernels for a dtype.

    Parameters
    ----------
    dtype : dtype
        float32 or float64.
    variant : {"avx512", "avx2", "baseline", "reference"}, default=None
        `None` is the one that the environment variable ``SKLEARN_CONVNET_KERNELS`` names,
        or the best that is built and that the CPU has.

    Raises
    ------
    ImportError
        If the variant is unknown, not built or not supported by this CPU.
    """
    return _load(np.dtype(dtype), variant or default_variant())
