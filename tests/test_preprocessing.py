"""Names of files in the place of images: what reads them, when, and how often."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from sklearn_convnet import ConvNetClassifier, ConvNetRegressor
from sklearn_convnet.augmentation import RandomFlip, TestTimeAugmentation
from sklearn_convnet.batches import Pass, Samples
from sklearn_convnet.callbacks import Checkpoint
from sklearn_convnet.datasets import load_image_folder
from sklearn_convnet.layers import Conv2D, GlobalMaxPool, Standardize
from sklearn_convnet.multi_crop import MultiCrop
from sklearn_convnet.on_demand import OnDemand, Stored, ahead
from sklearn_convnet.preprocessing import ImageFiles, ImageReader

N = 60
LAYERS = [Standardize(), Conv2D(4, 3), GlobalMaxPool()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of noise, the first half darker than the second."""
    path = tmp_path_factory.mktemp("images")
    rng = np.random.RandomState(0)
    for i in range(N):
        image = rng.randint(0, 156, (12, 15, 3)) + (100 if i >= N // 2 else 0)
        Image.fromarray(image.astype(np.uint8)).save(path / f"{i:02}.png")
    return path


@pytest.fixture(scope="module")
def names():
    return [f"{i:02}.png" for i in range(N)]


@pytest.fixture(scope="module")
def y():
    return np.arange(N) // (N // 2)


def quick(estimator=ConvNetClassifier, layers=LAYERS, **params):
    return estimator(layers, **{**dict(batch_size=16, max_iter=3, random_state=0), **params})


# ---------------------------------------------------------------------------
# ImageFiles
# ---------------------------------------------------------------------------


def test_it_looks_like_an_array(folder, names):
    files = ImageFiles(names, size=(8, 10), folder=folder)
    images = np.asarray(files)
    assert (files.shape, files.dtype, files.ndim, len(files)) == ((N, 8, 10, 3), np.uint8, 4, N)
    assert (images.shape, images.dtype) == (files.shape, files.dtype)
    np.testing.assert_array_equal(files[3], images[3])
    np.testing.assert_array_equal(files[-1], images[-1])
    np.testing.assert_array_equal(list(files), images)
    np.testing.assert_array_equal(np.array(files, dtype=np.float32), images)
    for rows in (slice(2, 30, 3), [5, 1, 1], np.arange(N) % 7 == 0, (np.array([4, 2]), Ellipsis)):
        some = files[rows]
        assert isinstance(some, ImageFiles)
        np.testing.assert_array_equal(np.asarray(some), images[rows])
    with pytest.raises(IndexError):
        files[N]
    with pytest.raises(IndexError, match="rows of images, no pixels"):
        files[0, 1]
    with pytest.raises(ValueError, match="copy=False"):
        np.array(files, copy=False)
    again = pickle.loads(pickle.dumps(files))
    np.testing.assert_array_equal(np.asarray(again), images)
    assert repr(files) == "ImageFiles(60 files, size=(8, 10), mode='RGB', fit='resize')"


def test_images_are_those_of_a_folder(folder, names, tmp_path):
    (tmp_path / "all").symlink_to(folder)
    for how in (dict(size=7, mode="L", fit="crop"), dict(size=(20, 9), fit="pad")):
        found = load_image_folder(tmp_path, **how)
        for n_jobs in (None, 3):
            files = ImageFiles(found.filenames, **how, n_jobs=n_jobs)
            np.testing.assert_array_equal(np.asarray(files), found.data)
    assert ImageFiles([folder / "00.png"], 5).filenames.tolist() == [str(folder / "00.png")]


@pytest.mark.parametrize(
    ("paths", "params", "error", "match"),
    [
        ("a.png", {}, TypeError, "paths must be a list of files, got 'a.png'"),
        (Path("a.png"), {}, TypeError, "must be a list of files"),
        ([], {}, ValueError, "paths holds no file"),
        (["a.png", 3], {}, TypeError, r"paths\[1\] must be a str or path-like, got 3"),
        (pd.Series(["a.png", None]), {}, TypeError, r"paths\[1\] must be .* got (nan|None)"),
        (np.array([["a", "b"]]), {}, ValueError, r"one column, got shape \(1, 2\)"),
        (["a.png"], dict(size=0), ValueError, "size must be"),
        (["a.png"], dict(size=None), ValueError, "'size' parameter of ImageFiles"),
        (["a.png"], dict(mode="RGBA"), ValueError, "'mode' parameter of ImageFiles"),
        (["a.png"], dict(fit="no"), ValueError, "'fit' parameter of ImageFiles"),
        (["a.png"], dict(n_jobs="all"), ValueError, "'n_jobs' parameter of ImageFiles"),
    ],
)
def test_bad_arguments(paths, params, error, match):
    with pytest.raises(error, match=match):
        ImageFiles(paths, **{"size": 8, **params})


def test_without_pillow(monkeypatch, names):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"ImageFiles needs Pillow.*\[images\]"):
        ImageFiles(names, 8)


