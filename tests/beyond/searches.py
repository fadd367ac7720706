"""Searches, ensembles and cross-validation in two worker processes, and in this one.

    python searches.py {loky,dask,ray}

prints what was the same to the last bit, and what the workers say of themselves.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import contextlib
import json
import os
import secrets
import sys
import tempfile
import time
import warnings

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Dropout, MaxPool2D
from sklearn_convnet.threads import effective_n_threads

N_WORKERS = 2


def network():
    return ConvNetClassifier(
        [("conv", Conv2D(6, 3)), BatchNorm(), MaxPool2D(2), Dropout(0.2), ("dense", Dense(16))],
        input_shape=(8, 8),
        batch_size=32,
        max_iter=3,
        random_state=0,
    )


def weights(estimator):
    return list(estimator.get_weights().values())


def searched(search, X, y):
    """All scores, and the weights of the best."""
    search.fit(X, y)
    scores = [v for k, v in search.cv_results_.items() if "_test_score" in k]
    return [*scores, *weights(search.best_estimator_[-1])]


def grid_search(pipe, X, y):
    grid = {
        "convnetclassifier__conv__filters": [2, 8],
        "convnetclassifier__dense": [Dense(20), "passthrough"],
    }
    return searched(GridSearchCV(pipe, grid, cv=2), X, y)


def halving(pipe, X, y):
    grid = {"convnetclassifier__conv__filters": [2, 4, 6, 8]}
    search = HalvingGridSearchCV(
        pipe,
        grid,
        resource="convnetclassifier__max_iter",
        min_resources=1,
        max_resources=4,
        factor=2,
        cv=2,
    )
    return searched(search, X, y)


def bagging(pipe, X, y):
    bag = BaggingClassifier(pipe[-1], n_estimators=4, random_state=0).fit(X, y)
    members = [w for member in bag.estimators_ for w in weights(member)]
    return [bag.predict_proba(X), *members]


def cross_validation(pipe, X, y):
    found = cross_validate(pipe, X, y, cv=3, return_estimator=True)
    members = [w for member in found["estimator"] for w in weights(member[-1])]
    return [found["test_score"], *members]


CASES = (grid_search, halving, bagging, cross_validation)


def results():
    """All numbers of each case, in the processes that joblib is set to use."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:300].astype(np.float32), y[:300]
    pipe = make_pipeline(StandardScaler(), network())
    return {case.__name__: case(clone(pipe), X, y) for case in CASES}


def worker():
    """Process and threads of whoever runs this; slow enough for all workers to get one."""
    time.sleep(0.5)
    return os.getpid(), effective_n_threads()


def same(some, others):
    return len(some) == len(others) and all(map(np.array_equal, some, others))


# ---------------------------------------------------------------------------
# Engines
# ---------------------------------------------------------------------------


@contextlib.contextmanager
def loky():
    yield {"n_jobs": N_WORKERS}


@contextlib.contextmanager
def dask():
    from distributed import Client, LocalCluster

    options = dict(n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=":0")
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(**options, local_directory=folder) as cluster,
        Client(cluster),
    ):
        yield {}


@contextlib.contextmanager
def ray():
    import ray
    from ray.util.joblib import register_ray

    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # rather than one in the home folder
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    register_ray()
    with tempfile.TemporaryDirectory() as folder:
        ray.init(
            num_cpus=N_WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
        yield {"n_jobs": N_WORKERS}
        ray.shutdown()


def main(name):
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    alone = results()
    threads_alone = effective_n_threads()
    with {"loky": loky, "dask": dask, "ray": ray}[name]() as options:
        with joblib.parallel_config(name, **options):
            told = joblib.Parallel()(joblib.delayed(worker)() for _ in range(2 * N_WORKERS))
            together = results()
    print(
        json.dumps(
            {
                "same": {case: same(alone[case], together[case]) for case in alone},
                "arrays": {case: len(alone[case]) for case in alone},
                "workers": len({pid for pid, _ in told} - {os.getpid()}),
                "threads": max(threads for _, threads in told),
                "threads alone": threads_alone,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1])
