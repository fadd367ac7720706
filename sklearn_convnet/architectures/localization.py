"""Where things are: boxes and points."""

from __future__ import annotations

from ..layers import Flatten, MaxPool2D
from ..layers.base import Layer
from .chains import _alexnet_maps
from .parts import _convolution, _dense


def box_localizer(
    filters: tuple[int, ...] = (32, 64, 128),
    kernel_size: int = 3,
    units: tuple[int, ...] = (256,),
    dropout: float = 0.5,
    activation: str = "relu",
) -> list[tuple[str, Layer]]:
    """A network for the class and the box of an object in an image.

    Maps are flattened, not averaged, so that positions are kept; class and box share all layers
    [1]_.

    Parameters
    ----------
    filters : tuple of int, default=(32, 64, 128)
        Number of maps of each convolution; each is followed by a pool that halves them.
    kernel_size : int, default=3
        Size of the filters.
    units : tuple of int, default=(256,)
        Sizes of the dense layers.
    dropout : float, default=0.5
        Share of the outputs of each dense layer that is dropped in training.
    activation : str, default="relu"
        Of all convolutions and dense layers.

    Returns
    -------
    list of (str, Layer)
        For images whose sides are at least ``2 ** len(filters)``.

    Notes
    -----
    The idea is that of the paper, the sizes are for small images. For large ones take
    the maps of :func:`alexnet` or :func:`vgg`.

    References
    ----------
    .. [1] Sermanet et al., "OverFeat: integrated recognition, localization and
       detection using convolutional networks", 2014.

    Examples
    --------
    >>> from sklearn_convnet.architectures import box_localizer
    >>> from sklearn_convnet.layers import Sequential
    >>> layers = box_localizer()
    >>> Sequential(layers[:6]).output_shape((64, 64, 1))
    (8, 8, 128)
    >>> Sequential(layers).output_shape((64, 64, 1))
    (256,)
    """
    layers = []
    for i, n in enumerate(filters, start=1):
        layers += _convolution(str(i), n, kernel_size, activation)
        layers.append((f"pool{i}", MaxPool2D(2)))
    return [*layers, ("flatten", Flatten()), *_dense(units, dropout, activation)]


def pose_net(
    width: float = 1.0,
    units: tuple[int, ...] = (4096, 4096),
    dropout: float = 0.6,
    activation: str = "relu",
    groups: int = 1,
) -> list[tuple[str, Layer]]:
    """DeepPose: AlexNet for the joints of a body [1]_.

    Parameters
    ----------
    width : float, default=1.0
        Factor on the number of filters.
    units : tuple of int, default=(4096, 4096)
        Sizes of the dense layers.
    dropout : float, default=0.6
        Share of the outputs of each dense layer that is dropped in training.
    activation : str, default="relu"
        Of all convolutions and dense layers.
    groups : int, default=1
        See :func:`alexnet`.

    Returns
    -------
    list of (str, Layer)
        For images of 220 x 220 pixels: 55 x 55 x 96, 27 x 27 x 256, 13 x 13 x 384, and
        6 x 6 x 256 before the dense layers.

    Notes
    -----
    This is the first stage of the paper, which sees the whole image. Its output layer
    has two numbers for each joint.

    References
    ----------
    .. [1] Toshev and Szegedy, "DeepPose: human pose estimation via deep neural
       networks", 2014.

    Examples
    --------
    >>> from sklearn_convnet.architectures import pose_net
    >>> from sklearn_convnet.layers import Sequential
    >>> layers = pose_net()
    >>> Sequential(layers[:10]).output_shape((220, 220, 3))
    (6, 6, 256)
    """
    return [
        *_alexnet_maps(width, activation, groups, "same"),
        *_dense(units, dropout, activation),
    ]
