"""Head to head with PyTorch, skorch and onnxruntime: the same networks from the same weights.

    python benchmarks/compare.py train|predict|kernels|latency|fit [--threads 2] [--batch 128]
                                 [--nets lenet5 vgg] [--rounds 9] [--json FILE]

Each contender lives in a process of its own and works only when it is its turn, so that no
two have threads at once. Before anything is timed, all must compute the same outputs, and
in training the same loss and gradients. In every round each contender does a few steps;
what counts is the median, over the rounds, of its time divided by ours of the same round.

train    a step of SGD with momentum: forward, loss, backward, update
predict  a forward, of a batch
latency  a forward of one image, and the estimator's `predict_proba` of it
fit      `fit` of digits, 8 x 8, two convolutions, batches of 32, 20 epochs, next to skorch
kernels  the three passes of convolutions, in shares of the rate of BLAS's matrix product
"""

import argparse
import json
import multiprocessing
import os
import resource
import runpy
import statistics
import time
from functools import partial
from pathlib import Path

import numpy as np

SECONDS = 0.25  # about how long a turn takes
LEARNING_RATE, MOMENTUM = 0.01, 0.9


# %%
# Networks


def lenet5():
    from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D

    layers = [Conv2D(6, 5, padding=2), MaxPool2D(2), Conv2D(16, 5), MaxPool2D(2)]
    return [*layers, Dense(120), Dense(84)], (28, 28, 1)


def conv32_64():
    from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D

    return [Conv2D(32, 3), Conv2D(64, 3), MaxPool2D(2), Dense(128)], (28, 28, 1)


def vgg():
    from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D

    layers = []
    for filters in (64, 128, 256):
        layers += [Conv2D(filters, 3, padding=1), Conv2D(filters, 3, padding=1), MaxPool2D(2)]
    return [*layers, Dense(256)], (32, 32, 3)


def resnet20():
    from sklearn_convnet.architectures import resnet_cifar

    return resnet_cifar(20, projection=True), (32, 32, 3)


def fashion():
    example = Path(__file__).parents[1] / "docs" / "examples" / "fashion_mnist.py"
    layers = runpy.run_path(str(example))["layers"]()
    # Two generators never drop the same numbers.
    return [layer for layer in layers if type(layer).__name__ != "Dropout"], (28, 28, 1)


NETS = {"lenet5": lenet5, "conv32-64": conv32_64, "vgg": vgg, "resnet20": resnet20}


def make_network(net):
    """Our network, with an output of ten classes."""
    from sklearn_convnet.layers import Dense
    from sklearn_convnet.network import compile_network

    layers, shape = NETS[net]()
    layers = [*layers, ("output", Dense(10, activation="identity"))]
    return compile_network(layers, shape, random_state=0)


def make_batch(net, batch):
    """Random images and labels."""
    rng = np.random.default_rng(0)
    shape = NETS[net]()[1]
    X = rng.standard_normal((batch, *shape), dtype=np.float32)
    return X, rng.integers(0, 10, batch)


# %%
# Contenders: each returns a step to time, and what it must have in common with the others


def ours_train(net, batch, threads):
    from sklearn_convnet.losses import CrossEntropy
    from sklearn_convnet.optimizers import SGD
    from sklearn_convnet.training import Samples, Trainer

    network = make_network(net)
    X, y = make_batch(net, batch)
    samples = Samples(X, y, np.ones(batch, np.float32))
    optimizer = SGD(LEARNING_RATE, momentum=MOMENTUM)
    trainer = Trainer(network, CrossEntropy(), optimizer, batch, False, None, threads)
    loss = trainer.run_step(samples)[0] / batch
    answer = {path: array.copy() for path, array in network.gradients().items()}
    return partial(trainer.run_step, samples), {"loss": loss, **answer}


def torch_train(net, batch, threads, memory_format):
    import torch
    from twin import Twin

    torch.set_num_threads(threads)
    twin = Twin(make_network(net))
    X, y = make_batch(net, batch)
    module = twin.module.to(memory_format=getattr(torch, memory_format))
    X = torch.from_numpy(X).permute(0, 3, 1, 2)
    X = X.contiguous(memory_format=getattr(torch, memory_format))
    y = torch.from_numpy(y)
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


