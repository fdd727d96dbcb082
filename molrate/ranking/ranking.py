"""From features and labels to a ranking: tidy rows, intervals, groups, the best candidate.

Knows neither molecules nor encoders: candidates are matrices with names, from wherever they come.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from molrate.data.targets import Target
from molrate.errors import InputError, UsageError
from molrate.measures.base import (
    MEASURES,
    Measure,
    NotApplicableError,
    Sample,
    StatisticsMeasure,
    as_matrix,
    tabulate_together,
)
from molrate.measures.rowspace import principal_components
from molrate.statistics.intervals import (
    Estimate,
    Table,
    difference,
    estimate,
    separable_groups,
    student_quantile,
)
from molrate.statistics.resampling import FEW_MOLECULES, Design, default_bins

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = [
    "rank",
    "group",
    "dataset",
    "target",
    "task",
    "measure",
    "encoder",
    "kind",
    "layer",
    "layer_rank",
    "pooling",
    "value",
    "null_mean",
    "null_sd",
    "excess",
    "low",
    "high",
    "corrected",
    "corrected_low",
    "corrected_high",
    "z",
    "p_value",
    "relative",
    "behind",
    "behind_low",
    "behind_high",
    "n",
    "dimension",
    "classes",
    "smallest_class",
    "seconds",
    "status",
    "note",
]
FORMS = ("excess", "relative", "z", "value")
"""What candidates can be ordered by."""

Replicates = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """Features that compete.

    Attributes
    ----------
    encoder, layer : str
    features : ndarray, shape (n, d)
    kind : {"pretrained", "control", "features"}
    pooling : str
    seconds : float
        What making them took.
    given : dict of str to ndarray
        Other arrays of :class:`molrate.measures.Sample`.
    """

    encoder: str
    layer: str
    features: npt.NDArray[np.floating[Any]]
    kind: str = "features"
    pooling: str = "none"
    seconds: float = 0.0
    given: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """A target with the rows it is scored on.

    Attributes
    ----------
    target : Target
        On these rows only.
    rows : ndarray of int, shape (n,)
        Rows of the candidates' features.
    design : Design
    """

    target: Target
    rows: npt.NDArray[np.intp]
    design: Design


@dataclass(frozen=True)
class Scored:
    """A candidate's outcome for one measure and target: an estimate, or why there is none."""

    candidate: Candidate
    measure: Measure
    seconds: float
    dimension: int
    ceiling: float = float("inf")
    warning: str = ""
    table: Table | None = None
    error: InputError | None = None

    @property
    def estimate(self) -> Estimate:
        """The table read."""
        assert self.table is not None
        return estimate(self.table, higher_is_better=self.measure.higher_is_better)

    def replicates(self, form: str) -> Replicates:
        """What the candidate is ordered by, on all rows and without each block; higher is better."""
        assert self.table is not None
        found = self.estimate
        if form == "value":
            return self.table[0] if self.measure.higher_is_better else -self.table[0]
        if form == "relative":
            return found.replicates / self.reach
        if form == "z":
            return (
                found.replicates / found.null_sd
                if found.null_sd > 0
                else np.full_like(found.replicates, np.nan)
            )
        return found.replicates

    @property
    def reach(self) -> float:
        """From the null mean to the largest possible value; NaN where there is none."""
        reach = self.ceiling - self.estimate.null_mean
        return reach if np.isfinite(reach) and reach > 0 else float("nan")


