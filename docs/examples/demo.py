"""
Recognising handwritten digits
==============================

A network in the manner of LeNet-5 (LeCun et al., 1998) learns to recognise digits. It is a
scikit-learn estimator, so :class:`~sklearn.model_selection.GridSearchCV` can choose the
number of filters and swap or drop a layer, and joblib can save the result.

``make demo`` runs this file on the 1797 digits that come with scikit-learn.
``make demo DATA=FOLDER`` runs it on MNIST or Fashion-MNIST, whose four IDX files are in
the folder.
"""

# sphinx_gallery_thumbnail_path = 'figures/displays/HardestSamplesDisplay.png'

# %%
# The recipe
# ----------

import argparse
import warnings
from pathlib import Path
from typing import NamedTuple

import joblib
import matplotlib
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score
from sklearn.model_selection import GridSearchCV, train_test_split

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.datasets import read_idx_folder
from sklearn_convnet.inspection import FiltersDisplay, HardestSamplesDisplay, HistoryDisplay
from sklearn_convnet.layers import Conv2D, Dense, Dropout, MaxPool2D, Standardize
from sklearn_convnet.optimizers import Adam

matplotlib.use("Agg")  # pictures go to files
from matplotlib import pyplot as plt
from matplotlib.colors import PowerNorm

N_JOBS = 2

FASHION = ("T-shirt, trousers, pullover, dress, coat, sandal, shirt, sneaker, bag, boot").split(
    ", "
)


class Data(NamedTuple):
    """Images, their labels, and what the labels stand for."""

    title: str
    X_train: np.ndarray
    X_test: np.ndarray
    y_train: np.ndarray
    y_test: np.ndarray
    names: list


class Recipe(NamedTuple):
    """Sizes of layers that suit those of the images."""

    kernel_size: int
    conv2_padding: str
    first_filters: tuple  # of both convolutions, before the search
    conv1_filters: list  # to search over
    conv2_filters: list
    droppable: str  # a pool that the search may leave out
    n_search: int  # images to search with
    search_epochs: int
    epochs: int
    batch_size: int


FOR_8X8 = Recipe(
    3,
    "same",
    (16, 32),
    [8, 32],
    [16, 64],
    "pool1",
    2000,
    search_epochs=15,
    epochs=30,
    batch_size=64,
)
FOR_28X28 = Recipe(
    5,
    "valid",
    (6, 16),
    [6, 12],
    [16, 32],
    "pool2",
    1500,
    search_epochs=4,
    epochs=3,
    batch_size=64,
)


def lenet(recipe, seed):
    """LeNet: where the search begins.

    Images of 8 x 8 pixels have more filters than its 6 and 16: after two pools their maps are so
    small that with dropout little would be left of them.
    """
    kernel_size, (conv1, conv2) = recipe.kernel_size, recipe.first_filters
    return ConvNetClassifier(
        [
            Standardize(),
            ("conv1", Conv2D(conv1, kernel_size, padding="same")),
            ("pool1", MaxPool2D(2)),
            ("conv2", Conv2D(conv2, kernel_size, padding=recipe.conv2_padding)),
            ("pool2", MaxPool2D(2)),
            Dropout(0.25),
            ("dense", Dense(120)),
            Dropout(0.5),
        ],
        optimizer=Adam(learning_rate=1e-3),
        batch_size=recipe.batch_size,
        max_iter=recipe.epochs,
        random_state=seed,
    )


def choices(recipe):
    """The parameters that the search may change: sizes of layers, a layer itself, the optimiser."""
    return {
        "conv1__filters": recipe.conv1_filters,
        "conv2__filters": recipe.conv2_filters,
        recipe.droppable: [MaxPool2D(2), "passthrough"],
        "optimizer__learning_rate": [1e-3, 3e-3],
    }


# %%
# Data
# ----
# A quarter of scikit-learn's digits is held out, and used only at the end. MNIST and
# its relatives come with their own test images.


def load(folder, seed):
    """The images in a folder of IDX files, or scikit-learn's digits."""
    if folder is None:
        X, y = load_digits(return_X_y=True)
        X = X.reshape(-1, 8, 8).astype(np.uint8)
        parts = train_test_split(X, y, test_size=0.25, stratify=y, random_state=seed)
        return Data("scikit-learn's digits", *parts, [str(i) for i in range(10)])
    X_train, y_train, X_test, y_test = read_idx_folder(folder)
    names = [str(label) for label in np.unique(y_train)]
    if "fashion" in str(folder).lower() and len(names) == len(FASHION):
        names = FASHION
    return Data(str(folder), X_train, X_test, y_train, y_test, names)


# %%
# Search, train, save
# -------------------


def search(model, recipe, data, seed):
    """Tries all combinations on part of the training images, by cross-validation."""
    X, y = data.X_train, data.y_train
    if len(X) > recipe.n_search:
        X, _, y, _ = train_test_split(
            X, y, train_size=recipe.n_search, stratify=y, random_state=seed
        )
    model = clone(model).set_params(max_iter=recipe.search_epochs)
    grid = GridSearchCV(model, choices(recipe), cv=3, n_jobs=N_JOBS, refit=False)
    return show_progress(grid).fit(X, y)


