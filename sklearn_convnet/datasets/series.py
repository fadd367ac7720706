"""Series of unequal length."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval

from ..constraints import validate_params


@validate_params(
    {
        "length": [Interval(Integral, 1, None, closed="left"), None],
        "value": [Real],
        "channels_first": ["boolean"],
    }
)
def pad_series(
    series: Sequence[ArrayLike],
    *,
    length: int | None = None,
    value: float = 0.0,
    channels_first: bool = False,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Make one array of series of unequal length.

    Parameters
    ----------
    series : list of array-like of shape (length, n_channels) or (length,)
        Series with the same number of channels; an array of one axis has one channel.
    length : int, default=None
        Length of all series afterwards: longer ones are cut at their end. None is the length of
        the longest.
    value : float, default=0.0
        Value after the end of a shorter series.
    channels_first : bool, default=False
        Whether the series are `(n_channels, length)`, as those of aeon and sktime are.

    Returns
    -------
    X : ndarray of shape (n_series, length, n_channels)
        The series, channels last; float32 if all of them are, otherwise float64.
    lengths : ndarray of shape (n_series,)
        Number of steps of each series that are not padding.

    Raises
    ------
    ValueError
        If there is no series, or one is empty or has another number of axes or channels.

    Examples
    --------
    >>> from sklearn_convnet.datasets import pad_series
    >>> X, lengths = pad_series([[1, 2, 3], [4]])
    >>> X[:, :, 0]
    array([[1., 2., 3.],
           [4., 0., 0.]])
    >>> lengths
    array([3, 1])
    """
    arrays = [_checked_series(i, one, channels_first) for i, one in enumerate(series)]
    if not arrays:
        raise ValueError("series holds no series: at least one is needed")
    n_channels = arrays[0].shape[1]
    for i, one in enumerate(arrays):
        if one.shape[1] != n_channels:
            raise ValueError(
                f"series[{i}] has {one.shape[1]} channels, but series[0] has {n_channels}; "
                f"channels are expected {'first' if channels_first else 'last'}, see channels_first"
            )
    length = max(map(len, arrays)) if length is None else length
    all_single = all(one.dtype == np.float32 for one in arrays)
    X = np.full((len(arrays), length, n_channels), value, np.float32 if all_single else np.float64)
    for row, one in zip(X, arrays, strict=True):
        row[: len(one)] = one[:length]
    return X, np.array([min(len(one), length) for one in arrays])


def _checked_series(i, one, channels_first):
    """A series as (length, n_channels)."""
    one = np.asarray(one)
    if one.ndim not in (1, 2) or one.size == 0:
        raise ValueError(
            f"series[{i}] has shape {one.shape}: expected at least one step, as (length,) or "
            f"{'(n_channels, length)' if channels_first else '(length, n_channels)'}"
        )
    if one.ndim == 1:
        return one[:, np.newaxis]
    return one.T if channels_first else one
