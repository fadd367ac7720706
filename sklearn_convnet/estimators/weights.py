"""Weights of samples, or of the pixels of their maps, of any size that a number may have."""

import numpy as np


def of_samples(weight):
    """Weights of samples, of weights (n,) or of those of pixels (n, *map_size)."""
    return weight if weight.ndim == 1 else weight.reshape(len(weight), -1).mean(axis=1)


def in_range(weight):
    """Weights times a power of two, the largest about 1: their sum does not overflow."""
    return np.ldexp(weight, -np.frexp(weight.max())[1])


def is_counted(weight, dtype, relative):
    """Which samples have a weight that is above zero, and no denormal number, in a dtype.

    Raises
    ------
    ValueError
        If weights are not `relative`, and a dtype has no such large ones.
    """
    limits = np.finfo(dtype)
    if relative:
        weight = of_samples(in_range(weight))
        mean = weight.sum() / max(1, np.count_nonzero(weight))
        return weight >= limits.tiny * mean if mean else np.zeros(len(weight), bool)
    if weight.max() > limits.max:
        raise ValueError(
            f"sample_weight holds {weight.max():g}, which is too large for {dtype}: partial_fit "
            "takes weights as they are, so divide them"
        )
    return of_samples(weight) >= limits.tiny
