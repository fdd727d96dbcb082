"""Precomputed features from anywhere: files of matrices, ranked without molecules, streamed where large."""

from __future__ import annotations

import platform
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from molrate.data.targets import Target, check_target, parse_target
from molrate.errors import InputError, UsageError
from molrate.files.output import PARTS, read_table
from molrate.measures.base import Measure, Sample, StatisticsMeasure, tabulate_together
from molrate.measures.given import needs_met, read_given
from molrate.ranking.consensus import consensus_table
from molrate.ranking.notes import target_notes
from molrate.ranking.ranking import (
    Candidate,
    Ranking,
    Scored,
    Trial,
    choose_measures,
    label_warning,
    rank_trials,
    ranking_frame,
    ranking_rows,
)
from molrate.ranking.sensitivity import sensitivity_table
from molrate.ray_cluster import connected, map_tasks, n_cores
from molrate.statistics.feature_statistics import FeatureStatistics, Matrix
from molrate.statistics.resampling import BLOCKS, PERMUTATIONS, Design, make_design

if TYPE_CHECKING:
    import pandas as pd

READABLE = (".npz", ".npy", ".parquet", ".csv")
# Values, in float64 half a gibibyte; beyond it features are read in chunks and never held.
HELD_VALUES = 1 << 26
STREAMED_BLOCKS = 10
STREAMED_PERMUTATIONS = 2
_CHUNK_VALUES = 1 << 22
_GRAM_BYTES = 1 << 30
_NOT_FEATURES = frozenset({"row", "id", "status", "error", "smiles", "canonical_smiles"})
_VERSIONS = ("molrate", "numpy")


@dataclass(frozen=True)
class FeatureFile:
    """One matrix of features in a file.

    Attributes
    ----------
    path : pathlib.Path
    layer : str
        Array of an ``.npz``; ``features`` in files that hold one matrix.
    shape : tuple of int
        (n, d).
    columns : tuple of str
        Those of a table that are features.
    parts : tuple of FeatureFile
        Of a folder of Parquet files: each of them, in the order of their names.
    """

    path: Path
    layer: str
    shape: tuple[int, int]
    columns: tuple[str, ...] = ()
    parts: tuple[FeatureFile, ...] = ()

    @property
    def name(self) -> str:
        """What stands for the encoder: the file's name without its suffix."""
        return self.path.name.removesuffix(self.path.suffix)

    def chunks(self) -> Iterator[Matrix]:
        """Rows in order, few enough at a time to be held."""
        if self.parts:
            for part in self.parts:
                yield from part.chunks()
            return
        rows = max(1, _CHUNK_VALUES // self.shape[1])
        suffix = self.path.suffix.lower()
        if suffix == ".npy":
            # Read, not mapped: the pages of a mapped file would count as memory in use.
            with self.path.open("rb") as stream:
                yield from _array_chunks(stream, rows, lambda: np.load(self.path, allow_pickle=False))
        elif suffix == ".npz":
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.layer}.npy") as stream:
                yield from _array_chunks(
                    stream, rows, lambda: np.load(self.path, allow_pickle=False)[self.layer]
                )
        elif suffix == ".parquet":
            import pyarrow.parquet as parquet

            for batch in parquet.ParquetFile(self.path).iter_batches(rows, columns=list(self.columns)):
                yield np.column_stack([column.to_numpy(zero_copy_only=False) for column in batch.columns])
        else:
            import pandas as pd

            for frame in pd.read_csv(self.path, usecols=list(self.columns), chunksize=rows):
                yield frame[list(self.columns)].to_numpy(dtype=np.float64)

    def embedded(self) -> npt.NDArray[np.bool_]:
        """Rows that ``molrate embed`` could compute; all of other files, shape (n,)."""
        if self.parts:
            return np.concatenate([part.embedded() for part in self.parts])
        if self.path.suffix.lower() == ".parquet":
            import pyarrow.parquet as parquet

            if "status" in parquet.ParquetFile(self.path).schema_arrow.names:
                status = parquet.read_table(self.path, columns=["status"])["status"]
                return np.asarray(status.to_numpy() == "ok", dtype=bool)
        return np.ones(self.shape[0], dtype=bool)

    def row(self, number: int) -> Matrix:
        """One row, shape (d,)."""
        for chunk in self.chunks():
            if number < len(chunk):
                return np.asarray(chunk[number], dtype=np.float64)
            number -= len(chunk)
        raise IndexError(number)

    def read(self) -> Matrix:
        """All rows."""
        return np.concatenate([np.asarray(chunk, dtype=np.float64) for chunk in self.chunks()])


