"""A network: one vector of parameters, and nodes that hold views into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import takewhile
from math import prod
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..beside import WithFeatures, apart
from ..initializers import initial_weights
from ..kernels import loader
from ..layers.base import Layer
from ..layers.blocks import Outputs
from ..threads import effective_n_threads
from .auxiliary import SideBySideNode, heads_of, walk_heads_last
from .costs import CostsMixin
from .draws import DrawsMixin
from .features import checked_features, n_features_of
from .node import EagerRun, Node, Run, chain_backward, chain_forward, walk
from .passes import fuse, make_nodes, named_passes, pass_names
from .probe import Probe
from .program import (
    ALIGNMENT,
    THREADS,
    Arena,
    IdleArenas,
    LayerMemoryError,
    Part,
    Pending,
    Recent,
    Tracer,
    aligned_zeros,
    make_program,
    name_result,
    run_forward,
)
from .resize import ResizableMixin
from .segments import Segment, check_weight, merged_stretches
from .statistics import StatisticsMixin
from .twin import Twin, check_gradient


def _leave_cast_to_last(nodes):
    """Lets nodes at the beginning that take wide X leave the cast to the last of them that can;
    says whether there is one."""
    wide = list(takewhile(lambda node: node.takes_wide, nodes))
    casting = [i for i, node in enumerate(wide) if hasattr(node, "centred")]
    for node in wide[: casting[-1]] if casting else []:
        node.keeps_wide = True
    return bool(casting)


class Network(CostsMixin, DrawsMixin, ResizableMixin, StatisticsMixin):
    """Layers made executable: what `compile_network` returns.

    Parameters
    ----------
    layers : list of (str, Layer)
        The specs, with their names.
    input_shape : tuple of int
        Shape of one sample.
    dtype : dtype
        What it computes in.
    passes : sequence of callable
        Those of `compile_network`.

    Attributes
    ----------
    layers : list of (str, Layer)
        The specs, with their names.
    input_shape, output_shape : tuple of int
        Shapes of one sample, with channels.
    largest_map : int
        Number of values in the largest map of one sample.
    n_features : int
        Number of features beside a sample; 0 if no layer appends any.
    dtype : dtype
        What it computes in.
    params : ndarray of shape (n,)
        All parameters, each at a multiple of 64 bytes from the first. In a loaded network
        they are where the pickle left them, perhaps in a read-only memory map.
    grads : ndarray of shape (n,) or None
        Their gradients after a training forward and a backward, in the same layout.
    segments : list of Segment
        What lies where in these vectors.
    heads : list of Node
        The auxiliary heads, whose outputs are beside that of the network in training.
    step : int
        Number of the training step. Dropout masks are a function of it.
    part : int
        Number of the part of a step, where several passes make one: masks are a function of it too.
    eager : bool
        Whether passes run node by node, and not as programs: the same bits, for tests.
    """

    layers: list[tuple[str, Layer]]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    params: NDArray[Any]
    grads: NDArray[Any] | None
    heads: list[Node]
    eager = False
    part = 0

    def __init__(
        self,
        layers: list[tuple[str, Layer]],
        input_shape: tuple[int, ...],
        dtype: np.dtype[Any],
        passes: Sequence[Callable[..., Any]],
    ) -> None:
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
        self._nodes, self.table = make_nodes(self.layers, self._given_shape, self.dtype)
        self.input_shape = self.table[0][2] if self.table else self._given_shape
        self.output_shape = self._nodes[-1].output_shape if self._nodes else self.input_shape
        self.largest_map = max(map(prod, [self.input_shape, *(row[3] for row in self.table)]))
        self.heads = heads_of(self._nodes, self.output_shape)
        self.n_features = n_features_of(self._nodes)
        self.segments = []
        grain = ALIGNMENT // self.dtype.itemsize
        start = 0
        for node in walk_heads_last(self._nodes):
            for name, weight in node.weights.items():
                stop = start + prod(weight.shape)
                path = f"{node.path}/{name}"
                check_weight(path, weight.shape)
                self.segments.append(
                    Segment(path, start, stop, weight.shape, weight.decayed, weight.trainable)
                )
                start = -(-stop // grain) * grain
        self._size = start
        self._stretches = {}
        self._takes_wide = _leave_cast_to_last(self._nodes)
        self._fused = {}  # nodes of a prediction or of training, when first asked for
        self.grads = None
        self._programs = {True: Recent(), False: Recent()}  # of training or not
        self._arena = Arena()  # of training
        self._idle = IdleArenas()  # of predictions
        self._twins = {}  # of passes that fuse
        self._resized = Recent()  # networks for samples of other shapes
        self._lender = None  # whose gradients and memory these of another shape use

    def _views(self, vector):
        return {s.path: vector[s.start : s.stop].reshape(s.shape) for s in self.segments}

    def _bind(self):
        """Gives the nodes their views."""
        params = self._views(self.params)
        for node in walk(self._nodes):
            node.params.update((name, params[f"{node.path}/{name}"]) for name in node.weights)
            node.state.update((name, self._buffers[f"{node.path}/{name}"]) for name in node.buffers)

    def _make_gradients(self):
        self.grads = self._lent_gradients()
        if self.grads is None:
            self.grads = aligned_zeros(self._size, self.dtype)
        grads = self._views(self.grads)
        for node in walk(self._nodes):
            node.grads.update((name, grads[f"{node.path}/{name}"]) for name in node.weights)

    def initialize(self, random_state: np.random.RandomState) -> None:
        """Draw the initial weights, and the seed of the dropout masks.

        Parameters
        ----------
        random_state : RandomState
            Where they come from.
        """
        self._seed = int(random_state.randint(2**31 - 1))
        for node in walk_heads_last(self._nodes):
            for name, w in node.weights.items():
                try:
                    node.params[name][...] = initial_weights(
                        w.initializer, w.shape, w.fan_in, w.fan_out, w.activation, random_state
                    )
                except MemoryError as error:
                    raise LayerMemoryError(f"{node.path}/{name}", error) from error

    def __getstate__(self):
        kept = ("layers", "_given_shape", "dtype", "step", "_seed", "params", "_buffers")
        state = {name: self.__dict__[name] for name in kept}
        return {**state, "passes": pass_names(self._passes)}

    def __setstate__(self, state):
        state = dict(state)
        self._passes = named_passes(state.pop("passes"))
        self.__dict__.update(state)
        self._build()
        self._bind()

    # --- what it knows -----------------------------------------------------------------

    def parameters(self) -> dict[str, NDArray[Any]]:
        """Views of the parameters, by path such as "conv1/weight".

        Returns
        -------
        dict of str to ndarray
        """
        return self._views(self.params)

    def gradients(self) -> dict[str, NDArray[Any]]:
        """Views of the gradients, by path; those of the last backward.

        Returns
        -------
        dict of str to ndarray
        """
        if self.grads is None:
            self._make_gradients()
        return self._views(self.grads)

    def buffers(self) -> dict[str, NDArray[Any]]:
        """Views of the statistics that are not trained, by path.

        Returns
        -------
        dict of str to ndarray
        """
        return dict(self._buffers)

    def snapshot(self) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
        """A copy of parameters and statistics, for `restore`.

        Returns
        -------
        (ndarray, dict of str to ndarray)
        """
        return self.params.copy(), {k: v.copy() for k, v in self._buffers.items()}

    def restore(self, snapshot: tuple[NDArray[Any], dict[str, NDArray[Any]]]) -> None:
        """Go back to the parameters and statistics of a snapshot.

        Parameters
        ----------
        snapshot : (ndarray, dict of str to ndarray)
            What `snapshot` returned.
        """
        params, buffers = snapshot
        self.params[:] = params
        for path, value in buffers.items():
            self._buffers[path][:] = value

    def go_on_from(self, other: Network) -> None:
        """Take over parameters, statistics and steps of a network that has the same.

        Parameters
        ----------
        other : Network
            It stays as it is.
        """
        self.restore((other.params, other.buffers()))
        self.step, self._seed = other.step, other._seed

    @cached_property
    def kernels(self) -> ModuleType:
        """The kernels for its dtype, those that are in use when it first needs them."""
        return loader.kernels(self.dtype)

    def stretches(self, weight_decay: float, decay_all: bool) -> tuple[NDArray[Any], NDArray[Any]]:
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
            rows, decay = merged_stretches(self.segments, weight_decay, decay_all)
            rows = np.array(rows, np.int64).reshape(-1, 2)
            self._stretches = {key: (rows, np.array(decay, self.dtype))}
        return self._stretches[key]

    @cached_property
    def smallest_batch(self) -> int:
        """Number of samples that a training step needs.

        Two where a batch norm sees a single value of each channel of a sample.
        """
        return max((node.smallest_batch for node in walk(self._nodes)), default=1)

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes as the layers say, in order."""
        return tuple(self._nodes)

    def fused(self, training: bool = False) -> Sequence[Node]:
        """The nodes that a prediction or a training step runs, after all passes.

        Parameters
        ----------
        training : bool, default=False
            Which of the two.

        Returns
        -------
        sequence of Node
        """
        training = bool(training)
        if training not in self._fused:
            nodes = fuse(self._nodes, self._passes, training)
            if training and self.heads:
                nodes = (*nodes, SideBySideNode(self.heads, self.output_shape))
            self._fused[training] = nodes
        return self._fused[training]

    @property
    def named_layers(self) -> list[tuple[str, Layer]]:
        """`(name, layer)` pairs, those of several outputs each for itself."""
        pairs: list[tuple[str, Layer]] = []
        for name, layer in self.layers:
            pairs += layer.named_children() if isinstance(layer, Outputs) else [(name, layer)]
        return pairs

    # --- running -----------------------------------------------------------------------

    def input_dtype(self, dtype: DTypeLike) -> np.dtype[Any]:
        """The dtype in which the first node sees X.

        It is the network's, or float64 if that of the network does not hold all that X may hold,
        and the network begins with a layer that brings X to the order of 1, `Standardize` or
        `Rescale`: what tells large numbers apart would be lost in a cast before it.

        Parameters
        ----------
        dtype : dtype
            That of X.

        Returns
        -------
        dtype
        """
        if self._takes_wide and not np.can_cast(dtype, self.dtype):
            return np.dtype(np.float64)
        return self.dtype

    def check_input(self, X: ArrayLike | WithFeatures) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """A batch as the first node sees it.

        Parameters
        ----------
        X : array-like of shape (n, *input_shape) or WithFeatures
            A batch.

        Returns
        -------
        X : ndarray of shape (n, *input_shape)
        features : ndarray of shape (n, n_features) or None

        Raises
        ------
        ValueError
            If it does not fit.
        """
        samples, features = apart(X)
        if features is not None or self.n_features:
            features = checked_features(features, len(samples), self.n_features, self.dtype)
        X = np.asarray(samples)
        dtype = self.dtype if X.dtype == self.dtype else self.input_dtype(X.dtype)
        X = np.ascontiguousarray(X, dtype)
        if X.shape[1:] != self.input_shape:
            if X.shape[1:] != self._given_shape:
                raise ValueError(
                    f"X has samples of shape {X.shape[1:]}, the network is for {self.input_shape}"
                )
            X = X.reshape(len(X), *self.input_shape)
        return X, features

    def _eager_pass(self, n_threads, features, training=False, weight=None, *flags):
        given = training, self._mask_seed(), weight
        return Run(self.kernels, n_threads, *given, *flags, features=features)

    @property
    def _pending(self):
        """The training forward that waits for its backward, or None."""
        owner, run = self._arena.pending or (None, None)
        return run if owner is self else None

    def _mask_seed(self):
        return self.part * 2**52 + self._seed * 2**20 + self.step

    def _counts_one(self, X, weight):
        """True if a batch norm may see the values of a single sample."""
        if self.smallest_batch == 1:
            return False
        return (len(X) if weight is None else np.count_nonzero(weight)) == 1

    def forward(
        self,
        X: ArrayLike | WithFeatures,
        training: bool = False,
        n_threads: int | None = None,
        sample_weight: ArrayLike | None = None,
        use_running: bool = False,
    ) -> NDArray[Any]:
        """Compute the output for a batch.

        Parameters
        ----------
        X : array of shape (n, *input_shape), or WithFeatures
            The batch, with the features of its samples where a layer appends them.
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
            In training the outputs of auxiliary heads follow, along the last axis.

        Raises
        ------
        ValueError
            If X does not fit, or if in training a batch norm sees a single value of each channel
            and may not, or cannot, take its running statistics.
        """
        X, features = self.check_input(X)
        n_threads = effective_n_threads(n_threads)
        weight = None
        if sample_weight is not None:
            weight = np.ascontiguousarray(sample_weight, self.dtype)
        one_sample = False
        if training:
            one_sample = self._counts_one(X, weight)
            if self.grads is None:
                self._make_gradients()
            self._arena.pending = None  # what it holds is free now
        flags = (one_sample, training and use_running)
        if self.eager:
            run = self._eager_pass(n_threads, features, training, weight, *flags)
            nodes = self.fused(training)
            Y = chain_forward(nodes, X, run)
            if training:
                self._arena.pending = self, EagerRun(nodes, run, Y.shape)
            return Y
        program = self._program(len(X), X.dtype, training, weight is not None, *flags)
        given: dict[str, Any] = {"X": X, "weight": weight, "features": features}
        seed = self._mask_seed()
        if not training:
            return self._predict(program, given, n_threads, seed)
        bound = run_forward(program, self._arena, self.kernels, given, "Y", n_threads, seed)
        self._arena.pending = self, Pending(self._arena, bound, given, seed)
        return given["Y"]

    def _predict(self, program, given, n_threads, seed):
        """The output of a program that does not train, in an arena that no other thread has."""
        arena = self._idle.borrow()
        run_forward(program, arena, self.kernels, given, "Y", n_threads, seed)
        self._idle.append(arena)
        return given["Y"]

    def _program(
        self, n, dtype, training, weighted, one_sample=False, use_running=False, drawing=False
    ):
        """The steps for so many samples, traced when they are first asked for."""
        key = (n, dtype.char, training, weighted, one_sample, use_running, drawing)
        recent = self._programs[bool(training)]
        program = recent.find(key)
        if program is None:
            program = self._trace(*key)
            recent.add(key, program, program.n_kept)
        return program

    def _trace(self, n, dtype, training, weighted, one_sample, use_running, drawing):
        tracer = Tracer()
        X = tracer.empty((n, *self.input_shape), dtype, "X")
        weight = tracer.empty((n,), self.dtype, "weight") if weighted else None
        flags = dict(one_sample=one_sample, use_running=use_running, drawing=drawing)
        features = tracer.features(n, self.n_features, self.dtype)
        given = dict(weight=weight, features=features, tracer=tracer)
        run = Run(tracer.kernels, THREADS, training, **given, **flags)
        nodes = self.fused(training)
        Y = chain_forward(nodes, X, run)
        name_result(Y, "Y")
        forward, saved = tracer.take_steps(), dict(run.saved)
        if not training:
            return make_program(n, forward, Y)
        dY = tracer.empty(Y.shape, Y.dtype, "dY")

        def backward(need_input):
            dX = chain_backward(nodes, dY, need_input, replace(run, saved=dict(saved)))
            if dX is not None:
                name_result(dX, "dX")
            return Part(tracer.take_steps(), dX)

        return make_program(n, forward, Y, saved, backward)

    def backward(
        self, dY: ArrayLike, need_input: bool = True, n_threads: int | None = None
    ) -> NDArray[Any] | None:
        """Compute gradients, given that at the output of the last training forward.

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
        run = self._pending
        if run is None:
            raise RuntimeError("each backward needs a forward with training=True before it")
        dY = check_gradient(dY, run.output_shape, self.dtype)
        n_threads = effective_n_threads(n_threads)
        self._arena.pending = None
        return run.backward(dY, need_input, n_threads)

    def input_gradient(
        self, X: ArrayLike | WithFeatures, dY: ArrayLike, n_threads: int | None = None
    ) -> NDArray[Any]:
        """Compute the gradient at the input in a prediction.

        Running statistics are used, and nothing is dropped. Nothing on the network is written, and
        several threads may call this at once.

        Parameters
        ----------
        X : array of shape (n, *input_shape)
            The batch.
        dY : array of shape (n, *output_shape)
            Gradient of some function of the output of ``forward(X)``.
        n_threads : int or None, default=None
            Number of threads; it changes no bit of the result.

        Returns
        -------
        dX : array of shape (n, *input_shape)
            Gradient of that function at X.

        Raises
        ------
        ValueError
            If X or dY does not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_convnet.layers import Dense, Dropout
        >>> from sklearn_convnet.network import compile_network
        >>> network = compile_network([Dropout(0.5), Dense(1, activation=None)], (3,))
        >>> dX = network.input_gradient(np.zeros((1, 3)), np.ones((1, 1)))
        >>> bool((dX == network.parameters()["dense1/weight"].T).all())
        True
        """
        (X, features), n_threads = self.check_input(X), effective_n_threads(n_threads)
        dY = check_gradient(dY, (len(X), *self.output_shape), self.dtype)
        return self._twin(self._passes).input_gradient(X, features, dY, n_threads, self.eager)

    def probe(self) -> Probe:
        """A look at each layer, and a way to feed gradients in there: see `Probe`.

        Returns
        -------
        Probe
            For one thread; others may have their own.
        """
        return Probe(self, self._twin(()))

    def _twin(self, passes):
        """The nodes once more, frozen; made when first asked for."""
        twin = self._twins.get(passes)
        if twin is None:
            nodes = fuse(self._nodes, passes, training=True, frozen=True)
            shapes = self.input_shape, self.n_features, self.output_shape
            twin = Twin(nodes, *shapes, self.dtype, self.kernels)
            self._twins = {**self._twins, passes: twin}
        return twin

    def release_memory(self) -> None:
        """Release memory that is kept for the next pass, unless it is small.

        Several threads may call this while others predict.
        """
        for arenas in (self._arena, self._idle, *self._twins.values()):
            arenas.release()
        for network in self._resized.snapshot():
            network.release_memory()

    def trim(self) -> None:
        """Release what only training and gradients need: their memory and all plans.

        The next training forward makes them anew.
        """
        self.grads = None
        self._twins, self._resized = {}, Recent()
        self._arena = Arena()  # what is bound to it holds views of the gradients, as steps do
        self._programs[True] = Recent()
        for node in walk(self._nodes):
            node.grads.clear()
        self.release_memory()
