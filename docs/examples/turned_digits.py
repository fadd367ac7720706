"""
Digits that nobody has turned before
====================================

Networks learn upright digits, and classify digits that are turned by right angles. A plain
convolutional network has to be shown turned digits for that. A network whose filters are applied
in all four rotations need not be: Cohen and Welling, "Group equivariant convolutional networks"
(2016).

The treatment of rotations between the layers makes the difference. A maximum over them after each
layer forgets how the parts of a digit are turned relative to each other. Kept apart, they are maps
for the next layer, which must turn its filters over them, too (`group_input`): if it takes them as
ordinary channels, the network is not invariant.
"""

import argparse
import warnings

import numpy as np
from scipy.ndimage import rotate
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.inspection import check_invariance
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    GlobalMaxPool,
    MaxPool2D,
    Standardize,
    TransformConv2D,
    TransformPool,
)
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.schedules import CosineDecay

# %%
# Networks
# --------
# A filter over all rotations of its input has four times the weights, so half the filters make
# a network with about as many parameters. Images of 8 x 8 pixels are padded equally on all sides,
# and the pool divides them evenly, so a right angle is exact in each layer.

FILTERS = (16, 32, 32)


def stages(convolutions, n_transforms=1):
    """Each convolution with a batch norm and a rectifier, a pool after the first."""
    layers = [Standardize()]
    for i, convolution in enumerate(convolutions):
        norm = BatchNorm(n_transforms=n_transforms)
        layers += [convolution, norm, Activation("relu"), *([MaxPool2D(2)] if i == 0 else [])]
    return layers


def plain():
    same = {"padding": 1, "activation": None, "use_bias": False}
    return [*stages([Conv2D(n, 3, **same) for n in FILTERS]), GlobalMaxPool()]


def pooled():
    """The maximum over the rotations after each layer."""
    same = {"padding": 1, "activation": None, "use_bias": False, "pool": "max"}
    return [*stages([TransformConv2D(n, 3, **same) for n in FILTERS]), GlobalMaxPool()]


def unpooled(group_input):
    """Maps of all rotations, up to the last layer."""
    same = {"padding": 1, "activation": None, "use_bias": False}
    convolutions = [
        TransformConv2D(n // 2, 3, group_input=group_input and i > 0, **same)
        for i, n in enumerate(FILTERS)
    ]
    return [*stages(convolutions, 4), TransformPool(4), GlobalMaxPool()]


def network(layers, epochs, seed):
    return ConvNetClassifier(
        layers,
        optimizer=Adam(CosineDecay(3e-3, period=epochs)),
        batch_size=64,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


# %%
# The picture
# -----------


def accuracies(networks, X, y, angles):
    """Mean accuracies of networks on images that are turned by each angle, in degrees."""
    found = []
    for angle in angles:
        images = rotate(X, angle, axes=(1, 2), reshape=False, order=1)
        found.append(np.mean([clf.score(images, y) for clf in networks]))
    return found


def draw(path, kinds, X, y):
    """Accuracy against the angle; between right angles, images are resampled."""
    from drawing import picture

    angles = np.arange(0, 361, 15)
    with picture(path, [["angle"]], (7, 4)) as axes:
        ax = axes["angle"]
        for name, networks in kinds.items():
            ax.plot(angles, accuracies(networks, X, y, angles), marker=".", label=name)
        ax.set(
            xlabel="angle in degrees", ylabel="test accuracy", xticks=range(0, 361, 90), ylim=(0, 1)
        )
        ax.grid(axis="x", alpha=0.4)
        ax.legend(fontsize="small", loc="lower center", ncols=2, bbox_to_anchor=(0.5, 1))


# %%
# The table
# ---------
# The test digits are the last 597 of scikit-learn's. Each is shown upright, and turned by a right
# angle that is drawn for it. A 6 upside down is a 9 to anyone who does not know which way is up.
# The largest change of a probability is over the three rotations.


def turned(X, seed):
    quarters = np.random.RandomState(seed).randint(1, 4, len(X))
    return np.stack([np.rot90(image, k) for image, k in zip(X, quarters, strict=True)])


def main(arguments=None):
    """Returns the mean test accuracies, upright and turned, of each network."""
    parser = argparse.ArgumentParser(description="Digits that nobody has turned before")
    parser.add_argument("--seeds", type=int, default=3, help="fits of each network (default: 3)")
    parser.add_argument("--quick", action="store_true", help="few data, to see that it runs")
    parser.add_argument(
        "--figure", metavar="FILE", help="where to draw accuracies against the angle"
    )
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    n_train, epochs = (100, 2) if options.quick else (1200, 30)
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32).reshape(-1, 8, 8)
    X_train, y_train, X_test, y_test = X[:n_train], y[:n_train], X[1200:], y[1200:]
    X_turned = turned(X_test, 0)
    all_turns = np.concatenate([np.rot90(X_train, k, (1, 2)) for k in range(4)])
    # Four times the digits, so a quarter of the epochs: about as many steps.
    few, many = max(epochs // 4, 1), epochs
    kinds = {
        "plain": (plain(), many, X_train, y_train),
        "plain, and trained with all turns": (plain(), few, all_turns, np.tile(y_train, 4)),
        "p4, maximum in each layer": (pooled(), many, X_train, y_train),
        "p4, rotations as channels": (unpooled(False), many, X_train, y_train),
        "p4 at depth": (unpooled(True), many, X_train, y_train),
    }
    means, networks = {}, {}
    print("| network | parameters | upright | turned | largest change |\n|---|---|---|---|---|")
    for name, (layers, n_epochs, X_fit, y_fit) in kinds.items():
        fitted = [network(layers, n_epochs, i).fit(X_fit, y_fit) for i in range(options.seeds)]
        networks[name] = fitted
        means[name] = [
            np.mean([clf.score(A, y_test) for clf in fitted]) for A in (X_test, X_turned)
        ]
        change = max(row[1] for clf in fitted for row in check_invariance(clf, X_test, "p4").rows)
        n_parameters = sum(a.size for a in fitted[0].network_.parameters().values())
        scores = " | ".join(f"{mean:.3f}" for mean in means[name])
        print(f"| {name} | {n_parameters:,} | {scores} | {change:.1g} |")
    if options.figure:
        draw(options.figure, networks, X_test, y_test)
    return means


if __name__ == "__main__":
    main()
