"""The architectures: sizes against the papers, and one run of each."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import time
from functools import partial
from itertools import accumulate, pairwise
from math import prod

import numpy as np
import pytest
from onnx_runs import assert_same_output
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor, architectures
from sklearn_convnet.architectures import (
    alexnet,
    box_localizer,
    convnext,
    densenet,
    densenet_cifar,
    efficientnet,
    fcn,
    googlenet,
    inception_time,
    lenet5,
    mobilenet_v2,
    mobilenet_v3,
    pose_net,
    resnet,
    resnet_cifar,
    speech_cnn,
    squeezenet,
    tdnn,
    unet,
    vgg,
    vit,
    xception,
    zfnet,
)
from sklearn_convnet.inspection import receptive_field
from sklearn_convnet.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Layer,
    Residual,
    Sequential,
)
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.conv import ConvNode
from sklearn_convnet.network.dense import DenseNode
from sklearn_convnet.network.node import build_chain, walk
from sklearn_convnet.network.norm import MomentsNode
from sklearn_convnet.optimizers import SGD, Adam
from sklearn_convnet.schedules import CosineDecay, LinearWarmup

IMAGENET = (224, 224, 3)


def built(layers, shape, n_outputs=None):
    """Nodes and table, without an array of parameters."""
    output = [] if n_outputs is None else [("output", Dense(n_outputs, activation=None))]
    return build_chain([*layers, *output], shape)


def n_parameters(layers, shape, n_outputs=None):
    nodes, _ = built(layers, shape, n_outputs)
    return sum(prod(w.shape) for node in walk(nodes) for w in node.weights.values())


def map_shapes(layers, shape):
    """Output shape of each layer by its path, inside of blocks too."""
    nodes, table = built(layers, shape)
    shapes = {node.path: node.output_shape for node in walk(nodes)}
    for path, _, _, out in table:
        # That of a chain in a chain is the shape after the last of its layers.
        shapes.update(dict.fromkeys([*accumulate(path.split("/"), "{}/{}".format)], out))
    return shapes


def layers_within(layers):
    """All layers in a list of pairs, at any depth."""
    found = Sequential(layers).get_params(deep=True).items()
    return [(key, value) for key, value in found if isinstance(value, Layer)]


def digit_images(n):
    """Digits as images of 32 x 32 x 3, each pixel four by four times, and their labels."""
    X, y = load_digits(return_X_y=True)
    X = np.kron(X[:n].reshape(n, 8, 8, 1), np.ones((1, 4, 4, 3)))
    return (X / 16).astype(np.float32), y[:n]


# ---------------------------------------------------------------------------
# Sizes
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "shape", "n_outputs", "expected"),
    [
        (lenet5(), (32, 32, 1), 10, 61_706),
        (alexnet(), (227, 227, 3), 1000, 62_378_344),
        (alexnet(groups=2), (227, 227, 3), 1000, 60_965_224),
        (alexnet(version="torchvision"), IMAGENET, 1000, 61_100_840),
        (zfnet(), IMAGENET, 1000, 107_627_624),
        (vgg("A"), IMAGENET, 1000, 132_863_336),
        (vgg("A-LRN"), IMAGENET, 1000, 132_863_336),
        (vgg("B"), IMAGENET, 1000, 133_047_848),
        (vgg("C"), IMAGENET, 1000, 133_638_952),
        (vgg("D"), IMAGENET, 1000, 138_357_544),
        (vgg("E"), IMAGENET, 1000, 143_667_240),
        (resnet(18), IMAGENET, 1000, 11_689_512),
        (resnet(34), IMAGENET, 1000, 21_797_672),
        (resnet(50), IMAGENET, 1000, 25_557_032),
        (resnet(50, stride_in="3x3"), IMAGENET, 1000, 25_557_032),
        (resnet(101), IMAGENET, 1000, 44_549_160),
        (resnet(152), IMAGENET, 1000, 60_192_808),
        (resnet_cifar(20), (32, 32, 3), 10, 269_722),
        (resnet_cifar(110), (32, 32, 3), 10, 1_727_962),
        (densenet(121), IMAGENET, 1000, 7_978_856),
        (densenet(161), IMAGENET, 1000, 28_681_000),
        (densenet(169), IMAGENET, 1000, 14_149_480),
        (densenet(201), IMAGENET, 1000, 20_013_928),
        (densenet(264), IMAGENET, 1000, 33_337_704),
        # 1.0, 7.0 and 27.2 million in the paper, with bottlenecks 0.8, 15.3 and 25.6.
        (densenet_cifar(40, 12, False, 1.0), (32, 32, 3), 10, 1_019_722),
        (densenet_cifar(100, 12, False, 1.0), (32, 32, 3), 10, 6_979_642),
        (densenet_cifar(100, 24, False, 1.0), (32, 32, 3), 10, 27_249_082),
        (densenet_cifar(), (32, 32, 3), 10, 769_162),
        (densenet_cifar(250, 24), (32, 32, 3), 10, 15_324_406),
        (densenet_cifar(190, 40), (32, 32, 3), 10, 25_624_430),
        (googlenet(), IMAGENET, 1000, 6_998_552),
        (googlenet(version="torchvision"), IMAGENET, 1000, 6_624_904),
        # Without the output layers of the two heads, 1,025,000 each: 13,378,280 with them, as in
        # Caffe's reimplementation.
        (googlenet(auxiliary=True), IMAGENET, 1000, 13_378_280 - 2 * 1_025_000),
        (squeezenet("1.0"), IMAGENET, 1000, 1_248_424),
        (squeezenet(), IMAGENET, 1000, 1_235_496),
        # Those of PyTorch's torchvision.
        (mobilenet_v2(), IMAGENET, 1000, 3_504_872),
        (mobilenet_v3("small"), IMAGENET, 1000, 2_542_856),
        (mobilenet_v3("large"), IMAGENET, 1000, 5_483_032),
        (efficientnet("b0"), IMAGENET, 1000, 5_288_548),
        (efficientnet("b1"), IMAGENET, 1000, 7_794_184),
        (efficientnet("b2"), IMAGENET, 1000, 9_109_994),
        (efficientnet("b3"), IMAGENET, 1000, 12_233_232),
        (efficientnet("b4"), IMAGENET, 1000, 19_341_616),
        (efficientnet("b5"), IMAGENET, 1000, 30_389_784),
        (efficientnet("b6"), IMAGENET, 1000, 43_040_704),
        (efficientnet("b7"), IMAGENET, 1000, 66_347_960),
        (convnext("tiny"), IMAGENET, 1000, 28_589_128),
        (convnext("small"), IMAGENET, 1000, 50_223_688),
        (convnext("base"), IMAGENET, 1000, 88_591_464),
        (convnext("large"), IMAGENET, 1000, 197_767_336),
        # That of Keras, without the statistics of its batch norms.
        (xception(), (299, 299, 3), 1000, 22_910_480 - 54_528),
        # 9,814 parameters are 2.34 % of it: Ismail-Fawaz et al., "LITE", 2023.
        (inception_time(), (251, 1), None, 420_192),
        # Those of the paper, less a token for the class with its position.
        (vit("Ti", position="learned"), IMAGENET, 1000, 5_717_416 - 2 * 192),
        (vit("S", position="learned"), IMAGENET, 1000, 22_050_664 - 2 * 384),
        (vit("B", position="learned"), IMAGENET, 1000, 86_567_656 - 2 * 768),
        (vit("L", position="learned"), IMAGENET, 1000, 304_326_632 - 2 * 1024),
        (vit("Ti"), IMAGENET, 1000, 5_679_400),
        (vit("S"), IMAGENET, 1000, 21_974_632),
        (vit("B"), IMAGENET, 1000, 86_415_592),
        (vit("L"), IMAGENET, 1000, 304_123_880),
    ],
)
def test_number_of_parameters(layers, shape, n_outputs, expected):
    assert n_parameters(layers, shape, n_outputs) == expected


def densenet_count(growth_rate, sizes, channels, stem_size, n_outputs):
    """Written out: convolutions of 1 x 1 and 3 x 3, with two numbers a map in each batch norm."""
    count = stem_size**2 * 3 * channels
    # The first convolution of DenseNet for large images has a batch norm of its own.
    count += 2 * channels if stem_size == 7 else 0
    for i, n_layers in enumerate(sizes):
        for _ in range(n_layers):
            count += 2 * channels + channels * 4 * growth_rate
            count += 2 * 4 * growth_rate + 9 * 4 * growth_rate * growth_rate
            channels += growth_rate
        if i + 1 < len(sizes):
            count += 2 * channels + channels * (channels // 2)
            channels //= 2
    return count + 2 * channels + (channels + 1) * n_outputs


def test_parameters_of_inception_time_by_hand():
    norm = 2 * 128
    first = (40 + 20 + 10 + 1) * 32 + norm
    other = 128 * 32 + (40 + 20 + 10) * 32 * 32 + 128 * 32 + norm
    shortcuts = (128 + norm) + (128 * 128 + norm)
    assert first + 5 * other + shortcuts == n_parameters(inception_time(), (251, 1))


@pytest.mark.parametrize("depth", [121, 264])
def test_parameters_of_densenet_by_hand(depth):
    sizes = {121: (6, 12, 24, 16), 264: (6, 12, 64, 48)}[depth]
    expected = densenet_count(32, sizes, 64, 7, 1000)
    assert n_parameters(densenet(depth), IMAGENET, 1000) == expected


def test_parameters_of_densenet_for_small_images_by_hand():
    expected = densenet_count(12, (16, 16, 16), 24, 3, 10)
    assert n_parameters(densenet_cifar(), (32, 32, 3), 10) == expected


def n_multiply_adds(layers, shape, n_outputs):
    nodes, _ = built(layers, shape, n_outputs)
    return sum(node.multiply_adds for node in walk(nodes))


@pytest.mark.parametrize(
    ("layers", "millions"),
    [
        # Of the papers' tables.
        (mobilenet_v2(), 300),
        (mobilenet_v2(1.4), 585),
        (mobilenet_v3("large"), 219),
        (mobilenet_v3("small"), 56),
        (efficientnet("b0"), 390),
        (convnext("tiny"), 4500),
        (convnext("small"), 8700),
        (resnet(50), 3800),
        # Of torchvision.
        (resnet(50, stride_in="3x3"), 4090),
    ],
)
def test_multiplications_with_additions(layers, millions):
    assert n_multiply_adds(layers, IMAGENET, 1000) == pytest.approx(millions * 1e6, rel=0.02)


def test_counting_agrees_with_a_network():
    layers = resnet_cifar(20)
    network = compile_network(layers, (32, 32, 3))
    count = sum(array.size for array in network.parameters().values())
    assert count == n_parameters(layers, (32, 32, 3))


@pytest.mark.parametrize(
    ("layers", "shape", "expected"),
    [
        (
            lenet5(),
            (32, 32, 1),
            {
                "conv1": (28, 28, 6),
                "pool1": (14, 14, 6),
                "conv2": (10, 10, 16),
                "pool2": (5, 5, 16),
                "dense1": (120,),
                "dense2": (84,),
            },
        ),
        (
            alexnet(),
            (227, 227, 3),
            {
                "conv1": (55, 55, 96),
                "pool1": (27, 27, 96),
                "conv2": (27, 27, 256),
                "pool2": (13, 13, 256),
                "conv3": (13, 13, 384),
                "conv5": (13, 13, 256),
                "pool3": (6, 6, 256),
            },
        ),
        (
            zfnet(),
            IMAGENET,
            {
                "conv1": (110, 110, 96),
                "pool1": (55, 55, 96),
                "conv2": (26, 26, 256),
                "pool2": (13, 13, 256),
                "conv3": (13, 13, 512),
                "conv4": (13, 13, 1024),
                "conv5": (13, 13, 512),
                "pool3": (6, 6, 512),
            },
        ),
        (
            vgg("E"),
            IMAGENET,
            {
                "pool1": (112, 112, 64),
                "pool2": (56, 56, 128),
                "pool3": (28, 28, 256),
                "conv4_4": (28, 28, 512),
                "pool5": (7, 7, 512),
            },
        ),
        (
            googlenet(),
            IMAGENET,
            {
                "conv1": (112, 112, 64),
                "pool1": (56, 56, 64),
                "pool2": (28, 28, 192),
                "inception3a": (28, 28, 256),
                "inception3b": (28, 28, 480),
                "inception4a": (14, 14, 512),
                "inception4e": (14, 14, 832),
                "inception5b": (7, 7, 1024),
                "pool5": (1024,),
            },
        ),
        (
            resnet(50),
            IMAGENET,
            {
                "conv1": (112, 112, 64),
                "pool1": (56, 56, 64),
                "stage1/block3": (56, 56, 256),
                "stage2/block4": (28, 28, 512),
                "stage3/block6": (14, 14, 1024),
                "stage4/block3": (7, 7, 2048),
                "average": (2048,),
            },
        ),
        (
            resnet_cifar(20),
            (32, 32, 3),
            {
                "stage1/block3": (32, 32, 16),
                "stage2/block3": (16, 16, 32),
                "stage3/block3": (8, 8, 64),
            },
        ),
        (
            densenet(121),
            IMAGENET,
            {
                "pool1": (56, 56, 64),
                "block1": (56, 56, 256),
                "transition1/pool": (28, 28, 128),
                "block2": (28, 28, 512),
                "block3": (14, 14, 1024),
                "block4": (7, 7, 1024),
            },
        ),
        (
            densenet(161),
            IMAGENET,
            {
                "pool1": (56, 56, 96),
                "block1": (56, 56, 384),
                "block2": (28, 28, 768),
                "block3": (14, 14, 2112),
                "block4": (7, 7, 2208),
            },
        ),
        (
            densenet_cifar(),
            (32, 32, 3),
            {
                "conv1": (32, 32, 24),
                "block1": (32, 32, 216),
                "transition1": (16, 16, 108),
                "block2": (16, 16, 300),
                "block3": (8, 8, 342),
            },
        ),
        (densenet_cifar(40, 12, False, 1.0), (32, 32, 3), {"block3": (8, 8, 448)}),
        (
            squeezenet("1.0"),
            IMAGENET,
            {
                "conv1": (109, 109, 96),
                "pool1": (54, 54, 96),
                "fire3": (54, 54, 256),
                "fire7": (27, 27, 512),
                "fire8": (13, 13, 512),
            },
        ),
        (
            squeezenet("1.1"),
            IMAGENET,
            {
                "conv1": (111, 111, 64),
                "pool1": (55, 55, 64),
                "fire2": (55, 55, 128),
                "fire4": (27, 27, 256),
                "fire8": (13, 13, 512),
            },
        ),
        (
            mobilenet_v2(),
            IMAGENET,
            {
                "conv1": (112, 112, 32),
                "stage1": (112, 112, 16),
                "stage2/block1/expand": (112, 112, 96),
                "stage2/block1/depthwise": (56, 56, 96),
                "stage2": (56, 56, 24),
                "stage3": (28, 28, 32),
                "stage4": (14, 14, 64),
                "stage5": (14, 14, 96),
                "stage6": (7, 7, 160),
                "stage7": (7, 7, 320),
                "conv2": (7, 7, 1280),
            },
        ),
        (
            mobilenet_v2(0.5, 256, (1, 1, 1, 2, 2, 1, 2, 1)),
            (32, 32, 3),
            {
                "conv1": (32, 32, 16),
                "stage2": (32, 32, 16),
                "stage3": (16, 16, 16),
                "stage4": (8, 8, 32),
                "stage7": (4, 4, 160),
                "conv2": (4, 4, 256),
            },
        ),
        (
            mobilenet_v3("large"),
            IMAGENET,
            {
                "block1": (112, 112, 16),
                "block3": (56, 56, 24),
                "block6": (28, 28, 40),
                "block12": (14, 14, 112),
                "block15": (7, 7, 160),
                "conv2": (7, 7, 960),
                "dense1": (1280,),
            },
        ),
        (
            mobilenet_v3("small"),
            IMAGENET,
            {
                "block1": (56, 56, 16),
                "block3": (28, 28, 24),
                "block8": (14, 14, 48),
                "block11": (7, 7, 96),
                "conv2": (7, 7, 576),
                "dense1": (1024,),
            },
        ),
        (
            efficientnet("b0"),
            IMAGENET,
            {
                "stage1": (112, 112, 16),
                "stage2": (56, 56, 24),
                "stage3": (28, 28, 40),
                "stage4": (14, 14, 80),
                "stage5": (14, 14, 112),
                "stage6": (7, 7, 192),
                "stage7": (7, 7, 320),
                "conv2": (7, 7, 1280),
            },
        ),
        (
            xception(),
            (299, 299, 3),
            {
                "conv1": (149, 149, 32),
                "conv2": (147, 147, 64),
                "block1": (74, 74, 128),
                "block2": (37, 37, 256),
                "block3": (19, 19, 728),
                "block11": (19, 19, 728),
                "block12": (10, 10, 1024),
                "conv4": (10, 10, 2048),
            },
        ),
        (
            convnext("tiny"),
            IMAGENET,
            {
                "stage1": (56, 56, 96),
                "stage2": (28, 28, 192),
                "stage3": (14, 14, 384),
                "stage4": (7, 7, 768),
                "norm5": (768,),
            },
        ),
        (
            inception_time(),
            (251, 1),
            {
                "block1/module1/branches": (251, 128),
                "block1/module2/branches/branch1/bottleneck": (251, 32),
                "block2": (251, 128),
                "average": (128,),
            },
        ),
        (tdnn(), (15, 16), {"conv1": (13, 8), "conv2": (9, 3), "pool": (3,)}),
        (
            speech_cnn(),
            (40, 11, 3),
            {"conv1": (40, 1, 96), "pool1": (20, 1, 96), "dense2": (1024,)},
        ),
        (unet(), (64, 96, 1), {"conv2": (64, 96, 64), "level": (64, 96, 128)}),
        (
            pose_net(),
            (220, 220, 3),
            {
                "conv1": (55, 55, 96),
                "pool1": (27, 27, 96),
                "pool2": (13, 13, 256),
                "pool3": (6, 6, 256),
            },
        ),
        (box_localizer(), (64, 64, 1), {"pool3": (8, 8, 128), "flatten": (8192,)}),
    ],
)
def test_sizes_of_maps(layers, shape, expected):
    seen = map_shapes(layers, shape)
    assert {path: seen[path] for path in expected} == expected


@pytest.mark.parametrize(
    ("layers", "shape", "depth"),
    [
        *((vgg(config), IMAGENET, n) for config, n in (("A", 11), ("C", 16), ("E", 19))),
        *((resnet(depth), IMAGENET, depth) for depth in (18, 50, 101)),
        *((resnet_cifar(depth), (32, 32, 3), depth) for depth in (20, 44)),
        (densenet(169), IMAGENET, 169),
        (densenet(161), IMAGENET, 161),
        # The paper's table of its blocks adds up to one more.
        (densenet(264), IMAGENET, 265),
        (densenet_cifar(), (32, 32, 3), 100),
        (densenet_cifar(40, bottleneck=False), (32, 32, 3), 40),
    ],
)
def test_depth_counts_layers_with_weights(layers, shape, depth):
    nodes, _ = built(layers, shape, 10)
    counted = [
        node
        for node in walk(nodes)
        if isinstance(node, (ConvNode, DenseNode)) and "/shortcut/" not in node.path
    ]
    assert len(counted) == depth


def field(*windows):
    """Size and stride of what a unit sees after windows of some size and stride."""
    size, step = 1, 1
    for window, stride in windows:
        size += (window - 1) * step
        step *= stride
    return size, step


def seen(layers, shape, layer):
    found = receptive_field(compile_network(layers, shape, random_state=0), layer)
    assert len(set(found.size)) == len(set(found.stride)) == 1
    return found.size[0], found.stride[0]


def test_receptive_fields():
    """Along the longest way, from the papers' tables."""
    blocks = [(1, 1), (2, 2), (2, 3), (2, 4), (1, 3), (2, 3), (1, 1)]
    mobile = [(3, stride if j == 0 else 1) for stride, n in blocks for j in range(n)]
    expected = field((3, 2), *mobile)
    assert expected == (491, 32)
    assert seen(mobilenet_v2(0.1, 16), IMAGENET, "stage7") == expected

    halving = [(3, 1), (3, 1), (3, 2)]
    expected = field((3, 2), (3, 1), *3 * halving, *24 * [(3, 1)], *halving, (3, 1), (3, 1))
    assert seen(xception(1 / 32), (299, 299, 3), "conv4") == expected

    down = [(2, 2)]
    expected = field((4, 4), *3 * [(7, 1)], *down, *3 * [(7, 1)], *down, *9 * [(7, 1)], *down,
                     *3 * [(7, 1)])  # fmt: skip
    assert seen(convnext(width=1 / 48), IMAGENET, "stage4") == expected

    dense = 16 * [(3, 1)]
    expected = field((3, 1), *dense, (2, 2), *dense, (2, 2), *dense)
    assert seen(densenet_cifar(growth_rate=1), (32, 32, 3), "block3") == expected

    assert seen(inception_time(2), (251, 1), "activation2") == field(*6 * [(40, 1)])
    fires = [(3, 1), (3, 1), (3, 2)]
    expected = field((3, 2), (3, 2), *fires, *fires, *4 * [(3, 1)])
    assert seen(squeezenet(width=1 / 16), IMAGENET, "fire8") == expected

    # Squeeze and excitation sees all of an image.
    whole = receptive_field(compile_network(mobilenet_v3("small", 0.1), (64, 64, 3)), "conv2")
    assert whole.size == (64, 64)