@dataclass(frozen=True, repr=False)
class Ranking:
    """Encoders and layers ranked for the targets of a dataset by one or several measures.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per target, measure, encoder and layer, best first within target and measure; columns
        ``COLUMNS``. ``status`` is ``ok``, ``unreliable``, ``inapplicable`` or ``failed``; ``note`` says why.
    notes : list of str
        What was left out, and what to mind in reading the table.
    run : dict
        Versions, digests, arguments and device.
    replicates : dict
        What each (target, measure, encoder, layer) is ordered by, on all rows and without each block.
    consensus : pandas.DataFrame, optional
        Encoders and layers by their mean rank over measures and targets.
    sensitivity : pandas.DataFrame, optional
        How the order changes with settings, if that was asked for.
    """

    frame: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)
    replicates: dict[tuple[str, str, str, str], Replicates] = field(default_factory=dict)
    consensus: pd.DataFrame | None = None
    sensitivity: pd.DataFrame | None = None

    @property
    def best(self) -> pd.Series:
        """The row of the best encoder and layer; over several targets or measures, that of best mean rank.

        Only encoders and layers that were ranked for every target and measure are compared.

        Raises
        ------
        InputError
            If nothing was ranked.
        """
        ranked = self.frame[self.frame["rank"].notna()]
        ranks = ranked.groupby(["encoder", "layer"], sort=False)["rank"]
        votes = len(ranked.groupby(["target", "measure"]))
        everywhere = ranked[ranks.transform("count") == votes]
        if everywhere.empty:
            raise InputError("no encoder was ranked for every target; see the notes and the status column")
        mean_rank = ranks.transform("mean")[everywhere.index]
        return everywhere.iloc[int(mean_rank.to_numpy().argmin())]

    @property
    def complete(self) -> bool:
        """Whether every encoder that was asked for could be scored."""
        return bool((self.frame["status"] != "failed").all())

    @property
    def layers(self) -> pd.DataFrame:
        """Layers within encoders; see :func:`molrate.ranking.layers.layer_table`."""
        from molrate.ranking.layers import layer_table

        return layer_table(self)

    def difference(
        self, target: str, measure: str, one: tuple[str, str], other: tuple[str, str]
    ) -> tuple[float, float, float]:
        """Paired difference of two candidates (encoder, layer), with its 95 % interval.

        Both are taken without the same blocks of molecules, so that what they share cancels.
        """
        first, second = (self.replicates[target, measure, *name] for name in (one, other))
        gap, error = difference(first, second)
        reach = student_quantile(len(first) - 2, 0.95) * error
        return gap, gap - reach, gap + reach

    def _repr_html_(self) -> str:
        from molrate.ranking.report import to_html

        return to_html(self)

    def __repr__(self) -> str:
        from molrate.ranking.report import to_text

        return to_text(self)


def choose_measures(
    names: Sequence[str | Measure], *, scale_by_dimension: bool = False, met: Collection[str] = ()
) -> tuple[list[Measure], list[str]]:
    """Measures by name, and what of ``all`` is left out with the reason.

    Parameters
    ----------
    names : sequence of str or Measure
        ``all`` stands for every registered measure that needs no training and nothing that is not given.
    scale_by_dimension : bool
        Multiply TransRate by sqrt(d / 512).
    met : collection of str
        Needs that are met beside the features.

    Raises
    ------
    UsageError
        If a name is unknown or none is given.
    """
    if not names:
        raise UsageError(f"no measure to rank by (--measure); known: all, {', '.join(MEASURES)}")
    chosen: dict[str, Measure] = {}
    left_out = []
    for name in names:
        if not isinstance(name, str):
            chosen[name.name] = name
        elif name != "all":
            chosen[name] = MEASURES[name]()
        else:
            for each in MEASURES:
                kind = MEASURES[each]
                if kind.needs in ("statistics", "features") or kind.needs in met:
                    chosen.setdefault(each, kind())
                else:
                    left_out.append(f"{each} (needs {kind.needs})")
    if scale_by_dimension:
        if "transrate" not in chosen:
            raise UsageError("--scale-by-dimension is TransRate's factor; add --measure transrate")
        chosen["transrate"] = MEASURES["transrate"](scale_by_dimension=True)
    notes = [f"Measures left out: {', '.join(left_out)}; name them to run them."] if left_out else []
    return list(chosen.values()), notes


def score_candidates(
    candidates: Sequence[Candidate],
    rows: npt.NDArray[np.intp],
    design: Design,
    measures: Sequence[Measure],
    common_dimension: int | None = None,
) -> list[Scored]:
    """Every candidate by every measure on the same rows, blocks and permutations.

    Parameters
    ----------
    candidates : sequence of Candidate
    rows : ndarray of int, shape (n,)
        Rows of the features that have a label.
    design : Design
        Of these rows.
    measures : sequence of Measure
    common_dimension : int, optional
        Replace features by as many leading principal components, in every candidate that has more.

    Returns
    -------
    list of Scored
    """

    def work(candidate: Candidate) -> list[Scored]:
        return _score_candidate(candidate, rows, design, measures, common_dimension)

    n_cores = os.cpu_count() or 1
    if len(candidates) < n_cores:
        outcomes = [work(candidate) for candidate in candidates]
    else:
        # Matrices of a few hundred dimensions gain little from threads inside BLAS, and much from one
        # thread for each candidate.
        import scipy.linalg  # noqa: F401  (its BLAS is limited only if it is loaded by now)

        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_cores) as executor:
            outcomes = list(executor.map(work, candidates))
    scored = [one for outcome in outcomes for one in outcome]
    return [one for measure in measures for one in _pooled(measure, scored)]


