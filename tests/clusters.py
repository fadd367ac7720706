"""Clusters of dask on this machine, and small fits, for the tests of `sklearn_convnet.dask`."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from contextlib import contextmanager
from time import monotonic, sleep

import distributed
import numpy as np

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Dropout, Standardize


@contextmanager
def cluster_of(n_workers, **options):
    """A client of a cluster on this machine, without fixed ports."""
    options = {"processes": False, "threads_per_worker": 1, "dashboard_address": ":0", **options}
    with (
        distributed.LocalCluster(n_workers=n_workers, **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def network():
    """A little of everything."""
    return [Standardize(), Conv2D(4, 3), BatchNorm(), Dropout(0.2), Dense(5)]


def small(kind=ConvNetClassifier, layers=None, **params):
    layers = network() if layers is None else layers
    same = {"n_shards": 3, "batch_size": 20, "max_iter": 2, "random_state": 0}
    return kind(layers, **{**same, **params})


def weights(estimator):
    return np.concatenate([a.ravel() for a in estimator.get_weights().values()])


def assert_same_fit(a, b):
    """The same bits in weights, statistics and curves."""
    np.testing.assert_array_equal(weights(a), weights(b))
    assert a.history_ == b.history_


def assert_nothing_is_left(client):
    """No future of the client, and no task on the scheduler."""
    until = monotonic() + 10
    while client.futures or tasks_of(client):
        assert monotonic() < until, (list(client.futures), tasks_of(client))
        sleep(0.02)


def tasks_of(client):
    return client.run_on_scheduler(
        lambda dask_scheduler: [str(key) for key in dask_scheduler.tasks]
    )