@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("shape", [(32, 32, 1), (64, 96, 3)])
def test_fcn_gives_maps_of_the_size_of_the_image(stride, shape):
    layers = fcn(5, stride, width=1 / 32, units=(8, 8))
    assert Sequential(layers).output_shape(shape) == (*shape[:-1], 5)


@pytest.mark.parametrize("depth", [0, 1, 3, 4])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_unet_gives_maps_of_the_size_of_the_image(depth, batch_norm):
    layers = unet(width=1 / 16, depth=depth, batch_norm=batch_norm)
    assert Sequential(layers).output_shape((32, 48, 3)) == (32, 48, 4)


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_unet_says_what_must_divide_the_size(depth, data_format):
    layers, divisor = unet(width=1 / 16, depth=depth), 2**depth
    size = 3 * divisor - divisor // 2
    message = (
        rf"level.*different sizes.*For these layers the height must be a multiple of {divisor} "
        rf"and the width must be a multiple of {divisor}, as in \({3 * divisor}, {4 * divisor}\)"
    )
    shape = (size, 4 * divisor - 1, 1)
    with pytest.raises(ValueError, match=message):
        compile_network(layers, shape)
    if data_format == "channels_first":
        shape = (1, *shape[:-1])
    X, y = np.zeros((2, *shape)), np.zeros((2, size, 4 * divisor - 1), int)
    with pytest.raises(ValueError, match=message):
        ConvNetClassifier(layers, data_format=data_format).fit(X, y)


