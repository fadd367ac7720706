"""Boxes and points of objects in images, from the files of annotation tools."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from .._typing import PathLike
from ..constraints import StrOptions, validate_params
from ..messages import about
from .annotation_formats import read_coco, read_csv, read_voc, read_yolo
from .coco_masks import label_maps

_READERS = {"coco": read_coco, "voc": read_voc, "yolo": read_yolo, "csv": read_csv}


@validate_params(
    {
        "path": [str, os.PathLike],
        "format": [StrOptions(set(_READERS))],
        "target_names": ["array-like", None],
        "images": [str, os.PathLike, None],
        "objects": [StrOptions({"all", "largest"})],
        "masks": ["boolean"],
    }
)
def load_annotations(
    path: PathLike,
    format: Literal["coco", "voc", "yolo", "csv"],
    *,
    target_names: Sequence[str] | NDArray[Any] | None = None,
    images: PathLike | None = None,
    objects: Literal["all", "largest"] = "all",
    masks: bool = False,
) -> Bunch:
    """Read the boxes, classes, key points and pixels of objects in images.

    There is one row for each object. Coordinates are shares of the width and the height of the
    image, as the estimators take them: 0 and 1 are its borders. Anything beyond them is cut off.

    ========== ============================================== ======================================
    `format`   `path`                                         coordinates in it
    ========== ============================================== ======================================
    ``"coco"`` a JSON file with images, annotations and       pixels: the corner of a box, its width
               categories                                     and height; pixels of key points
    ``"voc"``  a folder with an XML file for each image       the first and last pixel of a box,
                                                              counted from 1
    ``"yolo"`` a folder with a text file for each image, an   shares: the middle of a box, its width
               object a line: the number of the class and     and height
               the box
    ``"csv"``  a file with a header: filename, class, xmin,   pixels if there are columns width and
               ymin, xmax, ymax, and perhaps width and height height of the image, otherwise shares
    ========== ============================================== ======================================

    The first two are the formats of COCO [1]_ and Pascal VOC [2]_. Crowds of COCO (``iscrowd``),
    which are no single objects, are left out, but for label maps.

    Parameters
    ----------
    path : str or path-like
        The file or folder.
    format : {"coco", "voc", "yolo", "csv"}
        Its kind.
    target_names : array-like of str, default=None
        The classes to read, in the order of their numbers; objects of others are left out. None is
        all: those of COCO by their ids, those of YOLO as the file ``classes.txt`` in `path` names
        them, one a line, or else by their numbers; those of VOC and CSV in alphabetical order.
    images : str or path-like, default=None
        The folder of the images. It is put before the names in the file. For YOLO, whose files have
        the names of the images but for the ending, None is the folder ``images`` beside the last
        folder ``labels`` in `path`, or else `path`.
    objects : {"all", "largest"}, default="all"
        Whether all objects of an image count, or only that whose box has the largest area, so that
        each image has one.
    masks : bool, default=False
        Whether to make a label map of each image, of the outlines or runs of pixels that files of
        COCO have of objects.

    Returns
    -------
    Bunch
        With the attributes

        filenames : ndarray of shape (n_objects,)
            The image of each object, as str.
        target : ndarray of shape (n_objects,)
            Numbers of the classes.
        target_names : list of str
            Names of the classes.
        boxes : ndarray of shape (n_objects, 4)
            ``x1, y1, x2, y2``: the upper left and the lower right corner.
        points : ndarray of shape (n_objects, 2 * n_points), or None
            ``x1, y1, x2, y2, ...``: the key points of COCO, if the file has any. NaN is a point
            that was not marked.
        point_names : list of str
            Their names.
        image_names : ndarray of shape (n_images,)
            All images, also those without an object.
        label_maps : ndarray of shape (n_images, height, width), or list of ndarray, or None
            With `masks`, those of `image_names`; a list where images differ in size. A pixel is
            of the object within whose outline its middle lies: class i is i + 1, and what is of
            none 0. Where objects overlap, the one of fewer pixels is in front. Crowds are 255, or
            65535 of 255 classes or more: a label to be ignored, the classifier's `ignore_label`.

    Raises
    ------
    FileNotFoundError
        If a file or folder is missing, or for YOLO an image of a text file.
    OSError
        If `path` is a folder where `format` has a file, or the other way round.
    ValueError
        If something is missing in a file or is no number, a box has a negative width or height, the
        middle of a box of YOLO is not in its image, or no object is left; with `masks`, if the
        format is another, or an object has no outline.

    See Also
    --------
    read_label_maps : Classes of pixels, such as those of VOC.
    load_image_folder : Images with a class each.

    References
    ----------
    .. [1] Lin and others, "Microsoft COCO: common objects in context", 2014;
       https://cocodataset.org/#format-data
    .. [2] Everingham, Van Gool, Williams, Winn and Zisserman, "The Pascal visual object classes
       (VOC) challenge", 2010.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_convnet.datasets import load_annotations
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "boxes.csv")
    ...     _ = file.write_text('''filename,width,height,class,xmin,ymin,xmax,ymax
    ... pond.jpg,400,200,duck,100,50,200,100
    ... pond.jpg,400,200,frog,0,150,40,200
    ... ''')
    ...     found = load_annotations(file, "csv")
    >>> found.boxes
    array([[0.25, 0.25, 0.5 , 0.5 ],
           [0.  , 0.75, 0.1 , 1.  ]])
    >>> found.filenames.tolist(), found.target, found.target_names
    (['pond.jpg', 'pond.jpg'], array([0, 1]), ['duck', 'frog'])
    """
    if masks and format != "coco":
        raise ValueError(f"masks=True is for files of COCO, but format={format!r}")
    read = _READERS[format](Path(path), images)
    names = _names(read, target_names)
    numbers = {name: i for i, name in enumerate(names)}
    found = [one for one in read.objects if one.name in numbers]
    if objects == "largest":
        found = _largest(found)
    if not found:
        there = sorted({one.name for one in read.objects})
        other = f" of the classes {names} there, but of {there}" if there else " there"
        raise ValueError(f"{path}: no object{other}")
    maps = None
    if masks:
        with about(path):
            maps = label_maps(read, found, numbers)
    return Bunch(
        filenames=np.array([one.filename for one in found]),
        target=np.array([numbers[one.name] for one in found]),
        target_names=names,
        boxes=np.clip([one.box for one in found], 0, 1),
        points=_points(found, len(read.point_names)),
        point_names=read.point_names,
        image_names=np.array(read.filenames),
        label_maps=maps,
    )


def _names(read, target_names):
    """The classes in the order of their numbers."""
    if target_names is None:
        return read.names
    names = list(target_names)
    if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"target_names must be names, each of them once, got {names}")
    return names


def _largest(objects):
    """The object with the largest box of each image, the first of those that are as large."""
    best = {}
    for one in objects:
        if one.filename not in best or one.area > best[one.filename].area:
            best[one.filename] = one
    return list(best.values())


def _points(objects, n_points):
    """The points of all objects, NaN for those of an object that has none."""
    if n_points == 0:
        return None
    missing = [np.nan] * (2 * n_points)
    return np.array([missing if one.points is None else one.points for one in objects])
