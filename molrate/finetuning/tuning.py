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
from molrate.embedding.embed import choose_device
from molrate.encoders.base import Encoder
from molrate.errors import InputError, UsageError
from molrate.finetuning.config import FinetuningConfig, Transfer
from molrate.finetuning.data import TrainingData
from molrate.finetuning.inputs import Embedded, Encoded, Inputs, is_estimated, prepare
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
from molrate.models.metrics import HIGHER_IS_BETTER, Metrics, check_metric, main_metric, metrics_by_target
from molrate.randomness import seeded

logger = logging.getLogger(__name__)

_BATCH_SIZE = 256
"""Molecules at a time where nothing is learned."""
_START_PENALTY = 0.3
"""Least penalty, per molecule, of the head that training begins with; docs/finetuning-rules.md, rule 10."""

_Floats = npt.NDArray[np.float64]
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
        out), and ``test``; each ``mean`` and ``by_target``.
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
    metrics: dict[str, Metrics]
    by_fold: list[Metrics]
    frozen: dict[str, Metrics] | None
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


class _Tuning:
    """Molecules with one split of them, and the models fitted to it.

    Parameters
    ----------
    inputs : Embedded or Encoded
    split : Split
    config : FinetuningConfig
    """

    def __init__(self, inputs: Embedded | Encoded, split: Split, config: FinetuningConfig) -> None:
        self.inputs, self.split, self.config = inputs, split, config
        self.data, self.task = inputs.data, inputs.data.task
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
        return self.inputs.supported(getattr(self.split, part), part)

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
        return Examples([self.inputs.rows[row] for row in rows.tolist()], targets, self.inputs.collate)

    @cached_property
    def before(self) -> npt.NDArray[np.float32]:
        """Embeddings of the training part before fine-tuning, which the head is fitted to."""
        rows = self.rows("train")
        if isinstance(self.inputs, Embedded):
            return self.inputs.features[rows]
        return embed_examples(self.inputs.before, self.examples(rows), _BATCH_SIZE, self.inputs.device)

    @cached_property
    def head(self) -> Head:
        """The head of the frozen encoder, which validation may keep."""
        return self._fitted_head()

    @cached_property
    def start(self) -> Head:
        """The head that training begins with.

        The best head of the frozen encoder may lean on features that hardly vary, by weights so large that
        the least change of the encoder moves predictions far. This one does not.
        """
        return self._fitted_head(_START_PENALTY)

    def _fitted_head(self, least: float = 0.0) -> Head:
        """A head fitted to embeddings before fine-tuning; `least` as of :func:`fit_linear`."""
        config = self.config
        with seeded(config.seed):
            head = Head(self.before.shape[1], self.task.n_outputs, config.n_hidden, config.dropout)
        rows = self.rows("train")
        balanced, molecules = config.class_weights == "balanced", self.data.molecules.canonical[rows].tolist()
        values = self.data.values[rows]
        fit_linear(head, self.task, self.before, values, balanced, least=least, molecules=molecules)
        return head

    def run(self, learning_rate: float, weight_decay: float) -> FinetuningRun:
        """Encoder and head as they are before training, the same for every trial."""
        config, weights = self.config, None
        if config.class_weights == "balanced":
            weights = balanced_weights(self.task, self.data.values[self.rows("train")])
        loss = MaskedLoss(self.task.kind, weights)
        criterion = None if self.metric is None else partial(self._criterion, self.metric)
        head = deepcopy(self.head)
        return FinetuningRun(self.inputs.module(), head, loss, learning_rate, weight_decay, config, criterion)

    def _criterion(self, metric: str, outputs: torch.Tensor) -> float:
        """The metric that validation chooses by, small where predictions are good; infinite if diverged."""
        predicted = self.head.in_unit(outputs.float().cpu(), self.task.kind).double().numpy()
        if not np.isfinite(predicted).all():
            return np.inf
        value = metrics_of(self.data, self.rows("validation"), predicted)["mean"][metric]
        return -value if HIGHER_IS_BETTER[metric] else value

    def predictions(self, run: FinetuningRun, rows: npt.NDArray[np.intp]) -> _Floats:
        """Predictions for some molecules, shape (n, n_outputs)."""
        return predict(run, self.task.kind, self.examples(rows), _BATCH_SIZE, self.inputs.device)

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
        config, device = self.config, self.inputs.device
        parts = self.examples(self.rows("train")), self.examples(self.rows("validation"))
        trials = []
        for learning_rate, weight_decay in config.trials(self.inputs.transfer.frozen):
            run = self.run(learning_rate, weight_decay)
            trial_folder = folder and folder / f"rate-{learning_rate!r}-decay-{weight_decay!r}"
            trials.append(train(run, self.start, parts, config, device, trial_folder, progress))
            logger.info("%s: %s", self.inputs.encoder.name, trials[-1].record())
        best = min(trials, key=lambda trial: trial.validation)
        if not best.state:
            if folder is not None:
                shutil.rmtree(folder)
            name = self.inputs.encoder.name
            raise InputError(f"{name}: training diverged under every setting; lower --learning-rate")
        run = self.run(best.learning_rate, best.weight_decay)
        before = rows.map(partial(self.predictions, run))
        run.load_state_dict(best.state)
        predicted = rows.map(partial(self.predictions, run))
        run.cpu()
        network = None if isinstance(self.inputs, Embedded) else run.encoder.network
        n_parameters = sum(value.numel() for value in run.encoder.parameters())
        member = Member(network, run.head, tuple(trials), best, n_parameters)  # type: ignore[arg-type]
        return _Fitted(member, predicted, before)

    def estimate(self, rows: _Apart[npt.NDArray[np.intp]]) -> _Fitted:
        """Fit an estimator; `rows` as of :meth:`train`.

        The kind is chosen, and molecules left out are predicted, by models of the training part; the test
        part, which nothing was chosen by, is predicted by the model of training and validation.
        """
        assert isinstance(self.inputs, Embedded)
        features = self.inputs.features
        balanced = self.config.class_weights == "balanced"

        def fit(rows: npt.NDArray[np.intp], **kinds: Any) -> EstimatorHead:
            values = self.data.values[rows]
            molecules = self.data.molecules.canonical[rows].tolist()
            shown = features[rows], values, self.config.seed
            return EstimatorHead.fit(self.task, *shown, balanced=balanced, molecules=molecules, **kinds)

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


