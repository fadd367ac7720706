"""Tables that are read: as text, in a notebook, or as a data frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from numbers import Integral, Number
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class Table:
    """Rows under the names of their columns.

    ``print(table)`` shows text, a notebook shows HTML, `to_frame` returns numbers.

    Parameters
    ----------
    columns : list of str
    rows : list of tuple
        An entry for each column; None is an empty cell.
    formats : dict of str to str or callable, default={}
        How the values of a column are written: a format, or what makes text of a value.
    notes : list of str, default=[]
        Lines under the table.
    total : tuple, default=None
        A last row, under a rule. It is not in the frame.

    Examples
    --------
    >>> from sklearn_convnet.tables import Table
    >>> print(Table(["layer", "share"], [("conv1", 0.75), ("dense1", 0.25)], {"share": ".0%"}))
    layer   share
    -------------
    conv1     75%
    dense1    25%
    """

    def __init__(
        self,
        columns: Iterable[str],
        rows: Iterable[Sequence[Any]],
        formats: Mapping[str, str | Callable[[Any], str]] | None = None,
        notes: Iterable[str] = (),
        total: Sequence[Any] | None = None,
    ) -> None:
        self.columns, self.rows = list(columns), [tuple(row) for row in rows]
        self.formats, self.notes = dict(formats or {}), list(notes)
        self.total = total

    def _cell(self, column, value):
        if value is None:
            return ""
        how = self.formats.get(column, "")
        return how(value) if callable(how) else format(value, how)

    def _cells(self, rows):
        return [
            [self._cell(column, value) for column, value in zip(self.columns, row, strict=True)]
            for row in rows
        ]

    def _total_cells(self):
        return self._cells([] if self.total is None else [self.total])

    def _is_right(self, i):
        """True if a column holds numbers, which end at the same place."""
        values = [row[i] for row in self.rows if row[i] is not None]
        return bool(values) and all(isinstance(value, Number) for value in values)

    def __str__(self) -> str:
        cells, total = self._cells(self.rows), self._total_cells()
        columns = zip(self.columns, *cells, *total, strict=True)
        widths = [max(map(len, column)) for column in columns]
        right = [self._is_right(i) for i in range(len(self.columns))]

        def line(texts):
            aligned = (
                text.rjust(width) if at_right else text.ljust(width)
                for text, width, at_right in zip(texts, widths, right, strict=True)
            )
            return "  ".join(aligned).rstrip()

        head = line(self.columns)
        rule = "-" * max([len(head), *(len(line(row)) for row in [*cells, *total])])
        last = [rule, *map(line, total)] if total else []
        return "\n".join([head, rule, *map(line, cells), *last, *self.notes])

    __repr__ = __str__

    def _repr_html_(self):
        right = [self._is_right(i) for i in range(len(self.columns))]

        def row(kind, texts):
            sides = ("right" if at_right else "left" for at_right in right)
            cells = (
                f'<{kind} style="text-align:{side}">{escape(text)}</{kind}>'
                for text, side in zip(texts, sides, strict=True)
            )
            return f"<tr>{''.join(cells)}</tr>"

        body = "".join(row("td", texts) for texts in self._cells(self.rows))
        foot = "".join(f"<tfoot>{row('th', texts)}</tfoot>" for texts in self._total_cells())
        notes = "".join(f"<div>{escape(note)}</div>" for note in self.notes)
        head = row("th", self.columns)
        return f"<table><thead>{head}</thead><tbody>{body}</tbody>{foot}</table>{notes}"

    def to_frame(self) -> pd.DataFrame:
        """The table as a `pandas.DataFrame`, with numbers as they are.

        Columns of whole numbers with empty cells are of pandas' dtype Int64.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        import pandas as pd  # nothing else here needs it

        frame = pd.DataFrame(self.rows, columns=self.columns)
        for column, values in zip(self.columns, zip(*self.rows, strict=True), strict=False):
            known = [value for value in values if value is not None]
            if known and len(known) < len(values) and all(isinstance(v, Integral) for v in known):
                frame[column] = frame[column].astype("Int64")
        return frame
