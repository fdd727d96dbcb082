"""From a dataset and encoders to a ranking: molecules, embeddings, and which rows to score."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from molrate.data.datasets import Dataset, as_dataset
from molrate.data.policy import RowPolicy
from molrate.data.structures import MAX_ATOMS
from molrate.embedding.embed import Progress, embed_molecules
from molrate.embedding.settings import EmbeddingSettings
from molrate.encoders.base import Encoder, check_licence
from molrate.encoders.cards import BASELINES
from molrate.errors import UsageError
from molrate.measures.base import DEFAULT_MEASURE, Measure
from molrate.measures.given import inputs_met, read_given
from molrate.ranking.candidates import AUTO, Candidate, CommonDimension, ScoredTarget, choose_measures
from molrate.ranking.consensus import consensus_table
from molrate.ranking.contamination import contamination_notes, seen_encoders, seen_shares
from molrate.ranking.evidence import evidence_notes, untried
from molrate.ranking.expected import Expectations, expectations_of
from molrate.ranking.memory import Memory
from molrate.ranking.molecules import (
    EncoderPool,
    add_source_features,
    add_source_probabilities,
    default_encoders,
    embed_pool,
    load_encoders,
    of_licence,
    standardise_dataset,
    targets_to_score,
    without_contaminated,
)
from molrate.ranking.notes import (
    baseline_notes,
    label_advice,
    molecule_advice,
    molecule_notes,
    order_advice,
    outlier_advice,
    size_advice,
    target_notes,
)
from molrate.ranking.ranking import (
    Ranking,
    failed_row,
    rank_targets,
    ranking_frame,
    transrates_beside,
    with_expectations,
    with_transrate,
)
from molrate.ranking.sensitivity import POOLINGS, sensitivity_table
from molrate.ranking.settings import MeasureSettings

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
    dataset: Any,
    target: Any = None,
    *,
    encoders: Sequence[str | Encoder] | None = None,
    measures: Sequence[str | Measure] = (DEFAULT_MEASURE,),
    rank_by: str = "excess",
    layer: str = "last",
    pooling: str = "mean",
    smiles: str | None = None,
    task: str | None = None,
    standardisation: str = "largest-fragment",
    duplicates: str = "keep",
    on_invalid: str = "skip",
    max_atoms: int = MAX_ATOMS,
    scale_by_dimension: bool = False,
    common_dimension: CommonDimension = AUTO,
    sensitivity: bool = False,
    extra_arrays: Mapping[str, npt.ArrayLike] | None = None,
    source_molecules: str | Path | None = None,
    seed: int = 0,
    precision: str = "fp32",
    device: str = "auto",
    progress: Progress | None = None,
    positive: str | None = None,
    censored: str | None = None,
    exclude_contaminated: bool = False,
    licence: str | None = None,
) -> Ranking:
    """Rank encoders, and their layers, by how well they should transfer to a dataset.

    Rows are ordered by ``excess``: a measure's value minus its mean under permuted labels. By default the
    measure is LogME, how probable a linear model of the features makes the labels: the rule of docs/study.md
    chose it. TransRate stands beside it; as it grows with the dimension of the embedding whatever the
    labels, encoders are compared by it in a common dimension.

    Parameters
    ----------
    dataset : str, pathlib.Path, Dataset, data frame or sequence
        A name, a file, a frame of pandas, polars or another library, or SMILES or RDKit molecules; see
        :func:`molrate.data.datasets.as_dataset`.
    target : str, sequence of str, or array_like
        Target columns, each scored on the rows where it was measured; after a sequence of molecules, their
        measured values.
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
    smiles : str, optional
        Column of SMILES, found by its usual names if not given.
    task : {"classification", "regression"}, optional
    standardisation : {"largest-fragment", "none"}
    duplicates : {"keep", "merge"}
        ``merge`` makes one row of equal molecules: the mean of a regression target, the class if all
        agree and no label if they do not. Rows kept of one molecule lie in the same block and do not
        predict each other.
    on_invalid : {"skip", "fail"}
        Leave invalid SMILES out and say so, or stop.
    max_atoms : int
        Larger molecules are left out and said.
    scale_by_dimension : bool
        Multiply TransRate by sqrt(d / 512), the paper's factor for comparing layers.
    common_dimension : int, {"auto", "none"} or None
        ``auto`` compares encoders by TransRate in a common number of leading components of their
        standardised features: 32, or half of the molecules of the smallest class or range, or what the
        narrowest encoder has, if that is less. A number does so for all measures; with None or ``none``
        every measure reads all features, as the paper does.
    sensitivity : bool
        Rank again under other settings, and say how far the order holds.
    extra_arrays : mapping of str to array_like, optional
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
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ...
    progress : callable, optional
        Called with the number of molecules embedded since the last call.
    positive, censored : str, optional
        See :func:`molrate.load_dataset`.
    exclude_contaminated : bool
        Leave out encoders that were trained on labels of the dataset; of a dataset that is not public, those
        that were trained on any measurements; and those that are known to have been trained on measurements
        of more than a fifth of the molecules. See :mod:`molrate.ranking.contamination`.
    licence : str, optional
        Leave out encoders whose weights have another licence, or ``permissive`` for all that may not be used
        for every purpose. What has no weights stays.

    Returns
    -------
    Ranking

    Raises
    ------
    UsageError, InputError, WeightsError
        If nothing can be ranked. An encoder that fails beside others becomes a row of status
        ``failed``.

    Examples
    --------
    >>> import molrate
    >>> ranking = molrate.score("freesolv", encoders=["ecfp4", "rdkit-descriptors"])
    >>> len(ranking.frame)
    2
    """
    if isinstance(encoders, str):
        raise UsageError("encoders take a sequence of names; put the one name into a list")
    return rank_dataset(
        as_dataset(dataset, target, smiles, task, positive, censored),
        encoders,
        RowPolicy(standardisation, duplicates, on_invalid, max_atoms),
        EmbeddingSettings(layer, pooling, precision, seed, device),
        MeasureSettings(
            measures,
            rank_by,
            scale_by_dimension,
            common_dimension,
            sensitivity,
            extra_arrays or {},
            source_molecules,
        ),
        progress,
        exclude_contaminated=exclude_contaminated,
        licence=licence,
    )


def expect_of_dataset(
    dataset: Dataset, encoders: Sequence[str | Encoder], policy: RowPolicy, embedding: EmbeddingSettings
) -> Expectations:
    """What to expect of encoders on every target of a dataset, as a ranking tells it, and no scores.

    Parameters
    ----------
    dataset : Dataset
    encoders : sequence of str or Encoder
    policy : RowPolicy
    embedding : EmbeddingSettings

    Returns
    -------
    Expectations
        Without encoders that cannot embed the molecules, and targets that cannot be scored.
    """
    molecules = standardise_dataset(dataset, policy)
    pool = embed_pool(dataset, molecules, load_encoders(encoders, embedding), embedding)
    scored_targets, _ = targets_to_score(pool, policy, embedding.seed)
    return expectations_of(pool.candidates({}), scored_targets, dataset.name, Memory())


def rank_dataset(
    dataset: Dataset,
    encoders: Sequence[str | Encoder] | None,
    policy: RowPolicy,
    embedding: EmbeddingSettings,
    measuring: MeasureSettings,
    progress: Progress | None = None,
    *,
    exclude_contaminated: bool = False,
    licence: str | None = None,
) -> Ranking:
    """Rank encoders for a dataset; see :func:`score`."""
    started = time.perf_counter()
    if licence is not None:
        check_licence(licence)
    extra = read_given(measuring.extra_arrays, len(dataset))
    met = inputs_met(extra) | ({"source molecules"} if measuring.source_molecules is not None else set())
    chosen, notes = choose_measures(
        measuring.measures, scale_by_dimension=measuring.scale_by_dimension, met=met
    )
    molecules = standardise_dataset(dataset, policy)
    loaded = load_encoders(default_encoders() if encoders is None else encoders, embedding)
    unlicensed: list[str] = []
    if licence is not None:
        loaded, unlicensed = of_licence(loaded, licence)
    excluded: list[str] = []
    if exclude_contaminated:
        loaded, excluded = without_contaminated(loaded, dataset.name, molecules)
    pool = embed_pool(dataset, molecules, loaded, embedding, progress)
    if measuring.source_molecules is not None:
        add_source_features(extra, pool, measuring.source_molecules, policy)
    if any(measure.inputs == "source probabilities" for measure in chosen):
        add_source_probabilities(extra, pool)
    scored_targets, unusable = targets_to_score(pool, policy, embedding.seed)
    candidates, memory = pool.candidates(extra), Memory()
    rows, replicates = rank_targets(
        candidates, scored_targets, chosen, measuring.rank_by, measuring.common_dimension, memory
    )
    transrates = transrates_beside(rows, candidates, scored_targets, measuring.common_dimension, memory)
    expectations = expectations_of(candidates, scored_targets, dataset.name, memory)
    rows += [
        failed_row(t.target, chosen[0], name, error) for t in scored_targets for name, error in pool.failures
    ]
    rows += [failed_row(target, chosen[0], "", reason) for target, reason in unusable]
    arguments = {
        "dataset": dataset.source,
        "target": [target.name for target in dataset.targets],
        "measures": [measure.name for measure in chosen],
        **measuring.record(),
        **embedding.record(),
        **policy.record(),
        "exclude_contaminated": exclude_contaminated,
        "licence": licence,
    }
    units = {target.name: target.unit for target in dataset.targets}
    ran = [encoder for encoder, _ in pool.requests]
    shares = seen_shares(ran, molecules)
    seen = seen_encoders([encoder.card for encoder in ran], dataset.name, shares)
    rows = with_expectations(with_transrate(rows, transrates), expectations, units, dataset.name, seen)
    frame = ranking_frame(dataset.name, rows)
    reasons = {f"their licence is not {licence}": unlicensed, "they may have seen the labels": excluded}
    left_out = {reason: names for reason, names in reasons.items() if names}
    run = _run_record(arguments, pool) | {
        "left_out": left_out,
        "seen_shares": shares,
        "seconds": round(time.perf_counter() - started, 2),
    }
    ranking = Ranking(frame, run=run, replicates=replicates, expectations=expectations)
    ranking.advice.extend(f"Left out, as {reason}: {', '.join(names)}." for reason, names in left_out.items())
    ranking.notes.extend(_notes(ranking, pool, scored_targets, policy, notes))
    ranking.advice.extend(_advice(ranking, pool, scored_targets, policy, shares, default=encoders is None))
    votes = frame.dropna(subset="rank").groupby(["target", "measure"]).ngroups
    sensitivity = None
    if measuring.sensitivity:
        sensitivity = _sensitivity(pool, candidates, scored_targets, chosen, ranking, measuring)
    consensus = consensus_table(frame, replicates) if votes > 1 else None
    return replace(ranking, consensus=consensus, sensitivity=sensitivity)


def _notes(
    ranking: Ranking,
    pool: EncoderPool,
    scored_targets: Sequence[ScoredTarget],
    policy: RowPolicy,
    measure_notes: Sequence[str],
) -> list[str]:
    """What was left out, and what the order rests on."""
    arguments = ranking.run["arguments"]
    targets = pool.dataset.targets
    notes = molecule_notes(pool.molecules, pool.embeddings, pool.common, policy.duplicates, targets)
    notes += measure_notes
    for scored_target in scored_targets:
        notes += target_notes(scored_target, len(pool.dataset))
    notes += baseline_notes(ranking)
    return notes + evidence_notes(arguments["measures"], arguments["rank_by"], untried(arguments))


def _advice(
    ranking: Ranking,
    pool: EncoderPool,
    scored_targets: Sequence[ScoredTarget],
    policy: RowPolicy,
    shares: Mapping[str, float],
    *,
    default: bool,
) -> list[str]:
    """What asks for something to be done; `default` says whether the encoders were molrate's choice."""
    kinds = ranking.frame["kind"]
    advice = size_advice(scored_targets)
    advice += contamination_notes([encoder.card for encoder, _ in pool.requests], pool.dataset.name, shares)
    advice += order_advice(ranking)
    advice += outlier_advice(scored_targets, ranking.expectations)
    advice += label_advice(scored_targets)
    advice += molecule_advice(pool.molecules, policy, pool.dataset.targets)
    if default and not (kinds == "pretrained").any():
        advice.append(_NO_PRETRAINED)
    if not kinds.isin(BASELINES).any():
        advice.append(_NO_BASELINE)
    return advice


def _sensitivity(
    pool: EncoderPool,
    candidates: list[Candidate],
    scored_targets: list[ScoredTarget],
    measures: list[Measure],
    ranking: Ranking,
    measuring: MeasureSettings,
) -> pd.DataFrame:
    def repooled(pooling: str) -> list[Candidate]:
        settings = replace(pool.settings, pooling=pooling)
        embeddings = embed_molecules(pool.molecules, pool.requests, pooling, settings.device)
        return replace(pool, embeddings=embeddings, settings=settings).candidates({})

    atoms = any(encoder.level == "node" for encoder, _ in pool.requests)
    poolings = [pooling for pooling in POOLINGS if pooling != pool.settings.pooling] if atoms else []
    makers = {pooling: partial(repooled, pooling) for pooling in poolings}
    settings = measuring.rank_by, makers, measuring.common_dimension
    return sensitivity_table(candidates, scored_targets, measures, ranking.replicates, *settings)


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
