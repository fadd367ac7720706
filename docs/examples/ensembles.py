"""
Seven networks, or the mean of one
==================================

Networks that differ in their seed or in their samples make different errors, so a vote helps
(`VotingClassifier`, `BaggingClassifier`). The mean of the weights of one fit
(``average_weights``) is an ensemble of a kind, too: of the networks of the last steps,
at the price of one. How much does each gain?

    python docs/examples/ensembles.py FOLDER

FOLDER holds the four IDX files of Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), such as
/usr/share/datasets/fashion-mnist of Debian's package dataset-fashion-mnist. By default, the first
2,000 training images are used; ``--images 60000`` takes them all.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/ensembles.png'

import argparse
import time
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.datasets import read_idx_folder
from sklearn_convnet.layers import Conv2D, Dense, Dropout, MaxPool2D, Rescale
from sklearn_convnet.optimizers import Adam

N_NETWORKS = 7
DECAY = 0.98


def network(epochs):
    """Two convolutions; the learning rate is constant, so that the last steps are as long as the
    first."""
    return ConvNetClassifier(
        [
            Rescale(1 / 255),
            *(Conv2D(8, 5), MaxPool2D(2), Conv2D(32, 3), MaxPool2D(2)),
            *(Dense(64), Dropout(0.3)),
        ],
        input_shape=(28, 28),  # bagging wants flat X
        optimizer=Adam(2e-3),
        batch_size=64,
        max_iter=epochs,
        n_iter_no_change=epochs,
    )


def vote_of(model, n):
    """A vote of networks that differ by their seed."""
    seeds = [(f"seed{i}", clone(model).set_params(random_state=i)) for i in range(n)]
    return VotingClassifier(seeds, voting="soft")


# %%
# The picture
# -----------


def curve(networks, X, y):
    """Accuracies of the votes of the first network, the first two and so on."""
    votes = np.cumsum([one.predict_proba(X) for one in networks], axis=0)
    return np.mean(votes.argmax(axis=2) == y, axis=1)


def draw(path, curves):
    """Accuracy against the number of networks."""
    from drawing import picture

    with picture(path, [["vote"]], (6, 3.6)) as axes:
        for name, accuracies in curves.items():
            axes["vote"].plot(range(1, len(accuracies) + 1), accuracies, marker="o", label=name)
        axes["vote"].set(xlabel="networks that vote", ylabel="test accuracy")
        axes["vote"].legend()
        axes["vote"].grid(alpha=0.3)


# %%
# The table
# ---------


def main(arguments=None):
    """Returns the test accuracies by name; those of single networks are means."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("data", metavar="FOLDER", help="where the IDX files are")
    parser.add_argument("--images", type=int, default=2000, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--networks", type=int, default=N_NETWORKS, help="default: %(default)s")
    parser.add_argument("--figure", metavar="FILE", help="where to draw accuracies")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    X, y, X_test, y_test = read_idx_folder(options.data)
    X, y = X[: options.images].reshape(-1, 28 * 28), y[: options.images]
    X_test = X_test.reshape(-1, 28 * 28)
    model, n = network(options.epochs), options.networks
    start, found, curves = time.perf_counter(), {}, {}

    def tell(name, accuracy):
        found[name] = accuracy
        print(f"| {name} | {accuracy:.4f} |", flush=True)

    print("| networks | accuracy |\n|---|---|")
    for name, decay in (("", None), (", averaged weights", DECAY)):
        vote = vote_of(clone(model).set_params(average_weights=decay), n).fit(X, y)
        curves[f"seeds{name}"] = curve(vote.estimators_, X_test, y_test)
        tell(f"one{name}", np.mean([one.score(X_test, y_test) for one in vote.estimators_]))
        tell(f"vote of {n}{name}", vote.score(X_test, y_test))
    bag = BaggingClassifier(model, n_estimators=n, random_state=0).fit(X, y)
    curves["bagging"] = curve(bag.estimators_, X_test, y_test)
    tell(f"bagging of {n}", bag.score(X_test, y_test))
    if options.figure:
        draw(options.figure, curves)
    print(f"\n{time.perf_counter() - start:.0f} s")
    return found


if __name__ == "__main__":
    main()
