"""
Which digit, and which way does it move?
========================================

In short clips, a digit moves in one of eight directions. Time is an axis like height and
width: a network for volumes takes the frames as depth, and its filters see how a few pixels
change from frame to frame. It learns two columns of labels at once, the digit and the direction.

Other forms of a clip hold less. A single frame shows only the digit, and the mean of all frames a
smear that is the same for opposite directions. A network for images that takes the frames
as channels sees all of them, but has to learn for each frame anew what movement is.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/moving_digits.png'

import argparse
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    Conv3D,
    GlobalAvgPool,
    MaxPool2D,
    MaxPool3D,
    Standardize,
)
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.schedules import CosineDecay

# %%
# Clips
# -----
# A clip has eight frames of 16 x 16 pixels. A digit of 8 x 8 begins anywhere and moves by a pixel
# in each frame. What leaves the image on one side comes back on the other, so that the position
# does not reveal the direction. Noise is added everywhere.

N_FRAMES, SIZE = 8, 16
DIRECTIONS = {
    "east": (0, 1),
    "south-east": (1, 1),
    "south": (1, 0),
    "south-west": (1, -1),
    "west": (0, -1),
    "north-west": (-1, -1),
    "north": (-1, 0),
    "north-east": (-1, 1),
}


def make_clips(digits, labels, seed, noise=0.2):
    """Clips (n, frame, row, column), and their labels: digit and direction."""
    rng = np.random.RandomState(seed)
    names = np.array(list(DIRECTIONS))[rng.randint(len(DIRECTIONS), size=len(digits))]
    starts = rng.randint(SIZE, size=(len(digits), 2))
    X = rng.normal(scale=noise, size=(len(digits), N_FRAMES, SIZE, SIZE)).astype(np.float32)
    room = SIZE - digits.shape[1]
    images = np.pad(digits, [(0, 0), (0, room), (0, room)])
    for clip, image, name, start in zip(X, images, names, starts, strict=True):
        for k, frame in enumerate(clip):
            frame += np.roll(image, start + k * np.array(DIRECTIONS[name]), axis=(0, 1))
    return X, np.column_stack([labels.astype(str), names])


# %%
# Networks
# --------
# Each has three convolutions, and about as many parameters as the others. Strides and pools are the
# same along all axes.


def network(conv, pool, filters, epochs, seed):
    layers = [Standardize()]
    for i, n in enumerate(filters):
        layers += [conv(n, 3, padding="same", activation=None, use_bias=False), BatchNorm()]
        layers += [Activation("relu"), *([pool(2)] if i < 2 else [])]
    return ConvNetClassifier(
        [*layers, GlobalAvgPool()],
        optimizer=Adam(CosineDecay(3e-3, period=epochs)),
        batch_size=64,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


IMAGES, VOLUMES = (Conv2D, MaxPool2D, (28, 56, 56)), (Conv3D, MaxPool3D, (16, 32, 32))
KINDS = {
    "one frame": (IMAGES, lambda X: X[:, 0]),
    "mean of the frames": (IMAGES, lambda X: X.mean(axis=1)),
    "frames as channels": (IMAGES, lambda X: np.moveaxis(X, 1, -1)),
    "frames as depth": (VOLUMES, lambda X: X),
}

# %%
# The picture
# -----------


def draw(path, X, y, found):
    """Frames of two clips, and both accuracies of each network."""
    from drawing import picture, show

    shown = [0, next(i for i in range(len(y)) if y[i, 1] != y[0, 1])]
    frames = [[f"{i} {k}" for k in range(N_FRAMES)] for i in range(2)]
    with picture(path, [*frames, *[["accuracy"] * N_FRAMES] * 3], (8, 5)) as axes:
        for row, i in enumerate(shown):
            for k in range(N_FRAMES):
                title = f"{y[i, 0]}, {y[i, 1]}" if k == 0 else ""
                show(axes[f"{row} {k}"], X[i, k], title, vmin=-0.5, vmax=1)
        ax, places = axes["accuracy"], np.arange(len(found))
        for shift, name, column in ((-0.2, "digit", 0), (0.2, "direction", 1)):
            values = [scores[column] for scores in found.values()]
            bars = ax.bar(places + shift, values, 0.4, label=name)
            ax.bar_label(bars, fmt="%.2f", fontsize="small")
        ax.set(xticks=places, xticklabels=list(found), ylim=(0, 1.15), ylabel="test accuracy")
        ax.legend(fontsize="small", loc="upper left")


# %%
# The table
# ---------
# The clips to learn from are of 1,200 of scikit-learn's digits, four of each, and the clips to test
# with of the other 597.


def main(arguments=None):
    """Returns the mean test accuracies of each network, of the digit and of the direction."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--seeds", type=int, default=3, help="fits of each network (default: 3)")
    parser.add_argument("--quick", action="store_true", help="few data, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw clips and accuracies")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    n_train, n_clips, epochs = (100, 1, 2) if options.quick else (1200, 4, 15)
    digits, labels = load_digits(return_X_y=True)
    digits = digits.reshape(-1, 8, 8) / 16
    several = np.tile(np.arange(n_train), n_clips)  # clips of each digit, all of them different
    X_train, y_train = make_clips(digits[several], labels[several], seed=0)
    X_test, y_test = make_clips(digits[1200:], labels[1200:], seed=1)
    found = {}
    print("| network sees | parameters | digit | direction |\n|---|---|---|---|")
    for name, (kind, seen) in KINDS.items():
        fits = [network(*kind, epochs, i).fit(seen(X_train), y_train) for i in range(options.seeds)]
        found[name] = np.mean([clf.predict(seen(X_test)) == y_test for clf in fits], axis=(0, 1))
        n_parameters = sum(a.size for a in fits[0].network_.parameters().values())
        scores = " | ".join(f"{score:.3f}" for score in found[name])
        print(f"| {name} | {n_parameters:,} | {scores} |", flush=True)
    if options.figure:
        draw(options.figure, X_test, y_test, found)
    return found


if __name__ == "__main__":
    main()
