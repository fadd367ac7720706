"""Numbers that are too large, too wide or too small for the dtype, and batches of one sample."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from kernel_cases import assert_same_bits
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import Compose, GaussianNoise, RandomFlip
from sklearn_convnet.batches import batches_of
from sklearn_convnet.estimators.checks import check_range
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, GlobalAvgPool, Rescale, Standardize
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

float32 = np.dtype(np.float32)
TOO_LARGE = r"a value too large for dtype\('float32'\)"


def classifier(**params):
    layers = [("conv1", Conv2D(3, 3)), ("dense1", Dense(5))]
    return ConvNetClassifier(
        **{"layers": layers, "dtype": "float32", "max_iter": 2, "random_state": 0, **params}
    )


def with_one(X, value):
    X = X.astype(np.float64)
    X[-1].flat[-1] = value
    return X


# ---------------------------------------------------------------------------
# Too large
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1e200, -3.5e38, 1.7e308])
def test_samples_that_are_too_large(maps, value):
    X, y = maps
    large, message = with_one(X, value), f"Input X contains infinity or {TOO_LARGE}"
    clf = classifier()
    with pytest.raises(ValueError, match=message):
        clf.fit(large, y)
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(large, y, classes=range(3))
    assert not hasattr(clf, "network_")
    with pytest.raises(ValueError, match=f"X_val: {message}"):
        clf.fit(X, y, X_val=large, y_val=y)
    clf.fit(X, y)
    before = clf.get_weights()
    for call in (
        lambda: clf.partial_fit(large, y),
        lambda: clf.set_params(warm_start=True).fit(large, y),
        lambda: clf.predict(large),
        lambda: clf.predict_proba(large[-1:]),
        lambda: clf.score(large, y),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    for path, array in clf.get_weights().items():
        np.testing.assert_array_equal(array, before[path])
    assert classifier(dtype="auto").fit(X.astype(float), y).predict(large).shape == y.shape


def test_a_regressor_that_sees_what_is_too_large(maps):
    X, y = maps
    reg = ConvNetRegressor([Dense(5)], dtype="float32", max_iter=1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=TOO_LARGE):
        reg.predict(with_one(X, 1e200))
    with pytest.raises(ValueError, match=f"Input y contains infinity or {TOO_LARGE}"):
        reg.fit(X, with_one(y[:, None], 1e39)[:, 0])
    with pytest.raises(ValueError, match=f"y_val: Input y contains infinity or {TOO_LARGE}"):
        reg.fit(X, y, X_val=X, y_val=with_one(y[:, None], 1e39)[:, 0])
    # The work dtype is that of the network, not of what comes later.
    reg = ConvNetRegressor([Dense(5)], max_iter=1, random_state=0).fit(X, y)
    with pytest.raises(ValueError, match=f"Input y contains infinity or {TOO_LARGE}"):
        reg.partial_fit(X.astype(float), with_one(y[:, None], 1e39)[:, 0])
    with pytest.raises(ValueError, match=f"Input y contains infinity or {TOO_LARGE}"):
        ConvNetRegressor([Conv2D(2, 1)], dtype="float32", target="maps").fit(
            X, with_one(X[..., 0], 1e39)
        )


def test_boxes_and_weights_that_are_too_large(maps):
    X, y = maps
    boxes = np.tile([0.1, 0.2, 0.3, 0.4], (len(y), 1))
    boxes[0] = np.nan
    with pytest.raises(ValueError, match=f"Input boxes contains infinity or {TOO_LARGE}"):
        classifier().fit(X, y, boxes=with_one(boxes, 1e39))
    given = classifier().fit(X, y).get_weights()
    given["conv1/weight"] = with_one(given["conv1/weight"], 1e39)
    with pytest.raises(ValueError, match=rf"init_from\['conv1/weight'\] contains.*{TOO_LARGE}"):
        classifier(init_from=given).fit(X, y)


@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 9, 1000), (30_000, 2), (0, 4)])
@pytest.mark.parametrize("layout", ["C", "F", "gaps", "memory map", ">f8", "longdouble"])
def test_the_largest_of_any_array_is_seen(shape, layout, tmp_path):
    largest = float(np.finfo(np.float32).max)
    X = np.random.RandomState(0).uniform(-largest, largest, shape)
    if layout == "F":
        X = np.asfortranarray(X)
    elif layout == "gaps":
        X = np.repeat(X, 2, axis=-1)[..., ::2]
    elif layout == "memory map":
        np.save(tmp_path / "X.npy", X)
        X = np.load(tmp_path / "X.npy", mmap_mode="r+" if X.size else None)
    else:
        X = X.astype(layout if layout != "C" else float)
    check_range(X, float32, "X")
    check_range(X, np.dtype(np.float64), "X")
    for place in {0, X.size // 3, X.size - 1} if X.size else ():
        spoiled = X.copy() if layout != "memory map" else X
        where = np.unravel_index(place, shape)
        old, spoiled[where] = spoiled[where], -1.01 * largest
        with pytest.raises(ValueError, match=TOO_LARGE):
            check_range(spoiled, float32, "X")
        spoiled[where] = old


def test_statistics_that_diverge(maps):
    X, y = maps
    clf = classifier(layers=[("norm1", BatchNorm()), GlobalAvgPool()])
    message = r"(?s)running statistics of layer 'norm1' \(variance\).*epoch 1.*scale X"
    with pytest.warns(ConvergenceWarning, match=message):
        clf.fit(X * np.float32(1e25), y)
    assert all(np.isfinite(array).all() for array in clf.get_weights().values())


# ---------------------------------------------------------------------------
# Too wide
# ---------------------------------------------------------------------------


def counts(n=60):
    """Counts of a counter that has run for long, which tell two classes apart by a hundred."""
    rng = np.random.RandomState(0)
    y = np.arange(n) % 2
    X = 2_000_000_000 + rng.randint(0, 30, (n, 6, 6))
    X[:, :, :3] += 100 * y[:, None, None]
    return X, y


@pytest.mark.parametrize("first", [Standardize(), Rescale(0.01, -2e7)])
@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "float64"])
def test_large_counts_are_told_apart(first, dtype):
    X, y = counts()
    X = X.astype(dtype)
    clf = classifier(layers=[first, Conv2D(3, 3)], max_iter=30, optimizer=Adam(0.01))
    assert clf.fit(X, y, X_val=X, y_val=y).score(X, y) == 1
    assert clf.history_["validation_score"][-1] == 1
    P = clf.predict_proba(X)
    exact = clf.fit(X.astype(float) - 2e9 if isinstance(first, Standardize) else X, y)
    if isinstance(first, Standardize):
        np.testing.assert_allclose(exact.predict_proba(X.astype(float) - 2e9), P, atol=1e-3)


def test_large_counts_have_the_same_bits_as_wide_floats():
    X, y = counts()
    params = dict(layers=[Standardize(), Conv2D(3, 3)], batch_size=16)
    fits = [
        classifier(**params, n_threads=n_threads).fit(values, y)
        for values, n_threads in [(X, 1), (X, 3), (X.astype(float), 2), (X.astype("uint32"), 1)]
    ]
    for other in fits[1:]:
        assert_same_bits(other.network_.params, fits[0].network_.params)
    P = fits[0].predict_proba(X)
    for start, stop in ((0, 1), (7, 30)):
        assert_same_bits(fits[0].predict_proba(X[start:stop]), P[start:stop])


def test_large_counts_are_augmented_and_cropped_before_they_are_cast():
    X, y = counts()
    clf = classifier(
        layers=[Standardize(), Conv2D(3, 3)],
        augmentation=Compose([RandomFlip(vertical=0.5, horizontal=0.0), GaussianNoise(1.0)]),
        multi_crop=MultiCrop((5, 5)),
        max_iter=30,
        optimizer=Adam(0.01),
    )
    assert clf.fit(X, y).score(X, y) == 1
    assert clf.history_["score"][-1] == 1


# ---------------------------------------------------------------------------
# Too small
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(1.0, weight_decay=0.9),
        SGD(1.0, momentum=0.3, weight_decay=0.9),
        Adagrad(weight_decay=0.9),
        RMSprop(weight_decay=0.9),
        Adam(weight_decay=0.9),
        AdamW(0.9, weight_decay=1.0),
    ],
)
def test_weights_of_dead_units_never_become_denormal(optimizer, dtype):
    """All begin just above the smallest normal number, and decay."""
    tiny = np.finfo(dtype).tiny
    X = np.zeros((8, 5, 5, 2), dtype)
    X[:4] = tiny / 4  # activations too
    clf = classifier(optimizer=optimizer, dtype=dtype, batch_size=4, warm_start=True, max_iter=1)
    clf.fit(X, np.arange(8) % 2)
    clf.network_.params[:] = np.random.RandomState(0).uniform(-40, 40, len(clf.network_.params))
    clf.network_.params[:] *= tiny
    for _ in range(10):
        params = clf.fit(X, np.arange(8) % 2).network_.params
        assert np.all((params == 0) | (np.abs(params) >= tiny))


# ---------------------------------------------------------------------------
# Too few
# ---------------------------------------------------------------------------


def with_norm(**params):
    return classifier(layers=[("dense1", Dense(6)), ("norm1", BatchNorm())], **params)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 7])
def test_no_batch_is_smaller_than_it_must(batch_size):
    for n in range(1, 40):
        edges = batches_of(n, batch_size, smallest=2)
        sizes = np.diff(edges).ravel()
        assert [start for start, _ in edges] == [0, *np.cumsum(sizes)[:-1]]
        assert sizes.sum() == n
        assert sizes.max() - sizes.min() <= 1
        if n > 1 < batch_size:
            assert sizes.min() >= 2
            assert sizes.max() <= max(3, batch_size)
        plain = batches_of(n, batch_size)
        if np.diff(plain).min() >= min(2, batch_size):
            assert edges == plain


@pytest.mark.parametrize("n", [3, 5, 59])
def test_a_fit_has_no_batch_of_one_sample(maps, n):
    X, y = maps
    clf = with_norm(batch_size=2, max_iter=60).fit(X[:n], y[:n])
    hidden = np.maximum(X[:n].reshape(n, -1) @ clf.get_weights()["dense1/weight"], 0)
    # Without a batch of one, whose variance of 0 the running one would take in.
    alive = hidden.var(axis=0) > 0.1
    assert alive.any()
    assert np.all(clf.get_weights()["norm1/variance"][alive] > 0.01)


def test_batches_of_one_sample(maps):
    X, y = maps
    message = "layer 'norm1': Expected more than 1 value per channel when training.*batch_size"
    for clf, n in ((with_norm(batch_size=1), 9), (with_norm(), 1)):
        with pytest.raises(ValueError, match=message):
            clf.fit(X[:n], y[:n])
        assert not hasattr(clf, "network_")
    with pytest.raises(ValueError, match=message):
        with_norm().fit(X[:9], y[:9], sample_weight=np.arange(9) == 4)
    clf = with_norm(warm_start=True).fit(X, y)
    before = clf.get_weights()
    with pytest.raises(ValueError, match=message):
        clf.fit(X[:1], y[:1])
    for path, array in clf.get_weights().items():
        np.testing.assert_array_equal(array, before[path])
    # Where one sample has several values, and where nothing is measured.
    layers = [Conv2D(3, 3), BatchNorm(), Dense(6), BatchNorm(trainable=False)]
    assert classifier(layers=layers, batch_size=1).fit(X[:5], y[:5]).n_iter_ == 2


def test_partial_fit_of_one_sample(maps):
    X, y = maps
    clf = with_norm(optimizer=SGD(0.1))
    with pytest.raises(ValueError, match="layer 'norm1': Expected more than 1 value"):
        clf.partial_fit(X[:1], y[:1], classes=range(3))
    clf.partial_fit(X, y, classes=range(3))
    before = clf.get_weights()
    loss = clf.partial_fit(X[:1], y[:1]).loss_
    after = clf.get_weights()
    for path in before:
        moved = not np.array_equal(before[path], after[path])
        assert moved == (path not in ("norm1/mean", "norm1/variance")), path
    assert clf.partial_fit(X[:1], y[:1]).loss_ < loss
    with pytest.raises(ValueError, match="layer 'norm1': Expected more than 1 value"):
        clf.set_params(batch_size=1).partial_fit(X[:2], y[:2])
    # With the statistics of another network there is something to begin with.
    begun = with_norm(init_from=before).partial_fit(X[:1], y[:1], classes=range(3))
    np.testing.assert_array_equal(begun.get_weights()["norm1/mean"], before["norm1/mean"])
