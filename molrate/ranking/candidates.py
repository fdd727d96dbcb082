"""Candidates by measures: every candidate scored on the same rows, blocks and permutations."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from molrate.data.targets import Target
from molrate.errors import InputError, UsageError
from molrate.measures.base import MEASURES, Measure, NotApplicableError
from molrate.measures.rowspace import leading_components
from molrate.measures.sample import Sample, as_matrix
from molrate.ranking.memory import Memory
from molrate.ranking.outcomes import Outcome, judge_sample
from molrate.statistics.intervals import Estimate, Replicates, Spread, Table, estimate
from molrate.statistics.moments import Matrix
from molrate.statistics.resampling import Resampling
from molrate.statistics.threads import map_in_threads

AUTO = "auto"
COMPONENTS = 32
"""Common dimension where there is room."""
_FEWEST_COMPONENTS = 4
"""Directions that a candidate has to vary in to be compared beside others that vary in twice as many."""

CommonDimension = int | str | None


@dataclass(frozen=True)
class Candidate:
    """Features that compete.

    Attributes
    ----------
    encoder, layer : str
    features : ndarray, shape (n, d)
    kind : {"pretrained", "baseline", "control", "features"}
    pooling : str
    seconds : float
        What making them took.
    given : dict of str to ndarray
        Other arrays of :class:`molrate.measures.Sample`.
    trainable : bool
        Whether fine-tuning can change what makes them.
    """

    encoder: str
    layer: str
    features: npt.NDArray[np.floating[Any]]
    kind: str = "features"
    pooling: str = "none"
    seconds: float = 0.0
    given: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    trainable: bool = False

    @property
    def is_estimated(self) -> bool:
        """Whether ``molrate finetune`` fits estimators to it, as nothing that makes it can be trained."""
        return not self.trainable and self.kind != "features"


class Gradients(NamedTuple):
    """Sketches of the gradients of one candidate for one target, shape (n, k), and the seconds they took."""

    sketches: npt.NDArray[np.floating[Any]]
    seconds: float


AllGradients = Mapping[tuple[str, str], Gradients]
"""Of the candidates that can be fine-tuned, by encoder and layer."""


def _no_gradients(**_: bool) -> AllGradients:
    """Of features alone there are none."""
    return {}


@dataclass(frozen=True)
class ScoredTarget:
    """A target with the rows it is scored on.

    Attributes
    ----------
    target : Target
        On these rows only.
    rows : ndarray of int, shape (n,)
        Rows of the candidates' features.
    resampling : Resampling
    make_gradients : callable
        Computes what measures of fine-tuning read, without that of controls if called with
        ``controls=False``.
    """

    target: Target
    rows: npt.NDArray[np.intp]
    resampling: Resampling
    make_gradients: Callable[..., AllGradients] = _no_gradients


@dataclass(frozen=True)
class Scored:
    """A candidate's outcome for one measure and target: an estimate, or why there is none."""

    candidate: Candidate
    measure: Measure
    seconds: float
    dimension: int
    ceiling: float = float("inf")
    rmse: float = float("nan")
    warning: str = ""
    table: Table | None = None
    spread: Spread = field(default_factory=lambda: np.empty(0))
    error: InputError | None = None

    @property
    def estimate(self) -> Estimate:
        """The table read."""
        assert self.table is not None
        return estimate(self.table, self.spread, higher_is_better=self.measure.higher_is_better)

    def replicates(self, form: str) -> Replicates:
        """What the candidate is ordered by; higher is better."""
        estimated = self.estimate
        if form == "value":
            return estimated.replicates.without_null()
        if form == "relative":
            return estimated.replicates / self.reach
        if form == "z":
            return estimated.replicates / (estimated.null_sd if estimated.null_sd > 0 else float("nan"))
        return estimated.replicates

    def interval(self, *, corrected: bool = False) -> tuple[float, float]:
        """Of the excess, see :meth:`Estimate.interval`, which ends where the measure does."""
        low, high = self.estimate.interval(corrected=corrected)
        limit = self.reach if np.isfinite(self.reach) else np.inf
        return min(low, limit), min(high, limit)

    @property
    def reach(self) -> float:
        """From the null mean to the largest possible value; NaN where there is none."""
        reach = self.ceiling - self.estimate.null_mean
        return reach if np.isfinite(reach) and reach > 0 else float("nan")


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
                if kind.inputs in ("statistics", "features") or kind.inputs in met:
                    chosen.setdefault(each, kind())
                else:
                    left_out.append(f"{each} (needs {kind.inputs})")
    if scale_by_dimension:
        if "transrate" not in chosen:
            raise UsageError("--scale-by-dimension is TransRate's factor; add --measure transrate")
        chosen["transrate"] = MEASURES["transrate"](scale_by_dimension=True)
    notes = [f"Measures left out: {', '.join(left_out)}; name them to run them."] if left_out else []
    return list(chosen.values()), notes


