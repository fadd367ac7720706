"""
Images in a table
=================

On an order form, the quantity is written by hand, the unit is ticked, and the price of a piece is
typed, or missing. What is the value of the order? Neither the image nor the columns suffice.

All of it is one table, with a column of images. A ColumnTransformer of scikit-learn scales the
price and imputes missing ones, encodes the units and leaves the images as they are. The network
takes the column of images as its samples and the others as their features, which it appends to
the output of its convolutions.

The digits are scikit-learn's.
"""

# sphinx_gallery_thumbnail_path = 'figures/examples/orders.png'

import argparse
import warnings

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sklearn_convnet import ConvNetRegressor
from sklearn_convnet.layers import ConcatFeatures, Conv2D, Dense, Dropout, MaxPool2D, Standardize

UNITS = {"single": 1, "pair": 2, "half a dozen": 6}

#: Share of the orders without a price.
MISSING = 0.05


# %%
# Data
# ----


def load(seed):
    """A table of orders, and what each is worth."""
    images, digits = load_digits(return_X_y=True)
    rng = np.random.RandomState(seed)
    units = rng.choice(list(UNITS), len(digits))
    price = rng.gamma(4, 0.5, size=len(digits)).round(2)
    worth = digits * np.array([UNITS[unit] for unit in units]) * price
    price[rng.uniform(size=len(price)) < MISSING] = np.nan
    images = list(images.reshape(-1, 8, 8).astype(np.float32))
    return pd.DataFrame({"quantity": images, "unit": units, "price": price}), worth


# %%
# The pipeline
# ------------
# Features may come in at two places: `early` is after the convolutions, `late` after a dense
# layer that first reduces their many outputs. A search chooses.


def columns(image="passthrough"):
    price = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    return ColumnTransformer(
        [
            ("quantity", image, ["quantity"]),
            ("price", price, ["price"]),
            ("unit", OneHotEncoder(sparse_output=False), ["unit"]),
        ]
    )


def network(epochs, seed):
    layers = [Standardize(), Conv2D(32, 3), Conv2D(32, 3), MaxPool2D(2), Dropout(0.5)]
    layers += [("early", "passthrough"), Dense(32), ("late", ConcatFeatures())]
    return ConvNetRegressor(
        [*layers, Dense(64), Dense(64)],
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


def search(epochs, seed):
    """A search for where features do best in cross-validation."""
    places = [
        {"early": [ConcatFeatures()], "late": ["passthrough"]},
        {"early": ["passthrough"], "late": [ConcatFeatures()]},
    ]
    grid = [{f"convnetregressor__{k}": v for k, v in place.items()} for place in places]
    return GridSearchCV(make_pipeline(columns(), network(epochs, seed)), grid, cv=3)


def ways(orders, epochs, seed):
    """Models by what they see, and the functions that show it to them."""
    of_columns = columns("drop").fit(orders)
    trees = HistGradientBoostingRegressor(random_state=seed)
    of_images = network(epochs, seed).set_params(late="passthrough")

    def pixels_and_columns(table):
        pixels = np.stack(table["quantity"]).reshape(len(table), -1)
        return np.hstack([pixels, of_columns.transform(table)])

    return {
        "the columns alone, boosted trees": (trees, of_columns.transform),
        "the image alone": (of_images, lambda table: table[["quantity"]]),
        "pixels and columns, boosted trees": (clone(trees), pixels_and_columns),
        "the image and the columns": (search(epochs, seed), lambda table: table),
    }


# %%
# The picture
# -----------


def draw(path, orders, worth, found):
    """Some orders, and what each way to predict says against what all are worth."""
    from drawing import picture, show

    names = ["the columns alone, boosted trees", "the image alone", "the image and the columns"]
    shown = [*range(5), np.flatnonzero(orders["price"].isna())[0]]
    mosaic = [list(range(6)), [name for name in names for _ in range(2)]]
    with picture(path, mosaic, (9, 5)) as axes:
        for i, row in enumerate(shown):
            order = orders.iloc[row]
            price = "no price" if np.isnan(order["price"]) else f"at {order['price']:.2f}"
            show(axes[i], order["quantity"], f"{order['unit']}\n{price}")
            says = f"worth {worth[row]:.1f}\nfound {found[names[-1]][row]:.1f}"
            axes[i].set_xlabel(says, fontsize="small")
        for name in names:
            score = r2_score(worth, found[name])
            axes[name].plot([0, worth.max()], [0, worth.max()], color="grey", linewidth=0.8)
            axes[name].scatter(worth, found[name], s=4)
            axes[name].set_title(f"{name.partition(',')[0]}: R² {score:.2f}", fontsize="small")
            axes[name].set(xlabel="worth", ylabel="found", ylim=(-15, worth.max()))


# %%
# The table
# ---------


def main(arguments=None):
    """Returns R^2 and mean absolute error of each way to predict."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[1])
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few epochs, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw orders and predictions")
    options = parser.parse_args(arguments)
    # The recipe says how many epochs there are, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    orders, worth = load(options.seed)
    split = train_test_split(orders, worth, train_size=1200, random_state=0)
    orders, new_orders, worth, new_worth = split
    epochs = 2 if options.quick else options.epochs
    found, scores = {}, {}
    print("| what is seen | R² | mean absolute error |\n|---|---|---|")
    for name, (model, seen) in ways(orders, epochs, options.seed).items():
        found[name] = model.fit(seen(orders), worth).predict(seen(new_orders))
        error = mean_absolute_error(new_worth, found[name])
        scores[name] = r2_score(new_worth, found[name]), error
        print(f"| {name} | {scores[name][0]:.3f} | {error:.2f} |")
    is_early = isinstance(model.best_params_["convnetregressor__early"], ConcatFeatures)
    print(f"\nfeatures come in {'early' if is_early else 'late'}, says the search")
    if options.figure:
        draw(options.figure, new_orders, new_worth, found)
    return scores


if __name__ == "__main__":
    main()
