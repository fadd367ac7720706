"""Architectures against PyTorch modules that are written down by the papers, with the same weights.

The modules own their parameters in the order of the network's, so that they are copied one by one.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from sklearn_convnet import architectures  # noqa: E402
from sklearn_convnet.network import compile_network  # noqa: E402

RTOL = 1e-9
EPSILON = 1e-3  # of the batch norms of TensorFlow and Keras


class HardLogistic(nn.Module):
    """The derivative of PyTorch's own is 1 / 6 in float32."""

    def forward(self, x):
        return F.relu6(x + 3) / 6


class Mean(nn.Module):
    """The mean over all positions."""

    def forward(self, x):
        return x.flatten(2).mean(dim=2)


class Sum(nn.Module):
    """What layers make of their input, and the input or what a shortcut makes of it."""

    def __init__(self, *layers, shortcut=None):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.shortcut = shortcut

    def forward(self, x):
        return self.layers(x) + (x if self.shortcut is None else self.shortcut(x))


class Side(nn.ModuleList):
    """Branches side by side."""

    def forward(self, x):
        return torch.cat([branch(x) for branch in self], dim=1)


def conv_norm(n_in, n_out, size, stride=1, groups=1, epsilon=EPSILON):
    conv = nn.Conv2d(n_in, n_out, size, stride, size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(n_out, epsilon)]


# ---------------------------------------------------------------------------
# Residual networks and DenseNet
# ---------------------------------------------------------------------------


def bottleneck(n_in, n, stride, stride_in):
    """The original or the later form."""
    first, middle = (stride, 1) if stride_in == "1x1" else (1, stride)
    layers = [
        *conv_norm(n_in, n, 1, first, epsilon=1e-5), nn.ReLU(),
        *conv_norm(n, n, 3, middle, epsilon=1e-5), nn.ReLU(),
        *conv_norm(n, 4 * n, 1, epsilon=1e-5),
    ]  # fmt: skip
    if (n_in, stride) == (4 * n, 1):
        return [Sum(*layers), nn.ReLU()]
    shortcut = nn.Sequential(*conv_norm(n_in, 4 * n, 1, stride, epsilon=1e-5))
    return [Sum(*layers, shortcut=shortcut), nn.ReLU()]


