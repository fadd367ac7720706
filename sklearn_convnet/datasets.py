"""Data to try networks on: readers of files, makers of images and sounds.

`read_idx` and `read_idx_folder` read MNIST and its relatives, `pad_series` makes one array of
series of unequal length, and the `make_` functions draw samples as scikit-learn's do: the same
`random_state` gives the same samples, and more samples begin with the same ones.

Places in an image, corners and joints, are `x, y` pairs in shares of its width and height: 0 and
1 are its borders, and a share s is the pixel coordinate `s * width - 1/2`, where pixel centres
have whole numbers.
"""

import gzip
import struct
import zlib
from math import prod, sqrt
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from scipy import ndimage
from sklearn.datasets import load_digits
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, validate_params

__all__ = [
    "STICK_FIGURE_JOINTS",
    "STICK_FIGURE_LIMBS",
    "make_digit_scenes",
    "make_stick_figures",
    "make_tones",
    "pad_series",
    "read_idx",
    "read_idx_folder",
]

# ---------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------

# MNIST and its relatives (Fashion-MNIST, KMNIST) come as IDX files: two zero bytes, a byte for
# the type, a byte for the number of axes, their sizes and then the values, in C order, all of
# it big-endian.

#: Types of an IDX file by their code.
_IDX_DTYPES = {
    0x08: ">u1",
    0x09: ">i1",
    0x0B: ">i2",
    0x0C: ">i4",
    0x0D: ">f4",
    0x0E: ">f8",
}

_IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path):
    """Read an IDX file, the format in which MNIST is distributed.

    Parameters
    ----------
    path : str or path-like
        The file, plain or compressed by gzip, whatever its name.

    Returns
    -------
    ndarray
        Of the shape and type that the file names, in the byte order of the machine.

    Raises
    ------
    ValueError
        If it is no IDX file, or has more or fewer bytes than it should have.

    Examples
    --------
    Two images of 1 x 3 pixels:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_convnet.datasets import read_idx
    >>> header = bytes([0, 0, 0x08, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "images-idx3-ubyte")
    ...     _ = path.write_bytes(header + bytes([0, 10, 20, 30, 40, 50]))
    ...     read_idx(path)
    array([[[ 0, 10, 20]],
           [[30, 40, 50]]], dtype=uint8)
    """
    content = _read_bytes(path)
    dtype, shape, start = _idx_header(path, content)
    expected = start + prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise ValueError(
            f"{path}: an IDX file of {dtype.newbyteorder('=')} of shape {shape} has "
            f"{expected} bytes, but this one has {len(content)}; is it damaged?"
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def _read_bytes(path):
    """What is in a file, unpacked if it is compressed."""
    content = Path(path).read_bytes()
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged gzip file: {error}") from error


def _idx_header(path, content):
    """The dtype, the shape and the place of the first value."""
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError(
            f"{path}: not an IDX file: it should begin with two zero bytes, a type and "
            f"a number of axes, but begins with {content[:4]!r}"
        )
    code, n_axes = content[2:4]
    if code not in _IDX_DTYPES:
        known = ", ".join(f"0x{known:02x}" for known in _IDX_DTYPES)
        raise ValueError(f"{path}: not an IDX file: its type is 0x{code:02x}, none of {known}")
    start = 4 + 4 * n_axes
    if len(content) < start:
        raise ValueError(
            f"{path}: the header of an IDX file with {n_axes} axes has {start} bytes, "
            f"but the file has {len(content)}; is it damaged?"
        )
    shape = struct.unpack_from(f">{n_axes}I", content, 4)
    return np.dtype(_IDX_DTYPES[code]), shape, start


def read_idx_folder(folder):
    """Read the four IDX files of MNIST, Fashion-MNIST or another set in their form.

    Parameters
    ----------
    folder : str or path-like
        Where ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte`` are. Each may be
        compressed, with ``.gz`` after its name, and may have a dot before ``idx``.

    Returns
    -------
    X_train : ndarray of shape (n_train, height, width)
        Training images, usually bytes.
    y_train : ndarray of shape (n_train,)
        Their labels.
    X_test : ndarray of shape (n_test, height, width)
        Test images.
    y_test : ndarray of shape (n_test,)
        Their labels.

    Raises
    ------
    FileNotFoundError
        If files are missing, with their names.
    ValueError
        If a file is damaged, or images and labels differ in number.

    Examples
    --------
    >>> from sklearn_convnet.datasets import read_idx_folder
    >>> X_train, y_train, X_test, y_test = read_idx_folder(
    ...     "/usr/share/datasets/fashion-mnist"
    ... )  # doctest: +SKIP
    """
    found = {name: _find_idx(folder, name) for name in _IDX_NAMES}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise FileNotFoundError(
            f"{folder}: no {', '.join(missing)} there, neither plain nor with .gz"
        )
    train_images, train_labels, test_images, test_labels = found.values()
    return (
        *_read_pair(train_images, train_labels),
        *_read_pair(test_images, test_labels),
    )


def _find_idx(folder, name):
    """The path of a file under one of its names, or None."""
    for stem in (name, name.replace("-idx", ".idx")):
        for ending in ("", ".gz"):
            path = Path(folder, stem + ending)
            if path.is_file():
                return path
    return None


def _read_pair(images_path, labels_path):
    """Images and labels, checked against each other."""
    images, labels = read_idx(images_path), read_idx(labels_path)
    for path, array, n_axes in ((images_path, images, 3), (labels_path, labels, 1)):
        if array.ndim != n_axes:
            raise ValueError(
                f"{path}: expected an array with {n_axes} axes, got shape {array.shape}"
            )
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} has {len(images)} images, but {labels_path} has {len(labels)} labels"
        )
    return images, labels


