"""Optimisers: rules for a step, given the gradient.

# Design:
# * An optimiser is a spec, as a layer is; its state is a dict of flat arrays in the layout
#   of the network's parameters, so that a pickle or a copy of it goes on with the same bits.
# * A step is one kernel call over stretches of that layout: clipping, decay and update are
#   one pass over memory. Only the norm that clipping needs reads the gradients before.
# * The learning rate of a step is an argument: the trainer asks the schedule for it.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval

from .network.network import Network
from .parameters import Parametrized
from .schedules import Schedule, as_schedule

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop"]

_POSITIVE = [Interval(Real, 0, None, closed="neither")]
_SHARE = [Interval(Real, 0, 1, closed="left")]
_DECAY = [Interval(Real, 0, None, closed="left")]

#: PyTorch adds it to the norm by which it divides.
_NORM_EPSILON = 1e-6


class Optimizer(Parametrized):
    """Base class of the optimisers.

    A subclass has the parameters `learning_rate`, `weight_decay`, `decay_all` and
    `clip_norm`, besides its own, and says which kernel makes its step.
    """

    _parameter_constraints: dict = {
        "learning_rate": [*_POSITIVE, Schedule],
        "weight_decay": _DECAY,
        "decay_all": ["boolean"],
        "clip_norm": [*_POSITIVE, None],
    }
    #: Name of the kernel.
    _kernel = ""

    def _validate_params(self):
        super()._validate_params()
        as_schedule(self.learning_rate)._validate_params()

    def _state_names(self):
        """The arrays of its state, in the order in which the kernel takes them; None for one
        that the options do without."""
        raise NotImplementedError(type(self))

    def _options(self, t):
        """Arguments of the kernel after the learning rate and the scale of the gradients."""
        raise NotImplementedError(type(self))

    def start(self, network: Network) -> dict[str, NDArray[Any]]:
        """The state before the first step.

        Parameters
        ----------
        network : Network
            The one that is to be trained.

        Returns
        -------
        dict of str to ndarray
        """
        state = {}
        self._arrays(state, network)
        return state

    def _arrays(self, state, network):
        """The arrays of a state that the kernel takes, in order; zeros are added to the state for
        what options that changed between two steps need."""
        names = self._state_names()
        for name in names:
            if name is not None and name not in state:
                state[name] = np.zeros_like(network.params)
        return [None if name is None else state[name] for name in names]

    def step(
        self, network: Network, state: dict[str, Any], t: int, learning_rate: float, n_threads: int
    ) -> None:
        """Change the network's parameters, given its gradients.

        Parameters
        ----------
        network : Network
            Its `params` are updated in place.
        state : dict
            As `start` returned it; updated in place.
        t : int
            Number of the step, from 1.
        learning_rate : float
            That of this step.
        n_threads : int
            Number of threads.
        """
        rows, decay = network.stretches(self.weight_decay, self.decay_all)
        getattr(network.kernels, self._kernel)(
            network.params,
            network.grads,
            *self._arrays(state, network),
            rows,
            decay,
            learning_rate,
            self._clip_scale(network, rows, n_threads),
            *self._options(t),
            n_threads,
        )

    def _clip_scale(self, network, rows, n_threads):
        """The factor that brings the norm of all gradients together down to `clip_norm`."""
        if self.clip_norm is None:
            return 1.0
        norm = network.kernels.global_norm(network.grads, rows, n_threads)
        return min(1.0, self.clip_norm / (norm + _NORM_EPSILON))


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum.

    ``v = momentum v + g`` and ``w = w - learning_rate v``, where ``g`` is the gradient plus
    ``weight_decay w``; with Nesterov's momentum ``g + momentum v`` stands for ``v`` in the
    second (Sutskever et al., 2013, in the form that PyTorch has).

    Parameters
    ----------
    learning_rate : float or Schedule, default=0.01
        Step size.
    momentum : float, default=0.0
        Share of the last step that is kept.
    nesterov : bool, default=False
        Whether to use Nesterov's form of momentum.
    weight_decay : float, default=0.0
        L2 penalty on weights, added to the gradient.
    decay_all : bool, default=False
        Whether biases, and scales and offsets of norms, are decayed like the weights.
    clip_norm : float, default=None
        If the norm of the gradients of all trained parameters together is larger, they are scaled
        down to it, before weight decay.

    Examples
    --------
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.optimizers import SGD
    >>> clf = ConvNetClassifier(optimizer=SGD(momentum=0.9))
    >>> clf.set_params(optimizer__learning_rate=0.1).optimizer
    SGD(learning_rate=0.1, momentum=0.9)
    """

    _parameter_constraints = {
        **Optimizer._parameter_constraints,
        "momentum": _SHARE,
        "nesterov": ["boolean"],
    }
    _kernel = "sgd_step"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.weight_decay = weight_decay
        self.decay_all = decay_all
        self.clip_norm = clip_norm

    def _state_names(self):
        return ("velocity" if self.momentum else None,)

    def _options(self, t):
        return self.momentum, self.nesterov


