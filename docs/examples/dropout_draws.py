"""
How sure a network is
=====================

`predict_draws` predicts many times with dropout on (Gal and Ghahramani, "Dropout as a Bayesian
approximation", 2016). Where the draws disagree, the network is uncertain. Here the test digits are
sorted by the entropy of the mean of their draws, and each quarter of them is scored by itself. If a
person checks the least certain ones, few errors are left in the others.

The digits are scikit-learn's, with noise. Inputs that are no digits, such as digits turned by 90
degrees, should make a network uncertain as well: their entropy is printed, too.
"""

import argparse
import warnings

import numpy as np
from scipy.stats import entropy
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import Conv2D, Dense, Dropout, MaxPool2D, Standardize

#: Standard deviation of the noise; pixels are 0 to 16.
NOISE = 4.0
N_PARTS = 4


def load(seed):
    """Noisy digits (n, 8, 8), and their labels, to train with and to test."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8)
    X = X + np.random.RandomState(seed).normal(scale=NOISE, size=X.shape)
    return train_test_split(X.astype(np.float32), y, train_size=800, stratify=y, random_state=0)


def network(epochs, seed):
    return ConvNetClassifier(
        [
            Standardize(),
            *(Conv2D(32, 3), Conv2D(32, 3), MaxPool2D(2), Dropout(0.3)),
            *(Dense(128), Dropout(0.5)),
        ],
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


# %%
# The picture
# -----------


def draw(path, X, y, P, unsure, of_turned):
    """The digits of least and most entropy, and how it is distributed."""
    from drawing import picture, show

    n, bins = 6, np.linspace(0, np.log(10), 24)
    order = np.argsort(unsure)
    mosaic = [[*range(n), "all", "all", "all"], [*range(n, 2 * n), "all", "all", "all"]]
    with picture(path, mosaic, (10, 2.8)) as axes:
        for i, row in enumerate([*order[:n], *order[-n:]]):
            found = P[row].argmax()
            color = "black" if found == y[row] else "tab:red"
            show(axes[i], X[row], f"{y[row]} as {found}\n{unsure[row]:.2f}", color)
        axes["all"].hist(unsure, bins, alpha=0.6, label="test digits")
        axes["all"].hist(of_turned, bins, alpha=0.6, label="turned by 90 degrees")
        axes["all"].set(xlabel="entropy of the mean of draws", ylabel="digits")
        axes["all"].legend(fontsize="small")


# %%
# The table
# ---------


def main(arguments=None):
    """Returns the accuracies of the parts, from those that the network is most sure of."""
    parser = argparse.ArgumentParser(description="How sure a network is")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--draws", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few epochs, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw digits and entropies")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    X, X_test, y, y_test = load(options.seed)
    epochs, n_draws = (1, 3) if options.quick else (options.epochs, options.draws)
    clf = network(epochs, options.seed).fit(X, y)
    draws = clf.predict_draws(X_test, n_draws, random_state=options.seed)
    P = draws.mean(axis=0)
    unsure = entropy(P, axis=1)
    right = P.argmax(axis=1) == y_test
    for name, one in (("without dropout", clf.predict_proba(X_test)), ("mean of draws", P)):
        accuracy = np.mean(one.argmax(axis=1) == y_test)
        print(f"{name}: accuracy {accuracy:.3f}, log loss {log_loss(y_test, one):.3f}")
    turned = clf.predict_draws(np.rot90(X_test, axes=(1, 2)), n_draws, random_state=options.seed)
    of_turned = entropy(turned.mean(axis=0), axis=1)
    print(f"mean entropy: {unsure.mean():.3f}, of turned digits {of_turned.mean():.3f}\n")
    print("| digits by entropy | up to | accuracy |\n|---|---|---|")
    accuracies = []
    for i, part in enumerate(np.array_split(np.argsort(unsure), N_PARTS), start=1):
        accuracies.append(right[part].mean())
        print(f"| quarter {i} | {unsure[part].max():.3f} | {accuracies[-1]:.3f} |")
    if options.figure:
        draw(options.figure, X_test, y_test, P, unsure, of_turned)
    return accuracies


if __name__ == "__main__":
    main()
