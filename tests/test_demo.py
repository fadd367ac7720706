"""The demonstration runs through, in small."""

import importlib.util
import sys
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


def test_folder_of_idx_files(small, idx_folder, capsys):
    small.main(["--data", str(idx_folder), "--output", str(idx_folder / "out")])
    assert "300 training images and 100 test images" in capsys.readouterr().out
    assert (idx_folder / "out" / "misread.png").exists()


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


def test_the_first_network_reads_well(demo):
    data = demo.load(None, 0)
    first = demo.lenet(demo.FOR_8X8, 0)
    demo.train(first, data)
    assert first.score(data.X_test, data.y_test) > 0.95


def test_progress_of_the_search(demo, small, capsys):
    pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    data = demo.load(None, 0)
    demo.search(demo.lenet(small.FOR_8X8, 0), small.FOR_8X8, data, 0)
    assert "GridSearchCV" in capsys.readouterr().out


def test_a_search_without_progress_bars(demo, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    assert demo.show_progress("search") == "search"


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