def score_candidates(
    candidates: Sequence[Candidate],
    rows: npt.NDArray[np.intp],
    resampling: Resampling,
    measures: Sequence[Measure],
    common_dimension: CommonDimension = AUTO,
    gradients: AllGradients = MappingProxyType({}),
    memory: Memory | None = None,
) -> list[Scored]:
    """Every candidate by every measure on the same rows, blocks and permutations.

    Parameters
    ----------
    candidates : sequence of Candidate
    rows : ndarray of int, shape (n,)
        Rows of the features that have a label.
    resampling : Resampling
        Of these rows.
    measures : sequence of Measure
    common_dimension : int, "auto" or None
        In place of features take as many leading components of the standardised features. ``auto`` does so
        for measures that cannot compare unequal dimensions, with a number that all candidates have and that
        leaves two molecules or more of every class for each dimension.
    gradients : mapping of (str, str) to Gradients
        Of these rows.
    memory : Memory, optional
        Where outcomes are kept, and read in place of computing them.

    Returns
    -------
    list of Scored
    """
    reduced = [measure for measure in measures if _is_reduced(measure, common_dimension)]
    whole = [measure for measure in measures if not _is_reduced(measure, common_dimension)]
    limit = _room(resampling) if isinstance(common_dimension, str) else common_dimension

    def reduce(candidate: Candidate) -> _Features:
        return _features(candidate, rows, limit)

    def score_whole(candidate: Candidate) -> list[Scored]:
        features = _features(candidate, rows)
        return _score_candidate(candidate, features, rows, resampling, whole, gradients, memory)

    def score_reduced(pair: tuple[Candidate, _Features]) -> list[Scored]:
        return _score_candidate(*pair, rows, resampling, reduced, gradients, memory)

    outcomes: list[list[Scored]] = []
    if reduced:
        components = map_in_threads(reduce, candidates)
        if common_dimension == AUTO:
            components = _equal_dimension(components)
        outcomes += map_in_threads(score_reduced, list(zip(candidates, components, strict=True)))
    if whole:
        outcomes += map_in_threads(score_whole, candidates)
    scored = [one for outcome in outcomes for one in outcome]
    return [one for measure in measures for one in _pooled(measure, scored)]


def check_common_dimension(value: int | str | None) -> CommonDimension:
    """``auto``, a positive number, or None, for which ``none`` stands too.

    Raises
    ------
    UsageError
        If it is none of them.
    """
    if value is None or value == "none":
        return None
    if value == AUTO or (isinstance(value, int) and value > 0):
        return value
    raise UsageError(f"--common-dimension is {AUTO}, none or a positive number, not {value!r}")


def _is_reduced(measure: Measure, common_dimension: CommonDimension) -> bool:
    return measure.reads_components if common_dimension == AUTO else common_dimension is not None


