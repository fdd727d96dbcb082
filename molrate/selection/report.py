"""A selection for people: the answer, the race and the test part, in a terminal or a notebook."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from molrate.finetuning.comparison import describe_few, describe_size, unit_of
from molrate.selection.candidates import ESTIMATED
from molrate.selection.leaderboard import BEST, FAILED, NOT_RUN, n_folds

WIDTH = 80
"""Columns where no terminal says how many it has."""

_TIED = "tied"
_STYLES = {BEST: "bold green", _TIED: ""}
_READING = (
    "worse by: difference to the best on the folds that both ran, with a 95 % interval for all models "
    "together; tied: the interval holds zero; s: seconds of its jobs."
)


def to_text(
    board: pd.DataFrame,
    record: Mapping[str, Any],
    ending: str,
    folder: Path,
    width: int = WIDTH,
    *,
    colour: bool = False,
) -> str:
    """The answer, a row for each model, errors on the test part, and what else there is to say.

    Parameters
    ----------
    board : pandas.DataFrame
        Of :func:`molrate.selection.leaderboard.make_leaderboard`.
    record : mapping
        Of a :class:`molrate.selection.result.Selection`.
    ending : str
        How the race ended, in words.
    folder : pathlib.Path
        Of the model.
    width : int
        Of the terminal.
    colour : bool
        Escape sequences of a terminal.
    """
    stream = io.StringIO()
    console = Console(
        file=stream,
        width=width,
        highlight=False,
        markup=False,
        color_system="standard" if colour else None,
        force_terminal=colour,
        force_jupyter=False,
    )
    comparison = record["comparison"]
    console.print(record["answer"], style="bold")
    console.print()
    console.print(race_table(board, unit_of(comparison)))
    console.print(_READING)
    console.print()
    console.print(_test_table(comparison))
    for line in _below(board, record, ending):
        console.print(textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False))
    # A path is kept whole, to be copied.
    console.print(f"model: {folder}", soft_wrap=True)
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().split("\n"))


def race_table(board: pd.DataFrame, unit: str = "") -> Table:
    """A row for each model that competes.

    Parameters
    ----------
    board : pandas.DataFrame
        Of :func:`molrate.selection.leaderboard.make_leaderboard`.
    unit : str
        Behind the metric, if it has one.
    """
    metric = f"{board['metric'].iloc[0]}{unit}"
    table = _table("model", "", "folds", metric, "worse by", "s")
    for _, row in board.iterrows():
        table.add_row(*_cells(row), style=_STYLES.get(_place(row), "dim"))
    return table


def _cells(row: pd.Series) -> list[str]:
    name = row["model"] if row["fitted"] == ESTIMATED else f"{row['model']}, {row['fitted']}"
    return [
        name,
        _place(row),
        str(row["folds"]) if row["folds"] else "",
        _number(row["mean"]),
        "" if row["state"] == BEST or pd.isna(row["low"]) else _with_interval(row),
        f"{row['seconds']:.0f}" if row["seconds"] else "",
    ]


def _place(row: pd.Series) -> str:
    """Where a model stands, in a word."""
    if row["state"] in (BEST, FAILED, NOT_RUN):
        return str(row["state"])
    return _TIED if row["tier"] == 1 else "behind"


def _with_interval(row: pd.Series) -> str:
    return f"{row['difference']:.2g} [{row['low']:.2g}, {row['high']:.2g}]"


def _number(value: float | None) -> str:
    return "" if value is None or pd.isna(value) else f"{value:.3g}"


def _test_table(comparison: Mapping[str, Any]) -> Table:
    """Errors on the test part."""
    size, few = describe_size(comparison), describe_few(comparison)
    table = _table(f"test: {size}", f"{comparison['metric']}{unit_of(comparison)}", "" if few else "95 %")
    for row in comparison["rows"]:
        interval = "" if row["low"] is None else f"[{row['low']:.3g}, {row['high']:.3g}]"
        table.add_row(row["what"], _number(row["value"]) or "undefined", interval)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first, overflow="fold")
    for heading in others:
        table.add_column(heading, no_wrap=True, justify="left" if heading in ("", "95 %") else "right")
    return table


def _below(board: pd.DataFrame, record: Mapping[str, Any], ending: str) -> Iterator[str]:
    """What is said after the tables."""
    comparison = record["comparison"]
    yield from filter(None, [describe_few(comparison), describe_ahead(comparison["rows"])])
    yield from (f"{row['model']} failed: {row['note']}" for _, row in board.iterrows() if row["note"])
    yield from (f"note: {note}" for note in record["notes"])
    yield f"{ending}; the model is the mean of {n_folds(len(record['folds']))}"


def describe_ahead(rows: Sequence[Mapping[str, Any]]) -> str:
    """What is clearly better than the model on the test part, as a sentence; empty where nothing is.

    The model is the best by the folds all the same: to choose by the test part would leave nothing to measure
    its error on.

    Parameters
    ----------
    rows : sequence of mapping
        Of a comparison, the model first.

    Examples
    --------
    >>> forest = {"what": "rdkit-descriptors", "ahead": 0.42, "ahead_low": 0.02, "ahead_high": 0.79}
    >>> describe_ahead([{"what": "minimol"}, forest])
    'The test part says otherwise than the folds: rdkit-descriptors is better on it, by 0.42 [0.02, 0.79].'
    >>> describe_ahead([{"what": "minimol"}, {**forest, "ahead_low": -0.1}])
    ''
    """
    better = [row for row in rows[1:] if row.get("ahead_low") is not None and row["ahead_low"] > 0]
    if not better:
        return ""
    best = max(better, key=lambda row: float(row["ahead"]))
    return (
        f"The test part says otherwise than the folds: {best['what']} is better on it, by "
        f"{best['ahead']:.2g} [{best['ahead_low']:.2g}, {best['ahead_high']:.2g}]."
    )
