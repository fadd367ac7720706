"""Label maps of the outlines and runs of pixels in COCO's files."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import json

import numpy as np
import pytest

from sklearn_convnet import ConvNetClassifier
from sklearn_convnet.datasets import load_annotations
from sklearn_convnet.layers import Conv2D


def with_masks(folder, annotations, images=None, n_classes=3, **options):
    """Label maps of annotations in images of 6 x 8 pixels."""
    contents = dict(
        images=images or [dict(id=1, file_name="a.png", width=8, height=6)],
        annotations=[{"image_id": 1, "bbox": [0, 0, 1, 1], **one} for one in annotations],
        categories=[dict(id=i, name=f"class {i}") for i in range(n_classes)],
    )
    path = folder / "masks.json"
    path.write_text(json.dumps(contents))
    return load_annotations(path, "coco", **{"masks": True, **options})


def outline(x1, y1, x2, y2):
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def test_pixels_whose_middle_is_inside(tmp_path):
    annotations = [
        dict(category_id=0, segmentation=[outline(1, 1, 3, 3), outline(4.6, 0, 6.4, 0.5)]),
        dict(category_id=2, segmentation=[[0, 6, 3, 3, 6, 6]]),
    ]
    maps = with_masks(tmp_path, annotations).label_maps
    assert maps.dtype == np.uint8
    expected = """
        0 0 0 0 0 0 0 0
        0 1 1 0 0 0 0 0
        0 1 1 0 0 0 0 0
        0 0 3 0 0 0 0 0
        0 3 3 3 0 0 0 0
        3 3 3 3 3 0 0 0
    """
    # In row 3 the triangle reaches from 2.5 to 3.5: a middle on its left side is inside.
    rows = [line.split() for line in expected.strip().splitlines()]
    np.testing.assert_array_equal(maps[0], np.array(rows, int))


def test_neighbours_share_no_pixel_and_leave_none_out(tmp_path):
    left, right = [0, 0, 3.5, 0, 5.5, 6, 0, 6], [3.5, 0, 8, 0, 8, 6, 5.5, 6]
    one, other = (
        with_masks(tmp_path, [dict(category_id=0, segmentation=[part])]).label_maps[0]
        for part in (left, right)
    )
    np.testing.assert_array_equal(one + other, np.ones((6, 8)))


def test_the_smaller_object_is_in_front_and_a_crowd_behind(tmp_path):
    small = dict(category_id=0, segmentation=[outline(2, 2, 4, 4)])
    large = dict(category_id=1, segmentation=[outline(1, 1, 7, 5)])
    crowd = dict(category_id=1, iscrowd=1, segmentation=[outline(0, 0, 8, 6)])
    expected = np.full((6, 8), 255)
    expected[1:5, 1:7], expected[2:4, 2:4] = 2, 1
    for order in ([small, large, crowd], [crowd, large, small]):
        found = with_masks(tmp_path, order)
        np.testing.assert_array_equal(found.label_maps[0], expected)
        assert len(found.target) == 2
    of_one = with_masks(tmp_path, [small, large, crowd], target_names=["class 0"])
    np.testing.assert_array_equal(of_one.label_maps[0], expected == 1)
    largest = with_masks(
        tmp_path, [small | dict(bbox=[2, 2, 2, 2]), large], objects="largest"
    ).label_maps
    np.testing.assert_array_equal(largest[0], (expected == 1) * 1)


def test_images_of_several_sizes_and_without_objects(tmp_path):
    images = [
        dict(id=i, file_name=f"{i}.png", width=width, height=6) for i, width in enumerate((8, 8, 5))
    ]
    annotations = [dict(category_id=0, image_id=1, segmentation=[outline(0, 0, 2, 2)])]
    found = with_masks(tmp_path, annotations, images)
    assert [one.shape for one in found.label_maps] == [(6, 8), (6, 8), (6, 5)]
    assert [int(one.sum()) for one in found.label_maps] == [0, 4, 0]
    assert found.image_names.tolist() == ["0.png", "1.png", "2.png"]
    alike = with_masks(tmp_path, annotations, images[:2])
    assert alike.label_maps.shape == (2, 6, 8)
    assert with_masks(tmp_path, annotations, images, masks=False).label_maps is None


def test_many_classes(tmp_path):
    crowd = dict(category_id=0, iscrowd=1, segmentation=[outline(0, 0, 2, 6)])
    last = dict(category_id=299, segmentation=[outline(4, 0, 8, 6)])
    (labels,) = with_masks(tmp_path, [crowd, last], n_classes=300).label_maps
    assert labels.dtype == np.uint16
    assert np.unique(labels).tolist() == [0, 300, 65535]


def test_runs_of_pixels(tmp_path):
    mask = np.zeros((6, 8), int)
    mask[1:4, 2], mask[:, 3], mask[5, 7] = 1, 1, 1
    plain = dict(size=[6, 8], counts=[13, 3, 2, 6, 23, 1])
    for counts in (plain["counts"], encoded(plain["counts"])):
        one = dict(category_id=0, segmentation={**plain, "counts": counts})
        np.testing.assert_array_equal(with_masks(tmp_path, [one]).label_maps[0], mask)


def encoded(counts):
    """COCO's text for runs, after ``rleToString`` of its API."""
    text = ""
    for i, count in enumerate(counts):
        number, more = count - (counts[i - 2] if i > 2 else 0), True
        while more:
            bits, number = number & 31, number >> 5
            more = number != (-1 if bits & 16 else 0)
            text += chr((bits | (32 if more else 0)) + 48)
    return text


