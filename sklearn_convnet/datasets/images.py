"""Images that are drawn."""

from __future__ import annotations

from math import sqrt
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from .._typing import RandomState
from ..constraints import validate_params
from .checks import _AT_LEAST_0, _AT_LEAST_1, _check_range

#: Digits of scikit-learn have 8 x 8 pixels; what is at least so dark (of 1) is their ink.
_GLYPH, _INK = 8, 0.4
#: Places that are tried for a digit.
_TRIES = 1000


@validate_params(
    {
        "n_samples": _AT_LEAST_1,
        "size": _AT_LEAST_1,
        "digits": [slice, "array-like"],
        "rotation": [tuple, list],
        "scale": [tuple, list],
        "n_digits": _AT_LEAST_1,
        "n_distractors": [Interval(Integral, 0, None, closed="left")],
        "noise": _AT_LEAST_0,
        "empty_share": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    }
)
def make_digit_scenes(
    n_samples: int = 100,
    *,
    size: int = 32,
    digits: slice | ArrayLike = slice(None),
    rotation: tuple[float, float] = (-30.0, 30.0),
    scale: tuple[float, float] = (1.5, 2.5),
    n_digits: int = 1,
    n_distractors: int = 0,
    noise: float = 0.1,
    empty_share: float = 0.0,
    random_state: RandomState = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Make scenes with handwritten digits at random places, with their labels and boxes.

    The digits are those of :func:`sklearn.datasets.load_digits`, turned, enlarged and moved.
    Fragments of other digits may be added as distractors, as in cluttered MNIST [1]_.

    Parameters
    ----------
    n_samples : int, default=100
        Number of scenes.
    size : int, default=32
        Width and height of a scene in pixels.
    digits : slice or array-like of int, default=slice(None)
        Which of the 1,797 digits may appear. ``slice(None, 1200)`` for training and
        ``slice(1200, None)`` for testing have none in common.
    rotation : tuple of float, default=(-30.0, 30.0)
        Range of the angle in degrees, anticlockwise, that a digit is turned by.
    scale : tuple of float, default=(1.5, 2.5)
        Range of the factor, drawn log-uniformly, by which a digit of 8 x 8 pixels is enlarged.
    n_digits : int, default=1
        Number of digits in a scene. Several do not overlap.
    n_distractors : int, default=0
        Number of fragments of digits in a scene, of 4 x 4 pixels before they are enlarged.
    noise : float, default=0.1
        Standard deviation of the noise at each pixel.
    empty_share : float, default=0.0
        Share of digits, on average, that are left out. A scene without any has nothing but
        fragments.
    random_state : int, RandomState instance or None, default=None
        Seed of all random draws.

    Returns
    -------
    images : ndarray of shape (n_samples, size, size)
        Brightness from 0 to 1, float32.
    labels : ndarray of shape (n_samples,) or (n_samples, n_digits)
        The digits, 0 to 9; -1 where there is none. With one digit a scene there is no second axis.
    boxes : ndarray of shape (n_samples, 8) or (n_samples, n_digits, 8)
        Corners ``x1, y1, ..., x4, y4`` of the box around each digit, which turns with it, as
        shares of width and height. They go round clockwise and begin with the corner that is
        the upper left one of an upright digit. NaN where there is no digit.
    masks : ndarray of shape (n_samples, size, size)
        1 where a digit is, otherwise 0, uint8.

    Raises
    ------
    ValueError
        If `digits` picks none, or the largest digit, or so many, do not fit into a scene.

    References
    ----------
    .. [1] Mnih, Heess, Graves and Kavukcuoglu, "Recurrent models of visual attention", 2014.

    Examples
    --------
    >>> from sklearn_convnet.datasets import make_digit_scenes
    >>> images, labels, boxes, masks = make_digit_scenes(5, random_state=0)
    >>> images.shape, labels.shape, boxes.shape, masks.shape
    ((5, 32, 32), (5,), (5, 8), (5, 32, 32))

    The same classes as a map, 0 for the background and 1 to 10 for the digits:

    >>> label_maps = masks * (labels + 1)[:, None, None]
    """
    _check_range("rotation", rotation)
    _check_range("scale", scale, minimum=0)
    widest = sqrt(2) * _GLYPH * scale[1]
    if widest > size:
        raise ValueError(
            f"scale={scale!r}: a digit has up to {widest:.1f} pixels from corner to corner, which "
            f"do not fit into size={size}; make scale smaller, or size larger"
        )
    data = load_digits()
    glyphs, targets = data.images[digits] / 16, data.target[digits]
    if len(glyphs) == 0:
        raise ValueError(f"digits={digits!r} picks none of the {len(data.target)} digits")
    rng = check_random_state(random_state)
    images = np.zeros((n_samples, size, size))
    labels = np.full((n_samples, n_digits), -1)
    boxes = np.full((n_samples, n_digits, 8), np.nan)
    masks = np.zeros((n_samples, size, size), np.uint8)
    for i, image in enumerate(images):
        there = []  # corners of the digits so far
        for j in range(n_digits):
            if rng.uniform() < empty_share:
                continue
            chosen = rng.randint(len(glyphs))
            matrix = _turned(rotation, scale, rng)
            drawn, corners = _placed_apart(glyphs[chosen], matrix, size, rng, there)
            there.append(corners)
            labels[i, j] = targets[chosen]
            boxes[i, j] = ((corners + 0.5) / size).ravel()
            masks[i] |= drawn > _INK
            image += rng.uniform(0.6, 1.0) * drawn
        for _ in range(n_distractors):
            drawn = _placed_fragment(glyphs, _turned(rotation, scale, rng), size, rng)
            np.maximum(image, rng.uniform(0.6, 1.0) * drawn, out=image)
        image += rng.normal(scale=noise, size=image.shape)
    if n_digits == 1:
        labels, boxes = labels[:, 0], boxes[:, 0]
    return images.clip(0, 1).astype(np.float32), labels, boxes, masks


def _turned(rotation, scale, rng):
    """A matrix that turns (x, y) anticlockwise, as the image is seen, and enlarges it."""
    angle = np.deg2rad(rng.uniform(*rotation))
    factor = np.exp(rng.uniform(*np.log(scale)))
    cos, sin = factor * np.cos(angle), factor * np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])  # y points down


def _placed_apart(glyph, matrix, size, rng, there):
    """A digit that does not come near the others, whose corners are `there`, and its corners."""
    for _ in range(_TRIES):
        drawn, corners = _placed_digit(glyph, matrix, size, rng)
        if all(_are_apart(corners, other) for other in there):
            return drawn, corners
    raise ValueError(
        f"there is no place for digit {len(there) + 1} of a scene of size={size}: make n_digits or "
        "scale smaller, or size larger"
    )


def _are_apart(corners, others):
    """True if the upright boxes around two turned ones have nothing in common."""
    (low, high), (other_low, other_high) = (
        (points.min(axis=0), points.max(axis=0)) for points in (corners, others)
    )
    return bool(((high < other_low) | (other_high < low)).any())


def _placed_digit(glyph, matrix, size, rng):
    """A digit somewhere within a scene, and the corners (4, 2) of its box in pixels."""
    rows, columns = (np.flatnonzero((glyph > _INK).any(axis=axis)) for axis in (1, 0))
    left, right = columns[0] - 0.5, columns[-1] + 0.5
    top, bottom = rows[0] - 0.5, rows[-1] + 0.5
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    middle = corners.mean(axis=0)
    offsets = (corners - middle) @ matrix.T
    reach = offsets.max(axis=0)  # a box is symmetric about its middle
    place = rng.uniform(reach, size - reach) - 0.5
    return _drawn(glyph, matrix, middle, place, size), place + offsets


def _placed_fragment(glyphs, matrix, size, rng):
    """A quarter of a digit, anywhere, also half beyond the border."""
    row, column = rng.randint(_GLYPH // 2 + 1, size=2)
    glyph = glyphs[rng.randint(len(glyphs))]
    glyph = glyph[row : row + _GLYPH // 2, column : column + _GLYPH // 2]
    middle = (np.array(glyph.shape) - 1) / 2
    place = rng.uniform(0, size, size=2) - 0.5
    return _drawn(glyph, matrix, middle, place, size)


def _drawn(glyph, matrix, middle, place, size):
    """A glyph whose `middle` comes to `place`, bilinear, in a square of zeros."""
    back = np.linalg.inv(matrix)
    # Transposed, since the axes of an image are (y, x).
    return ndimage.affine_transform(
        glyph.T,
        back,
        middle - back @ place,
        output_shape=(size, size),
        order=1,
        mode="grid-constant",
    ).T


#: Joints of a stick figure in their order. Left and right are those of the image.
STICK_FIGURE_JOINTS = (
    "head",
    "neck",
    *(f"{side} {part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist")),
    *(f"{side} {part}" for side in ("left", "right") for part in ("hip", "knee", "ankle")),
)

#: Pairs of joints that a line connects.
STICK_FIGURE_LIMBS = (
    (0, 1),
    *((1, 2), (2, 3), (3, 4)),
    *((1, 5), (5, 6), (6, 7)),
    *((1, 8), (8, 9), (9, 10)),
    *((1, 11), (11, 12), (12, 13)),
    (8, 11),
)

# Lengths as shares of the height of a figure that stands: radius of the head, its centre above
# the neck, and so on. Those from head to foot add up to 1.
_HEAD_RADIUS, _NECK, _TORSO, _THIGH, _SHANK = 0.07, 0.12, 0.32, 0.25, 0.24
_SHOULDER, _UPPER_ARM, _FOREARM, _HIP = 0.11, 0.18, 0.17, 0.07
_THICKNESS = 0.045

# Ranges of angles in degrees: arms and legs from straight down outward, forearms and shanks
# from the direction of the upper arm and the thigh.
_ARM, _ELBOW, _LEG, _KNEE = (-10, 150), (-60, 100), (-5, 55), (-60, 15)

#: No figure reaches further, from a wrist that is held up to an ankle, with margins.
_REACH = _UPPER_ARM + _FOREARM + _SHOULDER + _TORSO + _HIP + _THIGH + _SHANK + 2 * _HEAD_RADIUS


@validate_params(
    {
        "n_samples": _AT_LEAST_1,
        "size": _AT_LEAST_1,
        "height": [tuple, list],
        "rotation": [tuple, list],
        "noise": _AT_LEAST_0,
        "random_state": ["random_state"],
    }
)
def make_stick_figures(
    n_samples: int = 100,
    *,
    size: int = 48,
    height: tuple[float, float] = (0.45, 0.65),
    rotation: tuple[float, float] = (-15.0, 15.0),
    noise: float = 0.1,
    random_state: RandomState = None,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Make images of stick figures in random poses, with the positions of their joints.

    Parameters
    ----------
    n_samples : int, default=100
        Number of images.
    size : int, default=48
        Width and height of an image in pixels.
    height : tuple of float, default=(0.5, 0.7)
        Range of the height of a figure that stands, as a share of the image's.
    rotation : tuple of float, default=(-15.0, 15.0)
        Range of the angle in degrees, anticlockwise, by which a figure leans.
    noise : float, default=0.1
        Standard deviation of the noise at each pixel.
    random_state : int, RandomState instance or None, default=None
        Seed of all random draws.

    Returns
    -------
    images : ndarray of shape (n_samples, size, size)
        Brightness from 0 to 1, float32.
    joints : ndarray of shape (n_samples, 28)
        ``x1, y1, ..., x14, y14`` of the joints in the order of `STICK_FIGURE_JOINTS`, as shares
        of width and height. Left and right are those of the image; a mirror image would change
        them.
    heights : ndarray of shape (n_samples,)
        How tall each figure would stand, as a share of the image's height: the length by which
        errors are judged.

    Raises
    ------
    ValueError
        If the tallest figure with an arm held up might not fit into the image.

    Examples
    --------
    >>> from sklearn_convnet.datasets import STICK_FIGURE_JOINTS, make_stick_figures
    >>> images, joints, heights = make_stick_figures(3, random_state=0)
    >>> images.shape, joints.shape, heights.shape
    ((3, 48, 48), (3, 28), (3,))
    >>> [name for name in STICK_FIGURE_JOINTS if "left" in name]
    ['left shoulder', 'left elbow', 'left wrist', 'left hip', 'left knee', 'left ankle']
    """
    _check_range("height", height, minimum=0)
    _check_range("rotation", rotation)
    if height[1] * _REACH > 1:
        raise ValueError(
            f"height={height!r}: a figure with an arm held up reaches {_REACH:.2f} times its "
            f"height, so that at most {1 / _REACH:.2f} fits into an image"
        )
    rng = check_random_state(random_state)
    images = np.empty((n_samples, size, size))
    joints = np.empty((n_samples, len(STICK_FIGURE_JOINTS), 2))
    heights = np.empty(n_samples)
    for i, image in enumerate(images):
        heights[i] = rng.uniform(*height)
        joints[i] = heights[i] * _pose(rotation, rng)
        margin = heights[i] * _HEAD_RADIUS
        joints[i] += rng.uniform(margin - joints[i].min(axis=0), 1 - margin - joints[i].max(axis=0))
        image[:] = _drawn_figure(joints[i] * size - 0.5, heights[i] * size, size)
        image *= rng.uniform(0.6, 1.0)
        image += rng.normal(scale=noise, size=image.shape)
    return images.clip(0, 1).astype(np.float32), joints.reshape(n_samples, -1), heights


def _pose(rotation, rng):
    """Joints (14, 2) of a figure of height 1 whose neck is at 0."""
    joints = [(0.0, -_NECK), (0.0, 0.0)]
    for start, *limb in (
        ((_SHOULDER, 0.0), (_UPPER_ARM, _ARM), (_FOREARM, _ELBOW)),
        ((_HIP, _TORSO), (_THIGH, _LEG), (_SHANK, _KNEE)),
    ):
        for side in (-1, 1):
            joint, angle = np.array(start), 0.0
            joints.append(joint * (side, 1))
            for length, turn in limb:
                angle += np.deg2rad(rng.uniform(*turn))
                joint = joint + length * np.array([np.sin(angle), np.cos(angle)])
                joints.append(joint * (side, 1))
    return np.array(joints) @ _turned(rotation, (1.0, 1.0), rng).T


def _drawn_figure(joints, height, size):
    """Lines from joint to joint and a disc for the head; all lengths in pixels."""
    joints = joints @ (1, 1j)  # complex numbers are points of a plane
    pixels = np.arange(size) + 1j * np.arange(size)[:, np.newaxis]
    distance = np.abs(pixels - joints[0]) - _HEAD_RADIUS * height
    for start, stop in joints[np.array(STICK_FIGURE_LIMBS)]:
        # The nearest point of a line is at the share t of its length.
        t = ((pixels - start) / (stop - start)).real.clip(0, 1)
        to_line = np.abs(pixels - start - t * (stop - start)) - _THICKNESS * height / 2
        np.minimum(distance, to_line, out=distance)
    return (0.5 - distance).clip(0, 1)  # a pixel on the outline is half covered
