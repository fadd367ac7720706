"""
One network on several processes
================================

A dask cluster on this machine: each worker process has a shard of the digits and computes the
gradient of its part of each batch. Dask moves weights and gradients. A plain estimator with as many
shards is trained beside it, and ends with the same weights, to the last bit. On the way, a worker
is killed, which changes nothing but the time.

The same script runs on many machines if the address of their scheduler takes the place of the
`LocalCluster` (``pip install 'sklearn_convnet[dask]'``).
"""

# sphinx_gallery_thumbnail_path = 'figures/cluster.svg'

import argparse
import os
import threading
import time
import warnings

import dask.array as da
import numpy as np
from dask.distributed import Client, LocalCluster
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.dask import DaskConvNetClassifier
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, Dropout, MaxPool2D, Standardize


def load():
    """Digits (n, 8, 8) to train with and to test with, and their labels."""
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8).astype(np.float32)
    return train_test_split(X, y, stratify=y, random_state=0)


def params(n_shards, epochs, seed):
    """What both estimators are given."""
    layers = [Standardize(), Conv2D(16, 3), BatchNorm(), MaxPool2D(2), Dropout(0.2), Dense(64)]
    same = {"n_shards": n_shards, "batch_size": 128, "max_iter": epochs, "random_state": seed}
    return {"layers": layers, "n_iter_no_change": epochs, **same}


def kill_one(client, seconds):
    """Ends a worker process after some seconds; its nanny starts another."""
    worker = min(client.nthreads())

    def kill():
        time.sleep(seconds)
        client.run(os._exit, 1, workers=[worker], nanny=False, on_error="ignore")

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def main(arguments=None):
    """Returns seconds and accuracy of both fits, and whether their weights are the same."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--workers", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--kill-after", type=float, default=5, help="seconds; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="two epochs, to see that it runs")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    X, X_test, y, y_test = load()
    epochs = 2 if options.quick else options.epochs
    same = params(options.workers, epochs, options.seed)
    cluster = LocalCluster(
        n_workers=options.workers, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1"
    )
    fits = {}
    print("| fit | seconds | accuracy |\n|---|---|---|")
    with cluster, Client(cluster) as client:
        chunks = da.from_array(X, chunks=(200, 8, 8))
        killing = kill_one(client, 0.5 if options.quick else options.kill_after)
        for name, model, given in (
            ("plain", ConvNetClassifier(**same), X),
            (f"{options.workers} workers", DaskConvNetClassifier(**same), chunks),
        ):
            start = time.perf_counter()
            model.fit(given, y)
            fits[name] = time.perf_counter() - start, model.score(X_test, y_test), model
            print(f"| {name} | {fits[name][0]:.1f} | {fits[name][1]:.3f} |")
        killing.join()
    weights = [model.get_weights() for *_, model in fits.values()]
    alike = all(np.array_equal(array, weights[1][path]) for path, array in weights[0].items())
    print(f"\nthe same weights, to the last bit: {alike}")
    return {name: fit[:2] for name, fit in fits.items()}, alike


if __name__ == "__main__":
    main()
