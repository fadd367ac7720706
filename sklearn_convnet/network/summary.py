"""The table that `summary` returns, with the memory under it."""

from math import prod

from ..diagram import shape_text
from ..layers.fields import Field, fields_of
from ..layers.tree import parts_of_network
from ..tables import Table
from .node import walk

MAPS = {"training": "maps and their gradients", "prediction": "maps"}
COLUMNS = [
    "layer", "kind", "output shape", "units", "receptive field", "parameters", "multiply-adds",
]  # fmt: skip


def field_text(seen):
    """A receptive field as people write it."""
    return seen if seen == "all" else shape_text(seen)


def network_summary(network, **n_samples):
    """A row for each layer: what it makes of a sample, what it sees of it, and what that takes.

    Under it is what maps take in memory: of batches of the sizes that are given, which have not to
    run for it; otherwise of those that ran lately.

    Parameters
    ----------
    network : Network
    **n_samples : int
        The largest batch for ``training`` or ``prediction``.

    Returns
    -------
    Table
    """
    # Layers inside a block count for the block. An auxiliary head computes nothing of a sample.
    counts, work = {}, {}
    tops = {path for path, *_ in network.table}
    for segment in network.segments:
        top = top_path(segment.path, tops)
        counts[top] = counts.get(top, 0) + prod(segment.shape)
    for node in walk(node for node in network.nodes if not node.is_auxiliary):
        top = top_path(node.path, tops)
        work[top] = work.get(top, 0) + node.multiply_adds
    parts = parts_of_network(network.layers, network.input_shape)
    fields = fields_of(parts, Field.of_input(network.input_shape))
    rows = [("input", None, network.input_shape, None, None, None, None)]
    for path, layer, _, shape in network.table:
        kind, seen = type(layer).__name__, seen_by(fields[path])
        numbers = (counts.get(path, 0), work.get(path, 0))
        rows.append((path, kind, shape, prod(shape), seen, *numbers))
    units, *totals = (sum(row[i] or 0 for row in rows) for i in (3, 5, 6))
    notes = []
    ran = network.peak_memory()
    for name in MAPS:
        if name in n_samples:
            n = n_samples[name]
            ran[name] = n, network.planned_memory(n, training=name == "training")
        if name in ran:
            n, n_bytes = ran[name]
            memory = f"{n_bytes / 2**20:,.1f} MiB for {MAPS[name]}"
            notes.append(f"{name} of {n:,} samples: {memory}")
    formats = {
        "output shape": shape_text,
        "units": ",",
        "receptive field": field_text,
        "parameters": ",",
        "multiply-adds": ",",
    }
    total = ("total", None, None, units, None, *totals)
    return Table(COLUMNS, rows, formats, notes, total)


def seen_by(field):
    """The size of a receptive field, "all" if units see all there is, None without positions."""
    if field.is_whole:
        return "all"
    return tuple(axis.size for axis in field.axes) or None


def top_path(path, tops):
    """The path among `tops` that `path` is or lies under."""
    while path not in tops:
        path = path.rpartition("/")[0]
    return path
