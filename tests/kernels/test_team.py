"""The threads that run parallel loops: when they come, wait and go."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import os
import sys

import pytest

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="counts threads in /proc"
)

#: A product that several threads share, and how many threads the process has.
PRODUCT = """
import os
import numpy as np
from sklearn_convnet.kernels import loader

rng = np.random.default_rng(0)
X, W = (rng.standard_normal(shape, np.float32) for shape in [(1024, 300), (300, 250)])
kernels = loader.kernels(X.dtype)

def product(n_threads):
    Y = np.full((1024, 250), np.nan, np.float32)
    kernels.dense_forward(X, W, None, Y, "identity", 0.0, n_threads)
    return Y

def count():
    return len(os.listdir("/proc/self/task"))

alone = product(1)
before = count() if os.path.exists("/proc/self/task") else None
"""


@linux_only
def test_a_team_ends_with_the_thread_that_made_it(run_python):
    script = """
import threading, time

def loops():
    for n_threads in (3, 2, 5):
        assert np.array_equal(product(n_threads), alone)
    seen.append(count() - before)

seen = []
callers = [threading.Thread(target=loops) for _ in range(2)]
for caller in callers:
    caller.start()
    caller.join()
    while count() > before:  # a thread that was joined may be listed for a moment
        time.sleep(0.001)
print(seen)
"""
    # The thread that calls, and four workers.
    assert run_python(PRODUCT + script).strip() == "[5, 5]"


def test_callers_have_teams_of_their_own(run_python):
    script = """
from concurrent.futures import ThreadPoolExecutor

with ThreadPoolExecutor(4) as pool:
    results = list(pool.map(product, [2, 3, 2, 3] * 50))
print(all(np.array_equal(result, alone) for result in results))
"""
    assert run_python(PRODUCT + script).strip() == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_made_by_fork_makes_its_own(run_python):
    script = """
def works():
    return np.array_equal(product(3), alone)

assert works()
child = os.fork()
if child == 0:
    grandchild = os.fork()
    if grandchild == 0:
        os._exit(0 if works() else 3)
    ended = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
    os._exit(ended if works() else 4)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), works())
"""
    assert run_python(PRODUCT + script, timeout=60).split() == ["0", "True"]


def test_workers_that_sleep_are_woken(run_python):
    script = """
import time

for pause in (0, 0.0005, 0.001, 0.002, 0.02) * 20:
    time.sleep(pause)
    assert np.array_equal(product(3), alone)
print("done")
"""
    assert run_python(PRODUCT + script, timeout=60).strip() == "done"


@linux_only
def test_the_system_gives_no_more_threads(run_python):
    """The caller does the parts of those that are missing."""
    script = """
import resource

with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
_, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (used + 2**27, hard))
print(np.array_equal(product(100), alone), count() - before < 99)
"""
    assert run_python(PRODUCT + script).split() == ["True", "True"]
