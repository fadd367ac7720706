"""The steps of a graph, as layers would make them.

# Design:
# * A `Step` is a layer, or something simpler of which layers may be made: an affine map, a single
#   function, a sum, a product, maps side by side. `terms.py` puts steps together to layers, so
#   that operators need not know of which layer they are a part.
"""

from dataclasses import dataclass, field

import numpy as np

from .views import View


@dataclass(eq=False)
class Step:
    """One step.

    Parameters
    ----------
    kind : str
        "input"; "layer"; "affine", X scale + shift; "function", of each number; "mean", over some
        axes; "add", "mul" and "concat", of several.
    inputs : list of Step
    shape : tuple of int
        Of a sample, channels last.
    operator : Operator or None
        Whose it is.
    layer : Layer, default=None
    weights : dict of str to ndarray
        Of the layer, by their names in it.
    data : object
        Of an affine map scale and shift; of a function its name; of a mean the parts of axes that
        it is over.
    """

    kind: str
    inputs: list
    shape: tuple
    operator: object = None
    layer: object = None
    weights: dict = field(default_factory=dict)
    data: object = None


@dataclass(frozen=True, eq=False)
class Value:
    """An array in the graph that is no constant.

    Parameters
    ----------
    step : Step
        What makes it.
    view : View
    dtype : dtype
    """

    step: Step
    view: View
    dtype: np.dtype

    @property
    def shape(self):
        """In the graph, with the axis of samples."""
        return self.view.shape
