"""A dataset and an encoder to fitted models: the trials, the folds of an ensemble, and what they gave."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from molrate.data.splits import Split, check_training
from molrate.embedding.embed import choose_device, embed_one
from molrate.embedding.table import failures
from molrate.encoders.base import Encoder, load_encoder
from molrate.encoders.trainable import Trainable
from molrate.errors import InputError, UnsupportedMoleculeError, UsageError
from molrate.finetuning.config import FinetuningConfig, Transfer
from molrate.finetuning.data import TrainingData
from molrate.finetuning.training import (
    Examples,
    FinetuningRun,
    GridPoint,
    embed_examples,
    predict,
    threads_for,
    train,
)
from molrate.models.calibration import Calibration, calibrate
from molrate.models.closed_form import fit_linear
from molrate.models.estimators import EstimatorHead
from molrate.models.head import Head, MaskedLoss, balanced_weights, target_scaling
from molrate.models.metrics import HIGHER_IS_BETTER, check_metric, main_metric, metrics_by_target
from molrate.models.model import DESCRIPTORS
from molrate.randomness import seeded

logger = logging.getLogger(__name__)

_BATCH_SIZE = 256
"""Molecules at a time where nothing is learned."""

_Floats = npt.NDArray[np.float64]
_Metrics = dict[str, dict[str, float]]
_One = TypeVar("_One")
_Other = TypeVar("_Other")


@dataclass(frozen=True)
class Member:
    """One fitted model.

    Attributes
    ----------
    network : torch.nn.Module, optional
        Of the encoder, as it was trained; None where embeddings stay as they are.
    head : Head or EstimatorHead
    trials : tuple of GridPoint
        All; `best` is among them. Empty for an estimator, which has none.
    best : GridPoint, optional
    n_parameters : int
        Weights of the encoder.
    """

    network: nn.Module | None
    head: Head | EstimatorHead
    trials: tuple[GridPoint, ...]
    best: GridPoint | None
    n_parameters: int = 0

    @property
    def width(self) -> int:
        """Dimension d that the head reads."""
        return self.head.width


@dataclass(frozen=True)
class FinetuneResult:
    """An encoder fine-tuned on some data.

    Attributes
    ----------
    members : tuple of Member
        One, or those of an ensemble, whose predictions are averaged.
    metrics : dict
        ``validation`` (of one model) or ``folds`` (of an ensemble, each molecule by the member that left it
        out), and ``test``; each ``mean`` and by target.
    by_fold : list of dict
        Of an ensemble, the metrics of each fold, likewise.
    frozen : dict, optional
        The same parts by heads fitted to the encoder as it was; None for an estimator.
    frozen_predicted : ndarray, shape (n_test, n_outputs), optional
        Their predictions.
    unsupported : dict of int to str
        Rows the encoder does not support, and why; they are in no part.
    calibration : dict
        Nonconformity of molecules not trained on (:mod:`molrate.models.calibration`).
    predicted : ndarray, shape (n_test, n_outputs)
        Of the test part.
    test : ndarray of int
        Its rows.
    """

    members: tuple[Member, ...]
    metrics: dict[str, _Metrics]
    by_fold: list[_Metrics]
    frozen: dict[str, _Metrics] | None
    frozen_predicted: _Floats | None
    unsupported: dict[int, str]
    calibration: Calibration
    predicted: _Floats
    test: npt.NDArray[np.intp]

    @property
    def trials(self) -> list[GridPoint]:
        """All trials of all members."""
        return [trial for member in self.members for trial in member.trials]

    @property
    def best(self) -> GridPoint | None:
        """The trial that was kept, of the first member."""
        return self.members[0].best


class WithDescriptors(nn.Module):
    """A network whose embedding has a molecule's descriptors beside it.

    Parameters
    ----------
    trainable : Trainable
    """

    def __init__(self, trainable: Trainable) -> None:
        super().__init__()
        self.trainable = trainable

    @property
    def network(self) -> nn.Module:
        """The encoder's."""
        return self.trainable.network

    def forward(self, batch: tuple[Any, torch.Tensor]) -> torch.Tensor:
        """Embeddings with descriptors, shape (n_molecules, d + n_descriptors)."""
        molecules, described = batch
        return torch.cat([self.trainable(molecules), described.to(next(self.parameters()).device)], dim=1)


