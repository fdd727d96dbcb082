"""What a selection leaves: the model, the leaderboard, the model card, and the record of how it ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from molrate.data.molecules import standardise
from molrate.data.splits import Split
from molrate.errors import InputError
from molrate.files.locks import waiting
from molrate.files.output import write_atomically
from molrate.finetuning.comparison import BASELINES, comparison_table, constant_predictions
from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.data import TrainingData
from molrate.finetuning.finetune import data_digest, write_model
from molrate.finetuning.tuning import FinetuneResult, Member, metrics_of
from molrate.models.calibration import calibrate
from molrate.models.estimators import EstimatorHead
from molrate.models.model import RECORD, TunedModel, check_model
from molrate.ranking.report import PIPED_WIDTH
from molrate.selection.candidates import ESTIMATED, FINE_TUNED, FROZEN, Candidate
from molrate.selection.card import CARD, make_card
from molrate.selection.jobs import Floats, Job, JobFolder
from molrate.selection.leaderboard import describe_ahead, describe_doubt, describe_winner, n_folds
from molrate.selection.race import Race
from molrate.selection.report import to_text

LEADERBOARD, SELECTION = "leaderboard.csv", "selection.json"
DECIDED, TIME_UP, COUNTED, INTERRUPTED = "decided", "time", "jobs", "interrupted"
"""Why a race ended."""
ENDINGS = {
    DECIDED: "the race is decided",
    TIME_UP: "the time is up",
    COUNTED: "the jobs are done",
    INTERRUPTED: "it was interrupted",
}
"""The same in words."""


@dataclass(frozen=True)
class Selection:
    """The best model, and the proof.

    Attributes
    ----------
    folder : pathlib.Path
    leaderboard : pandas.DataFrame
        See :func:`molrate.selection.leaderboard.make_leaderboard`.
    record : dict
        ``answer`` (a sentence), ``model``, ``folds`` (those of the ensemble), ``ended`` (``decided``,
        ``time``, ``jobs`` or ``interrupted``), ``notes`` (sentences on the data and the encoder),
        ``comparison`` (errors on the test part, with intervals), and the digests of all ``jobs``.
    """

    folder: Path
    leaderboard: pd.DataFrame
    record: dict[str, Any]

    @property
    def model(self) -> TunedModel:
        """The model, an ensemble of the best candidate's folds."""
        return TunedModel.load(self.folder)

    @property
    def answer(self) -> str:
        """What to use, in a sentence or two."""
        return str(self.record["answer"])

    def to_text(self, width: int = PIPED_WIDTH, *, colour: bool = False) -> str:
        """The answer, a row for each model, errors on the test part and notes, as the command prints them.

        Parameters
        ----------
        width : int
            Columns of the terminal.
        colour : bool
            Escape sequences of a terminal.
        """
        ending = ENDINGS[self.record["ended"]]
        return to_text(self.leaderboard, self.record, ending, self.folder, width, colour=colour)

    def __str__(self) -> str:
        return self.to_text()


@dataclass(frozen=True)
class Outcome:
    """How a race ended.

    Attributes
    ----------
    leader : Candidate
    race : Race
    board : pandas.DataFrame
    ended : str
        ``decided``, ``time``, ``jobs`` or ``interrupted``.
    """

    leader: Candidate
    race: Race
    board: pd.DataFrame
    ended: str


def read_json(path: Path) -> dict[str, Any] | None:
    """An object that a run left, or None.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}; name an empty folder (-o)") from error
    return record


def read_selection(folder: Path) -> Selection | None:
    """What a run left in a folder, or None if it has not ended.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    record = read_json(folder / SELECTION)
    if record is None:
        return None
    try:
        board = pd.read_csv(folder / LEADERBOARD, dtype={"licence": str, "note": str})
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / LEADERBOARD}: cannot be read: {error}") from error
    board = board.astype({"rank": "Int64", "tier": "Int64", "score_tier": "Int64"})
    texts = {name: board[name].astype(object).fillna("") for name in ("licence", "note")}
    return Selection(folder, board.assign(**texts), record)


def write_selection(
    folder: Path,
    data: TrainingData,
    config: FinetuningConfig,
    jobs: JobFolder,
    outcome: Outcome,
    structures: bool,
) -> Selection:
    """Write the best model with its proof, unless the same is there, of another process or an earlier run.

    Parameters
    ----------
    folder : pathlib.Path
    data : TrainingData
    config : FinetuningConfig
    jobs : JobFolder
    outcome : Outcome
    structures : bool
        Whether training molecules are kept.

    Raises
    ------
    InputError
        If the folder cannot be written.
    WeightsError
        If the same was written before, and a file of it is missing or another.
    """
    race, leader = outcome.race, outcome.leader
    candidates = {*race.candidates, *(one.with_descriptors for one in race.candidates)}
    done = sorted(jobs.digest(Job(one, fold)) for one in candidates for fold in race.folds_of(one))
    with waiting(folder / SELECTION):
        members = [Job(leader, fold) for fold in race.folds_of(leader)]
        found = {
            "model": leader.name,
            "folds": [job.fold for job in members],
            "ended": outcome.ended,
        }
        earlier = read_selection(folder)
        if earlier is not None and _says(earlier.record, found, done):
            check_model(folder)
            return earlier
        contenders, kinds = _contenders(data, jobs, race, leader, members)
        comparison = comparison_table(data, contenders)
        answer = describe_winner(outcome.board, kinds, describe_doubt(comparison, data.task))
        answer = " ".join(filter(None, [answer, describe_ahead(comparison)]))
        tuned = _tuned(data, jobs, members, contenders[leader.name])
        settings = {
            **data.policy.record(),
            **leader.transfer.record(),
            **replace(config, ensemble=len(members)).record(),
        }
        _remove_model(folder)
        trained = data
        if len(members) == 1:
            fold = jobs.folds[members[0].fold]
            trained = replace(data, split=Split(fold.train, fold.validation, data.split.test))
        encoder = jobs.encoder(leader)
        record = write_model(folder, trained, encoder, tuned, settings, comparison, structures)
        write_atomically(folder / LEADERBOARD, outcome.board.to_csv(index=False).encode())
        card = make_card(record, data_digest(data), answer, encoder.card, data, structures)
        write_atomically(folder / CARD, card.encode())
        told = {"notes": record["notes"], "comparison": record["comparison"]}
        kept = {"answer": answer, **found, **told, "jobs": done}
        write_atomically(folder / SELECTION, (json.dumps(kept, indent=2) + "\n").encode())
    if outcome.ended == DECIDED:
        jobs.forget_models()
    return Selection(folder, outcome.board, kept)


