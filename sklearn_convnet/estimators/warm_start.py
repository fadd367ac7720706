"""Parameters that were changed between a fit and one that goes on from it.

# Design:
# * An estimator keeps copies of the parameters that its network was made with. Predictions
#   read these; a warm start and `partial_fit` compare them with those of now.
# * To compare costs next to nothing, so a stream of small batches may do it each time.
# * Where something was changed, the network is compiled anew and takes the weights over. If
#   they do not fit, that is an error, and not a network that ignores what it was told.
"""

from copy import deepcopy
from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator

from ..layers.composition import named_layers
from ..messages import BEGIN_ANEW
from ..schedules import as_schedule

#: So many changes are named in a message.
NAMED_CHANGES = 6


def kept(estimator, names):
    """Copies of some parameters, by name, as they are now."""
    return {name: _copied(name, getattr(estimator, name)) for name in names}


def _copied(name, value):
    if name == "random_state":  # a generator changes with each number that is drawn
        return value if isinstance(value, Integral) else None
    if name == "init_from" or callable(value):  # weights may be large, functions stay as they are
        return value
    return deepcopy(value)


def changed(before, estimator):
    """Names of the parameters that are no longer what was kept."""
    names = {name for name, value in before.items() if not same(value, getattr(estimator, name))}
    if "random_state" in names and not isinstance(estimator.random_state, Integral):
        names.remove("random_state")  # no new seed
    return names


def same(a, b):
    """True if two values of a parameter mean the same."""
    if a is b:
        return True
    if isinstance(a, (list, tuple)):
        alike = isinstance(b, (list, tuple)) and len(a) == len(b)
        return alike and all(map(same, a, b))
    if isinstance(a, BaseEstimator):
        return type(a) is type(b) and same(vars(a), vars(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(value, b[key]) for key, value in a.items())
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
    return bool(a == b)


def refuse(name, before, now):
    """Raises ValueError for a parameter that must stay what it was."""
    if name == "init_from" and now is None:
        return  # it has done its work
    if name == "init_from":
        raise ValueError(
            f"init_from was changed since the last fit, but it is for a beginning: {BEGIN_ANEW}"
        )
    raise ValueError(f"{name} was {before!r} in the last fit, is {now!r}: {BEGIN_ANEW}")


def check_loss(before, now):
    """Raises ValueError if a loss reads the network's outputs in another way than before."""
    if type(before).inverse_link is not type(now).inverse_link:
        raise ValueError(
            f"loss was {before!r} in the last fit, is {now!r}, which takes the network's outputs "
            f"for other numbers: {BEGIN_ANEW}"
        )


def check_dtype(dtype, network):
    """Raises ValueError if `dtype` is not what the network computes in."""
    if dtype not in ("auto", network.dtype.name):
        refuse("dtype", network.dtype.name, dtype)


def carry_over(network, last, before, now):
    """Lets a network, compiled with parameters that were changed, go on from the last one.

    Parameters
    ----------
    network, last : Network
    before, now : dict
        The parameters that were changed, for the message.

    Raises
    ------
    ValueError
        If their parameters or statistics differ in paths or shapes, or parameters in their order.
    """
    problem = _misfit(_shapes(last), _shapes(network))
    if problem is None:  # weights, and the state of the optimiser, go by their places
        problem = _displaced(last.parameters(), network.parameters())
    if problem:
        changes = "; ".join(_changes(before, now)) or "the order of layers is another"
        raise ValueError(
            f"parameters were changed so that the weights of the last fit no longer fit: {problem} "
            f"({changes}). Set them back, or begin anew with warm_start=False or a new estimator"
        )
    network.go_on_from(last)


def _shapes(network):
    arrays = {**network.parameters(), **network.buffers()}
    return {path: array.shape for path, array in arrays.items()}


def _misfit(before, now):
    """Words for the first array that is not as it was, or None."""
    for path in [*before, *now]:
        if path not in now:
            return f"{path!r} of shape {before[path]} is gone"
        if path not in before:
            return f"{path!r} of shape {now[path]} is new"
        if before[path] != now[path]:
            return f"{path!r} had shape {before[path]}, now {now[path]}"
    return None


def _displaced(before, now):
    """Words for the first of as many paths that stands in another place, or None."""
    for was, path in zip(before, now, strict=True):
        if was != path:
            return f"{path!r} now stands where {was!r} did"
    return None


def _changes(before, now):
    """Changes, as ``conv1__filters was 6, is 8``; of a layer that is new or gone, or of
    another class, that alone."""
    before, now = _by_full_name(before), _by_full_name(now)
    changes, told = [], ()
    for name in dict.fromkeys([*before, *now]):
        in_both = name in before and name in now
        if name.startswith(told) or (in_both and same(before[name], now[name])):
            continue
        changes.append(f"{name} was {_shown(before, name)}, is {_shown(now, name)}")
        if isinstance(before.get(name), type) or isinstance(now.get(name), type):
            told += (f"{name}__",)
    more = len(changes) - NAMED_CHANGES
    return [*changes[:NAMED_CHANGES], *([f"and {more} more"] if more > 0 else [])]


def _shown(params, name):
    value = params.get(name)
    if name not in params:
        return "absent"
    return value.__name__ if isinstance(value, type) else repr(value)


def _by_full_name(params):
    """Values by their full names; an object that has parameters stands as its class."""
    found = {}
    for name, value in params.items():
        owned = name == "layers" and isinstance(value, (list, tuple))
        for owner, item in named_layers(value) if owned else [(name, value)]:
            nested = item.get_params() if isinstance(item, BaseEstimator) else {}
            for full, inner in [(owner, item), *((f"{owner}__{k}", v) for k, v in nested.items())]:
                if not named_layers(inner):
                    found[full] = type(inner) if isinstance(inner, BaseEstimator) else inner
    return found


def state_for(optimizer, before, state):
    """The state of an optimiser for another one, or None if it has to begin anew.

    The arrays have the layout of the parameters, so they stay if only options were changed;
    another rule means other things by them.
    """
    if optimizer._kernel != before._kernel:
        return None
    schedules = [as_schedule(one.learning_rate) for one in (before, optimizer)]
    if type(schedules[0]) is not type(schedules[1]):
        return {**state, "schedule": {}}
    return state
