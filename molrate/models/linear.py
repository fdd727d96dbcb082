"""A model fitted on the spot: a linear head of scikit-learn on embeddings that stay as they are."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedKFold
from torch import nn

from molrate.data.datasets import Dataset
from molrate.data.duplicates import measurement_notes
from molrate.data.molecules import standardise
from molrate.data.splits import fold_molecules
from molrate.data.targets import Target, check_targets
from molrate.embedding.embed import embed_one
from molrate.encoders.base import Encoder, load_encoder
from molrate.errors import InputError, UsageError
from molrate.files.requests import REQUEST, Request, make_request, note_request, read_request, refuse_another
from molrate.models.calibration import Calibration, calibrate
from molrate.models.head import Head, Task
from molrate.models.metrics import metrics_by_target
from molrate.models.model import (
    ENCODER,
    HEAD,
    RECORD,
    TRAINING,
    TunedModel,
    common_record,
    save_model,
)

logger = logging.getLogger(__name__)

_Floats = npt.NDArray[np.float64]

FOLDS = 5
_PENALTIES = np.logspace(-2, 5, 15)
_STRENGTHS = np.logspace(-4, 2, 7)
_INNER_FOLDS = 3
_MAX_STEPS = 2000
_COMMAND, _FORMAT = "screen --train", 1


def fit_model(
    dataset: Dataset,
    encoder: Encoder,
    folder: Path,
    *,
    layer: str = "last",
    pooling: str = "mean",
    standardisation: str = "largest-fragment",
    seed: int = 0,
    device: str = "auto",
    ranked: bool = False,
) -> dict[str, Any]:
    """Fit ridge or logistic regression to a dataset and write the model.

    Calibration and metrics are those of five folds, each predicted by a head fitted to the others; the head
    that is kept is fitted to all molecules.

    Parameters
    ----------
    dataset : Dataset
    encoder : Encoder
    folder : pathlib.Path
    layer, pooling, standardisation : str
    seed : int
        Draws the folds.
    device : str
    ranked : bool
        Whether the encoder and its layer were ranked first, not named.

    Returns
    -------
    dict
        The record in ``model.json``.

    Raises
    ------
    InputError
        If a target cannot be learned from, or too few molecules are valid and measured.
    """
    check_targets(dataset.targets)
    task = Task.of(dataset.targets)
    molecules = standardise(dataset.smiles.tolist(), standardisation)
    (name,) = encoder.select_layers(layer)
    embedding = embed_one(molecules, encoder, [name], pooling, device)
    if name not in embedding.layers:
        raise InputError(f"{encoder.name} does not support any molecule of {dataset.name}")
    values = np.column_stack([target.values for target in dataset.targets])
    rows = np.flatnonzero(np.isfinite(embedding.layers[name]).all(axis=1) & ~np.isnan(values).all(axis=1))
    features, values = embedding.layers[name][rows], values[rows]
    targets = [target.take(rows) for target in dataset.targets]
    check_targets(targets)
    for note in [*measurement_notes(molecules.canonical.tolist(), dataset.targets), *task.notes()]:
        logger.warning("%s: %s", dataset.name, note)
    predicted = _predict_folds(targets, features, molecules.canonical[rows], seed)
    head = _fit_head(task, features, values)
    settings = {
        "frozen": True,
        "n_layers": None,
        "layer": name,
        "pooling": pooling,
        "n_hidden": 0,
        "dropout": 0.0,
        "seed": seed,
    }
    calibration: Calibration = calibrate(task, values, predicted)
    record = {
        **common_record(dataset, task, standardisation, encoder, settings),
        "metrics": {"folds": metrics_by_target(targets, task.kind, predicted)},
        "calibration": calibration,
    }
    network = encoder.trainable().network if encoder.n_transferable else None
    note_request(folder, _request(dataset, encoder, ranked, name, pooling, standardisation, seed))
    save_model(folder, encoder, network, head, record, molecules.canonical[rows].tolist())
    return record


def _request(
    dataset: Dataset,
    encoder: Encoder,
    ranked: bool,
    layer: str = "last",
    pooling: str = "mean",
    standardisation: str = "largest-fragment",
    seed: int = 0,
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
            "layer": encoder.select_layers(layer)[0],
            "pooling": pooling,
            "standardisation": standardisation,
            "seed": seed,
        },
    )


def fitted_before(folder: Path, dataset: Dataset, encoder: str | None, seed: int) -> bool:
    """Whether a folder has the model that the same call wrote before.

    Parameters
    ----------
    folder : pathlib.Path
    dataset : Dataset
    encoder : str, optional
        None for whichever was ranked first.
    seed : int

    Raises
    ------
    UsageError
        If it has another one, or other files.
    """
    own = (ENCODER, HEAD, TRAINING, REQUEST)
    if not (folder / RECORD).is_file():
        if folder.is_dir() and any(path.name not in own for path in folder.iterdir()):
            raise UsageError(f"{folder}: it holds other files; name a new folder (-o)")
        return False
    earlier = read_request(folder, [RECORD])
    assert earlier is not None
    if earlier.get("command") != _COMMAND:
        raise UsageError(f"{folder}: it is no model of screen --train; name another folder (-o)")
    # The encoder ranked first, and its layer, are what they were; that its weights are is compared.
    chosen = encoder or earlier["encoder"]["name"]
    layer = "last" if encoder else earlier["settings"]["layer"]
    now = _request(dataset, load_encoder(chosen, seed=seed), encoder is None, layer, seed=seed)
    refuse_another(f"-o {folder}", earlier, now)
    TunedModel.load(folder)
    return True


def describe(record: dict[str, Any]) -> str:
    """One line: what was fitted and how well it predicts."""
    metrics = record["metrics"]["folds"]["mean"]
    shown = ", ".join(f"{name} {value:.3g}" for name, value in metrics.items())
    encoder = record["encoder"]
    return (
        f"{record['dataset']['name']}: {', '.join(record['task']['targets'])} by a linear model on "
        f"{encoder['name']}, {encoder['layer']}; {FOLDS} folds: {shown}"
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
        head = _fit_head(task, features[known], values[known])
        with torch.inference_mode():
            predicted[new] = head.predict(torch.from_numpy(features[new]), task.kind).numpy()
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


def _fit_head(task: Task, features: npt.NDArray[np.float32], values: _Floats) -> Head:
    head = Head(features.shape[1], task.n_outputs, 0, 0.0).eval()
    head.scale_features(features)
    scaled = head.scaled(torch.from_numpy(features)).double().numpy()
    if task.kind == "regression":
        head.scale_targets(values)
    fits = [_fit_target(task, scaled, values[:, column], column, head) for column in range(len(task.targets))]
    linear = head.layers[-1]
    assert isinstance(linear, nn.Linear)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(np.vstack([weight for weight, _ in fits])))
        linear.bias.copy_(torch.from_numpy(np.concatenate([bias for _, bias in fits])))
    return head


def _fit_target(
    task: Task, scaled: _Floats, values: _Floats, column: int, head: Head
) -> tuple[_Floats, _Floats]:
    """Weights (n_outputs of the target, d) and biases of one target."""
    measured = ~np.isnan(values)
    known, name = values[measured], task.targets[column]
    if task.kind == "regression":
        mean, scale = float(head.target_mean[column]), float(head.target_scale[column])
        ridge = RidgeCV(_PENALTIES).fit(scaled[measured], (known - mean) / scale)
        return ridge.coef_[None], np.array([ridge.intercept_])
    classes, counts = np.unique(known, return_counts=True)
    if len(classes) < len(task.classes[column]) or counts.min() < 2:
        raise InputError(f"target {name!r}: a class has too few molecules to fit and check a model on")
    folds = StratifiedKFold(min(_INNER_FOLDS, int(counts.min())))
    search = GridSearchCV(
        LogisticRegression(max_iter=_MAX_STEPS), {"C": _STRENGTHS}, scoring="neg_log_loss", cv=folds
    )
    model = search.fit(scaled[measured], known).best_estimator_
    return model.coef_, model.intercept_
