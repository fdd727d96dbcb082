"""Rankings for people: a verdict and a table in the terminal, in a notebook, and in files."""

from __future__ import annotations

import io
import json
import math
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from molrate.encoders.cards import BASELINES
from molrate.errors import UsageError
from molrate.files.output import parquet_bytes, write_atomically, write_record, write_text
from molrate.measures.base import printed_name
from molrate.ranking.forest import FOREST
from molrate.ranking.verdict import SEEN, Verdict, written

if TYPE_CHECKING:
    import pandas as pd


WRITABLE = (".csv", ".csv.gz", ".json", ".json.gz", ".parquet")
PIPED_WIDTH = 80
"""Columns where no terminal says how many it has."""
_FULL_TABLES = 3
_ROWS = 10
_ADVICE = 5
_INDENT = 12

_READING = (
    "Ranked by {form}. value: the measure; null: its mean under permuted labels, what the features score "
    "by their dimension d alone; excess: their difference, higher is better, and the reach of its 95 % "
    "interval. The first row of a tier is separable from every row of the tiers below, by differences on the "
    "same molecules at 95 % for all pairs together, and not from the last row of its own."
)
_FORMS = {
    "excess": "excess",
    "relative": "relative excess, a share of its largest possible value",
    "z": "z, the excess in standard deviations of the null",
    "value": "value, which compares equal dimensions only",
}
TRANSRATE = "transrate"
PRIOR = "prior: place among networks and baselines of our study, by its other datasets"
"""Column of TransRate's excess, whatever orders."""
_TIER_STYLES = ("bold green", "cyan", "yellow")


@dataclass(frozen=True)
class View:
    """What of a ranking is drawn, and how.

    Attributes
    ----------
    width : int
        Of the terminal.
    every : bool
        All rows, not the first ten with the baselines.
    columns : sequence of str
        Columns of the frame in place of the usual ones.
    verbose : bool
        All notes, and how to read the tables.
    colour : bool
        Escape sequences of a terminal.
    """

    width: int = PIPED_WIDTH
    every: bool = False
    columns: Sequence[str] = ()
    verbose: bool = False
    colour: bool = False


@dataclass(frozen=True)
class RankingTables:
    """What is drawn of a ranking.

    Attributes
    ----------
    frame : pandas.DataFrame
        Tidy rows.
    verdict : Verdict
    advice : list of str
        Notes that ask for something to be done, the weightiest first.
    notes : list of str
        All others.
    run : dict
    consensus, sensitivity : pandas.DataFrame, optional
    layers : pandas.DataFrame
        A row for each target, measure and encoder.
    """

    frame: pd.DataFrame
    verdict: Verdict
    advice: list[str]
    notes: list[str]
    run: dict[str, Any]
    consensus: pd.DataFrame | None
    sensitivity: pd.DataFrame | None
    layers: pd.DataFrame

    @property
    def several_layers(self) -> int:
        """Encoders, of any target and measure, with more than one layer."""
        return int((self.layers["layers"] > 1).sum()) if len(self.layers) else 0

    @property
    def measure(self) -> str:
        """The measure that orders."""
        return str(self.frame["measure"].iloc[0])

    @property
    def form(self) -> str:
        """What of it orders."""
        return str(self.run.get("arguments", {}).get("rank_by", "excess"))


def text_console(stream: io.StringIO, width: int, *, colour: bool) -> Console:
    """A console that writes text into a stream as it is given: no markup, no emoji, nothing highlighted."""
    # In a notebook rich would display what it prints here instead of writing it.
    return Console(
        file=stream,
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        color_system="standard" if colour else None,
        force_terminal=colour,
        force_jupyter=False,
    )


def to_text(ranking: RankingTables, view: View | None = None) -> str:
    """The verdict, a table for each target, and what asks to be done.

    Raises
    ------
    UsageError
        If a column is unknown.
    """
    view = view or View()
    stream = io.StringIO()
    console = text_console(stream, view.width, colour=view.colour)
    for line in _verdict_lines(ranking.verdict, view.width):
        console.print(line, soft_wrap=True)
    for table in _tables(ranking, view):
        # Not as rich's title, which wraps at the width of the table.
        console.print()
        if table.caption:
            console.print(table.caption, soft_wrap=True)
        table.caption = None
        console.print(table)
    lines = [
        textwrap.fill(
            line, view.width, subsequent_indent="  " if line[0] in "-!*" else "", break_on_hyphens=False
        )
        for line in _below(ranking, view)
    ]
    text = "\n".join([stream.getvalue().rstrip(), "", *lines])
    return "\n".join(line.rstrip() for line in text.split("\n"))


