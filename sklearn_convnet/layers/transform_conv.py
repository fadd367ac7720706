"""Convolution with filters in every transform of a set.

# Design:
# * A transform of a filter is one sparse matrix of interpolation weights over its K x K
#   positions. It is linear in the filter, and its transpose is the exact adjoint.
# * Right angles and reflections of a square filter move positions onto positions: their
#   matrices are permutations, without rounding.
"""

from math import prod
from numbers import Integral

import numpy as np
from scipy import sparse

from ..constraints import Interval, StrOptions
from ..initializers import INITIALIZERS
from .activation import ACTIVATION_CONSTRAINT
from .base import Layer
from .conv import Conv2D
from .shapes import check_values

#: The groups of right-angle rotations, and of those with reflections.
GROUPS = ("p4", "p4m")


def rotation(degrees):
    """The matrix that turns an image anticlockwise, as it is seen, by an angle.

    Parameters
    ----------
    degrees : float
        The angle.

    Returns
    -------
    ndarray of shape (2, 2)
        It acts on ``(x, y)``, columns to the right and rows down.

    Examples
    --------
    >>> from sklearn_convnet.layers import rotation
    >>> rotation(90).astype(int).tolist()
    [[0, 1], [-1, 0]]
    """
    quarter, rest = divmod(degrees, 90)
    if rest == 0:  # exact
        c, s = [(1, 0), (0, 1), (-1, 0), (0, -1)][int(quarter) % 4]
    else:
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, s], [-s, c]], dtype=np.float64)


def reflection():
    """The matrix that mirrors left and right.

    Returns
    -------
    ndarray of shape (2, 2)

    Examples
    --------
    >>> from sklearn_convnet.layers import reflection
    >>> reflection().astype(int).tolist()
    [[-1, 0], [0, 1]]
    """
    return np.array([[-1.0, 0.0], [0.0, 1.0]])


def scaling(factor):
    """The matrix that enlarges an image.

    Parameters
    ----------
    factor : float
        Above 1 enlarges.

    Returns
    -------
    ndarray of shape (2, 2)

    Examples
    --------
    >>> from sklearn_convnet.layers import rotation, scaling
    >>> transforms = [scaling(s) @ rotation(a) for s in (1, 1.5) for a in (0, 45, 90)]
    >>> len(transforms)
    6
    """
    return np.array([[factor, 0.0], [0.0, factor]])


def transform_matrices(transforms):
    """2 x 2 matrices, from the name of a group or from matrices.

    Raises
    ------
    ValueError
        If one is no invertible 2 x 2 matrix of finite numbers.
    """
    if isinstance(transforms, str) and transforms in GROUPS:
        turns = [rotation(90 * k) for k in range(4)]
        mirrored = [turn @ reflection() for turn in turns] if transforms == "p4m" else []
        return [*turns, *mirrored]
    if isinstance(transforms, str) or not len(transforms):
        raise ValueError(
            f"transforms must be one of {', '.join(map(repr, GROUPS))} or a list of 2 x 2 "
            f"matrices, got {transforms!r}"
        )
    matrices = [np.asarray(matrix, np.float64) for matrix in transforms]
    for matrix in matrices:
        if matrix.shape != (2, 2) or not np.isfinite(matrix).all():
            raise ValueError(f"a transform must be a 2 x 2 matrix, got {matrix!r}")
        if np.linalg.det(matrix) == 0:
            raise ValueError(f"a transform must be invertible, got {matrix.tolist()}")
    return matrices


