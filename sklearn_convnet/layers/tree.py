"""A network as a tree: each layer with its path and its shapes, and the layers inside it."""

from dataclasses import dataclass

from .composition import check_layers, with_channels


@dataclass
class Part:
    """A layer in its place.

    Parameters
    ----------
    path, name : str
        "block1/conv1" and "conv1".
    layer : Layer
        The layer.
    input_shape, output_shape : tuple of int
        Shapes of one sample.
    chains : list of list of Part
        The layers inside a block; chains stand side by side.
    """

    path: str
    name: str
    layer: object
    input_shape: tuple
    output_shape: tuple
    chains: list


def parts_of(layers, input_shape, prefix=""):
    """The parts of layers one after the other.

    Parameters
    ----------
    layers : list or tuple
        Layers or `(name, layer)` pairs, which fit.
    input_shape : tuple of int
        Shape of one sample.
    prefix : str, default=""
        Put before the names.

    Returns
    -------
    list of Part
    """
    parts, shape = [], tuple(input_shape)
    for name, layer in check_layers(layers):
        path = layer.own_path(prefix + name)
        inside = layer.path_inside(prefix + name)
        chains = [
            parts_of(chain.layers, chain.input_shape, inside + chain.prefix)
            for chain in layer.chains(shape)
        ]
        out = layer._output_shape(shape)
        parts.append(Part(path, name, layer, shape, out, chains))
        shape = out
    return parts


def parts_of_network(layers, input_shape):
    """The same of a whole network, whose samples may lack the axis of channels."""
    return parts_of(layers, with_channels(layers, input_shape))


def walk_parts(parts):
    """All parts, those inside of a block before it."""
    for part in parts:
        for chain in part.chains:
            yield from walk_parts(chain)
        yield part