def _verdict_lines(verdict: Verdict, width: int) -> Iterator[Text]:
    """Lines of the verdict, what they answer in a column of its own."""
    for label, sentence in verdict.labelled:
        if not label:
            yield Text(textwrap.fill(sentence, width, break_on_hyphens=False), style="bold")
            continue
        space = " " * _INDENT
        filled = textwrap.fill(
            sentence, width, initial_indent=space, subsequent_indent=space, break_on_hyphens=False
        )
        line = Text(f"{label:<{_INDENT}}{filled[_INDENT:]}")
        line.stylize("bold green", 0, len(label))
        yield line


def _tables(ranking: RankingTables, view: View) -> Iterator[Table]:
    shown = ranking.frame[ranking.frame["status"] != "inapplicable"]
    several = shown["target"].nunique() > 1
    main = shown[(shown["measure"] == ranking.measure) & (shown["encoder"] != "")]
    for target, rows in main.groupby("target", sort=False):
        table = _main_table(rows, ranking, view)
        table.caption = str(target) if several else None
        yield table
    if _few_measures(ranking):
        others = shown[shown["measure"] != ranking.measure] if not view.verbose else shown
        for _, rows in others.groupby(["target", "measure"], sort=False):
            yield _ranked_table(rows)
    else:
        yield _first_table(shown)
    several_measures = shown["measure"].nunique() > 1
    if ranking.consensus is not None and not ranking.consensus.empty and (several_measures or view.verbose):
        yield _consensus_table(ranking.consensus)
    if ranking.several_layers and _few_measures(ranking):
        yield from (
            _layers_table(rows) for _, rows in ranking.layers.groupby(["target", "measure"], sort=False)
        )
    if ranking.sensitivity is not None:
        yield _sensitivity_table(ranking.sensitivity)


def _main_table(rows: pd.DataFrame, ranking: RankingTables, view: View) -> Table:
    """Rows of one target by the measure that orders."""
    shown = rows if view.every else _first_rows(rows)
    if view.columns:
        return _chosen_columns(shown, view.columns)
    beside = _has_transrate_beside(ranking)
    headings = [_measure_heading(ranking), *([printed_name(TRANSRATE)] if beside else [])]
    headings += ["frozen", "fine-tuned", "prior"]
    table = _blank_table("", "tier", "encoder", "layer", *headings, left=("tier", "layer"))
    decimals, largest = _decimals(rows), rows["excess"].max()
    digits = ranking.verdict.choice_for(rows["target"].iloc[0]).decimals
    # What holds for every row is said once below the table.
    flagged = rows["status"] == "unreliable"
    star = not flagged[rows["rank"].notna()].all()
    for _, row in shown.iterrows():
        cells = _main_cells(row, ranking.form, decimals, digits, largest, star=star, beside=beside)
        table.add_row(*cells)
    if len(shown) < len(rows):
        hidden = len(rows) - len(shown)
        table.add_row("", f"... {hidden} more {'row' if hidden == 1 else 'rows'}: --all")
    return table


def _has_transrate_beside(ranking: RankingTables) -> bool:
    """Whether TransRate stands beside what orders; intervals then leave no room for it on 80 columns."""
    orders = TRANSRATE in ranking.frame["measure"].unique()
    return not orders and bool(ranking.frame[TRANSRATE].notna().any())


def _measure_heading(ranking: RankingTables) -> str:
    title = printed_name(ranking.measure)
    return title if ranking.form == "excess" else f"{title}, {ranking.form}"


def _first_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """The first ten encoders, each by its best layer, the baselines wherever they are, and one control."""
    best = rows[(rows["layer_rank"] == 1) | rows["layer_rank"].isna()]
    control = (best["kind"] == "control").to_numpy()
    first = np.cumsum(~control) <= _ROWS
    return best[
        (first & ~control) | (best["kind"] == "baseline").to_numpy() | (control & (np.cumsum(control) == 1))
    ]


