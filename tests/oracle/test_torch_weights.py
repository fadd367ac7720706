"""Weights of torchvision's models, random ones, in networks that compute the same."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torchvision_models import models, with_small_dense

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import (
    alexnet,
    densenet,
    googlenet,
    mobilenet_v2,
    resnet,
    vgg,
)
from sklearn_convnet.interchange import ModelFileError, load_torch
from sklearn_convnet.layers import Dense, Rescale
from sklearn_convnet.network import compile_network

RTOL = 1e-9
N_CLASSES = 7
UNITS = (20, 30)


def shaken(net):
    """Gives norms and biases values of their own, which differ from those they begin with."""
    generator = torch.Generator().manual_seed(1)

    def draw(tensor, around=0.0):
        tensor.data.copy_(around + torch.rand(tensor.shape, generator=generator) - 0.5)

    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            draw(module.running_mean)
            draw(module.running_var, 1.0)
            draw(module.weight, 1.0)
        if getattr(module, "bias", None) is not None:
            draw(module.bias)
    return net.double().eval()


def vision(name, **options):
    """A model of torchvision; the dense layers of the chains are small ones."""
    torch.manual_seed(0)
    if name == "googlenet":
        options = {"init_weights": False, "aux_logits": False, **options}
    if name.startswith("vgg"):
        filters = [8, "M", 16, "M", 32, 32, "M", 64, 64, "M", 64, 64, "M"]
        maps = models.vgg.make_layers(filters, batch_norm=name.endswith("bn"))
        net = models.VGG(maps, init_weights=False)
        with_small_dense(net, 64 * 7 * 7, UNITS, N_CLASSES)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = getattr(models, name)(weights=None, num_classes=N_CLASSES, **options)
    if name == "alexnet":
        with_small_dense(net, 256 * 6 * 6, UNITS, N_CLASSES)
    return shaken(net)


def scores(layers, weights, X):
    """What a network says of images with the channels first; it has these weights and no others."""
    X = np.ascontiguousarray(np.moveaxis(X, 1, -1))
    network = compile_network(
        [*layers, ("output", Dense(N_CLASSES, activation=None))], X.shape[1:], dtype=X.dtype
    )
    own = {**network.parameters(), **network.buffers()}
    assert set(own) == set(weights)
    for path, array in weights.items():
        assert array.shape == own[path].shape
        own[path][...] = array
    return network.forward(X)


def images(size, n=2):
    return np.random.RandomState(0).normal(size=(n, 3, size, size))


@pytest.mark.parametrize(
    ("name", "layers", "size"),
    [
        ("resnet18", resnet(18), 64),
        ("resnet50", resnet(50, stride_in="3x3"), 64),
        ("vgg11", vgg("A", width=1 / 8, units=UNITS), 224),
        ("vgg11_bn", vgg("A", width=1 / 8, units=UNITS, batch_norm=True), 224),
        ("mobilenet_v2", mobilenet_v2(epsilon=1e-5), 64),
        ("densenet121", densenet(121), 64),
        ("alexnet", alexnet(units=UNITS, version="torchvision"), 224),
        ("googlenet", googlenet(version="torchvision"), 75),
    ],
)
def test_the_same_scores(name, layers, size):
    net, X = vision(name), images(size)
    with torch.no_grad():
        expected = net(torch.from_numpy(X)).numpy()
    state = net.state_dict()
    weights = load_torch(state, layers, input_shape=(size, size, 3))
    found = scores(layers, weights, X)
    np.testing.assert_allclose(found, expected, rtol=RTOL, atol=RTOL * np.abs(expected).max())
    begun = load_torch(state, layers, input_shape=(size, size, 3), output=False)
    assert set(weights) - set(begun) == {"output/weight", "output/bias"}


@pytest.mark.parametrize("auxiliary", [False, True])
def test_auxiliary_classifiers_are_passed_over(auxiliary):
    net = vision("googlenet", aux_logits=True)
    layers = googlenet(version="torchvision", auxiliary=auxiliary)
    weights = load_torch(net.state_dict(), layers)
    assert not any(path.startswith("aux") for path in weights)
    assert len(weights) == len(load_torch(vision("googlenet").state_dict(), layers))


def test_the_oldest_names_of_densenet():
    state = vision("densenet121").state_dict()
    old = {re.sub(r"(denselayer\d+\.\w+)(\d\.)", r"\1.\2", name): v for name, v in state.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    expected = load_torch(state, densenet(121))
    for path, array in load_torch(old, densenet(121)).items():
        np.testing.assert_array_equal(array, expected[path])


# ---------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def state():
    return vision("mobilenet_v2").state_dict()


@pytest.fixture(scope="module")
def expected(state):
    return load_torch(state, mobilenet_v2(epsilon=1e-5))


@pytest.mark.parametrize("name", ["net.pth", "net.pt", "net.safetensors"])
def test_files(tmp_path, state, expected, name):
    write = safetensors.torch.save_file if name.endswith("safetensors") else torch.save
    write(state, tmp_path / name)
    for source in (tmp_path / name, str(tmp_path / name)):
        found = load_torch(source, mobilenet_v2(epsilon=1e-5))
        assert set(found) == set(expected)
        for path, array in found.items():
            np.testing.assert_array_equal(array, expected[path])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_smaller_floats(state, expected, dtype):
    narrow = {name: tensor.to(getattr(torch, dtype)) for name, tensor in state.items()}
    found = load_torch(narrow, mobilenet_v2(epsilon=1e-5))
    for path, array in found.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(array, expected[path], rtol=2**-7, atol=1e-6)


def test_a_network_on_several_processors(state, expected):
    found = load_torch(
        {f"module.{name}": tensor for name, tensor in state.items()}, mobilenet_v2(epsilon=1e-5)
    )
    assert set(found) == set(expected)


class Own:
    """What a file must not make."""


@pytest.mark.parametrize("content", [b"", b"no file of weights", {"state": Own()}])
def test_files_that_are_none(tmp_path, content):
    path = tmp_path / "net.pth"
    if isinstance(content, bytes):
        Path(path).write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ModelFileError, match=r"net\.pth: it is no file of weights"):
        load_torch(path, mobilenet_v2())


def test_a_module_is_no_state_dict():
    with pytest.raises(TypeError, match=r"got a MobileNetV2: give its state_dict\(\)"):
        load_torch(models.mobilenet_v2(weights=None), mobilenet_v2(epsilon=1e-5))


# ---------------------------------------------------------------------------
# Photographs
# ---------------------------------------------------------------------------


def test_bytes_are_normalised_as_torchvision_does():
    """Of an estimator: images of bytes in, probabilities out."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    net = vision("resnet18").float()
    X = np.random.RandomState(0).randint(256, size=(2 * N_CLASSES, 64, 64, 3), dtype=np.uint8)
    y = np.arange(len(X)) % N_CLASSES
    seen = (X / 255 - mean) / deviation
    with torch.no_grad():
        expected = net(torch.from_numpy(np.moveaxis(seen, -1, 1)).float()).softmax(1).numpy()
    layers = resnet(18)
    weights = load_torch(net.state_dict(), layers)
    normalise = Rescale(1 / (255 * deviation), offset=-mean / deviation)
    clf = ConvNetClassifier([normalise, *layers], random_state=0)
    clf.partial_fit(X, y, classes=range(N_CLASSES)).set_weights(weights)
    assert clf.network_.dtype == np.float32
    np.testing.assert_allclose(clf.predict_proba(X), expected, rtol=1e-4, atol=1e-6)
