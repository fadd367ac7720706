"""MixUp and CutMix: what is mixed, with what weights, and what training makes of it."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.base import clone

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import (
    Compose,
    CutMix,
    GaussianNoise,
    MixUp,
    RandomAffine,
    RandomFlip,
    Transform,
)
from sklearn_convnet.augmentation.mixing import mixed_samples
from sklearn_convnet.batches import Samples
from sklearn_convnet.inspection import AugmentationDisplay
from sklearn_convnet.layers import BatchNorm, Conv1D, Conv2D, Conv3D, Dense, GlobalAvgPool
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.training import Trainer

MIXINGS = {"mixup": MixUp(0.7), "cutmix": CutMix()}
every_mixing = pytest.mark.parametrize("mixing", MIXINGS.values(), ids=MIXINGS)
SAME = [Conv2D(3, 3, padding="same")]


def samples(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).uniform(1, 100, shape).astype(dtype)


def quick(estimator, **params):
    return clone(estimator).set_params(
        max_iter=2, batch_size=8, random_state=0, dtype="float64", **params
    )


# ---------------------------------------------------------------------------
# A batch
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(9,), (6, 7), (6, 7, 3), (4, 5, 6, 2)])
def test_mixup_is_a_weighted_sum(shape):
    X = samples(10, *shape)
    mixture = MixUp().mix(X, n_axes=len(shape), random_state=0)
    assert sorted(mixture.partner) == list(range(10))
    assert mixture.boxes is None
    for i, (j, share) in enumerate(zip(mixture.partner, mixture.share, strict=True)):
        np.testing.assert_allclose(mixture.X[i], share * X[i] + (1 - share) * X[j], rtol=1e-12)


@pytest.mark.parametrize(
    ("shape", "n_axes"), [((30,), 1), ((30, 2), 1), ((9, 8), 2), ((9, 8, 3), 2), ((4, 5, 6, 2), 3)]
)
def test_cutmix_pastes_a_box(shape, n_axes):
    X = samples(50, *shape)
    mixture = CutMix().mix(X, n_axes=n_axes, random_state=0)
    assert len({float(share) for share in mixture.share}) > 5
    for i, (j, share) in enumerate(zip(mixture.partner, mixture.share, strict=True)):
        box = tuple(slice(*ends) for ends in mixture.boxes[i])
        expected = X[i].copy()
        expected[box] = X[j][box]
        np.testing.assert_array_equal(mixture.X[i], expected)
        inside = np.zeros(shape[:n_axes])
        inside[box] = 1
        assert share == pytest.approx(1 - inside.mean())


def test_shares_are_what_is_drawn():
    X = np.zeros((3000, 1, 1))
    for alpha in (0.2, 1.0, 3.0):
        share = MixUp(alpha).mix(X, random_state=1).share
        assert kstest(share, "beta", args=(alpha, alpha)).pvalue > 0.01
    share = MixUp(1.0, probability=0.3).mix(X, random_state=1).share
    assert abs(np.mean(share < 1) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 3000)
    assert (CutMix(probability=0.0).mix(np.zeros((20, 9, 9))).share == 1).all()
    # Boxes of all places: in the middle more often than at the corners, and cut off at the border.
    mixture = CutMix().mix(np.zeros((3000, 21, 21)), random_state=1)
    seen = np.zeros((21, 21))
    for (top, bottom), (left, right) in mixture.boxes.tolist():
        seen[top:bottom, left:right] += 1
    assert seen.min() > 0
    assert seen[10, 10] == pytest.approx(1500, rel=0.1)  # the mean area, as long as it fits
    assert seen[0, 0] < seen[10, 10] / 2


@every_mixing
def test_a_batch_by_its_seed(mixing):
    X = samples(12, 7, 6, 2, dtype=np.float32)
    before = X.copy()
    one, same, other = (mixing.mix(X, random_state=seed) for seed in (1, 1, 2))
    assert one.X.tobytes() == same.X.tobytes() != other.X.tobytes()
    assert one.X.dtype == np.float32
    assert mixing.mix(X.astype(np.uint8)).X.dtype == np.float32
    assert mixing.mix(X.astype(np.float64)).X.dtype == np.float64
    np.testing.assert_array_equal(X, before)


@every_mixing
def test_weights_go_with_the_mixture(mixing):
    X, weight = samples(6, 4, 5), np.arange(1.0, 7)
    part = Samples(X, np.arange(6), weight)
    part.share = weight / 6
    mixture = mixing.mix(X, random_state=0)
    mixed = mixed_samples(part, mixture, pastes=False)
    own, other = mixture.share, 1 - mixture.share
    first, second = mixed.goals
    np.testing.assert_array_equal(first.target, np.arange(6))
    np.testing.assert_array_equal(second.target, mixture.partner)
    np.testing.assert_allclose(first.share, own * weight / 6)
    np.testing.assert_allclose(second.share, other * weight[mixture.partner] / 6)
    np.testing.assert_allclose(first.score_weight, own * weight)
    np.testing.assert_allclose(mixed.weight, own * weight + other * weight[mixture.partner])


# ---------------------------------------------------------------------------
# In a fit
# ---------------------------------------------------------------------------


def goals_of(monkeypatch, model, *given, **more):
    """X and goals of all batches of a fit."""
    seen, step = [], Trainer.run_step

    def run_step(self, parts):
        seen.extend((part.X, part.goals) for part in parts)
        return step(self, parts)

    monkeypatch.setattr(Trainer, "run_step", run_step)
    model.fit(*given, **more)
    return seen


@every_mixing
@pytest.mark.parametrize("kind", ["class", "labels", "columns", "box", "values", "points", "maps"])
def test_any_target(kind, mixing, monkeypatch):
    """Two targets for each mixture, the sample's own and that of another sample."""
    rng = np.random.RandomState(0)
    X = rng.normal(size=(24, 6, 6))
    beside, layers = {}, [Conv2D(3, 3, padding="same"), Dense(5)]
    if kind in ("class", "box"):
        y = np.arange(24) % 3
        model = ConvNetClassifier(layers)
        if kind == "box":
            beside["boxes"] = rng.uniform(0, 1, (24, 8))
    elif kind == "labels":
        y, model = rng.randint(2, size=(24, 4)), ConvNetClassifier(layers)
    elif kind == "columns":
        y, model = rng.randint(1, 4, size=(24, 2)), ConvNetClassifier(layers)
    elif kind == "maps":
        y, model = rng.normal(size=(24, 6, 6)), ConvNetRegressor(SAME, target="values")
    else:
        y, model = rng.normal(size=(24, 4)), ConvNetRegressor(layers, target=kind)
    weight = rng.uniform(1, 2, 24)
    model = quick(model, augmentation=mixing)
    seen = goals_of(monkeypatch, model, X, y, sample_weight=weight, **beside)
    assert np.isfinite(model.loss_curve_).all()
    for X_mixed, goals in seen:
        first, second = goals
        assert sorted(map(bytes, first.target)) == sorted(map(bytes, second.target))
        assert len(X_mixed) == len(first.share) == len(second.share)
    total = sum(goal.score_weight.sum() for _, goals in seen for goal in goals)
    assert total > 0
    other = clone(model).set_params(n_threads=2).fit(X, y, sample_weight=weight, **beside)
    np.testing.assert_array_equal(other.network_.params, model.network_.params)


