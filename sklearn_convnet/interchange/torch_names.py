"""The names that torchvision gives to the weights of networks that are among the architectures.

# Design:
# * A family of networks has a rule that names all its layers with weights. It is the layers' paths
#   that tell the family, not the names in a file: what is missing in a file can then be listed.
# * What shapes do not show, strides and epsilons, is compared as well, since weights that were
#   trained with others give other scores.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..layers import (
    Activation,
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    LocalResponseNorm,
    MaxPool2D,
)
from ..layers.tree import walk_parts

#: What PyTorch's batch norms add to variances unless told otherwise.
_EPSILON = 1e-5


@dataclass
class Family:
    """Networks whose weights torchvision names by one rule.

    Parameters
    ----------
    call : str
        What makes the layers that torchvision's weights are for.
    rule : callable
        The names of modules by the paths of layers, of those paths and of the table of a chain;
        paths that it does not know are left out.
    epsilon : float
        What the batch norms add to the variance.
    ignored : str
        A pattern of names whose arrays a prediction does not need.
    """

    call: str
    rule: Callable
    epsilon: float = _EPSILON
    ignored: str = "(?!)"


def _by_patterns(*patterns):
    """A rule of `(pattern of a path, template of a name)`; numbers stand in groups with names.

    A template may have a number as it is, `{block}`, or counted from zero, `{block_0}`.
    """

    def rule(paths, table):
        names = {}
        for path in paths:
            for pattern, template in patterns:
                if found := re.fullmatch(pattern, path):
                    numbers = {k: int(v) for k, v in found.groupdict().items()}
                    from_zero = {f"{k}_0": v - 1 for k, v in numbers.items()}
                    names[path] = template.format(**numbers, **from_zero)
        return names

    return rule


_BLOCK = r"stage(?P<stage>\d+)/block(?P<block>\d+)"
_LAYER = r"block(?P<block>\d+)/layer(?P<layer>\d+)"

_resnet = _by_patterns(
    ("conv1", "conv1"),
    ("norm1", "bn1"),
    (rf"{_BLOCK}/conv(?P<i>\d)", "layer{stage}.{block_0}.conv{i}"),
    (rf"{_BLOCK}/norm(?P<i>\d)", "layer{stage}.{block_0}.bn{i}"),
    (f"{_BLOCK}/shortcut/conv", "layer{stage}.{block_0}.downsample.0"),
    (f"{_BLOCK}/shortcut/norm", "layer{stage}.{block_0}.downsample.1"),
    ("output", "fc"),
)

_densenet = _by_patterns(
    ("conv1", "features.conv0"),
    ("norm1", "features.norm0"),
    (rf"{_LAYER}/conv(?P<i>\d)", "features.denseblock{block}.denselayer{layer}.conv{i}"),
    (rf"{_LAYER}/norm(?P<i>\d)", "features.denseblock{block}.denselayer{layer}.norm{i}"),
    (r"transition(?P<i>\d)/conv", "features.transition{i}.conv"),
    (r"transition(?P<i>\d)/norm", "features.transition{i}.norm"),
    ("norm2", "features.norm5"),
    ("output", "classifier"),
)


def _module(letter):
    """The patterns of the modules of GoogLeNet with a letter."""
    path, name = rf"inception(?P<i>\d){letter}/branch", f"inception{{i}}{letter}.branch"
    return [
        (f"{path}1/conv", f"{name}1.conv"),
        (f"{path}1/norm", f"{name}1.bn"),
        (f"{path}(?P<b>[23])/reduce", f"{name}{{b}}.0.conv"),
        (f"{path}(?P<b>[23])/norm_reduce", f"{name}{{b}}.0.bn"),
        (f"{path}(?P<b>[23])/conv", f"{name}{{b}}.1.conv"),
        (f"{path}(?P<b>[23])/norm", f"{name}{{b}}.1.bn"),
        (f"{path}4/conv", f"{name}4.1.conv"),
        (f"{path}4/norm", f"{name}4.1.bn"),
    ]


_googlenet = _by_patterns(
    ("conv1", "conv1.conv"),
    ("norm1", "conv1.bn"),
    ("reduce2", "conv2.conv"),
    ("norm_reduce2", "conv2.bn"),
    ("conv2", "conv3.conv"),
    ("norm2", "conv3.bn"),
    *(pattern for letter in "abcde" for pattern in _module(letter)),
    ("output", "fc"),
)


def _mobilenet_v2(paths, table):
    """Blocks are counted through all stages; the first ones lack the first of their parts."""
    names = {"conv1": "features.0.0", "norm1": "features.0.1", "output": "classifier.1"}
    blocks = dict.fromkeys(m[0] for path in paths if (m := re.match(_BLOCK, path)))
    for i, block in enumerate(blocks, start=1):
        parts = [["depthwise", "norm2"], ["project"], ["norm3"]]
        if f"{block}/expand" in paths:
            parts.insert(0, ["expand", "norm1"])
        for j, part in enumerate(parts):
            for k, layer in enumerate(part):
                place = f"{j}.{k}" if len(part) > 1 else j
                names[f"{block}/{layer}"] = f"features.{i}.conv.{place}"
    last = f"features.{len(blocks) + 1}"
    names.update(conv2=f"{last}.0", norm2=f"{last}.1")
    return {path: names[path] for path in paths if path in names}


def _chain(paths, table):
    """AlexNet and VGG are two chains, `features` and `classifier`, whose modules are counted."""
    names, chain, n = {}, "features", 0
    for path, layer, *_ in table:
        if isinstance(layer, (Dense, Dropout)) and chain == "features":
            chain, n = "classifier", 0
        if isinstance(layer, (BatchNorm, Conv2D, Dense)):
            names[path] = f"{chain}.{n}"
        elif not isinstance(layer, (Activation, AvgPool2D, Dropout, LocalResponseNorm, MaxPool2D)):
            break
        has_own = isinstance(layer, (Conv2D, Dense)) and layer.activation is not None
        n += 2 if has_own else 1
    return names


FAMILIES = (
    Family('resnet(..., stride_in="3x3")', _resnet),
    Family("densenet(...)", _densenet),
    Family("mobilenet_v2(..., epsilon=1e-5)", _mobilenet_v2),
    Family('googlenet(..., version="torchvision")', _googlenet, 1e-3, r"aux\d\..*"),
    Family('alexnet(..., version="torchvision") or vgg(...)', _chain),
)


def family_of(paths, table):
    """The family that names all layers with weights, and these names.

    Parameters
    ----------
    paths : list of str
        Of the layers with weights.
    table : list of (path, layer, input shape, output shape)
        Of the chain.

    Returns
    -------
    family : Family
    names : dict of str to str
        PyTorch's names of modules by path.

    Raises
    ------
    ValueError
        If there is none.
    """
    named = [(family, family.rule(paths, table)) for family in FAMILIES]
    family, names = max(named, key=lambda one: len(one[1]))
    unknown = [path for path in paths if path not in names]
    if unknown:
        calls = ", ".join(family.call for family in FAMILIES)
        raise ValueError(
            f"layers: torchvision has no name for the weights of {unknown[0]!r}. Give what one of "
            f"these returns: {calls}"
        )
    return family, names


def check_function(family, parts):
    """Raises ValueError where layers compute something else with the same weights.

    Parameters
    ----------
    family : Family
    parts : list of Part
        The tree of the layers.
    """
    layers = {part.path: part.layer for part in walk_parts(parts)}
    for path, layer in layers.items():
        if isinstance(layer, BatchNorm) and layer.epsilon != family.epsilon:
            raise ValueError(
                f"layers: epsilon of {path!r} is {layer.epsilon}, and torchvision's weights are "
                f"for {family.epsilon}: give the layers of {family.call}"
            )
        last = layers.get(path.removesuffix("conv1") + "conv3")  # of a bottleneck
        if "/block" in path and path.endswith("/conv1") and last is not None:
            if np.any(np.asarray(layer.stride) != 1):
                raise ValueError(
                    f"layers: {path!r} has a stride, which torchvision's networks have in the "
                    f"convolution after it: give the layers of {family.call}"
                )