def test_response_norm_is_that_of_alexnet():
    """``x / (2 + 1e-4 sum x^2)^0.75``, the sum over 5 maps and not their mean."""
    norm = dict(alexnet())["response1"]
    network = compile_network([("norm", norm)], (1, 1, 8), dtype="float64")
    x = np.random.RandomState(0).normal(0, 50, 8)
    padded = np.pad(x**2, 2)
    sums = np.array([padded[i : i + 5].sum() for i in range(8)])
    seen = network.forward(x.reshape(1, 1, 1, 8)).ravel()
    np.testing.assert_allclose(seen, x / (2 + 1e-4 * sums) ** 0.75, rtol=1e-12)


def test_padded_shortcut_takes_every_other_pixel_and_zeros():
    shortcut = dict(resnet_cifar(8))["stage2"].layers[0][1].shortcut
    network = compile_network([("shortcut", shortcut)], (5, 4, 3))
    X = np.random.RandomState(0).normal(size=(2, 5, 4, 3)).astype(np.float32)
    Y = network.forward(X)
    np.testing.assert_array_equal(Y[..., :3], X[:, ::2, ::2])
    np.testing.assert_array_equal(Y[..., 3:], 0)
    assert not network.parameters()


# ---------------------------------------------------------------------------
# What all of them have in common
# ---------------------------------------------------------------------------

