"""Precomputed features from anywhere: files of matrices, ranked without molecules, streamed where large."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.data.targets import Target, check_target, parse_target
from molrate.errors import InputError, UsageError
from molrate.files.matrices import NOT_FEATURES, FeatureFile, find_features, npz_header, partitioned_features
from molrate.files.tables import read_table
from molrate.measures.base import Measure
from molrate.measures.given import inputs_met, read_given
from molrate.ranking.candidates import Candidate, ScoredTarget, choose_measures
from molrate.ranking.consensus import consensus_table
from molrate.ranking.notes import target_notes
from molrate.ranking.ranking import Ranking, rank_targets, ranking_frame
from molrate.ranking.sensitivity import sensitivity_table
from molrate.ranking.streaming import HELD_VALUES, STREAMED_BLOCKS, STREAMED_PERMUTATIONS, rank_streamed
from molrate.ray_cluster import connected
from molrate.statistics.resampling import BLOCKS, PERMUTATIONS, make_resampling

if TYPE_CHECKING:
    import pandas as pd

_VERSIONS = ("molrate", "numpy")


def score_features(
    features: Sequence[str | Path] | Mapping[str, npt.ArrayLike],
    labels: str | Path | npt.ArrayLike | None = None,
    target: str | Sequence[str] | None = None,
    *,
    measures: Sequence[str | Measure] = ("transrate",),
    rank_by: str = "excess",
    task: str | None = None,
    scale_by_dimension: bool = False,
    common_dimension: int | None = None,
    sensitivity: bool = False,
    given: Mapping[str, npt.ArrayLike] | None = None,
    seed: int = 0,
    engine: str = "local",
    address: str | None = None,
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
    measures, rank_by, scale_by_dimension, common_dimension, sensitivity, given, seed
        As for :func:`molrate.score`; ENCODER is the name of the file or matrix.
    task : {"classification", "regression"}, optional
    engine : {"local", "ray"}
        ``ray`` streams files and folders on a cluster, whose nodes are to find them under the same paths.
    address : str, optional
        Of the cluster; one is started on this machine if none is given.

    Returns
    -------
    Ranking

    Raises
    ------
    UsageError, InputError
        If nothing can be ranked.
    """
    named = [target] if isinstance(target, str) else list(target or [])
    files = (
        None
        if isinstance(features, Mapping)
        else [f for path in features for f in find_features(path, named)]
    )
    n = _common_length(features, files)
    targets = _targets(features, labels, named, task, n)
    given_arrays = read_given(given or {}, n)
    chosen, notes = choose_measures(
        measures, scale_by_dimension=scale_by_dimension, met=inputs_met(given_arrays)
    )
    everywhere = engine == "ray"
    streamed = [file for file in files or [] if everywhere or file.shape[0] * file.shape[1] > HELD_VALUES]
    if everywhere and files is None:
        raise UsageError("--engine ray reads files; arrays are in this process already")
    if streamed and (sensitivity or common_dimension is not None):
        raise UsageError(
            f"{streamed[0].path} is streamed; --sensitivity and --common-dimension need it in memory"
        )
    if streamed and files is not None:
        whole = np.all([file.embedded() for file in files], axis=0)
        scored_targets = make_scored_targets(targets, whole, seed, STREAMED_BLOCKS, STREAMED_PERMUTATIONS)
        with connected(address) if everywhere else nullcontext():
            rows, replicates = rank_streamed(files, scored_targets, chosen, rank_by, everywhere)
        candidates: list[Candidate] = []
        why = "On Ray" if everywhere else f"Features of more than {HELD_VALUES:,} values"
        notes.append(f"{why}: streamed, by one-pass measures.")
    else:
        candidates = _candidates(features, files, given_arrays)
        whole = np.all([np.isfinite(one.features).all(axis=1) for one in candidates], axis=0)
        scored_targets = make_scored_targets(targets, whole, seed, BLOCKS, PERMUTATIONS)
        rows, replicates = rank_targets(candidates, scored_targets, chosen, rank_by, common_dimension)
    if not whole.all():
        notes.append(f"{np.sum(~whole)} rows left out whose features are not finite.")
    frame = ranking_frame(_source(labels, features), rows)
    arguments = {
        "features": [str(name) for name in features],
        "labels": str(labels) if isinstance(labels, str | Path) else None,
        "target": [scored_target.target.name for scored_target in scored_targets],
        "measures": [measure.name for measure in chosen],
        "rank_by": rank_by,
        "common_dimension": common_dimension,
        "seed": seed,
    }
    notes = (
        [f"{n} rows."]
        + [line for scored_target in scored_targets for line in target_notes(scored_target, n)]
        + notes
    )
    table = None
    if sensitivity:
        table = sensitivity_table(candidates, scored_targets, chosen, replicates, rank_by, {})
    votes = frame.dropna(subset="rank").groupby(["target", "measure"]).ngroups
    consensus = consensus_table(frame, replicates) if votes > 1 else None
    return Ranking(frame, notes, _run_record(arguments), replicates, consensus, table)