def filter_transform(matrix, kernel):
    """What a transform makes of a filter, as a matrix over the filter's positions.

    The new filter at position p is the old one at ``matrix^-1 p``, positions counted from
    the centre, by bilinear interpolation; the old filter is zero outside.

    Parameters
    ----------
    matrix : ndarray of shape (2, 2)
        Acts on ``(x, y)``.
    kernel : tuple of int
        Height and width of the filter.

    Returns
    -------
    scipy sparse array of shape (height * width, height * width)
    """
    height, width = kernel
    ys, xs = np.mgrid[:height, :width]
    centre = np.array([(width - 1) / 2, (height - 1) / 2])
    points = np.stack([xs.ravel(), ys.ravel()], axis=1) - centre
    source = points @ np.linalg.inv(matrix).T + centre
    snapped = np.round(source)
    source = np.where(np.abs(source - snapped) < 1e-9, snapped, source)
    low = np.floor(source).astype(int)
    share = source - low
    rows, columns, values = [], [], []
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = low[:, 0] + dx, low[:, 1] + dy
            weight = np.abs(1 - dx - share[:, 0]) * np.abs(1 - dy - share[:, 1])
            kept = (0 <= x) & (x < width) & (0 <= y) & (y < height) & (weight > 0)
            rows.append(np.flatnonzero(kept))
            columns.append((y * width + x)[kept])
            values.append(weight[kept])
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array(entries, shape=(height * width,) * 2)


class TransformConv2D(Layer):
    """Convolution whose filters are applied in every transform of a set.

    For each filter `w` and transform `T`, ``z_T = shift(T(w))`` over the input. With
    ``pool="max"`` what is seen does not depend on which of the transforms the input has
    undergone, place apart; compare Cohen and Welling, "Group equivariant convolutional
    networks", 2016.

    Parameters
    ----------
    filters : int
        Number of filters.
    kernel_size : int or tuple of int
        Size of the filters along each axis.
    transforms : {"p4", "p4m"} or list of array-like of shape (2, 2), default="p4"
        The four rotations by right angles; these and their reflections; or any invertible
        matrices acting on ``(x, y)``, such as products of `rotation`, `reflection` and
        `scaling`.
    pool : {"max", "mean"} or None, default=None
        What to make of the maps of one filter, after the activation. None keeps them all:
        map ``t * filters + j`` is that of filter `j` in transform `t`.
    stride, padding, activation, use_bias, kernel_initializer, trainable
        See :class:`Conv2D`. All transforms of a filter share its bias.

    Notes
    -----
    Weights have the shape ``(*kernel_size, channels, filters)``.

    Examples
    --------
    >>> from sklearn_convnet.layers import TransformConv2D
    >>> TransformConv2D(8, 5).output_shape((28, 28, 1))
    (24, 24, 32)
    >>> TransformConv2D(8, 5, transforms="p4m", pool="max").output_shape((28, 28, 1))
    (24, 24, 8)
    """

    n_axes = 2

    _parameter_constraints = {
        "filters": [Interval(Integral, 1, None, closed="left")],
        "kernel_size": "no_validation",
        "transforms": [StrOptions(set(GROUPS)), "array-like"],
        "pool": [StrOptions({"max", "mean"}), None],
        "stride": "no_validation",
        "padding": "no_validation",
        "activation": ACTIVATION_CONSTRAINT,
        "use_bias": ["boolean"],
        "kernel_initializer": [StrOptions(INITIALIZERS)],
        "trainable": ["boolean"],
    }

    def __init__(
        self,
        filters,
        kernel_size,
        transforms="p4",
        pool=None,
        stride=1,
        padding="valid",
        activation="relu",
        use_bias=True,
        kernel_initializer="auto",
        trainable=True,
    ):
        self.filters = filters
        self.kernel_size = kernel_size
        self.transforms = transforms
        self.pool = pool
        self.stride = stride
        self.padding = padding
        self.activation = activation
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def as_conv(self):
        """The convolution with all transformed filters."""
        return Conv2D(
            self.filters * len(transform_matrices(self.transforms)),
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
        )

    def weight_shape(self, input_shape):
        """Shape of the filters: ``(*kernel_size, channels, filters)``."""
        return (*self.as_conv().weight_shape(input_shape)[:-1], self.filters)

    def multiply_adds(self, input_shape):
        """Multiplications with additions that one sample takes."""
        conv = self.as_conv()
        return prod(conv._output_shape(input_shape)[:-1]) * prod(conv.weight_shape(input_shape))

    def _output_shape(self, input_shape):
        out = self.as_conv()._output_shape(input_shape)
        check_values(out, "its maps in all transforms")
        return out if self.pool is None else (*out[:-1], self.filters)

    def windows(self, input_shape):
        return self.as_conv().windows(input_shape)
