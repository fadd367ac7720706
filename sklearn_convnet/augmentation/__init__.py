"""Random changes to training samples: of positions, of values, and mixtures of samples.

The files: `base.py` what a transform is, `moves.py` the affine maps, `images.py`, `signals.py` and
`volumes.py` what moves samples, `values.py` what changes their values, `compose.py` several,
`mixing.py` what mixes two samples, `views.py` votes over changed samples.
"""

from .base import Transform
from .compose import Compose
from .images import RandomAffine, RandomCrop, RandomFlip
from .mixing import CutMix, Mixture, MixUp
from .signals import RandomAffine1D
from .values import Cutout, GaussianNoise, RandomBrightness, RandomContrast
from .views import TestTimeAugmentation
from .volumes import RandomAffine3D

__all__ = [
    "Compose",
    "CutMix",
    "Cutout",
    "GaussianNoise",
    "MixUp",
    "Mixture",
    "RandomAffine",
    "RandomAffine1D",
    "RandomAffine3D",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "TestTimeAugmentation",
    "Transform",
]
