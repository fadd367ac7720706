"""Head to head with PyTorch, skorch and onnxruntime: the same networks from the same weights.

    python benchmarks/compare.py train|predict|kernels|latency|fit [--threads 1 2] [--batch 128]
                                 [--nets lenet5 vgg] [--rounds 9] [--json FILE]
                                 [--variant avx512|avx2|baseline]

Each contender lives in a process of its own and works only when it is its turn, so that no
two have threads at once. Before anything is timed, all must compute the same outputs, and
in training the same loss and gradients. In every round each contender does a few steps;
what counts is the median, over the rounds, of its time divided by ours of the same round.

train    a step of SGD with momentum: forward, loss, backward, update
predict  a forward, of a batch
latency  a forward of one image, and the estimator's `predict_proba` of it
fit      `fit` of digits, 8 x 8, two convolutions, batches of 32, 20 epochs, next to skorch
kernels  the three passes of convolutions, direct and in Winograd's form, and of dense layers,
         next to BLAS's matrix product, by time an operation of the direct form

`--nets` takes parts of names: `kernels --nets 3x3`, and `predict --nets 22 --batch 1` for one
photograph. With `--variant`, kernels of that variant are timed, and OpenBLAS is held to registers
of the same width.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import runpy
import statistics
import time
from collections import defaultdict
from functools import partial
from pathlib import Path

import kernel_steps
import numpy as np

SECONDS = 0.25  # about how long a turn takes
LEARNING_RATE, MOMENTUM = 0.01, 0.9
DIGIT_EPOCHS = 20


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


def without_dropout(layers):
    """Layers that two packages can train alike: two generators never drop the same numbers."""
    return [
        pair
        for pair in layers
        if type(pair[-1] if isinstance(pair, tuple) else pair).__name__ != "Dropout"
    ]


def fashion():
    example = Path(__file__).parents[1] / "docs" / "examples" / "fashion_mnist.py"
    return without_dropout(runpy.run_path(str(example))["layers"]()), (28, 28, 1)


def photographs(architecture, *args, side=224):
    """A network of photographs."""
    from sklearn_convnet import architectures

    return without_dropout(getattr(architectures, architecture)(*args)), (side, side, 3)


NETS = {"lenet5": lenet5, "conv32-64": conv32_64, "vgg": vgg, "resnet20": resnet20}
#: Those that are compared only where they are asked for.
LARGE = {
    "resnet18-224": partial(photographs, "resnet", 18),
    "resnet50-224": partial(photographs, "resnet", 50),
    "alexnet-227": partial(photographs, "alexnet", side=227),
    "vgg16-224": partial(photographs, "vgg", "D"),
}


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


def digits():
    """scikit-learn's digits."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32).reshape(-1, 8, 8, 1), y.astype(np.int64)


def digit_layers():
    from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D

    layers = [Conv2D(16, 3, padding=1), MaxPool2D(2), Conv2D(32, 3, padding=1), MaxPool2D(2)]
    return [*layers, Dense(64)], (8, 8, 1)


NETS |= {"digits": digit_layers, "fashion": fashion, **LARGE}


def classifier(net, batch, threads, epochs):
    from sklearn_convnet import ConvNetClassifier
    from sklearn_convnet.optimizers import SGD

    return ConvNetClassifier(
        NETS[net]()[0],
        optimizer=SGD(LEARNING_RATE, momentum=MOMENTUM),
        batch_size=batch,
        max_iter=epochs,
        n_iter_no_change=epochs,
        n_threads=threads,
        random_state=0,
    )


def skorch_classifier(net, batch, threads, epochs):
    import torch
    from skorch import NeuralNetClassifier
    from twin import Twin

    torch.set_num_threads(threads)
    return NeuralNetClassifier(
        Twin(make_network(net)).module,
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        lr=LEARNING_RATE,
        optimizer__momentum=MOMENTUM,
        batch_size=batch,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )


def ours_fit(net, batch, threads):
    X, y = digits()
    clf = classifier(net, batch, threads, DIGIT_EPOCHS)
    return partial(clf.fit, X, y), {"accuracy": clf.fit(X, y).score(X, y)}


def skorch_fit(net, batch, threads):
    X, y = digits()
    X = np.ascontiguousarray(X.transpose(0, 3, 1, 2))
    clf = skorch_classifier(net, batch, threads, DIGIT_EPOCHS)
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
#: Tolerances of two answers. In training, two numbers of a pool's window that are equal
#: but for rounding send a gradient to another place, which some of 300,000 windows do.
TOLERANCE = {"train": 2e-2, "predict": 1e-4, "latency": 1e-4, "fit": 0.02, "kernels": 1e-4}
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


