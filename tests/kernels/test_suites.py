"""The benchmarks of the kernels make good calls, in every case of the tables."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import sys
from pathlib import Path

import kernel_cases as cases
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from suites import kernels as suites


@pytest.mark.parametrize("name", cases.GOOD_CALLS)
def test_calls(name):
    suite = getattr(suites, name.replace(", ", "_"))
    for case in suite.params[0]:
        benchmark = suite()
        benchmark.setup(case, 1)
        benchmark.time_call(case, 1)
