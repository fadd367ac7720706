"""The scores of a pass over samples, gathered batch by batch from the network's outputs.

# Design:
# * A score sees what the loss sees: the last layer's output before any link function, the
#   encoded target and the weights. So a training pass has its score without a second
#   forward, and a validation pass needs no more memory than a batch.
# * Small batches are counted some at a time: between two steps of a small network, where the
#   kernels have emptied the caches, a few lines of numpy take as long as a layer.
"""

import numpy as np

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
            self._count_waiting()

    def value(self):
        """The score so far; nan of nothing."""
        if self._waiting:
            self._count_waiting()
        return self._value()

    def _count_waiting(self):
        waiting, self._waiting, self._n_waiting = self._waiting, [], 0
        one = len(waiting) == 1  # a copy of a large one would be for nothing
        self._count(*(waiting[0] if one else map(np.concatenate, zip(*waiting, strict=True))))

    def _count(self, Z, target, weight):
        raise NotImplementedError(type(self))

    def _value(self):
        raise NotImplementedError(type(self))


class RunningAccuracy(_RunningScore):
    """The weighted share of right outputs.

    Parameters
    ----------
    right : callable
        `right(Z, target)`, of shape (n,): which share of each sample's outputs is right.
    """

    def __init__(self, right):
        super().__init__()
        self.right = right
        self.total, self.weight = 0.0, 0.0

    def _count(self, Z, target, weight):
        self.total += float(np.dot(self.right(Z, target).astype(np.float64), weight))
        self.weight += float(weight.sum(dtype=np.float64))

    def _value(self):
        return self.total / self.weight if self.weight else np.nan


class RunningR2(_RunningScore):
    """The coefficient of determination, averaged over the outputs, as `r2_score` has it.

    The spread of the targets is merged part by part, as by Chan, Golub and LeVeque (1983),
    relative to the first target: what is constant has a spread of exactly 0.

    Parameters
    ----------
    inverse_link : callable, default=None
        What makes values of the network's outputs, if they are no values yet.
    """

    def __init__(self, inverse_link=None):
        super().__init__()
        self.inverse_link = inverse_link
        self.origin = None
        self.weight = self.mean = self.spread = self.error = 0.0

    def _count(self, Z, target, weight):
        y = target.reshape(len(target), -1).astype(np.float64)
        w = np.asarray(weight, np.float64)[:, None]
        added = w.sum()
        if added == 0:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # training tells of divergence
            values = Z if self.inverse_link is None else self.inverse_link(Z)
            self.error = self.error + (w * (y - values.reshape(y.shape)) ** 2).sum(axis=0)
        if self.origin is None:
            self.origin = y[0].copy()
        y -= self.origin
        batch_mean = (w * y).sum(axis=0) / added
        shift = batch_mean - self.mean
        total = self.weight + added
        self.spread = self.spread + (w * (y - batch_mean) ** 2).sum(axis=0)
        self.spread = self.spread + shift**2 * (self.weight * added / total)
        self.mean = self.mean + shift * (added / total)
        self.weight = total

    def _value(self):
        # An output that is constant counts 1 if it is met, else 0.
        if self.weight == 0:
            return np.nan
        constant = self.spread == 0
        share = self.error / np.where(constant, 1.0, self.spread)
        return float(np.mean(1 - np.where(constant, self.error > 0, share)))
