"""Links of the site: from code in text to the reference, and to the docs of other packages."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import importlib
import zlib
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref

#: Where the docs of other packages are.
SITES = {
    "python": "https://docs.python.org/3/",
    "numpy": "https://numpy.org/doc/stable/",
    "scipy": "https://docs.scipy.org/doc/scipy/",
    "matplotlib": "https://matplotlib.org/stable/",
    "sklearn": "https://scikit-learn.org/stable/",
}
INVENTORIES = Path(__file__).parent / "inventories"
HEADER = """# Sphinx inventory version 2
# Project: {}
# Version: stable
# The remainder of this file is compressed using zlib.
"""
MODULES = (
    *("layers", "architectures", "augmentation", "multi_crop", "optimizers", "schedules"),
    *("losses", "initializers", "callbacks", "metrics", "datasets", "preprocessing"),
    *("inspection", "scan", "interchange", "network", "testing"),
)
#: Words in the types of docstrings that are no names.
WORDS = {
    "array": "numpy.ndarray",
    "path-like": ":term:`path-like <python:path-like object>`",
    "estimator": ":term:`estimator <sklearn:estimator>`",
}
#: Pages whose tables have names of other packages in their first column.
TRANSLATED = ("keras", "pytorch")
#: These are everywhere, and everyone knows them: no links.
PLAIN = (
    *("None", "True", "False", "bool", "int", "float", "str", "string", "list", "tuple", "dict"),
    *("callable", "iterable", "sequence", "generator", "scalar"),
)


def listed(site):
    return (INVENTORIES / f"{site}.txt").read_text().splitlines()


def inventories(folder):
    """What Sphinx takes for `intersphinx_mapping`: the inventory of each site and, for builds that
    cannot reach it, one of what the pages refer to, which is written into `folder`.

    Our lists have a name, its role and its place in each line; ``$`` stands for the name.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for name, site in SITES.items():
        path = folder / f"{name}.inv"
        rows = (line.rsplit(" ", 2) for line in listed(name))
        lines = [f"{what} {role} 1 {place.replace('$', what)} -\n" for what, role, place in rows]
        path.write_bytes(HEADER.format(name).encode() + zlib.compress("".join(lines).encode()))
        mapping[name] = (site, (None, str(path)))
    return mapping


def public_names():
    """The whole name of each public class and function, by its short one."""
    found = {name: f"sklearn_convnet.{name}" for name in ("ConvNetClassifier", "ConvNetRegressor")}
    for module in MODULES:
        whole = f"sklearn_convnet.{module}"
        found |= {name: f"{whole}.{name}" for name in importlib.import_module(whole).__all__}
    return found


def names_elsewhere():
    """The same of other packages: what their lists have."""
    rows = [line.split(" ") for site in SITES for line in listed(site)]
    names = [row[0] for row in rows if row[1].startswith("py:")]
    return {name.rpartition(".")[2]: name for name in names}


NAMES = names_elsewhere() | public_names()


def aliases():
    """What words in the types of docstrings lead to."""
    return {name: name for name in PLAIN} | NAMES | WORDS


def is_foreign(page, code):
    """Whether a name is that of another package: in the first column of tables that translate."""
    cell = code.parent.parent
    return page in TRANSLATED and isinstance(cell, nodes.entry) and cell.parent.index(cell) == 0


def link_code(app, doctree):
    """Makes a link of each piece of code in a text that is a public name, or a call of one."""
    for code in list(doctree.findall(nodes.literal)):
        name, call, _ = code.astext().partition("(")
        whole = NAMES.get(name, name if name in NAMES.values() else None)
        known = whole is not None and (call or name.lower() != name or "_" in name or "." in name)
        alone = not isinstance(code.parent, (nodes.reference, nodes.title, pending_xref))
        if known and alone and not is_foreign(app.env.docname, code):
            link = pending_xref(
                "", refdomain="py", reftype="obj", reftarget=whole, refexplicit=True, refwarn=False
            )
            code.replace_self(link)
            link += code
