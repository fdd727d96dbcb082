"""Time: how much there is, what a job will cost, and a stop that holds when a job costs more."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

import numpy as np

from molrate.errors import UsageError
from molrate.finetuning.comparison import BASELINES
from molrate.finetuning.config import FinetuningConfig
from molrate.selection.candidates import ESTIMATED, FINE_TUNED, Candidate, Entry
from molrate.selection.jobs import Job, Result
from molrate.selection.race import Lookup, Standing

_UNITS = {"s": 1, "m": 60, "h": 3600}
_PASSES_OF_TRAINING = 3
"""A forward and a backward pass cost some three of the forward passes that embed."""
_LEAST_SECONDS = 5e-4
"""To embed a molecule; a ranking that found embeddings in the cache took less."""
_HEAD_SECONDS = 1e-4
"""Of one molecule in one epoch of a head."""
_ESTIMATOR_SECONDS = 5.0
"""Of a forest, boosting and a linear model in three folds, to begin with."""
_ENDING_SECONDS, _ENDING_SHARE = 5.0, 0.01
"""For the bootstrap of test errors, and for writing: so many seconds, and so much of the time."""
_MARGIN = 1.2


class TimeUpError(BaseException):
    """The time is spent. No error: nothing that goes on after errors may go on after it."""


def parse_budget(text: str) -> float:
    """Seconds of a time such as ``90s``, ``20m`` or ``1.5h``.

    Raises
    ------
    UsageError
        If it is none.

    Examples
    --------
    >>> parse_budget("20m")
    1200.0
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if found is None or float(found[1]) == 0:
        raise UsageError(
            f"--budget {text}: it is no time; give seconds, minutes or hours, as 90s, 20m or 1.5h"
        )
    return float(found[1]) * _UNITS[found[2]]


class Clock:
    """Time since the command began, and how much is left.

    Parameters
    ----------
    seconds : float, optional
        None where jobs are counted in place of time.
    """

    def __init__(self, seconds: float | None) -> None:
        self.started, self.seconds = time.monotonic(), seconds

    @property
    def left(self) -> float:
        """Seconds until the end; infinite if there is none."""
        return np.inf if self.seconds is None else self.started + self.seconds - time.monotonic()

    @contextmanager
    def stopping(self, seconds: float) -> Iterator[None]:
        """Raise :class:`TimeUpError` in the block after so many seconds.

        Only the main thread can be stopped, on systems with timers; elsewhere what was begun is finished.
        """
        can_stop = (
            np.isfinite(seconds)
            and hasattr(signal, "setitimer")
            and threading.current_thread() is threading.main_thread()
        )
        if not can_stop:
            yield
            return

        def stop(_: int, __: FrameType | None) -> None:
            raise TimeUpError

        handler = signal.signal(signal.SIGALRM, stop)
        # Again and again: an error raised while an object is finalised goes nowhere.
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3), 1.0)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)


def reserved(needed: Sequence[float], left: float, share: float) -> float:
    """Seconds to keep for jobs that are done one after the other.

    Parameters
    ----------
    needed : sequence of float
        What each will take. The first is kept for in any case, the others as far as all are within `share`.
    left : float
        What there is. Nothing is kept for a job that would not end in it.
    share : float

    Examples
    --------
    >>> reserved([100, 100, 100], left=400, share=250)
    200.0
    >>> reserved([100, 100, 100], left=150, share=50), reserved([100], left=90, share=250)
    (100.0, 0.0)
    """
    totals = np.cumsum(needed, dtype=float)
    ends = totals[totals <= min(left, max(share, *totals[:1]))] if len(totals) else totals
    return float(ends[-1]) if len(ends) else 0.0


class Costs:
    """What jobs will take, from what others took.

    A candidate that has run is expected to take its seconds per epoch again, the median over its folds, for
    as many epochs as any of its kind has run. Others are estimated from the time that embedding took, times
    what candidates of the same mode have taken beside their estimates.

    Parameters
    ----------
    shortlist : sequence of Entry
    config : FinetuningConfig
    n_train, n_test : int
        Molecules of a training part, and of the test part.
    lookup : callable
        Gives results of jobs.
    n_folds : int
    """

    def __init__(
        self,
        shortlist: Sequence[Entry],
        config: FinetuningConfig,
        n_train: int,
        n_test: int,
        lookup: Lookup,
        n_folds: int,
    ) -> None:
        self._embedding = {entry.encoder: entry.seconds for entry in shortlist}
        self._n_train, self._n_test, self._lookup, self._n_folds = n_train, n_test, lookup, n_folds
        self._epochs = config.passes(n_train)
        self._trials = {True: len(config.trials()), False: len(config.trials(frozen=True))}

    def predicted(self, job: Job, known: Sequence[Candidate]) -> float:
        """Seconds that a job will take.

        Parameters
        ----------
        job : Job
        known : sequence of Candidate
            Those that may have run.
        """
        alike = [one for one in known if one.mode == job.candidate.mode]
        most = max((result.epochs for one in alike for result in self._results(one)), default=0)
        own = [
            result.seconds * (most / result.epochs if result.epochs else 1.0)
            for result in self._results(job.candidate)
        ]
        if own:
            return _MARGIN * float(np.median(own))
        ratios = [result.seconds / self._estimate(one) for one in alike for result in self._results(one)]
        return _MARGIN * self._estimate(job.candidate) * (float(np.median(ratios)) if ratios else 1.0)

    def ending(self, standing: Standing, clock: Clock) -> float:
        """Seconds for what comes after the race: the test part through the models, and writing."""
        if clock.seconds is None:
            return 0.0
        names = {one.encoder for one in standing.ranked[:1]} | set(BASELINES)
        embedding = sum(self._embedding.get(name, 0.0) for name in names)
        fixed = _ENDING_SECONDS + _ENDING_SHARE * clock.seconds
        return fixed + _MARGIN * self._n_folds * embedding * self._n_test

    def _estimate(self, candidate: Candidate) -> float:
        embedding = max(_LEAST_SECONDS, self._embedding.get(candidate.encoder, 0.0))
        if candidate.mode == ESTIMATED:
            return _ESTIMATOR_SECONDS
        epochs = self._all_epochs(candidate) * self._n_train
        if candidate.mode == FINE_TUNED:
            return 1.0 + _PASSES_OF_TRAINING * embedding * epochs
        return 1.0 + embedding * self._n_train + _HEAD_SECONDS * epochs

    def _all_epochs(self, candidate: Candidate) -> int:
        return self._epochs * self._trials[candidate.mode == FINE_TUNED]

    def _results(self, candidate: Candidate) -> list[Result]:
        """Of the folds that a candidate has run."""
        results = [self._lookup(Job(candidate, fold)) for fold in range(self._n_folds)]
        return [result for result in results if result is not None and result.error is None]
