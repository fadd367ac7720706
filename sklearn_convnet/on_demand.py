"""Samples that are read when their turn comes, in the place of an array of them.

# Design:
# * What a user gives is `Stored`: samples somewhere else, of one shape, each of which is read by
#   itself. Rows of it are `Stored` again, so that splits and searches read nothing.
# * For the time of a fit or a prediction it becomes `OnDemand`, rows of which are arrays, as those
#   of a memory map are. Whoever goes through it says what is needed next, and threads read that
#   while the network is at work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from math import prod
from numbers import Integral
from typing import Any

import joblib
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .beside import WithFeatures
from .many_files import UnreadableError, told


class Stored(ABC):
    """Samples of one shape and dtype that are read one by one.

    Attributes
    ----------
    shape : tuple of int
        Number of samples, and the shape of one.
    dtype : dtype
    n_jobs : int or None
        Number of threads that read.
    """

    @abstractmethod
    def read(self, i: int) -> NDArray[Any]:
        """Sample i."""

    def __len__(self):
        return self.shape[0]


#: What an estimator takes as X.
Samples = ArrayLike | Stored


class OnDemand:
    """`Stored` samples as an array of which rows are read when they are asked for.

    Parameters
    ----------
    stored : Stored
    sample_shape : tuple of int, default=None
        Of a sample here, if it is another one of as many values.

    Attributes
    ----------
    features : ndarray of shape (n, n_features) or None
        What is beside them: see `beside`.
    """

    features = None

    def __init__(self, stored, sample_shape=None):
        self.stored = stored
        self.shape = (len(stored), *(sample_shape or stored.shape[1:]))
        self.dtype, self.ndim, self.size = stored.dtype, len(self.shape), prod(self.shape)
        self._pool = ThreadPoolExecutor(joblib.effective_n_jobs(stored.n_jobs))
        self._expected = {}

    def __len__(self):
        return self.shape[0]

    def reshape(self, _, *sample_shape):
        """The same samples in another shape."""
        return OnDemand(self.stored, sample_shape)

    def transpose(self, *axes):
        """Raises ValueError: it is read with the channels last."""
        raise ValueError(
            f"X is {type(self.stored).__name__}, whose channels are last: set "
            "data_format='channels_last'"
        )

    def expect(self, rows):
        """Let threads begin to read rows that are soon asked for."""
        for row in self._numbers(rows):
            if row not in self._expected:
                self._expected[row] = self._pool.submit(self.stored.read, row)

    def __getitem__(self, rows):
        """A sample, or an array of those of a slice or an array."""
        if isinstance(rows, Integral):
            return self[[rows]][0]
        rows = self._numbers(rows)
        self.expect(rows)
        reads = {row: self._expected.pop(row) for row in dict.fromkeys(rows)}
        errors = [read.exception() for read in reads.values() if read.exception() is not None]
        if errors:
            _raise(errors, len(rows))
        taken = np.empty((len(rows), *self.shape[1:]), self.dtype)
        for place, row in enumerate(rows):
            taken[place] = reads[row].result().reshape(self.shape[1:])
        return taken if self.features is None else WithFeatures(taken, self.features[rows])

    def _numbers(self, rows):
        """The rows of a slice or an array, one by one."""
        if isinstance(rows, slice):
            return range(*rows.indices(len(self)))
        return np.asarray(rows).tolist()


def _raise(errors, n):
    """Raises one error about all files, of n, that cannot be read."""
    for error in errors:
        if not isinstance(error, UnreadableError):
            raise error
    raise ValueError(told(errors, n))


def ahead(X, selections):
    """Selections of rows of X, one after the other; where X is `OnDemand`, it reads those of the
    next while its user is at work on one."""
    selections = list(selections)
    if not isinstance(X, OnDemand):
        yield from selections
        return
    for now, then in pairwise([*selections, None]):
        for rows in (now, then):
            if rows is not None:
                X.expect(rows)
        yield now
