"""From steps to nested terms: chains, and blocks of chains side by side.

# Design:
# * Where several values come together, the last step that all ways to there pass through is where
#   the block begins (the immediate dominator). What lies between the two is its chains, which are
#   taken apart in the same way.
"""

from collections import Counter
from dataclasses import dataclass, field

from .model import UnreadableError

JOINTS = ("add", "mul", "concat", "max", "scores", "attend")


@dataclass(eq=False)
class Term:
    """A layer in the making.

    Parameters
    ----------
    kind : str
        As of `Step`, and "centre" and "over", parts of norms that are known already.
    shape : tuple of int
        Of a sample that it makes.
    operator : Operator
        Whose it is.
    layer, weights, data
        As of `Step`.
    chains : list of list of Term
        Of a block.
    """

    kind: str
    shape: tuple
    operator: object = None
    layer: object = None
    weights: dict = field(default_factory=dict)
    data: object = None
    chains: list = field(default_factory=list)


class Dominators:
    """The last step before each one that all ways from the input pass through."""

    def __init__(self, end):
        self.above, self.depth = {}, {}
        for step in _in_order(end):
            if not step.inputs:
                self.above[step], self.depth[step] = None, 0
            else:
                above = self.common(step.inputs)
                self.above[step], self.depth[step] = above, self.depth[above] + 1

    def common(self, steps):
        """The last step that all of these have above them, or are."""
        first, *others = steps
        for other in others:
            while first is not other:
                if self.depth[first] < self.depth[other]:
                    first, other = other, first
                first = self.above[first]
        return first


def _in_order(end):
    """The steps that lead to one, each after its inputs."""
    found, seen, left = [], set(), [(end, False)]
    while left:
        step, done = left.pop()
        if done:
            found.append(step)
        elif step not in seen:
            seen.add(step)
            left.append((step, True))
            left += [(one, False) for one in step.inputs]
    return found


def to_terms(end):
    """The chain of terms from the input to a step.

    Raises
    ------
    UnreadableError
        If chains of a block use each other's values.
    """
    _nest_concats(end)
    dominators = Dominators(end)
    start = next(step for step in _in_order(end) if not step.inputs)
    used = Counter()
    terms = _chain(start, end, dominators, used)
    for step, n in used.items():
        if n > 1 and step.weights:
            raise UnreadableError(
                step.operator,
                f"{n} branches of a block use what it makes, and they begin at different places: "
                "blocks must lie inside of each other",
            )
    return terms


def _chain(start, end, dominators, used):
    """The terms from one step, without it, to another."""
    terms = []
    while end is not start:
        used[end] += 1
        if end.kind in JOINTS:
            fork = dominators.above[end]
            chains = [_chain(fork, one, dominators, used) for one in end.inputs]
            terms.append(Term(end.kind, end.shape, end.operator, data=end.data, chains=chains))
            end = fork
        else:
            terms.append(
                Term(end.kind, end.shape, end.operator, end.layer, dict(end.weights), end.data)
            )
            (end,) = end.inputs
    return terms[::-1]


def _nest_concats(end):
    """Lets maps that are put beside others, and then beside more, be so in that order: the maps of
    dense blocks, and those of branches that fork once more."""
    steps = _in_order(end)
    known = {}
    for step in steps:
        if step.kind != "concat":
            continue
        for n in range(len(step.inputs) - 1, 1, -1):
            prefix = known.get(tuple(step.inputs[:n]))
            if prefix is not None:
                step.inputs = [prefix, *step.inputs[n:]]
                break
        known.setdefault(_spread(step), step)
    _group_forks(end, steps)


def _spread(step):
    """The values that a concatenation was given, before it was nested."""
    first, *others = step.inputs
    inside = _spread(first) if first.kind == "concat" and len(step.inputs) > 1 else (first,)
    return (*inside, *others)


def _group_forks(end, steps):
    """Lets neighbouring inputs of a concatenation that fork behind the others be one input."""
    dominators = Dominators(end)
    for step in steps:
        if step.kind != "concat" or len(step.inputs) < 3:
            continue
        fork = dominators.above[step]
        groups = []
        for one in step.inputs:
            if groups and fork is not dominators.common([groups[-1][-1], one]):
                groups[-1].append(one)
            else:
                groups.append([one])
        if 1 < len(groups) < len(step.inputs):
            step.inputs = [_as_one(group, step) for group in groups]


def _as_one(group, step):
    if len(group) == 1:
        return group[0]
    channels = sum(one.shape[-1] for one in group)
    return type(step)("concat", group, (*step.shape[:-1], channels), step.operator)
