"""One network on many machines: estimators whose `fit` runs on a cluster of dask.

::

    client                                      workers

    estimators.py   fit, predict, to_local
    rows.py         X of any kind  ──────────>  a shard each, once
    trainer.py      epochs: graphs of tasks ─>  tasks.py   weights out, gradients back
    cluster.py      who has what                           a step of the optimiser

Dask transports, schedules, and computes again what was lost. What shards compute, and the order in
which it is put together, are those of `sklearn_convnet.shards`: so the bits are those of the plain
estimators with the same `n_shards`.
"""

from .classifier import DaskConvNetClassifier
from .regressor import DaskConvNetRegressor

__all__ = ["DaskConvNetClassifier", "DaskConvNetRegressor"]
