"""Who is compared: each peer returns a step to time, and what it must have in common with others.

A peer is left out where its package is not installed, or where it cannot be held to the registers
that are asked for.
"""

import importlib.util
import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from networks import NETS, make_batch, make_network

LEARNING_RATE, MOMENTUM = 0.01, 0.9


# %%
# This package


def ours_train(net, batch, threads):
    from sklearn_convnet.batches import Samples
    from sklearn_convnet.losses import CrossEntropy
    from sklearn_convnet.optimizers import SGD
    from sklearn_convnet.training import Trainer

    network = make_network(net)
    X, y = make_batch(net, batch)
    samples = Samples(X, y, np.ones(batch, np.float32))
    optimizer = SGD(LEARNING_RATE, momentum=MOMENTUM)
    trainer = Trainer(network, CrossEntropy(), optimizer, batch, False, None, threads)
    loss = trainer.run_step([samples])[0] / batch
    answer = {path: array.copy() for path, array in network.gradients().items()}
    return partial(trainer.run_step, [samples]), {"loss": loss, **answer}


def ours_predict(net, batch, threads):
    network = make_network(net)
    X, _ = make_batch(net, batch)
    step = partial(network.forward, X, n_threads=threads)
    return step, {"output": step()}


# %%
# PyTorch, as it is and compiled


def torch_maps(X, memory_format, as_rows=False):
    """X with the channels first, in a layout of PyTorch that images and volumes have two of."""
    import torch

    X = torch.from_numpy(X)
    if as_rows or X.ndim < 3:
        return X
    X = X.movedim(-1, 1)
    return X.contiguous(memory_format=layout(X, memory_format))


def layout(X, memory_format):
    import torch

    if memory_format == "channels_last" and X.ndim == 5:
        memory_format = "channels_last_3d"
    return getattr(torch, memory_format if X.ndim > 3 else "contiguous_format")


def with_layout(module, X, memory_format):
    """The module, its filters in the layout of X."""
    return module.to(memory_format=layout(X, memory_format)) if X.ndim > 3 else module


def compiled_by_torch(module):
    import torch
    from torch._inductor import config

    if os.environ.get("SKLEARN_CONVNET_KERNELS") == "avx2":
        config.cpp.simdlen = 256
    return torch.compile(module)


def torch_train(net, batch, threads, memory_format, compiles=False):
    import torch
    from twin import Twin

    torch.set_num_threads(threads)
    twin = Twin(make_network(net))
    X, y = make_batch(net, batch)
    X, y = torch_maps(X, memory_format), torch.from_numpy(y)
    module = with_layout(twin.module, X, memory_format)
    if compiles:
        module = compiled_by_torch(module)
    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, MOMENTUM)
    criterion = torch.nn.CrossEntropyLoss()

    def step():
        optimizer.zero_grad()
        loss = criterion(module(X), y)
        loss.backward()
        optimizer.step()
        return loss

    loss = step().item()
    return step, {"loss": loss, **{k: g.copy() for k, g in twin.gradients().items()}}


def channels_last(Y):
    """Maps, and rows as they are."""
    return Y if Y.ndim < 3 else np.moveaxis(Y, 1, -1)


def torch_predict(net, batch, threads, memory_format, compiles=False):
    import torch
    from twin import Twin

    torch.set_num_threads(threads)
    X = torch_maps(make_batch(net, batch)[0], memory_format)
    module = with_layout(Twin(make_network(net)).module.eval(), X, memory_format)
    if compiles:
        module = compiled_by_torch(module)

    def step():
        with torch.inference_mode():
            return module(X)

    return step, {"output": channels_last(step().numpy())}


# %%
# JAX