def _score_candidate(
    candidate: Candidate,
    rows: npt.NDArray[np.intp],
    design: Design,
    measures: Sequence[Measure],
    common_dimension: int | None,
) -> list[Scored]:
    started = time.perf_counter()
    try:
        features = as_matrix(np.asarray(candidate.features[rows], dtype=np.float64))
        if common_dimension is not None and features.shape[1] > common_dimension:
            features = principal_components(features, common_dimension)
        sample = Sample(features, design, **_given_rows(candidate.given, rows))
    except InputError as error:
        width = candidate.features.shape[1]
        return [Scored(candidate, measure, candidate.seconds, width, error=error) for measure in measures]
    tables = _tables(sample, measures)
    seconds = candidate.seconds + time.perf_counter() - started
    return [
        _outcome(candidate, measure, sample, table, seconds)
        for measure, table in zip(measures, tables, strict=True)
    ]


def _given_rows(given: Mapping[str, npt.NDArray[Any]], rows: npt.NDArray[np.intp]) -> dict[str, Any]:
    """Arrays beside the features, those that run parallel to them on the labelled rows."""
    return {name: array if name == "source_features" else array[rows] for name, array in given.items()}


def _tables(sample: Sample, measures: Sequence[Measure]) -> list[Table | InputError]:
    """A table for each measure; one-pass measures of raw features share their decompositions."""
    shared = [
        measure
        for measure in measures
        if isinstance(measure, StatisticsMeasure)
        and not measure.unit_rows
        and type(measure).tabulate is StatisticsMeasure.tabulate
        and sample.design.task in measure.tasks
    ]
    found: dict[str, Table | InputError] = {}
    if shared:
        class_moments = any(measure.class_moments for measure in shared)
        labellings = sample.class_statistics if class_moments else sample.raw_statistics
        names = [measure.name for measure in shared]
        found = dict(zip(names, tabulate_together(shared, labellings), strict=True))
    return [found[m.name] if m.name in found else _table(m, sample) for m in measures]


def _table(measure: Measure, sample: Sample) -> Table | InputError:
    if sample.design.task not in measure.tasks:
        return NotApplicableError(f"{measure.name} is for {' and '.join(measure.tasks)} only")
    try:
        return measure.replicates(sample)
    except InputError as error:
        return error


def _outcome(
    candidate: Candidate, measure: Measure, sample: Sample, table: Table | InputError, seconds: float
) -> Scored:
    dimension = sample.features.shape[1]
    if isinstance(table, InputError):
        return Scored(candidate, measure, seconds, dimension, error=table)
    warnings = [measure.warning(sample), label_warning(measure, sample.design)]
    warning = "; ".join(text for text in warnings if text)
    return Scored(candidate, measure, seconds, dimension, measure.upper(sample), warning, table)


def label_warning(measure: Measure, design: Design) -> str:
    """Why labels make a measure unreliable for any features; empty if they do not."""
    smallest = int(np.bincount(design.codes).min())
    if design.task == "classification" and smallest < FEW_MOLECULES:
        return f"the smallest class has {smallest} molecules"
    wanted = default_bins(len(design.codes))
    if design.task == "regression" and measure.uses == "bins" and design.n_classes < wanted:
        return f"equal values left {design.n_classes} of {wanted} ranges"
    return ""


def _pooled(measure: Measure, scored: Sequence[Scored]) -> list[Scored]:
    """Outcomes of one measure, after it has seen those of all candidates."""
    ours = [one for one in scored if one.measure is measure]
    tables = [one.table for one in ours if one.table is not None]
    if not tables:
        return ours
    try:
        pooled = iter(measure.pool(tables))
    except InputError as error:
        return [replace(one, table=None, error=one.error or error) for one in ours]
    return [one if one.table is None else replace(one, table=next(pooled)) for one in ours]


def rank_trials(
    candidates: Sequence[Candidate],
    trials: Sequence[Trial],
    measures: Sequence[Measure],
    rank_by: str = "excess",
    common_dimension: int | None = None,
) -> tuple[list[dict[str, Any]], dict[tuple[str, str, str, str], Replicates]]:
    """Tidy rows of all targets, with what they are ordered by; see :func:`ranking_rows`."""
    rows: list[dict[str, Any]] = []
    replicates: dict[tuple[str, str, str, str], Replicates] = {}
    for trial in trials:
        scored = score_candidates(candidates, trial.rows, trial.design, measures, common_dimension)
        more_rows, more_replicates = ranking_rows(trial.target.name, trial.design, scored, rank_by)
        rows += more_rows
        replicates |= more_replicates
    return rows, replicates


