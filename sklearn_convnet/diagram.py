"""Layers as a diagram in a notebook, by scikit-learn's own hooks.

# Design:
# * Layers stand one below the other, the chains of a block side by side. A box has the name of its
#   layer, the shape that it makes, once that is known, and unfolds to the parameters that are not
#   at their defaults.
# * A deep network has more layers than anybody looks at. Long lists are cut, and blocks are opened
#   level by level, from the outside, as long as the page stays small.
"""

from collections import deque
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata

from sklearn import config_context
from sklearn.utils._repr_html.estimator import _VisualBlock

#: Of more boxes, the last ones of a list are left out: in the network itself, and in a block.
MAX_TOP, MAX_INSIDE = 30, 8
#: Blocks are opened as long as there are no more boxes.
MAX_BOXES = 60


@cache
def documentation_url():
    """Where the documentation is online, as the package's metadata have it, or ""."""
    try:
        urls = metadata("sklearn_convnet").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    pairs = [url.split(", ", 1) for url in urls]
    return next((url.rstrip("/") for name, url in pairs if name.lower() == "documentation"), "")


def doc_link_template():
    """The `_doc_link_template` of our estimators; "" makes no links."""
    url = documentation_url()
    return url and url + "/{estimator_module}.{estimator_name}.html"


def shape_text(shape):
    """A shape as people write it: 28 x 28 x 6."""
    return " x ".join(map(str, shape))


class Box:
    """A layer in a diagram, or a word in the place of one.

    Parameters
    ----------
    name : str
        Its name; that of a word is the word.
    layer : Parametrized, default=None
        None for a word.
    shape : tuple of int, default=None
        What it makes of a sample, if that is known.
    chains : list of list of Box, default=()
        What is inside, side by side.
    """

    def __init__(self, name, layer=None, shape=None, chains=()):
        self.name, self.layer, self.shape = name, layer, shape
        self.chains = [chain or [Box("identity")] for chain in chains]
        self.is_open = False

    @classmethod
    def of_child(cls, name, child):
        """The box of a layer that has not seen a shape, or of a word such as "passthrough"."""
        if not hasattr(child, "get_params"):
            return cls(f"{name}: {child}")
        return cls(name, child, None, chains_of(child))

    @classmethod
    def of_part(cls, part):
        """The box of a layer in its place in a network."""
        chains = [[cls.of_part(inner) for inner in chain] for chain in part.chains]
        if part.layer.accumulates:
            chains = [[box for chain in chains for box in chain]]
        if not hasattr(part.layer, "outline"):  # stages of one layer
            chains = []
        name = part.path.rpartition("/")[2]
        return cls(name, part.layer, part.output_shape, chains)

    @property
    def label(self):
        """Its text; words have no margins of their own."""
        if self.layer is None:
            return f"\u00a0{self.name}\u00a0"
        return f"{self.name}: {type(self.layer).__name__}"

    @property
    def caption(self):
        """The line below its name."""
        return None if self.shape is None else shape_text(self.shape)

    @property
    def details(self):
        """The table that it unfolds to: parameters that are not at their defaults."""
        if self.layer is None:
            return None
        if not self.is_open:
            return repr(self.layer)
        inside = getattr(self.layer, "_list_name", None)
        params = self.layer._changed_params()
        text = ", ".join(f"{key}={value!r}" for key, value in params if key != inside)
        return f"{type(self.layer).__name__}({text})"

    def _get_doc_link(self):
        return "" if self.layer is None else self.layer._get_doc_link()

    def _sk_visual_block_(self):
        if not self.is_open:
            return _VisualBlock(
                "single", self, names=self.label, name_details=self.details,
                name_caption=self.caption,
            )  # fmt: skip
        if len(self.chains) == 1:
            return serial(self.chains[0])
        items = [serial(chain, dash_wrapped=False) for chain in self.chains]
        return _VisualBlock("parallel", items)


def chains_of(owner):
    """The boxes inside a block, or an estimator, that has not seen a shape."""
    chains = owner.outline() if hasattr(owner, "outline") else []
    return [[Box.of_child(*pair) for pair in chain] for chain in chains]


def serial(boxes, **options):
    """Boxes one below the other."""
    captions = [f", {box.caption}" if box.is_open and box.caption else "" for box in boxes]
    return _VisualBlock(
        "serial",
        boxes,
        names=[box.label + caption for box, caption in zip(boxes, captions, strict=True)],
        name_details=[box.details for box in boxes],
        **options,
    )


def shortened(boxes, most):
    """The first boxes of a list, and one that says how many more there are."""
    if len(boxes) <= most:
        return boxes
    return [*boxes[: most - 1], Box(f"... {len(boxes) - most + 1} more")]


def diagram(owner, chains):
    """The diagram of what consists of layers: what `_sk_visual_block_` returns.

    Parameters
    ----------
    owner : BaseEstimator
        What it is of.
    chains : list of list of Box
        What is in it, side by side.

    Returns
    -------
    _VisualBlock
    """
    if not any(chains):
        kind = type(owner).__name__
        return _VisualBlock("single", owner, names=kind, name_details=str(owner))
    whole = Box("", chains=chains)
    waiting, room, most = deque([whole]), MAX_BOXES, MAX_TOP
    while waiting:
        box = waiting.popleft()
        box.chains = [shortened(chain, most) for chain in box.chains]
        n_inside = sum(map(len, box.chains))
        if box is whole or 0 < n_inside <= room:
            box.is_open = True
            room -= n_inside
            for chain in box.chains:
                waiting.extend(chain)
        most = MAX_INSIDE
    with config_context(print_changed_only=True):
        return whole._sk_visual_block_()
