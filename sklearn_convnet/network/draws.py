"""Predictions with dropout, as of a network that is drawn at random."""

from __future__ import annotations

from functools import cached_property
from numbers import Integral
from typing import Any

from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_scalar

from ..beside import WithFeatures
from ..threads import effective_n_threads
from .node import Run, chain_forward, walk


class DrawsMixin:
    """Draws of a network: what it is when a part of its units is dropped."""

    @cached_property
    def is_random(self) -> bool:
        """True if a draw differs from a prediction."""
        return any(node.is_random for node in walk(self.fused()))

    def draw(
        self, X: ArrayLike | WithFeatures, seed: int, n_threads: int | None = None
    ) -> NDArray[Any]:
        """The output for a batch at a prediction with dropout.

        What is dropped follows from the seed, and is the same for all samples: a draw is one of the
        networks that dropout makes. Nothing on the network is written, and several threads may call
        this at once.

        Parameters
        ----------
        X : array of shape (n, *input_shape)
            The batch.
        seed : int
            Number of the draw, at least 0 and below 2**64.
        n_threads : int or None, default=None
            Number of threads; it changes no bit of the result.

        Returns
        -------
        Y : array of shape (n, *output_shape)

        Raises
        ------
        TypeError, ValueError
            If X does not fit, or the seed is no whole number of this range.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_convnet.layers import Dropout
        >>> from sklearn_convnet.network import compile_network
        >>> network = compile_network([Dropout(0.5)], (4,))
        >>> Y = network.draw(np.ones((2, 4)), seed=1)
        >>> bool((Y[0] == Y[1]).all()), sorted({0.0, 2.0, *Y.ravel().tolist()})
        (True, [0.0, 2.0])
        """
        (X, features), n_threads = self.check_input(X), effective_n_threads(n_threads)
        check_scalar(seed, "seed", Integral, min_val=0, max_val=2**64 - 1)
        if self.eager:
            run = Run(self.kernels, n_threads, seed=seed, drawing=True, features=features)
            return chain_forward(self.fused(), X, run)
        program = self._program(len(X), X.dtype, False, False, drawing=True)
        given = {"X": X, "weight": None, "features": features}
        return self._predict(program, given, n_threads, seed)