#: name: (function with arguments that make it small, shape of a sample)
SMALL = {
    "lenet5": (partial(lenet5), (32, 32, 1)),
    "lenet5_max": (partial(lenet5, pool="max", activation="relu"), (32, 32, 1)),
    "alexnet": (partial(alexnet, width=1 / 16, units=(8, 8)), (67, 67, 3)),
    "alexnet_2": (partial(alexnet, width=1 / 16, units=(8,), groups=2), (67, 67, 3)),
    "zfnet": (partial(zfnet, width=1 / 32, units=(8, 8)), (64, 64, 3)),
    "vgg_a_lrn": (partial(vgg, "A-LRN", width=1 / 16, units=(8, 8)), (32, 32, 3)),
    "vgg_c": (partial(vgg, "C", width=1 / 16, units=(8, 8)), (32, 32, 3)),
    "vgg_e": (
        partial(vgg, "E", width=1 / 16, units=(8,), batch_norm=True),
        (32, 32, 3),
    ),
    "googlenet": (partial(googlenet, width=1 / 4), (32, 32, 3)),
    "resnet18": (partial(resnet, 18, width=1 / 8), (32, 32, 3)),
    "resnet50": (partial(resnet, 50, width=1 / 16), (64, 64, 3)),
    "resnet50_pre": (
        partial(resnet, 50, width=1 / 16, pre_activation=True),
        (32, 32, 3),
    ),
    "resnet_cifar": (partial(resnet_cifar, 20, width=1 / 4), (16, 16, 3)),
    "resnet_cifar_pre": (
        partial(resnet_cifar, 14, width=1 / 4, pre_activation=True, projection=True),
        (15, 13, 3),
    ),
    "resnet50_3x3": (partial(resnet, 50, width=1 / 16, stride_in="3x3"), (32, 48, 3)),
    "densenet_cifar": (partial(densenet_cifar, 16, growth_rate=4, dropout=0.1), (16, 12, 3)),
    "densenet_cifar_basic": (
        partial(densenet_cifar, 10, growth_rate=4, bottleneck=False, compression=1.0),
        (12, 12, 1),
    ),
    "squeezenet": (partial(squeezenet, width=1 / 8), (48, 35, 3)),
    "squeezenet_1.0": (partial(squeezenet, "1.0", width=1 / 16), (64, 64, 3)),
    "mobilenet_v2": (
        partial(mobilenet_v2, width=1 / 4, last_filters=16, strides=(1, 1, 2, 1, 2, 1, 2, 1)),
        (16, 16, 3),
    ),
    "mobilenet_v3": (partial(mobilenet_v3, width=1 / 8, units=64), (64, 64, 3)),
    "mobilenet_v3_small": (partial(mobilenet_v3, "small", width=1 / 8), (64, 48, 1)),
    "efficientnet": (
        partial(efficientnet, width=1 / 4, last_filters=32, strides=(1, 1, 2, 1, 1, 1, 2, 1)),
        (12, 16, 3),
    ),
    "xception": (
        partial(xception, width=1 / 16, n_middle_blocks=1, strides=(1, 2, 1, 2, 2)),
        (20, 23, 3),
    ),
    "convnext": (
        partial(convnext, width=1 / 16, patch_size=2, layer_scale=0.5, stochastic_depth=0.2),
        (16, 24, 3),
    ),
    "inception_time": (
        partial(inception_time, 4, (8, 4, 2), depth=7, bottleneck_filters=3),
        (20, 1),
    ),
    "inception_time_channels": (
        partial(inception_time, 3, (30, 5), depth=3, first_bottleneck=True),
        (20, 6),
    ),
    "densenet": (partial(densenet, 121, growth_rate=2, dropout=0.1), (32, 32, 3)),
    "tdnn": (partial(tdnn, dropout=0.1), (15, 16)),
    "tdnn_max": (
        partial(tdnn, (8, 8, 8), (3, 3, 3), (1, 2, 4), activation="relu", pool="max"),
        (20, 4),
    ),
    "speech_cnn": (partial(speech_cnn, filters=8, units=(16, 16)), (40, 11, 3)),
    "fcn": (partial(fcn, 3, width=1 / 16, units=(8, 8)), (32, 64, 3)),
    "fcn_32": (partial(fcn, 3, 32, width=1 / 16, units=(8, 8)), (32, 32, 3)),
    "unet": (partial(unet, width=1 / 16), (32, 16, 1)),
    "unet_norm": (
        partial(unet, width=1 / 16, depth=2, batch_norm=True),
        (16, 16, 1),
    ),
    "box_localizer": (
        partial(box_localizer, filters=(4, 8, 8), units=(16,)),
        (16, 16, 1),
    ),
    "vit": (partial(vit, "Ti", 4, depth=2, width=1 / 16), (12, 8, 3)),
    "vit_learned": (
        partial(
            vit,
            "S",
            (2, 4),
            depth=1,
            width=1 / 32,
            position="learned",
            dropout=0.1,
            stochastic_depth=0.2,
        ),
        (8, 8, 1),
    ),
    "pose_net": (partial(pose_net, width=1 / 16, units=(8, 8)), (64, 64, 3)),
}

