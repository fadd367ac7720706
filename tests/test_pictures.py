"""The pictures that explain words of the docs."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def script():
    """The names of the script that draws them."""
    pytest.importorskip("matplotlib").use("agg")
    return runpy.run_path(str(DOCS / "pictures.py"))


def test_each_picture_is_drawn(script, tmp_path):
    for name, draw in script["PICTURES"].items():
        path = tmp_path / f"{name}.svg"
        script["save"](draw(), path)
        assert "<svg" in path.read_text()


def test_each_picture_is_on_a_page(script):
    pages = "".join(path.read_text() for path in DOCS.glob("*.md"))
    for name in script["PICTURES"]:
        assert (DOCS / "figures" / f"{name}.svg").exists()
        assert f"](figures/{name}.svg)" in pages


def test_the_port_has_the_layers_of_the_page(script):
    page = (DOCS / "keras.md").read_text()
    for theirs, ours, _ in script["PORT"]:
        assert theirs.split("(")[0] in page
        assert ours is None or ours in page
