"""The score that is lost where a part of a sample is covered."""

from itertools import product

import numpy as np

from ..layers.shapes import per_axis
from ..training import chunk_rows
from .targets import choose


def occlusion(seen, wanted, window, stride, baseline):
    """The mean loss of the score over the windows that cover a position.

    Parameters
    ----------
    seen : Seen
        The samples.
    wanted : list
        The target of each sample.
    window, stride : int, tuple of int or None
        Size and step of the windows; None is a quarter of a sample, and half a window.
    baseline : ndarray
        What covers it.

    Returns
    -------
    ndarray of shape (n, *axes)
    """
    places = windows(seen.axes, *window_and_stride(seen.axes, window, stride))
    network, n_threads = seen.network, seen.n_threads
    covers = np.zeros(seen.axes)
    for place in places:
        covers[place] += 1
    maps = np.zeros((len(seen), *seen.axes), network.dtype)
    for i, lost in enumerate(maps):
        X = seen.rows(slice(i, i + 1))
        Z = network.forward(X, n_threads=n_threads)
        chosen = choose(seen.target, wanted[i : i + 1], Z)
        score = chosen.scores(Z)[0]
        for covered, scores in _covered_scores(network, X, places, baseline, chosen, n_threads):
            for place, value in zip(covered, scores, strict=True):
                lost[place] += score - value
        lost /= covers
    return maps


def _covered_scores(network, X, places, baseline, chosen, n_threads):
    """Windows and the scores of a sample that is covered there, chunk by chunk."""
    rows = chunk_rows(network)
    baseline = np.broadcast_to(baseline, X.shape[1:])
    for start in range(0, len(places), rows):
        covered = places[start : start + rows]
        batch = np.repeat(X, len(covered), axis=0)
        for sample, place in zip(batch, covered, strict=True):
            sample[place] = baseline[place]
        Z = network.forward(batch, n_threads=n_threads)
        yield covered, chosen.repeated(len(covered)).scores(Z)


def window_and_stride(axes, window, stride):
    """Sizes and steps along each axis.

    Raises
    ------
    ValueError
        If they are no positive integers, the window is larger than a sample, or the stride is
        larger than the window, which would leave out positions.
    """
    if window is None:
        window = tuple(max(size // 4, 1) for size in axes)
    window = per_axis(window, len(axes), "window")
    if stride is None:
        stride = tuple(max(size // 2, 1) for size in window)
    stride = per_axis(stride, len(axes), "stride")
    for size, extent, step in zip(axes, window, stride, strict=True):
        if extent > size:
            raise ValueError(f"window={window} is larger than a sample, which is {axes}")
        if step > extent:
            raise ValueError(
                f"stride={stride} leaves out positions between windows of {window}: use a smaller "
                "stride, or a larger window"
            )
    return window, stride


def windows(axes, window, stride):
    """Slices of the windows, the last along each axis at its end."""
    starts = []
    for size, extent, step in zip(axes, window, stride, strict=True):
        last = size - extent
        starts.append([*range(0, last, step), last])
    return [
        tuple(slice(a, a + n) for a, n in zip(start, window, strict=True))
        for start in product(*starts)
    ]