every_small = pytest.mark.parametrize("name", SMALL)


def test_every_architecture_is_tested():
    tested = {make.func.__name__ for make, _ in SMALL.values()}
    assert tested == set(architectures.__all__)


@every_small
def test_layers_are_named_and_new(name):
    make, shape = SMALL[name]
    layers = make()
    assert all(isinstance(n, str) and isinstance(x, Layer) for n, x in layers)
    assert "output" not in dict(layers)
    first, second = layers_within(layers), layers_within(make())
    # A branch that is a list becomes a new Sequential each time it is read.
    ids = [id(x) for key, x in first if not key.split("__")[-1].startswith("branch")]
    others = {id(x) for key, x in second}
    assert len(set(ids)) == len(ids)
    assert not set(ids) & others
    assert [key for key, _ in first] == [key for key, _ in second]
    copy = clone(Sequential(layers))
    assert copy.output_shape(shape) == Sequential(layers).output_shape(shape)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lenet5(), lenet5(0.5, (10, 10), "relu", "max")),
        (alexnet(), alexnet(0.5, (9, 9), 0.0, "tanh", 2)),
        (zfnet(), zfnet(0.5, (9, 9), 0.0, "tanh")),
        (vgg("D"), vgg("D", 0.5, (9, 9), 0.0, "tanh")),
        (googlenet(), googlenet(0.5, 0.0, "tanh")),
        (resnet(50), resnet(50, 0.5, "tanh")),
        (resnet_cifar(20, projection=True), resnet_cifar(20, 2.0, "tanh")),
        (densenet(121), densenet(121, 12, 1.0, 0.2, "tanh")),
        (densenet_cifar(40), densenet_cifar(40, 24, True, 1.0, 0.2, "tanh")),
        (resnet(50), resnet(50, 0.5, "tanh", stride_in="3x3")),
        (squeezenet(), squeezenet("1.1", 0.5, 0.0, "tanh")),
        (mobilenet_v2(), mobilenet_v2(0.5, 64, (1, 1, 1, 2, 2, 1, 2, 1), 0.0, "tanh")),
        (mobilenet_v3(), mobilenet_v3("large", 0.5, 64, 0.0, "tanh")),
        (efficientnet(), efficientnet("b0", 0.5, 64, (1,) * 8, 0.0, 0.0, "tanh")),
        (xception(), xception(0.5, 8, (1,) * 5, 0.0, "tanh")),
        (convnext(), convnext("tiny", 0.5, 1, 1.0, 0.0, "tanh")),
        (inception_time(), inception_time(8, (9, 5, 3), 6, 4, activation="tanh")),
        (tdnn(), tdnn((5, 5), (2, 2), (1, 2), 0.5, "relu", "max")),
        (speech_cnn(), speech_cnn(8, (3, 3), (1, 2), 1, (9, 9), 0.0, "tanh")),
        (fcn(), fcn(5, 8, 0.5, (9, 9), 0.0, "tanh")),
        (unet(), unet(0.5, 4, 0.0, "tanh")),
        (vit(), vit("L", 4, 12, 0.5, "tanh", "learned", 0.1, 0.2)),
        (box_localizer(), box_localizer((4, 4, 4), 5, (9,), 0.0, "tanh")),
        (pose_net(), pose_net(0.5, (9, 9), 0.0, "tanh", 2)),
    ],
)
def test_names_do_not_depend_on_sizes(one, other):
    def names(layers):
        keys = [key for key, _ in layers_within(layers)]
        return [key for key in keys if "shortcut" not in key]

    assert names(one) == names(other)


