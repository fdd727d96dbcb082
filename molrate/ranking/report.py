"""Rankings for people: a table in the terminal, in a notebook, and in files."""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from molrate.encoders.cards import BASELINES
from molrate.files.output import parquet_bytes, write_atomically, write_record, write_text

if TYPE_CHECKING:
    import pandas as pd


WRITABLE = (".csv", ".csv.gz", ".json", ".json.gz", ".parquet")
_WIDTH = 80
_FULL_TABLES = 3

_READING = (
    "Ranked by {form}. value: the measure; null: its mean under permuted labels, what the features score "
    "by their dimension d alone; excess: their difference, higher is better, and the reach of its 95 % "
    "interval. Candidates of different tiers t are separable from each other, by differences on the same "
    "molecules at 95 % for all pairs together; those of one tier, or those between them, are not."
)
_FORMS = {
    "excess": "excess",
    "relative": "relative excess, a share of its largest possible value",
    "z": "z, the excess in standard deviations of the null",
    "value": "value, which compares equal dimensions only",
}


@dataclass(frozen=True)
class RankingTables:
    """What is drawn of a ranking.

    Attributes
    ----------
    frame : pandas.DataFrame
        Tidy rows.
    notes : list of str
    run : dict
    consensus, sensitivity : pandas.DataFrame, optional
    layers : pandas.DataFrame
        A row for each target, measure and encoder.
    """

    frame: pd.DataFrame
    notes: list[str]
    run: dict[str, Any]
    consensus: pd.DataFrame | None
    sensitivity: pd.DataFrame | None
    layers: pd.DataFrame

    @property
    def several_layers(self) -> int:
        """Encoders, of any target and measure, with more than one layer."""
        return int((self.layers["layers"] > 1).sum()) if len(self.layers) else 0


def to_text(ranking: RankingTables, width: int = _WIDTH) -> str:
    """Ranked tables, one for each target and measure, then how to read them and the notes.

    With more than three measures, the consensus and what each measure puts first stand for the tables.
    """
    stream = io.StringIO()
    # In a notebook rich would display what it prints here instead of writing it.
    console = Console(
        file=stream, width=width, highlight=False, markup=False, color_system=None, force_jupyter=False
    )
    for table in _tables(ranking):
        # Not as rich's title, which wraps at the width of the table.
        console.print(table.caption, soft_wrap=True)
        table.caption = None
        console.print(table)
        console.print()
    lines = [textwrap.fill(line, width, subsequent_indent="  ") for line in _reading(ranking)]
    text = "\n".join([stream.getvalue().rstrip(), "", *lines])
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _tables(ranking: RankingTables) -> Iterator[Table]:
    shown = ranking.frame[ranking.frame["status"] != "inapplicable"]
    if _few_measures(ranking):
        for _, rows in shown.groupby(["target", "measure"], sort=False):
            yield _ranked_table(rows)
    else:
        yield _first_table(shown)
    if ranking.consensus is not None and not ranking.consensus.empty:
        yield _consensus_table(ranking.consensus)
    if ranking.several_layers and _few_measures(ranking):
        yield from (
            _layers_table(rows) for _, rows in ranking.layers.groupby(["target", "measure"], sort=False)
        )
    if ranking.sensitivity is not None:
        yield _sensitivity_table(ranking.sensitivity)


def _few_measures(ranking: RankingTables) -> bool:
    return ranking.frame["measure"].nunique() <= _FULL_TABLES


def _blank_table(title: str, *headings: str, left: tuple[str, ...] = ()) -> Table:
    table = Table(caption=title, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in headings:
        if heading == "encoder":
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="left" if heading in left else "right", no_wrap=True)
    return table


def _ranked_table(rows: pd.DataFrame) -> Table:
    first = rows.iloc[0]
    title = f"{first['dataset']}: {first['target']} ({first['task']}), {first['measure']}"
    sizes = rows["n"].dropna().unique()
    if len(sizes):
        title += f", {sizes[0]} molecules" if (rows["kind"] != "features").all() else f", {sizes[0]} rows"
    table = _blank_table(
        title, "#", "t", "encoder", "layer", "d", "value", "null", "excess", "+-", left=("layer",)
    )
    decimals = _decimals(rows)
    for _, row in rows.iterrows():
        table.add_row(*_cells(row, decimals))
    return table