def find_features(path: str | Path, targets: Sequence[str] = ()) -> list[FeatureFile]:
    """The matrices in a file of features, or the one in a folder.

    Every two-dimensional array of an ``.npz`` is one (so that a file of ``molrate embed`` gives its
    layers), the array of an ``.npy``, the numeric columns of a ``.parquet`` or ``.csv`` that are
    neither targets nor row numbers, and those of all Parquet files of a folder, one below the other.

    Parameters
    ----------
    path : str or pathlib.Path
    targets : sequence of str
        Columns that are not features.

    Raises
    ------
    InputError
        If the file cannot be read or holds no features.
    """
    path = Path(path)
    if path.is_dir():
        return [_partitioned(path, targets)]
    suffix = path.suffix.lower()
    if suffix not in READABLE:
        raise InputError(f"{path}: features are read from {', '.join(READABLE)} or a folder (--features)")
    if not path.is_file():
        raise InputError(f"{path}: no such file (--features)")
    try:
        found = _matrices(path, suffix, targets)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as features: {error}") from error
    if not found:
        raise InputError(f"{path}: no features in it: no matrix, or no numeric column but the targets")
    return found


def _partitioned(folder: Path, targets: Sequence[str]) -> FeatureFile:
    """The Parquet files of a folder as one matrix; of a folder of ``molrate embed``, its parts.

    Raises
    ------
    InputError
        If there is none, or they have different columns.
    """
    inside = folder / PARTS if (folder / PARTS).is_dir() else folder
    paths = sorted(inside.glob("*.parquet"))
    if not paths:
        raise InputError(f"{folder}: no Parquet file in it (--features)")
    parts = [part for path in paths for part in find_features(path, targets)]
    for part in parts:
        if part.columns != parts[0].columns:
            raise InputError(f"{part.path}: its columns are not those of {parts[0].path} (--features)")
    n = sum(part.shape[0] for part in parts)
    return FeatureFile(folder, "features", (n, parts[0].shape[1]), parts[0].columns, tuple(parts))


def _matrices(path: Path, suffix: str, targets: Sequence[str]) -> list[FeatureFile]:
    if suffix == ".npy":
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
        return [FeatureFile(path, "features", shape)] if len(shape) == 2 else []
    if suffix == ".npz":
        shapes = {name: _npz_header(path, name)[0] for name in _npz_names(path)}
        return [FeatureFile(path, name, shape) for name, shape in shapes.items() if len(shape) == 2]
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as parquet

        file = parquet.ParquetFile(path)
        schema, n = file.schema_arrow, file.metadata.num_rows
        numeric = [
            field.name
            for field in schema
            if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
        ]
    else:
        import pandas as pd

        numeric = pd.read_csv(path, nrows=1000).select_dtypes("number").columns.astype(str).tolist()
        with path.open("rb") as stream:
            n = sum(1 for line in stream if line.strip()) - 1
    columns = tuple(name for name in numeric if name not in targets and name not in _NOT_FEATURES)
    return [FeatureFile(path, "features", (n, len(columns)), columns)] if columns else []


