"""All that a fit has left on an estimator, as values, and back.

# Design:
# * What follows from something else is computed again: sizes from the target and the inputs,
#   parameters of the last fit from those of now, but for those that were changed since.
# * Whatever is read is checked against the rest of it, so that a file cannot make an estimator
#   whose parts do not fit each other.
"""

from dataclasses import fields
from math import prod

import numpy as np

from ..averaging import WeightAverage
from ..estimators.history import History
from ..estimators.inputs import KINDS, Inputs
from ..estimators.networks import NETWORK_PARAMS
from ..estimators.targets import BoxTarget, ColumnsTarget, ValueMapTarget, ValueTarget
from ..estimators.warm_start import kept, same
from ..network.restore import facts_of, network_from_arrays
from .classes import TARGETS
from .values import is_count, need

_TARGETS = {cls.__name__: cls for cls in TARGETS}

#: Attributes that are numbers, and the least that they may be.
_COUNTS = {"n_iter_": 0, "t_": 0, "_n_of_batch": 1}
_FLAGS = ("_early_stopped", "_validated")

#: Attributes of targets that are no arguments.
_LEARNT = ("mean", "deviation", "has_begun", "any_size")

#: Where the arrays of a network lie in a file.
_NETWORK, _OPTIMIZER, _AVERAGE = "network/", "optimizer/", "average/"

#: What schedules remember, and whether it is a number of epochs or steps.
_OF_SCHEDULES = {"best_score": False, "n_without_improvement": True, "n_reductions": True}

_SHARE_OR_PIXELS = ("share", "pixels")


def _names_of_kept(estimator):
    return (*NETWORK_PARAMS, "loss", "optimizer", "random_state", *estimator._fixed)


def attributes_of(estimator):
    """Names of all attributes that `write_fitted` writes or `read_fitted` computes."""
    names = {*_COUNTS, *_FLAGS, "network_", "feature_names_in_", "input_shape_", "n_features_in_"}
    names |= {"_inputs", "_target", "_history", "_random_state", "_training_state", "_fitted"}
    names |= {"n_outputs_", "classes_", "_boxes_in_y", "_average", "_names_of_features"}
    return names


# ---------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------


def write_fitted(estimator, writer):
    """The JSON of what a fit has left; its arrays go to the writer."""
    attributes = vars(estimator)
    written = {name: int(attributes[name]) for name in _COUNTS}
    written.update((name, bool(attributes[name])) for name in _FLAGS)
    names = attributes.get("feature_names_in_")
    history = estimator._history.__getstate__()
    return {
        **written,
        "_boxes_in_y": attributes.get("_boxes_in_y"),
        "feature_names_in_": None if names is None else writer.array(names, "feature_names_in_"),
        "names_of_features": estimator._names_of_features,
        "network": _write_network(estimator.network_, writer),
        "inputs": {f.name: getattr(estimator._inputs, f.name) for f in fields(Inputs)},
        "target": _write_target(estimator._target, writer),
        "history": {
            "names": history["names"],
            "rows": writer.array(history["rows"], "history_"),
        },
        "random_state": writer.value(estimator._random_state, "the generator of the last fit"),
        "training": _write_training(estimator, writer),
        "average": _write_average(estimator, writer),
        "params": _write_params(estimator, writer),
    }


def _write_network(network, writer):
    facts = facts_of(network)
    for path, array in facts.pop("arrays").items():
        writer.arrays[_NETWORK + path] = array
    layers = [[name, writer.value(layer, f"layer {name!r}")] for name, layer in facts.pop("layers")]
    return {**facts, "layers": layers}


def _argument(target, name):
    is_map = isinstance(target, ValueMapTarget)
    return len(target.map_size) if name == "n_axes" and is_map else getattr(target, name)


def _write_target(target, writer):
    arguments = {name: _argument(target, name) for name in TARGETS[type(target)]}
    learnt = {name: vars(target)[name] for name in _LEARNT if name in vars(target)}
    return {
        "class": type(target).__name__,
        "arguments": {name: writer.value(v, name) for name, v in arguments.items()},
        "learnt": {name: writer.value(v, name) for name, v in learnt.items()},
    }


def _write_training(estimator, writer):
    state = estimator._training_state
    if state is None:
        return None
    for name, vector in state["arrays"].items():
        _write_vector(vector, estimator.network_, f"{_OPTIMIZER}{name}/", writer)
    return {
        "t": int(state["t"]),
        "epoch": int(state["epoch"]),
        "schedule": writer.value(state["schedule"], "the state of the schedule"),
        "arrays": list(state["arrays"]),
    }


