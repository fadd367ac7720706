"""
Sets of classes with a promise
==============================

A network predicts probabilities, but does not guarantee that they are right. Conformal prediction
turns them into sets of classes that contain the true one at least at a given rate, however good
the network is: the worse it is, the larger are the sets (Sadinle, Lei and Wasserman, "Least
ambiguous set-valued classifiers with bounded error levels", 2019; Romano, Sesia and Candes,
"Classification with valid and adaptive coverage", 2020). It needs samples that the network has not
seen.

MAPIE does this for scikit-learn's estimators (``pip install mapie``). It needs flat X, so the
network is given the `input_shape`. The digits are scikit-learn's, with so much noise that many are
ambiguous.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/conformal_sets.png'

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


def sets_of(clf, X, y, score, levels, split):
    """Test digits, their labels, and which classes their sets hold at each level, an array
    (n_samples, n_classes, n_levels). One half of the digits makes the sets, the other is tested."""
    X_sets, X_test, y_sets, y_test = train_test_split(X, y, test_size=0.5, random_state=split)
    sets = SplitConformalClassifier(
        clf, confidence_level=levels, conformity_score=score, prefit=True, random_state=0
    )
    sets.conformalize(X_sets, y_sets)
    return X_test, y_test, sets.predict_set(X_test)[1]


def measured(clf, X, y, score, levels, n_splits):
    """Coverage and mean size of the sets at each level: means over splits of what the network has
    not seen."""
    found = []
    for split in range(n_splits):
        _, y_test, inside = sets_of(clf, X, y, score, levels, split)
        covered = inside[np.arange(len(y_test)), y_test].mean(axis=0)
        found.append((covered, inside.sum(axis=1).mean(axis=0)))
    return np.mean(found, axis=0)


# %%
# The picture
# -----------


def draw(path, clf, X, y, n_splits):
    """A digit for each size of a set, and coverage and size against what was told."""
    from drawing import picture, show

    levels = [0.5, 0.6, 0.7, *LEVELS, 0.98]
    X_test, y_test, inside = sets_of(clf, X, y, "lac", [0.9], split=0)
    sizes, rows = np.unique(inside[:, :, 0].sum(axis=1), return_index=True)
    rows = rows[(sizes > 0) & (sizes <= 4)]
    mosaic = [[0, 1, "coverage", "coverage", "size", "size"]]
    mosaic += [[2, 3, *mosaic[0][2:]]]
    with picture(path, mosaic, (10, 3)) as axes:
        for i in range(4):
            axes[i].set_axis_off()
        for i, row in enumerate(rows):
            classes = ", ".join(str(k) for k in np.flatnonzero(inside[row, :, 0]))
            color = "black" if inside[row, y_test[row], 0] else "tab:red"
            show(axes[i], X_test[row].reshape(8, 8), f"{y_test[row]} in {{{classes}}}", color)
            axes[i].set_axis_on()
        axes["coverage"].plot(levels, levels, color="grey", linestyle="--", label="as told")
        for score, name in SCORES.items():
            covered, size = measured(clf, X, y, score, levels, n_splits)
            axes["coverage"].plot(levels, covered, marker="o", label=name)
            axes["size"].plot(levels, size, marker="o", label=name)
        axes["coverage"].set(xlabel="level", ylabel="sets that hold the true digit")
        axes["size"].set(xlabel="level", ylabel="digits in a set")
        axes["coverage"].legend(fontsize="small")


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
    parser.add_argument(
        "--figure", metavar="FILE", help="where to draw digits, their sets and their coverage"
    )
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
        found[score] = measured(clf, X_new, y_new, score, LEVELS, n_splits)
        for level, covered, size in zip(LEVELS, *found[score], strict=True):
            print(f"| {name} | {level} | {covered:.3f} | {size:.2f} |")
    if options.figure:
        draw(options.figure, clf, X_new, y_new, n_splits)
    return found


if __name__ == "__main__":
    main()
