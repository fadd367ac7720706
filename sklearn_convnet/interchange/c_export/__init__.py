"""Networks as source in C, for small devices.

::

    __init__.py          export_c
      text.py            the three files
      outputs.py         what y is
        nodes.py         a function for each kind of node
          convert.py     which of them writes what
          program.py     calls, constants, and where maps lie
            library.py   the functions in C
"""

from __future__ import annotations

import re
from copy import copy
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from ..._typing import PathLike
from ...estimators.base import BaseConvNet
from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ...network import Network
from ...whole_file import whole_file
from ..folding import fold_batch_norms
from ..onnx_export.inputs import layout_of
from . import text
from .convert import write_chain
from .outputs import labels_of, write_output
from .program import Program

__all__ = ["export_c"]

#: Largest error that the test program lets pass, as a share of the largest number of a prediction.
TOLERANCE = 1e-5
#: The number of samples that are drawn for the test program.
N_DRAWN = 3


def export_c(
    estimator: ConvNetClassifier | ConvNetRegressor | Network,
    folder: PathLike,
    *,
    name: str = "network",
    input_dtype: Literal["float32", "uint8"] = "float32",
    X: ArrayLike | None = None,
) -> list[Path]:
    """Write a fitted network as C source, which predicts one sample at a time.

    The source is C99 and needs nothing but `math.h` and `string.h`. Weights are constants, batch
    norms lie in the weights before them, maps lie in one static array, and nothing is allocated. It
    computes in float32. Three files are written:

    - ``NAME.h`` with the sizes of x and y, and the classes as text;
    - ``NAME.c`` with ``void NAME_predict(const float *x, float *y)``;
    - ``NAME_test.c``, a program that compares predictions with those of the estimator.

    x is a sample in the order that X had in `fit`. y is what `predict_proba` returns of it; of a
    regressor what `predict` returns, in the units of y; of a `Network` what `forward` returns; and
    of class and box the probabilities and then the box. The same estimator makes the same bytes.

    Parameters
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or Network
        A fitted one, or a network that `compile_network` has made.
    folder : str or path-like
        Where to write the files; it is made if it is missing. Files of these names are replaced.
    name : str, default="network"
        The beginning of all names of files and in C: a letter, and then letters, digits and "_".
    input_dtype : {"float32", "uint8"}, default="float32"
        The type of a number of x. "uint8" is for images of bytes.
    X : array-like of shape (n_samples, ...), default=None
        A few samples for the test program, as `predict` takes them. None draws three.

    Returns
    -------
    list of pathlib.Path
        Header, source and test.

    Raises
    ------
    TypeError
        If it is no such estimator.
    ValueError
        If a parameter is invalid.
    NotImplementedError
        If a layer, or a way to predict, has no form in C; the message names it.

    See Also
    --------
    to_onnx : For other programs than a compiler.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.interchange import export_c
    >>> from sklearn_convnet.layers import Conv2D, MaxPool2D
    >>> X, y = load_digits(return_X_y=True)
    >>> layers = [Conv2D(8, 3), MaxPool2D(2)]
    >>> clf = ConvNetClassifier(layers, input_shape=(8, 8), max_iter=1, random_state=0)
    >>> files = export_c(clf.fit(X, y), tempfile.mkdtemp(), name="digits")
    >>> [file.name for file in files]
    ['digits.h', 'digits.c', 'digits_test.c']
    >>> [line for line in files[0].read_text().splitlines() if "define" in line][1:]
    ['#define DIGITS_INPUT_SIZE 64', '#define DIGITS_OUTPUT_SIZE 10', '#define DIGITS_N_CLASSES 10']
    """
    network, fitted = _network_and_estimator(estimator)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"name must be a letter, and then letters, digits and '_', got {name!r}")
    if input_dtype not in ("float32", "uint8"):
        raise ValueError(f"input_dtype must be 'float32' or 'uint8', got {input_dtype!r}")
    x_dtype = np.dtype(input_dtype)
    layout = layout_of(network, fitted, "auto")
    program, y, content = _written(network, fitted, layout, x_dtype)
    labels = [] if fitted is None else labels_of(fitted)
    X = _samples(X, layout, fitted, x_dtype)
    Y = _predictions(network, fitted, X)
    files = {
        f"{name}.h": text.header(name, program, x_dtype, y, content, labels),
        f"{name}.c": text.source(name, program, x_dtype, labels),
        f"{name}_test.c": text.test(name, X, Y, TOLERANCE),
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for file, written in files.items():
        with whole_file(folder / file) as opened:
            opened.write(written.encode("ascii"))
    return [folder / file for file in files]


def _network_and_estimator(estimator):
    """The network, and the estimator or None."""
    if isinstance(estimator, Network):
        return estimator, None
    if not isinstance(estimator, BaseConvNet):
        raise TypeError(
            "export_c takes a fitted ConvNetClassifier or ConvNetRegressor, or a Network, got "
            f"{type(estimator).__name__}"
        )
    check_is_fitted(estimator)
    votes = {
        "test_time_augmentation": (estimator.test_time_augmentation, "set it to None"),
        "multi_crop": (estimator._fitted["multi_crop"], "fit without it"),
    }
    for parameter, (value, fix) in votes.items():
        if value is not None:
            raise NotImplementedError(
                f"{parameter} has no form in C here: {fix}, and let several predictions vote in "
                "the program that calls"
            )
    return estimator.network_, estimator


def _written(network, estimator, layout, x_dtype):
    """The program, its output, and what that holds."""
    program = Program(layout.shape, fold_batch_norms(network.nodes))
    x = program.x
    if x_dtype == np.uint8:
        x = program.call("from_bytes", x, x.size)
    if layout.axes == "first" and len(layout.seen) > 1:
        x = program.call("channels_last", x, x.shape[0], x.size // x.shape[0])
    z = write_chain(network.nodes, x.reshaped(layout.seen), program)
    content = "the output of the network"
    if estimator is not None:
        z, content = write_output(estimator, z, program)
    program.end(z)
    return program, z, content


def _samples(X, layout, estimator, x_dtype):
    """Samples of the test program, in the shape that they have in `fit`."""
    shape = (int(np.prod(layout.shape)),) if layout.flat else layout.shape
    if X is None:
        rng = np.random.RandomState(0)
        X = rng.randint(256, size=(N_DRAWN, *shape))
        if x_dtype != np.uint8:
            X = rng.normal(size=(N_DRAWN, *shape))
    else:
        X = np.asarray(X)
        if X.shape[1:] != tuple(shape) or len(X) == 0:
            raise ValueError(
                f"X must be samples of shape {tuple(shape)}, at least one, got an array of shape "
                f"{X.shape}"
            )
        if not np.isfinite(X).all():
            raise ValueError("X must be finite: C has no constants for other numbers")
        if x_dtype == np.uint8 and not ((np.floor(X) == X) & (X >= 0) & (X <= 255)).all():
            raise ValueError("X must hold whole numbers from 0 to 255 for input_dtype='uint8'")
    return X.astype(x_dtype)


def _predictions(network, estimator, X):
    """Rows of what y has to be. In float64, X may stay so up to the first weights."""
    X = X.astype(np.float64)
    if hasattr(estimator, "feature_names_in_"):  # X here has no names
        estimator = copy(estimator)
        del estimator.feature_names_in_
    if estimator is None:
        Y = network.forward(X)
    elif not hasattr(estimator._target, "classes"):
        Y = estimator.predict(X)
    else:
        Y = estimator.predict_proba(X)
        if isinstance(Y, list):  # columns of labels
            Y = np.concatenate(Y, axis=1)
        if hasattr(estimator._target, "n_coordinates"):
            Y = np.concatenate([Y, estimator.predict_box(X)], axis=1)
    Y = np.asarray(Y, np.float32).reshape(len(X), -1)
    if not np.isfinite(Y).all():
        raise ValueError("the predictions of the samples X are not finite: scale X as in fit")
    return Y