def take_turns(contenders, rounds):
    """Seconds a step, of each contender in each round."""
    seconds = {name: [] for name in contenders}
    for i in range(rounds):
        names = list(contenders)
        for name in names if i % 2 == 0 else names[::-1]:
            seconds[name].append(contenders[name].turn())
    return seconds


def compare(makers, mode, net, batch, threads, rounds):
    """One network: a row for each contender. The first is the one the others stand beside."""
    from sklearn_convnet.kernels import loader

    contenders = {name: Contender(make, net, batch, threads) for name, make in makers.items()}
    check_answers(mode, net, contenders)
    seconds = take_turns(contenders, rounds)
    first = next(iter(seconds.values()))
    return [
        {
            "mode": mode,
            "net": net,
            "batch": batch,
            "threads": threads,
            "variant": loader.default_variant(),
            "package": name,
            "milliseconds": 1e3 * statistics.median(times),
            "ratio": statistics.median(t / o for t, o in zip(times, first, strict=True)),
            "peak_mib": contenders[name].close(),
        }
        for name, times in seconds.items()
    ]


# %%
# Command line


def print_rows(rows):
    for row in rows:
        print(
            f"{row['mode']:8} {row['net']:24} {row['threads']} threads  {row['package']:24}"
            f"{row['milliseconds']:9.3f} ms  ratio {row['ratio']:6.2f}"
            f"  peak {row['peak_mib']:6.0f} MiB",
            flush=True,
        )


def print_kernel(rows):
    """One pass in one line: rates in GFLOP/s, and the shares that matter."""
    of = {row["package"]: row for row in rows}
    rates = "".join(f"  {name} {row['gflops']:6.1f}" for name, row in of.items())
    faster = f"  winograd/direct {1 / of['winograd']['ratio']:5.2f}" if "winograd" in of else ""
    print(
        f"{rows[0]['net']:40} {rows[0]['threads']} threads{rates}"
        f"  direct/sgemm {of['sgemm']['ratio']:5.2f}{faster}",
        flush=True,
    )


def print_means(rows):
    """Geometric means of the ratios over the networks; several threads beside one, of ours."""
    first = rows[0]["package"]
    ratios, ours = defaultdict(list), {}
    for row in rows:
        if row["package"] == first:
            ours[row["net"], row["threads"]] = row["milliseconds"]
        else:
            ratios[row["threads"], row["package"]].append(row["ratio"])
    for (threads, package), values in ratios.items():
        mean = statistics.geometric_mean(values)
        print(f"{threads} threads  {package:24} mean ratio of {len(values)}: {mean:6.2f}")
    for (net, threads), milliseconds in ours.items():
        if threads > 1 and (net, 1) in ours:
            faster = ours[net, 1] / milliseconds
            print(f"{threads} threads over one  {first:16} {net:40} {faster:6.2f}")


def measure(options):
    """All rows that were asked for. A network's thread counts follow one another."""
    rows = []
    for net, threads in itertools.product(options.nets, options.threads):
        sizes = (options.mode, net, options.batch, threads, options.rounds)
        if options.mode == "kernels":
            new = kernel_steps.add_rates(
                compare(kernel_steps.makers(net), *sizes), net, options.batch
            )
            print_kernel(new)
        else:
            new = compare(CONTENDERS[options.mode], *sizes)
            print_rows(new)
        rows += new
    print_means(rows)
    return rows


def pick_nets(mode, parts):
    """The names that contain one of the parts, or those that are usual in a mode."""
    names = list(kernel_steps.KERNELS if mode == "kernels" else NETS)
    if parts:
        return [name for name in names if any(part in name for part in parts)]
    usual = {"latency": ["lenet5"], "fit": ["digits"]}
    return usual.get(mode, [name for name in names if name not in ("digits", "fashion", *LARGE)])


def hold_to(variant):
    """Our kernels, and OpenBLAS, in the processes that are started from now on."""
    os.environ["SKLEARN_CONVNET_KERNELS"] = variant
    os.environ["OPENBLAS_CORETYPE"] = kernel_steps.CORETYPES[variant]


def write_json(rows, path):
    with open(path, "w") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mode", choices=[*CONTENDERS, "kernels"])
    parser.add_argument("--nets", nargs="+", metavar="PART", help="parts of their names")
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--variant", choices=list(kernel_steps.CORETYPES))
    parser.add_argument("--json", metavar="FILE", help="where to write all figures")
    options = parser.parse_args()
    options.nets = pick_nets(options.mode, options.nets)
    if not options.nets:
        parser.error("no network has such a name")
    options.batch = options.batch or {"latency": 1, "fit": 32}.get(options.mode, 128)
    if options.variant:
        hold_to(options.variant)
    rows = measure(options)
    if options.json:
        write_json(rows, options.json)


if __name__ == "__main__":
    main()
