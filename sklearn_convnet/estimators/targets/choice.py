"""Which target a y asks for."""

import numpy as np

from ...layers.shapes import AXIS_NAMES
from ...ragged import Ragged
from ..checks import is_indicator
from .boxes import BoxTarget
from .labels import (
    ClassTarget,
    ColumnsTarget,
    MultilabelTarget,
    classes_of,
    classes_of_columns,
    numbers_of_columns,
    sorted_classes,
)
from .maps import LabelMapTarget, ValueMapTarget, holds_maps, shape_of_maps, size_of_maps
from .values import PointTarget, ValueTarget


def label_target(
    y,
    classes=None,
    *,
    last_shape=(),
    n_steps=None,
    kind="auto",
    ignored=None,
    box_units="share",
    boxes_in_y=False,
    box_corners="outline",
    image_size=None,
):
    """The target for labels, with boxes or without.

    Parameters
    ----------
    y : ndarray
        Checked.
    classes : array-like or list of array-like, default=None
        All classes, or those of each column; None are those in y.
    last_shape : tuple of int, default=()
        What the user's layers end in.
    n_steps : int, default=None
        The length of a sample where X is signals.
    kind : {"auto", "labels", "maps"}, default="auto"
        What y is.
    ignored : label, default=None
        What pixels without a label have.
    box_units : {"share", "pixels"}, default="share"
        What the coordinates of boxes are in.
    boxes_in_y : bool, default=False
        Whether the user gave boxes in the columns of y.
    box_corners : {"outline", "ordered"}, default="outline"
        Whether it matters which corner is the first.
    image_size : tuple of int, default=None
        (width, height) where X is images.
    """
    if classes is not None:
        classes = sorted_classes(classes, ignored)
    if kind == "maps" and y.ndim < 2:
        raise ValueError(
            f"y has shape {y.shape}, but target='maps' takes labels for each position, such as "
            "(n_samples, height, width)"
        )
    if isinstance(y, Ragged) and kind == "labels":
        raise ValueError(
            "y holds entries of unequal sizes, but target='labels': give maps as 'maps'"
        )
    if kind == "maps" or (kind == "auto" and holds_maps(y, last_shape, n_steps, classes)):
        map_size, last_axis = size_of_maps(shape_of_maps(y, last_shape), len(last_shape) - 1)
        if classes is None:
            classes = classes_of(y, ignored)
        return LabelMapTarget(classes, map_size, ignored, last_axis)
    if ignored is not None:
        raise ValueError(
            f"ignore_label={ignored!r} is for maps of labels, but y has shape {y.shape}: leave "
            "samples without a label out, or give them sample_weight 0"
        )
    if y.ndim > 2:
        raise ValueError(
            f"y has shape {y.shape}, but target='labels' takes (n_samples,) or (n_samples, "
            "n_columns)"
        )
    if isinstance(classes, list) or (y.ndim == 2 and not is_indicator(y)):
        return ColumnsTarget(classes_of_columns(y, classes))
    if y.ndim == 2:
        return MultilabelTarget(numbers_of_columns(y, classes))
    if classes is None:
        classes = np.unique(y["label"] if y.dtype.names else y)
    if y.dtype.names:
        outline = box_corners == "outline"
        n_coordinates = y["box"].shape[1]
        return BoxTarget(classes, n_coordinates, box_units, boxes_in_y, outline, image_size)
    return ClassTarget(classes)


def value_target(
    y,
    kind="values",
    point_units="share",
    *,
    last_shape=(),
    n_steps=None,
    normalize=False,
    flip_pairs=None,
    point_axes=2,
):
    """The target for checked values."""
    if kind == "points":
        return PointTarget(y.shape[1:], point_units, normalize, flip_pairs, point_axes)
    if flip_pairs is not None:
        raise ValueError(
            f"flip_pairs={flip_pairs!r} is for points, but target={kind!r}: set target='points'"
        )
    n_axes = len(last_shape) - 1
    if kind == "maps" and y.ndim - 1 < n_axes:
        axes = f"n_samples, {', '.join(AXIS_NAMES[n_axes])}"
        raise ValueError(
            f"y has shape {y.shape}, but target='maps' takes ({axes}), or with several values at "
            f"a position ({axes}, n_values)"
        )
    if kind == "maps" or holds_maps(y, last_shape, n_steps):
        if y.ndim - 1 not in (n_axes, n_axes + 1):  # `output_layers` tells
            n_axes = {2: 1, 3: 2}.get(y.ndim, y.ndim - 2)
        return ValueMapTarget(shape_of_maps(y, last_shape), kind == "maps", normalize, n_axes)
    return ValueTarget(y.shape[1:], normalize)
