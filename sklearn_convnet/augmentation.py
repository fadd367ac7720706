"""Random changes to training images: of place, and of values.

# Design:
# * A transform is a spec, as a layer is: it holds its parameters, and no state. What it draws
#   comes from the random state of the call, in one go for the batch, before any kernel runs.
# * Geometric transforms say by a 2 x 3 matrix where an image's pixels go. The matrices of a
#   `Compose` are multiplied, so that a batch is resampled once, however many there are; points
#   take the same matrix, and label maps are resampled with it.
# * Photometric transforms come after that, in their order; they see only X.
"""

import functools
from numbers import Real

import numpy as np
from scipy.special import ndtri
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from .kernels import loader
from .layers.composition import LayerComposition, check_layers
from .layers.shapes import per_axis
from .parameters import Parametrized
from .threads import effective_n_threads

__all__ = [
    "Compose",
    "Cutout",
    "GaussianNoise",
    "RandomAffine",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "Transform",
]

_PROBABILITY = Interval(Real, 0, 1, closed="both")
_FINITE = [Interval(Real, None, None, closed="neither")]


class Transform(Parametrized):
    """Base class of the transforms.

    It follows scikit-learn's parameter contract, as layers do: `__init__` checks nothing.
    """

    _parameter_constraints: dict = {}

    #: True if X must be images; others also change signals and volumes.
    needs_images = False

    def augment(
        self,
        X,
        *,
        points=None,
        label_maps=None,
        random_state=None,
        n_threads=None,
        flip_pairs=None,
    ):
        """Change a batch at random, each sample in its own way.

        Parameters
        ----------
        X : array-like of shape (n, height, width) or (n, height, width, n_channels)
            Images of any real dtype. Transforms of values alone also take signals and
            volumes.
        points : array-like of shape (n, n_points, 2), default=None
            Places ``(x, y)`` in pixels, the centre of the first pixel being ``(0, 0)``. They
            move with the image, also beyond its border; NaN stays NaN.
        label_maps : array-like of shape (n, height, width) or (n, height, width, K), \
default=None
            They move with the image and are 0 where it does not reach: integers to the nearest
            pixel, floats by bilinear interpolation. Their values are not changed otherwise.
        random_state : int, RandomState or None, default=None
            The same one draws the same.
        n_threads : int or None, default=None
            Number of threads; it does not change the result.
        flip_pairs : array-like of shape (n_pairs, 2), default=None
            Numbers of points, such as those of a left and a right wrist, that change places in
            the samples that become mirror images.

        Returns
        -------
        X : ndarray like X
            float64 if X is, otherwise float32. No input is changed.
        points : ndarray or None
            Floats.
        label_maps : ndarray or None
            Of the dtype that they had.

        Raises
        ------
        ValueError
            If a parameter is invalid, or a shape does not fit.
        """
        steps = self._steps()
        X = _real_array(X, "X")
        for step in steps:
            if step.needs_images and X.ndim not in (3, 4):
                raise ValueError(
                    f"{type(step).__name__} needs images, X of shape (n, height, width) or "
                    f"(n, height, width, n_channels), got shape {X.shape}"
                )
        random_state = check_random_state(random_state)
        X = np.ascontiguousarray(X, _work_dtype(X.dtype))
        points, label_maps = _check_points(points, X), _check_label_maps(label_maps, X)
        geometric = [step for step in steps if isinstance(step, Geometric)]
        if geometric:
            moves = _compose(step._moves(X.shape, random_state) for step in geometric)
            sources = _inverse(moves)
            threads = effective_n_threads(n_threads)
            X = _resampled(X, sources, _shared_fill_value(geometric), threads)
            if points is not None:
                points = _moved_points(points, moves, flip_pairs)
            if label_maps is not None:
                label_maps = _resampled(label_maps, sources, 0.0, threads)
        for step in steps:
            if isinstance(step, Photometric):
                X = step._change(X, random_state)
        return X, points, label_maps

    def _steps(self):
        """The single transforms, their parameters checked."""
        self._validate_params()
        return [self]


