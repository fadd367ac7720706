"""X on a cluster: collections of dask as arrays of samples, checked, and sent in shards."""

from hashlib import blake2b

import dask
import dask.array as da
import numpy as np
from dask.delayed import Delayed
from sklearn.utils import assert_all_finite

from ..batches import Samples
from ..estimators.checks import check_range
from ..on_demand import OnDemand
from ..ragged import Ragged
from . import tasks


def is_collection(X):
    """True if it is a collection of dask, or a list of delayed objects."""
    return dask.is_dask_collection(X) or _is_list_of_delayed(X)


def _is_list_of_delayed(X):
    return isinstance(X, (list, tuple)) and any(isinstance(part, Delayed) for part in X)


def as_array(X, client, lengths=True):
    """X as a dask array in chunks of whole samples.

    Parameters
    ----------
    X : dask collection, or list of Delayed
        An array or a DataFrame, or readers of an array each.
    client : distributed.Client
        Asks for shapes.
    lengths : bool, default=True
        Whether the number of samples in each chunk must be known.

    Raises
    ------
    TypeError
        If it is another collection.
    """
    if _is_list_of_delayed(X):
        X = _read(X, client)
    elif hasattr(X, "to_dask_array"):
        X = X.to_dask_array(lengths=True if lengths else None)
    if not isinstance(X, da.Array):
        raise TypeError(
            f"X is a {type(X).__name__}: give a dask array, a dask DataFrame, or a list of delayed "
            "arrays"
        )
    if lengths and np.isnan(X.shape).any():
        X = X.compute_chunk_sizes()
    return X.rechunk(dict.fromkeys(range(1, X.ndim), -1))


def _read(readers, client):
    """An array of what delayed readers read, after a look at the shapes."""
    for i, reader in enumerate(readers):
        if not isinstance(reader, Delayed):
            raise TypeError(
                f"X[{i}] is a {type(reader).__name__} among delayed objects: let all be delayed"
            )
    shapes = computed([dask.delayed(_shape)(reader) for reader in readers], client)
    kinds = [(shape[1:], dtype) for shape, dtype in shapes]
    for i, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise ValueError(
                f"X[0] reads samples of shape {kinds[0][0]} and dtype {kinds[0][1]}, X[{i}] of "
                f"{kind[0]} and {kind[1]}: let readers return samples of one shape and dtype"
            )
    parts = [
        da.from_delayed(dask.delayed(np.asarray)(reader), shape, dtype)
        for reader, (shape, dtype) in zip(readers, shapes, strict=True)
    ]
    return da.concatenate(parts)


def _shape(X):
    X = np.asarray(X)
    return X.shape, X.dtype


def computed(collections, client):
    """The results of some collections; however that ends, nothing of it is left on the cluster."""
    futures = client.compute(collections)
    try:
        return client.gather(futures)
    finally:
        for future in futures:
            future.release()


def local(value, client):
    """A value, or what a collection computes."""
    if _is_list_of_delayed(value):
        return np.concatenate(computed(list(value), client))
    return computed([value], client)[0] if dask.is_dask_collection(value) else value


def check_rows(X, dtype, name, client):
    """Raises ValueError for numbers that are not finite, or too large for a dtype, wherever the
    chunks are."""
    chunks = X.to_delayed().ravel()
    for message in computed([dask.delayed(_fault)(c, dtype, name) for c in chunks], client):
        if message is not None:
            raise ValueError(message)


def _fault(X, dtype, name):
    """The message of an error, or None."""
    try:
        assert_all_finite(X, estimator_name=name, input_name="X")
        check_range(X, dtype, "X")
    except ValueError as error:
        return str(error)


def digests(X, client):
    """A hash of each sample, wherever the chunks are."""
    chunks = X.to_delayed().ravel()
    lazy = dask.delayed(_digests)
    found = computed([lazy(chunk) for chunk in chunks], client)
    return f"{X.dtype.str} {X.shape}", b"".join(found)


def _digests(X):
    samples = (np.ascontiguousarray(sample).tobytes() for sample in X)
    return b"".join(blake2b(sample, digest_size=16).digest() for sample in samples)


def sender(cluster, samples, ends):
    """A function that sends a part of samples to a worker, as `Placed` takes it.

    Parameters
    ----------
    cluster : Cluster
    samples : Samples
        Of which X is an array, here or on the cluster.
    ends : list of (int, int)
        Where parts begin and end.
    """

    def send(part, worker):
        some = samples.between(*ends[part])
        rows = some.rows
        if not isinstance(samples.X, da.Array):
            return [cluster.send(_without_rows(some, samples.X[rows]), worker)]
        bare = cluster.send(_without_rows(some, None), worker)
        block = cluster.compute(_block(samples.X, rows), worker)
        future = cluster.submit(tasks.with_rows, block, bare, worker=worker)
        cluster.await_end(future)
        cluster.release(block)
        return [future, bare]

    return send


def _without_rows(samples, X):
    return Samples(X, samples.target, samples.weight, None, samples.pixel_weight, samples.scale)


def _block(X, rows):
    """Rows of a dask array, as one delayed array."""
    is_range = rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all()
    block = X[rows[0] : rows[-1] + 1] if is_range else X[rows]
    return block.rechunk(-1).to_delayed().ravel()[0]


def blockwise(estimator, method, X):
    """The results of a method for all chunks of X, lazily.

    Parameters
    ----------
    estimator : ConvNetClassifier or ConvNetRegressor
        Sent once, however many chunks there are.
    method : str
        The name of a method, which returns an array or a list of arrays.
    X : dask array
        In chunks of whole samples.

    Returns
    -------
    dask array, or list of them
    """
    like = getattr(estimator, method)(np.zeros((1, *X.shape[1:]), X.dtype))
    chunks, lengths = X.to_delayed().ravel(), X.chunks[0]
    sent = dask.delayed(estimator, traverse=False)
    results = [dask.delayed(_predicted)(sent, method, chunk) for chunk in chunks]

    def joined(parts, one):
        shapes = [(n, *one.shape[1:]) for n in lengths]
        pairs = zip(parts, shapes, strict=True)
        return da.concatenate(
            [da.from_delayed(part, shape, one.dtype) for part, shape in pairs],
            allow_unknown_chunksizes=True,
        )

    if not isinstance(like, list):
        return joined(results, like)
    return [joined([part[j] for part in results], one) for j, one in enumerate(like)]


def _predicted(estimator, method, X):
    """The result for a chunk, which may be empty."""
    if len(X) > 0:
        return getattr(estimator, method)(X)
    one = getattr(estimator, method)(np.zeros((1, *X.shape[1:]), X.dtype))
    return [column[:0] for column in one] if isinstance(one, list) else one[:0]


def refuse_others(X):
    """Raises ValueError for samples that differ in size, or are read on demand."""
    if isinstance(X, OnDemand):
        kind = type(X.stored).__name__
        raise ValueError(
            f"X is {kind}, which is read on one machine: give the cluster np.asarray(X), or a dask "
            "array or delayed arrays that its workers read"
        )
    if isinstance(X, Ragged):
        raise ValueError(
            "X holds samples that differ in size, which a fit on a cluster does not take: crop or "
            "pad them, or fit a plain estimator"
        )
