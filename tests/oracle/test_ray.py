"""Searches and ensembles on ray; here, since it is large and takes its time to begin."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pytest
from script_runs import check_engine

pytest.importorskip("ray")


def test_searches_and_ensembles():
    check_engine("ray")
