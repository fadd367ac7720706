"""Which strings and numbers a parameter may be, in scikit-learn's form."""

from collections.abc import Callable
from typing import Any, TypeVar

from sklearn.utils import _param_validation
from sklearn.utils._param_validation import Interval as _Interval
from sklearn.utils._param_validation import Options as _Options
from sklearn.utils._param_validation import StrOptions as _StrOptions


class _Sorted:
    """Names its options in order: that of a set of strings differs from process to process."""

    def __str__(self):
        kind = super().__str__().partition(" among ")[0]
        return f"{kind} among {{{', '.join(map(repr, sorted(self.options)))}}}"


class Interval(_Interval):
    """An interval of numbers, which True and False are not."""

    def is_satisfied_by(self, val):
        """True if it is a number of the interval."""
        return not isinstance(val, bool) and super().is_satisfied_by(val)


class Options(_Sorted, _Options):
    """A set of values of one type."""


class StrOptions(_Sorted, _StrOptions):
    """A set of strings."""


Function = TypeVar("Function", bound=Callable[..., Any])


def validate_params(constraints: dict[str, Any]) -> Callable[[Function], Function]:
    """scikit-learn's decorator, of which type checkers know that a function keeps its types."""
    return _param_validation.validate_params(constraints, prefer_skip_nested_validation=True)
