"""Precomputed features from anywhere: files of matrices, ranked without molecules, streamed where large."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.data.targets import Target, TargetPolicy, check_target
from molrate.errors import InputError, UsageError
from molrate.files.columns import find_column, is_about_rows
from molrate.files.formats import NO_ARCHIVE, required_format
from molrate.files.matrices import (
    FeatureFile,
    find_features,
    npz_header,
    partitioned_features,
    table_keys,
    told_apart,
)
from molrate.files.records import open_records
from molrate.files.tables import check_records
from molrate.measures.base import DEFAULT_MEASURE, Measure
from molrate.measures.given import inputs_met, read_given
from molrate.ranking.alignment import Keys, common_keys, matching_rows, molecules_of_rows
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
from molrate.ranking.notes import column_notes, label_advice, repeat_note, size_advice, target_notes
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
from molrate.statistics.moments import Matrix
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
    read = _read_labels(features, labels, named)
    # Labels that stand in a table or archive may stand among features too; others have a made-up name.
    has_names = isinstance(labels, str | Path) and Path(labels).suffix.lower() != ".npy"
    beside = list(read) if has_names else named
    files, matrices = None, {}
    if isinstance(features, Mapping):
        matrices = {name: _matrix(name, given) for name, given in features.items()}
    else:
        files = told_apart([file for path in features for file in find_features(path, beside)])
    n = _common_length(matrices, files)
    keys: Keys = {} if files is None else common_keys(files)
    of_labels = {} if files is None else _label_keys(labels)
    order, join_notes = matching_rows(keys, of_labels, Path(str(labels))) if of_labels else (None, [])
    columns = {name: _ordered(column, order) for name, column in read.items()}
    targets = _targets(columns, TargetPolicy(task, positive, censored), n)
    texts = {name: _ordered(column, order, "") for name, column in of_labels.items()}
    molecules, repeat_notes = _molecules(
        groups, texts | {name: text for name, (_, text) in keys.items()}, n, targets
    )
    given_arrays = read_given(extra_arrays or {}, n)
    chosen, notes = choose_measures(
        measures, scale_by_dimension=scale_by_dimension, met=inputs_met(given_arrays)
    )
    everywhere = engine == "ray"
    streamed = [file for file in files or [] if everywhere or file.shape[0] * file.shape[1] > HELD_VALUES]
    if everywhere and files is None:
        raise UsageError("--engine ray reads files; arrays are in this process already")
    common_dimension = check_common_dimension(common_dimension)
    if streamed and (sensitivity or common_dimension not in (AUTO, None)):
        raise UsageError(
            f"{streamed[0].path} is streamed; --sensitivity and a --common-dimension need it in memory"
        )
    if streamed and files is not None:
        with connected(address) if everywhere else nullcontext():
            whole = finite_rows(files, everywhere)
            scored_targets, unusable = make_scored_targets(
                targets, whole, molecules, seed, STREAMED_BLOCKS, STREAMED_PERMUTATIONS
            )
            rows, replicates = rank_streamed(files, scored_targets, chosen, rank_by, everywhere)
        candidates: list[Candidate] = []
        why = "On Ray" if everywhere else f"Features of more than {HELD_VALUES:,} values"
        notes.append(f"{why}: streamed, by one-pass measures, in full dimension.")
        common_dimension = None
    else:
        candidates = _candidates(matrices, files, given_arrays)
        whole = np.all([np.isfinite(one.features).all(axis=1) for one in candidates], axis=0)
        scored_targets, unusable = make_scored_targets(targets, whole, molecules, seed, BLOCKS, PERMUTATIONS)
        rows, replicates = rank_targets(candidates, scored_targets, chosen, rank_by, common_dimension)
        rows = with_transrate(rows, transrates_beside(rows, candidates, scored_targets, common_dimension))
    source = _source(labels, features)
    expectations = expectations_of(candidates, scored_targets, source)
    if not whole.all():
        first = int(np.argmin(whole)) + 1
        notes.append(f"{np.sum(~whole)} rows left out whose features are not finite, the first row {first}.")
    rows += [failed_row(target, chosen[0], "", reason) for target, reason in unusable]
    frame = ranking_frame(source, with_expectations(rows, expectations, {}, source, {}))
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
        + join_notes
        + repeat_notes
        + column_notes(files or [])
        + notes
    )
    table = None
    if sensitivity:
        table = sensitivity_table(
            candidates, scored_targets, chosen, replicates, rank_by, {}, common_dimension
        )
    votes = frame.dropna(subset="rank").groupby(["target", "measure"]).ngroups
    consensus = consensus_table(frame, replicates) if votes > 1 else None
    run = _run_record(arguments) | {"seconds": round(time.perf_counter() - started, 2)}
    advice = size_advice(scored_targets) + label_advice(scored_targets)
    return Ranking(frame, advice, notes, run, replicates, expectations, consensus, table)


def _common_length(matrices: Mapping[str, Matrix], files: list[FeatureFile] | None) -> int:
    if files is not None:
        lengths = {f"{file.path} ({file.layer})": file.shape[0] for file in files}
    else:
        lengths = {name: len(matrix) for name, matrix in matrices.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise InputError(f"features have unequal numbers of rows: {shown}")
    return next(iter(lengths.values()))


def _source(labels: Any, features: Any) -> str:
    return Path(labels).stem if isinstance(labels, str | Path) else Path(str(next(iter(features)))).stem


def _read_labels(features: Any, labels: Any, named: list[str]) -> dict[str, Sequence[object]]:
    """Columns of labels as they stand in their file.

    Raises
    ------
    InputError
        If there are none.
    """
    if labels is not None and not isinstance(labels, str | Path):
        return {named[0] if named else "label": np.asarray(labels).tolist()}
    path = Path(labels if labels is not None else next(iter(features)))
    columns = _npz_columns(path, named) if _is_array(path) else _table_columns(path, named)
    return _chosen_columns(columns, named, path, given=labels is not None)


def _is_array(path: Path) -> bool:
    return path.suffix.lower() in (".npz", ".npy")


def _label_keys(labels: Any) -> dict[str, list[str]]:
    """Columns of a table of labels that say which molecule each row is; arrays and folders have none."""
    if not isinstance(labels, str | Path):
        return {}
    path = Path(labels)
    return {} if _is_array(path) or path.is_dir() else table_keys(path)


def _ordered(column: Sequence[Any], order: Sequence[int] | None, missing: Any = None) -> Sequence[Any]:
    """A column in another order of rows, of which -1 is one that it lacks."""
    return column if order is None else [missing if row < 0 else column[row] for row in order]


def _molecules(
    groups: npt.ArrayLike | None, keys: Mapping[str, Sequence[str]], n: int, targets: Sequence[Target]
) -> tuple[npt.NDArray[Any] | None, list[str]]:
    """Which molecule each row is, None where nothing tells, and what to say of those that repeat one.

    Raises
    ------
    UsageError
        If `groups` are not one for each row.
    """
    if groups is not None:
        given = np.asarray(groups)
        if given.shape != (n,):
            raise UsageError(f"groups have the shape {given.shape}; the features have {n} rows")
        return given, []
    found = molecules_of_rows(keys)
    if found is None:
        return None, []
    name, texts = found
    n_repeated = n - len(set(texts))
    if not n_repeated:
        return None, []
    # Numbers, as an array of the texts would take as much for each as the longest does.
    codes: dict[str, int] = {}
    molecules = np.array([codes.setdefault(text, len(codes)) for text in texts])
    return molecules, [f"{repeat_note(texts, n_repeated, targets)} (told by {name})."]


def _targets(columns: dict[str, Sequence[object]], policy: TargetPolicy, n: int) -> Sequence[Target]:
    """Targets from columns.

    Raises
    ------
    InputError
        If there are not as many labels as rows.
    """
    for name, column in columns.items():
        if len(column) != n:
            raise InputError(f"{name!r} has {len(column)} labels, the features {n} rows")
    return policy.read(columns)


def _npz_columns(path: Path, named: list[str]) -> dict[str, Sequence[object]]:
    """Flat arrays; of Python objects only those that are named, which are refused."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {path.stem: loaded.tolist()} if loaded.ndim == 1 else {}
        headers = {name: npz_header(path, name) for name in loaded.files}
        flat = [name for name, (shape, _, _) in headers.items() if len(shape) == 1]
        plain = [name for name in flat if not headers[name][2].hasobject and not is_about_rows(name)]
        return {name: loaded[name].tolist() for name in flat if name in (*plain, *named)}
    except NO_ARCHIVE as error:
        raise InputError(f"{path}: cannot be read as labels: {error}") from error


