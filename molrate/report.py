"""Rankings for people: a table in the terminal, in a notebook, and in files."""

from __future__ import annotations

import io
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from molrate.io import parquet_bytes, write_atomically, write_record

if TYPE_CHECKING:
    import pandas as pd

    from molrate.ranking import Ranking

WRITABLE = (".csv", ".json", ".parquet")
_WIDTH = 80

_READING = (
    "Ranked by excess = value - null. value: TransRate; null: its mean under permuted labels, what the "
    "features score by their dimension d alone; s: seconds."
)
_UNRELIABLE = (
    "*: the smallest class or range has fewer molecules than d, so the raw value says more of d than of the "
    "labels; read the excess."
)


def to_text(ranking: Ranking, width: int = _WIDTH) -> str:
    """Ranked tables, one a target, then how to read them and the notes, `width` columns wide."""
    stream = io.StringIO()
    # In a notebook rich would display what it prints here instead of writing it.
    console = Console(
        file=stream, width=width, highlight=False, markup=False, color_system=None, force_jupyter=False
    )
    for target, rows in ranking.frame.groupby("target", sort=False):
        console.print(_table(str(target), rows))
        console.print()
    lines = [textwrap.fill(line, width, subsequent_indent="  ") for line in _reading(ranking)]
    text = "\n".join([stream.getvalue().rstrip(), "", *lines])
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _table(target: str, rows: pd.DataFrame) -> Table:
    first = rows.iloc[0]
    title = f"{first['dataset']}: {target} ({first['task']})"
    table = Table(
        title=title, title_justify="left", title_style="", box=None, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("encoder", overflow="fold")
    table.add_column("layer", no_wrap=True)
    for heading in ("d", "n", "value", "null", "excess", "s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for _, row in rows.iterrows():
        table.add_row(*_cells(row))
    return table


def _cells(row: pd.Series) -> list[str]:
    control = " (control)" if row["kind"] == "control" else ""
    name = f"{row['encoder']}{control}"
    if row["status"] == "failed":
        return ["-", name, row["layer"] or "-", "", "", "failed", "", "", ""]
    return [
        str(row["rank"]),
        name,
        str(row["layer"]),
        str(row["dimension"]),
        str(row["n"]),
        f"{row['value']:.2f}" + ("*" if row["status"] == "unreliable" else " "),
        f"{row['null_mean']:.2f}",
        f"{row['excess']:.2f}",
        f"{row['seconds']:.1f}",
    ]


def _reading(ranking: Ranking) -> list[str]:
    """How to read the table, then the ranking's notes."""
    lines = [_READING]
    frame = ranking.frame
    if (frame["status"] == "unreliable").any():
        lines.append(_UNRELIABLE)
    failed = frame[frame["status"] == "failed"]
    lines += [f"{row['encoder'] or row['target']} failed: {row['note']}" for _, row in failed.iterrows()]
    return lines + [f"- {note}" for note in ranking.notes]


def to_html(ranking: Ranking) -> str:
    """The tables and notes as HTML, for notebooks."""
    from html import escape

    shown = [
        "rank",
        "encoder",
        "layer",
        "dimension",
        "n",
        "value",
        "null_mean",
        "excess",
        "seconds",
        "status",
    ]
    parts = []
    for target, rows in ranking.frame.groupby("target", sort=False):
        first = rows.iloc[0]
        parts.append(f"<h4>{escape(str(first['dataset']))}: {escape(str(target))} ({first['task']})</h4>")
        parts.append(rows[shown].to_html(index=False, float_format="{:.3f}".format, na_rep="", border=0))
    notes = "".join(f"<li>{escape(line)}</li>" for line in _reading(ranking))
    return "".join(parts) + f"<ul>{notes}</ul>"


def to_csv(ranking: Ranking) -> str:
    """The tidy rows as CSV."""
    return str(ranking.frame.to_csv(index=False))


def to_json(ranking: Ranking) -> str:
    """Rows, notes and run record as one JSON document."""
    rows: list[dict[str, Any]] = json.loads(ranking.frame.to_json(orient="records"))
    document = {"ranking": rows, "notes": ranking.notes, "run": ranking.run}
    return json.dumps(document, indent=2) + "\n"


def write_ranking(ranking: Ranking, path: Path) -> None:
    """Write a ranking to ``.csv``, ``.json`` or ``.parquet``, with the record of the run.

    JSON holds the record; Parquet has it in its schema's metadata under ``molrate``; beside a CSV it
    goes into ``PATH.run.json``.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        write_atomically(path, to_json(ranking).encode())
    elif suffix == ".parquet":
        write_atomically(path, parquet_bytes(ranking.frame, ranking.run))
    else:
        write_atomically(path, to_csv(ranking).encode())
        write_record(path, ranking.run)
