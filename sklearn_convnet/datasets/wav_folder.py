"""Sounds in folders, a class in each."""

from __future__ import annotations

import os
import warnings
from math import gcd
from numbers import Integral
from typing import Any, Literal

import numpy as np
from scipy.io import wavfile
from scipy.signal import resample_poly
from sklearn.utils import Bunch

from .._typing import PathLike, RandomState
from ..constraints import Interval, StrOptions, validate_params
from ..many_files import UnreadableError, read_in_turn
from ..messages import warn_caller
from .folders import Readable, files_by_class


@validate_params(
    {
        "path": [str, os.PathLike],
        "sampling_rate": [Interval(Integral, 1, None, closed="left"), None],
        "mono": ["boolean"],
        "random_state": ["random_state"],
        "on_error": [StrOptions({"raise", "warn"})],
    }
)
def load_wav_folder(
    path: PathLike,
    *,
    sampling_rate: int | None = None,
    mono: bool = True,
    random_state: RandomState = None,
    on_error: Literal["raise", "warn"] = "raise",
) -> Bunch:
    """Read sounds in WAV files from folders, a class in each subfolder.

    Classes have the names and the order of the subfolders, as `load_image_folder` has them.
    Integers become floats: silence is 0, and the largest that a file could hold is about 1. Files
    hold 8, 16, 24 or 32 bits, integers or floats, and are read by scipy. If files are shorter than
    their header says, what is there is taken, and a warning names them.

    Parameters
    ----------
    path : str or path-like
        The folder that has the subfolders.
    sampling_rate : int, default=None
        Values a second. Files of another rate are resampled (`scipy.signal.resample_poly`, which
        filters out what the new rate cannot hold). None is the rate of the files, which must be the
        same for all.
    mono : bool, default=True
        Whether channels are averaged. If not, each sound has an axis of channels, its last, and all
        must have as many.
    random_state : int or RandomState instance, default=None
        Shuffles the sounds. None leaves them in the order of their classes and names.
    on_error : {"raise", "warn"}, default="raise"
        What to do with files that cannot be read. All of them are named, in one error, or in one
        warning; then they are left out.

    Returns
    -------
    Bunch
        With the attributes

        data : ndarray of shape (n_samples, length[, n_channels]), or list of ndarray
            Sounds, float32. A list if they differ in length, which estimators take as well.
        target : ndarray of shape (n_samples,)
            Numbers of the classes.
        target_names : list of str
            Names of the classes.
        filenames : ndarray of shape (n_samples,)
            The files, as str.
        sampling_rate : int
            Values a second.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or it has no subfolders, or there is no ``.wav`` file in them.
    NotADirectoryError
        If `path` is a file.
    ValueError
        If files cannot be read, or differ in their rate and `sampling_rate` is None, or in their
        number of channels and `mono` is False.

    See Also
    --------
    pad_series : One array of sounds that differ in length.
    sklearn_convnet.preprocessing.Spectrogram : Energy by frequency and time.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from scipy.io import wavfile
    >>> from sklearn_convnet.datasets import load_wav_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, frequency in [("low", 220), ("high", 880)]:
    ...         Path(folder, name).mkdir()
    ...         wave = np.sin(2 * np.pi * frequency * np.arange(4000) / 8000)
    ...         wavfile.write(Path(folder, name, "a.wav"), 8000, (wave * 16384).astype(np.int16))
    ...     tones = load_wav_folder(folder)
    >>> tones.data.shape, tones.sampling_rate, tones.target_names, float(tones.data.max())
    ((2, 4000), 8000, ['high', 'low'], 0.5)
    """
    names, files, target = files_by_class(path, {".wav", ".wave"}, "WAV files", random_state)
    readable = Readable(read_in_turn(_read, files), len(files), on_error)
    sounds = list(readable)
    files = [files[i] for i in readable.kept]
    _tell_of_ends(files, [note for _, _, note in sounds])
    if sampling_rate is None:
        rates = [rate for rate, _, _ in sounds]
        sampling_rate = _same(files, rates, "sampling rate", "sampling_rate")
    if not mono:
        n_channels = [values.shape[1] for _, values, _ in sounds]
        _same(files, n_channels, "number of channels", "mono=True")
    data: Any = [_resampled(rate, values, sampling_rate, mono) for rate, values, _ in sounds]
    if len({sound.shape for sound in data}) == 1:
        data = np.stack(data)
    return Bunch(
        data=data,
        target=target[readable.kept],
        target_names=names,
        filenames=np.array(list(map(str, files))),
        sampling_rate=sampling_rate,
    )


def _read(path):
    """The rate of a file, its values as (length, n_channels), and a note, empty unless it ends too
    early."""
    try:
        with warnings.catch_warnings(record=True) as notes:
            # Other notes are of what the recorder has added.
            warnings.simplefilter("ignore", wavfile.WavFileWarning)
            warnings.filterwarnings("always", "Reached EOF", wavfile.WavFileWarning)
            rate, values = wavfile.read(path)
    except MemoryError:
        raise
    except Exception as error:
        raise UnreadableError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    if values.size == 0 or rate <= 0:
        raise UnreadableError(f"{path}: no sound: {values.size} values, {rate} a second")
    ends = [str(one.message) for one in notes if one.category is wavfile.WavFileWarning]
    return rate, _as_floats(values.reshape(len(values), -1)), "; ".join(ends)


def _tell_of_ends(files, notes):
    """Warns of files that end too early: a part is missing, or their header is wrong."""
    short = [f"{file}: {note}" for file, note in zip(files, notes, strict=True) if note]
    if short:
        warn_caller(
            f"{len(short)} of {len(files)} files are shorter than they say, and taken as they are: "
            f"{'; '.join(short)}",
            UserWarning,
        )


def _as_floats(values):
    """Silence is 0, and the largest integer about 1."""
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    if values.dtype == np.uint8:  # which has silence in the middle
        return (values.astype(np.float32) - 128) / 128
    return (values / -float(np.iinfo(values.dtype).min)).astype(np.float32)


def _same(files, values, what, fix):
    """The one value of all files; raises ValueError if there are several."""
    for file, value in zip(files, values, strict=True):
        if value != values[0]:
            raise ValueError(
                f"files differ in their {what}: {files[0]} has {values[0]}, {file} {value}; "
                f"set {fix}"
            )
    return values[0]


def _resampled(rate, values, wanted, mono):
    """Values at the wanted rate, one or several a time."""
    if mono:
        values = values.mean(axis=1)
    if rate == wanted:
        return values
    divisor = gcd(rate, wanted)
    return resample_poly(values, wanted // divisor, rate // divisor, axis=0).astype(np.float32)
