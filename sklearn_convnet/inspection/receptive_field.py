"""Receptive fields: the part of a sample that a unit sees."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

from .._typing import PerAxis
from ..estimators.classifier import ConvNetClassifier
from ..estimators.regressor import ConvNetRegressor
from ..layers.fields import Field, fields_of
from ..layers.shapes import plain
from ..layers.tree import parts_of_network
from ..network.network import Network
from .samples import network_of


@dataclass(frozen=True)
class ReceptiveField:
    """The part of a sample that a unit of a layer sees.

    All numbers are for each axis of a sample besides the channels; a unit sees all channels, or
    those of its group. Of a flat sample there are none.

    Parameters
    ----------
    size : tuple of int
        The most positions that a unit sees, from its first to its last. What lies in the padding
        counts, so that it may be larger than a sample; for a layer whose units see all positions,
        such as `Dense`, it is what there is of them.
    stride : tuple of int or Fraction
        How much further on the next unit sees. After layers that enlarge maps it is the mean, which
        may be no whole number. Zero where all units see the same.
    start : tuple of int
        The first position that the first unit sees; negative in the padding. In a network that
        enlarges no maps, unit ``o`` sees the `size` positions from ``start + o * stride`` on.
    slices : tuple of slice or None
        Exactly the first to the last position that one unit sees, within the sample:
        ``x[slices]`` is what it sees of a sample `x`. None if no unit was asked for, and units see
        different things. It is more than that only where a branch of a block sees nothing but
        padding along one axis, which counts along the others.
    """

    size: tuple
    stride: tuple
    start: tuple
    slices: tuple | None = None


def receptive_field(
    estimator_or_network: ConvNetClassifier | ConvNetRegressor | Network,
    layer: str | int,
    unit: PerAxis | None = None,
) -> ReceptiveField:
    """The receptive field of a layer: what its units see of a sample.

    It follows from the sizes, strides, paddings and dilations of the layers, at any depth, and says
    which values can matter; whether they do is a matter of weights. In a `Residual`, a `Parallel`
    and a `DenseBlock` it is the union of the branches; a layer that mixes all positions, such as
    `Dense`, `SelfAttention` and global pools, sees what any unit before it sees. It is that of a
    prediction: in training, the statistics of a batch depend on everything.

    Parameters
    ----------
    estimator_or_network : ConvNetClassifier, ConvNetRegressor or Network
        Fitted, or compiled.
    layer : str or int
        Path of a layer, such as "conv1", "residual1/conv2d1" or "output", or its index among the
        estimator's `layers_`.
    unit : int or tuple of int, default=None
        Position of a unit on the layer's map, without its channel.

    Returns
    -------
    ReceptiveField
        With an estimator that has `multi_crop`, it is within a crop.

    Raises
    ------
    ValueError
        If there is no such layer, or no such unit.
    TypeError
        If it is neither an estimator nor a network, or the layer neither a path nor an index.

    References
    ----------
    A. Araujo, W. Norris and J. Sim, "Computing receptive fields of convolutional neural networks",
    Distill, 2019.

    Examples
    --------
    >>> from sklearn_convnet.architectures import lenet5
    >>> from sklearn_convnet.inspection import receptive_field
    >>> from sklearn_convnet.network import compile_network
    >>> network = compile_network(lenet5(), (28, 28))
    >>> field = receptive_field(network, "pool2", unit=(0, 3))
    >>> field.size, field.stride, field.start
    ((16, 16), (4, 4), (0, 0))
    >>> field.slices
    (slice(0, 16, None), slice(12, 28, None))
    """
    path, field = field_of_layer(network_of(estimator_or_network), layer)
    sizes = field.shape[:-1]
    unit = () if unit is None and not sizes else unit
    at = None if unit is None else check_unit(unit, sizes, path)
    return ReceptiveField(
        tuple(axis.size for axis in field.axes),
        tuple(plain_number(axis.stride) for axis in field.axes),
        tuple(axis.start for axis in field.axes),
        None if at is None and not field.is_whole else slices_of(field, at),
    )


def field_of_layer(network, layer):
    """The path and the `Field` of a layer of a network, which has a path or an index."""
    parts = parts_of_network(network.layers, network.input_shape)
    path = network.probe().path(layer) or parts[-1].path
    fields = fields_of(parts, Field.of_input(network.input_shape))
    return path, fields[path_of_field(path, fields)]


def path_of_field(path, fields):
    """The layer whose field that of a path is.

    A chain without a layer of its own, such as "residual1/shortcut", sees what its last layer sees;
    a step of a layer, such as "conv1/activation", what the layer sees.
    """
    while path not in fields:
        inside = [below for below in fields if below.startswith(f"{path}/")]
        path = inside[-1] if inside else path.rpartition("/")[0]
    return path


def slices_of(field, unit):
    """From the first to the last position that a unit sees; empty if it sees nothing."""
    ends = field.ends(unit)
    if ends is None:
        return (slice(0, 0),) * len(field.axes)
    return tuple(slice(first, last + 1) for first, last in ends)


def plain_number(fraction):
    """An int where it is whole."""
    return int(fraction) if fraction.denominator == 1 else fraction


def check_unit(unit, sizes, path):
    """The position of a unit as a tuple.

    Raises
    ------
    ValueError
        If the map of these sizes has no such position.
    """
    at = plain(unit)
    at = (at,) if isinstance(at, Integral) else at
    if (
        not isinstance(at, (tuple, list))
        or len(at) != len(sizes)
        or not all(
            isinstance(i, Integral) and not isinstance(i, bool) and 0 <= i < size
            for i, size in zip(at, sizes, strict=True)
        )
    ):
        wanted = "(), as it has no positions" if not sizes else f"a position on its {sizes} map"
        raise ValueError(f"unit of layer {path!r} must be {wanted}, got {unit!r}")
    return tuple(int(i) for i in at)
