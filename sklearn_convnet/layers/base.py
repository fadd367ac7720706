"""The base of every layer: a description, without arrays."""

from ..parameters import Parametrized
from .shapes import check_values


class Layer(Parametrized):
    """Base class of the layers.

    A layer stores its constructor arguments and answers what shape it makes of a shape; it
    holds no arrays. It follows scikit-learn's parameter contract: `get_params`,
    `set_params`, `clone` and `repr` work, and `__init__` checks nothing.

    A subclass defines `_parameter_constraints`, in scikit-learn's form, and
    `_output_shape`.
    """

    #: Number of axes besides the channels, or None for any number.
    n_axes = None

    _parameter_constraints: dict = {}

    def output_shape(self, input_shape):
        """The shape that the layer makes of one sample.

        Parameters
        ----------
        input_shape : tuple of int
            Shape of one sample, channels last.

        Returns
        -------
        tuple of int

        Raises
        ------
        ValueError
            If a parameter is invalid, or the shape does not fit, here or in any memory.
        """
        self._validate_params()
        shape = self._output_shape(tuple(input_shape))
        check_values(shape)
        return shape

    def _output_shape(self, input_shape):
        return input_shape
