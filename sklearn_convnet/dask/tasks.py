"""Functions that run on workers.

# Design:
# * Each is a function of its arguments, which it leaves as they are: whoever computes it, and
#   however often, the result has the same bits. So dask may compute what was lost again.
# * A network is compiled once for each task that runs at a time on a worker: tasks borrow trainers
#   from a `Template`, which lives on the worker as long as the fit needs it.
"""

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from math import isfinite
from queue import Empty, SimpleQueue

import numpy as np
from dask.sizeof import sizeof
from distributed import get_worker

from ..averaging import WeightAverage
from ..batches import Samples, row_taker
from ..kernels import loader
from ..shards import ShardResult
from ..threads import effective_n_threads

#: The largest power of two in float16.
LARGEST_HALF = 2.0**15


@dataclass
class Weights:
    """All of a network that a pass depends on: what goes out to the workers in each step."""

    params: np.ndarray
    buffers: dict
    step: int

    @classmethod
    def of(cls, network):
        """Copies of those of a network."""
        return cls(*network.snapshot(), network.step)

    def put(self, network):
        """Give them to a network."""
        network.restore((self.params, self.buffers))
        network.step = self.step


@dataclass
class State:
    """All that a step changes.

    Attributes
    ----------
    weights : Weights
    training : dict
        The state of the optimiser and of its schedule.
    average : WeightAverage or None
    score : RunningAccuracy or RunningR2
        Of the epoch so far.
    total : float
        Sum of the losses of the epoch so far; if it is not finite, no steps are made any more.
    learning_rate : float or None
        That of the last step.
    """

    weights: Weights
    training: dict
    average: WeightAverage | None
    score: object
    total: float = 0.0
    learning_rate: float | None = None

    @classmethod
    def taken(cls, trainer, score, total):
        """That of a trainer, which loses it."""
        training, average = trainer.state, trainer.average
        trainer.state = trainer.average = None
        weights = Weights.of(trainer.network)
        return cls(weights, training, average, score, total, trainer.learning_rate)

    def put(self, trainer):
        """Give a trainer copies."""
        self.weights.put(trainer.network)
        trainer.state, trainer.average = deepcopy((self.training, self.average))
        trainer.learning_rate = self.learning_rate


@dataclass
class Half:
    """A gradient in float16: `values` are `scale` times as large as it."""

    values: np.ndarray
    scale: float

    @classmethod
    def of(cls, gradient):
        """The nearest one; the scale is a power of two that makes use of the range of float16."""
        largest = float(np.abs(gradient).max(initial=0))
        scale = 1.0
        if 0 < largest < np.inf:
            most = np.finfo(gradient.dtype).maxexp - 2
            scale = 2.0 ** min(np.floor(np.log2(LARGEST_HALF / largest)), most)
        with np.errstate(over="ignore", invalid="ignore"):  # training tells of divergence
            return cls((gradient * gradient.dtype.type(scale)).astype(np.float16), scale)

    def gradient(self, dtype):
        """The gradient again."""
        return self.values.astype(dtype) / dtype.type(self.scale)


@sizeof.register(Samples)
def _size_of_samples(samples):
    arrays = (samples.X, samples.target, samples.weight, samples.pixel_weight)
    return sum(array.nbytes for array in arrays if array is not None)


@sizeof.register(Weights)
def _size_of_weights(weights):
    return weights.params.nbytes + sum(value.nbytes for value in weights.buffers.values())


@sizeof.register(State)
def _size_of_state(state):
    n_copies = 1 + (state.average is not None)
    arrays = state.training["arrays"].values()
    return n_copies * _size_of_weights(state.weights) + sum(array.nbytes for array in arrays)


@sizeof.register(ShardResult)
def _size_of_result(result):
    gradient = result.gradient
    return (gradient.values if isinstance(gradient, Half) else gradient).nbytes


