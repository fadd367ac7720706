"""Gradients of a score at the input, and their means."""

from math import prod

import numpy as np

from ..network.activation import ActivationNode
from ..network.node import walk
from ..training import PREDICT_ROWS, PREDICT_VALUES
from .targets import choose

#: Activations that pass on what is large and hold back what is negative.
RECTIFIERS = frozenset({"relu", "leaky_relu", "elu", "gelu", "softplus"})


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

    The integral of the gradient along the line, by the midpoint rule.
    """
    shares = (np.arange(n_points) + 0.5) / n_points

    def along(X, start, stop):
        return baseline + _column(shares[start:stop], X) * (X - baseline)

    G = _mean_gradients(seen, wanted, n_points, along)
    for i in range(len(seen)):
        G[i] *= (seen.rows(slice(i, i + 1)) - baseline)[0]
    return G


def smooth(seen, wanted, n_points, noise, random_state):
    """The mean gradient at copies of a sample with noise."""

    def noisy(X, start, stop):
        deviation = noise * np.ptp(X)
        return X + random_state.normal(scale=deviation, size=(stop - start, *X.shape))

    return _mean_gradients(seen, wanted, n_points, noisy)


def _column(values, X):
    """Values along a new first axis, as numbers for arrays like X."""
    return values.reshape(-1, *[1] * X.ndim)


def _mean_gradients(seen, wanted, n_points, points):
    """The mean gradient at points for each sample, `points(X, start, stop)` of which come at once.

    The outputs that are looked at are those that are wanted of the sample itself.
    """
    network, step = seen.network, gradient_rows(seen.network)
    G = np.empty((len(seen), *network.input_shape), network.dtype)
    for i in range(len(seen)):
        rows = slice(i, i + 1)
        X = seen.rows(rows)
        chosen, Z = chosen_of(seen, wanted, rows, X)
        total = np.zeros(network.input_shape)
        for start in range(0, n_points, step):
            stop = min(start + step, n_points)
            dY = chosen.gradient(Z).repeat(stop - start, axis=0)
            at = points(X[0], start, stop).astype(X.dtype)
            total += network.input_gradient(at, dY, seen.n_threads).sum(axis=0, dtype=np.float64)
        G[i] = total / n_points
    return G


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
    """Whether a node is an activation that is a rectifier."""
    return isinstance(node, ActivationNode) and node.activation in RECTIFIERS


def _by_rule(seen, wanted, rule):
    probe = seen.network.probe()
    G = np.empty((len(seen), *seen.network.input_shape), seen.network.dtype)
    for rows in batches(seen):
        Z = probe.forward(seen.rows(rows), [""], n_threads=seen.n_threads)[""]
        chosen = choose(seen.target, wanted[rows], Z)
        G[rows], _ = probe.backward({"": chosen.gradient(Z)}, rule=rule)
    return G
