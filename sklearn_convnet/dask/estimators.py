"""Estimators that are fitted on a cluster."""

from contextlib import contextmanager, nullcontext
from copy import copy, deepcopy
from dataclasses import replace
from functools import partial
from numbers import Integral

import dask
import dask.array as da
from distributed import Client, default_client
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from ..constraints import StrOptions
from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..kernels import loader
from ..messages import about, warn_caller
from .cluster import Cluster
from .rows import (
    as_array,
    blockwise,
    check_rows,
    digests,
    is_collection,
    local,
    refuse_others,
)
from .trainer import DaskTrainer


class _OnCluster:
    """Adds to a plain estimator what both of these add."""

    _own_constraints = {
        "client": "no_validation",
        "n_shards": [Interval(Integral, 2, None, closed="left")],
        "sync_every": [Interval(Integral, 1, None, closed="left")],
        "transport": [StrOptions({"float16"}), None],
    }

    _changes_no_bit: tuple[str, ...] = (*ConvNetClassifier._changes_no_bit, "client")

    #: The plain estimator.
    _plain: type | None = None

    @property
    def client_(self):
        """The client: that of the parameter, or the one that was made last."""
        if isinstance(self.client, Client):
            if self.client.status == "closed":
                raise ValueError("client is closed: give one that is connected to a cluster")
            return self.client
        if self.client is not None:
            raise TypeError(f"client must be a distributed.Client or None, got {self.client!r}")
        try:
            return default_client()
        except ValueError:
            raise ValueError(
                f"{type(self).__name__} needs a cluster: make a dask.distributed.Client before, or "
                "give one as client="
            ) from None

    # --- fit ---------------------------------------------------------------------------

    def _fit(self, given, given_val):
        with self._on_cluster():
            self._warn_of_workers()
            return super()._fit(self._gathered(given), self._gathered(given_val, "_val"))

    def _partial_fit(self, given, classes=None):
        with self._on_cluster():
            self._warn_of_workers()
            return super()._partial_fit(self._gathered(given), classes)

    @contextmanager
    def _on_cluster(self):
        """Inside, trainers are on the cluster; at the end nothing of ours is left there."""
        self._validate()
        if self.transport is not None and self.sync_every > 1:
            raise ValueError(
                f"transport={self.transport!r} is for gradients, but with sync_every="
                f"{self.sync_every} weights are sent: leave one of them out"
            )
        client = self.client_
        if client.asynchronous:
            raise ValueError("client is asynchronous: fit needs one that waits")
        with Cluster(client) as cluster, loader.using(cluster.variant):
            self._cluster = cluster
            try:
                yield
            finally:
                vars(self).pop("_cluster", None)
        self.kernels_ = cluster.variant
        if cluster.variant != loader.default_variant():
            self.network_ = deepcopy(self.network_)  # which takes the kernels of this machine

    def _warn_of_workers(self):
        """Warns where workers have nothing to do."""
        n_workers = len(self._cluster.workers())
        if n_workers > self.n_shards:
            warn_caller(
                f"n_shards={self.n_shards} gives {n_workers - self.n_shards} of {n_workers} "
                "workers nothing to do: set it to their number or more",
                UserWarning,
            )

    def _gathered(self, given, suffix=""):
        """The arguments of `fit`, with X as an array, here or on the cluster, and the rest here."""
        if not is_collection(given.X):
            given = given.parted(suffix)
        self._refuse_features(given.features)
        client = self._cluster.client
        rest = (local(value, client) for value in (given.y, given.weight, given.boxes))
        X = given.X
        if is_collection(X):
            with about(f"X{suffix}") if suffix else nullcontext():
                like = getattr(X, "_meta", None)
                X = as_array(X, client)
                if hasattr(like, "columns"):
                    self._cluster.frames[X.name] = like
        y, weight, boxes = rest
        return replace(given, X=X, y=y, weight=weight, boxes=boxes)

    def _refuse_features(self, features):
        if features is not None:
            raise ValueError(
                f"{type(self).__name__} sees X alone: {self._plain.__name__} takes features"
            )

    def _check_X(self, X, reset, renewed=frozenset(), sizes="one"):
        if not isinstance(X, da.Array):
            X = super()._check_X(X, reset, renewed, sizes)
            if hasattr(self, "_cluster"):
                refuse_others(X)
            return X
        if not hasattr(self, "_cluster"):
            raise TypeError(
                "X is a dask array, which only fits, scores and predictions of classes, "
                "probabilities, values and boxes take: to_local() gives an estimator for the rest, "
                "and X.compute() an array"
            )
        client = self._cluster.client
        one = X[:1].compute(scheduler=client)  # which tells how all come in
        like = self._cluster.frames.get(X.name)
        if like is not None:
            one = type(like)(one, columns=like.columns)
        super()._check_X(one, reset, renewed)
        if X.dtype.kind not in "biuf":
            raise ValueError(f"X must hold real numbers, got dtype {X.dtype}: cast it, with astype")
        dtype = self._work_dtype(X) if reset else self.network_.dtype
        check_rows(X, dtype, type(self).__name__, client)
        return self._inputs.view(X, type(self).__name__)

    def _trainer_class(self):
        cluster = getattr(self, "_cluster", None)
        if cluster is None:
            return super()._trainer_class()
        own = cluster, self.n_threads, self.sync_every, self.transport
        return partial(DaskTrainer, *own, self.n_shards)

    def _contents(self, value):
        if is_collection(value):
            return digests(as_array(value, self._cluster.client), self._cluster.client)
        return super()._contents(value)

    # --- after it ----------------------------------------------------------------------

    def to_local(self):
        """The plain estimator, with the same parameters and a copy of all that was fitted.

        Returns
        -------
        ConvNetClassifier or ConvNetRegressor
        """
        return deepcopy(self._as_plain())

    def _as_plain(self):
        """The plain estimator over the very same network."""
        names = self._plain._get_param_names()
        plain = self._plain(**{name: getattr(self, name) for name in names})
        own = {*self._get_param_names(), "kernels_"}
        vars(plain).update((k, v) for k, v in vars(self).items() if k not in own)
        return plain

    def _of_blocks(self, X, features, method):
        """The result of a method of the plain estimator, lazily where X is a collection."""
        check_is_fitted(self)
        self._refuse_features(features)
        plain = self._as_plain()
        if not is_collection(X):
            return getattr(plain, method)(X)
        names = getattr(X, "_meta", None)
        _check_feature_names(plain, X if names is None else names, reset=False)
        vars(plain).pop("feature_names_in_", None)
        plain._training_state = plain._average = None  # a prediction needs neither
        client = None if dask.is_dask_collection(X) else self.client_
        return blockwise(plain, method, as_array(X, client, lengths=False))

    def predict(self, X, features=None):
        """As the plain estimator's `predict`, chunk by chunk and lazily where X is of dask.

        Parameters
        ----------
        X : array-like, dask array or DataFrame, or list of Delayed
            Samples.
        features : None
            Not taken here.

        Returns
        -------
        ndarray or dask array
            One of dask for X of dask.
        """
        return self._of_blocks(X, features, "predict")

    def score(self, X, y, sample_weight=None, features=None):
        """As the plain estimator's `score`, of predictions that are made on the cluster.

        Parameters
        ----------
        X : array-like, dask array or DataFrame, or list of Delayed
            Samples.
        y : array-like or dask collection
            True labels or values.
        sample_weight : array-like or dask collection, default=None
            Weights.
        features : None
            Not taken here.

        Returns
        -------
        float
        """
        client = self.client_ if any(map(is_collection, (X, y, sample_weight))) else None
        if client is not None:
            y, sample_weight = (local(value, client) for value in (y, sample_weight))
        predicted = self.predict(X, features)
        if isinstance(predicted, da.Array):
            predicted = predicted.compute(scheduler=client)
        return self._target.score(y, predicted, self._score_weight(sample_weight, predicted))

    def __sklearn_clone__(self):
        bare = copy(self)  # a client cannot be copied
        twin = super(_OnCluster, bare).__sklearn_clone__()
        twin.client = self.client
        return twin

    def __getstate__(self):
        state = dict(super().__getstate__())
        state.pop("_cluster", None)
        return {**state, "client": None}


