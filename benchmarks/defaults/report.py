"""Writes what `run.py` found into the docs: tables, ranks, where targets are missed, and pictures.

    python benchmarks/defaults/report.py [--check]

The part of docs/defaults.md between two marks is made anew, a picture for each half that there
are results of, and the picture of docs/mlp.md. With `--check`, nothing is written, and the exit
status is 1 if the page is another.
"""

import argparse
import json
import re
import statistics
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from contenders import CONTENDERS, MLP, OURS, SKORCH
from data import CHOOSE, IMAGES, NUMBERS, PLACES, SERIES, SETS, TABLES, VERIFY
from ranks import mean_ranks
from run import results_path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "defaults.md"
BEGIN = "<!-- made by benchmarks/defaults/report.py: begin -->"
END = "<!-- made by benchmarks/defaults/report.py: end -->"
HEADINGS = {
    VERIFY: "## The half for the verdict",
    CHOOSE: "## The half for choosing",
}
GROUPS = {
    IMAGES: "Classes of images and volumes: accuracy",
    SERIES: "Classes of series: accuracy",
    TABLES: "Classes of rows of tables: accuracy",
    NUMBERS: "Numbers: R²",
    PLACES: "Boxes (share found, with the right label and an IoU of 0.5), points (R²), "
    "labels of pixels (accuracy)",
}
#: How far below MLPs the defaults may be.
TOLERANCE = {"classification": 0.01, "boxes": 0.01, "segmentation": 0.01}
TOLERANCE_R2 = 0.02


@dataclass(frozen=True)
class Found:
    """What became of the fits of one contender to one set; no time if the machine was busy."""

    score: float
    fit: float | None
    warnings: Counter
    absent: str = ""


# %%
# Figures


def summarise(fits):
    """The mean score, the median time and the warnings by set and contender."""
    rows = {}
    for row in fits:
        rows.setdefault((row["set"], row["contender"]), []).append(row)
    return {key: _summary(own) for key, own in rows.items()}


def _summary(rows):
    reasons = [row["absent"] for row in rows if "absent" in row]
    if reasons:
        return Found(-np.inf, None, Counter(), reasons[0])
    warnings = Counter()
    for row in rows:
        warnings.update(row["warnings"])
    times = [row["fit"] for row in rows if not row.get("busy")]
    score = np.mean([row["score"] for row in rows])
    return Found(float(score), statistics.median(times) if times else None, warnings)


def of_groups(found, groups):
    """Sets of some groups that there are results of, and the contenders of any of them."""
    sets = [name for name, s in SETS.items() if s.group in groups and (name, OURS) in found]
    names = [c for c in CONTENDERS if any((name, c) in found for name in sets)]
    return sets, names


def complete(found, sets, names):
    """Those contenders that have a way to do all sets, and their scores, a row a set."""
    names = [c for c in names if all((name, c) in found for name in sets)]
    return names, np.array([[found[name, c].score for c in names] for name in sets])


def ranked(found):
    """`title, contenders, scores` of what is ranked: all that has one output, and each group."""
    titles = {"Classes and numbers": set(GROUPS) - {PLACES}}
    titles |= {short(title): {group} for group, title in GROUPS.items()}
    for title, groups in titles.items():
        sets, names = of_groups(found, groups)
        if sets:
            yield title, *complete(found, sets, names)


def short(title):
    """Without the name of the score."""
    return re.sub(r": .*| \(.*?\)", "", title)


# %%
# Tables


def markdown(head, rows):
    first, *others = ("| " + " | ".join(line) + " |" for line in (head, *rows))
    return "\n".join([first, "|---" * len(head) + "|", *others])


def cell(found, name, contender, best):
    if (name, contender) not in found:
        return ""
    own = found[name, contender]
    if own.absent:
        return "stopped" if own.absent.startswith("over") else "failed"
    text = f"{own.score:.3f}"
    return f"**{text}**" if text == best else text


def group_table(found, group):
    """Scores by set, and under them mean ranks and times."""
    sets, names = of_groups(found, {group})
    rows = []
    for name in sets:
        best = f"{max(found[name, c].score for c in names if (name, c) in found):.3f}"
        rows.append([f"`{name}`", *(cell(found, name, c, best) for c in names)])
    ranked, scores = complete(found, sets, names)
    ranks = dict(zip(ranked, mean_ranks(scores), strict=True))
    rows.append(["mean rank", *(f"{ranks[c]:.2f}" if c in ranks else "" for c in names)])
    rows.append(["median fit, s", *(typical_time(found, sets, c) for c in names)])
    return markdown(["", *names], rows)


def rank_table(found):
    """Mean ranks by group, of those who do all of its sets."""
    every = [c for c in CONTENDERS if any(c == contender for _, contender in found)]
    rows = []
    for title, names, scores in ranked(found):
        ranks = mean_ranks(scores)
        told = {
            c: f"**{rank:.2f}**" if rank == ranks.min() else f"{rank:.2f}"
            for c, rank in zip(names, ranks, strict=True)
        }
        rows.append([title, str(len(scores)), *(told.get(c, "") for c in every)])
    return markdown(["", "sets", *every], rows)


