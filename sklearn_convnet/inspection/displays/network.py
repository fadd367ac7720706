"""`NetworkDisplay`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Literal, Self

from sklearn.utils import check_scalar
from sklearn.utils._optional_dependencies import check_matplotlib_support

from ...diagram import shape_text
from ...estimators.classifier import ConvNetClassifier
from ...estimators.regressor import ConvNetRegressor
from ...layers.tree import Part, parts_of_network, walk_parts
from ...network.network import Network
from ..samples import network_of
from ._blocks import GAP, Chain, Columns, Frame, Leaf, Line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours of the families of layers, which are named after their modules.
COLORS = {
    "attention": "#e3d5f0",
    "conv": "#cfe2f3",
    "conv_transpose": "#cfe2f3",
    "dense": "#d3ead0",
    "depthwise": "#cfe2f3",
    "pool": "#fbe0c4",
    "transform_conv": "#cfe2f3",
    "upsample": "#fbe0c4",
}
OTHER_COLOR, BLOCK_COLOR = "#eeeeee", "white"
#: The signs where branches meet that are not concatenated.
JOINS = {"Residual": "+", "Gate": "×"}
#: Of groups of layers that come again and again, those of at most so many layers are found.
LONGEST_GROUP = 4
#: A diagram that is no higher, in inches, has one column; others have at most so many.
MAX_HEIGHT, MAX_COLUMNS = 8.0, 6


class NetworkDisplay:
    """The architecture of a network as a diagram.

    Layers stand one below the other, with the shape that each makes of a sample, where it makes
    another, and its number of parameters. The branches of a block stand side by side; a shortcut
    without layers is a line. Layers that come several times in a row, with the same parameters and
    shapes, are drawn once.

    Parameters
    ----------
    parts : list of Part
        The layers with their paths and shapes, as a tree.
    n_parameters : dict of str to int
        Numbers of parameters by the path of a layer, or of a stage of one.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the diagram.
    figure_ : matplotlib Figure
        Its figure.
    boxes_ : dict of str to matplotlib patch
        The boxes and frames that are drawn, by path; "input" is the first.
    texts_ : dict of str to str
        What stands on them.
    times_ : dict of str to int
        By the path of the first layer of a group, how often the group comes in a row.

    Examples
    --------
    >>> from sklearn_convnet.architectures import lenet5
    >>> from sklearn_convnet.inspection import NetworkDisplay
    >>> from sklearn_convnet.network import compile_network
    >>> display = NetworkDisplay.from_network(compile_network(lenet5(), (28, 28)))
    >>> list(display.boxes_)
    ['input', 'conv1', 'pool1', 'conv2', 'pool2', 'dense1', 'dense2']
    >>> print(display.texts_["conv1"])
    conv1: Conv2D
    24 x 24 x 6, 156 parameters
    """

    def __init__(self, parts: list[Part], n_parameters: Mapping[str, int]) -> None:
        self.parts = parts
        self.n_parameters = n_parameters

    @classmethod
    def from_estimator(
        cls,
        estimator: ConvNetClassifier | ConvNetRegressor,
        *,
        ax: Axes | None = None,
        depth: int | None = None,
        collapse: bool = True,
        n_columns: int | Literal["auto"] = "auto",
    ) -> Self:
        """Draw the network of an estimator.

        Parameters
        ----------
        estimator : ConvNetClassifier or ConvNetRegressor
            A fitted one.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure in which the text has its size. In other axes the
            boxes grow and shrink, the text does not.
        depth : int, default=None
            How many levels of blocks are opened: with 0 each block is one box. None opens all.
        collapse : bool, default=True
            Whether layers that come several times in a row are drawn once.
        n_columns : int or "auto", default="auto"
            Into how many columns the layers outside of blocks are broken; "auto" makes the diagram
            about as wide as it is high.

        Returns
        -------
        NetworkDisplay
        """
        network = network_of(estimator)
        return cls.from_network(network, ax=ax, depth=depth, collapse=collapse, n_columns=n_columns)

    @classmethod
    def from_network(
        cls,
        network: Network,
        *,
        ax: Axes | None = None,
        depth: int | None = None,
        collapse: bool = True,
        n_columns: int | Literal["auto"] = "auto",
    ) -> Self:
        """Draw a network.

        Parameters
        ----------
        network : Network
            As `compile_network` makes it.
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure in which the text has its size. In other axes the
            boxes grow and shrink, the text does not.
        depth : int, default=None
            How many levels of blocks are opened: with 0 each block is one box. None opens all.
        collapse : bool, default=True
            Whether layers that come several times in a row are drawn once.
        n_columns : int or "auto", default="auto"
            Into how many columns the layers outside of blocks are broken; "auto" makes the diagram
            about as wide as it is high.

        Returns
        -------
        NetworkDisplay
        """
        network = network_of(network)
        parts = parts_of_network(network.layers, network.input_shape)
        counts = Counter()
        for segment in network.segments:
            counts[segment.path.rpartition("/")[0]] += segment.stop - segment.start
        display = cls(parts, dict(counts))
        return display.plot(ax, depth=depth, collapse=collapse, n_columns=n_columns)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        depth: int | None = None,
        collapse: bool = True,
        n_columns: int | Literal["auto"] = "auto",
    ) -> Self:
        """Draw the diagram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None makes a figure in which the text has its size. In other axes the
            boxes grow and shrink, the text does not.
        depth : int, default=None
            How many levels of blocks are opened: with 0 each block is one box. None opens all.
        collapse : bool, default=True
            Whether layers that come several times in a row are drawn once.
        n_columns : int or "auto", default="auto"
            Into how many columns the layers outside of blocks are broken; "auto" makes the
            diagram about as wide as it is high.

        Returns
        -------
        NetworkDisplay

        Raises
        ------
        ValueError, TypeError
            If an option is not allowed, or the network has no layers.
        ImportError
            If matplotlib is not installed.
        """
        if not self.parts:
            raise ValueError("parts is empty: a network without layers is no diagram")
        if depth is not None:
            check_scalar(depth, "depth", Integral, min_val=0)
        if n_columns != "auto":
            check_scalar(n_columns, "n_columns", Integral, min_val=1)
        if not isinstance(collapse, bool):
            raise TypeError(f"collapse must be True or False, got {collapse!r}")
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        self.texts_, self.times_ = {}, {}
        self._collapse = collapse
        given = self._leaf("input", ["input", shape_text(self.parts[0].input_shape)], OTHER_COLOR)
        elements = [given, *self._elements(self.parts, float("inf") if depth is None else depth)]
        layout = _columns(elements, n_columns)
        if ax is None:
            size = (layout.width + 0.3, layout.height + 0.3)
            _, ax = plt.subplots(figsize=size, layout="constrained")
        self.boxes_ = {}
        layout.draw(ax, layout.width / 2, 0, self.boxes_)
        ax.set(xlim=(-0.1, layout.width + 0.1), ylim=(-layout.height - 0.1, 0.1), aspect="equal")
        ax.set_axis_off()
        self.ax_, self.figure_ = ax, ax.figure
        return self

    # --- from parts to what is drawn -----------------------------------------------------

    def _elements(self, parts, depth):
        """The drawing of layers one after the other."""
        elements, i = [], 0
        while i < len(parts):
            length, times = _repeats(parts, i) if self._collapse else (1, 1)
            group = [self._element(part, depth) for part in parts[i : i + length]]
            if times > 1:
                path = parts[i].path
                self.times_[path] = times
                elements.append(Frame(None, [Chain(group)], f"{times} times"))
            else:
                elements += group
            i += length * times
        return elements

    def _element(self, part, depth):
        kind = type(part.layer).__name__
        title = f"{part.path.rpartition('/')[2]}: {kind}"
        if not part.chains or not hasattr(part.layer, "outline") or depth == 0:
            color = BLOCK_COLOR if part.chains else _color(part.layer)
            return self._leaf(part.path, self._lines(title, part), color)
        chains = [self._elements(chain, depth - 1) for chain in part.chains]
        if part.layer.accumulates:
            chains = [[element for chain in chains for element in chain]]
        chains = [Chain(chain) if chain else Line() for chain in chains]
        texts = self._lines(title, part)
        self.texts_[part.path] = "\n".join(texts)
        title, sign = ", ".join(texts), _join(part.layer, len(chains))
        return Frame(part.path, chains, title, sign, meets=not part.layer.passes_on)

    def _leaf(self, path, texts, color):
        self.texts_[path] = "\n".join(texts)
        return Leaf(path, texts, color)

    def _lines(self, title, part):
        """The lines on a box: the shape is on those that make another."""
        shape = part.output_shape
        text = shape_text(shape) if len(shape) > 1 else f"{shape[0]:,} units"
        facts = [] if shape == part.input_shape else [text]
        n = sum(self.n_parameters.get(inner.path, 0) for inner in walk_parts([part]))
        if n:
            facts.append(f"{n:,} parameters")
        return [title, ", ".join(facts)] if facts else [title]


def _color(layer):
    """That of the family that a layer belongs to, itself or by inheritance."""
    modules = (kind.__module__.rpartition(".")[2] for kind in type(layer).__mro__)
    return next((COLORS[name] for name in modules if name in COLORS), OTHER_COLOR)


def _join(layer, n_chains):
    """The fate of branches at their end: the sign that stands there."""
    if layer.passes_on:
        return None
    if n_chains == 1:
        return "concatenated" if layer.accumulates else None
    return JOINS.get(type(layer).__name__, "concatenated")


def _repeats(parts, start):
    """Length of the group of layers that begins here, and how often it comes in a row: what saves
    the most boxes."""
    best = _group(parts[start:])
    if best[1] > 1 and not parts[start].chains:  # rather a group that begins with a block
        next_best = _group(parts[start + 1 :])
        if _saved(next_best) >= _saved(best):
            return (1, 1)
    return best


def _saved(group):
    """How many boxes it saves to draw a group once."""
    length, times = group
    return length * (times - 1)


def _group(parts):
    """Length of the first layers that come again and again, and how often they do."""
    kinds = [(repr(part.layer), part.input_shape, part.output_shape) for part in parts]
    best = (1, 1)
    for length in range(1, min(LONGEST_GROUP, len(kinds) // 2) + 1):
        times = 1
        while kinds[times * length : (times + 1) * length] == kinds[:length]:
            times += 1
        if _saved((length, times)) > _saved(best):
            best = (length, times)
    return best


def _columns(elements, n_columns):
    """The elements in columns of about the same height."""
    if n_columns != "auto":
        return Columns(_broken(elements, n_columns))
    whole = Columns([Chain(elements)])
    if whole.height <= MAX_HEIGHT:
        return whole
    layouts = [Columns(_broken(elements, n)) for n in range(1, MAX_COLUMNS + 1)]
    return min(layouts, key=lambda layout: max(layout.width, layout.height))


def _broken(elements, n_columns):
    """Chains of at most so many columns, the highest as low as it can be."""
    low, high = max(element.height for element in elements), Chain(elements).height
    best = [Chain(elements)]
    while high - low > GAP:
        limit = (low + high) / 2
        chains = _filled(elements, limit)
        if len(chains) <= n_columns:
            best, high = chains, limit
        else:
            low = limit
    return best


def _filled(elements, limit):
    """Chains as high as a limit allows, one after the other."""
    columns, height = [[]], 0.0
    for element in elements:
        if columns[-1] and height + GAP + element.height > limit:
            columns.append([])
            height = -GAP
        columns[-1].append(element)
        height += GAP + element.height
    return [Chain(column) for column in columns]
