"""Images in files, read as bytes of one size and mode.

# Design:
# * What is transparent is laid over white before anything is resized: colours that cannot be seen
#   must not run into those that can.
# * A JPEG file that is much too large is decoded at a half, a quarter or an eighth of its size,
#   which the format allows for; what is left to be reduced is at least a factor of two.
"""

import os
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from .many_files import UnreadableError

MODES = ("RGB", "L")
FITS = ("resize", "crop", "pad")

#: The number of the tag that tells how a camera was held.
_ORIENTATION = 0x0112
#: How to turn an image that was taken so, and whether that exchanges height and width.
_TURNS = {
    2: ("FLIP_LEFT_RIGHT", False),
    3: ("ROTATE_180", False),
    4: ("FLIP_TOP_BOTTOM", False),
    5: ("TRANSPOSE", True),
    6: ("ROTATE_270", True),
    7: ("TRANSVERSE", True),
    8: ("ROTATE_90", True),
}
_UPRIGHT = (None, False)
#: Modes with an opacity for each pixel.
_WITH_ALPHA = ("RGBA", "LA", "PA")
#: Formats that have no grey of 32 bits, so that what Pillow opens as such has 16.
_GREY_OF_16_BITS = ("PNG", "PPM")
#: A JPEG file is decoded at no less than so many times the size that it is resized to.
_GAP = 2


def pillow(function):
    """The module of Pillow that reads and writes, with all its formats.

    Raises
    ------
    ImportError
        If it is not installed; the message says how it is. `function` is who needs it.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f"{function} needs Pillow: pip install 'sklearn_convnet[images]' brings it"
        ) from error
    Image.init()  # not at once in several threads
    return Image


def checked_size(size):
    """`size` as (height, width); raises ValueError if it is neither that nor one integer."""
    pair = (size, size) if isinstance(size, Integral) else size
    if (
        isinstance(pair, (str, bytes))
        or not np.iterable(pair)
        or len(pair) != 2
        or not all(isinstance(n, Integral) and n >= 1 for n in pair)
    ):
        raise ValueError(
            f"size must be (height, width) or one integer for both, at least 1, got {size!r}"
        )
    return tuple(map(int, pair))


@dataclass(frozen=True)
class ImageForm:
    """The form that images are read in.

    Attributes
    ----------
    size : tuple of int or None
        Height and width; None leaves those of the file.
    mode : {"RGB", "L"}
        Colour, or grey.
    fit : {"resize", "crop", "pad"}
        How an image of other proportions gets the size.
    """

    size: tuple[int, int] | None
    mode: str = "RGB"
    fit: str = "resize"

    @property
    def n_channels(self):
        """Three, or one."""
        return 3 if self.mode == "RGB" else 1

    def read(self, path):
        """The image in a file as bytes (height, width, n_channels).

        Raises
        ------
        UnreadableError
            If there is no such file, or it cannot be read as an image.
        """
        with _opened(path) as (image_module, image):
            if self.size is not None:
                image.draft(None, (_GAP * max(self.size),) * 2)
            image.load()  # of TIFF files Pillow turns the image then
            turn, _ = _turn_of(image)
            image = _of_mode(image_module, image, self.mode)
            if turn is not None:
                image = image.transpose(image_module.Transpose[turn])
            if self.size is not None and image.size != self.size[::-1]:
                image = self._fitted(image_module, image)
            return np.array(image).reshape(image.height, image.width, self.n_channels)

    def _fitted(self, image_module, image):
        """An image of the size."""
        height, width = self.size
        how = dict(resample=image_module.Resampling.BILINEAR)
        if self.fit == "resize":
            return image.resize((width, height), **how)
        across, down = width / image.width, height / image.height
        if self.fit == "crop":
            scale = max(across, down)
            w, h = min(width / scale, image.width), min(height / scale, image.height)
            left, top = (image.width - w) / 2, (image.height - h) / 2
            return image.resize((width, height), box=(left, top, left + w, top + h), **how)
        scale = min(across, down)
        w, h = (max(1, round(scale * n)) for n in image.size)
        padded = image_module.new(self.mode, (width, height))
        padded.paste(image.resize((w, h), **how), ((width - w) // 2, (height - h) // 2))
        return padded

    def size_in_file(self, path):
        """Height and width as they would be read, which the beginning of most files tells; raises
        the errors of `read`."""
        with _opened(path) as (_, image):
            if image.format == "TIFF":
                image.load()
            size = image.size
            return size if _turn_of(image)[1] else size[::-1]


@contextmanager
def _opened(path):
    """The module of Pillow and the image that it has opened; whatever goes wrong with the file is
    an `UnreadableError`."""
    image_module = pillow("reading images")
    try:
        with open(path, "rb") as file:
            yield image_module, image_module.open(file)
    except MemoryError:
        raise
    except image_module.UnidentifiedImageError as error:
        is_empty = os.path.getsize(path) == 0
        what = "an empty file" if is_empty else "no image of a kind that Pillow knows"
        raise UnreadableError(f"{path}: {what}") from error
    except Exception as error:  # each kind of file has its own
        raise UnreadableError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _turn_of(image):
    """How an image has to be turned, a name of `PIL.Image.Transpose` or None, and whether that
    exchanges height and width."""
    try:
        return _TURNS.get(image.getexif().get(_ORIENTATION), _UPRIGHT)
    except Exception:  # what a camera or an editor has written there may be anything
        return _UPRIGHT


def _of_mode(image_module, image, mode):
    """An image in colour or grey, over white where it is transparent."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _grey_of_16_bits(image_module, image)
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        white = image_module.new("RGBA", image.size, "white")
        image = image_module.alpha_composite(white, image)
    return image.convert(mode)


def _grey_of_16_bits(image_module, image):
    """Grey values from 0 to 65535 as those from 0 to 255."""
    if image.mode == "F" or (image.mode == "I" and image.format not in _GREY_OF_16_BITS):
        raise UnreadableError(
            f"pixels of 32 bits (mode {image.mode}), whose range is not known: save it with 8 or "
            "16 bits"
        )
    values = np.asarray(image).astype(np.int32)
    if isinstance(image.info.get("transparency"), int):
        values[values == image.info["transparency"]] = 65535
    return image_module.fromarray(((values + 128) // 257).astype(np.uint8))
