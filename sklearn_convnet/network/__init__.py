"""Executable networks: arrays, and the forward and backward of each node.

::

    layers (specs) ── compile_network ──> Network
                          │                  ├─ params    one vector, a segment a weight
                          │                  ├─ grads     the same layout
                          │                  ├─ buffers   statistics, not trained
                          └─ nodes: conv.py dense.py pool.py ...
"""

from .compile import compile_network
from .network import Network

__all__ = ["Network", "compile_network"]
