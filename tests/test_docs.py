"""What the docs show of files is what is in them."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re
from pathlib import Path

import pytest

from sklearn_convnet import (
    architectures,
    augmentation,
    callbacks,
    datasets,
    inspection,
    interchange,
    layers,
    preprocessing,
)

ROOT = Path(__file__).parents[1]
ADDING_A_LAYER = (ROOT / "docs" / "adding_a_layer.md").read_text()


def blocks(kind):
    """The blocks of a language in the document."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", ADDING_A_LAYER, re.MULTILINE | re.DOTALL)


def shown_files():
    """`(path, hunks)` of the diffs; a hunk is what the file has after the change."""
    files = []
    for line in "".join(blocks("diff")).splitlines():
        if line.startswith("+++ b/"):
            files.append((line.removeprefix("+++ b/"), []))
        elif line.startswith("@@"):
            files[-1][1].append([])
        elif not line.startswith("-") and line[1:].strip():
            files[-1][1][-1].append(line[1:])
    return files


def lines_of(path):
    return [line for line in (ROOT / path).read_text().splitlines() if line.strip()]


def position(part, lines, start=0):
    """Where lines stand one after the other, or None."""
    places = range(start, len(lines) - len(part) + 1)
    return next((i for i in places if lines[i : i + len(part)] == part), None)


def test_a_diff_of_each_kind_is_shown():
    paths = [path for path, _ in shown_files()]
    assert len(set(paths)) == len(paths)
    folders = ("layers", "kernels/src", "kernels/reference", "network")
    assert {f"sklearn_convnet/{folder}" for folder in folders} <= {
        str(Path(p).parent) for p in paths
    }
    assert all(hunks and all(hunks) for _, hunks in shown_files())


@pytest.mark.parametrize(("path", "hunks"), shown_files(), ids=lambda x: x if x == str(x) else "")
def test_a_diff_shows_what_is_in_the_file(path, hunks):
    lines, start = lines_of(path), 0
    for hunk in hunks:
        found = position(hunk, lines, start)
        assert found is not None, "\n".join([f"{path} does not have, in this order:", *hunk])
        start = found + len(hunk)


def test_the_layers_shown_are_those_of_the_example():
    lines, start = lines_of("docs/examples/own_layers.py"), 0
    code = [block for block in blocks("python") if ">>>" not in block]
    assert len(code) == 2
    for block in code:
        shown = [line for line in block.splitlines() if line.strip()]
        imports = [line for line in shown if line.startswith(("import ", "from "))]
        exec("\n".join(imports), {})
        part = shown[len(imports) :]
        found = position(part, lines, start)
        assert found is not None
        start = found + len(part)


def tables():
    """`(file and line, cells of each line)` of the tables of all documents."""
    paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    for path in paths:
        for match in re.finditer(r"(?:^\|.*\n)+", path.read_text(), re.MULTILINE):
            line = 1 + match.string.count("\n", 0, match.start())
            yield (
                f"{path.name}:{line}",
                [re.split(r"(?<!\\)\|", row)[1:-1] for row in match[0].splitlines()],
            )


@pytest.mark.parametrize("rows", [pytest.param(rows, id=place) for place, rows in tables()])
def test_a_table_is_whole(rows):
    assert len(rows) > 2
    assert all(set(cell) <= set(":-") for cell in rows[1])  # below the header
    assert {len(row) for row in rows} == {len(rows[0])}


@pytest.mark.parametrize(
    ("module", "documents"),
    [
        (architectures, ["architectures"]),
        (augmentation, ["augmentation"]),
        (callbacks, ["training"]),
        (datasets, ["data"]),
        (inspection, ["inspection", "displays", "augmentation", "networks"]),
        (interchange, ["interchange"]),
        (preprocessing, ["data"]),
        (layers, ["layers", "adding_a_layer"]),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_all_public_names_are_told_of(module, documents):
    text = "".join((ROOT / "docs" / f"{name}.md").read_text() for name in documents)
    assert set(module.__all__) - set(re.findall(r"\w+", text)) == set()
