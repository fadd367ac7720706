"""How much of the reading of images hides behind the training.

    python benchmarks/read_ahead.py [--size 128] [--threads 1] [--jobs 1]

JPEG files of 320 x 240 pixels. An epoch over the images in memory, reading all of them, and an
epoch that reads them on the way (`ImageFiles`) take turns; the medians of their times are printed,
and which share of the shorter of the first two is hidden in the other. That can only be where
a core is idle besides those of the network.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import Conv2D, GlobalAvgPool, MaxPool2D, Rescale
from sklearn_convnet.preprocessing import ImageFiles

N_IMAGES, BATCH, TURNS = 512, 32, 5
LAYERS = [
    Rescale(1 / 255),
    Conv2D(32, 3, stride=2),
    MaxPool2D(2),
    Conv2D(64, 3),
    Conv2D(64, 3),
    GlobalAvgPool(),
]


def write_images(folder):
    """Clouds of colour, which take about as many bytes as photographs."""
    rng = np.random.RandomState(0)
    for i in range(N_IMAGES):
        small = Image.fromarray(rng.randint(0, 256, (30, 40, 3)).astype(np.uint8))
        small.resize((320, 240), Image.Resampling.BICUBIC).save(folder / f"{i:03}.jpg", quality=90)
    return sorted(folder.iterdir())


def seconds(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


def measure(args, folder):
    """Medians of the times of an epoch, of reading, and of both at once."""
    files = ImageFiles(write_images(folder), args.size, n_jobs=args.jobs)
    images, y = np.asarray(files), np.arange(N_IMAGES) % 2
    how = dict(batch_size=BATCH, max_iter=1, random_state=0, n_threads=args.threads)
    models = [ConvNetClassifier(LAYERS, **how).fit(X, y) for X in (images, files)]
    times = [
        (
            seconds(models[0].partial_fit, images, y),
            seconds(np.asarray, files),
            seconds(models[1].partial_fit, files, y),
        )
        for _ in range(TURNS)
    ]
    np.testing.assert_array_equal(models[0].predict_proba(images), models[1].predict_proba(images))
    return list(map(statistics.median, zip(*times, strict=True)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=128, help="height and width to resize to")
    parser.add_argument("--threads", type=int, default=1, help="of the network")
    parser.add_argument("--jobs", type=int, default=1, help="threads that read")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        epoch, reading, both = measure(args, Path(folder))
    hidden = (epoch + reading - both) / min(epoch, reading)
    print(f"{N_IMAGES} images of {args.size} x {args.size} pixels, batches of {BATCH}")
    print(f"an epoch in memory {epoch:6.2f} s")
    print(f"reading            {reading:6.2f} s")
    print(f"both at once       {both:6.2f} s: {hidden:.0%} of the shorter one is hidden")


if __name__ == "__main__":
    main()
