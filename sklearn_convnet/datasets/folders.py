"""Folders with a subfolder for each class."""

import os
from itertools import chain
from pathlib import Path

import numpy as np
from sklearn.utils import check_random_state

from ..many_files import told
from ..messages import warn_caller


def files_by_class(path, endings, what, random_state):
    """The names of the classes, all files, and the number of the class of each.

    Parameters
    ----------
    path : str or path-like
        The folder that has the subfolders.
    endings : set of str
        Of the files.
    what : str
        The kind of file, in words.
    random_state : int, RandomState instance or None
        Shuffles the files, unless it is None.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it has no subfolders, or no such file is in them.
    NotADirectoryError
        If it is a file.
    """
    path = Path(path)
    if path.is_file():
        raise NotADirectoryError(f"{path}: a file, but path must be the folder of all classes")
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such folder")
    folders = sorted(entry for entry in path.iterdir() if entry.is_dir() and is_shown(entry.name))
    if not folders:
        raise FileNotFoundError(f"{path}: no subfolders there, one for each class")
    found = [list(_files_below(folder, endings)) for folder in folders]
    if not any(found):
        raise FileNotFoundError(
            f"{path}: no {what} in its subfolders, such as {folders[0].name}{_others(folders)}"
        )
    files = list(chain.from_iterable(found))
    target = np.repeat(np.arange(len(found)), [len(some) for some in found])
    if random_state is not None:
        order = check_random_state(random_state).permutation(len(files))
        files, target = [files[i] for i in order], target[order]
    return [folder.name for folder in folders], files, target


def is_shown(name):
    """True if it is not hidden, as what the system and editors leave is; macOS adds a folder with
    files about files to an archive."""
    return not name.startswith(".") and name != "__MACOSX"


def _files_below(folder, endings=None):
    """The files in a folder and in those below it, in the order of their names."""
    for where, below, files in os.walk(folder):
        below[:] = sorted(filter(is_shown, below))
        for name in sorted(filter(is_shown, files)):
            if endings is None or os.path.splitext(name)[1].lower() in endings:
                yield Path(where, name)


def _others(folders):
    """In words, the endings of the files that are there."""
    files = chain.from_iterable(map(_files_below, folders))
    endings = sorted({file.suffix.lower() or "no ending" for file in files})
    return f", but files with {', '.join(endings)}" if endings else ""


class Readable:
    """All that could be read of many files, one after the other; at the end the others are told of.

    Parameters
    ----------
    results : iterable
        Of each file what was read, or an exception.
    n_files : int
        Their number.
    on_error : {"raise", "warn"}
        Whether files that cannot be read are an error, a ValueError, or a warning.

    Attributes
    ----------
    kept : list of int
        Places of the files that could be read.
    """

    def __init__(self, results, n_files, on_error):
        self.results, self.n_files, self.on_error = results, n_files, on_error
        self.kept, self.errors = [], []

    def __iter__(self):
        for i, result in enumerate(self.results):
            if isinstance(result, Exception):
                self.errors.append(result)
            else:
                self.kept.append(i)
                yield result
        if self.errors:
            self._tell(told(self.errors, self.n_files))

    def _tell(self, problem):
        if not self.kept:
            raise ValueError(problem)
        if self.on_error == "raise":
            raise ValueError(f"{problem}. Remove them, or leave them out by on_error='warn'")
        warn_caller(f"{problem}. They are left out", UserWarning)
