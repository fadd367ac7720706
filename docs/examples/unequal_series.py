"""
Series of unequal length
========================

Nine speakers say a vowel; the series differ in length, from 7 to 29 steps of 12 channels. The
estimator takes them as they are, in a list. The alternative is to pad them with zeros to one
length: then the network sees the padding as well, and a mean over time counts it. The data come
with aeon (``pip install aeon``), as does their split.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/unequal_series.png'

import argparse
import warnings

import numpy as np
from aeon import datasets
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.datasets import pad_series
from sklearn_convnet.layers import Conv1D, Dropout, GlobalAvgPool, GlobalMaxPool, Standardize
from sklearn_convnet.optimizers import AdamW
from sklearn_convnet.schedules import CosineDecay

# %%
# Data
# ----
# aeon has channels first, and a list if the lengths differ.


def load():
    """Training and test series, as lists of arrays (n_channels, length), and their labels."""
    X_train, y_train = datasets.load_japanese_vowels(split="train")
    X_test, y_test = datasets.load_japanese_vowels(split="test")
    return *(single(X) for X in (X_train, X_test)), y_train, y_test


def single(X):
    return [series.astype(np.float32) for series in X]


def padded(X, length):
    """Series with zeros behind them, as an array (n, n_channels, length)."""
    return np.moveaxis(pad_series(X, length=length, channels_first=True)[0], -1, 1)


# %%
# The network
# -----------
# Three convolutions that keep the length, and a pool over all steps: the same for both forms, and
# tuned for neither.

POOLS = {"mean": GlobalAvgPool, "maximum": GlobalMaxPool}


def network(pool, epochs, seed):
    layers = [
        Standardize(),
        Conv1D(64, 5, padding="same"),
        Conv1D(64, 5, padding="same"),
        Conv1D(64, 5, padding="same"),
        pool(),
        Dropout(0.3),
    ]
    return ConvNetClassifier(
        layers,
        data_format="channels_first",
        optimizer=AdamW(CosineDecay(2e-3, period=epochs)),
        batch_size=16,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


# %%
# The picture
# -----------


def draw(path, series, found):
    """The shortest series as it is and padded, the longest, and the accuracies of all fits."""
    from drawing import picture

    order = np.argsort([one.shape[1] for one in series])
    short, long = order[0], order[-1]
    length = series[long].shape[1]
    shown = {
        "shortest": series[short],
        "shortest, padded": padded([series[short]], length)[0],
        "longest": series[long],
    }
    with picture(path, [[name, "accuracy"] for name in shown], (9, 4)) as axes:
        for name, one in shown.items():
            axes[name].plot(one.T, linewidth=0.8)
            axes[name].set_title(f"{name}: {one.shape[1]} steps", fontsize="small")
            axes[name].set_xlim(-0.5, length - 0.5)
        axes[name].set_xlabel("step")
        for place, scores in enumerate(found.values()):
            axes["accuracy"].plot(scores, [place] * len(scores), "o", alpha=0.5)
        names = [f"{pool},\n{form}" for pool, form in found]
        axes["accuracy"].set_yticks(range(len(names)), names)
        axes["accuracy"].set(xlabel="test accuracy, a point for each seed", ylim=(3.5, -0.5))
        axes["accuracy"].locator_params(axis="x", nbins=4)
        axes["accuracy"].grid(axis="x", alpha=0.3)


# %%
# The table
# ---------


def main(arguments=None):
    """Returns the mean test accuracy for each pool, of padded series and of lists."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--seeds", type=int, default=3, help="fits of each kind (default: 3)")
    parser.add_argument("--quick", action="store_true", help="two epochs, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw series and accuracies")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    epochs = 2 if options.quick else 100
    X_train, X_test, y_train, y_test = load()
    longest = max(series.shape[1] for series in [*X_train, *X_test])
    forms = {"padded": lambda X: padded(X, longest), "as they are": list}
    found = {}
    print("| pool over time | series | accuracy: mean | lowest |")
    print("|---|---|---|---|")
    for pool_name, pool in POOLS.items():
        for form_name, form in forms.items():
            train, test = form(X_train), form(X_test)
            scores = [
                network(pool, epochs, seed).fit(train, y_train).score(test, y_test)
                for seed in range(options.seeds)
            ]
            found[pool_name, form_name] = scores
            print(f"| {pool_name} | {form_name} | {np.mean(scores):.3f} | {min(scores):.3f} |")
    if options.figure:
        draw(options.figure, X_train, found)
    return {kind: np.mean(scores) for kind, scores in found.items()}


if __name__ == "__main__":
    main()
