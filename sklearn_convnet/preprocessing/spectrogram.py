"""From sounds to images of their frequencies.

# Design:
# * Frames lie inside of the signal: nothing is padded, so that what a frame shows depends on no
#   border, and a signal that is cut shows the same frames.
# * A value is a density, power per frequency: it depends neither on the length of the window nor on
#   the number of bands, and white noise has the same in each.
"""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann
from sklearn.base import TransformerMixin
from sklearn.utils import assert_all_finite
from sklearn.utils.validation import check_array

from ..constraints import Interval
from ..parameters import Parametrized

_ABOVE_0 = Interval(Real, 0, None, closed="neither")


class Spectrogram(TransformerMixin, Parametrized):
    """Transforms sounds, or other signals, into images of frequency by time.

    A window moves over the signal; the power spectrum of what it shows is a column of the image
    (short-time Fourier transform, Hann window). With `n_mels`, frequencies are gathered in bands of
    the width that the ear distinguishes, and logarithms are taken, since loudness is heard on such
    a scale. There is nothing to fit.

    Parameters
    ----------
    sampling_rate : float
        Values of the signal a second.
    window : float, default=0.025
        Length of the window in seconds.
    hop : float, default=0.01
        Step of the window in seconds.
    n_mels : int or None, default=40
        Number of bands. Their middles are equally far from each other on the mel scale,
        ``2595 log10(1 + f / 700)`` [1]_, and a band is a triangle from the middle of the band
        before to that of the band after it. None leaves all frequencies.
    f_min : float, default=0.0
        Where the lowest band begins, in Hz.
    f_max : float or None, default=None
        Where the highest band ends, in Hz; None is half the sampling rate.
    log : bool, default=True
        Whether to take the natural logarithm.
    floor : float, default=1e-10
        Smaller values are replaced by this before the logarithm.

    See Also
    --------
    sklearn_convnet.datasets.load_wav_folder : Sounds to transform.
    sklearn_convnet.layers.Standardize : A first layer that brings spectrograms to a common scale.

    Notes
    -----
    A value is the power spectral density of the signal, its unit squared per Hz, of positive
    frequencies only: the sum over all frequencies, times their distance, is the mean square of the
    signal. A band is a weighted mean of it. `scipy.signal.ShortTimeFFT` computes it; windows are
    filled up with zeros to a power of two.

    References
    ----------
    .. [1] O'Shaughnessy, "Speech communication: human and machine", 1987.

    Examples
    --------
    A tone of 1000 Hz, of one second:

    >>> import numpy as np
    >>> from sklearn_convnet.preprocessing import Spectrogram
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    >>> spectrogram = Spectrogram(8000, n_mels=None)
    >>> image = spectrogram.transform([tone])
    >>> image.shape  # frequencies from low to high, time, one channel
    (1, 129, 98, 1)
    >>> float(spectrogram.frequencies()[image[0, :, 50, 0].argmax()])
    1000.0
    """

    _parameter_constraints = {
        "sampling_rate": [_ABOVE_0],
        "window": [_ABOVE_0],
        "hop": [_ABOVE_0],
        "n_mels": [Interval(Integral, 1, None, closed="left"), None],
        "f_min": [Interval(Real, 0, None, closed="left")],
        "f_max": [_ABOVE_0, None],
        "log": ["boolean"],
        "floor": [_ABOVE_0],
    }

    def __init__(
        self,
        sampling_rate: float,
        *,
        window: float = 0.025,
        hop: float = 0.01,
        n_mels: int | None = 40,
        f_min: float = 0.0,
        f_max: float | None = None,
        log: bool = True,
        floor: float = 1e-10,
    ) -> None:
        self.sampling_rate = sampling_rate
        self.window = window
        self.hop = hop
        self.n_mels = n_mels
        self.f_min = f_min
        self.f_max = f_max
        self.log = log
        self.floor = floor

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Check the parameters and X.

        Parameters
        ----------
        X : array-like of shape (n_samples, length[, n_channels]), or list of such samples
            Signals.
        y : None
            Ignored.

        Returns
        -------
        self : Spectrogram

        Raises
        ------
        ValueError
            If a parameter is wrong, or a signal is shorter than the window or holds no finite
            numbers.
        """
        transform = self._transform()
        if self.n_mels is not None:
            self._bands(transform)
        self._signals(X, transform.m_num)
        return self

    def transform(self, X: ArrayLike) -> NDArray[Any] | list[NDArray[Any]]:
        """The images of signals.

        Parameters
        ----------
        X : array-like of shape (n_samples, length[, n_channels]), or list of such samples
            Signals, which may differ in length. Integers are taken as they are.

        Returns
        -------
        ndarray of shape (n_samples, n_bands, n_frames, n_channels), or list of ndarray
            float32, low frequencies first; a list where signals differ in length.

        Raises
        ------
        ValueError
            As `fit` does.
        """
        transform = self._transform()
        bands = None if self.n_mels is None else self._bands(transform)
        images = [self._image(one, transform, bands) for one in self._signals(X, transform.m_num)]
        return np.stack(images) if len({image.shape for image in images}) == 1 else images

    def frequencies(self) -> NDArray[Any]:
        """The frequency of each row of an image.

        Returns
        -------
        ndarray of shape (n_bands,)
            In Hz; of a band its middle.

        Raises
        ------
        ValueError
            If a parameter is wrong.
        """
        transform = self._transform()
        return transform.f if self.n_mels is None else self._edges()[1:-1]

    def _transform(self):
        """The transform that scipy computes."""
        self._validate_params()
        window, hop = (round(seconds * self.sampling_rate) for seconds in (self.window, self.hop))
        if window < 2 or hop < 1:
            raise ValueError(
                f"window={self.window} and hop={self.hop} are {window} and {hop} values at "
                f"sampling_rate={self.sampling_rate}: a window must have 2 or more, a hop 1"
            )
        return ShortTimeFFT(
            hann(window, sym=False),
            hop,
            self.sampling_rate,
            fft_mode="onesided2X",
            mfft=1 << (window - 1).bit_length(),
            scale_to="psd",
        )

    def _edges(self):
        """Where bands begin, have their middle and end, in Hz: each band shares two with those
        beside it."""
        highest = self.sampling_rate / 2
        f_max = highest if self.f_max is None else self.f_max
        if not self.f_min < f_max <= highest:
            raise ValueError(
                f"f_min={self.f_min} and f_max={self.f_max} must have f_min < f_max <= "
                f"sampling_rate / 2 = {highest}"
            )
        low, high = (2595 * np.log10(1 + f / 700) for f in (self.f_min, f_max))
        return 700 * (10 ** (np.linspace(low, high, self.n_mels + 2) / 2595) - 1)

    def _bands(self, transform):
        """The weights of frequencies in each band, which add up to 1."""
        edges = self._edges()
        low, middle, high = edges[:-2, np.newaxis], edges[1:-1, np.newaxis], edges[2:, np.newaxis]
        rising = (transform.f - low) / (middle - low)
        falling = (high - transform.f) / (high - middle)
        weights = np.maximum(0, np.minimum(rising, falling))
        sums = weights.sum(axis=1)
        if (sums == 0).any():
            i = int(np.argmin(sums))
            raise ValueError(
                f"n_mels={self.n_mels}: band {i}, from {edges[i]:.1f} to {edges[i + 2]:.1f} Hz, "
                f"has none of the frequencies, which are {transform.delta_f:.1f} Hz apart: use "
                "fewer bands, or a longer window"
            )
        return weights / sums[:, np.newaxis]

    def _image(self, signal, transform, bands):
        """Power by frequency or band, by frame and channel; of a signal (length, n_channels)."""
        n_frames = 1 + (len(signal) - transform.m_num) // transform.hop
        # The first window begins where the signal does: its middle is then at time 0.
        power = transform.spectrogram(
            signal, p0=0, p1=n_frames, k_offset=transform.m_num_mid, axis=0
        )
        power = np.moveaxis(power, 1, -1)  # frequency, time, channel
        if bands is not None:
            power = np.einsum("bf,ftc->btc", bands, power)
        if self.log:
            power = np.log(np.maximum(power, self.floor))
        return power.astype(np.float32)

    def _signals(self, X, shortest):
        """Signals as (length, n_channels), float64.

        Raises
        ------
        ValueError
            If there is none, or one is shorter than the window, or has other axes or values that
            are no finite numbers.
        """
        is_list = getattr(getattr(X, "dtype", None), "kind", None) in ("O", "U", "S")
        if hasattr(X, "ndim") and not is_list:
            how = dict(dtype=np.float64, allow_nd=True, ensure_min_features=shortest)
            X = check_array(X, **how, estimator=self, input_name="X")
        for i, one in enumerate(X):
            if isinstance(one, (str, bytes, os.PathLike)):
                raise ValueError(
                    f"X[{i}] is {one!r}, but must be numbers: read files first, such as by "
                    "load_wav_folder of sklearn_convnet.datasets"
                )
        signals = [np.asarray(one, dtype=np.float64) for one in X]
        if not signals:
            raise ValueError("X holds no signals: at least one is needed")
        for i, one in enumerate(signals):
            if one.ndim not in (1, 2):
                raise ValueError(
                    f"X[{i}] has shape {one.shape}: expected (length,) or (length, n_channels)"
                )
            if len(one) < shortest:
                raise ValueError(
                    f"X[{i}] has {len(one)} values, fewer than the window of {shortest}: pad it, "
                    "or set a shorter window"
                )
            assert_all_finite(one, input_name=f"X[{i}]")
        return [one.reshape(len(one), -1) for one in signals]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.requires_fit = False
        tags.no_validation = True
        return tags
