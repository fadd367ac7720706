"""Images in files: kinds of pixels, sizes, folders with a class in each."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image

from sklearn_convnet.datasets import load_image_folder
from sklearn_convnet.image_files import ImageForm
from sklearn_convnet.many_files import UnreadableError
from sklearn_convnet.preprocessing import ImageFiles

RNG = np.random.RandomState(0)
COLORS = RNG.randint(0, 256, (6, 9, 3)).astype(np.uint8)
GREY = RNG.randint(0, 256, (6, 9)).astype(np.uint8)


def luma(colors):
    """Grey as Pillow computes it, in 16 bits."""
    weights = [19595, 38470, 7471]
    return (colors.astype(int) @ weights + 0x8000 >> 16).astype(np.uint8)


def saved(folder, image, name="image.png", **how):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path, **how)
    return path


# ---------------------------------------------------------------------------
# Pixels
# ---------------------------------------------------------------------------


def test_colors_and_grey(tmp_path):
    colors, grey = saved(tmp_path, COLORS), saved(tmp_path, GREY, "grey.png")
    np.testing.assert_array_equal(ImageForm(None).read(colors), COLORS)
    np.testing.assert_array_equal(ImageForm(None, "L").read(grey), GREY[..., np.newaxis])
    np.testing.assert_array_equal(ImageForm(None).read(grey), np.stack([GREY] * 3, axis=-1))
    np.testing.assert_array_equal(ImageForm(None, "L").read(colors)[..., 0], luma(COLORS))


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.pgm"])
def test_grey_of_16_bits(tmp_path, name):
    wide = np.array([[0, 128, 129, 257, 65535 - 129, 65535 - 128, 65535]], np.uint16)
    path = saved(tmp_path, wide, name)
    values = ImageForm(None, "L").read(path)[..., 0]
    np.testing.assert_array_equal(values, np.rint(wide / 257))
    assert values.min() == 0
    assert values.max() == 255


def test_palette_and_bits(tmp_path):
    image = Image.fromarray(GREY % 4)
    image.putpalette([9, 8, 7, 255, 0, 0, 0, 255, 0, 1, 2, 3])
    expected = np.array([[9, 8, 7], [255, 0, 0], [0, 255, 0], [1, 2, 3]])[GREY % 4]
    for name in ("a.png", "a.gif"):
        np.testing.assert_array_equal(ImageForm(None).read(saved(tmp_path, image, name)), expected)
    bits = saved(tmp_path, Image.fromarray(GREY > 99), "bits.png")
    np.testing.assert_array_equal(ImageForm(None, "L").read(bits)[..., 0], 255 * (GREY > 99))


def over_white(colors, alpha):
    return colors * alpha + 255 * (1 - alpha)


def test_alpha_lies_over_white(tmp_path):
    alpha = RNG.randint(0, 256, (6, 9, 1)).astype(np.uint8)
    alpha[0] = 0
    path = saved(tmp_path, np.concatenate([COLORS, alpha], axis=-1))
    seen = ImageForm(None).read(path)
    np.testing.assert_allclose(seen, over_white(COLORS, alpha / 255), atol=1)
    assert (seen[0] == 255).all()
    of_grey = saved(
        tmp_path, Image.merge("LA", [Image.fromarray(a) for a in (GREY, alpha[..., 0])])
    )
    expected = over_white(GREY, alpha[..., 0] / 255)
    np.testing.assert_allclose(ImageForm(None, "L").read(of_grey)[..., 0], expected, atol=1)


@pytest.mark.parametrize("kind", ["P", "L", "RGB", "I;16"])
def test_one_transparent_colour_is_white(tmp_path, kind):
    if kind == "P":
        image, transparent = Image.fromarray(GREY % 2), 1
        image.putpalette([9, 8, 7, 0, 0, 0])
        hidden = GREY % 2 == 1
    elif kind == "RGB":
        colors = np.where(GREY[..., np.newaxis] > 99, COLORS, 5).astype(np.uint8)
        image, transparent, hidden = Image.fromarray(colors), (5, 5, 5), (colors == 5).all(axis=-1)
    else:
        grey = (GREY % 2 * 7).astype(np.uint16 if kind == "I;16" else np.uint8)
        image, transparent, hidden = Image.fromarray(grey), 0, grey == 0
    read = ImageForm(None).read(saved(tmp_path, image, transparency=transparent))
    assert hidden.any()
    assert not hidden.all()
    np.testing.assert_array_equal((read == 255).all(axis=-1), hidden)


def test_cmyk(tmp_path):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 1] = ink[..., 2] = 255  # magenta and yellow are red
    path = saved(tmp_path, Image.frombytes("CMYK", (16, 16), ink.tobytes()), "a.jpg", quality=95)
    np.testing.assert_allclose(ImageForm(None).read(path)[8, 8], [255, 0, 0], atol=6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_exif_orientation(tmp_path, orientation, name):
    # Where row 0 and column 0 of the file lie, by the standard (CIPA DC-008): rows first.
    flip, mirror, turned = {
        1: (0, 0, 0), 2: (0, 1, 0), 3: (1, 1, 0), 4: (1, 0, 0),
        5: (0, 0, 1), 6: (0, 1, 1), 7: (1, 1, 1), 8: (1, 0, 1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = COLORS.swapaxes(0, 1) if turned else COLORS
    expected = expected[:: -1 if flip else 1, :: -1 if mirror else 1]
    path = saved(tmp_path, COLORS, name, exif=exif)
    np.testing.assert_array_equal(ImageForm(None).read(path), expected)
    assert ImageForm(None).size_in_file(path) == expected.shape[:2]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_is_none(tmp_path):
    path = saved(tmp_path, COLORS, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05nothing of the kind")
    np.testing.assert_array_equal(ImageForm(None).read(path), COLORS)


def png_of(header, pixels):
    """A PNG file with any header."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )  # fmt: skip

    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def damaged(folder):
    """Files that are no images, and the reason that is told of each."""
    whole = saved(folder, RNG.randint(0, 256, (64, 64, 3)).astype(np.uint8), "whole.jpg")
    contents = whole.read_bytes()
    whole.unlink()
    files = {
        "empty.png": (b"", "an empty file"),
        "short.jpg": (contents[:-600], "truncated"),
        "text.png": (b"a few words", "no image of a kind"),
        "colors.png": (png_of(struct.pack(">IIBBBBB", 2, 1, 8, 2, 0, 0, 0), b"\0abc"), "truncated"),
    }
    for name, (content, _) in files.items():
        (folder / name).write_bytes(content)
    saved(folder, GREY.astype(np.float32), "wide.tiff")
    saved(folder, GREY.astype(np.int32), "whole.tiff")
    reasons = {name: reason for name, (_, reason) in files.items()}
    return reasons | {"wide.tiff": "32 bits", "whole.tiff": "32 bits", "none.png": "No such file"}


