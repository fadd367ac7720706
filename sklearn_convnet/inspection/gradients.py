"""Gradients of a score at the input, and their means."""

from itertools import islice
from math import prod

import numpy as np

from ..network.activation import ActivationNode
from ..network.node import walk
from ..training import PREDICT_ROWS, PREDICT_VALUES
from .targets import choose

#: Activations that pass on what is large and hold back what is negative.
RECTIFIERS = frozenset(
    {"relu", "leaky_relu", "elu", "gelu", "softplus", "relu6", "silu", "hard_swish"}
)

#: The sum of integrated gradients is right within this share of what it should be; for that there
#: are up to so many times three times as many points.
COMPLETE, MOST_REFINEMENTS = 0.01, 2


def gradient_rows(network):
    """The number of samples of a pass forward and back, all maps of which have to be kept: as many
    as four of the largest chunks of a prediction."""
    kept = prod(network.input_shape) + sum(prod(node.output_shape) for node in walk(network.nodes))
    return max(1, min(PREDICT_ROWS, 4 * PREDICT_VALUES // kept))


def batches(seen):
    """Slices of the samples that go forward and back together."""
    rows = gradient_rows(seen.network)
    return [slice(start, start + rows) for start in range(0, len(seen), rows)]


def chosen_of(seen, wanted, rows, X):
    """The outputs that are wanted of some samples X, and the output of the network for them."""
    Z = seen.network.forward(X, n_threads=seen.n_threads)
    return choose(seen.target, wanted[rows], Z), Z


def gradient(seen, wanted):
    """The gradient of each score at its sample, of shape (n, *input_shape)."""
    network = seen.network
    G = np.empty((len(seen), *network.input_shape), network.dtype)
    for rows in batches(seen):
        X = seen.rows(rows)
        chosen, Z = chosen_of(seen, wanted, rows, X)
        G[rows] = network.input_gradient(X, chosen.gradient(Z), seen.n_threads)
    return G


def gradient_x_input(seen, wanted):
    """The gradient times the sample."""
    G = gradient(seen, wanted)
    for rows in batches(seen):
        G[rows] *= seen.rows(rows)
    return G


def integrated(seen, wanted, n_points, baseline):
    """The mean gradient along the line from the baseline to a sample, times their difference.

    The integral of the gradient along the line by the midpoint rule, with three times as many
    points, those before among them, while the sum is not yet the difference of the two scores.
    """
    network, n_threads = seen.network, seen.n_threads
    G = np.empty((len(seen), *network.input_shape), network.dtype)
    for i, X, chosen, Z in _one_by_one(seen, wanted):
        start = np.broadcast_to(baseline, X.shape).astype(X.dtype)
        first = chosen.scores(network.forward(start, n_threads=n_threads))
        gain = (chosen.scores(Z) - first).item()
        total, n, shares = 0.0, n_points, (np.arange(n_points) + 0.5) / n_points
        for _ in range(MOST_REFINEMENTS + 1):
            points = (start + share * (X - start) for share in shares.tolist())
            total += _sum_at(points, network, chosen.gradient(Z), n_threads)
            G[i] = (X - start)[0] * total / n
            if abs(G[i].sum(dtype=np.float64) - gain) <= COMPLETE * abs(gain):
                break
            thirds = (np.arange(3 * n) + 0.5) / (3 * n)
            n, shares = 3 * n, np.delete(thirds, np.s_[1::3])
    return G


def smooth(seen, wanted, n_points, share, random_state):
    """The mean gradient at copies of a sample with noise: the same for each sample, whatever lies
    beside it, but for its deviation."""
    seed = random_state.randint(2**31 - 1)
    G = np.empty((len(seen), *seen.network.input_shape), seen.network.dtype)
    for i, X, chosen, Z in _one_by_one(seen, wanted):
        deviation = share * np.ptp(X)
        rng = np.random.RandomState(seed)
        noises = (rng.normal(scale=deviation, size=X.shape) for _ in range(n_points))
        points = (X + noise.astype(X.dtype) for noise in noises)
        G[i] = _sum_at(points, seen.network, chosen.gradient(Z), seen.n_threads) / n_points
    return G


def _one_by_one(seen, wanted):
    """Number, sample, what is wanted of it and the output of the network, as batches of one."""
    for i in range(len(seen)):
        X = seen.rows(slice(i, i + 1))
        yield i, X, *chosen_of(seen, wanted, slice(i, i + 1), X)


def _sum_at(points, network, dY, n_threads):
    """The sum of the gradients at points, batches of one, in float64."""
    total = np.zeros(network.input_shape)
    rows = gradient_rows(network)
    while batch := list(islice(points, rows)):
        dX = network.input_gradient(np.concatenate(batch), dY.repeat(len(batch), axis=0), n_threads)
        total += dX.sum(axis=0, dtype=np.float64)
    return total


# --- other ways back through a rectifier ---------------------------------------------------


def guided(seen, wanted):
    """The gradient, of which what is negative does not pass a rectifier."""

    def rule(node, dY, backward):
        return backward(np.maximum(dY, 0) if rectifies(node) else dY)

    return _by_rule(seen, wanted, rule)


def deconvnet(seen, wanted):
    """The same, but rectifiers pass all that is positive, whatever they did to the sample."""

    def rule(node, dY, backward):
        return np.maximum(dY, 0) if rectifies(node) else backward(dY)

    return _by_rule(seen, wanted, rule)


def rectifies(node):
    """True if a node is an activation that is a rectifier."""
    return isinstance(node, ActivationNode) and node.activation in RECTIFIERS


def _by_rule(seen, wanted, rule):
    probe = seen.network.probe()
    G = np.empty((len(seen), *seen.network.input_shape), seen.network.dtype)
    for rows in batches(seen):
        Z = probe.forward(seen.rows(rows), [""], n_threads=seen.n_threads)[""]
        chosen = choose(seen.target, wanted[rows], Z)
        G[rows], _ = probe.backward({"": chosen.gradient(Z)}, rule=rule)
    return G
