"""Networks of random layers, for whatever is to hold of all networks."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from sklearn_convnet import layers as all_layers
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Dense,
    DenseBlock,
    DepthwiseConv2D,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalMaxPool,
    HeterogeneousMaxPool,
    LocalResponseNorm,
    LpPool2D,
    Parallel,
    Rescale,
    Residual,
    SelfAttention,
    SeparableConv2D,
    Sequential,
    Standardize,
    TransformConv2D,
    Upsample2D,
)
from sklearn_convnet.layers.activation import ACTIVATIONS


class RandomLayers:
    """Draws layers for maps of a number of axes."""

    def __init__(self, rng, n_axes):
        self.rng, self.n_axes = rng, n_axes

    def pick(self, *values):
        return values[self.rng.randint(len(values))]

    def number(self, low, high):
        return int(self.rng.randint(low, high + 1))

    def sizes(self, low, high):
        return tuple(self.number(low, high) for _ in range(self.n_axes))

    def activation(self):
        return self.pick(*ACTIVATIONS)

    def padding(self):
        pairs = tuple((self.number(0, 1), self.number(0, 1)) for _ in range(self.n_axes))
        return self.pick("valid", "same", "same", pairs)

    def named(self, name):
        return getattr(all_layers, f"{name}{self.n_axes}D")

    def conv(self, **options):
        options = {
            "kernel_size": self.sizes(1, 3),
            "stride": self.pick(1, 1, self.sizes(1, 3)),
            "padding": self.padding(),
            "dilation": self.pick(1, 1, self.sizes(1, 2)),
            "groups": self.pick(1, 1, 2),
            "activation": self.activation(),
            "use_bias": self.pick(True, False),
            **options,
        }
        return self.named("Conv")(self.pick(2, 4, 6), **options)

    def same(self):
        """A convolution that keeps the size of maps."""
        return self.conv(padding="same", stride=1, groups=1)

    def pool(self):
        kind = self.named(self.pick("MaxPool", "AvgPool"))
        size = self.sizes(2, 3)
        return kind(size, stride=self.pick(None, 1, self.sizes(1, 3)), padding=self.padding())

    def transposed(self):
        options = {"padding": self.pick("valid", "same"), "activation": self.activation()}
        kind = self.named("ConvTranspose")
        return kind(self.number(1, 4), self.sizes(1, 3), stride=self.sizes(1, 2), **options)

    def of_images(self):
        """A layer for images alone."""
        return self.pick(
            DepthwiseConv2D(self.sizes(1, 3), multiplier=2, padding="same"),
            SeparableConv2D(4, 3, stride=self.sizes(1, 2), padding="same"),
            LpPool2D(2, stride=1, p=self.pick(1, 2, 2.5)),
            HeterogeneousMaxPool([self.sizes(1, 4), self.sizes(1, 4)], stride=self.sizes(1, 3)),
            TransformConv2D(2, 3, transforms="p4m", pool=self.pick("max", "mean", None)),
            Upsample2D(self.sizes(1, 2), interpolation=self.pick("nearest", "bilinear")),
        )

    def block(self):
        return self.pick(
            Residual([self.conv(padding="same"), BatchNorm()]),
            Parallel([self.same(), [self.same(), BatchNorm()], "passthrough"]),
            DenseBlock([self.same(), Sequential([BatchNorm(), self.same()])]),
            SelfAttention(relative_position=self.pick(True, False)),
        )

    def pointwise(self):
        return self.pick(
            BatchNorm(),
            Activation(self.activation()),
            Rescale(0.5, offset=0.1),
            Standardize(per=self.pick("channel", "value")),
            LocalResponseNorm(self.number(1, 4), alpha=0.5),
            Dropout(0.3),
        )

    def layer(self):
        kinds = [self.conv, self.conv, self.pool, self.transposed, self.block, self.pointwise]
        return self.pick(*kinds, *([self.of_images] if self.n_axes == 2 else []))()


def random_network(seed):
    """A list of layers, and the shape of a sample."""
    rng = np.random.RandomState(seed)
    draw = RandomLayers(rng, int(rng.randint(1, 4)))
    shape = given = (*(draw.number(4, 9) for _ in range(draw.n_axes)), draw.pick(1, 2, 4))
    layers = []
    for _ in range(draw.number(2, 8)):
        layer = draw.layer()
        try:
            after = layer.output_shape(shape)
        except ValueError:  # too small for it
            continue
        if np.prod(after) < 5000:
            layers, shape = [*layers, layer], after
    ends = [[], [GlobalAvgPool()], [GlobalMaxPool()], [Flatten()], [Dense(6), BatchNorm()]]
    layers += draw.pick(*ends)
    return [*layers, Dense(3, activation="softmax")] if draw.pick(True, False) else layers, given
