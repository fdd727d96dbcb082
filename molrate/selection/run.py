"""A selection into a folder: the shortlist, and jobs until the race is decided or the time is spent."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from molrate.data.datasets import Dataset
from molrate.data.quotes import quoting, secrets_of
from molrate.data.targets import MIN_LABELLED, check_target
from molrate.embedding.embed import choose_device
from molrate.embedding.settings import EmbeddingSettings
from molrate.encoders.base import check_licence, load_encoder
from molrate.errors import InputError, UsageError
from molrate.files.locks import waiting
from molrate.files.output import make_folder, write_atomically
from molrate.files.requests import REQUEST, make_request, note_request, take_up
from molrate.finetuning.comparison import BASELINES
from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.data import TrainingData
from molrate.finetuning.finetune import data_digest, split_digest
from molrate.models.model import RECORD, check_model
from molrate.quiet_lightning import require_lightning
from molrate.ranking.contamination import contamination_notes
from molrate.ranking.ranking import Ranking
from molrate.ranking.score import expect_of_dataset, rank_dataset
from molrate.ranking.settings import MeasureSettings
from molrate.selection.budget import Clock, Costs, TimeUpError, reserved
from molrate.selection.candidates import (
    LAST,
    Candidate,
    Entry,
    better_layers,
    make_candidates,
    make_shortlist,
)
from molrate.selection.jobs import Job, JobFolder, Result
from molrate.selection.leaderboard import make_leaderboard
from molrate.selection.race import Race, Standing
from molrate.selection.result import (
    COUNTED,
    DECIDED,
    INTERRUPTED,
    TIME_UP,
    Outcome,
    Selection,
    read_json,
    read_selection,
    write_selection,
)
from molrate.selection.workers import ThisProcess, Workers, on_ray

logger = logging.getLogger(__name__)

FOLDS = 5
JOBS, RANKING, SHORTLIST = "jobs", "ranking.csv", "shortlist.json"
_FORMAT = 3
_SCORED = 1000
"""Molecules that encoders are ranked on, drawn where there are more."""
_RANKING_SHARE, _LAYERS_SHARE = 1 / 3, 1 / 10
"""Of the time, that ranking may take at most."""
_TEST_SHARE, _FAR = 1 / 5, 1 / 20
"""Of the molecules, that the test part is meant to have, and how far off it is said to be far."""
_LEADERS_SHARE = 1 / 4
"""Of the time, that is kept for the folds that the leader lacks; for the next of them in any case."""


@dataclass(frozen=True)
class Update:
    """News of a race.

    Attributes
    ----------
    board : pandas.DataFrame
        The leaderboard now.
    job : Job
        The one that begins, or has ended.
    result : Result, optional
        What it gave, if it has ended.
    left : float
        Seconds that are left; infinite where jobs are counted.
    """

    board: pd.DataFrame
    job: Job
    result: Result | None
    left: float


Watcher = Callable[[Update], None]


@dataclass(frozen=True)
class Entrants:
    """Encoders that are ranked for the race; see :func:`molrate.score`.

    Attributes
    ----------
    encoders : sequence of str, optional
    exclude_contaminated : bool
    licence : str, optional
    """

    encoders: Sequence[str] | None = None
    exclude_contaminated: bool = False
    licence: str | None = None

    def record(self) -> dict[str, Any]:
        """As plain values, whatever the order of the names."""
        return asdict(self) | {"encoders": None if self.encoders is None else sorted(set(self.encoders))}


def run_selection(
    data: TrainingData,
    output: str | Path,
    config: FinetuningConfig,
    clock: Clock,
    *,
    max_jobs: int | None = None,
    improve: bool = True,
    encoders: Sequence[str] | None = None,
    exclude_contaminated: bool = False,
    licence: str | None = None,
    structures: bool = True,
    device: str = "auto",
    engine: str = "local",
    address: str | None = None,
    progress: Watcher | None = None,
) -> Selection:
    """Find the best model; see :func:`molrate.select`. The time counts from when `clock` was made."""
    require_lightning()
    _check_engine(engine, address)
    # Workers of another machine have another folder to start from.
    folder, device = Path(output).absolute(), choose_device(device)
    if isinstance(encoders, str):
        raise UsageError("encoders take a sequence of names; put the one name into a list")
    _check_known(data)
    if licence is not None:
        check_licence(licence)
    entrants = Entrants(encoders, exclude_contaminated, licence)
    folds = data.folds(FOLDS, config.seed)
    for note in [*data.notes, *_size_notes(data)]:
        logger.warning("%s: %s", data.dataset.name, note)
    request = make_request(
        "select",
        _FORMAT,
        dataset=f"sha256:{data_digest(data)}",
        targets=data.task.record(),
        split={"method": data.method, "rows": f"sha256:{split_digest(data)}"},
        **entrants.record(),
        settings={**data.policy.record(), **config.record(), "folds": FOLDS},
        structures=structures,
        device=device,
    )
    make_folder(folder)
    with waiting(folder / REQUEST):
        if not take_up(folder, request, (RECORD, f"{JOBS}/*.json")):
            note_request(folder, request)
    jobs = JobFolder(folder / JOBS, data, folds, config, device, request, structures=structures)
    run = _Run(folder, data, config, jobs, clock, max_jobs, progress)
    earlier = read_selection(folder)
    if earlier is not None and earlier.record["ended"] == DECIDED:
        # A file that is missing is told before what it could be made of again is removed.
        check_model(folder)
        run.jobs.forget_models()
        return earlier
    if earlier is not None and not improve and earlier.record["ended"] != INTERRUPTED:
        check_model(folder)
        return earlier
    shortlist = run.shortlist(entrants)
    with _workers(run.jobs, engine, address) as workers:
        return run.select(shortlist, workers)


def _check_known(data: TrainingData) -> None:
    """Refuse a table that leaves too little to rank encoders on beside the test part.

    Raises
    ------
    InputError
        If no target can be ranked by.
    """
    known = np.sort(np.concatenate([data.split.train, data.split.validation]))
    molecules = data.molecules.canonical.astype(str)
    errors = []
    for target in data.targets:
        left = target.take(known)
        n_all = len(np.unique(molecules[target.where(data.molecules.valid).labelled]))
        n_left = len(np.unique(molecules[known][left.labelled]))
        if n_left < MIN_LABELLED:
            errors.append(
                f"target {target.name!r} has {n_all} labelled valid molecules, {n_all - n_left} of them in "
                f"the test part; at least {MIN_LABELLED} others are needed"
            )
            continue
        try:
            check_target(left, molecules[known])
        except InputError as error:
            errors.append(f"without the test part {error}")
    if len(errors) == len(data.targets):
        raise InputError("; ".join(errors))


def _size_notes(data: TrainingData) -> list[str]:
    """A sentence on a test part of whole scaffolds whose size is far from a fifth."""
    rows = data.split.record().values()
    n_known, n_more, n_test = (len(set(data.molecules.canonical[part].tolist())) for part in rows)
    share = n_test / (n_known + n_more + n_test)
    if data.method != "scaffold" or abs(share - _TEST_SHARE) <= _FAR:
        return []
    return [
        f"the test part is {n_test} molecules, {share:.0%} of all where a fifth is meant: --split scaffold "
        "keeps molecules of one scaffold together"
    ]


def _check_engine(engine: str, address: str | None) -> None:
    if engine not in ("local", "ray"):
        raise UsageError(f"unknown engine {engine!r} (--engine); known: local, ray")
    if engine == "local" and address is not None:
        raise UsageError("--address is for --engine ray")


def _workers(jobs: JobFolder, engine: str, address: str | None) -> AbstractContextManager[Workers]:
    return on_ray(jobs, address) if engine == "ray" else nullcontext(ThisProcess(jobs))


class _Run:
    """One process at a selection; others may be at the same."""

    def __init__(
        self,
        folder: Path,
        data: TrainingData,
        config: FinetuningConfig,
        jobs: JobFolder,
        clock: Clock,
        max_jobs: int | None,
        progress: Watcher | None,
    ) -> None:
        self.folder, self.data, self.config, self.jobs = folder, data, config, jobs
        self.device, self.structures = jobs.device, jobs.structures
        self.clock, self.max_jobs, self.progress = clock, max_jobs, progress
        self.aside: set[Candidate] = set()

    def shortlist(self, entrants: Entrants) -> list[Entry]:
        """Encoders to race: those that another process or an earlier run chose, or chosen now.

        Ranking that takes more than a third of the time is given up: the baselines alone are raced then.
        """
        path = self.folder / SHORTLIST
        with waiting(path):
            kept = read_json(path)
            if kept is not None:
                return [Entry(**entry) for entry in kept["encoders"]]
            try:
                with self.clock.stopping(self.clock.left * _RANKING_SHARE):
                    ranking = self._rank(entrants)
                    self._tell_left_out(ranking)
                    self._without_quotes(ranking).save(self.folder / RANKING)
            except TimeUpError:
                # Where baselines alone are named, nothing is missing.
                if entrants.encoders is None or not set(entrants.encoders) <= set(BASELINES):
                    logger.warning(
                        "ranking took more than a third of the time and was given up: only %s are tried; "
                        "give more time (--budget)%s",
                        " and ".join(BASELINES),
                        " or name encoders (--encoder)" if entrants.encoders is None else "",
                    )
                return make_shortlist(pd.DataFrame(), self.config.seed)
            chosen = make_shortlist(ranking.frame, self.config.seed)
            if not entrants.exclude_contaminated:
                self._warn_of_seen(chosen, ranking)
            chosen = self._with_layers(chosen)
            record = {"encoders": [entry.record() for entry in chosen]}
            write_atomically(path, (json.dumps(record, indent=2) + "\n").encode())
            return chosen

    def _with_layers(self, shortlist: list[Entry]) -> list[Entry]:
        """The shortlist with the layers that the score speaks for, unless to look at them takes long."""
        networks = [entry.encoder for entry in shortlist if entry.trainable]
        if not networks:
            return shortlist
        try:
            with self.clock.stopping(self.clock.left * _LAYERS_SHARE):
                settings = EmbeddingSettings(layer="all", seed=self.config.seed, device=self.device)
                expectations = expect_of_dataset(self._known, networks, self.data.policy, settings)
        except TimeUpError:
            logger.warning("judging all layers took too long and was given up: only the last are tried")
            return shortlist
        last = {name: load_encoder(name, seed=self.config.seed).layers[-1] for name in networks}
        layers = better_layers(expectations, last)
        return [replace(entry, layer=layers.get(entry.encoder, LAST)) for entry in shortlist]

    def _warn_of_seen(self, shortlist: Sequence[Entry], ranking: Ranking) -> None:
        """Say which encoders may have seen the labels, so that folds and test part prove little of them."""
        cards = [load_encoder(entry.encoder, seed=self.config.seed).card for entry in shortlist]
        shares, name = ranking.run["seen_shares"], self.data.dataset.name
        # Said of select, since screen does so too and has no such option.
        remedy = "; molrate select --exclude-contaminated leaves such encoders out"
        for note in contamination_notes(cards, name, shares, remedy):
            logger.warning("%s: %s", name, note)

    def _tell_left_out(self, ranking: Ranking) -> None:
        """Say which encoders were not ranked as asked for, and why."""
        for reason, names in ranking.run["left_out"].items():
            logger.warning("%s: left out, as %s: %s", self.data.dataset.name, reason, ", ".join(names))

    def _rank(self, entrants: Entrants) -> Ranking:
        """Score encoders by their last layers."""
        return rank_dataset(
            self._known,
            entrants.encoders,
            self.data.policy,
            EmbeddingSettings(seed=self.config.seed, device=self.device),
            MeasureSettings(),
            exclude_contaminated=entrants.exclude_contaminated,
            licence=entrants.licence,
        )

    def _without_quotes(self, ranking: Ranking) -> Ranking:
        """The ranking, without reasons of failed encoders that quote molecules which are not to be kept."""
        if self.structures:
            return ranking
        quotes = quoting(secrets_of(self.data.dataset, self.data.molecules))
        quoted = ranking.frame["note"].map(lambda note: isinstance(note, str) and quotes(note))
        notes = ranking.frame["note"].mask(quoted, "a note that quotes molecules is left out")
        return replace(ranking, frame=ranking.frame.assign(note=notes))

    @cached_property
    def _known(self) -> Dataset:
        """Molecules to score encoders on, of which the test part has none."""
        known = np.sort(np.concatenate([self.data.split.train, self.data.split.validation]))
        if len(known) > _SCORED:
            generator = np.random.default_rng(self.config.seed)
            known = np.sort(generator.choice(known, _SCORED, replace=False))
        return self.data.take(known)

    def select(self, shortlist: Sequence[Entry], workers: Workers) -> Selection:
        """Run the race, and write the best model; after an interrupt too, which then goes on."""
        entries, metric = {entry.encoder: entry for entry in shortlist}, self.jobs.metric

        def expected(candidate: Candidate) -> float:
            return entries[candidate.encoder].expected(candidate, metric)

        candidates = make_candidates(shortlist)
        race = Race(self.data, self.jobs.folds, metric, candidates, self.jobs.result, expected)
        try:
            ended = self._race(race, entries, workers)
        except KeyboardInterrupt:
            if self._standing(race).ranked:
                self._write(race, entries, INTERRUPTED)
            raise
        return self._write(race, entries, ended)

    def _write(self, race: Race, entries: dict[str, Entry], ended: str) -> Selection:
        standing = self._standing(race)
        board = make_leaderboard(race, standing, entries)
        outcome = Outcome(standing.leader, race, board, ended)
        return write_selection(self.folder, self.data, self.config, self.jobs, outcome, self.structures)

    def _standing(self, race: Race) -> Standing:
        return race.standing(self.max_jobs, self.aside)

    def _race(self, race: Race, entries: dict[str, Entry], workers: Workers) -> str:
        """Do jobs until there is none to do, and say why there is none."""
        split = self.data.split
        n_train = len(self.jobs.folds[0].train)
        costs = Costs(list(entries.values()), self.config, n_train, len(split.test), race.lookup, FOLDS)
        while True:
            standing = self._standing(race)
            if standing.is_decided:
                return DECIDED
            plan = self._plan(race, standing, costs, workers.running)
            if not plan:
                return COUNTED if self.max_jobs is not None else TIME_UP
            for job, finished in workers.do(plan, lambda job: self._tell(race, entries, job)):
                if not finished:
                    self.aside.add(job.candidate)
                elif self.jobs.result(job) is not None:
                    self._tell(race, entries, job)

    def _plan(
        self, race: Race, standing: Standing, costs: Costs, running: Collection[Job]
    ) -> dict[Job, float]:
        """Jobs that should end in time, the next first, with the seconds each may take.

        Time for the folds that the leader lacks is kept from others: they are the members of the ensemble.
        """
        left = self.clock.left - costs.ending(standing, self.clock)
        leader = standing.ranked[0] if standing.ranked else None
        own = [] if leader is None else _lacking(race, leader)
        known = [*race.candidates, *standing.alive]
        kept = 0.0
        if self.clock.seconds is not None:
            needed = [costs.predicted(job, known) for job in own]
            kept = reserved(needed, left, _LEADERS_SHARE * self.clock.seconds)

        def affordable(jobs: Sequence[Job]) -> dict[Job, float]:
            limits = {job: left if job.candidate == leader else left - kept for job in jobs}
            # What nothing can be said without is begun in any case, and stopped when the time is up.
            return {
                job: limit
                for job, limit in limits.items()
                if limit > 0 and (leader is None or job in running or costs.predicted(job, known) <= limit)
            }

        while standing.pending:
            plan = affordable(standing.pending)
            if plan:
                return plan
            self.aside |= {job.candidate for job in standing.pending}
            standing = self._standing(race)
        return affordable(own) if self.max_jobs is None else {}

    def _tell(self, race: Race, entries: dict[str, Entry], job: Job) -> None:
        if self.progress is not None:
            board = make_leaderboard(race, self._standing(race), entries)
            self.progress(Update(board, job, self.jobs.result(job), self.clock.left))


def _lacking(race: Race, candidate: Candidate) -> list[Job]:
    """Jobs that a candidate has no result of."""
    return [Job(candidate, fold) for fold in range(FOLDS) if race.lookup(Job(candidate, fold)) is None]
