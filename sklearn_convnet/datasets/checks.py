"""Checks of the parameters of makers."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval

_AT_LEAST_1 = [Interval(Integral, 1, None, closed="left")]
_AT_LEAST_0 = [Interval(Real, 0, None, closed="left")]


def _check_range(name, value, minimum=-np.inf):
    """Two numbers, the smaller one first."""
    low, high = value if len(value) == 2 else (np.nan, np.nan)
    if not minimum < low <= high < np.inf:
        above = "" if minimum == -np.inf else f", above {minimum}"
        raise ValueError(f"{name} must be (low, high) with low <= high{above}, got {value!r}")