class Encoded:
    """The molecules of a dataset in the form that fine-tuning reads, made once for all trials and folds.

    Parameters
    ----------
    data : TrainingData
    encoder : Encoder
    transfer : Transfer
    seed : int
        Draws layers that are not transferred.
    device : str

    Attributes
    ----------
    is_estimated : bool
        Whether the encoder has nothing to train, so that an estimator is fitted to it.
    features : ndarray, shape (n, d), optional
        What heads read, where embeddings stay as they are.
    rows : dict of int to object
        Each supported molecule, encoded or embedded.
    unsupported : dict of int to str
    """

    def __init__(
        self, data: TrainingData, encoder: Encoder, transfer: Transfer, seed: int, device: str
    ) -> None:
        self.data, self.encoder, self.transfer = data, encoder, transfer
        self.seed, self.device = seed, device
        self.is_estimated = encoder.n_transferable == 0 and transfer.n_layers is None
        self.unsupported: dict[int, str] = {}
        described = self._embed(load_encoder(DESCRIPTORS), "last") if transfer.descriptors else None
        frozen = transfer.frozen or self.is_estimated
        self.trainable = None if frozen else self.build()
        self.features: npt.NDArray[np.float32] | None = None
        if frozen:
            embedded = self._embed(encoder, transfer.layer)
            self.features = embedded if described is None else np.hstack([embedded, described])
        self.described = described
        self.rows: dict[int, Any] = self._embedded_rows() if frozen else self._encode()

    def build(self) -> Trainable:
        """The network as it is before training."""
        return self.encoder.trainable(self.transfer.n_layers, self.transfer.pooling, self.seed)

    def module(self) -> nn.Module:
        """What batches go through before the head, a new one for each trial."""
        return self._with_descriptors(None if self.trainable is None else self.build())

    @cached_property
    def before(self) -> nn.Module:
        """The same as it is before training, for what changes nothing in it."""
        return self._with_descriptors(self.trainable)

    def _with_descriptors(self, trainable: Trainable | None) -> nn.Module:
        if trainable is None:
            return nn.Identity()
        return trainable if self.described is None else WithDescriptors(trainable)

    def collate(self, rows: Sequence[Any]) -> Any:
        """Join encoded molecules into a batch."""
        if self.trainable is None:
            return torch.stack(list(rows))
        if self.described is None:
            return self.trainable.collate(rows)
        molecules, described = zip(*rows, strict=True)
        return self.trainable.collate(molecules), torch.stack(described)

    def _embed(self, encoder: Encoder, layer: str) -> npt.NDArray[np.float32]:
        name = encoder.select_layer(layer)
        embedding = embed_one(self.data.molecules, encoder, [name], self.transfer.pooling, self.device)
        if name not in embedding.layers:
            raise InputError(f"{encoder.name} does not support any molecule of {self.data.dataset.name}")
        self.unsupported |= failures(self.data.molecules, embedding)
        return embedding.layers[name]

    def _embedded_rows(self) -> dict[int, Any]:
        assert self.features is not None
        usable = np.flatnonzero(np.isfinite(self.features).all(axis=1))
        return {int(row): torch.from_numpy(self.features[row]) for row in usable}

    def _encode(self) -> dict[int, Any]:
        assert self.trainable is not None
        encoded = {}
        for row in np.flatnonzero(self.data.molecules.valid):
            if row in self.unsupported:
                continue
            try:
                encoded[int(row)] = self.trainable.encode(self.data.molecules.molecule(row))
            except (UnsupportedMoleculeError, InputError) as error:
                self.unsupported[int(row)] = str(error)
        if self.described is None:
            return encoded
        return {row: (molecule, torch.from_numpy(self.described[row])) for row, molecule in encoded.items()}


