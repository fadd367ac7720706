"""Same seed, same bits: whatever the threads, the batch, and the way the model came."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import copy
import importlib
import os
import pickle
import pickletools
from types import SimpleNamespace

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor, threads
from sklearn_convnet.layers import (
    Activation,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAvgPool,
    MaxPool2D,
    Sequential,
    Standardize,
)
from sklearn_convnet.losses import Huber
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.passes import PASSES
from sklearn_convnet.optimizers import SGD, Adam
from sklearn_convnet.threads import effective_n_threads


def layers():
    """A little of everything, dropout included."""
    return [
        Standardize(),
        Conv2D(8, 3, padding="same", activation="elu"),
        MaxPool2D(3, stride=2, padding="same"),
        Dropout(0.3),
        Sequential([Conv2D(12, 3, groups=2, activation="gelu"), AvgPool2D(2, stride=1)]),
        Dense(20, activation="tanh"),
        Dropout(0.5),
    ]


def model(**params):
    return ConvNetClassifier(
        layers(),
        **{"optimizer": Adam(0.01), "batch_size": 64, "random_state": 3, **params},
    )


def weights(estimator):
    return np.concatenate([a.ravel() for a in estimator.get_weights().values()])


# ---------------------------------------------------------------------------
# Threads
# ---------------------------------------------------------------------------


def test_threads_beyond_all_cores(digits):
    X, y = digits
    most = 4 * os.cpu_count()
    for n_threads in (most, most + 1, 100_000, 10**30):
        assert effective_n_threads(n_threads) == most
    assert effective_n_threads(2) == 2
    many, one = (model(n_threads=n, max_iter=1).fit(X, y) for n in (100_000, 1))
    np.testing.assert_array_equal(weights(many), weights(one))


@pytest.mark.parametrize(
    ("openmp", "environment", "count"),
    [
        (64, None, 4),  # a quota of 4 cores on a machine of 64
        (64, "64", 64),
        (64, "64,2", 64),
        (64, "1", 4),  # set after OpenMP had read it
        (2, "64", 2),  # less was asked for since then
    ],
)
def test_threads_that_openmp_has_heard_of(monkeypatch, openmp, environment, count):
    monkeypatch.setattr(threads, "_cpu", SimpleNamespace(max_threads=lambda: openmp))
    monkeypatch.setattr(threads, "_cores", lambda: 4)
    monkeypatch.setattr(threads, "_most_threads", lambda: 256)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if environment is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", environment)
    assert effective_n_threads() == count
    assert effective_n_threads(-2) == count - 1


@pytest.mark.oldest
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_number_of_threads(digits, dtype):
    X, y = digits
    fits = [model(n_threads=n, dtype=dtype, max_iter=3).fit(X, y) for n in (1, 2, 3, -1)]
    for other in fits[1:]:
        np.testing.assert_array_equal(weights(other), weights(fits[0]))
        np.testing.assert_array_equal(other.predict_proba(X), fits[0].predict_proba(X))
        assert other.loss_curve_ == fits[0].loss_curve_


def test_number_of_threads_of_a_larger_network():
    """Large enough that several threads do share the work."""
    rng = np.random.RandomState(0)
    X, Y = rng.normal(size=(48, 32, 32, 3)).astype(np.float32), rng.normal(size=(48, 2))
    reg = ConvNetRegressor(
        [Conv2D(24, 5), MaxPool2D(2), Conv2D(40, 3), GlobalAvgPool(), Dense(30)],
        loss=Huber(),
        optimizer=SGD(0.01, momentum=0.9, weight_decay=1e-3),
        max_iter=2,
        batch_size=24,
        random_state=0,
    )
    fits = [copy.deepcopy(reg).set_params(n_threads=n).fit(X, Y) for n in (1, 2, 3)]
    for other in fits[1:]:
        np.testing.assert_array_equal(weights(other), weights(fits[0]))
        np.testing.assert_array_equal(other.predict(X), fits[0].predict(X))


@pytest.mark.oldest
def test_threads_of_the_environment(run_python):
    script = """
        import hashlib
        from sklearn.datasets import load_digits
        from sklearn_convnet import ConvNetClassifier
        from sklearn_convnet.layers import Conv2D, Dense, Dropout, MaxPool2D
        from sklearn_convnet.threads import effective_n_threads

        X, y = load_digits(return_X_y=True)
        X = X.reshape(-1, 8, 8)[:400]
        clf = ConvNetClassifier(
            [Conv2D(32, 3, padding="same"), MaxPool2D(2), Dropout(), Dense(64)],
            max_iter=2, random_state=0,
        ).fit(X, y[:400])
        digest = hashlib.sha256(clf.predict_proba(X).tobytes())
        for path, array in clf.get_weights().items():
            digest.update(array.tobytes())
        print(effective_n_threads(), digest.hexdigest())
    """
    blas = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    found = [
        run_python(script, OMP_NUM_THREADS=openmp, **dict.fromkeys(blas, n_blas)).split()
        for openmp, n_blas in [("1", "2"), ("2", "1"), ("3", "3")]
    ]
    assert [threads for threads, _ in found] == ["1", "2", "3"]
    assert len({digest for _, digest in found}) == 1


# ---------------------------------------------------------------------------
# Batches
# ---------------------------------------------------------------------------


@pytest.mark.oldest
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_prediction_does_not_depend_on_its_batch(digits, dtype):
    X, y = digits
    clf = model(max_iter=2, dtype=dtype).fit(X, y)
    whole = clf.predict_proba(X)
    alone = np.concatenate([clf.predict_proba(X[i : i + 1]) for i in range(60)])
    np.testing.assert_array_equal(alone, whole[:60])
    for size in (2, 3, 5, 17):
        np.testing.assert_array_equal(clf.predict_proba(X[7 : 7 + size]), whole[7:][:size])
    order = np.random.RandomState(0).permutation(300)
    np.testing.assert_array_equal(clf.predict_proba(X[order]), whole[order])


def test_a_prediction_does_not_depend_on_the_chunks(digits, monkeypatch):
    X, y = digits
    clf = model(max_iter=1).fit(X, y)
    whole = clf.predict_proba(X)
    for rows in (1, 7, 299):
        monkeypatch.setattr("sklearn_convnet.training.PREDICT_ROWS", rows)
        np.testing.assert_array_equal(clf.predict_proba(X), whole)


# ---------------------------------------------------------------------------
# Seeds
# ---------------------------------------------------------------------------


def test_the_seed_decides(digits):
    X, y = digits
    a, b, c = (weights(model(max_iter=2, random_state=s).fit(X, y)) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)
    again = model(max_iter=2, random_state=1)
    np.testing.assert_array_equal(weights(again.fit(X, y)), weights(again.fit(X, y)))


def test_a_generator_is_drawn_from_once_a_fit(digits):
    X, y = digits
    clf = model(max_iter=1, random_state=np.random.RandomState(5))
    first, second = weights(clf.fit(X, y)), weights(clf.fit(X, y))
    assert not np.array_equal(first, second)
    other = model(max_iter=1, random_state=np.random.RandomState(5))
    np.testing.assert_array_equal(weights(other.fit(X, y)), first)
    # What the user does with the generator later is of no concern to the model.
    other.random_state.uniform(size=10)
    mine, theirs = copy.deepcopy(other), other.partial_fit(X, y)
    np.testing.assert_array_equal(weights(mine.partial_fit(X, y)), weights(theirs))


def test_without_a_seed_numpys_own_decides(digits):
    X, y = digits
    state = np.random.get_state()  # noqa: NPY002
    try:
        fits = []
        for seed in (0, 0, 1):
            np.random.seed(seed)  # noqa: NPY002
            fits.append(weights(model(max_iter=1, random_state=None).fit(X, y)))
    finally:
        np.random.set_state(state)  # noqa: NPY002
    np.testing.assert_array_equal(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2])


def test_dropout_makes_a_difference(digits):
    X, y = digits
    clf = model(max_iter=1)
    with_it = weights(clf.fit(X, y))
    clf.set_params(dropout1="passthrough", dropout2="passthrough")
    assert not np.array_equal(weights(clf.fit(X, y)), with_it)


# ---------------------------------------------------------------------------
# Copies
# ---------------------------------------------------------------------------


def pickled(estimator):
    return pickle.loads(pickle.dumps(estimator))


@pytest.mark.oldest
@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
@pytest.mark.parametrize("optimizer", [Adam(0.01), SGD(0.01, momentum=0.9), "adam"])
def test_a_copy_goes_on_exactly(digits, copied, optimizer):
    X, y = digits
    clf = model(optimizer=optimizer)
    clf.partial_fit(X, y, classes=range(10)).partial_fit(X[:150], y[:150])
    before = weights(clf)
    other = copied(clf)
    for part in (slice(0, 100), slice(100, 300), slice(None)):
        clf.partial_fit(X[part], y[part])
        other.partial_fit(X[part], y[part])
        other = copied(other)
    np.testing.assert_array_equal(weights(other), weights(clf))
    assert not np.array_equal(weights(clf), before)
    assert other.loss_curve_ == clf.loss_curve_
    assert (other.t_, other.n_iter_) == (clf.t_, clf.n_iter_) == (1050, 1)
    assert len(clf.loss_curve_) == 5


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
def test_a_copy_is_independent(digits, copied):
    X, y = digits
    clf = model(max_iter=1, warm_start=True).fit(X, y)
    other = copied(clf)
    before = weights(clf)
    other.partial_fit(X, y).fit(X, y)
    np.testing.assert_array_equal(weights(clf), before)
    assert not np.array_equal(weights(other), before)


def test_a_shallow_copy_is_not_trained_along(digits):
    """As callbacks and searches make them: fits put new networks in place."""
    X, y = digits
    clf = model(max_iter=1, warm_start=True).fit(X, y)
    kept, before = copy.copy(clf), weights(clf)
    clf.partial_fit(X, y)
    clf.fit(X, y)
    np.testing.assert_array_equal(weights(kept), before)


def test_a_pickle_loads_with_other_kernels(digits, run_python, tmp_path):
    X, y = digits
    clf = model(max_iter=1).fit(X, y)
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(clf))
    X = X[:40]  # few: the reference is slow
    np.save(tmp_path / "X.npy", X)
    script = f"""
        import pickle
        import numpy as np
        from sklearn_convnet.kernels import loader
        folder = {str(tmp_path)!r}
        clf = pickle.load(open(folder + "/model.pickle", "rb"))
        np.save(folder + "/P.npy", clf.predict_proba(np.load(folder + "/X.npy")))
        print(clf.network_.kernels.__name__.rsplit(".")[-1])
    """
    for variant in ("reference", "baseline"):
        name = run_python(script, SKLEARN_CONVNET_KERNELS=variant).strip()
        assert name in (variant, f"_{variant}_float64")
        P = np.load(tmp_path / "P.npy")
        np.testing.assert_allclose(P, clf.predict_proba(X), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("momentum", "n_vectors"), [(0.0, 1), (0.9, 2)])
def test_a_pickle_holds_the_weights_once(momentum, n_vectors):
    X = np.zeros((4, 40))
    optimizer = SGD(momentum=momentum)  # with momentum, it keeps the velocity
    clf = ConvNetClassifier([Dense(500), Dense(500)], optimizer=optimizer, max_iter=1)
    clf.fit(X, [0, 1, 0, 1])
    n_bytes = clf.network_.params.nbytes
    assert n_vectors * n_bytes < len(pickle.dumps(clf)) < (n_vectors + 0.05) * n_bytes


def named_in(pickled):
    """`(module, name)` of everything that a pickle asks for when it is loaded."""
    texts, named = [], set()
    memo = {}
    for code, value, _ in pickletools.genops(pickled):
        if code.name == "MEMOIZE":
            memo[len(memo)] = texts[-1]
        elif code.name in ("BINGET", "LONG_BINGET"):
            texts.append(memo[value])
        elif code.name == "STACK_GLOBAL":
            named.add(tuple(texts[-2:]))
            texts.append(None)
        elif code.name == "GLOBAL":
            named.add(tuple(value.split(" ")))
            texts.append(None)
        else:
            texts.append(value)
    return named


@pytest.mark.parametrize("trimmed", [False, True])
def test_a_pickle_names_classes_alone(digits, trimmed):
    """No function of ours: one that is renamed would break every old model."""
    X, y = digits
    layers = [Standardize(), Conv2D(4, 3, padding="same"), BatchNorm(), Dropout(0.1), Dense(9)]
    clf = ConvNetClassifier(layers, max_iter=1, early_stopping=True).fit(X, y)
    reg = ConvNetRegressor(max_iter=1, warm_start=True).fit(X, y)
    for estimator in (clf, reg):
        if trimmed:
            estimator.trim()
        named = named_in(pickle.dumps(estimator))
        assert ("sklearn_convnet.network.network", "Network") in named
        for module, name in named:
            if module.startswith("sklearn_convnet"):
                assert isinstance(getattr(importlib.import_module(module), name), type)
                assert not name.startswith("_")


@pytest.mark.parametrize("optimizer", ["adam", SGD(0.01, momentum=0.9)])
def test_trim(digits, optimizer):
    X, y = digits
    clf = model(optimizer=optimizer, max_iter=2).set_params(layers=[Dense(300)]).fit(X, y)
    expected, before, n_bytes = clf.predict_proba(X), weights(clf), clf.network_.params.nbytes
    kept = copy.deepcopy(clf)
    assert clf.trim() is clf
    assert len(pickle.dumps(clf)) < 1.1 * n_bytes < 1.9 * n_bytes < len(pickle.dumps(kept))
    np.testing.assert_array_equal(clf.predict_proba(X), expected)
    np.testing.assert_array_equal(weights(clf), before)
    # It goes on as any optimiser begins: as in a network that begins with these weights.
    fresh = copy.deepcopy(kept)
    fresh._training_state = None
    np.testing.assert_array_equal(weights(clf.partial_fit(X, y)), weights(fresh.partial_fit(X, y)))
    assert not np.array_equal(weights(clf), weights(kept.partial_fit(X, y)))


def test_a_trimmed_network_trains_on(digits):
    """Neither its nodes nor its tapes write to gradients that are gone."""
    X, _ = digits
    network = compile_network([Conv2D(4, 3), Dense(3)], (8, 8), random_state=0)
    gradients = []
    for i in range(8):
        Y = network.forward(X[:20], training=True)
        network.backward(np.ones_like(Y), need_input=False)
        gradients.append(network.grads.copy())
        if i % 4 == 3:
            network.trim()
            assert network.grads is None
    for other in gradients[1:]:
        np.testing.assert_array_equal(other, gradients[0])


def test_other_passes_are_in_a_pickle_by_name(digits):
    X, _ = digits

    def mine(nodes, training):
        return nodes

    layers = [Conv2D(4, 3, activation=None), Activation("relu"), Dense(3)]
    for passes in ((), PASSES[:2], PASSES[2:4]):
        network = compile_network(layers, (8, 8), random_state=0, passes=passes)
        data = pickle.dumps(network)
        assert not {name for _, name in named_in(data)} & {one.__name__ for one in PASSES}
        other = pickle.loads(data)
        assert [type(n) for n in other.fused()] == [type(n) for n in network.fused()]
        np.testing.assert_array_equal(other.forward(X), network.forward(X))
        assert pickle.dumps(other) == data
    own = compile_network(layers, (8, 8), random_state=0, passes=(PASSES[2], mine))
    assert len(copy.copy(own).fused()) == 2  # of those that are no part of ours, the function
