"""Features of molecules in files: which columns or arrays they are, read whole or in chunks."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.files.columns import ID_NAMES, MISSING, SMILES_NAMES, is_about_rows, natural_key, usual
from molrate.files.formats import EMPTY_LINE, NO_ARCHIVE, Fields, format_of
from molrate.files.output import PARTS
from molrate.files.records import open_records

READABLE = "npz, npy, parquet, csv and tsv, or folders of the last three"

_TABLES = ("csv", "tsv", "parquet", "xlsx")
_CHUNK_VALUES = 1 << 22
_INSPECTED = 1000
"""Rows that decide which columns of a text file are numbers; a later one that is none is an error."""
_KEYS = (*ID_NAMES, *SMILES_NAMES, "row")
"""Columns that say which row of another file a row belongs to, in the order they are asked."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureFile:
    """One matrix of features in a file.

    Attributes
    ----------
    path : pathlib.Path
    layer : str
        Array of an ``.npz``, column of lists of a ``.parquet``; ``features`` in files that hold one matrix.
    shape : tuple of int
        (n, d).
    columns : tuple of str
        Those of a table that are features.
    parts : tuple of FeatureFile
        Of a folder: its files, in natural order of their names.
    label : str
        What stands for the encoder, where the file's name without its suffix does not tell it from others.
    passed_over : tuple of str
        Of a folder: files in it that are not read.
    """

    path: Path
    layer: str
    shape: tuple[int, int]
    columns: tuple[str, ...] = ()
    parts: tuple[FeatureFile, ...] = ()
    label: str = ""
    passed_over: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What stands for the encoder: the file's name without its suffix, or its label."""
        return self.label or self.path.name.removesuffix(self.path.suffix)

    def chunks(self) -> Iterator[Matrix]:
        """Rows in order, few enough at a time to be held.

        Raises
        ------
        InputError
            If a cell is not a number, or the file is damaged.
        """
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
            yield from self._npz_chunks(rows)
        elif suffix == ".parquet":
            yield from self._parquet_chunks(rows)
        else:
            yield from self._text_chunks(rows)

    def _npz_chunks(self, n_rows: int) -> Iterator[Matrix]:
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(f"{self.layer}.npy") as stream:
                yield from _array_chunks(
                    stream, n_rows, lambda: np.load(self.path, allow_pickle=False)[self.layer]
                )
        except NO_ARCHIVE as error:
            raise InputError(
                f"{self.path}: array {self.layer} cannot be read: {error}; write it again"
            ) from error

    def _parquet_chunks(self, n_rows: int) -> Iterator[Matrix]:
        from molrate.files.columnar import open_parquet

        start = 0
        for batch in open_parquet(str(self.path)).iter_batches(n_rows, columns=list(self.columns)):
            if self.layer == self.columns[0]:
                name = self.columns[0]
                yield _list_matrix(self.path, name, batch.column(name), self.shape[1], start)
            else:
                columns = [batch.column(name) for name in self.columns]
                yield np.column_stack([_as_floats(column) for column in columns])
            start += len(batch)

    def _text_chunks(self, n_rows: int) -> Iterator[Matrix]:
        for rows in _text_rows(self.path, self.columns, n_rows):
            try:
                yield np.array([cells for _, _, cells in rows], dtype=np.float64)
            except ValueError:
                yield np.array(
                    [
                        [
                            _number(self.path, row, line, name, c)
                            for name, c in zip(self.columns, cells, strict=True)
                        ]
                        for row, line, cells in rows
                    ]
                )

    def keys(self) -> dict[str, list[str]]:
        """Columns that say which molecule each row is, by their usual names."""
        if self.parts:
            parts = [part.keys() for part in self.parts]
            shared = [name for name in parts[0] if all(name in part for part in parts)]
            # Row numbers begin anew with every source of a library.
            return {n: [key for part in parts for key in part[n]] for n in shared if n != "row"}
        suffix = self.path.suffix.lower()
        if suffix == ".npy":
            return {}
        if suffix == ".npz":
            headers = {name: npz_header(self.path, name) for name in npz_names(self.path)}
            flat = {
                usual(n): n for n, (shape, _, t) in headers.items() if len(shape) == 1 and not t.hasobject
            }
            with np.load(self.path, allow_pickle=False) as archive:
                return {key: archive[flat[key]].astype(str).tolist() for key in _KEYS if key in flat}
        return table_keys(self.path)

    def finite(self) -> npt.NDArray[np.bool_]:
        """Rows of which all values are finite numbers, shape (n,)."""
        return np.concatenate([np.isfinite(chunk).all(axis=1) for chunk in self.chunks()])

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

    def describe_columns(self) -> str:
        """Which columns of a table are features, runs of numbered ones as their ends; empty of arrays.

        >>> FeatureFile(Path("f.csv"), "features", (9, 4), ("x0", "x1", "x2", "mw")).describe_columns()
        'x0 to x2, mw'
        """
        runs = []
        for (stem, _), members in groupby(enumerate(self.columns), key=_place_in_run):
            names = [name for _, name in members]
            runs += [f"{names[0]} to {names[-1]}"] if stem and len(names) > 2 else names
        more = f" and {len(runs) - 20} more" if len(runs) > 20 else ""
        return ", ".join(runs[:20]) + more


