"""Opens pages of the site in Chromium: pictures are there, nothing fails, the search finds things.

Every public name must have its page in the reference.

Screenshots, as wide as a screen and as a telephone, are left in a folder.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import argparse
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread

from browser import COUNT, Browser, pictures

import sklearn_convnet

PAGES = (
    "index",
    "user_guide",
    "displays",
    "course",
    "api/sklearn_convnet.ConvNetClassifier",
    "gallery/index",
    "gallery/digit_scenes",
)
#: What is searched for, and a page that must be found.
SEARCHES = {"grad-cam": "inspection.html", "Conv2D": "sklearn_convnet.layers.Conv2D.html"}


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and logs nothing."""

    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    """The address of a folder, served to this machine alone: a search reads more than a page."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def check_page(browser, site, address, name, folder):
    """Words for what is wrong with a page, or None."""
    page = site / f"{name}.html"
    counted = page.with_suffix(".counted.html")
    counted.write_text(page.read_text().replace("</head>", f"{COUNT}</head>", 1))
    try:
        document, errors = browser.open(f"{address}/{name}.counted.html", "--dump-dom")
    finally:
        counted.unlink()
    browser.shots(f"{address}/{name}.html", folder / name.replace("/", "-"))
    there, expected = pictures(document)
    if there != expected:
        return f"{name}: {expected - there} of {expected} pictures are missing"
    return f"{name}: {errors[0]}" if errors else None


def check_reference(site):
    """Words for each public class and function without a page, and each module without one."""
    for path in sorted((site / "api").glob("*.html")):
        module = path.stem.removeprefix("sklearn_convnet.")
        if "." in module or module in sklearn_convnet.__all__:
            continue
        content = import_module(path.stem)
        for name in content.__all__:
            page = path.with_name(f"{path.stem}.{name}.html")
            if callable(getattr(content, name)) and not page.exists():
                yield f"{module}.{name} has no page"


def check_search(browser, address, words, expected):
    """Words for what is wrong with a search, or None."""
    document, errors = browser.open(f"{address}/search.html?q={words}", "--dump-dom")
    if errors:
        return f"search for {words!r}: {errors[0]}"
    return None if expected in document else f"search for {words!r}: {expected} is not found"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=Path("build/site"))
    parser.add_argument("--folder", type=Path, default=Path("build/screenshots"))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    browser, site = Browser(), options.site
    with served(site) as address:
        problems = [check_page(browser, site, address, name, options.folder) for name in PAGES]
        problems += [check_search(browser, address, *search) for search in SEARCHES.items()]
    problems = [*check_reference(site), *filter(None, problems)]
    if problems:
        raise SystemExit("\n".join(problems))
    print(f"{len(PAGES)} pages and {len(SEARCHES)} searches: look at {options.folder}/*.png")


if __name__ == "__main__":
    main()
