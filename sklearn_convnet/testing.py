"""Checks of what every layer must satisfy, for layers of one's own.

# Design:
# * Each check is a function of a `Subject`, layers and the shape of a sample, and raises
#   AssertionError. `check_layer` runs them all; the package's tests run them over a table of its
#   own layers.
# * Nothing is an `assert`, so that the checks hold under ``python -O`` as well.
# * Of a kink (a rectifier, a maximum) the numbers tell: there two differences of unequal width
#   disagree. The gradient in question has no say in what is left out.
"""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import prod
from typing import NamedTuple

import numpy as np
from sklearn.base import clone

from .layers import Activation, Dense, Layer, Sequential
from .layers.composition import with_channels
from .network import compile_network
from .network.node import walk

__all__ = ["check_layer"]

DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
STEP = 1e-4  # of central differences
RTOL = 5e-6  # of gradients in float64, relative to the largest
FLOOR = 1e-3  # gradients below it count as zero


def check_layer(
    layer: Layer, input_shape: tuple[int, ...], *, bounds: tuple[float, float] = (-1.5, 1.5)
) -> None:
    """Check a layer, and the node that executes it, against what every layer must satisfy.

    * Parameters: `__init__` stores them and does nothing else, each has a constraint, and `clone`,
      `set_params`, `repr` and pickles work. Making a network of the layer changes none.
    * Shapes and dtypes are what `output_shape` says, for an empty batch too.
    * Gradients at the input and the weights are those of central differences of fourth order in
      float64, alone and between other layers. Places next to a kink are left out.
    * So is the gradient at the input at a prediction, which changes nothing on the network.
    * Backward fills the gradients and does not add to them, with and without the gradient at the
      input; weights that are frozen by a parameter `trainable` have none.
    * The same bits, whatever the number of threads, whatever samples are beside one, traced or
      node by node (`Network.eager`), after a pickle, and whatever other passes come in between.
    * float32 is close to float64.

    Parameters
    ----------
    layer : Layer
        The layer. It is not changed.
    input_shape : tuple of int
        Shape of a sample, better a small one: some dozens of numbers.
    bounds : (float, float), default=(-1.5, 1.5)
        The range of the numbers that the layer is given.

    Raises
    ------
    AssertionError
        Names the check that failed, and the numbers.

    Examples
    --------
    >>> from sklearn_convnet.layers import Conv2D
    >>> from sklearn_convnet.testing import check_layer
    >>> check_layer(Conv2D(3, 2, activation="tanh"), (4, 3, 2))
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"layer must be an instance of Layer, got {layer!r}")
    subject = Subject(layer, with_channels([layer], input_shape), bounds=bounds)
    for check in CHECKS:
        try:
            check(subject)
        except Exception as error:
            problem = str(error)
            if not isinstance(error, AssertionError):
                problem = f"{type(error).__name__}: {error}"
            raise AssertionError(
                f"{layer!r}, given samples of shape {subject.shape}, does not pass "
                f"{check.__name__}: {problem}"
            ) from error


@dataclass(frozen=True)
class Subject:
    """A layer, or a list of them, and the shape of a sample."""

    layers: object
    shape: tuple
    bounds: tuple = field(default=(-1.5, 1.5), kw_only=True)

    @property
    def layer_list(self):
        return self.layers if isinstance(self.layers, list) else [self.layers]

    def network(self, dtype="float64", seed=0, around=(), **options):
        """Compiled, with no parameter at zero and with statistics of some data.

        `around` are layers before and after.
        """
        before, after = around or ([], [])
        layers = [*before, *self.layer_list, *after]
        network = compile_network(layers, self.shape, dtype=dtype, random_state=seed, **options)
        rng = np.random.RandomState(seed)
        for array in network.parameters().values():
            array += rng.uniform(-0.3, 0.3, array.shape)
        X = self.batch(9, seed + 1)
        network.fit_statistics(lambda: iter([(X[:4], np.ones(4)), (X[4:], np.ones(5))]))
        network.forward(X, training=True)  # for running statistics
        return network

    def batch(self, n=3, seed=0, dtype="float64"):
        """Samples of distinct numbers, evenly spaced between the bounds, by default none of them 0.

        The spacing is several times what a central difference moves a number by: no
        maximum of a window of them changes place, and no rectifier of them its branch.
        """
        shape = (n, *self.shape)
        size = prod(shape)
        size += size % 2
        low, high = self.bounds
        grid = (np.arange(size) + 0.5) * ((high - low) / max(1, size)) + low
        X = np.random.RandomState(seed).permutation(grid)[: prod(shape)].reshape(shape)
        X = X.astype(dtype)
        X.flags.writeable = False
        return X


# ---------------------------------------------------------------------------
# Comparisons
# ---------------------------------------------------------------------------


def require(condition, message):
    """Raises AssertionError unless a condition holds."""
    if not condition:
        raise AssertionError(message)


def assert_same_bits(actual, expected, what="the array"):
    """Compare bytes, so that NaN equals itself and -0 differs from 0."""
    require(
        (actual.dtype, actual.shape) == (expected.dtype, expected.shape),
        f"{what} is {actual.dtype} of shape {actual.shape}, "
        f"not {expected.dtype} of shape {expected.shape}",
    )
    if np.ascontiguousarray(actual).tobytes() != np.ascontiguousarray(expected).tobytes():
        n_unequal = np.count_nonzero(actual != expected)
        largest = np.max(np.abs(actual - expected), initial=0.0)
        raise AssertionError(
            f"{what} does not have the same bits: {n_unequal} of {actual.size} numbers differ, "
            f"by {largest:g} at the most"
        )


def assert_close(actual, expected, rtol, what="", floor=1e-12):
    """Compare relative to the largest element of what is expected."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    require(actual.shape == expected.shape, f"{what} has shape {actual.shape}")
    scale = max(np.max(np.abs(expected), initial=0.0), floor)
    error = np.max(np.abs(actual - expected), initial=0.0)
    # Not `error > rtol`: NaN must fail.
    require(error <= rtol * scale, f"{what} is off by {error} at a scale of {scale}")


