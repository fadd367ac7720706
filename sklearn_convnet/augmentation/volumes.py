"""Transforms that move the voxels of volumes."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real

import numpy as np

from .base import FINITE, Geometric, checked_range, cos_sin, log_uniform, signs, uniform
from .moves import about_centre

#: Which two of (x, y, z) a turn about the depth, the height and the width changes.
PLANES = ((0, 1), (0, 2), (1, 2))


class RandomAffine3D(Geometric):
    """Rotates, translates, scales and mirrors volumes, in one resampling.

    A volume is mirrored and scaled, then rotated about the axes of its depth, its height and its
    width, in this order, and finally translated, all about its centre, with trilinear
    interpolation. None leaves a part out.

    Parameters
    ----------
    rotation : (float, float) or sequence of three, default=None
        Degrees; uniform. One range ``(low, high)`` is for all three axes, each of which has an
        angle of its own; otherwise a range or None for the depth, the height and the width. A turn
        about one of them is anticlockwise as the plane of the other two is seen, the later one to
        the right, the earlier one down: about the depth as `RandomAffine` turns images.
    translation : (float, float) or sequence of three, default=None
        Voxels by which a volume moves towards the end of each axis; uniform. One range, or one for
        the depth, the height and the width.
    scale : (float, float), default=None
        The factor by which the volume grows; its logarithm is uniform.
    flip : float or sequence of three, default=None
        Probability of a mirror image along each axis by itself: one for all, or one for the depth,
        the height and the width.
    fill_value : float, default=0.0
        The value of X beyond the border.

    See Also
    --------
    RandomAffine : The same for images.

    Notes
    -----
    Voxels are assumed to be cubes: where those of a scan are longer along the depth, rotations
    about the height and the width also shear.

    X should be finite: interpolation spreads NaN to the voxels around.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.augmentation import RandomAffine3D
    >>> augmentation = RandomAffine3D(
    ...     rotation=[(-20, 20), None, None], translation=(-2, 2), flip=[0, 0, 0.5])
    >>> augmentation.augment(np.ones((4, 8, 16, 16)), random_state=0)[0].shape
    (4, 8, 16, 16)

    A mirror image along the depth; points are (x, y, z), z along the depth:

    >>> mirror = RandomAffine3D(flip=[1, 0, 0])
    >>> X, points, _ = mirror.augment([[[[1, 2]], [[3, 4]]]], points=[[[1, 0, 0]]])
    >>> X.tolist(), points.tolist()
    ([[[[3.0, 4.0]], [[1.0, 2.0]]]], [[[1.0, 0.0, 1.0]]])
    """

    n_axes = 3

    _parameter_constraints = {
        "rotation": "no_validation",
        "translation": "no_validation",
        "scale": "no_validation",
        "flip": "no_validation",
        "fill_value": FINITE,
    }

    def __init__(
        self,
        rotation: tuple[float, float] | Sequence[tuple[float, float] | None] | None = None,
        translation: tuple[float, float] | Sequence[tuple[float, float] | None] | None = None,
        scale: tuple[float, float] | None = None,
        flip: float | Sequence[float | None] | None = None,
        fill_value: float = 0.0,
    ) -> None:
        self.rotation = rotation
        self.translation = translation
        self.scale = scale
        self.flip = flip
        self.fill_value = fill_value

    def _moves(self, shape, random_state):
        n = shape[0]
        angles = _draw(random_state, self.rotation, "rotation", n)
        shift = _draw(random_state, self.translation, "translation", n)[:, ::-1]
        factor = log_uniform(random_state, self.scale, "scale", n)[:, np.newaxis]
        factor = factor * np.ones(3)
        if self.flip is not None:
            factor = factor * signs(random_state, _probabilities(self.flip), (n, 3))[:, ::-1]
        linear = factor[:, np.newaxis] * np.eye(3)
        for plane, angle in zip(PLANES, angles.T, strict=True):
            linear = _turned(linear, plane, angle)
        return about_centre(linear, shift, shape)


def _turned(linear, plane, angle):
    """Matrices (n, 3, 3), after which a turn in the plane of two axes follows: of their rows
    [c s; -s c]."""
    cos, sin = (part[:, np.newaxis] for part in cos_sin(angle))
    first, second = plane
    turned = linear.copy()
    turned[:, first] = cos * linear[:, first] + sin * linear[:, second]
    turned[:, second] = cos * linear[:, second] - sin * linear[:, first]
    return turned


def _draw(random_state, value, name, n):
    """Numbers (n, 3) for the depth, the height and the width, from one range or three."""
    several = np.iterable(value) and not isinstance(value, str) and len(value) == 3
    if several and all(one is None or np.iterable(one) for one in value):
        columns = [uniform(random_state, one, name, n) for one in value]
        return np.stack(columns, axis=1)
    if value is not None:
        value = checked_range(value, name, -np.inf, np.inf, instead="None, three of them")
    return uniform(random_state, value, name, (n, 3))


def _probabilities(flip):
    """Those for the depth, the height and the width."""
    several = flip if np.iterable(flip) and len(flip) == 3 else [flip]
    if not all(isinstance(one, Real) and 0 <= one <= 1 for one in several):
        raise ValueError(
            "flip must be None, a probability from 0 to 1, or three of them for the depth, the "
            f"height and the width, got {flip!r}"
        )
    return np.resize(np.asarray(several, np.float64), 3)
