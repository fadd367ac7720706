"""Named arrays in the safetensors format, which holds numbers and no code.

# Design:
# * Bytes are laid out and taken apart by the package safetensors, which is imported when it is
#   first needed. It compares all that a header says with the length of the file.
# * What a file of weights says of itself is one entry of the header, JSON under the name of this
#   package. A file of somebody else's has none, and its arrays are read all the same.
"""

import json
import os
from pathlib import Path

import numpy as np

from ._version import package_version
from .whole_file import whole_file

#: The version of the form of a file of weights; one that says a larger number is not read.
WEIGHTS_VERSION = 1

SUFFIX = ".safetensors"
_KEY = "sklearn_convnet"


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "files of weights and models need the package safetensors: "
            "pip install 'sklearn_convnet[safetensors]'"
        ) from error
    return safetensors.numpy


def is_weights_path(value):
    """True for a str or path-like that ends as the names of such files do."""
    return isinstance(value, (str, os.PathLike)) and os.fspath(value).endswith(SUFFIX)


def to_bytes(arrays, about=None):
    """Arrays by name in the safetensors format.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Of bool, integers or floats of at most 64 bits.
    about : dict, default=None
        What the file says of itself, as JSON.
    """
    metadata = None if about is None else {_KEY: json.dumps(about, sort_keys=True)}
    # The library reads memory from the first number on.
    return _safetensors().save({k: np.asarray(a, order="C") for k, a in arrays.items()}, metadata)


def from_bytes(data):
    """The arrays, by name.

    Raises
    ------
    ValueError
        If these bytes are no such file, or are damaged.
    """
    library = _safetensors()
    try:
        return library.load(data)
    except KeyError as error:
        raise ValueError(
            f"it has arrays of the dtype {error}, which numpy lacks: save them as F32"
        ) from None
    except Exception as error:  # of a foreign library, for bytes that may be anything
        raise ValueError(f"it is no safetensors file, or is damaged: {error}") from error


def about_of(data):
    """The dict that a file says of itself, empty where it says nothing; `from_bytes` reads it."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    try:
        about = json.loads((header.get("__metadata__") or {}).get(_KEY, "{}"))
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict):
        raise ValueError(f"what it says of itself under {_KEY!r} is damaged")
    return about


def check_version(found, known, what):
    """Raises ValueError unless a version is one that is known."""
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(f"its format_version is {found!r}, which is none")
    if found > known:
        raise ValueError(
            f"it is of version {found} of the format of {what}, but sklearn_convnet "
            f"{package_version()} knows versions up to {known}: install a newer one"
        )


def write_weights(path, arrays, about):
    """Writes arrays by path; `about` is what else the file says of itself."""
    about = {**about, "format_version": WEIGHTS_VERSION, "sklearn_convnet": package_version()}
    data = to_bytes(arrays, about)
    with whole_file(path) as file:
        file.write(data)


def read_weights(path):
    """The arrays of a safetensors file, by path.

    Raises
    ------
    ValueError
        If it is none, or damaged, or of a format that is not known yet.
    """
    data = Path(path).read_bytes()
    try:
        arrays = from_bytes(data)
        check_version(about_of(data).get("format_version", 1), WEIGHTS_VERSION, "weights")
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None
    return arrays