def metrics_of(data: TrainingData, rows: npt.NDArray[np.intp], predicted: _Floats) -> Metrics:
    """Metrics of predictions for some rows by target, and their mean, which depends on no unit.

    Parameters
    ----------
    data : TrainingData
    rows : ndarray of int, shape (n,)
    predicted : ndarray, shape (n, n_outputs)
    """
    targets = [target.take(rows) for target in data.targets]
    return metrics_by_target(targets, data.task.kind, predicted, data.scales)


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
    transfer, device = transfer or Transfer(), choose_device(device)
    estimated = is_estimated(encoder, transfer)
    if config.training_precision == "fp16" and device == "cpu" and not estimated:
        raise UsageError("--training-precision fp16 is for GPUs (--device); take bf16 or fp32")
    inputs = prepare(data, encoder, transfer, device, config.seed)
    single = config.ensemble == 1
    splits = [data.split] if single else data.folds(config.ensemble, config.seed)
    tunings = [_Tuning(inputs, split, config) for split in splits]
    test = inputs.supported(data.split.test, "test")
    if not estimated:
        assert tunings[0].head
    if started is not None:
        started()
    left_out = [tuning.rows("validation" if single else "test") for tuning in tunings]
    fitted = []
    for number, (tuning, unseen) in enumerate(zip(tunings, left_out, strict=True)):
        if estimated:
            fitted.append(tuning.estimate(_Apart(unseen, test)))
        else:
            own = folder if single else folder and folder / f"member-{number}"
            with threads_for(inputs.before):
                fitted.append(tuning.train(_Apart(unseen, test), own, progress))
    return _result(inputs, fitted, left_out, test)


def _result(
    inputs: Inputs,
    fitted: Sequence[_Fitted],
    left_out: Sequence[npt.NDArray[np.intp]],
    test: npt.NDArray[np.intp],
) -> FinetuneResult:
    """What members gave together; `left_out` are the rows that each did not train on."""
    data = inputs.data
    frozen = [member.frozen for member in fitted if member.frozen is not None]
    left, predicted = _together([member.predicted for member in fitted])
    before = _together(frozen) if frozen else None
    rows = np.concatenate(left_out)
    single = len(fitted) == 1

    def metrics(unseen: Sequence[_Floats], tested: _Floats) -> dict[str, Metrics]:
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
        unsupported=inputs.unsupported,
        calibration=calibrate(data.task, data.values[rows], np.concatenate(left)),
        predicted=predicted,
        test=test,
    )


def _together(by_member: Sequence[_Apart[_Floats]]) -> tuple[list[_Floats], _Floats]:
    """What each member predicts of rows it did not train on, and the mean of all for the test part."""
    return [own.unseen for own in by_member], np.mean([own.test for own in by_member], axis=0)
