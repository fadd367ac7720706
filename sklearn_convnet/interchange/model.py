"""Files of models."""

from __future__ import annotations

import json
import os

import sklearn

from .._typing import PathLike
from .._version import package_version
from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..kernels import loader
from ..messages import warn_caller
from ..tensor_files import check_version, from_bytes, to_bytes
from ..whole_file import whole_file
from .archive import MAX_JSON_BYTES, read_archive, write_archive
from .classes import ESTIMATORS
from .errors import ModelFileError
from .fitted import attributes_of, read_fitted, write_fitted
from .values import Reader, Writer, need

#: The version of the form of a model file; one that says a larger number is not read.
MODEL_VERSION = 1
_FORMAT = "sklearn_convnet model"
_KEYS = {"format", "format_version", "sklearn_convnet", "kernels", "estimator", "params"}
_KEYS |= {"requests", "fitted"}

# What a user has asked scikit-learn to route, and the methods that it may be for.
_REQUESTS = "_metadata_request"
_ROUTED = ("fit", "partial_fit", "predict", "predict_proba", "predict_log_proba", "score")
_CALLBACKS = "_skl_callbacks"


#: What comes of values that are not what they should be, or of sizes that no memory holds.
_ERRORS: tuple[type[Exception], ...] = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    RecursionError,
)

#: The longest message of an error: what a file holds may be of any length.
MAX_WORDS = 600


def save_model(estimator: ConvNetClassifier | ConvNetRegressor, path: PathLike) -> None:
    """Write an estimator, with its network and fitted attributes, to a file without code.

    The file is a zip of two parts: ``model.json`` with parameters, layers, classes and the like,
    and ``arrays.safetensors`` with weights, statistics and the state of the optimiser. It is
    written as a whole or not at all.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor
        Fitted or not. Callbacks are left out, with a warning. A `FrozenEstimator` given as
        ``init_from`` is written as the dict of its weights, which means the same.
    path : str or path-like
        Of the file.

    Raises
    ------
    TypeError
        If it is no estimator of this package, or has what is code: layers, losses, optimisers or
        schedules of the user's own, and functions. The message names it.
    ValueError
        If a parameter is invalid.
    ImportError
        If the package safetensors is not installed.

    Warns
    -----
    UserWarning
        If something is left out.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.interchange import load_model, save_model
    >>> X, y = np.eye(4), ["no", "yes", "no", "yes"]
    >>> clf = ConvNetClassifier(max_iter=5, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_model(clf, f"{folder}/clf.model")
    ...     copy = load_model(f"{folder}/clf.model")
    >>> P, Q = (one.partial_fit(X, y).predict_proba(X) for one in (clf, copy))
    >>> np.array_equal(P, Q)
    True
    """
    if type(estimator) not in ESTIMATORS.values():
        kind = type(estimator)
        raise TypeError(
            f"{kind.__module__}.{kind.__qualname__} has no place in a model file, which is for "
            f"{' and '.join(ESTIMATORS)}: give the estimator itself, or use skops or a pickle"
        )
    estimator._validate()
    writer = Writer()
    is_fitted = estimator.__sklearn_is_fitted__()
    params = estimator.get_params(deep=False)
    _warn_of_what_is_left(estimator, params)
    content = {
        "format": _FORMAT,
        "format_version": MODEL_VERSION,
        "sklearn_convnet": package_version(),
        "kernels": _kernels_of(estimator),
        "estimator": type(estimator).__name__,
        "params": {name: writer.value(value, name) for name, value in params.items()},
        "requests": _requests_of(estimator),
        "fitted": write_fitted(estimator, writer) if is_fitted else None,
    }
    text = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    if len(text) > MAX_JSON_BYTES:
        raise ValueError(
            f"what is no array of numbers takes {len(text)} bytes, more than the {MAX_JSON_BYTES} "
            "that a model file may have: use a pickle"
        )
    parts = text, to_bytes(writer.arrays)
    with whole_file(path) as file:
        write_archive(file, parts)


