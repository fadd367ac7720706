"""A network for samples of another size: other nodes over the very same arrays."""

from __future__ import annotations

from typing import Any, Self

from ..layers.auxiliary import without_heads
from ..layers.base import Layer
from ..layers.composition import with_channels
from .passes import named_passes
from .segments import check_same_arrays, check_same_sizes

#: So many networks for other sizes are kept, those asked for last.
MAX_SIZES = 64


class ResizableMixin:
    """Networks that share the parameters of this one."""

    def sharing(self, layers: list[tuple[str, Layer]], input_shape: tuple[int, ...]) -> Self:
        """The same weights in other layers, or for samples of another shape.

        Parameters
        ----------
        layers : list of (str, Layer)
            Layers whose weights and statistics have the paths of this network's, and as many
            values in the same order.
        input_shape : tuple of int
            Shape of a sample, with channels.

        Returns
        -------
        Network
            It has the very arrays of this network.

        Raises
        ------
        ShapeError
            If a layer does not fit the shape, or has other weights; the message names it.
        """
        other = object.__new__(type(self))
        own = {"layers": layers, "_given_shape": tuple(input_shape)}
        state: Any = self.__getstate__()
        other.__dict__.update({**state, **own})
        other._passes = named_passes(other.__dict__.pop("passes"))
        other._build()
        check_same_arrays(other, self)
        other._bind()
        return other

    def resized(self, input_shape: tuple[int, ...], training: bool = False) -> Self:
        """The network for samples of another size, with the same weights.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of a sample.
        training : bool, default=False
            Whether it is to train, so that auxiliary heads have to fit as well. A prediction does
            without them.

        Returns
        -------
        Network
            It may train as this one does: both write the same gradients and statistics, and one of
            them at a time waits for its backward. Those that were asked for last are kept.

        Raises
        ------
        ShapeError
            If a layer does not fit the shape, or would have other weights; the message names it.
        """
        if input_shape in (self.input_shape, self._given_shape):
            return self
        shape = with_channels(self.layers, input_shape)
        if shape == self.input_shape:
            return self
        bare = bool(self.heads) and not training
        network = self._resized.find((shape, bare))
        if network is None:
            layers, nodes = self.layers, self.nodes
            if bare:
                layers = without_heads(layers)
                nodes = [node for node in nodes if not node.is_auxiliary]
            network = self.sharing(layers, input_shape)
            check_same_sizes(network.nodes, nodes)
            network._lender = self
            network._arena, network._idle = self._arena, self._idle
            self._resized.add((shape, bare), network, MAX_SIZES)
        network.step, network.part, network._seed = self.step, self.part, self._seed
        return network

    def _lent_gradients(self):
        """The gradients of the network that this one is a size of, which both write; None if it is
        of none."""
        if self._lender is None:
            return None
        if self._lender.grads is None:
            self._lender._make_gradients()
        return self._lender.grads