def show_progress(grid):
    """The same search with a bar for each of its loops, if scikit-learn (1.9) and rich are new
    enough for that."""
    try:
        from sklearn.callback import ProgressBar

        return grid.set_callbacks(ProgressBar(max_propagation_depth=0))
    except ImportError:
        return grid


def train(model, data):
    """Two thirds of the epochs, then the rest at a tenth of the learning rate.

    At a constant rate the weights are still jumping about when training ends.
    """
    rate, epochs = model.optimizer.learning_rate, model.max_iter
    first = 2 * epochs // 3
    model.set_params(max_iter=first).fit(data.X_train, data.y_train)
    model.set_params(warm_start=True, max_iter=epochs - first, optimizer__learning_rate=rate / 10)
    return model.fit(data.X_train, data.y_train)


def results_table(results):
    """The results of a search, the best first, as text."""
    params = list(results["params"][0])
    rows = [["accuracy", "deviation", "fit", *params]]
    for i in np.argsort(results["rank_test_score"], kind="stable"):
        rows.append(
            [
                f"{results['mean_test_score'][i]:.4f}",
                f"{results['std_test_score'][i]:.4f}",
                f"{results['mean_fit_time'][i]:.2f} s",
                *(str(results["params"][i][name]) for name in params),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(lines)


def save_and_reload(model, path, X):
    """A copy of the model that went through a file; it must predict the same bits."""
    joblib.dump(model, path)
    reloaded = joblib.load(path)
    if not np.array_equal(reloaded.predict_proba(X), model.predict_proba(X)):
        raise RuntimeError(f"the model reloaded from {path} predicts something else")
    return reloaded


# %%
# Pictures
# --------


def draw_filters(model):
    """The filters of the first layer: red is positive, blue negative."""
    return FiltersDisplay.from_estimator(model, "conv1").figure_


def draw_losses(models):
    """Loss, score and learning rate of some models, by name."""
    return HistoryDisplay.from_estimators(models).figure_


def draw_confusion(data, predicted):
    """The confusion matrix: what was taken for what."""
    figure, ax = plt.subplots(figsize=(7, 7), layout="constrained")
    ConfusionMatrixDisplay.from_predictions(
        data.y_test,
        predicted,
        display_labels=data.names,
        xticks_rotation="horizontal" if len(max(data.names, key=len)) < 3 else 45,
        cmap="Blues",
        im_kw={"norm": PowerNorm(0.4)},  # the few errors are to be seen
        colorbar=False,
        ax=ax,
    )
    ax.set(
        title=f"Confusion matrix of {len(predicted)} test images",
        xlabel="read as",
        ylabel="is",
    )
    return figure


def draw_hardest(model, data, n=8):
    """The hardest images, each with the five most probable classes."""
    display = HardestSamplesDisplay.from_estimator(
        model,
        data.X_test,
        data.y_test,
        n_samples=n,
        display_labels=data.names,
        im_kw={"cmap": "gray_r"},
    )
    display.figure_.suptitle("The hardest test images and the top five guesses (green is right)")
    return display.figure_


# %%
# One after the other
# -------------------


def run(data, recipe, output, seed=0):
    """The whole demonstration; returns the test accuracy of the network found."""
    output.mkdir(parents=True, exist_ok=True)
    n_train, height, width = data.X_train.shape
    print(f"{data.title}: {n_train} training images and {len(data.X_test)} test images")
    print(f"of {height} x {width} pixels\n")

    start = lenet(recipe, seed)
    grid = search(start, recipe, data, seed)
    n_networks = len(grid.cv_results_["params"])
    print(f"Search: {n_networks} networks, 3-fold cross-validation, {N_JOBS} processes")
    print(results_table(grid.cv_results_), "\n")

    best = clone(start).set_params(**grid.best_params_)
    models = {"LeNet": start, "best of the search": best}
    for model in models.values():
        train(model, data)
    print("The best, trained on all training images:")
    print(best.summary(), "\n")

    path = output / "model.joblib"
    reloaded = save_and_reload(best, path, data.X_test)
    predicted = reloaded.predict(data.X_test)
    accuracy = accuracy_score(data.y_test, predicted)
    for name, model in models.items():
        print(f"Test accuracy, {name}: {model.score(data.X_test, data.y_test):.4f}")
    print(f"Misread by the best: {(predicted != data.y_test).sum()} of {len(predicted)}\n")

    figures = {
        "filters.png": draw_filters(best),
        "losses.png": draw_losses(models),
        "confusion.png": draw_confusion(data, predicted),
        "misread.png": draw_hardest(best, data),
    }
    for name, figure in figures.items():
        figure.savefig(output / name, dpi=120)
        plt.close(figure)
    print(f"The model, which predicts the same when reloaded, is {path}.")
    print(f"Pictures in {output.resolve()}: {', '.join(figures)}")
    return accuracy


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Train networks to recognise digits.")
    parser.add_argument("--data", metavar="FOLDER", help="where the IDX files of MNIST are")
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        type=Path,
        default=Path("demo_output"),
        help="where the pictures go (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    data = load(options.data, options.seed)
    recipe = FOR_8X8 if options.data is None else FOR_28X28
    return run(data, recipe, options.output, options.seed)


if __name__ == "__main__":
    main()
