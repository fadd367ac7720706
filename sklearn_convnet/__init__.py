"""Convolutional networks as scikit-learn estimators, with the heavy work in Cython kernels."""

from ._config import show_config
from ._version import package_version
from .classifier import ConvNetClassifier
from .regressor import ConvNetRegressor

__version__ = package_version()

__all__ = ["ConvNetClassifier", "ConvNetRegressor", "__version__", "show_config"]
