"""Layers and weights from ONNX models.

::

    __init__.py                  read_onnx
      build.py                   layers with their weights
        rules.py                 terms that are one layer together
        terms.py                 nested chains of terms, from steps
          arithmetic.py convolutions.py norms.py pools.py shapes.py
                                 steps, from operators
            reader.py            operators, one after the other
              steps.py views.py  how axes of the graph lie in what a layer makes
              model.py           the graph
"""

from dataclasses import dataclass, field

import numpy as np

from ..layers.conv import CONV
from ..layers.dense import Dense
from ..onnx_package import ML_DOMAIN
from . import arithmetic, convolutions, norms, pools, shapes  # noqa: F401, which enter readers
from .build import Built, with_biases
from .model import UnreadableError, read_model
from .reader import ANY_SAMPLES, Reader
from .rules import is_activation, is_affine, is_function, simplified
from .steps import Step, Value
from .terms import to_terms
from .views import SAMPLES, View, channels_first, channels_last, whole

__all__ = ["OnnxNetwork", "read_onnx"]

TASKS = ("classification", "regression")
#: Names of outputs that are numbers, where a model tells others besides.
_OUTPUTS = ("probabilities", "variable", "output")


@dataclass
class OnnxNetwork:
    """A network that an ONNX model says, in layers.

    Parameters
    ----------
    layers : list of Layer
    weights : dict of str to ndarray
        By path.
    input_shape, output_shape : tuple of int
        Of a sample, channels last.
    y_shape : tuple of int
        Of the output for a sample, as y has it: maps of one channel have no axis of channels.
    dtype : dtype
        What the model computes in.
    form : {"flat", "no_channels", None}
        How samples come in: with all their values in a row, or without the axis of channels.
    link : str or None
        The function at the end that was left out: "softmax", "logistic" or "exp".
    classes : ndarray or None
        The labels that the model tells.
    """

    layers: list
    weights: dict
    input_shape: tuple
    output_shape: tuple
    y_shape: tuple
    dtype: np.dtype
    form: object = None
    link: object = None
    classes: object = field(default=None)


def read_onnx(model, *, task=None, input_shape=None, output=None):
    """The `OnnxNetwork` of a model: see `interchange.from_onnx`."""
    if task is not None and task not in TASKS:
        raise ValueError(f"task must be one of {TASKS} or None, got {task!r}")
    model = read_model(model)
    if len(model.inputs) != 1:
        names = [name for name, _, _ in model.inputs]
        raise ValueError(f"the model must have one input, but it has {len(names)}: {names}")
    if output is None:
        output = _output_of(model)
    elif output not in model.makers():
        raise ValueError(f"the model has no value {output!r}; its outputs are {model.outputs}")
    value, n_read, first_error = None, -1, None
    for likely, given, n_samples in _inputs_of(model, input_shape):
        reader = Reader(model, given, n_samples)
        try:
            value, step, form = reader.read(output), given.step, likely
            break
        except UnreadableError as error:
            if reader.n_read > n_read:
                n_read, first_error = reader.n_read, error
    if value is None:
        raise first_error
    if not isinstance(value, Value):
        raise ValueError(f"the output {output!r} of the model is a constant")
    y_shape = _y_shape(value, model.own)
    value = reader.in_order(model.makers().get(output), value)
    terms = with_biases(simplified(to_terms(value.step)))
    link = None
    if task == "classification":
        terms, link = _without_link(terms)
    elif task == "regression":
        if terms and is_function(terms[-1], "exp"):
            terms, link = terms[:-1], "exp"
        terms = _in_weights(terms)
    built = Built()
    layers = built.layers(terms)
    weights = built.by_path(layers, step.shape)
    shape = terms[-1].shape if terms else step.shape
    return OnnxNetwork(
        layers,
        weights,
        step.shape,
        shape,
        y_shape,
        value.dtype,
        form,
        link,
        _classes_of(model),
    )


# --- input and output ----------------------------------------------------------------------------


def _output_of(model):
    """The name of the output that is read.

    Raises
    ------
    ValueError
        If a class and a box are told, of which only one could be.
    """
    if model.own and "box" in model.outputs:
        raise ValueError(
            "the model tells boxes beside classes: say which value is to be read, such as "
            "output='box', or what both follow from"
        )
    names = [name for name in _OUTPUTS if name in model.outputs]
    found = names[0] if names else model.outputs[0]
    maker = model.makers().get(found)
    while maker is not None and maker.op in ("ZipMap", "Identity"):
        found = maker.inputs[0]
        maker = model.makers().get(found)
    return found


