"""Sounds in WAV files, and their spectrograms."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import struct

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.io import wavfile
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.datasets import load_wav_folder
from sklearn_convnet.layers import Conv2D, GlobalMaxPool, Standardize
from sklearn_convnet.preprocessing import Spectrogram

RATE = 4000


def tone(frequency, length=RATE // 2, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(length) / rate)


def saved(folder, name, values, rate=RATE):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    wavfile.write(path, rate, values)
    return path


# ---------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------


def of_24_bits(values):
    """A file of 24 bits, which scipy reads and does not write."""
    content = b"".join(struct.pack("<i", value)[:3] for value in (values * 2**23).astype(int))
    form = struct.pack("<HHIIHH", 1, 1, RATE, 3 * RATE, 3, 24)
    chunks = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(content))
    return b"RIFF" + struct.pack("<I", 4 + len(chunks) + len(content)) + b"WAVE" + chunks + content


def test_every_kind_of_values(tmp_path):
    wave = tone(100)
    kinds = {
        "8": ((wave * 128 + 128).astype(np.uint8), 2**-7),
        "16": ((wave * 2**15).astype(np.int16), 2**-15),
        "32": ((wave * 2**31).astype(np.int32), 2**-23),
        "float": (wave.astype(np.float32), 0),
        "double": (wave, 2**-24),
    }
    for name, (values, _) in kinds.items():
        saved(tmp_path, f"all/{name}.wav", values)
    (tmp_path / "all" / "24.WAV").write_bytes(of_24_bits(wave))
    found = load_wav_folder(tmp_path)
    assert found.data.shape == (6, len(wave))
    assert found.data.dtype == np.float32
    assert found.sampling_rate == RATE
    for name, values in zip(found.filenames, found.data, strict=True):
        kind = name.split("/")[-1].split(".")[0]
        assert_allclose(values, wave, atol=kinds.get(kind, (None, 2**-22))[1] + 2**-24)


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        saved(tmp_path, f"high/{i}.wav", tone(800 + i).astype(np.float32))
        saved(tmp_path, f"low/{i}.wav", tone(200 + i).astype(np.float32))
    (tmp_path / "low" / "notes.txt").touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_a_folder(folder):
    found = load_wav_folder(folder)
    assert found.target_names == ["empty", "high", "low"]
    assert found.target.tolist() == [1, 1, 1, 2, 2, 2]
    assert_array_equal(found.data[4], tone(201).astype(np.float32))
    mixed = load_wav_folder(str(folder), random_state=0)
    assert mixed.filenames.tolist() != found.filenames.tolist()
    place = {name: i for i, name in enumerate(found.filenames)}
    rows = [place[name] for name in mixed.filenames]
    assert_array_equal(mixed.data, found.data[rows])
    assert_array_equal(mixed.target, found.target[rows])


def test_lengths_and_channels(folder):
    both = np.stack([tone(300, 900), tone(500, 900)], axis=1).astype(np.float32)
    saved(folder, "low/stereo.wav", both)
    found = load_wav_folder(folder)
    assert [sound.shape for sound in found.data] == [(2000,)] * 6 + [(900,)]
    assert_allclose(found.data[-1], both.mean(axis=1), atol=1e-7)
    with pytest.raises(ValueError, match=r"differ in their number of channels: .* set mono=True"):
        load_wav_folder(folder, mono=False)
    for i in range(3):
        (folder / "high" / f"{i}.wav").unlink()
        (folder / "low" / f"{i}.wav").unlink()
    assert_array_equal(load_wav_folder(folder, mono=False).data, [both])


def test_other_rates(folder):
    saved(folder, "low/fast.wav", tone(201, 4000, 2 * RATE).astype(np.float32), 2 * RATE)
    with pytest.raises(ValueError, match=r"differ in their sampling rate: .*4000.*8000; set samp"):
        load_wav_folder(folder)
    found = load_wav_folder(folder, sampling_rate=RATE)
    assert found.sampling_rate == RATE
    sound = dict(zip(found.filenames, found.data, strict=True))
    slow, fast = (sound[str(folder / "low" / name)] for name in ("1.wav", "fast.wav"))
    assert fast.dtype == np.float32
    assert_allclose(fast[50:-50], slow[50:-50], atol=2e-3)
    assert_array_equal(slow, tone(201).astype(np.float32))


def test_damaged_files(folder):
    (folder / "low" / "1.wav").write_bytes(b"RIFF")
    (folder / "high" / "0.wav").write_bytes(b"no sound at all, but text")
    saved(folder, "high/none.wav", np.zeros(0, np.int16))
    named = r"3 of 7 files cannot be read: .*high.0\.wav: .*high.none\.wav: .*low.1\.wav: "
    with pytest.raises(ValueError, match=named):
        load_wav_folder(folder)
    with pytest.warns(UserWarning, match=named + ".*left out"):
        found = load_wav_folder(folder, on_error="warn")
    assert found.target.tolist() == [1, 1, 2, 2]
    assert len(found.data) == len(found.filenames) == 4


@pytest.mark.parametrize("note", [b"note" + struct.pack("<I", 4) + b"text", b"\0\0"])
def test_a_note_of_the_recorder_is_no_warning(folder, note):
    path = folder / "low" / "0.wav"
    content = path.read_bytes() + note
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    assert len(load_wav_folder(folder).data) == 6


def test_files_that_end_too_early(folder):
    path = folder / "low" / "0.wav"
    whole = path.read_bytes()
    path.write_bytes(whole[:-400])
    named = r"1 of 6 files are shorter than they say, .*low.0\.wav: Reached EOF prematurely"
    with pytest.warns(UserWarning, match=named) as caught:
        found = load_wav_folder(folder)
    assert [one.filename for one in caught] == [__file__]
    assert_array_equal(found.data[3], tone(200)[:-100].astype(np.float32))
    path.write_bytes(whole[:46])  # within a value
    with pytest.raises(ValueError, match=r"1 of 6 files cannot be read: .*low.0\.wav: "):
        load_wav_folder(folder)


def test_bad_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="no subfolders there"):
        load_wav_folder(tmp_path)
    (tmp_path / "dogs").mkdir()
    with pytest.raises(FileNotFoundError, match="no WAV files in its subfolders, such as dogs"):
        load_wav_folder(tmp_path)
    with pytest.raises(ValueError, match="'sampling_rate' parameter"):
        load_wav_folder(tmp_path, sampling_rate=0)


# ---------------------------------------------------------------------------
# Spectrograms
# ---------------------------------------------------------------------------


@parametrize_with_checks([Spectrogram(1.0, window=2, hop=1, n_mels=None)])
def test_check(estimator, check):
    check(estimator)


@pytest.mark.oldest
@pytest.mark.parametrize(("window", "hop"), [(64, 16), (50, 20), (33, 40)])
def test_it_is_the_spectrum_of_each_frame(window, hop):
    X = np.random.RandomState(0).normal(size=(3, 500, 2))
    how = dict(window=window / 1000, hop=hop / 1000, n_mels=None, log=False)
    images = Spectrogram(1000, **how).transform(X)
    starts = range(0, 500 - window + 1, hop)
    hann = np.sin(np.pi * np.arange(window) / window) ** 2
    frames = np.stack([X[:, i : i + window] for i in starts], axis=1) * hann[:, np.newaxis]
    n_fft = 64
    power = np.abs(np.fft.rfft(frames, n_fft, axis=2)) ** 2 / (1000 * (hann**2).sum())
    power[:, :, 1 : n_fft // 2] *= 2
    assert images.dtype == np.float32
    assert_allclose(images, power.transpose(0, 2, 1, 3), rtol=1e-5, atol=1e-9)


def test_the_sum_is_the_power():
    noise = np.random.RandomState(0).normal(scale=3, size=(1, 50_000))
    spectrogram = Spectrogram(8000, n_mels=None, log=False)
    distance = np.diff(spectrogram.frequencies())[0]
    image = spectrogram.transform(noise)[0, ..., 0]
    assert_allclose(image.sum(axis=0).mean() * distance, np.mean(noise**2), rtol=0.02)
    # White noise has the same density in each band, however wide.
    bands = Spectrogram(8000, n_mels=20, log=False).transform(noise)[0, ..., 0].mean(axis=1)
    assert_allclose(bands, np.mean(noise**2) / 4000, rtol=0.15)


@pytest.mark.parametrize("frequency", [300, 1000, 2500])
def test_a_tone_is_in_its_band(frequency):
    wave = tone(frequency, 4000, 8000)
    for params in (dict(), dict(n_mels=None), dict(f_min=200, f_max=3000, n_mels=20)):
        spectrogram = Spectrogram(8000, **params)
        (image,) = spectrogram.transform([wave])
        frequencies = spectrogram.frequencies()
        assert image.shape == (len(frequencies), 48, 1)
        nearest = np.argmin(np.abs(frequencies - frequency))
        assert_array_equal(image[..., 0].argmax(axis=0), nearest)


def test_bands_by_hand():
    """Their middles are as far from each other in mel, and the weights those of triangles."""
    spectrogram = Spectrogram(2000, window=0.064, n_mels=3, f_min=100, f_max=900, log=False)
    low, high = (2595 * np.log10(1 + f / 700) for f in (100, 900))
    mels = 2595 * np.log10(1 + spectrogram.frequencies() / 700)
    assert_allclose(mels, low + (high - low) * np.array([1, 2, 3]) / 4)
    X = np.random.RandomState(0).normal(size=(1, 400))
    all_frequencies = Spectrogram(2000, window=0.064, n_mels=None, log=False)
    f, power = all_frequencies.frequencies(), all_frequencies.transform(X)[0, ..., 0]
    edges = [100, *spectrogram.frequencies(), 900]
    bands = spectrogram.transform(X)[0, ..., 0]
    for i, band in enumerate(bands):
        weights = np.interp(f, edges[i : i + 3], [0, 1, 0])
        assert_allclose(band, weights @ power / weights.sum(), rtol=1e-5)


def test_logarithm_and_floor():
    X = np.stack([tone(500), np.zeros(RATE // 2)])
    plain = Spectrogram(RATE, n_mels=None, log=False).transform(X)
    logs = Spectrogram(RATE, n_mels=None, floor=1e-4).transform(X)
    assert_allclose(logs, np.log(np.maximum(plain, 1e-4)), rtol=1e-6)
    assert_allclose(logs[1], np.log(1e-4), rtol=1e-6)


def test_forms_of_signals():
    X = np.random.RandomState(0).normal(size=(4, 600))
    spectrogram = Spectrogram(RATE, n_mels=10, window=0.04)
    images = spectrogram.fit(X).transform(X)
    for same in (X[..., np.newaxis], list(X), pd.Series(list(X)), X.tolist(), pd.DataFrame(X)):
        assert_array_equal(spectrogram.transform(same), images)
    unequal = spectrogram.transform([X[0], X[1, :300], X[2]])
    assert [image.shape for image in unequal] == [(10, 12, 1), (10, 4, 1), (10, 12, 1)]
    assert_array_equal(unequal[1], images[1, :, :4])  # frames do not depend on what comes later
    assert_array_equal(spectrogram.transform(X[2:3]), images[2:3])


@pytest.mark.parametrize(
    ("params", "match"),
    [
        (dict(window=0.0001), "are 0 and 40 values at sampling_rate=4000: a window must have 2"),
        (dict(hop=1e-5), "a hop 1"),
        (dict(f_min=3000), "f_min=3000 and f_max=None must have f_min < f_max <= .* = 2000"),
        (dict(f_max=2001), "f_min=0.0 and f_max=2001"),
        (dict(n_mels=200), "n_mels=200: band 0, from 0.0 to .* use fewer bands, or a longer"),
        (dict(n_mels=0), "'n_mels' parameter"),
        (dict(floor=0), "'floor' parameter"),
        (dict(window=-1), "'window' parameter"),
    ],
)  # fmt: skip
def test_bad_parameters(params, match):
    with pytest.raises(ValueError, match=match):
        Spectrogram(4000, **params).fit([tone(300)])


@pytest.mark.parametrize(
    ("X", "match"),
    [
        ([], "X holds no signals"),
        (["a.wav"], r"X\[0\] is 'a\.wav', but must be numbers: read files first"),
        (np.array(["a.wav", "b.wav"]), r"but must be numbers: read files first"),
        ([tone(300), tone(300, 50)], r"X\[1\] has 50 values, fewer than the window of 100: pad it"),
        ([np.ones((200, 1, 1))], r"X\[0\] has shape \(200, 1, 1\): expected"),
        ([tone(300), np.full(200, np.nan)], r"Input X\[1\] contains NaN"),
        (np.full((2, 200), np.inf), "Input X contains infinity"),
    ],
)
def test_bad_signals(X, match):
    with pytest.raises(ValueError, match=match):
        Spectrogram(4000, n_mels=10).fit(X)


def test_a_pipeline_tells_tones_apart(folder):
    rng = np.random.RandomState(0)
    found = load_wav_folder(folder)
    X = np.repeat(found.data, 8, axis=0) + rng.normal(scale=0.05, size=(48, 2000))
    X = [sound[: rng.randint(800, 2000)] for sound in X]  # sounds of any length
    names = np.array(found.target_names)[np.repeat(found.target, 8)]
    clf = ConvNetClassifier(
        [Standardize(), Conv2D(8, (12, 3)), GlobalMaxPool()],
        batch_size=12,
        max_iter=15,
        random_state=0,
    )
    pipeline = make_pipeline(Spectrogram(RATE, n_mels=12, hop=0.04), clf)
    assert cross_val_score(pipeline, X, names, cv=3).mean() > 0.9
