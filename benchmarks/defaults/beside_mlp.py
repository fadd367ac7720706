"""Draws the defaults beside scikit-learn's MLP: accuracies, and times of fits, set by set."""

import matplotlib.pyplot as plt
from contenders import MLP, OURS
from data import IMAGES, SERIES, SETS, TABLES
from draw import OUR_COLOUR, save

MLP_COLOUR = "tab:blue"
NAMES = {OURS: "ConvNetClassifier()", MLP: "MLPClassifier()"}
KINDS = {IMAGES: "images", SERIES: "series", TABLES: "tables"}
WIDTH, LINE, HEADING = 8, 0.2, 0.9  # inches


def pairs(found):
    """By group, `name, scores, times` of each set that both were fitted to.

    Parameters
    ----------
    found : dict
        What a set and a contender came to, as `report.summarise` returns it.

    Returns
    -------
    dict of str to list
        Scores and times are by contender; times are None if the machine had other work.
    """
    groups = {group: [] for group in KINDS}
    for name, data_set in SETS.items():
        own = {c: found[name, c] for c in NAMES if (name, c) in found}
        if data_set.group in groups and len(own) == 2 and not any(x.absent for x in own.values()):
            scores = {c: one.score for c, one in own.items()}
            times = {c: one.fit for c, one in own.items()}
            groups[data_set.group].append((name, scores, None if None in times.values() else times))
    return groups


def draw_pair(ax, place, values):
    """Two points and the line between them."""
    ax.plot(list(values.values()), [place, place], color="0.7", linewidth=1.5, zorder=1)
    for contender, colour in ((MLP, MLP_COLOUR), (OURS, OUR_COLOUR)):
        ax.plot(values[contender], place, "o", color=colour, markersize=5)


def draw(found):
    """A line for each set: accuracies on the left, times on the right."""
    groups = pairs(found)
    n_lines = sum(map(len, groups.values())) + len(groups)
    figure, (left, right) = plt.subplots(
        1,
        2,
        figsize=(WIDTH, LINE * n_lines + HEADING),
        width_ratios=(2, 1),
        sharey=True,
        layout="constrained",
    )
    names, place = {}, 0
    for group, sets in groups.items():
        left.text(0, place, KINDS[group], va="center", fontsize=9, color="0.35", style="italic")
        for name, scores, times in sorted(sets, key=lambda one: -one[1][OURS]):
            place += 1
            names[place] = name
            draw_pair(left, place, scores)
            if times:
                draw_pair(right, place, times)
        place += 1
    left.set_yticks(list(names), names.values(), fontsize=8)
    left.set_ylim(place, -1)
    left.set_xlim(0, 1.02)
    left.set_title("accuracy", fontsize=10)
    right.set_xscale("log")
    right.xaxis.set_major_formatter("{x:g}")
    right.set_title("seconds of a fit", fontsize=10)
    for ax in (left, right):
        ax.grid(axis="x", color="0.9")
        ax.set_axisbelow(True)
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
    marks = [
        plt.Line2D([], [], marker="o", linestyle="", color=colour, label=NAMES[contender])
        for contender, colour in ((OURS, OUR_COLOUR), (MLP, MLP_COLOUR))
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def draw_to(path, found):
    figure = draw(found)
    save(figure, path)
    plt.close(figure)