def _says(record: Mapping[str, Any], found: Mapping[str, Any], done: Sequence[str]) -> bool:
    """Whether a written selection is of the same jobs and says the same, or was decided by them."""
    is_same = record["ended"] == DECIDED or all(record[name] == found[name] for name in found)
    return is_same and record["jobs"] == done


def _remove_model(folder: Path) -> None:
    """Remove a model of fewer folds; its record first, so that what is left is no model."""
    (folder / SELECTION).unlink(missing_ok=True)
    (folder / RECORD).unlink(missing_ok=True)
    for pattern in ("encoder*.safetensors", "head*"):
        for path in folder.glob(pattern):
            path.unlink()


_Predicted = tuple[npt.NDArray[np.intp], Floats]


def _contenders(
    data: TrainingData, jobs: JobFolder, race: Race, leader: Candidate, members: Sequence[Job]
) -> tuple[dict[str, _Predicted], str]:
    """Predictions of the test part by the model, by what it has to beat, and by the mean.

    Also the kinds of estimators of the leader, if it has any.
    """
    beside = [Candidate(name, ESTIMATED) for name in BASELINES]
    if leader.mode == FINE_TUNED:
        beside.insert(0, replace(leader, mode=FROZEN))
    contenders, kinds = {}, ""
    for candidate in dict.fromkeys([leader, *beside]):
        own = [Job(candidate, fold) for fold in race.folds_of(candidate)]
        if own and all(jobs.has_model(job) for job in own):
            model = jobs.model(own)
            few = "" if len(own) == len(members) else f" ({n_folds(len(own))})"
            contenders[f"{candidate.name}{few}"] = _predict_test(data, model, candidate, jobs.device)
            if candidate == leader:
                heads = [head for _, head in model.members]
                kinds = _kinds([head for head in heads if isinstance(head, EstimatorHead)])
    rows = np.sort(data.split.test)
    contenders["the mean"] = rows, constant_predictions(data, len(rows))
    return contenders, kinds


def _kinds(heads: Sequence[EstimatorHead]) -> str:
    kinds = sorted({kind for head in heads for kind in head.kinds})
    return " or ".join({"linear": "a linear model", "forest": "a forest"}.get(kind, kind) for kind in kinds)


def _predict_test(data: TrainingData, model: TunedModel, candidate: Candidate, device: str) -> _Predicted:
    rows = np.sort(data.split.test)
    molecules = standardise(data.dataset.smiles[rows].tolist(), data.policy.standardisation)
    outputs = model.outputs(molecules, device, cache=candidate.mode != FINE_TUNED).mean
    usable = np.isfinite(outputs).all(axis=1)
    if not usable.any():
        raise InputError(f"{candidate.name} does not support any molecule of the test part")
    return rows[usable], outputs[usable]


def _tuned(data: TrainingData, jobs: JobFolder, members: Sequence[Job], tested: _Predicted) -> FinetuneResult:
    """The ensemble as fine-tuning gives one, with bounds from the test part, which chose nothing."""
    test, predicted = tested
    results = [jobs.result(job) for job in members]
    done = [result for result in results if result is not None]
    fitted = []
    for (encoder, head), result in zip(jobs.model(members).members, done, strict=True):
        trials, best = result.points
        is_trained = members[0].candidate.mode == FINE_TUNED
        network = encoder.trainable().network if is_trained else None
        fitted.append(Member(network, head, trials, best))
    left_out = [np.sort(jobs.folds[job.fold].test) for job in members]
    together = np.concatenate([result.predicted for result in done])
    unsupported = {row: reason for result in done for row, reason in result.unsupported.items()}
    return FinetuneResult(
        members=tuple(fitted),
        metrics={
            "folds": metrics_of(data, np.concatenate(left_out), together),
            "test": metrics_of(data, test, predicted),
        },
        by_fold=[metrics_of(data, rows, one.predicted) for rows, one in zip(left_out, done, strict=True)],
        frozen=None,
        frozen_predicted=None,
        unsupported=unsupported,
        calibration=calibrate(data.task, data.values[test], predicted),
        predicted=predicted,
        test=test,
    )
