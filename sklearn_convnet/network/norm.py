"""Nodes that scale and shift: with fixed numbers, or with statistics of the data."""

from math import prod

import numpy as np

from ..kernels import loader
from ..layers.norm import BatchNorm, LocalResponseNorm, Rescale, Standardize
from ..moments import RunningMoments
from .activation import times_derivative
from .maps import Activated, Gradient, Measured
from .node import Node, ViewNode, Weight, executes


class _AffineNode(Node):
    """Y = X scale + shift, one scale and shift a column of X seen as a matrix.

    At the beginning of a network it may see X in float64, if the network's dtype does not hold what
    is in X; see `Network.input_dtype`.
    """

    takes_wide = True

    def __init__(self, layer, path, input_shape, n_columns):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.n_columns = n_columns

    def affine(self, run):
        """Scale and shift, in the network's dtype."""
        raise NotImplementedError(type(self))

    def centred(self, run):
        """Centre, scale and shift in float64, for (X - centre) scale + shift."""
        raise NotImplementedError(type(self))

    def forward(self, X, run):
        if X.dtype != self.dtype:
            return self._forward_wide(X, run)
        Y = run.empty(X.shape, X.dtype)
        self._apply(X, Y, *self.affine(run), run)
        return Y

    def _forward_wide(self, X, run):
        """The same for X in float64, cast at the end unless another node of the kind follows."""
        Y = run.empty(X.shape, X.dtype if self.keeps_wide else self.dtype)
        rows = (-1, self.n_columns)
        args = (X.reshape(rows), *self.centred(run), Y.reshape(rows), run.n_threads)
        if self.keeps_wide:
            run.call(loader.kernels(X.dtype).centred_affine, *args)
        else:
            run.kernels.centred_affine(*args)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        dX = run.empty(dY.shape, dY.dtype)
        self._apply(dY, dX, self.affine(run)[0], None, run)
        return dX

    def _apply(self, X, Y, scale, shift, run):
        rows = (-1, self.n_columns)
        run.kernels.channel_affine(X.reshape(rows), scale, shift, Y.reshape(rows), run.n_threads)


def standard_affine(mean, deviation, scale, shift):
    """(X - mean) / deviation as X scale + shift."""
    inverse = 1 / deviation
    scale[...] = inverse
    shift[...] = -mean * inverse


@executes(Rescale)
class RescaleNode(_AffineNode):
    def __init__(self, layer, path, input_shape):
        super().__init__(layer, path, input_shape, input_shape[-1])
        self.scale, self.offset = layer.scale, layer.offset

    def _full(self, number, dtype):
        """A number, or one for each column, as an array."""
        return np.full(self.n_columns, number, dtype=dtype)

    def affine(self, run):
        return self._full(self.scale, self.dtype), self._full(self.offset, self.dtype)

    def centred(self, run):
        numbers = (0.0, self.scale, self.offset)
        return tuple(self._full(number, np.float64) for number in numbers)


