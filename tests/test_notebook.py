"""The notebook runs through, and shows what it should."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import json
from pathlib import Path

import nbclient
import nbformat
import pytest

from sklearn_convnet import inspection

NOTEBOOK = Path(__file__).parents[1] / "docs" / "examples" / "inspection.ipynb"


@pytest.fixture(scope="module")
def cells():
    """The source and the outputs of its cells of code, after it was run."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    nbclient.NotebookClient(notebook, timeout=120, resources=resources).execute()
    return [(cell.source, cell.outputs) for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(cells, text):
    """What the first cell with this in its source shows, by kind of data."""
    outputs = next(outputs for source, outputs in cells if text in source)
    return [output.get("data", {"stream": output.get("text")}) for output in outputs]


def test_the_notebook_runs(cells):
    assert not [
        output
        for _, outputs in cells
        for output in outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]


def test_what_it_shows(cells):
    (diagram,) = outputs_of(cells, "clf = ConvNetClassifier")
    assert "block1: Residual<" in diagram["text/html"]
    curves, fitted = outputs_of(cells, "LivePlot(interval")
    assert {"image/png", "text/html"} == {*curves} - {"text/plain"} | {*fitted} - {"text/plain"}
    assert "block1: Residual, 8 x 8 x 16" in fitted["text/html"]
    (summary,) = outputs_of(cells, "clf.summary()")
    assert ">3 x 3</td>" in summary["text/html"]
    assert "training of 62 samples" in summary["text/plain"]
    (plan,) = outputs_of(cells, ".plan(")
    assert ">conv1</td>" in plan["text/html"]


def test_all_of_inspection_is_in_it(cells):
    for name in inspection.__all__:
        if name.endswith("Display"):
            pictures = [
                o["image/png"] for o in outputs_of(cells, f"{name}.from") if "image/png" in o
            ]
            assert len(pictures[0]) > 1000
        elif name != "ReceptiveField":  # which a function returns
            assert outputs_of(cells, f"{name}(")


def test_no_outputs_are_kept():
    notebook = json.loads(NOTEBOOK.read_text())
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None
