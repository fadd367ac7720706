"""A network: one vector of parameters, and nodes that hold views into it."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from math import prod
from typing import NamedTuple

import numpy as np

from ..initializers import initial_weights
from ..kernels import loader
from ..layers.composition import ShapeError
from ..layers.shapes import check_values
from ..threads import effective_n_threads
from .memory import ALIGNMENT, Arena, aligned_bytes
from .node import LayerMemoryError, Pass, chain_backward, chain_forward, walk
from .tape import Recorder, Tape


class Segment(NamedTuple):
    """Where a parameter lies in the vector of all parameters."""

    path: str
    start: int
    stop: int
    shape: tuple
    decayed: bool
    trainable: bool


@dataclass(slots=True)
class Played:
    """A training forward that a tape has made."""

    tape: Tape
    tapes: dict  # all those of its plan
    given: dict  # the arrays from outside
    output_shape: tuple
    key: tuple  # of its plan

    @property
    def saved(self):
        """What the nodes would have kept for their backward."""
        return self.tape.saved(self.given)


def aligned_zeros(size, dtype):
    """Zeros whose first byte is at a multiple of ALIGNMENT."""
    return aligned_bytes(size * dtype.itemsize, np.zeros).view(dtype)


def _check_weight(path, shape):
    try:
        check_values(shape, "this weight")
    except ValueError as error:
        raise ShapeError(path, str(error)) from None


def _merged(segments, weight_decay, decay_all):
    """Start and stop of stretches of trained segments of equal decay, and these decays."""
    rows, decay = [], []
    mergeable = False
    for segment in segments:
        wanted = weight_decay if segment.decayed or decay_all else 0.0
        if not segment.trainable:
            mergeable = False
        elif mergeable and decay[-1] == wanted:
            rows[-1][1] = segment.stop
        else:
            rows.append([segment.start, segment.stop])
            decay.append(wanted)
            mergeable = True
    return rows, decay


def _leave_cast_to_last(nodes):
    """Of the nodes at the begin that take wide X, all but the last that can cast it leave the cast
    to that; says whether there is one."""
    wide = list(takewhile(lambda node: node.takes_wide, nodes))
    casting = [i for i, node in enumerate(wide) if hasattr(node, "centred")]
    for node in wide[: casting[-1]] if casting else []:
        node.keeps_wide = True
    return bool(casting)


class Network:
    """Layers made executable; `compile_network` makes one.

    Attributes
    ----------
    layers : list
        The specs.
    input_shape, output_shape : tuple of int
        Shapes of one sample, with channels.
    largest_map : int
        Number of values in the largest map of one sample.
    dtype : dtype
        What it computes in.
    params : ndarray of shape (n,)
        All parameters, each at a multiple of 64 bytes from the first. In a loaded network
        they are where the pickle left them, perhaps in a read-only memory map.
    grads : ndarray of shape (n,) or None
        Their gradients after a training forward and a backward, in the same layout.
    segments : list of Segment
        What lies where in these vectors.
    step : int
        Number of the training step. Dropout masks are a function of it.
    """

    def __init__(self, layers, input_shape, dtype, passes):
        self.layers = layers
        self._given_shape = input_shape
        self.dtype = dtype
        self._passes = passes
        self.step = 0
        self._seed = 0
        self._build()
        self.params = self._first_params()
        self._buffers = {
            f"{node.path}/{name}": value.copy()
            for node in walk(self._nodes)
            for name, value in node.buffers.items()
        }
        self._bind()

    # --- construction ------------------------------------------------------------------

    def _first_params(self):
        """Zeros for all parameters."""
        try:
            return aligned_zeros(self._size, self.dtype)
        except MemoryError as error:
            largest = max(self.segments, key=lambda segment: segment.stop - segment.start)
            raise LayerMemoryError(largest.path, f"the weights are too large: {error}") from error

    def _build(self):
        """Nodes and segments, from the specs alone."""
        from .compile import compile_nodes  # compile.py makes networks

        self._nodes, self.table = compile_nodes(
            self.layers, self._given_shape, self.dtype, self._passes
        )
        self.input_shape = self.table[0][2] if self.table else self._given_shape
        self.output_shape = self._nodes[-1].output_shape if self._nodes else self.input_shape
        self.largest_map = max(map(prod, [self.input_shape, *(row[3] for row in self.table)]))
        self.segments = []
        grain = ALIGNMENT // self.dtype.itemsize
        start = 0
        for node in walk(self._nodes):
            for name, weight in node.weights.items():
                stop = start + prod(weight.shape)
                path = f"{node.path}/{name}"
                _check_weight(path, weight.shape)
                self.segments.append(
                    Segment(path, start, stop, weight.shape, weight.decayed, weight.trainable)
                )
                start = -(-stop // grain) * grain
        self._size = start
        self._stretches = {}
        self._takes_wide = _leave_cast_to_last(self._nodes)
        self._repeats = {
            training: all(node.repeats(training) for node in walk(self._nodes))
            for training in (True, False)
        }
        self.grads = None
        self._pass = None
        self._arena = Arena()  # of training
        self._idle = []  # arenas that no prediction is using

    def _views(self, vector):
        return {s.path: vector[s.start : s.stop].reshape(s.shape) for s in self.segments}

    def _bind(self):
        """Gives the nodes their views."""
        params = self._views(self.params)
        for node in walk(self._nodes):
            node.params = {name: params[f"{node.path}/{name}"] for name in node.weights}
            node.state = {name: self._buffers[f"{node.path}/{name}"] for name in node.buffers}

    def _make_gradients(self):
        self.grads = aligned_zeros(self._size, self.dtype)
        grads = self._views(self.grads)
        for node in walk(self._nodes):
            node.grads = {name: grads[f"{node.path}/{name}"] for name in node.weights}

    def initialize(self, random_state):
        """Draw the first weights, and the seed of the dropout masks."""
        self._seed = int(random_state.randint(2**31 - 1))
        for node in walk(self._nodes):
            for name, w in node.weights.items():
                try:
                    node.params[name][...] = initial_weights(
                        w.initializer, w.shape, w.fan_in, w.fan_out, w.activation, random_state
                    )
                except MemoryError as error:
                    raise LayerMemoryError(f"{node.path}/{name}", error) from error

    def __getstate__(self):
        from .compile import pass_names

        kept = ("layers", "_given_shape", "dtype", "step", "_seed", "params", "_buffers")
        state = {name: self.__dict__[name] for name in kept}
        return {**state, "passes": pass_names(self._passes)}

    def __setstate__(self, state):
        from .compile import named_passes

        state = dict(state)
        self._passes = named_passes(state.pop("passes"))
        self.__dict__.update(state)
        self._build()
        self._bind()

    # --- what it knows -----------------------------------------------------------------

    def parameters(self):
        """Views of the parameters, by path such as "conv1/weight"."""
        return self._views(self.params)

    def gradients(self):
        """Views of the gradients, by path; those of the last backward."""
        if self.grads is None:
            self._make_gradients()
        return self._views(self.grads)

    def buffers(self):
        """Views of the statistics that are not trained, by path."""
        return dict(self._buffers)

    def snapshot(self):
        """A copy of parameters and statistics, for `restore`."""
        return self.params.copy(), {k: v.copy() for k, v in self._buffers.items()}

    def restore(self, snapshot):
        """Go back to the parameters and statistics of a snapshot."""
        params, buffers = snapshot
        self.params[:] = params
        for path, value in buffers.items():
            self._buffers[path][:] = value

    def go_on_from(self, other):
        """Take over parameters, statistics and steps of a network that has the same."""
        self.restore((other.params, other.buffers()))
        self.step, self._seed = other.step, other._seed

    @cached_property
    def kernels(self):
        """The kernels for its dtype, those that are in use when it first needs them."""
        return loader.kernels(self.dtype)

    def stretches(self, weight_decay, decay_all):
        """The parts of the parameter vector that are trained, and the weight decay of each.

        Neighbouring segments of equal decay are one stretch; the zeros between them, which
        round a segment up to whole cache lines, have zero gradients and stay zero.

        Parameters
        ----------
        weight_decay : float
            That of weights.
        decay_all : bool
            Whether biases, and scales and offsets of norms, have it too.

        Returns
        -------
        rows : int64 ndarray of shape (n, 2)
            Where each begins and ends.
        decay : ndarray of shape (n,)
        """
        key = (weight_decay, decay_all)
        if key not in self._stretches:
            rows, decay = _merged(self.segments, weight_decay, decay_all)
            rows = np.array(rows, np.int64).reshape(-1, 2)
            self._stretches = {key: (rows, np.array(decay, self.dtype))}
        return self._stretches[key]

    @cached_property
    def smallest_batch(self):
        """Number of samples that a training step needs: two where a batch norm sees a single value
        of each channel of a sample."""
        return max((node.smallest_batch for node in walk(self._nodes)), default=1)

    @property
    def nodes(self):
        """The executable steps, in order."""
        return tuple(self._nodes)

    # --- running -----------------------------------------------------------------------

    def input_dtype(self, dtype):
        """The dtype in which the first node sees an X of some dtype.

        It is the network's, or float64 if that of the network does not hold all that X may hold,
        and the network begins with a layer that brings X to the order of 1, `Standardize` or
        `Rescale`: what tells large numbers apart would be lost in a cast before it.
        """
        if self._takes_wide and not np.can_cast(dtype, self.dtype):
            return np.dtype(np.float64)
        return self.dtype

    def _check_input(self, X):
        X = np.asarray(X)
        dtype = self.dtype if X.dtype == self.dtype else self.input_dtype(X.dtype)
        X = np.ascontiguousarray(X, dtype)
        if X.shape[1:] != self.input_shape:
            if X.shape[1:] != self._given_shape:
                raise ValueError(
                    f"X has samples of shape {X.shape[1:]}, the network is for {self.input_shape}"
                )
            X = X.reshape(len(X), *self.input_shape)
        return X

    def _new_pass(self, n_threads, training=False, weight=None, memory=None, use_running=False):
        return Pass(
            kernels=self.kernels,
            n_threads=n_threads,
            training=training,
            seed=self._seed * 2**20 + self.step,
            weight=None if weight is None else np.ascontiguousarray(weight, self.dtype),
            memory=memory,
            use_running=use_running,
        )

    def forward(self, X, training=False, n_threads=None, sample_weight=None, use_running=False):
        """The output for a batch.

        Parameters
        ----------
        X : array of shape (n, *input_shape)
            The batch.
        training : bool, default=False
            Whether a backward follows. If not, nothing on the network is written, and
            several threads may call this at once. If so, the gradients of the parameters
            are overwritten by the backward.
        n_threads : int or None, default=None
            Number of threads; it changes no bit of the result.
        sample_weight : array of shape (n,) or None, default=None
            Weights of the samples in statistics of the batch, such as batch norm's.
        use_running : bool, default=False
            In training, a batch norm that sees a single value of each channel takes its running
            statistics, if it has seen a batch before, and leaves them alone.

        Returns
        -------
        Y : array of shape (n, *output_shape)

        Raises
        ------
        ValueError
            If X does not fit, or if in training a batch norm sees a single value of each channel
            and may not, or cannot, take its running statistics.
        """
        X = self._check_input(X)
        n_threads = effective_n_threads(n_threads)
        if not training:
            return self._predict(X, n_threads, sample_weight)
        if self.grads is None:
            self._make_gradients()
        self._pass = None  # what it holds is free now
        key = (len(X), sample_weight is None, X.dtype.char)
        tapes = self._arena.tapes(key)
        tape = tapes.get(("forward", n_threads))
        if tape is not None:
            given = self._play(tape, X)
            Y = given["Y"]
            self._pass = Played(tape, tapes, given, Y.shape, key)
            return Y
        memory = self._arena.begin(key)
        run = self._new_pass(n_threads, True, sample_weight, memory, use_running)
        Y = self._forward(X, run)
        self._pass = run
        return Y

    def _play(self, tape, X):
        """The arrays from outside, the output among them."""
        given = {"X": X, "Y": np.empty((len(X), *self.output_shape), X.dtype)}
        tape.play(given)
        return given

    def _forward(self, X, run):
        """The output; a pass that others may repeat is recorded."""
        if run.memory.tapes is None or len(X) == 0 or not self._repeats[run.training]:
            Y = chain_forward(self._nodes, X, run)
        else:
            recorder = Recorder(run.kernels)
            Y = chain_forward(self._nodes, X, replace(run, kernels=recorder))
            given = {"X": X, "Y": Y}
            tape = recorder.tape(given, run.saved, run.memory.taken)
            if self._keep_tape(tape, ("forward", run.n_threads), run.memory):
                run.given = given
        run.memory.keep(Y)
        run.output_shape = Y.shape
        return Y

    def _keep_tape(self, tape, key, memory):
        """Notes a tape with the plan if there is one, and the plan was followed; says whether."""
        if tape is None or memory.tapes is None:
            return False
        memory.tapes[key] = tape
        return True

    def _backward_without_input(self, dY, run):
        """Backward of a pass that others may repeat, recorded."""
        recorder = Recorder(run.kernels)
        chain_backward(self._nodes, dY, False, replace(run, kernels=recorder))
        tape = recorder.tape({**run.given, "dY": dY})
        self._keep_tape(tape, ("backward", run.n_threads), run.memory)

    def _resumed(self, played, n_threads):
        """The pass that the nodes would have made: with what they need to go backward. Others
        repeat it if their arrays are the same, not if memory was released since."""
        memory = self._arena.begin(played.key)
        run = self._new_pass(n_threads, True, memory=memory)
        run.given = played.given if memory.tapes is played.tapes else None
        run.saved = played.saved
        memory.taken = played.tape.taken
        return run

    def _borrow(self):
        """An arena that no other thread has."""
        try:
            return self._idle.pop()
        except IndexError:  # a thread more than before
            return Arena()

    def _predict(self, X, n_threads, sample_weight):
        arena, key = self._borrow(), (len(X), sample_weight is None, X.dtype.char)
        tape = arena.tapes(key).get(("forward", n_threads))
        if tape is not None:
            Y = self._play(tape, X)["Y"]
        else:
            memory = arena.begin(key)
            Y = self._forward(X, self._new_pass(n_threads, False, sample_weight, memory))
            memory.end()
        self._idle.append(arena)
        return Y

    def backward(self, dY, need_input=True, n_threads=None):
        """Gradients of a loss, given its gradient at the output of the last training forward.

        Parameters
        ----------
        dY : array of shape (n, *output_shape)
            Gradient at the output.
        need_input : bool, default=True
            Whether the gradient at the input is wanted.
        n_threads : int or None, default=None
            Number of threads.

        Returns
        -------
        dX : array of shape (n, *input_shape), or None

        Raises
        ------
        ValueError
            If dY is not of the shape of the output.
        RuntimeError
            If there was no training forward since the last backward, which gives its memory
            back piece by piece.
        """
        run = self._pass
        if run is None:
            raise RuntimeError("each backward needs a forward with training=True before it")
        dY = np.ascontiguousarray(dY, dtype=self.dtype)
        if dY.shape != run.output_shape:
            raise ValueError(f"dY has shape {dY.shape}, the output has shape {run.output_shape}")
        n_threads = effective_n_threads(n_threads)
        self._pass = None
        if isinstance(run, Played):
            tape = None if need_input else run.tapes.get(("backward", n_threads))
            if tape is not None:
                run.given["dY"] = dY
                return tape.play(run.given)
            run = self._resumed(run, n_threads)
        run.n_threads = n_threads
        if run.given is not None and not need_input:
            return self._backward_without_input(dY, run)
        dX = chain_backward(self._nodes, dY, need_input, run)
        if dX is not None:
            run.memory.keep(dX)
        run.memory.end()
        return dX

    def release_memory(self):
        """Give back what is kept for the next pass, unless it is small.

        Several threads may call this while others predict.
        """
        self._arena.release()
        borrowed = [self._borrow() for _ in range(len(self._idle))]
        for arena in borrowed:
            arena.release()
        self._idle += borrowed

    def trim(self):
        """Give up what only training needs: gradients, and its memory with all plans.

        The next training forward makes them anew.
        """
        self._pass = self.grads = None
        self._arena = Arena()  # tapes in it hold views of the gradients
        for node in walk(self._nodes):
            node.grads = {}
        self.release_memory()

    def peak_memory(self):
        """Bytes that the maps, and in training their gradients, take at the most.

        Returns
        -------
        dict
            Of the largest batches lately, ``"training"`` and ``"prediction"``: number of
            samples and bytes. What has not happened is not in it.
        """
        arenas = {"training": [self._arena], "prediction": self._idle}
        peaks = {}
        for name, some in arenas.items():
            known = [peak for arena in some for peak in arena.peaks()]
            if known:
                peaks[name] = max(known)
        return peaks

    def fit_statistics(self, batches, known=()):
        """Let the nodes that need statistics of the data compute them.

        Parameters
        ----------
        batches : callable
            Returns an iterator over `(X, weight)` batches; called once for each such node,
            which sees what the nodes before it make of them.
        known : collection of str, default=()
            Paths of buffers that hold what they should; a node all of whose buffers are
            among them is left alone.
        """
        for node in walk(self._nodes):
            if hasattr(node, "fit_statistics") and node not in self._nodes:
                raise ValueError(
                    f"layer {node.path!r}: statistics of the data are computed before "
                    "training, for layers outside of blocks only; put it before the block"
                )
        for i, node in enumerate(self._nodes):
            if hasattr(node, "fit_statistics") and not all(
                f"{node.path}/{name}" in known for name in node.buffers
            ):
                node.fit_statistics((self._through(X, i), weight) for X, weight in batches())

    def _through(self, X, n_nodes):
        X = self._check_input(X)
        run = self._new_pass(effective_n_threads())
        return chain_forward(self._nodes[:n_nodes], X, run)
