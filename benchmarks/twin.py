"""The same network in PyTorch: from our layers, with our weights.

Only what the benchmarks use: convolutions, max pools, dense layers, batch norm, local response
norm, dropout, residual blocks, ReLU, global mean pools.
"""

import numpy as np
import torch
from torch import nn

from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool,
    LocalResponseNorm,
    MaxPool2D,
    Rescale,
    Residual,
    Sequential,
)
from sklearn_convnet.layers.composition import named_layers


class Sum(nn.Module):
    """The output of the body plus that of the shortcut."""

    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, X):
        return self.body(X) + self.shortcut(X)


class Scale(nn.Module):
    """X times a number, plus another."""

    def __init__(self, scale, offset):
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, X):
        return X * self.scale + self.offset


class Twin:
    """A PyTorch module that computes what a network of ours computes.

    Parameters
    ----------
    network : Network
        Its layers and weights are copied.

    Attributes
    ----------
    module : torch.nn.Module
        Takes maps with the channels first.
    """

    def __init__(self, network):
        self._arrays = {**network.parameters(), **network.buffers()}
        self._pairs = []  # (path, PyTorch's parameter, its axes in our order, our rows in its)
        self.module = self._chain(network.layers, network.input_shape, "")

    def gradients(self):
        """The gradients of the last backward in our layout, by our paths."""
        return {path: to_ours(parameter.grad) for path, parameter, to_ours in self._pairs}

    def _chain(self, layers, shape, prefix):
        modules = []
        for name, layer in named_layers(layers):
            modules += self._modules(layer, shape, prefix + name)
            shape = layer.output_shape(shape)
        return nn.Sequential(*modules)

    def _modules(self, layer, shape, path):
        """The list of modules that a layer is in PyTorch."""
        if isinstance(layer, Conv2D):
            return self._conv(layer, shape, path)
        if isinstance(layer, Dense):
            return self._dense(layer, shape, path)
        if isinstance(layer, BatchNorm):
            return self._batch_norm(layer, shape, path)
        if isinstance(layer, MaxPool2D):
            return [nn.MaxPool2d(layer.pool_size, layer.stride, symmetric(layer, shape))]
        if isinstance(layer, GlobalAvgPool):
            return [nn.AdaptiveAvgPool2d(1)]
        if isinstance(layer, LocalResponseNorm):
            return [nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.bias)]
        if isinstance(layer, Dropout):
            return [nn.Dropout(layer.rate)]
        if isinstance(layer, Rescale):
            return [Scale(layer.scale, layer.offset)]
        if isinstance(layer, Activation):
            return activation(layer.activation)
        if isinstance(layer, Sequential):
            return list(self._chain(layer.layers, shape, f"{path}/"))
        if isinstance(layer, Residual):
            return [self._residual(layer, shape, path)]
        raise TypeError(f"{type(layer).__name__} has no twin")

    def _residual(self, layer, shape, path):
        pairs = layer.shortcut_layers(shape)
        prefix = f"{path}/" if len(pairs) == 1 else f"{path}/shortcut/"
        return Sum(
            self._chain(layer.layers, shape, f"{path}/"),
            self._chain(pairs, shape, prefix) if pairs else nn.Identity(),
        )

    def _conv(self, layer, shape, path):
        module = nn.Conv2d(
            shape[-1],
            layer.filters,
            layer.kernel_size,
            layer.stride,
            symmetric(layer, shape),
            layer.dilation,
            layer.groups,
            layer.use_bias,
        )
        self._copy(f"{path}/weight", module.weight, lambda W: W.transpose(3, 2, 0, 1))
        self._note(f"{path}/weight", module.weight, lambda W: W.transpose(2, 3, 1, 0))
        self._copy_vector(f"{path}/bias", module.bias)
        return [module, *activation(layer.activation)]

    def _dense(self, layer, shape, path):
        module = nn.Linear(int(np.prod(shape)), layer.units, layer.use_bias)
        # The maps are unrolled with their channels first there, and last here.
        rows = np.arange(np.prod(shape)).reshape(shape)
        rows = np.moveaxis(rows, -1, 0).ravel()
        back = np.argsort(rows)
        self._copy(f"{path}/weight", module.weight, lambda W: W[rows].T)
        self._note(f"{path}/weight", module.weight, lambda W: W.T[back])
        self._copy_vector(f"{path}/bias", module.bias)
        return [nn.Flatten(), module, *activation(layer.activation)]

    def _batch_norm(self, layer, shape, path):
        module = nn.BatchNorm2d(shape[-1], layer.epsilon, 1 - layer.momentum)
        self._copy_vector(f"{path}/scale", module.weight)
        self._copy_vector(f"{path}/offset", module.bias)
        self._copy(f"{path}/mean", module.running_mean, lambda v: v)
        self._copy(f"{path}/variance", module.running_var, lambda v: v)
        return [module]

    def _copy_vector(self, path, parameter):
        if parameter is not None:
            self._copy(path, parameter, lambda v: v)
            self._note(path, parameter, lambda v: v)

    def _copy(self, path, parameter, to_theirs):
        array = np.ascontiguousarray(to_theirs(self._arrays[path]))
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(array))

    def _note(self, path, parameter, to_ours):
        self._pairs.append((path, parameter, lambda G: to_ours(G.numpy())))


def symmetric(layer, shape):
    """The padding of a window, which PyTorch wants to be equal on both sides."""
    pads = layer.geometry(shape)[2]
    for before, after in pads:
        if before != after:
            raise ValueError(f"{layer} pads {before} before and {after} after")
    return tuple(before for before, _ in pads)


def activation(name):
    """ReLU or nothing."""
    if name in (None, "identity"):
        return []
    if name == "relu":
        return [nn.ReLU()]
    raise ValueError(f"the activation {name!r} has no twin")
