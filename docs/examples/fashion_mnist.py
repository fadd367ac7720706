"""
Fashion-MNIST, all of it
========================

Five convolutions, each with a batch norm, one cycle of the learning rate, and mirror images and
shifts in training: a recipe for all 60,000 images.

Run it with the folder of the four IDX files. `benchmarks/fashion_twin.py` trains the same network
in PyTorch beside it.
"""

import argparse
import time

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.augmentation import Compose, RandomCrop, RandomFlip
from sklearn_convnet.datasets import read_idx_folder
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    GlobalAvgPool,
    MaxPool2D,
    Standardize,
)
from sklearn_convnet.optimizers import AdamW
from sklearn_convnet.schedules import OneCycle

# %%
# The network
# -----------
# No bias before a batch norm. The first maps are the largest, so there is one layer of them.

BATCH_SIZE = 128


def convolution(filters):
    conv = Conv2D(
        filters,
        3,
        padding=1,
        activation=None,
        use_bias=False,
        kernel_initializer="he_normal",
    )
    return [conv, BatchNorm(), Activation("relu")]


def layers():
    return [
        Standardize(),
        *convolution(32),
        MaxPool2D(2),
        *convolution(64),
        *convolution(64),
        MaxPool2D(2),
        *convolution(128),
        *convolution(128),
        GlobalAvgPool(),
    ]


AUGMENTATION = Compose([RandomFlip(), RandomCrop(2)])


def network(n_samples, epochs, seed):
    n_batches = -(-n_samples // BATCH_SIZE)
    return ConvNetClassifier(
        layers(),
        optimizer=AdamW(OneCycle(4e-3, length=epochs * n_batches), weight_decay=0.02),
        augmentation=AUGMENTATION,
        batch_size=BATCH_SIZE,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


# %%
# The table
# ---------


def main(arguments=None):
    """Returns the seconds of the fit and the test accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("folder", help="where the four IDX files are")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few images, to see that it runs")
    options = parser.parse_args(arguments)
    X, y, X_test, y_test = read_idx_folder(options.folder)
    epochs = options.epochs
    if options.quick:
        X, y, X_test, y_test, epochs = X[:150], y[:150], X_test[:50], y_test[:50], 1
    model = network(len(X), epochs, options.seed)
    start = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - start
    accuracy = model.score(X_test, y_test)
    print("| images | epochs | fit | test accuracy |\n|---|---|---|---|")
    print(f"| {len(X)} | {epochs} | {seconds:.0f} s | {accuracy:.4f} |")
    return seconds, accuracy


if __name__ == "__main__":
    main()