def _table_columns(path: Path, named: list[str]) -> dict[str, Sequence[object]]:
    if path.is_dir():
        parts = [_table_columns(part.path, named) for part in partitioned_features(path, named).parts]
        return {name: [value for part in parts for value in part[name]] for name in parts[0]}
    form = required_format(path)
    with open_records(str(path), form) as records:
        header = records.header
        if named:
            chosen = {name: find_column(header, name, str(path), "--target") for name in named}
        else:
            chosen = {name: place for place, name in enumerate(header) if not is_about_rows(name)}
        if records.choose is not None:
            # The features of the same file are not read along.
            records.choose(list(chosen.values()))
        rows = list(records.rows)
    check_records(str(path), rows)
    return {
        name: [cells[place].strip() if cells else "" for _, _, cells, _, _ in rows]
        for name, place in chosen.items()
    }


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
            check_target(labelled)
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


def _candidates(
    matrices: Mapping[str, Matrix],
    files: list[FeatureFile] | None,
    given_arrays: dict[str, dict[str, npt.NDArray[Any]]],
) -> list[Candidate]:
    def given(name: str) -> dict[str, npt.NDArray[Any]]:
        return {**given_arrays.get("reference", {}), **given_arrays.get(name, {})}

    if files is not None:
        return [Candidate(file.name, file.layer, file.read(), given=given(file.name)) for file in files]
    return [Candidate(name, "features", matrix, given=given(name)) for name, matrix in matrices.items()]


def _matrix(name: str, given: Any) -> Matrix:
    """Features that were given as an array, a frame or a sparse matrix.

    Raises
    ------
    InputError
        If they are no matrix of real numbers.
    """
    array = np.asarray(given.toarray() if hasattr(given, "toarray") else given)
    if array.ndim != 2:
        raise InputError(f"features {name!r} must be a matrix (n, d), not of shape {array.shape}")
    if array.dtype.kind == "c":
        raise InputError(f"features {name!r} are complex; real numbers are needed")
    try:
        return array.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"features {name!r} are not all numbers: {error}") from error


def _run_record(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": arguments,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS},
    }
