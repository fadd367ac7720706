"""dask-ml: its searches do not work with newer releases of dask."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pytest
from script_runs import run_script


@pytest.mark.oldest
def test_blocks_of_dask_arrays():
    found = run_script("dask_ml_tools")
    names = {"incremental", "parallel_post_fit", "images_by_map_blocks", "hyperband"}
    assert found["same"] == dict.fromkeys(names, True)
    assert found["candidates"] > 5
    assert found["best"] > 0.3  # of ten classes
