"""The training loop of the client: it sends tasks, epoch by epoch, and sees what comes of them."""

import numpy as np

from ..batches import batches_of, ends_of_shards
from ..shards import ShardedTrainer, evaluation, merged_moments
from ..training import chunk_rows
from . import tasks
from .cluster import Graph, Placed
from .rows import local, sender

#: So many tasks are sent at once; as many may wait for their turn.
WINDOW = 1000


class DaskTrainer(ShardedTrainer):
    """Trains on a cluster, to the bits of a `ShardedTrainer`.

    Parameters
    ----------
    cluster : Cluster
    n_threads : int or None
        Of a task.
    sync_every : int
        So many steps a shard makes by itself.
    transport : "float16" or None
        How gradients travel.
    *args, **params
        Those of `ShardedTrainer`.
    """

    def __init__(self, cluster, n_threads, sync_every, transport, *args, **params):
        super().__init__(*args, **params)
        self.cluster, self.sync_every, self.transport = cluster, sync_every, transport
        self._threads_of_task = n_threads
        self._template = Placed(cluster, 1, self._send_template)
        self._placed = {}

    def _send_template(self, _, __):
        bare = ShardedTrainer(
            self.n_shards,
            self.network,
            self.loss,
            self.optimizer,
            self.batch_size,
            self.shuffle,
            None,
            1,
            state={},
            augment=self.augment,
            view=self.view,
            mix=self.mix,
        )
        template = tasks.Template(bare, self.cluster.variant, self._threads_of_task)
        return [self.cluster.send(template, everywhere=True)]

    def _on_workers(self, samples, ends):
        """Samples on workers, cut at these ends, as `Placed.settle` returns them; they are sent
        once."""
        placed = self._placed.get(id(samples))
        if placed is None:
            send = sender(self.cluster, samples, ends)
            self._placed[id(samples)] = placed = Placed(self.cluster, len(ends), send)
        return placed.settle()

    def _template_there(self):
        ((template, *_),) = self._template.settle()
        return template

    def _shards(self, samples):
        return self._on_workers(samples, ends_of_shards(len(samples), self.n_shards))

    def at_hand(self, samples, which):
        some = super().at_hand(samples, which)
        some.X = local(some.X, self.cluster.client)
        return some

    # --- statistics and validation -----------------------------------------------------

    def fit_statistics(self, samples, weight, known):
        for i, node in self.network.nodes_to_measure(known):
            if not hasattr(node, "moments"):
                raise ValueError(
                    f"layer {node.path!r} computes statistics of all samples at once, so it cannot "
                    "be fitted on a cluster: give its node `moments` and `use_moments`, as "
                    "Standardize has them"
                )
            parts = self.cluster.resilient(lambda i=i: self._moments(samples, weight, i))
            node.use_moments(merged_moments(parts))

    def _moments(self, samples, weight, i):
        cluster, template = self.cluster, self._template_there()
        weights = cluster.send(tasks.Weights.of(self.network))
        ends = ends_of_shards(len(samples), self.n_shards)
        shards = zip(self._shards(samples), ends, strict=True)
        futures = []
        for (shard, worker, n_sharing), (start, stop) in shards:
            of_these = cluster.send(weight[start:stop], worker)
            args = template, weights, shard, of_these, i, n_sharing
            futures.append(cluster.submit(tasks.moments, *args, worker=worker))
        return cluster.result(futures)

    def evaluate(self, samples, score):
        edges = batches_of(len(samples), chunk_rows(self.network))
        # Chunks stay whole: each part has some of them.
        cuts = ends_of_shards(len(edges), min(len(edges), self.n_shards))
        ends = [(edges[start][0], edges[stop - 1][1]) for start, stop in cuts]
        parts = self.cluster.resilient(lambda: self._evaluated(samples, score, edges, cuts, ends))
        return evaluation((chunk for part in parts for chunk in part), samples.scale, score)

    def _evaluated(self, samples, score, edges, cuts, ends):
        cluster, template = self.cluster, self._template_there()
        weights = cluster.send(tasks.Weights.of(self.network))
        placed = self._on_workers(samples, ends)
        futures = []
        for (part, worker, n_sharing), (first, last), (begin, _) in zip(
            placed, cuts, ends, strict=True
        ):
            own = [(start - begin, stop - begin) for start, stop in edges[first:last]]
            args = template, weights, part, score, own, n_sharing
            futures.append(cluster.submit(tasks.evaluated, *args, worker=worker))
        return cluster.result(futures)

    # --- epochs ------------------------------------------------------------------------

    def _run_steps(self, samples, score):
        order, draws = self.epoch_seeds()
        epoch = tasks.Epoch(len(samples), order, draws, alone=self.sync_every > 1)
        state = self.cluster.resilient(lambda: self._epoch(samples, epoch, score))
        self._take(state)
        score.merge(state.score)
        return state.total / len(samples)

    def _take(self, state):
        """Go on from a state; whoever holds the parts of the trainer's sees it."""
        state.weights.put(self.network)
        self.state.clear()
        self.state.update(state.training)
        if self.average is not None:
            vars(self.average).update(vars(state.average))
        self.learning_rate = state.learning_rate

    def _epoch(self, samples, epoch, score):
        """The state after an epoch, whose tasks are sent some at a time."""
        cluster, weights = self.cluster, tasks.Weights.of(self.network)
        plan = _Plan(
            self._template_there(),
            self._shards(samples),
            np.diff(self.ends(len(samples))).sum(axis=0).tolist(),
            epoch,
            score.fresh(),
            self.transport,
        )
        before = tasks.State(weights, self.state, self.average, score.fresh())
        state, residuals = cluster.send(before), [None] * self.n_shards
        rounds = plan.rounds(self.sync_every)
        n_rounds = max(1, WINDOW // plan.n_tasks)
        for start in range(0, len(rounds), n_rounds):
            graph, earlier = Graph(cluster), state
            for batches in rounds[start : start + n_rounds]:
                state, residuals = plan.add(graph, state, residuals, batches)
            keys = [key for key in (state, *residuals) if key is not None]
            state, *residuals = cluster.run(graph, *keys)
            residuals = residuals or [None] * self.n_shards
            cluster.await_end(earlier)
        return cluster.result(state)


class _Plan:
    """The tasks of an epoch."""

    def __init__(self, template, shards, sizes, epoch, score, transport):
        self.template, self.shards, self.sizes = template, shards, sizes
        self.epoch, self.score, self.transport = epoch, score, transport

    @property
    def n_tasks(self):
        """The most tasks of a step."""
        return 2 + len(self.shards) * (1 if self.transport is None else 3)

    def rounds(self, n_steps):
        """The numbers of the batches from one average to the next."""
        n = len(self.sizes)
        return [range(i, min(i + n_steps, n)) for i in range(0, n, n_steps)]

    def add(self, graph, state, residuals, batches):
        """Adds a round to a graph; returns the keys of the state after it, and of what was lost of
        each shard's gradients."""
        if self.epoch.alone:
            return self._add_own_steps(graph, state, list(batches)), residuals
        (i,) = batches
        weights, results, left = graph.add(tasks.weights_of, state), [], []
        for number, (shard, worker, n_sharing) in enumerate(self.shards):
            same = self.template, weights, shard, self.score, number, i, self.epoch, n_sharing
            if self.transport is None:
                results.append(graph.add(tasks.gradient, *same, worker=worker))
                continue
            both = graph.add(tasks.half_gradient, residuals[number], *same, worker=worker)
            results.append(graph.add(tasks.first, both, worker=worker))
            left.append(graph.add(tasks.second, both, worker=worker))
        state = graph.add(tasks.step, self.template, state, self.sizes[i], *results)
        return state, left or residuals

    def _add_own_steps(self, graph, state, batches):
        states = []
        for number, (shard, worker, n_sharing) in enumerate(self.shards):
            same = self.template, state, shard, number, batches, self.epoch, n_sharing
            states.append(graph.add(tasks.own_steps, *same, worker=worker))
        return graph.add(tasks.mean_state, state, *states)
