"""Output layers: those of auxiliary heads, which the target makes, and what all begin with."""

from ..layers.auxiliary import AuxiliaryHead, has_heads, with_outputs
from ..layers.blocks import Parallel
from ..layers.composition import Sequential, ShapeError, check_layers, with_channels
from ..objectives import WithHeads

#: A factor on the first weights of output layers. What random weights make of X has to be unlearnt
#: before anything is learnt; without any weights, a deep network would begin to learn too late. It
#: is a power of two, so that networks of both precisions start alike.
OUTPUT_SCALE = 0.25


def complete_heads(pairs, input_shape, output_shape, output_layers):
    """The user's layers, with output layers at the end of each auxiliary head.

    Parameters
    ----------
    pairs : list of (str, Layer)
    input_shape : tuple of int
        Shape of a sample.
    output_shape : tuple of int
        What the output layers of the network make of a sample.
    output_layers : callable
        The `(name, layer)` pairs of the output layers, for the shape of what is before them.

    Returns
    -------
    list of (str, Layer)

    Raises
    ------
    ValueError
        If y holds maps, or the output of a head would have another shape.
    """
    if not has_heads(pairs):
        return pairs

    def complete(path, head, shape):
        if len(output_shape) > 1:
            raise ValueError(
                f"layer {path!r}: an AuxiliaryHead predicts what is flat, but y holds maps, and "
                f"the output has the shape {output_shape}: leave the head out"
            )
        own = check_layers(head.layers, path, reserved=("output",))
        outputs = output_layers(Sequential(own).output_shape(shape))
        if len(outputs) > 1:  # a class and a box
            outputs = [("output", Parallel([layer for _, layer in outputs]))]
        made = Sequential([*own, *outputs]).output_shape(shape)
        if made != output_shape:
            raise ShapeError(
                path,
                f"its output would have the shape {made}, that of the network is {output_shape}: "
                "end the head as the network ends",
            )
        return AuxiliaryHead([*own, *outputs], head.weight)

    return with_outputs(pairs, with_channels(pairs, input_shape), complete)


def shrink_outputs(network):
    """Lets output layers begin with smaller weights than others: see `OUTPUT_SCALE`."""
    arrays = network.parameters()
    heads = [f"{head.path}/output" for head in network.heads]
    for path in ("output", *heads, *(f"{path}/branch1" for path in heads)):
        if f"{path}/weight" in arrays:
            arrays[f"{path}/weight"] *= OUTPUT_SCALE


def begin_heads(network):
    """Lets an output of a head begin as that of the network does, where that has no weights."""
    arrays = network.parameters()
    for head in network.heads:
        path = f"{head.path}/output"
        for own, name in (("output", ""), ("output", "/branch1"), ("box", "/branch2")):
            weight = f"{path}{name}/weight"
            if weight in arrays and not arrays[f"{own}/weight"].any():
                arrays[weight][...] = 0
                arrays[f"{path}{name}/bias"][...] = arrays[f"{own}/bias"]


def whole_objective(objective, network):
    """The objective of training with the losses of the heads."""
    if not network.heads:
        return objective
    return WithHeads(objective, network.output_shape[-1], [head.weight for head in network.heads])
