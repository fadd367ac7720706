"""Masks of COCO, against pycocotools."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import json

import numpy as np
import pytest

coco_mask = pytest.importorskip("pycocotools.mask")

from sklearn_convnet.datasets import load_annotations  # noqa: E402


def label_map(folder, segmentation, height, width):
    contents = dict(
        images=[dict(id=1, file_name="a.png", width=width, height=height)],
        annotations=[dict(image_id=1, category_id=1, bbox=[0, 0, 1, 1], segmentation=segmentation)],
        categories=[dict(id=1, name="thing")],
    )
    path = folder / "masks.json"
    path.write_text(json.dumps(contents))
    return load_annotations(path, "coco", masks=True).label_maps[0]


@pytest.mark.parametrize("seed", range(5))
def test_runs_of_pixels(tmp_path, seed):
    rng = np.random.RandomState(seed)
    mask = np.repeat(rng.randint(2, size=(6 + seed, 9)), 1 + 20 * seed, axis=0).astype(np.uint8)
    runs = coco_mask.encode(np.asfortranarray(mask))
    found = label_map(tmp_path, {**runs, "counts": runs["counts"].decode()}, *mask.shape)
    np.testing.assert_array_equal(found, mask)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("seed", range(5))
def test_outlines(tmp_path, seed):
    """Its outlines are drawn five times as large, so pixels at the border may differ."""
    rng = np.random.RandomState(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    radii = rng.uniform(20, 45, 12)
    corners = np.stack([50 + radii * np.cos(angles), 50 + radii * np.sin(angles)], axis=1)
    polygon = corners.round(2).ravel().tolist()
    expected = coco_mask.decode(coco_mask.frPyObjects([polygon], 100, 100))[..., 0]
    found = label_map(tmp_path, [polygon], 100, 100)
    assert np.count_nonzero(found != expected) < 0.05 * expected.sum()
    # Pixels whose neighbours are all inside, or all outside, are the same.
    inner = np.ones((98, 98), bool)
    for rows in range(3):
        for columns in range(3):
            part = expected[rows : rows + 98, columns : columns + 98]
            inner &= part == expected[1:-1, 1:-1]
    np.testing.assert_array_equal(found[1:-1, 1:-1][inner], expected[1:-1, 1:-1][inner])
