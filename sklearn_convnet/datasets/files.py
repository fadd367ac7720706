"""Readers of files."""

from __future__ import annotations

import gzip
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._typing import PathLike

# MNIST and its relatives (Fashion-MNIST, KMNIST) come as IDX files: two zero bytes, a byte for
# the type, a byte for the number of axes, their sizes and then the values, in C order, all of
# it big-endian.

#: Types of an IDX file by their code.
_IDX_DTYPES = {
    0x08: ">u1",
    0x09: ">i1",
    0x0B: ">i2",
    0x0C: ">i4",
    0x0D: ">f4",
    0x0E: ">f8",
}

_IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: PathLike) -> NDArray[Any]:
    """Read an IDX file, the format in which MNIST is distributed.

    Parameters
    ----------
    path : str or path-like
        The file, plain or compressed by gzip, whatever its name.

    Returns
    -------
    ndarray
        Of the shape and type that the file names, in the byte order of the machine.

    Raises
    ------
    ValueError
        If it is no IDX file, or has more or fewer bytes than it should have.

    Examples
    --------
    Two images of 1 x 3 pixels:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_convnet.datasets import read_idx
    >>> header = bytes([0, 0, 0x08, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "images-idx3-ubyte")
    ...     _ = path.write_bytes(header + bytes([0, 10, 20, 30, 40, 50]))
    ...     read_idx(path)
    array([[[ 0, 10, 20]],
           [[30, 40, 50]]], dtype=uint8)
    """
    content = _read_bytes(path)
    dtype, shape, start = _idx_header(path, content)
    expected = start + prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise ValueError(
            f"{path}: an IDX file of {dtype.newbyteorder('=')} of shape {shape} has "
            f"{expected} bytes, but this one has {len(content)}; is it damaged?"
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _read_bytes(path):
    """The content of a file, unpacked if it is compressed."""
    content = Path(path).read_bytes()
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from error


def _idx_header(path, content):
    """The dtype, the shape and the place of the first value."""
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(
            f"{path}: not an IDX file: it should begin with two zero bytes, a type and "
            f"a number of axes, but begins with {content[:4]!r}"
        )
    code, n_axes = content[2:4]
    if code not in _IDX_DTYPES:
        known = ", ".join(f"0x{known:02x}" for known in _IDX_DTYPES)
        raise ValueError(f"{path}: not an IDX file: its type is 0x{code:02x}, none of {known}")
    start = 4 + 4 * n_axes
    if len(content) < start:
        raise ValueError(
            f"{path}: the header of an IDX file with {n_axes} axes has {start} bytes, "
            f"but the file has {len(content)}; is it damaged?"
        )
    shape = struct.unpack_from(f">{n_axes}I", content, 4)
    return np.dtype(_IDX_DTYPES[code]), shape, start


def read_idx_folder(
    folder: PathLike,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Read the four IDX files of MNIST, Fashion-MNIST or another set in their form.

    Parameters
    ----------
    folder : str or path-like
        Where ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte`` are. Each may be
        compressed, with ``.gz`` after its name, and may have a dot before ``idx``.

    Returns
    -------
    X_train : ndarray of shape (n_train, height, width)
        Training images, usually bytes.
    y_train : ndarray of shape (n_train,)
        Their labels.
    X_test : ndarray of shape (n_test, height, width)
        Test images.
    y_test : ndarray of shape (n_test,)
        Their labels.

    Raises
    ------
    FileNotFoundError
        If files are missing, with their names.
    ValueError
        If a file is damaged, or images and labels differ in number.

    Examples
    --------
    >>> from sklearn_convnet.datasets import read_idx_folder
    >>> X_train, y_train, X_test, y_test = read_idx_folder(
    ...     "/usr/share/datasets/fashion-mnist"
    ... )  # doctest: +SKIP
    """
    found = {name: _find_idx(folder, name) for name in _IDX_NAMES}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise FileNotFoundError(
            f"{folder}: no {', '.join(missing)} there, neither plain nor with .gz"
        )
    train_images, train_labels, test_images, test_labels = found.values()
    return (
        *_read_pair(train_images, train_labels),
        *_read_pair(test_images, test_labels),
    )


def _find_idx(folder, name):
    """The path of a file under one of its names, or None."""
    for stem in (name, name.replace("-idx", ".idx")):
        for ending in ("", ".gz"):
            path = Path(folder, stem + ending)
            if path.is_file():
                return path
    return None


def _read_pair(images_path, labels_path):
    """Images and labels, checked against each other."""
    images, labels = read_idx(images_path), read_idx(labels_path)
    for path, array, n_axes in ((images_path, images, 3), (labels_path, labels, 1)):
        if array.ndim != n_axes:
            raise ValueError(
                f"{path}: expected an array with {n_axes} axes, got shape {array.shape}"
            )
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} has {len(images)} images, but {labels_path} has {len(labels)} labels"
        )
    return images, labels
