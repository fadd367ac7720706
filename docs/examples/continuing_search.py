"""
A search whose survivors go on
==============================

Successive halving trains many candidates for a few epochs, keeps the better half, trains these for
twice as long, and so on (Jamieson and Talwalkar, "Non-stochastic best arm identification and
hyperparameter optimization", 2016). scikit-learn's `HalvingGridSearchCV` can do this with
``resource="max_iter"``, but trains each survivor from its first weights again. A network can
continue instead: several calls of `partial_fit` equal one fit of as many epochs, to the last bit.
So the scores and the choice are the same, and no epoch is trained twice.

    python docs/examples/continuing_search.py --figure FILE

compares both, on scikit-learn's digits, in one process. The networks of a round are tasks of
joblib, so `joblib.parallel_config` sends them to other processes or machines. A network
travels with its weights and the state of its optimiser.
"""

import argparse
import time
import warnings
from math import ceil
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    HalvingGridSearchCV,
    ParameterGrid,
    StratifiedKFold,
    train_test_split,
)

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Dropout, MaxPool2D, Rescale
from sklearn_convnet.optimizers import Adam

FACTOR = 2

GRID = {
    "conv__filters": [8, 32],
    "conv__kernel_size": [3, 5],
    "norm": [BatchNorm(), "passthrough"],
    "optimizer__learning_rate": [1e-3, 1e-2],
}


def network():
    """What the grid makes candidates of. Nothing but `max_iter` ends a fit."""
    return ConvNetClassifier(
        [
            Rescale(1 / 16),
            Conv2D(32, 3, padding="same"),
            ("norm", BatchNorm()),
            ("conv", Conv2D(32, 3, padding="same")),
            *(MaxPool2D(2), Dropout(0.2), Dense(64)),
        ],
        optimizer=Adam(),
        batch_size=32,
        n_iter_no_change=np.inf,
        random_state=0,
    )


# %%
# The search
# ----------
# A candidate has a network for each fold. Those of a round are trained up to the same number of
# epochs, and their mean score decides, with ties as scikit-learn breaks them.


class Candidate(NamedTuple):
    """Parameters, a network for each fold, and their mean score after each round."""

    params: dict
    folds: list
    scores: list


def go_on(clf, n_epochs, X, y, train, test):
    """Trains so many epochs more; returns the network and its score on the held-out samples."""
    for _ in range(n_epochs):
        clf.partial_fit(X[train], y[train], classes=np.unique(y))
    return clf, clf.score(X[test], y[test])


def begin(clf, params, n_folds):
    """A candidate, not trained yet, whose layers are its own."""
    return Candidate(params, [clone(clone(clf).set_params(**params)) for _ in range(n_folds)], [])


def continuing_halving(clf, grid, X, y, cv, epochs):
    """The candidates of each round, and the best of the last.

    A round trains its candidates up to the number of epochs that `epochs` has for it.
    """
    splits = list(cv.split(X, y))
    candidates = [begin(clf, params, len(splits)) for params in ParameterGrid(grid)]
    rounds, before = [], 0
    for after in epochs:
        trained = Parallel()(
            delayed(go_on)(network, after - before, X, y, *split)
            for candidate in candidates
            for network, split in zip(candidate.folds, splits, strict=True)
        )
        for i, candidate in enumerate(candidates):
            networks, scores = zip(*trained[i * len(splits) : (i + 1) * len(splits)], strict=True)
            candidate.folds[:] = networks
            candidate.scores.append(np.mean(scores))
        rounds.append(candidates)
        order = np.argsort([candidate.scores[-1] for candidate in candidates])
        candidates = [candidates[i] for i in order[-ceil(len(candidates) / FACTOR) :]]
        before = after
    return rounds, max(rounds[-1], key=lambda candidate: candidate.scores[-1])


# %%
# The comparison
# --------------


class Search(NamedTuple):
    """What a search took and found."""

    seconds: float  # of the processor
    epochs: list  # of each round, for each fold
    scores: list  # of all candidates, round by round
    params: dict  # of the best