# ---------------------------------------------------------------------------
# Input
# ---------------------------------------------------------------------------


def _real_array(values, name):
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.ndim < 2:
        raise ValueError(
            f"{name} must be an array of real numbers, one sample a row, got dtype "
            f"{array.dtype} and shape {array.shape}"
        )
    return array


def _work_dtype(dtype):
    return np.dtype("float64" if dtype.newbyteorder("=") == "f8" else "float32")


def _check_points(points, X):
    if points is None:
        return None
    points = _real_array(points, "points")
    if points.ndim != 3 or len(points) != len(X) or points.shape[2] != 2:
        raise ValueError(
            f"points must have shape (n, n_points, 2) for the {len(X)} images, got shape "
            f"{points.shape}"
        )
    return points.astype(np.result_type(points.dtype, np.float32), copy=False)


def _check_label_maps(label_maps, X):
    if label_maps is None:
        return None
    label_maps = _real_array(label_maps, "label_maps")
    if label_maps.ndim not in (3, 4) or label_maps.shape[:3] != X.shape[:3]:
        raise ValueError(
            f"label_maps must have the images' number, height and width {X.shape[:3]}, and at "
            f"most one axis more, got shape {label_maps.shape}"
        )
    return label_maps


# ---------------------------------------------------------------------------
# Affine maps, as arrays (n, 2, 3): p goes to M (p, 1)
# ---------------------------------------------------------------------------


def _about_centre(linear, shift, shape):
    """Maps that apply (n, 2, 2) matrices about the centre of images, then shift."""
    height, width = shape[1:3]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    offset = centre - np.einsum("nij,j->ni", linear, centre) + shift
    return np.concatenate([linear, offset[:, :, np.newaxis]], axis=2)


def _compose(maps):
    """One map that does them all, the first one first."""
    first, *rest = maps
    for then in rest:
        linear = np.einsum("nij,njk->nik", then[:, :, :2], first)
        linear[:, :, 2] += then[:, :, 2]
        first = linear
    return first


def _inverse(maps):
    (a, b, x), (c, d, y) = maps.transpose(1, 2, 0)
    determinant = a * d - b * c
    rows = [d, -b, b * y - d * x], [-c, a, c * x - a * y]
    return np.ascontiguousarray((np.array(rows) / determinant).transpose(2, 0, 1))


def _moved_points(points, maps, flip_pairs=None):
    moved = np.einsum("nij,npj->npi", maps[:, :, :2], points) + maps[:, np.newaxis, :, 2]
    if flip_pairs is not None:
        determinant = maps[:, 0, 0] * maps[:, 1, 1] - maps[:, 0, 1] * maps[:, 1, 0]
        mirrored = np.flatnonzero(determinant < 0)[:, np.newaxis]
        pairs = np.asarray(flip_pairs, np.intp).reshape(-1, 2)
        left, right = pairs.ravel(), pairs[:, ::-1].ravel()
        moved[mirrored, left] = moved[mirrored, right]
    return moved.astype(points.dtype)


def _resampled(images, sources, fill_value, n_threads):
    """Images whose pixels are those at `sources` of their places."""
    exact = images.dtype.kind in "biu"
    dtype = np.dtype(np.int64) if exact else _work_dtype(images.dtype)
    shape = images.shape if images.ndim == 4 else (*images.shape, 1)
    X = np.ascontiguousarray(images, dtype).reshape(shape)
    Y = np.empty_like(X)
    if exact:
        kernels = loader.kernels(np.float64)
        kernels.affine_resample_nearest(X, sources, Y, n_threads)
    else:
        loader.kernels(dtype).affine_resample(X, sources, Y, fill_value, n_threads)
    return Y.reshape(images.shape).astype(images.dtype, copy=False)


def _shared_fill_value(steps):
    values = {float(step.fill_value) for step in steps if hasattr(step, "fill_value")}
    if len(values) > 1:
        raise ValueError(
            "geometric transforms are one resampling, which has one fill_value, but theirs are "
            f"{sorted(values)}: give them all the same"
        )
    return values.pop() if values else 0.0


