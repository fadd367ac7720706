"""Attributes after a fit: curves, weights, outputs, and a pickle."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import copy, deepcopy
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.utils._param_validation import validate_parameter_constraints
from sklearn.utils.validation import check_is_fitted

from .._version import package_version
from ..beside import apart, beside
from ..diagram import Box, diagram, shape_text
from ..layers.base import Layer
from ..layers.tree import parts_of_network
from ..network.summary import network_summary
from ..on_demand import ahead
from ..ragged import each_size
from ..tables import Table
from ..threads import effective_n_threads
from ..training import PREDICT_ROWS, chunk_rows, predict_in_chunks
from .targets.views import Seen
from .transfer import checked_weights

VOTES_TWICE = (
    "multi_crop and test_time_augmentation both say how views vote: give one of them, or views "
    "without crops"
)


class FittedMixin:
    """The attributes of a fitted estimator, and what a pickle holds of it."""

    # Curves are made when somebody asks for them: an epoch must not cost more than those before.

    @property
    def history_(self) -> dict[str, list[float]]:
        """Curves by name, one entry an epoch."""
        check_is_fitted(self)
        return self._history.curves

    @property
    def loss_curve_(self) -> list[float]:
        """Mean training loss of each epoch."""
        return self.history_.get("loss", [])

    @property
    def loss_(self) -> float:
        """That of the last epoch."""
        return self.loss_curve_[-1] if self.loss_curve_ else np.nan

    @property
    def best_loss_(self) -> float | None:
        """The smallest of them, or None with early stopping."""
        curve = self.loss_curve_
        return None if self._early_stopped else min(curve, default=np.nan)

    @property
    def validation_scores_(self) -> list[float] | None:
        """Score of the validation data after each epoch, or None if the last call had none."""
        curves = self.history_
        return curves.get("validation_score", []) if self._validated else None

    @property
    def best_validation_score_(self) -> float | None:
        """The largest of them, or None."""
        scores = self.validation_scores_
        if scores is None:
            return None
        return max((score for score in scores if not np.isnan(score)), default=np.nan)

    @property
    def n_layers_(self) -> int:
        """Number of layers, with the input and the output."""
        check_is_fitted(self)
        return 1 + len(self.network_.layers)

    @property
    def out_activation_(self) -> str:
        """Name of the function that makes predictions of the network's output."""
        check_is_fitted(self)
        return self._target.out_activation or self._loss(self._fitted["loss"]).out_activation

    @property
    def layers_(self) -> list[tuple[str, Layer]]:
        """`(name, layer)` pairs of the fitted network, with the output layers."""
        check_is_fitted(self)
        return self.network_.named_layers

    def _raw_predict(self, X, finish=None, seed=None):
        """The output of the last layer, for X as `_check_X` returns it, or what `finish` makes of
        that, chunk by chunk; with a `seed`, that of a draw."""
        network = self._network_for(X)
        return predict_in_chunks(network, X, effective_n_threads(self.n_threads), finish, seed)

    def _network_for(self, X):
        """The network for checked X, whose samples may be of another size."""
        if self._fitted["multi_crop"] is not None or X.shape[1:] == self.input_shape_:
            return self.network_
        return self.network_.resized(X.shape[1:])

    def _vote(self):
        """The `Vote` of predictions, or None: the crops of the fit, or else the test-time
        augmentation of the moment, since no weight depends on it.

        Raises
        ------
        ValueError
            If it does not fit the fitted network.
        """
        augmentation = self.test_time_augmentation
        if augmentation is None:
            return self._fitted["multi_crop"]
        validate_parameter_constraints(
            self._parameter_constraints,
            {"test_time_augmentation": augmentation},
            type(self).__name__,
        )
        if self._fitted["multi_crop"] is not None:
            raise ValueError(VOTES_TWICE)
        augmentation._validate_params()
        self._target.check_vote("test_time_augmentation", augmentation.voting)
        if augmentation.n_axes is not None:
            self._check_axes("test_time_augmentation", augmentation.n_axes, self.network_.layers)
        return augmentation

    def _of_views(self, X, vote, finish, combine, mean=np.mean):
        """The result that `combine` makes of a `Seen`: of what `finish` makes of the network's
        output for the views of checked X that a `Vote` draws, for some samples at a time. Where
        the network is moved over a view, that is the `mean` over all places."""
        views, moved = vote.draw(X.shape[1:]), vote.voting == "dense"
        n_threads, parts = effective_n_threads(self.n_threads), []
        dtype, rows = self.network_.input_dtype(X.dtype), chunk_rows(self.network_)

        def result(view):
            if moved:
                return self._mean_over_windows(view, finish, mean)
            return finish(self._raw_predict(view))

        shapes = X.shape[1:], vote.output_shape(X.shape[1:])
        places = [slice(start, start + rows) for start in range(0, len(X), rows)]
        for which in ahead(X, places):
            some, features = apart(X[which])
            some = np.ascontiguousarray(some, dtype)
            results = [result(beside(view.of(some, n_threads), features)) for view in views]
            parts.append(combine(Seen(results, [view.move for view in views], *shapes, n_threads)))
        if isinstance(parts[0], list):  # an array for each column
            return [np.concatenate(column) for column in zip(*parts, strict=True)]
        return np.concatenate(parts)

    def _outputs(self, X, finish=None):
        """The output of the last layer, for any X, or what `finish` makes of it."""
        check_is_fitted(self)
        X = self._check_X(X, reset=False, sizes="any")
        return each_size(X, lambda part: self._raw_predict(part, finish), PREDICT_ROWS)

    def get_weights(self) -> dict[str, NDArray[Any]]:
        """Copies of the trained arrays and the statistics of the fitted network.

        Returns
        -------
        dict of str to ndarray
            By path, such as "conv1/weight". A regressor that normalises y has the statistics of
            y beside the output's weights: "output/target_mean", "output/target_deviation". With
            `average_weights` weights and statistics are the averaged ones.
        """
        check_is_fitted(self)
        network = self.network_
        arrays = {**network.parameters(), **network.buffers(), **self._target.weights()}
        return {path: array.copy() for path, array in arrays.items()}

    def set_weights(self, weights: Mapping[str, ArrayLike]) -> Self:
        """Replace the weights and statistics of the fitted network.

        Either all arrays are taken or none. The optimiser keeps its state, and training goes on
        from the new weights; with `average_weights` their average begins anew. Callbacks must not
        call this during a fit, which then ends with a RuntimeError.

        Parameters
        ----------
        weights : dict of str to array-like
            By path, as `get_weights` or `sklearn_convnet.interchange.load_weights` returns them,
            with an array for each of its paths.

        Returns
        -------
        self : object
            The estimator.

        Raises
        ------
        ValueError
            If an array is missing, does not belong to this network, has another shape, or is not
            finite. The message names them, and nothing is changed.
        """
        check_is_fitted(self)
        network, target = deepcopy(self.network_), copy(self._target)
        arrays = checked_weights(network, weights, target.weights())
        target.take_weights(arrays, set(arrays), self._loss(self._fitted["loss"]))
        for path, own in {**network.parameters(), **network.buffers()}.items():
            own[...] = arrays[path]
        self.network_, self._target = network, target
        self._average = None  # the weights of the last step are the new ones
        return self

    def trim(self) -> Self:
        """Discard what only further training needs, so that a pickle holds little but weights.

        That is the state of the optimiser, as large as the weights for momentum and twice as large
        for Adam; with `average_weights` the weights of the last step; and in memory the gradients.
        Predictions stay the same. `partial_fit` continues from the same weights, with a new
        optimiser and schedule, as each `fit` with ``warm_start=True`` does.

        Returns
        -------
        self : object
            The estimator.
        """
        check_is_fitted(self)
        self._training_state = self._average = None
        self.network_.trim()
        return self

    def summary(self) -> Table:
        """A table of the fitted network.

        Returns
        -------
        Table
            A row for each layer: its kind, the shape and number of values of its output for one
            sample, the size of its units' receptive field (see
            `sklearn_convnet.inspection.receptive_field`; "all" if they see all positions), and its
            numbers of parameters and of multiply-adds for one sample. Below, the memory that maps
            take in a training step with the batches of the last fit, and in a prediction of many
            samples. ``print`` shows it, a notebook shows HTML, `to_frame` makes a
            `pandas.DataFrame` of it.
        """
        check_is_fitted(self)
        network = self.network_
        return network_summary(network, training=self._n_of_batch, prediction=chunk_rows(network))

    def _sk_visual_block_(self):
        """The diagram of a notebook: with shapes once it is fitted."""
        if not hasattr(self, "network_"):
            return super()._sk_visual_block_()
        network = self.network_
        parts = parts_of_network(network.layers, network.input_shape)
        given = Box(f"input, {shape_text(network.input_shape)}")
        return diagram(self, [[given, *map(Box.of_part, parts)]])

    def __getstate__(self):
        state = super().__getstate__()
        return {**state, "_sklearn_convnet_version": package_version()}

    def __setstate__(self, state):
        state = dict(state)
        seen = state.pop("_sklearn_convnet_version", "unknown")
        if seen != package_version():
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=f"sklearn_convnet {package_version()}",
                    original_sklearn_version=f"sklearn_convnet {seen}",
                ),
                stacklevel=2,
            )
        super().__setstate__(state)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "network_")
