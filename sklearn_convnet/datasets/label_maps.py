"""Label maps in PNG files: a class for each pixel."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval

from .._typing import PathLike
from ..constraints import validate_params
from ..image_files import pillow
from ..many_files import listed_paths
from .folders import is_shown

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Types of colour in the header of a PNG file.
_GREY, _PALETTE = 0, 3
#: The largest label of a file that has 16 bits a pixel.
_LARGEST = 2**16 - 1


def _voc_colors():
    """The bits of a label, three by three from the lowest, are the bits of red, green and blue from
    the highest."""
    labels = np.arange(256)
    colors = np.zeros((256, 3), np.uint8)
    for place in range(8):
        for channel in range(3):
            bit = labels >> (3 * place + channel) & 1
            colors[:, channel] |= (bit << (7 - place)).astype(np.uint8)
    colors.flags.writeable = False
    return colors


#: Red, green and blue of each label, as Pascal VOC has them (Everingham and others, 2010).
VOC_COLORS = _voc_colors()


@validate_params(
    {
        "colors": ["array-like", dict, None],
        "unknown_label": [Interval(Integral, 0, _LARGEST, closed="both"), None],
    }
)
def read_label_maps(
    paths: PathLike | Sequence[PathLike],
    *,
    colors: ArrayLike | Mapping[Any, ArrayLike] | None = None,
    unknown_label: int | None = None,
) -> NDArray[Any] | list[NDArray[Any]]:
    """Read label maps, a class for each pixel, from PNG files.

    Without `colors` a label is the number of a pixel as it stands in the file: the index into the
    palette, as in Pascal VOC, or the grey value, of up to 16 bits. With `colors` the red, green and
    blue of a pixel tell its label, as in CamVid, also in a file with a palette.

    Pillow reads the files; the extra ``images`` brings it.

    Parameters
    ----------
    paths : str, path-like or list of them
        A folder, of which all PNG files are read in the order of their names, or a list of files.
    colors : array-like of shape (n_labels, 3) or dict, default=None
        Red, green and blue of the labels 0, 1, 2, ..., from 0 to 255; or the label of each colour,
        such as ``{(128, 64, 128): 0, (0, 0, 0): 255}``, where several colours may have one label.
    unknown_label : int, default=None
        Label of all colours that `colors` does not have. None makes them an error.

    Returns
    -------
    ndarray of shape (n_maps, height, width), or list of ndarray of shape (height, width)
        Labels, bytes or, where there are larger ones, of 16 bits: an array if the maps have one
        size, otherwise a list, which estimators take as well.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    FileNotFoundError
        If a file or folder is missing, or a folder has no PNG file.
    TypeError
        If `paths` is neither names nor paths, or a colour or label in `colors` has no integers.
    ValueError
        If a file is damaged or no PNG file, or has colours but `colors` is None; if `colors` lacks
        a colour, or has one twice; or if pixels are transparent, so that no colour is seen.

    See Also
    --------
    write_label_maps : The inverse.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_convnet.datasets import read_label_maps, write_label_maps
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [Path(folder, "a.png"), Path(folder, "b.png")]
    ...     write_label_maps([[[0, 1, 255]], [[15, 15, 0]]], files)
    ...     read_label_maps(folder)
    array([[[  0,   1, 255]],
           [[ 15,  15,   0]]], dtype=uint8)
    """
    if unknown_label is not None and colors is None:
        raise ValueError(f"unknown_label={unknown_label} is for colours: give colors as well")
    table = None if colors is None else _color_table(colors)
    image_module = pillow("read_label_maps")
    maps = []
    for path in _png_paths(paths):
        image, depth, kind = _open_png(image_module, path)
        if table is None:
            maps.append(_numbers(path, image, depth, kind))
        else:
            maps.append(_labels_of_colors(path, image, depth, table, unknown_label))
    dtype = np.result_type(*{one.dtype for one in maps})
    if len({one.shape for one in maps}) == 1:
        return np.stack(maps, dtype=dtype)
    return [one.astype(dtype) for one in maps]


def _png_paths(paths):
    """The files of a folder or a list, at least one."""
    if isinstance(paths, (str, os.PathLike)):
        folder = Path(paths)
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder; files are given as a list")
        there = (path for path in folder.iterdir() if is_shown(path.name))
        found = sorted(path for path in there if path.suffix.lower() == ".png")
        if not found:
            raise FileNotFoundError(f"{folder}: no PNG files there")
        return found
    found = [Path(path) for path in listed_paths(paths)]
    if not found:
        raise ValueError("paths holds no file: at least one is needed")
    return found


def _open_png(image_module, path):
    """An image, its bits for each number and its type of colour."""
    with path.open("rb") as file:
        header = file.read(26)
        if len(header) < 26 or not header.startswith(_SIGNATURE):
            raise ValueError(f"{path}: not a PNG file: it begins with {header[:8]!r}")
        file.seek(0)
        try:
            image = image_module.open(file, formats=["PNG"])
            image.load()
        except (OSError, SyntaxError, ValueError, struct.error, zlib.error) as error:
            raise ValueError(f"{path}: damaged PNG file: {error}") from error
    return image, header[24], header[25]


def _numbers(path, image, depth, kind):
    """The pixels as they stand in the file."""
    if kind not in (_GREY, _PALETTE):
        raise ValueError(
            f"{path}: an image of mode {image.mode}, with several numbers a pixel and no palette, "
            "so its pixels are no labels; colors tells which label a colour stands for"
        )
    values = np.asarray(image).astype(np.uint16 if depth == 16 else np.uint8)
    # Pillow stretches grey values of two and four bits to 0 to 255.
    return values // (255 // (2**depth - 1)) if kind == _GREY and 1 < depth < 8 else values


def _labels_of_colors(path, image, depth, table, unknown_label):
    """The labels of the colours of the pixels."""
    if depth == 16:
        raise ValueError(f"{path}: 16 bits a colour, but colors are of 8 bits")
    pixels = np.asarray(image.convert("RGBA"))
    if (pixels[..., 3] < 255).any():
        raise ValueError(f"{path}: some pixels are transparent, so they have no colour")
    known, labels = table
    codes = _color_codes(pixels)
    places = np.searchsorted(known, codes).clip(max=len(known) - 1)
    unknown = known[places] != codes
    if not unknown.any():
        return labels[places]
    if unknown_label is None:
        row, column = np.argwhere(unknown)[0]
        color = tuple(pixels[row, column, :3].tolist())
        raise ValueError(
            f"{path}: colors does not have the colour {color} of the pixel in row {row}, column "
            f"{column}, one of {np.sum(unknown)} pixels of {len(np.unique(codes[unknown]))} such "
            "colours; unknown_label would give them a label"
        )
    dtype = np.result_type(labels, np.min_scalar_type(unknown_label))
    taken = labels[places].astype(dtype)
    taken[unknown] = unknown_label
    return taken


def _color_codes(colors):
    """A number for each colour on the last axis."""
    red, green, blue = np.moveaxis(colors[..., :3].astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _color_table(colors):
    """The codes of colours in order, and their labels."""
    if isinstance(colors, dict):
        labels, colors = _checked_labels(list(colors.values())), list(colors)
    else:
        labels = None
    colors = _checked_colors(colors)
    codes = _color_codes(colors)
    known, first = np.unique(codes, return_index=True)
    if len(known) < len(codes):
        again = np.setdiff1d(np.arange(len(codes)), first)[0]
        color = tuple(colors[again].tolist())
        raise ValueError(f"colors has {color} twice: each colour needs one label")
    labels = np.arange(len(codes)) if labels is None else labels
    return known, labels[first].astype(np.min_scalar_type(labels.max()))


def _checked_labels(labels):
    for label in labels:
        if not isinstance(label, Integral):
            raise TypeError(f"the labels in colors must be integers, got {label!r}")
        if not 0 <= label <= _LARGEST:
            raise ValueError(f"the labels in colors must be from 0 to {_LARGEST}, got {label}")
    return np.array(labels)


def _checked_colors(colors):
    """Colours as bytes (n_colors, 3)."""
    try:
        colors = np.asarray(colors)
    except ValueError as error:
        raise ValueError("each of colors must be red, green and blue, no more or fewer") from error
    if colors.ndim != 2 or colors.shape[1] != 3 or colors.size == 0:
        raise ValueError(f"colors must be of shape (n_labels, 3), got {colors.shape}")
    if colors.dtype.kind not in "iu":
        raise TypeError(f"colors must be integers from 0 to 255, got {colors.dtype}")
    if colors.min() < 0 or colors.max() > 255:
        raise ValueError(f"colors must be from 0 to 255, got {colors.min()} to {colors.max()}")
    return colors.astype(np.uint8)


@validate_params({"colors": ["array-like", None]})
def write_label_maps(
    maps: Sequence[ArrayLike] | NDArray[Any],
    paths: Sequence[PathLike],
    *,
    colors: ArrayLike | None = None,
) -> None:
    """Write label maps, such as predictions, to PNG files with a palette.

    A pixel in the file is its label, and the palette gives it a colour where the file is shown. So
    `read_label_maps` reads the same labels back. Files that exist are replaced.

    Pillow writes the files; the extra ``images`` brings it.

    Parameters
    ----------
    maps : array-like of shape (n_maps, height, width), or list of (height, width)
        Labels, integers from 0 to 255.
    paths : list of str or path-like
        A file for each map, in folders that exist.
    colors : array-like of shape (n_labels, 3), default=None
        Red, green and blue of the labels 0, 1, 2, ..., from 0 to 255, at most 256. None is
        `VOC_COLORS`, those of Pascal VOC [1]_, in which 0 is black and 255, often no label, cream.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    TypeError
        If labels or colours are no integers, or `paths` no names or paths.
    ValueError
        If there are more or fewer maps than files, or a file is named twice, a map has other axes
        or no pixels, or a label has no colour. No file has been written then.

    See Also
    --------
    read_label_maps : The inverse.

    References
    ----------
    .. [1] Everingham, Van Gool, Williams, Winn and Zisserman, "The Pascal visual object classes
       (VOC) challenge", 2010.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_convnet.datasets import VOC_COLORS, read_label_maps, write_label_maps
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [Path(folder, "small.png"), Path(folder, "large.png")]
    ...     write_label_maps([[[1, 2]], [[3, 0, 3]]], files)
    ...     read_label_maps(files)
    [array([[1, 2]], dtype=uint8), array([[3, 0, 3]], dtype=uint8)]

    The same as a picture:

    >>> VOC_COLORS[[[1, 2]]]
    array([[[128,   0,   0],
            [  0, 128,   0]]], dtype=uint8)
    """
    image_module = pillow("write_label_maps")
    palette = VOC_COLORS if colors is None else _checked_colors(colors)
    if len(palette) > 256:
        raise ValueError(f"colors has {len(palette)} rows, but a palette has at most 256 colours")
    paths = [Path(path) for path in listed_paths(paths)]
    checked = [_checked_map(i, one, len(palette)) for i, one in enumerate(maps)]
    if len(checked) != len(paths):
        raise ValueError(f"there are {len(checked)} maps, but {len(paths)} paths")
    for i, path in enumerate(paths):
        if path in paths[:i]:
            raise ValueError(f"paths has {path} twice: each map needs a file of its own")
    for one, path in zip(checked, paths, strict=True):
        image = image_module.fromarray(one)
        image.putpalette(palette.tobytes())
        image.save(path, format="PNG")


def _checked_map(i, labels, n_colors):
    """A map as bytes."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.size == 0:
        raise ValueError(f"maps[{i}] has shape {labels.shape}: expected (height, width)")
    if labels.dtype.kind not in "biu":
        raise TypeError(
            f"maps[{i}] is of {labels.dtype}, but a file holds integers: give the numbers of the "
            "labels, such as their places in classes_"
        )
    for label in (labels.min(), labels.max()):
        if not 0 <= label < n_colors:
            raise ValueError(
                f"maps[{i}] has the label {label}, but there are colours for 0 to {n_colors - 1}"
            )
    return np.ascontiguousarray(labels, np.uint8)
