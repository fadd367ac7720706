"""The training loop: a fit is epochs, an epoch is batches, a batch is a step.

# Design:
# * Samples stay as the user gave them (bytes, a memory map); a batch is converted when its
#   turn comes.
# * The rows of a pass are cut into batches of nearly equal size, so that the last is not a
#   small remainder whose gradient is mostly noise.
# * A pass makes the same random draws whatever the number of samples, so that a sample of
#   weight 2 and the same sample twice train alike where a batch holds them all.
# * A step has parts, one unless samples differ in size: each goes forward and backward by itself,
#   and the optimiser gets the sum of their gradients. Nothing is padded.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from math import isfinite
from time import perf_counter

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .messages import warn_caller
from .ragged import Ragged, rows_of
from .schedules import as_schedule

#: Values of one sample's largest map times samples that a chunk of a prediction holds.
PREDICT_VALUES = 2**22
PREDICT_ROWS = 256
#: Of so many batches samples are sorted by size, so that those of a batch are alike.
SORTED_BATCHES = 32
#: Tells the generator that mixes a batch from that which augments its parts.
MIXING = 1


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
    X itself is never copied. X, targets and weights of pixels are `Ragged` where samples differ in
    size. `pixel_weight` are the weights of the pixels of maps, where those
    are not all alike; `weight` then has their means. `scale` is a factor on the loss: where
    something is missing in the target, it makes the mean one over what is there.
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
    X, target, weight, share = map(np.concatenate, zip(*arrays, strict=True))
    weighted = parts[0].pixel_weight is not None
    pixel_weight = np.concatenate([part.pixel_weight for part in parts]) if weighted else None
    whole = Samples(X, target, weight, pixel_weight=pixel_weight)
    whole.share = share
    return whole


class StepSums:
    """The sums over the parts of a step: that of their gradients, and the mean of what each makes
    of the running statistics that the step began with.

    Parameters
    ----------
    network : Network
    weight : float
        That of all samples of the step.
    """

    def __init__(self, network, weight):
        self.network, self.weight = network, weight
        self.before = {path: value.copy() for path, value in network.buffers().items()}
        self.changes = {path: np.zeros_like(value) for path, value in self.before.items()}
        self.gradients = 0

    def add(self, weight):
        """Count a part of this weight, after its backward."""
        self.gradients = self.gradients + self.network.grads
        with np.errstate(over="ignore", invalid="ignore"):  # training tells of divergence
            for path, value in self.network.buffers().items():
                self.changes[path] += weight / self.weight * (value - self.before[path])
                value[...] = self.before[path]

    def put(self):
        """Leave the sums on the network, where its optimiser finds them."""
        self.network.grads[:] = self.gradients
        for path, value in self.network.buffers().items():
            value += self.changes[path]


def row_taker(X, network, n_threads):
    """A function that copies rows of X, by threads and in the network's dtype if there is a kernel
    for those of X."""
    if isinstance(X, Ragged):
        return X.__getitem__
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


def shares_of(weight, order, edges):
    """`Samples.share` of the samples of all batches, in order. At once, since to divide a few
    numbers between two steps takes as long as their loss."""
    sizes = np.diff(edges).ravel()
    ordered = weight if order is None else weight[order]
    return ordered / np.repeat(sizes, sizes).astype(weight.dtype)


class Trainer:
    """Trains a network; what it needs to go on is in `state`.

    Parameters
    ----------
    network : Network
        Trained in place.
    loss : Loss
    optimizer : Optimizer
    batch_size : int
    shuffle : bool
    random_state : RandomState
        Draws one number an epoch, which seeds its order, and another if `augment` is given.
    n_threads : int
    state : dict, default=None
        The state of the optimiser and of its schedule; None begins anew.
    augment : callable, default=None
        What is done to each training batch: ``X, target, pixel_weight = augment(X, target,
        pixel_weight, random_state)``. X is a copy in the dtype that the network's first layer
        sees; the generator's seed follows from that of the epoch and the number of the batch.
    mix : callable, default=None
        ``mix(samples, random_state)`` returns the `Samples` of a batch after each was mixed with
        another one; it comes after `augment`, with a generator of its own.
    view : callable, default=None
        What the network sees of X where it does not train; None is all of it.
    use_running : bool, default=False
        Whether batch norms take their running statistics where a batch has none: see
        `Network.forward`.

    Attributes
    ----------
    average : WeightAverage or None
        The mean of the weights, if there is one: what the network holds between epochs.
    learning_rate : float or None
        That of the last step.
    """

    def __init__(
        self,
        network,
        loss,
        optimizer,
        batch_size,
        shuffle,
        random_state,
        n_threads,
        state=None,
        augment=None,
        view=None,
        use_running=False,
        mix=None,
    ):
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.random_state = random_state
        self.n_threads = n_threads
        self.augment = augment
        self.mix = mix
        self.view = view
        self.use_running = use_running
        self.state = state
        self.average = None
        self.schedule = as_schedule(optimizer.learning_rate)
        self.learning_rate = None
        if state is None:
            self.restart()

    def restart(self):
        """Forget the steps so far, but not the weights."""
        self.begin_average()
        self.state = {
            "t": 0,
            "epoch": 0,
            "arrays": self.optimizer.start(self.network),
            "schedule": {},
        }

    def begin_average(self):
        """Average from now on only, if at all: training goes on from what the network holds."""
        if self.average is not None:
            self.average.begin(self.network)

    def _seed(self):
        return self.random_state.randint(2**31 - 1)

    def run_epoch(self, samples, score):
        """One pass over the samples.

        Parameters
        ----------
        samples : Samples
        score : RunningAccuracy or RunningR2
            Gets the outputs of each batch, before the step that it took part in.

        Returns
        -------
        float
            Mean loss over the samples, each before the step that it took part in. It is
            not finite if training diverged; the pass then ends early.
        """
        averaged = self.average is not None
        with self.average.in_training(self.network) if averaged else nullcontext():
            return self._run_steps(samples, score)

    def _run_steps(self, samples, score):
        total = 0.0
        for parts in self.batches(samples):
            loss, outputs = self.run_step(parts)
            total += loss
            if not isfinite(total):
                break
            for part, Z in zip(parts, outputs, strict=True):
                for goal in part.goals:
                    score.add(Z, goal.target, goal.score_weight)
        return total / len(samples)

    def batches(self, samples):
        """The batches of one pass over the samples, in a new order, each as the list of its parts
        that `run_step` takes: one, unless samples differ in size."""
        n = len(samples)
        edges = batches_of(n, self.batch_size, self.network.smallest_batch)
        order, places = None, range(len(edges))
        if self.shuffle:
            random_state = np.random.RandomState(self._seed())
            order = random_state.permutation(n)
            if isinstance(samples.X, Ragged):
                order = samples.like_sizes(order, edges)
                places = random_state.permutation(len(edges))
        augment_seed = self._seed() if self.augment or self.mix else None
        shares = shares_of(samples.weight, order, edges)
        if samples.scale != 1:
            shares = shares * samples.scale
        take_rows = row_taker(samples.X, self.network, self.n_threads)
        for i, place in enumerate(places):
            start, stop = edges[place]
            which = slice(start, stop) if order is None else order[start:stop]
            batch = samples.take(which, take_rows)
            batch.share = shares[start:stop]
            parts = batch.parts()
            if self.augment:
                parts = self._augmented(parts, [augment_seed, i])
            if batch.pixel_weight is not None:
                for part in parts:
                    part.share = part.pixel_weight * (samples.scale / len(batch))
            if self.mix:
                seeds = ([augment_seed, i, j, MIXING] for j in range(len(parts)))
                parts = [self._mixed(*pair) for pair in zip(parts, seeds, strict=True)]
            yield parts

    def _augmented(self, parts, seed):
        """The parts of a batch after `augment`; the first has the batch's seed."""
        changed = []
        for i, part in enumerate(parts):
            random_state = np.random.RandomState([*seed, i] if i else seed)
            changed.append(self._augmented_part(part, random_state))
        return merged(changed) if len(changed) > 1 else changed

    def _augmented_part(self, part, random_state):
        # Rows that were taken are a copy already, a slice of the user's X is not.
        make = np.ascontiguousarray if part.X.flags.owndata else partial(np.array, order="C")
        X = make(part.X, dtype=self.network.input_dtype(part.X.dtype))
        X, target, pixel_weight = self.augment(X, part.target, part.pixel_weight, random_state)
        augmented = Samples(X, target, part.weight, pixel_weight=pixel_weight)
        augmented.share = part.share
        return augmented

    def _mixed(self, part, seed):
        part.X = np.asarray(part.X, self.network.input_dtype(part.X.dtype))
        return self.mix(part, np.random.RandomState(seed))

    def run_step(self, parts):
        """One step of the optimiser.

        Parameters
        ----------
        parts : list of Samples
            The parts of a batch. Each goes forward and backward by itself; their gradients are
            added in this order.

        Returns
        -------
        loss : float
            Sum of the losses.
        outputs : list of ndarray
            Those of each part; of fewer, if the loss is not finite.
        """
        network, total, outputs = self.network, 0.0, []
        sums = None
        if len(parts) > 1:
            weight = sum(np.sum(part.weight, dtype=np.float64) for part in parts)
            sums = StepSums(network, weight)
        for network.part, part in enumerate(parts):
            loss, Z = self._run_part(part)
            total += loss
            if not isfinite(total):
                break
            outputs.append(Z)
            if sums is not None:
                sums.add(np.sum(part.weight, dtype=np.float64))
        network.part = 0
        if isfinite(total):
            if sums is not None:
                sums.put()
            network.step += 1
            self.update()
        return total * sum(map(len, parts)), outputs

    def _run_part(self, part):
        """Its share in the loss, and its outputs without those of auxiliary heads; the gradients
        are then on the network."""
        network = self.network.resized(part.X.shape[1:], training=True)
        Z = network.forward(
            part.X,
            training=True,
            n_threads=self.n_threads,
            sample_weight=part.weight,
            use_running=self.use_running,
        )
        dZ = np.empty(Z.shape, Z.dtype)
        loss = self._loss_and_gradient(Z, part.goals, dZ)
        if isfinite(loss):
            network.backward(dZ, need_input=False, n_threads=self.n_threads)
        return loss, np.ascontiguousarray(Z[..., : network.output_shape[-1]])

    def _loss_and_gradient(self, Z, goals, dZ):
        """The sum of the losses of all goals; `dZ` is filled with its gradient."""
        kernels, loss = self.network.kernels, 0.0
        for goal in goals:
            of_goal = dZ if goal is goals[0] else np.empty_like(dZ)
            loss += self.loss.value_and_gradient(
                Z, goal.target, goal.share, of_goal, kernels, self.n_threads
            )
            if of_goal is not dZ:
                dZ += of_goal
        return loss

    def seen(self, X):
        """The part of X that the network sees where it does not train."""
        return X if self.view is None else self.view(X)

    def evaluate(self, samples, score):
        """Loss and score of the network as it is, without training.

        Parameters
        ----------
        samples : Samples
        score : RunningAccuracy or RunningR2
            Gets the outputs of each batch.

        Returns
        -------
        loss, score : float
        """
        network, total, weight = self.network, 0.0, 0.0
        for part in self._chunks(samples):
            X = self.seen(part.X)
            Z = network.resized(X.shape[1:]).forward(X, n_threads=self.n_threads)
            total += self.loss.value_and_gradient(
                Z, part.target, part.score_weight, None, network.kernels, self.n_threads
            )
            weight += np.sum(part.weight, dtype=np.float64)
            score.add(Z, part.target, part.score_weight)
        return float(total * samples.scale / weight), score.value()

    def _chunks(self, samples):
        """The samples in parts for which a prediction has memory."""
        take_rows = row_taker(samples.X, self.network, self.n_threads)
        order = samples.size_order()
        for start, stop in batches_of(len(samples), chunk_rows(self.network)):
            which = slice(start, stop) if order is None else order[start:stop]
            yield from samples.take(which, take_rows).parts()

    def update(self):
        """Let the optimiser change the network, at the learning rate of its schedule."""
        state = self.state
        rate = self.schedule.rate(state["epoch"], state["t"], state["schedule"])
        state["t"] += 1
        self.optimizer.step(self.network, state["arrays"], state["t"], rate, self.n_threads)
        self.learning_rate = float(rate)
        if self.average is not None:
            optimizer = self.optimizer
            rows, _ = self.network.stretches(optimizer.weight_decay, optimizer.decay_all)
            self.average.update(self.network, rows, self.n_threads)

    def end_epoch(self, score):
        """Count an epoch; the schedule sees its score, the higher the better."""
        self.state["epoch"] += 1
        self.schedule.observe(score, self.state["schedule"])


