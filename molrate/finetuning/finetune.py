"""``molrate finetune`` as a function: resumable, and refusing to mix two runs in one folder."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from molrate.data.datasets import as_dataset
from molrate.data.parts import assign, read_test
from molrate.data.policy import RowPolicy
from molrate.data.splits import describe_sizes
from molrate.data.structures import MAX_ATOMS
from molrate.embedding.embed import choose_device
from molrate.encoders.base import Encoder, load_encoder
from molrate.files.locks import exclusive
from molrate.files.requests import make_request, note_request, take_up
from molrate.finetuning.comparison import compare, describe_best, describe_comparison
from molrate.finetuning.config import DEFAULTS, FinetuningConfig, Transfer
from molrate.finetuning.data import TrainingData
from molrate.finetuning.tuning import FinetuneResult, tune
from molrate.models.calibration import COVERAGE, coverage_notes
from molrate.models.estimators import EstimatorHead
from molrate.models.metrics import describe_metrics
from molrate.models.model import RECORD, TunedModel, check_model, common_record, save_model
from molrate.ranking.contamination import contamination_notes, seen_shares

logger = logging.getLogger(__name__)

_TRIALS = "trials"
_FORMAT = 5
_TRACES = (f"{_TRIALS}/**/*.ckpt", RECORD)
"""What a run leaves in its folder."""


def finetune(
    dataset: Any,
    encoder: str,
    output: str | Path,
    *,
    target: Any = None,
    smiles: str | None = None,
    task: str | None = None,
    split: str = "random",
    split_column: str | None = None,
    date_column: str | None = None,
    test: Any = None,
    standardisation: str = "largest-fragment",
    duplicates: str = "keep",
    on_invalid: str = "skip",
    max_atoms: int = MAX_ATOMS,
    n_layers: int | None = None,
    frozen: bool = False,
    layer: str = "last",
    pooling: str = "mean",
    precision: str = "fp32",
    descriptors: bool = False,
    weights: str | Path | None = None,
    learning_rates: Sequence[float] = DEFAULTS.learning_rates,
    weight_decays: Sequence[float] = DEFAULTS.weight_decays,
    n_epochs: int | None = DEFAULTS.n_epochs,
    patience: int | None = DEFAULTS.patience,
    metric: str | None = DEFAULTS.metric,
    ensemble: int = DEFAULTS.ensemble,
    batch_size: int = DEFAULTS.batch_size,
    class_weights: str = DEFAULTS.class_weights,
    training_precision: str = DEFAULTS.training_precision,
    seed: int = 0,
    device: str = "auto",
    progress: bool = False,
    positive: str | None = None,
    censored: str | None = None,
) -> TunedModel:
    """Fine-tune an encoder and write the model, or go on where the same call was stopped.

    Parameters
    ----------
    dataset : str, pathlib.Path, Dataset, data frame or sequence
        As of :func:`molrate.score`.
    encoder : str
    output : str or pathlib.Path
        Folder of the model: ``model.json``, ``encoder.safetensors``, ``head.safetensors``.
    target : str, sequence of str, or array_like
        Target columns, or the measured values of a sequence of molecules.
    smiles : str, optional
        Column of SMILES.
    task : {"classification", "regression"}, optional
    split : {"random", "scaffold"}
        Of molecules into 70 : 10 : 20 to train on, to choose by and to measure on.
    split_column : str, optional
        Column of the table that holds train, validation and test.
    date_column : str, optional
        Column of the table by which the newest fifth is measured on, and the tenth before it chosen by;
        rows of one date stay together.
    test : str, pathlib.Path, Dataset or data frame, optional
        Another table with the same targets, to measure on.
    standardisation : {"largest-fragment", "none"}
    duplicates : {"keep", "merge"}
    on_invalid : {"skip", "fail"}
    max_atoms : int
        As of :func:`molrate.score`.
    n_layers : int, optional
        How many of the encoder's first layers are transferred, the rest drawn anew; all by default.
    frozen : bool
        Train the head alone.
    layer : str
        Whose embeddings a frozen encoder gives.
    pooling : {"mean", "sum", "max"}
    precision : {"fp32", "bf16"}
        Of the weights and hidden states of a frozen GROVER encoder.
    descriptors : bool
        Whether the head reads RDKit's descriptors beside the embedding.
    weights : str or pathlib.Path, optional
        A checkpoint in place of the published one.
    learning_rates, weight_decays : sequence of float
        Every pair is tried.
    n_epochs : int, optional
        By default as many as the size of the training part asks for, see docs/finetuning.md.
    patience : int, optional
        Epochs without a better one that end training; by default none do.
    metric : str, optional
        What validation chooses by: rmse, mae, r2, auroc, auprc, mcc, balanced_accuracy or accuracy; by
        default the loss of numbers, and auroc of classes.
    ensemble : int
        Train so many models, each without one fold of the training molecules; their mean predicts, and
        intervals come from molecules that neither trained nor chose.
    batch_size : int
    class_weights : {"none", "balanced"}
        Whether every molecule or every class counts alike in the loss.
    training_precision : {"fp32", "bf16", "fp16"}
        Of the arithmetic of training.
    seed : int
        Draws the split and all of training.
    device : str
    progress : bool
    positive, censored : str, optional
        See :func:`molrate.load_dataset`.

    Returns
    -------
    TunedModel
        Its ``record`` holds split, settings and the metrics of validation and test.

    Raises
    ------
    UsageError
        If options contradict each other, or the folder holds another run.
    InputError
        If the data cannot be trained on or the folder not written.
    WeightsError
        If the encoder's weights cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> model = finetune("freesolv", "ecfp4", tempfile.mkdtemp() + "/m")
    >>> model.columns
    ['predicted_freesolv']
    """
    config = FinetuningConfig(
        learning_rates=tuple(learning_rates),
        weight_decays=tuple(weight_decays),
        n_epochs=n_epochs,
        patience=patience,
        ensemble=ensemble,
        metric=metric,
        batch_size=batch_size,
        class_weights=class_weights,
        training_precision=training_precision,
        seed=seed,
    )
    transfer = Transfer(n_layers, frozen, layer, pooling, precision, descriptors)
    read = as_dataset(dataset, target, smiles, task, positive, censored)
    unseen = None if test is None else read_test(test, read, smiles, task, censored)
    read, assignment = assign(dataset, read, split_column, date_column, unseen)
    policy = RowPolicy(standardisation, duplicates, on_invalid, max_atoms)
    data = TrainingData.of(read, split, seed, policy, assignment)
    run_finetuning(data, encoder, output, config, transfer, weights=weights, device=device, progress=progress)
    return TunedModel.load(output)


def run_finetuning(
    data: TrainingData,
    encoder: str,
    folder: str | Path,
    config: FinetuningConfig,
    transfer: Transfer | None = None,
    *,
    weights: str | Path | None = None,
    device: str = "auto",
    progress: bool = False,
) -> dict[str, Any]:
    """Fine-tune and write the model; see :func:`finetune`.

    Returns
    -------
    dict
        The record in ``model.json``.
    """
    folder, transfer = Path(folder), transfer or Transfer()
    for note in data.notes:
        logger.warning("%s: %s", data.dataset.name, note)
    model = load_encoder(encoder, weights, config.seed, transfer.precision)
    for note in _without_effect(model, config, transfer):
        logger.warning("%s: %s", model.name, note)
    settings = {**data.policy.record(), **transfer.record(), **config.record()}
    request = make_request(
        "finetune",
        _FORMAT,
        dataset=f"sha256:{data_digest(data)}",
        targets=data.task.record(),
        split={"method": data.method, "rows": f"sha256:{split_digest(data)}"},
        encoder={"name": model.name, **model.identity()},
        settings=settings,
        device=choose_device(device),
    )
    with exclusive(folder):
        if take_up(folder, request, _TRACES) and (folder / RECORD).is_file():
            _tidy(folder)
            return check_model(folder)
        tuned = tune(
            data,
            model,
            config,
            transfer,
            device=device,
            folder=folder / _TRIALS,
            started=lambda: note_request(folder, request),
            progress=progress,
        )
        comparison = compare(data, model.name, tuned, config, transfer)
        record = write_model(folder, data, model, tuned, settings, comparison)
        _tidy(folder)
    return record


_OF_TRAINING = {
    "learning_rates": "--learning-rate",
    "weight_decays": "--weight-decay",
    "n_epochs": "--epochs",
    "patience": "--patience",
    "metric": "--metric",
    "batch_size": "--batch-size",
    "training_precision": "--training-precision",
}
"""Settings that nothing but training by gradients reads."""


def _without_effect(encoder: Encoder, config: FinetuningConfig, transfer: Transfer) -> list[str]:
    """Sentences on settings that were given and change nothing.

    They are no error: the same line is given for many encoders, baselines among them.
    """
    given = [
        option for name, option in _OF_TRAINING.items() if getattr(config, name) != getattr(DEFAULTS, name)
    ]
    if not encoder.n_transferable and given:
        return [f"nothing is trained by gradients, so that these change nothing: {', '.join(given)}"]
    if transfer.frozen and "--learning-rate" in given:
        return ["--learning-rate is the encoder's, which --frozen keeps as it is; the head has its own"]
    return []


def data_digest(data: TrainingData) -> str:
    """Digest of molecules and targets, however the table was read."""
    content = data.molecules.digest.encode() + data.values.tobytes()
    return hashlib.sha256(content).hexdigest()


def split_digest(data: TrainingData) -> str:
    """Digest of the parts, which a table may have named otherwise before."""
    return hashlib.sha256(json.dumps(data.split.record()).encode()).hexdigest()


def _tidy(folder: Path) -> None:
    """Keep the losses of each trial and drop its checkpoint."""
    trials = folder / _TRIALS
    for curve in sorted(trials.glob("**/curve.csv")):
        curve.replace(folder / f"{'-'.join(curve.parent.relative_to(trials).parts)}.csv")
    shutil.rmtree(folder / _TRIALS, ignore_errors=True)


def describe(record: dict[str, Any], folder: Path) -> str:
    """What a run gave, in a few lines."""
    split = record["split"]
    lines = [
        f"{record['dataset']['name']}: {', '.join(record['task']['targets'])}, {record['encoder']['name']}"
        f"{' frozen, ' + record['settings']['layer'] if record['settings']['frozen'] else ''}",
        *_positive_lines(record["task"]),
        f"{split['method']} split: {describe_sizes(split)}",
        _best_line(record),
    ]
    for part, found in record["metrics"].items():
        first, *others = describe_metrics(found, record["task"]["kind"])
        lines += [f"{part}: {first}", *(f"  {line}" for line in others)]
    lines.append(describe_comparison(record["comparison"]))
    lines += filter(None, [describe_best(record["comparison"])])
    if record["unsupported"]:
        lines.append(f"left out: {len(record['unsupported'])} molecules the encoder does not support")
    lines += [f"note: {note}" for note in record["notes"]]
    lines.append(f"model: {folder}")
    return "\n".join(lines)


def _best_line(record: dict[str, Any]) -> str:
    """What was kept of what was tried."""
    settings = record["settings"]
    folds = f", {settings['ensemble']} models, each without one fold" if settings["ensemble"] > 1 else ""
    if record["estimators"] is not None:
        kinds = sorted({kind for member in record["estimators"] for kind in member})
        return f"nothing to train: {', '.join(kinds)} by cross-validation{folds}"
    best = record["best"]
    rate = "" if settings["frozen"] else f"learning rate {best['learning_rate']:g}, "
    epoch = f"epoch {best['best_epoch']} of {best['n_epochs']}"
    as_it_was = " (the encoder as it was)" if best["best_epoch"] == 0 else ""
    return f"best of {len(record['trials'])}{folds}: {rate}{epoch}{as_it_was}"


def _positive_lines(task: dict[str, Any]) -> list[str]:
    sought = zip(task["targets"], task["positives"], strict=False)
    named = [f"{target}={label}" for target, label in sought if label is not None]
    return [f"positive class: {', '.join(named)}"] if named else []


def write_model(
    folder: Path,
    data: TrainingData,
    encoder: Encoder,
    tuned: FinetuneResult,
    settings: dict[str, Any],
    comparison: dict[str, Any],
    structures: bool = True,
) -> dict[str, Any]:
    """Write a fine-tuned model.

    Parameters
    ----------
    folder : pathlib.Path
    data : TrainingData
    encoder : Encoder
        As it was before fine-tuning.
    tuned : FinetuneResult
    settings : dict
        Of the run: those of rows (:class:`molrate.data.policy.RowPolicy`), of transfer, and of training.
    comparison : dict
        Of :func:`molrate.finetuning.comparison.compare`.
    structures : bool
        Whether training molecules are kept; without them, predictions have no similarity to them, and notes
        name rows and quote none.

    Returns
    -------
    dict
        The record in ``model.json``.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    shared = encoder.trainable().network if encoder.n_transferable else None
    members = [
        (shared if member.network is None else member.network, member.head) for member in tuned.members
    ]
    shares = seen_shares([encoder], data.molecules)
    seen = contamination_notes([encoder.card], data.dataset.name, shares, remedy="")
    record = _record(data, encoder, tuned, settings) | {
        "notes": [
            *data.notes_on_rows(quoted=structures),
            *coverage_notes(tuned.calibration, COVERAGE),
            *seen,
        ],
        # Told again where errors stand: the test part proves little of an encoder trained on its labels.
        "seen": seen,
        "comparison": _finite(comparison),
    }
    # An estimator learns from the validation part too; of a network that part chooses the epoch.
    one_network = settings["ensemble"] == 1 and tuned.best is not None
    parts = ("train",) if one_network else ("train", "validation")
    known = np.sort(np.concatenate([getattr(data.split, part) for part in parts]))
    supported = [row for row in known.tolist() if row not in tuned.unsupported]
    training = data.molecules.canonical[supported].tolist() if structures else []
    save_model(folder, encoder, members, record, training)
    return record


