"""
Mixtures of digits
==================

If there are few digits to learn from, a network may learn from mixtures of two instead: sums of
two images (`MixUp`; Zhang, Cisse, Dauphin and Lopez-Paz, 2018), or one image with a part of another
pasted into it (`CutMix`; Yun et al., 2019). A mixture belongs to both digits, by their shares. So
no image is ever quite the same, and the network can learn little by heart.
"""

import argparse
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.augmentation import CutMix, MixUp
from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D, Standardize
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.schedules import CosineDecay

#: Shares of the mixtures are uniform.
AUGMENTATIONS = {"none": None, "MixUp": MixUp(alpha=1.0), "CutMix": CutMix(alpha=1.0)}


def network(augmentation, epochs, seed):
    return ConvNetClassifier(
        [Standardize(), Conv2D(32, 3), Conv2D(32, 3), MaxPool2D(2), Dense(64)],
        augmentation=augmentation,
        optimizer=Adam(CosineDecay(2e-3, period=epochs)),
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


# %%
# The picture
# -----------


def draw(path, X, y, found):
    """Mixtures with the shares of their digits, and the accuracies of all fits."""
    from drawing import picture, show

    n, kinds = 4, ("MixUp", "CutMix")
    mosaic = [[*(f"{kind} {i}" for i in range(n)), *["accuracy"] * 3] for kind in kinds]
    with picture(path, mosaic, (9, 3)) as axes:
        for kind in kinds:
            mixture = AUGMENTATIONS[kind].mix(X[:n], random_state=0)
            for i, (image, other, share) in enumerate(
                zip(mixture.X, y[mixture.partner], mixture.share, strict=True)
            ):
                title = f"{share:.0%} {y[i]}, {1 - share:.0%} {other}"
                show(axes[f"{kind} {i}"], image, title, vmin=0, vmax=16)
            axes[f"{kind} 0"].set_ylabel(kind)
        for place, scores in enumerate(found.values()):
            axes["accuracy"].plot(scores, [place] * len(scores), "o", alpha=0.5)
        axes["accuracy"].set_yticks(range(len(found)), list(found))
        axes["accuracy"].set(xlabel="test accuracy, a point for each seed", ylim=(2.5, -0.5))
        axes["accuracy"].locator_params(axis="x", nbins=4)
        axes["accuracy"].grid(axis="x", alpha=0.3)


# %%
# The table
# ---------


def main(arguments=None):
    """Returns the mean test accuracy of each augmentation."""
    parser = argparse.ArgumentParser(description="Mixtures of digits")
    parser.add_argument("--seeds", type=int, default=5, help="fits of each (default: 5)")
    parser.add_argument("--digits", type=int, default=200, help="to train with (default: 200)")
    parser.add_argument("--epochs", type=int, default=100, help="default: 100")
    parser.add_argument("--figure", metavar="FILE", help="where to draw mixtures and accuracies")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32).reshape(-1, 8, 8)
    X_train, y_train, X_test, y_test = X[: options.digits], y[: options.digits], X[1200:], y[1200:]
    found = {}
    print("| mixtures | accuracy: mean | lowest |\n|---|---|---|")
    for name, augmentation in AUGMENTATIONS.items():
        found[name] = [
            network(augmentation, options.epochs, seed).fit(X_train, y_train).score(X_test, y_test)
            for seed in range(options.seeds)
        ]
        print(f"| {name} | {np.mean(found[name]):.3f} | {min(found[name]):.3f} |")
    if options.figure:
        draw(options.figure, X_train, y_train, found)
    return {name: np.mean(scores) for name, scores in found.items()}


if __name__ == "__main__":
    main()
