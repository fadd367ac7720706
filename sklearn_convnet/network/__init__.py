"""Executable networks: arrays, and the forward and backward pass of each node.

::

    layers (specs) ── compile_network ──> Network
                          │                  ├─ params    one vector, a segment a weight
                          │                  ├─ grads     the same layout
                          │                  ├─ buffers   statistics, not trained
                          └─ nodes: conv.py dense.py pool.py ...

`Node`, `Weight` and `executes` are the parts of a layer of one's own.
"""

from .compile import compile_network
from .network import Network
from .node import Node, Weight, executes

__all__ = ["Network", "Node", "Weight", "compile_network", "executes"]
