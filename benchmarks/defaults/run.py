"""Fits every contender to every data set of a half, and keeps what came out in a JSON file.

    python benchmarks/defaults/run.py choose|verify [--contenders NAME ...] [--sets NAME ...]
        [--seeds 3] [--threads 2] [--limit 300] [--busy] [--redo] [--results FILE]

Each fit is the first in a process of its own, as in a new session; what importing the packages
takes is kept apart. What is in the file already is not repeated, unless with `--redo`, so a run can
be stopped and taken up again. Contenders whose seed makes no difference are fitted once, and so are
the longest fits. A fit that fails, or whose process takes more than `--limit` seconds, is kept as
absent, with the reason. The next run tries failures again; what took too long, and its next seeds,
with a higher limit alone.

On a machine that has other work, run it with `--busy`: the scores are the same, and the times are
not told. Without it, what is there from a busy machine is fitted again.

Run it with `.venv-peers/bin/python` after `make peers`; a contender whose package is missing is
left out. `report.py` makes the tables and the pictures.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from contenders import CONTENDERS, Problem
from data import CHOOSE, PLACES, SETS, VERIFY, load

RESULTS = Path(__file__).parents[1] / "results"
PACKAGES = ("numpy", "scikit-learn", "sklearn_convnet", "torch", "skorch", "keras", "aeon")
#: Of 1,460 and 2,000 steps.
LONG_SERIES = ("ACSF1", "PigCVP")


def results_path(half):
    return RESULTS / f"defaults_{half}.json"


# %%
# One fit, in a process of its own


def score(task, y, predicted):
    """Accuracy, of pixels too; R²; or the share of boxes with the right label and an IoU of 0.5."""
    from sklearn.metrics import r2_score

    from sklearn_convnet.metrics import localization_accuracy

    if task == "boxes":
        return localization_accuracy(y, predicted)
    if task in ("classification", "segmentation"):
        return np.mean(y == predicted)
    return r2_score(y, predicted)


def fit_once(name, contender, seed, threads):
    """The score, seconds of the imports, `fit` and `predict`, and how many warnings there were."""
    X_train, y_train, X_test, y_test, task, kind = load(name)
    with warnings.catch_warnings(record=True) as caught:  # those that a user would see
        start = time.perf_counter()
        model = CONTENDERS[contender].make(Problem(task, kind, seed, threads))
        made, busy = time.perf_counter(), time.process_time()
        model.fit(X_train, y_train)
        fitted, busy = time.perf_counter(), time.process_time() - busy
        predicted = model.predict(X_test)
        end = time.perf_counter()
    return {
        "score": float(score(task, y_test, predicted)),
        "import": made - start,
        "fit": fitted - made,
        "fit_cpu": busy,
        "predict": end - fitted,
        "warnings": Counter(w.category.__name__ for w in caught),
    }


def fit_in_process(name, contender, seed, options):
    """What `fit_once` returns, or why there is nothing."""
    command = [sys.executable, __file__, "--one", name, contender, str(seed)]
    command += ["--threads", str(options.threads)]
    variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = os.environ | dict.fromkeys(variables, str(options.threads))
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=options.limit, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"absent": f"over {options.limit:g} s", "limit": options.limit}
    if done.returncode:
        return {"absent": done.stderr.strip().splitlines()[-1] if done.stderr else "stopped"}
    return json.loads(done.stdout.splitlines()[-1])


# %%
# All of them


def machine():
    """What is told beside the figures."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "python": platform.python_version(),
    } | found


def key(row):
    return row["set"], row["contender"], row["seed"]


def is_done(rows, name, contender, seed, limit, busy):
    """Whether a fit need not be tried: it is there, or an earlier seed took too long."""
    for row in rows:
        if key(row)[:2] != (name, contender) or (row.get("busy") and not busy):
            continue
        if "limit" in row and row["limit"] >= limit:
            return True
        if row["seed"] == seed and "absent" not in row:
            return True
    return False


def is_long(name, contender):
    """Whether a fit takes minutes, so that there is one of it."""
    slow = contender == "Keras" and name in LONG_SERIES
    return name == "fashion_60000" or SETS[name].group == PLACES or slow


def seeds_of(name, contender, n_seeds):
    one = is_long(name, contender) or not CONTENDERS[contender].random
    return range(1 if one else n_seeds)


def run(options):
    path = Path(options.results or results_path(options.half))
    kept = json.loads(path.read_text()) if path.exists() else {"fits": []}
    names = [s.name for s in SETS.values() if s.half == options.half and s.name in options.sets]
    contenders = [c for c in options.contenders if CONTENDERS[c].is_here()]
    for contender in set(options.contenders) - set(contenders):
        print(f"{contender} is left out: its packages are missing", flush=True)
    if options.redo:
        kept["fits"] = [
            row
            for row in kept["fits"]
            if row["set"] not in names or row["contender"] not in contenders
        ]
    for name in names:
        for contender in contenders:
            if not CONTENDERS[contender].does(SETS[name].task, SETS[name].kind):
                continue
            for seed in seeds_of(name, contender, options.seeds):
                if is_done(kept["fits"], name, contender, seed, options.limit, options.busy):
                    continue
                row = {"set": name, "contender": contender, "seed": seed}
                row |= fit_in_process(name, contender, seed, options) | {"threads": options.threads}
                row |= {"busy": True} if options.busy else {}
                kept["fits"] = [*(r for r in kept["fits"] if key(r) != key(row)), row]
                kept["fits"].sort(key=lambda r: (list(SETS).index(r["set"]), *key(r)[1:]))
                kept["machine"] = machine()
                path.write_text(json.dumps(kept, indent=1) + "\n")
                print(line(row), flush=True)


def line(row):
    found = (
        row["absent"]
        if "absent" in row
        else f"{row['score']:8.4f}  fit {row['fit']:7.1f} s  predict {row['predict']:6.2f} s"
    )
    return f"{row['set']:22} {row['contender']:16} {row['seed']}  {found}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("half", choices=(CHOOSE, VERIFY), nargs="?", default=CHOOSE)
    parser.add_argument(
        "--contenders", nargs="+", choices=list(CONTENDERS), default=list(CONTENDERS)
    )
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=300, help="seconds for the process of a fit")
    parser.add_argument(
        "--busy", action="store_true", help="the machine has other work: times are not to be told"
    )
    parser.add_argument(
        "--redo", action="store_true", help="forget what these sets and contenders gave"
    )
    parser.add_argument(
        "--results", metavar="FILE", help="default: benchmarks/results/defaults_*.json"
    )
    parser.add_argument(
        "--one", nargs=3, metavar=("SET", "CONTENDER", "SEED"), help="fit once, print JSON"
    )
    options = parser.parse_args()
    if options.one:
        name, contender, seed = options.one
        print(json.dumps(fit_once(name, contender, int(seed), options.threads)))
    else:
        run(options)


if __name__ == "__main__":
    main()