@pytest.mark.parametrize("seed", range(5))
def test_long_runs(tmp_path, seed):
    rng = np.random.RandomState(seed)
    height, width = 70, 1100
    counts = rng.geometric(0.5 ** rng.randint(1, 12, size=300)).tolist()
    while sum(counts) > height * width:
        counts.pop()
    counts.append(height * width - sum(counts))
    images = [dict(id=1, file_name="a.png", width=width, height=height)]
    pair = [
        dict(category_id=0, segmentation=dict(size=[height, width], counts=made))
        for made in (counts, encoded(counts))
    ]
    one, other = (with_masks(tmp_path, [made], images).label_maps[0] for made in pair)
    np.testing.assert_array_equal(one, other)
    assert one.sum() == sum(counts[1::2])


RUNS = dict(size=[6, 8], counts=[40, 8])


@pytest.mark.parametrize(
    ("segmentation", "match"),
    [
        (None, "it must be a list of outlines, or runs"),
        ([], "it must be a list of outlines, or runs"),
        ([[0, 0, 1, 1]], "an outline must be x1, y1"),
        ([[0, 0, 1, 1, 2, 2, 3]], "an outline must be x1, y1"),
        ([[0, 0, 1, 1, 2, "a"]], "an outline must be x1, y1"),
        ([[0, 0, 1, 1, 2, None]], "an outline must be x1, y1"),
        ([[0, 0, 1, 1, 2, 1e300]], "an outline must be x1, y1"),
        ([5], "an outline must be x1, y1"),
        ({**RUNS, "size": [8, 6]}, r"its size is \[8, 6\], but that of the image \[6, 8\]"),
        ({**RUNS, "counts": [40, 9]}, "its runs are of 49 pixels, but the image has 48"),
        ({**RUNS, "counts": [49, -1]}, "'counts' must be whole numbers"),
        ({**RUNS, "counts": [40.0, 8]}, "'counts' must be whole numbers"),
        ({**RUNS, "counts": "8é"}, "the character 'é', which stands for nothing"),
        ({**RUNS, "counts": "8P"}, "'counts' ends within a number"),
    ],
)  # fmt: skip
def test_bad_masks(tmp_path, segmentation, match):
    right = dict(category_id=0, segmentation=[outline(0, 0, 2, 2)])
    with pytest.raises(ValueError, match=match) as caught:
        with_masks(tmp_path, [right, dict(category_id=0, segmentation=segmentation)])
    path = tmp_path / "masks.json"
    assert str(caught.value).startswith(f"{path}: annotation 1: 'segmentation': ")


def test_sizes_that_are_no_whole_numbers(tmp_path):
    images = [dict(id=1, file_name="a.png", width=8.5, height=6)]
    one = dict(category_id=0, segmentation=[outline(0, 0, 2, 2)])
    with pytest.raises(ValueError, match=r"a\.png: height and width must be whole numbers"):
        with_masks(tmp_path, [one], images)


def test_a_classifier_takes_the_maps(tmp_path):
    annotations = [
        dict(category_id=0, segmentation=[outline(1, 1, 4, 4)]),
        dict(category_id=1, iscrowd=1, segmentation=[outline(5, 0, 8, 6)]),
    ]
    y = with_masks(tmp_path, annotations).label_maps
    clf = ConvNetClassifier(
        [Conv2D(4, 3, padding="same")], target="maps", ignore_label=255, max_iter=2
    ).fit(np.zeros((1, 6, 8)) + y, y)
    assert clf.classes_.tolist() == [0, 1]
    assert clf.predict(np.zeros((1, 6, 8))).shape == y.shape
