"""From what a user calls y to what a loss needs, and back: a class for each kind of y.

# Design:
# * y takes three forms. What the user gave is checked (checks.py), which makes it an array
#   whose first axis is samples. A target, made of the first such y, encodes it for the loss:
#   again one array, samples first, so that a batch is ``target[rows]``. From the network's
#   output it decodes what the user gets, which looks as y did.
# * A target also says which output layers it needs and where they begin, what is to be made
#   small, how a prediction is scored, and what of it moves with an augmented image.
# * Maps have many labels: whatever is done to all of them goes in blocks of samples.
"""

from .boxes import BoxTarget
from .choice import label_target, value_target
from .labels import ClassTarget, ColumnsTarget, MultilabelTarget, same_classes, sorted_classes
from .maps import LabelMapTarget, ValueMapTarget
from .values import PointTarget, ValueTarget

__all__ = [
    "BoxTarget",
    "ClassTarget",
    "ColumnsTarget",
    "LabelMapTarget",
    "MultilabelTarget",
    "PointTarget",
    "ValueMapTarget",
    "ValueTarget",
    "label_target",
    "same_classes",
    "sorted_classes",
    "value_target",
]
