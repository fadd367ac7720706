"""Head to head with other packages: the same networks from the same weights.

    python benchmarks/compare.py train|predict|layers|kernels|latency|fit|first
                                 [--nets lenet5 vgg] [--group photographs] [--batch 1 16]
                                 [--peers onnx JAX] [--threads 1 2] [--rounds 9] [--json FILE]
                                 [--variant avx512|avx2|baseline]

Each contender lives in a process of its own and works only when it is its turn, so that no
two have threads at once. Before anything is timed, all must compute the same outputs, and
in training the same loss and gradients. In every round each contender does a few steps;
what counts is the median, over the rounds, of its time divided by ours of the same round.

train    a step of SGD with momentum: forward, loss, backward, update
predict  a forward, of a batch
layers   a forward, and a forward and backward, of single layers and small blocks
latency  a forward of one image, and the estimator's `predict_proba` of it
fit      `fit` of digits, 8 x 8, two convolutions, batches of 32, 20 epochs, next to skorch
first    the first fit and prediction of a process, next to those that follow
kernels  the three passes of convolutions, direct and in Winograd's form, and of dense layers,
         next to BLAS's matrix product, by time an operation of the direct form

The networks are in `networks.py`, small ones unless a group or parts of names are asked for; the
peers in `peers.py`: PyTorch in two layouts, as it is and compiled, JAX, onnxruntime and OpenVINO,
as far as they are installed. With `--variant`, kernels of that variant are timed, and the others
are held to registers of the same width, or left out.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import resource
import statistics
import time
import warnings
from collections import defaultdict
from functools import partial

import kernel_steps
import layer_rows
import numpy as np
import peers
from networks import NETS, make_batch, make_network
from peers import LEARNING_RATE, MOMENTUM

SECONDS = 0.25  # about how long a turn takes
MODES = ("train", "predict", "layers", "latency", "fit", "first", "kernels")
DIGIT_EPOCHS = 20
BATCHES_TRIED = 20  # to find out how many take a second


# %%
# Contenders besides those of `peers.py`: each returns a step to time, and what it must have in
# common with the others


def estimator_predict(net, batch, threads):
    """`predict_proba`; its answer is not the output, so nothing is compared."""
    from sklearn_convnet import ConvNetClassifier

    layers, _ = NETS[net].make()
    X, _ = make_batch(net, max(batch, 20))
    clf = ConvNetClassifier(layers, max_iter=1, n_threads=threads, random_state=0)
    clf.fit(X, np.arange(len(X)) % 10)
    return partial(clf.predict_proba, X[:batch]), {}


def digits():
    """scikit-learn's digits."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32).reshape(-1, 8, 8, 1), y.astype(np.int64)


