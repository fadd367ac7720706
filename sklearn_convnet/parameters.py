"""The base of everything with parameters: scikit-learn's contract, at less cost.

# Design:
# * A network has hundreds of layers, and each is asked for its parameters many times in a fit,
#   in a clone and in a repr. scikit-learn reads the signature and makes the constraints anew
#   each time; here that is done once for each class.
"""

from functools import cache
from inspect import signature

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import make_constraint, validate_parameter_constraints

from .diagram import doc_link_template
from .display import add_nested, changed_params, estimator_repr


@cache
def _names(kind):
    return tuple(BaseEstimator._get_param_names.__func__(kind))


@cache
def _constraints(kind):
    """`(name, constraints)` of the parameters that are checked."""
    declared = kind._parameter_constraints
    return [
        (name, [make_constraint(one) for one in declared[name]])
        for name in _names(kind)
        if declared.get(name, "no_validation") != "no_validation"
    ]


class Parametrized(BaseEstimator):
    """scikit-learn's base class, which reads each signature and its constraints once."""

    _parameter_constraints: dict = {}

    __repr__ = estimator_repr

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):  # scikit-learn's printer asks for it again and again
            cls.__init__.__signature__ = signature(cls.__init__)

    @classmethod
    def _get_param_names(cls):
        return list(_names(cls))

    def _get_params_html(self, deep=True, *doc_link, **named_doc_link):
        """The table of a notebook, without the parameters of each layer.

        `deep` is False where what it consists of is drawn beside it.
        """
        table = super()._get_params_html(False, *doc_link, **named_doc_link)
        add_nested(table, self, names_children=deep)
        return table

    def _changed_params(self):
        """`(name, value)` pairs of the parameters that are not at their defaults."""
        return changed_params(self)

    # Links to the documentation, in scikit-learn's way.

    _doc_link_module = "sklearn_convnet"

    @property
    def _doc_link_template(self):
        return doc_link_template()

    def _doc_link_url_param_generator(self):
        """The public module of a class, and its name."""
        package, module = [*type(self).__module__.split("."), "estimators"][:2]
        module = package if module == "estimators" else f"{package}.{module}"
        return {"estimator_module": module, "estimator_name": type(self).__name__}

    def _validate_params(self):
        """Raises InvalidParameterError, a ValueError, for a parameter that breaks its
        constraints."""
        for name, constraints in _constraints(type(self)):
            value = getattr(self, name)
            if not any(one.is_satisfied_by(value) for one in constraints):
                validate_parameter_constraints(  # which says what is wrong
                    self._parameter_constraints, {name: value}, type(self).__name__
                )
