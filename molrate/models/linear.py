"""A model fitted on the spot: a linear head of scikit-learn on embeddings that stay as they are."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GroupKFold

from molrate.data.datasets import Dataset
from molrate.data.duplicates import measurement_notes, merge_measurements
from molrate.data.policy import RowPolicy
from molrate.data.splits import fold_molecules
from molrate.data.targets import Target, check_targets
from molrate.embedding.embed import embed_one
from molrate.embedding.settings import EmbeddingSettings
from molrate.embedding.table import failures
from molrate.encoders.base import Encoder, load_encoder
from molrate.errors import InputError, UsageError
from molrate.files.requests import REQUEST, Request, make_request, note_request, read_request, refuse_another
from molrate.models.calibration import COVERAGE, Calibration, calibrate, coverage_notes
from molrate.models.closed_form import fit_linear
from molrate.models.head import Head, Task
from molrate.models.metrics import describe_metrics, error_scales, metrics_by_target
from molrate.models.model import (
    RECORD,
    TRAINING,
    TunedModel,
    common_record,
    save_model,
)
from molrate.randomness import seeded
from molrate.ranking.molecules import standardise_dataset

logger = logging.getLogger(__name__)

_Floats = npt.NDArray[np.float64]

FOLDS = 5
_OWN = ("encoder.safetensors", "head.safetensors", TRAINING, REQUEST)
"""What a run that was stopped leaves in its folder."""
_COMMAND, _FORMAT = "screen --train", 3


def fit_model(
    dataset: Dataset,
    encoder: Encoder,
    folder: Path,
    *,
    policy: RowPolicy | None = None,
    embedding: EmbeddingSettings | None = None,
    ranked: str | None = None,
) -> dict[str, Any]:
    """Fit ridge or logistic regression to a dataset and write the model.

    Calibration and metrics are those of five folds, each predicted by a head fitted to the others; the head
    that is kept is fitted to all molecules.

    Parameters
    ----------
    dataset : Dataset
    encoder : Encoder
    folder : pathlib.Path
    policy : RowPolicy, optional
        How rows become molecules.
    embedding : EmbeddingSettings, optional
        How molecules become vectors; of one layer. Its seed draws the folds too.
    ranked : str, optional
        Layers that were ranked, ``last`` or ``all``, where encoder and layer were ranked first and not named.

    Returns
    -------
    dict
        The record in ``model.json``.

    Raises
    ------
    InputError
        If a target cannot be learned from, or too few molecules are valid and measured.
    """
    policy, embedding = policy or RowPolicy(), embedding or EmbeddingSettings()
    check_targets(dataset.targets)
    task = Task.of(dataset.targets)
    molecules = standardise_dataset(dataset, policy)
    canonical = molecules.canonical.tolist()
    for note in [
        *molecules.left_out(),
        *measurement_notes(canonical, dataset.targets, policy.duplicates),
        *task.notes(),
    ]:
        logger.warning("%s: %s", dataset.name, note)
    targets = dataset.targets
    if policy.duplicates == "merge":
        targets = merge_measurements(canonical, targets)
    layer = encoder.select_layer(embedding.layer)
    embedded = embed_one(molecules, encoder, [layer], embedding.pooling, embedding.device)
    vectors = embedded.layers.get(layer)
    if vectors is None:
        raise InputError(f"{encoder.name} does not support any molecule of {dataset.name}")
    unsupported = failures(molecules, embedded)
    if unsupported:
        row = min(unsupported)
        logger.warning(
            "%s: left out: %d molecules that %s does not support, the first in row %d (%s)",
            dataset.name,
            len(unsupported),
            encoder.name,
            row + 1,
            unsupported[row],
        )
    values = np.column_stack([target.values for target in targets])
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1) & ~np.isnan(values).all(axis=1))
    features, values = vectors[rows], values[rows]
    targets = tuple(target.take(rows) for target in targets)
    check_targets(targets)
    predicted = _predict_folds(targets, features, molecules.canonical[rows], embedding.seed)
    head = _fit_head(task, features, values, molecules.canonical[rows])
    settings = {
        **policy.record(),
        **embedding.record(),
        "layer": layer,
        "frozen": True,
        "n_layers": None,
        "n_hidden": 0,
        "dropout": 0.0,
    }
    calibration: Calibration = calibrate(task, values, predicted)
    for note in coverage_notes(calibration, COVERAGE):
        logger.warning("%s: %s", dataset.name, note)
    record = {
        **common_record(dataset, task, encoder, settings),
        "metrics": {
            "folds": metrics_by_target(targets, task.kind, predicted, error_scales(task.kind, values))
        },
        "calibration": calibration,
    }
    network = encoder.trainable().network if encoder.n_transferable else None
    note_request(folder, _request(dataset, encoder, policy, embedding, ranked))
    save_model(folder, encoder, [(network, head)], record, molecules.canonical[rows].tolist())
    return record


def _request(
    dataset: Dataset,
    encoder: Encoder,
    policy: RowPolicy,
    embedding: EmbeddingSettings,
    ranked: str | None,
) -> Request:
    """All that changes a model that is fitted on the spot."""
    values = np.column_stack([target.values for target in dataset.targets])
    content = "\n".join(dataset.smiles).encode() + values.tobytes()
    return make_request(
        _COMMAND,
        _FORMAT,
        table=f"sha256:{hashlib.sha256(content).hexdigest()}",
        task=Task.of(dataset.targets).record(),
        ranked=ranked,
        encoder={"name": encoder.name, **encoder.identity()},
        settings={
            **policy.record(),
            **embedding.record(),
            "layer": encoder.select_layer(embedding.layer),
        },
    )


def fitted_before(
    folder: Path,
    dataset: Dataset,
    encoder: str | None,
    policy: RowPolicy | None = None,
    embedding: EmbeddingSettings | None = None,
    weights: str | Path | None = None,
) -> bool:
    """Whether a folder has the model that the same call wrote before.

    Parameters
    ----------
    folder : pathlib.Path
    dataset : Dataset
    encoder : str, optional
        None for whichever was ranked first.
    policy, embedding
        As of :func:`fit_model`; of whichever was ranked first, the layers that were ranked.
    weights : str or pathlib.Path, optional
        Of the encoder.

    Raises
    ------
    UsageError
        If it has another one, or other files.
    """
    if not (folder / RECORD).is_file():
        if folder.is_dir() and any(path.name not in _OWN for path in folder.iterdir()):
            raise UsageError(f"{folder}: it holds other files; name a new folder (-o)")
        return False
    earlier = read_request(folder, [RECORD])
    assert earlier is not None
    if earlier.get("command") != _COMMAND:
        raise UsageError(f"{folder}: it is no model of screen --train; name another folder (-o)")
    # The encoder ranked first, and its layer, are what they were; that its weights are is compared.
    chosen = encoder or earlier["encoder"]["name"]
    policy, embedding = policy or RowPolicy(), embedding or EmbeddingSettings()
    ranked = embedding.layer if encoder is None else None
    if ranked is not None:
        embedding = replace(embedding, layer=earlier["settings"]["layer"])
    loaded = load_encoder(chosen, weights, embedding.seed, embedding.precision)
    now = _request(dataset, loaded, policy, embedding, ranked)
    refuse_another(f"-o {folder}", earlier, now)
    TunedModel.load(folder)
    return True


def describe(record: dict[str, Any]) -> str:
    """One line: what was fitted and how well it predicts."""
    shown = "; ".join(describe_metrics(record["metrics"]["folds"], record["task"]["kind"], digits=3))
    encoder = record["encoder"]
    return (
        f"{record['dataset']['name']}: {', '.join(record['task']['targets'])} by a linear model on "
        f"{encoder['name']}, {record['settings']['layer']}; {FOLDS} folds: {shown}"
    )


def _predict_folds(
    targets: Sequence[Target],
    features: npt.NDArray[np.float32],
    canonical: npt.NDArray[np.object_],
    seed: int,
) -> _Floats:
    """Predictions of each molecule by a head that did not see it, shape (n, n_outputs)."""
    task, values = Task.of(targets), np.column_stack([target.values for target in targets])
    predicted = np.full((len(values), task.n_outputs), np.nan)
    for new in _folds(targets, canonical, seed):
        known = np.setdiff1d(np.arange(len(values)), new)
        head = _fit_head(task, features[known], values[known], canonical[known])
        predicted[new] = head.values(features[new], task.kind)
    return predicted


def _folds(
    targets: Sequence[Target], canonical: npt.NDArray[np.object_], seed: int
) -> list[npt.NDArray[np.intp]]:
    """Rows of each fold; folds of classes are stratified."""
    if targets[0].task == "classification":
        return fold_molecules(canonical.tolist(), FOLDS, seed, targets)
    n_molecules = len(set(canonical))
    if n_molecules < FOLDS:
        raise InputError(f"{n_molecules} different molecules are too few; {FOLDS} are the least")
    folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
    return [new for _, new in folds.split(canonical, groups=canonical)]


def _fit_head(
    task: Task, features: npt.NDArray[np.float32], values: _Floats, canonical: npt.NDArray[np.object_]
) -> Head:
    # What is drawn is replaced by what is fitted.
    with seeded(0):
        head = Head(features.shape[1], task.n_outputs, 0, 0.0).eval()
    fit_linear(head, task, features, values, molecules=canonical.tolist())
    return head
