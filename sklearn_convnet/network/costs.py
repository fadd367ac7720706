"""The costs of a pass: memory, steps, and how long they take."""

from __future__ import annotations

from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_scalar

from ..beside import WithFeatures
from ..tables import Table
from ..threads import effective_n_threads
from .plan import plan_table, profile_table
from .program import Arena


class CostsMixin:
    """The costs of a network's passes."""

    def peak_memory(self) -> dict[str, tuple[int, int]]:
        """Bytes that the maps, and in training their gradients, take at the most.

        Returns
        -------
        dict
            Of the largest batches lately, ``"training"`` and ``"prediction"``: number of
            samples and bytes. What has not happened is not in it.
        """
        peaks = {}
        for training, recent in self._programs.items():
            ran = [(p.n_samples, p.peak) for p in recent.snapshot() if p.has_run]
            if ran:
                peaks["training" if training else "prediction"] = max(ran)
        return peaks

    def planned_memory(self, n_samples: int, training: bool = False) -> int:
        """Bytes that the maps, and in training their gradients, will take at the most in a pass.

        Parameters
        ----------
        n_samples : int
            Number of samples of the batch.
        training : bool, default=False
            Whether it is a training step, or a prediction.

        Returns
        -------
        int
        """
        bare = training and self.grads is None
        if bare:
            self._make_gradients()  # steps hold views of them
        n_bytes = self._program(n_samples, self.dtype, training, False).peak
        if bare:
            self.trim()
        return n_bytes

    def plan(
        self, n_samples: int = 1, *, training: bool = False, sample_weight: bool = False
    ) -> Table:
        """The steps of a pass, without doing them.

        Parameters
        ----------
        n_samples : int, default=1
            Number of samples of the batch.
        training : bool, default=False
            Whether it is a training forward and its backward, or a prediction.
        sample_weight : bool, default=False
            Whether samples have weights.

        Returns
        -------
        Table
            A row for each step: its layer, the kernel or function, for convolutions the form and
            why it was chosen, multiply-adds (of the direct form), the bytes of the arrays that it
            touches, and of those that live meanwhile. ``print`` shows it, `to_frame` makes a
            `pandas.DataFrame` of it.

        Examples
        --------
        >>> from sklearn_convnet.layers import Conv2D, Dense
        >>> from sklearn_convnet.network import compile_network
        >>> network = compile_network([Conv2D(6, 5), Dense(10)], (28, 28, 1))
        >>> network.plan(32).columns
        ['layer', 'step', 'form', 'why', 'multiply-adds', 'MiB touched', 'MiB live']
        >>> [row[:2] for row in network.plan(32).rows]
        [('conv2d1', 'conv_forward'), ('dense1', 'dense_forward')]
        """
        check_scalar(n_samples, "n_samples", Integral, min_val=0)
        if training and self.grads is None:
            self._make_gradients()
        return plan_table(self, self._program(n_samples, self.dtype, training, sample_weight))

    def profile(
        self,
        X: ArrayLike | WithFeatures,
        *,
        training: bool = False,
        n_threads: int | None = None,
        n_rounds: int = 5,
    ) -> Table:
        """How long each step of a pass takes: what to look at to make a network faster.

        Parameters
        ----------
        X : array of shape (n, *input_shape)
            A batch.
        training : bool, default=False
            Whether to time a training forward and its backward, or a prediction. Weights and
            statistics stay as they are; gradients are overwritten.
        n_threads : int or None, default=None
            Number of threads.
        n_rounds : int, default=5
            Number of passes, of which the median counts, after one that does not.

        Returns
        -------
        Table
            A row for each step: microseconds, share of the whole, and where it multiplies
            GFLOP/s (two operations for each multiply-add of the direct form); GB/s of the arrays
            that it touches.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_convnet.layers import Conv2D, Dense
        >>> from sklearn_convnet.network import compile_network
        >>> network = compile_network([Conv2D(6, 5), Dense(10)], (28, 28, 1))
        >>> network.profile(np.zeros((32, 28, 28, 1))).columns
        ['layer', 'step', 'microseconds', 'share', 'GFLOP/s', 'GB/s']
        """
        X, features = self.check_input(X)
        check_scalar(n_rounds, "n_rounds", Integral, min_val=1)
        before = self.snapshot()[1]
        if training and self.grads is None:
            self._make_gradients()
        program = self._program(len(X), X.dtype, training, False)
        given = {"X": X, "weight": None, "features": features}
        arena = Arena()
        given["Y"] = arena.result(program.forward.result, given)
        given["dY"] = np.ones_like(given["Y"])
        bound = arena.bind(program, self.kernels)
        threads = effective_n_threads(n_threads)
        table = profile_table(self, program, bound, given, threads, n_rounds)
        for path, value in before.items():
            self._buffers[path][:] = value
        return table
