"""Draws critical-difference diagrams (Demšar, 2006): mean ranks on a line, the best at right."""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from contenders import OURS
from matplotlib.transforms import ScaledTranslation
from ranks import alike, critical_difference, friedman_p_value, mean_ranks

sys.path.append(str(Path(__file__).parents[1]))  # where the other benchmarks are
from plot import save

OUR_COLOUR = "tab:red"
WIDTH, LINE, HEADING = 8, 0.26, 1.0  # inches
MARGIN = 0.1  # ranks


def draw_panel(ax, title, names, scores):
    """The ranks of one group of sets; bars join those who do not differ."""
    n_sets, n = scores.shape
    ranks = mean_ranks(scores)
    order = np.argsort(ranks, kind="stable")
    difference = critical_difference(n_sets, n)
    ax.set_xlim(n + MARGIN, 1 - MARGIN)  # the best at right
    ax.set_ylim(n - n // 2 + 0.5, 0)
    ax.xaxis.tick_top()
    ax.set_xticks(range(1, n + 1))
    ax.set_yticks([])
    ax.spines[["left", "right", "bottom"]].set_visible(False)
    for place, i in enumerate(order):
        draw_contender(ax, names[i], ranks[i], place, n)
    runs = alike(ranks, difference)
    for k, (first, last) in enumerate(runs):
        ends = ranks[order[first]] - 0.04, ranks[order[last]] + 0.04
        height = 0.2 + 0.6 * k / len(runs)
        ax.plot(ends, [height, height], color="0.5", linewidth=3, solid_capstyle="butt")
    draw_difference(ax, difference)
    p = friedman_p_value(scores)
    ax.set_title(f"{title}: {n_sets} sets, Friedman p = {p:.2g}", fontsize=10, loc="left", pad=44)


def draw_contender(ax, name, rank, place, n):
    """From its rank on the line to its name: on the right for the better half of all n."""
    right = place < n // 2
    row = place + 1 if right else n - place
    end = 1 - MARGIN if right else n + MARGIN
    colour = OUR_COLOUR if name == OURS else "black"
    ax.plot([rank, rank, end], [0, row, row], color=colour, linewidth=0.9, clip_on=False)
    text = f" {rank:.2f} {name}" if right else f"{name} {rank:.2f} "
    side = "left" if right else "right"
    ax.text(end, row, text, ha=side, va="center", fontsize=9, color=colour)


def draw_difference(ax, difference):
    """A bar above the numbers of the line, as long as the critical difference."""
    above = ax.transData + ScaledTranslation(0, 24 / 72, ax.figure.dpi_scale_trans)
    ends = (1, 1 + difference)
    ax.plot(ends, (0, 0), "|-", color="0.3", transform=above, clip_on=False)
    ax.text(
        1 + difference / 2,
        0,
        f"critical difference {difference:.2f}",
        transform=above + ScaledTranslation(0, 4 / 72, ax.figure.dpi_scale_trans),
        ha="center",
        fontsize=8,
    )


def draw(panels):
    """A panel for each `(title, names, scores)`, one under the other."""
    heights = [len(names) - len(names) // 2 + 1 for _, names, _ in panels]
    figure, axes = plt.subplots(
        len(panels),
        figsize=(WIDTH, LINE * sum(heights) + HEADING * len(panels)),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for ax, panel in zip(axes.ravel(), panels, strict=True):
        draw_panel(ax, *panel)
    return figure


def draw_to(path, panels):
    figure = draw(panels)
    save(figure, path)
    plt.close(figure)
