"""From a dataset and encoders to a ranking: molecules, embeddings, and which rows to score."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from molrate.data.datasets import Dataset, load_dataset
from molrate.embedding.embed import Progress, embed_molecules
from molrate.encoders.base import Encoder
from molrate.encoders.cards import BASELINES
from molrate.errors import UsageError
from molrate.measures.base import Measure
from molrate.measures.given import inputs_met, read_given
from molrate.ranking.candidates import Candidate, ScoredTarget, choose_measures
from molrate.ranking.consensus import consensus_table
from molrate.ranking.evidence import evidence_notes
from molrate.ranking.molecules import (
    EncoderPool,
    add_source_features,
    default_encoders,
    embed_pool,
    load_encoders,
    standardise_dataset,
    targets_to_score,
)
from molrate.ranking.notes import baseline_notes, molecule_notes, target_notes
from molrate.ranking.ranking import Ranking, failed_row, rank_targets, ranking_frame
from molrate.ranking.sensitivity import POOLINGS, sensitivity_table
from molrate.statistics.resampling import BLOCKS, PERMUTATIONS

if TYPE_CHECKING:
    import pandas as pd


_NO_PRETRAINED = (
    "These are baselines only: no published checkpoint is on this machine. Name one with --encoder to "
    "download it (molrate list encoders), or the folder of those you have in MOLRATE_WEIGHTS."
)
_NO_BASELINE = (
    "No baseline was ranked, so this does not say whether pretraining helps at all; add --encoder ecfp4 and "
    "the untrained architecture."
)
_VERSIONS = ("molrate", "torch", "torch-geometric", "rdkit", "numpy")


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
        By default all whose weights are available offline, with the baselines.
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
        If nothing can be ranked. An encoder that fails given_arrays others becomes a row of status
        ``failed``.
    """
    if isinstance(encoders, str) or isinstance(measures, str):
        raise UsageError("encoders and measures take a sequence of names; put the one name into a list")
    if not isinstance(dataset, Dataset):
        dataset = load_dataset(dataset, target, smiles_column, task)
    _check_policies(on_invalid, duplicates)
    given_arrays = read_given(given or {}, len(dataset))
    met = inputs_met(given_arrays) | ({"source molecules"} if source_molecules is not None else set())
    chosen, notes = choose_measures(measures, scale_by_dimension=scale_by_dimension, met=met)
    pool = embed_pool(
        dataset,
        standardise_dataset(dataset, standardisation, on_invalid),
        load_encoders(default_encoders() if encoders is None else encoders, layer, seed, precision),
        pooling,
        device,
        progress,
    )
    if source_molecules is not None:
        add_source_features(given_arrays, pool, source_molecules, standardisation, pooling, device)
    scored_targets, unusable = targets_to_score(pool, duplicates, seed)
    candidates = pool.candidates(pooling, given_arrays)
    rows, replicates = rank_targets(candidates, scored_targets, chosen, rank_by, common_dimension)
    rows += [
        failed_row(t.target, chosen[0], name, error) for t in scored_targets for name, error in pool.failures
    ]
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
    notes += [line for scored_target in scored_targets for line in target_notes(scored_target, len(dataset))]
    notes += baseline_notes(ranking)
    notes += evidence_notes([measure.name for measure in chosen], rank_by, _untried(arguments))
    if encoders is None and not (ranking.frame["kind"] == "pretrained").any():
        notes.append(_NO_PRETRAINED)
    if not ranking.frame["kind"].isin(BASELINES).any():
        notes.append(_NO_BASELINE)
    ranking.notes.extend(notes)
    votes = ranking.frame.dropna(subset="rank").groupby(["target", "measure"]).ngroups
    return replace(
        ranking,
        consensus=consensus_table(ranking.frame, ranking.replicates) if votes > 1 else None,
        sensitivity=_sensitivity(pool, candidates, scored_targets, chosen, ranking, rank_by, pooling, device)
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


def _sensitivity(
    pool: EncoderPool,
    candidates: list[Candidate],
    scored_targets: list[ScoredTarget],
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
    return sensitivity_table(candidates, scored_targets, measures, ranking.replicates, rank_by, makers)


def _check_policies(on_invalid: str, duplicates: str) -> None:
    if on_invalid not in ("skip", "fail"):
        raise UsageError(f"unknown policy {on_invalid!r} (--on-invalid); known: skip, fail")
    if duplicates not in ("keep", "merge"):
        raise UsageError(f"unknown policy {duplicates!r} (--duplicates); known: keep, merge")


def _run_record(arguments: dict[str, Any], pool: EncoderPool) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": arguments,
        "encoders": {
            encoder.name: encoder.identity() | {"device": embedding.device}
            for (encoder, _), embedding in zip(pool.requests, pool.embeddings, strict=True)
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS},
    }
