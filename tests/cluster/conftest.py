"""Data and a cluster that the tests of `sklearn_convnet.dask` share."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest


@pytest.fixture(scope="package")
def client():
    """Of a cluster of two workers in this process."""
    pytest.importorskip("distributed")
    from clusters import cluster_of

    with cluster_of(2) as client:
        yield client


@pytest.fixture
def images():
    """70 small images (7, 6, 2) in float32, of three classes."""
    rng = np.random.RandomState(0)
    y = np.arange(70) % 3
    X = rng.normal(size=(70, 7, 6, 2)).astype(np.float32)
    X[..., 0] += y[:, None, None]
    return X, y