def resnet_50(n, stride_in):
    layers = [*conv_norm(3, n, 7, 2, epsilon=1e-5), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    n_in = n
    for i, n_blocks in enumerate((3, 4, 6, 3)):
        for j in range(n_blocks):
            stride = 2 if i > 0 and j == 0 else 1
            layers += bottleneck(n_in, n * 2**i, stride, stride_in)
            n_in = 4 * n * 2**i
    return nn.Sequential(*layers, Mean())


class DenseLayer(nn.Module):
    """Puts new maps after its input."""

    def __init__(self, n_in, n, has_bottleneck):
        super().__init__()
        layers = [nn.BatchNorm2d(n_in), nn.ReLU()]
        if has_bottleneck:
            layers += [nn.Conv2d(n_in, 4 * n, 1, bias=False), nn.BatchNorm2d(4 * n), nn.ReLU()]
            n_in = 4 * n
        self.layers = nn.Sequential(*layers, nn.Conv2d(n_in, n, 3, padding=1, bias=False))

    def forward(self, x):
        return torch.cat([x, self.layers(x)], dim=1)


def densenet_cifar(depth, n, has_bottleneck):
    """DenseNet-BC, or DenseNet."""
    n_in = 2 * n if has_bottleneck else 16
    layers = [nn.Conv2d(3, n_in, 3, padding=1, bias=False)]
    for i in range(3):
        for _ in range((depth - 4) // (6 if has_bottleneck else 3)):
            layers.append(DenseLayer(n_in, n, has_bottleneck))
            n_in += n
        layers += [nn.BatchNorm2d(n_in), nn.ReLU()]
        if i < 2:
            n_out = n_in // 2 if has_bottleneck else n_in
            layers += [nn.Conv2d(n_in, n_out, 1, bias=False), nn.AvgPool2d(2)]
            n_in = n_out
    return nn.Sequential(*layers, Mean())


def squeezenet(pooled, n, size, squeezed):
    """Modules after which maps are pooled, and their small numbers of maps."""
    layers = [nn.Conv2d(3, n, size, 2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True)]
    for i, few in enumerate(squeezed, start=1):
        many = 4 * few
        expand = Side(
            [
                nn.Sequential(nn.Conv2d(few, many, 1), nn.ReLU()),
                nn.Sequential(nn.Conv2d(few, many, 3, padding=1), nn.ReLU()),
            ]
        )
        layers += [nn.Conv2d(n, few, 1), nn.ReLU(), expand]
        if i in pooled:
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        n = 2 * many
    return nn.Sequential(*layers, Mean())


# ---------------------------------------------------------------------------
# Mobile networks
# ---------------------------------------------------------------------------


class Squeeze(nn.Module):
    def __init__(self, n, few, activation, gate):
        super().__init__()
        self.layers = nn.Sequential(Mean(), nn.Linear(n, few), activation, nn.Linear(few, n), gate)

    def forward(self, x):
        return x * self.layers(x)[:, :, None, None]


def inverted_residual(n_in, hidden, n_out, size, stride, activation, squeeze=None):
    """Without the first convolution where nothing is expanded: `hidden` is `n_in` there."""
    layers = [*conv_norm(n_in, hidden, 1), activation] if hidden != n_in else []
    layers += [*conv_norm(hidden, hidden, size, stride, groups=hidden), activation]
    layers += [squeeze] if squeeze is not None else []
    layers += conv_norm(hidden, n_out, 1)
    return Sum(*layers) if (n_in, stride) == (n_out, 1) else nn.Sequential(*layers)


def mobilenet_v2(first, widths, last, strides):
    layers, n = [*conv_norm(3, first, 3, strides[0]), nn.ReLU6()], first
    rows = zip((1, 6, 6, 6, 6, 6, 6), widths, (1, 2, 3, 4, 3, 3, 1), strides[1:], strict=True)
    for factor, width, n_blocks, stride in rows:
        for j in range(n_blocks):
            step = stride if j == 0 else 1
            layers.append(inverted_residual(n, factor * n, width, 3, step, nn.ReLU6()))
            n = width
    return nn.Sequential(*layers, *conv_norm(n, last, 1), nn.ReLU6(), Mean())


def efficientnet_b0(first, widths, last, strides):
    layers, n = [*conv_norm(3, first, 3, strides[0]), nn.SiLU()], first
    rows = zip(
        (1, 6, 6, 6, 6, 6, 6), (3, 3, 5, 3, 5, 5, 3), widths, (1, 2, 2, 3, 3, 4, 1), strides[1:],
        strict=True,
    )  # fmt: skip
    for factor, size, width, n_blocks, stride in rows:
        for j in range(n_blocks):
            squeeze = Squeeze(factor * n, n // 4, nn.SiLU(), nn.Sigmoid())
            step = stride if j == 0 else 1
            layers.append(inverted_residual(n, factor * n, width, size, step, nn.SiLU(), squeeze))
            n = width
    return nn.Sequential(*layers, *conv_norm(n, last, 1), nn.SiLU(), Mean())


def mobilenet_v3_small():
    """At half its width: size, hidden maps, maps, those in the gate, rectifier, stride."""
    rows = [
        (3, 8, 8, 8, nn.ReLU(), 2),
        (3, 40, 16, None, nn.ReLU(), 2),
        (3, 48, 16, None, nn.ReLU(), 1),
        (5, 48, 24, 16, nn.Hardswish(), 2),
        (5, 120, 24, 32, nn.Hardswish(), 1),
        (5, 120, 24, 32, nn.Hardswish(), 1),
        (5, 64, 24, 16, nn.Hardswish(), 1),
        (5, 72, 24, 24, nn.Hardswish(), 1),
        (5, 144, 48, 40, nn.Hardswish(), 2),
        (5, 288, 48, 72, nn.Hardswish(), 1),
        (5, 288, 48, 72, nn.Hardswish(), 1),
    ]
    layers, n = [*conv_norm(3, 8, 3, 2), nn.Hardswish()], 8
    for size, hidden, n_out, few, activation, stride in rows:
        squeeze = None if few is None else Squeeze(hidden, few, nn.ReLU(), HardLogistic())
        layers.append(inverted_residual(n, hidden, n_out, size, stride, activation, squeeze))
        n = n_out
    layers += [*conv_norm(n, 288, 1), nn.Hardswish(), Mean()]
    return nn.Sequential(*layers, nn.Linear(288, 512), nn.Hardswish())


# ---------------------------------------------------------------------------
# Xception, ConvNeXt, InceptionTime
# ---------------------------------------------------------------------------


class PoolLikeKeras(nn.Module):
    """Windows of 3 with padding "same": one pixel before and after, or only after."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, x):
        pads = []
        for size in reversed(x.shape[2:]):
            total = max(0, (-(-size // self.stride) - 1) * self.stride + 3 - size)
            pads += [total // 2, total - total // 2]
        x = F.pad(x, pads, value=-torch.inf)
        pool = F.max_pool2d if x.ndim == 4 else F.max_pool1d
        return pool(x, 3, self.stride)


def separable(n_in, n_out):
    return [
        nn.Conv2d(n_in, n_in, 3, padding=1, groups=n_in, bias=False),
        nn.Conv2d(n_in, n_out, 1, bias=False),
        nn.BatchNorm2d(n_out, EPSILON),
    ]


def xception(widths, n_middle, strides):
    stem, second, *entry, exit_1, exit_2, last_1, last_2 = widths
    layers = [nn.Conv2d(3, stem, 3, strides[0], bias=False), nn.BatchNorm2d(stem, EPSILON)]
    layers += [nn.ReLU(), nn.Conv2d(stem, second, 3, bias=False)]
    layers += [nn.BatchNorm2d(second, EPSILON), nn.ReLU()]
    n = second
    for i, n_out in enumerate(entry):
        body = [nn.ReLU()] if i else []
        body += [*separable(n, n_out), nn.ReLU(), *separable(n_out, n_out)]
        shortcut = nn.Sequential(*conv_norm(n, n_out, 1, strides[1 + i]))
        layers.append(Sum(*body, PoolLikeKeras(strides[1 + i]), shortcut=shortcut))
        n = n_out
    for _ in range(n_middle):
        layers.append(Sum(*(part for _ in range(3) for part in (nn.ReLU(), *separable(n, n)))))
    body = [nn.ReLU(), *separable(n, exit_1), nn.ReLU(), *separable(exit_1, exit_2)]
    shortcut = nn.Sequential(*conv_norm(n, exit_2, 1, strides[-1]))
    layers.append(Sum(*body, PoolLikeKeras(strides[-1]), shortcut=shortcut))
    layers += [*separable(exit_2, last_1), nn.ReLU(), *separable(last_1, last_2), nn.ReLU()]
    return nn.Sequential(*layers, Mean())


class NormOfChannels(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.norm = nn.LayerNorm(n, 1e-6)

    def forward(self, x):
        return self.norm(x.movedim(1, -1)).movedim(-1, 1)


class Scale(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return x * self.scale[:, None, None]


def convnext_block(n):
    depthwise = nn.Conv2d(n, n, 7, padding=3, groups=n)
    dense = [nn.Conv2d(n, 4 * n, 1), nn.GELU(), nn.Conv2d(4 * n, n, 1)]
    return Sum(depthwise, NormOfChannels(n), *dense, Scale(n))


def convnext_tiny(n, patch_size):
    layers = [nn.Conv2d(3, n, patch_size, patch_size), NormOfChannels(n)]
    for i, n_blocks in enumerate((3, 3, 9, 3)):
        if i:
            layers += [NormOfChannels(n), nn.Conv2d(n, 2 * n, 2, 2)]
            n *= 2
        layers += [convnext_block(n) for _ in range(n_blocks)]
    return nn.Sequential(*layers, Mean(), nn.LayerNorm(n, 1e-6))


def conv_over_time(n_in, n_out, size):
    """Padding "same" of Keras: of an even length the longer part comes after."""
    pad = nn.ConstantPad1d(((size - 1) // 2, size // 2), 0.0)
    return nn.Sequential(pad, nn.Conv1d(n_in, n_out, size, bias=False))


def inception_over_time(n_in, n, sizes, few):
    inner = n_in if few is None else few
    long = Side([conv_over_time(inner, n, size) for size in sizes])
    first = long if few is None else nn.Sequential(conv_over_time(n_in, few, 1), long)
    second = nn.Sequential(PoolLikeKeras(1), conv_over_time(n_in, n, 1))
    n_out = n * (len(sizes) + 1)
    return nn.Sequential(Side([first, second]), nn.BatchNorm1d(n_out, EPSILON), nn.ReLU())


def inception_time(n_in, n, sizes, depth, few, first_bottleneck):
    layers, wide, n_block = [], n * (len(sizes) + 1), n_in
    modules = []
    for i in range(depth):
        bottleneck = few if i or first_bottleneck else None
        modules.append(inception_over_time(n_in, n, sizes, bottleneck))
        n_in = wide
        if i % 3 == 2:
            shortcut = nn.Sequential(
                conv_over_time(n_block, wide, 1), nn.BatchNorm1d(wide, EPSILON)
            )
            layers += [Sum(*modules, shortcut=shortcut), nn.ReLU()]
            modules, n_block = [], wide
    return nn.Sequential(*layers, *modules, Mean())


# ---------------------------------------------------------------------------
# Comparison
# ---------------------------------------------------------------------------

STRIDES = (1, 1, 2, 1, 2, 1, 2, 1)
NETWORKS = {
    "resnet 1x1": (
        lambda: architectures.resnet(50, width=1 / 16),
        lambda: resnet_50(4, "1x1"),
        (48, 35, 3),
    ),
    "resnet 3x3": (
        lambda: architectures.resnet(50, width=1 / 16, stride_in="3x3"),
        lambda: resnet_50(4, "3x3"),
        (48, 35, 3),
    ),
    "densenet-bc": (
        lambda: architectures.densenet_cifar(16, 4),
        lambda: densenet_cifar(16, 4, True),
        (12, 16, 3),
    ),
    "densenet": (
        lambda: architectures.densenet_cifar(13, 3, False, 1.0),
        lambda: densenet_cifar(13, 3, False),
        (12, 16, 3),
    ),
    "squeezenet 1.0": (
        lambda: architectures.squeezenet("1.0", width=1 / 8, dropout=0.0),
        lambda: squeezenet((3, 7), 12, 7, (2, 2, 4, 4, 6, 6, 8, 8)),
        (40, 47, 3),
    ),
    "squeezenet 1.1": (
        lambda: architectures.squeezenet(width=1 / 8, dropout=0.0),
        lambda: squeezenet((2, 4), 8, 3, (2, 2, 4, 4, 6, 6, 8, 8)),
        (32, 37, 3),
    ),
    "mobilenet v2": (
        lambda: architectures.mobilenet_v2(0.35, 24, STRIDES, 0.0),
        lambda: mobilenet_v2(16, (8, 8, 16, 24, 32, 56, 112), 24, STRIDES),
        (12, 16, 3),
    ),
    "mobilenet v2 of large images": (
        lambda: architectures.mobilenet_v2(0.25, 16, dropout=0.0),
        lambda: mobilenet_v2(8, (8, 8, 8, 16, 24, 40, 80), 16, (2, 1, 2, 2, 2, 1, 2, 1)),
        (64, 60, 3),
    ),
    "mobilenet v3": (
        lambda: architectures.mobilenet_v3("small", 0.5, dropout=0.0),
        mobilenet_v3_small,
        (64, 70, 3),
    ),
    "efficientnet": (
        lambda: architectures.efficientnet("b0", 0.5, 32, STRIDES, 0.0, 0.0),
        lambda: efficientnet_b0(16, (8, 16, 24, 40, 56, 96, 160), 16, STRIDES),
        (12, 16, 3),
    ),
    "xception": (
        lambda: architectures.xception(1 / 16, 2, (2, 2, 2, 1, 2), 0.0),
        lambda: xception((2, 4, 8, 16, 46, 46, 64, 96, 128), 2, (2, 2, 2, 1, 2)),
        (32, 45, 3),
    ),
    "convnext": (
        lambda: architectures.convnext(
            width=1 / 12, patch_size=2, layer_scale=0.5, stochastic_depth=0.0
        ),
        lambda: convnext_tiny(8, 2),
        (16, 24, 3),
    ),
    "inception time": (
        lambda: architectures.inception_time(4, (9, 4, 2), 7, 3),
        lambda: inception_time(1, 4, (9, 4, 2), 7, 3, False),
        (20, 1),
    ),
    "inception time of channels": (
        lambda: architectures.inception_time(4, (30, 5), 3, 3, True),
        lambda: inception_time(5, 4, (30, 5), 3, 3, True),
        (20, 5),
    ),
}


def like_torch(array, shape):
    """A weight in the layout of PyTorch: its channels come first."""
    if array.ndim == 2:
        array = array.T
    elif array.ndim > 2:
        # (*kernel_size, channels in, channels out), of depth-wise filters (..., channels, 1)
        array = np.moveaxis(array, (-1, -2), (0, 1))
        array = array.swapaxes(0, 1) if array.shape[0] == 1 != shape[0] else array
    assert array.shape == tuple(shape)
    return torch.tensor(np.ascontiguousarray(array))


def both(name):
    """The network, none of whose weights is 0 or 1, and the module."""
    make, make_module, shape = NETWORKS[name]
    network = compile_network(make(), shape, dtype="float64", random_state=0)
    rng = np.random.RandomState(0)
    for array in network.parameters().values():
        if array.ndim == 1:
            array += rng.uniform(-0.3, 0.3, array.shape)
    for array in network.buffers().values():
        array[:] = rng.uniform(0.5, 1.5, array.shape)
    module = make_module().double()
    parameters = list(module.parameters())
    for array, parameter in zip(network.parameters().values(), parameters, strict=True):
        parameter.data = like_torch(array, parameter.shape)
    norms = [m for m in module.modules() if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    statistics = [value for norm in norms for value in (norm.running_mean, norm.running_var)]
    for array, value in zip(network.buffers().values(), statistics, strict=True):
        value[:] = torch.tensor(array)
    return network, module


def assert_close(actual, expected, what, floor=1e-4):
    expected = expected.detach().numpy()
    assert actual.shape == expected.shape
    scale = max(np.abs(expected).max(), floor)
    error = np.abs(actual - expected).max()
    assert error <= RTOL * scale, f"{what} is off by {error} at a scale of {scale}"


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients(name):
    network, module = both(name)
    rng = np.random.RandomState(1)
    X = rng.normal(size=(5, *network.input_shape))

    module.eval()
    expected = module(torch.tensor(X).movedim(-1, 1))
    assert_close(network.forward(X), expected, "a prediction")

    module.train()
    input_ = torch.tensor(X).requires_grad_()
    expected = module(input_.movedim(-1, 1))
    dY = rng.normal(size=expected.shape)
    expected.backward(torch.tensor(dY))
    Y = network.forward(X, training=True)
    assert_close(Y, expected, "the output")
    assert_close(network.backward(dY), input_.grad, "the gradient at the input")
    parameters = list(module.parameters())
    largest = max(float(parameter.grad.abs().max()) for parameter in parameters)
    for (path, array), parameter in zip(network.gradients().items(), parameters, strict=True):
        gradient = like_torch(array, parameter.shape).numpy()
        # That of an offset whose sum is taken away by the next norm is 0, but for rounding.
        is_zero = float(parameter.grad.abs().max()) < 1e-9 * largest
        floor = 1e-2 * largest if is_zero else 0.0
        assert_close(gradient, parameter.grad, f"the gradient of {path}", floor)
