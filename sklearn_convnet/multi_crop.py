"""Training on random crops of images, and voting over fixed ones.

# Design:
# * A crop moves what lies in the image: `augment` is that of a transform, but for the size of what
#   it returns, and `draw` that of `TestTimeAugmentation`. So whoever asks for views need not know
#   whether they are crops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp
from sklearn.utils import check_random_state

from ._typing import PerAxis, RandomState
from .augmentation.moves import moved_points
from .constraints import Options, StrOptions
from .layers.shapes import AXIS_NAMES, per_axis
from .votes import Vote

__all__ = ["MultiCrop"]


def log_mean_exp(log_P, axis):
    """The logarithm of the mean of numbers whose logarithms these are."""
    n = np.prod([log_P.shape[i] for i in np.atleast_1d(axis)])
    return logsumexp(log_P, axis=axis) - np.log(n).astype(log_P.dtype)


def moves_of(tops, lefts, mirrored, width):
    """The maps (n, 2, 3) from places in images to where they are in crops of a width."""
    moves = np.zeros((len(tops), 2, 3))
    moves[:, 0, 0] = np.where(mirrored, -1, 1)
    moves[:, 0, 2] = np.where(mirrored, np.add(lefts, width - 1), np.negative(lefts))
    moves[:, 1, 1] = 1
    moves[:, 1, 2] = np.negative(tops)
    return moves


@dataclass(frozen=True)
class Crop:
    """A part of an image.

    Attributes
    ----------
    top, left : int
        Its first row and column.
    size : tuple of int
        ``(height, width)``.
    mirrored : bool, default=False
        Whether left and right change places.
    """

    top: int
    left: int
    size: tuple
    mirrored: bool = False

    @property
    def move(self):
        """The map (1, 2, 3) from places in an image to where they are in the crop."""
        return moves_of([self.top], [self.left], [self.mirrored], self.size[1])

    def of(self, X, n_threads=None):
        """The crop of images (n, height, width) or (n, height, width, n_channels), a view of X."""
        height, width = self.size
        part = X[:, self.top : self.top + height, self.left : self.left + width]
        return part[:, :, :: -1 if self.mirrored else 1]


class MultiCrop(Vote):
    """Crops of one size: a random one of each image in training, several in a prediction.

    A network learns from crops that are a little smaller than the images, and predicts by a
    vote over fixed crops: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep
    convolutional neural networks", 2012.

    Parameters
    ----------
    size : int or tuple of int
        Length of a side in pixels, or ``(height, width)``.
    n_crops : {1, 5, 10}, default=10
        The views of an image: 1 is the centre; 5 are the four corners and the centre; 10 are these
        and their mirror images (left and right exchanged).
    voting : {"soft", "hard", "dense"}, default="soft"
        "soft" is the mean of the views' probabilities, "hard" a majority of the views. "dense" is
        the mean over all crops that the network sees when it is moved over the whole image, and
        with ten crops over its mirror image (Simonyan and Zisserman, "Very deep convolutional
        networks for large-scale image recognition", 2015): `scan` does so, and says which
        networks can.

    See Also
    --------
    sklearn_convnet.augmentation.TestTimeAugmentation : Votes over changed samples of their whole
        size, which training need not see.

    Notes
    -----
    What has a place in the image (boxes and points) moves with a crop in training, also beyond its
    border. In a prediction it is moved back from each crop, and averaged; points that are
    `flip_pairs` change places in mirror images, and the corners of a box are numbered as in the
    first crop. Maps are not cropped, and "dense" voting is for labels and values.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.multi_crop import MultiCrop
    >>> crops = MultiCrop(24, n_crops=5)
    >>> X = np.zeros((3, 28, 28))
    >>> crops.random_crops(X, random_state=0).shape
    (3, 24, 24)
    >>> [view.shape for view in crops.views(X)] == 5 * [(3, 24, 24)]
    True
    """

    _parameter_constraints = {
        "size": "no_validation",
        "n_crops": [Options(Integral, {1, 5, 10})],
        "voting": [StrOptions({"soft", "hard", "dense"})],
    }

    def __init__(
        self,
        size: PerAxis,
        n_crops: Literal[1, 5, 10] = 10,
        voting: Literal["soft", "hard", "dense"] = "soft",
    ) -> None:
        self.size = size
        self.n_crops = n_crops
        self.voting = voting

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of a crop.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one image, ``(height, width)`` or ``(height, width, n_channels)``.

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError
            If a parameter is invalid, or the crop is larger than the image.
        """
        self._validate_params()
        sizes = per_axis(self.size, 2, "size")
        if len(input_shape) not in (2, 3):
            raise ValueError(
                "MultiCrop needs images of shape (height, width) or (height, width, "
                f"n_channels), got shape {tuple(input_shape)}"
            )
        for name, size, available in zip(AXIS_NAMES[2], sizes, input_shape, strict=False):
            if size > available:
                raise ValueError(
                    f"MultiCrop cuts out {size} pixels along the {name}, but images have "
                    f"{available}: use a smaller size, or larger images"
                )
        return (*sizes, *input_shape[2:])

    def random_crops(self, X: NDArray[Any], random_state: RandomState = None) -> NDArray[Any]:
        """A crop at a random place of each image, as training takes them.

        With ten crops, half of them are mirrored.

        Parameters
        ----------
        X : ndarray of shape (n, height, width) or (n, height, width, n_channels)
            Images.
        random_state : int, RandomState or None, default=None
            The same one draws the same.

        Returns
        -------
        ndarray of shape (n, *output_shape)
            Of X's dtype.
        """
        return self.augment(X, random_state=random_state)[0]

    def augment(
        self,
        X: NDArray[Any],
        *,
        points: NDArray[Any] | None = None,
        random_state: RandomState = None,
        n_threads: int | None = None,
        flip_pairs: ArrayLike | None = None,
    ) -> tuple[NDArray[Any], NDArray[Any] | None, None]:
        """A crop at a random place of each image, and where points are in it.

        Parameters
        ----------
        X : ndarray of shape (n, height, width) or (n, height, width, n_channels)
            Images.
        points : ndarray of shape (n, n_points, 2), default=None
            Places ``(x, y)`` in pixels; NaN stays NaN.
        random_state : int, RandomState or None, default=None
            The same one draws the same.
        n_threads : int or None, default=None
            Ignored: crops need no threads.
        flip_pairs : array-like of shape (n_pairs, 2), default=None
            Numbers of points that change places in mirror images.

        Returns
        -------
        X : ndarray of shape (n, *output_shape)
            Of X's dtype.
        points : ndarray or None
            In pixels of the crops, beyond their border too.
        label_maps : None
            As a transform returns them.
        """
        shape = self.output_shape(X.shape[1:])
        random_state = check_random_state(random_state)
        n = len(X)
        tops = random_state.randint(X.shape[1] - shape[0] + 1, size=n)
        lefts = random_state.randint(X.shape[2] - shape[1] + 1, size=n)
        mirrored = random_state.uniform(size=n) < (0.5 if self.n_crops == 10 else 0)
        crops = np.empty((n, *shape), X.dtype)
        places = np.stack([tops, lefts, mirrored], axis=1).tolist()
        for crop, image, (top, left, mirror) in zip(crops, X, places, strict=True):
            part = image[top : top + shape[0], left : left + shape[1]]
            crop[...] = part[:, ::-1] if mirror else part
        if points is not None:
            points = moved_points(points, moves_of(tops, lefts, mirrored, shape[1]), flip_pairs)
        return crops, points, None

    def centre(self, X: NDArray[Any]) -> NDArray[Any]:
        """The crop in the middle.

        Parameters
        ----------
        X : ndarray of shape (n, height, width) or (n, height, width, n_channels)
            Images.

        Returns
        -------
        ndarray of shape (n, *output_shape)
            A view of X's memory.
        """
        return self._centre(X.shape[1:]).of(X)

    def _centre(self, input_shape):
        size = self.output_shape(input_shape)[:2]
        return Crop(*((n - m) // 2 for n, m in zip(input_shape, size, strict=False)), size)

    def draw(self, input_shape: tuple[int, ...]) -> list[Crop]:
        """The crops that vote, in the order of `views`.

        With "dense" voting that is the whole image and, with ten crops, its mirror image.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one image.

        Returns
        -------
        list of Crop
        """
        whole, size = input_shape[:2], self.output_shape(input_shape)[:2]
        middle = self._centre(input_shape)
        below, beside = whole[0] - size[0], whole[1] - size[1]
        places = [(0, 0), (0, beside), (below, 0), (below, beside)] if self.n_crops > 1 else []
        places.append((middle.top, middle.left))
        if self.voting == "dense":
            places, size = [(0, 0)], whole
        mirrors = (False, True) if self.n_crops == 10 else (False,)
        return [Crop(*place, size, mirrored) for mirrored in mirrors for place in places]

    def views(self, X: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """The crops that vote, one after the other.

        The corners upper left, upper right, lower left and lower right, then the centre, then
        the mirror images in the same order.

        Parameters
        ----------
        X : ndarray of shape (n, height, width) or (n, height, width, n_channels)
            Images.

        Yields
        ------
        ndarray of shape (n, *output_shape)
            A view of X's memory.
        """
        for crop in self.draw(X.shape[1:]):
            yield crop.of(X)


@dataclass(frozen=True)
class CentreCrop:
    """The crop in the middle in the place of random ones, as validation sees it.

    Attributes
    ----------
    crops : MultiCrop
    """

    crops: MultiCrop

    def augment(self, X, *, points=None, random_state=None, n_threads=None, flip_pairs=None):
        """As of `MultiCrop`, of images of one size."""
        crop = self.crops._centre(X.shape[1:])
        if points is not None:
            points = moved_points(points, np.repeat(crop.move, len(points), axis=0), flip_pairs)
        return crop.of(X), points, None
