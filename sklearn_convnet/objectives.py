"""Objectives: what training minimises where that is more than one loss of one output."""

from itertools import pairwise

import numpy as np

from .losses import Loss, SquaredError
from .scores import weight_of_pixels


class _LossOfParts(Loss):
    """A sum over parts of the output."""

    def part(self, loss, Z, columns, target, weight, dZ, kernels, n_threads):
        """The loss of some columns of Z, with their gradient put in its place."""
        part = np.ascontiguousarray(Z[:, columns])
        d_part = None if dZ is None else np.empty_like(part)
        value = loss.value_and_gradient(part, target, weight, d_part, kernels, n_threads)
        if dZ is not None:
            dZ[:, columns] = d_part
        return value


class SumOverColumns(_LossOfParts):
    """The loss of several labels a sample, each with classes of its own, summed.

    Parameters
    ----------
    loss : Loss
    n_classes : list of int
        Of each column of the target, which has their codes.
    """

    def __init__(self, loss, n_classes):
        self.loss = loss
        self.n_classes = n_classes

    def value_and_gradient(self, Z, target, weight, dZ, kernels, n_threads):
        total, edges = 0.0, np.cumsum([0, *self.n_classes])
        for j, (start, stop) in enumerate(pairwise(edges)):
            codes, columns = np.ascontiguousarray(target[:, j]), slice(start, stop)
            total += self.part(self.loss, Z, columns, codes, weight, dZ, kernels, n_threads)
        return total


class ClassAndBox(_LossOfParts):
    """The loss of a class plus `box_weight` times that of the coordinates of a box.

    Parameters
    ----------
    loss : Loss
        Of the class.
    n_classes : int
        The first columns of the output; the coordinates follow.
    box_weight : float
    outline : bool, default=False
        Whether the loss of the coordinates is `Outline` or `SummedSquaredError`.
    """

    def __init__(self, loss, n_classes, box_weight, outline=False):
        self.loss = loss
        self.n_classes = n_classes
        self.box_weight = box_weight
        self.outline = outline

    def value_and_gradient(self, Z, target, weight, dZ, kernels, n_threads):
        codes, boxes = target[:, 0].astype(np.int64), np.ascontiguousarray(target[:, 1:])
        of_class, of_box = slice(0, self.n_classes), slice(self.n_classes, None)
        box_loss, box_weight = Outline() if self.outline else SummedSquaredError(), self.box_weight
        total = self.part(self.loss, Z, of_class, codes, weight, dZ, kernels, n_threads)
        weight = float(box_weight) * weight
        return total + self.part(box_loss, Z, of_box, boxes, weight, dZ, kernels, n_threads)


class WithHeads(_LossOfParts):
    """The loss of the output plus those of auxiliary heads, each times its weight.

    Parameters
    ----------
    loss : Loss
    n_outputs : int
        Of the network and of each head, side by side in this order. At a prediction those of heads
        are not there, and have no loss.
    weights : list of float
        Of the heads.
    """

    def __init__(self, loss, n_outputs, weights):
        self.loss = loss
        self.n_outputs = n_outputs
        self.weights = weights

    def value_and_gradient(self, Z, target, weight, dZ, kernels, n_threads):
        total, n = 0.0, self.n_outputs
        factors = [1.0, *self.weights][: Z.shape[1] // n]
        for i, factor in enumerate(factors):
            columns, share = slice(i * n, (i + 1) * n), factor * weight
            total += self.part(self.loss, Z, columns, target, share, dZ, kernels, n_threads)
        return total


class SummedSquaredError(SquaredError):
    """``|c - c_hat|^2 / 2``, summed over coordinates; 0 where a box is missing."""

    def value_and_gradient(self, Z, target, weight, dZ, kernels, n_threads):
        weight = weight * np.asarray(Z.shape[1], Z.dtype)
        return super().value_and_gradient(Z, target, weight, dZ, kernels, n_threads)


class Outline(Loss):
    """``|c - c_hat|^2 / 2`` for four corners that have no numbers: the smallest over the 8 ways
    to number them, from each corner, clockwise or anticlockwise; 0 where a box is missing."""

    def value_and_gradient(self, Z, target, weight, dZ, kernels, n_threads):
        return kernels.outline_loss(Z, target, weight, dZ, n_threads)


class WeightedPixels(Loss):
    """The loss of maps of labels whose pixels have weights by their classes.

    Parameters
    ----------
    loss : Loss
    class_weight : array of shape (n_classes,)
    """

    def __init__(self, loss, class_weight):
        self.loss = loss
        self.class_weight = class_weight

    def value_and_gradient(self, Z, target, weight, dZ, kernels, n_threads):
        of_pixels = self.class_weight.astype(Z.dtype)[target]
        of_pixels *= weight_of_pixels(weight, target.shape)
        return self.loss.value_and_gradient(Z, target, of_pixels, dZ, kernels, n_threads)
