"""How the user is told: warnings point at their line, errors name their argument."""

import sys
import warnings
from contextlib import contextmanager

#: The way out where a fit cannot go on from the last one.
BEGIN_ANEW = "set it back, or begin anew with warm_start=False or a new estimator"


#: Modules that lie between the line of a user and what it warns of.
_BETWEEN = ("sklearn_convnet.", "sklearn.callback.", "sklearn.utils._param_validation")


def warn_caller(message, category):
    """Warns at the first line outside of this package."""
    level, frame = 1, sys._getframe()
    while frame.f_globals["__name__"].startswith(_BETWEEN):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


@contextmanager
def about(argument):
    """A ValueError inside says which argument it is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{argument}: {error}") from error