class Template:
    """A trainer, of which tasks borrow copies.

    Parameters
    ----------
    trainer : ShardedTrainer
    variant : str
        Of the kernels, on all workers.
    n_threads : int or None
        Of a task, as an estimator has it; None is what a worker has, shared by the shards on it.
    """

    def __init__(self, trainer, variant, n_threads):
        self.trainer, self.variant, self.n_threads = trainer, variant, n_threads
        self._idle = SimpleQueue()

    def __getstate__(self):
        return self.trainer, self.variant, self.n_threads

    def __setstate__(self, state):
        self.__init__(*state)

    @contextmanager
    def borrowed(self, n_sharing=1):
        """A trainer, for a task beside which others share the worker."""
        try:
            trainer = self._idle.get_nowait()
        except Empty:
            trainer = deepcopy(self.trainer)
            trainer.kept = {}
        if self.n_threads is None:
            n_threads = max(1, get_worker().state.nthreads // n_sharing)
        else:
            n_threads = effective_n_threads(self.n_threads)
        trainer.n_threads = n_threads
        if trainer.augment is not None:
            trainer.augment.n_threads = n_threads
        with loader.using(self.variant):
            yield trainer
        self._idle.put(trainer)


@dataclass(frozen=True)
class Epoch:
    """Numbers that all tasks of an epoch know.

    Attributes
    ----------
    n : int
        Number of samples of all shards.
    order, draws : int or None
        Seeds of the order, and of what is done to batches.
    alone : bool
        Whether a shard makes steps of its own, so that its mean is that of its part of a batch.
    """

    n: int
    order: int | None
    draws: int | None
    alone: bool = False


def pass_of(trainer, samples, shard, epoch):
    """The pass of an epoch over a shard, and its `row_taker`; the last one is kept."""
    kept = trainer.kept.get(shard)
    if kept is None or kept[0] is not samples or kept[1] != epoch:
        ends = trainer.ends(epoch.n)
        one = trainer.pass_of(samples, shard, ends, epoch.order, epoch.alone)
        take_rows = row_taker(samples.X, trainer.network, trainer.n_threads)
        kept = trainer.kept[shard] = samples, epoch, one, take_rows
    return kept[2:]


def with_rows(X, samples):
    """Samples that were sent without their X."""
    return replace(samples, X=np.asarray(X))


def weights_of(state):
    """The part of a state that goes to the workers."""
    return state.weights


def gradient(template, weights, samples, score, shard, i, epoch, n_sharing):
    """The `ShardResult` of a shard for its part of batch i."""
    with template.borrowed(n_sharing) as trainer:
        weights.put(trainer.network)
        one, take_rows = pass_of(trainer, samples, shard, epoch)
        result = trainer.result(one, i, epoch.draws, take_rows, score)
        buffers = {path: value.copy() for path, value in result.buffers.items()}
        return replace(result, gradient=result.gradient.copy(), buffers=buffers)


def half_gradient(residual, *args):
    """The result of `gradient` in float16, and what is lost of it; `residual` was lost before."""
    result = gradient(*args)
    whole = result.gradient if residual is None else result.gradient + residual
    half = Half.of(whole)
    with np.errstate(over="ignore", invalid="ignore"):
        lost = whole - half.gradient(whole.dtype)
    return replace(result, gradient=half), lost


def first(pair):
    """The part of a pair that is sent."""
    return pair[0]


def second(pair):
    """The part of a pair that stays."""
    return pair[1]


def step(template, state, size, *results):
    """The state after a step, of the results of all shards for a batch of a size."""
    if not isfinite(state.total):
        return state
    dtype = state.weights.params.dtype
    with template.borrowed() as trainer:
        state.put(trainer)
        score = deepcopy(state.score)
        whole = (
            replace(r, gradient=r.gradient.gradient(dtype)) if isinstance(r.gradient, Half) else r
            for r in results
        )
        loss, _ = trainer.take_step(whole, score)
        return State.taken(trainer, score, state.total + loss * size)


def own_steps(template, state, samples, shard, batches, epoch, n_sharing):
    """The state of a shard after steps of its own, and how many samples it has seen in them."""
    if not isfinite(state.total):
        return state, 1
    with template.borrowed(n_sharing) as trainer:
        state.put(trainer)
        one, take_rows = pass_of(trainer, samples, shard, epoch)
        score, total, n_seen = state.score.fresh(), 0.0, 0
        for i in batches:
            results = (trainer.result(one, i, epoch.draws, take_rows, score) for _ in range(1))
            loss, _ = trainer.take_step(results, score)
            total, n_seen = total + loss * one.size(i), n_seen + one.size(i)
            if not isfinite(total):
                break
        return State.taken(trainer, score, total), n_seen


def mean_state(before, *states):
    """The mean of the states of all shards, by the samples that each has seen."""
    if not isfinite(before.total):
        return before
    n_seen = sum(n for _, n in states)
    shares = [n / n_seen for _, n in states]

    def mean(arrays):
        total = arrays[0] * arrays[0].dtype.type(shares[0])
        for array, share in zip(arrays[1:], shares[1:], strict=True):
            total += array * array.dtype.type(share)
        return total

    def mean_by_name(parts):
        return {name: mean([part[name] for part in parts]) for name in parts[0]}

    after = [state for state, _ in states]
    weights = Weights(
        mean([state.weights.params for state in after]),
        mean_by_name([state.weights.buffers for state in after]),
        after[0].weights.step,
    )
    training = deepcopy({k: v for k, v in after[0].training.items() if k != "arrays"})
    training["arrays"] = mean_by_name([state.training["arrays"] for state in after])
    average = deepcopy(after[0].average)
    if average is not None:  # the mean of the shards' means is that of the mean weights
        others = [state.average.others for state in after]
        params, buffers = zip(*others, strict=True)
        average.others = mean(params), mean_by_name(buffers)
    score, total = deepcopy(before.score), before.total
    for state in after:
        score.merge(state.score)
        total += state.total
    return State(weights, training, average, score, total, after[0].learning_rate)


def evaluated(template, weights, samples, score, edges, n_sharing):
    """The results of `ShardedTrainer.evaluated` for some chunks of samples."""
    with template.borrowed(n_sharing) as trainer:
        weights.put(trainer.network)
        return [trainer.evaluated(part, score) for part in trainer.chunks(samples, edges)]


def moments(template, weights, samples, sample_weight, i, n_sharing):
    """The moments that node i sees of a shard."""
    with template.borrowed(n_sharing) as trainer:
        network = trainer.network
        weights.put(network)
        seen = network.seen_at(i, trainer.seen_parts(samples, sample_weight))
        return network.fused()[i].moments(seen)
