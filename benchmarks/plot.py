"""Draws the figures of `compare.py`: for each network, the time of the others divided by ours.

    python benchmarks/plot.py [benchmarks/results/0.1.0.json] [--threads 2]
                              [--output docs/figures/ratios.svg]

The same figures make the same file, to the byte, with the same matplotlib.
"""

import argparse
import json
from math import inf
from pathlib import Path

import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
TITLES = {"train": "A training step", "predict": "A prediction"}
#: By the first word of names; of PyTorch, in two layouts and compiled or not, the best counts.
COLOURS = {
    "PyTorch": "tab:orange",
    "JAX": "tab:red",
    "onnxruntime": "tab:blue",
    "OpenVINO": "tab:cyan",
}


def save(figure, path):
    """Without a date and without random names in an SVG."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Date": None} if path.suffix == ".svg" else None
    with plt.rc_context({"svg.hashsalt": "sklearn_convnet"}):
        figure.savefig(path, metadata=metadata)


def best_ratios(rows, package):
    """The smallest ratio of a package, for each network."""
    ratios = {}
    for row in rows:
        if row["package"].split()[0] == package:
            ratios[row["net"]] = min(row["ratio"], ratios.get(row["net"], inf))
    return ratios


def draw_mode(ax, rows):
    """Groups of bars: a group for each network, a bar for each package but ours."""
    nets = list(dict.fromkeys(row["net"] for row in rows))
    packages = [name for name in COLOURS if best_ratios(rows, name)]
    width = 0.8 / len(packages)
    for i, package in enumerate(packages):
        ratios = best_ratios(rows, package)
        places = [nets.index(net) - 0.4 + (i + 0.5) * width for net in ratios]
        bars = ax.bar(
            places, list(ratios.values()), 0.9 * width, color=COLOURS[package], label=package
        )
        ax.bar_label(bars, fmt="%.1f", fontsize=7)
    ax.axhline(1, color="0.6", linewidth=0.8, zorder=0)
    ax.set_xticks(range(len(nets)), nets)
    ax.spines[["top", "right"]].set_visible(False)


def draw(rows):
    """A panel for each mode."""
    figure, axes = plt.subplots(1, len(TITLES), figsize=(9, 3), sharey=True, layout="constrained")
    for ax, (mode, title) in zip(axes, TITLES.items(), strict=True):
        draw_mode(ax, [row for row in rows if row["mode"] == mode])
        ax.set_title(title)
    axes[0].set_ylabel("their time / our time")
    axes[-1].legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    results = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
    parser.add_argument("results", nargs="?", default=results[-1], help="what --json wrote")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--output", default=ROOT / "docs" / "figures" / "ratios.svg")
    options = parser.parse_args()
    rows = json.loads(Path(options.results).read_text())
    wanted = (options.threads, options.batch)
    save(draw([row for row in rows if (row["threads"], row["batch"]) == wanted]), options.output)


if __name__ == "__main__":
    main()
