"""
The joints of a stick figure
============================

Pose estimation in the manner of DeepPose (Toshev and Szegedy, 2014): a network predicts the
positions of all joints directly from the maps of the whole image. `target="points"` says that y
holds positions, so that augmentation moves them along with the image. Mirror images would need
`flip_pairs`, since they exchange left and right joints; tried with fewer figures, of neither set,
they gained nothing.

A joint counts as found within a tenth of the figure's height.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/stick_figures.png'

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetRegressor
from sklearn_convnet.architectures import box_localizer
from sklearn_convnet.augmentation import Compose, GaussianNoise, RandomAffine
from sklearn_convnet.datasets import (
    STICK_FIGURE_JOINTS,
    STICK_FIGURE_LIMBS,
    make_stick_figures,
)
from sklearn_convnet.inspection import KeypointsDisplay
from sklearn_convnet.layers import Standardize
from sklearn_convnet.metrics import percentage_of_correct_keypoints
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.schedules import CosineDecay

# %%
# The network
# -----------
# `box_localizer` flattens its maps; coordinates are coordinates, whether of corners or of
# joints. The initial weights are small, since a network that begins with large outputs spends its
# first epochs on making them small.
#
# Interpolation smooths moved images, so they have less noise than the images to predict. Without
# noise added again, sometimes less and sometimes more, the network would rely on its level, and all
# joints would be off to the same side.

AUGMENTATION = Compose(
    [
        RandomAffine(rotation=(-10, 10), translation=(-3, 3), scale=(1 / 1.1, 1.1)),
        GaussianNoise((0, 0.1)),
    ]
)


def network(epochs, seed):
    model = ConvNetRegressor(
        [Standardize(), *box_localizer(filters=(16, 32, 64), units=(512,), dropout=0.0)],
        target="points",
        augmentation=AUGMENTATION,
        optimizer=Adam(CosineDecay(1e-3, period=epochs)),
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )
    with_weights = ("conv1", "conv2", "conv3", "dense1")
    small = {f"{name}__kernel_initializer": "glorot_uniform" for name in with_weights}
    return model.set_params(**small)


# %%
# The table
# ---------


def main(arguments=None):
    """Returns the share of joints found."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=40, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few data, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw some figures")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    n_train, n_test, epochs = (60, 40, 1) if options.quick else (8000, 1000, options.epochs)
    X, joints, _ = make_stick_figures(n_train, random_state=options.seed)
    X_test, joints_test, heights = make_stick_figures(n_test, random_state=options.seed + 1)
    predicted = network(epochs, options.seed).fit(X, joints).predict(X_test)

    true, found = (places.reshape(n_test, -1, 2) for places in (joints_test, predicted))
    print("| joint | within 10 % of the height |\n|---|---|")
    for j, name in enumerate(STICK_FIGURE_JOINTS):
        share = percentage_of_correct_keypoints(true[:, [j]], found[:, [j]], heights)
        print(f"| {name} | {share:.3f} |")
    share = percentage_of_correct_keypoints(true, found, heights)
    print(f"| all | {share:.3f} |")
    error = np.linalg.norm(true - found, axis=2) / heights[:, None]
    print(f"\nMedian error: {100 * np.median(error):.1f} % of the height")
    if options.figure:
        from drawing import save

        display = KeypointsDisplay.from_predictions(
            X_test, joints_test, predicted, edges=STICK_FIGURE_LIMBS, n_samples=4
        )
        save(display.figure_, options.figure)
    return share


if __name__ == "__main__":
    main()
