"""Random networks and their losses, against PyTorch.

A new kind of layer gets an entry in `KINDS`: how to draw one, and what PyTorch has.
PyTorch works on channels-first maps; here its arrays are moved there and back, and all
padding is done by hand, since its own does not have all of ours.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
from itertools import product
from math import prod
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402, N812

from sklearn_convnet import layers as L  # noqa: E402, N812
from sklearn_convnet.layers.activation import ACTIVATIONS  # noqa: E402
from sklearn_convnet.losses import (  # noqa: E402
    AbsoluteError,
    CrossEntropy,
    Huber,
    SquaredError,
)
from sklearn_convnet.network import compile_network  # noqa: E402
from sklearn_convnet.network.node import walk  # noqa: E402

torch.set_num_threads(1)

N_NETWORKS = 380
RTOL = 1e-9

# ---------------------------------------------------------------------------
# Helpers
# ---------------------------------------------------------------------------


def each_axis(value, n_axes):
    return (value,) * n_axes if isinstance(value, int) else tuple(value)


def pad(X, value, padding, window, stride, dilation=1):
    """Pad channels-first maps with a value, from the definition of each padding."""
    n_axes = X.ndim - 2
    if padding == "valid":
        padding = 0
    if padding == "same":
        pairs = []
        for size, k, s, d in zip(
            X.shape[2:], window, stride, each_axis(dilation, n_axes), strict=True
        ):
            n_out = -(-size // s)
            total = max(0, s * (n_out - 1) + d * (k - 1) + 1 - size)
            pairs.append((total // 2, total - total // 2))
    else:
        pairs = [each_axis(p, 2) for p in each_axis(padding, n_axes)]
    # PyTorch begins with the last axis.
    return F.pad(X, [p for pair in reversed(pairs) for p in pair], value=value)


def channels_last(X):
    return X.movedim(1, -1)


TORCH_ACTIVATIONS = {
    "identity": lambda Z, alpha: Z,
    "relu": lambda Z, alpha: F.relu(Z),
    "leaky_relu": lambda Z, alpha: F.leaky_relu(Z, 0.01 if alpha is None else alpha),
    "tanh": lambda Z, alpha: torch.tanh(Z),
    "logistic": lambda Z, alpha: torch.sigmoid(Z),
    "elu": lambda Z, alpha: F.elu(Z, 1.0 if alpha is None else alpha),
    "gelu": lambda Z, alpha: F.gelu(Z),
    "softplus": lambda Z, alpha: F.softplus(Z, threshold=500),
    "relu6": lambda Z, alpha: F.relu6(Z),
    "silu": lambda Z, alpha: F.silu(Z),
    "hard_swish": lambda Z, alpha: F.hardswish(Z),
    # The derivative of F.hardsigmoid is 1 / 6 in float32.
    "hard_logistic": lambda Z, alpha: F.relu6(Z + 3) / 6,
    "softsign": lambda Z, alpha: F.softsign(Z),
    "softmax": lambda Z, alpha: torch.softmax(Z, dim=1),
}


def activate(Z, layer):
    name = "identity" if layer.activation is None else layer.activation
    return TORCH_ACTIVATIONS[name](Z, getattr(layer, "alpha", None))


def pick(rng, *options):
    return options[rng.randint(len(options))]


def draw_activation(rng):
    return pick(rng, *ACTIVATIONS, None)


def draw_sizes(rng, largest):
    """One size for all axes, or one for each of them."""
    if rng.rand() < 0.4:
        return int(rng.randint(1, min(largest) + 1))
    return tuple(int(rng.randint(1, m + 1)) for m in largest)


def draw_padding(rng, largest):
    """`largest` has for each axis the largest padding of one side."""
    kind = rng.randint(5)
    if kind < 2:
        return ("valid", "same")[kind]
    return draw_numbered_padding(rng, largest)


def draw_numbered_padding(rng, largest):
    """The same without words."""
    kind = rng.randint(3)
    if kind == 0:
        return int(rng.randint(min(largest) + 1))
    if kind == 1:
        return tuple(int(rng.randint(m + 1)) for m in largest)
    return tuple((int(rng.randint(m + 1)), int(rng.randint(m + 1))) for m in largest)


def of_rank(name, n_axes):
    return getattr(L, f"{name}{n_axes}D")


# ---------------------------------------------------------------------------
# Kinds of layers: draw(rng, shape) and apply(layer, X, arrays)
# ---------------------------------------------------------------------------


def draw_conv(rng, shape):
    *sizes, channels = shape
    n_axes = len(sizes)
    groups = int(pick(rng, 1, 1, *[g for g in (2, 3, channels) if channels % g == 0]))
    kernel = draw_sizes(rng, [min(4, size) for size in sizes])
    return of_rank("Conv", n_axes)(
        filters=groups * int(rng.randint(1, 4)),
        kernel_size=kernel,
        stride=draw_sizes(rng, [pick(rng, 1, 2, 5)] * n_axes),
        padding=draw_padding(rng, [3] * n_axes),
        dilation=draw_sizes(rng, [pick(rng, 1, 1, 3)] * n_axes),
        groups=groups,
        activation=draw_activation(rng),
        use_bias=bool(rng.rand() < 0.8),
    )


def apply_conv(layer, X, arrays):
    n_axes = X.ndim - 2
    kernel, stride, dilation = (
        each_axis(value, n_axes) for value in (layer.kernel_size, layer.stride, layer.dilation)
    )
    W = arrays["weight"].movedim((-1, -2), (0, 1)).contiguous()
    convolve = (F.conv1d, F.conv2d, F.conv3d)[n_axes - 1]
    X = pad(X, 0.0, layer.padding, kernel, stride, dilation)
    bias = arrays.get("bias")
    Z = convolve(X, W, bias, stride, dilation=dilation, groups=layer.groups)
    return activate(Z, layer)


def draw_pool(name):
    def draw(rng, shape):
        *sizes, _ = shape
        n_axes = len(sizes)
        window = draw_sizes(rng, [min(4, size) for size in sizes])
        stride = draw_sizes(rng, [pick(rng, 2, 5)] * n_axes)
        return of_rank(name, n_axes)(
            window,
            stride=None if rng.rand() < 0.3 else stride,
            padding=draw_padding(rng, [w - 1 for w in each_axis(window, n_axes)]),
        )

    return draw


def pool_geometry(layer, X):
    n_axes = X.ndim - 2
    window = each_axis(layer.pool_size, n_axes)
    stride = window if layer.stride is None else each_axis(layer.stride, n_axes)
    return window, stride


def apply_maxpool(layer, X, arrays):
    window, stride = pool_geometry(layer, X)
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[X.ndim - 3]
    return pool(pad(X, -torch.inf, layer.padding, window, stride), window, stride)


def apply_avgpool(layer, X, arrays):
    window, stride = pool_geometry(layer, X)
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[X.ndim - 3]
    total, true = (
        pool(pad(A, 0.0, layer.padding, window, stride), window, stride)
        for A in (X, torch.ones_like(X))
    )
    return total / true


def apply_dense(layer, X, arrays):
    Z = channels_last(X).flatten(1) @ arrays["weight"]
    if "bias" in arrays:
        Z = Z + arrays["bias"]
    return activate(Z, layer)


def apply_standardize(layer, X, arrays):
    X = channels_last(X)
    shape = X.shape[-1:] if layer.per == "channel" else X.shape[1:]
    mean, deviation = (arrays[k].reshape(shape) for k in ("mean", "deviation"))
    return ((X - mean) / deviation).movedim(-1, 1)


def per_channel(numbers, X):
    """A number, or one for each channel, for maps with the channels first."""
    return torch.as_tensor(np.reshape(numbers, (-1, *(1,) * (X.ndim - 2))))


def draw_own_activation(rng, shape):
    name = draw_activation(rng)
    has_alpha = name in ("leaky_relu", "elu") and rng.rand() < 0.7
    return L.Activation(name, alpha=float(rng.rand()) if has_alpha else None)


def draw_dense(rng, shape):
    return L.Dense(int(rng.randint(1, 9)), draw_activation(rng), use_bias=bool(rng.rand() < 0.8))


def draw_transpose(rng, shape):
    n_axes, channels = len(shape) - 1, shape[-1]
    stride = draw_sizes(rng, [3] * n_axes)
    extra = [int(rng.randint(s)) for s in each_axis(stride, n_axes)]
    groups = int(pick(rng, 1, 1, *[g for g in (2, 3, channels) if channels % g == 0]))
    return of_rank("ConvTranspose", n_axes)(
        filters=groups * int(rng.randint(1, 5)),
        kernel_size=draw_sizes(rng, [4] * n_axes),
        stride=stride,
        padding=draw_padding(rng, [1] * n_axes),
        output_padding=pick(rng, 0, tuple(extra)),
        dilation=draw_sizes(rng, [pick(rng, 1, 1, 3)] * n_axes),
        groups=groups,
        activation=draw_activation(rng),
        use_bias=bool(rng.rand() < 0.8),
    )


def apply_transpose(layer, X, arrays):
    n_axes = X.ndim - 2
    kernel, stride, extra, dilation = (
        each_axis(value, n_axes)
        for value in (layer.kernel_size, layer.stride, layer.output_padding, layer.dilation)
    )
    padding = 0 if layer.padding == "valid" else layer.padding
    if padding == "same":
        extents = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        total = [max(e - s, 0) for e, s in zip(extents, stride, strict=True)]
        padding = tuple((t // 2, t - t // 2) for t in total)
    W = arrays["weight"].movedim((-2, -1), (0, 1)).contiguous()
    expand = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n_axes - 1]
    Z = expand(X, W, None, stride, 0, extra, layer.groups, dilation)
    for axis, pad in enumerate(each_axis(padding, n_axes), start=2):
        before, after = each_axis(pad, 2)
        Z = Z.narrow(axis, before, Z.shape[axis] - before - after)
    if "bias" in arrays:
        Z = Z + arrays["bias"].reshape(-1, *[1] * n_axes)
    return activate(Z, layer)


def draw_depthwise(rng, shape):
    n_axes = len(shape) - 1
    return of_rank("DepthwiseConv", n_axes)(
        draw_sizes(rng, [min(3, size) for size in shape[:-1]]),
        stride=draw_sizes(rng, [pick(rng, 1, 3)] * n_axes),
        padding=draw_padding(rng, [2] * n_axes),
        multiplier=int(rng.randint(1, 4)),
        dilation=draw_sizes(rng, [2] * n_axes),
        activation=draw_activation(rng),
        use_bias=bool(rng.rand() < 0.8),
    )


def depthwise(layer, X, weight, bias):
    n_axes = X.ndim - 2
    kernel, stride, dilation = (
        each_axis(value, n_axes) for value in (layer.kernel_size, layer.stride, layer.dilation)
    )
    W = weight.movedim((-2, -1), (0, 1)).flatten(0, 1).unsqueeze(1).contiguous()
    X = pad(X, 0.0, layer.padding, kernel, stride, dilation)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[n_axes - 1]
    return convolve(X, W, bias, stride, 0, dilation, groups=X.shape[1])


def apply_depthwise(layer, X, arrays):
    return activate(depthwise(layer, X, arrays["weight"], arrays.get("bias")), layer)


def draw_separable(rng, shape):
    n_axes = len(shape) - 1
    return of_rank("SeparableConv", n_axes)(
        int(rng.randint(1, 6)),
        draw_sizes(rng, [min(3, size) for size in shape[:-1]]),
        stride=draw_sizes(rng, [pick(rng, 1, 3, 4)] * n_axes),
        padding=draw_padding(rng, [2] * n_axes),
        dilation=draw_sizes(rng, [2] * n_axes),
        multiplier=int(rng.randint(1, 4)),
        activation=draw_activation(rng),
        use_bias=bool(rng.rand() < 0.8),
    )


def apply_separable(layer, X, arrays):
    Z = depthwise(layer, X, arrays["depthwise/weight"], None)
    mixing = arrays["pointwise/weight"].flatten(0, -2)
    Z = torch.einsum("nc...,cf->nf...", Z, mixing)
    if "pointwise/bias" in arrays:
        Z = Z + arrays["pointwise/bias"].reshape(-1, *[1] * (X.ndim - 2))
    return activate(Z, layer)


def draw_matrices(rng, n_axes):
    """Transforms by name or as matrices, and whether they are a group."""
    about = {2: {}, 3: {"axis": pick(rng, *"xyz")}}.get(n_axes)
    if rng.rand() < 0.6:
        return pick(rng, *{1: ["pm"], 2: ["p4", "p4m"], 3: ["O", "Oh"]}[n_axes]), True
    if n_axes > 1 and rng.rand() < 0.5:
        return [L.rotation(60 * k, **about) for k in range(6)], True
    if n_axes == 1:
        return [L.scaling(rng.uniform(-2, 2), n_axes=1) for _ in range(rng.randint(1, 4))], False
    drawn = [
        L.rotation(rng.uniform(0, 360), **about) @ L.scaling(rng.uniform(0.5, 2), n_axes),
        rng.normal(size=(n_axes, n_axes)) + np.eye(n_axes) * 2,
        L.rotation(90, **about) @ L.reflection(n_axes),
    ]
    return drawn[: rng.randint(1, 4)], False


def draw_transform(rng, shape):
    *sizes, channels = shape
    n_axes = len(sizes)
    transforms, is_group = draw_matrices(rng, n_axes)
    layer = of_rank("TransformConv", n_axes)(
        int(rng.randint(1, 4)),
        draw_sizes(rng, [min(4, size) for size in sizes]),
        transforms=transforms,
        pool=pick(rng, None, "max", "mean"),
        stride=draw_sizes(rng, [pick(rng, 1, 3, 5)] * n_axes),
        padding=pick(rng, "same", draw_padding(rng, [2] * n_axes)),
        activation=draw_activation(rng),
        use_bias=bool(rng.rand() < 0.8),
    )
    layer.group_input = is_group and channels % len(layer.matrices()) == 0
    return layer


def interpolation(matrix, kernel):
    """What a transform makes of a filter: a hat function around each source position."""
    n_axes = len(kernel)
    axes = [torch.arange(float(size)).double() for size in kernel]
    position = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, n_axes)
    position = position.flip(1)  # x first
    centre = (torch.tensor(kernel).flip(0).double() - 1) / 2
    inverse = torch.linalg.inv(torch.tensor(np.asarray(matrix), dtype=torch.float64))
    source = (position - centre) @ inverse.T + centre
    distance = (source[:, None, :] - position[None, :, :]).abs()
    return (1 - distance).clamp(min=0).prod(dim=2)


def transformed(layer, weight):
    """The filters in each transform; images by right angles without arithmetic."""
    *kernel, channels, _ = weight.shape
    matrices = layer.matrices()
    if layer.transforms in ("p4", "p4m") and kernel[0] == kernel[1]:
        mirrored = torch.flip(weight, (1,))
        weights = [weight] if layer.transforms == "p4" else [weight, mirrored]
        found = [torch.rot90(w, k) for w in weights for k in range(4)]
    else:
        flat = weight.flatten(0, -3)
        found = [
            torch.einsum("pq,qcf->pcf", interpolation(T, kernel), flat).reshape(weight.shape)
            for T in matrices
        ]
    if not layer.group_input:
        return found
    # The maps of transform u go where the product of a transform with u is.
    moved = []
    for T, turned in zip(matrices, found, strict=True):
        parts = turned.split(channels // len(matrices), dim=-2)
        places = {round_matrix(T @ U): part for U, part in zip(matrices, parts, strict=True)}
        moved.append(torch.cat([places[round_matrix(S)] for S in matrices], dim=-2))
    return moved


def round_matrix(matrix):
    """Its entries, as a key."""
    return tuple(int(x) for x in (np.ravel(matrix) * 1e6).round())


def apply_transform(layer, X, arrays):
    n_axes = X.ndim - 2
    kernel, stride = (each_axis(value, n_axes) for value in (layer.kernel_size, layer.stride))
    X = pad(X, 0.0, layer.padding, kernel, stride)
    filters = [W.movedim((-1, -2), (0, 1)) for W in transformed(layer, arrays["weight"])]
    convolve = (F.conv1d, F.conv2d, F.conv3d)[n_axes - 1]
    maps = [convolve(X, W.contiguous(), arrays.get("bias"), stride) for W in filters]
    # A softmax is over the maps of all transforms.
    return pool_transforms(activate(torch.cat(maps, dim=1), layer), len(filters), layer.pool)


def pool_transforms(Y, n_transforms, pool):
    if pool is None:
        return Y
    Y = Y.unflatten(1, (n_transforms, -1))
    return Y.max(dim=1).values if pool == "max" else Y.mean(dim=1)


def draw_n_transforms(rng, shape):
    return int(pick(rng, *[n for n in range(1, shape[-1] + 1) if shape[-1] % n == 0]))


def apply_lppool(layer, X, arrays):
    # PyTorch's own has no absolute value, and no derivative at 0.
    window, stride = pool_geometry(layer, X)
    mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[X.ndim - 3]
    total = mean(X.abs() ** layer.p, window, stride) * prod(window)
    return torch.where(total > 0, total, 1.0) ** (1 / layer.p) * (total > 0)


def draw_heterogeneous(rng, shape):
    *sizes, channels = shape
    groups = pick(rng, *[g for g in range(1, 7) if channels % g == 0])
    return L.HeterogeneousMaxPool(
        [draw_sizes(rng, [size + 2 for size in sizes]) for _ in range(groups)],
        stride=draw_sizes(rng, [pick(rng, 1, 3)] * len(sizes)),
    )


def apply_heterogeneous(layer, X, arrays):
    n_axes = X.ndim - 2
    steps = each_axis(layer.stride, n_axes)
    pooled = []
    for maps, sizes in zip(X.chunk(len(layer.pool_sizes), dim=1), layer.pool_sizes, strict=True):
        # The last axis first, so that of equal maxima the first in scan order is taken.
        windows = each_axis(sizes, n_axes)
        for axis in reversed(range(2, X.ndim)):
            window, step = windows[axis - 2], steps[axis - 2]
            size = maps.shape[axis]
            rows = []
            for centre in range(0, size, step):
                first = centre + (step - window) // 2
                pixels = [x for x in range(first, first + window) if 0 <= x < size]
                pixels = pixels or [size - 1]  # beyond the map: the nearest one
                part = maps.narrow(axis, pixels[0], len(pixels))
                rows.append(part.max(dim=axis).values)
            maps = torch.stack(rows, dim=axis)
        pooled.append(maps)
    return torch.cat(pooled, dim=1)


def draw_attention(rng, shape):
    *sizes, channels = shape
    if prod(sizes) > 150:
        raise ValueError("it takes too long")
    return L.SelfAttention(
        pick(rng, *[h for h in range(1, 7) if channels % h == 0]),
        relative_position=bool(rng.rand() < 0.6),
        residual=bool(rng.rand() < 0.5),
    )


def apply_attention(layer, X, arrays):
    sizes, channels = X.shape[2:], X.shape[1]
    rows = channels_last(X).flatten(1, -2)
    split = (layer.n_heads, channels // layer.n_heads)
    Q, K, V = (
        (rows @ arrays[name] + arrays[f"{name}_bias"]).unflatten(2, split).transpose(1, 2)
        for name in ("query", "key", "value")
    )
    bias = None
    if layer.relative_position:
        table = arrays["position"].reshape(*[2 * size - 1 for size in sizes], layer.n_heads)
        places = np.stack([axis.ravel() for axis in np.indices(sizes)])
        offsets = places[:, :, None] - places[:, None, :]  # of the query from the key
        index = [torch.tensor(o + s - 1) for o, s in zip(offsets, sizes, strict=True)]
        bias = table[tuple(index)].permute(2, 0, 1)
    seen = F.scaled_dot_product_attention(Q, K, V, attn_mask=bias).transpose(1, 2).flatten(2)
    Y = seen @ arrays["output"] + arrays["output_bias"]
    return (rows + Y if layer.residual else Y).movedim(-1, 1).reshape(X.shape)


def draw_non_local(rng, shape):
    *sizes, _ = shape
    if prod(sizes) > 250:
        raise ValueError("it takes too long")
    pool_size = pick(rng, None, 1, draw_sizes(rng, [min(3, size) for size in sizes]))
    return L.NonLocal(pick(rng, None, 1, 4), pool_size, scaled=bool(rng.rand() < 0.5))


def apply_non_local(layer, X, arrays):
    def projected(name, maps):
        rows = channels_last(maps).flatten(1, -2)
        return rows @ arrays[name] + arrays[f"{name}_bias"]

    seen = X
    if layer.pool_size is not None:
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[X.ndim - 3]
        seen = pool(X, layer.pool_size)
    Q, K, V = projected("query", X), projected("key", seen), projected("value", seen)
    factor = Q.shape[-1] ** -0.5 if layer.scaled else 1.0
    Y = torch.softmax(factor * Q @ K.transpose(1, 2), dim=-1) @ V
    Y = Y @ arrays["output"] + arrays["output_bias"]
    return X + Y.movedim(-1, 1).reshape(X.shape)


def apply_layer_norm(layer, X, arrays):
    Z = channels_last(X)
    Z = F.layer_norm(Z, Z.shape[-1:], arrays["scale"], arrays["offset"], layer.epsilon)
    return Z.movedim(-1, 1)


def draw_group_norm(rng, shape):
    groups = [g for g in range(1, shape[-1] + 1) if shape[-1] % g == 0]
    # A large epsilon: groups may be nearly constant.
    return L.GroupNorm(pick(rng, *groups), epsilon=float(rng.uniform(0.01, 0.1)))


def apply_group_norm(layer, X, arrays):
    scale, offset = arrays["scale"], arrays["offset"]
    # Not that of torch.nn.functional, which refuses a group of one number.
    return torch.group_norm(X, layer.n_groups, scale, offset, layer.epsilon)


def apply_layer_scale(layer, X, arrays):
    return (channels_last(X) * arrays["scale"]).movedim(-1, 1)


def apply_position(layer, X, arrays):
    if layer.kind == "learned":
        return X + arrays["position"].movedim(-1, 0)
    sizes, channels = X.shape[2:], X.shape[1]
    n = channels // len(sizes) // 2
    table = torch.zeros(channels, *sizes, dtype=X.dtype)
    for place in np.ndindex(*sizes):
        angles = [p / 10000 ** (i / n) for p in place for i in range(n)]
        each = np.array(angles).reshape(len(sizes), 1, n)
        both = np.concatenate([np.sin(each), np.cos(each)], axis=1).ravel()
        table[(slice(None), *place)] = torch.tensor(both)
    return X + table


def draw_transformer(rng, shape):
    *sizes, channels = shape
    if prod(sizes) > 250:
        raise ValueError("it takes too long")
    return L.TransformerBlock(
        pick(rng, *[h for h in range(1, 7) if channels % h == 0]),
        pick(rng, None, 3),
        pick(rng, "gelu", "tanh", None),
        relative_position=bool(rng.rand() < 0.5),
    )


def apply_transformer(layer, X, arrays):
    n_channels = X.shape[1]
    attention = L.SelfAttention(
        layer.n_heads, relative_position=layer.relative_position, residual=False
    )
    normed = apply_layer_norm(L.LayerNorm(), X, under("attention/norm", arrays))
    Z = X + apply_attention(attention, normed, under("attention/attention", arrays))
    normed = apply_layer_norm(L.LayerNorm(), Z, under("mlp/norm", arrays))
    hidden = channels_last(normed) @ arrays["mlp/dense1/weight"].reshape(n_channels, -1)
    hidden = activate(hidden + arrays["mlp/dense1/bias"], layer)
    out = hidden @ arrays["mlp/dense2/weight"].reshape(-1, n_channels) + arrays["mlp/dense2/bias"]
    return Z + out.movedim(-1, 1)


def draw_lppool(rng, shape):
    window = draw_sizes(rng, [min(3, size) for size in shape[:-1]])
    pool = of_rank("LpPool", len(shape) - 1)
    return pool(window, stride=pick(rng, None, 1, 2), p=pick(rng, 1, 2, 3.5))


#: As a module of PyTorch is, in training or not.
MODE = SimpleNamespace(training=True)


def batch_norm(X, arrays, epsilon):
    # From the definition: PyTorch's own gradient may be wrong for other orders in memory.
    mean, variance, scale, offset = (
        arrays[name].reshape(-1, *[1] * (X.ndim - 2))
        for name in ("mean", "variance", "scale", "offset")
    )
    if MODE.training:
        others = [axis for axis in range(X.ndim) if axis != 1]
        mean, variance = X.mean(others, True), X.var(others, False, keepdim=True)
    return scale * (X - mean) / torch.sqrt(variance + epsilon) + offset


def apply_batchnorm(layer, X, arrays):
    # The transforms are one more axis of positions.
    Y = X.unflatten(1, (layer.n_transforms, -1)).movedim(1, -1)
    return batch_norm(Y, arrays, layer.epsilon).movedim(-1, 1).flatten(1, 2)


def draw_upsample(rng, shape):
    n_axes = len(shape) - 1
    mixed = "bilinear" if n_axes == 2 else "linear"
    factors = draw_sizes(rng, [3] * n_axes)
    return of_rank("Upsample", n_axes)(factors, pick(rng, "nearest", mixed))


def apply_upsample(layer, X, arrays):
    n_axes = X.ndim - 2
    factors = each_axis(layer.size, n_axes)
    if layer.interpolation == "nearest":
        return F.interpolate(X, scale_factor=factors)
    mode = ("linear", "bilinear", "trilinear")[n_axes - 1]
    return F.interpolate(X, scale_factor=factors, mode=mode, align_corners=False)


def draw_borders(rng, shape):
    return draw_numbered_padding(rng, [2] * (len(shape) - 1))


def torch_borders(layer):
    """PyTorch begins with the last axis, and cuts off where numbers are negative."""
    return [p for pair in reversed(layer.borders()) for p in pair]


def draw_maxout(rng, shape):
    return L.Maxout(pick(rng, *[k for k in range(1, 7) if shape[-1] % k == 0]))


def draw_squeeze(rng, shape):
    return L.SqueezeExcite(
        int(rng.randint(1, 5)),
        squeeze_channels=pick(rng, None, 1, 3),
        activation=draw_activation(rng),
        scale_activation=draw_activation(rng),
        use_bias=bool(rng.rand() < 0.8),
    )


def apply_squeeze(layer, X, arrays):
    pooled = X.flatten(2).mean(dim=2)
    for name, activation in (("reduce", layer.activation), ("expand", layer.scale_activation)):
        pooled = pooled @ arrays[f"{name}/weight"]
        if layer.use_bias:
            pooled = pooled + arrays[f"{name}/bias"]
        pooled = activate(pooled, SimpleNamespace(activation=activation))
    return X * pooled.reshape(*pooled.shape, *[1] * (X.ndim - 2))


# ---------------------------------------------------------------------------
# Blocks: layers of layers
# ---------------------------------------------------------------------------


def under(path, arrays):
    """The arrays whose names begin with a path, without it."""
    return {name[len(path) + 1 :]: a for name, a in arrays.items() if name.startswith(path + "/")}


def apply_chain(pairs, X, arrays):
    for name, layer in pairs:
        if layer != "passthrough":
            X = APPLY[type(layer)](layer, X, under(name, arrays))
    return X


def apply_sequential(layer, X, arrays):
    # Layers in a Sequential are called "path of it/name", as in other blocks.
    return apply_chain(layer.named_children(), X, arrays)


def apply_residual(layer, X, arrays):
    Y = apply_chain(layer.named_children(), X, arrays)
    if isinstance(layer.shortcut, L.Layer):
        return Y + apply_chain([("shortcut", layer.shortcut)], X, arrays)
    if Y.shape == X.shape:
        return Y + X
    strides = [-(-a // b) for a, b in zip(X.shape[2:], Y.shape[2:], strict=True)]
    pixels = X[(..., *[slice(None, None, s) for s in strides])]
    weight = arrays["shortcut/conv/weight"].flatten(0, -3)[0]
    Z = torch.einsum("nc...,cf->nf...", pixels, weight)
    return Y + batch_norm(Z, under("shortcut/norm", arrays), 1e-5)


def apply_parallel(layer, X, arrays):
    outputs = [
        X if branch == "passthrough" else apply_chain([(name, branch)], X, arrays)
        for name, branch in layer.named_children()
    ]
    return torch.cat(outputs, dim=1)


def apply_gate(layer, X, arrays):
    G = apply_chain(layer.named_children(), X, arrays)
    return X * (G if G.ndim == X.ndim else G.reshape(*G.shape, *[1] * (X.ndim - 2)))


def apply_dense_block(layer, X, arrays):
    for pair in layer.named_children():
        X = torch.cat([X, apply_chain([pair], X, arrays)], dim=1)
    return X


def draw_inner(rng, shape, n, keep=True, kinds=None):
    """Layers one after the other, which keep the size of the maps unless told."""
    drawn = []
    for _ in range(n):
        layer, shape = draw_layer(rng, kinds or inner_kinds(rng, shape), shape, keep)
        drawn.append(layer)
    return drawn, shape


def inner_kinds(rng, shape):
    """A block now and then, so that drawing comes to an end."""
    kinds = body_kinds(len(shape) - 1)
    blocks = [kind for kind in kinds if kind in BLOCKS]
    return blocks if rng.rand() < 0.15 else [kind for kind in kinds if kind not in BLOCKS]


def draw_mixer(rng, shape, filters, stride=1, kernel=3, activation=None):
    """A dense layer, or a convolution with `same` padding."""
    if len(shape) == 1:
        return L.Dense(filters, activation)
    conv = of_rank("Conv", len(shape) - 1)
    return conv(filters, kernel, stride=stride, padding="same", activation=activation)


def draw_sequential(rng, shape):
    drawn, _ = draw_inner(rng, shape, rng.randint(1, 4), keep=False)
    names = [("first", drawn[0]), *drawn[1:]]
    return L.Sequential(pick(rng, drawn, names, [*drawn, "passthrough"]))


def draw_residual(rng, shape):
    form = pick(rng, "identity", "projection", "layer")
    if form == "projection" and len(shape) > 1:
        stride = draw_sizes(rng, [pick(rng, 1, 3, 4)] * (len(shape) - 1))
        body = [draw_mixer(rng, shape, int(rng.randint(1, 6)), stride, int(rng.randint(1, 4)))]
        if rng.rand() < 0.7:
            body += [L.BatchNorm(epsilon=0.05), L.Activation(draw_activation(rng))]
        return L.Residual(body)
    body, out = draw_inner(rng, shape, rng.randint(1, 3))
    if form == "layer":
        shortcut = draw_mixer(rng, shape, out[-1], kernel=1, activation=draw_activation(rng))
        return L.Residual(body, shortcut=shortcut)
    if out != shape:
        body.append(draw_mixer(rng, out, shape[-1], activation=draw_activation(rng)))
    return L.Residual(body, shortcut=pick(rng, "auto", "identity"))


def draw_parallel(rng, shape):
    n = rng.randint(1, 4)
    if rng.rand() < 0.3 and len(shape) > 1:
        stride = draw_sizes(rng, [4] * (len(shape) - 1))
        pool = of_rank("MaxPool", len(shape) - 1)(4, stride, padding="same")
        convs = [
            draw_mixer(rng, shape, int(rng.randint(1, 4)), stride, int(rng.randint(1, 5)))
            for _ in range(n)
        ]
        return L.Parallel([*convs, pick(rng, pool, [pool])])
    branches = [draw_inner(rng, shape, rng.randint(1, 3))[0] for _ in range(n)]
    branches = [b[0] if len(b) == 1 and rng.rand() < 0.5 else b for b in branches]
    if rng.rand() < 0.3:
        branches.append(draw_layer(rng, ["residual"], shape, keep=True)[0])
    if rng.rand() < 0.4:
        branches.insert(rng.randint(len(branches) + 1), "passthrough")
    return L.Parallel(branches)


def draw_dense_block(rng, shape):
    drawn = []
    for _ in range(rng.randint(1, 4)):
        layer, out = draw_layer(rng, inner_kinds(rng, shape), shape, keep=True)
        if rng.rand() < 0.6:
            conv = draw_mixer(rng, shape, int(rng.randint(1, 4)), kernel=int(rng.randint(1, 4)))
            norm = L.BatchNorm(epsilon=0.05)
            layer = L.Sequential([norm, L.Activation(draw_activation(rng)), conv])
            out = layer.output_shape(shape)
        drawn.append(layer)
        shape = (*shape[:-1], shape[-1] + out[-1])
    return L.DenseBlock(drawn)


def draw_gate(rng, shape):
    width = pick(rng, 1, shape[-1])
    end = L.Dense(width, draw_activation(rng))
    if len(shape) > 1 and rng.rand() < 0.4:
        return L.Gate([*pick(rng, [], [L.GlobalAvgPool()]), end])
    body, out = draw_inner(rng, shape, rng.randint(0, 3))
    return L.Gate([*body, draw_mixer(rng, out, width, activation=draw_activation(rng))])


KINDS = {
    # kind: (layers, draw, apply); a kind that makes vectors of maps ends the maps.
    "conv": ((L.Conv1D, L.Conv2D, L.Conv3D), draw_conv, apply_conv),
    "maxpool": (
        (L.MaxPool1D, L.MaxPool2D, L.MaxPool3D),
        draw_pool("MaxPool"),
        apply_maxpool,
    ),
    "avgpool": (
        (L.AvgPool1D, L.AvgPool2D, L.AvgPool3D),
        draw_pool("AvgPool"),
        apply_avgpool,
    ),
    "globalmax": (
        (L.GlobalMaxPool,),
        lambda rng, shape: L.GlobalMaxPool(),
        # Not amax, which shares the gradient among equal maxima.
        lambda layer, X, arrays: X.flatten(2).max(dim=2).values,
    ),
    "globalavg": (
        (L.GlobalAvgPool,),
        lambda rng, shape: L.GlobalAvgPool(),
        lambda layer, X, arrays: X.flatten(2).mean(dim=2),
    ),
    "flatten": (
        (L.Flatten,),
        lambda rng, shape: L.Flatten(),
        lambda layer, X, arrays: channels_last(X).flatten(1),
    ),
    "dense": ((L.Dense,), draw_dense, apply_dense),
    "activation": (
        (L.Activation,),
        draw_own_activation,
        lambda layer, X, arrays: activate(X, layer),
    ),
    "rescale": (
        (L.Rescale,),
        lambda rng, shape: L.Rescale(
            rng.uniform(0.5, 2, shape[-1:] if rng.randint(2) else None), float(rng.rand())
        ),
        lambda layer, X, arrays: X * per_channel(layer.scale, X) + layer.offset,
    ),
    "standardize": (
        (L.Standardize,),
        lambda rng, shape: L.Standardize(pick(rng, "channel", "value")),
        apply_standardize,
    ),
    "transpose": (
        (L.ConvTranspose1D, L.ConvTranspose2D, L.ConvTranspose3D),
        draw_transpose,
        apply_transpose,
    ),
    "depthwise": (
        (L.DepthwiseConv1D, L.DepthwiseConv2D, L.DepthwiseConv3D),
        draw_depthwise,
        apply_depthwise,
    ),
    "lppool": ((L.LpPool1D, L.LpPool2D, L.LpPool3D), draw_lppool, apply_lppool),
    "batchnorm": (
        (L.BatchNorm,),
        # A large epsilon: channels may be nearly constant.
        lambda rng, shape: L.BatchNorm(
            epsilon=float(rng.uniform(0.01, 0.1)),
            n_transforms=draw_n_transforms(rng, shape) if rng.rand() < 0.4 else 1,
        ),
        apply_batchnorm,
    ),
    "response": (
        (L.LocalResponseNorm,),
        lambda rng, shape: L.LocalResponseNorm(
            int(rng.randint(1, 6)), float(rng.rand()), float(rng.rand()), 0.5
        ),
        lambda layer, X, arrays: F.local_response_norm(
            X, layer.size, layer.alpha, layer.beta, layer.bias
        ),
    ),
    "upsample": (
        (L.Upsample1D, L.Upsample2D, L.Upsample3D),
        draw_upsample,
        apply_upsample,
    ),
    "padding": (
        (L.ZeroPadding1D, L.ZeroPadding2D, L.ZeroPadding3D),
        lambda rng, shape: of_rank("ZeroPadding", len(shape) - 1)(draw_borders(rng, shape)),
        lambda layer, X, arrays: F.pad(X, torch_borders(layer)),
    ),
    "cropping": (
        (L.Cropping1D, L.Cropping2D, L.Cropping3D),
        lambda rng, shape: of_rank("Cropping", len(shape) - 1)(draw_borders(rng, shape)),
        lambda layer, X, arrays: F.pad(X, [-p for p in torch_borders(layer)]),
    ),
    "dropout": (
        (L.Dropout,),
        lambda rng, shape: L.Dropout(0.0),
        lambda layer, X, arrays: X,
    ),
    "depth": (
        (L.StochasticDepth,),
        lambda rng, shape: L.StochasticDepth(0.0),
        lambda layer, X, arrays: X,
    ),
    "layer_norm": (
        (L.LayerNorm,),
        lambda rng, shape: L.LayerNorm(epsilon=float(rng.uniform(0.01, 0.1))),
        apply_layer_norm,
    ),
    "group_norm": ((L.GroupNorm,), draw_group_norm, apply_group_norm),
    "layer_scale": (
        (L.LayerScale,),
        lambda rng, shape: L.LayerScale(float(rng.uniform(-1, 1))),
        apply_layer_scale,
    ),
    "position": (
        (L.PositionEmbedding,),
        lambda rng, shape: L.PositionEmbedding(pick(rng, "learned", "sinusoidal")),
        apply_position,
    ),
    "non_local": ((L.NonLocal,), draw_non_local, apply_non_local),
    "transformer": ((L.TransformerBlock,), draw_transformer, apply_transformer),
    "separable": (
        (L.SeparableConv1D, L.SeparableConv2D, L.SeparableConv3D),
        draw_separable,
        apply_separable,
    ),
    "transform": (
        (L.TransformConv1D, L.TransformConv2D, L.TransformConv3D),
        draw_transform,
        apply_transform,
    ),
    "transform_pool": (
        (L.TransformPool,),
        lambda rng, shape: L.TransformPool(draw_n_transforms(rng, shape), pick(rng, "max", "mean")),
        lambda layer, X, arrays: pool_transforms(X, layer.n_transforms, layer.pool),
    ),
    "heterogeneous": ((L.HeterogeneousMaxPool,), draw_heterogeneous, apply_heterogeneous),
    "attention": ((L.SelfAttention,), draw_attention, apply_attention),
    "residual": ((L.Residual,), draw_residual, apply_residual),
    "parallel": ((L.Parallel,), draw_parallel, apply_parallel),
    "dense_block": ((L.DenseBlock,), draw_dense_block, apply_dense_block),
    "sequential": ((L.Sequential,), draw_sequential, apply_sequential),
    "maxout": (
        (L.Maxout,),
        draw_maxout,
        lambda layer, X, arrays: X.unflatten(1, (-1, layer.n_pieces)).max(dim=2).values,
    ),
    "gate": ((L.Gate,), draw_gate, apply_gate),
    "squeeze": ((L.SqueezeExcite,), draw_squeeze, apply_squeeze),
}
BLOCKS = ("residual", "parallel", "dense_block", "sequential", "gate")

APPLY = {layer: apply for types, _, apply in KINDS.values() for layer in types}


# ---------------------------------------------------------------------------
# Random networks
# ---------------------------------------------------------------------------

ENDS = ("flatten", "globalmax", "globalavg")
IMAGES = {kind for kind, row in KINDS.items() if {t.n_axes for t in row[0]} == {2}}


def body_kinds(n_axes):
    """Kinds of layers for maps of so many axes, or for vectors."""
    if n_axes == 0:
        kinds = ["activation", "batchnorm", "layer_norm", "layer_scale", "maxout"]
        return ["dense", "dense", *kinds, "residual", "parallel", "sequential", "gate"]
    kinds = [kind for kind in KINDS if kind not in ("dense", *ENDS)]
    return [kind for kind in kinds if n_axes == 2 or kind not in IMAGES]


def draw_layer(rng, kinds, shape, keep=False):
    """A layer that fits the shape; what does not, or is not kept, is drawn again."""
    while True:
        try:
            layer = KINDS[pick(rng, *kinds)][1](rng, shape)
            out = layer.output_shape(shape)
        except ValueError:
            continue
        if prod(out) <= 3000 and not (keep and out[:-1] != shape[:-1]):
            return layer, out


def draw_network(seed):
    """Layers, some of them inside a Sequential, and the shape of a sample."""
    rng = np.random.RandomState(seed)
    n_axes = seed % 3 + 1
    largest = {1: 24, 2: 10, 3: 6}[n_axes]
    sizes = [int(rng.randint(largest // 2, largest + 1)) for _ in range(n_axes)]
    if rng.rand() < 0.1:
        sizes = [pick(rng, 1, size) for size in sizes]
    given = shape = (*sizes, int(rng.randint(1, 7)))
    # Turn by turn, so that each kind is met, and others at random.
    body = body_kinds(n_axes)
    first = body[seed // 3 % len(body)]
    if first == "attention" and prod(sizes) > 150:
        first = "conv"  # `draw_attention` would refuse it forever
    kinds = [
        [first],
        *[["conv", "conv", *body]] * rng.randint(1, 4),
    ]
    drawn = []
    for allowed in kinds:
        layer, shape = draw_layer(rng, allowed, shape)
        drawn.append(layer)
    end = pick(rng, *ENDS, None)
    heads = [[end]] if end else []
    heads += [["dense"]] * rng.randint(1, 3)
    heads += [body_kinds(0)] * rng.randint(2)
    for allowed in heads:
        layer, shape = draw_layer(rng, allowed, shape)
        drawn.append(layer)
    drawn.append(L.Dense(int(rng.randint(2, 6)), activation="identity"))
    cut = rng.randint(len(drawn))
    if rng.rand() < 0.5:
        drawn = [*drawn[:cut], L.Sequential(drawn[cut:-1]), drawn[-1]]
    return drawn, given


def inside(layer):
    """A layer and all in it."""
    yield layer
    children = layer.named_children() if hasattr(layer, "named_children") else []
    for child in [*[c for _, c in children], getattr(layer, "shortcut", None)]:
        if isinstance(child, L.Layer):
            yield from inside(child)


def norm_of_one(network):
    """Whether a batch norm sees a single value of a map of each sample."""
    norms = [node for node in walk(network.nodes) if "variance" in node.buffers]
    return any(prod(node.input_shape[:-1]) == 1 for node in norms)


def make_network(seed, dropout=0.0):
    drawn, shape = draw_network(seed)
    for layer in (layer for top in drawn for layer in inside(top)):
        if isinstance(layer, L.Dropout):
            layer.rate = dropout
    network = compile_network(drawn, shape, dtype="float64", random_state=seed)
    rng = np.random.RandomState(seed)
    for path, array in network.parameters().items():
        if path.endswith(("bias", "position", "scale", "offset")) or not array.any():
            array += rng.uniform(-0.5, 0.5, array.shape)
    X = rng.normal(size=(10, *network.input_shape))
    statistics = np.random.RandomState(len(X))
    for value in network.buffers().values():
        value[:] = statistics.uniform(0.5, 1.5, value.shape)
    n = 1 if seed % 5 == 0 and not norm_of_one(network) else 4
    return network, np.ascontiguousarray(X[:n])


def tensors(arrays):
    return {path: torch.tensor(a, dtype=torch.float64) for path, a in arrays.items()}


def torch_forward(network, X, arrays):
    """The same network in PyTorch, X and output with channels last."""
    return apply_chain(network.layers, X.movedim(-1, 1), arrays).movedim(1, -1)


def weighted(value, weight):
    return (value.mean(dim=1) * weight).sum()


LOSSES = {
    # name: our loss, draw(rng, shape of Z), PyTorch's
    "classes": (
        CrossEntropy(),
        lambda rng, Z: rng.randint(Z.shape[1], size=len(Z)),
        lambda Z, y, w: (F.cross_entropy(Z, y, reduction="none") * w).sum(),
    ),
    "labels": (
        CrossEntropy(),
        lambda rng, Z: rng.randint(2, size=Z.shape).astype(float),
        lambda Z, y, w: (
            F.binary_cross_entropy_with_logits(Z, y, reduction="none").sum(dim=1) * w
        ).sum(),
    ),
    "squared": (
        SquaredError(),
        lambda rng, Z: rng.normal(size=Z.shape),
        lambda Z, y, w: weighted(F.mse_loss(Z, y, reduction="none"), w) / 2,
    ),
    "absolute": (
        AbsoluteError(),
        lambda rng, Z: rng.normal(size=Z.shape),
        lambda Z, y, w: weighted(F.l1_loss(Z, y, reduction="none"), w),
    ),
    "huber": (
        Huber(delta=0.7),
        lambda rng, Z: rng.normal(size=Z.shape),
        lambda Z, y, w: weighted(F.huber_loss(Z, y, reduction="none", delta=0.7), w),
    ),
}


def assert_close(actual, expected, what, rtol=RTOL, floor=1e-4):
    """Relative to the largest element, or to `floor` where the elements cancel to less."""
    expected = expected.detach().numpy()
    assert actual.shape == expected.shape
    scale = max(np.abs(expected).max(), floor)
    error = np.abs(actual - expected).max()
    # Not `error > rtol`: NaN must fail.
    assert error <= rtol * scale, f"{what} is off by {error} at a scale of {scale}"


def test_every_layer_has_a_kind():
    exported = {getattr(L, name) for name in L.__all__}
    exported = {x for x in exported if isinstance(x, type) and issubclass(x, L.Layer)} - {L.Layer}
    exported -= {L.AuxiliaryHead, L.ConcatFeatures}  # test_auxiliary.py, test_features.py
    assert exported == set(APPLY)


def forms(network, X):
    """What is worth meeting in a network, by name."""
    if len(X) == 1:
        yield "batch of one"
    for node in walk(network.nodes):
        if len(node.input_shape) > 1 and prod(node.input_shape[:-1]) == 1:
            yield f"one pixel of {len(node.input_shape) - 1} axes"
    for layer in (layer for _, top in network.layers for layer in inside(top)):
        yield type(layer)
        yield getattr(layer, "activation", None)
        name = type(layer).__name__
        stride = np.max(getattr(layer, "stride", None) or 1)
        if stride > 1 and getattr(layer, "padding", None) == "same":
            yield f"{name} of same with a stride"
        if stride > np.max(getattr(layer, "kernel_size", 99)):
            yield f"{name} of a stride beyond the filter"
        if name.startswith("ConvTranspose"):
            yield "transposed", bool(np.max(layer.dilation) > 1), layer.groups > 1
        if isinstance(layer, L.Residual):
            yield "shortcut", type(layer.shortcut)
        if isinstance(layer, L.Parallel):
            kinds = {type(x) for b in layer.branches if b != "passthrough" for x in np.ravel(b)}
            yield from (("parallel", kind) for kind in kinds)
            if "passthrough" in layer.branches:
                yield "passthrough"
        if isinstance(layer, L.Gate):
            end = layer.layers[-1]
            width = getattr(end, "units", None) or end.filters
            yield "gate", type(end), width == 1
        if isinstance(layer, L.SelfAttention):
            yield "attention", layer.relative_position, layer.residual
        if isinstance(layer, L.NonLocal):
            yield "pool of keys", layer.pool_size is not None
        if isinstance(layer, L.PositionEmbedding):
            yield "position", layer.kind
        if isinstance(layer, KINDS["transform"][0]):
            name = layer.transforms if isinstance(layer.transforms, str) else "matrices"
            yield "transforms", name
            yield "pool of transforms", layer.pool
            yield "group input", layer.group_input
        if isinstance(layer, L.BatchNorm) and layer.n_transforms > 1:
            yield "norm of several transforms"
    for path in network.parameters():
        if path.endswith("shortcut/conv/weight"):
            yield "projection"


def test_every_form_is_drawn():
    drawn = set()
    for seed in range(N_NETWORKS):
        drawn.update(forms(*make_network(seed)))
    expected = {
        *APPLY,
        *ACTIVATIONS,
        "batch of one",
        *[f"one pixel of {n} axes" for n in (1, 2, 3)],
        *[f"Conv{n}D of same with a stride" for n in (1, 2, 3)],
        *[f"Conv{n}D of a stride beyond the filter" for n in (1, 2, 3)],
        *[f"{n}Conv2D of same with a stride" for n in ("Separable", "Transform")],
        *product(["transposed"], [False, True], [False, True]),
        "projection",
        "passthrough",
        ("shortcut", L.Conv2D),
        ("shortcut", L.Dense),
        ("parallel", L.Residual),
        ("parallel", L.Dense),
        *product(["gate"], [L.Dense, L.Conv1D, L.Conv2D, L.Conv3D], [False, True]),
        *product(["attention"], [False, True], [False, True]),
        *product(["pool of keys"], [False, True]),
        *product(["position"], ["learned", "sinusoidal"]),
        *product(["transforms"], ["pm", "p4", "p4m", "O", "Oh", "matrices"]),
        *product(["group input"], [False, True]),
        "norm of several transforms",
        *product(["pool of transforms"], [None, "max", "mean"]),
    }
    missing = expected - drawn
    assert not missing


def assert_like_torch(network, X, seed=0):
    """Output, loss and all gradients."""
    name = list(LOSSES)[seed % len(LOSSES)]
    loss, draw, torch_loss = LOSSES[name]
    rng = np.random.RandomState(seed)

    Z = network.forward(X, training=True)
    target, weight = draw(rng, Z), rng.uniform(0.2, 2.0, len(X))
    dZ = np.full_like(Z, np.nan)
    value = loss.value_and_gradient(Z, target, weight, dZ, network.kernels, 1)
    dX = network.backward(dZ)

    arrays = tensors(network.parameters())
    for tensor in arrays.values():
        tensor.requires_grad_()
    input_ = torch.tensor(X, requires_grad=True)
    output = torch_forward(network, input_, {**arrays, **tensors(network.buffers())})
    total = torch_loss(output, torch.tensor(target), torch.tensor(weight))
    total.backward()

    assert_close(Z, output, "output")
    assert_close(np.asarray(value), total, f"loss {name}")
    largest = max((float(array.grad.abs().max()) for array in arrays.values()), default=0)
    found = {path: (gradient, arrays[path].grad) for path, gradient in network.gradients().items()}
    for path, (gradient, expected) in {**found, "the input": (dX, input_.grad)}.items():
        # A bias before a batch norm has a gradient of zero, summed from terms that are not, and so
        # has the input of a norm of constant numbers.
        is_zero = float(expected.abs().max()) < 1e-9 * largest
        floor = 1e-2 * largest if is_zero else 1e-4
        assert_close(gradient, expected, f"gradient of {path}", floor=max(floor, 1e-4))


@pytest.mark.parametrize("seed", range(N_NETWORKS))
def test_random_network(seed):
    assert_like_torch(*make_network(seed), seed)


@pytest.mark.parametrize("seed", range(N_NETWORKS))
def test_gradient_at_a_prediction(seed, monkeypatch):
    """With running statistics and without dropout, as PyTorch in eval mode; nothing is changed."""
    network, X = make_network(seed, dropout=0.5)
    before = pickle.dumps(network)
    Y = network.forward(X)
    dY = np.random.RandomState(seed).normal(size=Y.shape)
    dX = network.input_gradient(X, dY)
    probe = network.probe()
    Z = probe.forward(X, [-1])[-1]
    dX_probe, _ = probe.backward({-1: dY})
    assert pickle.dumps(network) == before

    monkeypatch.setattr(MODE, "training", False)
    input_ = torch.tensor(X, requires_grad=True)
    output = torch_forward(network, input_, tensors({**network.parameters(), **network.buffers()}))
    output.backward(torch.tensor(dY))
    for actual, what in ((Y, "a prediction"), (Z, "the output of a probe")):
        assert_close(actual, output, what)
    for actual, what in ((dX, "the gradient at the input"), (dX_probe, "that of a probe")):
        assert_close(actual, input_.grad, what)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "softmax"])
def test_activation_of_special_numbers(name):
    """Zeros, kinks and huge numbers, and infinity where PyTorch does not make it NaN."""
    Z = np.array([[0.0, -0.0, 3, -3, 6, -6, 1e6, -1e6, 1e30, -1e30, np.inf, -np.inf, np.nan]])
    network = compile_network([L.Activation(name)], Z.shape[1:], dtype="float64")
    input_ = torch.tensor(Z, requires_grad=True)
    output = TORCH_ACTIVATIONS[name](input_, None)
    output.sum().backward()
    known = ~output.isnan().numpy()
    assert known.sum() >= Z.size - 3
    Y = network.forward(Z, training=True)
    dX = network.backward(np.ones_like(Z))
    np.testing.assert_allclose(Y[known], output.detach()[known], rtol=1e-12, atol=1e-15)
    known &= ~input_.grad.isnan().numpy()
    np.testing.assert_allclose(dX[known], input_.grad[known], rtol=1e-12, atol=1e-15)
    assert np.isnan(Y[0, -1])


@pytest.mark.parametrize("pool", [None, "max", "mean"])
@pytest.mark.parametrize("kernel", [3, (2, 3)], ids=["square", "oblong"])
@pytest.mark.parametrize(
    "transforms",
    ["p4", "p4m", [L.rotation(30), L.scaling(0.7) @ L.rotation(45)]],
    ids=["p4", "p4m", "matrices"],
)
def test_transforms(transforms, kernel, pool):
    layers = [
        L.TransformConv2D(2, kernel, transforms=transforms, pool=pool, activation="tanh"),
        L.TransformConv2D(3, kernel, transforms=transforms, pool=pool, padding="same"),
        L.Dense(4, activation="identity"),
    ]
    network = compile_network(layers, (7, 6, 2), dtype="float64", random_state=0)
    X = np.random.RandomState(0).normal(size=(3, *network.input_shape))
    assert_like_torch(network, X)


@pytest.mark.parametrize("pool", [None, "max", "mean"])
@pytest.mark.parametrize(
    ("transforms", "shape"),
    [
        ("pm", (9, 2)),
        ("p4", (6, 7, 2)),
        ("p4m", (6, 5, 2)),
        ([L.rotation(60 * k) for k in range(6)], (6, 5, 2)),
        ([L.rotation(90 * k, axis="x") for k in range(4)], (4, 5, 4, 1)),
        ("O", (3, 4, 3, 1)),
    ],
    ids=["pm", "p4", "p4m", "matrices", "about-x", "O"],
)
def test_group_convolutions(transforms, shape, pool):
    conv = of_rank("TransformConv", len(shape) - 1)
    first = conv(2, 2, transforms, activation="tanh")
    n_transforms = len(first.matrices())
    layers = [
        first,
        L.BatchNorm(epsilon=0.05, n_transforms=n_transforms),
        conv(2, 2, transforms, group_input=True, padding="same", stride=2, activation="tanh"),
        conv(1, 2, transforms, pool, group_input=True, padding=1, use_bias=False),
        *([L.TransformPool(n_transforms, "mean")] if pool is None else []),
        L.Dense(4, activation="identity"),
    ]
    network = compile_network(layers, shape, dtype="float64", random_state=0)
    X = np.random.RandomState(0).normal(size=(3, *network.input_shape))
    assert_like_torch(network, X)


def test_prediction_with_running_statistics():
    """After steps that moved them; there the batch norm is folded into the convolution."""
    norm = L.BatchNorm(momentum=0.8, epsilon=0.01)
    layers = [L.Conv2D(5, 3, activation=None), norm, L.Activation("relu")]
    network = compile_network(layers, (6, 7, 2), dtype="float64", random_state=0)
    network.parameters()["batchnorm1/scale"][:] = np.linspace(0.5, 2, 5)
    network.parameters()["batchnorm1/offset"][:] = np.linspace(-1, 1, 5)
    rng = np.random.RandomState(0)
    mean, variance = torch.zeros(5).double(), torch.ones(5).double()
    arrays = tensors(network.parameters())
    weight = arrays["conv2d1/weight"].permute(3, 2, 0, 1)

    def convolved(X):
        return F.conv2d(torch.tensor(X).movedim(-1, 1), weight, arrays["conv2d1/bias"])

    for _ in range(4):
        X = rng.normal(size=(3, 6, 7, 2))
        network.forward(X, training=True)
        Z = convolved(X)
        mean = 0.8 * mean + 0.2 * Z.mean(dim=(0, 2, 3))
        variance = 0.8 * variance + 0.2 * Z.var(dim=(0, 2, 3), unbiased=False)

    X = rng.normal(size=(3, 6, 7, 2))
    scale, offset = arrays["batchnorm1/scale"], arrays["batchnorm1/offset"]
    Z = F.batch_norm(convolved(X), mean, variance, scale, offset, training=False, eps=0.01)
    assert_close(network.forward(X), F.relu(Z).movedim(1, -1), "prediction")
