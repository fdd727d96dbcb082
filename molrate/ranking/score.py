"""From a dataset and encoders to a ranking: molecules, embeddings, and which rows to score."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.data.datasets import Dataset, find_smiles_column, load_dataset
from molrate.data.molecules import Molecules, standardise
from molrate.data.targets import Target, check_target
from molrate.embedding.embed import Embedding, Progress, embed_molecules
from molrate.encoders.base import Encoder, load_encoder
from molrate.encoders.checkpoints import encoder_cards
from molrate.errors import InputError, MolrateError, UsageError
from molrate.files.output import read_table
from molrate.measures.base import Measure
from molrate.measures.given import Beside, needs_met, read_given
from molrate.ranking.consensus import consensus_table
from molrate.ranking.evidence import evidence_notes
from molrate.ranking.notes import control_notes, molecule_notes, target_notes
from molrate.ranking.ranking import (
    Candidate,
    Ranking,
    Trial,
    choose_measures,
    failed_row,
    rank_trials,
    ranking_frame,
)
from molrate.ranking.sensitivity import POOLINGS, sensitivity_table
from molrate.statistics.resampling import BLOCKS, PERMUTATIONS, make_design

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

_Request = tuple[Encoder, tuple[str, ...]]
_Failure = tuple[str, MolrateError]

_NO_PRETRAINED = (
    "These are controls only: no published checkpoint is on this machine. Name one with --encoder to "
    "download it (molrate list encoders), or the folder of those you have in MOLRATE_WEIGHTS."
)
_NO_CONTROL = (
    "No control was ranked, so this does not say whether pretraining helps at all; add --encoder ecfp4 and "
    "the untrained architecture."
)
_VERSIONS = ("molrate", "torch", "torch-geometric", "rdkit", "numpy")


@dataclass(frozen=True)
class _Pool:
    """Encoders that ran, on the molecules of a dataset."""

    dataset: Dataset
    molecules: Molecules
    requests: list[_Request]
    embeddings: list[Embedding]
    failures: list[_Failure]

    @property
    def common(self) -> npt.NDArray[np.bool_]:
        """Rows that every encoder could embed: rankings compare encoders on the same molecules."""
        common = self.molecules.valid.copy()
        for embedding in self.embeddings:
            common[list(embedding.errors)] = False
        return common

    def candidates(self, pooling: str, given: Mapping[str, Mapping[str, Any]]) -> list[Candidate]:
        """Every layer of every encoder."""
        return [
            Candidate(
                encoder.name,
                layer,
                embedding.layers[layer],
                encoder.card.kind,
                pooling if encoder.level == "node" else "none",
                embedding.seconds,
                {
                    **given.get("reference", {}),
                    **given.get(encoder.name, {}),
                    **given.get(f"{encoder.name}/{layer}", {}),
                },
            )
            for (encoder, layers), embedding in zip(self.requests, self.embeddings, strict=True)
            for layer in layers
        ]


def default_encoders() -> list[str]:
    """Names of the encoders that can run without a download: published ones at hand, and controls."""
    return [name for name, card in encoder_cards().items() if card.at_hand]


def score(
    dataset: str | Path | Dataset,
    target: str | Sequence[str] | None = None,
    *,
    encoders: Sequence[str | Encoder] | None = None,
    measures: Sequence[str | Measure] = ("transrate",),
    rank_by: str = "excess",
    layer: str = "last",
    pooling: str = "mean",
    smiles_column: str | None = None,
    task: str | None = None,
    standardisation: str = "largest-fragment",
    duplicates: str = "keep",
    on_invalid: str = "skip",
    scale_by_dimension: bool = False,
    common_dimension: int | None = None,
    sensitivity: bool = False,
    given: Mapping[str, npt.ArrayLike] | None = None,
    source_molecules: str | Path | None = None,
    seed: int = 0,
    precision: str = "fp32",
    device: str = "auto",
    progress: Progress | None = None,
) -> Ranking:
    """Rank encoders, and their layers, by how well they should transfer to a dataset.

    Rows are ordered by ``excess``: a measure's value minus its mean under permuted labels. Raw TransRate
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
    measures : sequence of str or Measure
        Names of :data:`molrate.measures.MEASURES`; ``all`` for those that need nothing else.
    rank_by : {"excess", "relative", "z", "value"}
        ``relative`` is the excess over its largest possible value, ``z`` in standard deviations of the
        null.
    layer : str
        ``last``, ``all`` or a layer's name.
    pooling : {"mean", "sum", "max"}
    smiles_column : str, optional
    task : {"classification", "regression"}, optional
    standardisation : {"largest-fragment", "none"}
    duplicates : {"keep", "merge"}
        ``merge`` makes one row of equal molecules: the mean of a regression target, the class if all
        agree and no label if they do not. Rows kept of one molecule lie in the same block and do not
        predict each other.
    on_invalid : {"skip", "fail"}
        Leave invalid SMILES out and say so, or stop.
    scale_by_dimension : bool
        Multiply TransRate by sqrt(d / 512), the paper's factor for comparing layers.
    common_dimension : int, optional
        Compare all encoders in as many leading principal components.
    sensitivity : bool
        Rank again under other settings, and say how far the order holds.
    given : mapping of str to array_like, optional
        What some measures need: ``ENCODER/source_probabilities``, ``ENCODER/source_features``,
        ``ENCODER/attributions``, ``reference/features`` and ``reference/attributions``, one row for each
        row of the dataset (``source_features`` apart).
    source_molecules : str or pathlib.Path, optional
        Table of molecules that stand for the encoders' pretraining corpus.
    seed : int
        Draws label permutations, blocks and untrained weights.
    precision : {"fp32", "bf16"}
        Of GROVER's weights and hidden states.
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
    if isinstance(encoders, str) or isinstance(measures, str):
        raise UsageError("encoders and measures take a sequence of names; put the one name into a list")
    if not isinstance(dataset, Dataset):
        dataset = load_dataset(dataset, target, smiles_column, task)
    _check_policies(on_invalid, duplicates)
    beside = read_given(given or {}, len(dataset))
    met = needs_met(beside) | ({"source molecules"} if source_molecules is not None else set())
    chosen, notes = choose_measures(measures, scale_by_dimension=scale_by_dimension, met=met)
    pool = _embed_pool(
        dataset,
        _standardised(dataset, standardisation, on_invalid),
        _load_all(default_encoders() if encoders is None else encoders, layer, seed, precision),
        pooling,
        device,
        progress,
    )
    if source_molecules is not None:
        _add_source(beside, pool, source_molecules, standardisation, pooling, device)
    trials, unusable = _trials(pool, duplicates, seed)
    candidates = pool.candidates(pooling, beside)
    rows, replicates = rank_trials(candidates, trials, chosen, rank_by, common_dimension)
    rows += [failed_row(t.target, chosen[0], name, error) for t in trials for name, error in pool.failures]
    rows += [failed_row(item, chosen[0], "", reason) for item, reason in unusable]
    arguments = {
        "dataset": dataset.source,
        "target": [item.name for item in dataset.targets],
        "measures": [measure.name for measure in chosen],
        "rank_by": rank_by,
        "layer": layer,
        "pooling": pooling,
        "standardisation": standardisation,
        "duplicates": duplicates,
        "on_invalid": on_invalid,
        "scale_by_dimension": scale_by_dimension,
        "common_dimension": common_dimension,
        "source_molecules": None if source_molecules is None else str(source_molecules),
        "permutations": PERMUTATIONS,
        "blocks": BLOCKS,
        "seed": seed,
        "precision": precision,
    }
    ranking = Ranking(
        ranking_frame(dataset.name, rows), run=_run_record(arguments, pool), replicates=replicates
    )
    notes = molecule_notes(pool.molecules, pool.embeddings, pool.common, duplicates) + notes
    notes += [line for trial in trials for line in target_notes(trial, len(dataset))]
    notes += control_notes(ranking)
    notes += evidence_notes([measure.name for measure in chosen], rank_by, _untried(arguments))
    if encoders is None and not (ranking.frame["kind"] == "pretrained").any():
        notes.append(_NO_PRETRAINED)
    if not (ranking.frame["kind"] == "control").any():
        notes.append(_NO_CONTROL)
    ranking.notes.extend(notes)
    votes = ranking.frame.dropna(subset="rank").groupby(["target", "measure"]).ngroups
    return replace(
        ranking,
        consensus=consensus_table(ranking.frame) if votes > 1 else None,
        sensitivity=_sensitivity(pool, candidates, trials, chosen, ranking, rank_by, pooling, device)
        if sensitivity
        else None,
    )