def _common_length(
    features: Sequence[str | Path] | Mapping[str, npt.ArrayLike], files: list[FeatureFile] | None
) -> int:
    if files is not None:
        lengths = {f"{file.path} ({file.layer})": file.shape[0] for file in files}
    else:
        assert isinstance(features, Mapping)
        lengths = {name: len(np.asarray(matrix)) for name, matrix in features.items()}
    if not lengths:
        raise UsageError("no features to rank (--features)")
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise InputError(f"features have unequal numbers of rows: {shown}")
    return next(iter(lengths.values()))


def _source(labels: Any, features: Any) -> str:
    return Path(labels).stem if isinstance(labels, str | Path) else Path(str(next(iter(features)))).stem


def _targets(features: Any, labels: Any, named: list[str], task: str | None, n: int) -> list[Target]:
    """Targets from a table, the features' own table, or an array.

    Raises
    ------
    InputError
        If there are none, or their rows are not those of the features.
    """
    if labels is not None and not isinstance(labels, str | Path):
        columns = {named[0] if named else "label": np.asarray(labels).tolist()}
    else:
        path = Path(labels if labels is not None else next(iter(features)))
        columns = (
            _npz_columns(path) if path.suffix.lower() in (".npz", ".npy") else _table_columns(path, named)
        )
        columns = _chosen_columns(columns, named, path, given=labels is not None)
    for name, column in columns.items():
        if len(column) != n:
            raise InputError(f"{name!r} has {len(column)} labels, the features {n} rows")
    targets = [parse_target(name, column, task) for name, column in columns.items()]
    for target in targets:
        check_target(target)
    return targets


def _npz_columns(path: Path) -> dict[str, Sequence[object]]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as labels: {error}") from error
    if isinstance(loaded, np.ndarray):
        return {path.stem: loaded.tolist()} if loaded.ndim == 1 else {}
    flat = [name for name in loaded.files if len(npz_header(path, name)[0]) == 1]
    return {name: loaded[name].tolist() for name in flat if name not in NOT_FEATURES}


def _table_columns(path: Path, named: list[str]) -> dict[str, Sequence[object]]:
    if path.is_dir():
        parts = [_table_columns(part.path, named) for part in partitioned_features(path, named).parts]
        return {name: [value for part in parts for value in part[name]] for name in parts[0]}
    if path.suffix.lower() == ".parquet" and named:
        import pyarrow.parquet as parquet

        # The features of the same file are not read along.
        present = set(parquet.ParquetFile(path).schema_arrow.names)
        frame: pd.DataFrame = parquet.read_table(path, columns=[c for c in named if c in present]).to_pandas()
    else:
        frame = read_table(path)
    return {str(name): frame[name].tolist() for name in frame.columns if str(name) not in NOT_FEATURES}


def _chosen_columns(
    columns: dict[str, Sequence[object]], named: list[str], path: Path, *, given: bool
) -> dict[str, Sequence[object]]:
    missing = [name for name in named if name not in columns]
    if missing:
        raise InputError(f"{path}: no column {missing[0]!r} (--target)")
    if named:
        return {name: columns[name] for name in named}
    if len(columns) != 1 or not given:
        where = f"columns {', '.join(list(columns)[:8])}" if columns else "no column of labels"
        raise InputError(f"{path}: {where}; name the target with --target, or its file with --labels")
    return columns


def make_scored_targets(
    targets: Sequence[Target], whole: npt.NDArray[np.bool_], seed: int, n_blocks: int, permutations: int
) -> list[ScoredTarget]:
    """Targets with the rows they are scored on, and their labels resampled."""
    scored_targets = []
    for target in targets:
        rows = np.flatnonzero(whole & target.labelled)
        labelled = target.take(rows)
        check_target(labelled)
        resampling = make_resampling(
            labelled.values, target.task, n_blocks=n_blocks, permutations=permutations, seed=seed
        )
        scored_targets.append(ScoredTarget(labelled, rows, resampling))
    return scored_targets


def _candidates(
    features: Sequence[str | Path] | Mapping[str, npt.ArrayLike],
    files: list[FeatureFile] | None,
    given_arrays: dict[str, dict[str, npt.NDArray[Any]]],
) -> list[Candidate]:
    def given(name: str) -> dict[str, npt.NDArray[Any]]:
        return {**given_arrays.get("reference", {}), **given_arrays.get(name, {})}

    if files is not None:
        return [Candidate(file.name, file.layer, file.read(), given=given(file.name)) for file in files]
    assert isinstance(features, Mapping)
    made = []
    for name, matrix in features.items():
        array = np.asarray(matrix, dtype=np.float64)
        if array.ndim != 2:
            raise InputError(f"features {name!r} must be a matrix (n, d), not of shape {array.shape}")
        made.append(Candidate(name, "features", array, given=given(name)))
    return made


def _run_record(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": arguments,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS},
    }
