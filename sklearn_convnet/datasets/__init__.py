"""Data to try networks on: readers of files, makers of images and sounds.

`read_idx` and `read_idx_folder` read MNIST and its relatives, `read_cifar10` and `read_cifar100`
what their names say, `load_image_folder` images in folders, a class in each, `load_wav_folder`
sounds, `load_annotations` the boxes and points of objects in images, and `read_label_maps` the
classes of pixels in PNG files, which `write_label_maps` writes. `pad_series` makes one array of
series of unequal length. The `make_` functions draw samples as scikit-learn's do: the same
`random_state` gives the same samples, and more samples begin with the same ones.

Places in an image, corners and joints, are `x, y` pairs in shares of its width and height: 0 and
1 are its borders, and a share s is the pixel coordinate `s * width - 1/2`, where pixel centres
have whole numbers.
"""

from .annotations import load_annotations
from .cifar import read_cifar10, read_cifar100
from .files import read_idx, read_idx_folder
from .image_folder import load_image_folder
from .images import STICK_FIGURE_JOINTS, STICK_FIGURE_LIMBS, make_digit_scenes, make_stick_figures
from .label_maps import VOC_COLORS, read_label_maps, write_label_maps
from .series import pad_series
from .sounds import make_tones
from .wav_folder import load_wav_folder

__all__ = [
    "STICK_FIGURE_JOINTS",
    "STICK_FIGURE_LIMBS",
    "VOC_COLORS",
    "load_annotations",
    "load_image_folder",
    "load_wav_folder",
    "make_digit_scenes",
    "make_stick_figures",
    "make_tones",
    "pad_series",
    "read_cifar10",
    "read_cifar100",
    "read_idx",
    "read_idx_folder",
    "read_label_maps",
    "write_label_maps",
]