class DaskConvNetClassifier(_OnCluster, ConvNetClassifier):
    """A `ConvNetClassifier` whose `fit` runs on a cluster of dask.

    The weights have the bits of a `ConvNetClassifier` with the same `n_shards`, whichever workers
    there are, come or go meanwhile. X may be a dask array or DataFrame, in chunks of any number of
    samples, a list of delayed readers that return an array each, or an array, which is sent to the
    workers once. y and weights come to the client.

    Parameters
    ----------
    layers : list or tuple, default=None
        See `ConvNetClassifier`.
    client : distributed.Client, default=None
        Of the cluster; None is the client that was made last. Clones share it, a pickle has none.
    sync_every : int, default=1
        So many steps a shard makes by itself, before weights, statistics and the state of the
        optimiser are averaged over the shards, weighted by their samples. 1 adds the gradients in
        each step, as plain estimators do; more are for slow networks, and another algorithm,
        local SGD.
    transport : "float16" or None, default=None
        How gradients travel: None is as they are; "float16" halves what is sent for networks in
        float32. What is lost of a gradient is added to the next one of the shard, within an epoch.
    n_shards : int, default=2
        Into how many parts each batch, and X, is cut: each is with one worker, so there may be as
        many workers as shards. Bits depend on it; see `ConvNetClassifier`.
    n_threads : int, default=None
        Number of threads of a task; None is the threads of its worker, divided by the shards on it.
    input_shape, data_format, input_kind, loss, optimizer, average_weights, batch_size, \
max_iter, augmentation, multi_crop, test_time_augmentation, output, init_from, \
early_stopping, validation_fraction, n_iter_no_change, tol, shuffle, warm_start, \
dtype, random_state, verbose, class_weight, box_weight, missing_box, box_units, \
box_corners, target, ignore_label
        See `ConvNetClassifier`.

    Attributes
    ----------
    kernels_ : str
        The variant of the kernels of the fit, the best that all workers and the client have.
        A plain estimator has the same bits with ``SKLEARN_CONVNET_KERNELS`` set to it.
    classes_, n_features_in_, feature_names_in_, input_shape_, layers_, network_, \
n_layers_, n_outputs_, out_activation_, n_iter_, t_, loss_, loss_curve_, best_loss_, \
validation_scores_, best_validation_score_, history_
        See `ConvNetClassifier`.

    See Also
    --------
    sklearn_convnet.ConvNetClassifier : The same on one machine.

    Notes
    -----
    Batch norms see the part of a batch that a shard has. `fit` needs samples of one size. Ctrl-C
    ends it with the weights after the last epoch.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.dask import DaskConvNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X[:400].reshape(-1, 8, 8).astype("float32")
    >>> client = Client(n_workers=2, processes=False, dashboard_address=":0")
    >>> net = DaskConvNetClassifier(n_shards=2, max_iter=3, random_state=0)
    >>> net = net.fit(da.from_array(X, chunks=(150, 8, 8)), y[:400])
    >>> plain = ConvNetClassifier(n_shards=2, max_iter=3, random_state=0).fit(X, y[:400])
    >>> bool((net.to_local().predict_proba(X) == plain.predict_proba(X)).all())
    True
    >>> client.shutdown()
    """

    _parameter_constraints = {
        **ConvNetClassifier._parameter_constraints,
        **_OnCluster._own_constraints,
    }
    _plain = ConvNetClassifier

    def __init__(
        self,
        layers=None,
        *,
        client=None,
        sync_every=1,
        transport=None,
        input_shape=None,
        data_format="channels_last",
        input_kind="auto",
        loss="auto",
        optimizer="adam",
        average_weights=None,
        batch_size="auto",
        n_shards=2,
        max_iter=200,
        augmentation=None,
        multi_crop=None,
        test_time_augmentation=None,
        output="auto",
        init_from=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        shuffle=True,
        warm_start=False,
        dtype="auto",
        n_threads=None,
        random_state=None,
        verbose=False,
        class_weight=None,
        box_weight=None,
        missing_box=None,
        box_units="share",
        box_corners="outline",
        target="auto",
        ignore_label=None,
    ):
        super().__init__(
            layers,
            input_shape=input_shape,
            data_format=data_format,
            input_kind=input_kind,
            loss=loss,
            optimizer=optimizer,
            average_weights=average_weights,
            batch_size=batch_size,
            n_shards=n_shards,
            max_iter=max_iter,
            augmentation=augmentation,
            multi_crop=multi_crop,
            test_time_augmentation=test_time_augmentation,
            output=output,
            init_from=init_from,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            shuffle=shuffle,
            warm_start=warm_start,
            dtype=dtype,
            n_threads=n_threads,
            random_state=random_state,
            verbose=verbose,
            class_weight=class_weight,
            box_weight=box_weight,
            missing_box=missing_box,
            box_units=box_units,
            box_corners=box_corners,
            target=target,
            ignore_label=ignore_label,
        )
        self.client = client
        self.sync_every = sync_every
        self.transport = transport

    def predict_proba(self, X, features=None):
        """As `ConvNetClassifier.predict_proba`, chunk by chunk and lazily where X is of dask.

        Parameters
        ----------
        X : array-like, dask array or DataFrame, or list of Delayed
            Samples.
        features : None
            Not taken here.

        Returns
        -------
        ndarray or dask array, or list of them
        """
        return self._of_blocks(X, features, "predict_proba")

    def predict_log_proba(self, X, features=None):
        """As `ConvNetClassifier.predict_log_proba`, chunk by chunk and lazily where X is of dask.

        Parameters
        ----------
        X : array-like, dask array or DataFrame, or list of Delayed
            Samples.
        features : None
            Not taken here.

        Returns
        -------
        ndarray or dask array, or list of them
        """
        return self._of_blocks(X, features, "predict_log_proba")

    def predict_box(self, X, features=None):
        """As `ConvNetClassifier.predict_box`, chunk by chunk and lazily where X is of dask.

        Parameters
        ----------
        X : array-like, dask array or DataFrame, or list of Delayed
            Samples.
        features : None
            Not taken here.

        Returns
        -------
        ndarray or dask array
        """
        return self._of_blocks(X, features, "predict_box")


