"""Numbers beside a sample, appended to what the layers make of it."""

from math import prod
from numbers import Integral

from ..constraints import Interval
from .base import Layer
from .composition import LayerComposition, named_layers


class ConcatFeatures(Layer):
    """Appends the features of each sample: numbers beside the image, such as an age or a weight.

    They are the ``features`` that `fit` and `predict` are given. Maps are flattened first, and the
    features follow, as they are: scale them before, as for any other estimator. The layer usually
    stands after all convolutions, before a `Dense`. A network may have several; each appends the
    same features.

    Parameters
    ----------
    n_features : int, default=None
        Number of features; None is as many as `fit` is given.

    Examples
    --------
    >>> from sklearn_convnet.layers import ConcatFeatures
    >>> ConcatFeatures(n_features=3).output_shape((5, 5, 16))
    (403,)

    A network that sees small images, and the row and the column that they were cut out of:

    >>> import numpy as np
    >>> from sklearn_convnet import ConvNetRegressor
    >>> from sklearn_convnet.layers import Conv2D, Dense, GlobalAvgPool
    >>> rng = np.random.RandomState(0)
    >>> X, places = rng.normal(size=(200, 6, 6)), rng.uniform(size=(200, 2))
    >>> y = X.mean(axis=(1, 2)) + places[:, 0]
    >>> layers = [Conv2D(8, 3), GlobalAvgPool(), ConcatFeatures(), Dense(16)]
    >>> reg = ConvNetRegressor(layers, max_iter=100, batch_size=20, random_state=0)
    >>> reg = reg.fit(X, y, features=places)
    >>> reg.score(X, y, features=places) > 0.9
    True
    """

    _parameter_constraints = {"n_features": [Interval(Integral, 1, None, closed="left"), None]}

    def __init__(self, n_features: int | None = None) -> None:
        self.n_features = n_features

    def _output_shape(self, input_shape):
        if self.n_features is None:
            raise ValueError(
                "how many features there are is not known before a fit: set n_features to ask for "
                "shapes"
            )
        return (prod(input_shape) + self.n_features,)


def feature_layers(layers, prefix=""):
    """`(path, layer)` pairs of the `ConcatFeatures` among layers, at any depth."""
    found = []
    for name, layer in named_layers(layers):
        if isinstance(layer, ConcatFeatures):
            found.append((prefix + name, layer))
        elif isinstance(layer, LayerComposition):
            found += feature_layers(layer.named_children(), f"{prefix}{name}/")
    return found
