"""Label maps of images, from the outlines and runs of pixels that COCO's files have of objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..messages import about

#: Label of pixels that belong to a crowd, or the larger one where there are as many classes.
IGNORED = 255
_LARGEST = 2**16 - 1


def label_maps(read, objects, numbers):
    """A label map of each image: 0 is no object, and of class i pixels are i + 1.

    Parameters
    ----------
    read : Annotations
        With the sizes of its images, and its crowds.
    objects : list of Object
        Those to draw. Where they overlap the smaller one is in front.
    numbers : dict of str to int
        The classes.

    Returns
    -------
    ndarray of shape (n_images, height, width), or list of ndarray where images differ in size

    Raises
    ------
    ValueError
        If an object has no outline, or one that does not fit its image.
    """
    ignored = IGNORED if len(numbers) < IGNORED else _LARGEST
    crowds = [one for one in read.crowds if one.name in numbers]
    of_image = {name: ([], []) for name in read.filenames}
    for place, some in enumerate((crowds, objects)):
        for one in some:
            of_image[one.filename][place].append(one)
    maps = []
    for name, (behind, before) in of_image.items():
        size = read.sizes[name]
        if not all(type(n) is int and n > 0 for n in size):
            raise ValueError(f"{name}: height and width must be whole numbers, got {size}")
        labels = np.zeros(size, np.uint8 if ignored == IGNORED else np.uint16)
        for one in behind:
            labels[_mask_of(one, labels.shape)] = ignored
        masks = [(_mask_of(one, labels.shape), numbers[one.name] + 1) for one in before]
        for mask, label in sorted(masks, key=lambda pair: -pair[0].sum()):
            labels[mask] = label
        maps.append(labels)
    return np.stack(maps) if len({one.shape for one in maps}) == 1 else maps


def _mask_of(one, shape):
    """The pixels of an object."""
    number, segmentation = one.segmentation
    with about(f"annotation {number}: 'segmentation'"):
        if isinstance(segmentation, dict):
            return _mask_of_runs(segmentation, shape)
        return _mask_of_outlines(segmentation, shape)


# --- outlines ----------------------------------------------------------------------------


def _mask_of_outlines(outlines, shape):
    """The pixels that lie within one of several polygons."""
    if not isinstance(outlines, list) or not outlines:
        raise ValueError("it must be a list of outlines, or runs of pixels")
    mask = np.zeros(shape, bool)
    for outline in outlines:
        try:
            corners = np.asarray(outline, float)
        except (TypeError, ValueError):
            corners = np.empty(0)
        is_list = corners.ndim == 1 and corners.size >= 6 and corners.size % 2 == 0
        if not (is_list and np.abs(corners).max() < 2**31):  # which NaN is not
            raise ValueError(f"an outline must be x1, y1, x2, y2, x3, y3, ..., got {outline!r}")
        fill_polygon(mask, *corners.reshape(-1, 2).T)
    return mask


def fill_polygon(mask: NDArray[Any], x: NDArray[Any], y: NDArray[Any]) -> None:
    """Set the pixels whose middle lies within a polygon: on a line through the middles of a row,
    after an odd number of its edges.

    Parameters
    ----------
    mask : ndarray of shape (height, width), of bool
    x, y : ndarray of shape (n_corners,)
        Pixel (0, 0) reaches from 0 to 1.
    """
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    first, last = (int(edge) for edge in np.clip([y.min(), np.ceil(y.max())], 0, len(mask)))
    for row in range(first, last):
        middle = row + 0.5
        crosses = (y <= middle) != (next_y <= middle)
        slope = (next_x[crosses] - x[crosses]) / (next_y[crosses] - y[crosses])
        at = np.sort(x[crosses] + (middle - y[crosses]) * slope)
        columns = np.ceil(at - 0.5).clip(0, mask.shape[1]).astype(int)
        for left, right in columns.reshape(-1, 2):
            mask[row, left:right] = True


# --- runs of pixels ----------------------------------------------------------------------


def _mask_of_runs(segmentation, shape):
    """Runs of pixels, down one column after the other: first those outside of the object."""
    counts, size = segmentation.get("counts"), segmentation.get("size")
    if size != list(shape):
        raise ValueError(f"its size is {size!r}, but that of the image {list(shape)}")
    if isinstance(counts, str):
        counts = decoded_counts(counts)
    if not isinstance(counts, list) or not all(type(n) is int and n >= 0 for n in counts):
        raise ValueError("'counts' must be whole numbers, or a text that stands for them")
    if sum(counts) != shape[0] * shape[1]:
        raise ValueError(
            f"its runs are of {sum(counts)} pixels, but the image has {shape[0] * shape[1]}"
        )
    is_inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(is_inside, counts).reshape(shape[::-1]).T


def decoded_counts(text: str) -> list[int]:
    """The lengths of runs that a text of COCO's stands for.

    Each character has 5 bits, the lowest first, of a number, and a bit that says whether more of it
    follow; a number is, from the fourth on, the difference to the one two places before
    (``rleFrString`` of COCO's API, https://github.com/cocodataset/cocoapi).

    Parameters
    ----------
    text : str

    Returns
    -------
    list of int

    Raises
    ------
    ValueError
        If it stands for none.

    Examples
    --------
    >>> from sklearn_convnet.datasets.coco_masks import decoded_counts
    >>> decoded_counts("52203")
    [5, 2, 2, 2, 5]
    """
    counts: list[int] = []
    number = place = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"'counts' has the character {character!r}, which stands for nothing")
        number |= (bits & 31) << place
        place += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << place
        counts.append(number + counts[-2] if len(counts) > 2 else number)
        number = place = 0
    if place:
        raise ValueError("'counts' ends within a number")
    return counts
