"""Networks of PyTorch and torchvision, read from the ONNX models that PyTorch writes.

They predict what onnxruntime computes of the model, and learn what PyTorch learns: gradients of a
training step are compared. Where a parameter of PyTorch's lies in a network here is what reading
has to find out, so PyTorch's gradients are brought into place by being read as its parameters.

`make test-oracle ARGS="-m whole"` reads the models in the sizes in which they are used, too.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import io
import types
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torchvision_models import models, ops, with_small_dense

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.interchange import from_onnx
from sklearn_convnet.network import compile_network

#: Largest errors, as shares of the largest number.
PREDICTION, GRADIENT = 1e-4, 1e-4


# ---------------------------------------------------------------------------
# Models
# ---------------------------------------------------------------------------


def shake(net):
    """Gives batch norms statistics of their own, other numbers to what begins as one number, and
    layer scales a size that can be seen."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            shape = module.running_mean.shape
            module.running_mean.copy_(torch.randn(shape, generator=generator) / 10)
            module.running_var.copy_(torch.rand(shape, generator=generator) + 0.5)
        for name, parameter in module.named_parameters(recurse=False):
            if name == "layer_scale":
                parameter.data.fill_(0.5)
            if parameter.numel() > 1 and parameter.min() == parameter.max():
                parameter.data += torch.randn(parameter.shape, generator=generator) / 10
    return net


def without_chance(net):
    """Lets nothing be dropped in training."""
    for module in net.modules():
        if isinstance(module, (nn.Dropout, ops.StochasticDepth)):
            module.p = 0.0
    return net


def vision(name):
    """A model of torchvision with random weights: one of `SMALL_VISION`, or as it is."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name in SMALL_VISION:
            return shake(SMALL_VISION[name]()).eval()
        options = {}
        if name in ("googlenet", "inception_v3"):
            options = {"aux_logits": False, "init_weights": False}
        return shake(getattr(models, name)(weights=None, num_classes=7, **options)).eval()


def written(net, X, dynamo=False):
    """The ONNX model of a network as it is, with its batch norms and any number of samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            free = ({0: torch.export.Dim.DYNAMIC},)
            found = torch.onnx.export(net, (X,), dynamo=True, verbose=False, dynamic_shapes=free)
            return found.model_proto
        file = io.BytesIO()
        torch.onnx.export(
            net,
            (X,),
            file,
            dynamo=False,
            input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
        )
    return onnx.load_from_string(file.getvalue())


def network_of(model, shape, dtype):
    """The network that is read of a model, for samples of a shape with the channels first."""
    layers, weights = from_onnx(model)
    network = compile_network(layers, (*shape[1:], shape[0]), dtype=dtype, random_state=0)
    own = {**network.parameters(), **network.buffers()}
    assert set(own) == set(weights)
    for path, array in weights.items():
        own[path][...] = array
    return network


def last(X):
    """Maps with their channels last, as an array."""
    return np.ascontiguousarray(np.moveaxis(X.detach().numpy(), 1, -1))


def assert_close(found, expected, tolerance):
    assert found.shape == expected.shape
    error, largest = np.abs(found - expected).max(), np.abs(expected).max()
    assert error <= tolerance * max(largest, 1e-3)


def assert_predicts(net, X, dynamo=False):
    """In float32, what onnxruntime computes of the model, which is returned."""
    model = written(net, X, dynamo)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (expected, *_) = session.run(None, {session.get_inputs()[0].name: X.numpy()})
    found = network_of(model, X.shape[1:], "float32").forward(last(X))
    assert_close(found, np.moveaxis(expected, 1, -1), PREDICTION)
    return model