@dataclass
class Progress:
    """How far a fit has come, and the best of it.

    Attributes
    ----------
    epoch : int
        Number of epochs done.
    best : float
        The best that was seen of what decides when to stop, larger is better.
    best_state : tuple or None
        The weights to go back to at the end, as `Network.snapshot` returns them.
    n_without_improvement : int
        Number of epochs since the last that was better by `tol`.
    stopped : bool
        Whether `after_epoch` has said so.
    origin : dict or None
        What a checkpoint knows the fit by.
    given : tuple or None
        X, y and metadata as `fit` was given them, while callbacks hear that it begins.
    """

    epoch: int = 0
    best: float = -np.inf
    best_state: tuple | None = None
    n_without_improvement: int = 0
    stopped: bool = False
    origin: dict | None = None
    given: tuple | None = None

    def is_over(self, max_iter, n_iter_no_change):
        """True if there is a reason to stop."""
        return (
            self.stopped or self.epoch >= max_iter or self.n_without_improvement >= n_iter_no_change
        )

    def ran_out(self, max_iter, n_iter_no_change):
        """True if `max_iter` is the only reason to stop."""
        return self.epoch >= max_iter and not self.is_over(np.inf, n_iter_no_change)

    def note(self, goal, tol):
        """Adds an epoch; says whether it was the best."""
        self.epoch += 1
        improved = goal >= self.best + tol
        self.n_without_improvement = 0 if improved else self.n_without_improvement + 1
        is_best = goal > self.best
        if is_best:
            self.best = goal
        return is_best


