"""Weights of PyTorch's well-known networks, for `init_from`."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._typing import PathLike
from ..estimators.transfer import flattened, listed
from ..layers import Dense
from ..layers.auxiliary import without_heads
from ..layers.base import Layer
from ..layers.composition import with_channels
from ..layers.tree import parts_of
from ..network.depthwise import DepthwiseNode
from ..network.node import build_chain, walk
from ..tensor_files import is_weights_path
from .errors import ModelFileError
from .torch_names import check_function, family_of
from .weights import load_weights

#: PyTorch's names of what a layer has, by ours.
_ENTRIES = {
    "weight": "weight",
    "bias": "bias",
    "scale": "weight",
    "offset": "bias",
    "mean": "running_mean",
    "variance": "running_var",
}
#: Of files that PyTorch reads.
_TORCH_SUFFIXES = (".pth", ".pt")


def load_torch(
    source: PathLike | Mapping[str, Any],
    layers: list[tuple[str, Layer]],
    *,
    input_shape: tuple[int, ...] = (224, 224, 3),
    output: bool = True,
) -> dict[str, NDArray[Any]]:
    """Read weights trained by PyTorch, with torchvision's names, for the same layers.

    The layers are those of `alexnet`, `vgg`, `resnet`, `densenet`, `googlenet` or `mobilenet_v2` in
    :mod:`sklearn_convnet.architectures`, made so that they compute what torchvision's networks do::

        alexnet(version="torchvision")      resnet(50, stride_in="3x3")
        googlenet(version="torchvision")    mobilenet_v2(epsilon=1e-5)
        vgg("D"), vgg("D", batch_norm=True) densenet(121)

    The library timm has the same names and functions for its ``resnet18`` ... ``resnet152`` and
    its ``densenet121`` ... ``densenet201``, which are read as well, and other names for its
    ``vgg*`` and ``mobilenetv2_*``, which are not.

    Parameters
    ----------
    source : str, path-like or dict of str to tensor or array-like
        A ``.safetensors`` file; a ``.pth`` or ``.pt`` file, which PyTorch reads, as numbers only;
        or a state dict, of PyTorch's tensors or of arrays.
    layers : list of (str, Layer)
        Of the network, without the output layer, as the function has made them. What stands before
        them in an estimator, such as `Rescale`, is left out.
    input_shape : tuple of int, default=(224, 224, 3)
        Shape of a sample, channels last.
    output : bool, default=True
        Whether the weights of the output layer are loaded too. If not, it begins anew, as it has to
        for other classes.

    Returns
    -------
    dict of str to ndarray
        By path, for `init_from`: filters as ``(height, width, in, out)``, weights of a dense
        layer as ``(in, out)``, in the order of maps with the channels last. A bias that a batch
        norm subtracts again is taken off its mean.

    Raises
    ------
    ValueError
        If weights are missing, are none of these layers or have other shapes, all of which are
        listed; or if the layers compute something else with the same weights.
    ModelFileError
        If a file is damaged, or holds anything but numbers.
    ImportError
        If what reads the file, safetensors or PyTorch, is not installed.

    Notes
    -----
    The networks see images of bytes divided by 255, minus a mean and over a deviation for each
    channel, which torchvision states for each file of weights. `Rescale` does that as the first
    layer.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_convnet.architectures import alexnet
    >>> from sklearn_convnet.interchange import load_torch
    >>> layers = alexnet(width=0.1, units=(20,), version="torchvision")
    >>> sizes = {"features.0": (6, 3, 11, 11), "features.3": (19, 6, 5, 5),
    ...     "features.6": (38, 19, 3, 3), "features.8": (26, 38, 3, 3),
    ...     "features.10": (26, 26, 3, 3), "classifier.1": (20, 936), "classifier.3": (5, 20)}
    >>> state = {f"{name}.weight": np.zeros(shape) for name, shape in sizes.items()}
    >>> state |= {f"{name}.bias": np.zeros(shape[0]) for name, shape in sizes.items()}
    >>> weights = load_torch(state, layers)
    >>> weights["conv1/weight"].shape, weights["dense1/weight"].shape
    ((11, 11, 3, 6), (936, 20))
    >>> load_torch(state, alexnet(width=0.2, units=(20,), version="torchvision"))
    Traceback (most recent call last):
    ...
    ValueError: source does not fit layers: 'features.0.weight' of shape (6, 3, 11, 11) is for ...
    """
    state = _state_of(source)
    network = _Network(without_heads(layers), input_shape)
    check_function(network.family, network.parts)
    weights, problems, used = {}, [], set()
    for path, shape in network.shapes(state, output).items():
        name = network.torch_name(path)
        used.add(name)
        if name not in state:
            problems.append(f"{name!r} is missing")
            continue
        array = network.in_our_order(path, state[name], shape)
        if array is None:
            given = state[name].shape
            problems.append(f"{name!r} of shape {given} is for {path!r}, which is {shape} here")
            continue
        weights[path] = np.array(array, order="C")
    used |= network.subtract_biases(weights, state)
    left = [name for name in state if name not in used and not network.ignores(name, output)]
    if left:  # first, since names of another library are told by it
        others = f", nor are {len(left) - 1} others" if len(left) > 1 else ""
        problems.insert(0, f"{left[0]!r} is none of its weights{others}")
    if problems:
        raise ValueError(
            f"source does not fit layers: {listed(problems)}. Weights of torchvision are for "
            f"{network.family.call}"
        )
    return weights


# --- files and state dicts -----------------------------------------------------------------------


def _state_of(source):
    """The arrays of a file or a state dict by PyTorch's names, in their latest form."""
    if isinstance(source, (str, os.PathLike)):
        source = _read(os.fspath(source))
    if not isinstance(source, Mapping):
        fix = "give its state_dict()" if hasattr(source, "state_dict") else "see `load_torch`"
        raise TypeError(
            "source must be the path of a .safetensors, .pth or .pt file, or a state dict, got a "
            f"{type(source).__name__}: {fix}"
        )
    nested = [name for name, value in source.items() if isinstance(value, Mapping)]
    if nested:
        raise ValueError(f"source holds dicts, {nested}: give the one that has the weights")
    state = {}
    for name, value in source.items():
        # Networks that were trained on several processors have a prefix.
        name = str(name).removeprefix("module.")
        # The oldest files of DenseNet have a point more.
        name = re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", name)
        if not name.endswith(".num_batches_tracked"):
            state[name] = _array_of(value, name)
    return state