def assert_learns(net, X, model):
    """One step of training, in float64, with the statistics of the batch."""
    net, X = without_chance(net).double().train(), X.double()
    network = network_of(model, X.shape[1:], "float64")
    Y = net(X)
    torch.manual_seed(2)
    dY = torch.randn_like(Y)
    (Y * dY).sum().backward()
    assert_close(network.forward(last(X), training=True), last(Y), PREDICTION)
    network.backward(last(dY))
    expected = gradients_in_place(net, model)
    learnt = [segment.path for segment in network.segments if segment.trainable]
    largest = max(np.abs(expected[path]).max() for path in learnt)
    for path, gradient in network.gradients().items():
        if path in learnt:
            error = np.abs(gradient - expected[path]).max()
            assert error <= GRADIENT * max(np.abs(expected[path]).max(), 1e-3 * largest), path


def gradients_in_place(net, model):
    """PyTorch's gradients by paths of parameters here: the model is read with them as weights."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, parameter in net.named_parameters():
        gradient = parameter.grad.numpy().astype(np.float32)
        tensors[name].CopyFrom(onnx.numpy_helper.from_array(gradient, name))
    return from_onnx(model)[1]


# ---------------------------------------------------------------------------
# torchvision
# ---------------------------------------------------------------------------


def small_resnet(block, **options):
    return models.ResNet(getattr(models.resnet, block), [1, 1, 1, 1], num_classes=7, **options)


def small_vgg():
    return with_small_dense(models.VGG(models.vgg.make_layers([8, "M", 16, 16, "M"], True)), 784)


def small_efficientnet():
    stage = models.efficientnet.MBConvConfig
    stages = [stage(1, 3, 1, 8, 8, 1), stage(6, 3, 2, 8, 8, 2), stage(6, 5, 2, 8, 16, 1)]
    return models.EfficientNet(stages, 0.0, num_classes=7, last_channel=64)


def small_convnext():
    stage = models.convnext.CNBlockConfig
    return models.ConvNeXt([stage(8, 16, 1), stage(16, 24, 2), stage(24, None, 1)], num_classes=7)


#: Networks of torchvision's classes with fewer or narrower layers than those in use.
SMALL_VISION = {
    "small alexnet": lambda: with_small_dense(models.alexnet(), 256 * 36),
    "small vgg": small_vgg,
    "small resnet": lambda: small_resnet("BasicBlock"),
    "small resnext": lambda: small_resnet("Bottleneck", groups=4, width_per_group=8),
    "small densenet": lambda: models.DenseNet(8, (2, 3, 2), 16, num_classes=7),
    "small mobilenet_v2": lambda: models.MobileNetV2(
        7, inverted_residual_setting=[[1, 8, 1, 1], [6, 12, 2, 2], [6, 16, 2, 1]]
    ),
    "small efficientnet": small_efficientnet,
    "small convnext": small_convnext,
}

#: The length of images, where it is not 40.
SIZES = {
    "alexnet": 224,
    "small alexnet": 224,
    "vgg11_bn": 224,
    "small vgg": 28,
    "inception_v3": 75,
}

#: All that is read of torchvision. Nobody would wait for these at each change.
WHOLE = [
    *("alexnet", "vgg11_bn", "resnet18", "resnet50", "resnext50_32x4d", "densenet121"),
    *("googlenet", "inception_v3", "squeezenet1_1", "mobilenet_v2", "mobilenet_v3_small"),
    *("mobilenet_v3_large", "efficientnet_b0", "convnext_tiny", "shufflenet_v2_x0_5"),
]


def assert_reads(name, dynamo=False):
    torch.manual_seed(0)
    X = torch.randn(3, 3, *[SIZES.get(name, 40)] * 2)
    net = vision(name)
    model = assert_predicts(net, X, dynamo)
    if not dynamo:  # it puts batch norms into the weights before them
        assert_learns(net, X, model)


@pytest.mark.parametrize(
    "name",
    [*SMALL_VISION, "googlenet", "squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5"],
)
def test_models_of_torchvision(name):
    assert_reads(name)


def test_a_model_of_the_other_exporter():
    assert_reads("small mobilenet_v2", dynamo=True)


@pytest.mark.whole
@pytest.mark.parametrize("dynamo", [False, True])
@pytest.mark.parametrize("name", WHOLE)
def test_whole_models(name, dynamo):
    assert_reads(name, dynamo)


def test_a_classifier_of_torchvision_goes_on_training():
    X = torch.randn(6, 3, 32, 32)
    net = vision("squeezenet1_1")
    names = np.array(["g", "f", "e", "d", "c", "b", "a"])
    with torch.no_grad():
        expected = torch.softmax(net(X), 1).numpy()
    options = dict(data_format="channels_first", random_state=0)
    ordered = np.sort(names)
    clf = ConvNetClassifier.from_onnx(written(net, X), ordered, **options)
    assert_close(clf.predict_proba(X.numpy()), expected, PREDICTION)
    assert list(clf.predict(X.numpy())) == list(ordered[expected.argmax(1)])
    clf.partial_fit(X.numpy(), ordered[:6])
    assert clf.n_iter_ == 1
    net = vision("small resnet")
    with torch.no_grad():
        expected = torch.softmax(net(X), 1).numpy()
    clf = ConvNetClassifier.from_onnx(written(net, X), names, **options)
    assert_close(clf.predict_proba(X.numpy()), expected[:, ::-1], PREDICTION)
    assert clf.output == "auto"


# ---------------------------------------------------------------------------
# Operators, one by one
# ---------------------------------------------------------------------------


class Net(nn.Module):
    """A network from a function of its layers and its input."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function, self.layers = function, nn.ModuleDict(layers)

    def forward(self, X):
        return self.function(types.SimpleNamespace(**self.layers), X)


