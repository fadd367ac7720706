"""Well-known networks, as functions that return `(name, layer)` pairs.

::

    ConvNetClassifier(lenet5(pool="max"))
    GridSearchCV(clf, {"layers": [vgg("A"), resnet(18)]})
    GridSearchCV(clf, {"stage1__block1__conv1__filters": [32, 64]})

The defaults are those of the papers; where something differs, the notes of a function
say so. None has the output layer, which an estimator adds. Names do not depend on
arguments that are not about depth, so that they can stand in a grid: a dropout of rate
0 stays in the list.

# Design:
# * A call makes new layers: nothing is shared between two networks.
# * `width` is a factor on the filters, so that one argument makes every network small.
# * A convolution before a batch norm has no bias, and starts as before a rectifier (He
#   et al., 2015), though its own activation is the identity.
"""

from .chains import alexnet, lenet5, vgg, zfnet
from .convnext import convnext
from .dense_blocks import densenet, densenet_cifar
from .inception import googlenet, squeezenet
from .localization import box_localizer, pose_net
from .mobile import efficientnet, mobilenet_v2, mobilenet_v3
from .residual import resnet, resnet_cifar
from .segmentation import fcn, unet
from .signals import inception_time, speech_cnn, tdnn
from .transformers import vit
from .xception import xception

__all__ = [
    "alexnet",
    "box_localizer",
    "convnext",
    "densenet",
    "densenet_cifar",
    "efficientnet",
    "fcn",
    "googlenet",
    "inception_time",
    "lenet5",
    "mobilenet_v2",
    "mobilenet_v3",
    "pose_net",
    "resnet",
    "resnet_cifar",
    "speech_cnn",
    "squeezenet",
    "tdnn",
    "unet",
    "vgg",
    "vit",
    "xception",
    "zfnet",
]
