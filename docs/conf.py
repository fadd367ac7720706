"""How Sphinx makes the site of these pages: `make docs`."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re
import sys
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert

import sklearn_convnet

HERE = Path(__file__).parent
sys.path.append(str(HERE))

import gallery_pages
import links

project = "sklearn_convnet"
author = "the sklearn_convnet developers"
project_copyright = author
version = release = sklearn_convnet.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    *("examples", "figures", "inventories"),
    *("sg_execution_times.rst", "gallery/*.ipynb"),
]
templates_path = ["_templates"]
nitpicky = False

# Markdown. Its links are those that a reader of the repository follows, too.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4

# The reference: a page for each public object, from what `__all__` lists.
autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_member_order = "groupwise"
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
autodoc_inherit_docstrings = True
numpydoc_show_class_members = False
# Types are links, to the docs of other packages as well.
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # but what has an alias
numpydoc_xref_aliases = links.aliases()
intersphinx_mapping = links.inventories(HERE.parent / "inventories")
intersphinx_timeout = 20
# A docstring that lacks an argument, a type or what is returned, or has them in another order than
# the function, is a warning.
numpydoc_validation_checks = {
    *("GL03", "GL05", "GL06", "GL07", "GL10"),
    *("PR01", "PR02", "PR03", "PR04", "PR05", "PR06", "PR07"),
    *("RT01", "SS01", "SS02", "SS03", "SS04", "YD01"),
}
numpydoc_validation_exclude = {r"\.Chain\."}  # what Python writes for a named tuple
default_role = "code"
smartquotes_action = "De"  # quotes of strings in types stay as they are

copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = ">>> "

# The gallery: scripts of docs/examples, of which the quick ones are run.
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": gallery_pages.PATTERN,
    "ignore_pattern": r"drawing\.py",
    "reset_argv": "gallery_pages.arguments",
    "download_all_examples": False,
    "show_signature": False,
    "min_reported_time": 1,
    "remove_config_comments": True,
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "sklearn_convnet"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": f"sklearn_convnet {version}"},
    "show_nav_level": 1,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 6,
}
html_sidebars = {page: [] for page in ("index", "examples", "changes")}  # with no pages below

#: What scikit-learn gives to each of its estimators, and describes itself.
INHERITED = ("get_metadata_routing", "set_output")


def leave_out(app, what, name, value, skip, options):
    """Whether a member has no place on the page of a class."""
    return skip or name in INHERITED or re.fullmatch("set_[a-z_]+_request", name) is not None


def escape(text):
    """Text in which the star of ``(n, *sample_shape)`` begins no emphasis."""
    parts = re.split("(`+.+?`+)", text)  # what is code stays as it is
    parts[::2] = [re.sub(r"(?<![\\*\w])\*(?=[a-z])", r"\\*", part) for part in parts[::2]]
    return "".join(parts)


def escape_shapes(app, what, name, value, options, lines):
    """Lets shapes in docstrings be read as they stand, ``(n_features_in_,)`` too."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            names, colon, kind = line.partition(" : ")
            lines[i] = escape(names) + colon + re.sub(r"_(?=[,)])", r"\\_", escape(kind))


def leave_out_design(app, what, name, value, options, lines):
    """Cuts off the notes on its design that a module has for readers of its source."""
    if "# Design:" in lines:
        del lines[lines.index("# Design:") :]


def trim_code(app, doctree):
    """Takes away the empty line at the end of examples, which doctest needs in Markdown."""
    for block in doctree.findall(nodes.literal_block):
        if block.rawsource == block.astext():  # otherwise it has marks inside
            block.rawsource = block.astext().rstrip("\n")
            block[:] = [nodes.Text(block.rawsource)]


def write_formula(writer, node):
    """Writes a formula as MathML, which browsers draw without a script from elsewhere."""
    display = "inline" if isinstance(node, nodes.math) else "block"
    writer.body.append(convert(node.astext().replace("'", r"^{\prime}"), display=display))
    raise nodes.SkipNode


def setup(app):
    app.connect("source-read", gallery_pages.show_picture)
    app.connect("doctree-read", links.link_code)
    app.connect("doctree-read", trim_code)
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("autodoc-skip-member", leave_out)
    app.connect("autodoc-process-docstring", leave_out_design, priority=90)
    app.connect("autodoc-process-docstring", escape_shapes, priority=100)
