"""A pass in which each layer can be looked at, and gradients can be fed in anywhere.

# Design:
# * All nodes, at any depth, are run by `chain_forward` and `chain_backward`, which ask the `Run` to
#   do it. The run of a probe looks at the output of a node, and at the gradient that arrives there.
# * Nothing is fused, so that the output of each layer is there to be seen, and each activation is a
#   node of its own. Nothing is traced: what is looked at may be another layer each time.
# * A layer may be several nodes (a convolution and its activation): its output is that of the last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import accumulate
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..threads import effective_n_threads
from .blocks import OutputsNode
from .maps import plain
from .node import Run, chain_backward, chain_forward, walk
from .twin import check_gradient

MOST_NAMES = 20  # in a message


@dataclass(slots=True)
class ProbeRun(Run):
    """A run that looks at nodes.

    Attributes
    ----------
    watched : collection of Node
        What is looked at.
    seen : dict of Node to ndarray
        Their outputs or, of a backward, the gradients there.
    injected : dict of Node to ndarray
        What is added to the gradient at the output of nodes.
    rule : callable or None
        See `Probe.backward`.
    """

    watched: object = ()
    seen: dict = field(default_factory=dict)
    injected: dict = field(default_factory=dict)
    rule: object = None

    def forward(self, node, X):
        Y = node.forward(X, self)
        if node in self.watched and not self.recompute:
            self.seen[node] = plain(Y)
        return Y

    def backward(self, node, dY, need_input):
        if node in self.injected:
            dY = dY + self.injected[node]
        if node in self.watched:
            self.seen[node] = dY
        if self.rule is None:
            return node.backward(dY, need_input, self)
        return self.rule(node, dY, lambda dY: node.backward(dY, need_input, self))


def paths_to(path):
    """The path and those that it lies under: a, a/b, a/b/c."""
    return list(accumulate(path.split("/"), lambda above, name: f"{above}/{name}"))


def last_nodes(nodes, around=()):
    """The node whose output is that of a layer, by the path of the layer, in a chain and inside
    the blocks in it; `around` are the paths of the blocks around the chain."""
    found = {}
    own = {node: [] if isinstance(node, OutputsNode) else paths_to(node.path) for node in nodes}
    for node in nodes:
        found.update((path, node) for path in own[node] if path not in around)
    for node in nodes:
        for chain in node.chains:
            found.update(last_nodes(chain, own[node]))
    return found


class Probe:
    """Looks at the layers of a network, in passes that compute what a prediction computes.

    `Network.probe` makes one. Nothing on the network is written. Weights and statistics are
    those that the network has when a pass is made. The numbers are those of `Network.forward` up
    to rounding, as nothing is fused here.

    A layer is given by its path, such as ``"conv2d1"`` or ``"residual1/conv2d1"``, or by its
    place in `Network.named_layers`: -1 is the last. What its output is includes its own activation.
    ``""`` is the whole network.

    Examples
    --------
    The gradient of a unit of the first layer, and what the output adds to it:

    >>> import numpy as np
    >>> from sklearn_convnet.layers import Dense
    >>> from sklearn_convnet.network import compile_network
    >>> network = compile_network([Dense(2, activation=None), Dense(1, activation=None)], (3,))
    >>> probe = network.probe()
    >>> maps = probe.forward(np.ones((1, 3)), ["dense1", "dense2"])
    >>> maps["dense1"].shape
    (1, 2)
    >>> dX, gradients = probe.backward({"dense1": [[1, 0]], -1: [[1]]}, ["dense1"])
    >>> expected = network.parameters()["dense2/weight"].T + [1, 0]
    >>> bool(np.allclose(gradients["dense1"], expected))
    True
    """

    def __init__(self, network: Any, twin: Any) -> None:
        self._network, self._twin = network, twin
        self._nodes = last_nodes(twin.nodes)
        if twin.nodes:
            self._nodes[""] = twin.nodes[-1]
        self._places = {
            inner: place for place, node in enumerate(twin.nodes) for inner in walk([node])
        }
        self._run: ProbeRun | None = None
        self._stop = 0

    # --- layers --------------------------------------------------------------------------

    @property
    def paths(self) -> list[str]:
        """Paths of all layers, those inside blocks last."""
        return [path for path in self._nodes if path]

    def path(self, layer: str | int) -> str:
        """The path of a layer that is given by its path or place.

        Raises
        ------
        TypeError
            If it is neither.
        ValueError
            If there is no such layer.
        """
        if isinstance(layer, Integral) and not isinstance(layer, bool):
            names = [name for name, _ in self._network.named_layers]
            if not -len(names) <= layer < len(names):
                raise ValueError(
                    f"layer={layer} does not exist: the network has {len(names)} layers, from 0 "
                    f"or {-len(names)} to {len(names) - 1} or -1"
                )
            return names[layer]
        if not isinstance(layer, str):
            raise TypeError(
                "a layer must be given by its path, such as 'residual1/conv2d1', or by its place, "
                f"such as -1, got {layer!r}"
            )
        if layer not in self._nodes:
            raise ValueError(f"there is no layer {layer!r}: {self._advice(layer)}")
        return layer

    def _advice(self, path):
        known = [above for above in paths_to(path) if above in self._nodes]
        near = get_close_matches(path, self.paths, n=5) or known[-1:]
        if near:
            return f"did you mean {' or '.join(map(repr, near))}?"
        names = [name for name, _ in self._network.named_layers]
        more = ", ..." if len(names) > MOST_NAMES else ""
        return f"the layers are {', '.join(map(repr, names[:MOST_NAMES]))}{more}"

    def output_shape(self, layer: str | int) -> tuple[int, ...]:
        """The shape of a sample's output of a layer."""
        return self._node(layer).output_shape

    def _node(self, layer):
        return self._nodes[self.path(layer)]

    # --- passes --------------------------------------------------------------------------

    def forward(
        self,
        X: ArrayLike,
        record: Sequence[str | int] = (),
        *,
        backward: bool = True,
        n_threads: int | None = None,
    ) -> dict[str | int, NDArray[Any]]:
        """The outputs of layers for a batch.

        Parameters
        ----------
        X : array of shape (n, *input_shape)
            The batch.
        record : list of str or int, default=()
            The layers to look at. The pass ends with the last of them; without any, with the
            network.
        backward : bool, default=True
            Whether a backward may follow, for which more has to be kept.
        n_threads : int or None, default=None
            Number of threads; it changes no bit of the result.

        Returns
        -------
        maps : dict of str or int to ndarray
            The outputs, (n, *shape), by what was given. They are not copies: leave them as they
            are.

        Raises
        ------
        ValueError
            If X does not fit or there is no such layer.
        """
        batch, features = self._network.check_input(X)
        nodes = {layer: self._node(layer) for layer in record}
        whole = len(self._twin.nodes)
        self._stop = max((self._places[node] + 1 for node in nodes.values()), default=whole)
        threads, watched = effective_n_threads(n_threads), frozenset(nodes.values())
        options = dict(training=backward, watched=watched, features=features)
        run = ProbeRun(self._twin.kernels, threads, **options)
        chain_forward(self._twin.nodes[: self._stop], batch, run)
        self._run, self._n_samples = (run if backward else None), len(batch)
        return {layer: run.seen[node] for layer, node in nodes.items()}

    def backward(
        self,
        gradients: Mapping[str | int, ArrayLike],
        record: Sequence[str | int] = (),
        *,
        rule: Callable[..., Any] | None = None,
        to_input: bool = True,
    ) -> tuple[NDArray[Any] | None, dict[str | int, NDArray[Any]]]:
        """Gradients of a function of the outputs of layers; the last forward may have several.

        Parameters
        ----------
        gradients : dict of str or int to array of shape (n, *shape)
            The gradient of the function at the output of each layer that it reads.
        record : list of str or int, default=()
            Layers at whose output the gradient is wanted.
        rule : callable or None, default=None
            Takes the place of the backward of all nodes: ``rule(node, dY, backward)`` returns the
            gradient at the input of a node, and ``backward(dY)`` is what it would be. An
            activation is an `ActivationNode`, its name is ``node.activation``.
        to_input : bool, default=True
            Whether the gradient at X is wanted. If not, backward ends with the first layer of
            `record`.

        Returns
        -------
        dX : array of shape (n, *input_shape) or None
            The gradient at X.
        recorded : dict of str or int to ndarray
            The gradients at the layers of `record`, by what was given, with what was fed in there.

        Raises
        ------
        RuntimeError
            If there was no forward for it.
        ValueError
            If there is no such layer, the forward has ended before it, or a gradient is not of
            the shape of its output.
        """
        if self._run is None:
            raise RuntimeError("each backward needs a forward with backward=True before it")
        nodes = {layer: self._node(layer) for layer in record}
        first = 0 if to_input else min((self._places[node] for node in nodes.values()), default=0)
        last = max(map(self._place_reached, (*gradients, *record)), default=-1)
        chain = self._twin.nodes[first : last + 1]
        run = replace(
            self._run,
            saved=dict(self._run.saved),
            injected=self._injected(gradients),
            watched=frozenset(nodes.values()),
            seen={},
            rule=rule,
        )
        end = chain[-1].output_shape if chain else self._network.input_shape
        dX = chain_backward(chain, np.zeros((self._n_samples, *end), self._twin.dtype), True, run)
        return (dX if to_input else None), {layer: run.seen[node] for layer, node in nodes.items()}

    def _injected(self, gradients):
        """The gradients by node."""
        injected = {}
        for layer, gradient in gradients.items():
            node = self._node(layer)
            shape = (self._n_samples, *node.output_shape)
            name, of = f"the gradient of layer {layer!r}", "its output"
            gradient = check_gradient(gradient, shape, self._twin.dtype, name, of)
            injected[node] = injected[node] + gradient if node in injected else gradient
        return injected

    def _place_reached(self, layer):
        """The place of the node at the top that a layer is, or is in."""
        place = self._places[self._node(layer)]
        if place >= self._stop:
            raise ValueError(
                f"the forward has ended before layer {layer!r}: have it, or one after it, in its "
                "record"
            )
        return place
