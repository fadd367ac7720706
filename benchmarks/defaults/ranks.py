"""Ranks over several data sets, and which of them differ by more than chance.

Demšar, "Statistical comparisons of classifiers over multiple data sets" (2006): Friedman's test
asks whether all contenders are alike, and Nemenyi's critical difference which pairs are not.
"""

from math import inf, sqrt

import numpy as np
from scipy import stats

ALPHA = 0.05


def mean_ranks(scores):
    """Mean ranks of the columns.

    Parameters
    ----------
    scores : ndarray of shape (n_sets, n_contenders)
        More is better. Where a contender is absent it is -inf, and so the last.

    Returns
    -------
    ndarray of shape (n_contenders,)
        1 is who is the best on each set; who are equally good share the mean of their ranks.
    """
    return stats.rankdata(-np.asarray(scores), axis=1).mean(axis=0)


def friedman_p_value(scores):
    """Probability of ranks that differ so much if all columns were alike; NaN below 3 columns."""
    scores = np.asarray(scores)
    if scores.shape[1] < 3 or (scores == scores[:, :1]).all():
        return np.nan
    return float(stats.friedmanchisquare(*(-scores).T).pvalue)


def critical_difference(n_sets, n_contenders, alpha=ALPHA):
    """By how much two mean ranks must differ to be unlike (Nemenyi; Demšar's section 3.2.2)."""
    q = stats.studentized_range.ppf(1 - alpha, n_contenders, inf) / sqrt(2)
    return float(q * sqrt(n_contenders * (n_contenders + 1) / (6 * n_sets)))


def alike(ranks, difference):
    """Runs of contenders that do not differ, as `(first, last)` places in the order of their ranks.

    Only those of two at least which are in no longer one.
    """
    ranks = np.sort(ranks)
    found = []
    for first, rank in enumerate(ranks):
        last = int(np.searchsorted(ranks, rank + difference, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found
