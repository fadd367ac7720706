"""The training loop: a fit is epochs, an epoch is batches, a batch is a step.

# Design:
# * A pass makes the same random draws whatever the number of samples, so that a sample of
#   weight 2 and the same sample twice train alike where a batch holds them all.
# * A step has parts, one unless samples differ in size: each goes forward and backward by itself,
#   and the optimiser gets the sum of their gradients. Nothing is padded.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from math import isfinite
from time import perf_counter

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .batches import Pass, Samples, batches_of, merged, row_taker
from .beside import apart, beside
from .messages import warn_caller
from .on_demand import ahead
from .ragged import Ragged
from .schedules import as_schedule

#: Values of one sample's largest map times samples that a chunk of a prediction holds.
PREDICT_VALUES = 2**22
PREDICT_ROWS = 256
#: Tells the generator that mixes a batch from that which augments its parts.
MIXING = 1


class StepSums:
    """The sums over what makes a step: of losses, of gradients, and the weighted mean of what each
    part makes of the running statistics that the step began with.

    Parameters
    ----------
    network : Network
        Has these statistics.
    """

    def __init__(self, network):
        self.before = {path: value.copy() for path, value in network.buffers().items()}
        self.changes = {path: np.zeros_like(value) for path, value in self.before.items()}
        self.gradient, self.loss, self.weight = None, 0.0, 0.0

    def add(self, loss, gradient, buffers, weight):
        """Count a part of this weight, of which these are the results."""
        self.loss += loss
        self.weight += weight
        if self.gradient is None:
            self.gradient = gradient.copy()
        else:
            self.gradient += gradient
        with np.errstate(over="ignore", invalid="ignore"):  # training tells of divergence
            for path, value in buffers.items():
                self.changes[path] += weight * (value - self.before[path])

    def take(self, loss, network, weight):
        """Count a part after its backward; the network has the statistics from before it again."""
        self.add(loss, network.grads, network.buffers(), weight)
        self.put_back(network)

    def put_back(self, network):
        """Give a network the statistics that the step began with."""
        for path, value in network.buffers().items():
            value[...] = self.before[path]

    def put(self, network):
        """Leave the sums on the network, where its optimiser finds them."""
        if network.grads is None:  # other processes have computed all that went into the sum
            network.gradients()
        network.grads[:] = self.gradient
        for path, value in network.buffers().items():
            value += self.changes[path] / self.weight


def weight_of(parts):
    """The sum of the weights of all samples of the parts of a batch."""
    return sum(np.sum(part.weight, dtype=np.float64) for part in parts)


def count(parts, outputs, score):
    """Let a score see the outputs of the parts of a batch."""
    for part, Z in zip(parts, outputs, strict=True):
        for goal in part.goals:
            score.add(Z, goal.target, goal.score_weight)


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
        for loss, _ in self.steps(samples, score):
            total += loss
            if not isfinite(total):
                break
        return total / len(samples)

    def steps(self, samples, score=None):
        """Does the steps of one pass over the samples, in a new order.

        Parameters
        ----------
        samples : Samples
        score : RunningAccuracy or RunningR2, default=None
            Gets the outputs of each batch.

        Yields
        ------
        loss : float
            Sum of the losses of a batch, before its step. If it is not finite, there was none.
        weight : float
            Sum of the weights of its samples; only without a score, as it takes as long as their
            loss.
        """
        for parts in self.batches(samples):
            loss, outputs = self.run_step(parts)
            if score is None:
                yield loss, weight_of(parts)
                continue
            if isfinite(loss):
                count(parts, outputs, score)
            yield loss, None

    def largest_pass(self, n):
        """The most samples that go forward together, of n."""
        edges = batches_of(n, self.batch_size, self.network.smallest_batch)
        return max(stop - start for start, stop in edges)

    def epoch_seeds(self):
        """The seed of the order of an epoch, and that of what is done to its batches; None is no
        draw."""
        order = self._seed() if self.shuffle else None
        return order, self._seed() if self.augment or self.mix else None

    def batches(self, samples):
        """The batches of one pass over the samples, in a new order, each as the list of its parts
        that `run_step` takes: one, unless samples differ in size."""
        edges = batches_of(len(samples), self.batch_size, self.network.smallest_batch)
        order_seed, seed = self.epoch_seeds()
        given = Pass(samples, edges, order_seed)
        take_rows = row_taker(samples.X, self.network, self.n_threads)
        for i in range(len(given)):
            yield self.parts_of(given, i, seed, take_rows)

    def parts_of(self, given, i, seed, take_rows):
        """The parts of batch i of a pass, after what is done to them with a seed."""
        batch = given.batch(i, take_rows)
        parts = batch.parts()
        if self.augment:
            seeds = ([seed, i, given.number(j)] for j in range(len(parts)))
            parts = [self._augmented(*pair) for pair in zip(parts, seeds, strict=True)]
            parts = merged(parts) if len(parts) > 1 else parts
        if batch.pixel_weight is not None:
            for part in parts:
                part.share = part.pixel_weight * given.share_of_pixels(i)
        if self.mix:
            seeds = ([seed, i, given.number(j), MIXING] for j in range(len(parts)))
            parts = [self._mixed(*pair) for pair in zip(parts, seeds, strict=True)]
        return parts

    def _augmented(self, part, seed):
        """A part after `augment`; the first of a batch has the batch's seed."""
        random_state = np.random.RandomState(seed if seed[-1] else seed[:-1])
        # Rows that were taken are a copy already, a slice of the user's X is not.
        X, features = apart(part.X)
        make = np.ascontiguousarray if X.flags.owndata else partial(np.array, order="C")
        X = make(X, dtype=self.network.input_dtype(X.dtype))
        X, target, pixel_weight = self.augment(X, part.target, part.pixel_weight, random_state)
        X = beside(X, features)
        augmented = Samples(X, target, part.weight, pixel_weight=pixel_weight)
        augmented.share = part.share
        return augmented

    def _mixed(self, part, seed):
        X, features = apart(part.X)
        part.X = beside(np.asarray(X, self.network.input_dtype(X.dtype)), features)
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
        loss, outputs = self.gradient(parts, range(len(parts)))
        if isfinite(loss):
            self.network.step += 1
            self.update()
        return loss * sum(map(len, parts)), outputs

    def gradient(self, parts, numbers):
        """The mean loss of a batch, or what the parts add to it, and the outputs of each part; the
        gradient is then on the network, with the running statistics after it. `numbers` are those
        of the parts."""
        network, total, outputs = self.network, 0.0, []
        sums = StepSums(network) if len(parts) > 1 else None
        try:
            for network.part, part in zip(numbers, parts, strict=True):
                loss, Z = self._run_part(part)
                total += loss
                if not isfinite(total):
                    break
                outputs.append(Z)
                if sums is not None:
                    sums.take(loss, network, weight_of([part]))
        finally:  # whoever interrupts training goes on with this network
            network.part = 0
        if sums is not None and isfinite(total):
            sums.put(network)
        return total, outputs

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
        if self.view is None:
            return X
        X, features = apart(X)
        return beside(self.view(X), features)

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
        total, weight = 0.0, 0.0
        for part in self.chunks(samples):
            total += self.loss_of(part, score)
            weight += weight_of([part])
        return float(total * samples.scale / weight), score.value()

    def loss_of(self, part, score):
        """The sum of the losses of samples of one size, without training; a score sees them."""
        Z = self.outputs_of(part)
        loss = self.loss_at(Z, part)
        score.add(Z, part.target, part.score_weight)
        return loss

    def outputs_of(self, part):
        """The network's outputs for samples of one size, without training."""
        X = self.seen(part.X)
        return self.network.resized(X.shape[1:]).forward(X, n_threads=self.n_threads)

    def loss_at(self, Z, part):
        """The sum of the losses of samples of one size, at some outputs."""
        return self.loss.value_and_gradient(
            Z, part.target, part.score_weight, None, self.network.kernels, self.n_threads
        )

    def fit_statistics(self, samples, weight, known):
        """Let layers that need statistics of the data compute them.

        Parameters
        ----------
        samples : Samples
        weight : ndarray of shape (n,)
            Their weights.
        known : collection of str
            See `Network.fit_statistics`.
        """
        self.network.fit_statistics(lambda: self.seen_parts(samples, weight), known)

    def seen_parts(self, samples, weight):
        """The samples as the network sees them, some of one size at a time, and their weights."""
        edges = batches_of(len(samples), PREDICT_ROWS)
        taken = samples.in_turn([slice(*edge) for edge in edges])
        for (start, stop), batch in zip(edges, taken, strict=True):
            some, rows = batch.X, np.arange(start, stop)
            if isinstance(some, Ragged):
                for part in some.parts():
                    yield self.seen(some.stacked(part)), weight[rows[part]]
            else:
                yield self.seen(some), weight[start:stop]

    def at_hand(self, samples, which):
        """Some samples, as arrays here."""
        return samples.take(which)

    def chunks(self, samples, edges=None):
        """The samples in parts for which a prediction has memory, or cut at given edges."""
        take_rows = row_taker(samples.X, self.network, self.n_threads)
        order = samples.size_order()
        edges = batches_of(len(samples), chunk_rows(self.network)) if edges is None else edges
        places = [slice(*edge) if order is None else order[slice(*edge)] for edge in edges]
        for some in samples.in_turn(places, take_rows):
            yield from some.parts()

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
    n_planned : int or inf
        The number of epochs after which a training with a plan is done.
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
    n_planned: float = np.inf
    stopped: bool = False
    origin: dict | None = None
    given: tuple | None = None

    def is_over(self, max_iter, n_iter_no_change):
        """True if there is a reason to stop."""
        return (
            self.stopped
            or self.epoch >= min(max_iter, self.n_planned)
            or self.n_without_improvement >= n_iter_no_change
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
    places = [slice(start, start + rows) for start in range(0, len(X), rows)]
    for which in ahead(X, places):
        Y = predict(X[which], n_threads=n_threads)
        part = Y if finish is None else finish(Y)
        if whole is None:
            if len(part) == len(X):
                whole = part
                break
            whole = np.empty((len(X), *part.shape[1:]), part.dtype)
        whole[which] = part
    network.release_memory()
    return whole
