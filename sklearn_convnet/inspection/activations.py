"""The outputs of layers for samples: what a network makes of them on the way."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..network.network import Network
from ..on_demand import Samples
from ..training import chunk_rows
from .samples import Seen


def activations(
    estimator: ConvNetClassifier | ConvNetRegressor | Network,
    X: Samples,
    layers: str | int | Sequence[str | int],
) -> dict[str, NDArray[Any]]:
    """Compute the outputs of layers at any depth, as in a prediction.

    Running statistics are used and nothing is dropped. The estimator is not changed. X is processed
    in batches: memory holds no more than the result and the maps of one batch.

    Parameters
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or Network
        Fitted. With `multi_crop`, the network is shown the crop in the middle.
    X : array-like of shape (n_samples, *sample_shape)
        Samples, in every form that `predict` takes, but of the size that the estimator was fitted
        to. A `Network` takes arrays of its `input_shape`; ``network_.resized(shape)`` is the one
        for samples of another size.
    layers : str, int, or list of them
        Paths of layers, such as ``"conv2d1"`` or ``"residual1/conv2d1"``, or their places in
        `layers_`: 0 is the first, -1 the output layer, -2 the last hidden one. The output of a
        layer includes its own activation; that of the output layer comes before softmax, or
        whatever turns it into predictions.

    Returns
    -------
    dict of str to ndarray
        By path, in the order of `layers`: arrays of shape (n_samples, *output_shape), with the
        channels last whatever `data_format` is.

    Raises
    ------
    TypeError
        If `estimator` is none of this package, or a layer is given by neither path nor place.
    ValueError
        If there is no such layer, or X is not like the training data.
    NotFittedError
        If the estimator is not fitted.

    See Also
    --------
    FeatureExtractor : The same as a transformer, for pipelines.
    nearest_samples : Samples with similar outputs of a layer.

    Notes
    -----
    Layers run one by one here, so that each output can be returned. In a prediction several are
    fused, which rounds a little differently: the last digits of the output layer may differ.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.inspection import activations
    >>> from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D, Residual
    >>> X, y = load_digits(return_X_y=True)
    >>> layers = [Residual([Conv2D(8, 3, padding="same")]), MaxPool2D(2), Dense(32)]
    >>> clf = ConvNetClassifier(layers, input_shape=(8, 8), max_iter=2, random_state=0)
    >>> maps = activations(clf.fit(X, y), X[:5], ["residual1/conv2d1", -2])
    >>> {path: array.shape for path, array in maps.items()}
    {'residual1/conv2d1': (5, 8, 8, 8), 'dense1': (5, 32)}
    """
    seen = Seen.of(estimator, X)
    probe = seen.network.probe()
    paths = list(dict.fromkeys(map(probe.path, as_list(layers))))
    n, step = len(seen), chunk_rows(seen.network)
    found = {}
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        maps = probe.forward(seen.rows(rows), paths, backward=False, n_threads=seen.n_threads)
        for path, part in maps.items():
            if start == 0:
                found[path] = np.empty((n, *part.shape[1:]), part.dtype)
            found[path][rows] = part
    return found


def as_list(layers):
    """One layer or several as a list.

    Raises
    ------
    TypeError
        If they are neither.
    ValueError
        If there are none.
    """
    if isinstance(layers, (str, Integral)):
        return [layers]
    if not isinstance(layers, (list, tuple)):
        raise TypeError(
            "layers must be a path such as 'conv2d1', a place such as -2, or a list of them, "
            f"got {layers!r}"
        )
    if not layers:
        raise ValueError("layers is empty: name one, such as 'conv2d1' or -2")
    return list(layers)


def features(estimator, X, layer):
    """The outputs of one layer, a row for each sample."""
    [maps] = activations(estimator, X, [layer]).values()
    return maps.reshape(len(maps), -1)
