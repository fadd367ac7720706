"""The passes that `compare.py kernels` times: those of convolutions and dense layers, and BLAS.

A pass is named by its layer and by what it computes: "14x14, 6 -> 16, 5x5, forward".
"""

import os
from functools import partial
from itertools import product as pairs

import numpy as np

#: Image, channels, filters, filter, padding.
CONVOLUTIONS = {
    "28x28, 1 -> 6, 5x5": (28, 1, 6, 5, 2),
    "14x14, 6 -> 16, 5x5": (14, 6, 16, 5, 0),
    "32x32, 16 -> 16, 3x3": (32, 16, 16, 3, 1),
    "24x24, 32 -> 64, 3x3": (24, 32, 64, 3, 1),
    "32x32, 64 -> 64, 3x3": (32, 64, 64, 3, 1),
    "16x16, 128 -> 128, 3x3": (16, 128, 128, 3, 1),
    "8x8, 256 -> 256, 3x3": (8, 256, 256, 3, 1),
}
#: Inputs, units: the first dense layers of LeNet-5, of two convolutions, and of the VGG-like net.
DENSE = {f"{i} -> {u}, dense": (i, u) for i, u in ((400, 120), (9216, 128), (4096, 256))}
PASSES = ("forward", "input gradient", "weight gradient")
KERNELS = {
    f"{name}, {what}": (shape, what)
    for (name, shape), what in pairs((CONVOLUTIONS | DENSE).items(), PASSES)
}

#: The rows and columns of BLAS's product.
ORDER = 1536
#: The newest CPU of OpenBLAS that has no wider registers than the variant.
CORETYPES = {"baseline": "Nehalem", "avx2": "Haswell", "avx512": "SkylakeX"}


def output_size(size, kernel, padding):
    return size + 2 * padding - kernel + 1


def multiply_adds(net, batch):
    """Multiply-adds of one pass, in the direct form."""
    shape, _ = KERNELS[net]
    if len(shape) == 2:
        return batch * shape[0] * shape[1]
    size, channels, filters, kernel, padding = shape
    return batch * output_size(size, kernel, padding) ** 2 * kernel**2 * channels * filters


def draw(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def one_pass(what, forward, backward, X, W, Y, options):
    """A step that calls a kernel, and what it fills."""
    b, dY = draw(W.shape[-1]), draw(*Y.shape)
    if what == "forward":
        step, filled = partial(forward, X, W, b, Y, *options), {"Y": Y}
    elif what == "input gradient":
        dX = np.empty_like(X)
        step, filled = partial(backward, X, W, Y, dY, dX, None, None, *options), {"dX": dX}
    else:
        dW, db = np.empty_like(W), np.empty_like(b)
        step = partial(backward, X, W, Y, dY, None, dW, db, *options)
        filled = {"dW": dW, "db": db}
    step()
    return step, filled


def convolution_arrays(shape, batch):
    """X, W and Y, without an axis for depth."""
    size, channels, filters, kernel, padding = shape
    out = output_size(size, kernel, padding)
    X, W = draw(batch, size, size, channels), draw(kernel, kernel, channels, filters)
    return X, W, draw(batch, out, out, filters)


def direct(net, batch, threads):
    from sklearn_convnet.kernels import loader

    kernels = loader.kernels("float32")
    shape, what = KERNELS[net]
    if len(shape) == 2:
        arrays = draw(batch, shape[0]), draw(*shape), draw(batch, shape[1])
        end = ("identity", 0.0, threads)
        return one_pass(what, kernels.dense_forward, kernels.dense_backward, *arrays, end)
    X, W, Y = convolution_arrays(shape, batch)
    ones, pads = (1, 1, 1), (shape[-1], shape[-1])
    options = (ones, ((0, 0), pads, pads), ones, 1, "identity", 0.0, ones, threads)

    def forward(X, W, b, Y, *options):
        kernels.conv_forward(X, W, None, b, Y, None, None, *options)

    def backward(X, W, Y, dY, *rest):
        kernels.conv_backward(X, W, Y, None, dY, None, *rest)

    step, filled = one_pass(what, forward, backward, X[:, None], W[None], Y[:, None], options)
    return step, {name: array.reshape(-1) for name, array in filled.items()}


def winograd(net, batch, threads):
    from sklearn_convnet.kernels import loader
    from sklearn_convnet.network.conv import winograd_tile

    kernels = loader.kernels("float32")
    shape, what = KERNELS[net]
    X, W, Y = convolution_arrays(shape, batch)
    tile = winograd_tile(Y.shape[1:3], *W.shape[1:])
    pads = (shape[-1], shape[-1])
    options = ((pads, pads), (1, 1), tile, *2 * ("identity", 0.0), (1, 1), threads)

    def forward(X, W, b, Y, *options):
        kernels.winograd_forward(X, None, W, None, b, Y, None, None, None, *options)

    def backward(X, W, Y, dY, dX, *rest):
        kernels.winograd_backward(X, None, W, Y, None, dY, *4 * (None,), dX, None, *rest)

    step, filled = one_pass(what, forward, backward, X, W, Y, options)
    return step, {name: array.reshape(-1) for name, array in filled.items()}


def product(net, batch, threads):
    """BLAS's matrix product; its answer has nothing to do with the kernel's."""
    from scipy.linalg.blas import sgemm
    from threadpoolctl import threadpool_info, threadpool_limits

    threadpool_limits(threads)
    wanted = os.environ.get("OPENBLAS_CORETYPE")
    seen = {library.get("architecture") for library in threadpool_info()}
    if wanted in CORETYPES.values() and wanted not in seen:
        raise RuntimeError(f"BLAS should work as on {wanted}, and works as on {seen}")
    A = np.asfortranarray(draw(ORDER, ORDER))
    return partial(sgemm, 1.0, A, A), {}


def makers(net):
    """The contenders of a pass; Winograd's form has no use for the few channels of 5 x 5 here."""
    winograds = {"winograd": winograd} if "3x3" in net else {}
    return {"direct": direct, **winograds, "sgemm": product}


def add_rates(rows, net, batch):
    """10^9 operations a second, a multiply-add being two, and ratios of times an operation."""
    work = {"sgemm": ORDER**3}
    ours = multiply_adds(net, batch)
    for row in rows:
        own = work.get(row["package"], ours)
        row["gflops"] = 2e-6 * own / row["milliseconds"]
        row["ratio"] *= ours / own
    return rows
