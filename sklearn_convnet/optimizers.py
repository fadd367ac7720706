"""Optimisers: rules for a step, given the gradient.

# Design:
# * An optimiser is a spec, as a layer is; its state is a dict of flat arrays in the layout
#   of the network's parameters, so that a pickle or a copy of it goes on with the same bits.
# * A step is one kernel call over stretches of that layout.
"""

from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from .kernels import loader

_RATE = [Interval(Real, 0, None, closed="neither")]
_SHARE = [Interval(Real, 0, 1, closed="left")]
_DECAY = [Interval(Real, 0, None, closed="left")]


def stretches(segments, weight_decay):
    """The parts of the parameter vector to update, and the weight decay of each.

    Neighbouring segments of equal decay are one stretch; the zeros between them, which
    round a segment up to whole cache lines, have zero gradients and stay zero.
    """
    rows, decay = [], []
    mergeable = False
    for segment in segments:
        wanted = weight_decay if segment.decayed else 0.0
        if not segment.trainable:
            mergeable = False
        elif mergeable and decay[-1] == wanted:
            rows[-1][1] = segment.stop
        else:
            rows.append([segment.start, segment.stop])
            decay.append(wanted)
            mergeable = True
    return np.array(rows, np.int64).reshape(-1, 2), decay


class Optimizer(BaseEstimator):
    """Base class of the optimisers."""

    _parameter_constraints: dict = {}
    #: Names of the arrays of its state.
    _state_names = ()

    def start(self, network):
        """The state before the first step.

        Parameters
        ----------
        network : Network

        Returns
        -------
        dict of str to ndarray
        """
        return {name: np.zeros_like(network.params) for name in self._state_names}

    def step(self, network, state, t, n_threads):
        """Change the network's parameters, given its gradients.

        Parameters
        ----------
        network : Network
            Its `params` are updated in place.
        state : dict
            As `start` returned it; updated in place.
        t : int
            Number of the step, from 1.
        n_threads : int
            Number of threads.
        """
        rows, decay = stretches(network.segments, self.weight_decay)
        decay = np.array(decay, network.dtype)
        self._step(network, state, rows, decay, t, n_threads)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum.

    ``v = momentum v + g`` and ``w = w - learning_rate v``, where ``g`` is the gradient plus
    ``weight_decay w``; with Nesterov's momentum ``g + momentum v`` stands for ``v`` in the
    second (Sutskever et al., 2013, in the form that PyTorch has).

    Parameters
    ----------
    learning_rate : float, default=0.01
        Length of a step.
    momentum : float, default=0.0
        Share of the last step that is kept.
    nesterov : bool, default=False
        Whether the gradient is followed once more after the momentum.
    weight_decay : float, default=0.0
        L2 penalty on weights; biases have none.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.optimizers import SGD
    >>> clf = ConvNetClassifier(optimizer=SGD(momentum=0.9))
    >>> clf.set_params(optimizer__learning_rate=0.1).optimizer
    SGD(learning_rate=0.1, momentum=0.9)
    """

    _parameter_constraints = {
        "learning_rate": _RATE,
        "momentum": _SHARE,
        "nesterov": ["boolean"],
        "weight_decay": _DECAY,
    }
    _state_names = ("velocity",)

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=0.0):
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay

    def _step(self, network, state, rows, decay, t, n_threads):
        loader.kernels(network.dtype).sgd_step(
            network.params,
            network.grads,
            state["velocity"],
            rows,
            decay,
            self.learning_rate,
            self.momentum,
            self.nesterov,
            n_threads,
        )


class Adam(Optimizer):
    """Steps scaled by running means of the gradient and of its square.

    Kingma and Ba, "Adam: a method for stochastic optimization", 2015.

    Parameters
    ----------
    learning_rate : float, default=0.001
        Length of a step.
    beta_1, beta_2 : float, default=0.9, 0.999
        Share of the running means that is kept.
    epsilon : float, default=1e-8
        Added to the root of the mean square.
    weight_decay : float, default=0.0
        L2 penalty on weights, added to the gradient; biases have none.

    Examples
    --------
    >>> from sklearn_convnet.optimizers import Adam
    >>> Adam(learning_rate=3e-4)
    Adam(learning_rate=0.0003)
    """

    _parameter_constraints = {
        "learning_rate": _RATE,
        "beta_1": _SHARE,
        "beta_2": _SHARE,
        "epsilon": _RATE,
        "weight_decay": _DECAY,
    }
    _state_names = ("mean", "square")

    def __init__(
        self,
        learning_rate=0.001,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        weight_decay=0.0,
    ):
        self.learning_rate = learning_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.weight_decay = weight_decay

    def _step(self, network, state, rows, decay, t, n_threads):
        loader.kernels(network.dtype).adam_step(
            network.params,
            network.grads,
            state["mean"],
            state["square"],
            rows,
            decay,
            self.learning_rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
            t,
            False,
            n_threads,
        )


OPTIMIZERS = {"sgd": SGD, "adam": Adam}
