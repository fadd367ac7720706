"""How an estimator or a layer looks: as text, and as a table in a notebook.

# Design:
# * scikit-learn's printer writes what is inside an object anew for each level above it, and
#   compares parameters with their defaults by their text: of a network of hundreds of layers
#   that took seconds. Here each object is written once; the text is the same.
# * The table has the parameters of an estimator and of what it is given, such as an optimiser.
"""

import re
from functools import cache
from inspect import Parameter, signature

from sklearn.base import BaseEstimator
from sklearn.utils._pprint import KeyValTuple, _EstimatorPrettyPrinter

#: Of longer lists these are shown, as in scikit-learn.
MAX_ELEMENTS = 30
#: Children in the table of a notebook.
MAX_ROWS = 60

_SEQUENCES = (list.__repr__, tuple.__repr__, KeyValTuple.__repr__)


@cache
def defaults_of(kind):
    """The defaults of a class's parameters; `Parameter.empty` where there is none."""
    return {name: one.default for name, one in signature(kind).parameters.items()}


def _is_default(value, default):
    """Whether a value and a default read the same, as scikit-learn decides it."""
    return value is default or (type(value) is type(default) and repr(value) == repr(default))


def changed_params(estimator):
    """`(name, value)` pairs of the parameters that are not at their defaults, in alphabetical
    order."""
    params, defaults = estimator.get_params(deep=False), defaults_of(type(estimator))
    return sorted(
        (name, value)
        for name, value in params.items()
        if not _is_default(value, defaults.get(name, Parameter.empty))
    )


class _Printer(_EstimatorPrettyPrinter):
    """scikit-learn's, which writes each object on one line only once."""

    def __init__(self):
        super().__init__(compact=True, n_max_elements_to_show=MAX_ELEMENTS)
        self._lines = {}  # by id, with the object, so that no other gets its id

    def format(self, object, context, maxlevels, level):
        return self._line(object), True, False

    def _line(self, object):
        known = self._lines.get(id(object))
        if known is None:
            self._lines[id(object)] = object, "..."  # if it holds itself
            known = self._lines[id(object)] = object, self._written(object)
        return known[1]

    def _written(self, object):
        if isinstance(object, BaseEstimator):
            params = ", ".join(f"{k}={self._line(v)}" for k, v in self._params(object))
            return f"{type(object).__name__}({params})"
        if type(object).__repr__ not in _SEQUENCES:
            return super().format(object, {}, None, 0)[0]
        items = ", ".join(map(self._line, object))
        if isinstance(object, list):
            return f"[{items}]"
        return f"({items},)" if len(object) == 1 else f"({items})"

    def _params(self, estimator):
        """`(name, value)` pairs to be shown, in alphabetical order."""
        if self._changed_only:
            return changed_params(estimator)
        return sorted(estimator.get_params(deep=False).items())

    def _pprint_estimator(self, object, stream, indent, allowance, context, level):
        name = type(object).__name__
        stream.write(f"{name}(")
        params, indent = self._params(object), indent + len(name)
        self._format_params(params, stream, indent, allowance + 1, context, level)
        stream.write(")")


def estimator_repr(self, N_CHAR_MAX=700):
    """The text that scikit-learn makes: what is not at its default, the middle left out if it has
    more than about `N_CHAR_MAX` characters."""
    text = _Printer().pformat(self)
    if len("".join(text.split())) <= N_CHAR_MAX:
        return text
    half = rf"(\s*\S){{{N_CHAR_MAX // 2}}}"
    left, right = (re.match(half, way).end() for way in (text, text[::-1]))
    if "\n" in text[left:-right]:  # goes on with a whole line
        right = re.match(rf"{half}[^\n]*\n", text[::-1]).end()
    shorter = f"{text[:left]}...{text[-right:]}"
    return min(text, shorter, key=len)


def add_nested(table, estimator, names_children):
    """Adds to the table of an estimator the parameters of what it is given, such as an optimiser.

    Parameters
    ----------
    table : ParamsDict
        With the parameters of the estimator itself; `non_default` are those set by the user.
    estimator : BaseEstimator
    names_children : bool
        Whether to add what it consists of, such as transforms, by name, not what is in it.
    """
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, BaseEstimator):
            nested = value._get_params_html()
            table.update({f"{name}__{inner}": value for inner, value in nested.items()})
            table.non_default += tuple(f"{name}__{inner}" for inner in nested.non_default)
    known = names_children and hasattr(estimator, "named_children")
    children = estimator.named_children() if known else []
    table.update(children[:MAX_ROWS])
    table.non_default += tuple(name for name, _ in children)
    if len(children) > MAX_ROWS:
        table["..."] = f"{len(children) - MAX_ROWS} more"


def _write_in_scikit_learn(printer, *where):
    """What scikit-learn's printer does where it comes upon one of ours, such as in a Pipeline."""
    _Printer()._pprint_estimator(*where)


# A printer breaks the lines of those objects whose `__repr__` it knows.
_Printer._dispatch = {
    **_EstimatorPrettyPrinter._dispatch,
    BaseEstimator.__repr__: _Printer._pprint_estimator,
    estimator_repr: _Printer._pprint_estimator,
}
_EstimatorPrettyPrinter._dispatch[estimator_repr] = _write_in_scikit_learn
