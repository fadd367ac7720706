"""Layers and weights from ONNX models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from numpy.typing import NDArray

from .._typing import PathLike
from ..layers.base import Layer
from ..onnx_import import read_onnx

if TYPE_CHECKING:
    import onnx


def from_onnx(
    model: PathLike | BinaryIO | onnx.ModelProto,
    *,
    task: Literal["classification", "regression"] | None = None,
    input_shape: tuple[int, ...] | None = None,
    output: str | None = None,
) -> tuple[list[Layer], dict[str, NDArray[Any]]]:
    """Read the layers and weights of a network in an ONNX model.

    The graph is read back into nested blocks: chains, `Residual`, `Parallel`, `DenseBlock`, `Gate`
    and `SqueezeExcite`. Channels are last in the layers and weights, wherever the graph has them.

    Parameters
    ----------
    model : str, path-like, file opened for reading bytes, or onnx.ModelProto
        The model, or the file that it is in.
    task : {"classification", "regression"}, default=None
        Use of the network. "classification" leaves out a softmax or logistic function at the end,
        so that the network returns scores, two where the model has one. "regression" leaves out an
        exponential function there, and folds factors and sums after the last dense layer into its
        weights. None changes nothing.
    input_shape : tuple of int, default=None
        Shape of a sample, in the order of the model's input, where the model leaves it free.
    output : str, default=None
        Name of the value in the graph that the network computes: an output, or an inner value; only
        the graph that leads to it is read. None is the first output, or the probabilities where a
        model has labels and probabilities.

    Returns
    -------
    layers : list of Layer
        For `compile_network` or an estimator.
    weights : dict of str to ndarray
        By path, as `init_from` takes them.

    Raises
    ------
    ImportError
        If the package onnx is not installed.
    TypeError
        If `model` is neither a path nor a model.
    ValueError
        If a parameter is invalid, or the shape of a sample is not known.
    NotImplementedError
        If part of the model cannot be expressed in layers; the message names the node of the
        graph.

    Examples
    --------
    >>> from sklearn_convnet.interchange import from_onnx, to_onnx
    >>> from sklearn_convnet.layers import Conv2D, Dense, GlobalAvgPool, Residual
    >>> from sklearn_convnet.network import compile_network
    >>> block = Residual([Conv2D(4, 3, padding="same")])
    >>> network = compile_network([block, GlobalAvgPool(), Dense(3)], (8, 8, 4), random_state=0)
    >>> layers, weights = from_onnx(to_onnx(network), input_shape=(8, 8, 4))
    >>> [type(layer).__name__ for layer in layers]
    ['Residual', 'GlobalAvgPool', 'Dense']
    >>> sorted(weights)
    ['dense1/bias', 'dense1/weight', 'residual1/conv2d1/bias', 'residual1/conv2d1/weight']
    """
    found = read_onnx(model, task=task, input_shape=input_shape, output=output)
    return found.layers, found.weights