def classifier(net, batch, threads, epochs):
    from sklearn_convnet import ConvNetClassifier
    from sklearn_convnet.optimizers import SGD

    return ConvNetClassifier(
        NETS[net].make()[0],
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


def contenders(mode, net, names=None, held=False):
    """Those of a mode and network, by name, the first beside whom the others stand."""
    if mode == "fit":
        return {"sklearn_convnet": ours_fit, "skorch": skorch_fit}
    if mode == "layers":
        return layer_rows.MAKERS
    chosen = peers.makers("predict" if mode == "latency" else mode, net, names, held)
    if mode == "latency":
        chosen["predict_proba"] = estimator_predict
    return chosen


#: Tolerances of two answers. In training, two numbers of a pool's window that are equal
#: but for rounding send a gradient to another place, which some of 300,000 windows do.
TOLERANCE = {
    "train": 2e-2,
    "predict": 1e-4,
    "layers": 1e-4,
    "latency": 1e-4,
    "fit": 0.02,
    "kernels": 1e-4,
}
#: Of gradients through many layers: those of MobileNet in PyTorch's two layouts differ by 1.5e-2.
DEEP_TOLERANCE = 1e-1
LOSS_TOLERANCE = 1e-5
SMALL = 1e-3  # of the largest gradient


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

    def get_ready(self):
        """Waits for the answer; says whether there is one."""
        try:
            self.answer = self._connection.recv()
            self.n_steps = max(1, round(SECONDS / self.turn(1)))
        except EOFError:
            return False
        return True

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


def ready(makers, mode, net, batch, threads):
    """Contenders that are prepared, beside one another; who fails has said why, and is left out."""
    started = {name: Contender(make, net, batch, threads) for name, make in makers.items()}
    contenders = {name: one for name, one in started.items() if one.get_ready()}
    if next(iter(makers)) not in contenders:
        raise RuntimeError(f"{mode} {net}: there is nobody to compare with")
    for name in makers.keys() - contenders.keys():
        print(f"{mode} {net}: {name} failed and is left out", flush=True)
    return contenders


def difference(a, b):
    """The largest relative difference, by norms, of the answers that both give. A gradient that is
    zero but for rounding, such as that of an offset before another batch norm, is compared with
    the largest."""
    shared = sorted(a.keys() & b.keys() - {"loss"})
    sizes = {k: float(np.linalg.norm(a[k])) for k in shared}
    least = SMALL * max(sizes.values(), default=0.0)
    return max(float(np.linalg.norm(a[k] - b[k])) / max(sizes[k], least) for k in shared)


def tolerance(mode, net):
    """The largest difference of two answers that is rounding."""
    is_deep = net in NETS and NETS[net].group == "photographs"
    return DEEP_TOLERANCE if mode == "train" and is_deep else TOLERANCE[mode]


def check_answers(mode, net, contenders):
    """Raises unless all compute the same."""
    first, *others = contenders.items()
    for name, other in others:
        if not first[1].answer.keys() & other.answer.keys():
            continue
        seen = difference(first[1].answer, other.answer)
        losses = [c.answer.get("loss", 1.0) for c in (first[1], other)]
        same_loss = np.isclose(*losses, rtol=LOSS_TOLERANCE, atol=0)
        if not (seen <= tolerance(mode, net) and same_loss):
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

    contenders = ready(makers, mode, net, batch, threads)
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
# The first of a process


def time_first(connection, net, batch, threads, n_batches):
    """Seconds of two fits and two rounds of predictions, of so many batches each."""
    warnings.simplefilter("ignore")  # nothing can be learnt of random labels
    X, y = make_batch(net, batch * n_batches)
    clf = classifier(net, batch, threads, epochs=1)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        clf.fit(X, y)
        seconds.append(time.perf_counter() - start)
    for _ in range(2):
        start = time.perf_counter()
        for row in range(n_batches):
            clf.predict(X[row * batch : (row + 1) * batch])
        seconds.append(time.perf_counter() - start)
    connection.send(seconds)


def in_new_process(net, batch, threads, n_batches):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=time_first, args=(theirs, net, batch, threads, n_batches))
    process.start()
    seconds = ours.recv()
    process.join()
    return seconds


def first_ones(net, batch, threads, rounds):
    """Rows of the first fit and the first predictions of a process, each about a second of work,
    and of those that follow; ratios are those of the first to the next."""
    tried = in_new_process(net, batch, threads, BATCHES_TRIED)
    rows = []
    for i, what in enumerate(("fit", "predict")):
        n_batches = max(1, round(BATCHES_TRIED / tried[2 * i + 1]))
        seconds = [in_new_process(net, batch, threads, n_batches) for _ in range(rounds)]
        pairs = [one[2 * i : 2 * i + 2] for one in seconds]
        row = {"mode": "first", "net": net, "batch": batch, "threads": threads}
        rows.append(
            row
            | {
                "package": f"first {what}",
                "milliseconds": 1e3 * statistics.median(first for first, _ in pairs),
                "ratio": statistics.median(first / following for first, following in pairs),
            }
        )
    return rows


# %%
# Command line


