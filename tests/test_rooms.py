"""Imports point downward, from room to room, and no file is too long to read."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[1] / "sklearn_convnet"
FILES = {
    ".".join(path.relative_to(SOURCES.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCES.rglob("*.py"))
}

#: From below to above: a room knows itself and those before it.
ROOMS = (
    {"kernels"},
    {
        "_version",
        "constraints",
        "diagram",
        "display",
        "messages",
        "moments",
        "parameters",
        "tables",
        "threads",
    },
    {"initializers", "layers"},
    {"network"},
    {"losses", "optimizers", "schedules", "scores", "training"},
    {"augmentation", "multi_crop"},
    {"estimators"},
    {"_config", "architectures", "callbacks", "datasets", "inspection", "metrics", "testing"},
    {""},  # the package itself
)

MAX_LINES = 700
#: Sources of kernels that are longer.
LONGER = {"conv.pxi", "interleaved.pxi", "norm.pxi", "pool.pxi", "winograd.pxi"}


def imported_by(module):
    """The modules of the package that a module names in its imports, wherever they stand."""
    path = FILES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: -(node.level - 1) or None] if node.level else []
            origin = ".".join([*above, *(node.module or "").split(".")]).strip(".")
            for alias in node.names:
                whole = f"{origin}.{alias.name}"
                if whole in FILES or origin in FILES:
                    yield whole if whole in FILES else origin


IMPORTS = {module: set(imported_by(module)) for module in FILES}


def part(module):
    """The part of the package that a module belongs to: its first folder or file."""
    return [*module.split("."), ""][1]


def level(module):
    (found,) = (i for i, room in enumerate(ROOMS) if part(module) in room)
    return found


def test_imports_are_found():
    assert "sklearn_convnet.estimators.classifier" in IMPORTS["sklearn_convnet"]
    assert "sklearn_convnet.layers" in IMPORTS["sklearn_convnet.estimators.targets.boxes"]
    assert "sklearn_convnet.network.dropout" in IMPORTS["sklearn_convnet.network.passes"]
    assert "sklearn_convnet.kernels.loader" in IMPORTS["sklearn_convnet.network.network"]


def test_each_part_has_a_room():
    assert {part(module) for module in FILES} == set.union(*ROOMS)


@pytest.mark.parametrize("module", FILES)
def test_imports_point_downward(module):
    upward = [other for other in IMPORTS[module] if level(other) > level(module)]
    assert not upward


def test_kernels_know_nothing_of_the_package():
    for path in sorted(SOURCES.glob("kernels/**/*.p[yx][xi]")):
        lines = path.read_text().splitlines()
        imports = [line for line in lines if re.match(r"\s*(from|import|cimport)\s", line)]
        assert not [line for line in imports if "sklearn_convnet" in line or ".." in line], path


def test_no_module_imports_itself_by_way_of_others():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_no_file_is_long():
    lines = {
        path.name if path.suffix == ".pxi" else str(path.relative_to(SOURCES)): len(
            path.read_text().splitlines()
        )
        for path in SOURCES.rglob("*.p[yx]*")
        if path.suffix in (".py", ".pyx", ".pxi")
    }
    assert len(lines) > 100
    assert {name for name, n in lines.items() if n > MAX_LINES} == LONGER
