"""dask-ml's tools over blocks of a dask array, in two worker processes, and in this one.

    python dask_ml_tools.py

prints what was the same to the last bit.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import contextlib
import json
import tempfile
import warnings

import dask.array as da
import numpy as np
from dask_ml.model_selection import HyperbandSearchCV
from dask_ml.wrappers import Incremental, ParallelPostFit
from distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Dropout, MaxPool2D, Rescale

ROWS = 100  # in a block
CLASSES = np.arange(10)


def network():
    return ConvNetClassifier(
        [
            Rescale(1 / 16),
            ("conv", Conv2D(6, 3)),
            BatchNorm(),
            MaxPool2D(2),
            Dropout(0.2),
            Dense(16),
        ],
        input_shape=(8, 8),  # dask-ml wants flat X
        batch_size=32,
        max_iter=3,
        random_state=0,
    )


def digits():
    """Flat images and labels, as arrays and in blocks."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:600].astype(np.float32), y[:600]
    return X, y, da.from_array(X, chunks=(ROWS, X.shape[1])), da.from_array(y, chunks=ROWS)


@contextlib.contextmanager
def workers(n, processes):
    options = dict(n_workers=n, processes=processes, threads_per_worker=1, dashboard_address=":0")
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(**options, local_directory=folder) as cluster,
        Client(cluster),
    ):
        yield


def incremental():
    """One pass over the blocks, in their order."""
    X, y, X_blocks, y_blocks = digits()
    wrapped = Incremental(network(), shuffle_blocks=False)
    wrapped.fit(X_blocks, y_blocks, classes=CLASSES)
    clf = network()
    for start in range(0, len(X), ROWS):
        rows = slice(start, start + ROWS)
        clf.partial_fit(X[rows], y[rows], classes=CLASSES)
    return np.array_equal(wrapped.estimator_.predict_proba(X), clf.predict_proba(X))


def parallel_post_fit():
    """Predictions, block by block."""
    X, y, X_blocks, _ = digits()
    clf = network().fit(X, y)
    wrapped = ParallelPostFit(clf)
    return all(
        np.array_equal(getattr(wrapped, method)(X_blocks).compute(), getattr(clf, method)(X))
        for method in ("predict", "predict_proba")
    )


def images_by_map_blocks():
    """Predictions of images, which are not flat, without dask-ml."""
    X, y, _, _ = digits()
    images = X.reshape(-1, 8, 8)
    clf = network().set_params(input_shape=None).fit(images, y)
    blocks = da.from_array(images, chunks=(ROWS, 8, 8))
    labels = blocks.map_blocks(clf.predict, drop_axis=(1, 2), dtype=y.dtype)
    return np.array_equal(labels.compute(), clf.predict(images))


def hyperband():
    """The scores of all candidates, and the weights of the best."""
    X, _, X_blocks, y_blocks = digits()
    grid = {"conv__filters": [2, 4, 8], "optimizer__learning_rate": [1e-4, 1e-3, 1e-2]}
    clf = network().set_params(optimizer="adam")
    search = HyperbandSearchCV(clf, grid, max_iter=9, random_state=0)
    search.fit(X_blocks, y_blocks, classes=CLASSES)
    scores = search.cv_results_["test_score"].tolist()
    return scores, search.best_params_, search.best_estimator_.predict_proba(X).tolist()


def main():
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    cases = (incremental, parallel_post_fit, images_by_map_blocks)
    with workers(2, processes=True):
        same = {case.__name__: case() for case in cases}
        together = hyperband()
    with workers(1, processes=False):
        alone = hyperband()
    same["hyperband"] = together == alone
    print(json.dumps({"same": same, "candidates": len(alone[0]), "best": max(alone[0])}))


if __name__ == "__main__":
    main()
