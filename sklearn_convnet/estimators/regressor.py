"""`ConvNetRegressor`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import metadata_routing
from sklearn.utils.validation import check_is_fitted

from .._typing import PathLike, RandomState
from ..augmentation.base import Transform
from ..augmentation.views import TestTimeAugmentation
from ..constraints import StrOptions
from ..layers.base import Layers
from ..losses import REGRESSION_LOSSES, Loss
from ..messages import warn_caller
from ..multi_crop import MultiCrop
from ..on_demand import Samples
from ..optimizers import Optimizer, OptimizerName
from ..ragged import each_size
from ..training import PREDICT_ROWS
from .base import BaseConvNet
from .checks import check_values, is_absent
from .imported import read_onnx, refuse_params
from .samples import Given
from .targets import value_target
from .transfer import InitialWeights

if TYPE_CHECKING:
    import onnx


class ConvNetRegressor(RegressorMixin, BaseConvNet):
    """A convolutional network that predicts numbers, points or images.

    The network consists of `layers` and an output layer that follows from y: dense, with an output
    for each number of a sample; or, where y is maps, a convolution of size 1.

    Parameters
    ----------
    layers : list or tuple, default=None
        Layers or `(name, layer)` pairs, without the output layer. Unnamed layers are called
        ``conv2d1``, ``conv2d2``, ``dense1`` and so on. ``name__parameter`` sets a parameter of a
        layer; the name alone replaces the layer. None is a network that suits the shape of X and
        begins with `Standardize`.
    input_shape : tuple of int, default=None
        Shape of one sample where X is flat ``(n_samples, n_features)``.
    data_format : {"channels_last", "channels_first"}, default="channels_last"
        Position of the channel axis of X: images are ``(n, height, width, n_channels)`` or ``(n,
        n_channels, height, width)``, and so on. X is not copied; each batch is transposed as it is
        used. `input_shape` and flat X have the same order. It has no effect where X has no such
        axis, and none on y.
    input_kind : {"auto", "table", "signal", "image", "volume"}, default="auto"
        What a sample is, if `layers` is None. "auto" goes by its shape. Two axes are a signal
        ``(length, n_channels)`` if there are at most 16 channels and it is at least four times as
        long, otherwise an image of one channel; three axes are an image, four a volume. A flat
        sample is a row of a table, as with "table"; use "signal" if it is a series. If `layers`
        are given, they must be for samples of this kind.
    loss : {"auto", "squared_error", "absolute_error", "huber", "quantile", "poisson"}, Loss or \
