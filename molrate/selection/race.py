"""A race by folds: one fold each, more for the survivors, and candidates dropped on paired differences.

The state of a race is a function of the results that are there, so that processes that share a folder agree
on it, and a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import norm

from molrate.data.splits import Split
from molrate.errors import InputError
from molrate.finetuning.comparison import draw_molecules
from molrate.finetuning.data import TrainingData
from molrate.models.metrics import HIGHER_IS_BETTER, main_value
from molrate.selection.candidates import ESTIMATED, FINE_TUNED, FROZEN, LAST, Candidate
from molrate.selection.jobs import Floats, Job, Result

LEVEL = 0.95
_RESAMPLES = 200
_SIMPLEST_FIRST = (ESTIMATED, FROZEN, FINE_TUNED)

Lookup = Callable[[Job], Result | None]
"""The result of a job, or None if it was not done."""

Expected = Callable[[Candidate], float]
"""What the score expects of a candidate, in the metric's unit; NaN where it says nothing."""


def _nothing(_: Candidate) -> float:
    return math.nan


@dataclass(frozen=True)
class Difference:
    """How much worse one candidate is than another, on the folds that both have.

    Attributes
    ----------
    mean, low, high : float
        In the metric's unit; positive is worse, whichever way the metric goes. NaN without a common fold.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Drop:
    """Why a candidate was dropped.

    Attributes
    ----------
    n_folds : int
        After how many folds.
    behind : Candidate
        The best of that round, which it was told apart from.
    """

    n_folds: int
    behind: Candidate


@dataclass(frozen=True)
class Standing:
    """Where a race is.

    Attributes
    ----------
    n_rounds : int
        Folds that every candidate still in the race has.
    ranked : tuple of Candidate
        All that have a result and did not fail, best first, on all the folds they have.
    n_others : int
        How many models the best is compared with.
    alive : tuple of Candidate
        Those still in the race, with any that have no result yet.
    dropped : dict of Candidate to Drop
        Those that were told apart from the best of a round.
    failed : dict of Candidate to str
        Why each failed.
    pending : tuple of Job
        What is to be done next, in order; empty when the race is decided or the number of jobs reached.
    is_decided : bool
        Whether all folds were run, or one candidate alone is left with all of its folds.
    """

    n_rounds: int
    ranked: tuple[Candidate, ...]
    n_others: int
    alive: tuple[Candidate, ...]
    dropped: dict[Candidate, Drop]
    failed: dict[Candidate, str]
    pending: tuple[Job, ...]
    is_decided: bool

    @property
    def leader(self) -> Candidate:
        """The best so far.

        Raises
        ------
        InputError
            If there is none.
        """
        if not self.ranked:
            reasons = "; ".join(f"{one.name}: {why}" for one, why in self.failed.items())
            raise InputError(
                f"no model could be fitted: {reasons}"
                if reasons
                else "no model was finished in the time; give more (--budget)"
            )
        return self.ranked[0]


@dataclass
class _Runners:
    """Candidates by what became of them, and the jobs they were given, while a race is gone through.

    Attributes
    ----------
    alive : list of Candidate
    waiting : list of Candidate
        Those there is no time for.
    dropped : dict of Candidate to Drop
    failed : dict of Candidate to str
    planned : list of Job
    """

    alive: list[Candidate]
    waiting: list[Candidate] = field(default_factory=list)
    dropped: dict[Candidate, Drop] = field(default_factory=dict)
    failed: dict[Candidate, str] = field(default_factory=dict)
    planned: list[Job] = field(default_factory=list)

    def set_aside(self, late: Collection[Candidate]) -> None:
        self.waiting += [one for one in self.alive if one in late]
        self._leave(late)

    def fail(self, reasons: dict[Candidate, str]) -> None:
        self.failed |= reasons
        self._leave(reasons)

    def drop(self, beaten: Collection[Candidate], reason: Drop) -> None:
        self.dropped |= dict.fromkeys(beaten, reason)
        self._leave(beaten)

    def _leave(self, leaving: Collection[Candidate]) -> None:
        self.alive = [one for one in self.alive if one not in leaving]


class Race:
    """Candidates over the folds of a dataset.

    Parameters
    ----------
    data : TrainingData
    folds : sequence of Split
    metric : str
        Name of what candidates are compared by.
    candidates : sequence of Candidate
        In the order in which they begin.
    lookup : callable
        Gives results of jobs.
    expected : callable, optional
        Gives what the score expects of candidates. It counts as one more fold where those of the same folds
        are ordered, and in no interval.

    Raises
    ------
    InputError
        If the metric does not exist for a fold.
    """

    def __init__(
        self,
        data: TrainingData,
        folds: Sequence[Split],
        metric: str,
        candidates: Sequence[Candidate],
        lookup: Lookup,
        expected: Expected = _nothing,
    ) -> None:
        self.data, self.folds, self.metric = data, folds, metric
        self.candidates, self.lookup, self.expected = candidates, lookup, expected
        self.sign = -1 if HIGHER_IS_BETTER[metric] else 1
        self._resampled: dict[Job, Floats] = {}
        for fold in folds:
            guesses = np.full((len(fold.test), data.task.n_outputs), 1 / data.task.n_outputs)
            if not np.isfinite(self._value(fold.test, guesses)):
                raise InputError(
                    f"{metric} does not exist for a fold of {len(fold.test)} molecules, which lacks a class; "
                    "add molecules of the rarer classes, or leave the target out (--target)"
                )

    def folds_of(self, candidate: Candidate) -> list[int]:
        """Folds that a candidate has a result for."""
        results = {fold: self.lookup(Job(candidate, fold)) for fold in range(len(self.folds))}
        return [fold for fold, result in results.items() if result is not None and result.error is None]

    def values(self, candidate: Candidate, folds: Sequence[int]) -> Floats:
        """The metric of a candidate on some folds, shape (n_folds,)."""
        return np.array([self._result(Job(candidate, fold)).value for fold in folds])

    def standing(self, max_jobs: int | None = None, aside: Collection[Candidate] = ()) -> Standing:
        """Where the race is.

        Parameters
        ----------
        max_jobs : int, optional
            How many jobs are done in all.
        aside : collection of Candidate
            Those there is no time for: they are compared by the folds they have, and the race goes on.
        """
        runners = _Runners(list(self.candidates))
        for n_done in range(len(self.folds)):
            if n_done == 1:
                runners.alive += self._described(runners.alive)
            missing = self._plan(runners, n_done + 1, aside)
            if missing:
                allowed = set(runners.planned[:max_jobs])
                return self._stand(runners, n_done, [job for job in missing if job in allowed])
            runners.alive = self._by_mean(runners.alive, range(n_done + 1))
            if beaten := self._beaten(runners.alive, n_done + 1):
                runners.drop(beaten, Drop(n_done + 1, runners.alive[0]))
        return self._stand(runners, len(self.folds), [], is_decided=not runners.waiting)

    def _plan(self, runners: _Runners, n_folds: int, aside: Collection[Candidate]) -> list[Job]:
        """Plan what those in the race need to have so many folds; what of it is not done yet."""
        known = set(runners.planned)
        wanted = [Job(one, fold) for one in runners.alive for fold in range(n_folds)]
        jobs = [job for job in wanted if job not in known]
        missing = [job for job in jobs if self.lookup(job) is None]
        late = {job.candidate for job in missing} & set(aside)
        runners.set_aside(late)
        jobs = [job for job in jobs if job.candidate not in late]
        runners.planned += jobs
        runners.fail(self._failed(jobs))
        return [job for job in missing if job.candidate not in late]

    def _stand(
        self, runners: _Runners, n_rounds: int, pending: Sequence[Job], *, is_decided: bool = False
    ) -> Standing:
        alive = (*runners.alive, *runners.waiting)
        everyone = dict.fromkeys([*self.candidates, *alive, *runners.dropped])
        n_others = max(1, len({one.model for one in everyone}) - 1)
        ranked = self._ranked([one for one in everyone if one not in runners.failed], n_others)
        dropped, failed = runners.dropped, runners.failed
        return Standing(n_rounds, tuple(ranked), n_others, alive, dropped, failed, tuple(pending), is_decided)

    def difference(
        self, one: Candidate, other: Candidate, n_others: int = 1, n_folds: int | None = None
    ) -> Difference:
        """How much worse one candidate is than another, with an interval.

        Its standard error is the larger of two: of a bootstrap over the molecules left out, fold by fold and
        the same for both, and, from two folds on, of the folds' differences. The level is corrected for the
        number of others that are compared with the same one (Bonferroni).

        Parameters
        ----------
        one, other : Candidate
        n_others : int
        n_folds : int, optional
            Compare on the first so many folds; on all that both have if not given.
        """
        folds = [fold for fold in self.folds_of(one)[:n_folds] if fold in self.folds_of(other)[:n_folds]]
        if not folds:
            return Difference(np.nan, np.nan, np.nan)
        gaps = self.sign * (self.values(one, folds) - self.values(other, folds))
        drawn = np.mean(
            [self._drawn(Job(one, fold)) - self._drawn(Job(other, fold)) for fold in folds], axis=0
        )
        error = float(np.nanstd(drawn, ddof=1))
        if len(folds) > 1:
            error = max(error, float(gaps.std(ddof=1)) / np.sqrt(len(folds)))
        reach = float(norm.ppf(1 - (1 - LEVEL) / 2 / n_others)) * error
        mean = float(gaps.mean())
        return Difference(mean, mean - reach, mean + reach)

    def _ranked(self, candidates: Sequence[Candidate], n_others: int) -> list[Candidate]:
        """Those that have a result, best first: a function of the results, whatever was planned or dropped.

        Those with the same folds are ordered by their means and what is expected of them. Beginning with the
        most folds, each is placed behind all that are there, and passes one after the other from the last on:
        those with as many folds where it is better on the ones they share, those with more where it is also
        told apart or expected to be better.
        """
        by_folds: dict[tuple[int, ...], list[Candidate]] = {}
        for one in candidates:
            if folds := tuple(self.folds_of(one)):
                by_folds.setdefault(folds, []).append(one)
        ranked: list[Candidate] = []
        for folds in sorted(by_folds, key=lambda folds: (-len(folds), folds)):
            for one in self._by_mean(by_folds[folds], folds):
                place = len(ranked)
                while place and self._passes(one, ranked[place - 1], n_others):
                    place -= 1
                ranked.insert(place, one)
        return ranked

    def _passes(self, one: Candidate, other: Candidate, n_others: int) -> bool:
        """Whether a candidate is placed before one that has as many folds or more.

        Those of the same folds come in their order. One of fewer folds has been lucky, perhaps, unless it is
        told apart, or the score expects the same.
        """
        own, others = self.folds_of(one), self.folds_of(other)
        if own == others:
            return False
        found = self.difference(one, other, n_others)
        is_expected = self.sign * (self.expected(one) - self.expected(other)) < 0
        return (found.mean if len(own) == len(others) or is_expected else found.high) < 0

    def _by_mean(self, candidates: Sequence[Candidate], folds: Sequence[int]) -> list[Candidate]:
        """Candidates by their means over folds that all have, best first; of equal ones the simplest.

        What the score expects counts as one more fold. Its level is that of the folds: it is of other
        molecules, and tells how candidates differ.
        """
        n = len(folds)
        means = {one: self.sign * float(self.values(one, folds).mean()) for one in candidates}
        expected = {one: self.sign * self.expected(one) for one in candidates}
        told = [one for one in candidates if np.isfinite(expected[one])]
        level = float(np.median([means[one] - expected[one] for one in told])) if told else 0.0
        judged = means | {one: (n * means[one] + expected[one] + level) / (n + 1) for one in told}

        def order(one: Candidate) -> tuple[float, int, bool, bool, str, str]:
            mode = _SIMPLEST_FIRST.index(one.mode)
            return judged[one], mode, one.descriptors, one.layer != LAST, one.encoder, one.layer

        return sorted(candidates, key=order)

    def _beaten(self, ranked: Sequence[Candidate], n_folds: int) -> list[Candidate]:
        """Those that the leader is told apart from; the last fold drops nobody."""
        if n_folds == len(self.folds):
            return []
        others = ranked[1:]
        return [one for one in others if self.difference(one, ranked[0], len(others), n_folds).low > 0]

    def _described(self, ranked: Sequence[Candidate]) -> list[Candidate]:
        """The best encoder with descriptors beside it, if an encoder is left that is no baseline."""
        networks = [one for one in ranked if one.mode != ESTIMATED]
        return [networks[0].with_descriptors] if networks else []

    def _failed(self, jobs: Sequence[Job]) -> dict[Candidate, str]:
        results = {job: self.lookup(job) for job in jobs}
        return {
            job.candidate: result.error
            for job, result in results.items()
            if result is not None and result.error is not None
        }

    def _result(self, job: Job) -> Result:
        result = self.lookup(job)
        assert result is not None
        return result

    def _drawn(self, job: Job) -> Floats:
        """The metric on bootstrap samples of a fold, small where good, shape (n_resamples,)."""
        if job not in self._resampled:
            rows, predicted = np.sort(self.folds[job.fold].test), self._result(job).predicted
            draws = draw_molecules(self.data.molecules.canonical[rows].tolist(), _RESAMPLES, seed=job.fold)
            values = [self._value(rows[drawn], predicted[drawn]) for drawn in draws]
            self._resampled[job] = self.sign * np.array(values)
        return self._resampled[job]

    def _value(self, rows: np.typing.NDArray[np.intp], predicted: Floats) -> float:
        targets = [target.take(rows) for target in self.data.targets]
        return main_value(targets, self.data.task.kind, predicted, self.data.scales)