def _place_in_run(entry: tuple[int, str]) -> tuple[str, int]:
    """Name without its last number, and that number less the place, which is one for a run."""
    place, name = entry
    match = re.fullmatch(r"(.*?)(\d{1,9})", name)
    return (match[1], int(match[2]) - place) if match and match[1] else ("", -place - 1)


def find_features(path: str | Path, targets: Sequence[str] = ()) -> list[FeatureFile]:
    """The matrices in a file of features, or the one in a folder.

    Every two-dimensional array of numbers in an ``.npz`` is one (so that a file of ``molrate embed`` gives
    its layers), that of an ``.npy``, every column of equally long lists of a ``.parquet``, and together the
    numeric columns of a table that are not targets, row numbers, an index, or other words about molecules
    (:func:`molrate.files.columns.is_about_rows`). The files of a folder stand one below the other, in natural
    order of their names.

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
        return [partitioned_features(path, targets)]
    form = format_of(path)
    if path.suffix.lower() not in (".npz", ".npy") and (form is None or form.name not in _TABLES):
        raise InputError(f"{path}: features are read from {READABLE} (--features)")
    if not path.is_file():
        raise InputError(f"{path}: no such file (--features)")
    try:
        matrices = _matrices(path, targets)
    except NO_ARCHIVE as error:
        raise InputError(f"{path}: cannot be read as features: {error}") from error
    if not matrices:
        raise InputError(f"{path}: no features in it: no matrix, or no numeric column but the targets")
    return matrices


def partitioned_features(folder: Path, targets: Sequence[str]) -> FeatureFile:
    """The tables of a folder as one matrix; of a folder of ``molrate embed``, its parts.

    Raises
    ------
    InputError
        If there is none, or they have different columns.
    """
    inside = folder / PARTS if (folder / PARTS).is_dir() else folder
    paths = sorted(inside.iterdir(), key=lambda path: natural_key(path.name))
    paths = [path for path in paths if not path.name.startswith(".")]
    endings = {form.name: form for path in paths if (form := _part_format(path)) is not None}
    name = next((name for name in ("parquet", "csv", "tsv") if name in endings), None)
    chosen = [path for path in paths if (form := _part_format(path)) is not None and form.name == name]
    if not chosen:
        raise InputError(f"{folder}: no Parquet or csv file in it (--features)")
    parts = [part for path in chosen for part in find_features(path, targets)]
    for part in parts:
        if part.columns != parts[0].columns or part.shape[1] != parts[0].shape[1]:
            raise InputError(f"{part.path}: its columns are not those of {parts[0].path} (--features)")
    if len(parts) > len(chosen):
        raise InputError(
            f"{folder}: its files have several matrices each "
            f"({', '.join(part.layer for part in parts[:3])}); write one a folder (--features)"
        )
    n = sum(part.shape[0] for part in parts)
    passed_over = tuple(str(path) for path in paths if path not in chosen)
    shape, columns = (n, parts[0].shape[1]), parts[0].columns
    return FeatureFile(folder, parts[0].layer, shape, columns, tuple(parts), passed_over=passed_over)


def _part_format(path: Path) -> Any:
    return format_of(path) if path.is_file() else None


def told_apart(files: Sequence[FeatureFile]) -> list[FeatureFile]:
    """Files with labels where their names without suffix are equal: the whole name, or else the path.

    Raises
    ------
    InputError
        If a file is given twice.
    """
    matrices = [(file.path.resolve(), file.layer) for file in files]
    if len(set(matrices)) < len(matrices):
        twice = next(file for file, matrix in zip(files, matrices, strict=True) if matrices.count(matrix) > 1)
        raise InputError(f"{twice.path}: it is given twice (--features)")
    for label in (lambda file: file.path.name, lambda file: str(file.path)):
        paths_of: dict[str, set[Path]] = {}
        for file in files:
            paths_of.setdefault(file.name, set()).add(file.path)
        files = [replace(file, label=label(file)) if len(paths_of[file.name]) > 1 else file for file in files]
    return list(files)


def _matrices(path: Path, targets: Sequence[str]) -> list[FeatureFile]:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        return [FeatureFile(path, "features", array.shape)] if _is_matrix(array.shape, array.dtype) else []
    if suffix == ".npz":
        headers = {name: npz_header(path, name) for name in npz_names(path)}
        return [
            FeatureFile(path, name, (shape[0], shape[1]))
            for name, (shape, _, dtype) in headers.items()
            if _is_matrix(shape, dtype)
        ]
    if suffix == ".parquet":
        return _parquet_matrices(path, targets)
    return _text_matrices(path, targets)


def _is_matrix(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether an array is one of numbers with a row for each molecule."""
    return len(shape) == 2 and shape[1] > 0 and dtype.kind in "fiub"


