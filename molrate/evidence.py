"""How well each measure predicted real fine-tuning, in the study that ships with molrate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from molrate.resources import EVIDENCE, shipped

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 3


def predictor_name(measure: str, form: str) -> str:
    """Name in the study's tables of what candidates are ordered by: a measure in one of its forms."""
    return measure if form == "excess" else f"{measure} ({form})"


@cache
def agreement_table() -> pd.DataFrame:
    """The study's table, as ``molrate evaluate -o`` wrote it: predictors by datasets and their mean."""
    import pandas as pd

    return pd.read_csv(shipped(EVIDENCE) / "table.csv")


def evidence_notes(measures: Sequence[str], rank_by: str) -> list[str]:
    """Say of every measure how well the order it gives agreed with fine-tuning.

    Parameters
    ----------
    measures : sequence of str
    rank_by : str
        Form of the scores that the order is by.
    """
    table = agreement_table()
    if len(measures) > _NAMED:
        return [_best_of(table, measures, rank_by)]
    return [_sentence(table, measure, rank_by) for measure in measures]


def _sentence(table: pd.DataFrame, measure: str, rank_by: str) -> str:
    rows = table[table["predictor"] == predictor_name(measure, rank_by)]
    if rows.empty:
        return f"No fine-tuning was compared with {measure} by {rank_by}; how far to trust it is not known."
    mean = rows[rows["dataset"] == "mean"].iloc[0]
    single = rows[rows["dataset"] != "mean"]
    by_dataset = ", ".join(f"{row['dataset']} {row['weighted tau']:.2f}" for row in single.to_dict("records"))
    return (
        f"How far to trust it: {measure} by {rank_by} ordered the {int(mean['encoders'])} networks of our "
        f"study as fine-tuning did with a weighted tau of {mean['weighted tau']:.2f} (95 % {mean['low']:.2f} "
        f"to {mean['high']:.2f}; 1 is the same order, 0 chance): {by_dataset}. The network it put first lost "
        f"{mean['regret']:.0%} to the best on average (docs/evidence.md)."
    )


def _best_of(table: pd.DataFrame, measures: Sequence[str], rank_by: str) -> str:
    means = table[table["dataset"] == "mean"].set_index("predictor")["weighted tau"]
    known = means.rename({predictor_name(name, rank_by): name for name in measures})
    known = known[known.index.isin(measures)]
    if known.empty:
        return f"No fine-tuning was compared with these measures by {rank_by}."
    best = known.sort_values(ascending=False).head(_NAMED)
    named = ", ".join(f"{name} {tau:.2f}" for name, tau in best.items())
    return (
        f"How far to trust them: of these, {named} agreed best with fine-tuning in our study (weighted tau; "
        f"the least {known.min():.2f}; docs/evidence.md)."
    )
