"""The cluster during a fit: its workers, and what was sent to them.

# Design:
# * Everything that a fit has on the cluster hangs on futures that are kept here, and is gone with
#   them when the fit ends, however it ends.
# * What was sent, and not computed, is lost with the worker that has it. Then `resilient` sends it
#   again, and repeats the work that needed it, to the same bits.
"""

import uuid
from concurrent.futures import CancelledError

from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from distributed import KilledWorker, wait
from distributed.comm import CommClosedError

from .._version import package_version
from ..kernels import loader

#: What is raised where data were on a worker that is no more, or on their way to it.
LOST = (CancelledError, KilledWorker, CommClosedError, TimeoutError)
#: So many times work is repeated whose data were lost with a worker.
MAX_LOSSES = 5
#: Seconds to wait for the first worker.
PATIENCE = 60


def _on_worker():
    """The version of the package, and the variants of the kernels that can be used here."""
    forced = loader.forced_variant()
    return package_version(), [forced] if forced else loader.variants()


class Cluster:
    """All that a fit has on a cluster; a context manager, which takes all of it away.

    Parameters
    ----------
    client : distributed.Client

    Attributes
    ----------
    variant : str
        The best variant of the kernels that all workers and the client have.
    frames : dict of str to DataFrame
        An empty table like the one that a dask array was made of, by the name of the array.

    Raises
    ------
    RuntimeError
        If there is no worker, or workers have other versions of the package or no variant in
        common.
    """

    def __init__(self, client):
        self.client = client
        self.token = uuid.uuid4().hex[:12]
        self._n_names = 0
        self._futures = []
        self.placed, self.frames = [], {}
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError:
            raise RuntimeError(f"{client} has had no worker for {PATIENCE} s") from None
        seen = self.resilient(lambda: client.run(_on_worker))
        self.variant = _common_variant({**seen, "the client": _on_worker()})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release(*self._futures)

    def workers(self):
        """Addresses of the workers, in a fixed order, with their number of threads."""
        return dict(sorted(self.client.nthreads().items()))

    def name(self, what):
        """A new name on the cluster."""
        self._n_names += 1
        return f"convnet-{what}-{self.token}-{self._n_names}"

    def keep(self, future):
        """Let a future live until the end, or until it is released."""
        self._futures.append(future)
        return future

    def release(self, *futures):
        """Let go of what futures stand for."""
        for future in futures:
            future.release()
        gone = set(map(id, futures))
        self._futures = [future for future in self._futures if id(future) not in gone]

    def send(self, value, worker=None, everywhere=False):
        """A future of a value, on one worker or on all."""
        where = None if worker is None else [worker]
        (future,) = self.client.scatter([value], workers=where, broadcast=everywhere, hash=False)
        return self.keep(future)

    def submit(self, function, *args, worker=None):
        """A future of what a function returns, on a worker if it lives."""
        where = {} if worker is None else {"workers": [worker], "allow_other_workers": True}
        key = self.name(function.__name__)
        return self.keep(self.client.submit(function, *args, key=key, pure=False, **where))

    def compute(self, delayed, worker):
        """A future of a delayed object, computed on a worker if it lives."""
        where = {"workers": [worker], "allow_other_workers": True}
        return self.keep(self.client.compute(delayed, **where))

    def run(self, graph, *keys):
        """Futures of some results of a `Graph`; nothing else of it is kept."""
        return [self.keep(f) for f in self.client.get(graph.packed(), list(keys), sync=False)]

    def result(self, future):
        """The result of a future, or of a list of them; an error of a task is raised here."""
        return self.client.gather(future)

    def await_end(self, future):
        """Waits until it is known what becomes of a future."""
        wait([future])

    def resilient(self, work):
        """The result of work(); where something was lost with a worker, it is sent and done again.
        Nothing of the work is left on the cluster, but for the parts that are placed."""
        for n_losses in range(1, MAX_LOSSES + 1):
            try:
                result = work()
                break
            except LOST:
                if n_losses == MAX_LOSSES:
                    raise
                for placed in self.placed:
                    placed.forget()
                self._release_passing()
        self._release_passing()
        return result

    def _release_passing(self):
        """Lets go of all but what is placed."""
        stays = {id(future) for placed in self.placed for future in placed.held()}
        self.release(*[future for future in self._futures if id(future) not in stays])


