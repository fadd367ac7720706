"""Looks over what is to be released: the version is told everywhere, the conda recipe asks for the
same packages, wheel and source archive are whole and small."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re
import tarfile
import tomllib
import zipfile
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: Bytes that a wheel may have.
LARGEST_WHEEL = 5 * 2**20
#: What a wheel is made of; besides, there are its metadata and libraries that were put into it.
KINDS = {".py", ".pyi", ".so", ".pyd", ".typed"}
#: Variants of the kernels on x86-64.
VARIANTS = ("baseline", "avx2", "avx512")
NEEDED_IN_ARCHIVE = ("setup.py", "pyproject.toml", "Makefile", "tests/conftest.py", "docs/conf.py")


def version_problems(version):
    changes = (ROOT / "CHANGELOG.md").read_text()
    dated = re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changes, re.MULTILINE)
    if not dated:
        yield f"CHANGELOG.md has no heading '## [{version}] - YYYY-MM-DD'"
    if not re.search(
        rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), re.M
    ):
        yield f"CITATION.cff does not name version {version}"


def recipe_problems(project, build):
    """The conda recipe repeats what pyproject.toml says."""
    recipe = (ROOT / "conda" / "recipe.yaml").read_text()
    needed = [f'version: "{project["version"]}"', f"- python {project['requires-python']}"]
    for requirement in [*project["dependencies"], *build["requires"]]:
        name, bound = re.fullmatch(r"([\w-]+)(.*)", requirement).groups()
        needed.append(f"- {name.lower()} {bound}")
    lines = {line.strip() for line in recipe.splitlines()}
    for line in needed:
        if line not in lines:
            yield f"conda/recipe.yaml has no line {line!r}"


def wheel_problems(wheel):
    size = wheel.stat().st_size
    if size > LARGEST_WHEEL:
        yield f"{wheel.name} has {size / 2**20:.1f} MiB, more than {LARGEST_WHEEL / 2**20:.0f}"
    names = zipfile.ZipFile(wheel).namelist()
    inside = [name for name in names if ".dist-info/" not in name and ".libs/" not in name]
    for name in inside:
        if not name.startswith("sklearn_convnet/") or Path(name).suffix not in KINDS:
            yield f"{wheel.name} has {name}, which no user needs"
    if not any(name.endswith("/licenses/LICENSE") for name in names):
        yield f"{wheel.name} has no license"
    compiled = {Path(name).name.partition(".")[0] for name in inside if name.endswith(".so")}
    for name in sorted(module_names(wheel) - compiled):
        yield f"{wheel.name} lacks the module {name}: could the compiler not make it?"
    metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
    text = zipfile.ZipFile(wheel).read(metadata).decode()
    for link in re.findall(r"\]\((?!https?:)[^)]*\)", text):
        yield f"the text of {wheel.name} has a link that leads nowhere on PyPI: {link}"
    paths = [
        *ROOT.glob("sklearn_convnet/**/*.py"),
        *ROOT.glob("sklearn_convnet/kernels/*.pyi"),
        ROOT / "sklearn_convnet" / "py.typed",
    ]
    package = {path.relative_to(ROOT).as_posix() for path in paths}
    for name in sorted(package - set(inside)):
        yield f"{wheel.name} lacks {name}"


def module_names(wheel):
    """Those that are compiled."""
    variants = VARIANTS if "x86_64" in wheel.name else VARIANTS[:1]
    kernels = product(variants, ("float32", "float64"))
    return {"_cpu", "_cyutility", *(f"_{variant}_{dtype}" for variant, dtype in kernels)}


def archive_problems(archive):
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    for name in NEEDED_IN_ARCHIVE:
        if name not in names:
            yield f"{archive.name} lacks {name}"
    for name in names:
        if Path(name).suffix in {".c", ".so", ".pyc"}:
            yield f"{archive.name} has {name}, which is made"


def main():
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text())
    version = metadata["project"]["version"]
    problems = [*version_problems(version)]
    problems += recipe_problems(metadata["project"], metadata["build-system"])
    for pattern, check in (("*.whl", wheel_problems), ("*.tar.gz", archive_problems)):
        found = sorted((ROOT / "dist").glob(pattern))
        if len(found) != 1 or version not in found[0].name:
            problems.append(f"dist should have one {pattern} of version {version}, has {found}")
        for path in found:
            problems += check(path)
    if problems:
        raise SystemExit("\n".join(problems))
    print(f"version {version} can be released")


if __name__ == "__main__":
    main()
