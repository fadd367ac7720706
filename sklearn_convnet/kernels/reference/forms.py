"""Forms of a convolution, of which there is one here: the oracle of all others."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause

FORM_NAMES = (
    "direct", "widened", "narrow", "interleaved", "scatter", "pointwise", "phases", "turned",
    "sparse", "unpooled",
)  # fmt: skip
PASSES = ("forward", "input_gradient", "weight_gradient")


def force_form(name):
    """Checks the name of a form. There is no choice here, so nothing is forced."""
    if name is not None and name not in FORM_NAMES:
        raise ValueError(f"form must be None or one of {', '.join(FORM_NAMES)}, got {name!r}")


def conv_form(step, n, maps, weight, stride, padding, dilation, groups, pool_size=(1, 1, 1)):
    """The name of the only form, and no others."""
    if step not in PASSES:
        raise ValueError(f"step must be one of {', '.join(PASSES)}, got {step!r}")
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    return "reference", []
