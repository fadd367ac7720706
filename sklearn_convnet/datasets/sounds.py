"""Sounds that are drawn."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from .._typing import RandomState
from ..constraints import validate_params
from .checks import _AT_LEAST_0, _AT_LEAST_1

_BANDS, _FRAMES = 40, 15
#: The vowel begins at this frame, where the consonant ends.
_ONSET = 4
#: Bands of the two formants of a vowel in the middle of it, for a voice that is not shifted.
_FORMANTS = (10.0, 19.0)
#: By how many bands the formants of the three vowels rise.
_GLIDES = (-5.0, 0.0, 5.0)
#: Bands of the three consonants.
_BURSTS = (32.0, 33.5, 35.0)
#: Half the width of formants and bursts, in bands.
_WIDTH = 1.0


@validate_params(
    {
        "n_samples": _AT_LEAST_1,
        "shift": [Interval(Real, 0, 6, closed="both")],
        "noise": _AT_LEAST_0,
        "random_state": ["random_state"],
    }
)
def make_tones(
    n_samples: int = 100,
    *,
    shift: float = 5.0,
    noise: float = 0.4,
    random_state: RandomState = None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Make spectrograms of nine syllables, a consonant and a vowel each.

    A vowel is two formants that fall, stay or rise, and every voice has them in other bands. A
    consonant is a burst before it, and a little higher or lower it is another one. So vowels need
    much invariance to shifts in frequency, consonants little [1]_.

    Parameters
    ----------
    n_samples : int, default=100
        Number of syllables.
    shift : float, default=5.0
        Largest number of bands by which a voice is higher or lower than the middle one; at most 6.
    noise : float, default=0.4
        Standard deviation of the noise in each band and frame; formants and bursts have a
        height of 1.
    random_state : int, RandomState instance or None, default=None
        Seed of all random draws.

    Returns
    -------
    X : ndarray of shape (n_samples, 40, 15)
        Energy by band and frame, float32.
    y : ndarray of shape (n_samples,)
        Syllables, ``3 * consonant + vowel``: 0 to 8.

    References
    ----------
    .. [1] Deng, Abdel-Hamid and Yu, "A deep convolutional neural network using heterogeneous
       pooling for trading acoustic invariance with phonetic confusion", 2013.

    Examples
    --------
    >>> from sklearn_convnet.datasets import make_tones
    >>> X, y = make_tones(4, random_state=0)
    >>> X.shape, y.shape
    ((4, 40, 15), (4,))
    """
    rng = check_random_state(random_state)
    X = np.empty((n_samples, _BANDS, _FRAMES), np.float32)
    y = np.empty(n_samples, int)
    time = np.linspace(-0.5, 0.5, _FRAMES - _ONSET)
    for i, spectrogram in enumerate(X):
        y[i] = rng.randint(len(_BURSTS) * len(_GLIDES))
        consonant, vowel = divmod(y[i], len(_GLIDES))
        voice = rng.uniform(-shift, shift)
        burst = np.full(_ONSET, _BURSTS[consonant] + rng.uniform(-0.5, 0.5))
        formants = [formant + voice + _GLIDES[vowel] * time for formant in _FORMANTS]
        spectrogram[:, :_ONSET] = _ridge(burst)
        spectrogram[:, _ONSET:] = np.maximum(*map(_ridge, formants))
        spectrogram += rng.normal(scale=noise, size=spectrogram.shape)
    return X, y


def _ridge(centres):
    """Energy by band and frame around the band `centres` of each frame."""
    return np.exp(-(((np.arange(_BANDS)[:, np.newaxis] - centres) / _WIDTH) ** 2) / 2)
