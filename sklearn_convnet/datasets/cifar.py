"""Readers of CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import tarfile
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import StrOptions

from .._typing import PathLike
from ..constraints import validate_params

# The binary version of both has records without anything around them: one label a byte, or two,
# and then 32 x 32 red values, as many green and as many blue ones, each plane row by row.

_PLANES = (3, 32, 32)
_IMAGE_BYTES = 3 * 32 * 32


@validate_params({"label_names": ["boolean"]})
def read_cifar10(
    path: PathLike, *, label_names: bool = False
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Read the binary version of CIFAR-10: colour images of ten kinds of animals and vehicles.

    Nothing is unpacked onto the disk, and nothing in the files is run. The version for Python,
    which is made of pickles, is not read.

    Parameters
    ----------
    path : str or path-like
        The archive ``cifar-10-binary.tar.gz`` [1]_, or a folder that has its files
        (``data_batch_1.bin`` to ``data_batch_5.bin`` and ``test_batch.bin``), or in which its
        folder ``cifar-10-batches-bin`` is.
    label_names : bool, default=False
        True for labels such as ``"frog"``, from ``batches.meta.txt``, instead of 0 to 9.

    Returns
    -------
    X_train : ndarray of shape (n_train, 32, 32, 3)
        Training images, bytes: red, green and blue from 0 to 255.
    y_train : ndarray of shape (n_train,)
        Their labels, bytes or str.
    X_test : ndarray of shape (n_test, 32, 32, 3)
        Test images.
    y_test : ndarray of shape (n_test,)
        Their labels.

    Raises
    ------
    FileNotFoundError
        If files are missing, with their names.
    ValueError
        If the archive or a file is damaged.

    References
    ----------
    .. [1] Krizhevsky, "Learning multiple layers of features from tiny images", 2009;
       https://www.cs.toronto.edu/~kriz/cifar.html

    Examples
    --------
    >>> from sklearn_convnet.datasets import read_cifar10
    >>> X_train, y_train, X_test, y_test = read_cifar10(
    ...     "cifar-10-binary.tar.gz", label_names=True
    ... )  # doctest: +SKIP
    """
    train = [f"data_batch_{i}.bin" for i in range(1, 6)]
    labels = {"batches.meta.txt": 10}
    return _read_cifar(path, "cifar-10-batches-bin", train, "test_batch.bin", labels, label_names)