def test_shares_of_one_are_no_mixture():
    X, y = samples(20, 6, 6), np.arange(20) % 2
    layers = [Conv2D(3, 3), BatchNorm(), Dense(4)]
    plain = quick(ConvNetClassifier(layers)).fit(X, y)
    for mixing in (MixUp(probability=0.0), CutMix(probability=0.0)):
        # A generator is drawn from once more, for the seed of the mixing.
        again = quick(ConvNetClassifier(layers, augmentation=GaussianNoise(0.0))).fit(X, y)
        mixed = quick(ConvNetClassifier(layers, augmentation=mixing)).fit(X, y)
        np.testing.assert_allclose(mixed.loss_curve_, again.loss_curve_, rtol=1e-12)
        np.testing.assert_allclose(mixed.predict_proba(X), again.predict_proba(X), rtol=1e-9)
    assert plain.n_iter_ == 2


@every_mixing
def test_training_score_is_that_of_both_labels(mixing, monkeypatch):
    X, y = samples(24, 6, 6), np.arange(24) % 3
    outputs, add = [], []
    model = quick(ConvNetClassifier([Conv2D(3, 3), Dense(4)], augmentation=mixing))
    model.set_params(batch_size=24)
    part = Trainer._run_part

    def run_part(self, samples_):
        loss, Z = part(self, samples_)
        outputs.append(Z.copy())
        add.append(samples_.goals)
        return loss, Z

    monkeypatch.setattr(Trainer, "_run_part", run_part)
    model.fit(X, y)
    right = sum(
        np.sum(goal.score_weight * (outputs[0].argmax(axis=1) == goal.target)) for goal in add[0]
    )
    assert model.history_["score"][0] == pytest.approx(right / 24)


