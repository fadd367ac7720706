"""The vector of all parameters: what lies where in it."""

from math import prod
from typing import NamedTuple

from ..layers.composition import ShapeError
from ..layers.shapes import check_values
from .node import walk


class Segment(NamedTuple):
    """Where a parameter lies in the vector of all parameters."""

    path: str
    start: int
    stop: int
    shape: tuple
    decayed: bool
    trainable: bool


def check_weight(path, shape):
    """Raises ShapeError for a weight that no memory holds."""
    try:
        check_values(shape, "this weight")
    except ValueError as error:
        raise ShapeError(path, str(error)) from None


def check_same_arrays(other, network):
    """Raises ShapeError unless two networks have weights and statistics of the same sizes."""
    own = {path: array.size for path, array in network.buffers().items()}
    own.update((segment.path, prod(segment.shape)) for segment in network.segments)
    found = {segment.path: segment.shape for segment in other.segments}
    for node in walk(other.nodes):
        found.update((f"{node.path}/{name}", a.shape) for name, a in node.buffers.items())
    for path, shape in found.items():
        if own.get(path) != prod(shape):
            layer, _, name = path.rpartition("/")
            raise ShapeError(
                layer, f"its {name} would have the shape {shape}, but has {own.get(path, 0)} values"
            )


def check_same_sizes(nodes, own):
    """Raises ShapeError where a node of a resized network sees another size than it may: as many
    values, so that the weights fit, may lie elsewhere."""
    for node, before in zip(walk(nodes), walk(own), strict=True):
        if node.one_size and node.input_shape != before.input_shape:
            raise ShapeError(
                node.path, f"it would see {node.input_shape}, but is for {before.input_shape}"
            )


def merged_stretches(segments, weight_decay, decay_all):
    """Start and stop of stretches of trained segments of equal decay, and these decays."""
    rows, decay = [], []
    mergeable = False
    for segment in segments:
        wanted = weight_decay if segment.decayed or decay_all else 0.0
        if not segment.trainable:
            mergeable = False
        elif mergeable and decay[-1] == wanted:
            rows[-1][1] = segment.stop
        else:
            rows.append([segment.start, segment.stop])
            decay.append(wanted)
            mergeable = True
    return rows, decay
