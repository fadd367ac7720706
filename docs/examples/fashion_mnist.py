"""
Recognising clothes
===================

A network of five 3 x 3 convolutions, each with a batch norm, learns to tell the ten
kinds of clothes of Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), on all 60,000 training
images. The learning rate goes up and comes down once (Smith and Topin, 2019). The images are
mirrored and shifted a little, which keeps the network from learning them by heart.

    python docs/examples/fashion_mnist.py FOLDER

FOLDER holds the four IDX files.
"""

# sphinx_gallery_thumbnail_path = 'figures/displays/HistoryDisplay.png'

import argparse
import time
import warnings

from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.augmentation import Compose, RandomCrop, RandomFlip
from sklearn_convnet.datasets import read_idx_folder
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Dropout,
    GlobalAvgPool,
    MaxPool2D,
    Rescale,
    Sequential,
)
from sklearn_convnet.losses import CrossEntropy
from sklearn_convnet.optimizers import SGD
from sklearn_convnet.schedules import OneCycle

EPOCHS = 7
BATCH_SIZE = 128


def block(filters):
    """A convolution, a batch norm, ReLU."""
    conv = Conv2D(filters, 3, padding="same", activation=None, use_bias=False)
    return Sequential([conv, BatchNorm(), Activation("relu")])


def layers():
    """Five convolutions, the number of maps growing as they shrink."""
    return [
        Rescale(1 / 255),
        *(block(32), MaxPool2D(2)),
        *(block(64), block(64), MaxPool2D(2)),
        *(block(128), block(128), GlobalAvgPool()),
        Dropout(0.1),
    ]


def model(n_images, epochs, seed):
    """The network and how it is trained."""
    n_steps = epochs * -(-n_images // BATCH_SIZE)
    return ConvNetClassifier(
        layers(),
        loss=CrossEntropy(label_smoothing=0.03),
        optimizer=SGD(
            OneCycle(0.15, n_steps),
            momentum=0.9,
            nesterov=True,
            weight_decay=5e-4,
        ),
        augmentation=Compose([RandomCrop(1), RandomFlip()]),
        batch_size=BATCH_SIZE,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
        verbose=True,
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Train a network on Fashion-MNIST.")
    parser.add_argument("data", metavar="FOLDER", help="where the IDX files are")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--images", type=int, help="only the first so many")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    X_train, y_train, X_test, y_test = read_idx_folder(options.data)
    X_train, y_train = X_train[: options.images], y_train[: options.images]
    clf = model(len(X_train), options.epochs, options.seed)
    start = time.perf_counter()
    clf.fit(X_train, y_train)
    seconds = time.perf_counter() - start
    print(clf.summary())
    accuracy = clf.score(X_test, y_test)
    print(f"{options.epochs} epochs in {seconds:.0f} s, test accuracy {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    main()