def _read(path):
    if is_weights_path(path):
        return load_weights(path)
    if not path.endswith(_TORCH_SUFFIXES):
        raise ValueError(f"source must end in .safetensors, .pth or .pt, got {path!r}")
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path} is read by PyTorch, which is not installed: pip install torch, or save the "
            "weights where it is as a .safetensors file"
        ) from error
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # of a foreign library, for bytes that may be anything
        raise ModelFileError(f"{path}: it is no file of weights, or is damaged: {error}") from error


def _array_of(value, name):
    """An array of a tensor or an array."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if value.is_floating_point() and value.element_size() < 4:
            value = value.float()  # numpy lacks some of these
        return value.numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name!r} in source must be an array of numbers, got {value!r}")
    return array


# --- the network ---------------------------------------------------------------------------------


class _Network:
    """The shapes of a network's weights, and their names, without an array."""

    def __init__(self, layers, input_shape):
        # One output, until the source has told how many there are.
        layers = [*layers, ("output", Dense(1, activation=None))]
        input_shape = with_channels(layers, input_shape)
        nodes, table = build_chain(layers, input_shape)
        self.parts = parts_of(layers, input_shape)
        self._depthwise, self._shapes = set(), {}
        for node in walk(nodes):
            for entry, weight in {**node.weights, **node.buffers}.items():
                path = f"{node.path}/{entry}"
                self._shapes[path] = weight.shape
                if isinstance(node, DepthwiseNode) and entry == "weight":
                    self._depthwise.add(path)
        layers_with_weights = list(dict.fromkeys(map(_layer_of, self._shapes)))
        self.family, self._names = family_of(layers_with_weights, table)
        self._maps = flattened(table)

    def torch_name(self, path):
        layer, _, entry = path.rpartition("/")
        return f"{self._names[layer]}.{_ENTRIES[entry]}"

    def shapes(self, state, output):
        """Shapes here by path, with the outputs that the state has, or without the output layer."""
        shapes = dict(self._shapes)
        weight, bias = shapes.pop("output/weight"), shapes.pop("output/bias")
        if output:
            found = state.get(self.torch_name("output/weight"), np.empty(bias))
            n_outputs = found.shape[:1]
            shapes["output/weight"], shapes["output/bias"] = (weight[0], *n_outputs), n_outputs
        return shapes

    def ignores(self, name, output):
        """True for a name in a state that is not missed in the network."""
        is_output = name.startswith(f"{self._names['output']}.")
        return (is_output and not output) or re.fullmatch(self.family.ignored, name)

    def in_our_order(self, path, array, shape):
        """An array of PyTorch's with axes in our order, None if it has another shape."""
        *kernel, n_in, n_out = shape if len(shape) > 1 else (1, *shape)
        axes = range(2, len(shape))
        if array.ndim != len(shape) or array.size != prod(shape):
            return None
        if path in self._depthwise and array.shape == (n_in * n_out, 1, *kernel):
            return array.reshape(n_in, n_out, *kernel).transpose(*axes, 0, 1)
        if path.removesuffix("/weight") in self._maps:
            *sizes, channels = self._maps[path.removesuffix("/weight")]
            return (
                array.reshape(n_out, channels, *sizes)
                .transpose(*range(2, 2 + len(sizes)), 1, 0)
                .reshape(shape)
            )
        turned = array.transpose(*axes, 1, 0) if len(shape) > 1 else array
        return turned if turned.shape == shape else None

    def subtract_biases(self, weights, state):
        """Takes biases that convolutions lack here off the means of the norms after them.

        Returns
        -------
        set of str
            The names of these biases in the state.
        """
        used = set()
        for layer, after in pairwise(self._names):
            name, mean = f"{self._names[layer]}.bias", f"{after}/mean"
            is_bare = f"{layer}/weight" in self._shapes and f"{layer}/bias" not in self._shapes
            if is_bare and mean in weights and np.shape(state.get(name)) == weights[mean].shape:
                weights[mean] = weights[mean] - state[name]
                used.add(name)
        return used


def _layer_of(path):
    return path.rpartition("/")[0]
