"""Files of weights."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .._typing import PathLike
from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..tensor_files import read_weights, write_weights
from .errors import ModelFileError


def save_weights(estimator: ConvNetClassifier | ConvNetRegressor, path: PathLike) -> None:
    """Write the weights of a fitted estimator to a safetensors file.

    The file is written as a whole or not at all: what was there before stays until the new one is
    on disk.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor
        Fitted. What its `get_weights` returns is written: trained arrays, and the statistics of
        `Standardize`, `BatchNorm` and of normalised y.
    path : str or path-like
        Of the file, most often ending in ``.safetensors``.

    Raises
    ------
    NotFittedError
        If the estimator is not fitted.
    ImportError
        If the package safetensors is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.interchange import load_weights, save_weights
    >>> from sklearn_convnet.layers import Dense
    >>> clf = ConvNetClassifier([Dense(3)], max_iter=1).fit(np.eye(4), [0, 1, 0, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(clf, f"{folder}/clf.safetensors")
    ...     sorted(load_weights(f"{folder}/clf.safetensors"))
    ['dense1/bias', 'dense1/weight', 'output/bias', 'output/weight']
    """
    weights = estimator.get_weights()
    about = {"estimator": type(estimator).__name__, "dtype": estimator.network_.dtype.name}
    write_weights(path, weights, about)


def load_weights(path: PathLike) -> dict[str, NDArray[Any]]:
    """Read the arrays of a safetensors file.

    The result is what `set_weights` of a fitted estimator takes, and ``init_from``. The file may
    as well be another program's: its arrays then have that program's names and layouts.

    Parameters
    ----------
    path : str or path-like
        Of the file.

    Returns
    -------
    dict of str to ndarray
        By path, such as "conv1/weight".

    Raises
    ------
    ModelFileError
        If the file is no safetensors file, is damaged, or is of a format that this version does
        not know yet.
    ImportError
        If the package safetensors is not installed.
    """
    try:
        return read_weights(path)
    except ValueError as error:
        raise ModelFileError(str(error)) from error