def assert_same(actual, expected, when=""):
    """The same of arrays by name, such as `training_step` returns; of None as well."""
    require(actual.keys() == expected.keys(), f"{list(actual)} are not {list(expected)}")
    for name, array in actual.items():
        if array is not None or expected[name] is not None:
            assert_same_bits(array, expected[name], f"{name}{when}")


def training_step(network, X, *, n_threads=1, need_input=True):
    """Arrays of a training step, by name. Gradients are NaN before."""
    for array in network.gradients().values():
        array[...] = np.nan
    Y = network.forward(X, training=True, n_threads=n_threads)
    dX = network.backward(gradient_like(Y), need_input=need_input, n_threads=n_threads)
    return {"the output in training": Y, "the gradient at the input": dX, **gradients_of(network)}


def gradient_like(Y, seed=0):
    """Some gradient at an output."""
    return np.random.RandomState(seed).uniform(-1, 1, Y.shape).astype(Y.dtype)


def gradients_of(network):
    """Copies of the gradients of the weights, by name."""
    items = network.gradients().items()
    return {f"the gradient of {path!r}": array.copy() for path, array in items}


# ---------------------------------------------------------------------------
# Gradients
# ---------------------------------------------------------------------------


class Comparison(NamedTuple):
    """The error of one array's gradient: how large, at how many places, of how large a gradient."""

    path: str
    error: float
    scale: float
    n_places: int
    n_kinks: int  # places that were left out


def differences(function, x, places):
    """Central differences of `function()` in float64, at places of x.

    Returns
    -------
    gradient : ndarray
        Of fourth order.
    spread : ndarray
        By how much a narrow and a wide difference of second order disagree: next to nothing
        unless there is a kink between.
    """
    require(x.dtype == np.float64, f"differences need float64, not {x.dtype}")
    flat = x.reshape(-1)
    require(np.shares_memory(flat, x), "differences need a contiguous array")
    narrow, wide = np.empty((2, len(places)))
    for j, i in enumerate(places):
        value = flat[i]
        f = []
        for k in (-2, -1, 1, 2):
            flat[i] = value + k * STEP
            f.append(function())
        flat[i] = value
        narrow[j], wide[j] = (f[2] - f[1]) / (2 * STEP), (f[3] - f[0]) / (4 * STEP)
    return (4 * narrow - wide) / 3, np.abs(narrow - wide)


