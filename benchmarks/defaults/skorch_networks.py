"""The networks of skorch's own tutorials, in our words.

Images: the convolutional network of its MNIST tutorial, Adam at 0.002, 10 epochs. Tables: the
networks of its README and of its notebook on basic usage, SGD at 0.1, 10 epochs for classes and 20
for numbers. The rest is skorch's: batches of 128, and a fifth of the data for a validation score.
There is no tutorial on series.
"""

import math

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

UNITS, DROPOUT = 100, 0.5
FILTERS = (32, 64)


def trunk(shape):
    """Two convolutions with max pools, and a dense layer; `shape` has its channels first."""
    n_channels, *sizes = shape
    conv, pool, dropout = {
        2: (nn.Conv2d, nn.MaxPool2d, nn.Dropout2d),
        3: (nn.Conv3d, nn.MaxPool3d, nn.Dropout3d),
    }[len(sizes)]
    # Nothing would be left of images of 8 x 8.
    padding = int(any(((size - 2) // 2 - 2) // 2 < 1 for size in sizes))
    lost = 2 - 2 * padding
    left = [((size - lost) // 2 - lost) // 2 for size in sizes]
    return nn.Sequential(
        conv(n_channels, FILTERS[0], 3, padding=padding),
        pool(2),
        nn.ReLU(),
        conv(FILTERS[0], FILTERS[1], 3, padding=padding),
        dropout(DROPOUT),
        pool(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(FILTERS[1] * math.prod(left), UNITS),
        nn.Dropout(DROPOUT),
        nn.ReLU(),
    )


def with_output(shape, n_outputs, softmax):
    end = [nn.Softmax(dim=-1)] if softmax else []
    return nn.Sequential(trunk(shape), nn.Linear(UNITS, n_outputs), *end)


class LabelAndBox(nn.Module):
    """Two output layers over one trunk."""

    def __init__(self, shape, n_classes):
        super().__init__()
        self.trunk = trunk(shape)
        self.label, self.box = nn.Linear(UNITS, n_classes), nn.Linear(UNITS, 8)

    def forward(self, X):
        maps = self.trunk(X)
        return torch.cat([self.label(maps), self.box(maps)], dim=1)


class LabelAndBoxLoss(nn.Module):
    """The cross-entropy of the label and the mean squared error of the corners."""

    def forward(self, predicted, y):
        label = nn.functional.cross_entropy(predicted[:, :-8], y[:, 0].long())
        return label + nn.functional.mse_loss(predicted[:, -8:], y[:, 1:])


def table_of_classes(n_columns, n_classes):
    return nn.Sequential(
        nn.Linear(n_columns, 10),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(10, 10),
        nn.ReLU(),
        nn.Linear(10, n_classes),
        nn.Softmax(dim=-1),
    )


def table_of_numbers(n_columns):
    layers = [nn.Linear(n_columns, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(10, 1))


class Tutorial(BaseEstimator):
    """Brings X and y to the form that skorch takes, and makes the network when it has seen them.

    Columns of tables are standardised, and so are numbers to predict, which the tutorial brings to
    about 1 as well.
    """

    def __init__(self, task, kind, seed):
        self.task = task
        self.kind = kind
        self.seed = seed

    def fit(self, X, y):
        torch.manual_seed(self.seed)
        if self.kind == "table":
            self.scaler_ = StandardScaler().fit(X)
        X = self._tensor_like(X)
        if self.task == "regression":
            self.numbers_ = StandardScaler().fit(y[:, np.newaxis])
            y = self.numbers_.transform(y[:, np.newaxis])
        if self.task != "classification":
            y = y.astype(np.float32)
        self.net_ = self._net(X, y).fit(X, y)
        return self

    def predict(self, X):
        found = self.net_.predict(self._tensor_like(X))
        if self.task == "regression":
            return self.numbers_.inverse_transform(found)[:, 0]
        if self.task == "boxes":
            return np.column_stack([found[:, :-8].argmax(axis=1), found[:, -8:]])
        return found

    def _tensor_like(self, X):
        if self.kind == "table":
            return self.scaler_.transform(X).astype(np.float32)
        return np.ascontiguousarray(np.moveaxis(X, -1, 1), dtype=np.float32)

    def _net(self, X, y):
        if self.kind == "table":
            given = dict(lr=0.1, verbose=0)
            if self.task == "regression":
                return NeuralNetRegressor(table_of_numbers(X.shape[1]), max_epochs=20, **given)
            module = table_of_classes(X.shape[1], y.max() + 1)
            return NeuralNetClassifier(module, max_epochs=10, iterator_train__shuffle=True, **given)
        given = dict(max_epochs=10, lr=0.002, optimizer=torch.optim.Adam, verbose=0)
        shape = X.shape[1:]
        if self.task == "classification":
            return NeuralNetClassifier(with_output(shape, y.max() + 1, softmax=True), **given)
        if self.task == "boxes":
            module = LabelAndBox(shape, int(y[:, 0].max()) + 1)
            return NeuralNet(module, criterion=LabelAndBoxLoss, **given)
        return NeuralNetRegressor(with_output(shape, y.shape[1], softmax=False), **given)


def make(problem):
    return Tutorial(problem.task, problem.kind, problem.seed)
