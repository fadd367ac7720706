"""The classifier that is fitted on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import ArrayLike

from .._typing import RandomState
from ..augmentation.base import Transform
from ..augmentation.views import TestTimeAugmentation
from ..estimators.class_weight import ClassWeight
from ..estimators.classifier import ConvNetClassifier
from ..estimators.transfer import InitialWeights
from ..layers.base import Layers
from ..losses import Loss
from ..multi_crop import MultiCrop
from ..optimizers import Optimizer, OptimizerName
from .estimators import OnCluster

if TYPE_CHECKING:
    from distributed import Client


class DaskConvNetClassifier(OnCluster, ConvNetClassifier):
    """A `ConvNetClassifier` whose `fit` runs on a cluster of dask.

    The weights have the bits of a `ConvNetClassifier` with the same `n_shards`, whichever workers
    there are, and even if some come or go meanwhile. X may be a dask array or DataFrame, in chunks
    of any number of samples, a list of delayed readers that return an array each, or an array,
    which is sent to the workers once. y and weights come to the client. `ConvNetClassifier` says
    more about its parameters.

    Parameters
    ----------
    layers : list or tuple, default=None
        Layers or `(name, layer)` pairs, without the output layer.
    client : distributed.Client, default=None
        Client of the cluster; None is the client made last. Clones share it; it is not pickled.
    sync_every : int, default=1
        Number of steps that a shard makes by itself before weights, statistics and the state of
        the optimiser are averaged over the shards, weighted by their samples. 1 sums the gradients
        in each step, as plain estimators do. Larger numbers are for slow networks, and are another
        algorithm, local SGD.
    transport : "float16" or None, default=None
        How gradients are sent. None sends them as they are; "float16" halves the traffic of
        networks in float32. What rounding takes from a gradient is added to the next one of the
        shard, within an epoch.
    input_shape : tuple of int, default=None
        Shape of one sample where X is flat ``(n_samples, n_features)``.
    data_format : {"channels_last", "channels_first"}, default="channels_last"
        Position of the channel axis of X: images are ``(n, height, width, n_channels)`` or ``(n,
        n_channels, height, width)``, and so on.
    input_kind : {"auto", "table", "signal", "image", "volume"}, default="auto"
        What a sample is, where `layers` is None.
    loss : {"auto", "cross_entropy", "focal"}, Loss or callable, default="auto"
        What training minimises: "auto" is cross-entropy.
    optimizer : {"auto", "adam", "adamw", "rmsprop", "adagrad", "sgd"} or Optimizer, default="auto"
        A name, or an instance such as ``Adam(learning_rate=1e-3)``.
    average_weights : float or None, default=None
        Decay, such as 0.99 or 0.999, of an exponential moving average of the weights and of the
        running statistics of batch norms.
    batch_size : int or "auto", default="auto"
        Number of samples in a step; "auto" is ``min(200, n_samples)``.
    n_shards : int, default=2
        Number of parts into which X and each batch are cut. Each part is with one worker, so at
        most this many workers are used. Bits depend on it; see `ConvNetClassifier`.
    max_iter : int, default=200
        Maximum number of epochs; a `ConvergenceWarning` says if it ended training.
    augmentation : Transform, default=None
        Random changes to the samples of each training batch: a transform of
        `sklearn_convnet.augmentation`, such as ``RandomAffine(rotation=(-10, 10))`` or `MixUp`.
    multi_crop : MultiCrop, default=None
        Training on random crops of the images, predictions by a vote over several crops; boxes
        move with them, and back.
    test_time_augmentation : TestTimeAugmentation, default=None
        Predictions by a vote over changed samples, such as mirror images; boxes and maps are moved
        back.
    output : "auto" or None, default="auto"
        The layer after the user's layers.
    init_from : dict of str to ndarray, str, path-like or FrozenEstimator, default=None
        Weights to start from: those that another network's `get_weights` returned, the path of a
        ``.safetensors`` file that holds them (see `sklearn_convnet.interchange`), or that network
        in a `FrozenEstimator`.
    early_stopping : bool, default=False
        Whether to stop when the score on validation data no longer improves, and restore the best
        weights.
    validation_fraction : float, default=0.1
        Share of the training data that is held out, stratified by class.
    n_iter_no_change : int or inf, default=10
        Training stops after this many epochs in a row without an improvement by `tol` of the
        training loss, or of the validation score if `early_stopping`.
    tol : float, default=1e-4
        What counts as an improvement.
    shuffle : bool, default=True
        Whether samples are shuffled anew in each epoch.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last fit.
    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of all arithmetic: "auto" is float64 for X of float64 and float32 for anything
        else.
    n_threads : int, default=None
        Number of threads of a task; None is the threads of its worker, divided by the shards on it.
    random_state : int, RandomState or None, default=None
        Seeds the initial weights, the order of samples and the dropout masks.
    verbose : bool or int, default=False
        Whether to print a table with a row for each epoch.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, multiplied with `sample_weight`.
    box_weight : float or None, default=None
        Weight of the loss of a box, ``|c - c_hat|^2 / 2`` summed over its coordinates c, relative
        to the loss of the class.
    missing_box : float or None, default=None
        A box whose coordinates all equal this number is missing, as is a row of NaN: it
        contributes no loss.
    box_units : {"share", "pixels"}, default="share"
        Units of the coordinates: shares of width and height, where a share x is the pixel ``x *
        width - 1/2``, or pixels, whose centres are at integers.
    box_corners : {"outline", "ordered"}, default="outline"
        With "outline", it does not matter which corner of a box comes first or which way round the
        corners go: the loss is the smallest over the 8 ways to number them.
    target : {"auto", "labels", "maps"}, default="auto"
        What y is: "maps" have a label for each position of the last maps of `layers`.
    ignore_label : label, default=None
        Label of pixels that have none in maps of labels, such as 255: they contribute to no loss
        and no score.

    Attributes
    ----------
    kernels_ : str
        The variant of the kernels of the fit, the best that all workers and the client have.
        A plain estimator has the same bits with ``SKLEARN_CONVNET_KERNELS`` set to it.
    classes_, n_features_in_, feature_names_in_, input_shape_, layers_, network_, \
