"""What a fit sees, epoch by epoch: curves, and the table that `verbose` prints.

An epoch is a dict of numbers by name, such as "loss"; a history is a dict of lists.
"""

import numpy as np


def with_epoch(history, row):
    """The curves with one more epoch; nan where a curve has no value.

    New lists, so that whoever holds the old ones keeps them.
    """
    n_epochs = max(map(len, history.values()), default=0)
    names = [*history, *(name for name in row if name not in history)]
    return {
        name: [*history.get(name, [np.nan] * n_epochs), row.get(name, np.nan)] for name in names
    }


class EpochTable:
    """Prints a row an epoch, below the names of its columns.

    Parameters
    ----------
    names : list of str
        The columns whose names are printed already.
    """

    def __init__(self, names):
        self.names = names

    def print(self, epoch, row, seconds):
        """Prints the row of an epoch."""
        widths = [max(len(name), 9) for name in row]
        if list(row) != self.names:
            self.names = list(row)
            heads = (name.replace("_", " ").rjust(w) for name, w in zip(row, widths, strict=True))
            print("  ".join(["epoch", *heads, "seconds"]))
        cells = [f"{x:>{width}.6g}" for x, width in zip(row.values(), widths, strict=True)]
        print("  ".join([f"{epoch:>5}", *cells, f"{seconds:>7.2f}"]))
