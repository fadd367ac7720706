"""Statistics of the data, which some layers need before training begins."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from numpy.typing import NDArray

from ..threads import effective_n_threads
from .node import Node, chain_forward, walk


class StatisticsMixin:
    """Lets the nodes of a network compute statistics of the data."""

    def fit_statistics(
        self,
        batches: Callable[[], Iterator[tuple[NDArray[Any], NDArray[Any]]]],
        known: Collection[str] = (),
    ) -> None:
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
        for i, node in self.nodes_to_measure(known):
            node.fit_statistics(self.seen_at(i, batches()))

    def nodes_to_measure(self, known: Collection[str] = ()) -> list[tuple[int, Node]]:
        """The nodes that `fit_statistics` is for.

        Parameters
        ----------
        known : collection of str, default=()
            As in `fit_statistics`.

        Returns
        -------
        list of (int, Node)
            Those outside of blocks, with their numbers, in order.

        Raises
        ------
        ValueError
            If there is one inside of a block.
        """
        for node in walk(self._nodes):
            if hasattr(node, "fit_statistics") and node not in self._nodes:
                raise ValueError(
                    f"layer {node.path!r}: statistics of the data are computed before "
                    "training, for layers outside of blocks only; put it before the block"
                )
        return [
            (i, node)
            for i, node in enumerate(self.fused())
            if hasattr(node, "fit_statistics")
            and not all(f"{node.path}/{name}" in known for name in node.buffers)
        ]

    def seen_at(
        self, i: int, batches: Iterable[tuple[NDArray[Any], NDArray[Any]]]
    ) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Maps of batches as node i sees them, and their weights.

        Parameters
        ----------
        i : int
            Number of the node.
        batches : iterable of (ndarray, ndarray)
            Batches of X, and their weights.

        Yields
        ------
        (ndarray, ndarray)
        """
        for X, weight in batches:
            yield self.resized(X.shape[1:])._through(X, i), weight

    def _through(self, X, n_nodes):
        X, features = self.check_input(X)
        run = self._eager_pass(effective_n_threads(), features)
        return chain_forward(self.fused()[:n_nodes], X, run)
