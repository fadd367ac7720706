"""Data and helpers that the tests of the estimators share."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import os
import struct
import subprocess
import sys
import textwrap

# Read when scipy is imported: without it scikit-learn skips a check.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sklearn_convnet.layers import Conv2D, Dense, MaxPool2D, Rescale


@pytest.fixture(scope="session")
def digits():
    """300 images of digits (8, 8) with values 0 to 16, and their labels."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:300].reshape(-1, 8, 8), y[:300]
    X.flags.writeable = y.flags.writeable = False
    return X, y


@pytest.fixture
def idx_folder(tmp_path):
    """A folder with digits as if they were MNIST: 300 for training, 100 for testing."""
    folder = tmp_path / "idx"
    folder.mkdir()
    X, y = load_digits(return_X_y=True)
    X = X.reshape(-1, 8, 8)
    for part, rows in (("train", slice(0, 300)), ("t10k", slice(300, 400))):
        for name, array in (("images-idx3", X[rows]), ("labels-idx1", y[rows])):
            header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            content = header + array.astype(np.uint8).tobytes()
            (folder / f"{part}-{name}-ubyte").write_bytes(content)
    return folder


@pytest.fixture
def small_layers():
    """Makes a network for the digits that trains in a moment."""

    def make():
        return [
            ("scale", Rescale(1 / 16)),
            ("conv1", Conv2D(6, 3)),
            ("pool1", MaxPool2D(2)),
            ("dense1", Dense(24)),
        ]

    return make


@pytest.fixture
def maps():
    """60 small maps (6, 6, 2) in float32, of three classes that are easy to tell."""
    rng = np.random.RandomState(0)
    y = np.arange(60) % 3
    X = rng.normal(size=(60, 6, 6, 2)).astype(np.float32)
    X[..., 0] += y[:, None, None]
    return X, y


@pytest.fixture
def run_python(tmp_path):
    """Runs a plain script in a new process; returns what it printed."""

    def run(script, *, timeout=120, check=True, **environment):
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(script))
        result = subprocess.run(
            [sys.executable, str(path)],
            env={**os.environ, "PYTHONSAFEPATH": "1", **environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check:
            assert result.returncode == 0, result.stderr
            return result.stdout
        return result.stdout + result.stderr

    return run
