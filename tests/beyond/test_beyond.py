"""scikit-learn's tools and Optuna, with workers in other processes."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import subprocess
import sys

import pytest
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
        assert epochs == 3 if pruned else epochs == 5


def test_what_is_left_is_noticed():
    command = [sys.executable, "-c", "input()"]
    waiting = subprocess.Popen(command, stdin=subprocess.PIPE, env={MARK: "left"})
    try:
        assert len(left_over("left", seconds=0.5)) == 1
    finally:
        waiting.communicate()
    assert left_over("left") == []