def typical_time(found, sets, contender):
    """The median over the sets, if there is a time of each that was fitted."""
    own = [found[name, contender] for name in sets if (name, contender) in found]
    times = [row.fit for row in own if not row.absent]
    if None in times:
        return ""
    if not times:
        return ""
    typical = statistics.median(times)
    return f"{typical:.0f}" if typical >= 10 else f"{typical:.2g}"


def looks_table(looks, found):
    """Scores of our defaults as they were when a half was looked at, and as they are now; no score
    of a set that was not looked at again."""
    columns = [*(summarise(look["fits"]) for look in looks), found]
    rows = []
    for name, _ in columns[0]:
        scores = (f"{own[name, OURS].score:.3f}" if (name, OURS) in own else "" for own in columns)
        rows.append([f"`{name}`", *scores])
    return markdown(["", *(look["name"] for look in looks), "now"], rows)


def missed(found):
    """Sentences on the targets: never far below an MLP, never slower than skorch on images."""
    below, slower, worst = [], [], 0.0
    for (name, contender), own in found.items():
        if contender != OURS:
            continue
        other = found.get((name, MLP))
        if other and not other.absent:
            gap = other.score - own.score
            worst = max(worst, gap)
            if gap > TOLERANCE.get(SETS[name].task, TOLERANCE_R2):
                below.append(f"`{name}` by {gap:.3f}")
        other = found.get((name, SKORCH))
        if other and other.fit and own.fit and SETS[name].kind in ("image", "volume"):
            if own.fit > other.fit:
                slower.append(f"`{name}` {own.fit / other.fit:.1f} times")
    tail = f"; the largest gap on any set is {worst:.3f}." if not below else "."
    return [
        "Below the MLP by more than 0.01, or 0.02 of R²: "
        + (", ".join(below) or "on no set")
        + tail,
        "Slower than skorch on images: " + (", ".join(slower) or "on no set") + ".",
    ]


def warned(found):
    """A sentence on how often each contender warned."""
    counts = {}
    for (_, contender), own in found.items():
        counts.setdefault(contender, Counter()).update(own.warnings)
    told = [
        f"{contender} {', '.join(f'{n} {category}' for category, n in count.items())}"
        for contender, count in counts.items()
        if count
    ]
    return [f"Warnings in all fits: {'; '.join(told)}."] if told else []


def absences(found):
    """A sentence on the fits that there are no figures of, if any."""
    gone = [f"{c} on `{name}` ({own.absent})" for (name, c), own in found.items() if own.absent]
    return [f"Absent, and last in ranks: {', '.join(gone)}."] if gone else []


def about(kept):
    """Where the figures are from."""
    machine = dict(kept["machine"])
    cpu, python = machine.pop("cpu"), machine.pop("python")
    versions = ", ".join(f"{name} {version}" for name, version in machine.items())
    threads = sorted({row["threads"] for row in kept["fits"] if not row.get("busy")})
    # Such as that the machine had other work, which is written by hand.
    note = f" {kept['note']}" if "note" in kept else ""
    return f"{cpu}, threads: {', '.join(map(str, threads))}; Python {python}, {versions}.{note}"


def half_text(half, kept):
    """All about one half."""
    found = summarise(kept["fits"])
    lines = [HEADINGS[half], "", "Mean ranks:", "", rank_table(found), ""]
    for group, title in GROUPS.items():
        if of_groups(found, {group})[0]:
            lines += [f"### {title}", "", group_table(found, group), ""]
    if "looks" in kept:
        table = looks_table(kept["looks"], found)
        lines += [f"### {OURS} at each look, and now", "", table, ""]
    lines += [f"![Mean ranks, and which differ](figures/{picture_name(half)})", ""]
    lines += [
        *(f"* {sentence}" for sentence in (*missed(found), *absences(found), *warned(found))),
        "",
    ]
    return "\n".join([*lines, about(kept), ""])


def picture_name(half):
    return f"defaults_{half}.svg"


def panels(kept):
    """What `draw.draw` takes: groups of five sets or more, and three contenders."""
    for title, names, scores in ranked(summarise(kept["fits"])):
        if len(scores) > 4 and len(names) > 2:
            yield title, names, scores


def read_halves():
    """The results of the halves that there are, the one for the verdict first."""
    paths = {half: results_path(half) for half in (VERIFY, CHOOSE)}
    return {half: json.loads(p.read_text()) for half, p in paths.items() if p.exists()}


def page(text, halves):
    """The page with what is between the marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = "\n".join(half_text(half, kept) for half, kept in halves.items())
    return f"{before}{BEGIN}\n\n{made}\n{END}{after}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    options = parser.parse_args()
    halves, text = read_halves(), PAGE.read_text()
    made = page(text, halves)
    if options.check:
        sys.exit(made != text)
    PAGE.write_text(made)
    import beside_mlp
    import draw

    for half, kept in halves.items():
        draw.draw_to(DOCS / "figures" / picture_name(half), list(panels(kept)))
    found = summarise([row for kept in halves.values() for row in kept["fits"]])
    beside_mlp.draw_to(DOCS / "figures" / "mlp.svg", found)


if __name__ == "__main__":
    main()
