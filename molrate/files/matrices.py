"""Features of molecules in files: which columns or arrays they are, read whole or in chunks."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from molrate.errors import InputError
from molrate.files.output import PARTS

READABLE = (".npz", ".npy", ".parquet", ".csv")

_CHUNK_VALUES = 1 << 22

NOT_FEATURES = frozenset({"row", "id", "status", "error", "smiles", "canonical_smiles"})


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

    def chunks(self) -> Iterator[npt.NDArray[np.float64]]:
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

    def row(self, number: int) -> npt.NDArray[np.float64]:
        """One row, shape (d,)."""
        for chunk in self.chunks():
            if number < len(chunk):
                return np.asarray(chunk[number], dtype=np.float64)
            number -= len(chunk)
        raise IndexError(number)

    def read(self) -> npt.NDArray[np.float64]:
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
        return [partitioned_features(path, targets)]
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


def partitioned_features(folder: Path, targets: Sequence[str]) -> FeatureFile:
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
        shapes = {name: npz_header(path, name)[0] for name in _npz_names(path)}
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
    columns = tuple(name for name in numeric if name not in targets and name not in NOT_FEATURES)
    return [FeatureFile(path, "features", (n, len(columns)), columns)] if columns else []


def _npz_names(path: Path) -> list[str]:
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


def _array_chunks(
    stream: Any, rows: int, whole: Callable[[], npt.NDArray[Any]]
) -> Iterator[npt.NDArray[np.float64]]:
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
