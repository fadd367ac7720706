"""The node that appends what is beside a sample."""

from math import prod

import numpy as np

from ..layers.features import ConcatFeatures
from .blocks import copy_channels
from .node import Node, executes, walk


@executes(ConcatFeatures)
class ConcatFeaturesNode(Node):
    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.n_features = int(layer.n_features)
        self.one_size = len(self.input_shape) > 1
        self.width = prod(self.input_shape)

    def forward(self, X, run):
        Y = run.empty((len(X), *self.output_shape), X.dtype)
        copy_channels(X.reshape(len(X), self.width), Y, 0, 0, self.width, run)
        copy_channels(run.features, Y, 0, self.width, self.n_features, run)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        dX = run.empty((len(dY), self.width), dY.dtype)
        copy_channels(dY, dX, 0, 0, self.width, run)
        return dX.reshape(len(dY), *self.input_shape)


def n_features_of(nodes):
    """The number of features of a sample; 0 if no node appends any.

    Raises
    ------
    ValueError
        If two nodes append different numbers of them.
    """
    found = [node for node in walk(nodes) if isinstance(node, ConcatFeaturesNode)]
    for node in found:
        if node.n_features != found[0].n_features:
            raise ValueError(
                f"layer {node.path!r} appends n_features={node.n_features}, but "
                f"{found[0].path!r} {found[0].n_features}: each appends the same features"
            )
    return found[0].n_features if found else 0


def checked_features(features, n_samples, n_features, dtype):
    """The features of a batch as an array of the network's dtype; raises ValueError if they are not
    of the shape that its layers append."""
    if features is None:
        raise ValueError(
            f"the network appends n_features={n_features} to each sample, but X comes without: "
            "give sklearn_convnet.beside.WithFeatures(X, features)"
        )
    if np.shape(features) != (n_samples, n_features):
        takes = f"its layers append {n_features}" if n_features else "it has no ConcatFeatures"
        raise ValueError(
            f"the network is given features of shape {np.shape(features)} beside {n_samples} "
            f"samples, but {takes}"
        )
    return np.ascontiguousarray(features, dtype)
