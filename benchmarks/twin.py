"""The same network in PyTorch: from our layers, with our weights.

Of our layers those that the benchmarks use, as somebody would write them there.
"""

from functools import singledispatchmethod
from math import prod

import numpy as np
import torch
from torch import nn

from sklearn_convnet import layers as ours
from sklearn_convnet.layers.composition import PASSTHROUGH, named_layers

ACTIVATIONS = {
    None: lambda: [],
    "identity": lambda: [],
    "relu": lambda: [nn.ReLU()],
    "relu6": lambda: [nn.ReLU6()],
    "tanh": lambda: [nn.Tanh()],
    "logistic": lambda: [nn.Sigmoid()],
    "silu": lambda: [nn.SiLU()],
    "gelu": lambda: [nn.GELU()],
}


# %%
# Modules that PyTorch has no class for


class Sum(nn.Module):
    """The output of the body plus that of the shortcut."""

    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, X):
        return self.body(X) + self.shortcut(X)


class Side(nn.Module):
    """The outputs of the branches, concatenated."""

    def __init__(self, branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, X):
        return torch.cat([branch(X) for branch in self.branches], 1)


class Dense(nn.Module):
    """Each layer sees all maps before it."""

    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, X):
        for layer in self.layers:
            X = torch.cat([X, layer(X)], 1)
        return X


class Product(nn.Module):
    """X times the gate."""

    def __init__(self, gate):
        super().__init__()
        self.gate = gate

    def forward(self, X):
        G = self.gate(X)
        return X * G.reshape(*G.shape, *(1,) * (X.ndim - G.ndim))


class Scale(nn.Module):
    """X times a number, plus another."""

    def __init__(self, scale, offset):
        super().__init__()
        self.scale, self.offset = scale, offset

    def forward(self, X):
        return X * self.scale + self.offset


