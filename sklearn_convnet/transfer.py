"""Weights of one network for another: what `init_from` does."""

from collections.abc import Mapping

import numpy as np
from sklearn.frozen import FrozenEstimator

from .checks import check_range
from .messages import warn_caller


def weights_of(init_from):
    """The arrays that `init_from` holds, by path.

    Raises
    ------
    TypeError
        If it is neither a dict nor a frozen estimator with `get_weights`.
    """
    if isinstance(init_from, FrozenEstimator) and hasattr(init_from, "get_weights"):
        return init_from.get_weights()
    if isinstance(init_from, Mapping):
        return init_from
    problem = "init_from must be a dict of arrays by path or a FrozenEstimator"
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
    copied, left = set(), []
    for path, given in weights.items():
        array = np.asarray(given)
        if array.dtype.kind not in "biuf" or not np.isfinite(array).all():
            raise ValueError(f"init_from: {path!r} must be an array of finite numbers")
        if path not in own:
            left.append(f"{path!r}, which this network does not have")
        elif array.shape != own[path].shape:
            left.append(f"{path!r} of shape {array.shape}, which is {own[path].shape} here")
        else:
            check_range(array, own[path].dtype, f"init_from[{path!r}]")
            own[path][...] = array
            copied.add(path)
    if not copied:
        raise ValueError(
            f"init_from: none of its arrays {list(weights)} has the path and shape of one of "
            f"this network's {list(own)}: give the layers the same names"
        )
    if left:
        warn_caller(f"init_from: these were not copied: {'; '.join(left)}", UserWarning)
    return copied
