"""
What is it, and where?
======================

A digit is somewhere in a scene: rotated, scaled and in noise. One network predicts its class and
the four corners of the box around it. The maps feed two output layers, and the loss is the
cross-entropy of the class plus a multiple of the squared error of the corners.

The 4,000 training scenes are made of the first 1,200 digits of scikit-learn, the 800 test scenes of
the others. Augmentation rotates, shifts and scales scene and box together.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/digit_scenes.png'

import argparse
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import box_localizer
from sklearn_convnet.augmentation import Compose, GaussianNoise, RandomAffine
from sklearn_convnet.datasets import make_digit_scenes
from sklearn_convnet.inspection import BoxesDisplay
from sklearn_convnet.layers import Standardize
from sklearn_convnet.metrics import box_iou, localization_accuracy
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.schedules import CosineDecay

# %%
# The network
# -----------
# Fractions of the image's size are small numbers, and so are their squared errors: the weight
# of the box is above 1. A much larger one would keep the network from learning the classes. The
# initial weights are small as well, since a network that begins with large outputs spends its first
# epochs on making them small.
#
# Rotating and scaling a scene averages its pixels, which reduces its noise. A network that
# saw only such scenes would misplace the boxes of others, with all their noise. So noise is
# added again, less to one scene and more to another.

AUGMENTATION = Compose(
    [
        RandomAffine(
            rotation=(-15, 15),
            translation=(-3, 3),
            scale=(1 / 1.2, 1.2),
            shear=(-10, 10),
            stretch=(1 / 1.1, 1.1),
        ),
        GaussianNoise((0, 0.1)),
    ]
)


def network(augmentation, epochs, seed):
    model = ConvNetClassifier(
        [Standardize(), *box_localizer(filters=(16, 32, 64), units=(512,), dropout=0.2)],
        optimizer=Adam(CosineDecay(1e-3, period=epochs)),
        augmentation=augmentation,
        box_weight=10.0,
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )
    with_weights = ("conv1", "conv2", "conv3", "dense1")
    small = {f"{name}__kernel_initializer": "glorot_uniform" for name in with_weights}
    return model.set_params(**small)


# %%
# Scores
# ------


def scores(model, X, labels, boxes):
    """Accuracy of the class, mean overlap of the boxes, and both right at once."""
    predicted, predicted_boxes = model.predict(X), model.predict_box(X)
    return {
        "class": np.mean(predicted == labels),
        "mean IoU": box_iou(boxes, predicted_boxes).mean(),
        "localisation": localization_accuracy(
            np.column_stack([labels, boxes]), np.column_stack([predicted, predicted_boxes])
        ),
    }


def main(arguments=None):
    """Returns the test scores without and with augmentation."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few data, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw some scenes")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    n_train, n_test, epochs = (100, 50, 1) if options.quick else (4000, 800, options.epochs)
    X, labels, boxes, _ = make_digit_scenes(
        n_train, digits=slice(None, 1200), random_state=options.seed
    )
    test = make_digit_scenes(n_test, digits=slice(1200, None), random_state=options.seed + 1)[:3]
    found = {}
    print("| augmentation | class | mean IoU | localisation |\n|---|---|---|---|")
    for name, augmentation in (("without", None), ("with", AUGMENTATION)):
        model = network(augmentation, epochs, options.seed)
        found[name] = scores(model.fit(X, labels, boxes=boxes), *test)
        print(f"| {name} | " + " | ".join(f"{v:.3f}" for v in found[name].values()) + " |")
    if options.figure:
        from drawing import save

        display = BoxesDisplay.from_estimator(model, test[0], test[2], n_samples=8)
        save(display.figure_, options.figure)
    return found


if __name__ == "__main__":
    main()
