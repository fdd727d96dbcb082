"""A dataset and an encoder to a fine-tuned model: what is trained on, the trials, and what they gave."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from molrate.data.datasets import Dataset
from molrate.data.duplicates import measurement_notes, merge_measurements
from molrate.data.molecules import Molecules
from molrate.data.policy import RowPolicy
from molrate.data.splits import Split, check_training, part_notes, split_molecules
from molrate.data.targets import Target, check_targets
from molrate.embedding.embed import choose_device, embed_one
from molrate.encoders.base import Encoder
from molrate.encoders.trainable import Trainable
from molrate.errors import InputError, UnsupportedMoleculeError
from molrate.finetuning.config import FinetuningConfig, Transfer
from molrate.finetuning.training import Examples, FinetuningRun, GridPoint, embed_examples, predict, train
from molrate.models.calibration import Calibration, calibrate
from molrate.models.closed_form import fit_linear
from molrate.models.head import Head, MaskedLoss, Task, balanced_weights, target_scaling
from molrate.models.metrics import HIGHER_IS_BETTER, check_metric, metrics_by_target
from molrate.randomness import seeded
from molrate.ranking.molecules import standardise_dataset

logger = logging.getLogger(__name__)

_BATCH_SIZE = 256
"""Molecules at a time where nothing is learned."""

Collate = Callable[[Sequence[Any]], Any]


def _stack(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(rows))


@dataclass(frozen=True)
class TrainingData:
    """What every encoder is fine-tuned on alike.

    Attributes
    ----------
    dataset : Dataset
    molecules : Molecules
    targets : tuple of Target
        Of all rows, merged where the policy says so.
    task : Task
    split : Split
        Of the rows that are valid and have a measured target.
    method : str
        How it was split.
    policy : RowPolicy
        How rows became molecules.
    """

    dataset: Dataset
    molecules: Molecules
    targets: tuple[Target, ...]
    task: Task
    split: Split
    method: str
    policy: RowPolicy = field(default_factory=RowPolicy)

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """Targets side by side, shape (n, n_targets)."""
        return np.column_stack([target.values for target in self.targets])

    @property
    def notes(self) -> list[str]:
        """What is to be said of the measurements and of the parts."""
        molecules = self.molecules
        return [
            *molecules.left_out(),
            *measurement_notes(molecules.canonical.tolist(), self.dataset.targets, self.policy.duplicates),
            *self.task.notes(),
            *part_notes([target.where(self.molecules.valid) for target in self.targets], self.split),
        ]

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        split: str = "random",
        seed: int = 0,
        policy: RowPolicy | None = None,
    ) -> TrainingData:
        """Standardise, merge if asked to, and split a dataset.

        Raises
        ------
        InputError
            If a target cannot be learned from, too few molecules are valid and measured, or one is invalid
            and the policy is to fail.
        """
        policy = policy or RowPolicy()
        molecules = standardise_dataset(dataset, policy)
        targets = dataset.targets
        if policy.duplicates == "merge":
            targets = merge_measurements(molecules.canonical.tolist(), targets)
        check_targets([target.take(np.flatnonzero(molecules.valid)) for target in targets])
        measured = np.any([target.labelled for target in targets], axis=0)
        usable = np.where(measured & molecules.valid, molecules.canonical, "")
        # An invalid row is in no part; its class is not one that a part could lack.
        usable_targets = [target.where(molecules.valid) for target in targets]
        parts = split_molecules(usable.tolist(), split, seed, usable_targets)
        return cls(dataset, molecules, targets, Task.of(targets), parts, split, policy)


@dataclass(frozen=True)
class FinetuneResult:
    """An encoder fine-tuned on some data.

    Attributes
    ----------
    run : FinetuningRun
        With the weights of the best epoch of the best trial.
    trials : list of GridPoint
        All; `best` is among them.
    best : GridPoint
    metrics : dict
        ``validation`` and ``test``, each ``mean`` and by target.
    frozen : dict
        Metrics of the test part by the head fitted to the encoder as it was, likewise.
    unsupported : dict of int to str
        Rows the encoder does not support, and why; they are in no part.
    calibration : dict
        Nonconformity of the validation part (:mod:`molrate.models.calibration`).
    """

    run: FinetuningRun
    trials: list[GridPoint]
    best: GridPoint
    metrics: dict[str, dict[str, dict[str, float]]]
    frozen: dict[str, dict[str, float]]
    unsupported: dict[int, str]
    calibration: Calibration


class _Tuning:
    """One encoder with one dataset: encoded molecules, and runs on them.

    Parameters
    ----------
    data : TrainingData
    encoder : Encoder
    config : FinetuningConfig
    transfer : Transfer
    device : str
    """

    def __init__(
        self,
        data: TrainingData,
        encoder: Encoder,
        config: FinetuningConfig,
        transfer: Transfer,
        device: str,
    ) -> None:
        self.data, self.encoder, self.config = data, encoder, config
        self.transfer, self.device = transfer, device
        self.unsupported: dict[int, str] = {}
        self.features = self._embed(transfer.layer) if transfer.frozen else None
        self.trainable = None if transfer.frozen else self._trainable()
        self.encoded: dict[int, Any] = self._rows() if transfer.frozen else self._encode()
        # Again, as molecules that the encoder does not support are left out now.
        check_training(data.targets, np.array(self.rows("train")), data.method)
        self.scaled = self._scaled_targets()

    def _trainable(self) -> Trainable:
        return self.encoder.trainable(self.transfer.n_layers, self.transfer.pooling, self.config.seed)

    def _embed(self, layer: str) -> npt.NDArray[np.float32]:
        name = self.encoder.select_layer(layer)
        embedding = embed_one(self.data.molecules, self.encoder, [name], self.transfer.pooling, self.device)
        if name not in embedding.layers:
            raise InputError(f"{self.encoder.name} does not support any molecule of {self.data.dataset.name}")
        self.unsupported = dict(embedding.errors)
        return embedding.layers[name]

    def _rows(self) -> dict[int, Any]:
        assert self.features is not None
        usable = np.flatnonzero(np.isfinite(self.features).all(axis=1))
        return {int(row): torch.from_numpy(self.features[row]) for row in usable}

    def _encode(self) -> dict[int, Any]:
        assert self.trainable is not None
        encoded = {}
        for row in np.flatnonzero(self.data.molecules.valid):
            try:
                encoded[int(row)] = self.trainable.encode(self.data.molecules.molecule(row))
            except (UnsupportedMoleculeError, InputError) as error:
                self.unsupported[int(row)] = str(error)
        return encoded

    def check_metric(self) -> None:
        """Make sure that the metric to choose by is one of the task's.

        Raises
        ------
        UsageError
            If it is not.
        """
        if self.config.metric is not None:
            check_metric(self.config.metric, self.data.task.kind)

    def rows(self, part: str) -> list[int]:
        """Rows of a part the encoder has code for.

        Raises
        ------
        InputError
            If there is none.
        """
        rows = [row for row in getattr(self.data.split, part).tolist() if row in self.encoded]
        if not rows:
            name = self.encoder.name
            raise InputError(f"{name} does not support any molecule of the {part} part ({self.data.method})")
        return rows

    def _scaled_targets(self) -> npt.NDArray[np.float64]:
        values = self.data.values
        if self.data.task.kind == "regression":
            mean, scale = target_scaling(values[self.rows("train")])
            values = (values - mean) / scale
        return values

    def examples(self, part: str) -> Examples:
        """The molecules of a part."""
        rows = self.rows(part)
        collate: Collate = _stack if self.trainable is None else self.trainable.collate
        targets = torch.from_numpy(self.scaled[rows].astype(np.float32))
        return Examples([self.encoded[row] for row in rows], targets, collate)

    @cached_property
    def before(self) -> npt.NDArray[np.float32]:
        """Embeddings of the training part before fine-tuning, which the head is fitted to."""
        if self.features is not None:
            return self.features[self.rows("train")]
        assert self.trainable is not None
        return embed_examples(self.trainable, self.examples("train"), _BATCH_SIZE)

    @cached_property
    def head(self) -> Head:
        """The head that every trial begins with, fitted to embeddings before fine-tuning."""
        config, task = self.config, self.data.task
        with seeded(config.seed):
            head = Head(self.before.shape[1], task.n_outputs, config.n_hidden, config.dropout)
        balanced = config.class_weights == "balanced"
        fit_linear(head, task, self.before, self.data.values[self.rows("train")], balanced)
        return head

    def run(self, learning_rate: float, weight_decay: float) -> FinetuningRun:
        """Encoder and head as they are before training, the same for every trial."""
        config, task = self.config, self.data.task
        encoder = nn.Identity() if self.trainable is None else self._trainable()
        weights = None
        if config.class_weights == "balanced":
            weights = balanced_weights(task, self.data.values[self.rows("train")])
        loss = MaskedLoss(task.kind, weights)
        criterion = None if config.metric is None else self._criterion
        return FinetuningRun(
            encoder, deepcopy(self.head), loss, learning_rate, weight_decay, config, criterion
        )

    def _criterion(self, outputs: torch.Tensor) -> float:
        """The metric that validation chooses by, small where predictions are good."""
        metric = self.config.metric
        assert metric is not None
        predicted = self.head.in_unit(outputs.float().cpu(), self.data.task.kind).double().numpy()
        value = self.metrics(predicted, "validation")["mean"][metric]
        return -value if HIGHER_IS_BETTER[metric] else value

    def predictions(self, run: FinetuningRun, part: str) -> npt.NDArray[np.float64]:
        """Predictions for a part, shape (n, n_outputs)."""
        return predict(run, self.data.task.kind, self.examples(part), _BATCH_SIZE)

    def calibration(self, predicted: npt.NDArray[np.float64]) -> Calibration:
        """Nonconformity of predictions for the validation part."""
        return calibrate(self.data.task, self.data.values[self.rows("validation")], predicted)

    def metrics(self, predicted: npt.NDArray[np.float64], part: str) -> dict[str, dict[str, float]]:
        """Metrics of predictions for a part by target, and their mean."""
        rows = np.array(self.rows(part))
        targets = [target.take(rows) for target in self.data.targets]
        return metrics_by_target(targets, self.data.task.kind, predicted)


def tune(
    data: TrainingData,
    encoder: Encoder,
    config: FinetuningConfig,
    transfer: Transfer | None = None,
    *,
    device: str = "auto",
    folder: Path | None = None,
    started: Callable[[], None] | None = None,
    progress: bool = False,
) -> FinetuneResult:
    """Fine-tune an encoder with every setting of the grid, and keep the one that validates best.

    Parameters
    ----------
    data : TrainingData
    encoder : Encoder
    config : FinetuningConfig
    transfer : Transfer, optional
        All layers, and the encoder is trained, if not given.
    device : str
    folder : pathlib.Path, optional
        Keeps checkpoints, so that the same call goes on where it was stopped.
    started : callable, optional
        Called once all that can be wrong with the arguments has been found right.
    progress : bool

    Raises
    ------
    UsageError
        If the encoder has nothing to train, or fewer layers.
    InputError
        If a part has no molecule the encoder has code for, or training diverged under every setting.
    """
    device = choose_device(device)
    transfer = transfer or Transfer()
    tuning = _Tuning(data, encoder, config, transfer, device)
    parts = tuning.examples("train"), tuning.examples("validation")
    tuning.check_metric()
    assert tuning.head
    if started is not None:
        started()
    trials = []
    for learning_rate, weight_decay in config.trials(transfer.frozen):
        run = tuning.run(learning_rate, weight_decay)
        trial_folder = folder and folder / f"rate-{learning_rate!r}-decay-{weight_decay!r}"
        trials.append(train(run, parts, config, device, trial_folder, progress))
        logger.info("%s: %s", encoder.name, trials[-1].record())
    best = min(trials, key=lambda trial: trial.validation)
    if not best.state:
        if folder is not None:
            shutil.rmtree(folder)
        raise InputError(f"{encoder.name}: training diverged under every setting; lower --learning-rate")
    run = tuning.run(best.learning_rate, best.weight_decay)
    frozen = tuning.metrics(tuning.predictions(run, "test"), "test")
    run.load_state_dict(best.state)
    found = {part: tuning.predictions(run, part) for part in ("validation", "test")}
    metrics = {part: tuning.metrics(predicted, part) for part, predicted in found.items()}
    calibration = tuning.calibration(found["validation"])
    return FinetuneResult(run, trials, best, metrics, frozen, tuning.unsupported, calibration)
