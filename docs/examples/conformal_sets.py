"""
Sets of classes with a promise
==============================

A network tells probabilities, but no network promises that they are right. Conformal prediction
makes of them sets of classes that hold the true one at least as often as they are told to, whatever
the network is worth: the worse it is, the larger are the sets (Sadinle, Lei and Wasserman, "Least
ambiguous set-valued classifiers with bounded error levels", 2019; Romano, Sesia and Candes,
"Classification with valid and adaptive coverage", 2020). It needs samples that the network has not
seen.

MAPIE does so for scikit-learn's estimators (``pip install mapie``). It wants flat X, so the network
is told the `input_shape`. The digits are scikit-learn's, with so much noise that many can be taken
for another.
"""

import argparse
import warnings

import numpy as np
from mapie.classification import SplitConformalClassifier
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import Conv2D, Dense, Dropout, MaxPool2D, Standardize

#: Standard deviation of the noise; pixels are 0 to 16.
NOISE = 6.0
LEVELS = [0.8, 0.9, 0.95]
SCORES = {"lac": "least ambiguous sets", "aps": "adaptive sets"}


def load(seed):
    """Noisy digits (n, 64), and their labels."""
    X, y = load_digits(return_X_y=True)
    noise = np.random.RandomState(seed).normal(scale=NOISE, size=X.shape)
    return (X + noise).astype(np.float32), y


def network(epochs, seed):
    return ConvNetClassifier(
        [Standardize(), Conv2D(32, 3), Conv2D(32, 3), MaxPool2D(2), Dropout(0.5), Dense(64)],
        input_shape=(8, 8),
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


def measured(clf, X, y, score, n_splits):
    """Coverage and mean size of the sets at each level: means over splits of what the network has
    not seen into a half that the sets are made by, and a half that they are tested with."""
    found = []
    for split in range(n_splits):
        X_sets, X_test, y_sets, y_test = train_test_split(X, y, test_size=0.5, random_state=split)
        sets = SplitConformalClassifier(
            clf, confidence_level=LEVELS, conformity_score=score, prefit=True, random_state=0
        )
        sets.conformalize(X_sets, y_sets)
        _, inside = sets.predict_set(X_test)  # (n_samples, n_classes, n_levels)
        covered = inside[np.arange(len(y_test)), y_test].mean(axis=0)
        found.append((covered, inside.sum(axis=1).mean(axis=0)))
    return np.mean(found, axis=0)


# %%
# The table
# ---------


def main(arguments=None):
    """Returns the coverage and the mean size of the sets by score, one for each level."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--splits", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few digits, to see that it runs")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    X, y = load(options.seed)
    epochs, n_splits = (1, 2) if options.quick else (options.epochs, options.splits)
    X, X_new, y, y_new = train_test_split(X, y, train_size=600, stratify=y, random_state=0)
    clf = network(epochs, options.seed).fit(X, y)
    print(f"accuracy on {len(y_new)} digits: {clf.score(X_new, y_new):.3f}\n")
    print("| sets | level | coverage | mean size |\n|---|---|---|---|")
    found = {}
    for score, name in SCORES.items():
        found[score] = measured(clf, X_new, y_new, score, n_splits)
        for level, covered, size in zip(LEVELS, *found[score], strict=True):
            print(f"| {name} | {level} | {covered:.3f} | {size:.2f} |")
    return found


if __name__ == "__main__":
    main()
