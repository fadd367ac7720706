"""Boxes, frames and lines of a diagram, and where they stand.

# Design:
# * Each element knows its size in inches before anything is drawn, and draws itself below a point:
#   the middle of its upper edge. Data flows in there and out at the middle of the lower edge.
"""

from functools import cache

FONT_SIZE = 7.5
#: Inches: between boxes, around text, from frames to what is inside, between branches and columns.
GAP, MARGIN, INSET, BESIDE, BETWEEN = 0.16, 0.07, 0.12, 0.22, 0.5
LINE_HEIGHT = FONT_SIZE / 72 * 1.3
LINE_COLOR = "#444444"


@cache
def width_of(text, weight="normal"):
    """The width of a text, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not text.strip():
        return 0.0
    font = FontProperties(size=FONT_SIZE, weight=weight)
    return TextPath((0, 0), text, prop=font).get_extents().x1 / 72


def arrow(ax, points, head=True):
    """A line through points, with the head of an arrow at its end."""
    xs, ys = zip(*points, strict=True)
    ax.plot(xs, ys, color=LINE_COLOR, linewidth=0.9, solid_capstyle="butt", zorder=1)
    if head:
        tip = {"arrowstyle": "-|>", "color": LINE_COLOR, "linewidth": 0.9, "mutation_scale": 6}
        ends = {"shrinkA": 0, "shrinkB": 0}
        ax.annotate("", points[-1], points[-2], arrowprops={**tip, **ends}, zorder=1)


class Leaf:
    """A box with lines of text, the first of them bold."""

    def __init__(self, path, texts, color):
        self.path, self.texts, self.color = path, texts, color
        self.width = 2 * MARGIN + max(
            width_of(text, "normal" if i else "bold") for i, text in enumerate(texts)
        )
        self.height = 2 * MARGIN + LINE_HEIGHT * len(texts)

    def draw(self, ax, x, top, boxes):
        """Draws it below a point."""
        from matplotlib.patches import FancyBboxPatch

        boxes[self.path] = ax.add_patch(
            FancyBboxPatch(
                (x - self.width / 2, top - self.height),
                self.width,
                self.height,
                boxstyle="round,pad=0,rounding_size=0.05",
                facecolor=self.color,
                edgecolor=LINE_COLOR,
                linewidth=0.7,
                zorder=2,
            )
        )
        for i, text in enumerate(self.texts):
            y = top - MARGIN - LINE_HEIGHT * (i + 0.5)
            weight = "normal" if i else "bold"
            ax.text(x, y, text, size=FONT_SIZE, weight=weight, ha="center", va="center", zorder=3)


class Line:
    """A branch without layers."""

    width, height = 0.3, 0.0

    def draw(self, ax, x, top, boxes):
        """Its line is that of the block, from its begin to its end."""


class Chain:
    """Elements one below the other."""

    def __init__(self, elements):
        self.elements = elements
        self.width = max(element.width for element in elements)
        self.height = sum(element.height for element in elements) + GAP * (len(elements) - 1)

    def draw(self, ax, x, top, boxes):
        """Draws it below a point."""
        for i, element in enumerate(self.elements):
            if i:
                arrow(ax, [(x, top), (x, top - GAP)])
                top -= GAP
            element.draw(ax, x, top, boxes)
            top -= element.height


class Frame:
    """Branches side by side in a frame, and a sign where they meet again; unless they meet, a
    branch with layers ends with the last of them."""

    def __init__(self, path, chains, title, sign=None, meets=True):
        self.path, self.chains, self.title, self.sign = path, chains, title, sign
        self.meets = meets
        inside = sum(chain.width for chain in chains) + BESIDE * (len(chains) - 1)
        self.width = 2 * INSET + max(inside, width_of(title, "bold"), width_of(sign or "") + 0.2)
        self.inside = inside
        self.room = max(chain.height for chain in chains)
        # From the edge to the branches, and back.
        self.above = LINE_HEIGHT + MARGIN + GAP * (1.6 if len(chains) > 1 else 1)
        self.below = GAP * (0.8 if len(chains) == 1 else 1.4)
        if sign is not None:
            self.below = GAP * 2.2 + LINE_HEIGHT
        self.height = self.above + self.room + self.below

    def draw(self, ax, x, top, boxes):
        """Draws it below a point."""
        from matplotlib.patches import FancyBboxPatch

        frame = ax.add_patch(
            FancyBboxPatch(
                (x - self.width / 2, top - self.height),
                self.width,
                self.height,
                boxstyle="round,pad=0,rounding_size=0.05",
                facecolor="none",
                edgecolor=LINE_COLOR,
                linewidth=0.7,
                linestyle=(0, (4, 3)),
                zorder=0,
            )
        )
        if self.path is not None:
            boxes[self.path] = frame
        left = x - self.width / 2 + MARGIN
        y = top - MARGIN - LINE_HEIGHT / 2
        room = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        ax.text(
            left, y, self.title, size=FONT_SIZE, style="italic", va="center", zorder=3, bbox=room
        )
        self._draw_branches(ax, x, top, boxes)

    def _draw_branches(self, ax, x, top, boxes):
        fork, begin = top - LINE_HEIGHT - MARGIN - GAP * 0.6, top - self.above
        end = begin - self.room
        bottom = top - self.height
        sign = bottom + GAP * 0.6 + LINE_HEIGHT / 2
        meet = sign if self.sign else bottom
        left = x - self.inside / 2
        several = len(self.chains) > 1
        arrow(ax, [(x, top), (x, fork if several else begin)], head=not several)
        for chain in self.chains:
            middle = left + chain.width / 2
            low = begin - chain.height
            is_line = isinstance(chain, Line)
            if several:
                arrow(ax, [(x, fork), (middle, fork), (middle, begin)], head=not is_line)
            chain.draw(ax, middle, begin, boxes)
            across = end - GAP * 0.6
            path = [(middle, low), (middle, across), (x, across), (x, meet)]
            if self.meets or is_line:
                arrow(ax, path if several else [(x, low), (x, meet)], head=False)
            left += chain.width + BESIDE
        if self.sign:
            around = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": LINE_COLOR}
            around["linewidth"] = 0.7
            ax.text(
                x, sign, self.sign, size=FONT_SIZE, ha="center", va="center", zorder=3, bbox=around
            )
            arrow(ax, [(x, sign), (x, bottom)], head=False)


class Columns:
    """Chains side by side, each going on at the top of the next."""

    def __init__(self, chains):
        self.chains = chains
        self.width = sum(chain.width for chain in chains) + BETWEEN * (len(chains) - 1)
        self.height = max(chain.height for chain in chains) + (2 * GAP if len(chains) > 1 else 0)

    def draw(self, ax, x, top, boxes):
        """Draws it below a point."""
        left = x - self.width / 2
        several = len(self.chains) > 1
        begin = top - GAP if several else top
        before = None
        for chain in self.chains:
            middle = left + chain.width / 2
            if before is not None:
                x_before, low = before
                turn = left - BETWEEN / 2
                points = [
                    (x_before, low), (x_before, low - GAP / 2), (turn, low - GAP / 2), (turn, top),
                    (middle, top), (middle, begin),
                ]  # fmt: skip
                arrow(ax, points)
            chain.draw(ax, middle, begin, boxes)
            before = middle, begin - chain.height
            left += chain.width + BETWEEN
