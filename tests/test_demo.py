"""The demonstration runs through, in small."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

DEMO = Path(__file__).parents[1] / "docs" / "examples" / "demo.py"
PICTURES = ("filters.png", "losses.png", "confusion.png", "misread.png")

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small(demo, monkeypatch):
    """The demonstration with few choices, few images and one process."""
    monkeypatch.setattr(demo, "N_JOBS", 1)
    recipe = demo.FOR_8X8._replace(
        conv1_filters=[4], conv2_filters=[6], n_search=120, search_epochs=2, epochs=8
    )
    monkeypatch.setattr(demo, "FOR_8X8", recipe)
    monkeypatch.setattr(demo, "FOR_28X28", recipe)
    return demo


def test_digits(small, tmp_path, capsys):
    output = tmp_path / "made" / "here"
    accuracy = small.main(["--output", str(output)])
    printed = capsys.readouterr().out
    assert 0.5 < accuracy < 1.0
    assert f"best of the search: {accuracy:.4f}" in printed
    assert "1347 training images and 450 test images" in printed
    assert "conv1__filters" in printed
    assert "passthrough" in printed
    assert str(output) in printed
    for name in PICTURES:
        assert (output / name).read_bytes().startswith(b"\x89PNG"), name


def test_folder_of_idx_files(small, idx_folder, tmp_path, capsys):
    small.main(["--data", str(idx_folder), "--output", str(tmp_path / "out")])
    assert "300 training images and 100 test images" in capsys.readouterr().out
    assert (tmp_path / "out" / "misread.png").exists()


def test_results_table_has_the_best_first(demo):
    results = {
        "params": [{"a": 1}, {"a": "passthrough"}],
        "rank_test_score": [2, 1],
        "mean_test_score": [0.25, 0.5],
        "std_test_score": [0.1, 0.2],
        "mean_fit_time": [1.0, 2.0],
    }
    head, first, second = demo.results_table(results).splitlines()
    assert head.split() == ["accuracy", "deviation", "fit", "a"]
    assert first.split() == ["0.5000", "0.2000", "2.00", "s", "passthrough"]
    assert second.split() == ["0.2500", "0.1000", "1.00", "s", "1"]


def test_hardest_begins_with_what_was_misread_worst(demo):
    class Model:
        classes_ = np.array([3, 7])

        def predict_proba(self, X):
            return np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.45, 0.55]])

    y = np.array([3, 3, 7, 7])  # right, wrong, wrong, right with doubt
    X = np.arange(4)
    data = demo.Data("", X, X, y, y, ["3", "7"])
    images, true, _ = demo.hardest(Model(), data, 3)
    np.testing.assert_array_equal(images, [1, 2, 3])
    np.testing.assert_array_equal(true, [0, 1, 1])


def test_reload_that_predicts_something_else_is_noticed(demo, monkeypatch):
    class Model:
        def __init__(self, probability):
            self.probability = probability

        def predict_proba(self, X):
            return np.full((len(X), 2), self.probability)

    monkeypatch.setattr(demo.joblib, "dump", lambda model, path: None)
    monkeypatch.setattr(demo.joblib, "load", lambda path: Model(0.25))
    demo.save_and_reload(Model(0.25), "file", np.zeros(3))
    with pytest.raises(RuntimeError, match="reloaded from file predicts something"):
        demo.save_and_reload(Model(0.5), "file", np.zeros(3))