def _common_variant(seen):
    """The best variant that all have, of what `_on_worker` tells of each."""
    versions = {version for version, _ in seen.values()}
    if len(versions) > 1:
        raise RuntimeError(
            "workers and client have different versions of sklearn_convnet, "
            f"{', '.join(sorted(versions))}: install the same everywhere"
        )
    usable = [variants for _, variants in seen.values()]
    common = [name for name in loader.VARIANTS if all(name in variants for variants in usable)]
    if not common:
        raise RuntimeError(
            "workers and client have no variant of the kernels in common: "
            f"{ {where: variants for where, (_, variants) in seen.items()} }"
        )
    return common[0]


class Graph:
    """Tasks that are sent together.

    Tasks of one worker are one layer, since that is what dask pins to a worker. Layers name each
    other in circles, which is no matter to whoever reads them as one.
    """

    def __init__(self, cluster):
        self.cluster, self.layers = cluster, {}

    def add(self, function, *args, worker=None):
        """A task, of which the key is returned; arguments may be keys and futures."""
        key = self.cluster.name(function.__name__)
        self.layers.setdefault(worker, {})[key] = (function, *args)
        return key

    def packed(self):
        """It as dask takes it."""
        layers = {}
        for worker, tasks in self.layers.items():
            where = {"workers": [worker], "allow_other_workers": True}
            name = self.cluster.name("layer")
            layers[name] = MaterializedLayer(tasks, annotations=None if worker is None else where)
        return HighLevelGraph(layers, {name: set() for name in layers})


class Placed:
    """Parts of samples on workers, each on one.

    Parameters
    ----------
    cluster : Cluster
    n_parts : int
    send : callable
        ``send(part, worker)`` returns the future of a part, on its way to a worker, and perhaps
        others that it is computed of.
    """

    def __init__(self, cluster, n_parts, send):
        self.cluster, self.n_parts, self.send = cluster, n_parts, send
        cluster.placed.append(self)
        self.forget()

    def forget(self):
        """Send all of them anew when they are needed next."""
        self.futures, self.where = {}, {}

    def held(self):
        """The futures that parts live by."""
        return [future for futures in self.futures.values() for future in futures]

    def settle(self):
        """Sends what is not there, and moves parts if workers have come or gone.

        Returns
        -------
        list of (future, str, int)
            Of each part the future, the worker that it is on, and how many parts that has.
        """
        where = placement(self.where, self.n_parts, list(self.cluster.workers()))
        for part, worker in where.items():
            if part not in self.futures:
                self.futures[part] = self.send(part, worker)
            elif worker != self.where[part]:
                before = self.futures[part]
                self.futures[part] = [self.cluster.submit(same, before[0], worker=worker)]
                self.cluster.await_end(self.futures[part][0])
                self.cluster.release(*before)
        self.where = where
        on = list(where.values())
        return [(self.futures[p][0], where[p], on.count(where[p])) for p in range(self.n_parts)]


def same(value):
    """A value itself, where it is asked for."""
    return value


def placement(before, n_parts, workers):
    """A worker for each part: as equal numbers as may be, and no part moves without need.

    Parameters
    ----------
    before : dict of int to str
        Where parts are that have a place.
    n_parts : int
    workers : list of str

    Returns
    -------
    dict of int to str
    """
    least, n_more = divmod(n_parts, len(workers))
    room = dict.fromkeys(workers, least)
    where = {}
    for part in range(n_parts):
        worker = before.get(part)
        if room.get(worker, 0) > 0:
            where[part] = worker
            room[worker] -= 1
        elif room.get(worker) == 0 and n_more:  # one of those with a part more
            where[part] = worker
            room[worker], n_more = -1, n_more - 1
    for part in range(n_parts):
        if part not in where:
            worker = max(workers, key=lambda w: (room[w], -workers.index(w)))
            where[part] = worker
            room[worker] -= 1
    return dict(sorted(where.items()))