_STUDIED = {
    "layer": ("last", "--layer"),
    "pooling": ("mean", "--pooling"),
    "standardisation": ("largest-fragment", "--standardisation"),
    "duplicates": ("keep", "--duplicates"),
    "scale_by_dimension": (False, "--scale-by-dimension"),
    "common_dimension": (None, "--common-dimension"),
}
"""Settings of the study of measures against fine-tuning, and their options."""


def _untried(arguments: dict[str, Any]) -> list[str]:
    """Options of a ranking that the study did not try."""
    return [option for name, (studied, option) in _STUDIED.items() if arguments[name] != studied]


def make_candidates(
    dataset: Dataset, encoders: Sequence[str | Encoder], seed: int = 0, device: str = "auto"
) -> tuple[list[Candidate], list[Trial]]:
    """Last layers of encoders, and the trials of a dataset, as :func:`score` makes them by default.

    Nothing is read from the cache, so that their seconds are those of embedding.

    Raises
    ------
    UsageError, InputError, WeightsError
        If nothing can be ranked. Encoders that fail beside others are left out.
    """
    molecules = _standardised(dataset, "largest-fragment", "skip")
    requests, _ = _load_all(encoders, "last", seed, "fp32")
    embeddings = embed_molecules(molecules, requests, "mean", device, cache=False)
    pool = _Pool(dataset, molecules, *_split_failures(requests, embeddings))
    return pool.candidates("mean", {}), _trials(pool, "keep", seed)[0]


