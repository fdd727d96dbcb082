"""Rows of precomputed features and their labels: read, joined, and told apart by molecule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.data.targets import Target, TargetPolicy
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
from molrate.ranking.alignment import Keys, common_keys, matching_rows, molecules_of_rows
from molrate.ranking.notes import repeat_note
from molrate.statistics.moments import Matrix


@dataclass(frozen=True)
class FeatureRows:
    """Features whose rows are in one order, with the labels of these rows.

    Attributes
    ----------
    count : int
        Number of rows.
    targets : sequence of Target
    molecules : ndarray, shape (count,), or None
        What rows of one molecule share; None where no row is known to repeat one.
    files : list of FeatureFile or None
        Where features are in files.
    matrices : dict of str to ndarray, shape (count, d)
        Where they are not.
    notes : list of str
        What was joined, and what is repeated.
    """

    count: int
    targets: Sequence[Target]
    molecules: npt.NDArray[Any] | None
    files: list[FeatureFile] | None
    matrices: dict[str, Matrix]
    notes: list[str]


def read_feature_rows(
    features: Sequence[str | Path] | Mapping[str, npt.ArrayLike],
    labels: str | Path | npt.ArrayLike | None,
    named: list[str],
    policy: TargetPolicy,
    groups: npt.ArrayLike | None,
) -> FeatureRows:
    """Read labels and find features; features in files are opened, not read.

    Parameters
    ----------
    features, labels, groups
        As for :func:`molrate.score_features`.
    named : list of str
        Columns of labels; all that may be labels if empty.
    policy : TargetPolicy

    Raises
    ------
    UsageError, InputError
        If they cannot be read, or do not go together.
    """
    columns = _read_labels(features, labels, named)
    # Labels that stand in a table or archive may stand among features too; others have a made-up name.
    has_names = isinstance(labels, str | Path) and Path(labels).suffix.lower() != ".npy"
    beside = list(columns) if has_names else named
    files, matrices = None, {}
    if isinstance(features, Mapping):
        matrices = {name: _matrix(name, given) for name, given in features.items()}
    else:
        files = told_apart([file for path in features for file in find_features(path, beside)])
    count = _common_length(matrices, files)
    keys: Keys = {} if files is None else common_keys(files)
    of_labels = {} if files is None else _label_keys(labels)
    order, joined = matching_rows(keys, of_labels, Path(str(labels))) if of_labels else (None, [])
    ordered = {name: _ordered(column, order) for name, column in columns.items()}
    targets = _targets(ordered, policy, count)
    texts = {name: _ordered(column, order, "") for name, column in of_labels.items()}
    texts |= {name: text for name, (_, text) in keys.items()}
    molecules, repeated = _molecules(groups, texts, count, targets)
    return FeatureRows(count, targets, molecules, files, matrices, [*joined, *repeated])


def _common_length(matrices: Mapping[str, Matrix], files: list[FeatureFile] | None) -> int:
    if files is not None:
        lengths = {f"{file.path} ({file.layer})": file.shape[0] for file in files}
    else:
        lengths = {name: len(matrix) for name, matrix in matrices.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {count}" for name, count in lengths.items())
        raise InputError(f"features have unequal numbers of rows: {shown}")
    return next(iter(lengths.values()))


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