# ---------------------------------------------------------------------------
# Geometric transforms
# ---------------------------------------------------------------------------


class Geometric(Transform):
    """Base class of the transforms that move pixels.

    A subclass defines `_moves(shape, random_state)`: the maps (n, 2, 3) from places in the
    images to where they go.
    """

    needs_images = True


def _range(value, name, low, high, *, closed=False, instead="None"):
    """The ends of a ``(low, high)`` parameter, both within an open interval.

    A `closed` one has its lower end; `instead` is what else the parameter may be.
    """
    try:
        ends = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        ends = np.array(np.nan)
    inside = ends.shape == (2,) and (low < ends[0] or (closed and low == ends[0]))
    if not inside or not ends[0] <= ends[1] < high:
        limits = f" {'of at least' if closed else 'above'} {low:g}" if low > -np.inf else ""
        limits += f" and below {high:g}" if high < np.inf else ""
        raise ValueError(
            f"{name} must be {instead} or a (low, high) range of finite numbers{limits}, got "
            f"{value!r}"
        )
    return ends


class RandomAffine(Geometric):
    """Turns, moves, enlarges, mirrors, slants and stretches images, in one resampling.

    An image is mirrored, stretched and scaled, then sheared, turned and at last moved, all
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
        Degrees by which vertical lines slant, the lower end to the right; uniform, between -90
        and 90.
    stretch : (float, float), default=None
        The factor by which the width grows and the height shrinks, so that the area stays; its
        logarithm is uniform.
    fill_value : float, default=0.0
        The value of X beyond the border.

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
        "flip": [_PROBABILITY, None],
        "shear": "no_validation",
        "stretch": "no_validation",
        "fill_value": _FINITE,
    }

    def __init__(
        self,
        rotation=None,
        translation=None,
        scale=None,
        flip=None,
        shear=None,
        stretch=None,
        fill_value=0.0,
    ):
        self.rotation = rotation
        self.translation = translation
        self.scale = scale
        self.flip = flip
        self.shear = shear
        self.stretch = stretch
        self.fill_value = fill_value

    def _moves(self, shape, random_state):
        n = shape[0]

        def uniform(name, size=n, limit=np.inf):
            value = getattr(self, name)
            if value is None:
                return np.zeros(size)
            return random_state.uniform(*_range(value, name, -limit, limit), size)

        def factor(name):
            value = getattr(self, name)
            if value is None:
                return np.ones(n)
            return np.exp(random_state.uniform(*np.log(_range(value, name, 0, np.inf)), n))

        cos, sin = _cos_sin(uniform("rotation"))
        shift = uniform("translation", (n, 2))
        scale, stretch = factor("scale"), factor("stretch")
        slant = np.tan(np.deg2rad(uniform("shear", limit=90)))
        across, down = scale * stretch, scale / stretch
        if self.flip is not None:
            across = np.where(random_state.uniform(size=n) < self.flip, -across, across)
        # turn by shear by stretch: [c s; -s c] [1 k; 0 1] [a 0; 0 d]
        linear = np.empty((n, 2, 2))
        linear[:, 0, 0], linear[:, 0, 1] = cos * across, (sin + cos * slant) * down
        linear[:, 1, 0], linear[:, 1, 1] = -sin * across, (cos - sin * slant) * down
        return _about_centre(linear, shift, shape)


def _cos_sin(degrees):
    """Cosine and sine, exact at right angles."""
    angle = np.deg2rad(degrees)
    right = degrees % 90 == 0
    return tuple(np.where(right, np.round(f), f) for f in (np.cos(angle), np.sin(angle)))


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

    _parameter_constraints = {"horizontal": [_PROBABILITY], "vertical": [_PROBABILITY]}

    def __init__(self, horizontal=0.5, vertical=0.0):
        self.horizontal = horizontal
        self.vertical = vertical

    def _moves(self, shape, random_state):
        n = shape[0]
        linear = np.zeros((n, 2, 2))
        for axis, probability in enumerate((self.horizontal, self.vertical)):
            mirrored = random_state.uniform(size=n) < probability
            linear[:, axis, axis] = np.where(mirrored, -1.0, 1.0)
        return _about_centre(linear, np.zeros((n, 2)), shape)


class RandomCrop(Geometric):
    """Pads images on all sides and cuts out a part of the size that they had.

    That is a move by whole pixels, up to `padding` of them in each direction.

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

    _parameter_constraints = {"padding": "no_validation", "fill_value": _FINITE}

    def __init__(self, padding, fill_value=0.0):
        self.padding = padding
        self.fill_value = fill_value

    def _moves(self, shape, random_state):
        n = shape[0]
        rows, columns = per_axis(self.padding, 2, "padding", minimum=0)
        right = random_state.randint(-columns, columns + 1, size=n)
        down = random_state.randint(-rows, rows + 1, size=n)
        linear = np.broadcast_to(np.eye(2), (n, 2, 2))
        return _about_centre(linear, np.stack([right, down], axis=1), shape)


