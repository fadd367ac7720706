"""The table that `summary` returns, and the memory under it."""

from math import prod

from .node import walk

MAPS = {"training": "maps and their gradients", "prediction": "maps"}


def network_summary(network):
    """One row a layer: path, kind, output shape, parameters and multiply-adds.

    Under it, what the maps took in memory, as far as they were ever computed.

    Parameters
    ----------
    network : Network

    Returns
    -------
    str
    """
    # Layers inside a block count for the block.
    counts, work = {}, {}
    tops = {path for path, *_ in network.table}
    for segment in network.segments:
        top = top_path(segment.path, tops)
        counts[top] = counts.get(top, 0) + prod(segment.shape)
    for node in walk(network.nodes):
        top = top_path(node.path, tops)
        work[top] = work.get(top, 0) + node.multiply_adds
    rows = [("layer", "kind", "output shape", "parameters", "multiply-adds")]
    rows.append(("input", "", shape_text(network.input_shape), "", ""))
    for path, layer, _, shape in network.table:
        rows.append(
            (
                path,
                type(layer).__name__,
                shape_text(shape),
                f"{counts.get(path, 0):,}",
                f"{work.get(path, 0):,}",
            )
        )
    total = (f"{sum(counts.values()):,}", f"{sum(work.values()):,}")
    rows.append(("total", "", "", *total))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = []
    for row in rows:
        texts = [text.ljust(width) for text, width in zip(row[:3], widths, strict=False)]
        texts += [text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join(texts).rstrip())
    rule = "-" * max(map(len, lines))
    memory = [
        f"{name} of {n:,} samples: {n_bytes / 2**20:,.1f} MiB for {MAPS[name]}"
        for name, (n, n_bytes) in network.peak_memory().items()
    ]
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], *memory])


def shape_text(shape):
    """A shape as people write it: 28 x 28 x 6."""
    return " x ".join(map(str, shape))


def top_path(path, tops):
    """The path among `tops` that `path` is or lies under."""
    while path not in tops:
        path = path.rpartition("/")[0]
    return path
