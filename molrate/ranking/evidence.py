"""How well each measure predicted real fine-tuning, in the study that ships with molrate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from molrate.data.targets import MAIN_METRIC
from molrate.ranking.candidates import AUTO
from molrate.ranking.forecasts import forecasts_off
from molrate.ranking.study import read_evidence

if TYPE_CHECKING:
    import pandas as pd

_NAMED = 3
_STUDIED = {
    "layer": ("last", "--layer"),
    "pooling": ("mean", "--pooling"),
    "standardisation": ("largest-fragment", "--standardisation"),
    "duplicates": ("keep", "--duplicates"),
    "scale_by_dimension": (False, "--scale-by-dimension"),
    "common_dimension": (AUTO, "--common-dimension"),
}
"""Settings of the study of measures against fine-tuning, and their options."""
_OF_FEATURES = "not known: our study is of encoders of molecules, and not of features that were given."
_NO_STUDY = "not known: the files of molrate's study are not here."


def untried(arguments: Mapping[str, Any]) -> list[str]:
    """Options of a ranking, by its arguments, that the study did not try."""
    return [option for name, (studied, option) in _STUDIED.items() if arguments.get(name, studied) != studied]


def predictor_name(measure: str, form: str) -> str:
    """Name in the study's tables of what candidates are ordered by: a measure in one of its forms."""
    return measure if form == "excess" else f"{measure} ({form})"


@cache
def agreement_table() -> pd.DataFrame | None:
    """The study's table, as ``molrate evaluate -o`` wrote it: predictors by datasets and their mean.

    Returns
    -------
    pandas.DataFrame or None
        None where the study's files are not here.
    """
    return read_evidence("table.csv")


def _percent(share: float) -> str:
    """So that what is little is not rounded to nothing."""
    if 0 < share < 0.001:
        return "less than 0.1%"
    return f"{share:.1%}" if 0 < share < 0.01 else f"{share:.0%}"


def _forecasts_off(metrics: Sequence[str]) -> str:
    """How far forecasts were off, in a sentence."""
    off = forecasts_off()
    named = [f"{off[metric]:.0%} in {metric.upper()}" for metric in metrics if metric in off]
    return f" Forecasts of fine-tuning were off by {' and '.join(named)}." if named else ""


def how_sure(
    measure: str,
    rank_by: str,
    arguments: Mapping[str, Any] = MappingProxyType({}),
    metrics: Sequence[str] = tuple(MAIN_METRIC.values()),
) -> str:
    """What was lost in the study by following a measure's order, in a sentence, with the study's limits.

    Parameters
    ----------
    measure : str
    rank_by : str
        Form of the scores that the order is by.
    arguments : mapping
        Of the ranking.
    metrics : sequence of str
        Of its forecasts.
    """
    if "features" in arguments:
        return _OF_FEATURES
    table = agreement_table()
    if table is None:
        return _NO_STUDY
    rows = table[table["predictor"] == predictor_name(measure, rank_by)]
    if rows.empty:
        return f"not known: an order by {measure} ({rank_by}) was not compared with fine-tuning in our study."
    mean = rows[rows["dataset"] == "mean"].iloc[0]
    return (
        f"in our study of {len(rows) - 1} datasets and up to {int(rows['encoders'].max())} networks, the "
        f"first network of such an order was {_percent(mean['regret'])} worse than the best; training the "
        f"first three and keeping what validates best was {_percent(mean['regret of kept of 3'])} worse."
        f"{_forecasts_off(metrics)}"
        f"{_not_said(untried(arguments))}"
    )


def _not_said(other: Sequence[str]) -> str:
    """How far the study goes, where a ranking has settings that it did not try."""
    if not other:
        return ""
    return (
        " The study ranked last layers, mean-pooled, as they are; how far the order holds with "
        f"{', '.join(other)} it does not say."
    )


def evidence_notes(measures: Sequence[str], rank_by: str, other: Sequence[str] = ()) -> list[str]:
    """Say of every measure how well the order it gives agreed with fine-tuning.

    Parameters
    ----------
    measures : sequence of str
    rank_by : str
        Form of the scores that the order is by.
    other : sequence of str
        Settings of the ranking that the study did not try.
    """
    table = agreement_table()
    if table is None:
        return [f"How far to trust it: {_NO_STUDY}"]
    sentences = (
        [_best_of(table, measures, rank_by)]
        if len(measures) > _NAMED
        else [_sentence(table, measure, rank_by) for measure in measures]
    )
    if other:
        sentences.append(_not_said(other).strip())
    return sentences


def _sentence(table: pd.DataFrame, measure: str, rank_by: str) -> str:
    rows = table[table["predictor"] == predictor_name(measure, rank_by)]
    if rows.empty:
        return (
            f"{measure} by {rank_by} was not compared with fine-tuning on every dataset of our study; how "
            "far to trust it is not known."
        )
    mean = rows[rows["dataset"] == "mean"].iloc[0]
    single = rows[rows["dataset"] != "mean"].to_dict("records")
    by_dataset = ", ".join(f"{row['dataset']} {row['weighted tau']:.2f}" for row in single)
    return (
        f"How far to trust it: {measure} by {rank_by} ordered up to {int(rows['encoders'].max())} "
        f"networks of our study as fine-tuning did with a weighted tau of {mean['weighted tau']:.2f} "
        f"(95 % {mean['low']:.2f} to {mean['high']:.2f}; 1 is the same order, 0 chance): {by_dataset}. "
        f"The first of its order lost "
        f"{_percent(mean['regret'])} to the best, the one of its first three that validated "
        f"best {_percent(mean['regret of kept of 3'])} "
        "(docs/evidence.md)."
    )


def _best_of(table: pd.DataFrame, measures: Sequence[str], rank_by: str) -> str:
    means = table[table["dataset"] == "mean"].set_index("predictor")["weighted tau"]
    known = (
        means.reindex([predictor_name(name, rank_by) for name in measures]).set_axis(list(measures)).dropna()
    )
    if known.empty:
        return f"None of these measures by {rank_by} was compared with fine-tuning."
    best = known.sort_values(ascending=False).head(_NAMED)
    named = ", ".join(f"{name} {tau:.2f}" for name, tau in best.items())
    return (
        f"How far to trust them: of these by {rank_by}, {named} agreed best with fine-tuning in our study "
        f"(weighted tau; the least {known.min():.2f}; docs/evidence.md)."
    )
