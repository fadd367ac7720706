"""The networks that `compare.py` times, and the batches it gives them."""

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

N_CLASSES = 10


@dataclass(frozen=True)
class Net:
    """A network without its output layer.

    Parameters
    ----------
    make : callable
        Returns layers and the shape of a sample.
    group : str
        What is compared together.
    predict, train : tuple of int
        Usual batches.
    maps : bool, default=False
        Whether each pixel has a class.
    """

    make: Callable
    group: str
    predict: tuple = (128,)
    train: tuple = (128,)
    maps: bool = False

    def batches(self, mode):
        """The usual ones of a mode."""
        return self.train if mode == "train" else self.predict


# %%
# Small images


def lenet5():
    from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D

    layers = [Conv2D(6, 5, padding=2), MaxPool2D(2), Conv2D(16, 5), MaxPool2D(2)]
    return [*layers, Dense(120), Dense(84)], (28, 28, 1)


def conv32_64():
    from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D

    return [Conv2D(32, 3), Conv2D(64, 3), MaxPool2D(2), Dense(128)], (28, 28, 1)


def vgg_like():
    from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D

    layers = []
    for filters in (64, 128, 256):
        layers += [Conv2D(filters, 3, padding=1), Conv2D(filters, 3, padding=1), MaxPool2D(2)]
    return [*layers, Dense(256)], (32, 32, 3)


def resnet20():
    from sklearn_convnet.architectures import resnet_cifar

    return resnet_cifar(20, projection=True), (32, 32, 3)


def digits():
    from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D

    layers = [Conv2D(16, 3, padding=1), MaxPool2D(2), Conv2D(32, 3, padding=1), MaxPool2D(2)]
    return [*layers, Dense(64)], (8, 8, 1)


def fashion():
    example = Path(__file__).parents[1] / "docs" / "examples" / "fashion_mnist.py"
    return runpy.run_path(str(example))["layers"](), (28, 28, 1)


# %%
# Architectures, signals and volumes


def architecture(name, *args, shape, **options):
    """One of the package's, by its name."""
    from sklearn_convnet import architectures

    return getattr(architectures, name)(*args, **options), shape


def photographs(name, *args, side=224, **options):
    return partial(architecture, name, *args, shape=(side, side, 3), **options)


def signals(name, length, n_channels=1):
    return partial(architecture, name, shape=(length, n_channels))


def fcn_of_series(length):
    """Wang, Yan and Oates, "Time series classification from scratch with deep neural networks",
    2017."""
    from sklearn_convnet.layers import Activation, BatchNorm, Conv1D, GlobalAvgPool

    layers = []
    for filters, size in ((128, 8), (256, 5), (128, 3)):
        conv = Conv1D(filters, size, padding="same", activation=None, use_bias=False)
        layers += [conv, BatchNorm(), Activation("relu")]
    return [*layers, GlobalAvgPool()], (length, 1)


def of_volumes(side):
    from sklearn_convnet.layers import Conv3D, GlobalAvgPool, MaxPool3D

    layers = []
    for filters in (16, 32, 64):
        layers += [Conv3D(filters, 3, padding=1), MaxPool3D(2)]
    return [*layers, GlobalAvgPool()], (side, side, side, 1)


def without_dropout(layers):
    """Layers that two packages can train alike: two generators never drop the same numbers."""
    from sklearn_convnet.layers import Dropout, Sequential

    chain = Sequential(layers)
    rates = {
        f"{name}__rate": 0.0
        for name, value in chain.get_params().items()
        if isinstance(value, Dropout)
    }
    return chain.set_params(**rates).layers


photograph = partial(Net, group="photographs", predict=(1, 16), train=(16,))
series = partial(Net, group="signals", predict=(16,), train=(16,))
volume = partial(Net, group="volumes", predict=(8,), train=(8,))
LENGTHS = (100, 1000, 5000)
SIDES = (32, 48, 64)

NETS = {
    "lenet5": Net(lenet5, "small"),
    "conv32-64": Net(conv32_64, "small"),
    "vgg": Net(vgg_like, "small"),
    "resnet20": Net(resnet20, "small"),
    "digits": Net(digits, "examples", (32,), (32,)),
    "fashion": Net(fashion, "examples"),
    "resnet18-224": photograph(photographs("resnet", 18)),
    "resnet50-224": photograph(photographs("resnet", 50)),
    "alexnet-227": photograph(photographs("alexnet", side=227)),
    "vgg16-224": photograph(photographs("vgg", "D"), train=(8,)),
    "googlenet-224": photograph(photographs("googlenet", version="torchvision")),
    "densenet121-224": photograph(photographs("densenet", 121)),
    "mobilenet-224": photograph(photographs("mobilenet_v2")),
    "unet-256": photograph(
        photographs("unet", side=256), predict=(1, 4), train=(2,), maps=True
    ),
    **{f"inception-time-{n}": series(signals("inception_time", n)) for n in LENGTHS},
    **{f"tdnn-{n}": series(signals("tdnn", n, 16)) for n in LENGTHS},
    **{f"fcn-{n}": series(partial(fcn_of_series, n)) for n in LENGTHS},
    **{f"volumes-{n}": volume(partial(of_volumes, n)) for n in SIDES},
}  # fmt: skip


def make_network(net):
    """Our network, with an output of ten classes."""
    from sklearn_convnet.layers import Conv2D, Dense
    from sklearn_convnet.network import compile_network

    layers, shape = NETS[net].make()
    output = Conv2D(N_CLASSES, 1, activation=None)
    if not NETS[net].maps:
        output = Dense(N_CLASSES, activation="identity")
    layers = [*without_dropout(layers), ("output", output)]
    return compile_network(layers, shape, random_state=0)


def make_batch(net, batch):
    """Random samples and labels."""
    rng = np.random.default_rng(0)
    shape = NETS[net].make()[1]
    X = rng.standard_normal((batch, *shape), dtype=np.float32)
    places = shape[:-1] if NETS[net].maps else ()
    return X, rng.integers(0, N_CLASSES, (batch, *places))
