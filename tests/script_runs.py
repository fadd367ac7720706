"""Plain scripts that start processes of their own, and what is left of these afterwards."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

SCRIPTS = Path(__file__).parent / "beyond"
MARK = "SKLEARN_CONVNET_TEST"


def run_script(name, *arguments, timeout=300, mark=None):
    """Runs a script as a user does, with no word about threads in its environment.

    Returns what it printed last, as JSON, once none of its processes is left.
    """
    mark = mark or uuid.uuid4().hex
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    with tempfile.TemporaryDirectory() as folder:  # not in the source tree, which workers would see
        try:
            result = subprocess.run(
                [sys.executable, str(SCRIPTS / f"{name}.py"), *arguments],
                cwd=folder,
                env={**environment, "PYTHONSAFEPATH": "1", MARK: mark},
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
            left = left_over(mark)
        finally:
            for pid in marked(mark):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert result.returncode == 0, result.stderr
    assert left == {}
    return json.loads(result.stdout.splitlines()[-1])


def left_over(mark, seconds=20):
    """What still runs when the processes of a script have had the time to end."""
    end = time.monotonic() + seconds
    while (found := marked(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    return found


def marked(mark):
    """The command lines of all processes that have the mark in their environment, by number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(folder.name)] = line
        except OSError:  # ended meanwhile, or another user's
            pass
    return found


def check_engine(name):
    """Two worker processes of an engine: the same bits, and a share of the cores for each."""
    found = run_script("searches", name)
    assert found["same"].keys() == {"grid_search", "halving", "bagging", "cross_validation"}
    assert all(found["same"].values())
    assert min(found["arrays"].values()) > 10
    assert found["workers"] == 2
    assert 1 <= found["threads"] <= max(1, found["threads alone"] // 2)
