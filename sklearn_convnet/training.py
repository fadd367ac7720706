"""The training loop: a fit is epochs, an epoch is batches, a batch is a step.

# Design:
# * Samples stay as the user gave them (bytes, a memory map); a batch is converted when its
#   turn comes.
# * The rows of a pass are cut into batches of nearly equal size, so that the last is not a
#   small remainder whose gradient is mostly noise.
# * A pass makes the same random draws whatever the number of samples, so that a sample of
#   weight 2 and the same sample twice train alike where a batch holds them all.
"""

import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .schedules import as_schedule

#: Values of one sample's largest map times samples that a chunk of a prediction holds.
PREDICT_VALUES = 2**23
PREDICT_ROWS = 1024


@dataclass
class Samples:
    """Samples with targets and weights, as a batch needs them."""

    X: np.ndarray
    target: np.ndarray
    weight: np.ndarray

    def __len__(self):
        return len(self.X)

    def take(self, rows):
        return Samples(self.X[rows], self.target[rows], self.weight[rows])


def batches_of(n, batch_size):
    """Where the batches of nearly equal size begin and end."""
    n_batches = -(-n // batch_size)
    edges = [n * i // n_batches for i in range(n_batches + 1)]
    return list(pairwise(edges))


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
        Draws one number an epoch, which seeds its order.
    n_threads : int
    state : dict, default=None
        The state of the optimiser and of its schedule; None begins anew.

    Attributes
    ----------
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
    ):
        self.network = network
        self.loss = loss
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.random_state = random_state
        self.n_threads = n_threads
        self.state = state
        self.schedule = as_schedule(optimizer.learning_rate)
        self.learning_rate = None
        if state is None:
            self.restart()

    def restart(self):
        """Forget the steps so far, but not the weights."""
        self.state = {
            "t": 0,
            "epoch": 0,
            "arrays": self.optimizer.start(self.network),
            "schedule": {},
        }

    def run_epoch(self, samples):
        """One pass over the samples.

        Returns
        -------
        float
            Mean loss over the samples, each before the step that it took part in. It is
            not finite if training diverged; the pass then ends early.
        """
        n = len(samples)
        order = None
        if self.shuffle:
            seed = self.random_state.randint(2**31 - 1)
            order = np.random.RandomState(seed).permutation(n)
        total = 0.0
        for start, stop in batches_of(n, self.batch_size):
            rows = slice(start, stop) if order is None else order[start:stop]
            total += self.run_step(samples.take(rows))
            if not np.isfinite(total):
                break
        return total / n

    def run_step(self, batch):
        """One step of the optimiser; returns the sum of the losses."""
        network = self.network
        Z = network.forward(
            batch.X,
            training=True,
            n_threads=self.n_threads,
            sample_weight=batch.weight,
        )
        dZ = np.empty_like(Z)
        total = self.loss.value_and_gradient(
            Z,
            batch.target,
            batch.weight / np.asarray(len(batch), Z.dtype),
            dZ,
            network.kernels,
            self.n_threads,
        )
        if np.isfinite(total):
            network.backward(dZ, need_input=False, n_threads=self.n_threads)
            network.step += 1
            self.update()
        return total * len(batch)

    def update(self):
        """Let the optimiser change the network, at the learning rate of its schedule."""
        state = self.state
        rate = self.schedule.rate(state["epoch"], state["t"], state["schedule"])
        state["t"] += 1
        self.optimizer.step(self.network, state["arrays"], state["t"], rate, self.n_threads)
        self.learning_rate = float(rate)

    def end_epoch(self, score):
        """Count an epoch; the schedule sees its score, the higher the better."""
        self.state["epoch"] += 1
        self.schedule.observe(score, self.state["schedule"])


@dataclass
class History:
    """What was seen, epoch by epoch, and the best of it."""

    loss: list
    validation_score: list
    learning_rate: list
    best_loss: float = np.inf
    best_score: float = -np.inf
    best_state: tuple | None = None
    n_without_improvement: int = 0

    def note(self, loss, score, learning_rate, network, tol):
        """Adds an epoch; of the scores, the best one's weights are kept."""
        self.loss.append(loss)
        self.learning_rate.append(learning_rate)
        if score is None:
            improved = loss <= self.best_loss - tol
        else:
            self.validation_score.append(score)
            improved = score >= self.best_score + tol
        self.n_without_improvement = 0 if improved else self.n_without_improvement + 1
        self.best_loss = min(loss, self.best_loss)
        if score is not None and score > self.best_score:
            self.best_score = score
            self.best_state = network.snapshot()


def train(trainer, samples, max_iter, *, score, history, tol, n_iter_no_change, verbose):
    """Epochs until one of the reasons to stop; returns their number.

    Parameters
    ----------
    trainer : Trainer
    samples : Samples
    max_iter : int
        The largest number of epochs.
    score : callable or None
        The validation score of the network as it is, if that decides when to stop.
    history : History
        Gets an entry an epoch.
    tol, n_iter_no_change : float, int
        Stop after so many epochs in a row without an improvement by `tol`.
    verbose : bool
        Print a row an epoch.
    """
    network = trainer.network
    finite = network.snapshot()
    epoch = 0
    try:
        for epoch in range(1, max_iter + 1):
            loss = trainer.run_epoch(samples)
            if not (np.isfinite(loss) and np.isfinite(network.params).all()):
                network.restore(finite)
                trainer.restart()  # the optimiser's means may not be finite either
                warn(
                    f"The loss became {loss} in epoch {epoch}: training stopped with "
                    "the last finite weights. Use a smaller learning rate, or scale X "
                    "(Standardize, Rescale)."
                )
                break
            finite = network.snapshot()
            validation_score = score() if score else None
            trainer.end_epoch(-loss if score is None else validation_score)
            history.note(loss, validation_score, trainer.learning_rate, network, tol)
            if verbose:
                report(epoch, history)
            if history.n_without_improvement >= n_iter_no_change:
                break
    except KeyboardInterrupt:
        warn(f"Training was interrupted in epoch {epoch}: the weights are those so far.")
    if history.best_state is not None:
        network.restore(history.best_state)
    return len(history.loss)


def warn(problem):
    """Says that training ended too early, where the user called `fit`."""
    warnings.warn(problem, ConvergenceWarning, stacklevel=6)


def report(n_epochs, history):
    """Prints the row of an epoch."""
    row = f"epoch {n_epochs:4d}   loss {history.loss[-1]:.6f}"
    if history.validation_score:
        row += f"   validation score {history.validation_score[-1]:.6f}"
    print(row)


def predict_in_chunks(network, X, n_threads):
    """The network's output, chunk by chunk, so that memory does not grow with X."""
    largest = max(int(np.prod(shape)) for *_, shape in network.table)
    rows = max(1, min(PREDICT_ROWS, PREDICT_VALUES // largest))
    Y = np.empty((len(X), *network.output_shape), network.dtype)
    for start in range(0, len(X), rows):
        Y[start : start + rows] = network.forward(X[start : start + rows], n_threads=n_threads)
    return Y
