"""From nodes of a network to calls in C: one table says what writes which.

The nodes are those that `to_onnx` walks, as the layers say, with batch norms in weights alike.
"""

_WRITERS = {}


def writes_c(*node_types):
    """Function decorator: of a node of these classes, its input and the program, it returns the
    output."""

    def register(function):
        _WRITERS.update(dict.fromkeys(node_types, function))
        return function

    return register


def writer_of(node):
    """The function that writes a node.

    Raises
    ------
    NotImplementedError
        If there is none; the message names the layer.
    """
    for kind in type(node).__mro__:
        if kind in _WRITERS:
            return _WRITERS[kind]
    raise NotImplementedError(
        f"layer {node.path!r}: {type(node).__name__} has no form in C here: to_onnx writes models "
        "for other programs"
    )


def write_chain(nodes, x, program):
    """The output of nodes one after the other."""
    for node in nodes:
        if node not in program.absorbed:
            x = writer_of(node)(node, x, program)
    return x
