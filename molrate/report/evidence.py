"""What a ranking rests on: how its measure did in the study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from molrate.ranking.evidence import agreement_table, predictor_name
from molrate.ranking.ranking import Ranking
from molrate.report.charts import Chart, intervals
from molrate.report.page import Block, Details, Section, Text
from molrate.report.rows import measure_title
from molrate.report.tables import Table, interval, number

if TYPE_CHECKING:
    import pandas as pd


def evidence_section(ranking: Ranking, notes: Sequence[str]) -> Section:
    """The study's evidence on the measure that orders, and the notes of a ranking.

    Parameters
    ----------
    ranking : Ranking
    notes : sequence of str
        That may be shown.
    """
    blocks: list[Block] = [Text([ranking.verdict.how_sure])]
    table = agreement_table()
    if table is not None:
        rows = table[table["predictor"] == predictor_name(ranking.measure, ranking.form)]
        if len(rows):
            blocks += [_evidence_chart(ranking, rows), _evidence_table(rows)]
    blocks.append(Details("How the order was made, and all notes", [Text(notes, listed=True)]))
    return Section("evidence", "How sure", blocks)


def _evidence_chart(ranking: Ranking, rows: pd.DataFrame) -> Chart:
    drawn = [
        {
            "label": str(row["dataset"]),
            "series": "mean" if row["dataset"] == "mean" else "dataset",
            "value": row["weighted tau"],
            "low": row["low"],
            "high": row["high"],
        }
        for _, row in rows.iterrows()
    ]
    mean = rows[rows["dataset"] == "mean"].iloc[0]
    title = measure_title(ranking)
    caption = (
        f"Our study: how {title} ordered encoders, against what fine-tuning them gave (weighted tau with "
        "95 % intervals; 1 the same order, 0 chance)."
    )
    description = f"Weighted tau by dataset; their mean is {mean['weighted tau']:.2f}."
    numbers = Table(
        "weighted tau by dataset",
        ["dataset", "weighted tau", "95 %"],
        [[d["label"], number(d["value"], 2), interval(d["low"], d["high"], 2)] for d in drawn],
        frozenset(["dataset"]),
    )
    spec = intervals(drawn, ["dataset", "mean"], "weighted tau", zero=True)
    return Chart("evidence", caption, description, spec, numbers)


def _evidence_table(rows: pd.DataFrame) -> Table:
    body = [
        [
            str(row["dataset"]),
            number(row["encoders"]) if row["dataset"] != "mean" else "",
            f"{row['regret']:.1%}",
            f"{row['regret of kept of 3']:.1%}",
        ]
        for _, row in rows.iterrows()
    ]
    header = ["dataset", "encoders", "first of the list", "kept of the first three"]
    caption = "What was lost to the best encoder by fine-tuning what the list puts first"
    return Table(caption, header, body, frozenset(["dataset"]))
