"""From nodes of a network to calls in C: one table says what writes which.

The nodes are those that `to_onnx` walks, as the layers say, with batch norms in weights alike.
"""

from ..by_class import ByClass

_WRITERS = ByClass()


def writes_c(*node_types):
    """Function decorator: of a node of these classes, its input and the program, it returns the
    output."""
    return _WRITERS.enters(*node_types)


def writer_of(node):
    """The function that writes a node.

    Raises
    ------
    NotImplementedError
        If there is none; the message names the layer.
    """
    writer = _WRITERS.of(node)
    if writer is None:
        raise NotImplementedError(
            f"layer {node.path!r}: {type(node).__name__} has no form in C here: to_onnx writes "
            "models for other programs"
        )
    return writer


def write_chain(nodes, x, program):
    """The output of nodes one after the other."""
    for node in nodes:
        if node not in program.absorbed:
            x = writer_of(node)(node, x, program)
    return x
