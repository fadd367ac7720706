"""Networks as ONNX models.

::

    __init__.py                  to_onnx
      pipelines.py               the same inside of models that skl2onnx converts
        write.py                 a graph from X to what a prediction is
          inputs.py crops.py     X
          targets.py             what a prediction is
          conv.py pool.py pointwise.py blocks.py
                                 a converter for each kind of node
            convert.py           which of them writes what
              graph.py           nodes and constants, and the model that is made of them
"""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import DTypeLike
from sklearn.utils.validation import check_is_fitted

from ...estimators.base import BaseConvNet
from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ...network import Network
from ...onnx_package import import_onnx
from .convert import converts_to_onnx
from .pipelines import register_skl2onnx
from .write import MIN_OPSET, write_graph

if TYPE_CHECKING:
    import onnx

__all__ = ["converts_to_onnx", "register_skl2onnx", "to_onnx"]


def to_onnx(
    estimator: ConvNetClassifier | ConvNetRegressor | Network,
    path: PathLike | None = None,
    *,
    layout: Literal["auto", "channels_last", "channels_first", "flat"] = "auto",
    input_dtype: DTypeLike | None = None,
    dtype: Literal["float32", "float64"] | None = None,
    opset: int | None = None,
    zipmap: bool = False,
    fold_batch_norms: bool = True,
) -> onnx.ModelProto:
    """Convert a fitted network to an ONNX model.

    The model predicts what the estimator predicts. Its inputs are "X" and, where the estimator was
    fitted with features, "features", which are of `dtype`. Its outputs have the names that skl2onnx
    uses:

    - of a classifier, "label" and "probabilities" are what `predict` and `predict_proba` return;
      for several columns of labels "probabilities" is a sequence, and where there are boxes, "box"
      is what `predict_box` returns and "label" the labels alone;
    - of a regressor, "variable" is what `predict` returns;
    - of a `Network`, "output" is what `forward` returns.

    Parameters
    ----------
    estimator : ConvNetClassifier, ConvNetRegressor or Network
        A fitted one, or a network that `compile_network` has made.
    path : str or path-like, default=None
        Where to write the model; None writes nothing.
    layout : {"auto", "channels_last", "channels_first", "flat"}, default="auto"
        The shape of the input "X". "auto" is the one that X had in `fit`: in the order of
        `data_format`, without an axis of channels if X had none, and flat where `input_shape` was
        set. "channels_last" and "channels_first" have the axis of channels there, of length 1 if X
        had none. "flat" has the values of a sample in a row, in the order of `data_format`.
    input_dtype : dtype, default=None
        Of the input, such as "uint8" for images of bytes, which the model casts. None is `dtype`.
    dtype : {"float32", "float64"}, default=None
        Precision of the model; None is that of the network. onnxruntime has no convolutions in
        float64: use "float32" there.
    opset : int, default=None
        Version of the operators, at least 18, which None stands for.
    zipmap : bool, default=False
        Whether "probabilities" is a list with a dict for each sample, from labels to probabilities.
    fold_batch_norms : bool, default=True
        Whether a batch norm right after a convolution or a dense layer is folded into its weights.

    Returns
    -------
    onnx.ModelProto
        The number of samples is free, and so is their size where all layers allow any.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    TypeError
        If it is no such estimator.
    ValueError
        If a parameter is invalid, or ONNX has no such labels.
    NotImplementedError
        If a layer has no form in ONNX; the message names it.

    See Also
    --------
    register_skl2onnx : For pipelines, ensembles and searches that hold networks.
    converts_to_onnx : For layers that the package does not know.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.interchange import to_onnx
    >>> from sklearn_convnet.layers import Conv2D, MaxPool2D
    >>> X, y = load_digits(return_X_y=True)
    >>> layers = [Conv2D(8, 3), MaxPool2D(2)]
    >>> clf = ConvNetClassifier(layers, input_shape=(8, 8), max_iter=1, random_state=0)
    >>> model = to_onnx(clf.fit(X, y), dtype="float32")
    >>> [node.op_type for node in model.graph.node][:5]
    ['Reshape', 'Unsqueeze', 'Conv', 'Relu', 'MaxPool']
    >>> [output.name for output in model.graph.output]
    ['label', 'probabilities']
    """
    network, fitted = _network_and_estimator(estimator)
    dtype = _checked_dtype(network.dtype if dtype is None else dtype, "dtype", "f")
    of_input = dtype if input_dtype is None else input_dtype
    graph = write_graph(
        network,
        fitted,
        layout=layout,
        input_dtype=_checked_dtype(of_input, "input_dtype", "biuf"),
        dtype=dtype,
        opset=MIN_OPSET if opset is None else opset,
        zipmap=zipmap,
        fold_batch_norms=fold_batch_norms,
    )
    model = graph.to_model(type(estimator).__name__)
    if path is not None:
        if not isinstance(path, (str, PathLike)):
            raise TypeError(f"path must be a str or a path, got {type(path).__name__}")
        import_onnx().save_model(model, path)
    return model


def _network_and_estimator(estimator):
    """The network, and the estimator or None."""
    if isinstance(estimator, Network):
        return estimator, None
    if not isinstance(estimator, BaseConvNet):
        raise TypeError(
            "to_onnx takes a fitted ConvNetClassifier or ConvNetRegressor, or a Network, got "
            f"{type(estimator).__name__}: of pipelines, ensembles and searches that hold networks, "
            "skl2onnx.to_onnx makes one model, after register_skl2onnx()"
        )
    check_is_fitted(estimator)
    return estimator.network_, estimator


def _checked_dtype(dtype, name, kinds):
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.kind not in kinds or (kinds == "f" and found.itemsize not in (4, 8)):
        wanted = "float32 or float64" if kinds == "f" else "a dtype of real numbers"
        raise ValueError(f"{name} must be {wanted}, got {dtype!r}")
    return found
