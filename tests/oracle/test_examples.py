"""The examples that need PyTorch run through, in small."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def test_transfer(tmp_path, capsys):
    pytest.importorskip("matplotlib").use("agg")
    figure = tmp_path / "figure.png"
    main = runpy.run_path(str(EXAMPLES / "transfer.py"))["main"]
    scores = main(["--quick", "--seeds", "1", "--figure", str(figure)])
    assert scores.keys() == {"anew", "frozen", "all weights"}
    assert all(0 <= score <= 1 for found in scores.values() for (score,) in found.values())
    assert figure.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "onnxruntime: the same labels" in printed
    assert "| an epoch of all weights |" in printed
