"""`ConvNetClassifier`."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import metadata_routing
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight

from .base import BaseConvNet
from .losses import CLASSIFICATION_LOSSES
from .targets import check_labels, label_target


class ConvNetClassifier(ClassifierMixin, BaseConvNet):
    """A convolutional network that classifies images, signals or volumes.

    Labels may be binary, of several classes, or a 0/1 indicator of several labels at once.
    The network consists of `layers` and a dense output layer that is added from y.

    Parameters
    ----------
    layers : list or tuple, default=None
        Layers or `(name, layer)` pairs, without the output layer. Unnamed layers are called
        ``conv2d1``, ``conv2d2``, ``dense1`` and so on; a parameter of a layer is set by
        ``name__parameter``, a layer is replaced by its name. None is a network that suits
        the shape of X, beginning with `Standardize`.
    input_shape : tuple of int, default=None
        Shape of one sample, channels last, where X is flat ``(n_samples, n_features)``.
    loss : "auto", "cross_entropy" or CrossEntropy, default="auto"
        What training makes small: cross-entropy.
    optimizer : {"adam", "adamw", "rmsprop", "adagrad", "sgd"} or Optimizer, default="adam"
        A name, or an instance such as ``Adam(learning_rate=1e-3)``, whose parameters can
        then be searched, as ``optimizer__learning_rate``.
    batch_size : int or "auto", default="auto"
        Samples of a step; "auto" is ``min(200, n_samples)``. The samples of an epoch are cut
        into batches of nearly equal size, none larger than this.
    max_iter : int, default=200
        Largest number of epochs.
    early_stopping : bool, default=False
        Whether to hold out part of the training data, stop when the score on it no longer
        improves, and go back to the weights that were best.
    validation_fraction : float, default=0.1
        Share that is held out, stratified by class.
    n_iter_no_change : int, default=10
        Training stops after so many epochs in a row without an improvement by `tol` of the
        training loss, or of the validation score if `early_stopping`.
    tol : float, default=1e-4
        What counts as an improvement.
    shuffle : bool, default=True
        Whether each epoch has an order of its own.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit. Classes and shapes must be
        the same.
    dtype : {"auto", "float32", "float64"}, default="auto"
        What to compute in: "auto" is float64 for X of float64 and float32 for anything else.
    n_threads : int, default=None
        Number of threads; None is all cores, ``OMP_NUM_THREADS``, or the share that joblib
        gives a worker; -1 is all. It changes no bit of any result.
    random_state : int, RandomState or None, default=None
        Seeds the first weights, the order of samples and the dropout masks.
    verbose : bool, default=False
        Whether to print a row for each epoch.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, multiplied with `sample_weight`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes; for several labels their numbers.
    n_features_in_ : int
        Number of values of one sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had names.
    input_shape_ : tuple of int
        Shape of one sample.
    layers_ : list of (str, Layer)
        The layers with their names, and the output layer.
    network_ : Network
        The network.
    n_iter_ : int
        Number of epochs.
    t_ : int
        Number of samples seen in training.
    loss_ : float
        Training loss of the last epoch.
    loss_curve_ : list of float
        Training loss of each epoch.
    best_loss_ : float or None
        The smallest of them; None if `early_stopping`.
    validation_scores_ : list of float or None
        Score on the data held out after each epoch, if `early_stopping`.
    best_validation_score_ : float or None
        The largest of them, whose weights are kept.
    history_ : dict of str to list
        The curves by name; "learning_rate" is that of each epoch's last step.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D, Rescale
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = ConvNetClassifier(
    ...     [Rescale(1 / 16), Conv2D(16, 3), MaxPool2D(2), Dense(32)],
    ...     input_shape=(8, 8), max_iter=30, random_state=0,
    ... )
    >>> clf.fit(X[:1000], y[:1000]).score(X[1000:], y[1000:]) > 0.8
    True
    """

    _parameter_constraints = {
        **BaseConvNet._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }
    _losses = CLASSIFICATION_LOSSES

    # `classes` names all classes in the first call: nothing to route.
    __metadata_request__partial_fit = {"classes": metadata_routing.UNUSED}

    def __init__(
        self,
        layers=None,
        *,
        input_shape=None,
        loss="auto",
        optimizer="adam",
        batch_size="auto",
        max_iter=200,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        shuffle=True,
        warm_start=False,
        dtype="auto",
        n_threads=None,
        random_state=None,
        verbose=False,
        class_weight=None,
    ):
        self.layers = layers
        self.input_shape = input_shape
        self.loss = loss
        self.optimizer = optimizer
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.shuffle = shuffle
        self.warm_start = warm_start
        self.dtype = dtype
        self.n_threads = n_threads
        self.random_state = random_state
        self.verbose = verbose
        self.class_weight = class_weight

    def _check_y(self, y, dtype):
        return check_labels(y)

    def _make_target(self, y, classes=None):
        self._target = label_target(y, classes)
        self.classes_ = self._target.classes
        return self._target.n_outputs

    def _encode(self, y, dtype):
        return self._target.encode(y, dtype)

    def _weights_of_classes(self, y, weight):
        if self.class_weight is None:
            return 1.0
        if y.ndim == 2:
            weights = compute_sample_weight(self.class_weight, y)
        else:
            # A dict may name classes that these samples lack, in partial_fit.
            balanced = self.class_weight == "balanced"
            classes = np.unique(y) if balanced else self.classes_
            of_class = compute_class_weight(
                self.class_weight, classes=classes, y=y, sample_weight=weight
            )
            weights = of_class[np.searchsorted(classes, y)]
        if np.min(weights) < 0:
            raise ValueError(
                f"class_weight={self.class_weight!r} holds a negative weight: give weights "
                "of at least 0"
            )
        return weights

    def _stratify(self, y):
        return None if y.ndim == 2 else y

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """One pass over the data, from where the last call or fit ended.

        Statistics of `Standardize` are those of the first call.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All classes that will come; needed in the first call.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights; samples of weight zero are left out.

        Returns
        -------
        self : object
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported by partial_fit, which does not "
                "see all samples: give a dict, or sample_weight"
            )
        fitted = hasattr(self, "network_")
        if not fitted and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if fitted and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes={classes!r} is not the same as on the first call to partial_fit: "
                f"{self.classes_!r}"
            )
        return self._partial_fit(X, y, sample_weight, classes)

    def _probabilities(self, Z):
        return self._loss().predict(
            Z, self.network_.kernels, 1, several_labels=self._target.several_labels
        )

    def _score(self, Z, y, sample_weight):
        predicted = self._target.decode(self._probabilities(Z))
        return accuracy(y, predicted, sample_weight)

    def predict_proba(self, X):
        """Probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Samples of the shape of the training data.

        Returns
        -------
        P : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; for several labels the probability of each.
        """
        return self._probabilities(self._outputs(X))

    def predict_log_proba(self, X):
        """Logarithms of the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        P = self.predict_proba(X)
        with np.errstate(divide="ignore"):
            return np.log(P)

    def predict(self, X):
        """The most probable class; for several labels those above one half.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Samples of the shape of the training data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        P = self.predict_proba(X)
        return self._target.decode(P)

    def score(self, X, y, sample_weight=None):
        """Accuracy; for several labels the mean of their accuracies.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            True labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights.

        Returns
        -------
        float
        """
        return accuracy(y, self.predict(X), sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def accuracy(y, predicted, sample_weight):
    """Share of right labels, averaged over the columns where there are several."""
    from sklearn.metrics import accuracy_score  # slow to import

    if predicted.ndim == 1:
        return accuracy_score(y, predicted, sample_weight=sample_weight)
    y = np.asarray(y.todense() if hasattr(y, "todense") else y)
    columns = zip(y.T, predicted.T, strict=True)
    scores = [accuracy_score(a, b, sample_weight=sample_weight) for a, b in columns]
    return float(np.mean(scores))
