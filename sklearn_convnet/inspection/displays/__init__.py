"""Pictures, in the convention of scikit-learn's displays.

What is drawn is kept, `plot` draws it, and where it was drawn stands in attributes with a trailing
underscore. matplotlib is imported by whoever draws.
"""

from .learning_rate import LearningRateDisplay

__all__ = ["LearningRateDisplay"]
