"""How time grows with samples and with filters, beside skorch and PyTorch where they are.

    python benchmarks/curves.py [--curves samples filters] [--samples 1000 ...] [--filters 8 ...]
                                [--threads 2] [--batch 128] [--rounds 3]
                                [--json FILE] [--plot FILE]

samples  `fit` of LeNet-5 for one epoch, on random images of 28 x 28 bytes (skorch's are
         floats already)
filters  a training step of two convolutions, 3 x 3, of so many filters each, at 28 x 28: by
         multiply-add of the direct form, so that a number of filters that suits badly shows

Contenders are those of `compare.py`, and take turns in the same way.
"""

import argparse
import importlib.util
from functools import partial

import compare
import numpy as np
from networks import Net

SAMPLES = (1000, 2000, 5000, 10_000, 20_000, 60_000)
FILTERS = (8, 16, 24, 32, 48, 64, 96, 128)


# %%
# Contenders


def images(n):
    """Random bytes and labels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 28, 28, 1), dtype=np.uint8), rng.integers(0, 10, n)


def ours_epoch(n, batch, threads):
    from sklearn_convnet.layers import Rescale

    clf = compare.classifier("lenet5", batch, threads, epochs=1)
    clf.set_params(layers=[Rescale(1 / 255), *clf.layers])
    return partial(clf.fit, *images(n)), {}


def skorch_epoch(n, batch, threads):
    clf = compare.skorch_classifier("lenet5", batch, threads, epochs=1)
    X, y = images(n)
    X = np.float32(1 / 255) * X.transpose(0, 3, 1, 2)
    return partial(clf.fit, np.ascontiguousarray(X), y), {}


def two_convolutions(filters):
    from sklearn_convnet.layers import Conv2D, GlobalAvgPool

    layers = [Conv2D(filters, 3, padding=1), Conv2D(filters, 3, padding=1), GlobalAvgPool()]
    return layers, (28, 28, 1)


def with_convolutions(make, filters, batch, threads):
    """A contender of `compare.py`, in the process that it runs in."""
    compare.NETS[filters] = Net(partial(two_convolutions, filters), "curves")
    return make(filters, batch, threads)


MAKERS = {
    "samples": {"sklearn_convnet": ours_epoch, "skorch": skorch_epoch},
    "filters": {
        name: partial(with_convolutions, make)
        for name, make in compare.contenders("train", "lenet5", ["PyTorch"]).items()
        if "compiled" not in name
    },
}
compare.TOLERANCE["filters"] = compare.TOLERANCE["train"]


def installed(makers):
    """Those whose package is there."""
    modules = {"sklearn_convnet": "sklearn_convnet", "skorch": "skorch", "PyTorch": "torch"}
    return {
        k: make for k, make in makers.items() if importlib.util.find_spec(modules[k.split()[0]])
    }


# %%
# Curves


def multiply_adds(filters, batch):
    """Multiply-adds of a training step: three times those of a forward."""
    from sklearn_convnet.network import compile_network
    from sklearn_convnet.network.node import walk

    network = compile_network(*two_convolutions(filters), random_state=0)
    return 3 * batch * sum(node.multiply_adds for node in walk(network.nodes))


def measure(curve, size, options):
    """A row for each package."""
    rows = compare.compare(
        installed(MAKERS[curve]), curve, size, options.batch, options.threads, options.rounds
    )
    for row in rows:
        if curve == "samples":
            row["microseconds_a_sample"] = 1e3 * row["milliseconds"] / size
        else:
            row["gflops"] = 2e-6 * multiply_adds(size, options.batch) / row["milliseconds"]
            row["picoseconds_a_multiply_add"] = 2e3 / row["gflops"]
    return rows


def print_rows(rows):
    for row in rows:
        if row["mode"] == "samples":
            rate = f"{row['microseconds_a_sample']:8.1f} µs a sample"
        else:
            rate = f"{row['picoseconds_a_multiply_add']:8.1f} ps a multiply-add"
            rate += f" {row['gflops']:8.1f} GFLOP/s"
        print(
            f"{row['net']:6} {row['mode']}  {row['package']:24} {row['milliseconds']:10.2f} ms"
            f" {rate}  ratio {row['ratio']:5.2f}",
            flush=True,
        )


def plot(rows, path):
    """A panel for each curve."""
    import matplotlib.pyplot as plt
    from plot import save

    quantities = {"samples": ("milliseconds", "fit, ms"), "filters": ("gflops", "GFLOP/s")}
    curves = list(dict.fromkeys(row["mode"] for row in rows))
    figure, axes = plt.subplots(
        1, len(curves), figsize=(4.5 * len(curves), 3), squeeze=False, layout="constrained"
    )
    for ax, curve in zip(axes[0], curves, strict=True):
        key, label = quantities[curve]
        own = [row for row in rows if row["mode"] == curve]
        for package in dict.fromkeys(row["package"] for row in own):
            points = [(row["net"], row[key]) for row in own if row["package"] == package]
            ax.plot(*zip(*points, strict=True), marker="o", label=package)
        ax.set(xlabel=curve, ylabel=label)
        ax.legend(frameon=False, fontsize=8)
        if curve == "samples":
            ax.set(xscale="log", yscale="log")
        else:
            ax.set_ylim(bottom=0)
    save(figure, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--curves", nargs="+", choices=MAKERS, default=list(MAKERS))
    parser.add_argument("--samples", type=int, nargs="+", default=SAMPLES)
    parser.add_argument("--filters", type=int, nargs="+", default=FILTERS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="where to write all figures")
    parser.add_argument("--plot", metavar="FILE", help="where to draw the curves")
    options = parser.parse_args()
    rows = []
    for curve in options.curves:
        for size in getattr(options, curve):
            new = measure(curve, size, options)
            print_rows(new)
            rows += new
    if options.json:
        compare.write_json(rows, options.json)
    if options.plot:
        plot(rows, options.plot)


if __name__ == "__main__":
    main()
