"""A warning where a trained network makes nothing of X, and its likely reason."""

from dataclasses import dataclass
from math import prod

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from .messages import warn_caller
from .network.node import walk
from .training import PREDICT_ROWS, PREDICT_VALUES, weight_of

#: After so many steps a network should have learnt something.
ENOUGH_STEPS = 100
#: By this share of the loss of a constant a network must be better than it.
LEAST_GAIN = 0.01
#: Samples with less than this share of the largest weight hardly count.
LEAST_WEIGHT = 1e-3
#: So many samples of other classes must be missed if only some of the samples are looked at.
ENOUGH_MISSED = 5
#: Standard deviations of what a layer sees that are no reason for a collapse.
USUAL_DEVIATIONS = 0.05, 20.0
#: The largest mean that is none, in standard deviations.
USUAL_MEAN = 10.0


@dataclass
class Scale:
    """The numbers that a layer sees.

    Attributes
    ----------
    path : str
        That of the layer.
    as_given : bool
        Whether they are those of X.
    smallest, largest, mean, deviation : float
    """

    path: str
    as_given: bool
    smallest: float
    largest: float
    mean: float
    deviation: float

    def __str__(self):
        what = "X" if self.as_given else "what the layers before it make of X,"
        return (
            f"layer {self.path!r} sees {what} with values from {self.smallest:.5g} to "
            f"{self.largest:.5g} (mean {self.mean:.3g}, standard deviation {self.deviation:.3g})"
        )

    @property
    def is_usual(self):
        """True if a layer whose weights are drawn at random can begin with such numbers."""
        least, most = USUAL_DEVIATIONS
        return least <= self.deviation <= most and abs(self.mean) <= USUAL_MEAN * self.deviation


def warn_of_collapse(trainer, samples):
    """Warns if a network makes nothing of X, and says what the reason may be.

    Parameters
    ----------
    trainer : Trainer
        After its last step.
    samples : Samples
        Those that it was trained with.
    """
    some = trainer.at_hand(samples, rows_to_look_at(samples, trainer.network))
    parts = list(trainer.chunks(some))
    if not targets_vary(parts):
        return
    outputs = [trainer.outputs_of(part) for part in parts]
    losses = losses_beside_constant(trainer, parts, outputs)
    if losses is not None:
        loss, of_constant = (samples.scale * value for value in losses)
        message = (
            f"The network has learnt nothing from X: its training loss is {loss:.4g}, and "
            f"{of_constant:.4g} if it returned the same for all samples. {reason(trainer, some)}"
        )
        warn_caller(message, ConvergenceWarning)
    elif misses_classes(parts, outputs, len(some) == len(samples)):
        each = "each pixel of" if parts[0].target.ndim > 1 else "each of"
        warn_caller(
            f"The network predicts the same class for {each} {len(some)} training samples, though "
            "not all are of that class: set class_weight='balanced' if it is to find those that "
            "are rare, or train longer.",
            ConvergenceWarning,
        )
    trainer.network.release_memory()


def rows_to_look_at(samples, network):
    """The numbers of as many samples as are enough to tell: drawn at random, since they may lie in
    an order, but each time the same."""
    n = max(1, min(PREDICT_ROWS, PREDICT_VALUES // prod(network.output_shape)))
    return np.sort(np.random.RandomState(0).permutation(len(samples))[:n])


def targets_vary(parts):
    """True if the targets of samples, or of their pixels, are not all the same; not counting
    those of hardly any weight."""
    first, least = None, LEAST_WEIGHT * max(part.weight.max() for part in parts)
    for part in parts:
        target = part.target[part.weight >= least]
        rows = target.reshape(-1, target.shape[-1] if target.dtype.kind == "f" else 1)
        if first is None and len(rows):
            first = rows[0]
        if np.any(rows != first):
            return True
    return False


def losses_beside_constant(trainer, parts, outputs):
    """The mean loss, and that of the mean of all outputs in the place of each; None if the first is
    smaller by `LEAST_GAIN`.

    So it is asked whatever the loss and the kind of y, and whatever constant it is that a network
    has collapsed to.
    """
    rows = np.concatenate([Z.reshape(-1, Z.shape[-1]) for Z in outputs])
    constant = rows.mean(axis=0, dtype=np.float64)
    loss = of_constant = 0.0
    for part, Z in zip(parts, outputs, strict=True):
        loss += trainer.loss_at(Z, part)
        of_constant += trainer.loss_at(np.full_like(Z, constant), part)
    weight = weight_of(parts)
    return None if loss <= (1 - LEAST_GAIN) * of_constant else (loss / weight, of_constant / weight)


def misses_classes(parts, outputs, are_all):
    """True if one class is predicted for all samples or pixels, though some are of others."""
    targets = [part.target for part in parts]
    if targets[0].dtype.kind == "f" or targets[0].ndim >= outputs[0].ndim:
        return False  # there is no class, or more than one
    predicted = np.concatenate([Z.argmax(axis=-1).ravel() for Z in outputs])
    true = np.concatenate([target.ravel() for target in targets])
    missed = np.count_nonzero((true != predicted[0]) & (true >= 0))
    return bool(np.all(predicted == predicted[0])) and missed >= (1 if are_all else ENOUGH_MISSED)


def reason(trainer, samples):
    """The likely reason of a collapse, and the way out, in words."""
    scale, n_steps = scale_of_input(trainer, samples), trainer.state["t"]
    if scale is not None and scale.deviation == 0:
        return f"The reason is X, which does not vary: {scale}."
    if scale is not None and not scale.is_usual:
        return (
            f"The reason may be the scale of X: {scale}, but first weights are made for a mean of "
            "about 0 and a deviation of about 1. Begin the layers with Standardize(), or with "
            "Rescale(1 / 255) if X holds bytes."
        )
    column = large_feature(samples)
    if column is not None:
        largest = np.abs(samples.X.features[:, column]).max()
        return (
            f"The reason may be the scale of features: column {column} has values up to "
            f"{largest:.3g}. Scale them, such as by scikit-learn's StandardScaler."
        )
    if n_steps < ENOUGH_STEPS:
        return (
            f"The reason may be that there were only {n_steps} steps: set a smaller batch_size, "
            "which makes more of them, or a larger n_iter_no_change."
        )
    return (
        "The reason may be a learning rate that is too large or too small, layers whose rectifiers "
        "are all silent, or an X that tells nothing of y: try another learning_rate, fewer layers, "
        "or BatchNorm() between them."
    )


def large_feature(samples):
    """The column of features that has the largest number, if that is larger than usual; else
    None."""
    features = getattr(samples.X, "features", None)
    if features is None:
        return None
    largest = np.abs(features).max(axis=0)
    column = int(largest.argmax())
    return column if largest[column] > USUAL_DEVIATIONS[1] else None


def scale_of_input(trainer, samples):
    """The `Scale` of what the first layer sees that multiplies it with weights; None if none
    does."""
    nodes = trainer.network.fused()
    weighted = (
        (i, inside.path)
        for i, node in enumerate(nodes)
        for inside in walk([node])
        if "weight" in inside.weights
    )
    i, path = next(weighted, (None, None))
    if path is None:
        return None
    batches = trainer.seen_parts(samples, samples.weight)
    seen = [np.ravel(X) for X, _ in trainer.network.seen_at(i, batches)]
    seen = np.concatenate(seen).astype(np.float64)
    return Scale(path, i == 0, *map(float, (seen.min(), seen.max(), seen.mean(), seen.std())))
