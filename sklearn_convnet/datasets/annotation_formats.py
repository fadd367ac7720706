"""Readers of the files of annotation tools, each of which returns `Annotations`."""

import csv
import json
import math
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

from ..messages import about
from .folders import is_shown

#: With or without the mark of the order of bytes that tools on Windows begin a file with.
_UTF_8 = "utf-8-sig"
#: Endings of files beside YOLO's that are no images.
_NO_IMAGES = (".txt", ".yaml", ".yml", ".json", ".xml", ".csv", ".cache")
#: COCO's mark of a point that was not marked.
_NOT_LABELLED = 0


@dataclass(frozen=True)
class Object:
    """An object in an image.

    Attributes
    ----------
    filename : str
        The image.
    name : str
        The class.
    box : list of float
        x1, y1, x2, y2 in shares.
    points : list of float or None
        x1, y1, x2, y2, ... in shares.
    segmentation : tuple or None
        The number of its annotation, and the pixels that are the object's, as COCO has them.
    """

    filename: str
    name: str
    box: list
    points: list | None = None
    segmentation: tuple | None = None

    @property
    def area(self):
        """Share of the image that the box takes."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass
class Annotations:
    """All that was read, image by image.

    Attributes
    ----------
    filenames : list of str
        All images.
    names : list of str
        The classes in the order of their numbers.
    objects : list of Object
    point_names : list of str
    crowds : list of Object
        Several objects as one, in COCO's files.
    sizes : dict of str to (int, int)
        Height and width of the images of COCO's files.
    """

    filenames: list
    names: list
    objects: list
    point_names: list = field(default_factory=list)
    crowds: list = field(default_factory=list)
    sizes: dict = field(default_factory=dict)


def _located(images, name):
    """The name of an image, in a folder if there is one."""
    return str(name) if images is None else os.path.join(images, str(name))


def _number(value, what):
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{what} must be a number, got {value!r}")
    return number


def _numbers(values, names):
    """Numbers of a list or of the text of an XML file."""
    return [_number(value, name) for value, name in zip(values, names, strict=True)]


def _size(width, height):
    """Width and height of an image."""
    size = _numbers((width, height), ("width", "height"))
    if min(size) <= 0:
        raise ValueError(f"the image must have a width and a height, got {size}")
    return size


def _box(corners, width=1.0, height=1.0):
    """Two corners in shares."""
    x1, y1, x2, y2 = corners
    if x2 < x1 or y2 < y1:
        raise ValueError(f"the box from ({x1}, {y1}) to ({x2}, {y2}) has a negative size")
    return [x1 / width, y1 / height, x2 / width, y2 / height]


def _entry(mapping, name):
    """An entry that has to be there."""
    try:
        return mapping[name]
    except (KeyError, TypeError):
        raise ValueError(f"{name!r} is missing") from None


def _word(text, what):
    """A name that has to be there."""
    if text is None or not str(text).strip():
        raise ValueError(f"{what!r} is missing")
    return str(text)


def _list(mapping, name):
    """A list of mappings that has to be there."""
    found = _entry(mapping, name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f"{name!r} must be a list of mappings")
    return found


def _files_of(folder, ending):
    """The files of a folder with an ending, at least one, by their names."""
    if folder.is_file():
        raise NotADirectoryError(f"{folder}: a file, but path must be the folder that it is in")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    there = (path for path in folder.iterdir() if is_shown(path.name))
    files = sorted(path for path in there if path.suffix.lower() == ending)
    if not files:
        raise FileNotFoundError(f"{folder}: no {ending} files there")
    return files


# --- COCO --------------------------------------------------------------------------------


def read_coco(path, images):
    """A JSON file with images, annotations and categories."""
    try:
        contents = json.loads(path.read_text(encoding=_UTF_8))
    except ValueError as error:
        raise ValueError(f"{path}: no JSON file: {error}") from error
    with about(path):
        by_id = _by_id(contents, "images")
        located = {i: _located(images, _coco_name(by_id, i, "file_name")) for i in by_id}
        categories = _by_id(contents, "categories")
        names = {i: _coco_name(categories, i, "name") for i in sorted(categories)}
        point_names = _coco_point_names([categories[i] for i in names])
        found, crowds = {i: [] for i in by_id}, []
        for i, one in enumerate(_list(contents, "annotations")):
            with about(f"annotation {i}"):
                image = _known(by_id, one, "image_id")
                where, segmentation = located[image["id"]], (i, one.get("segmentation"))
                name = _known(names, one, "category_id")
                if one.get("iscrowd"):
                    crowds.append(Object(where, name, [], None, segmentation))
                    continue
                made = _coco_object(one, image, where, name, point_names)
                found[image["id"]].append(replace(made, segmentation=segmentation))
    objects = [one for of_image in found.values() for one in of_image]
    sizes = {located[i]: (one.get("height"), one.get("width")) for i, one in by_id.items()}
    return Annotations(
        list(located.values()), list(names.values()), objects, point_names, crowds, sizes
    )


def _by_id(contents, name):
    """The images or categories by their numbers; images may have texts in their place."""
    kinds = (int, float, str) if name == "images" else (int, float)
    found = {}
    for i, one in enumerate(_list(contents, name)):
        with about(f"{name}[{i}]"):
            number = _entry(one, "id")
            if type(number) not in kinds:
                raise ValueError(f"'id' must be a number, got {number!r}")
            if number in found:
                raise ValueError(f"'id' is {number!r}, which is that of another one as well")
            found[number] = one
    return found


def _coco_name(by_id, i, what):
    """The name of an image or category."""
    with about(f"'id' {i!r}"):
        return _word(_entry(by_id[i], what), what)


def _known(by_id, one, name):
    """The image or category that an annotation is of."""
    number = _entry(one, name)
    if type(number) not in (int, float, str) or number not in by_id:
        raise ValueError(f"{name!r} is {number!r}, which the file does not have")
    return by_id[number]


def _coco_object(one, image, where, name, point_names):
    width, height = _size(_entry(image, "width"), _entry(image, "height"))
    box = _entry(one, "bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"'bbox' must be x, y, width and height, got {box!r}")
    x, y, across, down = _numbers(box, ("x", "y", "width", "height"))
    points = one.get("keypoints") if point_names else None
    if points is not None:
        points = _coco_points(points, width, height, len(point_names))
    return Object(where, name, _box((x, y, x + across, y + down), width, height), points)


def _coco_points(points, width, height, n_points):
    """A point is a pixel, whose middle is meant: half a pixel from its corner."""
    if not isinstance(points, list) or len(points) != 3 * n_points:
        raise ValueError(
            f"'keypoints' must hold x, y and visibility of {n_points} points, as the categories "
            f"name them, got {points!r}"
        )
    shares = []
    for x, y, visibility in zip(points[::3], points[1::3], points[2::3], strict=True):
        if visibility == _NOT_LABELLED:
            shares += [math.nan, math.nan]
        else:
            x, y = _numbers((x, y), ("x", "y"))
            shares += [(x + 0.5) / width, (y + 0.5) / height]
    return shares


def _coco_point_names(categories):
    """The names of the points, of which categories have the same or none."""
    lists = [one["keypoints"] for one in categories if one.get("keypoints")]
    if not all(isinstance(names, list) for names in lists):
        raise ValueError("'keypoints' of a category must be a list of names")
    if any(names != lists[0] for names in lists):
        raise ValueError("categories differ in their 'keypoints': keep those of one kind of object")
    return list(map(str, lists[0])) if lists else []


# --- VOC ---------------------------------------------------------------------------------


def read_voc(path, images):
    """A folder with an XML file for each image."""
    filenames, objects = [], []
    for file in _files_of(path, ".xml"):
        with about(file):
            try:
                root = ElementTree.parse(file).getroot()
            except ElementTree.ParseError as error:
                raise ValueError(f"no XML file: {error}") from error
            filenames.append(_located(images, _text(root, "filename")))
            objects += _voc_objects(root, filenames[-1])
    return Annotations(filenames, sorted({one.name for one in objects}), objects)


def _voc_objects(root, filename):
    width, height = _size(_text(root, "size/width"), _text(root, "size/height"))
    names = ("xmin", "ymin", "xmax", "ymax")
    for i, one in enumerate(root.findall("object")):
        with about(f"object {i}"):
            corners = _numbers([_text(one, f"bndbox/{name}") for name in names], names)
            # The first and the last pixel, counted from 1.
            box = _box((corners[0] - 1, corners[1] - 1, *corners[2:]), width, height)
            yield Object(filename, _text(one, "name"), box)


def _text(element, path):
    return _word(element.findtext(path), path).strip()


# --- YOLO --------------------------------------------------------------------------------


def read_yolo(path, images):
    """A folder with a text file for each image."""
    files = [file for file in _files_of(path, ".txt") if file.name != "classes.txt"]
    places = _images_by_stem(_images_beside(path) if images is None else Path(images))
    names = _yolo_names(path / "classes.txt")
    objects = []
    for file in files:
        if file.stem not in places:
            raise FileNotFoundError(
                f"{file}: no image of this name in {Path(images or _images_beside(path))}: set "
                "images to the folder where they are"
            )
        with about(file):
            objects += _yolo_objects(file, str(places[file.stem]), names)
    if names is None:
        names = sorted({one.name for one in objects}, key=int)
    return Annotations([str(place) for place in places.values()], names, objects)


def _images_beside(path):
    """The folder of the images, by the usual names."""
    parts = list(path.parts)
    if "labels" not in parts:
        return path
    last = len(parts) - 1 - parts[::-1].index("labels")
    return Path(*parts[:last], "images", *parts[last + 1 :])


def _images_by_stem(folder):
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder: set images to where the images are")
    found = sorted(path for path in folder.iterdir() if path.is_file() and path.name[0] != ".")
    return {path.stem: path for path in found if path.suffix.lower() not in _NO_IMAGES}


def _yolo_names(path):
    """The names of the classes, or None if there is no such file."""
    if not path.exists():
        return None
    with about(path):
        names = [line.strip() for line in path.read_text(encoding=_UTF_8).rstrip().splitlines()]
        if "" in names:
            raise ValueError(f"line {1 + names.index('')} is empty, but each line names a class")
    return names


def _yolo_objects(file, filename, names):
    for i, line in enumerate(file.read_text(encoding=_UTF_8).splitlines(), 1):
        if not line.strip():
            continue
        with about(f"line {i}"):
            label, *box = line.split()
            if len(box) != 4:
                raise ValueError(
                    "must be the number of a class, x, y, width and height, got "
                    f"{1 + len(box)} numbers; outlines and key points are not read"
                )
            x, y, width, height = _numbers(box, ("x", "y", "width", "height"))
            if not (0 <= x <= 1 and 0 <= y <= 1):
                raise ValueError(
                    f"the middle of the box, ({x}, {y}), is not in shares of the image, from 0 to "
                    "1: if it is in pixels, divide it by width and height of the image"
                )
            corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
            yield Object(filename, _yolo_name(label, names), _box(corners))


def _yolo_name(label, names):
    if not label.isdecimal():
        raise ValueError(f"the class must be a number, counted from 0, got {label!r}")
    if names is None:
        return str(int(label))
    if int(label) >= len(names):
        raise ValueError(f"the class is {label}, but classes.txt has {len(names)} names, from 0")
    return names[int(label)]


# --- CSV ---------------------------------------------------------------------------------

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_csv(path, images):
    """A file with a header and an object a line."""
    filenames, objects = {}, []
    with open(path, newline="", encoding=_UTF_8) as file, about(path):
        rows = csv.DictReader(file, skipinitialspace=True)
        try:
            _check_header(rows.fieldnames or [])
            for row in rows:
                with about(f"line {rows.line_num}"):
                    one = _csv_object(row, images)
                filenames.setdefault(one.filename)
                objects.append(one)
        except csv.Error as error:
            raise ValueError(f"line {rows.line_num + 1}: {error}") from error
    return Annotations(list(filenames), sorted({one.name for one in objects}), objects)


def _check_header(names):
    """Raises ValueError if a column is missing."""
    needed = ["filename", "class", *_CORNERS]
    if "width" in names or "height" in names:
        needed += ["width", "height"]
    missing = [name for name in needed if name not in names]
    if missing:
        raise ValueError(
            f"the first line must name the columns, separated by commas: no {', '.join(missing)} "
            f"among {names}"
        )


def _csv_object(row, images):
    corners = _numbers([row[name] for name in _CORNERS], _CORNERS)
    if "width" in row:
        size = _size(row["width"], row["height"])
    elif min(corners) < 0 or max(corners) > 1:
        raise ValueError(
            f"the box {corners} is not in shares of the image, from 0 to 1: if it is in pixels, "
            "add the columns width and height of the image"
        )
    else:
        size = (1.0, 1.0)
    filename, name = (_word(row[what], what) for what in ("filename", "class"))
    return Object(_located(images, filename), name, _box(corners, *size))