class DaskConvNetRegressor(_OnCluster, ConvNetRegressor):
    """A `ConvNetRegressor` whose `fit` runs on a cluster of dask.

    The weights have the bits of a `ConvNetRegressor` with the same `n_shards`, whichever workers
    there are, come or go meanwhile. X may be a dask array or DataFrame, in chunks of any number of
    samples, a list of delayed readers that return an array each, or an array, which is sent to the
    workers once. y and weights come to the client.

    Parameters
    ----------
    layers : list or tuple, default=None
        See `ConvNetRegressor`.
    client : distributed.Client, default=None
        Of the cluster; None is the client that was made last. Clones share it, a pickle has none.
    sync_every : int, default=1
        So many steps a shard makes by itself, before weights, statistics and the state of the
        optimiser are averaged over the shards, weighted by their samples. 1 adds the gradients in
        each step, as plain estimators do; more are for slow networks, and another algorithm,
        local SGD.
    transport : "float16" or None, default=None
        How gradients travel: None is as they are; "float16" halves what is sent for networks in
        float32. What is lost of a gradient is added to the next one of the shard, within an epoch.
    n_shards : int, default=2
        Into how many parts each batch, and X, is cut: each is with one worker, so there may be as
        many workers as shards. Bits depend on it; see `ConvNetRegressor`.
    n_threads : int, default=None
        Number of threads of a task; None is the threads of its worker, divided by the shards on it.
    input_shape, data_format, input_kind, loss, optimizer, average_weights, batch_size, \
max_iter, augmentation, multi_crop, test_time_augmentation, output, init_from, \
early_stopping, validation_fraction, n_iter_no_change, tol, shuffle, warm_start, \
dtype, random_state, verbose, target, point_units, normalize_y, flip_pairs
        See `ConvNetRegressor`.

    Attributes
    ----------
    kernels_ : str
        The variant of the kernels of the fit, the best that all workers and the client have.
        A plain estimator has the same bits with ``SKLEARN_CONVNET_KERNELS`` set to it.
    n_features_in_, feature_names_in_, input_shape_, layers_, network_, n_layers_, \
n_outputs_, out_activation_, n_iter_, t_, loss_, loss_curve_, best_loss_, \
validation_scores_, best_validation_score_, history_
        See `ConvNetRegressor`.

    See Also
    --------
    sklearn_convnet.ConvNetRegressor : The same on one machine.

    Notes
    -----
    Batch norms see the part of a batch that a shard has. `fit` needs samples of one size. Ctrl-C
    ends it with the weights after the last epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from dask.distributed import Client
    >>> from sklearn_convnet.dask import DaskConvNetRegressor
    >>> from sklearn_convnet.layers import Conv1D, GlobalAvgPool
    >>> signals = np.random.RandomState(0).normal(size=(200, 20))
    >>> steps = np.abs(np.diff(signals)).mean(axis=1)
    >>> client = Client(n_workers=1, processes=False, dashboard_address=":0")
    >>> net = DaskConvNetRegressor([Conv1D(8, 2), GlobalAvgPool()], max_iter=2, random_state=0)
    >>> net.fit(signals, steps).predict(signals).shape
    (200,)
    >>> client.shutdown()
    """

    _parameter_constraints = {
        **ConvNetRegressor._parameter_constraints,
        **_OnCluster._own_constraints,
    }
    _plain = ConvNetRegressor

    def __init__(
        self,
        layers=None,
        *,
        client=None,
        sync_every=1,
        transport=None,
        input_shape=None,
        data_format="channels_last",
        input_kind="auto",
        loss="auto",
        optimizer="adam",
        average_weights=None,
        batch_size="auto",
        n_shards=2,
        max_iter=200,
        augmentation=None,
        multi_crop=None,
        test_time_augmentation=None,
        output="auto",
        init_from=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        shuffle=True,
        warm_start=False,
        dtype="auto",
        n_threads=None,
        random_state=None,
        verbose=False,
        target="values",
        point_units="share",
        normalize_y=True,
        flip_pairs=None,
    ):
        super().__init__(
            layers,
            input_shape=input_shape,
            data_format=data_format,
            input_kind=input_kind,
            loss=loss,
            optimizer=optimizer,
            average_weights=average_weights,
            batch_size=batch_size,
            n_shards=n_shards,
            max_iter=max_iter,
            augmentation=augmentation,
            multi_crop=multi_crop,
            test_time_augmentation=test_time_augmentation,
            output=output,
            init_from=init_from,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            shuffle=shuffle,
            warm_start=warm_start,
            dtype=dtype,
            n_threads=n_threads,
            random_state=random_state,
            verbose=verbose,
            target=target,
            point_units=point_units,
            normalize_y=normalize_y,
            flip_pairs=flip_pairs,
        )
        self.client = client
        self.sync_every = sync_every
        self.transport = transport