@every_small
def test_no_bias_before_a_batch_norm(name):
    make, shape = SMALL[name]
    nodes, _ = built(make(), shape)
    chains = [nodes, *(chain for node in walk(nodes) for chain in node.chains)]
    for chain in chains:
        for before, node in pairwise(chain):
            if isinstance(node, MomentsNode) and isinstance(before, ConvNode):
                assert "bias" not in before.weights


# ---------------------------------------------------------------------------
# Runs
# ---------------------------------------------------------------------------


def trained_once(network, n, seed=0):
    """A batch, the output of a training forward, and a gradient at the output."""
    rng = np.random.RandomState(seed)
    X = rng.normal(size=(n, *network.input_shape)).astype(network.dtype)
    Y = network.forward(X, training=True).copy()
    dY = rng.normal(size=Y.shape).astype(network.dtype)
    return X, Y, dY


@every_small
def test_forward_and_backward(name):
    make, shape = SMALL[name]
    network = compile_network(make(), shape, random_state=0)
    X, Y, dY = trained_once(network, 6)
    assert Y.shape == (6, *network.output_shape)
    assert Y.dtype == np.float32
    assert np.isfinite(Y).all()
    assert Y.any()
    dX = network.backward(dY)
    assert dX.shape == X.shape
    assert np.isfinite(dX).all()
    assert dX.any()
    for path, gradient in network.gradients().items():
        assert np.isfinite(gradient).all(), path
        assert gradient.any(), path
    assert np.isfinite(network.forward(X)).all()


@every_small
def test_as_an_onnx_model(name):
    make, shape = SMALL[name]
    X = np.random.RandomState(0).normal(size=(2, *shape)).astype(np.float32)
    assert_same_output(compile_network(make(), shape, random_state=0), X)


@every_small
def test_gradient_along_a_direction(name):
    """The derivative along the gradient is the length of the gradient, in float64.

    With a smooth activation: units of small networks rest in the kink of a rectifier.
    """
    make, shape = SMALL[name]
    layers = make(activation="tanh")
    network = compile_network(layers, shape, dtype="float64", random_state=1)
    X, _, dY = trained_once(network, 6)
    network.backward(dY)
    length = np.linalg.norm(network.grads)
    direction = network.grads / length
    start = network.params.copy()
    step = 1e-6 / length

    def value(t):
        network.params[:] = start + t * direction
        return np.vdot(network.forward(X, training=True), dY)

    numerical = (value(step) - value(-step)) / (2 * step)
    np.testing.assert_allclose(numerical, length, rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "lenet5_max",
        "vgg_c",
        "googlenet",
        "resnet18",
        "densenet",
        "densenet_cifar",
        "squeezenet",
        "mobilenet_v2",
        "mobilenet_v3",
        "efficientnet",
        "xception",
        "convnext",
        "inception_time",
        "tdnn",
        "speech_cnn",
        "vit",
    ],
)
def test_fit_classifier(name):
    make, shape = SMALL[name]
    rng = np.random.RandomState(0)
    X = rng.normal(size=(12, *shape)).astype(np.float32)
    y = np.arange(12) % 3
    clf = ConvNetClassifier(make(), max_iter=2, batch_size=6, random_state=0)
    probabilities = clf.fit(X, y).predict_proba(X)
    assert probabilities.shape == (12, 3)
    assert np.isfinite(clf.loss_curve_).all()
    assert clf.layers_[-1][0] == "output"


@pytest.mark.parametrize("name", ["pose_net", "box_localizer", "unet"])
def test_fit_regressor(name):
    make, shape = SMALL[name]
    rng = np.random.RandomState(0)
    X = rng.normal(size=(12, *shape)).astype(np.float32)
    reg = ConvNetRegressor(make(), max_iter=2, random_state=0)
    assert np.isfinite(reg.fit(X, rng.normal(size=(12, 8))).predict(X)).all()


@pytest.mark.parametrize(
    "layers",
    [
        tdnn((8, 8), activation="relu", pool="max"),
        inception_time(4, (8, 4, 2), depth=3, bottleneck_filters=4, first_bottleneck=True),
    ],
    ids=["tdnn", "inception_time"],
)
def test_where_in_time_does_not_matter(layers):
    """Which of two short patterns is somewhere in a noisy signal."""
    rng = np.random.RandomState(0)
    patterns = 3 * rng.normal(size=(2, 3, 4))
    y = np.arange(200) % 2
    X = 0.3 * rng.normal(size=(200, 20, 4))
    for x, label, start in zip(X, y, rng.randint(0, 17, 200), strict=True):
        x[start : start + 3] += patterns[label]
    clf = ConvNetClassifier(layers, max_iter=20, batch_size=20, random_state=0)
    assert clf.fit(X[:150], y[:150]).score(X[150:], y[150:]) > 0.9


