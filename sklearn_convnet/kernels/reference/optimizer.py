"""Optimisers."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np

from .checks import _double, _kernel, _match, check_segments, check_step


def _decayed_gradients(params, grads, segments, decay, scale):
    """The segments, of each its range, p, and g = scale · grad + decay · p."""
    for (start, stop), segment_decay in zip(segments, _double(decay), strict=True):
        part = slice(start, stop)
        p = _double(params[part])
        yield part, p, scale * _double(grads[part]) + segment_decay * p


def _keep(array, part, x):
    """Keep x, of the parameters too, for the next step: zero where it is below 16 times the
    smallest normal number."""
    small = np.abs(x) < 16 * np.finfo(array.dtype).tiny
    array[part] = np.where(small, 0, x)


@_kernel()
def global_norm(x, segments, n_threads):
    """The Euclidean norm of all segments together.

    Parameters
    ----------
    x : array of shape (p,)  # IN
    segments : int64 array of shape (s, 2)  # IN
        Ranges [start, stop) that count.
    n_threads : int

    Returns
    -------
    norm : float
    """
    _match(x=(x, "p"), segments=(segments, "s 2", np.int64))
    check_segments(x.size, segments)

    # sqrt(Σ x²)
    return float(np.sqrt(sum(np.sum(_double(x[start:stop]) ** 2) for start, stop in segments)))


@_kernel("velocity")
def sgd_step(params, grads, velocity, segments, decay, learning_rate, scale, momentum,
             nesterov, n_threads):  # fmt: skip
    """One step of gradient descent with momentum, in the form of PyTorch.

    Parameters
    ----------
    params : array of shape (p,)  # INOUT
    grads : array of shape (p,)  # IN
    velocity : array of shape (p,) or None  # INOUT
        None without momentum.
    segments : int64 array of shape (s, 2)  # IN
        Ranges [start, stop) to update; what lies outside them stays as it is.
    decay : array of shape (s,)  # IN
        Weight decay of every segment.
    learning_rate : float
    scale : float
        What the gradients are multiplied by, before the decay.
    momentum : float
    nesterov : bool
    n_threads : int
    """
    check_step(params, grads, segments, decay, velocity, momentum)

    for part, p, g in _decayed_gradients(params, grads, segments, decay, scale):
        # v = momentum · v + g
        v = g if velocity is None else momentum * _double(velocity[part]) + g

        # p = p - learning_rate · v; Nesterov looks one step ahead: g + momentum · v
        step = g + momentum * v if nesterov else v
        if velocity is not None:
            _keep(velocity, part, v)
        _keep(params, part, p - learning_rate * step)


@_kernel()
def adagrad_step(params, grads, square, segments, decay, learning_rate, scale, epsilon,
                 n_threads):  # fmt: skip
    """One step of Adagrad, in the form of PyTorch.

    Parameters
    ----------
    params : array of shape (p,)  # INOUT
    grads : array of shape (p,)  # IN
    square : array of shape (p,)  # INOUT
        Sum of the squared gradients.
    segments : int64 array of shape (s, 2)  # IN
        Ranges [start, stop) to update; what lies outside them stays as it is.
    decay : array of shape (s,)  # IN
        Weight decay of every segment.
    learning_rate : float
    scale : float
        What the gradients are multiplied by, before the decay.
    epsilon : float
    n_threads : int
    """
    check_step(params, grads, segments, decay, square=square)

    for part, p, g in _decayed_gradients(params, grads, segments, decay, scale):
        # s = s + g²;  p = p - learning_rate · g / (sqrt(s) + ε)
        s = _double(square[part]) + g * g
        _keep(square, part, s)
        _keep(params, part, p - learning_rate * g / (np.sqrt(s) + epsilon))


@_kernel("mean", "velocity")
def rmsprop_step(params, grads, square, mean, velocity, segments, decay, learning_rate,
                 scale, alpha, epsilon, momentum, n_threads):  # fmt: skip
    """One step of RMSprop, in the form of PyTorch.

    Parameters
    ----------
    params : array of shape (p,)  # INOUT
    grads : array of shape (p,)  # IN
    square : array of shape (p,)  # INOUT
        Running mean of the squared gradient.
    mean : array of shape (p,) or None  # INOUT
        Running mean of the gradient; None if the square is not centred.
    velocity : array of shape (p,) or None  # INOUT
        None without momentum.
    segments : int64 array of shape (s, 2)  # IN
        Ranges [start, stop) to update; what lies outside them stays as it is.
    decay : array of shape (s,)  # IN
        Weight decay of every segment.
    learning_rate : float
    scale : float
        What the gradients are multiplied by, before the decay.
    alpha, epsilon, momentum : float
    n_threads : int
    """
    check_step(params, grads, segments, decay, velocity, momentum, square=square, mean=mean)

    for part, p, g in _decayed_gradients(params, grads, segments, decay, scale):
        # s = α s + (1 - α) g²;  m = α m + (1 - α) g
        s = alpha * _double(square[part]) + (1 - alpha) * g * g
        _keep(square, part, s)
        variance = s
        if mean is not None:
            m = alpha * _double(mean[part]) + (1 - alpha) * g
            _keep(mean, part, m)
            variance = np.maximum(s - m * m, 0)  # below zero by rounding only

        # v = momentum · v + g / (sqrt(s - m²) + ε);  p = p - learning_rate · v
        v = g / (np.sqrt(variance) + epsilon)
        if velocity is not None:
            v += momentum * _double(velocity[part])
            _keep(velocity, part, v)
        _keep(params, part, p - learning_rate * v)


@_kernel()
def adam_step(params, grads, m, v, segments, decay, learning_rate, scale, beta1, beta2,
              epsilon, step, decoupled, n_threads):  # fmt: skip
    """One step of Adam or AdamW, in the form of PyTorch.

    Parameters
    ----------
    params : array of shape (p,)  # INOUT
    grads : array of shape (p,)  # IN
    m, v : array of shape (p,)  # INOUT
        Running means of the gradient and of its square.
    segments : int64 array of shape (s, 2)  # IN
        Ranges [start, stop) to update; what lies outside them stays as it is.
    decay : array of shape (s,)  # IN
        Weight decay of every segment.
    learning_rate : float
    scale : float
        What the gradients are multiplied by, before the decay.
    beta1, beta2, epsilon : float
    step : int
        Number of this step, from 1.
    decoupled : bool
        False: decay is added to the gradient (Adam). True: it shrinks the parameters
        first (AdamW).
    n_threads : int
    """
    check_step(params, grads, segments, decay, m=m, v=v)
    if step < 1:
        raise ValueError(f"step is {step}, expected a count from 1")

    for (start, stop), segment_decay in zip(segments, _double(decay), strict=True):
        part = slice(start, stop)
        p, g = _double(params[part]), scale * _double(grads[part])

        # AdamW: p = p - learning_rate · decay · p;  Adam: g = g + decay · p
        if decoupled:
            p = p - learning_rate * segment_decay * p
        else:
            g = g + segment_decay * p

        # m = β₁ m + (1 - β₁) g;  v = β₂ v + (1 - β₂) g²
        mean = beta1 * _double(m[part]) + (1 - beta1) * g
        square = beta2 * _double(v[part]) + (1 - beta2) * g * g

        # p = p - learning_rate · m / (1 - β₁ᵗ) / (sqrt(v / (1 - β₂ᵗ)) + ε)
        size = np.sqrt(square / (1 - beta2**step)) + epsilon
        _keep(m, part, mean)
        _keep(v, part, square)
        _keep(params, part, p - learning_rate * mean / (1 - beta1**step) / size)
