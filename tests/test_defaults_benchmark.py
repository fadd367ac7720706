"""The benchmark of defaults: its halves, its ranks, and that the docs show what it found."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks" / "defaults"


@pytest.fixture
def module(monkeypatch):
    """A function that imports a module of the benchmark, which is no package."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


# ---------------------------------------------------------------------------
# Data
# ---------------------------------------------------------------------------


def test_either_half_has_sets_of_each_task_and_kind(module):
    data = module("data")
    halves = {half: [] for half in (data.CHOOSE, data.VERIFY)}
    for data_set in data.SETS.values():
        halves[data_set.half].append(data_set)
    sizes = {half: len(sets) for half, sets in halves.items()}
    assert min(sizes.values()) >= 24
    for attributes in (("task", "kind"), ("group",)):
        first, second = (
            Counter(tuple(getattr(s, a) for a in attributes) for s in sets)
            for sets in halves.values()
        )
        assert first.keys() == second.keys()
        assert all(abs(first[key] - second[key]) <= 1 for key in first)


@pytest.mark.parametrize("source", ["Fashion-MNIST", "brick, grass", "colour pictures", "digits"])
def test_sets_of_one_source_are_in_one_half(module, source):
    sets = [s for s in module("data").SETS.values() if source in s.origin]
    assert len(sets) > 1
    assert len({s.half for s in sets}) == 1


@pytest.fixture
def made(module, monkeypatch, tmp_path):
    """`made(name, **arrays)` puts a file of a set where it is read from."""
    data = module("data")
    monkeypatch.setattr(data, "FOLDER", tmp_path)

    def make(name, **arrays):
        test = {f"{key}_test": np.full_like(arrays[f"{key}_train"], -1) for key in "Xy"}
        np.savez(tmp_path / f"{name}.npz", **arrays, **test)
        return data

    return make


def test_choosers_see_parts_of_the_training_part_alone(made):
    X = np.arange(80.0)[:, np.newaxis]
    data = made("iris", X_train=X, y_train=np.arange(80) % 4)
    first, again, other = (data.split_for_choosing("iris", seed) for seed in (0, 0, 1))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    X_train, y_train, X_validation, y_validation = first
    np.testing.assert_array_equal(np.sort(np.concatenate([X_train, X_validation]), axis=0), X)
    np.testing.assert_array_equal(y_train, X_train[:, 0] % 4)
    np.testing.assert_array_equal(np.bincount(y_validation), [5, 5, 5, 5])
    assert not np.array_equal(X_validation, other[2])


def test_what_belongs_together_is_not_divided(made):
    groups = np.repeat([0, 1, 2, 3], 10)
    data = made("sunspots", X_train=groups[:, np.newaxis], y_train=np.arange(40.0), groups=groups)
    X_train, _, X_validation, _ = data.split_for_choosing("sunspots", 3)
    assert len(X_validation) == 10
    assert not set(X_train[:, 0]) & set(X_validation[:, 0])


def test_nothing_is_chosen_on_the_other_half(module):
    with pytest.raises(ValueError, match="'wine' is in 'verify'"):
        module("data").split_for_choosing("wine", 0)


def test_a_set_that_was_not_made(module, monkeypatch, tmp_path):
    data = module("data")
    monkeypatch.setattr(data, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"run `make peers`"):
        data.load("wine")


# ---------------------------------------------------------------------------
# How they are made
# ---------------------------------------------------------------------------


def test_every_set_has_a_maker(module):
    assert list(module("makers").MAKERS) != []
    assert set(module("makers").MAKERS) == set(module("data").SETS)


def test_windows_of_a_series(module):
    series = np.arange(50.0) ** 2
    made = module("makers").windows(series, 10)
    X = np.concatenate([made["X_train"], made["X_test"]])[..., 0]
    y = np.concatenate([made["y_train"], made["y_test"]])
    for start, (window, value) in enumerate(zip(X, y, strict=True)):
        np.testing.assert_array_equal(window, series[start : start + 10])
        assert value == series[start + 10]
    np.testing.assert_array_equal(np.bincount(made["groups"]), [7, 7, 7, 7])
    assert (np.diff(made["groups"]) >= 0).all()  # neighbours are together


def test_pieces_for_the_test_are_of_other_blocks(module):
    pixels = np.arange(40.0 * 50).reshape(40, 50, 1)
    rng = np.random.RandomState(0)
    train, test, groups = module("images").patches(pixels, 4, 8, rng)
    assert train.shape == (20 * 4, 4, 4, 1)  # 30 blocks of four pieces
    assert test.shape == (10 * 4, 4, 4, 1)
    assert len(np.unique(np.concatenate([train, test]))) == 40 * 48
    for group in range(20):
        own = train[groups == group]
        rows, columns = np.divmod(own, 50)
        assert len(own) == 4
        assert np.ptp(rows) == np.ptp(columns) == 7