def _sensitivity(
    pool: _Pool,
    candidates: list[Candidate],
    trials: list[Trial],
    measures: list[Measure],
    ranking: Ranking,
    rank_by: str,
    pooling: str,
    device: str,
) -> pd.DataFrame:
    def repooled(other: str) -> list[Candidate]:
        embeddings = embed_molecules(pool.molecules, pool.requests, other, device)
        return replace(pool, embeddings=embeddings).candidates(other, {})

    atoms = any(encoder.level == "node" for encoder, _ in pool.requests)
    others = [other for other in POOLINGS if other != pooling] if atoms else []
    makers = {other: partial(repooled, other) for other in others}
    return sensitivity_table(candidates, trials, measures, ranking.replicates, rank_by, makers)


def _standardised(dataset: Dataset, standardisation: str, on_invalid: str) -> Molecules:
    molecules = standardise(dataset.smiles.tolist(), standardisation)
    _check_molecules(dataset, molecules, on_invalid)
    return molecules


def _embed_pool(
    dataset: Dataset,
    molecules: Molecules,
    loaded: tuple[list[_Request], list[_Failure]],
    pooling: str,
    device: str,
    progress: Progress | None,
) -> _Pool:
    # Unusable targets are told before the work of embedding, not after it.
    _usable_targets(dataset, molecules)
    requests, failures = loaded
    embeddings = embed_molecules(molecules, requests, pooling, device, progress=progress)
    requests, embeddings, failed = _split_failures(requests, embeddings)
    return _Pool(dataset, molecules, requests, embeddings, failures + failed)


def _add_source(
    beside: Beside,
    pool: _Pool,
    path: str | Path,
    standardisation: str,
    pooling: str,
    device: str,
) -> None:
    """Embed the molecules that stand for the pretraining corpus with every encoder of the pool.

    Raises
    ------
    InputError
        If the table cannot be used.
    """
    table = read_table(path)
    texts = table[find_smiles_column(table, str(path))].astype(str).tolist()
    molecules = standardise(texts, standardisation)
    if not molecules.valid.any():
        raise InputError(f"{path}: no valid SMILES: {molecules.describe_invalid()} (--source-molecules)")
    for (encoder, layers), embedding in zip(
        pool.requests, embed_molecules(molecules, pool.requests, pooling, device), strict=True
    ):
        if embedding.failure is not None:
            raise embedding.failure
        kept = molecules.valid.copy()
        kept[list(embedding.errors)] = False
        for layer in layers:
            beside.setdefault(f"{encoder.name}/{layer}", {})["source_features"] = embedding.layers[layer][
                kept
            ]


def _trials(pool: _Pool, duplicates: str, seed: int) -> tuple[list[Trial], list[tuple[Target, InputError]]]:
    """Targets with their rows and design, and those that cannot be ranked by with the reason.

    Raises
    ------
    InputError
        The first target's error, if none can be used.
    """
    targets, unusable = _usable_targets(pool.dataset, pool.molecules)
    for _, reason in unusable:
        logger.error("%s", reason)
    trials = []
    for target in targets:
        labelled, rows = _labelled_rows(target, pool.molecules, pool.common, duplicates)
        try:
            # Again, as molecules that an encoder cannot read or that were merged are now left out.
            check_target(labelled)
        except InputError as error:
            unusable.append((target, error))
            continue
        groups = pool.molecules.canonical[rows].astype(str)
        trials.append(
            Trial(labelled, rows, make_design(labelled.values, target.task, groups=groups, seed=seed))
        )
    if not trials:
        raise unusable[0][1]
    return trials, unusable


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
    encoders: Sequence[str | Encoder], layer: str, seed: int, precision: str
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
            encoder = load_encoder(item, seed=seed, precision=precision) if isinstance(item, str) else item
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
            check_target(target.take(np.flatnonzero(molecules.valid)))
            usable.append(target)
        except InputError as error:
            unusable.append((target, error))
    if not usable:
        raise unusable[0][1]
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


def _run_record(arguments: dict[str, Any], pool: _Pool) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": arguments,
        "encoders": {
            encoder.name: encoder.identity() | {"device": embedding.device}
            for (encoder, _), embedding in zip(pool.requests, pool.embeddings, strict=True)
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS},
    }
