"""Nodes that put zeros around maps, or cut off their borders: each is the adjoint of the other."""

from ..layers.padding import (
    Cropping1D,
    Cropping2D,
    Cropping3D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from .node import Node, executes


def pad(small, inside, large):
    """The large maps are the small ones, with zeros around them."""
    large[...] = 0
    large[inside] = small


def crop(large, inside, small):
    """The small maps are what is inside the large ones."""
    small[...] = large[inside]


class _BorderNode(Node):
    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        larger = map(max, self.input_shape[:-1], self.output_shape[:-1])
        borders = zip(larger, layer.borders(), strict=True)
        inside = [slice(before, size - after) for size, (before, after) in borders]
        self.inside = (slice(None), *inside)

    def pass_on(self, function, maps, shape, run):
        """Maps of this shape, which a function makes of others."""
        made = run.empty((len(maps), *shape), maps.dtype)
        run.call(function, maps, self.inside, made)
        return made


@executes(ZeroPadding1D, ZeroPadding2D, ZeroPadding3D)
class ZeroPaddingNode(_BorderNode):
    def forward(self, X, run):
        return self.pass_on(pad, X, self.output_shape, run)

    def backward(self, dY, need_input, run):
        return self.pass_on(crop, dY, self.input_shape, run) if need_input else None


@executes(Cropping1D, Cropping2D, Cropping3D)
class CroppingNode(_BorderNode):
    def forward(self, X, run):
        return self.pass_on(crop, X, self.output_shape, run)

    def backward(self, dY, need_input, run):
        return self.pass_on(pad, dY, self.input_shape, run) if need_input else None
