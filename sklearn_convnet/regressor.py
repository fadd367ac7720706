"""`ConvNetRegressor`."""

from sklearn.base import RegressorMixin

from .base import BaseConvNet
from .losses import REGRESSION_LOSSES
from .targets import check_values


class ConvNetRegressor(RegressorMixin, BaseConvNet):
    """A convolutional network that predicts one or several numbers.

    The network consists of `layers` and a dense output layer with an output for each column
    of y.

    Parameters
    ----------
    layers : list or tuple, default=None
        See `ConvNetClassifier`.
    input_shape : tuple of int, default=None
        See `ConvNetClassifier`.
    loss : {"auto", "squared_error", "absolute_error", "huber"} or Loss, default="auto"
        What training makes small: "auto" is the squared error. An instance, such as
        ``Huber(delta=0.5)``, has parameters that can be searched, as ``loss__delta``.
    optimizer : {"adam", "adamw", "rmsprop", "adagrad", "sgd"} or Optimizer, default="adam"
        See `ConvNetClassifier`.
    batch_size : int or "auto", default="auto"
        See `ConvNetClassifier`.
    max_iter : int, default=200
        Largest number of epochs.
    early_stopping : bool, default=False
        See `ConvNetClassifier`; the validation score is R^2.
    validation_fraction : float, default=0.1
        Share that is held out.
    n_iter_no_change : int, default=10
        See `ConvNetClassifier`.
    tol : float, default=1e-4
        What counts as an improvement.
    shuffle : bool, default=True
        Whether each epoch has an order of its own.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last fit.
    dtype : {"auto", "float32", "float64"}, default="auto"
        See `ConvNetClassifier`.
    n_threads : int, default=None
        See `ConvNetClassifier`.
    random_state : int, RandomState or None, default=None
        See `ConvNetClassifier`.
    verbose : bool, default=False
        Whether to print a row for each epoch.

    Attributes
    ----------
    n_features_in_, feature_names_in_, input_shape_, layers_, network_, n_iter_, t_, loss_, \
loss_curve_, best_loss_, validation_scores_, best_validation_score_, history_
        See `ConvNetClassifier`.
    n_outputs_ : int
        Number of outputs.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet import ConvNetRegressor
    >>> from sklearn_convnet.layers import Conv1D, GlobalAvgPool
    >>> from sklearn_convnet.optimizers import Adam
    >>> rng = np.random.RandomState(0)
    >>> signals = rng.normal(size=(600, 20))
    >>> steps = np.abs(np.diff(signals)).mean(axis=1)
    >>> layers = [Conv1D(16, 2), GlobalAvgPool()]
    >>> reg = ConvNetRegressor(layers, optimizer=Adam(3e-2), random_state=0)
    >>> reg.fit(signals[:500], steps[:500]).score(signals[500:], steps[500:]) > 0.8
    True
    """

    _losses = REGRESSION_LOSSES

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

    def _check_y(self, y, dtype):
        return check_values(y, dtype)

    def _make_target(self, y, classes=None):
        self._flat_target = y.ndim == 1
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        return self.n_outputs_

    def _encode(self, y, dtype):
        y = y.reshape(len(y), -1).astype(dtype, copy=False)
        if y.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {y.shape[1]} outputs, but the network was begun with {self.n_outputs_}"
            )
        return y

    def partial_fit(self, X, y, sample_weight=None):
        """One pass over the data, from where the last call or fit ended.

        Statistics of `Standardize` are those of the first call.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Values.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights; samples of weight zero are left out.

        Returns
        -------
        self : object
        """
        return self._partial_fit(X, y, sample_weight)

    def _score(self, Z, y, sample_weight):
        from sklearn.metrics import r2_score  # slow to import

        return r2_score(y.reshape(len(y), -1), Z, sample_weight=sample_weight)

    def predict(self, X):
        """The values that the network sees in X.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape)
            Samples of the shape of the training data.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Shaped as y was.
        """
        Y = self._outputs(X)
        return Y[:, 0] if self._flat_target else Y

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