def _inputs_of(model, input_shape):
    """Ways to have the input in layers, the likeliest first, and the number of samples."""
    name, shape, dtype = model.inputs[0]
    n_samples = shape[0] if shape and shape[0] else ANY_SAMPLES
    sizes = _sizes_of(name, shape, input_shape)
    found = []
    if len(sizes) == 1:
        for target in _first_shapes(model, name):
            if np.prod(target) == sizes[0] and len(target) > 1:
                for _, shape_of_layers, view in _forms(target, n_samples, model.own):
                    found.append(("flat", shape_of_layers, view.reshaped((n_samples, *sizes))))
        found.append((None, sizes, channels_last(sizes, n_samples)))
        found.append(_without_channels(sizes, n_samples))  # of which signals are made
    else:
        found = _forms(sizes, n_samples, model.own)
    for form, shape_of_layers, view in found:
        yield form, Value(Step("input", [], shape_of_layers), view, dtype), n_samples


def _y_shape(value, own):
    """The shape of y that an output is for. Other programs have an axis for one value too."""
    *sizes, n = value.step.shape
    if not sizes:
        return tuple(value.shape[1:]) if own or n > 1 else ()
    return (*sizes, n) if n > 1 else tuple(sizes)


def _sizes_of(name, shape, input_shape):
    given = None if input_shape is None else tuple(int(n) for n in input_shape)
    if len(shape) < 2:
        raise ValueError(f"the input {name!r} of the model has shape {shape}: samples come first")
    known = shape[1:]
    if given is None:
        if None in known:
            raise ValueError(
                f"the model leaves the shape of a sample free, its input {name!r} having {shape}: "
                "give input_shape, in that order without the samples"
            )
        return known
    if len(given) != len(known) or any(
        b is not None and a != b for a, b in zip(given, known, strict=True)
    ):
        raise ValueError(f"input_shape={given} is not that of the model's input, {known}")
    return given


def _forms(sizes, n_samples, own=False):
    """How samples come in, their shape channels last, and the view that an input of these sizes
    then has."""
    sizes = tuple(sizes)
    last = (None, sizes, channels_last(sizes, n_samples))
    turned = (*sizes[1:], sizes[0])
    first = (None, turned, channels_first(turned, n_samples))
    ordered = [last, first] if own or sizes[-1] < sizes[0] else [first, last]
    return [*ordered, _without_channels(sizes, n_samples)] if len(sizes) < 4 else ordered


def _without_channels(sizes, n_samples):
    """The form of maps of one channel that come in without its axis."""
    axes = [whole(f"s{i}", n) for i, n in enumerate(sizes)]
    return "no_channels", (*sizes, 1), View([whole(SAMPLES, n_samples), *axes])


def _first_shapes(model, name):
    """Shapes of samples that operators on the input make of it."""
    for operator in model.operators:
        if operator.op == "Reshape" and operator.inputs[0] == name:
            target = model.constants.get(operator.inputs[1])
            if target is not None and (target[1:] > 0).all():
                yield tuple(int(n) for n in target[1:])


def _classes_of(model):
    """The labels from which a model picks, or None."""
    for operator in model.operators:
        for name in ("classlabels_strings", "classlabels_int64s"):
            if operator.domain == ML_DOMAIN and operator.get(name):
                return np.array(operator.get(name))
    maker = model.makers().get("label")
    if maker is None or maker.op != "Gather":
        return None
    labels = model.constants.get(maker.inputs[0])
    if labels is not None and labels.dtype.kind == "O":
        labels = np.array([x.decode() if isinstance(x, bytes) else x for x in labels.tolist()])
    return labels


# --- the end -------------------------------------------------------------------------------------


def _without_link(terms):
    """Terms without a softmax or logistic function at the end, and its name. One score, with the
    logistic function of it or before any, is two with a softmax."""
    names = ("softmax", "logistic")
    link = next((name for name in names if terms and is_activation(terms[-1], name)), None)
    rest = terms if link is None else terms[:-1]
    if link != "softmax" and rest and rest[-1].shape[-1] == 1 and _doubled(rest[-1]):
        return rest, "softmax"
    return rest, link


def _doubled(term):
    """True if a layer that makes one score has got another before it, which is always 0."""
    if term.kind != "layer" or type(term.layer) not in (Dense, *CONV.values()):
        return False
    if term.layer.activation is not None:
        return False
    term.layer.set_params(**{"units" if isinstance(term.layer, Dense) else "filters": 2})
    term.shape = (*term.shape[:-1], 2)
    term.weights = {
        name: np.concatenate([np.zeros_like(array), array], axis=-1)
        for name, array in term.weights.items()
    }
    return True


def _in_weights(terms):
    """Terms where an affine map of the outputs lies in the weights of the last layer."""
    if len(terms) < 2 or not is_affine(terms[-1]):
        return terms
    *rest, last, line = terms
    scale, shift = line.data
    fits = last.kind == "layer" and set(last.weights) <= {"weight", "bias"} and last.weights
    if not fits or max(scale.ndim, shift.ndim) > 1 or last.layer.activation is not None:
        return terms
    bias = last.weights.get("bias", 0.0) * scale + shift
    last.weights = {
        "weight": last.weights["weight"] * scale,
        "bias": np.broadcast_to(bias, line.shape[-1:]),
    }
    last.layer.use_bias = True
    return [*rest, last]