def compare_gradients(network, X, loss, seed=0, most=10**9):
    """Backward against central differences, at the input and at what is trained.

    Parameters
    ----------
    loss : callable
        `loss(Y)` returns a number and its gradient at Y.
    most : int
        Of a larger array, so many elements drawn at random are compared.

    Returns
    -------
    list of Comparison
    """
    rng = np.random.RandomState(seed)
    X = X.copy()

    def value():
        return loss(network.forward(X, training=True, n_threads=1))[0]

    _, dY = loss(network.forward(X, training=True, n_threads=1))
    dX = network.backward(dY, n_threads=1)
    analytic = {path: array.copy() for path, array in network.gradients().items()}
    analytic["input"] = dX.copy()
    trained = {s.path for s in network.segments if s.trainable}
    arrays = {path: array for path, array in network.parameters().items() if path in trained}
    found = []
    for path, array in {**arrays, "input": X}.items():
        places = np.arange(array.size)
        if places.size > most:
            places = np.sort(rng.choice(places, most, replace=False))
        found.append(compared(path, analytic[path], places, *differences(value, array, places)))
    return found


def compared(path, gradient, places, numeric, spread):
    """The `Comparison` of a gradient with `differences` at some places."""
    # Where all is zero, such as softmax of one number: relative to the loss.
    scale = max(np.abs(numeric).max(initial=0.0), FLOOR)
    # A kink moves the difference of fourth order by a third of this.
    is_kink = spread > 3 * RTOL * scale
    error = np.abs(gradient.reshape(-1)[places] - numeric)[~is_kink].max(initial=0.0)
    return Comparison(path, error, scale, len(places), np.count_nonzero(is_kink))


def require_gradients(found):
    """Raises AssertionError for gradients that are off, or were compared at too few places."""
    for path, error, scale, n_places, n_kinks in found:
        require(
            2 * n_kinks <= n_places,
            f"the gradient of {path!r} cannot be compared: {n_kinks} of {n_places} places are next "
            "to a kink, or the output does not follow from the input; use a smaller input_shape",
        )
        require(
            error <= RTOL * scale,
            f"the gradient of {path!r} is off by {error:g} at a scale of {scale:g}, "
            f"compared with central differences at {n_places - n_kinks} of {n_places} places",
        )


def random_functional(Y, seed):
    """`Y -> <R, Y>` with a random R, as a loss."""
    R = np.random.RandomState(seed).uniform(-1, 1, Y.shape)
    return lambda Y: (float(np.sum(R * Y)), R)


def check_gradients(subject):
    """Gradients are right, of the layer alone and between others."""
    for around in ((), ([Activation("tanh")], [Dense(2, activation="softplus")])):
        network, X = subject.network(around=around), subject.batch(2)
        loss = random_functional(network.forward(X), 0)
        require_gradients(compare_gradients(network, X, loss, most=40))


# ---------------------------------------------------------------------------
# The spec
# ---------------------------------------------------------------------------


def all_layers(layers):
    """Layers and those inside them."""
    for layer in layers:
        yield layer
        for item in getattr(layer, "layers", ()):
            inner = item[1] if isinstance(item, tuple) else item
            if not isinstance(inner, str):
                yield from all_layers([inner])


def pickled(x):
    return pickle.loads(pickle.dumps(x))


def check_parameters(subject):
    """`__init__` stores its arguments, and each has a constraint."""
    for layer in subject.layer_list:
        params = layer.get_params(deep=False)
        made = type(layer)(**params)
        stored = vars(made)
        require(
            stored.keys() == params.keys(),
            f"__init__ must store its arguments and nothing else: {sorted(params)}, "
            f"but it stores {sorted(stored)}",
        )
        for name, value in params.items():
            require(stored[name] is value, f"__init__ must store {name} as it is: it makes a copy")
        unchecked = sorted(set(params) - set(layer._parameter_constraints))
        require(
            not unchecked,
            f'{unchecked} are not in _parameter_constraints: "no_validation" says that a '
            "parameter is checked elsewhere",
        )
        require(made.set_params(**params) is made, "set_params must return the layer")
        name = type(layer).__name__
        require(repr(made).startswith(name), f"repr must begin with {name}, it is {made!r}")


