"""
Finding digits in large scenes
==============================

A network learns single digits in images of 28 x 28, and that some images have none. Then it is
moved over scenes of 128 x 128 with six digits each, unlike anything that it has seen. Each value
of its maps is computed once. To cut out each window and predict it gives the same numbers, and the
times of both are compared. Candidates in neighbouring windows are one object if boxes overlap.

The training images are made of the first 1,200 digits of scikit-learn, the scenes of the others.
The threshold is chosen on scenes of the training digits.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/find_digits.png'

import argparse
import warnings
from time import perf_counter

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.datasets import make_digit_scenes
from sklearn_convnet.layers import Conv2D, Dense, Dropout, MaxPool2D, Standardize
from sklearn_convnet.metrics import detection_average_precision
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.scan import find_objects
from sklearn_convnet.schedules import CosineDecay

WINDOW, SCENE = 28, 128
SCALE = (1.5, 2.0)
THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
NOTHING = -1  # the label of an image without a digit

# %%
# The network
# -----------
# No layer has padding, so a window gives the same result wherever it is.


def network(epochs, seed):
    layers = [
        Standardize(),
        *(Conv2D(32, 3), Conv2D(32, 3), MaxPool2D(2)),
        *(Conv2D(64, 3), Conv2D(64, 3), MaxPool2D(2)),
        Dense(128),
        Dropout(0.5),
    ]
    return ConvNetClassifier(
        layers,
        box_weight=10.0,  # near the size of the loss of the class
        optimizer=Adam(CosineDecay(2e-3, period=epochs)),
        batch_size=64,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


def scenes(n, digits, seed):
    """Scenes with six digits, and what is where in pixels."""
    images, labels, boxes, _ = make_digit_scenes(
        n,
        size=SCENE,
        digits=digits,
        scale=SCALE,
        n_digits=6,
        n_distractors=6,
        random_state=seed,
    )
    boxes = boxes * SCENE - 0.5
    return images, [{"labels": a, "boxes": b} for a, b in zip(labels, boxes, strict=True)]


def window_by_window(model, images, stride):
    """Probabilities of each window, cut out and predicted by itself."""
    views = np.lib.stride_tricks.sliding_window_view(images, (WINDOW, WINDOW), axis=(1, 2))
    views = views[:, :: stride[0], :: stride[1]]
    P = model.predict_proba(np.ascontiguousarray(views).reshape(-1, WINDOW, WINDOW))
    return P.reshape(*views.shape[:3], -1)


def draw(path, model, image, found, true):
    """A scene with the boxes in it, and the probability that there is a digit."""
    from drawing import outline, picture, show

    scan = model.scan(image[np.newaxis], stride=1)
    nothing = list(model.classes_).index(NOTHING)
    titles = ["a scene", "found", "probability of a digit"]
    with picture(path, [titles], (9, 3.2)) as axes:
        for title in titles:
            show(axes[title], image, title, vmin=0, vmax=1)
        _, ax, last_ax = axes.values()
        for label, score, box in zip(found.labels, found.scores, found.boxes, strict=True):
            outline(ax, box, color="tab:orange", linewidth=1.5)
            x, y = box.reshape(-1, 2).T
            at = {"color": "white", "fontsize": 8, "ha": "center", "va": "bottom"}
            place = np.clip(x.mean(), 14, SCENE - 15)  # all of the text is in the picture
            ax.text(place, y.min() - 1, f"{label}, {score:.2f}", **at)
        for box in true["boxes"]:
            outline(ax, box, color="tab:green", linewidth=0.8, linestyle="--")
        first = WINDOW / 2 - 1  # the centre of the first window
        last = first + len(scan.maps[0][0])
        drawn = last_ax.imshow(
            1 - scan.maps[0][0, ..., nothing],
            extent=(first, last, last, first),
            cmap="inferno",
            vmin=0,
            vmax=1,
        )
        for one in (ax, last_ax):
            one.set(xlim=(-0.5, SCENE - 0.5), ylim=(SCENE - 0.5, -0.5))
        ax.figure.colorbar(drawn, ax=last_ax, shrink=0.8)


def main(arguments=None):
    """Returns the average precision, and the time of windows over that of a scan."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=20, help="default: %(default)s")
    parser.add_argument("--figure", metavar="FILE", help="where to draw a scene")
    parser.add_argument("--quick", action="store_true", help="few data, to see that it runs")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    n, n_scenes, epochs = (8000, 100, options.epochs) if not options.quick else (200, 2, 1)
    X, y, boxes, _ = make_digit_scenes(
        n,
        size=WINDOW,
        digits=slice(None, 1200),
        scale=SCALE,
        n_distractors=2,
        empty_share=0.3,
        random_state=options.seed,
    )
    model = network(epochs, options.seed).fit(X, y, boxes=boxes)

    images, true = scenes(n_scenes, slice(None, 1200), options.seed + 1)
    found = [find_objects(model, images, threshold=t, background=NOTHING) for t in THRESHOLDS]
    precisions = [detection_average_precision(true, one) for one in found]
    threshold = THRESHOLDS[int(np.argmax(precisions))]

    images, true = scenes(n_scenes, slice(1200, None), options.seed + 2)
    found = find_objects(model, images, threshold=threshold, background=NOTHING)
    precision = detection_average_precision(true, found)
    times = {}
    for name, compute in {
        "scan": lambda: model.scan(images).maps[0],
        "windows": lambda: window_by_window(model, images, model.scan(images[:1]).stride),
    }.items():
        start = perf_counter()
        times[name] = compute(), perf_counter() - start
    (maps, scan_time), (by_windows, windows_time) = times["scan"], times["windows"]
    difference = np.abs(maps - by_windows).max()
    print(f"average precision at IoU 0.5, threshold {threshold}: {precision:.3f}")
    print(f"{n_scenes} scenes: scan {scan_time:.2f} s, window by window {windows_time:.2f} s")
    print(f"largest difference of a probability: {difference:.1e}")
    if options.figure:
        draw(options.figure, model, images[0], found[0], true[0])
    return precision, windows_time / scan_time, difference


if __name__ == "__main__":
    main()
