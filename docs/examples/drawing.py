"""How examples draw their pictures, where they are called with ``--figure FILE``."""

from contextlib import contextmanager

#: Pixels of a picture for each inch of it.
DPI = 80


@contextmanager
def picture(path, mosaic, size):
    """Axes by their names in `mosaic`, rows of names, on a new figure of `size` inches, which is
    saved at the end. It stays open for notebooks and galleries."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplot_mosaic(mosaic, figsize=size, layout="constrained")
    yield axes
    save(figure, path)


def save(figure, path):
    """A PNG file of few colours, which is small."""
    from PIL import Image  # matplotlib needs it, too

    figure.savefig(path, format="png", dpi=DPI)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
    small.save(path, format="png", optimize=True)


def show(ax, image, title="", color="black", **params):
    """An image without an axis, in grey unless `params` say otherwise."""
    ax.imshow(image, **{"cmap": "gray", **params})
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize="small", color=color)


def outline(ax, box, **params):
    """A box, given by its corners ``x1, y1, ...`` in pixels, upon an image."""
    x, y = box.reshape(-1, 2).T
    ax.plot([*x, x[0]], [*y, y[0]], **params)
