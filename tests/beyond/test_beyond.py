"""scikit-learn's tools and Optuna, with workers in other processes."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import subprocess
import sys

import pytest
import script_runs
from script_runs import MARK, check_engine, left_over, run_script


@pytest.mark.oldest
@pytest.mark.parametrize("name", ["loky", "dask"])
def test_searches_and_ensembles(name):
    check_engine(name)


@pytest.mark.oldest
def test_a_study_of_optuna(tmp_path):
    found = run_script("optuna_study", str(tmp_path))
    assert found["same"]
    assert found["trials"] == 6
    assert found["processes"] == 2
    assert found["states"] == ["COMPLETE", "PRUNED"]
    for epochs, pruned in zip(found["epochs"], found["pruned"], strict=True):
        assert epochs == (3 if pruned else 5)


def test_what_is_left_is_noticed(tmp_path):
    mark = str(tmp_path)
    command = [sys.executable, "-c", "input()"]
    waiting = subprocess.Popen(command, stdin=subprocess.PIPE, env={MARK: mark})
    try:
        assert list(left_over(mark, seconds=0.5)) == [waiting.pid]
    finally:
        waiting.communicate()
    assert left_over(mark) == {}


def test_a_script_that_does_not_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(script_runs, "SCRIPTS", tmp_path)
    (tmp_path / "waits.py").write_text(
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE).wait()\n"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        run_script("waits", timeout=2, mark=str(tmp_path))
    assert left_over(str(tmp_path)) == {}