def _npz_names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _npz_header(path: Path, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
        return _header(stream)


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    major, _ = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    return read(stream)


def _array_chunks(stream: Any, rows: int, whole: Callable[[], npt.NDArray[Any]]) -> Iterator[Matrix]:
    """Rows of an array in NumPy's format, in order."""
    (n, d), by_column, dtype = _header(stream)
    if by_column:
        # Column order cannot be read row by row; such an array is held whole.
        matrix = whole()
        yield from (np.asarray(matrix[start : start + rows]) for start in range(0, n, rows))
        return
    for start in range(0, n, rows):
        count = min(rows, n - start)
        block = stream.read(count * d * dtype.itemsize)
        yield np.frombuffer(block, dtype=dtype).reshape(count, d).astype(np.float64)


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
    beside = read_given(given or {}, n)
    chosen, notes = choose_measures(measures, scale_by_dimension=scale_by_dimension, met=needs_met(beside))
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
        trials = _make_trials(targets, whole, seed, STREAMED_BLOCKS, STREAMED_PERMUTATIONS)
        with connected(address) if everywhere else nullcontext():
            rows, replicates = _rank_streamed(files, trials, chosen, rank_by, everywhere)
        candidates: list[Candidate] = []
        why = "On Ray" if everywhere else f"Features of more than {HELD_VALUES:,} values"
        notes.append(f"{why}: streamed, by one-pass measures.")
    else:
        candidates = _candidates(features, files, beside)
        whole = np.all([np.isfinite(one.features).all(axis=1) for one in candidates], axis=0)
        trials = _make_trials(targets, whole, seed, BLOCKS, PERMUTATIONS)
        rows, replicates = rank_trials(candidates, trials, chosen, rank_by, common_dimension)
    if not whole.all():
        notes.append(f"{np.sum(~whole)} rows left out whose features are not finite.")
    frame = ranking_frame(_source(labels, features), rows)
    arguments = {
        "features": [str(name) for name in features],
        "labels": str(labels) if isinstance(labels, str | Path) else None,
        "target": [trial.target.name for trial in trials],
        "measures": [measure.name for measure in chosen],
        "rank_by": rank_by,
        "common_dimension": common_dimension,
        "seed": seed,
    }
    notes = [f"{n} rows."] + [line for trial in trials for line in target_notes(trial, n)] + notes
    table = None
    if sensitivity:
        table = sensitivity_table(candidates, trials, chosen, replicates, rank_by, {})
    votes = frame.dropna(subset="rank").groupby(["target", "measure"]).ngroups
    consensus = consensus_table(frame) if votes > 1 else None
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
    flat = [name for name in loaded.files if len(_npz_header(path, name)[0]) == 1]
    return {name: loaded[name].tolist() for name in flat if name not in _NOT_FEATURES}


def _table_columns(path: Path, named: list[str]) -> dict[str, Sequence[object]]:
    if path.is_dir():
        parts = [_table_columns(part.path, named) for part in _partitioned(path, named).parts]
        return {name: [value for part in parts for value in part[name]] for name in parts[0]}
    if path.suffix.lower() == ".parquet" and named:
        import pyarrow.parquet as parquet

        # The features of the same file are not read along.
        present = set(parquet.ParquetFile(path).schema_arrow.names)
        frame: pd.DataFrame = parquet.read_table(path, columns=[c for c in named if c in present]).to_pandas()
    else:
        frame = read_table(path)
    return {str(name): frame[name].tolist() for name in frame.columns if str(name) not in _NOT_FEATURES}


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


def _make_trials(
    targets: Sequence[Target], whole: npt.NDArray[np.bool_], seed: int, n_blocks: int, permutations: int
) -> list[Trial]:
    trials = []
    for target in targets:
        rows = np.flatnonzero(whole & target.labelled)
        labelled = target.take(rows)
        check_target(labelled)
        design = make_design(
            labelled.values, target.task, n_blocks=n_blocks, permutations=permutations, seed=seed
        )
        trials.append(Trial(labelled, rows, design))
    return trials


def _candidates(
    features: Sequence[str | Path] | Mapping[str, npt.ArrayLike],
    files: list[FeatureFile] | None,
    beside: dict[str, dict[str, npt.NDArray[Any]]],
) -> list[Candidate]:
    def given(name: str) -> dict[str, npt.NDArray[Any]]:
        return {**beside.get("reference", {}), **beside.get(name, {})}

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


def _rank_streamed(
    files: Sequence[FeatureFile],
    trials: Sequence[Trial],
    measures: Sequence[Measure],
    rank_by: str,
    everywhere: bool,
) -> tuple[list[dict[str, Any]], dict[tuple[str, str, str, str], Matrix]]:
    rows: list[dict[str, Any]] = []
    replicates: dict[tuple[str, str, str, str], Matrix] = {}
    for trial in trials:
        scored = [one for file in files for one in _score_streamed(file, trial, measures, everywhere)]
        more_rows, more_replicates = ranking_rows(trial.target.name, trial.design, scored, rank_by)
        rows += more_rows
        replicates |= more_replicates
    return rows, replicates


def _score_streamed(
    file: FeatureFile, trial: Trial, measures: Sequence[Measure], everywhere: bool
) -> list[Scored]:
    """Every measure of one file from statistics of one pass over it, here or on a cluster."""
    started = time.perf_counter()
    n, d = len(trial.rows), file.shape[1]
    # The measures only ask it for its shape here.
    shape_only = Sample(np.broadcast_to(np.zeros(()), (n, d)), trial.design)
    candidate = Candidate(file.name, file.layer, np.broadcast_to(np.float64(0), file.shape))
    usable = [m for m in measures if isinstance(m, StatisticsMeasure) and m.needs == "statistics"]
    refused = InputError(f"needs all features in memory, and {file.path} has {n:,} rows of {d} dimensions")
    groups = _statistics_groups(usable)
    labellings = _gather(file, trial, list(groups), everywhere)
    tables: dict[str, Any] = {}
    for key, members in groups.items():
        plain = [m for m in members if type(m).tabulate is StatisticsMeasure.tabulate]
        found = tabulate_together(plain, labellings[key])
        tables |= dict(zip([m.name for m in plain], found, strict=True))
        tables |= {m.name: m.tabulate(labellings[key]) for m in members if m not in plain}
    seconds = time.perf_counter() - started
    scored = []
    for measure in measures:
        table = tables.get(measure.name, refused)
        if isinstance(table, InputError):
            scored.append(Scored(candidate, measure, seconds, d, error=table))
        else:
            warning = measure.warning(shape_only) or label_warning(measure, trial.design)
            scored.append(Scored(candidate, measure, seconds, d, warning=warning, table=table))
    return scored


def _statistics_groups(measures: Sequence[StatisticsMeasure]) -> dict[tuple[bool, bool], list[Any]]:
    """Measures by the statistics they share: of unit rows or not, with class moments or not."""
    groups: dict[tuple[bool, bool], list[Any]] = {}
    for measure in measures:
        groups.setdefault((measure.unit_rows, measure.class_moments), []).append(measure)
    return groups


def _empty_labellings(
    design: Design, shift: Matrix, unit: bool, class_moments: bool
) -> list[FeatureStatistics]:
    dimension = len(shift)
    n_targets = int(design.task == "regression")
    cells = design.n_blocks * (design.n_classes if class_moments else 1)
    if cells * dimension**2 * 8 > _GRAM_BYTES:
        raise InputError(
            f"{dimension} dimensions in {design.n_classes} classes need {cells} matrices of {dimension} x "
            f"{dimension}, more than {_GRAM_BYTES >> 20} MiB; reduce the dimension"
        )
    kinds = ["classes" if class_moments else "pooled"]
    kinds += ["classes" if class_moments else "none"] * len(design.permutations)
    return [
        FeatureStatistics(
            dimension,
            design.n_classes,
            n_targets,
            unit_rows=unit,
            second_moments=kind,
            shift=None if unit else shift,
        )
        for kind in kinds
    ]


_Labellings = dict[tuple[bool, bool], list[FeatureStatistics]]


def _gather(
    file: FeatureFile, trial: Trial, keys: Sequence[tuple[bool, bool]], everywhere: bool
) -> _Labellings:
    """Statistics of a file for every labelling: of its parts by tasks of a cluster, merged in their order."""
    place = np.full(file.shape[0], -1, dtype=np.intp)
    place[trial.rows] = np.arange(len(trial.rows))
    pieces, start = [], 0
    for part in file.parts or (file,):
        pieces.append((part, place[start : start + part.shape[0]]))
        start += part.shape[0]
    shared = (trial.design, tuple(keys), file.row(int(trial.rows[0])))
    if everywhere:
        shares = [
            [pieces[row] for row in rows]
            for rows in np.array_split(np.arange(len(pieces)), min(len(pieces), max(1, n_cores())))
        ]
        labellings = reduce(_merged, map_tasks(_statistics, shares, shared))
    else:
        labellings = _statistics(pieces, shared)
    for statistics in labellings.values():
        for other in statistics[1:]:
            other.share_pooled(statistics[0])
    return labellings


def _merged(one: _Labellings, other: _Labellings) -> _Labellings:
    return {key: [first + second for first, second in zip(one[key], other[key], strict=True)] for key in one}


def _statistics(
    pieces: Sequence[tuple[FeatureFile, npt.NDArray[np.intp]]],
    shared: tuple[Design, Sequence[tuple[bool, bool]], Matrix],
) -> _Labellings:
    """Read files once, adding every chunk to every labelling.

    Parameters
    ----------
    pieces : sequence of (FeatureFile, ndarray of int)
        Files with the place of each of their rows in the design; -1 of those left out.
    shared : (Design, keys, ndarray)
        What all files share, with a row that all are shifted by. Second moments of permuted classes are kept
        in one block, as in many they would take too much memory.
    """
    design, keys, shift = shared
    labellings = {key: _empty_labellings(design, shift, *key) for key in keys}
    for file, place in pieces:
        start = 0
        for chunk in file.chunks():
            where = place[start : start + len(chunk)]
            start += len(chunk)
            rows, kept = chunk[where >= 0], where[where >= 0]
            if len(kept):
                _add(design, labellings, rows, kept)
    return labellings


def _add(design: Design, labellings: _Labellings, rows: Matrix, kept: npt.NDArray[np.intp]) -> None:
    for order, position in zip(design.orders(), range(1 + len(design.permutations)), strict=True):
        labels = order[kept]
        targets = design.values[labels][:, None] if design.task == "regression" else None
        for (_, class_moments), statistics in labellings.items():
            blocks = None if class_moments and position else design.blocks[kept]
            statistics[position].add(rows, design.codes[labels], targets, blocks)


def _run_record(arguments: dict[str, Any]) -> dict[str, Any]:
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "arguments": arguments,
        "versions": {"python": platform.python_version()} | {name: version(name) for name in _VERSIONS},
    }
