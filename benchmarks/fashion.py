"""LeNet-5 on Fashion-MNIST, next to the same network in skorch (PyTorch).

28 x 28 images, the first convolution padded by 2, ReLU, Adam at 1e-3, batches of 128,
float32. Both packages get the same images, the same number of threads and the same first
weights, and train in turn; the accuracy on the test images stands beside each time.

    python benchmarks/fashion.py FOLDER [--epochs 3] [--repeats 3] [--threads 2]
                                 [--json FILE]

FOLDER holds the four IDX files. Each fit runs in a process of its own, so that neither
package finds the other's threads or memory.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

PACKAGES = ("sklearn_convnet", "skorch")
BATCH_SIZE = 128
LEARNING_RATE = 1e-3


def load(folder):
    """Images as float32 between 0 and 1, labels as int64."""
    from sklearn_convnet.datasets import read_idx_folder

    X_train, y_train, X_test, y_test = read_idx_folder(folder)
    return (
        X_train.astype(np.float32) / 255,
        y_train.astype(np.int64),
        X_test.astype(np.float32) / 255,
        y_test.astype(np.int64),
    )


def lenet_layers():
    from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D

    return [
        ("conv1", Conv2D(6, 5, padding=2)),
        ("pool1", MaxPool2D(2)),
        ("conv2", Conv2D(16, 5)),
        ("pool2", MaxPool2D(2)),
        ("dense1", Dense(120)),
        ("dense2", Dense(84)),
    ]


def convnet_model(epochs, threads, seed):
    from sklearn_convnet import ConvNetClassifier
    from sklearn_convnet.optimizers import Adam

    return ConvNetClassifier(
        lenet_layers(),
        optimizer=Adam(LEARNING_RATE),
        batch_size=BATCH_SIZE,
        max_iter=epochs,
        n_threads=threads,
        random_state=seed,
    )


def first_weights(seed):
    """The first weights of `convnet_model`, in the order and layout of the modules below."""
    from sklearn_convnet.layers import Dense
    from sklearn_convnet.network import compile_network

    network = compile_network(
        [*lenet_layers(), ("output", Dense(10, activation="identity"))],
        (28, 28, 1),
        random_state=np.random.RandomState(seed),
    )
    arrays = network.parameters()
    rows = np.arange(5 * 5 * 16).reshape(5, 5, 16).transpose(2, 0, 1).ravel()
    for name in ("conv1", "conv2", "dense1", "dense2", "output"):
        weight = arrays[f"{name}/weight"]
        if name == "dense1":
            weight = weight[rows]  # channels come first there
        yield weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight.T
        yield arrays[f"{name}/bias"]


def skorch_model(epochs, threads, seed):
    import torch
    from skorch import NeuralNetClassifier
    from torch import nn

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    lenet = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )
    with torch.no_grad():
        for parameter, first in zip(lenet.parameters(), first_weights(seed), strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(first)))
    return NeuralNetClassifier(
        lenet,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=BATCH_SIZE,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,  # all images are trained on, as in ours
        verbose=0,
    )


def measure(package, folder, epochs, threads, seed):
    """Fits once; returns seconds and test accuracy."""
    X_train, y_train, X_test, y_test = load(folder)
    if package == "skorch":
        X_train, X_test = X_train[:, np.newaxis], X_test[:, np.newaxis]
    make = {"sklearn_convnet": convnet_model, "skorch": skorch_model}[package]
    make(1, threads, seed).fit(X_train[:1000], y_train[:1000])  # load, warm up
    model = make(epochs, threads, seed)
    start = time.perf_counter()
    model.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    accuracy = float(np.mean(model.predict(X_test) == y_test))
    return {"package": package, "seed": seed, "seconds": seconds, "accuracy": accuracy}


def measure_in_process(package, options, seed):
    """`measure` in a process of its own."""
    command = [sys.executable, __file__, options.folder, "--only", package]
    for name in ("epochs", "threads"):
        command += [f"--{name}", str(getattr(options, name))]
    command += ["--seed", str(seed)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(options):
    """Rows of `repeats` fits of each package, in turn; the first alternates."""
    rows = []
    for i in range(options.repeats):
        order = PACKAGES if i % 2 == 0 else PACKAGES[::-1]
        for package in order:
            row = measure_in_process(package, options, options.seed + i)
            rows.append(row)
            print(
                f"{row['package']:16}  seed {row['seed']}  {row['seconds']:8.2f} s  "
                f"accuracy {row['accuracy']:.4f}",
                flush=True,
            )
    return rows


def summarise(rows):
    """Medians of each package, of the differences and of the ratios of a pair."""
    summary = {}
    of = {
        package: sorted(
            (row for row in rows if row["package"] == package),
            key=lambda row: row["seed"],
        )
        for package in PACKAGES
    }
    for package, own in of.items():
        summary[package] = {
            key: statistics.median(row[key] for row in own) for key in ("seconds", "accuracy")
        }
    pairs = list(zip(*of.values(), strict=True))
    summary["speedup"] = statistics.median(b["seconds"] / a["seconds"] for a, b in pairs)
    summary["accuracy_difference"] = statistics.median(
        a["accuracy"] - b["accuracy"] for a, b in pairs
    )
    return summary


def print_summary(summary, options):
    print(
        f"\nMedians of {options.repeats} fits of {options.epochs} epochs, "
        f"{options.threads} threads\n"
    )
    print("| package | fit | test accuracy |\n|---|---|---|")
    for package in PACKAGES:
        row = summary[package]
        print(f"| {package} | {row['seconds']:.2f} s | {row['accuracy']:.4f} |")
    print(f"\nskorch's time divided by ours: {summary['speedup']:.2f}")
    print(f"our accuracy minus skorch's:   {summary['accuracy_difference']:+.4f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="where the IDX files are")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", metavar="FILE", help="where to write all figures")
    parser.add_argument("--only", choices=PACKAGES, help="fit once and print JSON")
    options = parser.parse_args()
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    if options.only:
        row = measure(options.only, options.folder, options.epochs, options.threads, options.seed)
        print(json.dumps(row))
        return
    rows = compare(options)
    summary = summarise(rows)
    print_summary(summary, options)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"options": vars(options), "fits": rows, **summary}, file, indent=2)


if __name__ == "__main__":
    main()
