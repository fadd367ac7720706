"""Weights of one network for another: what `init_from` does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator

from .._typing import PathLike
from ..layers import Activation, Dense, Dropout, Flatten
from ..messages import about, warn_caller
from ..tensor_files import is_weights_path, read_weights
from .checks import check_range

#: What `init_from` may be.
InitialWeights = Mapping[str, NDArray[Any]] | PathLike | FrozenEstimator | None

#: So many problems with weights are named in a message.
NAMED_PROBLEMS = 10


def weights_of(init_from):
    """The arrays that `init_from` holds, by path.

    Raises
    ------
    TypeError
        If it is neither a dict nor a frozen estimator with `get_weights` nor the path of a file.
    ValueError
        If the file is damaged.
    """
    if is_weights_path(init_from):
        with about("init_from"):
            return read_weights(init_from)
    if isinstance(init_from, FrozenEstimator) and hasattr(init_from, "get_weights"):
        return init_from.get_weights()
    if isinstance(init_from, Mapping):
        return init_from
    problem = (
        "init_from must be a dict of arrays by path, the path of a .safetensors file or a "
        "FrozenEstimator"
    )
    if hasattr(init_from, "get_weights"):
        name = type(init_from).__name__
        raise TypeError(
            f"{problem}, got a bare {name}, which `clone` would empty: give "
            "fitted.get_weights() or FrozenEstimator(fitted)"
        )
    raise TypeError(f"{problem} of a network with get_weights, got {init_from!r}")


def copy_weights(network, weights):
    """Copies the arrays whose path and shape the network has; warns of the others.

    Parameters
    ----------
    network : Network
        Its parameters and statistics are overwritten.
    weights : dict of str to array-like
        By path.

    Returns
    -------
    set of str
        The paths that were copied.

    Raises
    ------
    ValueError
        If there are none, or an array holds what is no finite number in the network's dtype.
    """
    own = {**network.parameters(), **network.buffers()}
    maps = maps_of_weights(network)
    copied, left = set(), []
    for path, given in weights.items():
        array = np.asarray(given)
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise ValueError(f"init_from: {path!r} must be an array of finite numbers")
        if path not in own:
            left.append(f"{path!r}, which this network does not have")
        elif array.shape != own[path].shape:
            left.append(other_shape(path, array.shape, own[path].shape, maps))
        else:
            check_range(array, own[path].dtype, f"init_from[{path!r}]")
            own[path][...] = array
            copied.add(path)
    if not copied:
        raise ValueError(
            f"init_from: none of its arrays {list(weights)} has the path and shape of one of "
            f"this network's {list(own)}: give the layers the same names. {'; '.join(left)}"
        )
    if left:
        warn_caller(f"init_from: these were not copied: {'; '.join(left)}", UserWarning)
    return copied


def checked_weights(network, weights, beside):
    """All weights that a network has, as arrays by path.

    Parameters
    ----------
    network : Network
    weights : dict of str to array-like
        By path.
    beside : dict of str to ndarray
        What has to be there besides the network's parameters and statistics.

    Raises
    ------
    TypeError
        If `weights` is no dict.
    ValueError
        If one is missing, is none of the network's, has another shape, or holds what is no finite
        number in its dtype. The message names them.
    """
    if not isinstance(weights, Mapping):
        raise TypeError(f"weights must be a dict of arrays by path, got {weights!r}")
    own = {**network.parameters(), **network.buffers(), **beside}
    arrays, maps = {}, maps_of_weights(network)
    problems = [f"{path!r} is missing" for path in own if path not in weights]
    for path, given in weights.items():
        try:
            arrays[path] = _fitting(path, given, own, maps)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError(f"weights do not fit this network: {listed(problems)}")
    return arrays


def listed(problems):
    """Problems in words, the first of them where there are many."""
    more = len(problems) - NAMED_PROBLEMS
    return "; ".join([*problems[:NAMED_PROBLEMS], *([f"and {more} more"] if more > 0 else [])])


def _fitting(path, given, own, maps):
    """An array for the path; raises ValueError if it does not fit."""
    if path not in own:
        raise ValueError(f"{path!r} is none of its weights")
    array = np.asarray(given)
    if array.shape != own[path].shape:
        raise ValueError(other_shape(path, array.shape, own[path].shape, maps))
    if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
        raise ValueError(f"{path!r} must be an array of finite numbers")
    check_range(np.atleast_1d(array), own[path].dtype, repr(path))
    return array


def other_shape(path, shape, own, maps):
    """Words for an array whose shape is not that of the network's."""
    fix = from_torch(shape, own, maps.get(path))
    return f"{path!r} of shape {shape}, which is {own} here{fix}"


def maps_of_weights(network):
    """By the path of the weights of each dense layer that reads maps, the shape of these."""
    return {f"{path}/weight": shape for path, shape in flattened(network.table).items()}


def flattened(table):
    """By the path of each dense layer that reads maps, their shape."""
    found, maps = {}, None
    for path, layer, shape, _ in table:
        if len(shape) > 1:
            maps = shape
        if isinstance(layer, Dense) and maps is not None:
            found[path] = maps
        if not isinstance(layer, (Flatten, Dropout, Activation)):
            maps = None
    return found


def from_torch(shape, own, maps=None):
    """The way from an array that is laid out as PyTorch's are to one of the network's, in words.

    Parameters
    ----------
    shape, own : tuple of int
        Of the array and of the network's.
    maps : tuple of int, default=None
        Shape of the maps that it is a dense layer's on.
    """
    n = len(own)
    if len(shape) != n or n < 2:
        return ""
    ways, kernel = [], tuple(range(2, n))
    if n == 2 and shape == own[::-1]:
        ways.append("T")
        if maps is not None:  # which PyTorch flattens with the channels first
            given, axes = (own[1], maps[-1], *maps[:-1]), (*range(2, len(maps) + 1), 1, 0)
            ways = [f"reshape{given}.transpose{axes}.reshape{own}"]
    elif n > 2:
        for axes in ((*kernel, 1, 0), (*kernel, 0, 1)):
            if tuple(shape[axis] for axis in axes) == own:
                ways.append(f"transpose{axes}")
        if not ways and shape == (own[-2] * own[-1], 1, *own[:-2]):  # depth-wise
            ways.append(f"reshape{(own[-2], own[-1], *own[:-2])}.transpose{(*kernel, 0, 1)}")
    options = ", or of a transposed convolution array.".join(ways)
    return f" (if it is PyTorch's, give array.{options})" if ways else ""
