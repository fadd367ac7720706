"""Transforms that mix each sample of a batch with another.

# Design:
# * No target is averaged: a mixture has two targets, its own and its partner's, and its loss is
#   the sum of their losses, weighted by their shares. That is right for any kind of target and
#   any loss, and for cross-entropy the same as a target of two classes.
# * What has a place in the sample as its pixels have, a map, is cut and pasted as they are, and
#   stays one target.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from .._typing import RandomState
from ..batches import Goal, Samples
from .base import PROBABILITY, Transform, real_array, work_dtype
from .compose import Compose


@dataclass(frozen=True)
class Mixture:
    """A batch in which each sample is mixed with another.

    Parameters
    ----------
    X : ndarray of shape (n, *sample_shape)
        The mixtures.
    partner : ndarray of shape (n,)
        Index of the sample that each is mixed with.
    share : ndarray of shape (n,)
        How much of a mixture is the sample itself, from 0 to 1; the rest is its partner.
    boxes : ndarray of shape (n, n_axes, 2) or None, default=None
        Where parts of the partners are pasted: the first pixel, and the one after the last, along
        each axis.
    """

    X: np.ndarray
    partner: np.ndarray
    share: np.ndarray
    boxes: np.ndarray | None = None


class Mixing(Transform):
    """Base class of the transforms that mix samples with others of their batch.

    A subclass defines `_mixed(X, partner, share, n_axes, random_state)`, which returns a `Mixture`.
    """

    mixes = True

    _parameter_constraints = {
        "alpha": [Interval(Real, 0, None, closed="neither")],
        "probability": [PROBABILITY],
    }

    def mix(self, X: ArrayLike, n_axes: int = 2, random_state: RandomState = None) -> Mixture:
        """Mix each sample of a batch with another one.

        Parameters
        ----------
        X : array-like of shape (n, *size) or (n, *size, n_channels)
            Samples of any real dtype.
        n_axes : int, default=2
            The number of axes of the size: 1 of signals, 2 of images, 3 of volumes.
        random_state : int, RandomState or None, default=None
            The same seed gives the same changes.

        Returns
        -------
        Mixture
            `X`, float64 if X is and otherwise float32; `partner`, `share` and `boxes`, which say
            what of a mixture comes from where.

        Raises
        ------
        ValueError
            If a parameter is invalid, or X has no such axes.
        """
        self._validate_params()
        X = real_array(X, "X")
        X = X.astype(work_dtype(X.dtype), copy=False)
        random_state = check_random_state(random_state)
        n = len(X)
        partner = random_state.permutation(n)
        share = random_state.beta(self.alpha, self.alpha, n)
        share[random_state.uniform(size=n) >= self.probability] = 1
        return self._mixed(X, partner, share, n_axes, random_state)


class MixUp(Mixing):
    """Mixes pairs of samples, and their losses.

    A mixture is ``share * X[i] + (1 - share) * X[j]``, and its loss ``share * L(Z, y[i]) + (1 -
    share) * L(Z, y[j])``, with a partner j from the same batch and a share of its own for each
    sample, from a beta distribution: Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond
    empirical risk minimization", 2018.

    Parameters
    ----------
    alpha : float, default=0.2
        Both parameters of the beta distribution: the smaller, the closer shares are to 0 and 1;
        at 1 they are uniform.
    probability : float, default=1.0
        Probability that a sample is mixed; otherwise it stays as it is.

    See Also
    --------
    CutMix : Parts of samples that are pasted into others.

    Notes
    -----
    It is for training, as the `augmentation` of an estimator or the last of a `Compose`. Any kind
    of y will do: labels and boxes are not averaged, but each mixture has two of them. Weights of
    samples are mixed as losses are. Partners have the same size, where samples differ in size.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.augmentation import Compose, MixUp, RandomFlip
    >>> clf = ConvNetClassifier(augmentation=Compose([RandomFlip(), MixUp(0.4)]))

    What it does to a batch:

    >>> mixture = MixUp().mix([[0.0], [1.0], [2.0], [3.0]], n_axes=1, random_state=1)
    >>> mixture.partner, mixture.share.round(2)
    (array([3, 2, 0, 1]), array([0.  , 0.91, 0.04, 0.18]))
    >>> mixture.X.astype(float).round(2).ravel().tolist()
    [3.0, 1.09, 0.09, 1.36]
    """

    def __init__(self, alpha: float = 0.2, probability: float = 1.0) -> None:
        self.alpha = alpha
        self.probability = probability

    def _mixed(self, X, partner, share, n_axes, random_state):
        return Mixture(mean_of_pairs(X, partner, share), partner, share)


class CutMix(Mixing):
    """Pastes a part of another sample into each sample, and mixes their losses.

    The part is an upright box at the same place in both samples, of the proportions of the sample
    and a share of its area from a beta distribution; its centre is anywhere, so that some of it may
    lie outside. Losses are mixed by the areas that are seen: Yun et al., "CutMix: Regularization
    strategy to train strong classifiers with localizable features", 2019. In signals the part is a
    stretch of time, in volumes a block.

    Parameters
    ----------
    alpha : float, default=1.0
        Both parameters of the beta distribution; at 1 areas are uniform.
    probability : float, default=1.0
        Probability that a sample is mixed; otherwise it stays as it is.

    See Also
    --------
    MixUp : Sums of samples.
    Cutout : Parts of samples that are erased.

    Notes
    -----
    What `MixUp` says about y and weights holds here too, except for maps: labels, values and
    weights of pixels are pasted as the pixels are.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.augmentation import CutMix
    >>> X = np.zeros((2, 4, 6), int) + [[[1]], [[2]]]
    >>> mixture = CutMix().mix(X, random_state=0)
    >>> mixture.X[0].astype(int)
    array([[1, 1, 1, 1, 2, 2],
           [1, 1, 1, 1, 2, 2],
           [1, 1, 1, 1, 1, 1],
           [1, 1, 1, 1, 1, 1]])
    >>> mixture.share.round(2)
    array([0.83, 0.62])
    """

    def __init__(self, alpha: float = 1.0, probability: float = 1.0) -> None:
        self.alpha = alpha
        self.probability = probability

    def _mixed(self, X, partner, share, n_axes, random_state):
        if X.ndim not in (n_axes + 1, n_axes + 2) or n_axes < 1:
            raise ValueError(
                f"CutMix pastes parts of samples of {n_axes} axes, got X of shape {X.shape}"
            )
        size = np.array(X.shape[1 : 1 + n_axes])
        # Sides of a box of the area 1 - share, about a centre that is a pixel.
        side = np.rint(size * (1 - share[:, np.newaxis]) ** (1 / n_axes)).astype(int)
        start = random_state.randint(size, size=(len(X), n_axes)) - side // 2
        boxes = np.stack([start, start + side], axis=2).clip(0, size[:, np.newaxis])
        mixed = pasted(X, partner, boxes)
        area = np.prod(boxes[:, :, 1] - boxes[:, :, 0], axis=1)
        return Mixture(mixed, partner, 1 - area / np.prod(size), boxes)


def pasted(array, partner, boxes):
    """Entries of an array, each with a part of its partner in a box."""
    mixed = array.copy()
    for i, (j, box) in enumerate(zip(partner.tolist(), boxes.tolist(), strict=True)):
        part = tuple(slice(*ends) for ends in box)
        mixed[i][part] = array[j][part]
    return mixed


def of_ndim(values, ndim):
    """Values (n,) in the shape to multiply an array of so many axes with."""
    return values.reshape(-1, *[1] * (ndim - 1))


# ---------------------------------------------------------------------------
# In training
# ---------------------------------------------------------------------------


def parted(augmentation):
    """The part of an augmentation that changes samples one by one, and the one that mixes them;
    each may be None.

    Raises
    ------
    ValueError
        If there are several that mix.
    """
    if isinstance(augmentation, Mixing):
        return None, augmentation
    if not isinstance(augmentation, Compose):
        return augmentation, None
    steps = augmentation._steps()
    mixing = [step for step in steps if step.mixes]
    if not mixing:
        return augmentation, None
    if len(mixing) > 1:
        names = ", ".join(repr(step) for step in mixing)
        raise ValueError(f"a batch is mixed once, but augmentation has {names}: leave all but one")
    rest = [step for step in steps if not step.mixes]
    return Compose(rest) if rest else None, mixing[0]


def mean_of_pairs(values, partner, share):
    """Means of the rows of samples and their partners, by the shares of a `Mixture`."""
    own = of_ndim(share, values.ndim).astype(values.dtype)
    return own * values + (1 - own) * values[partner]


def mixed_samples(part, mixture, pastes):
    """Samples of a training batch after they were mixed.

    Parameters
    ----------
    part : Samples
        With their target encoded, and `share` set.
    mixture : Mixture
        Of its X.
    pastes : bool
        Whether the target has maps, which are pasted where X is.

    Returns
    -------
    Samples
    """
    partner, boxes = mixture.partner, mixture.boxes
    own, other = (share.astype(part.weight.dtype) for share in (mixture.share, 1 - mixture.share))
    weight = own * part.weight + other * part.weight[partner]
    if pastes and boxes is not None:
        return _pasted_samples(part, mixture, weight)
    mixed = Samples(mixture.X, part.target, weight, pixel_weight=part.pixel_weight)
    rows = np.arange(len(partner))
    mixed.goals = [
        Goal(
            part.target[which],
            of_ndim(factor, part.share.ndim) * part.share[which],
            of_ndim(factor, part.score_weight.ndim) * part.score_weight[which],
        )
        for which, factor in ((rows, own), (partner, other))
    ]
    return mixed


def _pasted_samples(part, mixture, weight):
    """Samples with maps, which have one target again."""
    partner, boxes = mixture.partner, mixture.boxes
    size = part.target.shape[1 : 1 + boxes.shape[1]]
    if size != part.X.shape[1 : 1 + len(size)]:
        raise ValueError(
            "CutMix pastes maps of y where it pastes X, but maps have size "
            f"{size} and X has shape {part.X.shape}: let maps be as large as the samples"
        )

    def of_pixels(values):
        """Weights with those of the partner in its box."""
        if values.ndim == 1:
            if np.array_equal(values, values[partner]):
                return values
            values = np.broadcast_to(of_ndim(values, 1 + len(size)), (len(values), *size))
        return pasted(values, partner, boxes)

    score_weight = of_pixels(part.score_weight)
    mixed = Samples(mixture.X, pasted(part.target, partner, boxes), weight)
    mixed.goals = [Goal(mixed.target, of_pixels(part.share), score_weight)]
    return mixed
