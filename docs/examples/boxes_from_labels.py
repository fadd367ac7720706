"""
Where is it? Boxes from labels alone
====================================

A network learns which digit is in a scene, but not where it is. Still, its maps are large where it
sees evidence for a class, and Grad-CAM (Selvaraju et al., 2017) adds up these maps. The box is
the one around the largest part of this sum above a share of its maximum (Zhou et al., 2016).

The 4,000 training scenes are made of the first 1,200 digits of scikit-learn, the 800 test scenes of
the others. The share is chosen on 200 further scenes of the first digits, whose boxes are known.
True boxes turn with their digit; boxes from maps are upright. The last row of the table is the
score of upright boxes around the true ones, the upper limit.
"""

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.datasets import make_digit_scenes
from sklearn_convnet.inspection import saliency, weakly_supervised_box
from sklearn_convnet.layers import (
    Activation,
    BatchNorm,
    Conv2D,
    GlobalAvgPool,
    MaxPool2D,
    Standardize,
)
from sklearn_convnet.metrics import box_iou, localization_accuracy
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.schedules import CosineDecay

THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6)

# %%
# The network
# -----------
# It ends in the mean of each map, so a map counts wherever it is large, and its values stay in
# place. A single pool leaves maps of 16 x 16 positions, fine enough for boxes.


def network(epochs, seed):
    layers = [Standardize()]
    for i, filters in enumerate((16, 16, 32, 32, 64), start=1):
        layers += [
            (f"conv{i}", Conv2D(filters, 3, padding="same", activation=None)),
            (f"norm{i}", BatchNorm()),
            (f"relu{i}", Activation("relu")),
        ]
        if i == 2:
            layers.append(("pool", MaxPool2D(2)))
    return ConvNetClassifier(
        [*layers, GlobalAvgPool()],
        optimizer=Adam(CosineDecay(2e-3, period=epochs)),
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


# %%
# Scores
# ------


def upright(boxes):
    """The upright boxes around others, ``x1, y1, x2, y2``."""
    corners = boxes.reshape(len(boxes), -1, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def peaks_inside(model, X, boxes):
    """Share of scenes whose Grad-CAM map is largest inside the upright box around the digit."""
    maps = saliency(model, X, "grad_cam")
    rows, columns = np.unravel_index(maps.reshape(len(X), -1).argmax(axis=1), maps.shape[1:])
    x, y = (columns + 0.5) / maps.shape[2], (rows + 0.5) / maps.shape[1]
    x1, y1, x2, y2 = upright(boxes).T
    return np.mean((x1 <= x) & (x <= x2) & (y1 <= y) & (y <= y2))


def scores(labels, boxes, predicted, found):
    """Mean overlap, and the share of scenes with the right class and an overlap above a half."""
    overlaps = box_iou(boxes, found)
    return {
        "mean IoU": np.mean(np.nan_to_num(overlaps)),  # no box is no overlap
        "localisation": localization_accuracy(
            np.column_stack([labels, boxes]), np.column_stack([predicted, found])
        ),
    }


def draw(path, model, X, true, found):
    """Scenes, their Grad-CAM maps, and the boxes around what is largest in them."""
    from drawing import outline, picture, show

    n, size = 5, X.shape[1]
    maps = saliency(model, X[:n], "grad_cam")
    with picture(path, [[*range(n)], [*range(n, 2 * n)]], (8, 3.4)) as axes:
        for i in range(n):
            show(axes[i], X[i])
            show(axes[n + i], maps[i], cmap="inferno")
            for ax in (axes[i], axes[n + i]):
                for box, color in ((true[i], "tab:green"), (found[i], "tab:orange")):
                    x1, y1, x2, y2 = box * size - 0.5
                    corners = np.array([x1, y1, x2, y1, x2, y2, x1, y2])
                    outline(ax, corners, color=color, linewidth=1.5)


def main(arguments=None):
    """Returns the scores on test scenes, by what they are of."""
    parser = argparse.ArgumentParser(description="Where is it? Boxes from labels alone")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few data, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw some scenes")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    sizes, epochs = ((4000, 200, 800), options.epochs) if not options.quick else ((100, 20, 50), 1)
    digits = slice(None, 1200), slice(None, 1200), slice(1200, None)
    training, chosen_by, test = (
        make_digit_scenes(n, digits=part, random_state=options.seed + i)[:3]
        for n, part, i in zip(sizes, digits, (0, 2, 1), strict=True)
    )
    model = network(epochs, options.seed).fit(*training[:2])
    X, labels, boxes = chosen_by
    overlaps = [box_iou(boxes, weakly_supervised_box(model, X, share)) for share in THRESHOLDS]
    share = THRESHOLDS[np.argmax([np.mean(np.nan_to_num(one)) for one in overlaps])]
    X, labels, boxes = test
    predicted = model.predict(X)
    found = {
        f"from maps, above {share} of the maximum": weakly_supervised_box(model, X, share),
        "upright, around the true ones": upright(boxes),
    }
    table = {name: scores(labels, boxes, predicted, one) for name, one in found.items()}
    accuracy, peaks = np.mean(predicted == labels), peaks_inside(model, X, boxes)
    print(f"class {accuracy:.3f}, peak of Grad-CAM within the box {peaks:.3f}")
    print("| boxes | mean IoU | localisation |\n|---|---|---|")
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(f"{v:.3f}" for v in row.values()) + " |")
    if options.figure:
        draw(options.figure, model, X, upright(boxes), next(iter(found.values())))
    return {"class": accuracy, "peak": peaks, **table[next(iter(table))]}


if __name__ == "__main__":
    main()
