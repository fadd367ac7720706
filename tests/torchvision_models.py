"""The models of torchvision, without its compiled operators.

These are compiled for one release of PyTorch, and its models do not need them: they are plain
Python, if the one operator that is registered on import is known by name.
"""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

import sys
import types

import torch

_LIBRARY = torch.library.Library("torchvision", "DEF")
_LIBRARY.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
sys.modules["torchvision._meta_registrations"] = types.ModuleType("_meta_registrations")

from torchvision import models, ops  # noqa: E402

__all__ = ["models", "ops"]
