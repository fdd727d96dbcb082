"""What measures say of a sample, computed or read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from molrate.errors import InputError
from molrate.files.kept import Content, find_kept, write_kept
from molrate.measures.base import (
    Measure,
    NotApplicableError,
    StatisticsMeasure,
    singular,
    tabulate_together,
)
from molrate.measures.sample import Sample
from molrate.ranking.memory import Memory, settings_of
from molrate.statistics.intervals import Spread, Table
from molrate.statistics.resampling import FEW_MOLECULES, Resampling, default_bins


class Outcome(NamedTuple):
    """What a measure says of a sample.

    Attributes
    ----------
    ceiling : float
        Its largest possible value; infinite where there is none.
    rmse : float
        Error to expect, in the target's unit; NaN where the measure predicts none.
    warning : str
        Why it is unreliable; empty if it is not.
    table : ndarray, shape (1 + P, 1 + B)
        Values for the true labels and each permutation, on all rows and without each block.
    spread : ndarray, shape (E,)
        Values under further permutations.
    """

    ceiling: float
    rmse: float
    warning: str
    table: Table
    spread: Spread


def judge_sample(
    sample: Sample, measures: Sequence[Measure], memory: Memory | None = None
) -> list[Outcome | InputError]:
    """An outcome of each measure, or why there is none.

    Parameters
    ----------
    sample : Sample
    measures : sequence of Measure
    memory : Memory, optional
        Outcomes are kept there where every measure is molrate's own and has one.
    """
    settings = None if memory is None else settings_of(measures)
    if memory is None or settings is None:
        return _computed(sample, measures)
    path = memory.path("measures", sample, settings)
    kept = find_kept(path, _read)
    if kept is not None:
        return list(kept)
    outcomes = _computed(sample, measures)
    whole = [outcome for outcome in outcomes if isinstance(outcome, Outcome)]
    if len(whole) == len(measures):
        write_kept(path, *_written(whole))
    return outcomes


def _written(outcomes: Sequence[Outcome]) -> Content:
    arrays = {}
    for place, outcome in enumerate(outcomes):
        arrays[f"{place}.table"], arrays[f"{place}.spread"] = outcome.table, outcome.spread
        arrays[f"{place}.limits"] = np.array([outcome.ceiling, outcome.rmse])
    return arrays, {"warnings": json.dumps([outcome.warning for outcome in outcomes])}


def _read(content: Content) -> list[Outcome]:
    arrays, texts = content
    outcomes = []
    for place, warning in enumerate(json.loads(texts["warnings"])):
        ceiling, rmse = arrays[f"{place}.limits"].tolist()
        outcomes.append(Outcome(ceiling, rmse, warning, arrays[f"{place}.table"], arrays[f"{place}.spread"]))
    return outcomes


def _computed(sample: Sample, measures: Sequence[Measure]) -> list[Outcome | InputError]:
    tables = _tables(sample, measures)
    return [
        table if isinstance(table, InputError) else _outcome(measure, sample, table)
        for measure, table in zip(measures, tables, strict=True)
    ]


def _outcome(measure: Measure, sample: Sample, table: Table) -> Outcome:
    warnings = [measure.warning(sample), label_warning(measure, sample.resampling)]
    return Outcome(
        measure.maximum(sample),
        measure.error(sample),
        "; ".join(text for text in warnings if text),
        table,
        measure.spread(sample),
    )


def _tables(sample: Sample, measures: Sequence[Measure]) -> list[Table | InputError]:
    """A table for each measure; one-pass measures of raw features share their decompositions."""
    shared = [
        measure
        for measure in measures
        if isinstance(measure, StatisticsMeasure)
        and not measure.unit_rows
        and type(measure).tabulate is StatisticsMeasure.tabulate
        and sample.resampling.task in measure.tasks
    ]
    found: dict[str, Table | InputError] = {}
    if shared:
        class_moments = any(measure.class_moments for measure in shared)
        labellings = sample.class_statistics if class_moments else sample.raw_statistics
        names = [measure.name for measure in shared]
        found = dict(zip(names, tabulate_together(shared, labellings), strict=True))
    return [found[m.name] if m.name in found else _table(m, sample) for m in measures]


def _table(measure: Measure, sample: Sample) -> Table | InputError:
    if sample.resampling.task not in measure.tasks:
        return NotApplicableError(f"{measure.name} is for {' and '.join(measure.tasks)} only")
    try:
        return measure.replicates(sample)
    except InputError as error:
        return error
    except np.linalg.LinAlgError as error:
        return singular(measure, error)


def label_warning(measure: Measure, resampling: Resampling) -> str:
    """Why labels make a measure unreliable for any features; empty if they do not."""
    smallest = int(np.bincount(resampling.codes).min())
    if resampling.task == "classification" and smallest < FEW_MOLECULES:
        return f"the smallest class has {smallest} molecules"
    wanted = default_bins(len(resampling.codes))
    if resampling.task == "regression" and measure.reads == "bins" and resampling.n_classes < wanted:
        return f"equal values left {resampling.n_classes} of {wanted} ranges"
    return ""
