"""The package onnx, which is imported when a model is written or read."""

#: The domain of the operators of traditional machine learning, such as ZipMap.
ML_DOMAIN = "ai.onnx.ml"


def import_onnx():
    """The package `onnx`, with its reference implementation.

    Raises
    ------
    ImportError
        If it is not installed; the message says how it is.
    """
    try:
        import onnx
        import onnx.reference
    except ImportError as error:
        raise ImportError(
            "models in ONNX need the package onnx: pip install 'sklearn_convnet[onnx]'"
        ) from error
    return onnx
