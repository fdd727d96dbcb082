"""Errors to expect of candidates, beside what is known without a look at the molecules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from molrate.ranking.ranking import Ranking
from molrate.report.charts import Chart, intervals
from molrate.report.page import Block, Section
from molrate.report.rows import KINDS, MOST_DRAWN, by_target, headed, main_rows
from molrate.report.tables import Table, interval, number

if TYPE_CHECKING:
    import pandas as pd


def expected_section(ranking: Ranking) -> Section:
    """Expected errors of candidates, frozen and fine-tuned, and the same in the order of the prior."""
    blocks: list[Block] = []
    groups = by_target(main_rows(ranking))
    for place, (name, rows) in enumerate(groups):
        known = rows[rows["frozen"].notna()]
        if known.empty:
            continue
        own: list[Block] = [_expected_chart(place, known)]
        prior = known[known["prior"].notna()]
        if len(prior) > 1:
            own.append(_prior_chart(place, prior))
        blocks += headed(len(groups) > 1, name, own)
    return Section("expected", "Expected errors", blocks)


_FROZEN, _MEASURED, _RELATED = "frozen", "fine-tuned", "fine-tuned, by other datasets"


def _best(row: pd.Series) -> float:
    return float(row["frozen"] if not number(row["finetuned"]) else row["finetuned"])


def _expected_chart(place: int, rows: pd.DataFrame) -> Chart:
    higher = rows["metric"].iloc[0] == "auroc"
    ordered = rows.assign(_best=[_best(row) for _, row in rows.iterrows()])
    ordered = ordered.sort_values("_best", ascending=not higher, kind="stable").head(MOST_DRAWN)
    drawn = []
    for _, row in ordered.iterrows():
        label = f"{row['encoder']} (baseline)" if row["kind"] == "baseline" else str(row["encoder"])
        values: list[tuple[str, str]] = [(_FROZEN, "frozen")]
        if number(row["finetuned"]):
            values.append((_RELATED if row["finetuned_from"] == "study" else _MEASURED, "finetuned"))
        drawn += [
            {
                "label": label,
                "series": series,
                "value": row[column],
                "low": row[f"{column}_low"],
                "high": row[f"{column}_high"],
            }
            for series, column in values
        ]
    series = [name for name in (_FROZEN, _MEASURED, _RELATED) if name in {one["series"] for one in drawn}]
    axis = _axis(rows)
    better = "more is better" if higher else "less is better"
    first = ordered.iloc[0]
    caption = (
        f"{axis} to expect for molecules not seen, with 95 % intervals ({better}). Frozen: a linear model "
        "on the features, on fingerprints and descriptors a forest where that is better. Fine-tuned: from "
        "linearised fine-tuning on these molecules, or, where it says so, from how fine-tuned errors went "
        "with frozen ones on other datasets."
    )
    description = (
        f"Intervals of the expected {axis} of {len(ordered)} encoders, the best first: {first['encoder']} "
        f"with {_best(first):.3g}."
    )
    numbers = Table(
        f"expected {axis}",
        ["encoder", "model", axis, "95 %"],
        [[d["label"], d["series"], number(d["value"]), interval(d["low"], d["high"])] for d in drawn],
        frozenset(["encoder", "model"]),
    )
    return Chart(f"expected-{place}", caption, description, intervals(drawn, series, axis), numbers)


def _axis(rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    unit = f" ({first['unit']})" if first["metric"] == "rmse" and number(first["unit"]) else ""
    return f"{str(first['metric']).upper()}{unit}"


def _prior_chart(place: int, rows: pd.DataFrame) -> Chart:
    kinds = [kind for kind in KINDS if kind in set(rows["kind"])]
    axis = _axis(rows)
    drawn = []
    for _, row in rows.sort_values("prior", kind="stable").head(MOST_DRAWN).iterrows():
        column = "finetuned" if number(row["finetuned"]) else "frozen"
        drawn.append(
            {
                "label": f"{row['prior']}. {row['encoder']}",
                "series": row["kind"],
                "value": row[column],
                "low": row[f"{column}_low"],
                "high": row[f"{column}_high"],
            }
        )
    caption = (
        f"The same expected {axis}, in the order of the study's other datasets, which is known without any "
        "look at these molecules. Encoders that the study did not have are not drawn."
    )
    numbers = Table(
        f"expected {axis} by prior",
        ["place and encoder", f"expected {axis}", "95 %"],
        [[d["label"], number(d["value"]), interval(d["low"], d["high"])] for d in drawn],
        frozenset(["place and encoder"]),
    )
    description = f"Intervals of the expected {axis} of {len(drawn)} encoders in the order of the study."
    return Chart(f"prior-{place}", caption, description, intervals(drawn, kinds, axis), numbers)