n_layers_, n_outputs_, out_activation_, n_iter_, t_, loss_, loss_curve_, best_loss_, \
validation_scores_, best_validation_score_, history_
        See `ConvNetClassifier`.

    See Also
    --------
    sklearn_convnet.ConvNetClassifier : The same on one machine.

    Notes
    -----
    Batch norms see the part of a batch that a shard has. `fit` needs samples of one size. Ctrl-C
    ends a fit with the weights of the last whole epoch.

    Examples
    --------
    >>> import dask.array as da
    >>> from dask.distributed import Client
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.dask import DaskConvNetClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X[:400].reshape(-1, 8, 8).astype("float32")
    >>> client = Client(n_workers=2, processes=False, dashboard_address=":0")
    >>> net = DaskConvNetClassifier(n_shards=2, max_iter=3, random_state=0)
    >>> net = net.fit(da.from_array(X, chunks=(150, 8, 8)), y[:400])
    >>> plain = ConvNetClassifier(n_shards=2, max_iter=3, random_state=0).fit(X, y[:400])
    >>> bool((net.to_local().predict_proba(X) == plain.predict_proba(X)).all())
    True
    >>> client.shutdown()
    """

    _parameter_constraints = {
        **ConvNetClassifier._parameter_constraints,
        **OnCluster._own_constraints,
    }
    _plain = ConvNetClassifier

    def __init__(
        self,
        layers: Layers | None = None,
        *,
        client: Client | None = None,
        sync_every: int = 1,
        transport: Literal["float16"] | None = None,
        input_shape: Sequence[int] | None = None,
        data_format: Literal["channels_last", "channels_first"] = "channels_last",
        input_kind: Literal["auto", "table", "signal", "image", "volume"] = "auto",
        loss: Literal["auto", "cross_entropy", "focal"] | Loss | Callable[..., Any] = "auto",
        optimizer: OptimizerName | Optimizer = "auto",
        average_weights: float | None = None,
        batch_size: int | Literal["auto"] = "auto",
        n_shards: int = 2,
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
        super().__init__(
            layers,
            input_shape=input_shape,
            data_format=data_format,
            input_kind=input_kind,
            loss=loss,
            optimizer=optimizer,
            average_weights=average_weights,
            batch_size=batch_size,
            n_shards=n_shards,
            max_iter=max_iter,
            augmentation=augmentation,
            multi_crop=multi_crop,
            test_time_augmentation=test_time_augmentation,
            output=output,
            init_from=init_from,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            tol=tol,
            shuffle=shuffle,
            warm_start=warm_start,
            dtype=dtype,
            n_threads=n_threads,
            random_state=random_state,
            verbose=verbose,
            class_weight=class_weight,
            box_weight=box_weight,
            missing_box=missing_box,
            box_units=box_units,
            box_corners=box_corners,
            target=target,
            ignore_label=ignore_label,
        )
        self.client = client
        self.sync_every = sync_every
        self.transport = transport

    def predict_proba(self, X: Any, features: ArrayLike | None = None) -> Any:
        """As `ConvNetClassifier.predict_proba`, chunk by chunk and lazily where X is of dask.

        Parameters
        ----------
        X : array-like, dask array or DataFrame, or list of Delayed
            Samples.
        features : None
            Not supported here.

        Returns
        -------
        ndarray or dask array, or list of them
        """
        return self._of_blocks(X, features, "predict_proba")

    def predict_log_proba(self, X: Any, features: ArrayLike | None = None) -> Any:
        """As `ConvNetClassifier.predict_log_proba`, chunk by chunk and lazily where X is of dask.

        Parameters
        ----------
        X : array-like, dask array or DataFrame, or list of Delayed
            Samples.
        features : None
            Not supported here.

        Returns
        -------
        ndarray or dask array, or list of them
        """
        return self._of_blocks(X, features, "predict_log_proba")

    def predict_box(self, X: Any, features: ArrayLike | None = None) -> Any:
        """As `ConvNetClassifier.predict_box`, chunk by chunk and lazily where X is of dask.

        Parameters
        ----------
        X : array-like, dask array or DataFrame, or list of Delayed
            Samples.
        features : None
            Not supported here.

        Returns
        -------
        ndarray or dask array
        """
        return self._of_blocks(X, features, "predict_box")