# ---------------------------------------------------------------------------
# Estimators
# ---------------------------------------------------------------------------

FITS = {
    "plain": {},
    "in order": dict(shuffle=False),
    "shards": dict(n_shards=2),
    "held out": dict(early_stopping=True, validation_fraction=0.3),
    "augmented": dict(augmentation=RandomFlip()),
    "crops": dict(multi_crop=MultiCrop(6)),
    "views": dict(test_time_augmentation=TestTimeAugmentation([RandomFlip(horizontal=1.0)])),
    "float64": dict(dtype="float64"),
}


@pytest.mark.oldest
@pytest.mark.parametrize("params", FITS.values(), ids=FITS)
@pytest.mark.parametrize("n_jobs", [None, 3])
def test_a_fit_is_that_of_the_array(folder, names, y, params, n_jobs):
    files = ImageFiles(names, size=8, folder=folder, n_jobs=n_jobs)
    images = np.asarray(files)
    clf, same = quick(**params).fit(files, y), quick(**params).fit(images, y)
    assert clf.loss_curve_ == same.loss_curve_
    np.testing.assert_array_equal(clf.predict_proba(files), same.predict_proba(images))
    np.testing.assert_array_equal(clf.predict_proba(files[5:9]), same.predict_proba(images)[5:9])
    assert clf.score(files, y) == same.score(images, y)
    assert clf.input_shape_ == (8, 8, 3)


def test_more_of_fit(folder, names, y):
    files = ImageFiles(names, size=8, folder=folder)
    images = np.asarray(files)
    weight = np.arange(N) % 3
    how = dict(sample_weight=weight)
    clf = quick().fit(files, y, **how, X_val=files[::2], y_val=y[::2])
    same = quick().fit(images, y, **how, X_val=images[::2], y_val=y[::2])
    assert clf.history_ == same.history_
    np.testing.assert_array_equal(clf.predict(files), same.predict(images))
    for X, one in ((files, clf), (images, same)):
        one.partial_fit(X[10:40], y[10:40])
    np.testing.assert_array_equal(clf.predict_proba(files), same.predict_proba(images))
    reg, of_array = (quick(ConvNetRegressor).fit(X, y * 3.0) for X in (files, images))
    np.testing.assert_array_equal(reg.predict(files), of_array.predict(images))


def test_grey_without_an_axis_of_channels(folder, names, y):
    files = ImageFiles(names, size=8, mode="L", folder=folder)
    images = np.asarray(files)[..., 0]
    clf = quick().fit(images, y)
    np.testing.assert_array_equal(clf.predict_proba(files), clf.predict_proba(images))
    assert quick().fit(files, y).score(images, y) == clf.score(images, y)


def test_a_checkpoint_knows_the_files(folder, names, y, tmp_path):
    files = ImageFiles(names, size=8, folder=folder)
    path = tmp_path / "checkpoint.joblib"
    clf = quick().set_callbacks(Checkpoint(path)).fit(files, y)
    again = quick().set_callbacks(Checkpoint(path)).fit(files[:], y)
    assert again.loss_curve_ == clf.loss_curve_
    with pytest.raises(ValueError, match="is of a fit with another X"):
        quick().set_callbacks(Checkpoint(path)).fit(files[np.arange(N)[::-1]], y)


