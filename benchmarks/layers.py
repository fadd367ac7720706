"""Multiply-adds a second of each layer with weights, next to Conv2D on the same shapes.

    python benchmarks/layers.py [--threads 2] [--batch 64]

For each layer one training step of a network that holds nothing else: forward, and
gradients at weights and input, in float32. A step counts as three times the multiply-adds
of a forward. The layers take turns; medians of the runs and of the paired ratios are
printed.
"""

import argparse
import statistics
import time

import numpy as np

from sklearn_convnet.layers import (
    Conv2D,
    ConvTranspose2D,
    Dense,
    DepthwiseConv2D,
    SelfAttention,
    SeparableConv2D,
    TransformConv2D,
)
from sklearn_convnet.network import compile_network
from sklearn_convnet.network.node import walk

SHAPE = (16, 16, 64)
LAYERS = {
    "Conv2D(64, 3)": Conv2D(64, 3, padding="same"),
    "Conv2D(64, 3, groups=4)": Conv2D(64, 3, padding="same", groups=4),
    "Conv2D(64, 3, stride=2)": Conv2D(64, 3, padding="same", stride=2),
    "Conv2D(64, 1)": Conv2D(64, 1),
    "ConvTranspose2D(64, 3, stride=2)": ConvTranspose2D(64, 3, stride=2, padding="same"),
    "DepthwiseConv2D(3)": DepthwiseConv2D(3, padding="same"),
    "SeparableConv2D(64, 3)": SeparableConv2D(64, 3, padding="same"),
    "TransformConv2D(16, 3, pool='max')": TransformConv2D(16, 3, padding="same", pool="max"),
    "SelfAttention(4)": SelfAttention(4),
    "Dense(256)": Dense(256),
}


def make_step(layer, batch, threads):
    """A function that does one step, and the multiply-adds that it takes."""
    network = compile_network([layer], SHAPE, random_state=0)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((batch, *SHAPE), dtype=np.float32)
    dY = rng.standard_normal((batch, *network.output_shape), dtype=np.float32)

    def step():
        network.forward(X, training=True, n_threads=threads)
        network.backward(dY, n_threads=threads)

    work = 3 * batch * sum(node.multiply_adds for node in walk(network.nodes))
    return step, work


def timed(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=9)
    args = parser.parse_args()
    steps = {name: make_step(layer, args.batch, args.threads) for name, layer in LAYERS.items()}
    for step, _ in steps.values():
        step()  # the first one allocates
    rates = {name: [] for name in steps}
    for _ in range(args.repeats):
        for name, (step, work) in steps.items():
            rates[name].append(work / timed(step) / 1e9)
    reference = rates["Conv2D(64, 3)"]
    print(f"{'layer':36} {'10^9 multiply-adds/s':>22} {'share of Conv2D':>16}")
    for name, seen in rates.items():
        ratio = statistics.median(a / b for a, b in zip(seen, reference, strict=True))
        print(f"{name:36} {statistics.median(seen):22.1f} {ratio:16.2f}")


if __name__ == "__main__":
    main()
