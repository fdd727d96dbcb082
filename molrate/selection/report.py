"""A selection for people: the answer, the race and the test part, in a terminal or a notebook."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from molrate.finetuning.comparison import describe_few, describe_size, unit_of
from molrate.ranking.report import text_console
from molrate.ranking.verdict import written
from molrate.selection.candidates import ESTIMATED
from molrate.selection.leaderboard import BEST, FAILED, NOT_RUN, n_folds

_TIED, _BEHIND, _DROPPED = "tied", "behind", "dropped"
_STYLES = {BEST: "bold green", _TIED: ""}
_READING = {
    _TIED: "tied: it holds zero, and they are in order of their folds and of what the score expects, which "
    "counts as one more",
    _BEHIND: "behind: it leaves out zero",
    _DROPPED: "dropped: behind the best of an earlier fold",
}
"""How to read places, of those that are there."""
_LEAST_NAME = 12
"""Columns that names have in any case."""


def to_text(
    board: pd.DataFrame,
    record: Mapping[str, Any],
    ending: str,
    folder: Path,
    width: int,
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
    console = text_console(stream, width, colour=colour)
    comparison = record["comparison"]
    decimals = _decimals(board)
    console.print(record["answer"], style="bold")
    console.print()
    console.print(race_table(board))
    console.print(_reading(board, unit_of(comparison)))
    console.print()
    console.print(_test_table(comparison, decimals))
    for line in _below(board, record, ending):
        console.print(textwrap.fill(line, width, subsequent_indent="  ", break_on_hyphens=False))
    # A path is kept whole, to be copied.
    console.print(f"model: {folder}", soft_wrap=True)
    return "\n".join(line.rstrip() for line in stream.getvalue().rstrip().split("\n"))


def race_table(board: pd.DataFrame) -> Table:
    """A row for each model that competes.

    Parameters
    ----------
    board : pandas.DataFrame
        Of :func:`molrate.selection.leaderboard.make_leaderboard`.
    """
    decimals = _decimals(board)
    table = _table("model", "", "folds", str(board["metric"].iloc[0]), "worse by", "s")
    for _, row in board.iterrows():
        table.add_row(*_cells(row, decimals), style=_STYLES.get(_place(row), "dim"))
    return table


def _reading(board: pd.DataFrame, unit: str) -> str:
    """How to read the table of a race."""
    parts = [f"{board['metric'].iloc[0]}{' in' if unit else ''}{unit}: mean of the folds that it ran"]
    places = {_place(row) for _, row in board.iterrows()}
    if told := [text for place, text in _READING.items() if place in places]:
        parts.append(
            "worse by: difference to the best on the folds that both ran, with a 95 % interval for all "
            "models together"
        )
        parts += told
    return "; ".join([*parts, "s: seconds of its jobs"]) + "."


def _decimals(board: pd.DataFrame) -> int:
    """Enough for three figures of the best one's error; -1 where many zeros stand before them."""
    best = board["mean"].iloc[0]
    if not best > 0:
        return 2
    decimals = 2 - math.floor(math.log10(best))
    return max(0, decimals) if decimals <= 5 else -1


def _cells(row: pd.Series, decimals: int) -> list[str]:
    name = row["model"] if row["fitted"] == ESTIMATED else f"{row['model']}, {row['fitted']}"
    is_compared = row["state"] != BEST and not pd.isna(row["low"])
    gap = [written(row[key], decimals) for key in ("difference", "low", "high")] if is_compared else []
    return [
        name,
        _place(row),
        str(row["folds"]) if row["folds"] else "",
        "" if pd.isna(row["mean"]) else written(row["mean"], decimals),
        f"{gap[0]} [{gap[1]}, {gap[2]}]" if gap else "",
        f"{row['seconds']:.0f}" if row["seconds"] else "",
    ]


def _place(row: pd.Series) -> str:
    """Where a model stands, in a word."""
    state = str(row["state"])
    if state in (BEST, FAILED, NOT_RUN):
        return state
    if state.startswith(_DROPPED):
        return _DROPPED
    return _TIED if row["tier"] == 1 else _BEHIND


def _test_table(comparison: Mapping[str, Any], decimals: int) -> Table:
    """Errors on the test part."""
    few = describe_few(comparison)
    table = _table(f"test: {describe_size(comparison)}", comparison["metric"], "" if few else "95 %")
    for row in comparison["rows"]:
        value = "undefined" if row["value"] is None else written(row["value"], decimals)
        bounds = [] if row["low"] is None else [written(row[key], decimals) for key in ("low", "high")]
        table.add_row(row["what"], value, f"[{', '.join(bounds)}]" if bounds else "")
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(first, overflow="fold", min_width=_LEAST_NAME)
    for heading in others:
        table.add_column(heading, no_wrap=True, justify="left" if heading in ("", "95 %") else "right")
    return table


def _below(board: pd.DataFrame, record: Mapping[str, Any], ending: str) -> Iterator[str]:
    """What is said after the tables."""
    if few := describe_few(record["comparison"]):
        yield f"The test molecules are {few}."
    yield from (f"failed: {row['model']}, {row['note']}" for _, row in board.iterrows() if row["note"])
    # A run of an earlier version has none.
    yield from (f"note: {note}" for note in record.get("notes", []))
    yield f"{ending}; the model is the mean of {n_folds(len(record['folds']))}"
