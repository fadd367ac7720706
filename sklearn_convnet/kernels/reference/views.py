"""The typed view of an array, where there is such a thing."""

# Author: the sklearn_convnet developers
# SPDX-License-Identifier: BSD-3-Clause


def view(x):
    """An array as these functions take it faster than as it is: there is no such thing here."""
    return x