def test_damaged_files(tmp_path):
    for name, reason in damaged(tmp_path).items():
        with pytest.raises(UnreadableError, match=reason) as caught:
            ImageForm((4, 4)).read(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")


# ---------------------------------------------------------------------------
# Sizes
# ---------------------------------------------------------------------------


def test_fits(tmp_path):
    """White to the left, grey in the middle, black to the right."""
    image = np.repeat(np.array([[255] * 8 + [100] * 16 + [0] * 8], np.uint8), 16, axis=0)
    path = saved(tmp_path, image)
    read = {
        fit: ImageForm((16, 16), "L", fit).read(path)[..., 0] for fit in ("resize", "crop", "pad")
    }
    np.testing.assert_array_equal(read["crop"], np.full((16, 16), 100))
    np.testing.assert_array_equal(np.unique(read["pad"][[*range(4), *range(12, 16)]]), [0])
    row = read["resize"][8].astype(int)
    assert row[:3].tolist() == [255] * 3
    assert row[5:11].tolist() == [100] * 6
    assert row[-3:].tolist() == [0] * 3
    np.testing.assert_array_equal(read["pad"][8], row)
    tall = saved(tmp_path, np.ascontiguousarray(image.T), "tall.png")
    for fit in read:
        np.testing.assert_array_equal(ImageForm((16, 16), "L", fit).read(tall)[..., 0], read[fit].T)


@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (50, 3), (6, 9)])
def test_any_size(tmp_path, fit, size):
    read = ImageForm(size, "RGB", fit).read(saved(tmp_path, COLORS))
    assert read.shape == (*size, 3)
    assert read.dtype == np.uint8
    if size == (6, 9):
        np.testing.assert_array_equal(read, COLORS)


