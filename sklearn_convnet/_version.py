"""The version of the installed package."""

import functools
from importlib.metadata import version


@functools.cache
def package_version():
    """The version, such as "0.1.0"."""
    return version("sklearn_convnet")
