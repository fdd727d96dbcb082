"""Tables of a page: cells as text, numbers to the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from molrate.ranking.verdict import written

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 500
"""Rows of a table on a page; more are in the files that the command writes."""


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first cell of a row is its header.

    Attributes
    ----------
    caption : str
    header : sequence of str
    rows : sequence of sequence of str
    left : frozenset of str
        Headings of columns of text; all others hold numbers.
    marks : sequence of str
        A style of each row: ``baseline``, ``control`` or none; empty where no row has one.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: frozenset[str] = field(default_factory=frozenset)
    marks: Sequence[str] = ()
    kind: str = "table"


def number(value: Any, decimals: int | None = None) -> str:
    """A figure as text, empty where there is none.

    >>> number(0.12345), number(float("nan")), number(2.5, 2)
    ('0.123', '', '2.50')
    """
    import pandas as pd

    if value is None or pd.isna(value):
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if decimals is None else written(value, decimals)
    return str(value)


def interval(low: Any, high: Any, decimals: int | None = None) -> str:
    """Bounds as text, empty where there are none."""
    bounds = number(low, decimals), number(high, decimals)
    return f"{bounds[0]} to {bounds[1]}" if all(bounds) else ""


def table_of(frame: pd.DataFrame, caption: str, left: Sequence[str] = ()) -> Table:
    """A data frame as a table, its first rows where it has many.

    Parameters
    ----------
    frame : pandas.DataFrame
    caption : str
    left : sequence of str
        Columns of text.
    """
    shown = frame.head(MOST_ROWS)
    if len(shown) < len(frame):
        caption += f" (the first {len(shown)} of {len(frame):,} rows)"
    rows = [[number(cell) for cell in row] for row in shown.itertuples(index=False)]
    return Table(caption, [str(name) for name in frame.columns], rows, frozenset(left))
