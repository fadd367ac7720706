"""The models of torchvision, without its compiled operators.

These are compiled for one release of PyTorch, and its models do not need them: they are plain
Python, if the one operator that is registered on import is known by name.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import sys
import types

import torch
from torch import nn

_LIBRARY = torch.library.Library("torchvision", "DEF")
_LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
sys.modules["torchvision._meta_registrations"] = types.ModuleType("_meta_registrations")

from torchvision import models, ops  # noqa: E402

__all__ = ["models", "ops", "with_small_dense"]


def with_small_dense(net, n_values, units=(20, 30), n_classes=7):
    """AlexNet or VGG with dense layers of few units in the place of those of 4096.

    Parameters
    ----------
    net : AlexNet or VGG
    n_values : int
        Of a sample that come to the first of them.
    units : (int, int), default=(20, 30)
    n_classes : int, default=7
    """
    places = [i for i, module in enumerate(net.classifier) if isinstance(module, nn.Linear)]
    sizes = (n_values, *units, n_classes)
    for i, place in enumerate(places):
        net.classifier[place] = nn.Linear(sizes[i], sizes[i + 1])
    return net
