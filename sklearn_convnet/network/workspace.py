"""Arrays that live from one training step to the next."""

from math import prod

import numpy as np


class Workspace:
    """Lends arrays by key; a key gets the same memory each time, grown where needed."""

    def __init__(self):
        self._arrays = {}

    def take(self, key, shape, dtype):
        """An array with any content, of this shape and dtype."""
        size = prod(shape)
        flat = self._arrays.get(key)
        if flat is None or flat.size < size or flat.dtype != dtype:
            flat = self._arrays[key] = np.empty(size, dtype)
        return flat[:size].reshape(shape)


class LayerWorkspace(Workspace):
    """One memory for all layers of a block, which take turns.

    Parameters
    ----------
    path : str
        Path of the block; the name of the layer after it is left out of every key.
    """

    def __init__(self, path):
        super().__init__()
        self._path = path

    def take(self, key, shape, dtype):
        path, role = key
        _, _, inner = path[len(self._path) + 1 :].partition("/")
        return super().take((inner, role), shape, dtype)
