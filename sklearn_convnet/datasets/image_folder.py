"""Images in folders, a class in each."""

from __future__ import annotations

import os
from dataclasses import replace
from numbers import Integral
from typing import Literal

import numpy as np
from sklearn.utils import Bunch

from .._typing import PathLike, RandomState
from ..constraints import StrOptions, validate_params
from ..image_files import FITS, MODES, ImageForm, checked_size, pillow
from ..many_files import read_in_turn
from ..whole_file import whole_file
from .folders import Readable, files_by_class


@validate_params(
    {
        "path": [str, os.PathLike],
        "mode": [StrOptions(set(MODES))],
        "fit": [StrOptions(set(FITS))],
        "memmap": [str, os.PathLike, None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "on_error": [StrOptions({"raise", "warn"})],
    }
)
def load_image_folder(
    path: PathLike,
    *,
    size: int | tuple[int, int] | None = None,
    mode: Literal["RGB", "L"] = "RGB",
    fit: Literal["resize", "crop", "pad"] = "resize",
    memmap: PathLike | None = None,
    n_jobs: int | None = None,
    random_state: RandomState = None,
    on_error: Literal["raise", "warn"] = "raise",
) -> Bunch:
    """Read images from folders, a class in each subfolder.

    A class has the name of its subfolder; classes are numbered in alphabetical order. Its images
    lie in the subfolder, or in folders below it. A subfolder without images is a class without
    samples, so that the folders of a training and of a test set number their classes alike. Files
    are read if their extension stands for a format that Pillow reads (PNG, JPEG, GIF, BMP, TIFF,
    WebP and others); names that begin with a dot, and what macOS adds to an archive
    (``__MACOSX``), are skipped.

    All images become bytes of one mode. An image is rotated as its EXIF orientation says. 16-bit
    grey is divided by 257. Transparent pixels are laid over white. Of several frames or pages, the
    first is read. Images are resized by the mean of the pixels that a new one covers (bilinear,
    with a wider window to make an image smaller); a JPEG file of more than twice the size is first
    decoded at a half, a quarter or an eighth of it, as the format allows.

    Pillow reads the files; the extra ``images`` brings it.

    Parameters
    ----------
    path : str or path-like
        The folder that has the subfolders.
    size : int or (int, int), default=None
        Height and width of all images in pixels, or one number for both. None leaves each image its
        size.
    mode : {"RGB", "L"}, default="RGB"
        Three channels, also for images in grey; or one, of which the value is
        ``0.299 R + 0.587 G + 0.114 B``.
    fit : {"resize", "crop", "pad"}, default="resize"
        How images of other proportions get the size. "resize" stretches them. "crop" and "pad" keep
        their proportions: "crop" cuts off what is too much at both ends, "pad" fills up with black
        at both ends.
    memmap : str or path-like, default=None
        File to write the images to, in the format of ``np.save``, a few at a time. `data` is then a
        memory map of it, and the images are never all in memory. An existing file is replaced when
        all images have been read.
    n_jobs : int, default=None
        Number of threads that read; -1 is as many as there are cores. The result does not depend
        on it.
    random_state : int or RandomState instance, default=None
        Shuffles the images. None leaves them in the order of their classes and names.
    on_error : {"raise", "warn"}, default="raise"
        What to do with files that cannot be read. All of them are named, in one error, or in one
        warning; then they are left out.

    Returns
    -------
    Bunch
        With the attributes

        data : ndarray of shape (n_samples, height, width, n_channels), or list of ndarray
            Bytes, channels last. A list if `size` is None and the images differ in size, which
            estimators take as well.
        target : ndarray of shape (n_samples,)
            Numbers of the classes.
        target_names : list of str
            Names of the classes.
        filenames : ndarray of shape (n_samples,)
            The files, as str.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    FileNotFoundError
        If there is no such folder, or it has no subfolders, or there is no image in them.
    NotADirectoryError
        If `path` is a file.
    ValueError
        If files cannot be read, or with `memmap` and no `size` the images differ in size. Nothing
        has been written then.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sklearn_convnet.datasets import load_image_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, color in [("sea", "blue"), ("wood", "green"), ("wood", "darkgreen")]:
    ...         Path(folder, name).mkdir(exist_ok=True)
    ...         Image.new("RGB", (30, 20), color).save(Path(folder, name, f"{color}.png"))
    ...     scenes = load_image_folder(folder, size=(8, 12))
    >>> scenes.data.shape, scenes.target, scenes.target_names
    ((3, 8, 12, 3), array([0, 1, 1]), ['sea', 'wood'])
    >>> [Path(name).name for name in scenes.filenames]
    ['blue.png', 'darkgreen.png', 'green.png']
    """
    form = ImageForm(None if size is None else checked_size(size), mode, fit)
    endings = _endings(pillow("load_image_folder"))
    names, files, target = files_by_class(path, endings, "images", random_state)
    if size is None:
        form = _of_one_size(form, files, n_jobs, memmap)
    data, kept = _read(form, files, n_jobs, memmap, on_error)
    return Bunch(
        data=data,
        target=target[kept],
        target_names=names,
        filenames=np.array([str(files[i]) for i in kept]),
    )


def _endings(image_module):
    """Those that stand for a format which Pillow reads."""
    kinds = image_module.registered_extensions().items()
    return {ending for ending, kind in kinds if kind in image_module.OPEN}


def _of_one_size(form, files, n_jobs, memmap):
    """The form with the size that all images have, if they have one; a damaged file has none."""
    first = None
    for file, size in zip(files, read_in_turn(form.size_in_file, files, n_jobs), strict=True):
        if isinstance(size, Exception):
            continue
        first = first or (file, size)
        if size != first[1]:
            if memmap is None:
                return form
            raise ValueError(
                f"memmap needs images of one size, but {first[0]} has height and width {first[1]} "
                f"and {file} has {size}: set size"
            )
    return replace(form, size=first and first[1])


def _read(form, files, n_jobs, memmap, on_error):
    """The images, and which of the files they are of."""
    readable = Readable(read_in_turn(form.read, files, n_jobs), len(files), on_error)
    if form.size is None:
        data = list(readable)
    elif memmap is None:
        data = _in_memory(readable, (len(files), *form.size, form.n_channels))
    else:
        data = _in_file(readable, (len(files), *form.size, form.n_channels), memmap)
    return data, readable.kept


def _in_memory(images, shape):
    """An array of images, of which there may be fewer than the shape says."""
    data, n = np.empty(shape, np.uint8), 0
    for image in images:
        data[n] = image
        n += 1
    return data[:n]


def _in_file(images, shape, path):
    """A memory map of a file that images are written to, of which there may be fewer than the shape
    says."""
    with whole_file(path) as file:
        _write_header(file, shape)
        n = 0
        for image in images:
            file.write(image.tobytes())
            n += 1
        if n < shape[0]:  # numpy leaves room in the header for any number of rows
            file.seek(0)
            _write_header(file, (n, *shape[1:]))
    return np.load(path, mmap_mode="r")


def _write_header(file, shape):
    np.lib.format.write_array_header_1_0(file, dict(descr="|u1", fortran_order=False, shape=shape))
