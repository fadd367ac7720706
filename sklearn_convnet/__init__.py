"""Convolutional networks as scikit-learn estimators, with the heavy work in Cython kernels."""

from importlib import import_module
from typing import Any

from ._config import show_config
from ._version import package_version
from .estimators.classifier import ConvNetClassifier
from .estimators.regressor import ConvNetRegressor

__version__ = package_version()

__all__ = ["SKOPS_TRUSTED", "ConvNetClassifier", "ConvNetRegressor", "__version__", "show_config"]

#: Public modules. They need no import of their own, and are loaded when they are asked for.
_MODULES = (
    "architectures",
    "augmentation",
    "callbacks",
    "datasets",
    "initializers",
    "inspection",
    "interchange",
    "layers",
    "losses",
    "metrics",
    "multi_crop",
    "network",
    "optimizers",
    "preprocessing",
    "scan",
    "schedules",
    "testing",
)


def __getattr__(name: str) -> Any:
    if name == "SKOPS_TRUSTED":
        return import_module(f"{__name__}.interchange.trusted").SKOPS_TRUSTED
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_MODULES]