class Attention(nn.Module):
    """Attention of rows to one another, and the rows added."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention

    def forward(self, X):
        return X + self.attention(X, X, X, need_weights=False)[0]


# %%
# The twin


class Twin:
    """A PyTorch module that computes what a network of ours computes.

    Parameters
    ----------
    network : Network
        Its layers and weights are copied.

    Attributes
    ----------
    module : torch.nn.Module
        Takes maps with the channels first; rows of attention with the channels last.
    """

    def __init__(self, network):
        self._arrays = {**network.parameters(), **network.buffers()}
        self._pairs = []  # (path, PyTorch's parameter, its gradient in our layout)
        self.module = self._chain(network.layers, network.input_shape, "")

    def gradients(self):
        """The gradients of the last backward in our layout, by our paths."""
        return {path: to_ours(parameter.grad.numpy()) for path, parameter, to_ours in self._pairs}

    def _chain(self, layers, shape, prefix):
        modules = []
        for name, layer in named_layers(layers):
            modules += self._modules(layer, shape, prefix + name)
            shape = layer.output_shape(shape)
        return nn.Sequential(*modules)

    def _copy(self, path, parameter, to_theirs=np.asarray, to_ours=np.asarray):
        """Fills a parameter, if there is one, and remembers how its gradient comes back."""
        if parameter is None:
            return
        array = np.ascontiguousarray(to_theirs(self._arrays[path]))
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(array).reshape(parameter.shape))
        if parameter.requires_grad:
            self._pairs.append((path, parameter, to_ours))

    def _copy_filters(self, path, module, transposed=False):
        """(*kernel, in, out) as (out, in, *kernel), or (in, out, *kernel)."""
        n = module.weight.ndim - 2
        axes = (n, n + 1) if transposed else (n + 1, n)
        self._copy(
            f"{path}/weight",
            module.weight,
            lambda W: W.transpose(*axes, *range(n)),
            lambda G: G.transpose(*range(2, n + 2), *((0, 1) if transposed else (1, 0))),
        )
        self._copy(f"{path}/bias", module.bias)

    @singledispatchmethod
    def _modules(self, layer, shape, path):
        """The list of modules that a layer is in PyTorch."""
        raise TypeError(f"{type(layer).__name__} has no twin")

    @_modules.register(ours.Conv1D)
    @_modules.register(ours.Conv2D)
    @_modules.register(ours.Conv3D)
    def _(self, layer, shape, path):
        kernel, stride, pads, dilation = layer.geometry(shape)
        same = any(before != after for before, after in pads)
        make = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[len(kernel) - 1]
        padding = "same" if same else tuple(before for before, _ in pads)
        options = (stride, padding, dilation, layer.groups, layer.use_bias)
        module = make(shape[-1], layer.filters, kernel, *options)
        self._copy_filters(path, module)
        return [module, *ACTIVATIONS[layer.activation]()]

    @_modules.register(ours.DepthwiseConv2D)
    def _(self, layer, shape, path):
        kernel, stride, pads, dilation = layer.geometry(shape)
        options = (stride, symmetric(layer, pads), dilation, shape[-1], layer.use_bias)
        module = nn.Conv2d(shape[-1], shape[-1] * layer.multiplier, kernel, *options)
        ours_shape = (*kernel, shape[-1], layer.multiplier)
        self._copy(
            f"{path}/weight",
            module.weight,
            lambda W: W.reshape(*kernel, -1).transpose(2, 0, 1),
            lambda G: G[:, 0].transpose(1, 2, 0).reshape(ours_shape),
        )
        self._copy(f"{path}/bias", module.bias)
        return [module, *ACTIVATIONS[layer.activation]()]

    @_modules.register(ours.ConvTranspose2D)
    def _(self, layer, shape, path):
        kernel, stride, pads, dilation = layer.geometry(shape)
        module = nn.ConvTranspose2d(
            shape[-1], layer.filters, kernel, stride, symmetric(layer, pads),
            layer.output_padding, layer.groups, layer.use_bias, dilation,
        )  # fmt: skip
        self._copy_filters(path, module, transposed=True)
        return [module, *ACTIVATIONS[layer.activation]()]

    @_modules.register(ours.Dense)
    def _(self, layer, shape, path):
        module = nn.Linear(prod(shape), layer.units, layer.use_bias)
        # The maps are unrolled with their channels first there, and last here.
        rows = np.moveaxis(np.arange(prod(shape)).reshape(shape), -1, 0).ravel()
        back = np.argsort(rows)
        weight = f"{path}/weight"
        self._copy(weight, module.weight, lambda W: W[rows].T, lambda G: G.T[back])
        self._copy(f"{path}/bias", module.bias)
        flatten = [nn.Flatten()] if len(shape) > 1 else []
        return [*flatten, module, *ACTIVATIONS[layer.activation]()]

    @_modules.register(ours.BatchNorm)
    def _(self, layer, shape, path):
        make = (nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[len(shape) - 1]
        module = make(shape[-1], layer.epsilon, 1 - layer.momentum)
        self._copy(f"{path}/scale", module.weight)
        self._copy(f"{path}/offset", module.bias)
        self._copy(f"{path}/mean", module.running_mean)
        self._copy(f"{path}/variance", module.running_var)
        return [module]

    @_modules.register(ours.GroupNorm)
    def _(self, layer, shape, path):
        module = nn.GroupNorm(layer.n_groups, shape[-1], layer.epsilon)
        self._copy(f"{path}/scale", module.weight)
        self._copy(f"{path}/offset", module.bias)
        return [module]

    @_modules.register(ours.LocalResponseNorm)
    def _(self, layer, shape, path):
        return [nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.bias)]

    @_modules.register(ours.MaxPool1D)
    @_modules.register(ours.MaxPool2D)
    @_modules.register(ours.MaxPool3D)
    def _(self, layer, shape, path):
        window, stride, pads = layer.geometry(shape)
        make = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[len(window) - 1]
        if set(pads) == {(0, 1)}:  # windows that are clipped at the end
            return [make(window, stride, ceil_mode=True)]
        return [make(window, stride, symmetric(layer, pads))]

    @_modules.register(ours.AvgPool2D)
    def _(self, layer, shape, path):
        window, stride, pads = layer.geometry(shape)
        padding = symmetric(layer, pads)
        return [nn.AvgPool2d(window, stride, padding, count_include_pad=False)]

    @_modules.register(ours.LpPool2D)
    def _(self, layer, shape, path):
        window, stride = layer.geometry(shape)[:2]
        return [nn.LPPool2d(layer.p, window, stride)]

    @_modules.register(ours.GlobalAvgPool)
    def _(self, layer, shape, path):
        make = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[len(shape) - 2]
        return [make(1), nn.Flatten()]

    @_modules.register(ours.Upsample2D)
    def _(self, layer, shape, path):
        return [nn.Upsample(scale_factor=layer.size, mode=layer.interpolation)]

    @_modules.register(ours.Activation)
    def _(self, layer, shape, path):
        return ACTIVATIONS[layer.activation]()

    @_modules.register(ours.Rescale)
    def _(self, layer, shape, path):
        return [Scale(layer.scale, layer.offset)]

    @_modules.register(ours.Dropout)
    def _(self, layer, shape, path):
        return [nn.Dropout(layer.rate)] if layer.rate else []

    @_modules.register(ours.SelfAttention)
    def _(self, layer, shape, path):
        attention = nn.MultiheadAttention(shape[-1], layer.n_heads, batch_first=True)
        names = ("query", "key", "value")
        for end, parameter in (("", attention.in_proj_weight), ("_bias", attention.in_proj_bias)):
            parts = [self._arrays[f"{path}/{name}{end}"].T for name in names]
            with torch.no_grad():
                parameter.copy_(torch.from_numpy(np.concatenate(parts)))
        self._copy(f"{path}/output", attention.out_proj.weight, np.transpose, np.transpose)
        self._copy(f"{path}/output_bias", attention.out_proj.bias)
        return [Attention(attention)]

    @_modules.register(ours.Sequential)
    def _(self, layer, shape, path):
        return list(self._chain(layer.layers, shape, f"{path}/"))

    @_modules.register(ours.Residual)
    def _(self, layer, shape, path):
        pairs = layer.shortcut_layers(shape)
        prefix = f"{path}/" if len(pairs) == 1 else f"{path}/shortcut/"
        shortcut = self._chain(pairs, shape, prefix) if pairs else nn.Identity()
        return [Sum(self._chain(layer.layers, shape, f"{path}/"), shortcut)]

    @_modules.register(ours.Parallel)
    def _(self, layer, shape, path):
        branches = [
            nn.Identity() if branch == PASSTHROUGH
            else self._chain([(name, branch)], shape, f"{path}/")
            for name, branch in layer.branch_layers()
        ]  # fmt: skip
        return [Side(branches)]

    @_modules.register(ours.DenseBlock)
    def _(self, layer, shape, path):
        layers = [
            self._chain([(name, inner)], seen, f"{path}/")
            for name, inner, seen, _ in layer.layer_shapes(shape)
        ]
        return [Dense(layers)]

    @_modules.register(ours.SqueezeExcite)
    def _(self, layer, shape, path):
        return [Product(self._chain(layer.gate_layers(shape), shape, f"{path}/"))]


def symmetric(layer, pads):
    """The padding of a window, which PyTorch wants to be equal on both sides."""
    for before, after in pads:
        if before != after:
            raise ValueError(f"{layer} pads {before} before and {after} after")
    return tuple(before for before, _ in pads)
