"""A network from arrays that are there already, such as those of a file."""

import numpy as np

from .network import Network
from .node import walk
from .passes import PASSES


def network_from_arrays(layers, input_shape, dtype, arrays, *, step=0, seed=0):
    """Make layers executable, with the parameters and statistics that another network had.

    Nodes are made first, which takes no memory; the arrays are compared with them before any is
    allocated.

    Parameters
    ----------
    layers : list of (str, Layer)
        As `Network.layers` has them; they are not copied.
    input_shape : tuple of int
        What the other network was compiled for.
    dtype : {"float32", "float64"}
        What it computes in.
    arrays : dict of str to ndarray
        All parameters and statistics, by path. They are copied.
    step, seed : int
        Number of the training step, and what masks are a function of besides.

    Returns
    -------
    Network

    Raises
    ------
    ValueError
        If a layer is invalid, or an array is missing, is none of the network's, or has another
        shape or dtype than the network's, or holds a number that is not finite.
    """
    network = object.__new__(Network)
    network.__dict__.update(
        layers=layers,
        _given_shape=tuple(input_shape),
        dtype=np.dtype(dtype),
        _passes=PASSES,
        step=step,
        _seed=seed,
    )
    network._build()
    _check_arrays(expected_arrays(network), arrays)
    network.params = network._first_params()
    for path, own in network.parameters().items():
        own[...] = arrays[path]
    statistics = [f"{node.path}/{name}" for node in walk(network.nodes) for name in node.buffers]
    network._buffers = {path: np.array(arrays[path]) for path in statistics}
    network._bind()
    return network


def facts_of(network):
    """The arguments of `network_from_arrays` that make a network again.

    Raises
    ------
    ValueError
        If it was compiled with passes of its own, which are code.
    """
    state = network.__getstate__()
    if state["passes"] is not None:
        raise ValueError("the network was compiled with passes of its own, which are code")
    return {
        "layers": network.layers,
        "input_shape": state["_given_shape"],
        "dtype": network.dtype.name,
        "arrays": {**network.parameters(), **network.buffers()},
        "step": network.step,
        "seed": state["_seed"],
    }


def expected_arrays(network):
    """`(shape, dtype)` of each parameter and statistic, by path; its nodes are enough to know."""
    expected = {s.path: (s.shape, network.dtype) for s in network.segments}
    for node in walk(network.nodes):
        for name, array in node.buffers.items():
            expected[f"{node.path}/{name}"] = (array.shape, array.dtype)
    return expected


def _check_arrays(expected, arrays):
    for path, (shape, dtype) in expected.items():
        if path not in arrays:
            raise ValueError(f"the array {path!r} of shape {shape} is missing")
        found = arrays[path]
        if (found.shape, found.dtype) != (shape, dtype):
            raise ValueError(
                f"the array {path!r} has shape {found.shape} and dtype {found.dtype}, but the "
                f"layers need shape {shape} and dtype {dtype}"
            )
        if not np.isfinite(found).all():
            raise ValueError(f"the array {path!r} holds numbers that are not finite")
    unknown = [path for path in arrays if path not in expected]
    if unknown:
        raise ValueError(f"the array {unknown[0]!r} belongs to none of the layers")
