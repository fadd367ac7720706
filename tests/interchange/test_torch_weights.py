"""State dicts of PyTorch, without PyTorch: orders, and what does not fit."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import sys

import numpy as np
import pytest
import safetensors.numpy

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import (
    alexnet,
    googlenet,
    mobilenet_v2,
    resnet,
    vgg,
)
from sklearn_convnet.interchange import ModelFileError, load_torch
from sklearn_convnet.layers import BatchNorm, Conv2D, Dense, MaxPool2D
from sklearn_convnet.network import compile_network

SHAPE = (9, 8, 3)
N_CLASSES = 3


def chain(batch_norm=False, units=5):
    """As `vgg`, but with maps that are higher than wide."""
    if batch_norm:
        bare = Conv2D(4, 2, activation=None, use_bias=False)
        maps = [("conv1", bare), ("norm1", BatchNorm()), MaxPool2D(2)]
    else:
        maps = [("conv1", Conv2D(4, 2)), MaxPool2D(2)]
    return [*maps, ("dense1", Dense(units))]


def state_of(batch_norm=False, **others):
    """A state dict for the chain: maps of 4 x 3 pixels before the dense layer."""
    rng = np.random.RandomState(0)
    shapes = {
        "features.0.weight": (4, 3, 2, 2),
        "features.0.bias": (4,),
        "classifier.0.weight": (5, 4 * 4 * 3),
        "classifier.0.bias": (5,),
        "classifier.2.weight": (N_CLASSES, 5),
        "classifier.2.bias": (N_CLASSES,),
    }
    if batch_norm:
        entries = ("weight", "bias", "running_mean", "running_var")
        shapes |= {f"features.1.{entry}": (4,) for entry in entries}
    state = {name: rng.uniform(0.5, 1, shape) for name, shape in shapes.items()}
    if batch_norm:
        state["features.1.num_batches_tracked"] = np.array(7)
    state.update(others)
    return state


def computed(state, X, batch_norm):
    """The scores of PyTorch's form, channels first, by its definitions."""
    kernel, bias = state["features.0.weight"], state["features.0.bias"]
    windows = np.lib.stride_tricks.sliding_window_view(X, (2, 2), axis=(2, 3))
    maps = np.einsum("ncyxij,ocij->noyx", windows, kernel) + bias[:, None, None]
    if batch_norm:
        scale, offset, mean, variance = (
            state[f"features.1.{entry}"][:, None, None]
            for entry in ("weight", "bias", "running_mean", "running_var")
        )
        maps = scale * (maps - mean) / np.sqrt(variance + 1e-5) + offset
    else:
        maps = np.maximum(maps, 0)
    n, channels, height, width = maps.shape
    maps = maps[:, :, : height // 2 * 2, : width // 2 * 2]
    pooled = maps.reshape(n, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))
    hidden = pooled.reshape(n, -1) @ state["classifier.0.weight"].T + state["classifier.0.bias"]
    return np.maximum(hidden, 0) @ state["classifier.2.weight"].T + state["classifier.2.bias"]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_orders_of_axes(batch_norm):
    state, layers = state_of(batch_norm), chain(batch_norm)
    weights = load_torch(state, layers, input_shape=SHAPE)
    network = compile_network(
        [*layers, ("output", Dense(N_CLASSES, activation=None))], SHAPE, dtype="float64"
    )
    own = {**network.parameters(), **network.buffers()}
    assert set(own) == set(weights)
    for path, array in weights.items():
        own[path][...] = array
    X = np.random.RandomState(1).normal(size=(3, 3, 9, 8))
    found = network.forward(np.ascontiguousarray(np.moveaxis(X, 1, -1)))
    np.testing.assert_allclose(found, computed(state, X, batch_norm), rtol=1e-12)


def test_a_file_begins_a_fit(tmp_path):
    state = state_of()
    safetensors.numpy.save_file(state, tmp_path / "chain.safetensors")
    weights = load_torch(tmp_path / "chain.safetensors", chain(), input_shape=SHAPE, output=False)
    assert sorted(weights) == ["conv1/bias", "conv1/weight", "dense1/bias", "dense1/weight"]
    X = np.random.RandomState(1).normal(size=(8, *SHAPE))
    clf = ConvNetClassifier(chain(), init_from=weights, max_iter=1, random_state=0)
    clf.set_params(conv1__trainable=False).fit(X, np.arange(8) % 2)
    np.testing.assert_array_equal(clf.get_weights()["conv1/weight"], weights["conv1/weight"])


def test_arrays_are_left_alone():
    state = state_of(batch_norm=True)
    before = {name: array.copy() for name, array in state.items()}
    load_torch(state, chain(batch_norm=True), input_shape=SHAPE)
    for name, array in before.items():
        np.testing.assert_array_equal(state[name], array)


