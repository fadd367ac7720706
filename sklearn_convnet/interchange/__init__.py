"""Models in and out: files that hold numbers and names and run no code, ONNX, and source in C.

A file of **weights** is one in the safetensors format, with the paths that `get_weights` gives
them. A file of a **model** has the whole estimator besides, so that it predicts, and goes on
training, with the same bits. Neither is a pickle: whatever a file holds, to read it executes
nothing, and what it holds is checked before it is believed.

Packages for the formats of other programs are imported only when a function needs them.

# Design:
# * A class stands in a file by its name, which is looked up in a list of this package's classes and
#   nowhere else; it is made by its constructor, from parameters that pass its constraints.
# * What can be computed is not stored: nodes, views and kernels follow from the layers, a target's
#   sizes from its classes.
# * Sizes are computed from the layers and compared with the arrays in the file before anything is
#   allocated. What is allocated is at most twice what the file holds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import ModelFileError
from .model import load_model, save_model
from .weights import load_weights, save_weights

if TYPE_CHECKING:
    from .c_export import export_c
    from .onnx_export import converts_to_onnx, register_skl2onnx, to_onnx
    from .onnx_layers import from_onnx
    from .torch_weights import load_torch

#: The module of each public name; none is imported before it is asked for.
_HOMES = {
    "converts_to_onnx": "onnx_export",
    "export_c": "c_export",
    "from_onnx": "onnx_layers",
    "load_torch": "torch_weights",
    "register_skl2onnx": "onnx_export",
    "to_onnx": "onnx_export",
}

__all__ = [
    "ModelFileError",
    "converts_to_onnx",
    "export_c",
    "from_onnx",
    "load_model",
    "load_torch",
    "load_weights",
    "register_skl2onnx",
    "save_model",
    "save_weights",
    "to_onnx",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return ["__all__", *__all__]