# ---------------------------------------------------------------------------
# Photometric transforms
# ---------------------------------------------------------------------------


class Photometric(Transform):
    """Base class of the transforms that change values, but move nothing.

    A subclass defines `_change(X, random_state)`, which returns a new array.
    """


def _factors(X, value, random_state):
    """A factor for each sample, its logarithm uniform; of the shape to multiply X with."""
    low, high = np.log(_range(value, "factor", 0, np.inf))
    factors = np.exp(random_state.uniform(low, high, len(X)))
    return factors.reshape(-1, *[1] * (X.ndim - 1)).astype(X.dtype)


class RandomBrightness(Photometric):
    """Multiplies each sample by a factor: 0 stays as dark as it is.

    Parameters
    ----------
    factor : (float, float), default=(0.8, 1.25)
        Range of the factor, whose logarithm is uniform. Values are not clipped.

    Examples
    --------
    >>> from sklearn_convnet.augmentation import RandomBrightness
    >>> RandomBrightness((2, 2)).augment([[[1, 2], [3, 4]]])[0].round(4).tolist()
    [[[2.0, 4.0], [6.0, 8.0]]]
    """

    _parameter_constraints = {"factor": "no_validation"}

    def __init__(self, factor=(0.8, 1.25)):
        self.factor = factor

    def _change(self, X, random_state):
        return X * _factors(X, self.factor, random_state)


class RandomContrast(Photometric):
    """Multiplies what a sample's values differ from their mean by a factor.

    Parameters
    ----------
    factor : (float, float), default=(0.8, 1.25)
        Range of the factor, whose logarithm is uniform. Values are not clipped.

    Examples
    --------
    >>> from sklearn_convnet.augmentation import RandomContrast
    >>> RandomContrast((2, 2)).augment([[[1, 2], [3, 6]]])[0].round(4).tolist()
    [[[-1.0, 1.0], [3.0, 9.0]]]
    """

    _parameter_constraints = {"factor": "no_validation"}

    def __init__(self, factor=(0.8, 1.25)):
        self.factor = factor

    def _change(self, X, random_state):
        mean = X.mean(axis=tuple(range(1, X.ndim)), keepdims=True)
        return mean + (X - mean) * _factors(X, self.factor, random_state)


@functools.cache
def _normal_quantiles():
    """65536 equally likely numbers: to look one up takes a third of the time to draw one."""
    return ndtri((np.arange(2**16) + 0.5) / 2**16)


