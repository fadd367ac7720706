"""Scores of boxes and joints: by hand, by counting points, and what must not matter."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyRegressor
from sklearn.metrics import make_scorer, precision_recall_curve
from sklearn.model_selection import cross_val_score

from sklearn_convnet.metrics import (
    box_iou,
    detection_average_precision,
    localization_accuracy,
    percentage_of_correct_keypoints,
)

SQUARE = [0, 0, 1, 0, 1, 1, 0, 1]


def turned(points, degrees):
    """Points `x1, y1, ...` turned about 0."""
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (np.reshape(points, (-1, 2)) @ matrix.T).ravel()


# ---------------------------------------------------------------------------
# Intersection over union
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (SQUARE, 1),
        ([0.5, 0, 1.5, 0, 1.5, 1, 0.5, 1], 1 / 3),
        ([1, 0, 2, 0, 2, 1, 1, 1], 0),  # they share an edge
        ([3, 3, 4, 3, 4, 4, 3, 4], 0),
        ([0.25, 0.25, 0.75, 0.25, 0.75, 0.75, 0.25, 0.75], 1 / 4),  # inside
        ([0, 0, 1, 0, 1, 1, 1, 1], 1 / 2),  # a triangle
        ([0, 0, 1, 0, 0, 1, 0.2, 0.2], 1 / 2),  # one corner is within the three others
        ([0, 0, 1, 1, 1, 0, 0, 1], 1),  # crosses itself
        ([0, 0.5, 1, 0.5, 1, 0.5, 0, 0.5], 0),  # a line
        ([0.5, 0.5] * 4, 0),  # a point
        (turned(SQUARE, 90) + np.tile([1, 0], 4), 1),
        (turned(np.subtract(SQUARE, 0.5), 45) + 0.5, np.sqrt(0.5)),  # they share an octagon
    ],
)
def test_iou_by_hand(other, expected):
    np.testing.assert_allclose(box_iou([SQUARE], [other]), [expected], atol=1e-12)
    np.testing.assert_allclose(box_iou([other], [SQUARE]), [expected], atol=1e-12)


def test_two_corners_are_a_box():
    boxes = [[0, 0, 2, 1], [2, 1, 0, 0], [0, 1, 2, 0]]
    corners = [[0, 0, 2, 0, 2, 1, 0, 1]] * 3
    np.testing.assert_allclose(box_iou(boxes, corners), 1)
    np.testing.assert_allclose(box_iou(boxes, [[1, 0, 3, 1]] * 3), 1 / 3)


def test_boxes_without_area_have_nothing_in_common():
    lines = [[0, 0, 1, 0, 1, 0, 0, 0], [1] * 8]
    assert box_iou(lines, lines).tolist() == [0, 0]


def test_missing_boxes_have_no_overlap():
    missing = [np.nan] * 8
    overlap = box_iou([missing, SQUARE, SQUARE], [SQUARE, missing, SQUARE])
    np.testing.assert_array_equal(overlap, [np.nan, np.nan, 1])


# Numbers of few bits, so that shifting and scaling them below is exact.
boxes = st.lists(st.integers(-16, 16).map(lambda i: i / 16), min_size=8, max_size=8).map(np.array)
quick = settings(max_examples=60, deadline=None)


def ends(box, heights):
    """Where horizontal lines enter and leave the hull of four corners."""
    left, right = np.full(len(heights), np.inf), np.full(len(heights), -np.inf)
    for (x1, y1), (x2, y2) in combinations(box.reshape(4, 2), 2):
        if y1 == y2:
            continue
        t = (heights - y1) / (y2 - y1)
        x = x1 + t * (x2 - x1)
        meets = (t >= 0) & (t <= 1)
        left[meets] = np.minimum(left, x)[meets]
        right[meets] = np.maximum(right, x)[meets]
    return left, right


@quick
@given(boxes, boxes)
def test_iou_by_scanning_lines(a, b):
    # An odd angle, so that no edge lies along the lines.
    a, b = np.split(turned(np.r_[a, b], 23.456), 2)
    step = 1 / 1000
    heights = np.arange(-1.5, 1.5, step)
    (left_a, right_a), (left_b, right_b) = ends(a, heights), ends(b, heights)
    both = np.minimum(right_a, right_b) - np.maximum(left_a, left_b)
    areas = [length.clip(0).sum() * step for length in (both, right_a - left_a, right_b - left_b)]
    intersection, union = areas[0], areas[1] + areas[2] - areas[0]
    assert box_iou([a], [b])[0] * union == pytest.approx(intersection, abs=2e-3)


@quick
@given(boxes, boxes, st.permutations(range(4)))
def test_iou_depends_on_the_two_shapes_alone(a, b, order):
    iou = box_iou([a], [b])[0]
    assert 0 <= iou <= 1
    moved = np.tile([100, -50], 4)
    mirrored = np.tile([-2, 4], 4)
    for x, y in (
        (b, a),
        (a.reshape(4, 2)[order].ravel(), b),
        (a + moved, b + moved),
        (a * mirrored, b * mirrored),
    ):
        assert box_iou([x], [y])[0] == pytest.approx(iou, abs=1e-9)
    has_area = np.linalg.matrix_rank(a.reshape(4, 2)[1:] - a[:2]) == 2
    assert box_iou([a], [a])[0] == pytest.approx(float(has_area), abs=1e-9)


@pytest.mark.parametrize(
    ("true", "pred", "message"),
    [
        (np.zeros((2, 6)), np.zeros((2, 8)), "boxes_true has 6 columns: expected 8"),
        (np.zeros((2, 8)), np.zeros((2, 5)), "boxes_pred has 5 columns: expected 8"),
        (np.zeros((2, 8)), np.zeros((3, 8)), "inconsistent numbers of samples"),
        (np.zeros(8), np.zeros(8), "Expected 2D array"),
        (np.full((1, 8), np.inf), np.zeros((1, 8)), "boxes_true contains infinity"),
    ],
)
def test_iou_bad_input(true, pred, message):
    with pytest.raises(ValueError, match=message):
        box_iou(true, pred)


# ---------------------------------------------------------------------------
# Class and box
# ---------------------------------------------------------------------------


def test_localization_needs_class_and_overlap():
    true = [[label, 0, 0, 1, 1] for label in (1, 2, 3, 4)]
    pred = [[1, 0, 0, 1, 0.6], [2, 0, 0, 1, 0.4], [7, 0, 0, 1, 1], [4, 0, 0, 1, 0.5]]
    assert localization_accuracy(true, pred) == 0.25  # an overlap of 0.5 is not above 0.5
    assert localization_accuracy(true, pred, iou=0.3) == 0.75
    assert localization_accuracy(true, pred, iou=0.3, sample_weight=[1, 1, 6, 0]) == 0.25
    assert isinstance(localization_accuracy(true, pred), float)


@pytest.mark.parametrize("missing_box", [np.nan, -1.0])
def test_without_an_object_the_class_decides(missing_box):
    missing = [missing_box] * 8
    true = [[0, *missing], [0, *missing], [1, *SQUARE]]
    pred = [[0, *SQUARE], [1, *SQUARE], [1, *[np.nan] * 8]]
    score = localization_accuracy(true, pred, missing_box=missing_box)
    assert score == pytest.approx(1 / 3)


def test_localization_accuracy_is_a_score_to_validate_by():
    y = np.array([[3, 0, 0, 1, 1]] * 6 + [[3, 5, 5, 6, 6]] * 3, float)
    model = DummyRegressor(strategy="constant", constant=y[0])
    scores = cross_val_score(
        model, np.zeros((9, 1)), y, cv=3, scoring=make_scorer(localization_accuracy, iou=0.7)
    )
    np.testing.assert_array_equal(scores, [1, 1, 0])


@pytest.mark.parametrize("iou", [-0.1, 1.1, "half"])
def test_localization_bad_threshold(iou):
    with pytest.raises(ValueError, match="'iou' parameter"):
        localization_accuracy([[0, *SQUARE]], [[0, *SQUARE]], iou=iou)


# ---------------------------------------------------------------------------
# Joints
# ---------------------------------------------------------------------------


def test_joints_within_a_share_of_the_length():
    true = np.zeros((2, 3, 2))
    pred = np.array([[[3, 4], [0, 1], [6, 0]], [[3, 4], [0, 10], [11, 0]]], float)
    for shape in ((2, 3, 2), (2, 6)):  # both forms
        y, p = true.reshape(shape), pred.reshape(shape)
        assert percentage_of_correct_keypoints(y, p, [50, 100]) == pytest.approx(4 / 6)
        assert percentage_of_correct_keypoints(y, p, 50) == pytest.approx(3 / 6)
        assert percentage_of_correct_keypoints(y, p, 50, threshold=0.02) == pytest.approx(1 / 6)
        weighted = percentage_of_correct_keypoints(y, p, 50, sample_weight=[3, 0])
        assert weighted == pytest.approx(2 / 3)


def test_joints_that_cannot_be_seen_do_not_count():
    true = [[0, 0, np.nan, np.nan], [0, 0, 9, np.nan]]
    pred = [[0, 0, 5, 5], [0, np.nan, 5, 5]]
    assert percentage_of_correct_keypoints(true, pred, 10) == 0.5


@pytest.mark.parametrize(
    ("true", "pred", "length", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), 1, r"y_true has shape \(2, 3\): expected"),
        (np.zeros((2, 4)), np.zeros((2, 2, 3)), 1, r"y_pred has shape \(2, 2, 3\): expected"),
        (np.zeros((2, 4)), np.zeros((2, 6)), 1, "2 joints in each of 2 samples, but y_pred 3"),
        (np.zeros((2, 4)), np.zeros((2, 4)), [1, 1, 1], r"reference_length has shape \(3,\)"),
        (np.zeros((2, 4)), np.zeros((2, 4)), 0, "'reference_length' parameter"),
        (np.full((2, 4), np.nan), np.zeros((2, 4)), 1, "no joint to count"),
    ],
)
def test_joints_bad_input(true, pred, length, message):
    with pytest.raises(ValueError, match=message):
        percentage_of_correct_keypoints(true, pred, length)


# ---------------------------------------------------------------------------
# Objects
# ---------------------------------------------------------------------------


def objects(*rows, scores=None):
    """Objects of an image: rows of a label and a place, 10 wide and high."""
    boxes = [[x, 0, x + 10, 10] for _, x in rows]
    found = {"labels": [label for label, _ in rows], "boxes": np.reshape(boxes, (-1, 4))}
    return found if scores is None else {**found, "scores": scores}


def test_average_precision_of_all_and_of_nothing():
    true = [objects((1, 0), (2, 30)), objects((1, 50))]
    found = [objects((1, 0), (2, 30), scores=[0.5, 0.6]), objects((1, 50), scores=[0.9])]
    assert detection_average_precision(true, found) == 1
    nothing = [objects(scores=[]), objects(scores=[])]
    assert detection_average_precision(true, nothing) == 0
    assert np.isnan(detection_average_precision([objects()], nothing[:1]))


def test_average_precision_counts_an_object_once():
    true = [objects((1, 0))]
    assert detection_average_precision(true, [objects((1, 0), (1, 1), scores=[0.9, 0.8])]) == 1
    # The better one comes second: half of what is found is right until then.
    found = [objects((1, 40), (1, 1), scores=[0.9, 0.8])]
    assert detection_average_precision(true, found) == 0.5


def test_average_precision_over_images_and_classes():
    """By hand: the hits of class 1 are right, wrong, right, of 3 objects; class 2 has none."""
    true = [objects((1, 0), (1, 30)), objects((1, 0), (2, 30))]
    found = [
        objects((1, 0), (1, 60), scores=[0.9, 0.8]),
        objects((1, 1), (1, 30), scores=[0.7, 0.1]),
    ]
    of_class_1 = (1 + 2 / 3) / 3
    assert detection_average_precision(true, found) == pytest.approx(of_class_1 / 2)
    strict = detection_average_precision(true, found, iou=0.95)
    assert strict == pytest.approx(1 / 3 / 2)


def test_average_precision_is_that_of_scikit_learn_where_all_are_found():
    """With an object in each image and one found in each, it is an average precision of a
    ranking, but for the envelope."""
    rng = np.random.RandomState(0)
    right, scores = rng.rand(60) < 0.6, rng.rand(60)
    true = [objects((1, 0)) if r else objects((2, 0)) for r in right]
    found = [objects((1, 0), scores=[s]) for s in scores]
    precision, recall, _ = precision_recall_curve(right, scores)
    envelope = np.maximum.accumulate(precision)
    expected = -np.sum(np.diff(recall) * envelope[:-1])
    assert detection_average_precision(true, found) == pytest.approx(expected / 2)


def test_average_precision_of_what_does_not_fit():
    with pytest.raises(ValueError, match="objects_true has 1 images, but objects_pred has 0"):
        detection_average_precision([objects()], [])
    wrong = {"labels": [1], "boxes": np.zeros((2, 4)), "scores": [0.5]}
    with pytest.raises(ValueError, match="objects_pred has an image with other numbers"):
        detection_average_precision([objects()], [wrong])
    with pytest.raises(ValueError, match=r"objects_pred has an image without \['scores'\]"):
        detection_average_precision([objects((1, 0))], [objects((1, 0))])
    with pytest.raises(ValueError, match=r"'iou' parameter .* in the range"):
        detection_average_precision([objects()], [objects(scores=[])], iou=50)
    with pytest.raises(ValueError, match="'objects_true' parameter"):
        detection_average_precision(objects(), [objects(scores=[])])


@pytest.mark.parametrize("dtype", [np.uint8, bool])
def test_average_precision_by_scores_that_have_no_sign(dtype):
    found = objects((1, 0), (1, 40), scores=np.array([1, 0], dtype))
    assert detection_average_precision([objects((1, 0))], [found]) == 1