def _decimals(rows: pd.DataFrame) -> int:
    """Enough for three figures of the largest excess."""
    largest = rows["excess"].abs().max()
    if not largest > 0:
        return 2
    return min(4, max(1, 2 - math.floor(math.log10(largest))))


def _cells(row: pd.Series, decimals: int) -> list[str]:
    name = _shown_name(row)
    if row["status"] == "failed":
        return ["-", "", name, row["layer"] or "-", "", "", "failed", "", ""]
    reach = (row["high"] - row["low"]) / 2
    return [
        "-" if _missing(row["rank"]) else str(row["rank"]),
        "" if _missing(row["tier"]) else str(row["tier"]),
        name,
        str(row["layer"]),
        str(row["dimension"]),
        f"{row['value']:.{decimals}f}" + ("*" if row["status"] == "unreliable" else " "),
        f"{row['null_mean']:.{decimals}f}",
        f"{row['excess']:.{decimals}f}",
        f"{reach:.{decimals}f}",
    ]


def _shown_name(row: pd.Series) -> str:
    """Encoder, marked where it is what pretraining has to beat."""
    return f"{row['encoder']} ({row['kind']})" if row["kind"] in BASELINES else str(row["encoder"])


def _missing(value: Any) -> bool:
    """Whether a cell is empty."""
    import pandas as pd

    return bool(pd.isna(value))


def _first_table(frame: pd.DataFrame) -> Table:
    """What each measure puts first."""
    table = _blank_table(
        "first by each measure",
        "target",
        "measure",
        "encoder",
        "layer",
        "excess",
        "+-",
        "tied",
        "of",
        left=("target", "measure", "layer"),
    )
    for (target, measure), rows in frame.groupby(["target", "measure"], sort=False):
        ranked = rows[rows["rank"].notna()]
        if ranked.empty:
            table.add_row(str(target), str(measure), "none", "", "", "", "", str(len(rows)))
            continue
        best = ranked.iloc[0]
        name = _shown_name(best)
        reach = (best["high"] - best["low"]) / 2
        tied = int((ranked["tier"] == 1).sum()) - 1
        star = "*" if best["status"] == "unreliable" else " "
        cells = (name, str(best["layer"]), f"{best['excess']:.3g}{star}", f"{reach:.2g}")
        table.add_row(str(target), str(measure), *cells, str(tied), str(len(rows)))
    return table


def _consensus_table(consensus: pd.DataFrame) -> Table:
    votes, agreement = int(consensus["votes"].iloc[0]), consensus.attrs["agreement"]
    title = f"consensus of {votes} rankings (mean Kendall's tau between them {agreement:.2f})"
    table = _blank_table(title, "#", "t", "encoder", "layer", "mean rank", "95 %", "borda", left=("layer",))
    for _, row in consensus.iterrows():
        name = _shown_name(row)
        interval = f"{row['low']:.1f}-{row['high']:.1f}"
        places = str(row["rank"]), str(row["tier"])
        table.add_row(*places, name, row["layer"], f"{row['mean_rank']:.1f}", interval, f"{row['borda']:.2f}")
    return table


def _layers_table(rows: pd.DataFrame) -> Table:
    title = f"layers by {rows['measure'].iloc[0]}, {rows['target'].iloc[0]}: best against last"
    table = _blank_table(
        title,
        "encoder",
        "best",
        "last",
        "gain of best",
        "95 %",
        "depth tau",
        "# best",
        "# last",
        left=("best", "last"),
    )
    for _, row in rows[rows["layers"] > 1].sort_values("rank_by_best").iterrows():
        table.add_row(
            row["encoder"],
            row["best_layer"],
            row["last_layer"],
            f"{row['gain']:.3g}",
            f"{row['gain_low']:.2g} to {row['gain_high']:.2g}",
            f"{row['depth_tau']:.2f}",
            str(row["rank_by_best"]),
            str(row["rank_by_last"]),
        )
    return table


def _sensitivity_table(sensitivity: pd.DataFrame) -> Table:
    table = _blank_table(
        "sensitivity: Kendall's tau with the ranking above, and who comes first",
        "target",
        "measure",
        "setting",
        "to",
        "tau",
        "first",
        left=("target", "measure", "setting", "to", "first"),
    )
    for _, row in sensitivity.iterrows():
        first = "the same" if row["same_best"] else row["best"]
        table.add_row(
            row["target"], row["measure"], row["setting"], row["to"], f"{row['tau']:.2f}", str(first)
        )
    return table


