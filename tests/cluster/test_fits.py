"""Fits on a cluster have the bits of fits on one machine."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import Compose, MixUp, RandomAffine
from sklearn_convnet.callbacks import Checkpoint
from sklearn_convnet.kernels import loader
from sklearn_convnet.layers import Conv2D, Dense, Standardize
from sklearn_convnet.optimizers import SGD
from sklearn_convnet.preprocessing import ImageFiles

da = pytest.importorskip("dask.array")
delayed = pytest.importorskip("dask").delayed
pytest.importorskip("distributed")

from clusters import (  # noqa: E402
    assert_nothing_is_left,
    assert_same_fit,
    cluster_of,
    network,
    small,
    weights,
)

from sklearn_convnet.dask import (  # noqa: E402
    DaskConvNetClassifier,
    DaskConvNetRegressor,
    tasks,
    trainer,
)
from sklearn_convnet.dask.cluster import Cluster, _common_variant, placement  # noqa: E402

KINDS = {ConvNetClassifier: DaskConvNetClassifier, ConvNetRegressor: DaskConvNetRegressor}


def chunked(X, chunks=(30, 1, 39)):
    """A dask array in chunks of these numbers of samples, cut along other axes too."""
    return da.from_array(X, chunks=(chunks, *[max(1, n // 2) for n in X.shape[1:]]))


@pytest.mark.parametrize("n_workers", [1, 3])
def test_the_number_of_workers_changes_no_bit(images, n_workers):
    X, y = images
    plain = small().fit(X, y)
    with cluster_of(n_workers) as client:
        fitted = small(DaskConvNetClassifier, client=client).fit(chunked(X), y)
        assert_same_fit(fitted, plain)
        if n_workers == 3:
            with pytest.warns(UserWarning, match="n_shards=2 gives 1 of 3 workers") as seen:
                fitted.set_params(n_shards=2).fit(X, y)
            assert seen[0].filename == __file__
        assert_nothing_is_left(client)


PARAMS = {
    "plain": {},
    "shards of two": dict(n_shards=2, shuffle=False, n_threads=-1),
    "augmentation": dict(
        augmentation=Compose([RandomAffine(rotation=(-9, 9)), MixUp()]), average_weights=0.9
    ),
    "held out": dict(early_stopping=True, class_weight={0: 2.0}, n_iter_no_change=1),
    "momentum": dict(optimizer=SGD(0.05, momentum=0.9), n_threads=2, dtype="float64"),
}


@pytest.mark.parametrize("params", PARAMS.values(), ids=PARAMS.keys())
def test_parameters(client, images, params):
    X, y = images
    weight = 0.5 + np.arange(70) % 4 * (np.arange(70) > 4)
    beside = {"sample_weight": weight}
    if "early_stopping" not in params:
        beside.update(X_val=X[:25], y_val=y[:25], sample_weight_val=weight[:25])
    plain = small(**params).fit(X, y, **beside)
    for given in (X, chunked(X)):
        fitted = small(DaskConvNetClassifier, **params).fit(given, y, **beside)
        assert_same_fit(fitted, plain)
    assert_nothing_is_left(client)


def targets(kind):
    """A plain estimator, y, and what else `fit` is given."""
    rng = np.random.RandomState(1)
    if kind == "boxes":
        boxes = rng.uniform(0.2, 0.8, (70, 4))
        return small(), np.arange(70) % 3, {"boxes": boxes}
    if kind == "columns":
        return small(), np.stack([np.arange(70) % 2, np.arange(70) % 3], axis=1), {}
    if kind == "values":
        return small(ConvNetRegressor), rng.normal(size=(70, 2)), {}
    layers = [Conv2D(3, 3, padding="same")]
    maps = rng.randint(2, size=(70, 7, 6))
    weight = rng.uniform(0.5, 1, size=maps.shape)
    return small(layers=layers, target="maps"), maps, {"sample_weight": weight}


@pytest.mark.parametrize("kind", ["boxes", "columns", "values", "maps"])
def test_kinds_of_y(client, images, kind):
    X = images[0]
    plain, y, beside = targets(kind)
    fitted = KINDS[type(plain)](**plain.get_params(deep=False))
    plain.fit(X, y, **beside)
    on_cluster = {name: da.from_array(value, chunks=20) for name, value in beside.items()}
    fitted.fit(chunked(X), da.from_array(y, chunks=33), **on_cluster)
    assert_same_fit(fitted, plain)
    for method in ("predict", "predict_proba", "predict_box"):
        if hasattr(plain, method) and (method != "predict_box" or kind == "boxes"):
            lazy, expected = getattr(fitted, method)(chunked(X)), getattr(plain, method)(X)
            if not isinstance(expected, list):
                lazy, expected = [lazy], [expected]
            pairs = zip(lazy, expected, strict=True)
            for one, other in pairs:
                assert isinstance(one, da.Array)
                assert (one.shape, one.dtype) == (other.shape, other.dtype)
                assert_array_equal(one.compute(), other)
    assert_allclose(fitted.score(chunked(X), da.from_array(y)), plain.score(X, y), rtol=1e-12)


# ---------------------------------------------------------------------------
# Where X comes from
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("chunks", [(70,), (1, 69), (23, 24, 23), (7,) * 10], ids=len)
def test_chunks(client, images, chunks):
    """One chunk less than workers, as many as shards, unequal ones; of some classes only."""
    X, y = images
    order = np.argsort(y, kind="stable")
    X, y = X[order], y[order]
    plain = small().fit(X, y)
    assert_same_fit(small(DaskConvNetClassifier).fit(chunked(X, chunks), y), plain)


def test_channels_first_and_bytes(client, images):
    X, y = images
    X = (np.moveaxis(X, -1, 1) * 20 + 100).clip(0, 255).astype(np.uint8)
    params = dict(data_format="channels_first")
    plain = small(**params).fit(X, y)
    fitted = small(DaskConvNetClassifier, **params)
    assert_same_fit(fitted.fit(chunked(X), y), plain)
    assert_same_fit(fitted.fit(X, y), plain)
    assert_array_equal(fitted.predict(chunked(X)), plain.predict(X))


def test_readers(client, images):
    X, y = images
    files = [delayed(np.array)(X[start : start + 20]) for start in range(0, 70, 20)]
    plain = small().fit(X, y, X_val=X, y_val=y)
    fitted = small(DaskConvNetClassifier).fit(files, y, X_val=files, y_val=y)
    assert_same_fit(fitted, plain)
    assert_array_equal(fitted.predict(files), plain.predict(X))


def test_frames(client, images):
    dd = pytest.importorskip("dask.dataframe")
    X, y = images
    frame = pd.DataFrame(X.reshape(70, -1).astype(np.float64)).add_prefix("pixel")
    params = dict(input_shape=(7, 6, 2), dtype="float32")
    plain = small(**params).fit(frame, y)
    fitted = small(DaskConvNetClassifier, **params)
    fitted.fit(dd.from_pandas(frame, npartitions=4), dd.from_pandas(pd.Series(y), npartitions=3))
    assert_same_fit(fitted, plain)
    assert_array_equal(fitted.feature_names_in_, frame.columns)
    some = dd.from_pandas(frame, npartitions=2)
    assert_array_equal(fitted.predict(some).compute(), plain.predict(frame))
    assert fitted.score(some, y) == plain.score(frame, y)
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(some.rename(columns={"pixel0": "other"}))
    mixed = dd.from_pandas(frame.assign(pixel0="a"), npartitions=2)
    with pytest.raises(ValueError, match=r"(could not convert|must hold real numbers)"):
        fitted.fit(mixed, y)
    objects = da.from_array(frame.to_numpy(dtype=object), chunks=(35, -1))
    with pytest.raises(ValueError, match="must hold real numbers, got dtype object: cast it"):
        small(DaskConvNetClassifier, **params).fit(objects, y)
    unknown = some.to_dask_array()
    assert np.isnan(unknown.shape[0])
    with pytest.warns(UserWarning, match="valid feature names"):
        assert_array_equal(fitted.predict(unknown).compute(), plain.predict(frame))


def spoiled(X, value):
    X = X.copy()
    X[40, 3, 3, 1] = value
    return X


@pytest.mark.parametrize(
    "spoil",
    [
        partial(spoiled, value=np.nan),
        partial(spoiled, value=np.inf),
        lambda X: spoiled(X.astype(np.float64), 1e300),
        lambda X: X[:, :2],
        lambda X: X[..., 0, 0, 0],
        lambda X: X.astype(complex),
        lambda X: X[:60],
        lambda X: X[:0],
    ],
    ids=["nan", "inf", "large", "small", "no axes", "complex", "fewer", "none"],
)
def test_bad_data_have_the_messages_of_one_machine(client, images, spoil):
    X, y = images
    X = spoil(X)
    with pytest.raises(ValueError) as expected:
        small(dtype="float32").fit(X, y)
    fitted = small(DaskConvNetClassifier, dtype="float32")
    chunks = (len(X) // 2, len(X) - len(X) // 2)
    with pytest.raises(ValueError) as seen:
        fitted.fit(da.from_array(X, chunks=(chunks, *X.shape[1:])), y)
    assert str(seen.value).splitlines()[0] == str(expected.value).splitlines()[0].replace(
        "ConvNet", "DaskConvNet"
    )
    assert not hasattr(fitted, "network_")
    assert_nothing_is_left(client)


def test_what_is_refused(client, images):
    X, y = images
    fitted = small(DaskConvNetClassifier)
    ragged = [X[0], X[1, :6], *X[2:]]
    with pytest.raises(ValueError, match="differ in size, which a fit on a cluster does not take"):
        fitted.fit(ragged, y)
    with pytest.raises(ValueError, match=r"X\[1\] of \(6, 6, 2\)"):
        fitted.fit([delayed(X[:30]), delayed(X[30:, 1:])], y)
    with pytest.raises(ValueError, match="X is ImageFiles, which is read on one machine"):
        fitted.fit(ImageFiles(["no.png"] * len(X), X.shape[1:3]), y)
    with pytest.raises(TypeError, match="X is a Bag"):
        fitted.fit(pytest.importorskip("dask.bag").from_sequence([1, 2]), y)
    with pytest.raises(ValueError, match="weights are sent"):
        small(DaskConvNetClassifier, transport="float16", sync_every=2).fit(X, y)
    for params in (dict(n_shards=1), dict(sync_every=0), dict(transport="float8")):
        with pytest.raises(ValueError, match=f"'{next(iter(params))}' parameter"):
            small(DaskConvNetClassifier, **params).fit(X, y)
    with pytest.raises(TypeError, match=r"client must be a distributed.Client or None, got 'tcp"):
        small(DaskConvNetClassifier, client="tcp://there:1").fit(X, y)
    with pytest.raises(TypeError, match=r"X\[1\] is a ndarray among delayed objects"):
        fitted.fit([delayed(X[:30]), X[30:]], y)
    with pytest.raises(TypeError, match=r"X is a dask array, .* to_local\(\) gives an estimator"):
        fitted.fit(X, y).predict_draws(chunked(X), 2)
    assert_nothing_is_left(client)


def test_features_are_refused(client, images):
    X, y = images
    sees_X_alone = "DaskConvNetClassifier sees X alone: ConvNetClassifier takes features"
    model, T = small(DaskConvNetClassifier), np.zeros((len(X), 2))
    table = pd.DataFrame({"image": list(X), "number": T[:, 0]})
    for given, beside in ((X, {"features": T}), (chunked(X), {"features": T}), (table, {})):
        with pytest.raises(ValueError, match=sees_X_alone):
            model.fit(given, y, **beside)
        with pytest.raises(ValueError, match=sees_X_alone):
            model.partial_fit(given, y, classes=[0, 1, 2], **beside)
    model.fit(X, y)
    for method in (model.predict, model.predict_proba, model.predict_log_proba):
        with pytest.raises(ValueError, match=sees_X_alone):
            method(chunked(X), features=T)
    with pytest.raises(ValueError, match=sees_X_alone):
        model.score(X, y, features=T)


def test_a_closed_client(images):
    with cluster_of(1) as gone:
        pass
    with pytest.raises(ValueError, match="client is closed"):
        small(DaskConvNetClassifier, client=gone).fit(*images)


def test_without_a_client(images, monkeypatch):
    monkeypatch.setattr("sklearn_convnet.dask.estimators.default_client", no_client)
    with pytest.raises(ValueError, match=r"needs a cluster: make a dask.distributed.Client"):
        small(DaskConvNetClassifier).fit(*images)


def no_client():
    raise ValueError("No clients found")


# ---------------------------------------------------------------------------
# Other algorithms
# ---------------------------------------------------------------------------


def test_steps_of_their_own(client, images):
    """Two shards of the same samples, without draws: as each by itself."""
    X, y = images
    layers = [Conv2D(3, 3), Dense(4)]
    params = dict(shuffle=False, batch_size=20, max_iter=3, average_weights=0.9)
    twice = np.concatenate([X, X]), np.concatenate([y, y])
    both = small(DaskConvNetClassifier, layers, n_shards=2, sync_every=3, **params).fit(*twice)
    one = small(layers=layers, n_shards=1, **{**params, "batch_size": 10}).fit(X, y)
    assert_allclose(weights(both), weights(one), rtol=1e-5, atol=1e-6)
    for name, curve in one.history_.items():
        assert_allclose(both.history_[name], curve, rtol=1e-6)
    other = small(DaskConvNetClassifier, sync_every=2, average_weights=0.9).fit(X, y)
    again = small(DaskConvNetClassifier, sync_every=2, average_weights=0.9).fit(chunked(X), y)
    assert_same_fit(other, again)
    exact = small(DaskConvNetClassifier, average_weights=0.9).fit(X, y)
    assert not np.array_equal(weights(exact), weights(other))


def test_gradients_in_float16(client, images, monkeypatch):
    X, y = images
    exact = small(DaskConvNetClassifier, optimizer=SGD(0.05)).fit(X, y)
    half = small(DaskConvNetClassifier, optimizer=SGD(0.05), transport="float16").fit(X, y)
    assert_allclose(weights(half), weights(exact), rtol=1e-2, atol=1e-4)
    assert not np.array_equal(weights(half), weights(exact))
    monkeypatch.setattr(trainer, "WINDOW", 1)  # a step at a time
    few = small(DaskConvNetClassifier, optimizer=SGD(0.05), transport="float16").fit(X, y)
    assert_same_fit(few, half)
    assert_same_fit(small(DaskConvNetClassifier, optimizer=SGD(0.05)).fit(X, y), exact)
    assert_nothing_is_left(client)


@pytest.mark.parametrize("size", [1e-36, 1e-30, 1e-8, 1.0, 1e30])
def test_what_float16_loses_is_not_lost(size):
    rng = np.random.RandomState(0)
    gradients = (rng.normal(size=(50, 100)) * size).astype(np.float32)
    residual, sent = np.zeros(100, np.float32), np.zeros(100)
    for gradient in gradients:
        whole = gradient + residual
        half = tasks.Half.of(whole)
        assert half.values.dtype == np.float16
        received = half.gradient(whole.dtype)
        residual = whole - received
        assert np.abs(residual).max() <= 2.0**-11 * np.abs(whole).max()
        sent += received
    exact = gradients.sum(axis=0, dtype=np.float64)
    assert_allclose(sent + residual, exact, rtol=1e-5, atol=1e-4 * size)
    assert_array_equal(tasks.Half.of(np.zeros(3)).gradient(np.dtype("float64")), np.zeros(3))


# ---------------------------------------------------------------------------
# What comes after a fit, and before the next
# ---------------------------------------------------------------------------


def test_the_plain_estimator(client, images):
    X, y = images
    fitted = small(DaskConvNetClassifier, n_threads=1).fit(X, y)
    local = fitted.to_local()
    assert type(local) is ConvNetClassifier
    plain = small(n_threads=1).fit(X, y)
    assert local.get_params(deep=False).keys() == plain.get_params(deep=False).keys()
    assert vars(local).keys() == vars(plain).keys()
    local.partial_fit(X, y)
    plain.partial_fit(X, y)
    assert_same_fit(local, plain)
    assert len(fitted.loss_curve_) == 2  # it is another one


def test_predictions_of_chunks_that_are_empty(client, images):
    X, y = images
    fitted = small(DaskConvNetClassifier).fit(X, y)
    counts = np.repeat([0, 1, 2], [30, 1, 39])  # the second chunk of X has one sample
    some = chunked(X)[da.from_array(counts != 1, chunks=((30, 1, 39),))]
    assert_array_equal(fitted.predict(some), fitted.predict(X[counts != 1]))


def test_copies_and_pickles(client, images, monkeypatch):
    X, y = images
    fitted = small(DaskConvNetClassifier, client=client)
    twin = clone(fitted)
    assert twin.client is client
    assert twin.get_params()["n_shards"] == 3
    fitted.fit(X, y)
    loaded = pickle.loads(pickle.dumps(fitted))
    assert loaded.client is None
    assert fitted.client is client
    assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    monkeypatch.setattr("sklearn_convnet.dask.estimators.default_client", no_client)
    assert_array_equal(loaded.predict_log_proba(chunked(X)), fitted.predict_log_proba(X))
    assert loaded.kernels_ == fitted.kernels_


def test_training_goes_on(client, images):
    X, y = images
    models = small(warm_start=True), small(DaskConvNetClassifier, warm_start=True)
    for model, given in zip(models, (X, chunked(X)), strict=True):
        model.fit(given, y).fit(given, y)
        model.set_params(average_weights=0.9).partial_fit(given, y).partial_fit(given, y)
    assert_same_fit(*models)
    assert len(models[1].loss_curve_) == 6


def test_a_fit_that_was_killed_goes_on(client, images, tmp_path):
    pytest.importorskip("sklearn.callback")
    X, y = images
    path, whole = tmp_path / "fit", small(max_iter=4).fit(X, y)
    model = small(DaskConvNetClassifier, max_iter=4).set_callbacks(Checkpoint(path))
    with pytest.MonkeyPatch.context() as patch:
        run, seen = trainer.DaskTrainer._run_steps, []

        def killed(self, *args):
            seen.append(1)
            if len(seen) == 3:
                raise MemoryError("killed")
            return run(self, *args)

        patch.setattr(trainer.DaskTrainer, "_run_steps", killed)
        with pytest.raises(MemoryError):
            model.fit(chunked(X), y)
    assert_nothing_is_left(client)
    seen.clear()
    model = clone(model).set_callbacks(Checkpoint(path))
    model.fit(chunked(X, (35, 35)), y)  # other chunks of the same samples
    assert_same_fit(model, whole)
    with pytest.raises(ValueError, match="another X"):
        clone(model).set_callbacks(Checkpoint(path)).fit(chunked(X + 1), y)


def test_the_least_of_all_variants(client, images):
    X, y = images
    with loader.using("baseline"):
        plain = small().fit(X, y)
        fitted = small(DaskConvNetClassifier).fit(X, y)
    assert fitted.kernels_ == "baseline"
    assert_same_fit(fitted, plain)
    assert small(DaskConvNetClassifier).fit(X, y).kernels_ == loader.default_variant()
    seen = {"a": ("1", ["avx512", "avx2", "baseline"]), "b": ("1", ["avx2", "baseline"])}
    assert _common_variant(seen) == "avx2"
    with pytest.raises(RuntimeError, match="no variant of the kernels in common"):
        _common_variant({**seen, "c": ("1", ["reference"])})
    with pytest.raises(RuntimeError, match=r"different versions of sklearn_convnet, 1, 2: install"):
        _common_variant({**seen, "c": ("2", ["avx2"])})


def test_placement():
    assert placement({}, 5, ["a", "b"]) == {0: "a", 1: "b", 2: "a", 3: "b", 4: "a"}
    before = placement({}, 8, ["a", "b"])
    after = placement(before, 8, ["a", "b", "c", "d"])
    assert sorted(after.values()) == list("aabbccdd")
    assert sum(before[part] != after[part] for part in before) == 4
    back = placement(after, 8, ["a", "c"])
    assert sorted(back.values()) == list("aaaacccc")
    assert all(back[part] == after[part] for part in after if after[part] in "ac")
    assert placement(before, 8, ["a", "b"]) == before
    odd = placement({}, 5, ["a", "b", "c"])
    assert placement(odd, 5, ["a", "b", "c"]) == odd
    assert set(placement(odd, 5, ["d"]).values()) == {"d"}


def test_a_cluster_without_workers(monkeypatch):
    monkeypatch.setattr("sklearn_convnet.dask.cluster.PATIENCE", 0.1)
    with (
        cluster_of(0) as client,
        pytest.raises(RuntimeError, match=r"has had no worker for 0\.1 s"),
    ):
        Cluster(client)


def test_no_import_without_need(run_python):
    printed = run_python(
        """
        import sys
        import sklearn_convnet, sklearn_convnet.callbacks, sklearn_convnet.interchange
        print("dask" in sys.modules, "distributed" in sys.modules)
        """
    )
    assert printed.split() == ["False", "False"]


def test_layers_that_need_all_samples_at_once(client, images, monkeypatch):
    monkeypatch.delattr("sklearn_convnet.network.norm.StandardizeNode.moments")
    with pytest.raises(ValueError, match=r"layer 'standardize1' computes statistics of all"):
        small(DaskConvNetClassifier, [Standardize(), *network()[1:]]).fit(*images)
    assert_nothing_is_left(client)


def test_a_cluster_tells_that_nothing_was_learnt(images):
    X, y = images
    few = {"tol": 9.0, "n_iter_no_change": 2, "max_iter": 9}
    layers = [Conv2D(2, 3), Dense(4)]
    with cluster_of(1) as client:
        fitted = small(DaskConvNetClassifier, layers, client=client, n_shards=2, **few)
        with pytest.warns(ConvergenceWarning, match="the scale of X: layer 'conv2d1'"):
            fitted.fit(chunked(1e-7 * X), y)
        assert_nothing_is_left(client)