# ---------------------------------------------------------------------------
# Series
# ---------------------------------------------------------------------------


@validate_params(
    {
        "length": [Interval(Integral, 1, None, closed="left"), None],
        "value": [Real],
        "channels_first": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def pad_series(series, *, length=None, value=0.0, channels_first=False):
    """Make one array of series of unequal length.

    Parameters
    ----------
    series : list of array-like of shape (length, n_channels) or (length,)
        Series with the same number of channels; an array of one axis has one channel.
    length : int, default=None
        Length of all series afterwards: longer ones are cut at their end. None is the length of
        the longest.
    value : float, default=0.0
        What stands behind the end of a shorter series.
    channels_first : bool, default=False
        Whether the series are `(n_channels, length)`, as those of aeon and sktime are.

    Returns
    -------
    X : ndarray of shape (n_series, length, n_channels)
        The series, channels last; float32 if all of them are, otherwise float64.
    lengths : ndarray of shape (n_series,)
        How many steps of each series are its own.

    Raises
    ------
    ValueError
        If there is no series, or one is empty or has another number of axes or channels.

    Examples
    --------
    >>> from sklearn_convnet.datasets import pad_series
    >>> X, lengths = pad_series([[1, 2, 3], [4]])
    >>> X[:, :, 0]
    array([[1., 2., 3.],
           [4., 0., 0.]])
    >>> lengths
    array([3, 1])
    """
    series = [_checked_series(i, one, channels_first) for i, one in enumerate(series)]
    if not series:
        raise ValueError("series holds no series: at least one is needed")
    n_channels = series[0].shape[1]
    for i, one in enumerate(series):
        if one.shape[1] != n_channels:
            raise ValueError(
                f"series[{i}] has {one.shape[1]} channels, but series[0] has {n_channels}; "
                f"channels are expected {'first' if channels_first else 'last'}, see channels_first"
            )
    length = max(map(len, series)) if length is None else length
    all_single = all(one.dtype == np.float32 for one in series)
    X = np.full((len(series), length, n_channels), value, np.float32 if all_single else np.float64)
    for row, one in zip(X, series, strict=True):
        row[: len(one)] = one[:length]
    return X, np.array([min(len(one), length) for one in series])


def _checked_series(i, one, channels_first):
    """A series as (length, n_channels)."""
    one = np.asarray(one)
    if one.ndim not in (1, 2) or one.size == 0:
        raise ValueError(
            f"series[{i}] has shape {one.shape}: expected at least one step, as (length,) or "
            f"{'(n_channels, length)' if channels_first else '(length, n_channels)'}"
        )
    if one.ndim == 1:
        return one[:, np.newaxis]
    return one.T if channels_first else one


# ---------------------------------------------------------------------------
# Images
# ---------------------------------------------------------------------------

_AT_LEAST_1 = [Interval(Integral, 1, None, closed="left")]
_AT_LEAST_0 = [Interval(Real, 0, None, closed="left")]


def _check_range(name, value, minimum=-np.inf):
    """Two numbers, the smaller one first."""
    low, high = value if len(value) == 2 else (np.nan, np.nan)
    if not minimum < low <= high < np.inf:
        above = "" if minimum == -np.inf else f", above {minimum}"
        raise ValueError(f"{name} must be (low, high) with low <= high{above}, got {value!r}")


#: Digits of scikit-learn have 8 x 8 pixels; what is at least so dark (of 1) is their ink.
_GLYPH, _INK = 8, 0.4


@validate_params(
    {
        "n_samples": _AT_LEAST_1,
        "size": _AT_LEAST_1,
        "digits": [slice, "array-like"],
        "rotation": [tuple, list],
        "scale": [tuple, list],
        "n_distractors": [Interval(Integral, 0, None, closed="left")],
        "noise": _AT_LEAST_0,
        "empty_share": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_digit_scenes(
    n_samples=100,
    *,
    size=32,
    digits=slice(None),
    rotation=(-30.0, 30.0),
    scale=(1.5, 2.5),
    n_distractors=0,
    noise=0.1,
    empty_share=0.0,
    random_state=None,
):
    """Make scenes with a handwritten digit somewhere in them: what is it, and where?

    The digits are those of :func:`sklearn.datasets.load_digits`, turned, enlarged and moved.
    Fragments of other digits may lie about, in the manner of cluttered MNIST [1]_.

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
    n_distractors : int, default=0
        Number of fragments of digits in a scene, of 4 x 4 pixels before they are enlarged.
    noise : float, default=0.1
        Standard deviation of the noise at each pixel.
    empty_share : float, default=0.0
        Share of scenes, on average, that have no digit: nothing but fragments.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is drawn.

    Returns
    -------
    images : ndarray of shape (n_samples, size, size)
        Brightness from 0 to 1, float32.
    labels : ndarray of shape (n_samples,)
        The digits, 0 to 9; -1 where there is none.
    boxes : ndarray of shape (n_samples, 8)
        Corners ``x1, y1, ..., x4, y4`` of the box around each digit, which turns with it, as
        shares of width and height. They go round clockwise and begin with the corner that is
        the upper left one of an upright digit. NaN where there is no digit.
    masks : ndarray of shape (n_samples, size, size)
        1 where the digit is, otherwise 0, uint8.

    Raises
    ------
    ValueError
        If `digits` picks none, or the largest digit does not fit into a scene.

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
    labels = np.full(n_samples, -1)
    boxes = np.full((n_samples, 8), np.nan)
    masks = np.zeros((n_samples, size, size), np.uint8)
    for i, image in enumerate(images):
        if rng.uniform() >= empty_share:
            chosen = rng.randint(len(glyphs))
            drawn, corners = _placed_digit(glyphs[chosen], _turned(rotation, scale, rng), size, rng)
            labels[i] = targets[chosen]
            boxes[i] = ((corners + 0.5) / size).ravel()
            masks[i] = drawn > _INK
            image += rng.uniform(0.6, 1.0) * drawn
        for _ in range(n_distractors):
            drawn = _placed_fragment(glyphs, _turned(rotation, scale, rng), size, rng)
            np.maximum(image, rng.uniform(0.6, 1.0) * drawn, out=image)
        image += rng.normal(scale=noise, size=image.shape)
    return images.clip(0, 1).astype(np.float32), labels, boxes, masks


def _turned(rotation, scale, rng):
    """A matrix that turns (x, y) anticlockwise, as the image is seen, and enlarges it."""
    angle = np.deg2rad(rng.uniform(*rotation))
    factor = np.exp(rng.uniform(*np.log(scale)))
    cos, sin = factor * np.cos(angle), factor * np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])  # y points down


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
    },
    prefer_skip_nested_validation=True,
)
def make_stick_figures(
    n_samples=100,
    *,
    size=48,
    height=(0.45, 0.65),
    rotation=(-15.0, 15.0),
    noise=0.1,
    random_state=None,
):
    """Make images of stick figures in all sorts of poses: where are the joints?

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
        Seed of all that is drawn.

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


# ---------------------------------------------------------------------------
# Sounds
# ---------------------------------------------------------------------------

_BANDS, _FRAMES = 40, 15
#: The vowel begins at this frame, where the consonant ends.
_ONSET = 4
#: Bands of the two formants of a vowel in the middle of it, for a voice that is not shifted.
_FORMANTS = (10.0, 19.0)
#: By how many bands the formants of the three vowels rise.
_GLIDES = (-5.0, 0.0, 5.0)
#: Bands of the three consonants.
_BURSTS = (32.0, 33.5, 35.0)
#: Half the width of formants and bursts, in bands.
_WIDTH = 1.0


@validate_params(
    {
        "n_samples": _AT_LEAST_1,
        "shift": [Interval(Real, 0, 6, closed="both")],
        "noise": _AT_LEAST_0,
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_tones(n_samples=100, *, shift=5.0, noise=0.4, random_state=None):
    """Make spectrograms of syllables, a consonant and a vowel each: which of nine is it?

    A vowel is two formants that fall, stay or rise, and every voice has them in other bands. A
    consonant is a burst before it, and a little higher or lower it is another one. So vowels ask
    for much invariance to shifts in frequency, consonants for little [1]_.

    Parameters
    ----------
    n_samples : int, default=100
        Number of syllables.
    shift : float, default=5.0
        By how many bands, at most, a voice is higher or lower than the middle one; at most 6.
    noise : float, default=0.4
        Standard deviation of the noise in each band and frame; formants and bursts have a
        height of 1.
    random_state : int, RandomState instance or None, default=None
        Seed of all that is drawn.

    Returns
    -------
    X : ndarray of shape (n_samples, 40, 15)
        Energy by band and frame, float32.
    y : ndarray of shape (n_samples,)
        Syllables, ``3 * consonant + vowel``: 0 to 8.

    References
    ----------
    .. [1] Deng, Abdel-Hamid and Yu, "A deep convolutional neural network using heterogeneous
       pooling for trading acoustic invariance with phonetic confusion", 2013.

    Examples
    --------
    >>> from sklearn_convnet.datasets import make_tones
    >>> X, y = make_tones(4, random_state=0)
    >>> X.shape, y.shape
    ((4, 40, 15), (4,))
    """
    rng = check_random_state(random_state)
    X = np.empty((n_samples, _BANDS, _FRAMES), np.float32)
    y = np.empty(n_samples, int)
    time = np.linspace(-0.5, 0.5, _FRAMES - _ONSET)
    for i, spectrogram in enumerate(X):
        y[i] = rng.randint(len(_BURSTS) * len(_GLIDES))
        consonant, vowel = divmod(y[i], len(_GLIDES))
        voice = rng.uniform(-shift, shift)
        burst = np.full(_ONSET, _BURSTS[consonant] + rng.uniform(-0.5, 0.5))
        formants = [formant + voice + _GLIDES[vowel] * time for formant in _FORMANTS]
        spectrogram[:, :_ONSET] = _ridge(burst)
        spectrogram[:, _ONSET:] = np.maximum(*map(_ridge, formants))
        spectrogram += rng.normal(scale=noise, size=spectrogram.shape)
    return X, y


def _ridge(centres):
    """Energy by band and frame around the band `centres` of each frame."""
    return np.exp(-(((np.arange(_BANDS)[:, np.newaxis] - centres) / _WIDTH) ** 2) / 2)
