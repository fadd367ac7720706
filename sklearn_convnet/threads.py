"""How many threads to use."""

import functools
import os

import joblib

from .kernels import _cpu

_ran_parallel = False
_forked = False


def _note_fork():
    global _forked
    _forked = _forked or _ran_parallel


if hasattr(os, "register_at_fork"):
    # A child made by fork has no copy of the parent's OpenMP threads, and libgomp would wait
    # for them forever.
    os.register_at_fork(after_in_child=_note_fork)


@functools.cache
def _cores():
    """Cores that the process may use; asking the system takes longer than a small forward."""
    return joblib.cpu_count(only_physical_cores=True)


def effective_n_threads(n_threads=None):
    """The number of threads for a parallel loop.

    Parameters
    ----------
    n_threads : int or None, default=None
        None is ``OMP_NUM_THREADS`` where it is set, and otherwise the number of cores that
        the process may use; joblib's workers get their share that way. A negative number
        counts from there: -1 is all, -2 all but one.

    Returns
    -------
    int
        At least 1. Always 1 in a process that was forked after several threads had run:
        OpenMP does not survive it.

    Raises
    ------
    ValueError
        If `n_threads` is 0 or no integer.

    Examples
    --------
    >>> from sklearn_convnet.threads import effective_n_threads
    >>> effective_n_threads(3)
    3
    """
    if n_threads is not None and (
        isinstance(n_threads, bool) or not hasattr(n_threads, "__index__") or n_threads == 0
    ):
        raise ValueError(f"n_threads must be None or an integer other than 0, got {n_threads!r}")
    if _forked:
        return 1
    global _ran_parallel
    count = n_threads
    if n_threads is None or n_threads < 0:
        available = _cpu.max_threads()
        if "OMP_NUM_THREADS" not in os.environ:
            available = min(available, _cores())
        count = max(1, available + 1 + (-1 if n_threads is None else n_threads))
    _ran_parallel = _ran_parallel or count > 1
    return int(count)
