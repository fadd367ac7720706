"""The time of augmentation, next to a training step of LeNet-5 on the same batch.

    python benchmarks/augmentation.py [--threads 2] [--batch 128]

Bytes, in batches, through every part of `RandomAffine`, the usual pad, crop and flip, and
each transform of values. A step is that of a fit: batch, forward, backward, Adam. They take
turns; medians of the times and of the paired ratios are printed.
"""

import argparse
import statistics
import time

import numpy as np

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import lenet5
from sklearn_convnet.augmentation import (
    Compose,
    Cutout,
    GaussianNoise,
    RandomAffine,
    RandomBrightness,
    RandomContrast,
    RandomCrop,
    RandomFlip,
)

SHAPES = [(28, 28, 1), (32, 32, 3)]
STEPS = 10  # in one fit, over which what comes before the first one is shared
AUGMENTATIONS = {
    "RandomAffine, all parts": RandomAffine(
        rotation=(0, 360),
        translation=(-10, 10),
        scale=(1 / 1.6, 1.6),
        flip=0.5,
        shear=(-20, 20),
        stretch=(1 / 1.3, 1.3),
    ),
    "RandomCrop, RandomFlip": Compose([RandomCrop(4), RandomFlip()]),
    "RandomBrightness": RandomBrightness(),
    "RandomContrast": RandomContrast(),
    "GaussianNoise": GaussianNoise(0.1),
    "Cutout": Cutout(8),
}


def check(X, threads):
    """Half a turn is a permutation of the pixels."""
    turned, _, _ = RandomAffine(rotation=(180, 180)).augment(X, n_threads=threads)
    np.testing.assert_array_equal(turned, X[:, ::-1, ::-1])


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def compare(shape, batch, threads, repeats):
    """Medians: of a step, and of each augmentation with its share of the step beside it."""
    rng = np.random.RandomState(0)
    X = rng.randint(256, size=(STEPS * batch, *shape)).astype(np.uint8)
    y = np.arange(len(X)) % 10
    check(X[:batch], threads)
    clf = ConvNetClassifier(
        lenet5(), batch_size=batch, n_threads=threads, dtype="float32", random_state=0
    )
    clf.partial_fit(X, y, classes=np.arange(10))  # the first one allocates
    steps, times = [], {name: [] for name in AUGMENTATIONS}
    for _ in range(repeats):
        steps.append(timed(lambda: clf.partial_fit(X, y)) / STEPS)
        for name, augmentation in AUGMENTATIONS.items():
            times[name].append(
                timed(
                    lambda a=augmentation: a.augment(X[:batch], random_state=rng, n_threads=threads)
                )
            )
    shares = {
        name: statistics.median(a / b for a, b in zip(seen, steps, strict=True))
        for name, seen in times.items()
    }
    medians = {name: statistics.median(seen) for name, seen in times.items()}
    return statistics.median(steps), medians, shares


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=31)
    args = parser.parse_args()
    for shape in SHAPES:
        step, medians, shares = compare(shape, args.batch, args.threads, args.repeats)
        size = " x ".join(map(str, (args.batch, *shape)))
        print(f"{size + ', ms':28}{'alone':>8} {'share of a step':>17}")
        print(f"{'a step of LeNet-5':28}{1e3 * step:8.2f} {1:17.0%}")
        for name, median in medians.items():
            print(f"{name:28}{1e3 * median:8.2f} {shares[name]:17.0%}")
        print()


if __name__ == "__main__":
    main()
