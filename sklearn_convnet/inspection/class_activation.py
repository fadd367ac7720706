"""Grad-CAM: the maps of a layer, weighed by what they mean to a score."""

from math import prod

import numpy as np
from scipy import ndimage

from .gradients import batches
from .samples import n_axes_of
from .targets import choose


def grad_cam(seen, wanted, layer):
    """The rectified sum of a layer's maps, each times the mean gradient of the score at it.

    Parameters
    ----------
    seen : Seen
        The samples.
    wanted : list
        The target of each sample.
    layer : str, int or None
        The layer; None is the last one with maps.

    Returns
    -------
    ndarray of shape (n, *axes)
        Enlarged to the size of a sample.
    """
    network = seen.network
    if layer is None:
        layer = last_with_maps(seen.estimator)
    probe = network.probe()
    shape = probe.output_shape(layer)
    if len(shape) != len(seen.axes) + 1:
        raise ValueError(
            f"layer={layer!r} puts out arrays of shape {shape}, which are no maps with "
            f"{len(seen.axes)} axes and channels: give a layer before they are flattened"
        )
    cams = np.empty((len(seen), *seen.axes), network.dtype)
    for rows in batches(seen):
        maps = probe.forward(seen.rows(rows), [layer, ""], n_threads=seen.n_threads)
        chosen = choose(seen.target, wanted[rows], maps[""])
        dY = {"": chosen.gradient(maps[""])}
        _, gradients = probe.backward(dY, [layer], to_input=False)
        cams[rows] = enlarged(weighed_sum(maps[layer], gradients[layer]), seen.axes)
    return cams


def weighed_sum(maps, gradients):
    """max(0, sum_k a_k A_k), where a_k is the mean gradient over the positions of map k."""
    positions = tuple(range(1, maps.ndim - 1))
    importance = gradients.mean(axis=positions, keepdims=True)
    return np.maximum((maps * importance).sum(axis=-1), 0)


def enlarged(maps, axes):
    """Maps (n, *size) in the size of a sample, by linear interpolation between the centres of what
    each position stands for."""
    factors = [1.0, *(size / n for size, n in zip(axes, maps.shape[1:], strict=True))]
    return ndimage.zoom(maps, factors, order=1, mode="nearest", grid_mode=True)


def last_with_maps(estimator):
    """The path of the last layer that puts out maps of several positions, but for the output.

    Raises
    ------
    ValueError
        If there is none.
    """
    network = getattr(estimator, "network_", estimator)
    outputs = ("output", "box") if estimator is not network else (network.table[-1][0],)
    n_axes = n_axes_of(estimator)
    for path, _, _, shape in reversed(network.table):
        if path not in outputs and len(shape) == n_axes + 1 and prod(shape[:-1]) > 1:
            return path
    raise ValueError(
        "method='grad_cam' needs a layer with maps of several positions before the output, and "
        "this network has none: take another method"
    )