def test_vit_learns_digits():
    """From few samples in few epochs, far above the tenth that is chance."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32).reshape(-1, 8, 8)
    rate = LinearWarmup(CosineDecay(0.003, period=8), length=50)
    clf = ConvNetClassifier(
        vit("Ti", 2, depth=2, width=0.25),
        optimizer=Adam(rate),
        batch_size=32,
        max_iter=8,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning):
        clf.fit(X[:1000], y[:1000])
    assert clf.score(X[1000:], y[1000:]) > 0.5


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("densenet_cifar", (20, 28, 3)),
        ("squeezenet", (64, 70, 3)),
        ("mobilenet_v2", (17, 35, 3)),
        ("mobilenet_v3", (65, 40, 3)),
        ("efficientnet", (17, 35, 3)),
        ("xception", (33, 41, 3)),
        ("convnext", (32, 16, 3)),
        ("inception_time", (11, 1)),
        ("inception_time_channels", (50, 6)),
    ],
)
def test_samples_of_another_size(name, shape):
    make, usual = SMALL[name]
    network = compile_network(make(), usual, random_state=0)
    X = np.random.RandomState(0).normal(size=(2, *shape)).astype(np.float32)
    Y = network.resized(shape).forward(X)
    network = compile_network(make(), shape, random_state=0)
    np.testing.assert_array_equal(network.forward(X), Y)


def test_vit_takes_images_of_another_size_where_positions_are_not_learned():
    network = compile_network(vit("Ti", 4, depth=1, width=1 / 16), (8, 8, 1), random_state=0)
    X = np.random.RandomState(0).normal(size=(2, 12, 16, 1)).astype(np.float32)
    assert network.resized((12, 16, 1)).forward(X).shape == (2, 12)
    learned = vit("Ti", 4, depth=1, width=1 / 16, position="learned")
    network = compile_network(learned, (8, 8, 1), random_state=0)
    with pytest.raises(ValueError, match="'position'"):
        network.resized((12, 16, 1))


def test_resnet_cifar_110_trains():
    """At its full size: 48 steps of 16 images with gradient descent, in float32.

    As in the paper the learning rate begins at 0.01, since 0.1 is too large at first.
    """
    X, y = digit_images(48)
    clf = ConvNetClassifier(
        resnet_cifar(110),
        optimizer=SGD(learning_rate=0.01, momentum=0.9),
        batch_size=16,
        max_iter=16,
        random_state=0,
    )
    clf.fit(X, y)
    assert clf.network_.dtype == np.float32
    assert clf.t_ == 48 * 16
    assert np.isfinite(clf.network_.params).all()
    assert np.isfinite(clf.loss_curve_).all()
    assert np.mean(clf.loss_curve_[-3:]) < 0.3 * np.mean(clf.loss_curve_[:3])


@pytest.mark.parametrize(("call", "most"), [("resnet(50)", 2 * 2**30), ('vgg("D")', 2 * 2**30)])
def test_memory_of_a_prediction(call, most, run_python):
    # VmHWM and not ru_maxrss, to which a new process inherits its parent's memory.
    printed = run_python(
        f"""
        import numpy as np
        from sklearn_convnet.architectures import resnet, vgg
        from sklearn_convnet.layers import Dense
        from sklearn_convnet.network import compile_network

        layers = [*{call}, ("output", Dense(1000, activation=None))]
        network = compile_network(layers, (224, 224, 3), random_state=0)
        X = np.random.default_rng(0).normal(size=(1, 224, 224, 3))
        Y = network.forward(X.astype(np.float32))
        assert Y.shape == (1, 1000) and Y.dtype == np.float32
        assert np.isfinite(Y).all() and Y.std() > 0
        with open("/proc/self/status") as file:
            fields = dict(line.split(":", 1) for line in file)
        print(int(fields["VmHWM"].split()[0]) * 1024)
        """
    )
    assert int(printed) < most


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([Conv2D(8, 3, padding="same") for _ in range(100)], (32, 32, 3)),
        (resnet_cifar(110), (32, 32, 3)),
        (resnet(101, width=1 / 8), IMAGENET),
    ],
    ids=["plain", "resnet_cifar(110)", "resnet(101)"],
)
def test_a_hundred_layers_compile_in_a_second(layers, shape):
    def seconds():
        # Of this process: what else the machine does is no concern here.
        start = time.process_time()
        compile_network(layers, shape)
        return time.process_time() - start

    assert min(seconds() for _ in range(3)) < 1


# ---------------------------------------------------------------------------
# In a grid
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "shape", "key", "value", "path"),
    [
        (lenet5(), (32, 32, 1), "conv1__filters", 3, "conv1/weight"),
        (
            googlenet(1 / 8),
            (32, 32, 3),
            "inception3a__branch2__reduce__filters",
            3,
            "inception3a/branch2/reduce/weight",
        ),
        (
            resnet(50, 1 / 8),
            (32, 32, 3),
            "stage1__block2__conv1__filters",
            3,
            "stage1/block2/conv1/weight",
        ),
        (
            densenet(121, 4),
            (32, 32, 3),
            "block2__layer3__conv1__filters",
            3,
            "block2/layer3/conv1/weight",
        ),
        (
            unet(1 / 16),
            (32, 32, 1),
            "level__branch2__level__branch2__conv1__filters",
            3,
            "level/branch2/level/branch2/conv1/weight",
        ),
        (
            fcn(2, width=1 / 32, units=(4, 4)),
            (32, 32, 1),
            "skip3__skip4__conv6__filters",
            3,
            "skip3/skip4/conv6/weight",
        ),
    ],
)
def test_nested_parameters_can_be_set(layers, shape, key, value, path):
    clf = ConvNetClassifier(layers).set_params(**{key: value})
    assert clf.get_params()[key] == value
    network = compile_network(clf.layers, shape)
    assert network.parameters()[path].shape[-1] == value


def test_stride_in_the_middle_of_a_bottleneck():
    """Other maps in between, the same after each block, and weights that fit both."""
    first, middle = (resnet(50, width=1 / 16, stride_in=stride_in) for stride_in in ("1x1", "3x3"))
    shapes = [map_shapes(layers, IMAGENET) for layers in (first, middle)]
    others = {path for path in shapes[0] if shapes[0][path] != shapes[1][path]}
    inside = ("conv1", "norm1", "activation1")
    assert others == {f"stage{i}/block1/{name}" for i in (2, 3, 4) for name in inside}
    weights = [compile_network(layers, (32, 32, 3)).parameters() for layers in (first, middle)]
    assert {k: w.shape for k, w in weights[0].items()} == {
        k: w.shape for k, w in weights[1].items()
    }
    shallow = [resnet(18, stride_in=stride_in) for stride_in in ("1x1", "3x3")]
    assert map_shapes(shallow[0], IMAGENET) == map_shapes(shallow[1], IMAGENET)


@pytest.mark.parametrize(
    ("layers", "rates"),
    [
        (efficientnet(stochastic_depth=0.32), [0.32 * i / 16 for i in range(16)]),
        (convnext(), [0.1 * i / 17 for i in range(18)]),
        (convnext("base"), [0.5 * i / 35 for i in range(36)]),
        (convnext(stochastic_depth=0.0), [0.0] * 18),
    ],
)
def test_stochastic_depth_grows_with_the_blocks(layers, rates):
    """In EfficientNet the first block of a stage adds nothing, and has none."""
    blocks = [
        block for name, stage in layers if name.startswith("stage") for _, block in stage.layers
    ]
    found = [
        dict(block.layers)["drop"].rate if "drop" in dict(block.layers) else None
        for block in blocks
    ]
    assert len(found) == len(rates)
    assert [rate for rate in found if rate is not None] == pytest.approx(
        [rate for rate, f in zip(rates, found, strict=True) if f is not None]
    )
    assert found.count(None) == (7 if found[0] is None else 0)


@pytest.mark.parametrize(
    ("width", "expected"),
    [(1.0, 32), (0.5, 16), (0.35, 16), (0.3, 16), (0.25, 8), (0.01, 8), (1.4, 48), (1.3, 40)],
)
def test_filters_are_rounded_to_multiples_of_8(width, expected):
    """To the nearest, but to no less than nine tenths, as the authors of MobileNet do."""
    assert dict(mobilenet_v2(width))["conv1"].filters == expected


def test_last_convolution_of_mobilenet_grows_but_does_not_shrink():
    filters = [dict(mobilenet_v2(width))["conv2"].filters for width in (0.5, 1.0, 1.4)]
    assert filters == [1280, 1280, 1792]


def test_only_blocks_that_fit_have_a_sum():
    """17 blocks, of which 10 have the shape of their input, as in the paper's table."""
    stages = [layer for name, layer in mobilenet_v2() if name.startswith("stage")]
    blocks = [block for stage in stages for _, block in stage.layers]
    assert [isinstance(block, Residual) for block in blocks] == [
        j > 0 for n in (1, 2, 3, 4, 3, 3, 1) for j in range(n)
    ]


