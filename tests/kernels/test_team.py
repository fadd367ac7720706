"""The threads that run parallel loops: when they come, wait and go."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import os
import sys

import numpy as np
import pytest

from sklearn_convnet.kernels import loader

HAS_TEAM = getattr(loader.kernels(np.float32), "_has_team", False)
linux_only = pytest.mark.skipif(
    not (HAS_TEAM and sys.platform.startswith("linux")), reason="counts threads in /proc"
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


@linux_only
def test_a_child_made_by_fork_makes_its_own(run_python):
    script = """
def works():
    alone_before = count() == 1
    return np.array_equal(product(3), alone) and alone_before and count() == 3

assert np.array_equal(product(3), alone)
child = os.fork()
if child == 0:
    grandchild = os.fork()
    if grandchild == 0:
        os._exit(0 if works() else 3)
    ended = os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1])
    os._exit(ended if works() else 4)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), np.array_equal(product(3), alone))
"""
    assert run_python(PRODUCT + script, timeout=60).split() == ["0", "True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_made_by_fork_works_with_any_compiler(run_python):
    """Also where scikit-learn has turned off what OpenMP does at a fork."""
    script = """
import signal
import sklearn.cluster

assert np.array_equal(product(2), alone)
child = os.fork()
if child == 0:
    signal.alarm(30)
    grandchild = os.fork()
    works = all(np.array_equal(product(2), alone) for _ in range(20))
    if grandchild:
        works = works and os.waitpid(grandchild, 0)[1] == 0
    os._exit(0 if works else 3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), np.array_equal(product(2), alone))
"""
    assert run_python(PRODUCT + script, timeout=60).split() == ["0", "True"]


@linux_only
def test_there_are_never_more_than_so_many_threads(run_python):
    script = """
assert np.array_equal(product(2**31 - 1), alone)
print(count() - before)
"""
    assert 0 < int(run_python(PRODUCT + script, timeout=60)) < 512


@pytest.mark.skipif(not HAS_TEAM, reason="about GCC's builds")
def test_workers_that_sleep_are_woken(run_python):
    """Who works is seen from the processor's time, of the process less that of the caller."""
    script = """
import time

def of_workers():
    return time.process_time() - time.thread_time()

product(2)
n_helped = 0
while n_helped < 5:
    time.sleep(0.02)
    asleep = of_workers()
    for _ in range(20):
        assert np.array_equal(product(2), alone)
    n_helped += of_workers() - asleep > 0.003
print("done")
"""
    assert run_python(PRODUCT + script, timeout=60).strip() == "done"


def test_workers_that_are_about_to_sleep(run_python):
    script = """
import time

for pause in (0, 0.0005, 0.0009, 0.001, 0.0011, 0.002) * 40:
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
resource.setrlimit(resource.RLIMIT_AS, (used + 2**25, hard))
print(np.array_equal(product(100), alone), count() - before < 99)
"""
    assert run_python(PRODUCT + script).split() == ["True", "True"]