class Adagrad(Optimizer):
    """Adagrad: steps divided by the root of the sum of squared gradients.

    ``s = s + g^2`` and ``w = w - learning_rate g / (sqrt(s) + epsilon)``: Duchi, Hazan and
    Singer, "Adaptive subgradient methods for online learning and stochastic optimization",
    2011.

    Parameters
    ----------
    learning_rate : float or Schedule, default=0.01
        Step size at the start.
    epsilon : float, default=1e-10
        Added to the root.
    weight_decay : float, default=0.0
        L2 penalty on weights, added to the gradient.
    decay_all : bool, default=False
        Whether biases, and scales and offsets of norms, are decayed like the weights.
    clip_norm : float, default=None
        If the norm of the gradients of all trained parameters together is larger, they are scaled
        down to it, before weight decay.

    Examples
    --------
    >>> from sklearn_convnet.optimizers import Adagrad
    >>> Adagrad(learning_rate=0.1)
    Adagrad(learning_rate=0.1)
    """

    _parameter_constraints = {**Optimizer._parameter_constraints, "epsilon": _POSITIVE}
    _kernel = "adagrad_step"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        epsilon: float = 1e-10,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.decay_all = decay_all
        self.clip_norm = clip_norm

    def _state_names(self):
        return ("square",)

    def _options(self, t):
        return (self.epsilon,)


