"""From names of image files to images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin
from sklearn.utils._param_validation import validate_parameter_constraints

from .._typing import PathLike
from ..constraints import StrOptions
from ..image_files import FITS, MODES, ImageForm, checked_size, pillow
from ..many_files import listed_paths, read_in_turn, told
from ..on_demand import Stored
from ..parameters import Parametrized

_CONSTRAINTS = {
    "size": [Integral, "array-like"],
    "mode": [StrOptions(set(MODES))],
    "fit": [StrOptions(set(FITS))],
    "folder": [str, os.PathLike, None],
    "n_jobs": [Integral, None],
}


class ImageFiles(Stored):
    """A list of image files, in the place of an array of images.

    Estimators take it as X. They read each batch when its turn comes, and while the network is at
    work on one, threads read the next. So images that do not fit in memory need no copy on the
    disk. Each epoch decodes them again: where memory allows it, ``np.asarray(files)`` reads all of
    them once.

    Rows of it, such as ``files[::2]`` or those that `train_test_split` or a search take, are
    `ImageFiles` again, and nothing is read; ``files[0]`` is an image. Pixels of all kinds become
    bytes as `load_image_folder` says.

    Pillow reads the files; the extra ``images`` brings it.

    Parameters
    ----------
    paths : array-like of shape (n_samples,) or (n_samples, 1)
        Names of files, str or path-like.
    size : int or (int, int)
        Height and width of all images in pixels, or one number for both.
    mode : {"RGB", "L"}, default="RGB"
        Three channels or one, grey.
    fit : {"resize", "crop", "pad"}, default="resize"
        How images of other proportions get the size: stretched, cropped at both ends, or padded
        with black at both ends.
    folder : str or path-like, default=None
        Where the files are, if the names do not say it.
    n_jobs : int, default=None
        Number of threads that read; -1 is as many as there are cores. The images do not depend on
        it.

    Attributes
    ----------
    shape : tuple of int
        ``(n_samples, height, width, n_channels)``.
    dtype : dtype
        Of bytes.
    ndim : int
        Four axes.
    filenames : ndarray of shape (n_samples,)
        The files, as str.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    TypeError
        If a path is none.
    ValueError
        If there are no paths, or a parameter is wrong; and later, if files of a batch cannot be
        read, with the names of all of them.

    See Also
    --------
    ImageReader : The same as a step of a pipeline.
    sklearn_convnet.datasets.load_image_folder : Images and classes of a folder.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.preprocessing import ImageFiles
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     names = [f"{grey}.png" for grey in range(0, 240, 8)]
    ...     for name in names:
    ...         Image.new("L", (30, 20), int(name[:-4])).save(Path(folder, name))
    ...     files = ImageFiles(names, size=8, mode="L", folder=folder)
    ...     clf = ConvNetClassifier(max_iter=10, random_state=0).fit(files, np.arange(30) > 14)
    ...     files, clf.predict(files[[0, 29]]), files[2].shape
    (ImageFiles(30 files, size=(8, 8), mode='L', fit='resize'), array([False,  True]), (8, 8, 1))
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(
        self,
        paths: ArrayLike | Sequence[PathLike],
        size: int | tuple[int, int],
        *,
        mode: Literal["RGB", "L"] = "RGB",
        fit: Literal["resize", "crop", "pad"] = "resize",
        folder: PathLike | None = None,
        n_jobs: int | None = None,
    ) -> None:
        given = dict(size=size, mode=mode, fit=fit, folder=folder, n_jobs=n_jobs)
        validate_parameter_constraints(_CONSTRAINTS, given, "ImageFiles")
        pillow("ImageFiles")
        names = listed_paths(paths)
        if not names:
            raise ValueError("paths holds no file: at least one is needed")
        if folder is not None:
            names = [os.path.join(folder, name) for name in names]
        self._form = ImageForm(checked_size(size), mode, fit)
        self.filenames, self.n_jobs = np.array(names), n_jobs

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of images, and the shape of one."""
        height, width = self._form.size  # type: ignore[misc]  # never None here
        return (len(self.filenames), height, width, self._form.n_channels)

    def read(self, i: int) -> NDArray[Any]:
        """The image of a file.

        Parameters
        ----------
        i : int
            Its place.

        Returns
        -------
        ndarray of shape (height, width, n_channels)
            Bytes.
        """
        return self._form.read(self.filenames[i])

    def __getitem__(self, rows):
        """An image, or the `ImageFiles` of a slice or an array of rows."""
        if isinstance(rows, tuple):  # scikit-learn adds the other axes
            rows, *others = rows
            if others != [Ellipsis]:
                raise IndexError("ImageFiles has rows of images, no pixels: index its images")
        if isinstance(rows, Integral):
            return self.read(rows)
        taken = object.__new__(type(self))
        taken._form, taken.n_jobs = self._form, self.n_jobs
        taken.filenames = self.filenames[rows]
        return taken

    def __array__(self, dtype=None, copy=None):
        """All images."""
        if copy is False:
            raise ValueError("images in files are read into a new array: copy=False cannot be")
        images = np.empty(self.shape, self.dtype)
        errors = []
        for i, image in enumerate(read_in_turn(self._form.read, self.filenames, self.n_jobs)):
            if isinstance(image, Exception):
                errors.append(image)
            else:
                images[i] = image
        if errors:
            raise ValueError(told(errors, len(self)))
        return images if dtype is None else images.astype(dtype, copy=False)

    def __repr__(self):
        form = self._form
        return (
            f"ImageFiles({len(self)} files, size={form.size}, mode={form.mode!r}, fit={form.fit!r})"
        )


class ImageReader(TransformerMixin, Parametrized):
    """Transforms names of image files into images.

    As the first step of a pipeline it lets all of scikit-learn work on a list of names, which is
    split and permuted at no cost, and searches try sizes and modes. Pixels of all kinds become
    bytes as `load_image_folder` says. There is nothing to fit.

    Pillow reads the files; the extra ``images`` brings it.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of all images in pixels, or one number for both.
    mode : {"RGB", "L"}, default="RGB"
        Three channels or one, grey.
    fit_mode : {"resize", "crop", "pad"}, default="resize"
        How images of other proportions get the size: stretched, cropped at both ends, or padded
        with black at both ends. `ImageFiles` calls it `fit`, which is a method here.
    folder : str or path-like, default=None
        Where the files are, if the names do not say it.
    on_demand : bool, default=False
        Whether an image is read only when the next step asks for it. `transform` then returns
        `ImageFiles`, which the estimators of this package read batch by batch, again in each epoch.
    n_jobs : int, default=None
        Number of threads that read; -1 is as many as there are cores. The images do not depend on
        it.

    See Also
    --------
    ImageFiles : What `on_demand` returns.
    sklearn_convnet.datasets.load_image_folder : Images and classes of a folder.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_convnet import ConvNetClassifier
    >>> from sklearn_convnet.preprocessing import ImageReader
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     names = [f"{grey}.png" for grey in range(0, 240, 8)]
    ...     for name in names:
    ...         Image.new("L", (30, 20), int(name[:-4])).save(Path(folder, name))
    ...     reader = ImageReader(8, mode="L", folder=folder)
    ...     images = reader.transform(names)
    ...     pipeline = make_pipeline(reader, ConvNetClassifier(max_iter=10, random_state=0))
    ...     search = GridSearchCV(pipeline, {"imagereader__size": [4, 8]}, cv=3)
    ...     search = search.fit(names, np.arange(30) % 2)
    >>> images.shape, images.dtype
    ((30, 8, 8, 1), dtype('uint8'))
    >>> len(search.cv_results_["params"])
    2
    """

    _parameter_constraints = {
        **{name: one for name, one in _CONSTRAINTS.items() if name != "fit"},
        "fit_mode": _CONSTRAINTS["fit"],
        "on_demand": ["boolean"],
    }

    def __init__(
        self,
        size: int | tuple[int, int],
        *,
        mode: Literal["RGB", "L"] = "RGB",
        fit_mode: Literal["resize", "crop", "pad"] = "resize",
        folder: PathLike | None = None,
        on_demand: bool = False,
        n_jobs: int | None = None,
    ) -> None:
        self.size = size
        self.mode = mode
        self.fit_mode = fit_mode
        self.folder = folder
        self.on_demand = on_demand
        self.n_jobs = n_jobs

    def fit(self, X: ArrayLike | Sequence[PathLike], y: Any = None) -> Self:
        """Check the parameters and X.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Names of files, str or path-like: a list, an array, a Series or a table of one column.
        y : None
            Ignored.

        Returns
        -------
        self : ImageReader

        Raises
        ------
        ImportError
            If Pillow is not installed.
        TypeError
            If X holds anything else.
        ValueError
            If a parameter is wrong, or X has several columns or no rows.
        """
        self._files(X)
        return self

    def transform(self, X: ArrayLike | Sequence[PathLike]) -> NDArray[Any] | ImageFiles:
        """Read images.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, 1)
            Names of files.

        Returns
        -------
        ndarray of shape (n_samples, height, width, n_channels) or ImageFiles
            Bytes, channels last; with `on_demand`, what stands for them.

        Raises
        ------
        ImportError, TypeError
            As `fit` does.
        ValueError
            As `fit` does, or if files cannot be read, with the names of all of them.
        """
        files = self._files(X)
        return files if self.on_demand else np.asarray(files)

    def _files(self, X):
        self._validate_params()
        how = dict(mode=self.mode, fit=self.fit_mode, folder=self.folder, n_jobs=self.n_jobs)
        return ImageFiles(listed_paths(X, "X"), self.size, **how)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags
