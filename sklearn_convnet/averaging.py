"""The mean of the weights of the last steps, which predicts better than those of the last one.

# Design:
# * There are two sets of weights and statistics: those that training changes, and their means. The
#   network holds the first in an epoch and the second after it. So whatever is done between epochs,
#   or after a fit, sees the means and need not know of them: predictions, validation, snapshots,
#   callbacks, checkpoints.
# * The other set is here, beside the state of the optimiser: a copy or a pickle goes on with the
#   same bits.
"""

from contextlib import contextmanager

import numpy as np


class WeightAverage:
    """An exponential mean of a network's weights and running statistics.

    After each step ``mean = d mean + (1 - d) weights``, with ``d = min(decay, (1 + t) / (10 + t))``
    in step t: so the first weights, which are random, count for little in a short fit too. That
    averages do better is due to Polyak and Juditsky, "Acceleration of stochastic approximation by
    averaging", 1992; the exponential form with this beginning is TensorFlow's
    ``ExponentialMovingAverage``.

    Parameters
    ----------
    network : Network
        Holds what the mean begins with.
    decay : float
        Share of the mean that a step keeps in the end, between 0 and 1.

    Attributes
    ----------
    n_steps : int
        Number of steps that the mean was told of.
    others : tuple
        A snapshot of a network: of the two sets of weights and statistics the one that the network
        does not hold.
    """

    def __init__(self, network, decay):
        self.decay = decay
        self.begin(network)

    def begin(self, network):
        """Begin anew, with what the network holds both as the weights and as their mean."""
        self.n_steps = 0
        self.others = network.snapshot()

    def leave(self, network):
        """Give the network the weights of the last step, in the place of their mean."""
        network.restore(self.others)

    def hold(self, network):
        """Let training go on from the means of what is frozen, so that these stay as they are."""
        params, buffers = self.others
        frozen = [segment for segment in network.segments if not segment.trainable]
        for segment in frozen:
            where = slice(segment.start, segment.stop)
            params[where] = network.params[where]
        layers = {segment.path.rpartition("/")[0] for segment in frozen}
        for path, value in network.buffers().items():
            if path.rpartition("/")[0] in layers:
                buffers[path][...] = value

    @contextmanager
    def in_training(self, network):
        """Inside, the network holds the weights of the last step; before and after, their mean."""
        self._exchange(network)
        try:
            yield
        finally:
            self._exchange(network)

    def _exchange(self, network):
        others = self.others
        self.others = network.snapshot()
        network.restore(others)

    def update(self, network, rows, n_threads):
        """Take a step into account, in training.

        Parameters
        ----------
        network : Network
            Holds the weights after the step.
        rows : int64 ndarray of shape (n, 2)
            Where stretches of the vector that are trained begin and end.
        n_threads : int
            Number of threads; it changes no bit.
        """
        self.n_steps += 1
        params, buffers = self.others
        rest = 1 - min(self.decay, (1 + self.n_steps) / (10 + self.n_steps))
        # A step of gradient descent: the gradient, mean - weights, is zero for what is not trained.
        ones = np.ones(len(rows), params.dtype)
        step = network.kernels.sgd_step
        step(params, network.params, None, rows, ones, rest, -1.0, 0.0, False, n_threads)
        with np.errstate(over="ignore", invalid="ignore"):  # training tells of divergence
            for path, value in network.buffers().items():
                buffers[path] += rest * (value - buffers[path])


def next_average(average, decay, network):
    """The average that an epoch goes on with, or begins.

    Parameters
    ----------
    average : WeightAverage or None
        That of the last epoch.
    decay : float or None
        None gives the network back the weights of the last step, but for those of frozen layers.
    network : Network

    Returns
    -------
    WeightAverage or None
    """
    if average is None:
        return None if decay is None else WeightAverage(network, decay)
    average.hold(network)
    if decay is None:
        average.leave(network)
        return None
    average.decay = decay
    return average