def check_columns(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse columns that a ranking's table does not have.

    Raises
    ------
    UsageError
        That names the first unknown one, and what there is.
    """
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"no column {unknown[0]!r} (--columns); there are {', '.join(known)}")


def _chosen_columns(rows: pd.DataFrame, columns: Sequence[str]) -> Table:
    check_columns(columns, list(rows.columns))
    table = _blank_table("", *columns, left=tuple(columns))
    for _, row in rows.iterrows():
        cells = [row[name] for name in columns]
        table.add_row(
            *(
                "" if _missing(cell) else f"{cell:.4g}" if isinstance(cell, float) else str(cell)
                for cell in cells
            )
        )
    return table


def _main_cells(
    row: pd.Series, form: str, decimals: int, digits: int, largest: float, *, star: bool, beside: bool
) -> list[str | Text]:
    name = _shown_name(row)
    if row["status"] == "failed":
        return ["", name, str(row["layer"]), "failed", *([""] if beside else []), "", "", ""]
    style = "dim" if row["kind"] in BASELINES else ""
    value = f"{row[form]:z.{decimals}f}"
    if form == "excess" and not beside:
        value += f" +- {(row['high'] - row['low']) / 2:z.{decimals}f}"
    if star and row["status"] == "unreliable":
        value += "*"
    return [
        _tier_cell(row),
        Text(name, style=style),
        str(row["layer"]),
        _bar(value, row["excess"] / largest if largest > 0 else 0.0),
        *([_transrate_cell(row)] if beside else []),
        _figure(row, "frozen", digits),
        _figure(row, "finetuned", digits),
        "" if _missing(row["prior"]) else str(row["prior"]),
    ]


def _transrate_cell(row: pd.Series) -> str:
    return "" if _missing(row[TRANSRATE]) else f"{row[TRANSRATE]:.2f}"


def _tier_cell(row: pd.Series) -> str | Text:
    """Tier as a letter."""
    if _missing(row["tier"]):
        return "-"
    tier = int(row["tier"])
    letter = chr(ord("A") + tier - 1) if tier <= 26 else str(tier)
    style = _TIER_STYLES[tier - 1] if tier <= len(_TIER_STYLES) else "dim"
    return Text(letter, style=style)


def _bar(value: str, share: float) -> Text:
    """A cell whose ground is coloured as far as its value reaches; nothing is seen of it without colour."""
    text = Text(value)
    text.stylize("on blue", 0, round(len(value) * min(max(share, 0.0), 1.0)))
    return text


def _figure(row: pd.Series, column: str, digits: int) -> str:
    """An expected error or area; ~ where it comes from the study and not from these molecules."""
    if _missing(row[column]):
        return ""
    mark = "~" if column == "finetuned" and row["finetuned_from"] == "study" else ""
    return f"{mark}{written(row[column], digits)}"


def _few_measures(ranking: RankingTables) -> bool:
    return ranking.frame["measure"].nunique() <= _FULL_TABLES


def _blank_table(title: str, *headings: str, left: tuple[str, ...] = ()) -> Table:
    table = Table(caption=title or None, box=None, pad_edge=False, padding=(0, 1, 0, 0))
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
        f"{row['value']:z.{decimals}f}" + ("*" if row["status"] == "unreliable" else " "),
        f"{row['null_mean']:z.{decimals}f}",
        f"{row['excess']:z.{decimals}f}",
        f"{reach:z.{decimals}f}",
    ]


def _shown_name(row: pd.Series) -> str:
    """Encoder, marked where it is what pretraining has to beat, and where it has seen the answers."""
    name, kind = str(row["encoder"]), str(row["kind"])
    if kind == "baseline" or (kind == "control" and "untrained" not in name):
        name += f" ({kind})"
    return f"{name} (seen)" if row.get("labels_seen") == SEEN else name


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
    """Where to cut every encoder, beside its last layer."""
    title = f"where to cut, by {rows['measure'].iloc[0]}, {rows['target'].iloc[0]}"
    table = _blank_table(
        title,
        *("encoder", "cut at", "last", "gain of best", "frozen: best", "frozen: last", "depth tau"),
        left=("cut at", "last"),
    )
    for _, row in rows[rows["layers"] > 1].sort_values("rank_by_best").iterrows():
        figures = (
            "" if _missing(row[name]) else f"{row[name]:.3g}" for name in ("frozen_best", "frozen_last")
        )
        reach = (row["gain_high"] - row["gain_low"]) / 2
        gain = f"{row['gain']:.2f} +- {reach:.2f}" if row["best_layer"] != row["last_layer"] else "0"
        deeper = "" if _missing(row["depth_tau"]) else f"{row['depth_tau']:.2f}"
        table.add_row(row["encoder"], row["cut_at"], row["last_layer"], gain, *figures, deeper)
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


def _below(ranking: RankingTables, view: View) -> list[str]:
    """What stands below the tables: the columns in short, what to do, and, if asked for, all notes."""
    legend = "" if view.columns else _legend(ranking)
    lines = [legend] if legend else []
    lines += _failures(ranking) + [
        f"! {note}" for note in ranking.advice[: None if view.verbose else _ADVICE]
    ]
    if view.verbose:
        return lines + _reading(ranking) + [f"- {note}" for note in ranking.notes]
    held = len(ranking.advice) - _ADVICE
    more = f"{held} more warnings, " if held > 0 else ""
    return [*lines, f"-v: {more}how the order was made, and all notes. -o FILE: all columns."]


def _legend(ranking: RankingTables) -> str:
    frame = ranking.frame
    parts = []
    if _has_transrate_beside(ranking):
        parts.append(f"{printed_name(ranking.measure)} orders the rows (higher is better, of TransRate too)")
    elif ranking.form == "excess":
        name = printed_name(ranking.measure)
        parts.append(f"{name} (higher is better) orders the rows, +- half of its 95 % interval")
    else:
        parts.append(f"{printed_name(ranking.measure)} orders the rows, by its {ranking.form}")
    if frame["tier"].notna().sum() > 1:
        parts.append(
            "tiers are by it, not by forecasts: A may be as good as the first row, the others are not"
        )
    metrics = [str(name).upper() for name in frame["metric"].dropna().unique()]
    if metrics:
        by_forest = (frame["frozen_from"] == FOREST).any()
        more = f" (of baselines with a {FOREST}, where that is better)" if by_forest else ""
        parts.append(f"frozen, fine-tuned: forecast {' or '.join(metrics)} for new molecules{more}")
    if (frame["finetuned_from"] == "study").any():
        parts.append("~: what fine-tuning gave such encoders in our study")
    if frame["prior"].notna().any():
        parts.append(f"{PRIOR} (blank: not in it)")
    return "; ".join(parts) + "." if parts else ""


def _failures(ranking: RankingTables) -> list[str]:
    """Candidates without a value, and measures that are unreliable, once for all rows that say the same."""
    frame, lines = ranking.frame, []
    for status, verb in (("failed", "failed"), ("inapplicable", "does not apply")):
        left = frame[frame["status"] == status]
        for (name, note), rows in left.assign(name=_subject(left, status)).groupby(
            ["name", "note"], sort=False
        ):
            many = f" ({len(rows)} candidates)" if len(rows) > 1 else ""
            lines.append(f"! {name} {verb}{many}: {note}")
    ranked = frame[frame["rank"].notna()]
    for measure, rows in ranked.groupby("measure", sort=False):
        flagged = rows[rows["status"] == "unreliable"]
        if flagged.empty:
            continue
        where = "every row" if len(flagged) == len(rows) else f"{len(flagged)} of {len(rows)} rows (*)"
        lines.append(f"! {measure} is unreliable in {where}: {flagged['note'].iloc[0]}.")
    return lines


def _reading(ranking: RankingTables) -> list[str]:
    """How the order was made."""
    lines = [_READING.format(form=_FORMS[ranking.form])]
    if ranking.several_layers and _few_measures(ranking):
        lines.append(
            "An encoder is cut at its best layer where that is clearly above its last, all its layers looked "
            "at together, and no more error is to be expected of it; else the last is taken. depth "
            "tau: Kendall's, of depth and order, 1 where every deeper layer is better."
        )
    return lines


def _subject(rows: pd.DataFrame, status: str) -> pd.Series:
    """What a failed or inapplicable row is about: the measure, the encoder, or the target."""
    if status == "inapplicable":
        return rows["measure"]
    return rows["encoder"].where(rows["encoder"] != "", rows["target"])


def to_html(ranking: RankingTables) -> str:
    """The verdict, the tables and the notes as HTML, for notebooks."""
    from html import escape

    parts = []
    for label, sentence in ranking.verdict.labelled:
        shown = escape(sentence) if label else f"<b>{escape(sentence)}</b>"
        parts.append(f"<div>{f'<b>{label}</b> ' if label else ''}{shown}</div>")
    for table in _tables(ranking, View(every=True)):
        parts.append(_html_table(table))
    below = _below(ranking, View())[:-1]
    parts += [f"<div>{escape(line)}</div>" for line in below]
    notes = "".join(f"<li>{escape(line)}</li>" for line in [*_reading(ranking), *ranking.notes])
    return "".join(parts) + f"<details><summary>Notes</summary><ul>{notes}</ul></details>"


def _html_table(table: Table) -> str:
    """A table as the terminal has it."""
    from html import escape

    def row_of(cells: Iterable[Any], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    columns = [list(column.cells) for column in table.columns]
    head = row_of((column.header for column in table.columns), "th")
    body = "".join(row_of(cells, "td") for cells in zip(*columns, strict=True))
    caption = f"<h4>{escape(str(table.caption))}</h4>" if table.caption else ""
    return f"{caption}<table>{head}{body}</table>"


def to_csv(ranking: RankingTables) -> str:
    """The tidy rows as CSV."""
    return str(ranking.frame.to_csv(index=False))


def to_json(ranking: RankingTables) -> str:
    """Rows, notes and run record as one JSON document."""
    rows: list[dict[str, Any]] = json.loads(ranking.frame.to_json(orient="records"))
    document = {
        "verdict": ranking.verdict.record(),
        "ranking": rows,
        "advice": ranking.advice,
        "notes": ranking.notes,
        "run": ranking.run,
    }
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