def check_copies(subject):
    """A clone, a deep copy and a pickle of the layer are the same again."""
    for layer in subject.layer_list:
        shape = layer.output_shape(subject.shape)
        for copied in (clone, copy.deepcopy, pickled):
            other, how = copied(layer), f"what {copied.__name__} makes of the layer"
            require(other is not layer, f"{how} must be another layer")
            require(repr(other) == repr(layer), f"{how} is {other!r}")
            require(
                other.get_params(deep=False).keys() == layer.get_params(deep=False).keys(),
                f"{how} has other parameters",
            )
            found = other.output_shape(subject.shape)
            require(found == shape, f"{how} makes samples of shape {found}, not {shape}")


def check_spec_is_not_changed(subject):
    """Neither output_shape nor a network that is made of a layer changes it."""
    inner = list(all_layers(subject.layer_list))
    before = [dict(vars(layer)) for layer in inner]
    shape = subject.shape
    for layer in subject.layer_list:
        shape = layer.output_shape(shape)
    subject.network()
    for layer, expected in zip(inner, before, strict=True):
        now = vars(layer)
        changed = sorted(k for k in {*now, *expected} if now.get(k) is not expected.get(k))
        require(not changed, f"output_shape, or a network, sets {changed} of {layer!r}")


# ---------------------------------------------------------------------------
# Shapes, dtypes, precision
# ---------------------------------------------------------------------------


def check_shapes(subject, dtypes=DTYPES):
    """Shapes and dtypes are those that output_shape and the network tell, and numbers finite."""
    shape = subject.shape
    for layer in subject.layer_list:
        shape = layer.output_shape(shape)
    is_plain = isinstance(shape, tuple) and all(type(size) is int for size in shape)
    require(is_plain, f"output_shape must return a tuple of int, got {shape!r}")
    for dtype in dtypes:
        network = subject.network(dtype)
        require(
            network.input_shape == subject.shape,
            f"the network's input has shape {network.input_shape}, not {subject.shape}",
        )
        require(
            network.output_shape == shape,
            f"the node has output_shape {network.output_shape}, the layer {shape}",
        )
        X = subject.batch(dtype=dtype)
        for n, eager in ((3, False), (3, True), (0, False)):
            network.eager = eager
            Y = network.forward(X[:n])
            _check_array(Y, (n, *shape), dtype, f"the prediction for {n} samples")
        arrays = training_step(network, X)
        shapes = [(3, *shape), X.shape, *(a.shape for a in network.parameters().values())]
        for (name, array), expected in zip(arrays.items(), shapes, strict=True):
            _check_array(array, expected, dtype, name, not name.startswith("the gradient of"))
        for segment in network.segments:
            gradient = arrays[f"the gradient of {segment.path!r}"]
            require(
                np.isfinite(gradient).all() or not segment.trainable,
                f"the gradient of {segment.path!r} is not finite: backward must fill it, "
                "and not add to what is there",
            )


def _check_array(array, shape, dtype, name, finite=True):
    require(isinstance(array, np.ndarray), f"{name} is {type(array).__name__}, not an array")
    require(
        (array.shape, array.dtype) == (shape, dtype),
        f"{name} is {array.dtype} of shape {array.shape}, not {dtype} of shape {shape}",
    )
    require(array.flags.c_contiguous, f"{name} is not contiguous")
    require(not finite or np.isfinite(array).all(), f"{name} has numbers that are not finite")


def check_float32(subject):
    """float32 is close to float64, from the same weights."""
    rounded, network = subject.network("float32"), subject.network("float64")
    for path, array in network.parameters().items():
        array[...] = rounded.parameters()[path]
    X = subject.batch(dtype="float32")
    Y = network.forward(X.astype("float64"), training=True)
    dY = gradient_like(Y)
    results = []
    for one in (rounded, network):
        Y = one.forward(X.astype(one.dtype), training=True)
        dX = one.backward(dY)
        arrays = {"the output": Y, "the gradient at the input": dX, **gradients_of(one)}
        results.append(arrays)
    for name, expected in results[1].items():
        what = f"in float32, {name}"
        assert_close(results[0][name], expected, 1e-4, what, floor=1e-2)


# ---------------------------------------------------------------------------
# Gradients that are filled, asked for, frozen
# ---------------------------------------------------------------------------


def check_need_input(subject):
    """Gradients of the weights are the same if that at the input is not asked for."""
    network, X = subject.network(), subject.batch()
    expected = training_step(network, X)
    found = training_step(network, X, need_input=False)
    dX = found.pop("the gradient at the input")
    require(dX is None, "backward(need_input=False) must return None")
    del expected["the gradient at the input"]
    assert_same(found, expected, " without the gradient at the input")


