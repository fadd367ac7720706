"""The values that neighbouring nodes hand to each other besides plain arrays.

# Design:
# * Only nodes that passes have made neighbours for it see these: what takes plain arrays gets them.
# * Whoever hands on an `Activated` or a `Measured` understands a `Gradient` that comes back for it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measured:
    """Maps with the affine map that normalises them, scale (maps - centre) + shift: the moments of
    a batch norm are known, and the map is still to be applied.

    Parameters
    ----------
    maps : array of shape (n, ..., channels)
    affine : array of shape (3, channels)
        Centre, scale and shift.
    of_batch : bool, default=False
        Whether the moments are those of the maps, so that backward needs sums of the gradient.
    """

    maps: object
    affine: object
    of_batch: bool = False


@dataclass(frozen=True, slots=True)
class Activated:
    """Maps f(z), whose reader may take the gradient at z instead of that at f(z).

    Parameters
    ----------
    maps : array of shape (n, ..., channels)
    activation, alpha : str, float
        f, a function whose derivative follows from its value.
    normed : Measured or None, default=None
        The input of the batch norm that made z, or a part of the sum that z is.
    """

    maps: object
    activation: str
    alpha: float
    normed: Measured | None = None


@dataclass(frozen=True, slots=True)
class Gradient:
    """A gradient at f(z), which is still to be taken through f, the identity where that is done.

    Parameters
    ----------
    maps : array of shape (n, ..., channels)
    activation, alpha : str, float
        f.
    sums : array of shape (strips, 2 channels) or None, default=None
        Parts of the sums of the gradient, and of its products with the centred input of the batch
        norm, if they are known.
    """

    maps: object
    activation: str = "identity"
    alpha: float = 0.0
    sums: object = None


def plain(value):
    """An array, for a node that takes nothing else."""
    return value.maps if isinstance(value, Activated) else value
