"""`ConvNetClassifier`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import metadata_routing
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from .._typing import PathLike, RandomState
from ..augmentation.base import Transform
from ..augmentation.views import TestTimeAugmentation
from ..constraints import StrOptions
from ..layers.base import Layers
from ..losses import CLASSIFICATION_LOSSES, Loss
from ..multi_crop import MultiCrop, log_mean_exp
from ..on_demand import Samples
from ..optimizers import Optimizer, OptimizerName
from ..ragged import each_size
from ..training import PREDICT_ROWS
from .base import BaseConvNet
from .boxes import BoxesMixin
from .checks import check_labels, check_labels_and_boxes, is_absent
from .class_weight import ClassWeight
from .imported import classifier_network, refuse_params
from .samples import Given
from .targets import BoxTarget, label_target, same_classes, sorted_classes
from .transfer import InitialWeights

if TYPE_CHECKING:
    import onnx


class ConvNetClassifier(ClassifierMixin, BoxesMixin, BaseConvNet):
    """A convolutional network that classifies images, signals or volumes.

    y may be labels of two or more classes; a 0/1 indicator of several labels at once; several
    columns of labels; maps of labels, one for every pixel; or labels with boxes. The network
    consists of `layers` and an output layer that follows from y: dense, or for maps a convolution
    of size 1. Boxes have a second output layer.

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
    loss : {"auto", "cross_entropy", "focal"}, Loss or callable, default="auto"
        What training minimises: "auto" is cross-entropy. An instance, such as
        ``CrossEntropy(label_smoothing=0.1)``, has parameters that can be searched. A function
        ``loss(y_true, y_pred)`` returns the loss of each sample and its gradient with respect to
        `y_pred`, the output before softmax; see `sklearn_convnet.losses.FunctionLoss`.
    optimizer : {"auto", "adam", "adamw", "rmsprop", "adagrad", "sgd"} or Optimizer, default="auto"
        A name, or an instance such as ``Adam(learning_rate=1e-3)``. Its parameters can be set and
        searched either way, as ``optimizer__learning_rate``; a name then becomes an instance.
        "auto" is "adam" if `layers` are given. If they are None, training takes about 300 steps
        (900 for tables and boxes; 1.25 for each position of a long signal, at most 1,500), but
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
        for boxes from 32 to 64; for tables a tenth, from 32 to 200. The samples of an epoch are
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
        Boxes and maps of labels move along.
    multi_crop : MultiCrop, default=None
        Training on random crops of the images, predictions by a vote over several crops; boxes
        move with them, and back. Validation during training sees the crop in the centre.
    test_time_augmentation : TestTimeAugmentation, default=None
        Predictions by a vote over changed samples, such as mirror images; boxes and maps are moved
        back. Training does not depend on it, so it may be changed after a fit. Validation during
        training sees samples as they are, and so do `scan` and the functions of
        `sklearn_convnet.inspection`.
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
        is held out.
    validation_fraction : float, default=0.1
        Share of the training data that is held out, stratified by class.
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
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, multiplied with `sample_weight`. For several columns of labels a
        dict for each; the weights of a sample's classes are multiplied, as in scikit-learn. For
        maps they are weights of pixels.
    box_weight : float or None, default=None
        Weight of the loss of a box, ``|c - c_hat|^2 / 2`` summed over its coordinates c, relative
        to the loss of the class. It must be given if y has the boxes in its columns; None is 1 if
        they are given as ``boxes``.
    missing_box : float or None, default=None
        A box whose coordinates all equal this number is missing, as is a row of NaN: it
        contributes no loss.
    box_units : {"share", "pixels"}, default="share"
        Units of the coordinates: shares of width and height, where a share x is the pixel ``x *
        width - 1/2``, or pixels, whose centres are at integers. Augmentation needs to know. For
        images, the weight of a box does not depend on it.
    box_corners : {"outline", "ordered"}, default="outline"
        With "outline", it does not matter which corner of a box comes first or which way round the
        corners go: the loss is the smallest over the 8 ways to number them. Mirrored and turned
        images need this. With "ordered", each corner of a box of 8 coordinates has an identity,
        such as "the upper left one of the page".
    target : {"auto", "labels", "maps"}, default="auto"
        What y is: "maps" have a label for each position of the last maps of `layers`. "auto"
        takes y of more than two axes for maps, and y of two axes if it has as many columns as
        the layers end in positions of a signal; it warns then.
    ignore_label : label, default=None
        Label of pixels that have none in maps of labels, such as 255: they contribute to no loss
        and no score. It is not a class.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,) or list of ndarray
        The classes; for several labels at once, the indices of the labels; for several columns, a
        list with the classes of each.
    n_features_in_ : int
        Number of values of one sample, unless samples differ in size.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had names.
    input_shape_ : tuple of int or None
        Shape of one sample as the network sees it, channels last; None where samples differ.
    layers_ : list of (str, Layer)
        The layers with their names, and the output layers, "output" and "box".
    network_ : Network
        The network.
    n_layers_ : int
        Number of layers, with the input and the output.
    n_outputs_ : int
        Number of outputs of the layer "output": of classes, of labels, or of all classes of all
        columns.
    out_activation_ : {"softmax", "logistic"}
        The function that turns outputs into probabilities; "logistic" for several labels at once.
    n_iter_ : int
        Number of epochs of the last fit; 1 after `partial_fit`. The curves below, and `t_`,
        continue in a warm start.
    t_ : int
        Number of samples seen in training.
    loss_ : float
        Training loss of the last epoch.
    loss_curve_ : list of float
        Training loss of each epoch.
    best_loss_ : float or None
        The smallest training loss; None with `early_stopping`.
    validation_scores_ : list of float or None
        Score on the validation data after each epoch, if there were any.
    best_validation_score_ : float or None
        The largest validation score; with `early_stopping` the one whose weights are kept.
    history_ : dict of str to list
        Curves, with one value for each epoch: "loss" and "score" of the training batches, each
        before its step and weighted as the loss is; "validation_loss" and "validation_score" after
        the epoch, if there were validation data; "learning_rate" of the last step. A value that an
        earlier fit did not record is nan.

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
        "box_weight": [Interval(Real, 0, None, closed="left"), None],
        "missing_box": [Interval(Real, None, None, closed="neither"), None],
        "box_units": [StrOptions({"share", "pixels"})],
        "box_corners": [StrOptions({"outline", "ordered"})],
        "target": [StrOptions({"auto", "labels", "maps"})],
        "ignore_label": [Interval(Real, None, None, closed="neither"), str, None],
    }
    _losses = CLASSIFICATION_LOSSES
    _fixed = (*BaseConvNet._fixed, "box_units", "box_corners", "target", "ignore_label")

    # `classes` names all classes in the first call: nothing to route.
    __metadata_request__partial_fit = {"classes": metadata_routing.UNUSED}

    def __init__(
        self,
        layers: Layers | None = None,
        *,
        input_shape: Sequence[int] | None = None,
        data_format: Literal["channels_last", "channels_first"] = "channels_last",
        input_kind: Literal["auto", "table", "signal", "image", "volume"] = "auto",
        loss: Literal["auto", "cross_entropy", "focal"] | Loss | Callable[..., Any] = "auto",
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
        class_weight: ClassWeight = None,
        box_weight: float | None = None,
        missing_box: float | None = None,
        box_units: Literal["share", "pixels"] = "share",
        box_corners: Literal["outline", "ordered"] = "outline",
        target: Literal["auto", "labels", "maps"] = "auto",
        ignore_label: Any = None,
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
        self.class_weight = class_weight
        self.box_weight = box_weight
        self.missing_box = missing_box
        self.box_units = box_units
        self.box_corners = box_corners
        self.target = target
        self.ignore_label = ignore_label

    def _check_y(self, y, boxes=None):
        self._boxes_in_y = boxes is None and self.box_weight is not None
        if boxes is None and not self._boxes_in_y:
            return check_labels(y)
        return check_labels_and_boxes(y, boxes, self.missing_box)

    def _tells_places(self, y):
        return y.dtype.names is not None

    def _absent(self, y):
        if self.ignore_label is None or y.ndim < 2:
            return np.zeros(len(y), bool)
        return is_absent(y, self.ignore_label)

    def _make_target(self, y, last_shape, classes=None):
        target = label_target(
            y,
            classes,
            last_shape=last_shape,
            n_steps=self._n_steps(),
            kind=self.target,
            ignored=self.ignore_label,
            box_units=self.box_units,
            boxes_in_y=self._boxes_in_y,
            box_corners=self.box_corners,
            image_size=self._image_size(),
        )
        self.classes_, self.n_outputs_ = target.classes, target.n_outputs
        return target

    def _begin_outputs(self, y, weight):
        if self.box_weight != 0:  # then boxes are not learnt
            super()._begin_outputs(y, weight)

    def _weights_of_classes(self, target, weight):
        return self._target.class_factors(self.class_weight, target, weight)

    def _objective(self, target, weight, relative):
        return self._target.objective(
            self._loss(), target, weight, self.class_weight, self.box_weight, relative
        )

    def fit(
        self,
        X: Samples,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        boxes: ArrayLike | None = None,
        X_val: Samples | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
        boxes_val: ArrayLike | None = None,
        features: ArrayLike | None = None,
        features_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the network to data.

        Training that is interrupted (Ctrl-C) ends with the current weights and a warning; training
        that diverges ends with the last finite ones. If anything else goes wrong, the estimator
        stays as it was.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples, with the channels where `data_format` says, or flat with `input_shape`. Bytes
            and memory maps are converted batch by batch. Samples in a list may differ in size, if
            the layers allow it. A table with one column of arrays beside columns of numbers holds
            samples and `features`.
        y : array-like of shape (n_samples,), (n_samples, n_columns) or (n_samples, *map_size)
            Labels; an indicator or several columns of labels; or maps of labels, perhaps with a
            last axis of length 1, and in a list where samples differ in size. With `box_weight` and
            without `boxes`, column 0 is the label and the others are the coordinates of a box.
        sample_weight : array-like of shape (n_samples,) or (n_samples, *map_size), default=None
            Weights, of which only the proportions count; weights of pixels where y is maps.
            Samples of weight zero are left out.
        boxes : array-like of shape (n_samples, 8) or (n_samples, 4), default=None
            Boxes by their corners, ``x1, y1, ..., x4, y4`` going round, or ``x1, y1, x2, y2``, in
            `box_units`. A row of NaN is a missing box.
        X_val : array-like of shape (n_val, *sample_shape), or list of array-like, default=None
            Samples to validate with after each epoch. Their loss and score are in `history_`;
            with ``early_stopping=True`` they decide when to stop and whose weights are kept,
            and nothing is held out of X. In a `Pipeline`, ``transform_input=["X_val"]``
            transforms them as it does X.
        y_val : array-like of shape (n_val,), (n_val, n_columns) or (n_val, *map_size), \
default=None
            Labels of `X_val`.
        sample_weight_val : array-like of shape (n_val,) or (n_val, *map_size), default=None
            Weights of `X_val`.
        boxes_val : array-like of shape (n_val, 8) or (n_val, 4), default=None
            Boxes of `X_val`, in the form of `boxes`.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside each sample. A `ConcatFeatures` among the layers appends them to the
            output of the layers before it. If `layers` is None, it stands before the first dense
            layer, or at the end with a dense layer after it. Features are used as they are: scale
            them before.
        features_val : array-like of shape (n_val, n_features), default=None
            Features of `X_val`.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(
            Given(X, y, sample_weight, boxes, features),
            Given(X_val, y_val, sample_weight_val, boxes_val, features_val),
        )

    def partial_fit(
        self,
        X: Samples,
        y: ArrayLike,
        classes: ArrayLike | Sequence[ArrayLike] | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        boxes: ArrayLike | None = None,
        features: ArrayLike | None = None,
    ) -> Self:
        """Train for one pass over the data, from where the last call or fit ended.

        Statistics of `Standardize` are those of the first call. Weights are taken as they are,
        as `SGDClassifier` takes them: the gradient of a step is the weighted sum over its
        samples, divided by their number. In `fit` only their proportions count.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples.
        y : array-like of shape (n_samples,), (n_samples, n_columns) or (n_samples, *map_size)
            Labels, as in `fit`.
        classes : array-like of shape (n_classes,) or list of array-like, default=None
            All classes that will ever occur, for each column if there are several; needed in the
            first call.
        sample_weight : array-like of shape (n_samples,) or (n_samples, *map_size), default=None
            Weights; samples of weight zero are left out.
        boxes : array-like of shape (n_samples, 8) or (n_samples, 4), default=None
            Boxes, as in `fit`.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside each sample, as in `fit`.

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
        if (
            fitted
            and classes is not None
            and not same_classes(sorted_classes(classes, self.ignore_label), self.classes_)
        ):
            raise ValueError(
                f"classes={classes!r} is not the same as on the first call to partial_fit: "
                f"{self.classes_!r}"
            )
        return self._partial_fit(Given(X, y, sample_weight, boxes, features), classes)

    def _of_classes(self, X, features, finish, combine, mean):
        """For X and its features the network's output through `finish`; those of several views
        through `combine`, of `mean`s over an axis where the network is moved over them."""
        check_is_fitted(self)
        X, vote = self._seen(X, features), self._vote()

        def found(part):
            if vote is not None:
                return self._of_views(part, vote, finish, lambda seen: combine(seen, vote), mean)
            if isinstance(self.classes_, list):  # an array for each column
                return finish(self._raw_predict(part))
            return self._raw_predict(part, finish)

        return each_size(X, found, PREDICT_ROWS)

    @classmethod
    def from_onnx(
        cls,
        model: PathLike | BinaryIO | onnx.ModelProto,
        classes: ArrayLike | None = None,
        *,
        input_shape: tuple[int, ...] | None = None,
        **params: Any,
    ) -> Self:
        """Make a fitted classifier from the network in an ONNX model.

        Its network computes the scores of the model, before a softmax or logistic function at the
        end. It predicts, and `partial_fit` and, with ``warm_start=True``, `fit` continue its
        training. A last dense layer is the estimator's own, "output"; without one ``output`` is
        None.

        Parameters
        ----------
        model : str, path-like, file opened for reading bytes, or onnx.ModelProto
            The model, or the file that it is in: see `interchange.from_onnx`.
        classes : array-like of shape (n_classes,), default=None
            The label of each score, in the order of the scores. None takes the labels that the
            model names, or their indices if it names none. A model that ends in logistic functions
            of several scores is multilabel: y is then an indicator matrix, and there are no
            classes. A single score, with or without a logistic function, is that of the second of
            two classes.
        input_shape : tuple of int, default=None
            Shape of a sample, in the order of the model's input, where the model leaves it free.
        **params
            Other parameters of the estimator, such as ``data_format="channels_first"``.

        Returns
        -------
        ConvNetClassifier
            A fitted one.

        Raises
        ------
        NotImplementedError
            If part of the model cannot be expressed in layers; the message names the node of the
            graph.
        ValueError
            If there are not as many `classes` as scores, no y has such scores, or a parameter is
            invalid.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_convnet import ConvNetClassifier
        >>> from sklearn_convnet.interchange import to_onnx
        >>> from sklearn_convnet.layers import Dense
        >>> X, y = np.eye(4, dtype="float32"), ["no", "yes", "no", "yes"]
        >>> layers = [Dense(8)]
        >>> model = to_onnx(ConvNetClassifier(layers, max_iter=5, random_state=0).fit(X, y))
        >>> clf = ConvNetClassifier.from_onnx(model)
        >>> clf.classes_
        array(['no', 'yes'], dtype='<U3')
        >>> clf.partial_fit(X, y).n_iter_
        1
        """
        refuse_params(params, "layers", "output", "dtype", "init_from")
        found, y = classifier_network(model, classes, input_shape)
        output, weights = cls._split_output(found)
        return cls._from_network(found, output, weights, y, params)

    def predict_proba(self, X: Samples, features: ArrayLike | None = None) -> NDArray[Any] | Any:
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples of the shape of the training data; an axis of one channel may be left out. They
            may have another size, and samples in a list different sizes, if the layers allow it.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside each sample, if `fit` was given some.

        Returns
        -------
        P : ndarray of shape (n_samples, n_classes) or (n_samples, *map_size, n_classes), or \
list of ndarray
            In the order of `classes_`; for several labels at once the probability of each,
            for several columns an array for each, for maps that differ in size one for each sample.
        """
        check_is_fitted(self)
        target = self._target
        return self._of_classes(X, features, self._decoded, target.vote_of_views, np.mean)

    def _decoded(self, Z):
        """Probabilities, from the network's output."""
        return self._target.probabilities(Z, self.network_.kernels)

    def predict_log_proba(
        self, X: Samples, features: ArrayLike | None = None
    ) -> NDArray[Any] | Any:
        """Predict the logarithms of the probabilities of the classes.

        They are computed from the network's output, so they are finite even where a probability is
        too small for its dtype.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside each sample, if `fit` was given some.

        Returns
        -------
        ndarray or list of ndarray
            As `predict_proba` returns them.
        """
        check_is_fitted(self)
        finish, combine = self._target.log_probabilities, self._target.log_vote_of_views
        return self._of_classes(X, features, finish, combine, log_mean_exp)

    def predict(self, X: Samples, features: ArrayLike | None = None) -> NDArray[Any]:
        """Predict the most probable class; for several labels at once, those above one half.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples of the shape of the training data; an axis of one channel may be left out. They
            may have another size, and samples in a list different sizes, if the layers allow it.
        features : array-like of shape (n_samples, n_features), default=None
            Numbers beside each sample, if `fit` was given some.

        Returns
        -------
        ndarray of shape (n_samples,), (n_samples, n_columns) or (n_samples, *map_size)
            Shaped as y was: if y had boxes in its columns, so has this. A list of maps where these
            differ in size.
        """
        check_is_fitted(self)
        if self._vote() is not None:
            return self._labels_of_views(X, features)
        X = self._seen(X, features)

        def predicted(part):
            target = self._target.of_size(part.shape[1:])
            return self._raw_predict(part, lambda Z: target.predict(Z, self.network_.kernels))

        return each_size(X, predicted, PREDICT_ROWS)

    def _labels_of_views(self, X, features):
        """`predict`, from the probabilities that views agree on."""
        P = self.predict_proba(X, features)
        if isinstance(P, list) and not isinstance(self.classes_, list):  # maps of several sizes
            return [self._target.decode(one[np.newaxis])[0] for one in P]
        labels = self._target.decode(P)
        in_y = isinstance(self._target, BoxTarget) and self._target.in_y
        return np.column_stack([labels, self.predict_box(X, features)]) if in_y else labels

    def score(
        self,
        X: Samples,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        features: ArrayLike | None = None,
    ) -> float:
        """Accuracy, averaged over columns or pixels where y has several labels a sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, *sample_shape), or list of array-like
            Samples.
        y : array-like of shape (n_samples,), (n_samples, n_columns) or (n_samples, *map_size)
            True labels; boxes in the columns of y do not count, nor do pixels of `ignore_label`.
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
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags
