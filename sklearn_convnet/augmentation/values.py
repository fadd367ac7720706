"""Transforms that change values, and move nothing."""

from __future__ import annotations

import functools
from numbers import Real

import numpy as np
from scipy.special import ndtri
from sklearn.utils._param_validation import Interval

from .._typing import PerAxis
from ..layers.shapes import per_axis
from .base import FINITE, Photometric, checked_range


def _factors(X, value, random_state):
    """A factor for each sample, its logarithm uniform; of the shape to multiply X with."""
    low, high = np.log(checked_range(value, "factor", 0, np.inf))
    factors = np.exp(random_state.uniform(low, high, len(X)))
    return factors.reshape(-1, *[1] * (X.ndim - 1)).astype(X.dtype)


class RandomBrightness(Photometric):
    """Multiplies each sample by a factor, for signals the gain; 0 stays 0.

    Parameters
    ----------
    factor : (float, float), default=(0.8, 1.25)
        Range of the factor, whose logarithm is uniform. Values are not clipped.

    Examples
    --------
    >>> from sklearn_convnet.augmentation import RandomBrightness
    >>> RandomBrightness((2, 2)).augment([[[1, 2], [3, 4]]])[0].round(4).tolist()
    [[[2.0, 4.0], [6.0, 8.0]]]
    """

    _parameter_constraints = {"factor": "no_validation"}

    def __init__(self, factor: tuple[float, float] = (0.8, 1.25)) -> None:
        self.factor = factor

    def _change(self, X, random_state):
        return X * _factors(X, self.factor, random_state)


class RandomContrast(Photometric):
    """Multiplies the differences of a sample's values from their mean by a factor.

    Parameters
    ----------
    factor : (float, float), default=(0.8, 1.25)
        Range of the factor, whose logarithm is uniform. Values are not clipped.

    Examples
    --------
    >>> from sklearn_convnet.augmentation import RandomContrast
    >>> RandomContrast((2, 2)).augment([[[1, 2], [3, 6]]])[0].round(4).tolist()
    [[[-1.0, 1.0], [3.0, 9.0]]]
    """

    _parameter_constraints = {"factor": "no_validation"}

    def __init__(self, factor: tuple[float, float] = (0.8, 1.25)) -> None:
        self.factor = factor

    def _change(self, X, random_state):
        mean = X.mean(axis=tuple(range(1, X.ndim)), keepdims=True)
        return mean + (X - mean) * _factors(X, self.factor, random_state)


@functools.cache
def _normal_quantiles():
    """65536 equally likely numbers: to look one up takes a third of the time to draw one."""
    return ndtri((np.arange(2**16) + 0.5) / 2**16)


class GaussianNoise(Photometric):
    """Adds Gaussian noise to each value.

    Parameters
    ----------
    stddev : float or (float, float)
        Standard deviation of the noise, in the units of X, or the range from which that of each
        sample is drawn, uniformly. The numbers are drawn from 65536 quantiles and reach 4.3
        standard deviations.

    Notes
    -----
    Transforms that move pixels average neighbours, and so reduce the noise of images. To keep a
    network from reading anything into that, add noise again in a `Compose`, with a range from 0, so
    that images get back more or less noise than they lost.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.augmentation import GaussianNoise
    >>> X, _, _ = GaussianNoise(0.1).augment(np.zeros((10, 32, 32)), random_state=0)
    >>> round(float(X.std()), 2)
    0.1
    >>> X, _, _ = GaussianNoise((0, 0.1)).augment(np.zeros((4, 32, 32)), random_state=0)
    >>> X.std(axis=(1, 2)).round(2).tolist()
    [0.06, 0.08, 0.09, 0.08]
    """

    _parameter_constraints = {"stddev": [Interval(Real, 0, None, closed="left"), "array-like"]}

    def __init__(self, stddev: float | tuple[float, float]) -> None:
        self.stddev = stddev

    def _change(self, X, random_state):
        generator = np.random.Generator(np.random.SFC64(random_state.randint(2**31 - 1)))
        drawn = generator.integers(2**16, size=X.shape, dtype=np.uint16)
        noise = _normal_quantiles().astype(X.dtype).take(drawn)
        noise *= self._deviations(X, random_state)
        noise += X
        return noise

    def _deviations(self, X, random_state):
        """One for all samples, or an array of the shape to multiply X with."""
        if isinstance(self.stddev, Real):
            return self.stddev
        ends = checked_range(self.stddev, "stddev", 0, np.inf, closed=True, instead="a number")
        drawn = random_state.uniform(*ends, len(X))
        return drawn.reshape(-1, *[1] * (X.ndim - 1)).astype(X.dtype)


class Cutout(Photometric):
    """Erases a square at a random place of each image.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout",
    2017. The centre is anywhere in the image, so a part of the square may lie outside.

    Parameters
    ----------
    size : int or tuple of int
        Length of a side in pixels, or ``(height, width)``.
    fill_value : float, default=0.0
        The value of X in the square.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.augmentation import Cutout
    >>> X, _, _ = Cutout(3).augment(np.ones((1, 5, 5)), random_state=0)
    >>> X[0].astype(int)
    array([[1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1],
           [0, 0, 1, 1, 1],
           [0, 0, 1, 1, 1]])
    """

    n_axes = 2

    _parameter_constraints = {"size": "no_validation", "fill_value": FINITE}

    def __init__(self, size: PerAxis, fill_value: float = 0.0) -> None:
        self.size = size
        self.fill_value = fill_value

    def _change(self, X, random_state):
        size = np.array(per_axis(self.size, 2, "size"))
        start = random_state.randint(X.shape[1:3], size=(len(X), 2)) - size // 2
        places = np.hstack([start.clip(0), start + size]).tolist()  # slicing by int is fastest
        X = X.copy()
        for image, (top, left, bottom, right) in zip(X, places, strict=True):
            image[top:bottom, left:right] = self.fill_value
        return X
