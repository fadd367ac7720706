"""Runs the notebook, and opens its page in Chromium: all pictures must be there.

Screenshots, as wide as a screen and as a telephone, are left beside the page.
"""

import argparse
from pathlib import Path

import nbformat
from browser import COUNT, Browser, pictures
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ExecutePreprocessor

NOTEBOOK = Path(__file__).parent / "examples" / "inspection.ipynb"


def make_page(folder):
    """The page of the notebook after it was run."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    ExecutePreprocessor(timeout=300).preprocess(notebook, resources)
    page, _ = HTMLExporter().from_notebook_node(notebook)
    path = folder / "inspection.html"
    path.write_text(page.replace("</head>", f"{COUNT}</head>", 1))
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("build/notebook"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    browser, page = Browser(), make_page(folder)
    document, errors = browser.open(page.resolve().as_uri(), "--dump-dom")
    there, expected = pictures(document)
    browser.shots(page.resolve().as_uri(), folder / "inspection", height=9000)
    print(f"{page}: {there} of {expected} pictures; look at {folder}/*.png")
    if errors or not there == expected > 15:
        raise SystemExit(errors[0] if errors else "pictures are missing")


if __name__ == "__main__":
    main()
