"""Single layers, and a few of them together, that `compare.py layers` times beside PyTorch.

A row is a network of its own, of which a forward is timed, and a forward and backward, to the
gradients of the weights and the input.
"""

from functools import partial

import numpy as np

PASSES = ("forward", "step")


def rows():
    """Layers, shape of a sample and batch, by name."""
    from sklearn_convnet import layers as of

    def conv(filters, size, stride=1, **options):
        padding = options.pop("padding", size // 2)
        return [of.Conv2D(filters, size, stride, padding, activation=None, **options)]

    def normed(filters, size, activation="relu"):
        """A convolution, batch norm and activation."""
        bare = of.Conv2D(filters, size, padding=size // 2, activation=None, use_bias=False)
        return [bare, of.BatchNorm(), of.Activation(activation)]

    def depthwise(size, stride=1):
        return [of.DepthwiseConv2D(size, stride=stride, padding=size // 2, activation=None)]

    def doubled(filters, size, padding):
        options = dict(stride=2, padding=padding, activation=None)
        return [of.ConvTranspose2D(filters, size, **options)]

    def signal(filters, size):
        return [of.Conv1D(filters, size, padding=size // 2, activation=None)]

    inception = of.Parallel(
        [
            [of.Conv2D(64, 1)],
            [of.Conv2D(96, 1), of.Conv2D(128, 3, padding=1)],
            [of.Conv2D(16, 1), of.Conv2D(32, 5, padding=2)],
            [of.MaxPool2D(3, stride=1, padding=1), of.Conv2D(32, 1)],
        ]
    )
    dense_layer = [of.BatchNorm(), of.Activation("relu"), *conv(12, 3, use_bias=False)]
    basic = of.Residual([*normed(64, 3), *normed(64, 3, "identity")])
    bottleneck = of.Residual([*normed(64, 1), *normed(64, 3), *normed(256, 1, "identity")])
    return {
        "conv 3x3, 64 -> 64": (conv(64, 3), (32, 32, 64), 32),
        "conv 3x3 / 2, 64 -> 128": (conv(128, 3, 2), (32, 32, 64), 32),
        "conv 1x1, 256 -> 64": (conv(64, 1), (28, 28, 256), 32),
        "conv 1x1 / 2, 64 -> 128": (conv(128, 1, 2), (32, 32, 64), 32),
        "conv 7x7 / 2, 3 -> 64": (conv(64, 7, 2), (224, 224, 3), 4),
        "conv 11x11 / 4, 3 -> 96": (conv(96, 11, 4, padding=0), (227, 227, 3), 4),
        "conv 5x5, 32 -> 64": (conv(64, 5), (28, 28, 32), 32),
        "conv 3x3 dilated by 2": (conv(64, 3, padding=2, dilation=2), (32, 32, 64), 32),
        "conv 3x3 in 32 groups": (conv(128, 3, groups=32), (28, 28, 128), 32),
        "conv 3x3, 512 -> 512": (conv(512, 3), (7, 7, 512), 16),
        "conv 3x3, 16 -> 16": (conv(16, 3), (32, 32, 16), 64),
        "depthwise 3x3": (depthwise(3), (28, 28, 128), 32),
        "depthwise 3x3 / 2": (depthwise(3, 2), (28, 28, 128), 32),
        "depthwise 7x7": (depthwise(7), (28, 28, 96), 16),
        "transposed 2x2 / 2, 128 -> 64": (doubled(64, 2, 0), (16, 16, 128), 32),
        "transposed 4x4 / 2, 64 -> 32": (doubled(32, 4, 1), (16, 16, 64), 32),
        "conv of signals 9, 64 -> 64": (signal(64, 9), (1000, 64), 16),
        "conv of signals 39, 32 -> 32": (signal(32, 39), (500, 32), 16),
        "conv of signals 5, 1 -> 32": (signal(32, 5), (4096, 1), 16),
        "conv 3x3x3, 16 -> 32": (
            [of.Conv3D(32, 3, padding=1, activation=None)], (24, 24, 24, 16), 4,
        ),
        "max pool 3x3 / 2": ([of.MaxPool2D(3, stride=2)], (56, 56, 64), 16),
        "max pool 2x2": ([of.MaxPool2D(2)], (32, 32, 64), 32),
        "average pool 2x2": ([of.AvgPool2D(2)], (32, 32, 64), 32),
        "L3 pool 2x2": ([of.LpPool2D(2, p=3)], (32, 32, 64), 32),
        "global average": ([of.GlobalAvgPool()], (7, 7, 512), 64),
        "batch norm": ([of.BatchNorm()], (32, 32, 64), 64),
        "batch norm, relu": ([of.BatchNorm(), of.Activation("relu")], (32, 32, 64), 64),
        "group norm": ([of.GroupNorm(32)], (32, 32, 64), 64),
        "response norm": ([of.LocalResponseNorm(5, 1e-4, 0.75, 2.0)], (27, 27, 96), 16),
        "gelu": ([of.Activation("gelu")], (32, 32, 64), 64),
        "tanh": ([of.Activation("tanh")], (32, 32, 64), 64),
        "silu": ([of.Activation("silu")], (32, 32, 64), 64),
        "dense 4096 -> 1024": ([of.Dense(1024, activation=None)], (4096,), 128),
        "dense 784 -> 128": ([of.Dense(128, activation=None)], (784,), 32),
        "upsampling, bilinear": ([of.Upsample2D(2, "bilinear")], (16, 16, 64), 32),
        "upsampling, nearest": ([of.Upsample2D(2)], (16, 16, 64), 32),
        "attention, 64 positions": ([of.SelfAttention(4)], (64, 128), 16),
        "attention, 512 positions": ([of.SelfAttention(4)], (512, 64), 4),
        "squeeze and excite": ([of.SqueezeExcite(4)], (28, 28, 128), 32),
        "bottleneck 256-64-256": ([bottleneck, of.Activation("relu")], (14, 14, 256), 32),
        "basic block, 64": ([basic, of.Activation("relu")], (16, 16, 64), 64),
        "inception, 192": ([inception], (14, 14, 192), 32),
        "dense block, 24 + 6 x 12": (
            [of.DenseBlock([of.Sequential(dense_layer)] * 6)], (16, 16, 24), 32,
        ),
    }  # fmt: skip


def names():
    """Of all rows, in both passes."""
    return [f"{name}, {what}" for name in rows() for what in PASSES]


def batch_of(name):
    """The batch of a row, whose name is that of a pass."""
    return rows()[name.rpartition(", ")[0]][2]


def is_first(name):
    """Whether a layer is the first of a network, and needs no gradient at its input."""
    return any(part in name for part in (" 3 ->", " 1 ->", "784"))


def parts_of(name):
    """Name of the row and the pass, the network, samples, and a gradient at the output."""
    from sklearn_convnet.network import compile_network

    row, _, what = name.rpartition(", ")
    layers, shape, batch = rows()[row]
    network = compile_network(layers, shape, random_state=0)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((batch, *shape), dtype=np.float32)
    dY = rng.standard_normal((batch, *network.output_shape), dtype=np.float32)
    # PyTorch takes powers of numbers, and not of their sizes.
    return row, what, network, np.abs(X) if row.startswith("L3") else X, dY


def ours(name, batch, threads):
    row, what, network, X, dY = parts_of(name)

    def forward():
        return network.forward(X, n_threads=threads)

    if what == "forward":
        return forward, {"output": forward()}

    def step():
        Y = network.forward(X, training=True, n_threads=threads)
        return Y, network.backward(dY, need_input=not is_first(row), n_threads=threads)

    Y, dX = step()
    answer = {path: array.copy() for path, array in network.gradients().items()}
    return step, answer | {"output": Y} | ({} if dX is None else {"dX": dX})


def torch_layer(name, batch, threads, memory_format):
    import torch
    from peers import channels_last, torch_maps, with_layout
    from twin import Twin

    torch.set_num_threads(threads)
    row, what, network, X, dY = parts_of(name)
    as_rows = "attention" in row
    back = np.asarray if as_rows else channels_last
    X, dY = (torch_maps(array, memory_format, as_rows) for array in (X, dY))
    twin = Twin(network)
    module = twin.module if as_rows else with_layout(twin.module, X, memory_format)

    def forward():
        with torch.inference_mode():
            return module(X)

    if what == "forward":
        module.eval()
        return forward, {"output": back(forward().numpy())}
    X.requires_grad_(not is_first(row))

    def step():
        module.zero_grad()
        X.grad = None
        Y = module(X)
        if Y.requires_grad:
            Y.backward(dY)
        return Y

    Y = step()
    answer = {k: g.copy() for k, g in twin.gradients().items()}
    if X.grad is not None:
        answer["dX"] = back(X.grad.numpy()).copy()
    return step, answer | {"output": back(Y.detach().numpy())}


MAKERS = {
    "sklearn_convnet": ours,
    "PyTorch": partial(torch_layer, memory_format="contiguous_format"),
    "PyTorch channels-last": partial(torch_layer, memory_format="channels_last"),
}