@validate_params(
    {
        "label_mode": [StrOptions({"fine", "coarse", "both"})],
        "label_names": ["boolean"],
    }
)
def read_cifar100(
    path: PathLike,
    *,
    label_mode: Literal["fine", "coarse", "both"] = "fine",
    label_names: bool = False,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Read the binary version of CIFAR-100: colour images of a hundred kinds of things.

    Nothing is unpacked onto the disk, and nothing in the files is run. The version for Python,
    which is made of pickles, is not read.

    Parameters
    ----------
    path : str or path-like
        The archive ``cifar-100-binary.tar.gz`` [1]_, or a folder that has its files
        (``train.bin`` and ``test.bin``), or in which its folder ``cifar-100-binary`` is.
    label_mode : {"fine", "coarse", "both"}, default="fine"
        ``"fine"`` for the 100 classes, ``"coarse"`` for the 20 groups of five that they form,
        ``"both"`` for two columns, first the group.
    label_names : bool, default=False
        True for labels such as ``"otter"``, from ``fine_label_names.txt`` and
        ``coarse_label_names.txt``, instead of numbers.

    Returns
    -------
    X_train : ndarray of shape (n_train, 32, 32, 3)
        Training images, bytes: red, green and blue from 0 to 255.
    y_train : ndarray of shape (n_train,) or (n_train, 2)
        Their labels, bytes or str.
    X_test : ndarray of shape (n_test, 32, 32, 3)
        Test images.
    y_test : ndarray of shape (n_test,) or (n_test, 2)
        Their labels.

    Raises
    ------
    FileNotFoundError
        If files are missing, with their names.
    ValueError
        If the archive or a file is damaged.

    References
    ----------
    .. [1] Krizhevsky, "Learning multiple layers of features from tiny images", 2009;
       https://www.cs.toronto.edu/~kriz/cifar.html

    Examples
    --------
    >>> from sklearn_convnet.datasets import read_cifar100
    >>> X_train, y_train, X_test, y_test = read_cifar100(
    ...     "cifar-100-binary.tar.gz", label_mode="both"
    ... )  # doctest: +SKIP
    """
    labels = {"coarse_label_names.txt": 20, "fine_label_names.txt": 100}
    X_train, y_train, X_test, y_test = _read_cifar(
        path, "cifar-100-binary", ["train.bin"], "test.bin", labels, label_names
    )
    columns = {"coarse": 0, "fine": 1, "both": slice(None)}[label_mode]
    return X_train, y_train[:, columns], X_test, y_test[:, columns]


def _read_cifar(path, folder, train, test, labels, label_names):
    """Images and labels of both parts; `labels` has the number of classes of each label by the
    file of their names. Where there is one label, y has one axis."""
    wanted = [*train, test, *(labels if label_names else ())]
    contents = _read_files(Path(path), folder, wanted)
    n_classes = list(labels.values())
    arrays = []
    for part in (train, [test]):
        records = [_records(f"{path}: {name}", contents[name], n_classes) for name in part]
        X, y = _images_and_labels(records, len(labels))
        if label_names:
            names = [_names(f"{path}: {name}", contents[name], n) for name, n in labels.items()]
            y = np.column_stack([some[codes] for some, codes in zip(names, y.T, strict=True)])
        arrays += [X, y[:, 0] if len(labels) == 1 else y]
    return tuple(arrays)


def _read_files(path, folder, wanted):
    """The bytes of files by their name."""
    if path.is_dir():
        there = [path / name for name in wanted]
        if not any(file.is_file() for file in there):
            there = [path / folder / name for name in wanted]
        contents = {file.name: file.read_bytes() for file in there if file.is_file()}
    else:
        contents = _read_archive(path, wanted)
    missing = [name for name in wanted if name not in contents]
    if missing:
        raise FileNotFoundError(
            f"{path}: no {', '.join(missing)} there, as the binary version of CIFAR has; the "
            "version for Python is not read"
        )
    return contents


def _read_archive(path, wanted):
    """The bytes of files in a tar archive, whatever folder they are in there."""
    contents, file = {}, path.open("rb")
    try:
        with file, tarfile.open(fileobj=file) as archive:
            for member in archive:
                name = PurePosixPath(member.name).name
                if name in wanted and member.isreg():
                    contents[name] = archive.extractfile(member).read()
            while archive.fileobj.read(2**16):  # up to gzip's check sum, which stands at the end
                pass
    except MemoryError:
        raise
    except Exception as error:  # each way of compressing has its own
        raise ValueError(f"{path}: neither a folder nor a sound tar archive: {error}") from error
    return contents


def _records(where, content, n_classes):
    """A file as an array with a row for each record, with labels that exist."""
    length = len(n_classes) + _IMAGE_BYTES
    if len(content) == 0 or len(content) % length:
        raise ValueError(
            f"{where} should be records of {length} bytes, but it has {len(content)} bytes, which "
            f"are {len(content) / length:.2f} records; is it damaged, or of another set?"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    for column, n in enumerate(n_classes):
        row = int(np.argmax(records[:, column]))
        if records[row, column] >= n:
            raise ValueError(
                f"{where}: record {row} has the label {records[row, column]}, but there are {n} "
                "classes, from 0; is it damaged, or of another set?"
            )
    return records


def _images_and_labels(records, n_labels):
    """Images with their channels last, and their labels, of several files as one array each."""
    y = np.concatenate([part[:, :n_labels] for part in records])
    planes = [part[:, n_labels:].reshape(-1, *_PLANES) for part in records]
    X = np.empty((len(y), *_PLANES[1:], _PLANES[0]), np.uint8)
    return np.concatenate([part.transpose(0, 2, 3, 1) for part in planes], out=X), y


def _names(where, content, n):
    """The names of n classes, one a line."""
    names = content.decode(errors="replace").split()
    if len(names) != n:
        raise ValueError(f"{where} should have the names of {n} classes, but has {len(names)}")
    return np.array(names)
