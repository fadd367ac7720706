"""Many files: their names, and what is read of them, in order, by several threads.

# Design:
# * Each file is read by itself, so that what is read depends on no other file and on no thread.
# * A file that cannot be read does not end the reading of the others: whoever has ten thousand
#   files is told of all that are damaged at once.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np

#: So many files are read before what was read is handed on, for each thread.
_FILES_A_THREAD = 16


def listed_paths(paths, name="paths"):
    """Names of files as a list of str.

    Parameters
    ----------
    paths : iterable of str or path-like
        A table or array of one column is taken as that column.

    Raises
    ------
    TypeError
        If it is one name, or something in it is none.
    ValueError
        If there are several columns.
    """
    if isinstance(paths, (str, bytes, os.PathLike)):
        raise TypeError(f"{name} must be a list of files, got {paths!r}: give [{paths!r}]")
    if hasattr(paths, "ndim") and paths.ndim != 1:
        if paths.ndim != 2 or paths.shape[1] != 1:
            raise ValueError(
                f"{name} must be one column, got shape {paths.shape}: give one of them"
            )
        paths = np.asarray(paths)[:, 0]
    found = list(paths)
    for i, path in enumerate(found):
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"{name}[{i}] must be a str or path-like, got {path!r}")
    return [os.fspath(path) for path in found]


class UnreadableError(ValueError):
    """A file that is not there, damaged, of another kind, or has values whose meaning is not
    known."""


def read_in_turn(read, paths, n_jobs=None):
    """The result of `read` for each path, or its `UnreadableError`, in order; threads read some
    files at a time.

    Parameters
    ----------
    read : callable
    paths : sequence of str or path-like
    n_jobs : int, default=None
        Number of threads, as everywhere in scikit-learn.
    """

    def attempt(path):
        try:
            return read(path)
        except UnreadableError as error:
            return error

    n_threads = joblib.effective_n_jobs(n_jobs)
    if n_threads == 1:
        yield from map(attempt, paths)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        step = n_threads * _FILES_A_THREAD
        for start in range(0, len(paths), step):
            yield from pool.map(attempt, paths[start : start + step])


def told(errors, n_files):
    """One sentence about all files that could not be read."""
    return f"{len(errors)} of {n_files} files cannot be read: {'; '.join(map(str, errors))}"