def test_a_large_jpeg_is_decoded_small(tmp_path, monkeypatch):
    across, down = np.meshgrid(np.linspace(0, 255, 640), np.linspace(0, 255, 480))
    image = np.stack([across, down, np.full_like(across, 90)], axis=-1)
    jpeg = saved(tmp_path, image.astype(np.uint8), "a.jpg", quality=95)
    png = saved(tmp_path, image.astype(np.uint8), "a.png")
    decoded = []
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image,
        "resize",
        lambda image, *args, **how: decoded.append(image.size) or resize(image, *args, **how),
    )
    for fit in ("resize", "crop", "pad"):
        form = ImageForm((60, 60), "RGB", fit)
        small, exact = form.read(jpeg).astype(int), form.read(png).astype(int)
        assert np.abs(small - exact).mean() < 2
    assert decoded == [(160, 120), (640, 480)] * 3


# ---------------------------------------------------------------------------
# Folders
# ---------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Three classes, one of them without images, and what else lies about."""
    path = tmp_path / "images"
    path.mkdir()
    for name in ("b", "a", "empty", ".hidden"):
        (path / name).mkdir()
    for i in range(5):
        saved(path, COLORS + np.uint8(i), f"b/{i}.png")
        saved(path, GREY + np.uint8(i), f"a/{i}.{'PNG' if i else 'bmp'}")
    saved(path, COLORS, ".hidden/no.png")
    saved(path, COLORS, "b/._0.png")
    (path / "__MACOSX" / "b").mkdir(parents=True)
    saved(path, COLORS, "__MACOSX/b/0.png")
    saved(path, COLORS, "b/below/z.png")
    saved(path, COLORS, "beside.png")
    (path / "a" / "notes.txt").write_text("no image")
    return path


def test_a_folder(folder):
    found = load_image_folder(folder)
    assert found.target_names == ["a", "b", "empty"]
    np.testing.assert_array_equal(found.target, [0] * 5 + [1] * 6)
    assert [name.removeprefix(f"{folder}/") for name in found.filenames] == [
        "a/0.bmp", *(f"a/{i}.PNG" for i in range(1, 5)), *(f"b/{i}.png" for i in range(5)),
        "b/below/z.png",
    ]  # fmt: skip
    assert found.data.shape == (11, 6, 9, 3)
    assert found.data.dtype == np.uint8
    np.testing.assert_array_equal(found.data[7], COLORS + np.uint8(2))
    np.testing.assert_array_equal(load_image_folder(folder, mode="L").data[1, ..., 0], GREY + 1)


def test_threads_and_files_give_the_same_bytes(folder, tmp_path):
    saved(folder, np.tile(COLORS, (2, 3, 1)), "b/large.png")
    how = dict(size=(5, 4), fit="crop")
    alone = load_image_folder(str(folder), **how)
    for params in (
        dict(n_jobs=3),
        dict(memmap=tmp_path / "all.npy"),
        dict(memmap=str(tmp_path / "x"), n_jobs=2),
    ):
        other = load_image_folder(folder, **how, **params)
        np.testing.assert_array_equal(other.data, alone.data)
        np.testing.assert_array_equal(other.target, alone.target)
        assert isinstance(other.data, np.memmap) == ("memmap" in params)
    np.testing.assert_array_equal(np.load(tmp_path / "all.npy"), alone.data)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.npy", "images", "x"]


def test_order(folder):
    plain, mixed, again = (load_image_folder(folder, random_state=seed) for seed in (None, 3, 3))
    assert sorted(mixed.filenames) == sorted(plain.filenames)
    assert mixed.filenames.tolist() == again.filenames.tolist() != plain.filenames.tolist()
    place = {name: i for i, name in enumerate(plain.filenames)}
    rows = [place[name] for name in mixed.filenames]
    np.testing.assert_array_equal(mixed.data, plain.data[rows])
    np.testing.assert_array_equal(mixed.target, plain.target[rows])


def test_unequal_sizes(folder, tmp_path):
    saved(folder, COLORS[:4], "b/flat.png")
    found = load_image_folder(folder)
    assert isinstance(found.data, list)
    assert {image.shape for image in found.data} == {(6, 9, 3), (4, 9, 3)}
    assert load_image_folder(folder, size=7).data.shape == (12, 7, 7, 3)
    with pytest.raises(
        ValueError, match=r"a.0\.bmp has .* \(6, 9\) and .*flat\.png has \(4, 9\): set size"
    ):
        load_image_folder(folder, memmap=tmp_path / "all.npy")
    assert not (tmp_path / "all.npy").exists()