def _room(resampling: Resampling) -> int:
    """Components for which every class has two molecules or more each."""
    return max(1, min(COMPONENTS, int(np.bincount(resampling.codes).min()) // 2))


@dataclass(frozen=True)
class _Features:
    """Features of the labelled rows, or why there are none, and the time that making them took."""

    rows: Matrix | InputError
    seconds: float


def _features(candidate: Candidate, rows: npt.NDArray[np.intp], components: int | None = None) -> _Features:
    """All features, or some components of them."""
    started = time.perf_counter()
    found: Matrix | InputError
    try:
        found = as_matrix(np.asarray(candidate.features[rows], dtype=np.float64))
        if (found == found[:1]).all():
            raise InputError("features are the same for all molecules")
        if components is not None:
            # Features that vary in fewer directions than they have columns have nothing in the others.
            width = min(components, found.shape[1])
            found = leading_components(found, width)
            found = np.pad(found, ((0, 0), (0, width - found.shape[1])))
    except InputError as error:
        found = error
    return _Features(found, time.perf_counter() - started)


def _equal_dimension(features: Sequence[_Features]) -> list[_Features]:
    """As many leading components of every candidate as all of them have, without those that have too few."""
    ranks = [_rank(one) for one in features]
    # One of few components would take from the others what they are told apart by.
    least = max(2, min(_FEWEST_COMPONENTS, max(ranks, default=0) // 2))
    checked = [
        _too_narrow(one, rank, least) if 0 < rank < least else one
        for one, rank in zip(features, ranks, strict=True)
    ]
    widths = [one.rows.shape[1] for one in checked if not isinstance(one.rows, InputError)]
    return [
        one if isinstance(one.rows, InputError) else replace(one, rows=one.rows[:, : min(widths)])
        for one in checked
    ]


def _rank(features: _Features) -> int:
    """Directions that components vary in; 0 of none."""
    return 0 if isinstance(features.rows, InputError) else int((features.rows != 0).any(axis=0).sum())


def _too_narrow(features: _Features, rank: int, least: int) -> _Features:
    """Unit rows of one dimension are 1 and -1, of which nothing is learned."""
    error = NotApplicableError(
        f"varies in {rank} direction{'s' * (rank > 1)}, and {least} or more are compared (--common-dimension)"
    )
    return replace(features, rows=error)


def _score_candidate(
    candidate: Candidate,
    features: _Features,
    rows: npt.NDArray[np.intp],
    resampling: Resampling,
    measures: Sequence[Measure],
    gradients: AllGradients,
    memory: Memory | None,
) -> list[Scored]:
    started = time.perf_counter() - features.seconds
    if isinstance(features.rows, InputError):
        width, error = candidate.features.shape[1], features.rows
        return [Scored(candidate, measure, candidate.seconds, width, error=error) for measure in measures]
    found = gradients.get((candidate.encoder, candidate.layer))
    given = _given_rows(candidate.given, rows)
    sample = Sample(features.rows, resampling, **given, gradients=None if found is None else found.sketches)
    outcomes = judge_sample(sample, measures, memory)
    seconds = candidate.seconds + time.perf_counter() - started
    more = 0.0 if found is None else found.seconds
    return [
        _scored(candidate, measure, sample, outcome, seconds + more * measure.reads_gradients)
        for measure, outcome in zip(measures, outcomes, strict=True)
    ]


def _scored(
    candidate: Candidate, measure: Measure, sample: Sample, outcome: Outcome | InputError, seconds: float
) -> Scored:
    dimension = sample.features.shape[1]
    if isinstance(outcome, InputError):
        return Scored(candidate, measure, seconds, dimension, error=outcome)
    return Scored(candidate, measure, seconds, dimension, **outcome._asdict())


def full_sample(
    candidate: Candidate, scored: ScoredTarget, gradients: AllGradients = MappingProxyType({})
) -> Sample:
    """All features of a candidate on the rows of a target, with its gradients if there are any.

    Raises
    ------
    InputError
        If the features are no finite matrix.
    """
    rows = as_matrix(np.asarray(candidate.features[scored.rows], dtype=np.float64))
    found = gradients.get((candidate.encoder, candidate.layer))
    given = _given_rows(candidate.given, scored.rows)
    return Sample(rows, scored.resampling, **given, gradients=None if found is None else found.sketches)


def _given_rows(given: Mapping[str, npt.NDArray[Any]], rows: npt.NDArray[np.intp]) -> dict[str, Any]:
    """Arrays beside the features, those that run parallel to them on the labelled rows."""
    return {name: array if name == "source_features" else array[rows] for name, array in given.items()}


def _pooled(measure: Measure, scored: Sequence[Scored]) -> list[Scored]:
    """Outcomes of one measure, after it has seen those of all candidates."""
    ours = [one for one in scored if one.measure is measure]
    tables = [one.table for one in ours if one.table is not None]
    if not tables:
        return ours
    try:
        pooled = iter(measure.normalise_across(tables))
    except InputError as error:
        return [replace(one, table=None, error=one.error or error) for one in ours]
    return [one if one.table is None else replace(one, table=next(pooled)) for one in ours]