def hold_to_threads(threads):
    """JAX takes as many threads as there are cores, so its process gets as many of these."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def jax_train(net, batch, threads):
    hold_to_threads(threads)
    import jax
    from jax_twin import Twin

    twin = Twin(make_network(net))
    X, y = make_batch(net, batch)

    def loss_of(parameters, statistics):
        Z, statistics = twin(parameters, statistics, X, True)
        losses = jax.nn.log_softmax(Z) * jax.nn.one_hot(y, Z.shape[-1])
        return -losses.sum() / y.size, statistics

    @jax.jit
    def update(parameters, velocity, statistics):
        (loss, statistics), gradients = jax.value_and_grad(loss_of, has_aux=True)(
            parameters, statistics
        )
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocity, gradients)
        parameters = jax.tree.map(lambda p, v: p - LEARNING_RATE * v, parameters, velocity)
        return loss, parameters, velocity, statistics

    zeros = jax.tree.map(lambda p: 0 * p, twin.parameters)
    state = [twin.parameters, zeros, twin.statistics]

    def step():
        loss, *state[:] = update(*state)
        return jax.block_until_ready(loss)

    loss = float(step())
    return step, {"loss": loss, **{k: np.array(g) for k, g in state[1].items()}}


def jax_predict(net, batch, threads):
    hold_to_threads(threads)
    import jax
    from jax_twin import Twin

    twin = Twin(make_network(net))
    X = jax.numpy.array(make_batch(net, batch)[0])
    forward = jax.jit(lambda X: twin(twin.parameters, twin.statistics, X, False)[0])

    def step():
        return jax.block_until_ready(forward(X))

    return step, {"output": np.array(step())}


# %%
# Runtimes, by way of ONNX


def onnx_model(net, batch):
    """Bytes of the twin as an ONNX model, and X with the channels first."""
    import torch
    from twin import Twin

    X = torch_maps(make_batch(net, batch)[0], "contiguous_format")
    module = Twin(make_network(net)).module.eval()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, X, file, input_names=["X"], dynamo=False)
    return file.getvalue(), X.numpy()


def onnx_predict(net, batch, threads):
    import onnxruntime

    model, X = onnx_model(net, batch)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def step():
        return session.run(None, {"X": X})[0]

    return step, {"output": channels_last(step())}


def openvino_predict(net, batch, threads):
    """In float32: by itself it takes bfloat16 where the CPU has it."""
    import openvino

    model, X = onnx_model(net, batch)
    options = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.compile_model(openvino.Core().read_model(model), "CPU", options)
    request = compiled.create_infer_request()

    def step():
        return request.infer({0: X}, share_inputs=True, share_outputs=True)[0]

    return step, {"output": channels_last(step()).copy()}


# %%
# The table


@dataclass(frozen=True)
class Peer:
    """A way to do what this package does.

    Parameters
    ----------
    module : str
        The package that it needs.
    predict, train : callable or None
        Of a network, a batch and a number of threads: a step, and its answer.
    can_be_held : bool, default=True
        Whether the variables of `HELD_BY` hold it to a CPU's older instructions.
    """

    module: str
    predict: Callable
    train: Callable | None = None
    can_be_held: bool = True


def of_torch(**options):
    return Peer("torch", partial(torch_predict, **options), partial(torch_train, **options))


PEERS = {
    "sklearn_convnet": Peer("sklearn_convnet", ours_predict, ours_train),
    "PyTorch": of_torch(memory_format="contiguous_format"),
    "PyTorch channels-last": of_torch(memory_format="channels_last"),
    "PyTorch compiled": of_torch(memory_format="contiguous_format", compiles=True),
    "PyTorch compiled channels-last": of_torch(memory_format="channels_last", compiles=True),
    "JAX": Peer("jax", jax_predict, jax_train),
    "onnxruntime": Peer("onnxruntime", onnx_predict, can_be_held=False),
    "OpenVINO": Peer("openvino", openvino_predict, can_be_held=False),
}

#: What holds peers to the instructions of a variant, but for our kernels and OpenBLAS.
HELD_BY = {
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
    "avx512": {},
}


def makers(mode, net, parts=None, held=False):
    """How peers predict or train, by name: those that can, and whose names contain a part."""
    first = "sklearn_convnet"
    chosen = {first: getattr(PEERS[first], mode)}
    has_layouts = len(NETS[net].make()[1]) > 2
    for name, peer in PEERS.items():
        fits = getattr(peer, mode) and (has_layouts or "channels-last" not in name)
        can = importlib.util.find_spec(peer.module) and (peer.can_be_held or not held)
        if fits and can and (not parts or any(part in name for part in parts)):
            chosen[name] = getattr(peer, mode)
    return chosen
