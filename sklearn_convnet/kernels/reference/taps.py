"""Padded maps, and the pixels of them that one tap of a window meets."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np


def _pad(X, padding, value=0.0):
    """Pad the axes (D, H, W) of maps."""
    return np.pad(X, ((0, 0), *padding, (0, 0)), constant_values=value)


def _crop(padded, padding, size):
    """Undo `_pad`: the view of the true pixels."""
    inner = (slice(before, before + s) for (before, _), s in zip(padding, size, strict=True))
    return padded[(slice(None), *inner)]


def _taps(padded, kernel, stride, output, dilation=(1, 1, 1)):
    """Walk through the taps of a filter or window in scan order.

    Yields
    ------
    tap : tuple of 3 ints
        Position in the filter.
    view : array of shape (n, OD, OH, OW, C)
        The pixels of the padded maps that the tap meets, one for every output pixel.
    """
    for tap in np.ndindex(*kernel):
        start = [t * d for t, d in zip(tap, dilation, strict=True)]
        window = (
            slice(t, t + (o - 1) * s + 1, s) for t, o, s in zip(start, output, stride, strict=True)
        )
        yield tap, padded[(slice(None), *window)]
