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
