"""
Spectrograms: pools of several sizes
====================================

The formants of one voice are in other bands than those of the next, so a network for speech should
tolerate shifts in frequency. But two consonants may differ in nothing else. Therefore Deng,
Abdel-Hamid and Yu, "A deep convolutional neural network using heterogeneous pooling for trading
acoustic invariance with phonetic confusion" (2013), pool groups of maps over ranges of different
size, and regularise by dropout. The spectrograms here are made so that both matter, and the
table shows what each contributes.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/tones.png'

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import speech_cnn
from sklearn_convnet.datasets import make_tones
from sklearn_convnet.layers import Standardize
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.schedules import CosineDecay

# %%
# Networks
# --------
# They differ in the number of bands that groups of maps are pooled over, and in dropout.

POOL_SIZES = {
    "1": (1, 1, 1, 1),
    "2": (2, 2, 2, 2),
    "4": (4, 4, 4, 4),
    "6": (6, 6, 6, 6),
    "1, 2, 4 and 6": (1, 2, 4, 6),
}


def network(pool_sizes, dropout, epochs, seed):
    layers = speech_cnn(filters=32, pool_sizes=pool_sizes, units=(128,), dropout=dropout)
    return ConvNetClassifier(
        [Standardize(), *layers],
        optimizer=Adam(CosineDecay(1e-3, period=epochs)),
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


# %%
# The picture
# -----------


def draw(path, X, y, means):
    """A spectrogram of each of three syllables, and the accuracy of each network."""
    from drawing import picture

    syllables = [0, 4, 8]
    names = [f"syllable {label}" for label in syllables]
    with picture(path, [[*names, "accuracy", "accuracy"]], (9, 3)) as axes:
        for name, label in zip(names, syllables, strict=True):
            axes[name].imshow(X[np.argmax(y == label)], origin="lower", aspect="auto")
            axes[name].set_title(name, fontsize="small")
            axes[name].set(xlabel="frame", ylabel="band" if label == 0 else "")
        bands = [pools.replace(" and", "\nand") for pools in POOL_SIZES]
        for dropout in (0.0, 0.3):
            scores = [means[pools, dropout] for pools in POOL_SIZES]
            axes["accuracy"].plot(bands, scores, "o", label=f"dropout {dropout}")
        axes["accuracy"].set(xlabel="bands in a pool", ylabel="test accuracy")
        axes["accuracy"].grid(alpha=0.3)
        axes["accuracy"].legend(fontsize="small")


# %%
# The table
# ---------


def main(arguments=None):
    """Returns the mean test accuracy by (pools, dropout)."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--seeds", type=int, default=3, help="fits of each network (default: 3)")
    parser.add_argument("--quick", action="store_true", help="few data, to see that it runs")
    parser.add_argument(
        "--figure", metavar="FILE", help="where to draw spectrograms and accuracies"
    )
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    n_train, n_test, epochs = (60, 60, 2) if options.quick else (600, 2000, 60)
    X, y = make_tones(n_train, random_state=0)
    X_test, y_test = make_tones(n_test, random_state=1)
    means = {}
    print("| bands in a pool | dropout | accuracy: mean | lowest |")
    print("|---|---|---|---|")
    for pools, pool_sizes in POOL_SIZES.items():
        for dropout in (0.0, 0.3):
            scores = [
                network(pool_sizes, dropout, epochs, seed).fit(X, y).score(X_test, y_test)
                for seed in range(options.seeds)
            ]
            means[pools, dropout] = np.mean(scores)
            print(f"| {pools} | {dropout} | {np.mean(scores):.3f} | {min(scores):.3f} |")
    if options.figure:
        draw(options.figure, X, y, means)
    return means


if __name__ == "__main__":
    main()
