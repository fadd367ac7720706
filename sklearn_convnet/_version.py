"""The version of the installed package."""

import functools
from importlib.metadata import version


@functools.cache
def package_version():
    """The version, such as "0.2.0"."""
    return version("sklearn_convnet")
