"""Workers that fail, come and go; errors and interruptions."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import os
import tempfile
from contextlib import suppress

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet.augmentation import RandomFlip

da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

from clusters import (  # noqa: E402
    assert_nothing_is_left,
    assert_same_fit,
    cluster_of,
    small,
    weights,
)

from sklearn_convnet.dask import DaskConvNetClassifier  # noqa: E402
from sklearn_convnet.dask.cluster import Cluster  # noqa: E402
from sklearn_convnet.dask.trainer import DaskTrainer  # noqa: E402


@pytest.fixture(scope="module")
def processes():
    """A client of a cluster of three worker processes, of which two are killed."""
    with cluster_of(3, processes=True, host="127.0.0.1") as client:
        yield client


def fatal(folder, at, action):
    """A `RandomFlip` that does something once, in its n-th call, on whichever worker that is."""

    class Fatal(RandomFlip):
        def augment(self, *args, **options):
            tempfile.mkstemp(dir=folder)
            if len(os.listdir(folder)) >= at and not os.path.exists(f"{folder}.done"):
                with suppress(FileExistsError), open(f"{folder}.done", "x"):
                    action()
            return super().augment(*args, **options)

    return Fatal()


@pytest.mark.parametrize("given", ["array", "chunks"])
def test_a_worker_that_is_killed(processes, images, tmp_path, given):
    """In the middle of the second epoch: its rows are gone. A new worker may come."""
    X, y = images
    plain = small(augmentation=RandomFlip(), max_iter=3).fit(X, y)
    kill = fatal(str(tmp_path), 18, lambda: os._exit(1))
    model = small(DaskConvNetClassifier, augmentation=kill, max_iter=3, client=processes)
    model.fit(da.from_array(X, chunks=(20, 7, 6, 2)) if given == "chunks" else X, y)
    assert_same_fit(model, plain)
    assert os.path.exists(f"{tmp_path}.done")
    assert_nothing_is_left(processes)


def after_epoch(monkeypatch, number, action):
    """Has something done at the end of an epoch."""
    end_epoch, seen = DaskTrainer.end_epoch, []

    def end(self, score):
        end_epoch(self, score)
        seen.append(1)
        if len(seen) == number:
            action(self)

    monkeypatch.setattr(DaskTrainer, "end_epoch", end)


def test_workers_come_and_go(images, monkeypatch):
    X, y = images
    params = dict(n_shards=4, max_iter=5)
    plain = small(**params).fit(X, y, X_val=X, y_val=y)
    with cluster_of(2) as client:
        seen = []

        def look(trainer):
            (placed,) = (p for p in trainer.cluster.placed if p.n_parts == 4)
            seen.append(sorted(np.unique(list(placed.where.values()), return_counts=True)[1]))

        def scale(n_workers):
            def action(trainer):
                look(trainer)
                client.cluster.scale(n_workers)
                while len(client.nthreads()) != n_workers:
                    pass

            return action

        after_epoch(monkeypatch, 1, scale(3))
        after_epoch(monkeypatch, 3, scale(1))
        after_epoch(monkeypatch, 5, look)
        model = small(DaskConvNetClassifier, client=client, **params)
        assert_same_fit(model.fit(X, y, X_val=X, y_val=y), plain)
        assert seen == [[2, 2], [1, 1, 2], [4]]
        assert_nothing_is_left(client)


def test_an_error_on_a_worker(processes, images, tmp_path):
    X, y = images
    model = small(DaskConvNetClassifier, client=processes).fit(X, y)
    before = weights(model)

    def fail():
        raise ValueError("layer 'conv': no such thing")

    model.set_params(augmentation=fatal(str(tmp_path), 7, fail))
    with pytest.raises(ValueError, match=r"^layer 'conv': no such thing$"):
        model.fit(X, y)
    np.testing.assert_array_equal(weights(model), before)
    assert_nothing_is_left(processes)
    assert_same_fit(model.set_params(augmentation=None).fit(X, y), small().fit(X, y))


def test_an_interrupted_fit(client, images, monkeypatch):
    X, y = images
    result, seen = Cluster.result, []

    def interrupted(self, future):
        seen.append(1)
        if len(seen) == 4:  # the first are statistics
            raise KeyboardInterrupt
        return result(self, future)

    monkeypatch.setattr(Cluster, "result", interrupted)
    model = small(DaskConvNetClassifier, max_iter=50)
    with pytest.warns(ConvergenceWarning, match="interrupted in epoch 3"):
        model.fit(X, y)
    assert_nothing_is_left(client)
    plain = small(max_iter=2).fit(X, y)
    np.testing.assert_array_equal(weights(model), weights(plain))


def test_training_that_diverges(client, images):
    X, y = images
    X = X * 1e18
    params = dict(layers=[], optimizer__learning_rate=1e30, optimizer="sgd", max_iter=3)
    models = small(), small(DaskConvNetClassifier)
    for model in models:
        with pytest.warns(ConvergenceWarning, match="epoch 1: training stopped"):
            model.set_params(**params).fit(X, y)
    np.testing.assert_array_equal(*map(weights, models))
    assert_nothing_is_left(client)


def test_data_that_are_lost_again_and_again(client, images, monkeypatch):
    def lost(self, *args):
        raise distributed.client.FutureCancelledError("rows", "lost data")

    monkeypatch.setattr(DaskTrainer, "_epoch", lost)
    with pytest.raises(distributed.client.FutureCancelledError):
        small(DaskConvNetClassifier).fit(*images)
    assert_nothing_is_left(client)
