"""Weights of classes, as scikit-learn defines them, where samples have weights as well."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from ..scores import weight_of_pixels

_OfClasses = Mapping[Any, float]
#: What `class_weight` may be.
ClassWeight = _OfClasses | Sequence[_OfClasses] | Literal["balanced"] | None


def counts_of(codes, weight, n_classes):
    """How often each code occurs, counted by weights of samples or of pixels; below 0 is none."""
    weight = weight_of_pixels(weight, codes.shape)
    counted = codes >= 0
    return np.bincount(codes[counted], weight[counted], minlength=n_classes)


def weights_of_classes(class_weight, classes, counts):
    """The weight of each class, as scikit-learn defines it for classes that occur so often."""
    if not isinstance(class_weight, (dict, str)):
        raise ValueError(
            f"class_weight={class_weight!r} is for several columns of labels: give a dict or "
            "'balanced' for y with one label a sample or a pixel"
        )
    # A dict may name classes that these samples lack, in partial_fit.
    used = counts > 0 if class_weight == "balanced" else np.full(len(classes), True)
    weights = np.ones(len(classes))
    weights[used] = compute_class_weight(
        class_weight, classes=classes[used], y=classes[used], sample_weight=counts[used]
    )
    if np.min(weights) < 0:
        raise ValueError(
            f"class_weight={class_weight!r} holds a negative weight: give weights of at least 0"
        )
    if not np.isfinite(weights).all():
        raise ValueError(f"class_weight={class_weight!r} must hold finite numbers")
    return weights


def product_over_columns(class_weight, classes, codes, weight):
    """The product of the weights of a sample's classes in all columns."""
    if class_weight is None:
        return 1.0
    if class_weight == "balanced":
        class_weight = ["balanced"] * len(classes)
    if isinstance(class_weight, dict) or len(class_weight) != len(classes):
        raise ValueError(
            f"class_weight={class_weight!r} does not fit y with {len(classes)} columns: give "
            "'balanced' or a list with a dict for each"
        )
    columns = zip(class_weight, classes, codes.T, strict=True)
    with np.errstate(over="ignore"):
        product = np.prod(
            [
                weights_of_classes(spec, labels, counts_of(c, weight, len(labels)))[c]
                for spec, labels, c in columns
            ],
            axis=0,
        )
    if not np.isfinite(product).all():
        raise ValueError(f"class_weight={class_weight!r}: the product of a sample's is too large")
    return product
