"""Attention over positions."""

from __future__ import annotations

from math import prod
from numbers import Integral

from .._typing import PerAxis
from ..constraints import Interval, StrOptions
from ..initializers import INITIALIZERS
from .base import Layer
from .pool import MaxPool1D, MaxPool2D, MaxPool3D
from .shapes import AXIS_NAMES, check_values


def check_positions(what, input_shape):
    """Raises ValueError for a flat shape."""
    if len(input_shape) < 2:
        raise ValueError(
            f"{what} needs positions, got the flat shape {input_shape}: "
            "put it before Flatten and Dense"
        )


class SelfAttention(Layer):
    """Attention of each position to all positions, added to the input.

    With queries ``Q = X W_q + b_q``, and keys K and values V likewise, each head computes
    ``softmax(Q K' / sqrt(d)) V``. The heads are concatenated, multiplied by an output matrix and
    added to the input: Vaswani et al., "Attention is all you need", 2017.

    Parameters
    ----------
    n_heads : int, default=1
        Number of heads, a divisor of the number of channels.
    relative_position : bool, default=False
        Whether each head adds to the scores a learnt number for each offset between two positions
        (Shaw et al., 2018, in the form of a bias).
    residual : bool, default=True
        Whether the input is added.
    kernel_initializer : str, default="auto"
        See :class:`Conv2D`.
    trainable : bool, default=True
        Whether training changes the weights.

    Notes
    -----
    The weights are ``query``, ``key``, ``value`` and ``output``, each of shape
    ``(channels, channels)``, a bias for each of them, and ``position`` of shape
    ``(n_offsets, n_heads)``. Memory grows with the square of the number of positions.

    Examples
    --------
    >>> from sklearn_convnet.layers import SelfAttention
    >>> SelfAttention(n_heads=4).output_shape((7, 7, 64))
    (7, 7, 64)
    """

    _parameter_constraints = {
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "relative_position": ["boolean"],
        "residual": ["boolean"],
        "kernel_initializer": [StrOptions(INITIALIZERS)],
        "trainable": ["boolean"],
    }

    def __init__(
        self,
        n_heads: int = 1,
        relative_position: bool = False,
        residual: bool = True,
        kernel_initializer: str = "auto",
        trainable: bool = True,
    ) -> None:
        self.n_heads = n_heads
        self.relative_position = relative_position
        self.residual = residual
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """Number of multiply-adds for one sample.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        int
        """
        positions, channels = prod(input_shape[:-1]), input_shape[-1]
        return 4 * positions * channels**2 + 2 * positions**2 * channels

    def _output_shape(self, input_shape):
        check_positions("SelfAttention", input_shape)
        if input_shape[-1] % self.n_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must divide the {input_shape[-1]} channels of its input"
            )
        positions = prod(input_shape[:-1])
        check_values((self.n_heads, positions, positions), "its scores")
        return input_shape


class NonLocal(Layer):
    """Adds to each position a mean of all positions, weighted by their similarity.

    The non-local block, with embedded Gaussians, of Wang, Girshick, Gupta and He, "Non-local neural
    networks", 2018: ``Y = X + W_z softmax(theta(X)' phi(X)) g(X)``, with theta, phi, g and W_z
    affine in the channels. W_z starts at zero, so the block starts as the identity and can be
    inserted into a trained network.

    Parameters
    ----------
    channels : int or None, default=None
        Number of channels of theta, phi and g; None is half of the input's.
    pool_size : int, tuple of int or None, default=None
        Size, along each axis, of the windows of a max pool before phi and g: for images, 2 takes a
        quarter of the work. None is no pool.
    scaled : bool, default=False
        Whether the scores are divided by the square root of `channels`, as in
        :class:`SelfAttention`.
    kernel_initializer : str, default="auto"
        Of theta, phi and g: see :class:`Conv2D`.
    trainable : bool, default=True
        Whether training changes the weights.

    Notes
    -----
    The weights are ``query`` (theta), ``key`` (phi) and ``value`` (g), each of shape ``(input
    channels, channels)``, ``output`` (W_z) of shape ``(channels, input channels)``, and a bias
    for each of them. Memory grows with the square of the number of positions; with
    `pool_size`, with the product of the numbers before and after the pool.

    Examples
    --------
    >>> from sklearn_convnet.layers import NonLocal
    >>> NonLocal(pool_size=2).output_shape((14, 14, 64))
    (14, 14, 64)
    """

    _parameter_constraints = {
        "channels": [Interval(Integral, 1, None, closed="left"), None],
        "pool_size": "no_validation",
        "scaled": ["boolean"],
        "kernel_initializer": [StrOptions(INITIALIZERS)],
        "trainable": ["boolean"],
    }

    def __init__(
        self,
        channels: int | None = None,
        pool_size: PerAxis | None = None,
        scaled: bool = False,
        kernel_initializer: str = "auto",
        trainable: bool = True,
    ) -> None:
        self.channels = channels
        self.pool_size = pool_size
        self.scaled = scaled
        self.kernel_initializer = kernel_initializer
        self.trainable = trainable

    def inner_channels(self, input_shape: tuple[int, ...]) -> int:
        """Number of channels of queries, keys and values.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        int
        """
        return max(1, input_shape[-1] // 2) if self.channels is None else int(self.channels)

    def pool(self, input_shape: tuple[int, ...]) -> Layer | None:
        """The layer that pools what keys and values see.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        Layer or None
        """
        if self.pool_size is None:
            return None
        n_axes = len(input_shape) - 1
        if n_axes not in AXIS_NAMES:
            raise ValueError(f"pool_size needs 1 to 3 axes of positions, got shape {input_shape}")
        return (MaxPool1D, MaxPool2D, MaxPool3D)[n_axes - 1](self.pool_size)

    def key_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of what keys and values see.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        tuple of int
        """
        pool = self.pool(input_shape)
        return tuple(input_shape) if pool is None else pool.output_shape(input_shape)

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """Number of multiply-adds for one sample.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        int
        """
        inner = self.inner_channels(input_shape)
        queries, keys = prod(input_shape[:-1]), prod(self.key_shape(input_shape)[:-1])
        return 2 * (queries + keys) * input_shape[-1] * inner + 2 * queries * keys * inner

    def _output_shape(self, input_shape):
        check_positions("NonLocal", input_shape)
        inner = self.inner_channels(input_shape)
        check_values((*input_shape[:-1], inner), "its queries")
        positions = prod(input_shape[:-1])
        check_values((positions, prod(self.key_shape(input_shape)[:-1])), "its scores")
        return input_shape
