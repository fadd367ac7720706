"""Imports point downward, from room to room and from kernel to kernel; no file is too long."""

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
        "_typing",
        "_version",
        "beside",
        "constraints",
        "diagram",
        "display",
        "image_files",
        "many_files",
        "messages",
        "moments",
        "on_demand",
        "onnx_package",
        "parameters",
        "ragged",
        "tables",
        "tensor_files",
        "threads",
        "whole_file",
    },
    {"initializers", "layers"},
    {"network"},
    {
        "averaging",
        "batches",
        "collapse",
        "losses",
        "objectives",
        "optimizers",
        "schedules",
        "scores",
        "shards",
        "training",
    },
    {"augmentation", "multi_crop", "onnx_import", "votes"},
    {"estimators"},
    {
        "_config",
        "architectures",
        "callbacks",
        "dask",
        "datasets",
        "inspection",
        "interchange",
        "metrics",
        "preprocessing",
        "scan",
        "testing",
    },
    {""},  # the package itself
)

MAX_LINES = 700

KERNELS = SOURCES / "kernels" / "src"
#: The sources of the kernels, in the order in which they are included.
LAYERS = re.findall(r'^include "(.*)"$', (KERNELS / "all.pxi").read_text(), re.MULTILINE)


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


# ---------------------------------------------------------------------------
# Kernels: a file uses no name of those that are included after it
# ---------------------------------------------------------------------------

VERBATIM = re.compile(
    r'(^cdef extern from [^\n]*:\n)    """\n(.*?)^    """', re.MULTILINE | re.DOTALL
)

#: How names are given in Cython, outside of functions.
CYTHON_NAMES = (
    r"^(?:cdef|def) [^\n(=:]*?(\w+)\(",
    r"^ctypedef [^\n]*\(\*(\w+)\)",
    r"^(?:cdef struct|cdef enum| {4}ctypedef \w+) (\w+)",
    r"^cdef [\w ]+ (\w+) = ",
    r"^([A-Z_]+) = ",
)
ENUM = re.compile(r"^cdef enum[^\n]*:\n((?:    [^\n]*\n|\n)+)", re.MULTILINE)
#: And in C, which stands indented in a string.
C_NAMES = (
    r"^\s*#define (\w+)",
    r"^    (?:static|LIBRARY_ONLY) [^\n=;]*?(\w+)\(",
    r"^    static [^\n(]*?(\w+)(?:\[.*\])? =",
    r"^    typedef [\w ]+? (\w+);?\n",
    r"^    typedef .*\(\*(\w+)\)",
    r"^    \} (\w+);",
)


def code_of_kernels(path):
    """The Cython and the C of a file, without comments, docstrings and other strings."""
    text = (KERNELS / path).read_text()
    c = "".join(block for _, block in VERBATIM.findall(text))
    c = re.sub(r"/\*.*?\*/|__attribute__\(\(.*?\)\)", "", c, flags=re.DOTALL)
    cython = re.sub(r'""".*?"""', "", VERBATIM.sub(r"\1", text), flags=re.DOTALL)
    cython = re.sub(r"#.*", "", re.sub(r'"[^"\n]*"', "", cython))
    return cython, re.sub(r'"[^"\n]*"', "", c)


def names_given(path):
    """Functions, types, constants and macros of a file."""
    for code, patterns in zip(code_of_kernels(path), (CYTHON_NAMES, C_NAMES), strict=True):
        for pattern in patterns:
            yield from re.findall(pattern, code, re.MULTILINE)
    for members in ENUM.findall(code_of_kernels(path)[0]):
        yield from re.findall(r"(?:^    |, )([A-Z]\w*)", members, re.MULTILINE)


def names_used(path):
    """All words of a file but members of structs, so that no local variable hides a name."""
    return set(re.findall(r"(?<![.\w>])[A-Za-z_]\w*", " ".join(code_of_kernels(path))))


#: The first file that gives each name.
GIVEN_BY = {name: path for path in reversed(LAYERS) for name in names_given(path)}


def test_all_kernels_are_included():
    files = {path.relative_to(KERNELS).as_posix() for path in KERNELS.rglob("*.pxi")}
    assert sorted(LAYERS) == sorted(files - {"all.pxi"})


@pytest.mark.parametrize(
    ("path", "names"),
    {
        "base/simd.pxi": {"vec", "LANES", "at", "LOG_TERMS", "MAX_LANES", "allocate", "ZEROS"},
        "base/team.pxi": {"worker", "GOMP_parallel", "loop_body", "is_forked", "FLUSHING"},
        "base/checks.pxi": {"checked", "MAX_SIZE", "MAX_NUMBERS"},
        "micro/tile.pxi": {"tile", "tile_loop", "matrix_rows", "FROM_INIT", "ADD_C"},
        "micro/transforms.pxi": {"transform_1d", "Transform", "MAX_TAPS", "fold_points"},
        "blocking/tasks.pxi": {"Shares", "next_task", "Task", "run_tasks", "PRODUCTS"},
        "epilogue/activation.pxi": {"IDENTITY", "GELU", "ACTIVATIONS", "TAIL", "activate"},
        "conv/geometry.pxi": {"Conv", "conv_geometry", "conv_tables"},
        "optimizer.pxi": {"Rule", "take_step", "adam_step"},
    }.items(),
)
def test_names_of_kernels_are_found(path, names):
    assert names <= {name for name, giver in GIVEN_BY.items() if giver == path}
    assert any(names & names_used(other) for other in LAYERS[LAYERS.index(path) :])


@pytest.mark.parametrize("path", LAYERS)
def test_kernels_use_names_of_files_before_them(path):
    later = set(LAYERS[LAYERS.index(path) + 1 :])
    assert not {name: GIVEN_BY[name] for name in names_used(path) if GIVEN_BY.get(name) in later}


@pytest.mark.parametrize("module", FILES)
def test_docstrings_begin_with_what_a_thing_is_or_does(module):
    source = FILES[module].read_text()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, documented))
    first = {(ast.get_docstring(node) or "").partition(" ")[0] for node in nodes}
    assert not first & {"What", "Whether", "Of"}


def test_no_file_is_long():
    lines = {
        str(path.relative_to(SOURCES)): len(path.read_text().splitlines())
        for path in SOURCES.rglob("*.p[yx]*")
        if path.suffix in (".py", ".pyx", ".pxi")
    }
    assert len(lines) > 100
    assert not {name: n for name, n in lines.items() if n > MAX_LINES}
