"""ONNX models, run: in onnxruntime, or in float64 by the reference evaluator of onnx.

onnxruntime has no convolutions of doubles. Three operators of the reference evaluator are written
anew: its Erf computes in float32, its MaxPool reads beyond the end of padded signals and volumes,
its ConvTranspose knows no groups.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import numpy as np
import onnxruntime
from numpy.lib.stride_tricks import sliding_window_view
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from scipy.special import erf

from sklearn_convnet.interchange import to_onnx
from sklearn_convnet.layers.composition import ShapeError

#: Largest error as a share of the largest number.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}


class Erf(OpRun):
    def _run(self, x):
        return (erf(x),)


class MaxPool(OpRun):
    def _run(self, x, kernel_shape, strides, pads=None, auto_pad=None, **others):
        n = len(kernel_shape)
        if auto_pad == "SAME_UPPER":
            outs = [-(-size // step) for size, step in zip(x.shape[2:], strides, strict=True)]
            axes = zip(outs, strides, kernel_shape, x.shape[2:], strict=True)
            totals = [max((out - 1) * step + k - size, 0) for out, step, k, size in axes]
            pads = [t // 2 for t in totals] + [t - t // 2 for t in totals]
        pads = pads or [0] * (2 * n)
        around = [(0, 0), (0, 0), *zip(pads[:n], pads[n:], strict=True)]
        padded = np.pad(x, around, constant_values=-np.inf)
        windows = sliding_window_view(padded, kernel_shape, tuple(range(2, n + 2)))
        at = (slice(None), slice(None), *(slice(None, None, step) for step in strides))
        return (windows[at].max(axis=tuple(range(-n, 0))),)


class ConvTranspose(OpRun):
    def _run(
        self, x, weight, bias=None, *, kernel_shape, strides, dilations, group, pads, **others
    ):
        n, n_axes = len(x), len(kernel_shape)
        axes = zip(x.shape[2:], kernel_shape, strides, dilations, strict=True)
        sizes = [(size - 1) * s + d * (k - 1) + 1 for size, k, s, d in axes]
        sizes = [size + more for size, more in zip(sizes, others["output_padding"], strict=True)]
        y = np.zeros((n, group, weight.shape[1], *sizes), x.dtype)
        parts = x.reshape(n, group, -1, *x.shape[2:])
        weight = weight.reshape(group, -1, *weight.shape[1:])
        for tap in np.ndindex(*kernel_shape):
            at = [
                slice(t * d, t * d + (size - 1) * s + 1, s)
                for t, d, s, size in zip(tap, dilations, strides, x.shape[2:], strict=True)
            ]
            of_tap = weight[(..., *tap)]
            y[(..., *at)] += np.einsum("ngc...,gcf->ngf...", parts, of_tap)
        ends = zip(y.shape[3:], pads[:n_axes], pads[n_axes:], strict=True)
        y = y[(..., *(slice(before, size - after) for size, before, after in ends))]
        y = y.reshape(n, -1, *y.shape[3:])
        return (y if bias is None else y + bias.reshape(-1, *[1] * n_axes),)


def run(model, X, **others):
    """The outputs of a model by name; `others` are its inputs beside X."""
    names = [output.name for output in model.graph.output]
    if model.graph.input[0].type.tensor_type.elem_type == 11:  # of doubles
        found = ReferenceEvaluator(model, new_ops=[ConvTranspose, Erf, MaxPool]).run(
            None, {"X": X, **others}
        )
    else:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        found = session.run(None, {"X": X, **others})
    return dict(zip(names, found, strict=True))


def assert_close(found, expected, dtype="float32"):
    """Same shape, and the same numbers but for rounding in a dtype."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    tolerance = TOLERANCE[np.dtype(dtype).name]
    np.testing.assert_allclose(found, expected, tolerance, tolerance * np.abs(expected).max())


def shake(network, seed=0):
    """Gives all parameters and statistics of a network values of their own."""
    rng = np.random.RandomState(seed)
    for array in network.parameters().values():
        array += 0.1 * rng.normal(size=array.shape)
    for array in network.buffers().values():
        array[...] = rng.uniform(0.5, 2, array.shape)


def assert_same_output(network, X, **options):
    """A network's ONNX model has the network's output; returns the model."""
    shake(network)
    model = to_onnx(network, **options)
    (found,) = run(model, X).values()
    expected = network.forward(X)
    assert found.dtype == expected.dtype
    assert_close(found, expected, expected.dtype)
    return model


def input_shape(model):
    """Names of free axes of X, and sizes of the others."""
    return [
        axis.dim_param or axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim
    ]


def assert_same_at_other_sizes(network, model, sizes):
    """The same for samples of other sizes, those that the layers can do with."""
    channels = network.input_shape[-1]
    for size in sizes:
        try:
            other = network.resized((*size, channels))
        except ShapeError:
            continue
        X = np.random.RandomState(1).normal(size=(2, *size, channels)).astype(network.dtype)
        assert_close(run(model, X)["output"], other.forward(X), network.dtype)


def assert_same_predictions(estimator, X, **options):
    """An estimator's ONNX model predicts what the estimator does; returns the model."""
    model = to_onnx(estimator, **options)
    found = run(model, X)
    predicted, dtype = estimator.predict(X), estimator.network_.dtype
    if "variable" in found:
        assert found["variable"].dtype == predicted.dtype
        assert_close(found["variable"], predicted, dtype)
        return model
    if "box" in found:
        assert_close(found["box"], estimator.predict_box(X), dtype)
        predicted = predicted[:, 0] if predicted.ndim == 2 else predicted
    assert found["label"].tolist() == predicted.tolist()
    probabilities = estimator.predict_proba(X)
    if not isinstance(probabilities, list):
        probabilities = [probabilities]
        found["probabilities"] = [found["probabilities"]]
    for one, expected in zip(found["probabilities"], probabilities, strict=True):
        assert_close(one, expected, dtype)
    return model
