"""The base of both estimators that are fitted on a cluster."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from copy import copy, deepcopy
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any

import dask
import dask.array as da
from distributed import Client, default_client
from numpy.typing import ArrayLike
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


class OnCluster:
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
    def client_(self) -> Client:
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

    def to_local(self) -> ConvNetClassifier | ConvNetRegressor:
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

    def predict(self, X: Any, features: ArrayLike | None = None) -> Any:
        """As the plain estimator's `predict`, chunk by chunk and lazily where X is of dask.

        Parameters
        ----------
        X : array-like, dask array or DataFrame, or list of Delayed
            Samples.
        features : None
            Not supported here.

        Returns
        -------
        ndarray or dask array
            One of dask for X of dask.
        """
        return self._of_blocks(X, features, "predict")

    def score(
        self, X: Any, y: Any, sample_weight: Any = None, features: ArrayLike | None = None
    ) -> float:
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
            Not supported here.

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
        twin = super(OnCluster, bare).__sklearn_clone__()
        twin.client = self.client
        return twin

    def __getstate__(self):
        state = dict(super().__getstate__())
        state.pop("_cluster", None)
        return {**state, "client": None}