@executes(Standardize)
class StandardizeNode(_AffineNode):
    """Y = (X - mean) / deviation; `fit_statistics` fills the buffers."""

    def __init__(self, layer, path, input_shape):
        columns = input_shape[-1] if layer.per == "channel" else np.prod(input_shape)
        super().__init__(layer, path, input_shape, int(columns))
        self.one_size = layer.per == "value"
        self.buffers["mean"] = np.broadcast_to(0.0, self.n_columns)
        self.buffers["deviation"] = np.broadcast_to(1.0, self.n_columns)

    def affine(self, run):
        scale, shift = (run.empty((self.n_columns,), self.dtype) for _ in range(2))
        run.call(standard_affine, self.state["mean"], self.state["deviation"], scale, shift)
        return scale, shift

    def forward(self, X, run):
        if X.dtype != self.dtype:
            return self._forward_wide(X, run)
        Y = run.empty(X.shape, X.dtype)
        rows = (-1, self.n_columns)
        statistics = (self.state["mean"], self.state["deviation"])
        run.kernels.standardize(X.reshape(rows), *statistics, Y.reshape(rows), run.n_threads)
        return Y

    def centred(self, run):
        inverse = run.empty((self.n_columns,), np.float64)
        run.call(np.divide, 1.0, self.state["deviation"], inverse)
        return self.state["mean"], inverse, np.zeros(self.n_columns)

    def fit_statistics(self, batches):
        """Mean and deviation of `(X, weight)` batches."""
        self.use_moments(self.moments(batches))

    def moments(self, batches):
        """Moments of `(X, weight)` batches, of all or of a part, for `use_moments`."""
        moments = RunningMoments()
        for X, weight in batches:
            rows = X.reshape(-1, self.n_columns)
            moments.add(rows, np.repeat(weight, len(rows) // len(X)))
        return moments

    def use_moments(self, moments):
        """Take the mean and deviation of moments."""
        mean, deviation = moments.mean, np.sqrt(moments.variance)
        if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
            raise ValueError(
                f"layer {self.path!r}: the mean or deviation of what it sees is not finite: its "
                "numbers are too large to be squared, scale X"
            )
        self.state["mean"][:] = mean
        self.state["deviation"][:] = np.where(deviation == 0, 1.0, deviation)


@executes(BatchNorm)
class MomentsNode(Node):
    """The moments of a batch, or the running ones, and the affine map that they make; a `ScaleNode`
    after it applies the map.

    A frozen node takes its running statistics in training too, and leaves them alone; so does one
    that sees a single value of each channel, if the run allows it.
    """

    takes_first = True

    @classmethod
    def build(cls, layer, path, input_shape):
        if layer.n_transforms == 1:
            return [cls(layer, path, input_shape), ScaleNode(path, input_shape, input_shape)]
        # The transforms are one more axis of positions.
        *sizes, channels = input_shape
        inside = (*sizes, layer.n_transforms, channels // layer.n_transforms)
        return [
            ViewNode(path, input_shape, inside),
            cls(layer, path, inside),
            ScaleNode(path, inside, input_shape),
        ]

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, input_shape)
        channels = input_shape[-1]
        self.momentum, self.epsilon = float(layer.momentum), float(layer.epsilon)
        self.frozen = not layer.trainable
        self.weights["scale"] = Weight((channels,), "ones", trainable=layer.trainable)
        self.weights["offset"] = Weight((channels,), trainable=layer.trainable)
        self.buffers["mean"] = np.broadcast_to(0.0, channels)
        self.buffers["variance"] = np.broadcast_to(1.0, channels)
        self.positions = prod(self.input_shape[:-1])
        if self.positions == 1 and not self.frozen:
            self.smallest_batch = 2

    def forward(self, X, run):
        return self.measure(X, None, run)

    def measure(self, X, strips, run):
        """X with its affine map; `strips` are moments of parts of X, if they are known. At a
        prediction X may have more channels, of which the first are meant."""
        affine = run.empty((3, self.input_shape[-1]), X.dtype)
        if run.training and not (self.frozen or self._has_one_value(run)):
            moments = [run.empty((X.shape[-1],), np.float64) for _ in range(2)]
            self._batch_affine(X, strips, *moments, affine, run)
            run.save(self, X, affine, *moments)
            return Measured(X, affine, of_batch=True)
        if run.training and not self.frozen:
            run.call(check_running, self.path, *self.running, run.use_running)
        self._running_affine(affine, run)
        run.save(self, X, affine)
        return Measured(X, affine)

    def _batch_affine(self, X, strips, mean, variance, affine, run):
        """Statistics of a batch, which the running ones take in, and the map that they make."""
        run.kernels.batchnorm_statistics(
            as_rows(X),
            run.weight,
            self.params["scale"],
            self.params["offset"],
            strips,
            mean,
            variance,
            affine,
            self.epsilon,
            run.n_threads,
        )
        if not run.recompute:
            run.call(
                take_in,
                *(self.state["mean"], mean, self.state["variance"], variance),
                *(self.momentum, np.finfo(self.dtype).tiny),
            )

    def _has_one_value(self, run):
        """True if there is a single value of each channel, which has no variance."""
        return self.positions == 1 and run.one_sample

    @property
    def running(self):
        """Mean and variance at a prediction."""
        return self.state["mean"], self.state["variance"]

    def _running_affine(self, affine, run):
        """Centre, scale and shift by the running statistics."""
        arrays = (*self.running, self.params["scale"], self.params["offset"], affine)
        run.kernels.batchnorm_running(*arrays, self.epsilon, run.n_threads)

    def backward(self, gradient, need_input, run):
        saved = run.recall(self)
        if not (need_input or self.trains):
            return None
        dX = self._input_gradient(saved, gradient, run)
        return dX if need_input else None

    def hand_back(self, gradient, run):
        """The gradient at the output and the map that takes it to the input, for a reader that
        applies it; that at the input and None where it has to be made."""
        X, affine, *moments = saved = run.recall(self)
        known = gradient.sums is not None or gradient.activation == "identity"
        if not (moments and known and run.weight is None):
            return self._input_gradient(saved, gradient, run), None
        back = run.empty((4, X.shape[-1]), X.dtype)
        self._batch_backward(X, affine, *moments, gradient, None, back, run)
        return gradient.maps, back

    def _input_gradient(self, saved, gradient, run):
        X, affine, *moments = saved
        dX = run.empty(X.shape, X.dtype)
        if moments:
            self._batch_backward(X, affine, *moments, gradient, dX, None, run)
        else:
            self._running_backward(X, affine, gradient, dX, run)
        return dX

    @property
    def trains(self):
        """True if scale and offset are trained."""
        return not self.frozen

    def _batch_backward(self, X, affine, mean, variance, gradient, dX, back, run):
        run.kernels.batchnorm_backward(
            as_rows(X),
            run.weight,
            self.params["scale"],
            mean,
            variance,
            affine,
            as_rows(gradient.maps),
            gradient.sums,
            None if dX is None else as_rows(dX),
            back,
            self.gradient("scale"),
            self.gradient("offset"),
            self.epsilon,
            gradient.activation,
            gradient.alpha,
            run.n_threads,
        )

    def _running_backward(self, X, affine, gradient, dX, run):
        """dX = scale / deviation f'(z) dY"""
        dZ = gradient.maps
        if gradient.activation != "identity":
            Y = normalized(X, affine, run, gradient.activation, gradient.alpha)
            dZ = times_derivative(dZ, Y, gradient, run)
        if self.trains:
            rows = (as_rows(X), as_rows(dZ))
            gradients = (self.gradient("scale"), self.gradient("offset"))
            run.call(affine_gradients, *rows, *self.running, self.epsilon, *gradients)
        run.kernels.channel_affine(as_rows(dZ), affine[1], None, as_rows(dX), run.n_threads)


class ScaleNode(Node):
    """Y = f(scale (X - centre) + shift + addend), the map and X as a `MomentsNode` hands them on;
    a pass puts `activation` here.

    If the moments are those of maps in another shape, the output has that of the layer again.
    """

    def __init__(self, path, input_shape, output_shape):
        super().__init__(path, input_shape, output_shape)
        self.activation, self.alpha = "identity", 0.0

    @property
    def keeps_shape(self):
        """True if each channel has moments of its own, as other nodes take for granted that do its
        work."""
        return self.input_shape == self.output_shape

    @property
    def takes_addend(self):
        """True if its forward adds the other part of a residual sum."""
        return self.activation == "identity" and self.keeps_shape

    def forward(self, measured, run, addend=None, after=None):
        """The output; of a residual sum, `addend` is the other part and `after` the activation."""
        end = after or (self.activation, self.alpha)
        Y = normalized(measured.maps, measured.affine, run, *end, addend)
        Y = Y.reshape(len(Y), *self.output_shape)
        if not (run.training and self.keeps_shape) or addend is not None:
            return Y
        return Activated(Y, *end, measured if measured.of_batch else None)

    def backward(self, dY, need_input, run):
        """Nothing yet: the derivative is taken where the gradient is summed."""
        if isinstance(dY, Gradient):
            return dY
        return Gradient(dY.reshape(len(dY), *self.input_shape), self.activation, self.alpha)


def as_rows(X):
    """A row for each position."""
    return X.reshape(-1, X.shape[-1])


def normalized(X, affine, run, activation, alpha, addend=None):
    """f(scale (X - centre) + shift + addend) in a new array, with as many channels as the map."""
    Y = run.empty((*X.shape[:-1], affine.shape[-1]), X.dtype)
    addend = None if addend is None else as_rows(addend)
    arrays = (as_rows(X), affine, as_rows(Y), addend)
    run.kernels.batchnorm_forward(*arrays, activation, alpha, run.n_threads)
    return Y


def take_in(running_mean, mean, running_variance, variance, momentum, tiny):
    """Lets running statistics take in those of a batch; what fades away would become denormal."""
    for running, value in ((running_mean, mean), (running_variance, variance)):
        running *= momentum
        running += (1 - momentum) * value
        running[np.abs(running) < tiny] = 0


def check_running(path, mean, variance, allowed):
    """Raises ValueError where a single value has no statistics, and running ones may not be used
    or are those of the beginning."""
    is_new = not mean.any() and (variance == 1).all()
    if is_new or not allowed:
        raise ValueError(
            f"layer {path!r}: Expected more than 1 value per channel when training, but "
            "of one sample it gets just 1, which has no variance: train with batches of two "
            "samples or more (batch_size), or set trainable=False"
        )


def affine_gradients(X, dz, mean, variance, epsilon, dscale, doffset):
    """The gradients of scale and offset, where the statistics are given."""
    dz = dz.astype(np.float64)
    dscale[:] = (dz * ((X - mean) / np.sqrt(variance + epsilon))).sum(axis=0)
    doffset[:] = dz.sum(axis=0)


def scale_and_bias(node, run):
    """The factors of a node's filters, or None, and its bias. At a prediction they are the batch
    norm after it: anew in each call, so that they cannot be stale."""
    bias, moments = node.params.get("bias"), node.folded
    if moments is None:
        return None, bias
    params = moments.params
    factor, shift = (run.empty(params["scale"].shape, node.dtype) for _ in range(2))
    arrays = (*moments.running, params["scale"], params["offset"], bias, factor, shift)
    run.kernels.batchnorm_fold(*arrays, moments.epsilon, run.n_threads)
    return factor, shift


def folded_weights(node, run):
    """Weight and bias of a node whose kernel takes no factors of its filters."""
    weight = node.params["weight"]
    factor, bias = scale_and_bias(node, run)
    if factor is None:
        return weight, bias
    folded = run.empty(weight.shape, weight.dtype)
    rows = (-1, len(factor))
    arrays = (weight.reshape(rows), factor, None, folded.reshape(rows))
    run.kernels.channel_affine(*arrays, run.n_threads)
    return folded, bias


@executes(LocalResponseNorm)
class LocalResponseNormNode(Node):
    """Y = X / (bias + alpha / size sum X^2)^beta over neighbouring channels."""

    def __init__(self, layer, path, input_shape):
        super().__init__(path, input_shape, layer.output_shape(input_shape))
        self.constants = (
            int(layer.size),
            float(layer.alpha),
            float(layer.beta),
            float(layer.bias),
        )

    def forward(self, X, run):
        Y = run.empty(X.shape, X.dtype)
        rows = (-1, X.shape[-1])
        run.kernels.response_norm_forward(
            X.reshape(rows), Y.reshape(rows), *self.constants, run.n_threads
        )
        run.save(self, X)
        return Y

    def backward(self, dY, need_input, run):
        if not need_input:
            return None
        (X,) = run.recall(self)
        dX = run.empty(X.shape, X.dtype)
        rows = (-1, X.shape[-1])
        run.kernels.response_norm_backward(
            X.reshape(rows),
            dY.reshape(rows),
            dX.reshape(rows),
            *self.constants,
            run.n_threads,
        )
        return dX