def compare_at_a_prediction(subject):
    """The gradient at the input at a prediction, against differences of predictions."""
    network, X = subject.network(), subject.batch(2).copy()
    R = gradient_like(network.forward(X))
    before = pickle.dumps(network)
    dX = network.input_gradient(X, R, n_threads=1)
    require(pickle.dumps(network) == before, "to ask for it changes the network")
    places = np.random.RandomState(0).permutation(X.size)[:40]
    found = differences(lambda: np.sum(R * network.forward(X, n_threads=1)), X, places)
    return [compared("input at a prediction", dX, places, *found)]


def check_input_gradient(subject):
    """With `inference`, a training pass computes what a prediction does, and changes nothing."""
    require_gradients(compare_at_a_prediction(subject))


def check_passes_are_apart(subject):
    """Passes before a pass, or between forward and backward, change nothing."""
    X, other = subject.batch(3), subject.batch(5, 1)
    for eager in (True, False):
        calm, network = subject.network(), subject.network()
        calm.eager = network.eager = eager
        expected = training_step(calm, X)
        training_step(network, other)
        assert_same(training_step(network, X), expected, " after a step with other samples")
        Y = network.forward(X, training=True, n_threads=1)
        network.forward(other)
        network.forward(other[:2])
        dX = network.backward(gradient_like(Y), n_threads=1)
        found = {"the output in training": Y, "the gradient at the input": dX}
        when = " after a prediction between forward and backward"
        assert_same({**found, **gradients_of(network)}, expected, when)


def check_frozen(subject):
    """Weights of layers with trainable=False have no gradient, and the others the same."""
    layers = [clone(layer) for layer in subject.layer_list]
    for layer in layers:
        names = [name for name in layer.get_params() if name.split("__")[-1] == "trainable"]
        layer.set_params(**dict.fromkeys(names, False))
    if [repr(layer) for layer in layers] == [repr(layer) for layer in subject.layer_list]:
        return
    frozen = replace(subject, layers=layers).network()
    trained = {segment.path for segment in frozen.segments if segment.trainable}
    # A layer inside another may have no such parameter.
    reached = all("trainable" in layer.get_params(deep=False) for layer in layers)
    require(
        not (trained and reached),
        f"trainable=False does not reach {sorted(trained)}: hand it on to Weight",
    )
    X = subject.batch()
    expected, found = training_step(subject.network(), X), training_step(frozen, X)
    for path, gradient in frozen.gradients().items():
        require(
            path in trained or np.isnan(gradient).all(),
            f"backward writes the gradient of {path!r}, which is frozen",
        )
    # A frozen batch norm is another function.
    if np.array_equal(found["the output in training"], expected["the output in training"]):
        name = "the gradient at the input"
        assert_same_bits(found[name], expected[name], f"{name} of a frozen layer")


# ---------------------------------------------------------------------------
# The same bits
# ---------------------------------------------------------------------------


def check_threads(subject):
    """The number of threads changes no bit."""
    X = subject.batch(40, dtype="float32")
    results = []
    for n_threads in (1, 2, 3):
        network = subject.network("float32")
        prediction = network.forward(X, n_threads=n_threads)
        step = training_step(network, X, n_threads=n_threads)
        results.append({"the prediction": prediction, **step})
        assert_same(results[-1], results[0], f" with n_threads={n_threads}")


def check_batch(subject, dtypes=DTYPES):
    """The prediction for a sample does not depend on those beside it."""
    for dtype in dtypes:
        network, X = subject.network(dtype), subject.batch(11, dtype=dtype)
        whole = network.forward(X)
        for part in (slice(0, 1), slice(10, 11), slice(3, 5), slice(4, 11)):
            n = part.stop - part.start
            what = f"in {dtype}, the prediction for {n} of 11 samples without the others"
            assert_same_bits(network.forward(X[part]), whole[part], what)


def check_program(subject):
    """A program computes what its nodes compute one after the other."""
    traced, eager = subject.network(), subject.network()
    eager.eager = True
    for seed in range(2):
        X = subject.batch(3 + seed, seed)
        for need_input in (False, True):
            found = training_step(traced, X, need_input=need_input)
            expected = training_step(eager, X, need_input=need_input)
            assert_same(found, expected, ", traced and eager,")
        what = "the prediction, traced and eager,"
        assert_same_bits(traced.forward(X), eager.forward(X), what)
        assert_same(traced.buffers(), eager.buffers(), ", traced and eager,")


