"""Steps whose gradients are added shard by shard: gradient accumulation.

# Design:
# * A shard is some of the samples, next to each other, and its part of each batch. What it
#   does in a step is a function of the weights that the step begins with, its own samples and
#   numbers that seed its draws. It knows of no other shard, so it may be computed anywhere.
# * Everything that shards make is put together in their order: losses, gradients, running
#   statistics, scores, moments of the data. Who computed what changes no bit.
"""

from dataclasses import dataclass
from functools import partial
from itertools import chain, pairwise
from math import isfinite

import numpy as np

from .batches import Pass, ends_of_batches, ends_of_shards, row_taker
from .moments import RunningMoments
from .training import StepSums, Trainer, count, weight_of


@dataclass
class ShardResult:
    """The result of a shard for its part of a batch.

    Attributes
    ----------
    loss : float
        What it adds to the mean loss of the batch.
    gradient : ndarray of shape (n_params,)
    buffers : dict of str to ndarray
        Running statistics, as it leaves those that the step began with.
    weight : float
        Sum of the weights of its samples.
    score : RunningAccuracy or RunningR2 or None
        Of its samples.
    """

    loss: float
    gradient: np.ndarray
    buffers: dict
    weight: float
    score: object


class ShardedTrainer(Trainer):
    """Trains with batches in shards.

    Parameters
    ----------
    n_shards : int
        More than one.
    *args, **params
        Those of `Trainer`.
    """

    def __init__(self, n_shards, *args, **params):
        self.n_shards = n_shards
        super().__init__(*args, **params)

    def shards_of(self, samples):
        """The samples of each shard."""
        ends = ends_of_shards(len(samples), self.n_shards)
        return [samples.between(start, stop) for start, stop in ends]

    def ends(self, n):
        """Where the parts of the batches end in each shard of n samples."""
        return ends_of_batches(n, self.batch_size, self.network.smallest_batch, self.n_shards)

    def largest_pass(self, n):
        return int(np.diff(self.ends(n)).max())

    def passes(self, samples, seed):
        """A pass over the samples of each shard, in an order that the seed says."""
        ends = self.ends(len(samples))
        shards = enumerate(self.shards_of(samples))
        return [self.pass_of(some, shard, ends, seed) for shard, some in shards]

    def pass_of(self, samples, shard, ends, seed, alone=False):
        """A pass over the samples of one shard, perhaps in batches of its own."""
        edges = list(pairwise(ends[shard].tolist()))
        sizes = None if alone else np.diff(ends).sum(axis=0)
        return Pass(samples, edges, seed, shard, self.n_shards, sizes)

    def steps(self, samples, score=None):
        order_seed, seed = self.epoch_seeds()
        passes = self.passes(samples, order_seed)
        take_rows = row_taker(samples.X, self.network, self.n_threads)
        for i in range(len(passes[0])):
            results = (self.result(one, i, seed, take_rows, score) for one in passes)
            loss, weight = self.take_step(results, score)
            yield loss * passes[0].size(i), weight

    def result(self, one, i, seed, take_rows, score):
        """The result of a shard for its part of batch i, with arrays of the network, and a score of
        the kind of `score`."""
        network, parts = self.network, self.parts_of(one, i, seed, take_rows)
        loss, outputs = self.gradient(parts, [one.number(j) for j in range(len(parts))])
        if score is not None:
            score = score.fresh()
            if isfinite(loss):
                count(parts, outputs, score)
                score.count_waiting()
        return ShardResult(loss, network.grads, network.buffers(), weight_of(parts), score)

    def take_step(self, results, score):
        """One step of the optimiser.

        Parameters
        ----------
        results : iterable of ShardResult
            Those of all shards, in order. The network may compute each when it is asked for.
        score : RunningAccuracy or RunningR2 or None
            Takes in theirs.

        Returns
        -------
        loss : float
            Mean loss of the batch. If it is not finite, there was no step.
        weight : float
            Sum of the weights of its samples.
        """
        network = self.network
        sums = StepSums(network)
        for result in results:
            sums.add(result.loss, result.gradient, result.buffers, result.weight)
            sums.put_back(network)
            if not isfinite(sums.loss):
                break
            if score is not None:
                score.merge(result.score)
        else:
            sums.put(network)
            network.step += 1
            self.update()
        return sums.loss, sums.weight

    def evaluate(self, samples, score):
        parts = (self.evaluated(part, score) for part in self.chunks(samples))
        return evaluation(parts, samples.scale, score)

    def evaluated(self, part, score):
        """The sum of the losses of samples of one size, their weight, and their score, of the kind
        of `score`."""
        score = score.fresh()
        loss = self.loss_of(part, score)
        score.count_waiting()
        return loss, weight_of([part]), score

    def fit_statistics(self, samples, weight, known):
        ends = ends_of_shards(len(samples), self.n_shards)
        shards = [
            partial(self.seen_parts, some, weight[start:stop])
            for some, (start, stop) in zip(self.shards_of(samples), ends, strict=True)
        ]
        for i, node in self.network.nodes_to_measure(known):
            if hasattr(node, "moments"):
                seen = (self.network.seen_at(i, batches()) for batches in shards)
                node.use_moments(merged_moments(map(node.moments, seen)))
            else:  # a layer of the user's own
                every = chain.from_iterable(batches() for batches in shards)
                node.fit_statistics(self.network.seen_at(i, every))


def evaluation(parts, scale, score):
    """Loss and score of samples, of what `ShardedTrainer.evaluated` tells of their parts."""
    total = weight = 0.0
    for loss, added, counted in parts:
        total += loss
        weight += added
        score.merge(counted)
    return float(total * scale / weight), score.value()


def merged_moments(parts):
    """The moments of all that parts have seen, in their order."""
    whole = RunningMoments()
    for part in parts:
        whole.merge(part)
    return whole