callable, default="auto"
        What training minimises: "auto" is the squared error. An instance, such as
        ``Huber(delta=0.5)``, has parameters that can be searched, as ``loss__delta``. A function
        ``loss(y_true, y_pred)`` returns the loss of each sample and its gradient with respect to
        `y_pred`; see `sklearn_convnet.losses.FunctionLoss`.
    optimizer : {"auto", "adam", "adamw", "rmsprop", "adagrad", "sgd"} or Optimizer, default="auto"
        A name, or an instance such as ``Adam(learning_rate=1e-3)``. Its parameters can be set and
        searched either way, as ``optimizer__learning_rate``; a name then becomes an instance.
        "auto" is "adam" if `layers` are given. If they are None, training takes about 300 steps
        (900 for tables and points; 1.25 for each position of a long signal, at most 1,500), but
        between 20 and 200 epochs, and at most `max_iter`. The learning rate of Adam rises to 0.002
        in the first tenth of the steps, and falls to zero along half a cosine wave. For tables it
        is 0.002 at once, and weights decay, as those of ``AdamW(weight_decay=300 / n_samples)``.
        `partial_fit` uses "adam".
    average_weights : float or None, default=None
        Decay, such as 0.99 or 0.999, of an exponential moving average of the weights and of the
        running statistics of batch norms. Predictions, validation, early stopping and
        `get_weights` then use the average; training goes on from the weights themselves. In the
        first steps the decay is smaller, ``(1 + t) / (10 + t)`` in step t. None predicts with the
        weights of the last step.
    batch_size : int or "auto", default="auto"
        Number of samples in a step; "auto" is ``min(200, n_samples)`` where `layers` are given,
        and otherwise a twentieth of the samples, but from 16 to 200; for volumes from 32 to 200,
        for points from 32 to 64; for tables a tenth, from 32 to 200. The samples of an epoch are
        cut into batches of nearly equal size, none larger than this.
    n_shards : int, default=1
        Number of parts into which each batch is cut. Gradients are computed part by part, which
        takes the memory of one part, and are summed for one step of the optimiser (gradient
        accumulation). A batch norm sees one part at a time, and a mixture of samples stays within
        one; otherwise the step is that of the whole batch, up to rounding. A shard consists of
        samples next to each other in X, and is shuffled within itself. A divisor of `batch_size` is
        best. `batch_size` must not be smaller; batches are larger than that only where a shard
        would otherwise have no part in one.
    max_iter : int, default=200
        Maximum number of epochs; a `ConvergenceWarning` says if it ended training. Another one
        says if the network has learnt nothing from X, and why that may be.
    augmentation : Transform, default=None
        Random changes to the samples of each training batch: a transform of
        `sklearn_convnet.augmentation`, such as ``RandomAffine(rotation=(-10, 10))`` or `MixUp`.
        `target` says which parts of y move along.
    multi_crop : MultiCrop, default=None
        Training on random crops of the images; the prediction is the mean over several. Points move
        with the crops, and back. Validation during training sees the crop in the centre. Not for
        maps.
    test_time_augmentation : TestTimeAugmentation, default=None
        Predictions by the mean over changed samples, such as mirror images, of values, and of
        points and maps moved back. Training does not depend on it, so it may be changed after a
        fit. Validation during training sees samples as they are, and so do `scan` and the functions
        of `sklearn_convnet.inspection`.
    output : "auto" or None, default="auto"
        The layer after the user's layers. "auto" is a dense layer or, where y is maps, a
        convolution of size 1, with as many outputs as y needs. With None the last maps are the
        outputs, one channel for each, as in a network whose last convolution has a filter for each
        class. Their mean over all positions of a sample is taken, unless y is maps. End `layers`
        with `GlobalMaxPool` for the maximum, and give the last layer no activation.
    init_from : dict of str to ndarray, str, path-like or FrozenEstimator, default=None
        Weights to start from: those that another network's `get_weights` returned, the path of a
        ``.safetensors`` file that holds them (see `sklearn_convnet.interchange`), or that network
        in a `FrozenEstimator`. Arrays with the same path and shape are copied, statistics of
        `Standardize` and `BatchNorm` included; a warning names those that were not. A bare
        estimator is refused, since `clone` would reset it.
    early_stopping : bool, default=False
        Whether to stop when the score on validation data no longer improves, and restore the best
        weights. The data are `X_val` and `y_val` of `fit`; without them part of the training data
        is held out. The validation score is R^2.
    validation_fraction : float, default=0.1
        Share of the training data that is held out.
    n_iter_no_change : int or inf, default=10
        Training stops after this many epochs in a row without an improvement by `tol` of the
        training loss, or of the validation score if `early_stopping`. Where neither `layers` nor an
        optimizer is given, only the score ends training early.
    tol : float, default=1e-4
        What counts as an improvement.
    shuffle : bool, default=True
        Whether samples are shuffled anew in each epoch.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last fit. Parameters may have changed in
        between, as long as the weights still fit; otherwise an error is raised.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of all arithmetic: "auto" is float64 for X of float64 and float32 for anything
        else.
    n_threads : int, default=None
        Number of threads; None is all cores, ``OMP_NUM_THREADS``, or the share that joblib gives a
        worker; -1 is all. It changes no bit of any result. At most 4 for each core of the machine
        are used.
    random_state : int, RandomState or None, default=None
        Seeds the initial weights, the order of samples and the dropout masks.
    verbose : bool or int, default=False
        Whether to print a table with a row for each epoch.
    target : {"values", "points", "maps"}, default="values"
        What y is, and which part of it moves when augmentation moves the image: "points" are
        ``(n_samples, 2 * n_points)``, as ``x1, y1, x2, y2, ...``, or ``(n_samples, n_points, 2)``,
        in volumes with a z along the depth, in signals an x alone; "maps" are ``(n_samples, height,
        width)`` or, with several values a pixel, ``(n_samples, height, width, n_values)``, of the
        size of the last maps of `layers`. "values" are numbers, or maps, that stay as they are.
    point_units : {"share", "pixels"}, default="share"
        Units of the coordinates of points: shares of width and height (of depth, of length), where
        a share x is the pixel ``x * width - 1/2``, or pixels, whose centres are at integers.
        Augmentation needs to know.
    normalize_y : bool, default=True
        Whether the network learns ``(y - mean) / deviation``, so that the units of y make no
        difference: a fit to ``a y + b`` predicts ``a p + b`` where a fit to y predicts p. Mean and
        deviation are those of each output; for maps, of all pixels; points share one deviation over
        all coordinates. In `partial_fit` and a warm start they are those of the first call. `loss_`
        is that of normalised values; losses with a width, and functions given as `loss`, are in the
        units of y. It has no effect with the loss "poisson".
    flip_pairs : list of (int, int), default=None
        With ``target="points"``: pairs of points that change places in a mirror image, such as
        left and right wrist, as indices from 0.

    Attributes
    ----------
    n_features_in_, feature_names_in_, input_shape_, layers_, n_layers_, network_, n_iter_, t_, \
