"""The same network in JAX: a function of our parameters, by our paths, and of our maps.

Of our layers those of the networks that `compare.py` trains; channels stay last.
"""

from functools import singledispatch

import jax
import jax.numpy as jnp
from jax import lax

from sklearn_convnet import layers as ours
from sklearn_convnet.layers.composition import PASSTHROUGH, named_layers

ACTIVATIONS = {
    None: lambda X: X,
    "identity": lambda X: X,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "tanh": jnp.tanh,
    "logistic": jax.nn.sigmoid,
}


class Twin:
    """What a network of ours computes.

    Parameters
    ----------
    network : Network
        Its layers and arrays are copied.

    Attributes
    ----------
    parameters, statistics : dict of str to jax.Array
    """

    def __init__(self, network):
        self._layers = network.layers
        self.parameters = {k: jnp.array(v) for k, v in network.parameters().items()}
        self.statistics = {
            k: jnp.array(v, jnp.float32) for k, v in network.buffers().items()
        }  # fmt: skip

    def __call__(self, parameters, statistics, X, training):
        """The output, and the statistics after it."""
        run = Run({**parameters, **statistics}, training)
        Y = run.chain(self._layers, X, "")
        return Y, {**statistics, **run.moved}


class Run:
    """One pass: the arrays by path, and the statistics that it moves."""

    def __init__(self, arrays, training):
        self.arrays, self.training, self.moved = arrays, training, {}

    def chain(self, layers, X, prefix):
        for name, layer in named_layers(layers):
            X = apply(layer, X, prefix + name, self)
        return X


@singledispatch
def apply(layer, X, path, run):
    """The output of a layer."""
    raise TypeError(f"{type(layer).__name__} has no twin")


def convolve(X, W, geometry, groups):
    _, stride, pads, dilation = geometry
    axes = "DHW"[-len(stride) :]
    numbers = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    return lax.conv_general_dilated(
        X, W, stride, pads, rhs_dilation=dilation, dimension_numbers=numbers,
        feature_group_count=groups,
    )  # fmt: skip


def ended(layer, Z, path, run):
    """Z with the bias and the activation of its layer."""
    if layer.use_bias:
        Z = Z + run.arrays[f"{path}/bias"]
    return ACTIVATIONS[layer.activation](Z)


@apply.register(ours.Conv1D)
@apply.register(ours.Conv2D)
@apply.register(ours.Conv3D)
def _(layer, X, path, run):
    W = run.arrays[f"{path}/weight"]
    Z = convolve(X, W, layer.geometry(X.shape[1:]), layer.groups)
    return ended(layer, Z, path, run)


@apply.register(ours.DepthwiseConv2D)
def _(layer, X, path, run):
    W = run.arrays[f"{path}/weight"]
    W = W.reshape(*W.shape[:2], 1, -1)
    Z = convolve(X, W, layer.geometry(X.shape[1:]), X.shape[-1])
    return ended(layer, Z, path, run)


@apply.register(ours.ConvTranspose2D)
def _(layer, X, path, run):
    W = run.arrays[f"{path}/weight"]
    if layer.padding != "valid":
        raise ValueError(f"{layer}: only padding='valid' has a twin")
    # Rows of X lie a stride apart, and the filters are turned round.
    size, stride, *_ = layer.geometry(X.shape[1:])
    pads = [(k - 1, k - 1) for k in size]
    Z = lax.conv_general_dilated(
        X, W[::-1, ::-1], (1, 1), pads, lhs_dilation=stride,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    return ended(layer, Z, path, run)


@apply.register(ours.Dense)
def _(layer, X, path, run):
    return ended(layer, X.reshape(len(X), -1) @ run.arrays[f"{path}/weight"], path, run)


@apply.register(ours.BatchNorm)
def _(layer, X, path, run):
    mean, variance = (run.arrays[f"{path}/{name}"] for name in ("mean", "variance"))
    if run.training:
        axes = tuple(range(X.ndim - 1))
        means = (X.mean(axes), X.var(axes))
        for name, running, value in zip(
            ("mean", "variance"), (mean, variance), means, strict=True
        ):  # fmt: skip
            moved = layer.momentum * running + (1 - layer.momentum) * value
            run.moved[f"{path}/{name}"] = lax.stop_gradient(moved)
        mean, variance = means
    factor = run.arrays[f"{path}/scale"] * lax.rsqrt(variance + layer.epsilon)
    return (X - mean) * factor + run.arrays[f"{path}/offset"]


@apply.register(ours.LocalResponseNorm)
def _(layer, X, path, run):
    window, before = (1,) * (X.ndim - 1) + (layer.size,), layer.size // 2
    pads = ((0, 0),) * (X.ndim - 1) + ((before, layer.size - 1 - before),)
    sums = lax.reduce_window(X * X, 0.0, lax.add, window, (1,) * X.ndim, pads)
    return X * (layer.bias + layer.alpha / layer.size * sums) ** -layer.beta


def pooled(layer, X, start, function):
    window, stride, pads = layer.geometry(X.shape[1:])
    sizes = ((1, *window, 1), (1, *stride, 1), ((0, 0), *pads, (0, 0)))
    return lax.reduce_window(X, start, function, *sizes), window


@apply.register(ours.MaxPool1D)
@apply.register(ours.MaxPool2D)
@apply.register(ours.MaxPool3D)
def _(layer, X, path, run):
    return pooled(layer, X, -jnp.inf, lax.max)[0]


@apply.register(ours.AvgPool2D)
def _(layer, X, path, run):
    sums, window = pooled(layer, X, 0.0, lax.add)
    return sums / (window[0] * window[1])


@apply.register(ours.GlobalAvgPool)
def _(layer, X, path, run):
    return X.mean(tuple(range(1, X.ndim - 1)))


@apply.register(ours.Activation)
def _(layer, X, path, run):
    return ACTIVATIONS[layer.activation](X)


@apply.register(ours.Rescale)
def _(layer, X, path, run):
    return X * layer.scale + layer.offset


@apply.register(ours.Dropout)
def _(layer, X, path, run):
    if layer.rate:
        raise ValueError("no numbers are dropped here")
    return X


@apply.register(ours.Sequential)
def _(layer, X, path, run):
    return run.chain(layer.layers, X, f"{path}/")


@apply.register(ours.Residual)
def _(layer, X, path, run):
    pairs = layer.shortcut_layers(X.shape[1:])
    prefix = f"{path}/" if len(pairs) == 1 else f"{path}/shortcut/"
    return run.chain(layer.layers, X, f"{path}/") + run.chain(pairs, X, prefix)


@apply.register(ours.Parallel)
def _(layer, X, path, run):
    branches = [
        X if branch == PASSTHROUGH else run.chain([(name, branch)], X, f"{path}/")
        for name, branch in layer.branch_layers()
    ]
    return jnp.concatenate(branches, -1)


@apply.register(ours.DenseBlock)
def _(layer, X, path, run):
    for name, inner, *_ in layer.layer_shapes(X.shape[1:]):
        X = jnp.concatenate([X, run.chain([(name, inner)], X, f"{path}/")], -1)
    return X
