"""Runs the notebook, and opens its page in Chromium: all pictures must be there.

Screenshots, as wide as a screen and as a telephone, are left beside the page.
"""

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor

NOTEBOOK = Path(__file__).parent / "examples" / "inspection.ipynb"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"screen": 1200, "telephone": 420}
#: Counts pictures in the browser, once all are loaded.
COUNT = """<script>addEventListener("load", () => {
  const all = [...document.images];
  document.title = `${all.filter(one => one.naturalWidth).length} of ${all.length} pictures`;
});</script>"""


def make_page(folder):
    """The page of the notebook after it was run."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    ExecutePreprocessor(timeout=300).preprocess(notebook, resources)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    path = folder / "inspection.html"
    path.write_text(page.replace("</head>", f"{COUNT}</head>", 1))
    return path


def in_browser(browser, page, *options):
    """What headless Chromium prints of a page."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [*options, page.resolve().as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/notebook"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"none of {', '.join(BROWSERS)} is installed")
    page = make_page(folder)
    title = re.search("<title>(.*?)</title>", in_browser(browser, page, "--dump-dom")).group(1)
    n_there, n_pictures = map(int, re.findall(r"\d+", title))
    for name, width in WIDTHS.items():
        size, shot = f"--window-size={width},9000", (folder / f"{name}.png").resolve()
        in_browser(browser, page, size, f"--screenshot={shot}")
    print(f"{page}: {title}; look at {folder}/*.png")
    if not n_there == n_pictures > 15:
        raise SystemExit("pictures are missing")


if __name__ == "__main__":
    main()