class _Tuning:
    """Encoded molecules with one split of them, and the models fitted to it.

    Parameters
    ----------
    encoded : Encoded
    split : Split
    config : FinetuningConfig
    """

    def __init__(self, encoded: Encoded, split: Split, config: FinetuningConfig) -> None:
        self.encoded, self.split, self.config = encoded, split, config
        self.data, self.task = encoded.data, encoded.data.task
        # Again, as molecules that the encoder does not support are left out now.
        check_training(self.data.targets, self.rows("train"), self.data.method)
        self.metric = self._choosing_metric()

    def rows(self, part: str) -> npt.NDArray[np.intp]:
        """Rows of a part the encoder has code for.

        Raises
        ------
        InputError
            If there is none.
        """
        return _supported(self.encoded, getattr(self.split, part), part)

    def _choosing_metric(self) -> str | None:
        """What the validation part chooses by; None is the loss.

        For classes it is the area under the curve where the part has one, that is, every class. Their loss
        grows where a network becomes too sure of what it still orders better and better.
        """
        rows, kind, asked = self.rows("validation"), self.task.kind, self.config.metric
        if asked is not None:
            check_metric(asked, kind)
        elif kind == "regression":
            return None
        metric = main_metric(kind) if asked is None else asked
        guesses = np.full((len(rows), self.task.n_outputs), 1 / self.task.n_outputs)
        if np.isfinite(metrics_of(self.data, rows, guesses)["mean"][metric]):
            return metric
        if asked is None:
            return None
        raise InputError(
            f"--metric {asked}: it does not exist for the validation part, which has {len(rows)} "
            "molecules and lacks a class or another value; leave the option out to choose by the loss"
        )

    @cached_property
    def scaled(self) -> _Floats:
        """Targets as the loss reads them."""
        values = self.data.values
        if self.task.kind == "regression":
            mean, scale = target_scaling(values[self.rows("train")])
            values = (values - mean) / scale
        return values

    def examples(self, rows: npt.NDArray[np.intp]) -> Examples:
        """Some molecules, ready to be batched."""
        targets = torch.from_numpy(self.scaled[rows].astype(np.float32))
        return Examples([self.encoded.rows[row] for row in rows.tolist()], targets, self.encoded.collate)

    @cached_property
    def before(self) -> npt.NDArray[np.float32]:
        """Embeddings of the training part before fine-tuning, which the head is fitted to."""
        rows = self.rows("train")
        if self.encoded.features is not None:
            return self.encoded.features[rows]
        return embed_examples(self.encoded.before, self.examples(rows), _BATCH_SIZE, self.encoded.device)

    @cached_property
    def head(self) -> Head:
        """The head that every trial begins with, fitted to embeddings before fine-tuning."""
        config = self.config
        with seeded(config.seed):
            head = Head(self.before.shape[1], self.task.n_outputs, config.n_hidden, config.dropout)
        values = self.data.values[self.rows("train")]
        fit_linear(head, self.task, self.before, values, config.class_weights == "balanced")
        return head

    def run(self, learning_rate: float, weight_decay: float) -> FinetuningRun:
        """Encoder and head as they are before training, the same for every trial."""
        config, weights = self.config, None
        if config.class_weights == "balanced":
            weights = balanced_weights(self.task, self.data.values[self.rows("train")])
        loss = MaskedLoss(self.task.kind, weights)
        criterion = None if self.metric is None else partial(self._criterion, self.metric)
        head = deepcopy(self.head)
        return FinetuningRun(
            self.encoded.module(), head, loss, learning_rate, weight_decay, config, criterion
        )

    def _criterion(self, metric: str, outputs: torch.Tensor) -> float:
        """The metric that validation chooses by, small where predictions are good; infinite if diverged."""
        predicted = self.head.in_unit(outputs.float().cpu(), self.task.kind).double().numpy()
        if not np.isfinite(predicted).all():
            return np.inf
        value = metrics_of(self.data, self.rows("validation"), predicted)["mean"][metric]
        return -value if HIGHER_IS_BETTER[metric] else value

    def predictions(self, run: FinetuningRun, rows: npt.NDArray[np.intp]) -> _Floats:
        """Predictions for some molecules, shape (n, n_outputs)."""
        return predict(run, self.task.kind, self.examples(rows), _BATCH_SIZE, self.encoded.device)

    def train(self, rows: _Apart[npt.NDArray[np.intp]], folder: Path | None, progress: bool) -> _Fitted:
        """Train with every setting of the grid, and keep the one that validates best.

        Parameters
        ----------
        rows : _Apart of ndarray of int
            To predict.
        folder : pathlib.Path, optional
            Keeps checkpoints.
        progress : bool
        """
        config, device = self.config, self.encoded.device
        parts = self.examples(self.rows("train")), self.examples(self.rows("validation"))
        trials = []
        for learning_rate, weight_decay in config.trials(self.encoded.transfer.frozen):
            run = self.run(learning_rate, weight_decay)
            trial_folder = folder and folder / f"rate-{learning_rate!r}-decay-{weight_decay!r}"
            trials.append(train(run, parts, config, device, trial_folder, progress))
            logger.info("%s: %s", self.encoded.encoder.name, trials[-1].record())
        best = min(trials, key=lambda trial: trial.validation)
        if not best.state:
            if folder is not None:
                shutil.rmtree(folder)
            name = self.encoded.encoder.name
            raise InputError(f"{name}: training diverged under every setting; lower --learning-rate")
        run = self.run(best.learning_rate, best.weight_decay)
        before = rows.map(partial(self.predictions, run))
        run.load_state_dict(best.state)
        predicted = rows.map(partial(self.predictions, run))
        run.cpu()
        network = None if self.encoded.features is not None else run.encoder.network
        n_parameters = sum(value.numel() for value in run.encoder.parameters())
        member = Member(network, run.head, tuple(trials), best, n_parameters)  # type: ignore[arg-type]
        return _Fitted(member, predicted, before)

    def estimate(self, rows: _Apart[npt.NDArray[np.intp]]) -> _Fitted:
        """Fit an estimator; `rows` as of :meth:`train`.

        The kind is chosen, and molecules left out are predicted, by models of the training part; the test
        part, which nothing was chosen by, is predicted by the model of training and validation.
        """
        features = self.encoded.features
        assert features is not None
        balanced = self.config.class_weights == "balanced"

        def fit(rows: npt.NDArray[np.intp], **kinds: Any) -> EstimatorHead:
            values = self.data.values[rows]
            return EstimatorHead.fit(
                self.task, features[rows], values, self.config.seed, balanced=balanced, **kinds
            )

        first = fit(self.rows("train"), kinds=self.config.estimators)
        both = np.concatenate([self.rows("train"), self.rows("validation")])
        last = (
            fit(both, kinds=first.kinds[:1])
            if len(set(first.kinds)) == 1
            else fit(both, kinds=self.config.estimators)
        )
        kind = self.task.kind
        predicted = _Apart(first.values(features[rows.unseen], kind), last.values(features[rows.test], kind))
        return _Fitted(Member(None, last, (), None), predicted, None)