def _write_average(estimator, writer):
    """The weights of the last step, where the network has their mean."""
    average = estimator._average
    if average is None:
        return None
    params, buffers = average.others
    _write_vector(params, estimator.network_, _AVERAGE, writer)
    writer.arrays.update((_AVERAGE + path, array) for path, array in buffers.items())
    return {"decay": float(average.decay), "n_steps": int(average.n_steps)}


def _write_vector(vector, network, where, writer):
    """One in the layout of the parameters."""
    for segment in network.segments:
        part = vector[segment.start : segment.stop].reshape(segment.shape)
        writer.arrays[where + segment.path] = part


def _write_params(estimator, writer):
    """Those of the last fit that were changed since."""
    now = kept(estimator, _names_of_kept(estimator))
    return {
        name: writer.value(value, f"{name} of the last fit")
        for name, value in estimator._fitted.items()
        if not same(value, now[name])
    }


# ---------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------


def read_fitted(estimator, given, reader):
    """Gives an estimator what `write_fitted` has written of another.

    Raises
    ------
    ModelFileError, ValueError
        If it fits neither the estimator nor each other.
    """
    need(isinstance(given, dict), "what a fit has left is no dict")
    estimator._fitted = _read_params(estimator, given["params"], reader)
    estimator._inputs = inputs = _read_inputs(given["inputs"])
    estimator.input_shape_ = inputs.sample_shape
    if not inputs.differ:
        estimator.n_features_in_ = prod(inputs.sample_shape)
    if given["feature_names_in_"] is not None:
        names = reader.value(given["feature_names_in_"], "feature_names_in_")
        need(
            isinstance(names, np.ndarray) and names.ndim == 1 and names.dtype == object,
            "feature_names_in_ are no names",
        )
        estimator.feature_names_in_ = names
    estimator._target = target = _read_target(given["target"], reader)
    estimator.network_ = _read_network(given["network"], inputs, estimator, reader)
    names = given.get("names_of_features")  # which older files have not
    if names is not None:
        need(
            isinstance(names, list)
            and len(names) == estimator.network_.n_features
            and all(isinstance(name, str) for name in names),
            "the names of features are no names, or not as many",
        )
        estimator._names_of_features = names
    _check_outputs(estimator.network_, target)
    _check_kind(estimator, target, given["_boxes_in_y"])
    estimator._history = _read_history(given["history"], reader)
    estimator._random_state = reader.value(given["random_state"], "the generator of the last fit")
    need(
        isinstance(estimator._random_state, np.random.RandomState),
        "the generator of the last fit is none",
    )
    estimator._training_state = _read_training(given["training"], estimator.network_, reader)
    estimator._average = _read_average(given["average"], estimator.network_, reader)
    for name, least in _COUNTS.items():
        need(is_count(given[name], least), f"{name} is {given[name]!r}, which is no number of any")
        setattr(estimator, name, given[name])
    for name in _FLAGS:
        need(isinstance(given[name], bool), f"{name} is {given[name]!r}, not true or false")
        setattr(estimator, name, given[name])


def _read_params(estimator, given, reader):
    """The parameters of the last fit: those of now, but for some."""
    fitted = kept(estimator, _names_of_kept(estimator))
    need(isinstance(given, dict) and set(given) <= set(fitted), "parameters of the fit are unknown")
    changes = {key: reader.value(v, f"{key} of the last fit") for key, v in given.items()}
    # Constraints are the estimator's.
    like = type(estimator)(**{**estimator.get_params(deep=False), **changes})
    like._validate()
    return {**fitted, **changes}


def _shape(given, what, least=1, nothing=False):
    """A list of numbers as a tuple."""
    need(
        isinstance(given, list)
        and all(is_count(n, least) or (nothing and n is None) for n in given),
        f"{what} is {given!r}, which is no shape",
    )
    return tuple(given)