class RMSprop(Optimizer):
    """RMSprop: steps divided by the root of a running mean of the squared gradient.

    ``s = alpha s + (1 - alpha) g^2``, ``v = momentum v + g / (sqrt(s) + epsilon)`` and
    ``w = w - learning_rate v``: Tieleman and Hinton, lecture 6.5 of "Neural networks for
    machine learning", 2012, in the form that PyTorch has.

    Parameters
    ----------
    learning_rate : float or Schedule, default=0.01
        Step size.
    alpha : float, default=0.99
        Share of the running means that is kept.
    epsilon : float, default=1e-8
        Added to the root.
    momentum : float, default=0.0
        Share of the last step that is kept.
    centered : bool, default=False
        Whether the square of the running mean of the gradient is subtracted, so that the root is
        the gradient's standard deviation (Graves, 2013).
    weight_decay : float, default=0.0
        L2 penalty on weights, added to the gradient.
    decay_all : bool, default=False
        Whether biases, and scales and offsets of norms, are decayed like the weights.
    clip_norm : float, default=None
        If the norm of the gradients of all trained parameters together is larger, they are scaled
        down to it, before weight decay.

    Examples
    --------
    >>> from sklearn_convnet.optimizers import RMSprop
    >>> RMSprop(learning_rate=1e-3, momentum=0.9)
    RMSprop(learning_rate=0.001, momentum=0.9)
    """

    _parameter_constraints = {
        **Optimizer._parameter_constraints,
        "alpha": _SHARE,
        "epsilon": _POSITIVE,
        "momentum": _SHARE,
        "centered": ["boolean"],
    }
    _kernel = "rmsprop_step"

    def __init__(
        self,
        learning_rate: float | Schedule = 0.01,
        alpha: float = 0.99,
        epsilon: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.epsilon = epsilon
        self.momentum = momentum
        self.centered = centered
        self.weight_decay = weight_decay
        self.decay_all = decay_all
        self.clip_norm = clip_norm

    def _state_names(self):
        return (
            "square",
            "mean" if self.centered else None,
            "velocity" if self.momentum else None,
        )

    def _options(self, t):
        return self.alpha, self.epsilon, self.momentum


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    Kingma and Ba, "Adam: a method for stochastic optimization", 2015.

    Parameters
    ----------
    learning_rate : float or Schedule, default=0.001
        Step size.
    beta_1, beta_2 : float, default=0.9, 0.999
        Share of the running means that is kept.
    epsilon : float, default=1e-8
        Added to the root of the mean square.
    weight_decay : float, default=0.0
        L2 penalty on weights, added to the gradient.
    decay_all : bool, default=False
        Whether biases, and scales and offsets of norms, are decayed like the weights.
    clip_norm : float, default=None
        If the norm of the gradients of all trained parameters together is larger, they are scaled
        down to it, before weight decay.

    Examples
    --------
    >>> from sklearn_convnet.optimizers import Adam
    >>> Adam(learning_rate=3e-4)
    Adam(learning_rate=0.0003)
    """

    _parameter_constraints = {
        **Optimizer._parameter_constraints,
        "beta_1": _SHARE,
        "beta_2": _SHARE,
        "epsilon": _POSITIVE,
    }
    _kernel = "adam_step"
    _decoupled = False

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        decay_all: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.weight_decay = weight_decay
        self.decay_all = decay_all
        self.clip_norm = clip_norm

    def _state_names(self):
        return "mean", "square"

    def _options(self, t):
        return self.beta_1, self.beta_2, self.epsilon, t, self._decoupled


class AdamW(Adam):
    """AdamW: Adam with decoupled weight decay, which its running means do not see.

    Each step subtracts ``learning_rate weight_decay w`` from the weights, besides Adam's step:
    Loshchilov and Hutter, "Decoupled weight decay regularization", 2019.

    Parameters
    ----------
    learning_rate : float or Schedule, default=0.001
        Step size.
    beta_1, beta_2 : float, default=0.9, 0.999
        Share of the running means that is kept.
    epsilon : float, default=1e-8
        Added to the root of the mean square.
    weight_decay : float, default=0.01
        Share of the weights that a step of size 1 subtracts.
    decay_all : bool, default=False
        Whether biases, and scales and offsets of norms, are decayed like the weights.
    clip_norm : float, default=None
        If the norm of the gradients of all trained parameters together is larger, they are scaled
        down to it.

    Examples
    --------
    >>> from sklearn_convnet.optimizers import AdamW
    >>> from sklearn_convnet.schedules import CosineDecay
    >>> AdamW(CosineDecay(1e-3, period=30), weight_decay=0.05)
    AdamW(learning_rate=CosineDecay(initial=0.001, period=30), weight_decay=0.05)
    """

    _decoupled = True

    def __init__(
        self,
        learning_rate: float | Schedule = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        decay_all: bool = False,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, decay_all, clip_norm)


#: By name; "auto" is what it is where nobody knows better.
OPTIMIZERS = {
    "auto": Adam,
    "sgd": SGD,
    "adagrad": Adagrad,
    "rmsprop": RMSprop,
    "adam": Adam,
    "adamw": AdamW,
}
#: The same names, for annotations.
OptimizerName = Literal["auto", "adam", "adamw", "rmsprop", "adagrad", "sgd"]
