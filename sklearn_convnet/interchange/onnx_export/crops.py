"""The crops of an image that vote: one after the other on the axis of samples."""

from dataclasses import replace

import numpy as np


def take_crops(multi_crop, x, graph):
    """The crops of all samples, and how many there are of each.

    Raises
    ------
    NotImplementedError
        If a network is moved over whole images.
    """
    if multi_crop.voting == "dense":
        raise NotImplementedError(
            "multi_crop: voting='dense' moves the network over whole images, which has no form in "
            "ONNX here: use voting='soft'"
        )
    shape = multi_crop.output_shape(x.shape)
    # The views of images that hold the places of their pixels: where crops lie is said once.
    rows, columns = np.indices(x.shape[:2])
    places = zip(multi_crop.views(rows[None]), multi_crop.views(columns[None]), strict=True)
    crops = []
    for row, column in places:
        top, (left, right) = row[0, 0, 0], column[0, 0, [0, -1]]
        step = 1 if left <= right else -1
        limits = ([top, left], [top + shape[0], right + step], [1, step])
        crops.append(_slice(x, *limits, graph))
    name = graph.node("Concat", *crops, axis=0) if len(crops) > 1 else crops[0]
    return replace(x, name=name, shape=shape), len(crops)


def _slice(x, starts, ends, steps, graph):
    """Rows and columns of images; an end before the first pixel is the smallest number."""
    axes = [1, 2] if x.last else [2, 3]
    ends = [np.iinfo(np.int64).min if end < 0 else end for end in ends]
    limits = (starts, ends, axes, steps)
    constants = (graph.constant(np.array(one, np.int64), "limits") for one in limits)
    return graph.node("Slice", x.name, *constants)
