"""
A vision transformer on small scenes
====================================

A transformer cuts an image into patches, and each patch looks at all others: Dosovitskiy et al.,
"An image is worth 16x16 words" (2021). It has to learn that neighbours belong together, and that a
digit is the same wherever it lies, which is built into a convolutional network. So it learns less
from few images, and it needs a learning rate that rises slowly.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/vit_scenes.png'

import argparse
import warnings

from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import vit
from sklearn_convnet.datasets import make_digit_scenes
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    GlobalAvgPool,
    MaxPool2D,
    Standardize,
)
from sklearn_convnet.optimizers import AdamW
from sklearn_convnet.schedules import CosineDecay, LinearWarmup

# %%
# Two networks
# ------------
# Scenes of 16 x 16 pixels are 16 patches of 4 x 4. The convolutional network has about as many
# parameters.


def transformer():
    return [Standardize(), *vit("Ti", patch_size=4, depth=3, width=0.25)]


def convolutional():
    layers = [Standardize()]
    for i, filters in enumerate((32, 64, 96)):
        convolution = Conv2D(filters, 3, padding="same", activation=None, use_bias=False)
        layers += [convolution, BatchNorm(), Activation("relu"), *([MaxPool2D(2)] if i < 2 else [])]
    return [*layers, GlobalAvgPool()]


def network(layers, epochs):
    return ConvNetClassifier(
        layers,
        optimizer=AdamW(LinearWarmup(CosineDecay(0.002, period=epochs), length=200)),
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=0,
    )


# %%
# The picture
# -----------


def draw(path, kinds, X, y, X_test, y_test, epochs, scores):
    """Some scenes, and test accuracy against the number of scenes to train with, up to all, of
    which the scores are known."""
    from drawing import picture, show

    sizes = [len(X) // share for share in (8, 4, 2)]
    mosaic = [[0, 1, 2, "curve", "curve", "curve"], [3, 4, 5, "curve", "curve", "curve"]]
    with picture(path, mosaic, (8, 3)) as axes:
        for i in range(6):
            show(axes[i], X[i], str(y[i]))
        for name, layers in kinds.items():
            # As many steps for each number of scenes.
            curve = [
                network(layers, epochs * len(X) // n).fit(X[:n], y[:n]).score(X_test, y_test)
                for n in sizes
            ]
            axes["curve"].plot([*sizes, len(X)], [*curve, scores[name]], marker="o", label=name)
        axes["curve"].set(xscale="log", xlabel="scenes to train with", ylabel="test accuracy")
        axes["curve"].set_xticks([*sizes, len(X)], [*sizes, len(X)])
        axes["curve"].minorticks_off()
        axes["curve"].grid(alpha=0.3)
        axes["curve"].legend()


# %%
# The table
# ---------
# No digit of the test scenes is in a training scene.


def scenes(n, digits, seed):
    X, y, _, _ = make_digit_scenes(
        n, size=16, digits=digits, rotation=(-15, 15), scale=(1.0, 1.3), random_state=seed
    )
    return X, y


def main(arguments=None):
    """Returns the test accuracy of each network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--scenes", type=int, default=3000, help="to train with (default: 3000)")
    parser.add_argument("--epochs", type=int, default=50, help="default: 50")
    parser.add_argument("--figure", metavar="FILE", help="where to draw scenes and accuracies")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    X, y = scenes(options.scenes, slice(None, 1200), 0)
    X_test, y_test = scenes(1000, slice(1200, None), 1)
    kinds = {"vision transformer": transformer(), "convolutional network": convolutional()}
    scores = {}
    print("| network | parameters | training | test |\n|---|---|---|---|")
    for name, layers in kinds.items():
        clf = network(layers, options.epochs).fit(X, y)
        n_parameters = sum(a.size for a in clf.network_.parameters().values())
        scores[name] = clf.score(X_test, y_test)
        print(f"| {name} | {n_parameters:,} | {clf.score(X, y):.3f} | {scores[name]:.3f} |")
    if options.figure:
        draw(options.figure, kinds, X, y, X_test, y_test, options.epochs, scores)
    return scores


if __name__ == "__main__":
    main()