def _read_inputs(given):
    need(
        isinstance(given, dict) and given.keys() == {f.name for f in fields(Inputs)},
        "how X came in is not known",
    )
    need(isinstance(given["kind"], str) and given["kind"] in KINDS, "X is of no kind")
    need(isinstance(given["channels_first"], bool), "channels_first is neither true nor false")
    inputs = Inputs(
        _shape(given["shape"], "the shape of a sample", nothing=True),
        given["kind"],
        given["channels_first"],
        _shape(given["largest"], "the largest sample"),
        _shape(given["smallest"], "the smallest sample"),
    )
    n_axes = len(inputs.shape)
    need(
        n_axes > 0
        and len(inputs.largest) in ((n_axes,) if inputs.differ else (0, n_axes))
        and len(inputs.smallest) in (0, n_axes),
        "the shapes of samples have different axes",
    )
    return inputs


def _is_classes(value, cls):
    if cls is ColumnsTarget:
        return (
            isinstance(value, list) and len(value) > 0 and all(_is_classes(v, None) for v in value)
        )
    return isinstance(value, np.ndarray) and value.ndim == 1


def _is_shape(value):
    return isinstance(value, tuple) and all(map(is_count, value))


#: Whether a value may be that argument of a target.
_ARGUMENTS = {
    "n_coordinates": lambda v: type(v) is int and v in (4, 8),
    "units": lambda v: isinstance(v, str) and v in _SHARE_OR_PIXELS,
    "in_y": lambda v: isinstance(v, bool),
    "outline": lambda v: isinstance(v, bool),
    "image_size": lambda v: v is None or (_is_shape(v) and len(v) == 2 and min(v) > 0),
    "map_size": lambda v: _is_shape(v) and 1 <= len(v) <= 3,
    "ignored": lambda v: v is None or isinstance(v, (str, int, float, np.generic)),
    "last_axis": lambda v: isinstance(v, bool),
    "sample_shape": _is_shape,
    "normalize": lambda v: isinstance(v, bool),
    "flip_pairs": lambda v: v is None or isinstance(v, np.ndarray),
    "moves": lambda v: isinstance(v, bool),
    "n_axes": lambda v: type(v) is int and 1 <= v <= 3,
}


def _read_target(given, reader):
    need(
        isinstance(given, dict)
        and given.keys() == {"class", "arguments", "learnt"}
        and isinstance(given["class"], str)
        and given["class"] in _TARGETS,
        "the kind of y is not known",
    )
    cls = _TARGETS[given["class"]]
    parts = given["arguments"], given["learnt"]
    need(all(isinstance(part, dict) for part in parts), f"{cls.__name__} has no arguments")
    arguments, learnt = (
        {name: reader.value(v, name) for name, v in part.items()} for part in parts
    )
    need(set(arguments) == set(TARGETS[cls]), f"{cls.__name__} has other arguments")
    for name, value in arguments.items():
        right = _is_classes(value, cls) if name == "classes" else _ARGUMENTS[name](value)
        need(right, f"{name} of {cls.__name__} is {value!r}")
    if issubclass(cls, ValueTarget):
        skipped = arguments.get("n_axes", 0) if cls is ValueMapTarget else 0
        _check_units(arguments["sample_shape"], skipped, learnt)
    target = cls(**arguments)
    need(
        set(learnt) <= set(_LEARNT)
        and all(isinstance(learnt.get(name, True), bool) for name in _LEARNT[2:]),
        f"{cls.__name__} has learnt what is not known",
    )
    vars(target).update(learnt)
    return target


def _check_units(sample_shape, skipped, learnt):
    """Before anything is as large as a shape says."""
    n_outputs = prod(sample_shape[skipped:])
    for name in ("mean", "deviation"):
        array = learnt.get(name)
        need(
            isinstance(array, np.ndarray)
            and array.dtype == np.float64
            and array.shape == (n_outputs,)
            and np.isfinite(array).all()
            and (name == "mean" or (array > 0).all()),
            f"the {name} of y is no number for each of {n_outputs} outputs",
        )


def _read_network(given, inputs, estimator, reader):
    keys = {"layers", "input_shape", "dtype", "step", "seed"}
    need(isinstance(given, dict) and given.keys() == keys, "the network is not known")
    need(given["dtype"] in ("float32", "float64"), "the network has no dtype")
    # Masks are functions of the two as parts of one number of 64 bits.
    need(is_count(given["step"]) and given["step"] < 2**52, "the number of steps is none")
    need(is_count(given["seed"]) and given["seed"] < 2**31, "the seed of the masks is none")
    shape = _shape(given["input_shape"], "the input of the network")
    multi_crop, expected = estimator._fitted["multi_crop"], inputs.network_shape
    if multi_crop is not None:
        expected = multi_crop.output_shape(expected)
    need(shape == expected, f"the network is for {shape}, but samples are {expected}")
    need(
        isinstance(given["layers"], list)
        and all(isinstance(p, list) and len(p) == 2 for p in given["layers"]),
        "the network has no layers",
    )
    layers = [(name, reader.value(layer, f"layer {name!r}")) for name, layer in given["layers"]]
    paths = [name for name in reader.arrays if name.startswith(_NETWORK)]
    arrays = {name.removeprefix(_NETWORK): reader.take(name, name) for name in paths}
    return network_from_arrays(
        layers, shape, given["dtype"], arrays, step=given["step"], seed=given["seed"]
    )


