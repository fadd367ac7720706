"""Training on random crops of images, and voting over fixed ones."""

from numbers import Integral

import numpy as np
from scipy.special import logsumexp
from sklearn.utils import check_random_state

from .constraints import Options, StrOptions
from .layers.shapes import AXIS_NAMES, per_axis
from .votes import Vote

__all__ = ["MultiCrop"]


def log_mean_exp(log_P, axis):
    """The logarithm of the mean of numbers whose logarithms these are."""
    n = np.prod([log_P.shape[i] for i in np.atleast_1d(axis)])
    return logsumexp(log_P, axis=axis) - np.log(n).astype(log_P.dtype)


class MultiCrop(Vote):
    """Crops of one size: a random one of each image in training, several at a prediction.

    A network learns from crops that are a little smaller than the images, and predicts by a
    vote over fixed crops: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep
    convolutional neural networks", 2012.

    Parameters
    ----------
    size : int or tuple of int
        Length of a side in pixels, or ``(height, width)``.
    n_crops : {1, 5, 10}, default=10
        The views of an image: 1 is the centre; 5 the four corners and the centre; 10 these and
        their mirror images, left and right exchanged.
    voting : {"soft", "hard", "dense"}, default="soft"
        "soft" is the mean of the views' probabilities, "hard" a majority of the views. "dense" is
        the mean over all crops that the network sees when it is moved over the whole image, and
        with ten crops over its mirror image (Simonyan and Zisserman, "Very deep convolutional
        networks for large-scale image recognition", 2015): `scan` does so, and says which
        networks can.

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

    def __init__(self, size, n_crops=10, voting="soft"):
        self.size = size
        self.n_crops = n_crops
        self.voting = voting

    def output_shape(self, input_shape):
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
                    f"{available}: use a smaller size"
                )
        return (*sizes, *input_shape[2:])

    def random_crops(self, X, random_state=None):
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
        return crops

    def centre(self, X):
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
        height, width = self.output_shape(X.shape[1:])[:2]
        top, left = (X.shape[1] - height) // 2, (X.shape[2] - width) // 2
        return X[:, top : top + height, left : left + width]

    def views(self, X):
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
        height, width = self.output_shape(X.shape[1:])[:2]
        below, beside = X.shape[1] - height, X.shape[2] - width
        places = [(0, 0), (0, beside), (below, 0), (below, beside)] if self.n_crops > 1 else []
        places.append((below // 2, beside // 2))
        for mirror in (1, -1) if self.n_crops == 10 else (1,):
            for top, left in places:
                yield X[:, top : top + height, left : left + width][:, :, ::mirror]

    def whole_views(self, X):
        """The whole images and, with ten crops, their mirror images: those of dense voting.

        Parameters
        ----------
        X : ndarray of shape (n, height, width) or (n, height, width, n_channels)
            Images.

        Yields
        ------
        ndarray of X's shape
            A view of X's memory.
        """
        self.output_shape(X.shape[1:])
        for mirror in (1, -1) if self.n_crops == 10 else (1,):
            yield X[:, :, ::mirror]
