"""Several transforms, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..layers.composition import LayerComposition, check_layers
from .base import Transform


class Transforms(LayerComposition):
    """Base class of what has a list of transforms; they have names, as layers have."""

    _list_name = "transforms"
    _kind = Transform

    @property
    def n_axes(self) -> int | None:
        """That of the first transform that needs a number of axes, or None."""
        needed = (getattr(transform, "n_axes", None) for _, transform in self.named_children())
        return next((n_axes for n_axes in needed if n_axes is not None), None)

    def _checked_transforms(self):
        """The transforms; raises ValueError or TypeError if they are none."""
        reserved = self._get_param_names()
        pairs = check_layers(self.transforms, "transforms", reserved=reserved, kind=Transform)
        return [transform for _, transform in pairs]


class Compose(Transforms, Transform):  # type: ignore[override]
    """Applies transforms one after the other.

    All geometric ones are one resampling, with the product of their matrices, and come first;
    the photometric ones follow in their order. `MixUp` or `CutMix`, one of them, comes last.

    Parameters
    ----------
    transforms : list or tuple
        Transforms or `(name, transform)` pairs. Unnamed ones are named after their class and
        numbered, as layers are. The geometric ones have the same `fill_value`.

    Examples
    --------
    >>> from sklearn_convnet.augmentation import Compose, RandomAffine, RandomBrightness
    >>> both = Compose([RandomAffine(rotation=(-10, 10)), ("light", RandomBrightness())])
    >>> both.set_params(randomaffine1__rotation=(-20, 20), light="passthrough")
    Compose(transforms=[('randomaffine1', RandomAffine(rotation=(-20, 20))),
                        ('light', 'passthrough')])
    """

    def __init__(
        self, transforms: Sequence[Transform | tuple[str, Transform] | Literal["passthrough"]]
    ) -> None:
        self.transforms = transforms

    def _steps(self):
        return [step for transform in self._checked_transforms() for step in transform._steps()]
