"""``molrate finetune`` as a function: resumable, and refusing to mix two runs in one folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from molrate.encoders.base import Encoder
from molrate.models.model import common_record, save_model

if TYPE_CHECKING:
    from molrate.finetuning.tuning import FinetuneResult

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from molrate.encoders.base import load_encoder
from molrate.errors import InputError, UsageError
from molrate.finetuning.config import FinetuningConfig
from molrate.finetuning.tuning import TrainingData, tune
from molrate.models.metrics import MAIN_METRIC
from molrate.models.model import RECORD

_TRIALS, _REQUEST = "trials", "request.json"


def finetune(
    source: str | Path,
    encoder: str,
    folder: str | Path,
    config: FinetuningConfig | None = None,
    *,
    target: str | Sequence[str] | None = None,
    task: str | None = None,
    smiles_column: str | None = None,
    split: str = "random",
    n_layers: int | None = None,
    frozen: bool = False,
    layer: str = "last",
    pooling: str = "mean",
    weights: str | Path | None = None,
    device: str = "auto",
    progress: bool = False,
) -> dict[str, Any]:
    """Fine-tune an encoder and write the model, or go on where the same call was stopped.

    Parameters
    ----------
    source, target, task, smiles_column
        As in :func:`molrate.load_dataset`.
    encoder : str
    folder : str or pathlib.Path
        Receives ``model.json``, ``encoder.safetensors`` and ``head.safetensors``; while training, also
        checkpoints under ``trials``.
    config : FinetuningConfig, optional
    split : {"random", "scaffold"}
    n_layers : int, optional
        How many of the encoder's first layers are transferred, the rest drawn anew; all by default.
    frozen : bool
        Train the head alone.
    layer : str
        Whose embeddings a frozen encoder gives.
    pooling : {"mean", "sum", "max"}
    weights : str or pathlib.Path, optional
        A checkpoint in place of the published one.
    device : str
    progress : bool

    Returns
    -------
    dict
        The record in ``model.json``, with metrics of validation and test.

    Raises
    ------
    UsageError
        If options contradict each other, or the folder holds another run.
    InputError
        If the data cannot be trained on or the folder not written.
    WeightsError
        If the encoder's weights cannot be used.
    """
    config = config or FinetuningConfig()
    folder = Path(folder)
    if frozen and n_layers is not None:
        raise UsageError("--layers says what fine-tuning transfers; --frozen trains no layer, take --layer")
    if not frozen and layer != "last":
        raise UsageError(
            "--layer is for --frozen; fine-tuning takes the last layer, and --layers transfers fewer"
        )
    model = load_encoder(encoder, weights, config.seed)
    data = TrainingData.load(source, target, split, config.seed, smiles_column, task)
    settings = {"frozen": frozen, "n_layers": n_layers, "layer": layer, "pooling": pooling, **config.record()}
    request = {
        "dataset": _digest(data),
        "targets": json.loads(json.dumps(data.task.record())),
        "split": split,
        "encoder": model.identity(),
        "settings": json.loads(json.dumps(settings)),
    }
    finished = _finished(folder, request)
    if finished is not None:
        return finished
    tuned = tune(
        data,
        model,
        config,
        n_layers=n_layers,
        frozen=frozen,
        layer=layer,
        pooling=pooling,
        device=device,
        folder=folder / _TRIALS,
        started=lambda: _note(folder, request),
        progress=progress,
    )
    record = write_model(folder, data, model, tuned, settings)
    _tidy(folder)
    return record


def _digest(data: TrainingData) -> str:
    """Digest of molecules and targets, however the table was read."""
    content = data.molecules.digest.encode() + data.values.tobytes()
    return hashlib.sha256(content).hexdigest()


def _finished(folder: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    """The record where all that is asked for was done before.

    Raises
    ------
    UsageError
        If the folder holds a run of other data, encoder or settings.
    """
    noted, record = folder / _REQUEST, folder / RECORD
    begun = record.is_file() or any((folder / _TRIALS).glob("*/*.ckpt"))
    if not begun:
        return None
    try:
        earlier = json.loads(noted.read_text(encoding="utf-8"))
        if earlier != request:
            differing = ", ".join(key for key in request if earlier.get(key) != request[key])
            raise UsageError(f"-o {folder}: it holds a run of another {differing}; name an empty folder")
        finished: dict[str, Any] | None = None
        if record.is_file():
            finished = json.loads(record.read_text(encoding="utf-8"))
            _tidy(folder)
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"-o {folder}: it holds another run, which cannot be read: {error}") from error
    return finished


def _note(folder: Path, request: dict[str, Any]) -> None:
    """Say in the folder what it is for.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    try:
        (folder / _TRIALS).mkdir(parents=True, exist_ok=True)
        (folder / _REQUEST).write_text(json.dumps(request, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"-o {folder}: cannot be written: {error}") from error


def _tidy(folder: Path) -> None:
    """Keep the losses of each trial and drop its checkpoint."""
    for curve in sorted((folder / _TRIALS).glob("*/curve.csv")):
        curve.replace(folder / f"{curve.parent.name}.csv")
    shutil.rmtree(folder / _TRIALS, ignore_errors=True)


def describe(record: dict[str, Any], folder: Path) -> str:
    """What a run gave, in a few lines."""
    best, split = record["best"], record["split"]
    regression = record["task"]["kind"] == "regression"
    main = MAIN_METRIC["regression" if regression else "classification"]
    sizes = ", ".join(f"{len(split[part])} {part}" for part in ("train", "validation", "test"))
    lines = [
        f"{record['dataset']['name']}: {', '.join(record['task']['targets'])}, {record['encoder']['name']}"
        f"{' frozen, ' + record['encoder']['layer'] if record['settings']['frozen'] else ''}",
        f"{split['method']} split: {sizes} molecules",
        f"best of {len(record['trials'])}: learning rate {best['learning_rate']:g}, weight decay "
        f"{best['weight_decay']:g}, epoch {best['best_epoch'] + 1} of {best['n_epochs']}",
    ]
    for part in ("validation", "test"):
        metrics = record["metrics"][part]["mean"]
        ordered = sorted(metrics, key=lambda name: name != main)
        lines.append(f"{part}: " + ", ".join(f"{name} {_number(metrics[name])}" for name in ordered))
    if record["unsupported"]:
        lines.append(f"left out: {len(record['unsupported'])} molecules the encoder does not support")
    lines.append(f"model: {folder}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4g}"


def write_model(
    folder: Path, data: TrainingData, encoder: Encoder, tuned: FinetuneResult, settings: dict[str, Any]
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
        Of the run: ``frozen``, ``n_layers``, ``layer``, ``pooling`` and those of its configuration.

    Returns
    -------
    dict
        The record in ``model.json``.

    Raises
    ------
    InputError
        If the folder cannot be written.
    """
    network = encoder.trainable().network if settings["frozen"] and encoder.n_transferable else None
    if not settings["frozen"]:
        network = tuned.run.encoder.network  # type: ignore[assignment]
    record = _record(data, encoder, tuned, settings)
    known = [row for row in data.split.train.tolist() if row not in tuned.unsupported]
    training = data.molecules.canonical[known].tolist()
    save_model(folder, encoder, network, tuned.run.head, record, training)
    return record


def _record(
    data: TrainingData, encoder: Encoder, tuned: FinetuneResult, settings: dict[str, Any]
) -> dict[str, Any]:
    standardisation = data.molecules.standardisation
    return {
        **common_record(data.dataset, data.task, standardisation, encoder, settings),
        "trials": [_finite(trial.record()) for trial in tuned.trials],
        "best": tuned.best.record(),
        "metrics": _finite(tuned.metrics),
        "calibration": tuned.calibration,
        "split": {"method": data.method, **data.split.record()},
        "unsupported": tuned.unsupported,
    }


def _finite(metrics: Any) -> Any:
    """Metrics with None in place of NaN, which JSON has not."""
    if isinstance(metrics, dict):
        return {name: _finite(value) for name, value in metrics.items()}
    return metrics if np.isfinite(metrics) else None
