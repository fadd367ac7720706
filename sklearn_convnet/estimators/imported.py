"""Estimators from networks that other programs have trained."""

import warnings

import numpy as np

from ..layers import Dense
from ..layers.composition import check_layers
from ..messages import about
from .samples import Given

#: So many samples are in a batch, at most, if nothing else is said.
_BATCH_SIZE = 200


class ImportMixin:
    """Makes fitted estimators of networks with weights."""

    @classmethod
    def _from_network(cls, found, output, weights, y, params):
        """An estimator that has been fitted, as it were, by whoever made the weights.

        Parameters
        ----------
        found : OnnxNetwork
            Without an output layer, if `output` is "auto".
        output : {"auto", None}
        weights : dict of str to ndarray
            By path.
        y : ndarray
            A sample of each kind, which tells what is predicted.
        params : dict
            Parameters of the estimator besides.
        """
        own = {"dtype": found.dtype.name, "output": output, **params}
        if found.form == "flat":
            own["input_shape"] = found.input_shape
        estimator = cls(found.layers, **own)
        X = np.zeros((len(y), *found.input_shape), found.dtype)
        if estimator.data_format == "channels_first":
            X = np.moveaxis(X, -1, 1)
        if found.form == "flat":
            X = X.reshape(len(X), -1)
        elif found.form == "no_channels":
            X = X.reshape(len(X), *found.input_shape[:-1])
        with warnings.catch_warnings():
            # Of shapes and of the last activation: whoever trained the network has seen to them.
            warnings.simplefilter("ignore", UserWarning)
            estimator._validate()
            X = estimator._check_X(X, True)
            estimator._begin(estimator._checked(X, Given(X, y, None, None)))
        with about("parameters such as multi_crop must leave the network of the model as it is"):
            estimator.set_weights(weights)
        estimator._early_stopped = estimator._validated = False
        batch_size = _BATCH_SIZE if estimator.batch_size == "auto" else estimator.batch_size
        estimator._n_of_batch = -(-batch_size // estimator.n_shards)
        return estimator

    @staticmethod
    def _split_output(found):
        """The parameter `output`, and the weights by the paths that they have with it: a last dense
        layer is that of the estimator."""
        pairs = check_layers(found.layers)
        name, last = pairs[-1] if pairs else ("", None)
        plain = isinstance(last, Dense) and last.activation in (None, "identity")
        if not plain or not last.use_bias:
            return None, found.weights
        found.layers = found.layers[:-1]
        weights = {
            "output/" + path[len(name) + 1 :] if path.startswith(f"{name}/") else path: array
            for path, array in found.weights.items()
        }
        return "auto", weights


def read_onnx(*args, **options):
    """See `sklearn_convnet.onnx_import`, which takes a while to import and is seldom needed."""
    from ..onnx_import import read_onnx

    return read_onnx(*args, **options)


def refuse_params(params, *names):
    """Raises TypeError for parameters that follow from the model."""
    wrong = [name for name in names if name in params]
    if wrong:
        raise TypeError(f"from_onnx sets {', '.join(wrong)} itself: leave it out")


def classifier_network(model, classes, input_shape):
    """The `OnnxNetwork` of a classifier, and y with a sample for each of its labels.

    Raises
    ------
    ValueError
        If the number of classes is not that of the scores, or there is no y for these.
    """
    found = read_onnx(model, task="classification", input_shape=input_shape)
    *sizes, n_scores = found.output_shape
    if n_scores == 1 and found.link != "softmax":
        raise ValueError(
            "the model has one score, which is two here, and ends in no dense layer or convolution "
            "that could make both: let it end in one"
        )
    if found.link == "logistic" and sizes:
        raise ValueError(
            "the model tells several labels of a pixel at once, but y here has one label for each: "
            "read its layers by interchange.from_onnx"
        )
    if found.link == "logistic":
        if classes is not None:
            raise ValueError(
                "the model tells each of its labels by itself, so that they have no other names "
                "than their columns: leave classes out"
            )
        return found, np.repeat([[0], [1]], n_scores, axis=1)
    if classes is None:
        classes = np.arange(n_scores) if found.classes is None else found.classes
    classes = np.asarray(classes)
    labels, order = np.unique(classes, return_index=True)
    if classes.ndim != 1 or len(labels) != len(classes) or len(classes) != n_scores:
        raise ValueError(
            f"classes must be {n_scores} different labels, one for each score, got {classes!r}"
        )
    if (order != np.arange(n_scores)).any():
        _sort_scores(found, order)
    y = labels
    if sizes:
        y = np.broadcast_to(labels.reshape(-1, *[1] * len(sizes)), (n_scores, *sizes)).copy()
    return found, y


def _sort_scores(found, order):
    """Puts the scores in the order of sorted labels."""
    name, last = check_layers(found.layers)[-1]
    if not {f"{name}/weight"} <= set(found.weights) or getattr(last, "groups", 1) > 1:
        raise ValueError(
            "classes are not sorted, and the network ends in no layer whose scores could be: "
            "give them sorted, and compare with the order in which the model has them"
        )
    for path in (f"{name}/weight", f"{name}/bias"):
        if path in found.weights:
            found.weights[path] = found.weights[path][..., order]
