"""Sharing tasks among threads."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import kernel_cases as cases
import numpy as np
import pytest


@cases.every_compiled
@pytest.mark.parametrize("n_threads", [7, 140])
def test_more_threads_than_cores_or_shares(kernels, dtype, n_threads):
    """Each task is done."""
    rng = np.random.default_rng(0)
    X, W = (rng.standard_normal(shape).astype(dtype) for shape in [(1024, 300), (300, 250)])
    expected, Y = np.empty((2, 1024, 250), dtype)
    kernels.dense_forward(X, W, None, expected, "identity", 0.0, 1)
    for _ in range(3):
        Y[:] = np.nan
        kernels.dense_forward(X, W, None, Y, "identity", 0.0, n_threads)
        cases.assert_same_bits(Y, expected)


def test_one_thread_does_the_tasks_of_all(run_python):
    """Where there is one core, the first thread finds that the others have not begun, and does
    their tasks too, from the ends of their shares."""
    digests = run_python(
        """
        import hashlib
        import os
        import numpy as np
        from sklearn_convnet.layers import (
            Conv2D, Dense, DepthwiseConv2D, Flatten, MaxPool2D, SelfAttention,
        )
        from sklearn_convnet.network import compile_network

        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
        networks = {
            "pools": [Conv2D(6, 5), MaxPool2D(2), Conv2D(16, 5), MaxPool2D(2), Dense(100)],
            "convolutions": [Conv2D(32, 3), Conv2D(32, 3), Conv2D(16, 2), Dense(100)],
            "depth-wise": [Conv2D(48, 3, stride=2), DepthwiseConv2D(3)],
            "attention": [Conv2D(32, 2, stride=4), SelfAttention(2)],
        }
        X = np.random.default_rng(0).standard_normal((60, 30, 30, 1), np.float32)
        for name, layers in networks.items():
            network = compile_network(layers, X.shape[1:], random_state=0)
            digests = set()
            for n_threads in (1, 3):
                Y = network.forward(X, training=True, n_threads=n_threads)
                dX = network.backward(np.cos(Y), n_threads=n_threads)
                bits = Y.tobytes() + dX.tobytes() + network.grads.tobytes()
                digests.add(hashlib.sha256(bits).hexdigest())
            print(name, len(digests))
        """
    )
    assert [line.split()[-1] for line in digests.splitlines()] == ["1"] * 4