loss_, loss_curve_, best_loss_, validation_scores_, best_validation_score_, history_
        See `ConvNetClassifier`.
    n_outputs_ : int
        Number of values of a sample, or of a pixel where y is maps.
    out_activation_ : {"identity", "exp"}
        The function that turns outputs into values; "exp" for the loss "poisson".

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

    _parameter_constraints = {
        **BaseConvNet._parameter_constraints,
        "target": [StrOptions({"values", "points", "maps"})],
        "point_units": [StrOptions({"share", "pixels"})],
        "normalize_y": ["boolean"],
        "flip_pairs": "no_validation",  # targets know how many points there are
    }
    _losses = REGRESSION_LOSSES
    _fixed = (*BaseConvNet._fixed, "target", "point_units", "normalize_y", "flip_pairs")

    def __init__(
        self,
        layers: Layers | None = None,
        *,
        input_shape: Sequence[int] | None = None,
        data_format: Literal["channels_last", "channels_first"] = "channels_last",
        input_kind: Literal["auto", "table", "signal", "image", "volume"] = "auto",
        loss: Literal["auto", "squared_error", "absolute_error", "huber", "quantile", "poisson"]
        | Loss
        | Callable[..., Any] = "auto",
        optimizer: OptimizerName | Optimizer = "auto",
        average_weights: float | None = None,
        batch_size: int | Literal["auto"] = "auto",
        n_shards: int = 1,
        max_iter: int = 200,
        augmentation: Transform | None = None,
        multi_crop: MultiCrop | None = None,
        test_time_augmentation: TestTimeAugmentation | None = None,
        output: Literal["auto"] | None = "auto",
        init_from: InitialWeights = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = 10,
        tol: float = 1e-4,
        shuffle: bool = True,
        warm_start: bool = False,
        dtype: Literal["auto", "float32", "float64"] = "auto",
        n_threads: int | None = None,
        random_state: RandomState = None,
        verbose: bool | int = False,
        target: Literal["values", "points", "maps"] = "values",
        point_units: Literal["share", "pixels"] = "share",
        normalize_y: bool = True,
        flip_pairs: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self.layers = layers
        self.input_shape = input_shape
        self.data_format = data_format
        self.input_kind = input_kind
        self.loss = loss
        self.optimizer = optimizer
        self.average_weights = average_weights
        self.batch_size = batch_size
        self.n_shards = n_shards
        self.max_iter = max_iter
        self.augmentation = augmentation
        self.multi_crop = multi_crop
        self.test_time_augmentation = test_time_augmentation
        self.output = output
        self.init_from = init_from
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
        self.target = target
        self.point_units = point_units
        self.normalize_y = normalize_y
        self.flip_pairs = flip_pairs

    # Taken only to say where they belong: nothing to route.
    __metadata_request__fit = {
        "boxes": metadata_routing.UNUSED,
        "boxes_val": metadata_routing.UNUSED,
    }
    __metadata_request__partial_fit = {"boxes": metadata_routing.UNUSED}

    def _check_y(self, y, boxes=None):
        if boxes is not None:
            raise ValueError(
                "boxes= goes with ConvNetClassifier, which tells a class and a box. For "
                "coordinates alone give them to the regressor as y, with target='points'"
            )
        return check_values(y, self.target, self._point_axes())

    def _tells_places(self, y):
        return self.target == "points"

    def _absent(self, y):
        return is_absent(y)

    def _make_target(self, y, last_shape, classes=None):
        target = value_target(
            y,
            self.target,
            self.point_units,
            last_shape=last_shape,
            n_steps=self._n_steps(),
            normalize=self.normalize_y and self._loss().takes_normalized,
            flip_pairs=self.flip_pairs,
            point_axes=self._point_axes(),
        )
        self.n_outputs_ = target.n_outputs
        return target

    def partial_fit(
        self,
        X: Samples,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        boxes: ArrayLike | None = None,
        features: ArrayLike | None = None,
    ) -> Self:
        """Train for one pass over the data, from where the last call or fit ended.

        Statistics of `Standardize` and of y are those of the first call. Weights are taken as they
        are, as `SGDRegressor` takes them: the gradient of a step is the weighted sum over its
        samples, divided by their number. In `fit` only their proportions count.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples.
        y : array-like of shape (n_samples,), (n_samples, n_outputs) or (n_samples, *map_shape)
            Values, as in `fit`.
        sample_weight : array-like of shape (n_samples,) or (n_samples, *map_size), default=None
            Weights; samples of weight zero are left out.
        boxes : None
            For `ConvNetClassifier`: coordinates are y here, with ``target="points"``.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside each sample, as in `fit`.

        Returns
        -------
        self : object
        """
        return self._partial_fit(Given(X, y, sample_weight, boxes, features))

    @classmethod
    def from_onnx(
        cls,
        model: PathLike | BinaryIO | onnx.ModelProto,
        *,
        input_shape: tuple[int, ...] | None = None,
        **params: Any,
    ) -> Self:
        """Make a fitted regressor from the network in an ONNX model.

        Its network computes the values of the model, in the units of y. It predicts, and
        `partial_fit` and, with ``warm_start=True``, `fit` continue its training, with values that
        are not normalised. A last dense layer is the estimator's own, "output"; without one
        ``output`` is None. `loss` is "poisson" where the model ends in an exponential function,
        which the estimator then computes itself.

        Parameters
        ----------
        model : str, path-like, file opened for reading bytes, or onnx.ModelProto
            The model, or the file that it is in: see `interchange.from_onnx`.
        input_shape : tuple of int, default=None
            Shape of a sample, in the order of the model's input, where the model leaves it free.
        **params
            Other parameters of the estimator, such as ``data_format="channels_first"``.

        Returns
        -------
        ConvNetRegressor
            A fitted one.

        Raises
        ------
        NotImplementedError
            If part of the model cannot be expressed in layers; the message names the node of the
            graph.
        ValueError
            If a parameter is invalid, or `loss` does not fit the end of the network.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_convnet import ConvNetRegressor
        >>> from sklearn_convnet.interchange import to_onnx
        >>> from sklearn_convnet.layers import Dense
        >>> X, y = np.eye(4, dtype="float32"), np.arange(4.0)
        >>> model = to_onnx(ConvNetRegressor([Dense(8)], max_iter=9, random_state=0).fit(X, y))
        >>> reg = ConvNetRegressor.from_onnx(model)
        >>> reg.predict(X).shape
        (4,)
        """
        refuse_params(params, "layers", "output", "dtype", "init_from", "normalize_y")
        found = read_onnx(model, task="regression", input_shape=input_shape)
        output, weights = cls._split_output(found)
        y = np.zeros((1, *found.y_shape))
        link = found.link or "identity"
        if link == "exp":
            params = {"loss": "poisson", **params}
        params = {"normalize_y": False, **params}
        estimator = cls._from_network(found, output, weights, y, params)
        if estimator.out_activation_ != link:
            raise ValueError(
                f"loss={estimator.loss!r} has the output activation {estimator.out_activation_!r}, "
                f"but the model ends in {link!r}: leave loss out"
            )
        return estimator

    def _warn_of_units(self):
        score = self.history_["score"][-1] if self.n_iter_ else np.nan
        warns = score < 0 and not self.normalize_y and self._loss().is_central
        if warns:
            warn_caller(
                f"The fit ends with a training R^2 of {score:.3g}: the mean of y would be a better "
                "prediction. The network learns y in its own units, which may be far from what it "
                "returns at first: set normalize_y=True, or scale y.",
                ConvergenceWarning,
            )
        return warns

    def _values(self, Z):
        """The values that the network predicts, in the shape of y."""
        return self._target.decode(self._loss(self._fitted["loss"]).inverse_link(Z))

    def predict(self, X: Samples, features: ArrayLike | None = None) -> NDArray[Any]:
        """Predict the values for X.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples of the shape of the training data; an axis of one channel may be left out. They
            may have another size, and samples in a list different sizes, if the layers allow it.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside each sample, if `fit` was given some.

        Returns
        -------
        ndarray of shape (n_samples,), (n_samples, n_outputs) or (n_samples, *map_shape)
            Shaped as y was; a list of maps where these differ in size.
        """
        check_is_fitted(self)
        X = self._seen(X, features)
        return each_size(X, self._mean_of_views, PREDICT_ROWS)

    def _decoded(self, Z):
        return self._values(Z)

    def _mean_of_views(self, X):
        """The values of samples of one size."""
        vote = self._vote()
        if vote is None:
            return self._raw_predict(X, self._values)
        return self._of_views(X, vote, self._values, self._target.of_views)

    def score(
        self,
        X: Samples,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        features: ArrayLike | None = None,
    ) -> float:
        """R^2 of the predictions.

        The mean over the outputs, as `r2_score` has it. The coordinates of points share a unit,
        as do the pixels of maps: theirs is weighted by variance, as by
        ``r2_score(..., multioutput="variance_weighted")``, so that a pixel that hardly varies
        counts little. Values that are NaN in y do not count.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples.
        y : array-like of shape (n_samples,), (n_samples, n_outputs) or (n_samples, *map_shape)
            True values, NaN where one is missing.
        sample_weight : array-like of shape (n_samples,) or (n_samples, *map_size), default=None
            Weights.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside each sample, if `fit` was given some.

        Returns
        -------
        float
        """
        predicted = self.predict(X, features)
        return self._target.score(y, predicted, self._score_weight(sample_weight, predicted))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
