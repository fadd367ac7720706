"""Searches and ensembles on ray, which begins processes with each search: `make test-ray`."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pytest
from script_runs import check_engine


@pytest.mark.whole
def test_searches_and_ensembles():
    pytest.importorskip("ray")
    check_engine("ray")
