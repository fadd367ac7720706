"""
Votes at a prediction
=====================

A network that sees an image in several views, shifted by a few pixels, turned a little or
mirrored, makes slightly different errors in each. Its predictions, moved back and averaged, are
often better than the prediction for the image itself. `test_time_augmentation` does this for any
kind of y. Training does not change: the same two networks predict with all sets of views.

Scenes have a digit and the outline of the box around it. Stick figures have joints; a
mirror image exchanges left and right ones.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/votes.png'

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.architectures import box_localizer
from sklearn_convnet.augmentation import (
    Compose,
    GaussianNoise,
    RandomAffine,
    RandomFlip,
    TestTimeAugmentation,
)
from sklearn_convnet.datasets import (
    STICK_FIGURE_LIMBS,
    make_digit_scenes,
    make_stick_figures,
)
from sklearn_convnet.layers import Standardize
from sklearn_convnet.metrics import box_iou, localization_accuracy
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.schedules import CosineDecay

# %%
# Views
# -----
# Shifts by whole pixels change no pixel value; others smooth the noise of a scene. Mirror images
# make no sense for digits, but do for figures if left and right change places.

SHIFTS = [RandomAffine(translation=(pixels, pixels)) for pixels in (-2, -1, 1, 2)]
MOVE = RandomAffine(rotation=(-5, 5), translation=(-2, 2), scale=(1 / 1.05, 1.05))
MIRROR = RandomFlip(horizontal=1.0)

VIEWS = {
    "scenes": {"none": None, "4 shifts": SHIFTS, "8 random moves": [MOVE] * 8},
    "figures": {
        "none": None,
        "4 shifts": SHIFTS,
        "mirror image": [MIRROR],
        "8 random moves, 4 mirrored": [MOVE] * 4 + [Compose([MIRROR, MOVE])] * 4,
    },
}

#: Shoulders, elbows, wrists, hips, knees and ankles.
SIDES = [(2, 5), (3, 6), (4, 7), (8, 11), (9, 12), (10, 13)]

# %%
# Two networks
# ------------
# Both are trained with larger changes than those of the views.


def recipe(estimator, augmentation, epochs, seed, **params):
    model = estimator(
        [Standardize(), *box_localizer(filters=(16, 32, 64), units=(256,), dropout=0.2)],
        optimizer=Adam(CosineDecay(1e-3, period=epochs)),
        augmentation=Compose([*augmentation, GaussianNoise((0, 0.1))]),
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
        **params,
    )
    with_weights = ("conv1", "conv2", "conv3", "dense1")
    small = {f"{name}__kernel_initializer": "glorot_uniform" for name in with_weights}
    return model.set_params(**small)


def scenes(n_train, n_test, epochs, seed):
    """A network that knows digits and boxes, test scenes, true boxes, and a function that returns
    scores and predicted boxes."""
    X, labels, boxes, _ = make_digit_scenes(n_train, digits=slice(None, 1200), random_state=seed)
    moves = RandomAffine(rotation=(-15, 15), translation=(-3, 3), scale=(1 / 1.2, 1.2))
    model = recipe(ConvNetClassifier, [moves], epochs, seed, box_weight=10.0)
    model.fit(X, labels, boxes=boxes)
    X, labels, boxes, _ = make_digit_scenes(n_test, digits=slice(1200, None), random_state=seed + 1)

    def scores():
        found = np.column_stack([model.predict(X), model.predict_box(X)])
        rows = {
            "class": np.mean(found[:, 0] == labels),
            "mean IoU": box_iou(boxes, found[:, 1:]).mean(),
            "localisation": localization_accuracy(np.column_stack([labels, boxes]), found),
        }
        return rows, found[:, 1:]

    return model, X, boxes, scores


def figures(n_train, n_test, epochs, seed):
    """The same for joints."""
    X, joints, _ = make_stick_figures(n_train, random_state=seed)
    moves = RandomAffine(rotation=(-10, 10), translation=(-3, 3), scale=(1 / 1.1, 1.1), flip=0.5)
    model = recipe(ConvNetRegressor, [moves], epochs, seed, target="points", flip_pairs=SIDES).fit(
        X, joints
    )
    X, joints, heights = make_stick_figures(n_test, random_state=seed + 1)

    def scores():
        found = model.predict(X)
        error = (found - joints).reshape(n_test, -1, 2)
        share = np.linalg.norm(error, axis=2) / heights[:, np.newaxis]
        rows = {
            "median error": np.median(share),
            "within 5 %": np.mean(share < 0.05),
            "within 10 %": np.mean(share < 0.1),
        }
        return rows, found

    return model, X, joints, scores


# %%
# The picture
# -----------

COLORS = {"true": "tab:green", "as it is": "tab:red", "vote": "tab:orange"}


def draw(path, drawn):
    """The test images whose boxes and joints a vote moves most."""
    from drawing import outline, picture, show

    n = 4
    mosaic = [[*range(n)], [*range(n, 2 * n)]]
    with picture(path, mosaic, (8, 4.4)) as axes:
        for task, row in zip(drawn, mosaic, strict=True):
            X, *places = drawn[task]
            size, most = X.shape[1], np.argsort(np.linalg.norm(places[2] - places[1], axis=1))[-n:]
            for i, sample in zip(row, most, strict=True):
                show(axes[i], X[sample], vmin=0, vmax=1)
                for (name, color), where in zip(COLORS.items(), places, strict=True):
                    points = where[sample] * size - 0.5
                    style = {"color": color, "label": name, "linewidth": 1.5}
                    if task == "scenes":
                        outline(axes[i], points, **style)
                    else:
                        lines = points.reshape(-1, 2)[np.array(STICK_FIGURE_LIMBS)]
                        axes[i].plot(*lines.transpose(2, 1, 0), **style)
                axes[i].set(xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5))
        handles = [axes[0].lines[k] for k in range(len(COLORS))]
        axes[0].figure.legend(handles=handles, loc="outside upper center", ncols=len(COLORS))


# %%
# The tables
# ----------


def main(arguments=None):
    """Returns the test scores by task and views."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=25, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few data, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw what changes most")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    sizes = (60, 40, 1) if options.quick else (3000, 1000, options.epochs)
    found, drawn = {}, {}
    for task in (scenes, figures):
        model, X, true, scores = task(*sizes, options.seed)
        drawn[task.__name__] = places = [X, true]
        for name, views in VIEWS[task.__name__].items():
            voting = None if views is None else TestTimeAugmentation(views)
            model.set_params(test_time_augmentation=voting)
            row, predicted = scores()
            found[task.__name__, name] = row
            if views is None:
                places.append(predicted)
            if views is None:
                print(f"| views of {task.__name__} | " + " | ".join(row) + " |")
                print("|---" * (len(row) + 1) + "|")
            print(f"| {name} | " + " | ".join(f"{v:.4f}" for v in row.values()) + " |", flush=True)
        places.append(predicted)
    if options.figure:
        draw(options.figure, drawn)
    return found


if __name__ == "__main__":
    main()