@pytest.mark.filterwarnings("ignore:The fit ends with a training")
@pytest.mark.parametrize("weighted", [None, "samples", "pixels"])
@pytest.mark.parametrize("kind", ["labels", "values"])
def test_cutmix_pastes_maps(kind, weighted, monkeypatch):
    rng = np.random.RandomState(0)
    y = rng.randint(3, size=(16, 6, 7)) if kind == "labels" else rng.normal(size=(16, 6, 7))
    X = y[..., np.newaxis] + 10.0
    weight = None
    if weighted == "samples":
        weight = rng.uniform(1, 2, 16)
    elif weighted == "pixels":
        weight = y - y.min() + 1.0
    estimator = ConvNetClassifier if kind == "labels" else ConvNetRegressor
    model = quick(estimator(SAME, augmentation=CutMix()))
    if kind == "values":
        model.set_params(target="maps", normalize_y=False)
    changed = False
    seen = goals_of(monkeypatch, model, X, y, sample_weight=weight)
    for X_mixed, goals in seen:
        (goal,) = goals
        target = goal.target.reshape(X_mixed.shape[:3])
        np.testing.assert_allclose(target, X_mixed[..., 0] - 10, atol=1e-12)
        rows = {row.tobytes() for row in y.astype(target.dtype)}
        changed |= any(row.tobytes() not in rows for row in target)
        if weighted is None:
            assert goal.share.ndim == 1
        elif weighted == "pixels":
            factor = goal.share / (target - y.min() + 1.0)
            np.testing.assert_allclose(factor, factor[0, 0, 0])
        else:
            assert goal.share.shape == goal.score_weight.shape == target.shape
    assert changed


def test_mixup_of_maps_mixes_losses(monkeypatch):
    rng = np.random.RandomState(0)
    y = rng.randint(3, size=(16, 6, 7))
    y[0, 0, 0] = 9
    model = quick(ConvNetClassifier(SAME, augmentation=MixUp(1.0), ignore_label=9))
    weight = rng.uniform(1, 2, size=y.shape)
    seen = goals_of(monkeypatch, model, rng.normal(size=(16, 6, 7)), y, sample_weight=weight)
    for _, (first, second) in seen:
        assert first.target.shape == first.share.shape == (8, 6, 7)
        assert sorted(map(bytes, first.target)) == sorted(map(bytes, second.target))
    assert np.isfinite(model.loss_curve_).all()


def test_maps_of_another_size_are_not_pasted():
    X, y = samples(8, 6, 6), np.zeros((8, 3, 3), int)
    y[:4] = 1
    model = quick(ConvNetClassifier([Conv2D(2, 2, stride=2)], augmentation=CutMix()))
    with pytest.raises(ValueError, match=r"maps have size \(3, 3\) and X has shape \(8, 6, 6\)"):
        model.fit(X, y)


@every_mixing
@pytest.mark.parametrize("n_axes", [1, 3])
def test_signals_and_volumes(n_axes, mixing):
    X = samples(16, *(5, 6, 20)[-n_axes:], 1)
    conv = {1: Conv1D, 3: Conv3D}[n_axes]
    model = quick(ConvNetClassifier([conv(2, 3)], augmentation=mixing))
    assert np.isfinite(model.fit(X, np.arange(16) % 2).loss_curve_).all()


def test_a_table():
    X, y = samples(16, 5), np.arange(16) % 2
    table = quick(ConvNetClassifier([Dense(4)], input_kind="table"))
    assert np.isfinite(clone(table).set_params(augmentation=MixUp()).fit(X, y).loss_)
    with pytest.raises(ValueError, match="the columns of a table are no places: use MixUp"):
        table.set_params(augmentation=CutMix()).fit(X, y)