def _reading(ranking: RankingTables) -> list[str]:
    """How to read the tables, then the ranking's notes."""
    frame = ranking.frame
    form = ranking.run.get("arguments", {}).get("rank_by", "excess")
    lines = [_READING.format(form=_FORMS[form])]
    flagged = frame[frame["status"] == "unreliable"]
    for measure, rows in flagged.groupby("measure", sort=False):
        rows_text = "1 row" if len(rows) == 1 else f"{len(rows)} rows"
        lines.append(f"*: {measure} is unreliable in {rows_text}, such as: {rows['note'].iloc[0]}.")
    if ranking.several_layers and _few_measures(ranking):
        lines.append(
            "depth tau: agreement of the order with 'deeper is better', which needs no data; where the gain "
            "of the best layer over the last is not above 0, take the last."
        )
    for status, verb in (("failed", "failed"), ("inapplicable", "does not apply")):
        left = frame[frame["status"] == status]
        for (name, note), rows in left.assign(name=_subject(left, status)).groupby(
            ["name", "note"], sort=False
        ):
            many = f" ({len(rows)} candidates)" if len(rows) > 1 else ""
            lines.append(f"{name} {verb}{many}: {note}")
    return lines + [f"- {note}" for note in ranking.notes]


def _subject(rows: pd.DataFrame, status: str) -> pd.Series:
    """What a failed or inapplicable row is about: the measure, the encoder, or the target."""
    if status == "inapplicable":
        return rows["measure"]
    return rows["encoder"].where(rows["encoder"] != "", rows["target"])


def to_html(ranking: RankingTables) -> str:
    """The tables and notes as HTML, for notebooks."""
    from html import escape

    shown = ["rank", "tier", "encoder", "layer", "dimension", "n", "value", "null_mean", "excess", "low"]
    shown += ["high", "z", "status"]
    parts = []
    frame = ranking.frame[ranking.frame["status"] != "inapplicable"]
    for (target, measure), rows in frame.groupby(["target", "measure"], sort=False):
        first = rows.iloc[0]
        title = f"{first['dataset']}: {target} ({first['task']}), {measure}"
        parts.append(f"<h4>{escape(title)}</h4>")
        parts.append(rows[shown].to_html(index=False, float_format="{:.3f}".format, na_rep="", border=0))
    for title, table in (("consensus", ranking.consensus), ("sensitivity", ranking.sensitivity)):
        if table is not None:
            parts.append(f"<h4>{title}</h4>")
            parts.append(table.to_html(index=False, float_format="{:.2f}".format, border=0))
    notes = "".join(f"<li>{escape(line)}</li>" for line in _reading(ranking))
    return "".join(parts) + f"<ul>{notes}</ul>"


def to_csv(ranking: RankingTables) -> str:
    """The tidy rows as CSV."""
    return str(ranking.frame.to_csv(index=False))


def to_json(ranking: RankingTables) -> str:
    """Rows, notes and run record as one JSON document."""
    rows: list[dict[str, Any]] = json.loads(ranking.frame.to_json(orient="records"))
    document = {"ranking": rows, "notes": ranking.notes, "run": ranking.run}
    for name in ("consensus", "sensitivity"):
        table = getattr(ranking, name)
        if table is not None:
            document[name] = json.loads(table.to_json(orient="records"))
    return json.dumps(document, indent=2) + "\n"


def write_tables(ranking: RankingTables, path: Path) -> None:
    """Write a ranking to ``.csv``, ``.json``, both also ``.gz``, or ``.parquet``, with the record of the run.

    JSON holds the record; Parquet has it in its schema's metadata under ``molrate``; beside a CSV it
    goes into ``PATH.run.json``.

    Raises
    ------
    InputError
        If the file cannot be written.
    """
    if path.suffix.lower() == ".parquet":
        write_atomically(path, parquet_bytes(ranking.frame, ranking.run))
    elif path.name.lower().endswith((".json", ".json.gz")):
        write_text(path, to_json(ranking))
    else:
        write_text(path, to_csv(ranking))
        write_record(path, ranking.run)
