"""One network on worker processes of this machine, and a model of what many machines would do.

    python benchmarks/cluster.py measure [--nets vgg resnet20] [--batch 256] [--steps 4]
                                         [--rounds 5] [--json FILE]
    python benchmarks/cluster.py simulate [--megabytes 8.7] [--seconds 1.0] [--json FILE]
                                          [--figure docs/figures/cluster.svg]

measure   the time of a step of the plain estimator with one and two threads, and of the cluster
          with one and two worker processes of one thread each, all with two shards; and the share
          of the time in which the cluster computes nothing that the step waits for. In every round
          each does an epoch. All must end with the same weights.
simulate  steps of 1 to 64 workers at 1 and 10 Gbit/s: messages with latency and bandwidth, one
          after the other in the queues of network cards and of the scheduler, beside a formula
"""

import argparse
import heapq
import json
import statistics
import time
import warnings
from contextlib import ExitStack, contextmanager

import numpy as np
from networks import NETS, make_batch

# %%
# Measured


@contextmanager
def timed_epochs(seconds):
    """Appends the clock at the beginning of each epoch of any fit, and its duration, to a list."""
    from sklearn_convnet.training import Trainer

    run_epoch = Trainer.run_epoch

    def timed(self, *args):
        clock, start = time.time(), time.perf_counter()
        result = run_epoch(self, *args)
        seconds.append((clock, time.perf_counter() - start))
        return result

    Trainer.run_epoch = timed
    try:
        yield
    finally:
        Trainer.run_epoch = run_epoch


def computing(stream, begin):
    """Seconds that steps had to wait for tasks since a time on the clock: for those of the worker
    with the most gradients to compute, and for their own."""
    total = {}
    for task in stream:
        kind = str(task["key"]).split("-")[1] if str(task["key"]).startswith("convnet-") else None
        if kind not in ("gradient", "step", "weights_of"):
            continue
        parts = [p for p in task["startstops"] if p["action"] == "compute" and p["start"] > begin]
        spent = sum(part["stop"] - part["start"] for part in parts)
        place = task["worker"] if kind == "gradient" else ""
        total[kind, place] = total.get((kind, place), 0.0) + spent
    slowest = max(spent for (kind, _), spent in total.items() if kind == "gradient")
    return slowest + sum(s for (kind, _), s in total.items() if kind != "gradient")


def contenders(stack, net, batch):
    """A fit by name: a function of X and y that returns the model and what the cluster did."""
    from distributed import Client, LocalCluster, get_task_stream

    from sklearn_convnet import ConvNetClassifier
    from sklearn_convnet.dask import DaskConvNetClassifier
    from sklearn_convnet.optimizers import SGD

    params = dict(
        layers=NETS[net].make()[0],
        optimizer=SGD(0.01, momentum=0.9),
        batch_size=batch,
        n_shards=2,
        max_iter=2,  # the first begins with plans and copies of the network
        random_state=0,
    )

    def plain(n_threads):
        return lambda X, y: (ConvNetClassifier(**params, n_threads=n_threads).fit(X, y), None)

    def on_cluster(n_workers):
        options = dict(threads_per_worker=1, dashboard_address=":0", host="127.0.0.1")
        cluster = stack.enter_context(LocalCluster(n_workers=n_workers, **options))
        client = stack.enter_context(Client(cluster))

        def fit(X, y):
            with get_task_stream(client) as stream:
                model = DaskConvNetClassifier(**params, client=client).fit(X, y)
            return model, stream.data

        return fit

    return {
        "one process, one thread": plain(1),
        "one process, two threads": plain(2),
        "one worker": on_cluster(1),
        "two workers": on_cluster(2),
    }


def measure(options):
    """Seconds of a step by network and contender."""
    found = {}
    columns = ("network", "contender", "ms a step", "times as fast", "in communication")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for net in options.nets:
        X, y = make_batch(net, options.batch * options.steps)
        with ExitStack() as stack:
            fits, rounds, weights = contenders(stack, net, options.batch), [], {}
            for _ in range(options.rounds):
                rounds.append({})
                for name, fit in fits.items():
                    seconds = []
                    with timed_epochs(seconds):
                        model, stream = fit(X, y)
                    weights[name] = model.network_.params
                    begin, spent = seconds[-1]
                    waits = None if stream is None else 1 - computing(stream, begin) / spent
                    rounds[-1][name] = spent / options.steps, waits
        first, *others = weights.values()
        if not all(np.array_equal(first, other) for other in others):
            raise SystemExit(f"{net}: the weights differ")
        for name in fits:
            step = statistics.median(r[name][0] for r in rounds)
            faster = statistics.median(r["one worker"][0] / r[name][0] for r in rounds)
            waits = [r[name][1] for r in rounds if r[name][1] is not None]
            share = f"{statistics.median(waits):.0%}" if waits else "-"
            print(f"| {net} | {name} | {1e3 * step:.0f} | {faster:.2f} | {share} |", flush=True)
            found[f"{net}, {name}"] = {"seconds": step, "faster": faster, "share": share}
    return found


# %%
# Simulated


class Line:
    """What passes one thing at a time: a direction of a network card, or the scheduler."""

    def __init__(self):
        self.free = 0.0

    def take(self, now, seconds):
        """The time when it has let something pass that comes now."""
        self.free = max(self.free, now) + seconds
        return self.free


