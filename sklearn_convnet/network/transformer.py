"""The block of a transformer."""

from ..layers.transformer import TransformerBlock
from .node import build_chain, executes


@executes(TransformerBlock)
class TransformerNodes:
    """The nodes of its two residual blocks."""

    @classmethod
    def build(cls, layer, path, input_shape):
        nodes, _ = build_chain(layer.stages(input_shape), input_shape, f"{path}/")
        return nodes
