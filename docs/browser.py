"""Headless Chromium, for the checks of pages: what it prints, logs and shows."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re
import shutil
import subprocess

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTHS = {"screen": 1200, "telephone": 420}
#: Counts pictures in the browser, once all are loaded.
COUNT = """<script>addEventListener("load", () => {
  const all = [...document.images];
  document.title = `${all.filter(one => one.naturalWidth).length} of ${all.length} pictures`;
});</script>"""
#: Virtual milliseconds that scripts of a page have.
PATIENCE = 20_000


class Browser:
    """Headless Chromium.

    Raises
    ------
    SystemExit
        If none is installed.
    """

    def __init__(self):
        self.path = next(filter(None, map(shutil.which, BROWSERS)), None)
        if self.path is None:
            raise SystemExit(f"none of {', '.join(BROWSERS)} is installed")

    def open(self, address, *options):
        """The document of a page after its scripts have run, and what they logged of errors."""
        command = [self.path, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += ["--enable-logging=stderr", f"--virtual-time-budget={PATIENCE}"]
        done = subprocess.run(
            [*command, *options, address], capture_output=True, text=True, timeout=120, check=True
        )
        logged = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        return done.stdout, [line for line in logged if re.search("error|Uncaught", line, re.I)]

    def shots(self, address, path, height=1500):
        """Screenshots as wide as a screen and as a telephone: `path` with the name of each."""
        for name, width in WIDTHS.items():
            shot = path.with_name(f"{path.name}-{name}.png").resolve()
            self.open(address, f"--window-size={width},{height}", f"--screenshot={shot}")


def pictures(document):
    """How many pictures are there, and how many there should be, of a page with `COUNT`."""
    title = re.search("<title>(.*?)</title>", document).group(1)
    return tuple(map(int, re.findall(r"\d+", title)))