@pytest.mark.parametrize("size", [8, 13, 14, 27])
def test_pools_of_squeezenet_are_clipped_at_the_end(size):
    pool = dict(squeezenet())["pool1"]
    network = compile_network([("pool", pool)], (size, size, 1), dtype="float64")
    X = -np.random.RandomState(0).uniform(1, 2, (1, size, size, 1))
    starts = range(0, max(1, size - 2), 2) if size % 2 else range(0, size - 1, 2)
    expected = [[X[0, i : i + 3, j : j + 3].max() for j in starts] for i in starts]
    np.testing.assert_array_equal(network.forward(X)[0, :, :, 0], expected)


def test_inception_time_beside_other_depths():
    names = [name for name, _ in inception_time(depth=5)]
    assert names == ["block1", "activation1", "module4", "module5", "average"]
    assert [name for name, _ in inception_time(depth=1)] == ["module1", "average"]
    without, with_ = (
        n_parameters(inception_time(first_bottleneck=first), (50, 6)) for first in (False, True)
    )
    # The long filters see 32 maps in the place of 6.
    assert with_ - without == 6 * 32 + (40 + 20 + 10) * (32 - 6) * 32


def test_grid_search():
    X, y = digit_images(60)
    clf = ConvNetClassifier(lenet5(), batch_size=10, max_iter=2, random_state=0)
    grid = [
        {"conv1__filters": [2, 4], "dense2": ["passthrough"]},
        {"layers": [lenet5(0.5, pool="max"), resnet_cifar(8, width=0.25)]},
        {
            "layers": [resnet_cifar(8, width=0.25)],
            "stage1__block1__conv1__filters": [2],
            "stage2__block1__norm1": ["passthrough", BatchNorm(momentum=0.5)],
        },
    ]
    search = GridSearchCV(clf, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 6
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# ---------------------------------------------------------------------------
# Wrong arguments
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: vgg("F"), r"config must be one of 'A', 'A-LRN', .*got 'F'"),
        (lambda: vgg(["A"]), "config must be one of"),
        (lambda: resnet(20), "depth must be one of 18, 34, 50, 101, 152, got 20"),
        (lambda: resnet_cifar(21), r"depth must be 6 n \+ 2, .*got 21"),
        (lambda: resnet_cifar(2), r"depth must be 6 n \+ 2"),
        (lambda: densenet(100), "depth must be one of 121, 161, 169, 201, 264, got 100"),
        (lambda: densenet_cifar(41), r"depth must be 6 n \+ 4 with bottleneck=True.*got 41"),
        (lambda: densenet_cifar(4), r"depth must be 6 n \+ 4"),
        (lambda: densenet_cifar(41, bottleneck=False), r"depth must be 3 n \+ 4"),
        (lambda: resnet(50, stride_in="5x5"), "stride_in must be one of '1x1', '3x3', got '5x5'"),
        (lambda: squeezenet("2"), "version must be one of '1.0', '1.1', got '2'"),
        (lambda: alexnet(version="2014"), "version must be one of 'paper', 'torchvision', got"),
        (lambda: googlenet(version="v2"), "version must be one of 'paper', .*got 'v2'"),
        (lambda: mobilenet_v2(width=0), "width must be above 0, got 0"),
        (lambda: mobilenet_v2(strides=(1, 2)), "strides must have 8 entries, .*got 2"),
        (lambda: mobilenet_v3("tiny"), "size must be one of 'small', 'large', got 'tiny'"),
        (lambda: efficientnet("b8"), "size must be one of 'b0', .*got 'b8'"),
        (lambda: efficientnet(width=-1.0), "width must be above 0"),
        (lambda: efficientnet(strides=(1,) * 9), "strides must have 8 entries, .*got 9"),
        (lambda: xception(strides=(2, 2)), "strides must have 5 entries, .*got 2"),
        (lambda: xception(n_middle_blocks=-1), "n_middle_blocks must be at least 0, got -1"),
        (lambda: convnext("huge"), "size must be one of 'tiny', .*got 'huge'"),
        (lambda: inception_time(depth=0), "depth must be at least 1, got 0"),
        (lambda: fcn(stride=4), "stride must be one of 8, 16, 32"),
        (lambda: lenet5(pool="lp"), "pool must be one of 'mean', 'max'"),
        (lambda: tdnn(pool="none"), "pool must be one of 'mean', 'max'"),
        (lambda: tdnn((8, 8, 8)), "filters has 3, kernel_sizes has 2"),
        (lambda: unet(depth=-1), "depth must be at least 0"),
        (lambda: alexnet(width=0), "width must be above 0, got 0"),
        (lambda: resnet(18, width=-1.0), "width must be above 0"),
        (lambda: vit("XL"), "size must be one of 'Ti', 'S', 'B', 'L', got 'XL'"),
        (lambda: vit(depth=0), "depth must be at least 1, got 0"),
    ],
)
def test_wrong_arguments(make, match):
    with pytest.raises(ValueError, match=match):
        make()