# ---------------------------------------------------------------------------
# What does not fit
# ---------------------------------------------------------------------------


def test_all_that_does_not_fit_is_listed():
    others = {"features.0.weight": np.zeros((4, 1, 2, 2)), "features.9.bias": np.zeros(3)}
    state = state_of(**others)
    del state["classifier.0.bias"]
    with pytest.raises(ValueError) as caught:
        load_torch(state, chain(), input_shape=SHAPE)
    assert str(caught.value) == (
        "source does not fit layers: 'features.9.bias' is none of its weights; "
        "'features.0.weight' of shape (4, 1, 2, 2) is for 'conv1/weight', which is (2, 2, 3, 4) "
        "here; 'classifier.0.bias' is missing. Weights of torchvision are for "
        'alexnet(..., version="torchvision") or vgg(...)'
    )


@pytest.mark.parametrize(
    ("names", "layers", "first_missing"),
    [
        (["conv_stem", "bn1", "blocks.0.0.conv_dw"], mobilenet_v2(epsilon=1e-5), "features.0.0"),
        (["pre_logits.fc1", "pre_logits.fc2", "head.fc"], vgg("A"), "features.0"),
        (["conv1.0", "conv1.1", "conv1.3"], resnet(50, stride_in="3x3"), "conv1"),
    ],
)
def test_names_of_timm_that_are_others(names, layers, first_missing):
    """Of mobilenetv2_100, vgg11 and resnet50d."""
    state = {f"{name}.weight": np.zeros((3, 3)) for name in names}
    message = (
        f"'{names[0]}.weight' is none of its weights, nor are 2 others; '{first_missing}.weight' is"
        " missing"
    )
    with pytest.raises(ValueError, match=message):
        load_torch(state, layers)


def test_long_lists_are_cut():
    with pytest.raises(ValueError, match=r"'conv1\.weight' is missing; .*; and 92 more\. Weights"):
        load_torch({}, resnet(18))


def test_an_output_layer_has_to_be_there():
    state = {k: v for k, v in state_of().items() if not k.startswith("classifier.2")}
    with pytest.raises(ValueError, match=r"'classifier.2.weight' is missing; 'classifier.2.bias'"):
        load_torch(state, chain(), input_shape=SHAPE)
    assert len(load_torch(state, chain(), input_shape=SHAPE, output=False)) == 4


def test_other_maps_before_a_dense_layer():
    with pytest.raises(ValueError, match=r"'classifier.0.weight' of shape \(5, 48\) is for "):
        load_torch(state_of(), chain(), input_shape=(32, 32, 3))


def test_the_networks_of_the_papers_are_named():
    for layers, call in (
        (alexnet(width=0.1, units=(5,)), "alexnet"),
        (googlenet(width=0.1), "googlenet"),
    ):
        with pytest.raises(ValueError, match=rf'missing.*{call}\(\.\.\., version="torchvision"\)'):
            load_torch({}, layers)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (resnet(50, width=0.1), r"'stage2/block1/conv1' has a stride.*stride_in=\"3x3\""),
        (mobilenet_v2(width=0.1), r"epsilon of 'norm1' is 0.001.* for 1e-05.*epsilon=1e-5"),
    ],
)
def test_what_shapes_do_not_show(layers, message):
    with pytest.raises(ValueError, match=message):
        load_torch({}, layers)


def test_layers_without_names():
    with pytest.raises(ValueError, match=r"no name for the weights of 'norm2'\. Give .*resnet\("):
        load_torch({}, resnet(18, pre_activation=True))
    with pytest.raises(TypeError, match="layers must be a list or tuple"):
        load_torch({}, "resnet18")


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("net.h5", ValueError, "must end in .safetensors, .pth or .pt, got 'net.h5'"),
        ([], TypeError, "got a list: see `load_torch`"),
        ({"state_dict": {}, "epoch": 3}, ValueError, r"holds dicts, \['state_dict'\]"),
        ({"conv1.weight": "one"}, ValueError, "'conv1.weight' in source must be an array of num"),
    ],
)
def test_sources_that_are_none(source, error, message):
    with pytest.raises(error, match=message):
        load_torch(source, chain(), input_shape=SHAPE)


def test_a_damaged_file(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"no such file")
    with pytest.raises(ModelFileError, match="no safetensors file, or is damaged"):
        load_torch(path, chain())
    with pytest.raises(FileNotFoundError):
        load_torch(tmp_path / "missing.safetensors", chain())


def test_without_pytorch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="read by PyTorch, which is not installed"):
        load_torch(tmp_path / "net.pth", chain())