def test_nothing_but_its_motion_tells_which_way_a_picture_goes(module):
    rng = np.random.RandomState(0)
    pictures = rng.uniform(0.5, 1, size=(400, 6, 6))
    X, y = module("images").moving(pictures, 12, 5, rng)
    assert X.shape == (400, 5, 12, 12, 1)
    steps = [(0, -1), (0, 1), (-1, 0), (1, 0)]
    errors = [
        np.abs(np.roll(X[:, :-1], step, axis=(2, 3)) - X[:, 1:]).mean(axis=(1, 2, 3, 4))
        for step in steps
    ]
    np.testing.assert_array_equal(np.argmin(errors, axis=0), y)
    # Where the picture is in the first frame has the same mean for each way.
    rows = (X[:, 0].sum(axis=(2, 3)) * np.arange(12)).sum(axis=1) / X[:, 0].sum(axis=(1, 2, 3))
    of_ways = [rows[y == way] for way in range(4)]
    spread = np.std(rows) / np.sqrt(min(len(own) for own in of_ways))
    assert np.ptp([own.mean() for own in of_ways]) < 5 * spread


def test_a_mosaic_tells_which_picture_each_pixel_is_of(module):
    pictures = [np.full((60, 70, 2), value, np.float32) for value in range(3)]
    X, y = module("images").mosaics(20, pictures, np.random.RandomState(0))
    np.testing.assert_array_equal(X, np.repeat(y[..., np.newaxis], 2, axis=-1))
    assert set(np.unique(y)) == {0, 1, 2}
    assert max(len(np.unique(labels)) for labels in y) > 1


def test_corners_of_what_is_visible(module):
    pixels = np.zeros((8, 9))
    pixels[2:5, 3:8] = 1
    corners = module("images").bounding_corners(pixels)
    np.testing.assert_array_equal(corners, [[2.5, 1.5], [7.5, 1.5], [7.5, 4.5], [2.5, 4.5]])


def test_chunks_of_scenes_have_no_picture_in_common(module):
    seen = []

    def make(n, chosen, rng):
        seen.append(range(*chosen.indices(100)))
        return np.zeros((n, 1)), np.zeros(n)

    made = module("makers").in_chunks(make, 12, 5, 100, 80)
    assert [len(pool) for pool in seen] == [20, 20, 20, 20, 20]
    assert sorted(i for pool in seen for i in pool) == list(range(100))
    np.testing.assert_array_equal(np.bincount(made["groups"]), [3, 3, 3, 3])
    assert len(made["X_train"]) == 12
    assert len(made["X_test"]) == 5


def test_labels_are_coded_from_0(module):
    codes, test_codes = module("makers").coded(np.array(["b", "a", "c"]), np.array(["c", "b"]))
    np.testing.assert_array_equal(codes, [1, 0, 2])
    np.testing.assert_array_equal(test_codes, [2, 1])


# ---------------------------------------------------------------------------
# Ranks
# ---------------------------------------------------------------------------


def test_ranks_are_shared_by_those_who_are_equally_good(module):
    scores = [[0.9, 0.8, 0.8, 0.1], [0.5, 0.7, 0.6, -np.inf]]
    np.testing.assert_array_equal(module("ranks").mean_ranks(scores), [2, 1.75, 2.25, 4])


@pytest.mark.parametrize(
    ("n_contenders", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (6, 2.850), (10, 3.164)]
)
def test_critical_differences_are_those_of_the_paper(module, n_contenders, q):
    """Table 5 (a) of Demšar (2006)."""
    expected = q * np.sqrt(n_contenders * (n_contenders + 1) / (6 * 14))
    found = module("ranks").critical_difference(14, n_contenders)
    assert found == pytest.approx(expected, rel=5e-4)


def test_friedman(module):
    ranks = module("ranks")
    rng = np.random.RandomState(0)
    same = rng.normal(size=(30, 4))
    assert ranks.friedman_p_value(same) > 0.05
    assert ranks.friedman_p_value(same + np.array([0, 0, 0, 2])) < 1e-3
    assert np.isnan(ranks.friedman_p_value(np.zeros((30, 4))))
    assert np.isnan(ranks.friedman_p_value(same[:, :2]))


def test_runs_of_those_who_do_not_differ(module):
    alike = module("ranks").alike
    assert alike([1, 4, 2, 3.5], 1) == [(0, 1), (2, 3)]
    assert alike([1, 2, 3], 2) == [(0, 2)]
    assert alike([1, 2, 3], 1.5) == [(0, 1), (1, 2)]
    assert alike([1, 3, 5], 1) == []


