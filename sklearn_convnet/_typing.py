"""Types that annotations of several modules name."""

import os
from collections.abc import Sequence

import numpy as np

PathLike = str | os.PathLike[str]

RandomState = int | np.random.RandomState | None

#: One number for all axes, or one for each.
PerAxis = int | Sequence[int]

#: The same for what lies on either side of an axis: a number, or one before and one after.
Borders = int | Sequence[int | tuple[int, int]]
