"""Transforms that move the pixels of images."""

from __future__ import annotations

import numpy as np

from .._typing import PerAxis
from ..layers.shapes import per_axis
from .base import FINITE, PROBABILITY, Geometric, cos_sin, log_uniform, signs, uniform
from .moves import about_centre


class RandomAffine(Geometric):
    """Rotates, translates, scales, mirrors, shears and stretches images, in one resampling.

    An image is mirrored, stretched and scaled, then sheared, rotated and finally translated, all
    about its centre ``((width - 1) / 2, (height - 1) / 2)``, with bilinear interpolation. Each
    range is ``(low, high)``; None leaves that part out.

    Parameters
    ----------
    rotation : (float, float), default=None
        Degrees anticlockwise, as the image is seen; uniform.
    translation : (float, float), default=None
        Pixels to the right, and pixels down; uniform, and independent of one another.
    scale : (float, float), default=None
        The factor by which the image grows; its logarithm is uniform.
    flip : float, default=None
        Probability of a mirror image, left and right exchanged.
    shear : (float, float), default=None
        Degrees by which vertical lines lean, with the lower end to the right; uniform, between -90
        and 90.
    stretch : (float, float), default=None
        The factor by which the width grows and the height shrinks, so that the area stays; its
        logarithm is uniform.
    fill_value : float, default=0.0
        The value of X beyond the border.

    See Also
    --------
    RandomAffine1D : The same for signals.
    RandomAffine3D : The same for volumes.

    Notes
    -----
    X should be finite: interpolation spreads NaN to the pixels around.

    The ranges in the example are those of Dieleman, Willett and Dambre, "Rotation-invariant
    convolutional neural networks for galaxy morphology prediction", 2015, and of their later
    work on plankton.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.augmentation import RandomAffine
    >>> augmentation = RandomAffine(
    ...     rotation=(0, 360),
    ...     translation=(-10, 10),
    ...     scale=(1 / 1.6, 1.6),
    ...     flip=0.5,
    ...     shear=(-20, 20),
    ...     stretch=(1 / 1.3, 1.3),
    ... )
    >>> X, _, _ = augmentation.augment(np.ones((5, 32, 32)), random_state=0)
    >>> X.shape
    (5, 32, 32)

    A quarter turn, which takes the upper right pixel to the upper left:

    >>> turn = RandomAffine(rotation=(90, 90))
    >>> X, points, _ = turn.augment([[[1, 2], [3, 4]]], points=[[[1, 0]]])
    >>> X.tolist(), points.tolist()
    ([[[2.0, 4.0], [1.0, 3.0]]], [[[0.0, 0.0]]])
    """

    _parameter_constraints = {
        "rotation": "no_validation",
        "translation": "no_validation",
        "scale": "no_validation",
        "flip": [PROBABILITY, None],
        "shear": "no_validation",
        "stretch": "no_validation",
        "fill_value": FINITE,
    }

    def __init__(
        self,
        rotation: tuple[float, float] | None = None,
        translation: tuple[float, float] | None = None,
        scale: tuple[float, float] | None = None,
        flip: float | None = None,
        shear: tuple[float, float] | None = None,
        stretch: tuple[float, float] | None = None,
        fill_value: float = 0.0,
    ) -> None:
        self.rotation = rotation
        self.translation = translation
        self.scale = scale
        self.flip = flip
        self.shear = shear
        self.stretch = stretch
        self.fill_value = fill_value

    def _moves(self, shape, random_state):
        n, draw = shape[0], random_state
        cos, sin = cos_sin(uniform(draw, self.rotation, "rotation", n))
        shift = uniform(draw, self.translation, "translation", (n, 2))
        scale = log_uniform(draw, self.scale, "scale", n)
        stretch = log_uniform(draw, self.stretch, "stretch", n)
        slant = np.tan(np.deg2rad(uniform(draw, self.shear, "shear", n, limit=90)))
        across, down = scale * stretch, scale / stretch
        if self.flip is not None:
            across = across * signs(draw, self.flip, n)
        # turn by shear by stretch: [c s; -s c] [1 k; 0 1] [a 0; 0 d]
        linear = np.empty((n, 2, 2))
        linear[:, 0, 0], linear[:, 0, 1] = cos * across, (sin + cos * slant) * down
        linear[:, 1, 0], linear[:, 1, 1] = -sin * across, (cos - sin * slant) * down
        return about_centre(linear, shift, shape)


class RandomFlip(Geometric):
    """Mirrors images.

    Parameters
    ----------
    horizontal : float, default=0.5
        Probability that left and right are exchanged.
    vertical : float, default=0.0
        Probability that top and bottom are exchanged.

    Examples
    --------
    >>> from sklearn_convnet.augmentation import RandomFlip
    >>> RandomFlip(horizontal=1.0).augment([[[1, 2, 3]]])[0].tolist()
    [[[3.0, 2.0, 1.0]]]
    """

    _parameter_constraints = {"horizontal": [PROBABILITY], "vertical": [PROBABILITY]}

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.0) -> None:
        self.horizontal = horizontal
        self.vertical = vertical

    def _moves(self, shape, random_state):
        n = shape[0]
        linear = np.zeros((n, 2, 2))
        for axis, probability in enumerate((self.horizontal, self.vertical)):
            linear[:, axis, axis] = signs(random_state, probability, n)
        return about_centre(linear, np.zeros((n, 2)), shape)


class RandomCrop(Geometric):
    """Pads images on all sides and crops them to their original size at a random place.

    This moves an image by whole pixels, up to `padding` in each direction.

    Parameters
    ----------
    padding : int or tuple of int
        Number of pixels, or ``(height, width)``: those above and below, left and right.
    fill_value : float, default=0.0
        The value of X in the padding.

    See Also
    --------
    sklearn_convnet.multi_crop.MultiCrop : Crops that are smaller than the images.

    Examples
    --------
    The usual augmentation of CIFAR:

    >>> import numpy as np
    >>> from sklearn_convnet.augmentation import Compose, RandomCrop, RandomFlip
    >>> augmentation = Compose([RandomCrop(4), RandomFlip()])
    >>> augmentation.augment(np.ones((2, 32, 32, 3)), random_state=0)[0].shape
    (2, 32, 32, 3)
    """

    _parameter_constraints = {"padding": "no_validation", "fill_value": FINITE}

    def __init__(self, padding: PerAxis, fill_value: float = 0.0) -> None:
        self.padding = padding
        self.fill_value = fill_value

    def _moves(self, shape, random_state):
        n = shape[0]
        rows, columns = per_axis(self.padding, 2, "padding", minimum=0)
        right = random_state.randint(-columns, columns + 1, size=n)
        down = random_state.randint(-rows, rows + 1, size=n)
        linear = np.broadcast_to(np.eye(2), (n, 2, 2))
        return about_centre(linear, np.stack([right, down], axis=1), shape)
