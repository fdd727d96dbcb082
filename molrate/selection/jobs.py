"""Jobs, a candidate on a fold each, in a folder that several processes or machines share.

A job is named by the digest of all that changes its result. ``DIGEST.json`` is that result, written once and
whole; the folder ``DIGEST`` holds the model, for the ensemble that may be made of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.data.quotes import quoting, secrets_of
from molrate.data.splits import Split
from molrate.encoders.base import Encoder, load_encoder
from molrate.errors import InputError, MolrateError
from molrate.files.locks import claimed
from molrate.files.output import make_folder, write_atomically
from molrate.finetuning.comparison import constant_predictions
from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.data import TrainingData
from molrate.finetuning.training import GridPoint
from molrate.finetuning.tuning import FinetuneResult, metrics_of, tune
from molrate.models.metrics import main_metric
from molrate.models.model import RECORD, TunedModel, common_record, save_model
from molrate.selection.candidates import Candidate
from molrate.selection.memory import watched

_FORMAT = 3
_TRIALS = "trials"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Job:
    """A candidate, trained without one fold and measured on it."""

    candidate: Candidate
    fold: int


@dataclass(frozen=True)
class Result:
    """What a job gave.

    Attributes
    ----------
    error : str, optional
        Why it failed; the rest is empty then.
    value : float
        Main metric on the fold left out.
    predicted : ndarray, shape (n_left_out, n_outputs)
        Of the fold's rows in ascending order; a molecule that the encoder does not support has the mean.
    unsupported : dict of int to str
    trials : list of dict
        Records of :class:`molrate.finetuning.training.GridPoint`; empty for an estimator.
    best : dict, optional
        The one that was kept.
    seconds : float
    mebibytes : float, optional
        The most memory that the process held at the time; None on systems that do not tell.
    """

    error: str | None
    value: float
    predicted: Floats
    unsupported: dict[int, str]
    trials: list[dict[str, Any]]
    best: dict[str, Any] | None
    seconds: float
    mebibytes: float | None = None

    @property
    def epochs(self) -> int:
        """Passes over the training part, of all trials together."""
        return sum(trial["n_epochs"] for trial in self.trials)

    @property
    def points(self) -> tuple[tuple[GridPoint, ...], GridPoint | None]:
        """The trials, and the one kept, without weights."""
        best = None if self.best is None else _point(self.best)
        return tuple(map(_point, self.trials)), best


def _point(record: dict[str, Any]) -> GridPoint:
    validation = np.inf if record["validation"] is None else record["validation"]
    return GridPoint(**{**record, "validation": validation}, state={})


class JobFolder:
    """The jobs of one request.

    Parameters
    ----------
    folder : pathlib.Path
        Is made.
    data : TrainingData
    folds : sequence of Split
        To train on, to choose the epoch by, and to measure on, by fold.
    config : FinetuningConfig
    device : str
    request : dict
        All that changes results beside candidate and fold.
    structures : bool
        Whether results may quote molecules, in why a candidate failed or why one is not supported.
    """

    def __init__(
        self,
        folder: Path,
        data: TrainingData,
        folds: Sequence[Split],
        config: FinetuningConfig,
        device: str,
        request: dict[str, Any],
        *,
        structures: bool = True,
    ) -> None:
        make_folder(folder)
        self.folder, self.data, self.folds = folder, data, folds
        self.config, self.device, self.structures = config, device, structures
        self._request = json.dumps(request, sort_keys=True)
        self._digests: dict[Job, str] = {}
        self._known: dict[Job, Result] = {}

    @property
    def metric(self) -> str:
        """Name of what candidates are compared by."""
        return main_metric(self.data.task.kind)

    def encoder(self, candidate: Candidate) -> Encoder:
        """The encoder of a candidate as it was before training."""
        return load_encoder(candidate.encoder, seed=self.config.seed)

    def digest(self, job: Job) -> str:
        """Name of a job, from all that changes its result."""
        if job not in self._digests:
            identity = self.encoder(job.candidate).identity()
            content = [self._request, asdict(job), identity, _FORMAT]
            text = json.dumps(content, sort_keys=True)
            self._digests[job] = hashlib.sha256(text.encode()).hexdigest()[:32]
        return self._digests[job]

    def path(self, job: Job) -> Path:
        """File of a job's result."""
        return self.folder / f"{self.digest(job)}.json"

    def model_folder(self, job: Job) -> Path:
        """Folder of a job's model."""
        return self.folder / self.digest(job)

    def claim(self, job: Job) -> AbstractContextManager[bool]:
        """Whether no other process is at a job; if so, others are kept from it while the block runs."""
        return claimed(self.path(job))

    def result(self, job: Job) -> Result | None:
        """What a job gave, or None if it was not done yet.

        Raises
        ------
        InputError
            If its file is damaged.
        """
        if job not in self._known:
            path = self.path(job)
            try:
                record = json.loads(path.read_text(encoding="utf-8"))
                self._known[job] = _read(record)
            except FileNotFoundError:
                return None
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{path}: cannot be read: {error!r}; remove it to run the job again"
                ) from error
        return self._known[job]

    def run(self, job: Job) -> Result:
        """Do a job, or go on where it was stopped, and write what it gave.

        Deliberate errors, such as training that diverged, are results: the candidate is out.
        """
        started = time.perf_counter()
        fold, candidate = self.folds[job.fold], job.candidate
        record: dict[str, Any] = {"job": asdict(job), "metric": self.metric, "error": None}
        try:
            encoder = self.encoder(candidate)
            trials = self.model_folder(job) / _TRIALS
            data = replace(self.data, split=fold)
            with watched() as peak:
                tuned = tune(
                    data, encoder, self.config, candidate.transfer, device=self.device, folder=trials
                )
        except MolrateError as error:
            record["error"] = self._told(str(error))
        else:
            self._keep(job, encoder, tuned)
            record |= self._record(fold, tuned) | {"mebibytes": peak.mebibytes}
        record["seconds"] = round(time.perf_counter() - started, 3)
        write_atomically(self.path(job), (json.dumps(record, indent=1) + "\n").encode())
        result = self.result(job)
        assert result is not None
        return result

    def _record(self, fold: Split, tuned: FinetuneResult) -> dict[str, Any]:
        rows = np.sort(fold.test)
        predicted = constant_predictions(replace(self.data, split=fold), len(rows))
        predicted[np.searchsorted(rows, tuned.test)] = tuned.predicted
        metrics = metrics_of(self.data, rows, predicted)["mean"]
        return {
            "value": metrics[self.metric] if np.isfinite(metrics[self.metric]) else None,
            "unsupported": {row: self._told_of_row(reason) for row, reason in tuned.unsupported.items()},
            "trials": [_plain(point) for point in tuned.trials],
            "best": None if tuned.best is None else _plain(tuned.best),
            "rows": rows.tolist(),
            "predicted": predicted.tolist(),
        }

    def _told(self, reason: str) -> str:
        """Why a candidate failed, unless that quotes molecules which are not to be in the folder."""
        if self.structures or not quoting(secrets_of(self.data.dataset, self.data.molecules))(reason):
            return reason
        return "it failed, for a reason that quotes molecules and is left out (--no-structures)"

    def _told_of_row(self, reason: str) -> str:
        """Why a molecule is not supported; an encoder may write it in a notation of its own."""
        return reason if self.structures else "not supported"

    def _keep(self, job: Job, encoder: Encoder, tuned: FinetuneResult) -> None:
        """Write the model without training molecules; an encoder that stayed as it was is not copied."""
        member, folder = tuned.members[0], self.model_folder(job)
        settings = {
            **self.data.policy.record(),
            **job.candidate.transfer.record(),
            **self.config.record(),
        }
        record = common_record(self.data.dataset, self.data.task, encoder, settings)
        record["calibration"] = tuned.calibration
        save_model(folder, encoder, [(member.network, member.head)], record, ())
        shutil.rmtree(folder / _TRIALS, ignore_errors=True)

    def model(self, jobs: Sequence[Job]) -> TunedModel:
        """The ensemble of a candidate's jobs.

        Parameters
        ----------
        jobs : sequence of Job
            Done ones, of one candidate.

        Raises
        ------
        WeightsError
            If a model is missing or damaged.
        """
        models = [TunedModel.load(self.model_folder(job)) for job in jobs]
        members = [model.members[0] for model in models]
        if models[0].record["members"][0]["encoder"] is None:
            # One encoder for all, so that molecules are embedded once.
            members = [(members[0][0], head) for _, head in members]
        return TunedModel(members, models[0].record)

    def forget_models(self) -> None:
        """Remove the models of all jobs, and what stopped ones had left; results stay."""
        for folder in self.folder.iterdir():
            if folder.is_dir():
                shutil.rmtree(folder, ignore_errors=True)

    def has_model(self, job: Job) -> bool:
        """Whether a job's model is there."""
        return (self.model_folder(job) / RECORD).is_file()


def _plain(point: GridPoint) -> dict[str, Any]:
    """A trial as JSON has it, which has no infinity."""
    record: dict[str, Any] = point.record()
    if not np.isfinite(record["validation"]):
        record["validation"] = None
    return record


def _read(record: dict[str, Any]) -> Result:
    if record["error"] is not None:
        return Result(record["error"], np.nan, np.empty((0, 0)), {}, [], None, record["seconds"])
    return Result(
        None,
        np.nan if record["value"] is None else record["value"],
        np.array(record["predicted"], dtype=np.float64),
        {int(row): reason for row, reason in record["unsupported"].items()},
        record["trials"],
        record["best"],
        record["seconds"],
        record["mebibytes"],
    )