def compare(X, y, epochs):
    """Both searches, and the candidates of each round."""
    cv = StratifiedKFold(3)
    start = time.process_time()
    search = HalvingGridSearchCV(
        network(),
        GRID,
        resource="max_iter",
        min_resources=epochs[0],
        max_resources=epochs[-1],
        factor=FACTOR,
        cv=cv,
        refit=False,
        return_train_score=False,
    ).fit(X, y)
    middle = time.process_time()
    rounds, best = continuing_halving(network(), GRID, X, y, cv, epochs)
    end = time.process_time()
    sizes = [len(candidates) for candidates in rounds]
    anew = Search(
        middle - start,
        [n * e for n, e in zip(sizes, epochs, strict=True)],
        search.cv_results_["mean_test_score"].tolist(),
        {k: v for k, v in search.best_params_.items() if k != "max_iter"},
    )
    more = np.diff(epochs, prepend=0).tolist()
    on = Search(
        end - middle,
        [n * e for n, e in zip(sizes, more, strict=True)],
        [candidate.scores[i] for i, some in enumerate(rounds) for candidate in some],
        best.params,
    )
    return anew, on, rounds


def draw(rounds, epochs, anew, on, path):
    """The scores of all candidates until they were dropped, and the epochs of each round."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    fig, (curves, bars) = plt.subplots(
        ncols=2, figsize=(9, 3.6), width_ratios=[3, 2], layout="constrained"
    )
    shades = plt.get_cmap("viridis_r")(np.linspace(0.1, 0.95, len(rounds)))
    for candidate in rounds[0]:
        n = len(candidate.scores)
        curves.plot(epochs[:n], candidate.scores, color=shades[n - 1], lw=1, zorder=n)
        curves.plot(epochs[n - 1], candidate.scores[-1], "o", color=shades[n - 1], ms=4, zorder=n)
    curves.set_xscale("log", base=2)
    curves.set_xticks(epochs, [f"{e}" for e in epochs])
    curves.set(
        xlabel="epochs of a candidate", ylabel="mean accuracy on held-out folds",
        title="Candidates, until they are dropped",
    )  # fmt: skip
    for row, search in enumerate((anew, on)):
        left = 0
        for shade, n in zip(shades, search.epochs, strict=True):
            bars.barh(row, n, left=left, color=shade, edgecolor="white")
            left += n
        bars.text(left, row, f" {left}", va="center")
    bars.set_yticks([0, 1], ["beginning\nanew", "going on"])
    bars.invert_yaxis()
    bars.margins(x=0.12)
    bars.set(xlabel="epochs, for each fold", title="Work, round by round")
    for ax in (curves, bars):
        ax.spines[["top", "right"]].set_visible(False)
    fig.savefig(path, dpi=110)


def main(arguments=None):
    """Returns both searches."""
    parser = argparse.ArgumentParser(description="A search whose survivors go on")
    parser.add_argument("--epochs", type=int, default=16, help="at most; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few digits, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="draw scores and work")
    options = parser.parse_args(arguments)
    # The plan says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8).astype(np.float32)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    if options.quick:
        X, y, options.epochs = X[:150], y[:150], 2
    epochs = [FACTOR**i for i in range(int(np.log2(options.epochs)) + 1)]
    anew, on, rounds = compare(X, y, epochs)
    print("| search | epochs for each fold | CPU seconds | test accuracy |\n|---|---|---|---|")
    for name, search in (("beginning anew", anew), ("going on", on)):
        best = clone(network()).set_params(**search.params, max_iter=epochs[-1]).fit(X, y)
        accuracy = best.score(X_test, y_test)
        print(f"| {name} | {sum(search.epochs)} | {search.seconds:.1f} | {accuracy:.3f} |")
    print(f"\nthe same scores: {anew.scores == on.scores}, and choice: {same_choice(anew, on)}")
    print(on.params)
    if options.figure:
        draw(rounds, epochs, anew, on, options.figure)
    return anew, on


def same_choice(*searches):
    """Whether all chose the same; a layer is known by what it is made of."""
    return len({repr(sorted(search.params.items())) for search in searches}) == 1


if __name__ == "__main__":
    main()
