"""
Which pixels belong to the digit?
=================================

A U-net (Ronneberger, Fischer and Brox, 2015) labels each pixel of a scene as background or digit,
if asked for among fragments of other digits. The layers end in maps of the size of the image, y
is label maps, and the estimator adds an output layer that works pixel by pixel.

The score is the Jaccard index of a class: the number of pixels correctly labelled as this class,
divided by the number of those that have the label, or should have it.
"""

import argparse
import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import jaccard_score

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.architectures import unet
from sklearn_convnet.datasets import make_digit_scenes
from sklearn_convnet.inspection import LabelMapsDisplay
from sklearn_convnet.layers import Standardize
from sklearn_convnet.optimizers import Adam
from sklearn_convnet.schedules import CosineDecay

# %%
# The network
# -----------
# An eighth of the paper's filters, and maps that are halved twice.


def network(epochs, seed):
    return ConvNetClassifier(
        [Standardize(), *unet(width=1 / 8, depth=2, dropout=0.2)],
        optimizer=Adam(CosineDecay(2e-3, period=epochs)),
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


# %%
# The picture
# -----------


def draw(path, X, true, predicted):
    """Scenes, which pixels are the digit's, and which are labelled so."""
    from drawing import picture

    mosaic = [[f"{part} {i}" for part in ("scene", "true", "predicted")] for i in range(3)]
    with picture(path, mosaic, (7, 6)) as axes:
        LabelMapsDisplay.from_predictions(
            X,
            true,
            predicted,
            display_labels=["background", "digit"],
            n_samples=len(mosaic),
            axes=list(axes.values()),
        )


# %%
# The table
# ---------


def main(arguments=None):
    """Returns the Jaccard index of the foreground on test scenes."""
    parser = argparse.ArgumentParser(description="Which pixels belong to the digit?")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=10, help="default: %(default)s")
    parser.add_argument("--distractors", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few data, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw some scenes")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    n_train, n_test, epochs = (40, 20, 1) if options.quick else (2000, 800, options.epochs)
    scene = {"n_distractors": options.distractors}
    X, _, _, masks = make_digit_scenes(
        n_train, digits=slice(None, 1200), random_state=options.seed, **scene
    )
    X_test, _, _, masks_test = make_digit_scenes(
        n_test, digits=slice(1200, None), random_state=options.seed + 1, **scene
    )
    model = network(epochs, options.seed).fit(X, masks)
    predicted = model.predict(X_test)
    background, foreground = jaccard_score(masks_test.ravel(), predicted.ravel(), average=None)
    print("| distractors | background | foreground |\n|---|---|---|")
    print(f"| {options.distractors} | {background:.3f} | {foreground:.3f} |")
    if options.figure:
        draw(options.figure, X_test, masks_test, predicted)
    return foreground


if __name__ == "__main__":
    main()
