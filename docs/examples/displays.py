"""
A picture for each display
==========================

`sklearn_convnet.inspection` draws networks: their training, their weights, their
predictions and what these depend on. Four small networks are trained for the pictures: one that
recognises digits in scenes, one that finds them, one that labels their pixels, and one that finds
joints.

``python docs/examples/displays.py --output FOLDER`` writes the pictures of
[the page of displays](../displays.md).
"""

# sphinx_gallery_thumbnail_path = 'figures/displays/FeatureMapsDisplay.png'

import argparse
import warnings
from functools import cached_property
from pathlib import Path

import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor, inspection
from sklearn_convnet.architectures import box_localizer, unet
from sklearn_convnet.augmentation import Compose, GaussianNoise, RandomAffine
from sklearn_convnet.datasets import (
    STICK_FIGURE_LIMBS,
    make_digit_scenes,
    make_stick_figures,
)
from sklearn_convnet.layers import Conv2D, Dense, GlobalAvgPool, MaxPool2D, Standardize
from sklearn_convnet.optimizers import SGD, Adam
from sklearn_convnet.schedules import CosineDecay

matplotlib.use("Agg")  # pictures go to files
from matplotlib import pyplot as plt

AUGMENTATION = Compose(
    [
        RandomAffine(rotation=(-15, 15), translation=(-3, 3), scale=(1 / 1.2, 1.2)),
        GaussianNoise((0, 0.1)),
    ]
)


# %%
# Networks
# --------


class Networks:
    """Data and the networks trained on them, each when it is first asked for."""

    def __init__(self, n_train, epochs):
        self.n_train, self.epochs = n_train, epochs

    @cached_property
    def scenes(self):
        """Scenes, their digits, boxes and masks: to train with, and to look at."""
        return [
            make_digit_scenes(n, digits=digits, random_state=seed)
            for seed, (n, digits) in enumerate(
                [(self.n_train, slice(None, 1200)), (60, slice(1200, None))]
            )
        ]

    @cached_property
    def figures(self):
        """Stick figures and their joints, likewise."""
        return [
            make_stick_figures(n, random_state=seed)[:2] for seed, n in enumerate((self.n_train, 8))
        ]

    def recipe(self, optimizer):
        """The parameters that all fits have in common."""
        return dict(
            optimizer=optimizer,
            batch_size=32,
            max_iter=self.epochs,
            n_iter_no_change=self.epochs,
            random_state=0,
        )

    def reader(self, optimizer):
        """A classifier of scenes, not yet fitted."""
        layers = [
            Standardize(),
            ("conv1", Conv2D(16, 5, padding="same")),
            ("pool1", MaxPool2D(2)),
            ("conv2", Conv2D(32, 3, padding="same")),
            ("pool2", MaxPool2D(2)),
            ("conv3", Conv2D(64, 3, padding="same")),
            GlobalAvgPool(),
        ]
        return ConvNetClassifier(layers, augmentation=AUGMENTATION, **self.recipe(optimizer))

    @cached_property
    def readers(self):
        """Two fits with different optimisers, by name."""
        (X, y, _, _), (X_val, y_val, _, _) = self.scenes
        optimizers = {
            "Adam": Adam(CosineDecay(3e-3, period=self.epochs)),
            "SGD": SGD(CosineDecay(0.02, period=self.epochs), momentum=0.9),
        }
        return {
            name: self.reader(optimizer).fit(X, y, X_val=X_val, y_val=y_val)
            for name, optimizer in optimizers.items()
        }

    @cached_property
    def small_digits(self):
        """A classifier, not yet fitted, and images of 8 x 8 pixels with their labels."""
        X, y = load_digits(return_X_y=True)
        layers = [Standardize(), Conv2D(16, 3, padding="same"), MaxPool2D(2), Dense(32)]
        clf = ConvNetClassifier(layers, **self.recipe(Adam()))
        return clf, X.reshape(-1, 8, 8), y

    @cached_property
    def finder(self):
        """A classifier of digits that also says where they are."""
        X, y, boxes, _ = self.scenes[0]
        layers = [Standardize(), *box_localizer(filters=(16, 32), units=(128,), dropout=0.0)]
        clf = ConvNetClassifier(
            layers, augmentation=AUGMENTATION, box_weight=10.0, **self.recipe(Adam())
        )
        return clf.fit(X, y, boxes=boxes)

    @cached_property
    def segmenter(self):
        """A classifier of the pixels of a scene: which digit, or background."""
        X, y, _, masks = self.scenes[0]
        clf = ConvNetClassifier(
            [Standardize(), *unet(width=1 / 8, depth=2, dropout=0.0)], **self.recipe(Adam(2e-3))
        )
        return clf.fit(X, label_maps(y, masks))

    @cached_property
    def poser(self):
        """A regressor of the joints of a stick figure."""
        layers = [Standardize(), *box_localizer(filters=(16, 32), units=(128,), dropout=0.0)]
        reg = ConvNetRegressor(layers, target="points", **self.recipe(Adam()))
        return reg.fit(*self.figures[0])