def what_diverged(loss, network):
    """Words for what is not finite after an epoch; None if all is."""
    if not np.isfinite(loss):
        return f"The loss became {loss}"
    buffers = network.buffers()
    if np.isfinite(network.params).all() and all(np.isfinite(b).all() for b in buffers.values()):
        return None
    arrays = [(path, array, "weights") for path, array in network.parameters().items()]
    arrays += [(path, array, "running statistics") for path, array in buffers.items()]
    for path, array, kind in arrays:
        if not np.isfinite(array).all():
            layer, _, name = path.rpartition("/")
            return f"The {kind} of layer {layer!r} ({name}) became infinite or NaN"
    return None


def train(
    trainer,
    samples,
    progress,
    *,
    max_iter,
    new_score,
    validation,
    early_stopping,
    tol,
    n_iter_no_change,
    before_epoch,
    after_epoch,
):
    """Epochs until one of the reasons to stop.

    Parameters
    ----------
    trainer : Trainer
    samples : Samples
    progress : Progress
        Where to go on from; kept up to date.
    max_iter : int
        The largest number of epochs.
    new_score : callable
        Makes a `RunningAccuracy` or `RunningR2`.
    validation : Samples or None
        What to evaluate the network on after each epoch.
    early_stopping : bool
        Whether the validation score decides when to stop and whose weights are kept, and
        not the training loss.
    tol, n_iter_no_change : float, int
        Stop after so many epochs in a row without an improvement by `tol`.
    before_epoch : callable
        Called before each epoch.
    after_epoch : callable
        ``after_epoch(row, seconds)`` is told what was seen, a dict by name; it says whether
        to stop.
    """
    network = trainer.network
    finite = network.snapshot()
    try:
        while not progress.is_over(max_iter, n_iter_no_change):
            before_epoch()
            start = perf_counter()
            score = new_score()
            loss = trainer.run_epoch(samples, score)
            diverged = what_diverged(loss, network)
            if diverged is not None:
                network.restore(finite)
                trainer.restart()  # the optimiser's means may not be finite either
                warn_caller(
                    f"{diverged} in epoch {progress.epoch + 1}: training stopped "
                    "with the last finite weights. Use a smaller learning rate, or scale X "
                    "(Standardize, Rescale).",
                    ConvergenceWarning,
                )
                break
            finite = network.snapshot()
            row = {"loss": loss, "score": score.value()}
            if validation is not None:
                seen = trainer.evaluate(validation, new_score())
                row["validation_loss"], row["validation_score"] = seen
            row["learning_rate"] = trainer.learning_rate
            trainer.end_epoch(row.get("validation_score", -loss))
            goal = row["validation_score"] if early_stopping else -loss
            if progress.note(goal, tol) and early_stopping:
                progress.best_state = finite
            progress.stopped = after_epoch(row, perf_counter() - start)
    except KeyboardInterrupt:
        warn_caller(
            f"Training was interrupted in epoch {progress.epoch + 1}: the weights are those "
            "so far.",
            ConvergenceWarning,
        )
    if progress.best_state is not None:
        network.restore(progress.best_state)
        trainer.begin_average()
    network.release_memory()


def chunk_rows(network):
    """The number of samples of a prediction whose largest map holds PREDICT_VALUES."""
    return max(1, min(PREDICT_ROWS, PREDICT_VALUES // network.largest_map))


def predict_in_chunks(network, X, n_threads, finish=None, seed=None):
    """The network's output, chunk by chunk, so that memory does not grow with X, or what `finish`
    makes of it; with the `seed` of a draw, that of a prediction with dropout."""
    rows, whole = chunk_rows(network), None
    predict = network.forward if seed is None else partial(network.draw, seed=seed)
    for start in range(0, len(X), rows):
        Y = predict(X[start : start + rows], n_threads=n_threads)
        part = Y if finish is None else finish(Y)
        if whole is None:
            if len(part) == len(X):
                whole = part
                break
            whole = np.empty((len(X), *part.shape[1:]), part.dtype)
        whole[start : start + rows] = part
    network.release_memory()
    return whole
