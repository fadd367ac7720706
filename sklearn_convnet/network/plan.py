"""Tables of the steps of a pass: what each will do, and how long it takes."""

from math import prod

import numpy as np

from ..tables import Table
from .node import walk
from .program import Handle

#: Kernels whose multiply-adds are those of their layer, in the direct form.
LAYER_PRODUCTS = ("conv", "winograd", "depthwise", "pointwise")
#: Where dX and dW are among the arguments of a backward.
GRADIENTS = {"conv_backward": (6, 7), "winograd_backward": (10, 12), "depthwise_backward": (4, 5)}
MIB = 2**20


def bytes_of(step):
    """Bytes of the arrays that a step reads and writes."""
    arrays = {}
    for arg in step.args:
        if isinstance(arg, (Handle, np.ndarray)):
            key = (arg.buffer, arg.start) if isinstance(arg, Handle) else id(arg)
            arrays[key] = prod(arg.shape) * arg.dtype.itemsize
    return sum(arrays.values())


def multiply_adds(step, node, n_samples):
    """Those of a step: of a product, or of the gradients of one."""
    name, args = step.name, step.args
    if name.startswith("dense"):
        one = prod(args[0].shape) * args[1].shape[-1]
        return one * (sum(a is not None for a in args[4:6]) if name.endswith("backward") else 1)
    if name.startswith("attention"):
        n, queries, heads, width = args[0].shape
        products = 4 if name.endswith("backward") else 2
        return products * n * heads * queries * args[1].shape[1] * width
    if name.startswith(LAYER_PRODUCTS):
        return node.multiply_adds * n_samples * len(passes_of(step))
    return 0


def passes_of(step):
    """The passes that a step of a convolution is, each a product as large as the forward's."""
    if not step.name.endswith("backward"):
        return ["forward"]
    names = ("input_gradient", "weight_gradient")
    places = GRADIENTS[step.name]
    return [name for name, i in zip(names, places, strict=True) if step.args[i] is not None]


def executed(network, program):
    """The nodes of a program, by path."""
    return {node.path: node for node in walk(network.fused(program.backward is not None))}


def plan_table(network, program):
    """The steps of a program."""
    nodes = executed(network, program)
    rows, total, live = [], 0, live_bytes(program)
    for i, step in enumerate(program.steps):
        node = nodes.get(step.path)
        has_form = hasattr(node, "form") and isinstance(step.call, str)
        form, why = None, None
        if has_form:
            form, why = node.form(passes_of(step), program.n_samples, network.kernels)
        products = multiply_adds(step, node, program.n_samples)
        total += products
        rows.append(
            (step.path, step.name, form, why, products or None, bytes_of(step) / MIB, live[i] / MIB)
        )
    kind = "prediction" if program.backward is None else "training step"
    notes = [
        f"{kind} of {program.n_samples:,} samples: {total:,} multiply-adds, "
        f"{program.peak / MIB:,.1f} MiB for maps at the most"
    ]
    columns = ["layer", "step", "form", "why", "multiply-adds", "MiB touched", "MiB live"]
    formats = {"multiply-adds": ",", "MiB touched": ",.2f", "MiB live": ",.2f"}
    return Table(columns, rows, formats, notes)


def live_bytes(program):
    """Bytes of the arrays that live during each step, and of the output once it is written."""
    live = np.zeros(len(program.steps) + 1, np.int64)
    output = program.forward.result.buffer
    if output.slot == "Y":
        of_output = (any(h.buffer is output for h in step.handles()) for step in program.steps)
        live[next((i for i, found in enumerate(of_output) if found), -1)] += output.nbytes
    for buffer, (first, last) in program.lives.items():
        live[first] += buffer.nbytes
        live[min(last + 1, len(program.steps))] -= buffer.nbytes
    return np.cumsum(live)[:-1].tolist()


def profile_table(network, program, bound, given, n_threads, n_rounds):
    """Times of the steps of a program, each the median of some rounds."""
    nodes = executed(network, program)
    parts = [bound.forward, *([bound.backward(False)] if program.backward else [])]
    times = [[] for _ in program.steps]
    for _ in range(n_rounds + 1):  # the first to get caches warm
        clocks = iter(times)
        for part in parts:
            for seconds in part.timed(given, n_threads):
                next(clocks).append(seconds)
    seconds = np.median(np.reshape(times, (-1, n_rounds + 1))[:, 1:], axis=1).tolist()
    whole = sum(seconds)
    rows = []
    for step, t in zip(program.steps, seconds, strict=True):
        products = multiply_adds(step, nodes.get(step.path), program.n_samples)
        speed = 2e-9 * products / t if products else None
        rows.append((step.path, step.name, 1e6 * t, t / whole, speed, 1e-9 * bytes_of(step) / t))
    kind = "prediction" if program.backward is None else "training step"
    threads = f"{n_threads} thread{'s' if n_threads > 1 else ''}"
    notes = [f"{kind} of {program.n_samples:,} samples: {1e3 * whole:.3f} ms on {threads}"]
    columns = ["layer", "step", "microseconds", "share", "GFLOP/s", "GB/s"]
    formats = {"microseconds": ",.1f", "share": ".1%", "GFLOP/s": ".1f", "GB/s": ".1f"}
    return Table(columns, rows, formats, notes)