def check_sequential(subject):
    """A layer and the same inside a Sequential are one and the same network."""
    layers = subject.layer_list
    inside = compile_network([Sequential(layers)], subject.shape, random_state=0)
    outside = compile_network(layers, subject.shape, random_state=0)
    X = subject.batch(dtype="float32")
    what = "the prediction of the layer in a Sequential"
    assert_same_bits(inside.forward(X), outside.forward(X), what)


def _attributes(network):
    nodes = [node for training in (False, True) for node in walk(network.fused(training))]
    return {(node.path, name): value for node in nodes for name, value in vars(node).items()}


def check_nodes_keep_nothing(subject):
    """A pass writes no attribute of a node: several threads may be in it."""
    network = subject.network()
    network.eager = True
    for run in (network.forward, lambda X: training_step(network, X)):
        run(subject.batch(3))
        before = _attributes(network)
        run(subject.batch(5, 1))
        after = _attributes(network)
        names = {key for key in {**before, **after} if before.get(key) is not after.get(key)}
        written = sorted(name for _, name in names)
        require(
            not written,
            f"a pass writes {written} on the node, but several threads may use it at a time: "
            "keep what backward needs by run.save, and read it by run.recall",
        )


def check_predictions_write_nothing(subject):
    """A prediction changes neither weights nor statistics nor anything else of the network."""
    network = subject.network()
    network.forward(subject.batch())
    # Before its bytes are taken: the pickle of an array may tell whether one can write to it.
    for array in (network.params, *network.parameters().values(), *network.buffers().values()):
        array.flags.writeable = False
    before, attributes = pickle.dumps(network), dict(vars(network))
    network.forward(subject.batch())
    require(pickle.dumps(network) == before, "a prediction changes the network")
    changed = [k for k, value in vars(network).items() if attributes.get(k) is not value]
    require(not changed, f"a prediction changes {changed} of the network")


def check_concurrent_predictions(subject):
    """Several threads predict with one network at a time."""
    network = subject.network()
    batches = [subject.batch(5, seed) for seed in range(4)]
    expected = [network.forward(X, n_threads=1) for X in batches]
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda X: network.forward(X, n_threads=1), 4 * batches)
    for Y, wanted in zip(results, 4 * expected, strict=True):
        assert_same_bits(Y, wanted, "the prediction while another thread predicts")


def check_outputs_stay(subject):
    """A later pass does not change an earlier output."""
    network = subject.network()
    Y = network.forward(subject.batch())
    kept = Y.copy()
    network.forward(subject.batch(seed=1))
    network.forward(subject.batch(seed=1), training=True)
    assert_same_bits(Y, kept, "the prediction after the next pass")


def check_network_copies(subject):
    """A pickle and a deep copy of the network go on with the same bits, on their own."""
    network, X = subject.network(), subject.batch()
    expected = training_step(network, X)
    prediction, before = network.forward(X), network.params.copy()
    for copied in (pickled, copy.deepcopy):
        other, how = copied(network), f" of a {copied.__name__} network"
        require(not np.shares_memory(other.params, network.params), f"weights{how} are shared")
        assert_same_bits(other.forward(X), prediction, f"the prediction{how}")
        assert_same(training_step(other, X), expected, how)
        rng = np.random.RandomState(0)
        for array in other.parameters().values():
            array += rng.uniform(0.5, 1.5, array.shape)  # its nodes see its own parameters
        assert_same_bits(network.params, before, f"after a change{how}, params")
        moved = np.abs(other.forward(X) - prediction).max(initial=0.0)
        require(moved > 0 or not before.size, f"weights{how} do not reach its output")


#: The checks that `check_layer` runs: first what is easiest to understand.
CHECKS = (
    check_parameters,
    check_spec_is_not_changed,
    check_copies,
    check_shapes,
    check_nodes_keep_nothing,
    check_program,
    check_gradients,
    check_need_input,
    check_frozen,
    check_input_gradient,
    check_passes_are_apart,
    check_batch,
    check_threads,
    check_float32,
    check_predictions_write_nothing,
    check_concurrent_predictions,
    check_outputs_stay,
    check_sequential,
    check_network_copies,
)
