"""How many threads to use."""

import functools
import os

import joblib

from .kernels import _cpu

#: More threads than so many for each core of the machine are not used.
THREADS_PER_CORE = 4


@functools.cache
def _most_threads():
    return THREADS_PER_CORE * (os.cpu_count() or 1)


@functools.cache
def _cores():
    """Cores that the process may use; asking the system takes longer than a small forward."""
    return joblib.cpu_count(only_physical_cores=True)


def _available():
    """Threads that OpenMP would use, and no more than cores unless the environment asks for them.

    The variable may be set after OpenMP has read it, as dask does where it starts workers. Then
    it is not heard, and asks for nothing.
    """
    count = _cpu.max_threads()
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return count if asked == str(count) else min(count, _cores())


def effective_n_threads(n_threads=None):
    """The number of threads for a parallel loop.

    Parameters
    ----------
    n_threads : int or None, default=None
        None is ``OMP_NUM_THREADS`` where it was set before the import, and otherwise the number
        of cores that the process may use; the worker processes of joblib, dask and ray get
        their share that way. A negative number counts from there: -1 is all, -2 all but one.

    Returns
    -------
    int
        At least 1, and at most 4 for each core of the machine: more only get in each other's way.

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
    count = n_threads
    if n_threads is None or n_threads < 0:
        count = max(1, _available() + 1 + (-1 if n_threads is None else n_threads))
    return min(int(count), _most_threads())
