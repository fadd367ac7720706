"""Networks in the formats of other programs.

What a format needs beside numpy is imported when a function of it is called.
"""

from importlib import import_module

#: The module of each public name; none is imported before it is asked for.
_HOMES = {
    "converts_to_onnx": "onnx_export",
    "from_onnx": "onnx_layers",
    "register_skl2onnx": "onnx_export",
    "to_onnx": "onnx_export",
}

__all__ = ["converts_to_onnx", "from_onnx", "register_skl2onnx", "to_onnx"]


def __getattr__(name):
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return list(__all__)
