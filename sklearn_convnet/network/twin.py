"""A network's nodes once more, for gradients at a prediction.

# Design:
# * The nodes are frozen, and bound to the network's own parameters and statistics: a pass over
#   them keeps what backward needs and computes what a prediction computes, with the numbers of
#   now, and has nothing on the network to write to.
# * Nodes keep nothing of a pass, so several threads share a twin, each with an arena.
"""

import numpy as np

from .node import Run, chain_backward, chain_forward
from .program import THREADS, IdleArenas, Recent, Tracer, make_program, name_result, run_forward


def check_gradient(dY, shape, dtype, name="dY", of="the output"):
    """A gradient as an array of the network's dtype; raises ValueError if it is of another
    shape."""
    dY = np.ascontiguousarray(dY, dtype)
    if dY.shape != shape:
        raise ValueError(f"{name} has shape {dY.shape}, {of} has shape {shape}")
    return dY


class Twin:
    """Frozen nodes of a network, with programs and arenas of their own.

    Parameters
    ----------
    nodes : list of Node
        Bound to parameters and statistics.
    input_shape : tuple of int
        Shape of a sample.
    n_features : int
        Number of features beside it.
    output_shape : tuple of int
    dtype : dtype
        What they compute in.
    kernels : module
    """

    def __init__(self, nodes, input_shape, n_features, output_shape, dtype, kernels):
        self.nodes, self.dtype, self.kernels = nodes, dtype, kernels
        self.input_shape, self.n_features, self.output_shape = input_shape, n_features, output_shape
        self._programs, self._idle = Recent(), IdleArenas()

    def input_gradient(self, X, features, dY, n_threads, eager=False):
        """The gradient at X of what has the gradient dY at the output; all are checked."""
        if eager:
            run = Run(self.kernels, n_threads, training=True, features=features)
            chain_forward(self.nodes, X, run)
            return chain_backward(self.nodes, dY, True, run)
        key = (len(X), X.dtype.char)
        program = self._programs.find(key)
        if program is None:
            program = self._trace(len(X), X.dtype)
            self._programs.add(key, program, program.n_kept)
        given, arena = {"X": X, "features": features, "dY": dY}, self._idle.borrow()
        run_forward(program, arena, self.kernels, given, "dX", n_threads, seed=0)
        self._idle.append(arena)
        return given["dX"]

    def _trace(self, n, dtype):
        """Forward and backward as one program, which ends with the gradient at the input."""
        tracer = Tracer()
        X = tracer.empty((n, *self.input_shape), dtype, "X")
        dY = tracer.empty((n, *self.output_shape), self.dtype, "dY")
        features = tracer.features(n, self.n_features, self.dtype)
        run = Run(tracer.kernels, THREADS, training=True, features=features, tracer=tracer)
        chain_forward(self.nodes, X, run)
        dX = chain_backward(self.nodes, dY, True, run)
        name_result(dX, "dX")
        return make_program(n, tracer.take_steps(), dX)

    def release(self):
        """Release memory that is kept for the next pass, unless it is small."""
        self._idle.release()
