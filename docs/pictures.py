"""Draws the pictures of pages that explain words: the terms of a convolution, and a ported model.

    python docs/pictures.py [--folder docs/figures]

Sizes, windows and receptive fields are those that the package computes.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from sklearn_convnet.inspection import receptive_field
from sklearn_convnet.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPool2D,
    Rescale,
)
from sklearn_convnet.network import compile_network

FIGURES = Path(__file__).parent / "figures"
ORANGE, BLUE, GREY = "tab:orange", "tab:blue", "0.55"
#: The convolutions of the picture of terms, and the image that they see.
TERMS = [Conv2D(4, 3, stride=2, padding=1), Conv2D(2, 3)]
TERMS_INPUT = (9, 9, 1)
#: How far each channel of a map is drawn from the one before, in pixels.
DEPTH = 0.45
#: Layers of the port, on the page about Keras: how they are written there, here, and the layer.
PORT = (
    ("Input((8, 8, 1))", None, None),
    ("Rescaling(1 / 16)", "Rescale(1 / 16)", Rescale(1 / 16)),
    (
        'Conv2D(16, 3, padding="same",\nactivation="relu")',
        'Conv2D(16, 3, padding="same")',
        Conv2D(16, 3, padding="same"),
    ),
    ("BatchNormalization()", "BatchNorm()", BatchNorm()),
    ("MaxPooling2D()", "MaxPool2D(2)", MaxPool2D(2)),
    ("Flatten()", None, Flatten()),
    ("Dropout(0.25)", "Dropout(0.25)", Dropout(0.25)),
    ('Dense(10, activation="softmax")', None, Dense(10)),
)
PORT_INPUT = (8, 8, 1)
#: What stands for a layer that nobody writes here, and whether it has an output of its own.
DERIVED = {
    0: ("follows from X", True),
    5: ("not needed: dense layers flatten", False),
    7: ("output layer: follows from y", True),
}


# ---------------------------------------------------------------------------
# Terms of a convolution
# ---------------------------------------------------------------------------


class Grid:
    """A map of square pixels on axes: its channels one behind the other, the first in front."""

    def __init__(self, ax, x, y, shape):
        self.ax, self.x, self.y = ax, x, y
        self.height, self.width, self.n_channels = shape
        for channel in reversed(range(self.n_channels)):
            self._sheet(channel)

    def _sheet(self, channel):
        shift = DEPTH * channel
        corner = (self.x + shift, self.y - shift)
        self.ax.add_patch(
            Rectangle(corner, self.width, self.height, facecolor="white", edgecolor="0.4")
        )
        if channel == 0:
            for row in range(self.height):
                for column in range(self.width):
                    self.cells(row, column, edgecolor="0.75", linewidth=0.6)

    def cells(self, row, column, height=1, width=1, **params):
        """Draws a rectangle of pixels."""
        corner = (self.x + column, self.y + row)
        params = {"facecolor": "none", **params}
        self.ax.add_patch(Rectangle(corner, width, height, **params))

    def corners(self, row, column, height=1, width=1):
        """The right upper and the right lower corner of a rectangle of pixels."""
        x = self.x + column + width
        return (x, self.y + row), (x, self.y + row + height)

    def caption(self, name):
        """Its name and size."""
        channels = "channels" if self.n_channels > 1 else "channel"
        return f"{name}\n{self.height} x {self.width}, {self.n_channels} {channels}"

    def pad(self, padding):
        """Draws the padding around it."""
        for row in range(-padding, self.height + padding):
            for column in range(-padding, self.width + padding):
                inside = 0 <= row < self.height and 0 <= column < self.width
                if not inside:
                    self.cells(row, column, facecolor="0.93", edgecolor="0.8", linewidth=0.6)


def project(ax, corners, target, colour):
    """Lines from a window to the unit that sees it."""
    for (x, y), (x_to, y_to) in zip(corners, target, strict=True):
        ax.plot([x, x_to], [y, y_to], color=colour, linewidth=0.9)


def note(ax, text, place, target, colour="black"):
    """Words with an arrow to what they name."""
    ax.annotate(
        text,
        target,
        place,
        ha="center",
        va="center",
        fontsize=9,
        color=colour,
        arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 0.8, "shrinkB": 0},
    )


def left_corners(grid, row, column):
    """The left corners of a unit."""
    return (grid.x + column, grid.y + row), (grid.x + column, grid.y + row + 1)


def draw_terms():
    """An image, the map of a convolution, and that of a second one."""
    network = compile_network(TERMS, TERMS_INPUT)
    padding = TERMS[0].padding
    shapes = [TERMS_INPUT]
    for layer in TERMS:
        shapes.append(layer.output_shape(shapes[-1]))
    figure, ax = plt.subplots(figsize=(9, 4.3), layout="constrained")
    image = Grid(ax, 0, 0, shapes[0])
    first = Grid(ax, 15, 2, shapes[1])
    second = Grid(ax, 25.5, 3.5, shapes[2])
    image.pad(padding)
    draw_field(ax, network, image, first, second)
    draw_window(ax, network, image, first)
    for grid, name in ((image, "input"), (first, "feature map"), (second, "feature map")):
        ax.text(
            grid.x + grid.width / 2, 10.8, grid.caption(name), ha="center", va="top", fontsize=10
        )
    note(ax, "padding: zeros\naround the map", (-4.2, 8), (-0.5, 8.5))
    note(ax, "filter (kernel):\n3 x 3 taps", (-4.2, 1), (-1, 0.5), ORANGE)
    note(ax, "channels: one\nfor each filter", (21.9, -2.2), (20 + 3 * DEPTH, 1.2))
    note(ax, "unit", (13.6, -1.2), (15.3, 2.2), ORANGE)
    note(
        ax,
        "receptive field of the blue unit:\nwhat it sees of the input",
        (9, -3.2),
        (7.2, 1),
        BLUE,
    )
    ax.set(xlim=(-7, 29.6), ylim=(12.9, -4.2), aspect="equal")
    ax.axis("off")
    return figure


def window_of(network, layer, unit):
    """First row and column, height and width of what a unit sees of the image, padding included."""
    field = receptive_field(network, layer)
    rows, columns = (
        start + place * stride
        for start, place, stride in zip(field.start, unit, field.stride, strict=True)
    )
    return rows, columns, *field.size


def draw_window(ax, network, image, first):
    """Two neighbouring windows of the first convolution, and the unit of the first of them."""
    window = window_of(network, "conv2d1", (0, 0))
    after = window_of(network, "conv2d1", (0, 1))
    image.cells(*window, facecolor=ORANGE, alpha=0.35)
    image.cells(*window, edgecolor=ORANGE, linewidth=1.8)
    image.cells(*after, edgecolor=ORANGE, linewidth=1.4, linestyle="--")
    y = image.y + window[0] - 0.5
    ax.add_patch(
        FancyArrowPatch(
            (image.x + window[1], y),
            (image.x + after[1], y),
            arrowstyle="<->",
            mutation_scale=9,
            color=ORANGE,
            shrinkA=0,
            shrinkB=0,
        )
    )
    ax.text(
        image.x + (window[1] + after[1]) / 2,
        y - 0.7,
        "stride 2",
        ha="center",
        fontsize=9,
        color=ORANGE,
    )
    first.cells(0, 0, facecolor=ORANGE)
    project(ax, image.corners(*window), left_corners(first, 0, 0), ORANGE)


def draw_field(ax, network, image, first, second):
    """A unit of the second convolution, its window on the first map, and its receptive field."""
    unit = (1, 1)
    field = window_of(network, "conv2d2", unit)
    size = TERMS[1].kernel_size
    image.cells(*field, facecolor=BLUE, alpha=0.12)
    image.cells(*field, edgecolor=BLUE, linewidth=1.8)
    first.cells(*unit, size, size, facecolor=BLUE, alpha=0.25)
    first.cells(*unit, size, size, edgecolor=BLUE, linewidth=1.8)
    second.cells(*unit, facecolor=BLUE)
    project(ax, first.corners(*unit, size, size), left_corners(second, *unit), BLUE)


# ---------------------------------------------------------------------------
# A model of Keras and the same here
# ---------------------------------------------------------------------------


def box(ax, x, y, text, colour, width, family="monospace", linestyle="-"):
    """Code, or words, in a box."""
    ax.add_patch(
        FancyBboxPatch(
            (x, y - 0.32),
            width,
            0.64,
            boxstyle="round,pad=0.05",
            facecolor="white",
            edgecolor=colour,
            linewidth=1.2,
            linestyle=linestyle,
        )
    )
    ax.text(x + width / 2, y, text, ha="center", va="center", fontsize=8, family=family)


def words_of_shape(shape):
    return " x ".join(map(str, shape))


def shapes_of_port():
    """For each line of the port, the shapes of its output there and here."""
    theirs = ours = PORT_INPUT
    for row, (_, _, layer) in enumerate(PORT):
        if layer is not None:
            theirs = layer.output_shape(theirs)
            _, has_output = DERIVED.get(row, (None, True))
            ours = layer.output_shape(ours) if has_output else ours
        yield theirs, ours


def draw_keras():
    """The layers of the model on the left, what is written here on the right, and their shapes."""
    figure, ax = plt.subplots(figsize=(8.6, 4.6), layout="constrained")
    left, right, width, gap = 0, 7.6, 4.9, 0.25
    ax.text(left + width / 2, -0.75, "Keras", ha="center", fontsize=11)
    ax.text(right + width / 2, -0.75, "sklearn_convnet", ha="center", fontsize=11)
    for x in (left, right):
        ax.text(x + width + gap, -0.75, "output", fontsize=9, color=GREY)
    for y, (shapes, (theirs, ours, _)) in enumerate(zip(shapes_of_port(), PORT, strict=True)):
        text, has_output = (ours, True) if ours else DERIVED[y]
        box(ax, left, y, theirs, ORANGE, width)
        if ours:
            box(ax, right, y, text, BLUE, width)
        else:
            box(ax, right, y, text, GREY, width, family="sans-serif", linestyle="--")
        for x, shape, shown in ((left, shapes[0], True), (right, shapes[1], has_output)):
            if shown:
                words = words_of_shape(shape)
                ax.text(x + width + gap, y, words, va="center", fontsize=8, color=GREY)
    ax.set(xlim=(-0.2, right + width + 2), ylim=(len(PORT) - 0.4, -1.1))
    ax.axis("off")
    return figure


PICTURES = {"terms": draw_terms, "keras": draw_keras}


def save(figure, path):
    """Without a date and without random names, so that the same picture is the same file."""
    with plt.rc_context({"svg.hashsalt": "sklearn_convnet"}):
        figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=FIGURES)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        save(draw(), options.folder / f"{name}.svg")


if __name__ == "__main__":
    main()