# ---------------------------------------------------------------------------
# Fits and report
# ---------------------------------------------------------------------------


def fits(*rows):
    """Rows of results; those of the seed 1 have a warning."""
    keys = ("set", "contender", "seed", "score", "fit")
    found = [dict(zip(keys, row, strict=True), threads=2) for row in rows]
    return [row | {"warnings": {"UserWarning": 1} if row["seed"] else {}} for row in found]


def test_a_fit_is_not_repeated(module):
    is_done = module("run").is_done
    rows = fits(("iris", "MLP", 0, 0.9, 1.0))
    rows += [{"set": "iris", "contender": "Keras", "seed": 0, "absent": "over 9 s", "limit": 9}]
    rows += [{"set": "iris", "contender": "linear", "seed": 0, "absent": "ValueError: no"}]
    assert is_done(rows, "iris", "MLP", 0, 9, busy=False)
    assert not is_done(rows, "iris", "MLP", 1, 9, busy=False)
    assert not is_done(rows, "wine", "MLP", 0, 9, busy=False)
    assert is_done(rows, "iris", "Keras", 1, 9, busy=False)  # it would take too long again
    assert not is_done(rows, "iris", "Keras", 0, 10, busy=False)
    assert not is_done(rows, "iris", "linear", 0, 9, busy=False)  # it failed


def test_a_fit_of_a_busy_machine_is_repeated_on_a_quiet_one(module):
    is_done = module("run").is_done
    rows = [row | {"busy": True} for row in fits(("iris", "MLP", 0, 0.9, 1.0))]
    assert is_done(rows, "iris", "MLP", 0, 9, busy=True)
    assert not is_done(rows, "iris", "MLP", 0, 9, busy=False)


def test_what_needs_no_seed_and_what_takes_long_has_one(module):
    seeds_of = module("run").seeds_of
    assert list(seeds_of("iris", "MLP", 3)) == [0, 1, 2]
    assert list(seeds_of("iris", "linear", 3)) == [0]
    assert list(seeds_of("fashion_60000", "MLP", 3)) == [0]
    assert list(seeds_of("digit_pixels", "sklearn_convnet", 3)) == [0]
    assert list(seeds_of("PigCVP", "Keras", 3)) == [0]
    assert list(seeds_of("Trace", "Keras", 3)) == [0, 1, 2]


def test_a_fit_is_measured(module, made):
    rng = np.random.RandomState(0)
    y = np.arange(60) % 2
    made("iris", X_train=rng.normal(size=(60, 3)) + 5 * y[:, np.newaxis], y_train=y)
    row = module("run").fit_once("iris", "linear", 0, 1)
    assert row["score"] == 0  # the labels of its test part are -1
    assert min(row["import"], row["fit"], row["predict"]) >= 0
    assert row["warnings"] == {}


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(60, {"absent": "KeyError: 'no such set'"}), (0.01, {"absent": "over 0.01 s", "limit": 0.01})],
)
def test_the_reason_why_there_is_no_fit_is_kept(module, monkeypatch, limit, expected):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)  # the script imports its neighbours
    options = SimpleNamespace(threads=1, limit=limit)
    assert module("run").fit_in_process("no such set", "linear", 0, options) == expected


@pytest.mark.parametrize("task", ["classification", "regression", "boxes", "joints"])
def test_models_of_rows_take_all_forms_of_y(module, task):
    contenders = module("contenders")
    rng = np.random.RandomState(0)
    X, places = rng.normal(size=(40, 4, 4, 1)), rng.uniform(size=(40, 8))
    y = {
        "classification": np.arange(40) % 3,
        "regression": places[:, 0],
        "boxes": np.column_stack([np.arange(40) % 3, places]),
        "joints": places,
    }[task]
    problem = contenders.Problem(task, "image", seed=0, threads=1)
    model = contenders.CONTENDERS["linear"].make(problem).fit(X, y)
    assert model.predict(X).shape == y.shape


@pytest.fixture
def results(module):
    found = fits(
        ("iris", "sklearn_convnet", 0, 0.5, 1.0),
        ("iris", "sklearn_convnet", 1, 0.7, 3.0),
        ("iris", "MLP", 0, 0.615, 1.0),
        ("digits", "sklearn_convnet", 0, 0.9, 6.0),
        ("digits", "MLP", 0, 0.905, 1.0),
        ("digits", "skorch", 0, 0.95, 4.0),
    )
    found += [{"set": "iris", "contender": "skorch", "seed": 0, "absent": "over 9 s", "threads": 2}]
    return {"machine": {"cpu": "a CPU", "python": "3.99", "numpy": "9.9"}, "fits": found}


