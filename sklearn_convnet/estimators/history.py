"""The history of a fit, epoch by epoch: curves, and the table that `verbose` prints.

An epoch is a dict of numbers by name, such as "loss".
"""

from functools import cached_property

import numpy as np

FIRST_ROWS = 16  # of a table; full, it is doubled


class _Table:
    """Rows of numbers, of which the first `n_used` belong to some history."""

    def __init__(self, names, n_rows):
        self.names = names
        self.rows = np.full((n_rows, len(names)), np.nan)
        self.n_used = 0


class History:
    """The curves of the epochs so far.

    `with_epoch` makes another one and leaves this one as it is. Both share a table, so that an
    epoch costs the same however many came before. The one that has all rows of the table in
    use writes the next; any other, such as that of a call that failed, copies first.
    """

    def __init__(self):
        self._table = _Table([], 0)
        self._n = 0

    def __len__(self):
        return self._n

    @property
    def names(self):
        """Those of the curves."""
        return list(self._table.names)

    @cached_property
    def curves(self):
        """A dict of lists by name; np.nan itself, which equals itself in lists, where a curve
        has no value."""
        rows = self._table.rows[: self._n]
        curves = {name: rows[:, i].tolist() for i, name in enumerate(self._table.names)}
        for epoch, column in zip(*np.nonzero(np.isnan(rows)), strict=True):
            curves[self._table.names[column]][epoch] = np.nan
        return curves

    def with_epoch(self, row):
        """The curves with one more epoch."""
        old, n = self._table, self._n
        names = [*old.names, *(name for name in row if name not in old.names)]
        following = History()
        following._table = table = old
        if n == len(old.rows) or n < old.n_used or len(names) > len(old.names):
            following._table = table = _Table(names, max(FIRST_ROWS, 2 * n))
            table.rows[:n, : len(old.names)] = old.rows[:n]
        table.rows[n] = [row.get(name, np.nan) for name in names]
        following._n = table.n_used = n + 1
        return following

    def __getstate__(self):
        return {"names": self._table.names, "rows": self._table.rows[: self._n].copy()}

    def __setstate__(self, state):
        self._table = _Table(state["names"], 0)
        self._table.rows = state["rows"]
        self._table.n_used = self._n = len(state["rows"])


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
