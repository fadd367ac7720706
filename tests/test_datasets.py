"""IDX files: what is read is what was written, and what is wrong is named."""

import gzip
import struct

import numpy as np
import pytest

from sklearn_convnet.datasets import read_idx, read_idx_folder

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
