"""Votes over changed samples at a prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval

from ..constraints import StrOptions
from ..threads import effective_n_threads
from ..votes import Vote
from .base import Geometric, Photometric, Transform, check_axes, shared_fill_value, work_dtype
from .compose import Transforms
from .moves import compose, inverse, resampled


@dataclass(frozen=True)
class View:
    """One change, the same for all samples.

    Attributes
    ----------
    move : ndarray of shape (1, n_axes, n_axes + 1) or None
        The map from places in a sample to where they are in the view; None moves nothing.
    fill_value : float
        The value of X beyond the border.
    changes : list of (Photometric, list of int)
        Changes of values, each with the seed of its generator.
    """

    move: np.ndarray | None = None
    fill_value: float = 0.0
    changes: tuple = ()

    def of(self, X, n_threads):
        """The view of samples (n, *size) or (n, *size, n_channels)."""
        if self.move is not None:
            sources = np.repeat(inverse(self.move), len(X), axis=0)
            X = resampled(X, sources, self.fill_value, n_threads)
        for change, seed in self.changes:
            # One by one, so that what a sample gets does not depend on those before it.
            rows = (X[i : i + 1] for i in range(len(X)))
            X = np.concatenate([change._change(row, np.random.RandomState(seed)) for row in rows])
        return X


class TestTimeAugmentation(Transforms, Vote):
    """Averages the predictions for a sample and for changed versions of it.

    The network predicts for each sample as it is and after each of the transforms. Probabilities of
    classes and values are averaged. What has a place in the sample (boxes, points and maps) is
    first moved back by the inverse of the transform: points that are `flip_pairs` change places
    again, the corners of boxes are numbered as in the sample as it is, maps are resampled, and
    averaged over the views that reach a pixel.

    Parameters
    ----------
    transforms : list or tuple
        Transforms or `(name, transform)` pairs, each a view. What is random about a transform is
        drawn once for each view, the same for all samples: list it several times for several draws.
    voting : {"soft", "hard"}, default="soft"
        "soft" is the mean of the views' probabilities, "hard" a majority of the views, for one
        label a sample; boxes are averaged in either case.
    random_state : int, default=0
        Seed of the random transforms.

    See Also
    --------
    sklearn_convnet.multi_crop.MultiCrop : Votes over crops, which training sees as well.

    Notes
    -----
    It helps where the transforms do not change y, and where the network was trained with similar
    ones: a network that has never seen a mirror image errs on them.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.augmentation import RandomAffine, RandomFlip, TestTimeAugmentation
    >>> mirror = TestTimeAugmentation([RandomFlip(horizontal=1.0)])
    >>> clf = ConvNetClassifier(test_time_augmentation=mirror)

    The four quarter turns of images:

    >>> turns = TestTimeAugmentation([RandomAffine(rotation=(d, d)) for d in (90, 180, 270)])
    >>> [view.ravel().tolist() for view in turns.views([[[1, 2], [3, 4]]])]
    [[1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 1.0, 3.0], [4.0, 3.0, 2.0, 1.0], [3.0, 1.0, 4.0, 2.0]]
    """

    __test__ = False  # for pytest, which takes it for a class of tests by its name

    _parameter_constraints = {
        "transforms": "no_validation",
        "voting": [StrOptions({"soft", "hard"})],
        "random_state": [Interval(Integral, 0, 2**32 - 1, closed="both")],
    }

    def __init__(
        self,
        transforms: Sequence[Transform | tuple[str, Transform] | Literal["passthrough"]],
        voting: Literal["soft", "hard"] = "soft",
        random_state: int = 0,
    ) -> None:
        self.transforms = transforms
        self.voting = voting
        self.random_state = random_state

    def draw(self, sample_shape: tuple[int, ...]) -> list[View]:
        """Draw the change of each view.

        Parameters
        ----------
        sample_shape : tuple of int
            Shape of one sample.

        Returns
        -------
        list of View
            The first changes nothing.

        Raises
        ------
        ValueError
            If a parameter is invalid, or a transform is not for such samples.
        """
        self._validate_params()
        shape = (1, *sample_shape)
        views = [transform._steps() for transform in self._checked_transforms()]
        check_axes([step for steps in views for step in steps], shape)
        drawn = (self._view(steps, [self.random_state, i], shape) for i, steps in enumerate(views))
        return [View(), *drawn]

    @staticmethod
    def _view(steps, seed, shape):
        for step in steps:
            if not isinstance(step, (Geometric, Photometric)):
                raise ValueError(
                    f"{type(step).__name__} is no view of one sample: test-time augmentation takes "
                    "transforms that move pixels or change values"
                )
        random_state = np.random.RandomState(seed)
        geometric = [step for step in steps if isinstance(step, Geometric)]
        changes = [step for step in steps if isinstance(step, Photometric)]
        moves = [step._moves(shape, random_state) for step in geometric]
        return View(
            compose(moves) if moves else None,
            shared_fill_value(geometric),
            tuple((change, [*seed, i]) for i, change in enumerate(changes)),
        )

    def views(self, X: ArrayLike, n_threads: int | None = None) -> Iterator[NDArray[Any]]:
        """Samples as they are, then after each transform.

        Parameters
        ----------
        X : array-like of shape (n, *size) or (n, *size, n_channels)
            Samples.
        n_threads : int or None, default=None
            Number of threads; it does not change the result.

        Yields
        ------
        ndarray like X
            float64 if X is, otherwise float32.
        """
        X = np.asarray(X)
        X = np.ascontiguousarray(X, work_dtype(X.dtype))
        for view in self.draw(X.shape[1:]):
            yield view.of(X, effective_n_threads(n_threads))