def load_model(path: PathLike) -> ConvNetClassifier | ConvNetRegressor:
    """Read an estimator that `save_model` has written.

    Nothing in the file is executed. A damaged or forged file is refused, and reading allocates at
    most twice what the file holds. So a model file may come from a source that is not trusted; but
    the file decides what the network predicts, and how much memory its maps take (see `summary`).

    Parameters
    ----------
    path : str or path-like
        Of the file.

    Returns
    -------
    ConvNetClassifier or ConvNetRegressor
        It predicts, and goes on training, with the same bits on the same variant of the kernels.

    Raises
    ------
    ModelFileError
        If the file is no model, is damaged, or is of a format that this version does not know yet.
    ImportError
        If the package safetensors is not installed.
    """
    try:
        text, data = read_archive(path)
        content = _read_json(text)
        arrays = from_bytes(data)
        del data  # memory is for two copies of the arrays
        return _made(content, arrays)
    except _ERRORS as error:
        raise ModelFileError(f"{os.fspath(path)}: {_words(error)}") from error


def _words(error):
    """The message of an error, and its class where that says nothing."""
    text = str(error) if isinstance(error, ValueError) else f"it is damaged: {error!r}"
    return text if len(text) <= MAX_WORDS else f"{text[:MAX_WORDS]} ..."


def _kernels_of(estimator):
    """The variant of the kernels with which the network computes."""
    network = getattr(estimator, "network_", None)
    if network is None:
        return loader.default_variant()
    return network.kernels.__name__.rpartition(".")[2].strip("_").partition("_")[0]


def _warn_of_what_is_left(estimator, params):
    known = {*params, *attributes_of(estimator), _REQUESTS, _CALLBACKS}
    left = [f"the attribute {name!r}" for name in vars(estimator) if name not in known]
    if getattr(estimator, _CALLBACKS, None):
        left.insert(0, "the callbacks")
    if left:
        warn_caller(f"save_model leaves out {', '.join(left)}", UserWarning)


def _requests_of(estimator):
    """Requests of `set_fit_request` and the like: by method, then by argument."""
    requests = getattr(estimator, _REQUESTS, None)
    if requests is None:
        return {}
    found = {method: dict(getattr(requests, method).requests) for method in _ROUTED}
    return {method: arguments for method, arguments in found.items() if arguments}


def _read_json(text):
    content = json.loads(
        text,
        parse_constant=_refuse_constant,
        parse_float=_finite,
        object_pairs_hook=_without_twins,
    )
    need(isinstance(content, dict) and content.get("format") == _FORMAT, "it is no model file")
    check_version(content.get("format_version"), MODEL_VERSION, "models")
    need(content.keys() == _KEYS, "it has other entries than a model")
    return content


def _refuse_constant(name):
    raise ValueError(f"it has the number {name}, which is not JSON")


def _finite(text):
    number = float(text)
    need(abs(number) < float("inf"), f"it has the number {text[:20]}, which is too large")
    return number


def _without_twins(pairs):
    found = dict(pairs)
    need(len(found) == len(pairs), "an entry occurs twice")
    return found


def _made(content, arrays):
    """The estimator of a file."""
    name, reader = content["estimator"], Reader(arrays)
    need(isinstance(name, str) and name in ESTIMATORS, f"it has no estimator, but {name!r}")
    estimator = reader.made(ESTIMATORS[name], content["params"], name)
    estimator._validate()
    _set_requests(estimator, content["requests"])
    if content["fitted"] is not None:
        read_fitted(estimator, content["fitted"], reader)
    need(not arrays, f"it has the array {next(iter(arrays), '')!r}, which belongs to nothing")
    return estimator


def _set_requests(estimator, requests):
    need(isinstance(requests, dict), "what is routed is not known")
    with sklearn.config_context(enable_metadata_routing=True):
        for method, arguments in requests.items():
            setter = getattr(estimator, f"set_{method}_request", None)
            right = method in _ROUTED and setter is not None and isinstance(arguments, dict)
            need(right, f"{method!r} has no requests")
            need(
                all(v is None or isinstance(v, (bool, str)) for v in arguments.values()),
                f"requests of {method!r} are none",
            )
            setter(**arguments)