def _check_outputs(network, target):
    """The network must make what the target decodes."""
    shape = network.output_shape
    n_outputs = target.n_outputs
    if isinstance(target, BoxTarget):
        n_outputs += target.n_coordinates
    sizes = () if target.map_size is None else target.map_size
    right = shape[-1] == n_outputs and len(shape) == len(sizes) + 1
    need(
        right and (target.any_size or shape[:-1] == sizes),
        f"the network's output has shape {shape}, which is none for y",
    )


def _check_kind(estimator, target, boxes_in_y):
    labels = hasattr(target, "classes")
    need(
        labels == (type(estimator).__name__ == "ConvNetClassifier"),
        f"{type(target).__name__} is none for {type(estimator).__name__}",
    )
    estimator.n_outputs_ = target.n_outputs
    if labels:
        need(isinstance(boxes_in_y, bool), "whether boxes were in y is not known")
        estimator.classes_, estimator._boxes_in_y = target.classes, boxes_in_y


def _read_history(given, reader):
    need(isinstance(given, dict) and given.keys() == {"names", "rows"}, "there are no curves")
    names, rows = given["names"], reader.value(given["rows"], "history_")
    need(
        isinstance(names, list)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
        and isinstance(rows, np.ndarray)
        and rows.dtype == np.float64
        and rows.ndim == 2
        and rows.shape[1] == len(names),
        "the curves have no names",
    )
    history = History()
    history.__setstate__({"names": names, "rows": rows})
    return history


def _read_training(given, network, reader):
    if given is None:
        return None
    keys = {"t", "epoch", "schedule", "arrays"}
    need(isinstance(given, dict) and given.keys() == keys, "the state of training is not known")
    need(is_count(given["t"]) and is_count(given["epoch"]), "the steps of training are no number")
    schedule = reader.value(given["schedule"], "the state of the schedule")
    need(
        isinstance(schedule, dict)
        and all(
            key in _OF_SCHEDULES
            and (is_count(value) if _OF_SCHEDULES[key] else isinstance(value, float))
            for key, value in schedule.items()
        ),
        "the state of the schedule is not known",
    )
    names = given["arrays"]
    need(
        isinstance(names, list)
        and all(isinstance(name, str) and "/" not in name for name in names),
        "the state of the optimiser is not known",
    )
    return {
        "t": given["t"],
        "epoch": given["epoch"],
        "arrays": {name: _read_vector(f"{_OPTIMIZER}{name}/", network, reader) for name in names},
        "schedule": schedule,
    }


def _read_average(given, network, reader):
    if given is None:
        return None
    need(
        isinstance(given, dict)
        and given.keys() == {"decay", "n_steps"}
        and isinstance(given["decay"], float)
        and 0 < given["decay"] < 1
        and is_count(given["n_steps"]),
        "the mean of the weights is not known",
    )
    average = WeightAverage(network, given["decay"])
    average.n_steps = given["n_steps"]
    params = _read_vector(_AVERAGE, network, reader)
    need(np.isfinite(params).all(), "weights of the last step are not finite")
    buffers = {
        path: _read_array(_AVERAGE + path, b, reader) for path, b in network.buffers().items()
    }
    average.others = params, buffers
    return average


def _read_vector(where, network, reader):
    """A vector in the layout of the parameters."""
    vector = np.zeros_like(network.params)
    for segment in network.segments:
        like = network.params[segment.start : segment.stop].reshape(segment.shape)
        array = _read_array(where + segment.path, like, reader)
        vector[segment.start : segment.stop] = array.ravel()
    return vector


def _read_array(where, like, reader):
    """The array of that name, which must have the shape and dtype of another."""
    array = reader.take(where, where)
    need(
        (array.shape, array.dtype) == (like.shape, like.dtype),
        f"{where} has shape {array.shape} and dtype {array.dtype}",
    )
    return array