class GaussianNoise(Photometric):
    """Adds to each value a number from a normal distribution.

    Parameters
    ----------
    stddev : float or (float, float)
        Standard deviation of the noise, in the units of X, or the range from which that of each
        sample is drawn, uniformly. The numbers reach to 4.3 deviations: they are one of 65536
        quantiles.

    Notes
    -----
    What moves pixels takes means of neighbours, and so makes the noise of images smaller. If a
    network is not to take that for a sign of anything, give images back, in a `Compose`, more
    or less noise than they lost, by a range that begins with 0.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.augmentation import GaussianNoise
    >>> X, _, _ = GaussianNoise(0.1).augment(np.zeros((10, 32, 32)), random_state=0)
    >>> round(float(X.std()), 2)
    0.1
    >>> X, _, _ = GaussianNoise((0, 0.1)).augment(np.zeros((4, 32, 32)), random_state=0)
    >>> X.std(axis=(1, 2)).round(2).tolist()
    [0.06, 0.08, 0.09, 0.08]
    """

    _parameter_constraints = {"stddev": [Interval(Real, 0, None, closed="left"), "array-like"]}

    def __init__(self, stddev):
        self.stddev = stddev

    def _change(self, X, random_state):
        generator = np.random.Generator(np.random.SFC64(random_state.randint(2**31 - 1)))
        drawn = generator.integers(2**16, size=X.shape, dtype=np.uint16)
        noise = _normal_quantiles().astype(X.dtype).take(drawn)
        noise *= self._deviations(X, random_state)
        noise += X
        return noise

    def _deviations(self, X, random_state):
        """One for all samples, or an array of the shape to multiply X with."""
        if isinstance(self.stddev, Real):
            return self.stddev
        ends = _range(self.stddev, "stddev", 0, np.inf, closed=True, instead="a number")
        drawn = random_state.uniform(*ends, len(X))
        return drawn.reshape(-1, *[1] * (X.ndim - 1)).astype(X.dtype)


class Cutout(Photometric):
    """Erases a square at a random place of each image.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout",
    2017. The centre is anywhere in the image, so a part of the square may lie outside.

    Parameters
    ----------
    size : int or tuple of int
        Length of a side in pixels, or ``(height, width)``.
    fill_value : float, default=0.0
        The value of X in the square.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.augmentation import Cutout
    >>> X, _, _ = Cutout(3).augment(np.ones((1, 5, 5)), random_state=0)
    >>> X[0].astype(int)
    array([[1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1],
           [0, 0, 1, 1, 1],
           [0, 0, 1, 1, 1]])
    """

    needs_images = True

    _parameter_constraints = {"size": "no_validation", "fill_value": _FINITE}

    def __init__(self, size, fill_value=0.0):
        self.size = size
        self.fill_value = fill_value

    def _change(self, X, random_state):
        size = np.array(per_axis(self.size, 2, "size"))
        start = random_state.randint(X.shape[1:3], size=(len(X), 2)) - size // 2
        places = np.hstack([start.clip(0), start + size]).tolist()  # slicing by int is fastest
        X = X.copy()
        for image, (top, left, bottom, right) in zip(X, places, strict=True):
            image[top:bottom, left:right] = self.fill_value
        return X


# ---------------------------------------------------------------------------
# Several
# ---------------------------------------------------------------------------


class Compose(LayerComposition, Transform):
    """Transforms one after the other.

    All geometric ones are one resampling, with the product of their matrices, and come first;
    the photometric ones follow in their order.

    Parameters
    ----------
    transforms : list or tuple
        Transforms or `(name, transform)` pairs. An unnamed one is called after its class and
        counted, as layers are. The geometric ones have the same `fill_value`.

    Examples
    --------
    >>> from sklearn_convnet.augmentation import Compose, RandomAffine, RandomBrightness
    >>> both = Compose([RandomAffine(rotation=(-10, 10)), ("light", RandomBrightness())])
    >>> both.set_params(randomaffine1__rotation=(-20, 20), light="passthrough")
    Compose(transforms=[('randomaffine1', RandomAffine(rotation=(-20, 20))),
                        ('light', 'passthrough')])
    """

    _list_name = "transforms"
    _kind = Transform

    def __init__(self, transforms):
        self.transforms = transforms

    @property
    def needs_images(self):
        """True if a transform in it does."""
        children = [transform for _, transform in self.named_children()]
        return any(getattr(transform, "needs_images", False) for transform in children)

    def _steps(self):
        pairs = check_layers(
            self.transforms, "transforms", reserved=("transforms",), kind=Transform
        )
        return [step for _, transform in pairs for step in transform._steps()]
