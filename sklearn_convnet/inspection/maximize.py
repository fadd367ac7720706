"""Inputs that excite units most: what these look for."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from sklearn.utils import check_array, check_random_state

from .._typing import RandomState
from ..constraints import Interval, validate_params
from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..layers import Rescale, Standardize
from ..network.activation import ActivationNode
from ..network.network import Network
from .gradients import gradient_rows
from .samples import (
    n_axes_of,
    network_of,
    network_of_samples,
    sample_like_X,
    sample_of,
    target_of,
)
from .targets import is_number, output_index, place, plain

#: Standard deviation of the noise to begin with.
FIRST_NOISE = 0.1


@validate_params(
    {
        "n_steps": [Interval(Integral, 0, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "l2": [Interval(Real, 0, 1, closed="left")],
        "blur": [Interval(Real, 0, None, closed="left")],
        "jitter": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
        "init": ["array-like", None],
    }
)
def maximize_unit(
    estimator_or_network: ConvNetClassifier | ConvNetRegressor | Network,
    layer: str | int | Sequence[str | int],
    unit: Any,
    *,
    n_steps: int = 256,
    learning_rate: float = 0.1,
    l2: float = 0.05,
    blur: float = 0.0,
    jitter: int = 0,
    random_state: RandomState = None,
    init: ArrayLike | None = None,
) -> NDArray[Any]:
    """Learn the sample that excites a unit most, by back-propagation [1]_.

    Starting from noise, each step goes along the gradient of the unit's input, its value before the
    activation, so that a unit that is silent at first learns as well. The gradient is divided by
    its largest magnitude, and is that of a prediction. The estimator is left as it is.

    Steps are made where the data have a mean of 0 and a deviation of 1, if the network begins with
    `Standardize`, or with `Rescale` in its units; otherwise in the units of X.

    Parameters
    ----------
    estimator_or_network : ConvNetClassifier, ConvNetRegressor or Network
        Fitted.
    layer : str, int or list
        The path of a layer, such as "conv2" or "residual1/conv2d1", or its place in `layers_`.
    unit : int, tuple of int, label or list
        The unit of a dense layer; of maps a tuple, the position and the map, ``(row, column,
        map)``, or the map alone: then its mean is what is made large. Of the layer "output" of an
        estimator it is what `target` is in `saliency`, a label for example.

        A list of layers, of units or of both is several units, each with a sample of its own;
        they may be at several depths.
    n_steps : int, default=256
        Number of steps.
    learning_rate : float, default=0.1
        The largest change of a value in a step.
    l2 : float, default=0.05
        Weight decay: the share of each value that a step takes off [2]_. It keeps values at
        most as large as ``learning_rate / l2``, apart from what they began with.
    blur : float, default=0.0
        Standard deviation, in positions, of a Gaussian blur after each step [2]_. It takes away
        patterns from one pixel to the next, which excite units but occur in no data.
    jitter : int, default=0
        The sample is moved by up to this many positions along each axis in each step, at random
        [3]_. So it has to excite the unit wherever it lies.
    random_state : int, RandomState instance or None, default=None
        Seed of the first noise and of the jitter.
    init : array-like of shape sample_shape, default=None
        Sample to begin with, in the units of X. None is noise about the mean of the data, or 0.

    Returns
    -------
    ndarray of shape sample_shape or (n_units, *sample_shape)
        In the units and the order of X, in the dtype that the network computes in. With
        `multi_crop` it is a crop.

    Raises
    ------
    ValueError
        If a parameter is invalid, or there is no such layer or unit.
    TypeError
        If it is no estimator of this package and no network.

    See Also
    --------
    saliency : What counts in a sample that is given.

    References
    ----------
    .. [1] Erhan, Bengio, Courville and Vincent, "Visualizing higher-layer features of a deep
       network", 2009.
    .. [2] Yosinski, Clune, Nguyen, Fuchs and Lipson, "Understanding neural networks through deep
       visualization", 2015.
    .. [3] Mordvintsev, Olah and Tyka, "Inceptionism: going deeper into neural networks", 2015.

    Examples
    --------
    A unit of a single filter looks for that filter:

    >>> import numpy as np
    >>> from sklearn_convnet.inspection import maximize_unit
    >>> from sklearn_convnet.layers import Conv2D
    >>> from sklearn_convnet.network import compile_network
    >>> network = compile_network([Conv2D(1, 5)], (5, 5, 1), dtype="float64")
    >>> filter = network.parameters()["conv2d1/weight"][..., 0]
    >>> X = maximize_unit(network, "conv2d1", (0, 0, 0), random_state=0)
    >>> X.shape
    (5, 5, 1)
    >>> cosine = np.sum(X * filter) / np.linalg.norm(X) / np.linalg.norm(filter)
    >>> bool(cosine > 0.99)
    True
    """
    estimator = estimator_or_network
    network, rng = network_of_samples(estimator), check_random_state(random_state)
    probe = network.probe()
    units = [find_unit(estimator, probe, *pair) for pair in pairs_of(layer, unit)]
    U = first_samples(estimator, init, len(units), rng)
    shifts = rng.randint(-jitter, jitter + 1, size=(n_steps, n_axes_of(estimator)))
    ascent = Ascent(estimator, probe, learning_rate, l2, blur, rng)
    rows = gradient_rows(network)
    for start in range(0, len(units), rows):
        some = slice(start, start + rows)
        U[some] = ascent.run(U[some], units[some], shifts)
    network.release_memory()
    X = sample_like_X(estimator, ascent.to_X(U).astype(network.dtype))
    return X if is_several(layer) or is_several(unit) else X[0]


# --- which units ---------------------------------------------------------------------------


def is_several(value):
    """True if it is a list, a range or an array of layers or units."""
    return isinstance(value, (list, range, np.ndarray))


def pairs_of(layer, unit):
    """A layer and a unit for each of several; one of them may be the same for all.

    Raises
    ------
    ValueError
        If there are not as many layers as units, or none.
    """
    several = [len(value) for value in (layer, unit) if is_several(value)]
    if len(set(several)) > 1:
        raise ValueError(
            f"there are {len(layer)} layers, but {len(unit)} units: give as many, or one of them"
        )
    n = several[0] if several else 1
    if n == 0:
        raise ValueError("there are no units: the list is empty")
    layers, units = (
        [plain(v) for v in value] if is_several(value) else [plain(value)] * n
        for value in (layer, unit)
    )
    return list(zip(layers, units, strict=True))


def find_unit(estimator, probe, layer, unit):
    """The path of a layer, and the gradient of a unit (or of a map's mean) at its output.

    Raises
    ------
    ValueError
        If there is none.
    """
    path, kind = probe.path(layer), target_of(estimator)
    if path == "output" and kind is not None:
        shape = probe.output_shape("")
        path, index = "", output_index(kind, unit, None)
    else:
        shape = probe.output_shape(path)
        if is_number(unit) and len(shape) > 1:
            channel = place(unit, shape[-1:], f"the maps of layer {layer!r}")
            return path, np.broadcast_to(np.arange(shape[-1]) == channel, shape)
        index = place(unit, shape, f"the output of layer {layer!r}")
    gradient = np.zeros(prod(shape))
    gradient[index] = 1
    return path, gradient.reshape(shape)


# --- the ascent ----------------------------------------------------------------------------


def normal_form(network):
    """Mean and deviation of the data, as far as the layers at the beginning of a network tell:
    ``X = mean + deviation U``.

    Returns
    -------
    mean, deviation : ndarray
        That fit the shape of a sample.
    """
    mean, deviation = np.zeros(1), np.ones(1)
    for path, layer, shape, _ in network.table:
        if isinstance(layer, Standardize):
            last = network.buffers()
            by = [last[f"{path}/{name}"] for name in ("mean", "deviation")]
            if layer.per == "value":
                by = [values.reshape(shape) for values in by]
            mean, deviation = mean + deviation * by[0], deviation * by[1]
        elif isinstance(layer, Rescale) and np.all(layer.scale):
            deviation = deviation / np.asarray(layer.scale)
            mean = mean - deviation * np.asarray(layer.offset)
        else:
            break
    return mean, deviation


def first_samples(estimator, init, n, rng):
    """The inputs that the ascent of n units begins with, in normal form."""
    network = network_of(estimator)
    if init is None:
        return rng.normal(scale=FIRST_NOISE, size=(n, *network.input_shape))
    init = check_array(init, ensure_2d=False, allow_nd=True, dtype=np.float64, input_name="init")
    mean, deviation = normal_form(network)
    return np.repeat((sample_of(estimator, init, "init") - mean)[np.newaxis] / deviation, n, axis=0)


class Ascent:
    """Steps along the normalised gradients of units.

    Parameters
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or Network
    probe : Probe
        Of its network.
    learning_rate, l2, blur, rng
        As in `maximize_unit`.
    """

    def __init__(self, estimator, probe, learning_rate, l2, blur, rng):
        network = network_of(estimator)
        self.probe, self.rng = probe, rng
        self.dtype = network.input_dtype(np.float64)
        self.n_threads = getattr(estimator, "n_threads", None)
        self.mean, self.deviation = normal_form(network)
        self.learning_rate, self.l2 = learning_rate, l2
        self.axes = tuple(range(1, n_axes_of(estimator) + 1))
        self.widths = [
            blur if axis in self.axes else 0 for axis in range(1, 1 + len(network.input_shape))
        ]

    def to_X(self, U):
        """Samples in the units of X."""
        return self.mean + self.deviation * U

    def run(self, U, units, shifts):
        """Samples U in normal form after the steps, one for each of these."""
        given, rule = injected(units)
        for shift in shifts:
            X = np.roll(self.to_X(U), shift, self.axes).astype(self.dtype)
            self.probe.forward(X, list(given), n_threads=self.n_threads)
            G, _ = self.probe.backward(given, rule=rule)
            G = self.deviation * np.roll(G, -shift, self.axes)
            U = (1 - self.l2) * (U + self.learning_rate * self.normalised(G))
            if any(self.widths):
                U = ndimage.gaussian_filter(U, [0, *self.widths], mode="nearest")
        return U

    def normalised(self, G):
        """Gradients whose largest magnitude is 1; noise where one is 0 everywhere."""
        others = tuple(range(1, G.ndim))
        silent = ~G.any(axis=others)
        if silent.any():
            G[silent] = self.rng.normal(size=G[silent].shape)
        return G / np.abs(G).max(axis=others, keepdims=True)


def injected(units):
    """The gradients at the layers of units, a sample each, and the rule of their way back: each
    passes the activation of its own layer as it is."""
    given, passing = {}, {}
    for i, (path, gradient) in enumerate(units):
        batch = given.setdefault(path, np.zeros((len(units), *gradient.shape)))
        batch[i] = gradient
        passing.setdefault(path, []).append(i)

    def rule(node, dY, backward):
        dX = backward(dY)
        own = passing.get(node.path.removesuffix("/activation"))
        if own is None or not isinstance(node, ActivationNode):
            return dX
        dX = dX.copy()
        dX[own] = dY[own]
        return dX

    return given, rule