def test_what_does_not_fit(folder, names, y):
    files = ImageFiles(names, size=8, folder=folder)
    with pytest.raises(ValueError, match=r"X is ImageFiles, .*data_format='channels_last'"):
        quick(data_format="channels_first").fit(files, y)
    clf = quick().fit(files, y)
    with pytest.raises(ValueError, match=r"X has samples of shape \(8, 8, 1\)"):
        clf.predict(ImageFiles(names, size=8, mode="L", folder=folder))
    with pytest.raises(ValueError, match="X has 5 samples, but y has 60"):
        clf.fit(files[:5], y)


def test_damaged_files_of_a_batch_are_named(folder, names, y, tmp_path):
    (tmp_path / "empty.png").touch()
    paths = [*(folder / name for name in names[:-2]), tmp_path / "no.png", tmp_path / "empty.png"]
    files = ImageFiles(paths, size=8)
    named = r"2 of {} files cannot be read: .*no\.png: No such file.*; .*empty\.png: an empty file"
    with pytest.raises(ValueError, match=named.format(60)):
        np.asarray(files)
    clf = quick(shuffle=False)
    with pytest.raises(ValueError, match=named.format(60)):  # one batch of the statistics
        clf.fit(files, y)
    assert not hasattr(clf, "network_")


@pytest.mark.oldest
def test_searches_and_splits_read_nothing(folder, names, y, monkeypatch):
    files = ImageFiles(names, size=8, folder=folder)
    with monkeypatch.context() as patch:
        patch.setattr(ImageFiles, "read", None)
        train, test, y_train, y_test = train_test_split(files, y, random_state=0)
    assert isinstance(train, ImageFiles)
    images = [np.asarray(part) for part in (train, test)]
    of_files = quick().fit(train, y_train).score(test, y_test)
    assert of_files == quick().fit(images[0], y_train).score(images[1], y_test)
    of_files = cross_val_score(quick(), files, y, cv=3)
    np.testing.assert_array_equal(of_files, cross_val_score(quick(), np.asarray(files), y, cv=3))


# ---------------------------------------------------------------------------
# What is read when
# ---------------------------------------------------------------------------


class Numbers(Stored):
    """Sample i is i; it is known which have been read, and how many wait to be taken."""

    def __init__(self, n, n_jobs=2):
        self.shape, self.dtype, self.n_jobs = (n, 1), np.dtype(np.float32), n_jobs
        self.reads, self.arrived = [], threading.Semaphore(0)

    def read(self, i):
        self.reads.append(i)
        self.arrived.release()
        return np.array([i], np.float32)

    def wait(self, n):
        """Wait for n reads; there are no more."""
        for _ in range(n):
            assert self.arrived.acquire(timeout=10)
        assert not self.arrived.acquire(timeout=0.05)
        return self.reads