def _is_feature(name: str, targets: Sequence[str], index: Sequence[str]) -> bool:
    wanted = {target.strip() for target in targets}
    return name.strip() not in wanted and name not in index and not is_about_rows(name)


def _parquet_matrices(path: Path, targets: Sequence[str]) -> list[FeatureFile]:
    import pyarrow as pa

    from molrate.files.columnar import open_parquet, pandas_index

    file = open_parquet(str(path))
    schema, n = file.schema_arrow, file.metadata.num_rows
    index = [name for name in pandas_index(schema) if isinstance(name, str)]
    fields = [field for field in schema if _is_feature(field.name, targets, index)]
    is_number = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal)
    is_list = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    numeric = tuple(field.name for field in fields if any(is_kind(field.type) for is_kind in is_number))
    _require_different(path, numeric)
    matrices = [FeatureFile(path, "features", (n, len(numeric)), numeric)] if numeric else []
    for field in fields:
        if any(is_kind(field.type) for is_kind in is_list) and any(
            is_kind(field.type.value_type) for is_kind in is_number
        ):
            width = _list_width(file, field.name)
            matrices.append(FeatureFile(path, field.name, (n, width), (field.name,)))
    return matrices


def _list_width(file: Any, name: str) -> int:
    """Length of the first list of a column, which all are to have."""
    for batch in file.iter_batches(columns=[name]):
        lengths = (len(value) for value in batch.column(name).to_pylist() if value is not None)
        width = next(lengths, 0)
        if width:
            return width
    return 1


