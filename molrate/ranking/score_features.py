"""Precomputed features from anywhere: files of matrices, ranked without molecules, streamed where large."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.data.targets import Target, TargetPolicy, check_target
from molrate.errors import InputError, UsageError
from molrate.files.matrices import (
    FeatureFile,
)
from molrate.measures.base import DEFAULT_MEASURE, Measure
from molrate.measures.given import inputs_met, read_given
from molrate.ranking.candidates import (
    AUTO,
    Candidate,
    CommonDimension,
    ScoredTarget,
    check_common_dimension,
    choose_measures,
)
from molrate.ranking.consensus import consensus_table
from molrate.ranking.expected import expectations_of
from molrate.ranking.feature_rows import FeatureRows, read_feature_rows
from molrate.ranking.notes import column_notes, label_advice, outlier_advice, size_advice, target_notes
from molrate.ranking.ranking import (
    Ranking,
    failed_row,
    rank_targets,
    ranking_frame,
    transrates_beside,
    with_expectations,
    with_transrate,
)
from molrate.ranking.sensitivity import sensitivity_table
from molrate.ranking.streaming import (
    HELD_VALUES,
    STREAMED_BLOCKS,
    STREAMED_PERMUTATIONS,
    finite_rows,
    rank_streamed,
)
from molrate.ray_cluster import connected
from molrate.statistics.intervals import Replicates
from molrate.statistics.resampling import BLOCKS, PERMUTATIONS, make_resampling

logger = logging.getLogger(__name__)

_VERSIONS = ("molrate", "numpy")


def score_features(
    features: Sequence[str | Path] | Mapping[str, npt.ArrayLike],
    labels: str | Path | npt.ArrayLike | None = None,
    target: str | Sequence[str] | None = None,
    *,
    measures: Sequence[str | Measure] = (DEFAULT_MEASURE,),
    rank_by: str = "excess",
    task: str | None = None,
    scale_by_dimension: bool = False,
    common_dimension: CommonDimension = AUTO,
    sensitivity: bool = False,
    extra_arrays: Mapping[str, npt.ArrayLike] | None = None,
    seed: int = 0,
    engine: str = "local",
    address: str | None = None,
    positive: str | None = None,
    censored: str | None = None,
    groups: npt.ArrayLike | None = None,
) -> Ranking:
    """Rank precomputed features: of images, text, other tools.

    Parameters
    ----------
    features : sequence of str or pathlib.Path, or mapping of str to array_like (n, d)
        Files, see :func:`find_features`, or matrices by name. Files too large to hold are streamed, by
        one-pass measures only, with ten blocks and two permutations.
    labels : str, pathlib.Path or array_like (n,), optional
        A table with a row for each row of the features, or the labels; columns of the features' own file
        if not given.
    target : str or sequence of str, optional
        Columns of that table; its only column if not given.
    measures, rank_by, scale_by_dimension, common_dimension, sensitivity, extra_arrays, seed
        As for :func:`molrate.score`; ENCODER is the name of the file or matrix.
    task : {"classification", "regression"}, optional
    engine : {"local", "ray"}
        ``ray`` streams files and folders on a cluster, whose nodes are to find them under the same paths.
    address : str, optional
        Of the cluster; one is started on this machine if none is given.
    positive, censored : str, optional
        As for :func:`molrate.score`.
    groups : array_like, shape (n,), optional
        What rows of one molecule share, so that they never predict each other. SMILES or identifiers of the
        files say it if not given.

    Returns
    -------
    Ranking

    Raises
    ------
    UsageError, InputError
        If nothing can be ranked.
    """
    started = time.perf_counter()
    if not features:
        raise UsageError("no features to rank (--features)")
    named = [target] if isinstance(target, str) else list(target or [])
    table = read_feature_rows(features, labels, named, TargetPolicy(task, positive, censored), groups)
    given_arrays = read_given(extra_arrays or {}, table.count)
    chosen, notes = choose_measures(
        measures, scale_by_dimension=scale_by_dimension, met=inputs_met(given_arrays)
    )
    everywhere = engine == "ray"
    if everywhere and table.files is None:
        raise UsageError("--engine ray reads files; arrays are in this process already")
    common_dimension = check_common_dimension(common_dimension)
    if table.files is not None and (everywhere or any(_is_large(file) for file in table.files)):
        if sensitivity or common_dimension not in (AUTO, None):
            streamed = next(file for file in table.files if everywhere or _is_large(file))
            raise UsageError(
                f"{streamed.path} is streamed; --sensitivity and a --common-dimension need it in memory"
            )
        common_dimension = None
        scored = _score_streamed(table, table.files, chosen, rank_by, seed, everywhere, address)
    else:
        scored = _score_held(table, given_arrays, chosen, rank_by, seed, common_dimension)
    source = _source(labels, features)
    expectations = expectations_of(scored.candidates, scored.targets, source)
    frame = ranking_frame(source, with_expectations(scored.rows, expectations, {}, source, {}))
    arguments = {
        "features": [str(name) for name in features],
        "labels": str(labels) if isinstance(labels, str | Path) else None,
        "target": [scored_target.target.name for scored_target in scored.targets],
        "measures": [measure.name for measure in chosen],
        "rank_by": rank_by,
        "common_dimension": common_dimension,
        "seed": seed,
    }
    sensitivities = None
    if sensitivity:
        sensitivities = sensitivity_table(
            scored.candidates, scored.targets, chosen, scored.replicates, rank_by, {}, common_dimension
        )
    votes = frame.dropna(subset="rank").groupby(["target", "measure"]).ngroups
    return Ranking(
        frame,
        [
            *size_advice(scored.targets),
            *outlier_advice(scored.targets, expectations),
            *label_advice(scored.targets),
        ],
        _notes(table, scored, notes),
        _run_record(arguments) | {"seconds": round(time.perf_counter() - started, 2)},
        scored.replicates,
        expectations,
        consensus_table(frame, scored.replicates) if votes > 1 else None,
        sensitivities,
    )


@dataclass(frozen=True)
class _Scored:
    """Rows of a ranking, with what they were computed from; no candidates where features were streamed."""

    targets: list[ScoredTarget]
    rows: list[dict[str, Any]]
    replicates: dict[tuple[str, str, str, str], Replicates]
    whole: npt.NDArray[np.bool_]
    candidates: list[Candidate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _is_large(file: FeatureFile) -> bool:
    return file.shape[0] * file.shape[1] > HELD_VALUES


def _score_streamed(
    table: FeatureRows,
    files: list[FeatureFile],
    measures: Sequence[Measure],
    rank_by: str,
    seed: int,
    everywhere: bool,
    address: str | None,
) -> _Scored:
    """Score files without holding them, on a Ray cluster if `everywhere`."""
    with connected(address) if everywhere else nullcontext():
        whole = finite_rows(files, everywhere)
        targets, unusable = make_scored_targets(
            table.targets, whole, table.molecules, seed, STREAMED_BLOCKS, STREAMED_PERMUTATIONS
        )
        rows, replicates = rank_streamed(files, targets, measures, rank_by, everywhere)
    why = "On Ray" if everywhere else f"Features of more than {HELD_VALUES:,} values"
    note = f"{why}: streamed, by one-pass measures, in full dimension."
    return _Scored(targets, rows + _failed(unusable, measures), replicates, whole, notes=[note])


def _score_held(
    table: FeatureRows,
    given_arrays: dict[str, dict[str, npt.NDArray[Any]]],
    measures: Sequence[Measure],
    rank_by: str,
    seed: int,
    common_dimension: CommonDimension,
) -> _Scored:
    candidates = _candidates(table, given_arrays)
    whole = np.all([np.isfinite(one.features).all(axis=1) for one in candidates], axis=0)
    targets, unusable = make_scored_targets(table.targets, whole, table.molecules, seed, BLOCKS, PERMUTATIONS)
    rows, replicates = rank_targets(candidates, targets, measures, rank_by, common_dimension)
    rows = with_transrate(rows, transrates_beside(rows, candidates, targets, common_dimension))
    return _Scored(targets, rows + _failed(unusable, measures), replicates, whole, candidates)


def _failed(
    unusable: Sequence[tuple[Target, InputError]], measures: Sequence[Measure]
) -> list[dict[str, Any]]:
    return [failed_row(target, measures[0], "", reason) for target, reason in unusable]


def _notes(table: FeatureRows, scored: _Scored, of_measures: list[str]) -> list[str]:
    left_out = []
    if not scored.whole.all():
        first = int(np.argmin(scored.whole)) + 1
        left_out = [
            f"{np.sum(~scored.whole)} rows left out whose features are not finite, the first row {first}."
        ]
    return [
        f"{table.count} rows.",
        *(line for scored_target in scored.targets for line in target_notes(scored_target, table.count)),
        *table.notes,
        *column_notes(table.files or []),
        *of_measures,
        *scored.notes,
        *left_out,
    ]


def _source(labels: Any, features: Any) -> str:
    return Path(labels).stem if isinstance(labels, str | Path) else Path(str(next(iter(features)))).stem


def make_scored_targets(
    targets: Sequence[Target],
    whole: npt.NDArray[np.bool_],
    molecules: npt.NDArray[Any] | None,
    seed: int,
    n_blocks: int,
    permutations: int,
) -> tuple[list[ScoredTarget], list[tuple[Target, InputError]]]:
    """Targets with their rows and resampled labels, and those that cannot be ranked by with the reason.

    Raises
    ------
    InputError
        The first target's error, if none can be used.
    """
    scored_targets, unusable = [], []
    for target in targets:
        rows = np.flatnonzero(whole & target.labelled)
        labelled = target.take(rows)
        try:
            check_target(labelled, None if molecules is None else molecules[rows])
        except InputError as error:
            logger.error("%s", error)
            unusable.append((target, error))
            continue
        resampling = make_resampling(
            labelled.values,
            target.task,
            groups=None if molecules is None else molecules[rows],
            n_blocks=n_blocks,
            permutations=permutations,
            seed=seed,
        )
        scored_targets.append(ScoredTarget(labelled, rows, resampling))
    if not scored_targets:
        raise unusable[0][1]
    return scored_targets, unusable


def _candidates(table: FeatureRows, given_arrays: dict[str, dict[str, npt.NDArray[Any]]]) -> list[Candidate]:
    def given(name: str) -> dict[str, npt.NDArray[Any]]:
        return {**given_arrays.get("reference", {}), **given_arrays.get(name, {})}

    if table.files is not None:
        return [Candidate(file.name, file.layer, file.read(), given=given(file.name)) for file in table.files]
    return [Candidate(name, "features", matrix, given=given(name)) for name, matrix in table.matrices.items()]


def _run_record(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": arguments,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS},
    }