def ranking_rows(
    target: str, design: Design, scored: Sequence[Scored], rank_by: str = "excess"
) -> tuple[list[dict[str, Any]], dict[tuple[str, str, str, str], Replicates]]:
    """Tidy rows of one target, ranked and grouped within each measure, with what they are ordered by.

    Parameters
    ----------
    target : str
    design : Design
    scored : sequence of Scored
    rank_by : {"excess", "relative", "z", "value"}

    Raises
    ------
    UsageError
        If the form is unknown, or no measure has it.
    """
    if rank_by not in FORMS:
        raise UsageError(f"unknown form {rank_by!r} (--rank-by); known: {', '.join(FORMS)}")
    rows: list[dict[str, Any]] = []
    replicates: dict[tuple[str, str, str, str], Replicates] = {}
    for measure in dict.fromkeys(one.measure.name for one in scored):
        ours = [one for one in scored if one.measure.name == measure]
        ordered = {id(one): one.replicates(rank_by) for one in ours if one.table is not None}
        usable = [one for one in ours if id(one) in ordered and np.isfinite(ordered[id(one)]).all()]
        places = _places([ordered[id(one)] for one in usable])
        place_of = {id(one): place for one, place in zip(usable, places, strict=True)}
        for one in ours:
            row = _row(target, design, one, rank_by) | place_of.get(id(one), {})
            rows.append(row)
            if id(one) in place_of:
                key = (target, measure, one.candidate.encoder, one.candidate.layer)
                replicates[key] = ordered[id(one)]
    return rows, replicates


def _places(replicates: Sequence[Replicates]) -> list[dict[str, Any]]:
    """Rank, group and distance from the best, of each candidate."""
    if not replicates:
        return []
    values = np.array([one[0] for one in replicates])
    groups = separable_groups(replicates)
    leader = replicates[int(values.argmax())]
    places = []
    for one, value, group in zip(replicates, values, groups, strict=True):
        gap, error = difference(leader, one)
        reach = student_quantile(len(one) - 2, 0.95) * error
        places.append(
            {
                "rank": int((values > value).sum()) + 1,
                "group": group,
                "behind": gap,
                "behind_low": gap - reach,
                "behind_high": gap + reach,
            }
        )
    return places


def _row(target: str, design: Design, scored: Scored, rank_by: str) -> dict[str, Any]:
    candidate, sizes = scored.candidate, np.bincount(design.codes)
    row = blank_row(target, design.task) | {
        "measure": scored.measure.name,
        "encoder": candidate.encoder,
        "kind": candidate.kind,
        "layer": candidate.layer,
        "pooling": candidate.pooling,
        "n": len(design.codes),
        "dimension": scored.dimension,
        "classes": len(sizes),
        "smallest_class": int(sizes.min()),
        "seconds": scored.seconds,
    }
    if scored.table is None:
        inapplicable = isinstance(scored.error, NotApplicableError)
        return row | {"status": "inapplicable" if inapplicable else "failed", "note": str(scored.error)}
    found = scored.estimate
    low, high = found.interval()
    corrected_low, corrected_high = found.interval(corrected=True)
    row |= {
        "value": found.value,
        "null_mean": found.null_mean,
        "null_sd": found.null_sd,
        "excess": found.excess,
        "low": low,
        "high": high,
        "corrected": found.corrected,
        "corrected_low": corrected_low,
        "corrected_high": corrected_high,
        "z": found.z,
        "p_value": found.p_value,
        "relative": found.excess / scored.reach,
        "status": "unreliable" if scored.warning else "ok",
        "note": scored.warning,
    }
    if not np.isfinite(scored.replicates(rank_by)).all():
        row["note"] = f"not ranked: {scored.measure.name} has no {rank_by} form here. {row['note']}".strip()
    return row


def blank_row(target: str, task: str) -> dict[str, Any]:
    """A row with nothing but its target."""
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    return row | {"target": target, "task": task, "encoder": "", "layer": "", "pooling": "none", "kind": ""}


def failed_row(target: Target, measure: Measure, encoder: str, error: Exception) -> dict[str, Any]:
    """Row of an encoder that failed, or (without a name) of a target that cannot be ranked by."""
    row = blank_row(target.name, target.task)
    return row | {"measure": measure.name, "encoder": encoder, "status": "failed", "note": str(error)}


def ranking_frame(dataset: str, rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a frame of fixed types, best first within target and measure."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["dataset"] = dataset
    whole = ["rank", "group", "layer_rank", "n", "dimension", "classes", "smallest_class"]
    text = ["dataset", "target", "task", "measure", "encoder", "kind", "layer", "pooling", "status", "note"]
    for column in COLUMNS:
        if column in whole:
            frame[column] = frame[column].astype("Int64")
        elif column not in text:
            frame[column] = frame[column].astype(float)
    within = frame[frame["rank"].notna()].groupby(["target", "measure", "encoder"], sort=False)["rank"]
    frame["layer_rank"] = within.rank(method="min").astype("Int64")
    keys = []
    for column in ("target", "measure"):
        order = {name: position for position, name in enumerate(frame[column].unique())}
        frame[f"_{column}"] = frame[column].map(order)
        keys.append(f"_{column}")
    frame = frame.sort_values([*keys, "rank"], kind="stable", na_position="last")
    return frame.drop(columns=keys).reset_index(drop=True)
