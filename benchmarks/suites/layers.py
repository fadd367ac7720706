"""A prediction and a training step of every layer and network of the tests."""

import layer_cases

from . import THREADS

CASES = {**layer_cases.CASES, **layer_cases.NETWORKS}
BATCH = 128


class Layers:
    """`time_step` is a training step without its update: forward and all gradients."""

    params = (list(CASES), THREADS)
    param_names = ("case", "threads")

    def setup(self, name, threads):
        self.network = CASES[name].network("float32")
        self.X = CASES[name].batch(BATCH, dtype="float32")
        self.dY = self.network.forward(self.X, n_threads=threads).copy()

    def time_forward(self, name, threads):
        self.network.forward(self.X, n_threads=threads)

    def time_step(self, name, threads):
        self.network.forward(self.X, training=True, n_threads=threads)
        self.network.backward(self.dY, n_threads=threads)
