"""Transforms that move the steps of signals."""

from __future__ import annotations

import numpy as np

from .base import FINITE, PROBABILITY, Geometric, log_uniform, signs, uniform
from .moves import about_centre


class RandomAffine1D(Geometric):
    """Shifts, stretches and reverses signals in time, in one resampling.

    A signal is reversed and stretched about its middle ``(length - 1) / 2``, then shifted, with
    linear interpolation; all its channels alike. Each range is ``(low, high)``; None leaves that
    part out.

    Parameters
    ----------
    translation : (float, float), default=None
        Steps by which a signal comes later; uniform.
    scale : (float, float), default=None
        The factor by which a signal becomes longer, and so slower and lower; its logarithm is
        uniform.
    flip : float, default=None
        Probability that a signal is reversed.
    fill_value : float, default=0.0
        The value of X before its first step and after its last.

    See Also
    --------
    RandomAffine : The same for images.
    RandomBrightness : A random gain.

    Notes
    -----
    X should be finite: interpolation spreads NaN to the steps around. Signals are not smoothed
    before they are shortened: with a factor of one half, frequencies above half of the highest
    alias to lower ones.

    Examples
    --------
    >>> from sklearn_convnet.augmentation import RandomAffine1D
    >>> later = RandomAffine1D(translation=(1, 1))
    >>> later.augment([[1, 2, 3, 4]])[0].tolist()
    [[0.0, 1.0, 2.0, 3.0]]

    A shift by up to 20 steps, and a tempo that differs by up to a quarter:

    >>> import numpy as np
    >>> augmentation = RandomAffine1D(translation=(-20, 20), scale=(0.8, 1.25))
    >>> augmentation.augment(np.ones((3, 100, 2)), random_state=0)[0].shape
    (3, 100, 2)
    """

    n_axes = 1

    _parameter_constraints = {
        "translation": "no_validation",
        "scale": "no_validation",
        "flip": [PROBABILITY, None],
        "fill_value": FINITE,
    }

    def __init__(
        self,
        translation: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        flip: float | None = None,
        fill_value: float = 0.0,
    ) -> None:
        self.translation = translation
        self.scale = scale
        self.flip = flip
        self.fill_value = fill_value

    def _moves(self, shape, random_state):
        n = shape[0]
        shift = uniform(random_state, self.translation, "translation", (n, 1))
        along = log_uniform(random_state, self.scale, "scale", n)
        if self.flip is not None:
            along = along * signs(random_state, self.flip, n)
        return about_centre(along[:, np.newaxis, np.newaxis], shift, shape)