def label_maps(y, masks):
    """Maps of labels: the digit where it is, else "none"."""
    return np.where(masks, y.astype(str)[:, None, None], "none")


# %%
# Pictures
# --------


def pictures(networks):
    """A function for each display, by its name, that draws it."""
    X, y, boxes, masks = networks.scenes[1]
    X_train, y_train, boxes_train, _ = networks.scenes[0]
    first = next(iter(networks.readers))
    clf = networks.readers[first]
    show = inspection
    return {
        "HistoryDisplay": lambda: show.HistoryDisplay.from_estimators(networks.readers),
        "LearningRateDisplay": lambda: show.LearningRateDisplay.from_schedule(
            CosineDecay(0.1, period=10, growth=2), 70
        ),
        "LearningRateRangeDisplay": lambda: show.LearningRateRangeDisplay.from_estimator(
            *networks.small_digits
        ),
        "AugmentationDisplay": lambda: show.AugmentationDisplay.from_estimator(
            networks.finder, X_train, y_train, boxes=boxes_train, n_samples=3, random_state=0
        ),
        "NetworkDisplay": lambda: show.NetworkDisplay.from_estimator(networks.finder),
        "FiltersDisplay": lambda: show.FiltersDisplay.from_estimator(clf),
        "ReceptiveFieldDisplay": lambda: show.ReceptiveFieldDisplay.from_estimator(clf, X[2]),
        "FeatureMapsDisplay": lambda: show.FeatureMapsDisplay.from_estimator(
            clf, X, ["conv1", "conv2", "conv3"]
        ),
        "MaximizedUnitsDisplay": lambda: show.MaximizedUnitsDisplay.from_estimator(
            clf,
            ["conv2"] * 3 + ["output"] * 3,
            [(8, 8, 0), (8, 8, 1), (8, 8, 2), 0, 4, 7],
            maximize_kw={"blur": 0.5, "random_state": 0},
        ),
        "SaliencyDisplay": lambda: show.SaliencyDisplay.from_estimator(
            clf, X, method="grad_cam", n_samples=4
        ),
        "NearestSamplesDisplay": lambda: show.NearestSamplesDisplay.from_estimator(
            clf, X_train, X, y=y, y_reference=y_train, n_samples=3
        ),
        "TopClassesDisplay": lambda: show.TopClassesDisplay.from_estimator(clf, X, y, n_samples=4),
        "HardestSamplesDisplay": lambda: show.HardestSamplesDisplay.from_estimator(
            clf, X, y, n_samples=4
        ),
        "BoxesDisplay": lambda: show.BoxesDisplay.from_estimator(
            networks.finder, X, boxes, n_samples=8
        ),
        "KeypointsDisplay": lambda: show.KeypointsDisplay.from_estimator(
            networks.poser, *networks.figures[1], edges=STICK_FIGURE_LIMBS, n_samples=4
        ),
        "LabelMapsDisplay": lambda: show.LabelMapsDisplay.from_estimator(
            networks.segmenter, X, label_maps(y, masks), n_samples=3
        ),
    }


def main(arguments=None):
    """Returns the paths of the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=Path,
        default=Path("demo_output"),
        help="where the pictures go (default: %(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="few data, to see that it runs")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    networks = Networks(40, 1) if options.quick else Networks(3000, 15)
    options.output.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in pictures(networks).items():
        figure = draw().figure_
        paths.append(options.output / f"{name}.png")
        figure.savefig(paths[-1], dpi=70)
        plt.close(figure)
        print(paths[-1])
    return paths


if __name__ == "__main__":
    main()