def shuffled(X, groups):
    n, c, h, w = X.shape
    return X.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


def joined(*parts):
    return torch.cat(parts, 1)


SMALL = {
    "ceil": nn.Sequential(nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(4, 5, 3)),
    "ceil-beyond": nn.Sequential(nn.MaxPool2d(2, 3, ceil_mode=True), nn.Conv2d(4, 5, 1)),
    "ceil-mean": nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "zeros-in-mean": nn.AvgPool2d(3, 2, 1),
    "zeros-in-mean-ceil": nn.AvgPool2d(3, 2, 1, ceil_mode=True),
    "borders": nn.Sequential(nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(4, 5, 3, stride=2, padding=1)),
    "same": nn.Conv2d(4, 5, (4, 3), padding="same"),
    "groups": nn.Conv2d(4, 6, 3, groups=2, dilation=2, padding=2),
    "depthwise": nn.Conv2d(4, 8, 3, groups=4, bias=False),
    "transposed": nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    "flatten": nn.Sequential(
        nn.Conv2d(4, 5, 3), nn.Flatten(), nn.BatchNorm1d(240), nn.Linear(240, 4)
    ),
    "bilinear": nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(4, 3, 3)),
    "nearest": nn.Sequential(nn.Upsample(scale_factor=(2, 3)), nn.Conv2d(4, 3, 3)),
    "group-norm": nn.Sequential(nn.GroupNorm(2, 4), nn.Conv2d(4, 3, 3)),
    "instance-norm": nn.Sequential(nn.InstanceNorm2d(4, affine=True), nn.Conv2d(4, 3, 3)),
    "layer-norm": Net(
        lambda n, X: n.norm(X.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), norm=nn.LayerNorm(4)
    ),
    **{
        f"activation-{one}": nn.Sequential(nn.Conv2d(4, 5, 3), getattr(nn, one)())
        for one in ("ReLU6", "SiLU", "GELU", "Hardswish", "Hardsigmoid", "ELU", "LeakyReLU")
    },
    "clip": Net(
        lambda n, X: n.b(torch.clamp(n.a(X), -0.5, 0.7)), a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 3, 1)
    ),
    "shuffle": Net(
        lambda n, X: n.b(shuffled(n.a(X), 2)), a=nn.Conv2d(4, 6, 1), b=nn.Conv2d(6, 4, 3, groups=2)
    ),
    "chunks": Net(
        lambda n, X: joined(X.chunk(2, 1)[0], n.a(X.chunk(2, 1)[1])), a=nn.Conv2d(2, 3, 1)
    ),
    "crop": Net(lambda n, X: n.a(X[:, 1:, 1:-2, 2:]), a=nn.Conv2d(3, 3, 1)),
    "forks": Net(
        lambda n, X: joined(n.a(X), n.c(n.b(X)), n.d(n.b(X)), X),
        **{name: nn.Conv2d(4, 4, 1) for name in "abcd"},
    ),
    "u": Net(
        lambda n, X: joined(n.up(n.b(n.down(n.a(X)))), n.a(X)),
        a=nn.Conv2d(4, 4, 3, padding=(1, 1)),
        down=nn.MaxPool2d(2),
        b=nn.Conv2d(4, 4, 1),
        up=nn.ConvTranspose2d(4, 4, 2, 2),
    ),
    "excited": ops.SqueezeExcitation(4, 2),
    "spatial-gate": Net(lambda n, X: X * torch.sigmoid(n.a(X)), a=nn.Conv2d(4, 1, 3, padding=1)),
    "sum-of-three": Net(
        lambda n, X: n.a(X) + n.b(X) + X, a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 4, 3, padding=1)
    ),
    "mean": Net(lambda n, X: n.a(n.b(X).mean((2, 3))), b=nn.Conv2d(4, 5, 3), a=nn.Linear(5, 2)),
    "constants": Net(
        lambda n, X: n.a((X - torch.arange(4.0).view(4, 1, 1)) / 3 + 0.5), a=nn.Conv2d(4, 2, 3)
    ),
    "norm-by-hand": Net(
        lambda n, X: (
            (X - X.mean(1, True)) / torch.sqrt((X - X.mean(1, True)).pow(2).mean(1, True) + 0.1)
        )
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_operators(name):
    torch.manual_seed(0)
    X = torch.randn(3, 4, 10, 8)
    net = shake(SMALL[name]).eval()
    model = assert_predicts(net, X)
    if list(net.parameters()) and name != "constants":
        assert_learns(net, X, model)


@pytest.mark.parametrize("n_axes", [1, 3])
def test_signals_and_volumes(n_axes):
    torch.manual_seed(0)
    conv, norm, pool, mean = (
        getattr(nn, f"{name}{n_axes}d")
        for name in ("Conv", "BatchNorm", "MaxPool", "AdaptiveAvgPool")
    )
    net = nn.Sequential(
        conv(2, 4, 3, padding=1),
        norm(4),
        nn.ReLU(),
        pool(2),
        conv(4, 5, 2),
        mean(1),
        nn.Flatten(),
        nn.Linear(5, 3),
    )
    X = torch.randn(3, 2, *(8, 6, 7)[:n_axes])
    assert_learns(net, X, assert_predicts(shake(net).eval(), X))


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nn.PReLU(), "PRelu"),
        (nn.GELU("tanh"), "Gelu|Tanh|Pow"),
        (nn.PixelShuffle(2), "DepthToSpace"),
        (nn.ReflectionPad2d(1), "border"),
        (Net(lambda n, X: X.mean((1, 2, 3))), "mean"),
        (Net(lambda n, X: n.a(X) * n.b(X), a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 4, 1)), "product"),
        (
            Net(
                lambda n, X: n.b(X) + n.c(n.b(X) + n.a(X)) + n.a(X),
                **{k: nn.Conv2d(4, 4, 1) for k in "abc"},
            ),
            "branches",
        ),
    ],
)
def test_what_no_layer_says_is_refused(net, words):
    X = torch.randn(2, 4, 6, 6)
    with pytest.raises(NotImplementedError, match=f"ONNX node '.+' .*({words})"):
        from_onnx(written(net.eval(), X))
