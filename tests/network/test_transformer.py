"""Blocks with attention, and the layers that they are made of."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import (
    Conv1D,
    Conv2D,
    Dense,
    GlobalAvgPool,
    GroupNorm,
    LayerNorm,
    LayerScale,
    NonLocal,
    PositionEmbedding,
    Residual,
    SelfAttention,
    Sequential,
    StochasticDepth,
    TransformerBlock,
)
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.summary import network_summary


def samples(*shape, dtype="float64", seed=0):
    return np.random.RandomState(seed).normal(size=shape).astype(dtype)


def compiled(layer, shape, dtype="float64"):
    return compile_network([("layer", layer)], shape, dtype=dtype, random_state=0)


# ---------------------------------------------------------------------------
# Norms of samples
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12,), (5, 12), (4, 3, 12), (2, 3, 2, 12)])
def test_layer_norm_is_over_the_channels_of_a_position(shape):
    X = samples(3, *shape) * 5 + 2
    Y = compiled(LayerNorm(1e-9), shape).forward(X)
    np.testing.assert_allclose(Y.mean(axis=-1), 0, atol=1e-13)
    np.testing.assert_allclose(Y.std(axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize("shape", [(12,), (5, 12), (4, 3, 12), (2, 3, 2, 12)])
@pytest.mark.parametrize("n_groups", [1, 3, 12])
def test_group_norm_is_over_the_positions_and_channels_of_a_group(shape, n_groups):
    X = samples(3, *shape) * 5 + 2
    Y = compiled(GroupNorm(n_groups, epsilon=1e-9), shape).forward(X)
    groups = Y.reshape(3, -1, n_groups, 12 // n_groups)
    np.testing.assert_allclose(groups.mean(axis=(1, 3)), 0, atol=1e-13)
    if groups.shape[1] * groups.shape[3] > 1:
        np.testing.assert_allclose(groups.std(axis=(1, 3)), 1, rtol=1e-6)


@pytest.mark.parametrize("layer", [LayerNorm(), GroupNorm(4)], ids=["layer", "group"])
def test_a_large_mean_in_single_precision(layer):
    X = (samples(4, 7, 6, 32) + 1e4).astype(np.float32)
    network = compiled(layer, X.shape[1:], "float32")
    wide = compiled(layer, X.shape[1:])
    np.testing.assert_allclose(network.forward(X), wide.forward(X.astype(float)), atol=1e-5)


@pytest.mark.parametrize("layer", [LayerNorm, GroupNorm])
def test_norms_may_stay_as_they_are(layer):
    options = {"n_groups": 2} if layer is GroupNorm else {}
    network = compiled(layer(trainable=False, **options), (3, 4))
    assert [segment.trainable for segment in network.segments] == [False, False]


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="'layer': n_groups=32 must divide the 12 channels"):
        compiled(GroupNorm(), (4, 12))


# ---------------------------------------------------------------------------
# Parts of residual blocks
# ---------------------------------------------------------------------------


def test_layer_scale_begins_as_a_number():
    network = compiled(LayerScale(0.25), (3, 4))
    X = samples(2, 3, 4)
    np.testing.assert_array_equal(network.forward(X), 0.25 * X)
    block = compiled(Residual([Conv2D(4, 3, padding="same"), LayerScale()]), (3, 2, 4))
    X = samples(2, 3, 2, 4)
    np.testing.assert_allclose(block.forward(X), X, atol=1e-4)
    assert np.abs(block.forward(X) - X).max() > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_stochastic_depth_drops_whole_samples(dtype):
    network = compiled(StochasticDepth(0.25), (5, 6), dtype)
    X = samples(400, 5, 6, dtype=dtype)
    kept = []
    for _ in range(5):
        Y = network.forward(X, training=True)
        dropped = (Y == 0).all(axis=(1, 2))
        np.testing.assert_allclose(Y[~dropped], X[~dropped] / 0.75, rtol=1e-6)
        np.testing.assert_array_equal(Y[dropped], 0)
        dY = samples(400, 5, 6, dtype=dtype, seed=1)
        dX = network.backward(dY)
        np.testing.assert_allclose(dX[~dropped], dY[~dropped] / 0.75, rtol=1e-6)
        np.testing.assert_array_equal(dX[dropped], 0)
        kept.append(~dropped)
        network.step += 1
    # A binomial share, within four of its deviations.
    assert abs(np.mean(kept) - 0.75) < 4 * np.sqrt(0.25 * 0.75 / 2000)
    assert not np.array_equal(kept[0], kept[1])
    np.testing.assert_array_equal(network.forward(X), X)


def test_stochastic_depth_leaves_the_shortcut():
    network = compiled(Residual([Dense(6), StochasticDepth(0.5)]), (6,))
    X = samples(50, 6)
    Y = network.forward(X, training=True)
    assert 0 < np.sum((Y == X).all(axis=1)) < 50


# ---------------------------------------------------------------------------
# Positions
# ---------------------------------------------------------------------------


def test_learned_positions_are_added():
    network = compiled(PositionEmbedding(), (20, 16, 24))
    position = network.parameters()["layer/position"]
    assert position.shape == (20, 16, 24)
    assert abs(position.std() - 0.02) < 0.001
    X = samples(3, 20, 16, 24)
    np.testing.assert_array_equal(network.forward(X), X + position)
    assert not compiled(PositionEmbedding(trainable=False), (2, 4)).segments[0].trainable


def test_sinusoidal_positions_are_the_formula():
    network = compiled(PositionEmbedding("sinusoidal"), (3, 5, 8))
    assert not network.parameters()
    table = network.forward(np.zeros((1, 3, 5, 8)))[0]
    for row, column in np.ndindex(3, 5):
        expected = []
        for place in (row, column):
            angles = [place * 10000 ** (-i / 2) for i in range(2)]
            expected += [*np.sin(angles), *np.cos(angles)]
        np.testing.assert_allclose(table[row, column], expected, rtol=1e-14, atol=1e-15)


def test_sinusoidal_positions_do_not_depend_on_the_size():
    small, large = (
        compiled(PositionEmbedding("sinusoidal"), (*sizes, 12)).forward(np.zeros((1, *sizes, 12)))
        for sizes in ((3, 4), (6, 9))
    )
    np.testing.assert_array_equal(large[:, :3, :4], small)


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_positions_of_samples_that_differ_in_size(kind):
    X = [samples(n, 4) for n in (6, 7, 9, 6, 7, 9)]
    layers = [Conv1D(4, 1), PositionEmbedding(kind), TransformerBlock(2), GlobalAvgPool()]
    clf = ConvNetClassifier(layers, max_iter=1, random_state=0)
    if kind == "learned":
        with pytest.raises(ValueError, match="'positionembedding1'"):
            clf.fit(X, [0, 1] * 3)
    else:
        with pytest.warns(match="Maximum iterations"):
            assert clf.fit(X, [0, 1] * 3).predict(X).shape == (6,)


# ---------------------------------------------------------------------------
# Attention
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"pool_size": 2}, {"channels": 3, "scaled": True}])
def test_non_local_begins_as_the_identity(options):
    X = samples(3, 4, 6, 8)
    network = compiled(NonLocal(**options), (4, 6, 8))
    np.testing.assert_array_equal(network.forward(X), X)
    network.forward(X, training=True)
    network.backward(X)
    gradients = network.gradients()
    assert gradients["layer/output"].any()  # so that it does not stay so
    assert network.parameters()["layer/query"].shape == (8, options.get("channels", 4))


def test_non_local_takes_means_of_what_is_alike():
    """Two kinds of positions, far apart: each sees the mean of the values of its own kind."""
    network = compiled(NonLocal(channels=2), (6, 2))
    arrays = network.parameters()
    for name in ("query", "key"):
        arrays[f"layer/{name}"][:] = 30 * np.eye(2)
    arrays["layer/value"][:] = [[1, 0], [0, 2]]
    arrays["layer/output"][:] = np.eye(2)
    X = np.eye(2)[[0, 1, 1, 0, 1, 1]][None]
    np.testing.assert_allclose(network.forward(X), X + X * [1, 2], atol=1e-12)


def test_pooled_keys_are_fewer():
    shape = (8, 6, 4)
    whole, pooled = NonLocal(), NonLocal(pool_size=2)
    assert pooled.key_shape(shape) == (4, 3, 4)
    n, inner = 48, 2
    assert whole.multiply_adds(shape) == 4 * n * 4 * inner + 2 * n * n * inner
    assert pooled.multiply_adds(shape) == 2 * (n + 12) * 4 * inner + 2 * n * 12 * inner
    plan = compiled(pooled, shape).plan(5)
    names, work = (plan.columns.index(name) for name in ("step", "multiply-adds"))
    (seen,) = [row[work] for row in plan.rows if row[names] == "attention_forward"]
    assert seen == 5 * 2 * n * 12 * inner


def test_stages_of_a_transformer_are_its_layers():
    """The block is the same as its layers one by one, with the same weights."""
    options = {"n_heads": 2, "mlp_units": 7, "activation": "tanh", "relative_position": True}
    layer = TransformerBlock(**options)
    block = compiled(layer, (5, 6))
    apart = compile_network(layer.stages((5, 6)), (5, 6), dtype="float64", random_state=1)
    for path, array in apart.parameters().items():
        array[:] = block.parameters()[f"layer/{path}"]
    X = samples(3, 5, 6)
    np.testing.assert_array_equal(block.forward(X), apart.forward(X))


def test_dropout_and_depth_of_a_transformer():
    shape = (5, 6)
    X = samples(40, *shape)
    plain = TransformerBlock(2)
    names = [name for name, _ in Sequential(plain.stages(shape)).named_children()]
    assert names == ["attention", "mlp"]
    for options in ({"dropout": 0.3}, {"stochastic_depth": 0.3}):
        network, other = compiled(TransformerBlock(2, **options), shape), compiled(plain, shape)
        np.testing.assert_array_equal(network.forward(X), other.forward(X))
        changed = network.forward(X, training=True) != other.forward(X)
        assert changed.any()
    # Of some samples both sums are left out.
    network = compiled(TransformerBlock(2, stochastic_depth=0.5), shape)
    same = (network.forward(X, training=True) == X).all(axis=(1, 2))
    assert 0 < same.sum() < 40


def test_frozen_transformer():
    network = compiled(TransformerBlock(2, trainable=False), (5, 6))
    assert network.segments
    assert not any(segment.trainable for segment in network.segments)


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (PositionEmbedding(), (8,), "PositionEmbedding needs positions"),
        (PositionEmbedding("sinusoidal"), (3, 3, 6), "needs a multiple of 4 channels, .* got 6"),
        (NonLocal(), (8,), "NonLocal needs positions"),
        (NonLocal(pool_size=5), (4, 9, 3), "its window covers 5 along the height"),
        (NonLocal(pool_size=(1, 2)), (9, 3), "pool_size must be an integer"),
        (NonLocal(pool_size=2), (2, 2, 2, 2, 3), "pool_size needs 1 to 3 axes"),
        (NonLocal(), (2**11, 2**11, 1), "its scores would have the shape"),
        (NonLocal(2**40), (2, 2, 1), "its queries would have the shape"),
        (TransformerBlock(), (8,), "TransformerBlock needs positions"),
        (TransformerBlock(3), (4, 8), "n_heads=3 must divide the 8 channels"),
        (TransformerBlock(), (2, 2, 2, 2, 8), "1 to 3 axes of positions, got 4"),
        (TransformerBlock(), (2**11, 2**11, 1), "its scores would have the shape"),
        (TransformerBlock(dropout=1.0), (4, 8), "dropout"),
        (TransformerBlock(mlp_units=0), (4, 8), "mlp_units"),
        (StochasticDepth(1.0), (8,), "rate"),
        (LayerScale(np.inf), (8,), "initial_value"),
        (LayerNorm(0), (8,), "epsilon"),
    ],
)
def test_what_does_not_fit(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        compiled(layer, shape)


def test_self_attention_by_name_and_as_a_part():
    """A block in a network of an estimator: names, summary, and receptive field."""
    layers = [Conv2D(8, 3, padding="same"), ("block", TransformerBlock(2)), GlobalAvgPool()]
    clf = ConvNetClassifier(layers, max_iter=1, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        clf.set_params(block__n_heads=4).fit(samples(6, 5, 5, 1), [0, 1] * 3)
    assert clf.get_weights()["block/mlp/dense1/weight"].shape == (1, 1, 8, 32)
    rows = {row[0]: row for row in network_summary(clf.network_).rows}
    n_weights = 4 * 8**2 + 2 * 8 * 32 + 9 * 8 + 32
    products = SelfAttention(4).multiply_adds((5, 5, 8)) + 2 * 25 * 8 * 32
    assert rows["block"][4:] == ("all", n_weights, products)