@pytest.mark.parametrize("size", [None, 8])
@pytest.mark.parametrize("in_file", [False, True])
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_damaged_files_in_a_folder(folder, tmp_path, size, in_file, n_jobs):
    (folder / "a" / "0.png").write_bytes(b"no image")
    content = (folder / "b" / "1.png").read_bytes()
    (folder / "b" / "1.png").write_bytes(content[:-60])
    how = dict(size=size, n_jobs=n_jobs, memmap=tmp_path / "all.npy" if in_file else None)
    named = r"2 of 12 files cannot be read: .*a.0\.png: no image.*; .*b.1\.png: "
    with pytest.raises(ValueError, match=named + ".*on_error='warn'"):
        load_image_folder(folder, **how)
    assert not (tmp_path / "all.npy").exists()
    with pytest.warns(UserWarning, match=named) as caught:
        found = load_image_folder(folder, **how, on_error="warn")
    assert [one.filename for one in caught] == [__file__]
    (folder / "a" / "0.png").unlink()
    (folder / "b" / "1.png").unlink()
    sound = load_image_folder(folder, **how)
    np.testing.assert_array_equal(found.data, sound.data)
    np.testing.assert_array_equal(found.target, sound.target)
    np.testing.assert_array_equal(found.filenames, sound.filenames)


def test_nothing_but_damaged_files(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "a.png").write_bytes(b"")
    for on_error in ("raise", "warn"):
        with pytest.raises(ValueError, match="1 of 1 files cannot be read"):
            load_image_folder(tmp_path, on_error=on_error)


def test_a_memory_map_holds_few_images(tmp_path):
    (tmp_path / "a").mkdir()
    for i in range(60):
        saved(tmp_path, Image.new("L", (8, 8), i), f"a/{i:02}.png")
    load_image_folder(tmp_path, size=8)
    tracemalloc.start()
    data = load_image_folder(tmp_path, size=256, memmap=tmp_path / "all.npy").data
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < data.nbytes / 10
    assert data[:, 0, 0, 0].tolist() == list(range(60))


@pytest.mark.parametrize(
    ("params", "match"),
    [
        (dict(size=0), "size must be .height, width. or one integer.*got 0"),
        (dict(size=(3, 4, 5)), "size must be"),
        (dict(size="64"), "size must be"),
        (dict(size=(2.5, 3)), "size must be"),
        (dict(mode="CMYK"), "'mode' parameter"),
        (dict(fit="stretch"), "'fit' parameter"),
        (dict(n_jobs=0), "n_jobs"),
        (dict(on_error="ignore"), "'on_error' parameter"),
    ],
)
def test_bad_parameters(folder, params, match):
    with pytest.raises(ValueError, match=match):
        load_image_folder(folder, **params)


def test_bad_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="none: no such folder"):
        load_image_folder(tmp_path / "none")
    with pytest.raises(NotADirectoryError, match=r"a\.png: a file, but path must be the folder"):
        load_image_folder(saved(tmp_path, COLORS, "a.png"))
    with pytest.raises(FileNotFoundError, match="no subfolders there, one for each class"):
        load_image_folder(tmp_path)
    (tmp_path / "cats").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images in its subfolders, such as cats$"):
        load_image_folder(tmp_path)
    for name in ("a.HEIC", "b.heic", "notes", ".hidden"):
        (tmp_path / "cats" / name).touch()
    with pytest.raises(FileNotFoundError, match=r"as cats, but files with \.heic, no ending$"):
        load_image_folder(tmp_path)


def test_names_with_spaces_and_other_letters(tmp_path):
    for name in ("größe 小", "a b (1)"):
        saved(tmp_path, COLORS, f"{name}/ein Bild – ü.png")
    found = load_image_folder(tmp_path)
    assert found.target_names == ["a b (1)", "größe 小"]
    assert found.filenames[1] == str(tmp_path / "größe 小" / "ein Bild – ü.png")
    np.testing.assert_array_equal(ImageFiles(found.filenames, (6, 9))[1], COLORS)


def test_a_link_to_a_class(folder, tmp_path):
    links = tmp_path / "links"
    links.mkdir()
    (links / "c").symlink_to(folder / "b")
    found = load_image_folder(links)
    assert found.target_names == ["c"]
    assert len(found.data) == 6
