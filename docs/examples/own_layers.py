"""
Layers of one's own
===================

An activation without weights, and a learnt scale for each channel, in plain numpy.
"Adding a layer" explains them line by line, and tests them with `check_layer`.
"""

import argparse
import warnings
from numbers import Real

import numpy as np
from scipy.special import expit
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.layers import Conv2D, Layer, MaxPool2D, Rescale, Residual
from sklearn_convnet.network import Node, Weight, executes

# %%
# Without weights
# ---------------


class Swish(Layer):
    """Y = X / (1 + exp(-beta X))."""

    _parameter_constraints = {"beta": [Real]}

    def __init__(self, beta=1.0):
        self.beta = beta

    def _output_shape(self, input_shape):
        return input_shape


def swish(X, beta, Y):
    np.multiply(X, expit(beta * X), out=Y)


def swish_backward(X, dY, beta, dX):
    S = expit(beta * X)
    np.multiply(dY, S * (1 + beta * X * (1 - S)), out=dX)


@executes(Swish)
class SwishNode(Node):
    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.beta = float(layer.beta)

    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(swish, X, self.beta, Y)
        run.save(self, X)
        return Y

    def backward(self, dY, need_input, run):
        (X,) = run.recall(self)
        if not need_input:
            return None
        dX = run.empty(X.shape, X.dtype)
        run.call(swish_backward, X, dY, self.beta, dX)
        return dX


# %%
# With weights
# ------------


class ChannelScale(Layer):
    """Y = X scale, with a scale for each channel."""

    _parameter_constraints = {"trainable": ["boolean"]}

    def __init__(self, trainable=True):
        self.trainable = trainable


def sum_products(X, dY, d_scale):
    np.sum(X * dY, axis=tuple(range(X.ndim - 1)), dtype=np.float64, out=d_scale)


@executes(ChannelScale)
class ChannelScaleNode(Node):
    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.weights["scale"] = Weight(input_shape[-1:], "ones", trainable=layer.trainable)

    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        run.call(np.multiply, X, self.params["scale"], Y)
        run.save(self, X)
        return Y

    def backward(self, dY, need_input, run):
        (X,) = run.recall(self)
        d_scale = self.gradient("scale")
        if d_scale is not None:
            run.call(sum_products, X, dY, d_scale)
        if not need_input:
            return None
        dX = run.empty(X.shape, X.dtype)
        run.call(np.multiply, dY, self.params["scale"], dX)
        return dX


# %%
# At work
# -------


def network(epochs, seed):
    block = Residual([Conv2D(16, 3, padding="same", activation=None), Swish(), ChannelScale()])
    return ConvNetClassifier(
        [Rescale(1 / 16), Conv2D(16, 3, activation=None), Swish(), block, MaxPool2D(2)],
        batch_size=32,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )


def draw(path, clf):
    """The activation and its derivative, and the scales that were learnt."""
    from drawing import picture

    X = np.linspace(-6, 6, 200)
    with picture(path, [["Swish", "its derivative", "ChannelScale"]], (9, 2.8)) as axes:
        for beta in (0.5, 1.0, 4.0):
            Y, dX = np.empty_like(X), np.empty_like(X)
            swish(X, beta, Y)
            swish_backward(X, np.ones_like(X), beta, dX)
            axes["Swish"].plot(X, Y, label=f"beta = {beta}")
            axes["its derivative"].plot(X, dX)
        axes["Swish"].legend(fontsize="small")
        (scale,) = (w for name, w in clf.network_.parameters().items() if name.endswith("/scale"))
        axes["ChannelScale"].bar(range(len(scale)), scale)
        axes["ChannelScale"].axhline(1, color="black", linewidth=0.8, linestyle="--")
        axes["ChannelScale"].set_xlabel("channel")
        for name, ax in axes.items():
            ax.set_title(name, fontsize="small")


def main(arguments=None):
    """Returns the accuracy on digits that were held out."""
    parser = argparse.ArgumentParser(description="Layers of one's own")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few epochs, to see that it runs")
    parser.add_argument("--figure", metavar="FILE", help="where to draw the layers")
    options = parser.parse_args(arguments)
    # The number of epochs is given, converged or not.
    warnings.filterwarnings("ignore", "Stochastic Optimizer", ConvergenceWarning)
    X, y = load_digits(return_X_y=True)
    split = train_test_split(X.reshape(-1, 8, 8), y, random_state=options.seed, stratify=y)
    X_train, X_test, y_train, y_test = split
    clf = network(2 if options.quick else 20, options.seed).fit(X_train, y_train)
    accuracy = clf.score(X_test, y_test)
    print(f"test accuracy {accuracy:.3f}")
    if options.figure:
        draw(options.figure, clf)
    return accuracy


if __name__ == "__main__":
    main()