def print_rows(rows):
    for row in rows:
        print(
            f"{row['mode']:8} {row['net']:32} {row['batch']:4} {row['threads']} threads  "
            f"{row['package']:31}{row['milliseconds']:9.3f} ms  ratio {row['ratio']:6.2f}"
            + (f"  peak {row['peak_mib']:6.0f} MiB" if "peak_mib" in row else ""),
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
    """Geometric means of the ratios over the networks, of each package and of the best one;
    several threads beside one, of ours."""
    first = rows[0]["package"]
    ratios, of_nets, ours = defaultdict(list), defaultdict(list), {}
    for row in rows:
        if row["package"] == first:
            ours[row["net"], row["batch"], row["threads"]] = row["milliseconds"]
        else:
            ratios[row["threads"], row["package"]].append(row["ratio"])
            of_nets[row["net"], row["batch"], row["threads"]].append(row["ratio"])
    for (*_, threads), values in of_nets.items():
        ratios[threads, "the best of them"].append(min(values))
    for (threads, package), values in ratios.items():
        mean, least = statistics.geometric_mean(values), min(values)
        print(
            f"{threads} threads  {package:31} mean ratio of {len(values)}: {mean:6.2f}"
            f"  least {least:6.2f}"
        )
    for (net, batch, threads), milliseconds in ours.items():
        if threads > 1 and (net, batch, 1) in ours:
            faster = ours[net, batch, 1] / milliseconds
            print(f"{threads} threads over one  {first:16} {net:40} {batch:4} {faster:6.2f}")


def measure(options):
    """All rows that were asked for. A network's thread counts follow one another."""
    rows = []
    for net in options.nets:
        for batch, threads in itertools.product(batches(net, options), options.threads):
            rows += measure_one(options, net, batch, threads)
    if options.mode != "first":
        print_means(rows)
    return rows


def measure_one(options, net, batch, threads):
    sizes = (options.mode, net, batch, threads, options.rounds)
    if options.mode == "kernels":
        rows = kernel_steps.add_rates(compare(kernel_steps.makers(net), *sizes), net, batch)
        print_kernel(rows)
        return rows
    if options.mode == "first":
        rows = first_ones(net, batch, threads, options.rounds)
    else:
        held = options.variant not in (None, "avx512")
        rows = compare(contenders(options.mode, net, options.peers, held), *sizes)
    print_rows(rows)
    return rows


def batches(net, options):
    """Those that are asked for, or the usual ones."""
    mode = options.mode
    if mode == "layers":
        return [layer_rows.batch_of(net)]
    if options.batch:
        return options.batch
    if mode in ("train", "predict"):
        return NETS[net].batches(mode)
    return [{"latency": 1, "fit": 32, "first": 32}.get(mode, 128)]


def pick_nets(mode, parts, group):
    """The names in a group that contain one of the parts, or those that are usual in a mode."""
    if mode in ("kernels", "layers"):
        names = list(kernel_steps.KERNELS) if mode == "kernels" else layer_rows.names()
    else:
        names = [name for name, net in NETS.items() if group in (None, net.group)]
    if parts:
        return [name for name in names if any(part in name for part in parts)]
    if group or mode in ("kernels", "layers"):
        return names
    usual = {"latency": ["lenet5"], "fit": ["digits"], "first": ["lenet5", "resnet20"]}
    return usual.get(mode, [name for name in names if NETS[name].group == "small"])


def hold_to(variant):
    """Our kernels and all others, in the processes that are started from now on."""
    os.environ["SKLEARN_CONVNET_KERNELS"] = variant
    os.environ["OPENBLAS_CORETYPE"] = kernel_steps.CORETYPES[variant]
    os.environ.update(peers.HELD_BY[variant])


def write_json(rows, path):
    with open(path, "w") as file:
        json.dump(rows, file, indent=1)
        file.write("\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--nets", nargs="+", metavar="PART", help="parts of their names")
    groups = sorted({net.group for net in NETS.values()})
    parser.add_argument("--group", choices=groups, help="all networks of a kind")
    parser.add_argument("--peers", nargs="+", metavar="PART", help="parts of their names")
    parser.add_argument("--threads", type=int, nargs="+", default=[2])
    parser.add_argument("--batch", type=int, nargs="+")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--variant", choices=list(kernel_steps.CORETYPES))
    parser.add_argument("--json", metavar="FILE", help="where to write all figures")
    options = parser.parse_args()
    options.nets = pick_nets(options.mode, options.nets, options.group)
    if not options.nets:
        parser.error("no network has such a name")
    if options.variant:
        hold_to(options.variant)
    rows = measure(options)
    if options.json:
        write_json(rows, options.json)


if __name__ == "__main__":
    main()