def _record(
    data: TrainingData, encoder: Encoder, tuned: FinetuneResult, settings: dict[str, Any]
) -> dict[str, Any]:
    return {
        **common_record(data.dataset, data.task, encoder, settings),
        "trials": [_finite(trial.record()) for trial in tuned.trials],
        "best": None if tuned.best is None else tuned.best.record(),
        "estimators": _estimators(tuned),
        "metrics": _finite(tuned.metrics),
        "by_fold": [_finite(metrics) for metrics in tuned.by_fold],
        "calibration": tuned.calibration,
        "split": {
            "method": data.method,
            **data.split.record(),
            "molecules": {part: data.n_molecules(rows) for part, rows in data.split.record().items()},
        },
        "unsupported": tuned.unsupported,
    }


def _estimators(tuned: FinetuneResult) -> list[list[str]] | None:
    """Kinds of estimator of each member and target; None where heads were trained."""
    kinds = [member.head.kinds for member in tuned.members if isinstance(member.head, EstimatorHead)]
    return kinds or None


def _finite(metrics: Any) -> Any:
    """Metrics with None in place of NaN, which JSON has not."""
    if isinstance(metrics, dict):
        return {name: _finite(value) for name, value in metrics.items()}
    if isinstance(metrics, list):
        return [_finite(value) for value in metrics]
    return metrics if isinstance(metrics, str) or np.isfinite(metrics) else None