def ours_predict(net, batch, threads):
    network = make_network(net)
    X, _ = make_batch(net, batch)
    step = partial(network.forward, X, n_threads=threads)
    return step, {"output": step()}


def torch_predict(net, batch, threads, memory_format):
    import torch
    from twin import Twin

    torch.set_num_threads(threads)
    module = Twin(make_network(net)).module.eval()
    module = module.to(memory_format=getattr(torch, memory_format))
    X = torch.from_numpy(make_batch(net, batch)[0]).permute(0, 3, 1, 2)
    X = X.contiguous(memory_format=getattr(torch, memory_format))

    def step():
        with torch.inference_mode():
            return module(X)

    return step, {"output": step().numpy()}


def onnx_predict(net, batch, threads):
    import io
    import warnings

    import onnxruntime
    import torch
    from twin import Twin

    X = np.ascontiguousarray(make_batch(net, batch)[0].transpose(0, 3, 1, 2))
    module = Twin(make_network(net)).module.eval()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, torch.from_numpy(X), file, input_names=["X"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(
        file.getvalue(), options, providers=["CPUExecutionProvider"]
    )

    def step():
        return session.run(None, {"X": X})[0]

    return step, {"output": step()}


def estimator_predict(net, batch, threads):
    """`predict_proba`; its answer is not the output, so nothing is compared."""
    from sklearn_convnet import ConvNetClassifier

    layers, _ = NETS[net]()
    X, _ = make_batch(net, max(batch, 20))
    clf = ConvNetClassifier(layers, max_iter=1, n_threads=threads, random_state=0)
    clf.fit(X, np.arange(len(X)) % 10)
    return partial(clf.predict_proba, X[:batch]), {}


def digits(batch):
    """scikit-learn's digits, the layers for them, and how they are trained."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32).reshape(-1, 8, 8, 1), y.astype(np.int64)


def digit_layers():
    from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D

    layers = [Conv2D(16, 3, padding=1), MaxPool2D(2), Conv2D(32, 3, padding=1), MaxPool2D(2)]
    return [*layers, Dense(64)], (8, 8, 1)


NETS |= {"digits": digit_layers, "fashion": fashion}


def ours_fit(net, batch, threads):
    from sklearn_convnet import ConvNetClassifier
    from sklearn_convnet.optimizers import SGD

    X, y = digits(batch)
    clf = ConvNetClassifier(
        digit_layers()[0],
        optimizer=SGD(LEARNING_RATE, momentum=MOMENTUM),
        batch_size=batch,
        max_iter=20,
        n_iter_no_change=20,
        n_threads=threads,
        random_state=0,
    )
    return partial(clf.fit, X, y), {"accuracy": clf.fit(X, y).score(X, y)}


def skorch_fit(net, batch, threads):
    import torch
    from skorch import NeuralNetClassifier
    from twin import Twin

    torch.set_num_threads(threads)
    X, y = digits(batch)
    X = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
    clf = NeuralNetClassifier(
        Twin(make_network("digits")).module,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=LEARNING_RATE,
        optimizer__momentum=MOMENTUM,
        batch_size=batch,
        max_epochs=20,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    return partial(clf.fit, X, y), {"accuracy": clf.fit(X, y).score(X, y)}


CONTENDERS = {
    "train": {
        "sklearn_convnet": ours_train,
        "PyTorch": partial(torch_train, memory_format="contiguous_format"),
        "PyTorch channels-last": partial(torch_train, memory_format="channels_last"),
    },
    "predict": {
        "sklearn_convnet": ours_predict,
        "PyTorch": partial(torch_predict, memory_format="contiguous_format"),
        "PyTorch channels-last": partial(torch_predict, memory_format="channels_last"),
        "onnxruntime": onnx_predict,
    },
    "latency": {
        "sklearn_convnet": ours_predict,
        "predict_proba": estimator_predict,
        "PyTorch": partial(torch_predict, memory_format="contiguous_format"),
        "onnxruntime": onnx_predict,
    },
    "fit": {"sklearn_convnet": ours_fit, "skorch": skorch_fit},
}
#: What two answers may differ by. In training, two numbers of a pool's window that are equal
#: but for rounding send a gradient to another place, which some of 300,000 windows do.
TOLERANCE = {"train": 2e-2, "predict": 1e-4, "latency": 1e-4, "fit": 0.02}
LOSS_TOLERANCE = 1e-5


# %%
# Processes that take turns


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(connection, make, net, batch, threads):
    """Prepares a contender, sends its answer, and times it whenever it is asked to."""
    step, answer = make(net, batch, threads)
    connection.send(answer)
    while (n_steps := connection.recv()) is not None:
        step()  # caches and threads are warm
        start = time.perf_counter()
        for _ in range(n_steps):
            step()
        connection.send((time.perf_counter() - start) / n_steps)
    connection.send(peak_mib())


class Contender:
    """A process that does steps when it is told to."""

    def __init__(self, make, net, batch, threads):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        os.environ["OMP_NUM_THREADS"] = str(threads)
        self._process = context.Process(
            target=serve, args=(theirs, make, net, batch, threads), daemon=True
        )
        self._process.start()
        theirs.close()  # so that a process that ended is noticed
        self.answer = self._connection.recv()
        self.n_steps = max(1, round(SECONDS / self.turn(1)))

    def turn(self, n_steps=None):
        """Seconds a step."""
        self._connection.send(n_steps or self.n_steps)
        return self._connection.recv()

    def close(self):
        """Ends the process; returns its peak memory in MiB."""
        self._connection.send(None)
        peak = self._connection.recv()
        self._process.join()
        return peak


def difference(a, b):
    """The largest relative difference, by norms, of the answers that both give."""
    shared = a.keys() & b.keys()
    return max(float(np.linalg.norm(a[k] - b[k]) / np.linalg.norm(a[k])) for k in shared)


def check_answers(mode, net, contenders):
    """Raises unless all compute the same."""
    first, *others = contenders.items()
    for name, other in others:
        if not first[1].answer.keys() & other.answer.keys():
            continue
        seen = difference(first[1].answer, other.answer)
        losses = [c.answer.get("loss", 1.0) for c in (first[1], other)]
        same_loss = np.isclose(*losses, rtol=LOSS_TOLERANCE, atol=0)
        if not (seen <= TOLERANCE[mode] and same_loss):
            raise RuntimeError(f"{mode} {net}: {first[0]} and {name} differ by {seen:.1e}")


def compare(mode, net, batch, threads, rounds):
    """One network: a row for each contender."""
    contenders = {
        name: Contender(make, net, batch, threads) for name, make in CONTENDERS[mode].items()
    }
    check_answers(mode, net, contenders)
    seconds = {name: [] for name in contenders}
    for i in range(rounds):
        names = list(contenders)
        for name in names if i % 2 == 0 else names[::-1]:
            seconds[name].append(contenders[name].turn())
    ours = seconds["sklearn_convnet"]
    return [
        {
            "mode": mode,
            "net": net,
            "batch": batch,
            "threads": threads,
            "package": name,
            "milliseconds": 1e3 * statistics.median(times),
            "ratio": statistics.median(t / o for t, o in zip(times, ours, strict=True)),
            "peak_mib": contenders[name].close(),
        }
        for name, times in seconds.items()
    ]


# %%
# Kernels


def gflops_of(step, work, rounds):
    """Rates in 10^9 operations a second, a multiply-add being two."""
    step()
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        step()
        rates.append(2 * work / (time.perf_counter() - start) / 1e9)
    return rates


CONVOLUTIONS = {
    "28x28, 1 -> 6, 5x5": (28, 1, 6, 5, 2),
    "14x14, 6 -> 16, 5x5": (14, 6, 16, 5, 0),
    "32x32, 16 -> 16, 3x3": (32, 16, 16, 3, 1),
    "24x24, 32 -> 64, 3x3": (24, 32, 64, 3, 1),
    "32x32, 64 -> 64, 3x3": (32, 64, 64, 3, 1),
    "16x16, 128 -> 128, 3x3": (16, 128, 128, 3, 1),
    "8x8, 256 -> 256, 3x3": (8, 256, 256, 3, 1),
}


def convolution_steps(size, channels, filters, kernel, padding, batch, threads):
    """The three passes, and the multiply-adds of each."""
    from sklearn_convnet.kernels import loader

    kernels = loader.kernels("float32")
    rng = np.random.default_rng(0)
    out = size + 2 * padding - kernel + 1

    def draw(*shape):
        return rng.standard_normal(shape, dtype=np.float32)

    X, W = draw(batch, 1, size, size, channels), draw(1, kernel, kernel, channels, filters)
    b, Y, dX, dW = draw(filters), draw(batch, 1, out, out, filters), X.copy(), W.copy()
    dY, db = draw(*Y.shape), b.copy()
    ones = (1, 1, 1)
    geometry = (ones, ((0, 0), (padding, padding), (padding, padding)), ones, 1)
    end = (*geometry, "identity", 0.0, threads)
    steps = {
        "forward": partial(kernels.conv_forward, X, W, b, Y, *end),
        "input gradient": partial(kernels.conv_backward, X, W, Y, dY, dX, None, None, *end),
        "weight gradient": partial(kernels.conv_backward, X, W, Y, dY, None, dW, db, *end),
    }
    return steps, batch * out**2 * kernel**2 * channels * filters


def compare_kernels(batch, threads, rounds):
    """A row for each pass of each convolution, with the matrix product's rate beside it."""
    from scipy.linalg.blas import sgemm
    from threadpoolctl import threadpool_limits

    A = np.asfortranarray(np.random.default_rng(0).standard_normal((1536, 1536)), np.float32)
    rows = []
    with threadpool_limits(threads):
        for name, shape in CONVOLUTIONS.items():
            steps, work = convolution_steps(*shape, batch, threads)
            for what, step in steps.items():
                ours = gflops_of(step, work, rounds)
                blas = gflops_of(partial(sgemm, 1.0, A, A), 1536**3, rounds)
                rows.append(
                    {
                        "mode": "kernels",
                        "net": name,
                        "batch": batch,
                        "threads": threads,
                        "package": what,
                        "gflops": statistics.median(ours),
                        "sgemm_gflops": statistics.median(blas),
                        "ratio": statistics.median(ours) / statistics.median(blas),
                    }
                )
    return rows


# %%
# Command line


def print_rows(rows):
    for row in rows:
        figure = f"{row['milliseconds']:9.3f} ms" if "milliseconds" in row else ""
        figure = f"{row['gflops']:7.1f} GFLOP/s" if "gflops" in row else figure
        memory = f"  peak {row['peak_mib']:6.0f} MiB" if "peak_mib" in row else ""
        print(
            f"{row['mode']:8} {row['net']:24} {row['threads']} threads  {row['package']:24}"
            f"{figure}  ratio {row['ratio']:6.2f}{memory}",
            flush=True,
        )


def measure(options):
    """All rows that were asked for."""
    rows = []
    for threads in options.threads:
        if options.mode == "kernels":
            rows += compare_kernels(options.batch, threads, options.rounds)
            print_rows(rows)
            continue
        for net in options.nets:
            new = compare(options.mode, net, options.batch, threads, options.rounds)
            print_rows(new)
            rows += new
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mode", choices=[*CONTENDERS, "kernels"])
    parser.add_argument("--nets", nargs="+", choices=list(NETS))
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", metavar="FILE", help="where to write all figures")
    options = parser.parse_args()
    default_batch = {"latency": 1, "fit": 32}
    default_nets = {"latency": ["lenet5"], "fit": ["digits"]}
    options.batch = options.batch or default_batch.get(options.mode, 128)
    every = [net for net in NETS if net not in ("digits", "fashion")]
    options.nets = options.nets or default_nets.get(options.mode, every)
    rows = measure(options)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()