@every_mixing
def test_samples_of_unequal_sizes_and_crops(mixing):
    """Partners have the size of the sample: those of a part of the batch."""
    rng = np.random.RandomState(0)
    X = [rng.normal(size=(6 + i % 2, 7, 1)) for i in range(16)]
    y = np.arange(16) % 2
    unequal = quick(ConvNetClassifier([Conv2D(2, 3), GlobalAvgPool()], augmentation=mixing))
    again = clone(unequal).set_params(n_threads=2)
    weights = [model.fit(X, y).network_.params for model in (unequal, again)]
    np.testing.assert_array_equal(*weights)
    crops = clone(unequal).set_params(multi_crop=MultiCrop(5, n_crops=5))
    assert np.isfinite(crops.fit(X, y).loss_)
    flips = Compose([RandomAffine(rotation=(-9, 9)), ("mix", mixing), RandomFlip()])
    assert np.isfinite(clone(unequal).set_params(augmentation=flips).fit(X, y).loss_)


def test_mixing_comes_last():
    """Two images differ after the flip that all have, and are mixed then."""
    X = np.zeros((40, 4, 4))
    X[:20, :, 0] = X[20:, :, 1] = 1
    y = np.repeat([0, 1], 20)
    seen = []
    step = Trainer.run_step
    model = quick(ConvNetClassifier([Dense(2)], augmentation=Compose([MixUp(), RandomFlip(1.0)])))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Trainer, "run_step", lambda self, parts: seen.append(parts[0].X) or step(self, parts)
        )
        model.fit(X, y)
    mixed = np.concatenate(seen)
    assert not mixed[:, :, :2].any()
    np.testing.assert_allclose(mixed[:, 0].sum(axis=1), 1)


def test_a_user_s_own_loss_is_mixed_too():
    def squares(y_true, y_pred):
        residual = y_pred - y_true
        return 0.5 * (residual**2).mean(axis=1), residual / y_pred.shape[1]

    X, y = samples(24, 6, 6), samples(24, 2, seed=1)
    fits = [
        quick(ConvNetRegressor([Conv2D(2, 3)], augmentation=MixUp(), loss=loss)).fit(X, y)
        for loss in (squares, "squared_error")
    ]
    mine, theirs = (fit.predict(X) for fit in fits)
    assert mine.shape == theirs.shape
    assert np.isfinite(fits[0].loss_)


def test_the_display_shows_mixtures():
    pytest.importorskip("matplotlib")
    X, y = samples(6, 8, 8), np.arange(6) % 2
    for augmentation in (CutMix(), Compose([RandomFlip(), MixUp()])):
        display = AugmentationDisplay.from_estimator(
            ConvNetClassifier([Dense(2)], augmentation=augmentation), X, n_draws=2, random_state=0
        )
        assert display.axes_.shape == (4, 3)
        assert not np.allclose(display.batches[0], display.batches[1])
    y = np.random.RandomState(0).randint(2, size=(6, 8, 8))
    display = AugmentationDisplay.from_estimator(
        ConvNetClassifier(SAME, augmentation=CutMix()), X, y, n_draws=2, random_state=0
    )
    assert any((m == y[0]).mean() not in (0, 1) for m in display.label_maps[1])


# ---------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mixing", "message"),
    [
        (MixUp(0), "'alpha' parameter of MixUp"),
        (MixUp(alpha="much"), "'alpha' parameter of MixUp"),
        (MixUp(probability=1.5), "'probability' parameter of MixUp"),
        (CutMix(-1), "'alpha' parameter of CutMix"),
        (CutMix(probability=None), "'probability' parameter of CutMix"),
    ],
)
def test_bad_parameters(mixing, message):
    X, y = np.zeros((4, 5, 5)), [0, 1, 0, 1]
    with pytest.raises(ValueError, match=message):
        mixing.mix(X)
    with pytest.raises(ValueError, match=message):
        quick(ConvNetClassifier([Dense(2)], augmentation=mixing)).fit(X, y)


def test_what_is_refused():
    X, y = np.zeros((4, 5, 5)), [0, 1, 0, 1]
    for transform in (MixUp(), Compose([RandomFlip(), CutMix()])):
        with pytest.raises(ValueError, match=r"(MixUp|CutMix) mixes samples with their targets"):
            transform.augment(X)
    both = Compose([MixUp(), CutMix()])
    with pytest.raises(ValueError, match=r"mixed once, but augmentation has MixUp\(\), CutMix"):
        quick(ConvNetClassifier([Dense(2)], augmentation=both)).fit(X, y)
    with pytest.raises(ValueError, match="pastes parts of samples of 3 axes, got X of shape"):
        CutMix().mix(X[0], n_axes=3)
    with pytest.raises(ValueError, match="X must be an array of real numbers"):
        MixUp().mix([["a"]])
    assert not Transform.mixes
