"""The scores of a pass over samples, gathered batch by batch from the network's outputs.

# Design:
# * A score sees what the loss sees: the last layer's output before any link function, the
#   encoded target and the weights. So a training pass has its score without a second
#   forward, and a validation pass needs no more memory than a batch.
# * Small batches are counted some at a time: between two steps of a small network, where the
#   kernels have emptied the caches, a few lines of numpy take as long as a layer.
"""

import numpy as np

from .moments import RunningMoments

#: So many numbers of outputs are counted at once; fewer wait for more.
AT_ONCE = 2**14


class _RunningScore:
    """Gathers batches; a subclass counts them."""

    def __init__(self):
        self._waiting, self._n_waiting = [], 0

    def add(self, Z, target, weight):
        """Counts a batch of outputs Z. The arrays must not change any more."""
        self._waiting.append((Z, target, weight))
        self._n_waiting += Z.size
        if self._n_waiting >= AT_ONCE:
            self.count_waiting()

    def value(self):
        """The score so far; nan of nothing."""
        self.count_waiting()
        return self._value()

    def fresh(self):
        """A score of the same kind, of nothing."""
        raise NotImplementedError(type(self))

    def merge(self, other):
        """Counts all that another one of the kind has seen, after what this one has."""
        for score in (self, other):
            score.count_waiting()
        self._merge(other)

    def _merge(self, other):
        raise NotImplementedError(type(self))

    def count_waiting(self):
        """Counts what waits for more, so that its arrays are free."""
        waiting, self._waiting, self._n_waiting = self._waiting, [], 0
        alike = {}  # maps may differ in size
        for batch in waiting:
            alike.setdefault(batch[0].shape[1:], []).append(batch)
        for some in alike.values():
            one = len(some) == 1  # a copy of a large one would be for nothing
            self._count(*(some[0] if one else map(np.concatenate, zip(*some, strict=True))))

    def _count(self, Z, target, weight):
        raise NotImplementedError(type(self))

    def _value(self):
        raise NotImplementedError(type(self))


class RunningAccuracy(_RunningScore):
    """The weighted share of right outputs.

    Parameters
    ----------
    right : callable
        `right(Z, target)`: what is right of each sample, of shape (n,), a share perhaps; or of
        each pixel, of the shape of `target`, where codes below 0 do not count.
    """

    def __init__(self, right):
        super().__init__()
        self.right = right
        self.total, self.weight = 0.0, 0.0

    def fresh(self):
        return RunningAccuracy(self.right)

    def _merge(self, other):
        self.total += other.total
        self.weight += other.weight

    def _count(self, Z, target, weight):
        right = self.right(Z, target)
        if right.ndim > 1:
            weight = weight_of_pixels(weight, target.shape) * (target >= 0)
        self.total += float(np.sum(right * weight, dtype=np.float64))
        self.weight += float(weight.sum(dtype=np.float64))

    def _value(self):
        return self.total / self.weight if self.weight else np.nan


def weight_of_pixels(weight, shape):
    """Weights of samples, or of pixels already, as those of pixels; perhaps read-only."""
    return np.broadcast_to(weight.reshape(*weight.shape, *[1] * (len(shape) - weight.ndim)), shape)


class RunningR2(_RunningScore):
    """The coefficient of determination, as `r2_score` has it; what is NaN in the target is left
    out.

    Parameters
    ----------
    inverse_link : callable, default=None
        What makes values of the network's outputs, if they are no values yet.
    scale : ndarray of shape (n_outputs,), default=None
        Factor of each output, or of each value of a pixel, where outputs share a unit. Their
        errors and spreads are then summed before they are divided, so that an output that hardly
        varies counts little ("variance_weighted"). None is the mean over the outputs.
    pooled : bool, default=False
        Whether all pixels of maps ``(n, *map_size, n_values)`` are values of the same outputs, as
        they are where maps differ in size, and not each an output.
    """

    def __init__(self, inverse_link=None, scale=None, pooled=False):
        super().__init__()
        self.pooled = pooled
        self.inverse_link = inverse_link
        self.scale = scale
        self.moments = RunningMoments()
        self.error = 0.0

    def fresh(self):
        return RunningR2(self.inverse_link, self.scale, self.pooled)

    def _merge(self, other):
        self.error = self.error + other.error
        self.moments.merge(other.moments)

    def _count(self, Z, target, weight):
        if self.pooled:
            weight = weight_of_pixels(weight, target.shape[:-1]).reshape(-1)
            Z, target = (array.reshape(-1, array.shape[-1]) for array in (Z, target))
        y = target.reshape(len(target), -1).astype(np.float64)
        w = weight_of_pixels(weight, target.shape).reshape(y.shape)
        with np.errstate(over="ignore", invalid="ignore"):  # training tells of divergence
            values = Z if self.inverse_link is None else self.inverse_link(Z)
            squares = (y - values.reshape(y.shape)) ** 2
            squares[np.isnan(y)] = 0
            self.error = self.error + (w * squares).sum(axis=0)
        self.moments.add(y, w)

    def _value(self):
        error, spread, seen = self.error, self.moments.spread, self.moments.weight > 0
        if not seen.any():
            return np.nan
        if self.scale is not None:
            square = np.resize(self.scale, len(spread)) ** 2
            varies = spread > 0 if spread.any() else seen  # as scikit-learn has it
            error, spread = (np.sum(square * part, where=varies) for part in (error, spread))
            seen = True
        # An output that is constant counts 1 if it is met, else 0.
        constant = spread == 0
        share = np.where(constant, error > 0, error / np.where(constant, 1.0, spread))
        return float(np.mean(1 - share, where=seen))