def _list_matrix(path: Path, name: str, column: Any, width: int, start: int) -> Matrix:
    """Rows of a column of lists; NaN where there is none."""
    values = column.to_pylist()
    missing = [np.nan] * width
    for number, value in enumerate(values, start=start + 1):
        if value is not None and len(value) != width:
            raise InputError(
                f"{path}: row {number} of column {name} has {len(value)} values where the first has {width}"
            )
    return np.array([missing if value is None else value for value in values], dtype=np.float64)


def _as_floats(column: Any) -> Matrix:
    import pyarrow as pa

    floats = column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column
    return np.asarray(floats.to_numpy(zero_copy_only=False), dtype=np.float64)


def _text_matrices(path: Path, targets: Sequence[str]) -> list[FeatureFile]:
    form = format_of(path)
    assert form is not None
    with open_records(str(path), form) as records:
        header = records.header
        first = list(islice(_readable(path, records.rows), _INSPECTED))
        n = len(first) + sum(1 for _ in _readable(path, records.rows))
    columns = tuple(
        name
        for place, name in enumerate(header)
        if _is_feature(name, targets, ()) and all(_is_number(cells[place]) for _, _, cells in first)
    )
    _require_different(path, columns)
    lists = (
        [header[place] for place, cell in enumerate(first[0][2]) if cell.strip().startswith("[")]
        if first
        else []
    )
    if lists and not columns:
        raise InputError(
            f"{path}: column {lists[0]} holds lists as text; write one column a dimension (--features)"
        )
    return [FeatureFile(path, "features", (n, len(columns)), columns)] if columns and n else []


def _require_different(path: Path, columns: Sequence[str]) -> None:
    twice = next((name for name in columns if columns.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{path}: two columns of features are named {twice}; rename one")


def _readable(path: Path, rows: Iterator[Fields]) -> Iterator[tuple[int, int, Sequence[str]]]:
    """Number, line and cells of records.

    Raises
    ------
    InputError
        If one cannot be read.
    """
    for number, line, cells, error, _ in rows:
        if error:
            what = "it is an empty line" if error == EMPTY_LINE else error
            raise InputError(f"{path}: row {number} (line {line}): {what}. Correct the file")
        yield number, line, cells


def _text_rows(path: Path, columns: Sequence[str], n_rows: int) -> Iterator[list[tuple[int, int, list[str]]]]:
    """Cells of some columns, some rows at a time."""
    form = format_of(path)
    assert form is not None
    with open_records(str(path), form) as records:
        places = [records.header.index(name) for name in columns]
        rows = (
            (number, line, [cells[place] for place in places])
            for number, line, cells in _readable(path, records.rows)
        )
        while block := list(islice(rows, n_rows)):
            yield block


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.strip().casefold() in MISSING
    # Python reads 1_000 as a number, which no table means.
    return "_" not in cell


def _number(path: Path, row: int, line: int, name: str, cell: str) -> float:
    if cell.strip().casefold() in MISSING:
        return np.nan
    try:
        return float(cell)
    except ValueError as error:
        where = f"row {row}" if line == row + 1 else f"row {row} (line {line})"
        raise InputError(f"{path}: {where} of column {name} is not a number ({cell!r})") from error


def table_keys(path: Path) -> dict[str, list[str]]:
    """Columns of a table that say which molecule each row is, by their usual names."""
    form = format_of(path)
    assert form is not None
    with open_records(str(path), form) as records:
        places: dict[str, int] = {}
        for place, name in enumerate(records.header):
            places.setdefault(usual(name), place)
        chosen = {key: places[key] for key in _KEYS if key in places}
        if not chosen:
            return {}
        if records.choose is not None:
            records.choose(list(chosen.values()))
        rows = [cells for _, _, cells, _, _ in records.rows]
    return {key: [cells[place].strip() if cells else "" for cells in rows] for key, place in chosen.items()}


def npz_names(path: Path) -> list[str]:
    """Names of the arrays of an ``.npz``."""
    with zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def npz_header(path: Path, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and type of an array of an ``.npz``, without reading it."""
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