@dataclass(frozen=True)
class _Apart(Generic[_One]):
    """Something of the molecules that a member did not train on, and of those of the test part."""

    unseen: _One
    test: _One

    def map(self, function: Callable[[_One], _Other]) -> _Apart[_Other]:
        """What a function makes of both."""
        return _Apart(function(self.unseen), function(self.test))


@dataclass(frozen=True)
class _Fitted:
    """A member, its predictions, and the frozen encoder's of the same."""

    member: Member
    predicted: _Apart[_Floats]
    frozen: _Apart[_Floats] | None


def _supported(encoded: Encoded, rows: npt.NDArray[np.intp], part: str) -> npt.NDArray[np.intp]:
    found = [row for row in rows.tolist() if row in encoded.rows]
    if not found:
        name, method = encoded.encoder.name, encoded.data.method
        raise InputError(f"{name} does not support any molecule of the {part} part ({method})")
    return np.array(found)


def metrics_of(data: TrainingData, rows: npt.NDArray[np.intp], predicted: _Floats) -> _Metrics:
    """Metrics of predictions for some rows by target, and their mean.

    Parameters
    ----------
    data : TrainingData
    rows : ndarray of int, shape (n,)
    predicted : ndarray, shape (n, n_outputs)
    """
    return metrics_by_target([target.take(rows) for target in data.targets], data.task.kind, predicted)


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

    To an encoder that has nothing to train, estimators of scikit-learn are fitted instead.

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
        If the encoder has fewer layers than are to be transferred, the metric is not one of the task, or the
        device has no arithmetic of the precision.
    InputError
        If a part has no molecule the encoder has code for, or training diverged under every setting.
    """
    encoded = Encoded(data, encoder, transfer or Transfer(), config.seed, choose_device(device))
    if config.training_precision == "fp16" and encoded.device == "cpu" and not encoded.is_estimated:
        raise UsageError("--training-precision fp16 is for GPUs (--device); take bf16 or fp32")
    single = config.ensemble == 1
    splits = [data.split] if single else data.folds(config.ensemble, config.seed)
    tunings = [_Tuning(encoded, split, config) for split in splits]
    test = _supported(encoded, data.split.test, "test")
    if not encoded.is_estimated:
        assert tunings[0].head
    if started is not None:
        started()
    left_out = [tuning.rows("validation" if single else "test") for tuning in tunings]
    fitted = []
    for number, (tuning, unseen) in enumerate(zip(tunings, left_out, strict=True)):
        if encoded.is_estimated:
            fitted.append(tuning.estimate(_Apart(unseen, test)))
        else:
            own = folder if single else folder and folder / f"member-{number}"
            with threads_for(encoded.before):
                fitted.append(tuning.train(_Apart(unseen, test), own, progress))
    return _result(encoded, fitted, left_out, test)


def _result(
    encoded: Encoded,
    fitted: Sequence[_Fitted],
    left_out: Sequence[npt.NDArray[np.intp]],
    test: npt.NDArray[np.intp],
) -> FinetuneResult:
    """What members gave together; `left_out` are the rows that each did not train on."""
    data = encoded.data
    frozen = [member.frozen for member in fitted if member.frozen is not None]
    left, predicted = _together([member.predicted for member in fitted])
    before = _together(frozen) if frozen else None
    rows = np.concatenate(left_out)
    single = len(fitted) == 1

    def metrics(unseen: Sequence[_Floats], tested: _Floats) -> dict[str, _Metrics]:
        return {
            "validation" if single else "folds": metrics_of(data, rows, np.concatenate(unseen)),
            "test": metrics_of(data, test, tested),
        }

    return FinetuneResult(
        members=tuple(one.member for one in fitted),
        metrics=metrics(left, predicted),
        by_fold=[] if single else [metrics_of(data, *fold) for fold in zip(left_out, left, strict=True)],
        frozen=None if before is None else metrics(*before),
        frozen_predicted=None if before is None else before[1],
        unsupported=encoded.unsupported,
        calibration=calibrate(data.task, data.values[rows], np.concatenate(left)),
        predicted=predicted,
        test=test,
    )


def _together(by_member: Sequence[_Apart[_Floats]]) -> tuple[list[_Floats], _Floats]:
    """What each member predicts of rows it did not train on, and the mean of all for the test part."""
    return [own.unseen for own in by_member], np.mean([own.test for own in by_member], axis=0)
