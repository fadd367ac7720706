"""Samples that differ in size, in the place of an array of them."""

from numbers import Integral

import numpy as np

from .beside import WithFeatures


class Ragged:
    """Samples that differ in size, each an array of its own.

    It has what a batch asks of an array of samples: its rows, its length, a shape and a dtype. A
    pass over it goes part by part, each of samples of one size and dtype.

    Parameters
    ----------
    samples : sequence of ndarray
        At least one; all have as many axes.

    Attributes
    ----------
    samples : list of ndarray
    rank : ndarray of shape (n_samples,)
        The order of the samples by size: those of one part have the same number.
    features : ndarray of shape (n_samples, n_features) or None
        What is beside them: see `beside`.
    """

    features = None

    def __init__(self, samples):
        self.samples = list(samples)
        keys = [(sample.size, sample.shape, sample.dtype.str) for sample in self.samples]
        place = {key: i for i, key in enumerate(sorted(set(keys)))}
        self.rank = np.array([place[key] for key in keys])

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, rows):
        """A sample, or those of a slice or an array, with the ranks that they have here."""
        if isinstance(rows, Integral):
            return self.samples[rows]
        taken = object.__new__(Ragged)
        taken.samples = [self.samples[i] for i in np.arange(len(self))[rows]]
        taken.rank = self.rank[rows]
        if self.features is not None:
            taken.features = self.features[rows]
        return taken

    @property
    def ndim(self):
        """Number of axes, with that of the samples."""
        return 1 + self.samples[0].ndim

    @property
    def shape(self):
        """Number of samples, and their shape with None where they differ."""
        axes = zip(*(sample.shape for sample in self.samples), strict=True)
        return (len(self), *(sizes[0] if len(set(sizes)) == 1 else None for sizes in axes))

    @property
    def dtype(self):
        """One that holds the numbers of all."""
        return np.result_type(*{sample.dtype for sample in self.samples})

    @property
    def smallest(self):
        """The smallest length of each axis."""
        return tuple(map(min, zip(*(sample.shape for sample in self.samples), strict=True)))

    @property
    def largest(self):
        """The shape of the sample that has the most values."""
        return self.samples[int(np.argmax(self.rank))].shape

    def first_of_sizes(self):
        """Index of the first sample of each shape, by shape, in order."""
        firsts = {}
        for i, sample in enumerate(self.samples):
            firsts.setdefault(sample.shape, i)
        return firsts

    def parts(self, most=None):
        """The rows of each part, in order, the smallest samples first; with `most`, of no more
        than so many."""
        order = np.argsort(self.rank, kind="stable")
        edges = np.flatnonzero(np.diff(self.rank[order])) + 1
        for rows in np.split(order, edges):
            for start in range(0, len(rows), most or len(rows)):
                yield rows[start : start + most if most else None]

    def stacked(self, rows):
        """The samples of a part, as an array; with their features, if they have some."""
        stack = np.stack([self.samples[i] for i in rows])
        return stack if self.features is None else WithFeatures(stack, self.features[rows])

    def map(self, function):
        """The samples after a function."""
        return Ragged(map(function, self.samples))


def as_ragged(y):
    """A list or an array of objects as `Ragged`, if it holds arrays that differ in size; else None.

    Raises
    ------
    ValueError
        If they have not as many axes.
    """
    if isinstance(y, (list, tuple)):
        samples = y
    elif hasattr(y, "dtype") and y.dtype.kind == "O" and np.ndim(y) == 1:
        samples = np.asarray(y)
    else:
        return None
    if len(samples) == 0 or np.ndim(samples[0]) == 0:
        return None
    samples = [np.asarray(sample) for sample in samples]
    n_axes = {sample.ndim for sample in samples}
    if len(n_axes) > 1:
        raise ValueError(f"the entries of y have {sorted(n_axes)} axes: give each as many")
    return Ragged(samples) if len({sample.shape for sample in samples}) > 1 else None


def rows_of(array, rows):
    """Rows of an array, or of `Ragged` samples that have one size there: an array."""
    if isinstance(array, Ragged):
        return array.stacked(np.arange(len(array))[rows])
    return array[rows]


def each_size(X, function, most=None):
    """The result of a function of X, for samples of one size at a time where X is `Ragged`.

    Parameters
    ----------
    X : ndarray or Ragged
    function : callable
        Returns an array with a row for each sample, or a list of such arrays.
    most : int, default=None
        The most samples at a time.

    Returns
    -------
    ndarray or list of ndarray
        In the order of X. Where rows differ in shape, as those of maps may, it is a list of them.
    """
    if not isinstance(X, Ragged):
        return function(X)
    parts = [(rows, function(X.stacked(rows))) for rows in X.parts(most)]
    if isinstance(parts[0][1], list):
        columns = zip(*(part for _, part in parts), strict=True)
        rows = [rows for rows, _ in parts]
        return [_in_order(len(X), list(zip(rows, c, strict=True))) for c in columns]
    return _in_order(len(X), parts)


def _in_order(n, parts):
    """Rows in the order of the indices that come with them, as `each_size` returns them."""
    if len({part.shape[1:] for _, part in parts}) == 1:
        whole = np.empty((n, *parts[0][1].shape[1:]), np.result_type(*(part for _, part in parts)))
        for rows, part in parts:
            whole[rows] = part
        return whole
    whole = [None] * n
    for rows, part in parts:
        for i, value in zip(rows, part, strict=True):
            whole[i] = value
    return whole
