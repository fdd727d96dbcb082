"""From a dataset and encoders to a ranking: tidy rows, the best encoder, and what to mind."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from molrate.datasets import Dataset, load_dataset
from molrate.embedding import Embedding, Progress, embed_molecules
from molrate.encoders.base import Encoder, load_encoder
from molrate.errors import InputError, MolrateError, UsageError
from molrate.measures.base import Measure, label_codes
from molrate.measures.transrate import TransRate
from molrate.molecules import Molecules, standardise
from molrate.targets import Target, quantile_bins
from molrate.weights import encoder_cards

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

COLUMNS = [
    "rank",
    "dataset",
    "target",
    "task",
    "encoder",
    "kind",
    "layer",
    "pooling",
    "measure",
    "value",
    "null_mean",
    "null_sd",
    "excess",
    "n",
    "dimension",
    "classes",
    "smallest_class",
    "seconds",
    "status",
    "note",
]

_Request = tuple[Encoder, tuple[str, ...]]
_Failure = tuple[str, MolrateError]

PERMUTATIONS = 5
"""Label permutations for the null. Its spread is tiny beside the differences that matter."""
MIN_LABELLED = 20
_BINS = 10
_ROWS_PER_BIN = 20
_NO_PRETRAINED = (
    "These are controls only: no published checkpoint is on this machine. Name one with --encoder to "
    "download it (molrate list encoders), or the folder of those you have in MOLRATE_WEIGHTS."
)
_NO_CONTROL = (
    "No control was ranked, so this does not say whether pretraining helps at all; add --encoder ecfp4 and "
    "the untrained architecture."
)
_VERSIONS = ("molrate", "torch", "torch-geometric", "rdkit", "numpy")


@dataclass(frozen=True, repr=False)
class Ranking:
    """Encoders and layers ranked for the targets of a dataset.

    Attributes
    ----------
    frame : pandas.DataFrame
        One row per target, encoder and layer, best first within a target; columns ``COLUMNS``.
        ``status`` is ``ok``, ``unreliable`` or ``failed``; ``note`` says why.
    notes : list of str
        What was left out, and what to mind in reading the table.
    run : dict
        Versions, digests, arguments and device.
    """

    frame: pd.DataFrame
    notes: list[str] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> pd.Series:
        """The row of the best encoder and layer; over several targets, that of best mean rank.

        Only encoders and layers that were ranked for every target are compared.

        Raises
        ------
        InputError
            If nothing was ranked.
        """
        ranked = self.frame[self.frame["rank"].notna()]
        ranks = ranked.groupby(["encoder", "layer"], sort=False)["rank"]
        everywhere = ranked[ranks.transform("count") == ranked["target"].nunique()]
        if everywhere.empty:
            raise InputError("no encoder was ranked for every target; see the notes and the status column")
        mean_rank = ranks.transform("mean")[everywhere.index]
        return everywhere.iloc[int(mean_rank.to_numpy().argmin())]

    @property
    def complete(self) -> bool:
        """Whether every encoder that was asked for could be scored."""
        return bool((self.frame["status"] != "failed").all())

    def _repr_html_(self) -> str:
        from molrate.report import to_html

        return to_html(self)

    def __repr__(self) -> str:
        from molrate.report import to_text

        return to_text(self)


def default_encoders() -> list[str]:
    """Names of the encoders that can run without a download: published ones at hand, and controls."""
    return [name for name, card in encoder_cards().items() if card.at_hand]


def score(
    dataset: str | Path | Dataset,
    target: str | Sequence[str] | None = None,
    *,
    encoders: Sequence[str | Encoder] | None = None,
    layer: str = "last",
    pooling: str = "mean",
    smiles_column: str | None = None,
    task: str | None = None,
    standardisation: str = "largest-fragment",
    duplicates: str = "keep",
    on_invalid: str = "skip",
    scale_by_dimension: bool = False,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> Ranking:
    """Rank encoders, and their layers, by how well they should transfer to a dataset.

    Rows are ordered by ``excess``: TransRate minus its mean under permuted labels. Raw TransRate
    grows with the dimension of the embedding whatever the labels, so that its raw values compare
    only encoders of equal dimension; both are in the table.

    Parameters
    ----------
    dataset : str, pathlib.Path or Dataset
        See :func:`molrate.load_dataset`.
    target : str or sequence of str, optional
        Target columns; each is scored on the rows where it was measured.
    encoders : sequence of str or Encoder, optional
        By default all whose weights are at hand, with the controls.
    layer : str
        ``last``, ``all`` or a layer's name.
    pooling : {"mean", "sum", "max"}
    smiles_column : str, optional
    task : {"classification", "regression"}, optional
    standardisation : {"largest-fragment", "none"}
    duplicates : {"keep", "merge"}
        ``merge`` makes one row of equal molecules: the mean of a regression target, the class if all
        agree and no label if they do not.
    on_invalid : {"skip", "fail"}
        Leave invalid SMILES out and say so, or stop.
    scale_by_dimension : bool
        Multiply TransRate by sqrt(d / 512), the paper's factor for comparing layers.
    seed : int
        Draws label permutations and untrained weights.
    device : str
    progress : callable, optional
        Called with the number of molecules embedded since the last call.

    Returns
    -------
    Ranking

    Raises
    ------
    UsageError, InputError, WeightsError
        If nothing can be ranked. An encoder that fails beside others becomes a row of status
        ``failed``.
    """
    if isinstance(encoders, str):
        raise UsageError("encoders takes a sequence of names; put the one name into a list")
    if not isinstance(dataset, Dataset):
        dataset = load_dataset(dataset, target, smiles_column, task)
    molecules = standardise(dataset.smiles.tolist(), standardisation)
    _check_policies(on_invalid, duplicates)
    _check_molecules(dataset, molecules, on_invalid)
    requests, failures = _load_all(default_encoders() if encoders is None else encoders, layer, seed)
    targets, unusable = _usable_targets(dataset, molecules)
    embeddings = embed_molecules(molecules, requests, pooling, device, progress=progress)
    requests, embeddings, failed = _split_failures(requests, embeddings)
    failures += failed
    common = _common_rows(molecules, embeddings)
    measure = TransRate(scale_by_dimension=scale_by_dimension)
    notes = _molecule_notes(molecules, embeddings, common, duplicates)
    rows = []
    for item in targets:
        labelled, kept = _labelled_rows(item, molecules, common, duplicates)
        try:
            # Again, as molecules that an encoder cannot read or that were merged are now left out.
            _check_target(labelled)
        except InputError as error:
            unusable.append((item, error))
            continue
        notes += _target_notes(labelled, len(dataset))
        rows += _score_target(labelled, kept, requests, embeddings, measure, pooling, seed)
        rows += [_failed_row(item, name, error) for name, error in failures]
    if not rows:
        raise unusable[0][1]
    rows += [_failed_row(item, "", reason) for item, reason in unusable]
    frame = _rank(dataset.name, rows)
    arguments = {
        "dataset": dataset.source,
        "target": [item.name for item in dataset.targets],
        "layer": layer,
        "pooling": pooling,
        "standardisation": standardisation,
        "duplicates": duplicates,
        "on_invalid": on_invalid,
        "scale_by_dimension": scale_by_dimension,
        "permutations": PERMUTATIONS,
        "seed": seed,
    }
    notes += _control_notes(frame)
    if encoders is None and not (frame["kind"] == "pretrained").any():
        notes.append(_NO_PRETRAINED)
    if not (frame["kind"] == "control").any():
        notes.append(_NO_CONTROL)
    return Ranking(frame, notes, _run_record(arguments, requests, embeddings))


def _check_policies(on_invalid: str, duplicates: str) -> None:
    if on_invalid not in ("skip", "fail"):
        raise UsageError(f"unknown policy {on_invalid!r} (--on-invalid); known: skip, fail")
    if duplicates not in ("keep", "merge"):
        raise UsageError(f"unknown policy {duplicates!r} (--duplicates); known: keep, merge")


def _check_molecules(dataset: Dataset, molecules: Molecules, on_invalid: str) -> None:
    if not molecules.valid.any():
        raise InputError(
            f"{dataset.name}: none of the {len(molecules)} SMILES is valid: {molecules.describe_invalid()}. "
            "Is this the SMILES column? Name another with --smiles-column"
        )
    if on_invalid == "fail" and not molecules.valid.all():
        raise InputError(
            f"{dataset.name}: {np.sum(~molecules.valid)} invalid SMILES: {molecules.describe_invalid()}. "
            "Correct them, or leave them out with --on-invalid skip"
        )


def _load_all(
    encoders: Sequence[str | Encoder], layer: str, seed: int
) -> tuple[list[_Request], list[_Failure]]:
    """Encoders with their layers, and those that cannot be loaded with the reason.

    Raises
    ------
    MolrateError
        The first encoder's error, if none can be loaded.
    """
    requests = []
    failures: list[_Failure] = []
    for item in encoders:
        try:
            encoder = load_encoder(item, seed=seed) if isinstance(item, str) else item
            requests.append((encoder, encoder.select_layers(layer)))
        except UsageError:
            raise
        except MolrateError as error:
            failures.append((str(item), error))
    if not requests:
        raise failures[0][1] if failures else UsageError("no encoder to score (--encoder)")
    for _, reason in failures:
        logger.error("%s", reason)
    return requests, failures


def _usable_targets(
    dataset: Dataset, molecules: Molecules
) -> tuple[list[Target], list[tuple[Target, InputError]]]:
    """Targets that can be ranked by, and the others with the reason.

    Raises
    ------
    InputError
        The first target's error, if none can be used.
    """
    usable, unusable = [], []
    for target in dataset.targets:
        try:
            _check_target(target.take(np.flatnonzero(molecules.valid)))
            usable.append(target)
        except InputError as error:
            unusable.append((target, error))
    if not usable:
        raise unusable[0][1]
    for _, reason in unusable:
        logger.error("%s", reason)
    return usable, unusable


def _split_failures(
    requests: list[_Request], embeddings: list[Embedding]
) -> tuple[list[_Request], list[Embedding], list[_Failure]]:
    """Encoders that ran with their embeddings, and those that failed in running.

    Raises
    ------
    MolrateError
        The first encoder's error, if all failed.
    """
    ran: list[tuple[_Request, Embedding]] = []
    failures: list[_Failure] = []
    for request, embedding in zip(requests, embeddings, strict=True):
        if embedding.failure is None:
            ran.append((request, embedding))
        else:
            failures.append((request[0].name, embedding.failure))
    if not ran:
        raise failures[0][1]
    for _, reason in failures:
        logger.error("%s", reason)
    return [request for request, _ in ran], [embedding for _, embedding in ran], failures


def _check_target(target: Target) -> None:
    """Refuse a target that no measure could rank by."""
    values = target.values[target.labelled]
    if len(values) < MIN_LABELLED:
        raise InputError(
            f"target {target.name!r} has {len(values)} labelled valid molecules; at least {MIN_LABELLED} are "
            "needed for a ranking that means anything"
        )
    if len(np.unique(values)) < 2:
        shown = target.classes[int(values[0])] if target.classes else f"{values[0]:g}"
        what = "class" if target.classes else "value"
        raise InputError(f"target {target.name!r} has one {what} only ({shown}); there is nothing to predict")


def _common_rows(molecules: Molecules, embeddings: Sequence[Embedding]) -> npt.NDArray[np.bool_]:
    """Rows that every encoder could embed: rankings compare encoders on the same molecules."""
    common = molecules.valid.copy()
    for embedding in embeddings:
        common[list(embedding.errors)] = False
    return common


def _labelled_rows(
    target: Target, molecules: Molecules, common: npt.NDArray[np.bool_], duplicates: str
) -> tuple[Target, npt.NDArray[np.intp]]:
    """The target on the rows to score, and those rows."""
    rows = np.flatnonzero(common & target.labelled)
    if duplicates == "keep":
        return target.take(rows), rows
    _, first, group = np.unique(molecules.canonical[rows], return_index=True, return_inverse=True)
    values = target.values[rows]
    mean = np.bincount(group, weights=values) / np.bincount(group)
    if target.task == "classification":
        disagree = np.bincount(group, weights=np.abs(values - mean[group])) > 0
        mean[disagree] = np.nan
    order = np.argsort(first)
    merged = Target(target.name, target.task, mean[order], target.classes)
    keep = np.flatnonzero(merged.labelled)
    return merged.take(keep), rows[first[order]][keep]


def _labels(target: Target) -> npt.NDArray[np.intp]:
    """Class codes, or the quantile bins of a regression target."""
    if target.task == "classification":
        return label_codes(target.values)
    n_bins = max(2, min(_BINS, len(target.values) // _ROWS_PER_BIN))
    return quantile_bins(target.values, n_bins)


def _score_target(
    target: Target,
    rows: npt.NDArray[np.intp],
    requests: Sequence[_Request],
    embeddings: Sequence[Embedding],
    measure: Measure,
    pooling: str,
    seed: int,
) -> list[dict[str, Any]]:
    """One row per encoder and layer."""
    labels = _labels(target)

    def score_layer(encoder: Encoder, layer: str, embedding: Embedding) -> dict[str, Any]:
        started = time.perf_counter()
        features = embedding.layers[layer][rows]
        row = _row(target, encoder.name, layer, pooling if encoder.level == "node" else "none")
        row |= {"kind": encoder.card.kind, "measure": measure.name}
        row |= _measured(measure, features, labels, target.task, seed)
        row["seconds"] = embedding.seconds + time.perf_counter() - started
        return row

    jobs = [
        (encoder, layer, embedding)
        for (encoder, layers), embedding in zip(requests, embeddings, strict=True)
        for layer in layers
    ]
    n_cores = os.cpu_count() or 1
    if len(jobs) < n_cores:
        return [score_layer(*job) for job in jobs]
    # Matrices of a few hundred dimensions gain little from threads inside BLAS, and much from one
    # thread for each layer.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_cores) as executor:
        return list(executor.map(lambda job: score_layer(*job), jobs))


def _measured(
    measure: Measure,
    features: npt.NDArray[np.float32],
    labels: npt.NDArray[np.intp],
    task: str,
    seed: int,
) -> dict[str, Any]:
    """The columns that the measure fills."""
    sizes = np.bincount(labels)
    n, dimension = features.shape
    row = {"n": n, "dimension": dimension, "classes": len(sizes), "smallest_class": int(sizes.min())}
    try:
        result = measure.score(features, labels, permutations=PERMUTATIONS, seed=seed)
    except InputError as error:
        return row | {"status": "failed", "note": str(error)}
    row |= {
        "value": result.value,
        "null_mean": result.null_mean,
        "null_sd": result.null_sd,
        "excess": result.excess,
    }
    return row | _reliability(int(sizes.min()), dimension, task)


def _row(target: Target, encoder: str, layer: str, pooling: str) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    return row | {
        "target": target.name,
        "task": target.task,
        "encoder": encoder,
        "layer": layer,
        "pooling": pooling,
    }


def _failed_row(target: Target, encoder: str, error: MolrateError) -> dict[str, Any]:
    """Row of an encoder that failed, or (without a name) of a target that cannot be ranked by."""
    card = encoder_cards().get(encoder)
    row = _row(target, encoder, "", "none")
    return row | {"kind": card.kind if card else "", "status": "failed", "note": str(error)}


def _reliability(smallest: int, dimension: int, task: str) -> dict[str, str]:
    if smallest >= dimension:
        return {"status": "ok", "note": ""}
    part = "range" if task == "regression" else "class"
    note = f"smallest {part} has {smallest} molecules for {dimension} dimensions"
    return {"status": "unreliable", "note": note}


def _rank(dataset: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a frame, ranked by excess within each target."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["dataset"] = dataset
    numeric = ["value", "null_mean", "null_sd", "excess", "seconds"]
    frame[numeric] = frame[numeric].astype(float)
    for column in ("n", "dimension", "classes", "smallest_class"):
        frame[column] = frame[column].astype("Int64")
    by_target = frame.groupby("target", sort=False)
    frame["rank"] = by_target["excess"].rank(ascending=False, method="min").astype("Int64")
    order = {name: position for position, name in enumerate(frame["target"].unique())}
    frame["_order"] = frame["target"].map(order)
    frame = frame.sort_values(["_order", "rank"], kind="stable", na_position="last")
    return frame.drop(columns="_order").reset_index(drop=True)


def _molecule_notes(
    molecules: Molecules,
    embeddings: Sequence[Embedding],
    common: npt.NDArray[np.bool_],
    duplicates: str,
) -> list[str]:
    valid = molecules.valid
    notes = [f"{len(molecules)} rows, {valid.sum()} valid molecules."]
    if not valid.all():
        notes.append(f"{np.sum(~valid)} invalid SMILES left out: {molecules.describe_invalid()}.")
    if molecules.n_stripped:
        notes.append(f"{molecules.n_stripped} molecules reduced to their largest fragment.")
    if molecules.n_duplicates:
        done = {
            "keep": "kept as they are",
            "merge": "merged: the mean of their values, or their class where all agree",
        }[duplicates]
        notes.append(f"{molecules.n_duplicates} rows repeat an earlier molecule; {done}.")
    unsupported = {row: reason for one in embeddings for row, reason in one.errors.items()}
    if unsupported:
        row, reason = min(unsupported.items())
        notes.append(
            f"{np.sum(valid) - common.sum()} valid molecules left out for all encoders because one of them "
            f"has no code for them, the first in row {row + 1}: {reason}."
        )
    return notes


def _target_notes(target: Target, n_rows: int) -> list[str]:
    notes = []
    missing = n_rows - len(target.values)
    if missing:
        notes.append(f"{target.name}: {len(target.values)} of {n_rows} rows scored.")
    if target.task == "classification":
        counts = np.bincount(target.values.astype(int), minlength=len(target.classes))
        shown = ", ".join(f"{name} {count}" for name, count in zip(target.classes, counts, strict=True))
        notes.append(f"{target.name}: classification, {shown}.")
        if counts.min() < 10:
            notes.append(f"{target.name}: a class with fewer than 10 molecules makes any ranking fragile.")
    else:
        bins = _labels(target)
        sizes = np.bincount(bins)
        spread = f"{sizes.min()}-{sizes.max()}" if sizes.min() < sizes.max() else f"{sizes.max()}"
        notes.append(f"{target.name}: regression, cut into {len(sizes)} ranges of {spread} molecules.")
    return notes


def _control_notes(frame: pd.DataFrame) -> list[str]:
    """Say for each target whether pretraining beats the controls."""
    notes = []
    ranked = frame[frame["rank"].notna()]
    for target, rows in ranked.groupby("target", sort=False):
        pretrained = rows[rows["kind"] == "pretrained"]
        controls = rows[rows["kind"] == "control"]
        if pretrained.empty or controls.empty:
            continue
        best, control = pretrained.iloc[0], controls.iloc[0]
        note = f"{target}: best pretrained encoder {_named(best)}; it is {_against(best, control)}"
        same = controls[controls["dimension"] == best["dimension"]]
        if control["dimension"] != best["dimension"] and not same.empty:
            note += f", and {_against(best, same.iloc[0])}"
        notes.append(note + ".")
    return notes


def _named(row: pd.Series) -> str:
    return f"{row['encoder']}, {row['layer']} (excess {row['excess']:.2f}, d = {row['dimension']})"


def _against(best: pd.Series, control: pd.Series) -> str:
    if best["dimension"] == control["dimension"]:
        verdict = "above" if best["excess"] > control["excess"] else "NOT above"
        return f"{verdict} the best control of its dimension, {_named(control)}"
    verdict = "above" if best["excess"] > control["excess"] else "NOT above"
    return f"{verdict} the best control, {_named(control)}, as far as unequal dimensions compare"


def _run_record(
    arguments: dict[str, Any], requests: Sequence[_Request], embeddings: Sequence[Embedding]
) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": arguments,
        "encoders": {
            encoder.name: encoder.identity() | {"device": embedding.device}
            for (encoder, _), embedding in zip(requests, embeddings, strict=True)
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS},
    }
