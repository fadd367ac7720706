"""The gallery: which examples are run as the site is made, and what the pages of others show."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re
import tempfile
from pathlib import Path

# The gallery looks names up that scripts import, one of them from here.
from sklearn.experimental import enable_halving_search_cv  # noqa: F401

#: Examples that take a minute at most, on one thread with AVX-512, and need nothing beyond what the
#: tests need; all together take three minutes. Their pages show what they print and draw. Those of
#: the others have a picture that `--figure` has drawn before.
RUN = (
    *("boxes_from_labels", "continuing_search", "digits_in_c", "dropout_draws"),
    *("mixing", "own_layers", "segmentation", "turned_digits"),
)
PATTERN = rf"/({'|'.join(RUN)})\.py$"
PICTURES = Path(__file__).parent / "figures" / "examples"
KEPT = """
.. image:: /figures/examples/{name}.png
   :class: example-picture

.. note::

   This example was not run for this page: it takes minutes, or needs more than this package. The
   picture is from an earlier run.
"""


def arguments(gallery_conf, script_vars):
    """What an example is called with: it draws its picture, which the gallery finds open."""
    return ["--figure", str(Path(tempfile.gettempdir(), "sklearn_convnet_example.png"))]


def show_picture(app, docname, source):
    """Puts the picture of an example that is not run below the title of its page."""
    folder, _, name = docname.partition("/")
    if folder == "gallery" and name not in RUN and (PICTURES / f"{name}.png").exists():
        title, rule, rest = re.split("(\n=+\n)", source[0], maxsplit=1)
        source[0] = title + rule + KEPT.format(name=name) + rest
