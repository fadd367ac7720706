"""The kernels that were built, and those in use."""

from __future__ import annotations

import platform

import numpy
import scipy
import sklearn

from ._version import package_version
from .kernels import _cpu, loader
from .threads import effective_n_threads


def show_config() -> None:
    """Print versions, the kernels that were built, and those that are in use.

    The environment variable ``SKLEARN_CONVNET_KERNELS`` forces a variant of the kernels.

    Examples
    --------
    >>> from sklearn_convnet import show_config
    >>> show_config()  # doctest: +ELLIPSIS
    sklearn_convnet ...
    ...
    """
    print(f"sklearn_convnet {package_version()}")
    print(
        f"python {platform.python_version()}, numpy {numpy.__version__}, "
        f"scipy {scipy.__version__}, scikit-learn {sklearn.__version__}"
    )
    print(f"machine {platform.machine()}, {platform.system()}")
    openmp = "yes" if _cpu.has_openmp() else "no: the kernels run on one thread"
    print(f"built with OpenMP: {openmp}")
    print(f"threads by default: {effective_n_threads()}")
    for variant in loader.VARIANTS:
        reason = loader.why_not(variant)
        in_use = " (in use)" if variant == loader.default_variant() else ""
        print(f"kernels {variant}: {'available' if reason is None else reason}{in_use}")
