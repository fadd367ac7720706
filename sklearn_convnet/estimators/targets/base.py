"""The base of all targets, and coordinates that move with an augmented image."""

import numpy as np

from ...layers import Dense, GlobalAvgPool
from ...messages import warn_caller
from .views import mean_of


class Target:
    """Base class of the targets: what y holds, learnt when training begins.

    Attributes
    ----------
    n_outputs : int
        Outputs of the layer called "output".
    votings : tuple of str
        How several views of a sample can vote.
    crops_vote : bool
        Whether crops can be these views: not where y is maps.
    windows_vote : bool
        Whether all windows of a sample can.
    """

    votings: tuple[str, ...] = ("soft",)
    crops_vote = True
    windows_vote = False
    #: Name of what makes probabilities of the network's output; None asks the loss.
    out_activation: str | None = None
    #: Number of pixels along each axis, where y holds maps.
    map_size: tuple[int, ...] | None = None
    #: True if y has a place for each place of a sample, and moves as it does.
    lies_in_sample = False
    #: True if what is learnt is where something lies: boxes, points.
    tells_places = False
    #: True if maps may have any size, as samples have.
    any_size = False
    #: True if the output layers have what they begin with.
    has_begun = True
    #: Paths of what `weights` returns.
    own_weights: tuple[str, ...] = ()

    def of_size(self, sample_shape):
        """The target for samples of another size, channels last."""
        return self

    def share_that_is_there(self, target, weight):
        """Which share of an encoded target is not missing, by weights (n,) or (n, *map_size)."""
        return 1.0

    def weight_of_loss(self, weight):
        """Weights (n,), or those of pixels as (n, *map_size).

        Raises
        ------
        ValueError
            If there are others.
        """
        if weight.ndim == 1:
            return weight
        if self.map_size is None or weight.shape[1:] not in (self.map_size, (*self.map_size, 1)):
            expected = "(n_samples,)"
            if self.map_size is not None:
                expected += f", or for pixels (n_samples, {', '.join(map(str, self.map_size))})"
            raise ValueError(f"sample_weight has shape {weight.shape}, expected {expected}")
        return weight.reshape(len(weight), *self.map_size)

    def output_layers(self, input_shape):
        """`(name, layer)` pairs of the output layers, side by side on the last maps.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of these maps.
        """
        return [("output", Dense(self.n_outputs, activation="identity"))]

    def pool_of_outputs(self, last_shape):
        """The same where the last maps, of this shape, have the outputs as their channels: a pool
        over all positions, or nothing.

        Raises
        ------
        ValueError
            If they have another number of channels.
        """
        self._check_channels(last_shape)
        return [] if len(last_shape) == 1 else [("output", GlobalAvgPool())]

    def _check_channels(self, last_shape):
        if last_shape[-1] != self.n_outputs:
            raise ValueError(
                f"output=None: y needs {self.n_outputs} outputs, but the layers end in shape "
                f"{last_shape}: let the last one have {self.n_outputs} filters or units, and "
                "activation=None"
            )

    def encode(self, y, dtype):
        """Checked y as the loss takes it.

        Raises
        ------
        ValueError
            If y is of another kind than the target was made of.
        """
        raise NotImplementedError(type(self))

    def begin(self, network, y, weight, loss):
        """Gives the output layers of a new network the values that they begin with.

        Parameters
        ----------
        network : Network
            Its weights have been drawn.
        y : ndarray
            Checked.
        weight : ndarray of shape (n,) or (n, *map_size)
        loss : Loss
        """

    def weights(self):
        """First weights of the output layers: arrays by path."""
        return {}

    def take_weights(self, weights, copied, loss):
        """Takes what `weights` returned of another target from a dict of weights, whose arrays
        of the paths `copied` the network has taken."""

    def objective(self, loss, target, weight, class_weight=None, box_weight=None, relative=True):
        """The objective of training, for a loss and all encoded samples with their weights.

        Where classes of pixels have weights, `relative` ones have a mean of 1.
        """
        return loss

    def new_score(self, loss):
        """A new score, which gathers that of a pass from the network's outputs, batch by batch."""
        raise NotImplementedError(type(self))

    def score(self, y, predicted, sample_weight):
        """How well a prediction fits y, larger is better."""
        raise NotImplementedError(type(self))

    def stratify(self, y):
        """The labels by which a validation split of checked y is stratified, or None."""
        return None

    def check_vote(self, name, voting):
        """Raises ValueError if the predictions for several views have no such vote; `name` is the
        parameter that asks for it."""
        if name == "multi_crop" and not self.crops_vote:
            raise ValueError(
                "multi_crop cuts out parts of samples, but not of maps, which y holds: leave it "
                "out; test_time_augmentation votes over whole samples, whatever y is"
            )
        if voting == "dense" and not self.windows_vote:
            raise ValueError(
                f"{name}: voting='dense' is for labels, values and several labels at once, but y "
                "holds boxes, points or several columns of classes: use voting='soft'"
            )
        if voting != "dense" and voting not in self.votings:
            raise ValueError(
                f"{name}: voting={voting!r} needs one label a sample, use voting='soft'"
            )

    def of_views(self, seen):
        """The values that are predicted for samples, from those for several views: `Seen`."""
        return mean_of(seen.results)

    def augmented(self, augmentation, X, target, random_state, n_threads=None):
        """A batch after an augmentation; what of the target lies in the image moves along.

        Parameters
        ----------
        augmentation : object with a method `augment`
        X : array of shape (n, *sample_shape)
        target : array
            Encoded.
        random_state : RandomState
        n_threads : int or None, default=None

        Returns
        -------
        X, target : arrays
        """
        X, _, _ = augmentation.augment(X, random_state=random_state, n_threads=n_threads)
        return X, target

    def moved(self, augmentation, X, maps, random_state, n_threads):
        """Maps, such as weights of pixels, after the augmentation of a batch."""
        return augmentation.augment(
            X, label_maps=maps, random_state=random_state, n_threads=n_threads
        )[2]


def move_points(augmentation, X, points, units, random_state, n_threads, flip_pairs=None):
    """A batch and the points (n, n_points, n_axes) in it after an augmentation, in their units.

    A share `x` of the width is at pixel ``x * width - 1/2``: pixel centres are at integers,
    so the left edge of the image is at -1/2. In mirror images the points of each of `flip_pairs`
    change places.
    """
    pairs = {} if flip_pairs is None else {"flip_pairs": flip_pairs}
    if units == "share":
        points = points * size_of(X, points) - 0.5
    X, points, _ = augmentation.augment(
        X, points=points, random_state=random_state, n_threads=n_threads, **pairs
    )
    if units == "share":
        points = (points + 0.5) / size_of(X, points)
    return X, points


def warn_of_pixels(shares, what, param):
    """Warns if most of what should be shares of width and height lies far outside the image."""
    shares = shares[~np.isnan(shares)]
    if shares.size and np.mean(np.abs(shares - 0.5) > 2) > 0.5:
        warn_caller(
            f"{what} should be shares of the width and height, but most lie far outside [0, 1]: "
            f"if they are in pixels, set {param}='pixels'",
            UserWarning,
        )


def size_of(X, points):
    """The size of samples along the axes of points: (width, height) of images."""
    return np.array(X.shape[points.shape[2] : 0 : -1], points.dtype)
