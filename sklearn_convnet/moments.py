"""Weight, mean and spread of columns that come in parts."""

import numpy as np


class RunningMoments:
    """Moments of columns, gathered part by part; NaN is left out.

    Parts are merged as by Chan, Golub and LeVeque (1983), in float64 and relative to the first
    number of each column: what is constant has a spread of exactly 0.

    Attributes
    ----------
    weight : ndarray of shape (n_columns,)
        Sum of the weights of each column's numbers.
    spread : ndarray of shape (n_columns,)
        Weighted sum of squared deviations from the mean.
    """

    def __init__(self):
        self._origin = None
        self._mean = 0.0
        self.weight = self.spread = np.zeros(1)

    def add(self, values, weight):
        """Count a part.

        Parameters
        ----------
        values : ndarray of shape (n, n_columns)
        weight : ndarray of shape (n,) or (n, n_columns)
        """
        values = values.astype(np.float64)
        known = ~np.isnan(values)
        if self._origin is None:
            self._origin = np.full(values.shape[1], np.nan)
        new = np.isnan(self._origin)
        if new.any():
            first = values[known.argmax(axis=0), np.arange(values.shape[1])]
            self._origin = np.where(new, first, self._origin)
        values -= self._origin
        w = np.asarray(weight, np.float64).reshape(len(values), -1)
        if not known.all():
            values[~known] = 0
            w = w * known
        with np.errstate(over="ignore", invalid="ignore"):  # whoever reads it tells
            self._merge(values, w, w.sum(axis=0) * np.ones(values.shape[1]))

    def _merge(self, values, weight, added):
        mean = (weight * values).sum(axis=0) / np.where(added == 0, 1.0, added)
        self._take_in(mean, (weight * (values - mean) ** 2).sum(axis=0), added)

    def merge(self, other):
        """Count all that another one has seen, after what this one has."""
        if other._origin is None:
            return
        if self._origin is None:
            self._origin = np.full(len(other._origin), np.nan)
        new = np.isnan(self._origin)
        self._origin = np.where(new, other._origin, self._origin)
        with np.errstate(over="ignore", invalid="ignore"):  # whoever reads it tells
            shift = np.nan_to_num(other._origin - self._origin)
            self._take_in(other._mean + shift, other.spread, other.weight)

    def _take_in(self, mean, spread, added):
        """Merge moments of some weight; the mean is relative to the origin."""
        total = self.weight + added
        share = added / np.where(total == 0, 1.0, total)
        shift = mean - self._mean
        self.spread = self.spread + spread
        self.spread = self.spread + shift**2 * (self.weight * share)
        self._mean = self._mean + shift * share
        self.weight = total

    @property
    def mean(self):
        """Mean of each column; 0 where no number was seen."""
        return np.nan_to_num(self._origin) + self._mean

    @property
    def variance(self):
        """Spread of each column over its weight; 0 where no number was seen."""
        return self.spread / np.where(self.weight == 0, 1.0, self.weight)