def test_a_table_has_means_ranks_and_times(module, results):
    report, data = module("report"), module("data")
    found = report.summarise(results["fits"])
    table = [line.split(" | ") for line in report.group_table(found, data.TABLES).splitlines()]
    assert table[0] == ["| ", "sklearn_convnet", "MLP", "skorch |"]
    assert table[2:] == [
        ["| `iris`", "0.600", "**0.615**", "stopped |"],
        ["| mean rank", "2.00", "1.00", "3.00 |"],
        ["| median fit, s", "2", "1", " |"],
    ]
    assert found["iris", "sklearn_convnet"].warnings == {"UserWarning": 1}


def test_times_of_a_busy_machine_are_not_told(module, results):
    report, data = module("report"), module("data")
    for row in results["fits"]:
        if row["set"] == "digits" or row["contender"] == "MLP":
            row["busy"] = True
    found = report.summarise(results["fits"])
    assert report.group_table(found, data.TABLES).splitlines()[-1] == "| median fit, s | 2 |  |  |"
    assert "Slower than skorch on images: on no set." in report.missed(found)
    assert found["digits", "skorch"].score == 0.95


def test_scores_of_earlier_looks_are_beside_those_of_now(module, results):
    first = fits(
        ("iris", "sklearn_convnet", 0, 0.25, 1.0), ("digits", "sklearn_convnet", 0, 0.5, 1.0)
    )
    second = fits(("iris", "sklearn_convnet", 0, 0.375, 1.0))
    results["looks"] = [{"name": "first", "fits": first}, {"name": "second", "fits": second}]
    text = module("report").half_text("verify", results)
    table = text.partition("|  | first | second | now |\n|---|---|---|---|\n")[2]
    assert table.startswith("| `iris` | 0.250 | 0.375 | 0.600 |\n| `digits` | 0.500 |  | ")


def test_mean_ranks_by_group(module, results):
    report = module("report")
    table = report.rank_table(report.summarise(results["fits"])).splitlines()
    assert table[0] == "|  | sets | sklearn_convnet | MLP | skorch |"
    assert table[2:] == [
        "| Classes and numbers | 2 | 2.50 | **1.50** | 2.00 |",
        "| Classes of images and volumes | 1 | 3.00 | 2.00 | **1.00** |",
        "| Classes of rows of tables | 1 | 2.00 | **1.00** | 3.00 |",
    ]


def test_the_report_tells_what_is_missed(module, results):
    report = module("report")
    text = report.half_text("choose", results)
    assert "Below the MLP by more than 0.01, or 0.02 of R²: `iris` by 0.015." in text
    assert "Slower than skorch on images: `digits` 1.5 times." in text
    assert "skorch on `iris` (over 9 s)" in text
    assert "Warnings in all fits: sklearn_convnet 1 UserWarning." in text
    assert "a CPU, threads: 2; Python 3.99, numpy 9.9." in text


def test_only_what_is_between_the_marks_is_made_anew(module, results):
    report = module("report")
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    made = report.page(text, {"choose": results})
    assert made.startswith("before\n")
    assert made.endswith("\nafter\n")
    assert "old" not in made
    assert report.page(made, {"choose": results}) == made


def test_the_page_is_what_the_results_say(module):
    report = module("report")
    text = report.PAGE.read_text()
    assert report.page(text, report.read_halves()) == text
    for half in report.read_halves():
        assert (report.DOCS / "figures" / report.picture_name(half)).exists()


def test_a_picture_names_all_contenders(module):
    draw = module("draw")
    names = ["sklearn_convnet", "MLP", "linear"]
    scores = np.random.RandomState(0).normal(size=(6, 3))
    figure = draw.draw([("Images", names, scores), ("Series", names, scores)])
    for ax in figure.axes:
        text = " ".join(t.get_text() for t in ax.texts)
        assert all(name in text for name in names)
        assert "6 sets" in ax.get_title(loc="left")
    draw.plt.close(figure)


def test_the_picture_beside_an_mlp_has_what_both_did(module, results):
    results["fits"][-2]["busy"] = True  # of skorch
    results["fits"][2]["busy"] = True  # of the MLP on iris
    found = module("report").summarise(results["fits"])
    pairs = module("beside_mlp").pairs(found)
    ours, mlp = "sklearn_convnet", "MLP"
    assert pairs["tables"] == [("iris", {ours: 0.6, mlp: 0.615}, None)]
    assert pairs["images"] == [("digits", {ours: 0.9, mlp: 0.905}, {ours: 6.0, mlp: 1.0})]
    draw = module("beside_mlp").draw
    figure = draw(found)
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["digits", "iris"]
    assert (len(left.lines), len(right.lines)) == (6, 3)
    module("draw").plt.close(figure)