def simulated_step(n_workers, n_bytes, bandwidth, latency, compute, update, overhead, seed=0):
    """Seconds of a step, by events on a fake clock.

    The worker that made the last step has the weights. The scheduler tells the others one by one to
    begin (`overhead` for each task); they fetch the weights, compute for `compute` seconds, more
    or less by a tenth, and tell the scheduler, which tells the first one to fetch a gradient when
    all are there, and to make the step. Messages of both directions take `latency`.
    """
    rng = np.random.default_rng(seed)
    scheduler, out, into = Line(), Line(), Line()
    transfer = n_bytes / bandwidth
    events, ready = [], []
    for worker in range(n_workers):
        told = scheduler.take(0.0, overhead) + latency
        heapq.heappush(events, (told, "asks", worker))
    arrived = 0
    while events:
        now, what, worker = heapq.heappop(events)
        if what == "asks":
            there = now if worker == 0 else out.take(now + latency, transfer) + latency
            spent = compute * rng.uniform(0.9, 1.1)
            heapq.heappush(events, (there + spent, "has computed", worker))
        elif what == "has computed":
            ready.append(worker)
            heard = scheduler.take(now + latency, overhead)
            if len(ready) == n_workers:
                for other in ready:
                    start = heard + latency
                    heapq.heappush(events, (start, "sends", other))
        elif what == "sends":
            there = now if worker == 0 else into.take(now + 2 * latency, transfer)
            arrived = max(arrived, there)
    return scheduler.take(arrived + update + latency, overhead)


def modelled_step(n_workers, n_bytes, bandwidth, latency, compute, update, overhead):
    """The same by a formula.

    The weights of all but one worker leave one card, and their gradients enter it; the last worker
    has waited for its weights when it begins, and is a tenth slower than the mean. The scheduler
    tells each worker to begin and hears that it has ended, which takes longer than the rest where
    there is little to send and to compute.
    """
    sent = (n_workers - 1) * n_bytes / bandwidth
    begin = max(sent + overhead, n_workers * overhead)
    ready = max(begin + 1.1 * compute, 2 * n_workers * overhead)
    n_messages = 4 if n_workers == 1 else 7
    return ready + sent + update + n_messages * latency + 2 * overhead


def simulate(options):
    """Speed-up by bandwidth and number of workers: simulated, and by the formula."""
    found = {}
    print("| Gbit/s | workers | simulated | formula | difference |\n|---|---|---|---|---|")
    for gigabits in (1, 10):
        fixed = dict(
            n_bytes=options.megabytes * 1e6,
            bandwidth=gigabits * 1e9 / 8,
            latency=options.latency,
            update=options.update,
            overhead=options.overhead,
        )
        for n_workers in (1, 2, 4, 8, 16, 32, 64):
            spent = {"compute": options.seconds / n_workers, **fixed}
            steps = [simulated_step(n_workers, **spent, seed=seed) for seed in range(20)]
            one = options.seconds + options.update
            simulated, modelled = one / np.mean(steps), one / modelled_step(n_workers, **spent)
            difference = modelled / simulated - 1
            numbers = f"{simulated:.2f} | {modelled:.2f} | {difference:+.0%}"
            print(f"| {gigabits} | {n_workers} | {numbers} |")
            found[f"{gigabits}, {n_workers}"] = {"simulated": simulated, "formula": modelled}
    if options.figure:
        draw(found, options.figure)
    return found


def draw(found, path):
    """Speed-up against the number of workers, simulated as points and by the formula as lines."""
    from matplotlib import pyplot as plt
    from plot import save

    figure, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for gigabits, colour in ((1, "tab:orange"), (10, "tab:blue")):
        rows = {int(k.split(", ")[1]): v for k, v in found.items() if k.startswith(f"{gigabits},")}
        workers = list(rows)
        ax.plot(workers, [rows[n]["formula"] for n in workers], color=colour)
        points = [rows[n]["simulated"] for n in workers]
        ax.plot(workers, points, "o", color=colour, label=f"{gigabits} Gbit/s")
    ax.plot(workers[:4], workers[:4], color="0.7", linewidth=0.8, linestyle="--")
    ax.annotate("as many times as workers", (6.2, 6.5), color="0.5", fontsize=8, ha="right")
    ax.set_xscale("log", base=2)
    ax.set_xticks(workers, workers)
    ax.set_xlabel("workers (points: simulated, lines: formula)")
    ax.set_ylabel("speed-up")
    ax.set_ylim(0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    save(figure, path)


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    modes = parser.add_subparsers(dest="mode", required=True)
    one = modes.add_parser("measure")
    one.add_argument("--nets", nargs="+", default=["vgg", "resnet20"], choices=NETS)
    one.add_argument("--batch", type=int, default=256)
    one.add_argument("--steps", type=int, default=4, help="of an epoch; default: %(default)s")
    one.add_argument("--rounds", type=int, default=5)
    two = modes.add_parser("simulate")
    two.add_argument("--megabytes", type=float, default=8.7, help="of weights")
    two.add_argument("--seconds", type=float, default=1.0, help="of a gradient on one worker")
    two.add_argument("--update", type=float, default=0.005, help="seconds of the optimiser's step")
    two.add_argument("--latency", type=float, default=1e-4, help="seconds of a message")
    two.add_argument(
        "--overhead", type=float, default=1e-3, help="seconds of a task in the scheduler"
    )
    two.add_argument("--figure", metavar="FILE", help="where to draw it")
    for mode in (one, two):
        mode.add_argument("--json")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    found = {"measure": measure, "simulate": simulate}[options.mode](options)
    if options.json:
        with open(options.json, "w") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
