"""Files that are read back, and made data that are what they are said to be."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import gzip
import struct

import numpy as np
import pytest
from scipy.ndimage import map_coordinates
from sklearn.datasets import load_digits

from sklearn_convnet.datasets import (
    STICK_FIGURE_JOINTS,
    STICK_FIGURE_LIMBS,
    make_digit_scenes,
    make_stick_figures,
    make_tones,
    pad_series,
    read_idx,
    read_idx_folder,
)

# ---------------------------------------------------------------------------
# IDX files
# ---------------------------------------------------------------------------

CODES = {
    "uint8": 0x08,
    "int8": 0x09,
    "int16": 0x0B,
    "int32": 0x0C,
    "float32": 0x0D,
    "float64": 0x0E,
}
SHAPES = [(), (0,), (7,), (3, 4), (2, 3, 5), (1, 2, 3, 4)]
FILES = {
    "train-images-idx3-ubyte": np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3),
    "train-labels-idx1-ubyte": np.array([3, 1, 4, 1, 5], np.uint8),
    "t10k-images-idx3-ubyte": np.arange(2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 3),
    "t10k-labels-idx1-ubyte": np.array([9, 2], np.uint8),
}


def idx_bytes(array):
    """The IDX file of an array."""
    header = struct.pack(
        f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype.name], array.ndim, *array.shape
    )
    return header + np.array(array, array.dtype.newbyteorder(">")).tobytes()


def some_array(shape, dtype):
    values = np.random.default_rng(0).normal(scale=50, size=shape)
    return np.asarray(values).clip(0, 127).astype(dtype)


def write_folder(folder, files, compress=False, dotted=False):
    for name, array in files.items():
        if dotted:
            name = name.replace("-idx", ".idx")
        content = idx_bytes(array)
        if compress:
            name, content = f"{name}.gz", gzip.compress(content, mtime=0)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", CODES)
def test_reads_what_was_written(tmp_path, dtype, shape, compress):
    expected = some_array(shape, dtype)
    content = idx_bytes(expected)
    path = tmp_path / "array"
    path.write_bytes(gzip.compress(content, mtime=0) if compress else content)
    array = read_idx(path)
    np.testing.assert_array_equal(array, expected, strict=True)
    assert array.dtype.isnative
    assert array.flags.writeable


def test_accepts_a_string(tmp_path):
    path = tmp_path / "array"
    path.write_bytes(idx_bytes(np.arange(3, dtype=np.int16)))
    np.testing.assert_array_equal(read_idx(str(path)), [0, 1, 2])


whole = idx_bytes(np.arange(6, dtype=np.int16).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file: .* begins with b''"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\x89PNG\r\n", "not an IDX file: .* begins with b'.x89PNG'"),
        (b"\0\0\x07\1\0\0\0\0", "its type is 0x07, none of 0x08, 0x09"),
        (whole[:9], "header .* with 2 axes has 12 bytes, but the file has 9"),
        (whole[:-1], r"int16 of shape \(2, 3\) has 24 bytes, but this one has 23"),
        (whole + b"\0", r"int16 of shape \(2, 3\) has 24 bytes, but this one has 25"),
        (gzip.compress(whole, mtime=0)[:-3], "damaged gzip file"),
        (gzip.compress(whole, mtime=0)[:12] + b"\xff" * 20, "damaged gzip file"),
        (gzip.compress(whole, mtime=0) + b"rest", "damaged gzip file"),
    ],
)
def test_damaged_file(tmp_path, content, message):
    path = tmp_path / "broken-file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"broken-file: .*{message}"):
        read_idx(path)


def test_absurd_sizes_need_no_memory(tmp_path):
    path = tmp_path / "huge"
    path.write_bytes(struct.pack(">BBBB3I", 0, 0, 0x0E, 3, *[2**32 - 1] * 3))
    with pytest.raises(ValueError, match="but this one has 16"):
        read_idx(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        read_idx(tmp_path / "nothing-here")


@pytest.mark.parametrize("dotted", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_folder(tmp_path, compress, dotted):
    write_folder(tmp_path, FILES, compress, dotted)
    arrays = read_idx_folder(tmp_path)
    for array, expected in zip(arrays, FILES.values(), strict=True):
        np.testing.assert_array_equal(array, expected, strict=True)


def test_folder_lists_what_is_missing(tmp_path):
    names = list(FILES)
    write_folder(tmp_path, {name: FILES[name] for name in names[:2]})
    with pytest.raises(FileNotFoundError, match=", ".join(names[2:])) as error:
        read_idx_folder(tmp_path)
    assert names[0] not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_folder_with_other_labels(tmp_path):
    write_folder(tmp_path, {**FILES, "t10k-labels-idx1-ubyte": np.zeros(3, np.uint8)})
    with pytest.raises(ValueError, match=r"2 images, but .*t10k-labels.* has 3 labels"):
        read_idx_folder(tmp_path)


def test_folder_with_other_ranks(tmp_path):
    write_folder(tmp_path, {**FILES, "train-images-idx3-ubyte": np.zeros(5, np.uint8)})
    with pytest.raises(ValueError, match=r"train-images.* 3 axes, got shape \(5,\)"):
        read_idx_folder(tmp_path)


# ---------------------------------------------------------------------------
# Series
# ---------------------------------------------------------------------------


def test_pad_series():
    series = [np.arange(6).reshape(3, 2), np.arange(2).reshape(1, 2)]
    X, lengths = pad_series(series, value=-1)
    np.testing.assert_array_equal(lengths, [3, 1])
    np.testing.assert_array_equal(X, [series[0], [[0, 1], [-1, -1], [-1, -1]]])
    assert X.dtype == np.float64


@pytest.mark.parametrize("length", [None, 2, 5])
def test_pad_series_takes_either_order_of_axes(length):
    last = [np.arange(8, dtype=np.float32).reshape(4, 2), np.ones((2, 2), np.float32)]
    first = [one.T for one in last]
    for actual, expected in zip(
        pad_series(first, length=length, channels_first=True),
        pad_series(last, length=length),
        strict=True,
    ):
        np.testing.assert_array_equal(actual, expected, strict=True)
    assert actual.tolist() == [min(4, length or 4), 2]


def test_pad_series_cuts_at_the_end():
    X, lengths = pad_series([[1, 2, 3], [4]], length=2)
    assert X.tolist() == [[[1], [2]], [[4], [0]]]
    assert lengths.tolist() == [2, 1]


def test_pad_series_keeps_single_precision():
    single = [np.ones(3, np.float32), np.ones(2, np.float32)]
    assert pad_series(single)[0].dtype == np.float32
    assert pad_series([*single, [1.0]])[0].dtype == np.float64


@pytest.mark.parametrize(
    ("series", "arguments", "message"),
    [
        ([], {}, "at least one"),
        ([[1], []], {}, r"series\[1\] has shape \(0,\)"),
        ([[1], 2], {}, r"series\[1\] has shape \(\): .* \(length, n_channels\)"),
        ([np.ones((1, 2, 3))], {"channels_first": True}, r"\(n_channels, length\)"),
        ([np.ones((2, 3)), np.ones((2, 4))], {}, r"series\[1\] has 4 channels.* has 3; .* last"),
        ([[1]], {"length": 0}, "'length' parameter"),
    ],
)
def test_pad_series_bad_input(series, arguments, message):
    with pytest.raises(ValueError, match=message):
        pad_series(series, **arguments)


# ---------------------------------------------------------------------------
# Made data
# ---------------------------------------------------------------------------

MAKERS = (make_digit_scenes, make_stick_figures, make_tones)


@pytest.mark.parametrize("make", MAKERS)
def test_the_seed_decides(make):
    arrays = make(8, random_state=3)
    assert all(len(array) == 8 for array in arrays)
    assert arrays[0].dtype == np.float32
    for more, array in zip(make(12, random_state=3), arrays, strict=True):
        np.testing.assert_array_equal(more[:8], array)
    assert not np.array_equal(make(8, random_state=4)[0], arrays[0])


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (make_digit_scenes, {"n_samples": 0}, "'n_samples' parameter"),
        (make_digit_scenes, {"digits": slice(2000, None)}, "picks none of the 1797"),
        (make_digit_scenes, {"rotation": (3, -3)}, "rotation must be .* low <= high"),
        (make_digit_scenes, {"scale": (0, 1)}, "scale must be .* above 0"),
        (make_digit_scenes, {"scale": (1, 2, 3)}, r"scale must be \(low, high\)"),
        (make_digit_scenes, {"scale": (1, 3)}, "33.9 pixels .* do not fit into size=32"),
        (make_digit_scenes, {"empty_share": 1.5}, "'empty_share' parameter"),
        (make_stick_figures, {"height": (0, 0.5)}, "height must be .* above 0"),
        (make_stick_figures, {"height": (0.5, 0.9)}, "at most 0.68 fits"),
        (make_stick_figures, {"rotation": (0, np.inf)}, "rotation must be"),
        (make_tones, {"shift": 7}, "'shift' parameter"),
        (make_tones, {"noise": -1}, "'noise' parameter"),
    ],
)
def test_makers_bad_input(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


# Digit scenes


def test_digit_scenes_have_all_digits():
    images, labels, boxes, masks = make_digit_scenes(300, size=30, random_state=0)
    assert images.shape == masks.shape == (300, 30, 30)
    assert images.min() == 0
    assert images.max() == 1
    assert set(labels) == set(range(10))
    assert boxes.shape == (300, 8)
    assert 0 <= boxes.min() < 0.05
    assert 0.95 < boxes.max() <= 1
    assert set(masks.ravel()) == {0, 1}


@pytest.mark.parametrize("digits", [[5], np.arange(5, 6), slice(5, 6)], ids=str)
def test_the_box_leads_back_to_the_digit(digits):
    """What is drawn within the corners of each box is the digit itself."""
    glyph = load_digits().images[5] / 16
    rows, columns = np.nonzero(glyph > 0.4)
    glyph = glyph[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = glyph.shape
    y, x = ((np.arange(n) + 0.5) / n for n in (height, width))
    images, labels, boxes, _ = make_digit_scenes(
        20, digits=digits, rotation=(-180, 180), n_distractors=0, noise=0, random_state=0
    )
    assert set(labels) == {load_digits().target[5]}
    for image, box in zip(images, boxes, strict=True):
        start, right, _, down = box.reshape(4, 2) * 32 - 0.5
        places = start + x[:, None] * (right - start) + y[:, None, None] * (down - start)
        back = map_coordinates(image, places[..., ::-1].transpose(2, 0, 1), order=1)
        assert np.corrcoef(back.ravel(), glyph.ravel())[0, 1] > 0.95


def test_masks_are_where_the_digit_is():
    images, *_, masks = make_digit_scenes(50, n_distractors=0, noise=0, random_state=0)
    for image, mask in zip(images, masks, strict=True):
        assert image[mask == 1].min() > image[mask == 0].max()


def test_rotation_and_scale_have_their_ranges():
    *_, boxes, _ = make_digit_scenes(
        200, size=40, digits=[0], rotation=(10, 40), scale=(2, 3), random_state=0
    )
    corners = boxes.reshape(-1, 4, 2) * 40
    x, y = (corners[:, 1] - corners[:, 0]).T
    angles, widths = np.rad2deg(np.arctan2(-y, x)), np.hypot(x, y)
    assert 10 < angles.min() < 12
    assert 38 < angles.max() < 40
    assert widths.max() / widths.min() == pytest.approx(1.5, rel=0.05)


def test_distractors_and_noise_are_beside_the_digit():
    plain = {"digits": [0], "n_distractors": 0, "noise": 0}
    count = [
        (make_digit_scenes(30, **{**plain, **more}, random_state=0)[0] > 0.2).sum()
        for more in ({}, {"n_distractors": 3}, {"noise": 0.2})
    ]
    assert count[1] > 1.5 * count[0]
    assert count[2] > 1.5 * count[0]


def test_scenes_with_several_digits():
    images, labels, boxes, masks = make_digit_scenes(
        8, size=96, n_digits=4, empty_share=0.2, noise=0.0, random_state=0
    )
    assert labels.shape == (8, 4)
    assert boxes.shape == (8, 4, 8)
    np.testing.assert_array_equal(np.isnan(boxes).any(axis=2), labels == -1)
    assert 0 < np.sum(labels == -1) < 16
    for mask, image, corners in zip(masks, images, boxes, strict=True):
        corners = corners[~np.isnan(corners[:, 0])].reshape(-1, 4, 2) * 96
        low, high = corners.min(axis=1), corners.max(axis=1)
        inside = np.zeros((96, 96), int)
        for (x1, y1), (x2, y2) in zip(low.astype(int), np.ceil(high).astype(int), strict=True):
            inside[y1:y2, x1:x2] += 1
            assert mask[y1:y2, x1:x2].any()
        assert not mask[inside == 0].any()
        for i in range(len(low)):
            for j in range(i):
                apart = (high[i] < low[j]) | (high[j] < low[i])
                assert apart.any()
        assert image[mask == 0].mean() < image[mask == 1].mean()


def test_more_digits_than_there_is_place_for():
    with pytest.raises(ValueError, match=r"no place for digit .* of a scene of size=40"):
        make_digit_scenes(1, size=40, n_digits=9, random_state=0)


def test_scenes_without_a_digit():
    _, labels, boxes, masks = make_digit_scenes(300, empty_share=0.25, random_state=0)
    empty = labels == -1
    assert 0.2 < empty.mean() < 0.3
    np.testing.assert_array_equal(np.isnan(boxes), np.repeat(empty[:, None], 8, axis=1))
    np.testing.assert_array_equal(masks.any(axis=(1, 2)), ~empty)


# Stick figures


def test_stick_figures_are_at_their_joints():
    images, joints, heights = make_stick_figures(60, size=64, noise=0, random_state=0)
    assert joints.shape == (60, 2 * len(STICK_FIGURE_JOINTS))
    joints = joints.reshape(60, -1, 2)
    assert 0 < joints.min() < 0.1
    assert 0.9 < joints.max() < 1
    ends = joints[:, np.array(STICK_FIGURE_LIMBS)]
    for image, pairs in zip(images, ends * 64 - 0.5, strict=True):
        for share in (0, 0.5, 1):  # start, middle and end of all lines
            places = pairs[:, 0] + share * (pairs[:, 1] - pairs[:, 0])
            assert map_coordinates(image, places.T[::-1], order=1).min() > 0.3
        assert image.mean() < 0.15
    # Limbs are as long as the figure is tall, whatever the pose.
    lengths = np.linalg.norm(ends[:, :, 1] - ends[:, :, 0], axis=2) / heights[:, None]
    np.testing.assert_allclose(lengths, lengths[:1].repeat(60, axis=0))


def test_left_and_right_are_those_of_the_image():
    _, joints, _ = make_stick_figures(60, rotation=(0, 0), random_state=0)
    x = dict(zip(STICK_FIGURE_JOINTS, joints[:, ::2].T, strict=True))
    for part in ("shoulder", "hip"):
        assert (x[f"left {part}"] < x["neck"]).all()
        assert (x[f"right {part}"] > x["neck"]).all()


def test_figures_lean_anticlockwise():
    _, joints, _ = make_stick_figures(60, rotation=(20, 30), random_state=0)
    head, neck = joints[:, :2], joints[:, 2:4]
    x, y = (head - neck).T
    angles = np.rad2deg(np.arctan2(-x, -y))  # from straight up
    assert 20 < angles.min() < angles.max() < 30


# Tones


def centre(X, frame):
    """The middle of the two formants."""
    energy = X[:, :30, frame]
    return energy @ np.arange(30) / energy.sum(axis=1)


def test_tones_are_syllables():
    """Without noise, consonant and vowel can be read from the places of the maxima."""
    X, y = make_tones(200, noise=0, random_state=0)
    assert X.shape == (200, 40, 15)
    assert set(y) == set(range(9))
    consonants, vowels = np.divmod(y, 3)
    bursts = X[:, :, 0].argmax(axis=1)
    for consonant in range(2):
        assert bursts[consonants == consonant].max() <= bursts[consonants == consonant + 1].min()
    rises = centre(X, 14) - centre(X, 4)
    np.testing.assert_array_equal(np.sign(np.rint(rises / 5)), vowels - 1)


@pytest.mark.parametrize("shift", [0, 3])
def test_voices_differ_by_their_shift(shift):
    X, _ = make_tones(300, shift=shift, noise=0, random_state=0)
    assert np.ptp(centre(X, 9)) == pytest.approx(2 * shift, abs=0.2)
