"""Files of images and label maps that are read back: CIFAR's, and PNG files bit by bit."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import io
import struct
import sys
import tarfile
import zlib

import numpy as np
import pytest
from PIL import Image

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.datasets import (
    VOC_COLORS,
    read_cifar10,
    read_cifar100,
    read_label_maps,
    write_label_maps,
)
from sklearn_convnet.layers import Conv2D

# ---------------------------------------------------------------------------
# CIFAR
# ---------------------------------------------------------------------------

N = 3  # records a file


def some_images(n, seed):
    return np.random.RandomState(seed).randint(256, size=(n, 32, 32, 3)).astype(np.uint8)


def records(X, *labels):
    """The file of images: labels, then the red, green and blue of each."""
    rows = zip(X, *labels, strict=True)
    return b"".join(
        bytes(codes) + b"".join(image[..., c].tobytes() for c in range(3)) for image, *codes in rows
    )


CIFAR10_X, CIFAR10_Y = some_images(6 * N, 0), np.arange(6 * N, dtype=np.uint8) % 10
CIFAR10_NAMES = [f"kind{i}" for i in range(10)]
CIFAR10 = {
    **{
        name: records(CIFAR10_X[N * i : N * (i + 1)], CIFAR10_Y[N * i : N * (i + 1)])
        for i, name in enumerate(
            [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"],
        )
    },
    "batches.meta.txt": ("\n".join(CIFAR10_NAMES) + "\n\n").encode(),
}

CIFAR100_X = some_images(5, 1)
COARSE, FINE = np.array([0, 19, 4, 7, 11], np.uint8), np.array([99, 0, 41, 20, 19], np.uint8)
CIFAR100 = {
    "train.bin": records(CIFAR100_X[:3], COARSE[:3], FINE[:3]),
    "test.bin": records(CIFAR100_X[3:], COARSE[3:], FINE[3:]),
    "coarse_label_names.txt": "\n".join(f"group{i}" for i in range(20)).encode(),
    "fine_label_names.txt": "\n".join(f"kind{i}" for i in range(100)).encode(),
}


def store(tmp_path, files, form, inner="cifar-10-batches-bin"):
    """The files in a folder, in a folder of a folder, or in an archive as it is downloaded."""
    if form.startswith("folder"):
        folder = tmp_path / inner if form == "folder in a folder" else tmp_path
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return tmp_path
    path = tmp_path / f"archive.{form}"
    with tarfile.open(path, f"w:{form[4:]}") as archive:
        for name, content in sorted(files.items(), reverse=True):
            member = tarfile.TarInfo(f"{inner}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


FORMS = ["folder", "folder in a folder", "tar.gz", "tar.xz", "tar"]


def assert_same(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)
        assert one.flags.writeable


@pytest.mark.parametrize("form", FORMS)
def test_cifar10(tmp_path, form):
    path = store(tmp_path, CIFAR10, form)
    n_train = 5 * N
    X, y = CIFAR10_X, CIFAR10_Y
    actual = read_cifar10(str(path))
    assert_same(actual, (X[:n_train], y[:n_train], X[n_train:], y[n_train:]))
    assert actual[0].flags.c_contiguous
    names = np.array(CIFAR10_NAMES)[y]
    actual = read_cifar10(path, label_names=True)
    assert_same(actual, (X[:n_train], names[:n_train], X[n_train:], names[n_train:]))


@pytest.mark.parametrize("form", FORMS)
def test_cifar100(tmp_path, form):
    path = store(tmp_path, CIFAR100, form, "cifar-100-binary")
    X, both = CIFAR100_X, np.column_stack([COARSE, FINE])
    for mode, y in (("fine", FINE), ("coarse", COARSE), ("both", both)):
        actual = read_cifar100(path, label_mode=mode)
        assert_same(actual, (X[:3], y[:3], X[3:], y[3:]))
    assert_same(read_cifar100(path), read_cifar100(path, label_mode="fine"))
    names = read_cifar100(path, label_mode="both", label_names=True)[1]
    assert names.tolist() == [["group0", "kind99"], ["group19", "kind0"], ["group4", "kind41"]]
    assert read_cifar100(path, label_names=True)[3].tolist() == ["kind20", "kind19"]


def test_names_are_needed_only_where_they_are_asked_for(tmp_path):
    files = {name: content for name, content in CIFAR10.items() if name.endswith(".bin")}
    path = store(tmp_path, files, "tar.gz")
    assert len(read_cifar10(path)[1]) == 5 * N
    with pytest.raises(FileNotFoundError, match=r"archive.tar.gz: no batches.meta.txt there"):
        read_cifar10(path, label_names=True)


@pytest.mark.parametrize("form", FORMS)
def test_cifar_lists_what_is_missing(tmp_path, form):
    files = {name: CIFAR10[name] for name in ("data_batch_1.bin", "data_batch_4.bin")}
    path = store(tmp_path, files, form)
    missing = ", ".join(f"data_batch_{i}.bin" for i in (2, 3, 5)) + ", test_batch.bin there"
    with pytest.raises(FileNotFoundError, match=missing):
        read_cifar10(path)


def test_the_version_for_python_is_not_read(tmp_path):
    files = {name.removesuffix(".bin"): b"\x80\x02}" for name in CIFAR10}
    with pytest.raises(FileNotFoundError, match="version for Python is not read"):
        read_cifar10(store(tmp_path, files, "folder"))


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(CIFAR100["train.bin"])
    path = tmp_path / "archive.tar"
    with tarfile.open(path, "w") as archive:
        for name in CIFAR100:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, str(secret)
            archive.addfile(link)
    with pytest.raises(FileNotFoundError, match=r"no train.bin, test.bin there"):
        read_cifar100(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test.bin", CIFAR100["test.bin"][:-1], r"test.bin .* 3074 bytes, .* has 6147 bytes"),
        ("train.bin", b"", "train.bin should be records of 3074 bytes, but it has 0 bytes"),
        ("train.bin", CIFAR10["test_batch.bin"], r"train.bin .* 9219 bytes, .* 3.00 records"),
        ("test.bin", records(CIFAR100_X[:2], [0, 20], [0, 0]), "record 1 has the label 20.* 20 cl"),
        ("test.bin", records(CIFAR100_X[:2], [0, 0], [100, 0]), "record 0 has the label 100"),
        ("fine_label_names.txt", b"a\nb\n", "names.txt should .* names of 100 classes, but has 2"),
    ],
)
def test_damaged_cifar(tmp_path, name, content, message):
    path = store(tmp_path, {**CIFAR100, name: content}, "folder")
    with pytest.raises(ValueError, match=message):
        read_cifar100(path, label_names=True)


@pytest.mark.parametrize("form", ["tar.gz", "tar.bz2", "tar.xz", "tar"])
def test_damaged_archive(tmp_path, form):
    path = store(tmp_path, CIFAR10, form)
    whole = path.read_bytes()
    damaged = [b"", b"no archive", whole[: len(whole) // 2]]
    if form != "tar":
        for place in (len(whole) // 2, -6):  # the second in the check sum of gzip
            damaged.append(bytearray(whole))
            damaged[-1][place] ^= 1
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"archive.*: neither a folder nor a sound tar archive"
        ):
            read_cifar10(path)


def test_cifar_bad_arguments(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        read_cifar10(tmp_path / "nothing-here")
    with pytest.raises(ValueError, match="'label_mode' parameter"):
        read_cifar100(tmp_path, label_mode="group")


# ---------------------------------------------------------------------------
# Label maps
# ---------------------------------------------------------------------------

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def png_bytes(values, depth, kind, palette=b""):
    """A PNG file of numbers (height, width) or (height, width, channels), written bit by bit."""

    def chunk(name, content):
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    height, width = values.shape[:2]
    rows = values.reshape(height, -1).astype(">u2").view(np.uint8).reshape(height, -1, 2)
    bits = np.unpackbits(rows, axis=2)[:, :, 16 - depth :].reshape(height, -1)
    lines = b"".join(b"\0" + np.packbits(line).tobytes() for line in bits)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)),
            chunk(b"PLTE", palette) if palette else b"",
            chunk(b"IDAT", zlib.compress(lines)),
            chunk(b"IEND", b""),
        ]
    )


def labels_below(n, shape=(5, 7), seed=0):
    return np.random.RandomState(seed).randint(n, size=shape)


@pytest.mark.parametrize("kind", [GREY, PALETTE])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_label_is_the_number_in_the_file(tmp_path, depth, kind):
    if depth == 16 and kind == PALETTE:
        depth = 8  # there is none of 16 bits; here with a palette that is shorter than 256
    n = 20 if kind == PALETTE and depth == 8 else 2**depth
    labels = labels_below(n)
    palette = VOC_COLORS[:n].tobytes() if kind == PALETTE else b""
    path = tmp_path / "map.png"
    path.write_bytes(png_bytes(labels, depth, kind, palette))
    dtype = np.uint16 if depth == 16 else np.uint8
    np.testing.assert_array_equal(
        read_label_maps([str(path)]), labels[np.newaxis].astype(dtype), strict=True
    )


def test_maps_that_differ(tmp_path):
    """Those of unequal sizes are a list, of one dtype; a folder is read by name, and only PNGs."""
    small, large = labels_below(9), labels_below(3000, (6, 4))
    (tmp_path / "b.png").write_bytes(png_bytes(small, 8, GREY))
    (tmp_path / "a.PNG").write_bytes(png_bytes(large, 16, GREY))
    (tmp_path / "a.txt").write_bytes(b"not read")
    (tmp_path / "._a.png").write_bytes(b"what macOS leaves")
    maps = read_label_maps(tmp_path)
    assert isinstance(maps, list)
    for one, expected in zip(maps, (large, small), strict=True):
        np.testing.assert_array_equal(one, expected.astype(np.uint16), strict=True)
    in_order = read_label_maps([tmp_path / "b.png", tmp_path / "b.png"])
    np.testing.assert_array_equal(in_order, np.stack([small] * 2))


COLORS = np.array([[128, 64, 128], [0, 0, 0], [0, 0, 128], [255, 1, 0]])


@pytest.mark.parametrize("kind", [RGB, RGBA, PALETTE, GREY])
def test_colors_stand_for_labels(tmp_path, kind):
    labels = labels_below(4)
    colors = np.arange(4)[:, np.newaxis].repeat(3, axis=1) if kind == GREY else COLORS
    values = {
        RGB: colors[labels],
        RGBA: np.dstack([colors[labels], np.full_like(labels, 255)]),
        PALETTE: labels,
        GREY: labels,
    }[kind]
    palette = colors.astype(np.uint8).tobytes() if kind == PALETTE else b""
    path = tmp_path / "map.png"
    path.write_bytes(png_bytes(values, 8, kind, palette))
    np.testing.assert_array_equal(
        read_label_maps([path], colors=colors), labels[np.newaxis].astype(np.uint8), strict=True
    )
    chosen = np.array([7, 300, 7, 0], np.uint16)
    table = dict(zip(map(tuple, colors.tolist()), chosen.tolist(), strict=True))
    np.testing.assert_array_equal(
        read_label_maps([path], colors=table), chosen[labels][np.newaxis], strict=True
    )


def test_unknown_colors(tmp_path):
    path = tmp_path / "map.png"
    path.write_bytes(png_bytes(COLORS[[[0, 3, 1], [3, 2, 2]]], 8, RGB))
    for unknown, dtype in ((255, np.uint8), (256, np.uint16)):
        np.testing.assert_array_equal(
            read_label_maps([path], colors=COLORS[:2], unknown_label=unknown),
            np.array([[[0, unknown, 1], [unknown] * 3]], dtype),
            strict=True,
        )
    message = (
        r"map.png: colors does not have the colour \(255, 1, 0\) of the pixel in row 0, column 1, "
        "one of 4 pixels of 2 such colours"
    )
    with pytest.raises(ValueError, match=message):
        read_label_maps([path], colors=COLORS[:2])


@pytest.mark.parametrize(
    ("values", "depth", "kind", "colors", "message"),
    [
        (COLORS[[[0]]], 8, RGB, None, "mode RGB, .*pixels are no labels; colors tells"),
        (np.zeros((1, 1, 4)), 8, RGBA, None, "mode RGBA, .*pixels are no labels"),
        (np.zeros((1, 1, 2)), 8, GREY_ALPHA, None, "mode LA, .*pixels are no labels"),
        (np.zeros((1, 1, 4)), 8, RGBA, COLORS, "some pixels are transparent"),
        (np.zeros((1, 1, 3)), 16, RGB, COLORS, "16 bits a colour"),
    ],
)
def test_files_without_labels(tmp_path, values, depth, kind, colors, message):
    path = tmp_path / "map.png"
    path.write_bytes(png_bytes(values, depth, kind))
    with pytest.raises(ValueError, match=f"map.png: .*{message}"):
        read_label_maps([path], colors=colors)


whole = png_bytes(labels_below(9, (50, 50)), 8, GREY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a PNG file: it begins with b''"),
        (b"\xff\xd8\xff\xe0" + bytes(30), r"not a PNG file: it begins with b'.xff.xd8"),
        (whole[:20], "not a PNG file"),
        (whole[:60], "damaged PNG file"),
        (whole[: len(whole) // 2], "damaged PNG file"),
        (whole[:12] + b"XXXX" + whole[16:], "damaged PNG file"),
        (whole[:50] + bytes(len(whole) - 50), "damaged PNG file"),
    ],
)
def test_damaged_png(tmp_path, content, message):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"broken.png: {message}"):
        read_label_maps([path])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(colors=[[0, 0, 0], [1, 2, 3], [0, 0, 0]]), ValueError, r"\(0, 0, 0\) twice"),
        (dict(colors=[[0, 0, 256]]), ValueError, "from 0 to 255, got 0 to 256"),
        (dict(colors=[[0, 0]]), ValueError, r"of shape \(n_labels, 3\), got \(1, 2\)"),
        (dict(colors=[[0, 0], [0, 0, 0]]), ValueError, "red, green and blue, no more or fewer"),
        (dict(colors={}), ValueError, r"shape \(n_labels, 3\), got \(0,\)"),
        (dict(colors=[[0.0, 0.5, 1.0]]), TypeError, "integers from 0 to 255, got float64"),
        (dict(colors={(0, 0, 0): "road"}), TypeError, "must be integers, got 'road'"),
        (dict(colors={(0, 0, 0): -1}), ValueError, "from 0 to 65535, got -1"),
        (dict(colors=7), ValueError, "'colors' parameter"),
        (dict(unknown_label=255), ValueError, "unknown_label=255 is for colours"),
        (dict(colors=COLORS, unknown_label=-1), ValueError, "'unknown_label' parameter"),
        (dict(paths=[]), ValueError, "at least one"),
        (dict(paths=[b"a.png"]), TypeError, r"paths\[0\] must be a str or path-like, got b'a.png'"),
        (dict(paths=["nothing-here.png"]), FileNotFoundError, "nothing-here.png"),
        (dict(paths="nothing-here.png"), FileNotFoundError, "no such folder; .* as a list"),
    ],
)
def test_read_label_maps_bad_arguments(tmp_path, arguments, error, message):
    path = tmp_path / "map.png"
    path.write_bytes(png_bytes(np.zeros((1, 1)), 8, GREY))
    with pytest.raises(error, match=message):
        read_label_maps(**{"paths": [path], **arguments})


def test_a_folder_without_maps(tmp_path):
    with pytest.raises(FileNotFoundError, match="no PNG files there"):
        read_label_maps(tmp_path)


def test_voc_colors():
    """Those that the development kit of the challenge lists, from the background to 255."""
    listed = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        3: (128, 128, 0),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
        255: (224, 224, 192),
    }
    assert {label: tuple(VOC_COLORS[label].tolist()) for label in listed} == listed
    assert len(np.unique(VOC_COLORS, axis=0)) == 256
    with pytest.raises(ValueError, match="read-only"):
        VOC_COLORS[0] = 1


@pytest.mark.parametrize("n", [2, 4, 21, 256])
@pytest.mark.parametrize("palette", [None, "given"])
def test_written_maps_are_read_back(tmp_path, n, palette):
    labels = labels_below(n, (2, 5, 7))
    colors = VOC_COLORS[::-1][:n].tolist() if palette else None
    paths = [tmp_path / "a.png", str(tmp_path / "b.png")]
    write_label_maps(labels, paths, colors=colors)
    np.testing.assert_array_equal(read_label_maps(tmp_path), labels.astype(np.uint8), strict=True)
    shown = np.asarray(Image.open(paths[1]).convert("RGB"))
    np.testing.assert_array_equal(shown, np.asarray(colors or VOC_COLORS)[labels[1]])
    np.testing.assert_array_equal(read_label_maps(tmp_path, colors=colors or VOC_COLORS), labels)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (dict(maps=[[[0]], [[256]]]), ValueError, r"maps\[1\] has the label 256.* 0 to 255"),
        (dict(maps=[[[0]], [[-1]]]), ValueError, r"maps\[1\] has the label -1"),
        (dict(colors=COLORS, maps=[[[3]], [[4]]]), ValueError, "label 4, .*colours for 0 to 3"),
        (dict(maps=[[[0]], [0]]), ValueError, r"maps\[1\] has shape \(1,\): .* \(height, width\)"),
        (dict(maps=[[[0]], [[]]]), ValueError, r"maps\[1\] has shape \(1, 0\)"),
        (dict(maps=[[[0]], [["road"]]]), TypeError, r"maps\[1\] is of <U4.* classes_"),
        (dict(maps=[[[0]]]), ValueError, "1 maps, but 2 paths"),
        (dict(paths=["a.png", "./a.png"]), ValueError, "paths has a.png twice"),
        (dict(colors=np.zeros((257, 3), int)), ValueError, "257 rows, but a palette .* 256"),
        (dict(paths="a.png"), TypeError, "a list of files, got 'a.png'"),
        (dict(paths=["a.png", 2]), TypeError, r"paths\[1\] must be"),
    ],
)
def test_write_label_maps_bad_arguments(tmp_path, arguments, error, message):
    good = dict(maps=[[[0]], [[1]]], paths=[tmp_path / "a.png", tmp_path / "b.png"])
    with pytest.raises(error, match=message):
        write_label_maps(**{**good, **arguments})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("function", [read_label_maps, write_label_maps])
def test_without_pillow(monkeypatch, tmp_path, function):
    monkeypatch.setitem(sys.modules, "PIL", None)
    arguments = [[[[0]]]] if function is write_label_maps else []
    with pytest.raises(ImportError, match=rf"{function.__name__} needs Pillow.*\[images\]"):
        function(*arguments, [tmp_path / "a.png"])


@pytest.mark.parametrize("equal", [True, False])
def test_estimators_take_what_is_read(tmp_path, equal):
    """Pixels of 255 are ignored; predictions are written and read."""
    rng = np.random.RandomState(0)
    images = [rng.normal(size=(6, 6 if equal else 5 + i % 2)) for i in range(8)]
    maps = [(image > 0) * 15 for image in images]
    maps[0][0] = 255
    paths = [tmp_path / f"{i}.png" for i in range(8)]
    write_label_maps(maps, paths)
    y = read_label_maps(paths)
    assert isinstance(y, np.ndarray) == equal
    X = np.stack(images) if equal else images
    clf = ConvNetClassifier([Conv2D(4, 1)], ignore_label=255, max_iter=2, random_state=0).fit(X, y)
    assert clf.classes_.tolist() == [0, 15]
    predicted = clf.predict(X)
    write_label_maps(predicted, paths)
    for one, expected in zip(read_label_maps(paths), predicted, strict=True):
        np.testing.assert_array_equal(one, expected, strict=True)
