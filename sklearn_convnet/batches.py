"""Samples with targets and weights, and how a pass over them is cut into batches.

# Design:
# * Samples stay as the user gave them (bytes, a memory map); a batch is converted when its
#   turn comes.
# * The rows of a pass are cut into batches of nearly equal size, so that the last is not a
#   small remainder whose gradient is mostly noise.
# * A batch may have shards, each with rows of its own: those of a shard lie next to each other,
#   whatever the epoch, so that they can be where the others are not. What a shard does depends on
#   no other.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise

import numpy as np

from .beside import WithFeatures, apart, beside
from .on_demand import OnDemand, ahead
from .ragged import Ragged, rows_of

#: Of so many batches samples are sorted by size, so that those of a batch are alike.
SORTED_BATCHES = 32


@dataclass
class Goal:
    """Targets of a batch: the shares of the samples in its loss, and their weights in the score."""

    target: np.ndarray
    share: np.ndarray
    score_weight: np.ndarray


@dataclass
class Samples:
    """Samples with targets and weights, as a batch needs them.

    `rows` says which rows of X they are, in the order of `target` and `weight`; None is all.
    X itself is never copied; features may lie `beside` it. X, targets and weights of pixels are
    `Ragged` where samples differ in size. `pixel_weight` are the weights of the pixels of maps,
    where those are not all alike; `weight` then has their means. `scale` is a factor on the loss:
    where something is missing in the target, it makes the mean one over what is there.
    """

    X: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    rows: np.ndarray | None = None
    pixel_weight: np.ndarray | None = None
    scale: float = 1.0

    def __len__(self):
        return len(self.target)

    @cached_property
    def share(self):
        """The share of each sample in the mean of a batch of them all."""
        return self.weight / np.asarray(len(self), self.weight.dtype)

    @property
    def score_weight(self):
        """The weights of samples, or those of pixels."""
        return self.weight if self.pixel_weight is None else self.pixel_weight

    @cached_property
    def goals(self):
        """The targets that loss and score are sums over: one, or for mixed samples several."""
        return [Goal(self.target, self.share, self.score_weight)]

    def take(self, which, take_rows=None):
        """Some of them; `take_rows` is what `row_taker` has made for X."""
        rows = which if self.rows is None else self.rows[which]
        X = self.X[rows] if take_rows is None or isinstance(rows, slice) else take_rows(rows)
        pixel_weight = None if self.pixel_weight is None else self.pixel_weight[which]
        return Samples(X, self.target[which], self.weight[which], pixel_weight=pixel_weight)

    def expect(self, which):
        """Let X, which is `OnDemand`, read some of them."""
        self.X.expect(which if self.rows is None else self.rows[which])

    def in_turn(self, selections, take_rows=None):
        """Some of them after others; X may be read ahead."""
        rows = selections if self.rows is None else [self.rows[which] for which in selections]
        for which, _ in zip(selections, ahead(self.X, rows), strict=True):
            yield self.take(which, take_rows)

    def between(self, start, stop):
        """Those from one place to another; X is left as it is."""
        rows = np.arange(start, stop) if self.rows is None else self.rows[start:stop]
        pixel_weight = None if self.pixel_weight is None else self.pixel_weight[start:stop]
        of_these = self.target[start:stop], self.weight[start:stop]
        return Samples(self.X, *of_these, rows, pixel_weight, self.scale)

    def parts(self):
        """The samples of each size: these themselves where X is an array."""
        if not isinstance(self.X, Ragged):
            return [self]
        return [self._part(rows) for rows in self.X.parts()]

    def _part(self, rows):
        pixel_weight = None if self.pixel_weight is None else rows_of(self.pixel_weight, rows)
        part = Samples(
            self.X.stacked(rows),
            rows_of(self.target, rows),
            self.weight[rows],
            pixel_weight=pixel_weight,
        )
        part.share = self.share[rows]
        return part

    def size_order(self):
        """Their numbers by size, or None where X is an array."""
        if not isinstance(self.X, Ragged):
            return None
        return np.argsort(self._rank, kind="stable")

    @property
    def _rank(self):
        return self.X.rank if self.rows is None else self.X.rank[self.rows]

    def like_sizes(self, order, edges):
        """An order in which batches are of like sizes: sorted within `SORTED_BATCHES` of them."""
        order, rank = order.copy(), self._rank
        for first in range(0, len(edges), SORTED_BATCHES):
            start, stop = edges[first][0], edges[first : first + SORTED_BATCHES][-1][1]
            some = order[start:stop]
            order[start:stop] = some[np.argsort(rank[some], kind="stable")]
        return order


def merged(parts):
    """Parts, those of one size together: what is cropped differs no more."""
    together = {}
    for part in parts:
        together.setdefault((part.X.shape[1:], part.X.dtype), []).append(part)
    return [_joined(alike) if len(alike) > 1 else alike[0] for alike in together.values()]


def _joined(parts):
    arrays = [(part.X, part.target, part.weight, part.share) for part in parts]
    X, target, weight, share = map(_concatenated, zip(*arrays, strict=True))
    weighted = parts[0].pixel_weight is not None
    pixel_weight = np.concatenate([part.pixel_weight for part in parts]) if weighted else None
    whole = Samples(X, target, weight, pixel_weight=pixel_weight)
    whole.share = share
    return whole


def _concatenated(parts):
    """Arrays one after the other; of samples, with what is beside them."""
    arrays, features = zip(*map(apart, parts), strict=True)
    return beside(np.concatenate(arrays), None if features[0] is None else np.concatenate(features))


def row_taker(X, network, n_threads):
    """A function that copies rows of X, by threads and in the network's dtype if there is a kernel
    for those of X."""
    if isinstance(X, (Ragged, OnDemand)):
        return X.__getitem__
    if isinstance(X, WithFeatures):
        take_samples = row_taker(X.X, network, n_threads)
        return lambda rows: WithFeatures(take_samples(rows), X.features[rows])
    if X.ndim > 2 and not X.flags.c_contiguous:
        given = np.moveaxis(X, -1, 1)
        if given.flags.c_contiguous:  # channels first: so its rows lie in memory
            take_given = row_taker(given, network, n_threads)
            return lambda rows: np.moveaxis(take_given(rows), 1, -1)
    kernels = network.kernels
    taking = {network.dtype: kernels.take_rows, np.dtype(np.uint8): kernels.take_bytes}
    kernel = taking.get(X.dtype)
    if X.flags.carray and kernel is None:
        return partial(X.take, axis=0)  # of another array it would first copy all
    if kernel is None or not (X.flags.c_contiguous and X.flags.aligned):
        return X.__getitem__
    flat = X.reshape(len(X), -1)

    def take(rows):
        taken = np.empty((len(rows), *X.shape[1:]), network.dtype)
        kernel(flat, np.ascontiguousarray(rows, np.int64), taken.reshape(len(rows), -1), n_threads)
        return taken

    return take


def batches_of(n, batch_size, smallest=1):
    """Where the batches of nearly equal size begin and end; rather than that one has less than
    `smallest` samples, there is a batch less, unless `batch_size` is less itself."""
    n_batches = -(-n // batch_size)
    if smallest <= batch_size:
        n_batches = min(n_batches, max(1, n // smallest))
    edges = [n * i // n_batches for i in range(n_batches + 1)]
    return list(pairwise(edges))


def shares_of(weight, order, edges, sizes=None):
    """`Samples.share` of the samples of all batches, in order. At once, since to divide a few
    numbers between two steps takes as long as their loss. `sizes` are those of the batches, where
    this is a part of each."""
    own = np.diff(edges).ravel()
    ordered = weight if order is None else weight[order]
    return ordered / np.repeat(own if sizes is None else sizes, own).astype(weight.dtype)


# ---------------------------------------------------------------------------
# Shards
# ---------------------------------------------------------------------------


def ends_of_shards(n, n_shards):
    """Where the rows of each shard begin and end, among n."""
    return list(pairwise(n * s // n_shards for s in range(n_shards + 1)))


def ends_of_batches(n, batch_size, smallest, n_shards):
    """Where the parts of the batches end in each shard, among its own rows.

    Returns
    -------
    ndarray of shape (n_shards, n_batches + 1)
        Beginning with 0.

    Raises
    ------
    ValueError
        If a part would have less than `smallest` samples.
    """
    lengths = [stop - start for start, stop in ends_of_shards(n, n_shards)]
    if min(min(lengths), batch_size // n_shards) < smallest:
        raise ValueError(
            f"n_shards={n_shards} cuts a batch of {min(n, batch_size)} samples into as many parts, "
            f"each of which needs {smallest} or more, in a fit of n_samples={n}: use "
            f"{n_shards * smallest} samples or more (batch_size), or fewer shards"
        )
    # As many batches as without shards, unless one is too large then: if n_shards does not divide
    # batch_size, it may be.
    few, many = -(-n // batch_size), -(-max(lengths) // (batch_size // n_shards))
    fits = np.diff(_ends(lengths, few)).sum(axis=0).max() <= batch_size
    return _ends(lengths, min(few if fits else many, min(lengths) // smallest))


def _ends(lengths, n_batches):
    """Where batches end in each of the shards. Which of the batches of a shard are the larger ones
    differs from shard to shard, so that whole batches are of nearly equal size."""
    first = np.arange(len(lengths)) * n_batches // len(lengths)
    ends = np.multiply.outer(lengths, np.arange(n_batches + 1)) + first[:, np.newaxis]
    return ends // n_batches


class Pass:
    """One pass over samples, all or those of a shard: the batches that it is cut into.

    Parameters
    ----------
    samples : Samples
    edges : list of (int, int)
        Where batches, or the parts of them that are here, begin and end.
    seed : int or None
        Of the order; None is that of the samples.
    shard, n_shards : int, default=0, 1
        Number of the shard, and how many there are.
    sizes : ndarray of shape (n_batches,), default=None
        Number of samples in each batch, of all shards.
    """

    def __init__(self, samples, edges, seed, shard=0, n_shards=1, sizes=None):
        self.samples, self.edges = samples, edges
        self.shard, self.n_shards = shard, n_shards
        self.sizes = np.diff(edges).ravel() if sizes is None else sizes
        self.order, self.places = None, range(len(edges))
        if seed is not None:
            self._shuffle(seed)
        self.shares = shares_of(samples.weight, self.order, edges, self.sizes)
        if samples.scale != 1:
            self.shares = self.shares * samples.scale

    def _shuffle(self, seed):
        random_state = np.random.RandomState(seed if self.n_shards == 1 else [seed, self.shard])
        self.order = random_state.permutation(len(self.samples))
        if isinstance(self.samples.X, Ragged):
            self.order = self.samples.like_sizes(self.order, self.edges)
            if self.n_shards > 1:  # a batch has the same place in all of them
                random_state = np.random.RandomState([seed, self.n_shards])
            self.places = random_state.permutation(len(self.edges))

    def __len__(self):
        return len(self.edges)

    def batch(self, i, take_rows):
        """The samples of batch i that are here; `take_rows` is what `row_taker` has made. Of the
        next batch X may be read meanwhile."""
        start, stop = self.edges[self.places[i]]
        if isinstance(self.samples.X, OnDemand):
            for j in range(i, min(i + 2, len(self))):
                self.samples.expect(self._which(j))
        batch = self.samples.take(self._which(i), take_rows)
        batch.share = self.shares[start:stop]
        return batch

    def _which(self, i):
        """The places of the samples of batch i."""
        start, stop = self.edges[self.places[i]]
        return slice(start, stop) if self.order is None else self.order[start:stop]

    def size(self, i):
        """Number of samples in batch i, of all shards."""
        return int(self.sizes[self.places[i]])

    def share_of_pixels(self, i):
        """The factor that makes shares in the loss of batch i of weights of pixels."""
        return self.samples.scale / self.size(i)

    def number(self, part):
        """The number of a part of a batch among those of all shards, of which none need know how
        many another has."""
        return part * self.n_shards + self.shard
