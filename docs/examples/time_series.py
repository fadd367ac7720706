"""
Time series
===========

Convolutions along time classify four sets of real series that come with aeon (``pip install
aeon``), each with its own split: outlines of arrowheads, the power demand of days,
motions of a wrist, and a vowel of nine speakers, whose series differ in length.

One time-delay network serves all of them: how far it sees follows from the length of the series,
and neither its sizes nor its training are tuned to a set. With ``--network inception_time`` it is
InceptionTime, which is much larger, with the sizes of its paper. Either is trained from several
seeds, each of which gives a classifier; together they average their probabilities, as InceptionTime
does.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/time_series.png'

import argparse
import warnings

import numpy as np
from aeon import datasets
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import inception_time, tdnn
from sklearn_convnet.datasets import pad_series
from sklearn_convnet.layers import Standardize
from sklearn_convnet.optimizers import AdamW
from sklearn_convnet.schedules import CosineDecay

LOADERS = {
    "ArrowHead": datasets.load_arrow_head,
    "ItalyPowerDemand": datasets.load_italy_power_demand,
    "BasicMotions": datasets.load_basic_motions,
    "JapaneseVowels": datasets.load_japanese_vowels,
}

#: How often a network sees the training series.
EPOCHS = {"tdnn": 150, "inception_time": 50}


# %%
# Data
# ----
# aeon has channels first, and a list if the lengths differ. Test series are cut or padded to
# the length of the longest training series.


def load(loader):
    """Training and test series (n, length, n_channels) in float32, and their labels."""
    X_train, y_train = loader(split="train")
    X_test, y_test = loader(split="test")
    X_train, _ = pad_series(X_train, channels_first=True)
    X_test, _ = pad_series(X_test, length=X_train.shape[1], channels_first=True)
    return X_train.astype(np.float32), y_train, X_test.astype(np.float32), y_test


# %%
# The networks
# ------------
# The three layers of the time-delay network look at 5 steps each, with dilations of 1, d and d^2,
# and together see 5 + 4 d + 4 d^2 steps. The dilation d is the largest for which this is at most
# three quarters of the length. A maximum over time follows. InceptionTime has six modules with
# filters of 40, 20 and 10 steps, whatever the length is, and takes means over time.


def dilations(length):
    d = 1
    while 5 + 4 * (d + 1) + 4 * (d + 1) ** 2 <= 0.75 * length:
        d += 1
    return 1, d, d**2


def network(name, length, n_channels, epochs, seed):
    if name == "tdnn":
        layers = tdnn((64, 64, 64), (5, 5, 5), dilations(length), activation="relu", pool="max")
    else:
        layers = inception_time(first_bottleneck=n_channels > 1)
    return ConvNetClassifier(
        [Standardize(), *layers],
        optimizer=AdamW(CosineDecay(2e-3, period=epochs)),
        batch_size=16,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


# %%
# The picture
# -----------


def draw(path, shown):
    """A series of each of some classes, and the accuracy of each set."""
    from drawing import picture

    with picture(path, [[*list(shown)[:2]], [*list(shown)[2:]]], (9, 5)) as axes:
        for name, (X, y, accuracy) in shown.items():
            classes = np.unique(y)[:4]
            for label in classes:
                axes[name].plot(X[np.argmax(y == label), :, 0], label=str(label), linewidth=1)
            axes[name].set_title(f"{name}: accuracy {accuracy:.3f}", fontsize="small")
            axes[name].set_xlabel("step")
            axes[name].legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1, 1))


# %%
# The table
# ---------


def main(arguments=None):
    """Returns the mean test accuracy of each set, and that of all seeds together."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--seeds", type=int, default=3, help="fits of each set (default: 3)")
    parser.add_argument("--network", choices=EPOCHS, default="tdnn")
    parser.add_argument("--quick", action="store_true", help="two epochs, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw series and accuracies")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    epochs = 2 if options.quick else EPOCHS[options.network]
    scores, shown = {}, {}
    print("| series | training | test | length | channels | accuracy: mean | lowest | together |")
    print("|---|---|---|---|---|---|---|---|")
    for name, loader in LOADERS.items():
        X_train, y_train, X_test, y_test = load(loader)
        n_train, length, n_channels = X_train.shape
        fitted = [
            network(options.network, length, n_channels, epochs, seed).fit(X_train, y_train)
            for seed in range(options.seeds)
        ]
        found = [clf.score(X_test, y_test) for clf in fitted]
        probabilities = np.mean([clf.predict_proba(X_test) for clf in fitted], axis=0)
        together = np.mean(fitted[0].classes_[probabilities.argmax(axis=1)] == y_test)
        scores[name] = np.mean(found), together
        shown[name] = X_train, y_train, np.mean(found)
        print(
            f"| {name} | {n_train} | {len(X_test)} | {length} | {n_channels} | "
            f"{np.mean(found):.3f} | {min(found):.3f} | {together:.3f} |"
        )
    if options.figure:
        draw(options.figure, shown)
    return scores


if __name__ == "__main__":
    main()
