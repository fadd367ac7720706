"""The resampling of images and volumes, against PyTorch's."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402, N812

from sklearn_convnet.augmentation import RandomAffine, RandomAffine3D  # noqa: E402

torch.set_num_threads(1)

RANDOM = RandomAffine(
    rotation=(0, 360),
    translation=(-10, 10),
    scale=(1 / 1.6, 1.6),
    flip=0.5,
    shear=(-20, 20),
    stretch=(1 / 1.3, 1.3),
)


@pytest.mark.parametrize("shape", [(50, 28, 28, 1), (20, 32, 32, 3), (20, 17, 40, 5)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_affine(shape, dtype):
    n, height, width, _ = shape
    X = np.random.default_rng(0).uniform(size=shape).astype(dtype)
    # PyTorch counts from -1, the centre of the first pixel, to 1, that of the last.
    half = np.array([width - 1, height - 1]) / 2
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    changed, moved, _ = RANDOM.augment(
        X, points=np.broadcast_to(half + half * corners, (n, 3, 2)), random_state=0
    )
    moved = (moved - half) / half
    moves = np.zeros((n, 3, 3))
    moves[:, :2, 2] = moved[:, 0]
    moves[:, :2, :2] = (moved[:, 1:] - moved[:, :1]).transpose(0, 2, 1)
    moves[:, 2, 2] = 1
    theta = torch.tensor(np.linalg.inv(moves)[:, :2])
    maps = torch.tensor(X, dtype=torch.float64).movedim(-1, 1)
    grid = F.affine_grid(theta, maps.shape, align_corners=True)
    expected = F.grid_sample(maps, grid, align_corners=True).movedim(1, -1).numpy()

    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(
        changed, expected, rtol=0, atol=2e-5 if dtype == "float32" else 1e-11
    )


@pytest.mark.parametrize("shape", [(12, 9, 14, 13, 1), (5, 8, 7, 10, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_affine_3d(shape, dtype):
    transform = RandomAffine3D(
        rotation=(-180, 180), translation=(-3, 3), scale=(1 / 1.6, 1.6), flip=0.5
    )
    X = np.random.default_rng(0).uniform(size=shape).astype(dtype)
    half = (np.array(shape[3:0:-1]) - 1) / 2
    corners = np.vstack([np.zeros(3), np.eye(3)])
    changed, moved, _ = transform.augment(
        X, points=np.broadcast_to(half + half * corners, (len(X), 4, 3)), random_state=0
    )
    moved = (moved - half) / half
    moves = np.zeros((len(X), 4, 4))
    moves[:, :3, 3] = moved[:, 0]
    moves[:, :3, :3] = (moved[:, 1:] - moved[:, :1]).transpose(0, 2, 1)
    moves[:, 3, 3] = 1
    theta = torch.tensor(np.linalg.inv(moves)[:, :3])
    maps = torch.tensor(X, dtype=torch.float64).movedim(-1, 1)
    grid = F.affine_grid(theta, maps.shape, align_corners=True)
    expected = F.grid_sample(maps, grid, align_corners=True).movedim(1, -1).numpy()

    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(
        changed, expected, rtol=0, atol=2e-5 if dtype == "float32" else 1e-11
    )