def pass_over(stored, n_batches, seed=None, rows=None):
    X = OnDemand(stored)
    n = len(stored) if rows is None else len(rows)
    edges = [(n * i // n_batches, n * (i + 1) // n_batches) for i in range(n_batches)]
    return Pass(Samples(X, np.arange(n), np.ones(n), rows), edges, seed)


@pytest.mark.parametrize("seed", [None, 0])
@pytest.mark.parametrize("rows", [None, np.arange(0, 24, 2)])
def test_a_batch_is_read_while_the_one_before_is_at_work(seed, rows):
    stored = Numbers(24)
    given = pass_over(stored, 3, seed, rows)
    size = len(given.samples) // 3
    seen = []
    for i in range(3):
        X = given.batch(i, given.samples.X.__getitem__).X[:, 0].tolist()
        stored.wait(size * (2, 1, 0)[i])
        assert set(X) <= set(stored.reads)
        seen += X
    expected = np.arange(24) if rows is None else rows
    assert sorted(seen) == expected.tolist() == sorted(stored.reads)
    assert (seen == expected.tolist()) == (seed is None)
    assert not given.samples.X._expected


def test_going_ahead():
    stored = Numbers(10)
    X = OnDemand(stored)
    selections = [slice(0, 4), np.array([9, 4, 4]), slice(6, 20)]
    seen = []
    for n, rows in zip((6, 3, 1), ahead(X, selections), strict=True):
        seen.append(X[rows][:, 0].tolist())
        stored.wait(n)
    assert seen == [[0, 1, 2, 3], [9, 4, 4], [6, 7, 8, 9]]
    assert sorted(stored.reads) == [0, 1, 2, 3, 4, 6, 7, 8, 9, 9]
    assert not X._expected
    assert list(ahead(np.arange(10), selections)) == selections
    assert X[3].tolist() == [3]


def test_a_fit_never_holds_more_than_two_batches(monkeypatch):
    stored, most = Numbers(96), []
    take = OnDemand.__getitem__

    def watched(X, rows):
        most.append(len(X._expected))
        return take(X, rows)

    monkeypatch.setattr(OnDemand, "__getitem__", watched)
    clf = ConvNetClassifier(batch_size=8, max_iter=2, input_kind="table", random_state=0)
    clf.fit(stored, np.arange(96) % 2)
    assert max(most[-24:]) == 16
    assert sorted(stored.reads[-192:]) == sorted([*range(96)] * 2)


def test_validation_in_the_centre_reads_each_file_once(folder, names, y):
    reads = []

    class Watched(ImageFiles):
        def read(self, i):
            reads.append(i)
            return super().read(i)

    X, X_val = (kind(names, (12, 15), folder=folder) for kind in (ImageFiles, Watched))
    quick(multi_crop=MultiCrop(8), max_iter=1).fit(X, y, X_val=X_val, y_val=y)
    assert sorted(reads) == list(range(N))


def test_an_error_that_is_none_of_files_is_raised():
    class Failing(Numbers):
        def read(self, i):
            raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        OnDemand(Failing(4))[0:2]


# ---------------------------------------------------------------------------
# ImageReader
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "check",
    [
        "estimator_cloneable", "valid_tag_types", "estimator_repr", "no_attributes_set_in_init",
        "get_params_invariance", "set_params", "mixin_order", "parameters_default_constructible",
        "do_not_raise_errors_in_init_or_set_params", "estimator_tags_renamed",
    ],
)  # fmt: skip
def test_checks_that_need_no_table(check):
    """The others fit arrays of numbers."""
    getattr(estimator_checks, f"check_{check}")("ImageReader", ImageReader(8))


def test_names_come_in_every_form(folder, names):
    reader = ImageReader(8, mode="L", fit_mode="pad", folder=folder)
    expected = np.asarray(ImageFiles(names, 8, mode="L", fit="pad", folder=folder))
    table = pd.DataFrame({"file": names, "age": np.arange(N)})
    forms = [
        names,
        tuple(names),
        np.array(names),
        np.array(names, dtype=object)[:, np.newaxis],
        table["file"],
        table[["file"]],
        [Path(name) for name in names],
    ]
    for X in forms:
        np.testing.assert_array_equal(reader.fit(X).transform(X), expected)
    np.testing.assert_array_equal(clone(reader).fit_transform(names), expected)
    check_is_fitted(reader)
    columns = make_column_transformer((reader, "file"), sparse_threshold=0)
    with pytest.raises(ValueError):
        columns.fit_transform(table)  # puts tables together, which images are not
    with pytest.raises(TypeError, match=r"X\[0\] must be a str or path-like, got 0"):
        reader.fit(table["age"])
    with pytest.raises(ValueError, match="X must be one column"):
        reader.transform(table)
    with pytest.raises(ValueError, match="'fit_mode' parameter of ImageReader"):
        reader.set_params(fit_mode="no").fit(names)


@pytest.mark.parametrize("on_demand", [False, True])
def test_a_search_over_names(folder, names, y, on_demand):
    pipeline = make_pipeline(ImageReader(8, folder=folder, on_demand=on_demand), quick())
    table = pd.DataFrame({"file": names})
    grid = {"imagereader__size": [6, (8, 10)], "imagereader__mode": ["L", "RGB"]}
    search = GridSearchCV(pipeline, grid, cv=3).fit(table, y)
    scores = search.cv_results_["mean_test_score"]
    by_hand = [
        cross_val_score(
            quick(), np.asarray(ImageFiles(names, size, mode=mode, folder=folder)), y, cv=3
        )
        for mode in ("L", "RGB")
        for size in (6, (8, 10))
    ]
    np.testing.assert_array_equal(scores, np.mean(by_hand, axis=1))
    best = search.best_estimator_
    assert isinstance(best[0].transform(names), ImageFiles if on_demand else np.ndarray)
    np.testing.assert_array_equal(search.predict(names[:3]), best.predict(table[:3]))
