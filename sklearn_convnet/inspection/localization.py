"""Boxes from a classifier that never saw one."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..constraints import Interval, StrOptions, validate_params
from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..network.network import Network
from ..on_demand import Samples
from .saliency import saliency


@validate_params(
    {
        "threshold": [Interval(Real, 0, 1, closed="both")],
        "layer": [str, Integral, None],
        "box_units": [StrOptions({"share", "pixels"})],
    }
)
def weakly_supervised_box(
    estimator: ConvNetClassifier | ConvNetRegressor | Network,
    X: Samples,
    threshold: float = 0.2,
    *,
    target: Any = None,
    layer: str | int | None = None,
    box_units: Literal["share", "pixels"] = "share",
) -> NDArray[Any]:
    """Find boxes around objects, with a network that has learnt from labels alone.

    A box is the upright one around the largest connected part of an image's Grad-CAM map that is
    above a share of its maximum [1]_.

    Parameters
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or Network
        Fitted to images. It need not have seen a box.
    X : array-like of shape (n_samples, height, width) or (n_samples, height, width, n_channels)
        Images, as for `predict`.
    threshold : float, default=0.2
        Share of the maximum that positions of that part have at least.
    target : object, default=None
        What is looked for, as in `saliency`. None is the predicted class.
    layer : str or int, default=None
        The layer whose maps are taken, as in `saliency`.
    box_units : {"share", "pixels"}, default="share"
        Of the coordinates: shares of width and height, from edge to edge, or pixels, whose centres
        are at integers.

    Returns
    -------
    ndarray of shape (n_samples, 4)
        ``x1, y1, x2, y2``, the upper left and the lower right corner, as
        :func:`~sklearn_convnet.metrics.box_iou` takes them. NaN where the map is 0 everywhere.

    Raises
    ------
    ValueError
        If X is no images, or what `saliency` raises.

    Notes
    -----
    A map has the resolution of its layer: choose one whose maps are not too small. Networks that
    end in the mean of each map (`GlobalAvgPool`) localise objects; those that end in dense layers
    may not.

    References
    ----------
    .. [1] Zhou, Khosla, Lapedriza, Oliva and Torralba, "Learning deep features for discriminative
       localization", 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.inspection import weakly_supervised_box
    >>> from sklearn_convnet.layers import Conv2D, GlobalAvgPool
    >>> from sklearn_convnet.network import compile_network
    >>> layers = [("maps", Conv2D(1, 1)), GlobalAvgPool()]
    >>> network = compile_network(layers, (4, 4))
    >>> network.parameters()["maps/weight"][...] = 1
    >>> X = np.zeros((1, 4, 4))
    >>> X[0, 1, 2:] = 1
    >>> weakly_supervised_box(network, X, layer="maps", box_units="pixels")
    array([[1.5, 0.5, 3.5, 1.5]])
    """
    maps = saliency(estimator, X, "grad_cam", target=target, layer=layer)
    if maps.ndim != 3:
        raise ValueError(
            f"boxes are for images, but X has samples with {maps.ndim - 1} axes besides the "
            "channels: use saliency"
        )
    boxes = np.array([box_of_map(one, threshold) for one in maps]).reshape(-1, 4)
    if box_units == "pixels":
        return boxes - 0.5
    height, width = maps.shape[1:]
    return boxes / [width, height, width, height]


def box_of_map(values, threshold):
    """The box ``x1, y1, x2, y2`` around the largest connected part above the threshold.

    Edges of pixels are at integers, that of the first one at 0. NaN if there is nothing above 0.
    """
    if not values.max() > 0:
        return [np.nan] * 4
    parts, _ = ndimage.label(values >= max(threshold * values.max(), np.finfo(values.dtype).tiny))
    largest = np.bincount(parts.ravel())[1:].argmax()
    rows, columns = ndimage.find_objects(parts)[largest]
    return [columns.start, rows.start, columns.stop, rows.stop]
